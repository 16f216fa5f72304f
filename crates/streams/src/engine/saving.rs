//! Checkpoints of the engine as it runs: what is written, when, and what becomes of runs as they grow many.
//!
//! # Cost
//! An entry that has changed is copied on the engine's shard; it is sorted and written on another, where there is one. Runs are
//! merged there as well.
//!
//! # Limits      what changed since the last checkpoint is in memory as bytes while it is written

use std::rc::Rc;

use base::ShardId;
use runtime::Fatal;

use super::{
    Engine, Stream,
    checkpoint::{Checkpoint, CheckpointError, PipelineState},
    let_go_of_failed,
    pipeline::Pipeline,
    relation::Relation,
    runs::Compaction,
    store::{Changes, StateStore, Version},
};
use crate::Definition;

/// Where files of state are read, sorted and merged: beside the engine, where there are several shards.
pub fn beside() -> ShardId {
    match runtime::shard().0 {
        0 => ShardId(runtime::shard_count() - 1),
        own => ShardId(own - 1),
    }
}

impl Engine {
    /// Writes what changed since the last one, and makes it the one to restart from.
    pub(super) async fn checkpoint(&self, stream: &mut Stream) {
        // What of them is in memory may be ahead of what they did.
        let_go_of_failed(stream);
        stream.saved_at = runtime::now();
        stream.changed = false;
        stream.records_unsaved = 0;
        match self.saved(stream).await {
            Ok(saved) => stream.saved = saved,
            Err(error) => return self.not_saved(stream, &error).await,
        }
        stream.must_save = false;
        stream.saves_all = false;
        stream.saves_all_of.clear();
        // A restart knows where the epoch before this one ended.
        stream.previous = None;
        self.trim_outbox(stream).await;
        self.sweep(&stream.saved, stream.compaction.as_ref()).await;
        self.begin_compaction(stream);
    }

    async fn saved(&self, stream: &mut Stream) -> Result<Checkpoint, CheckpointError> {
        let mut next = Checkpoint {
            epoch: self.epoch.get(),
            now: self.now.get(),
            outbox: stream.outbox.end,
            pipelines: Vec::new(),
        };
        let shown = stream.pipelines.iter_mut();
        for pipeline in shown.filter(|pipeline| !pipeline.swap.is_beside) {
            let id = pipeline.relation.id;
            let before = stream.saved.pipelines.iter().find(|p| p.id == id);
            let saves_all = stream.saves_all || stream.saves_all_of.contains(&id);
            let number = stream.run_number;
            stream.run_number += 1;
            let saved = self.save(pipeline, before, number, saves_all).await?;
            next.pipelines.push(saved);
        }
        next.pipelines.extend(self.stopped(&stream.saved));
        for store in self.stores.all() {
            store.sync().await?;
        }
        self.checkpoints.save(&next).await?;
        Ok(next)
    }

    /// Has a pipeline's store take what changed.
    async fn save(
        &self,
        pipeline: &mut Pipeline,
        before: Option<&PipelineState>,
        number: u64,
        saves_all: bool,
    ) -> Result<PipelineState, CheckpointError> {
        let relation = pipeline.relation.clone();
        let mut state = pipeline.save();
        if let Some(delivery) = self.deliveries.all.borrow().get(&state.id) {
            state.producer = delivery.written().map(u64::cast_signed);
        }
        let store = self.store_of(&relation);
        store.name().clone_into(&mut state.store);
        let before = before.filter(|before| before.store == state.store);
        let base = Version {
            relation: state.id,
            runs: before.map_or(&[], |before| &before.runs),
        };
        let everything = saves_all || base.runs.is_empty();
        let mut changes = Changes::new(everything);
        pipeline.checkpoint(everything, &mut |key, value| changes.put(key, value));
        let unsaved = std::mem::take(&mut pipeline.unsaved);
        match everything {
            true => relation.save_rows(&mut changes),
            false => relation.save_changes(&unsaved, &mut changes),
        }
        drop(unsaved);
        state.runs = match everything || !changes.is_empty() {
            true => store.write(base, number, changes).await?,
            false => base.runs.to_vec(),
        };
        Ok(state)
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

    /// Removes what the checkpoint does not name.
    pub(super) async fn sweep(&self, saved: &Checkpoint, made: Option<&Compaction>) {
        let named = |store: &str| {
            let states = saved.pipelines.iter();
            let states = states.filter(|state| state.store == store);
            states.map(PipelineState::version).collect::<Vec<_>>()
        };
        let made = made.map(|it| (it.id, it.number));
        let runs = named(self.runs.name());
        if let Err(error) = self.checkpoints.sweep(&runs, made).await {
            tracing::warn!(%error, "old state of views cannot be removed");
        }
        for store in self.stores.all() {
            if let Err(error) = store.sweep(named(store.name())).await {
                tracing::warn!(%error, "old state cannot be removed");
            }
        }
    }

    fn begin_compaction(&self, stream: &mut Stream) {
        if stream.compaction.is_some() {
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
        let id = ended.id;
        let states = &mut stream.saved.pipelines;
        let runs = states.iter_mut().find(|state| state.id == id);
        let mut gone = Vec::new();
        match ended
            .end(runs.map_or(&mut gone, |state| &mut state.runs))
            .await
        {
            Ok(is_placed) => stream.changed |= is_placed,
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
        self.sweep(&stream.saved, stream.compaction.as_ref()).await;
    }
}
