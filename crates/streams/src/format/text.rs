//! Values written as text, for columns of any scalar type: what PostgreSQL's casts from text take.
//!
//! Integers, floating point and decimals as JSON writes them, with a plus sign too, and `NaN` and `Infinity` for floating
//! point; booleans as `true`, `t`, `yes`, `on`, `1` and their opposites; bytes as base64, or hexadecimal behind `\x`.

use std::io::Write;

use arrow_array::{
    Array,
    cast::AsArray,
    types::{
        Date32Type, Decimal128Type, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type,
        Time64MicrosecondType, TimestampMicrosecondType,
    },
};
use arrow_schema::DataType;

use super::{
    Reason,
    column::{Column, Slices, Values},
    decimal::{self, Rest},
    json, timestamp,
};

/// Adds the value that `text`, which is UTF-8, stands for. On failure the column is as it was.
pub(super) fn push(column: &mut Column, text: &[u8]) -> Result<(), Reason> {
    match &mut column.values {
        Values::Text(slices) => {
            without_nul(text)?;
            slices.push(text);
        }
        Values::Boolean(values) => values.append(boolean(text)?),
        Values::Int16(values) => values.push(integer(text, "smallint")?),
        Values::Int32(values) => values.push(integer(text, "integer")?),
        Values::Int64(values) => values.push(integer(text, "bigint")?),
        Values::Float32(values) => values.push(real(text)?),
        Values::Float64(values) => values.push(double(text)?),
        Values::Decimal {
            values,
            precision,
            scale,
        } => values.push(numeric(text, *precision, *scale)?),
        Values::Date(values) => values.push(timestamp::parse_date(text)?),
        Values::Time(values) => values.push(timestamp::parse_time(text)?),
        Values::Timestamp { values, zone } => {
            let written = timestamp::parse_timestamp(text)?;
            // A zone means nothing to a column without one: PostgreSQL leaves it out as well.
            values.push(match zone {
                Some(_) => written.utc_us()?,
                None => written.local_us,
            });
        }
        Values::Binary(slices) => bytes(text, slices)?,
        Values::Json(slices) if json::is_value(text) => slices.push(text),
        Values::Json(_) | Values::List { .. } | Values::Struct { .. } => {
            return Err(Reason::NotA(column.type_name()));
        }
    }
    column.end_value();
    Ok(())
}

/// PostgreSQL has no such text.
pub(super) fn without_nul(text: &[u8]) -> Result<(), Reason> {
    if text.contains(&0) {
        return Err(Reason::Nul);
    }
    Ok(())
}

/// Whether all bytes are ASCII and none is zero. Eight at a time and without a branch between them, the last eight once more
/// where others are left over.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // Of bytes below 0x80, the high bit is set by the addition where they are not zero.
    let special = |word: &[u8; 8]| {
        let word = u64::from_le_bytes(*word);
        word | !word.wrapping_add(!HIGH)
    };
    let Some(last) = bytes.last_chunk::<8>() else {
        return bytes.iter().all(|byte| byte.wrapping_sub(1) < 0x7f);
    };
    let (words, _) = bytes.as_chunks::<8>();
    let all = words
        .iter()
        .fold(special(last), |all, word| all | special(word));
    all & HIGH == 0
}

/// Whether bytes are text: UTF-8 without the character U+0000.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), Reason> {
    if is_plain(bytes) {
        return Ok(());
    }
    std::str::from_utf8(bytes).map_err(|_| Reason::Utf8)?;
    without_nul(bytes)
}

pub(super) fn boolean(text: &[u8]) -> Result<bool, Reason> {
    let mut lower = [0; 5];
    let lower = lower.get_mut(..text.len()).ok_or(Reason::NotA("boolean"))?;
    lower.copy_from_slice(text);
    lower.make_ascii_lowercase();
    match &*lower {
        b"true" | b"t" | b"yes" | b"y" | b"on" | b"1" => Ok(true),
        b"false" | b"f" | b"no" | b"n" | b"off" | b"0" => Ok(false),
        _ => Err(Reason::NotA("boolean")),
    }
}

/// An integer, whatever way it is written: `1e3` and `5.0` are.
pub(super) fn integer<T: TryFrom<i128>>(text: &[u8], type_name: &'static str) -> Result<T, Reason> {
    let value = decimal::scaled(text, 0, Rest::Refuse).ok_or(Reason::NotA(type_name))?;
    let value = value.map_err(|reason| match reason {
        Reason::Range(_) => Reason::Range(type_name),
        reason => reason,
    })?;
    T::try_from(value).map_err(|_| Reason::Range(type_name))
}

/// Rounded to the nearest; what is too large for any is out of range.
pub(super) fn double(text: &[u8]) -> Result<f64, Reason> {
    const TYPE: &str = "double precision";
    let written = std::str::from_utf8(text).map_err(|_| Reason::NotA(TYPE))?;
    let value: f64 = written.parse().map_err(|_| Reason::NotA(TYPE))?;
    if value.is_infinite() && text.iter().any(u8::is_ascii_digit) {
        return Err(Reason::Range(TYPE));
    }
    Ok(value)
}

pub(super) fn real(text: &[u8]) -> Result<f32, Reason> {
    const TYPE: &str = "real";
    let written = std::str::from_utf8(text).map_err(|_| Reason::NotA(TYPE))?;
    let value: f32 = written.parse().map_err(|_| Reason::NotA(TYPE))?;
    if value.is_infinite() && text.iter().any(u8::is_ascii_digit) {
        return Err(Reason::Range(TYPE));
    }
    Ok(value)
}

/// Rounded to the column's scale.
pub(super) fn numeric(text: &[u8], precision: u8, scale: i8) -> Result<i128, Reason> {
    let value =
        decimal::scaled(text, scale.into(), Rest::Round).ok_or(Reason::NotA("numeric"))??;
    in_precision(value, precision)
}

pub(super) fn in_precision(value: i128, precision: u8) -> Result<i128, Reason> {
    let end = 10u128.checked_pow(precision.into()).unwrap_or(u128::MAX);
    if value.unsigned_abs() < end {
        Ok(value)
    } else {
        Err(Reason::Range("numeric"))
    }
}

fn bytes(text: &[u8], slices: &mut Slices) -> Result<(), Reason> {
    let decoded = match text.strip_prefix(b"\\x") {
        Some(digits) => hexadecimal(digits, &mut slices.bytes),
        None => base64(text, &mut slices.bytes),
    };
    if decoded.is_none() {
        slices.abandon();
        return Err(Reason::NotA("bytea"));
    }
    slices.end();
    Ok(())
}

fn hexadecimal(digits: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let (pairs, []) = digits.as_chunks::<2>() else {
        return None;
    };
    for [high, low] in pairs {
        out.push((digit(*high)? * 16 + digit(*low)?) as u8);
    }
    Some(())
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4; the padding may be missing.
pub(super) fn base64(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let text = match text {
        [text @ .., b'=', b'='] if text.len() % 4 == 2 => text,
        [text @ .., b'='] if text.len() % 4 == 3 => text,
        text => text,
    };
    for four in text.chunks(4) {
        let mut bits = 0u32;
        for byte in four {
            bits = bits << 6 | sextet(*byte)?;
        }
        match four.len() {
            4 => out.extend_from_slice(&bits.to_be_bytes()[1..]),
            3 if bits & 3 == 0 => out.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
            2 if bits & 15 == 0 => out.push((bits >> 4) as u8),
            _ => return None,
        }
    }
    Some(())
}

fn sextet(byte: u8) -> Option<u32> {
    Some(
        match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        }
        .into(),
    )
}

/// With padding.
pub(super) fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    for three in bytes.chunks(3) {
        let mut padded = [0; 4];
        padded[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(padded);
        for place in 0..4 {
            let sextet = bits >> (18 - 6 * place) & 63;
            let is_padding = place > three.len();
            out.push(if is_padding {
                b'='
            } else {
                BASE64[sextet as usize]
            });
        }
    }
}

/// Adds the value as [`push`] reads it; it is neither null nor a list or struct.
pub(super) fn write(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match array.data_type() {
        DataType::Boolean => {
            let value: &[u8] = if array.as_boolean().value(row) {
                b"true"
            } else {
                b"false"
            };
            out.extend_from_slice(value);
        }
        DataType::Int16 => write_integer(array.as_primitive::<Int16Type>().value(row).into(), out),
        DataType::Int32 => write_integer(array.as_primitive::<Int32Type>().value(row).into(), out),
        DataType::Int64 => write_integer(array.as_primitive::<Int64Type>().value(row), out),
        DataType::Float32 => {
            let value = array.as_primitive::<Float32Type>().value(row);
            write_float(value.into(), format_args!("{value:?}"), out);
        }
        DataType::Float64 => {
            let value = array.as_primitive::<Float64Type>().value(row);
            write_float(value, format_args!("{value:?}"), out);
        }
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            decimal::write(value, *scale, out);
        }
        DataType::Utf8 => out.extend_from_slice(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => write_base64(array.as_binary::<i32>().value(row), out),
        DataType::Date32 => {
            timestamp::write_date(array.as_primitive::<Date32Type>().value(row).into(), out);
        }
        DataType::Time64(_) => {
            timestamp::write_time(
                array.as_primitive::<Time64MicrosecondType>().value(row),
                out,
            );
        }
        DataType::Timestamp(_, zone) => {
            let value = array.as_primitive::<TimestampMicrosecondType>().value(row);
            timestamp::write_timestamp(value, out);
            if zone.is_some() {
                out.push(b'Z');
            }
        }
        other => unreachable!("no writer is made for {other}"),
    }
}

fn write_integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Shortest digits that are read back as the same number.
fn write_float(value: f64, digits: std::fmt::Arguments<'_>, out: &mut Vec<u8>) {
    match value {
        value if value.is_nan() => out.extend_from_slice(b"NaN"),
        f64::INFINITY => out.extend_from_slice(b"Infinity"),
        f64::NEG_INFINITY => out.extend_from_slice(b"-Infinity"),
        _ => out.write_fmt(digits).expect("a vector takes all bytes"),
    }
}
