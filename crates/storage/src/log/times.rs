//! Finding records by time (ListOffsets).
use base::{LeaderEpoch, Offset, TimestampMs};
use kafka::batch::{BatchHeader, RecordTimes, Search};

use crate::{Corrupt, Log, ReadError, TimestampedOffset, frame};

/// Batches looked through per read.
const READ_BYTES: usize = 1 << 20;
/// Records looked through before others may run: a small batch may hold much when decompressed.
const STEP_BYTES: usize = 32 << 10;

impl Log {
    /// First record with timestamp >= `at`, below `until` (exact record, compressed batches included).
    pub async fn offset_for_timestamp(
        &self,
        at: TimestampMs,
        until: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let mut from = self.first_candidate(at).await?;
        while from < until {
            let read = self.read(from, until, READ_BYTES, true).await?;
            if read.batches.is_empty() {
                break;
            }
            let bytes = read.batches.to_contiguous();
            for (header, batch) in self.batches(&bytes)? {
                if header.max_timestamp < at {
                    continue;
                }
                if let Some(found) = self.first_record(&header, batch, at, from).await? {
                    return Ok(Some(found));
                }
            }
            from = read.next_offset;
            runtime::yield_now().await;
        }
        Ok(None)
    }

    /// The record with the largest timestamp (ListOffsets -3, KIP-734).
    pub async fn max_timestamp(
        &self,
        until: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        // Segments wholly inside the range are judged by what the manifest knows of them, the rest batch by batch.
        let (mut largest, parts) = {
            let state = self.state.borrow();
            self.check_readable(&state)?;
            let start = state.start.offset;
            let mut largest = TimestampMs(-1);
            let mut parts = Vec::new();
            for segment in &state.segments {
                let (base, next) = (segment.base_offset, segment.end.next_offset);
                if base >= start && next <= until {
                    largest = largest.max(segment.end.max_timestamp);
                } else if next > start && base < until {
                    parts.push((base.max(start), next.min(until)));
                }
            }
            let written = state.written_offset();
            if written < until {
                parts.push((written.max(start), until));
            }
            (largest, parts)
        };
        for (mut from, until) in parts {
            while from < until {
                let read = self.read(from, until, READ_BYTES, true).await?;
                if read.batches.is_empty() {
                    break;
                }
                let bytes = read.batches.to_contiguous();
                for (header, batch) in self.batches(&bytes)? {
                    largest = largest.max(self.max_timestamp_in(&header, batch).await?);
                }
                from = read.next_offset;
                runtime::yield_now().await;
            }
        }
        if largest == TimestampMs(-1) {
            return Ok(None);
        }
        self.offset_for_timestamp(largest, until).await
    }

    /// The largest timestamp of a batch, of its records that are not deleted.
    async fn max_timestamp_in(
        &self,
        header: &BatchHeader,
        batch: &[u8],
    ) -> Result<TimestampMs, ReadError> {
        let start = self.log_start_offset();
        if header.base_offset >= start {
            return Ok(header.max_timestamp);
        }
        let mut largest = TimestampMs(-1);
        self.search(batch, |offset, timestamp| {
            if offset >= start {
                largest = largest.max(timestamp);
            }
            false
        })
        .await?;
        Ok(largest)
    }

    /// The first record that is wanted; others run between its steps.
    async fn search(
        &self,
        batch: &[u8],
        mut is_wanted: impl FnMut(Offset, TimestampMs) -> bool,
    ) -> Result<Option<(Offset, TimestampMs)>, ReadError> {
        let undecodable = |error: kafka::batch::BatchError| self.undecodable(&error.to_string());
        let mut times = RecordTimes::new(batch).map_err(undecodable)?;
        loop {
            match times
                .advance(STEP_BYTES, &mut is_wanted)
                .map_err(undecodable)?
            {
                Search::Found(offset, timestamp) => return Ok(Some((offset, timestamp))),
                Search::Ended => return Ok(None),
                Search::Open if runtime::should_yield() => runtime::yield_now().await,
                Search::Open => {}
            }
        }
    }

    /// An offset that no record with timestamp >= `at` stands before.
    async fn first_candidate(&self, at: TimestampMs) -> Result<Offset, ReadError> {
        let (name, base_offset, start) = {
            let state = self.state.borrow();
            self.check_readable(&state)?;
            let start = state.start.offset;
            let segment = state
                .segments
                .iter()
                .find(|s| s.end.max_timestamp >= at && s.end.next_offset > start);
            let Some(segment) = segment else {
                let from = state.entries_from(state.written_next);
                let entry = state.entries.range(from..).find(|e| e.max_timestamp >= at);
                let found = entry.map_or(state.next_offset, |e| e.base_offset);
                return Ok(found.max(start));
            };
            (segment.name, segment.base_offset, start)
        };
        self.ensure_index(name).await?;
        let found = self.with_segment(name, |segment| {
            let index = segment.index.as_ref()?;
            Some(index.by_timestamp(at)?.offset)
        });
        Ok(found.flatten().unwrap_or(base_offset).max(start))
    }

    fn batches<'a>(&self, bytes: &'a [u8]) -> Result<Vec<(BatchHeader, &'a [u8])>, ReadError> {
        let mut out = Vec::new();
        let mut rest = bytes;
        while rest.len() >= frame::BATCH_HEADER_BYTES {
            let header = BatchHeader::decode(rest).map_err(|e| self.undecodable(&e.to_string()))?;
            let Some((batch, behind)) = rest.split_at_checked(header.size_bytes()) else {
                break;
            };
            out.push((header, batch));
            rest = behind;
        }
        Ok(out)
    }

    async fn first_record(
        &self,
        header: &BatchHeader,
        batch: &[u8],
        at: TimestampMs,
        from: Offset,
    ) -> Result<Option<TimestampedOffset>, ReadError> {
        let log_start = self
            .log_start_offset()
            .max(Offset(from.0.min(header.base_offset.0)));
        let is_wanted =
            |offset: Offset, timestamp: TimestampMs| timestamp >= at && offset >= log_start;
        let found = self.search(batch, is_wanted).await?;
        let leader_epoch: LeaderEpoch = header.leader_epoch;
        Ok(found.map(|(offset, timestamp)| TimestampedOffset {
            offset,
            timestamp,
            leader_epoch,
        }))
    }

    /// A batch whose checksum holds but whose records do not parse: the door let something through.
    fn undecodable(&self, error: &str) -> ReadError {
        ReadError::Quarantined(Corrupt {
            file: self.key().to_string(),
            at: 0,
            expected: "records that parse".into(),
            found: error.into(),
        })
    }
}
