//! Documents of JSON by the text of their parts: numbers keep the digits they are written with. And `jsonb` as PostgreSQL
//! writes it: each member once, the shorter names first, one space behind commas and colons.

use std::{collections::BTreeMap, fmt::Write};

use serde_json::{Value, value::RawValue};

use crate::column_type::COLUMN_BYTES_MAX;

/// Of what is nested in a document.
const DEPTH_MAX: usize = 128;
/// Digits that a number with an exponent is written out with.
const DIGITS_MAX: usize = 64;

/// The document as its own part; `None` where it is none. Whether its strings are texts shows when they are read.
#[must_use]
pub fn document(text: &str) -> Option<&RawValue> {
    let mut depth = 0_usize;
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_text => is_escaped = true,
            b'"' => is_text = !is_text,
            b'[' | b'{' if !is_text => depth += 1,
            b']' | b'}' if !is_text => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEPTH_MAX {
            return None;
        }
    }
    serde_json::from_str(text).ok()
}

/// What `json_typeof` says.
#[must_use]
pub fn kind(part: &RawValue) -> &'static str {
    match part.get().as_bytes().first() {
        Some(b'n') => "null",
        Some(b't' | b'f') => "boolean",
        Some(b'"') => "string",
        Some(b'[') => "array",
        Some(b'{') => "object",
        _ => "number",
    }
}

/// Of an array.
#[must_use]
pub fn elements(part: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(part.get()).ok()
}

/// Of an object; of members with the same name the last.
#[must_use]
pub fn members(part: &RawValue) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_str(part.get()).ok()
}

/// A part that is a string, without its quotes, or the part as it is written; `None` of null.
#[must_use]
pub fn text_of(part: &RawValue) -> Option<String> {
    match kind(part) {
        "null" => None,
        "string" => serde_json::from_str(part.get()).ok(),
        _ => Some(part.get().to_owned()),
    }
}

/// As `jsonb` is written; `None` where a string is no text, or has a zero byte, and where that is more than a column holds.
#[must_use]
pub fn jsonb(part: &RawValue) -> Option<String> {
    let mut out = String::with_capacity(part.get().len());
    write(part, &mut out)?;
    Some(out)
}

fn write(part: &RawValue, out: &mut String) -> Option<()> {
    if out.len() > COLUMN_BYTES_MAX {
        return None;
    }
    match kind(part) {
        "array" => {
            out.push('[');
            for (at, element) in elements(part)?.into_iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                write(element, out)?;
            }
            out.push(']');
        }
        "object" => {
            out.push('{');
            let members = members(part)?.into_iter().collect();
            for (at, (name, value)) in each_once(members).iter().enumerate() {
                out.push_str(if at > 0 { ", " } else { "" });
                quote(without_zero(name)?, out);
                out.push_str(": ");
                write(value, out)?;
            }
            out.push('}');
        }
        "string" => quote(without_zero(&text_of(part)?)?, out),
        "number" => number(part.get(), out),
        _ => out.push_str(part.get()),
    }
    Some(())
}

fn without_zero(text: &str) -> Option<&str> {
    (!text.contains('\0')).then_some(text)
}

/// With its exponent written out.
pub fn number(text: &str, out: &mut String) {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    let places = exponent.parse::<i64>().ok().and_then(|exponent| {
        let point = exponent.checked_add(i64::try_from(whole.len()).ok()?)?;
        let most = i64::try_from(DIGITS_MAX.max(digits.len())).ok()?;
        (point.abs() <= most).then_some(point)
    });
    let Some(point) = places else {
        return out.push_str(text);
    };
    if digits.bytes().any(|digit| digit != b'0') {
        out.push_str(sign);
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let length = i64::try_from(digits.len()).unwrap_or(0);
    let digits = format!("{}{digits}{}", zeros(1 - point), zeros(point - length));
    let (whole, part) = digits.split_at(usize::try_from(point.max(1)).unwrap_or(1));
    let short = whole.trim_start_matches('0');
    out.push_str(if short.is_empty() { "0" } else { short });
    if !part.is_empty() {
        out.push('.');
        out.push_str(part);
    }
}

/// The last of each name; shorter names first, and by their bytes.
#[must_use]
pub fn each_once<T>(mut members: Vec<(String, T)>) -> Vec<(String, T)> {
    members.reverse();
    members.sort_by(|(one, _), (other, _)| (one.len(), one).cmp(&(other.len(), other)));
    members.dedup_by(|(later, _), (kept, _)| later == kept);
    members
}

pub fn quote(text: &str, out: &mut String) {
    let _ = write!(out, "{}", Value::from(text));
}
