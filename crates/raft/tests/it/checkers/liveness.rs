//! Liveness after healing: a leader everybody agrees on, everybody caught up, then everybody asleep.

use raft::{Replica, Role};

/// The leader, when all `members` of its configuration follow it and hold everything; else what is missing.
pub fn converged<'a>(replicas: &[&'a Replica]) -> Result<&'a Replica, String> {
    let newest = replicas.iter().map(|r| r.term()).max().unwrap_or_default();
    let leader = replicas
        .iter()
        .find(|r| r.role() == Role::Leader && r.term() == newest);
    let Some(leader) = leader else {
        return Err(format!("liveness: nobody leads in term {newest}"));
    };
    let last = leader.last().index;
    if leader.configuration().is_joint() || leader.configuration_index() > leader.commit_index() {
        return Err(format!(
            "liveness: {:?} is not finished, {} of {} are committed",
            leader.configuration(),
            leader.commit_index(),
            leader.last().index
        ));
    }
    for id in leader.configuration().members() {
        let Some(member) = replicas.iter().find(|r| r.id() == id) else {
            return Err(format!("liveness: member {id} does not exist"));
        };
        if member.leader() != Some(leader.id())
            || member.last() != leader.last()
            || member.commit_index() != last
            || member.durable() != last
        {
            return Err(format!(
                "liveness: {id} is at {:?}, commit {}, durable {}; the leader {} at {last}",
                member.last(),
                member.commit_index(),
                member.durable(),
                leader.id()
            ));
        }
    }
    Ok(leader)
}

/// Who of the leader's members is still awake.
pub fn awake(leader: &Replica, replicas: &[&Replica]) -> usize {
    let members = leader.configuration().members();
    let alone = leader.configuration().members().count() == 1;
    members
        .filter(|id| replicas.iter().any(|r| r.id() == *id && r.is_awake()))
        .count()
        * usize::from(!alone)
}
