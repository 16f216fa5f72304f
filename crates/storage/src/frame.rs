//! What lies on disk for one entry: a header, and the Kafka batch as it goes on the wire.
//!
//! # Invariants
//! 1. The header's checksum covers everything that Kafka's own checksum of the batch does not: the header, and the
//!    batch's first bytes (base offset, length, leader epoch, magic, Kafka's checksum). Held by the bit-flip tests.
//! 2. A frame names its partition log and log epoch, so a misdirected write or a truncated incarnation is recognised.
//!
//! # Layout
//! Little-endian, version 2; the batch is Kafka's (big-endian). Specified in `docs/formats/frame.md`.
//! ```text
//! 0    4          8           12      16         20            24          32
//! | Fr | checksum | body_bytes| log_id| log_epoch| record_count| raft_index| batch ... |
//!   ^ 'F' 'r' version kind
//! ```
//! The last frame of a chunk is followed by a tail mark: `'T' 'l' version 0 | checksum | skip_bytes | zero`.

use base::{LeaderEpoch, LogEpoch, Offset, RaftIndex, TimestampMs};

use crate::{
    EntryKind, LogId,
    codec::{u32_at, u64_at},
};

/// Bytes before the batch.
pub const FRAME_HEADER_BYTES: usize = 32;
/// Front of a batch that Kafka's checksum does not cover: base offset, length, leader epoch, magic, checksum.
pub const BATCH_PREFIX_BYTES: usize = 21;
/// Header of a v2 batch; no batch is shorter.
pub const BATCH_HEADER_BYTES: usize = 61;
/// What must be at hand to judge a frame's header.
pub const FRAME_PREFIX_BYTES: usize = FRAME_HEADER_BYTES + BATCH_PREFIX_BYTES;
/// The mark after the last frame of a chunk.
pub const TAIL_BYTES: usize = 16;

const VERSION: u8 = 2;

/// Bit of the kind byte: `follows_direct`, `follows_state`.
const FOLLOWS_DIRECT: u8 = 0x80;
const FOLLOWS_STATE: u8 = 0x40;

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    Entry(EntryKind),
    /// State of the log's owner, which is no entry: it takes neither index nor offset, and only journals have it.
    State,
}

/// A frame's header together with the batch fields it vouches for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    pub kind: FrameKind,
    /// The entry before it went straight to the segment: a gap in the journal before this frame is no damage, the
    /// other write just did not last.
    pub follows_direct: bool,
    /// The journal may hold a state of the log between its entry before and this one.
    pub follows_state: bool,
    pub log_id: LogId,
    pub log_epoch: LogEpoch,
    /// Offsets the entry takes.
    pub record_count: u32,
    pub raft_index: RaftIndex,
    /// Length of the batch, its own 12-byte front included.
    pub body_bytes: u32,
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

impl FrameHeader {
    /// The first offset after the entry.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.base_offset.plus(i64::from(self.record_count))
    }

    /// Header and batch on disk.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + self.body_bytes as usize
    }

    /// The header and the batch's patched first bytes: base offset and leader epoch are set, the rest is `batch`'s own.
    #[must_use]
    pub fn encode(&self, batch: &[u8]) -> [u8; FRAME_PREFIX_BYTES] {
        let mut out = [0; FRAME_PREFIX_BYTES];
        let flags = if self.follows_direct {
            FOLLOWS_DIRECT
        } else {
            0
        } | if self.follows_state { FOLLOWS_STATE } else { 0 };
        out[0..4].copy_from_slice(&[b'F', b'r', VERSION, kind_code(self.kind) | flags]);
        out[8..12].copy_from_slice(&self.body_bytes.to_le_bytes());
        out[12..16].copy_from_slice(&self.log_id.0.to_le_bytes());
        out[16..20].copy_from_slice(&self.log_epoch.0.to_le_bytes());
        out[20..24].copy_from_slice(&self.record_count.to_le_bytes());
        out[24..32].copy_from_slice(&self.raft_index.0.to_le_bytes());
        out[32..53].copy_from_slice(&batch[..BATCH_PREFIX_BYTES]);
        out[32..40].copy_from_slice(&self.base_offset.0.to_be_bytes());
        out[44..48].copy_from_slice(&self.leader_epoch.0.to_be_bytes());
        let crc = header_crc(&out);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out
    }
}

fn header_crc(bytes: &[u8]) -> u32 {
    iobuf::crc32c_append(iobuf::crc32c(&bytes[..4]), &bytes[8..FRAME_PREFIX_BYTES])
}

fn kind_code(kind: FrameKind) -> u8 {
    match kind {
        FrameKind::Entry(EntryKind::Records) => 1,
        FrameKind::Entry(EntryKind::Control) => 2,
        FrameKind::Entry(EntryKind::Configuration) => 3,
        FrameKind::Entry(EntryKind::TermStart) => 4,
        FrameKind::State => 5,
    }
}

fn kind_of(code: u8) -> Option<FrameKind> {
    Some(match code {
        1 => FrameKind::Entry(EntryKind::Records),
        2 => FrameKind::Entry(EntryKind::Control),
        3 => FrameKind::Entry(EntryKind::Configuration),
        4 => FrameKind::Entry(EntryKind::TermStart),
        5 => FrameKind::State,
        _ => return None,
    })
}

/// What stands at a position where a frame may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Frame(FrameHeader),
    /// No further frame in this chunk; the next chunk begins so many bytes on.
    Tail {
        skip_bytes: u32,
    },
}

/// Why no frame could be read there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Fewer bytes at hand than a frame's front needs.
    Short,
    /// Neither a frame nor a tail mark.
    Magic {
        found: u32,
    },
    Version {
        found: u8,
    },
    Checksum {
        stored: u32,
        computed: u32,
    },
    /// The checksum holds, but the fields contradict each other.
    Fields,
}

/// Decodes and checks what stands at the front of `bytes`.
pub fn decode(bytes: &[u8]) -> Result<Step, FrameError> {
    if bytes.len() < TAIL_BYTES {
        return Err(FrameError::Short);
    }
    match (bytes[0], bytes[1]) {
        (b'T', b'l') => decode_tail(bytes),
        (b'F', b'r') => decode_frame(bytes),
        _ => Err(FrameError::Magic {
            found: u32_at(bytes, 0),
        }),
    }
}

fn decode_frame(bytes: &[u8]) -> Result<Step, FrameError> {
    if bytes.len() < FRAME_PREFIX_BYTES {
        return Err(FrameError::Short);
    }
    let (stored, computed) = (u32_at(bytes, 4), header_crc(bytes));
    if stored != computed {
        return Err(FrameError::Checksum { stored, computed });
    }
    if bytes[2] != VERSION {
        return Err(FrameError::Version { found: bytes[2] });
    }
    let kind = kind_of(bytes[3] & !(FOLLOWS_DIRECT | FOLLOWS_STATE));
    let kind = kind.ok_or(FrameError::Fields)?;
    let be_u32 = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let base = i64::from_be_bytes(bytes[32..40].try_into().expect("eight bytes"));
    let header = FrameHeader {
        kind,
        follows_direct: bytes[3] & FOLLOWS_DIRECT != 0,
        follows_state: bytes[3] & FOLLOWS_STATE != 0,
        log_id: LogId(u32_at(bytes, 12)),
        log_epoch: LogEpoch(u32_at(bytes, 16)),
        record_count: u32_at(bytes, 20),
        raft_index: RaftIndex(u64_at(bytes, 24)),
        body_bytes: u32_at(bytes, 8),
        base_offset: Offset(base),
        leader_epoch: LeaderEpoch(be_u32(44).cast_signed()),
    };
    let length_agrees = u64::from(be_u32(40)) + 12 == u64::from(header.body_bytes);
    let index = header.raft_index.0;
    let place_agrees = match kind {
        FrameKind::Entry(kind) => {
            (header.record_count == 0) == kind.is_empty() && index > 0 && index < u64::MAX
        }
        FrameKind::State => header.record_count == 0 && index == 0,
    };
    let offsets_agree = base >= 0 && place_agrees && base < i64::MAX - i64::from(u32::MAX);
    let sane = length_agrees
        && offsets_agree
        && header.body_bytes as usize >= BATCH_HEADER_BYTES
        && header.body_bytes as usize <= base::limits::BATCH_BYTES_MAX;
    sane.then_some(Step::Frame(header))
        .ok_or(FrameError::Fields)
}

fn tail_crc(bytes: &[u8]) -> u32 {
    iobuf::crc32c_append(iobuf::crc32c(&bytes[..4]), &bytes[8..TAIL_BYTES])
}

fn decode_tail(bytes: &[u8]) -> Result<Step, FrameError> {
    let (stored, computed) = (u32_at(bytes, 4), tail_crc(bytes));
    if stored != computed {
        return Err(FrameError::Checksum { stored, computed });
    }
    if bytes[2] != VERSION {
        return Err(FrameError::Version { found: bytes[2] });
    }
    let skip_bytes = u32_at(bytes, 8);
    if (skip_bytes as usize) < TAIL_BYTES {
        return Err(FrameError::Fields);
    }
    Ok(Step::Tail { skip_bytes })
}

/// The mark after a chunk's last frame: `skip_bytes` from its first byte to the chunk's end.
#[must_use]
pub fn tail(skip_bytes: u32) -> [u8; TAIL_BYTES] {
    let mut out = [0; TAIL_BYTES];
    out[0..4].copy_from_slice(&[b'T', b'l', VERSION, 0]);
    out[8..12].copy_from_slice(&skip_bytes.to_le_bytes());
    let crc = tail_crc(&out);
    out[4..8].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Kafka's checksum of the batch: the one stored in it, and the one its bytes have. `batch` is at least a header long.
#[must_use]
pub fn body_checksums(batch: &[u8]) -> (u32, u32) {
    (
        stored_checksum(batch),
        iobuf::crc32c(&batch[BATCH_PREFIX_BYTES..]),
    )
}

/// Kafka's checksum as the batch states it. `batch` is at least a header long.
#[must_use]
pub fn stored_checksum(batch: &[u8]) -> u32 {
    u32::from_be_bytes(batch[17..21].try_into().expect("four bytes"))
}

/// A batch without records, shaped as Kafka's, that carries `payload` behind its header: for entries that take no offset.
/// Marked as control, so that whoever reads it as records skips it.
#[must_use]
pub fn empty_batch(payload: &[u8]) -> Vec<u8> {
    const MAGIC: u8 = 2;
    const ATTRIBUTES_CONTROL: i16 = 0x20;
    let mut out = Vec::with_capacity(BATCH_HEADER_BYTES + payload.len());
    out.extend(0_i64.to_be_bytes());
    let length = BATCH_HEADER_BYTES - 12 + payload.len();
    let length = u32::try_from(length).expect("payloads are small");
    out.extend(length.to_be_bytes());
    out.extend((-1_i32).to_be_bytes());
    out.push(MAGIC);
    out.extend([0; 4]);
    out.extend(ATTRIBUTES_CONTROL.to_be_bytes());
    // No record, so the last offset is the one before the base offset.
    out.extend((-1_i32).to_be_bytes());
    // Timestamps and producer id: none.
    out.extend([0xff; 24]);
    // Producer epoch and sequence: none.
    out.extend([0xff; 6]);
    out.extend(0_i32.to_be_bytes());
    out.extend(payload);
    let (_, crc) = body_checksums(&out);
    out[17..BATCH_PREFIX_BYTES].copy_from_slice(&crc.to_be_bytes());
    out
}

/// What an `empty_batch` carries.
#[must_use]
pub fn payload_of(batch: &[u8]) -> &[u8] {
    batch.get(BATCH_HEADER_BYTES..).unwrap_or_default()
}

/// The largest timestamp in the batch, from its header (bytes 35 to 43).
#[must_use]
pub fn max_timestamp(batch: &[u8]) -> TimestampMs {
    TimestampMs(i64::from_be_bytes(
        batch[35..43].try_into().expect("eight bytes"),
    ))
}

/// The header that one flipped bit in `bytes` turns into a valid one: tells whose frame was damaged and how long it
/// is. For attribution only, the frame itself stays refused.
#[must_use]
pub fn decode_despite_one_bit(bytes: &[u8]) -> Option<Step> {
    let mut copy = [0; FRAME_PREFIX_BYTES];
    let bytes = &bytes[..bytes.len().min(FRAME_PREFIX_BYTES)];
    copy[..bytes.len()].copy_from_slice(bytes);
    let copy = &mut copy[..bytes.len()];
    for bit in 0..bytes.len() * 8 {
        copy[bit / 8] ^= 1 << (bit % 8);
        if let Ok(step) = decode(copy) {
            return Some(step);
        }
        copy[bit / 8] ^= 1 << (bit % 8);
    }
    None
}

#[cfg(test)]
mod tests;
