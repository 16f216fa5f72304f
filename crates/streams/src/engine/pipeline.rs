//! A view, table or sink at work: its dataflow, and how far it has read.
//!
//! # Place
//! Owned by the engine's loop, one task on the engine's shard.

mod dead_letters;
mod repoint;
mod report;
mod watermark;
mod writers;

use std::{cell::Cell, collections::BTreeMap, rc::Rc, sync::Arc, time::Duration};

use base::{Offset, PartitionIndex, PartitionKey};
use runtime::Instant;

use super::{
    PlantedBugs, Relation, checkpoint::PipelineState, outbox::Watermarks, replace::Swap,
    sink::SinkWriter,
};
use crate::{
    Definition, Delta, Fault, NodeId,
    definition::{OnMalformed, Source, Stream, TopicInput},
    format::{FormatError, Known},
    graph::{EpochEnd, Graph, PlanError, StateKey},
    log::{Extent, LogError, TopicLog},
    plan::Input,
    source::{Content, Decoded, SchemasUnread, SourceReader},
};
use dead_letters::{DeadLetters, Origin};
use watermark::watermark_of;
pub use writers::writers_of;

/// One read of one partition.
const READ_BYTES: usize = 256 << 10;

/// A partition that is listed and cannot be looked at for so long will not come.
pub const MISSING_MAX: Duration = Duration::from_secs(10);

/// Where one partition stands.
#[derive(Clone, Debug)]
pub struct Position {
    pub key: PartitionKey,
    pub next_offset: Offset,
    /// The greatest event time seen, in microseconds.
    pub time_max: Option<i64>,
    heard_at: Instant,
    /// Since when there has been no sign of the partition.
    missing_since: Option<Instant>,
    /// Nothing of it was read: what was trimmed is not missed.
    is_unread: bool,
}

impl Position {
    /// The partition begins there now.
    fn note_start(&mut self, start: Offset) {
        if self.is_unread {
            self.next_offset = self.next_offset.max(start);
        }
    }
}

/// What an input node of the plan is fed with.
enum Feed {
    Topic {
        topic: String,
        /// Whose records these are; none: a table's own.
        source: Option<Rc<Relation>>,
        reader: Arc<SourceReader>,
        positions: Vec<Position>,
        /// Of its rows, where they have a time: never falls, or what was late would not be.
        watermark: Option<i64>,
    },
    /// What another pipeline of this epoch puts out; at first, what its view holds.
    Relation {
        relation: Rc<Relation>,
        columns: Vec<usize>,
        is_fed: bool,
    },
}

/// See the module head.
pub struct Pipeline {
    pub relation: Rc<Relation>,
    graph: Graph,
    feeds: BTreeMap<NodeId, Feed>,
    /// Of the epoch that is being worked on.
    pub output: Vec<Delta>,
    /// What has come out since the last checkpoint.
    pub unsaved: Vec<Delta>,
    pub watermark: Option<i64>,
    pub sink: Option<SinkWriter>,
    /// The last epoch brought it something, or something came out.
    pub has_moved: bool,
    /// It has taken in something that is not there to be taken in again: what others put out in an epoch.
    pub has_begun: bool,
    /// Inputs whose rows have a time.
    timed: Vec<NodeId>,
    /// Whether it drops rows for being late, and how many it had when that was last asked.
    drops_late: bool,
    late_rows: u64,
    /// It read records of which a schema that is not known yet may make rows.
    has_unknown_writers: bool,
    pub swap: Swap,
}

/// Why a pipeline cannot be made, or go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PipelineError {
    #[error("topic \"{0}\" does not exist")]
    TopicUnknown(String),
    #[error("relation \"{0}\" does not exist")]
    RelationUnknown(String),
    #[error("topic \"{0}\" was deleted")]
    TopicDeleted(String),
    #[error("partition {partition} of topic \"{topic}\" cannot be read")]
    Unreadable { topic: String, partition: i32 },
    #[error("\"{0}\", which it reads, has stopped")]
    InputStopped(String),
    #[error("{0}")]
    Plan(#[from] PlanError),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    Format(#[from] FormatError),
    #[error("{0}")]
    SchemasUnread(#[from] SchemasUnread),
    #[error("its state cannot be restored: {0}")]
    Restore(String),
    #[error("topic \"{topic}\", partition {partition}, offset {offset}: {why}")]
    Malformed {
        topic: String,
        partition: PartitionIndex,
        offset: Offset,
        why: String,
    },
    #[error("the dead letters of \"{topic}\": {error}")]
    DeadLetters { topic: String, error: LogError },
    #[error("{0}")]
    State(Fault),
}

impl PipelineError {
    /// As `LogError::is_of_the_node`: the pipeline goes on at the next start.
    pub fn is_of_the_node(&self) -> bool {
        match self {
            Self::Log(error) | Self::DeadLetters { error, .. } => error.is_of_the_node(),
            Self::SchemasUnread(_) => true,
            _ => false,
        }
    }
}

/// What it holds is free again.
impl Drop for Pipeline {
    fn drop(&mut self) {
        self.relation.state_bytes.set(0);
        self.relation.difference_bytes.set(0);
    }
}

impl Pipeline {
    /// At the beginning of everything it reads.
    pub fn new(
        relation: Rc<Relation>,
        relations: &BTreeMap<String, Rc<Relation>>,
        log: &dyn TopicLog,
    ) -> Result<Self, PipelineError> {
        let plan = relation.plan();
        let mut feeds = BTreeMap::new();
        for (node, input) in plan.inputs() {
            let feed = match &relation.definition {
                Definition::Table(table) => {
                    let reader = SourceReader {
                        content: Content::Changes,
                        schema: table.schema.clone(),
                        columns: input.columns.clone(),
                        metadata: Vec::new(),
                        watermark: None,
                        keeps_malformed: false,
                        writers: None,
                    };
                    topic_feed(relation.table_topic(), None, reader, log)?
                }
                Definition::Stream(Stream {
                    topic: Some(topic), ..
                }) => topic_feed(topic.topic.clone(), None, own_reader(topic), log)?,
                _ => feed_of(input, relations, log)?,
            };
            feeds.insert(node, feed);
        }
        let sink = match &relation.definition {
            Definition::Sink(sink) => match &sink.topic {
                None => None,
                Some(name) => {
                    let topic = log.topic(name);
                    let topic = topic.ok_or_else(|| PipelineError::TopicUnknown(name.clone()))?;
                    let schema = &plan.result().schema;
                    Some(SinkWriter::new(relation.id, sink, schema, topic)?)
                }
            },
            _ => None,
        };
        let timed = plan.inputs().filter(|(_, input)| input.time.is_some());
        let mut graph = Graph::new(&plan)?;
        graph.set_clock(runtime::now);
        Ok(Self {
            graph,
            timed: timed.map(|(node, _)| node).collect(),
            drops_late: plan.drops_late(),
            late_rows: 0,
            has_unknown_writers: false,
            swap: Swap::default(),
            has_begun: false,
            sink,
            relation,
            feeds,
            output: Vec::new(),
            unsaved: Vec::new(),
            watermark: None,
            has_moved: false,
        })
    }

    /// The partitions it reads, and up to where it has.
    pub fn positions(&self) -> impl Iterator<Item = &Position> {
        self.feeds.values().flat_map(|feed| match feed {
            Feed::Topic { positions, .. } => &positions[..],
            Feed::Relation { .. } => &[],
        })
    }

    /// Topics that have more partitions than it knows: it reads those from their start. Fails when a topic is gone.
    pub fn note_partitions(&mut self, log: &dyn TopicLog) -> Result<(), PipelineError> {
        for feed in self.feeds.values_mut() {
            let Feed::Topic {
                topic, positions, ..
            } = feed
            else {
                continue;
            };
            let known = positions.first().map(|position| position.key.topic);
            let shape = log
                .topic(topic)
                .filter(|shape| known.is_none_or(|known| known == shape.id))
                .ok_or_else(|| PipelineError::TopicDeleted(topic.clone()))?;
            let have = positions.len() as i32;
            positions.extend((have..shape.partitions).map(|at| position(shape.id, at)));
        }
        Ok(())
    }

    /// What there is of each partition. One that was never read is read from where it begins now; `false` when there is one
    /// that does not show (yet), and an error when that has lasted.
    pub fn note_extents(
        &mut self,
        extents: &BTreeMap<PartitionKey, Extent>,
    ) -> Result<bool, PipelineError> {
        let mut is_whole = true;
        for feed in self.feeds.values_mut() {
            let Feed::Topic {
                topic, positions, ..
            } = feed
            else {
                continue;
            };
            for position in positions {
                if let Some(extent) = extents.get(&position.key) {
                    position.missing_since = None;
                    position.note_start(extent.log_start_offset);
                    continue;
                }
                is_whole = false;
                let since = position.missing_since.get_or_insert_with(runtime::now);
                if runtime::now().since(*since) >= MISSING_MAX {
                    return Err(PipelineError::Unreadable {
                        topic: topic.clone(),
                        partition: position.key.partition.0,
                    });
                }
            }
        }
        Ok(is_whole)
    }

    /// Names of the relations whose rows it takes in.
    pub fn reads(&self) -> impl Iterator<Item = &Rc<Relation>> {
        self.feeds.values().filter_map(|feed| match feed {
            Feed::Topic { .. } => None,
            Feed::Relation { relation, .. } => Some(relation),
        })
    }

    /// Whether functions of a program are at work.
    pub fn is_stream(&self) -> bool {
        matches!(self.relation.definition, Definition::Stream(_))
    }

    /// Whether where epochs end decides what readers see of it.
    pub fn drops_late(&self) -> bool {
        self.drops_late && !self.swap.is_beside
    }

    /// How many rows readers miss because they were late, since the last call.
    pub fn take_late_rows(&mut self) -> u64 {
        let all = match self.drops_late {
            true => self.graph.late_rows(),
            false => 0,
        };
        let late_rows = all - std::mem::replace(&mut self.late_rows, all);
        if self.swap.is_beside { 0 } else { late_rows }
    }

    /// Whether since the last call readers missed rows that a schema which is not known yet may make of records.
    pub fn take_unknown_writers(&mut self) -> bool {
        std::mem::take(&mut self.has_unknown_writers) && !self.swap.is_beside
    }

    /// Works off one epoch: reads every partition up to its cut, takes what other pipelines put out, and ends the epoch.
    /// The number of records read.
    pub async fn run_epoch(
        &mut self,
        epoch: Epoch<'_>,
        log: &dyn TopicLog,
    ) -> Result<u64, PipelineError> {
        let mut records = 0;
        self.has_moved = false;
        for relation in self.reads() {
            if relation.failure().is_some() {
                return Err(PipelineError::InputStopped(relation.name.clone()));
            }
        }
        self.has_begun = epoch.outputs.is_some();
        let nodes: Vec<NodeId> = self.feeds.keys().copied().collect();
        for node in nodes {
            records += self.read_topic(node, &epoch, log).await?;
            if let Some(outputs) = epoch.outputs {
                self.take_from_relation(node, outputs);
            }
            self.work().await?;
        }
        let watermarks = self.advance_watermarks(epoch);
        self.graph.end_epoch(EpochEnd {
            epoch: epoch.number,
            now: epoch.now,
            watermarks,
        });
        self.work().await?;
        self.output.extend(self.graph.take_output());
        self.has_moved |= records > 0 || !self.output.is_empty();
        Ok(records)
    }

    /// The watermarks of the inputs at the epoch's end. What reads this one has its watermark in the same epoch.
    fn advance_watermarks(&mut self, epoch: Epoch<'_>) -> BTreeMap<NodeId, i64> {
        let mut watermarks = BTreeMap::new();
        for (node, feed) in &mut self.feeds {
            let now = match feed {
                Feed::Relation { relation, .. } => relation.watermark.get(),
                Feed::Topic {
                    reader,
                    positions,
                    watermark,
                    ..
                } => {
                    let said = match epoch.watermarks {
                        // As it was the first time: which partitions were silent then, nobody knows any more.
                        Some(known) => known.get(&(self.relation.id, node.0 as u32)).copied(),
                        None => watermark_of(reader.watermark, positions, epoch.cuts),
                    };
                    *watermark = said.max(*watermark);
                    *watermark
                }
            };
            if let Some(now) = now {
                watermarks.insert(*node, now);
            }
        }
        // An input with a time that has none yet may still bring rows of any age.
        let timed = self.timed.iter().map(|node| watermarks.get(node).copied());
        let lowest = timed.min().flatten();
        self.watermark = self.watermark.max(lowest);
        self.relation.watermark.set(self.watermark);
        watermarks
    }

    /// Of the topics that it reads, for the record of an epoch.
    pub fn watermarks(&self) -> impl Iterator<Item = (NodeId, i64)> {
        self.feeds.iter().filter_map(|(node, feed)| match feed {
            Feed::Topic { watermark, .. } => watermark.map(|watermark| (*node, watermark)),
            Feed::Relation { .. } => None,
        })
    }

    /// What its operators may hold.
    pub fn set_state_bytes_max(&mut self, bytes: usize) {
        self.graph.set_state_bytes_max(bytes);
    }

    pub fn note_state(&self) {
        self.relation.state_bytes.set(self.graph.state_bytes());
    }

    async fn work(&mut self) -> Result<(), PipelineError> {
        while self.graph.work() {
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        self.note_state();
        match self.graph.failure() {
            Some(fault) => Err(PipelineError::State(fault.clone())),
            None => Ok(()),
        }
    }

    async fn read_topic(
        &mut self,
        node: NodeId,
        epoch: &Epoch<'_>,
        log: &dyn TopicLog,
    ) -> Result<u64, PipelineError> {
        let mut records = 0;
        self.know_writers(node, epoch)?;
        loop {
            let Some(Feed::Topic {
                reader, positions, ..
            }) = self.feeds.get(&node)
            else {
                return Ok(0);
            };
            let mut reads = Vec::new();
            let mut places = Vec::new();
            for (place, position) in positions.iter().enumerate() {
                let cut = epoch.cuts.get(&position.key);
                let cut = cut.copied().unwrap_or(Offset::ZERO);
                if position.next_offset < cut {
                    let (key, from) = (position.key, position.next_offset);
                    reads.push(log.read(key, from, cut, READ_BYTES, reader.clone()));
                    places.push(place);
                }
            }
            if reads.is_empty() {
                return Ok(records);
            }
            self.relation.reading_since.set(Some(runtime::now()));
            let decoded = super::all(reads).await;
            self.relation.reading_since.set(None);
            for (place, decoded) in places.into_iter().zip(decoded) {
                if let Err(LogError::Trimmed { start, .. }) = decoded
                    && self.note_start(node, place, start)
                {
                    continue;
                }
                let mut decoded = decoded?;
                records += decoded.records;
                self.settle_malformed(node, place, &mut decoded, epoch, log)
                    .await?;
                self.take_decoded(node, place, decoded, epoch.now);
                self.work().await?;
            }
        }
    }

    /// Whether it may go on where the partition begins now.
    fn note_start(&mut self, node: NodeId, place: usize, start: Offset) -> bool {
        let Some(Feed::Topic { positions, .. }) = self.feeds.get_mut(&node) else {
            return false;
        };
        let position = &mut positions[place];
        position.note_start(start);
        position.next_offset >= start
    }

    /// What the source says is done with records that hold no row.
    async fn settle_malformed(
        &self,
        node: NodeId,
        place: usize,
        decoded: &mut Decoded,
        epoch: &Epoch<'_>,
        log: &dyn TopicLog,
    ) -> Result<(), PipelineError> {
        let Some(Feed::Topic {
            topic,
            source: Some(source),
            positions,
            ..
        }) = self.feeds.get(&node)
        else {
            return Ok(());
        };
        let (key, Definition::Source(definition)) = (positions[place].key, &source.definition)
        else {
            return Ok(());
        };
        match (&definition.on_malformed, &decoded.malformed_first) {
            (_, None) | (OnMalformed::Skip, _) => Ok(()),
            (OnMalformed::Stop, Some((offset, why))) => Err(PipelineError::Malformed {
                topic: topic.clone(),
                partition: key.partition,
                offset: *offset,
                why: why.clone(),
            }),
            (OnMalformed::DeadLetter { topic: to }, _) => {
                let records = std::mem::take(&mut decoded.malformed_records);
                let from = Origin { topic, key, source };
                let letters = DeadLetters {
                    to,
                    log,
                    is_stopping: epoch.is_stopping,
                };
                let written = letters.write(from, records).await;
                let written = written.map_err(|error| PipelineError::DeadLetters {
                    topic: to.clone(),
                    error,
                })?;
                self.relation.count_dead_letters(written);
                Ok(())
            }
        }
    }

    fn take_decoded(&mut self, node: NodeId, place: usize, decoded: Decoded, now: i64) {
        let Some(Feed::Topic {
            positions, reader, ..
        }) = self.feeds.get_mut(&node)
        else {
            return;
        };
        let position = &mut positions[place];
        position.next_offset = decoded.next_offset;
        position.is_unread = false;
        let ahead = reader.watermark.map_or(0, |known| known.future_us_max);
        let believed = now.saturating_add(ahead);
        let newest = match decoded.time_max {
            Some(time) if time > believed => {
                let deltas = decoded.deltas.iter();
                deltas
                    .filter_map(|delta| reader.newest_time(delta, believed))
                    .max()
            }
            newest => newest,
        };
        position.time_max = position.time_max.max(newest);
        position.heard_at = runtime::now();
        self.relation.count_read(&decoded);
        self.has_unknown_writers |= decoded.has_unknown_writers;
        for delta in decoded.deltas {
            self.graph.push(node, delta);
        }
    }

    fn take_from_relation(&mut self, node: NodeId, outputs: &BTreeMap<String, Vec<Delta>>) {
        let Some(Feed::Relation {
            relation,
            columns,
            is_fed,
        }) = self.feeds.get_mut(&node)
        else {
            return;
        };
        // What the view held before this epoch comes first, once.
        let held = match std::mem::replace(is_fed, true) {
            true => Vec::new(),
            false => relation.rows().map_or_else(Vec::new, |rows| rows.deltas()),
        };
        let fresh = outputs.get(&relation.name).map_or(&[][..], Vec::as_slice);
        self.has_moved |= !held.is_empty() || !fresh.is_empty();
        for delta in held.iter().chain(fresh) {
            self.graph.push(node, delta.project(columns));
        }
    }

    /// Everything that a restart needs beside the state's entries.
    pub fn save(&self) -> PipelineState {
        let positions = self.feeds.iter().flat_map(|(node, feed)| match feed {
            Feed::Topic { positions, .. } => positions
                .iter()
                .map(|position| (node.0 as u32, position.clone()))
                .collect(),
            Feed::Relation { .. } => Vec::new(),
        });
        PipelineState {
            id: self.relation.id,
            fingerprint: self.relation.fingerprint(),
            watermark: self.watermark,
            watermarks: self
                .watermarks()
                .map(|(node, watermark)| (node.0 as u32, watermark))
                .collect(),
            positions: positions
                .map(|(node, position)| {
                    (node, position.key, position.next_offset, position.time_max)
                })
                .collect(),
            store: String::new(),
            runs: Vec::new(),
            producer: self.sink.as_ref().and_then(|sink| sink.producer),
            sequences: self
                .sink
                .as_ref()
                .map_or_else(Vec::new, |sink| sink.sequences.clone()),
            has_stopped: false,
            delivers: false,
        }
    }

    /// Whether a checkpoint is of the topics that are there now.
    pub fn is_of_these_topics(&self, state: &PipelineState) -> bool {
        state.positions.iter().all(|(node, key, ..)| {
            let Some(Feed::Topic { positions, .. }) = self.feeds.get(&NodeId(*node as usize))
            else {
                return false;
            };
            positions.iter().any(|position| position.key == *key)
        })
    }

    /// Stands where a checkpoint was taken.
    pub fn restore_positions(&mut self, state: &PipelineState, planted: PlantedBugs) {
        self.has_begun = true;
        if !planted.forget_watermarks {
            self.restore_watermarks(state);
        }
        if let Some(sink) = &mut self.sink {
            sink.producer = state.producer;
            let kept = !planted.reset_sequences;
            for (known, sequence) in sink
                .sequences
                .iter_mut()
                .zip(&state.sequences)
                .filter(|_| kept)
            {
                *known = *sequence;
            }
        }
        for (node, key, next_offset, time_max) in &state.positions {
            let Some(Feed::Topic { positions, .. }) = self.feeds.get_mut(&NodeId(*node as usize))
            else {
                continue;
            };
            if let Some(position) = positions.iter_mut().find(|position| position.key == *key) {
                position.next_offset = *next_offset;
                position.is_unread = *next_offset == Offset::ZERO;
                position.time_max = time_max.filter(|_| !planted.forget_watermarks);
            }
        }
        for feed in self.feeds.values_mut() {
            if let Feed::Relation { is_fed, .. } = feed {
                *is_fed = true;
            }
        }
        self.note_state();
    }

    fn restore_watermarks(&mut self, state: &PipelineState) {
        self.watermark = state.watermark;
        self.relation.watermark.set(self.watermark);
        for (node, saved) in &state.watermarks {
            let feed = self.feeds.get_mut(&NodeId(*node as usize));
            if let Some(Feed::Topic { watermark, .. }) = feed {
                *watermark = Some(*saved);
            }
        }
    }

    /// See the dataflow's.
    pub fn checkpoint(
        &mut self,
        all: bool,
        write: &mut dyn FnMut(StateKey<'_>, Option<&[u8]>),
    ) -> bool {
        self.graph.checkpoint(all, write)
    }

    /// Makes room for so many entries of a node's table.
    pub fn reserve(&mut self, node: NodeId, table: u8, entries: usize) {
        self.graph.reserve(node, table, entries);
    }

    pub fn restore(&mut self, key: StateKey<'_>, value: &[u8]) -> Result<(), PipelineError> {
        let restored = self.graph.restore(key, value);
        restored.map_err(|error| PipelineError::Restore(error.to_string()))
    }
}

/// What an epoch is, for those that work it off.
#[derive(Clone, Copy)]
pub struct Epoch<'a> {
    pub number: u64,
    /// Microseconds since 1970.
    pub now: i64,
    pub cuts: &'a BTreeMap<PartitionKey, Offset>,
    /// What the pipelines before put out in it; `None`: other relations are not read yet.
    pub outputs: Option<&'a BTreeMap<String, Vec<Delta>>>,
    /// Of an epoch that was before.
    pub watermarks: Option<&'a Watermarks>,
    /// The schemas that count as known; `None`: nobody was told of any.
    pub writers: Option<&'a Known>,
    /// Nothing is waited for any more.
    pub is_stopping: &'a Cell<bool>,
}

fn feed_of(
    input: &Input,
    relations: &BTreeMap<String, Rc<Relation>>,
    log: &dyn TopicLog,
) -> Result<Feed, PipelineError> {
    let relation = relations
        .get(&input.relation)
        .ok_or_else(|| PipelineError::RelationUnknown(input.relation.clone()))?;
    match &relation.definition {
        Definition::Source(source) => {
            let reader = SourceReader::of(source, &input.columns);
            topic_feed(source.topic.clone(), Some(relation.clone()), reader, log)
        }
        _ => Ok(Feed::Relation {
            relation: relation.clone(),
            columns: input.columns.clone(),
            is_fed: false,
        }),
    }
}

fn own_reader(topic: &TopicInput) -> SourceReader {
    SourceReader {
        content: Content::Own(topic.reader.clone()),
        schema: topic.schema.clone(),
        columns: (0..topic.schema.fields().len()).collect(),
        metadata: Vec::new(),
        watermark: topic.watermark,
        keeps_malformed: false,
        writers: None,
    }
}

/// A reader of all of a source's columns.
#[must_use]
pub fn whole_reader(source: &Source) -> SourceReader {
    let all: Vec<usize> = (0..source.schema.fields().len()).collect();
    SourceReader {
        watermark: None,
        keeps_malformed: false,
        ..SourceReader::of(source, &all)
    }
}

fn topic_feed(
    topic: String,
    source: Option<Rc<Relation>>,
    reader: SourceReader,
    log: &dyn TopicLog,
) -> Result<Feed, PipelineError> {
    let shape = log
        .topic(&topic)
        .ok_or_else(|| PipelineError::TopicUnknown(topic.clone()))?;
    Ok(Feed::Topic {
        topic,
        source,
        reader: Arc::new(reader),
        positions: (0..shape.partitions)
            .map(|at| position(shape.id, at))
            .collect(),
        watermark: None,
    })
}

fn position(topic: base::TopicId, partition: i32) -> Position {
    Position {
        key: PartitionKey {
            topic,
            partition: PartitionIndex(partition),
        },
        next_offset: Offset::ZERO,
        time_max: None,
        heard_at: runtime::now(),
        missing_since: None,
        is_unread: true,
    }
}
