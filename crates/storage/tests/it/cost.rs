//! The measurements of `examples/cost`, with tiny inputs, so that they do not rot.

use crate::harness::TempDir;

#[path = "../../examples/cost/measures.rs"]
mod measures;

#[test]
fn measurements_run() {
    let dir = TempDir::new("cost");
    let lines = measures::all(dir.path(), measures::Scale::new(false));
    assert_eq!(lines.len(), 10, "{lines:?}");
}
