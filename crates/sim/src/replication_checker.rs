//! What must hold among the members of a raft group, whatever happens to them.
//!
//! # Invariants
//! 1. Election safety: at most one member leads in a term.
//! 2. State-machine safety: what one member has committed at an index, no other commits differently, ever.
//! 3. Leader completeness: what was acknowledged is what is committed at its index.
//! 4. A member's commit index never falls while it runs.

use std::collections::BTreeMap;

use base::{LeaderEpoch, Offset, RaftIndex};
use raft::ReplicaId;
use storage::{EntryKind, ReadEntry, frame};

/// An entry as it is compared: its checksum stands for its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryMark {
    pub term: LeaderEpoch,
    pub kind: EntryKind,
    pub base_offset: Offset,
    pub record_count: u32,
    pub checksum: u32,
}

impl EntryMark {
    #[must_use]
    pub fn of(entry: &ReadEntry) -> Self {
        Self {
            term: entry.leader_epoch,
            kind: entry.kind,
            base_offset: entry.base_offset,
            record_count: entry.record_count,
            checksum: frame::body_checksums(&entry.batch).1,
        }
    }
}

/// See the module head.
#[derive(Debug, Default)]
pub struct GroupChecker {
    leaders: BTreeMap<LeaderEpoch, ReplicaId>,
    committed: BTreeMap<RaftIndex, EntryMark>,
    acknowledged: BTreeMap<RaftIndex, (LeaderEpoch, u32)>,
}

impl GroupChecker {
    pub fn on_leader(&mut self, term: LeaderEpoch, id: ReplicaId) {
        let known = *self.leaders.entry(term).or_insert(id);
        assert_eq!(known, id, "two members lead in term {term}");
    }

    /// A member holds this entry at an index that it has committed.
    pub fn on_committed(&mut self, id: ReplicaId, entry: &ReadEntry) {
        let (index, mark) = (entry.index, EntryMark::of(entry));
        let known = *self.committed.entry(index).or_insert(mark);
        assert_eq!(known, mark, "replica {id} commits another entry at {index}");
        if let Some(told) = self.acknowledged.get(&index) {
            assert_eq!(
                *told,
                (mark.term, mark.checksum),
                "{index} was acknowledged"
            );
        }
    }

    pub fn on_acknowledged(&mut self, index: RaftIndex, term: LeaderEpoch, checksum: u32) {
        self.acknowledged.insert(index, (term, checksum));
        if let Some(mark) = self.committed.get(&index) {
            assert_eq!(
                (mark.term, mark.checksum),
                (term, checksum),
                "{index} is another entry"
            );
        }
    }

    /// The group has healed: everything acknowledged is committed.
    pub fn check_healed(&self) {
        for index in self.acknowledged.keys() {
            assert!(
                self.committed.contains_key(index),
                "{index} was acknowledged and is gone"
            );
        }
    }

    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.len() as u64
    }
}
