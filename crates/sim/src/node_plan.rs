//! What a node's run is like, drawn from its seed.

use broker::Settings;
use runtime::sim::{DiskFaults, NetFaults, Rng};
use std::{net::IpAddr, time::Duration};
use storage::PlantedBugs;

pub(crate) const PORT: u16 = 9092;

const JOURNAL_FILES_MAX: usize = 4;
const FREE_BYTES_MIN: u64 = 1 << 20;
/// A home's manifest, its ballast and what else it needs to begin with.
const HOME_BYTES: u64 = 2 << 20;
/// No run fills this.
const ROOMY_BYTES: u64 = 1 << 30;

/// Bugs switched on in the whole node.
#[derive(Clone, Debug, Default)]
pub struct NodeBugs {
    pub store: PlantedBugs,
    /// Producers' windows are empty after a restart.
    pub forget_producers: bool,
}

#[derive(Clone, Debug)]
pub struct NodePlan {
    pub shards: u16,
    pub partitions: i32,
    pub producers: u64,
    pub consumers: u64,
    /// Between two turns of a producer.
    pub think: (Duration, Duration),
    pub burst_max: u64,
    pub record_bytes_max: u64,
    pub rounds: u64,
    pub round_time: (Duration, Duration),
    pub down_time: (Duration, Duration),
    /// Faults that rounds may draw, beside crashes.
    pub disk: DiskFaults,
    pub net: NetFaults,
    /// Errors of the disk may show.
    pub may_fail: bool,
    /// The disk may be so small that it fills up.
    pub may_be_full: bool,
    segment_bytes: u64,
    journal_file_bytes: u64,
    direct_bytes_min: usize,
    cache_bytes: u64,
    bugs: NodeBugs,
}

impl NodePlan {
    pub fn draw(seed: u64, bugs: NodeBugs) -> Self {
        // Not a stream of the simulation: adding a setting must not shift anything in it.
        let mut rng = Rng::new(seed ^ 0xb0de_5eed);
        let may_fail = rng.below(5) == 0;
        let probability = 0.0002 * rng.between(1, 10) as f64;
        let only = |wanted: bool| if wanted { probability } else { 0.0 };
        let is_write = rng.below(2) == 0;
        let disk = DiskFaults {
            latency: (
                Duration::from_micros(20),
                Duration::from_micros(100 << rng.below(5)),
            ),
            read_error: 0.0,
            write_error: only(may_fail && is_write),
            sync_error: only(may_fail && !is_write),
            short_io: if rng.below(4) == 0 { 0.02 } else { 0.0 },
            unsynced_survives: rng.between(1, 9) as f64 / 10.0,
            sector_bytes: if rng.below(2) == 0 { 512 } else { 4096 },
            capacity_bytes: ROOMY_BYTES,
        };
        let net = NetFaults {
            latency: (
                Duration::from_micros(30),
                Duration::from_micros(200 << rng.below(6)),
            ),
            reset: if rng.below(2) == 0 { 0.002 } else { 0.0 },
            split: 0.1,
            stall: if rng.below(3) == 0 { 0.001 } else { 0.0 },
        };
        let mut plan = Self {
            shards: 1 + rng.below(2) as u16,
            partitions: 1 + rng.below(3) as i32,
            producers: 1 + rng.below(3),
            consumers: rng.below(3),
            think: (Duration::ZERO, Duration::from_millis(4 << rng.below(5))),
            burst_max: 1 + rng.below(8),
            record_bytes_max: 20 << rng.below(5),
            rounds: rng.between(2, 5),
            round_time: (Duration::from_millis(200), Duration::from_secs(8)),
            down_time: (Duration::ZERO, Duration::from_millis(100 << rng.below(5))),
            disk,
            net,
            may_fail,
            may_be_full: false,
            segment_bytes: rng.between(4, 64) << 10,
            journal_file_bytes: 64 << (10 + rng.below(4)),
            direct_bytes_min: 2 << (10 + rng.below(5)),
            cache_bytes: 64 << (10 + rng.below(4)),
            bugs,
        };
        plan.disk.read_error = if rng.below(4) == 0 { probability } else { 0.0 };
        plan.may_be_full = rng.below(5) == 0;
        if plan.may_be_full {
            // What each home takes before anybody produces, and some more.
            let fixed = JOURNAL_FILES_MAX as u64 * plan.journal_file_bytes + HOME_BYTES;
            let free = rng.between(512, 3072) << 10;
            plan.disk.capacity_bytes = u64::from(plan.shards) * fixed + free;
        }
        plan
    }

    /// A disk that only crashes hurt, of this run's geometry.
    pub fn sound_disk(&self) -> DiskFaults {
        DiskFaults {
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            capacity_bytes: ROOMY_BYTES,
            ..self.disk.clone()
        }
    }

    /// Of a node of this run.
    #[must_use]
    pub fn settings(&self, ip: IpAddr) -> Settings {
        let mut settings = Settings::new("/forebay");
        settings.advertised = Some((ip.to_string(), PORT));
        settings.offsets_partitions = 2;
        settings.network_bytes = 16 << 20;
        settings.fetch_bytes = 16 << 20;
        settings.forget_producers_planted = self.bugs.forget_producers;
        let store = &mut settings.store;
        store.journal_file_bytes = self.journal_file_bytes;
        store.journal_files_max = JOURNAL_FILES_MAX;
        store.direct_bytes_min = self.direct_bytes_min;
        store.cache_bytes = self.cache_bytes;
        store.free_bytes_min = FREE_BYTES_MIN;
        store.free_bytes_warn = 2 * FREE_BYTES_MIN;
        store.segment_bytes_forced = Some(self.segment_bytes);
        store.planted = self.bugs.store.clone();
        settings
    }
}
