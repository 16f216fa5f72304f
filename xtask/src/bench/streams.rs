//! Nexmark in SQL beside Apache Flink: the same events, read from each one's own log.
//!
//! # Place
//! One loader writes the events into both brokers. A query runs to the end of its topics into a sink that keeps nothing; what counts is
//! events per CPU second: of the whole node for Forebay, and of Flink's process alone, without its broker, for Flink.
//! Flink runs each query after a warm-up, on both of its state backends; the better one counts.

mod flink;
mod forebay;
mod report;
mod serving;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use e2e::node::{Node, Server};
use e2e::toolchain;

use crate::run;

/// Events in a second of event time.
const RATE: u64 = 10_000;

/// Each query, and what of the events it reads: persons, auctions, bids of 50.
const QUERIES: [(&str, u64); 23] = [
    ("q0", 46),
    ("q1", 46),
    ("q2", 46),
    ("q3", 4),
    ("q4", 49),
    ("q5", 46),
    ("q6", 49),
    ("q7", 46),
    ("q8", 4),
    ("q9", 49),
    ("q10", 46),
    ("q11", 46),
    ("q12", 46),
    ("q13", 46),
    ("q14", 46),
    ("q15", 46),
    ("q16", 46),
    ("q17", 46),
    ("q18", 46),
    ("q19", 46),
    ("q20", 49),
    ("q21", 46),
    ("q22", 46),
];

/// What can be left out.
const PARTS: [&str; 7] = [
    "flink", "forebay", "json", "protobuf", "serving", "rocksdb", "hashmap",
];

/// One query on one engine.
#[derive(Clone, Debug)]
pub struct Sample {
    pub events: f64,
    /// Rows that came out.
    pub rows: u64,
    pub seconds: f64,
    pub cpu_s: f64,
    pub resident_mib: f64,
}

impl Sample {
    fn events_per_cpu_s(&self) -> f64 {
        self.events / self.cpu_s.max(0.01)
    }
}

/// What ran a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Engine {
    ForebayJson,
    ForebayProtobuf,
    FlinkRocksdb,
    FlinkHashmap,
}

/// Every sample by query; a word where there is none.
pub type Samples = BTreeMap<(&'static str, Engine), Vec<Result<Sample, String>>>;

struct Wanted {
    events: u64,
    runs: usize,
    partitions: u32,
    queries: Vec<&'static str>,
    skipped: Vec<String>,
    binary: Option<PathBuf>,
}

/// Runs the comparison and writes `docs/benchmarks-streams.md` if nothing was left out.
pub fn run(root: &Path, args: &[String]) -> Result<()> {
    let wanted = parse(args)?;
    let is_skipped = |name: &str| wanted.skipped.iter().any(|skipped| skipped == name);
    let home = toolchain::cache_dir().join(format!("bench-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&home);
    let loader = Loader::build(root, &wanted)?;
    let mut samples = Samples::new();
    let mut served = None;
    if !is_skipped("forebay") {
        let binary = match &wanted.binary {
            Some(binary) => binary.clone(),
            None => run::build_binary(root, &["--release"])?,
        };
        let server = Server::Forebay { binary };
        let mut node = Node::with_java(&server, None, &home.join("forebay"))?;
        node.start()?;
        forebay::side_input(&node)?;
        for (engine, format) in [
            (Engine::ForebayJson, "json"),
            (Engine::ForebayProtobuf, "protobuf"),
        ] {
            if !is_skipped(format) {
                loader.load(&node, format, "LogAppendTime")?;
                forebay::measure(root, &node, engine, format, &wanted, &mut samples)?;
            }
        }
        if !is_skipped("serving") {
            served = Some(serving::measure(&mut node, &loader)?);
        }
        node.stop()?;
    }
    if !is_skipped("flink") {
        let jars = toolchain::kafka_jars(root)?;
        let java = (jars, root.join("e2e/clients/java/log4j2.properties"));
        let mut node = Node::with_java(&Server::Kafka, Some(java), &home.join("kafka"))?;
        node.start()?;
        loader.load(&node, "json", "CreateTime")?;
        flink::measure(root, &node, &home, &wanted, &mut samples)?;
        node.kill()?;
    }
    let text = report::markdown(&samples, served.as_ref(), &wanted)?;
    println!("{text}");
    if wanted.skipped.is_empty() && wanted.queries.len() == QUERIES.len() {
        let path = root.join("docs/benchmarks-streams.md");
        std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        println!("written to {}", path.display());
    }
    let _ = std::fs::remove_dir_all(&home);
    Ok(())
}

fn parse(args: &[String]) -> Result<Wanted> {
    let mut wanted = Wanted {
        events: 5_000_000,
        runs: 2,
        partitions: 1,
        queries: Vec::new(),
        skipped: Vec::new(),
        binary: None,
    };
    let mut args = args.iter();
    while let Some(flag) = args.next() {
        let value = args
            .next()
            .with_context(|| format!("{flag} needs a value"))?;
        match flag.as_str() {
            "--events" => wanted.events = value.parse()?,
            "--runs" => wanted.runs = value.parse()?,
            "--partitions" => wanted.partitions = value.parse()?,
            "--binary" => wanted.binary = Some(PathBuf::from(value)),
            "--only" => {
                let query = QUERIES.iter().find(|(name, _)| name == value);
                let query = query.with_context(|| format!("no query {value:?}: q0 to q22"))?;
                wanted.queries.push(query.0);
            }
            "--skip" if PARTS.contains(&value.as_str()) => wanted.skipped.push(value.clone()),
            other => bail!(
                "{other} {value}? [--events N] [--runs N] [--partitions N] [--only QUERY]... [--skip {}]... \
                 [--binary FOREBAY]",
                PARTS.join("|")
            ),
        }
    }
    if wanted.queries.is_empty() {
        wanted.queries = QUERIES.iter().map(|(name, _)| *name).collect();
    }
    Ok(wanted)
}

/// The events that a query reads of so many.
fn events_of(query: &str, events: u64) -> f64 {
    let found = QUERIES.iter().find(|(name, _)| *name == query);
    found.map_or(0.0, |(_, of_50)| events as f64 * *of_50 as f64 / 50.0)
}

/// What puts the events into a broker.
struct Loader {
    program: PathBuf,
    events: u64,
    partitions: u32,
}

impl Loader {
    fn build(root: &Path, wanted: &Wanted) -> Result<Self> {
        run::cargo(root, &["build", "--release", "--package", "nexmark"], &[])?;
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        Ok(Self {
            program: target.join("release/nexmark"),
            events: wanted.events,
            partitions: wanted.partitions,
        })
    }

    /// Topics of the name `nexmark_FORMAT_…`, their records stamped by who is said.
    fn load(&self, node: &Node, format: &str, stamps: &str) -> Result<()> {
        println!("loading {} events as {format}", self.events);
        let status = Command::new(&self.program)
            .arg("load")
            .arg(node.bootstrap())
            .arg(format)
            .arg(prefix(format))
            .args([self.events, RATE, self.partitions.into()].map(|number| number.to_string()))
            .arg(stamps)
            .status()?;
        ensure!(status.success(), "the loader: {status}");
        Ok(())
    }
}

fn prefix(format: &str) -> String {
    format!("nexmark_{format}")
}
