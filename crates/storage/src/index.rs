//! Sparse index of one segment: offset, raft index and time to file position.
//!
//! # Layout
//! In memory a sorted list; on disk `<segment>.index`, written when the segment is sealed and when the home closes:
//! 32 bytes of header, the segment's end as of then, the entries, all under one CRC32C (`docs/formats/index.md`).
//!
//! # Invariants
//! 1. A file is used only when it names this segment and exactly the end the manifest knows; otherwise the segment
//!    is scanned and the file written again. Held by the stale-index tests.
//!
//! # Limits
//! `ENTRIES_MAX` entries per segment: the distance between entries doubles when it would take more.

use base::{Offset, RaftIndex, TimestampMs};

use crate::{
    codec::{FieldReader, FieldWriter},
    manifest::edit::{SegmentEnd, decode_end, encode_end},
    segment::{FIRST_CHUNK_AT, SegmentName},
};

/// 32 bytes each: at most 128 KiB per segment, and a 1 GiB segment is still cut into pieces of 256 KiB.
pub const ENTRIES_MAX: usize = 4096;
const MAGIC: &[u8; 4] = b"FBIX";
const VERSION: u32 = 2;
const ENTRY_BYTES: usize = 32;

/// One place in the segment where a frame begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    pub offset: Offset,
    pub raft_index: RaftIndex,
    pub position: u64,
    /// Largest timestamp of all frames before this one.
    pub max_timestamp_before: TimestampMs,
}

impl IndexEntry {
    /// The place of a segment's first frame, all but its offset.
    pub(crate) fn front_of(name: SegmentName) -> Self {
        Self {
            offset: Offset(0),
            raft_index: name.base_index,
            position: FIRST_CHUNK_AT,
            max_timestamp_before: TimestampMs(-1),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index {
    pub(crate) entries: Vec<IndexEntry>,
    /// Distance between entries now; grows by doubling.
    interval_bytes: u64,
    /// With the planted bug of trusting a stale file: the end that file claims.
    pub(crate) claimed_end: Option<u64>,
}

impl Index {
    /// Notes a frame at `position`, if the last entry is far enough behind.
    pub(crate) fn note(&mut self, entry: IndexEntry, interval_bytes: u64) {
        self.interval_bytes = self.interval_bytes.max(interval_bytes);
        let near = self
            .entries
            .last()
            .is_some_and(|last| entry.position < last.position + self.interval_bytes);
        if near {
            return;
        }
        if self.entries.len() == ENTRIES_MAX {
            let mut at = 0;
            self.entries.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.interval_bytes = self.interval_bytes.saturating_mul(2);
        }
        self.entries.push(entry);
    }

    /// The last entry at or before `offset`.
    pub(crate) fn by_offset(&self, offset: Offset) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|e| e.offset <= offset);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// The last entry at or before `raft_index`.
    pub(crate) fn by_raft_index(&self, raft_index: RaftIndex) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|e| e.raft_index <= raft_index);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    /// The last entry before which every timestamp is below `at`: the first record at or after `at` stands behind it.
    pub(crate) fn by_timestamp(&self, at: TimestampMs) -> Option<IndexEntry> {
        let after = self
            .entries
            .partition_point(|e| e.max_timestamp_before < at);
        self.entries.get(after.checked_sub(1)?).copied()
    }

    pub(crate) fn encode(&self, store_id: u64, name: SegmentName, end: &SegmentEnd) -> Vec<u8> {
        let mut out = FieldWriter::default();
        out.raw(MAGIC);
        out.u32(VERSION);
        out.u64(store_id);
        out.u32(name.log_id.0);
        out.u32(name.created_epoch.0);
        out.u64(name.base_index.0);
        encode_end(&mut out, end);
        out.u64(self.interval_bytes);
        out.count(self.entries.len());
        for entry in &self.entries {
            out.i64(entry.offset.0);
            out.u64(entry.raft_index.0);
            out.u64(entry.position);
            out.i64(entry.max_timestamp_before.0);
        }
        let crc = iobuf::crc32c(&out.bytes);
        out.u32(crc);
        out.bytes
    }

    /// The index, if `bytes` are whole and belong to this segment, together with the end it was written for.
    pub(crate) fn decode(
        bytes: &[u8],
        store_id: u64,
        name: SegmentName,
    ) -> Option<(Self, SegmentEnd)> {
        let (front, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
        if iobuf::crc32c(front).to_le_bytes() != crc {
            return None;
        }
        let mut body = FieldReader::new(front);
        let ours = body.raw(4)? == MAGIC
            && body.u32()? == VERSION
            && body.u64()? == store_id
            && body.u32()? == name.log_id.0
            && body.u32()? == name.created_epoch.0
            && body.u64()? == name.base_index.0;
        if !ours {
            return None;
        }
        let end = decode_end(&mut body)?;
        let interval_bytes = body.u64()?;
        let count = body.count(ENTRY_BYTES)?;
        let mut entries = Vec::with_capacity(count.min(ENTRIES_MAX));
        for _ in 0..count.min(ENTRIES_MAX) {
            entries.push(IndexEntry {
                offset: Offset(body.i64()?),
                raft_index: RaftIndex(body.u64()?),
                position: body.u64()?,
                max_timestamp_before: TimestampMs(body.i64()?),
            });
        }
        let index = Self {
            entries,
            interval_bytes,
            claimed_end: None,
        };
        (body.remaining() == 0).then_some((index, end))
    }
}

/// Pure decoding of an index file, for fuzzing: the number of entries of a file that belongs to log 0, index 1.
#[must_use]
pub fn entries_in(bytes: &[u8], store_id: u64) -> Option<usize> {
    let name = SegmentName {
        log_id: crate::LogId(0),
        base_index: RaftIndex(1),
        created_epoch: base::LogEpoch(0),
    };
    Index::decode(bytes, store_id, name).map(|(index, _)| index.entries.len())
}

#[cfg(test)]
mod tests;
