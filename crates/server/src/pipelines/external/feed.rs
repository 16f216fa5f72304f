//! Records of a topic of an external cluster, fetched ahead.
//!
//! # Place       a task for each topic that is read, on the engine's shard; ends when nobody has asked for `ASKED_WITHIN`
//! # Invariants
//! 1. The end that the engine is told of is behind what is here or was: an epoch's cut never waits for the cluster.
//! 2. Of transactions only what is committed comes (`Isolation::ReadCommitted`).
//!
//! # Limits      a partition with `BUFFER_BYTES` here is fetched no further until the engine has read of it

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use base::{Offset, PartitionIndex, ShardId};
use client::{
    ClientError, Consumer, ConsumerConfig, Fetched, Isolation, Reset, Start, admin::OffsetSpec,
};
use kafka::error::ErrorCode;
use runtime::{Class, Instant, sync::Notify};
use streams::{
    log::{Extent, ExternalTopic, LogError},
    source::{Decoded, SourceReader},
};

use super::{Connected, External, known::Known, shape_here};

const BUFFER_BYTES: usize = 2 << 20;

/// Of one partition in one answer.
const FETCH_BYTES: i32 = 512 << 10;

const ASKED_WITHIN: Duration = Duration::from_secs(30);

/// Where partitions begin, and how many there are, changes seldom.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

const POLL: Duration = Duration::from_millis(500);

/// While the engine has to read before more is fetched.
const POLL_FULL: Duration = Duration::from_millis(10);

const RETRY: Duration = Duration::from_millis(500);

/// One partition's part.
#[derive(Default)]
struct Buffer {
    /// Where the partition begins, once the cluster was asked.
    start: Option<Offset>,
    /// Where reading begins, as long as nothing is fetched.
    wanted: Offset,
    /// Fetched up to here.
    next: Offset,
    chunks: VecDeque<Chunk>,
    bytes: usize,
}

/// Whole batches.
struct Chunk {
    from: Offset,
    next: Offset,
    batches: Rc<Vec<u8>>,
}

/// Whose records these are, and who is told.
pub(super) struct FeedOf {
    pub external: Rc<External>,
    pub known: Rc<Known>,
    /// Something was fetched.
    pub arrived: Rc<Notify>,
    pub stopping: Rc<Cell<bool>>,
}

/// See the module head.
pub(super) struct Feed {
    external: Rc<External>,
    known: Rc<Known>,
    buffers: RefCell<BTreeMap<PartitionIndex, Buffer>>,
    /// There are partitions that are not fetched yet.
    has_more: Cell<bool>,
    asked_at: Cell<Instant>,
    arrived: Rc<Notify>,
    stopping: Rc<Cell<bool>>,
    trouble: RefCell<Option<String>>,
    is_over: Cell<bool>,
}

impl Feed {
    pub fn start(of: FeedOf) -> Rc<Self> {
        let feed = Rc::new(Self {
            external: of.external,
            known: of.known,
            buffers: RefCell::default(),
            has_more: Cell::new(false),
            asked_at: Cell::new(runtime::now()),
            arrived: of.arrived,
            stopping: of.stopping,
            trouble: RefCell::default(),
            is_over: Cell::new(false),
        });
        let running = feed.clone();
        runtime::spawn(Class::Streams, "external feed", async move {
            running.run().await;
        });
        feed
    }

    /// Whether somebody reads that partition.
    pub fn has(&self, partition: PartitionIndex) -> bool {
        self.buffers.borrow().contains_key(&partition)
    }

    pub fn is_over(&self) -> bool {
        self.is_over.get()
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Lets go of what stands before that offset.
    pub fn note_read(&self, partition: PartitionIndex, position: Offset) {
        self.asked_at.set(runtime::now());
        let mut buffers = self.buffers.borrow_mut();
        let buffer = buffers.entry(partition).or_insert_with(|| {
            self.has_more.set(true);
            Buffer {
                wanted: position,
                ..Buffer::default()
            }
        });
        while buffer.chunks.front().is_some_and(|c| c.next <= position) {
            if let Some(gone) = buffer.chunks.pop_front() {
                buffer.bytes -= gone.batches.len();
            }
        }
    }

    /// What the engine may read.
    pub fn extent(&self, partition: PartitionIndex) -> Extent {
        self.asked_at.set(runtime::now());
        let buffers = self.buffers.borrow();
        let found = buffers
            .get(&partition)
            .and_then(|buffer| Some((buffer.start?, buffer.next)));
        // As long as nobody knows where it begins, nothing is there to be read.
        let (start, next) = found.unwrap_or_default();
        Extent {
            log_start_offset: start,
            high_watermark: next.max(start),
        }
    }

    /// The batches that the record at that offset is in, if they are here.
    pub fn fetched(&self, partition: PartitionIndex, from: Offset) -> Option<Rc<Vec<u8>>> {
        let buffers = self.buffers.borrow();
        let chunks = &buffers.get(&partition)?.chunks;
        let mut chunks = chunks.iter();
        let chunk = chunks.find(|chunk| chunk.from <= from && from < chunk.next)?;
        Some(chunk.batches.clone())
    }

    fn is_wanted(&self) -> bool {
        let is_asked = runtime::now().since(self.asked_at.get()) < ASKED_WITHIN;
        is_asked && !self.stopping.get()
    }

    async fn run(&self) {
        while self.is_wanted() {
            if let Err(error) = self.fetch().await {
                self.note_trouble(&error);
                runtime::sleep(RETRY).await;
            }
        }
        self.is_over.set(true);
    }

    fn note_trouble(&self, error: &ClientError) {
        let topic = &self.external.name;
        if self.trouble.replace(Some(error.to_string())).is_none() {
            tracing::warn!(topic, %error, "it cannot be read; trying again");
        }
    }

    /// Until something fails, a partition is new, or nobody wants any more.
    async fn fetch(&self) -> Result<(), ClientError> {
        let connected = self.external.cluster.connect().await?;
        self.learn(&connected).await?;
        // Those that come while this asks are for the next time.
        self.has_more.set(false);
        self.look_for_starts(&connected.client).await?;
        if self.trouble.take().is_some() {
            tracing::info!(topic = %self.external.name, "it can be read again");
        }
        let config = ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            reset: Reset::Fail,
            partition_bytes_max: FETCH_BYTES,
            ..ConsumerConfig::default()
        };
        let consumer = Consumer::new(&connected.client, config);
        let name: Rc<str> = self.external.topic.as_str().into();
        let wanted: Vec<_> = {
            let buffers = self.buffers.borrow();
            let found = buffers.iter().filter(|(_, buffer)| buffer.can_be_read());
            let wanted = found.map(|(at, b)| ((name.clone(), *at), Start::At(b.next)));
            wanted.collect()
        };
        consumer.assign(&wanted).await?;
        let fetched = self.fetch_from(&consumer, &connected).await;
        consumer.close().await?;
        fetched
    }

    async fn fetch_from(
        &self,
        consumer: &Consumer,
        connected: &Connected,
    ) -> Result<(), ClientError> {
        let mut looked_at = runtime::now();
        while self.is_wanted() && !self.has_more.get() {
            let mut wait = POLL;
            for (partition, buffer) in self.buffers.borrow().iter() {
                let is_full = buffer.bytes >= BUFFER_BYTES;
                consumer.pause(&self.external.topic, *partition, is_full);
                if is_full {
                    wait = POLL_FULL;
                }
            }
            match consumer.poll(wait).await {
                Ok(fetched) => self.take(fetched),
                Err(error) if error.code() == Some(ErrorCode::OffsetOutOfRange) => {
                    // Which partition it is shows when all are asked where they begin.
                    return self.look_for_starts(&connected.client).await;
                }
                Err(error) => return Err(error),
            }
            let now = runtime::now();
            if now.since(looked_at) >= LOOK_AGAIN {
                looked_at = now;
                self.learn(connected).await?;
                self.look_for_starts(&connected.client).await?;
            }
        }
        Ok(())
    }

    /// Whether the topic has more partitions now.
    async fn learn(&self, connected: &Connected) -> Result<(), ClientError> {
        let external = &self.external;
        let theirs = connected.log.learn(&external.topic, None).await?;
        let brokers = external.cluster.brokers.clone();
        let named = ExternalTopic {
            topic: external.topic.clone(),
            brokers,
        };
        let shape = shape_here(&named.brokers, theirs);
        let learnt = External::new(external.cluster.clone(), &named, shape);
        if let Err(error) = self.known.learn(learnt).await {
            tracing::warn!(topic = %external.name, %error, "what is known of it cannot be written");
        }
        Ok(())
    }

    async fn look_for_starts(&self, client: &client::Client) -> Result<(), ClientError> {
        let name: Rc<str> = self.external.topic.as_str().into();
        let wanted: Vec<_> = {
            let buffers = self.buffers.borrow();
            let partitions = buffers.keys();
            partitions
                .map(|at| ((name.clone(), *at), OffsetSpec::Earliest))
                .collect()
        };
        if wanted.is_empty() {
            return Ok(());
        }
        let found = client.admin().list_offsets(&wanted).await?;
        let mut buffers = self.buffers.borrow_mut();
        for ((_, partition), listed) in found {
            if let (Some(buffer), Some(start)) = (buffers.get_mut(&partition), listed.offset) {
                if buffer.start.is_none() {
                    buffer.next = match buffer.wanted {
                        Offset::ZERO => start,
                        wanted => wanted,
                    };
                }
                buffer.start = Some(start);
            }
        }
        drop(buffers);
        self.arrived.notify_all();
        Ok(())
    }

    fn take(&self, fetched: Vec<Fetched>) {
        if fetched.is_empty() {
            return;
        }
        let mut buffers = self.buffers.borrow_mut();
        for part in fetched {
            let Some(buffer) = buffers.get_mut(&part.partition) else {
                continue;
            };
            buffer.bytes += part.records.len();
            buffer.next = part.next;
            buffer.chunks.push_back(Chunk {
                from: part.from,
                next: part.next,
                batches: Rc::new(part.records.to_vec()),
            });
        }
        drop(buffers);
        self.arrived.notify_all();
    }
}

impl Buffer {
    /// Not so when the cluster has removed what was to be read next: whoever wants it is told.
    fn can_be_read(&self) -> bool {
        self.start.is_some_and(|start| start <= self.next)
    }
}

/// Rows of the records in a range, made on one shard or another: decoding is most of a simple query's work.
pub(super) async fn decode(
    partition: PartitionIndex,
    batches: Rc<Vec<u8>>,
    (from, until): (Offset, Offset),
    reader: Arc<SourceReader>,
) -> Result<Decoded, LogError> {
    let batches = batches.to_vec();
    let shard = partition.0.unsigned_abs() % u32::from(runtime::shard_count());
    let shard = ShardId(shard as u16);
    let there = move || async move {
        let decoded = reader.decode(partition.0, &batches, from, until).await;
        decoded.map_err(|error| LogError::Refused(error.to_string()))
    };
    runtime::invoke_on(shard, Class::Streams, "external decode", there).await
}
