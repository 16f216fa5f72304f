//! Records that hold no row, on their way to the topic that keeps them.
//!
//! Key, value, time and headers are the record's own; behind its headers stand `forebay.topic`, `forebay.partition`,
//! `forebay.offset` and `forebay.error`, as text. They are there before the epoch that read the record ends. A restart reads
//! on from its checkpoint, so that some may be there twice.

use std::{rc::Rc, time::Duration};

use base::{PartitionIndex, PartitionKey, TimestampMs};
use kafka::batch::{BatchBuilder, Compression};

use crate::{
    engine::Relation,
    log::{LogError, TopicLog},
    source::MalformedRecord,
};

/// A batch is closed when it has grown to this.
const BATCH_BYTES: usize = 512 << 10;

/// Between two tries while the disk is full, and how many there are: for half a minute.
const FULL_WAIT: Duration = Duration::from_millis(100);
const FULL_TRIES: usize = 300;

/// Whose records these are.
pub struct Origin<'a> {
    pub topic: &'a str,
    pub key: PartitionKey,
    pub source: &'a Rc<Relation>,
}

/// Appends those that are not there yet; says how many.
pub async fn write(
    to: &str,
    from: Origin<'_>,
    records: Vec<MalformedRecord>,
    log: &dyn TopicLog,
) -> Result<u64, LogError> {
    let shape = log.ensure_topic(to.to_owned(), 1, false).await?;
    let partition = PartitionKey {
        topic: shape.id,
        partition: PartitionIndex(from.key.partition.0 % shape.partitions.max(1)),
    };
    let mut builder = BatchBuilder::new(Compression::None);
    let mut offsets = Vec::new();
    let mut written = 0;
    let mut records = records.into_iter().peekable();
    while let Some(record) = records.next() {
        if from.source.is_first_dead_letter(from.key, record.offset) {
            offsets.push(record.offset);
            push(&mut builder, &from, &record);
        }
        let is_last = records.peek().is_none();
        if offsets.is_empty() || !(is_last || builder.size_estimate() >= BATCH_BYTES) {
            continue;
        }
        let full = std::mem::replace(&mut builder, BatchBuilder::new(Compression::None));
        if let Err(error) = append(partition, full.finish(), log).await {
            // Another view may write them yet.
            from.source.forget_dead_letters(from.key, &offsets);
            return Err(error);
        }
        written += offsets.len() as u64;
        offsets.clear();
    }
    Ok(written)
}

/// Waits for a while when the disk is full.
async fn append(
    partition: PartitionKey,
    batch: Vec<u8>,
    log: &dyn TopicLog,
) -> Result<(), LogError> {
    for _ in 0..FULL_TRIES {
        match log.append(partition, batch.clone()).await {
            Err(LogError::Full) => runtime::sleep(FULL_WAIT).await,
            appended => return appended.map(drop),
        }
    }
    Err(LogError::Full)
}

fn push(builder: &mut BatchBuilder, from: &Origin<'_>, record: &MalformedRecord) {
    let partition = from.key.partition.0.to_string();
    let offset = record.offset.0.to_string();
    let headers = record.headers.iter();
    let mut headers: Vec<(&str, Option<&[u8]>)> = headers
        .map(|(name, value)| (name.as_str(), value.as_deref()))
        .collect();
    headers.push(("forebay.topic", Some(from.topic.as_bytes())));
    headers.push(("forebay.partition", Some(partition.as_bytes())));
    headers.push(("forebay.offset", Some(offset.as_bytes())));
    headers.push(("forebay.error", Some(record.why.as_bytes())));
    builder.push(
        TimestampMs(record.timestamp_ms),
        record.key.as_deref(),
        record.value.as_deref(),
        &headers,
    );
}
