//! `forebay start`: a node as a process, from its settings to its exit code.

use std::{
    fmt,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use base::ShardId;
use broker::{OpenError, open::OpenReport};
use runtime::{Backend, Class, Running, sync::Shutdown};

use crate::{
    Programs,
    cli::{
        NodeArgs,
        format::{counted, grouped},
    },
    config::Settings,
    exit,
    front::{self, Front, FrontError, Listeners},
    node::{Node, NodeConfig, NodeError},
    trace,
};

/// Beyond the grace of requests in flight: what closing files may take before the process ends anyway.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(30);

/// Files a node has open beside its connections, generously.
const OTHER_FILES: u64 = 1024;

/// Why a node's process does not come up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {setting} {addr}: {error}. {}", hint(setting))]
    Listen {
        setting: &'static str,
        addr: SocketAddr,
        error: String,
    },
    #[error("{0}")]
    Open(OpenError),
    #[error("the shards do not start: {0}")]
    Shards(io::Error),
    #[error(transparent)]
    Front(#[from] FrontError),
    #[error("the ready file {path} cannot be written: {error}")]
    ReadyFile { path: PathBuf, error: io::Error },
    #[error("{0}")]
    Settings(String),
    #[cfg(feature = "pipelines")]
    #[error(transparent)]
    Security(#[from] front::SecurityError),
}

fn hint(setting: &str) -> String {
    let flag = setting.replace('_', "-");
    format!("Stop what uses it, or choose another with --{flag} (port 0 picks a free one)")
}

impl StartError {
    /// As documented in [`exit::HELP`].
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { .. } => exit::ADDRESS,
            Self::Open(OpenError::Locked(_)) => exit::LOCKED,
            Self::Open(_) => exit::DIRECTORY,
            Self::Settings(_) => exit::USAGE,
            #[cfg(feature = "pipelines")]
            Self::Security(_) => exit::USAGE,
            // A CPU that is not there, a backend that is refused.
            Self::Shards(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                exit::USAGE
            }
            Self::Shards(_) | Self::Front(_) | Self::ReadyFile { .. } => exit::FAILED,
        }
    }
}

/// A node's process that serves.
pub struct Process {
    running: Running,
    front: Front,
    pub kafka_addr: SocketAddr,
    pub http_addr: SocketAddr,
    /// Unless the node is built without SQL.
    pub pg_addr: Option<SocketAddr>,
    pub registry_addr: Option<SocketAddr>,
    pub report: OpenReport,
    pub shards: u16,
    ready_file: Option<PathBuf>,
    stop_grace: Duration,
    /// From the call to serving.
    pub ready_after: Duration,
}

/// What the leading shard tells when it serves.
struct Serving {
    kafka_addr: SocketAddr,
    report: OpenReport,
}

/// `forebay start`.
#[must_use]
pub fn run(args: &NodeArgs, programs: Programs) -> u8 {
    let begun = Instant::now();
    // Before any thread starts: they inherit it.
    runtime::signal::block_termination();
    let loaded = match args.load() {
        Ok(loaded) => loaded,
        Err(error) => return refuse(&error),
    };
    let settings = loaded.settings;
    let _traces = match trace::start(&settings.log_level, settings.log_format) {
        Ok(guard) => guard,
        Err(error) => return refuse(&error),
    };
    let process = match Process::start(&settings, begun, programs) {
        Ok(process) => process,
        Err(error) => {
            note!("forebay: {error}");
            return error.exit_code();
        }
    };
    note!("{}", process.banner(&settings).trim_end());
    let signal = runtime::signal::wait_for_termination();
    tracing::info!(signal, "stopping");
    match process.stop() {
        Ok(()) => exit::OK,
        Err(error) => {
            note!("forebay: {error}");
            exit::FAILED
        }
    }
}

/// `forebay config`.
#[must_use]
pub fn print_config(args: &NodeArgs) -> u8 {
    match args.load() {
        Ok(loaded) => {
            out!("{}", loaded.to_toml());
            exit::OK
        }
        Err(error) => refuse(&error),
    }
}

/// Wrong settings.
pub fn refuse(error: &dyn fmt::Display) -> u8 {
    note!("forebay: {error}");
    exit::USAGE
}

/// Shards to start: as set, as many as CPUs are named, or one per CPU the process may use.
fn shard_count(settings: &Settings) -> u16 {
    if settings.shards > 0 {
        return settings.shards;
    }
    let cpus = match settings.cpus.0.len() {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        named => named,
    };
    u16::try_from(cpus).unwrap_or(u16::MAX)
}

impl Process {
    /// Starts shards, node and front; returns when the node serves. `begun` is what `ready_after` counts from.
    pub fn start(
        settings: &Settings,
        begun: Instant,
        programs: Programs,
    ) -> Result<Self, StartError> {
        #[cfg(feature = "pipelines")]
        let security = front::Security::read(settings)?;
        let http = bind("http_addr", settings.http_addr)?;
        let http_addr = http.local_addr().map_err(StartError::Shards)?;
        let postgres = cfg!(feature = "pipelines").then(|| bind("pg_addr", settings.pg_addr));
        let postgres = postgres.transpose()?;
        let pg_addr = postgres.as_ref().map(std::net::TcpListener::local_addr);
        let pg_addr = pg_addr.transpose().map_err(StartError::Shards)?;
        let registry = settings
            .registry_addr
            .map(|addr| bind("registry_addr", addr));
        let registry = registry.transpose()?;
        let registry_addr = registry.as_ref().map(std::net::TcpListener::local_addr);
        let registry_addr = registry_addr.transpose().map_err(StartError::Shards)?;
        let shards = shard_count(settings);
        check_open_files(settings);
        let config = runtime::Config {
            shards,
            cpus: Some(settings.cpus.0.clone()).filter(|cpus| !cpus.is_empty()),
            backend: settings.backend.0,
            stall: Duration::from_micros(settings.stall_us.into()),
            ..runtime::Config::default()
        };
        let (told, tell) = mpsc::channel();
        let node_config = NodeConfig::from_config(settings);
        let running = runtime::start(config, move || {
            let (config, told) = (node_config.clone(), told.clone());
            async move { serve_shard(config, told).await }
        })
        .map_err(StartError::Shards)?;
        // The first word decides: the leading shard serves, or some shard failed.
        let serving = match tell.recv() {
            Ok(Ok(serving)) => serving,
            failed => {
                running.join().map_err(StartError::Shards)?;
                return Err(match failed {
                    Ok(Err(NodeError::Listen { addr, error })) => StartError::Listen {
                        setting: "kafka_addr",
                        addr,
                        error,
                    },
                    Ok(Err(NodeError::Open(error))) => StartError::Open(error),
                    _ => StartError::Shards(io::Error::other("a shard ended at its start")),
                });
            }
        };
        let listeners = Listeners {
            http,
            postgres,
            #[cfg(feature = "pipelines")]
            security,
            registry,
        };
        let state_bytes = settings.state_bytes.0;
        let front = match Front::start(listeners, running.handle(), programs, state_bytes) {
            Ok(front) => front,
            Err(error) => {
                ask_to_stop(&running);
                running.join().map_err(StartError::Shards)?;
                return Err(error.into());
            }
        };
        let process = Self {
            running,
            front,
            kafka_addr: serving.kafka_addr,
            http_addr,
            pg_addr,
            registry_addr,
            report: serving.report,
            shards,
            ready_file: settings.ready_file.clone(),
            stop_grace: Duration::from_millis(settings.stop_grace.0),
            ready_after: begun.elapsed(),
        };
        if let Some(path) = &process.ready_file
            && let Err(error) = process.write_ready_file(path)
        {
            let path = path.clone();
            process.stop()?;
            return Err(StartError::ReadyFile { path, error });
        }
        Ok(process)
    }

    /// Written beside and renamed, so that whoever sees it sees all of it.
    fn write_ready_file(&self, path: &Path) -> io::Result<()> {
        let ready = serde_json::json!({
            "kafka": self.kafka_addr.to_string(),
            "http": self.http_addr.to_string(),
            "kafka_addr": self.kafka_addr.to_string(),
            "http_addr": self.http_addr.to_string(),
            "pg_addr": self.pg_addr.map(|addr| addr.to_string()),
            "registry_addr": self.registry_addr.map(|addr| addr.to_string()),
            "pid": std::process::id(),
            "cluster_id": self.report.cluster_id,
            "shards": self.shards,
            "ready_after_ms": self.ready_after.as_secs_f64() * 1000.0,
        });
        let beside = path.with_extension(format!("{}.tmp", std::process::id()));
        let mut file = std::fs::File::create(&beside)?;
        writeln!(file, "{ready}")?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    }

    /// What an operator sees first.
    #[must_use]
    pub fn banner(&self, settings: &Settings) -> String {
        let (backend, refused) = self.running.backend();
        let backend = match (backend, refused) {
            (Backend::Epoll, Some(why)) => format!("epoll, because io_uring is refused ({why})"),
            (Backend::Epoll, None) => "epoll, as asked".into(),
            (Backend::Uring | Backend::Auto, _) => "io_uring".into(),
        };
        let recovery = &self.report.recovery;
        let found = if self.report.topics == 0 && recovery.journal_entries == 0 {
            "an empty directory".to_owned()
        } else {
            let mut found = format!(
                "{}, {}, {} replayed from the journal",
                counted(self.report.topics, "topic"),
                counted(recovery.partitions, "partition"),
                if recovery.journal_entries == 1 {
                    "1 batch".into()
                } else {
                    format!("{} batches", grouped(recovery.journal_entries))
                },
            );
            if recovery.torn_tail_bytes > 0 {
                found.push_str(&format!(
                    ", {} torn bytes that nobody was promised cut off",
                    recovery.torn_tail_bytes
                ));
            }
            found
        };
        let mut text = format!(
            "Forebay {version} serves after {ready:.0} ms\n\
             \x20 Kafka    {kafka}{advertised}\n\
             \x20 HTTP     http://{http}  (/metrics /health /ready)\n\
             {postgres}\
             {registry}\
             \x20 data     {dir}: {found}\n\
             \x20 durable  every batch is written past the page cache (O_DIRECT) and synced to disk before it is \
             acknowledged\n\
             \x20 shards   {shards}, I/O by {backend}\n",
            version = env!("CARGO_PKG_VERSION"),
            ready = self.ready_after.as_secs_f64() * 1000.0,
            kafka = self.kafka_addr,
            advertised = settings
                .advertised_addr
                .as_ref()
                .map(|at| format!(", clients are told {}", crate::config::Value::show(at)))
                .unwrap_or_default(),
            http = self.http_addr,
            postgres = self
                .pg_addr
                .map(|addr| format!(
                    "  SQL      psql -h {} -p {} forebay\n",
                    addr.ip(),
                    addr.port()
                ))
                .unwrap_or_default(),
            registry = self
                .registry_addr
                .map(|addr| format!("  schemas  http://{addr}  (Confluent's registry API)\n"))
                .unwrap_or_default(),
            dir = settings.data_dir.display(),
            shards = self.shards,
        );
        for (partition, damage) in &recovery.quarantined {
            text.push_str(&format!("  DAMAGED  {partition} is refused: {damage}\n"));
        }
        let brokers = if self.kafka_addr.port() == 9092 {
            String::new()
        } else {
            format!(" -b {}", self.kafka_addr)
        };
        text.push_str(&format!(
            "  try      echo hello | forebay produce{brokers} greetings; forebay consume{brokers} greetings -e\n\
             \x20 stop     Ctrl-C, or kill -TERM {}\n",
            std::process::id()
        ));
        text
    }

    /// Runs `call` on a shard of the node and waits for it.
    pub fn on_shard<F, Fut, R>(&self, shard: ShardId, kind: &'static str, call: F) -> R
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let handle = self.running.handle();
        handle.call_blocking(shard, Class::Admin, kind, call)
    }

    /// Stops serving, waits for requests in flight, closes the files, ends the threads.
    pub fn stop(self) -> Result<(), StartError> {
        end_anyway(self.stop_grace + CLOSE_TIME_MAX);
        self.front.set_stopping();
        if let Some(path) = &self.ready_file {
            // Whoever waits for it next must not find this one; that it is gone already is as good.
            let _ = std::fs::remove_file(path);
        }
        self.front.stop();
        ask_to_stop(&self.running);
        self.running.join().map_err(StartError::Shards)
    }
}

/// The leading shard stops the node; whoever asks joins the shards.
fn ask_to_stop(running: &Running) {
    let leading = broker::open::leading_shard();
    let handle = running.handle();
    handle.call_blocking(leading, Class::Admin, "stop", || async {
        if let Some(asked) = runtime::local::<Shutdown>() {
            asked.trigger();
        }
    });
}

/// Each connection is an open file.
fn check_open_files(settings: &Settings) {
    let limit = runtime::raise_open_files_limit().unwrap_or_else(|error| {
        tracing::warn!(%error, "the limit of open files is unknown");
        u64::MAX
    });
    if limit < u64::from(settings.connections_max) + OTHER_FILES {
        tracing::info!(
            limit,
            connections_max = settings.connections_max,
            "open files are limited: with more connections than that, further ones wait"
        );
    }
}

fn bind(setting: &'static str, addr: SocketAddr) -> Result<std::net::TcpListener, StartError> {
    front::bind(addr).map_err(|error| StartError::Listen {
        setting,
        addr,
        error: error.to_string(),
    })
}

/// One shard's main: from open to stopped.
async fn serve_shard(config: NodeConfig, told: mpsc::Sender<Result<Serving, NodeError>>) {
    match Node::start_on_shard(config).await {
        Ok(node) => {
            if let Some(kafka_addr) = node.kafka_addr() {
                let asked = Rc::new(Shutdown::new());
                runtime::set_local(asked.clone());
                let report = node.report().clone();
                // Nobody listens only when the process is ending.
                let _ = told.send(Ok(Serving { kafka_addr, report }));
                asked.triggered().await;
                // Here, because all shards go down as soon as no main is left.
                node.stop().await;
            } else {
                node.stopped().await;
            }
        }
        // Of several shards with the same news the first is heard.
        Err(error) => _ = told.send(Err(error)),
    }
}

/// A second signal, or too long a stop, ends the process at once: what was acknowledged is on disk.
fn end_anyway(after: Duration) {
    let spawn = |name: &str, end: Box<dyn FnOnce() + Send>| {
        let thread = std::thread::Builder::new().name(name.into()).spawn(end);
        if let Err(error) = thread {
            tracing::warn!(%error, "stopping is not watched");
        }
    };
    spawn(
        "second signal",
        Box::new(|| {
            let signal = runtime::signal::wait_for_termination();
            note!("forebay: second {signal}: ending at once; what was acknowledged is on disk");
            std::process::exit(exit::FAILED.into());
        }),
    );
    spawn(
        "stop watch",
        Box::new(move || {
            std::thread::sleep(after);
            note!(
                "forebay: stopping took longer than {after:?}: ending anyway; what was acknowledged is on disk"
            );
            std::process::exit(exit::FAILED.into());
        }),
    );
}
