//! Times that change, and times that never come.

use super::*;
use crate::state::Keys;

#[test]
fn what_never_goes_takes_no_place_in_the_lists() {
    let slot = Keys::default().append(b"");
    let mut waiting = Waiting::default();
    waiting.put(slot, 5);
    let bytes = waiting.bytes();
    waiting.put(slot, NEVER);
    assert_eq!(waiting.bytes(), bytes);
    for _ in 0..100 {
        waiting.put(slot, 5);
        waiting.put(slot, NEVER);
    }
    assert!(waiting.due(i64::MAX).is_empty());
    assert!(waiting.bytes() < bytes, "nothing waits");
    waiting.put(slot, 5);
    assert!(waiting.due(4).is_empty());
    assert_eq!(waiting.due(5), [slot]);
}

#[test]
fn a_slot_is_due_once_at_its_last_time() {
    let slot = Keys::default().append(b"");
    let mut waiting = Waiting::default();
    for _ in 0..10 {
        waiting.put(slot, 5);
        waiting.put(slot, 7);
    }
    let bytes = waiting.bytes();
    assert!(bytes > 20 * size_of::<Slot>(), "{bytes} bytes");
    assert!(waiting.due(6).is_empty());
    assert!(waiting.bytes() < bytes);
    assert_eq!(waiting.due(7), [slot]);
    assert!(waiting.due(i64::MAX).is_empty());
}
