//! Records as most are: each field at most once, of a type that needs no second look.
//!
//! # Cost
//! A table look-up and a number for each field; values go to the columns when the whole record is read, so nothing is taken
//! back where its texts are sound. Whatever is not usual, errors among it, is left to `fields`, which reads the record from its
//! start.

use super::{
    Input,
    plan::{Plan, Step},
};
use crate::format::{
    column::{Column, Values},
    framing, text,
};

/// Columns that usual records have at most.
const COLUMNS_MAX: usize = 32;

/// By column: its value, or where its text begins (upper half) and how long it is.
type Slots = [u64; COLUMNS_MAX];

/// Whether a record can be usual at all.
pub(super) fn is_possible(plan: &Plan, columns: usize) -> bool {
    columns <= COLUMNS_MAX && plan.columns_by_step() == columns
}

/// Adds the values of one usual record to the columns; those of fields that it leaves out get none. When it is not usual,
/// some columns may have a value more, of fields that it has.
#[inline]
pub(super) fn decode(plan: &Plan, record: &[u8], at: usize, columns: &mut [Column]) -> bool {
    if u32::try_from(record.len()).is_err() {
        return false;
    }
    let mut slots = [0; COLUMNS_MAX];
    let Some(seen) = read(plan, record, at, &mut slots) else {
        return false;
    };
    for (place, column) in columns.iter_mut().enumerate() {
        if seen >> place & 1 == 0 {
            continue;
        }
        let slot = slots[place];
        match &mut column.values {
            Values::Int64(values) | Values::Timestamp { values, .. } => values.push(slot as i64),
            Values::Text(slices) => {
                let from = (slot >> 32) as usize;
                let bytes = &record[from..][..slot as u32 as usize];
                if text::check(bytes).is_err() {
                    return false;
                }
                slices.push(bytes);
            }
            _ => return false,
        }
        column.end_value();
    }
    true
}

/// The columns whose fields the record has, as bits.
#[inline(always)]
fn read(plan: &Plan, record: &[u8], mut at: usize, slots: &mut Slots) -> Option<u32> {
    let mut seen = 0_u32;
    while let Some(first) = record.get(at) {
        at += 1;
        let (column, slot) = match plan.step(*first) {
            Step::SkipVarint => {
                framing::varint(record, &mut at)?;
                continue;
            }
            Step::SkipCounted => {
                counted(record, &mut at)?;
                continue;
            }
            Step::Bigint(column) => (column, framing::varint(record, &mut at)?),
            Step::Timestamp(column) => {
                let millis = framing::varint(record, &mut at)? as i64;
                (column, millis.checked_mul(1000)? as u64)
            }
            Step::Text(column) => (column, counted(record, &mut at)?),
            Step::Any => {
                at -= 1;
                pass(plan, record, &mut at)?;
                continue;
            }
        };
        let bit = 1 << (usize::from(column) % COLUMNS_MAX);
        if seen & bit != 0 {
            return None;
        }
        seen |= bit;
        slots[usize::from(column) % COLUMNS_MAX] = slot;
    }
    Some(seen)
}

/// Steps over bytes with their count in front: where they begin and how many they are.
#[inline(always)]
fn counted(record: &[u8], at: &mut usize) -> Option<u64> {
    let count = framing::varint(record, at)?;
    let from = *at;
    if count > (record.len() - from) as u64 {
        return None;
    }
    *at = from + count as usize;
    Some((from as u64) << 32 | count)
}

/// Steps over a field that nobody reads.
fn pass(plan: &Plan, record: &[u8], at: &mut usize) -> Option<()> {
    let mut input = Input {
        text: record,
        at: *at,
    };
    let (number, wire) = input.tag().ok()?;
    if plan.action(number).is_some() {
        return None;
    }
    input.skip(wire).ok()?;
    *at = input.at;
    Some(())
}

#[cfg(test)]
mod tests;
