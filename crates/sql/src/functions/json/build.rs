//! JSON made of values: `to_json`, `json_build_object`, `json_build_array`, what `json_agg` and `json_object_agg` are made of,
//! and each of them as `jsonb`.
//!
//! `json` is the text that was put together, with the spaces that Postgres puts there; `jsonb` has each member once, the
//! shorter names first, and one space behind each comma and colon.

use std::{fmt::Write, hash::Hash, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringBuilder},
    datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type},
};
use datafusion_common::DataFusionError;
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, Volatility,
};

use super::jsonb;
use crate::{
    column_type::{TYPE_KEY, marked},
    error::{carried, raise, sqlstate},
    functions::{bounded::column_holds, define::on_arrays},
    text::{
        self, Style,
        json::{self, each_once, quote},
    },
};

/// Lists and rows within lists that are written.
const DEPTH_MAX: usize = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum What {
    /// Null of null.
    Value,
    Object,
    Array,
    /// Of an array that an aggregate makes: null as well.
    Element,
    /// Of an object that an aggregate makes.
    Member,
    /// Around elements and members.
    Elements,
    Members,
}

pub fn all() -> impl Iterator<Item = Arc<ScalarUDF>> {
    let of = |what, name, is_binary| {
        let signature = match what {
            What::Value | What::Element => TypeSignature::Any(1),
            What::Member => TypeSignature::Any(2),
            What::Elements | What::Members => TypeSignature::Exact(vec![DataType::Utf8]),
            What::Object | What::Array => {
                TypeSignature::OneOf(vec![TypeSignature::VariadicAny, TypeSignature::Nullary])
            }
        };
        Arc::new(ScalarUDF::new_from_impl(Build {
            name,
            what,
            is_binary,
            signature: Signature::new(signature, Volatility::Immutable),
        }))
    };
    [
        of(What::Value, "to_json", false),
        of(What::Value, "array_to_json", false),
        of(What::Value, "to_jsonb", true),
        of(What::Object, "json_build_object", false),
        of(What::Object, "jsonb_build_object", true),
        of(What::Array, "json_build_array", false),
        of(What::Array, "jsonb_build_array", true),
        of(What::Element, "json_element", false),
        of(What::Element, "jsonb_element", true),
        of(What::Member, "json_member", false),
        of(What::Member, "jsonb_member", true),
        of(What::Elements, "json_elements", false),
        of(What::Elements, "jsonb_elements", true),
        of(What::Members, "json_members", false),
        of(What::Members, "jsonb_members", true),
    ]
    .into_iter()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Build {
    name: &'static str,
    what: What,
    is_binary: bool,
    signature: Signature,
}

impl ScalarUDFImpl for Build {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(DataType::Utf8)
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef, DataFusionError> {
        let field = Field::new(self.name, DataType::Utf8, true);
        // Parts of a document are none.
        Ok(Arc::new(match self.what {
            What::Member => field,
            _ if self.is_binary => marked(field, "jsonb"),
            _ => marked(field, "json"),
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let fields = args.arg_fields.clone();
        let rows = args.number_rows;
        on_arrays(&args, |arrays| {
            let rows = arrays.first().map_or(rows, |array| array.len());
            let mut builder = StringBuilder::new();
            let mut out = String::new();
            for row in 0..rows {
                out.clear();
                let values: Vec<Value> = fields
                    .iter()
                    .zip(arrays)
                    .map(|(field, array)| Value { field, array, row })
                    .collect();
                let is_null = values.first().is_some_and(Value::is_null);
                if is_null && matches!(self.what, What::Value | What::Elements | What::Members) {
                    builder.append_null();
                    continue;
                }
                self.write(&values, &mut out)?;
                column_holds(builder.values_slice().len() + out.len())?;
                builder.append_value(&out);
            }
            Ok(Arc::new(builder.finish()))
        })
    }
}

impl Build {
    fn write(&self, values: &[Value], out: &mut String) -> Result<(), DataFusionError> {
        match (self.what, values) {
            (What::Value | What::Element, [value]) => value.write(self.is_binary, 0, out),
            (What::Member, [name, value]) => {
                let name = name
                    .key()?
                    .ok_or_else(|| invalid("field name must not be null"))?;
                quote(&name, out);
                out.push_str(if self.is_binary { ": " } else { " : " });
                value.write(self.is_binary, 0, out)
            }
            (What::Elements, [elements]) => {
                let _ = write!(out, "[{}]", elements.text());
                Ok(())
            }
            (What::Members, [members]) if self.is_binary => {
                let whole = format!("{{{}}}", members.text());
                out.push_str(&jsonb(&whole)?);
                Ok(())
            }
            (What::Members, [members]) => {
                let _ = write!(out, "{{ {} }}", members.text());
                Ok(())
            }
            (What::Array, _) => {
                out.push('[');
                for (at, value) in values.iter().enumerate() {
                    out.push_str(if at > 0 { ", " } else { "" });
                    value.write(self.is_binary, 0, out)?;
                    column_holds(out.len())?;
                }
                out.push(']');
                Ok(())
            }
            (What::Object, _) => self.object(values, out),
            _ => Err(DataFusionError::Internal("its arguments".to_owned())),
        }
    }

    fn object(&self, values: &[Value], out: &mut String) -> Result<(), DataFusionError> {
        if values.len() % 2 == 1 {
            return Err(invalid("argument list must have even number of elements"));
        }
        let mut members = Vec::with_capacity(values.len() / 2);
        let mut bytes = 0;
        for (at, pair) in values.chunks_exact(2).enumerate() {
            let name = pair[0].key()?.ok_or_else(|| {
                invalid(&format!("argument {}: key must not be null", 2 * at + 1))
            })?;
            let mut value = String::new();
            pair[1].write(self.is_binary, 0, &mut value)?;
            bytes += name.len() + value.len();
            column_holds(bytes)?;
            members.push((name, value));
        }
        let colon = match self.is_binary {
            true => {
                members = each_once(members);
                ": "
            }
            false => " : ",
        };
        join_members(&members, ", ", colon, out);
        Ok(())
    }
}

fn join_members(members: &[(String, String)], comma: &str, colon: &str, out: &mut String) {
    out.push('{');
    for (at, (name, value)) in members.iter().enumerate() {
        out.push_str(if at > 0 { comma } else { "" });
        quote(name, out);
        out.push_str(colon);
        out.push_str(value);
    }
    out.push('}');
}

fn invalid(message: &str) -> DataFusionError {
    raise(sqlstate::INVALID_PARAMETER_VALUE, message)
}

/// One of a column's.
struct Value<'a> {
    field: &'a Field,
    array: &'a ArrayRef,
    row: usize,
}

impl Value<'_> {
    fn is_null(&self) -> bool {
        self.array.is_null(self.row) || *self.array.data_type() == DataType::Null
    }

    /// Of a column of texts.
    fn text(&self) -> &str {
        self.array.as_string::<i32>().value(self.row)
    }

    fn is_json(&self) -> bool {
        let of = self.field.metadata().get(TYPE_KEY);
        of.is_some_and(|of| of == "json" || of == "jsonb")
    }

    fn plain(&self) -> Result<String, DataFusionError> {
        let mut out = Vec::new();
        let (array, style) = (self.array.as_ref(), Style::default());
        text::write(self.field, array, self.row, &style, &mut out).map_err(carried)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    /// A member's name.
    fn key(&self) -> Result<Option<String>, DataFusionError> {
        if self.is_null() {
            return Ok(None);
        }
        if self.is_json() || self.array.data_type().is_nested() {
            return Err(invalid(
                "key value must be scalar, not array, composite, or json",
            ));
        }
        match self.array.data_type() {
            DataType::Boolean => Ok(Some(self.array.as_boolean().value(self.row).to_string())),
            _ => self.plain().map(Some),
        }
    }

    fn write(
        &self,
        is_binary: bool,
        depth: usize,
        out: &mut String,
    ) -> Result<(), DataFusionError> {
        if self.is_null() {
            out.push_str("null");
            return Ok(());
        }
        if depth > DEPTH_MAX {
            let message = "lists within lists are too deep";
            return Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
        }
        let row = self.row;
        match self.array.data_type() {
            DataType::Utf8 if self.is_json() && is_binary => out.push_str(&jsonb(self.text())?),
            DataType::Utf8 if self.is_json() => out.push_str(self.text()),
            DataType::Boolean => {
                let _ = write!(out, "{}", self.array.as_boolean().value(row));
            }
            DataType::Float32
                if !self
                    .array
                    .as_primitive::<Float32Type>()
                    .value(row)
                    .is_finite() =>
            {
                quote(&self.plain()?, out);
            }
            DataType::Float64
                if !self
                    .array
                    .as_primitive::<Float64Type>()
                    .value(row)
                    .is_finite() =>
            {
                quote(&self.plain()?, out);
            }
            of if of.is_numeric() && is_binary => json::number(&self.plain()?, out),
            of if of.is_numeric() => out.push_str(&self.plain()?),
            DataType::Timestamp(_, zone) => {
                let mut text = self.plain()?.replacen(' ', "T", 1);
                if zone.is_some() {
                    text.push_str(":00");
                }
                quote(&text, out);
            }
            DataType::List(element) => {
                let elements = self.array.as_list::<i32>().value(row);
                out.push('[');
                for row in 0..elements.len() {
                    let comma = if is_binary { ", " } else { "," };
                    out.push_str(if row > 0 { comma } else { "" });
                    let (field, array) = (element, &elements);
                    Value { field, array, row }.write(is_binary, depth + 1, out)?;
                    column_holds(out.len())?;
                }
                out.push(']');
            }
            DataType::Struct(fields) => {
                let columns = self.array.as_struct().columns();
                let mut members = Vec::with_capacity(fields.len());
                for (field, array) in fields.iter().zip(columns) {
                    let mut text = String::new();
                    Value { field, array, row }.write(is_binary, depth + 1, &mut text)?;
                    members.push((field.name().clone(), text));
                }
                match is_binary {
                    true => join_members(&each_once(members), ", ", ": ", out),
                    false => join_members(&members, ",", ":", out),
                }
            }
            _ => quote(&self.plain()?, out),
        }
        Ok(())
    }
}
