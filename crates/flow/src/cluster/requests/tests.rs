//! Sequences of producers.

use super::*;

#[test]
fn sequences_begin_again_behind_the_greatest() {
    assert!(is_behind(9, 9));
    assert!(is_behind(9, 3));
    assert!(!is_behind(9, 10));
    assert!(is_behind(2, i32::MAX), "what was sent before the turn");
    assert!(!is_behind(i32::MAX, 2), "what comes behind the turn");
}
