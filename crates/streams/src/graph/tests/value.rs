//! Rows as plain values, and as deltas.

use std::{cmp::Ordering, collections::BTreeMap, sync::Arc};

use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, ListArray,
    RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray, UInt64Array,
    builder::{Int64Builder, ListBuilder},
    cast::AsArray,
    types::{Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type},
};
use arrow_schema::{DataType, SchemaRef, TimeUnit};

use crate::Delta;

/// Sorted as PostgreSQL does: null last, NaN behind all numbers.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Bool(bool),
    Int(i64),
    Decimal(i128),
    Float(f64),
    Text(String),
    Time(i64),
    List(Vec<Value>),
    Null,
}

pub(super) type Row = Vec<Value>;

impl Value {
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Null => 1,
            _ => 0,
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Int(a), Self::Int(b)) | (Self::Time(a), Self::Time(b)) => a.cmp(b),
            (Self::Decimal(a), Self::Decimal(b)) => a.cmp(b),
            (Self::Float(a), Self::Float(b)) => match (a.is_nan(), b.is_nan()) {
                (false, false) => a.partial_cmp(b).expect("neither is NaN"),
                (a, b) => a.cmp(&b),
            },
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

pub(super) fn to_delta(schema: &SchemaRef, rows: &[(Row, i64)]) -> Delta {
    let columns = schema.fields().iter().enumerate();
    let columns: Vec<ArrayRef> = columns
        .map(|(at, field)| to_column(field.data_type(), rows.iter().map(|(row, _)| &row[at])))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)
        .expect("rows of the schema");
    Delta::new(batch, rows.iter().map(|(_, weight)| *weight).collect())
}

macro_rules! column {
    ($values:expr, $array:ty, $variant:ident) => {
        $values
            .map(|value| match value {
                Value::$variant(value) => Some(value.clone()),
                _ => None,
            })
            .collect::<$array>()
    };
}

pub(super) fn to_column<'a>(
    data_type: &DataType,
    values: impl Iterator<Item = &'a Value>,
) -> ArrayRef {
    match data_type {
        DataType::Boolean => Arc::new(column!(values, BooleanArray, Bool)),
        DataType::Int64 => Arc::new(column!(values, Int64Array, Int)),
        DataType::Float64 => Arc::new(column!(values, Float64Array, Float)),
        DataType::Utf8 => Arc::new(column!(values, StringArray, Text)),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Arc::new(column!(values, TimestampMicrosecondArray, Time))
        }
        DataType::Decimal128(precision, scale) => {
            let array = column!(values, Decimal128Array, Decimal);
            Arc::new(
                array
                    .with_precision_and_scale(*precision, *scale)
                    .expect("a type"),
            )
        }
        DataType::List(_) => {
            let mut lists = ListBuilder::new(Int64Builder::new());
            for value in values {
                let Value::List(elements) = value else {
                    lists.append(false);
                    continue;
                };
                for element in elements {
                    lists.values().append_option(match element {
                        Value::Int(value) => Some(*value),
                        _ => None,
                    });
                }
                lists.append(true);
            }
            Arc::new(lists.finish())
        }
        other => panic!("no test makes columns of {other}"),
    }
}

pub(super) fn to_value(column: &dyn Array, row: usize) -> Value {
    if column.is_null(row) {
        return Value::Null;
    }
    match column.data_type() {
        DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
        DataType::Int64 => Value::Int(column.as_primitive::<Int64Type>().value(row)),
        DataType::UInt64 => {
            let array: &UInt64Array = column.as_primitive::<UInt64Type>();
            Value::Int(i64::try_from(array.value(row)).expect("small in tests"))
        }
        DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            Value::Time(column.as_primitive::<TimestampMicrosecondType>().value(row))
        }
        DataType::Decimal128(..) => {
            Value::Decimal(column.as_primitive::<Decimal128Type>().value(row))
        }
        DataType::List(_) => {
            let lists: &ListArray = column.as_list();
            let elements = lists.value(row);
            Value::List(
                (0..elements.len())
                    .map(|at| to_value(elements.as_ref(), at))
                    .collect(),
            )
        }
        other => panic!("no test reads columns of {other}"),
    }
}

pub(super) fn to_row(batch: &RecordBatch, row: usize) -> Row {
    batch
        .columns()
        .iter()
        .map(|column| to_value(column.as_ref(), row))
        .collect()
}

/// Adds the delta's rows to a sum, and to the list of all that came out.
pub(super) fn add_delta(sum: &mut BTreeMap<Row, i64>, all: &mut Vec<(Row, i64)>, delta: &Delta) {
    for row in 0..delta.len() {
        let weight = delta.weight(row);
        let values = to_row(delta.rows(), row);
        all.push((values.clone(), weight));
        *sum.entry(values.clone()).or_default() += weight;
        if sum[&values] == 0 {
            sum.remove(&values);
        }
    }
}
