//! Client programs as child processes: workers that answer commands, group members and loaders that report events.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::record::Record;
use crate::toolchain::Program;

/// Longer than any client waits by itself.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// A client program that answers one command at a time.
pub struct Worker {
    child: Child,
    input: ChildStdin,
    answers: Receiver<String>,
}

/// What the broker refused, as the client saw it.
#[derive(Debug)]
pub struct Refusal {
    pub text: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Refusal {}

impl Worker {
    /// Starts a worker for the node at `bootstrap`.
    pub fn spawn(program: &Program, bootstrap: &str) -> Result<Worker> {
        let (mut child, answers) = spawn(program, &["worker", bootstrap])?;
        let input = child
            .stdin
            .take()
            .context("the child's input was asked for as a pipe")?;
        Ok(Worker {
            child,
            input,
            answers,
        })
    }

    /// Sends one command and waits for its answer. A refusal by the broker or the client is a [`Refusal`].
    pub fn call(&mut self, command: &Value) -> Result<Value> {
        writeln!(self.input, "{command}").context("the client program has gone")?;
        self.input.flush()?;
        let Ok(line) = self.answers.recv_timeout(ANSWER_WITHIN) else {
            bail!("no answer to {} within {ANSWER_WITHIN:?}", command["op"]);
        };
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("answer {line:?}"))?;
        match answer.get("error").and_then(Value::as_str) {
            None => Ok(answer),
            Some(text) => Err(Refusal {
                text: format!("{} {text}", answer["code"].as_str().unwrap_or_default()),
            }
            .into()),
        }
    }

    /// Creates a topic.
    pub fn create(&mut self, topic: &str, partitions: u32, configs: &Value) -> Result<()> {
        self.call(&json!({ "op": "create", "topic": topic, "partitions": partitions, "configs": configs })).map(drop)
    }

    /// Produces to one partition and gives the records with the offsets they got.
    pub fn produce(&mut self, to: &Target, records: Vec<Record>) -> Result<Vec<Record>> {
        let list: Vec<Value> = records.iter().map(Record::to_json).collect();
        let answer = self.call(&json!({
            "op": "produce", "topic": to.topic, "partition": to.partition, "compression": to.compression,
            "idempotent": to.idempotent, "records": list,
        }))?;
        let offsets = answer["offsets"].as_array().context("no offsets")?;
        let with_offset = |(mut record, offset): (Record, &Value)| {
            record.offset = offset.as_i64().context("an offset is missing")?;
            Ok(record)
        };
        records.into_iter().zip(offsets).map(with_offset).collect()
    }

    /// Reads `count` records of each partition from an offset or a time on.
    pub fn read(&mut self, topic: &str, from: &[From]) -> Result<Vec<Vec<Record>>> {
        let parts: Vec<Value> = from
            .iter()
            .map(|from| match from.at {
                At::Offset(offset) => json!({ "p": from.partition, "o": offset, "n": from.count }),
                At::Time(time) => json!({ "p": from.partition, "t": time, "n": from.count }),
            })
            .collect();
        let answer = self.call(&json!({ "op": "read", "topic": topic, "parts": parts }))?;
        let parts = answer["parts"].as_array().context("no parts")?;
        let of = |from: &From| {
            let part = parts
                .iter()
                .find(|part| part["p"] == from.partition)
                .context("a partition is missing")?;
            if let Some(error) = part.get("error").and_then(Value::as_str) {
                bail!("partition {}: {error}", from.partition);
            }
            Ok(part["records"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Record::from_json)
                .collect())
        };
        from.iter().map(of).collect()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a produce command goes, and how.
pub struct Target<'a> {
    pub topic: &'a str,
    pub partition: u32,
    pub compression: &'a str,
    pub idempotent: bool,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug)]
pub enum At {
    Offset(i64),
    Time(i64),
}

/// What to read of one partition.
#[derive(Clone, Copy, Debug)]
pub struct From {
    pub partition: u32,
    pub at: At,
    pub count: usize,
}

/// A client program that reports by itself, line by line, until its input is closed.
pub struct Reporter {
    child: Child,
    input: Option<ChildStdin>,
}

impl Reporter {
    /// Starts one whose lines go to `sink` under `name`; the end of its output is an empty line.
    pub fn spawn<N: Clone + Send + 'static>(
        program: &Program,
        args: &[&str],
        name: N,
        sink: Sender<(N, String)>,
    ) -> Result<Reporter> {
        let (mut child, lines) = spawn(program, args)?;
        let input = child.stdin.take();
        std::thread::spawn(move || {
            for line in lines {
                if sink.send((name.clone(), line)).is_err() {
                    return;
                }
            }
            let _ = sink.send((name, String::new()));
        });
        Ok(Reporter { child, input })
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to finish by closing its input.
    pub fn finish(&mut self) {
        self.input = None;
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a program; its lines come out of the channel. What it says on standard error is ours to see only when it
/// is not a client's usual complaint about a broker that went away, so it goes nowhere by default.
fn spawn(program: &Program, args: &[&str]) -> Result<(Child, Receiver<String>)> {
    let mut command = program.command(args);
    let loud = std::env::var_os("E2E_LOUD").is_some();
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(if loud {
            Stdio::inherit()
        } else {
            Stdio::null()
        });
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let output = child
        .stdout
        .take()
        .context("the child's output was asked for as a pipe")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for line in BufReader::with_capacity(1 << 20, output).lines() {
            let Ok(line) = line else { return };
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    Ok((child, receiver))
}
