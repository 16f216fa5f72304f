//! JSON values into columns.

use super::scan::{self, Cursor, Number};
use crate::format::{
    Failure, Reason,
    column::{Column, Slices, Values},
    decimal::{self, Rest},
    text,
};

/// Reads the value that the cursor is at into the column's next place. On failure a list or struct may be half-written.
#[inline]
pub(super) fn push(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<(), Failure> {
    match cursor.peek() {
        Some(b'"') => string(cursor, column, scratch),
        Some(b'-' | b'0'..=b'9') => number(cursor, column),
        Some(b'n') => {
            cursor.literal(b"null")?;
            column.push_null();
            Ok(())
        }
        Some(b't' | b'f') => boolean(cursor, column),
        _ => nested(cursor, column, scratch),
    }
}

fn string(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<(), Failure> {
    let at = cursor.at;
    let failure = |reason| Failure::new(at, reason);
    let quoted = cursor.string()?;
    if let Values::Text(slices) = &mut column.values {
        if quoted.has_escapes {
            scan::unescape(quoted.text, &mut slices.bytes);
            check_last(slices).map_err(failure)?;
            slices.end();
        } else {
            slices.push(quoted.text);
        }
        column.end_value();
        return Ok(());
    }
    if let Values::Json(slices) = &mut column.values {
        slices.push(&cursor.text[at..cursor.at]);
        column.end_value();
        return Ok(());
    }
    if quoted.has_escapes {
        scratch.clear();
        scan::unescape(quoted.text, scratch);
        return text::push(column, scratch).map_err(failure);
    }
    text::push(column, quoted.text).map_err(failure)
}

/// The string that is being written has no character U+0000; only an escape can make one.
fn check_last(slices: &mut Slices) -> Result<(), Reason> {
    let checked = text::without_nul(slices.unfinished());
    if checked.is_err() {
        slices.abandon();
    }
    checked
}

fn number(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Failure> {
    let at = cursor.at;
    let failure = |reason| Failure::new(at, reason);
    let number = cursor.number()?;
    match &mut column.values {
        Values::Int16(values) => values.push(integer(number, "smallint").map_err(failure)?),
        Values::Int32(values) => values.push(integer(number, "integer").map_err(failure)?),
        Values::Int64(values) => values.push(integer(number, "bigint").map_err(failure)?),
        Values::Float64(values) => values.push(match number.integer {
            // Exact, so that nothing is to be rounded.
            Some(value) if value.unsigned_abs() < 1 << 53 && value != 0 => value as f64,
            _ => text::double(number.text).map_err(failure)?,
        }),
        Values::Float32(values) => values.push(text::real(number.text).map_err(failure)?),
        Values::Decimal {
            values,
            precision,
            scale,
        } => values.push(text::numeric(number.text, *precision, *scale).map_err(failure)?),
        Values::Timestamp { values, .. } => values.push(epoch_us(number).map_err(failure)?),
        Values::Date(values) => values.push(integer(number, "date").map_err(failure)?),
        Values::Text(slices) | Values::Json(slices) => slices.push(number.text),
        Values::Boolean(values) => values.append(text::boolean(number.text).map_err(failure)?),
        _ => return Err(failure(Reason::NotA(column.type_name()))),
    }
    column.end_value();
    Ok(())
}

#[inline]
fn integer<T: TryFrom<i64> + TryFrom<i128>>(
    number: Number<'_>,
    type_name: &'static str,
) -> Result<T, Reason> {
    match number.integer {
        Some(value) => T::try_from(value).map_err(|_| Reason::Range(type_name)),
        None => text::integer(number.text, type_name),
    }
}

/// Microseconds of what is written in milliseconds.
fn epoch_us(number: Number<'_>) -> Result<i64, Reason> {
    const OUT: Reason = Reason::Range("timestamp");
    if let Some(millis) = number.integer {
        return millis.checked_mul(1000).ok_or(OUT);
    }
    let micros = decimal::scaled(number.text, 3, Rest::Round).ok_or(Reason::Number)?;
    micros
        .ok()
        .and_then(|micros| i64::try_from(micros).ok())
        .ok_or(OUT)
}

fn boolean(cursor: &mut Cursor<'_>, column: &mut Column) -> Result<(), Failure> {
    let at = cursor.at;
    let is_true = cursor.peek() == Some(b't');
    let literal: &[u8] = if is_true { b"true" } else { b"false" };
    cursor.literal(literal)?;
    match &mut column.values {
        Values::Boolean(values) => values.append(is_true),
        Values::Text(slices) | Values::Json(slices) => slices.push(literal),
        _ => return Err(Failure::new(at, Reason::NotA(column.type_name()))),
    }
    column.end_value();
    Ok(())
}

/// An array, an object, or no value at all.
fn nested(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<(), Failure> {
    let at = cursor.at;
    match (&mut column.values, cursor.peek()) {
        (Values::List { elements, .. }, Some(b'[')) => {
            let mut has_more = cursor.begin(b']')?;
            while has_more {
                cursor.next();
                push(cursor, elements, scratch)?;
                has_more = cursor.has_more(b']')?;
            }
            column.end_list();
            return Ok(());
        }
        (Values::Struct { .. }, Some(b'{')) => return object(cursor, column, scratch),
        _ => {}
    }
    let text = cursor.skip()?;
    match &mut column.values {
        Values::Text(slices) | Values::Json(slices) => slices.push(text),
        _ => return Err(Failure::new(at, Reason::NotA(column.type_name()))),
    }
    column.end_value();
    Ok(())
}

/// A struct's columns are the members of their names.
fn object(
    cursor: &mut Cursor<'_>,
    column: &mut Column,
    scratch: &mut Vec<u8>,
) -> Result<(), Failure> {
    let rows = column.len();
    let Values::Struct { fields, columns } = &mut column.values else {
        return Err(cursor.fail(Reason::NotA("struct")));
    };
    let mut has_more = cursor.begin(b'}')?;
    while has_more {
        let name = cursor.name()?;
        scratch.clear();
        scan::unescape(name.text, scratch);
        let found = fields
            .iter()
            .position(|field| field.name().as_bytes() == &**scratch);
        cursor.next();
        match found {
            Some(place) => {
                columns[place].truncate(rows);
                push(cursor, &mut columns[place], scratch)?;
            }
            None => cursor.skip().map(|_| ())?,
        }
        has_more = cursor.has_more(b'}')?;
    }
    for column in columns {
        if column.len() == rows {
            column.push_null();
        }
    }
    column.end_value();
    Ok(())
}
