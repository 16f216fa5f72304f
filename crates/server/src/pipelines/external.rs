//! Topics of this node and of external clusters, behind one face.
//!
//! # Place
//! On the engine's shard. What talks to a cluster are tasks of their own (`feed`, and the engine's deliveries), so no epoch
//! waits for one; only a sink that reads from further back than what is fetched, and a restart that goes through epochs
//! again, ask a cluster while they read. They wait for it until their relation is dropped.
//!
//! # Invariants
//! 1. A topic's id here is the cluster's, mixed with the cluster's brokers: the same topic by two ways is two topics.
//! 2. What is known of a topic is on disk before a relation is made of it (`known`), so a node starts without the cluster.
//! 3. No record is read of a topic that was made anew: the cluster's id is compared with that of who reads (`read_back`,
//!    `feed`).
//!
//! # Limits
//! A feed keeps so much of each partition in memory, and all of them so much together (`feed`); the engine's deliveries say
//! what may wait for a cluster. A cluster is connected as long as something is known of a topic of it: topics that no
//! relation names are forgotten.

mod feed;
mod known;
mod writer;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    path::Path,
    rc::{Rc, Weak},
    sync::Arc,
    time::Duration,
};

use base::{
    Offset, PartitionKey, TopicId,
    hash::{fnv1a, fnv1a_from},
};
use broker::broker::Broker;
use client::{Client, ClientConfig, ClientError, TransactionalProducer};
use flow::cluster::{Absence, ClusterLog, PlantedBugs};
use runtime::{
    Class, Instant,
    budget::Budget,
    sync::{Notify, Shutdown, first},
};
use streams::{
    engine::CheckpointError,
    log::{EpochWriter, Extent, ExternalTopic, LocalFuture, LogError, TopicLog, TopicShape},
    source::{Decoded, SourceReader},
};

use super::BrokerTopics;
use feed::{FEEDS_BYTES, Feed, FeedOf};
use known::Known;
use writer::ExternalWriter;

/// One request, and all there are for one topic: whoever makes a relation waits for it.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
const CALL_WITHIN: Duration = Duration::from_secs(15);

/// A coordinator that is at something asks to come again, and is done in milliseconds.
const RETRY: Duration = Duration::from_millis(10);

/// Between two looks for a topic that was just made.
const LEARN_RETRY: Duration = Duration::from_millis(100);

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
    /// As long as somebody holds them.
    clusters: RefCell<BTreeMap<String, Weak<Cluster>>>,
    known: Rc<Known>,
    feeds: Rc<RefCell<BTreeMap<TopicId, Rc<Feed>>>>,
    /// What all feeds may hold.
    room: Budget,
    /// A feed has fetched something.
    arrived: Rc<Notify>,
    stopping: Shutdown,
}

fn refused(brokers: &str, error: &ClientError) -> LogError {
    LogError::Refused(format!("the cluster at {brokers}: {error}"))
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
            feeds: Rc::default(),
            room: Budget::new("external feeds", FEEDS_BYTES),
            arrived: Rc::new(Notify::new()),
            stopping: Shutdown::new(),
        };
        for (name, shape) in topics.known.load().await? {
            if let Some(external) = ExternalTopic::parse(&name) {
                let cluster = topics.cluster(&external.brokers);
                topics.known.put(&External::new(cluster, &external, shape));
            }
        }
        Ok(topics)
    }

    /// What waits for a cluster gives up.
    pub fn stop(&self) {
        self.stopping.trigger();
        self.arrived.notify_all();
    }

    fn cluster(&self, brokers: &str) -> Rc<Cluster> {
        let mut clusters = self.clusters.borrow_mut();
        if let Some(known) = clusters.get(brokers).and_then(Weak::upgrade) {
            return known;
        }
        clusters.retain(|_, cluster| cluster.strong_count() > 0);
        let cluster = Rc::new(Cluster::new(brokers));
        clusters.insert(brokers.to_owned(), Rc::downgrade(&cluster));
        cluster
    }

    /// Asks the cluster for a topic, which is made with so many partitions when there is none.
    async fn find(
        &self,
        external: &ExternalTopic,
        partitions: Option<i32>,
    ) -> Result<Option<TopicShape>, LogError> {
        let cluster = self.cluster(&external.brokers);
        let brokers = &external.brokers;
        let last = RefCell::new(None);
        let asked = ask_for(&cluster, external, partitions, &last);
        let found = match runtime::timeout(CALL_WITHIN, asked).await {
            Ok(found) => found?,
            Err(_) => {
                let timeout = ClientError::Timeout {
                    what: "finding the topic",
                    after: CALL_WITHIN,
                };
                return Err(refused(brokers, &last.take().unwrap_or(timeout)));
            }
        };
        let Some(theirs) = found else {
            return Ok(None);
        };
        let shape = shape_here(brokers, theirs);
        let known = self.known.by_name(&external.to_string());
        let known = known.unwrap_or_else(|| External::new(cluster, external, shape));
        let saved = self.known.learn(&known, shape).await;
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
        if let Some(feed) = self.feeds.borrow().get(&id) {
            return Some(feed.clone());
        }
        let feed = Rc::new(Feed::new(FeedOf {
            external: self.known.by_id(id)?,
            known: self.known.clone(),
            room: self.room.clone(),
            arrived: self.arrived.clone(),
            stopping: self.stopping.clone(),
        }));
        self.feeds.borrow_mut().insert(id, feed.clone());
        let (feeds, running) = (self.feeds.clone(), feed.clone());
        runtime::spawn(Class::Streams, "external feed", async move {
            running.run().await;
            feeds.borrow_mut().remove(&id);
        });
        Some(feed)
    }

    /// What a cluster says of a topic.
    async fn extents_of(
        &self,
        external: &Rc<External>,
        keys: &[PartitionKey],
    ) -> Result<Vec<Option<Extent>>, ClientError> {
        let connected = external.cluster.connect().await?;
        let theirs = connected.log.learn(&external.topic, None).await?;
        let shape = shape_here(&external.cluster.brokers, theirs);
        // Whoever asks next finds it so: with more partitions, or another topic.
        let is_known = self.known.by_name(&external.name).is_some();
        if is_known && let Err(error) = self.known.learn(external, shape).await {
            tracing::warn!(topic = %external.name, %error, "what is known of it cannot be written");
        }
        if keys.iter().any(|key| key.topic != shape.id) {
            return Ok(vec![None; keys.len()]);
        }
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
        let brokers = &external.cluster.brokers;
        let (connected, theirs) = self.reach(external).await?;
        if shape_here(brokers, theirs).id != partition.topic {
            return Err(LogError::Deleted);
        }
        let key = PartitionKey {
            topic: theirs.id,
            partition: partition.partition,
        };
        let (from, until) = range;
        let read = connected.log.read(key, from, until, bytes_max, reader);
        read.await
    }

    /// The cluster of a topic, and the topic there; waits for it.
    async fn reach(&self, external: &External) -> Result<(Rc<Connected>, TopicShape), LogError> {
        let mut has_told = false;
        let mut absence = Absence::default();
        loop {
            let found = async {
                let connected = external.cluster.connect().await?;
                let shape = match connected.log.topic(&external.topic) {
                    Some(shape) => shape,
                    None => connected.log.learn(&external.topic, None).await?,
                };
                Ok::<_, ClientError>((connected, shape))
            };
            let found = found.await;
            let is_gone = absence.is_for_good(runtime::now(), &found);
            let error = match found {
                Ok(found) => return Ok(found),
                Err(error) if !error.is_retriable() => {
                    return Err(refused(&external.cluster.brokers, &error));
                }
                Err(error) => error,
            };
            if is_gone {
                return Err(LogError::Deleted);
            }
            if !std::mem::replace(&mut has_told, true) {
                let topic = &external.name;
                tracing::warn!(topic, %error, "it must be read, and is waited for");
            }
            runtime::sleep(READ_RETRY).await;
        }
    }

    /// What comes of it, unless the node stops first.
    async fn unless_stopping<T>(
        &self,
        work: impl Future<Output = Result<T, LogError>>,
    ) -> Result<T, LogError> {
        let done = first(work, self.stopping.triggered()).await;
        done.unwrap_or(Err(LogError::Stopping))
    }
}

/// Asks a cluster for a topic, which is made with so many partitions when there is none. `last`: why it is not there yet.
async fn ask_for(
    cluster: &Cluster,
    external: &ExternalTopic,
    partitions: Option<i32>,
    last: &RefCell<Option<ClientError>>,
) -> Result<Option<TopicShape>, LogError> {
    let brokers = &external.brokers;
    let connected = cluster.connect().await;
    let connected = connected.map_err(|error| refused(brokers, &error))?;
    if partitions.is_some() {
        let offered = TransactionalProducer::check_offered(&connected.client).await;
        offered.map_err(|error| {
            LogError::Refused(format!(
                "the cluster at {brokers} has no transactions, without which a sink could write a row twice ({error})"
            ))
        })?;
    }
    loop {
        match connected.log.learn(&external.topic, partitions).await {
            Ok(shape) => return Ok(Some(shape)),
            Err(ClientError::UnknownTopic(_)) if partitions.is_none() => return Ok(None),
            // What was just made shows a little later.
            Err(error) if error.is_retriable() => {
                last.replace(Some(error));
                runtime::sleep(LEARN_RETRY).await;
            }
            Err(error) => return Err(refused(brokers, &error)),
        }
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
            for key in &partitions {
                match self.feed(*key) {
                    Some(feed) => _ = found.insert(*key, feed.extent(key.partition)),
                    None => own.push(*key),
                }
            }
            // Those of other clusters that nobody fetches are none of the own.
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

    fn extents_there(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        Box::pin(async move {
            let mut topics: BTreeMap<TopicId, Vec<PartitionKey>> = BTreeMap::new();
            for key in &partitions {
                topics.entry(key.topic).or_default().push(*key);
            }
            let mut found = BTreeMap::new();
            for (id, keys) in topics {
                let extents = match self.known.by_id(id) {
                    None => self.own.extents(keys.clone()).await,
                    Some(external) => match self.extents_of(&external, &keys).await {
                        Ok(extents) => extents,
                        Err(error) => {
                            tracing::debug!(%error, "a topic cannot be looked at");
                            continue;
                        }
                    },
                };
                let extents = keys.into_iter().zip(extents);
                found.extend(extents.filter_map(|(key, extent)| Some((key, extent?))));
            }
            partitions
                .iter()
                .map(|key| found.get(key).copied())
                .collect()
        })
    }

    fn release_topic(&self, topic: &str) {
        if !self.known.forget(topic) {
            return;
        }
        let (known, topic) = (self.known.clone(), topic.to_owned());
        runtime::spawn(Class::Streams, "external forgotten", async move {
            if let Err(error) = known.save().await {
                tracing::warn!(topic, %error, "that nobody names it cannot be written");
            }
        });
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
            let feed = self.feed(partition);
            let fetched = feed.and_then(|feed| feed.fetched(partition.partition, from));
            if let Some(batches) = fetched {
                let range = (from, until);
                return feed::decode(partition.partition, batches, range, reader).await;
            }
            let Some(external) = self.known.by_id(partition.topic) else {
                let read = self.own.read(partition, from, until, bytes_max, reader);
                return read.await;
            };
            let range = (from, until);
            let read = self.read_back(&external, partition, range, bytes_max, reader);
            self.unless_stopping(read).await
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
