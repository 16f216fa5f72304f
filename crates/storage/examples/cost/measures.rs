//! The measurements themselves, at any scale; the tests run them with tiny inputs.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    sync::mpsc,
    time::{Duration, Instant},
};

use base::{LeaderEpoch, Offset, PartitionIndex, PartitionKey, TimestampMs, TopicId};
use kafka::batch::{BatchBuilder, Compression};
use storage::{AppendError, Appended, Entry, EntryKind, Log, LogConfig, Store, StoreConfig};

/// How much of each thing is done.
#[derive(Clone, Copy)]
pub struct Scale {
    pub sequential: u64,
    pub partitions: i32,
    pub rounds: u64,
    pub large: u64,
    pub restart_partitions: i32,
}

impl Scale {
    /// All of it, or a tiny part to see that it works.
    pub fn new(is_full: bool) -> Self {
        let either = |full, tiny| if is_full { full } else { tiny };
        Self {
            sequential: either(5_000, 20),
            partitions: if is_full { 1_000 } else { 10 },
            rounds: either(1_000, 10),
            large: either(4_000, 5),
            restart_partitions: if is_full { 10_000 } else { 50 },
        }
    }
}

/// Runs everything below `dir`, each on a shard of its own; gives the lines of the report.
pub fn all(dir: &Path, scale: Scale) -> Vec<String> {
    let mut lines = Vec::new();
    let place = dir.join("append");
    lines.extend(on_shard(move || append(place, scale)));
    for (name, clean) in [("kill", false), ("stop", true)] {
        let place = dir.join(format!("restart-{name}"));
        let path = place.clone();
        lines.extend(on_shard(move || create_many(path, scale, clean)));
        lines.push(on_shard(move || restart(place, name)));
    }
    lines
}

fn on_shard<F, Fut, R>(work: F) -> R
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

/// CPU time of the process so far, in the kernel's ticks of 10 ms.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = behind_name.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

struct Meter {
    began: Instant,
    cpu: Duration,
}

impl Meter {
    fn start() -> Self {
        Self {
            began: Instant::now(),
            cpu: cpu(),
        }
    }

    fn line(&self, what: &str, count: u64, bytes: u64) -> String {
        let seconds = self.began.elapsed().as_secs_f64();
        let cpu = (cpu() - self.cpu).as_secs_f64();
        format!(
            "{what:<44} {:>9.2} us each {:>8.2} us CPU each {:>9.1} MB/s",
            seconds * 1e6 / count as f64,
            cpu * 1e6 / count as f64,
            bytes as f64 / 1e6 / seconds
        )
    }
}

fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId([5; 16]),
        partition: PartitionIndex(partition),
    }
}

fn config(dir: PathBuf) -> StoreConfig {
    StoreConfig {
        dir,
        free_bytes_min: 0,
        free_bytes_warn: 0,
        ..StoreConfig::default()
    }
}

fn batch(value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(TimestampMs(1), None, Some(&vec![1; value_bytes]), &[]);
    builder.finish()
}

fn entry(batch: &[u8]) -> Entry<'_> {
    Entry {
        kind: EntryKind::Records,
        leader_epoch: LeaderEpoch(0),
        batch,
        record_count: 1,
        max_timestamp: TimestampMs(1),
    }
}

async fn put(log: &Log, bytes: &[u8]) -> Appended {
    loop {
        match log.append(entry(bytes)) {
            Ok(appended) => return appended,
            Err(AppendError::Busy) => log.append_ready().await,
            Err(error) => panic!("append: {error}"),
        }
    }
}

async fn settle(log: &Log) {
    log.wait_durable(log.log_epoch(), log.next_offset()).await;
}

async fn append(dir: PathBuf, scale: Scale) -> Vec<String> {
    let mut lines = Vec::new();
    let (store, _) = Store::open(config(dir)).await.expect("opens");
    let log = store.create(key(0), LogConfig::default()).await;
    let log = log.expect("creates");
    let (small, large) = (batch(100), batch(64 << 10));

    let meter = Meter::start();
    for _ in 0..scale.sequential {
        put(&log, &small).await;
        settle(&log).await;
    }
    let bytes = scale.sequential * small.len() as u64;
    lines.push(meter.line(
        "append and sync, one after the other",
        scale.sequential,
        bytes,
    ));

    let mut logs = Vec::new();
    for partition in 1..=scale.partitions {
        let log = store.create(key(partition), LogConfig::default()).await;
        logs.push(log.expect("creates"));
    }
    let meter = Meter::start();
    for _ in 0..scale.rounds {
        for log in &logs {
            put(log, &small).await;
        }
        if let Some(last) = logs.last() {
            settle(last).await;
        }
    }
    let count = scale.rounds * logs.len() as u64;
    let bytes = count * small.len() as u64;
    lines.push(meter.line("append to many partitions, a sync per round", count, bytes));

    let meter = Meter::start();
    for round in 0..scale.large {
        put(&log, &large).await;
        if round % 8 == 7 {
            settle(&log).await;
        }
    }
    settle(&log).await;
    let bytes = scale.large * large.len() as u64;
    lines.push(meter.line("append 64 KiB straight to the segment", scale.large, bytes));
    lines.push(read(&logs[0], "read 116 B batches, cached").await);
    lines.push(read(&log, "read 64 KiB batches, mostly from disk").await);
    drop(logs);
    store.close().await;
    lines
}

async fn read(log: &Rc<Log>, what: &str) -> String {
    let end = log.durable().next_offset;
    let meter = Meter::start();
    let (mut at, mut bytes, mut count) = (Offset(0), 0, 0);
    while at < end {
        let read = log.read(at, end, 1 << 20, true).await.expect("reads");
        bytes += read.batches.len() as u64;
        at = read.next_offset;
        count += 1;
    }
    meter.line(what, count, bytes)
}

async fn create_many(dir: PathBuf, scale: Scale, clean: bool) -> Vec<String> {
    let (store, _) = Store::open(config(dir)).await.expect("opens");
    let small = batch(100);
    let mut creations = Vec::new();
    let next = Rc::new(std::cell::Cell::new(0));
    for _ in 0..64 {
        let (store, next, small) = (Rc::clone(&store), Rc::clone(&next), small.clone());
        let task = runtime::spawn(runtime::Class::Admin, "create", async move {
            while next.get() < scale.restart_partitions {
                let partition = next.replace(next.get() + 1);
                let log = store.create(key(partition), LogConfig::default()).await;
                let log = log.expect("creates");
                put(&log, &small).await;
                settle(&log).await;
            }
        });
        creations.push(task);
    }
    for creation in creations {
        let _ = creation.await;
    }
    let line = save_states(&store).await;
    let meter = Meter::start();
    if clean {
        store.close().await;
        return vec![line, meter.line("close, states saved", 1, 0)];
    }
    vec![line]
}

/// One state of each log, all asked for in one turn.
async fn save_states(store: &Store) -> String {
    let logs: Vec<_> = store
        .keys()
        .into_iter()
        .filter_map(|k| store.get(k))
        .collect();
    let before = store.stats().journal_writes;
    let meter = Meter::start();
    let asked: Vec<_> = logs.iter().map(|log| log.save_state(&[7; 60])).collect();
    let staged = meter.began.elapsed().as_secs_f64() * 1e6 / logs.len().max(1) as f64;
    for saved in asked {
        saved.await.expect("saves");
    }
    let line = meter.line("save a state of every log at once", logs.len() as u64, 0);
    let writes = store.stats().journal_writes - before;
    format!("{line}  {staged:.2} us each to stage, {writes} commits")
}

async fn restart(dir: PathBuf, name: &str) -> String {
    let before = resident_kib();
    let meter = Meter::start();
    let (store, report) = Store::open(config(dir)).await.expect("opens");
    let line = meter.line(
        &format!("restart after {name}, {} partitions", report.partitions),
        1,
        0,
    );
    let after = resident_kib();
    let grown = after.saturating_sub(before) * 1024 / report.partitions.max(1) as u64;
    drop(store);
    format!("{line}  {grown} bytes resident per partition")
}
