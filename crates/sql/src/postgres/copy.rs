//! Rows as COPY writes them: lines with tabs and backslashes, CSV, or binary.

mod fields;
mod reader;
#[cfg(test)]
mod tests;

use arrow::datatypes::Schema;

use super::encoding::{Columns, Encoder};
use crate::{
    backend::SqlError,
    statement::{CopyFormat, CopyHeader, CopyKind},
};
pub use reader::CopyReader;

/// What begins all that is copied in binary.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Rows for a client.
pub struct CopyWriter<'a>(pub &'a CopyFormat);

impl CopyWriter<'_> {
    pub fn is_binary(&self) -> bool {
        self.0.kind == CopyKind::Binary
    }

    /// What stands before all rows, if something does.
    pub fn header(&self, schema: &Schema) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        if self.is_binary() {
            // No flags, and nothing of later versions.
            line.extend(SIGNATURE.iter().chain(&[0; 8]));
        } else if self.0.header != CopyHeader::Absent {
            for (at, field) in schema.fields().iter().enumerate() {
                self.separate(at, &mut line);
                self.value(field.name().as_bytes(), &mut line);
            }
            line.push(b'\n');
        }
        (!line.is_empty()).then_some(line)
    }

    /// What stands behind them.
    pub fn trailer(&self) -> Option<Vec<u8>> {
        self.is_binary().then(|| (-1_i16).to_be_bytes().to_vec())
    }

    pub fn row(
        &self,
        encoder: &Encoder,
        columns: &Columns,
        row: usize,
    ) -> Result<Vec<u8>, SqlError> {
        let mut line = Vec::new();
        let mut value = Vec::new();
        if self.is_binary() {
            line.extend((columns.len() as u16).to_be_bytes());
        }
        for column in 0..columns.len() {
            value.clear();
            let is_there = encoder.encode(columns, column, row, &mut value)?;
            if self.is_binary() {
                let length = if is_there {
                    value.len() as u32
                } else {
                    u32::MAX
                };
                line.extend(length.to_be_bytes());
                line.extend(&value);
                continue;
            }
            self.separate(column, &mut line);
            if is_there {
                self.value(&value, &mut line);
            } else {
                line.extend(self.0.null.as_bytes());
            }
        }
        if !self.is_binary() {
            line.push(b'\n');
        }
        Ok(line)
    }

    fn separate(&self, column: usize, line: &mut Vec<u8>) {
        if column > 0 {
            line.push(self.0.delimiter);
        }
    }

    fn value(&self, value: &[u8], line: &mut Vec<u8>) {
        if self.0.kind == CopyKind::Csv {
            self.csv(value, line);
            return;
        }
        for byte in value {
            let escaped = match byte {
                b'\\' => b'\\',
                b'\t' => b't',
                b'\n' => b'n',
                b'\r' => b'r',
                8 => b'b',
                11 => b'v',
                12 => b'f',
                other if *other == self.0.delimiter => *other,
                plain => {
                    line.push(*plain);
                    continue;
                }
            };
            line.extend([b'\\', escaped]);
        }
    }

    /// Quoted where it must be, and where without quotes it would be null.
    fn csv(&self, value: &[u8], line: &mut Vec<u8>) {
        let CopyFormat {
            delimiter,
            quote,
            escape,
            ..
        } = *self.0;
        let special = |byte: &u8| *byte == delimiter || *byte == quote || b"\n\r".contains(byte);
        let is_null = value == self.0.null.as_bytes();
        if !is_null && !value.iter().any(special) && value != b"\\." {
            line.extend(value);
            return;
        }
        line.push(quote);
        for byte in value {
            if *byte == quote || *byte == escape {
                line.push(escape);
            }
            line.push(*byte);
        }
        line.push(quote);
    }
}
