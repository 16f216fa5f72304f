//! Groups whose window closes: nothing comes for them any more, so they are known no more. Rows that come all the same are
//! late, and counted.
//!
//! # Layout      of state: one entry without a key in a table of its own has the watermark

use super::{
    Output, Place, Write,
    waiting::{NEVER, Waiting},
    windows::{Rounding, is_time, to_us},
};
use crate::{Delta, graph::PlanError, row::Corrupt, state::Slot};
use arrow_array::{Array, BooleanArray};

/// The table of the watermark, behind all that an operator may have.
pub(super) const CLOCK_TABLE: u8 = u8::MAX;

/// A time that only rises, and that a checkpoint has in a table of its own.
#[derive(Debug)]
pub(super) struct Clock {
    pub time: i64,
    is_dirty: bool,
}

impl Clock {
    pub(super) const NEVER: Self = Self {
        time: i64::MIN,
        is_dirty: false,
    };

    pub(super) fn advance(&mut self, time: i64) {
        self.is_dirty |= time > self.time;
        self.time = self.time.max(time);
    }

    pub(super) fn checkpoint(&mut self, all: bool, table: u8, write: &mut Write<'_>) {
        if self.is_dirty || (all && self.time != i64::MIN) {
            self.is_dirty = false;
            write(table, &[], Some(&self.time.to_le_bytes()));
        }
    }

    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        self.time = i64::from_le_bytes(value.try_into().map_err(|_| Corrupt)?);
        if key.is_empty() { Ok(()) } else { Err(Corrupt) }
    }
}

/// See the module head.
#[derive(Debug)]
pub(super) struct Closing {
    /// Of each input, the column that says when a row's window closes.
    columns: Vec<usize>,
    after_us: i64,
    closed: Clock,
    /// Groups: not those that have no window that is known.
    waiting: Waiting,
}

impl Closing {
    /// `columns` are those of the inputs for the column of the output that the plan names.
    pub(super) fn new(
        place: &Place,
        columns: impl FnOnce(usize) -> Option<Vec<usize>>,
    ) -> Result<Option<Self>, PlanError> {
        let Some(closes) = place.closes else {
            return Ok(None);
        };
        let columns = columns(closes.column)
            .ok_or(place.malformed("what closes is none of what its groups share"))?;
        for (input, column) in columns.iter().enumerate() {
            if !is_time(place.input_type(input, *column)?) {
                return Err(place.malformed("a window's end is no timestamp"));
            }
        }
        Ok(Some(Self {
            columns,
            after_us: closes.after_us,
            closed: Clock::NEVER,
            waiting: Waiting::default(),
        }))
    }

    pub(super) fn column(&self, input: usize) -> usize {
        self.columns[input]
    }

    /// The rows that are not late.
    pub(super) fn admit(&self, input: usize, delta: &Delta, out: &mut Output) -> Delta {
        if self.closed.time == i64::MIN {
            return delta.clone();
        }
        let is_open = self.ends(delta.column(self.columns[input]).as_ref());
        let is_open = is_open.into_iter().map(|end| end > self.closed.time);
        let is_open: BooleanArray = is_open.map(Some).collect();
        out.late_rows += (delta.len() - is_open.true_count()) as u64;
        delta.filter(&is_open).expect("a truth value for each row")
    }

    /// When the windows with these values close.
    fn ends(&self, values: &dyn Array) -> Vec<i64> {
        let values = to_us(values, Rounding::Up).into_iter();
        let ends = values.map(|value| value.map(|value| value.saturating_add(self.after_us)));
        ends.map(|end| end.unwrap_or(NEVER)).collect()
    }

    /// The groups of these rows wait until their windows close.
    pub(super) fn put_rows(&mut self, input: usize, delta: &Delta, slots: &[Slot]) {
        self.put_values(slots, delta.column(self.columns[input]).as_ref());
    }

    /// The groups with these values wait, as out of a checkpoint.
    pub(super) fn put_values(&mut self, slots: &[Slot], values: &dyn Array) {
        for (slot, end) in slots.iter().zip(self.ends(values)) {
            self.waiting.put(*slot, end);
        }
    }

    /// Some of the groups that are closed now, and known no more here; `None` when there are no more. A slot among them may
    /// have been left by its group.
    pub(super) fn due(&mut self, watermark: Option<i64>) -> Option<Vec<Slot>> {
        let now = watermark.unwrap_or(i64::MIN).max(self.closed.time);
        let due = self.waiting.due(now);
        if due.is_empty() {
            self.closed.advance(now);
            return None;
        }
        Some(due)
    }

    pub(super) fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) {
        self.closed.checkpoint(all, CLOCK_TABLE, write);
    }

    pub(super) fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        self.closed.restore(key, value)
    }

    pub(super) fn bytes(&self) -> usize {
        self.waiting.bytes()
    }
}
