//! Record batches v2: validation at the door, iteration, building (KIP-98 format).
#![allow(clippy::todo, unused_variables, missing_docs, dead_code)]
use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use std::borrow::Cow;

pub const BATCH_HEADER_BYTES: usize = 61;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// Magic and bounds only; no CRC.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        todo!()
    }
    /// 12 + batch_length.
    pub fn size_bytes(&self) -> usize {
        todo!()
    }
    pub fn last_offset(&self) -> Offset {
        todo!()
    }
    pub fn compression(&self) -> Result<Compression, BatchError> {
        todo!()
    }
    pub fn timestamp_type(&self) -> TimestampType {
        todo!()
    }
    pub fn is_transactional(&self) -> bool {
        todo!()
    }
    pub fn is_control(&self) -> bool {
        todo!()
    }
    pub fn is_idempotent(&self) -> bool {
        todo!()
    }
}
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    #[error("placeholder")]
    P,
}

/// What the door checks (Kafka's LogValidator): one batch whole, CRC, counts against deltas, offsets dense, records parse and
/// fill the batch exactly, timestamps in bounds; compressed records too (streamed, output bounded).
pub struct DoorRules {
    pub batch_bytes_max: usize,
    pub timestamp_type: TimestampType,
    pub now: TimestampMs,
    pub timestamp_before_ms_max: i64,
    pub timestamp_after_ms_max: i64,
    pub compression: Option<Compression>,
}
/// Validates the batches of one partition's produce data back to back.
pub fn validate<'a>(
    records: &'a [u8],
    rules: &DoorRules,
) -> Result<Vec<ValidBatch<'a>>, BatchError> {
    todo!()
}
/// A validated batch; `bytes` is borrowed when stored as received, owned when recompressed (topic compression.type) or restamped (LogAppendTime).
pub struct ValidBatch<'a> {
    pub header: BatchHeader,
    pub bytes: Cow<'a, [u8]>,
}
/// Iterates batch views of a fetch response or a log read; a partial batch at the end is ignored.
pub fn batches(bytes: &[u8]) -> impl Iterator<Item = Result<(BatchHeader, &[u8]), BatchError>> {
    std::iter::empty()
}

/// Key and value of a record header.
pub type RecordHeader<'a> = (Cow<'a, str>, Option<Cow<'a, [u8]>>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: Offset,
    pub timestamp: TimestampMs,
    pub key: Option<Cow<'a, [u8]>>,
    pub value: Option<Cow<'a, [u8]>>,
    pub headers: Vec<RecordHeader<'a>>,
}
/// Decompresses (output at most `output_bytes_max`) and hands each record to `each`.
pub fn for_each_record(
    batch: &[u8],
    output_bytes_max: usize,
    each: impl FnMut(Record<'_>) -> bool,
) -> Result<(), BatchError> {
    todo!()
}

/// Builds one batch.
pub struct BatchBuilder {
    _p: (),
}
impl BatchBuilder {
    pub fn new(compression: Compression) -> Self {
        todo!()
    }
    pub fn producer(self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        todo!()
    }
    pub fn control(self) -> Self {
        todo!()
    }
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        todo!()
    }
    pub fn record_count(&self) -> u32 {
        todo!()
    }
    pub fn size_estimate(&self) -> usize {
        todo!()
    }
    pub fn finish(self) -> Vec<u8> {
        todo!()
    }
}
