//! Reading a chain of chunks from a file, a window at a time.
use std::io;

use base::FilePos;
use iobuf::Buf;
use runtime::fs::File;

use crate::{
    Corrupt,
    chunk::{self, BLOCK_BYTES, ChunkId, Found, Later},
    codec::u32_at,
    frame::FrameHeader,
    log::frames_in,
    retry,
};

/// Enough for most chunks; larger ones name their size themselves.
const WINDOW_BYTES: usize = 64 << 10;
/// Read at once where chunks follow each other.
const READ_BYTES: usize = 1 << 20;

/// Damage at a position of a file whose name the caller adds.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub at: u64,
    pub expected: String,
    pub found: String,
}

impl Damage {
    pub(crate) fn in_file(self, file: &str) -> Corrupt {
        Corrupt {
            file: file.into(),
            at: self.at,
            expected: self.expected,
            found: self.found,
        }
    }
}

/// What was found where a chunk was expected.
pub(crate) enum Step {
    /// A whole chunk: its bytes, the length of its payload, and the checksum its successor names.
    Chunk {
        bytes: Buf,
        payload_bytes: usize,
        crc: u32,
    },
    /// No whole chunk, but one of its successors: damage.
    Damaged { later: Later },
    /// The chain ends here. `torn`: something of the next chunk was written.
    End { torn: bool },
}

/// A sealed chunk's frames.
pub(crate) struct ChunkFrames {
    pub frames: Vec<(FrameHeader, Buf)>,
    pub chunk_bytes: u64,
    pub crc: u32,
}

pub(crate) struct WindowReader {
    file: File,
    file_end: u64,
    held: Buf,
    held_at: u64,
}

impl WindowReader {
    /// `file_end`: bytes from there on are not looked at.
    pub(crate) fn new(file: File, file_end: u64) -> Self {
        Self {
            file,
            file_end,
            held: Buf::new(),
            held_at: 0,
        }
    }

    /// Up to `bytes` from `position` on, fewer at the end of the file.
    async fn window(&mut self, position: u64, bytes: usize) -> io::Result<Buf> {
        let left = self.file_end.saturating_sub(position);
        let bytes = bytes.min(usize::try_from(left).unwrap_or(usize::MAX));
        let held_end = self.held_at + self.held.len() as u64;
        if position < self.held_at || position + bytes as u64 > held_end {
            let read_bytes = bytes
                .max(READ_BYTES)
                .min(usize::try_from(left).unwrap_or(bytes));
            let aligned = read_bytes.next_multiple_of(BLOCK_BYTES);
            self.held = retry::read_at(&self.file, FilePos(position), aligned).await?;
            self.held_at = position;
        }
        let from = usize::try_from(position - self.held_at).expect("inside what is held");
        let end = (from + bytes).min(self.held.len());
        Ok(self.held.slice(from..end))
    }

    /// What stands where the chunk `id` is expected. No chunk is larger than `chunk_bytes_max`.
    pub(crate) async fn step(&mut self, id: &ChunkId, chunk_bytes_max: usize) -> io::Result<Step> {
        let mut window = self.window(id.position, WINDOW_BYTES).await?;
        loop {
            let wants = chunk::wants_bytes(&window).min(chunk_bytes_max);
            if wants <= window.len() {
                break;
            }
            let before = window.len();
            window = self.window(id.position, wants).await?;
            if window.len() == before {
                break;
            }
        }
        if let Some(found) = whole(&window, id) {
            return Ok(found);
        }
        // Damaged, torn or nothing: look as far as the chunk and its successor can reach.
        let window = self.window(id.position, 2 * chunk_bytes_max).await?;
        if let Some(found) = whole(&window, id) {
            return Ok(found);
        }
        if let Some(later) = chunk::later_chunk(&window, id.position, id) {
            return Ok(Step::Damaged { later });
        }
        let torn = chunk::inspect(&window, id) == Found::Torn;
        Ok(Step::End { torn })
    }

    /// As `step`, believing a footer of the right name: the planted bug of recovery without checksums.
    pub(crate) async fn step_unchecked(
        &mut self,
        id: &ChunkId,
        chunk_bytes_max: usize,
    ) -> io::Result<Step> {
        let window = self.window(id.position, chunk_bytes_max).await?;
        Ok(match chunk::named(&window, id) {
            Some((chunk_bytes, payload_bytes)) => Step::Chunk {
                payload_bytes,
                crc: u32_at(&window, chunk_bytes - 4),
                bytes: window.slice(..chunk_bytes),
            },
            None => Step::End { torn: false },
        })
    }

    /// The frames of the chunk at `position` of a segment whose chain is known to be whole.
    pub(crate) async fn frames_of_chunk(&mut self, position: u64) -> Result<ChunkFrames, Damage> {
        let damage = |found: String| Damage {
            at: position,
            expected: "a whole chunk".into(),
            found,
        };
        let mut window = self
            .window(position, WINDOW_BYTES)
            .await
            .map_err(|e| damage(e.to_string()))?;
        let mut before = 0;
        while window.len() > before && chunk::wants_bytes(&window) > window.len() {
            before = window.len();
            let wants = chunk::wants_bytes(&window);
            window = self
                .window(position, wants)
                .await
                .map_err(|e| damage(e.to_string()))?;
        }
        let end =
            chunk::walk_to_end(&window).ok_or_else(|| damage("no end of its frames".into()))?;
        let frames =
            frames_in(&window[..end], true).ok_or_else(|| damage("a damaged frame".into()))?;
        Ok(ChunkFrames {
            frames: frames
                .into_iter()
                .map(|(header, bytes)| (header, window.slice_ref(bytes)))
                .collect(),
            chunk_bytes: end as u64,
            crc: u32_at(&window, end - 4),
        })
    }
}

fn whole(window: &Buf, id: &ChunkId) -> Option<Step> {
    match chunk::inspect(window, id) {
        Found::Whole {
            chunk_bytes,
            payload_bytes,
            crc,
            ..
        } => Some(Step::Chunk {
            bytes: window.slice(..chunk_bytes),
            payload_bytes,
            crc,
        }),
        Found::Torn | Found::Absent => None,
    }
}
