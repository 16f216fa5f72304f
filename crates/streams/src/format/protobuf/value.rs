//! One value of a field into a column.

use proto_schema::{COUNTED, Scalar, VARINT};

use super::{Input, Kind, structure};
use crate::format::{
    Failure, Reason,
    column::Column,
    scalar::{Read, push_name_text, push_read},
    timestamp::MICROS_PER_SECOND,
};

/// Reads one value. On failure the column may be half-written.
#[inline]
pub(super) fn push(
    kind: &Kind,
    wire: u8,
    input: &mut Input<'_>,
    column: &mut Column,
) -> Result<(), Failure> {
    let at = input.at;
    let failure = |reason| Failure::new(at, reason);
    match kind {
        Kind::Scalar(scalar) => {
            if wire != scalar.wire() {
                return Err(failure(Reason::WireType));
            }
            push_read(read(*scalar, input)?, column).map_err(failure)
        }
        Kind::Enum(values) => {
            if wire != VARINT {
                return Err(failure(Reason::WireType));
            }
            let number = input.varint()? as i32;
            push_name(values, number, column).map_err(failure)
        }
        Kind::Struct(_) | Kind::Timestamp | Kind::Wrapper(_) if wire != COUNTED => {
            Err(failure(Reason::WireType))
        }
        Kind::Struct(plan) => structure(plan, input.within()?, column),
        Kind::Timestamp => {
            let value = timestamp_us(input.within()?)?;
            push_read(Read::Micros(value), column).map_err(failure)
        }
        Kind::Wrapper(scalar) => {
            let mut value = default(*scalar);
            let mut within = input.within()?;
            while within.at < within.text.len() {
                match within.tag()? {
                    (1, wire) if wire == scalar.wire() => value = read(*scalar, &mut within)?,
                    (_, wire) => within.skip(wire)?,
                }
            }
            push_read(value, column).map_err(failure)
        }
    }
}

/// The value of a field that was left out and has no presence.
pub(super) fn push_default(kind: &Kind, column: &mut Column) {
    let pushed = match kind {
        Kind::Scalar(scalar) => push_read(default(*scalar), column),
        Kind::Enum(values) => push_name(values, 0, column),
        _ => Err(Reason::End),
    };
    // Empty text is no number and no timestamp.
    if pushed.is_err() {
        column.push_null();
    }
}

#[inline]
fn read<'a>(scalar: Scalar, input: &mut Input<'a>) -> Result<Read<'a>, Failure> {
    Ok(match scalar {
        Scalar::Int64 => Read::Integer(input.varint()? as i64),
        Scalar::Int32 => Read::Integer((input.varint()? as i32).into()),
        Scalar::Uint64 => Read::Unsigned(input.varint()?),
        Scalar::Uint32 => Read::Integer((input.varint()? as u32).into()),
        Scalar::Sint32 | Scalar::Sint64 => {
            let value = input.varint()?;
            Read::Integer((value >> 1) as i64 ^ -((value & 1) as i64))
        }
        Scalar::Bool => Read::Boolean(input.varint()? != 0),
        Scalar::Double => Read::Double(f64::from_bits(eight(input)?)),
        Scalar::Fixed64 => Read::Unsigned(eight(input)?),
        Scalar::Sfixed64 => Read::Integer(eight(input)? as i64),
        Scalar::Float => Read::Single(f32::from_bits(four(input)?)),
        Scalar::Fixed32 => Read::Integer(four(input)?.into()),
        Scalar::Sfixed32 => Read::Integer((four(input)? as i32).into()),
        Scalar::String | Scalar::Bytes => Read::Bytes(input.counted()?),
    })
}

fn eight(input: &mut Input<'_>) -> Result<u64, Failure> {
    let bytes = input.bytes(8)?.first_chunk().copied().unwrap_or_default();
    Ok(u64::from_le_bytes(bytes))
}

fn four(input: &mut Input<'_>) -> Result<u32, Failure> {
    let bytes = input.bytes(4)?.first_chunk().copied().unwrap_or_default();
    Ok(u32::from_le_bytes(bytes))
}

fn default(scalar: Scalar) -> Read<'static> {
    match scalar {
        Scalar::Double => Read::Double(0.0),
        Scalar::Float => Read::Single(0.0),
        Scalar::Bool => Read::Boolean(false),
        Scalar::String | Scalar::Bytes => Read::Bytes(b""),
        _ => Read::Integer(0),
    }
}

/// An enum's value by its name, or by its number if it has none.
fn push_name(values: &[(i32, String)], number: i32, column: &mut Column) -> Result<(), Reason> {
    let found = values.binary_search_by_key(&number, |(number, _)| *number);
    let unnamed;
    let name = match found {
        Ok(at) => &values[at].1,
        Err(_) => {
            unnamed = number.to_string();
            &unnamed
        }
    };
    push_name_text(name, column)
}

fn timestamp_us(mut input: Input<'_>) -> Result<i64, Failure> {
    let at = input.at;
    let (mut seconds, mut nanos) = (0i64, 0i32);
    while input.at < input.text.len() {
        match input.tag()? {
            (1, VARINT) => seconds = input.varint()? as i64,
            (2, VARINT) => nanos = input.varint()? as i32,
            (_, wire) => input.skip(wire)?,
        }
    }
    let micros = seconds.checked_mul(MICROS_PER_SECOND);
    let micros = micros.and_then(|micros| micros.checked_add((nanos / 1000).into()));
    micros.ok_or(Failure::new(at, Reason::Range("timestamp")))
}
