//! Per-thread pools of memory blocks in power-of-two sizes.
//!
//! # Place       one pool per thread, made at its first allocation; a pool outlives its thread: the next thread
//!               without one adopts it, so blocks still in use elsewhere stay valid and their memory is used again
//! # Invariants  1. A block is in exactly one of: a free list, its home's return stack, or use (`refs` above 0).
//!               2. A block's header lies outside its data: data stays aligned, and bytes written past a length by
//!                  the device can never reach a header.
//!               3. Data of a block is initialised from its mapping on.
//!               4. Only the thread that owns a pool touches its free lists; others push on the return stack, which
//!                  the owner empties as a whole (no ABA).
//! # Limits      classes of 512 B to 1 MiB, and one of `HUGE_BYTES`; other sizes beyond are exact pages mapped and
//!               unmapped directly. Free blocks of 256 KiB and more are kept up to 16 MiB per class, smaller ones for
//!               ever (bounded by their peak).
//! # Instead of  a global allocator with over-aligned layouts: it keeps headers beside the data, and spreads one
//!               shard's memory over arenas that other threads lock.

use crate::ALIGN;
use std::{
    cell::RefCell,
    ptr::{self, NonNull},
    sync::{
        Mutex,
        atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence},
    },
};

const CLASS_BITS_MIN: u32 = 9;
const CLASS_BITS_MAX: u32 = 20;
const HUGE_CLASS: usize = (CLASS_BITS_MAX - CLASS_BITS_MIN + 1) as usize;
const CLASSES: usize = HUGE_CLASS + 1;
/// A buffer of exactly this size lies in one huge page where the system has any: what is gathered from all over a cache
/// of such buffers then costs a fraction of the address translations, and filling one a single page fault.
pub const HUGE_BYTES: usize = 2 << 20;
const _: () = assert!(class_bytes(HUGE_CLASS) == HUGE_BYTES);
/// A chunk holds several blocks of one small class: 64 pages amortise the system call and the page table walk.
const CHUNK_BYTES: usize = 256 * 1024;
/// Free bytes kept per class whose blocks are mapped one by one.
const KEPT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes this thread's pool holds from the system, and bytes of them in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// Mapped from the system by this pool, large blocks included.
    pub reserved_bytes: u64,
    /// In buffers that are alive (at block size), including ones that wander on other threads.
    pub used_bytes: u64,
    /// Blocks that came back from other threads.
    pub foreign_frees: u64,
}

/// How a block's memory goes back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Origin {
    /// Block of a class, by index.
    Class(usize),
    /// Own mapping of `capacity` bytes.
    Mapping,
    /// A `Vec<u8>` of `capacity` bytes that was adopted.
    Vector,
}

/// What is known of one block, beside its data.
pub(crate) struct Header {
    refs: AtomicUsize,
    data: NonNull<u8>,
    capacity: usize,
    origin: Origin,
    home: &'static Home,
    next: AtomicPtr<Header>,
}

/// The part of a pool that other threads reach.
struct Home {
    returned: AtomicPtr<Header>,
    foreign_frees: AtomicU64,
    reserved_bytes: AtomicU64,
    /// Bytes in use outside classes: mappings and vectors, which any thread frees directly.
    direct_bytes: AtomicU64,
}

impl Home {
    const fn new() -> Self {
        Self {
            returned: AtomicPtr::new(ptr::null_mut()),
            foreign_frees: AtomicU64::new(0),
            reserved_bytes: AtomicU64::new(0),
            direct_bytes: AtomicU64::new(0),
        }
    }
}

struct Pool {
    home: &'static Home,
    free: [*mut Header; CLASSES],
    free_count: [usize; CLASSES],
    used_bytes: u64,
}

// SAFETY: a pool is owned by one thread at a time; it moves between threads only through `ORPHANS`, under a lock.
unsafe impl Send for Pool {}

/// Pools of threads that have ended.
static ORPHANS: Mutex<Vec<Pool>> = Mutex::new(Vec::new());
/// Home of what is allocated while its thread is being torn down.
static LATE: Home = Home::new();

struct Slot(RefCell<Option<Pool>>);

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(pool) = self.0.get_mut().take() {
            orphans().push(pool);
        }
    }
}

thread_local! {
    static POOL: Slot = const { Slot(RefCell::new(None)) };
}

fn orphans() -> std::sync::MutexGuard<'static, Vec<Pool>> {
    // A poisoned list is still a list: nothing that can panic runs under the lock.
    ORPHANS
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn with_pool<R>(f: impl FnOnce(&mut Pool) -> R) -> Option<R> {
    POOL.try_with(|slot| {
        let mut pool = slot.0.borrow_mut();
        f(pool.get_or_insert_with(Pool::adopt_or_new))
    })
    .ok()
}

pub fn pool_stats() -> PoolStats {
    with_pool(|pool| {
        pool.take_returned();
        PoolStats {
            reserved_bytes: pool.home.reserved_bytes.load(Ordering::Relaxed),
            used_bytes: pool.used_bytes + pool.home.direct_bytes.load(Ordering::Relaxed),
            foreign_frees: pool.home.foreign_frees.load(Ordering::Relaxed),
        }
    })
    .unwrap_or_default()
}

impl Pool {
    fn adopt_or_new() -> Self {
        if let Some(pool) = orphans().pop() {
            return pool;
        }
        Self {
            home: Box::leak(Box::new(Home::new())),
            free: [ptr::null_mut(); CLASSES],
            free_count: [0; CLASSES],
            used_bytes: 0,
        }
    }

    fn take(&mut self, class: usize) -> NonNull<Header> {
        if self.free[class].is_null() {
            self.take_returned();
        }
        if self.free[class].is_null() {
            self.grow(class);
        }
        let head = NonNull::new(self.free[class]).expect("grow leaves at least one free block");
        // SAFETY: headers on a free list are alive and owned by this pool (invariant 1).
        let header = unsafe { head.as_ref() };
        self.free[class] = header.next.load(Ordering::Relaxed);
        self.free_count[class] -= 1;
        self.used_bytes += class_bytes(class) as u64;
        header.refs.store(1, Ordering::Relaxed);
        head
    }

    fn give_back(&mut self, head: NonNull<Header>, class: usize) {
        self.used_bytes -= class_bytes(class) as u64;
        let bytes = class_bytes(class);
        if bytes >= CHUNK_BYTES && (self.free_count[class] + 1) * bytes > KEPT_BYTES_MAX {
            self.home
                .reserved_bytes
                .fetch_sub(bytes as u64, Ordering::Relaxed);
            // SAFETY: nobody refers to the block; classes of this size map and box each block on its own (`grow`).
            unsafe { release_single(head) };
            return;
        }
        self.push_free(head, class);
    }

    fn push_free(&mut self, head: NonNull<Header>, class: usize) {
        // SAFETY: the caller owns the block, so its header is alive.
        let header = unsafe { head.as_ref() };
        header.next.store(self.free[class], Ordering::Relaxed);
        self.free[class] = head.as_ptr();
        self.free_count[class] += 1;
    }

    fn take_returned(&mut self) {
        let mut at = self.home.returned.swap(ptr::null_mut(), Ordering::Acquire);
        while let Some(head) = NonNull::new(at) {
            // SAFETY: what was on the stack is ours since the swap (invariant 1).
            let header = unsafe { head.as_ref() };
            at = header.next.load(Ordering::Relaxed);
            let Origin::Class(class) = header.origin else {
                unreachable!("only blocks of classes are returned")
            };
            self.give_back(head, class);
        }
    }

    fn grow(&mut self, class: usize) {
        let bytes = class_bytes(class);
        let count = (CHUNK_BYTES / bytes).max(1);
        let chunk = if class == HUGE_CLASS {
            map_huge()
        } else {
            map(count * bytes)
        };
        self.home
            .reserved_bytes
            .fetch_add((count * bytes) as u64, Ordering::Relaxed);
        let header_of = |i: usize| Header {
            refs: AtomicUsize::new(0),
            // SAFETY: block `i` lies inside the chunk of `count` blocks.
            data: unsafe { chunk.add(i * bytes) },
            capacity: bytes,
            origin: Origin::Class(class),
            home: self.home,
            next: AtomicPtr::new(ptr::null_mut()),
        };
        if count == 1 {
            let header = NonNull::from(Box::leak(Box::new(header_of(0))));
            self.push_free(header, class);
            return;
        }
        let headers: Vec<Header> = (0..count).map(header_of).collect();
        let headers = NonNull::from(Box::leak(headers.into_boxed_slice())).cast::<Header>();
        // Pushed from the back, so that blocks are handed out in rising order.
        for i in (0..count).rev() {
            // SAFETY: `i` is an index of the leaked slice.
            self.push_free(unsafe { headers.add(i) }, class);
        }
    }
}

const fn class_bytes(class: usize) -> usize {
    1 << (class as u32 + CLASS_BITS_MIN)
}

/// The class for `bytes`, unless they are too many for one.
fn class_of(bytes: usize) -> Option<usize> {
    if bytes == HUGE_BYTES {
        return Some(HUGE_CLASS);
    }
    let bits = bytes.max(1).next_power_of_two().trailing_zeros();
    (bits <= CLASS_BITS_MAX).then(|| bits.saturating_sub(CLASS_BITS_MIN) as usize)
}

/// A block of at least `bytes`, with one reference.
pub(crate) fn allocate(bytes: usize) -> NonNull<Header> {
    if let Some(class) = class_of(bytes)
        && let Some(head) = with_pool(|pool| pool.take(class))
    {
        return head;
    }
    let bytes = bytes
        .checked_next_multiple_of(ALIGN)
        .expect("a buffer is smaller than the address space")
        .max(ALIGN);
    let home = with_pool(|pool| pool.home).unwrap_or(&LATE);
    home.reserved_bytes
        .fetch_add(bytes as u64, Ordering::Relaxed);
    direct(map(bytes), bytes, Origin::Mapping, home)
}

/// Takes a vector's memory over, with one reference.
pub(crate) fn adopt_vector(vector: Vec<u8>) -> NonNull<Header> {
    let mut vector = std::mem::ManuallyDrop::new(vector);
    let data = NonNull::new(vector.as_mut_ptr()).expect("a vector's pointer is never null");
    let home = with_pool(|pool| pool.home).unwrap_or(&LATE);
    direct(data, vector.capacity(), Origin::Vector, home)
}

fn direct(
    data: NonNull<u8>,
    capacity: usize,
    origin: Origin,
    home: &'static Home,
) -> NonNull<Header> {
    home.direct_bytes
        .fetch_add(capacity as u64, Ordering::Relaxed);
    NonNull::from(Box::leak(Box::new(Header {
        refs: AtomicUsize::new(1),
        data,
        capacity,
        origin,
        home,
        next: AtomicPtr::new(ptr::null_mut()),
    })))
}

/// Frees a block that has a box and a mapping of its own.
///
/// # Safety
/// Nobody refers to the block, and neither its header nor its data is part of a chunk.
unsafe fn release_single(head: NonNull<Header>) {
    // SAFETY: such headers are boxed one by one, and this is the last reference.
    let header = unsafe { Box::from_raw(head.as_ptr()) };
    // SAFETY: the data is a mapping of exactly this length.
    unsafe { unmap(header.data, header.capacity) };
}

impl Header {
    pub(crate) fn data(&self) -> NonNull<u8> {
        self.data
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether all bytes are initialised and the alignment promise holds, i.e. the block may be written again.
    pub(crate) fn is_reusable(&self) -> bool {
        self.origin != Origin::Vector
    }

    pub(crate) fn retain(&self) {
        let before = self.refs.fetch_add(1, Ordering::Relaxed);
        assert!(before < usize::MAX / 2, "reference count overflows");
    }

    pub(crate) fn is_unique(&self) -> bool {
        // Acquire: what other holders read must have happened before the caller writes.
        self.refs.load(Ordering::Acquire) == 1
    }
}

/// Gives one reference back; the last one sends the memory home.
///
/// # Safety
/// The caller owns one reference and never uses it again.
pub(crate) unsafe fn release(head: NonNull<Header>) {
    // SAFETY: the caller's reference keeps the header alive.
    let header = unsafe { head.as_ref() };
    if header.refs.fetch_sub(1, Ordering::Release) != 1 {
        return;
    }
    fence(Ordering::Acquire);
    match header.origin {
        Origin::Class(class) => {
            let home = header.home;
            give_home(head, home, class);
        }
        Origin::Mapping => {
            let bytes = header.capacity as u64;
            header
                .home
                .reserved_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
            header.home.direct_bytes.fetch_sub(bytes, Ordering::Relaxed);
            // SAFETY: this was the last reference to a block with a mapping of its own.
            unsafe { release_single(head) };
        }
        Origin::Vector => {
            let bytes = header.capacity as u64;
            header.home.direct_bytes.fetch_sub(bytes, Ordering::Relaxed);
            // SAFETY: such headers are boxed one by one, and this is the last reference.
            let header = unsafe { Box::from_raw(head.as_ptr()) };
            // SAFETY: pointer and capacity are those of the vector that `adopt_vector` took apart.
            drop(unsafe { Vec::from_raw_parts(header.data.as_ptr(), 0, header.capacity) });
        }
    }
}

/// Takes no reference to the header: on its way home the block may be freed, or be another thread's again.
fn give_home(head: NonNull<Header>, home: &'static Home, class: usize) {
    let is_local = with_pool(|pool| {
        let is_local = ptr::eq(pool.home, home);
        if is_local {
            pool.give_back(head, class);
        }
        is_local
    });
    if is_local == Some(true) {
        return;
    }
    home.foreign_frees.fetch_add(1, Ordering::Relaxed);
    let mut top = home.returned.load(Ordering::Relaxed);
    loop {
        // SAFETY: until the exchange succeeds the block is this thread's alone.
        unsafe { head.as_ref() }.next.store(top, Ordering::Relaxed);
        match home.returned.compare_exchange_weak(
            top,
            head.as_ptr(),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            Ok(_) => return,
            Err(now) => top = now,
        }
    }
}

#[cfg(not(miri))]
fn map(bytes: usize) -> NonNull<u8> {
    // SAFETY: an anonymous private mapping at an address of the kernel's choice touches no existing memory.
    let data = unsafe {
        libc::mmap(
            ptr::null_mut(),
            bytes,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0,
        )
    };
    match NonNull::new(data.cast::<u8>()) {
        Some(data) if data.as_ptr().cast() != libc::MAP_FAILED => data,
        _ => std::alloc::handle_alloc_error(layout(bytes)),
    }
}

/// `HUGE_BYTES`, aligned to as much.
#[cfg(not(miri))]
fn map_huge() -> NonNull<u8> {
    let data = map(2 * HUGE_BYTES);
    let before = data.as_ptr().align_offset(HUGE_BYTES);
    // SAFETY: `before` is below HUGE_BYTES, so the block lies inside the mapping.
    let block = unsafe { data.add(before) };
    if before > 0 {
        // SAFETY: whole pages at the mapping's front, which nobody knows of.
        unsafe { unmap(data, before) };
    }
    // SAFETY: the block ends inside the mapping, `HUGE_BYTES - before` bytes before its end.
    let behind = unsafe { block.add(HUGE_BYTES) };
    if before < HUGE_BYTES {
        // SAFETY: whole pages at the mapping's end, which nobody knows of.
        unsafe { unmap(behind, HUGE_BYTES - before) };
    }
    // SAFETY: advice on an own mapping; where it is refused the block has ordinary pages.
    unsafe { libc::madvise(block.as_ptr().cast(), HUGE_BYTES, libc::MADV_HUGEPAGE) };
    block
}

#[cfg(miri)]
fn map_huge() -> NonNull<u8> {
    map(HUGE_BYTES)
}

/// # Safety
/// `data` came from `map` with the same `bytes` or is whole pages of it, or from `map_huge`, and nobody uses it any
/// more.
#[cfg(not(miri))]
unsafe fn unmap(data: NonNull<u8>, bytes: usize) {
    // SAFETY: the caller gives back exactly one mapping.
    let result = unsafe { libc::munmap(data.as_ptr().cast(), bytes) };
    assert_eq!(result, 0, "munmap of an own mapping");
}

/// Miri knows no anonymous mappings with this use, so it checks the same code over the global allocator.
#[cfg(miri)]
fn map(bytes: usize) -> NonNull<u8> {
    // SAFETY: the layout is not empty.
    let data = unsafe { std::alloc::alloc_zeroed(layout(bytes)) };
    NonNull::new(data).unwrap_or_else(|| std::alloc::handle_alloc_error(layout(bytes)))
}

/// # Safety
/// `data` came from `map` with the same `bytes`, and nobody uses it any more.
#[cfg(miri)]
unsafe fn unmap(data: NonNull<u8>, bytes: usize) {
    // SAFETY: same layout as in `map`.
    unsafe { std::alloc::dealloc(data.as_ptr(), layout(bytes)) };
}

fn layout(bytes: usize) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(bytes, ALIGN).expect("sizes are far below isize::MAX")
}

#[cfg(test)]
mod tests;
