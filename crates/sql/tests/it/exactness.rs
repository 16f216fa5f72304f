//! Random cases with the answers of another engine: each query as it stands and as a view made before the rows came.
//!
//! A thousand are part of every run. `cargo xtask exactness --cases N` makes others and runs them: `EXACTNESS_CASES` names
//! their file. `tests/oracle/generate.py` is what makes them.

use std::{
    fmt::Write as _,
    fs,
    num::NonZero,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::slt::{differences, parts};

/// By `generate.py 1 1000 cases.slt.zst`.
const CASES: &[u8] = include_bytes!("../exactness/cases.slt.zst");

/// Cases in a file, and what was wrong in them.
fn run(text: &str) -> (usize, String) {
    let parts = parts(text);
    // In front of the first `reset` stands a comment.
    let cases = &parts[1..];
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut found = String::new();
        while let Some((before, part)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.push_str(&differences(*before, part));
        }
        found
    };
    let found = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        let done = workers
            .into_iter()
            .map(|worker| worker.join().expect("no case panics"));
        done.collect::<String>()
    });
    (cases.len(), found)
}

#[test]
fn answers_are_those_of_another_engine() {
    let other = std::env::var_os("EXACTNESS_CASES");
    let text = match &other {
        Some(path) => fs::read(path).expect("the file that was named"),
        None => zstd::decode_all(CASES).expect("the file is whole"),
    };
    let text = String::from_utf8(text).expect("it is text");
    let (count, found) = run(&text);
    println!("{count} cases");
    assert!(found.is_empty(), "{found}");
    assert!(other.is_some() || count == 1000, "{count} cases");
}

#[test]
fn a_wrong_answer_is_found() {
    let mut text = String::from("# A case.\nreset\n");
    for (statement, answer) in [
        ("CREATE TABLE t (a INT)", ""),
        ("INSERT INTO t VALUES (1), (2)", ""),
        ("SELECT sum(a) FROM t", "4"),
    ] {
        match answer {
            "" => writeln!(text, "\nstatement ok\n{statement}").expect("text"),
            answer => writeln!(text, "\nquery\n{statement}\n----\n{answer}").expect("text"),
        }
    }
    let (count, found) = run(&text);
    assert_eq!(count, 1);
    assert!(
        found.contains("query:") && found.contains("view:"),
        "{found}"
    );
    let (_, found) = run(&text.replace("\n4", "\n3"));
    assert!(found.is_empty(), "{found}");
}
