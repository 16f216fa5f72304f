//! The simulated world: hosts with disks and a network under one seed, one thread, virtual time.
#![allow(clippy::todo, unused_variables, missing_docs, dead_code)]
#[cfg(test)]
pub(crate) mod disk;
#[cfg(test)]
pub(crate) mod net;
#[cfg(test)]
pub(crate) mod rng;

use std::{future::Future, net::IpAddr, rc::Rc, time::Duration};

/// Probabilities are per operation. Everything is drawn from the seed.
#[derive(Clone, Debug)]
pub struct DiskFaults {
    pub latency: (Duration, Duration),
    pub read_error: f64,
    pub write_error: f64,
    pub sync_error: f64,
    /// Reads and writes that do only a part of what was asked for.
    pub short_io: f64,
    /// At power cut: chance that an un-synced sector survives; each un-synced write may also be torn at sector bounds.
    pub unsynced_survives: f64,
    pub sector_bytes: usize,
    pub capacity_bytes: u64,
}
#[derive(Clone, Debug)]
pub struct NetFaults {
    pub latency: (Duration, Duration),
    pub reset: f64,
    pub split: f64,
    pub stall: f64,
}
#[derive(Clone, Debug)]
pub struct SimConfig {
    pub seed: u64,
    pub disk: DiskFaults,
    pub net: NetFaults,
}
impl SimConfig {
    pub fn new(seed: u64) -> Self {
        todo!()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// One simulated world. Everything on this thread; ambient functions of the crate work inside hosts.
pub struct Sim {
    _p: Rc<()>,
}
impl Sim {
    pub fn new(config: SimConfig) -> Self {
        todo!()
    }
    /// Adds a machine with an own disk and address; `main` runs on each shard at every (re)start.
    pub fn host<F, Fut>(&self, name: &str, shards: u16, main: F) -> HostId
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        todo!()
    }
    pub fn ip(&self, host: HostId) -> IpAddr {
        todo!()
    }
    /// A task on shard 0 of a host (e.g. a client host's workload).
    pub fn spawn_on<F: Future<Output = ()> + 'static>(
        &self,
        host: HostId,
        kind: &'static str,
        f: F,
    ) {
        todo!()
    }
    /// Power cut: tasks dropped, connections reset, un-synced writes lost, torn, reordered by the seed.
    pub fn power_cut(&self, host: HostId) {
        todo!()
    }
    /// kill -9: tasks dropped, but what reached the kernel stays.
    pub fn kill(&self, host: HostId) {
        todo!()
    }
    pub fn restart(&self, host: HostId) {
        todo!()
    }
    pub fn is_up(&self, host: HostId) -> bool {
        todo!()
    }
    /// The reason given to `fatal` when the host ended itself.
    pub fn fatal_reason(&self, host: HostId) -> Option<String> {
        todo!()
    }
    pub fn set_disk_faults(&self, host: HostId, faults: DiskFaults) {
        todo!()
    }
    pub fn set_net_faults(&self, faults: NetFaults) {
        todo!()
    }
    /// Disconnects two hosts from each other until healed.
    pub fn split(&self, a: HostId, b: HostId) {
        todo!()
    }
    pub fn heal(&self) {
        todo!()
    }
    /// Flips one bit of a file at rest.
    pub fn flip_bit(&self, host: HostId, path: &str, byte: u64, bit: u8) {
        todo!()
    }
    pub fn files(&self, host: HostId) -> Vec<(String, u64)> {
        todo!()
    }
    /// Runs until virtual time has advanced by `duration`.
    pub fn run_for(&self, duration: Duration) {
        todo!()
    }
    /// Runs until `done` (checked after each step) or the limit; false at the limit.
    pub fn run_until(&self, limit: Duration, done: impl FnMut() -> bool) -> bool {
        todo!()
    }
    pub fn elapsed(&self) -> Duration {
        todo!()
    }
    /// Draws from a stream of its own, for the test's decisions.
    pub fn draw(&self, below: u64) -> u64 {
        todo!()
    }
    /// Hash over every scheduling decision, completion and random draw so far: the determinism meta-test compares it.
    pub fn trace_hash(&self) -> u64 {
        todo!()
    }
}

/// The driver of one simulated shard.
pub(crate) struct SimDriver;
impl SimDriver {
    pub(crate) fn submit(&mut self, key: crate::ops::OpKey, op: crate::ops::Op) {
        todo!()
    }
    pub(crate) fn cancel(&mut self, key: crate::ops::OpKey) {
        todo!()
    }
}
pub(crate) fn on_fatal(reason: crate::Fatal) -> ! {
    todo!()
}
