//! Validation of produced batches, as Kafka's `LogValidator` and `UnifiedLog` do it.

use std::borrow::Cow;

use base::{Offset, TimestampMs, limits};

use super::{
    ATTRIBUTES_AT, BATCH_HEADER_BYTES, BatchError, BatchHeader, COMPRESSION_MASK, Compression,
    LOG_APPEND_TIME, MAX_TIMESTAMP_AT, NO_TIMESTAMP, TimestampType, assemble,
    compression::{Compressor, Decompressor},
    output_bytes_max,
    records::{CHUNK_BYTES, Opened, Source, Walk},
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
    source: Option<Opened<'a>>,
    recompression: Option<Recompression<'a>>,
    ended: bool,
}

/// The records on their way into the topic's compression.
struct Recompression<'a> {
    from: Packed<'a>,
    to: Compression,
    compressor: Compressor,
}

enum Packed<'a> {
    Plain(&'a [u8]),
    Compressed {
        decompressor: Decompressor<'a>,
        chunk: Box<[u8]>,
    },
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
            recompression: None,
            ended: false,
        })
    }

    /// Works through about `bytes` more bytes (of the batch for its checksum, then of its records uncompressed, then of
    /// those again into the topic's compression; a record is never split); whether all is done.
    pub fn advance(&mut self, bytes: usize) -> Result<bool, BatchError> {
        if self.ended {
            return Ok(true);
        }
        let mut budget = bytes.max(1);
        if let Some(recompression) = &mut self.recompression {
            self.ended = recompression.advance(budget)?;
            return Ok(self.ended);
        }
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
            none => {
                let records = &self.batch[BATCH_HEADER_BYTES..];
                let bytes_max = output_bytes_max(records.len());
                none.insert(Opened::new(self.compression, records, bytes_max)?)
            }
        };
        let (walked, plain_bytes) = match source {
            Opened::Plain(plain) => {
                let walked = self.walk.advance(plain, budget as u64)?;
                (walked, plain.position())
            }
            Opened::Chunked(chunked) => {
                let walked = self.walk.advance(chunked, budget as u64)?;
                (walked, chunked.position())
            }
        };
        if walked {
            // Hands the decompressor's state back for the next batch.
            self.source = None;
            self.recompression = self.recompression(plain_bytes)?;
            self.ended = self.recompression.is_none();
        }
        Ok(self.ended)
    }

    /// What is left to do for the topic's compression; the records are checked already and stay as they are.
    fn recompression(&self, plain_bytes: u64) -> Result<Option<Recompression<'a>>, BatchError> {
        let to = self.rules.compression;
        let Some(to) = to.filter(|to| *to != self.compression) else {
            return Ok(None);
        };
        // Before the work: no batch holds more, compressed or not.
        let mut bytes_max = limits::BATCH_BYTES_MAX;
        if to == Compression::None {
            bytes_max = bytes_max.min(self.rules.batch_bytes_max);
        }
        let bytes = usize::try_from(plain_bytes).unwrap_or(usize::MAX);
        let bytes = bytes.saturating_add(BATCH_HEADER_BYTES);
        if bytes > bytes_max {
            return Err(BatchError::TooLarge { bytes, bytes_max });
        }
        let packed = &self.batch[BATCH_HEADER_BYTES..];
        let from = match self.compression {
            Compression::None => Packed::Plain(packed),
            compression => {
                let bytes_max = output_bytes_max(packed.len());
                Packed::Compressed {
                    decompressor: Decompressor::new(compression, packed, bytes_max)?,
                    chunk: vec![0; CHUNK_BYTES].into_boxed_slice(),
                }
            }
        };
        Ok(Some(Recompression {
            from,
            to,
            compressor: Compressor::new(to, plain_bytes),
        }))
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
        match self.recompression {
            Some(recompression) => recompression.finish(header, &self.rules),
            None => Ok(restamp(header, self.batch)),
        }
    }
}

impl Recompression<'_> {
    /// Works through about `bytes` more bytes of plain records; whether all are through.
    fn advance(&mut self, bytes: usize) -> Result<bool, BatchError> {
        let mut left = bytes;
        while left > 0 {
            let plain = match &mut self.from {
                Packed::Plain(rest) => {
                    let (plain, later) = rest.split_at(left.min(CHUNK_BYTES).min(rest.len()));
                    *rest = later;
                    plain
                }
                Packed::Compressed {
                    decompressor,
                    chunk,
                } => {
                    let filled = decompressor.read(chunk)?;
                    &chunk[..filled]
                }
            };
            if plain.is_empty() {
                return Ok(true);
            }
            self.compressor.write(plain);
            left = left.saturating_sub(plain.len());
        }
        Ok(false)
    }

    fn finish<'a>(
        self,
        mut header: BatchHeader,
        rules: &DoorRules,
    ) -> Result<ValidBatch<'a>, BatchError> {
        let records = self.compressor.finish();
        check_size(BATCH_HEADER_BYTES + records.len(), rules)?;
        header.attributes = (header.attributes & !COMPRESSION_MASK) | self.to as i16;
        let bytes = assemble(&header, Cow::Owned(records));
        let header = BatchHeader::decode(&bytes)?;
        Ok(ValidBatch {
            header,
            bytes: Cow::Owned(bytes),
        })
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
