//! End-to-end tests: real clients against the real binary, on a real disk, with real kills.
//!
//! The driver links nothing of the product. It starts the binary (or Apache Kafka, to test the tests), drives one
//! client program per family over JSON lines, and keeps the truth: what was written and what was acknowledged.

pub mod capture;
mod cli;
mod client;
mod crash;
mod damage;
mod epoll;
mod full;
mod groups;
mod hostile;
mod kcat;
mod matrix;
pub mod node;
mod raw;
mod record;
mod registry;
pub mod report;
mod secured;
mod sql;
mod streams;
pub mod toolchain;
mod tools;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, bail};

use node::{Node, Server};
use report::Suite;
use toolchain::Toolchain;

/// The suites by name, in the order they run.
pub const SUITES: &[&str] = &[
    "cli", "matrix", "groups", "tools", "sql", "registry", "crash", "damage", "full", "hostile",
    "epoll", "streams",
];

/// What to run, and against what.
pub struct Options {
    pub server: Server,
    /// Names out of [`SUITES`].
    pub suites: Vec<String>,
    /// The repository's root.
    pub root: PathBuf,
    /// An absent toolchain fails instead of being skipped.
    pub strict: bool,
    pub crash_rounds: u32,
    pub stream_rounds: u32,
}

/// Runs the suites one after the other. A suite that cannot run at all counts as one failed case.
pub fn run(options: &Options) -> Result<Vec<Suite>> {
    let begun = Instant::now();
    let scratch = Scratch::new()?;
    let toolchain = Toolchain::prepare(&options.root, options.strict)?;
    let mut setup = Suite::new("clients");
    for (family, reason) in toolchain.missing() {
        match options.strict {
            true => setup.failed(family, reason),
            false => setup.skipped(family, reason),
        }
    }
    setup.seconds = begun.elapsed().as_secs_f64();
    let mut done = vec![setup];
    for name in SUITES
        .iter()
        .filter(|name| options.suites.iter().any(|wanted| wanted == *name))
    {
        println!("== {name}");
        let begun = Instant::now();
        let place = scratch.path.join(name);
        std::fs::create_dir_all(&place)?;
        let mut suite = Suite::new(name);
        let stage = Stage {
            options,
            toolchain: &toolchain,
            place: &place,
        };
        if let Err(error) = stage.run(name, &mut suite) {
            suite.failed("suite", format!("{error:#}"));
        }
        suite.seconds = begun.elapsed().as_secs_f64();
        if suite.count_failed() == 0 {
            let _ = std::fs::remove_dir_all(&place);
        }
        done.push(suite);
    }
    if done.iter().any(|suite| suite.count_failed() > 0) {
        println!("kept for a look: {}", scratch.path.display());
        scratch.keep();
    }
    Ok(done)
}

/// What each suite is given: where it runs, and with which clients.
struct Stage<'a> {
    options: &'a Options,
    toolchain: &'a Toolchain,
    /// A directory of the suite's own; kept when the suite fails.
    place: &'a Path,
}

impl Stage<'_> {
    fn run(&self, name: &str, suite: &mut Suite) -> Result<()> {
        match name {
            "cli" => cli::run(self, suite),
            "matrix" => matrix::run(self, suite),
            "groups" => groups::run(self, suite),
            "tools" => tools::run(self, suite),
            "sql" => sql::run(self, suite),
            "registry" => registry::run(self, suite),
            "crash" => crash::run(self, suite),
            "damage" => damage::run(self, suite),
            "full" => full::run(self, suite),
            "hostile" => hostile::run(self, suite),
            "epoll" => epoll::run(self, suite),
            "streams" => streams::run(self, suite),
            other => bail!("no suite {other:?}; there are {SUITES:?}"),
        }
    }

    /// A node of the server under test, started on an empty directory.
    fn node(&self, name: &str) -> Result<Node> {
        let mut node = Node::new(&self.options.server, self.toolchain, &self.place.join(name))?;
        node.start()?;
        Ok(node)
    }

    fn is_peer(&self) -> bool {
        matches!(self.options.server, Server::Kafka)
    }
}

/// A directory for the run, deleted at its end unless something in it is worth a look.
struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    fn new() -> Result<Scratch> {
        // Not the directory for temporary files: that one is often memory, and O_DIRECT wants a disk.
        let name = format!("run-{}", std::process::id());
        let path = toolchain::cache_dir().join(name);
        std::fs::create_dir_all(&path)?;
        Ok(Scratch { path, kept: false })
    }

    fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}
