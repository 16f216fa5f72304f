//! Rows as a client wants them: what columns are called and typed, values in text or binary.

use arrow::{
    array::{Array, ArrayRef, RecordBatch},
    datatypes::{Schema, SchemaRef},
};

use super::{binary, message::ColumnDescription};
use crate::{
    backend::SqlError,
    column_type::postgres_type,
    text::{self, Style},
};

/// As many as a row's count of columns can say, and Postgres takes.
const COLUMNS_MAX: usize = 1664;

/// How to tell a client of columns.
pub fn described<'a>(
    schema: &'a Schema,
    formats: &[i16],
) -> Result<Vec<ColumnDescription<'a>>, SqlError> {
    if schema.fields().len() > COLUMNS_MAX {
        let message = format!("target lists can have at most {COLUMNS_MAX} entries");
        return Err(SqlError::new(*b"54011", message));
    }
    let columns = schema.fields().iter().enumerate();
    Ok(columns
        .map(|(at, field)| {
            let found = postgres_type(field);
            ColumnDescription {
                name: field.name(),
                type_oid: found.oid,
                type_size: found.length,
                type_modifier: found.modifier,
                is_binary: is_binary(formats, at),
            }
        })
        .collect())
}

fn is_binary(formats: &[i16], column: usize) -> bool {
    match formats {
        [] => false,
        [all] => *all == 1,
        each => each.get(column) == Some(&1),
    }
}

/// Columns of some rows, in canonical types.
pub struct Columns(Vec<ArrayRef>);

impl Columns {
    pub fn new(batch: &RecordBatch) -> Result<Self, SqlError> {
        let columns = batch.columns().iter().map(binary::canonical_array);
        Ok(Self(columns.collect::<Result<_, _>>()?))
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Writes values as asked for.
pub struct Encoder {
    schema: SchemaRef,
    is_binary: Vec<bool>,
    style: Style,
}

impl Encoder {
    pub fn new(schema: &SchemaRef, formats: &[i16], style: &Style) -> Self {
        let columns = 0..schema.fields().len();
        Self {
            schema: schema.clone(),
            is_binary: columns.map(|column| is_binary(formats, column)).collect(),
            style: *style,
        }
    }

    /// Appends a value; false: it is null.
    pub fn encode(
        &self,
        columns: &Columns,
        column: usize,
        row: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, SqlError> {
        let array = &columns.0[column];
        if array.is_null(row) {
            return Ok(false);
        }
        let field = self.schema.field(column);
        if self.is_binary[column] {
            binary::encode(field, array.as_ref(), row, out)?;
        } else {
            text::write(field, array.as_ref(), row, &self.style, out)?;
        }
        Ok(true)
    }
}
