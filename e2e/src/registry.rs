//! Serialisers that want a schema registry against the binary, before and after a `kill -9`: Confluent's own, and kafkajs's.
//!
//! The programs in `e2e/clients/registry` say `ok CASE` or `failed CASE: why` for every one of their cases.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::Stage;
use crate::node::Node;
use crate::report::Suite;
use crate::toolchain::{self, Program};

const CONFLUENT: [&str; 9] = [
    "before avro",
    "before sql_source_of_the_subject",
    "before avro_evolution",
    "before protobuf",
    "before json_schema",
    "before deletion",
    "after what_was_registered",
    "after what_was_written",
    "after views",
];
const KAFKAJS: [&str; 4] = [
    "before kafkajs_avro",
    "before kafkajs_protobuf",
    "before kafkajs_json",
    "after kafkajs_reads_of_others",
];
const DONE_WITHIN: Duration = Duration::from_secs(180);

type Installer = fn(&Path, &Path) -> Result<Program>;

/// In the order they run: the second reads what the first wrote.
const CLIENTS: [(&str, Installer, &[&str]); 2] = [
    ("confluent", confluent, &CONFLUENT),
    ("kafkajs", kafkajs, &KAFKAJS),
];

/// Runs the cases in two halves.
pub fn run(stage: &Stage, suite: &mut Suite) -> Result<()> {
    if stage.is_peer() {
        suite.skipped("registry", "Apache Kafka has none");
        return Ok(());
    }
    let cache = toolchain::cache_dir().join("e2e");
    std::fs::create_dir_all(&cache)?;
    let sources = stage.options.root.join("e2e/clients/registry");
    let mut clients = Vec::new();
    for (name, install, cases) in CLIENTS {
        match install(&cache, &sources) {
            Ok(program) => clients.push((name, program, cases, String::new())),
            Err(error) if stage.options.strict => suite.failed(name, format!("{error:#}")),
            Err(error) => suite.skipped(name, format!("{error:#}")),
        }
    }
    let mut node = stage.node("node")?;
    for phase in ["before", "after"] {
        if phase == "after" {
            node.crash()?;
        }
        for (name, program, _, said) in &mut clients {
            let log = stage.place.join(format!("{name}-{phase}.log"));
            said.push_str(&said_in(program, phase, &node, &log)?);
        }
    }
    suite.case("a version is told to a bare request", by_hand(&node));
    for (_, _, cases, said) in &clients {
        judge(cases, said, suite);
    }
    suite.case("the node's log has no warning", node.is_quiet());
    Ok(())
}

fn confluent(cache: &Path, sources: &Path) -> Result<Program> {
    toolchain::on_path("python3")?;
    let home = cache.join("registry-python");
    toolchain::virtual_environment(&home, &sources.join("requirements.txt"))?;
    Ok(Program {
        path: home.join("bin/python"),
        args: vec![sources.join("with_confluent.py").display().to_string()],
        env: Vec::new(),
    })
}

fn kafkajs(cache: &Path, sources: &Path) -> Result<Program> {
    let home = cache.join("registry-node");
    let modules = toolchain::node_modules(&home, &sources.join("package.json"))?;
    Ok(Program {
        path: PathBuf::from("node"),
        args: vec![sources.join("with_kafkajs.js").display().to_string()],
        env: vec![
            ("NODE_PATH".to_owned(), modules),
            ("KAFKAJS_NO_PARTITIONER_WARNING".to_owned(), "1".to_owned()),
        ],
    })
}

/// What a program says in one phase.
fn said_in(program: &Program, phase: &str, node: &Node, log: &Path) -> Result<String> {
    let out = log.with_extension("out");
    let kafka = node.bootstrap();
    let kafka = kafka.rsplit_once(':').context("no port")?.1;
    let (registry, postgres) = (node.registry_port().to_string(), node.pg_port().to_string());
    let mut child = program
        .command(&[phase, kafka, &registry, &postgres])
        .stdin(Stdio::null())
        .stdout(std::fs::File::create(&out)?)
        .stderr(std::fs::File::create(log)?)
        .spawn()
        .with_context(|| format!("cannot start {}", program.path.display()))?;
    let begun = Instant::now();
    while child.try_wait()?.is_none() {
        if begun.elapsed() > DONE_WITHIN {
            child.kill()?;
            child.wait()?;
            bail!("{} did not come to an end", program.path.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(std::fs::read_to_string(&out)?)
}

/// Every case has its line.
fn judge(cases: &[&str], said: &str, suite: &mut Suite) {
    for case in cases {
        let failed = format!("failed {case}: ");
        match said.lines().find_map(|line| line.strip_prefix(&failed)) {
            Some(why) => suite.failed(*case, why),
            None if said.lines().any(|line| line == format!("ok {case}")) => suite.passed(*case),
            None => suite.failed(*case, "it says nothing"),
        }
    }
}

fn by_hand(node: &Node) -> Result<()> {
    let answer = node.registry_get("/subjects/sr_avro-value/versions/1")?;
    ensure!(answer.contains("\"id\":1"), "{answer}");
    Ok(())
}
