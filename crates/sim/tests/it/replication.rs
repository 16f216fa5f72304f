//! Raft groups of several members on real storage, over many seeds.

use sim::{
    replication_plan::ReplicationBugs,
    replication_run,
    seeds::{self, Seed, Suite},
};

/// No planted bug may need more.
const SEEDS: u64 = 2000;

/// First of all tests: without it no seed means anything.
#[test]
fn same_seed_same_run() {
    for seed in 0..4 {
        let first = replication_run::run(Seed::quiet(seed), &ReplicationBugs::default());
        let second = replication_run::run(Seed::quiet(seed), &ReplicationBugs::default());
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn replicas_keep_their_promises() {
    let suite = Suite {
        name: "replicas_keep_their_promises",
        share: 10,
    };
    suite.run(|seed| replication_run::run(seed, &ReplicationBugs::default()));
}

fn found(name: &str, bugs: &ReplicationBugs) {
    match seeds::first_failure(SEEDS, |seed| replication_run::run(seed, bugs)) {
        Some((seed, said)) => println!("{name}: found with seed {seed}: {said}"),
        None => panic!("{name}: not found within {SEEDS} seeds"),
    }
}

/// Bugs of the core show here too: what drives it hides none.
#[test]
fn a_leader_that_counts_what_is_not_synced() {
    let mut bugs = ReplicationBugs::default();
    bugs.core.count_unsynced_own = true;
    found("a leader counts what is not synced", &bugs);
}

#[test]
fn a_follower_that_acknowledges_what_nobody_compared() {
    let mut bugs = ReplicationBugs::default();
    bugs.core.acknowledge_unverified = true;
    found("a follower acknowledges what nobody compared", &bugs);
}

#[test]
fn a_journal_that_acknowledges_before_its_sync() {
    let mut bugs = ReplicationBugs::default();
    bugs.storage.ack_before_sync = true;
    found("the journal acknowledges before its sync", &bugs);
}
