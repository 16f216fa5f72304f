//! What sinks put out, decided before it is written: exactly-once output to topics.
//!
//! An epoch in which sinks put something out is written to the outbox first: its cuts, its clock, the watermarks at its end,
//! who took part, and the batches as they will stand in their topics, each with its producer and sequence. When that is
//! committed the epoch is decided, and the batches are appended. A restart goes through the epochs behind its checkpoint one
//! by one, as they were; what the dataflows put out on the way is dropped, and the batches are appended unless their
//! sequences are there already.
//!
//! Epochs that put nothing out are taken in together with the next one that was decided. That changes nothing but which rows
//! are late: one is late when a watermark that it follows stood behind its window at the end of the epoch *before*. So an
//! epoch that dropped late rows is decided too, and with it the one before: where that ended is what made them late. And so
//! is one that closed windows: what a reader has seen closed stays so.
//!
//! # Layout
//! One record per part of an epoch, little-endian; a part without `is_last` is followed by the next, or is nothing.
//! ```text
//! version u8 = 3 | part u32 | is_last u8 | epoch u64 | now i64
//! | count u32 | (topic 16 bytes, partition i32, cut i64)*
//! | count u32 | (relation u64, node u32, watermark i64)*
//! | count u32 | (relation u64)*
//! | count u32 | (first number u32, last number u32)*
//! | count u32 | (relation u64, producer i64, topic 16 bytes, partition i32, first sequence i32, length u32, batch)*
//! ```
//! Cuts, watermarks, those who took part and the known schemas stand in the last part. Version 2 has no schemas: all are known.
//!
//! # Crash
//! Before the last part is committed: the epoch never was. After: its batches are in the topics, or a restart appends them.

use std::collections::{BTreeMap, BTreeSet};

use base::{Offset, PartitionIndex, PartitionKey, TopicId};
use kafka::batch::{self, BatchBuilder, Compression};

use super::checkpoint::{CheckpointError, Reader};

/// The topic, of one partition.
pub const OUTBOX_TOPIC: &str = "__forebay_outbox";

const VERSION: u8 = 3;
/// It does not say which schemas were known.
const VERSION_BEFORE: u8 = 2;

/// Batches of a part, about: a part is one record of one batch, which has a limit.
const PART_BYTES: usize = 256 << 10;

/// No batch of the outbox expands: they are not compressed.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

/// A batch for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    pub relation: u64,
    pub producer: i64,
    pub partition: PartitionKey,
    pub first_sequence: i32,
    pub batch: Vec<u8>,
}

impl Outgoing {
    /// Behind its last record.
    pub fn next_sequence(&self) -> i32 {
        let header = batch::BatchHeader::decode(&self.batch);
        let count = header.map_or(0, |header| i64::from(header.record_count));
        let next = (i64::from(self.first_sequence) + count) % (1 << 31);
        i32::try_from(next).expect("below 2^31")
    }
}

/// An epoch that is decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decided {
    pub epoch: u64,
    pub now: i64,
    pub cuts: BTreeMap<PartitionKey, Offset>,
    pub watermarks: Watermarks,
    /// The pipelines that took part: what is made later begins later.
    pub relations: BTreeSet<u64>,
    /// What records were decoded with that name their schemas by numbers.
    pub writers: WritersKnown,
    pub batches: Vec<Outgoing>,
}

/// Numbers of schemas that were known, from the first to the last of each stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WritersKnown(Vec<(u32, u32)>);

impl WritersKnown {
    pub fn all() -> Self {
        Self(vec![(0, u32::MAX)])
    }

    /// Of ascending numbers.
    pub fn of(numbers: impl Iterator<Item = u32>) -> Self {
        let mut known: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match known.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
                _ => known.push((number, number)),
            }
        }
        Self(known)
    }

    pub fn has(&self, number: u32) -> bool {
        let before = self.0.partition_point(|(_, last)| *last < number);
        self.0
            .get(before)
            .is_some_and(|(first, _)| *first <= number)
    }
}

/// Of the inputs with a time, at an epoch's end: by relation and node of its plan.
pub type Watermarks = BTreeMap<(u64, u32), i64>;

impl Decided {
    /// As batches of the outbox, a part each.
    pub fn encode(&self) -> Vec<Vec<u8>> {
        let mut parts: Vec<&[Outgoing]> = Vec::new();
        let (mut from, mut bytes) = (0, 0);
        for (at, outgoing) in self.batches.iter().enumerate() {
            bytes += outgoing.batch.len();
            if bytes >= PART_BYTES {
                parts.push(&self.batches[from..=at]);
                (from, bytes) = (at + 1, 0);
            }
        }
        parts.push(&self.batches[from..]);
        let last = parts.len() - 1;
        let parts = parts.into_iter().enumerate();
        parts
            .map(|(at, batches)| self.part(at, at == last, batches))
            .collect()
    }

    fn part(&self, number: usize, is_last: bool, batches: &[Outgoing]) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend((number as u32).to_le_bytes());
        out.push(u8::from(is_last));
        out.extend(self.epoch.to_le_bytes());
        out.extend(self.now.to_le_bytes());
        let cuts = if is_last { self.cuts.len() } else { 0 };
        out.extend((cuts as u32).to_le_bytes());
        for (key, cut) in self.cuts.iter().take(cuts) {
            put_key(&mut out, *key);
            out.extend(cut.0.to_le_bytes());
        }
        let watermarks = if is_last { self.watermarks.len() } else { 0 };
        out.extend((watermarks as u32).to_le_bytes());
        for ((relation, node), watermark) in self.watermarks.iter().take(watermarks) {
            out.extend(relation.to_le_bytes());
            out.extend(node.to_le_bytes());
            out.extend(watermark.to_le_bytes());
        }
        let relations = if is_last { self.relations.len() } else { 0 };
        out.extend((relations as u32).to_le_bytes());
        for relation in self.relations.iter().take(relations) {
            out.extend(relation.to_le_bytes());
        }
        let writers = if is_last { &self.writers.0[..] } else { &[] };
        out.extend((writers.len() as u32).to_le_bytes());
        for (first, last) in writers {
            out.extend(first.to_le_bytes());
            out.extend(last.to_le_bytes());
        }
        out.extend((batches.len() as u32).to_le_bytes());
        for outgoing in batches {
            out.extend(outgoing.relation.to_le_bytes());
            out.extend(outgoing.producer.to_le_bytes());
            put_key(&mut out, outgoing.partition);
            out.extend(outgoing.first_sequence.to_le_bytes());
            out.extend((outgoing.batch.len() as u32).to_le_bytes());
            out.extend_from_slice(&outgoing.batch);
        }
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(runtime::wall(), None, Some(&out), &[]);
        builder.finish()
    }
}

fn put_key(out: &mut Vec<u8>, key: PartitionKey) {
    out.extend(key.topic.0);
    out.extend(key.partition.0.to_le_bytes());
}

/// Puts the parts of epochs together again.
#[derive(Default)]
pub struct Assembly {
    /// Whose batches are kept; `None`: everybody's.
    wanted: Option<BTreeSet<u64>>,
    parts: u32,
    decided: Decided,
    pub epochs: Vec<Decided>,
}

impl Assembly {
    /// Keeps the batches of these relations and no others.
    pub fn of(relations: BTreeSet<u64>) -> Self {
        Self {
            wanted: Some(relations),
            ..Self::default()
        }
    }

    /// No epoch has begun and not ended.
    pub fn is_whole(&self) -> bool {
        self.parts == 0
    }

    /// Batches of the outbox; the offset behind them.
    pub fn read(&mut self, batches: &[u8], from: Offset) -> Result<Offset, CheckpointError> {
        let mut next = from;
        let damaged = |expected| CheckpointError::Damaged {
            path: OUTBOX_TOPIC.to_owned(),
            at: usize::try_from(from.0).unwrap_or(0),
            expected,
        };
        for item in batch::batches(batches) {
            let (header, bytes) = item.map_err(|_| damaged("a batch"))?;
            let mut outcome = Ok(());
            batch::for_each_record(bytes, OUTPUT_BYTES_MAX, |record| {
                if record.offset >= from {
                    outcome = self.take(record.value.as_deref().unwrap_or_default());
                }
                outcome.is_ok()
            })
            .map_err(|_| damaged("records"))?;
            outcome?;
            next = Offset(header.last_offset().0 + 1).max(next);
        }
        Ok(next)
    }

    fn take(&mut self, value: &[u8]) -> Result<(), CheckpointError> {
        let mut from = Reader::new(value, OUTBOX_TOPIC);
        let version = from.u8()?;
        if version != VERSION && version != VERSION_BEFORE {
            return Err(CheckpointError::Version {
                path: OUTBOX_TOPIC.to_owned(),
                found: version,
            });
        }
        let (part, is_last) = (from.u32()?, from.u8()? != 0);
        if part == 0 {
            self.parts = 0;
            self.decided = Decided::default();
        }
        if part != self.parts {
            return Err(from.damaged("the next part of an epoch"));
        }
        self.parts += 1;
        self.decided.epoch = from.u64()?;
        self.decided.now = from.i64()?;
        for _ in 0..from.u32()? {
            let key = take_key(&mut from)?;
            self.decided.cuts.insert(key, Offset(from.i64()?));
        }
        for _ in 0..from.u32()? {
            let input = (from.u64()?, from.u32()?);
            self.decided.watermarks.insert(input, from.i64()?);
        }
        for _ in 0..from.u32()? {
            self.decided.relations.insert(from.u64()?);
        }
        if version == VERSION_BEFORE {
            self.decided.writers = WritersKnown::all();
        } else {
            for _ in 0..from.u32()? {
                self.decided.writers.0.push((from.u32()?, from.u32()?));
            }
        }
        for _ in 0..from.u32()? {
            let (relation, producer) = (from.u64()?, from.i64()?);
            let partition = take_key(&mut from)?;
            let first_sequence = from.u32()?.cast_signed();
            let length = from.u32()? as usize;
            let batch = from.take(length)?;
            let mut wanted = self.wanted.iter();
            if wanted.all(|wanted| wanted.contains(&relation)) {
                self.decided.batches.push(Outgoing {
                    relation,
                    producer,
                    partition,
                    first_sequence,
                    batch: batch.to_vec(),
                });
            }
        }
        from.end()?;
        if is_last {
            self.parts = 0;
            self.epochs.push(std::mem::take(&mut self.decided));
        }
        Ok(())
    }
}

fn take_key(from: &mut Reader<'_>) -> Result<PartitionKey, CheckpointError> {
    let topic = TopicId(from.take(16)?.try_into().expect("sixteen bytes"));
    let partition = PartitionIndex(from.u32()?.cast_signed());
    Ok(PartitionKey { topic, partition })
}

#[cfg(test)]
mod tests;
