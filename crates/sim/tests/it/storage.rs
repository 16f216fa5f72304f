//! The real storage on a simulated host, over many seeds.

use sim::{
    seeds::{Seed, Suite},
    storage_run,
};
use storage::PlantedBugs;

/// First of all tests: without it no seed means anything.
#[test]
fn same_seed_same_run() {
    for seed in 0..20 {
        let first = storage_run::run(Seed::quiet(seed), PlantedBugs::default());
        let second = storage_run::run(Seed::quiet(seed), PlantedBugs::default());
        assert_eq!(first, second, "seed {seed}");
    }
    let one = storage_run::run(Seed::quiet(1), PlantedBugs::default());
    let other = storage_run::run(Seed::quiet(2), PlantedBugs::default());
    assert_ne!(one.trace_hash, other.trace_hash);
}

#[test]
fn storage_keeps_its_promises() {
    let suite = Suite {
        name: "storage_keeps_its_promises",
        share: 1,
    };
    suite.run(|seed| storage_run::run(seed, PlantedBugs::default()));
}
