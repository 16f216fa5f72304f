//! One raft group under a storm of faults, over many seeds; the core's own tests look at it closer.

use sim::{
    raft_run,
    seeds::{Seed, Suite},
};

#[test]
fn same_seed_same_run() {
    for seed in 0..20 {
        assert_eq!(
            raft_run::run(Seed::quiet(seed)),
            raft_run::run(Seed::quiet(seed)),
            "seed {seed}"
        );
    }
}

#[test]
fn a_raft_group_keeps_its_promises() {
    let suite = Suite {
        name: "a_raft_group_keeps_its_promises",
        share: 1,
    };
    suite.run(raft_run::run);
}
