//! Liveness after healing: a leader everybody agrees on, everybody caught up, then everybody asleep.

use raft::{Replica, Role};

/// The leader, when all `members` of its configuration follow it and hold everything; else what is missing. Replicas that
/// its configuration leaves out may be in any term: one that stood for election when it was removed is above the group,
/// and its pre-votes change nothing there (thesis 4.2.3).
pub fn converged<'a>(replicas: &[&'a Replica]) -> Result<&'a Replica, String> {
    let leader = replicas
        .iter()
        .filter(|r| r.role() == Role::Leader)
        .max_by_key(|r| r.term());
    let Some(leader) = leader else {
        let describe = |r: &&Replica| {
            format!(
                "\n  {} in term {} at {:?}, committed {}, {:?} as of {}",
                r.id(),
                r.term(),
                r.last(),
                r.commit_index(),
                r.configuration(),
                r.configuration_index()
            )
        };
        let all: String = replicas.iter().map(describe).collect();
        return Err(format!("liveness: nobody leads:{all}"));
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
            || member.term() != leader.term()
            || member.last() != leader.last()
            || member.commit_index() != last
            || member.durable() != last
        {
            return Err(format!(
                "liveness: {id} is in term {} at {:?}, commit {}, durable {}; the leader {} at {last}",
                member.term(),
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
