//! What a run of a raft group is like, drawn from its seed: sizes small enough that everything rolls, fills and lags.

use std::{path::PathBuf, time::Duration};

use raft::Settings;
use runtime::sim::{DiskFaults, Rng};
use storage::{LogConfig, StoreConfig};

/// Bugs to plant.
#[derive(Clone, Debug, Default)]
pub struct ReplicationBugs {
    pub core: raft::PlantedBugs,
    pub storage: storage::PlantedBugs,
}

#[derive(Clone, Debug)]
pub struct ReplicationPlan {
    pub store: StoreConfig,
    pub log: LogConfig,
    pub settings: Settings,
    pub voters: u32,
    /// Hosts that the first configuration lacks.
    pub spares: u32,
    pub disk: DiskFaults,
    pub tick: Duration,
    pub message_latency: (Duration, Duration),
    /// Of 1,000 messages.
    pub lost: u64,
    pub repeated: u64,
    /// Of 1,000 steps.
    pub propose: u64,
    pub crash: u64,
    pub split: u64,
    pub reconfigure: u64,
    pub trim: u64,
    pub record_bytes_max: u64,
    pub steps: u64,
}

impl ReplicationPlan {
    #[must_use]
    pub fn draw(seed: u64, bugs: &ReplicationBugs) -> Self {
        // Not a stream of the simulation: adding a setting must not shift anything in it.
        let mut rng = Rng::new(seed ^ 0x4af7_6409);
        let pick = |rng: &mut Rng, from: &[u64]| from[rng.below(from.len() as u64) as usize];
        let store = StoreConfig {
            dir: PathBuf::from("/data"),
            journal_file_bytes: 64 << (10 + rng.below(3)),
            journal_files_max: rng.between(2, 4) as usize,
            direct_bytes_min: 2 << (10 + rng.below(4)) as usize,
            cache_bytes: rng.between(8, 128) << 10,
            free_bytes_min: 0,
            free_bytes_warn: 0,
            planted: bugs.storage.clone(),
        };
        let log = LogConfig {
            segment_bytes: rng.between(4, 32) << 10,
            segment_ms: i64::MAX,
            retention_bytes: -1,
            retention_ms: -1,
            index_interval_bytes: 512,
            delete_old: false,
        };
        let settings = Settings {
            election_ticks: 6 + rng.below(6) as u16,
            heartbeat_ticks: 1 + rng.below(3) as u16,
            // Nobody tells these groups of dead nodes, which sleepers rely on.
            hibernate_ticks: 0,
            append_entries_max: pick(&mut rng, &[1, 3, 20]) as u32,
            append_bytes_max: pick(&mut rng, &[1000, 8000, 100_000]) as u32,
            in_flight_messages_max: pick(&mut rng, &[1, 4, 20]) as u16,
            in_flight_entries_max: pick(&mut rng, &[4, 40]) as u32,
            tail_entries_max: pick(&mut rng, &[1, 8, 200]) as u32,
            planted: bugs.core,
            ..Settings::default()
        };
        Self {
            store,
            log,
            settings,
            voters: pick(&mut rng, &[1, 2, 3, 3, 3, 5]) as u32,
            spares: rng.below(3) as u32,
            disk: DiskFaults {
                latency: (
                    Duration::from_micros(20),
                    Duration::from_micros(100 << rng.below(7)),
                ),
                unsynced_survives: rng.between(1, 9) as f64 / 10.0,
                ..DiskFaults::none()
            },
            tick: Duration::from_millis(10),
            message_latency: (
                Duration::from_micros(50),
                Duration::from_micros(200 << rng.below(7)),
            ),
            lost: pick(&mut rng, &[0, 10, 100]),
            repeated: pick(&mut rng, &[0, 20]),
            propose: pick(&mut rng, &[100, 400, 900]),
            crash: pick(&mut rng, &[2, 8, 20]),
            split: pick(&mut rng, &[0, 4, 10]),
            reconfigure: pick(&mut rng, &[0, 5, 20]),
            trim: pick(&mut rng, &[0, 5, 20]),
            record_bytes_max: pick(&mut rng, &[50, 500, 5000]),
            steps: rng.between(400, 1200),
        }
    }
}
