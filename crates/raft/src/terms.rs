//! The terms of a log as runs: what consensus remembers of entries that lie on disk.
//!
//! # Invariants
//! 1. Runs ascend in term and in first index, and every entry after `start` is in exactly one.
//! 2. A term's entries are contiguous, because terms never fall along a log (thesis 3.5).
//!
//! # Limits
//! One run per leader that appended something retention has kept; 16 bytes each.
//!
//! # Instead of
//! A window of the last entries in memory: a follower that lags further would need reads from disk to answer whether
//! two logs agree. This is Kafka's leader epoch cache, which the storage keeps in any case.

use base::RaftIndex;

use crate::{LogPosition, Term};

/// See the module head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TermTable {
    /// The entry before the first that is still here.
    start: LogPosition,
    runs: Vec<(Term, RaftIndex)>,
    /// The last of the runs, which nearly every question is about, beside the rest: appends look nowhere else.
    newest: Option<(Term, RaftIndex)>,
    last: RaftIndex,
}

impl TermTable {
    pub(crate) fn new(start: LogPosition, runs: &[(Term, RaftIndex)], last: RaftIndex) -> Self {
        assert!(
            Self::is_well_formed(start, runs, last),
            "storage restores runs that ascend and lie in the log"
        );
        Self {
            start,
            runs: runs.to_vec(),
            newest: runs.last().copied(),
            last,
        }
    }

    /// Whether a log can have these runs behind `start`.
    pub(crate) fn is_well_formed(
        start: LogPosition,
        runs: &[(Term, RaftIndex)],
        last: RaftIndex,
    ) -> bool {
        let is_first = |(term, first): &(Term, RaftIndex)| {
            *term >= start.term && *first > start.index && *term >= Term(0)
        };
        last >= start.index
            && runs.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1)
            && runs.first().is_none_or(is_first)
            && runs.last().is_none_or(|(_, first)| *first <= last)
    }

    pub(crate) fn start(&self) -> LogPosition {
        self.start
    }

    pub(crate) fn last(&self) -> RaftIndex {
        self.last
    }

    pub(crate) fn last_term(&self) -> Term {
        self.newest.map_or(self.start.term, |(term, _)| term)
    }

    pub(crate) fn last_position(&self) -> LogPosition {
        LogPosition {
            term: self.last_term(),
            index: self.last,
        }
    }

    pub(crate) fn runs(&self) -> &[(Term, RaftIndex)] {
        &self.runs
    }

    /// Term of the entry at `index`, where the log reaches: from `start` to `last`.
    pub(crate) fn term(&self, index: RaftIndex) -> Option<Term> {
        if index > self.last || index < self.start.index {
            return None;
        }
        match self.newest {
            Some((term, first)) if index >= first => Some(term),
            _ => {
                let at = self.runs.partition_point(|(_, first)| *first <= index);
                let run = at.checked_sub(1).map(|at| self.runs[at].0);
                Some(run.unwrap_or(self.start.term))
            }
        }
    }

    /// Adds `count` entries of `term` at the end.
    pub(crate) fn append(&mut self, term: Term, count: u64) {
        if count == 0 {
            return;
        }
        if self.newest.is_none_or(|(known, _)| known != term) {
            assert!(term >= self.last_term(), "terms never fall along a log");
            let run = (term, self.last.next());
            self.runs.push(run);
            self.newest = Some(run);
        }
        self.last = RaftIndex(self.last.0 + count);
    }

    /// Drops the entries from `from` on.
    pub(crate) fn truncate(&mut self, from: RaftIndex) {
        assert!(from > self.start.index, "the start of a log is committed");
        self.last = self.last.min(RaftIndex(from.0 - 1));
        while self.runs.last().is_some_and(|(_, first)| *first >= from) {
            self.runs.pop();
        }
        self.newest = self.runs.last().copied();
    }

    /// Drops the entries up to and with `index`, which becomes the start.
    pub(crate) fn trim(&mut self, index: RaftIndex) {
        let Some(term) = self.term(index) else { return };
        self.start = LogPosition { term, index };
        let last = self.last;
        // The run that goes on behind the new start begins there now, unless nothing of it is left.
        let at = self.runs.partition_point(|(_, first)| *first <= index);
        if let Some(at) = at.checked_sub(1) {
            let ends = self.runs.get(at + 1).map_or(last.next(), |(_, next)| *next);
            if ends > index.next() {
                self.runs[at].1 = index.next();
                self.runs.drain(..at);
            } else {
                self.runs.drain(..=at);
            }
        }
        self.newest = self.runs.last().copied();
    }

    /// Forgets everything: the log begins after `start`.
    pub(crate) fn reset(&mut self, start: LogPosition) {
        self.start = start;
        self.last = start.index;
        self.runs.clear();
        self.newest = None;
    }

    /// The last index up to `index` whose term is at most `term`, and its term. Where two logs differ, all entries
    /// above it do: one question skips a whole term (thesis 3.5, last paragraph, as etcd does it on both sides).
    pub(crate) fn last_up_to(&self, index: RaftIndex, term: Term) -> LogPosition {
        let index = index.min(self.last);
        if index <= self.start.index || self.start.term > term {
            return self.start;
        }
        let at = self.runs.partition_point(|(_, first)| *first <= index);
        let below = self.runs[..at].partition_point(|(known, _)| *known <= term);
        if below == 0 {
            // All runs up to the index have higher terms (or there are none, which the first test excludes).
            return self.start;
        }
        let ends = self.runs[..at]
            .get(below)
            .map_or(index, |(_, first)| RaftIndex(first.0 - 1));
        LogPosition {
            term: self.runs[below - 1].0,
            index: ends.min(index),
        }
    }
}

#[cfg(test)]
mod tests;
