//! Rows of a join that the watermark has left behind: nothing can be joined with them any more, so they go.
//!
//! # Invariants
//! 1. A row that is not late finds all rows that it could ever have been joined with: one goes only when every time that the
//!    condition may hold for is late itself.
//!
//! # Layout      of state: the watermark, as `closing` has it

use std::collections::BTreeMap;

use arrow_array::{Array, BooleanArray};

use super::super::{
    Output, Place, Write,
    closing::{CLOCK_TABLE, Clock},
    windows::{Rounding, is_time, to_us},
};
use crate::{Delta, delta::CHUNK_ROWS, graph::PlanError, plan::Ages, row::Corrupt, state::Slot};

/// A row without a time never goes.
const NEVER: i64 = i64::MAX;

/// See the module head.
#[derive(Debug)]
pub(super) struct Aging {
    pub sides: [Waiting; 2],
    past: Clock,
}

/// One side's rows, by when they go.
#[derive(Debug)]
pub(super) struct Waiting {
    ages: Ages,
    /// By slot of a row.
    at: Vec<i64>,
    rows: BTreeMap<i64, Vec<Slot>>,
}

impl Aging {
    pub(super) fn new(place: &Place) -> Result<Option<Self>, PlanError> {
        let Some(ages) = place.ages else {
            return Ok(None);
        };
        for (input, ages) in ages.iter().enumerate() {
            if !is_time(place.input_type(input, ages.column)?) {
                return Err(place.malformed("what ages has no time"));
            }
        }
        Ok(Some(Self {
            sides: ages.map(|ages| Waiting {
                ages,
                at: Vec::new(),
                rows: BTreeMap::new(),
            }),
            past: Clock::NEVER,
        }))
    }

    /// The rows that are not late.
    pub(super) fn admit(&self, side: usize, delta: &Delta, out: &mut Output) -> Delta {
        if self.past.time == i64::MIN {
            return delta.clone();
        }
        let Ages {
            column, late_us, ..
        } = self.sides[side].ages;
        let ends = ends(delta.column(column).as_ref(), late_us).into_iter();
        let in_time: BooleanArray = ends.map(|end| Some(end > self.past.time)).collect();
        out.late_rows += (delta.len() - in_time.true_count()) as u64;
        delta.filter(&in_time).expect("a truth value for each row")
    }

    /// Some of the rows of a side that go now; `None` when there are no more. A slot among them may have been left by its row.
    pub(super) fn due(&mut self, watermark: Option<i64>) -> Option<(usize, Vec<Slot>)> {
        let now = watermark.unwrap_or(i64::MIN).max(self.past.time);
        for (side, waiting) in self.sides.iter_mut().enumerate() {
            let due = waiting.due(now);
            if !due.is_empty() {
                return Some((side, due));
            }
        }
        self.past.advance(now);
        None
    }

    pub(super) fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) {
        self.past.checkpoint(all, CLOCK_TABLE, write);
    }

    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        self.past.restore(key, value)
    }

    pub(super) fn bytes(&self) -> usize {
        let slots: usize = self.sides.iter().map(|side| side.at.capacity()).sum();
        // Each waits, too.
        slots * (size_of::<i64>() + size_of::<Slot>())
    }
}

impl Waiting {
    pub(super) fn column(&self) -> usize {
        self.ages.column
    }

    /// When rows with these times go.
    pub(super) fn ends(&self, times: &dyn Array) -> Vec<i64> {
        ends(times, self.ages.kept_us)
    }

    #[inline]
    pub(super) fn put(&mut self, slot: Slot, end: i64) {
        if self.at.len() <= slot.index() {
            self.at.resize(slot.index() + 1, NEVER);
        }
        if self.at[slot.index()] != end {
            self.at[slot.index()] = end;
            self.rows.entry(end).or_default().push(slot);
        }
    }

    fn due(&mut self, now: i64) -> Vec<Slot> {
        let mut due = Vec::new();
        while now != i64::MIN
            && due.len() < CHUNK_ROWS
            && let Some(mut first) = self.rows.first_entry()
            && *first.key() <= now
        {
            let end = *first.key();
            let slots = first.get_mut();
            let from = slots.len().saturating_sub(CHUNK_ROWS);
            for slot in slots.drain(from..) {
                if self.at[slot.index()] == end {
                    self.at[slot.index()] = NEVER;
                    due.push(slot);
                }
            }
            if slots.is_empty() {
                first.remove();
            }
        }
        due
    }
}

fn ends(times: &dyn Array, after_us: i64) -> Vec<i64> {
    let times = to_us(times, Rounding::Up).into_iter();
    let ends = times.map(|time| time.map(|time| time.saturating_add(after_us)));
    // What is further away than times go does not go either.
    ends.map(|end| end.unwrap_or(NEVER)).collect()
}
