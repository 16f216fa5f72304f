//! Single buffers: unique and writable, shared and read-only, and append-only with a readable front.
//!
//! # Place       any thread; memory comes from and returns to the pool of the thread that allocated it
//! # Invariants  1. `ptr..ptr + capacity` (or `+ len`) lies inside the block of `head`, to which the value holds one
//!                  reference.
//!               2. Bytes a `Buf` can see are never written while it lives: a `BufMut` holds the only reference, and
//!                  an `AppendBuf` writes only behind its filled part, which views never reach.

use crate::pool::{self, Header};
use std::{
    fmt,
    ops::{Bound, Deref, DerefMut, Range, RangeBounds},
    ptr::NonNull,
};

/// Vectors up to this size are copied: a 512 B block costs less than a header on the heap.
const COPIED_VECTOR_BYTES_MAX: usize = 4096;

/// A uniquely owned writable buffer from the current thread's pool. Memory is always initialised
/// (zero or stale bytes of this process), so lengths move freely within the capacity.
pub struct BufMut {
    head: NonNull<Header>,
    ptr: NonNull<u8>,
    len: usize,
    capacity: usize,
}

// SAFETY: a `BufMut` holds the only reference to its block; blocks may be released on any thread.
unsafe impl Send for BufMut {}
// SAFETY: a shared `BufMut` only reads.
unsafe impl Sync for BufMut {}

impl BufMut {
    /// An empty buffer. Capacity is rounded up to the size class; aligned to `ALIGN` when `bytes >= ALIGN`.
    pub fn with_capacity(bytes: usize) -> Self {
        let head = pool::allocate(bytes);
        // SAFETY: `allocate` gave one reference, which the new value owns.
        let header = unsafe { head.as_ref() };
        Self {
            head,
            ptr: header.data(),
            len: 0,
            capacity: header.capacity(),
        }
    }

    /// Bytes that fit without moving.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes newly inside the length are zero or stale. Panics beyond the capacity.
    pub fn set_len(&mut self, bytes: usize) {
        assert!(bytes <= self.capacity, "length beyond the capacity");
        self.len = bytes;
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// What follows the length, up to the capacity; `set_len` makes it part of the contents.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        // SAFETY: inside the block, initialised, uniquely owned.
        unsafe {
            std::slice::from_raw_parts_mut(
                self.ptr.as_ptr().add(self.len),
                self.capacity - self.len,
            )
        }
    }

    /// Appends; moves to a larger block when the capacity does not suffice.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        if bytes.len() > self.capacity - self.len {
            let mut larger = BufMut::with_capacity((self.len + bytes.len()).max(2 * self.capacity));
            larger.spare_mut()[..self.len].copy_from_slice(self);
            larger.len = self.len;
            *self = larger;
        }
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    /// The contents, immutable and shareable.
    pub fn freeze(self) -> Buf {
        let this = std::mem::ManuallyDrop::new(self);
        Buf {
            head: Some(this.head),
            ptr: this.ptr,
            len: this.len,
        }
    }
}

impl Drop for BufMut {
    fn drop(&mut self) {
        // SAFETY: the value owns one reference and is gone now.
        unsafe { pool::release(self.head) };
    }
}

impl Deref for BufMut {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: invariant 1; initialised from the mapping on.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl DerefMut for BufMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: invariants 1 and 2.
        unsafe { std::slice::from_raw_parts_mut(self.ptr.as_ptr(), self.len) }
    }
}

impl fmt::Debug for BufMut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BufMut({} of {} bytes)", self.len, self.capacity)
    }
}

/// An immutable view into reference-counted memory. `Send`: the last drop on a foreign thread
/// posts the memory home to the pool of the thread that allocated it.
pub struct Buf {
    /// `None` only for the empty buffer without memory.
    head: Option<NonNull<Header>>,
    ptr: NonNull<u8>,
    len: usize,
}

// SAFETY: the reference count is atomic, the bytes are immutable, and blocks may be released on any thread.
unsafe impl Send for Buf {}
// SAFETY: as above.
unsafe impl Sync for Buf {}

impl Buf {
    /// An empty view without memory.
    pub const fn new() -> Self {
        Self {
            head: None,
            ptr: NonNull::dangling(),
            len: 0,
        }
    }

    pub fn copy_from_slice(bytes: &[u8]) -> Self {
        if bytes.is_empty() {
            return Self::new();
        }
        let mut buf = BufMut::with_capacity(bytes.len());
        buf.extend_from_slice(bytes);
        buf.freeze()
    }

    /// A view of part of this one, sharing its memory. Panics when the range is out of bounds.
    #[must_use]
    pub fn slice(&self, range: impl RangeBounds<usize>) -> Buf {
        let start = match range.start_bound() {
            Bound::Included(&at) => at,
            Bound::Excluded(&at) => at + 1,
            Bound::Unbounded => 0,
        };
        let end = match range.end_bound() {
            Bound::Included(&at) => at + 1,
            Bound::Excluded(&at) => at,
            Bound::Unbounded => self.len,
        };
        assert!(start <= end && end <= self.len, "slice out of bounds");
        if start == end {
            return Buf::new();
        }
        let mut view = self.clone();
        // SAFETY: `start <= len`, so the pointer stays inside the block.
        view.ptr = unsafe { view.ptr.add(start) };
        view.len = end - start;
        view
    }

    /// The view of `part`, which must lie inside `self` (panics otherwise): turns a borrowed decode back into a buffer.
    #[must_use]
    pub fn slice_ref(&self, part: &[u8]) -> Buf {
        if part.is_empty() {
            return Buf::new();
        }
        let start = (part.as_ptr() as usize)
            .checked_sub(self.ptr.as_ptr() as usize)
            .expect("the part lies inside the buffer");
        self.slice(start..start + part.len())
    }

    /// Keeps the first `bytes`; no effect when there are fewer.
    pub fn truncate(&mut self, bytes: usize) {
        self.len = self.len.min(bytes);
    }

    /// Drops the first `bytes` from the view. Panics when there are fewer.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.len, "advance beyond the end");
        // SAFETY: `bytes <= len`, so the pointer stays inside the block.
        self.ptr = unsafe { self.ptr.add(bytes) };
        self.len -= bytes;
    }

    /// Unique again when this is the only view; for patching a header before it is shared. The capacity then
    /// reaches to the end of the block. A buffer made of a large vector is never unique.
    pub fn try_into_mut(self) -> Result<BufMut, Buf> {
        let Some(head) = self.head else {
            return Ok(BufMut::with_capacity(0));
        };
        // SAFETY: the view's reference keeps the header alive.
        let header = unsafe { head.as_ref() };
        if !header.is_reusable() || !header.is_unique() {
            return Err(self);
        }
        let this = std::mem::ManuallyDrop::new(self);
        let offset = this.ptr.as_ptr() as usize - header.data().as_ptr() as usize;
        Ok(BufMut {
            head,
            ptr: this.ptr,
            len: this.len,
            capacity: header.capacity() - offset,
        })
    }
}

impl Clone for Buf {
    fn clone(&self) -> Self {
        if let Some(head) = self.head {
            // SAFETY: the view's reference keeps the header alive.
            unsafe { head.as_ref() }.retain();
        }
        Self {
            head: self.head,
            ptr: self.ptr,
            len: self.len,
        }
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if let Some(head) = self.head {
            // SAFETY: the value owns one reference and is gone now.
            unsafe { pool::release(head) };
        }
    }
}

impl Default for Buf {
    fn default() -> Self {
        Self::new()
    }
}

impl From<Vec<u8>> for Buf {
    /// Takes a large vector's memory over (unaligned); copies a small one.
    fn from(vector: Vec<u8>) -> Self {
        if vector.len() <= COPIED_VECTOR_BYTES_MAX {
            return Self::copy_from_slice(&vector);
        }
        let len = vector.len();
        let head = pool::adopt_vector(vector);
        // SAFETY: `adopt_vector` gave one reference, which the new value owns.
        let ptr = unsafe { head.as_ref() }.data();
        Self {
            head: Some(head),
            ptr,
            len,
        }
    }
}

impl Deref for Buf {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: invariants 1 and 2; the dangling pointer of the empty buffer is aligned and has length 0.
        unsafe { std::slice::from_raw_parts(self.ptr.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Buf {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl PartialEq for Buf {
    fn eq(&self, other: &Self) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Buf {}

impl fmt::Debug for Buf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buf({} bytes)", self.len)
    }
}

/// An aligned buffer filled front to back whose filled part is readable (and writable to disk) while
/// the rest is still being filled. Storage stages frames here: one copy from the network serves
/// the O_DIRECT write, the tail cache and fetch.
pub struct AppendBuf {
    head: NonNull<Header>,
    len: usize,
}

// SAFETY: only the `AppendBuf` writes, behind all views; blocks may be released on any thread.
unsafe impl Send for AppendBuf {}

impl AppendBuf {
    /// Capacity and alignment as of `BufMut::with_capacity`.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            head: pool::allocate(bytes),
            len: 0,
        }
    }

    fn header(&self) -> &Header {
        // SAFETY: the value's reference keeps the header alive.
        unsafe { self.head.as_ref() }
    }

    pub fn capacity(&self) -> usize {
        self.header().capacity()
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that still fit.
    pub fn remaining(&self) -> usize {
        self.capacity() - self.len
    }

    fn spare_mut(&mut self, bytes: usize) -> &mut [u8] {
        assert!(bytes <= self.remaining(), "append beyond the capacity");
        // SAFETY: inside the block, initialised; views end at or before `len`, so nobody else sees these bytes.
        unsafe {
            std::slice::from_raw_parts_mut(self.header().data().as_ptr().add(self.len), bytes)
        }
    }

    /// Makes the kernel give the buffer its first page: all of it for one of `HUGE_BYTES`, which takes the kernel as long
    /// as filling it.
    pub fn touch(&mut self) {
        let bytes = self.remaining().min(1);
        // What lies behind the length has no meaning, but the compiler does not know that the write has none.
        std::hint::black_box(self.spare_mut(bytes)).fill(0);
    }

    /// Appends the parts back to back and returns the view of them. Panics when they do not fit.
    pub fn append(&mut self, parts: &[&[u8]]) -> Buf {
        let start = self.len;
        for part in parts {
            self.spare_mut(part.len()).copy_from_slice(part);
            self.len += part.len();
        }
        self.view(start..self.len)
    }

    /// Fills up with zeroes to the next multiple of `align`. Panics when that does not fit.
    pub fn pad_to(&mut self, align: usize) {
        let padding = self.len.next_multiple_of(align) - self.len;
        self.spare_mut(padding).fill(0);
        self.len += padding;
    }

    /// A view of filled bytes. Panics when the range is not filled.
    pub fn view(&self, range: Range<usize>) -> Buf {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "view of bytes not filled"
        );
        if range.is_empty() {
            return Buf::new();
        }
        self.header().retain();
        Buf {
            head: Some(self.head),
            // SAFETY: the range lies inside the block.
            ptr: unsafe { self.header().data().add(range.start) },
            len: range.len(),
        }
    }
}

impl Drop for AppendBuf {
    fn drop(&mut self) {
        // SAFETY: the value owns one reference and is gone now.
        unsafe { pool::release(self.head) };
    }
}

impl fmt::Debug for AppendBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppendBuf({} of {} bytes)", self.len, self.capacity())
    }
}

#[cfg(test)]
mod tests;
