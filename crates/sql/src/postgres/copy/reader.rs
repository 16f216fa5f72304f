//! What a client copies in, as rows.
//!
//! # Limits   one row `ROW_BYTES_MAX`; the memory of all of them is counted by who asks (`take`)

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
    },
    datatypes::{DataType, Field},
};
use datafusion_common::ScalarValue;

use super::{
    SIGNATURE,
    fields::{Cutter, Fields},
};
use crate::{
    backend::SqlError,
    column_type::{NOT_NULL_KEY, postgres_type},
    error::sqlstate,
    planner::null_violation,
    postgres::{binary, message::MESSAGE_BYTES_MAX},
    session::CopyTarget,
    statement::{CopyHeader, CopyKind},
    text,
};

/// As an INSERT can have one.
const ROW_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Rows that are read together, and about the bytes of them.
const CHUNK_ROWS: usize = 4096;
const CHUNK_BYTES: usize = 1 << 20;
/// Shown of a value that is none of its type.
const SHOWN_CHARACTERS: usize = 100;

/// See the module head.
pub struct CopyReader {
    target: Arc<CopyTarget>,
    cutter: Cutter,
    fields: Fields,
    /// Of a row that is not all there yet.
    pending: Vec<u8>,
    expects: Expects,
    chunk: Chunk,
    rows: Vec<RecordBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    Header,
    Rows,
    /// Whatever comes behind the end is left out.
    Nothing,
}

/// Rows that are not read yet.
struct Chunk {
    columns: Vec<Cells>,
    /// Where each row ends: in lines, or in rows where it has none.
    lines: Vec<u64>,
    bytes: usize,
}

enum Cells {
    Texts(StringBuilder),
    Values(Vec<ScalarValue>),
}

impl CopyReader {
    pub fn new(target: Arc<CopyTarget>) -> Self {
        let format = &target.format;
        let has_header = format.header != CopyHeader::Absent || format.kind == CopyKind::Binary;
        Self {
            cutter: Cutter::new(format),
            fields: Fields::default(),
            pending: Vec::new(),
            expects: if has_header {
                Expects::Header
            } else {
                Expects::Rows
            },
            chunk: Chunk::new(&target),
            rows: Vec::new(),
            target,
        }
    }

    /// The next piece; how much memory it adds to that of the rows.
    pub fn take(&mut self, piece: &[u8]) -> Result<usize, SqlError> {
        let before = self.rows.len();
        match self.target.format.kind {
            CopyKind::Binary => {
                self.pend(piece)?;
                self.take_tuples()?;
            }
            CopyKind::Text | CopyKind::Csv => self.take_lines(piece)?,
        }
        let added = self.rows[before..].iter();
        Ok(added.map(RecordBatch::get_array_memory_size).sum())
    }

    /// There is no more to come.
    pub fn finish(mut self) -> Result<Vec<RecordBatch>, SqlError> {
        if !self.pending.is_empty() {
            match self.target.format.kind {
                CopyKind::Binary => return Err(self.here(bad("unexpected EOF in COPY data"))),
                CopyKind::Text | CopyKind::Csv => {
                    self.cutter.lines += 1;
                    let line = std::mem::take(&mut self.pending);
                    self.take_line(&line)?;
                }
            }
        }
        if self.target.format.kind == CopyKind::Binary && self.expects == Expects::Header {
            return Err(self.here(bad("COPY file signature not recognized")));
        }
        self.flush()?;
        Ok(self.rows)
    }

    /// The error with the place that was reached.
    pub fn here(&self, error: SqlError) -> SqlError {
        error.with_context(place(&self.target, self.cutter.lines))
    }

    fn pend(&mut self, piece: &[u8]) -> Result<(), SqlError> {
        if self.pending.len() + piece.len() > ROW_BYTES_MAX + MESSAGE_BYTES_MAX {
            let message = format!("a row of COPY has at most {ROW_BYTES_MAX} bytes");
            return Err(self.here(SqlError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message)));
        }
        if self.expects != Expects::Nothing {
            self.pending.extend_from_slice(piece);
        }
        Ok(())
    }

    fn take_lines(&mut self, mut piece: &[u8]) -> Result<(), SqlError> {
        while let Some(end) = self.cutter.end(piece) {
            self.pend(&piece[..end - 1])?;
            piece = &piece[end..];
            let mut line = std::mem::take(&mut self.pending);
            self.take_line(&line)?;
            line.clear();
            self.pending = line;
        }
        self.pend(piece)
    }

    fn take_line(&mut self, line: &[u8]) -> Result<(), SqlError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line == b"\\." {
            self.expects = Expects::Nothing;
        }
        if self.expects == Expects::Nothing {
            return Ok(());
        }
        let (target, number) = (self.target.clone(), self.cutter.lines);
        let placed = |error: SqlError| {
            let place = place(&target, number);
            error.with_context(format!("{place}: \"{}\"", shown(line)))
        };
        let mut fields = std::mem::take(&mut self.fields);
        fields.read(line, &target.format).map_err(placed)?;
        let columns = target.schema.fields();
        if self.expects == Expects::Header {
            self.expects = Expects::Rows;
            if target.format.header == CopyHeader::Matches {
                self.check_header(&fields)?;
            }
        } else if let Some(missing) = columns.get(fields.count()) {
            let message = format!("missing data for column \"{}\"", missing.name());
            return Err(placed(bad(&message)));
        } else if fields.count() > columns.len() && !(columns.is_empty() && line.is_empty()) {
            return Err(placed(bad("extra data after last expected column")));
        } else {
            self.chunk.push(&fields, number).map_err(placed)?;
        }
        self.fields = fields;
        match self.chunk.is_full() {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn check_header(&self, fields: &Fields) -> Result<(), SqlError> {
        let columns = self.target.schema.fields();
        if fields.count() != columns.len() {
            let message = format!(
                "wrong number of fields in header line: got {}, expected {}",
                fields.count(),
                columns.len()
            );
            return Err(self.here(bad(&message)));
        }
        for (at, (found, column)) in fields.iter().zip(columns).enumerate() {
            let found = String::from_utf8_lossy(found.unwrap_or_default());
            if found != column.name().as_str() {
                let message = format!(
                    "column name mismatch in header line field {}: got \"{found}\", expected \"{}\"",
                    at + 1,
                    column.name()
                );
                return Err(self.here(bad(&message)));
            }
        }
        Ok(())
    }

    /// Those that are all there.
    fn take_tuples(&mut self) -> Result<(), SqlError> {
        let mut pending = std::mem::take(&mut self.pending);
        let mut rest = &pending[..];
        if self.expects == Expects::Header
            && let Some(behind) = behind_header(rest).map_err(|error| self.here(error))?
        {
            self.expects = Expects::Rows;
            rest = behind;
        }
        while self.expects == Expects::Rows
            && let Some((tuple, behind)) = tuple(rest).map_err(|error| self.here(error))?
        {
            rest = behind;
            self.take_tuple(&tuple)?;
        }
        if self.expects != Expects::Nothing {
            let done = pending.len() - rest.len();
            pending.drain(..done);
            self.pending = pending;
        }
        Ok(())
    }

    fn take_tuple(&mut self, tuple: &Tuple<'_>) -> Result<(), SqlError> {
        let Some(values) = tuple else {
            self.expects = Expects::Nothing;
            return Ok(());
        };
        self.cutter.lines += 1;
        let (target, number) = (self.target.clone(), self.cutter.lines);
        let columns = target.schema.fields();
        if values.len() != columns.len() {
            let (found, wanted) = (values.len(), columns.len());
            let message = format!("row field count is {found}, expected {wanted}");
            return Err(self.here(bad(&message)));
        }
        for ((cells, field), value) in self.chunk.columns.iter_mut().zip(columns).zip(values) {
            let Cells::Values(cells) = cells else {
                continue;
            };
            let read = || match value {
                Some(bytes) => {
                    let value = binary::decode(postgres_type(field).oid, bytes)?;
                    Ok(value.cast_to(field.data_type())?)
                }
                None => Ok(ScalarValue::try_from(field.data_type())?),
            };
            cells.push(read().map_err(|error: SqlError| {
                let place = place(&target, number);
                error.with_context(format!("{place}, column {}", field.name()))
            })?);
            self.chunk.bytes += value.map_or(0, <[u8]>::len) + size_of::<ScalarValue>();
        }
        self.chunk.lines.push(number);
        match self.chunk.is_full() {
            true => self.flush(),
            false => Ok(()),
        }
    }

    /// What was gathered becomes rows.
    fn flush(&mut self) -> Result<(), SqlError> {
        let count = self.chunk.lines.len();
        if count == 0 {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Chunk::new(&self.target));
        let fields = self.target.schema.fields();
        let mut columns = Vec::with_capacity(fields.len());
        let mut texts = Vec::with_capacity(fields.len());
        for (field, cells) in fields.iter().zip(chunk.columns) {
            let cells: ArrayRef = match cells {
                Cells::Texts(mut texts) => Arc::new(texts.finish()),
                Cells::Values(values) => ScalarValue::iter_to_array(values)?,
            };
            texts.push(cells.clone());
            columns.push(self.column(field, cells));
        }
        let columns: Result<Vec<_>, _> = columns.into_iter().collect();
        let columns = columns.map_err(|error| self.placed(error, &texts, &chunk.lines))?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let rows =
            RecordBatch::try_new_with_options(self.target.schema.clone(), columns, &options)?;
        self.rows.push(rows);
        Ok(())
    }

    fn column(&self, field: &Field, cells: ArrayRef) -> Result<ArrayRef, SqlError> {
        let column = match self.target.format.kind {
            CopyKind::Binary => cells,
            _ if text::is_read(field.data_type()) => {
                text::column(cells.as_string(), field.data_type(), false)?
            }
            _ if *field.data_type() == DataType::Utf8 => cells,
            _ => {
                let message = format!("column \"{}\" cannot be copied as text", field.name());
                return Err(SqlError::unsupported(message));
            }
        };
        if field.metadata().contains_key(NOT_NULL_KEY) && column.logical_null_count() > 0 {
            return Err(null_violation(field.name(), &self.target.table));
        }
        text::stored(field, &column)
    }

    /// The error with the place of the first value that is none of its column's.
    fn placed(&self, error: SqlError, cells: &[ArrayRef], lines: &[u64]) -> SqlError {
        for (row, line) in lines.iter().enumerate() {
            for (field, cells) in self.target.schema.fields().iter().zip(cells) {
                let Err(error) = self.column(field, cells.slice(row, 1)) else {
                    continue;
                };
                let mut place = format!("{}, column {}", place(&self.target, *line), field.name());
                if cells.is_null(row) {
                    place.push_str(": null input");
                } else if let Some(texts) = cells.as_any().downcast_ref::<StringArray>() {
                    let value = shown(texts.value(row).as_bytes());
                    // Nothing that is written into a text fails.
                    _ = write!(place, ": \"{value}\"");
                }
                return error.with_context(place);
            }
        }
        error
    }
}

impl Chunk {
    fn new(target: &CopyTarget) -> Self {
        let columns = target.schema.fields().iter();
        let columns = columns.map(|_| match target.format.kind {
            CopyKind::Binary => Cells::Values(Vec::new()),
            CopyKind::Text | CopyKind::Csv => Cells::Texts(StringBuilder::new()),
        });
        Self {
            columns: columns.collect(),
            lines: Vec::new(),
            bytes: 0,
        }
    }

    fn is_full(&self) -> bool {
        self.lines.len() >= CHUNK_ROWS || self.bytes >= CHUNK_BYTES
    }

    fn push(&mut self, fields: &Fields, line: u64) -> Result<(), SqlError> {
        for (cells, value) in self.columns.iter_mut().zip(fields.iter()) {
            let Cells::Texts(texts) = cells else {
                continue;
            };
            match value {
                None => texts.append_null(),
                Some(value) => texts.append_value(utf8(value)?),
            }
            self.bytes += value.map_or(0, <[u8]>::len);
        }
        self.lines.push(line);
        Ok(())
    }
}

fn place(target: &CopyTarget, line: u64) -> String {
    format!("COPY {}, line {line}", target.table)
}

fn utf8(value: &[u8]) -> Result<&str, SqlError> {
    let invalid = |at: usize| {
        let message = format!(
            "invalid byte sequence for encoding \"UTF8\": 0x{:02x}",
            value[at]
        );
        SqlError::new(*b"22021", message)
    };
    let text = std::str::from_utf8(value).map_err(|error| invalid(error.valid_up_to()))?;
    match text.find('\0') {
        Some(at) => Err(invalid(at)),
        None => Ok(text),
    }
}

/// Of a value or line, for whoever looks for it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.into_owned(),
    }
}

fn bad(message: &str) -> SqlError {
    SqlError::new(sqlstate::BAD_COPY_FILE_FORMAT, message)
}

/// Behind the signature, the flags and what a later version may have put there; `None`: not all is there.
fn behind_header(bytes: &[u8]) -> Result<Option<&[u8]>, SqlError> {
    let begins = SIGNATURE.len().min(bytes.len());
    if bytes[..begins] != SIGNATURE[..begins] {
        return Err(bad("COPY file signature not recognized"));
    }
    let Some((flags, behind)) = bytes[begins..].split_first_chunk::<4>() else {
        return Ok(None);
    };
    // The upper half says what a reader must understand.
    if flags[..2] != [0, 0] {
        return Err(bad("unrecognized critical flags in COPY file header"));
    }
    let Some((length, behind)) = behind.split_first_chunk::<4>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length) as usize;
    Ok(behind.get(length..))
}

/// Values of one row; `None`: the end.
type Tuple<'a> = Option<Vec<Option<&'a [u8]>>>;

/// The row that stands first, and what is behind it; `None`: not all of it is there.
fn tuple(bytes: &[u8]) -> Result<Option<(Tuple<'_>, &[u8])>, SqlError> {
    let Some((count, mut rest)) = bytes.split_first_chunk::<2>() else {
        return Ok(None);
    };
    let Ok(count) = u16::try_from(i16::from_be_bytes(*count)) else {
        return Ok(Some((None, rest)));
    };
    let mut values = Vec::new();
    for _ in 0..count {
        let Some((length, behind)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = i32::from_be_bytes(*length);
        if length == -1 {
            values.push(None);
            rest = behind;
            continue;
        }
        let length = usize::try_from(length).map_err(|_| bad("invalid field size"))?;
        let Some((value, behind)) = behind.split_at_checked(length) else {
            return Ok(None);
        };
        values.push(Some(value));
        rest = behind;
    }
    Ok(Some((Some(values), rest)))
}
