//! One partition on the shard that owns it: log, high watermark, producers' windows, and who waits for more.
//!
//! # Place
//! On the shard that hosts its home, from the metadata's word until the topic's deletion or the node's stop.
//!
//! # Invariants
//! 1. The high watermark is the end of what the partition's raft group has committed; nothing above it is read by clients.
//! 2. An offset is told to a producer only after everything up to it is committed.
//! 3. Between the check of a producer's sequence and the append nothing awaits, so no other batch comes between.
//! 4. `producers` describes the log up to its end as soon as it is loaded; before, nothing is appended by clients. It is
//!    thrown away when the lead is lost, because what was on its way may be.
//!
//! # Cost
//! A produce of one batch: one pass over its bytes for the checks at the door, one copy into the journal's staging, one
//! list for the batches, nothing per record.
//!
//! # Yields
//! `produce` while it checks a large batch, while the producers' windows are being loaded and where the journal has no
//! room; it checks again after.
//!
//! # Crash
//! Windows come back from `Log::load_snapshot` and the headers of the batches behind it. A snapshot is saved only after
//! all that it describes is committed. A clean stop saves one.

pub mod producers;

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    time::Duration,
};

use base::{LeaderEpoch, Offset, PartitionKey, RaftIndex, TimestampMs, TopicName, limits};
use cluster::{TopicSettings, config::CompressionChoice};
use kafka::batch::{
    self, BatchError, Compression, DoorRules, TimestampType, ValidBatch, Validation,
};
use raft::Role;
use runtime::{Class, budget::Budget, sync::Notify};
use storage::{AppendError, Corrupt, Log, LogConfig, ReadError};

use crate::raft_log::{Batch, Proposed, RaftAppendError, RaftLog};
use producers::{ProducerBatch, ProducerTable, SentBatch, SequenceError, Verdict};

/// Bytes appended between two snapshots of the windows: what a start after a crash reads again at most.
const SNAPSHOT_INTERVAL_BYTES: u64 = 64 << 20;

/// One read while replaying batch headers.
const REPLAY_READ_BYTES: usize = 1 << 20;

/// Bytes of a batch checked between two looks at the clock: some ten microseconds of work.
const CHECK_STEP_BYTES: usize = 32 << 10;

/// Checks under way at once on a shard that do not end in their first slice: each may hold the windows of a decompressor and
/// a compressor, up to 128 MiB and some. The others wait in line, with what they have touched so far.
pub const CHECKS_MAX: u64 = 4;

/// Where a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequenced {
    pub base_offset: Offset,
    /// -1 with CreateTime.
    pub log_append_time: TimestampMs,
    pub log_start_offset: Offset,
    /// Answer when this entry of that term is committed; `None`: it is.
    pub awaits: Option<(LeaderEpoch, RaftIndex)>,
    pub bytes: usize,
    pub records: i32,
    pub is_duplicate: bool,
}

/// Why a batch was not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    #[error("{0}")]
    Batch(#[from] BatchError),
    #[error("transactions are not supported yet")]
    Transactional,
    #[error("{0}")]
    Sequence(#[from] SequenceError),
    #[error("{0}")]
    Append(#[from] RaftAppendError),
    #[error("the partition's producers cannot be loaded: {0}")]
    Load(ReadError),
    #[error("the partition was deleted")]
    Deleted,
    #[error("{wanted} replicas must be in sync, there is 1")]
    Replicas { wanted: i32 },
}

enum Windows {
    /// Nobody has asked yet.
    Unloaded,
    /// One task is at it; `loaded` tells the others.
    Loading,
    Loaded(ProducerTable),
}

/// See the module head.
pub struct Partition {
    key: PartitionKey,
    topic: TopicName,
    internal: bool,
    raft: Rc<RaftLog>,
    settings: RefCell<Rc<TopicSettings>>,
    windows: RefCell<Windows>,
    windows_loaded: Notify,
    /// Segments begun and bytes appended at the last snapshot of the windows.
    snapshot_segment: Cell<u64>,
    snapshot_bytes: Cell<u64>,
    saving_snapshot: Cell<bool>,
    is_deleted: Cell<bool>,
}

impl Partition {
    /// Takes over an open log.
    #[must_use]
    pub fn new(topic: &cluster::Topic, raft: Rc<RaftLog>, settings: Rc<TopicSettings>) -> Rc<Self> {
        let log = raft.log();
        let partition = Rc::new(Self {
            key: log.key(),
            topic: topic.name.clone(),
            internal: topic.internal,
            settings: RefCell::new(settings),
            windows: RefCell::new(Windows::Unloaded),
            windows_loaded: Notify::new(),
            snapshot_segment: Cell::new(log.segments_begun()),
            snapshot_bytes: Cell::new(log.appended_bytes()),
            saving_snapshot: Cell::new(false),
            is_deleted: Cell::new(false),
            raft,
        });
        let told = Rc::downgrade(&partition);
        partition.raft.on_role(Box::new(move |role| {
            if let Some(partition) = told.upgrade()
                && role != Role::Leader
            {
                partition.on_lead_lost();
            }
        }));
        partition
    }

    #[must_use]
    pub fn key(&self) -> PartitionKey {
        self.key
    }

    #[must_use]
    pub fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Not for clients to write.
    #[must_use]
    pub fn is_internal(&self) -> bool {
        self.internal
    }

    #[must_use]
    pub fn log(&self) -> &Rc<Log> {
        self.raft.log()
    }

    #[must_use]
    pub fn raft(&self) -> &Rc<RaftLog> {
        &self.raft
    }

    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.raft.term()
    }

    /// End of what clients may read.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.raft.committed().next_offset
    }

    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.is_deleted.get()
    }

    #[must_use]
    pub fn settings(&self) -> Rc<TopicSettings> {
        self.settings.borrow().clone()
    }

    #[must_use]
    pub fn quarantined(&self) -> Option<Corrupt> {
        self.log().quarantined()
    }

    /// Bytes that have become readable in this run, for waiters to count by.
    #[must_use]
    pub fn visible_bytes(&self) -> u64 {
        self.log().committed_bytes()
    }

    /// The topic's configs changed.
    pub fn on_settings(&self, settings: Rc<TopicSettings>, log_config: LogConfig) {
        self.log().set_config(log_config);
        self.settings.replace(settings);
    }

    /// The topic is gone: whoever waits must look again.
    pub fn on_deleted(&self) {
        self.is_deleted.set(true);
        self.raft.close();
    }

    /// Others decide now what follows in the log: what was on its way may be lost, and more may come than passes here.
    fn on_lead_lost(&self) {
        let mut windows = self.windows.borrow_mut();
        if matches!(*windows, Windows::Loaded(_)) {
            *windows = Windows::Unloaded;
        }
    }

    /// Wakes `waiter` once, at the next move of the high watermark or when the partition goes away, while somebody still
    /// holds it.
    pub fn wake_once(&self, waiter: &Rc<Notify>) {
        self.raft.wake_once(waiter);
    }

    /// Sequences what a client sent for this partition: checks it and decides its place in the log.
    ///
    /// Not committed yet: see `Sequenced`. `checks` bounds the checks under way that take more than a moment.
    pub async fn produce(
        self: &Rc<Self>,
        records: &[u8],
        acks_all: bool,
        checks: &Budget,
    ) -> Result<Sequenced, ProduceError> {
        let settings = self.settings();
        if acks_all && settings.replicas_in_sync_min > 1 {
            let wanted = settings.replicas_in_sync_min;
            return Err(ProduceError::Replicas { wanted });
        }
        let now = runtime::wall();
        let batch = check_at_door(records, &settings, now, checks).await?;
        self.load_producers().await.map_err(ProduceError::Load)?;
        loop {
            if self.is_deleted() {
                return Err(ProduceError::Deleted);
            }
            match self.sequence(&batch, now) {
                Err(ProduceError::Append(RaftAppendError::Log(AppendError::Busy))) => {
                    self.log().append_ready().await;
                }
                outcome => return outcome,
            }
        }
    }

    fn sequence(
        self: &Rc<Self>,
        batch: &ValidBatch<'_>,
        now: TimestampMs,
    ) -> Result<Sequenced, ProduceError> {
        let mut windows = self.windows.borrow_mut();
        let Windows::Loaded(producers) = &mut *windows else {
            return Err(ProduceError::Load(ReadError::Closed));
        };
        let header = &batch.header;
        let sequenced = Sequenced {
            base_offset: Offset::ZERO,
            log_append_time: TimestampMs(-1),
            log_start_offset: self.log().log_start_offset(),
            awaits: None,
            bytes: batch.bytes.len(),
            records: header.record_count,
            is_duplicate: false,
        };
        if let Verdict::Duplicate(sent) = producers.check(header)? {
            return Ok(Sequenced {
                base_offset: sent.base_offset,
                log_append_time: sent.timestamp,
                awaits: self.awaits(sent),
                is_duplicate: true,
                ..sequenced
            });
        }
        let proposed = self.raft.append(Batch {
            bytes: &batch.bytes,
            record_count: header.record_count.unsigned_abs(),
            max_timestamp: header.max_timestamp,
        })?;
        if let Some(batch) = ProducerBatch::new(header, proposed.base_offset, now) {
            producers.apply(&batch);
        }
        drop(windows);
        self.snapshot_if_due();
        let stamped = header.timestamp_type() == TimestampType::LogAppendTime;
        Ok(Sequenced {
            base_offset: proposed.base_offset,
            log_append_time: if stamped {
                header.max_timestamp
            } else {
                TimestampMs(-1)
            },
            awaits: Some((proposed.leader_epoch, proposed.index)),
            ..sequenced
        })
    }

    /// What a duplicate waits for: with the log as it is now, the batch is committed.
    fn awaits(&self, sent: SentBatch) -> Option<(LeaderEpoch, RaftIndex)> {
        let is_committed = sent.base_offset < self.high_watermark();
        let last = RaftIndex(self.log().next_index().0 - 1);
        (!is_committed).then(|| (self.leader_epoch(), last))
    }

    /// Appends a batch that this node built. Waits for staging room only.
    pub async fn append_own(&self, bytes: &[u8]) -> Result<Proposed, RaftAppendError> {
        let header = batch::BatchHeader::decode(bytes).expect("this node built the batch");
        loop {
            if self.is_deleted() {
                return Err(AppendError::Closed.into());
            }
            let batch = Batch {
                bytes,
                record_count: header.record_count.unsigned_abs(),
                max_timestamp: header.max_timestamp,
            };
            match self.raft.append(batch) {
                Err(RaftAppendError::Log(AppendError::Busy)) => self.log().append_ready().await,
                outcome => return outcome,
            }
        }
    }

    /// As [`Self::append_own`], until it lasts; where the next record will be. `None`: the node stops, and whether it lasts
    /// shows at the next start.
    pub async fn append_own_for_good(
        &self,
        bytes: &[u8],
    ) -> Result<Option<Offset>, RaftAppendError> {
        let proposed = self.append_own(bytes).await?;
        let lasts = self
            .raft
            .wait_committed(proposed.leader_epoch, proposed.index);
        Ok(lasts.await.then_some(proposed.next_offset))
    }

    /// Makes sure the producers' windows are there. Many may ask at once; one loads.
    pub async fn load_producers(&self) -> Result<(), ReadError> {
        loop {
            let loaded = match &*self.windows.borrow() {
                Windows::Loaded(_) => return Ok(()),
                Windows::Loading => self.windows_loaded.notified(),
                Windows::Unloaded => break,
            };
            loaded.await;
        }
        self.windows.replace(Windows::Loading);
        // A dropped future (a closed connection) must not leave `Loading` behind for ever.
        let guard = LoadGuard(self);
        let term = self.leader_epoch();
        let mut outcome = self.replay_producers().await;
        if !self.raft.is_leader() || self.leader_epoch() != term {
            // Others may have appended meanwhile.
            outcome = outcome.and(Err(ReadError::Closed));
        }
        std::mem::forget(guard);
        let (windows, outcome) = match outcome {
            Ok(table) => (Windows::Loaded(table), Ok(())),
            Err(error) => (Windows::Unloaded, Err(error)),
        };
        self.windows.replace(windows);
        self.windows_loaded.notify_all();
        outcome
    }

    async fn replay_producers(&self) -> Result<ProducerTable, ReadError> {
        // Internal topics have no clients' producers, and their snapshot slot belongs to their owner.
        if self.internal {
            return Ok(ProducerTable::default());
        }
        let now = runtime::wall();
        let (mut at, mut table) = match self.log().load_snapshot().await? {
            None => (Offset::ZERO, ProducerTable::default()),
            Some((at, bytes)) => match ProducerTable::decode(&bytes) {
                Ok(table) => (at, table),
                // Rebuilding from the whole log is slow but right.
                Err(error) => {
                    tracing::warn!(partition = %self.key, %error, "producers' snapshot is unreadable, reading the log");
                    (Offset::ZERO, ProducerTable::default())
                }
            },
        };
        // Nothing is on its way: clients append only when this is done. What a leader finds in its log is its own to commit.
        let end = self.log().next_offset();
        if !self.raft.wait_all_committed().await {
            return Err(match self.quarantined() {
                Some(corrupt) => ReadError::Quarantined(corrupt),
                None => ReadError::Closed,
            });
        }
        at = at.max(self.log().log_start_offset());
        while at < end {
            let read = self.log().read(at, end, REPLAY_READ_BYTES, true).await?;
            if read.next_offset <= at {
                break;
            }
            for item in batch::batches(&read.batches.to_contiguous()) {
                let Ok((header, _)) = item else { break };
                if header.base_offset >= at
                    && let Some(batch) = ProducerBatch::new(&header, header.base_offset, now)
                {
                    table.apply(&batch);
                }
            }
            at = read.next_offset;
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        Ok(table)
    }

    /// After a segment roll or enough bytes: saves the windows as of now.
    fn snapshot_if_due(self: &Rc<Self>) {
        let (segment, bytes) = (self.log().segments_begun(), self.log().appended_bytes());
        let rolled = segment != self.snapshot_segment.get();
        let grown = bytes - self.snapshot_bytes.get() >= SNAPSHOT_INTERVAL_BYTES;
        if self.saving_snapshot.get() || !(rolled || grown) {
            return;
        }
        self.snapshot_segment.set(segment);
        self.snapshot_bytes.set(bytes);
        self.saving_snapshot.set(true);
        let partition = self.clone();
        runtime::spawn(Class::Background, "producer snapshot", async move {
            partition.save_producers().await;
            partition.saving_snapshot.set(false);
        });
    }

    /// Saves the windows as of now, once the log is committed up to now; nothing to do where they were never loaded, or
    /// where what they describe may be lost.
    pub async fn save_producers(&self) {
        let at = self.log().next_offset();
        let state = match &*self.windows.borrow() {
            Windows::Loaded(producers) if !self.internal => producers.encode(),
            _ => return,
        };
        if !self.raft.wait_all_committed().await {
            return;
        }
        // Without this snapshot the next start replays more headers; nothing is lost.
        if let Err(error) = self.log().save_snapshot(at, state).await {
            tracing::debug!(partition = %self.key, %error, "producers' snapshot was not saved");
        }
    }

    /// The planted bug: as if nobody had ever sent anything.
    pub(crate) fn forget_producers(&self) {
        self.windows
            .replace(Windows::Loaded(ProducerTable::default()));
    }

    /// Forgets producers that have been silent for `expiry`.
    pub fn expire_producers(&self, now: TimestampMs, expiry: Duration) {
        let expiry_ms = i64::try_from(expiry.as_millis()).unwrap_or(i64::MAX);
        if let Windows::Loaded(producers) = &mut *self.windows.borrow_mut() {
            producers.expire(TimestampMs(now.0.saturating_sub(expiry_ms)));
        }
    }

    /// What `read` gives of the windows, when they are loaded.
    pub fn with_producers<R>(&self, read: impl FnOnce(&ProducerTable) -> R) -> Option<R> {
        match &*self.windows.borrow() {
            Windows::Loaded(producers) => Some(read(producers)),
            Windows::Unloaded | Windows::Loading => None,
        }
    }
}

struct LoadGuard<'a>(&'a Partition);

impl Drop for LoadGuard<'_> {
    fn drop(&mut self) {
        self.0.windows.replace(Windows::Unloaded);
        self.0.windows_loaded.notify_all();
    }
}

/// Checks one batch, in steps: a large one must not hold its shard.
async fn check_at_door<'a>(
    records: &'a [u8],
    settings: &TopicSettings,
    now: TimestampMs,
    checks: &Budget,
) -> Result<ValidBatch<'a>, ProduceError> {
    let rules = DoorRules {
        batch_bytes_max: settings.message_bytes_max.min(limits::BATCH_BYTES_MAX),
        timestamp_type: match settings.log_append_time {
            true => TimestampType::LogAppendTime,
            false => TimestampType::CreateTime,
        },
        now,
        timestamp_before_ms_max: settings.timestamp_before_ms_max,
        timestamp_after_ms_max: settings.timestamp_after_ms_max,
        compression: match settings.compression {
            CompressionChoice::Producer => None,
            CompressionChoice::Uncompressed => Some(Compression::None),
            CompressionChoice::Gzip => Some(Compression::Gzip),
            CompressionChoice::Snappy => Some(Compression::Snappy),
            CompressionChoice::Lz4 => Some(Compression::Lz4),
            CompressionChoice::Zstd => Some(Compression::Zstd),
        },
    };
    let mut validation = Validation::new(records, &rules)?;
    let mut permit = None;
    while !validation.advance(CHECK_STEP_BYTES)? {
        if runtime::should_yield() {
            if permit.is_none() {
                permit = Some(checks.acquire(1).await);
            }
            runtime::yield_now().await;
        }
    }
    let batch = validation.finish()?;
    if batch.header.is_transactional() {
        return Err(ProduceError::Transactional);
    }
    Ok(batch)
}
