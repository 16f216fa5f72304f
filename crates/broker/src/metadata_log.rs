//! The metadata log: commands made durable in one order and told to every shard.
//!
//! # Place
//! A partition of its own in home 0 with a raft group of its own, written by one task on the shard that hosts it.
//!
//! # Invariants
//! 1. A command is told to the shards only after it is committed, and before its proposer hears of it.
//! 2. What the log holds can be applied: commands are checked against the image that all commands before them give.
//!
//! # Layout
//! Record batches; the value of each record is one encoded command. `Log::save_snapshot` holds the image as of an offset,
//! and the log is trimmed there.
//!
//! # Crash
//! Start reads the snapshot and applies what follows. A command that was appended but not yet told is applied then; its
//! proposer never got an answer.
//!
//! # Limits
//! `QUEUE` proposals wait; the next proposer waits for room.

use std::{cell::RefCell, rc::Rc};

use base::{Offset, PartitionIndex, PartitionKey, TimestampMs, TopicId};
use cluster::{Change, Command, Image, Refusal};
use kafka::batch::{self, BatchBuilder, Compression};
use runtime::{
    Class, JoinHandle,
    sync::{channel, oneshot},
};
use storage::{AppendError, Log, LogConfig};

use crate::{
    broker::{Broker, METADATA_SHARD},
    leaders::Led,
    raft_log::{Batch, Proposed, RaftAppendError, RaftLog},
};

/// Where the metadata log lives: Kafka's own id of `__cluster_metadata`.
pub const METADATA_KEY: PartitionKey = PartitionKey {
    topic: TopicId([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    partition: PartitionIndex(0),
};

/// Proposals that may wait for the writer.
const QUEUE: usize = 256;

/// Proposals written together.
const GROUP_MAX: usize = 64;

/// Bytes of commands in one batch before the next is begun.
const BATCH_BYTES: usize = 512 << 10;

/// Commands between two snapshots of the image: start applies no more than these.
const SNAPSHOT_INTERVAL: u64 = 1000;

/// One read while replaying.
const READ_BYTES: usize = 1 << 20;

/// Bound on one decompressed batch of commands; ours are not compressed.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// Why nothing of a proposal happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    #[error("the metadata log refused: {0}")]
    Append(#[from] RaftAppendError),
    #[error("the node is stopping")]
    Stopping,
}

/// Why the metadata cannot be read at start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    #[error("the metadata log cannot be read: {0}")]
    Read(#[from] storage::ReadError),
    #[error(
        "the metadata log begins at offset {0}, and its snapshot of what was before is missing or damaged"
    )]
    SnapshotLost(Offset),
    #[error("the metadata log holds a batch that cannot be read: {0}")]
    Batch(#[from] batch::BatchError),
    #[error("the metadata log holds what is no command: {0}")]
    Decode(#[from] cluster::DecodeError),
    #[error("the metadata log holds a command that cannot be applied: {0}")]
    Apply(#[from] Refusal),
    #[error("the metadata log holds a record without a value at offset {0}")]
    NoValue(Offset),
}

/// Each command's outcome, in order.
pub type Outcomes = Vec<Result<Change, Refusal>>;

struct Proposal {
    commands: Vec<Command>,
    done: oneshot::Sender<Result<Outcomes, CommitError>>,
}

/// Handle of the writer task.
pub struct MetadataLog {
    proposals: RefCell<Option<channel::Sender<Proposal>>>,
    writer: RefCell<Option<JoinHandle<()>>>,
    raft: Rc<RaftLog>,
}

/// Settings of the log itself: nothing is removed but by `trim`.
#[must_use]
pub fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 16 << 20,
        segment_ms: i64::MAX,
        retention_bytes: -1,
        retention_ms: -1,
        index_interval_bytes: 4096,
        delete_old: false,
    }
}

/// Applies everything the log holds; all of it is committed.
pub async fn replay(log: &Log) -> Result<Image, ReplayError> {
    let (mut at, mut image) = match log.load_snapshot().await? {
        Some((at, bytes)) => (at, Image::decode_snapshot(&bytes)?),
        None if log.log_start_offset() > Offset::ZERO => {
            return Err(ReplayError::SnapshotLost(log.log_start_offset()));
        }
        None => (Offset::ZERO, Image::default()),
    };
    let end = log.next_offset();
    while at < end {
        let read = log.read(at, end, READ_BYTES, true).await?;
        for item in batch::batches(&read.batches.to_contiguous()) {
            let (_, bytes) = item?;
            apply_batch(&mut image, bytes, at)?;
        }
        at = read.next_offset;
    }
    Ok(image)
}

fn apply_batch(image: &mut Image, bytes: &[u8], from: Offset) -> Result<(), ReplayError> {
    let mut outcome = Ok(());
    batch::for_each_record(bytes, OUTPUT_BYTES_MAX, |record| {
        // A read begins with the whole batch that contains its offset.
        if record.offset < from {
            return true;
        }
        outcome = match record.value {
            Some(value) => apply_one(image, &value),
            None => Err(ReplayError::NoValue(record.offset)),
        };
        outcome.is_ok()
    })?;
    outcome
}

fn apply_one(image: &mut Image, value: &[u8]) -> Result<(), ReplayError> {
    image.apply(&Command::decode(value)?)?;
    Ok(())
}

/// Appends commands and returns when they are committed.
pub async fn append(raft: &RaftLog, commands: &[Command]) -> Result<(), RaftAppendError> {
    let mut batches = Vec::new();
    let mut left = commands.iter().peekable();
    while left.peek().is_some() {
        let mut builder = BatchBuilder::new(Compression::None);
        while let Some(command) = left.next_if(|_| builder.size_estimate() < BATCH_BYTES) {
            builder.push(runtime::wall(), None, Some(&command.encode()), &[]);
        }
        let record_count = builder.record_count();
        let (batch, bytes_max) = (builder.finish(), base::limits::BATCH_BYTES_MAX);
        // All or nothing: what is appended counts, whatever its proposer hears.
        if batch.len() > bytes_max {
            let bytes = batch.len();
            return Err(AppendError::TooLarge { bytes, bytes_max }.into());
        }
        batches.push((batch, record_count));
    }
    let mut last = None;
    for (batch, record_count) in &batches {
        last = Some(append_batch(raft, batch, *record_count).await?);
    }
    let Some(proposed) = last else { return Ok(()) };
    let committed = raft.wait_committed(proposed.leader_epoch, proposed.index);
    match committed.await {
        true => Ok(()),
        false => Err(RaftAppendError::NotLeader),
    }
}

async fn append_batch(
    raft: &RaftLog,
    bytes: &[u8],
    record_count: u32,
) -> Result<Proposed, RaftAppendError> {
    loop {
        let batch = Batch {
            bytes,
            record_count,
            max_timestamp: TimestampMs(0),
        };
        // The disk's reserve is there for metadata: without it a full node could not delete a topic.
        match raft.append_from_reserve(batch) {
            Err(RaftAppendError::Log(AppendError::Busy)) => raft.log().append_ready().await,
            outcome => return outcome,
        }
    }
}

impl MetadataLog {
    /// Starts the writer on this shard; `broker` already holds the image that the log adds up to.
    pub fn start(broker: &Rc<Broker>, raft: Rc<RaftLog>) -> Rc<Self> {
        let (sender, receiver) = channel::bounded(QUEUE);
        let writer = Writer {
            proposed: broker.metadata.borrow().clone(),
            broker: broker.clone(),
            raft: raft.clone(),
            snapshot_at: broker.metadata.borrow().applied(),
        };
        let task = runtime::spawn(Class::Admin, "metadata writer", writer.run(receiver));
        Rc::new(Self {
            proposals: RefCell::new(Some(sender)),
            writer: RefCell::new(Some(task)),
            raft,
        })
    }

    async fn propose(&self, commands: Vec<Command>) -> Result<Outcomes, CommitError> {
        let sender = self
            .proposals
            .borrow()
            .clone()
            .ok_or(CommitError::Stopping)?;
        let (done, outcome) = oneshot::channel();
        let proposal = Proposal { commands, done };
        sender
            .send(proposal)
            .await
            .map_err(|_| CommitError::Stopping)?;
        outcome.await.unwrap_or(Err(CommitError::Stopping))
    }

    /// No more proposals; saves the image, so that the next start has nothing to replay.
    pub async fn stop(&self, broker: &Broker) {
        self.proposals.take();
        let writer = self.writer.take();
        if let Some(writer) = writer {
            // What is in the log is in the image when it has ended: the snapshot is taken as of the log's end.
            let _ = writer.await;
        }
        let image = broker.metadata.borrow().clone();
        save_snapshot(&self.raft, &image).await;
    }
}

struct Writer {
    broker: Rc<Broker>,
    raft: Rc<RaftLog>,
    /// The image that the log gives once everything appended is committed.
    proposed: Image,
    /// `applied` at the last snapshot.
    snapshot_at: u64,
}

impl Writer {
    async fn run(mut self, mut proposals: channel::Receiver<Proposal>) {
        while let Some(first) = proposals.recv().await {
            let mut group = vec![first];
            while group.len() < GROUP_MAX {
                let Some(next) = proposals.try_recv() else {
                    break;
                };
                group.push(next);
            }
            self.write(group).await;
            if self.proposed.applied() - self.snapshot_at >= SNAPSHOT_INTERVAL {
                self.snapshot_at = self.proposed.applied();
                save_snapshot(&self.raft, &self.proposed).await;
            }
        }
    }

    async fn write(&mut self, group: Vec<Proposal>) {
        let mut commands = Vec::new();
        let mut answers = Vec::new();
        for proposal in group {
            let mut outcomes = Vec::new();
            for command in proposal.commands {
                let outcome = self.proposed.apply(&command);
                if outcome.is_ok() {
                    commands.push(command);
                }
                outcomes.push(outcome);
            }
            answers.push((proposal.done, outcomes));
        }
        let written = append(&self.raft, &commands).await;
        if let Err(error) = &written {
            tracing::warn!(%error, "metadata could not be written");
            self.proposed = self.broker.metadata.borrow().clone();
        } else if !commands.is_empty() {
            self.tell_shards(&commands).await;
        }
        for (done, outcomes) in answers {
            done.send(
                written
                    .clone()
                    .map(|()| outcomes)
                    .map_err(CommitError::from),
            );
        }
    }

    /// Every shard applies the commands, and hears who leads the partitions that came to be, before any proposer does.
    async fn tell_shards(&self, commands: &[Command]) {
        let leaders = self.apply_everywhere(commands).await;
        Broker::tell_leaders(leaders).await;
    }

    async fn apply_everywhere(&self, commands: &[Command]) -> Vec<Led> {
        let told: Vec<_> = Broker::shards()
            .map(|shard| {
                let (broker, commands) = (self.broker.clone(), commands.to_vec());
                runtime::spawn(Class::Admin, "metadata broadcast", async move {
                    let apply = |broker: Rc<Broker>| async move { broker.apply(commands).await };
                    broker
                        .on_shard(shard, Class::Admin, "metadata", apply)
                        .await
                })
            })
            .collect();
        let mut leaders = Vec::new();
        for task in told {
            // Aborted only when the shard goes down, and then nobody waits for the answer.
            leaders.extend(task.await.into_iter().flatten());
        }
        leaders
    }
}

/// The image is as of the end of the log. Not where something behind what is committed may still be dropped, or was refused.
async fn save_snapshot(raft: &RaftLog, image: &Image) {
    let log = raft.log();
    let at = raft.committed().next_offset;
    if at != log.next_offset() || raft.is_closed() {
        return;
    }
    let saved = async {
        log.save_snapshot(at, image.encode_snapshot()).await?;
        raft.trim(at).await
    };
    // The log without a snapshot says the same, only at more length.
    if let Err(error) = saved.await {
        tracing::debug!(%error, "the metadata snapshot was not saved");
    }
}

impl Broker {
    /// Makes commands durable and applies them on every shard.
    pub async fn commit(&self, commands: Vec<Command>) -> Result<Outcomes, CommitError> {
        let propose = |broker: Rc<Broker>| async move {
            let log = broker.metadata_log.borrow().clone();
            match log {
                Some(log) => log.propose(commands).await,
                None => Err(CommitError::Stopping),
            }
        };
        self.on_shard(METADATA_SHARD, Class::Admin, "metadata", propose)
            .await
    }

    /// Commits one command.
    pub async fn commit_one(
        &self,
        command: Command,
    ) -> Result<Result<Change, Refusal>, CommitError> {
        let mut outcomes = self.commit(vec![command]).await?;
        Ok(outcomes.pop().expect("one outcome per command"))
    }
}
