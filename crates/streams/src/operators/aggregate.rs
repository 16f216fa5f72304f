//! Groups of rows and what is computed of each.
//!
//! # Invariants
//! 1. Every accumulator can take back what it was given: its value depends on the rows of the group, never on their order
//!    or on rows that have gone.
//! 2. At the first touch of a group in an epoch its old values are computed and kept; what is emitted at the epoch's end
//!    is the difference.
//!
//! # Layout      of state: table 0 has for each group the weight of its rows, whether it is shown, and what each
//! accumulator keeps; tables 1 + 2n and 2 + 2n have the distinct rows and the collected ones of the n-th, behind the key;
//! where windows close, table 255 has the watermark

mod accumulator;
mod collected;
mod exact_sum;
mod linear;
mod moments;
mod sums;

use std::ops::Range;

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array, cast::AsArray};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::{concat::concat, take::take};

use super::{
    End, Output, Place, Running, Write,
    closing::{CLOCK_TABLE, Closing},
};
use crate::{
    Delta,
    delta::CHUNK_ROWS,
    graph::PlanError,
    plan::{Aggregate, AggregateFunction},
    row::{Corrupt, RowCodec, Rows},
    state::{Keys, Slot, Table},
};
use accumulator::{Accumulator, Chunk, read_i64};

/// Tables are numbered in one byte, two for each aggregate.
const AGGREGATES_MAX: usize = 120;

#[derive(Debug)]
struct Aggregation {
    schema: SchemaRef,
    keys: Vec<usize>,
    key_codec: RowCodec,
    value_codec: RowCodec,
    groups: Keys,
    /// By slot: the weight of the group's rows, and whether a row of it has been emitted.
    weights: Vec<i64>,
    is_shown: Vec<bool>,
    parts: Vec<Part>,
    finishing: Option<Finishing>,
    closing: Option<Closing>,
    /// Which of the keys says when a group closes.
    closing_key: usize,
    is_closing: bool,
    rows: Rows,
    slots: Vec<Slot>,
}

/// One aggregate.
#[derive(Debug)]
struct Part {
    arguments: Vec<usize>,
    filter: Option<usize>,
    distinct: Option<Distinct>,
    accumulator: Box<dyn Accumulator>,
    /// Of touched groups, in the order of their list, what was shown.
    old: Vec<ArrayRef>,
}

/// How often each combination of arguments is in each group.
#[derive(Debug)]
struct Distinct {
    codec: RowCodec,
    table: Table<i64>,
    rows: Rows,
    key: Vec<u8>,
    /// Where groups close.
    by_group: Option<ByGroup>,
}

/// The entries of each group.
#[derive(Debug, Default)]
struct ByGroup {
    entries: Vec<Vec<Slot>>,
    /// By entry: its group, and where it stands in its list.
    places: Vec<(Slot, usize)>,
    /// In all lists.
    count: usize,
}

#[derive(Debug)]
struct Finishing {
    old: Vec<ArrayRef>,
    next: usize,
}

pub(super) fn make(
    place: &Place,
    keys: &[usize],
    aggregates: &[Aggregate],
) -> Result<Box<dyn Running>, PlanError> {
    let key_types = place.input_types(0, keys)?;
    let fields = place.schema.fields();
    if fields.len() != keys.len() + aggregates.len() {
        return Err(place.malformed("its schema has not a column for each key and aggregate"));
    }
    if aggregates.len() > AGGREGATES_MAX {
        return Err(place.malformed("it has too many aggregates"));
    }
    let value_types: Vec<&DataType> = fields
        .iter()
        .skip(keys.len())
        .map(|field| field.data_type())
        .collect();
    place.expect_types(key_types.iter().chain(value_types.iter().copied()))?;
    let parts = aggregates.iter().zip(&value_types);
    let parts = parts.map(|(aggregate, result)| make_part(place, aggregate, result));
    Ok(Box::new(Aggregation {
        schema: place.schema.clone(),
        keys: keys.to_vec(),
        key_codec: place.codec(0, keys)?,
        value_codec: RowCodec::ascending(value_types.iter().copied())
            .map_err(|e| place.unsupported(e))?,
        groups: Keys::default(),
        weights: Vec::new(),
        is_shown: Vec::new(),
        parts: parts.collect::<Result<_, _>>()?,
        finishing: None,
        closing: Closing::new(place, |column| Some(vec![*keys.get(column)?]))?,
        closing_key: place.closes.map_or(0, |closes| closes.column),
        is_closing: false,
        rows: Rows::default(),
        slots: Vec::new(),
    }))
}

fn make_part(place: &Place, aggregate: &Aggregate, result: &DataType) -> Result<Part, PlanError> {
    use AggregateFunction::{ApproxDistinct, BoolAnd, BoolOr, Max, Min};
    if let Some(filter) = aggregate.filter
        && place.input_type(0, filter)? != &DataType::Boolean
    {
        return Err(place.malformed("a filter is no truth value"));
    }
    let accumulator = accumulator::make(place, aggregate, result)?;
    // Of these, what comes again changes nothing.
    let is_idempotent = matches!(aggregate.function, Min | Max | BoolAnd | BoolOr);
    let is_distinct =
        aggregate.function == ApproxDistinct || (aggregate.distinct && !is_idempotent);
    let distinct = if is_distinct {
        Some(Distinct {
            codec: place.codec(0, &aggregate.arguments)?,
            table: Table::default(),
            rows: Rows::default(),
            key: Vec::new(),
            by_group: place.closes.map(|_| ByGroup::default()),
        })
    } else {
        None
    };
    Ok(Part {
        arguments: accumulator::columns(place, aggregate),
        filter: aggregate.filter,
        distinct,
        accumulator,
        old: Vec::new(),
    })
}

impl Running for Aggregation {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let admitted;
        let delta = match &self.closing {
            Some(closing) => {
                admitted = closing.admit(0, delta, out);
                &admitted
            }
            None => delta,
        };
        let keys: Vec<ArrayRef> = self
            .keys
            .iter()
            .map(|key| delta.column(*key).clone())
            .collect();
        let mut slots = std::mem::take(&mut self.slots);
        if keys.is_empty() {
            let slot = self.groups.insert(&[]).0;
            slots.clear();
            slots.resize(delta.len(), slot);
        } else {
            self.key_codec
                .encode_into(&keys, delta.len(), &mut self.rows);
            self.groups.insert_all(&self.rows, &mut slots);
        }
        if let Some(closing) = &mut self.closing {
            closing.put_rows(0, delta, &slots);
        }
        self.touch(&slots);
        match delta.weights() {
            None => slots
                .iter()
                .for_each(|slot| self.weights[slot.index()] += 1),
            Some(weights) => {
                let weighted = slots.iter().zip(weights);
                weighted.for_each(|(slot, weight)| self.weights[slot.index()] += weight);
            }
        }
        for part in &mut self.parts {
            part.update(delta, &slots, &self.groups);
        }
        self.slots = slots;
    }

    fn finish(&mut self, end: &End, out: &mut Output) -> bool {
        if self.is_closing {
            return self.close(end);
        }
        if self.finishing.is_none() {
            self.begin_finishing();
        }
        let finishing = self.finishing.as_mut().expect("it has begun");
        let from = finishing.next;
        let until = (from + CHUNK_ROWS).min(self.groups.touched().len());
        finishing.next = until;
        if from < until {
            self.emit(from..until, out);
        }
        if until < self.groups.touched().len() {
            return true;
        }
        self.finishing = None;
        for part in &mut self.parts {
            part.end_epoch();
        }
        let has_keys = !self.keys.is_empty();
        let is_shown = &self.is_shown;
        // A group whose rows have gone may yet come back below zero and up again; its weight decides.
        let weights = &self.weights;
        self.groups
            .end_epoch(|slot| !has_keys || is_shown[slot.index()] || weights[slot.index()] != 0);
        self.is_closing = self.closing.is_some();
        self.is_closing
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let mut value = Vec::new();
        let write_group = |key: &[u8], slot: Option<Slot>| {
            let Some(slot) = slot else {
                return write(0, key, None);
            };
            value.clear();
            value.extend_from_slice(&self.weights[slot.index()].to_le_bytes());
            value.push(u8::from(self.is_shown[slot.index()]));
            self.parts
                .iter()
                .for_each(|part| part.accumulator.write(slot, &mut value));
            write(0, key, Some(&value));
        };
        let mut has_more = self.groups.checkpoint(all, write_group);
        if let Some(closing) = &mut self.closing {
            closing.checkpoint(all, write);
        }
        for (at, part) in self.parts.iter_mut().enumerate() {
            // At most `AGGREGATES_MAX`.
            let table = 1 + 2 * at as u8;
            let mut write_weight = |table, key: &[u8], weight: Option<i64>| {
                write(
                    table,
                    key,
                    weight
                        .map(i64::to_le_bytes)
                        .as_ref()
                        .map(<[u8; 8]>::as_slice),
                );
            };
            if let Some(distinct) = &mut part.distinct {
                has_more |= distinct
                    .table
                    .checkpoint(all, |key, weight| write_weight(table, key, weight));
            }
            if let Some(collected) = part.accumulator.collected() {
                has_more |=
                    collected.checkpoint(all, |key, weight| write_weight(table + 1, key, weight));
            }
        }
        has_more
    }

    fn reserve(&mut self, table: u8, entries: usize) {
        if table == 0 {
            self.groups.reserve(entries);
            self.weights.reserve(entries);
            self.is_shown.reserve(entries);
            let parts = self.parts.iter_mut();
            parts.for_each(|part| part.accumulator.reserve(entries));
        }
    }

    fn restore(&mut self, table: u8, key: &[u8], mut value: &[u8]) -> Result<(), Corrupt> {
        if table == CLOCK_TABLE {
            return self.closing.as_mut().ok_or(Corrupt)?.restore(key, value);
        }
        if table == 0 {
            let slot = match &mut self.closing {
                Some(closing) => {
                    let columns = self.key_codec.decode([key])?;
                    let slot = self.groups.restore(key).0;
                    closing.put_values(&[slot], columns[self.closing_key].as_ref());
                    slot
                }
                None => {
                    self.key_codec.check(key)?;
                    self.groups.restore(key).0
                }
            };
            self.grow();
            self.weights[slot.index()] = read_i64(&mut value)?;
            let (is_shown, mut value) = value.split_first().ok_or(Corrupt)?;
            self.is_shown[slot.index()] = *is_shown == 1;
            for part in &mut self.parts {
                part.accumulator.read(slot, &mut value)?;
            }
            return if value.is_empty() {
                Ok(())
            } else {
                Err(Corrupt)
            };
        }
        let weight = read_i64(&mut value)?;
        let (_, rest) = self.key_codec.decode_front([key])?;
        let (group, row) = key.split_at(key.len() - rest[0].len());
        let slot = self.restore_group(group);
        let part = self
            .parts
            .get_mut(usize::from(table - 1) / 2)
            .ok_or(Corrupt)?;
        if table % 2 == 1 {
            let distinct = part.distinct.as_mut().ok_or(Corrupt)?;
            distinct.codec.check(row)?;
            let (entry, is_new) = distinct.table.restore(key, weight);
            if let (true, Some(by_group)) = (is_new, &mut distinct.by_group) {
                by_group.add(slot, entry);
            }
            return Ok(());
        }
        part.accumulator
            .collected()
            .ok_or(Corrupt)?
            .restore(slot, key, row, weight)
    }

    fn entries(&self) -> usize {
        let of_part = |part: &Part| {
            let distinct = part
                .distinct
                .as_ref()
                .map_or(0, |distinct| distinct.table.keys().len());
            distinct + part.accumulator.entries()
        };
        self.groups.len() + self.parts.iter().map(of_part).sum::<usize>()
    }

    fn bytes(&self) -> usize {
        let of_part = |part: &Part| {
            let distinct = part.distinct.as_ref().map_or(0, Distinct::bytes);
            distinct + part.accumulator.bytes()
        };
        self.groups.bytes()
            + self.weights.capacity() * 9
            + self.closing.as_ref().map_or(0, Closing::bytes)
            + self.parts.iter().map(of_part).sum::<usize>()
    }
}

impl Aggregation {
    /// Makes room for new groups, and keeps the old values of those that the epoch has not touched before.
    fn touch(&mut self, slots: &[Slot]) {
        self.grow();
        let before = self.groups.touched().len();
        for slot in slots {
            self.groups.touch(*slot);
        }
        let touched = &self.groups.touched()[before..];
        if touched.is_empty() {
            return;
        }
        for slot in touched {
            // A slot that was given anew may hold what another group left.
            if !self.is_shown[slot.index()] && self.weights[slot.index()] == 0 {
                self.parts
                    .iter_mut()
                    .for_each(|part| part.accumulator.reset(*slot));
            }
        }
        for part in &mut self.parts {
            let old = part
                .accumulator
                .output(touched, &self.groups, &mut Output::default());
            part.old.push(old);
        }
    }

    /// Lets some of the groups go whose windows are closed.
    fn close(&mut self, end: &End) -> bool {
        let due = self.closing.as_mut().and_then(|c| c.due(end.watermark));
        let Some(due) = due else {
            self.is_closing = false;
            return false;
        };
        for slot in due {
            if !self.groups.is_live(slot) {
                continue;
            }
            for part in &mut self.parts {
                part.forget(slot, self.groups.key(slot));
            }
            self.weights[slot.index()] = 0;
            self.is_shown[slot.index()] = false;
            self.groups.remove(slot);
        }
        true
    }

    fn grow(&mut self) {
        let slots = self.groups.slots();
        self.weights.resize(slots, 0);
        self.is_shown.resize(slots, false);
        self.parts
            .iter_mut()
            .for_each(|part| part.accumulator.grow(slots));
    }

    fn restore_group(&mut self, key: &[u8]) -> Slot {
        let slot = self.groups.restore(key).0;
        self.grow();
        slot
    }

    fn begin_finishing(&mut self) {
        if self.keys.is_empty() && self.groups.is_empty() {
            let slot = self.groups.insert(&[]).0;
            self.touch(&[slot]);
        }
        let old = self.parts.iter_mut().map(|part| {
            let pieces = std::mem::take(&mut part.old);
            let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
            if pieces.is_empty() {
                return part
                    .accumulator
                    .output(&[], &self.groups, &mut Output::default());
            }
            concat(&pieces).expect("all are of one type")
        });
        self.finishing = Some(Finishing {
            old: old.collect(),
            next: 0,
        });
    }

    /// The difference of some touched groups.
    fn emit(&mut self, range: Range<usize>, out: &mut Output) {
        let slots = &self.groups.touched()[range.clone()];
        let count = slots.len();
        let finishing = self.finishing.as_ref().expect("it has begun");
        let old: Vec<ArrayRef> = finishing
            .old
            .iter()
            .map(|old| old.slice(range.start, count))
            .collect();
        let parts = self.parts.iter_mut();
        let new: Vec<ArrayRef> = parts
            .map(|part| part.accumulator.output(slots, &self.groups, out))
            .collect();
        let old_rows = self.value_codec.encode(&old, count);
        let new_rows = self.value_codec.encode(&new, count);
        let mut groups = Vec::with_capacity(2 * count);
        let mut places = Vec::with_capacity(2 * count);
        let mut weights = Vec::with_capacity(2 * count);
        for (at, slot) in slots.iter().enumerate() {
            let was_shown = self.is_shown[slot.index()];
            let is_shown = self.keys.is_empty() || self.weights[slot.index()] > 0;
            self.is_shown[slot.index()] = is_shown;
            if was_shown && is_shown && old_rows.row(at) == new_rows.row(at) {
                continue;
            }
            for (is_there, place, weight) in [(was_shown, at, -1), (is_shown, count + at, 1)] {
                if is_there {
                    groups.push(at as u32);
                    places.push(place as u32);
                    weights.push(weight);
                }
            }
        }
        if weights.is_empty() {
            return;
        }
        let keys = self
            .key_codec
            .decode(slots.iter().map(|slot| self.groups.key(*slot)));
        let mut columns =
            keys.expect("keys are what the codec encoded, or were looked at when restored");
        let groups = UInt32Array::from(groups);
        for key in &mut columns {
            *key = take(key, &groups, None).expect("places lie in the chunk");
        }
        let places = UInt32Array::from(places);
        for (old, new) in old.iter().zip(&new) {
            let both = concat(&[old.as_ref(), new.as_ref()]).expect("both are of one type");
            columns.push(take(&both, &places, None).expect("places lie in the chunk"));
        }
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(weights.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        out.deltas.push(Delta::new(
            rows.expect("accumulators give the types of the schema"),
            weights,
        ));
    }
}

impl Part {
    /// Lets a group go with all that is kept of it.
    fn forget(&mut self, group: Slot, key: &[u8]) {
        if let Some(distinct) = &mut self.distinct {
            distinct.forget(group, key);
        }
        if let Some(collected) = self.accumulator.collected() {
            collected.forget(group);
        }
        self.accumulator.reset(group);
    }

    fn update(&mut self, delta: &Delta, slots: &[Slot], groups: &Keys) {
        let columns = self
            .arguments
            .iter()
            .map(|column| delta.column(*column).clone())
            .collect();
        let mut chunk = Chunk {
            columns,
            slots: slots.into(),
            weights: delta.weights().map(Into::into),
        };
        if let Some(filter) = self.filter {
            let keep = delta.column(filter).as_boolean();
            let kept = (0..delta.len()).filter(|row| keep.is_valid(*row) && keep.value(*row));
            chunk = chunk.of_rows(&kept.map(|row| row as u32).collect::<Vec<_>>(), None);
        }
        if let Some(distinct) = &mut self.distinct {
            chunk = distinct.update(&chunk, groups);
        }
        if !chunk.slots.is_empty() {
            self.accumulator.update(&chunk, groups);
        }
    }

    fn end_epoch(&mut self) {
        self.accumulator.end_epoch();
        if let Some(distinct) = &mut self.distinct {
            let by_group = &mut distinct.by_group;
            distinct.table.end_epoch(|_, entry, _| {
                if let Some(by_group) = by_group {
                    by_group.remove(entry);
                }
            });
        }
    }
}

impl ByGroup {
    fn add(&mut self, group: Slot, entry: Slot) {
        if self.entries.len() <= group.index() {
            self.entries.resize_with(group.index() + 1, Vec::new);
        }
        if self.places.len() <= entry.index() {
            self.places.resize(entry.index() + 1, Default::default());
        }
        let list = &mut self.entries[group.index()];
        self.places[entry.index()] = (group, list.len());
        list.push(entry);
        self.count += 1;
    }

    fn remove(&mut self, entry: Slot) {
        let (group, at) = self.places[entry.index()];
        let list = &mut self.entries[group.index()];
        if list.get(at) != Some(&entry) {
            return;
        }
        list.swap_remove(at);
        self.count -= 1;
        if let Some(moved) = list.get(at) {
            self.places[moved.index()].1 = at;
        }
    }

    fn take(&mut self, group: Slot) -> Vec<Slot> {
        let list = self.entries.get_mut(group.index());
        let list = list.map(std::mem::take).unwrap_or_default();
        self.count -= list.len();
        list
    }

    fn bytes(&self) -> usize {
        // Lists have room for about half as many again.
        self.entries.capacity() * size_of::<Vec<Slot>>()
            + self.places.capacity() * size_of::<(Slot, usize)>()
            + self.count * size_of::<Slot>() * 3 / 2
    }
}

impl Distinct {
    fn bytes(&self) -> usize {
        self.table.bytes() + self.by_group.as_ref().map_or(0, ByGroup::bytes)
    }

    fn forget(&mut self, group: Slot, key: &[u8]) {
        let by_group = self.by_group.as_mut();
        for entry in by_group.map(|by| by.take(group)).unwrap_or_default() {
            // A group whose rows did not add up may have left it; keys of groups are no beginnings of each other.
            let keys = self.table.keys();
            if keys.is_live(entry) && keys.key(entry).starts_with(key) {
                self.table.remove(entry);
            }
        }
    }

    /// The rows with which a combination appears in its group or disappears, once each.
    fn update<'a>(&mut self, chunk: &Chunk<'a>, groups: &Keys) -> Chunk<'a> {
        let arguments = &chunk.columns[..self.codec.columns()];
        self.codec
            .encode_into(arguments, chunk.slots.len(), &mut self.rows);
        let mut rows = Vec::new();
        let mut weights = Vec::new();
        for (row, slot) in chunk.slots.iter().enumerate() {
            self.key.clear();
            self.key.extend_from_slice(groups.key(*slot));
            self.key.extend_from_slice(self.rows.row(row));
            let (entry, is_new) = self.table.insert(&self.key);
            if let (true, Some(by_group)) = (is_new, &mut self.by_group) {
                by_group.add(*slot, entry);
            }
            let weight = self.table.change(entry);
            let before = *weight > 0;
            *weight += chunk.weight(row);
            let after = *weight > 0;
            if before != after {
                rows.push(row as u32);
                weights.push(if after { 1 } else { -1 });
            }
        }
        chunk.of_rows(&rows, Some(weights))
    }
}
