//! Short run of every fuzz target, and of the canaries, which must fail.

use fuzz::{Limit, TARGETS, fuzz, targets::CANARIES};

/// Inputs per target: a few seconds for all.
const ROUNDS: u64 = 20_000;

#[test]
fn no_target_has_a_finding() {
    for target in TARGETS {
        let outcome = fuzz(target, 7, Limit::Rounds(ROUNDS));
        assert!(outcome.finding.is_none(), "{}: {outcome:?}", target.name);
        assert_eq!(outcome.rounds, ROUNDS);
    }
}

#[test]
fn the_canaries_are_found() {
    for canary in CANARIES {
        let outcome = fuzz(canary, 7, Limit::Rounds(ROUNDS));
        assert!(outcome.finding.is_some(), "{}: {outcome:?}", canary.name);
    }
}

#[test]
fn the_same_seed_tries_the_same_inputs() {
    let rounds = |seed| fuzz(&CANARIES[0], seed, Limit::Rounds(ROUNDS)).rounds;
    assert_eq!(rounds(3), rounds(3));
    assert_ne!(rounds(3), rounds(4));
}
