//! Variance and standard deviation.
//!
//! From exact sums of the values and of their squares, so that retraction leaves no trace; what remains of their
//! difference is computed with twice the digits of a float.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array};

use super::{
    accumulator::{Accumulator, Chunk, read_i64},
    exact_sum::ExactSum,
    sums::each_float,
};
use crate::{
    operators::Output,
    row::Corrupt,
    state::{Keys, Slot},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    VarPop,
    VarSamp,
    StddevPop,
    StddevSamp,
}

#[derive(Debug)]
pub(super) struct Moments {
    moment: Moment,
    sums: Vec<Sums>,
}

#[derive(Clone, Debug, Default)]
struct Sums {
    values: ExactSum,
    squares: ExactSum,
    count: i64,
}

impl Moments {
    pub(super) fn new(moment: Moment) -> Self {
        Self {
            moment,
            sums: Vec::new(),
        }
    }

    fn value(&self, slot: Slot) -> Option<f64> {
        let sums = &self.sums[slot.index()];
        let is_sample = matches!(self.moment, Moment::VarSamp | Moment::StddevSamp);
        if sums.count < 1 + i64::from(is_sample) {
            return None;
        }
        let count = sums.count as f64;
        let squared_deviations = sums.squared_deviations(count);
        let variance = squared_deviations / if is_sample { count - 1.0 } else { count };
        let is_variance = matches!(self.moment, Moment::VarPop | Moment::VarSamp);
        Some(if is_variance {
            variance
        } else {
            variance.sqrt()
        })
    }
}

impl Sums {
    /// Sum of squares minus the square of the sum by the count, never negative.
    fn squared_deviations(&self, count: f64) -> f64 {
        let sum = self.values.round_twice();
        let squares = self.squares.round_twice();
        if !sum.0.is_finite() || !squares.0.is_finite() {
            return f64::NAN;
        }
        let square = product_twice(sum, sum);
        let scaled = product_twice(squares, (count, 0.0));
        let difference = (scaled.0 - square.0) + (scaled.1 - square.1);
        (difference / count).max(0.0)
    }
}

/// The product with its rounding error.
fn product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

/// The product of two numbers of two floats each, as such.
fn product_twice(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    let (high, low) = product(a.0, b.0);
    let low = low + a.0 * b.1 + a.1 * b.0;
    let sum = high + low;
    (sum, low - (sum - high))
}

impl Accumulator for Moments {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, Sums::default());
    }

    fn reserve(&mut self, slots: usize) {
        self.sums.reserve(slots);
    }

    fn reset(&mut self, slot: Slot) {
        self.sums[slot.index()] = Sums::default();
    }

    fn update(&mut self, chunk: &Chunk<'_>, _groups: &Keys) {
        each_float(chunk, |slot, value, weight| {
            let sums = &mut self.sums[slot.index()];
            sums.values.add(value, weight);
            let (square, error) = product(value, value);
            sums.squares.add(square, weight);
            if square.is_finite() {
                sums.squares.add(error, weight);
            }
            sums.count += weight;
        });
    }

    fn output(&mut self, slots: &[Slot], _groups: &Keys, _out: &mut Output) -> ArrayRef {
        Arc::new(
            slots
                .iter()
                .map(|slot| self.value(*slot))
                .collect::<Float64Array>(),
        )
    }

    fn write(&self, slot: Slot, out: &mut Vec<u8>) {
        let sums = &self.sums[slot.index()];
        sums.values.write(out);
        sums.squares.write(out);
        out.extend_from_slice(&sums.count.to_le_bytes());
    }

    fn read(&mut self, slot: Slot, bytes: &mut &[u8]) -> Result<(), Corrupt> {
        self.sums[slot.index()] = Sums {
            values: ExactSum::read(bytes)?,
            squares: ExactSum::read(bytes)?,
            count: read_i64(bytes)?,
        };
        Ok(())
    }

    fn bytes(&self) -> usize {
        self.sums.capacity() * size_of::<Sums>()
    }
}
