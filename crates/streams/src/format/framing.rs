//! What a schema registry's serialisers write in front of a record.
//!
//! # Layout
//! A zero byte, then the schema's number in the registry, four bytes, big-endian. In front of a Protobuf message there
//! is also where its type stands in the schema: a count and as many places, from the outermost message inwards, all of
//! them zigzag varints; a count of zero means the first message.

use super::{Failure, Reason};

/// What stands in front of each record's value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Framing {
    /// Nothing.
    #[default]
    None,
    /// What Confluent's serialisers write. The number says nothing: all records are of one schema.
    Confluent,
    /// The same, and the number is that of the schema which the record was written with.
    Registry,
}

const MAGIC: u8 = 0;
const HEAD_BYTES: usize = 5;

/// The schema's number and where the record proper begins.
pub(super) fn schema_number(value: &[u8]) -> Result<(u32, usize), Failure> {
    match value.first_chunk::<HEAD_BYTES>() {
        Some([MAGIC, number @ ..]) => Ok((u32::from_be_bytes(*number), HEAD_BYTES)),
        _ => Err(Failure::new(0, Reason::Framing)),
    }
}

/// An unsigned number of up to ten bytes of seven bits, the lowest first. `None`: there are more, or none.
#[inline]
pub(super) fn varint(text: &[u8], at: &mut usize) -> Option<u64> {
    let rest = text.get(*at..)?;
    let first = *rest.first()?;
    if first < 0x80 {
        *at += 1;
        return Some(first.into());
    }
    // Most others end within eight bytes, which are looked at as one word: no branch depends on how many they are.
    if let Some(word) = rest.first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends != 0 {
            let bits = ends.trailing_zeros() + 1;
            *at += bits as usize / 8;
            return Some(gathered(word & (u64::MAX >> (64 - bits))));
        }
    }
    long_varint(text, at)
}

/// The seven lower bits of each of eight bytes, one behind the other.
#[inline]
fn gathered(bytes: u64) -> u64 {
    let sevens = bytes & 0x7f7f_7f7f_7f7f_7f7f;
    let pairs = (sevens & 0x007f_007f_007f_007f) | ((sevens >> 1) & 0x3f80_3f80_3f80_3f80);
    let fours = (pairs & 0x0000_3fff_0000_3fff) | ((pairs >> 2) & 0x0fff_c000_0fff_c000);
    (fours & 0x0fff_ffff) | ((fours >> 4) & 0x00ff_ffff_f000_0000)
}

fn long_varint(text: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0;
    for (place, byte) in text.get(*at..)?.iter().take(10).enumerate() {
        // What lies beyond the sixty-fourth bit is lost, as in other decoders.
        value |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            *at += place + 1;
            return Some(value);
        }
    }
    None
}

/// A signed number; small ones of either sign are short.
#[inline]
pub(super) fn zigzag(text: &[u8], at: &mut usize) -> Option<i64> {
    let value = varint(text, at)?;
    Some((value >> 1) as i64 ^ -((value & 1) as i64))
}

pub(super) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
