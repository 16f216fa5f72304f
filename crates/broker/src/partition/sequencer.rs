//! Where a partition's idempotent producers stand: by what is committed, and ahead of that by what is on its way.
//!
//! # Invariants
//! 1. `committed` is the sum of the committed batches and of nothing else: a snapshot of it is true whatever becomes of
//!    those that are on their way.
//! 2. A producer has a window in `ahead` exactly while batches of its are on their way; it continues the committed one.
//!
//! # Cost
//! Nothing for batches without a producer id. With one: a search among the producers that have something on its way, once
//! when the batch is appended and once when it is committed, and at most one copy of a window.
//!
//! # Limits
//! What is on its way is bounded by what may be staged.

use std::collections::{BTreeMap, VecDeque};

use base::{Offset, ProducerId, RaftIndex};
use kafka::batch::BatchHeader;

use crate::raft_log::give_back;

use super::producers::{ProducerBatch, ProducerTable, SequenceError, Verdict, Window, check};

/// A producer with batches on their way.
#[derive(Clone, Debug)]
struct Ahead {
    window: Window,
    count: usize,
}

/// See the module head.
#[derive(Clone, Debug, Default)]
pub struct Sequencer {
    committed: ProducerTable,
    ahead: BTreeMap<ProducerId, Box<Ahead>>,
    /// In the order of the log.
    on_their_way: VecDeque<(RaftIndex, ProducerBatch)>,
}

impl Sequencer {
    #[must_use]
    pub fn new(committed: ProducerTable) -> Self {
        Self {
            committed,
            ..Self::default()
        }
    }

    #[must_use]
    pub fn committed(&self) -> &ProducerTable {
        &self.committed
    }

    pub fn committed_mut(&mut self) -> &mut ProducerTable {
        &mut self.committed
    }

    /// Judges a batch; changes nothing.
    pub fn check(&self, batch: &BatchHeader) -> Result<Verdict, SequenceError> {
        check(batch, |producer| match self.ahead.get(&producer) {
            Some(ahead) => Some(&ahead.window),
            None => self.committed.window(producer),
        })
    }

    /// A batch was appended.
    pub fn on_append(&mut self, index: RaftIndex, batch: ProducerBatch) {
        let ahead = self.ahead.entry(batch.producer).or_insert_with(|| {
            let known = self.committed.window(batch.producer).cloned();
            Box::new(Ahead {
                window: known.unwrap_or_else(|| Window::new(batch.producer_epoch)),
                count: 0,
            })
        });
        ahead.window.take(&batch);
        ahead.count += 1;
        self.on_their_way.push_back((index, batch));
    }

    /// Everything up to `index` is committed.
    pub fn on_committed(&mut self, index: RaftIndex) {
        while let Some((at, batch)) = self.on_their_way.front().copied()
            && at <= index
        {
            self.on_their_way.pop_front();
            self.committed.apply(&batch);
            if let Some(ahead) = self.ahead.get_mut(&batch.producer) {
                ahead.count -= 1;
                if ahead.count == 0 {
                    self.ahead.remove(&batch.producer);
                }
            }
        }
        give_back(&mut self.on_their_way);
    }

    /// The entry of a batch that is on its way.
    #[must_use]
    pub fn entry_at(&self, base_offset: Offset) -> Option<RaftIndex> {
        let found = self
            .on_their_way
            .binary_search_by_key(&base_offset, |(_, batch)| batch.sent.base_offset);
        found.ok().map(|at| self.on_their_way[at].0)
    }
}

#[cfg(test)]
mod tests;
