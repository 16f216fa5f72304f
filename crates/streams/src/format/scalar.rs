//! Values of binary formats, which have types of their own, into columns.

use super::{
    Reason,
    column::{Column, Values},
    decimal, json, text,
    timestamp::MICROS_PER_DAY,
};

/// What was read, before the column says what it is to be.
#[derive(Clone, Copy)]
pub(super) enum Read<'a> {
    Integer(i64),
    Unsigned(u64),
    Double(f64),
    Single(f32),
    Boolean(bool),
    Bytes(&'a [u8]),
    /// Of a timestamp or of the time of day.
    Micros(i64),
    /// Digits, and how many of them stand behind the point.
    Decimal(i128, u8),
}

/// Adds what was read as a value of the column's type.
#[inline]
pub(super) fn push_read(read: Read<'_>, column: &mut Column) -> Result<(), Reason> {
    match (&mut column.values, read) {
        (Values::Int64(values), Read::Integer(value)) => values.push(value),
        (Values::Text(slices), Read::Bytes(bytes)) => {
            text::check(bytes)?;
            slices.push(bytes);
        }
        (Values::Binary(slices), Read::Bytes(bytes)) => slices.push(bytes),
        (Values::Float64(values), Read::Double(value)) => values.push(value),
        (Values::Float64(values), Read::Single(value)) => values.push(value.into()),
        (Values::Float64(values), Read::Integer(value)) => values.push(value as f64),
        (Values::Float32(values), Read::Single(value)) => values.push(value),
        (Values::Boolean(values), Read::Boolean(value)) => values.append(value),
        (Values::Json(slices), Read::Bytes(bytes)) if json::is_value(bytes) => slices.push(bytes),
        (_, Read::Bytes(bytes)) => {
            text::check(bytes)?;
            return text::push(column, bytes);
        }
        (Values::Timestamp { values, .. }, Read::Micros(value)) => values.push(value),
        (Values::Time(values), Read::Micros(value)) => {
            if !(0..MICROS_PER_DAY).contains(&value) {
                return Err(Reason::Range("time"));
            }
            values.push(value);
        }
        (
            Values::Decimal {
                values,
                precision,
                scale,
            },
            Read::Decimal(value, places),
        ) => {
            let value = decimal::rescale(value, places.into(), (*scale).into());
            let value = value.ok_or(Reason::Range("numeric"))?;
            values.push(text::in_precision(value, *precision)?);
        }
        (_, Read::Integer(value)) => return push_integer(value.into(), column),
        (_, Read::Unsigned(value)) => return push_integer(value.into(), column),
        _ => return Err(Reason::NotA(column.type_name())),
    }
    column.end_value();
    Ok(())
}

fn push_integer(value: i128, column: &mut Column) -> Result<(), Reason> {
    let out_of_range = Reason::Range(column.type_name());
    let fits = |_| out_of_range;
    match &mut column.values {
        Values::Int16(values) => values.push(i16::try_from(value).map_err(fits)?),
        Values::Int32(values) | Values::Date(values) => {
            values.push(i32::try_from(value).map_err(fits)?);
        }
        Values::Int64(values) => values.push(i64::try_from(value).map_err(fits)?),
        Values::Decimal {
            values,
            precision,
            scale,
        } => {
            let value = decimal::rescale(value, 0, (*scale).into()).ok_or(out_of_range)?;
            values.push(text::in_precision(value, *precision)?);
        }
        Values::Timestamp { values, .. } => {
            values.push(i64::try_from(value * 1000).map_err(fits)?);
        }
        _ => return Err(Reason::NotA(column.type_name())),
    }
    column.end_value();
    Ok(())
}

/// Adds a name that the schema gives, not the record.
pub(super) fn push_name_text(name: &str, column: &mut Column) -> Result<(), Reason> {
    // Unlike other text, a name may be longer than what stands for it in the record.
    if let Values::Text(slices) = &column.values
        && i32::try_from(slices.bytes.len() + name.len()).is_err()
    {
        return Err(Reason::TooLarge);
    }
    push_read(Read::Bytes(name.as_bytes()), column)
}
