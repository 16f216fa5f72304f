//! Sequences of producers, and topics that are gone.

use runtime::Instant;

use super::*;

#[test]
fn sequences_begin_again_behind_the_greatest() {
    assert!(is_behind(9, 9));
    assert!(is_behind(9, 3));
    assert!(!is_behind(9, 10));
    assert!(is_behind(2, i32::MAX), "what was sent before the turn");
    assert!(!is_behind(i32::MAX, 2), "what comes behind the turn");
}

#[test]
fn a_topic_is_gone_when_nothing_else_is_said_for_long() {
    let mut absence = Absence::default();
    let mut is_gone = |second: u64, is_unknown: bool| {
        let answer = match is_unknown {
            true => Err(ClientError::UnknownTopic("t".to_owned())),
            false => Ok(()),
        };
        absence.is_for_good(Instant(second * 1_000_000_000), &answer)
    };
    assert!(!is_gone(0, true));
    assert!(!is_gone(9, true));
    assert!(!is_gone(9, false), "it is there");
    assert!(!is_gone(15, true), "from here on anew");
    assert!(!is_gone(24, true));
    assert!(is_gone(25, true));
}
