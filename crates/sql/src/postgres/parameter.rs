//! Values that a client binds to parameters, in text or binary.

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;

use super::binary;
use crate::{backend::SqlError, column_type::field_of_oid, text};

/// A value for a parameter of this type; format 0 is text, 1 binary.
pub fn decode(oid: u32, format: i16, value: Option<&[u8]>) -> Result<ScalarValue, SqlError> {
    let Some(bytes) = value else {
        let data_type = field_of_oid(oid).map_or(DataType::Utf8, |field| field.data_type().clone());
        return Ok(ScalarValue::try_from(&data_type)?);
    };
    if format == 1 {
        return binary::decode(oid, bytes);
    }
    let text = std::str::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
        .ok_or_else(|| SqlError::new(*b"22021", "invalid byte sequence for encoding \"UTF8\""))?;
    text::read(oid, text)
}
