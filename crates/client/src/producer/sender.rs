//! The sending task of a producer: what leaves when, and what each answer means.

use std::{collections::BTreeMap, rc::Rc, time::Duration};

use base::{BrokerId, Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs};
use iobuf::IoBuf;
use kafka::{
    error::ErrorCode,
    messages::{
        init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
        produce::{PartitionProduceData, ProduceRequest, ProduceResponse, TopicProduceData},
    },
    wire::Records,
};
use runtime::{Class, Instant};

use super::{
    Acks, QueueKey, Shared,
    queue::{Batch, BatchAck, PartitionQueue, Stamp},
};
use crate::{Client, ClientError, Connection, InFlight, ProduceError, client::Backoff};

/// Longest sleep without news.
const IDLE: Duration = Duration::from_secs(60);

/// Requests on their way, per broker.
type Load = Rc<std::cell::RefCell<BTreeMap<BrokerId, usize>>>;

/// Batches of one request, in its order.
type Sent = Vec<(QueueKey, Batch)>;

pub(super) async fn run(shared: Rc<Shared>) {
    let load = Load::default();
    let mut backoff = Backoff::new(shared.client.config().retry_backoff);
    loop {
        let woken = shared.wake.notified();
        if shared.closed.get() {
            fail_all(&shared);
            shared.client.close_lane(shared.lane);
            return;
        }
        let pause = match step(&shared, &load).await {
            Ok(next) => {
                backoff = Backoff::new(shared.client.config().retry_backoff);
                next.map_or(IDLE, |at| at.since(runtime::now()))
            }
            Err(error) => {
                tracing::debug!(%error, "the producer cannot send now");
                backoff.next()
            }
        };
        // Elapsed or woken: both mean looking again.
        let _ = runtime::timeout(pause, woken).await;
    }
}

/// Sends what may leave now; the time to look again without news.
async fn step(shared: &Rc<Shared>, load: &Load) -> Result<Option<Instant>, ClientError> {
    expire(shared);
    if shared.config.idempotent && shared.unresolved.get() > 0 {
        renew_identity(shared).await?;
    }
    let again = refresh_leaders(shared).await?;
    let mut next;
    loop {
        let chosen;
        (chosen, next) = choose(shared, load);
        let Some((broker, keys)) = chosen else { break };
        send(shared, load, broker, keys).await?;
    }
    Ok(match (next, again) {
        (Some(next), Some(again)) => Some(next.min(again)),
        (next, again) => next.or(again),
    })
}

/// The first broker with something to send and room for a request, and the partitions to take a batch of.
fn choose(shared: &Shared, load: &Load) -> (Option<(BrokerId, Vec<QueueKey>)>, Option<Instant>) {
    let now = runtime::now();
    let eager = shared.flushing.get() > 0;
    let renewing = any_broken(shared);
    let mut next: Option<Instant> = None;
    let mut chosen: Option<(BrokerId, Vec<QueueKey>)> = None;
    let mut bytes = 0;
    for (key, queue) in shared.queues.borrow().iter() {
        let head = match sendable(shared, queue, now, eager, renewing) {
            Sendable::Now(bytes) => bytes,
            Sendable::At(at) => {
                next = Some(next.map_or(at, |next| next.min(at)));
                continue;
            }
            Sendable::No => continue,
        };
        let Ok(Some(leader)) = shared.client.leader(&key.0, key.1) else {
            continue;
        };
        let in_flight = load.borrow().get(&leader).copied().unwrap_or(0);
        if in_flight >= shared.config.in_flight_max {
            continue;
        }
        match &mut chosen {
            None => {
                bytes = head;
                chosen = Some((leader, vec![key.clone()]));
            }
            Some((broker, keys))
                if *broker == leader && bytes + head <= shared.config.request_bytes_max =>
            {
                bytes += head;
                keys.push(key.clone());
            }
            Some(_) => {}
        }
    }
    (chosen, next)
}

enum Sendable {
    /// Bytes of the batch that would leave.
    Now(usize),
    At(Instant),
    No,
}

fn sendable(
    shared: &Shared,
    queue: &PartitionQueue,
    now: Instant,
    eager: bool,
    renewing: bool,
) -> Sendable {
    let window = if shared.config.idempotent {
        shared.config.in_flight_max
    } else {
        1
    };
    if queue.muted && !queue.in_flight.is_empty() || queue.in_flight.len() >= window {
        return Sendable::No;
    }
    if let Some(at) = queue.not_before
        && at > now
    {
        return if queue.is_idle() {
            Sendable::No
        } else {
            Sendable::At(at)
        };
    }
    if queue.broken.is_some() {
        return Sendable::No;
    }
    if let Some(batch) = queue.failed.front() {
        // While a new identity is due, only what the old one may have written is settled first.
        return if renewing && !batch.maybe_written {
            Sendable::No
        } else {
            Sendable::Now(batch.size_bytes())
        };
    }
    if renewing {
        return Sendable::No;
    }
    if let Some(batch) = queue.sealed.front() {
        return Sendable::Now(batch.size_bytes());
    }
    match &queue.open {
        Some(batch) => {
            let due = batch.created.plus(shared.config.linger);
            if eager || due <= now {
                Sendable::Now(batch.size_bytes())
            } else {
                Sendable::At(due)
            }
        }
        None => Sendable::No,
    }
}

/// Takes the batches, puts the request on the wire, and leaves the answer to a task.
async fn send(
    shared: &Rc<Shared>,
    load: &Load,
    leader: BrokerId,
    keys: Vec<QueueKey>,
) -> Result<(), ClientError> {
    let connection = match shared.client.broker(leader, shared.lane).await {
        Ok(connection) => connection,
        Err(error) => {
            // Whoever leads these partitions now may be reachable.
            put_off(shared, &keys, &error);
            return Err(error);
        }
    };
    let mut sent: Sent = Vec::with_capacity(keys.len());
    let mut data: BTreeMap<Rc<str>, Vec<PartitionProduceData<'static>>> = BTreeMap::new();
    for key in keys {
        let Some((batch, bytes)) = take_batch(shared, &key) else {
            continue;
        };
        let partition = PartitionProduceData {
            index: key.1.0,
            records: Records::Chain(IoBuf::from(bytes)),
        };
        data.entry(key.0.clone()).or_default().push(partition);
        sent.push((key, batch));
    }
    if sent.is_empty() {
        return Ok(());
    }
    shared.count(|stats| stats.batches_sent += sent.len() as u64);
    let version = match version(shared, &connection, &data) {
        Ok(version) => version,
        Err(error) => {
            for (key, batch) in sent {
                settle(shared, &key, batch, Err(error.clone().into()));
            }
            return Err(error);
        }
    };
    let request = request(shared, data);
    if shared.config.acks == Acks::None {
        let result = connection.send_unanswered(&request, version).await;
        for (key, batch) in sent {
            let ack = BatchAck {
                base_offset: None,
                append_time: None,
            };
            let result = result.clone().map(|()| ack).map_err(ProduceError::from);
            settle(shared, &key, batch, result);
        }
        return Ok(());
    }
    match connection.begin_at(&request, version).await {
        Ok(in_flight) => {
            *load.borrow_mut().entry(leader).or_default() += 1;
            let answered = answered(shared.clone(), load.clone(), leader, in_flight, sent);
            runtime::spawn(Class::Produce, "producer answer", answered);
            Ok(())
        }
        Err(error) => {
            // It never left, so nothing of it can be in the log.
            for (key, batch) in sent {
                failed(shared, &key, batch, &error, false);
            }
            Err(error)
        }
    }
}

fn take_batch(shared: &Shared, key: &QueueKey) -> Option<(Batch, iobuf::Buf)> {
    let mut queues = shared.queues.borrow_mut();
    let queue = queues.get_mut(key)?;
    let retry = queue.failed.pop_front();
    let again = retry.is_some();
    let mut batch = match retry {
        Some(batch) => batch,
        None => {
            if queue.sealed.is_empty() {
                queue.seal();
            }
            queue.sealed.pop_front()?
        }
    };
    let identity = shared.identity.get().filter(|_| shared.config.idempotent);
    let stamp = match (batch.stamp, identity) {
        // Under its old identity, or what may be written already would be written again.
        (Some(stamp), _) if batch.maybe_written => Some(stamp),
        (Some(stamp), Some((id, epoch))) if (stamp.id, stamp.epoch) == (id, epoch) => Some(stamp),
        (_, Some((id, epoch))) => Some(Stamp {
            id,
            epoch,
            sequence: queue.take_sequence(batch.records),
        }),
        (_, None) => None,
    };
    let bytes = batch.encode(stamp);
    queue.in_flight.push(batch.number);
    shared.count(|stats| {
        stats.bytes_sent += bytes.len() as u64;
        stats.batches_retried += u64::from(again);
    });
    Some((batch, bytes))
}

fn version(
    shared: &Shared,
    connection: &Connection,
    data: &BTreeMap<Rc<str>, Vec<PartitionProduceData<'static>>>,
) -> Result<i16, ClientError> {
    /// From here on topics are named by id only (KIP-516).
    const BY_ID: i16 = 13;
    let ids_known = data.keys().all(|name| {
        let topic = shared.client.cached_topic(name);
        topic.is_some_and(|topic| topic.id != base::TopicId::ZERO)
    });
    let version_max = if ids_known { i16::MAX } else { BY_ID - 1 };
    connection.version::<ProduceRequest<'_>>(version_max)
}

fn request(
    shared: &Shared,
    data: BTreeMap<Rc<str>, Vec<PartitionProduceData<'static>>>,
) -> ProduceRequest<'static> {
    let topics: Vec<_> = data
        .into_iter()
        .map(|(name, partitions)| TopicProduceData {
            topic_id: shared
                .client
                .cached_topic(&name)
                .map_or(base::TopicId::ZERO, |topic| topic.id),
            name: name.to_string().into(),
            partition_data: partitions.into(),
        })
        .collect();
    ProduceRequest {
        transactional_id: None,
        acks: match shared.config.acks {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        },
        timeout_ms: i32::try_from(shared.config.ack_timeout.as_millis()).unwrap_or(i32::MAX),
        topic_data: topics.into(),
    }
}

async fn answered(
    shared: Rc<Shared>,
    load: Load,
    broker: BrokerId,
    in_flight: InFlight,
    sent: Sent,
) {
    let answer = in_flight.answer().await;
    if let Some(count) = load.borrow_mut().get_mut(&broker) {
        *count -= 1;
    }
    let decoded = match &answer {
        Ok(answer) => answer.decode::<ProduceResponse<'_>>(),
        Err(error) => Err(error.clone()),
    };
    match decoded {
        Ok(response) => {
            let verdicts = verdicts(&shared, &sent, &response);
            for ((name, partition), batch) in sent {
                let verdict = verdicts.get(&(name.clone(), partition)).cloned();
                judge(&shared, (name, partition), batch, verdict);
            }
        }
        Err(error) => {
            for (key, batch) in sent {
                failed(&shared, &key, batch, &error, true);
            }
        }
    }
    shared.wake.notify_one();
}

/// What the broker says of one batch.
#[derive(Clone)]
struct Verdict {
    code: ErrorCode,
    message: Option<String>,
    base_offset: i64,
    append_time: i64,
}

fn verdicts(
    shared: &Shared,
    sent: &Sent,
    response: &ProduceResponse<'_>,
) -> BTreeMap<QueueKey, Verdict> {
    let mut verdicts = BTreeMap::new();
    for topic in &response.responses {
        let named = |name: &Rc<str>| {
            if topic.name.is_empty() {
                let topic_metadata = shared.client.cached_topic(name);
                topic_metadata.is_some_and(|found| found.id == topic.topic_id)
            } else {
                **name == *topic.name
            }
        };
        let mut names = sent.iter().map(|((name, _), _)| name);
        let Some(name) = names.find(|name| named(name)).cloned() else {
            continue;
        };
        for partition in &topic.partition_responses {
            let code = ErrorCode::from_i16(partition.error_code);
            let verdict = Verdict {
                code: code.unwrap_or(ErrorCode::UnknownServerError),
                message: partition.error_message.as_deref().map(str::to_owned),
                base_offset: partition.base_offset,
                append_time: partition.log_append_time_ms,
            };
            verdicts.insert((name.clone(), PartitionIndex(partition.index)), verdict);
        }
    }
    verdicts
}

fn judge(shared: &Shared, key: QueueKey, batch: Batch, verdict: Option<Verdict>) {
    let Some(verdict) = verdict else {
        let error = ClientError::Broker {
            what: format!("producing to {}/{}", key.0, key.1),
            code: ErrorCode::UnknownServerError,
            message: Some("the answer leaves out the partition".into()),
        };
        return failed(shared, &key, batch, &error, true);
    };
    let error = ClientError::Broker {
        what: format!("producing to {}/{}", key.0, key.1),
        code: verdict.code,
        message: verdict.message,
    };
    match verdict.code {
        ErrorCode::None | ErrorCode::DuplicateSequenceNumber => {
            let duplicate = verdict.code == ErrorCode::DuplicateSequenceNumber;
            let ack = BatchAck {
                base_offset: (verdict.base_offset >= 0 && !duplicate)
                    .then_some(Offset(verdict.base_offset)),
                append_time: (verdict.append_time >= 0).then_some(TimestampMs(verdict.append_time)),
            };
            settle(shared, &key, batch, Ok(ack));
        }
        // The one before it is still to come, so this is no news; otherwise the sequence is broken.
        ErrorCode::OutOfOrderSequenceNumber | ErrorCode::UnknownProducerId => {
            if !unresolved_before(shared, &key, batch.number) {
                break_sequence(shared, &key, verdict.code.name());
            }
            failed(shared, &key, batch, &error, false);
        }
        ErrorCode::InvalidProducerEpoch => {
            break_sequence(shared, &key, verdict.code.name());
            failed(shared, &key, batch, &error, false);
        }
        // After these the batch may be in the log all the same.
        ErrorCode::RequestTimedOut
        | ErrorCode::NotEnoughReplicasAfterAppend
        | ErrorCode::KafkaStorageError => failed(shared, &key, batch, &error, true),
        code if code.is_retriable() => failed(shared, &key, batch, &error, false),
        code => {
            if shared.config.idempotent {
                // Its numbers will never be appended: those behind it need others.
                break_sequence(shared, &key, code.name());
            }
            settle(shared, &key, batch, Err(error.into()));
        }
    }
}

fn unresolved_before(shared: &Shared, key: &QueueKey, number: u64) -> bool {
    let queues = shared.queues.borrow();
    queues
        .get(key)
        .is_some_and(|queue| queue.unresolved_before(number))
}

fn break_sequence(shared: &Shared, key: &QueueKey, why: &str) {
    if let Some(queue) = shared.queues.borrow_mut().get_mut(key) {
        queue.broken.get_or_insert_with(|| why.to_owned());
    }
}

fn any_broken(shared: &Shared) -> bool {
    let queues = shared.queues.borrow();
    queues.values().any(|queue| queue.broken.is_some())
}

/// An attempt failed: the batch goes again, in its place, after a pause.
fn failed(
    shared: &Shared,
    key: &QueueKey,
    mut batch: Batch,
    error: &ClientError,
    maybe_written: bool,
) {
    batch.maybe_written |= maybe_written;
    batch.last_error = Some(error.to_string());
    if !shared.config.idempotent && !error.is_retriable() {
        return settle(shared, key, batch, Err(error.clone().into()));
    }
    let pause = shared.client.config().retry_backoff;
    let mut queues = shared.queues.borrow_mut();
    if let Some(queue) = queues.get_mut(key) {
        queue.not_before = Some(runtime::now().plus(pause));
        let number = batch.number;
        queue.put_back(batch);
        queue.answered(number);
    }
    drop(queues);
    stale(shared, key, error);
}

/// Forgets the topic's metadata when the error says that it is out of date.
fn stale(shared: &Shared, key: &QueueKey, error: &ClientError) {
    let elsewhere = match error {
        ClientError::Broker { code, .. } => matches!(
            code,
            ErrorCode::NotLeaderOrFollower
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::UnknownTopicOrPartition
                | ErrorCode::UnknownTopicId
                | ErrorCode::FencedLeaderEpoch
                | ErrorCode::KafkaStorageError
        ),
        _ => true,
    };
    if elsewhere {
        shared.client.mark_stale(&key.0);
    }
}

fn put_off(shared: &Shared, keys: &[QueueKey], error: &ClientError) {
    let until = runtime::now().plus(shared.client.config().retry_backoff);
    let mut queues = shared.queues.borrow_mut();
    for key in keys {
        if let Some(queue) = queues.get_mut(key) {
            queue.not_before = Some(until);
            let waiting = queue.failed.front_mut().or(queue.sealed.front_mut());
            if let Some(batch) = waiting.or(queue.open.as_mut()) {
                batch.last_error = Some(error.to_string());
            }
        }
    }
    drop(queues);
    for key in keys {
        stale(shared, key, error);
    }
}

/// The final result of a batch.
fn settle(shared: &Shared, key: &QueueKey, batch: Batch, result: Result<BatchAck, ProduceError>) {
    if let Some(queue) = shared.queues.borrow_mut().get_mut(key) {
        queue.answered(batch.number);
    }
    shared.count(|stats| match &result {
        Ok(_) => stats.records_acknowledged += u64::from(batch.records),
        Err(_) => stats.records_failed += u64::from(batch.records),
    });
    if let Err(error) = &result {
        shared
            .first_error
            .borrow_mut()
            .get_or_insert_with(|| error.clone());
    }
    batch.outcome.set(result);
    shared.unresolved.set(shared.unresolved.get() - 1);
    shared.progress.notify_all();
}

/// Fails batches that had no result within `delivery_timeout`.
fn expire(shared: &Shared) {
    let now = runtime::now();
    let after = shared.config.delivery_timeout;
    let mut expired = Vec::new();
    for (key, queue) in shared.queues.borrow_mut().iter_mut() {
        let late = |batch: &Batch| batch.created.plus(after) <= now;
        while let Some(batch) = queue.failed.pop_front_if(|batch| late(batch)) {
            if shared.config.idempotent && batch.stamp.is_some() {
                queue
                    .broken
                    .get_or_insert_with(|| "a batch was given up".to_owned());
            }
            expired.push((key.clone(), batch));
        }
        // Those behind a failed batch are younger.
        if !queue.failed.is_empty() {
            continue;
        }
        while let Some(batch) = queue.sealed.pop_front_if(|batch| late(batch)) {
            expired.push((key.clone(), batch));
        }
        if queue.open.as_ref().is_some_and(late) {
            expired.extend(queue.open.take().map(|batch| (key.clone(), batch)));
        }
    }
    for (key, batch) in expired {
        let last = batch.last_error.clone();
        let error = ProduceError::DeliveryTimeout {
            after,
            last: last.unwrap_or_else(|| "the broker did not answer in time".into()),
        };
        settle(shared, &key, batch, Err(error));
    }
}

fn fail_all(shared: &Shared) {
    let mut left = Vec::new();
    for (key, queue) in shared.queues.borrow_mut().iter_mut() {
        queue.seal();
        let batches = queue.failed.drain(..).chain(queue.sealed.drain(..));
        left.extend(batches.map(|batch| (key.clone(), batch)));
    }
    for (key, batch) in left {
        settle(shared, &key, batch, Err(ProduceError::Closed));
    }
}

/// Gets an identity; a new one when a sequence is broken and nothing that may be written under the old one is open.
async fn renew_identity(shared: &Shared) -> Result<(), ClientError> {
    let broken = any_broken(shared);
    if shared.identity.get().is_some() && !broken {
        return Ok(());
    }
    if broken {
        give_up_unknown(shared);
        let queues = shared.queues.borrow();
        let open = queues.values().any(|queue| {
            !queue.in_flight.is_empty() || queue.failed.iter().any(|batch| batch.maybe_written)
        });
        if open {
            return Ok(());
        }
    }
    let identity = init_producer_id(&shared.client).await?;
    shared.identity.set(Some(identity));
    for queue in shared.queues.borrow_mut().values_mut() {
        queue.next_sequence = 0;
        queue.broken = None;
    }
    Ok(())
}

/// In partitions whose sequence is broken, fails batches of unknown fate.
fn give_up_unknown(shared: &Shared) {
    let mut given_up = Vec::new();
    for (key, queue) in shared.queues.borrow_mut().iter_mut() {
        let Some(why) = queue.broken.clone() else {
            continue;
        };
        if !queue.in_flight.is_empty() {
            continue;
        }
        let failed = std::mem::take(&mut queue.failed);
        for batch in failed {
            if batch.maybe_written {
                given_up.push((key.clone(), batch, why.clone()));
            } else {
                queue.failed.push_back(batch);
            }
        }
    }
    for (key, batch, why) in given_up {
        settle(shared, &key, batch, Err(ProduceError::Sequence(why)));
    }
}

/// An id for a producer without transactions.
pub async fn init_producer_id(client: &Client) -> Result<(ProducerId, ProducerEpoch), ClientError> {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        producer_id: -1,
        producer_epoch: -1,
    };
    let connection = client.any_broker().await?;
    let answer = connection.call(&request, i16::MAX).await?;
    let response: InitProducerIdResponse = answer.decode()?;
    ClientError::check(response.error_code, || "InitProducerId".into(), None)?;
    Ok((
        ProducerId(response.producer_id),
        ProducerEpoch(response.producer_epoch),
    ))
}

/// Asks again for topics whose leaders are unknown or out of date; when to ask once more, if some stay unknown.
async fn refresh_leaders(shared: &Shared) -> Result<Option<Instant>, ClientError> {
    let mut unknown: Vec<Rc<str>> = Vec::new();
    for (key, queue) in shared.queues.borrow().iter() {
        if queue.is_idle() || unknown.last() == Some(&key.0) {
            continue;
        }
        let known = shared.client.leader(&key.0, key.1);
        if !matches!(known, Ok(Some(_))) || shared.client.is_stale(&key.0) {
            unknown.push(key.0.clone());
        }
    }
    if unknown.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = unknown.iter().map(|name| &**name).collect();
    match shared.client.refresh(&names).await {
        // Other topics must not wait for one that is not there; its batches expire.
        Ok(_) | Err(ClientError::UnknownTopic(_) | ClientError::Broker { .. }) => {
            let pause = shared.client.config().retry_backoff;
            Ok(Some(runtime::now().plus(pause)))
        }
        Err(error) => Err(error),
    }
}
