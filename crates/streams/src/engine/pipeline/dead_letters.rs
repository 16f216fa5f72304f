//! Records that hold no row, on their way to the topic that keeps them.
//!
//! Key, value, time and headers are the record's own; behind its headers stand `forebay.topic`, `forebay.partition`,
//! `forebay.offset` and `forebay.error`, as text. They are there before the epoch that read the record ends. A restart reads
//! on from its checkpoint, so that some may be there twice.
//!
//! # Limits      a record that fits into no batch with what is added to it is cut: its value, and where that is not enough
//! its key and its headers; `forebay.cut` says how long its value was

use std::{cell::Cell, rc::Rc};

use base::{PartitionIndex, PartitionKey, TimestampMs, limits::BATCH_BYTES_MAX};
use kafka::batch::{BatchBuilder, Compression};

use crate::{
    engine::{Relation, waiting::while_full},
    log::{LogError, TopicLog},
    source::MalformedRecord,
};

/// A batch is closed before it grows beyond, unless it is of one record.
const BATCH_BYTES: usize = 512 << 10;

/// Of a record. The rest of a batch is for what stands around it: headers of the batch and of the record, lengths.
const RECORD_BYTES_MAX: usize = BATCH_BYTES_MAX - (64 << 10);

/// The lengths of a header's name and value, at most.
const HEADER_LENGTHS: usize = 10;

/// Whose records these are.
pub struct Origin<'a> {
    pub topic: &'a str,
    pub key: PartitionKey,
    pub source: &'a Rc<Relation>,
}

/// Where they go.
pub struct DeadLetters<'a> {
    pub to: &'a str,
    pub log: &'a dyn TopicLog,
    /// A full disk is not waited out any more.
    pub is_stopping: &'a Cell<bool>,
}

impl DeadLetters<'_> {
    /// Appends those that are not there yet; says how many.
    pub async fn write(
        &self,
        from: Origin<'_>,
        records: Vec<MalformedRecord>,
    ) -> Result<u64, LogError> {
        let make = || self.log.ensure_topic(self.to.to_owned(), 1, false);
        let shape = while_full(self.is_stopping, make).await?;
        let partition = PartitionKey {
            topic: shape.id,
            partition: PartitionIndex(from.key.partition.0 % shape.partitions.max(1)),
        };
        let mut written = 0;
        let mut batch = Vec::new();
        let mut bytes = 0;
        for mut record in records {
            let cut = cut(&mut record);
            if !batch.is_empty() && bytes + size_of_record(&record) > BATCH_BYTES {
                written += self
                    .append(partition, &from, std::mem::take(&mut batch))
                    .await?;
                bytes = 0;
            }
            if !from.source.is_first_dead_letter(from.key, record.offset) {
                continue;
            }
            bytes += size_of_record(&record);
            batch.push((record, cut));
        }
        if !batch.is_empty() {
            written += self.append(partition, &from, batch).await?;
        }
        Ok(written)
    }

    /// Appends a batch; waits while the disk is full.
    async fn append(
        &self,
        partition: PartitionKey,
        from: &Origin<'_>,
        records: Vec<(MalformedRecord, Option<usize>)>,
    ) -> Result<u64, LogError> {
        let mut builder = BatchBuilder::new(Compression::None);
        for (record, cut) in &records {
            push(&mut builder, from, record, *cut);
        }
        let batch = builder.finish();
        let append = || self.log.append(partition, batch.clone());
        if let Err(error) = while_full(self.is_stopping, append).await {
            // Another view may write them yet.
            let offsets: Vec<_> = records.iter().map(|(record, _)| record.offset).collect();
            from.source.forget_dead_letters(from.key, &offsets);
            return Err(error);
        }
        Ok(records.len() as u64)
    }
}

fn headers_bytes(record: &MalformedRecord) -> usize {
    let headers = record.headers.iter();
    headers
        .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + HEADER_LENGTHS)
        .sum()
}

fn size_of_record(record: &MalformedRecord) -> usize {
    let length = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    length(&record.key) + length(&record.value) + headers_bytes(record) + record.why.len()
}

/// Makes a record fit into a batch; how long its value was, where something was taken.
fn cut(record: &mut MalformedRecord) -> Option<usize> {
    if size_of_record(record) <= RECORD_BYTES_MAX {
        return None;
    }
    let was = record.value.as_ref().map_or(0, Vec::len);
    if headers_bytes(record) > RECORD_BYTES_MAX / 4 {
        record.headers.clear();
    }
    if let Some(key) = &mut record.key {
        key.truncate(RECORD_BYTES_MAX / 4);
    }
    let others = size_of_record(record) - was;
    if let Some(value) = &mut record.value {
        value.truncate(RECORD_BYTES_MAX.saturating_sub(others));
    }
    Some(was)
}

fn push(
    builder: &mut BatchBuilder,
    from: &Origin<'_>,
    record: &MalformedRecord,
    cut: Option<usize>,
) {
    let partition = from.key.partition.0.to_string();
    let offset = record.offset.0.to_string();
    let cut = cut.map(|was| was.to_string());
    let headers = record.headers.iter();
    let mut headers: Vec<(&str, Option<&[u8]>)> = headers
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    headers.push(("forebay.topic", Some(from.topic.as_bytes())));
    headers.push(("forebay.partition", Some(partition.as_bytes())));
    headers.push(("forebay.offset", Some(offset.as_bytes())));
    headers.push(("forebay.error", Some(record.why.as_bytes())));
    if let Some(was) = &cut {
        headers.push(("forebay.cut", Some(was.as_bytes())));
    }
    builder.push(
        TimestampMs(record.timestamp_ms),
        record.key.as_deref(),
        record.value.as_deref(),
        &headers,
    );
}
