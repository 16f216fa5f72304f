//! Produce (key 0): sequencing record batches, and answering when they are committed.
//!
//! # Invariants
//! 1. The handler returns when every batch of the request has its place in its log or its refusal; the connection's next
//!    request is read only then. That covers batches on other shards too: their owners have answered.
//! 2. With acks 1 and all the answer waits for the commit alike: nothing is acknowledged that a power cut could take.
//!
//! # Cost
//! Per request: the frame is borrowed, not copied; one message to each other shard, answered when the batches have their
//! places and again when they are committed; one wait per (request, shard) and batch, resolved by the shard's journal
//! writes; the response is encoded once. Per batch: see `partition`.
//!
//! # Yields
//! Between batches and inside long ones, so that a large request does not hold its shard.

use std::rc::Rc;

use base::{LeaderEpoch, PartitionIndex, PartitionKey, RaftIndex, ShardId, TopicId};
use iobuf::Buf;
use kafka::{
    error::ErrorCode,
    messages::produce::{
        LeaderIdAndEpoch, PartitionProduceResponse, ProduceRequest, ProduceResponse,
        TopicProduceData, TopicProduceResponse,
    },
    wire::{List, Records},
};
use runtime::Class;

use crate::{
    broker::Broker,
    errors::Failure,
    owners::Question,
    partition::Sequenced,
    raft_log::RaftLog,
    request::{Reply, RequestContext, RequestError, Response},
};

/// From this version on topics are named by id (KIP-516).
const VERSION_TOPIC_IDS: i16 = 13;

/// One batch on its way to the partition's owner.
struct Sent {
    key: PartitionKey,
    records: Buf,
}

/// One partition of the request, in the request's order.
struct Slot {
    owner: Option<ShardId>,
    outcome: Result<Sequenced, Failure>,
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let (acks, mut slots, sent) = {
        let request: ProduceRequest<'_> = context.decode()?;
        let (slots, sent) = resolve(&context, &request);
        (request.acks, slots, sent)
    };
    let there = move |broker: Rc<Broker>, sent: Vec<Sent>| async move {
        let (outcomes, awaited) = sequence(&broker, sent, acks).await;
        (outcomes, wait_committed(awaited))
    };
    let (outcomes, committed) = broker
        .ask_owners_in_two(Class::Produce, "produce", sent, there)
        .await;
    let open = slots.iter_mut().filter(|slot| slot.owner.is_some());
    for (slot, outcome) in open.zip(outcomes) {
        slot.outcome = outcome;
    }
    count(&broker, &slots);
    if acks == 0 {
        let failed = slots.iter().find_map(|slot| slot.outcome.as_ref().err());
        return match failed {
            Some(failure) => Err(RequestError::Unacknowledged(failure.text())),
            None => Ok(Reply::Silent),
        };
    }
    Ok(Reply::Later(Box::pin(async move {
        let committed = committed.await;
        let open = slots.iter_mut().filter(|slot| slot.owner.is_some());
        for (slot, is_committed) in open.zip(committed) {
            if slot.outcome.is_ok() && !is_committed {
                let text = "leadership or the log was lost before the batch was committed";
                slot.outcome = Err(Failure::new(ErrorCode::NotLeaderOrFollower, text));
            }
        }
        respond(&context, slots)
    })))
}

/// Finds each partition's owner; what has none is refused at once.
fn resolve(
    context: &RequestContext,
    request: &ProduceRequest<'_>,
) -> (Vec<Slot>, Vec<Question<Sent>>) {
    let mut slots = Vec::new();
    let mut sent = Vec::new();
    let refusal = refuse_whole(request);
    for topic in &request.topic_data {
        let found = match &refusal {
            Some(failure) => Err(failure.clone()),
            None => resolve_topic(context, &topic),
        };
        for data in &topic.partition_data {
            let mut key = PartitionKey {
                topic: TopicId::ZERO,
                partition: PartitionIndex(data.index),
            };
            let place = found.clone().and_then(|topic| {
                key.topic = topic;
                let owner = context.broker.owner(key);
                owner.ok_or_else(|| ErrorCode::UnknownTopicOrPartition.into())
            });
            let owner = place.as_ref().ok().copied();
            if let Some(to) = owner {
                let records = match data.records {
                    Records::Wire(bytes) => context.frame.slice_ref(bytes),
                    Records::Null | Records::Chain(_) => Buf::new(),
                };
                sent.push(Question {
                    to,
                    ask: Sent { key, records },
                });
            }
            // Replaced by the owner's answer where there is an owner.
            let failure = place
                .err()
                .unwrap_or_else(|| ErrorCode::UnknownServerError.into());
            slots.push(Slot {
                owner,
                outcome: Err(failure),
            });
        }
    }
    (slots, sent)
}

fn refuse_whole(request: &ProduceRequest<'_>) -> Option<Failure> {
    if request.transactional_id.is_some() {
        let text = "transactions are not supported yet";
        return Some(Failure::new(ErrorCode::InvalidTxnState, text));
    }
    if !(-1..=1).contains(&request.acks) {
        return Some(ErrorCode::InvalidRequiredAcks.into());
    }
    None
}

fn resolve_topic(
    context: &RequestContext,
    topic: &TopicProduceData<'_>,
) -> Result<TopicId, Failure> {
    context.broker.with_metadata(|image| {
        let (found, unknown) = match context.version >= VERSION_TOPIC_IDS {
            true => (image.topic(topic.topic_id), ErrorCode::UnknownTopicId),
            false => (
                image.topic_named(&topic.name),
                ErrorCode::UnknownTopicOrPartition,
            ),
        };
        let found = found.ok_or(unknown)?;
        if found.internal {
            let text = format!("{} is an internal topic", found.name);
            return Err(Failure::new(ErrorCode::InvalidTopicException, text));
        }
        Ok(found.id)
    })
}

/// On the owner's shard: every batch gets its place or its refusal. Also what of it to wait for.
async fn sequence(
    broker: &Rc<Broker>,
    sent: Vec<Sent>,
    acks: i16,
) -> (Vec<Result<Sequenced, Failure>>, Vec<Option<Awaited>>) {
    let mut outcomes = Vec::with_capacity(sent.len());
    let mut awaited = Vec::with_capacity(sent.len());
    for Sent { key, records } in sent {
        let partition = broker.partition(key);
        let outcome = match &partition {
            Some(partition) => partition
                .produce(&records, acks == -1, &broker.checks)
                .await
                .map_err(Failure::from),
            // Deleted meanwhile, or the log could not be created yet.
            None => Err(ErrorCode::NotLeaderOrFollower.into()),
        };
        let sequenced = outcome.as_ref().ok().filter(|_| acks != 0);
        let awaits = sequenced.and_then(|sequenced| sequenced.awaits);
        awaited.push(partition.zip(awaits).map(|(partition, awaits)| Awaited {
            raft: partition.raft().clone(),
            leader_epoch: awaits.0,
            index: awaits.1,
        }));
        outcomes.push(outcome);
        if runtime::should_yield() {
            runtime::yield_now().await;
        }
    }
    (outcomes, awaited)
}

fn count(broker: &Broker, slots: &[Slot]) {
    broker.metrics.update(|metrics| {
        for slot in slots {
            match &slot.outcome {
                Err(_) => metrics.produce_errors += 1,
                Ok(sequenced) if sequenced.is_duplicate => metrics.produce_duplicates += 1,
                Ok(sequenced) => {
                    metrics.produced_batches += 1;
                    metrics.produced_bytes += sequenced.bytes as u64;
                    metrics.produced_records += u64::from(sequenced.records.unsigned_abs());
                }
            }
        }
    });
}

/// What to wait for on the owner's shard.
struct Awaited {
    raft: Rc<RaftLog>,
    leader_epoch: LeaderEpoch,
    index: RaftIndex,
}

/// On the owner's shard: whether each batch is committed; true where there is none to wait for.
async fn wait_committed(awaited: Vec<Option<Awaited>>) -> Vec<bool> {
    let mut committed = Vec::with_capacity(awaited.len());
    for awaited in awaited {
        committed.push(match awaited {
            None => true,
            Some(Awaited {
                raft,
                leader_epoch,
                index,
            }) => raft.wait_committed(leader_epoch, index).await,
        });
    }
    committed
}

fn respond(context: &RequestContext, slots: Vec<Slot>) -> Result<Response, RequestError> {
    let request: ProduceRequest<'_> = context.decode()?;
    let mut slots = slots.into_iter();
    let topics = request.topic_data.iter().map(|topic| {
        let partitions = topic.partition_data.iter().zip(slots.by_ref());
        let partition_responses = partitions.map(|(data, slot)| answer(data.index, slot.outcome));
        TopicProduceResponse {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partition_responses: partition_responses.collect::<Vec<_>>().into(),
        }
    });
    let topics: Vec<_> = topics.collect();
    context.encode(&ProduceResponse {
        responses: List::from(topics),
        ..ProduceResponse::default()
    })
}

fn answer(index: i32, outcome: Result<Sequenced, Failure>) -> PartitionProduceResponse<'static> {
    let unset = PartitionProduceResponse {
        index,
        base_offset: -1,
        log_append_time_ms: -1,
        log_start_offset: -1,
        current_leader: LeaderIdAndEpoch::default(),
        ..PartitionProduceResponse::default()
    };
    match outcome {
        Ok(sequenced) => PartitionProduceResponse {
            base_offset: sequenced.base_offset.0,
            log_append_time_ms: sequenced.log_append_time.0,
            log_start_offset: sequenced.log_start_offset.0,
            ..unset
        },
        Err(failure) => PartitionProduceResponse {
            error_code: failure.code.code(),
            error_message: failure.message.map(Into::into),
            ..unset
        },
    }
}
