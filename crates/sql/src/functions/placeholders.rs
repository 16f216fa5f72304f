//! `format('%s of %I', a, b)`: text with places for values.

use std::{str::Chars, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder},
    compute::cast,
    datatypes::DataType,
};
use datafusion_common::DataFusionError;
use datafusion_expr::{ScalarUDF, Signature, Volatility};

use super::{bounded::column_holds, define::Function};
use crate::{
    error::{raise, sqlstate},
    pg_catalog::{quote_ident, quote_literal},
};

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let any = Signature::variadic_any(Volatility::Immutable);
    vec![
        Function::new(
            "format",
            any,
            |_| Ok(DataType::Utf8),
            |arrays, _| filled(arrays),
        )
        .build(),
    ]
}

fn filled(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let texts = arrays
        .iter()
        .map(|array| cast(array, &DataType::Utf8))
        .collect::<Result<Vec<_>, _>>()?;
    let [format, values @ ..] = texts.as_slice() else {
        return Err(raise(
            sqlstate::UNDEFINED_FUNCTION,
            "function format() does not exist",
        ));
    };
    let mut out = StringBuilder::new();
    for row in 0..format.len() {
        if format.is_null(row) {
            out.append_null();
            continue;
        }
        let value_at = |at: usize| {
            let value = values.get(at)?.as_string::<i32>();
            Some(value.is_valid(row).then(|| value.value(row)))
        };
        let text = with_values(format.as_string::<i32>().value(row), value_at)?;
        column_holds(out.values_slice().len() + text.len())?;
        out.append_value(text);
    }
    Ok(Arc::new(out.finish()))
}

fn with_values<'v>(
    format: &str,
    value_at: impl Fn(usize) -> Option<Option<&'v str>>,
) -> Result<String, DataFusionError> {
    let mut out = String::new();
    let mut letters = format.chars();
    let mut next = 0;
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        if let Some(place) = place_in(&mut letters)? {
            next = place;
        }
        let kind = letters.next();
        if kind == Some('%') {
            out.push('%');
            continue;
        }
        column_holds(out.len())?;
        let value = value_at(next).ok_or_else(|| {
            raise(
                sqlstate::INVALID_PARAMETER_VALUE,
                "too few arguments for format()",
            )
        })?;
        next += 1;
        match (kind, value) {
            (Some('s'), value) => out.push_str(value.unwrap_or_default()),
            (Some('I'), Some(value)) => out.push_str(&quote_ident(value)),
            (Some('I'), None) => {
                let message = "null values cannot be formatted as an SQL identifier";
                return Err(raise(*b"22004", message));
            }
            (Some('L'), Some(value)) => out.push_str(&quote_literal(value)),
            (Some('L'), None) => out.push_str("NULL"),
            _ => {
                let message = "unrecognized format() type specifier";
                return Err(raise(sqlstate::INVALID_PARAMETER_VALUE, message));
            }
        }
    }
    Ok(out)
}

/// Of `2$`, from zero.
fn place_in(letters: &mut Chars<'_>) -> Result<Option<usize>, DataFusionError> {
    let rest = letters.as_str();
    let Some((number, behind)) = rest.split_once('$') else {
        return Ok(None);
    };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    *letters = behind.chars();
    let refused = |message| raise(sqlstate::INVALID_PARAMETER_VALUE, message);
    let place: usize = number
        .parse()
        .map_err(|_| refused("number is out of range"))?;
    let place = place.checked_sub(1);
    place
        .map(Some)
        .ok_or_else(|| refused("format specifies argument 0, but arguments are numbered from 1"))
}
