//! Records that are a line of comma-separated values (RFC 4180), a field for each column of the source.
//!
//! As PostgreSQL's COPY reads and writes them: a field is NULL when nothing stands there, not even quotes; a quoted empty
//! field is empty text. A line break may end the record. What stands in a field is described in `text`.

use arrow_array::{RecordBatch, cast::AsArray};
use arrow_schema::{DataType, Field, SchemaRef};

use super::{Failure, FormatError, Reason, column::Column, text};

/// Which columns are read.
pub(super) struct Fields {
    delimiter: u8,
    /// For each column of the source the columns that are it.
    targets: Vec<Vec<usize>>,
    /// Room for fields with quotes.
    scratch: Vec<u8>,
}

impl Fields {
    pub fn new(delimiter: u8, schema: &SchemaRef, columns: &[usize]) -> Result<Self, FormatError> {
        check(delimiter)?;
        let mut targets = vec![Vec::new(); schema.fields().len()];
        for (column, source) in columns.iter().enumerate() {
            scalar(schema.field(*source))?;
            targets[*source].push(column);
        }
        Ok(Self {
            delimiter,
            targets,
            scratch: Vec::new(),
        })
    }

    /// Adds a value to each column. On failure only some may have it.
    pub fn decode(&mut self, record: &[u8], columns: &mut [Column]) -> Result<(), Failure> {
        if let Err(error) = std::str::from_utf8(record) {
            return Err(Failure::new(error.valid_up_to(), Reason::Utf8));
        }
        let line = record.strip_suffix(b"\n").unwrap_or(record);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut at = 0;
        for (field, targets) in self.targets.iter().enumerate() {
            if field > 0 {
                if line.get(at) != Some(&self.delimiter) {
                    return Err(Failure::new(at, Reason::Elements));
                }
                at += 1;
            }
            let from = at;
            let value = if line.get(at) == Some(&b'"') {
                at = quoted(line, at, &mut self.scratch)?;
                Some(&*self.scratch)
            } else {
                at = plain(line, at, self.delimiter)?;
                Some(&line[from..at]).filter(|value| !value.is_empty())
            };
            for target in targets {
                let column = &mut columns[*target];
                match value {
                    None => column.push_null(),
                    Some(value) => text::push(column, value)
                        .map_err(|reason| Failure::new(from, reason).of(*target))?,
                }
            }
        }
        if at < line.len() {
            return Err(Failure::new(at, Reason::Elements));
        }
        Ok(())
    }
}

fn check(delimiter: u8) -> Result<(), FormatError> {
    if delimiter.is_ascii() && !matches!(delimiter, b'"' | b'\n' | b'\r') {
        return Ok(());
    }
    Err(FormatError::Delimiter)
}

fn scalar(field: &Field) -> Result<(), FormatError> {
    match field.data_type() {
        DataType::List(_) | DataType::Struct(_) => Err(FormatError::Type {
            column: field.name().clone(),
            data_type: field.data_type().clone(),
        }),
        _ => Ok(()),
    }
}

/// Where a field without quotes ends.
fn plain(line: &[u8], from: usize, delimiter: u8) -> Result<usize, Failure> {
    let rest = &line[from..];
    let ends = |byte: &u8| *byte == delimiter || matches!(byte, b'"' | b'\n' | b'\r');
    let end = from + rest.iter().position(ends).unwrap_or(rest.len());
    match line.get(end) {
        Some(byte) if *byte != delimiter => Err(Failure::new(end, Reason::Quote)),
        _ => Ok(end),
    }
}

/// Where a field in quotes ends; `out` becomes what it stands for.
fn quoted(line: &[u8], from: usize, out: &mut Vec<u8>) -> Result<usize, Failure> {
    out.clear();
    let mut at = from + 1;
    loop {
        let rest = &line[at..];
        let Some(quote) = rest.iter().position(|byte| *byte == b'"') else {
            return Err(Failure::new(line.len(), Reason::End));
        };
        out.extend_from_slice(&rest[..quote]);
        at += quote + 1;
        if line.get(at) != Some(&b'"') {
            return Ok(at);
        }
        out.push(b'"');
        at += 1;
    }
}

/// Rows as lines, without the line's end.
pub(super) struct Writer {
    delimiter: u8,
    columns: Vec<usize>,
}

impl Writer {
    pub fn new(delimiter: u8, schema: &SchemaRef, columns: &[usize]) -> Result<Self, FormatError> {
        check(delimiter)?;
        for at in columns {
            // The same types as are read.
            Column::new(schema.field(*at))?;
            scalar(schema.field(*at))?;
        }
        Ok(Self {
            delimiter,
            columns: columns.to_vec(),
        })
    }

    pub fn write(&self, rows: &RecordBatch, row: usize, out: &mut Vec<u8>) {
        for (place, column) in self.columns.iter().enumerate() {
            if place > 0 {
                out.push(self.delimiter);
            }
            let column = rows.column(*column);
            if column.is_null(row) {
                continue;
            }
            match column.as_string_opt::<i32>() {
                Some(text) => self.write_text(text.value(row), out),
                None => {
                    let from = out.len();
                    text::write(column, row, out);
                    if out.len() == from || out[from..].contains(&self.delimiter) {
                        let value = String::from_utf8_lossy(&out[from..]).into_owned();
                        out.truncate(from);
                        self.write_text(&value, out);
                    }
                }
            }
        }
    }

    fn write_text(&self, text: &str, out: &mut Vec<u8>) {
        let special = |byte: u8| byte == self.delimiter || matches!(byte, b'"' | b'\n' | b'\r');
        if !text.is_empty() && !text.bytes().any(special) {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' {
                out.push(b'"');
            }
            out.push(byte);
        }
        out.push(b'"');
    }
}
