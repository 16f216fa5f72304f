//! Messages of the Postgres protocol, version 3: decoding what a client sends, encoding what it is told.
//!
//! # Invariants
//! 1. No count or length that a client sends is trusted before that many bytes are there, so decoding allocates at most
//!    a small multiple of the message (the fuzz target `postgres` counts).
//! 2. A message is decoded from its own bytes only, all of them: one that says less or more than it holds is refused.
//!
//! # Layout   one byte of kind (not in a client's first message), then the length as u32, big-endian, itself included
//! # Limits   `FIRST_BYTES_MAX` before the start, `AUTHENTICATION_BYTES_MAX` until a client is known, `MESSAGE_BYTES_MAX`
//!   after it; longer ones end the connection
//! # Instead of   the crate `pgwire`: its decoder reads counts without a look at what is left, and panics

#[cfg(test)]
mod tests;

use crate::backend::SqlError;

/// What Postgres allows a startup packet.
pub const FIRST_BYTES_MAX: usize = 10_000;
/// What Postgres allows a message of a SASL exchange.
pub const AUTHENTICATION_BYTES_MAX: usize = 1024;
/// A statement with its parameters.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// No row is told in more; Postgres itself stops at 1 GiB.
const ROW_BYTES_MAX: usize = 1 << 30;

const CANCEL: u32 = 80_877_102;
const SSL: u32 = 80_877_103;
const GSS: u32 = 80_877_104;

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("a message of {bytes} bytes; at most {max} are taken")]
    TooLong { bytes: usize, max: usize },
    #[error("invalid message length {0}")]
    Length(u32),
    #[error("invalid frontend message type {0}")]
    Kind(u8),
    #[error("expected SASL response, got message type {0}")]
    NotSasl(u8),
    #[error("insufficient data left in message")]
    Short,
    #[error("invalid message format")]
    Trailing,
    #[error("invalid string in message")]
    Text,
    #[error("unsupported frontend protocol {0}.{1}: this server speaks 3.0 to 3.2")]
    Version(u16, u16),
}

/// What a connection begins with; several may come, each answered before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<'a> {
    Ssl,
    Gss,
    Cancel { process: u32, secret: &'a [u8] },
    Startup(Startup),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Startup {
    /// Of version 3.
    pub minor: u16,
    pub parameters: Vec<(String, String)>,
}

impl Startup {
    #[must_use]
    pub fn get(&self, wanted: &str) -> Option<&str> {
        let mut parameters = self.parameters.iter();
        parameters
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.as_str())
    }
}

/// How a client begins a SASL exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sasl<'a> {
    pub mechanism: &'a str,
    /// `None`: it waits for the server to begin.
    pub message: Option<&'a [u8]>,
}

/// What a client sends once it is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Query(&'a str),
    Parse {
        name: &'a str,
        sql: &'a str,
        types: Vec<u32>,
    },
    Bind(Bind<'a>),
    Describe(Target<'a>),
    Execute {
        portal: &'a str,
        /// 0: all.
        rows_max: u32,
    },
    Close(Target<'a>),
    Flush,
    Sync,
    Terminate,
    CopyData(&'a [u8]),
    CopyDone,
    CopyFail(&'a str),
    /// A password, or what a SASL exchange says.
    Password(&'a [u8]),
    /// Function calls are of the past; Postgres's own documentation says so.
    FunctionCall,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    pub portal: &'a str,
    pub statement: &'a str,
    /// One for each value, or one for all, or none: text.
    pub formats: Vec<i16>,
    pub values: Vec<Option<&'a [u8]>>,
    /// The same for columns of the result.
    pub result_formats: Vec<i16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    Statement(&'a str),
    Portal(&'a str),
}

/// Bytes of the first message at the front of `input`, once all are there.
pub fn first_frame(input: &[u8]) -> Result<Option<usize>, DecodeError> {
    frame(input, FIRST_BYTES_MAX, 8)
}

/// As `request_frame`, of a client that is not known yet.
pub fn authentication_frame(input: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((kind, rest)) = input.split_first() else {
        return Ok(None);
    };
    if *kind != b'p' {
        return Err(DecodeError::NotSasl(*kind));
    }
    Ok(frame(rest, AUTHENTICATION_BYTES_MAX, 4)?.map(|bytes| bytes + 1))
}

/// Bytes of a message at the front of `input`, its kind included, once all are there.
pub fn request_frame(input: &[u8]) -> Result<Option<usize>, DecodeError> {
    let Some((kind, rest)) = input.split_first() else {
        return Ok(None);
    };
    if !b"QPBDECHSXdcfpF".contains(kind) {
        return Err(DecodeError::Kind(*kind));
    }
    Ok(frame(rest, MESSAGE_BYTES_MAX, 4)?.map(|bytes| bytes + 1))
}

fn frame(input: &[u8], max: usize, min: usize) -> Result<Option<usize>, DecodeError> {
    let Some(length) = input.first_chunk() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes(*length);
    let bytes = length as usize;
    if bytes < min || i32::try_from(length).is_err() {
        return Err(DecodeError::Length(length));
    }
    if bytes > max {
        return Err(DecodeError::TooLong { bytes, max });
    }
    Ok((input.len() >= bytes).then_some(bytes))
}

impl<'a> First<'a> {
    /// All of a frame as `first_frame` cut it.
    pub fn decode(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields(frame.get(4..).ok_or(DecodeError::Short)?);
        let code = fields.u32()?;
        let first = match code {
            SSL => Self::Ssl,
            GSS => Self::Gss,
            CANCEL => Self::Cancel {
                process: fields.u32()?,
                secret: std::mem::take(&mut fields.0),
            },
            _ => {
                let (major, minor) = ((code >> 16) as u16, code as u16);
                if major != 3 {
                    return Err(DecodeError::Version(major, minor));
                }
                let mut parameters = Vec::new();
                loop {
                    let name = fields.text()?;
                    if name.is_empty() {
                        break;
                    }
                    parameters.push((name.to_owned(), fields.text()?.to_owned()));
                }
                Self::Startup(Startup { minor, parameters })
            }
        };
        fields.end(first)
    }
}

impl<'a> Sasl<'a> {
    /// All of a frame as `authentication_frame` cut it.
    pub fn initial(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields(Self::further(frame)?);
        let initial = Self {
            mechanism: fields.text()?,
            message: fields.value()?,
        };
        fields.end(initial)
    }

    /// What a client says once it has begun.
    pub fn further(frame: &'a [u8]) -> Result<&'a [u8], DecodeError> {
        frame.get(5..).ok_or(DecodeError::Short)
    }
}

impl<'a> Request<'a> {
    /// All of a frame as `request_frame` cut it.
    pub fn decode(frame: &'a [u8]) -> Result<Self, DecodeError> {
        let kind = *frame.first().ok_or(DecodeError::Short)?;
        let mut fields = Fields(frame.get(5..).ok_or(DecodeError::Short)?);
        let request = match kind {
            b'Q' => Self::Query(fields.text()?),
            b'P' => Self::Parse {
                name: fields.text()?,
                sql: fields.text()?,
                types: fields.list(4, Fields::u32)?,
            },
            b'B' => Self::Bind(Bind {
                portal: fields.text()?,
                statement: fields.text()?,
                formats: fields.list(2, Fields::i16)?,
                values: fields.list(4, Fields::value)?,
                result_formats: fields.list(2, Fields::i16)?,
            }),
            b'D' => Self::Describe(fields.target()?),
            b'C' => Self::Close(fields.target()?),
            b'E' => Self::Execute {
                portal: fields.text()?,
                // Negative is what zero is: Postgres's own rule.
                rows_max: u32::try_from(fields.u32()? as i32).unwrap_or(0),
            },
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'X' => Self::Terminate,
            b'd' => Self::CopyData(std::mem::take(&mut fields.0)),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail(fields.text()?),
            b'p' => Self::Password(std::mem::take(&mut fields.0)),
            b'F' => {
                fields.0 = &[];
                Self::FunctionCall
            }
            _ => return Err(DecodeError::Kind(kind)),
        };
        fields.end(request)
    }
}

/// What is left of a message.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        let bytes = self.take(4)?;
        Ok(u32::from_be_bytes(
            bytes.try_into().expect("four were taken"),
        ))
    }

    fn i16(&mut self) -> Result<i16, DecodeError> {
        let bytes = self.take(2)?;
        Ok(i16::from_be_bytes(
            bytes.try_into().expect("two were taken"),
        ))
    }

    /// Up to a zero byte.
    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.take(end.ok_or(DecodeError::Short)?)?;
        self.take(1)?;
        std::str::from_utf8(text).map_err(|_| DecodeError::Text)
    }

    fn value(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.u32()? {
            u32::MAX => Ok(None),
            bytes => self.take(bytes as usize).map(Some),
        }
    }

    fn target(&mut self) -> Result<Target<'a>, DecodeError> {
        match self.take(1)? {
            b"S" => self.text().map(Target::Statement),
            b"P" => self.text().map(Target::Portal),
            _ => Err(DecodeError::Trailing),
        }
    }

    /// A count of two bytes, then so many, each of at least `bytes`.
    fn list<T>(
        &mut self,
        bytes: usize,
        mut one: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = usize::from(self.i16()? as u16);
        if count * bytes > self.0.len() {
            return Err(DecodeError::Short);
        }
        (0..count).map(|_| one(self)).collect()
    }

    fn end<T>(&self, decoded: T) -> Result<T, DecodeError> {
        if self.0.is_empty() {
            Ok(decoded)
        } else {
            Err(DecodeError::Trailing)
        }
    }
}

/// What the client may do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    Idle,
    InTransaction,
    /// Until it is rolled back.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Notice,
    Warning,
    Error,
    /// The connection ends.
    Fatal,
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Notice => "NOTICE",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
            Self::Fatal => "FATAL",
        }
    }
}

/// A column as a client is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnDescription<'a> {
    pub name: &'a str,
    pub type_oid: u32,
    /// Bytes of a value, -1 when they differ.
    pub type_size: i16,
    pub type_modifier: i32,
    pub is_binary: bool,
}

/// Messages to a client, in the order they were written.
#[derive(Debug, Default)]
pub struct Replies {
    pub bytes: Vec<u8>,
}

impl Replies {
    fn message(&mut self, kind: u8, fill: impl FnOnce(&mut Vec<u8>)) {
        self.bytes.push(kind);
        let at = self.bytes.len();
        self.bytes.extend([0; 4]);
        fill(&mut self.bytes);
        let length = u32::try_from(self.bytes.len() - at).expect("callers bound what they write");
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// To SSLRequest and GSSENCRequest.
    pub fn refuse_encryption(&mut self) {
        self.bytes.push(b'N');
    }

    /// To SSLRequest.
    pub fn accept_encryption(&mut self) {
        self.bytes.push(b'S');
    }

    pub fn authentication_sasl(&mut self, mechanisms: &[&str]) {
        self.message(b'R', |out| {
            out.extend(10_u32.to_be_bytes());
            mechanisms.iter().for_each(|name| text(out, name));
            out.push(0);
        });
    }

    pub fn authentication_continue(&mut self, said: &str) {
        self.message(b'R', |out| {
            out.extend(11_u32.to_be_bytes());
            out.extend(said.as_bytes());
        });
    }

    pub fn authentication_final(&mut self, said: &str) {
        self.message(b'R', |out| {
            out.extend(12_u32.to_be_bytes());
            out.extend(said.as_bytes());
        });
    }

    pub fn authentication_ok(&mut self) {
        self.message(b'R', |out| out.extend(0_u32.to_be_bytes()));
    }

    /// The newest minor version that is spoken here, and options that are not known.
    pub fn negotiate_version<'a>(
        &mut self,
        minor: u16,
        unknown: impl ExactSizeIterator<Item = &'a str>,
    ) {
        self.message(b'v', |out| {
            out.extend((3 << 16 | u32::from(minor)).to_be_bytes());
            out.extend((unknown.len() as u32).to_be_bytes());
            unknown.for_each(|name| text(out, name));
        });
    }

    pub fn parameter_status(&mut self, name: &str, value: &str) {
        self.message(b'S', |out| {
            text(out, name);
            text(out, value);
        });
    }

    pub fn backend_key(&mut self, process: u32, secret: &[u8]) {
        self.message(b'K', |out| {
            out.extend(process.to_be_bytes());
            out.extend(secret);
        });
    }

    pub fn ready(&mut self, status: Status) {
        let status = match status {
            Status::Idle => b'I',
            Status::InTransaction => b'T',
            Status::Failed => b'E',
        };
        self.message(b'Z', |out| out.push(status));
    }

    pub fn row_description<'a>(
        &mut self,
        columns: impl ExactSizeIterator<Item = ColumnDescription<'a>>,
    ) {
        self.message(b'T', |out| {
            out.extend((columns.len() as u16).to_be_bytes());
            for column in columns {
                text(out, column.name);
                // Neither a table nor a place in one: results are computed.
                out.extend([0; 6]);
                out.extend(column.type_oid.to_be_bytes());
                out.extend(column.type_size.to_be_bytes());
                out.extend(column.type_modifier.to_be_bytes());
                out.extend(i16::from(column.is_binary).to_be_bytes());
            }
        });
    }

    /// `value` writes the value of a column and says whether there is one; when a row is too large or fails, nothing of it
    /// is written.
    pub fn data_row(
        &mut self,
        columns: usize,
        mut value: impl FnMut(usize, &mut Vec<u8>) -> Result<bool, SqlError>,
    ) -> Result<(), SqlError> {
        let begin = self.bytes.len();
        let out = &mut self.bytes;
        out.push(b'D');
        out.extend([0; 4]);
        out.extend((columns as u16).to_be_bytes());
        for column in 0..columns {
            let at = out.len();
            out.extend([0; 4]);
            let is_there = match value(column, out) {
                Ok(is_there) if out.len() - begin <= ROW_BYTES_MAX => is_there,
                other => {
                    out.truncate(begin);
                    other?;
                    return Err(SqlError::new(*b"54000", "a row of the result is too large"));
                }
            };
            let length = if is_there {
                (out.len() - at - 4) as u32
            } else {
                out.truncate(at + 4);
                u32::MAX
            };
            out[at..at + 4].copy_from_slice(&length.to_be_bytes());
        }
        let length = (out.len() - begin - 1) as u32;
        out[begin + 1..begin + 5].copy_from_slice(&length.to_be_bytes());
        Ok(())
    }

    pub fn parameter_description(&mut self, types: &[u32]) {
        self.message(b't', |out| {
            out.extend((types.len() as u16).to_be_bytes());
            types.iter().for_each(|oid| out.extend(oid.to_be_bytes()));
        });
    }

    pub fn command_complete(&mut self, tag: &str) {
        self.message(b'C', |out| text(out, tag));
    }

    pub fn copy_out(&mut self, columns: usize, is_binary: bool) {
        self.copy(b'H', columns, is_binary);
    }

    pub fn copy_in(&mut self, columns: usize, is_binary: bool) {
        self.copy(b'G', columns, is_binary);
    }

    fn copy(&mut self, kind: u8, columns: usize, is_binary: bool) {
        self.message(kind, |out| {
            out.push(is_binary.into());
            out.extend((columns as u16).to_be_bytes());
            let format = i16::from(is_binary).to_be_bytes();
            out.extend(std::iter::repeat_n(format, columns).flatten());
        });
    }

    pub fn copy_data(&mut self, line: &[u8]) {
        self.message(b'd', |out| out.extend(line));
    }

    /// A message without content.
    pub fn plain(&mut self, plain: Plain) {
        self.message(plain as u8, |_| {});
    }

    pub fn error(&mut self, severity: Severity, error: &SqlError) {
        let kind = match severity {
            Severity::Error | Severity::Fatal => b'E',
            Severity::Notice | Severity::Warning => b'N',
        };
        self.message(kind, |out| {
            let mut field = |code: u8, value: &str| {
                out.push(code);
                text(out, value);
            };
            field(b'S', severity.name());
            field(b'V', severity.name());
            field(
                b'C',
                std::str::from_utf8(&error.sqlstate).unwrap_or("XX000"),
            );
            field(b'M', &error.message);
            if let Some(detail) = &error.detail {
                field(b'D', detail);
            }
            if let Some(hint) = &error.hint {
                field(b'H', hint);
            }
            if let Some(context) = &error.context {
                field(b'W', context);
            }
            if let Some(position) = error.position {
                field(b'P', &position.to_string());
            }
            out.push(0);
        });
    }
}

/// Messages that are only a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Plain {
    ParseComplete = b'1',
    BindComplete = b'2',
    CloseComplete = b'3',
    NoData = b'n',
    PortalSuspended = b's',
    EmptyQuery = b'I',
    CopyDone = b'c',
}

/// Ends with a zero byte, so it holds none.
fn text(out: &mut Vec<u8>, value: &str) {
    out.extend(value.bytes().filter(|byte| *byte != 0));
    out.push(0);
}
