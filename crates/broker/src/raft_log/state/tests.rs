//! States that come back, and configurations that count.

use base::{LeaderEpoch, RaftIndex};
use raft::{Configuration, HardState, LogPosition, ReplicaId};

use super::{CONFIGURATIONS_MAX, SavedState, StateError, in_log};

fn placed(index: u64, term: i32, voters: &[u32]) -> (LogPosition, Configuration) {
    let ids: Vec<_> = voters.iter().map(|id| ReplicaId(*id)).collect();
    let at = LogPosition {
        term: LeaderEpoch(term),
        index: RaftIndex(index),
    };
    (at, Configuration::new(&ids, &[]).expect("a few"))
}

fn state() -> SavedState {
    SavedState {
        replica: ReplicaId(3),
        hard: HardState {
            term: LeaderEpoch(7),
            vote: Some(ReplicaId(2)),
        },
        configurations: vec![placed(0, 0, &[3]), placed(9, 4, &[1, 2, 3])],
    }
}

#[test]
fn a_state_comes_back_and_none_of_its_fronts_does() {
    let bytes = state().encode();
    assert_eq!(SavedState::decode(&bytes), Ok(state()));
    for end in 0..bytes.len() {
        assert_eq!(
            SavedState::decode(&bytes[..end]),
            Err(StateError::Length),
            "{end} bytes"
        );
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert_eq!(SavedState::decode(&longer), Err(StateError::Length));
    let mut later = bytes;
    later[0] = 2;
    assert_eq!(SavedState::decode(&later), Err(StateError::Version(2)));
}

#[test]
fn the_first_and_the_newest_configurations_fit_where_all_do_not() {
    let many: Vec<_> = (0..400)
        .map(|n| placed(n * 10, 1, &[1, 2, 3, 4, 5, 6, 7]))
        .collect();
    let bytes = SavedState {
        configurations: many.clone(),
        ..state()
    }
    .encode();
    assert!(
        bytes.len() < storage::STATE_BYTES_MAX,
        "{} bytes",
        bytes.len()
    );
    let kept = SavedState::decode(&bytes)
        .expect("what was encoded")
        .configurations;
    assert_eq!(kept.len(), CONFIGURATIONS_MAX);
    assert_eq!(kept.first(), many.first());
    assert_eq!(kept.last(), many.last());
}

#[test]
fn a_configuration_counts_only_with_its_entry() {
    let saved = [
        placed(0, 0, &[1]),
        placed(5, 2, &[1, 2]),
        placed(8, 3, &[2]),
    ];
    let start = LogPosition::default();
    // Entry 5 is of term 3: another leader's, which replaced the configuration; entry 8 never came.
    let terms = |index: RaftIndex| (index.0 <= 6).then_some(LeaderEpoch(3));
    let held = in_log(&saved, start, terms);
    assert_eq!(held, [(RaftIndex(0), saved[0].1)]);
}
