//! Membership: the configuration in force is the last in the log (thesis 4.1), and a leader that a committed one leaves
//! out does not go on (4.2.2).

use raft::{Replica, Role};

use super::Verdict;
use crate::disk::Disk;

/// To be asked after each flush.
pub fn on_flushed(replica: &Replica) -> Verdict {
    let committed = replica.configuration_index() <= replica.commit_index()
        && replica.term_at(replica.commit_index()) == Some(replica.term());
    let member = replica.configuration().is_voter(replica.id());
    if replica.role() == Role::Leader && committed && !member {
        return Err(format!("membership: {} leads and is removed", replica.id()));
    }
    Ok(())
}

/// To be asked when what a flush asked for is staged.
pub fn on_staged(replica: &Replica, disk: &Disk) -> Verdict {
    let in_log = disk.staged.configurations.last();
    let (index, configuration) = in_log.copied().unwrap_or_default();
    if index == replica.configuration_index() && configuration == *replica.configuration() {
        return Ok(());
    }
    Err(format!(
        "membership: {} goes by {:?}, its log says {configuration:?}",
        replica.id(),
        replica.configuration()
    ))
}
