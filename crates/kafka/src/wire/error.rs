//! Errors of decoding and encoding messages.

/// Why bytes are no message of the expected key and version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("{needed} bytes are needed where {left} are left")]
    Truncated { needed: usize, left: usize },
    #[error("an array claims {count} items where {left} bytes are left")]
    Count { count: i64, left: usize },
    #[error("the length {0} is negative")]
    NegativeLength(i64),
    #[error("null where this version allows no null")]
    Null,
    #[error("a variable-length integer is longer than its type")]
    Varint,
    #[error("a string is not UTF-8")]
    Utf8,
    #[error("a string of {0} bytes; the limit is 32767")]
    StringTooLong(usize),
    #[error("{left} bytes follow the end of the message")]
    Trailing { left: usize },
    #[error("{left} bytes follow the end of tagged field {tag}")]
    TagTrailing { tag: u32, left: usize },
    #[error("API key {api_key} has no version {version} here")]
    UnsupportedVersion { api_key: i16, version: i16 },
    #[error("a frame of {bytes} bytes; the limit is {bytes_max}")]
    FrameSize { bytes: i64, bytes_max: usize },
}

/// Why a message cannot be written at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    #[error("API key {api_key} has no version {version} here")]
    UnsupportedVersion { api_key: i16, version: i16 },
    #[error("field {field} is set but does not exist at version {version}")]
    Unsupported { field: &'static str, version: i16 },
    #[error("a null where version {version} allows none")]
    Null { version: i16 },
    #[error("a string of {0} bytes exceeds what its length field holds")]
    StringTooLong(usize),
    #[error("an array or byte string of {0} exceeds what its length field holds")]
    TooLong(usize),
}
