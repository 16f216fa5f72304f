//! kcat: lists, writes and reads from the command line.

use std::io::Write;
use std::process::Stdio;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::record::{Record, base64};
use crate::report::Suite;
use crate::toolchain::Program;

/// Runs kcat's cases. `sample` is a topic another family wrote, with the records of its partition 0.
pub fn run(
    program: &Program,
    bootstrap: &str,
    sample: &Option<(String, Vec<Record>)>,
    suite: &Mutex<&mut Suite>,
) {
    let note = |name: String, result: Result<()>| {
        if let Ok(mut suite) = suite.lock() {
            suite.case(name, result);
        }
    };
    let kcat = Kcat { program, bootstrap };
    for compression in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for idempotent in ["false", "true"] {
            let topic = format!("kcat-{compression}-{idempotent}");
            let name = format!("kcat writes and reads {compression}, idempotent {idempotent}");
            note(name, round_trip(&kcat, &topic, compression, idempotent));
        }
    }
    if let Some((topic, records)) = sample {
        note(
            "kcat reads franz-go's".to_owned(),
            read(&kcat, topic, records),
        );
        note(
            "kcat finds an offset by time".to_owned(),
            query(&kcat, topic, records),
        );
    }
}

struct Kcat<'a> {
    program: &'a Program,
    bootstrap: &'a str,
}

impl Kcat<'_> {
    fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut command = self.program.command(&["-b", self.bootstrap]);
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn()?;
        child
            .stdin
            .take()
            .context("input was asked for as a pipe")?
            .write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        ensure!(
            output.status.success(),
            "{args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// Topics come into being by producing to them, as kcat cannot create one.
fn round_trip(kcat: &Kcat, topic: &str, compression: &str, idempotent: &str) -> Result<()> {
    let lines: Vec<String> = (0..50)
        .map(|at| format!("key-{at}:value {at} {}", "abc ".repeat(at * 5)))
        .collect();
    let idempotence = format!("enable.idempotence={idempotent}");
    let acks = "topic.request.required.acks=-1";
    let flags = [
        "-P",
        "-t",
        topic,
        "-z",
        compression,
        "-X",
        &idempotence,
        "-X",
        acks,
        "-K:",
        "-H",
        "from=kcat",
    ];
    kcat.run(&flags, &(lines.join("\n") + "\n"))?;
    let listed = kcat.run(&["-L", "-t", topic], "")?;
    ensure!(
        listed.contains(&format!("topic \"{topic}\"")),
        "-L does not list it: {listed}"
    );
    let found = kcat.run(
        &[
            "-C",
            "-q",
            "-t",
            topic,
            "-o",
            "beginning",
            "-e",
            "-f",
            "%k:%s|%h\\n",
        ],
        "",
    )?;
    let expected: String = lines
        .iter()
        .map(|line| format!("{line}|from=kcat\n"))
        .collect();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    ensure!(
        sorted(&found) == sorted(&expected),
        "wrote {expected:?}, read {found:?}"
    );
    Ok(())
}

/// Small records of another family, as JSON lines.
fn read(kcat: &Kcat, topic: &str, records: &[Record]) -> Result<()> {
    let text = kcat.run(
        &[
            "-C",
            "-q",
            "-J",
            "-t",
            topic,
            "-p",
            "0",
            "-o",
            "beginning",
            "-c",
            "4",
        ],
        "",
    )?;
    for (line, record) in text.lines().zip(records) {
        let found: Value = serde_json::from_str(line)?;
        let encoded = |value: &Value| value.as_str().map(|text| base64(text.as_bytes()));
        ensure!(
            found["offset"] == record.offset && found["ts"] == record.time_ms,
            "{line}"
        );
        // kcat prints an empty payload and a null one the same way.
        ensure!(
            encoded(&found["payload"]).unwrap_or_default()
                == record.value.clone().unwrap_or_default(),
            "{line}"
        );
    }
    ensure!(text.lines().count() == 4, "{text}");
    Ok(())
}

fn query(kcat: &Kcat, topic: &str, records: &[Record]) -> Result<()> {
    let time = records.get(3).context("nothing was written")?.time_ms;
    let answer = kcat.run(&["-Q", "-t", &format!("{topic}:0:{time}")], "")?;
    ensure!(answer.contains("offset 3"), "{answer}");
    Ok(())
}
