//! Files and directories of the shard's host, real or simulated inside.
use base::FilePos;
use iobuf::{BufMut, IoBuf};
use std::{io, path::Path};

#[derive(Clone, Copy, Debug, Default)]
pub struct Open {
    pub read: bool,
    pub write: bool,
    pub create: bool,
    pub create_new: bool,
    pub truncate: bool,
    pub direct: bool,
}
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// To the kernel.
    None,
    /// RWF_DSYNC: on media when the future resolves.
    Data,
}

/// Cheap to clone; closes when the last clone drops. Completion owns buffers: dropping a future never frees one in flight.
#[derive(Clone)]
pub struct File {
    _p: std::rc::Rc<()>,
}
impl File {
    pub async fn open(path: &Path, open: Open) -> io::Result<File> {
        todo!()
    }
    /// Reads up to `bytes` into the front of `buf` and sets its length; short only at end of file.
    pub async fn read_at(
        &self,
        pos: FilePos,
        buf: BufMut,
        bytes: usize,
    ) -> (io::Result<usize>, BufMut) {
        todo!()
    }
    /// Writes all of `data` or fails. With a direct file every chunk and `pos` must be aligned.
    pub async fn write_at(
        &self,
        pos: FilePos,
        data: IoBuf,
        durability: Durability,
    ) -> io::Result<()> {
        todo!()
    }
    pub async fn sync_data(&self) -> io::Result<()> {
        todo!()
    }
    pub async fn sync_all(&self) -> io::Result<()> {
        todo!()
    }
    pub async fn truncate(&self, len: u64) -> io::Result<()> {
        todo!()
    }
    pub async fn allocate(&self, pos: FilePos, bytes: u64) -> io::Result<()> {
        todo!()
    }
    pub async fn len(&self) -> io::Result<u64> {
        todo!()
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
    pub available_bytes: u64,
}
/// Sorted by name.
pub async fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    todo!()
}
pub async fn create_dir_all(path: &Path) -> io::Result<()> {
    todo!()
}
pub async fn rename(from: &Path, to: &Path) -> io::Result<()> {
    todo!()
}
pub async fn remove_file(path: &Path) -> io::Result<()> {
    todo!()
}
pub async fn remove_dir_all(path: &Path) -> io::Result<()> {
    todo!()
}
/// Makes the directory's own entries durable.
pub async fn sync_dir(path: &Path) -> io::Result<()> {
    todo!()
}
pub async fn exists(path: &Path) -> io::Result<bool> {
    todo!()
}
pub async fn space(path: &Path) -> io::Result<Space> {
    todo!()
}
/// Whole small file.
pub async fn read(path: &Path) -> io::Result<Vec<u8>> {
    todo!()
}
/// Atomic replacement of a small file: temporary file, sync, rename, sync of the directory.
pub async fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    todo!()
}
/// Exclusive lock on a directory (flock on `LOCK` in it) until dropped; WouldBlock when another process has it.
pub async fn lock_dir(path: &Path) -> io::Result<DirLock> {
    todo!()
}
pub struct DirLock {
    _p: (),
}
