//! How records and tables are printed.

use std::io::{self, Write};

use kafka::batch::Record;

use crate::time;

/// A `-f` format, parsed once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Key,
    Value,
    KeyBytes,
    ValueBytes,
    Headers,
    TimestampMs,
    Timestamp,
}

impl Format {
    /// The letters are listed in the command's help.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut plain = Vec::new();
        let mut chars = text.chars();
        let mut bytes = [0; 4];
        while let Some(c) = chars.next() {
            let part = match c {
                '\\' => {
                    let escaped = chars.next().ok_or("the format ends with a single \\")?;
                    plain.push(match escaped {
                        'n' => b'\n',
                        't' => b'\t',
                        'r' => b'\r',
                        '0' => 0,
                        '\\' => b'\\',
                        other => return Err(format!("no escape \\{other}; \\\\ is a backslash")),
                    });
                    continue;
                }
                '%' => {
                    let letter = chars.next().ok_or("the format ends with a single %")?;
                    match letter {
                        '%' => {
                            plain.push(b'%');
                            continue;
                        }
                        't' => Part::Topic,
                        'p' => Part::Partition,
                        'o' => Part::Offset,
                        'k' => Part::Key,
                        'v' | 's' => Part::Value,
                        'K' => Part::KeyBytes,
                        'V' | 'S' => Part::ValueBytes,
                        'h' => Part::Headers,
                        'T' => Part::TimestampMs,
                        'D' => Part::Timestamp,
                        other => {
                            return Err(format!(
                                "no %{other}: one of %t %p %o %k %v %h %T %D %K %V %%"
                            ));
                        }
                    }
                }
                other => {
                    plain.extend_from_slice(other.encode_utf8(&mut bytes).as_bytes());
                    continue;
                }
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Keys and values go out as the bytes they are; null prints nothing.
    pub fn write(
        &self,
        out: &mut impl Write,
        place: (&str, i32),
        record: &Record<'_>,
    ) -> io::Result<()> {
        for part in &self.0 {
            match part {
                Part::Text(text) => out.write_all(text)?,
                Part::Topic => out.write_all(place.0.as_bytes())?,
                Part::Partition => write!(out, "{}", place.1)?,
                Part::Offset => write!(out, "{}", record.offset)?,
                Part::Key => out.write_all(record.key.as_deref().unwrap_or_default())?,
                Part::Value => out.write_all(record.value.as_deref().unwrap_or_default())?,
                Part::KeyBytes => write!(out, "{}", length(record.key.as_deref()))?,
                Part::ValueBytes => write!(out, "{}", length(record.value.as_deref()))?,
                Part::TimestampMs => write!(out, "{}", record.timestamp)?,
                Part::Timestamp => out.write_all(time::show(record.timestamp).as_bytes())?,
                Part::Headers => {
                    for (at, (name, value)) in record.headers.iter().enumerate() {
                        let comma = if at > 0 { "," } else { "" };
                        write!(out, "{comma}{name}=")?;
                        out.write_all(value.as_deref().unwrap_or_default())?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// -1 for null, as kcat prints it.
fn length(bytes: Option<&[u8]>) -> i64 {
    bytes.map_or(-1, |bytes| bytes.len() as i64)
}

/// One line of JSON. Bytes that are no UTF-8 stand in an object with their hexadecimal digits.
#[must_use]
pub fn json(place: (&str, i32), record: &Record<'_>) -> serde_json::Value {
    let text = |bytes: Option<&[u8]>| match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => serde_json::Value::Null,
        Some((Ok(text), _)) => text.into(),
        Some((Err(_), bytes)) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            serde_json::json!({ "hex": hex })
        }
    };
    let headers: Vec<_> = record
        .headers
        .iter()
        .map(|(name, value)| serde_json::json!({"name": name, "value": text(value.as_deref())}))
        .collect();
    let mut line = serde_json::json!({
        "topic": place.0,
        "partition": place.1,
        "offset": record.offset.0,
        "timestamp": record.timestamp.0,
        "key": text(record.key.as_deref()),
        "value": text(record.value.as_deref()),
    });
    if !headers.is_empty() {
        line["headers"] = headers.into();
    }
    line
}

/// Rows under a head, in columns as wide as their widest cell; numbers to the right.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        let cells = rows.iter().map(|row| row[at].chars().count());
        cells.max().unwrap_or(0).max(head[at].chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let numeric = |text: &str| {
        text.bytes()
            .all(|b| b.is_ascii_digit() || b"-.%".contains(&b))
    };
    let line = |cells: &mut dyn Iterator<Item = &str>, right: bool| {
        let mut line = String::new();
        for (at, (cell, width)) in cells.zip(&widths).enumerate() {
            if at > 0 {
                line.push_str("  ");
            }
            let pad = " ".repeat(width - cell.chars().count());
            let is_right = right && numeric(cell) && rows.iter().all(|row| numeric(&row[at]));
            let parts = if is_right { [&pad, cell] } else { [cell, &pad] };
            line.extend(parts);
        }
        line.truncate(line.trim_end().len());
        line.push('\n');
        line
    };
    let mut text = line(&mut head.iter().copied(), false);
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str), true));
    }
    text
}

/// `1 topic`, `2,000 topics`.
#[must_use]
pub fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count as u64))
}

/// `12,345,678`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `43.1 MiB`.
#[must_use]
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{count} B")
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}
