//! Values that a client binds to parameters, in text or binary.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

use super::binary;
use crate::{
    backend::SqlError,
    column_type::{field_of_oid, postgres_type_of_oid},
};

/// Elements of an array in text.
const ELEMENTS_MAX: usize = 1 << 20;

/// A value for a parameter of this type; format 0 is text, 1 binary.
pub fn decode(oid: u32, format: i16, value: Option<&[u8]>) -> Result<ScalarValue, SqlError> {
    let Some(bytes) = value else {
        let data_type = field_of_oid(oid).map_or(DataType::Utf8, |field| field.data_type().clone());
        return Ok(ScalarValue::try_from(&data_type)?);
    };
    if format == 1 {
        return binary::decode(oid, bytes);
    }
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| SqlError::new(*b"22021", "invalid byte sequence for encoding \"UTF8\""))?;
    parse(oid, text)
}

/// From text, as the input function of the type reads it.
pub fn parse(oid: u32, text: &str) -> Result<ScalarValue, SqlError> {
    let Some(found) = postgres_type_of_oid(oid) else {
        return Ok(ScalarValue::Utf8(Some(text.to_owned())));
    };
    let wrong = || {
        let message = format!(
            "invalid input syntax for type {}: \"{text}\"",
            found.long_name
        );
        SqlError::new(*b"22P02", message)
    };
    if let Some(element) = found.element {
        return array(element, text);
    }
    let trimmed = text.trim();
    Ok(match found.name {
        "bool" => {
            let value = match trimmed.to_ascii_lowercase().as_str() {
                "t" | "tr" | "tru" | "true" | "y" | "ye" | "yes" | "on" | "1" => true,
                "f" | "fa" | "fal" | "fals" | "false" | "n" | "no" | "of" | "off" | "0" => false,
                _ => return Err(wrong()),
            };
            ScalarValue::Boolean(Some(value))
        }
        "int2" | "int4" | "int8" | "oid" => {
            let value: i128 = trimmed.parse().map_err(|_| wrong())?;
            let range = || {
                let message = format!(
                    "value \"{text}\" is out of range for type {}",
                    found.long_name
                );
                SqlError::new(*b"22003", message)
            };
            match found.name {
                "int2" => ScalarValue::Int16(Some(value.try_into().map_err(|_| range())?)),
                "int4" => ScalarValue::Int32(Some(value.try_into().map_err(|_| range())?)),
                _ => ScalarValue::Int64(Some(value.try_into().map_err(|_| range())?)),
            }
        }
        "float4" => ScalarValue::Float32(Some(float(trimmed).ok_or_else(wrong)? as f32)),
        "float8" => ScalarValue::Float64(Some(float(trimmed).ok_or_else(wrong)?)),
        "bytea" => ScalarValue::Binary(Some(bytes(text).ok_or_else(wrong)?)),
        "numeric" => numeric(trimmed).ok_or_else(wrong)?,
        "text" | "varchar" | "bpchar" | "name" | "char" | "json" | "jsonb" | "uuid" => {
            ScalarValue::Utf8(Some(text.to_owned()))
        }
        _ => {
            let field = field_of_oid(oid).ok_or_else(wrong)?;
            let words = match found.name {
                "interval" => with_units(trimmed),
                _ => trimmed.to_owned(),
            };
            let value = ScalarValue::Utf8(Some(words));
            value.cast_to(field.data_type()).map_err(|_| {
                let sqlstate = match found.name {
                    "date" | "time" | "timestamp" | "timestamptz" | "interval" => *b"22007",
                    _ => *b"22P02",
                };
                SqlError::new(sqlstate, wrong().message)
            })?
        }
    })
}

/// `2 days 0:00:03` as `2 days 0 hours 00 minutes 03 seconds`: hours of one digit are not known where it is read.
fn with_units(text: &str) -> String {
    let words = text.split_whitespace().map(|word| {
        let (sign, clock) = match word.strip_prefix('-') {
            Some(clock) => ("-", clock),
            None => ("", word.trim_start_matches('+')),
        };
        let parts: Vec<&str> = clock.split(':').collect();
        match parts[..] {
            [hours, minutes] => format!("{sign}{hours} hours {sign}{minutes} minutes"),
            [hours, minutes, seconds] => {
                format!("{sign}{hours} hours {sign}{minutes} minutes {sign}{seconds} seconds")
            }
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn float(text: &str) -> Option<f64> {
    match text.to_ascii_lowercase().as_str() {
        "infinity" | "inf" | "+infinity" => Some(f64::INFINITY),
        "-infinity" | "-inf" => Some(f64::NEG_INFINITY),
        "nan" => Some(f64::NAN),
        lower => lower.parse().ok(),
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    if let Some(hex) = text.strip_prefix("\\x") {
        let hex: Vec<u8> = hex
            .bytes()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        let pairs = hex.chunks(2).map(|pair| {
            let pair = std::str::from_utf8(pair)
                .ok()
                .filter(|pair| pair.len() == 2)?;
            u8::from_str_radix(pair, 16).ok()
        });
        return pairs.collect();
    }
    let mut found = Vec::new();
    let mut rest = text.as_bytes();
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

/// With as many places as are written.
fn numeric(text: &str) -> Option<ScalarValue> {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.bytes().filter(u8::is_ascii_digit).count() == 0 {
        return None;
    }
    let value: i128 = digits.parse().ok()?;
    let places = i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?;
    let zeros = u32::try_from(-places.min(0)).ok()?;
    let value = value.checked_mul(10_i128.checked_pow(zeros)?)?;
    let scale = i8::try_from(places.max(0))
        .ok()
        .filter(|scale| *scale <= 38)?;
    (value.unsigned_abs() < 10_u128.pow(38)).then_some(ScalarValue::Decimal128(
        Some(value),
        38,
        scale,
    ))
}

/// `{1,2,NULL}`, of one dimension.
fn array(element: u32, text: &str) -> Result<ScalarValue, SqlError> {
    let malformed = || SqlError::new(*b"22P02", format!("malformed array literal: \"{text}\""));
    let inner = text
        .trim()
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'));
    let inner = inner.ok_or_else(malformed)?;
    let data_type = field_of_oid(element).map_or(DataType::Utf8, |field| field.data_type().clone());
    let mut values = Vec::new();
    let mut characters = inner.trim().chars().peekable();
    let mut is_more = characters.peek().is_some();
    while is_more {
        is_more = false;
        let mut word = String::new();
        let (mut is_quoted, mut is_closed) = (false, false);
        while let Some(character) = characters.next() {
            match character {
                ',' => {
                    is_more = true;
                    break;
                }
                blank if blank.is_whitespace() && (word.is_empty() || is_closed) => {}
                _ if is_closed => return Err(malformed()),
                '"' if word.is_empty() => {
                    (is_quoted, is_closed) = (true, true);
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
            parse(element, word)?.cast_to(&data_type)?
        });
    }
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(
        &values, &data_type,
    )))
}
