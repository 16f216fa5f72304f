//! Rows of a join that the watermark has left behind: nothing can be joined with them any more, so they go.
//!
//! # Invariants
//! 1. A row that is not late finds all rows that it could ever have been joined with: one goes only when every time that the
//!    condition may hold for is late itself.
//!
//! # Layout      of state: the watermark, as `closing` has it

use arrow_array::{Array, BooleanArray};

use super::super::{
    Output, Place, Write,
    closing::{CLOCK_TABLE, Clock},
    waiting::{NEVER, Waiting},
    windows::{Rounding, is_time, to_us},
};
use crate::{Delta, graph::PlanError, plan::Ages, row::Corrupt, state::Slot};

/// See the module head.
#[derive(Debug)]
pub(super) struct Aging {
    pub sides: [AgingSide; 2],
    past: Clock,
}

/// One side's rows: those without a time never go.
#[derive(Debug)]
pub(super) struct AgingSide {
    ages: Ages,
    waiting: Waiting,
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
            sides: ages.map(|ages| AgingSide {
                ages,
                waiting: Waiting::default(),
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
        for (side, rows) in self.sides.iter_mut().enumerate() {
            let due = rows.waiting.due(now);
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
        self.sides.iter().map(|side| side.waiting.bytes()).sum()
    }
}

impl AgingSide {
    pub(super) fn column(&self) -> usize {
        self.ages.column
    }

    /// When rows with these times go.
    pub(super) fn ends(&self, times: &dyn Array) -> Vec<i64> {
        ends(times, self.ages.kept_us)
    }

    #[inline]
    pub(super) fn put(&mut self, slot: Slot, end: i64) {
        self.waiting.put(slot, end);
    }

    /// Rows with these times go, out of a checkpoint.
    pub(super) fn put_all(&mut self, slots: &[Slot], times: &dyn Array) {
        for (slot, end) in slots.iter().zip(self.ends(times)) {
            self.put(*slot, end);
        }
    }
}

fn ends(times: &dyn Array, after_us: i64) -> Vec<i64> {
    let times = to_us(times, Rounding::Up).into_iter();
    let ends = times.map(|time| time.map(|time| time.saturating_add(after_us)));
    // What is further away than times go does not go either.
    ends.map(|end| end.unwrap_or(NEVER)).collect()
}
