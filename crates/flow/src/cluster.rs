//! A cluster as the log of an engine, by Kafka's protocol, through our own client.
//!
//! # Place       on the one shard of an app; holds no data but what is on its way
//! # Invariants
//! 1. One copy of an app writes: each begins with a record of its own in the outbox, and what an older copy appends behind
//!    that is passed over by whoever reads (`batches`). A copy that finds such a record of a newer one stops (`writer`).
//! 2. A batch is in its topic once: its producer and sequences were decided before, and of what the broker has of that
//!    producer nothing is sent again (`produce`).
//! 3. Records of transactions that were aborted are not seen: reads stop at the last stable offset.
//!
//! # Yields      at every request; those that fail for a while are tried again until the app stops
//! # Limits      partitions that a topic gets while the app runs are seen after `LOOK_AGAIN`

mod requests;
mod writer;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    future::Future,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use base::{Offset, PartitionIndex, PartitionKey, TopicId, hash::fnv1a};
use client::{Client, ClientError, TopicMetadata, admin::NewTopic, producer::init_producer_id};
use runtime::Instant;
use streams::{
    engine::OUTBOX_TOPIC,
    log::{Extent, LocalFuture, LogError, TopicLog, TopicShape},
    source::{Decoded, SourceReader},
};

use writer::{Incarnation, OutboxWriter};

/// Between two looks at what is new in a cluster.
const POLL: Duration = Duration::from_millis(20);

/// Where partitions begin, and how many there are, changes seldom.
const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// Between two tries of what fails for a while.
const RETRY: Duration = Duration::from_millis(100);

/// A cluster that starts may not know its topics yet; one that is unknown for so long is deleted.
const GONE_AFTER: Duration = Duration::from_secs(10);

/// Since when a cluster has said of a topic that it has none, and nothing else.
#[derive(Debug, Default)]
pub struct Absence {
    since: Option<Instant>,
}

impl Absence {
    /// Whether the topic is gone, by one answer more.
    pub fn is_for_good<T>(&mut self, now: Instant, answer: &Result<T, ClientError>) -> bool {
        if !matches!(answer, Err(ClientError::UnknownTopic(_))) {
            self.since = None;
            return false;
        }
        now.since(*self.since.get_or_insert(now)) >= GONE_AFTER
    }
}

/// See the module head.
pub struct ClusterLog {
    client: Client,
    app: String,
    lane: client::Lane,
    /// By the names that the engine knows.
    topics: RefCell<BTreeMap<String, TopicShape>>,
    /// What the cluster calls them.
    names: RefCell<BTreeMap<TopicId, Rc<str>>>,
    starts: RefCell<BTreeMap<PartitionKey, Offset>>,
    /// Those that the cluster says it has not, when it was last asked.
    gone: RefCell<BTreeSet<TopicId>>,
    looked_at: Cell<Option<Instant>>,
    /// Of producers of sinks: the last sequence that the broker has, once it was asked.
    known: RefCell<BTreeMap<(PartitionKey, i64), Option<i32>>>,
    outbox: RefCell<Option<OutboxWriter>>,
    /// Whose records of the outbox count, once it was read.
    reading: Cell<Option<Incarnation>>,
    stopping: Cell<bool>,
    planted: PlantedBugs,
}

/// Bugs for tests of the tests: each breaks what a restart relies on.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlantedBugs {
    /// A restart takes nothing for decided.
    pub forget_decided: bool,
}

impl ClusterLog {
    #[must_use]
    pub fn new(client: &Client, app: &str, planted: PlantedBugs) -> Self {
        Self {
            planted,
            client: client.clone(),
            app: app.to_owned(),
            lane: client.new_lane(),
            topics: RefCell::default(),
            names: RefCell::default(),
            starts: RefCell::default(),
            gone: RefCell::default(),
            looked_at: Cell::new(None),
            known: RefCell::default(),
            outbox: RefCell::default(),
            reading: Cell::new(None),
            stopping: Cell::new(false),
        }
    }

    /// What waits for the cluster gives up.
    pub fn stop(&self) {
        self.stopping.set(true);
    }

    /// Learns a topic; when there is none, it is made with so many partitions (-1: as many as is usual), or fails.
    pub async fn learn(
        &self,
        topic: &str,
        partitions: Option<i32>,
    ) -> Result<TopicShape, ClientError> {
        let called = self.called(topic);
        let found = match (self.client.refresh(&[&called]).await, partitions) {
            (Err(ClientError::UnknownTopic(_)), Some(partitions)) => {
                self.create(topic, partitions).await?;
                self.client.refresh(&[&called]).await
            }
            (found, _) => found,
        };
        let found = found?.into_iter().next();
        let found = found.ok_or(ClientError::UnknownTopic(called))?;
        Ok(self.note(topic, &found))
    }

    fn note(&self, topic: &str, found: &TopicMetadata) -> TopicShape {
        let shape = TopicShape {
            id: id_of(found),
            partitions: found.partitions.len() as i32,
        };
        self.names.borrow_mut().insert(shape.id, found.name.clone());
        self.topics.borrow_mut().insert(topic.to_owned(), shape);
        shape
    }

    /// The id of what the cluster calls so, as the client saw it last, if it was there then.
    #[must_use]
    pub fn id_now(&self, name: &str) -> Option<TopicId> {
        Some(id_of(&*self.client.cached_topic(name)?))
    }

    async fn create(&self, topic: &str, partitions: i32) -> Result<(), ClientError> {
        let mut new = NewTopic::new(&self.called(topic), partitions);
        if topic == OUTBOX_TOPIC {
            let keep = |config: &str| (config.to_owned(), "-1".to_owned());
            new.configs = vec![keep("retention.ms"), keep("retention.bytes")];
        }
        match self.client.admin().create_topic(&new).await {
            Err(error) if error.code() == Some(kafka::error::ErrorCode::TopicAlreadyExists) => {
                Ok(())
            }
            created => created.map(drop),
        }
    }

    async fn outbox_key(&self) -> Result<PartitionKey, LogError> {
        let learnt = self.until_done("opening the outbox", || self.learn(OUTBOX_TOPIC, Some(1)));
        Ok(PartitionKey {
            topic: learnt.await?.id,
            partition: PartitionIndex(0),
        })
    }

    /// Where the outbox begins and ends. Nothing is written; there is one from here on.
    pub async fn outbox_extent(&self) -> Result<Extent, LogError> {
        let key = self.outbox_key().await?;
        self.extent_of(key).await
    }

    /// Takes the outbox over from older copies of the app.
    pub async fn open_outbox(&self) -> Result<(), LogError> {
        let key = self.outbox_key().await?;
        let writer = OutboxWriter::open(self, key).await?;
        self.outbox.replace(Some(writer));
        Ok(())
    }

    /// What can be read of a partition, once it can be asked.
    async fn extent_of(&self, key: PartitionKey) -> Result<Extent, LogError> {
        loop {
            if let Some(extent) = self.extents_now(&[key]).await.pop().flatten() {
                return Ok(extent);
            }
            if self.stopping.get() {
                return Err(LogError::Stopping);
            }
            runtime::sleep(RETRY).await;
        }
    }

    /// What can be read of those partitions that answer now.
    pub async fn extents_now(&self, partitions: &[PartitionKey]) -> Vec<Option<Extent>> {
        let starts = self.list_offsets(partitions, requests::EARLIEST).await;
        let ends = self.list_offsets(partitions, requests::LATEST).await;
        extents_of(partitions, &starts, &ends)
    }

    /// The same where the starts may be as old as the last look at what changes seldom.
    async fn extents_soon(&self, partitions: &[PartitionKey]) -> Vec<Option<Extent>> {
        let missing: Vec<PartitionKey> = {
            let starts = self.starts.borrow();
            let unknown = partitions.iter().filter(|key| !starts.contains_key(key));
            unknown.copied().collect()
        };
        let starts = self.list_offsets(&missing, requests::EARLIEST).await;
        self.starts.borrow_mut().extend(starts);
        let ends = self.list_offsets(partitions, requests::LATEST).await;
        extents_of(partitions, &self.starts.borrow(), &ends)
    }

    fn is_gone(&self, key: PartitionKey) -> bool {
        self.gone.borrow().contains(&key.topic) || self.name(key).is_err()
    }

    /// What the cluster calls a topic: the outbox is the app's own.
    fn called(&self, topic: &str) -> String {
        match topic == OUTBOX_TOPIC {
            true => format!("__{}_outbox", self.app),
            false => topic.to_owned(),
        }
    }

    fn name(&self, key: PartitionKey) -> Result<Rc<str>, LogError> {
        let names = self.names.borrow();
        names.get(&key.topic).cloned().ok_or(LogError::Deleted)
    }

    /// Tries again what may succeed later, until the app stops.
    async fn until_done<T, F>(
        &self,
        what: &'static str,
        mut call: impl FnMut() -> F,
    ) -> Result<T, LogError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        loop {
            match call().await {
                Ok(done) => return Ok(done),
                Err(_) if self.stopping.get() => return Err(LogError::Stopping),
                Err(error) if error.is_retriable() => {
                    tracing::debug!(what, %error, "trying again");
                    runtime::sleep(RETRY).await;
                }
                Err(error) => return Err(LogError::Refused(error.to_string())),
            }
        }
    }

    /// Notices, now and then, what changes seldom.
    async fn look_again(&self) {
        let now = runtime::now();
        let looked = self.looked_at.get();
        if looked.is_some_and(|at| now.since(at) < LOOK_AGAIN) {
            return;
        }
        self.looked_at.set(Some(now));
        self.starts.borrow_mut().clear();
        let known: Vec<String> = self.topics.borrow().keys().cloned().collect();
        let called: Vec<String> = known.iter().map(|topic| self.called(topic)).collect();
        let names: Vec<&str> = called.iter().map(String::as_str).collect();
        // Those that are there are in the cache also when one of them is not.
        if let Err(error) = self.client.refresh(&names).await {
            tracing::debug!(%error, "the topics cannot be looked at");
        }
        for (topic, called) in known.iter().zip(called) {
            if let Some(found) = self.client.cached_topic(&called) {
                self.note(topic, &found);
            }
        }
    }
}

fn extents_of(
    partitions: &[PartitionKey],
    starts: &BTreeMap<PartitionKey, Offset>,
    ends: &BTreeMap<PartitionKey, Offset>,
) -> Vec<Option<Extent>> {
    let extent = |key: &PartitionKey| {
        Some(Extent {
            log_start_offset: *starts.get(key)?,
            high_watermark: *ends.get(key)?,
        })
    };
    partitions.iter().map(extent).collect()
}

/// A topic's id; made of its name where the cluster is from before topics had ids.
fn id_of(topic: &TopicMetadata) -> TopicId {
    if topic.id != TopicId::ZERO {
        return topic.id;
    }
    let mut id = [0xFB; 16];
    id[..8].copy_from_slice(&fnv1a(topic.name.as_bytes()).to_be_bytes());
    TopicId(id)
}

impl TopicLog for ClusterLog {
    fn topic(&self, name: &str) -> Option<TopicShape> {
        self.topics.borrow().get(name).copied()
    }

    fn ensure_topic(
        &self,
        name: String,
        partitions: i32,
        _keeps_all: bool,
    ) -> LocalFuture<'_, Result<TopicShape, LogError>> {
        Box::pin(async move {
            if let Some(known) = self.topic(&name) {
                return Ok(known);
            }
            let partitions = if partitions == 0 { -1 } else { partitions };
            self.until_done("making a topic", || self.learn(&name, Some(partitions)))
                .await
        })
    }

    fn delete_topic(&self, name: String) -> LocalFuture<'_, Result<(), LogError>> {
        let refused = format!("topic {name} is not this app's to delete");
        Box::pin(async move { Err(LogError::Refused(refused)) })
    }

    /// Waits for partitions that do not answer: whose topic is there, comes back.
    fn extents(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        Box::pin(async move {
            loop {
                self.look_again().await;
                let found = self.extents_soon(&partitions).await;
                let mut each = partitions.iter().zip(&found);
                let is_told = each.all(|(key, extent)| extent.is_some() || self.is_gone(*key));
                if is_told || self.stopping.get() {
                    return found;
                }
                runtime::sleep(RETRY).await;
            }
        })
    }

    fn wait(&self, _seen: Vec<(PartitionKey, Offset)>, deadline: Instant) -> LocalFuture<'_, ()> {
        Box::pin(runtime::sleep_until(
            deadline.min(runtime::now().plus(POLL)),
        ))
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
            let batches = self.fetch_some(partition, from, bytes_max).await?;
            let decoded = reader.decode(partition.partition.0, &batches, from, until);
            decoded
                .await
                .map_err(|error| LogError::Refused(error.to_string()))
        })
    }

    /// To the outbox, which is all that the engine of an app appends to.
    fn append(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<Offset, LogError>> {
        Box::pin(async move {
            let mut writer = self.outbox.take();
            let appended = match &mut writer {
                Some(writer) if writer.key == partition => writer.append(self, &batch).await,
                _ => Err(LogError::Refused("it is not the open outbox".to_owned())),
            };
            self.outbox.replace(writer);
            appended
        })
    }

    fn produce(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        Box::pin(async move { self.produce_once(partition, batch).await })
    }

    fn trim(
        &self,
        partition: PartitionKey,
        log_start_offset: Offset,
    ) -> LocalFuture<'_, Result<(), LogError>> {
        Box::pin(async move {
            let writer = self.outbox.take();
            let log_start_offset = match &writer {
                Some(writer) if writer.key == partition => {
                    writer.trimmed_to(self, log_start_offset).await
                }
                _ => Ok(log_start_offset),
            };
            self.outbox.replace(writer);
            let log_start_offset = log_start_offset?;
            let name = self.name(partition)?;
            let admin = self.client.admin();
            let trimmed = admin.delete_records(&name, partition.partition, Some(log_start_offset));
            trimmed
                .await
                .map(drop)
                .map_err(|error| LogError::Refused(error.to_string()))
        })
    }

    fn batches(
        &self,
        partition: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> LocalFuture<'_, Result<(Offset, Vec<u8>), LogError>> {
        Box::pin(async move {
            let extent = self.extent_of(partition).await?;
            if from < extent.log_start_offset {
                return Err(LogError::Trimmed {
                    wanted: from,
                    start: extent.log_start_offset,
                });
            }
            let mut reading = match self.reading.get() {
                Some(reading) => reading,
                None => Incarnation::at(self, partition, from).await?,
            };
            let mut from = from;
            while from < extent.high_watermark {
                let (found, behind) = self.fetch_whole(partition, from, bytes_max).await?;
                let mut kept = reading.keep(&found)?;
                self.reading.set(Some(reading));
                if self.planted.forget_decided {
                    kept.clear();
                }
                if !kept.is_empty() {
                    return Ok((from, kept));
                }
                from = behind;
            }
            Ok((from, Vec::new()))
        })
    }

    fn producer_id(&self) -> LocalFuture<'_, Result<i64, LogError>> {
        Box::pin(async move {
            let id = self.until_done("asking for a producer id", || {
                init_producer_id(&self.client)
            });
            id.await.map(|(id, _)| id.0)
        })
    }
}
