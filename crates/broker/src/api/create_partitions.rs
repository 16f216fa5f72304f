//! CreatePartitions (key 37).

use std::collections::BTreeSet;

use cluster::Command;
use kafka::{
    error::ErrorCode,
    messages::create_partitions::{
        CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
        CreatePartitionsTopicResult,
    },
};

use crate::{
    api::create_topics::check_assignment,
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: CreatePartitionsRequest<'_> = context.decode()?;
    let mut names = BTreeSet::new();
    let mut results = Vec::new();
    for topic in &request.topics {
        let outcome = match names.insert(topic.name.to_string()) {
            true => add(&broker, &topic, request.validate_only).await,
            false => Err(Failure::new(
                ErrorCode::InvalidRequest,
                "Duplicate topic in request.",
            )),
        };
        let failure = outcome.err();
        results.push(CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code: failure.as_ref().map_or(0, |failure| failure.code.code()),
            error_message: failure.map(|failure| failure.text().into()),
        });
    }
    context.reply(&CreatePartitionsResponse {
        results: results.into(),
        ..CreatePartitionsResponse::default()
    })
}

async fn add(
    broker: &Broker,
    topic: &CreatePartitionsTopic<'_>,
    validate_only: bool,
) -> Result<(), Failure> {
    let command = broker.with_metadata(|image| {
        let found = image
            .topic_named(&topic.name)
            .ok_or(ErrorCode::UnknownTopicOrPartition)?;
        if found.internal {
            // Groups are spread over them by hash: with another count nobody would find theirs.
            let text = format!("the partitions of {} are fixed", found.name);
            return Err(Failure::new(ErrorCode::InvalidRequest, text));
        }
        let have = found.partition_count();
        if topic.count <= have {
            let text = format!(
                "The topic {} currently has {have} partition(s); {} would not be an increase.",
                topic.name, topic.count
            );
            return Err(Failure::new(ErrorCode::InvalidPartitions, text));
        }
        if topic.count > base::limits::TOPIC_PARTITIONS_MAX {
            let text = format!(
                "A topic may have at most {} partitions.",
                base::limits::TOPIC_PARTITIONS_MAX
            );
            return Err(Failure::new(ErrorCode::InvalidPartitions, text));
        }
        let more = topic.count - have;
        if let Some(assignments) = &topic.assignments {
            if i32::try_from(assignments.len()) != Ok(more) {
                let text = format!(
                    "{more} partitions are added, {} are assigned",
                    assignments.len()
                );
                return Err(Failure::new(ErrorCode::InvalidReplicaAssignment, text));
            }
            for assignment in assignments {
                check_assignment(broker, assignment.broker_ids.iter())?;
            }
        }
        let id = found.id;
        let homes = image.place(&found.name, more);
        let have = have.unsigned_abs();
        let command = Command::CreatePartitions { id, have, homes };
        image.check(&command)?;
        Ok(command)
    })?;
    if !validate_only {
        broker.commit_one(command).await??;
    }
    Ok(())
}
