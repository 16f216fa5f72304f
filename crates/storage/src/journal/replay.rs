//! Reading the journal back: every chunk from where the manifest says it begins.
use std::{collections::VecDeque, io};

use iobuf::Buf;

use crate::{
    LogId,
    chunk::{BLOCK_BYTES, ChunkId, Role},
    frame::{self, FRAME_HEADER_BYTES, FrameHeader, Step as FrameStep, TAIL_BYTES},
    journal::ring::{RingFile, UsedFile, file_name},
    manifest::{Geometry, edit::JournalPoint},
    window::{Step, WindowReader},
};

/// One thing the journal holds.
pub(crate) enum Item {
    Frame(FrameHeader, Buf),
    /// A frame whose bytes are damaged; whose it is, is certain.
    Damaged(FrameHeader),
    /// Damage that may have held frames of any log.
    Unknown,
}

/// Items of one chunk, with its place for error reports.
pub(crate) struct ReplayedChunk {
    pub file: String,
    pub sequence: u64,
    /// Of the last chunk that damage here may have hidden.
    pub sequence_last: u64,
    /// Position of each item's first byte.
    pub items: Vec<(u64, Item)>,
}

pub(crate) struct Replay<'a> {
    geometry: Geometry,
    ring: &'a [RingFile],
    reader: Option<(usize, WindowReader)>,
    /// Where the next chunk is expected.
    pub point: JournalPoint,
    /// Something of a chunk behind the end was written.
    pub torn: bool,
    /// The files gone through so far.
    pub used: VecDeque<UsedFile>,
    unchecked: bool,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(
        geometry: Geometry,
        ring: &'a [RingFile],
        point: JournalPoint,
        unchecked: bool,
    ) -> Self {
        Self {
            geometry,
            ring,
            reader: None,
            point,
            torn: false,
            used: VecDeque::from([UsedFile::new(point.slot as usize, &point)]),
            unchecked,
        }
    }

    fn id(&self) -> ChunkId {
        ChunkId {
            role: Role::Journal,
            store_id: self.geometry.store_id,
            file: u64::from(self.point.slot),
            owner: 0,
            owner_epoch: 0,
            sequence: self.point.sequence,
            position: self.point.position,
            previous_crc: self.point.previous_crc,
        }
    }

    async fn step(&mut self) -> io::Result<Step> {
        let slot = self.point.slot as usize;
        if self.reader.as_ref().is_none_or(|(held, _)| *held != slot) {
            let Some(file) = self.ring.get(slot) else {
                return Ok(Step::End { torn: false });
            };
            let reader = WindowReader::new(file.file.clone(), self.geometry.journal_file_bytes);
            self.reader = Some((slot, reader));
        }
        let id = self.id();
        let chunk_bytes = self.geometry.journal_chunk_bytes as usize;
        let (_, reader) = self.reader.as_mut().expect("just made sure of");
        if self.unchecked {
            return reader.step_unchecked(&id, chunk_bytes).await;
        }
        reader.step(&id, chunk_bytes).await
    }

    /// The chunk at `point` was found.
    fn note_used(&mut self) {
        let slot = self.point.slot as usize;
        if self.used.back().is_none_or(|file| file.slot != slot) {
            self.used.push_back(UsedFile::new(slot, &self.point));
        }
        let file = self.used.back_mut().expect("just made sure of");
        file.sequence_last = self.point.sequence;
    }

    /// The next chunk, or `None` at the end of the journal.
    pub(crate) async fn next(&mut self) -> io::Result<Option<ReplayedChunk>> {
        let here = self.point;
        let room = self.geometry.journal_file_bytes - here.position;
        let full = room < u64::from(self.geometry.journal_chunk_bytes);
        let mut found = Step::End { torn: false };
        if !full {
            found = self.step().await?;
        }
        if let Step::End { torn } = found {
            // The writer may have gone on in the next file; with damage here, only that file tells.
            let next = here.slot as usize + 1;
            let slots = [next, 0].map(|slot| u32::try_from(slot).expect("a ring has few files"));
            for slot in slots {
                self.point.slot = slot;
                self.point.position = BLOCK_BYTES as u64;
                let step = self.step().await?;
                if full && !matches!(step, Step::End { torn: false })
                    || matches!(step, Step::Damaged { .. })
                {
                    found = step;
                    break;
                }
            }
            if matches!(found, Step::End { .. }) {
                self.torn = torn || matches!(found, Step::End { torn: true });
                self.point = here;
                return Ok(None);
            }
        }
        let slot = self.point.slot;
        let at = self.point.position;
        let file = format!("journal/{}", file_name(slot as usize));
        match found {
            Step::Chunk {
                bytes,
                payload_bytes,
                crc,
            } => {
                let sequence = self.point.sequence;
                self.note_used();
                self.point.position += bytes.len() as u64;
                self.point.sequence += 1;
                self.point.previous_crc = crc;
                let items = items(&bytes, payload_bytes, at, self.unchecked);
                Ok(Some(ReplayedChunk {
                    file,
                    sequence,
                    sequence_last: sequence,
                    items,
                }))
            }
            Step::Damaged { later } => {
                self.point = JournalPoint {
                    sequence: later.sequence,
                    slot,
                    position: later.position,
                    previous_crc: later.previous_crc,
                    clean: false,
                    next_log_id: LogId(0),
                };
                let items = vec![(here.position, Item::Unknown)];
                Ok(Some(ReplayedChunk {
                    file,
                    sequence: here.sequence,
                    sequence_last: later.sequence - 1,
                    items,
                }))
            }
            Step::End { .. } => Ok(None),
        }
    }
}

/// The frames of a chunk, each judged by its own checksums.
fn items(bytes: &Buf, payload_bytes: usize, chunk_at: u64, unchecked: bool) -> Vec<(u64, Item)> {
    let mut items = Vec::new();
    let mut at = 0;
    let frames_end = payload_bytes.saturating_sub(TAIL_BYTES);
    while at < frames_end {
        let position = chunk_at + at as u64;
        let rest = &bytes[at..frames_end];
        let (header, whole) = match frame::decode(rest) {
            Ok(FrameStep::Frame(header)) => (header, true),
            Ok(FrameStep::Tail { .. }) => return items,
            Err(_) => match frame::decode_despite_one_bit(rest) {
                Some(FrameStep::Frame(header)) => (header, false),
                _ => {
                    items.push((position, Item::Unknown));
                    return items;
                }
            },
        };
        let end = at + header.frame_bytes();
        if end > frames_end {
            items.push((position, Item::Unknown));
            return items;
        }
        let frame = bytes.slice(at..end);
        let (stored, computed) = frame::body_checksums(&frame[FRAME_HEADER_BYTES..]);
        let item = if whole && (unchecked || stored == computed) {
            Item::Frame(header, frame)
        } else {
            Item::Damaged(header)
        };
        items.push((position, item));
        at = end;
    }
    items
}
