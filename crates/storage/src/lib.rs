//! The log on disk: a home's journal, segments, indexes, recovery, retention and tail cache.
//!
//! A home is a directory with one journal and the partitions that live in it. A shard hosts one or more homes.
//!
//! # Cost
//! What one 168-byte batch among a thousand partitions costs, by design: one copy into the staging buffer, one
//! checksum of 53 bytes, its share of a checksum per 512-byte sector, one queue entry; its share of one system call
//! and one flush per commit (a commit takes whatever came while the one before was in flight, up to 1 MiB); later one
//! copy into its segment's chunk, written 256 KiB at a time. Device bytes: the frame twice (32 bytes of header each,
//! 0.8 % for sector checksums), rounded up to 4 KiB per commit and per segment chunk. A batch of 32 KiB or more is
//! staged in its segment's chunk directly and written once. `examples/cost` measures it.

mod bits;
mod blocks;
pub mod chunk;
mod codec;
mod config;
mod disk;
mod error;
mod files;
mod flusher;
pub mod frame;
mod home;
pub mod index;
mod journal;
mod log;
pub mod manifest;
mod recovery;
mod retry;
mod segment;
pub mod snapshot;
mod space;
mod store;
#[cfg(test)]
mod testing;
mod turn;
mod window;

use base::{LeaderEpoch, LogEpoch, Offset, PartitionKey, RaftIndex, TimestampMs};
use iobuf::{Buf, IoBuf};

pub use config::{LogConfig, PlantedBugs, StoreConfig};
pub use error::{AppendError, Corrupt, OpenError, ReadError};
pub use frame::{empty_batch, payload_of};
pub use log::{Log, STATE_BYTES_MAX};
pub use store::Store;

/// Number of a partition's log in its home; never used again after deletion.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId(pub u32);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Records,
    Control,
    Configuration,
    /// The first entry of a leader.
    TermStart,
}

impl EntryKind {
    /// Entries of these kinds take no offset, and never reach a client.
    #[must_use]
    pub fn is_empty(self) -> bool {
        matches!(self, Self::Configuration | Self::TermStart)
    }
}

/// A validated batch to append, as on the wire; base offset and leader epoch are patched on the way.
pub struct Entry<'a> {
    pub kind: EntryKind,
    pub leader_epoch: LeaderEpoch,
    pub batch: &'a [u8],
    /// Offsets the batch takes: its last offset delta plus one. 0 for the kinds that take none, see `empty_batch`.
    pub record_count: u32,
    pub max_timestamp: TimestampMs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    /// The first offset behind the entry; its base offset when it takes none.
    pub next_offset: Offset,
    pub index: RaftIndex,
    pub log_epoch: LogEpoch,
    /// The batch's own CRC32C.
    pub checksum: u32,
}

/// Durable position: valid only together with its log epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durable {
    pub log_epoch: LogEpoch,
    pub next_index: RaftIndex,
    pub next_offset: Offset,
}

/// Where a log begins: the position before the first entry that it still holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStart {
    /// Of the entry at `index`; 0 in a log that lost nothing yet.
    pub leader_epoch: LeaderEpoch,
    /// The first entry that is held has the index after it; 0 in a log that lost nothing yet.
    pub index: RaftIndex,
    /// The log start offset: what stands below is not served, though it may still be held.
    pub offset: Offset,
    /// Base offset of the first entry that is held; at most `offset`.
    pub next_offset: Offset,
}

/// What recovery found, for the start-up banner and the tests.
#[derive(Clone, Debug, Default)]
pub struct RecoveryReport {
    pub partitions: usize,
    /// Entries that only the journal held.
    pub journal_entries: u64,
    pub torn_tail_bytes: u64,
    pub quarantined: Vec<(PartitionKey, Corrupt)>,
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
    /// Entries that went straight to their segment.
    pub direct_entries: u64,
    pub segment_writes: u64,
    pub segment_write_bytes: u64,
    pub cache_bytes: u64,
    /// Bytes of entries that are not in a segment yet.
    pub dirty_bytes: u64,
    pub cache_hits: u64,
    pub cache_misses: u64,
    pub journal_write_latency: runtime::stats::Histogram,
}

#[derive(Clone, Default)]
pub struct ReadBatches {
    pub batches: IoBuf,
    /// The offset after the last batch; where to read on.
    pub next_offset: Offset,
}

/// An entry of any kind, as it was appended.
#[derive(Clone, Debug)]
pub struct ReadEntry {
    pub index: RaftIndex,
    pub leader_epoch: LeaderEpoch,
    pub kind: EntryKind,
    pub record_count: u32,
    pub base_offset: Offset,
    /// As on the wire.
    pub batch: Buf,
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
