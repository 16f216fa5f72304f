//! Rows on their way into a topic: records, batches, sequences.
//!
//! # Invariants
//! 1. The records of one key go to one partition, in the order of their epochs.
//! 2. Sequences of a partition have no gap: `sequences` moves only with batches that an epoch has decided.

use std::collections::BTreeMap;

use arrow_schema::SchemaRef;
use base::{PartitionIndex, PartitionKey, ProducerEpoch, ProducerId, TimestampMs};
use client::producer::partitioner::partition_for_key;
use kafka::batch::{BatchBuilder, Compression};

use super::outbox::Outgoing;
use crate::{
    Delta,
    definition::{Envelope, Sink},
    format::{Encoder, Format, FormatError},
    log::TopicShape,
    row::RowCodec,
};

/// A batch is closed when it has grown to this.
const BATCH_BYTES: usize = 128 << 10;

/// See the module head.
pub struct SinkWriter {
    relation: u64,
    envelope: Envelope,
    value: Encoder,
    key: Option<Encoder>,
    codec: RowCodec,
    topic: TopicShape,
    /// Who writes, and what it writes next in each partition; unknown until the first output.
    pub producer: Option<i64>,
    pub sequences: Vec<i32>,
    /// Records without a key go to the partitions in turn.
    turn: usize,
}

/// A row goes that an append-only topic was told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row goes away, which records of form APPEND cannot say")]
pub struct Retracted;

/// Rows of a key by their bytes: how often each comes or goes, and where it stands.
type Left = BTreeMap<Vec<u8>, (i64, usize, usize)>;

struct Record {
    partition: usize,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
}

impl SinkWriter {
    pub fn new(
        relation: u64,
        sink: &Sink,
        schema: &SchemaRef,
        topic: TopicShape,
    ) -> Result<Self, FormatError> {
        // Raw values are a single column: the one that is not the key.
        let is_value = |at: &usize| sink.format != Format::Raw || !sink.key.contains(at);
        let values: Vec<usize> = (0..schema.fields().len()).filter(is_value).collect();
        let has_key = !sink.key.is_empty();
        let key = has_key.then(|| Encoder::new(&sink.format, schema, &sink.key));
        let types = schema.fields().iter().map(|field| field.data_type());
        let codec = RowCodec::ascending(types).map_err(|unsupported| FormatError::Type {
            column: String::new(),
            data_type: unsupported.0,
        })?;
        Ok(Self {
            relation,
            envelope: sink.envelope,
            value: Encoder::new(&sink.format, schema, &values)?,
            key: key.transpose()?,
            codec,
            topic,
            producer: None,
            sequences: vec![0; topic.partitions.unsigned_abs() as usize],
            turn: 0,
        })
    }

    /// The batches that an epoch's output makes, and moves the sequences behind them.
    pub fn batches(
        &mut self,
        producer: i64,
        output: &[Delta],
        now: i64,
    ) -> Result<Vec<Outgoing>, Retracted> {
        let mut records = Vec::new();
        match self.envelope {
            Envelope::Append => self.append_records(output, &mut records)?,
            Envelope::Upsert | Envelope::Debezium => self.changed_records(output, &mut records),
        }
        let timestamp = TimestampMs(now / 1000);
        let mut builders: BTreeMap<usize, BatchBuilder> = BTreeMap::new();
        let mut batches = Vec::new();
        for record in records {
            let at = record.partition;
            let builder = builders
                .entry(at)
                .or_insert_with(|| self.builder(producer, at));
            builder.push(
                timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &[],
            );
            if builder.size_estimate() >= BATCH_BYTES
                && let Some(full) = builders.remove(&at)
            {
                batches.push(self.close(producer, at, full));
            }
        }
        for (at, builder) in builders {
            batches.push(self.close(producer, at, builder));
        }
        Ok(batches)
    }

    fn builder(&self, producer: i64, partition: usize) -> BatchBuilder {
        let (producer, epoch) = (ProducerId(producer), ProducerEpoch(0));
        BatchBuilder::new(Compression::None).producer(producer, epoch, self.sequences[partition])
    }

    fn close(&mut self, producer: i64, partition: usize, builder: BatchBuilder) -> Outgoing {
        let first_sequence = self.sequences[partition];
        let count = i64::from(builder.record_count());
        // Kafka's sequences begin again at 0 behind the greatest.
        let next = (i64::from(first_sequence) + count) % (1 << 31);
        self.sequences[partition] = i32::try_from(next).expect("below 2^31");
        Outgoing {
            relation: self.relation,
            producer,
            partition: PartitionKey {
                topic: self.topic.id,
                partition: PartitionIndex(partition as i32),
            },
            first_sequence,
            batch: builder.finish(),
        }
    }

    fn append_records(
        &mut self,
        output: &[Delta],
        records: &mut Vec<Record>,
    ) -> Result<(), Retracted> {
        for delta in output {
            for row in 0..delta.len() {
                let times = usize::try_from(delta.weight(row)).map_err(|_| Retracted)?;
                for _ in 0..times {
                    let key = self.key_of(delta, row);
                    let value = self.value_of(delta, row);
                    let partition = self.partition_of(key.as_deref());
                    records.push(Record {
                        partition,
                        key,
                        value: Some(value),
                    });
                }
            }
        }
        Ok(())
    }

    /// One record for each key whose row is another one now than before the epoch.
    fn changed_records(&mut self, output: &[Delta], records: &mut Vec<Record>) {
        // What is left of each key's rows when what comes and goes is set off, in the order of the first touch.
        let mut places: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
        let mut keys: Vec<(Vec<u8>, Left)> = Vec::new();
        for (at, delta) in output.iter().enumerate() {
            let rows = self.codec.encode(delta.rows().columns(), delta.len());
            for row in 0..delta.len() {
                let key = self.key_of(delta, row).unwrap_or_default();
                let place = *places.entry(key.clone()).or_insert_with(|| {
                    keys.push((key, Left::new()));
                    keys.len() - 1
                });
                let left = &mut keys[place].1;
                let (weight, ..) = left.entry(rows.row(row).to_vec()).or_insert((0, at, row));
                *weight += delta.weight(row);
            }
        }
        for (key, left) in keys {
            let gone = left.values().find(|(weight, ..)| *weight < 0);
            let come = left.values().find(|(weight, ..)| *weight > 0);
            let value = |place: Option<&(i64, usize, usize)>| {
                place.map(|(_, at, row)| self.value_of(&output[*at], *row))
            };
            let value = match (self.envelope, gone, come) {
                (_, None, None) => continue,
                (Envelope::Debezium, gone, come) => Some(debezium(value(gone), value(come))),
                (_, _, come) => value(come),
            };
            let partition = self.partition_of(Some(&key));
            records.push(Record {
                partition,
                key: Some(key),
                value,
            });
        }
    }

    fn key_of(&self, delta: &Delta, row: usize) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        self.key.as_ref()?.encode(delta.rows(), row, &mut out);
        Some(out)
    }

    fn value_of(&self, delta: &Delta, row: usize) -> Vec<u8> {
        let mut out = Vec::new();
        self.value.encode(delta.rows(), row, &mut out);
        out
    }

    fn partition_of(&mut self, key: Option<&[u8]>) -> usize {
        match key {
            Some(key) => {
                let partitions = self.topic.partitions.unsigned_abs();
                partition_for_key(key, partitions).0.unsigned_abs() as usize
            }
            None => {
                self.turn = (self.turn + 1) % self.sequences.len();
                self.turn
            }
        }
    }

    /// Goes on behind a batch that was decided before.
    pub fn follow(&mut self, producer: i64, partition: PartitionIndex, next_sequence: i32) {
        self.producer = Some(producer);
        let place = usize::try_from(partition.0).unwrap_or(usize::MAX);
        if let Some(sequence) = self.sequences.get_mut(place) {
            *sequence = next_sequence;
        }
    }
}

/// `{"before":…,"after":…,"op":…}` (Debezium, "Change events").
fn debezium(before: Option<Vec<u8>>, after: Option<Vec<u8>>) -> Vec<u8> {
    let op = match (&before, &after) {
        (None, _) => "c",
        (Some(_), Some(_)) => "u",
        (Some(_), None) => "d",
    };
    let mut out = b"{\"before\":".to_vec();
    out.extend(before.unwrap_or_else(|| b"null".to_vec()));
    out.extend(b",\"after\":");
    out.extend(after.unwrap_or_else(|| b"null".to_vec()));
    out.extend(format!(",\"op\":\"{op}\"}}").into_bytes());
    out
}
