//! One disk write that lasts: payload, a checksum per sector, and a footer that names the write.
//!
//! Journal, segments and manifest are chains of chunks. In each file one chunk is written at a time, with data-sync,
//! and the next only after it lasts; so a chunk that is followed by its successor was acknowledged.
//!
//! # Invariants
//! 1. A chunk is a multiple of 4 KiB, begins at such a position and is never rewritten: a torn write cannot harm
//!    bytes that were acknowledged before.
//! 2. The footer's identity (store, file, sequence, position, predecessor's checksum) is known to the reader
//!    beforehand. Stale content of recycled space, or of another file, never matches.
//!
//! # Layout
//! Little-endian, version 1, `docs/formats/chunk.md`. `T` sectors of 512 bytes are covered by one checksum each in
//! the table; the sectors of table and footer by the footer's own checksum.
//! ```text
//! | payload | zeroes | table: T x u32 | footer: 64 bytes |
//! 0                                                      chunk_bytes, a multiple of 4096
//! footer: 0 "FBCK" | 4 version, role, 0, 0 | 8 store_id | 16 file | 24 sequence | 32 position
//!         | 40 chunk_bytes | 44 payload_bytes | 48 previous checksum | 52 owner | 56 owner_epoch | 60 checksum
//! ```
//!
//! # Crash
//! A power cut leaves some sectors of the one chunk in flight new and some old. A sector that differs from its
//! checksum by exactly one flipped bit is damage; by anything else, a tear. See `inspect`.
//!
//! # Instead of
//! A header in front: it would have to be patched after the payload is staged, or cost a 4 KiB block of its own per
//! commit. Checksums over the whole chunk: cannot tell a flipped bit in the last commit from a torn write.

use iobuf::{AppendBuf, crc32c};

use crate::{
    bits::{Flip, flipped_bit},
    codec::{u32_at, u64_at},
    frame,
};

pub const BLOCK_BYTES: usize = 4096;
pub const SECTOR_BYTES: usize = 512;
pub const FOOTER_BYTES: usize = 64;
const MAGIC: &[u8; 4] = b"FBCK";
const VERSION: u8 = 1;
static ZEROES: [u8; BLOCK_BYTES] = [0; BLOCK_BYTES];

/// Which kind of file a chunk belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Journal,
    Segment,
    Manifest,
}

/// What the reader knows of a chunk before reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkId {
    pub role: Role,
    pub store_id: u64,
    /// Journal: the ring file's number. Segment: its base index. Manifest: its generation.
    pub file: u64,
    /// Segment: the log's id, and the log epoch it was created in; 0 elsewhere.
    pub owner: u32,
    pub owner_epoch: u32,
    pub sequence: u64,
    pub position: u64,
    /// Checksum of the footer of `sequence - 1` in the chain; 0 for the first.
    pub previous_crc: u32,
}

/// Sizes that follow from the payload alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLayout {
    pub chunk_bytes: usize,
    pub table_at: usize,
    pub covered_sectors: usize,
}

/// Sectors the table covers in a chunk of `sectors`: all but those that table and footer themselves stand in.
fn covered_sectors(sectors: usize) -> usize {
    let mut own = 1;
    while own * SECTOR_BYTES < FOOTER_BYTES + 4 * (sectors - own) {
        own += 1;
    }
    sectors - own
}

impl ChunkLayout {
    fn of_sectors(sectors: usize) -> Self {
        let covered_sectors = covered_sectors(sectors);
        Self {
            chunk_bytes: sectors * SECTOR_BYTES,
            table_at: sectors * SECTOR_BYTES - FOOTER_BYTES - 4 * covered_sectors,
            covered_sectors,
        }
    }

    /// The smallest chunk that holds `payload_bytes` (the tail mark included).
    #[must_use]
    pub fn of_payload(payload_bytes: usize) -> Self {
        let mut sectors = payload_bytes.div_ceil(BLOCK_BYTES).max(1) * (BLOCK_BYTES / SECTOR_BYTES);
        loop {
            let layout = Self::of_sectors(sectors);
            if layout.table_at >= payload_bytes {
                return layout;
            }
            sectors += BLOCK_BYTES / SECTOR_BYTES;
        }
    }
}

/// An upper bound on the chunk that holds `payload_bytes` of frames, cheap enough for each append: the table takes
/// 4 bytes of 512, the rest is footer, tail mark and rounding.
#[must_use]
pub fn chunk_bytes_bound(payload_bytes: usize) -> usize {
    (payload_bytes + payload_bytes / 120 + FOOTER_BYTES + frame::TAIL_BYTES + BLOCK_BYTES)
        .next_multiple_of(BLOCK_BYTES)
}

/// A finished chunk's size and the checksum its successor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SealedChunk {
    pub chunk_bytes: usize,
    pub crc: u32,
}

/// Checksums of a chunk's sectors, taken as its payload grows: sealing a large chunk then is short, and the bytes are
/// summed while they are still in the processor's cache.
#[derive(Debug, Default)]
pub struct SectorTable {
    encoded: Vec<u8>,
    sectors: usize,
}

impl SectorTable {
    /// Takes in the sectors that `buf[start..]`, the chunk so far, has whole.
    pub fn extend(&mut self, buf: &AppendBuf, start: usize) {
        self.extend_to(buf, start, buf.len() - start);
    }

    /// As `extend`, of the chunk's first `bytes`.
    fn extend_to(&mut self, buf: &AppendBuf, start: usize, bytes: usize) {
        let sectors = bytes / SECTOR_BYTES;
        let view = buf.view(start + self.sectors * SECTOR_BYTES..start + sectors * SECTOR_BYTES);
        for sector in view.chunks_exact(SECTOR_BYTES) {
            self.encoded
                .extend_from_slice(&crc32c(sector).to_le_bytes());
        }
        self.sectors = sectors;
    }
}

/// Finishes the chunk whose payload is `buf[start..]`: tail mark (unless a manifest's), zeroes, table, footer.
/// The buffer has room for `chunk_bytes_bound` of the payload. `table` has taken in any number of its sectors.
pub fn seal(
    buf: &mut AppendBuf,
    start: usize,
    id: &ChunkId,
    mut table: SectorTable,
) -> SealedChunk {
    assert!(start.is_multiple_of(BLOCK_BYTES) && id.position.is_multiple_of(BLOCK_BYTES as u64));
    let mut payload_bytes = buf.len() - start;
    let with_tail = id.role != Role::Manifest;
    let layout =
        ChunkLayout::of_payload(payload_bytes + if with_tail { frame::TAIL_BYTES } else { 0 });
    if with_tail {
        let skip = layout.chunk_bytes - payload_bytes;
        buf.append(&[&frame::tail(
            u32::try_from(skip).expect("a tail is shorter than a few blocks and the table"),
        )]);
        payload_bytes += frame::TAIL_BYTES;
    }
    let mut zeroes = layout.table_at - payload_bytes;
    while zeroes > 0 {
        let part = zeroes.min(BLOCK_BYTES);
        buf.append(&[&ZEROES[..part]]);
        zeroes -= part;
    }
    let covered_end = layout.covered_sectors * SECTOR_BYTES;
    // The payload may reach into the first sector that is not covered, and fill it.
    table.encoded.truncate(4 * layout.covered_sectors);
    table.sectors = table.sectors.min(layout.covered_sectors);
    table.extend_to(buf, start, covered_end);
    let table = table.encoded;
    let mut footer = encode_identity(id);
    footer[40..44].copy_from_slice(&to_u32(layout.chunk_bytes).to_le_bytes());
    footer[44..48].copy_from_slice(&to_u32(payload_bytes).to_le_bytes());
    let before = buf.view(start + covered_end..start + layout.table_at);
    let mut crc = iobuf::crc32c_append(crc32c(&before), &table);
    crc = iobuf::crc32c_append(crc, &footer[..60]);
    footer[60..64].copy_from_slice(&crc.to_le_bytes());
    buf.append(&[&table, &footer]);
    assert_eq!(buf.len() - start, layout.chunk_bytes);
    SealedChunk {
        chunk_bytes: layout.chunk_bytes,
        crc,
    }
}

fn to_u32(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("chunks stay below 4 GiB")
}

/// The footer without sizes and checksum.
fn encode_identity(id: &ChunkId) -> [u8; FOOTER_BYTES] {
    let mut out = [0; FOOTER_BYTES];
    out[0..4].copy_from_slice(MAGIC);
    out[4] = VERSION;
    out[5] = match id.role {
        Role::Journal => 1,
        Role::Segment => 2,
        Role::Manifest => 3,
    };
    out[8..16].copy_from_slice(&id.store_id.to_le_bytes());
    out[16..24].copy_from_slice(&id.file.to_le_bytes());
    out[24..32].copy_from_slice(&id.sequence.to_le_bytes());
    out[32..40].copy_from_slice(&id.position.to_le_bytes());
    out[48..52].copy_from_slice(&id.previous_crc.to_le_bytes());
    out[52..56].copy_from_slice(&id.owner.to_le_bytes());
    out[56..60].copy_from_slice(&id.owner_epoch.to_le_bytes());
    out
}

/// What stands where a chunk is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The chunk was written whole. `damaged` sectors carry one flipped bit each; frames judge themselves.
    Whole {
        chunk_bytes: usize,
        /// Tail mark included.
        payload_bytes: usize,
        crc: u32,
        damaged: Vec<usize>,
    },
    /// Traces of this very chunk, not all of it: a torn write, or damage of more than single bits.
    Torn,
    /// Nothing of this chunk.
    Absent,
}

/// Judges what stands at the front of `window`, where the chunk `id` is expected. The window reaches as far as such a
/// chunk can, or to the end of the file.
#[must_use]
pub fn inspect(window: &[u8], id: &ChunkId) -> Found {
    let expected = encode_identity(id);
    let mut traces = false;
    // The usual case first: walk the frames to the tail mark, which names the end. Manifests have none.
    if let Some(end) = walk_to_end(window)
        && let Some(found) = inspect_until(&window[..end], &expected, &mut traces)
    {
        return found;
    }
    for end in (BLOCK_BYTES..=window.len()).step_by(BLOCK_BYTES) {
        if let Some(found) = inspect_until(&window[..end], &expected, &mut traces) {
            return found;
        }
    }
    if traces { Found::Torn } else { Found::Absent }
}

/// Size and payload of the chunk whose footer names it `id`, whatever its checksums say; for the planted bug of recovery
/// without checksums.
pub(crate) fn named(window: &[u8], id: &ChunkId) -> Option<(usize, usize)> {
    let expected = encode_identity(id);
    (BLOCK_BYTES..=window.len())
        .step_by(BLOCK_BYTES)
        .find_map(|end| {
            let footer = &window[end - FOOTER_BYTES..end];
            let payload_bytes = u32_at(footer, 44) as usize;
            let is_named = footer[..40] == expected[..40]
                && footer[48..60] == expected[48..60]
                && u32_at(footer, 40) as usize == end
                && payload_bytes <= end;
            is_named.then_some((end, payload_bytes))
        })
}

/// A chunk further on in the chain, found without the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later {
    pub sequence: u64,
    pub position: u64,
    pub previous_crc: u32,
}

/// The first successor of `id` whose footer is whole in `window`, which begins at file position `window_at`. That it
/// was begun means that `id` lasted.
#[must_use]
pub fn later_chunk(window: &[u8], window_at: u64, id: &ChunkId) -> Option<Later> {
    let ends = (BLOCK_BYTES..=window.len()).step_by(BLOCK_BYTES);
    ends.filter_map(|end| later_until(&window[..end], window_at, id))
        .min_by_key(|later| later.sequence)
}

fn later_until(window: &[u8], window_at: u64, id: &ChunkId) -> Option<Later> {
    let end = window.len();
    let footer = &window[end - FOOTER_BYTES..];
    let later = Later {
        sequence: u64_at(footer, 24),
        position: u64_at(footer, 32),
        previous_crc: u32_at(footer, 48),
    };
    let expected = ChunkId {
        sequence: later.sequence,
        position: later.position,
        previous_crc: later.previous_crc,
        ..*id
    };
    let identity = encode_identity(&expected);
    let ours = footer[..40] == identity[..40] && footer[48..60] == identity[48..60];
    let chunk_bytes = u32_at(footer, 40) as usize;
    let inside = ours
        && later.sequence > id.sequence
        && (BLOCK_BYTES..=end).contains(&chunk_bytes)
        && chunk_bytes.is_multiple_of(BLOCK_BYTES)
        && later.position == window_at + (end - chunk_bytes) as u64;
    if !inside {
        return None;
    }
    let layout = ChunkLayout::of_sectors(chunk_bytes / SECTOR_BYTES);
    let own = end - chunk_bytes + layout.covered_sectors * SECTOR_BYTES;
    (iobuf::crc32c(&window[own..end - 4]) == u32_at(footer, 60)).then_some(later)
}

pub(crate) fn walk_to_end(window: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match frame::decode(window.get(at..)?).ok()? {
            frame::Step::Frame(header) => at += header.frame_bytes(),
            frame::Step::Tail { skip_bytes } => {
                let end = at + skip_bytes as usize;
                return (end <= window.len() && end.is_multiple_of(BLOCK_BYTES)).then_some(end);
            }
        }
    }
}

/// How far `window` reaches into a chunk that continues behind it: the end its frames name so far.
#[must_use]
pub(crate) fn wants_bytes(window: &[u8]) -> usize {
    let mut at = 0;
    while let Some(rest) = window.get(at..) {
        match frame::decode(rest) {
            Ok(frame::Step::Frame(header)) => at += header.frame_bytes(),
            Ok(frame::Step::Tail { skip_bytes }) => return at + skip_bytes as usize,
            Err(frame::FrameError::Short) => return at + BLOCK_BYTES,
            Err(_) => return window.len(),
        }
    }
    at + BLOCK_BYTES
}

fn inspect_until(chunk: &[u8], expected: &[u8; FOOTER_BYTES], traces: &mut bool) -> Option<Found> {
    let footer = &chunk[chunk.len() - FOOTER_BYTES..];
    let identity = (0..40).chain(48..60);
    let distance: u32 = identity
        .map(|at| (footer[at] ^ expected[at]).count_ones())
        .sum();
    if distance > 1 {
        return None;
    }
    let layout = ChunkLayout::of_sectors(chunk.len() / SECTOR_BYTES);
    let covered_end = layout.covered_sectors * SECTOR_BYTES;
    let mut own = chunk[covered_end..].to_vec();
    let message_bytes = own.len() - 4;
    let stored = u32_at(&own, message_bytes);
    let computed = crc32c(&own[..message_bytes]);
    let mut crc = stored;
    let mut damaged = Vec::new();
    if stored != computed {
        match flipped_bit(stored, computed, message_bytes) {
            Some(Flip::Checksum) => crc = computed,
            Some(Flip::Message { at, bit }) => {
                own[at] ^= 1 << bit;
                damaged.push((covered_end + at) / SECTOR_BYTES);
            }
            None => {
                *traces = true;
                return None;
            }
        }
    }
    let footer_at = own.len() - FOOTER_BYTES;
    let footer = &own[footer_at..];
    let payload_bytes = u32_at(footer, 44) as usize;
    let exact = (0..40).chain(48..60).all(|at| footer[at] == expected[at])
        && u32_at(footer, 40) as usize == chunk.len()
        && payload_bytes <= layout.table_at;
    if !exact {
        return None;
    }
    let table = &own[layout.table_at - covered_end..footer_at];
    for (sector, bytes) in chunk[..covered_end].chunks_exact(SECTOR_BYTES).enumerate() {
        let (stored, computed) = (u32_at(table, sector * 4), crc32c(bytes));
        if stored != computed {
            if flipped_bit(stored, computed, SECTOR_BYTES).is_none() {
                *traces = true;
                return None;
            }
            damaged.push(sector);
        }
    }
    Some(Found::Whole {
        chunk_bytes: chunk.len(),
        payload_bytes,
        crc,
        damaged,
    })
}

#[cfg(test)]
mod tests;
