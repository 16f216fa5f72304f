//! Rows in the sessions that they are in: of each partition, rows that follow each other in less than the gap.
//!
//! A session's window begins with its first row and ends the gap after its last one. When a row comes or goes, those that are
//! connected with it before or after, a chain, are looked at anew, and come out again where their window is another one.
//!
//! Where windows close, rows whose session ends at or below the watermark are known no more; what came out stays. A row that
//! comes when a session of it alone would be closed is late, and counted.
//!
//! # Layout      of state: table 0 has for each row its weight; the key is the partition's columns, the time in eight bytes
//! that sort it, and the other columns. Table 255 has the watermark.
//! # Limits      a chain is gone through as a whole when a row of it comes or goes, though not at a stretch

use std::collections::BTreeSet;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, SchemaRef};

use super::{
    End, Output, Place, Running, Write,
    closing::{CLOCK_TABLE, Clock},
    windows::{Rounding, from_us, is_time, to_us},
};
use crate::{
    Delta, Fault,
    delta::CHUNK_ROWS,
    graph::PlanError,
    row::{Corrupt, RowCodec, Rows},
    state::{OrderedSlots, Slot, Table, Value},
};

/// Looks at rows at a stretch: each takes some tens of nanoseconds.
const LOOKS_MAX: usize = 8 * CHUNK_ROWS;

/// Rows of a chain that are found at once.
const FOUND_MAX: usize = 64;

/// Bytes of a time within a row's key.
const TIME_BYTES: usize = 8;

/// A row's weight and time, and how much of its key is its partition.
#[derive(Clone, Copy, Debug, Default)]
struct Event {
    weight: i64,
    time: i64,
    partition: u32,
}

impl Value for Event {
    fn is_empty(self) -> bool {
        self.weight == 0
    }
}

/// A row in its window, so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shown {
    slot: Slot,
    window: (i64, i64),
    weight: i64,
}

#[derive(Debug)]
struct Sessions {
    schema: SchemaRef,
    time: usize,
    gap: i64,
    partition: Vec<usize>,
    others: Vec<usize>,
    partition_codec: RowCodec,
    others_codec: RowCodec,
    encoded: [Rows; 2],
    rows: Table<Event>,
    ordered: OrderedSlots,
    key: Vec<u8>,
    finishing: Finishing,
    closing: Option<Closing>,
}

#[derive(Debug, Default)]
struct Finishing {
    /// Place in the list of touched rows.
    at: usize,
    /// The chain of the touched row before that place, if it has not been gone through.
    walk: Option<Walk>,
    /// Touched rows that have been gone through with their neighbours.
    done: BTreeSet<Slot>,
    is_closing: bool,
}

/// The way through a chain: back to its first row, forth to its last, then over its rows for their windows, and once more
/// for what has changed.
#[derive(Debug, Default)]
struct Walk {
    chain: Vec<Slot>,
    step: Step,
    /// Place in the chain, in the last two steps.
    at: usize,
    old: Windows,
    new: Windows,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    #[default]
    Back,
    Forth,
    Windows,
    Rows,
}

/// Those of a chain's rows, before the epoch or now.
#[derive(Debug, Default)]
struct Windows {
    /// In order, each with the place of its last row.
    all: Vec<(usize, (i64, i64))>,
    /// Which of them the next row may be in.
    next: usize,
    /// Times of first and last row, and the place of the last, of one that may go on.
    open: Option<(i64, i64, usize)>,
}

impl Windows {
    /// The next row that is there.
    fn add(&mut self, at: usize, time: i64, gap: i64) {
        match &mut self.open {
            Some((_, last, place)) if is_within(gap, *last, time) => (*last, *place) = (time, at),
            _ => {
                self.end(gap);
                self.open = Some((time, time, at));
            }
        }
    }

    fn end(&mut self, gap: i64) {
        if let Some((first, last, at)) = self.open.take() {
            self.all.push((at, (first, last.saturating_add(gap))));
        }
    }

    /// The window of a row that was added, and whether the row is its last; rows are asked for in order.
    fn of(&mut self, at: usize) -> ((i64, i64), bool) {
        while self.all[self.next].0 < at {
            self.next += 1;
        }
        let (last, window) = self.all[self.next];
        (window, last == at)
    }
}

/// Whether times are of one session. They may be further apart than a signed number says.
fn is_within(gap: i64, a: i64, b: i64) -> bool {
    a.abs_diff(b) < gap.unsigned_abs()
}

#[derive(Debug)]
struct Closing {
    closed: Clock,
    /// Last rows of sessions by their times, and what was one.
    lasts: BTreeSet<(i64, Slot)>,
    seen: Seen,
}

/// Which rows have been looked at for `lasts`: what is restored is, when something may close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    None,
    UpTo(Slot),
    All,
}

pub(super) fn make(
    place: &Place,
    partition: &[usize],
    time: usize,
    gap: std::time::Duration,
) -> Result<Box<dyn Running>, PlanError> {
    let gap = i64::try_from(gap.as_micros()).unwrap_or(0);
    if gap <= 0 {
        return Err(place.malformed("a session's gap is above zero, and no longer than time"));
    }
    let input = place.inputs[0].fields();
    let bounds = place.schema.fields().iter().skip(input.len());
    let bounds: Vec<&DataType> = bounds.map(|field| field.data_type()).collect();
    let are_times = bounds
        .iter()
        .all(|of| matches!(of, DataType::Timestamp(..)));
    if bounds.len() != 2 || !are_times {
        return Err(place.malformed("behind its columns a row has its window's start and end"));
    }
    let types = input.iter().map(|field| field.data_type());
    place.expect_types(types.chain(bounds))?;
    if !is_time(place.input_type(0, time)?) {
        return Err(place.malformed("the time is no timestamp"));
    }
    let others = (0..input.len()).filter(|column| !partition.contains(column));
    let others: Vec<usize> = others.collect();
    Ok(Box::new(Sessions {
        schema: place.schema.clone(),
        time,
        gap,
        partition_codec: place.codec(0, partition)?,
        others_codec: place.codec(0, &others)?,
        partition: partition.to_vec(),
        others,
        encoded: Default::default(),
        rows: Table::default(),
        ordered: OrderedSlots::default(),
        key: Vec::new(),
        finishing: Finishing::default(),
        closing: place.closes.map(|_| Closing {
            closed: Clock::NEVER,
            lasts: BTreeSet::new(),
            seen: Seen::None,
        }),
    }))
}

impl Running for Sessions {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let columns = |of: &[usize]| -> Vec<ArrayRef> {
            of.iter()
                .map(|column| delta.column(*column).clone())
                .collect()
        };
        let [partitions, others] = &mut self.encoded;
        self.partition_codec
            .encode_into(&columns(&self.partition), delta.len(), partitions);
        self.others_codec
            .encode_into(&columns(&self.others), delta.len(), others);
        let times = to_us(delta.column(self.time).as_ref(), Rounding::Down);
        for (row, time) in times.into_iter().enumerate() {
            let Some(time) = time else {
                out.fault(Fault {
                    sqlstate: *b"22004",
                    message: String::from("a row without a time is in no window"),
                });
                continue;
            };
            let closed = self.closing.as_ref().map(|closing| closing.closed.time);
            if closed.is_some_and(|closed| time.saturating_add(self.gap) <= closed) {
                out.late_rows += 1;
                continue;
            }
            let [partitions, others] = &self.encoded;
            self.key.clear();
            self.key.extend_from_slice(partitions.row(row));
            let partition = u32::try_from(self.key.len()).expect("rows are far smaller");
            let sorted = time.cast_unsigned() ^ 1 << 63;
            self.key.extend_from_slice(&sorted.to_be_bytes());
            self.key.extend_from_slice(others.row(row));
            let (slot, is_new) = self.rows.insert(&self.key);
            let event = self.rows.change(slot);
            event.weight += delta.weight(row);
            event.time = time;
            event.partition = partition;
            if is_new {
                self.ordered.insert(self.rows.keys(), slot);
            }
        }
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        if self.finishing.is_closing {
            return self.close(end);
        }
        let mut changes = Vec::new();
        let mut looks = 0;
        while looks < LOOKS_MAX
            && changes.len() < CHUNK_ROWS
            && let Some(more) = self.look_on(&mut changes)
        {
            looks += more;
        }
        self.emit(&changes, out);
        if self.finishing.walk.is_some() || self.finishing.at < self.rows.touched().len() {
            return true;
        }
        let ordered = &mut self.ordered;
        self.rows
            .end_epoch(|keys, slot, _| ordered.remove(keys, slot));
        self.finishing = Finishing {
            is_closing: self.closing.is_some(),
            ..Finishing::default()
        };
        self.finishing.is_closing
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let has_more = self.rows.checkpoint(all, |key, event| {
            let weight = event.map(|event| event.weight.to_le_bytes());
            write(0, key, weight.as_ref().map(<[u8; 8]>::as_slice));
        });
        if let Some(closing) = &mut self.closing {
            closing.closed.checkpoint(all, CLOCK_TABLE, write);
        }
        has_more
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        if table == CLOCK_TABLE {
            let closing = self.closing.as_mut().ok_or(Corrupt)?;
            return closing.closed.restore(key, value);
        }
        if table != 0 {
            return Err(Corrupt);
        }
        let weight = i64::from_le_bytes(value.try_into().map_err(|_| Corrupt)?);
        let (_, behind) = self.partition_codec.decode_front([key])?;
        let (time, others) = behind[0].split_first_chunk::<TIME_BYTES>().ok_or(Corrupt)?;
        self.others_codec.check(others)?;
        let event = Event {
            weight,
            time: (u64::from_be_bytes(*time) ^ 1 << 63).cast_signed(),
            partition: u32::try_from(key.len() - behind[0].len()).map_err(|_| Corrupt)?,
        };
        let (slot, is_new) = self.rows.restore(key, event);
        if is_new {
            self.ordered.insert(self.rows.keys(), slot);
        }
        Ok(())
    }

    fn entries(&self) -> usize {
        self.rows.keys().len()
    }

    fn bytes(&self) -> usize {
        let lasts = self.closing.as_ref().map_or(0, |c| c.lasts.len());
        let lasts = lasts * size_of::<(i64, Slot)>();
        // Runs, and the nodes of trees, are about three quarters full.
        let ordered = self.rows.keys().len() * size_of::<Slot>();
        self.rows.bytes() + (ordered + lasts) * 4 / 3
    }
}

impl Sessions {
    fn partition_of(&self, slot: Slot) -> &[u8] {
        &self.rows.keys().key(slot)[..self.rows.get(slot).partition as usize]
    }

    /// Whether rows that follow each other are connected, be they there now or before the epoch.
    fn is_connected(&self, a: Slot, b: Slot) -> bool {
        let times = (self.rows.get(a).time, self.rows.get(b).time);
        self.partition_of(a) == self.partition_of(b) && is_within(self.gap, times.0, times.1)
    }

    /// Adds some rows that follow the last one of a piece of a chain, in the order in which they are given; `false` when
    /// there are no more.
    fn follow(&self, chain: &mut Vec<Slot>, slots: impl Iterator<Item = Slot>) -> bool {
        let mut last = *chain.last().expect("it began with a row");
        let before = chain.len();
        for slot in slots.take(FOUND_MAX) {
            if !self.is_connected(last, slot) {
                return false;
            }
            chain.push(slot);
            last = slot;
        }
        chain.len() - before == FOUND_MAX
    }

    fn has_behind(&self, slot: Slot) -> bool {
        let mut slots = self.ordered.behind(self.rows.keys(), slot);
        slots
            .next()
            .is_some_and(|behind| self.is_connected(slot, behind))
    }

    /// Some steps through the chains of touched rows; at how many rows it has looked, `None` when there are no more.
    fn look_on(&mut self, changes: &mut Vec<Shown>) -> Option<usize> {
        if let Some(mut walk) = self.finishing.walk.take() {
            let before = walk.chain.len();
            if self.walk(&mut walk, changes) {
                let found = walk.chain.len() - before;
                self.finishing.walk = Some(walk);
                return Some(1 + found);
            }
            return Some(1);
        }
        let slot = self.rows.touched().get(self.finishing.at).copied()?;
        self.finishing.at += 1;
        if !self.finishing.done.contains(&slot) {
            self.finishing.walk = Some(Walk {
                chain: vec![slot],
                ..Walk::default()
            });
        }
        Some(1)
    }

    /// One step; `false` behind the last.
    fn walk(&mut self, walk: &mut Walk, changes: &mut Vec<Shown>) -> bool {
        let last = walk.chain.last().copied().expect("it began with a row");
        match walk.step {
            Step::Back => {
                let before = self.ordered.before(self.rows.keys(), last);
                if !self.follow(&mut walk.chain, before) {
                    walk.chain.reverse();
                    walk.step = Step::Forth;
                }
            }
            Step::Forth => {
                let behind = self.ordered.behind(self.rows.keys(), last);
                if !self.follow(&mut walk.chain, behind) {
                    walk.step = Step::Windows;
                }
            }
            Step::Windows => match walk.chain.get(walk.at) {
                Some(slot) => {
                    let (old, new) = (self.rows.old(*slot), self.rows.get(*slot));
                    if old.weight > 0 {
                        walk.old.add(walk.at, new.time, self.gap);
                    }
                    if new.weight > 0 {
                        walk.new.add(walk.at, new.time, self.gap);
                    }
                    walk.at += 1;
                }
                None => {
                    walk.old.end(self.gap);
                    walk.new.end(self.gap);
                    (walk.step, walk.at) = (Step::Rows, 0);
                }
            },
            Step::Rows => {
                let Some(slot) = walk.chain.get(walk.at).copied() else {
                    return false;
                };
                self.compare(slot, walk, changes);
                walk.at += 1;
            }
        }
        true
    }

    /// What has changed for one row of a chain.
    fn compare(&mut self, slot: Slot, walk: &mut Walk, changes: &mut Vec<Shown>) {
        let (old, new) = (self.rows.old(slot).weight, self.rows.get(slot));
        let was = (old > 0).then(|| walk.old.of(walk.at).0);
        let is = (new.weight > 0).then(|| walk.new.of(walk.at));
        if let (Some((_, true)), Some(closing)) = (is, &mut self.closing)
            && closing.seen == Seen::All
        {
            closing.lasts.insert((new.time, slot));
        }
        if self.rows.keys().place(slot).is_some() {
            self.finishing.done.insert(slot);
        }
        let shown = |window, weight| Shown {
            slot,
            window,
            weight,
        };
        match (was, is) {
            (Some(was), Some((is, _))) if was == is => {
                if old != new.weight {
                    changes.push(shown(is, new.weight - old));
                }
            }
            (was, is) => {
                changes.extend(was.map(|was| shown(was, -old)));
                changes.extend(is.map(|(is, _)| shown(is, new.weight)));
            }
        }
    }

    /// Some of the sessions that end by the watermark go.
    fn close(&mut self, end: &End) -> bool {
        let Some(mut closing) = self.closing.take() else {
            return false;
        };
        let has_more = self.close_some(&mut closing, end);
        self.closing = Some(closing);
        self.finishing.is_closing = has_more;
        has_more
    }

    fn close_some(&mut self, closing: &mut Closing, end: &End) -> bool {
        if closing.seen != Seen::All {
            self.find_lasts(closing);
            return true;
        }
        let now = end.watermark.unwrap_or(i64::MIN).max(closing.closed.time);
        let mut gone = 0;
        while gone < CHUNK_ROWS
            && let Some((time, slot)) = closing.lasts.first().copied()
            && time.saturating_add(self.gap) <= now
        {
            closing.lasts.pop_first();
            let (rows, last) = self.forget(time, slot);
            closing.lasts.extend(last);
            gone += rows;
        }
        let has_more = gone >= CHUNK_ROWS;
        if !has_more {
            closing.closed.advance(now);
        }
        has_more
    }

    /// Lets the last rows of a session go, if this is still the last of them; how many that were, and the one that is the last
    /// now.
    fn forget(&mut self, time: i64, last: Slot) -> (usize, Option<(i64, Slot)>) {
        let is_there = self.rows.keys().is_live(last) && self.rows.get(last).time == time;
        // A row may have come behind it, so that another one is the last.
        if !is_there || self.has_behind(last) {
            return (1, None);
        }
        let mut going = vec![last];
        let before = self.ordered.before(self.rows.keys(), last);
        let has_more = self.follow(&mut going, before);
        let stays = going.pop_if(|_| has_more);
        for slot in &going {
            self.ordered.remove(self.rows.keys(), *slot);
            self.rows.remove(*slot);
        }
        (
            going.len(),
            stays.map(|slot| (self.rows.get(slot).time, slot)),
        )
    }

    /// Looks at some more rows for the last ones of sessions.
    fn find_lasts(&self, closing: &mut Closing) {
        let keys = self.rows.keys();
        let mut slots: Box<dyn Iterator<Item = Slot>> = match closing.seen {
            Seen::UpTo(slot) => Box::new(self.ordered.behind(keys, slot)),
            Seen::None | Seen::All => Box::new(self.ordered.iter()),
        };
        for _ in 0..CHUNK_ROWS {
            let Some(slot) = slots.next() else {
                closing.seen = Seen::All;
                return;
            };
            closing.seen = Seen::UpTo(slot);
            if !self.has_behind(slot) {
                closing.lasts.insert((self.rows.get(slot).time, slot));
            }
        }
    }

    fn emit(&self, changes: &[Shown], out: &mut Output) {
        for changes in changes.chunks(CHUNK_ROWS) {
            let keys = changes.iter().map(|shown| {
                let key = self.rows.keys().key(shown.slot);
                key.split_at(self.rows.get(shown.slot).partition as usize)
            });
            let (partitions, others): (Vec<&[u8]>, Vec<&[u8]>) = keys
                .map(|(partition, others)| (partition, &others[TIME_BYTES..]))
                .unzip();
            let known = "rows are what the codec encoded, or were looked at when restored";
            let partitions = self.partition_codec.decode(partitions).expect(known);
            let others = self.others_codec.decode(others).expect(known);
            let width = self.partition.len() + self.others.len();
            let place = |of: &[usize], column| of.iter().position(|other| *other == column);
            let mut columns: Vec<ArrayRef> = (0..width)
                .map(|column| match place(&self.partition, column) {
                    Some(at) => partitions[at].clone(),
                    None => {
                        let at = place(&self.others, column);
                        others[at.expect("a column is in either part")].clone()
                    }
                })
                .collect();
            let starts: Vec<i64> = changes.iter().map(|shown| shown.window.0).collect();
            let ends: Vec<i64> = changes.iter().map(|shown| shown.window.1).collect();
            for (bounds, field) in [starts, ends].iter().zip(&self.schema.fields()[width..]) {
                columns.push(from_us(bounds, field.data_type()));
            }
            let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
            let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
            let weights = changes.iter().map(|shown| shown.weight).collect();
            out.deltas.push(Delta::new(
                rows.expect("the columns of the schema"),
                weights,
            ));
        }
    }
}
