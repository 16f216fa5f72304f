//! Proposals: what a leader counts as uncommitted is what its log says, it stays within the bound, and a proposal that was
//! announced as possible is.

use std::collections::BTreeMap;

use base::RaftIndex;
use raft::{Payload, ProposeError, Replica, ReplicaId, Role, Settings, Term};

use super::Verdict;
use crate::disk::Disk;

/// A leadership, and the entry after which its own with others to send to begin.
#[derive(Clone, Copy)]
struct Counted {
    term: Term,
    after: RaftIndex,
    was_alone: bool,
}

type Answer = Result<(), ProposeError>;

#[derive(Default)]
pub struct Proposals {
    counted: BTreeMap<ReplicaId, Counted>,
    largest: u64,
    /// How many proposals the bound of bytes, and no other, has refused.
    pub full: u64,
}

impl Proposals {
    pub fn on_asked(&mut self, payloads: &[Payload]) {
        let bytes = payloads.iter().map(|payload| u64::from(payload.bytes));
        self.largest = self.largest.max(bytes.sum());
    }

    /// To be asked of each proposal: what `may_propose` said before it, and what it said itself.
    pub fn on_answered(&mut self, announced: Answer, said: Answer, by_bytes: bool) -> Verdict {
        if announced != said {
            return Err(format!(
                "proposals: {announced:?} was announced, the answer is {said:?}"
            ));
        }
        self.full += u64::from(said == Err(ProposeError::Full) && by_bytes);
        Ok(())
    }

    /// To be asked after each handler.
    pub fn on_step(&mut self, replica: &Replica) {
        if replica.role() != Role::Leader {
            return;
        }
        let (term, last) = (replica.term(), replica.last().index);
        let known = self.counted.get(&replica.id());
        let known = known.filter(|known| known.term == term);
        let others = |id| id != replica.id();
        let is_alone = !replica.configuration().members().any(others);
        let after = match known {
            _ if is_alone => last,
            Some(known) if known.was_alone => RaftIndex(replica.configuration_index().0 - 1),
            Some(known) => known.after,
            // It begins its term with an entry.
            None => RaftIndex(last.0 - 1),
        };
        let counted = Counted {
            term,
            after,
            was_alone: is_alone,
        };
        self.counted.insert(replica.id(), counted);
    }

    /// To be asked when what a flush asked for is staged.
    pub fn on_staged(&self, replica: &Replica, disk: &Disk, settings: &Settings) -> Verdict {
        let counted = replica.uncommitted_bytes();
        if counted >= settings.uncommitted_bytes_max + self.largest + CHANGES_BYTES {
            return Err(format!(
                "proposals: {} holds {counted} bytes uncommitted",
                replica.id()
            ));
        }
        let known = self.counted.get(&replica.id());
        let leads = replica.role() == Role::Leader;
        let after = known.filter(|known| leads && known.term == replica.term());
        let expected: u64 = after.map_or(0, |known| {
            let from = known.after.max(replica.commit_index()).next();
            (from.0..=replica.last().index.0)
                .filter_map(|index| disk.staged.get(RaftIndex(index)))
                .map(|entry| u64::from(entry.bytes))
                .sum()
        });
        if counted == expected {
            return Ok(());
        }
        Err(format!(
            "proposals: {} counts {counted} bytes uncommitted, its log holds {expected}",
            replica.id()
        ))
    }
}

/// Entries of the core's own pass the bound: both steps of a change.
const CHANGES_BYTES: u64 = 2 * raft::Configuration::BYTES as u64;
