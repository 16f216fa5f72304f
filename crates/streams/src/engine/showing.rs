//! What an epoch has come to, and when readers see it.
//!
//! Most of the work is done while they still read the epoch before: what goes is looked for, what comes is entered. Those who
//! ask the engine's shard wait (`applying`) while weights change; those who look rows up themselves find them as of the epoch
//! before until all have changed. What is left of the dead is removed behind.

use super::{Engine, Stream, arrangement::NotThere, let_go_of_failed, pipeline::Pipeline};

impl Engine {
    /// Lets readers see an epoch.
    pub(super) async fn show(&self, stream: &mut Stream, number: u64, now: i64) {
        self.apply(&mut stream.pipelines, number).await;
        if stream.saves_all {
            stream.forget_unsaved();
        }
        let_go_of_failed(stream);
        self.epoch.set(number);
        self.now.set(now);
    }

    /// Lets readers see what the epoch has changed, as soon as `applying` says no more that they have to wait.
    async fn apply(&self, pipelines: &mut [Pipeline], number: u64) {
        let _turn = self.rows_turn.take().await;
        let mut prepared = Vec::new();
        for pipeline in pipelines.iter() {
            let mut changes = Vec::new();
            for delta in &pipeline.output {
                changes.extend(pipeline.relation.prepare(delta));
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
            prepared.push(changes);
        }
        // Only now: what is entered must be applied.
        for (pipeline, changes) in pipelines.iter().zip(&mut prepared) {
            for change in changes {
                pipeline.relation.stage(change).await;
            }
        }
        // What others have to do comes before readers wait, not while they do.
        runtime::yield_now().await;
        self.applying.set(true);
        self.end_swaps(pipelines).await;
        for (pipeline, changes) in pipelines.iter().zip(prepared) {
            // What was put out is gone from where it came: rows that do not fit leave a view that is right no more.
            let mut changes = changes.into_iter();
            while pipeline.relation.failure().is_none()
                && let Some(mut change) = changes.next()
            {
                if let Err(NotThere) = pipeline.relation.apply(&mut change, number).await {
                    pipeline.relation.fail(&NotThere.to_string());
                }
                if let Err(error) = self.budget.check() {
                    pipeline.relation.fail(&error.to_string());
                }
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
        }
        // Whoever is told of a change finds it.
        self.views.show(number);
        for pipeline in pipelines {
            let told = pipeline.told();
            pipeline.forget_difference();
            let output = std::mem::take(&mut pipeline.output);
            let is_unchanged = output.is_empty() && told.is_empty();
            if is_unchanged || pipeline.relation.failure().is_some() {
                continue;
            }
            pipeline.relation.tell(number, &told);
            if pipeline.relation.keeps_rows() && !pipeline.swap.is_beside {
                pipeline.unsaved.extend(output);
            }
        }
    }

    /// Puts in order what an epoch has changed, once readers see it.
    pub(super) async fn tidy(&self, pipelines: &[Pipeline]) {
        let _turn = self.rows_turn.take().await;
        for pipeline in pipelines {
            pipeline.relation.tidy().await;
        }
    }

    /// From here on readers need not wait.
    pub(super) fn end_applying(&self) {
        self.applying.set(false);
        if self.is_ready.get() && !self.stopping.get() {
            self.views.open(self.epoch.get());
        }
    }
}
