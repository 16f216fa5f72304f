//! Of each partition the first row, of an input whose rows never go.
//!
//! # Layout
//! Of a row's key: the partition's columns; of its value: those that it is sorted by, then the others. The value begins
//! with its head, which are those that it is sorted by and what follows in few bytes; the tail is the rest.
//! # Cost
//! A row costs the bytes of its key and its head and a look at its partition's best one. Its tail costs nothing unless the
//! head is no worse than those before its delta and those of its delta. A partition holds one row.
//! # Instead of
//! `grouped`, which keeps an order of rows: nothing ever makes room for the second here.

use std::{cmp::Ordering, sync::Arc};

use arrow_array::{
    ArrayRef, Int64Array, RecordBatch, RecordBatchOptions, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, SchemaRef};
use arrow_select::take::take;

use super::{End, Output, Place, Running, Write};
use crate::{
    Delta,
    delta::CHUNK_ROWS,
    graph::PlanError,
    row::{ColumnOrder, Corrupt, RowCodec, Rows},
    state::{Keys, Slot},
};

#[derive(Debug)]
struct First {
    schema: SchemaRef,
    emits_number: bool,
    partition: Part,
    head: Part,
    tail: Part,
    /// Of head and tail.
    value: RowCodec,
    partitions: Keys,
    /// By slot.
    best: Vec<Best>,
    /// Of touched partitions, in the order of their list, what was best; empty: there was none.
    old: Vec<Vec<u8>>,
    best_bytes: usize,
    slots: Vec<Slot>,
    /// Slots that have a contender.
    contended: Vec<Slot>,
    /// Rows that were equal to the best ones of this delta that far.
    equals: Vec<(Slot, u32)>,
    candidate: Vec<u8>,
    finishing: usize,
}

#[derive(Debug, Default)]
struct Best {
    /// Empty before there is one.
    row: Vec<u8>,
    /// The row of the delta at hand with the best head, should that be no worse than the best row's.
    contender: Option<u32>,
}

/// Some columns of the input.
#[derive(Debug)]
struct Part {
    columns: Vec<usize>,
    codec: RowCodec,
    rows: Rows,
}

impl Part {
    fn new(
        place: &Place,
        columns: Vec<usize>,
        orders: impl IntoIterator<Item = ColumnOrder>,
    ) -> Result<Self, PlanError> {
        let codec = codec(place, &columns, orders)?;
        Ok(Self {
            columns,
            codec,
            rows: Rows::default(),
        })
    }

    fn encode(&mut self, delta: &Delta) {
        let columns = self.columns.iter();
        let columns: Vec<ArrayRef> = columns.map(|at| delta.column(*at).clone()).collect();
        self.codec
            .encode_into(&columns, delta.len(), &mut self.rows);
    }

    /// Of these rows only.
    fn encode_some(&mut self, delta: &Delta, rows: &UInt32Array) {
        if rows.values().iter().copied().eq(0..delta.len() as u32) {
            return self.encode(delta);
        }
        let columns = self.columns.iter();
        let columns = columns.map(|at| take(delta.column(*at), rows, None).expect("its own rows"));
        let columns: Vec<ArrayRef> = columns.collect();
        self.codec.encode_into(&columns, rows.len(), &mut self.rows);
    }
}

fn codec(
    place: &Place,
    columns: &[usize],
    orders: impl IntoIterator<Item = ColumnOrder>,
) -> Result<RowCodec, PlanError> {
    let types = place.input_types(0, columns)?;
    let orders = orders
        .into_iter()
        .chain(std::iter::repeat(ColumnOrder::default()));
    RowCodec::new(types.into_iter().zip(orders)).map_err(|source| place.unsupported(source))
}

/// `place` has one input, whose rows never go.
pub(super) fn make(
    place: &Place,
    partition: &[usize],
    order: &[(usize, ColumnOrder)],
    emits_number: bool,
) -> Result<Box<dyn Running>, PlanError> {
    let sorted: Vec<usize> = order.iter().map(|(column, _)| *column).collect();
    let orders = || order.iter().map(|(_, order)| *order);
    let is_other = |column: &usize| !partition.contains(column) && !sorted.contains(column);
    let others: Vec<usize> = (0..place.inputs[0].fields().len())
        .filter(is_other)
        .collect();
    let value: Vec<usize> = sorted.iter().chain(&others).copied().collect();
    let types = place.input_types(0, &others)?;
    let is_short =
        |data_type: &DataType| data_type.primitive_width().is_some_and(|width| width <= 8);
    let short = types
        .iter()
        .take_while(|data_type| is_short(data_type))
        .count();
    let (head, tail) = value.split_at(sorted.len() + short);
    Ok(Box::new(First {
        schema: place.schema.clone(),
        emits_number,
        partition: Part::new(place, partition.to_vec(), [])?,
        head: Part::new(place, head.to_vec(), orders())?,
        tail: Part::new(place, tail.to_vec(), [])?,
        value: codec(place, &value, orders())?,
        partitions: Keys::default(),
        best: Vec::new(),
        old: Vec::new(),
        best_bytes: 0,
        slots: Vec::new(),
        contended: Vec::new(),
        equals: Vec::new(),
        candidate: Vec::new(),
        finishing: 0,
    }))
}

impl First {
    /// For each partition there is.
    fn make_room(&mut self) {
        let count = self.partitions.slots();
        self.best.resize_with(count, Best::default);
    }

    /// Notes a row of this delta by its head, if it may be its partition's best.
    fn contend(&mut self, slot: Slot, row: usize) {
        let head = self.head.rows.row(row);
        let best = &mut self.best[slot.index()];
        let row = row as u32;
        let Some(contender) = best.contender else {
            // No head is the beginning of another, so what follows that of the best row counts only where they are equal.
            if best.row.is_empty() || head < best.row.as_slice() {
                best.contender = Some(row);
                self.contended.push(slot);
            }
            return;
        };
        match head.cmp(self.head.rows.row(contender as usize)) {
            Ordering::Less => best.contender = Some(row),
            Ordering::Equal => self.equals.push((slot, row)),
            Ordering::Greater => {}
        }
    }

    /// The rows of this delta that no other one's head is before in their partition.
    fn contestants(&mut self) -> (Vec<Slot>, UInt32Array) {
        let (best, heads) = (&mut self.best, &self.head.rows);
        let is_best = |(slot, row): &(Slot, u32)| {
            let contender = best[slot.index()].contender;
            contender.is_some_and(|at| heads.row(at as usize) == heads.row(*row as usize))
        };
        let equals: Vec<(Slot, u32)> = self.equals.drain(..).filter(is_best).collect();
        let contended = self.contended.drain(..);
        let contenders =
            contended.filter_map(|slot| Some((slot, best[slot.index()].contender.take()?)));
        let (slots, rows): (_, Vec<u32>) = contenders.chain(equals).unzip();
        (slots, rows.into())
    }

    /// Puts the candidate in the place of the best row if it comes before it.
    fn offer(&mut self, slot: Slot) {
        let best = &mut self.best[slot.index()].row;
        if !best.is_empty() && self.candidate >= *best {
            return;
        }
        self.best_bytes += self.candidate.len();
        self.best_bytes -= best.len();
        if self.partitions.touch(slot) {
            self.old.push(std::mem::take(best));
        }
        best.clear();
        best.extend_from_slice(&self.candidate);
    }

    /// Rows of touched partitions: which, and what of them.
    fn emit(&self, changes: &[(Slot, &[u8])], weights: Vec<i64>, out: &mut Output) {
        let keys = changes.iter().map(|(slot, _)| self.partitions.key(*slot));
        let keys = self.partition.codec.decode(keys);
        let values = self.value.decode(changes.iter().map(|(_, value)| *value));
        let whole = "rows are what the codec encoded, or were looked at when restored";
        let decoded: Vec<ArrayRef> = keys
            .expect(whole)
            .into_iter()
            .chain(values.expect(whole))
            .collect();
        let parts = [&self.partition, &self.head, &self.tail];
        let order: Vec<usize> = parts
            .iter()
            .flat_map(|part| &part.columns)
            .copied()
            .collect();
        let place = |column| order.iter().position(|other| *other == column);
        let columns = (0..self.schema.fields().len())
            .filter_map(|at| place(at).map(|place| decoded[place].clone()));
        let mut columns: Vec<ArrayRef> = columns.collect();
        if self.emits_number {
            let number = self
                .schema
                .fields()
                .last()
                .map(|field| field.data_type().clone());
            columns.push(match number {
                Some(DataType::UInt64) => {
                    Arc::new(UInt64Array::from(vec![1; changes.len()])) as ArrayRef
                }
                _ => Arc::new(Int64Array::from(vec![1; changes.len()])),
            });
        }
        let options = RecordBatchOptions::new().with_row_count(Some(changes.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options);
        out.deltas.push(Delta::new(
            rows.expect("the columns of the schema"),
            weights,
        ));
    }
}

impl Running for First {
    fn take(&mut self, _port: usize, delta: &Delta, _out: &mut Output) {
        self.partition.encode(delta);
        self.head.encode(delta);
        let mut slots = std::mem::take(&mut self.slots);
        self.partitions.insert_all(&self.partition.rows, &mut slots);
        self.make_room();
        for (row, slot) in slots.iter().enumerate() {
            self.contend(*slot, row);
        }
        self.slots = slots;
        let (slots, rows) = self.contestants();
        self.tail.encode_some(delta, &rows);
        for (at, (slot, row)) in slots.iter().zip(rows.values()).enumerate() {
            let head = self.head.rows.row(*row as usize);
            self.candidate.clear();
            self.candidate.extend_from_slice(head);
            self.candidate.extend_from_slice(self.tail.rows.row(at));
            self.offer(*slot);
        }
    }

    fn finish(&mut self, _end: &End, out: &mut Output) -> bool {
        let touched = self.partitions.touched();
        let from = self.finishing;
        let until = (from + CHUNK_ROWS / 2).min(touched.len());
        let mut changes: Vec<(Slot, &[u8])> = Vec::with_capacity(2 * (until - from));
        let mut weights = Vec::with_capacity(2 * (until - from));
        for (slot, old) in touched[from..until].iter().zip(&self.old[from..until]) {
            if !old.is_empty() {
                changes.push((*slot, old));
                weights.push(-1);
            }
            changes.push((*slot, &self.best[slot.index()].row));
            weights.push(1);
        }
        if !changes.is_empty() {
            self.emit(&changes, weights, out);
        }
        self.finishing = until;
        if until < self.partitions.touched().len() {
            return true;
        }
        self.finishing = 0;
        self.old.clear();
        self.partitions.end_epoch(|_| true);
        false
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        let best = &self.best;
        self.partitions.checkpoint(all, |key, slot| {
            write(0, key, slot.map(|slot| best[slot.index()].row.as_slice()));
        })
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        if table != 0 || value.is_empty() {
            return Err(Corrupt);
        }
        self.partition.codec.check(key)?;
        self.value.check(value)?;
        let (slot, is_new) = self.partitions.restore(key);
        if !is_new {
            return Err(Corrupt);
        }
        self.make_room();
        self.best_bytes += value.len();
        self.best[slot.index()].row = value.to_vec();
        Ok(())
    }

    fn entries(&self) -> usize {
        self.partitions.len()
    }

    fn bytes(&self) -> usize {
        let best = self.best.capacity() * size_of::<Best>();
        let old = self.old.capacity() * size_of::<Vec<u8>>();
        self.partitions.bytes() + best + old + self.best_bytes
    }
}
