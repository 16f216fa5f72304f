//! Values as PostgreSQL writes them as text, and reads them from it.
//!
//! Times in the ISO form, intervals in the `postgres` style, bytes in hex, arrays and rows with braces and parentheses.

mod interval;
pub mod json;
mod read;
#[cfg(test)]
mod tests;

use std::io::Write;

use arrow::{
    array::{Array, AsArray, timezone::Tz},
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type,
        Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
        Time64MicrosecondType, TimeUnit, TimestampMicrosecondType,
    },
};

use base::calendar::civil_from_days;

use crate::{
    backend::SqlError,
    column_type::{DAY_US, is_vector, shown_decimal},
    zone,
};

pub use interval::interval as interval_of;
pub use read::{column, is_read, read, stored};

/// Lists within lists that are written.
const DEPTH_MAX: usize = 64;

/// What settings say about output.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// `None`: UTC.
    zone: Option<Tz>,
    /// 0 or less: so many digits less than a float surely has.
    float_digits: i8,
}

impl Default for Style {
    fn default() -> Self {
        Self {
            zone: None,
            float_digits: 1,
        }
    }
}

impl Style {
    /// From the settings `TimeZone` and `extra_float_digits`.
    #[must_use]
    pub fn new(zone: &str, float_digits: &str) -> Self {
        let is_utc = zone.eq_ignore_ascii_case("utc") || zone.eq_ignore_ascii_case("etc/utc");
        Self {
            zone: (!is_utc).then(|| zone::setting(zone)).flatten(),
            float_digits: float_digits.parse().unwrap_or(1),
        }
    }
}

/// Appends the value at `row`, which is not null, of an array in canonical types.
pub fn write(
    field: &Field,
    array: &dyn Array,
    row: usize,
    style: &Style,
    out: &mut Vec<u8>,
) -> Result<(), SqlError> {
    write_within(field, array, row, style, out, 0)
}

fn write_within(
    field: &Field,
    array: &dyn Array,
    row: usize,
    style: &Style,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), SqlError> {
    match array.data_type() {
        DataType::Boolean => out.push(if array.as_boolean().value(row) {
            b't'
        } else {
            b'f'
        }),
        DataType::Int16 => put(
            out,
            format_args!("{}", array.as_primitive::<Int16Type>().value(row)),
        ),
        DataType::Int32 => put(
            out,
            format_args!("{}", array.as_primitive::<Int32Type>().value(row)),
        ),
        DataType::Int64 => put(
            out,
            format_args!("{}", array.as_primitive::<Int64Type>().value(row)),
        ),
        DataType::Float32 => float32(array.as_primitive::<Float32Type>().value(row), style, out),
        DataType::Float64 => float64(array.as_primitive::<Float64Type>().value(row), style, out),
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            let (value, scale) = shown_decimal(field, value, *scale);
            decimal(value, scale, out);
        }
        DataType::Utf8 => out.extend(array.as_string::<i32>().value(row).as_bytes()),
        DataType::Binary => {
            out.extend(b"\\x");
            let bytes = array.as_binary::<i32>().value(row);
            bytes
                .iter()
                .for_each(|byte| put(out, format_args!("{byte:02x}")));
        }
        DataType::Date32 => {
            let days = array.as_primitive::<Date32Type>().value(row);
            let is_bc = date(days.into(), out);
            out.extend(if is_bc { &b" BC"[..] } else { b"" });
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            time(
                array.as_primitive::<Time64MicrosecondType>().value(row),
                out,
            );
        }
        DataType::Timestamp(TimeUnit::Microsecond, zone) => {
            let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
            timestamp(micros, zone.is_some(), style, out);
        }
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            interval(
                array.as_primitive::<IntervalMonthDayNanoType>().value(row),
                out,
            );
        }
        DataType::List(element) if depth < DEPTH_MAX => {
            let values = array.as_list::<i32>().value(row);
            let (begin, between, end) = match is_vector(field) {
                true => (&b""[..], b' ', &b""[..]),
                false => (&b"{"[..], b',', &b"}"[..]),
            };
            out.extend(begin);
            for at in 0..values.len() {
                if at > 0 {
                    out.push(between);
                }
                array_element(element, values.as_ref(), at, style, out, depth)?;
            }
            out.extend(end);
        }
        DataType::Struct(fields) if depth < DEPTH_MAX => {
            out.push(b'(');
            let columns = array.as_struct().columns();
            for (at, (field, column)) in fields.iter().zip(columns).enumerate() {
                if at > 0 {
                    out.push(b',');
                }
                row_member(field, column.as_ref(), row, style, out, depth)?;
            }
            out.push(b')');
        }
        other => {
            let message = format!("no output function for {other} ({})", field.name());
            return Err(SqlError::new(*b"0A000", message));
        }
    }
    Ok(())
}

fn put(out: &mut Vec<u8>, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("memory takes every byte");
}

fn array_element(
    field: &Field,
    array: &dyn Array,
    row: usize,
    style: &Style,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), SqlError> {
    if array.is_null(row) {
        out.extend(b"NULL");
        return Ok(());
    }
    if matches!(array.data_type(), DataType::List(_)) {
        return write_within(field, array, row, style, out, depth + 1);
    }
    let mut value = Vec::new();
    write_within(field, array, row, style, &mut value, depth + 1)?;
    let special =
        |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    let is_plain =
        !value.is_empty() && !value.iter().any(special) && !value.eq_ignore_ascii_case(b"null");
    quoted(
        &value,
        is_plain,
        |byte| matches!(byte, b'"' | b'\\').then_some(b'\\'),
        out,
    );
    Ok(())
}

fn row_member(
    field: &Field,
    array: &dyn Array,
    row: usize,
    style: &Style,
    out: &mut Vec<u8>,
    depth: usize,
) -> Result<(), SqlError> {
    if array.is_null(row) {
        return Ok(());
    }
    let mut value = Vec::new();
    write_within(field, array, row, style, &mut value, depth + 1)?;
    let special =
        |byte: &u8| matches!(byte, b'(' | b')' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace();
    let is_plain = !value.is_empty() && !value.iter().any(special);
    // Within rows what must be escaped is doubled.
    quoted(
        &value,
        is_plain,
        |byte| matches!(byte, b'"' | b'\\').then_some(byte),
        out,
    );
    Ok(())
}

fn quoted(value: &[u8], is_plain: bool, escape: impl Fn(u8) -> Option<u8>, out: &mut Vec<u8>) {
    if is_plain {
        out.extend(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        out.extend(escape(*byte));
        out.push(*byte);
    }
    out.push(b'"');
}

/// The shortest text that reads back as the same value, as PostgreSQL has written floats since version 12.
fn float64(value: f64, style: &Style, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return not_finite(value, out);
    }
    if style.float_digits <= 0 {
        let digits = (15 + i32::from(style.float_digits)).max(1).unsigned_abs() as usize;
        return rounded(value, digits, out);
    }
    let text = format!("{value:e}");
    shortest(&text, 15, out);
}

fn float32(value: f32, style: &Style, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return not_finite(value.into(), out);
    }
    if style.float_digits <= 0 {
        let digits = (6 + i32::from(style.float_digits)).max(1).unsigned_abs() as usize;
        return rounded(value.into(), digits, out);
    }
    let text = format!("{value:e}");
    shortest(&text, 6, out);
}

fn not_finite(value: f64, out: &mut Vec<u8>) {
    out.extend(match value {
        value if value.is_nan() => &b"NaN"[..],
        value if value > 0.0 => b"Infinity",
        _ => b"-Infinity",
    });
}

/// As C's `%.*g`.
fn rounded(value: f64, digits: usize, out: &mut Vec<u8>) {
    let text = format!("{value:.*e}", digits - 1);
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    shortest(&format!("{mantissa}e{exponent}"), digits as i32, out);
}

/// From `1.25e-7`; an exponent is kept from `digits_max` places before the point on, and below a ten-thousandth.
fn shortest(text: &str, digits_max: i32, out: &mut Vec<u8>) {
    let (mantissa, exponent) = text.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("the format has a number there");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    if exponent < -4 || exponent >= digits_max {
        let direction = if exponent < 0 { '-' } else { '+' };
        return put(
            out,
            format_args!("{sign}{mantissa}e{direction}{:02}", exponent.abs()),
        );
    }
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    out.extend(sign.as_bytes());
    if exponent < 0 {
        out.extend(b"0.");
        out.extend(std::iter::repeat_n(
            b'0',
            (-exponent - 1).unsigned_abs() as usize,
        ));
        out.extend(digits.as_bytes());
        return;
    }
    let before = exponent.unsigned_abs() as usize + 1;
    if digits.len() <= before {
        out.extend(digits.as_bytes());
        out.extend(std::iter::repeat_n(b'0', before - digits.len()));
    } else {
        put(
            out,
            format_args!("{}.{}", &digits[..before], &digits[before..]),
        );
    }
}

fn decimal(value: i128, scale: i8, out: &mut Vec<u8>) {
    let places = usize::from(scale.max(0).unsigned_abs());
    let digits = value.unsigned_abs().to_string();
    if value < 0 {
        out.push(b'-');
    }
    if places == 0 {
        out.extend(digits.as_bytes());
        if value != 0 {
            out.extend(std::iter::repeat_n(
                b'0',
                usize::from(scale.min(0).unsigned_abs()),
            ));
        }
        return;
    }
    let digits = format!("{digits:0>width$}", width = places + 1);
    let (whole, fraction) = digits.split_at(digits.len() - places);
    put(out, format_args!("{whole}.{fraction}"));
}

/// Whether it is before year 1, which goes behind the time of day.
fn date(days: i64, out: &mut Vec<u8>) -> bool {
    let (year, month, day) = civil_from_days(days);
    let shown = if year > 0 { year } else { 1 - year };
    put(out, format_args!("{shown:04}-{month:02}-{day:02}"));
    year <= 0
}

/// Of a day; fractions without zeros at their end.
fn time(micros: i64, out: &mut Vec<u8>) {
    let seconds = micros / 1_000_000;
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    put(
        out,
        format_args!("{hours:02}:{minutes:02}:{:02}", seconds % 60),
    );
    fraction(micros % 1_000_000, out);
}

fn fraction(micros: i64, out: &mut Vec<u8>) {
    if micros != 0 {
        let text = format!(".{micros:06}");
        out.extend(text.trim_end_matches('0').as_bytes());
    }
}

fn timestamp(micros: i64, has_zone: bool, style: &Style, out: &mut Vec<u8>) {
    let zone = style.zone.filter(|_| has_zone);
    let offset = zone
        .and_then(|zone| zone::offset_s(micros, zone))
        .unwrap_or(0);
    let local = micros.saturating_add(offset * 1_000_000);
    let is_bc = date(local.div_euclid(DAY_US), out);
    out.push(b' ');
    time(local.rem_euclid(DAY_US), out);
    if has_zone {
        let (sign, span) = if offset < 0 {
            ('-', -offset)
        } else {
            ('+', offset)
        };
        put(out, format_args!("{sign}{:02}", span / 3600));
        if span % 3600 != 0 {
            put(out, format_args!(":{:02}", span / 60 % 60));
        }
        if span % 60 != 0 {
            put(out, format_args!(":{:02}", span % 60));
        }
    }
    if is_bc {
        out.extend(b" BC");
    }
}

fn interval(span: IntervalMonthDayNano, out: &mut Vec<u8>) {
    let begin = out.len();
    let mut was_negative = false;
    let mut part = |count: i32, unit: &str, out: &mut Vec<u8>| {
        if count == 0 {
            return;
        }
        let space = if out.len() > begin { " " } else { "" };
        let sign = if was_negative && count > 0 { "+" } else { "" };
        let plural = if count == 1 { "" } else { "s" };
        put(out, format_args!("{space}{sign}{count} {unit}{plural}"));
        was_negative = count < 0;
    };
    part(span.months / 12, "year", out);
    part(span.months % 12, "mon", out);
    part(span.days, "day", out);
    let micros = span.nanoseconds / 1000;
    if micros == 0 && out.len() > begin {
        return;
    }
    if out.len() > begin {
        out.push(b' ');
    }
    if micros < 0 {
        out.push(b'-');
    } else if was_negative {
        out.push(b'+');
    }
    let magnitude = micros.unsigned_abs();
    let seconds = magnitude / 1_000_000;
    put(
        out,
        format_args!(
            "{:02}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        ),
    );
    fraction((magnitude % 1_000_000).cast_signed(), out);
}
