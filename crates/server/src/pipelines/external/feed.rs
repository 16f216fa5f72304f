//! Records of a topic of an external cluster, fetched ahead.
//!
//! # Place       a task for each topic that is read, on the engine's shard; ends when nobody has read for `READ_WITHIN`, and when
//!               the topic is another one than at its beginning
//! # Invariants
//! 1. The end that the engine is told of is behind what is here or was: an epoch's cut never waits for the cluster.
//! 2. Of transactions only what is committed comes (`Isolation::ReadCommitted`).
//! 3. What comes is of the topic with the id that this began with.
//!
//! # Limits      a partition with `BUFFER_BYTES` here is fetched no further until the engine has read of it; nor, while all
//!               feeds together have `FEEDS_BYTES`, one with anything

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    io,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use base::{Offset, PartitionIndex, ShardId, TopicId};
use client::{
    ClientError, Consumer, ConsumerConfig, Fetched, Isolation, Reset, Start, admin::OffsetSpec,
};
use kafka::error::ErrorCode;
use runtime::{
    Class, Instant,
    budget::{Budget, Permit},
    sync::{Notify, Shutdown},
};
use streams::{
    log::{Extent, LogError},
    source::{Decoded, SourceReader},
};

use super::{Connected, External, known::Known, shape_here};

const BUFFER_BYTES: usize = 2 << 20;

/// As much as so many partitions that are read at once; what more there are go on by an answer each.
pub(super) const FEEDS_BYTES: u64 = 32 * BUFFER_BYTES as u64;

/// Of one partition in one answer.
const FETCH_BYTES: i32 = 512 << 10;

/// Of one leader in one answer.
const ANSWER_BYTES: i32 = 4 << 20;

const READ_WITHIN: Duration = Duration::from_secs(30);

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
    batches: Arc<Vec<u8>>,
    /// Of what all feeds may hold, where there was so much left.
    _room: Option<Permit>,
}

/// Why nothing comes.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("what is known of it cannot be written: {0}")]
    Known(#[from] io::Error),
}

/// Whose records these are, and who is told.
pub(super) struct FeedOf {
    pub external: Rc<External>,
    pub known: Rc<Known>,
    /// What all feeds may hold.
    pub room: Budget,
    /// Something was fetched.
    pub arrived: Rc<Notify>,
    pub stopping: Shutdown,
}

/// See the module head.
pub(super) struct Feed {
    external: Rc<External>,
    /// The topic's, here.
    id: TopicId,
    known: Rc<Known>,
    room: Budget,
    buffers: RefCell<BTreeMap<PartitionIndex, Buffer>>,
    /// There are partitions that are not fetched yet.
    has_more: Cell<bool>,
    read_at: Cell<Instant>,
    arrived: Rc<Notify>,
    stopping: Shutdown,
    trouble: RefCell<Option<String>>,
    /// The topic is another one, or nobody's.
    is_over: Cell<bool>,
}

impl Feed {
    pub fn new(of: FeedOf) -> Self {
        Self {
            id: of.external.shape.get().id,
            external: of.external,
            known: of.known,
            room: of.room,
            buffers: RefCell::default(),
            has_more: Cell::new(false),
            read_at: Cell::new(runtime::now()),
            arrived: of.arrived,
            stopping: of.stopping,
            trouble: RefCell::default(),
            is_over: Cell::new(false),
        }
    }

    /// Whether somebody reads that partition.
    pub fn has(&self, partition: PartitionIndex) -> bool {
        self.buffers.borrow().contains_key(&partition)
    }

    pub fn trouble(&self) -> Option<String> {
        self.trouble.borrow().clone()
    }

    /// Lets go of what stands before that offset, also when it is not here yet.
    pub fn note_read(&self, partition: PartitionIndex, position: Offset) {
        self.read_at.set(runtime::now());
        let mut buffers = self.buffers.borrow_mut();
        let buffer = buffers.entry(partition).or_insert_with(|| {
            self.has_more.set(true);
            Buffer::default()
        });
        buffer.let_go(position);
        if buffer.start.is_none() {
            buffer.wanted = buffer.wanted.max(position);
        } else if buffer.next < position {
            buffer.next = position;
            self.has_more.set(true);
        }
    }

    /// What the engine may read.
    pub fn extent(&self, partition: PartitionIndex) -> Extent {
        let buffers = self.buffers.borrow();
        let (start, next) = match buffers.get(&partition) {
            None => (Offset::ZERO, Offset::ZERO),
            Some(buffer) => match buffer.start {
                // As long as nobody knows where it begins, there is what was read before.
                None => (Offset::ZERO, buffer.wanted),
                Some(start) => (start, buffer.next),
            },
        };
        Extent {
            log_start_offset: start,
            high_watermark: next.max(start),
        }
    }

    /// The batches that the record at that offset is in, if they are here.
    pub fn fetched(&self, partition: PartitionIndex, from: Offset) -> Option<Arc<Vec<u8>>> {
        let buffers = self.buffers.borrow();
        let chunks = &buffers.get(&partition)?.chunks;
        let mut chunks = chunks.iter();
        let chunk = chunks.find(|chunk| chunk.from <= from && from < chunk.next)?;
        Some(chunk.batches.clone())
    }

    fn is_wanted(&self) -> bool {
        let is_read = runtime::now().since(self.read_at.get()) < READ_WITHIN;
        is_read && !self.is_over.get() && !self.stopping.is_triggered()
    }

    /// Fetches until nobody wants any more.
    pub async fn run(&self) {
        while self.is_wanted() {
            if let Err(error) = self.fetch().await {
                self.note_trouble(&error);
                runtime::sleep(RETRY).await;
            }
        }
    }

    fn note_trouble(&self, error: &FeedError) {
        let topic = &self.external.name;
        if self.trouble.replace(Some(error.to_string())).is_none() {
            tracing::warn!(topic, %error, "it cannot be read; trying again");
        }
    }

    fn note_fetched(&self) {
        if self.trouble.take().is_some() {
            tracing::info!(topic = %self.external.name, "it can be read again");
        }
    }

    /// Until something fails, a partition is new, or nobody wants any more.
    async fn fetch(&self) -> Result<(), FeedError> {
        let connected = self.external.cluster.connect().await?;
        let theirs = self.learn(&connected).await?;
        if self.is_over.get() {
            return Ok(());
        }
        // Those that come while this asks are for the next time.
        self.has_more.set(false);
        self.look_for_starts(&connected.client).await?;
        let config = ConsumerConfig {
            isolation: Isolation::ReadCommitted,
            reset: Reset::Fail,
            partition_bytes_max: FETCH_BYTES,
            fetch_bytes_max: ANSWER_BYTES,
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
        let fetched = self.fetch_from(&consumer, &connected, theirs).await;
        consumer.close().await?;
        fetched
    }

    async fn fetch_from(
        &self,
        consumer: &Consumer,
        connected: &Connected,
        theirs: TopicId,
    ) -> Result<(), FeedError> {
        let mut looked_at = runtime::now();
        while self.is_wanted() && !self.has_more.get() {
            let wait = self.pause_full(consumer);
            let polled = consumer.poll(wait).await;
            if connected.log.id_now(&self.external.topic) != Some(theirs) {
                // What came may be of another topic of this name.
                return Ok(());
            }
            match polled {
                Ok(fetched) => self.take(fetched),
                Err(error) => {
                    if error.code() == Some(ErrorCode::OffsetOutOfRange) {
                        // Which partition it is shows when all are asked where they begin.
                        self.look_for_starts(&connected.client).await?;
                    }
                    return Err(error.into());
                }
            }
            self.note_fetched();
            let now = runtime::now();
            if now.since(looked_at) >= LOOK_AGAIN {
                looked_at = now;
                self.learn(connected).await?;
                self.look_for_starts(&connected.client).await?;
            }
        }
        Ok(())
    }

    /// Asks no more for partitions of which enough is here; how long to wait for others.
    fn pause_full(&self, consumer: &Consumer) -> Duration {
        let mut wait = POLL;
        let is_short = self.room.available_bytes() < u64::from(FETCH_BYTES.unsigned_abs());
        for (partition, buffer) in self.buffers.borrow().iter() {
            let is_full = buffer.bytes >= BUFFER_BYTES || (is_short && buffer.bytes > 0);
            consumer.pause(&self.external.topic, *partition, is_full);
            if is_full {
                wait = POLL_FULL;
            }
        }
        wait
    }

    /// Whether the topic has more partitions now, or is another one; its id there.
    async fn learn(&self, connected: &Connected) -> Result<TopicId, FeedError> {
        let external = &self.external;
        let theirs = connected.log.learn(&external.topic, None).await?;
        let shape = shape_here(&external.cluster.brokers, theirs);
        // One that was forgotten meanwhile is not to come back.
        if self.known.by_id(self.id).is_some() {
            self.known.learn(external, shape).await?;
        }
        if self.known.by_id(self.id).is_none() {
            self.is_over.set(true);
        }
        Ok(theirs.id)
    }

    async fn look_for_starts(&self, client: &client::Client) -> Result<(), FeedError> {
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
            // It was asked for before whoever reads went on elsewhere.
            if part.from != buffer.next {
                continue;
            }
            let bytes = part.records.len();
            buffer.bytes += bytes;
            buffer.next = part.next;
            buffer.chunks.push_back(Chunk {
                from: part.from,
                next: part.next,
                _room: self.room.try_acquire(bytes as u64),
                batches: Arc::new(part.records.to_vec()),
            });
        }
        drop(buffers);
        self.arrived.notify_all();
    }
}

impl Buffer {
    fn let_go(&mut self, until: Offset) {
        while self.chunks.front().is_some_and(|c| c.next <= until) {
            if let Some(gone) = self.chunks.pop_front() {
                self.bytes -= gone.batches.len();
            }
        }
    }

    /// Not so when the cluster has removed what was to be read next: whoever wants it is told.
    fn can_be_read(&self) -> bool {
        self.start.is_some_and(|start| start <= self.next)
    }
}

/// Rows of the records in a range, made on one shard or another: decoding is most of a simple query's work.
pub(super) async fn decode(
    partition: PartitionIndex,
    batches: Arc<Vec<u8>>,
    (from, until): (Offset, Offset),
    reader: Arc<SourceReader>,
) -> Result<Decoded, LogError> {
    let shard = partition.0.unsigned_abs() % u32::from(runtime::shard_count());
    let shard = ShardId(shard as u16);
    let there = move || async move {
        let decoded = reader.decode(partition.0, &batches, from, until).await;
        decoded.map_err(|error| LogError::Refused(error.to_string()))
    };
    runtime::invoke_on(shard, Class::Streams, "external decode", there).await
}
