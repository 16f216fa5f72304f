//! Sums and averages.

use std::sync::Arc;

use arrow_array::{
    Array, ArrayRef, Decimal128Array, Float64Array, Int64Array, UInt64Array,
    cast::AsArray,
    types::{self as t, ArrowPrimitiveType},
};
use arrow_buffer::i256;
use arrow_schema::DataType;

use super::{
    accumulator::{Accumulator, Chunk, read_array, read_i64},
    exact_sum::ExactSum,
};
use crate::{
    Fault,
    operators::Output,
    row::Corrupt,
    state::{Keys, Slot},
};

/// What a sum is made into.
#[derive(Clone, Debug)]
pub(super) struct SumResult {
    data_type: DataType,
    is_average: bool,
    /// For decimals: ten to the digits that the result has behind the point and the argument has not, and the least number
    /// that has too many digits.
    scale_up: i256,
    limit: i256,
}

impl SumResult {
    /// None when no sum of such arguments is of that type.
    pub(super) fn new(result: &DataType, argument: &DataType, is_average: bool) -> Option<Self> {
        let (from, is_float) = match argument {
            DataType::Decimal128(_, scale) => (*scale, false),
            DataType::Float32 | DataType::Float64 => (0, true),
            _ if argument.is_integer() => (0, false),
            _ => return None,
        };
        let mut limit = i256::ZERO;
        let mut scale_up = i256::ONE;
        match result {
            DataType::Float64 if is_float || is_average || argument.is_integer() => {}
            DataType::Int64 | DataType::UInt64 if argument.is_integer() => {}
            DataType::Decimal128(precision, to) if !is_float && *to >= from => {
                scale_up = ten_to(u32::from((*to - from).unsigned_abs()));
                limit = ten_to(u32::from(*precision));
            }
            _ => return None,
        }
        // An average of decimals as a float would need its argument's scale.
        let is_known = !(result == &DataType::Float64
            && matches!(argument, DataType::Decimal128(_, scale) if *scale != 0));
        is_known.then_some(Self {
            data_type: result.clone(),
            is_average,
            scale_up,
            limit,
        })
    }

    /// From exact sums and how many values they are of.
    fn integers(&self, sums: impl Iterator<Item = (i256, i64)>, out: &mut Output) -> ArrayRef {
        match &self.data_type {
            DataType::Int64 => {
                let values = self.checked(sums, out, "bigint", |sum| {
                    i64::try_from(sum.to_i128()?).ok()
                });
                Arc::new(Int64Array::from(values))
            }
            DataType::UInt64 => {
                let values = self.checked(sums, out, "unsigned bigint", |sum| {
                    u64::try_from(sum.to_i128()?).ok()
                });
                Arc::new(UInt64Array::from(values))
            }
            DataType::Decimal128(precision, scale) => {
                let values = self.checked(sums, out, "numeric", |sum| {
                    let is_within = sum < self.limit && sum > self.limit.wrapping_neg();
                    is_within.then(|| sum.to_i128()).flatten()
                });
                let values =
                    Decimal128Array::from(values).with_precision_and_scale(*precision, *scale);
                Arc::new(values.expect("the type of a schema"))
            }
            _ => {
                let values = sums.map(|(sum, count)| {
                    let sum = sum.to_i128().map_or(f64::INFINITY, |sum| sum as f64);
                    (count > 0).then_some(if self.is_average {
                        sum / count as f64
                    } else {
                        sum
                    })
                });
                Arc::new(values.collect::<Float64Array>())
            }
        }
    }

    fn checked<T>(
        &self,
        sums: impl Iterator<Item = (i256, i64)>,
        out: &mut Output,
        name: &str,
        narrow: impl Fn(i256) -> Option<T>,
    ) -> Vec<Option<T>> {
        let values = sums.map(|(sum, count)| {
            if count <= 0 {
                return None;
            }
            let value = self.scaled(sum, count).and_then(&narrow);
            if value.is_none() {
                out.fault(Fault {
                    sqlstate: *b"22003",
                    message: format!("{name} out of range"),
                });
            }
            value
        });
        values.collect()
    }

    /// In the result's scale; an average is rounded, halves away from zero.
    fn scaled(&self, sum: i256, count: i64) -> Option<i256> {
        let sum = sum.checked_mul(self.scale_up)?;
        if !self.is_average {
            return Some(sum);
        }
        let count = i256::from_i128(i128::from(count));
        let quotient = sum.wrapping_div(count);
        let rest = sum.wrapping_rem(count).wrapping_abs();
        if rest.wrapping_add(rest) < count {
            return Some(quotient);
        }
        let away = if sum.is_negative() {
            i256::MINUS_ONE
        } else {
            i256::ONE
        };
        Some(quotient.wrapping_add(away))
    }
}

fn ten_to(digits: u32) -> i256 {
    i256::from_i128(10).wrapping_pow(digits)
}

/// Sums in 128 bits: 2^64 integers of 64 bits do not fill them.
#[derive(Debug)]
pub(super) struct IntegerSum {
    result: SumResult,
    sums: Vec<(i128, i64)>,
}

impl IntegerSum {
    pub(super) fn new(result: SumResult) -> Self {
        Self {
            result,
            sums: Vec::new(),
        }
    }

    fn add<T: ArrowPrimitiveType>(&mut self, chunk: &Chunk<'_>)
    where
        T::Native: Into<i128>,
    {
        let values = chunk.columns[0].as_primitive::<T>().values();
        chunk.each_valid(|row, slot, weight| {
            let value: i128 = values[row].into();
            let (sum, count) = &mut self.sums[slot.index()];
            *sum = sum.wrapping_add(value.wrapping_mul(i128::from(weight)));
            *count += weight;
        });
    }
}

impl Accumulator for IntegerSum {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, (0, 0));
    }

    fn reserve(&mut self, slots: usize) {
        self.sums.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.sums[slot.index()] = (0, 0);
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        match chunk.columns[0].data_type() {
            DataType::Int8 => self.add::<t::Int8Type>(chunk),
            DataType::Int16 => self.add::<t::Int16Type>(chunk),
            DataType::Int32 => self.add::<t::Int32Type>(chunk),
            DataType::Int64 => self.add::<t::Int64Type>(chunk),
            DataType::UInt8 => self.add::<t::UInt8Type>(chunk),
            DataType::UInt16 => self.add::<t::UInt16Type>(chunk),
            DataType::UInt32 => self.add::<t::UInt32Type>(chunk),
            _ => self.add::<t::UInt64Type>(chunk),
        }
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, out: &mut Output) -> ArrayRef {
        let sums = slots.iter().map(|slot| {
            let (sum, count) = self.sums[slot.index()];
            (i256::from_i128(sum), count)
        });
        self.result.integers(sums, out)
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let (sum, count) = self.sums[slot.index()];
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.sums[slot.index()] = (i128::from_le_bytes(read_array(bytes)?), read_i64(bytes)?);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<(i128, i64)>()
    }
}

/// Sums of decimals in 256 bits.
#[derive(Debug)]
pub(super) struct DecimalSum {
    result: SumResult,
    sums: Vec<(i256, i64)>,
}

impl DecimalSum {
    pub(super) fn new(result: SumResult) -> Self {
        Self {
            result,
            sums: Vec::new(),
        }
    }
}

impl Accumulator for DecimalSum {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, (i256::ZERO, 0));
    }

    fn reserve(&mut self, slots: usize) {
        self.sums.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.sums[slot.index()] = (i256::ZERO, 0);
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        let values = chunk.columns[0]
            .as_primitive::<t::Decimal128Type>()
            .values();
        chunk.each_valid(|row, slot, weight| {
            let value = i256::from_i128(values[row]);
            let weighted = match weight {
                1 => value,
                -1 => value.wrapping_neg(),
                _ => value.wrapping_mul(i256::from_i128(i128::from(weight))),
            };
            let (sum, count) = &mut self.sums[slot.index()];
            *sum = sum.wrapping_add(weighted);
            *count += weight;
        });
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, out: &mut Output) -> ArrayRef {
        self.result
            .integers(slots.iter().map(|slot| self.sums[slot.index()]), out)
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let (sum, count) = self.sums[slot.index()];
        out.extend_from_slice(&sum.to_le_bytes());
        out.extend_from_slice(&count.to_le_bytes());
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.sums[slot.index()] = (i256::from_le_bytes(read_array(bytes)?), read_i64(bytes)?);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<(i256, i64)>()
    }
}

/// Exact sums of floats, rounded once.
#[derive(Debug)]
pub(super) struct FloatSum {
    result: SumResult,
    sums: Vec<(ExactSum, i64)>,
}

impl FloatSum {
    pub(super) fn new(result: SumResult) -> Self {
        Self {
            result,
            sums: Vec::new(),
        }
    }
}

/// Calls with each value of a column of floats that is not null.
pub(super) fn each_float(chunk: &Chunk<'_>, mut f: impl FnMut(Slot, f64, i64)) {
    let column = &chunk.columns[0];
    if column.data_type() == &DataType::Float32 {
        let values = column.as_primitive::<t::Float32Type>().values();
        chunk.each_valid(|row, slot, weight| f(slot, f64::from(values[row]), weight));
    } else {
        let values = column.as_primitive::<t::Float64Type>().values();
        chunk.each_valid(|row, slot, weight| f(slot, values[row], weight));
    }
}

impl Accumulator for FloatSum {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, Default::default());
    }

    fn reserve(&mut self, slots: usize) {
        self.sums.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.sums[slot.index()] = Default::default();
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        each_float(chunk, |slot, value, weight| {
            let (sum, count) = &mut self.sums[slot.index()];
            sum.add(value, weight);
            *count += weight;
        });
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, _out: &mut Output) -> ArrayRef {
        let values = slots.iter().map(|slot| {
            let (sum, count) = &self.sums[slot.index()];
            let sum = sum.round();
            (*count > 0).then_some(if self.result.is_average {
                sum / *count as f64
            } else {
                sum
            })
        });
        Arc::new(values.collect::<Float64Array>())
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let (sum, count) = &self.sums[slot.index()];
        sum.write(out);
        out.extend_from_slice(&count.to_le_bytes());
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.sums[slot.index()] = (ExactSum::read(bytes)?, read_i64(bytes)?);
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<(ExactSum, i64)>()
    }
}
