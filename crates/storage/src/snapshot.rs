//! A log's snapshot file: small opaque state as of one offset (producer windows).
//!
//! # Layout
//! `snapshots/<log id>.snapshot`, little-endian: 0 "FBSN" | 4 version | 8 store_id | 16 log_id | 20 zero |
//! 24 offset | 32 length | 40 state | CRC32C of all before. `docs/formats/snapshot.md`.
//!
//! # Crash
//! Replaced as a whole: temporary file, sync, rename, sync of the directory. A damaged one counts as none; its owner
//! builds the state from the log again.
//!
//! # Yields
//! Saves of one log take its `snapshot_turn`: two at once would rename each other's temporary file away, and an older
//! one could come to lie over a newer one up to which the log was trimmed.
use std::{collections::BTreeSet, io, path::PathBuf};

use base::Offset;

use crate::{
    AppendError, Log, LogId, ReadError,
    bits::{Flip, flipped_bit},
    codec::{FieldReader, FieldWriter},
    home::Home,
    retry,
};

const MAGIC: &[u8; 4] = b"FBSN";
const VERSION: u32 = 1;

fn file_name(log_id: LogId) -> String {
    format!("{:08x}.snapshot", log_id.0)
}

fn path(home: &Home, log_id: LogId) -> PathBuf {
    home.config.dir.join("snapshots").join(file_name(log_id))
}

pub(crate) fn encode(store_id: u64, log_id: LogId, at: Offset, state: &[u8]) -> Vec<u8> {
    let mut out = FieldWriter::default();
    out.raw(MAGIC);
    out.u32(VERSION);
    out.u64(store_id);
    out.u32(log_id.0);
    out.u32(0);
    out.i64(at.0);
    out.u64(state.len() as u64);
    out.raw(state);
    let crc = iobuf::crc32c(&out.bytes);
    out.u32(crc);
    out.bytes
}

/// The offset and state of a whole snapshot of this log; `None` for anything else.
#[must_use]
pub fn decode(bytes: &[u8], store_id: u64, log_id: LogId) -> Option<(Offset, Vec<u8>)> {
    let (front, crc) = bytes.split_at_checked(bytes.len().checked_sub(4)?)?;
    if iobuf::crc32c(front).to_le_bytes() != crc {
        return None;
    }
    let mut body = FieldReader::new(front);
    let ours = body.raw(4)? == MAGIC
        && body.u32()? == VERSION
        && body.u64()? == store_id
        && body.u32()? == log_id.0;
    body.u32()?;
    let at = Offset(body.i64()?);
    let length = usize::try_from(body.u64()?).ok()?;
    let state = body.raw(length)?;
    (ours && body.remaining() == 0).then(|| (at, state.to_vec()))
}

/// Where the one flipped bit is that explains a wrong checksum; 0 when none does.
fn damaged_at(bytes: &[u8]) -> usize {
    let Some((front, stored)) = bytes.split_last_chunk::<4>().map(|(f, s)| (f, *s)) else {
        return 0;
    };
    let (stored, computed) = (u32::from_le_bytes(stored), iobuf::crc32c(front));
    match flipped_bit(stored, computed, front.len()) {
        Some(Flip::Message { at, .. }) => at,
        Some(Flip::Checksum) => front.len(),
        None => 0,
    }
}

impl Log {
    /// Small opaque state of the partition as of `at` (producer windows), durable when it returns. The newest one wins:
    /// nothing is written where a later one is there already.
    pub async fn save_snapshot(&self, at: Offset, state: Vec<u8>) -> Result<(), AppendError> {
        let _turn = self.snapshot_turn.take().await;
        self.check_writable()?;
        if self.snapshot_at.get().is_some_and(|newest| newest > at) {
            return Ok(());
        }
        let home = self.home();
        let bytes = encode(home.store_id(), self.log_id(), at, &state);
        match runtime::fs::replace(&path(home, self.log_id()), &bytes).await {
            Ok(()) => {
                self.snapshot_at.set(Some(at));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                Err(AppendError::Full { available_bytes: 0 })
            }
            Err(error) => runtime::fatal(runtime::Fatal::Io {
                what: "snapshot",
                error: error.to_string(),
            }),
        }
    }

    /// The newest snapshot, unless it is damaged (said in the trace), lies behind what the log holds now, or before the
    /// log's start: between it and the entries that are served some are gone. Its owner then builds the state from the log, or refuses when the log no longer begins at 0 and that is not enough.
    pub async fn load_snapshot(&self) -> Result<Option<(Offset, Vec<u8>)>, ReadError> {
        let home = self.home();
        let path = path(home, self.log_id());
        match runtime::fs::exists(&path).await {
            Ok(true) => {}
            Ok(false) => return Ok(None),
            Err(error) => return Err(ReadError::Io(error.to_string())),
        }
        let bytes = retry::read(|| runtime::fs::read(&path))
            .await
            .map_err(|e| ReadError::Io(e.to_string()))?;
        let found = decode(&bytes, home.store_id(), self.log_id());
        if found.is_none() {
            let at = damaged_at(&bytes);
            tracing::warn!(file = %path.display(), at, "damaged snapshot ignored, its state is built from the log");
        }
        let (start, end) = (self.log_start_offset(), self.next_offset());
        Ok(found.filter(|(at, _)| start <= *at && *at <= end))
    }
}

/// Removes the snapshot of a log that was closed, after a save that is under way.
pub(crate) async fn remove(home: &Home, log: &Log) {
    let _turn = log.snapshot_turn.take().await;
    let _ = runtime::fs::remove_file(&path(home, log.log_id())).await;
}

/// Removes what no log of the home will ask for: snapshots of deleted logs, and what interrupted saves left.
pub(crate) async fn sweep(home: &Home) -> io::Result<()> {
    let dir = home.config.dir.join("snapshots");
    let log_ids = home.log_ids();
    let mut expected = log_ids
        .iter()
        .map(|log_id| file_name(*log_id))
        .collect::<BTreeSet<_>>();
    for entry in runtime::fs::read_dir(&dir).await? {
        if !expected.remove(&entry.name) {
            // What stays behind is looked at again at the next start.
            let _ = runtime::fs::remove_file(&dir.join(&entry.name)).await;
        }
    }
    Ok(())
}
