//! OffsetFetch (key 9): where groups have come to; one group up to version 7, many from 8 on, topic ids from 10 on.

use std::collections::{BTreeMap, BTreeSet};

use base::{PartitionIndex, TopicId, TopicName};
use kafka::{
    error::ErrorCode,
    messages::offset_fetch::{
        OffsetFetchRequest, OffsetFetchResponse, OffsetFetchResponseGroup,
        OffsetFetchResponsePartition, OffsetFetchResponsePartitions, OffsetFetchResponseTopic,
        OffsetFetchResponseTopics,
    },
};

use crate::{
    coordinator::text,
    group::{FetchedOffset, GroupError, GroupId},
    request::{Reply, RequestContext, RequestError},
};

/// What is asked of one group; no topics means all.
struct Query {
    group: String,
    topics: Option<Vec<Asked>>,
}

/// A topic as the client names it; no name: an id that no topic has.
struct Asked {
    name: Option<String>,
    id: TopicId,
    partitions: Vec<PartitionIndex>,
}

struct Found {
    name: String,
    id: TopicId,
    partitions: Vec<(PartitionIndex, Outcome)>,
}

type Outcome = Result<Option<FetchedOffset>, ErrorCode>;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let queries = queries_of(&context)?;
        let mut groups = Vec::with_capacity(queries.len());
        for query in queries {
            let id = query.group;
            let outcome = match query.topics {
                Some(topics) => fetch_named(&context, &id, topics).await,
                None => fetch_all(&context, &id)
                    .await
                    .map_err(|error| (error, Vec::new())),
            };
            groups.push((id, outcome));
        }
        if context.version >= 8 {
            let groups = groups
                .into_iter()
                .map(|(id, outcome)| group_response(id, outcome));
            return context.encode(&OffsetFetchResponse {
                groups: groups.collect(),
                ..OffsetFetchResponse::default()
            });
        }
        let (_, outcome) = groups.pop().expect("one query up to version 7");
        context.encode(&single_response(outcome, context.version))
    })))
}

fn queries_of(context: &RequestContext) -> Result<Vec<Query>, RequestError> {
    let request: OffsetFetchRequest<'_> = context.decode()?;
    if context.version < 8 {
        let mut seen = BTreeSet::new();
        let topics = request.topics.as_ref().map(|topics| {
            let topics = topics.iter().map(|topic| Asked {
                name: Some(topic.name.to_string()),
                id: TopicId::ZERO,
                partitions: unseen(topic.partition_indexes.iter(), |index| {
                    seen.insert((topic.name.clone(), index))
                }),
            });
            topics.collect()
        });
        let group = request.group_id.into_owned();
        return Ok(vec![Query { group, topics }]);
    }
    // Each of a group's offsets once, however often it stands there: a small request must not make a huge answer.
    let (mut seen, mut seen_named) = (BTreeSet::new(), BTreeSet::new());
    let groups = request.groups.iter();
    let groups =
        groups.filter(|group| group.topics.is_some() || seen.insert(group.group_id.to_string()));
    let queries = groups.map(|group| Query {
        topics: group.topics.as_ref().map(|topics| {
            let topics = topics.iter().map(|topic| Asked {
                name: name_of(context, topic.topic_id, &topic.name),
                id: topic.topic_id,
                partitions: unseen(topic.partition_indexes.iter(), |index| {
                    let named = (topic.topic_id, topic.name.clone(), index);
                    seen_named.insert((group.group_id.clone(), named))
                }),
            });
            topics.collect()
        }),
        group: group.group_id.into_owned(),
    });
    Ok(queries.collect())
}

/// Those that `is_first` says were not asked for before.
fn unseen(
    indexes: impl Iterator<Item = i32>,
    mut is_first: impl FnMut(i32) -> bool,
) -> Vec<PartitionIndex> {
    let indexes = indexes.filter(|index| is_first(*index));
    indexes.map(PartitionIndex).collect()
}

fn name_of(context: &RequestContext, id: TopicId, name: &str) -> Option<String> {
    if context.version < 10 {
        return Some(name.to_owned());
    }
    let found = |image: &cluster::Image| image.topic(id).map(|topic| topic.name.to_string());
    context.broker.with_metadata(found)
}

/// With the error comes what was asked: version 1 has errors on partitions only.
async fn fetch_named(
    context: &RequestContext,
    id: &str,
    topics: Vec<Asked>,
) -> Result<Vec<Found>, (GroupError, Vec<Found>)> {
    let mut fetched = Vec::new();
    let group = GroupId::from(id);
    let wanted: Vec<(Option<String>, Vec<PartitionIndex>)> = topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.partitions.clone()))
        .collect();
    let error = match text(id) {
        Err(error) => Some(error),
        Ok(_) => {
            let outcome = context.broker.on_coordinator(id, |partition| async move {
                partition.read(|table| {
                    let outcomes = wanted.iter().map(|(name, indexes)| {
                        let fetch = |index: &PartitionIndex| match name {
                            Some(name) => Ok(table.fetch(&group, name, *index)),
                            None => Err(ErrorCode::UnknownTopicId),
                        };
                        indexes.iter().map(fetch).collect::<Vec<Outcome>>()
                    });
                    outcomes.collect::<Vec<_>>()
                })
            });
            match outcome.await {
                Ok(outcomes) => {
                    fetched = outcomes;
                    None
                }
                Err(error) => Some(error),
            }
        }
    };
    let mut fetched = fetched.into_iter();
    let found = topics.into_iter().map(|topic| {
        let outcomes = fetched.next().unwrap_or_default().into_iter().map(Some);
        let outcomes = outcomes.chain(std::iter::repeat_with(|| None));
        let partitions = topic.partitions.into_iter().zip(outcomes);
        let absent = error.map_or(ErrorCode::None, ErrorCode::from);
        Found {
            name: topic.name.unwrap_or_default(),
            id: topic.id,
            partitions: partitions
                .map(|(index, outcome)| (index, outcome.unwrap_or(Err(absent))))
                .collect(),
        }
    });
    let found = found.collect();
    match error {
        None => Ok(found),
        Some(error) => Err((error, found)),
    }
}

async fn fetch_all(context: &RequestContext, id: &str) -> Result<Vec<Found>, GroupError> {
    let group = GroupId::from(text(id)?);
    let fetched = context.broker.on_coordinator(id, |partition| async move {
        partition.read(|table| table.fetch_all(&group))
    });
    let mut topics: BTreeMap<TopicName, Vec<(PartitionIndex, Outcome)>> = BTreeMap::new();
    for (topic, partition, offset) in fetched.await? {
        let partitions = topics.entry(topic).or_default();
        partitions.push((partition, Ok(Some(offset))));
    }
    let found = context.broker.with_metadata(|image| {
        let topics = topics.into_iter().filter_map(|(name, partitions)| {
            let id = image.topic_named(name.as_str()).map(|topic| topic.id);
            // An offset of a topic that is gone cannot be named by id.
            let id = if context.version >= 10 {
                id?
            } else {
                TopicId::ZERO
            };
            Some(Found {
                name: name.to_string(),
                id,
                partitions,
            })
        });
        topics.collect()
    });
    Ok(found)
}

fn group_response(
    id: String,
    outcome: Result<Vec<Found>, (GroupError, Vec<Found>)>,
) -> OffsetFetchResponseGroup<'static> {
    let (error_code, found) = split(outcome);
    let found = if error_code == ErrorCode::None {
        found
    } else {
        Vec::new()
    };
    let topics = found.into_iter().map(|topic| OffsetFetchResponseTopics {
        name: topic.name.into(),
        topic_id: topic.id,
        partitions: topic
            .partitions
            .into_iter()
            .map(|(index, outcome)| {
                let (code, offset) = flatten(outcome);
                OffsetFetchResponsePartitions {
                    partition_index: index.0,
                    committed_offset: offset.offset.0,
                    committed_leader_epoch: offset.leader_epoch,
                    metadata: Some(offset.metadata.to_string().into()),
                    error_code: code.code(),
                }
            })
            .collect(),
    });
    OffsetFetchResponseGroup {
        group_id: id.into(),
        topics: topics.collect(),
        error_code: error_code.code(),
    }
}

fn single_response(
    outcome: Result<Vec<Found>, (GroupError, Vec<Found>)>,
    version: i16,
) -> OffsetFetchResponse<'static> {
    let (error_code, found) = split(outcome);
    let found = if error_code == ErrorCode::None || version < 2 {
        found
    } else {
        Vec::new()
    };
    let topics = found.into_iter().map(|topic| OffsetFetchResponseTopic {
        name: topic.name.into(),
        partitions: topic
            .partitions
            .into_iter()
            .map(|(index, outcome)| {
                let (code, offset) = flatten(outcome);
                OffsetFetchResponsePartition {
                    partition_index: index.0,
                    committed_offset: offset.offset.0,
                    committed_leader_epoch: offset.leader_epoch,
                    metadata: Some(offset.metadata.to_string().into()),
                    error_code: code.code(),
                }
            })
            .collect(),
    });
    OffsetFetchResponse {
        topics: topics.collect(),
        error_code: error_code.code(),
        ..OffsetFetchResponse::default()
    }
}

fn split(outcome: Result<Vec<Found>, (GroupError, Vec<Found>)>) -> (ErrorCode, Vec<Found>) {
    match outcome {
        Ok(found) => (ErrorCode::None, found),
        Err((error, found)) => (error.into(), found),
    }
}

/// Offset -1 stands for none, with an error or without.
fn flatten(outcome: Outcome) -> (ErrorCode, FetchedOffset) {
    let none = || FetchedOffset {
        offset: base::Offset(-1),
        leader_epoch: -1,
        metadata: "".into(),
    };
    match outcome {
        Ok(offset) => (ErrorCode::None, offset.unwrap_or_else(none)),
        Err(code) => (code, none()),
    }
}
