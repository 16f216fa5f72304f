//! The whole binary where the kernel refuses io_uring: it says so, and serves by epoll.

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::{At, From, Target, Worker};
use crate::node::Node;
use crate::record::{Record, Seeded, base64, same};
use crate::report::Suite;
use crate::toolchain::Family;

/// Starts the node behind a seccomp filter, writes, crashes it, and reads.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    if stage.is_peer() {
        suite.skipped("epoll", "Apache Kafka does not use io_uring");
        return Ok(());
    }
    let Some(python) = stage.toolchain.program(Family::Confluent) else {
        suite.skipped(
            "epoll",
            "the filter is set by a Python program, and Python is not there",
        );
        return Ok(());
    };
    let mut node = Node::new(&stage.options.server, stage.toolchain, stage.place)?;
    let filter = stage
        .options
        .root
        .join("e2e/clients/python/refuse_io_uring.py");
    node.wrapper = vec![python.path.clone(), filter];
    node.start()?;
    let log = node.log();
    let said = log.contains("I/O by epoll, because io_uring is refused");
    let said = said.then_some(()).context("the banner does not say so");
    suite.case("the banner says that io_uring is refused", said);
    let mut worker = Worker::spawn(python, &node.bootstrap())?;
    suite.case("it writes and reads", write_and_read(&mut worker, "before"));
    suite.case("it comes back after kill -9", node.crash());
    suite.case(
        "it writes and reads after kill -9",
        write_and_read(&mut worker, "after"),
    );
    suite.case("it stops in order", node.stop().map(drop));
    suite.case("the node's log has no warning", node.is_quiet());
    Ok(())
}

fn write_and_read(worker: &mut Worker, topic: &str) -> Result<()> {
    worker.create(topic, 1, &json!({ "retention.ms": "-1" }))?;
    let mut written = Vec::new();
    for round in 0..20 {
        let to = Target {
            topic,
            partition: 0,
            compression: "lz4",
            idempotent: true,
        };
        written.extend(worker.produce(&to, records(round))?);
    }
    let from = From {
        partition: 0,
        at: At::Offset(0),
        count: written.len(),
    };
    let read = worker.read(topic, &[from])?;
    ensure!(read.len() == 1, "one partition was asked for");
    same(&written, &read[0])
}

fn records(round: u64) -> Vec<Record> {
    let mut seeded = Seeded::new(round);
    let mut record = |at: i64| Record {
        offset: -1,
        time_ms: 1_700_000_000_000 + at,
        key: Some(base64(&seeded.noise(8))),
        value: Some(base64(&seeded.text(300))),
        headers: Vec::new(),
    };
    (0..50).map(&mut record).collect()
}
