//! The whole node and its clients on simulated machines, over many seeds.

use sim::{
    node_plan::NodeBugs,
    node_run,
    seeds::{Seed, Suite},
};

/// First of all tests: without it no seed means anything.
#[test]
fn same_seed_same_run() {
    for seed in 0..4 {
        let first = node_run::run(Seed::quiet(seed), NodeBugs::default());
        let second = node_run::run(Seed::quiet(seed), NodeBugs::default());
        assert_eq!(first, second, "seed {seed}");
    }
    let one = node_run::run(Seed::quiet(1), NodeBugs::default());
    let other = node_run::run(Seed::quiet(2), NodeBugs::default());
    assert_ne!(one.trace_hash, other.trace_hash);
}

#[test]
fn a_node_keeps_its_promises() {
    let suite = Suite {
        name: "a_node_keeps_its_promises",
        share: 10,
    };
    suite.run(|seed| node_run::run(seed, NodeBugs::default()));
}
