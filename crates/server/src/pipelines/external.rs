//! Topics of this node and of external clusters, behind one face.
//!
//! # Place
//! On the engine's shard. What talks to a cluster are tasks of their own (`feed`, and the engine's deliveries), so no epoch
//! waits for one; only a view that reads from further back than what is fetched, and a restart that goes through epochs
//! again, ask a cluster while they read.
//!
//! # Invariants
//! 1. A topic's id here is the cluster's, mixed with the cluster's brokers: the same topic by two ways is two topics.
//! 2. What is known of a topic is on disk before a relation is made of it (`known`), so a node starts without the cluster.
//!
//! # Limits
//! A feed keeps so much of each partition in memory (`feed`); the engine's deliveries say what may wait for a cluster.

mod feed;
mod known;
mod writer;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use base::{
    Offset, PartitionKey, TopicId,
    hash::{fnv1a, fnv1a_from},
};
use broker::broker::Broker;
use client::{Client, ClientConfig, ClientError, TransactionalProducer};
use flow::cluster::{ClusterLog, PlantedBugs};
use runtime::{
    Instant,
    budget::Budget,
    sync::{Notify, first},
};
use streams::{
    engine::CheckpointError,
    log::{EpochWriter, Extent, ExternalTopic, LocalFuture, LogError, TopicLog, TopicShape},
    source::{Decoded, SourceReader},
};

use super::BrokerTopics;
use feed::{Feed, FeedOf};
use known::Known;
use writer::ExternalWriter;

/// One request, and one call with its retries: whoever makes a relation waits for it.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
const CALL_WITHIN: Duration = Duration::from_secs(15);

/// A coordinator that is at something asks to come again, and is done in milliseconds.
const RETRY: Duration = Duration::from_millis(10);

/// Between two looks for a topic that was just made, and how many there are.
const LEARN_RETRY: Duration = Duration::from_millis(100);
const SHOWS_AFTER: u32 = 50;

/// Between two tries to read what must be read.
const READ_RETRY: Duration = Duration::from_millis(500);

/// A cluster, once it has been reached.
struct Connected {
    client: Client,
    log: ClusterLog,
}

/// A cluster by its brokers.
struct Cluster {
    brokers: String,
    connected: RefCell<Option<Rc<Connected>>>,
    /// Held while connecting.
    turn: Budget,
}

impl Cluster {
    fn new(brokers: &str) -> Self {
        Self {
            brokers: brokers.to_owned(),
            connected: RefCell::default(),
            turn: Budget::new("external cluster connecting", 1),
        }
    }

    /// What reaches it; connects when nobody has yet.
    async fn connect(&self) -> Result<Rc<Connected>, ClientError> {
        let _turn = self.turn.acquire(1).await;
        if let Some(connected) = self.connected.borrow().clone() {
            return Ok(connected);
        }
        let brokers = self.brokers.split(',').map(str::to_owned);
        let mut config = ClientConfig::new(brokers.collect());
        config.request_timeout = REQUEST_WITHIN;
        config.api_timeout = CALL_WITHIN;
        config.retry_backoff = RETRY;
        let client = Client::connect(config).await?;
        let log = ClusterLog::new(&client, "forebay", PlantedBugs::default());
        let connected = Rc::new(Connected { client, log });
        self.connected.replace(Some(connected.clone()));
        Ok(connected)
    }
}

/// A topic of a cluster as the engine sees it.
struct External {
    cluster: Rc<Cluster>,
    topic: String,
    /// Its name here.
    name: String,
    /// With its id here.
    shape: Cell<TopicShape>,
}

impl External {
    fn new(cluster: Rc<Cluster>, external: &ExternalTopic, shape: TopicShape) -> Rc<Self> {
        Rc::new(Self {
            cluster,
            topic: external.topic.clone(),
            name: external.to_string(),
            shape: Cell::new(shape),
        })
    }
}

/// A topic's id for the engine (invariant 1).
fn shape_here(brokers: &str, theirs: TopicShape) -> TopicShape {
    let brokers = brokers.as_bytes();
    let hashes = [fnv1a(brokers), fnv1a_from(0x9e37_79b9_7f4a_7c15, brokers)];
    let mask = hashes.map(u64::to_be_bytes).concat();
    let mut id = theirs.id.0;
    for (byte, mask) in id.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    TopicShape {
        id: TopicId(id),
        partitions: theirs.partitions,
    }
}

/// See the module head.
pub struct NodeTopics {
    own: BrokerTopics,
    /// Of this cluster: what is written elsewhere is written in its name.
    cluster_id: String,
    clusters: RefCell<BTreeMap<String, Rc<Cluster>>>,
    known: Rc<Known>,
    feeds: RefCell<BTreeMap<TopicId, Rc<Feed>>>,
    /// A feed has fetched something.
    arrived: Rc<Notify>,
    stopping: Rc<Cell<bool>>,
}

impl NodeTopics {
    /// On the engine's shard.
    pub async fn open(broker: Rc<Broker>, data_dir: &Path) -> Result<Self, CheckpointError> {
        let cluster_id = broker.with_metadata(|image| image.cluster_id().to_owned());
        let topics = Self {
            own: BrokerTopics::new(broker),
            cluster_id,
            clusters: RefCell::default(),
            known: Rc::new(Known::new(data_dir)),
            feeds: RefCell::default(),
            arrived: Rc::new(Notify::new()),
            stopping: Rc::default(),
        };
        for (name, shape) in topics.known.load().await? {
            if let Some(external) = ExternalTopic::parse(&name) {
                let cluster = topics.cluster(&external.brokers);
                topics.known.put(External::new(cluster, &external, shape));
            }
        }
        Ok(topics)
    }

    /// What waits for a cluster gives up.
    pub fn stop(&self) {
        self.stopping.set(true);
        for cluster in self.clusters.borrow().values() {
            if let Some(connected) = &*cluster.connected.borrow() {
                connected.log.stop();
            }
        }
        self.arrived.notify_all();
    }

    fn cluster(&self, brokers: &str) -> Rc<Cluster> {
        let mut clusters = self.clusters.borrow_mut();
        let known = clusters.entry(brokers.to_owned());
        known
            .or_insert_with(|| Rc::new(Cluster::new(brokers)))
            .clone()
    }

    /// Asks the cluster for a topic, which is made with so many partitions when there is none.
    async fn find(
        &self,
        external: &ExternalTopic,
        partitions: Option<i32>,
    ) -> Result<Option<TopicShape>, LogError> {
        let cluster = self.cluster(&external.brokers);
        let refused = |error: ClientError| {
            LogError::Refused(format!("the cluster at {}: {error}", external.brokers))
        };
        let connected = cluster.connect().await.map_err(refused)?;
        if partitions.is_some() {
            let offered = TransactionalProducer::check_offered(&connected.client).await;
            offered.map_err(|error| {
                let brokers = &external.brokers;
                LogError::Refused(format!(
                    "the cluster at {brokers} has no transactions, without which a sink could write a row twice ({error})"
                ))
            })?;
        }
        let mut tries = SHOWS_AFTER;
        let theirs = loop {
            match connected.log.learn(&external.topic, partitions).await {
                Err(ClientError::UnknownTopic(_)) if partitions.is_none() => return Ok(None),
                // What was just made shows a little later.
                Err(error) if error.is_retriable() && tries > 0 => {
                    tries -= 1;
                    runtime::sleep(LEARN_RETRY).await;
                }
                learnt => break learnt.map_err(refused)?,
            }
        };
        let shape = shape_here(&external.brokers, theirs);
        let learnt = External::new(cluster, external, shape);
        let saved = self.known.learn(learnt).await;
        saved.map_err(|error| LogError::Refused(format!("{}: {error}", self.known.name())))?;
        Ok(Some(shape))
    }

    /// What fetches that partition ahead, if somebody does.
    fn feed(&self, key: PartitionKey) -> Option<Rc<Feed>> {
        let feeds = self.feeds.borrow();
        let feed = feeds.get(&key.topic)?;
        feed.has(key.partition).then(|| feed.clone())
    }

    /// As `feed`, of a topic; begins with it.
    fn begun_feed(&self, id: TopicId) -> Option<Rc<Feed>> {
        let known = self.feeds.borrow().get(&id).cloned();
        if let Some(feed) = known.filter(|feed| !feed.is_over()) {
            return Some(feed);
        }
        let feed = Feed::start(FeedOf {
            external: self.known.by_id(id)?,
            known: self.known.clone(),
            arrived: self.arrived.clone(),
            stopping: self.stopping.clone(),
        });
        self.feeds.borrow_mut().insert(id, feed.clone());
        Some(feed)
    }

    /// What a cluster says of a topic that is not fetched ahead.
    async fn extents_there(
        &self,
        external: &External,
        keys: &[PartitionKey],
    ) -> Result<Vec<Option<Extent>>, ClientError> {
        let connected = external.cluster.connect().await?;
        let theirs = connected.log.learn(&external.topic, None).await?;
        let keys = keys.iter().map(|key| PartitionKey {
            topic: theirs.id,
            partition: key.partition,
        });
        let keys: Vec<PartitionKey> = keys.collect();
        Ok(connected.log.extents_now(&keys).await)
    }

    /// Straight from the cluster: what is not fetched ahead, or not any more.
    async fn read_back(
        &self,
        external: &External,
        partition: PartitionKey,
        range: (Offset, Offset),
        bytes_max: usize,
        reader: Arc<SourceReader>,
    ) -> Result<Decoded, LogError> {
        let mut has_told = false;
        let (connected, theirs) = loop {
            let found = async {
                let connected = external.cluster.connect().await?;
                let shape = match connected.log.topic(&external.topic) {
                    Some(shape) => shape,
                    None => connected.log.learn(&external.topic, None).await?,
                };
                Ok::<_, ClientError>((connected, shape))
            };
            match found.await {
                Ok(found) => break found,
                Err(_) if self.stopping.get() => return Err(LogError::Stopping),
                Err(error) => {
                    if !std::mem::replace(&mut has_told, true) {
                        let topic = &external.name;
                        tracing::warn!(topic, %error, "it must be read, and is waited for");
                    }
                    runtime::sleep(READ_RETRY).await;
                }
            }
        };
        let key = PartitionKey {
            topic: theirs.id,
            partition: partition.partition,
        };
        let (from, until) = range;
        let read = connected.log.read(key, from, until, bytes_max, reader);
        read.await
    }
}

impl TopicLog for NodeTopics {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        if ExternalTopic::parse(name).is_none() {
            return self.own.topic(name);
        }
        Some(self.known.by_name(name)?.shape.get())
    }

    fn find_topic(&self, name: String) -> LocalFuture<'_, Result<Option<TopicShape>, LogError>> {
        Box::pin(async move {
            match ExternalTopic::parse(&name) {
                None => Ok(self.own.topic(&name)),
                Some(external) => self.find(&external, None).await,
            }
        })
    }

    fn epoch_writer(&self, topic: &str, sink: u64) -> Option<Rc<dyn EpochWriter>> {
        let external = ExternalTopic::parse(topic)?;
        let cluster = self.cluster(&external.brokers);
        let name = format!("forebay-{}-{sink}", self.cluster_id);
        Some(Rc::new(ExternalWriter::new(cluster, external.topic, name)))
    }

    fn note_read(&self, positions: &BTreeMap<PartitionKey, Offset>) {
        for (key, position) in positions {
            if let Some(feed) = self.begun_feed(key.topic) {
                feed.note_read(key.partition, *position);
            }
        }
    }

    fn trouble(&self, topic: &str) -> Option<String> {
        let id = self.known.by_name(topic)?.shape.get().id;
        self.feeds.borrow().get(&id)?.trouble()
    }

    fn ensure_topic(
        &self,
        name: String,
        partitions: i32,
        keeps_all: bool,
    ) -> LocalFuture<'_, Result<TopicShape, LogError>> {
        Box::pin(async move {
            let Some(external) = ExternalTopic::parse(&name) else {
                return self.own.ensure_topic(name, partitions, keeps_all).await;
            };
            let partitions = if partitions == 0 { -1 } else { partitions };
            let found = self.find(&external, Some(partitions)).await?;
            found.ok_or(LogError::Deleted)
        })
    }

    fn delete_topic(&self, name: String) -> LocalFuture<'_, Result<(), LogError>> {
        self.own.delete_topic(name)
    }

    fn extents(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        Box::pin(async move {
            let mut found = BTreeMap::new();
            let mut own = Vec::new();
            let mut there: BTreeMap<TopicId, Vec<PartitionKey>> = BTreeMap::new();
            for key in &partitions {
                match (self.feed(*key), self.known.by_id(key.topic)) {
                    (Some(feed), _) => {
                        found.insert(*key, feed.extent(key.partition));
                    }
                    (None, Some(_)) => there.entry(key.topic).or_default().push(*key),
                    (None, None) => own.push(*key),
                }
            }
            for (id, keys) in there {
                let Some(external) = self.known.by_id(id) else {
                    continue;
                };
                match self.extents_there(&external, &keys).await {
                    Ok(extents) => {
                        let extents = keys.into_iter().zip(extents);
                        found.extend(extents.filter_map(|(key, extent)| Some((key, extent?))));
                    }
                    Err(error) => tracing::debug!(%error, "a topic cannot be looked at"),
                }
            }
            if !own.is_empty() {
                let extents = self.own.extents(own.clone()).await;
                let there = own.into_iter().zip(extents);
                found.extend(there.filter_map(|(key, extent)| Some((key, extent?))));
            }
            partitions
                .iter()
                .map(|key| found.get(key).copied())
                .collect()
        })
    }

    fn wait(&self, seen: Vec<(PartitionKey, Offset)>, deadline: Instant) -> LocalFuture<'_, ()> {
        Box::pin(async move {
            let arrived = self.arrived.notified();
            let mut own = Vec::new();
            for (key, end) in seen {
                match self.feed(key) {
                    Some(feed) if feed.extent(key.partition).high_watermark != end => return,
                    Some(_) => {}
                    None => own.push((key, end)),
                }
            }
            first(self.own.wait(own, deadline), arrived).await;
        })
    }

    fn read(
        &self,
        partition: PartitionKey,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        reader: Arc<SourceReader>,
    ) -> LocalFuture<'_, Result<Decoded, LogError>> {
        Box::pin(async move {
            let Some(external) = self.known.by_id(partition.topic) else {
                let read = self.own.read(partition, from, until, bytes_max, reader);
                return read.await;
            };
            let feed = self.feed(partition);
            let fetched = feed.and_then(|feed| feed.fetched(partition.partition, from));
            match fetched {
                Some(batches) => {
                    feed::decode(partition.partition, batches, (from, until), reader).await
                }
                None => {
                    let range = (from, until);
                    self.read_back(&external, partition, range, bytes_max, reader)
                        .await
                }
            }
        })
    }

    fn append(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<Offset, LogError>> {
        self.own.append(partition, batch)
    }

    fn produce(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        self.own.produce(partition, batch)
    }

    fn trim(
        &self,
        partition: PartitionKey,
        log_start_offset: Offset,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        self.own.trim(partition, log_start_offset)
    }

    fn batches(
        &self,
        partition: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> LocalFuture<'_, Result<(Offset, Vec<u8>), LogError>> {
        self.own.batches(partition, from, bytes_max)
    }

    fn producer_id(&self) -> LocalFuture<'_, Result<i64, LogError>> {
        self.own.producer_id()
    }
}
