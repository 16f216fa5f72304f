//! Rows in the sessions that they are in: of each partition, rows that follow each other in less than the gap.
//!
//! A session's window begins with its first row and ends the gap after its last one. When a row comes or goes, those that are
//! connected with it before or after are looked at anew, and come out again where their window is another one.
//!
//! Where windows close, rows whose session ends at or below the watermark are known no more; what came out stays. A row that
//! comes when a session of it alone would be closed is late, and counted.
//!
//! # Layout      of state: table 0 has for each row its weight; the key is the partition's columns, the time in eight bytes
//! that sort it, and the other columns. Table 255 has the watermark.
//! # Limits      a session is gone through as a whole when a row of it comes or goes

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
    /// Touched rows that have been gone through with their neighbours.
    done: BTreeSet<Slot>,
    is_closing: bool,
}

#[derive(Debug)]
struct Closing {
    closed: Clock,
    /// Last rows of sessions by their times, and what was one; `None`: to be found out anew.
    lasts: Option<BTreeSet<(i64, Slot)>>,
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
            lasts: None,
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
        while self.finishing.at < self.rows.touched().len() && changes.len() < CHUNK_ROWS {
            let slot = self.rows.touched()[self.finishing.at];
            self.finishing.at += 1;
            if !self.finishing.done.contains(&slot) {
                self.look_around(slot, &mut changes);
            }
        }
        self.emit(&changes, out);
        if self.finishing.at < self.rows.touched().len() {
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

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) {
        self.rows.checkpoint(all, |key, event| {
            let weight = event.map(|event| event.weight.to_le_bytes());
            write(0, key, weight.as_ref().map(<[u8; 8]>::as_slice));
        });
        if let Some(closing) = &mut self.closing {
            closing.closed.checkpoint(all, CLOCK_TABLE, write);
        }
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
        self.others_codec.decode([others])?;
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
        // Runs are about three quarters full.
        self.rows.bytes() + self.rows.keys().len() * size_of::<Slot>() * 4 / 3
    }
}

impl Sessions {
    fn partition_of(&self, slot: Slot) -> &[u8] {
        &self.rows.keys().key(slot)[..self.rows.get(slot).partition as usize]
    }

    /// The rows that belong together with one, whether they are there now or were before the epoch; in order.
    fn connected(&self, slot: Slot) -> Vec<Slot> {
        let is_next = |last: Slot, slot: Slot| {
            let (a, b) = (self.rows.get(last).time, self.rows.get(slot).time);
            self.partition_of(last) == self.partition_of(slot) && a.abs_diff(b) < self.gap as u64
        };
        let keys = self.rows.keys();
        let follow = |chain: &mut Vec<Slot>, slots: &mut dyn Iterator<Item = Slot>| {
            let mut last = slot;
            for slot in slots {
                if !is_next(last, slot) {
                    return;
                }
                chain.push(slot);
                last = slot;
            }
        };
        let mut chain = Vec::new();
        follow(&mut chain, &mut self.ordered.before(keys, slot));
        chain.reverse();
        chain.push(slot);
        follow(&mut chain, &mut self.ordered.behind(keys, slot));
        chain
    }

    /// The rows of a chain with their windows; and the last of each session.
    fn shown(&self, chain: &[Slot], weight: impl Fn(Slot) -> i64) -> (Vec<Shown>, Vec<Slot>) {
        let there = chain.iter().map(|slot| (*slot, weight(*slot)));
        let there: Vec<(Slot, i64)> = there.filter(|(_, weight)| *weight > 0).collect();
        let time = |at: usize| self.rows.get(there[at].0).time;
        let mut shown = Vec::with_capacity(there.len());
        let mut lasts = Vec::new();
        let mut from = 0;
        for at in 0..there.len() {
            let is_last = at + 1 == there.len() || time(at + 1) - time(at) >= self.gap;
            if !is_last {
                continue;
            }
            let window = (time(from), time(at).saturating_add(self.gap));
            shown.extend(there[from..=at].iter().map(|(slot, weight)| Shown {
                slot: *slot,
                window,
                weight: *weight,
            }));
            lasts.push(there[at].0);
            from = at + 1;
        }
        (shown, lasts)
    }

    /// What a touched row changes for all that are connected with it.
    fn look_around(&mut self, slot: Slot, changes: &mut Vec<Shown>) {
        let chain = self.connected(slot);
        let (old, _) = self.shown(&chain, |slot| self.rows.old(slot).weight);
        let (new, lasts) = self.shown(&chain, |slot| self.rows.get(slot).weight);
        if let Some(known) = self.closing.as_mut().and_then(|c| c.lasts.as_mut()) {
            let rows = &self.rows;
            known.extend(lasts.iter().map(|slot| (rows.get(*slot).time, *slot)));
        }
        // Both are in the order of the chain.
        let mut old = old.iter().peekable();
        let mut new = new.iter().peekable();
        for slot in chain {
            let was = old.next_if(|shown| shown.slot == slot);
            let is = new.next_if(|shown| shown.slot == slot);
            if self.rows.keys().place(slot).is_some() {
                self.finishing.done.insert(slot);
            }
            match (was, is) {
                (Some(was), Some(is)) if was.window == is.window => {
                    if was.weight != is.weight {
                        changes.push(Shown {
                            weight: is.weight - was.weight,
                            ..*is
                        });
                    }
                }
                (was, is) => {
                    changes.extend(was.map(|was| Shown {
                        weight: -was.weight,
                        ..*was
                    }));
                    changes.extend(is);
                }
            }
        }
    }

    /// Some of the sessions that end by the watermark go.
    fn close(&mut self, end: &End) -> bool {
        let Some(mut closing) = self.closing.take() else {
            return false;
        };
        let now = end.watermark.unwrap_or(i64::MIN).max(closing.closed.time);
        let mut lasts = closing.lasts.take().unwrap_or_else(|| self.all_lasts());
        let mut gone = 0;
        while gone < CHUNK_ROWS
            && let Some((time, slot)) = lasts.first().copied()
            && time.saturating_add(self.gap) <= now
        {
            lasts.pop_first();
            gone += self.forget(time, slot);
        }
        let has_more = gone >= CHUNK_ROWS;
        if !has_more {
            closing.closed.advance(now);
            self.finishing.is_closing = false;
        }
        closing.lasts = Some(lasts);
        self.closing = Some(closing);
        has_more
    }

    /// Lets the session go of which this is the last row; how many rows that were.
    fn forget(&mut self, time: i64, last: Slot) -> usize {
        let is_there = self.rows.keys().is_live(last) && self.rows.get(last).time == time;
        if !is_there {
            return 0;
        }
        let chain = self.connected(last);
        // A row has come behind it, so another one is the last.
        if chain.last() != Some(&last) {
            return 0;
        }
        for slot in &chain {
            self.ordered.remove(self.rows.keys(), *slot);
            self.rows.remove(*slot);
        }
        chain.len()
    }

    fn all_lasts(&self) -> BTreeSet<(i64, Slot)> {
        let mut lasts = BTreeSet::new();
        let mut slots = self.ordered.iter().peekable();
        while let Some(slot) = slots.next() {
            let time = self.rows.get(slot).time;
            let is_last = slots.peek().is_none_or(|next| {
                self.partition_of(*next) != self.partition_of(slot)
                    || self.rows.get(*next).time - time >= self.gap
            });
            if is_last {
                lasts.insert((time, slot));
            }
        }
        lasts
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
