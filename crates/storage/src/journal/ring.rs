//! The journal's files: made when first needed, zeroed ahead of use, written again once their content is in segments.
//!
//! # Invariants
//! 1. Space is allocated for a whole file before its first commit: a commit never finds the disk full.
//! 2. Zeroes are never written over a commit: a piece is announced in `zeroing` first, and lies behind every place
//!    that was given out.
//!
//! # Crash
//! A file without valid header block is one whose making was interrupted, or damaged there: identity is in every
//! chunk's footer, so the header is written again.

use std::{path::Path, rc::Rc};

use base::FilePos;
use iobuf::{AppendBuf, Buf};
use runtime::fs::{self, Durability, File, Open};

use crate::{
    LogId, OpenError,
    chunk::BLOCK_BYTES,
    disk,
    home::Home,
    manifest::{Geometry, edit::JournalPoint},
    retry, space,
};

const MAGIC: &[u8; 4] = b"FBJR";
const VERSION: u32 = 1;
/// Zeroes are written in pieces of this size: larger ones delay commits by milliseconds.
const ZERO_BYTES: u64 = 256 << 10;
/// With fewer, nothing that was written once can be written over.
pub(crate) const RING_FILES_MIN: usize = 2;
/// So far the first file is zeroed before the home is ready.
const ZERO_FIRST_BYTES: u64 = 256 << 10;

pub(crate) struct RingFile {
    pub file: File,
    /// Bytes from the front that were written at least once.
    pub written_to: u64,
}

/// A ring file with content that segments may not have yet.
pub(crate) struct UsedFile {
    pub slot: usize,
    pub sequence_first: u64,
    pub sequence_last: u64,
    pub position: u64,
    pub previous_crc: u32,
    /// Logs with frames in it, each once.
    pub logs: Vec<LogId>,
}

impl UsedFile {
    pub(crate) fn new(slot: usize, point: &JournalPoint) -> Self {
        Self {
            slot,
            sequence_first: point.sequence,
            sequence_last: point.sequence,
            position: point.position,
            previous_crc: point.previous_crc,
            logs: Vec::new(),
        }
    }

    pub(crate) fn point(&self) -> JournalPoint {
        JournalPoint {
            sequence: self.sequence_first,
            slot: u32::try_from(self.slot).expect("a ring has few files"),
            position: self.position,
            previous_crc: self.previous_crc,
            clean: false,
            next_log_id: LogId(0),
        }
    }
}

pub(crate) fn file_name(slot: usize) -> String {
    format!("{slot:03}.journal")
}

fn header(geometry: &Geometry, slot: usize) -> AppendBuf {
    let mut out = [0; 64];
    out[0..4].copy_from_slice(MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&geometry.store_id.to_le_bytes());
    out[16..24].copy_from_slice(&(slot as u64).to_le_bytes());
    out[24..32].copy_from_slice(&geometry.journal_file_bytes.to_le_bytes());
    out[32..36].copy_from_slice(&geometry.journal_chunk_bytes.to_le_bytes());
    let crc = iobuf::crc32c(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_le_bytes());
    let mut block = AppendBuf::with_capacity(BLOCK_BYTES);
    block.append(&[&out]);
    block.pad_to(BLOCK_BYTES);
    block
}

/// `Some(version)` of a whole header block.
pub(crate) fn header_version(bytes: &[u8]) -> Option<u32> {
    use crate::codec::u32_at;
    let whole = bytes.len() >= 64
        && &bytes[..4] == MAGIC
        && iobuf::crc32c(&bytes[..60]) == u32_at(bytes, 60);
    whole.then(|| u32_at(bytes, 4))
}

pub(crate) fn zeroes(bytes: u64) -> Buf {
    let bytes = usize::try_from(bytes).expect("a piece");
    let mut buf = iobuf::BufMut::with_capacity(bytes);
    buf.set_len(bytes);
    buf.fill(0);
    buf.freeze()
}

/// Opens the ring files there are, in slot order. A new home's first one is made here; a home that had one and lost it
/// gets an empty ring, which recovery takes for damage.
pub(crate) async fn open(
    dir: &Path,
    geometry: &Geometry,
    is_new: bool,
) -> Result<Vec<RingFile>, OpenError> {
    fs::create_dir_all(dir)
        .await
        .map_err(|e| disk::open_error(dir, &e))?;
    let mut ring = Vec::new();
    loop {
        let path = dir.join(file_name(ring.len()));
        let exists = fs::exists(&path)
            .await
            .map_err(|e| disk::open_error(&path, &e))?;
        if !exists && (!ring.is_empty() || !is_new) {
            return Ok(ring);
        }
        ring.push(open_file(dir, geometry, ring.len(), exists).await?);
    }
}

/// Makes the files that are missing up to `slot`.
pub(crate) async fn make_up_to(
    dir: &Path,
    geometry: &Geometry,
    ring: &mut Vec<RingFile>,
    slot: usize,
) -> Result<(), OpenError> {
    while ring.len() <= slot {
        let path = dir.join(file_name(ring.len()));
        let exists = fs::exists(&path)
            .await
            .map_err(|e| disk::open_error(&path, &e))?;
        ring.push(open_file(dir, geometry, ring.len(), exists).await?);
    }
    Ok(())
}

async fn open_file(
    dir: &Path,
    geometry: &Geometry,
    slot: usize,
    exists: bool,
) -> Result<RingFile, OpenError> {
    let path = dir.join(file_name(slot));
    let failed = |e: std::io::Error| disk::open_error(&path, &e);
    let open = Open {
        read: true,
        write: true,
        create: !exists,
        direct: true,
        ..Open::default()
    };
    let file = File::open(&path, open).await.map_err(failed)?;
    if exists {
        let front = retry::read_at(&file, FilePos(0), BLOCK_BYTES).await;
        let front = front.map_err(failed)?;
        match header_version(&front) {
            Some(VERSION) => {
                // It may have been made just before the process died: nothing of it need be on media yet.
                file.sync_all().await.map_err(failed)?;
                fs::sync_dir(dir).await.map_err(failed)?;
                let written_to = geometry.journal_file_bytes;
                return Ok(RingFile { file, written_to });
            }
            Some(found) => {
                return Err(OpenError::Version {
                    found,
                    known: VERSION,
                });
            }
            None => tracing::info!(file = %path.display(), "journal header written again"),
        }
    }
    let mut written_to = geometry.journal_file_bytes;
    if !exists {
        file.allocate(FilePos(0), geometry.journal_file_bytes)
            .await
            .map_err(failed)?;
        written_to = BLOCK_BYTES as u64;
        if slot == 0 {
            let first = ZERO_FIRST_BYTES.min(geometry.journal_file_bytes - written_to);
            file.write_at(FilePos(written_to), zeroes(first).into(), Durability::None)
                .await
                .map_err(failed)?;
            written_to += first;
        }
    }
    let block = header(geometry, slot).view(0..BLOCK_BYTES);
    file.write_at(FilePos(0), block.into(), Durability::None)
        .await
        .map_err(failed)?;
    file.sync_all().await.map_err(failed)?;
    fs::sync_dir(dir).await.map_err(failed)?;
    Ok(RingFile { file, written_to })
}

/// The Background task that zeroes new files ahead of the writer and makes the next one before it is needed; and the
/// next buffer for staging.
pub(crate) async fn prepare(home: Rc<Home>) {
    let journal = &home.journal;
    // Filled once: every piece is the same.
    let mut piece = None;
    while !home.closed.get() {
        journal.make_spare().await;
        if zero_next_piece(&home, &mut piece).await {
            continue;
        }
        let wants_file = {
            let inner = journal.inner.borrow();
            let last = inner.slot + 1 == inner.ring.len();
            let oldest_in_use = inner.used.iter().any(|file| file.slot == 0) || inner.wants_file;
            let used_up = inner.position > journal.file_bytes / 4;
            last && oldest_in_use && used_up && inner.ring.len() < journal.files_max
        };
        // A ring of one file can never be written again: the second one may take of the reserve.
        let is_alone = journal.inner.borrow().ring.len() < RING_FILES_MIN;
        if wants_file && (is_alone || space::has_room_for_file(&home, journal.file_bytes).await) {
            let slot = journal.inner.borrow().ring.len();
            match open_file(&journal.dir, &home.manifest.geometry, slot, false).await {
                Ok(file) => {
                    journal.inner.borrow_mut().ring.push(file);
                    journal.nudge();
                    home.room.notify_all();
                    continue;
                }
                Err(error) => {
                    // A full disk: the ring stays smaller, appends wait for segments to be written.
                    tracing::info!(%error, "no further journal file");
                    let _ = fs::remove_file(&journal.dir.join(file_name(slot))).await;
                    if is_alone {
                        // Nothing can be appended before there is one.
                        let is_full = !space::has_bytes(&home, journal.file_bytes).await;
                        retry::pause(is_full.then_some(&home.waiting_for_space)).await;
                        continue;
                    }
                }
            }
        }
        journal.ring_wake.notified().await;
    }
}

/// Zeroes the next piece of the newest file with the zeroes in `piece`, made when it is empty; false, and `piece` is
/// given back, when there is nothing to zero.
async fn zero_next_piece(home: &Rc<Home>, piece: &mut Option<Buf>) -> bool {
    let journal = &home.journal;
    let (slot, range, file) = {
        let mut inner = journal.inner.borrow_mut();
        let Some(slot) = inner
            .ring
            .iter()
            .position(|file| file.written_to < journal.file_bytes)
        else {
            *piece = None;
            return false;
        };
        let mut start = inner.ring[slot].written_to;
        if inner.slot == slot {
            start = start.max(inner.position);
        }
        let end = (start + ZERO_BYTES).min(journal.file_bytes);
        if start >= end {
            inner.ring[slot].written_to = journal.file_bytes;
            return true;
        }
        inner.zeroing = Some((slot, start..end));
        (slot, start..end, inner.ring[slot].file.clone())
    };
    let count = usize::try_from(range.end - range.start).expect("a piece");
    let bytes = piece
        .get_or_insert_with(|| zeroes(ZERO_BYTES))
        .slice(..count);
    let written = file
        .write_at(FilePos(range.start), bytes.into(), Durability::None)
        .await;
    if let Err(error) = written {
        runtime::fatal(runtime::Fatal::Io {
            what: "journal",
            error: error.to_string(),
        });
    }
    let mut inner = journal.inner.borrow_mut();
    inner.zeroing = None;
    let written_to = inner.ring[slot].written_to.max(range.end);
    inner.ring[slot].written_to = written_to;
    drop(inner);
    journal.zeroed.notify_all();
    true
}
