//! Aggregates that need the rows of a group, in order: extremes, lists, percentiles.
//!
//! Rows that may go again are kept: as bytes, sorting columns first, with their weights, in a table of their own and in order
//! by group. Of an extreme over rows that never go only the extreme one is, and a number or time as one word.

use arrow_array::{
    Array, ArrayRef, Float64Array, ListArray, StringArray,
    cast::AsArray,
    new_empty_array, new_null_array,
    types::{Float32Type, Float64Type},
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;
use arrow_select::{concat::concat, take::take};
use std::sync::Arc;

use super::accumulator::{Accumulator, Chunk, read_i64};
use crate::{
    Fault,
    operators::Output,
    row::{Corrupt, RowCodec, Rows, VALUE},
    state::{Grouped, Key, Keys, OrderedSlots, Slot, Table},
};

/// Elements that a list or characters that a text made of a group may have.
const FOLDED_MAX: usize = 16 << 20;

/// What a number stands for at most.
const NUMBER_BYTES: usize = size_of::<u64>();

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fold {
    First { ignores_nulls: bool },
    Last { ignores_nulls: bool },
    List,
    Text,
    Percentile(f64),
}

#[derive(Debug)]
pub(super) struct Collected {
    fold: Fold,
    /// Sorting columns and then arguments.
    codec: RowCodec,
    /// How many of its columns are arguments.
    arity: usize,
    result: DataType,
    kept: Kept,
    rows: Rows,
}

#[derive(Debug)]
enum Kept {
    All(Box<Collection>),
    /// By group.
    Extreme {
        rows: Vec<Option<Key>>,
        heap_bytes: usize,
    },
    /// By group, of numbers and times: a row's bytes behind its first, as a number that sorts as they do.
    Short {
        numbers: Vec<u64>,
        are_there: Vec<bool>,
        width: usize,
    },
}

/// Rows by group, in order.
#[derive(Debug)]
pub(super) struct Collection {
    table: Table<Grouped>,
    groups: Vec<OrderedSlots>,
    codec: RowCodec,
    key: Vec<u8>,
}

impl Collected {
    pub(super) fn new(
        fold: Fold,
        codec: RowCodec,
        arity: usize,
        result: &DataType,
        is_append_only: bool,
    ) -> Self {
        let is_extreme = matches!(fold, Fold::First { .. } | Fold::Last { .. });
        let ignores_nulls = matches!(
            fold,
            Fold::First { ignores_nulls } | Fold::Last { ignores_nulls } if ignores_nulls
        );
        let width = codec.width().filter(|width| *width <= NUMBER_BYTES);
        let kept = if let (true, true, Some(width)) = (is_append_only, ignores_nulls, width) {
            Kept::Short {
                numbers: Vec::new(),
                are_there: Vec::new(),
                width,
            }
        } else if is_extreme && is_append_only {
            Kept::Extreme {
                rows: Vec::new(),
                heap_bytes: 0,
            }
        } else {
            Kept::All(Box::new(Collection {
                table: Table::default(),
                groups: Vec::new(),
                codec: codec.clone(),
                key: Vec::new(),
            }))
        };
        Self {
            fold,
            codec,
            arity,
            result: result.clone(),
            kept,
            rows: Rows::default(),
        }
    }

    fn ignores_nulls(&self) -> bool {
        match self.fold {
            Fold::First { ignores_nulls } | Fold::Last { ignores_nulls } => ignores_nulls,
            Fold::List => false,
            Fold::Text | Fold::Percentile(_) => true,
        }
    }

    /// Arguments of rows, by the rows' bytes.
    fn arguments<'a>(&self, rows: impl Iterator<Item = &'a [u8]>) -> Vec<ArrayRef> {
        let columns = self.codec.decode(rows);
        let mut columns =
            columns.expect("rows are what the codec encoded, or were looked at when restored");
        columns.split_off(self.codec.columns() - self.arity)
    }

    /// Of each group one row's argument, or null.
    fn pick(&self, rows: &[Option<&[u8]>]) -> ArrayRef {
        let mut places = Vec::with_capacity(rows.len());
        let mut found = 0;
        for row in rows {
            places.push(row.is_some().then_some(found));
            found += u32::from(row.is_some());
        }
        let values = self.arguments(rows.iter().flatten().copied());
        take(&values[0], &arrow_array::UInt32Array::from(places), None)
            .expect("places lie in the column")
    }

    fn list(
        &self,
        collection: &Collection,
        slots: &[Slot],
        groups: &Keys,
        out: &mut Output,
    ) -> ArrayRef {
        let DataType::List(field) = &self.result else {
            unreachable!("checked when it was made")
        };
        let mut lists: Vec<ArrayRef> = Vec::with_capacity(slots.len());
        for slot in slots {
            let rows: Vec<(&[u8], i64)> = collection.rows(*slot, groups).collect();
            let length: i64 = rows.iter().map(|(_, weight)| weight).sum();
            if usize::try_from(length).is_ok_and(|length| length > FOLDED_MAX) {
                out.fault(too_long());
                lists.push(new_empty_array(field.data_type()));
                continue;
            }
            let values = self
                .arguments(rows.iter().map(|(row, _)| *row))
                .swap_remove(0);
            let places = rows.iter().enumerate();
            let places = places.flat_map(|(at, (_, weight))| (0..*weight).map(move |_| at as u32));
            let places: arrow_array::UInt32Array = places.collect();
            lists.push(take(&values, &places, None).expect("places lie in the column"));
        }
        let lengths: Vec<usize> = lists.iter().map(|list| list.len()).collect();
        let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
        let lists: Vec<&dyn Array> = lists.iter().map(AsRef::as_ref).collect();
        let values = if lists.is_empty() {
            new_empty_array(field.data_type())
        } else {
            concat(&lists).expect("all are of one type")
        };
        let offsets = OffsetBuffer::from_lengths(lengths);
        let list = ListArray::try_new(field.clone(), offsets, values, Some(nulls));
        list.map_or_else(
            |_| new_null_array(&self.result, slots.len()),
            |list| Arc::new(list),
        )
    }

    fn text(
        &self,
        collection: &Collection,
        slots: &[Slot],
        groups: &Keys,
        out: &mut Output,
    ) -> ArrayRef {
        let mut texts = Vec::with_capacity(slots.len());
        for slot in slots {
            let rows: Vec<(&[u8], i64)> = collection.rows(*slot, groups).collect();
            let arguments = self.arguments(rows.iter().map(|(row, _)| *row));
            let values = as_text(&arguments[0]);
            let delimiters = as_text(&arguments[1]);
            let mut text: Option<String> = None;
            let each = rows
                .iter()
                .enumerate()
                .flat_map(|(at, (_, weight))| (0..*weight).map(move |_| at));
            for at in each {
                let value = values.value(at);
                match &mut text {
                    None => text = Some(value.to_owned()),
                    Some(text) => {
                        if delimiters.is_valid(at) {
                            text.push_str(delimiters.value(at));
                        }
                        text.push_str(value);
                    }
                }
                if text.as_ref().is_some_and(|text| text.len() > FOLDED_MAX) {
                    out.fault(too_long());
                    text = None;
                    break;
                }
            }
            texts.push(text);
        }
        of_type(StringArray::from(texts), &self.result)
    }

    fn percentile(
        &self,
        fraction: f64,
        collection: &Collection,
        slots: &[Slot],
        groups: &Keys,
    ) -> ArrayRef {
        let percentile = |slot: &Slot| {
            let count: i64 = collection
                .rows(*slot, groups)
                .map(|(_, weight)| weight)
                .sum();
            if count == 0 {
                return None;
            }
            let place = fraction * (count - 1) as f64;
            let lower = self.at_place(collection.rows(*slot, groups), place.floor() as i64)?;
            let upper = self.at_place(collection.rows(*slot, groups), place.ceil() as i64)?;
            Some(if lower == upper {
                lower
            } else {
                lower + (upper - lower) * place.fract()
            })
        };
        Arc::new(slots.iter().map(percentile).collect::<Float64Array>())
    }

    fn at_place<'a>(&self, rows: impl Iterator<Item = (&'a [u8], i64)>, place: i64) -> Option<f64> {
        let mut behind = 0;
        for (row, weight) in rows {
            behind += weight;
            if behind > place {
                let value = self.arguments(std::iter::once(row)).swap_remove(0);
                return Some(match value.data_type() {
                    DataType::Float32 => f64::from(value.as_primitive::<Float32Type>().value(0)),
                    _ => value.as_primitive::<Float64Type>().value(0),
                });
            }
        }
        None
    }
}

/// Of eight bytes at most.
fn number_of(bytes: &[u8]) -> u64 {
    let mut number = [0; NUMBER_BYTES];
    number[NUMBER_BYTES - bytes.len()..].copy_from_slice(bytes);
    u64::from_be_bytes(number)
}

/// The row that a number of so many bytes stands for; behind it there is room.
fn row_of(number: u64, width: usize) -> [u8; 1 + NUMBER_BYTES] {
    let mut row = [0; 1 + NUMBER_BYTES];
    row[0] = VALUE;
    row[1..=width].copy_from_slice(&number.to_be_bytes()[NUMBER_BYTES - width..]);
    row
}

fn too_long() -> Fault {
    Fault {
        sqlstate: *b"54000",
        message: String::from("a group has too many values to be made into one"),
    }
}

fn as_text(column: &ArrayRef) -> StringArray {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().clone(),
        DataType::LargeUtf8 => column.as_string::<i64>().iter().collect(),
        _ => column.as_string_view().iter().collect(),
    }
}

fn of_type(text: StringArray, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Utf8 => Arc::new(text),
        DataType::LargeUtf8 => Arc::new(text.iter().collect::<arrow_array::LargeStringArray>()),
        _ => Arc::new(text.iter().collect::<arrow_array::StringViewArray>()),
    }
}

impl Accumulator for Collected {
    fn grow(&mut self, slots: usize) {
        match &mut self.kept {
            Kept::All(collection) => collection.grow(slots),
            Kept::Extreme { rows, .. } => rows.resize(slots, None),
            Kept::Short {
                numbers, are_there, ..
            } => {
                numbers.resize(slots, 0);
                are_there.resize(slots, false);
            }
        }
    }

    fn reserve(&mut self, slots: usize) {
        match &mut self.kept {
            Kept::All(collection) => collection.groups.reserve(slots),
            Kept::Extreme { rows, .. } => rows.reserve(slots),
            Kept::Short {
                numbers, are_there, ..
            } => {
                numbers.reserve(slots);
                are_there.reserve(slots);
            }
        }
    }

    fn reset(&mut self, slot: Slot) {
        match &mut self.kept {
            Kept::All(collection) => collection.groups[slot.index()] = OrderedSlots::default(),
            Kept::Extreme { rows, heap_bytes } => {
                *heap_bytes -= rows[slot.index()].take().map_or(0, |row| row.heap_bytes());
            }
            Kept::Short { are_there, .. } => are_there[slot.index()] = false,
        }
    }

    fn update(&mut self, chunk: &Chunk<'_>, groups: &Keys) {
        let ignores_nulls = self.ignores_nulls();
        let (arguments, sort) = chunk.columns.split_at(self.arity);
        let columns: Vec<ArrayRef> = sort.iter().chain(arguments).cloned().collect();
        self.codec
            .encode_into(&columns, chunk.slots.len(), &mut self.rows);
        let nulls = arguments[0].logical_nulls();
        let is_last = matches!(self.fold, Fold::Last { .. });
        for (at, slot) in chunk.slots.iter().enumerate() {
            if ignores_nulls && nulls.as_ref().is_some_and(|nulls| nulls.is_null(at)) {
                continue;
            }
            let row = self.rows.row(at);
            match &mut self.kept {
                Kept::All(collection) => collection.add(*slot, groups, row, chunk.weight(at)),
                Kept::Extreme { rows, heap_bytes } => {
                    let best = &mut rows[slot.index()];
                    let is_better = best.as_ref().is_none_or(|best| {
                        if is_last {
                            row > best.as_bytes()
                        } else {
                            row < best.as_bytes()
                        }
                    });
                    if is_better {
                        let row = Key::new(row);
                        *heap_bytes += row.heap_bytes();
                        *heap_bytes -= best.replace(row).map_or(0, |row| row.heap_bytes());
                    }
                }
                Kept::Short {
                    numbers, are_there, ..
                } => {
                    let number = number_of(&row[1..]);
                    let best = &mut numbers[slot.index()];
                    let is_there = std::mem::replace(&mut are_there[slot.index()], true);
                    *best = match is_there {
                        false => number,
                        true if is_last => number.max(*best),
                        true => number.min(*best),
                    };
                }
            }
        }
    }

    fn output(&mut self, slots: &[Slot], groups: &Keys, out: &mut Output) -> ArrayRef {
        match &self.kept {
            Kept::Extreme { rows, .. } => {
                let rows: Vec<Option<&[u8]>> = slots
                    .iter()
                    .map(|slot| rows[slot.index()].as_ref().map(Key::as_bytes))
                    .collect();
                self.pick(&rows)
            }
            Kept::Short {
                numbers,
                are_there,
                width,
            } => {
                let rows = slots
                    .iter()
                    .map(|slot| row_of(numbers[slot.index()], *width));
                let rows: Vec<_> = rows.collect();
                let rows = slots.iter().zip(&rows);
                let rows: Vec<Option<&[u8]>> = rows
                    .map(|(slot, row)| are_there[slot.index()].then_some(&row[..=*width]))
                    .collect();
                self.pick(&rows)
            }
            Kept::All(collection) => match self.fold {
                Fold::First { .. } => {
                    let first = slots
                        .iter()
                        .map(|slot| collection.rows(*slot, groups).next().map(|(row, _)| row));
                    self.pick(&first.collect::<Vec<_>>())
                }
                Fold::Last { .. } => {
                    let last = slots.iter().map(|slot| {
                        collection
                            .rows(*slot, groups)
                            .next_back()
                            .map(|(row, _)| row)
                    });
                    self.pick(&last.collect::<Vec<_>>())
                }
                Fold::List => self.list(collection, slots, groups, out),
                Fold::Text => self.text(collection, slots, groups, out),
                Fold::Percentile(fraction) => self.percentile(fraction, collection, slots, groups),
            },
        }
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let mut put = |row: Option<&[u8]>| {
            let length = row.map_or(-1, |row| {
                i64::try_from(row.len()).expect("memory is smaller")
            });
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(row.unwrap_or_default());
        };
        match &self.kept {
            Kept::All(_) => {}
            Kept::Extreme { rows, .. } => put(rows[slot.index()].as_ref().map(Key::as_bytes)),
            Kept::Short {
                numbers,
                are_there,
                width,
            } => {
                let row = row_of(numbers[slot.index()], *width);
                put(are_there[slot.index()].then_some(&row[..=*width]));
            }
        }
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        if matches!(self.kept, Kept::All(_)) {
            return Ok(());
        }
        let Ok(length) = usize::try_from(read_i64(bytes)?) else {
            return Ok(());
        };
        let (row, rest) = bytes.split_at_checked(length).ok_or(Corrupt)?;
        *bytes = rest;
        self.codec.check(row)?;
        match &mut self.kept {
            Kept::All(_) => {}
            Kept::Extreme { rows, heap_bytes } => {
                let row = Key::new(row);
                *heap_bytes += row.heap_bytes();
                rows[slot.index()] = Some(row);
            }
            Kept::Short {
                numbers, are_there, ..
            } => {
                // A null is of one width with all others.
                if row[0] != VALUE {
                    return Err(Corrupt);
                }
                numbers[slot.index()] = number_of(&row[1..]);
                are_there[slot.index()] = true;
            }
        }
        Ok(())
    }

    fn end_epoch(&mut self) {
        if let Kept::All(collection) = &mut self.kept {
            collection.end_epoch();
        }
    }

    fn collected(&mut self) -> Option<&mut Collection> {
        match &mut self.kept {
            Kept::All(collection) => Some(collection),
            Kept::Extreme { .. } | Kept::Short { .. } => None,
        }
    }

    fn entries(&self) -> usize {
        match &self.kept {
            Kept::All(collection) => collection.table.keys().len(),
            Kept::Extreme { .. } | Kept::Short { .. } => 0,
        }
    }

    fn bytes(&self) -> usize {
        match &self.kept {
            Kept::All(collection) => collection.bytes(),
            Kept::Extreme { rows, heap_bytes } => {
                rows.capacity() * size_of::<Option<Key>>() + heap_bytes
            }
            Kept::Short {
                numbers, are_there, ..
            } => numbers.capacity() * NUMBER_BYTES + are_there.capacity(),
        }
    }
}

impl Collection {
    fn grow(&mut self, slots: usize) {
        self.groups.resize_with(slots, OrderedSlots::default);
    }

    fn add(&mut self, group: Slot, groups: &Keys, row: &[u8], weight: i64) {
        self.key.clear();
        self.key.extend_from_slice(groups.key(group));
        self.key.extend_from_slice(row);
        let (slot, is_new) = self.table.insert(&self.key);
        let value = self.table.change(slot);
        value.weight += weight;
        value.group = group;
        if is_new {
            self.groups[group.index()].insert(self.table.keys(), slot);
        }
    }

    /// Lets a group's rows go.
    pub(super) fn forget(&mut self, group: Slot) {
        let rows = std::mem::take(&mut self.groups[group.index()]);
        for slot in rows.iter() {
            self.table.remove(slot);
        }
    }

    /// The rows of a group that it has, in order, with their weights.
    fn rows<'a>(
        &'a self,
        group: Slot,
        groups: &Keys,
    ) -> impl DoubleEndedIterator<Item = (&'a [u8], i64)> {
        let prefix = groups.key(group).len();
        let rows = self.groups[group.index()].iter();
        let rows = rows.map(move |slot| {
            (
                &self.table.keys().key(slot)[prefix..],
                self.table.get(slot).weight,
            )
        });
        rows.filter(|(_, weight)| *weight > 0)
    }

    fn end_epoch(&mut self) {
        let groups = &mut self.groups;
        self.table
            .end_epoch(|keys, slot, row| groups[row.group.index()].remove(keys, slot));
    }

    pub(super) fn checkpoint(
        &mut self,
        all: bool,
        mut write: impl FnMut(&[u8], Option<i64>),
    ) -> bool {
        self.table
            .checkpoint(all, |key, row| write(key, row.map(|row| row.weight)))
    }

    pub(super) fn restore(
        &mut self,
        group: Slot,
        key: &[u8],
        row: &[u8],
        weight: i64,
    ) -> Result<(), Corrupt> {
        self.codec.check(row)?;
        let (slot, is_new) = self.table.restore(key, Grouped { weight, group });
        if is_new {
            self.groups[group.index()].insert(self.table.keys(), slot);
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        // Runs are about three quarters full.
        let ordered = self.table.keys().len() * size_of::<Slot>() * 4 / 3;
        self.table.bytes() + self.groups.capacity() * size_of::<OrderedSlots>() + ordered
    }
}
