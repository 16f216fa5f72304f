//! Views and sinks over a node's topics through crashes, over many seeds.

use sim::{
    seeds::{Seed, Suite},
    streams_run::{self, Hits},
};
use streams::engine::PlantedBugs;

/// First of all: without it no seed means anything.
#[test]
fn same_seed_same_views() {
    let run = |seed| {
        let (bugs, hits) = (PlantedBugs::default(), Hits::default());
        streams_run::run(Seed::quiet(seed), bugs, &hits)
    };
    for seed in 0..3 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}

#[test]
fn views_and_sinks_are_what_the_log_says() {
    let suite = Suite {
        name: "views_and_sinks_are_what_the_log_says",
        share: 20,
    };
    let hits = Hits::default();
    suite.run(|seed| streams_run::run(seed, PlantedBugs::default(), &hits));
    if std::env::var("FOREBAY_SEED").is_err() {
        hits.check();
    }
}
