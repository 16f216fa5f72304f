//! What a shard has measured of itself: CPU and I/O per class and task kind, stalls, histograms.
use crate::Class;
use std::time::Duration;

#[derive(Debug)]
/// Log-linear latency histogram in microseconds (64 buckets per power of two: 1.6 % wide).
#[derive(Clone)]
pub struct Histogram {
    _p: (),
}
impl Default for Histogram {
    fn default() -> Self {
        todo!()
    }
}
impl Histogram {
    pub fn record(&mut self, value: Duration) {
        todo!()
    }
    pub fn merge(&mut self, other: &Histogram) {
        todo!()
    }
    pub fn count(&self) -> u64 {
        todo!()
    }
    pub fn sum(&self) -> Duration {
        todo!()
    }
    pub fn max(&self) -> Duration {
        todo!()
    }
    pub fn quantile(&self, q: f64) -> Duration {
        todo!()
    }
    /// Samples at or below `bound`, for Prometheus buckets.
    pub fn count_le(&self, bound: Duration) -> u64 {
        todo!()
    }
}
/// Sendable copy of the current shard's counters.
#[derive(Clone, Debug, Default)]
pub struct ShardStats {
    pub classes: Vec<ClassStats>,
    pub kinds: Vec<KindStats>,
    pub stalls: u64,
    pub longest_stall: Duration,
    pub last_stall: Option<String>,
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
pub fn shard_stats() -> ShardStats {
    todo!()
}
