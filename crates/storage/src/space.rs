//! Free space: who may still write when the disk fills up.
//!
//! # Invariants
//! 1. Below `free_bytes_min` appends are refused, before a write can meet a full disk. The rest is for what is already
//!    acknowledged (its journal space is allocated, its segment space comes from here), for metadata and deletes.
//! 2. The ballast file is given up when even metadata finds no room; it is made again when there is plenty.
use std::{rc::Rc, time::Duration};

use base::FilePos;
use runtime::fs::{self, File, Open};

use crate::{DiskState, home::Home, retry::BALLAST};

const LOOK: Duration = Duration::from_secs(1);
const LOOK_SHORT: Duration = Duration::from_millis(100);
/// Room for a new generation of a large manifest.
const BALLAST_BYTES: u64 = 4 << 20;

/// Looks once. An unreadable answer changes nothing.
pub(crate) async fn look(home: &Home) {
    let Ok(space) = fs::space(&home.config.dir).await else {
        return;
    };
    let available_bytes = space.available_bytes;
    let state = if available_bytes < home.config.free_bytes_min {
        DiskState::Full { available_bytes }
    } else if available_bytes < home.config.free_bytes_warn {
        DiskState::Warn { available_bytes }
    } else {
        DiskState::Ok
    };
    let before = home.disk.replace(state);
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
}

async fn make_ballast(home: &Home) {
    let path = home.config.dir.join(BALLAST);
    if !matches!(fs::exists(&path).await, Ok(false)) {
        return;
    }
    let open = Open {
        write: true,
        create: true,
        ..Open::default()
    };
    if let Ok(file) = File::open(&path, open).await
        && file.allocate(FilePos(0), BALLAST_BYTES).await.is_err()
    {
        let _ = fs::remove_file(&path).await;
    }
}

/// The task that looks again and again.
pub(crate) async fn watch(home: Rc<Home>) {
    while !home.closed.get() {
        look(&home).await;
        let wait = match home.disk.get() {
            DiskState::Ok => {
                make_ballast(&home).await;
                LOOK
            }
            DiskState::Warn { .. } => LOOK,
            DiskState::Full { .. } => LOOK_SHORT,
        };
        runtime::sleep(wait).await;
    }
}
