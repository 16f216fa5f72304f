//! The binary's own commands and the demo, as a newcomer types them, with their exit codes.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Stage;
use crate::node::{Node, Server};
use crate::report::Suite;

/// Runs the commands against a node of their own.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Server::Forebay { binary } = &stage.options.server else {
        suite.skipped("commands", "they are Forebay's own");
        return Ok(());
    };
    suite.case(
        "demo --exit reports what it read back",
        demo(binary, stage.place),
    );
    suite.case(
        "settings that are wrong are refused",
        refused(binary, stage.place),
    );
    let mut node = stage.node("node")?;
    let cli = Cli {
        binary,
        brokers: node.bootstrap(),
    };
    suite.case("topic", topic(&cli));
    suite.case("produce and consume", records(&cli));
    suite.case("group", group(&cli));
    suite.case("status", cli.expect("status", &["orders"]));
    suite.case(
        "a locked directory is refused with 3",
        locked(binary, &node),
    );
    suite.case(
        "an address in use is refused with 4",
        in_use(binary, &node, stage.place),
    );
    suite.case("metrics, health and readiness", http(&node));
    suite.case(
        "what is there is there after kill -9",
        node.crash().and_then(|()| still_there(&cli)),
    );
    suite.case("SIGTERM ends it with 0", node.stop().map(drop));
    suite.case("its log has no warning", node.is_quiet());
    Ok(())
}

struct Cli<'a> {
    binary: &'a Path,
    brokers: String,
}

impl Cli<'_> {
    /// Runs a command line; gives what it printed, and fails when it did.
    fn run(&self, line: &str) -> Result<String> {
        self.run_with_input(line, "")
    }

    fn run_with_input(&self, line: &str, input: &str) -> Result<String> {
        let mut command = Command::new(self.binary);
        command
            .args(line.split_whitespace())
            .env("FOREBAY_BROKERS", &self.brokers);
        let (code, out, err) = finish(&mut command, input)?;
        ensure!(code == Some(0), "forebay {line}: code {code:?}: {out}{err}");
        Ok(out)
    }

    fn expect(&self, line: &str, wanted: &[&str]) -> Result<()> {
        let out = self.run(line)?;
        for text in wanted {
            ensure!(out.contains(text), "forebay {line}: no {text:?} in {out}");
        }
        Ok(())
    }
}

/// Exit code, standard output and standard error.
fn finish(command: &mut Command, input: &str) -> Result<(Option<i32>, String, String)> {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn()?;
    // A command that reads nothing may be gone before its input comes.
    let _ = child
        .stdin
        .take()
        .context("input was asked for as a pipe")?
        .write_all(input.as_bytes());
    let output = child.wait_with_output()?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok((
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    ))
}

fn demo(binary: &Path, place: &Path) -> Result<()> {
    let mut command = Command::new(binary);
    command.args([
        "demo",
        "--exit",
        "--kafka-addr",
        "127.0.0.1:0",
        "--http-addr",
        "127.0.0.1:0",
        "--pg-addr",
        "127.0.0.1:0",
        "--registry-addr",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    let (code, out, err) = finish(command.arg(place.join("demo")), "")?;
    ensure!(code == Some(0), "code {code:?}: {out}{err}");
    for word in ["records", "flights", "2001"] {
        ensure!(out.contains(word), "no {word:?} in the report: {out}");
    }
    Ok(())
}

fn refused(binary: &Path, place: &Path) -> Result<()> {
    let dir = place.join("refused").display().to_string();
    let file = place.join("wrong.toml");
    std::fs::write(&file, "kafka_adr = \"127.0.0.1:0\"\n")?;
    let file = file.display().to_string();
    let cases: [(&[&str], &str); 3] = [
        (
            &["start", "--data-dir", &dir, "--config", &file],
            "kafka_addr",
        ),
        (
            &["start", "--data-dir", &dir, "--kafka-addr", "0.0.0.0:0"],
            "loopback",
        ),
        (&["start", "--data-dir", &dir, "--shards", "many"], "shards"),
    ];
    for (args, wanted) in cases {
        let (code, out, err) = finish(Command::new(binary).args(args), "")?;
        ensure!(code == Some(2), "{args:?}: code {code:?}: {out}{err}");
        ensure!(err.contains(wanted), "{args:?}: no {wanted:?} in {err}");
    }
    Ok(())
}

fn topic(cli: &Cli) -> Result<()> {
    cli.run("topic create orders payments -p 3 -c retention.ms=604800000")?;
    cli.expect("topic list", &["orders", "payments"])?;
    cli.expect("topic describe orders", &["604800000"])?;
    cli.run("topic config orders --set max.message.bytes=2000000 --delete retention.ms")?;
    cli.expect("topic config orders", &["2000000"])?;
    cli.run("topic add-partitions payments -t 5")?;
    ensure!(cli.run("topic create orders").is_err(), "created twice");
    ensure!(
        cli.run("topic create squeezed -c cleanup.policy=compact")
            .is_err(),
        "compaction was promised"
    );
    cli.run("topic delete payments")?;
    ensure!(
        !cli.run("topic list")?.contains("payments"),
        "deleted and listed"
    );
    Ok(())
}

fn records(cli: &Cli) -> Result<()> {
    cli.run_with_input(
        "produce orders -k : -p 0 -z zstd -H source=test",
        "k1:v1\nk2:v2\nk3:v3\n",
    )?;
    let out = cli.run("consume orders -o beginning -e -f %p/%o_%k=%v\\n")?;
    ensure!(out == "0/0_k1=v1\n0/1_k2=v2\n0/2_k3=v3\n", "{out:?}");
    cli.expect(
        "consume orders -o -1 -p 0 -n 1 --json",
        &["\"v3\"", "source"],
    )?;
    cli.run("topic trim orders -p 0 -o 1")?;
    let out = cli.run("consume orders -o beginning -e")?;
    ensure!(out == "v2\nv3\n", "{out:?}");
    Ok(())
}

fn group(cli: &Cli) -> Result<()> {
    let out = cli.run("consume orders --group billing -o beginning -n 2")?;
    ensure!(out == "v2\nv3\n", "{out:?}");
    cli.expect("group list", &["billing"])?;
    cli.expect("group describe billing", &["orders", "3"])?;
    cli.run("group reset-offsets billing --topic orders --to beginning")?;
    let out = cli.run("consume orders --group billing -n 2")?;
    ensure!(out == "v2\nv3\n", "after the reset: {out:?}");
    cli.run("group delete billing")?;
    ensure!(
        !cli.run("group list")?.contains("billing"),
        "deleted and listed"
    );
    Ok(())
}

fn still_there(cli: &Cli) -> Result<()> {
    cli.expect("topic config orders", &["2000000"])?;
    let out = cli.run("consume orders -o beginning -e")?;
    ensure!(out == "v2\nv3\n", "{out:?}");
    Ok(())
}

fn locked(binary: &Path, node: &Node) -> Result<()> {
    let mut second = Command::new(binary);
    second.args([
        "start",
        "--kafka-addr",
        "127.0.0.1:0",
        "--http-addr",
        "127.0.0.1:0",
        "--pg-addr",
        "127.0.0.1:0",
        "--registry-addr",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    let (code, _, err) = finish(second.arg(node.data_dir()), "")?;
    ensure!(code == Some(3), "code {code:?}: {err}");
    Ok(())
}

fn in_use(binary: &Path, node: &Node, place: &Path) -> Result<()> {
    let mut second = Command::new(binary);
    second.args([
        "start",
        "--kafka-addr",
        &node.bootstrap(),
        "--http-addr",
        "127.0.0.1:0",
        "--pg-addr",
        "127.0.0.1:0",
        "--registry-addr",
        "127.0.0.1:0",
        "--data-dir",
    ]);
    let (code, _, err) = finish(second.arg(place.join("second")), "")?;
    ensure!(code == Some(4), "code {code:?}: {err}");
    Ok(())
}

fn http(node: &Node) -> Result<()> {
    node.http_get("/health")?;
    node.http_get("/ready")?;
    let metrics = node.http_get("/metrics")?;
    for word in ["produce", "fetch", "journal", "stall", "_bucket{"] {
        ensure!(metrics.contains(word), "no {word:?} in the metrics");
    }
    Ok(())
}
