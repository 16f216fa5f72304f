//! One simulated host's file system: what it holds, what of it is on media, and how it fails.
//!
//! # Place       owned by its host in the simulated world; outlives the host's crashes
//! # Invariants
//! 1. Bytes whose sync (or data-sync write) succeeded survive every power cut.
//! 2. A rename is seen whole or not at all; changes of one name survive in order.
//! 3. What was not synced may survive, be lost or be torn, each sector on its own, as the seed says.
//! # Crash       `cut` (power) keeps the durable image and a seeded choice of pending effects; `kill` keeps all
//! # Limits      capacity in whole pages; allocating above it is ENOSPC with nothing changed
//! # Instead of  a model of one real file system: the rules are weaker than ext4's, so that code proven here does
//!   not lean on ext4's ordering (a synced file's name, for one, is not durable before its directory was synced)

mod image;
mod tree;

use super::{DiskFaults, rng::Rng};
use crate::fs::{DirEntry, Open, Space};
use image::{FileImage, PAGE, Page, Survival};
use std::{collections::BTreeMap, io, path::Path, rc::Rc};
use tree::{Node, NodeId, ROOT, Tree};

/// An open file of a simulated host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DiskHandle(pub(crate) u32);

#[derive(Clone, Copy)]
struct OpenFile {
    node: NodeId,
    open: Open,
}

#[derive(Clone)]
pub(crate) struct Disk {
    tree: Tree,
    handles: BTreeMap<DiskHandle, OpenFile>,
    handle_next: u32,
    locks: BTreeMap<u32, NodeId>,
    lock_next: u32,
    /// Counts effects; every effect has its own.
    seq: u64,
    pages_used: u64,
    zero: Page,
    faults: DiskFaults,
    rng: Rng,
    /// From the crash stream, so that what a cut leaves does not depend on how many faults were drawn.
    crash: Rng,
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

impl Disk {
    pub(crate) fn new(faults: DiskFaults, rng: Rng, crash: Rng) -> Self {
        assert!(
            PAGE.is_multiple_of(faults.sector_bytes) && faults.sector_bytes >= 512,
            "sectors are 512 to 4096 bytes"
        );
        Self {
            tree: Tree::new(),
            handles: BTreeMap::new(),
            handle_next: 3,
            locks: BTreeMap::new(),
            lock_next: 1,
            seq: 0,
            pages_used: 0,
            zero: Rc::new([0; PAGE]),
            faults,
            rng,
            crash,
        }
    }

    /// A copy of the stream of faults, to tell runs apart.
    pub(crate) fn draws(&self) -> Rng {
        self.rng.clone()
    }

    pub(crate) fn set_faults(&mut self, faults: DiskFaults) {
        self.faults = faults;
    }

    /// How long the next operation over `bytes` takes.
    pub(crate) fn latency(&mut self, bytes: usize) -> std::time::Duration {
        // 1 GB/s on top of the fixed part: large writes stay in flight long enough to be cut.
        self.rng.duration(self.faults.latency) + std::time::Duration::from_nanos(bytes as u64)
    }

    /// A mark of all effects so far: a sync asked for now covers these.
    pub(crate) fn mark(&self) -> u64 {
        self.seq
    }

    fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    // ---- names ----

    fn lookup(&self, path: &Path) -> io::Result<NodeId> {
        let mut node = ROOT;
        for name in names(path)? {
            if !self.tree.is_dir(node) {
                return Err(errno(libc::ENOTDIR));
            }
            node = self
                .tree
                .child(node, name)
                .ok_or_else(|| errno(libc::ENOENT))?;
        }
        Ok(node)
    }

    fn parent<'a>(&self, path: &'a Path) -> io::Result<(NodeId, &'a str)> {
        let mut all = names(path)?;
        let name = all.pop().ok_or_else(|| errno(libc::EEXIST))?;
        let mut node = ROOT;
        for name in all {
            node = self
                .tree
                .child(node, name)
                .ok_or_else(|| errno(libc::ENOENT))?;
        }
        if self.tree.is_dir(node) {
            Ok((node, name))
        } else {
            Err(errno(libc::ENOTDIR))
        }
    }

    pub(crate) fn open(&mut self, path: &Path, open: Open) -> io::Result<DiskHandle> {
        let (dir, name) = self.parent(path)?;
        let node = match self.tree.child(dir, name) {
            Some(_) if open.create_new => return Err(errno(libc::EEXIST)),
            Some(node) if self.tree.is_dir(node) && open.write => return Err(errno(libc::EISDIR)),
            Some(node) => node,
            None if open.create || open.create_new => {
                if self.pages_free() == 0 {
                    self.sweep_all();
                }
                if self.pages_free() == 0 {
                    return Err(errno(libc::ENOSPC));
                }
                let seq = self.next_seq();
                self.tree
                    .create(seq, dir, name, Node::File(FileImage::default()))
            }
            None => return Err(errno(libc::ENOENT)),
        };
        if open.truncate && open.write {
            self.truncate_node(node, 0)?;
        }
        Ok(self.add_handle(OpenFile { node, open }))
    }

    pub(crate) fn open_dir(&mut self, path: &Path) -> io::Result<DiskHandle> {
        let node = self.lookup(path)?;
        if !self.tree.is_dir(node) {
            return Err(errno(libc::ENOTDIR));
        }
        let open = Open {
            read: true,
            ..Open::default()
        };
        Ok(self.add_handle(OpenFile { node, open }))
    }

    fn add_handle(&mut self, open: OpenFile) -> DiskHandle {
        let handle = DiskHandle(self.handle_next);
        self.handle_next += 1;
        self.handles.insert(handle, open);
        handle
    }

    pub(crate) fn close(&mut self, handle: DiskHandle) {
        self.handles.remove(&handle);
    }

    pub(crate) fn create_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let mut node = ROOT;
        for name in names(path)? {
            node = match self.tree.child(node, name) {
                Some(child) if self.tree.is_dir(child) => child,
                Some(_) => return Err(errno(libc::ENOTDIR)),
                None => {
                    let seq = self.next_seq();
                    self.tree.create(seq, node, name, Node::Dir)
                }
            };
        }
        Ok(())
    }

    pub(crate) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from_dir, from_name) = self.parent(from)?;
        let (to_dir, to_name) = self.parent(to)?;
        let moved = self
            .tree
            .child(from_dir, from_name)
            .ok_or_else(|| errno(libc::ENOENT))?;
        if let Some(replaced) = self.tree.child(to_dir, to_name) {
            if replaced == moved {
                return Ok(());
            }
            if self.tree.is_dir(replaced) && self.tree.children(replaced).next().is_some() {
                return Err(errno(libc::ENOTEMPTY));
            }
        }
        let seq = self.next_seq();
        self.tree
            .rename(seq, (from_dir, from_name), (to_dir, to_name));
        self.sweep();
        Ok(())
    }

    pub(crate) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        match self.tree.child(dir, name) {
            None => Err(errno(libc::ENOENT)),
            Some(node) if self.tree.is_dir(node) => Err(errno(libc::EISDIR)),
            Some(_) => {
                let seq = self.next_seq();
                self.tree.unlink(seq, dir, name);
                self.sweep();
                Ok(())
            }
        }
    }

    /// Unlinks everything below first, name by name: a power cut may leave any state in between.
    pub(crate) fn remove_dir_all(&mut self, path: &Path) -> io::Result<()> {
        let (dir, name) = self.parent(path)?;
        let node = self
            .tree
            .child(dir, name)
            .ok_or_else(|| errno(libc::ENOENT))?;
        if !self.tree.is_dir(node) {
            return Err(errno(libc::ENOTDIR));
        }
        self.empty_dir(node);
        let seq = self.next_seq();
        self.tree.unlink(seq, dir, name);
        self.sweep();
        Ok(())
    }

    fn empty_dir(&mut self, dir: NodeId) {
        let children: Vec<(String, NodeId)> = self
            .tree
            .children(dir)
            .map(|(name, node)| (name.to_owned(), node))
            .collect();
        for (name, node) in children {
            if self.tree.is_dir(node) {
                self.empty_dir(node);
            }
            let seq = self.next_seq();
            self.tree.unlink(seq, dir, &name);
        }
    }

    /// Sorted by name.
    pub(crate) fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let dir = self.lookup(path)?;
        if !self.tree.is_dir(dir) {
            return Err(errno(libc::ENOTDIR));
        }
        Ok(self
            .tree
            .children(dir)
            .map(|(name, node)| DirEntry {
                name: name.to_owned(),
                is_dir: self.tree.is_dir(node),
            })
            .collect())
    }

    pub(crate) fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.lookup(path) {
            Ok(_) => Ok(true),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn sweep(&mut self) {
        let open: Vec<NodeId> = self.handles.values().map(|open| open.node).collect();
        if self.tree.sweep_sometimes(&open) {
            self.pages_used = self.tree.pages_allocated();
        }
    }

    // ---- content ----

    fn opened(&self, handle: DiskHandle) -> io::Result<OpenFile> {
        self.handles
            .get(&handle)
            .copied()
            .ok_or_else(|| errno(libc::EBADF))
    }

    fn image(&mut self, node: NodeId) -> io::Result<&mut FileImage> {
        self.tree.file_mut(node).ok_or_else(|| errno(libc::EISDIR))
    }

    /// Panics on what O_DIRECT refuses: a misaligned buffer is a bug of the caller, and here it is found at once.
    fn check_alignment(
        &self,
        open: Open,
        pos: u64,
        parts: &mut dyn Iterator<Item = (usize, usize)>,
    ) {
        if !open.direct {
            return;
        }
        let sector = self.faults.sector_bytes;
        assert!(
            pos.is_multiple_of(sector as u64),
            "O_DIRECT position {pos} is not a multiple of {sector}"
        );
        for (address, bytes) in parts {
            assert!(
                address.is_multiple_of(sector) && bytes.is_multiple_of(sector),
                "O_DIRECT buffer of {bytes} bytes at {address:#x} is not aligned to {sector}"
            );
        }
    }

    /// Reads into `out`; may be short by the seed, is short at the end of the file.
    pub(crate) fn read(
        &mut self,
        handle: DiskHandle,
        pos: u64,
        out: &mut [u8],
    ) -> io::Result<usize> {
        let opened = self.opened(handle)?;
        let part = (out.as_ptr() as usize, out.len());
        self.check_alignment(opened.open, pos, &mut std::iter::once(part));
        if !opened.open.read {
            return Err(errno(libc::EBADF));
        }
        if self.rng.chance(self.faults.read_error) {
            return Err(errno(libc::EIO));
        }
        let bytes = self.shortened(opened.open, out.len());
        Ok(self.image(opened.node)?.now.read(pos, &mut out[..bytes]))
    }

    fn shortened(&mut self, open: Open, bytes: usize) -> usize {
        let unit = if open.direct {
            self.faults.sector_bytes
        } else {
            1
        };
        let units = (bytes / unit) as u64;
        if self.rng.chance(self.faults.short_io) && units > 1 {
            self.rng.between(1, units - 1) as usize * unit
        } else {
            bytes
        }
    }

    /// Writes from the front of `data` and says how many bytes; with `dsync` they are on media afterwards.
    pub(crate) fn write(
        &mut self,
        handle: DiskHandle,
        pos: u64,
        data: &[&[u8]],
        dsync: bool,
    ) -> io::Result<usize> {
        let opened = self.opened(handle)?;
        let mut parts = data.iter().map(|part| (part.as_ptr() as usize, part.len()));
        self.check_alignment(opened.open, pos, &mut parts);
        if !opened.open.write {
            return Err(errno(libc::EBADF));
        }
        let wanted: usize = data.iter().map(|part| part.len()).sum();
        let fails = self.rng.chance(self.faults.write_error);
        let bytes = if fails {
            // What a failed write leaves behind is a front part of it, or nothing.
            let sector = self.faults.sector_bytes;
            self.rng.below((wanted / sector) as u64 + 1) as usize * sector
        } else {
            self.shortened(opened.open, wanted)
        };
        self.reserve(opened.node, pos, bytes as u64)?;
        let data = front(data, bytes);
        let seq = self.next_seq();
        let (zero, sector) = (Rc::clone(&self.zero), self.faults.sector_bytes);
        let image = self.image(opened.node)?;
        image.write(seq, pos, &data, opened.open.direct, &zero);
        if dsync && bytes > 0 {
            image.sync_newest(sector, &zero);
        }
        if fails {
            Err(errno(libc::EIO))
        } else {
            Ok(bytes)
        }
    }

    fn reserve(&mut self, node: NodeId, pos: u64, bytes: u64) -> io::Result<()> {
        let missing = self.image(node)?.now.pages_missing(pos, bytes);
        if missing > 0 && missing > self.pages_free() {
            self.sweep_all();
            if missing > self.pages_free() {
                return Err(errno(libc::ENOSPC));
            }
        }
        self.pages_used += missing;
        Ok(())
    }

    fn sweep_all(&mut self) {
        let open: Vec<NodeId> = self.handles.values().map(|open| open.node).collect();
        self.tree.sweep(&open);
        self.pages_used = self.tree.pages_allocated();
    }

    fn pages_free(&self) -> u64 {
        (self.faults.capacity_bytes / PAGE as u64).saturating_sub(self.pages_used)
    }

    /// Makes the file's data and length durable as of `mark`. A failure loses what was not durable, and the next
    /// sync succeeds over the loss, as Linux does.
    pub(crate) fn sync(&mut self, handle: DiskHandle, mark: u64) -> io::Result<()> {
        let opened = self.opened(handle)?;
        let fails = self.rng.chance(self.faults.sync_error);
        let (zero, sector) = (Rc::clone(&self.zero), self.faults.sector_bytes);
        let Some(image) = self.tree.file_mut(opened.node) else {
            // Opened as a directory: syncs its entries.
            if fails {
                return Err(errno(libc::EIO));
            }
            self.tree.sync_dir(mark, opened.node);
            return Ok(());
        };
        if fails {
            image.fail_sync(mark, &mut self.rng, sector, &zero);
            return Err(errno(libc::EIO));
        }
        image.sync(mark, &zero);
        Ok(())
    }

    pub(crate) fn truncate(&mut self, handle: DiskHandle, len: u64) -> io::Result<()> {
        let opened = self.opened(handle)?;
        self.truncate_node(opened.node, len)
    }

    fn truncate_node(&mut self, node: NodeId, len: u64) -> io::Result<()> {
        let seq = self.next_seq();
        let image = self.image(node)?;
        let before = image.now.pages_allocated();
        image.truncate(seq, len);
        let freed = before - image.now.pages_allocated();
        self.pages_used -= freed;
        Ok(())
    }

    pub(crate) fn allocate(&mut self, handle: DiskHandle, pos: u64, bytes: u64) -> io::Result<()> {
        let opened = self.opened(handle)?;
        self.reserve(opened.node, pos, bytes)?;
        let seq = self.next_seq();
        let zero = Rc::clone(&self.zero);
        self.image(opened.node)?.allocate(seq, pos, bytes, &zero);
        Ok(())
    }

    pub(crate) fn len(&self, handle: DiskHandle) -> io::Result<u64> {
        let opened = self.opened(handle)?;
        let image = self.tree.file(opened.node);
        image
            .map(|image| image.now.len)
            .ok_or_else(|| errno(libc::EISDIR))
    }

    /// Of removed files, the space of those whose removal is durable and that nobody has open counts as free.
    pub(crate) fn space(&mut self) -> Space {
        self.sweep_all();
        Space {
            total_bytes: self.faults.capacity_bytes,
            available_bytes: self.pages_free() * PAGE as u64,
        }
    }

    // ---- locks ----

    /// Opens or creates the file and takes its lock, or WouldBlock.
    pub(crate) fn lock(&mut self, path: &Path) -> io::Result<u32> {
        let (dir, name) = self.parent(path)?;
        let node = match self.tree.child(dir, name) {
            Some(node) => node,
            None => {
                let seq = self.next_seq();
                let file = Node::File(FileImage::default());
                self.tree.create(seq, dir, name, file)
            }
        };
        if self.locks.values().any(|locked| *locked == node) {
            return Err(errno(libc::EWOULDBLOCK));
        }
        let lock = self.lock_next;
        self.lock_next += 1;
        self.locks.insert(lock, node);
        Ok(lock)
    }

    pub(crate) fn unlock(&mut self, lock: u32) {
        self.locks.remove(&lock);
    }

    // ---- crashes and damage ----

    /// The process is gone; the kernel keeps everything that reached it.
    pub(crate) fn kill(&mut self) {
        self.handles.clear();
        self.locks.clear();
        self.sweep_all();
    }

    /// The power is gone: the durable state and, by the seed, parts of what was on its way.
    pub(crate) fn cut(&mut self) {
        self.handles.clear();
        self.locks.clear();
        let chance = self.faults.unsynced_survives;
        let how = match self.crash.below(8) {
            0 => Survival::None,
            1 => Survival::All,
            2 | 3 => Survival::Prefix {
                seq: self.crash.below(self.seq + 1),
            },
            4 | 5 => Survival::Writes { chance },
            _ => Survival::Sectors { chance },
        };
        let (zero, sector) = (Rc::clone(&self.zero), self.faults.sector_bytes);
        self.tree.cut(how, &mut self.crash, sector, &zero);
        self.pages_used = self.tree.pages_allocated();
    }

    /// A write that was in flight when the host died: the kernel may have taken all, a front part or none of it.
    pub(crate) fn write_interrupted(&mut self, handle: DiskHandle, pos: u64, data: &[&[u8]]) {
        let sector = self.faults.sector_bytes;
        let wanted: usize = data.iter().map(|part| part.len()).sum();
        let bytes = match self.crash.below(3) {
            0 => 0,
            1 => self.crash.below((wanted / sector) as u64 + 1) as usize * sector,
            _ => wanted,
        };
        let Ok(opened) = self.opened(handle) else {
            return;
        };
        if bytes == 0 || self.reserve(opened.node, pos, bytes as u64).is_err() {
            return;
        }
        let data = front(data, bytes);
        let seq = self.next_seq();
        let zero = Rc::clone(&self.zero);
        if let Ok(image) = self.image(opened.node) {
            image.write(seq, pos, &data, opened.open.direct, &zero);
        }
    }

    /// False when there is no such byte.
    pub(crate) fn flip_bit(&mut self, path: &Path, byte: u64, bit: u8) -> bool {
        self.lookup(path)
            .ok()
            .and_then(|node| self.tree.file_mut(node))
            .is_some_and(|image| image.flip_bit(byte, bit))
    }

    /// Path and length of every file, sorted by path.
    pub(crate) fn files(&self) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        self.collect_files(ROOT, "", &mut found);
        found.sort();
        found
    }

    fn collect_files(&self, dir: NodeId, prefix: &str, found: &mut Vec<(String, u64)>) {
        for (name, node) in self.tree.children(dir) {
            let path = format!("{prefix}/{name}");
            match self.tree.file(node) {
                Some(image) => found.push((path, image.now.len)),
                None => self.collect_files(node, &path, found),
            }
        }
    }

    /// The bytes of a file as readers see them; for tests.
    pub(crate) fn contents(&self, path: &Path) -> io::Result<Vec<u8>> {
        let node = self.lookup(path)?;
        let image = self.tree.file(node).ok_or_else(|| errno(libc::EISDIR))?;
        let mut bytes = vec![0; image.now.len as usize];
        image.now.read(0, &mut bytes);
        Ok(bytes)
    }

    /// Whether anything would be at risk in a power cut now.
    pub(crate) fn has_unsynced(&mut self) -> bool {
        self.tree.has_pending_names() || self.tree.files_mut().any(|file| file.has_pending())
    }
}

/// Components of an absolute or relative path; relative ones start at the root, too.
fn names(path: &Path) -> io::Result<Vec<&str>> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => {
                names.push(name.to_str().ok_or_else(|| errno(libc::EINVAL))?);
            }
            std::path::Component::ParentDir => {
                names.pop();
            }
            _ => {}
        }
    }
    Ok(names)
}

/// The first `bytes` of a list of parts.
fn front<'a>(data: &[&'a [u8]], bytes: usize) -> Vec<&'a [u8]> {
    let mut left = bytes;
    data.iter()
        .map(|part| {
            let taken = &part[..part.len().min(left)];
            left -= taken.len();
            taken
        })
        .filter(|part| !part.is_empty())
        .collect()
}

#[cfg(test)]
mod tests;
