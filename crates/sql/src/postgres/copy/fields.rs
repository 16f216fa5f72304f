//! Lines of COPY cut from what a client sends, and the values in them.

use crate::{
    backend::SqlError,
    error::sqlstate,
    statement::{CopyFormat, CopyKind},
};

/// Finds where lines end, over pieces that may be cut anywhere.
pub struct Cutter {
    /// Of CSV.
    quote: Option<u8>,
    escape: u8,
    is_quoted: bool,
    is_escaped: bool,
    /// Ends of lines until now, those within values among them.
    pub lines: u64,
}

impl Cutter {
    pub fn new(format: &CopyFormat) -> Self {
        let is_csv = format.kind == CopyKind::Csv;
        Self {
            quote: is_csv.then_some(format.quote),
            escape: if is_csv { format.escape } else { b'\\' },
            is_quoted: false,
            is_escaped: false,
            lines: 0,
        }
    }

    /// Behind the end of the line that the piece goes on with; `None`: it goes on behind the piece.
    pub fn end(&mut self, piece: &[u8]) -> Option<usize> {
        for (at, byte) in piece.iter().enumerate() {
            self.lines += u64::from(*byte == b'\n');
            let is_escaped = std::mem::take(&mut self.is_escaped);
            match self.quote {
                // A quote that stands twice ends a value and begins it again.
                Some(quote) if *byte == quote && !is_escaped => self.is_quoted = !self.is_quoted,
                Some(quote) if *byte == self.escape && self.escape != quote => {
                    self.is_escaped = self.is_quoted && !is_escaped;
                }
                None if *byte == b'\\' => self.is_escaped = !is_escaped,
                _ if *byte == b'\n' && !is_escaped && !self.is_quoted => return Some(at + 1),
                _ => {}
            }
        }
        None
    }
}

/// Values of a line, one behind the other.
#[derive(Default)]
pub struct Fields {
    bytes: Vec<u8>,
    /// Ends of the values, and whether they are null.
    ends: Vec<(usize, bool)>,
}

impl Fields {
    pub fn count(&self) -> usize {
        self.ends.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = Option<&[u8]>> {
        let mut start = 0;
        self.ends.iter().map(move |(end, is_null)| {
            let value = &self.bytes[start..*end];
            start = *end;
            (!is_null).then_some(value)
        })
    }

    /// The line without what ends it.
    pub fn read(&mut self, line: &[u8], format: &CopyFormat) -> Result<(), SqlError> {
        self.bytes.clear();
        self.ends.clear();
        match format.kind {
            CopyKind::Csv => self.read_csv(line, format),
            CopyKind::Text | CopyKind::Binary => {
                self.read_text(line, format);
                Ok(())
            }
        }
    }

    fn end_value(&mut self, is_null: bool) {
        self.ends.push((self.bytes.len(), is_null));
    }

    fn read_text(&mut self, line: &[u8], format: &CopyFormat) {
        let mut rest = line;
        loop {
            let end = end_of_text(rest, format.delimiter);
            let (value, behind) = rest.split_at(end);
            let is_null = value == format.null.as_bytes();
            if !is_null {
                unescape(value, &mut self.bytes);
            }
            self.end_value(is_null);
            match behind.split_first() {
                Some((_, behind)) => rest = behind,
                None => return,
            }
        }
    }

    fn read_csv(&mut self, line: &[u8], format: &CopyFormat) -> Result<(), SqlError> {
        let mut bytes = line.iter().peekable();
        let (mut start, mut was_quoted, mut is_quoted) = (0, false, false);
        while let Some(byte) = bytes.next() {
            let next = bytes.peek().copied();
            if is_quoted {
                let escapes =
                    next.is_some_and(|next| *next == format.quote || *next == format.escape);
                match *byte {
                    escape if escape == format.escape && escapes => self.bytes.extend(bytes.next()),
                    quote if quote == format.quote => is_quoted = false,
                    plain => self.bytes.push(plain),
                }
            } else if *byte == format.delimiter {
                let is_null = !was_quoted && self.bytes[start..] == *format.null.as_bytes();
                self.end_value(is_null);
                (start, was_quoted) = (self.bytes.len(), false);
            } else if *byte == format.quote {
                (is_quoted, was_quoted) = (true, true);
            } else {
                self.bytes.push(*byte);
            }
        }
        if is_quoted {
            let message = "unterminated CSV quoted field";
            return Err(SqlError::new(sqlstate::BAD_COPY_FILE_FORMAT, message));
        }
        let is_null = !was_quoted && self.bytes[start..] == *format.null.as_bytes();
        self.end_value(is_null);
        Ok(())
    }
}

/// Up to the next delimiter that no backslash stands before.
fn end_of_text(text: &[u8], delimiter: u8) -> usize {
    let mut is_escaped = false;
    let end = text.iter().position(|byte| {
        let is_end = *byte == delimiter && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        is_end
    });
    end.unwrap_or(text.len())
}

fn unescape(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        out.extend(&rest[..at]);
        let behind = &rest[at + 1..];
        let Some((first, more)) = behind.split_first() else {
            out.push(b'\\');
            return;
        };
        (rest, _) = match first {
            b'b' => (more, out.push(8)),
            b'f' => (more, out.push(12)),
            b'n' => (more, out.push(b'\n')),
            b'r' => (more, out.push(b'\r')),
            b't' => (more, out.push(b'\t')),
            b'v' => (more, out.push(11)),
            b'0'..=b'7' => digits(behind, 8, 3, out),
            b'x' if more.first().is_some_and(u8::is_ascii_hexdigit) => digits(more, 16, 2, out),
            other => (more, out.push(*other)),
        };
    }
    out.extend(rest);
}

/// The byte that at most so many digits stand for, and what is behind them.
fn digits<'a>(text: &'a [u8], radix: u32, max: usize, out: &mut Vec<u8>) -> (&'a [u8], ()) {
    let found = text
        .iter()
        .take(max)
        .map_while(|byte| char::from(*byte).to_digit(radix));
    let (mut value, mut count) = (0, 0);
    for digit in found {
        value = value * radix + digit;
        count += 1;
    }
    (&text[count..], out.push(value as u8))
}
