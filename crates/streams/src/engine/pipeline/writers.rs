//! Schemas that records name by their numbers: which of them an epoch knows.

use std::sync::Arc;

use super::{Epoch, Feed, Pipeline, PipelineError};
use crate::{
    NodeId,
    engine::outbox::Decided,
    format::Known,
    source::{SchemasUnread, known_writers},
};

/// What an epoch may know of the schemas that records name by their numbers: what is known when its cuts are taken, for nobody
/// writes records with a schema before that; and in one that was before, no more than then. `None`: it is not asked for, or
/// nobody was told of any.
pub fn writers_of(pipelines: &[Pipeline], before: Option<&Decided>) -> Option<Known> {
    if !pipelines.iter().any(Pipeline::names_writers) {
        return None;
    }
    let known = known_writers().ok()?;
    let Some(before) =
        before.filter(|before| !known.numbers().all(|number| before.writers.has(number)))
    else {
        return Some(known);
    };
    Some(known.only(|number| before.writers.has(number)))
}

impl Pipeline {
    /// The whole epoch is decoded by what is known of writers' schemas at its beginning.
    pub(super) fn know_writers(
        &mut self,
        node: NodeId,
        epoch: &Epoch<'_>,
    ) -> Result<(), PipelineError> {
        let Some(Feed::Topic { reader, .. }) = self.feeds.get_mut(&node) else {
            return Ok(());
        };
        if reader.names_writers() {
            let known = epoch.writers.ok_or(SchemasUnread)?;
            if !(reader.writers.as_ref()).is_some_and(|before| before.is_same(known)) {
                Arc::make_mut(reader).writers = Some(known.clone());
            }
        }
        Ok(())
    }

    /// Whether its records tell which schemas they were written with.
    pub fn names_writers(&self) -> bool {
        let names =
            |feed: &Feed| matches!(feed, Feed::Topic { reader, .. } if reader.names_writers());
        self.feeds.values().any(names)
    }
}
