//! Sums of floats without error, in any order and with retractions.
//!
//! # Layout      one number of fixed point in units of 2^-80, which holds multiples of the unit below 2^40 as most values are;
//! what it cannot hold goes into digits of 32 bits from 2^-1074 upward, in two's complement over all of them. The value is
//! the sum of both. Infinities and NaN are counted.
//! # Instead of
//! Compensated summation (its error is small, but depends on order); the plain long accumulator (Kulisch) alone: nine times
//! the memory for each group.

use super::accumulator::{read_array, read_i64};
use crate::row::Corrupt;

/// Of the unit of `fixed`.
const UNIT_EXPONENT: i32 = -80;

/// Of the least bit of `Wide`, that of the least float.
const LEAST_EXPONENT: i32 = -1074;

/// 2098 bits hold every float, and 63 more every weight and a great many values.
const DIGITS: usize = 70;

const DIGIT_BITS: u32 = 32;
const DIGIT_MASK: i64 = 0xFFFF_FFFF;

/// See the module head.
#[derive(Clone, Debug, Default)]
pub(super) struct ExactSum {
    fixed: i128,
    wide: Option<Box<Wide>>,
}

#[derive(Clone, Debug)]
struct Wide {
    /// All but the last within 0..2^32.
    digits: [i64; DIGITS],
    nan: i64,
    infinite: i64,
    minus_infinite: i64,
}

impl ExactSum {
    pub(super) fn add(&mut self, value: f64, weight: i64) {
        if !value.is_finite() {
            let wide = self.wide();
            let count = match (value.is_nan(), value > 0.0) {
                (true, _) => &mut wide.nan,
                (false, true) => &mut wide.infinite,
                (false, false) => &mut wide.minus_infinite,
            };
            *count += weight;
            return;
        }
        let (mantissa, exponent) = parts(value);
        let product = i128::from(mantissa) * i128::from(weight);
        match to_units(product, exponent).and_then(|units| self.fixed.checked_add(units)) {
            Some(sum) => self.fixed = sum,
            None => self.wide().add(product, exponent),
        }
    }

    /// The float nearest to the sum, ties to even.
    pub(super) fn round(&self) -> f64 {
        let Some(wide) = &self.wide else {
            return self.fixed as f64 * power_of_two(UNIT_EXPONENT);
        };
        if wide.nan > 0 || (wide.infinite > 0 && wide.minus_infinite > 0) {
            return f64::NAN;
        }
        if wide.infinite > 0 || wide.minus_infinite > 0 {
            return if wide.infinite > 0 {
                f64::INFINITY
            } else {
                f64::NEG_INFINITY
            };
        }
        let mut all = wide.clone();
        all.add(self.fixed, UNIT_EXPONENT);
        all.round()
    }

    /// Two floats whose sum is nearer to the sum than any one; the first is `round`.
    pub(super) fn round_twice(&self) -> (f64, f64) {
        let first = self.round();
        if !first.is_finite() {
            return (first, 0.0);
        }
        let mut rest = self.clone();
        rest.add(first, -1);
        (first, rest.round())
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.fixed.to_le_bytes());
        out.push(u8::from(self.wide.is_some()));
        if let Some(wide) = &self.wide {
            let counts = [wide.nan, wide.infinite, wide.minus_infinite];
            let numbers = wide.digits.iter().chain(&counts);
            numbers.for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
        }
    }

    pub(super) fn read(bytes: &mut &[u8]) -> Result<Self, Corrupt> {
        let mut sum = Self {
            fixed: i128::from_le_bytes(read_array(bytes)?),
            wide: None,
        };
        let [has_wide] = read_array(bytes)?;
        if has_wide == 1 {
            let wide = sum.wide();
            for digit in &mut wide.digits {
                *digit = read_i64(bytes)?;
            }
            if wide.digits[..DIGITS - 1]
                .iter()
                .any(|digit| *digit & !DIGIT_MASK != 0)
            {
                return Err(Corrupt);
            }
            wide.nan = read_i64(bytes)?;
            wide.infinite = read_i64(bytes)?;
            wide.minus_infinite = read_i64(bytes)?;
        }
        Ok(sum)
    }

    fn wide(&mut self) -> &mut Wide {
        self.wide.get_or_insert_with(|| {
            Box::new(Wide {
                digits: [0; DIGITS],
                nan: 0,
                infinite: 0,
                minus_infinite: 0,
            })
        })
    }
}

impl Wide {
    /// Adds `number` times two to `exponent`, which is not below the least one.
    fn add(&mut self, number: i128, exponent: i32) {
        let bit = (exponent - LEAST_EXPONENT).unsigned_abs();
        let shift = bit % DIGIT_BITS;
        let sign = if number < 0 { -1 } else { 1 };
        let mut rest = number.unsigned_abs();
        let mut carry = 0;
        for digit in &mut self.digits[(bit / DIGIT_BITS) as usize..DIGITS - 1] {
            if rest == 0 && carry == 0 {
                return;
            }
            // Of what remains the lowest digit, moved by less than a digit: at most 64 bits, the upper ones of which carry.
            let piece = (rest as u32 as u64) << shift;
            rest >>= DIGIT_BITS;
            let low = (piece & DIGIT_MASK.cast_unsigned()).cast_signed();
            let high = (piece >> DIGIT_BITS).cast_signed();
            let sum = *digit + sign * low + carry;
            *digit = sum & DIGIT_MASK;
            carry = (sum >> DIGIT_BITS) + sign * high;
        }
        self.digits[DIGITS - 1] += carry;
    }

    fn round(mut self: Box<Self>) -> f64 {
        let is_negative = self.digits[DIGITS - 1] < 0;
        if is_negative {
            let mut carry = 1;
            for digit in &mut self.digits[..DIGITS - 1] {
                let sum = (!*digit & DIGIT_MASK) + carry;
                *digit = sum & DIGIT_MASK;
                carry = sum >> DIGIT_BITS;
            }
            self.digits[DIGITS - 1] = !self.digits[DIGITS - 1] + carry;
        }
        if self.digits[DIGITS - 1] >= 1 << DIGIT_BITS {
            return if is_negative {
                f64::NEG_INFINITY
            } else {
                f64::INFINITY
            };
        }
        // Four digits from the first one that is not zero hold more bits than a float; the rest only breaks ties.
        let top = self
            .digits
            .iter()
            .rposition(|digit| *digit != 0)
            .unwrap_or(0)
            .max(3);
        let lowest = top - 3;
        let mut bits: u128 = 0;
        for digit in self.digits[lowest..=top].iter().rev() {
            bits = (bits << DIGIT_BITS) | u128::from(digit.cast_unsigned());
        }
        if self.digits[..lowest].iter().any(|digit| *digit != 0) {
            bits |= 1;
        }
        // Truncation: fewer digits than fit in a byte.
        let exponent = lowest as i32 * DIGIT_BITS as i32 + LEAST_EXPONENT;
        let half = exponent / 2;
        let value = bits as f64 * power_of_two(half) * power_of_two(exponent - half);
        if is_negative { -value } else { value }
    }
}

/// A finite float is its first part times two to the second one.
fn parts(value: f64) -> (i64, i32) {
    let bits = value.to_bits();
    let fraction = (bits & ((1 << 52) - 1)).cast_signed();
    // Truncation: eleven bits.
    let biased = ((bits >> 52) & 0x7FF) as i32;
    let (mantissa, exponent) = if biased == 0 {
        (fraction, LEAST_EXPONENT)
    } else {
        (fraction | 1 << 52, biased - 1075)
    };
    (
        if value.is_sign_negative() {
            -mantissa
        } else {
            mantissa
        },
        exponent,
    )
}

/// In units of the number of fixed point, if they are whole and not too many.
#[inline]
fn to_units(number: i128, exponent: i32) -> Option<i128> {
    let shift = exponent - UNIT_EXPONENT;
    if shift >= 0 {
        let shift = shift.unsigned_abs();
        let bits = 128 - number.unsigned_abs().leading_zeros();
        return (bits + shift <= 120).then(|| number << shift);
    }
    let shift = shift.unsigned_abs();
    (number == 0 || number.trailing_zeros() >= shift)
        .then(|| number.checked_shr(shift).unwrap_or(0))
}

/// Of an exponent that a normal float has.
fn power_of_two(exponent: i32) -> f64 {
    let biased = u64::from((exponent + 1023).unsigned_abs());
    f64::from_bits(biased << 52)
}

#[cfg(test)]
mod tests;
