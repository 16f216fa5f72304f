//! How a record holds a row, and the way from one to the other.
//!
//! # Invariants
//! 1. A record becomes one row or none: what fails half-way leaves no trace in any column (`Decoder::push`).
//! 2. Rows of a chunk cost memory in proportion to their records' bytes and the number of columns, never to what the
//!    bytes claim.
//! 3. What was decoded depends on the record alone, not on the records before it; those only make it faster.
//!
//! # Limits
//! Values nest [`DEPTH_MAX`] levels deep. A chunk is to be finished once [`Decoder::is_full`] says so; its bytes of text
//! never pass 2 GiB, the record that would is refused.

pub mod decimal;
pub mod timestamp;

mod avro;
mod column;
mod csv;
mod framing;
mod json;
mod protobuf;
mod raw;
mod scalar;
mod text;
pub mod writers;

use std::{fmt, sync::Arc};

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Schema, SchemaRef};

use crate::delta::CHUNK_ROWS;
use column::Column;
pub use framing::Framing;
pub use writers::{Known, SchemaText, WriterSchemas};

/// Levels that arrays and objects may nest, the record itself being the first.
pub const DEPTH_MAX: usize = 127;

/// A chunk is full with this much, whatever its rows: a record of ordinary size never comes near.
pub(crate) const CHUNK_BYTES: usize = 4 << 20;

/// See the module head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// An object; a column is what stands at its path, one path for each column of the source. No paths at all: each
    /// column is the member of its name.
    Json {
        paths: Vec<Vec<String>>,
    },
    Csv {
        delimiter: u8,
    },
    /// The value as it is, in a single column of type text or bytea.
    Raw,
    /// A message; a column is the field of its name, or what stands at its path if there are paths.
    Protobuf {
        /// A `.proto` file.
        schema: SchemaText,
        /// The type of the records: a name with package, or without if only one message has it. Empty: the first that the
        /// file declares.
        message: String,
        paths: Vec<Vec<String>>,
        framing: Framing,
    },
    /// A record in binary; a column is the field of its name, or what stands at its path if there are paths.
    Avro {
        /// JSON.
        schema: SchemaText,
        paths: Vec<Vec<String>>,
        framing: Framing,
    },
}

impl Format {
    /// Whether each record tells which schema it was written with.
    #[must_use]
    pub fn names_writers(&self) -> bool {
        match self {
            Self::Json { .. } | Self::Csv { .. } | Self::Raw => false,
            Self::Protobuf { framing, .. } | Self::Avro { framing, .. } => {
                *framing == Framing::Registry
            }
        }
    }

    /// Columns for all that its schema declares, if it has one.
    pub fn implied_schema(&self) -> Result<Option<SchemaRef>, FormatError> {
        match self {
            Self::Json { .. } | Self::Csv { .. } | Self::Raw => Ok(None),
            Self::Protobuf {
                schema, message, ..
            } => protobuf::implied_schema(schema, message).map(Some),
            Self::Avro { schema, .. } => avro::implied_schema(schema).map(Some),
        }
    }
}

/// Columns that a schema implies, while they are made: types that hold themselves would have no end.
#[derive(Default)]
struct Implied {
    depth: usize,
    types: usize,
}

impl Implied {
    const DEPTH_MAX: usize = 8;
    const TYPES_MAX: usize = 4096;

    fn enter(&mut self, name: &str) -> Result<(), FormatError> {
        self.depth += 1;
        self.types += 1;
        if self.depth > Self::DEPTH_MAX || self.types > Self::TYPES_MAX {
            return Err(FormatError::Recursive {
                name: name.to_owned(),
            });
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
    }
}

/// A record as it lies in the log.
#[derive(Clone, Copy, Debug)]
pub struct RecordView<'a> {
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub timestamp_ms: i64,
    pub partition: i32,
    pub offset: i64,
}

/// Why rows cannot be had from such records, or records from such rows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    #[error("column {column}: this format holds no {data_type}")]
    Type { column: String, data_type: DataType },
    #[error("field {column} within a column must be nullable")]
    Required { column: String },
    #[error("{paths} paths for {columns} columns")]
    Paths { paths: usize, columns: usize },
    #[error("column {column}: a path of more than {DEPTH_MAX} members")]
    PathDepth { column: String },
    #[error("column {column}: rows are written flat, a path has one member")]
    NestedPath { column: String },
    #[error("a schema of more than {bytes_max} bytes")]
    SchemaSize { bytes_max: usize },
    #[error("{0}")]
    Schema(#[from] proto_schema::SchemaError),
    #[error("the schema: {0}")]
    Avro(#[from] avro_schema::SchemaError),
    #[error("the schema: {expected} is expected")]
    SchemaJson { expected: &'static str },
    #[error("the schema has no message {name}, or several")]
    Message { name: String },
    #[error("{name} has no end or is too large: name the columns that are wanted")]
    Recursive { name: String },
    #[error("column {column}: {message} has no such field")]
    Field { column: String, message: String },
    #[error("column {column}: the field cannot become {data_type}")]
    FieldType { column: String, data_type: DataType },
    #[error("the delimiter must be an ASCII character other than a quote or a line break")]
    Delimiter,
    #[error("records of this format are read only")]
    NotWritten,
    #[error("raw records hold one column, not {columns}")]
    RawColumns { columns: usize },
}

/// Why a record holds no row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not an error where keys tell which row is gone.
    #[error("the record has no value")]
    Tombstone,
    #[error("at byte {at}: {reason}")]
    Record { at: usize, reason: Reason },
    #[error("column {column}, at byte {at}: {reason}")]
    Column {
        column: String,
        at: usize,
        reason: Reason,
    },
}

impl Malformed {
    /// Whether all that is wrong is that its writer's schema is not known.
    #[must_use]
    pub fn is_of_unknown_writer(&self) -> bool {
        let Self::Record { reason, .. } = self else {
            return false;
        };
        matches!(reason, Reason::UnknownSchema(_))
    }
}

/// What is wrong with a record's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The bytes are no record of the format.
    Utf8,
    End,
    NotAnObject,
    Value,
    MemberName,
    Colon,
    Separator,
    Number,
    Escape,
    Surrogate,
    Control,
    Depth,
    Trailing,
    /// A value does not fit its column.
    NotA(&'static str),
    Range(&'static str),
    Fraction,
    Null,
    Nul,
    Elements,
    Quote,
    Framing,
    OtherMessage,
    Varint,
    WireType,
    Branch,
    NoSize,
    UnknownSchema(u32),
    OtherSchema(u32),
    TooLarge,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Utf8 => "not UTF-8",
            Self::End => "the record ends within a value",
            Self::NotAnObject => "not an object",
            Self::Value => "a value is expected",
            Self::MemberName => "a member's name is expected",
            Self::Colon => "a colon is expected",
            Self::Separator => "a comma or the end is expected",
            Self::Number => "not a number",
            Self::Escape => "no such escape",
            Self::Surrogate => "half of a surrogate pair",
            Self::Control => "a control character within a string",
            Self::Depth => "nested too deep",
            Self::Trailing => "something follows the record",
            Self::Fraction => "a fraction where an integer is expected",
            Self::Null => "null where the column is NOT NULL",
            Self::Nul => "text with the character U+0000",
            Self::Elements => "not as many fields as the source has columns",
            Self::Quote => "a quote or a line break in a field without quotes",
            Self::Framing => "not framed with a schema's number",
            Self::OtherMessage => "a message of another type",
            Self::Varint => "not a number of variable length",
            Self::WireType => "a field of another type on the wire",
            Self::Branch => "no such branch or symbol",
            Self::NoSize => "an element that takes no bytes",
            Self::UnknownSchema(number) => {
                return write!(f, "written with schema {number}, which is not known");
            }
            Self::OtherSchema(number) => {
                return write!(
                    f,
                    "written with schema {number}, which the columns do not fit"
                );
            }
            Self::TooLarge => "too large",
            Self::NotA(wanted) => return write!(f, "not a value of type {wanted}"),
            Self::Range(wanted) => return write!(f, "out of the range of {wanted}"),
        })
    }
}

/// Small on purpose: every function of the decoders returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    at: usize,
    reason: Reason,
    column: Option<u32>,
}

impl Failure {
    #[cold]
    fn new(at: usize, reason: Reason) -> Self {
        Self {
            at,
            reason,
            column: None,
        }
    }

    #[cold]
    fn of(mut self, column: usize) -> Self {
        self.column = Some(column as u32);
        self
    }
}

fn check_paths(paths: &[Vec<String>], schema: &SchemaRef) -> Result<(), FormatError> {
    let columns = schema.fields().len();
    if !paths.is_empty() && paths.len() != columns {
        return Err(FormatError::Paths {
            paths: paths.len(),
            columns,
        });
    }
    Ok(())
}

/// Records in, columns out.
pub struct Decoder {
    /// Of the columns that are read.
    schema: SchemaRef,
    columns: Vec<Column>,
    /// Those that are NOT NULL.
    required: Vec<usize>,
    rows: usize,
    bytes: usize,
    records: Records,
}

fn columns_of(schema: &Schema) -> Result<Vec<Column>, FormatError> {
    let fields = schema.fields().iter();
    fields.map(|field| Column::new(field)).collect()
}

enum Records {
    Json(json::Members),
    Csv(csv::Fields),
    Protobuf(protobuf::Messages),
    Avro(avro::Records),
    Raw,
}

impl Decoder {
    /// Of a source with the columns of `schema` reads `columns`, in this order.
    pub fn new(
        format: &Format,
        schema: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        let records = match format {
            Format::Json { paths } => Records::Json(json::Members::new(paths, schema, columns)?),
            Format::Raw => raw::check(schema).map(|()| Records::Raw)?,
            Format::Protobuf {
                schema: text,
                message,
                paths,
                framing,
            } => {
                let definition = (text, &**message, &**paths, *framing);
                Records::Protobuf(protobuf::Messages::new(definition, schema, columns)?)
            }
            Format::Avro {
                schema: text,
                paths,
                framing,
            } => {
                let definition = (text, &**paths, *framing);
                Records::Avro(avro::Records::new(definition, schema, columns)?)
            }
            Format::Csv { delimiter } => {
                Records::Csv(csv::Fields::new(*delimiter, schema, columns)?)
            }
        };
        let fields = columns.iter().map(|at| schema.fields()[*at].clone());
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let required = (0..columns.len()).filter(|at| !schema.field(*at).is_nullable());
        let required = required.collect();
        Ok(Self {
            columns: columns_of(&schema)?,
            required,
            schema,
            rows: 0,
            bytes: 0,
            records,
        })
    }

    /// One row more, or none.
    pub fn push(&mut self, record: RecordView<'_>) -> Result<(), Malformed> {
        let value = record.value.ok_or(Malformed::Tombstone)?;
        let decoded = if value.len() > i32::MAX as usize - self.bytes {
            Err(Failure::new(0, Reason::TooLarge))
        } else {
            match &mut self.records {
                Records::Json(members) => members.decode(value, &mut self.columns, self.rows),
                Records::Csv(fields) => fields.decode(value, &mut self.columns),
                Records::Protobuf(messages) => messages.decode(value, &mut self.columns, self.rows),
                Records::Avro(records) => records.decode(value, &mut self.columns, self.rows),
                Records::Raw => raw::decode(value, &mut self.columns),
            }
        };
        match decoded.and_then(|()| self.check_required()) {
            Ok(()) => {
                self.rows += 1;
                self.bytes += value.len();
                Ok(())
            }
            Err(failure) => Err(self.undo(failure)),
        }
    }

    fn check_required(&self) -> Result<(), Failure> {
        let mut nulls = self
            .required
            .iter()
            .filter(|at| self.columns[**at].is_last_null());
        match nulls.next() {
            Some(column) => Err(Failure::new(0, Reason::Null).of(*column)),
            None => Ok(()),
        }
    }

    #[cold]
    fn undo(&mut self, failure: Failure) -> Malformed {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
        let Failure { at, reason, column } = failure;
        match column {
            None => Malformed::Record { at, reason },
            Some(column) => Malformed::Column {
                column: self.schema.field(column as usize).name().clone(),
                at,
                reason,
            },
        }
    }

    /// What is known of the schemas that records name by their numbers; without it, none is.
    pub fn know_writers(&mut self, writers: Known) {
        match &mut self.records {
            Records::Avro(records) => records.know_writers(writers),
            Records::Protobuf(messages) => messages.know_writers(writers),
            Records::Json(_) | Records::Csv(_) | Records::Raw => {}
        }
    }

    /// Lets go of the room that the last chunk took.
    pub(crate) fn shrink(&mut self) {
        assert!(self.is_empty(), "its rows would be lost");
        self.columns = columns_of(&self.schema).expect("they could be made before");
    }

    /// Of the texts of schemas that it has looked at, about: what it holds of them is in proportion.
    #[must_use]
    pub fn schema_bytes(&self) -> usize {
        match &self.records {
            Records::Avro(records) => records.schema_bytes(),
            Records::Protobuf(messages) => messages.schema_bytes(),
            Records::Json(_) | Records::Csv(_) | Records::Raw => 0,
        }
    }

    /// Rows since the last chunk.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Whether the chunk is as large as operators like it.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.rows >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    /// Of the chunks that come out.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows so far, and from the start again.
    pub fn finish(&mut self) -> RecordBatch {
        let columns = self.columns.iter_mut().map(Column::finish).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows));
        self.rows = 0;
        self.bytes = 0;
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("each column has its field's type and a value for each row")
    }
}

/// Rows in, values or keys of records out.
pub struct Encoder(Writer);

enum Writer {
    Json(json::Writer),
    Csv(csv::Writer),
    Protobuf(protobuf::Writer),
    Raw(usize),
}

impl Encoder {
    /// Of rows of `schema` writes `columns`, in this order.
    pub fn new(
        format: &Format,
        schema: &SchemaRef,
        columns: &[usize],
    ) -> Result<Self, FormatError> {
        Ok(Self(match format {
            Format::Json { paths } => Writer::Json(json::Writer::new(paths, schema, columns)?),
            Format::Csv { delimiter } => {
                Writer::Csv(csv::Writer::new(*delimiter, schema, columns)?)
            }
            Format::Protobuf {
                schema: text,
                message,
                paths,
                framing: Framing::None,
            } => {
                let definition = (text, &**message, &**paths);
                Writer::Protobuf(protobuf::Writer::new(definition, schema, columns)?)
            }
            Format::Protobuf { .. } | Format::Avro { .. } => return Err(FormatError::NotWritten),
            Format::Raw => Writer::Raw(raw::column(schema, columns)?),
        }))
    }

    /// Adds the row's bytes to `out`. Panics when the rows have other columns than the encoder was made for.
    pub fn encode(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        match &self.0 {
            Writer::Json(writer) => writer.write(rows, row, out),
            Writer::Csv(writer) => writer.write(rows, row, out),
            Writer::Protobuf(writer) => writer.write(rows, row, out),
            Writer::Raw(column) => raw::encode(rows.column(*column), row, out),
        }
    }
}

#[cfg(test)]
mod tests;
