//! Changes of a table as records: what INSERT, UPDATE and DELETE write to the table's own topic.
//!
//! # Layout
//! The value of each record: `version u8 = 1 | weight i64 little-endian | row` (`row` as `crate::row` says). No key.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;

use crate::{Delta, delta::CHUNK_ROWS, format::FormatError, row::RowCodec};

const VERSION: u8 = 1;
const ROW_AT: usize = 9;

/// A table's log holds something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("version {0:?} of a change is unknown")]
    Version(Option<u8>),
    #[error("a change of {0} bytes is cut off, or counts nothing")]
    Short(usize),
    #[error("its row is of another shape: {0}")]
    Row(String),
}

/// Values of records back to changes.
pub struct ChangesDecoder {
    schema: SchemaRef,
    codec: RowCodec,
    values: Vec<Vec<u8>>,
    weights: Vec<i64>,
}

impl ChangesDecoder {
    pub fn new(schema: &SchemaRef) -> Result<Self, FormatError> {
        Ok(Self {
            codec: codec(schema)?,
            schema: Arc::clone(schema),
            values: Vec::new(),
            weights: Vec::new(),
        })
    }

    pub fn push(&mut self, value: &[u8]) -> Result<(), Damaged> {
        if value.first() != Some(&VERSION) {
            return Err(Damaged::Version(value.first().copied()));
        }
        let weight = value.get(1..ROW_AT).ok_or(Damaged::Short(value.len()))?;
        let weight = i64::from_le_bytes(weight.try_into().expect("eight bytes"));
        if weight == 0 {
            return Err(Damaged::Short(value.len()));
        }
        self.values.push(value[ROW_AT..].to_vec());
        self.weights.push(weight);
        Ok(())
    }

    #[must_use]
    pub fn is_full(&self) -> bool {
        self.values.len() >= CHUNK_ROWS
    }

    /// The changes so far, and from the start again.
    pub fn finish(&mut self) -> Result<Option<Delta>, Damaged> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let rows = std::mem::take(&mut self.values);
        let columns = self.codec.decode(rows.iter().map(Vec::as_slice));
        let columns = columns.map_err(|error| Damaged::Row(error.to_string()))?;
        let rows = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Damaged::Row(error.to_string()))?;
        let weights = std::mem::take(&mut self.weights);
        Ok(Some(Delta::new(rows, weights)))
    }
}

/// The value of a record for each row of a change.
pub fn encode(delta: &Delta) -> Result<Vec<Vec<u8>>, FormatError> {
    let rows = codec(delta.rows().schema_ref())?.encode(delta.rows().columns(), delta.len());
    let values = rows.iter().enumerate().map(|(at, row)| {
        let mut value = Vec::with_capacity(ROW_AT + row.len());
        value.push(VERSION);
        value.extend_from_slice(&delta.weight(at).to_le_bytes());
        value.extend_from_slice(row);
        value
    });
    Ok(values.collect())
}

fn codec(schema: &SchemaRef) -> Result<RowCodec, FormatError> {
    let types = schema.fields().iter().map(|field| field.data_type());
    RowCodec::ascending(types).map_err(|unsupported| FormatError::Type {
        column: String::new(),
        data_type: unsupported.0,
    })
}
