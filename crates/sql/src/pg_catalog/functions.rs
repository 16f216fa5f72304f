//! Functions of PostgreSQL's about its own relations.

use std::{
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use arrow::{array::ArrayRef, datatypes::DataType};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{
    OWNER, SCHEMAS,
    objects::{
        Index, Object, find, find_index, find_type, format_type, indexes, quote_ident,
        quote_literal,
    },
};
use crate::{
    backend::SqlError,
    error::carried,
    functions::{Functions, spread},
};

type Body = fn(&[Object], &[ScalarValue]) -> Result<ScalarValue, SqlError>;

/// A function of one row's values, and of what there is.
struct Lookup {
    name: &'static str,
    signature: Signature,
    answer: DataType,
    objects: Arc<Vec<Object>>,
    body: Body,
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Lookup {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && Arc::ptr_eq(&self.objects, &other.objects)
    }
}

impl Eq for Lookup {}

impl Hash for Lookup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Lookup {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.answer.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let is_constant = args
            .args
            .iter()
            .all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if is_constant { 1 } else { args.number_rows };
        let arrays = args.args.iter().map(|value| spread(value, rows));
        let arrays = arrays.collect::<Result<Vec<ArrayRef>, _>>()?;
        let values = (0..rows).map(|row| {
            let values = arrays
                .iter()
                .map(|array| ScalarValue::try_from_array(array, row));
            let values = values.collect::<Result<Vec<_>, _>>()?;
            (self.body)(&self.objects, &values).map_err(carried)
        });
        let mut values = values.collect::<Result<Vec<_>, _>>()?;
        if is_constant && let Some(value) = values.pop() {
            return Ok(ColumnarValue::Scalar(value));
        }
        if values.is_empty() {
            return Ok(ColumnarValue::Array(arrow::array::new_empty_array(
                &self.answer,
            )));
        }
        Ok(ColumnarValue::Array(ScalarValue::iter_to_array(values)?))
    }
}

/// All that need more than their arguments' values, by name.
pub fn all(objects: &Arc<Vec<Object>>) -> Functions {
    let texts: [(&'static str, Body); 10] = [
        ("format_type", |_, values| {
            Ok(text(
                oid(values, 0).map(|oid| format_type(oid, integer(values, 1))),
            ))
        }),
        ("pg_get_userbyid", |_, values| {
            Ok(text(oid(values, 0).map(|_| OWNER.1.to_owned())))
        }),
        ("pg_get_viewdef", |objects, values| {
            // By number or by name.
            let found = match string(values, 0) {
                Some(name) if name.parse::<u32>().is_err() => find(objects, name),
                _ => by_oid(objects, values),
            };
            Ok(text(
                found.and_then(|object| Some(format!(" {};", object.query()?))),
            ))
        }),
        ("pg_get_indexdef", |objects, values| {
            let Some((of, index)) = by_index(objects, values) else {
                return Ok(text(None));
            };
            let column = integer(values, 1).unwrap_or(0);
            if column == 0 {
                let is_pretty = boolean(values, 2);
                return Ok(text(Some(of.index_definition(index, is_pretty))));
            }
            // A number that no column has gives a text without letters, as in PostgreSQL.
            let at = usize::try_from(column - 1).unwrap_or(usize::MAX);
            let name = of.columns_of(index).nth(at).map(|(name, _)| name);
            Ok(text(Some(name.map(quote_ident).unwrap_or_default())))
        }),
        ("pg_get_constraintdef", |objects, values| {
            let primary = by_index(objects, values).filter(|(_, index)| index.is_primary);
            let shown = primary.map(|(of, key)| format!("PRIMARY KEY ({})", of.column_list(key)));
            Ok(text(shown))
        }),
        ("forebay_regclass_text", |objects, values| {
            let shown = |oid: u32| {
                let found = objects.iter().find(|object| object.oid == oid);
                let found = found.map(Object::shown);
                let index = || indexes(objects).find(|(_, index)| index.oid == oid);
                found
                    .or_else(|| index().map(|(_, index)| quote_ident(&index.name)))
                    .unwrap_or_else(|| oid_text(oid))
            };
            Ok(text(oid(values, 0).map(shown)))
        }),
        ("forebay_regtype_text", |_, values| {
            Ok(text(oid(values, 0).map(
                |oid| match format_type(oid, None).as_str() {
                    "???" => oid.to_string(),
                    name => name.to_owned(),
                },
            )))
        }),
        ("forebay_regnamespace_text", |_, values| {
            let name = |oid: u32| {
                let found = SCHEMAS.iter().find(|(known, _)| *known == oid);
                found.map_or_else(|| oid_text(oid), |(_, name)| (*name).to_owned())
            };
            Ok(text(oid(values, 0).map(name)))
        }),
        ("quote_ident", |_, values| {
            Ok(text(string(values, 0).map(quote_ident)))
        }),
        ("quote_literal", |_, values| {
            Ok(text(string(values, 0).map(quote_literal)))
        }),
    ];
    let numbers: [(&'static str, Body); 5] = [
        ("forebay_regclass", |objects, values| {
            regclass(objects, values, true)
        }),
        ("to_regclass", |objects, values| {
            regclass(objects, values, false)
        }),
        ("forebay_regtype", |_, values| regtype(values, true)),
        ("to_regtype", |_, values| regtype(values, false)),
        ("forebay_regnamespace", |_, values| {
            let Some(name) = string(values, 0) else {
                return Ok(number(oid(values, 0)));
            };
            if let Ok(oid) = name.parse() {
                return Ok(number(Some(oid)));
            }
            let found = SCHEMAS
                .iter()
                .find(|(_, known)| *known == name.trim_matches('"'));
            let missing = || SqlError::new(*b"3F000", format!("schema \"{name}\" does not exist"));
            Ok(number(Some(found.ok_or_else(missing)?.0)))
        }),
    ];
    let visible: Body = |objects, values| {
        let found = oid(values, 0).map(|oid| {
            let object = objects.iter().find(|object| object.oid == oid);
            object.is_none_or(Object::is_visible)
        });
        Ok(ScalarValue::Boolean(found))
    };
    let visible = [("pg_table_is_visible", DataType::Boolean, visible)];
    let texts = texts.map(|(name, body)| (name, DataType::Utf8, body));
    let numbers = numbers.map(|(name, body)| (name, DataType::Int64, body));
    let all = texts
        .into_iter()
        .chain(numbers)
        .chain(visible)
        .map(|(name, answer, body)| {
            let lookup = Lookup {
                name,
                signature: Signature::variadic_any(Volatility::Immutable),
                answer,
                objects: objects.clone(),
                body,
            };
            (name.to_owned(), Arc::new(ScalarUDF::new_from_impl(lookup)))
        });
    all.collect::<BTreeMap<_, _>>()
}

fn text(value: Option<String>) -> ScalarValue {
    ScalarValue::Utf8(value)
}

fn number(value: Option<u32>) -> ScalarValue {
    ScalarValue::Int64(value.map(i64::from))
}

/// No relation has number 0.
fn oid_text(oid: u32) -> String {
    if oid == 0 {
        "-".to_owned()
    } else {
        oid.to_string()
    }
}

fn string(values: &[ScalarValue], at: usize) -> Option<&str> {
    values
        .get(at)
        .and_then(|value| value.try_as_str().flatten())
}

fn oid(values: &[ScalarValue], at: usize) -> Option<u32> {
    if let Some(text) = string(values, at) {
        return text.trim().parse().ok();
    }
    let value = values.get(at)?.cast_to(&DataType::Int64).ok()?;
    match value {
        ScalarValue::Int64(Some(value)) => u32::try_from(value).ok(),
        _ => None,
    }
}

fn integer(values: &[ScalarValue], at: usize) -> Option<i32> {
    let value = values.get(at)?.cast_to(&DataType::Int32).ok()?;
    match value {
        ScalarValue::Int32(value) => value,
        _ => None,
    }
}

fn boolean(values: &[ScalarValue], at: usize) -> bool {
    matches!(values.get(at), Some(ScalarValue::Boolean(Some(true))))
}

fn by_oid<'o>(objects: &'o [Object], values: &[ScalarValue]) -> Option<&'o Object> {
    let oid = oid(values, 0)?;
    objects.iter().find(|object| object.oid == oid)
}

fn by_index<'o>(objects: &'o [Object], values: &[ScalarValue]) -> Option<(&'o Object, &'o Index)> {
    let oid = oid(values, 0)?;
    indexes(objects).find(|(_, index)| index.oid == oid)
}

fn regclass(
    objects: &[Object],
    values: &[ScalarValue],
    must_exist: bool,
) -> Result<ScalarValue, SqlError> {
    let Some(name) = string(values, 0) else {
        return Ok(number(oid(values, 0)));
    };
    if let Ok(oid) = name.trim().parse() {
        return Ok(number(Some(oid)));
    }
    let found = find(objects, name).map(|object| object.oid);
    let found = found.or_else(|| find_index(objects, name).map(|index| index.oid));
    let found = found.or((name.trim() == "-").then_some(0));
    if found.is_none() && must_exist {
        let message = format!("relation \"{name}\" does not exist");
        return Err(SqlError::new(*b"42P01", message));
    }
    Ok(number(found))
}

fn regtype(values: &[ScalarValue], must_exist: bool) -> Result<ScalarValue, SqlError> {
    let Some(name) = string(values, 0) else {
        return Ok(number(oid(values, 0)));
    };
    if let Ok(oid) = name.trim().parse() {
        return Ok(number(Some(oid)));
    }
    let found = find_type(name).map(|found| found.oid);
    let found = found.or((name.trim() == "-").then_some(0));
    if found.is_none() && must_exist {
        let message = format!("type \"{name}\" does not exist");
        return Err(SqlError::new(*b"42704", message));
    }
    Ok(number(found))
}
