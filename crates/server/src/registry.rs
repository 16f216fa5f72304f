//! The schema registry in the node: its topic, and who is told of its schemas.
//!
//! # Place
//! On the front thread, whose helper threads alone read and change what there is, and compare schemas; records are appended
//! and read on the shard that has the topic's partition.
//!
//! # Invariants
//! 1. What an answer says has happened is in the log for good, and in `registry`: a change goes through whoever asked for
//!    it stays or not.
//! 2. One change at a time: each is decided by all that came before it.
//! 3. Every shard knows a schema before its number is told to anybody: what is registered is told to the shards when it is
//!    in the log, and applied after that. Where the topic cannot be read no shard is told anything, and nothing that names
//!    schemas by number is decoded.

use std::{
    rc::Rc,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use ::registry::{Answer, Method, Record, Refusal, Registry, Request, Resolved};
use base::{Offset, PartitionIndex, PartitionKey, ShardId, TimestampMs, TopicName};
use broker::{
    broker::{Broker, METADATA_SHARD},
    topics::{SCHEMAS_TOPIC, WantedTopic},
};
use kafka::batch::{self, BatchBuilder, Compression};
use runtime::{Class, ShardsHandle};
use tokio::sync::{Mutex, OwnedSemaphorePermit};

/// Read at once.
const READ_BYTES_MAX: usize = 4 << 20;
/// A batch may not expand beyond.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// A request, as it is handed to a helper.
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub body: Vec<u8>,
    /// A turn, and room for the body: held as long as the request is, also when whoever asked is gone.
    pub permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

/// Why a request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the topic {SCHEMAS_TOPIC} {0}")]
    Topic(String),
    #[error("the node is stopping")]
    Stopping,
}

/// See the module head.
pub struct SchemaStore {
    shards: ShardsHandle,
    registry: RwLock<Registry>,
    /// Held by whoever changes something, from what it is decided by until that is there.
    changing: Mutex<()>,
    /// Why the topic could not be read.
    unread: Option<Unanswered>,
    /// Whether a record lasts is not known: nothing is answered any more, the next start reads what there is.
    is_unsure: AtomicBool,
}

impl SchemaStore {
    /// Reads what there is. A topic that cannot be read is no hindrance to the rest of the node.
    pub async fn start(shards: ShardsHandle) -> Arc<Self> {
        let mut registry = Registry::default();
        let read = read_all(&shards, &mut registry).await;
        if let Err(error) = &read {
            tracing::error!(%error, "the schema registry does not answer");
        }
        let store = Self {
            shards,
            registry: RwLock::new(registry),
            changing: Mutex::new(()),
            unread: read.err(),
            is_unsure: AtomicBool::new(false),
        };
        // Shards that were told of none know that there are none.
        if store.unread.is_none() {
            let all = store.read(|registry| {
                let ids = registry.ids();
                ids.filter_map(|id| registry.resolved(id)).collect()
            });
            store.tell(all).await;
        }
        Arc::new(store)
    }

    fn read<R>(&self, read: impl FnOnce(&Registry) -> R) -> R {
        read(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Runs on a helper thread: others may be reading for long, and whoever changes something waits for them.
    async fn help<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> R + Send + 'static,
    ) -> Result<R, Unanswered> {
        let here = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&here));
        done.await.map_err(|_| Unanswered::Stopping)
    }

    /// The newest schema of a subject.
    pub async fn latest(self: &Arc<Self>, subject: String) -> Result<Option<Resolved>, Unanswered> {
        self.check()?;
        self.help(move |here| here.read(|registry| registry.latest(&subject)))
            .await
    }

    /// Whether it has an answer to anything.
    pub fn check(&self) -> Result<(), Unanswered> {
        if self.is_unsure.load(Ordering::Relaxed) {
            return Err(Unanswered::Stopping);
        }
        self.unread.clone().map_or(Ok(()), Err)
    }

    /// Goes on when whoever asked is gone: what was begun is in the log or will be.
    pub async fn ask(self: Arc<Self>, asked: Asked) -> Result<String, Unanswered> {
        let answered = tokio::spawn(async move { self.answer(asked).await }).await;
        answered.unwrap_or(Err(Unanswered::Stopping))
    }

    async fn answer(self: Arc<Self>, asked: Asked) -> Result<String, Unanswered> {
        self.check()?;
        if asked.method == Method::Get {
            return Ok(self.decide(asked).await?.0.body);
        }
        let _changing = self.changing.lock().await;
        self.check()?;
        let (answer, new) = self.decide(asked).await?;
        if !answer.records.is_empty() {
            let appended = self.append(&answer.records).await;
            if matches!(appended, Err(Unanswered::Stopping)) {
                self.is_unsure.store(true, Ordering::Relaxed);
            }
            appended?;
            self.tell(new).await;
            self.apply(answer.records).await?;
        }
        Ok(answer.body)
    }

    /// With the schemas that are new then.
    async fn decide(self: &Arc<Self>, asked: Asked) -> Result<(Answer, Vec<Resolved>), Unanswered> {
        let decided = self.help(move |here| {
            let request = Request {
                method: asked.method,
                path: &asked.path,
                query: &asked.query,
                body: &asked.body,
            };
            here.read(|registry| {
                let answer = registry.answer(request)?;
                let new = registry.new_schemas(&answer.records);
                Ok((answer, new))
            })
        });
        decided.await?.map_err(Unanswered::Refused)
    }

    async fn apply(self: &Arc<Self>, records: Vec<Record>) -> Result<(), Unanswered> {
        let applied = self.help(move |here| {
            let registry = here.registry.write();
            let mut registry = registry.unwrap_or_else(PoisonError::into_inner);
            for record in &records {
                let value = record.value.as_ref().map(String::as_bytes);
                registry.apply(record.key.as_bytes(), value);
            }
        });
        let applied = applied.await;
        if applied.is_err() {
            self.is_unsure.store(true, Ordering::Relaxed);
        }
        applied
    }

    async fn append(&self, records: &[Record]) -> Result<(), Unanswered> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = i64::try_from(now.unwrap_or_default().as_millis()).unwrap_or(i64::MAX);
        let mut batch = BatchBuilder::new(Compression::None);
        for record in records {
            let value = record.value.as_ref().map(String::as_bytes);
            batch.push(TimestampMs(now), Some(record.key.as_bytes()), value, &[]);
        }
        let batch = batch.finish();
        let appended = self
            .shards
            .call(METADATA_SHARD, Class::Admin, "schemas", || async move {
                let broker = Broker::local();
                let (owner, key) = ensure_topic(&broker).await?;
                let append = move |broker: Rc<Broker>| append(broker, key, batch);
                broker
                    .on_shard(owner, Class::Admin, "schemas append", append)
                    .await
            });
        appended.await
    }

    /// Says to every shard what records of these numbers are written with.
    #[cfg(feature = "pipelines")]
    async fn tell(&self, new: Vec<Resolved>) {
        use streams::format::{SchemaText, WriterSchemas};
        let schemas = new.into_iter().map(|resolved| {
            let text = SchemaText {
                text: resolved.text,
                others: resolved.others,
            };
            (resolved.id, Arc::new(text))
        });
        let schemas: Arc<[(u32, Arc<SchemaText>)]> = schemas.collect();
        for shard in (0..self.shards.shard_count()).map(ShardId) {
            let schemas = schemas.clone();
            let told = self
                .shards
                .call(shard, Class::Admin, "schemas", || async move {
                    let known = runtime::local::<WriterSchemas>().unwrap_or_else(|| {
                        let none = Rc::new(WriterSchemas::default());
                        runtime::set_local(none.clone());
                        none
                    });
                    for (id, schema) in schemas.iter() {
                        known.add(*id, schema.clone());
                        if runtime::should_yield() {
                            runtime::yield_now().await;
                        }
                    }
                });
            told.await;
        }
    }

    /// Nobody reads them.
    #[cfg(not(feature = "pipelines"))]
    async fn tell(&self, _new: Vec<Resolved>) {}
}

type Place = (ShardId, PartitionKey);

/// Where the topic's partition is, if it is there. One that somebody else made, as older nodes let them, has what nobody
/// checked, and perhaps partitions that nobody reads.
fn place(broker: &Broker) -> Result<Option<Place>, Unanswered> {
    let is_own = broker.with_metadata(|image| {
        let topic = image.topic_named(SCHEMAS_TOPIC)?;
        Some(topic.internal && topic.partition_count() == 1)
    });
    if is_own == Some(false) {
        let why = "is not the registry's own, which is internal and has one partition: delete it, and start again";
        return Err(Unanswered::Topic(why.to_owned()));
    }
    Ok(broker.owner_by_name(SCHEMAS_TOPIC, PartitionIndex(0)))
}

/// The topic is there from the first schema on.
async fn ensure_topic(broker: &Broker) -> Result<Place, Unanswered> {
    let keep = |config: &str| (config.to_owned(), "-1".to_owned());
    let ensured = broker.ensure_wanted(WantedTopic {
        name: TopicName::new(SCHEMAS_TOPIC).expect("a legal topic name"),
        partitions: 1,
        configs: [keep("retention.ms"), keep("retention.bytes")].into(),
    });
    let ensured = ensured.await;
    ensured.map_err(|failure| Unanswered::Topic(format!("cannot be made: {}", failure.text())))?;
    place(broker)?.ok_or_else(|| Unanswered::Topic("is gone".to_owned()))
}

async fn append(broker: Rc<Broker>, key: PartitionKey, batch: Vec<u8>) -> Result<(), Unanswered> {
    let gone = || Unanswered::Topic("is gone".to_owned());
    let partition = broker.partition(key).ok_or_else(gone)?;
    let appended = partition.append_own_for_good(&batch).await;
    let appended =
        appended.map_err(|error| Unanswered::Topic(format!("cannot be written: {error}")))?;
    appended.map(|_| ()).ok_or(Unanswered::Stopping)
}

/// Keys and values of records.
type Records = Vec<(Vec<u8>, Option<Vec<u8>>)>;

async fn read_all(shards: &ShardsHandle, registry: &mut Registry) -> Result<(), Unanswered> {
    let found = shards.call(METADATA_SHARD, Class::Admin, "schemas", || async {
        place(&Broker::local())
    });
    let Some((owner, key)) = found.await? else {
        return Ok(());
    };
    let mut from = Offset::ZERO;
    loop {
        let read = shards.call(owner, Class::Admin, "schemas read", move || {
            read_some(Broker::local(), key, from)
        });
        let Some((next, records)) = read.await? else {
            return Ok(());
        };
        for (key, value) in records {
            registry.apply(&key, value.as_deref());
        }
        from = next;
    }
}

/// Some records more, and where the next are; `None` at the end.
async fn read_some(
    broker: Rc<Broker>,
    key: PartitionKey,
    from: Offset,
) -> Result<Option<(Offset, Records)>, Unanswered> {
    let unread = |why: String| Unanswered::Topic(format!("cannot be read: {why}"));
    let partition = broker.partition(key);
    let partition = partition.ok_or_else(|| unread("it is not there".to_owned()))?;
    if let Some(damage) = partition.quarantined() {
        return Err(unread(damage.to_string()));
    }
    if !partition.raft().wait_all_committed().await {
        return Err(Unanswered::Stopping);
    }
    let log = partition.log();
    let (from, end) = (from.max(log.log_start_offset()), partition.high_watermark());
    if from >= end {
        return Ok(None);
    }
    let read = log.read(from, end, READ_BYTES_MAX, true).await;
    let read = read.map_err(|error| unread(error.to_string()))?;
    let bytes = read.batches.to_contiguous();
    let mut records = Records::new();
    let mut next = from;
    for item in batch::batches(&bytes) {
        let (header, bytes) = item.map_err(|error| unread(error.to_string()))?;
        next = Offset(header.last_offset().0 + 1);
        if header.is_control() {
            continue;
        }
        let each = |record: batch::Record<'_>| {
            if let Some(key) = record.key.filter(|_| record.offset >= from) {
                let value = record.value.map(|value| value.into_owned());
                records.push((key.into_owned(), value));
            }
            true
        };
        let taken = batch::for_each_record(bytes, OUTPUT_BYTES_MAX, each);
        taken.map_err(|error| unread(error.to_string()))?;
    }
    if next <= from {
        return Err(unread(format!("nothing stands at offset {from}")));
    }
    Ok(Some((next, records)))
}

#[cfg(test)]
mod tests;
