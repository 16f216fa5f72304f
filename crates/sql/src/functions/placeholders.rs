//! `format('%s of %I', a, b)`: text with places for values.

use std::sync::Arc;

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
        let values = values.iter().map(|value| {
            let value = value.as_string::<i32>();
            value.is_valid(row).then(|| value.value(row))
        });
        let text = with_values(format.as_string::<i32>().value(row), values)?;
        column_holds(out.values_slice().len() + text.len())?;
        out.append_value(text);
    }
    Ok(Arc::new(out.finish()))
}

fn with_values<'v>(
    format: &str,
    mut values: impl Iterator<Item = Option<&'v str>>,
) -> Result<String, DataFusionError> {
    let mut out = String::new();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        if letter != '%' {
            out.push(letter);
            continue;
        }
        let kind = letters.next();
        if kind == Some('%') {
            out.push('%');
            continue;
        }
        column_holds(out.len())?;
        let value = values.next().ok_or_else(|| {
            raise(
                sqlstate::INVALID_PARAMETER_VALUE,
                "too few arguments for format()",
            )
        })?;
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
