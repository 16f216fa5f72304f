//! Which copy of an app the outbox belongs to.
//!
//! # Layout
//! Each record of the outbox has a header `copy`, eight bytes, big-endian: the number of the copy that wrote it, one more
//! than the one before it had. A record without a value opens the copy's part.

use base::{Offset, PartitionKey, ProducerEpoch, ProducerId};
use kafka::batch::{self, BatchBuilder, Compression};
use streams::log::LogError;

use super::{ClusterLog, RETRY};

const COPY: &str = "copy";

/// No batch of the outbox expands: they are not compressed.
const OUTPUT_BYTES_MAX: usize = 64 << 20;

const READ_BYTES: usize = 1 << 20;

/// The copy that the outbox belongs to, as far as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Incarnation(u64);

/// The copy that wrote a batch, and whether it opens its part.
fn written_by(bytes: &[u8]) -> Result<(u64, bool), LogError> {
    let mut found = (0, false);
    let read = batch::for_each_record(bytes, OUTPUT_BYTES_MAX, |record| {
        let mut headers = record.headers.iter();
        let copy = headers.find(|(name, _)| &**name == COPY);
        let copy = copy.and_then(|(_, value)| value.as_deref()?.try_into().ok());
        found = (copy.map_or(0, u64::from_be_bytes), record.value.is_none());
        false
    });
    read.map_err(|error| LogError::Refused(format!("the outbox: {error}")))?;
    Ok(found)
}

impl Incarnation {
    /// Whether a batch counts; a later copy's first ends the part of those before it.
    fn takes(&mut self, bytes: &[u8]) -> Result<bool, LogError> {
        let (copy, opens) = written_by(bytes)?;
        let counts = copy >= self.0;
        self.0 = self.0.max(copy);
        Ok(counts && !opens)
    }

    /// The batches that count.
    pub fn keep(&mut self, batches: &[u8]) -> Result<Vec<u8>, LogError> {
        let mut kept = Vec::new();
        for item in batch::batches(batches) {
            let (_, bytes) =
                item.map_err(|error| LogError::Refused(format!("the outbox: {error}")))?;
            if self.takes(bytes)? {
                kept.extend_from_slice(bytes);
            }
        }
        Ok(kept)
    }
}

/// Appends to the outbox, each record once.
pub(super) struct OutboxWriter {
    key: PartitionKey,
    copy: u64,
    producer: (ProducerId, ProducerEpoch),
    sequence: i32,
    /// Where the next record will be, if nobody else writes.
    next: Offset,
}

impl OutboxWriter {
    /// Begins this copy's part of the outbox.
    pub async fn open(log: &ClusterLog, key: PartitionKey) -> Result<Self, LogError> {
        let producer = log.until_done("asking for a producer id", || log.init_producer());
        let mut writer = Self {
            key,
            copy: 0,
            producer: producer.await?,
            sequence: 0,
            next: Offset::ZERO,
        };
        // Another copy may begin at the same time: the one that comes second sees the other's opening, and begins again.
        loop {
            let newest = writer.newest(log).await?;
            writer.copy = newest + 1;
            let opening = writer.send(log, None).await?;
            let before = writer.newest_before(log, opening).await?;
            writer.next = opening.plus(1);
            if before < writer.copy {
                return Ok(writer);
            }
        }
    }

    async fn newest(&self, log: &ClusterLog) -> Result<u64, LogError> {
        let extent = log.extent_of(self.key).await?;
        self.newest_before(log, extent.high_watermark).await
    }

    async fn newest_before(&self, log: &ClusterLog, until: Offset) -> Result<u64, LogError> {
        let mut from = log.extent_of(self.key).await?.log_start_offset;
        let mut newest = 0;
        while from < until {
            let found = log.fetch_some(self.key, from, READ_BYTES).await?;
            for item in batch::batches(&found) {
                let (header, bytes) =
                    item.map_err(|error| LogError::Refused(format!("the outbox: {error}")))?;
                if header.base_offset < until {
                    newest = newest.max(written_by(bytes)?.0);
                }
                from = header.last_offset().plus(1);
            }
        }
        Ok(newest)
    }

    /// One record; where it stands.
    async fn send(&mut self, log: &ClusterLog, value: Option<&[u8]>) -> Result<Offset, LogError> {
        let (id, epoch) = self.producer;
        let mut builder = BatchBuilder::new(Compression::None).producer(id, epoch, self.sequence);
        let copy = self.copy.to_be_bytes();
        builder.push(runtime::wall(), None, value, &[(COPY, Some(&copy))]);
        let batch = builder.finish();
        let name = log.name(self.key)?;
        loop {
            match log.send(&name, self.key.partition, batch.clone()).await {
                Ok(produced) => {
                    let at = match produced.base_offset >= Offset::ZERO {
                        true => produced.base_offset,
                        false => self.find(log).await?,
                    };
                    self.sequence = (self.sequence + 1) & i32::MAX;
                    return Ok(at);
                }
                Err(_) if log.stopping.get() => return Err(LogError::Stopping),
                // The broker knows by the sequence if it has it already.
                Err(error) if error.is_retriable() => {
                    tracing::debug!(%error, "appending to the outbox again");
                    log.client.mark_stale(&name);
                    runtime::sleep(RETRY).await;
                }
                Err(error) => return Err(LogError::Refused(error.to_string())),
            }
        }
    }

    /// Where this producer's present sequence stands: it was sent twice, and the broker has forgotten the place.
    async fn find(&self, log: &ClusterLog) -> Result<Offset, LogError> {
        let extent = log.extent_of(self.key).await?;
        let mut from = self.next.max(extent.log_start_offset);
        while from < extent.high_watermark {
            let found = log.fetch_some(self.key, from, READ_BYTES).await?;
            for (header, _) in batch::batches(&found).filter_map(Result::ok) {
                let is_it = (header.producer_id, header.base_sequence);
                if is_it == (self.producer.0, self.sequence) {
                    return Ok(header.base_offset);
                }
                from = header.last_offset().plus(1);
            }
        }
        Err(unreadable())
    }

    /// The record of a batch; the offset behind it. Fails when a newer copy has taken over.
    pub async fn append(&mut self, log: &ClusterLog, batch: &[u8]) -> Result<Offset, LogError> {
        let mut value = Vec::new();
        let read = batch::for_each_record(batch, OUTPUT_BYTES_MAX, |record| {
            value = record.value.as_deref().unwrap_or_default().to_vec();
            false
        });
        read.map_err(|error| LogError::Refused(error.to_string()))?;
        let at = self.send(log, Some(&value)).await?;
        if at != self.next && self.newest_before(log, at).await? > self.copy {
            return Err(LogError::Refused(
                "another copy of this app has taken over".to_owned(),
            ));
        }
        self.next = at.plus(1);
        Ok(self.next)
    }
}

fn unreadable() -> LogError {
    LogError::Refused("the outbox cannot be read".to_owned())
}
