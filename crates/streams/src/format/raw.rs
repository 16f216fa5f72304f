//! Records whose value is a single column, as it is.

use arrow_array::{Array, cast::AsArray};
use arrow_schema::{DataType, SchemaRef};

use super::{
    Failure, FormatError, Reason,
    column::{Column, Values},
    text,
};

/// Whether rows of this schema can be had so.
pub(super) fn check(schema: &SchemaRef) -> Result<(), FormatError> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    column(schema, &all).map(|_| ())
}

/// The only column.
pub(super) fn column(schema: &SchemaRef, columns: &[usize]) -> Result<usize, FormatError> {
    let [column] = columns else {
        return Err(FormatError::RawColumns {
            columns: columns.len(),
        });
    };
    let field = schema.field(*column);
    match field.data_type() {
        DataType::Utf8 | DataType::Binary => Ok(*column),
        other => Err(FormatError::Type {
            column: field.name().clone(),
            data_type: other.clone(),
        }),
    }
}

/// Fills each column that is read: the only one, or none at all.
pub(super) fn decode(value: &[u8], columns: &mut [Column]) -> Result<(), Failure> {
    for (at, column) in columns.iter_mut().enumerate() {
        let failure = |reason| Failure::new(0, reason).of(at);
        match &mut column.values {
            Values::Binary(slices) => slices.push(value),
            Values::Text(slices) | Values::Json(slices) => {
                std::str::from_utf8(value).map_err(|error| Failure {
                    at: error.valid_up_to(),
                    ..failure(Reason::Utf8)
                })?;
                text::without_nul(value).map_err(failure)?;
                slices.push(value);
            }
            _ => return Err(failure(Reason::NotA(column.type_name()))),
        }
        column.end_value();
    }
    Ok(())
}

/// A null is an empty value.
pub(super) fn encode(column: &dyn Array, row: usize, out: &mut Vec<u8>) {
    if column.is_null(row) {
        return;
    }
    match column.as_string_opt::<i32>() {
        Some(text) => out.extend_from_slice(text.value(row).as_bytes()),
        None => out.extend_from_slice(column.as_binary::<i32>().value(row)),
    }
}
