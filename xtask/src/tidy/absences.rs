//! Rules about what a crate must not do, which ARCHITECTURE.md states and this checks.

use super::source::{code_of, words};
use super::{Finding, Tree};

/// The first line of ARCHITECTURE's section on `raft`.
pub const RAFT_LINE: &str = "`raft` performs no I/O, reads no clock, starts no thread, draws no random number, and allocates nothing per entry in the steady state.";

/// Words that would break it, in code outside tests. What it allocates is counted by a test of its own.
const RAFT_BANNED: &[&str] = &[
    "async",
    "await",
    "fs",
    "net",
    "io",
    "env",
    "process",
    "thread",
    "thread_local",
    "time",
    "Instant",
    "SystemTime",
    "Duration",
    "rand",
    "RandomState",
    "RefCell",
    "Cell",
    "Rc",
    "Arc",
    "Box",
    "dyn",
    "static",
    "println",
];

/// `raft` is pure, and ARCHITECTURE.md says so in the first line of its section.
pub fn raft(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut exists = false;
    for (path, text) in tree
        .rust()
        .filter(|(path, _)| path.starts_with("crates/raft/src/"))
    {
        exists = true;
        if path.ends_with("tests.rs") || path.ends_with("model.rs") {
            continue;
        }
        for (index, code) in code_of(text).lines().enumerate() {
            for (_, word) in words(code).filter(|(_, word)| RAFT_BANNED.contains(word)) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("{word}: raft is pure"),
                ));
            }
        }
    }
    let page = "ARCHITECTURE.md";
    let text = tree.texts().find(|(path, _)| *path == page);
    let lines = text.map_or("", |(_, text)| text).lines();
    let mut section = lines.skip_while(|line| *line != "## `raft`").skip(1);
    let first = section.find(|line| !line.is_empty());
    if exists && first != Some(RAFT_LINE) {
        findings.push(Finding::new(
            page,
            0,
            format!("the section on raft begins with {RAFT_LINE:?}"),
        ));
    }
    findings
}
