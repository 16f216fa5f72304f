//! Documents as lists of texts, which the planner takes apart: elements, names, and pairs of a name and a value.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, ListBuilder, StringArray, StringBuilder},
    datatypes::{DataType, Field},
};
use datafusion_common::DataFusionError;
use datafusion_expr::ScalarUDF;
use serde_json::value::RawValue;

use super::{Function, column_holds, document, invalid};
use crate::{
    error::{raise, sqlstate},
    text::json,
};

pub fn all() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let texts = |_: &[DataType]| Ok(DataType::List(Arc::new(item())));
    let one = || vec![DataType::Utf8];
    [
        Function::exact("json_parts", one(), texts, |arrays, _| taken(arrays, parts)).build(),
        Function::exact("json_names", one(), texts, |arrays, _| taken(arrays, names)).build(),
        Function::exact("json_pairs", one(), texts, |arrays, _| taken(arrays, pairs)).build(),
    ]
    .into_iter()
}

fn item() -> Field {
    Field::new_list_field(DataType::Utf8, true)
}

/// Null of null.
fn taken(
    arrays: &[ArrayRef],
    apart: fn(&RawValue) -> Result<Vec<String>, DataFusionError>,
) -> Result<ArrayRef, DataFusionError> {
    let documents: &StringArray = arrays[0].as_string();
    let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item());
    for text in documents {
        let Some(text) = text else {
            lists.append_null();
            continue;
        };
        let texts = apart(document(text)?)?;
        let bytes: usize = texts.iter().map(String::len).sum();
        column_holds(lists.values().values_slice().len() + bytes)?;
        texts
            .iter()
            .for_each(|text| lists.values().append_value(text));
        lists.append(true);
    }
    Ok(Arc::new(lists.finish()))
}

fn parts(whole: &RawValue) -> Result<Vec<String>, DataFusionError> {
    let what = match json::kind(whole) {
        "array" => {
            let elements = json::elements(whole).ok_or_else(invalid)?;
            return Ok(elements.iter().map(|part| part.get().to_owned()).collect());
        }
        "object" => "an object",
        _ => "a scalar",
    };
    let message = format!("cannot extract elements from {what}");
    Err(raise(sqlstate::INVALID_PARAMETER_VALUE, message))
}

/// In the order of `jsonb`.
fn members(whole: &RawValue) -> Result<Vec<(String, &RawValue)>, DataFusionError> {
    match json::kind(whole) {
        "object" => {
            let members = json::members(whole).ok_or_else(invalid)?;
            Ok(json::each_once(members.into_iter().collect()))
        }
        kind => {
            let what = if kind == "array" {
                "an array"
            } else {
                "a scalar"
            };
            let message = format!("cannot take members of {what}");
            Err(raise(sqlstate::INVALID_PARAMETER_VALUE, message))
        }
    }
}

fn names(whole: &RawValue) -> Result<Vec<String>, DataFusionError> {
    Ok(members(whole)?.into_iter().map(|(name, _)| name).collect())
}

/// Each an array of two.
fn pairs(whole: &RawValue) -> Result<Vec<String>, DataFusionError> {
    let pair = |(name, value): (String, &RawValue)| {
        let mut text = String::with_capacity(name.len() + value.get().len() + 6);
        text.push('[');
        json::quote(&name, &mut text);
        text.push_str(", ");
        text.push_str(value.get());
        text.push(']');
        text
    };
    Ok(members(whole)?.into_iter().map(pair).collect())
}
