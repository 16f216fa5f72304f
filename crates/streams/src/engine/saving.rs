//! Checkpoints taken: what changed goes to the stores, then the file that names it is replaced.

use std::rc::Rc;

use runtime::Fatal;

use super::{
    Engine, Stream,
    checkpoint::{Checkpoint, CheckpointError, PipelineState},
    let_go_of_failed,
    pipeline::Pipeline,
    relation::Relation,
    store::{Changes, StateStore, Version},
};
use crate::Definition;

impl Engine {
    /// Writes what changed since the last one, and makes it the one to restart from.
    pub(super) async fn checkpoint(&self, stream: &mut Stream) {
        // What of them is in memory may be ahead of what they did.
        let_go_of_failed(stream);
        stream.saved_at = runtime::now();
        stream.changed = false;
        match self.saved(stream).await {
            Ok(saved) => stream.saved = saved,
            Err(error) => return not_saved(stream, &error),
        }
        stream.must_save = false;
        stream.saves_all = false;
        stream.saves_all_of.clear();
        // A restart knows where the epoch before this one ended.
        stream.previous = None;
        self.trim_outbox(stream).await;
        self.sweep(&stream.saved).await;
    }

    async fn saved(&self, stream: &mut Stream) -> Result<Checkpoint, CheckpointError> {
        let mut next = Checkpoint {
            epoch: self.epoch.get(),
            now: self.now.get(),
            outbox: stream.outbox.end,
            pipelines: Vec::new(),
        };
        for pipeline in &mut stream.pipelines {
            let id = pipeline.relation.id;
            let before = stream.saved.pipelines.iter().find(|p| p.id == id);
            let saves_all = stream.saves_all || stream.saves_all_of.contains(&id);
            let number = stream.run_number;
            let saved = self.save(pipeline, before, number, saves_all).await?;
            stream.run_number += u64::from(saved.runs.last().map(|run| run.number) == Some(number));
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
        let everything = saves_all || store.wants_all(base);
        let mut changes = Changes::new(everything);
        pipeline.checkpoint(everything, &mut |key, value| changes.put(key, value));
        let unsaved = std::mem::take(&mut pipeline.unsaved);
        match everything {
            true => relation.save_rows(&mut changes),
            false => relation.save_changes(&unsaved, &mut changes),
        }
        state.runs = match everything || !changes.is_empty() {
            true => store.write(base, number, changes).await?,
            false => base.runs.to_vec(),
        };
        Ok(state)
    }

    fn store_of(&self, relation: &Relation) -> &Rc<dyn StateStore> {
        self.stores.of(&relation.name).unwrap_or(&self.runs)
    }

    /// The store that has a relation's state: its own, or runs, which it had before it was given one.
    pub(super) fn store_with(
        &self,
        state: &PipelineState,
        relation: &Relation,
    ) -> Result<&Rc<dyn StateStore>, CheckpointError> {
        let store = self.store_of(relation);
        if store.name() == state.store {
            return Ok(store);
        }
        if state.store == self.runs.name() {
            return Ok(&self.runs);
        }
        Err(CheckpointError::State {
            relation: relation.name.clone(),
            found: format!("it is kept in {}, which it was not given", state.store),
        })
    }

    pub(super) async fn sweep(&self, saved: &Checkpoint) {
        for store in self.stores.all().into_iter().chain([&self.runs]) {
            let states = saved.pipelines.iter();
            let named = states.filter(|state| state.store == store.name());
            let swept = store.sweep(named.map(PipelineState::version).collect());
            if let Err(error) = swept.await {
                tracing::warn!(%error, "old state of views cannot be removed");
            }
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
            PipelineState {
                id: relation.id,
                has_stopped: true,
                ..kept.cloned().unwrap_or_default()
            }
        };
        stopped.filter(stays).map(state).collect()
    }
}

/// A full disk is waited out: the last checkpoint stays, and the next writes everything. Any other failed write is never
/// tried again: the disk may have told only once.
fn not_saved(stream: &mut Stream, error: &CheckpointError) {
    if !matches!(error, CheckpointError::Full { .. }) {
        runtime::fatal(Fatal::Io {
            what: "a checkpoint of the views",
            error: error.to_string(),
        });
    }
    tracing::warn!("the disk is full: a restart would begin with an older checkpoint");
    stream.saves_all = true;
    stream.changed = true;
}
