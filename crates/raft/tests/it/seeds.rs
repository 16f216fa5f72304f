//! Seeds of the core simulator: so many in each test run, more on demand.

use raft::PlantedBugs;
use raft_sim::{Outcome, run, run_caught};

/// What this thread has used of a core; the wall clock also shows what else the machine does.
pub fn cpu_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text
        .split(' ')
        .next()
        .and_then(|first| first.parse::<f64>().ok());
    nanos.unwrap_or_default() / 1e9
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn same_seed_same_run() {
    for seed in 0..20 {
        let runs = [0, 1].map(|_| run(seed, PlantedBugs::default(), false));
        assert_eq!(runs[0], runs[1]);
    }
}

#[test]
fn seeds_hold() {
    if let Some(seed) = from_environment("FOREBAY_SEED") {
        run(seed, PlantedBugs::default(), true).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
        return;
    }
    let count = from_environment("FOREBAY_SEEDS").unwrap_or(20_000);
    let first = from_environment("FOREBAY_FIRST_SEED").unwrap_or(0);
    let began = cpu_seconds();
    let mut sum = Outcome::default();
    let mut failed = Vec::new();
    for seed in first..first + count {
        match run_caught(seed, PlantedBugs::default()) {
            Ok(outcome) => {
                sum.steps += outcome.steps;
                sum.faults += outcome.faults;
                sum.kinds |= outcome.kinds;
                sum.committed += outcome.committed;
                sum.elections += outcome.elections;
                sum.reads += outcome.reads;
                sum.full += outcome.full;
                sum.crashes += outcome.crashes;
                sum.now += outcome.now;
                sum.state ^= outcome.state;
            }
            Err(why) => {
                eprintln!("seed {seed}: {why}");
                failed.push(seed);
            }
        }
        assert!(failed.len() < 10, "too many seeds fail: {failed:?}");
    }
    let pace = count as f64 / (cpu_seconds() - began);
    eprintln!("{count} seeds, {pace:.0} per CPU second: {sum:?}");
    assert!(
        count < 1000 || sum.full > 0,
        "the bound of bytes is reached"
    );
    assert!(failed.is_empty(), "seeds {failed:?} fail");
}
