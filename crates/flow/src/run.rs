//! An app at work beside a cluster: on a shard of its own, with its state in a directory.

use std::{
    io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use arrow_array::RecordBatch;
use base::{Offset, ShardId};
use client::{Client, ClientConfig, ClientError};
use runtime::{Class, sync::Shutdown};
use streams::{
    engine::{Engine, EngineError, QuestionError, ReadAt, RowsOf},
    log::LogError,
};

use crate::{
    app::{App, AppError, Relations},
    cluster::{ClusterLog, PlantedBugs},
    store::{OpenStore, StoreChoice},
};

/// Between two looks at whether everything still runs.
const LOOK: Duration = Duration::from_millis(200);

const SHARD: ShardId = ShardId(0);

/// Where an app reads and writes, and where it keeps its state.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub client: ClientConfig,
    /// One app's own; with it goes all that the app knows.
    pub state_dir: PathBuf,
    pub stores: StoreChoice,
    pub planted: PlantedBugs,
}

impl Cluster {
    /// `host:port` of a broker, or of several with commas between them.
    #[must_use]
    pub fn new(brokers: &str, state_dir: impl AsRef<Path>) -> Self {
        let brokers = brokers.split(',').map(|broker| broker.trim().to_owned());
        Self {
            client: ClientConfig::new(brokers.collect()),
            state_dir: state_dir.as_ref().to_owned(),
            stores: StoreChoice::default(),
            planted: PlantedBugs::default(),
        }
    }

    /// Keeps the app's state in this store, what was in runs until now too. What the directory has beside is needed all the
    /// same; where the store's path is out of it, both go together.
    #[must_use]
    pub fn state(mut self, store: impl OpenStore + 'static) -> Self {
        self.stores.set(Arc::new(store));
        self
    }

    /// Keeps the state of one step, and the rows of its tables, in a store of its own.
    #[must_use]
    pub fn state_of(mut self, step: &str, store: impl OpenStore + 'static) -> Self {
        self.stores.set_of(step, Arc::new(store));
        self
    }
}

/// Why an app does not run, or not any more.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error("{0}")]
    App(#[from] AppError),
    #[error("{0}")]
    Client(#[from] ClientError),
    #[error("{0}")]
    Engine(#[from] EngineError),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    Question(#[from] QuestionError),
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
    #[error("{path} is in use by another process")]
    Locked { path: String },
    #[error(
        "{path} holds no state, but the app has run before: its outbox begins at offset {start}. Without its state it \
         would write everything again; give the app another name, or delete its outbox, if that is wanted"
    )]
    StateLost { path: String, start: Offset },
    #[error(
        "{path} holds state of an older copy: it stands at offset {saved} of the app's outbox, which begins at {start}"
    )]
    StateOld {
        path: String,
        saved: Offset,
        start: Offset,
    },
    #[error(
        "{path} holds state that stands at offset {saved} of the app's outbox, which ends at {end}: what was decided there is \
         lost, and would be decided anew; give the app another name, or delete its state with its outbox"
    )]
    OutboxLost {
        path: String,
        saved: Offset,
        end: Offset,
    },
    #[error("no step of the app is called {0}: it has no state to be kept in a store of its own")]
    NoSuchStep(String),
    #[error("{part} has stopped: {why}")]
    Stopped { part: String, why: String },
}

/// An app at work, on its shard.
pub struct Deployed {
    engine: Rc<Engine>,
    log: Rc<ClusterLog>,
    _lock: runtime::fs::DirLock,
}

impl Deployed {
    /// Starts an app on this shard: where its last checkpoint stands, or from the beginning of its topics.
    pub async fn start(
        name: &str,
        relations: Relations,
        cluster: Cluster,
    ) -> Result<Self, RunError> {
        let dir = cluster.state_dir;
        let path = || dir.display().to_string();
        let io = |error| RunError::Io {
            path: path(),
            error,
        };
        runtime::fs::create_dir_all_durable(&dir)
            .await
            .map_err(io)?;
        let lock = match runtime::fs::lock_dir(&dir).await {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(RunError::Locked { path: path() });
            }
            Err(error) => return Err(io(error)),
        };
        let client = Client::connect(cluster.client).await?;
        let log = Rc::new(ClusterLog::new(&client, name, cluster.planted));
        for topic in &relations.reads() {
            log.learn(topic, None).await?;
        }
        for topic in &relations.writes() {
            log.learn(topic, Some(-1)).await?;
        }
        let saved = streams::engine::saved_outbox(&dir).await;
        let saved = saved.map_err(EngineError::from)?;
        let outbox = log.outbox_extent().await?;
        let (start, end) = (outbox.log_start_offset, outbox.high_watermark);
        match saved {
            None if start > Offset::ZERO => {
                return Err(RunError::StateLost {
                    path: path(),
                    start,
                });
            }
            Some(saved) if start > saved => {
                return Err(RunError::StateOld {
                    path: path(),
                    saved,
                    start,
                });
            }
            // Made anew, or cut off by a leader that did not have all of it.
            Some(saved) if saved > end => {
                return Err(RunError::OutboxLost {
                    path: path(),
                    saved,
                    end,
                });
            }
            _ => {}
        }
        let stores = cluster.stores.open(name, &relations).await?;
        // A copy with the state that is wanted may run: only one that could go on for it takes over.
        log.open_outbox().await?;
        let none = streams::engine::PlantedBugs::default();
        // Its process is an app's own: whoever runs it knows what memory it may have.
        let limit = usize::MAX;
        let relations = relations.relations;
        let engine =
            Engine::start_with_stores(log.clone(), &dir, relations, none, limit, stores).await?;
        engine.started().await?;
        let deployed = Self {
            engine,
            log,
            _lock: lock,
        };
        deployed.check()?;
        Ok(deployed)
    }

    /// Whether every part still runs.
    pub fn check(&self) -> Result<(), RunError> {
        for relation in self.engine.relations() {
            if let Some(why) = relation.failure() {
                return Err(RunError::Stopped {
                    part: relation.name.clone(),
                    why,
                });
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn engine(&self) -> &Rc<Engine> {
        &self.engine
    }

    /// The rows of a state's table, as of one epoch.
    pub async fn table(&self, name: &str) -> Result<Vec<RecordBatch>, RunError> {
        let names = vec![name.to_owned()];
        let mut snapshot = self.engine.snapshot(names, ReadAt::default()).await?;
        Ok(match snapshot.rows.remove(name) {
            Some(RowsOf::View(rows)) => rows.batches(),
            _ => Vec::new(),
        })
    }

    /// Returns when all that stood in the topics before is in the state and in the topics that are written.
    pub async fn flush(&self) -> Result<(), RunError> {
        Ok(self.engine.flush().await?)
    }

    /// Saves the state and ends.
    pub async fn stop(&self) {
        self.log.stop();
        self.engine.stop().await;
    }
}

/// An app at work on a thread of its own; ends when dropped.
pub struct Running {
    running: Option<runtime::Running>,
}

impl App {
    /// Runs until a part fails. A signal ends the process at once, which loses nothing: what was decided is written by the
    /// next start. To end it otherwise, `start` it and drop what that gives.
    pub fn run(self, cluster: Cluster) -> Result<(), RunError> {
        let running = self.start(cluster)?;
        loop {
            running.ask(|deployed| async move {
                runtime::sleep(LOOK).await;
                deployed.check()
            })?;
        }
    }

    /// Starts it on a thread of its own.
    pub fn start(self, cluster: Cluster) -> Result<Running, RunError> {
        let name = self.name().to_owned();
        let relations = self.into_relations()?;
        let config = runtime::Config {
            shards: 1,
            // Not pinned: a process has other things to do beside.
            cpus: Some(Vec::new()),
            ..runtime::Config::default()
        };
        let running = runtime::start(config, || async {
            let stop = Rc::new(Shutdown::new());
            runtime::set_local(stop.clone());
            stop.triggered().await;
        });
        let running = running.map_err(|error| RunError::Io {
            path: cluster.state_dir.display().to_string(),
            error,
        })?;
        let running = Running {
            running: Some(running),
        };
        running.call(move || async move {
            let deployed = Deployed::start(&name, relations, cluster).await?;
            runtime::set_local(Rc::new(deployed));
            Ok::<(), RunError>(())
        })?;
        Ok(running)
    }
}

impl Running {
    fn handle(&self) -> runtime::ShardsHandle {
        let running = self.running.as_ref();
        running.expect("only dropping takes it").handle()
    }

    fn call<F, Fut, R>(&self, call: F) -> R
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        self.handle()
            .call_blocking(SHARD, Class::Admin, "app", call)
    }

    fn ask<F, Fut, R>(&self, ask: F) -> Result<R, RunError>
    where
        F: FnOnce(Rc<Deployed>) -> Fut + Send + 'static,
        Fut: Future<Output = Result<R, RunError>> + 'static,
        R: Send + 'static,
    {
        self.call(|| async move {
            let deployed = runtime::local::<Deployed>();
            ask(deployed.ok_or(QuestionError::Stopping)?).await
        })
    }

    /// The rows of a state's table, as of one epoch.
    pub fn table(&self, name: &str) -> Result<Vec<RecordBatch>, RunError> {
        let name = name.to_owned();
        self.ask(|deployed| async move { deployed.table(&name).await })
    }

    /// Returns when all that stood in the topics before is in the state and in the topics that are written.
    pub fn flush(&self) -> Result<(), RunError> {
        self.ask(|deployed| async move { deployed.flush().await })
    }

    /// Whether every part still runs.
    pub fn check(&self) -> Result<(), RunError> {
        self.ask(|deployed| async move { deployed.check() })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.call(|| async {
            if let Some(deployed) = runtime::local::<Deployed>() {
                deployed.stop().await;
                runtime::clear_local::<Deployed>();
            }
            if let Some(stop) = runtime::local::<Shutdown>() {
                stop.trigger();
            }
        });
        if let Some(running) = self.running.take()
            && let Err(error) = running.join()
        {
            tracing::warn!(%error, "the app's shard did not end well");
        }
    }
}
