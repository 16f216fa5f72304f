//! The window of each idempotent producer in one partition: which batches it sent last (KIP-98).
//!
//! # Place
//! Part of a partition, on its shard. It is rebuilt from the last saved snapshot and the batch headers behind it, and
//! changes with each append of the leader: it describes the log up to its end.
//!
//! # Invariants
//! 1. A batch that was appended and repeats within the last `PRODUCER_BATCHES_KEPT` of its producer is found as a
//!    duplicate, also after a restart.
//! 2. Sequences of one producer and epoch have no gap in the log, except where the producer's state was expired.
//!
//! # Layout
//! Snapshot, little-endian: `version u8 | count u32 |` per producer `id i64 | epoch i16 | used_ms i64 | batches u8 |` per
//! batch `first_sequence i32 | last_sequence i32 | base_offset i64 | timestamp_ms i64`, oldest first.
//!
//! # Limits
//! `PRODUCERS_MAX` producers; beyond it the longest unused are forgotten, which is what expiry would do later.
//!
//! # Instead of
//! Expiry by the batches' own timestamps, as Kafka does: a producer replaying old events would lose its window at once.

use std::collections::BTreeMap;

use base::{Offset, ProducerEpoch, ProducerId, TimestampMs, limits::PRODUCER_BATCHES_KEPT};
use kafka::batch::BatchHeader;

/// Producers remembered per partition. A window is about 200 bytes, so a partition holds at most 4 MiB of them.
pub const PRODUCERS_MAX: usize = 20_000;

const SNAPSHOT_VERSION: u8 = 1;
const BATCH_BYTES: usize = 24;

/// A batch already in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentBatch {
    pub first_sequence: i32,
    pub last_sequence: i32,
    pub base_offset: Offset,
    /// LogAppendTime of the batch, or -1 with CreateTime.
    pub timestamp: TimestampMs,
}

/// What a batch is to its producer's window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Append it. Also for batches without a producer id.
    Next,
    Duplicate(SentBatch),
}

/// Why a batch does not fit its producer's window.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error(
        "Out of order sequence number for producer {producer}: {found} (incoming seq. number), {last} (current end sequence number)"
    )]
    OutOfOrder {
        producer: ProducerId,
        found: i32,
        last: i32,
    },
    #[error(
        "Invalid sequence number for new epoch of producer {producer}: {found} (incoming seq. number)"
    )]
    NewEpoch { producer: ProducerId, found: i32 },
    #[error(
        "Epoch of producer {producer} is {found}, which is smaller than the last seen epoch {last}"
    )]
    OldEpoch {
        producer: ProducerId,
        found: i16,
        last: i16,
    },
    #[error("Invalid sequence number {0} in record batch with a producer id")]
    NoSequence(i32),
}

/// Why saved bytes are no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    #[error("the snapshot of producers ends early")]
    Short,
    #[error("snapshot version {0} of producers is unknown")]
    Version(u8),
    #[error("a producer's window holds {0} batches")]
    Batches(u8),
}

/// A batch of an idempotent producer, as its window remembers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    pub producer: ProducerId,
    pub producer_epoch: ProducerEpoch,
    pub sent: SentBatch,
    /// When it came.
    pub at: TimestampMs,
}

impl ProducerBatch {
    /// The batch that stands at `base_offset`; `None` for those without a producer id.
    #[must_use]
    pub fn new(batch: &BatchHeader, base_offset: Offset, at: TimestampMs) -> Option<Self> {
        if batch.producer_id.0 < 0 || batch.base_sequence < 0 {
            return None;
        }
        Some(Self {
            producer: batch.producer_id,
            producer_epoch: batch.producer_epoch,
            sent: SentBatch {
                first_sequence: batch.base_sequence,
                last_sequence: advance_sequence(batch.base_sequence, batch.last_offset_delta),
                base_offset,
                timestamp: match batch.timestamp_type() {
                    kafka::batch::TimestampType::LogAppendTime => batch.max_timestamp,
                    kafka::batch::TimestampType::CreateTime => TimestampMs(-1),
                },
            },
            at,
        })
    }
}

/// The last batches of one producer.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Window {
    epoch: ProducerEpoch,
    used: TimestampMs,
    /// Oldest first; the first `len` count.
    batches: [SentBatch; PRODUCER_BATCHES_KEPT],
    len: u8,
}

/// Every producer's window of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerTable {
    windows: BTreeMap<ProducerId, Window>,
}

const NO_BATCH: SentBatch = SentBatch {
    first_sequence: -1,
    last_sequence: -1,
    base_offset: Offset(-1),
    timestamp: TimestampMs(-1),
};

impl Window {
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            used: TimestampMs(0),
            batches: [NO_BATCH; PRODUCER_BATCHES_KEPT],
            len: 0,
        }
    }

    fn sent(&self) -> &[SentBatch] {
        &self.batches[..usize::from(self.len)]
    }

    /// Takes a batch in; one of another epoch begins anew.
    fn take(&mut self, batch: &ProducerBatch) {
        if self.epoch != batch.producer_epoch {
            *self = Self::new(batch.producer_epoch);
        }
        self.used = batch.at;
        self.push(batch.sent);
    }

    fn push(&mut self, batch: SentBatch) {
        if usize::from(self.len) == PRODUCER_BATCHES_KEPT {
            self.batches.rotate_left(1);
            self.len -= 1;
        }
        self.batches[usize::from(self.len)] = batch;
        self.len += 1;
    }
}

impl ProducerTable {
    #[must_use]
    pub fn len(&self) -> usize {
        self.windows.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Judges a batch by Kafka's rules (`ProducerAppendInfo`); changes nothing.
    pub fn check(&self, batch: &BatchHeader) -> Result<Verdict, SequenceError> {
        let producer = batch.producer_id;
        if producer.0 < 0 {
            return Ok(Verdict::Next);
        }
        let found = batch.base_sequence;
        if found < 0 {
            return Err(SequenceError::NoSequence(found));
        }
        // Unknown, perhaps expired: any sequence begins a new window.
        let Some(window) = self.windows.get(&producer) else {
            return Ok(Verdict::Next);
        };
        if batch.producer_epoch < window.epoch {
            return Err(SequenceError::OldEpoch {
                producer,
                found: batch.producer_epoch.0,
                last: window.epoch.0,
            });
        }
        if batch.producer_epoch > window.epoch {
            return match found {
                0 => Ok(Verdict::Next),
                _ => Err(SequenceError::NewEpoch { producer, found }),
            };
        }
        let last_sequence = advance_sequence(found, batch.last_offset_delta);
        let same =
            |sent: &&SentBatch| sent.first_sequence == found && sent.last_sequence == last_sequence;
        if let Some(duplicate) = window.sent().iter().find(same) {
            return Ok(Verdict::Duplicate(*duplicate));
        }
        match window.sent().last() {
            Some(last) if advance_sequence(last.last_sequence, 1) != found => {
                Err(SequenceError::OutOfOrder {
                    producer,
                    found,
                    last: last.last_sequence,
                })
            }
            _ => Ok(Verdict::Next),
        }
    }

    /// Remembers a batch that was appended.
    pub fn apply(&mut self, batch: &ProducerBatch) {
        if self.windows.len() >= PRODUCERS_MAX && !self.windows.contains_key(&batch.producer) {
            self.forget_longest_unused();
        }
        self.windows
            .entry(batch.producer)
            .or_insert_with(|| Window::new(batch.producer_epoch))
            .take(batch);
    }

    /// Drops a tenth at once, so that a flood of producers costs one pass per many of them.
    fn forget_longest_unused(&mut self) {
        let mut used: Vec<_> = self.windows.iter().map(|(id, w)| (w.used, *id)).collect();
        used.sort_unstable();
        for (_, id) in used.iter().take(PRODUCERS_MAX.div_ceil(10)) {
            self.windows.remove(id);
        }
    }

    /// Forgets producers unused since `before`.
    pub fn expire(&mut self, before: TimestampMs) {
        self.windows.retain(|_, window| window.used >= before);
    }

    /// Id, epoch, last sequence and last use of each producer, for DescribeProducers.
    pub fn active(
        &self,
    ) -> impl Iterator<Item = (ProducerId, ProducerEpoch, i32, TimestampMs)> + '_ {
        self.windows.iter().map(|(id, window)| {
            let last = window.sent().last().map_or(-1, |batch| batch.last_sequence);
            (*id, window.epoch, last, window.used)
        })
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![SNAPSHOT_VERSION];
        let count = u32::try_from(self.windows.len()).expect("bounded by PRODUCERS_MAX");
        out.extend_from_slice(&count.to_le_bytes());
        for (id, window) in &self.windows {
            out.extend_from_slice(&id.0.to_le_bytes());
            out.extend_from_slice(&window.epoch.0.to_le_bytes());
            out.extend_from_slice(&window.used.0.to_le_bytes());
            out.push(window.len);
            for batch in window.sent() {
                out.extend_from_slice(&batch.first_sequence.to_le_bytes());
                out.extend_from_slice(&batch.last_sequence.to_le_bytes());
                out.extend_from_slice(&batch.base_offset.0.to_le_bytes());
                out.extend_from_slice(&batch.timestamp.0.to_le_bytes());
            }
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SnapshotError> {
        let mut left = bytes;
        let [version] = take(&mut left)?;
        if version != SNAPSHOT_VERSION {
            return Err(SnapshotError::Version(version));
        }
        let count = u32::from_le_bytes(take(&mut left)?);
        let mut table = Self::default();
        for _ in 0..count {
            let id = ProducerId(i64::from_le_bytes(take(&mut left)?));
            let mut window = Window::new(ProducerEpoch(i16::from_le_bytes(take(&mut left)?)));
            window.used = TimestampMs(i64::from_le_bytes(take(&mut left)?));
            let [batches] = take(&mut left)?;
            if usize::from(batches) > PRODUCER_BATCHES_KEPT {
                return Err(SnapshotError::Batches(batches));
            }
            for _ in 0..batches {
                let [a, b, c, d, rest @ ..] = take::<BATCH_BYTES>(&mut left)?;
                let mut rest = &rest[..];
                window.push(SentBatch {
                    first_sequence: i32::from_le_bytes([a, b, c, d]),
                    last_sequence: i32::from_le_bytes(take(&mut rest)?),
                    base_offset: Offset(i64::from_le_bytes(take(&mut rest)?)),
                    timestamp: TimestampMs(i64::from_le_bytes(take(&mut rest)?)),
                });
            }
            table.windows.insert(id, window);
        }
        if !left.is_empty() {
            return Err(SnapshotError::Short);
        }
        Ok(table)
    }
}

fn take<const N: usize>(left: &mut &[u8]) -> Result<[u8; N], SnapshotError> {
    let (part, rest) = left.split_first_chunk::<N>().ok_or(SnapshotError::Short)?;
    *left = rest;
    Ok(*part)
}

/// The sequence `count` further on: after `i32::MAX` comes 0.
fn advance_sequence(sequence: i32, count: i32) -> i32 {
    let sum = i64::from(sequence) + i64::from(count);
    i32::try_from(sum & i64::from(i32::MAX)).expect("31 bits")
}

#[cfg(test)]
mod tests;
