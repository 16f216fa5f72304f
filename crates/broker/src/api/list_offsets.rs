//! ListOffsets (key 2): offsets by time, and the special ones.

use std::{collections::BTreeMap, rc::Rc};

use base::{Offset, PartitionIndex, PartitionKey, TimestampMs};
use kafka::{
    error::ErrorCode,
    messages::list_offsets::{
        ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
        ListOffsetsTopicResponse,
    },
    wire::Str,
};
use runtime::Class;
use storage::TimestampedOffset;

use crate::{
    api::fetch::check_leader_epoch,
    broker::Broker,
    errors::Failure,
    owners::Question,
    request::{Reply, RequestContext, RequestError},
};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
/// Without tiers the whole log is local.
const EARLIEST_LOCAL: i64 = -4;
/// Without tiers there is none.
const LATEST_TIERED: i64 = -5;
/// Without tiers nothing waits for upload.
const EARLIEST_PENDING_UPLOAD: i64 = -6;
/// From this version on the leader epoch is part of the answer.
const VERSION_LEADER_EPOCH: i16 = 4;

/// Searches by time at once on a shard: each holds a batch and a decompressor, whose window alone may be 128 MiB.
pub const SEARCHES_MAX: u64 = 2;

#[derive(Clone, Copy)]
struct Ask {
    key: PartitionKey,
    leader_epoch: i32,
    timestamp: i64,
}

/// `None`: there is no such offset.
type Answer = Result<Option<TimestampedOffset>, Failure>;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: ListOffsetsRequest<'_> = context.decode()?;
    // How often each partition stands there: as in Kafka one that does so twice is refused, so that a small request
    // cannot ask for the same search many times.
    let mut times_named: BTreeMap<(Str<'_>, i32), u32> = BTreeMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let named = (topic.name.clone(), partition.partition_index);
            *times_named.entry(named).or_default() += 1;
        }
    }
    let mut refused = Vec::new();
    let mut questions = Vec::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            let index = PartitionIndex(partition.partition_index);
            let is_twice = times_named.get(&(topic.name.clone(), index.0)) != Some(&1);
            let owner = broker.owner_by_name(&topic.name, index);
            let refusal = match owner {
                _ if is_twice => Some(ErrorCode::InvalidRequest),
                _ if !is_known(partition.timestamp, context.version) => {
                    Some(ErrorCode::UnsupportedVersion)
                }
                None => Some(ErrorCode::UnknownTopicOrPartition),
                Some(_) => None,
            };
            refused.push(refusal);
            let owner = owner.filter(|_| refusal.is_none());
            questions.extend(owner.map(|(to, key)| Question {
                to,
                ask: Ask {
                    key,
                    leader_epoch: partition.current_leader_epoch,
                    timestamp: partition.timestamp,
                },
            }));
        }
    }
    let task = |broker: Rc<Broker>, asks: Vec<Ask>| async move {
        let mut answers = Vec::with_capacity(asks.len());
        for ask in asks {
            answers.push(find(&broker, ask).await);
        }
        answers
    };
    let answers = broker
        .ask_owners(Class::Fetch, "list offsets", questions, task)
        .await;
    let (mut refused, mut answers) = (refused.into_iter(), answers.into_iter());
    let topics = request.topics.iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|partition| {
            let answer = match refused.next().flatten() {
                Some(code) => Err(code.into()),
                None => answers.next().unwrap_or(Ok(None)),
            };
            let mut response = respond(partition.partition_index, answer);
            if context.version < VERSION_LEADER_EPOCH {
                response.leader_epoch = ListOffsetsPartitionResponse::default().leader_epoch;
            }
            response
        });
        ListOffsetsTopicResponse {
            partitions: partitions.collect::<Vec<_>>().into(),
            name: topic.name,
        }
    });
    let topics: Vec<_> = topics.collect();
    context.reply(&ListOffsetsResponse {
        topics: topics.into(),
        ..ListOffsetsResponse::default()
    })
}

async fn find(broker: &Broker, ask: Ask) -> Answer {
    let partition = broker
        .partition(ask.key)
        .ok_or(ErrorCode::NotLeaderOrFollower)?;
    check_leader_epoch(&partition, ask.leader_epoch)?;
    let log = partition.log();
    let until = partition.high_watermark();
    let at = |offset: Offset| {
        let leader_epoch = log.epoch_at(offset).unwrap_or(partition.leader_epoch());
        let timestamp = TimestampMs(-1);
        Ok(Some(TimestampedOffset {
            offset,
            timestamp,
            leader_epoch,
        }))
    };
    let is_search = ask.timestamp == MAX_TIMESTAMP || ask.timestamp >= 0;
    let _search = match is_search {
        true => Some(broker.lookups.acquire(1).await),
        false => None,
    };
    match ask.timestamp {
        LATEST => at(until),
        EARLIEST | EARLIEST_LOCAL => at(log.log_start_offset()),
        MAX_TIMESTAMP => Ok(log.max_timestamp(until).await?),
        LATEST_TIERED | EARLIEST_PENDING_UPLOAD => Ok(None),
        0.. => Ok(log
            .offset_for_timestamp(TimestampMs(ask.timestamp), until)
            .await?),
        _ => Err(ErrorCode::UnsupportedVersion.into()),
    }
}

/// Whether a request of this version may ask for the timestamp: each special one came with a version of its own.
fn is_known(timestamp: i64, version: i16) -> bool {
    let since = match timestamp {
        0.. | LATEST | EARLIEST => 0,
        MAX_TIMESTAMP => 7,
        EARLIEST_LOCAL => 8,
        LATEST_TIERED => 9,
        EARLIEST_PENDING_UPLOAD => 11,
        _ => return false,
    };
    version >= since
}

fn respond(index: i32, answer: Answer) -> ListOffsetsPartitionResponse {
    let unset = ListOffsetsPartitionResponse {
        partition_index: index,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    };
    match answer {
        Err(failure) => ListOffsetsPartitionResponse {
            error_code: failure.code.code(),
            ..unset
        },
        Ok(None) => unset,
        Ok(Some(found)) => ListOffsetsPartitionResponse {
            timestamp: found.timestamp.0,
            offset: found.offset.0,
            leader_epoch: found.leader_epoch.0,
            ..unset
        },
    }
}
