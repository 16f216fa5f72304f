//! The engine of a node: all views, tables and sinks, one epoch after the other.
//!
//! # Place
//! On one shard of the node; what reads and decodes records runs on the shards that have the partitions.
//!
//! # Invariants
//! 1. At the end of an epoch every pipeline has taken in exactly the records below the epoch's cuts, so any set of views is
//!    an exact answer over one prefix of every input. Readers see ends of epochs only.
//! 2. Pipelines are worked off in the order of their relations' ids: what one puts out in an epoch, those that read it take in
//!    in the same epoch.
//! 3. What a checkpoint holds is one epoch of all pipelines.
//!
//! # Cost
//! An epoch in which nothing came costs one look at the high watermarks, at most ten times a second. With input: a message to
//! each shard that has some, and the work of the dataflows.
//!
//! # Crash
//! Restart begins with the newest checkpoint and reads on from its positions. A view is a function of what was read, so
//! nothing else needs to be kept; what sinks put out goes through the outbox (`sink`).
//!
//! # Yields
//! Between chunks of work. While rows are applied to views (`applying`) readers wait.
//!
//! # Limits
//! `RECORDS_PER_EPOCH` of each partition; subscribers are ended when they are `CHANGES_MAX` epochs behind.

pub mod arrangement;
mod checkpoint;
mod deciding;
mod outbox;
mod pipeline;
mod questions;
mod relation;
mod report;
mod sink;
mod waiting;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    io,
    path::Path,
    rc::Rc,
    time::Duration,
};

use base::{Offset, PartitionKey};
use runtime::{Class, Fatal, Instant, sync::Notify};

use crate::{Definition, NodeId, log::TopicLog};
use arrangement::NotThere;
pub use checkpoint::CheckpointError;
use checkpoint::{Checkpoint, CheckpointDir, PipelineState, ROWS, RunWriter};
use deciding::Outbox;
pub use outbox::OUTBOX_TOPIC;
pub use pipeline::PipelineError;
use pipeline::{Epoch, Pipeline};
pub use questions::{Changes, QuestionError, ReadAt, RowsOf, Snapshot};
use relation::{Subscriber, rank};
pub use relation::{NewRelation, PROGRAM_IDS, ReadCounts, Relation};
pub use report::{OperatorReport, PipelineReport, PositionReport, Report};
pub(crate) use waiting::all;

/// Records of one partition that an epoch takes in at most: a second's work is never one epoch.
const RECORDS_PER_EPOCH: i64 = 32 << 10;

/// An epoch begins at least so long after the one before.
const EPOCH_MIN: Duration = Duration::from_millis(5);

/// The clock of temporal filters and of idle partitions goes on at least so often.
const EPOCH_MAX: Duration = Duration::from_millis(100);

/// Between two checkpoints while something changes.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// Runs of one pipeline before all of its state is written anew.
const RUNS_MAX: usize = 8;

/// Whether an engine has ever saved something there.
pub async fn has_checkpoint(data_dir: &Path) -> io::Result<bool> {
    CheckpointDir::new(data_dir).exists().await
}

/// What is subscribed to, and by whom.
type Subscription = (Rc<Relation>, Rc<Subscriber>);

/// See the module head.
pub struct Engine {
    log: Rc<dyn TopicLog>,
    checkpoints: CheckpointDir,
    relations: RefCell<BTreeMap<String, Rc<Relation>>>,
    /// Made, and not yet worked on by the loop.
    joining: RefCell<Vec<Pipeline>>,
    leaving: RefCell<BTreeSet<u64>>,
    /// Names that are being made.
    reserved: RefCell<BTreeSet<String>>,
    epoch: Cell<u64>,
    now: Cell<i64>,
    /// Up to where readers see every partition.
    cuts: RefCell<BTreeMap<PartitionKey, Offset>>,
    applying: Cell<bool>,
    /// What was there at the start has been read.
    is_ready: Cell<bool>,
    report_wanted: Cell<bool>,
    report: RefCell<Option<Report>>,
    subscriptions: RefCell<BTreeMap<u64, Subscription>>,
    next_subscription: Cell<u64>,
    /// An epoch ended, or a pipeline stopped.
    progressed: Notify,
    /// There is something for the loop to do.
    wake: Notify,
    stopping: Cell<bool>,
    stopped: Notify,
}

/// Why the engine does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
}

struct Stream {
    pipelines: Vec<Pipeline>,
    saved: Checkpoint,
    saved_at: Instant,
    run_number: u64,
    changed: bool,
    outbox: Outbox,
    /// Relations that do not go on where they were, but begin anew: what reads them must, too.
    anew: BTreeSet<String>,
    /// An epoch could not be decided: what is in memory is ahead of what will ever have been.
    is_void: bool,
}

impl Engine {
    /// Takes up the work of all relations where the last checkpoint stands.
    pub async fn start(
        log: Rc<dyn TopicLog>,
        data_dir: &Path,
        relations: Vec<NewRelation>,
    ) -> Result<Rc<Self>, EngineError> {
        let checkpoints = CheckpointDir::new(data_dir);
        let saved = checkpoints.load().await?.unwrap_or_default();
        let engine = Rc::new(Self {
            log,
            checkpoints,
            relations: RefCell::default(),
            joining: RefCell::default(),
            leaving: RefCell::default(),
            reserved: RefCell::default(),
            epoch: Cell::new(saved.epoch),
            now: Cell::new(saved.now),
            cuts: RefCell::default(),
            applying: Cell::new(false),
            is_ready: Cell::new(false),
            report_wanted: Cell::new(false),
            report: RefCell::default(),
            subscriptions: RefCell::default(),
            next_subscription: Cell::new(0),
            progressed: Notify::new(),
            wake: Notify::new(),
            stopping: Cell::new(false),
            stopped: Notify::new(),
        });
        if let Err(error) = engine.checkpoints.sweep(&saved).await {
            tracing::warn!(%error, "old state of views cannot be removed");
        }
        let mut relations = relations;
        relations.sort_by_key(|relation| rank(relation.id));
        let mut stream = Stream {
            pipelines: Vec::new(),
            run_number: saved
                .pipelines
                .iter()
                .flat_map(|p| &p.runs)
                .map(|r| r.number + 1)
                .max()
                .unwrap_or(0),
            outbox: Outbox::at(saved.outbox),
            anew: BTreeSet::new(),
            saved,
            saved_at: runtime::now(),
            changed: false,
            is_void: false,
        };
        for relation in relations {
            let relation = Relation::new(relation);
            engine.take_up(&mut stream, relation).await?;
        }
        engine.replay_outbox(&mut stream).await?;
        let running = engine.clone();
        runtime::spawn(Class::Streams, "streams", async move {
            running.run(stream).await;
        });
        Ok(engine)
    }

    /// A relation as it was when the checkpoint was taken, or from the beginning.
    async fn take_up(
        self: &Rc<Self>,
        stream: &mut Stream,
        relation: Rc<Relation>,
    ) -> Result<(), EngineError> {
        let name = relation.name.clone();
        if relation.has_pipeline() {
            let made = Pipeline::new(relation.clone(), &self.relations.borrow(), &*self.log);
            let was_stopped = stream
                .saved
                .pipelines
                .iter()
                .any(|state| state.id == relation.id && state.has_stopped);
            match made {
                Ok(_) if was_stopped => relation.fail("it had stopped before this start"),
                Ok(pipeline) => {
                    let pipeline = self.restored(stream, pipeline).await?;
                    stream.pipelines.push(pipeline);
                }
                Err(error) => relation.fail(&error.to_string()),
            }
        }
        self.relations.borrow_mut().insert(name, relation);
        Ok(())
    }

    async fn restored(
        self: &Rc<Self>,
        stream: &mut Stream,
        pipeline: Pipeline,
    ) -> Result<Pipeline, EngineError> {
        let relation = pipeline.relation.clone();
        let mut states = stream.saved.pipelines.iter();
        let Some(state) = states.find(|state| state.id == relation.id) else {
            return Ok(pipeline);
        };
        let plan = relation.plan();
        let reads_anew = plan.inputs().any(|(_, i)| stream.anew.contains(&i.relation));
        if state.fingerprint != relation.fingerprint() || reads_anew {
            if pipeline.sink.is_some() {
                relation.fail("its plan is another one now: what it wrote cannot be continued");
            }
            if let Definition::Stream(_) = relation.definition {
                return Err(EngineError::Checkpoint(CheckpointError::State {
                    relation: relation.name.clone(),
                    found: "it reads something else now; under another name it begins anew".to_owned(),
                }));
            }
            tracing::info!(relation = %relation.name, "is computed anew: its plan is another one now");
            stream.anew.insert(relation.name.clone());
            // Of what it was nothing is part of what it will be.
            let states = stream.saved.pipelines.iter_mut();
            for state in states.filter(|state| state.id == relation.id) {
                state.runs.clear();
            }
            return Ok(pipeline);
        }
        let mut pipeline = pipeline;
        let mut rows = relation.restorer();
        // The newest run has the word on each entry; the oldest has all there were.
        let mut known: BTreeSet<(NodeId, u8, Vec<u8>)> = BTreeSet::new();
        for (age, run) in state.runs.iter().rev().enumerate() {
            let is_oldest = age + 1 == state.runs.len();
            let read = self.checkpoints.read_run(relation.id, *run, |key, value| {
                let restored = if key.node == ROWS {
                    rows.put(key.key, value.unwrap_or_default())
                } else {
                    let name = (key.node, key.table, key.key.to_vec());
                    match (known.contains(&name), value) {
                        (true, _) => Ok(()),
                        (false, value) => {
                            if !is_oldest {
                                known.insert(name);
                            }
                            let restored = value.map(|value| pipeline.restore(key, value));
                            restored.unwrap_or(Ok(())).map_err(|error| match error {
                                PipelineError::Restore(why) => why,
                                other => other.to_string(),
                            })
                        }
                    }
                };
                restored.map_err(|found| CheckpointError::State {
                    relation: relation.name.clone(),
                    found,
                })
            });
            read.await?;
        }
        rows.finish().map_err(|found| CheckpointError::State {
            relation: relation.name.clone(),
            found,
        })?;
        pipeline.restore_positions(state);
        Ok(pipeline)
    }

    /// The loop; ends when the node stops.
    async fn run(self: Rc<Self>, mut stream: Stream) {
        while !self.stopping.get() {
            let began = runtime::now();
            self.admit(&mut stream);
            let (is_behind, seen) = self.run_epoch(&mut stream).await;
            if !is_behind {
                self.is_ready.set(true);
            }
            self.make_report(&stream, &seen);
            self.progressed.notify_all();
            let is_due = runtime::now().since(stream.saved_at) >= CHECKPOINT_INTERVAL;
            if stream.changed && is_due && !stream.is_void {
                self.checkpoint(&mut stream).await;
            }
            if is_behind {
                runtime::yield_now().await;
                continue;
            }
            let wakes = waiting::first(self.wake.notified(), async {
                runtime::sleep_until(began.plus(EPOCH_MIN)).await;
                self.log.wait(seen, began.plus(EPOCH_MAX)).await;
            });
            wakes.await;
        }
        if stream.changed && !stream.is_void {
            self.checkpoint(&mut stream).await;
        }
        self.stopping.set(true);
        self.stopped.notify_all();
        self.progressed.notify_all();
    }

    fn admit(&self, stream: &mut Stream) {
        stream.pipelines.append(&mut self.joining.borrow_mut());
        stream
            .pipelines
            .sort_by_key(|pipeline| rank(pipeline.relation.id));
        let leaving = self.leaving.take();
        if !leaving.is_empty() {
            stream
                .pipelines
                .retain(|pipeline| !leaving.contains(&pipeline.relation.id));
            stream.changed = true;
        }
    }

    /// One epoch. Whether there is more to read at once, and the high watermarks it saw.
    async fn run_epoch(&self, stream: &mut Stream) -> (bool, Vec<(PartitionKey, Offset)>) {
        let (cuts, seen) = self.cut(&mut stream.pipelines).await;
        let now = (runtime::wall().0.saturating_mul(1000)).max(self.now.get());
        self.work_off(stream, &cuts, now, true).await;
        let is_behind = seen
            .iter()
            .any(|(key, high_watermark)| cuts.get(key).is_some_and(|cut| cut < high_watermark));
        self.cuts.replace(cuts);
        (is_behind, seen)
    }

    /// Takes the pipelines through an epoch with these cuts. `writes`: what sinks put out is written, or else dropped.
    async fn work_off(
        &self,
        stream: &mut Stream,
        cuts: &BTreeMap<PartitionKey, Offset>,
        now: i64,
        writes: bool,
    ) {
        let number = self.epoch.get() + 1;
        let mut outputs = BTreeMap::new();
        let mut records = 0;
        for pipeline in &mut stream.pipelines {
            let epoch = Epoch {
                number,
                now,
                cuts,
                outputs: Some(&outputs),
            };
            match pipeline.run_epoch(epoch, &*self.log).await {
                Ok(read) => records += read,
                Err(error) => {
                    pipeline.relation.fail(&error.to_string());
                    pipeline.output.clear();
                }
            }
            if !pipeline.output.is_empty() {
                outputs.insert(pipeline.relation.name.clone(), pipeline.output.clone());
            }
        }
        if writes {
            self.decide(stream, number, now, cuts).await;
        }
        stream
            .pipelines
            .retain(|pipeline| pipeline.relation.failure().is_none());
        self.apply(&mut stream.pipelines, number).await;
        stream.changed |= records > 0 || !outputs.is_empty();
        self.epoch.set(number);
        self.now.set(now);
    }

    /// Up to where this epoch reads every partition, and the high watermarks.
    async fn cut(
        &self,
        pipelines: &mut [Pipeline],
    ) -> (BTreeMap<PartitionKey, Offset>, Vec<(PartitionKey, Offset)>) {
        let mut furthest: BTreeMap<PartitionKey, Offset> = BTreeMap::new();
        for pipeline in pipelines.iter_mut() {
            pipeline.note_partitions(&*self.log);
            for position in pipeline.positions() {
                let known = furthest.entry(position.key).or_default();
                *known = position.next_offset.max(*known);
            }
        }
        let keys: Vec<PartitionKey> = furthest.keys().copied().collect();
        let extents = self.log.extents(keys.clone()).await;
        let mut cuts = BTreeMap::new();
        let mut seen = Vec::new();
        for (key, extent) in keys.into_iter().zip(extents) {
            let Some(extent) = extent else { continue };
            for pipeline in pipelines.iter_mut() {
                pipeline.begin_at(key, extent.log_start_offset);
            }
            let from = furthest[&key].max(extent.log_start_offset);
            let most = Offset(from.0.saturating_add(RECORDS_PER_EPOCH));
            cuts.insert(key, extent.high_watermark.min(most));
            seen.push((key, extent.high_watermark));
        }
        (cuts, seen)
    }

    /// Lets readers see what the epoch has changed.
    async fn apply(&self, pipelines: &mut [Pipeline], number: u64) {
        self.applying.set(true);
        for pipeline in pipelines {
            let output = std::mem::take(&mut pipeline.output);
            pipeline.relation.watermark.set(pipeline.watermark);
            if output.is_empty() {
                continue;
            }
            for delta in &output {
                if let Err(NotThere) = pipeline.relation.apply(delta) {
                    pipeline.relation.fail(&NotThere.to_string());
                    break;
                }
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
            pipeline.relation.tell(number, &output);
            if pipeline.relation.keeps_rows() {
                pipeline.unsaved.extend(output);
            }
        }
        self.applying.set(false);
    }

    /// Writes what changed since the last one, and makes it the one to restart from.
    async fn checkpoint(&self, stream: &mut Stream) {
        stream.saved_at = runtime::now();
        stream.changed = false;
        let mut next = Checkpoint {
            epoch: self.epoch.get(),
            now: self.now.get(),
            outbox: stream.outbox.end,
            pipelines: Vec::new(),
        };
        for pipeline in &mut stream.pipelines {
            let relation = pipeline.relation.clone();
            let mut state = pipeline.save();
            let before = stream.saved.pipelines.iter().find(|p| p.id == state.id);
            let before = before.map_or(&[][..], |before| &before.runs);
            let everything = before.is_empty() || before.len() >= RUNS_MAX;
            let mut run = RunWriter::default();
            pipeline.checkpoint(everything, &mut |key, value| run.put(key, value));
            let unsaved = std::mem::take(&mut pipeline.unsaved);
            match everything {
                true => relation.save_rows(&mut run),
                false => relation.save_changes(&unsaved, &mut run),
            }
            if !everything {
                state.runs.extend(before);
            }
            if everything || !run.is_empty() {
                let number = stream.run_number;
                stream.run_number += 1;
                match self.checkpoints.write_run(state.id, number, run).await {
                    Ok(written) => state.runs.push(written),
                    Err(error) => return self.not_saved(stream, &error),
                }
            }
            next.pipelines.push(state);
        }
        // A sink that has stopped must not begin anew at the next start: it would write everything twice.
        let stopped = stream
            .saved
            .pipelines
            .iter()
            .filter(|state| self.has_stopped_sink(state.id));
        next.pipelines.extend(stopped.map(|state| PipelineState {
            has_stopped: true,
            ..state.clone()
        }));
        if let Err(error) = self.checkpoints.save(&next).await {
            return self.not_saved(stream, &error);
        }
        stream.saved = next;
        self.trim_outbox(stream).await;
        if let Err(error) = self.checkpoints.sweep(&stream.saved).await {
            tracing::warn!(%error, "old state of views cannot be removed");
        }
    }

    fn has_stopped_sink(&self, id: u64) -> bool {
        let relations = self.relations.borrow();
        let mut relations = relations.values();
        relations.any(|relation| {
            let is_sink = matches!(relation.definition, Definition::Sink(_));
            relation.id == id && is_sink && relation.failure().is_some()
        })
    }

    /// A full disk is waited out: the last checkpoint stays, and the next writes everything. Any other failed write is never
    /// tried again: the disk may have told only once.
    fn not_saved(&self, stream: &mut Stream, error: &io::Error) {
        if error.kind() != io::ErrorKind::StorageFull {
            runtime::fatal(Fatal::Io {
                what: "a checkpoint of the views",
                error: error.to_string(),
            });
        }
        tracing::warn!("the disk is full: a restart would begin with an older checkpoint");
        for pipeline in &mut stream.saved.pipelines {
            pipeline.runs.clear();
        }
        stream.changed = true;
    }

    /// Saves everything and ends the loop.
    pub async fn stop(&self) {
        let stopped = self.stopped.notified();
        if !self.stopping.replace(true) {
            self.wake.notify_all();
            stopped.await;
        }
    }
}
