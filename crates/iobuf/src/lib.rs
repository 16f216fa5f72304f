//! Aligned, pooled, reference-counted buffers, chains of them, and CRC32C.
#![allow(clippy::todo, unused_variables, missing_docs, dead_code)]

use std::ops::{Deref, RangeBounds};

/// Alignment of every buffer of at least this size: O_DIRECT wants the device's logical block, 4 KiB covers all.
pub const ALIGN: usize = 4096;

/// A uniquely owned writable buffer from the current thread's pool. Memory is always initialised
/// (zero or stale bytes of this process), so lengths move freely within the capacity.
pub struct BufMut {
    _p: (),
}
impl BufMut {
    /// Capacity is rounded up to the size class; aligned to ALIGN when `bytes >= ALIGN`.
    pub fn with_capacity(bytes: usize) -> Self {
        todo!()
    }
    pub fn capacity(&self) -> usize {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn set_len(&mut self, bytes: usize) {
        todo!()
    }
    pub fn clear(&mut self) {
        todo!()
    }
    pub fn spare_mut(&mut self) -> &mut [u8] {
        todo!()
    }
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        todo!()
    }
    pub fn freeze(self) -> Buf {
        todo!()
    }
}
impl Deref for BufMut {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}
impl std::ops::DerefMut for BufMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        todo!()
    }
}

/// An immutable view into reference-counted memory. `Send`: the last drop on a foreign thread
/// posts the memory home to the pool of the thread that allocated it.
#[derive(Clone)]
pub struct Buf {
    _p: (),
}
impl Buf {
    pub fn new() -> Self {
        todo!()
    }
    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        todo!()
    }
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Buf {
        todo!()
    }
    /// The view of `part`, which must lie inside `self` (panics otherwise): turns a borrowed decode back into a buffer.
    pub fn slice_ref(&self, part: &[u8]) -> Buf {
        todo!()
    }
    /// Unique again when this is the only view; for patching a header before it is shared.
    pub fn try_into_mut(self) -> Result<BufMut, Buf> {
        todo!()
    }
}
impl Default for Buf {
    fn default() -> Self {
        Self::new()
    }
}
impl From<Vec<u8>> for Buf {
    fn from(v: Vec<u8>) -> Self {
        todo!()
    }
}
impl Deref for Buf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}

/// An aligned buffer filled front to back whose filled part is readable (and writable to disk) while
/// the rest is still being filled. Storage stages frames here: one copy from the network serves
/// the O_DIRECT write, the tail cache and fetch.
pub struct AppendBuf {
    _p: (),
}
impl AppendBuf {
    pub fn with_capacity(bytes: usize) -> Self {
        todo!()
    }
    pub fn capacity(&self) -> usize {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn remaining(&self) -> usize {
        todo!()
    }
    /// Appends the parts back to back and returns the view of them. Panics when they do not fit.
    pub fn append(&mut self, parts: &[&[u8]]) -> Buf {
        todo!()
    }
    /// Fills up with zeroes to the next multiple of `align`.
    pub fn pad_to(&mut self, align: usize) {
        todo!()
    }
    /// A view of filled bytes.
    pub fn view(&self, range: std::ops::Range<usize>) -> Buf {
        todo!()
    }
}

/// A chain of buffers read as one byte string: scatter/gather to sockets and files, no copy.
#[derive(Clone, Default)]
pub struct IoBuf {
    _p: (),
}
impl IoBuf {
    pub fn new() -> Self {
        todo!()
    }
    pub fn push(&mut self, buf: Buf) {
        todo!()
    }
    pub fn append(&mut self, other: IoBuf) {
        todo!()
    }
    pub fn len(&self) -> usize {
        todo!()
    }
    pub fn is_empty(&self) -> bool {
        todo!()
    }
    pub fn advance(&mut self, bytes: usize) {
        todo!()
    }
    pub fn slice(&self, range: std::ops::Range<usize>) -> IoBuf {
        todo!()
    }
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &Buf> {
        [].iter()
    }
    pub fn to_vec(&self) -> Vec<u8> {
        todo!()
    }
    /// One contiguous view: free when the chain has one chunk, a copy otherwise.
    pub fn to_contiguous(&self) -> Buf {
        todo!()
    }
}
impl From<Buf> for IoBuf {
    fn from(b: Buf) -> Self {
        todo!()
    }
}
impl From<Vec<u8>> for IoBuf {
    fn from(b: Vec<u8>) -> Self {
        todo!()
    }
}

/// CRC32C (Castagnoli), hardware accelerated.
pub fn crc32c(bytes: &[u8]) -> u32 {
    todo!()
}
pub fn crc32c_append(crc: u32, bytes: &[u8]) -> u32 {
    todo!()
}
/// CRC of a chain.
pub fn crc32c_chain(chain: &IoBuf) -> u32 {
    todo!()
}

/// Bytes this thread's pool holds from the system, and bytes of them in use.
pub fn pool_stats() -> PoolStats {
    todo!()
}
#[derive(Clone, Copy, Debug, Default)]
pub struct PoolStats {
    pub reserved_bytes: u64,
    pub used_bytes: u64,
    pub foreign_frees: u64,
}
