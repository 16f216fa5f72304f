//! Views over a node's topics through crashes, over many seeds.

use sim::{
    seeds::{Seed, Suite},
    streams_run,
};

/// First of all: without it no seed means anything.
#[test]
fn same_seed_same_views() {
    for seed in 0..2 {
        let first = streams_run::run(Seed::quiet(seed));
        let second = streams_run::run(Seed::quiet(seed));
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
    suite.run(streams_run::run);
}
