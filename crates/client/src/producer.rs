//! Producer: batching by partition, idempotent delivery in order, bounded memory.
//!
//! # Place       one shard's; a task of its own sends
//! # Invariants
//! 1. Records of one partition are appended in the order of `send`, also over retries.
//! 2. With `idempotent`, no record is appended twice (KIP-98). When a sequence breaks, batches whose fate is unknown
//!    fail with [`ProduceError::Sequence`]; they are never sent under another id.
//! # Limits      `buffer_bytes` of records not yet acknowledged: `send` waits for room

pub mod partitioner;
mod queue;
mod sender;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    rc::Rc,
    time::Duration,
};

use base::{Offset, PartitionIndex, ProducerEpoch, ProducerId, TimestampMs};
use kafka::batch::Compression;
use runtime::{Class, budget::Budget, sync::Notify};

use crate::{Client, ClientError, Lane, ProduceError, metadata::TopicMetadata};
use partitioner::{Sticky, partition_for_key};
use queue::{Batch, Outcome, PartitionQueue};

pub use sender::init_producer_id;

/// Who must have a batch before it counts as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    None,
    Leader,
    All,
}

/// How a producer batches and retries.
#[derive(Clone, Debug)]
pub struct ProducerConfig {
    pub acks: Acks,
    /// Needs `Acks::All`; without it, one batch per partition is in flight, so that order holds over retries.
    pub idempotent: bool,
    pub compression: Compression,
    /// A batch is sent when it holds so much (before compression), or `linger` after its first record.
    pub batch_bytes: usize,
    pub linger: Duration,
    pub buffer_bytes: u64,
    /// Batches that go together to one broker.
    pub request_bytes_max: usize,
    /// Requests in flight per broker, and batches per partition; at most 5 when idempotent.
    pub in_flight_max: usize,
    /// From `send` to the result, retries included.
    pub delivery_timeout: Duration,
    /// How long the broker may wait for other replicas.
    pub ack_timeout: Duration,
}

impl Default for ProducerConfig {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            idempotent: true,
            compression: Compression::None,
            batch_bytes: 64 << 10,
            linger: Duration::from_millis(5),
            buffer_bytes: 32 << 20,
            request_bytes_max: 1 << 20,
            in_flight_max: 5,
            delivery_timeout: Duration::from_secs(120),
            ack_timeout: Duration::from_secs(30),
        }
    }
}

/// A record to send. Without a timestamp it gets the time of `send`; without a partition, its key's.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProducerRecord<'a> {
    pub topic: &'a str,
    pub partition: Option<PartitionIndex>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, Option<&'a [u8]>)],
    pub timestamp: Option<TimestampMs>,
}

impl ProducerRecord<'_> {
    /// Upper bound of the record's bytes in a batch: its varints are at most 10 bytes each.
    fn bytes_max(&self) -> usize {
        let field = |bytes: Option<&[u8]>| bytes.map_or(0, <[u8]>::len) + 5;
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + 5 + field(*value))
            .sum();
        21 + field(self.key) + field(self.value) + 5 + headers
    }
}

/// Where an acknowledged record lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordAck {
    pub partition: PartitionIndex,
    /// `None` with `Acks::None`, and for a repetition whose place the broker has forgotten.
    pub offset: Option<Offset>,
    /// The broker's time when the topic has LogAppendTime.
    pub append_time: Option<TimestampMs>,
}

/// The fate of one record; may be dropped.
pub struct Delivery {
    outcome: Rc<Outcome>,
    partition: PartitionIndex,
    index: u32,
}

impl Delivery {
    /// Waits for the acknowledgement.
    pub async fn ack(&self) -> Result<RecordAck, ProduceError> {
        loop {
            let done = self.outcome.done.notified();
            if let Some(result) = self.result() {
                return result;
            }
            done.await;
        }
    }

    /// The result when it is there already.
    #[must_use]
    pub fn result(&self) -> Option<Result<RecordAck, ProduceError>> {
        let result = self.outcome.result.borrow();
        result.as_ref().map(|result| {
            result.clone().map(|ack| RecordAck {
                partition: self.partition,
                offset: ack.base_offset.map(|base| base.plus(i64::from(self.index))),
                append_time: ack.append_time,
            })
        })
    }
}

/// Counters of a producer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProducerStats {
    pub records_acknowledged: u64,
    pub records_failed: u64,
    pub batches_sent: u64,
    pub batches_retried: u64,
    pub bytes_sent: u64,
}

/// Cheap to clone. Dropping the last clone stops sending; `close` sends what is left first.
#[derive(Clone)]
pub struct Producer {
    shared: Rc<Shared>,
    _open: Rc<StopOnDrop>,
}

struct StopOnDrop(Rc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.closed.set(true);
        self.0.wake.notify_one();
    }
}

type QueueKey = (Rc<str>, PartitionIndex);

/// State shared with the sending task. No borrow lives across an await.
struct Shared {
    client: Client,
    lane: Lane,
    config: ProducerConfig,
    memory: Budget,
    queues: RefCell<BTreeMap<QueueKey, PartitionQueue>>,
    sticky: RefCell<BTreeMap<Rc<str>, Sticky>>,
    identity: Cell<Option<(ProducerId, ProducerEpoch)>>,
    /// The sending task has something new to look at.
    wake: Notify,
    /// A batch got its result.
    progress: Notify,
    /// Batches without a result.
    unresolved: Cell<usize>,
    flushing: Cell<usize>,
    closed: Cell<bool>,
    first_error: RefCell<Option<ProduceError>>,
    stats: Cell<ProducerStats>,
}

impl Producer {
    #[must_use]
    pub fn new(client: &Client, mut config: ProducerConfig) -> Self {
        config.idempotent &= config.acks == Acks::All;
        config.in_flight_max = config.in_flight_max.clamp(1, 5);
        let shared = Rc::new(Shared {
            client: client.clone(),
            lane: client.new_lane(),
            memory: Budget::new("producer buffer", config.buffer_bytes),
            config,
            queues: RefCell::default(),
            sticky: RefCell::default(),
            identity: Cell::new(None),
            wake: Notify::new(),
            progress: Notify::new(),
            unresolved: Cell::new(0),
            flushing: Cell::new(0),
            closed: Cell::new(false),
            first_error: RefCell::new(None),
            stats: Cell::default(),
        });
        runtime::spawn(
            Class::Produce,
            "producer sender",
            sender::run(shared.clone()),
        );
        Self {
            _open: Rc::new(StopOnDrop(shared.clone())),
            shared,
        }
    }

    /// Puts the record into its partition's batch; waits while the buffer is full. The result comes with the delivery.
    pub async fn send(&self, record: ProducerRecord<'_>) -> Result<Delivery, ProduceError> {
        let shared = &self.shared;
        let bytes = record.bytes_max() + kafka::batch::BATCH_HEADER_BYTES;
        if bytes > shared.config.request_bytes_max {
            return Err(ProduceError::TooLarge {
                bytes,
                bytes_max: shared.config.request_bytes_max,
            });
        }
        let topic = match shared.client.cached_topic(record.topic) {
            Some(topic) => topic,
            None => shared.client.topic(record.topic).await?,
        };
        let mut memory = None;
        loop {
            if shared.closed.get() {
                return Err(ProduceError::Closed);
            }
            let partition = shared.partition(&record, &topic)?;
            if let Some(delivery) = shared.push(&record, &topic.name, partition, &mut memory) {
                return Ok(delivery);
            }
            let wanted = bytes.max(shared.config.batch_bytes) as u64;
            memory = match shared.memory.try_acquire(wanted) {
                Some(permit) => Some(permit),
                // The partition is chosen again afterwards: others sent meanwhile.
                None => {
                    shared.wake.notify_one();
                    Some(shared.memory.acquire(wanted).await)
                }
            };
        }
    }

    /// Waits until everything sent so far has its result; the first failure since the last flush, if any.
    pub async fn flush(&self) -> Result<(), ProduceError> {
        let shared = &self.shared;
        shared.flushing.set(shared.flushing.get() + 1);
        shared.wake.notify_one();
        loop {
            let progress = shared.progress.notified();
            if shared.unresolved.get() == 0 {
                break;
            }
            progress.await;
        }
        shared.flushing.set(shared.flushing.get() - 1);
        shared.first_error.borrow_mut().take().map_or(Ok(()), Err)
    }

    /// Flushes and ends.
    pub async fn close(self) -> Result<(), ProduceError> {
        let result = self.flush().await;
        self.shared.closed.set(true);
        self.shared.wake.notify_one();
        result
    }

    #[must_use]
    pub fn stats(&self) -> ProducerStats {
        self.shared.stats.get()
    }

    /// Id and epoch of an idempotent producer, once it has them.
    #[must_use]
    pub fn identity(&self) -> Option<(ProducerId, ProducerEpoch)> {
        self.shared.identity.get()
    }
}

impl Shared {
    fn partition(
        &self,
        record: &ProducerRecord<'_>,
        topic: &TopicMetadata,
    ) -> Result<PartitionIndex, ProduceError> {
        let count = topic.partitions.len() as u32;
        if let Some(partition) = record.partition {
            return match topic.partition(partition) {
                Some(_) => Ok(partition),
                None => Err(ClientError::UnknownPartition {
                    topic: topic.name.to_string(),
                    partition: partition.0,
                }
                .into()),
            };
        }
        Ok(match record.key {
            Some(key) => partition_for_key(key, count),
            None => {
                let mut sticky = self.sticky.borrow_mut();
                let sticky = sticky.entry(topic.name.clone()).or_default();
                sticky.partition(count, runtime::random_u64)
            }
        })
    }

    /// Appends to the open batch, or opens one with `memory`; `None` when memory is needed first.
    fn push(
        &self,
        record: &ProducerRecord<'_>,
        topic: &Rc<str>,
        partition: PartitionIndex,
        memory: &mut Option<runtime::budget::Permit>,
    ) -> Option<Delivery> {
        let mut queues = self.queues.borrow_mut();
        let key = (topic.clone(), partition);
        if !queues.contains_key(&key) {
            queues.insert(key.clone(), PartitionQueue::default());
        }
        let queue = queues.get_mut(&key).expect("it was just inserted");
        let fits = queue.open.as_ref().is_some_and(|batch| {
            batch.size_bytes() + record.bytes_max() <= self.config.batch_bytes
        });
        if !fits {
            let memory = memory.take()?;
            if queue.open.is_some() {
                queue.seal();
                self.move_sticky(topic, partition);
            }
            queue.open = Some(Batch::new(
                queue.next_number,
                self.config.compression,
                runtime::now(),
                memory,
            ));
            queue.next_number += 1;
            self.unresolved.set(self.unresolved.get() + 1);
            self.wake.notify_one();
        }
        let batch = queue.open.as_mut()?;
        let timestamp = record.timestamp.unwrap_or_else(runtime::wall);
        let index = batch.push(timestamp, record.key, record.value, record.headers)?;
        let delivery = Delivery {
            outcome: batch.outcome.clone(),
            partition,
            index,
        };
        if batch.size_bytes() >= self.config.batch_bytes {
            queue.seal();
            self.move_sticky(topic, partition);
            self.wake.notify_one();
        }
        Some(delivery)
    }

    fn move_sticky(&self, topic: &Rc<str>, full: PartitionIndex) {
        let count = self.client.cached_topic(topic);
        let count = count.map_or(1, |topic| topic.partitions.len() as u32);
        if let Some(sticky) = self.sticky.borrow_mut().get_mut(topic) {
            sticky.batch_full(full, count, runtime::random_u64);
        }
    }

    fn count(&self, change: impl FnOnce(&mut ProducerStats)) {
        let mut stats = self.stats.get();
        change(&mut stats);
        self.stats.set(stats);
    }
}
