//! Checkpoints of the engine as it runs: what is written, when, and what becomes of runs as they grow many.
//!
//! # Cost
//! An entry that has changed is copied on the engine's shard; it is sorted and written on another, where there is one. Runs are
//! merged there as well.
//!
//! # Limits      what changed since the last checkpoint is in memory as bytes while it is written

use std::{io, rc::Rc};

use base::ShardId;
use runtime::Fatal;

use super::{
    Engine, Stream,
    checkpoint::{Checkpoint, PipelineState},
    let_go_of_failed,
    relation::Relation,
    runs::{Compaction, RunWriter},
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
        let mut next = Checkpoint {
            epoch: self.epoch.get(),
            now: self.now.get(),
            outbox: stream.outbox.end,
            pipelines: Vec::new(),
        };
        let shown = stream.pipelines.iter_mut();
        for pipeline in shown.filter(|pipeline| !pipeline.swap.is_beside) {
            let relation = pipeline.relation.clone();
            let mut state = pipeline.save();
            if let Some(delivery) = self.deliveries.all.borrow().get(&state.id) {
                state.producer = delivery.written().map(u64::cast_signed);
            }
            let before = stream.saved.pipelines.iter().find(|p| p.id == state.id);
            let before = before.map_or(&[][..], |before| &before.runs);
            let everything = before.is_empty() || stream.saves_all;
            let mut run = RunWriter::default();
            pipeline.checkpoint(everything, &mut |key, value| run.put(key, value));
            let unsaved = std::mem::take(&mut pipeline.unsaved);
            match everything {
                true => relation.save_rows(&mut run),
                false => relation.save_changes(&unsaved, &mut run),
            }
            drop(unsaved);
            if !everything {
                state.runs.extend_from_slice(before);
            }
            if everything || !run.is_empty() {
                let number = stream.run_number;
                stream.run_number += 1;
                let believe = self.planted.believe_removals;
                let written = self.checkpoints.write_run(state.id, number, run, believe);
                match written.await {
                    Ok(written) => state.runs.push(written),
                    Err(error) => return self.not_saved(stream, &error).await,
                }
            }
            next.pipelines.push(state);
        }
        next.pipelines.extend(self.stopped(&stream.saved));
        if let Err(error) = self.checkpoints.save(&next).await {
            return self.not_saved(stream, &error).await;
        }
        stream.saved = next;
        stream.must_save = false;
        stream.saves_all = false;
        // A restart knows where the epoch before this one ended.
        stream.previous = None;
        self.trim_outbox(stream).await;
        self.sweep(stream).await;
        self.begin_compaction(stream);
    }

    async fn sweep(&self, stream: &Stream) {
        let made = stream.compaction.as_ref().map(|it| (it.id, it.number));
        if let Err(error) = self.checkpoints.sweep(&stream.saved, made).await {
            tracing::warn!(%error, "old state of views cannot be removed");
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
    async fn not_saved(&self, stream: &mut Stream, error: &io::Error) {
        if error.kind() != io::ErrorKind::StorageFull {
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
