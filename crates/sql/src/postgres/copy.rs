//! Rows as the lines of COPY: tabs and backslashes, or CSV.

use arrow::datatypes::Schema;

use super::encoding::{Columns, Encoder};
use crate::backend::SqlError;

/// See the module head.
pub struct Lines {
    pub is_csv: bool,
    pub has_header: bool,
}

impl Lines {
    pub fn header(&self, schema: &Schema) -> Vec<u8> {
        let mut line = Vec::new();
        for (at, field) in schema.fields().iter().enumerate() {
            self.separate(at, &mut line);
            self.value(field.name().as_bytes(), &mut line);
        }
        line.push(b'\n');
        line
    }

    pub fn line(
        &self,
        encoder: &Encoder,
        columns: &Columns,
        row: usize,
    ) -> Result<Vec<u8>, SqlError> {
        let mut line = Vec::new();
        let mut value = Vec::new();
        for column in 0..columns.len() {
            self.separate(column, &mut line);
            value.clear();
            if encoder.encode(columns, column, row, &mut value)? {
                self.value(&value, &mut line);
            } else if !self.is_csv {
                line.extend(b"\\N");
            }
        }
        line.push(b'\n');
        Ok(line)
    }

    fn separate(&self, column: usize, line: &mut Vec<u8>) {
        if column > 0 {
            line.push(if self.is_csv { b',' } else { b'\t' });
        }
    }

    fn value(&self, value: &[u8], line: &mut Vec<u8>) {
        if self.is_csv {
            csv(value, line);
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
                plain => {
                    line.push(*plain);
                    continue;
                }
            };
            line.extend([b'\\', escaped]);
        }
    }
}

/// Quoted where it must be, and where it is empty: without quotes that is null.
fn csv(value: &[u8], line: &mut Vec<u8>) {
    let special = |byte: &u8| matches!(byte, b',' | b'"' | b'\n' | b'\r');
    if !value.is_empty() && !value.iter().any(special) && value != b"\\." {
        line.extend(value);
        return;
    }
    line.push(b'"');
    for byte in value {
        if *byte == b'"' {
            line.push(b'"');
        }
        line.push(*byte);
    }
    line.push(b'"');
}
