//! Files and directories of the shard's host, real or simulated inside.
//!
//! # Limits      reads, writes and syncs in flight per scheduling class (`Class`); callers wait in line beyond

use crate::{
    ops::{self, Fd, Op, Outcome, Value},
    shard::Shard,
};
use base::FilePos;
use iobuf::{Buf, BufMut, IoBuf};
use std::{
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

/// How to open a file.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub create_new: bool,
    pub truncate: bool,
    /// O_DIRECT: positions, lengths and memory are multiples of the logical block.
    pub direct: bool,
}

/// How durable a write is when it has completed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// To the kernel.
    None,
    /// RWF_DSYNC: on media when the future resolves.
    Data,
}

/// A descriptor that closes when it is dropped.
struct Owned {
    fd: Fd,
    shard: Rc<Shard>,
}

impl Owned {
    fn new(fd: Fd) -> Self {
        Self {
            fd,
            shard: Shard::current(),
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.shard.submit_detached(Op::Close { fd: self.fd });
    }
}

async fn run(op: Op) -> io::Result<Value> {
    let (_, outcome) = ops::run(op).await;
    Ok(outcome?)
}

async fn run_done(op: Op) -> io::Result<()> {
    run(op).await.map(drop)
}

fn mismatch<T>(value: Value) -> T {
    unreachable!("the driver answered with {value:?}")
}

/// Cheap to clone; closes when the last clone drops. Completion owns buffers: dropping a future never frees one in flight.
#[derive(Clone)]
pub struct File {
    owned: Rc<Owned>,
}

impl File {
    pub async fn open(path: &Path, open: Open) -> io::Result<File> {
        let path = path.to_owned();
        match run(Op::Open { path, open }).await? {
            Value::Fd(fd) => Ok(Self {
                owned: Rc::new(Owned::new(fd)),
            }),
            other => mismatch(other),
        }
    }

    /// Reads up to `bytes` into the front of `buf` and sets its length; short only at end of file. With a direct file
    /// `pos` and `bytes` must be aligned. Panics when `bytes` exceeds the capacity.
    pub async fn read_at(
        &self,
        pos: FilePos,
        buf: BufMut,
        bytes: usize,
    ) -> (io::Result<usize>, BufMut) {
        let mut buf = buf;
        buf.clear();
        self.read_behind(pos, buf, bytes).await
    }

    /// As `read_at`, behind what is in `buf`.
    pub async fn read_behind(
        &self,
        pos: FilePos,
        buf: BufMut,
        bytes: usize,
    ) -> (io::Result<usize>, BufMut) {
        let kept = buf.len();
        assert!(bytes <= buf.capacity() - kept, "a read beyond the buffer");
        let mut buf = buf;
        let mut done = 0;
        while done < bytes {
            let op = Op::Read {
                fd: self.owned.fd,
                pos: pos.0 + done as u64,
                buf,
                from: kept + done,
                bytes: bytes - done,
            };
            let (op, outcome) = ops::run(op).await;
            let Op::Read { buf: returned, .. } = op else {
                unreachable!("an operation comes back as it went")
            };
            buf = returned;
            match count(outcome) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => {
                    buf.set_len(kept + done);
                    return (Err(error), buf);
                }
            }
        }
        buf.set_len(kept + done);
        (Ok(done), buf)
    }

    /// Writes all of `data` or fails. With a direct file every chunk and `pos` must be aligned.
    pub async fn write_at(
        &self,
        pos: FilePos,
        data: IoBuf,
        durability: Durability,
    ) -> io::Result<()> {
        let mut data = data;
        let mut pos = pos.0;
        while !data.is_empty() {
            let op = Op::Write {
                fd: self.owned.fd,
                pos,
                data,
                is_durable: durability == Durability::Data,
            };
            let (op, outcome) = ops::run(op).await;
            let Op::Write { data: returned, .. } = op else {
                unreachable!("an operation comes back as it went")
            };
            data = returned;
            let count = count(outcome)?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            data.advance(count);
            pos += count as u64;
        }
        Ok(())
    }

    /// Contents and length on media when the future resolves.
    pub async fn sync_data(&self) -> io::Result<()> {
        let fd = self.owned.fd;
        run_done(Op::Sync {
            fd,
            data_only: true,
        })
        .await
    }

    /// As `sync_data`, with all metadata.
    pub async fn sync_all(&self) -> io::Result<()> {
        let fd = self.owned.fd;
        run_done(Op::Sync {
            fd,
            data_only: false,
        })
        .await
    }

    pub async fn truncate(&self, len: u64) -> io::Result<()> {
        let fd = self.owned.fd;
        run_done(Op::Truncate { fd, len }).await
    }

    /// Reserves space; the file grows to cover the range. What is there stays.
    pub async fn allocate(&self, pos: FilePos, bytes: u64) -> io::Result<()> {
        let fd = self.owned.fd;
        run_done(Op::Allocate {
            fd,
            pos: pos.0,
            bytes,
        })
        .await
    }

    pub async fn len(&self) -> io::Result<u64> {
        match run(Op::Length { fd: self.owned.fd }).await? {
            Value::Length(len) => Ok(len),
            other => mismatch(other),
        }
    }
}

fn count(outcome: Outcome) -> io::Result<usize> {
    match outcome? {
        Value::Bytes(count) => Ok(count),
        other => mismatch(other),
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: String,
    pub is_dir: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Space {
    pub total_bytes: u64,
    /// To this process, i.e. without what the file system keeps for root.
    pub available_bytes: u64,
}

/// Sorted by name. A name that is not UTF-8 is an error: nothing here makes such names.
pub async fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let path = path.to_owned();
    match run(Op::ReadDir { path }).await? {
        Value::Entries(entries) => Ok(entries),
        other => mismatch(other),
    }
}

pub async fn create_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run_done(Op::CreateDirAll { path }).await
}

/// Creates a directory and those above it, and makes their names durable, also the name that an earlier process made and
/// did not live to sync.
pub async fn create_dir_all_durable(path: &Path) -> io::Result<()> {
    let mut unsynced = vec![path];
    while let Some(last) = unsynced.last().copied()
        && let Some(above) = last.parent()
        && above != Path::new("")
        && !exists(above).await?
    {
        unsynced.push(above);
    }
    create_dir_all(path).await?;
    for dir in unsynced {
        sync_parent(dir).await?;
    }
    Ok(())
}

/// Replaces what `to` named.
pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    run_done(Op::Rename {
        from: from.to_owned(),
        to: to.to_owned(),
    })
    .await
}

pub async fn remove_file(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run_done(Op::RemoveFile { path }).await
}

/// Fine when it does not exist.
pub async fn remove_dir_all(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    run_done(Op::RemoveDirAll { path }).await
}

/// Makes the directory's own entries durable.
pub async fn sync_dir(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    let Value::Fd(fd) = run(Op::OpenDir { path }).await? else {
        unreachable!("the driver answers an open with a descriptor")
    };
    let owned = Owned::new(fd);
    run_done(Op::Sync {
        fd: owned.fd,
        data_only: false,
    })
    .await
}

pub async fn exists(path: &Path) -> io::Result<bool> {
    let path = path.to_owned();
    match run(Op::Exists { path }).await? {
        Value::Exists(exists) => Ok(exists),
        other => mismatch(other),
    }
}

/// Of the file system that holds `path`.
pub async fn space(path: &Path) -> io::Result<Space> {
    let path = path.to_owned();
    match run(Op::Space { path }).await? {
        Value::Space(space) => Ok(space),
        other => mismatch(other),
    }
}

/// Whole small file.
pub async fn read(path: &Path) -> io::Result<Vec<u8>> {
    let open = Open {
        read: true,
        ..Open::default()
    };
    let file = File::open(path, open).await?;
    let len = file.len().await? as usize;
    let buf = BufMut::with_capacity(len);
    let (result, buf) = file.read_at(FilePos(0), buf, len).await;
    result?;
    Ok(buf.to_vec())
}

/// Where `replace` writes before it renames.
fn temporary(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Atomic replacement of a small file: temporary file, sync, rename, sync of the directory.
pub async fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    let temporary = temporary(path);
    let open = Open {
        write: true,
        create: true,
        truncate: true,
        ..Open::default()
    };
    let file = File::open(&temporary, open).await?;
    let data = IoBuf::from(Buf::copy_from_slice(contents));
    file.write_at(FilePos(0), data, Durability::None).await?;
    file.sync_all().await?;
    drop(file);
    rename(&temporary, path).await?;
    sync_parent(path).await
}

async fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) if parent != Path::new("") => sync_dir(parent).await,
        // The root has no name.
        None => Ok(()),
        Some(_) => sync_dir(Path::new(".")).await,
    }
}

/// Exclusive lock on a directory (flock on `LOCK` in it) until dropped; WouldBlock when another process has it.
pub async fn lock_dir(path: &Path) -> io::Result<DirLock> {
    let path = path.join("LOCK");
    match run(Op::Lock { path }).await? {
        Value::Fd(fd) => Ok(DirLock {
            _owned: Owned::new(fd),
        }),
        other => mismatch(other),
    }
}

/// Unlocks when dropped.
pub struct DirLock {
    _owned: Owned,
}
