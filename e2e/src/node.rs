//! The server under test as a process: started, killed, stopped, started again on the same port.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::toolchain::Toolchain;

/// Which server is tested. Apache Kafka is there to test the tests, and to be compared with.
#[derive(Clone, Debug)]
pub enum Server {
    Forebay { binary: PathBuf },
    Kafka,
}

/// One node with its directory.
pub struct Node {
    server: Server,
    /// Apache Kafka's jars and the logging configuration; not for Forebay.
    java: Option<(PathBuf, PathBuf)>,
    dir: PathBuf,
    kafka_port: u16,
    http_port: u16,
    pg_port: u16,
    registry_port: u16,
    child: Option<Child>,
    starts: u32,
    /// More flags (Forebay) or properties (Kafka).
    pub settings: Vec<String>,
    /// A program with its arguments that Forebay is started by.
    pub wrapper: Vec<PathBuf>,
    /// Broker heap; Kafka's own scripts give 1 GiB.
    pub heap: &'static str,
}

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

impl Node {
    /// A node that has not been started yet, on `dir`.
    pub fn new(server: &Server, toolchain: &Toolchain, dir: &Path) -> Result<Node> {
        let java = match server {
            Server::Forebay { .. } => None,
            Server::Kafka => {
                let jars = toolchain
                    .jars
                    .clone()
                    .context("Apache Kafka needs Java and Maven")?;
                Some((jars, toolchain.java_sources.join("log4j2.properties")))
            }
        };
        Node::with_java(server, java, dir)
    }

    /// As [`Node::new`], with the jars and the logging configuration given.
    pub fn with_java(
        server: &Server,
        java: Option<(PathBuf, PathBuf)>,
        dir: &Path,
    ) -> Result<Node> {
        std::fs::create_dir_all(dir)?;
        Ok(Node {
            server: server.clone(),
            java,
            dir: dir.to_owned(),
            kafka_port: 0,
            http_port: 0,
            pg_port: 0,
            registry_port: 0,
            child: None,
            starts: 0,
            settings: Vec::new(),
            wrapper: Vec::new(),
            heap: "1g",
        })
    }

    /// Starts the node and waits until it serves. Gives the time that took.
    pub fn start(&mut self) -> Result<Duration> {
        ensure!(self.child.is_none(), "the node runs already");
        self.starts += 1;
        let log = File::create(self.log_path(self.starts))?;
        let mut command = match self.server.clone() {
            Server::Forebay { binary } => self.forebay(&binary)?,
            Server::Kafka => self.kafka()?,
        };
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let begun = Instant::now();
        self.child = Some(
            command
                .spawn()
                .with_context(|| format!("cannot start {command:?}"))?,
        );
        while begun.elapsed() < READY_WITHIN {
            if self.is_ready()? {
                return Ok(begun.elapsed());
            }
            if let Some(status) = self
                .child
                .as_mut()
                .map(Child::try_wait)
                .transpose()?
                .flatten()
            {
                self.child = None;
                bail!(
                    "the node left with {status} before it served: {}",
                    self.log_end()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill()?;
        bail!(
            "the node was not ready within {READY_WITHIN:?}: {}",
            self.log_end()
        )
    }

    fn forebay(&self, binary: &Path) -> Result<Command> {
        let ready = self.dir.join("ready.json");
        let _ = std::fs::remove_file(&ready);
        let mut words = self.wrapper.iter().map(PathBuf::as_path).chain([binary]);
        let mut command = Command::new(words.next().unwrap_or(binary));
        command.args(words);
        command.arg("start").arg("--data-dir").arg(self.data_dir());
        command
            .arg("--kafka-addr")
            .arg(format!("127.0.0.1:{}", self.kafka_port));
        command
            .arg("--http-addr")
            .arg(format!("127.0.0.1:{}", self.http_port));
        command
            .arg("--pg-addr")
            .arg(format!("127.0.0.1:{}", self.pg_port));
        command
            .arg("--registry-addr")
            .arg(format!("127.0.0.1:{}", self.registry_port));
        command.arg("--ready-file").arg(ready).args(&self.settings);
        Ok(command)
    }

    fn kafka(&mut self) -> Result<Command> {
        let (jars, logging) = self.java.clone().context("Apache Kafka needs its jars")?;
        let mut java = Command::new("java");
        java.arg(format!("-Dlog4j2.configurationFile={}", logging.display()));
        java.arg("-cp").arg(format!("{}/*", jars.display()));
        let properties = self.dir.join("server.properties");
        if self.kafka_port == 0 {
            (self.kafka_port, self.http_port) = (free_port()?, free_port()?);
            std::fs::write(&properties, self.kafka_properties())?;
            let mut format = Command::new("java");
            format.args(java.get_args());
            format.args([
                "kafka.tools.StorageTool",
                "format",
                "--standalone",
                "--cluster-id",
                "Zm9yZWJheS1wZWVyLTAwQQ",
            ]);
            let done = format.arg("--config").arg(&properties).output()?;
            ensure!(
                done.status.success(),
                "format: {}",
                String::from_utf8_lossy(&done.stdout)
            );
        }
        // The flags of Kafka's own start script.
        java.args([
            "-server",
            &format!("-Xms{}", self.heap),
            &format!("-Xmx{}", self.heap),
            "-XX:+UseG1GC",
        ]);
        java.args([
            "-XX:MaxGCPauseMillis=20",
            "-XX:InitiatingHeapOccupancyPercent=35",
        ]);
        java.args([
            "-XX:+ExplicitGCInvokesConcurrent",
            "-Djava.awt.headless=true",
            "kafka.Kafka",
        ]);
        java.arg(properties);
        Ok(java)
    }

    fn kafka_properties(&self) -> String {
        let (port, controller) = (self.kafka_port, self.http_port);
        let listeners = format!("PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}");
        let mut lines = vec![
            "process.roles=broker,controller".to_owned(),
            "node.id=1".to_owned(),
            format!("controller.quorum.bootstrap.servers=127.0.0.1:{controller}"),
            "controller.listener.names=CONTROLLER".to_owned(),
            format!("listeners={listeners}"),
            format!("advertised.listeners={listeners}"),
            "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT".to_owned(),
            format!("log.dirs={}", self.data_dir().display()),
            // One node, so the internal topics have one replica.
            "offsets.topic.replication.factor=1".to_owned(),
            "transaction.state.log.replication.factor=1".to_owned(),
            "transaction.state.log.min.isr=1".to_owned(),
            "share.coordinator.state.topic.replication.factor=1".to_owned(),
            "share.coordinator.state.topic.min.isr=1".to_owned(),
            "group.initial.rebalance.delay.ms=0".to_owned(),
        ];
        lines.extend(self.settings.iter().cloned());
        lines.join("\n") + "\n"
    }

    fn is_ready(&mut self) -> Result<bool> {
        match self.server {
            Server::Kafka => Ok(self.log_of(self.starts).contains("Kafka Server started")),
            Server::Forebay { .. } => {
                let Ok(text) = std::fs::read_to_string(self.dir.join("ready.json")) else {
                    return Ok(false);
                };
                let ready: Value =
                    serde_json::from_str(&text).with_context(|| format!("ready file {text:?}"))?;
                self.kafka_port = port_of(&ready, "kafka_addr")?;
                self.http_port = port_of(&ready, "http_addr")?;
                // A node without the query engine has none.
                self.pg_port = match ready.get("pg_addr") {
                    None | Some(Value::Null) => 0,
                    Some(_) => port_of(&ready, "pg_addr")?,
                };
                self.registry_port = port_of(&ready, "registry_addr")?;
                Ok(true)
            }
        }
    }

    /// Where clients connect.
    pub fn bootstrap(&self) -> String {
        format!("127.0.0.1:{}", self.kafka_port)
    }

    /// Where Postgres clients connect, on the loopback; zero where they cannot.
    pub fn pg_port(&self) -> u16 {
        self.pg_port
    }

    /// Where the schema registry answers, on the loopback.
    pub fn registry_port(&self) -> u16 {
        self.registry_port
    }

    /// Where the data is.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The process, while it runs.
    pub fn pid(&self) -> Result<u32> {
        Ok(self.child.as_ref().context("the node does not run")?.id())
    }

    /// Whether the process is still there.
    pub fn is_alive(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// SIGKILL.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and an orderly end within the time.
    pub fn stop(&mut self) -> Result<Duration> {
        let Some(mut child) = self.child.take() else {
            bail!("the node does not run")
        };
        let begun = Instant::now();
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()?;
        while begun.elapsed() < STOPPED_WITHIN {
            if let Some(status) = child.try_wait()? {
                // The JVM leaves with 128 + SIGTERM even when all is well.
                let well = status.success()
                    || (matches!(self.server, Server::Kafka) && status.code() == Some(143));
                ensure!(well, "stopped with {status}: {}", self.log_end());
                return Ok(begun.elapsed());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill()?;
        child.wait()?;
        bail!(
            "did not stop within {STOPPED_WITHIN:?} of SIGTERM: {}",
            self.log_end()
        )
    }

    /// Kills the node without warning and starts it again.
    pub fn crash(&mut self) -> Result<()> {
        self.kill()?;
        self.start().map(drop)
    }

    /// Stops the node in order and starts it again.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start().map(drop)
    }

    /// Resident memory in bytes.
    pub fn resident_bytes(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib * 1024)
    }

    /// CPU seconds used so far, user and system.
    pub fn cpu_seconds(&self) -> Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?))?;
        let fields: Vec<&str> = stat
            .rsplit_once(") ")
            .context("no command in stat")?
            .1
            .split(' ')
            .collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // USER_HZ is 100 on every Linux that Rust runs on.
        Ok(ticks as f64 / 100.0)
    }

    /// The body of an HTTP GET on the node's own listener.
    pub fn http_get(&self, path: &str) -> Result<String> {
        get(self.http_port, path)
    }

    /// The same of the schema registry.
    pub fn registry_get(&self, path: &str) -> Result<String> {
        get(self.registry_port, path)
    }

    /// All that the node has printed, over all its starts.
    pub fn log(&self) -> String {
        (1..=self.starts).map(|start| self.log_of(start)).collect()
    }

    /// Fails at the first warning, error or panic in Forebay's log. Apache Kafka warns about much.
    pub fn is_quiet(&self) -> Result<()> {
        self.is_quiet_but_for(&[])
    }

    /// As [`Node::is_quiet`], with what may be warned of.
    pub fn is_quiet_but_for(&self, expected: &[&str]) -> Result<()> {
        if matches!(self.server, Server::Kafka) {
            return Ok(());
        }
        let loud = [" WARN ", " ERROR ", "forebay: bug", "panicked at"];
        // Stalls are measured by the clock on the wall: beside a dozen busy clients on few cores they say nothing
        // about the node. The benchmarks count them.
        let is_loud = |line: &&str| {
            loud.iter().any(|word| line.contains(word))
                && !line.contains("a task stalled its shard")
                && !expected.iter().any(|word| line.contains(word))
        };
        match self.log().lines().find(is_loud) {
            Some(line) => bail!("{line}"),
            None => Ok(()),
        }
    }

    /// What the node has printed since its last start.
    pub fn log_of_this_start(&self) -> String {
        self.log_of(self.starts)
    }

    fn log_of(&self, start: u32) -> String {
        std::fs::read(self.log_path(start))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_path(&self, start: u32) -> PathBuf {
        self.dir.join(format!("node-{start}.log"))
    }

    fn log_end(&self) -> String {
        let log = self.log_of(self.starts);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(6)..].join(" / ")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn get(port: u16, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .context("no end of the HTTP head")?;
    ensure!(
        head.starts_with("HTTP/1.1 200"),
        "{path}: {}",
        head.lines().next().unwrap_or_default()
    );
    Ok(body.to_owned())
}

fn port_of(ready: &Value, key: &str) -> Result<u16> {
    let address = ready
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("no {key} in the ready file: {ready}"))?;
    Ok(address
        .rsplit_once(':')
        .context("no port in the address")?
        .1
        .parse()?)
}

/// A port nobody listens on now.
fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
