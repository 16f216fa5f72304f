//! Checkpoints of the engine as it runs: what is written, when, and what becomes of runs as they grow many.
//!
//! # Invariants
//! 1. `Stream::saved` is the checkpoint on the disk, to the byte: a failed write leaves both as they are. What it names is not
//!    removed.
//! 2. One checkpoint at a time is on its way. Epochs go on meanwhile; it holds the one in which it was begun.
//!
//! # Cost
//! An entry that has changed is copied on the engine's shard, between two epochs. Rows are handed on as the deltas that they
//! came in, encoded and sorted on another shard, where there is one. Runs are merged there as well.
//!
//! # Limits
//! Of a pipeline's entries `PIECES_MAX` pieces are in memory while they are written: of more, epochs wait until they fit. The
//! rows that changed in `CHECKPOINT_RECORDS` are, and as many again that change meanwhile: then epochs wait, too.

use std::rc::Rc;

use base::ShardId;
use runtime::{
    Class, Fatal, JoinHandle,
    sync::channel::{Receiver, Sender, bounded},
};

use super::{
    Engine, Stream,
    checkpoint::{Checkpoint, CheckpointDir, CheckpointError, PipelineState},
    let_go_of_failed,
    pipeline::Pipeline,
    relation::Relation,
    runs::{Compaction, Run},
    store::{Changes, RUNS, StateStore, Version},
};
use crate::Definition;

/// Where files of state are read, sorted and merged: beside the engine, where there are several shards.
pub fn beside() -> ShardId {
    match runtime::shard().0 {
        0 => ShardId(runtime::shard_count() - 1),
        own => ShardId(own - 1),
    }
}

/// A checkpoint on its way to the disk.
pub(super) struct Saving {
    task: JoinHandle<Result<Checkpoint, CheckpointError>>,
    /// Readers may see what is in no other.
    must_save: bool,
}

impl Saving {
    pub fn has_ended(&self) -> bool {
        self.task.is_finished()
    }
}

/// Pipelines whose stores have not begun to take their state.
const PARTS_MAX: usize = 64;

/// One pipeline of a checkpoint, before its store has it.
struct Part {
    store: Rc<dyn StateStore>,
    base: Vec<Run>,
    number: u64,
    changes: Changes,
    state: PipelineState,
}

impl Engine {
    /// Saves what there is now; when this returns, it lasts.
    pub(super) async fn checkpoint(&self, stream: &mut Stream) {
        self.end_saving(stream).await;
        self.begin_saving(stream).await;
        self.end_saving(stream).await;
    }

    /// Takes what changed since the last checkpoint, and has it written.
    pub(super) async fn begin_saving(&self, stream: &mut Stream) {
        // What of them is in memory may be ahead of what they did.
        let_go_of_failed(stream);
        stream.saved_at = runtime::now();
        stream.changed = false;
        stream.records_unsaved = 0;
        let next = Checkpoint {
            epoch: self.epoch.get(),
            now: self.now.get(),
            outbox: stream.outbox.end,
            pipelines: self.stopped(&stream.saved),
        };
        let (dir, stores, made) = (self.checkpoints.clone(), self.all_stores(), stream.made());
        let (parts, taken) = bounded(PARTS_MAX);
        let write = async move {
            let next = write(&dir, next, taken, &stores).await?;
            sweep(&dir, &stores, &next, made).await;
            Ok(next)
        };
        stream.saving = Some(Saving {
            task: runtime::spawn(Class::Streams, "checkpoint", write),
            must_save: std::mem::take(&mut stream.must_save),
        });
        self.put_all(stream, &parts).await;
    }

    /// Waits for the checkpoint that is on its way, if there is one, and makes it the one to restart from.
    pub(super) async fn end_saving(&self, stream: &mut Stream) {
        let Some(saving) = stream.saving.take() else {
            return;
        };
        match saving.task.await.expect("nobody ends it early") {
            Ok(saved) => stream.saved = saved,
            Err(error) => {
                stream.must_save |= saving.must_save;
                return self.not_saved(stream, &error).await;
            }
        }
        // A restart knows where that epoch ended.
        let previous = stream.previous.take();
        stream.previous = previous.filter(|previous| previous.epoch > stream.saved.epoch);
        self.trim_outbox(stream).await;
        self.begin_compaction(stream);
    }

    async fn put_all(&self, stream: &mut Stream, parts: &Sender<Part>) {
        let saves_all = std::mem::take(&mut stream.saves_all);
        let saves_all_of = std::mem::take(&mut stream.saves_all_of);
        let mut merged = stream.merged.take();
        let shown = stream.pipelines.iter_mut();
        for pipeline in shown.filter(|pipeline| !pipeline.swap.is_beside) {
            let id = pipeline.relation.id;
            let state = stream.saved.pipelines.iter().find(|state| state.id == id);
            let mut before = state.cloned().unwrap_or_default();
            if let Some(merged) = merged.take_if(|merged| merged.id == id) {
                merged.take_place(&mut before.runs);
            }
            let number = stream.run_number;
            stream.run_number += 1;
            let saves_all = saves_all || saves_all_of.contains(&id);
            self.put(pipeline, before, number, saves_all, parts).await;
        }
    }

    /// Lets a pipeline's store have what it is to take.
    async fn put(
        &self,
        pipeline: &mut Pipeline,
        before: PipelineState,
        number: u64,
        saves_all: bool,
        parts: &Sender<Part>,
    ) {
        let relation = pipeline.relation.clone();
        let mut state = pipeline.save();
        if let Some(delivery) = self.deliveries.all.borrow().get(&state.id) {
            state.producer = delivery.written().map(u64::cast_signed);
        }
        let store = self.store_of(&relation).clone();
        store.name().clone_into(&mut state.store);
        let base = match before.store == state.store {
            true => before.runs,
            false => Vec::new(),
        };
        let everything = saves_all || base.is_empty();
        let (mut put, changes) = Changes::coming(everything, &self.buffers);
        let part = Part {
            store,
            base,
            number,
            changes,
            state,
        };
        // Nobody takes it where the one before could not be written.
        drop(parts.send(part).await);
        let mut begins_with_all = everything;
        while pipeline.checkpoint(begins_with_all, &mut |key, value| put.put(key, value)) {
            begins_with_all = false;
            put.send().await;
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        let unsaved = std::mem::take(&mut pipeline.unsaved);
        if everything && let Some(rows) = relation.rows() {
            put.put_rows(rows.into_deltas()).await;
        } else {
            put.put_rows(unsaved.into_iter()).await;
        }
        put.end().await;
    }

    fn store_of(&self, relation: &Relation) -> &Rc<dyn StateStore> {
        self.stores.of(&relation.name).unwrap_or(&self.runs)
    }

    /// The store that has a relation's state; of what is in runs, also where it was given a store since, none.
    pub(super) fn store_with(
        &self,
        state: &PipelineState,
        relation: &Relation,
    ) -> Result<Option<&Rc<dyn StateStore>>, CheckpointError> {
        if state.store == self.runs.name() {
            return Ok(None);
        }
        let store = self.store_of(relation);
        match store.name() == state.store {
            true => Ok(Some(store)),
            false => Err(CheckpointError::State {
                relation: relation.name.clone(),
                found: format!("it is kept in {}, which it was not given", state.store),
            }),
        }
    }

    /// Removes what the checkpoint on the disk does not name and nobody is making.
    pub(super) async fn sweep(&self, stream: &Stream) {
        sweep(
            &self.checkpoints,
            &self.all_stores(),
            &stream.saved,
            stream.made(),
        )
        .await;
    }

    fn all_stores(&self) -> Vec<Rc<dyn StateStore>> {
        self.stores.all().into_iter().cloned().collect()
    }

    fn begin_compaction(&self, stream: &mut Stream) {
        if stream.compaction.is_some() || stream.merged.is_some() {
            return;
        }
        let states = stream.saved.pipelines.iter();
        let mut due = states.filter_map(|state| Some((state, Compaction::due(&state.runs)?)));
        let Some((state, range)) = due.next() else {
            return;
        };
        let number = stream.run_number;
        stream.run_number += 1;
        let (dir, id) = (&self.checkpoints, state.id);
        let begun = Compaction::begin(dir, id, &state.runs, range, number, beside());
        stream.compaction = Some(begun);
    }

    /// Takes the run that was merged, if one has been; the next checkpoint names it.
    pub(super) async fn end_compaction(&self, stream: &mut Stream) {
        let Some(ended) = stream.compaction.take_if(|it| it.has_ended()) else {
            return;
        };
        match ended.end().await {
            Ok(merged) => {
                stream.merged = Some(merged);
                stream.changed = true;
            }
            // The runs are as they were. A restart would meet the same damage and stop with it.
            Err(error) => tracing::warn!(%error, "old state of a view cannot be merged"),
        }
    }

    /// A sink that has stopped must not begin anew at the next start: it would write everything twice. Nor must a stream:
    /// what it has seen may be gone from its topic. What was saved of it last stays.
    fn stopped(&self, saved: &Checkpoint) -> Vec<PipelineState> {
        let relations = self.relations.borrow();
        let stopped = relations
            .values()
            .filter(|relation| relation.failure().is_some());
        let stays = |relation: &&Rc<Relation>| {
            matches!(
                relation.definition,
                Definition::Sink(_) | Definition::Stream(_)
            )
        };
        let state = |relation: &Rc<Relation>| {
            let kept = saved.pipelines.iter().find(|kept| kept.id == relation.id);
            let mut state = PipelineState {
                id: relation.id,
                has_stopped: true,
                ..kept.cloned().unwrap_or_default()
            };
            if let Some(delivery) = self.deliveries.all.borrow().get(&state.id) {
                state.producer = delivery.written().map(u64::cast_signed);
                state.delivers = delivery.goes_on();
            }
            state
        };
        stopped.filter(stays).map(state).collect()
    }

    /// A full disk is waited out: the last checkpoint stays, and the next writes everything. Any other failed write is never
    /// tried again: the disk may have told only once.
    async fn not_saved(&self, stream: &mut Stream, error: &CheckpointError) {
        if !matches!(error, CheckpointError::Full { .. }) {
            runtime::fatal(Fatal::Io {
                what: "a checkpoint of the views",
                error: error.to_string(),
            });
        }
        tracing::warn!("the disk is full: a restart would begin with an older checkpoint");
        stream.saves_all = true;
        stream.changed = true;
        stream.forget_unsaved();
        // What was written of it would keep the disk full.
        self.sweep(stream).await;
    }
}

/// Has every store take its part, and names what they have.
async fn write(
    dir: &CheckpointDir,
    mut next: Checkpoint,
    mut parts: Receiver<Part>,
    stores: &[Rc<dyn StateStore>],
) -> Result<Checkpoint, CheckpointError> {
    while let Some(part) = parts.recv().await {
        let mut state = part.state;
        let base = Version {
            relation: state.id,
            runs: &part.base,
        };
        state.runs = part.store.write(base, part.number, part.changes).await?;
        next.pipelines.push(state);
    }
    for store in stores {
        store.sync().await?;
    }
    dir.save(&next).await?;
    Ok(next)
}

/// Removes what no restart would read, but for the run of this relation and number.
async fn sweep(
    dir: &CheckpointDir,
    stores: &[Rc<dyn StateStore>],
    saved: &Checkpoint,
    made: Option<(u64, u64)>,
) {
    let named = |store: &str| {
        let states = saved.pipelines.iter();
        let states = states.filter(|state| state.store == store);
        states.map(PipelineState::version).collect::<Vec<_>>()
    };
    if let Err(error) = dir.sweep(&named(RUNS), made).await {
        tracing::warn!(%error, "old state of views cannot be removed");
    }
    for store in stores {
        if let Err(error) = store.sweep(named(store.name())).await {
            tracing::warn!(%error, "old state cannot be removed");
        }
    }
}
