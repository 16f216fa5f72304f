//! Names, columns and types of the system relations, and rows of them as arrays.

use std::sync::{Arc, LazyLock};

use arrow::{
    array::{
        ArrayRef, BooleanArray, Float32Array, Float64Array, Int16Array, Int32Array, Int64Array,
        ListBuilder, PrimitiveBuilder, RecordBatch, RecordBatchOptions, StringArray,
        TimestampMicrosecondArray,
    },
    datatypes::{ArrowPrimitiveType, DataType, Field, Int16Type, Int64Type, Schema, SchemaRef},
};

use super::{Row, Value};
use crate::{
    backend::SqlError,
    column_type::{field_of_oid, postgres_types},
};

/// A system relation.
#[derive(Debug)]
pub struct Table {
    /// `pg_catalog.pg_class`.
    pub full_name: String,
    pub schema: SchemaRef,
}

pub static TABLES: LazyLock<Vec<Table>> = LazyLock::new(|| {
    let lines = include_str!("relations.txt").lines();
    lines
        .filter(|line| !line.starts_with('#'))
        .map(table)
        .collect()
});

/// `schema.name|column:type column:type`.
fn table(line: &str) -> Table {
    let (name, columns) = line
        .split_once('|')
        .expect("the file has a bar in each line");
    let fields = columns.split(' ').map(|column| {
        let (name, of) = column.split_once(':').expect("each column has a type");
        let oid = postgres_types()
            .find(|found| found.name == of)
            .map(|found| found.oid);
        let field = oid
            .and_then(field_of_oid)
            .expect("the file names types there are");
        field.with_name(name).with_nullable(true)
    });
    Table {
        full_name: name.to_owned(),
        schema: Arc::new(Schema::new(fields.collect::<Vec<Field>>())),
    }
}

impl Table {
    pub fn schema_name(&self) -> &str {
        self.full_name.split('.').next().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.full_name.split('.').nth(1).unwrap_or_default()
    }

    pub fn batch(&self, rows: Vec<Row>) -> Result<RecordBatch, SqlError> {
        let is_zero_filled = self.schema_name() == "pg_catalog";
        let fields = self.schema.fields().iter();
        let columns = fields.map(|field| {
            let empty = if is_zero_filled {
                zero(field.data_type())
            } else {
                Value::Null
            };
            let values = rows
                .iter()
                .map(|row| row.get(field.name().as_str()).unwrap_or(&empty));
            array(field.data_type(), values)
        });
        let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
        let columns = columns.collect::<Vec<_>>();
        Ok(RecordBatch::try_new_with_options(
            self.schema.clone(),
            columns,
            &options,
        )?)
    }
}

/// What PostgreSQL's own relations have where there is nothing to say.
fn zero(data_type: &DataType) -> Value {
    match data_type {
        DataType::Boolean => Value::Bool(false),
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Value::Int(0),
        DataType::Float32 | DataType::Float64 => Value::Float(0.0),
        _ => Value::Null,
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(value) => Some(*value),
        Value::Int(value) => Some(*value as f64),
        _ => None,
    }
}

fn array<'a>(data_type: &DataType, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(values.map(|value| match value {
            Value::Bool(value) => Some(*value),
            _ => None,
        }))),
        DataType::Int16 => Arc::new(Int16Array::from_iter(
            values.map(|value| int(value).and_then(|value| value.try_into().ok())),
        )),
        DataType::Int32 => Arc::new(Int32Array::from_iter(
            values.map(|value| int(value).and_then(|value| value.try_into().ok())),
        )),
        DataType::Int64 => Arc::new(Int64Array::from_iter(values.map(int))),
        DataType::Float32 => Arc::new(Float32Array::from_iter(
            values.map(|value| float(value).map(|value| value as f32)),
        )),
        DataType::Float64 => Arc::new(Float64Array::from_iter(values.map(float))),
        DataType::Timestamp(_, zone) => Arc::new(
            TimestampMicrosecondArray::from_iter(values.map(int)).with_timezone_opt(zone.clone()),
        ),
        DataType::List(element) => list(element, values),
        DataType::Utf8 => Arc::new(StringArray::from_iter(values.map(|value| match value {
            Value::Text(text) => Some(text.as_str()),
            _ => None,
        }))),
        // Of types that nothing here has values of.
        other => arrow::array::new_null_array(other, values.count()),
    }
}

fn list<'a>(element: &Arc<Field>, values: impl Iterator<Item = &'a Value>) -> ArrayRef {
    match element.data_type() {
        DataType::Int16 => {
            integers::<Int16Type>(element, values, |value| value.try_into().unwrap_or(0))
        }
        DataType::Int64 => integers::<Int64Type>(element, values, |value| value),
        _ => arrow::array::new_null_array(&DataType::List(element.clone()), values.count()),
    }
}

fn integers<'a, T: ArrowPrimitiveType>(
    element: &Arc<Field>,
    values: impl Iterator<Item = &'a Value>,
    narrow: impl Fn(i64) -> T::Native,
) -> ArrayRef {
    let mut builder = ListBuilder::new(PrimitiveBuilder::<T>::new()).with_field(element.clone());
    for value in values {
        match value {
            Value::Ints(numbers) => {
                numbers
                    .iter()
                    .for_each(|number| builder.values().append_value(narrow(*number)));
                builder.append(true);
            }
            _ => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}
