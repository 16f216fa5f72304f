//! Builder of record batches.

use std::borrow::Cow;

use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};

use super::{
    BATCH_HEADER_BYTES, BatchHeader, CONTROL, Compression, NO_TIMESTAMP, TRANSACTIONAL, assemble,
    compression::compress,
    varint::{put, size},
};

/// Builds one batch.
pub struct BatchBuilder {
    compression: Compression,
    attributes: i16,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    base_sequence: i32,
    base_timestamp: i64,
    max_timestamp: i64,
    record_count: i32,
    /// Records so far, uncompressed.
    records: Vec<u8>,
}

impl BatchBuilder {
    #[must_use]
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            attributes: compression as i16,
            producer_id: ProducerId(-1),
            producer_epoch: ProducerEpoch(-1),
            base_sequence: -1,
            base_timestamp: NO_TIMESTAMP,
            max_timestamp: NO_TIMESTAMP,
            record_count: 0,
            records: Vec::new(),
        }
    }

    /// Makes it the batch of an idempotent producer (KIP-98).
    #[must_use]
    pub fn producer(mut self, id: ProducerId, epoch: ProducerEpoch, base_sequence: i32) -> Self {
        self.producer_id = id;
        self.producer_epoch = epoch;
        self.base_sequence = base_sequence;
        self
    }

    /// Makes it part of its producer's transaction.
    #[must_use]
    pub fn transactional(mut self) -> Self {
        self.attributes |= TRANSACTIONAL;
        self
    }

    /// Makes it a control batch.
    #[must_use]
    pub fn control(mut self) -> Self {
        self.attributes |= CONTROL;
        self
    }

    /// Appends a record; the first one's timestamp is the batch's base.
    ///
    /// Panics when the batch would exceed 2 GiB: callers roll over long before.
    pub fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) {
        if self.record_count == 0 {
            self.base_timestamp = timestamp.0;
        }
        let timestamp_delta = timestamp.0.wrapping_sub(self.base_timestamp);
        let offset_delta = i64::from(self.record_count);
        let headers_bytes: usize = headers
            .iter()
            .map(|(key, value)| bytes_size(Some(key.as_bytes())) + bytes_size(*value))
            .sum();
        let length = 1
            + size(timestamp_delta)
            + size(offset_delta)
            + bytes_size(key)
            + bytes_size(value)
            + size(headers.len() as i64)
            + headers_bytes;
        assert!(
            self.records.len() + length < i32::MAX as usize / 2,
            "a batch stays far below 2 GiB"
        );
        let out = &mut self.records;
        put(out, length as i64);
        out.push(0);
        put(out, timestamp_delta);
        put(out, offset_delta);
        put_bytes(out, key);
        put_bytes(out, value);
        put(out, headers.len() as i64);
        for (key, value) in headers {
            put_bytes(out, Some(key.as_bytes()));
            put_bytes(out, *value);
        }
        self.max_timestamp = self.max_timestamp.max(timestamp.0);
        self.record_count += 1;
    }

    #[must_use]
    pub fn record_count(&self) -> u32 {
        self.record_count.unsigned_abs()
    }

    /// Bytes of the batch if its records are not compressed.
    #[must_use]
    pub fn size_estimate(&self) -> usize {
        BATCH_HEADER_BYTES + self.records.len()
    }

    /// The encoded batch, base offset 0 and leader epoch -1 as producers send it.
    ///
    /// Panics without any record: Kafka has no empty batch that a client may send.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        assert!(self.record_count > 0, "a batch has at least one record");
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            batch_length: 0,
            leader_epoch: LeaderEpoch(-1),
            crc: 0,
            attributes: self.attributes,
            last_offset_delta: self.record_count - 1,
            base_timestamp: TimestampMs(self.base_timestamp),
            max_timestamp: TimestampMs(self.max_timestamp),
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            record_count: self.record_count,
        };
        let records = match self.compression {
            Compression::None => Cow::Owned(self.records),
            compression => {
                let mut packed = Vec::with_capacity(self.records.len() / 2);
                compress(compression, &self.records, &mut packed);
                Cow::Owned(packed)
            }
        };
        assemble(&header, records)
    }
}

fn bytes_size(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(size(-1), |bytes| size(bytes.len() as i64) + bytes.len())
}

fn put_bytes(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => put(out, -1),
        Some(bytes) => {
            put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
