//! Record batches v2: validation at the door, iteration, building (KIP-98 format).
//!
//! # Layout
//! ```text
//!  0 base_offset:i64   8 batch_length:i32 (bytes after this field)   12 leader_epoch:i32   16 magic:i8 = 2   17 crc:u32
//! 21 attributes:i16   23 last_offset_delta:i32   27 base_timestamp:i64   35 max_timestamp:i64
//! 43 producer_id:i64  51 producer_epoch:i16  53 base_sequence:i32  57 record_count:i32  61 records
//! ```
//! Big-endian. The checksum is CRC32C over everything from the attributes on, so a broker sets base offset and leader
//! epoch without touching it. Attributes: bits 0-2 compression, 3 timestamp type, 4 transactional, 5 control. The
//! records are compressed as one stream; each is
//! ```text
//! length:varint attributes:i8 timestamp_delta:varlong offset_delta:varint key:bytes value:bytes headers:varint
//! (header_key:bytes header_value:bytes)*        bytes = length:varint (-1: null) and as many bytes; varints are zigzag
//! ```
//!
//! # Limits
//! Compressed records are decompressed in chunks and never yield more than [`output_bytes_max`].

mod aborted;
mod builder;
mod compression;
mod door;
mod records;
mod times;
mod varint;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

pub use aborted::without_aborted;
pub use builder::BatchBuilder;
pub use door::{DoorRules, ValidBatch, Validation, validate, validate_batch};
pub use records::{BareRecord, Record, RecordHeader, Records, for_each_record};
pub use times::{RecordTimes, Search};

use crate::error::ErrorCode;

pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes before `batch_length` starts to count: base offset and the length itself.
const LENGTH_END: usize = 12;
const CRC_AT: usize = 17;
/// Where the bytes under the checksum start.
const ATTRIBUTES_AT: usize = 21;
const MAX_TIMESTAMP_AT: usize = 35;
const MAGIC: i8 = 2;

const COMPRESSION_MASK: i16 = 0x07;
const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// Kafka's "no timestamp".
const NO_TIMESTAMP: i64 = -1;

/// Every batch may expand this far, 16 times the default producer's largest request, however well it compresses.
const OUTPUT_BYTES_MIN: usize = 16 << 20;
/// Beyond, this many times its size: more is a bomb rather than records, and it bounds the work a request can cause.
const OUTPUT_RATIO_MAX: usize = 256;

/// Most bytes that records compressed into `bytes` may expand to.
#[must_use]
pub fn output_bytes_max(bytes: usize) -> usize {
    bytes
        .saturating_mul(OUTPUT_RATIO_MAX)
        .clamp(OUTPUT_BYTES_MIN, i32::MAX as usize)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl Compression {
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The value of Kafka's `compression.type`; `none` for producers is `uncompressed` for topics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    fn from_attributes(attributes: i16) -> Result<Self, BatchError> {
        match attributes & COMPRESSION_MASK {
            0 => Ok(Self::None),
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Snappy),
            3 => Ok(Self::Lz4),
            4 => Ok(Self::Zstd),
            unknown => Err(BatchError::Compression(unknown)),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampType {
    CreateTime,
    LogAppendTime,
}

/// The 61 bytes before the records, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchHeader {
    pub base_offset: Offset,
    pub batch_length: i32,
    pub leader_epoch: LeaderEpoch,
    pub crc: u32,
    pub attributes: i16,
    pub last_offset_delta: i32,
    pub base_timestamp: TimestampMs,
    pub max_timestamp: TimestampMs,
    pub producer_id: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub base_sequence: i32,
    pub record_count: i32,
}

impl BatchHeader {
    /// Magic and bounds only; no CRC. `bytes` may end before the batch does, but not before its records start.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        let Some(head) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(BatchError::Truncated {
                needed: BATCH_HEADER_BYTES,
                left: bytes.len(),
            });
        };
        let magic = head[16] as i8;
        if magic != MAGIC {
            return Err(BatchError::Magic(magic));
        }
        let header = Self {
            base_offset: Offset(i64_at(head, 0)),
            batch_length: i32_at(head, 8),
            leader_epoch: LeaderEpoch(i32_at(head, 12)),
            crc: i32_at(head, CRC_AT) as u32,
            attributes: i16_at(head, ATTRIBUTES_AT),
            last_offset_delta: i32_at(head, 23),
            base_timestamp: TimestampMs(i64_at(head, 27)),
            max_timestamp: TimestampMs(i64_at(head, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId(i64_at(head, 43)),
            producer_epoch: ProducerEpoch(i16_at(head, 51)),
            base_sequence: i32_at(head, 53),
            record_count: i32_at(head, 57),
        };
        let bytes_min = (BATCH_HEADER_BYTES - LENGTH_END) as i32;
        if header.batch_length < bytes_min {
            return Err(BatchError::Length(header.batch_length));
        }
        let delta = i64::from(header.last_offset_delta);
        if delta < 0 || header.base_offset.0.checked_add(delta).is_none() {
            return Err(BatchError::OffsetRange {
                base_offset: header.base_offset,
                last_offset_delta: header.last_offset_delta,
            });
        }
        Ok(header)
    }

    /// 12 + batch_length.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        // `decode` refuses negative lengths.
        LENGTH_END + self.batch_length.unsigned_abs() as usize
    }

    #[must_use]
    pub fn last_offset(&self) -> Offset {
        self.base_offset.plus(self.last_offset_delta.into())
    }

    pub fn compression(&self) -> Result<Compression, BatchError> {
        Compression::from_attributes(self.attributes)
    }

    #[must_use]
    pub fn timestamp_type(&self) -> TimestampType {
        if self.attributes & LOG_APPEND_TIME == 0 {
            TimestampType::CreateTime
        } else {
            TimestampType::LogAppendTime
        }
    }

    #[must_use]
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    #[must_use]
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    #[must_use]
    pub fn is_idempotent(&self) -> bool {
        self.producer_id.0 >= 0
    }
}

fn i64_at(head: &[u8; BATCH_HEADER_BYTES], at: usize) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&head[at..at + 8]);
    i64::from_be_bytes(bytes)
}

fn i32_at(head: &[u8; BATCH_HEADER_BYTES], at: usize) -> i32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&head[at..at + 4]);
    i32::from_be_bytes(bytes)
}

fn i16_at(head: &[u8; BATCH_HEADER_BYTES], at: usize) -> i16 {
    i16::from_be_bytes([head[at], head[at + 1]])
}

/// Why bytes are no record batch, or none that this broker takes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("there is no record batch")]
    Empty,
    #[error("the batch needs {needed} bytes where {left} are left")]
    Truncated { needed: usize, left: usize },
    #[error(
        "{left} bytes follow the record batch; a produce request holds one batch per partition"
    )]
    Trailing { left: usize },
    #[error("the batch length {0} is too small for a batch")]
    Length(i32),
    #[error("message format {0} is not supported, only 2")]
    Magic(i8),
    #[error("the batch has {bytes} bytes, the topic allows {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("the batch's checksum is {computed:#010x}, its header says {stored:#010x}")]
    Crc { stored: u32, computed: u32 },
    #[error("the batch's offsets start at {0}, not at 0")]
    BaseOffset(Offset),
    #[error(
        "the batch has an invalid offset range: base {base_offset}, last delta {last_offset_delta}"
    )]
    OffsetRange {
        base_offset: Offset,
        last_offset_delta: i32,
    },
    #[error(
        "the batch says it has {record_count} records but its last offset delta is {last_offset_delta}"
    )]
    Count {
        record_count: i32,
        last_offset_delta: i32,
    },
    #[error("clients are not allowed to write control records")]
    Control,
    #[error("the batch of producer {producer_id} has the invalid sequence number {base_sequence}")]
    Sequence {
        producer_id: ProducerId,
        base_sequence: i32,
    },
    #[error("compression {0} is unknown")]
    Compression(i16),
    #[error("producers may not set the timestamp type to LogAppendTime")]
    TimestampType,
    #[error(
        "record {index} has timestamp {timestamp}, out of the accepted range from {earliest} to {latest}"
    )]
    Timestamp {
        index: i32,
        timestamp: i64,
        earliest: i64,
        latest: i64,
    },
    #[error("record {index}: {fault}")]
    Record { index: i32, fault: RecordFault },
    #[error("bytes are left after the last record")]
    RecordsLeft,
    #[error("the records are no valid {} data", .0.name())]
    Decompress(Compression),
    #[error("the records expand to more than {bytes_max} bytes")]
    Expansion { bytes_max: usize },
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    #[error("the batch ends within it")]
    Truncated,
    #[error("a variable-length integer is longer than its type")]
    Varint,
    #[error("its fields do not fill it exactly")]
    Length,
    #[error("a length is negative")]
    Negative,
    #[error("its offset delta is not its position in the batch")]
    OffsetDelta,
    #[error("its timestamp overflows")]
    Timestamp,
    #[error("a header has no key")]
    HeaderKey,
}

impl BatchError {
    /// The error that Kafka's broker answers.
    #[must_use]
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Length(_) | Self::Crc { .. } | Self::Decompress(_) => ErrorCode::CorruptMessage,
            Self::Compression(_) => ErrorCode::UnsupportedCompressionType,
            Self::TimestampType | Self::Timestamp { .. } => ErrorCode::InvalidTimestamp,
            Self::Empty
            | Self::Truncated { .. }
            | Self::Trailing { .. }
            | Self::Magic(_)
            | Self::BaseOffset(_)
            | Self::OffsetRange { .. }
            | Self::Count { .. }
            | Self::Control
            | Self::Sequence { .. }
            | Self::Record { .. }
            | Self::RecordsLeft
            | Self::Expansion { .. } => ErrorCode::InvalidRecord,
        }
    }
}

/// Iterates batch views of a fetch response or a log read; a partial batch at the end is ignored. An error ends it.
pub fn batches(bytes: &[u8]) -> impl Iterator<Item = Result<(BatchHeader, &[u8]), BatchError>> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        if left.len() < BATCH_HEADER_BYTES {
            return None;
        }
        let header = match BatchHeader::decode(left) {
            Ok(header) => header,
            Err(error) => {
                left = &[];
                return Some(Err(error));
            }
        };
        let Some((batch, after)) = left.split_at_checked(header.size_bytes()) else {
            left = &[];
            return None;
        };
        left = after;
        Some(Ok((header, batch)))
    })
}

/// Sets what a leader sets and the checksum does not cover. `batch` may be its first 16 bytes only.
///
/// Panics when `batch` is shorter.
pub fn assign(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
    batch[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[12..16].copy_from_slice(&leader_epoch.0.to_be_bytes());
}

/// Makes a sound batch part of its producer's transaction, with a new checksum.
///
/// Panics when `batch` is shorter than a header.
pub fn stamp_transactional(
    batch: &mut [u8],
    id: ProducerId,
    epoch: ProducerEpoch,
    base_sequence: i32,
) {
    let attributes = i16::from_be_bytes([batch[ATTRIBUTES_AT], batch[ATTRIBUTES_AT + 1]]);
    let attributes = (attributes | TRANSACTIONAL).to_be_bytes();
    batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes);
    batch[43..51].copy_from_slice(&id.0.to_be_bytes());
    batch[51..53].copy_from_slice(&epoch.0.to_be_bytes());
    batch[53..57].copy_from_slice(&base_sequence.to_be_bytes());
    seal(batch);
}

/// Records compressed as [`BatchBuilder`] does it, without a batch around them.
#[must_use]
pub fn compress(compression: Compression, records: &[u8]) -> Vec<u8> {
    let mut packed = Vec::new();
    compression::compress(compression, records, &mut packed);
    packed
}

/// Computes the checksum of a whole batch anew and writes it.
fn seal(batch: &mut [u8]) {
    let crc = iobuf::crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
}

/// The batch under another header: its sizes and checksum are made right.
fn assemble(header: &BatchHeader, records: Cow<'_, [u8]>) -> Vec<u8> {
    let mut batch = Vec::with_capacity(BATCH_HEADER_BYTES + records.len());
    let batch_length = (BATCH_HEADER_BYTES - LENGTH_END + records.len()) as i32;
    batch.extend_from_slice(&header.base_offset.0.to_be_bytes());
    batch.extend_from_slice(&batch_length.to_be_bytes());
    batch.extend_from_slice(&header.leader_epoch.0.to_be_bytes());
    batch.push(MAGIC as u8);
    batch.extend_from_slice(&[0; 4]);
    batch.extend_from_slice(&header.attributes.to_be_bytes());
    batch.extend_from_slice(&header.last_offset_delta.to_be_bytes());
    batch.extend_from_slice(&header.base_timestamp.0.to_be_bytes());
    batch.extend_from_slice(&header.max_timestamp.0.to_be_bytes());
    batch.extend_from_slice(&header.producer_id.0.to_be_bytes());
    batch.extend_from_slice(&header.producer_epoch.0.to_be_bytes());
    batch.extend_from_slice(&header.base_sequence.to_be_bytes());
    batch.extend_from_slice(&header.record_count.to_be_bytes());
    batch.extend_from_slice(&records);
    seal(&mut batch);
    batch
}
