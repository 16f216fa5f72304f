//! Batches of one partition between `send` and their acknowledgement.
//!
//! # Invariants
//! 1. Batches leave in the order of their numbers; after a failure nothing more leaves until all in flight are
//!    answered, then the failed ones first (`muted`).
//! 2. A batch that may already be in the log keeps its producer id, epoch and sequence for ever, so that the broker can
//!    tell a repetition (KIP-98); one that was certainly refused may be stamped anew.

#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::VecDeque, rc::Rc};

use base::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use iobuf::{Buf, crc32c};
use kafka::batch::{BatchBuilder, Compression};
use runtime::{Instant, budget::Permit, sync::Notify};

use crate::error::ProduceError;

/// Positions in a batch header (KIP-98's record batch): the checksum covers everything behind itself.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const SEQUENCE_AT: usize = 53;

/// Base offset and append time of an acknowledged batch; no offset when the broker does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchAck {
    pub base_offset: Option<Offset>,
    pub append_time: Option<TimestampMs>,
}

/// Where the result of a batch appears, shared by the deliveries of its records.
#[derive(Default)]
pub(crate) struct Outcome {
    pub result: RefCell<Option<Result<BatchAck, ProduceError>>>,
    pub done: Notify,
}

impl Outcome {
    pub(crate) fn set(&self, result: Result<BatchAck, ProduceError>) {
        *self.result.borrow_mut() = Some(result);
        self.done.notify_all();
    }
}

/// Who wrote a batch, and as which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub sequence: i32,
}

pub(crate) struct Batch {
    /// Order within the partition.
    pub number: u64,
    pub created: Instant,
    pub records: u32,
    pub outcome: Rc<Outcome>,
    body: Body,
    pub stamp: Option<Stamp>,
    /// An attempt ended without a definite answer: it may be in the log.
    pub maybe_written: bool,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    _memory: Permit,
}

enum Body {
    Open(Box<BatchBuilder>),
    Sealed(Buf),
    /// Only while moving from one to the other.
    Taken,
}

impl Batch {
    pub(crate) fn new(
        number: u64,
        compression: Compression,
        created: Instant,
        memory: Permit,
    ) -> Self {
        Self {
            number,
            created,
            records: 0,
            outcome: Rc::default(),
            body: Body::Open(Box::new(BatchBuilder::new(compression))),
            stamp: None,
            maybe_written: false,
            last_error: None,
            _memory: memory,
        }
    }

    /// Bytes so far, before compression.
    pub(crate) fn size_bytes(&self) -> usize {
        match &self.body {
            Body::Open(builder) => builder.size_estimate(),
            Body::Sealed(bytes) => bytes.len(),
            Body::Taken => 0,
        }
    }

    /// Appends a record; its index in the batch, or `None` when the batch is sealed.
    pub(crate) fn push(
        &mut self,
        timestamp: TimestampMs,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[(&str, Option<&[u8]>)],
    ) -> Option<u32> {
        let Body::Open(builder) = &mut self.body else {
            return None;
        };
        builder.push(timestamp, key, value, headers);
        let index = self.records;
        self.records += 1;
        Some(index)
    }

    /// The batch as it goes on the wire, written as `stamp` (idempotent producers).
    pub(crate) fn encode(&mut self, stamp: Option<Stamp>) -> Buf {
        let body = std::mem::replace(&mut self.body, Body::Taken);
        let bytes = match body {
            Body::Open(mut builder) => {
                if let Some(stamp) = stamp {
                    *builder = builder.producer(stamp.id, stamp.epoch, stamp.sequence);
                }
                Buf::from(builder.finish())
            }
            Body::Sealed(bytes) if self.stamp == stamp => bytes,
            Body::Sealed(bytes) => restamp(&bytes, stamp),
            Body::Taken => Buf::new(),
        };
        self.stamp = stamp;
        self.body = Body::Sealed(bytes.clone());
        bytes
    }
}

/// A copy with another producer id, epoch and sequence, and the checksum over them.
fn restamp(batch: &[u8], stamp: Option<Stamp>) -> Buf {
    let none = Stamp {
        id: ProducerId(-1),
        epoch: ProducerEpoch(-1),
        sequence: -1,
    };
    let stamp = stamp.unwrap_or(none);
    let mut bytes = batch.to_vec();
    bytes[PRODUCER_ID_AT..PRODUCER_EPOCH_AT].copy_from_slice(&stamp.id.0.to_be_bytes());
    bytes[PRODUCER_EPOCH_AT..SEQUENCE_AT].copy_from_slice(&stamp.epoch.0.to_be_bytes());
    bytes[SEQUENCE_AT..SEQUENCE_AT + 4].copy_from_slice(&stamp.sequence.to_be_bytes());
    let crc = crc32c(&bytes[CRC_FROM..]);
    bytes[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    Buf::from(bytes)
}

/// What waits, is on its way, or must go again.
#[derive(Default)]
pub(crate) struct PartitionQueue {
    /// Filling; the newest.
    pub open: Option<Batch>,
    /// Full, never sent.
    pub sealed: VecDeque<Batch>,
    /// Sent and failed, by number.
    pub failed: VecDeque<Batch>,
    /// Numbers of the batches on their way.
    pub in_flight: Vec<u64>,
    pub next_number: u64,
    pub next_sequence: i32,
    /// Nothing leaves before all in flight are answered.
    pub muted: bool,
    /// Nothing leaves before this.
    pub not_before: Option<Instant>,
    /// The sequence is broken: a new producer id is needed before anything new leaves.
    pub broken: Option<String>,
}

impl PartitionQueue {
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_none()
            && self.sealed.is_empty()
            && self.failed.is_empty()
            && self.in_flight.is_empty()
    }

    /// Seals the open batch.
    pub(crate) fn seal(&mut self) {
        if let Some(batch) = self.open.take() {
            self.sealed.push_back(batch);
        }
    }

    /// A failed batch goes back in its place.
    pub(crate) fn put_back(&mut self, batch: Batch) {
        let at = self.failed.partition_point(|b| b.number < batch.number);
        self.failed.insert(at, batch);
        self.muted = true;
    }

    /// Whether a batch before `number` has no final answer yet.
    pub(crate) fn unresolved_before(&self, number: u64) -> bool {
        self.in_flight.iter().any(|n| *n < number)
            || self.failed.iter().any(|batch| batch.number < number)
    }

    pub(crate) fn answered(&mut self, number: u64) {
        self.in_flight.retain(|n| *n != number);
        if self.in_flight.is_empty() {
            self.muted = false;
        }
    }

    /// The next sequence for `records` more records; wraps as Kafka's does.
    pub(crate) fn take_sequence(&mut self, records: u32) -> i32 {
        let first = self.next_sequence;
        let next = (i64::from(first) + i64::from(records)) % (i64::from(i32::MAX) + 1);
        self.next_sequence = next as i32;
        first
    }
}
