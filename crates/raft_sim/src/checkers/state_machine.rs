//! State-machine safety: all replicas apply the same entries at the same indexes (thesis 3.6.3), snapshots included.

use base::RaftIndex;
use raft::{Descriptor, Term};

use super::Verdict;
use crate::rng::mix;

#[derive(Clone, Copy)]
pub struct Committed {
    pub term: Term,
    /// Term of the replica that was first to call it committed.
    pub commit_term: Term,
    /// Digest of everything up to here.
    pub state: u64,
}

#[derive(Default)]
pub struct StateMachines {
    /// From index 1 on.
    pub committed: Vec<Committed>,
}

impl StateMachines {
    pub fn last(&self) -> RaftIndex {
        RaftIndex(self.committed.len() as u64)
    }

    pub fn state_at(&self, index: RaftIndex) -> Option<u64> {
        match index.0.checked_sub(1) {
            None => Some(0),
            Some(at) => self.committed.get(at as usize).map(|c| c.state),
        }
    }

    /// A replica applies the entry at `index`; the digest of its state after that.
    pub fn on_applied(
        &mut self,
        index: RaftIndex,
        entry: &Descriptor,
        before: u64,
        commit_term: Term,
    ) -> Result<u64, String> {
        let state = mix(before ^ mix(u64::from(entry.checksum) ^ ((entry.term.0 as u64) << 32)));
        let at = index.0 as usize - 1;
        match self.committed.get(at) {
            Some(known) if known.state == state && known.term == entry.term => Ok(state),
            Some(known) => Err(format!(
                "state machines: index {index} is term {} here and {} elsewhere",
                entry.term, known.term
            )),
            None if at == self.committed.len() => {
                self.committed.push(Committed {
                    term: entry.term,
                    commit_term,
                    state,
                });
                Ok(state)
            }
            None => Err(format!(
                "state machines: index {index} is applied before those below it"
            )),
        }
    }

    /// A replica takes over a snapshot as of `index`.
    pub fn on_snapshot(&self, index: RaftIndex, state: u64) -> Verdict {
        if self.state_at(index) == Some(state) {
            return Ok(());
        }
        Err(format!(
            "state machines: the snapshot as of {index} is of other entries"
        ))
    }
}
