//! Manifest edits and the records in them, byte by byte.
//!
//! # Layout
//! Little-endian, `docs/formats/manifest.md`. Each edit: `u32` length of the body | `u32` CRC32C of the body | body;
//! the body's first byte is its kind. A record is always written whole: one edit is one atomic change of a log.

use std::rc::Rc;

use base::{
    LeaderEpoch, LogEpoch, Offset, PartitionIndex, PartitionKey, RaftIndex, TimestampMs, TopicId,
};

use crate::{
    Corrupt, LogConfig, LogId, LogStart,
    codec::{FieldReader, FieldWriter},
};

/// The position in a segment up to which chunks are known to be whole, and what the log knows there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentEnd {
    pub position: u64,
    /// Number of chunks before `position`.
    pub sequence: u64,
    /// Checksum of the last of them; 0 when there is none.
    pub crc: u32,
    pub next_offset: Offset,
    pub next_index: RaftIndex,
    pub max_timestamp: TimestampMs,
}

/// One segment file of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRecord {
    pub base_offset: Offset,
    pub base_index: RaftIndex,
    /// Log epoch in which the file was created; part of its name.
    pub created_epoch: LogEpoch,
    /// Exact when sealed; otherwise a lower bound that recovery scans on from.
    pub end: SegmentEnd,
    pub sealed: bool,
}

/// A truncation whose superseded frames may still stand in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    /// The log epoch that began with it.
    pub log_epoch: LogEpoch,
    /// Frames of earlier log epochs from this index on are superseded.
    pub next_index: RaftIndex,
    /// Journal sequence that was next; once the journal starts behind it the truncation may be forgotten.
    pub journal_sequence: u64,
}

/// State of a log's owner, and the journal sequence of the commit that made it durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    pub sequence: u64,
    pub bytes: Rc<[u8]>,
}

/// All that the manifest knows of one log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    pub log_id: LogId,
    pub key: PartitionKey,
    pub config: LogConfig,
    pub start: LogStart,
    pub log_epoch: LogEpoch,
    pub truncations: Vec<Truncation>,
    pub segments: Vec<SegmentRecord>,
    /// Leader epochs, and the index and the offset they began at. Epochs and indexes ascend; an epoch of entries
    /// without offsets leaves the next one to begin at the same offset.
    pub leader_epochs: Vec<(LeaderEpoch, RaftIndex, Offset)>,
    /// The newest that was durable when this was written; the journal may hold a newer one.
    pub state: Option<SavedState>,
    /// Recovery had to leave entries of the log behind: it stays refused, whatever its files look like later.
    pub refused: Option<Corrupt>,
}

/// Where the journal's live part begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalPoint {
    pub sequence: u64,
    pub slot: u32,
    pub position: u64,
    pub previous_crc: u32,
    /// Everything is in segments, and nothing was written since.
    pub clean: bool,
    /// Ids from here on were never used.
    pub next_log_id: LogId,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every edit is a Put, and none lives long"
)]
pub enum Edit {
    Put(LogRecord),
    Delete(LogId),
    Journal(JournalPoint),
}

const EDIT_HEADER_BYTES: usize = 8;

/// No file is as large; the sum of all segments' sizes stays a number.
const POSITION_MAX: u64 = 1 << 48;

impl Edit {
    /// The edit as it stands in a chunk.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = FieldWriter::default();
        out.raw(&[0; EDIT_HEADER_BYTES]);
        match self {
            Edit::Put(record) => {
                out.u8(1);
                encode_record(&mut out, record);
            }
            Edit::Delete(log_id) => {
                out.u8(2);
                out.u32(log_id.0);
            }
            Edit::Journal(point) => {
                out.u8(3);
                out.u64(point.sequence);
                out.u32(point.slot);
                out.u64(point.position);
                out.u32(point.previous_crc);
                out.u8(u8::from(point.clean));
                out.u32(point.next_log_id.0);
            }
        }
        let mut bytes = out.bytes;
        let body_bytes = u32::try_from(bytes.len() - EDIT_HEADER_BYTES)
            .expect("a record is far smaller than 4 GiB");
        let crc = iobuf::crc32c(&bytes[EDIT_HEADER_BYTES..]);
        bytes[0..4].copy_from_slice(&body_bytes.to_le_bytes());
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }
}

/// The edits of one chunk's payload, or the byte position in it of the first that is damaged.
pub fn decode_edits(payload: &[u8]) -> Result<Vec<Edit>, usize> {
    let mut edits = Vec::new();
    let mut rest = FieldReader::new(payload);
    while rest.remaining() > 0 {
        let at = payload.len() - rest.remaining();
        edits.push(decode_edit(&mut rest).ok_or(at)?);
    }
    Ok(edits)
}

fn decode_edit(rest: &mut FieldReader<'_>) -> Option<Edit> {
    let body_bytes = rest.u32()? as usize;
    let crc = rest.u32()?;
    let body = rest.raw(body_bytes)?;
    if iobuf::crc32c(body) != crc {
        return None;
    }
    let mut body = FieldReader::new(body);
    let edit = match body.u8()? {
        1 => Edit::Put(decode_record(&mut body)?),
        2 => Edit::Delete(decode_log_id(&mut body)?),
        3 => Edit::Journal(JournalPoint {
            sequence: body.u64().filter(|at| (1..u64::MAX).contains(at))?,
            slot: body.u32()?,
            position: body.u64().filter(|at| *at <= POSITION_MAX)?,
            previous_crc: body.u32()?,
            clean: body.u8()? == 1,
            next_log_id: LogId(body.u32()?),
        }),
        _ => return None,
    };
    (body.remaining() == 0).then_some(edit)
}

/// An index that has a next one, as frames demand it. 0 where nothing was lost, or held.
fn decode_index(body: &mut FieldReader<'_>) -> Option<RaftIndex> {
    body.u64().filter(|at| *at < u64::MAX).map(RaftIndex)
}

/// An offset that the largest entry may be added to, as frames demand it.
fn decode_offset(body: &mut FieldReader<'_>) -> Option<Offset> {
    let bounds = 0..i64::MAX - i64::from(u32::MAX);
    body.i64().filter(|at| bounds.contains(at)).map(Offset)
}

/// The epoch has a next one.
fn decode_log_epoch(body: &mut FieldReader<'_>) -> Option<LogEpoch> {
    body.u32().filter(|at| *at < u32::MAX).map(LogEpoch)
}

/// The highest number is never given out: there would be no next one.
fn decode_log_id(body: &mut FieldReader<'_>) -> Option<LogId> {
    body.u32().filter(|id| *id < u32::MAX).map(LogId)
}

fn encode_record(out: &mut FieldWriter, record: &LogRecord) {
    out.u32(record.log_id.0);
    out.raw(&record.key.topic.0);
    out.i32(record.key.partition.0);
    out.u64(record.config.segment_bytes);
    out.i64(record.config.segment_ms);
    out.i64(record.config.retention_bytes);
    out.i64(record.config.retention_ms);
    out.u64(record.config.index_interval_bytes);
    out.u8(u8::from(record.config.delete_old));
    out.i32(record.start.leader_epoch.0);
    out.u64(record.start.index.0);
    out.i64(record.start.offset.0);
    out.i64(record.start.next_offset.0);
    out.u32(record.log_epoch.0);
    out.count(record.truncations.len());
    for truncation in &record.truncations {
        out.u32(truncation.log_epoch.0);
        out.u64(truncation.next_index.0);
        out.u64(truncation.journal_sequence);
    }
    out.count(record.segments.len());
    for segment in &record.segments {
        out.i64(segment.base_offset.0);
        out.u64(segment.base_index.0);
        out.u32(segment.created_epoch.0);
        out.u8(u8::from(segment.sealed));
        encode_end(out, &segment.end);
    }
    out.count(record.leader_epochs.len());
    for (leader_epoch, index, offset) in &record.leader_epochs {
        out.i32(leader_epoch.0);
        out.u64(index.0);
        out.i64(offset.0);
    }
    out.u8(u8::from(record.state.is_some()));
    if let Some(state) = &record.state {
        out.u64(state.sequence);
        out.count(state.bytes.len());
        out.raw(&state.bytes);
    }
    out.u8(u8::from(record.refused.is_some()));
    if let Some(corrupt) = &record.refused {
        out.u64(corrupt.at);
        for text in [&corrupt.file, &corrupt.expected, &corrupt.found] {
            out.count(text.len());
            out.raw(text.as_bytes());
        }
    }
}

fn decode_state(body: &mut FieldReader<'_>) -> Option<Option<SavedState>> {
    if body.u8()? == 0 {
        return Some(None);
    }
    let sequence = body.u64()?;
    let count = body.count(1)?;
    let bytes = body.raw(count)?.into();
    Some(Some(SavedState { sequence, bytes }))
}

fn decode_text(body: &mut FieldReader<'_>) -> Option<String> {
    let bytes = body.count(1)?;
    String::from_utf8(body.raw(bytes)?.to_vec()).ok()
}

fn decode_refused(body: &mut FieldReader<'_>) -> Option<Option<Corrupt>> {
    if body.u8()? == 0 {
        return Some(None);
    }
    let at = body.u64()?;
    Some(Some(Corrupt {
        at,
        file: decode_text(body)?,
        expected: decode_text(body)?,
        found: decode_text(body)?,
    }))
}

pub(crate) fn encode_end(out: &mut FieldWriter, end: &SegmentEnd) {
    out.u64(end.position);
    out.u64(end.sequence);
    out.u32(end.crc);
    out.i64(end.next_offset.0);
    out.u64(end.next_index.0);
    out.i64(end.max_timestamp.0);
}

pub(crate) fn decode_end(body: &mut FieldReader<'_>) -> Option<SegmentEnd> {
    Some(SegmentEnd {
        position: body.u64()?,
        sequence: body.u64()?,
        crc: body.u32()?,
        next_offset: decode_offset(body)?,
        next_index: decode_index(body)?,
        max_timestamp: TimestampMs(body.i64()?),
    })
}

fn decode_record(body: &mut FieldReader<'_>) -> Option<LogRecord> {
    let log_id = decode_log_id(body)?;
    let topic = TopicId(body.raw(16)?.try_into().ok()?);
    let partition = PartitionIndex(body.i32()?);
    let config = LogConfig {
        segment_bytes: body.u64()?,
        segment_ms: body.i64()?,
        retention_bytes: body.i64()?,
        retention_ms: body.i64()?,
        index_interval_bytes: body.u64()?,
        delete_old: body.u8()? == 1,
    };
    let start = LogStart {
        leader_epoch: LeaderEpoch(body.i32()?),
        index: decode_index(body)?,
        offset: decode_offset(body)?,
        next_offset: decode_offset(body)?,
    };
    let log_epoch = decode_log_epoch(body)?;
    let mut truncations = Vec::new();
    for _ in 0..body.count(20)? {
        truncations.push(Truncation {
            log_epoch: decode_log_epoch(body)?,
            next_index: decode_index(body)?,
            journal_sequence: body.u64()?,
        });
    }
    let mut segments = Vec::new();
    for _ in 0..body.count(65)? {
        let segment = SegmentRecord {
            base_offset: decode_offset(body)?,
            base_index: decode_index(body)?,
            created_epoch: decode_log_epoch(body)?,
            sealed: body.u8()? == 1,
            end: decode_end(body)?,
        };
        let end = &segment.end;
        let has_place = segment.base_index > RaftIndex(0)
            && end.next_index >= segment.base_index
            && end.position <= POSITION_MAX
            && end.sequence < u64::MAX;
        segments.push(has_place.then_some(segment)?);
    }
    let mut leader_epochs = Vec::new();
    for _ in 0..body.count(20)? {
        leader_epochs.push((
            LeaderEpoch(body.i32()?),
            decode_index(body)?,
            decode_offset(body)?,
        ));
    }
    let state = decode_state(body)?;
    let refused = decode_refused(body)?;
    Some(LogRecord {
        log_id,
        key: PartitionKey { topic, partition },
        config,
        start,
        log_epoch,
        truncations,
        segments,
        leader_epochs,
        state,
        refused,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        LogRecord {
            log_id: LogId(4),
            key: PartitionKey {
                topic: TopicId([9; 16]),
                partition: PartitionIndex(2),
            },
            config: crate::testing::config(),
            start: LogStart {
                leader_epoch: LeaderEpoch(0),
                index: RaftIndex(0),
                offset: Offset(3),
                next_offset: Offset(0),
            },
            log_epoch: LogEpoch(1),
            truncations: vec![Truncation {
                log_epoch: LogEpoch(1),
                next_index: RaftIndex(5),
                journal_sequence: 40,
            }],
            segments: vec![SegmentRecord {
                base_offset: Offset(0),
                base_index: RaftIndex(1),
                created_epoch: LogEpoch(0),
                sealed: false,
                end: SegmentEnd {
                    position: 8192,
                    sequence: 1,
                    crc: 77,
                    next_offset: Offset(8),
                    next_index: RaftIndex(5),
                    max_timestamp: TimestampMs(1234),
                },
            }],
            leader_epochs: vec![(LeaderEpoch(0), RaftIndex(1), Offset(0))],
            state: Some(SavedState {
                sequence: 39,
                bytes: Rc::from(&b"vote"[..]),
            }),
            refused: Some(Corrupt {
                file: "journal/000.journal".into(),
                at: 4096,
                expected: "a whole frame".into(),
                found: "a damaged one".into(),
            }),
        }
    }

    #[test]
    fn the_highest_log_id_is_refused() {
        let highest = LogId(u32::MAX);
        let put = Edit::Put(LogRecord {
            log_id: highest,
            ..record()
        });
        assert_eq!(decode_edits(&put.encode()), Err(0));
        assert_eq!(decode_edits(&Edit::Delete(highest).encode()), Err(0));
    }

    /// Whatever is read from a record can be reckoned with.
    #[test]
    fn places_without_a_successor_are_refused() {
        let changes: [fn(&mut LogRecord); 9] = [
            |record| record.start.index = RaftIndex(u64::MAX),
            |record| record.start.offset = Offset(i64::MAX),
            |record| record.start.next_offset = Offset(-1),
            |record| record.log_epoch = LogEpoch(u32::MAX),
            |record| record.segments[0].base_index = RaftIndex(u64::MAX),
            |record| record.segments[0].end.next_index = RaftIndex(u64::MAX),
            |record| record.segments[0].end.next_offset = Offset(i64::MAX - 7),
            |record| record.segments[0].end.position = u64::MAX,
            |record| record.leader_epochs[0].1 = RaftIndex(u64::MAX),
        ];
        for change in changes {
            let mut changed = record();
            change(&mut changed);
            assert_eq!(decode_edits(&Edit::Put(changed).encode()), Err(0));
        }
        let point = JournalPoint {
            sequence: 0,
            slot: 0,
            position: 4096,
            previous_crc: 0,
            clean: false,
            next_log_id: LogId(0),
        };
        assert_eq!(decode_edits(&Edit::Journal(point).encode()), Err(0));
    }

    #[test]
    fn edits_round_trip_and_refuse_each_flipped_bit() {
        let edits = vec![
            Edit::Put(record()),
            Edit::Delete(LogId(9)),
            Edit::Journal(JournalPoint {
                sequence: 5,
                slot: 1,
                position: 4096,
                previous_crc: 6,
                clean: true,
                next_log_id: LogId(10),
            }),
        ];
        let mut bytes: Vec<u8> = edits.iter().flat_map(Edit::encode).collect();
        assert_eq!(decode_edits(&bytes), Ok(edits.clone()));
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_edits(&bytes).is_err(), "bit {bit} passed");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        assert_eq!(decode_edits(&bytes[..bytes.len() - 1]).ok(), None);
    }
}
