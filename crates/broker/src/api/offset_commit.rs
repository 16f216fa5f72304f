//! OffsetCommit (key 8): where a consumer has come to; answered when it is durable.

use std::sync::Arc;

use base::{Offset, PartitionIndex, TimestampMs, TopicId, TopicName};
use kafka::{
    error::ErrorCode,
    messages::offset_commit::{
        OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
    },
};

use crate::{
    coordinator::{member_ref, text},
    group::{Commit, CommittedOffset, GroupError, OFFSET_METADATA_CHARS_MAX},
    request::{Reply, RequestContext, RequestError},
};

/// A topic of the request: how it was named, and an outcome per partition; none yet means committed with the others.
struct Asked {
    name: String,
    id: TopicId,
    partitions: Vec<(PartitionIndex, Option<ErrorCode>)>,
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let (asked, commit) = commit_of(&context)?;
        let outcome = match commit {
            Ok(commit) => {
                let group = commit.group.clone();
                context
                    .broker
                    .on_coordinator(group.as_str(), |partition| async move {
                        partition
                            .written(|table, now, ticket, fx| {
                                table.on_commit(now, ticket, commit, fx)
                            })
                            .await
                    })
                    .await
            }
            Err(error) => Err(error),
        };
        let code = outcome.map_or_else(ErrorCode::from, |()| ErrorCode::None);
        let topics = asked.into_iter().map(|topic| OffsetCommitResponseTopic {
            name: topic.name.into(),
            topic_id: topic.id,
            partitions: topic
                .partitions
                .into_iter()
                .map(|(partition, own)| OffsetCommitResponsePartition {
                    partition_index: partition.0,
                    error_code: own.unwrap_or(code).code(),
                })
                .collect(),
        });
        context.encode(&OffsetCommitResponse {
            topics: topics.collect(),
            ..OffsetCommitResponse::default()
        })
    })))
}

type Parsed = (Vec<Asked>, Result<Commit, GroupError>);

fn commit_of(context: &RequestContext) -> Result<Parsed, RequestError> {
    let request: OffsetCommitRequest<'_> = context.decode()?;
    let now = runtime::wall();
    let expires_at = (request.retention_time_ms >= 0)
        .then(|| TimestampMs(now.0.saturating_add(request.retention_time_ms)));
    let mut asked = Vec::new();
    let mut offsets = Vec::new();
    for topic in &request.topics {
        let found = find(context, &topic);
        let mut partitions = Vec::new();
        for partition in &topic.partitions {
            let index = PartitionIndex(partition.partition_index);
            let own = match &found {
                Err(code) => Some(*code),
                Ok((_, count)) if !(0..*count).contains(&index.0) => {
                    Some(ErrorCode::UnknownTopicOrPartition)
                }
                Ok((name, _)) => match committed(&partition, now, expires_at) {
                    Ok(offset) => {
                        offsets.push((name.clone(), index, offset));
                        None
                    }
                    Err(code) => Some(code),
                },
            };
            partitions.push((index, own));
        }
        asked.push(Asked {
            name: topic.name.into_owned(),
            id: topic.topic_id,
            partitions,
        });
    }
    let commit = || {
        Ok(Commit {
            group: text(&request.group_id)?.into(),
            member: member_ref(
                &request.member_id,
                request.group_instance_id.as_deref(),
                request.generation_id_or_member_epoch,
            )?,
            offsets,
            not_found_known: context.version >= 9,
        })
    };
    Ok((asked, commit()))
}

/// Name and partition count of the topic, by id from version 10 on.
fn find(
    context: &RequestContext,
    topic: &OffsetCommitRequestTopic<'_>,
) -> Result<(TopicName, i32), ErrorCode> {
    context.broker.with_metadata(|image| {
        let by_id = context.version >= 10;
        let found = match by_id {
            true => image
                .topic(topic.topic_id)
                .ok_or(ErrorCode::UnknownTopicId)?,
            false => image
                .topic_named(&topic.name)
                .ok_or(ErrorCode::UnknownTopicOrPartition)?,
        };
        Ok((found.name.clone(), found.partition_count()))
    })
}

fn committed(
    partition: &OffsetCommitRequestPartition<'_>,
    now: TimestampMs,
    expires_at: Option<TimestampMs>,
) -> Result<CommittedOffset, ErrorCode> {
    let metadata = partition.committed_metadata.as_deref().unwrap_or("");
    if metadata.encode_utf16().count() > OFFSET_METADATA_CHARS_MAX {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    Ok(CommittedOffset {
        offset: Offset(partition.committed_offset),
        leader_epoch: partition.committed_leader_epoch,
        metadata: Arc::from(metadata),
        committed_at: now,
        expires_at,
    })
}
