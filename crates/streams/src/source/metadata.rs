//! Rows of values, with columns of the records themselves among their columns.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray,
    builder::{BinaryBuilder, StringBuilder},
};
use arrow_schema::{DataType, FieldRef, Schema, SchemaRef, TimeUnit};

use super::SourceReader;
use crate::{
    definition::{Metadata, Source},
    format::{CHUNK_BYTES, Decoder, Format, FormatError, Known, Malformed, Reason, RecordView},
};

/// What the log says of a record that has no time.
const NO_TIMESTAMP: i64 = -1;

/// See the module head.
pub(super) struct RowDecoder {
    values: Decoder,
    columns: Vec<MetadataColumn>,
    /// Of the records whose rows have not come out.
    key_bytes: usize,
    /// Of the rows that come out.
    schema: SchemaRef,
}

struct MetadataColumn {
    place: usize,
    field: FieldRef,
    values: Values,
}

enum Values {
    Timestamp(Vec<Option<i64>>),
    Partition(Vec<i32>),
    Offset(Vec<i64>),
    Key(BinaryBuilder),
    TextKey(StringBuilder),
}

/// Fails when a column of a source cannot be had: its format has no such, or it says of a record what its type cannot hold.
pub fn check(source: &Source) -> Result<(), FormatError> {
    let all: Vec<usize> = (0..source.schema.fields().len()).collect();
    let reader = SourceReader::of(source, &all);
    RowDecoder::new(&reader, &source.format).map(|_| ())
}

impl RowDecoder {
    pub fn new(reader: &SourceReader, format: &Format) -> Result<Self, FormatError> {
        let values = Decoder::new(format, &reader.schema, &reader.columns)?;
        let mut fields: Vec<FieldRef> = values.schema().fields().iter().cloned().collect();
        let mut columns = Vec::with_capacity(reader.metadata.len());
        for (place, metadata, field) in &reader.metadata {
            fields.insert(*place, field.clone());
            columns.push(MetadataColumn {
                place: *place,
                field: field.clone(),
                values: Values::new(*metadata, field)?,
            });
        }
        Ok(Self {
            values,
            columns,
            key_bytes: 0,
            schema: Arc::new(Schema::new(fields)),
        })
    }

    pub fn know_writers(&mut self, writers: Known) {
        self.values.know_writers(writers);
    }

    /// Lets go of the room that the last chunk took.
    pub fn shrink(&mut self) {
        self.values.shrink();
    }

    pub fn schema_bytes(&self) -> usize {
        self.values.schema_bytes()
    }

    /// One row more, or none.
    pub fn push(&mut self, record: RecordView<'_>) -> Result<(), Malformed> {
        for column in &self.columns {
            column.check(record)?;
        }
        self.values.push(record)?;
        for column in &mut self.columns {
            column.values.push(record);
        }
        if !self.columns.is_empty() {
            self.key_bytes += record.key.map_or(0, <[u8]>::len);
        }
        Ok(())
    }

    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    pub fn is_full(&self) -> bool {
        self.values.is_full() || self.key_bytes >= CHUNK_BYTES
    }

    /// The rows so far, and from the start again.
    pub fn finish(&mut self) -> RecordBatch {
        let rows = self.values.finish();
        self.key_bytes = 0;
        if self.columns.is_empty() {
            return rows;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let mut arrays = rows.columns().to_vec();
        for column in &mut self.columns {
            let array = column.values.finish(column.field.data_type());
            arrays.insert(column.place, array);
        }
        RecordBatch::try_new_with_options(self.schema.clone(), arrays, &options)
            .expect("each column has its field's type and a value for each row")
    }
}

impl MetadataColumn {
    fn check(&self, record: RecordView<'_>) -> Result<(), Malformed> {
        let (Values::TextKey(_), Some(key)) = (&self.values, record.key) else {
            return Ok(());
        };
        let malformed = |at, reason| Malformed::Column {
            column: self.field.name().clone(),
            at,
            reason,
        };
        if let Err(error) = std::str::from_utf8(key) {
            return Err(malformed(error.valid_up_to(), Reason::Utf8));
        }
        match key.iter().position(|byte| *byte == 0) {
            Some(at) => Err(malformed(at, Reason::Nul)),
            None => Ok(()),
        }
    }
}

impl Values {
    fn new(metadata: Metadata, field: &FieldRef) -> Result<Self, FormatError> {
        Ok(match (metadata, field.data_type()) {
            (Metadata::Timestamp, DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                Self::Timestamp(Vec::new())
            }
            (Metadata::Partition, DataType::Int32) => Self::Partition(Vec::new()),
            (Metadata::Offset, DataType::Int64) => Self::Offset(Vec::new()),
            (Metadata::Key, DataType::Binary) => Self::Key(BinaryBuilder::new()),
            (Metadata::Key, DataType::Utf8) => Self::TextKey(StringBuilder::new()),
            (_, other) => {
                return Err(FormatError::FieldType {
                    column: field.name().clone(),
                    data_type: other.clone(),
                });
            }
        })
    }

    fn push(&mut self, record: RecordView<'_>) {
        match self {
            Self::Timestamp(times) => {
                let time = Some(record.timestamp_ms).filter(|time| *time != NO_TIMESTAMP);
                times.push(time.map(|time| time.saturating_mul(1000)));
            }
            Self::Partition(partitions) => partitions.push(record.partition),
            Self::Offset(offsets) => offsets.push(record.offset),
            Self::Key(keys) => keys.append_option(record.key),
            Self::TextKey(keys) => keys.append_option(
                record
                    .key
                    .map(|key| std::str::from_utf8(key).expect("it was looked at")),
            ),
        }
    }

    fn finish(&mut self, data_type: &DataType) -> ArrayRef {
        match self {
            Self::Timestamp(times) => {
                let zone = match data_type {
                    DataType::Timestamp(_, zone) => zone.clone(),
                    _ => None,
                };
                let times = TimestampMicrosecondArray::from(std::mem::take(times));
                Arc::new(times.with_timezone_opt(zone))
            }
            Self::Partition(partitions) => Arc::new(Int32Array::from(std::mem::take(partitions))),
            Self::Offset(offsets) => Arc::new(Int64Array::from(std::mem::take(offsets))),
            Self::Key(keys) => Arc::new(keys.finish()),
            Self::TextKey(keys) => Arc::new(keys.finish()),
        }
    }
}
