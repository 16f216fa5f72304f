//! One shard's broker: its partitions, its copy of the metadata, and the way to the other shards.
//!
//! # Place
//! One per shard, in the shard's slot (`runtime::local`) from open to stop.
//!
//! # Invariants
//! 1. `metadata` is the sum of a prefix of the metadata log; all shards apply the same commands in the same order, and a
//!    request that changed something is answered after all have.
//! 2. A partition is in `partitions` on exactly one shard: home h lives on shard h mod shards.
//! 3. No borrow of a `RefCell` here lives across an await.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::Future,
    rc::Rc,
};

use base::{PartitionIndex, PartitionKey, ShardId, TopicId};
use cluster::{HomeId, Image, Topic, TopicSettings};
use runtime::{
    Class,
    budget::Budget,
    sync::{Notify, Shutdown},
};
use storage::{DiskState, LogConfig, Store, StoreStats};

use crate::{
    coordinator::{Coordinator, OFFSETS_TOPIC},
    fetch_session::FetchSessions,
    fetch_wait::RemoteWaits,
    leaders::LeaderTable,
    metadata_log::MetadataLog,
    metrics::{Metrics, MetricsSnapshot},
    partition::Partition,
    settings::Settings,
    topics::SCHEMAS_TOPIC,
};

/// See the module head.
pub struct Broker {
    pub settings: Rc<Settings>,
    pub shard: ShardId,
    pub metrics: Metrics,
    pub coordinator: Coordinator,
    /// Requests from before they are read until they are answered.
    pub network: Budget,
    /// First bytes of large requests, before the whole is granted.
    pub opening: Budget,
    /// What connections that send much read into, beyond what every connection has.
    pub reading: Budget,
    /// Record bytes on their way to clients.
    pub fetch: Budget,
    /// Checks of batches that take more than a moment.
    pub checks: Budget,
    /// Searches for a time.
    pub lookups: Budget,
    /// What handlers make of requests, by an estimate from their size.
    pub building: Budget,
    /// Answers, records aside, until they are on the wire.
    pub responses: Budget,
    /// Triggered when the node stops: long waits end.
    pub shutdown: Shutdown,
    pub(crate) fetch_sessions: RefCell<FetchSessions>,
    pub(crate) remote_waits: RemoteWaits,
    /// Producer ids granted to this shard and not yet given out.
    pub(crate) producer_ids: RefCell<std::ops::Range<i64>>,
    pub(crate) metadata: RefCell<Image>,
    pub(crate) stores: RefCell<BTreeMap<HomeId, Rc<Store>>>,
    pub(crate) partitions: RefCell<BTreeMap<PartitionKey, Rc<Partition>>>,
    /// Partitions that a task is opening.
    pub(crate) being_opened: RefCell<BTreeSet<PartitionKey>>,
    /// One was opened, or could not be.
    pub(crate) opened: Notify,
    pub leaders: LeaderTable,
    /// Only on the shard that owns the metadata log.
    pub(crate) metadata_log: RefCell<Option<Rc<MetadataLog>>>,
    /// Host and port for clients.
    pub(crate) advertised: RefCell<(String, u16)>,
    /// Connections being served here.
    pub(crate) connections: Cell<usize>,
    pub(crate) connection_closed: Notify,
    /// Bytes of responses, records aside, that wait to be written.
    pub(crate) unsent_bytes: Cell<u64>,
    pub(crate) stopped: Shutdown,
}

/// The shard that owns the metadata log.
pub const METADATA_SHARD: ShardId = ShardId(0);

impl Broker {
    /// This shard's broker.
    ///
    /// Panics where none is open: messages between shards are sent only between open and stop.
    #[must_use]
    pub fn local() -> Rc<Self> {
        runtime::local().expect("a broker is open on every shard before one is asked for")
    }

    /// Runs `task` with the broker of another shard, or of this one without a detour.
    pub async fn on_shard<F, Fut, R>(
        &self,
        to: ShardId,
        class: Class,
        kind: &'static str,
        task: F,
    ) -> R
    where
        F: FnOnce(Rc<Broker>) -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        runtime::invoke_on(to, class, kind, move || task(Self::local())).await
    }

    /// [`Self::on_shard`] for a task that may wait for long, for a client or for its peers: those under way are bounded by
    /// the requests that connections may have open.
    pub async fn parked_on_shard<F, Fut, R>(
        &self,
        to: ShardId,
        class: Class,
        kind: &'static str,
        task: F,
    ) -> R
    where
        F: FnOnce(Rc<Broker>) -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        runtime::invoke_parked(to, class, kind, move || task(Self::local())).await
    }

    /// All shards, in order.
    pub fn shards() -> impl Iterator<Item = ShardId> {
        (0..runtime::shard_count()).map(ShardId)
    }

    #[must_use]
    pub fn shard_of_home(home: HomeId) -> ShardId {
        ShardId(home.0 % runtime::shard_count())
    }

    /// The shard that owns a partition, if the partition exists.
    #[must_use]
    pub fn owner(&self, key: PartitionKey) -> Option<ShardId> {
        let spec = self.metadata.borrow().partition(key)?;
        Some(Self::shard_of_home(spec.home))
    }

    /// The owner and key of a partition by its topic's name.
    #[must_use]
    pub fn owner_by_name(
        &self,
        topic: &str,
        index: PartitionIndex,
    ) -> Option<(ShardId, PartitionKey)> {
        let metadata = self.metadata.borrow();
        let topic = metadata.topic_named(topic)?;
        let spec = topic.partition(index)?;
        let key = PartitionKey {
            topic: topic.id,
            partition: index,
        };
        Some((Self::shard_of_home(spec.home), key))
    }

    /// A partition this shard owns.
    #[must_use]
    pub fn partition(&self, key: PartitionKey) -> Option<Rc<Partition>> {
        self.partitions.borrow().get(&key).cloned()
    }

    /// All partitions this shard owns, in order of their keys.
    #[must_use]
    pub fn partitions(&self) -> Vec<Rc<Partition>> {
        self.partitions.borrow().values().cloned().collect()
    }

    /// Reads the metadata; `read` must not await or change it.
    pub fn with_metadata<R>(&self, read: impl FnOnce(&Image) -> R) -> R {
        read(&self.metadata.borrow())
    }

    /// Id and partition count of a topic.
    #[must_use]
    pub fn topic_shape(&self, name: &str) -> Option<(TopicId, i32)> {
        let metadata = self.metadata.borrow();
        let topic = metadata.topic_named(name)?;
        Some((topic.id, topic.partition_count()))
    }

    /// Host and port clients are told.
    #[must_use]
    pub fn advertised(&self) -> (String, u16) {
        self.advertised.borrow().clone()
    }

    /// A topic's configs, typed, over the broker's defaults.
    #[must_use]
    pub fn topic_settings(&self, topic: &Topic) -> TopicSettings {
        TopicSettings::resolve(&topic.configs, &self.settings.topic_defaults)
    }

    /// What the log needs to know of them.
    #[must_use]
    pub fn log_config(&self, topic: &Topic, settings: &TopicSettings) -> LogConfig {
        LogConfig {
            segment_bytes: self
                .settings
                .store
                .segment_bytes_forced
                .unwrap_or(settings.segment_bytes),
            segment_ms: settings.segment_ms,
            retention_bytes: settings.retention_bytes,
            retention_ms: settings.retention_ms,
            index_interval_bytes: settings.index_interval_bytes,
            // Kafka compacts these. Here the groups' is trimmed behind each snapshot of them, and the schemas' kept whole. Age or
            // size must never remove anything, whatever configs somebody gave them.
            delete_old: ![OFFSETS_TOPIC, SCHEMAS_TOPIC].contains(&topic.name.as_str()),
        }
    }

    /// Counters of this shard, with its gauges as of now.
    #[must_use]
    pub fn metrics_snapshot(&self) -> MetricsSnapshot {
        let mut snapshot = self.metrics.snapshot();
        snapshot.connections = self.connections.get() as u64;
        let partitions = self.partitions.borrow();
        snapshot.partitions = partitions.len() as u64;
        let quarantined = partitions.values().filter(|p| p.quarantined().is_some());
        snapshot.partitions_quarantined = quarantined.count() as u64;
        snapshot.network_bytes_used = self.network.total_bytes() - self.network.available_bytes();
        snapshot.response_bytes_unsent = self.unsent_bytes.get();
        snapshot.fetch_bytes_used = self.fetch.total_bytes() - self.fetch.available_bytes();
        snapshot
    }

    /// What the stores of this shard's homes count, and the state of their disks.
    #[must_use]
    pub fn store_reports(&self) -> Vec<(HomeId, StoreStats, DiskState)> {
        let stores = self.stores.borrow();
        let report =
            |(home, store): (&HomeId, &Rc<Store>)| (*home, store.stats(), store.disk_state());
        stores.iter().map(report).collect()
    }

    /// Resolves when the node has stopped.
    pub async fn stopped(&self) {
        self.stopped.triggered().await;
    }
}
