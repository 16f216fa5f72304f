//! Rows of streams: what travels between the parts of an app.

use std::{
    any::Any,
    sync::{Arc, LazyLock},
};

use arrow_array::{
    Array, BinaryArray, BooleanArray, Int32Array, Int64Array, RecordBatch,
    TimestampMicrosecondArray,
    builder::{BinaryBuilder, Int32Builder, Int64Builder, TimestampMicrosecondBuilder},
    cast::AsArray,
    types::{Int32Type, Int64Type, TimestampMicrosecondType},
};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use streams::{Delta, Expression, Fault, delta::CHUNK_ROWS};

pub const OUTPUT: usize = 0;
pub const KEY: usize = 1;
pub const VALUE: usize = 2;
pub const TIME: usize = 3;
pub const PARTITION: usize = 4;
pub const OFFSET: usize = 5;

/// Nobody reads rows of this output: they only say that something happened.
pub const NOBODY: i32 = -1;

/// A chunk is full with so many bytes, whatever its rows.
const CHUNK_BYTES: usize = 4 << 20;

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let field = |name, data_type| Field::new(name, data_type, true);
    Arc::new(Schema::new(vec![
        field("output", DataType::Int32),
        field("key", DataType::Binary),
        field("value", DataType::Binary),
        field("time", time),
        field("partition", DataType::Int32),
        field("offset", DataType::Int64),
    ]))
});

/// Of all streams of apps.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// Where a row comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub time: i64,
    pub partition: i32,
    pub offset: i64,
}

/// Rows while they are made.
pub struct RowsBuilder {
    output: Int32Builder,
    key: BinaryBuilder,
    value: BinaryBuilder,
    time: TimestampMicrosecondBuilder,
    partition: Int32Builder,
    offset: Int64Builder,
    weights: Vec<i64>,
    bytes: usize,
}

impl Default for RowsBuilder {
    fn default() -> Self {
        Self {
            output: Int32Builder::new(),
            key: BinaryBuilder::new(),
            value: BinaryBuilder::new(),
            time: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            partition: Int32Builder::new(),
            offset: Int64Builder::new(),
            weights: Vec::new(),
            bytes: 0,
        }
    }
}

impl RowsBuilder {
    pub fn push(
        &mut self,
        output: i32,
        key: Option<&[u8]>,
        value: &[u8],
        origin: Origin,
        weight: i64,
    ) {
        self.output.append_value(output);
        self.key.append_option(key);
        self.value.append_value(value);
        self.time.append_value(origin.time);
        self.partition.append_value(origin.partition);
        self.offset.append_value(origin.offset);
        self.weights.push(weight);
        self.bytes += key.map_or(0, <[u8]>::len) + value.len();
    }

    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.weights.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    pub fn finish_rows(&mut self) -> (RecordBatch, Vec<i64>) {
        self.bytes = 0;
        let rows = RecordBatch::try_new(
            schema(),
            vec![
                Arc::new(self.output.finish()),
                Arc::new(self.key.finish()),
                Arc::new(self.value.finish()),
                Arc::new(self.time.finish()),
                Arc::new(self.partition.finish()),
                Arc::new(self.offset.finish()),
            ],
        );
        let rows = rows.expect("each column has its type and a value for each row");
        (rows, std::mem::take(&mut self.weights))
    }

    pub fn finish(&mut self) -> Delta {
        let (rows, weights) = self.finish_rows();
        Delta::new(rows, weights)
    }
}

/// The columns of rows that came.
#[derive(Clone)]
pub struct RowsView {
    pub key: BinaryArray,
    pub value: BinaryArray,
    time: TimestampMicrosecondArray,
    partition: Int32Array,
    offset: Int64Array,
}

impl RowsView {
    pub fn of(rows: &RecordBatch) -> Self {
        let time = rows.column(TIME).as_primitive::<TimestampMicrosecondType>();
        Self {
            key: rows.column(KEY).as_binary().clone(),
            value: rows.column(VALUE).as_binary().clone(),
            time: time.clone(),
            partition: rows.column(PARTITION).as_primitive::<Int32Type>().clone(),
            offset: rows.column(OFFSET).as_primitive::<Int64Type>().clone(),
        }
    }

    /// What it keeps from being freed, however little of that it shows.
    pub fn bytes(&self) -> usize {
        let columns: [&dyn Array; 5] = [
            &self.key,
            &self.value,
            &self.time,
            &self.partition,
            &self.offset,
        ];
        let bytes = columns.iter().map(|column| column.get_array_memory_size());
        bytes.sum()
    }

    pub fn origin(&self, row: usize) -> Origin {
        Origin {
            time: self.time.value(row),
            partition: self.partition.value(row),
            offset: self.offset.value(row),
        }
    }
}

/// True for rows of one output.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct IsOutput(pub i32);

/// Which number an output has changes with the program; what it is does not.
impl std::fmt::Debug for IsOutput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IsOutput")
    }
}

impl Expression for IsOutput {
    fn evaluate(&self, rows: &RecordBatch) -> Result<arrow_array::ArrayRef, Fault> {
        let outputs = rows.column(OUTPUT).as_primitive::<Int32Type>();
        let is_it: BooleanArray = outputs
            .iter()
            .map(|output| Some(output == Some(self.0)))
            .collect();
        Ok(Arc::new(is_it))
    }

    fn is_same(&self, other: &dyn Expression) -> bool {
        (other as &dyn Any).downcast_ref::<Self>() == Some(self)
    }
}
