//! The same sinks into a real Apache Kafka, and from there back into a topic of the node.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::sessions::Session;
use super::{PARTITIONS, SINKS, STATEMENTS, dump};
use crate::Stage;
use crate::client::Worker;
use crate::node::{Node, Server};
use crate::report::Suite;
use crate::toolchain::Program;

/// Sinks and sources say so, once, when their cluster is away.
pub const WARNINGS: &[&str] = &[
    "its cluster cannot be written; trying again",
    "it cannot be read; trying again",
];

const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What came back, as the sink that it came from.
const ECHO: &str = "large_out";

/// An Apache Kafka beside the node.
pub struct External {
    node: Node,
    reader: Worker,
    program: Program,
}

impl External {
    /// `None` where Apache Kafka is not there.
    pub fn start(stage: &Stage, program: &Program, suite: &mut Suite) -> Result<Option<Self>> {
        if stage.toolchain.jars.is_none() {
            let name = "sinks into Apache Kafka";
            let why = "Apache Kafka needs Java and Maven";
            match stage.options.strict {
                true => suite.failed(name, why),
                false => suite.skipped(name, why),
            }
            return Ok(None);
        }
        let mut node = Node::new(&Server::Kafka, stage.toolchain, &stage.place.join("kafka"))?;
        node.heap = "512m";
        node.start()?;
        let mut reader = Worker::spawn(program, &node.bootstrap())?;
        for sink in SINKS {
            reader.create(sink, PARTITIONS, &serde_json::json!({}))?;
        }
        Ok(Some(Self {
            node,
            reader,
            program: program.clone(),
        }))
    }

    /// Each sink once more, into the other cluster, and one of them back again.
    pub fn create(&mut self, session: &mut Session) -> Result<()> {
        let at = format!("WITH (bootstrap_servers = '{}')", self.node.bootstrap());
        for statement in STATEMENTS {
            if let Some(rest) = statement.strip_prefix("CREATE SINK ") {
                let (name, rest) = rest.split_once(" INTO TOPIC ").context("a sink")?;
                let (topic, query) = rest.split_once(" AS ").context("a query")?;
                let sink = format!("CREATE SINK far_{name} INTO TOPIC {topic} {at} AS {query}");
                session.execute(&sink)?;
            }
        }
        session.execute(&format!(
            "CREATE SOURCE echo FROM TOPIC {ECHO} (id BIGINT, amount BIGINT) {at}"
        ))?;
        session.execute("CREATE MATERIALIZED VIEW echoed AS SELECT count(*) AS n FROM echo")?;
        session.execute("CREATE SINK echo_out INTO TOPIC echo_out AS SELECT id, amount FROM echo")
    }

    /// What stands there, committed, and what has come back.
    pub fn dump(
        &mut self,
        own: &mut Worker,
        log: &[String],
        place: &Path,
    ) -> Result<Vec<(&'static str, Vec<String>)>> {
        let mut found = Vec::new();
        for sink in SINKS {
            let values = dump(&mut self.reader, sink, place).context("Apache Kafka")?;
            found.push((sink, values));
        }
        let sent = found.iter().find(|(sink, _)| *sink == ECHO);
        let sent = sent.map_or(0, |(_, values)| values.len());
        ensure!(sent <= log.len(), "{sent} of {} were sent", log.len());
        let end = Instant::now() + BACK_WITHIN;
        loop {
            let back = dump(own, "echo_out", place)?;
            if back.len() >= sent {
                found.push((ECHO, back));
                return Ok(found);
            }
            let came = back.len();
            ensure!(Instant::now() < end, "{came} of {sent} came back");
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn kill(&mut self) -> Result<()> {
        self.node.kill()
    }

    pub fn restart(&mut self) -> Result<()> {
        self.node.start()?;
        self.reader = Worker::spawn(&self.program, &self.node.bootstrap())?;
        Ok(())
    }

    /// The catalog says of each sink that it waits, and why.
    pub fn wait_until_it_shows(&self, session: &mut Session) -> Result<()> {
        const QUESTION: &str = "SELECT count(*) FROM forebay.sinks WHERE state = 'waiting' AND trouble IS NOT NULL \
                                AND waiting_epochs > 0";
        let end = Instant::now() + BACK_WITHIN;
        loop {
            let waiting: i64 = session.client.query_one(QUESTION, &[])?.get(0);
            if waiting > 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "no sink says that it waits");
            thread::sleep(Duration::from_millis(100));
        }
    }
}
