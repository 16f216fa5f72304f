//! House rules that no lint of the compiler knows, checked over every file git tracks.
//!
//! Each rule is a function from the tree to its findings, so that the tests can hand it a small tree that breaks it.

mod absences;
mod crates;
mod docs;
mod files;
mod source;
mod words;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The tracked files: path from the root with `/` between its parts, and the text. Binary files have no text.
pub struct Tree {
    pub files: BTreeMap<String, Option<String>>,
}

impl Tree {
    /// Reads what git tracks, and what it would track if it were added now.
    pub fn read(root: &Path) -> Result<Tree> {
        let listing = Command::new("git")
            .args([
                "ls-files",
                "-z",
                "--cached",
                "--others",
                "--exclude-standard",
            ])
            .current_dir(root)
            .output()
            .context("cannot run git")?;
        ensure!(
            listing.status.success(),
            "git ls-files: {}",
            String::from_utf8_lossy(&listing.stderr)
        );
        let mut files = BTreeMap::new();
        for path in String::from_utf8(listing.stdout)?
            .split('\0')
            .filter(|path| !path.is_empty())
        {
            // A file deleted but not yet committed is still listed.
            if let Ok(bytes) = std::fs::read(root.join(path)) {
                files.insert(path.to_owned(), String::from_utf8(bytes).ok());
            }
        }
        Ok(Tree { files })
    }

    /// The Rust sources written by hand: path and text.
    fn rust(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts()
            .filter(|(path, text)| path.ends_with(".rs") && !is_generated(text))
    }

    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files
            .iter()
            .filter_map(|(path, text)| Some((path.as_str(), text.as_deref()?)))
    }
}

/// Generated code says so in one of its first lines and is exempt from the rules about how code is written.
fn is_generated(text: &str) -> bool {
    text.lines()
        .take(5)
        .any(|line| line.starts_with("//") && line.contains("@generated"))
}

/// One broken rule at one place.
#[derive(Debug, PartialEq, Eq)]
pub struct Finding {
    pub path: String,
    /// Counted from 1; 0 when the finding is about the whole file.
    pub line: usize,
    pub what: String,
}

impl Finding {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: path.to_owned(),
            line,
            what: what.into(),
        }
    }
}

type Rule = fn(&Tree) -> Vec<Finding>;

/// Every rule under the name the report prints.
const RULES: &[(&str, Rule)] = &[
    ("head", files::heads),
    ("size", files::sizes),
    ("dead file", files::dead),
    ("name", words::names),
    ("abbreviation", words::abbreviations),
    ("forbidden word", words::forbidden),
    ("outside the seam", words::outside_the_seam),
    ("unsafe", words::unsafe_files),
    ("hidden lint", words::hidden_lints),
    ("glob re-export", words::glob_exports),
    ("absence", absences::raft),
    ("crate edge", crates::edges),
    ("dependency without a reason", crates::reasons),
    ("link", docs::links),
    ("machine path", docs::machine_paths),
];

/// All findings over the tree, each with its rule's name.
pub fn check(tree: &Tree) -> Vec<(&'static str, Finding)> {
    RULES
        .iter()
        .flat_map(|(name, rule)| rule(tree).into_iter().map(move |finding| (*name, finding)))
        .collect()
}

/// Prints the findings and fails when there is one.
pub fn run(root: &Path) -> Result<()> {
    let tree = Tree::read(root)?;
    let findings = check(&tree);
    for (rule, finding) in &findings {
        let place = if finding.line == 0 {
            finding.path.clone()
        } else {
            format!("{}:{}", finding.path, finding.line)
        };
        println!("{place}: {rule}: {}", finding.what);
    }
    if findings.is_empty() {
        println!(
            "tidy: {} files, {} rules, nothing found",
            tree.files.len(),
            RULES.len()
        );
        return Ok(());
    }
    bail!("tidy found {} places", findings.len())
}
