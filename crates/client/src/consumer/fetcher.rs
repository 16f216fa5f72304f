//! Fetches of a consumer: one on its way per leader, and what each answer means.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use base::{BrokerId, Offset, PartitionIndex, TopicId};
use iobuf::Buf;
use kafka::{
    batch::{batches, without_aborted},
    error::ErrorCode,
    messages::fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic},
};
use runtime::{Class, Instant};

use super::{Fetched, Isolation, Shared, TopicPartition};
use crate::ClientError;

/// From here on topics are named by id only (KIP-516).
const BY_ID: i16 = 13;

/// One partition's part of an answer.
pub(super) struct Arrival {
    partition: TopicPartition,
    /// The position it was asked for.
    from: Offset,
    result: Result<Arrived, ClientError>,
}

struct Arrived {
    high_watermark: Offset,
    records: Buf,
}

/// What an arrival comes to.
pub(super) enum Taken {
    Records(Fetched),
    Nothing,
    OutOfRange(TopicPartition),
    Failed(ClientError),
}

/// A partition to fetch, and from where.
type Wanted = (TopicPartition, Offset);

/// Starts a fetch at every leader without one; when to look again because something waits after an error.
pub(super) async fn start(shared: &Rc<Shared>) -> Option<Instant> {
    let retry_at = refresh(shared).await;
    let now = runtime::now();
    let mut by_leader: BTreeMap<BrokerId, Vec<Wanted>> = BTreeMap::new();
    let mut next = retry_at;
    let arrived: Vec<TopicPartition> = {
        let arrived = shared.arrived.borrow();
        arrived.iter().map(|a| a.partition.clone()).collect()
    };
    for (partition, position) in shared.positions.borrow().iter() {
        if position.fetching || position.is_paused || arrived.contains(partition) {
            continue;
        }
        if let Some(at) = position.not_before
            && at > now
        {
            next = Some(next.map_or(at, |next| next.min(at)));
            continue;
        }
        if let Ok(Some(leader)) = shared.client.leader(&partition.0, partition.1)
            && !shared.busy.borrow().contains(&leader)
        {
            let wanted = by_leader.entry(leader).or_default();
            wanted.push((partition.clone(), position.next));
        }
    }
    for (leader, wanted) in by_leader {
        let mut positions = shared.positions.borrow_mut();
        for (partition, _) in &wanted {
            if let Some(position) = positions.get_mut(partition) {
                position.fetching = true;
            }
        }
        drop(positions);
        shared.busy.borrow_mut().insert(leader);
        let fetch = fetch(shared.clone(), leader, wanted);
        runtime::spawn(Class::Fetch, "consumer fetch", fetch);
    }
    next
}

/// Asks again for topics whose leaders are unknown or out of date.
async fn refresh(shared: &Shared) -> Option<Instant> {
    let mut names: Vec<Rc<str>> = Vec::new();
    for (topic, partition) in shared.positions.borrow().keys() {
        let known = shared.client.leader(topic, *partition);
        let unknown = !matches!(known, Ok(Some(_))) || shared.client.is_stale(topic);
        if unknown && names.last() != Some(topic) {
            names.push(topic.clone());
        }
    }
    if names.is_empty() {
        return None;
    }
    let asked: Vec<&str> = names.iter().map(|name| &**name).collect();
    // Whatever stays unknown is asked for again after the pause.
    if let Err(error) = shared.client.refresh(&asked).await {
        tracing::debug!(%error, "reading metadata failed");
    }
    Some(runtime::now().plus(shared.client.config().retry_backoff))
}

async fn fetch(shared: Rc<Shared>, leader: BrokerId, wanted: Vec<Wanted>) {
    let result = request(&shared, leader, &wanted).await;
    shared.busy.borrow_mut().remove(&leader);
    let mut arrivals = match result {
        Ok(arrivals) => arrivals,
        Err(error) => {
            let mut arrivals = BTreeMap::new();
            for (partition, _) in &wanted {
                arrivals.insert(partition.clone(), Err(error.clone()));
            }
            arrivals
        }
    };
    let mut positions = shared.positions.borrow_mut();
    let mut arrived = shared.arrived.borrow_mut();
    for (partition, from) in wanted {
        if let Some(position) = positions.get_mut(&partition) {
            position.fetching = false;
        }
        if let Some(result) = arrivals.remove(&partition) {
            arrived.push_back(Arrival {
                partition,
                from,
                result,
            });
        }
    }
    drop((positions, arrived));
    shared.news.notify_all();
}

async fn request(
    shared: &Shared,
    leader: BrokerId,
    wanted: &[Wanted],
) -> Result<BTreeMap<TopicPartition, Result<Arrived, ClientError>>, ClientError> {
    let connection = shared.client.broker(leader, shared.lane).await?;
    let mut topics: BTreeMap<Rc<str>, Vec<FetchPartition>> = BTreeMap::new();
    for ((topic, partition), from) in wanted {
        let partition = FetchPartition {
            partition: partition.0,
            current_leader_epoch: -1,
            fetch_offset: from.0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: shared.config.partition_bytes_max,
            ..Default::default()
        };
        topics.entry(topic.clone()).or_default().push(partition);
    }
    let ids: BTreeMap<Rc<str>, TopicId> = topics
        .keys()
        .map(|name| {
            let topic = shared.client.cached_topic(name);
            (name.clone(), topic.map_or(TopicId::ZERO, |topic| topic.id))
        })
        .collect();
    let ids_known = ids.values().all(|id| *id != TopicId::ZERO);
    let version_max = if ids_known { i16::MAX } else { BY_ID - 1 };
    let version = connection.version::<FetchRequest<'_>>(version_max)?;
    let topics: Vec<_> = topics
        .iter()
        .map(|(name, partitions)| FetchTopic {
            topic: (&**name).into(),
            topic_id: ids[name],
            partitions: partitions.clone().into(),
        })
        .collect();
    let config = &shared.config;
    let request = FetchRequest {
        replica_id: -1,
        max_wait_ms: i32::try_from(config.fetch_wait.as_millis()).unwrap_or(i32::MAX),
        min_bytes: config.fetch_bytes_min,
        max_bytes: config.fetch_bytes_max,
        isolation_level: match config.isolation {
            Isolation::ReadUncommitted => 0,
            Isolation::ReadCommitted => 1,
        },
        session_id: 0,
        // No session: every request names all its partitions.
        session_epoch: -1,
        topics: topics.into(),
        ..Default::default()
    };
    let in_flight = connection.begin_at(&request, version).await?;
    let patience = config.fetch_wait + shared.client.config().request_timeout;
    let answer = in_flight.answer_within(patience).await?;
    let response: FetchResponse<'_> = answer.decode()?;
    ClientError::check(response.error_code, || "Fetch".into(), None)?;
    let mut arrivals = BTreeMap::new();
    for topic in &response.responses {
        let by_id = ids.iter().find(|(_, id)| **id == topic.topic_id);
        let name: Rc<str> = match by_id {
            Some((name, _)) if topic.topic.is_empty() => name.clone(),
            _ => topic.topic.as_ref().into(),
        };
        for partition in &topic.partitions {
            let what = || format!("fetching from {name}/{}", partition.partition_index);
            let checked = ClientError::check(partition.error_code, what, None);
            let result = checked.map(|()| {
                let bytes = partition.records.as_wire().unwrap_or_default();
                let aborted = partition.aborted_transactions.iter().flatten();
                let aborted: Vec<_> = aborted
                    .map(|t| (Offset(t.first_offset), t.producer_id))
                    .collect();
                let (end, records) = match config.isolation {
                    Isolation::ReadCommitted if !aborted.is_empty() => {
                        let kept = without_aborted(bytes, aborted);
                        (partition.last_stable_offset, Buf::from(kept))
                    }
                    Isolation::ReadCommitted => {
                        (partition.last_stable_offset, answer.frame.slice_ref(bytes))
                    }
                    Isolation::ReadUncommitted => {
                        (partition.high_watermark, answer.frame.slice_ref(bytes))
                    }
                };
                Arrived {
                    high_watermark: Offset(end),
                    records,
                }
            });
            let key = (name.clone(), PartitionIndex(partition.partition_index));
            arrivals.insert(key, result);
        }
    }
    Ok(arrivals)
}

/// Takes one arrival into account. The partition may have moved or gone since it was asked for.
pub(super) fn take(shared: &Shared, arrival: Arrival) -> Taken {
    let Arrival {
        partition,
        from,
        result,
    } = arrival;
    let mut positions = shared.positions.borrow_mut();
    let Some(position) = positions.get_mut(&partition) else {
        return Taken::Nothing;
    };
    if position.next != from {
        return Taken::Nothing;
    }
    let arrived = match result {
        Ok(arrived) => arrived,
        Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
            drop(positions);
            return Taken::OutOfRange(partition);
        }
        Err(error) if error.is_retriable() => {
            let pause: Duration = shared.client.config().retry_backoff;
            position.not_before = Some(runtime::now().plus(pause));
            drop(positions);
            shared.client.mark_stale(&partition.0);
            tracing::debug!(%error, "fetching again");
            return Taken::Nothing;
        }
        Err(error) => return Taken::Failed(error),
    };
    position.not_before = None;
    position.high_watermark = Some(arrived.high_watermark);
    let mut next = from;
    for batch in batches(&arrived.records) {
        match batch {
            Ok((header, _)) => next = next.max(header.last_offset().plus(1)),
            Err(error) => {
                return Taken::Failed(ClientError::Broker {
                    what: format!("records of {}/{}: {error}", partition.0, partition.1),
                    code: ErrorCode::CorruptMessage,
                    message: None,
                });
            }
        }
    }
    if next == from {
        return Taken::Nothing;
    }
    position.next = next;
    Taken::Records(Fetched {
        topic: partition.0,
        partition: partition.1,
        from,
        next,
        high_watermark: arrived.high_watermark,
        records: arrived.records,
    })
}
