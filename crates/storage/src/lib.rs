//! The log on disk: a home's journal, segments, indexes, recovery, retention and tail cache.
//!
//! A home is a directory with one journal and the partitions that live in it. A shard hosts one or more homes.
#![allow(clippy::todo, unused_variables, missing_docs, dead_code)]

use base::{LeaderEpoch, LogEpoch, Offset, PartitionKey, RaftIndex, TimestampMs};
use iobuf::IoBuf;
use std::{future::Future, path::PathBuf, rc::Rc};

#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub dir: PathBuf,
    /// Journal ring: files of this size, at most so many.
    pub journal_file_bytes: u64,
    pub journal_files_max: usize,
    /// Batches of at least this size go straight to their segment.
    pub direct_bytes_min: usize,
    /// Tail cache budget.
    pub cache_bytes: u64,
    /// Produce is rejected below this much free disk; warned about below `free_bytes_warn`.
    pub free_bytes_min: u64,
    pub free_bytes_warn: u64,
    /// Test-only switches that plant a bug each (the harness must find them); empty in production.
    pub planted: PlantedBugs,
}
#[derive(Clone, Debug, Default)]
pub struct PlantedBugs {
    _p: (),
}

/// Per-partition settings, from topic configs.
#[derive(Clone, Debug, PartialEq)]
pub struct LogConfig {
    pub segment_bytes: u64,
    pub segment_ms: i64,
    /// -1: no bound.
    pub retention_bytes: i64,
    pub retention_ms: i64,
    pub index_interval_bytes: u64,
    /// cleanup.policy contains delete.
    pub delete_old: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Records,
    Control,
    Configuration,
}

/// A validated batch to append (or several back to back of one produce request), as on the wire; base offset and leader epoch are patched on the way.
pub struct Entry<'a> {
    pub kind: EntryKind,
    pub leader_epoch: LeaderEpoch,
    pub batch: &'a [u8],
    pub record_count: u32,
    pub max_timestamp: TimestampMs,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub index: RaftIndex,
    pub log_epoch: LogEpoch,
}

/// Durable position: valid only together with its log epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    pub log_epoch: LogEpoch,
    pub next_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Io(String),
    #[error("data directory format {found} is newer than this program's {known}")]
    Version { found: u32, known: u32 },
    #[error("{0}")]
    Corrupt(Corrupt),
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {at}: expected {expected}, found {found}")]
pub struct Corrupt {
    pub file: String,
    pub at: u64,
    pub expected: String,
    pub found: String,
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the disk is full: {available_bytes} bytes left")]
    Full { available_bytes: u64 },
    #[error("the partition is quarantined: {0}")]
    Quarantined(Corrupt),
    #[error("the log is closed")]
    Closed,
    /// The staging budget is used up: wait with `Log::append_ready` and try again.
    #[error("the journal cannot take more right now")]
    Busy,
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("offset {wanted} is outside {start}..{end}")]
    OutOfRange {
        wanted: Offset,
        start: Offset,
        end: Offset,
    },
    #[error("the partition is quarantined: {0}")]
    Quarantined(Corrupt),
    #[error("the log is closed")]
    Closed,
    #[error("reading failed: {0}")]
    Io(String),
}

/// What recovery found, for the start-up banner and the tests.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    pub partitions: usize,
    pub journal_entries: u64,
    pub torn_tail_bytes: u64,
    pub quarantined: Vec<(PartitionKey, Corrupt)>,
}

pub struct Store {
    _p: (),
}
impl Store {
    pub async fn open(config: StoreConfig) -> Result<(Rc<Store>, RecoveryReport), OpenError> {
        todo!()
    }
    pub fn keys(&self) -> Vec<PartitionKey> {
        todo!()
    }
    /// Creates the partition durably before it returns; `Ok` with the existing log when there is one already.
    pub async fn create(
        &self,
        key: PartitionKey,
        config: LogConfig,
    ) -> Result<Rc<Log>, AppendError> {
        todo!()
    }
    pub fn get(&self, key: PartitionKey) -> Option<Rc<Log>> {
        todo!()
    }
    pub async fn delete(&self, key: PartitionKey) -> Result<(), AppendError> {
        todo!()
    }
    /// Flushes the journal into segments, writes a clean mark, closes.
    pub async fn close(&self) {
        todo!()
    }
    pub fn stats(&self) -> StoreStats {
        todo!()
    }
    /// Free space after the last look, and whether produce is being rejected.
    pub fn disk_state(&self) -> DiskState {
        todo!()
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskState {
    Ok,
    Warn { available_bytes: u64 },
    Full { available_bytes: u64 },
}
#[derive(Clone, Debug, Default)]
pub struct StoreStats {
    pub journal_writes: u64,
    pub journal_bytes: u64,
    pub journal_entries: u64,
    pub segment_write_bytes: u64,
    pub cache_bytes: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub journal_write_latency: runtime::stats::Histogram,
}

/// One partition's log. Single owner shard; everything but reads from disk and waiting is synchronous.
pub struct Log {
    _p: (),
}
impl Log {
    pub fn key(&self) -> PartitionKey {
        todo!()
    }
    /// Sequences the entry: decides its offset and index and stages its bytes (one copy). Durable later.
    pub fn append(&self, entry: Entry<'_>) -> Result<Appended, AppendError> {
        todo!()
    }
    /// Resolves when staging has room again.
    pub async fn append_ready(&self) {
        todo!()
    }
    /// Resolves `true` when everything below `next_offset` is durable in that log epoch; `false` when it was truncated or the log closed.
    pub fn wait_durable(
        &self,
        log_epoch: LogEpoch,
        next_offset: Offset,
    ) -> impl Future<Output = bool> + 'static {
        async { todo!() }
    }
    pub fn durable(&self) -> Durable {
        todo!()
    }
    /// Called (on this shard, synchronously) after each advance of `durable`; the broker moves the high watermark there.
    pub fn on_durable(&self, callback: Box<dyn Fn(Durable)>) {
        todo!()
    }
    pub fn log_start_offset(&self) -> Offset {
        todo!()
    }
    pub fn next_offset(&self) -> Offset {
        todo!()
    }
    pub fn next_index(&self) -> RaftIndex {
        todo!()
    }
    pub fn log_epoch(&self) -> LogEpoch {
        todo!()
    }
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    pub fn quarantined(&self) -> Option<Corrupt> {
        todo!()
    }
    /// Whole batches as on the wire, from the batch that contains `from`, below `until`; at most `bytes_max` but at
    /// least one batch when `at_least_one`. `None` when it would need the disk.
    pub fn read_cached(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Option<Result<ReadBatches, ReadError>> {
        todo!()
    }
    pub async fn read(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<ReadBatches, ReadError> {
        todo!()
    }
    /// First record with timestamp >= `at`, below `until` (exact record, compressed batches included).
    pub async fn offset_for_timestamp(
        &self,
        at: TimestampMs,
        until: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        todo!()
    }
    /// The record with the largest timestamp (ListOffsets -3).
    pub async fn max_timestamp(
        &self,
        until: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        todo!()
    }
    /// KIP-101/320: the largest leader epoch <= `epoch` known, and its end offset.
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        todo!()
    }
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        todo!()
    }
    /// DeleteRecords: moves the log start offset, durably, before it returns.
    pub async fn trim(&self, log_start_offset: Offset) -> Result<Offset, AppendError> {
        todo!()
    }
    /// Retention by size and time; returns segments removed.
    pub async fn apply_retention(&self, now: TimestampMs) -> Result<usize, AppendError> {
        todo!()
    }
    /// Removes the suffix from `next_offset` on (Raft); bumps the log epoch.
    pub async fn truncate(&self, next_offset: Offset) -> Result<LogEpoch, AppendError> {
        todo!()
    }
    pub fn set_config(&self, config: LogConfig) {
        todo!()
    }
    /// Small opaque state of the partition as of `at` (producer windows): newest one wins, durable when it returns.
    pub async fn save_snapshot(&self, at: Offset, state: Vec<u8>) -> Result<(), AppendError> {
        todo!()
    }
    pub async fn load_snapshot(&self) -> Result<Option<(Offset, Vec<u8>)>, ReadError> {
        todo!()
    }
    /// Offset at which the active segment began: a good place for the next snapshot.
    pub fn segment_base_offset(&self) -> Offset {
        todo!()
    }
    pub fn stats(&self) -> LogStats {
        todo!()
    }
}
#[derive(Clone, Default)]
pub struct ReadBatches {
    pub batches: IoBuf,
    pub next_offset: Offset,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimestampedOffset {
    pub offset: Offset,
    pub timestamp: TimestampMs,
    pub leader_epoch: LeaderEpoch,
}
#[derive(Clone, Debug, Default)]
pub struct LogStats {
    pub segments: usize,
    pub bytes: u64,
    pub appended_batches: u64,
    pub appended_bytes: u64,
}
