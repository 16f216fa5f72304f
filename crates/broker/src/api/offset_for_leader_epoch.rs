//! OffsetForLeaderEpoch (key 23): where a leader epoch ended, so that clients notice truncation (KIP-101, KIP-320).

use std::rc::Rc;

use base::{LeaderEpoch, PartitionIndex, PartitionKey};
use kafka::{
    error::ErrorCode,
    messages::offset_for_leader_epoch::{
        EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        OffsetForLeaderTopicResult,
    },
};
use runtime::Class;

use crate::{
    api::fetch::check_leader_epoch,
    broker::Broker,
    owners::Question,
    request::{Reply, RequestContext, RequestError},
};

#[derive(Clone, Copy)]
struct Ask {
    key: PartitionKey,
    believed: i32,
    epoch: i32,
}

/// Epoch and end offset, -1 for unknown.
type Answer = Result<(i32, i64), ErrorCode>;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: OffsetForLeaderEpochRequest<'_> = context.decode()?;
    let mut owned = Vec::new();
    let mut questions = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let owner = broker.owner_by_name(&topic.topic, PartitionIndex(partition.partition));
            owned.push(owner.is_some());
            questions.extend(owner.map(|(to, key)| Question {
                to,
                ask: Ask {
                    key,
                    believed: partition.current_leader_epoch,
                    epoch: partition.leader_epoch,
                },
            }));
        }
    }
    let task = |broker: Rc<Broker>, asks: Vec<Ask>| async move {
        asks.into_iter().map(|ask| find(&broker, ask)).collect()
    };
    let answers = broker
        .ask_owners(Class::Fetch, "leader epochs", questions, task)
        .await;
    let (mut owned, mut answers) = (owned.into_iter(), answers.into_iter());
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let is_owned = owned.next().unwrap_or(false);
            let answer = is_owned.then(|| answers.next()).flatten();
            let answer = answer.unwrap_or(Err(ErrorCode::UnknownTopicOrPartition));
            let (leader_epoch, end_offset) = answer.unwrap_or((-1, -1));
            EpochEndOffset {
                error_code: answer.err().map_or(0, ErrorCode::code),
                partition: partition.partition,
                leader_epoch,
                end_offset,
            }
        });
        OffsetForLeaderTopicResult {
            partitions: partitions.collect::<Vec<_>>().into(),
            topic: topic.topic,
        }
    });
    let topics: Vec<_> = topics.collect();
    context.reply(&OffsetForLeaderEpochResponse {
        topics: topics.into(),
        ..OffsetForLeaderEpochResponse::default()
    })
}

fn find(broker: &Broker, ask: Ask) -> Answer {
    let partition = broker
        .partition(ask.key)
        .ok_or(ErrorCode::NotLeaderOrFollower)?;
    check_leader_epoch(&partition, ask.believed)?;
    let end = partition.high_watermark();
    // The current leader epoch has no end yet: it ends where the log does. A later one is unknown (KIP-101).
    let current = partition.leader_epoch().0;
    if ask.epoch == current {
        return Ok((ask.epoch, end.0));
    }
    if ask.epoch > current {
        return Ok((-1, -1));
    }
    let log = partition.log();
    let (epoch, offset) = match log.end_of_epoch(LeaderEpoch(ask.epoch)) {
        Some((epoch, offset)) => (epoch.0, offset),
        // Older than all that the log knows: it ended where the first of those begins (KIP-101).
        None => {
            let first = log.leader_epochs().first().map(|(_, _, offset)| *offset);
            let start = log.log_start_offset();
            (ask.epoch, first.unwrap_or(end).max(start))
        }
    };
    Ok((epoch, offset.min(end).0))
}
