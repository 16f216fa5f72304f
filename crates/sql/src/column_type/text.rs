//! Values as Postgres prints and reads them.

use arrow::array::ArrayRef;
use datafusion_common::ScalarValue;

use crate::backend::SqlError;

pub fn value_to_text(_array: &ArrayRef, _row: usize, _out: &mut String) -> bool {
    false
}

pub fn value_from_text(_field: &arrow::datatypes::Field, _text: &str) -> Result<ScalarValue, SqlError> {
    Err(SqlError::unsupported("text"))
}

pub fn csv_field(_text: &str, _out: &mut String) {}
