//! Aligned, pooled, reference-counted buffers, chains of them, and CRC32C.
//!
//! Memory comes from a pool of the current thread, in power-of-two sizes; it is always initialised, so lengths
//! move freely within a capacity. A buffer may be dropped on any thread: its memory goes home.

mod buf;
mod chain;
mod crc;
mod pool;

pub use buf::{AppendBuf, Buf, BufMut};
pub use chain::IoBuf;
pub use crc::{crc32c, crc32c_append, crc32c_chain};
pub use pool::{HUGE_BYTES, PoolStats, pool_stats};

/// Alignment in bytes of every buffer of at least this size: O_DIRECT wants the device's logical block, 4 KiB covers all.
pub const ALIGN: usize = 4096;
