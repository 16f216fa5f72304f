//! Commitment: what a leader calls committed lasts on a quorum of its configuration, and it counts entries of its own term
//! only (thesis 3.6.2).

use raft::{Configuration, Replica, ReplicaId};

use super::Verdict;
use crate::disk::Disk;

/// To be asked of a leader whose flush moved the commit index, with the configuration it counted by. A disk that was
/// wiped since counts for what it held.
pub fn on_committed<'a>(
    replica: &Replica,
    counted_by: &Configuration,
    disk_of: impl Fn(ReplicaId) -> Option<&'a Disk>,
) -> Verdict {
    let index = replica.commit_index();
    let Some(term) = replica.term_at(index) else {
        return Ok(());
    };
    if term != replica.term() && !counted_by.is_only_voter(replica.id()) {
        return Err(format!(
            "commitment: {} counts replicas of {index}, of the older term {term}",
            replica.id()
        ));
    }
    if counted_by.has_quorum(|id| disk_of(id).is_some_and(|d| d.durable.holds(index, term))) {
        return Ok(());
    }
    Err(format!(
        "durability: {} calls {index} of term {term} committed, which does not last on a quorum",
        replica.id()
    ))
}
