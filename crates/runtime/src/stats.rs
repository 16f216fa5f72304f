//! What a shard has measured of itself: CPU and I/O per class and task kind, stalls, histograms.

mod histogram;
mod tally;

pub use histogram::Histogram;
pub use tally::thread_cpu;
pub(crate) use tally::{Stall, Tally};

use crate::{Class, shard::Shard};
use std::time::Duration;

/// Sendable copy of a shard's counters, all since its start.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    /// In order of `Class::ALL`.
    pub classes: Vec<ClassStats>,
    /// In order of first spawn.
    pub kinds: Vec<KindStats>,
    /// Polls that took longer than `Config::stall` on the CPU or blocked in the kernel. Stretches in which the thread
    /// was ready but had no CPU do not count: they are the machine's, not the task's.
    pub stalls: u64,
    pub longest_stall: Duration,
    /// The latest reported stall: kind, duration and stack.
    pub last_stall: Option<String>,
    /// Time spent in tasks.
    pub busy: Duration,
    pub polls: u64,
    pub mesh_sent: u64,
    pub mesh_wakes: u64,
}

#[derive(Clone, Debug)]
pub struct ClassStats {
    pub class: Class,
    pub cpu: Duration,
    pub polls: u64,
    pub read_ops: u64,
    pub read_bytes: u64,
    pub write_ops: u64,
    pub write_bytes: u64,
    /// Tasks ready to run now.
    pub queued: usize,
}

#[derive(Clone, Debug)]
pub struct KindStats {
    pub kind: &'static str,
    pub class: Class,
    pub cpu: Duration,
    pub polls: u64,
    pub spawned: u64,
    pub live: u64,
    pub stalls: u64,
}

/// The current shard's counters.
pub fn shard_stats() -> ShardStats {
    let shard = Shard::current();
    let mut stats = shard.tally.borrow().to_stats();
    for class in &mut stats.classes {
        class.queued = shard.queued(class.class);
    }
    stats
}
