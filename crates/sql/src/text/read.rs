//! Values as PostgreSQL's input functions read them from text.
//!
//! # Cost
//! A column takes its values at once, without one of their own in between; only arrays are made one by one.

use std::{borrow::Cow, num::IntErrorKind, str::FromStr, sync::Arc};

use arrow::{
    array::{
        ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, BooleanArray, PrimitiveArray,
        StringArray, StringBuilder, new_empty_array,
    },
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type,
        Int32Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType,
        Time64MicrosecondType, TimestampMicrosecondType,
    },
};
use datafusion_common::ScalarValue;
use streams::format::{
    Reason,
    decimal::{Rest, scaled},
    timestamp,
};

use super::{interval::interval, json};
use crate::{
    backend::SqlError,
    column_type::{
        COLUMN_BYTES_MAX, PostgresType, UTC, field_of_oid, postgres_type, postgres_type_of_oid,
    },
    error::sqlstate,
    zone,
};

/// Elements of an array in text.
const ELEMENTS_MAX: usize = 1 << 20;
/// Of all arrays that one column of text is read as.
const COLUMN_ELEMENTS_MAX: usize = 4 << 20;

/// Why a text is no value of a type.
enum Wrong {
    Syntax,
    Range,
}

/// The value that a text stands for.
pub fn read(oid: u32, text: &str) -> Result<ScalarValue, SqlError> {
    let Some(of) = postgres_type_of_oid(oid) else {
        return Ok(ScalarValue::Utf8(Some(text.to_owned())));
    };
    if let Some(element) = of.element {
        return array(element, text);
    }
    let value = match of.name {
        "bool" => boolean(text).map(ScalarValue::from),
        "int2" => integer::<i16>(text).map(ScalarValue::from),
        "int4" => integer::<i32>(text).map(ScalarValue::from),
        "int8" | "oid" | "regproc" | "regclass" | "regtype" => {
            integer::<i64>(text).map(ScalarValue::from)
        }
        "float4" => float::<f32>(text).map(ScalarValue::from),
        "float8" => float::<f64>(text).map(ScalarValue::from),
        "bytea" => bytes(text).map(|value| ScalarValue::Binary(Some(value))),
        "numeric" => as_written(text),
        "date" => date(text).map(|value| ScalarValue::Date32(Some(value))),
        "time" => time(text).map(|value| ScalarValue::Time64Microsecond(Some(value))),
        "timestamp" => {
            local(text).map(|value| ScalarValue::TimestampMicrosecond(Some(value), None))
        }
        "timestamptz" => instant(text)
            .map(|value| ScalarValue::TimestampMicrosecond(Some(value), Some(UTC.into()))),
        "interval" => span(text).map(|value| ScalarValue::IntervalMonthDayNano(Some(value))),
        "uuid" | "json" | "jsonb" => {
            let kept = written(&of, text).ok_or(Wrong::Syntax);
            kept.map(|kept| ScalarValue::Utf8(Some(kept.into_owned())))
        }
        _ => Ok(ScalarValue::Utf8(Some(text.to_owned()))),
    };
    value.map_err(|wrong| refusal(&of, text, &wrong))
}

/// Whether [`column`] reads this type: any of a table's columns but text and rows. Of lists of lists it says that it does not.
pub fn is_read(to: &DataType) -> bool {
    match to {
        DataType::Decimal128(_, scale) => *scale >= 0,
        _ => matches!(
            to,
            DataType::Boolean
                | DataType::Int16
                | DataType::Int32
                | DataType::Int64
                | DataType::Float32
                | DataType::Float64
                | DataType::Binary
                | DataType::Date32
                | DataType::Time64(_)
                | DataType::Timestamp(..)
                | DataType::Interval(_)
                | DataType::List(_)
        ),
    }
}

/// The values that texts stand for, in a type of which [`is_read`] holds. Where `is_lenient`, what is no value is null.
pub fn column(texts: &StringArray, to: &DataType, is_lenient: bool) -> Result<ArrayRef, SqlError> {
    let of = postgres_type(&Field::new("", to.clone(), true));
    let texts = Texts {
        texts,
        of: &of,
        is_lenient,
    };
    Ok(match to {
        DataType::Boolean => Arc::new(texts.read(boolean).collect::<Result<BooleanArray, _>>()?),
        DataType::Int16 => texts.numbers::<Int16Type>(to, integer)?,
        DataType::Int32 => texts.numbers::<Int32Type>(to, integer)?,
        DataType::Int64 => texts.numbers::<Int64Type>(to, integer)?,
        DataType::Float32 => texts.numbers::<Float32Type>(to, float)?,
        DataType::Float64 => texts.numbers::<Float64Type>(to, float)?,
        DataType::Decimal128(precision, scale) => {
            texts.numbers::<Decimal128Type>(to, |text| decimal(text, *precision, *scale))?
        }
        DataType::Binary => Arc::new(texts.read(bytes).collect::<Result<BinaryArray, _>>()?),
        DataType::Date32 => texts.numbers::<Date32Type>(to, date)?,
        DataType::Time64(_) => texts.numbers::<Time64MicrosecondType>(to, time)?,
        DataType::Timestamp(_, None) => texts.numbers::<TimestampMicrosecondType>(to, local)?,
        DataType::Timestamp(_, Some(_)) => {
            texts.numbers::<TimestampMicrosecondType>(to, instant)?
        }
        DataType::List(_) => return texts.arrays(to),
        _ => texts.numbers::<IntervalMonthDayNanoType>(to, span)?,
    })
}

/// As a column of the type keeps them: a `uuid` in small letters with its hyphens, `jsonb` as it is written. Fails when a text
/// is none of these, no `json`, or longer than `varchar(n)` says.
pub fn stored(field: &Field, column: &ArrayRef) -> Result<ArrayRef, SqlError> {
    let DataType::Utf8 = field.data_type() else {
        return Ok(column.clone());
    };
    let of = postgres_type(field);
    let texts = column.as_string::<i32>();
    match of.name {
        "uuid" | "json" | "jsonb" => {
            let mut kept = StringBuilder::new();
            for text in texts {
                let Some(text) = text else {
                    kept.append_null();
                    continue;
                };
                let text = written(&of, text).ok_or_else(|| refusal(&of, text, &Wrong::Syntax))?;
                // Numbers may be longer without their exponents.
                if kept.values_slice().len() + text.len() > COLUMN_BYTES_MAX {
                    let message =
                        format!("more than {COLUMN_BYTES_MAX} bytes for one column of some rows");
                    return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
                }
                kept.append_value(text);
            }
            Ok(Arc::new(kept.finish()))
        }
        // Blanks beyond are left out, and room is told with four bytes of a head.
        "varchar" | "bpchar" if of.modifier >= 4 => {
            let room = of.modifier.unsigned_abs() as usize - 4;
            if !texts.iter().flatten().any(|text| text.len() > room) {
                return Ok(column.clone());
            }
            let values = texts.iter().map(|text| {
                let kept = text.map(|text| match text.char_indices().nth(room) {
                    None => Ok(text),
                    Some((end, _)) if text[end..].bytes().all(|byte| byte == b' ') => {
                        Ok(&text[..end])
                    }
                    Some(_) => {
                        let message = format!("value too long for type {}({room})", of.long_name);
                        Err(SqlError::new(sqlstate::STRING_TOO_LONG, message))
                    }
                });
                kept.transpose()
            });
            Ok(Arc::new(values.collect::<Result<StringArray, _>>()?))
        }
        _ => Ok(column.clone()),
    }
}

/// Of a type that is kept as text.
fn written<'a>(of: &PostgresType, text: &'a str) -> Option<Cow<'a, str>> {
    match of.name {
        "uuid" => uuid(text).map(Cow::Owned),
        "json" => json::document(text).map(|_| Cow::Borrowed(text)),
        _ => Some(Cow::Owned(json::jsonb(json::document(text)?)?)),
    }
}

/// In small letters, and with a hyphen behind the 8th, 12th, 16th and 20th digit. As it comes there may be one behind any four
/// digits, and braces around it all.
fn uuid(text: &str) -> Option<String> {
    let inner = text
        .strip_prefix('{')
        .map_or(Some(text), |rest| rest.strip_suffix('}'))?;
    let mut digits = inner.as_bytes();
    let mut out = String::with_capacity(36);
    for at in 0..32 {
        if at % 4 == 0 && at > 0 {
            digits = digits.strip_prefix(b"-").unwrap_or(digits);
        }
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        let (digit, rest) = digits
            .split_first()
            .filter(|(digit, _)| digit.is_ascii_hexdigit())?;
        out.push(digit.to_ascii_lowercase().into());
        digits = rest;
    }
    digits.is_empty().then_some(out)
}

/// A column that is read.
struct Texts<'a> {
    texts: &'a StringArray,
    of: &'a PostgresType,
    is_lenient: bool,
}

impl Texts<'_> {
    fn read<T>(
        &self,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> impl Iterator<Item = Result<Option<T>, SqlError>> {
        self.texts
            .iter()
            .map(move |text| match text.map(|text| (text, read(text))) {
                None => Ok(None),
                Some((_, Ok(value))) => Ok(Some(value)),
                Some((_, Err(_))) if self.is_lenient => Ok(None),
                Some((text, Err(wrong))) => Err(refusal(self.of, text, &wrong)),
            })
    }

    fn numbers<T: ArrowPrimitiveType>(
        &self,
        to: &DataType,
        read: impl Fn(&str) -> Result<T::Native, Wrong>,
    ) -> Result<ArrayRef, SqlError> {
        let values = self.read(read).collect::<Result<PrimitiveArray<T>, _>>()?;
        Ok(Arc::new(values.with_data_type(to.clone())))
    }

    fn arrays(&self, to: &DataType) -> Result<ArrayRef, SqlError> {
        if matches!(to, DataType::List(element) if element.data_type().is_nested()) {
            let message = "text cannot be cast to a list of lists";
            return Err(SqlError::unsupported(message));
        }
        let mut elements = 0;
        let values = self.texts.iter().map(|text| {
            let Some(text) = text else {
                return Ok(ScalarValue::try_from(to)?);
            };
            // No array has more elements than commas and one.
            elements += text.bytes().filter(|byte| *byte == b',').count() + 1;
            if elements > COLUMN_ELEMENTS_MAX {
                let message = format!("more than {COLUMN_ELEMENTS_MAX} elements of arrays at once");
                return Err(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
            }
            match read(self.of.oid, text) {
                Ok(value) => Ok(value.cast_to(to)?),
                Err(_) if self.is_lenient => Ok(ScalarValue::try_from(to)?),
                Err(wrong) => Err(wrong),
            }
        });
        gathered(values.collect::<Result<_, _>>()?, to)
    }
}

fn gathered(values: Vec<ScalarValue>, to: &DataType) -> Result<ArrayRef, SqlError> {
    match values.is_empty() {
        true => Ok(new_empty_array(to)),
        false => Ok(ScalarValue::iter_to_array(values)?),
    }
}

fn refusal(of: &PostgresType, text: &str, wrong: &Wrong) -> SqlError {
    let is_moment = matches!(
        of.name,
        "date" | "time" | "timestamp" | "timestamptz" | "interval"
    );
    let name = match of.name {
        // As PostgreSQL calls them here.
        "timestamp" | "time" => of.name,
        _ => of.long_name,
    };
    let (sqlstate, message) = match wrong {
        Wrong::Syntax if is_moment => (
            sqlstate::INVALID_DATETIME_FORMAT,
            format!("invalid input syntax for type {name}: \"{text}\""),
        ),
        Wrong::Syntax => (
            sqlstate::INVALID_TEXT_REPRESENTATION,
            format!("invalid input syntax for type {name}: \"{text}\""),
        ),
        Wrong::Range if is_moment => (
            sqlstate::DATETIME_FIELD_OVERFLOW,
            format!("{name} out of range: \"{text}\""),
        ),
        Wrong::Range if of.name == "numeric" => (
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            "numeric field overflow".to_owned(),
        ),
        Wrong::Range => (
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("value \"{text}\" is out of range for type {name}"),
        ),
    };
    SqlError::new(sqlstate, message)
}

impl From<Reason> for Wrong {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Range(_) => Self::Range,
            _ => Self::Syntax,
        }
    }
}

fn boolean(text: &str) -> Result<bool, Wrong> {
    match text.trim().to_ascii_lowercase().as_str() {
        "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => Ok(true),
        "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => Ok(false),
        _ => Err(Wrong::Syntax),
    }
}

fn integer<T: TryFrom<i128>>(text: &str) -> Result<T, Wrong> {
    let value = match text.trim().parse::<i128>() {
        Ok(value) => value,
        Err(error) => {
            return Err(match error.kind() {
                IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => Wrong::Range,
                _ => Wrong::Syntax,
            });
        }
    };
    T::try_from(value).map_err(|_| Wrong::Range)
}

/// To the nearest; what is written as a number but is infinite or zero beside the numbers there are is out of range.
fn float<T: FromStr + Into<f64> + Copy>(text: &str) -> Result<T, Wrong> {
    let text = text.trim();
    let value: T = text.parse().map_err(|_| Wrong::Syntax)?;
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let is_out = match value.into() {
        0.0 => mantissa.bytes().any(|byte| matches!(byte, b'1'..=b'9')),
        wide if wide.is_infinite() => mantissa.bytes().any(|byte| byte.is_ascii_digit()),
        _ => false,
    };
    match is_out {
        true => Err(Wrong::Range),
        false => Ok(value),
    }
}

fn decimal(text: &str, precision: u8, scale: i8) -> Result<i128, Wrong> {
    let value =
        scaled(text.trim().as_bytes(), scale.into(), Rest::Round).ok_or(Wrong::Syntax)??;
    match value.unsigned_abs() < 10_u128.pow(precision.into()) {
        true => Ok(value),
        false => Err(Wrong::Range),
    }
}

/// A numeric with as many places as are written.
fn as_written(text: &str) -> Result<ScalarValue, Wrong> {
    let text = text.trim();
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            exponent.parse::<i32>().map_err(|_| Wrong::Syntax)?,
        ),
        None => (text, 0),
    };
    let fraction = mantissa
        .split_once('.')
        .map_or(0, |(_, fraction)| fraction.len());
    let places = i32::try_from(fraction)
        .ok()
        .and_then(|places| places.checked_sub(exponent));
    let scale = places.and_then(|places| i8::try_from(places.max(0)).ok());
    let scale = scale.filter(|scale| *scale <= 38).ok_or(Wrong::Syntax)?;
    let value = decimal(text, 38, scale)?;
    Ok(ScalarValue::Decimal128(Some(value), 38, scale))
}

fn bytes(text: &str) -> Result<Vec<u8>, Wrong> {
    let read = match text.strip_prefix("\\x") {
        Some(hex) => hex_bytes(hex),
        None => escaped_bytes(text.as_bytes()),
    };
    read.ok_or(Wrong::Syntax)
}

fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().filter(|byte| !byte.is_ascii_whitespace());
    let digits: Vec<u8> = digits.collect();
    let pairs = digits.chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair)
            .ok()
            .filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    pairs.collect()
}

fn escaped_bytes(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut found = Vec::new();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'\\' {
            found.push(*first);
        } else if let Some(after) = rest.strip_prefix(b"\\") {
            found.push(b'\\');
            rest = after;
        } else {
            let (octal, after) = rest.split_at_checked(3)?;
            found.push(u8::from_str_radix(std::str::from_utf8(octal).ok()?, 8).ok()?);
            rest = after;
        }
    }
    Some(found)
}

/// Days since 1970-01-01.
fn date(text: &str) -> Result<i32, Wrong> {
    let text = text.trim();
    match text {
        "epoch" => Ok(0),
        _ => Ok(timestamp::parse_date(text.as_bytes())?),
    }
}

/// Microseconds since midnight.
fn time(text: &str) -> Result<i64, Wrong> {
    Ok(timestamp::parse_time(text.trim().as_bytes())?)
}

/// Microseconds since 1970-01-01, as the clock on the wall shows them: a zone is left out.
fn local(text: &str) -> Result<i64, Wrong> {
    if text.trim() == "epoch" {
        return Ok(0);
    }
    Ok(timestamp::parse_timestamp(text.trim().as_bytes())?.local_us)
}

/// Microseconds since 1970-01-01 in UTC, which is the zone of what has none.
fn instant(text: &str) -> Result<i64, Wrong> {
    let text = text.trim();
    if text == "epoch" {
        return Ok(0);
    }
    match timestamp::parse_timestamp(text.as_bytes()) {
        Ok(written) => Ok(written.utc_us()?),
        Err(wrong) => in_named_zone(text).ok_or_else(|| wrong.into()),
    }
}

/// `2026-11-22 10:00 Europe/Zurich`.
fn in_named_zone(text: &str) -> Option<i64> {
    let (local, zone) = text.rsplit_once(' ')?;
    let local = timestamp::parse_timestamp(local.as_bytes()).ok()?;
    let has_none = local.offset_s.is_none();
    zone::moment_us(local.local_us, has_none.then(|| zone::named(zone))??)
}

fn span(text: &str) -> Result<IntervalMonthDayNano, Wrong> {
    interval(text).ok_or(Wrong::Syntax)
}

/// `{1,2,NULL}`, of one dimension.
fn array(element: u32, text: &str) -> Result<ScalarValue, SqlError> {
    let malformed = || SqlError::new(*b"22P02", format!("malformed array literal: \"{text}\""));
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(malformed)?.trim();
    let data_type = field_of_oid(element).map_or(DataType::Utf8, |field| field.data_type().clone());
    let mut values = Vec::new();
    let mut characters = inner.chars();
    let mut is_more = !inner.is_empty();
    while is_more {
        is_more = false;
        let mut word = String::new();
        let mut is_quoted = false;
        while let Some(character) = characters.next() {
            match character {
                ',' => {
                    is_more = true;
                    break;
                }
                blank if blank.is_whitespace() && (word.is_empty() || is_quoted) => {}
                _ if is_quoted => return Err(malformed()),
                '"' if word.is_empty() => {
                    is_quoted = true;
                    loop {
                        match characters.next().ok_or_else(malformed)? {
                            '"' => break,
                            '\\' => word.push(characters.next().ok_or_else(malformed)?),
                            other => word.push(other),
                        }
                    }
                }
                '\\' => word.push(characters.next().ok_or_else(malformed)?),
                '"' | '{' | '}' => return Err(malformed()),
                other => word.push(other),
            }
        }
        if values.len() >= ELEMENTS_MAX {
            return Err(SqlError::new(*b"54000", "the array has too many elements"));
        }
        let word = if is_quoted { &word } else { word.trim_end() };
        if word.is_empty() && !is_quoted {
            return Err(malformed());
        }
        values.push(if !is_quoted && word.eq_ignore_ascii_case("null") {
            ScalarValue::try_from(&data_type)?
        } else {
            read(element, word)?.cast_to(&data_type)?
        });
    }
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(
        &values, &data_type,
    )))
}
