//! One measurement: the load generator against a running node.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::node::Node;
use serde_json::Value;

/// Seconds left out at the start of each measurement.
const WARM: u32 = 3;
/// What the read row reads at most.
const READ_MAX: u64 = 3_000_000;
/// A warm-up goes on in steps of so many seconds,
const WARM_STEP: u32 = 5;
/// for at least so many steps and at most so many more,
const WARM_STEPS: u32 = 6;
const WARM_STEPS_MORE: u32 = 6;
/// until a step is no faster than the fastest before by this factor: a JVM has then compiled what it will.
const STEADY: f64 = 1.05;

/// The load generator.
pub struct Load {
    pub program: PathBuf,
    /// How long each measurement lasts after its warm-up.
    pub seconds: u32,
}

/// What one measurement gave; which fields are set depends on the row.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub records_per_s: Option<f64>,
    /// Server CPU seconds per million records.
    pub cpu_per_million: Option<f64>,
    /// Milliseconds at p50, p99, p99.9, p99.99 and the longest.
    pub latency_ms: Option<[f64; 5]>,
    pub ready_ms: Option<f64>,
    pub idle_mib: Option<f64>,
    pub after_mib: Option<f64>,
    /// The rate the load was held at, records per second.
    pub rate: Option<f64>,
    /// The server cannot keep that rate up, so there was nothing to measure.
    pub too_slow: bool,
}

impl Sample {
    /// The sample in one line, for whoever watches.
    pub fn line(&self) -> String {
        let mut parts = Vec::new();
        let mut push = |value: Option<f64>, unit: &str| {
            if let Some(value) = value {
                parts.push(format!("{value:.2} {unit}"));
            }
        };
        push(self.records_per_s, "records/s");
        push(self.cpu_per_million, "CPU s per million");
        push(self.ready_ms, "ms to ready");
        push(self.idle_mib, "MiB idle");
        push(self.after_mib, "MiB after");
        if let Some(latency) = self.latency_ms {
            parts.push(format!("p50 p99 p99.9 p99.99 max {latency:?} ms"));
        }
        parts.join(", ")
    }
}

impl Load {
    /// Load before anything is measured: a JVM compiles its hot code meanwhile, and both servers fill their pools.
    pub fn warm_up(&self, node: &Node) -> Result<()> {
        self.until_steady(node, "warm-up", &["-partitions", "4"], WARM_STEPS)?;
        let read = ["-records", "300000", "-secs", "20", "-to-end"];
        self.run(node, "consume", "warm-up", &read).map(drop)
    }

    /// Produces in steps, at least `steps`, until the rate no longer rises.
    fn until_steady(&self, node: &Node, topic: &str, shape: &[&str], steps: u32) -> Result<()> {
        let seconds = WARM_STEP.to_string();
        let flags = [shape, &["-secs", &seconds, "-warm", "0"]].concat();
        let mut fastest = 0.0;
        for step in 1..=steps + WARM_STEPS_MORE {
            let answer = self.run(node, "produce", topic, &flags)?;
            let rate = answer["rec_s"].as_f64().context("no rate")?;
            if step >= steps && rate <= fastest * STEADY {
                break;
            }
            fastest = rate.max(fastest);
        }
        Ok(())
    }

    /// 1 KiB records with acks=all, as fast as it goes or at a rate.
    pub fn produce(
        &self,
        node: &Node,
        topic: &str,
        partitions: u32,
        rate: Option<u64>,
    ) -> Result<Sample> {
        let (partitions, rate) = (partitions.to_string(), rate.unwrap_or(0).to_string());
        let seconds = (self.seconds + WARM).to_string();
        let warm = WARM.to_string();
        let flags = [
            "-size",
            "1024",
            "-secs",
            &seconds,
            "-warm",
            &warm,
            "-rate",
            &rate,
            "-partitions",
            &partitions,
        ];
        sample(&self.run(node, "produce", topic, &flags)?)
    }

    /// 100-byte records, one in each batch, over 1,000 partitions that have all been written to before.
    pub fn one_record_batches(&self, node: &Node) -> Result<Sample> {
        let seconds = (self.seconds + WARM).to_string();
        let warm = WARM.to_string();
        let shape = [
            "-size",
            "100",
            "-batch",
            "512",
            "-spread",
            "rr",
            "-buffered",
            "1000",
            "-partitions",
            "1000",
        ];
        // Other processes touch, and warm up: a client that met the topic while Kafka was still making it retries for
        // long after, and the first rounds over many partitions are new code to a JVM.
        let touch = [
            shape.as_slice(),
            &["-touch", "2", "-secs", "1", "-warm", "0"],
        ]
        .concat();
        self.run(node, "produce", "thousand", &touch)?;
        self.until_steady(node, "thousand", &shape, 2)?;
        let flags = [shape.as_slice(), &["-secs", &seconds, "-warm", &warm]].concat();
        sample(&self.run(node, "produce", "thousand", &flags)?)
    }

    /// Everything the topic holds, from its start, with one consumer.
    pub fn read(&self, node: &Node, topic: &str) -> Result<Sample> {
        // The topic may be absent when only this row was asked for.
        self.run(
            node,
            "produce",
            topic,
            &[
                "-size",
                "1024",
                "-secs",
                "3",
                "-warm",
                "0",
                "-partitions",
                "1",
            ],
        )?;
        let records = READ_MAX.to_string();
        let answer = self.run(
            node,
            "consume",
            topic,
            &["-records", &records, "-secs", "60", "-to-end"],
        )?;
        let count = answer["records"].as_f64().context("no record count")?;
        ensure!(count > 0.0, "nothing to read");
        let cpu = answer["server_cpu_s"]
            .as_f64()
            .map(|seconds| seconds / count * 1e6);
        Ok(Sample {
            records_per_s: answer["rec_s"].as_f64(),
            cpu_per_million: cpu,
            ..Sample::default()
        })
    }

    fn run(&self, node: &Node, mode: &str, topic: &str, flags: &[&str]) -> Result<Value> {
        let mut command = Command::new(&self.program);
        command.args([
            mode,
            "-brokers",
            &node.bootstrap(),
            "-topic",
            topic,
            "-pid",
            &node.pid()?.to_string(),
        ]);
        let output = command.args(flags).output()?;
        ensure!(
            output.status.success(),
            "{command:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let answer: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(
            answer["errors"].as_u64().unwrap_or(0) == 0,
            "{command:?}: {answer}"
        );
        Ok(answer)
    }
}

fn sample(answer: &Value) -> Result<Sample> {
    let number = |key: &str| {
        answer[key]
            .as_f64()
            .with_context(|| format!("no {key} in {answer}"))
    };
    Ok(Sample {
        records_per_s: Some(number("rec_s")?),
        cpu_per_million: Some(number("server_cpu_s_per_Mrec")?),
        latency_ms: Some([
            number("p50_ms")?,
            number("p99_ms")?,
            number("p999_ms")?,
            number("p9999_ms")?,
            number("max_ms")?,
        ]),
        ..Sample::default()
    })
}
