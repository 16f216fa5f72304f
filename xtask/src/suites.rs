//! The test suites README promises, run one after the other, with a table of what passed at the end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use e2e::SUITES;
use e2e::node::Server;
use e2e::report::{Case, Outcome};

use crate::run;

/// One line of the table at the end.
#[derive(Debug, Default)]
pub struct Suite {
    pub name: String,
    pub passed: usize,
    pub failed: usize,
    pub skipped: usize,
    pub seconds: f64,
    /// What was skipped or failed, and why.
    pub notes: Vec<String>,
}

/// Everything README promises. `--fast` leaves out the real clients.
pub fn test(root: &Path, args: &[String]) -> Result<()> {
    let fast = match args {
        [] => false,
        [flag] if flag == "--fast" => true,
        other => bail!("test takes --fast or nothing, not {other:?}"),
    };
    let mut suites = vec![
        cargo_tests(
            root,
            "unit, simulation",
            &[
                "test",
                "--workspace",
                // Their clients need other features of shared crates: with them, the binary for the real clients would
                // need the query engine's crates a second time.
                "--exclude=e2e",
                "--exclude=xtask",
                "--no-fail-fast",
                "--lib",
                "--bins",
                "--tests",
            ],
        )?,
        // The node is built without these features: the suite above tests what it is made of.
        cargo_tests(
            root,
            "embedded stores",
            &[
                "test",
                "--workspace",
                "--exclude=e2e",
                "--exclude=xtask",
                "--features=flow/redb,flow/fjall",
                "--no-fail-fast",
                "--test=stores",
            ],
        )?,
        cargo_tests(
            root,
            "tasks",
            &["test", "--package=e2e", "--package=xtask", "--no-fail-fast"],
        )?,
        // A workspace of its own, so that no other build waits for the codecs it compares with.
        cargo_tests(
            root,
            "codec against two others",
            &["test", "--manifest-path", "crates/kafka/oracle/Cargo.toml"],
        )?,
    ];
    if fast {
        println!("left out: real clients (--fast)");
    } else {
        suites.extend(real_clients(root, &Wanted::new())?);
    }
    summary(&suites)
}

/// Simulated runs alone, as many as wanted.
pub fn sim(root: &Path, args: &[String]) -> Result<()> {
    let mut command = run::cargo_command(root);
    command.args(["test", "--package", "sim", "--test", "it", "--"]);
    // The suites use every core themselves: one after the other, so that their figures mean something.
    command.args(["--nocapture", "--test-threads", "1"]);
    // Planted bugs have a number of seeds of their own.
    let mut only = None;
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--seeds" => {
                command.env("FOREBAY_SEEDS", value()?.parse::<u64>()?.to_string());
                only = only.or(Some("keeps_its_promises"));
            }
            "--base" => {
                command.env("FOREBAY_SEED_BASE", value()?.parse::<u64>()?.to_string());
            }
            "--raft" => only = Some("a_raft_group_keeps_its_promises"),
            other => bail!("sim takes --raft, --seeds N and --base N, not {other:?}"),
        }
    }
    command.args(only);
    run::checked(&mut command)
}

/// Real clients against the binary, or against Apache Kafka to test the tests.
pub fn e2e(root: &Path, args: &[String]) -> Result<()> {
    let mut wanted = Wanted::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
        match arg.as_str() {
            "--against" => wanted.against_kafka = matches!(value()?.as_str(), "kafka"),
            "--binary" => wanted.binary = Some(PathBuf::from(value()?)),
            "--rounds" => wanted.rounds = Some(value()?.parse()?),
            name if SUITES.contains(&name) => wanted.suites.push(name.to_owned()),
            other => bail!("no suite {other:?}; there are {SUITES:?}"),
        }
    }
    summary(&real_clients(root, &wanted)?)
}

/// Rounds of `kill -9` under load; more of them than the ordinary run has.
pub fn crash(root: &Path, args: &[String]) -> Result<()> {
    let mut args = args.to_vec();
    if !args.iter().any(|arg| arg == "--rounds") {
        args.extend(["--rounds".to_owned(), "50".to_owned()]);
    }
    args.push("crash".to_owned());
    e2e(root, &args)
}

/// What of the end-to-end tests is wanted.
struct Wanted {
    suites: Vec<String>,
    against_kafka: bool,
    binary: Option<PathBuf>,
    /// Of `kill -9`, instead of those of an ordinary run.
    rounds: Option<u32>,
}

impl Wanted {
    fn new() -> Wanted {
        let rounds = std::env::var("E2E_CRASH_ROUNDS")
            .ok()
            .and_then(|text| text.parse().ok());
        Wanted {
            suites: Vec::new(),
            against_kafka: false,
            binary: None,
            rounds,
        }
    }
}

/// Builds the binary in the profile the other tests use, and runs the suites against it.
fn real_clients(root: &Path, wanted: &Wanted) -> Result<Vec<Suite>> {
    let server = match (&wanted.binary, wanted.against_kafka) {
        (_, true) => Server::Kafka,
        (Some(binary), _) => Server::Forebay {
            binary: binary.clone(),
        },
        (None, false) => Server::Forebay {
            binary: run::build_binary(root, &[])?,
        },
    };
    let every = SUITES.iter().map(|name| (*name).to_owned()).collect();
    let options = e2e::Options {
        server,
        suites: if wanted.suites.is_empty() {
            every
        } else {
            wanted.suites.clone()
        },
        root: root.to_owned(),
        strict: std::env::var("CI").is_ok_and(|value| value == "true"),
        crash_rounds: wanted.rounds.unwrap_or(5),
        stream_rounds: wanted.rounds.unwrap_or(3),
    };
    Ok(e2e::run(&options)?.into_iter().map(Suite::from).collect())
}

impl From<e2e::report::Suite> for Suite {
    fn from(suite: e2e::report::Suite) -> Suite {
        let note = |case: &Case| match &case.outcome {
            Outcome::Passed => None,
            Outcome::Failed(why) => Some(format!("failed: {}: {why}", case.name)),
            Outcome::Skipped(why) => Some(format!("skipped: {}: {why}", case.name)),
        };
        Suite {
            passed: suite.count_passed(),
            failed: suite.count_failed(),
            skipped: suite.count_skipped(),
            seconds: suite.seconds,
            notes: suite.cases.iter().filter_map(note).collect(),
            name: format!("end to end: {}", suite.name),
        }
    }
}

/// Runs `cargo test` with its output passed on, and counts what its harnesses report.
fn cargo_tests(root: &Path, name: &str, args: &[&str]) -> Result<Suite> {
    let begun = Instant::now();
    let mut command = run::cargo_command(root);
    command.args(args).stdout(Stdio::piped());
    println!("== {name}: {}", run::spell(&command));
    let mut child = command.spawn().context("cannot start cargo")?;
    let mut suite = Suite {
        name: name.to_owned(),
        ..Suite::default()
    };
    let output = child
        .stdout
        .take()
        .context("the child's output was asked for as a pipe")?;
    for line in BufReader::new(output).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        println!("{line}");
        suite.count(&line);
    }
    let status = child.wait()?;
    suite.seconds = begun.elapsed().as_secs_f64();
    if !status.success() && suite.failed == 0 {
        suite.failed = 1;
        suite.notes.push(format!("failed: cargo itself, {status}"));
    }
    Ok(suite)
}

impl Suite {
    /// Adds up the lines in which libtest says what happened.
    fn count(&mut self, line: &str) {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            self.notes.push(format!("failed: {name}"));
        }
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        for part in counts.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(count), Some(kind)) = (
                words.next().and_then(|word| word.parse::<usize>().ok()),
                words.next(),
            ) else {
                continue;
            };
            match kind {
                "passed" => self.passed += count,
                "failed" => self.failed += count,
                "ignored" => self.skipped += count,
                _ => {}
            }
        }
    }
}

/// Prints the table and fails when a suite did.
pub fn summary(suites: &[Suite]) -> Result<()> {
    println!();
    println!(
        "{:<28} {:>7} {:>7} {:>8} {:>8}",
        "suite", "passed", "failed", "skipped", "seconds"
    );
    for suite in suites {
        println!(
            "{:<28} {:>7} {:>7} {:>8} {:>8.0}",
            suite.name, suite.passed, suite.failed, suite.skipped, suite.seconds
        );
    }
    for suite in suites {
        for note in &suite.notes {
            println!("{}: {note}", suite.name);
        }
    }
    let (passed, failed, skipped) = suites.iter().fold((0, 0, 0), |sum, suite| {
        (
            sum.0 + suite.passed,
            sum.1 + suite.failed,
            sum.2 + suite.skipped,
        )
    });
    println!();
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed > 0 {
        bail!("{failed} tests failed");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Suite;

    #[test]
    fn counts_what_the_harness_reports() {
        let mut suite = Suite::default();
        for line in [
            "test tidy::tests::a ... ok",
            "test tidy::tests::b ... FAILED",
            "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 5 filtered out; finished in 0.01s",
            "test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
        ] {
            suite.count(line);
        }
        assert_eq!((suite.passed, suite.failed, suite.skipped), (7, 1, 2));
        assert_eq!(suite.notes, ["failed: tidy::tests::b"]);
    }
}
