//! Settings of a home and of its logs.

use std::path::PathBuf;

#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// The home's directory; created when absent. No other process uses it: the caller holds the lock.
    pub dir: PathBuf,
    /// Journal ring: files of this size, at most so many (at least 2). Fixed when the home is created.
    pub journal_file_bytes: u64,
    pub journal_files_max: usize,
    /// Batches of at least this size go straight to their segment. The default is where both ways cost the same CPU.
    pub direct_bytes_min: usize,
    /// Tail cache budget; staged entries that are not in a segment yet are pinned in it, and appends are refused
    /// as `Busy` when they alone fill it.
    pub cache_bytes: u64,
    /// Produce is rejected below this much free disk; warned about below `free_bytes_warn`.
    pub free_bytes_min: u64,
    pub free_bytes_warn: u64,
    /// Test-only switches that plant a bug each (the harness must find them); empty in production.
    pub planted: PlantedBugs,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("home-0"),
            journal_file_bytes: 64 << 20,
            journal_files_max: 4,
            direct_bytes_min: 32 << 10,
            cache_bytes: 256 << 20,
            free_bytes_min: 128 << 20,
            free_bytes_warn: 1 << 30,
            planted: PlantedBugs::default(),
        }
    }
}

/// Bugs a test may switch on, to prove that the harness finds them.
#[derive(Clone, Debug, Default)]
pub struct PlantedBugs {
    /// Durability is reported when the journal write begins.
    pub ack_before_sync: bool,
    /// A failed write is followed by a sync, whose "ok" is believed.
    pub retry_failed_sync: bool,
    /// Recovery believes whatever stands in journal and segments.
    pub skip_checksums_in_recovery: bool,
    /// A completion vouches for offsets of a later log epoch.
    pub durable_without_log_epoch: bool,
    /// A rolled segment is listed from one offset too far.
    pub segment_roll_off_by_one: bool,
    /// An index file is used without comparing it with its segment.
    pub trust_stale_index: bool,
    /// Group commit wakes the newest waiter instead of those whose bytes last.
    pub wake_wrong_waiter: bool,
    /// A state of a log's owner does not make the log's record stale: it goes with the ring file that has it.
    pub forget_state_at_ring_reuse: bool,
    /// Recovery judges the place of a journal's frame by its offsets: one that takes none counts as there already.
    pub place_by_offset: bool,
}

/// Per-partition settings, from topic configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// Size in bytes at which a segment is rolled.
    pub segment_bytes: u64,
    /// Age at which a segment is rolled, checked with retention.
    pub segment_ms: i64,
    /// -1: no bound.
    pub retention_bytes: i64,
    /// -1: no bound.
    pub retention_ms: i64,
    /// Distance between index entries; wider when a segment would need more than `index::ENTRIES_MAX`.
    pub index_interval_bytes: u64,
    /// cleanup.policy contains delete.
    pub delete_old: bool,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            retention_ms: 7 * 24 * 3_600_000,
            index_interval_bytes: 4096,
            delete_old: true,
        }
    }
}
