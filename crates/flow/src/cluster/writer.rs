//! Which copy of an app the outbox belongs to.
//!
//! # Layout
//! Each record of the outbox has a header `copy`, eight bytes, big-endian: the number of the copy that wrote it. A record
//! without a value opens the copy's part.
//!
//! # Invariants
//! 1. A copy's number is greater than the offset of every record before its opening: offsets never fall, so a later copy has
//!    a greater number also when nothing is left of those before it.
//! 2. Of the copy that saved a checkpoint, a record from before that checkpoint stays (`trimmed_to`): who reads on from there
//!    knows by it whose records count.

use base::{Offset, PartitionKey, ProducerEpoch, ProducerId};
use client::producer::init_producer_id;
use iobuf::IoBuf;
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
    read.map_err(|error| unreadable(&error))?;
    Ok(found)
}

/// The newest copy of which there is a record in a stretch that was not trimmed; 0 if there is none.
async fn newest_between(
    log: &ClusterLog,
    key: PartitionKey,
    mut from: Offset,
    until: Offset,
) -> Result<u64, LogError> {
    let mut newest = 0;
    while from < until {
        let (found, behind) = log.fetch_whole(key, from, READ_BYTES).await?;
        for item in batch::batches(&found) {
            let (header, bytes) = item.map_err(|error| unreadable(&error))?;
            if header.base_offset < until {
                newest = newest.max(written_by(bytes)?.0);
            }
        }
        from = behind;
    }
    Ok(newest)
}

impl Incarnation {
    /// The one that it belonged to when a checkpoint was taken there.
    pub async fn at(log: &ClusterLog, key: PartitionKey, at: Offset) -> Result<Self, LogError> {
        let extent = log.extent_of(key).await?;
        let until = at.min(extent.high_watermark);
        let newest = newest_between(log, key, extent.log_start_offset, until).await?;
        Ok(Self(newest))
    }

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
            let (_, bytes) = item.map_err(|error| unreadable(&error))?;
            if self.takes(bytes)? {
                kept.extend_from_slice(bytes);
            }
        }
        Ok(kept)
    }
}

/// Appends to the outbox, each record once.
pub(super) struct OutboxWriter {
    pub key: PartitionKey,
    copy: u64,
    producer: (ProducerId, ProducerEpoch),
    sequence: i32,
    /// Behind all that was looked at for newer copies; the next record will be there if nobody else writes.
    next: Offset,
    /// The last record of this copy.
    last: Offset,
}

impl OutboxWriter {
    /// Begins this copy's part of the outbox.
    pub async fn open(log: &ClusterLog, key: PartitionKey) -> Result<Self, LogError> {
        let producer = log.until_done("asking for a producer id", || init_producer_id(&log.client));
        let mut writer = Self {
            key,
            copy: 0,
            producer: producer.await?,
            sequence: 0,
            next: Offset::ZERO,
            last: Offset::ZERO,
        };
        // Another copy may begin at the same time: the one that comes second sees the other's opening, and begins again.
        loop {
            let seen = log.extent_of(key).await?.high_watermark;
            writer.next = seen;
            writer.copy = seen.0.unsigned_abs() + 1;
            let opening = writer.send(log, None).await?;
            let between = newest_between(log, key, seen, opening).await?;
            (writer.next, writer.last) = (opening.plus(1), opening);
            if between < writer.copy {
                return Ok(writer);
            }
        }
    }

    /// Fails when a newer copy has written before an offset, or has trimmed what this one has not seen.
    async fn check_newest(&self, log: &ClusterLog, until: Offset) -> Result<(), LogError> {
        match newest_between(log, self.key, self.next, until).await {
            Ok(newest) if newest <= self.copy => Ok(()),
            Ok(_) | Err(LogError::Trimmed { .. }) => Err(LogError::Refused(
                "another copy of this app has taken over".to_owned(),
            )),
            Err(error) => Err(error),
        }
    }

    /// One record; where it stands.
    async fn send(&mut self, log: &ClusterLog, value: Option<&[u8]>) -> Result<Offset, LogError> {
        let (id, epoch) = self.producer;
        let mut builder = BatchBuilder::new(Compression::None).producer(id, epoch, self.sequence);
        let copy = self.copy.to_be_bytes();
        builder.push(runtime::wall(), None, value, &[(COPY, Some(&copy))]);
        let batch = IoBuf::from(builder.finish());
        let name = log.name(self.key)?;
        loop {
            match log.send(&name, self.key.partition, batch.clone()).await {
                Ok(produced) => {
                    let at = match produced >= Offset::ZERO {
                        true => produced,
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
            let (found, behind) = log.fetch_whole(self.key, from, READ_BYTES).await?;
            for (header, _) in batch::batches(&found).filter_map(Result::ok) {
                let is_it = (header.producer_id, header.base_sequence);
                if is_it == (self.producer.0, self.sequence) {
                    return Ok(header.base_offset);
                }
            }
            from = behind;
        }
        Err(unreadable(&"a record that was appended is not there"))
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
        self.check_newest(log, at).await?;
        (self.next, self.last) = (at.plus(1), at);
        Ok(self.next)
    }

    /// Up to where the outbox may be trimmed when a checkpoint was taken at an offset. Fails when a newer copy has taken
    /// over: it may need what this one does not.
    pub async fn trimmed_to(&self, log: &ClusterLog, at: Offset) -> Result<Offset, LogError> {
        let extent = log.extent_of(self.key).await?;
        self.check_newest(log, extent.high_watermark).await?;
        Ok(at.min(self.last))
    }
}

pub(super) fn unreadable(why: &dyn std::fmt::Display) -> LogError {
    LogError::Refused(format!("the outbox cannot be read: {why}"))
}
