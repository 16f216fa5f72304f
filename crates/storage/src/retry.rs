//! Writes that must happen: what a failing disk means for them.
//!
//! A full disk is waited out (nothing was acknowledged, and the bytes are still in memory); any other error ends the
//! process, because after a failed write or sync nobody knows what the disk holds, and asking again lies.

use std::{io::ErrorKind, path::Path, time::Duration};

use base::FilePos;
use iobuf::IoBuf;
use runtime::{
    Fatal,
    fs::{Durability, File},
};

/// How long to wait for space before the next try.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// Name of the ballast file that is given up for metadata when the disk is full.
pub(crate) const BALLAST: &str = "ballast";

/// Writes `bytes` with data-sync. Returns only when they last.
///
/// `planted` is the bug of asking again after a failed sync and believing the second answer.
pub(crate) async fn write(
    home: &Path,
    file: &File,
    pos: FilePos,
    bytes: IoBuf,
    what: &'static str,
    planted: bool,
) {
    loop {
        let error = match file.write_at(pos, bytes.clone(), Durability::Data).await {
            Ok(()) => return,
            Err(error) => error,
        };
        if error.kind() == ErrorKind::StorageFull {
            if what == "manifest" {
                let _ = runtime::fs::remove_file(&home.join(BALLAST)).await;
            }
            tracing::warn!(what, "the disk is full, waiting for space");
            runtime::sleep(FULL_RETRY).await;
            continue;
        }
        if planted {
            // The planted bug: the kernel reports a lost write once, so the second sync says "ok".
            let _ = file.sync_data().await;
            return;
        }
        runtime::fatal(Fatal::Io {
            what,
            error: error.to_string(),
        });
    }
}
