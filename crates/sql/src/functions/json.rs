//! Postgres's operators on JSON, over text that holds it.

mod build;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray, StringBuilder},
    datatypes::{DataType, Int64Type},
};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::{
    Expr, ExprSchemable, ScalarUDF, Signature, TypeSignature, Volatility,
    expr::ScalarFunction,
    planner::{ExprPlanner, PlannerResult, RawBinaryExpr},
};
use datafusion_sql::sqlparser::ast::BinaryOperator;
use serde_json::{Value, value::RawValue};

use super::define::Function;
use crate::{
    column_type::postgres_type,
    error::{raise, sqlstate},
    text::json,
};

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
            picked(arrays, |value| Some(value.get().to_owned()))
        })
        .marked("json")
        .build(),
        Function::new("jsonb_get", signature(), text, |arrays, _| {
            picked(arrays, |value| Some(json::jsonb(value)))
        })
        .marked("jsonb")
        .build(),
        Function::new("json_get_text", signature(), text, |arrays, _| {
            picked(arrays, json::text_of)
        })
        .build(),
        Function::exact(
            "json_path",
            vec![DataType::Utf8, DataType::Utf8],
            text,
            |arrays, _| followed(arrays, |value| Some(value.get().to_owned())),
        )
        .marked("json")
        .build(),
        Function::exact(
            "jsonb_path",
            vec![DataType::Utf8, DataType::Utf8],
            text,
            |arrays, _| followed(arrays, |value| Some(json::jsonb(value))),
        )
        .marked("jsonb")
        .build(),
        Function::exact(
            "json_path_text",
            vec![DataType::Utf8, DataType::Utf8],
            text,
            |arrays, _| followed(arrays, json::text_of),
        )
        .build(),
        Function::exact(
            "json_contains",
            vec![DataType::Utf8, DataType::Utf8],
            |_| Ok(DataType::Boolean),
            |arrays, _| compared(arrays, |whole, part| Ok(contains(whole, &parsed(part)?))),
        )
        .build(),
        Function::exact(
            "json_contained",
            vec![DataType::Utf8, DataType::Utf8],
            |_| Ok(DataType::Boolean),
            |arrays, _| compared(arrays, |part, whole| Ok(contains(&parsed(whole)?, part))),
        )
        .build(),
        Function::exact(
            "json_exists",
            vec![DataType::Utf8, DataType::Utf8],
            |_| Ok(DataType::Boolean),
            |arrays, _| compared(arrays, |value, name| Ok(has_name(value, name))),
        )
        .build(),
        Function::new("jsonb_typeof", one(), text, |arrays, _| {
            each(arrays, |_, value| Some(json::kind(value).to_owned()))
        })
        .alias("json_typeof")
        .build(),
        Function::new("jsonb_array_length", one(), whole, |arrays, _| {
            lengths(arrays)
        })
        .alias("json_array_length")
        .build(),
    ]
    .into_iter()
    .chain(build::all())
    .collect()
}

fn invalid() -> DataFusionError {
    raise(
        sqlstate::INVALID_TEXT_REPRESENTATION,
        "invalid input syntax for type json",
    )
}

fn document(text: &str) -> Result<&RawValue, DataFusionError> {
    json::document(text).ok_or_else(invalid)
}

fn each(
    arrays: &[ArrayRef],
    pick: impl Fn(usize, &RawValue) -> Option<String>,
) -> Result<ArrayRef, DataFusionError> {
    let documents: &StringArray = arrays[0].as_string();
    let mut builder = StringBuilder::new();
    for row in 0..documents.len() {
        if arrays.iter().any(|array| array.is_null(row)) {
            builder.append_null();
            continue;
        }
        builder.append_option(pick(row, document(documents.value(row))?));
    }
    Ok(Arc::new(builder.finish()))
}

fn lengths(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let documents: &StringArray = arrays[0].as_string();
    let counts = documents.iter().map(|text| {
        let Some(text) = text else {
            return Ok(None);
        };
        let elements = json::elements(document(text)?).ok_or_else(|| {
            raise(
                sqlstate::INVALID_PARAMETER_VALUE,
                "cannot get array length of a non-array",
            )
        })?;
        Ok(i64::try_from(elements.len()).ok())
    });
    Ok(Arc::new(
        counts.collect::<Result<Int64Array, DataFusionError>>()?,
    ))
}

/// By a member's name or an element's place; null is no SQL null in `->`, but one in `->>`.
fn picked(
    arrays: &[ArrayRef],
    show: impl Fn(&RawValue) -> Option<String>,
) -> Result<ArrayRef, DataFusionError> {
    let is_place = *arrays[1].data_type() == DataType::Int64;
    each(arrays, |row, whole| {
        let found = if is_place {
            element(whole, arrays[1].as_primitive::<Int64Type>().value(row))
        } else {
            let name: &StringArray = arrays[1].as_string();
            json::members(whole)?.get(name.value(row)).copied()
        };
        show(found?)
    })
}

/// From the end when negative.
fn element(whole: &RawValue, at: i64) -> Option<&RawValue> {
    let elements = json::elements(whole)?;
    let at = if at < 0 {
        at.checked_add(i64::try_from(elements.len()).ok()?)?
    } else {
        at
    };
    elements.get(usize::try_from(at).ok()?).copied()
}

/// A path is an array's text: `{a,0,b}`.
fn followed(
    arrays: &[ArrayRef],
    show: impl Fn(&RawValue) -> Option<String>,
) -> Result<ArrayRef, DataFusionError> {
    let paths: &StringArray = arrays[1].as_string();
    each(arrays, |row, whole| {
        let path = paths
            .value(row)
            .trim_start_matches('{')
            .trim_end_matches('}');
        let mut at = whole;
        let parts = path.split(',').map(|part| part.trim().trim_matches('"'));
        for part in parts.filter(|_| !path.is_empty()) {
            at = match json::kind(at) {
                "object" => json::members(at)?.get(part).copied()?,
                "array" => element(at, part.parse().ok()?)?,
                _ => return None,
            };
        }
        show(at)
    })
}

fn parsed(text: &str) -> Result<Value, DataFusionError> {
    serde_json::from_str(text).map_err(|_| invalid())
}

/// By two documents, or a document and a name.
fn compared(
    arrays: &[ArrayRef],
    holds: impl Fn(&Value, &str) -> Result<bool, DataFusionError>,
) -> Result<ArrayRef, DataFusionError> {
    let (left, right): (&StringArray, &StringArray) =
        (arrays[0].as_string(), arrays[1].as_string());
    let rows = left.iter().zip(right).map(|pair| match pair {
        (Some(left), Some(right)) => holds(&parsed(left)?, right).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray, _>>()?))
}

/// Whether all that is in `part` is at the same places in `whole`; an array is a set, and may have a single value for an array
/// of it where it is the outermost.
fn contains(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Array(elements), Value::Array(wanted)) => holds_all(elements, wanted),
        (Value::Array(elements), part) if !part.is_object() => elements.contains(part),
        _ => contains_within(whole, part),
    }
}

fn contains_within(whole: &Value, part: &Value) -> bool {
    match (whole, part) {
        (Value::Object(members), Value::Object(wanted)) => wanted.iter().all(|(name, part)| {
            let found = members.get(name);
            found.is_some_and(|found| contains_within(found, part))
        }),
        (Value::Array(elements), Value::Array(wanted)) => holds_all(elements, wanted),
        _ => whole == part,
    }
}

fn holds_all(elements: &[Value], wanted: &[Value]) -> bool {
    let holds = |part| {
        elements
            .iter()
            .any(|element| contains_within(element, part))
    };
    wanted.iter().all(holds)
}

/// Whether it is a member's name, or a text among the elements.
fn has_name(value: &Value, name: &str) -> bool {
    match value {
        Value::Object(members) => members.contains_key(name),
        Value::Array(elements) => elements
            .iter()
            .any(|element| element.as_str() == Some(name)),
        Value::String(text) => text == name,
        _ => false,
    }
}

/// Makes calls of `->`, `->>`, `#>`, `#>>`, `@>`, `<@` and `?`.
#[derive(Debug)]
pub struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        binary: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>, DataFusionError> {
        let of_texts = |side: &Expr| Ok::<_, DataFusionError>(side.get_type(schema)?.is_string());
        let is_binary = || {
            let (_, field) = binary.left.to_field(schema)?;
            Ok::<_, DataFusionError>(postgres_type(&field).name == "jsonb")
        };
        let name = match binary.op {
            BinaryOperator::AtArrow if of_texts(&binary.left)? => "json_contains",
            BinaryOperator::ArrowAt if of_texts(&binary.left)? => "json_contained",
            BinaryOperator::Question => "json_exists",
            BinaryOperator::Arrow if is_binary()? => "jsonb_get",
            BinaryOperator::Arrow => "json_get",
            BinaryOperator::LongArrow => "json_get_text",
            BinaryOperator::HashArrow if is_binary()? => "jsonb_path",
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
