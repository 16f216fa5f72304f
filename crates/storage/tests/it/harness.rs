//! Running async code on real files or in the simulator, and small homes to run it on.
use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use base::{LeaderEpoch, PartitionIndex, PartitionKey, TimestampMs, TopicId};
use kafka::batch::{BatchBuilder, BatchHeader, Compression};
use runtime::sim::{DiskFaults, HostId, Sim, SimConfig};
use storage::{AppendError, Appended, Entry, EntryKind, Log, LogConfig, StoreConfig};

/// Runs `work` on one real shard and returns its result; whatever it left running is dropped, as a crash would.
pub fn on_real_files<F, Fut, R>(work: F) -> R
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    let (give, take) = mpsc::channel();
    let work = std::sync::Mutex::new(Some(work));
    let config = runtime::Config {
        shards: 1,
        ..runtime::Config::default()
    };
    let running = runtime::start(config, move || {
        let work = work.lock().expect("one shard").take();
        let give = give.clone();
        async move {
            if let Some(work) = work {
                let _ = give.send(work().await);
            }
        }
    })
    .expect("a shard starts");
    let result = take.recv().expect("the work ends");
    running.join().expect("the shard ends");
    result
}

/// A directory of its own, removed at the end.
pub struct TempDir(PathBuf);

impl TempDir {
    pub fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("storage-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).expect("temporary directory");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A home small enough that rings wrap, segments roll and caches evict within a short test.
pub fn small(dir: &Path) -> StoreConfig {
    StoreConfig {
        dir: dir.join("home-0"),
        journal_file_bytes: 256 << 10,
        journal_files_max: 3,
        direct_bytes_min: 6 << 10,
        cache_bytes: 256 << 10,
        free_bytes_min: 0,
        free_bytes_warn: 0,
        ..StoreConfig::default()
    }
}

pub fn small_log() -> LogConfig {
    LogConfig {
        segment_bytes: 64 << 10,
        retention_ms: -1,
        index_interval_bytes: 512,
        ..LogConfig::default()
    }
}

pub fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId([7; 16]),
        partition: PartitionIndex(partition),
    }
}

pub fn batch(count: u32, timestamp: i64, value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for at in 0..count {
        builder.push(
            TimestampMs(timestamp + i64::from(at)),
            None,
            Some(value),
            &[],
        );
    }
    builder.finish()
}

pub fn entry(batch: &[u8]) -> Entry<'_> {
    let header = BatchHeader::decode(batch).expect("built by us");
    Entry {
        kind: EntryKind::Records,
        leader_epoch: LeaderEpoch(0),
        batch,
        record_count: header.record_count.cast_unsigned(),
        max_timestamp: header.max_timestamp,
    }
}

/// Appends, waiting while the journal is busy.
pub async fn append(log: &Log, bytes: &[u8]) -> Appended {
    loop {
        match log.append(entry(bytes)) {
            Ok(appended) => return appended,
            Err(AppendError::Busy) => log.append_ready().await,
            Err(error) => panic!("append: {error}"),
        }
    }
}

/// A simulated machine whose disk makes no mistakes but forgets at power cuts what was not synced.
pub fn machine(seed: u64) -> (Sim, HostId) {
    let mut config = SimConfig::new(seed);
    config.disk = DiskFaults {
        unsynced_survives: 0.5,
        ..DiskFaults::none()
    };
    let sim = Sim::new(config);
    let host = sim.host("node", 1, || async {});
    (sim, host)
}

/// More simulated time than any test needs.
pub const LIMIT: Duration = Duration::from_secs(600);

/// Runs a script on the machine to its end.
pub fn run<F: Future + 'static>(sim: &Sim, host: HostId, script: F) -> F::Output
where
    F::Output: 'static,
{
    let output = sim.run_on(host, LIMIT, script);
    output.unwrap_or_else(|| panic!("the script ends: {:?}", sim.fatal_reason(host)))
}

/// Power goes and comes back.
pub fn crash(sim: &Sim, host: HostId) {
    sim.power_cut(host);
    sim.restart(host);
}
