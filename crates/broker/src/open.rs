//! Opening a node: data directory, homes, metadata, partitions, on every shard.
//!
//! # Place
//! Every shard's main calls `Broker::open`. The shard of the metadata log leads and opens the others by message; each call
//! returns when the whole node is open.
//!
//! # Layout
//! `meta.json`: `{"format": 2, "cluster_id": "..."}`, written once, atomically. `home-N/`: one store each. `LOCK`: held
//! while the node runs.
//!
//! # Crash
//! `meta.json` comes first, then home 0 with the metadata log, whose first commands name the cluster and the homes. Each
//! step finds what an interrupted start left and goes on from there. Partitions that the metadata knows and no home has
//! are created; those that no metadata knows are removed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::Path,
    rc::Rc,
    time::Duration,
};

use base::{PartitionKey, ShardId};
use cluster::{Change, Command, HomeId, Image};
use runtime::{
    Class, Instant,
    budget::Budget,
    fs::{self, DirLock},
    sync::{Notify, Shutdown, first},
};
use storage::{AppendError, ReadError, RecoveryReport, Store, StoreConfig};

use crate::{
    broker::{Broker, METADATA_SHARD},
    coordinator::{Coordinator, OFFSETS_TOPIC},
    fetch_session::FetchSessions,
    fetch_wait::RemoteWaits,
    leaders::{LeaderTable, Led},
    metadata_log::{self, METADATA_KEY, MetadataLog, ReplayError},
    metrics::Metrics,
    partition::Partition,
    raft_log::{Founding, RaftAppendError, RaftLog},
    settings::Settings,
};

const META_FILE: &str = "meta.json";
const FORMAT: u64 = 2;

/// Logs created at the same time: enough to share journal writes, few enough to leave room for others.
const CREATE_CONCURRENCY: usize = 32;

/// How long opening waits for the groups' votes to last: one journal write, where the disk has room for one.
const LEAD_WAIT: Duration = Duration::from_secs(5);

/// Why a node does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{what}: {error}")]
    Io { what: String, error: String },
    #[error("another process uses the data directory {0}")]
    Locked(String),
    #[error("{META_FILE} is damaged, {0}")]
    Meta(String),
    #[error("{META_FILE} says format {found}, this program knows {FORMAT}")]
    Format { found: u64 },
    #[error("{META_FILE} names cluster {meta}, the metadata log names {log}")]
    Cluster { meta: String, log: String },
    #[error("home {home}: {error}")]
    Store {
        home: HomeId,
        error: storage::OpenError,
    },
    #[error("{0}")]
    Metadata(#[from] ReplayError),
    #[error("the metadata log cannot be written: {0}")]
    MetadataAppend(RaftAppendError),
    #[error("the metadata log's raft group has no leader")]
    MetadataLeader,
    #[error("home {home} holds a partition that cannot be removed: {error}")]
    Orphan { home: HomeId, error: AppendError },
}

/// What start-up found.
#[derive(Clone, Debug, Default)]
pub struct OpenReport {
    pub cluster_id: String,
    pub homes: u16,
    pub topics: usize,
    pub recovery: RecoveryReport,
}

/// Where a shard's main waits until the leading shard has opened it.
#[derive(Default)]
struct Opening {
    outcome: RefCell<Option<Result<Rc<Broker>, OpenError>>>,
    changed: Notify,
}

/// The gate of this shard, made by whoever comes first.
fn opening() -> Rc<Opening> {
    runtime::local().unwrap_or_else(|| {
        let opening = Rc::new(Opening::default());
        runtime::set_local(opening.clone());
        opening
    })
}

/// The data directory's lock, held in the leading shard's slot until the node stops.
pub(crate) struct HeldLock {
    _lock: DirLock,
}

impl Broker {
    /// Opens the node's part on this shard; see the module head.
    pub async fn open(settings: Settings) -> Result<(Rc<Broker>, OpenReport), OpenError> {
        if runtime::shard() == METADATA_SHARD {
            let outcome = lead(settings).await;
            if let Err(error) = &outcome {
                tell_failure(error).await;
            }
            return outcome;
        }
        let opening = opening();
        loop {
            let changed = opening.changed.notified();
            if let Some(outcome) = opening.outcome.take() {
                return outcome.map(|broker| (broker, OpenReport::default()));
            }
            changed.await;
        }
    }
}

async fn tell_failure(error: &OpenError) {
    for shard in Broker::shards().filter(|shard| *shard != METADATA_SHARD) {
        let error = error.clone();
        runtime::invoke_on(shard, Class::Admin, "open", move || async move {
            runtime::clear_local::<Broker>();
            finish_opening(Err(error));
        })
        .await;
    }
}

fn finish_opening(outcome: Result<Rc<Broker>, OpenError>) {
    let opening = opening();
    opening.outcome.replace(Some(outcome));
    opening.changed.notify_all();
}

async fn lead(settings: Settings) -> Result<(Rc<Broker>, OpenReport), OpenError> {
    let dir = settings.data_dir.clone();
    let at = |what: &str| io_error(format!("{what} {}", dir.display()));
    let created = fs::create_dir_all_durable(&dir).await;
    created.map_err(at("creating"))?;
    let lock = match fs::lock_dir(&dir).await {
        Ok(lock) => lock,
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
            return Err(OpenError::Locked(dir.display().to_string()));
        }
        Err(error) => return Err(at("locking")(error)),
    };
    runtime::set_local(Rc::new(HeldLock { _lock: lock }));
    let cluster_id = read_or_write_meta(&dir).await?;
    let (store, recovery) = open_store(&settings, HomeId(0)).await?;
    let log = store.create(METADATA_KEY, metadata_log::log_config()).await;
    let log = log.map_err(|error| OpenError::MetadataAppend(error.into()))?;
    let raft = RaftLog::open(log, &Founding::alone(), raft::Settings::default());
    let mut image = match raft.wait_to_lead().await && raft.wait_all_committed().await {
        true => metadata_log::replay(raft.log()).await?,
        // A log that was refused says why.
        false => match raft.log().quarantined() {
            Some(corrupt) => return Err(ReplayError::from(ReadError::Quarantined(corrupt)).into()),
            None => return Err(OpenError::MetadataLeader),
        },
    };
    found(&settings, &raft, &mut image, &cluster_id).await?;

    let mut report = OpenReport {
        cluster_id,
        homes: image.home_count(),
        topics: image.topics().count(),
        recovery,
    };
    let snapshot = image.encode_snapshot();
    let opened = open_shard(settings.clone(), &snapshot, Some(store)).await?;
    merge_recovery(&mut report.recovery, opened.1);
    for shard in Broker::shards().filter(|shard| *shard != METADATA_SHARD) {
        let (settings, snapshot) = (settings.clone(), snapshot.clone());
        let recovery = runtime::invoke_on(shard, Class::Admin, "open", move || async move {
            let opened = open_shard(settings, &snapshot, None).await;
            opened.map(|(_, recovery)| recovery)
        });
        merge_recovery(&mut report.recovery, recovery.await?);
    }
    let broker = opened.0;
    let writer = MetadataLog::start(&broker, raft);
    broker.metadata_log.replace(Some(writer));
    Broker::tell_all_leaders().await;
    for shard in Broker::shards().filter(|shard| *shard != METADATA_SHARD) {
        let finish = || async { finish_opening(Ok(Broker::local())) };
        runtime::invoke_on(shard, Class::Admin, "open", finish).await;
    }
    Ok((broker, report))
}

fn io_error(what: String) -> impl FnOnce(std::io::Error) -> OpenError {
    move |error| OpenError::Io {
        what,
        error: error.to_string(),
    }
}

/// The first commands of a new cluster, and new homes where there are more shards than before.
async fn found(
    settings: &Settings,
    raft: &RaftLog,
    image: &mut Image,
    cluster_id: &str,
) -> Result<(), OpenError> {
    let mut commands = Vec::new();
    if image.cluster_id().is_empty() {
        let cluster_id = cluster_id.to_owned();
        commands.push(Command::Found {
            cluster_id,
            broker: settings.broker,
        });
    } else if image.cluster_id() != cluster_id {
        return Err(OpenError::Cluster {
            meta: cluster_id.to_owned(),
            log: image.cluster_id().to_owned(),
        });
    }
    if image.home_count() < runtime::shard_count() {
        commands.push(Command::SetHomes {
            count: runtime::shard_count(),
        });
    }
    let appended = metadata_log::append(raft, &commands).await;
    appended.map_err(OpenError::MetadataAppend)?;
    for command in &commands {
        image.apply(command).map_err(ReplayError::Apply)?;
    }
    Ok(())
}

async fn read_or_write_meta(dir: &Path) -> Result<String, OpenError> {
    let path = dir.join(META_FILE);
    let what = |verb: &str| io_error(format!("{verb} {}", path.display()));
    if fs::exists(&path).await.map_err(what("looking for"))? {
        let bytes = fs::read(&path).await.map_err(what("reading"))?;
        return parse_meta(&bytes);
    }
    let home = dir.join(home_name(HomeId(0)));
    if fs::exists(&home).await.map_err(what("looking beside"))? {
        return Err(OpenError::Meta(
            "from byte 0: it is missing beside a home".to_owned(),
        ));
    }
    let mut id = [0; 16];
    runtime::random_bytes(&mut id);
    let cluster_id = base64_url(&id);
    let meta = serde_json::json!({ "format": FORMAT, "cluster_id": cluster_id });
    let bytes = format!("{meta}\n").into_bytes();
    fs::replace(&path, &bytes).await.map_err(what("writing"))?;
    Ok(cluster_id)
}

fn parse_meta(bytes: &[u8]) -> Result<String, OpenError> {
    let damaged = |what: String| OpenError::Meta(format!("bytes 0 to {}: {what}", bytes.len()));
    let value: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let missing = |field: &str| damaged(format!("\"{field}\" is missing"));
    let format = value["format"].as_u64().ok_or_else(|| missing("format"))?;
    if format != FORMAT {
        return Err(OpenError::Format { found: format });
    }
    let cluster_id = value["cluster_id"].as_str().filter(|id| !id.is_empty());
    Ok(cluster_id.ok_or_else(|| missing("cluster_id"))?.to_owned())
}

/// URL-safe base64 without padding, as Kafka writes ids: 22 characters for 16 bytes.
pub(crate) fn base64_url(bytes: &[u8; 16]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = u128::from_be_bytes(*bytes);
    (0..22)
        .map(|at| {
            // 22 digits of six bits hold 132 bits; the last digit has four zeroes at its end.
            let digit = if at < 21 {
                bits >> (122 - 6 * at)
            } else {
                bits << 4
            };
            char::from(ALPHABET[(digit & 63) as usize])
        })
        .collect()
}

fn home_name(home: HomeId) -> String {
    format!("home-{home}")
}

async fn open_store(
    settings: &Settings,
    home: HomeId,
) -> Result<(Rc<Store>, RecoveryReport), OpenError> {
    let store = &settings.store;
    let config = StoreConfig {
        dir: settings.data_dir.join(home_name(home)),
        journal_file_bytes: store.journal_file_bytes,
        journal_files_max: store.journal_files_max,
        direct_bytes_min: store.direct_bytes_min,
        cache_bytes: store.cache_bytes,
        free_bytes_min: store.free_bytes_min,
        free_bytes_warn: store.free_bytes_warn,
        planted: store.planted.clone(),
    };
    let opened = Store::open(config).await;
    opened.map_err(|error| OpenError::Store { home, error })
}

fn merge_recovery(into: &mut RecoveryReport, other: RecoveryReport) {
    into.partitions += other.partitions;
    into.journal_entries += other.journal_entries;
    into.torn_tail_bytes += other.torn_tail_bytes;
    into.quarantined.extend(other.quarantined);
}

async fn open_shard(
    settings: Settings,
    snapshot: &[u8],
    home_0: Option<Rc<Store>>,
) -> Result<(Rc<Broker>, RecoveryReport), OpenError> {
    let image = Image::decode_snapshot(snapshot).map_err(ReplayError::Decode)?;
    let mut stores = BTreeMap::new();
    let mut recovery = RecoveryReport::default();
    stores.extend(home_0.map(|store| (HomeId(0), store)));
    for home in (0..image.home_count()).map(HomeId) {
        let is_here = Broker::shard_of_home(home) == runtime::shard();
        if is_here && !stores.contains_key(&home) {
            let (store, found) = open_store(&settings, home).await?;
            merge_recovery(&mut recovery, found);
            stores.insert(home, store);
        }
    }
    let broker = Rc::new(Broker {
        shard: runtime::shard(),
        metrics: Metrics::default(),
        coordinator: Coordinator::new(&settings.coordinator),
        network: Budget::new("network", settings.network_bytes),
        // A sixteenth: frames of the largest size open side by side, and most of the memory is for those that come.
        opening: Budget::new("opening", settings.network_bytes / 16),
        reading: Budget::new("reading", settings.network_bytes / 16),
        fetch: Budget::new("fetch", settings.fetch_bytes),
        checks: Budget::new("checks", crate::partition::CHECKS_MAX),
        lookups: Budget::new("lookups", crate::api::list_offsets::SEARCHES_MAX),
        building: Budget::new("building", settings.network_bytes),
        responses: Budget::new("responses", settings.network_bytes / 2),
        shutdown: Shutdown::new(),
        fetch_sessions: RefCell::new(FetchSessions::new(
            runtime::shard(),
            settings.fetch_sessions_max,
        )),
        remote_waits: RemoteWaits::default(),
        producer_ids: RefCell::new(0..0),
        metadata: RefCell::new(image),
        stores: RefCell::new(stores),
        partitions: RefCell::default(),
        being_opened: RefCell::default(),
        opened: Notify::new(),
        leaders: LeaderTable::default(),
        metadata_log: RefCell::new(None),
        advertised: RefCell::new(settings.advertised.clone().unwrap_or_default()),
        connections: Cell::new(0),
        connection_closed: Notify::new(),
        unsent_bytes: Cell::new(0),
        stopped: Shutdown::new(),
        settings: Rc::new(settings),
    });
    runtime::set_local(broker.clone());
    broker.remove_orphans().await?;
    broker.open_missing_partitions().await;
    broker.start_background();
    Ok((broker, recovery))
}

impl Broker {
    async fn remove_orphans(&self) -> Result<(), OpenError> {
        let stores = self.stores.borrow().clone();
        for (home, store) in stores {
            for key in store.keys() {
                let is_known = key == METADATA_KEY || self.home_of(key) == Some(home);
                if !is_known {
                    tracing::info!(partition = %key, %home, "removing a partition that no topic has");
                    let deleted = store.delete(key).await;
                    deleted.map_err(|error| OpenError::Orphan { home, error })?;
                }
            }
        }
        Ok(())
    }

    fn home_of(&self, key: PartitionKey) -> Option<HomeId> {
        Some(self.metadata.borrow().partition(key)?.home)
    }

    /// Opens, or creates, each partition that the metadata puts on this shard and that is not open yet.
    pub(crate) async fn open_missing_partitions(self: &Rc<Self>) -> Vec<Led> {
        let mut missing = Vec::new();
        self.with_metadata(|image| {
            for topic in image.topics() {
                let mine = topic
                    .keys(0)
                    .filter(|(_, spec)| Self::shard_of_home(spec.home) == self.shard);
                missing.extend(mine.map(|(key, _)| key));
            }
        });
        missing.retain(|key| self.partition(*key).is_none());
        self.open_partitions(missing).await
    }

    /// Several at a time: their creations share journal writes, and then so do their groups' votes. Those that are led,
    /// or refused; the others go on in the background until they are.
    async fn open_partitions(self: &Rc<Self>, keys: Vec<PartitionKey>) -> Vec<Led> {
        let queue = Rc::new(RefCell::new(keys.clone().into_iter()));
        let workers = CREATE_CONCURRENCY.min(keys.len());
        let tasks: Vec<_> = (0..workers)
            .map(|_| {
                let (broker, queue) = (self.clone(), queue.clone());
                runtime::spawn(Class::Admin, "open partition", async move {
                    loop {
                        let next = queue.borrow_mut().next();
                        let Some(key) = next else { break };
                        broker.open_partition(key).await;
                        if runtime::should_yield() {
                            runtime::yield_now().await;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            // Aborted only when the shard goes down.
            let _ = task.await;
        }
        let deadline = runtime::now().plus(LEAD_WAIT);
        let mut led = Vec::new();
        for key in keys {
            led.extend(self.wait_led(key, deadline).await);
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        led
    }

    /// The term that the partition is led in, also where another task opens it.
    async fn wait_led(self: &Rc<Self>, key: PartitionKey, deadline: Instant) -> Option<Led> {
        let partition = loop {
            let opened = self.opened.notified();
            if let Some(partition) = self.partition(key) {
                break partition;
            }
            if !self.being_opened.borrow().contains(&key) {
                return None;
            }
            opened.await;
        };
        let raft = partition.raft().clone();
        if raft.is_leader() || raft.is_closed() {
            return Some((key, raft.term()));
        }
        let waits = raft.wait_to_lead();
        if first(waits, runtime::sleep_until(deadline)).await.is_some() {
            return Some((key, raft.term()));
        }
        // A disk without room, perhaps: what it holds is not served, but what frees space must not wait for it.
        tracing::warn!(partition = %key, "the partition's group has no leader yet");
        runtime::spawn(Class::Background, "wait to lead", async move {
            raft.wait_to_lead().await;
            Self::tell_leaders(vec![(key, raft.term())]).await;
        });
        None
    }

    /// Opens the log, or creates it, and starts its raft group.
    async fn open_partition(self: &Rc<Self>, key: PartitionKey) {
        let spec = self.with_metadata(|image| image.partition(key));
        let store = spec.and_then(|spec| self.stores.borrow().get(&spec.home).cloned());
        let Some(store) = store else { return };
        // One task at a time: a log has one group.
        if self.partition(key).is_some() || !self.being_opened.borrow_mut().insert(key) {
            return;
        }
        let opened = self.open_log(&store, key).await;
        self.being_opened.borrow_mut().remove(&key);
        if let Some(partition) = opened {
            if self.settings.forget_producers_planted {
                partition.forget_producers();
            }
            self.partitions.borrow_mut().insert(key, partition.clone());
            if partition.topic().as_str() == OFFSETS_TOPIC {
                self.coordinator.on_partition_opened(self, &partition);
            }
        }
        self.opened.notify_all();
    }

    async fn open_log(&self, store: &Store, key: PartitionKey) -> Option<Rc<Partition>> {
        let plan = || {
            self.with_metadata(|image| {
                let topic = image.topic(key.topic)?;
                topic.partition(key.partition)?;
                let settings = Rc::new(self.topic_settings(topic));
                let log_config = self.log_config(topic, &settings);
                Some((topic.clone(), settings, log_config))
            })
        };
        let log = match store.get(key) {
            Some(log) => log,
            None => match store.create(key, plan()?.2).await {
                Ok(log) => log,
                // The background task tries again; until then clients are told to.
                Err(error) => {
                    tracing::warn!(partition = %key, %error, "the partition could not be created");
                    return None;
                }
            },
        };
        // While the log was being created a command may have changed or deleted its topic.
        let Some((topic, settings, log_config)) = plan() else {
            if let Err(error) = store.delete(key).await {
                tracing::warn!(partition = %key, %error, "the partition's files could not be removed");
            }
            return None;
        };
        log.set_config(log_config);
        let raft = RaftLog::open(log, &Founding::alone(), raft::Settings::default());
        Some(Partition::new(&topic, raft, settings))
    }

    /// Every shard hears who leads these partitions.
    pub(crate) async fn tell_leaders(leaders: Vec<Led>) {
        if leaders.is_empty() {
            return;
        }
        for shard in Self::shards() {
            let leaders = leaders.clone();
            let note = move || async move {
                let broker = Self::local();
                for led in leaders {
                    // What was deleted meanwhile stays forgotten.
                    if broker.with_metadata(|image| image.partition(led.0).is_some()) {
                        broker.leaders.note(led);
                    }
                    if runtime::should_yield() {
                        runtime::yield_now().await;
                    }
                }
            };
            runtime::invoke_on(shard, Class::Admin, "leaders", note).await;
        }
    }

    /// At the start: what every shard has opened.
    async fn tell_all_leaders() {
        let mut all = Vec::new();
        for shard in Self::shards() {
            let own = || async {
                let partitions = Self::local().partitions();
                let led = partitions.iter().map(|p| (p.key(), p.leader_epoch()));
                led.collect::<Vec<Led>>()
            };
            all.extend(runtime::invoke_on(shard, Class::Admin, "leaders", own).await);
        }
        Self::tell_leaders(all).await;
    }

    /// Applies commands that are committed and does what they ask of this shard. Partitions that are led here now.
    pub(crate) async fn apply(self: &Rc<Self>, commands: Vec<Command>) -> Vec<Led> {
        let mut led = Vec::new();
        for command in commands {
            let change = self.metadata.borrow_mut().apply(&command);
            match change.expect("the metadata's owner applied it to the same image") {
                Change::Nothing
                | Change::ProducerIds { .. }
                | Change::RelationCreated(_)
                | Change::RelationDropped(_)
                | Change::RelationAltered(_) => {}
                Change::TopicCreated(id) => led.extend(self.open_new(id, 0).await),
                Change::PartitionsCreated { id, from } => led.extend(self.open_new(id, from).await),
                Change::TopicDeleted(topic) => self.close_deleted(&topic).await,
                Change::ConfigsSet(id) => self.apply_configs(id),
            }
        }
        led
    }

    async fn open_new(self: &Rc<Self>, id: base::TopicId, from: usize) -> Vec<Led> {
        let keys = self.with_metadata(|image| {
            let topic = image.topic(id)?;
            let mine = topic
                .keys(from)
                .filter(|(_, spec)| Self::shard_of_home(spec.home) == self.shard);
            Some(mine.map(|(key, _)| key).collect::<Vec<_>>())
        });
        self.open_partitions(keys.unwrap_or_default()).await
    }

    async fn close_deleted(self: &Rc<Self>, topic: &cluster::Topic) {
        self.coordinator.on_topic_deleted(&topic.name);
        self.leaders.forget(topic.id);
        for (key, spec) in topic.keys(0) {
            let removed = self.partitions.borrow_mut().remove(&key);
            if let Some(partition) = removed {
                partition.on_deleted();
                if topic.name.as_str() == OFFSETS_TOPIC {
                    self.coordinator.on_partition_closed(&partition);
                }
            }
            let store = self.stores.borrow().get(&spec.home).cloned();
            if let Some(store) = store
                && store.get(key).is_some()
                && let Err(error) = store.delete(key).await
            {
                // The next start removes it as an orphan.
                tracing::warn!(partition = %key, %error, "the partition's files could not be removed");
            }
        }
    }

    fn apply_configs(&self, id: base::TopicId) {
        let metadata = self.metadata.borrow();
        let Some(topic) = metadata.topic(id) else {
            return;
        };
        let settings = Rc::new(self.topic_settings(topic));
        for (key, _) in topic.keys(0) {
            if let Some(partition) = self.partition(key) {
                partition.on_settings(settings.clone(), self.log_config(topic, &settings));
            }
        }
    }
}

/// Which shard leads; for callers that start a node.
#[must_use]
pub fn leading_shard() -> ShardId {
    METADATA_SHARD
}

#[cfg(test)]
mod tests;
