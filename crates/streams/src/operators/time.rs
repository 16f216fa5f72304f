//! Rows that come or go as time goes on: final rows of windows, and rows while they are valid.

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;

use super::{
    End, Output, Place, Running, Write,
    closing::Clock,
    windows::{Rounding, is_time, to_us},
};
use crate::{
    Delta,
    delta::CHUNK_ROWS,
    graph::PlanError,
    row::{Corrupt, RowCodec, Rows},
    state::{OrderedSlots, Slot, Table, Value},
};

/// Bytes of a time before a row: it sorts them.
const TIME_BYTES: usize = 8;

/// A row's weight, and its time in microseconds, which stands before the row in its key too.
#[derive(Clone, Copy, Debug, Default)]
struct Timed {
    weight: i64,
    time: i64,
}

impl Value for Timed {
    fn is_empty(self) -> bool {
        self.weight == 0
    }
}

/// Rows that wait for a time.
#[derive(Debug, Default)]
struct Timeline {
    table: Table<Timed>,
    ordered: OrderedSlots,
    key: Vec<u8>,
}

impl Timeline {
    fn add(&mut self, time: i64, row: &[u8], weight: i64) {
        self.key.clear();
        self.key
            .extend_from_slice(&(time.cast_unsigned() ^ 1 << 63).to_be_bytes());
        self.key.extend_from_slice(row);
        let (slot, is_new) = self.table.insert(&self.key);
        let timed = self.table.change(slot);
        timed.weight += weight;
        timed.time = time;
        if is_new {
            self.ordered.insert(self.table.keys(), slot);
        }
    }

    /// Some of the rows whose time has come; they go at the epoch's end.
    fn due(&mut self, now: i64) -> Vec<Slot> {
        let due = self
            .ordered
            .iter()
            .take(CHUNK_ROWS)
            .take_while(|slot| self.table.get(*slot).time <= now);
        let due: Vec<Slot> = due.collect();
        for slot in &due {
            self.ordered.remove(self.table.keys(), *slot);
        }
        due
    }

    fn row(&self, slot: Slot) -> &[u8] {
        &self.table.keys().key(slot)[TIME_BYTES..]
    }

    fn end_epoch(&mut self) {
        let ordered = &mut self.ordered;
        self.table
            .end_epoch(|keys, slot, _| ordered.remove(keys, slot));
    }

    fn checkpoint(&mut self, all: bool, mut write: impl FnMut(&[u8], Option<&[u8]>)) -> bool {
        self.table.checkpoint(all, |key, timed| {
            let weight = timed.map(|timed| timed.weight.to_le_bytes());
            write(key, weight.as_ref().map(<[u8; 8]>::as_slice));
        })
    }

    fn restore(&mut self, key: &[u8], value: &[u8], codec: &RowCodec) -> Result<(), Corrupt> {
        let weight = i64::from_le_bytes(value.try_into().map_err(|_| Corrupt)?);
        let (time, row) = key.split_first_chunk::<TIME_BYTES>().ok_or(Corrupt)?;
        codec.check(row)?;
        let time = (u64::from_be_bytes(*time) ^ 1 << 63).cast_signed();
        let (slot, is_new) = self.table.restore(key, Timed { weight, time });
        if is_new {
            self.ordered.insert(self.table.keys(), slot);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        // Runs are about three quarters full.
        self.table.bytes() + self.table.keys().len() * size_of::<Slot>() * 4 / 3
    }
}

/// What both operators know of their rows.
#[derive(Debug)]
struct Whole {
    schema: SchemaRef,
    codec: RowCodec,
    rows: Rows,
}

impl Whole {
    fn new(place: &Place) -> Result<Self, PlanError> {
        let input = &place.inputs[0];
        place.expect_types(input.fields().iter().map(|field| field.data_type()))?;
        let columns: Vec<usize> = (0..input.fields().len()).collect();
        Ok(Self {
            schema: place.schema.clone(),
            codec: place.codec(0, &columns)?,
            rows: Rows::default(),
        })
    }

    fn encode(&mut self, delta: &Delta) {
        self.codec
            .encode_into(delta.rows().columns(), delta.len(), &mut self.rows);
    }

    fn emit<'a>(&self, rows: impl Iterator<Item = (&'a [u8], i64)>, out: &mut Output) {
        let (rows, weights): (Vec<&[u8]>, Vec<i64>) =
            rows.filter(|(_, weight)| *weight != 0).unzip();
        if rows.is_empty() {
            return;
        }
        let columns = self.codec.decode(rows);
        let columns: Vec<ArrayRef> =
            columns.expect("rows are what the codec encoded, or were looked at when restored");
        let options = RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        out.deltas.push(Delta::new(
            rows.expect("the columns of the schema"),
            weights,
        ));
    }
}

/// Rows once the watermark has passed their window's end; what comes later is counted.
///
/// State: table 0 has the rows of open windows, table 1 the watermark.
#[derive(Debug)]
struct EmitOnClose {
    window_end: usize,
    whole: Whole,
    open: Timeline,
    closed: Clock,
}

pub(super) fn emit_on_close(
    place: &Place,
    window_end: usize,
) -> Result<Box<dyn Running>, PlanError> {
    if !is_time(place.input_type(0, window_end)?) {
        return Err(place.malformed("a window's end is no timestamp"));
    }
    Ok(Box::new(EmitOnClose {
        window_end,
        whole: Whole::new(place)?,
        open: Timeline::default(),
        closed: Clock::NEVER,
    }))
}

impl Running for EmitOnClose {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        self.whole.encode(delta);
        let ends = to_us(delta.column(self.window_end).as_ref(), Rounding::Up);
        for (row, end) in ends.into_iter().enumerate() {
            // A window without an end never closes.
            let end = end.unwrap_or(i64::MAX);
            if end <= self.closed.time && self.closed.time != i64::MIN {
                out.late_rows += 1;
                continue;
            }
            self.open
                .add(end, self.whole.rows.row(row), delta.weight(row));
        }
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        let watermark = end.watermark.unwrap_or(i64::MIN).max(self.closed.time);
        if watermark != i64::MIN {
            let due = self.open.due(watermark.min(i64::MAX - 1));
            let rows = due.iter().map(|slot| {
                (
                    self.open.row(*slot),
                    self.open.table.get(*slot).weight.max(0),
                )
            });
            self.whole.emit(rows, out);
            for slot in &due {
                self.open.table.change(*slot).weight = 0;
            }
            if !due.is_empty() {
                return true;
            }
            self.closed.advance(watermark);
        }
        self.open.end_epoch();
        false
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        self.closed.checkpoint(all, 1, write);
        self.open.checkpoint(all, |key, value| write(0, key, value))
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        match table {
            0 => self.open.restore(key, value, &self.whole.codec),
            1 => self.closed.restore(key, value),
            _ => Err(Corrupt),
        }
    }

    fn entries(&self) -> usize {
        self.open.table.keys().len()
    }

    fn bytes(&self) -> usize {
        self.open.bytes()
    }
}

/// Rows while the clock is between two of their times.
///
/// A row waits among the coming ones until its first time, and then, if it has a second one, among the valid ones until
/// that; without a second time it is known no more once it is valid, and what comes of it later is passed on.
///
/// State: table 0 has the coming rows, table 1 the valid ones, table 2 the clock.
#[derive(Debug)]
struct Valid {
    from: Option<usize>,
    until: Option<usize>,
    whole: Whole,
    coming: Timeline,
    valid: Timeline,
    now: Clock,
    finishing: Step,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Valid rows that the epoch touched, from the one at this place on.
    Touched(usize),
    /// Valid rows whose second time has come.
    Ending,
    /// Coming rows whose first time has come.
    Beginning,
}

pub(super) fn valid(
    place: &Place,
    from: Option<usize>,
    until: Option<usize>,
) -> Result<Box<dyn Running>, PlanError> {
    for column in from.into_iter().chain(until) {
        if !is_time(place.input_type(0, column)?) {
            return Err(place.malformed("a row is valid between timestamps"));
        }
    }
    Ok(Box::new(Valid {
        from,
        until,
        whole: Whole::new(place)?,
        coming: Timeline::default(),
        valid: Timeline::default(),
        now: Clock::NEVER,
        finishing: Step::Touched(0),
    }))
}

impl Running for Valid {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        self.whole.encode(delta);
        let count = delta.len();
        let times = |column: Option<usize>, missing: i64| match column {
            Some(column) => to_us(delta.column(column).as_ref(), Rounding::Up),
            None => vec![Some(missing); count],
        };
        let from = times(self.from, i64::MIN);
        let until = times(self.until, i64::MAX);
        let mut passed = Vec::new();
        for row in 0..count {
            // Nothing is known to be between unknown times, and nothing has yet to end that has ended.
            let (Some(from), Some(until)) = (from[row], until[row]) else {
                continue;
            };
            let (bytes, weight) = (self.whole.rows.row(row), delta.weight(row));
            if from > self.now.time {
                self.coming.add(from, bytes, weight);
            } else if self.until.is_none() {
                passed.push((bytes, weight));
            } else if until > self.now.time {
                self.valid.add(until, bytes, weight);
            }
        }
        self.whole.emit(passed.into_iter(), out);
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        let now = end.now.max(self.now.time);
        match self.finishing {
            Step::Touched(at) => {
                let touched = self.valid.table.touched();
                let until = (at + CHUNK_ROWS).min(touched.len());
                let changes = touched[at..until].iter().map(|slot| {
                    let (old, new) = (
                        self.valid.table.old(*slot).weight,
                        self.valid.table.get(*slot),
                    );
                    (
                        self.valid.row(*slot),
                        if new.time > now { new.weight } else { 0 } - old,
                    )
                });
                self.whole.emit(changes, out);
                self.finishing = if until == touched.len() {
                    Step::Ending
                } else {
                    Step::Touched(until)
                };
                true
            }
            Step::Ending => {
                let due = self.valid.due(now);
                // Those that the epoch touched have been looked at.
                let gone = due.iter().map(|slot| {
                    let is_touched = self.valid.table.keys().place(*slot).is_some();
                    (
                        self.valid.row(*slot),
                        if is_touched {
                            0
                        } else {
                            -self.valid.table.get(*slot).weight
                        },
                    )
                });
                self.whole.emit(gone, out);
                for slot in &due {
                    self.valid.table.change(*slot).weight = 0;
                }
                if due.is_empty() {
                    self.finishing = Step::Beginning;
                }
                true
            }
            Step::Beginning => {
                let due = self.coming.due(now);
                self.begin(&due, now, out);
                for slot in &due {
                    self.coming.table.change(*slot).weight = 0;
                }
                if !due.is_empty() {
                    return true;
                }
                self.finishing = Step::Touched(0);
                self.now.advance(now);
                self.coming.end_epoch();
                self.valid.end_epoch();
                false
            }
        }
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        self.now.checkpoint(all, 2, write);
        let coming = self
            .coming
            .checkpoint(all, |key, value| write(0, key, value));
        let valid = self
            .valid
            .checkpoint(all, |key, value| write(1, key, value));
        coming || valid
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        match table {
            0 => self.coming.restore(key, value, &self.whole.codec),
            1 => self.valid.restore(key, value, &self.whole.codec),
            2 => self.now.restore(key, value),
            _ => Err(Corrupt),
        }
    }

    fn entries(&self) -> usize {
        self.coming.table.keys().len() + self.valid.table.keys().len()
    }

    fn bytes(&self) -> usize {
        self.coming.bytes() + self.valid.bytes()
    }
}

impl Valid {
    /// Shows rows whose first time has come, unless their second has too, and keeps them if that is to come.
    fn begin(&mut self, due: &[Slot], now: i64, out: &mut Output) {
        let Some(until) = self.until else {
            let rows = due
                .iter()
                .map(|slot| (self.coming.row(*slot), self.coming.table.get(*slot).weight));
            return self.whole.emit(rows, out);
        };
        let rows: Vec<&[u8]> = due.iter().map(|slot| self.coming.row(*slot)).collect();
        let columns = self.whole.codec.decode(rows.iter().copied());
        let columns =
            columns.expect("rows are what the codec encoded, or were looked at when restored");
        let untils = to_us(columns[until].as_ref(), Rounding::Up);
        let mut shown = Vec::new();
        for ((slot, row), until) in due.iter().zip(rows).zip(untils) {
            let weight = self.coming.table.get(*slot).weight;
            if let Some(until) = until.filter(|until| *until > now)
                && weight != 0
            {
                self.valid.add(until, row, weight);
                shown.push((row, weight));
            }
        }
        self.whole.emit(shown.into_iter(), out);
    }
}
