//! Rules about words in code: names, forbidden macros, what may be used outside the runtime's seam.

use super::source::{code_of, parts, words};
use super::{Finding, Tree};

const NAME_PARTS_BANNED: &[&str] = &[
    "Manager", "Helper", "Helpers", "Util", "Utils", "Common", "Impl", "Info", "Data", "Service",
];
const FILES_BANNED: &[&str] = &[
    "mod.rs",
    "types.rs",
    "misc.rs",
    "util.rs",
    "utils.rs",
    "common.rs",
    "helper.rs",
    "helpers.rs",
];
/// They clash: log start and last stable offset share three letters, and high watermark is not hardware.
const ABBREVIATIONS_BANNED: &[&str] = &["lso", "hw", "isr", "leo"];
/// Fields of Kafka's messages, which are not ours to name.
const KAFKA_FIELDS: &[&str] = &["isr_nodes"];
const MACROS_BANNED: &[&str] = &["todo", "unimplemented", "dbg"];

/// The crates that own the operating system's side, and the programs around the product.
const OUTSIDE_THE_SEAM: &[&str] = &[
    "crates/runtime/",
    "crates/server/",
    // Runs in the compiler.
    "crates/event_derive/",
    "crates/kafka/oracle/",
    "bench/",
    "xtask/",
    "e2e/",
    "fuzz/",
];
/// What only they may name. `Duration` and socket addresses are vocabulary and stay free.
const SEAM: &[(&str, &str)] = &[
    ("std::time::Instant", "take time from `runtime`"),
    ("std::time::SystemTime", "take time from `runtime`"),
    ("std::thread", "threads belong to `runtime`"),
    ("std::fs", "files belong to `runtime`"),
    ("std::net::Tcp", "sockets belong to `runtime`"),
    ("std::net::Udp", "sockets belong to `runtime`"),
    ("std::os::unix::net", "sockets belong to `runtime`"),
    ("std::process", "only the binary starts or ends processes"),
    ("std::env", "only the binary reads the environment"),
    ("std::sync::Mutex", "state belongs to one shard"),
    ("std::sync::RwLock", "state belongs to one shard"),
    (
        "RandomState",
        "iteration order must not depend on the process",
    ),
    (
        "collections::HashMap",
        "iteration order must not depend on the process: BTreeMap, or a fixed hasher",
    ),
    (
        "collections::HashSet",
        "iteration order must not depend on the process: BTreeSet, or a fixed hasher",
    ),
];

/// What some places need although they are not the runtime: pools of buffers take memory back from other threads, the
/// simulation runs a seed per core and measures itself, sessions live on the front thread and compute on helper threads, rows
/// of views are looked up from there, and the query engine's interfaces take maps and sets that are only asked for what they
/// hold.
const SEAM_EXCEPTIONS: &[(&str, &str)] = &[
    ("crates/sql/src/postgres.rs", "std::sync::Mutex"),
    ("crates/sql/src/session/query.rs", "std::sync::Mutex"),
    ("crates/sql/src/column_type.rs", "collections::HashMap"),
    (
        "crates/sql/src/planner/lower/join.rs",
        "collections::HashMap",
    ),
    ("crates/sql/src/planner/sessions.rs", "collections::HashSet"),
    ("crates/sql/src/planner/temporal.rs", "collections::HashSet"),
    ("crates/sql/src/planner/windows.rs", "collections::HashSet"),
    ("crates/streams/src/engine/shared.rs", "std::sync::RwLock"),
    ("crates/streams/src/engine/shared/tests.rs", "std::thread"),
    ("crates/sim/src/seeds.rs", "std::env"),
    ("crates/sim/src/seeds.rs", "std::time::Instant"),
    ("crates/sim/src/seeds.rs", "std::thread"),
    ("crates/iobuf/src/pool.rs", "std::sync::Mutex"),
    ("crates/iobuf/src/pool/tests.rs", "std::thread"),
    ("crates/iobuf/src/buf/tests.rs", "std::thread"),
];

/// The files that may hold the word `unsafe`. A file that no longer needs it leaves the list.
pub const UNSAFE_FILES: &[&str] = &[
    "crates/iobuf/src/buf.rs",
    "crates/iobuf/src/pool.rs",
    "crates/runtime/examples/micro.rs",
    "crates/runtime/src/clock.rs",
    "crates/runtime/src/epoll.rs",
    "crates/runtime/src/fatal.rs",
    "crates/runtime/src/host.rs",
    "crates/runtime/src/mesh.rs",
    "crates/runtime/src/mesh/ring.rs",
    "crates/runtime/src/offload.rs",
    "crates/runtime/src/process.rs",
    "crates/runtime/src/remote.rs",
    "crates/runtime/src/signal.rs",
    "crates/runtime/src/socket.rs",
    "crates/runtime/src/stats/tally.rs",
    "crates/runtime/src/task.rs",
    "crates/runtime/src/uring.rs",
    "crates/runtime/src/watchdog.rs",
    "fuzz/src/memory.rs",
];

/// File and type names say what a thing is.
pub fn names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let file = path.rsplit('/').next().unwrap_or(path);
        if FILES_BANNED.contains(&file) {
            findings.push(Finding::new(
                path,
                0,
                format!("a file is never called {file}"),
            ));
        }
        for (line, code) in code_lines(text) {
            for name in declared(&code) {
                if let Some(part) = parts(&name)
                    .into_iter()
                    .find(|part| NAME_PARTS_BANNED.contains(part))
                {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("{name}: {part} says nothing"),
                    ));
                }
                if name.starts_with("Forebay") {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("{name}: no product name in front"),
                    ));
                }
            }
        }
    }
    findings
}

/// The names of the types a line of code declares.
fn declared(code: &str) -> Vec<String> {
    let tokens: Vec<&str> = words(code).map(|(_, word)| word).collect();
    let kinds = ["struct", "enum", "trait", "union", "type"];
    tokens
        .windows(2)
        .filter(|pair| kinds.contains(&pair[0]))
        .map(|pair| pair[1].to_owned())
        .collect()
}

/// Offsets are spelt out.
pub fn abbreviations(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        for (line, code) in code_lines(text) {
            for (_, word) in words(&code).filter(|(_, word)| !KAFKA_FIELDS.contains(word)) {
                if parts(word)
                    .iter()
                    .any(|part| ABBREVIATIONS_BANNED.contains(&part.to_ascii_lowercase().as_str()))
                {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("{word}: spell the offset out"),
                    ));
                }
            }
        }
    }
    findings
}

/// Nothing unfinished and nothing for the debugger stays in the tree.
pub fn forbidden(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    let marker = concat!("FIX", "ME");
    for (path, text) in tree.rust() {
        for (line, code) in code_lines(text) {
            for (at, word) in words(&code) {
                if MACROS_BANNED.contains(&word) && code[at + word.len()..].starts_with('!') {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("{word}! is unfinished work"),
                    ));
                }
            }
        }
        for (index, source) in text
            .lines()
            .enumerate()
            .filter(|(_, source)| source.contains(marker))
        {
            findings.push(Finding::new(
                path,
                index + 1,
                format!("unfinished: {}", source.trim()),
            ));
        }
    }
    findings
}

/// Time, threads, files, sockets and hash seeds come from the runtime, so that the simulator runs the same code.
pub fn outside_the_seam(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree
        .rust()
        .filter(|(path, _)| !OUTSIDE_THE_SEAM.iter().any(|home| path.starts_with(home)))
    {
        for (line, code) in code_lines(text) {
            for used in paths_used(&code) {
                for (banned, why) in SEAM.iter().filter(|(banned, _)| used.contains(banned)) {
                    // A test may be told by the environment to do more than usual, and one that runs on real files
                    // needs a directory for them.
                    let told = *banned == "std::env" && path.contains("/tests");
                    let real = path.starts_with("crates/")
                        && ["/tests/it/", "/tests/stores/", "/examples/"]
                            .iter()
                            .any(|folder| path.contains(folder))
                        && !banned.contains("Random");
                    if told || real || SEAM_EXCEPTIONS.contains(&(path, *banned)) {
                        continue;
                    }
                    findings.push(Finding::new(path, line, format!("{banned}: {why}")));
                }
            }
        }
    }
    findings
}

/// The paths a line names; `std::{fs, time::Instant}` is spelt out one by one.
fn paths_used(code: &str) -> Vec<String> {
    let squeezed: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((prefix, list)) = squeezed.split_once("::{") else {
        return vec![squeezed];
    };
    let prefix = prefix.rsplit([' ', '(', '<', '&']).next().unwrap_or(prefix);
    list.split([',', '{', '}', ';'])
        .map(|item| format!("{prefix}::{}", item.trim()))
        .chain([squeezed.clone()])
        .collect()
}

/// `unsafe` stands only in the files listed for it.
pub fn unsafe_files(tree: &Tree) -> Vec<Finding> {
    unsafe_files_with(tree, UNSAFE_FILES)
}

/// [`unsafe_files`] with a list of the caller's.
pub fn unsafe_files_with(tree: &Tree, listed: &[&str]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut seen = Vec::new();
    for (path, text) in tree.texts().filter(|(path, _)| path.ends_with(".rs")) {
        let first =
            code_lines(text).find(|(_, code)| words(code).any(|(_, word)| word == "unsafe"));
        if let Some((line, _)) = first {
            seen.push(path);
            if !listed.contains(&path) {
                findings.push(Finding::new(
                    path,
                    line,
                    "unsafe outside the files listed for it",
                ));
            }
        }
    }
    for path in listed.iter().filter(|path| !seen.contains(path)) {
        findings.push(Finding::new(
            path,
            0,
            "listed for unsafe but has none: remove it from the list",
        ));
    }
    findings
}

/// No `allow` that hides a problem instead of explaining an exception.
pub fn hidden_lints(tree: &Tree) -> Vec<Finding> {
    let hiding = [
        "dead_code",
        "unused",
        "unused_variables",
        "unused_imports",
        "unused_mut",
        "warnings",
        "all",
    ];
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        for (line, code) in code_lines(text) {
            let Some((_, list)) = code.split_once("allow(") else {
                continue;
            };
            if !code.trim_start().starts_with('#') {
                continue;
            }
            for lint in list
                .split([',', ')'])
                .map(|lint| lint.trim().trim_start_matches("clippy::"))
            {
                if hiding.contains(&lint) {
                    findings.push(Finding::new(
                        path,
                        line,
                        format!("allow({lint}) hides what should be removed"),
                    ));
                }
            }
        }
    }
    findings
}

/// What a crate offers is named one by one.
pub fn glob_exports(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        for (line, code) in code_lines(text) {
            let code = code.trim();
            if code.starts_with("pub") && code.contains("use ") && code.ends_with("::*;") {
                findings.push(Finding::new(path, line, "name what is re-exported"));
            }
        }
    }
    findings
}

/// The lines of code with their numbers, comments and literals blanked.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines: Vec<String> = code_of(text).lines().map(str::to_owned).collect();
    lines
        .into_iter()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}
