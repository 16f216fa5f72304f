//! What a storage run is like, drawn from its seed: sizes small enough that everything wraps, rolls and fills up.

use runtime::sim::{DiskFaults, Rng};
use std::{path::PathBuf, time::Duration};
use storage::{LogConfig, PlantedBugs, StoreConfig};

/// How often each kind of maintenance is done, in permille of a turn of the maintenance task.
#[derive(Clone, Copy, Debug)]
pub struct Maintenance {
    pub trim: u64,
    pub retain: u64,
    pub truncate: u64,
    pub snapshot: u64,
    pub recreate: u64,
}

#[derive(Clone, Debug)]
pub struct StoragePlan {
    pub store: StoreConfig,
    pub log: LogConfig,
    pub partitions: u32,
    pub producers: u32,
    /// Between two turns of a producer.
    pub think: (Duration, Duration),
    /// Appends of one turn.
    pub burst_max: u64,
    pub record_bytes_max: u64,
    /// Of 100 batches, how many are large enough to go straight to their segment.
    pub large_percent: u64,
    pub maintenance: Maintenance,
    pub rounds: u64,
    pub round_time: (Duration, Duration),
    /// A pause of all clients in a round.
    pub quiet_time: (Duration, Duration),
    /// Faults that rounds may draw, beside crashes.
    pub faults: DiskFaults,
    pub may_be_full: bool,
    pub may_fail: bool,
    /// Of 100 entries, how many take no offset.
    pub empty_percent: u64,
    /// Of 1000 turns of a producer, how many save a state of the log's owner.
    pub state_permille: u64,
    /// As in `Maintenance`.
    pub reset_permille: u64,
}

impl StoragePlan {
    pub fn draw(seed: u64, planted: PlantedBugs) -> Self {
        // Not a stream of the simulation: adding a setting must not shift anything in it.
        let mut rng = Rng::new(seed ^ 0x5704_a6e5_5eed);
        let journal_file_bytes = 16 << (10 + rng.below(4));
        let journal_files_max = rng.between(2, 4) as usize;
        let direct_bytes_min = 2 << (10 + rng.below(4));
        let may_be_full = rng.below(6) == 0;
        let may_fail = rng.below(3) == 0;
        let store = StoreConfig {
            dir: PathBuf::from("/data"),
            journal_file_bytes,
            journal_files_max,
            direct_bytes_min: direct_bytes_min as usize,
            cache_bytes: rng.between(0, 128) << 10,
            free_bytes_min: 64 << 10,
            free_bytes_warn: 128 << 10,
            planted,
        };
        let log = LogConfig {
            segment_bytes: rng.between(2, 32) << 10,
            segment_ms: if rng.below(3) == 0 { 50 } else { 3_600_000 },
            retention_bytes: if rng.below(2) == 0 {
                rng.between(8, 256) as i64 * 1024
            } else {
                -1
            },
            retention_ms: if rng.below(3) == 0 {
                rng.between(100, 2000) as i64
            } else {
                -1
            },
            index_interval_bytes: 256 << rng.below(5),
            delete_old: true,
        };
        let rare = |rng: &mut Rng| if rng.below(2) == 0 { rng.below(100) } else { 0 };
        let maintenance = Maintenance {
            trim: rare(&mut rng),
            retain: rare(&mut rng),
            truncate: rare(&mut rng),
            snapshot: rare(&mut rng),
            recreate: rare(&mut rng) / 4,
        };
        let think = Duration::from_micros(1000 << rng.below(6));
        let slow = Duration::from_micros(100 << rng.below(6));
        let probability = if may_fail {
            0.0005 * rng.between(1, 10) as f64
        } else {
            0.0
        };
        let pick = rng.below(4);
        let only = |fault: u64| {
            if pick == 3 || pick == fault {
                probability
            } else {
                0.0
            }
        };
        let faults = DiskFaults {
            latency: (Duration::from_micros(20), slow),
            read_error: only(0),
            write_error: only(1),
            sync_error: only(2),
            short_io: if rng.below(4) == 0 { 0.05 } else { 0.0 },
            unsynced_survives: rng.between(1, 9) as f64 / 10.0,
            sector_bytes: if rng.below(2) == 0 { 512 } else { 4096 },
            capacity_bytes: if may_be_full {
                let ring = journal_file_bytes * journal_files_max as u64;
                ring + (rng.between(256, 1024) << 10)
            } else {
                1 << 30
            },
        };
        let partitions_max = if rng.below(4) == 0 { 30 } else { 4 };
        Self {
            store,
            log,
            partitions: 1 + rng.below(partitions_max) as u32,
            producers: 1 + rng.below(4) as u32,
            think: (Duration::ZERO, think),
            burst_max: 1 + rng.below(6),
            record_bytes_max: 20 << rng.below(5),
            large_percent: rng.below(3) * rng.below(15),
            maintenance,
            rounds: rng.between(2, 5),
            round_time: (
                Duration::from_millis(1),
                Duration::from_millis(100 << rng.below(4)),
            ),
            quiet_time: (Duration::ZERO, Duration::from_secs(3)),
            faults,
            may_be_full,
            may_fail,
            empty_percent: rng.below(3) * rng.below(20),
            state_permille: rng.below(3) * rng.below(300),
            reset_permille: if rng.below(4) == 0 { rng.below(60) } else { 0 },
        }
    }

    /// A disk that does what it is told, of this run's geometry.
    pub fn no_faults(&self) -> DiskFaults {
        DiskFaults {
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            capacity_bytes: 1 << 30,
            ..self.faults.clone()
        }
    }
}
