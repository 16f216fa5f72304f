//! The thread that looks for shards stuck in one task, and what it shares with them.

use crate::{Instant, remote::Remote, stats::Stall};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Since when a shard runs its current task, for other threads to see.
#[derive(Default)]
pub(crate) struct Beat {
    /// In ns; 0 between tasks.
    since: AtomicU64,
}

impl Beat {
    pub(crate) fn begin(&self, at: Instant) {
        self.since.store(at.0, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    pub(crate) fn attach(&self, _waker: WatchdogWaker) {}
    pub(crate) fn park(&self) {}
    pub(crate) fn unpark(&self) {}
    pub(crate) fn report(&self, stall: Stall) {
        tracing::warn!(kind = stall.kind, class = stall.class.name(), duration = ?stall.duration, "a task stalled its shard");
    }
}

pub(crate) struct Watchdog;
pub(crate) struct WatchdogWaker;
impl Watchdog {
    pub(crate) fn start(
        _limit: Duration,
        _beats: Vec<Arc<Beat>>,
        _remotes: Vec<Arc<Remote>>,
    ) -> io::Result<Self> {
        Ok(Self)
    }
    pub(crate) fn waker(&self) -> WatchdogWaker {
        WatchdogWaker
    }
    pub(crate) fn stop(self) {}
}
