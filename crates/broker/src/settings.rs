//! Settings of a node, as its configuration gives them.

use std::{path::PathBuf, time::Duration};

use base::BrokerId;
use cluster::TopicDefaults;
use storage::PlantedBugs;

/// What an operator decides. `Settings::new` has the defaults; every shard gets the same.
#[derive(Clone, Debug)]
pub struct Settings {
    pub data_dir: PathBuf,
    pub broker: BrokerId,
    /// Host and port that clients are told to connect to; `None`: the listener's own address.
    pub advertised: Option<(String, u16)>,
    /// Kafka's `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// Partitions of a topic that is created without a count, Kafka's `num.partitions`.
    pub partitions_default: i32,
    /// The broker's own defaults of topic configs.
    pub topic_defaults: TopicDefaults,
    /// Kafka's `offsets.topic.num.partitions`. Its 50 spread coordination over a cluster's brokers; here it is to spread over
    /// shards, and each partition costs a log of its own.
    pub offsets_partitions: i32,
    /// Kafka's `log.retention.check.interval.ms`.
    pub retention_interval: Duration,
    /// How long an idempotent producer's state is kept after its last batch, Kafka's `producer.id.expiration.ms`.
    pub producer_expiry: Duration,
    /// Connections of the whole node; one more is closed at once.
    pub connections_max: usize,
    /// Kafka's `connections.max.idle.ms`.
    pub connection_idle: Duration,
    /// Memory per shard for requests from before they are read until they are answered; as much again for what handlers
    /// make of them, and half as much for answers.
    pub network_bytes: u64,
    /// Memory per shard for record bytes on their way to clients.
    pub fetch_bytes: u64,
    /// Fetch sessions kept per shard (KIP-227).
    pub fetch_sessions_max: usize,
    /// How long `stop` waits for requests in flight.
    pub stop_grace: Duration,
    /// For tests: the bug that producers' windows are empty after a restart.
    pub forget_producers_planted: bool,
    pub store: StoreSettings,
    pub coordinator: crate::coordinator::CoordinatorSettings,
}

/// Settings of each home's store.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub journal_file_bytes: u64,
    pub journal_files_max: usize,
    pub direct_bytes_min: usize,
    pub cache_bytes: u64,
    pub free_bytes_min: u64,
    pub free_bytes_warn: u64,
    /// For tests: rolls segments at this size, which may be far below the least that `segment.bytes` takes.
    pub segment_bytes_forced: Option<u64>,
    /// For tests: bugs that the harness must find.
    pub planted: PlantedBugs,
}

impl Settings {
    /// The defaults over a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            broker: BrokerId(1),
            advertised: None,
            auto_create_topics: true,
            partitions_default: 1,
            topic_defaults: TopicDefaults::default(),
            offsets_partitions: 16,
            retention_interval: Duration::from_secs(300),
            producer_expiry: Duration::from_secs(86_400),
            connections_max: 10_000,
            connection_idle: Duration::from_secs(600),
            // One request of the largest size, and as much again for everyone else.
            network_bytes: 256 << 20,
            // A consumer's default `fetch.max.bytes` is 50 MiB: a few of them at once.
            fetch_bytes: 256 << 20,
            fetch_sessions_max: 1000,
            stop_grace: Duration::from_secs(5),
            forget_producers_planted: false,
            store: StoreSettings::default(),
            coordinator: crate::coordinator::CoordinatorSettings::default(),
        }
    }
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            journal_file_bytes: 64 << 20,
            journal_files_max: 8,
            direct_bytes_min: 64 << 10,
            cache_bytes: 128 << 20,
            free_bytes_min: 256 << 20,
            free_bytes_warn: 1 << 30,
            segment_bytes_forced: None,
            planted: PlantedBugs::default(),
        }
    }
}
