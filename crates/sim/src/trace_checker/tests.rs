//! What a run may say, and what not.

use super::{check, listen};
use std::panic::catch_unwind;

#[test]
fn errors_are_violations_and_warnings_need_a_fault() {
    listen(false);
    tracing::info!("nothing");
    check(false);
    tracing::warn!(bytes = 3, "the disk is full");
    check(true);
    tracing::warn!("the disk is full");
    assert!(catch_unwind(|| check(false)).is_err());
    // What was judged is forgotten.
    check(false);
    tracing::error!("damage");
    assert!(catch_unwind(|| check(true)).is_err());
}
