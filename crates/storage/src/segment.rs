//! One append-only file of frames in chunks, part of one log.
//!
//! # Invariants
//! 1. Chunks follow each other without gaps from `FIRST_CHUNK_AT`; each lasted before the next was begun.
//! 2. A file is listed in the manifest only after its header block and its directory entry lasted, so a listed file
//!    that is missing is damage.
//!
//! # Layout
//! `segments/<log id>-<base index>-<created epoch>.segment`: a header block of 4 KiB, then chunks
//! (`docs/formats/segment.md`).

use base::{LogEpoch, Offset, RaftIndex, TimestampMs};

use crate::{
    LogId,
    chunk::{BLOCK_BYTES, ChunkId, Role},
    codec::u32_at,
    index::Index,
    manifest::edit::{SegmentEnd, SegmentRecord},
};

pub(crate) const FIRST_CHUNK_AT: u64 = BLOCK_BYTES as u64;
const MAGIC: &[u8; 4] = b"FBSG";
pub(crate) const VERSION: u32 = 2;

/// Identifies a segment file; its name on disk. By index: two segments may begin at the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub log_id: LogId,
    pub base_index: RaftIndex,
    pub created_epoch: LogEpoch,
}

impl SegmentName {
    fn stem(self) -> String {
        format!(
            "{:08x}-{:020}-{:08x}",
            self.log_id.0, self.base_index.0, self.created_epoch.0
        )
    }

    pub(crate) fn file_name(self) -> String {
        format!("{}.segment", self.stem())
    }

    pub(crate) fn index_name(self) -> String {
        format!("{}.index", self.stem())
    }

    /// The segment that a segment's or index's file name stands for.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let stem = name
            .strip_suffix(".segment")
            .or(name.strip_suffix(".index"))?;
        let mut parts = stem.split('-');
        let found = Self {
            log_id: LogId(u32::from_str_radix(parts.next()?, 16).ok()?),
            base_index: RaftIndex(parts.next()?.parse().ok()?),
            created_epoch: LogEpoch(u32::from_str_radix(parts.next()?, 16).ok()?),
        };
        (parts.next().is_none() && found.stem() == stem).then_some(found)
    }
}

/// A segment as its log knows it.
pub(crate) struct Segment {
    pub name: SegmentName,
    pub base_offset: Offset,
    /// Behind the last chunk that lasts.
    pub end: SegmentEnd,
    pub sealed: bool,
    /// Absent until a read needs it, or something is appended.
    pub index: Option<Index>,
    /// Space taken ahead, in bytes from the file's front.
    pub allocated: u64,
    /// Wall time of the first append since the file was created or recovered.
    pub first_append: Option<TimestampMs>,
}

impl Segment {
    pub(crate) fn new(name: SegmentName, base_offset: Offset) -> Self {
        Self {
            name,
            base_offset,
            end: SegmentEnd {
                position: FIRST_CHUNK_AT,
                sequence: 0,
                crc: 0,
                next_offset: base_offset,
                next_index: name.base_index,
                max_timestamp: TimestampMs(-1),
            },
            sealed: false,
            index: Some(Index::default()),
            allocated: 0,
            first_append: None,
        }
    }

    pub(crate) fn from_record(log_id: LogId, record: &SegmentRecord) -> Self {
        Self {
            name: SegmentName {
                log_id,
                base_index: record.base_index,
                created_epoch: record.created_epoch,
            },
            base_offset: record.base_offset,
            end: record.end,
            sealed: record.sealed,
            index: None,
            allocated: 0,
            first_append: None,
        }
    }

    pub(crate) fn record(&self) -> SegmentRecord {
        SegmentRecord {
            base_offset: self.base_offset,
            base_index: self.name.base_index,
            created_epoch: self.name.created_epoch,
            end: self.end,
            sealed: self.sealed,
        }
    }

    /// Identity of the chunk that comes next.
    pub(crate) fn next_chunk(&self, store_id: u64) -> ChunkId {
        chunk_id(store_id, self.name, &self.end)
    }

    /// Bytes of the file that hold something.
    pub(crate) fn bytes(&self) -> u64 {
        self.end.position
    }
}

/// Identity of the chunk that follows `end`.
pub(crate) fn chunk_id(store_id: u64, name: SegmentName, end: &SegmentEnd) -> ChunkId {
    ChunkId {
        role: Role::Segment,
        store_id,
        file: name.base_index.0,
        owner: name.log_id.0,
        owner_epoch: name.created_epoch.0,
        sequence: end.sequence + 1,
        position: end.position,
        previous_crc: end.crc,
    }
}

/// Header, 64 bytes: magic, version, store id, log id, created epoch, base index, topic id, partition, checksum.
pub(crate) fn encode_header(store_id: u64, name: SegmentName, key: base::PartitionKey) -> [u8; 64] {
    let mut out = [0; 64];
    out[0..4].copy_from_slice(MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&store_id.to_le_bytes());
    out[16..20].copy_from_slice(&name.log_id.0.to_le_bytes());
    out[20..24].copy_from_slice(&name.created_epoch.0.to_le_bytes());
    out[24..32].copy_from_slice(&name.base_index.0.to_le_bytes());
    out[32..48].copy_from_slice(&key.topic.0);
    out[48..52].copy_from_slice(&key.partition.0.to_le_bytes());
    let crc = iobuf::crc32c(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Whether a file's first 64 bytes are that header. Damage in it harms no reader: every chunk and frame names its
/// segment itself, so this is for tools and for recognising a newer format.
pub(crate) fn header_version(bytes: &[u8]) -> Option<u32> {
    let whole = bytes.len() >= 64
        && &bytes[..4] == MAGIC
        && iobuf::crc32c(&bytes[..60]) == u32_at(bytes, 60);
    whole.then(|| u32_at(bytes, 4))
}
