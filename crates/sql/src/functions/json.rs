//! Postgres's operators on JSON, over text that holds it.

mod build;
mod sets;
mod tree;

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
use serde_json::value::RawValue;

use self::tree::Tree;
use super::{bounded::column_holds, define::Function};
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
            picked(arrays, json::jsonb)
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
            |arrays, _| followed(arrays, json::jsonb),
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
            |arrays, _| compared(arrays, Tree::contains),
        )
        .build(),
        Function::exact(
            "json_contained",
            vec![DataType::Utf8, DataType::Utf8],
            |_| Ok(DataType::Boolean),
            |arrays, _| compared(arrays, |part, whole| whole.contains(part)),
        )
        .build(),
        Function::exact(
            "json_exists",
            vec![DataType::Utf8, DataType::Utf8],
            |_| Ok(DataType::Boolean),
            |arrays, _| named(arrays),
        )
        .build(),
        Function::exact(
            "jsonb_concat",
            vec![DataType::Utf8, DataType::Utf8],
            text,
            |arrays, _| merged(arrays),
        )
        .marked("jsonb")
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
    .chain(sets::all())
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

fn jsonb(text: &str) -> Result<String, DataFusionError> {
    json::jsonb(document(text)?).ok_or_else(invalid)
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
        let picked = pick(row, document(documents.value(row))?);
        let bytes = picked.as_ref().map_or(0, String::len);
        column_holds(builder.values_slice().len() + bytes)?;
        builder.append_option(picked);
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

/// By two documents.
fn compared(
    arrays: &[ArrayRef],
    holds: impl Fn(&Tree, &Tree) -> Result<bool, DataFusionError>,
) -> Result<ArrayRef, DataFusionError> {
    let (left, right): (&StringArray, &StringArray) =
        (arrays[0].as_string(), arrays[1].as_string());
    let tree = |text: &str| Tree::of(document(text)?).ok_or_else(invalid);
    let rows = left.iter().zip(right).map(|pair| match pair {
        (Some(left), Some(right)) => holds(&tree(left)?, &tree(right)?).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<BooleanArray, _>>()?))
}

/// Whether names are among the members, or texts among the elements.
fn named(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let (documents, names): (&StringArray, &StringArray) =
        (arrays[0].as_string(), arrays[1].as_string());
    let rows = documents.iter().zip(names).map(|pair| {
        let (Some(text), Some(name)) = pair else {
            return Ok(None);
        };
        let whole = document(text)?;
        let is_name = |part: &RawValue| {
            json::kind(part) == "string" && json::text_of(part).is_some_and(|text| text == name)
        };
        Ok(Some(match json::kind(whole) {
            "object" => json::members(whole).ok_or_else(invalid)?.contains_key(name),
            "array" => json::elements(whole).into_iter().flatten().any(is_name),
            _ => is_name(whole),
        }))
    });
    Ok(Arc::new(
        rows.collect::<Result<BooleanArray, DataFusionError>>()?,
    ))
}

/// `a || b` of `jsonb`: members of both, or elements; what is no object beside another is an array of itself.
fn merged(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let (left, right): (&StringArray, &StringArray) =
        (arrays[0].as_string(), arrays[1].as_string());
    let mut builder = StringBuilder::new();
    for pair in left.iter().zip(right) {
        let (Some(left), Some(right)) = pair else {
            builder.append_null();
            continue;
        };
        let (left, right) = (jsonb(left)?, jsonb(right)?);
        let are_objects = left.starts_with('{') && right.starts_with('{');
        let opens = if are_objects { '{' } else { '[' };
        let mut parts = [&left, &right].map(|text| match text.strip_prefix(opens) {
            Some(rest) => &rest[..rest.len() - 1],
            None => text,
        });
        parts.sort_by_key(|part| part.is_empty());
        let between = if parts[1].is_empty() { "" } else { ", " };
        let parts = parts.join(between);
        let text = match are_objects {
            true => jsonb(&format!("{{{parts}}}"))?,
            false => format!("[{parts}]"),
        };
        column_holds(builder.values_slice().len() + text.len())?;
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

/// Makes calls of `->`, `->>`, `#>`, `#>>`, `@>`, `<@`, `?`, and `||` of `jsonb`.
#[derive(Debug)]
pub struct JsonOperators;

impl ExprPlanner for JsonOperators {
    fn plan_binary_op(
        &self,
        binary: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>, DataFusionError> {
        let of_texts = |side: &Expr| Ok::<_, DataFusionError>(side.get_type(schema)?.is_string());
        let is_jsonb = |side: &Expr| {
            let (_, field) = side.to_field(schema)?;
            Ok::<_, DataFusionError>(postgres_type(&field).name == "jsonb")
        };
        let is_binary = || is_jsonb(&binary.left);
        // A text that is written there is a document, too.
        let is_document = |side: &Expr| {
            Ok::<_, DataFusionError>(matches!(side, Expr::Literal(..)) || is_jsonb(side)?)
        };
        let are_documents = || {
            let is_one = is_jsonb(&binary.left)? || is_jsonb(&binary.right)?;
            Ok::<_, DataFusionError>(
                is_one && is_document(&binary.left)? && is_document(&binary.right)?,
            )
        };
        let name = match binary.op {
            BinaryOperator::AtArrow if of_texts(&binary.left)? => "json_contains",
            BinaryOperator::ArrowAt if of_texts(&binary.left)? => "json_contained",
            BinaryOperator::StringConcat if are_documents()? => "jsonb_concat",
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
