//! Free space: who may still write when the disk fills up.
//!
//! # Invariants
//! 1. Below `free_bytes_min` appends are refused, before a write can meet a full disk. The rest is for what is already
//!    acknowledged (its journal space is allocated, its segment space comes from here), for metadata and deletes.
//! 2. A write that meets a full disk all the same (others use it, too) makes the home refuse appends until it went
//!    through (`retry`).
//! 3. The ballast file is given up when even metadata finds no room. It is made again with each generation of the
//!    manifest, as large as the next one will be, and larger when there is plenty.
//!
//! # Limits
//! Without a reserve (`free_bytes_min` of 0) a manifest edit may have to wait for space that only others can free.
use std::{rc::Rc, time::Duration};

use runtime::fs;

use crate::{DiskState, home::Home, retry};

const LOOK: Duration = Duration::from_secs(1);
const LOOK_SHORT: Duration = Duration::from_millis(100);
/// Room for a new generation of a large manifest.
const BALLAST_BYTES: u64 = 4 << 20;

/// Looks once; true when there is so much that the ballast may be taken of it, without the disk being short after.
/// An unreadable answer changes nothing.
pub(crate) async fn look(home: &Home) -> bool {
    let Ok(space) = fs::space(&home.config.dir).await else {
        return false;
    };
    let available_bytes = space.available_bytes;
    let state = if available_bytes < home.config.free_bytes_min {
        DiskState::Full { available_bytes }
    } else if available_bytes < home.config.free_bytes_warn {
        DiskState::Warn { available_bytes }
    } else {
        DiskState::Ok
    };
    let before = home.set_disk_state(state);
    if std::mem::discriminant(&before) != std::mem::discriminant(&state) {
        match state {
            DiskState::Ok => tracing::info!(available_bytes, "disk space is sufficient again"),
            DiskState::Warn { .. } => tracing::warn!(available_bytes, "disk space is getting low"),
            DiskState::Full { .. } => {
                tracing::warn!(available_bytes, "disk is nearly full: produce is rejected");
            }
        }
        home.room.notify_all();
    }
    let low = home.config.free_bytes_min.max(home.config.free_bytes_warn);
    available_bytes > low + 4 * BALLAST_BYTES
}

/// Whether a journal file may be made without the disk being short after it: a smaller ring only costs latency.
pub(crate) async fn has_room_for_file(home: &Home, bytes: u64) -> bool {
    let is_full = matches!(home.disk_state(), DiskState::Full { .. });
    let space = fs::space(&home.config.dir).await;
    !is_full
        && space.is_ok_and(|space| space.available_bytes > home.config.free_bytes_min + 2 * bytes)
}

/// Whether the disk has that much left, reserve included. An unreadable answer says yes: the write itself will tell.
pub(crate) async fn has_bytes(home: &Home, bytes: u64) -> bool {
    let space = fs::space(&home.config.dir).await;
    space.map_or(true, |space| space.available_bytes >= bytes)
}

/// The task that looks again and again.
pub(crate) async fn watch(home: Rc<Home>) {
    while !home.closed.get() {
        let is_ample = look(&home).await;
        let wait = match home.disk_state() {
            DiskState::Ok => {
                if is_ample {
                    retry::make_ballast(&home.config.dir, BALLAST_BYTES).await;
                }
                LOOK
            }
            // Fast producers can fill what is left within a second.
            DiskState::Warn { .. } | DiskState::Full { .. } => LOOK_SHORT,
        };
        runtime::sleep(wait).await;
    }
}
