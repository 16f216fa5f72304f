//! Aggregates that are sums of counts.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, Int64Array, UInt64Array, cast::AsArray};
use arrow_schema::DataType;

use super::accumulator::{Accumulator, Chunk, read_i64};
use crate::{
    operators::Output,
    row::Corrupt,
    state::{Keys, Slot},
};

/// Rows, or those whose argument is not null.
#[derive(Debug)]
pub(super) struct Count {
    has_argument: bool,
    is_unsigned: bool,
    counts: Vec<i64>,
}

impl Count {
    pub(super) fn new(has_argument: bool, result: &DataType) -> Self {
        Self {
            has_argument,
            is_unsigned: result == &DataType::UInt64,
            counts: Vec::new(),
        }
    }
}

impl Accumulator for Count {
    fn grow(&mut self, slots: usize) {
        self.counts.resize(slots, 0);
    }

    fn reserve(&mut self, slots: usize) {
        self.counts.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.counts[slot.index()] = 0;
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        if self.has_argument {
            chunk.each_valid(|_, slot, weight| self.counts[slot.index()] += weight);
        } else if let Some(weights) = &chunk.weights {
            let weighted = chunk.slots.iter().zip(weights.iter());
            weighted.for_each(|(slot, weight)| self.counts[slot.index()] += weight);
        } else {
            chunk
                .slots
                .iter()
                .for_each(|slot| self.counts[slot.index()] += 1);
        }
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, _out: &mut Output) -> ArrayRef {
        let counts = slots.iter().map(|slot| self.counts[slot.index()].max(0));
        if self.is_unsigned {
            Arc::new(UInt64Array::from_iter_values(
                counts.map(i64::cast_unsigned),
            ))
        } else {
            Arc::new(Int64Array::from_iter_values(counts))
        }
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.counts[slot.index()].to_le_bytes());
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.counts[slot.index()] = read_i64(bytes)?;
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * 8
    }
}

/// Whether all values, or any, are true.
#[derive(Debug)]
pub(super) struct Truth {
    is_any: bool,
    /// How many are false, how many true.
    counts: Vec<[i64; 2]>,
}

impl Truth {
    pub(super) fn new(is_any: bool) -> Self {
        Self {
            is_any,
            counts: Vec::new(),
        }
    }
}

impl Accumulator for Truth {
    fn grow(&mut self, slots: usize) {
        self.counts.resize(slots, [0; 2]);
    }

    fn reserve(&mut self, slots: usize) {
        self.counts.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.counts[slot.index()] = [0; 2];
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        let values = chunk.columns[0].as_boolean();
        chunk.each_valid(|row, slot, weight| {
            self.counts[slot.index()][usize::from(values.value(row))] += weight;
        });
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, _out: &mut Output) -> ArrayRef {
        let truth = slots.iter().map(|slot| {
            let [no, yes] = self.counts[slot.index()].map(|count| count > 0);
            (no || yes).then_some(if self.is_any { yes } else { !no })
        });
        Arc::new(truth.collect::<BooleanArray>())
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        self.counts[slot.index()]
            .iter()
            .for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.counts[slot.index()] = [read_i64(bytes)?, read_i64(bytes)?];
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * 16
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BitsFunction {
    And,
    Or,
    Xor,
}

const BITS: usize = 64;

/// Bit by bit: in how many values it is set. The last count is that of the values.
#[derive(Debug)]
pub(super) struct Bits {
    function: BitsFunction,
    result: DataType,
    counts: Vec<Option<Box<[i64; BITS + 1]>>>,
    held: usize,
}

impl Bits {
    pub(super) fn new(function: BitsFunction, result: &DataType) -> Self {
        Self {
            function,
            result: result.clone(),
            counts: Vec::new(),
            held: 0,
        }
    }

    fn counts(&mut self, slot: Slot) -> &mut [i64; BITS + 1] {
        let counts = &mut self.counts[slot.index()];
        self.held += usize::from(counts.is_none());
        counts.get_or_insert_with(|| Box::new([0; BITS + 1]))
    }

    fn value(&self, slot: Slot) -> Option<u64> {
        let counts = self.counts[slot.index()].as_deref()?;
        let values = counts[BITS];
        let is_set = |count: i64| match self.function {
            BitsFunction::And => count == values,
            BitsFunction::Or => count > 0,
            BitsFunction::Xor => count % 2 != 0,
        };
        let bits = counts[..BITS].iter().enumerate();
        let bits = bits
            .filter(|(_, count)| is_set(**count))
            .fold(0, |bits, (bit, _)| bits | 1 << bit);
        (values > 0).then_some(bits)
    }
}

/// The integers of a column, in 64 bits; signed ones keep their sign.
macro_rules! each_integer {
    ($array:expr, $f:expr) => {{
        use arrow_array::types as t;
        macro_rules! run {
            ($t:ty) => {{
                let values = $array.as_primitive::<$t>().values();
                $f(&|row: usize| values[row] as u64)
            }};
        }
        match $array.data_type() {
            DataType::Int8 => run!(t::Int8Type),
            DataType::Int16 => run!(t::Int16Type),
            DataType::Int32 => run!(t::Int32Type),
            DataType::Int64 => run!(t::Int64Type),
            DataType::UInt8 => run!(t::UInt8Type),
            DataType::UInt16 => run!(t::UInt16Type),
            DataType::UInt32 => run!(t::UInt32Type),
            _ => run!(t::UInt64Type),
        }
    }};
}

impl Accumulator for Bits {
    fn grow(&mut self, slots: usize) {
        self.counts.resize(slots, None);
    }

    fn reserve(&mut self, slots: usize) {
        self.counts.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.held -= usize::from(self.counts[slot.index()].take().is_some());
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        each_integer!(chunk.columns[0], |value: &dyn Fn(usize) -> u64| {
            chunk.each_valid(|row, slot, weight| {
                let counts = self.counts(slot);
                counts[BITS] += weight;
                let mut bits = value(row);
                while bits != 0 {
                    counts[bits.trailing_zeros() as usize] += weight;
                    bits &= bits - 1;
                }
            });
        });
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, _out: &mut Output) -> ArrayRef {
        use arrow_array::{PrimitiveArray, types as t};
        macro_rules! run {
            ($t:ty) => {{
                // Truncation: what was widened before is narrowed again.
                let values = slots
                    .iter()
                    .map(|slot| self.value(*slot).map(|bits| bits as _));
                Arc::new(values.collect::<PrimitiveArray<$t>>())
            }};
        }
        match self.result {
            DataType::Int8 => run!(t::Int8Type),
            DataType::Int16 => run!(t::Int16Type),
            DataType::Int32 => run!(t::Int32Type),
            DataType::Int64 => run!(t::Int64Type),
            DataType::UInt8 => run!(t::UInt8Type),
            DataType::UInt16 => run!(t::UInt16Type),
            DataType::UInt32 => run!(t::UInt32Type),
            _ => run!(t::UInt64Type),
        }
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let none = [0; BITS + 1];
        let counts = self.counts[slot.index()].as_deref().unwrap_or(&none);
        counts
            .iter()
            .for_each(|count| out.extend_from_slice(&count.to_le_bytes()));
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        for count in self.counts(slot) {
            *count = read_i64(bytes)?;
        }
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.counts.capacity() * 8 + self.held * size_of::<[i64; BITS + 1]>()
    }
}
