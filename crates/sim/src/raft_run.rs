//! One raft group's run, told as the other suites tell theirs.

use std::time::Duration;

use raft::PlantedBugs;

use crate::seeds::{Ran, Seed};

/// Panics when the group breaks a promise.
pub fn run(seed: Seed) -> Ran {
    let Seed { seed, trace_lines } = seed;
    match raft_sim::run(seed, PlantedBugs::default(), trace_lines > 0) {
        Ok(outcome) => Ran {
            simulated: Duration::from_millis(outcome.now),
            crashes: outcome.crashes,
            acknowledged: outcome.committed,
            trace_hash: outcome.state ^ outcome.steps,
        },
        Err(why) => panic!("{why}"),
    }
}
