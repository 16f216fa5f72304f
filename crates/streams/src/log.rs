//! The log as the engine sees it: the one seam between streams and topics.
//!
//! Two things stand behind it: the partitions of this node, and (for pipelines against other clusters) the Kafka client.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, rc::Rc, sync::Arc};

use base::{Offset, PartitionIndex, PartitionKey, TopicId};
use runtime::Instant;

use crate::source::{Decoded, SourceReader};

pub type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopicShape {
    pub id: TopicId,
    pub partitions: i32,
}

/// What of a partition can be read: `log_start_offset..high_watermark`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    pub log_start_offset: Offset,
    pub high_watermark: Offset,
}

/// Why the log did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    #[error("the topic was deleted")]
    Deleted,
    #[error("offset {wanted} is gone: the partition begins at {start}")]
    Trimmed { wanted: Offset, start: Offset },
    #[error("{0}")]
    Refused(String),
    /// Trying again may help.
    #[error("the disk is full")]
    Full,
    #[error("the node is stopping")]
    Stopping,
}

impl LogError {
    /// Nobody did anything wrong: the node is stopping, or has no room; what was to be done can be done later.
    #[must_use]
    pub fn is_of_the_node(&self) -> bool {
        matches!(self, Self::Full | Self::Stopping)
    }
}

/// A topic of another cluster, as a name that no topic of the log's own can have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalTopic {
    /// `host:port` of brokers to ask first, with commas between them.
    pub brokers: String,
    pub topic: String,
}

const EXTERNAL: &str = "kafka://";

impl ExternalTopic {
    /// `None`: it is a topic of the log's own.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let (brokers, topic) = name.strip_prefix(EXTERNAL)?.split_once('/')?;
        Some(Self {
            brokers: brokers.to_owned(),
            topic: topic.to_owned(),
        })
    }
}

impl fmt::Display for ExternalTopic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{EXTERNAL}{}/{}", self.brokers, self.topic)
    }
}

/// Why nothing was written into another cluster, or perhaps not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// Trying again may help.
    #[error("{0}")]
    Passing(String),
    #[error("{0}")]
    Refused(String),
}

/// Writes into a topic of another cluster, whole epochs at a time.
pub trait EpochWriter {
    /// Shuts out whoever wrote under the same name before, ends what they had begun, and says up to which epoch everything
    /// is written, if anything is.
    fn take_over(&self) -> LocalFuture<'_, Result<Option<u64>, WriteError>>;

    /// Writes these batches and that everything is written up to this epoch: both or neither. After an error `take_over`
    /// comes first, and tells which it was.
    fn write(
        &self,
        epoch: u64,
        batches: Vec<(PartitionIndex, Vec<u8>)>,
    ) -> LocalFuture<'_, Result<(), WriteError>>;
}

/// See the module head.
pub trait TopicLog {
    fn topic(&self, name: &str) -> Option<TopicShape>;

    /// As `topic`, and asks who may know, where that takes time.
    fn find_topic(&self, name: String) -> LocalFuture<'_, Result<Option<TopicShape>, LogError>> {
        Box::pin(async move { Ok(self.topic(&name)) })
    }

    /// How that sink writes into a topic of another cluster; `None` where the topic is the log's own.
    fn epoch_writer(&self, _topic: &str, _sink: u64) -> Option<Rc<dyn EpochWriter>> {
        None
    }

    /// Nobody reads these partitions before these offsets again, unless a new reader comes.
    fn note_read(&self, _positions: &BTreeMap<PartitionKey, Offset>) {}

    /// Why nothing more of a topic comes, if something is wrong.
    fn trouble(&self, _topic: &str) -> Option<String> {
        None
    }

    /// The topic of that name, made when there is none, with so many partitions (0: as many as is usual). `keeps_all`:
    /// nothing of it is removed by age or size.
    fn ensure_topic(
        &self,
        name: String,
        partitions: i32,
        keeps_all: bool,
    ) -> LocalFuture<'_, Result<TopicShape, LogError>>;

    /// Removes a topic that nobody but the engine uses, if it is there.
    fn delete_topic(&self, name: String) -> LocalFuture<'_, Result<(), LogError>>;

    /// Of each partition; `None` where it is gone.
    fn extents(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>>;

    /// As `extents`, from whoever has the partitions: also what nobody has fetched yet, of those that another cluster has.
    fn extents_there(&self, partitions: Vec<PartitionKey>) -> LocalFuture<'_, Vec<Option<Extent>>> {
        self.extents(partitions)
    }

    /// No relation names that topic any more.
    fn release_topic(&self, _topic: &str) {}

    /// Returns when a partition's high watermark is not what was seen, or at the deadline; it may return early.
    fn wait(&self, seen: Vec<(PartitionKey, Offset)>, deadline: Instant) -> LocalFuture<'_, ()>;

    /// Reads records below `until` from `from` on, and makes rows of them where the partition lives: all there are, or at
    /// least one batch and at most about `bytes_max`.
    fn read(
        &self,
        partition: PartitionKey,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        reader: Arc<SourceReader>,
    ) -> LocalFuture<'_, Result<Decoded, LogError>>;

    /// Appends a batch that this node built; returns the offset behind it once it is committed.
    fn append(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<Offset, LogError>>;

    /// As `append`, of an idempotent producer's batch to a topic of the user's: it is there once, however often it is sent.
    fn produce(
        &self,
        partition: PartitionKey,
        batch: Vec<u8>,
    ) -> LocalFuture<'_, Result<(), LogError>>;

    /// Removes what stands before an offset.
    fn trim(
        &self,
        partition: PartitionKey,
        log_start_offset: Offset,
    ) -> LocalFuture<'_, Result<(), LogError>>;

    /// The batches below the high watermark from an offset on, as they are: at least one, at most about `bytes_max`; the
    /// offset at which they begin, if that is later.
    fn batches(
        &self,
        partition: PartitionKey,
        from: Offset,
        bytes_max: usize,
    ) -> LocalFuture<'_, Result<(Offset, Vec<u8>), LogError>>;

    /// An id for a producer that nobody else has.
    fn producer_id(&self) -> LocalFuture<'_, Result<i64, LogError>>;
}
