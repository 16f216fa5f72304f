//! Election safety: at most one leader in a term, and no replica votes twice in one (thesis 3.6.1).

use std::collections::BTreeMap;

use raft::{Body, Message, Replica, ReplicaId, Role, Term};

use super::Verdict;

#[derive(Default)]
pub struct ElectionSafety {
    leaders: BTreeMap<Term, ReplicaId>,
    votes: BTreeMap<(Term, ReplicaId), ReplicaId>,
}

impl ElectionSafety {
    pub fn on_step(&mut self, replica: &Replica) -> Verdict {
        if replica.role() != Role::Leader {
            return Ok(());
        }
        let (term, id) = (replica.term(), replica.id());
        let known = *self.leaders.entry(term).or_insert(id);
        if known == id {
            return Ok(());
        }
        Err(format!(
            "election safety: {known} and {id} lead in term {term}"
        ))
    }

    pub fn on_sent(&mut self, message: &Message) -> Verdict {
        let to = match message.body {
            Body::VoteReply { granted: true } => message.to,
            // A candidate has voted for itself.
            Body::Vote { .. } => message.from,
            _ => return Ok(()),
        };
        let (term, voter) = (message.term, message.from);
        let known = *self.votes.entry((term, voter)).or_insert(to);
        if known == to {
            return Ok(());
        }
        Err(format!(
            "election safety: {voter} votes for {known} and {to} in term {term}"
        ))
    }

    /// How many terms had a leader.
    pub fn elected(&self) -> usize {
        self.leaders.len()
    }
}
