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
//! Between chunks of work. While rows are applied to views (`showing`) readers wait, also for a checkpoint that must have them.
//!
//! # Limits
//! `RECORDS_PER_EPOCH` of each partition; subscribers are ended when they are `CHANGES_MAX` epochs behind; memory of all
//! pipelines (`budget`).

mod altering;
pub mod arrangement;
mod budget;
mod checkpoint;
mod deciding;
mod delivery;
mod outbox;
mod pipeline;
mod questions;
mod relation;
mod replace;
mod report;
mod restore;
mod runs;
mod saving;
mod shared;
mod showing;
mod sink;
pub mod store;
#[cfg(test)]
mod tests;
mod waiting;

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    path::Path,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use base::{Offset, PartitionKey};
use runtime::{
    Class, Instant,
    sync::{Notify, first},
};

use crate::{Definition, format::Known, log::TopicLog};
use budget::Budget;
pub use budget::OverBudget;
use checkpoint::{Checkpoint, CheckpointDir, PipelineState};
pub use checkpoint::{CheckpointError, Numbered};
use deciding::Outbox;
use delivery::Deliveries;
pub use delivery::DeliveryReport;
pub use outbox::OUTBOX_TOPIC;
use outbox::{Decided, Watermarks, WritersKnown};
pub use pipeline::PipelineError;
use pipeline::{Epoch, Pipeline, writers_of};
pub use questions::{Changes, QuestionError, ReadAt, RowsOf, Snapshot};
pub use relation::{NewRelation, PROGRAM_IDS, ReadCounts, Relation};
use relation::{Subscriber, rank};
use replace::Beside;
pub use report::{OperatorReport, PipelineReport, PositionReport, Report};
use runs::{Buffers, Compaction, Merged};
use saving::Saving;
pub use shared::{Found, Views};
use store::{RunStore, StateStore, Stores};
use waiting::Turn;

pub(crate) use waiting::all;

/// Records of one partition that an epoch takes in at most: a second's work is never one epoch.
const RECORDS_PER_EPOCH: i64 = 32 << 10;

/// The same while a new view reads what there is: nobody sees it yet, and a group that many records touch is put out once.
const RECORDS_PER_CATCH_UP: i64 = 256 << 10;

/// An epoch begins at least so long after the one before.
const EPOCH_MIN: Duration = Duration::from_millis(5);

/// The clock of temporal filters and of idle partitions goes on at least so often.
const EPOCH_MAX: Duration = Duration::from_millis(100);

/// Between two checkpoints while something changes.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(5);

/// The same after a full disk, while readers see what must be saved.
const SAVE_AGAIN: Duration = Duration::from_secs(1);

/// Nor is more than the changes of so many records left for one checkpoint: that is work at a stretch.
const CHECKPOINT_RECORDS: u64 = 512 << 10;

/// Up to where in its outbox an engine's checkpoint stands; `None` if it has never saved one there.
pub async fn saved_outbox(data_dir: &Path) -> Result<Option<Offset>, CheckpointError> {
    let saved = CheckpointDir::new(data_dir).load().await?;
    Ok(saved.map(|saved| saved.outbox))
}

/// What is subscribed to, and by whom.
type Subscription = (Rc<Relation>, Rc<Subscriber>);

/// Bugs for tests of the tests: each breaks what a restart relies on.
#[derive(Clone, Copy, Debug, Default)]
pub struct PlantedBugs {
    /// Sinks append before the epoch is decided.
    pub outputs_before_record: bool,
    /// What sinks append counts as written when it is on its way.
    pub count_unwritten: bool,
    /// A restart leaves out the newest run of each pipeline: what changed before its checkpoint.
    pub skip_newest_run: bool,
    /// A restart takes watermarks from what it reads from then on.
    pub forget_watermarks: bool,
    /// Sinks begin at sequence 0 after a restart.
    pub reset_sequences: bool,
    /// All pipelines take part in epochs that were decided before they were made.
    pub forget_participants: bool,
    /// Epochs that close windows or drop late rows are not decided for it.
    pub forget_late_rows: bool,
    /// What a run says of an entry first, that it is gone, stands against what it says later.
    pub believe_removals: bool,
    /// What is written elsewhere is written again after a restart.
    pub ignore_marks: bool,
    /// The outbox keeps only what a checkpoint needs, also where something is not written elsewhere yet.
    pub trim_undelivered: bool,
}

/// See the module head.
pub struct Engine {
    planted: PlantedBugs,
    log: Rc<dyn TopicLog>,
    checkpoints: CheckpointDir,
    runs: Rc<dyn StateStore>,
    stores: Stores,
    /// For what checkpoints write.
    buffers: Buffers,
    relations: RefCell<BTreeMap<String, Rc<Relation>>>,
    /// Their rows, for other threads.
    views: Arc<Views>,
    /// Made, and not yet worked on by the loop.
    joining: RefCell<Vec<Pipeline>>,
    leaving: RefCell<BTreeSet<u64>>,
    /// Names that are being made, each with what it reads.
    reserved: RefCell<BTreeMap<String, Vec<String>>>,
    /// Names that are about to go.
    dropping: RefCell<BTreeSet<String>>,
    /// Names of sources that are about to have another definition, each with its name then.
    altering: RefCell<BTreeMap<String, String>>,
    /// Sources that have another definition now, as they were.
    altered: RefCell<Vec<Rc<Relation>>>,
    /// By name: what is to take the place of a view.
    beside: RefCell<BTreeMap<String, Beside>>,
    epoch: Cell<u64>,
    now: Cell<i64>,
    /// Up to where readers see every partition.
    cuts: RefCell<BTreeMap<PartitionKey, Offset>>,
    applying: Cell<bool>,
    /// What was decided before this start has been gone through.
    has_taken_up: Cell<bool>,
    /// Why it could not be.
    failure: RefCell<Option<EngineError>>,
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
    /// A relation was dropped, or what was to take one's place given up.
    left: Notify,
    budget: Budget,
    /// To change the rows of views that are there, or to go through them while nobody does.
    rows_turn: Rc<Turn>,
    deliveries: Deliveries,
    stopping: Cell<bool>,
    stopped: Notify,
}

/// Why the engine does not start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    #[error("{0}")]
    Checkpoint(#[from] CheckpointError),
    #[error("the state of {relation} does not fit: {error}")]
    Budget { relation: String, error: OverBudget },
}

struct Stream {
    pipelines: Vec<Pipeline>,
    /// The one that a restart would begin with.
    saved: Checkpoint,
    /// When the last one was begun.
    saved_at: Instant,
    run_number: u64,
    changed: bool,
    /// What is shown must be in a checkpoint: what was late while a view caught up, no other way tells.
    must_save: bool,
    /// The next checkpoint writes all there is: the last one was cut short, and what had changed was said to it only.
    saves_all: bool,
    /// The same of some relations: they are another thing than they were.
    saves_all_of: BTreeSet<u64>,
    /// Since the last checkpoint.
    records_unsaved: u64,
    /// A checkpoint on its way to the disk.
    saving: Option<Saving>,
    compaction: Option<Compaction>,
    /// What it has ended with, for the next checkpoint.
    merged: Option<Merged>,
    outbox: Outbox,
    /// The epoch before, where it was not decided and somebody drops late rows.
    previous: Option<Decided>,
    /// An epoch was broken off, could not be decided, or not be written: what is in memory is ahead of what a restart could
    /// know.
    is_void: bool,
    /// What the present epoch knows of the schemas that records name by their numbers, and whether it met others.
    writers: Option<Known>,
    has_unknown_writers: bool,
}

impl Stream {
    fn at(saved: Checkpoint) -> Self {
        let runs = saved.pipelines.iter().flat_map(|p| &p.runs);
        Self {
            pipelines: Vec::new(),
            run_number: runs.map(|run| run.number + 1).max().unwrap_or(0),
            outbox: Outbox::at(saved.outbox),
            saved,
            saved_at: runtime::now(),
            changed: false,
            must_save: false,
            saves_all: false,
            saves_all_of: BTreeSet::new(),
            records_unsaved: 0,
            saving: None,
            compaction: None,
            merged: None,
            previous: None,
            is_void: false,
            writers: None,
            has_unknown_writers: false,
        }
    }

    /// The run that is being merged, or has been and is in no checkpoint: its relation and number.
    fn made(&self) -> Option<(u64, u64)> {
        let merging = self.compaction.as_ref().map(|it| (it.id, it.number));
        merging.or_else(|| self.merged.as_ref().map(|it| (it.id, it.run.number)))
    }

    /// The next checkpoint writes all rows: those that changed need not be known.
    fn forget_unsaved(&mut self) {
        for pipeline in &mut self.pipelines {
            pipeline.unsaved = Vec::new();
        }
    }
}

/// Up to where an epoch reads.
struct Cut {
    cuts: BTreeMap<PartitionKey, Offset>,
    /// The high watermarks.
    seen: Vec<(PartitionKey, Offset)>,
    /// No partition is missing.
    is_whole: bool,
}

impl Engine {
    /// Takes up the work of all relations where the last checkpoint stands; what was decided behind it is gone through later,
    /// as that may wait for other clusters (`started`). `state_bytes_max`: what they may hold in memory, all together and
    /// about; who needs more stops and says so.
    pub async fn start(
        log: Rc<dyn TopicLog>,
        data_dir: &Path,
        relations: Vec<NewRelation>,
        planted: PlantedBugs,
        state_bytes_max: usize,
    ) -> Result<Rc<Self>, EngineError> {
        let stores = Stores::default();
        Self::start_with_stores(log, data_dir, relations, planted, state_bytes_max, stores).await
    }

    /// The same with state in other stores than runs.
    pub async fn start_with_stores(
        log: Rc<dyn TopicLog>,
        data_dir: &Path,
        relations: Vec<NewRelation>,
        planted: PlantedBugs,
        state_bytes_max: usize,
        stores: Stores,
    ) -> Result<Rc<Self>, EngineError> {
        let checkpoints = CheckpointDir::new(data_dir);
        let saved = checkpoints.load().await?.unwrap_or_default();
        let runs = RunStore::with_planted(data_dir, planted.believe_removals);
        let engine = Rc::new(Self {
            planted,
            log,
            checkpoints,
            runs: Rc::new(runs),
            stores,
            buffers: Buffers::default(),
            relations: RefCell::default(),
            views: Arc::default(),
            joining: RefCell::default(),
            leaving: RefCell::default(),
            reserved: RefCell::default(),
            dropping: RefCell::default(),
            altering: RefCell::default(),
            altered: RefCell::default(),
            beside: RefCell::default(),
            epoch: Cell::new(saved.epoch),
            now: Cell::new(saved.now),
            cuts: RefCell::default(),
            applying: Cell::new(false),
            has_taken_up: Cell::new(false),
            failure: RefCell::default(),
            is_ready: Cell::new(false),
            report_wanted: Cell::new(false),
            report: RefCell::default(),
            subscriptions: RefCell::default(),
            next_subscription: Cell::new(0),
            progressed: Notify::new(),
            wake: Notify::new(),
            left: Notify::new(),
            budget: Budget::new(state_bytes_max),
            rows_turn: Rc::default(),
            deliveries: Deliveries::default(),
            stopping: Cell::new(false),
            stopped: Notify::new(),
        });
        let mut relations = relations;
        relations.sort_by_key(|relation| rank(relation.id));
        let mut stream = Stream::at(saved);
        engine.sweep(&stream).await;
        let mut anew = BTreeSet::new();
        for relation in relations {
            let relation = Relation::new(relation);
            engine.take_up(&mut stream, relation, &mut anew).await?;
        }
        let running = engine.clone();
        runtime::spawn(Class::Streams, "streams", async move {
            running.run(stream).await;
        });
        Ok(engine)
    }

    /// A relation as it was when the checkpoint was taken, or from the beginning; `anew` are those that were made before.
    async fn take_up(
        self: &Rc<Self>,
        stream: &mut Stream,
        relation: Rc<Relation>,
        anew: &mut BTreeSet<u64>,
    ) -> Result<(), EngineError> {
        self.budget.count(&relation);
        let (mut written, mut delivers) = (None, true);
        if relation.has_pipeline() {
            let made = Pipeline::new(relation.clone(), &self.relations.borrow(), &*self.log);
            let mut states = stream.saved.pipelines.iter();
            let state = states.find(|state| state.id == relation.id);
            written = state.and_then(|state| u64::try_from(state.producer?).ok());
            delivers = state.is_none_or(|state| !state.has_stopped || state.delivers);
            match (made, state) {
                (Err(error), _) => relation.fail(&error.to_string()),
                (_, Some(state)) if state.has_stopped => relation.fail(match relation.definition {
                    Definition::Stream(_) => {
                        "it had stopped before this start; under another name it begins anew"
                    }
                    _ => "it had stopped before this start",
                }),
                (Ok(pipeline), None) => {
                    anew.insert(relation.id);
                    stream.pipelines.push(pipeline);
                }
                (Ok(mut pipeline), Some(state)) => match why_anew(&pipeline, state, anew) {
                    None => {
                        let pipeline = self.restored(state, pipeline).await?;
                        match self.budget.check() {
                            Ok(()) => stream.pipelines.push(pipeline),
                            // Sinks would stop for good, and of a view's state nothing would be left, where more memory is
                            // all that they need.
                            Err(error) => {
                                let relation = relation.name.clone();
                                return Err(EngineError::Budget { relation, error });
                            }
                        }
                    }
                    Some(why) if pipeline.sink.is_some() => {
                        relation.fail(&format!("{why}: what it wrote cannot be continued"));
                    }
                    Some(why) if matches!(relation.definition, Definition::Stream(_)) => {
                        return Err(EngineError::Checkpoint(CheckpointError::State {
                            relation: relation.name.clone(),
                            found: format!("{why}; under another name it begins anew"),
                        }));
                    }
                    Some(why) => {
                        tracing::info!(relation = %relation.name, why, "is computed anew");
                        anew.insert(relation.id);
                        pipeline.swap.is_of_another_plan = true;
                        stream.pipelines.push(pipeline);
                        // Of what it was nothing is part of what it will be.
                        stream.saves_all_of.insert(relation.id);
                    }
                },
            }
        }
        if let Err(error) = self.index(&relation).await {
            relation.fail(&error.to_string());
        }
        // Also of a sink that has stopped: what it had put out before was decided.
        if delivers {
            self.delivery_of(&relation, written, Offset::ZERO);
        }
        self.insert(relation);
        Ok(())
    }

    /// The loop; ends when the node stops.
    async fn run(self: Rc<Self>, mut stream: Stream) {
        self.take_up_decided(&mut stream).await;
        let mut must_save = false;
        let mut seen_before = Vec::new();
        while !self.stopping.get() && !stream.is_void {
            let began = runtime::now();
            must_save |= self.admit(&mut stream).await;
            // Before that nobody gets an answer.
            if self.is_ready.get() && self.holds_back() {
                self.make_report(&stream, &seen_before);
                self.progressed.notify_all();
                first(self.wake.notified(), runtime::sleep(EPOCH_MAX)).await;
                continue;
            }
            let Cut {
                cuts,
                seen,
                is_whole,
            } = self.run_epoch(&mut stream).await;
            let is_behind = seen
                .iter()
                .any(|(key, end)| cuts.get(key).is_some_and(|cut| cut < end));
            if !is_behind && is_whole && !stream.is_void {
                self.is_ready.set(true);
            }
            if !stream.is_void {
                self.cuts.replace(cuts);
                if std::mem::take(&mut must_save) {
                    self.checkpoint(&mut stream).await;
                }
            }
            self.end_applying();
            self.make_report(&stream, &seen);
            seen_before.clone_from(&seen);
            self.progressed.notify_all();
            self.tidy(&stream.pipelines).await;
            let interval = match stream.must_save {
                true => SAVE_AGAIN,
                false => CHECKPOINT_INTERVAL,
            };
            stream.changed |= self.deliveries.take_moved();
            self.end_compaction(&mut stream).await;
            if stream.saving.as_ref().is_some_and(Saving::has_ended) {
                self.end_saving(&mut stream).await;
            }
            // One is waited for no sooner than there is too much for the next.
            let is_full = stream.records_unsaved >= CHECKPOINT_RECORDS;
            let is_due =
                stream.saving.is_none() && runtime::now().since(stream.saved_at) >= interval;
            if stream.changed && (is_full || is_due) && !stream.is_void {
                self.end_saving(&mut stream).await;
                self.begin_saving(&mut stream).await;
            }
            if is_behind {
                runtime::yield_now().await;
                continue;
            }
            let wakes = first(self.wake.notified(), async {
                runtime::sleep_until(began.plus(EPOCH_MIN)).await;
                self.log.wait(seen, began.plus(EPOCH_MAX)).await;
            });
            wakes.await;
        }
        if stream.is_void && !self.stopping.get() && self.failure.borrow().is_none() {
            tracing::error!(
                "an epoch could not be decided or written: pipelines go on at the next start"
            );
        }
        self.end_saving(&mut stream).await;
        stream.changed |= self.deliveries.take_moved();
        if stream.changed && !stream.is_void {
            self.checkpoint(&mut stream).await;
        }
        self.stopping.set(true);
        self.views.close();
        self.stopped.notify_all();
        self.progressed.notify_all();
    }

    /// Takes up new pipelines and lets go of old ones. Whether the state must be saved with the next epoch.
    async fn admit(&self, stream: &mut Stream) -> bool {
        let mut joining = self.joining.take();
        let mut must_save = joining.iter().any(Pipeline::drops_late);
        stream.pipelines.append(&mut joining);
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
        self.repoint(stream);
        must_save |= self.begin_swaps(stream).await;
        stream.must_save |= must_save;
        must_save
    }

    /// One epoch; what it read.
    async fn run_epoch(&self, stream: &mut Stream) -> Cut {
        let cut = self.cut(&mut stream.pipelines, RECORDS_PER_EPOCH).await;
        let now = (runtime::wall().0.saturating_mul(1000)).max(self.now.get());
        let number = self.epoch.get() + 1;
        let late_rows = self.work_off(stream, number, now, &cut.cuts, None).await;
        if !stream.is_void {
            self.decide(stream, number, now, &cut.cuts, late_rows).await;
        }
        if !stream.is_void {
            self.show(stream, number, now).await;
        }
        cut
    }

    /// Takes the pipelines through an epoch with these cuts, or through one that was before as it was then. The number of
    /// rows that were late.
    async fn work_off(
        &self,
        stream: &mut Stream,
        number: u64,
        now: i64,
        cuts: &BTreeMap<PartitionKey, Offset>,
        before: Option<&Decided>,
    ) -> u64 {
        let all_take_part = before.is_none() || self.planted.forget_participants;
        let watermarks = before.filter(|_| !self.planted.forget_watermarks);
        stream.writers = writers_of(&stream.pipelines, before);
        let mut outputs = BTreeMap::new();
        let mut dropped: Vec<Rc<Relation>> = Vec::new();
        let (mut records, mut late_rows) = (0, 0);
        for pipeline in &mut stream.pipelines {
            let id = pipeline.relation.id;
            if !all_take_part && !before.is_some_and(|before| before.relations.contains(&id)) {
                if !pipeline.has_begun {
                    continue;
                }
                if pipeline.sink.is_some() {
                    pipeline.relation.fail("it had stopped before this start");
                }
            }
            if pipeline.relation.failure().is_some() {
                continue;
            }
            let epoch = Epoch {
                number,
                now,
                cuts,
                outputs: Some(&outputs),
                watermarks: watermarks
                    .filter(|_| !pipeline.swap.is_of_another_plan)
                    .map(|decided| &decided.watermarks),
                writers: stream.writers.as_ref(),
                is_stopping: &self.stopping,
            };
            self.budget.permit(pipeline);
            let (relation, is_beside) = (pipeline.relation.clone(), pipeline.swap.is_beside);
            let run = pipeline.run_epoch(epoch, &*self.log);
            let Some(run) = self.unless_dropped(&relation, is_beside, run).await else {
                dropped.push(relation);
                continue;
            };
            match run {
                Ok(read) => records += read,
                Err(error) if error.is_of_the_node() => {
                    tracing::debug!(relation = %pipeline.relation.name, %error, "an epoch is broken off");
                    stream.is_void = true;
                    break;
                }
                Err(error) => pipeline.relation.fail(&error.to_string()),
            }
            stream.has_unknown_writers |= pipeline.take_unknown_writers();
            late_rows += pipeline.take_late_rows();
            let output = pipeline.told();
            if !output.is_empty() && pipeline.relation.failure().is_none() {
                outputs.insert(pipeline.relation.name.clone(), output);
            }
        }
        stream.records_unsaved += records;
        stream.changed |= records > 0 || !outputs.is_empty();
        // What they were at was cut short.
        let is_left = |p: &Pipeline| !dropped.iter().any(|other| Rc::ptr_eq(other, &p.relation));
        stream.pipelines.retain(is_left);
        let_go_of_failed(stream);
        late_rows
    }

    /// An epoch as it would stand in the outbox, without what sinks put out.
    fn record(
        &self,
        stream: &Stream,
        epoch: u64,
        now: i64,
        cuts: &BTreeMap<PartitionKey, Offset>,
    ) -> Decided {
        let (mut watermarks, mut relations) = (Watermarks::new(), BTreeSet::new());
        for pipeline in &stream.pipelines {
            let id = pipeline.relation.id;
            if pipeline.relation.failure().is_none() && !pipeline.swap.is_beside {
                relations.insert(id);
                let inputs = pipeline.watermarks();
                watermarks.extend(inputs.map(|(node, at)| ((id, node.0 as u32), at)));
            }
        }
        Decided {
            epoch,
            now,
            cuts: cuts.clone(),
            watermarks,
            relations,
            writers: stream
                .writers
                .as_ref()
                .map_or_else(WritersKnown::all, |known| WritersKnown::of(known.numbers())),
            batches: Vec::new(),
        }
    }

    /// Up to where this epoch reads every partition, and the high watermarks.
    async fn cut(&self, pipelines: &mut [Pipeline], records_max: i64) -> Cut {
        let mut furthest: BTreeMap<PartitionKey, Offset> = BTreeMap::new();
        let mut nearest = BTreeMap::new();
        for pipeline in pipelines.iter_mut() {
            if let Err(error) = pipeline.note_partitions(&*self.log) {
                pipeline.relation.fail(&error.to_string());
                continue;
            }
            for position in pipeline.positions() {
                let known = furthest.entry(position.key).or_default();
                *known = position.next_offset.max(*known);
                let known = nearest.entry(position.key).or_insert(position.next_offset);
                *known = position.next_offset.min(*known);
            }
        }
        self.log.note_read(&nearest);
        let keys: Vec<PartitionKey> = furthest.keys().copied().collect();
        let extents = self.log.extents(keys.clone()).await;
        let extents = keys.into_iter().zip(extents);
        let extents: BTreeMap<_, _> = extents
            .filter_map(|(key, extent)| Some((key, extent?)))
            .collect();
        let mut is_whole = true;
        for pipeline in pipelines.iter_mut() {
            if pipeline.relation.failure().is_some() {
                continue;
            }
            match pipeline.note_extents(&extents) {
                Ok(has_all) => is_whole &= has_all,
                Err(error) => pipeline.relation.fail(&error.to_string()),
            }
        }
        let mut cuts = BTreeMap::new();
        let mut seen = Vec::new();
        for (key, extent) in extents {
            let from = furthest[&key].max(extent.log_start_offset);
            let most = Offset(from.0.saturating_add(records_max));
            cuts.insert(key, extent.high_watermark.min(most));
            seen.push((key, extent.high_watermark));
        }
        Cut {
            cuts,
            seen,
            is_whole,
        }
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

/// Why a pipeline cannot go on from a checkpoint, if it cannot.
fn why_anew(
    pipeline: &Pipeline,
    state: &PipelineState,
    anew: &BTreeSet<u64>,
) -> Option<&'static str> {
    if state.fingerprint != pipeline.relation.fingerprint() {
        Some("its plan is another one now")
    } else if !pipeline.is_of_these_topics(state) {
        Some("a topic that it reads was made anew")
    } else if pipeline.reads().any(|relation| anew.contains(&relation.id)) {
        Some("what it reads is computed anew")
    } else {
        None
    }
}

fn let_go_of_failed(stream: &mut Stream) {
    let count = stream.pipelines.len();
    stream
        .pipelines
        .retain(|pipeline| pipeline.relation.failure().is_none());
    // The next checkpoint is one without them.
    stream.changed |= stream.pipelines.len() < count;
}
