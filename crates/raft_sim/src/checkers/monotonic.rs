//! Monotonic terms and commits: neither falls, terms not even across a crash once they were shown to anybody.

use std::collections::BTreeMap;

use base::RaftIndex;
use raft::{Body, Message, Replica, ReplicaId, Term};

use super::Verdict;

#[derive(Clone, Copy, Default)]
struct Known {
    term: Term,
    commit_index: RaftIndex,
    /// The newest term it voted or claimed something in.
    bound: Term,
}

#[derive(Default)]
pub struct Monotonic {
    known: BTreeMap<ReplicaId, Known>,
}

impl Monotonic {
    pub fn on_step(&mut self, replica: &Replica) -> Verdict {
        let known = self.known.entry(replica.id()).or_default();
        if replica.term() < known.term || replica.commit_index() < known.commit_index {
            return Err(format!(
                "monotonic: term or commit index of {} fell",
                replica.id()
            ));
        }
        known.term = replica.term();
        known.commit_index = replica.commit_index();
        Ok(())
    }

    pub fn on_sent(&mut self, message: &Message) {
        let binds = matches!(
            message.body,
            Body::VoteReply { granted: true } | Body::Vote { .. }
        ) || matches!(message.body, Body::Ack { durable, .. } if durable > RaftIndex::ZERO);
        if binds {
            let known = self.known.entry(message.from).or_default();
            known.bound = known.bound.max(message.term);
        }
    }

    pub fn on_restart(&mut self, replica: &Replica) -> Verdict {
        let known = self.known.entry(replica.id()).or_default();
        known.term = replica.term();
        known.commit_index = replica.commit_index();
        if replica.term() < known.bound {
            return Err(format!(
                "monotonic: {} forgot term {} in a crash",
                replica.id(),
                known.bound
            ));
        }
        Ok(())
    }
}
