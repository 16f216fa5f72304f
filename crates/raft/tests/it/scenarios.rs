//! Named scenarios: what once went wrong, step by step.

use base::RaftIndex;
use raft::{Configuration, Descriptor, EntryKind, HardState, ReplicaId, Role, Settings, Term};
use raft_sim::{checkers::liveness, disk::Image, world::World};

fn ids(ids: &[u32]) -> Vec<ReplicaId> {
    ids.iter().copied().map(ReplicaId).collect()
}

fn configuration(voters: &[u32], learners: &[u32]) -> Configuration {
    Configuration::new(&ids(voters), &ids(learners)).expect("a few")
}

/// Goes on until `done`, or some hundred election timeouts have passed.
fn until(world: &mut World, done: impl Fn(&World) -> bool) {
    let end = world.now + 100_000;
    while !done(world) {
        assert!(world.now < end, "it does not come to that");
        world.step().expect("nothing is violated");
    }
}

/// The node that leads and has committed its whole log.
fn settled(world: &World) -> Option<usize> {
    world.leaders().into_iter().find(|at| {
        let replica = world.nodes[*at].replica.as_ref();
        replica.is_some_and(|r| r.commit_index() == r.last().index)
    })
}

/// A replica of this term restarts on a log of entries of these terms behind `known`, with configurations among them.
fn restart(
    world: &mut World,
    at: usize,
    hard: Term,
    terms: &[i32],
    known: &[(u64, Configuration)],
) {
    world.crash(at);
    let kind_at = |index: u64| match known.iter().any(|(at, _)| *at == index) {
        true => EntryKind::Configuration,
        false => EntryKind::Records,
    };
    let entries = terms.iter().zip(1..).map(|(term, index)| Descriptor {
        term: Term(*term),
        bytes: 1,
        checksum: (*term as u32) << 16 | index as u32,
        kind: kind_at(index),
    });
    let known = known.iter().map(|(at, c)| (RaftIndex(*at), *c));
    let image = Image {
        entries: entries.collect(),
        configurations: known.collect(),
        ..Image::default()
    };
    let disk = &mut world.nodes[at].disk;
    disk.hard = HardState {
        term: hard,
        vote: None,
    };
    disk.staged = image.clone();
    disk.durable = image;
    world.restart(at).expect("nothing is violated");
}

/// New members once took entries of a log that had its beginning, and so never learnt the configuration before the first
/// change. Leading later, they sent snapshots without one.
#[test]
fn a_new_member_knows_the_configuration_its_log_starts_with() {
    let mut world = World::new(1, Settings::default(), 3, 1, false);
    let first = world.initial;
    until(&mut world, |world| settled(world).is_some());
    let leader = settled(&world).expect("it was");
    world.propose(leader, 3).expect("nothing is violated");
    let with = |replica: &mut raft::Replica, out: &mut raft::Effects| {
        let target = configuration(&[1, 2, 3], &[4]);
        replica
            .reconfigure(&target, out)
            .expect("nothing is in the way");
    };
    world.with(leader, with).expect("nothing is violated");
    until(&mut world, |world| {
        let replicas: Vec<_> = world
            .nodes
            .iter()
            .filter_map(|n| n.replica.as_ref())
            .collect();
        liveness::converged(&replicas)
            .is_ok_and(|leader| leader.configuration().contains(ReplicaId(4)))
    });
    let new = world.nodes[3].replica.as_ref().expect("it runs");
    assert_eq!(new.configuration_at(RaftIndex::ZERO), first);
}

/// The leader's disk is lost, and only a learner has what it sent last; a voter has, from an earlier leader, a change in its
/// log that needs this learner's vote. Neither could ever win while learners did not stand.
#[test]
fn a_learner_with_the_newest_log_ends_a_deadlock() {
    let mut world = World::new(1, Settings::default(), 5, 0, false);
    let now = configuration(&[2, 3, 4], &[1, 5]);
    let wanted = Configuration {
        outgoing: now.voters,
        ..configuration(&[1, 5], &[])
    };
    world.crash(1);
    world.nodes[1].is_gone = true;
    let now = (0, now);
    restart(&mut world, 0, Term(2), &[1, 2, 2], &[now]);
    restart(&mut world, 2, Term(1), &[1, 1], &[now, (2, wanted)]);
    restart(&mut world, 3, Term(2), &[1], &[now]);
    restart(&mut world, 4, Term(2), &[1], &[now]);
    until(&mut world, |world| {
        settled(world).is_some_and(|at| {
            let replica = world.nodes[at].replica.as_ref().expect("it leads");
            replica.configuration().voters.contains(replica.id())
        })
    });
    let leader = &world.nodes[settled(&world).expect("it was")];
    let replica = leader.replica.as_ref().expect("it leads");
    assert_eq!(replica.role(), Role::Leader);
    assert_eq!(replica.term_at(RaftIndex(3)), Some(Term(2)));
}
