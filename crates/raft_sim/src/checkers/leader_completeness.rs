//! Leader completeness: a leader's log holds everything committed in earlier terms (thesis 3.6.3).

use base::RaftIndex;
use raft::Replica;

use super::{Verdict, state_machine::StateMachines};

/// To be asked of a replica that has just taken the lead.
pub fn on_elected(replica: &Replica, machines: &StateMachines) -> Verdict {
    // Commits are reported in the order of the terms they happened in, but for reports of old leaders that lag.
    let earlier = |c: &super::state_machine::Committed| c.commit_term < replica.term();
    let Some(at) = machines.committed.iter().rposition(earlier) else {
        return Ok(());
    };
    let index = RaftIndex(at as u64 + 1);
    let here = replica.term_at(index);
    if index <= replica.start().index || here == Some(machines.committed[at].term) {
        return Ok(());
    }
    Err(format!(
        "leader completeness: {} leads term {} without the committed entry {index}",
        replica.id(),
        replica.term()
    ))
}
