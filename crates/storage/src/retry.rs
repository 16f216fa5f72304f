//! Writes that must happen, and reads that may be tried again: what a failing disk means for them.
//!
//! A full disk is waited out (nothing was acknowledged, and the bytes are still in memory); any other error of a write
//! ends the process, because after a failed write or sync nobody knows what the disk holds, and asking again lies.
//! A read may be asked for again: what is on media stays there, and a transport that failed once often works a moment
//! later. What stays unreadable counts as damage.
//!
//! # Invariants
//! 1. Whoever waits for space is counted: as long as somebody does, the home says that its disk is full.
//! 2. Whoever waits for space can be told to give up, so that deleting what it writes to never waits for it.

use std::{cell::Cell, future::Future, io, io::ErrorKind, path::Path, time::Duration};

use base::FilePos;
use iobuf::{Buf, BufMut, IoBuf};
use runtime::{
    Fatal,
    fs::{Durability, File, Open},
};

use crate::disk;

/// How long to wait for space before the next try.
const FULL_RETRY: Duration = Duration::from_millis(100);

/// Pauses before a read is tried again: together long enough for a reset of the device's link.
const READ_RETRIES: [Duration; 4] = [
    Duration::from_millis(1),
    Duration::from_millis(10),
    Duration::from_millis(100),
    Duration::from_millis(500),
];

/// Name of the ballast file that is given up for metadata when the disk is full.
const BALLAST: &str = "ballast";

/// How one kind of operation meets a full disk.
pub(crate) struct Patience<'a> {
    /// Counts those that wait for space.
    pub waiting: &'a Cell<u32>,
    /// Asked before each further try.
    pub gives_up: &'a dyn Fn() -> bool,
    /// The home whose ballast may be given up for this.
    pub ballast_of: Option<&'a Path>,
}

/// Makes sure that the home's ballast takes at least `bytes`, if there is room.
pub(crate) async fn make_ballast(home: &Path, bytes: u64) {
    let path = home.join(BALLAST);
    let open = Open {
        write: true,
        create: true,
        ..Open::default()
    };
    let Ok(file) = File::open(&path, open).await else {
        return;
    };
    let held = file.len().await.unwrap_or(bytes);
    if held >= bytes {
        return;
    }
    if file.allocate(FilePos(held), bytes - held).await.is_ok() {
        // Or a power cut would leave its space to others.
        disk::sync_all(&file).await;
        disk::sync_dir(home).await;
    } else if held == 0 {
        let _ = runtime::fs::remove_file(&path).await;
    }
}

/// Frees the ballast's space; false when there was none. Truncated first: a removed file may keep its space until its
/// directory is on media.
pub(crate) async fn give_up_ballast(home: &Path) -> bool {
    let path = home.join(BALLAST);
    let open = Open {
        write: true,
        ..Open::default()
    };
    let Ok(file) = File::open(&path, open).await else {
        return false;
    };
    let held = file.len().await.unwrap_or(0);
    let is_free = held > 0 && file.truncate(0).await.is_ok();
    let _ = runtime::fs::remove_file(&path).await;
    is_free
}

/// Counts its holder among those that wait for space.
struct Waiting<'a>(&'a Cell<u32>);

impl<'a> Waiting<'a> {
    fn new(count: &'a Cell<u32>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// Tries until there is space; `None` when it gave up. Any other error is the caller's.
pub(crate) async fn until_space<T, Fut>(
    what: &'static str,
    patience: &Patience<'_>,
    mut attempt: impl FnMut() -> Fut,
) -> io::Result<Option<T>>
where
    Fut: Future<Output = io::Result<T>>,
{
    let mut waiting = None;
    loop {
        match attempt().await {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.kind() == ErrorKind::StorageFull => {}
            Err(error) => return Err(error),
        }
        if let Some(home) = patience.ballast_of
            && give_up_ballast(home).await
        {
            continue;
        }
        if (patience.gives_up)() {
            return Ok(None);
        }
        if waiting.is_none() {
            tracing::warn!(what, "the disk is full, waiting for space");
            waiting = Some(Waiting::new(patience.waiting));
        }
        runtime::sleep(FULL_RETRY).await;
    }
}

/// One pause of somebody who tries again in a way of its own; counted in `waiting` if that is for want of space.
pub(crate) async fn pause(waiting: Option<&Cell<u32>>) {
    let _waiting = waiting.map(Waiting::new);
    runtime::sleep(FULL_RETRY).await;
}

/// Reads, again after each pause of `READ_RETRIES` while it fails; nothing is waited for where there is no such file.
pub(crate) async fn read<T, Fut>(mut attempt: impl FnMut() -> Fut) -> io::Result<T>
where
    Fut: Future<Output = io::Result<T>>,
{
    for pause in READ_RETRIES {
        match attempt().await {
            Err(error) if error.kind() != ErrorKind::NotFound => runtime::sleep(pause).await,
            decided => return decided,
        }
    }
    attempt().await
}

/// As `read`, a range of an open file.
pub(crate) async fn read_at(file: &File, pos: FilePos, bytes: usize) -> io::Result<Buf> {
    read(|| async {
        let (read, buf) = file.read_at(pos, BufMut::with_capacity(bytes), bytes).await;
        read.map(|_| buf.freeze())
    })
    .await
}

/// Writes `bytes` with data-sync. True only when they last, false when it gave up for want of space.
///
/// `planted` is the bug of asking again after a failed sync and believing the second answer.
pub(crate) async fn write(
    patience: &Patience<'_>,
    file: &File,
    pos: FilePos,
    bytes: IoBuf,
    what: &'static str,
    planted: bool,
) -> bool {
    let attempt = || file.write_at(pos, bytes.clone(), Durability::Data);
    match until_space(what, patience, attempt).await {
        Ok(done) => done.is_some(),
        Err(_) if planted => {
            // The planted bug: the kernel reports a lost write once, so the second sync says "ok".
            let _ = file.sync_data().await;
            true
        }
        Err(error) => runtime::fatal(Fatal::Io {
            what,
            error: error.to_string(),
        }),
    }
}
