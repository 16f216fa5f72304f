//! What a partition's log has been told and has promised: the model that recovery and reads are compared with.
//!
//! # Invariants
//! 1. Entries are dense: each has the index after the one before, and begins at the offset where that one ends.
//! 2. Durable entries come before those that are not.

use base::{LeaderEpoch, LogEpoch, Offset, PartitionKey, RaftIndex, TimestampMs};
use std::collections::VecDeque;
use storage::{Appended, Durable, EntryKind, LogStart};

/// One batch as it must come back.
#[derive(Clone, Debug)]
pub struct ModelEntry {
    /// Unlike indexes, never used twice.
    pub number: u64,
    pub index: RaftIndex,
    pub kind: EntryKind,
    pub base_offset: Offset,
    pub next_offset: Offset,
    /// As on the wire, with base offset and leader epoch patched.
    pub bytes: Vec<u8>,
    pub leader_epoch: LeaderEpoch,
    /// Of each record.
    pub timestamps: Vec<i64>,
    pub is_durable: bool,
    /// A truncation or reset that would remove it began and was not confirmed.
    pub is_doubtful: bool,
}

/// A batch before its place in the log is known.
#[derive(Clone, Debug)]
pub struct Draft {
    pub kind: EntryKind,
    pub bytes: Vec<u8>,
    /// None: the entry takes no offset.
    pub timestamps: Vec<i64>,
    pub leader_epoch: LeaderEpoch,
}

impl Draft {
    pub fn max_timestamp(&self) -> TimestampMs {
        TimestampMs(self.timestamps.iter().copied().max().unwrap_or(-1))
    }
}

/// What was promised about a state that is replaced as a whole: a snapshot, or the owner's state.
#[derive(Clone, Debug)]
pub struct Replaced<T> {
    /// Each save, in order; the last `confirmed` one is the least that must come back.
    pub saves: Vec<T>,
    pub confirmed: Option<usize>,
}

impl<T> Default for Replaced<T> {
    fn default() -> Self {
        Self {
            saves: Vec::new(),
            confirmed: None,
        }
    }
}

impl<T: PartialEq + std::fmt::Debug> Replaced<T> {
    /// A save was confirmed.
    pub fn on_saved(&mut self, at: usize) {
        self.confirmed = self.confirmed.max(Some(at));
    }

    /// What came back is one of the saves, and none older than a confirmed one; from now on it is the least.
    pub fn on_found(&mut self, key: PartitionKey, what: &str, found: Option<&T>) {
        let Some(found) = found else {
            assert_eq!(self.confirmed, None, "{key:?}: the {what} is gone");
            return;
        };
        let at = self.saves.iter().rposition(|save| save == found);
        let at = at.unwrap_or_else(|| panic!("{key:?}: a {what} that was never saved"));
        assert!(
            Some(at) >= self.confirmed,
            "{key:?}: an old {what}, the one numbered {at} and not {:?}",
            self.confirmed
        );
        self.confirmed = Some(at);
    }
}

#[derive(Debug)]
pub struct LogModel {
    pub key: PartitionKey,
    pub entries: VecDeque<ModelEntry>,
    /// Where the log starts for sure, and the offset where it may start when a removal under way is done.
    pub start: LogStart,
    pub start_wanted: Offset,
    /// Where it may start when a reset under way is done.
    pub reset_wanted: Option<LogStart>,
    /// Entries below are never truncated.
    pub committed: RaftIndex,
    pub next_index: RaftIndex,
    pub next_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Offset and state.
    pub snapshot: Replaced<(Offset, Vec<u8>)>,
    /// The owner's.
    pub state: Replaced<Vec<u8>>,
    /// Highest durable position seen in this start of the store.
    pub durable_seen: Option<Durable>,
    /// Maintenance that appends must not overlap.
    pub is_truncating: bool,
    /// Truncations and resets so far.
    pub cuts: u64,
    number_next: u64,
}

impl LogModel {
    pub fn new(key: PartitionKey) -> Self {
        Self {
            key,
            entries: VecDeque::new(),
            start: LogStart::default(),
            start_wanted: Offset::ZERO,
            reset_wanted: None,
            committed: RaftIndex(1),
            next_index: RaftIndex(1),
            next_offset: Offset::ZERO,
            leader_epoch: LeaderEpoch(0),
            snapshot: Replaced::default(),
            state: Replaced::default(),
            durable_seen: None,
            is_truncating: false,
            cuts: 0,
            number_next: 0,
        }
    }

    /// Notes an accepted append; gives the entry's number. Panics when its place is not the next one.
    pub fn on_append(&mut self, draft: Draft, appended: Appended) -> u64 {
        let next_offset = self.next_offset.plus(draft.timestamps.len() as i64);
        assert_eq!(
            (appended.index, appended.base_offset, appended.next_offset),
            (self.next_index, self.next_offset, next_offset),
            "{:?}: indexes and offsets are dense",
            self.key
        );
        let mut bytes = draft.bytes;
        bytes[..8].copy_from_slice(&appended.base_offset.0.to_be_bytes());
        bytes[12..16].copy_from_slice(&draft.leader_epoch.0.to_be_bytes());
        assert_eq!(appended.checksum.to_be_bytes(), bytes[17..21]);
        self.next_index = self.next_index.next();
        self.next_offset = next_offset;
        self.number_next += 1;
        self.entries.push_back(ModelEntry {
            number: self.number_next,
            index: appended.index,
            kind: draft.kind,
            base_offset: appended.base_offset,
            next_offset,
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
                || durable.log_epoch == seen.log_epoch
                    && durable.next_index >= seen.next_index
                    && durable.next_offset >= seen.next_offset;
            assert!(
                goes_on,
                "{:?}: durable went from {seen:?} to {durable:?}",
                self.key
            );
        }
        assert!(
            durable.next_index <= self.next_index,
            "{:?}: {durable:?} but the log ends at {}",
            self.key,
            self.next_index
        );
        let offset = self.offset_at(durable.next_index);
        assert_eq!(durable.next_offset, offset, "{:?}: {durable:?}", self.key);
        self.durable_seen = Some(durable);
        for entry in &mut self.entries {
            if entry.index < durable.next_index {
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
            durable.log_epoch >= epoch && durable.next_offset >= entry.next_offset,
            "{:?}: entry {}..{} of log epoch {epoch:?} was acknowledged while durable is {durable:?}",
            self.key,
            entry.base_offset,
            entry.next_offset
        );
        self.on_durable(durable);
    }

    /// Where the durable entries end.
    pub fn durable_next(&self) -> (RaftIndex, Offset) {
        let promised = self
            .entries
            .iter()
            .rev()
            .find(|entry| entry.is_durable && !entry.is_doubtful);
        let start = (self.start.index.next(), self.start.next_offset);
        promised.map_or(start, |entry| (entry.index.next(), entry.next_offset))
    }

    /// The offset that the entry at `index` has or will have.
    pub fn offset_at(&self, index: RaftIndex) -> Offset {
        let entry = self.entries.iter().find(|entry| entry.index == index);
        entry.map_or(self.next_offset, |entry| entry.base_offset)
    }

    /// Truncation from `from` on begins: what it would remove may be there or not until it ends.
    pub fn on_truncate_begin(&mut self, from: RaftIndex) {
        self.is_truncating = true;
        for entry in &mut self.entries {
            entry.is_doubtful |= entry.index >= from;
        }
    }

    pub fn on_truncate_end(&mut self, from: RaftIndex) {
        self.next_offset = self.offset_at(from);
        self.next_index = from;
        self.entries.retain(|entry| entry.index < from);
        // The log epoch rises with a truncation; the durable position may go back.
        self.durable_seen = None;
        self.leader_epoch.0 += 1;
        self.is_truncating = false;
        self.cuts += 1;
    }

    pub fn on_reset_begin(&mut self, at: LogStart) {
        self.on_truncate_begin(RaftIndex(0));
        self.reset_wanted = Some(at);
    }

    pub fn on_reset_end(&mut self, at: LogStart) {
        self.entries.clear();
        self.reset_wanted = None;
        self.start = at;
        self.start_wanted = at.offset;
        self.committed = at.index.next();
        self.next_index = at.index.next();
        self.next_offset = at.next_offset;
        self.durable_seen = None;
        self.leader_epoch = self.leader_epoch.max(at.leader_epoch);
        self.is_truncating = false;
        self.cuts += 1;
    }

    /// The log said that it starts there, and may go no further back. Panics when that is not the place of an entry that
    /// may be gone.
    pub fn on_start_moved(&mut self, start: LogStart) {
        let before = self.entries.iter().find(|e| e.index == start.index);
        let place = before.map_or(
            (
                self.start.index,
                self.start.leader_epoch,
                self.start.next_offset,
            ),
            |entry| (entry.index, entry.leader_epoch, entry.next_offset),
        );
        let key = self.key;
        assert_eq!(
            (start.index, start.leader_epoch, start.next_offset),
            place,
            "{key:?}: moved from {:?}",
            self.start
        );
        let is_allowed = start.index >= self.start.index
            && start.index < self.committed
            && start.next_offset <= start.offset;
        assert!(is_allowed, "{key:?}: {start:?} from {:?}", self.start);
        self.start = start;
        self.start_wanted = self.start_wanted.max(start.offset);
        self.entries.retain(|entry| entry.index > start.index);
    }

    /// Where in the entries the one is that holds `offset`.
    pub fn find(&self, offset: Offset) -> Option<usize> {
        let at = self
            .entries
            .partition_point(|entry| entry.next_offset <= offset);
        let entry = self.entries.get(at)?;
        (entry.base_offset <= offset).then_some(at)
    }

    /// The runs of leader epochs among the entries.
    pub fn leader_epochs(&self) -> Vec<(LeaderEpoch, RaftIndex, Offset)> {
        let mut runs: Vec<(LeaderEpoch, RaftIndex, Offset)> = Vec::new();
        for entry in &self.entries {
            if runs
                .last()
                .is_none_or(|(epoch, ..)| *epoch < entry.leader_epoch)
            {
                runs.push((entry.leader_epoch, entry.index, entry.base_offset));
            }
        }
        runs
    }
}
