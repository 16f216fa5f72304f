//! One replica's disk: what is staged, what lasts, and which prefixes a crash may keep.
//!
//! Log and hard state are two queues, each synced in order but independently: the real journal keeps them in one order,
//! large entries go another way.

use std::collections::VecDeque;

use base::{LogEpoch, RaftIndex};
use raft::{Configuration, Descriptor, HardState, LogPosition, Restored, Term};

use crate::rng::Rng;

/// A log with its start, as it is in memory or on the medium.
#[derive(Clone, Debug, Default)]
pub struct Image {
    pub log_epoch: LogEpoch,
    pub start: LogPosition,
    /// The state machine as of `start`.
    pub start_state: u64,
    pub entries: Vec<Descriptor>,
    /// As of the start, then those in the log.
    pub configurations: Vec<(RaftIndex, Configuration)>,
}

#[derive(Clone, Debug)]
enum Op {
    Append(RaftIndex, Vec<Descriptor>, Vec<(RaftIndex, Configuration)>),
    Truncate(RaftIndex, LogEpoch),
    Reset(LogPosition, u64, LogEpoch, Configuration),
    Trim(LogPosition, u64),
}

impl Image {
    pub fn last(&self) -> RaftIndex {
        RaftIndex(self.start.index.0 + self.entries.len() as u64)
    }

    pub fn get(&self, index: RaftIndex) -> Option<&Descriptor> {
        let at = index.0.checked_sub(self.start.index.0 + 1)?;
        self.entries.get(at as usize)
    }

    pub fn last_term(&self) -> Term {
        self.entries
            .last()
            .map_or(self.start.term, |entry| entry.term)
    }

    /// Whether the entry with this term is in it, or was before retention dropped it.
    pub fn holds(&self, index: RaftIndex, term: Term) -> bool {
        index <= self.start.index || self.get(index).is_some_and(|e| e.term == term)
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Append(first, entries, configurations) => {
                assert_eq!(first, self.last().next(), "appends are contiguous");
                self.entries.extend(entries);
                self.configurations.extend(configurations);
            }
            Op::Truncate(from, log_epoch) => {
                assert!(from > self.start.index, "the start is committed");
                self.entries
                    .truncate((from.0 - self.start.index.0 - 1) as usize);
                self.configurations.retain(|(at, _)| *at < from);
                self.log_epoch = log_epoch;
            }
            Op::Reset(at, state, log_epoch, configuration) => {
                self.start = at;
                self.start_state = state;
                self.log_epoch = log_epoch;
                self.entries.clear();
                self.configurations = vec![(at.index, configuration)];
            }
            Op::Trim(at, state) => {
                let count = at.index.0.saturating_sub(self.start.index.0) as usize;
                self.entries.drain(..count.min(self.entries.len()));
                self.start = at;
                self.start_state = state;
                let later = self.configurations.partition_point(|(c, _)| *c <= at.index);
                self.configurations.drain(..later.saturating_sub(1));
            }
        }
    }

    /// The first indexes of the terms in it.
    fn terms(&self) -> Vec<(Term, RaftIndex)> {
        let mut runs: Vec<(Term, RaftIndex)> = Vec::new();
        for (at, entry) in self.entries.iter().enumerate() {
            if runs.last().is_none_or(|(term, _)| *term != entry.term) {
                runs.push((entry.term, RaftIndex(self.start.index.0 + 1 + at as u64)));
            }
        }
        runs
    }
}

/// See the module head.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub staged: Image,
    pub durable: Image,
    ops: VecDeque<Op>,
    pub hard: HardState,
    /// A hint that lasts as soon as it is written: the worst for what it speaks of.
    pub commit_index: RaftIndex,
    hard_queue: VecDeque<HardState>,
}

impl Disk {
    pub fn stage_append(
        &mut self,
        first: RaftIndex,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
    ) {
        self.stage(Op::Append(first, entries.to_vec(), configurations.to_vec()));
    }

    pub fn stage_truncate(&mut self, from: RaftIndex, log_epoch: LogEpoch) {
        self.stage(Op::Truncate(from, log_epoch));
    }

    pub fn stage_reset(&mut self, at: LogPosition, state: u64, epoch: LogEpoch, c: Configuration) {
        self.stage(Op::Reset(at, state, epoch, c));
    }

    pub fn stage_trim(&mut self, at: LogPosition, state: u64) {
        self.stage(Op::Trim(at, state));
    }

    fn stage(&mut self, op: Op) {
        self.staged.apply(op.clone());
        self.ops.push_back(op);
    }

    pub fn stage_hard(&mut self, hard: HardState) {
        self.hard_queue.push_back(hard);
    }

    pub fn has_log_work(&self) -> bool {
        !self.ops.is_empty()
    }

    pub fn has_hard_work(&self) -> bool {
        !self.hard_queue.is_empty()
    }

    /// Makes the oldest operations last; the log epoch and index that do now.
    pub fn sync_log(&mut self, count: usize) -> (LogEpoch, RaftIndex) {
        for _ in 0..count {
            let Some(op) = self.ops.pop_front() else {
                break;
            };
            self.durable.apply(op);
        }
        (self.durable.log_epoch, self.durable.last())
    }

    pub fn sync_hard(&mut self) -> HardState {
        if let Some(hard) = self.hard_queue.pop_front() {
            self.hard = hard;
        }
        self.hard
    }

    /// Loses what was not synced, or only some of it: any prefix of each queue may have reached the medium.
    pub fn crash(&mut self, rng: &mut Rng) {
        let kept = rng.below(self.ops.len() as u64 + 1) as usize;
        let mut ops = std::mem::take(&mut self.ops);
        for op in ops.drain(..kept) {
            self.durable.apply(op);
        }
        if let Some(Op::Append(first, mut entries, mut configurations)) = ops.pop_front() {
            // Torn: some of its entries.
            entries.truncate(rng.below(entries.len() as u64 + 1) as usize);
            let end = first.0 + entries.len() as u64;
            configurations.retain(|(at, _)| at.0 < end);
            self.durable
                .apply(Op::Append(first, entries, configurations));
        }
        let kept = rng.below(self.hard_queue.len() as u64 + 1) as usize;
        if let Some(hard) = self.hard_queue.drain(..kept).next_back() {
            self.hard = hard;
        }
        self.hard_queue.clear();
        self.staged = self.durable.clone();
    }

    /// Calls `with` with what a restart finds.
    pub fn restored<T>(&self, with: impl FnOnce(&Restored<'_>) -> T) -> T {
        with(&Restored {
            hard_state: self.hard,
            start: self.durable.start,
            configurations: &self.durable.configurations,
            terms: &self.durable.terms(),
            last: self.durable.last(),
            log_epoch: self.durable.log_epoch,
            commit_index: self.commit_index,
        })
    }
}
