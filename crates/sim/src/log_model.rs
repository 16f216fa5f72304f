//! What a partition's log has been told and has promised: the model that recovery and reads are compared with.
//!
//! # Invariants
//! 1. Entries are dense: each begins where the one before ends.
//! 2. Durable entries come before those that are not.

use base::{LeaderEpoch, LogEpoch, Offset, PartitionKey, RaftIndex, TimestampMs};
use std::collections::VecDeque;
use storage::{Appended, Durable};

/// One batch as it must come back.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Unlike offsets, never used twice.
    pub number: u64,
    pub index: RaftIndex,
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// As on the wire, with base offset and leader epoch patched.
    pub bytes: Vec<u8>,
    pub leader_epoch: LeaderEpoch,
    /// Of each record.
    pub timestamps: Vec<i64>,
    pub is_durable: bool,
    /// A truncation that would remove it began and was not confirmed.
    pub is_doubtful: bool,
}

/// A batch before its place in the log is known.
#[derive(Clone, Debug)]
pub struct Draft {
    pub bytes: Vec<u8>,
    pub timestamps: Vec<i64>,
    pub leader_epoch: LeaderEpoch,
}

impl Draft {
    pub fn max_timestamp(&self) -> TimestampMs {
        TimestampMs(self.timestamps.iter().copied().max().unwrap_or(-1))
    }
}

/// What was promised about a partition's snapshot.
#[derive(Clone, Debug, Default)]
pub struct SnapshotModel {
    /// Offset and state of each save, in order; the last `confirmed` one is the least that must come back.
    pub saves: Vec<(Offset, Vec<u8>)>,
    pub confirmed: Option<usize>,
}

#[derive(Debug)]
pub struct LogModel {
    pub key: PartitionKey,
    pub entries: VecDeque<ModelEntry>,
    /// Where the log starts for sure, and where it may start when a removal under way is done.
    pub start_confirmed: Offset,
    pub start_wanted: Offset,
    /// Entries below are never truncated.
    pub committed: RaftIndex,
    pub next_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    pub snapshot: SnapshotModel,
    /// Highest durable position seen in this start of the store.
    pub durable_seen: Option<Durable>,
    /// Maintenance that appends must not overlap.
    pub is_truncating: bool,
    /// Bits of the partition's files were flipped: errors are allowed, wrong data is not.
    pub is_damaged: bool,
    number_next: u64,
}

impl LogModel {
    pub fn new(key: PartitionKey) -> Self {
        Self {
            key,
            entries: VecDeque::new(),
            start_confirmed: Offset::ZERO,
            start_wanted: Offset::ZERO,
            committed: RaftIndex(1),
            next_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch(0),
            snapshot: SnapshotModel::default(),
            durable_seen: None,
            is_truncating: false,
            is_damaged: false,
            number_next: 0,
        }
    }

    /// Notes an accepted append; gives the entry's number. Panics when its offsets are not the next ones.
    pub fn on_append(&mut self, draft: Draft, appended: Appended) -> u64 {
        let count = draft.timestamps.len() as i64;
        assert_eq!(
            (appended.base_offset, Offset(appended.next_offset.0 - 1)),
            (self.next_offset, self.next_offset.plus(count - 1)),
            "{:?}: offsets are dense",
            self.key
        );
        let mut bytes = draft.bytes;
        bytes[..8].copy_from_slice(&appended.base_offset.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&draft.leader_epoch.0.to_be_bytes());
        self.next_offset = self.next_offset.plus(count);
        self.number_next += 1;
        self.entries.push_back(ModelEntry {
            number: self.number_next,
            index: appended.index,
            base_offset: appended.base_offset,
            last_offset: Offset(appended.next_offset.0 - 1),
            bytes,
            leader_epoch: draft.leader_epoch,
            timestamps: draft.timestamps,
            is_durable: false,
            is_doubtful: false,
        });
        self.number_next
    }

    /// The log says that everything below is durable: from now on it has to be.
    pub fn on_durable(&mut self, durable: Durable) {
        if let Some(seen) = self.durable_seen {
            let goes_on = durable.log_epoch > seen.log_epoch
                || (durable.log_epoch == seen.log_epoch && durable.next_offset >= seen.next_offset);
            assert!(
                goes_on,
                "{:?}: durable went from {seen:?} to {durable:?}",
                self.key
            );
        }
        assert!(
            durable.next_offset <= self.next_offset,
            "{:?}: {durable:?} but the log ends at {}",
            self.key,
            self.next_offset
        );
        self.durable_seen = Some(durable);
        for entry in &mut self.entries {
            if entry.last_offset < durable.next_offset {
                entry.is_durable = true;
            }
        }
    }

    /// A wait for this entry was answered with "durable".
    pub fn on_acknowledged(&mut self, number: u64, epoch: LogEpoch, durable: Durable) {
        let Some(entry) = self
            .entries
            .iter()
            .find(|entry| entry.number == number && !entry.is_doubtful)
        else {
            return;
        };
        assert!(
            durable.log_epoch >= epoch && durable.next_offset > entry.last_offset,
            "{:?}: entry {}..={} of log epoch {epoch:?} was acknowledged while durable is {durable:?}",
            self.key,
            entry.base_offset,
            entry.last_offset
        );
        self.on_durable(durable);
    }

    /// Where the durable entries end.
    pub fn durable_next(&self) -> Offset {
        let promised = self
            .entries
            .iter()
            .rev()
            .find(|entry| entry.is_durable && !entry.is_doubtful);
        promised.map_or(self.start_confirmed, |entry| entry.last_offset.plus(1))
    }

    /// Truncation from `next_offset` on begins: what it would remove may be there or not until it ends.
    pub fn on_truncate_begin(&mut self, next_offset: Offset) {
        for entry in &mut self.entries {
            entry.is_doubtful |= entry.base_offset >= next_offset;
        }
    }

    pub fn on_truncate_end(&mut self, next_offset: Offset) {
        self.entries.retain(|entry| entry.base_offset < next_offset);
        self.next_offset = next_offset;
        // The log epoch rises with a truncation; the durable position may go back.
        self.durable_seen = None;
    }

    pub fn on_start_moved(&mut self, start: Offset) {
        self.start_confirmed = self.start_confirmed.max(start);
        self.start_wanted = self.start_wanted.max(start);
        let start = self.start_confirmed;
        self.entries.retain(|entry| entry.last_offset >= start);
        self.next_offset = self.next_offset.max(start);
    }

    /// Index of the entry that holds `offset`.
    pub fn find(&self, offset: Offset) -> Option<usize> {
        let at = self
            .entries
            .partition_point(|entry| entry.last_offset < offset);
        let entry = self.entries.get(at)?;
        (entry.base_offset <= offset).then_some(at)
    }
}
