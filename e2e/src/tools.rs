//! Apache Kafka's own command-line tools, unchanged, one after the other in one JVM.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use crate::Stage;
use crate::client::Worker;
use crate::report::Suite;
use crate::toolchain::{Family, Program};

const TOPICS: &str = "org.apache.kafka.tools.TopicCommand";
const CONFIGS: &str = "kafka.admin.ConfigCommand";
const GROUPS: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
const OFFSETS: &str = "org.apache.kafka.tools.GetOffsetShell";

/// Runs every tool.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    let Some(program) = stage.toolchain.program(Family::Java) else {
        suite.skipped("tools", "Java is not there");
        return Ok(());
    };
    let mut node = stage.node("node")?;
    let mut tools = Tools {
        program,
        worker: Worker::spawn(program, &node.bootstrap())?,
        bootstrap: node.bootstrap(),
    };
    suite.case("kafka-topics", topics(&mut tools));
    suite.case("kafka-configs", configs(&mut tools));
    suite.case("kafka-broker-api-versions", api_versions(&mut tools));
    suite.case("console producer and consumer", console(&mut tools));
    suite.case("kafka-get-offsets", offsets(&mut tools));
    suite.case("verifiable producer and consumer", verifiable(&mut tools));
    suite.case("producer and consumer performance", performance(&mut tools));
    suite.case("kafka-consumer-groups", groups(&mut tools));
    let records = stage.place.join("delete-records.json");
    suite.case("kafka-delete-records", delete_records(&mut tools, &records));
    suite.case("kafka-log-dirs and kafka-cluster", others(&mut tools));
    if !stage.is_peer() {
        suite.case("what is not there yet is refused", unsupported(&mut tools));
    }
    // Apache Kafka writes down where a log starts from time to time only, and forgets it in a crash.
    let (when, again) = match stage.is_peer() {
        true => ("SIGTERM", node.restart()),
        false => ("kill -9", node.crash()),
    };
    suite.case(
        format!("all of it is there after {when}"),
        again.and_then(|()| after_restart(&mut tools)),
    );
    suite.case("kafka-topics --delete", delete(&mut tools));
    suite.case("the node's log has no warning", node.is_quiet());
    Ok(())
}

struct Tools<'a> {
    worker: Worker,
    program: &'a Program,
    bootstrap: String,
}

impl Tools<'_> {
    /// Runs a tool's main method with `--bootstrap-server` and the words of `args`; gives what it printed.
    fn run(&mut self, class: &str, args: &str) -> Result<String> {
        self.run_with_input(class, args, "")
    }

    fn run_with_input(&mut self, class: &str, args: &str, input: &str) -> Result<String> {
        let args = format!("--bootstrap-server {} {args}", self.bootstrap);
        self.call(class, &args, input)
    }

    /// Runs a tool that wants `--bootstrap-server` elsewhere than in front.
    fn run_bare(&mut self, class: &str, args: &str) -> Result<String> {
        self.call(class, args, "")
    }

    fn call(&mut self, class: &str, args: &str, input: &str) -> Result<String> {
        let args: Vec<&str> = args.split_whitespace().collect();
        let answer = self
            .worker
            .call(&json!({ "op": "tool", "class": class, "args": args, "stdin": input }))?;
        let (out, err) = (
            answer["out"].as_str().unwrap_or_default(),
            answer["err"].as_str().unwrap_or_default(),
        );
        ensure!(
            answer["code"] == 0 && answer["alive"] == false,
            "{class} {args:?}: code {}: {out} {err}",
            answer["code"]
        );
        Ok(out.to_owned())
    }

    /// Runs a tool in a JVM of its own: the verifiable ones finish their work in a hook at the JVM's end.
    fn run_alone(&self, class: &str, args: &str) -> Result<String> {
        let mut program = self.program.clone();
        program.args.pop();
        let mut command = program.command(&[class, "--bootstrap-server", &self.bootstrap]);
        let output = command.args(args.split_whitespace()).output()?;
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "{class} {args}: {}: {out} {err}",
            output.status
        );
        Ok(out)
    }

    /// Runs a tool and looks for each of `wanted` in what it prints.
    fn expect(&mut self, class: &str, args: &str, wanted: &[&str]) -> Result<()> {
        let out = self.run(class, args)?;
        for text in wanted {
            ensure!(out.contains(text), "{class} {args}: no {text:?} in {out}");
        }
        Ok(())
    }
}

fn topics(tools: &mut Tools) -> Result<()> {
    tools.expect(
        TOPICS,
        "--create --topic tools --partitions 3 --config retention.ms=3600000",
        &["Created topic tools."],
    )?;
    ensure!(
        tools
            .run(TOPICS, "--create --topic tools --partitions 3")
            .is_err(),
        "created twice"
    );
    tools.run(
        TOPICS,
        "--create --if-not-exists --topic tools --partitions 3",
    )?;
    tools.expect(TOPICS, "--list", &["tools\n"])?;
    tools.expect(
        TOPICS,
        "--describe --topic tools",
        &["PartitionCount: 3", "retention.ms=3600000", "Leader: "],
    )?;
    tools.run(TOPICS, "--alter --topic tools --partitions 5")?;
    tools.expect(
        TOPICS,
        "--describe --topic tools",
        &["PartitionCount: 5", "Partition: 4"],
    )?;
    ensure!(
        tools
            .run(TOPICS, "--alter --topic tools --partitions 2")
            .is_err(),
        "partitions were taken away"
    );
    Ok(())
}

fn configs(tools: &mut Tools) -> Result<()> {
    let topic = "--entity-type topics --entity-name tools";
    tools.run(CONFIGS, &format!("{topic} --alter --add-config max.message.bytes=65536,message.timestamp.type=LogAppendTime"))?;
    tools.expect(
        CONFIGS,
        &format!("{topic} --describe"),
        &[
            "max.message.bytes=65536",
            "message.timestamp.type=LogAppendTime",
        ],
    )?;
    tools.run(
        CONFIGS,
        &format!("{topic} --alter --delete-config max.message.bytes,message.timestamp.type"),
    )?;
    let out = tools.run(CONFIGS, &format!("{topic} --describe"))?;
    ensure!(
        !out.contains("max.message.bytes=65536"),
        "still there: {out}"
    );
    ensure!(out.contains("retention.ms=3600000"), "gone too: {out}");
    tools.expect(
        CONFIGS,
        &format!("{topic} --describe --all"),
        &["segment.bytes=", "cleanup.policy=delete"],
    )?;
    ensure!(
        tools
            .run(
                CONFIGS,
                &format!("{topic} --alter --add-config retention.ms=soon")
            )
            .is_err(),
        "nonsense was accepted"
    );
    Ok(())
}

fn api_versions(tools: &mut Tools) -> Result<()> {
    let wanted = [
        "Produce(0): 0 to 1",
        "Fetch(1): ",
        "ApiVersions(18): 0 to 4",
        "JoinGroup(11): 0 to ",
    ];
    tools.expect(
        "org.apache.kafka.tools.BrokerApiVersionsCommand",
        "",
        &wanted,
    )
}

fn console(tools: &mut Tools) -> Result<()> {
    let args = "--topic tools --reader-property parse.key=true --reader-property key.separator=:";
    tools.run_with_input(
        "org.apache.kafka.tools.ConsoleProducer",
        args,
        "one:first\ntwo:second\nthree:third\n",
    )?;
    let args = "--topic tools --from-beginning --max-messages 3 --timeout-ms 20000 --formatter-property print.key=true";
    let wanted = ["one\tfirst", "two\tsecond", "three\tthird"];
    tools.expect(
        "org.apache.kafka.tools.consumer.ConsoleConsumer",
        args,
        &wanted,
    )
}

fn sum_of_offsets(out: &str) -> i64 {
    out.lines()
        .filter_map(|line| line.rsplit(':').next()?.trim().parse::<i64>().ok())
        .sum()
}

fn offsets(tools: &mut Tools) -> Result<()> {
    let out = tools.run(OFFSETS, "--topic tools")?;
    ensure!(
        out.lines().count() == 5 && sum_of_offsets(&out) == 3,
        "{out}"
    );
    let out = tools.run(OFFSETS, "--topic tools --time earliest")?;
    ensure!(sum_of_offsets(&out) == 0, "{out}");
    let out = tools.run(OFFSETS, "--topic tools --time max-timestamp")?;
    ensure!(out.lines().count() >= 1, "{out}");
    Ok(())
}

fn verifiable(tools: &mut Tools) -> Result<()> {
    tools.run(TOPICS, "--create --topic verifiable --partitions 1")?;
    let out = tools.run_alone(
        "org.apache.kafka.tools.VerifiableProducer",
        "--topic verifiable --max-messages 1000",
    )?;
    ensure!(
        out.contains("\"acked\":1000"),
        "{}",
        out.lines().last().unwrap_or_default()
    );
    let args =
        "--topic verifiable --group-id verifiers --max-messages 1000 --reset-policy earliest";
    let out = tools.run_alone("org.apache.kafka.tools.VerifiableConsumer", args)?;
    let committed = out
        .lines()
        .filter(|line| line.contains("offsets_committed") && line.contains("\"offset\":1000"));
    ensure!(
        committed.count() > 0,
        "{}",
        out.lines().last().unwrap_or_default()
    );
    Ok(())
}

fn performance(tools: &mut Tools) -> Result<()> {
    tools.run(TOPICS, "--create --topic performance --partitions 2")?;
    let args = "--topic performance --num-records 20000 --record-size 100 --throughput -1";
    tools.expect(
        "org.apache.kafka.tools.ProducerPerformance",
        args,
        &["20000 records sent"],
    )?;
    let args = "--topic performance --num-records 20000 --timeout 20000 --hide-header";
    let out = tools.run("org.apache.kafka.tools.ConsumerPerformance", args)?;
    let counts = |line: &str| {
        line.split(',')
            .nth(4)
            .and_then(|count| count.trim().parse::<u64>().ok())
    };
    ensure!(
        out.lines().filter_map(counts).any(|count| count >= 20_000),
        "{out}"
    );
    Ok(())
}

fn groups(tools: &mut Tools) -> Result<()> {
    tools.expect(GROUPS, "--list", &["verifiers"])?;
    let lag = |out: &str| -> Option<String> {
        let line = out.lines().find(|line| line.contains("verifiable"))?;
        line.split_whitespace().nth(5).map(str::to_owned)
    };
    let out = tools.run(GROUPS, "--describe --group verifiers")?;
    ensure!(lag(&out).as_deref() == Some("0"), "{out}");
    tools.expect(GROUPS, "--describe --group verifiers --state", &["Empty"])?;
    tools.run(GROUPS, "--describe --group verifiers --members")?;
    tools.run(
        GROUPS,
        "--reset-offsets --group verifiers --topic verifiable --to-earliest --execute",
    )?;
    let out = tools.run(GROUPS, "--describe --group verifiers")?;
    ensure!(lag(&out).as_deref() == Some("1000"), "{out}");
    tools.run(
        GROUPS,
        "--reset-offsets --group verifiers --topic verifiable --to-offset 400 --execute",
    )?;
    let out = tools.run(GROUPS, "--describe --group verifiers")?;
    ensure!(lag(&out).as_deref() == Some("600"), "{out}");
    tools.run(GROUPS, "--delete --group verifiers")?;
    let out = tools.run(GROUPS, "--list")?;
    ensure!(!out.contains("verifiers"), "{out}");
    Ok(())
}

fn delete_records(tools: &mut Tools, file: &std::path::Path) -> Result<()> {
    let before = json!({ "partitions": [{ "topic": "verifiable", "partition": 0, "offset": 300 }], "version": 1 });
    std::fs::write(file, before.to_string())?;
    let args = format!("--offset-json-file {}", file.display());
    tools.expect(
        "org.apache.kafka.tools.DeleteRecordsCommand",
        &args,
        &["low_watermark: 300"],
    )?;
    tools.expect(
        OFFSETS,
        "--topic verifiable --time earliest",
        &["verifiable:0:300"],
    )
}

fn others(tools: &mut Tools) -> Result<()> {
    tools.expect(
        "org.apache.kafka.tools.LogDirsCommand",
        "--describe --topic-list tools",
        &["\"partition\":\"tools-0\"", "\"error\":null"],
    )?;
    let args = ["cluster-id", "--bootstrap-server", &tools.bootstrap.clone()].join(" ");
    let out = tools.run_bare("org.apache.kafka.tools.ClusterTool", &args)?;
    ensure!(out.contains("Cluster ID: "), "{out}");
    Ok(())
}

/// Each refusal must come at once and say what is refused: a tool that waits for its timeout helps nobody.
fn unsupported(tools: &mut Tools) -> Result<()> {
    let refusals = [
        (
            "org.apache.kafka.tools.LeaderElectionCommand",
            "--election-type preferred --all-topic-partitions",
            "does not support ELECT_LEADERS",
        ),
        (
            "org.apache.kafka.tools.AclCommand",
            "--list",
            "does not support DESCRIBE_ACLS",
        ),
        (
            "org.apache.kafka.tools.TransactionsCommand",
            "list",
            "does not support LIST_TRANSACTIONS",
        ),
        (
            CONFIGS,
            "--entity-type topics --entity-name tools --alter --add-config cleanup.policy=compact",
            "compaction is not there yet",
        ),
        (
            TOPICS,
            "--create --topic twice --partitions 1 --replication-factor 2",
            "Unable to replicate the partition 2 time(s)",
        ),
    ];
    for (class, args, wanted) in refusals {
        let begun = Instant::now();
        match tools.run(class, args) {
            Ok(out) => anyhow::bail!("{class} {args} was accepted: {out}"),
            Err(error) => {
                let text = format!("{error:#}");
                ensure!(text.contains(wanted), "{class} {args}: {text}");
            }
        }
        ensure!(
            begun.elapsed() < Duration::from_secs(15),
            "{class} {args} took {:?}",
            begun.elapsed()
        );
    }
    Ok(())
}

fn after_restart(tools: &mut Tools) -> Result<()> {
    tools.expect(
        TOPICS,
        "--describe --topic tools",
        &["PartitionCount: 5", "retention.ms=3600000"],
    )?;
    tools.expect(
        OFFSETS,
        "--topic verifiable --time earliest",
        &["verifiable:0:300"],
    )?;
    tools.expect(OFFSETS, "--topic verifiable", &["verifiable:0:1000"])?;
    let out = tools.run(GROUPS, "--list")?;
    ensure!(
        !out.contains("verifiers"),
        "a deleted group came back: {out}"
    );
    Ok(())
}

fn delete(tools: &mut Tools) -> Result<()> {
    tools.run(TOPICS, "--delete --topic tools")?;
    // Apache Kafka forgets the topic a moment after it has answered.
    for _ in 0..50 {
        if !tools
            .run(TOPICS, "--list")?
            .lines()
            .any(|line| line == "tools")
        {
            return Ok(());
        }
    }
    anyhow::bail!("still listed")
}
