//! The real storage on a simulated host, over many seeds.

use sim::{seeds::Suite, storage_run};
use storage::PlantedBugs;

const SEEDS: u64 = 1500;

#[test]
#[ignore = "finds bugs that are being worked on"]
fn storage_keeps_its_promises_even_seeds() {
    let suite = Suite {
        name: "storage_keeps_its_promises_even_seeds",
        count: SEEDS,
        part: 0,
        parts: 2,
    };
    suite.run(|seed| storage_run::run(seed, PlantedBugs::default()));
}

#[test]
#[ignore = "finds bugs that are being worked on"]
fn storage_keeps_its_promises_odd_seeds() {
    let suite = Suite {
        name: "storage_keeps_its_promises_odd_seeds",
        count: SEEDS,
        part: 1,
        parts: 2,
    };
    suite.run(|seed| storage_run::run(seed, PlantedBugs::default()));
}
