//! A full disk: produce gets an error a client tries again after, fetch goes on, freed space is used, nothing is lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::{At, From, Worker};
use crate::node::Node;
use crate::raw::{answer_to, batch_of};
use crate::record::{Seeded, base64};
use crate::report::Suite;
use crate::toolchain::Family;

/// Room for what a node sets aside at its start, and some for records.
const DISK_BYTES: u64 = 1 << 30;
const RECORD_BYTES: usize = 500_000;
/// The errors after which Kafka's clients try again by themselves.
const RETRIABLE: &[i16] = &[2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 56, 89];

/// Fills a small file system of its own.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Some(program) = stage.toolchain.program(Family::FranzGo) else {
        suite.skipped("full disk", "the reader is franz-go, which is not there");
        return Ok(());
    };
    if stage.is_peer() {
        suite.skipped("full disk", "Apache Kafka ends when its only disk is full");
        return Ok(());
    }
    let disk = match Disk::new(stage.place) {
        Ok(disk) => disk,
        Err(error) => {
            suite.skipped("full disk", format!("no loop file system: {error:#}"));
            return Ok(());
        }
    };
    let mut node = Node::new(&stage.options.server, stage.toolchain, &disk.mounted)?;
    node.start()?;
    let mut worker = Worker::spawn(program, &node.bootstrap())?;
    for topic in ["keep", "drop"] {
        worker.create(
            topic,
            1,
            &json!({ "segment.bytes": "16777216", "retention.ms": "-1" }),
        )?;
    }
    let mut kept = Kept {
        seeded: Seeded::new(3),
        values: Vec::new(),
    };
    suite.case("produce gets a retriable error", kept.fill(&node));
    suite.case("fetch goes on", kept.check(&mut worker));
    suite.case(
        "the node is alive",
        if node.is_alive() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("it is gone"))
        },
    );
    let freed = worker
        .call(&json!({ "op": "delete", "topic": "drop" }))
        .map(drop);
    suite.case(
        "freeing space resumes produce",
        freed.and_then(|()| kept.resume(&node)),
    );
    suite.case("nothing is lost", kept.check(&mut worker));
    suite.case(
        "nor after kill -9",
        node.crash().and_then(|()| kept.check(&mut worker)),
    );
    Ok(())
}

/// What was acknowledged to the topic that stays.
struct Kept {
    seeded: Seeded,
    values: Vec<Vec<u8>>,
}

impl Kept {
    /// Produces one record; gives the error code, none when the connection was closed.
    fn produce(&mut self, node: &Node, topic: &str) -> Result<Option<i16>> {
        let value = self.seeded.noise(RECORD_BYTES);
        let code = answer_to(&node.bootstrap(), topic, &batch_of(&value))?;
        if code == Some(0) && topic == "keep" {
            self.values.push(value);
        }
        Ok(code)
    }

    fn fill(&mut self, node: &Node) -> Result<()> {
        let most = 2 * DISK_BYTES / RECORD_BYTES as u64;
        for _ in 0..most {
            for topic in ["drop", "keep", "drop"] {
                match self.produce(node, topic)? {
                    Some(0) => {}
                    Some(code) => {
                        ensure!(RETRIABLE.contains(&code), "error {code} is not retriable");
                        return Ok(());
                    }
                    None => bail!("the connection was closed instead of an answer"),
                }
            }
        }
        bail!("twice the disk was accepted")
    }

    fn resume(&mut self, node: &Node) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut last = None;
        while Instant::now() < end {
            last = self.produce(node, "keep")?;
            if last == Some(0) {
                for _ in 0..20 {
                    let code = self.produce(node, "keep")?;
                    ensure!(code == Some(0), "refused again with {code:?}");
                }
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("a minute after the topic was deleted still {last:?}")
    }

    fn check(&self, worker: &mut Worker) -> Result<()> {
        // A hundred at a time: an answer is one line of base64.
        for first in (0..self.values.len()).step_by(100) {
            let wanted = &self.values[first..(first + 100).min(self.values.len())];
            let from = From {
                partition: 0,
                at: At::Offset(first as i64),
                count: wanted.len(),
            };
            let found = worker.read("keep", &[from])?;
            ensure!(
                found[0].len() == wanted.len(),
                "{} of {} records from {first} on",
                found[0].len(),
                wanted.len()
            );
            for (value, record) in wanted.iter().zip(&found[0]) {
                ensure!(
                    record.value.as_deref() == Some(&base64(value)),
                    "offset {} differs",
                    record.offset
                );
            }
        }
        Ok(())
    }
}

/// A file system in a file.
struct Disk {
    mounted: PathBuf,
}

impl Disk {
    fn new(place: &Path) -> Result<Disk> {
        let (image, mounted) = (place.join("disk.img"), place.join("disk"));
        std::fs::create_dir_all(&mounted)?;
        std::fs::File::create(&image)?.set_len(DISK_BYTES)?;
        let run = |command: &mut Command| {
            let output = command.output()?;
            ensure!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            Ok(())
        };
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0"])
            .arg(&image))?;
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&mounted))?;
        Ok(Disk { mounted })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg("--lazy")
            .arg(&self.mounted)
            .status();
    }
}
