//! Postgres's operators on JSON, over text that holds it.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Int64Array, StringArray, StringBuilder},
    datatypes::{DataType, Int64Type},
};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::{
    Expr, ExprSchemable, ScalarUDF, Signature, TypeSignature, Volatility,
    expr::ScalarFunction,
    planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
};
use datafusion_sql::sqlparser::ast::BinaryOperator;
use serde_json::Value;

use super::define::Function;
use crate::error::{raise, sqlstate};

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let signature = || {
        Signature::one_of(
            vec![
                TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8]),
                TypeSignature::Exact(vec![DataType::Utf8, DataType::Int64]),
            ],
            Volatility::Immutable,
        )
    };
    let text = |_: &[DataType]| Ok(DataType::Utf8);
    let whole = |_: &[DataType]| Ok(DataType::Int64);
    let one = || Signature::exact(vec![DataType::Utf8], Volatility::Immutable);
    vec![
        Function::new("json_get", signature(), text, |arrays, _| {
            picked(arrays, |value| value.to_string())
        })
        .build(),
        Function::new("json_get_text", signature(), text, |arrays, _| {
            picked(arrays, as_text)
        })
        .build(),
        Function::exact(
            "json_path",
            vec![DataType::Utf8, DataType::Utf8],
            text,
            |arrays, _| followed(arrays, |value| value.to_string()),
        )
        .build(),
        Function::exact(
            "json_path_text",
            vec![DataType::Utf8, DataType::Utf8],
            text,
            |arrays, _| followed(arrays, as_text),
        )
        .build(),
        Function::new("jsonb_typeof", one(), text, |arrays, _| {
            each(arrays, |_, value| Some(kind(value).to_owned()))
        })
        .alias("json_typeof")
        .build(),
        Function::new("jsonb_array_length", one(), whole, |arrays, _| {
            lengths(arrays)
        })
        .alias("json_array_length")
        .build(),
    ]
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn parsed(text: &str) -> Result<Value, DataFusionError> {
    serde_json::from_str(text).map_err(|_| {
        raise(
            sqlstate::INVALID_TEXT_REPRESENTATION,
            "invalid input syntax for type json",
        )
    })
}

fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn each(
    arrays: &[ArrayRef],
    pick: impl Fn(usize, &Value) -> Option<String>,
) -> Result<ArrayRef, DataFusionError> {
    let documents: &StringArray = arrays[0].as_string();
    let mut builder = StringBuilder::new();
    for row in 0..documents.len() {
        if arrays.iter().any(|array| array.is_null(row)) {
            builder.append_null();
            continue;
        }
        builder.append_option(pick(row, &parsed(documents.value(row))?));
    }
    Ok(Arc::new(builder.finish()))
}

fn lengths(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let documents: &StringArray = arrays[0].as_string();
    let mut found = Vec::with_capacity(documents.len());
    for document in documents {
        let Some(document) = document else {
            found.push(None);
            continue;
        };
        let Value::Array(elements) = parsed(document)? else {
            return Err(raise(
                sqlstate::INVALID_PARAMETER_VALUE,
                "cannot get array length of a non-array",
            ));
        };
        found.push(i64::try_from(elements.len()).ok());
    }
    Ok(Arc::new(Int64Array::from(found)))
}

/// By a member's name or an element's place; null is no SQL null in `->`, but one in `->>`.
fn picked(
    arrays: &[ArrayRef],
    show: impl Fn(&Value) -> String,
) -> Result<ArrayRef, DataFusionError> {
    let is_place = *arrays[1].data_type() == DataType::Int64;
    each(arrays, |row, value| {
        let found = if is_place {
            element(value, arrays[1].as_primitive::<Int64Type>().value(row))
        } else {
            let key: &StringArray = arrays[1].as_string();
            value
                .as_object()
                .and_then(|object| object.get(key.value(row)))
        }?;
        (!found.is_null()).then(|| show(found))
    })
}

/// From the end when negative.
fn element(value: &Value, at: i64) -> Option<&Value> {
    let elements = value.as_array()?;
    let at = if at < 0 {
        at.checked_add(i64::try_from(elements.len()).ok()?)?
    } else {
        at
    };
    elements.get(usize::try_from(at).ok()?)
}

/// A path is an array's text: `{a,0,b}`.
fn followed(
    arrays: &[ArrayRef],
    show: impl Fn(&Value) -> String,
) -> Result<ArrayRef, DataFusionError> {
    let paths: &StringArray = arrays[1].as_string();
    each(arrays, |row, value| {
        let path = paths
            .value(row)
            .trim_start_matches('{')
            .trim_end_matches('}');
        let mut at = value;
        for part in path.split(',').map(|part| part.trim().trim_matches('"')) {
            at = match at {
                Value::Object(object) => object.get(part)?,
                Value::Array(_) => element(at, part.parse().ok()?)?,
                _ => return None,
            };
        }
        (!at.is_null()).then(|| show(at))
    })
}

/// Makes calls of `->`, `->>`, `#>` and `#>>`.
#[derive(Debug)]
pub struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        binary: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>, DataFusionError> {
        let name = match binary.op {
            BinaryOperator::Arrow => "json_get",
            BinaryOperator::LongArrow => "json_get_text",
            BinaryOperator::HashArrow => "json_path",
            BinaryOperator::HashLongArrow => "json_path_text",
            _ => return Ok(PlannerResult::Original(binary)),
        };
        let right = if binary.right.get_type(schema)?.is_integer() {
            binary.right.cast_to(&DataType::Int64, schema)?
        } else {
            binary.right
        };
        let function = super::scalar(name)
            .ok_or_else(|| DataFusionError::Internal(format!("{name} is one of ours")))?;
        let call = ScalarFunction::new_udf(function, vec![binary.left, right]);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}
