//! Validation of produced batches, as Kafka's `LogValidator` and `UnifiedLog` do it.

use std::borrow::Cow;

use base::{Offset, TimestampMs};

use super::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchError, BatchHeader, COMPRESSION_MASK, Compression,
    LOG_APPEND_TIME, MAX_TIMESTAMP_AT, NO_TIMESTAMP, TimestampType, assemble,
    compression::{Decompressor, compress},
    output_bytes_max,
    records::{Chunked, Plain, Walk},
    seal,
};

/// What the door checks (Kafka's LogValidator): one batch whole, CRC, counts against deltas, offsets dense, records parse
/// and fill the batch exactly, timestamps in bounds; compressed records too (streamed, output bounded).
#[derive(Clone, Copy, Debug)]
pub struct DoorRules {
    /// `max.message.bytes`.
    pub batch_bytes_max: usize,
    /// `message.timestamp.type`.
    pub timestamp_type: TimestampType,
    pub now: TimestampMs,
    /// `message.timestamp.before.max.ms`; negative counts as 0.
    pub timestamp_before_ms_max: i64,
    /// `message.timestamp.after.max.ms`; negative counts as 0.
    pub timestamp_after_ms_max: i64,
    /// `compression.type`; `None` for `producer`.
    pub compression: Option<Compression>,
}

/// A validated batch; `bytes` is borrowed when stored as received, owned when recompressed (topic `compression.type`) or
/// restamped (LogAppendTime, or a wrong maximum timestamp in the header).
#[derive(Clone, Debug)]
pub struct ValidBatch<'a> {
    pub header: BatchHeader,
    pub bytes: Cow<'a, [u8]>,
}

/// Validates one partition's produce data, which since Produce v3 is exactly one batch.
pub fn validate<'a>(
    records: &'a [u8],
    rules: &DoorRules,
) -> Result<Vec<ValidBatch<'a>>, BatchError> {
    Ok(vec![validate_batch(records, rules)?])
}

/// [`validate`] without the vector.
pub fn validate_batch<'a>(
    records: &'a [u8],
    rules: &DoorRules,
) -> Result<ValidBatch<'a>, BatchError> {
    let mut validation = Validation::new(records, rules)?;
    while !validation.advance(usize::MAX)? {}
    validation.finish()
}

/// Validation in steps, for callers that must not hold their shard for the time a large batch takes.
pub struct Validation<'a> {
    rules: DoorRules,
    header: BatchHeader,
    compression: Compression,
    batch: &'a [u8],
    /// Bytes under the checksum not seen yet, and the checksum of those seen.
    unchecked: &'a [u8],
    crc: u32,
    walk: Walk,
    source: Option<Source<'a>>,
    ended: bool,
}

enum Source<'a> {
    Plain(Plain<'a>),
    Chunked(Chunked<'a>),
}

impl<'a> Validation<'a> {
    /// Checks what the header alone shows; takes constant time.
    pub fn new(records: &'a [u8], rules: &DoorRules) -> Result<Self, BatchError> {
        if records.is_empty() {
            return Err(BatchError::Empty);
        }
        let header = BatchHeader::decode(records)?;
        let bytes = header.size_bytes();
        let Some((batch, after)) = records.split_at_checked(bytes) else {
            return Err(BatchError::Truncated {
                needed: bytes,
                left: records.len(),
            });
        };
        if !after.is_empty() {
            return Err(BatchError::Trailing { left: after.len() });
        }
        check_size(bytes, rules)?;
        check_header(&header)?;
        let now = rules.now.0;
        let (earliest, latest) = match rules.timestamp_type {
            TimestampType::LogAppendTime => (i64::MIN, i64::MAX),
            TimestampType::CreateTime => (
                now.saturating_sub(rules.timestamp_before_ms_max.max(0)),
                now.saturating_add(rules.timestamp_after_ms_max.max(0)),
            ),
        };
        Ok(Self {
            rules: *rules,
            compression: header.compression()?,
            batch,
            unchecked: &batch[ATTRIBUTES_AT..],
            crc: iobuf::crc32c(&[]),
            walk: Walk {
                record_count: header.record_count,
                base_timestamp: header.base_timestamp.0,
                earliest,
                latest,
                next: 0,
                max_timestamp: NO_TIMESTAMP,
            },
            header,
            source: None,
            ended: false,
        })
    }

    /// Works through about `bytes` more bytes (of the batch for its checksum, then of its records uncompressed; a record
    /// is never split); whether all is done.
    pub fn advance(&mut self, bytes: usize) -> Result<bool, BatchError> {
        if self.ended {
            return Ok(true);
        }
        let mut budget = bytes.max(1);
        if !self.unchecked.is_empty() {
            let (now, later) = self.unchecked.split_at(budget.min(self.unchecked.len()));
            self.crc = iobuf::crc32c_append(self.crc, now);
            self.unchecked = later;
            budget -= now.len();
            if !later.is_empty() {
                return Ok(false);
            }
            if self.crc != self.header.crc {
                return Err(BatchError::Crc {
                    stored: self.header.crc,
                    computed: self.crc,
                });
            }
        }
        let source = match &mut self.source {
            Some(source) => source,
            none => none.insert(open(self.compression, &self.batch[BATCH_HEADER_BYTES..])?),
        };
        self.ended = match source {
            Source::Plain(plain) => self.walk.advance(plain, budget as u64)?,
            Source::Chunked(chunked) => self.walk.advance(chunked, budget as u64)?,
        };
        if self.ended {
            // Hands the decompressor's state back for the next batch.
            self.source = None;
        }
        Ok(self.ended)
    }

    /// The batch as it is to be stored. Panics when [`Self::advance`] has not said that all is done.
    pub fn finish(self) -> Result<ValidBatch<'a>, BatchError> {
        assert!(self.ended, "the batch is walked to its end first");
        let mut header = self.header;
        header.max_timestamp = match self.rules.timestamp_type {
            TimestampType::CreateTime => TimestampMs(self.walk.max_timestamp),
            TimestampType::LogAppendTime => self.rules.now,
        };
        if self.rules.timestamp_type == TimestampType::LogAppendTime {
            header.attributes |= LOG_APPEND_TIME;
        }
        if let Some(compression) = self.rules.compression
            && compression != self.compression
        {
            return recompress(
                header,
                self.compression,
                compression,
                self.batch,
                &self.rules,
            );
        }
        Ok(restamp(header, self.batch))
    }
}

fn check_size(bytes: usize, rules: &DoorRules) -> Result<(), BatchError> {
    if bytes > rules.batch_bytes_max {
        return Err(BatchError::TooLarge {
            bytes,
            bytes_max: rules.batch_bytes_max,
        });
    }
    Ok(())
}

fn check_header(header: &BatchHeader) -> Result<(), BatchError> {
    if header.base_offset != Offset::ZERO {
        return Err(BatchError::BaseOffset(header.base_offset));
    }
    // `decode` refused negative deltas, so this refuses counts below 1 too.
    if i64::from(header.record_count) != i64::from(header.last_offset_delta) + 1 {
        return Err(BatchError::Count {
            record_count: header.record_count,
            last_offset_delta: header.last_offset_delta,
        });
    }
    if header.is_control() {
        return Err(BatchError::Control);
    }
    if header.is_idempotent() && header.base_sequence < 0 {
        return Err(BatchError::Sequence {
            producer_id: header.producer_id,
            base_sequence: header.base_sequence,
        });
    }
    if header.timestamp_type() == TimestampType::LogAppendTime {
        return Err(BatchError::TimestampType);
    }
    Ok(())
}

fn open(compression: Compression, records: &[u8]) -> Result<Source<'_>, BatchError> {
    Ok(match compression {
        Compression::None => Source::Plain(Plain::new(records)),
        _ => {
            let bytes_max = output_bytes_max(records.len());
            Source::Chunked(Chunked::new(Decompressor::new(
                compression,
                records,
                bytes_max,
            )?))
        }
    })
}

/// The batch under `header`, copied only when timestamp or attributes changed.
fn restamp(mut header: BatchHeader, batch: &[u8]) -> ValidBatch<'_> {
    let attributes = header.attributes.to_be_bytes();
    let max_timestamp = header.max_timestamp.0.to_be_bytes();
    let timestamp_end = MAX_TIMESTAMP_AT + max_timestamp.len();
    if batch[ATTRIBUTES_AT..ATTRIBUTES_AT + 2] == attributes
        && batch[MAX_TIMESTAMP_AT..timestamp_end] == max_timestamp
    {
        return ValidBatch {
            header,
            bytes: Cow::Borrowed(batch),
        };
    }
    let mut bytes = batch.to_vec();
    bytes[ATTRIBUTES_AT..ATTRIBUTES_AT + 2].copy_from_slice(&attributes);
    bytes[MAX_TIMESTAMP_AT..timestamp_end].copy_from_slice(&max_timestamp);
    seal(&mut bytes);
    header.crc = iobuf::crc32c(&bytes[ATTRIBUTES_AT..]);
    ValidBatch {
        header,
        bytes: Cow::Owned(bytes),
    }
}

/// The batch with its records in the topic's compression; they are checked already and stay as they are.
fn recompress<'a>(
    mut header: BatchHeader,
    from: Compression,
    to: Compression,
    batch: &[u8],
    rules: &DoorRules,
) -> Result<ValidBatch<'a>, BatchError> {
    let packed = &batch[BATCH_HEADER_BYTES..];
    let plain = match from {
        Compression::None => Cow::Borrowed(packed),
        _ => {
            let mut plain = Vec::new();
            let bytes_max = output_bytes_max(packed.len());
            Decompressor::new(from, packed, bytes_max)?.read_all(&mut plain)?;
            Cow::Owned(plain)
        }
    };
    let records = match to {
        Compression::None => plain,
        _ => {
            let mut records = Vec::new();
            compress(to, &plain, &mut records);
            Cow::Owned(records)
        }
    };
    check_size(BATCH_HEADER_BYTES + records.len(), rules)?;
    header.attributes = (header.attributes & !COMPRESSION_MASK) | to as i16;
    let bytes = assemble(&header, records);
    let header = BatchHeader::decode(&bytes)?;
    Ok(ValidBatch {
        header,
        bytes: Cow::Owned(bytes),
    })
}
