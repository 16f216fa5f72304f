//! Outcomes of opening, appending and reading, and what damage looks like.

use base::{Offset, RaftIndex};

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    #[error("{0}")]
    Io(String),
    #[error("the data has format version {found}, this program reads and writes version {known}")]
    Version { found: u32, known: u32 },
    #[error("{0}")]
    Corrupt(Corrupt),
}

/// Damage: which file, where, what should have stood there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} is damaged at byte {at}: expected {expected}, found {found}")]
pub struct Corrupt {
    pub file: String,
    pub at: u64,
    pub expected: String,
    pub found: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("the disk is full: {available_bytes} bytes left")]
    Full { available_bytes: u64 },
    #[error("the partition is quarantined: {0}")]
    Quarantined(Corrupt),
    #[error("the log is closed")]
    Closed,
    /// The staging budget is used up, or the log is being truncated: wait with `Log::append_ready` and try again.
    #[error("the journal cannot take more right now")]
    Busy,
    #[error("{bytes} bytes at once; the limit is {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("offset {wanted} is outside {start}..{end}")]
    OutOfRange {
        wanted: Offset,
        start: Offset,
        end: Offset,
    },
    #[error("index {wanted} is outside {start}..{end}")]
    IndexOutOfRange {
        wanted: RaftIndex,
        start: RaftIndex,
        end: RaftIndex,
    },
    #[error("the partition is quarantined: {0}")]
    Quarantined(Corrupt),
    #[error("the log is closed")]
    Closed,
    #[error("reading failed: {0}")]
    Io(String),
}
