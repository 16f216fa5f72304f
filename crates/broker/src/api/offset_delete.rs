//! OffsetDelete (key 47): forgets a group's offsets of topics it is not subscribed to (KIP-496).

use base::{PartitionIndex, TopicName};
use kafka::{
    error::ErrorCode,
    messages::offset_delete::{
        OffsetDeleteRequest, OffsetDeleteResponse, OffsetDeleteResponsePartition,
        OffsetDeleteResponseTopic,
    },
};

use crate::{
    coordinator::{code, group_id},
    group::{Answer, GroupError, GroupId},
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    Ok(Reply::Later(Box::pin(async move {
        let request: OffsetDeleteRequest<'_> = context.decode()?;
        let mut keys = Vec::new();
        for topic in &request.topics {
            for partition in &topic.partitions {
                let index = PartitionIndex(partition.partition_index);
                keys.extend(known(&context, &topic.name, index).map(|name| (name, index)));
            }
        }
        let outcome = match group_id(&request.group_id) {
            Ok(group) => delete(&context, group, keys).await,
            Err(error) => Err(error),
        };
        let mut outcomes = match outcome {
            Ok(outcomes) => outcomes.into_iter(),
            Err(error) => {
                return context.encode(&OffsetDeleteResponse {
                    error_code: ErrorCode::from(error).code(),
                    ..OffsetDeleteResponse::default()
                });
            }
        };
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let index = PartitionIndex(partition.partition_index);
                let error_code = match known(&context, &topic.name, index) {
                    Some(_) => code(outcomes.next().unwrap_or(Ok(()))),
                    None => ErrorCode::UnknownTopicOrPartition.code(),
                };
                OffsetDeleteResponsePartition {
                    partition_index: index.0,
                    error_code,
                }
            });
            OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: partitions.collect(),
            }
        });
        let topics = topics.collect();
        context.encode(&OffsetDeleteResponse {
            topics,
            ..OffsetDeleteResponse::default()
        })
    })))
}

fn known(context: &RequestContext, topic: &str, index: PartitionIndex) -> Option<TopicName> {
    context.broker.with_metadata(|image| {
        let topic = image.topic_named(topic)?;
        topic.partition(index).map(|_| topic.name.clone())
    })
}

/// An outcome per key.
async fn delete(
    context: &RequestContext,
    group: GroupId,
    keys: Vec<(TopicName, PartitionIndex)>,
) -> Result<Vec<Result<(), GroupError>>, GroupError> {
    let id = group.clone();
    context
        .broker
        .on_coordinator(group.as_str(), |partition| async move {
            let asked = partition
                .ask(|table, now, ticket, fx| {
                    let outcomes = table.on_delete_offsets(now, ticket, &id, &keys, fx);
                    if outcomes.is_err() {
                        // Refused as a whole, so nothing else will answer.
                        fx.answers.push((ticket, Answer::Written(Ok(()))));
                    }
                    outcomes
                })
                .await?;
            match asked {
                (outcomes, Answer::Written(Ok(()))) => outcomes,
                (_, Answer::Written(Err(error))) => Err(error),
                (_, Answer::Join(_) | Answer::Sync(_)) => Err(GroupError::NotAvailable),
            }
        })
        .await
}
