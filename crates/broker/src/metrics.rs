//! What a shard counts of its own work, and its sendable copy.

use std::{cell::RefCell, time::Duration};

use runtime::stats::Histogram;

use crate::dispatch::APIS;

/// Counters of one shard.
pub struct Metrics {
    inner: RefCell<MetricsSnapshot>,
}

/// One request kind's counters.
#[derive(Clone, Debug, Default)]
pub struct ApiMetrics {
    pub name: &'static str,
    pub requests: u64,
    /// From the frame's last byte read to the response's last byte written.
    pub latency: Histogram,
}

/// Sendable copy of a shard's counters; `merge` adds up shards.
#[derive(Clone, Debug, Default)]
pub struct MetricsSnapshot {
    pub apis: Vec<ApiMetrics>,
    pub connections: u64,
    pub connections_accepted: u64,
    pub connections_refused: u64,
    /// Closed because of what the client sent.
    pub connections_hostile: u64,
    pub produced_bytes: u64,
    pub produced_records: u64,
    pub produced_batches: u64,
    pub produce_duplicates: u64,
    /// Partitions of produce requests that were refused.
    pub produce_errors: u64,
    pub fetched_bytes: u64,
    pub fetch_errors: u64,
    pub fetch_sessions: u64,
    pub fetch_sessions_evicted: u64,
    pub partitions: u64,
    pub partitions_quarantined: u64,
    pub network_bytes_used: u64,
    pub fetch_bytes_used: u64,
    /// Of finished responses, records aside.
    pub response_bytes_unsent: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        let apis = APIS.iter().map(|api| ApiMetrics {
            name: api.name,
            ..ApiMetrics::default()
        });
        let snapshot = MetricsSnapshot {
            apis: apis.collect(),
            ..MetricsSnapshot::default()
        };
        Self {
            inner: RefCell::new(snapshot),
        }
    }
}

impl Metrics {
    /// Changes counters; `change` must not await or call back.
    pub fn update(&self, change: impl FnOnce(&mut MetricsSnapshot)) {
        change(&mut self.inner.borrow_mut());
    }

    /// A request of `APIS[api]` was answered after `latency`.
    pub fn on_request(&self, api: usize, latency: Duration) {
        let entry = &mut self.inner.borrow_mut().apis[api];
        entry.requests += 1;
        entry.latency.record(latency);
    }

    #[must_use]
    pub fn snapshot(&self) -> MetricsSnapshot {
        self.inner.borrow().clone()
    }
}

impl MetricsSnapshot {
    /// Adds another shard's counters.
    pub fn merge(&mut self, other: &Self) {
        if self.apis.is_empty() {
            self.apis.clone_from(&other.apis);
        } else {
            for (mine, theirs) in self.apis.iter_mut().zip(&other.apis) {
                mine.requests += theirs.requests;
                mine.latency.merge(&theirs.latency);
            }
        }
        self.connections += other.connections;
        self.connections_accepted += other.connections_accepted;
        self.connections_refused += other.connections_refused;
        self.connections_hostile += other.connections_hostile;
        self.produced_bytes += other.produced_bytes;
        self.produced_records += other.produced_records;
        self.produced_batches += other.produced_batches;
        self.produce_duplicates += other.produce_duplicates;
        self.produce_errors += other.produce_errors;
        self.fetched_bytes += other.fetched_bytes;
        self.fetch_errors += other.fetch_errors;
        self.fetch_sessions += other.fetch_sessions;
        self.fetch_sessions_evicted += other.fetch_sessions_evicted;
        self.partitions += other.partitions;
        self.partitions_quarantined += other.partitions_quarantined;
        self.network_bytes_used += other.network_bytes_used;
        self.fetch_bytes_used += other.fetch_bytes_used;
        self.response_bytes_unsent += other.response_bytes_unsent;
    }
}
