//! A column that grows by a value at a time and can take back the last ones.
//!
//! Arrow's builders cannot be shortened; a record that turns out malformed after some of its columns are written must
//! leave no trace.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int16Array, Int32Array, Int64Array, ListArray, StringArray, StructArray,
    Time64MicrosecondArray, TimestampMicrosecondArray,
    types::{Decimal128Type, validate_decimal_precision_and_scale},
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields, TimeUnit};

use super::{CHUNK_BYTES, FormatError};

/// Metadata of fields whose text holds JSON.
const TYPE_KEY: &str = "postgres.type";

/// See the module head.
pub(super) struct Column {
    validity: Validity,
    pub values: Values,
}

/// Which rows are not null. Costs a count only until there is a null.
#[derive(Default)]
struct Validity {
    rows: usize,
    bits: Option<BooleanBufferBuilder>,
}

impl Validity {
    #[inline]
    fn append_valid(&mut self) {
        self.rows += 1;
        if let Some(bits) = &mut self.bits {
            bits.append(true);
        }
    }

    fn append_null(&mut self) {
        let bits = self.bits.get_or_insert_with(|| {
            let mut bits = BooleanBufferBuilder::new(self.rows + 1);
            bits.append_n(self.rows, true);
            bits
        });
        bits.append(false);
        self.rows += 1;
    }

    fn truncate(&mut self, rows: usize) {
        if rows < self.rows {
            self.rows = rows;
            if let Some(bits) = &mut self.bits {
                bits.truncate(rows);
            }
        }
    }

    fn finish(&mut self) -> Option<NullBuffer> {
        self.rows = 0;
        let bits = self
            .bits
            .take()
            .map(|mut bits| NullBuffer::new(bits.finish()));
        bits.filter(|nulls| nulls.null_count() > 0)
    }
}

/// A value for each row, null or not.
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: i8,
    },
    Date(Vec<i32>),
    Time(Vec<i64>),
    Timestamp {
        values: Vec<i64>,
        zone: Option<Arc<str>>,
    },
    Text(Slices),
    /// Text that is any JSON value.
    Json(Slices),
    Binary(Slices),
    List {
        /// Where the elements of each row end.
        ends: Vec<i32>,
        elements: Box<Column>,
        field: FieldRef,
    },
    Struct {
        fields: Fields,
        columns: Vec<Column>,
    },
}

/// Byte strings, one behind the other. `offsets` has one more than there are strings.
pub(super) struct Slices {
    offsets: Vec<i32>,
    pub bytes: Vec<u8>,
}

impl Slices {
    fn new() -> Self {
        Self {
            offsets: vec![0],
            bytes: Vec::new(),
        }
    }

    pub fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
    }

    /// What was added to `bytes` is a string.
    pub fn end(&mut self) {
        let end = i32::try_from(self.bytes.len()).expect("a chunk refuses records beyond 2 GiB");
        self.offsets.push(end);
    }

    /// Bytes that were added since the last string.
    pub fn unfinished(&self) -> &[u8] {
        &self.bytes[self.offsets.last().map_or(0, |end| *end as usize)..]
    }

    /// Forgets bytes that were added since the last string.
    pub fn abandon(&mut self) {
        let end = self.offsets.last().map_or(0, |end| *end as usize);
        self.bytes.truncate(end);
    }

    fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.abandon();
    }

    fn take(&mut self) -> (OffsetBuffer<i32>, Vec<u8>) {
        let offsets = take(&mut self.offsets);
        self.offsets.push(0);
        (
            OffsetBuffer::new(ScalarBuffer::from(offsets)),
            take(&mut self.bytes),
        )
    }
}

/// What it holds; left is room for a little more, or what there was. The last chunk of a stretch is mostly short: it is copied,
/// not to keep memory that it has no use for.
fn take<T: Clone>(values: &mut Vec<T>) -> Vec<T> {
    let (count, room) = (values.len(), values.capacity());
    if count < room / 2 {
        let taken = values.to_vec();
        values.clear();
        values.shrink_to(CHUNK_BYTES / size_of::<T>());
        return taken;
    }
    let room = room.min(count + count / 8);
    std::mem::replace(values, Vec::with_capacity(room))
}

pub(super) fn is_json(field: &Field) -> bool {
    field
        .metadata()
        .get(TYPE_KEY)
        .is_some_and(|name| name == "jsonb")
}

impl Column {
    pub fn new(field: &Field) -> Result<Self, FormatError> {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal128(precision, scale)
                if validate_decimal_precision_and_scale::<Decimal128Type>(*precision, *scale)
                    .is_ok() =>
            {
                Values::Decimal {
                    values: Vec::new(),
                    precision: *precision,
                    scale: *scale,
                }
            }
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time64(TimeUnit::Microsecond) => Values::Time(Vec::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Values::Timestamp {
                values: Vec::new(),
                zone: zone.clone(),
            },
            DataType::Utf8 if is_json(field) => Values::Json(Slices::new()),
            DataType::Utf8 => Values::Text(Slices::new()),
            DataType::Binary => Values::Binary(Slices::new()),
            DataType::List(element) => Values::List {
                ends: Vec::new(),
                elements: Box::new(Self::within(element)?),
                field: element.clone(),
            },
            DataType::Struct(fields) => Values::Struct {
                fields: fields.clone(),
                columns: fields
                    .iter()
                    .map(|field| Self::within(field))
                    .collect::<Result<_, _>>()?,
            },
            other => {
                return Err(FormatError::Type {
                    column: field.name().clone(),
                    data_type: other.clone(),
                });
            }
        };
        Ok(Self {
            validity: Validity::default(),
            values,
        })
    }

    /// Of elements or of a struct: records may always leave them out.
    fn within(field: &Field) -> Result<Self, FormatError> {
        if field.is_nullable() {
            return Self::new(field);
        }
        Err(FormatError::Required {
            column: field.name().clone(),
        })
    }

    #[inline]
    pub fn len(&self) -> usize {
        self.validity.rows
    }

    /// What was added to `values` is a row's value.
    #[inline]
    pub fn end_value(&mut self) {
        self.validity.append_valid();
    }

    pub fn push_null(&mut self) {
        self.validity.append_null();
        match &mut self.values {
            Values::Boolean(values) => values.append(false),
            Values::Int16(values) => values.push(0),
            Values::Int32(values) | Values::Date(values) => values.push(0),
            Values::Int64(values) | Values::Time(values) | Values::Timestamp { values, .. } => {
                values.push(0)
            }
            Values::Float32(values) => values.push(0.0),
            Values::Float64(values) => values.push(0.0),
            Values::Decimal { values, .. } => values.push(0),
            Values::Text(slices) | Values::Json(slices) | Values::Binary(slices) => slices.end(),
            Values::List { ends, elements, .. } => ends.push(elements.len() as i32),
            Values::Struct { columns, .. } => columns.iter_mut().for_each(Self::push_null),
        }
    }

    /// The value of the last row.
    pub fn is_last_null(&self) -> bool {
        let bits = self.validity.bits.as_ref();
        bits.is_some_and(|bits| !bits.is_empty() && !bits.get_bit(bits.len() - 1))
    }

    /// Takes back what lies behind the first `rows`, whole or half-written.
    pub fn truncate(&mut self, rows: usize) {
        self.validity.truncate(rows);
        match &mut self.values {
            Values::Boolean(values) => values.truncate(rows),
            Values::Int16(values) => values.truncate(rows),
            Values::Int32(values) | Values::Date(values) => values.truncate(rows),
            Values::Int64(values) | Values::Time(values) | Values::Timestamp { values, .. } => {
                values.truncate(rows)
            }
            Values::Float32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Decimal { values, .. } => values.truncate(rows),
            Values::Text(slices) | Values::Json(slices) | Values::Binary(slices) => {
                slices.truncate(rows);
            }
            Values::List { ends, elements, .. } => {
                ends.truncate(rows);
                elements.truncate(ends.last().map_or(0, |end| *end as usize));
            }
            Values::Struct { columns, .. } => {
                columns.iter_mut().for_each(|column| column.truncate(rows));
            }
        }
    }

    /// All values, and from the start again.
    pub fn finish(&mut self) -> ArrayRef {
        let rows = self.len();
        let nulls = self.validity.finish();
        match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::Int16(values) => Arc::new(Int16Array::new(take(values).into(), nulls)),
            Values::Int32(values) => Arc::new(Int32Array::new(take(values).into(), nulls)),
            Values::Int64(values) => Arc::new(Int64Array::new(take(values).into(), nulls)),
            Values::Float32(values) => Arc::new(Float32Array::new(take(values).into(), nulls)),
            Values::Float64(values) => Arc::new(Float64Array::new(take(values).into(), nulls)),
            Values::Decimal {
                values,
                precision,
                scale,
            } => Arc::new(
                Decimal128Array::new(take(values).into(), nulls)
                    .with_precision_and_scale(*precision, *scale)
                    .expect("the schema's own precision and scale"),
            ),
            Values::Date(values) => Arc::new(Date32Array::new(take(values).into(), nulls)),
            Values::Time(values) => {
                Arc::new(Time64MicrosecondArray::new(take(values).into(), nulls))
            }
            Values::Timestamp { values, zone } => Arc::new(
                TimestampMicrosecondArray::new(take(values).into(), nulls)
                    .with_timezone_opt(zone.clone()),
            ),
            Values::Text(slices) | Values::Json(slices) => {
                let (offsets, bytes) = slices.take();
                Arc::new(StringArray::new(offsets, bytes.into(), nulls))
            }
            Values::Binary(slices) => {
                let (offsets, bytes) = slices.take();
                Arc::new(BinaryArray::new(offsets, bytes.into(), nulls))
            }
            Values::List {
                ends,
                elements,
                field,
            } => {
                let offsets = std::iter::once(0).chain(take(ends)).collect::<Vec<_>>();
                let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
                let elements = elements.finish();
                Arc::new(ListArray::new(field.clone(), offsets, elements, nulls))
            }
            Values::Struct { fields, columns } => finish_struct(fields, columns, nulls, rows),
        }
    }

    /// What its values are called in reasons.
    pub fn type_name(&self) -> &'static str {
        match &self.values {
            Values::Boolean(_) => "boolean",
            Values::Int16(_) => "smallint",
            Values::Int32(_) => "integer",
            Values::Int64(_) => "bigint",
            Values::Float32(_) => "real",
            Values::Float64(_) => "double precision",
            Values::Decimal { .. } => "numeric",
            Values::Date(_) => "date",
            Values::Time(_) => "time",
            Values::Timestamp { .. } => "timestamp",
            Values::Text(_) => "text",
            Values::Json(_) => "jsonb",
            Values::Binary(_) => "bytea",
            Values::List { .. } => "list",
            Values::Struct { .. } => "struct",
        }
    }

    /// The last list of a list column is complete.
    pub fn end_list(&mut self) {
        if let Values::List { ends, elements, .. } = &mut self.values {
            let end = i32::try_from(elements.len());
            ends.push(
                end.expect("elements take a byte of their record at least, and a chunk has 2 GiB"),
            );
            self.validity.append_valid();
        }
    }

    /// There is more of the last list.
    pub fn reopen_list(&mut self) {
        let rows = self.len().saturating_sub(1);
        if let Values::List { ends, .. } = &mut self.values {
            ends.truncate(rows);
            self.validity.truncate(rows);
        }
    }
}

fn finish_struct(
    fields: &Fields,
    columns: &mut [Column],
    nulls: Option<NullBuffer>,
    rows: usize,
) -> ArrayRef {
    let columns: Vec<ArrayRef> = columns.iter_mut().map(Column::finish).collect();
    let made = StructArray::try_new_with_length(fields.clone(), columns, nulls, rows);
    Arc::new(made.expect("each column has its field's type and a value for each row"))
}
