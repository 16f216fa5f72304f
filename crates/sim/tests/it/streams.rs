//! Views over a node's topics through crashes, over many seeds.

use sim::{
    seeds::{Seed, Suite},
    streams_run,
};

/// First of all: without it no seed means anything.
#[test]
fn same_seed_same_views() {
    for seed in 0..2 {
        let first = streams_run::run(Seed::quiet(seed), false);
        let second = streams_run::run(Seed::quiet(seed), false);
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn views_add_up() {
    let suite = Suite {
        name: "views_add_up",
        share: 100,
        ratio_min: 5.0,
    };
    suite.run(|seed| streams_run::run(seed, false));
}

#[test]
#[ignore = "the log as a question reads it and the views differ on some seeds, 3 for one: not understood yet"]
fn views_are_what_the_log_says() {
    let suite = Suite {
        name: "views_are_what_the_log_says",
        share: 100,
        ratio_min: 5.0,
    };
    suite.run(|seed| streams_run::run(seed, true));
}
