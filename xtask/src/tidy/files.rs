//! Rules about files as such: first lines, sizes, and whether anything reaches them.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{code_of, words};
use super::{Finding, Tree};

/// What a file may hold without an entry in the exception list.
const LINES_WANTED: usize = 800;
/// What no entry can excuse.
const LINES_MAX: usize = 1500;
/// How far an entry may stand above the file before it must follow it down.
const SLACK: usize = 40;

/// Files over the wanted size with the size they may not pass. The list may only shrink: a new entry is refused by
/// review, a number is lowered when the file gets shorter.
pub const OVERSIZED: &[(&str, usize)] = &[];

/// The headings of a module's full head.
const HEADINGS: &[&str] = &[
    "Place",
    "Invariants",
    "Layout",
    "Crash",
    "Yields",
    "Limits",
    "Cost",
    "Instead of",
    "Examples",
];

/// Line 1 of each Rust file is `//!` and a noun phrase; headings in the head are the ones the style names.
pub fn heads(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let first = text.lines().next().unwrap_or_default();
        match first.strip_prefix("//! ") {
            Some(phrase) if phrase.split_whitespace().count() >= 2 && !phrase.starts_with('#') => {}
            _ => findings.push(Finding::new(
                path,
                1,
                "line 1 must be `//!` and a noun phrase",
            )),
        }
        for (index, line) in text
            .lines()
            .enumerate()
            .take_while(|(_, line)| line.starts_with("//!"))
        {
            let Some(heading) = line.strip_prefix("//! # ") else {
                continue;
            };
            if !HEADINGS.iter().any(|known| {
                heading
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" ")
                    .starts_with(known)
            }) {
                findings.push(Finding::new(
                    path,
                    index + 1,
                    format!("heading {heading:?} is none of {HEADINGS:?}"),
                ));
            }
        }
    }
    findings
}

/// No file is longer than the limits.
pub fn sizes(tree: &Tree) -> Vec<Finding> {
    sizes_with(tree, OVERSIZED)
}

/// [`sizes`] with an exception list of the caller's.
pub fn sizes_with(tree: &Tree, oversized: &[(&str, usize)]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (path, text) in tree.rust() {
        let lines = text.lines().count();
        let allowed = oversized
            .iter()
            .find(|(listed, _)| *listed == path)
            .map_or(LINES_WANTED, |(_, allowed)| *allowed);
        if lines > allowed.min(LINES_MAX) {
            findings.push(Finding::new(
                path,
                0,
                format!(
                    "{lines} lines, {} allowed: split it",
                    allowed.min(LINES_MAX)
                ),
            ));
        }
    }
    for (path, allowed) in oversized {
        let lines = tree
            .files
            .get(*path)
            .and_then(Option::as_deref)
            .map_or(0, |text| text.lines().count());
        if lines <= LINES_WANTED || lines + SLACK < *allowed {
            findings.push(Finding::new(path, 0, format!("the exception list allows {allowed} lines, it has {lines}: lower or remove the entry")));
        }
    }
    findings
}

/// Every Rust file is a crate root or reached from one by `mod` or `include!`.
pub fn dead(tree: &Tree) -> Vec<Finding> {
    let sources: BTreeMap<&str, &str> = tree
        .texts()
        .filter(|(path, _)| path.ends_with(".rs"))
        .collect();
    let mut alive = BTreeSet::new();
    let mut queue: Vec<String> = sources
        .keys()
        .filter(|path| is_root(path, tree))
        .map(|path| (*path).to_owned())
        .collect();
    while let Some(path) = queue.pop() {
        let Some(text) = sources.get(path.as_str()) else {
            continue;
        };
        if alive.insert(path.clone()) {
            queue.extend(children(&path, text, is_root(&path, tree)));
        }
    }
    let lost = sources.keys().filter(|path| !alive.contains(**path));
    lost.map(|path| Finding::new(path, 0, "no `mod` reaches this file: it is never compiled"))
        .collect()
}

/// Whether cargo takes the file as the root of a target by itself, or a manifest names it.
fn is_root(path: &str, tree: &Tree) -> bool {
    let package = tree
        .files
        .keys()
        .filter_map(|file| file.strip_suffix("Cargo.toml"))
        .filter(|dir| path.starts_with(dir))
        .max_by_key(|dir| dir.len());
    let Some(package) = package else { return false };
    let inside = &path[package.len()..];
    let parts: Vec<&str> = inside.split('/').collect();
    let named = tree
        .files
        .get(&format!("{package}Cargo.toml"))
        .and_then(Option::as_deref)
        .is_some_and(|text| text.contains(&format!("path = \"{inside}\"")));
    named
        || matches!(
            parts.as_slice(),
            ["build.rs"]
                | ["src", "lib.rs" | "main.rs"]
                | ["src", "bin", _]
                | ["src", "bin", _, "main.rs"]
                | ["tests" | "benches" | "examples", _]
                | ["tests" | "benches" | "examples", _, "main.rs"]
        )
}

/// The files that `mod` and `include!` lines of one file stand for, whether they exist or not.
fn children(path: &str, text: &str, root: bool) -> Vec<String> {
    let (dir, file) = path.rsplit_once('/').unwrap_or(("", path));
    let home = if root {
        dir.to_owned()
    } else {
        format!("{dir}/{}", file.trim_end_matches(".rs"))
    };
    let mut found = Vec::new();
    let mut explicit = None;
    // Inline modules deepen the path; one level of them is all that the style has use for.
    let mut inline: Vec<String> = Vec::new();
    for (line, code) in text.lines().zip(code_of(text).lines()) {
        if let Some(named) = quoted_after(line, "#[path") {
            explicit = Some(format!("{dir}/{named}"));
        }
        if let Some(named) = quoted_after(line, "include!(") {
            found.push(normal(&format!("{dir}/{named}")));
        }
        let mut tokens = words(code).skip_while(|(_, word)| *word != "mod");
        let (Some(_), Some((_, name))) = (tokens.next(), tokens.next()) else {
            if code.starts_with('}') {
                inline.clear();
            }
            continue;
        };
        if code.trim_end().ends_with(';') {
            let place = std::iter::once(home.clone())
                .chain(inline.iter().cloned())
                .collect::<Vec<_>>()
                .join("/");
            found.push(normal(
                &explicit
                    .take()
                    .unwrap_or_else(|| format!("{place}/{name}.rs")),
            ));
        } else if code.trim_end().ends_with('{') {
            inline.push(name.to_owned());
        }
    }
    found
}

fn quoted_after<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    let rest = &line[line.find(marker)? + marker.len()..];
    let mut quotes = rest.split('"');
    quotes.next()?;
    quotes.next()
}

/// Resolves `.` and `..` in a path with `/` between its parts.
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}
