//! Flipped bits on the disk of a stopped node: found and refused, or harmless; never served, never cut off.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::Stage;
use crate::client::{Target, Worker};
use crate::node::Node;
use crate::record::{Record, Seeded, base64};
use crate::report::Suite;
use crate::toolchain::{Family, Program};

const TOPIC: &str = "damage";
const PARTITIONS: u32 = 4;
/// Each partition gets so many records of so many bytes: enough for two segments.
const RECORDS: i64 = 150;
const RECORD_BYTES: usize = 10_000;

/// Flips bits in copies of one directory, after an orderly end and after a kill.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Some(program) = stage.toolchain.program(Family::FranzGo) else {
        suite.skipped("damage", "the reader is franz-go, which is not there");
        return Ok(());
    };
    if stage.is_peer() {
        suite.skipped(
            "damage",
            "Apache Kafka leaves checksums to its clients and cuts its log at the first bad one",
        );
        return Ok(());
    }
    let flips = std::env::var("E2E_DAMAGE_FLIPS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(40);
    for how in ["stopped", "killed"] {
        let mut node = stage.node(how)?;
        let truth = fill(program, &node)?;
        match how {
            "stopped" => drop(node.stop()?),
            _ => node.kill()?,
        }
        let trial = Trial {
            stage,
            program,
            pristine: node.data_dir(),
            truth,
            dir: stage.place.join(format!("{how}-copy")),
        };
        suite.case(
            format!("a {how} node's directory, undamaged"),
            trial.run(None).map(drop),
        );
        let mut seeded = Seeded::new(flips as u64);
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let mut wrong = Vec::new();
        for flip in plan(&trial.pristine, flips / 2, &mut seeded)? {
            match trial.run(Some(&flip)) {
                Ok(verdict) => {
                    println!("damage: {how}: {}: {verdict}", flip.name());
                    *seen.entry(verdict).or_default() += 1;
                }
                Err(error) => wrong.push(format!("{}: {error:#}", flip.name())),
            }
        }
        println!("damage: {how}: {seen:?}");
        let name = format!("a {how} node's directory with one bit flipped, over every file");
        match wrong.is_empty() {
            true => suite.passed(name),
            false => suite.failed(name, wrong.join("; ")),
        }
    }
    Ok(())
}

/// Writes the records and gives the values, by partition.
fn fill(program: &Program, node: &Node) -> Result<Vec<Vec<String>>> {
    let mut worker = Worker::spawn(program, &node.bootstrap())?;
    worker.create(TOPIC, PARTITIONS, &json!({ "segment.bytes": "1048576" }))?;
    let mut truth = Vec::new();
    for partition in 0..PARTITIONS {
        let mut seeded = Seeded::new(u64::from(partition) + 1);
        let mut values = Vec::new();
        for batch in 0..RECORDS / 10 {
            let record = |_| Record {
                offset: -1,
                time_ms: 0,
                key: None,
                value: Some(base64(&seeded.noise(RECORD_BYTES))),
                headers: Vec::new(),
            };
            let to = Target {
                topic: TOPIC,
                partition,
                compression: "none",
                idempotent: batch % 2 == 0,
            };
            let written = worker.produce(&to, (0..10).map(record).collect())?;
            values.extend(written.into_iter().filter_map(|record| record.value));
        }
        truth.push(values);
    }
    Ok(truth)
}

/// One bit of one file.
struct Flip {
    /// Relative to the data directory.
    file: PathBuf,
    at: u64,
    bit: u8,
}

impl Flip {
    fn name(&self) -> String {
        format!("{} byte {} bit {}", self.file.display(), self.at, self.bit)
    }
}

/// Spreads the flips over all files: the first byte of each, then places drawn by the seed, most of them where there is
/// something other than zero.
fn plan(dir: &Path, count: usize, seeded: &mut Seeded) -> Result<Vec<Flip>> {
    let mut files = Vec::new();
    list(dir, dir, &mut files)?;
    files.sort();
    ensure!(!files.is_empty(), "no files in {}", dir.display());
    let mut flips = Vec::new();
    for index in 0..count + files.len() {
        let drawn = seeded.below(files.len() as u64) as usize;
        let file = files.get(index).unwrap_or(&files[drawn]);
        let bytes = std::fs::read(dir.join(file))?;
        if bytes.is_empty() {
            continue;
        }
        let mut at = if index < files.len() {
            seeded.below(16).min(bytes.len() as u64 - 1)
        } else {
            seeded.below(bytes.len() as u64)
        };
        if index >= files.len() && seeded.below(4) > 0 {
            // The next byte that is not zero, around the end if need be.
            let turned = (0..bytes.len()).map(|step| (at as usize + step) % bytes.len());
            at = turned
                .into_iter()
                .find(|place| bytes[*place] != 0)
                .unwrap_or(at as usize) as u64;
        }
        flips.push(Flip {
            file: file.clone(),
            at,
            bit: seeded.below(8) as u8,
        });
    }
    Ok(flips)
}

fn list(dir: &Path, root: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, root, files)?;
        } else if path.is_file() {
            files.push(path.strip_prefix(root)?.to_owned());
        }
    }
    Ok(())
}

/// A stopped node's directory, and what a reader must find in it.
struct Trial<'a> {
    stage: &'a Stage<'a>,
    program: &'a Program,
    pristine: PathBuf,
    truth: Vec<Vec<String>>,
    dir: PathBuf,
}

impl Trial<'_> {
    /// Starts a node on a copy with the bit flipped, reads everything, and says how the damage showed.
    fn run(&self, flip: Option<&Flip>) -> Result<&'static str> {
        let _ = std::fs::remove_dir_all(&self.dir);
        let mut node = Node::new(&self.stage.options.server, self.stage.toolchain, &self.dir)?;
        let mut copy = Command::new("cp");
        copy.args(["-a", "--reflink=auto", "--sparse=auto"])
            .arg(&self.pristine)
            .arg(node.data_dir());
        ensure!(copy.status()?.success(), "cannot copy the directory");
        if let Some(flip) = flip {
            apply(&node.data_dir(), flip)?;
        }
        if let Err(error) = node.start() {
            let flip = flip.with_context(|| format!("{error:#}"))?;
            named(&node, flip).context("the node did not start")?;
            return Ok("the node refused to start");
        }
        let mut worker = Worker::spawn(self.program, &node.bootstrap())?;
        let refused = self.read(&mut worker)?;
        if refused.is_empty() {
            return Ok("harmless");
        }
        let flip = flip.with_context(|| format!("undamaged, but refused: {refused:?}"))?;
        named(&node, flip).with_context(|| format!("refused: {refused:?}"))?;
        Ok(if refused.len() < self.truth.len() {
            "some partitions refused"
        } else {
            "all partitions refused"
        })
    }

    /// Reads all partitions; gives the refusals. A record that differs, or one that is missing without a refusal, is an
    /// error.
    fn read(&self, worker: &mut Worker) -> Result<Vec<String>> {
        let parts: Vec<Value> = (0..PARTITIONS)
            .map(|partition| json!({ "p": partition, "o": 0, "n": RECORDS }))
            .collect();
        let command = json!({ "op": "read", "topic": TOPIC, "parts": parts, "keep": true, "timeout_ms": 8000 });
        let answer = match worker.call(&command) {
            Ok(answer) => answer,
            Err(error) => return Ok(vec![format!("{error:#}")]),
        };
        let mut refused = Vec::new();
        for part in answer["parts"].as_array().into_iter().flatten() {
            let partition = part["p"].as_u64().context("no partition")? as usize;
            let truth = &self.truth[partition];
            let records = part["records"].as_array().context("no records")?;
            for (index, record) in records.iter().enumerate() {
                let good = record["o"] == index && record["v"].as_str() == Some(&truth[index]);
                ensure!(
                    good,
                    "partition {partition} served something else at offset {index}"
                );
            }
            if records.len() < truth.len() {
                match part["error"].as_str() {
                    Some(error) => refused.push(format!("partition {partition}: {error}")),
                    None => bail!(
                        "partition {partition} ends at {} of {} without an error",
                        records.len(),
                        truth.len()
                    ),
                }
            }
        }
        Ok(refused)
    }
}

fn apply(dir: &Path, flip: &Flip) -> Result<()> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(dir.join(&flip.file))?;
    let mut byte = [0u8];
    file.seek(SeekFrom::Start(flip.at))?;
    file.read_exact(&mut byte)?;
    file.seek(SeekFrom::Start(flip.at))?;
    file.write_all(&[byte[0] ^ (1 << flip.bit)])?;
    Ok(())
}

/// The node's log names the damaged file, and a position in it.
fn named(node: &Node, flip: &Flip) -> Result<()> {
    let log = node.log();
    let name = flip
        .file
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let line = log
        .lines()
        .find(|line| line.contains(&name) && line.contains(|letter: char| letter.is_ascii_digit()));
    ensure!(
        line.is_some(),
        "nothing in its log names {name}; its end is {:?}",
        log.lines().next_back().unwrap_or_default()
    );
    Ok(())
}
