//! Nexmark on Apache Flink, reading from Apache Kafka.

use std::{path::Path, process::Command};

use anyhow::Result;
use e2e::{node::Node, toolchain};

use super::{Engine, RATE, Sample, Samples, Wanted, prefix};

/// What a JVM reads before it is measured: so many by the records' timestamps, which are event times in its topics.
const WARM_EVENTS: u64 = 1_000_000;
/// A query that takes longer on its runs together is stopped.
const LIMIT_S: u64 = 600;

/// Of Flink's start scripts on Java 17.
const OPENED: [&str; 8] = [
    "lang",
    "net",
    "io",
    "util",
    "util.concurrent",
    "lang.reflect",
    "text",
    "time",
];

/// Takes Flink through the queries that there are files for, on both of its state backends.
pub fn measure(
    root: &Path,
    node: &Node,
    home: &Path,
    wanted: &Wanted,
    samples: &mut Samples,
) -> Result<()> {
    let classes = toolchain::flink(root)?;
    let sql = root.join("bench/nexmark/flink/sql");
    let backends = [
        (Engine::FlinkRocksdb, "rocksdb"),
        (Engine::FlinkHashmap, "hashmap"),
    ];
    for query in &wanted.queries {
        if !sql.join(format!("{query}.sql")).exists() {
            continue;
        }
        for (engine, backend) in backends {
            if wanted.skipped.iter().any(|skipped| skipped == backend) {
                continue;
            }
            let scratch = home.join("flink");
            std::fs::create_dir_all(scratch.join("checkpoints"))?;
            let ran = program(root, node, &scratch, &classes, backend, query, wanted).output()?;
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            let mut found: Vec<_> = said.lines().filter_map(sample).map(Ok).collect();
            if found.len() < wanted.runs || !ran.status.success() {
                let text = String::from_utf8_lossy(&ran.stderr);
                let end: Vec<&str> = text.lines().rev().take(3).collect();
                found.push(Err(format!("{}: {}", ran.status, end.join("; "))));
            }
            for sample in found {
                match &sample {
                    Ok(sample) => println!(
                        "flink {backend} {query}: {:.0} events per CPU second, {:.2} s of CPU, {:.2} s, {} rows",
                        sample.events_per_cpu_s(),
                        sample.cpu_s,
                        sample.seconds,
                        sample.rows
                    ),
                    Err(error) => println!("flink {backend} {query}: {error}"),
                }
                samples.entry((query, engine)).or_default().push(sample);
            }
            std::fs::remove_dir_all(&scratch)?;
        }
    }
    Ok(())
}

fn program(
    root: &Path,
    node: &Node,
    scratch: &Path,
    classes: &str,
    backend: &str,
    query: &str,
    wanted: &Wanted,
) -> Command {
    let logging = root.join("e2e/clients/java/log4j2.properties");
    let mut java = Command::new("timeout");
    java.arg(LIMIT_S.to_string()).args([
        "java",
        "-Xms3g",
        "-Xmx3g",
        "-XX:+UseG1GC",
        "-Dlevel=ERROR",
    ]);
    for package in OPENED {
        java.args([
            "--add-opens".to_owned(),
            format!("java.base/java.{package}=ALL-UNNAMED"),
        ]);
    }
    java.arg(format!("-Dlog4j2.configurationFile={}", logging.display()))
        .arg(format!("-Dbootstrap={}", node.bootstrap()))
        .arg(format!("-Dprefix={}", prefix("json")))
        .arg(format!("-Djava.io.tmpdir={}", scratch.display()))
        .args(["-cp", classes, "FlinkBench"])
        .arg(root.join("bench/nexmark/flink/sql"))
        .arg(query)
        .args([WARM_EVENTS, RATE, wanted.runs as u64].map(|number| number.to_string()))
        .args(settings(backend, scratch));
    java
}

/// As its documentation advises for throughput: mini-batches, incremental checkpoints, split distinct aggregates.
fn settings(backend: &str, scratch: &Path) -> Vec<String> {
    let scratch = scratch.display();
    vec![
        "parallelism.default=1".to_owned(),
        "pipeline.object-reuse=true".to_owned(),
        format!("state.backend.type={backend}"),
        "execution.checkpointing.incremental=true".to_owned(),
        "execution.checkpointing.interval=10s".to_owned(),
        "execution.checkpointing.storage=filesystem".to_owned(),
        format!("execution.checkpointing.dir=file://{scratch}/checkpoints"),
        format!("io.tmp.dirs={scratch}"),
        "taskmanager.memory.managed.size=1g".to_owned(),
        "taskmanager.memory.network.max=256m".to_owned(),
        "taskmanager.memory.network.min=256m".to_owned(),
        "table.exec.mini-batch.enabled=true".to_owned(),
        "table.exec.mini-batch.allow-latency=2s".to_owned(),
        "table.exec.mini-batch.size=50000".to_owned(),
        "table.optimizer.distinct-agg.split.enabled=true".to_owned(),
    ]
}

/// `RESULT events rows seconds cpu_seconds resident_mib`, as the program prints it.
fn sample(line: &str) -> Option<Sample> {
    let words: Vec<&str> = line.strip_prefix("RESULT ")?.split_whitespace().collect();
    let number = |at: usize| words.get(at)?.parse::<f64>().ok();
    Some(Sample {
        events: number(0)?,
        rows: number(1)? as u64,
        seconds: number(2)?,
        cpu_s: number(3)?,
        resident_mib: number(4)?,
    })
}
