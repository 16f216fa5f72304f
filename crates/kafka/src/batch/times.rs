//! Offsets and timestamps of a stored batch's records, read in steps and without keeping any.

use base::{Offset, TimestampMs, limits};

use super::{
    BATCH_HEADER_BYTES, BatchError, BatchHeader, RecordFault, TimestampType, output_bytes_max,
    records::{Opened, Source, Stop},
};

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    Found(Offset, TimestampMs),
    /// The step is over, records are left.
    Open,
    /// No more records.
    Ended,
}

/// A walk over a batch's records for callers that must not hold their shard while a large one is decompressed.
pub struct RecordTimes<'a> {
    source: Opened<'a>,
    cursor: Cursor,
}

struct Cursor {
    header: BatchHeader,
    /// Records begun.
    begun: i32,
    /// Bytes left of the last of them.
    skip: u64,
}

impl<'a> RecordTimes<'a> {
    /// The CRC is not checked.
    pub fn new(batch: &'a [u8]) -> Result<Self, BatchError> {
        let header = BatchHeader::decode(batch)?;
        let records = batch.get(BATCH_HEADER_BYTES..header.size_bytes());
        let records = records.ok_or(BatchError::Truncated {
            needed: header.size_bytes(),
            left: batch.len(),
        })?;
        // The door's bound; what it recompressed may since have become smaller, of a bounded size.
        let bytes_max = output_bytes_max(records.len()).max(limits::BATCH_BYTES_MAX);
        let source = Opened::new(header.compression()?, records, bytes_max)?;
        let cursor = Cursor {
            header,
            begun: 0,
            skip: 0,
        };
        Ok(Self { source, cursor })
    }

    /// Goes on through about `bytes` more bytes of records, to the next that `is_wanted`.
    pub fn advance(
        &mut self,
        bytes: usize,
        mut is_wanted: impl FnMut(Offset, TimestampMs) -> bool,
    ) -> Result<Search, BatchError> {
        let bytes = bytes.max(1) as u64;
        let cursor = &mut self.cursor;
        let searched = match &mut self.source {
            Opened::Plain(plain) => cursor.advance(plain, bytes, &mut is_wanted),
            Opened::Chunked(chunked) => cursor.advance(chunked, bytes, &mut is_wanted),
        };
        searched.map_err(|stop| match stop {
            Stop::Record(fault) => BatchError::Record {
                index: cursor.begun,
                fault,
            },
            Stop::Source(error) => error,
        })
    }
}

impl Cursor {
    fn advance<S: Source>(
        &mut self,
        source: &mut S,
        bytes: u64,
        is_wanted: &mut impl FnMut(Offset, TimestampMs) -> bool,
    ) -> Result<Search, Stop> {
        let until = source.position().saturating_add(bytes);
        loop {
            let skipped = self.skip.min(until.saturating_sub(source.position()));
            source.skip(skipped)?;
            self.skip -= skipped;
            if self.begun == self.header.record_count && self.skip == 0 {
                return match source.at_end().map_err(Stop::Source)? {
                    true => Ok(Search::Ended),
                    false => Err(Stop::Source(BatchError::RecordsLeft)),
                };
            }
            if self.skip > 0 || source.position() >= until {
                return Ok(Search::Open);
            }
            let (offset, timestamp) = self.begin(source)?;
            if is_wanted(offset, timestamp) {
                return Ok(Search::Found(offset, timestamp));
            }
        }
    }

    /// Reads the front of the next record.
    fn begin<S: Source>(&mut self, source: &mut S) -> Result<(Offset, TimestampMs), Stop> {
        let length = source.varint()?;
        let length = u64::try_from(length).map_err(|_| RecordFault::Negative)?;
        let end = source.position() + length;
        source.byte()?;
        let timestamp_delta = source.varlong()?;
        let offset_delta = source.varint()?;
        if !(0..=self.header.last_offset_delta).contains(&offset_delta) {
            return Err(RecordFault::OffsetDelta.into());
        }
        let left = end.checked_sub(source.position());
        self.skip = left.ok_or(RecordFault::Length)?;
        self.begun += 1;
        let timestamp = match self.header.timestamp_type() {
            TimestampType::LogAppendTime => self.header.max_timestamp,
            TimestampType::CreateTime => {
                let base = self.header.base_timestamp.0;
                let timestamp = base.checked_add(timestamp_delta);
                TimestampMs(timestamp.ok_or(RecordFault::Timestamp)?)
            }
        };
        Ok((self.header.base_offset.plus(offset_delta.into()), timestamp))
    }
}
