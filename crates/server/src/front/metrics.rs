//! What `/metrics` says: counters of every shard, and of the process.

use std::time::Duration;

use broker::{Broker, MetricsSnapshot};
use cluster::HomeId;
use iobuf::PoolStats;
use runtime::{Class, stats::ShardStats};
use storage::{DiskState, StoreStats};

use super::prometheus::{Kind, Page};

/// Everything one shard knows of itself, taken on that shard.
pub struct ShardReport {
    shard: String,
    stats: ShardStats,
    pool: PoolStats,
    broker: Option<MetricsSnapshot>,
    stores: Vec<(HomeId, StoreStats, DiskState)>,
    budgets: Vec<BudgetReport>,
}

struct BudgetReport {
    name: &'static str,
    total_bytes: u64,
    used_bytes: u64,
    waiting: usize,
}

impl ShardReport {
    /// The current shard's.
    pub fn take() -> Self {
        let broker = runtime::local::<Broker>();
        let mut budgets = Vec::new();
        if let Some(broker) = &broker {
            let all = [
                ("network", &broker.network),
                ("opening", &broker.opening),
                ("fetch", &broker.fetch),
            ];
            budgets.extend(all.map(|(name, budget)| BudgetReport {
                name,
                total_bytes: budget.total_bytes(),
                used_bytes: budget.total_bytes() - budget.available_bytes(),
                waiting: budget.waiting(),
            }));
        }
        Self {
            shard: runtime::shard().to_string(),
            stats: runtime::stats::shard_stats(),
            pool: iobuf::pool_stats(),
            stores: broker
                .as_ref()
                .map(|b| b.store_reports())
                .unwrap_or_default(),
            broker: broker.map(|broker| broker.metrics_snapshot()),
            budgets,
        }
    }
}

/// The whole page.
pub fn render(reports: &[ShardReport]) -> String {
    let mut page = Page::default();
    page.metric("forebay_build", Kind::Gauge, "Version of the program.");
    let version = env!("CARGO_PKG_VERSION");
    page.sample("forebay_build", &[("version", version)], 1);
    kafka(&mut page, reports);
    storage(&mut page, reports);
    shards(&mut page, reports);
    memory(&mut page, reports);
    process(&mut page);
    page.finish()
}

fn kafka(page: &mut Page, reports: &[ShardReport]) {
    let mut all = MetricsSnapshot::default();
    for broker in reports.iter().filter_map(|report| report.broker.as_ref()) {
        all.merge(broker);
    }
    let asked = || all.apis.iter().filter(|api| api.requests > 0);
    let name = "forebay_requests_total";
    page.metric(name, Kind::Counter, "Kafka requests answered, by API.");
    for api in asked() {
        page.sample(name, &[("api", api.name)], api.requests);
    }
    let name = "forebay_request_seconds";
    let help = "From a request's last byte read to its answer's last byte written.";
    page.metric(name, Kind::Histogram, help);
    for api in asked() {
        page.histogram(name, &[("api", api.name)], &api.latency);
    }
    let counters = [
        (
            "connections_accepted_total",
            all.connections_accepted,
            "Connections accepted.",
        ),
        (
            "connections_refused_total",
            all.connections_refused,
            "Connections closed because there were too many.",
        ),
        (
            "connections_hostile_total",
            all.connections_hostile,
            "Connections closed because of what they sent.",
        ),
        (
            "produced_bytes_total",
            all.produced_bytes,
            "Record bytes appended.",
        ),
        (
            "produced_records_total",
            all.produced_records,
            "Records appended.",
        ),
        (
            "produced_batches_total",
            all.produced_batches,
            "Record batches appended.",
        ),
        (
            "produce_duplicates_total",
            all.produce_duplicates,
            "Batches of idempotent producers that were there already.",
        ),
        (
            "produce_errors_total",
            all.produce_errors,
            "Partitions of produce requests that were refused.",
        ),
        (
            "fetched_bytes_total",
            all.fetched_bytes,
            "Record bytes sent to consumers.",
        ),
        (
            "fetch_errors_total",
            all.fetch_errors,
            "Partitions of fetch requests that were refused.",
        ),
        (
            "fetch_sessions_evicted_total",
            all.fetch_sessions_evicted,
            "Fetch sessions dropped for newer ones.",
        ),
    ];
    for (name, value, help) in counters {
        single(page, name, Kind::Counter, help, value);
    }
    let gauges = [
        ("connections", all.connections, "Connections open."),
        (
            "fetch_sessions",
            all.fetch_sessions,
            "Fetch sessions kept (KIP-227).",
        ),
        ("partitions", all.partitions, "Partitions here."),
        (
            "partitions_quarantined",
            all.partitions_quarantined,
            "Partitions refused because their files are damaged.",
        ),
    ];
    for (name, value, help) in gauges {
        single(page, name, Kind::Gauge, help, value);
    }
}

fn single(page: &mut Page, name: &str, kind: Kind, help: &str, value: u64) {
    let name = format!("forebay_{name}");
    page.metric(&name, kind, help);
    page.sample(&name, &[], value);
}

type StoreNumber = (&'static str, Kind, &'static str, fn(&StoreStats) -> u64);

fn storage(page: &mut Page, reports: &[ShardReport]) {
    let stores = || reports.iter().flat_map(|report| &report.stores);
    let numbers: [StoreNumber; 7] = [
        (
            "journal_writes_total",
            Kind::Counter,
            "Writes of the journal, each synced to disk.",
            |s| s.journal_writes,
        ),
        (
            "journal_bytes_total",
            Kind::Counter,
            "Bytes written to the journal.",
            |s| s.journal_bytes,
        ),
        (
            "journal_entries_total",
            Kind::Counter,
            "Batches made durable by the journal.",
            |s| s.journal_entries,
        ),
        (
            "segment_bytes_total",
            Kind::Counter,
            "Bytes written to segments.",
            |s| s.segment_write_bytes,
        ),
        (
            "cache_bytes",
            Kind::Gauge,
            "Bytes of batches in memory.",
            |s| s.cache_bytes,
        ),
        (
            "cache_hits_total",
            Kind::Counter,
            "Reads served from memory.",
            |s| s.cache_hits,
        ),
        (
            "cache_misses_total",
            Kind::Counter,
            "Reads that needed the disk.",
            |s| s.cache_misses,
        ),
    ];
    for (name, kind, help, read) in numbers {
        let name = format!("forebay_{name}");
        page.metric(&name, kind, help);
        for (home, stats, _) in stores() {
            page.sample(&name, &[("home", &home.to_string())], read(stats));
        }
    }
    let name = "forebay_journal_write_seconds";
    page.metric(
        name,
        Kind::Histogram,
        "One write of the journal until it is on disk.",
    );
    for (home, stats, _) in stores() {
        let home = home.to_string();
        page.histogram(name, &[("home", &home)], &stats.journal_write_latency);
    }
    let name = "forebay_disk_state";
    page.metric(
        name,
        Kind::Gauge,
        "1 for the disk's state: ok, warn or full.",
    );
    for (home, _, state) in stores() {
        let state = match state {
            DiskState::Ok => "ok",
            DiskState::Warn { .. } => "warn",
            DiskState::Full { .. } => "full",
        };
        page.sample(name, &[("home", &home.to_string()), ("state", state)], 1);
    }
}

fn class_name(class: Class) -> &'static str {
    match class {
        Class::Produce => "produce",
        Class::Fetch => "fetch",
        Class::Streams => "streams",
        Class::Query => "query",
        Class::Background => "background",
        Class::Admin => "admin",
    }
}

fn shards(page: &mut Page, reports: &[ShardReport]) {
    type ClassNumber = (
        &'static str,
        Kind,
        &'static str,
        fn(&runtime::stats::ClassStats) -> f64,
    );
    let numbers: [ClassNumber; 7] = [
        (
            "class_cpu_seconds_total",
            Kind::Counter,
            "CPU time of a scheduling class.",
            |c| c.cpu.as_secs_f64(),
        ),
        (
            "class_polls_total",
            Kind::Counter,
            "Turns of tasks of a class.",
            |c| c.polls as f64,
        ),
        (
            "class_queued",
            Kind::Gauge,
            "Tasks of a class ready to run.",
            |c| c.queued as f64,
        ),
        (
            "class_read_ops_total",
            Kind::Counter,
            "Reads from disk of a class.",
            |c| c.read_ops as f64,
        ),
        (
            "class_read_bytes_total",
            Kind::Counter,
            "Bytes read from disk of a class.",
            |c| c.read_bytes as f64,
        ),
        (
            "class_write_ops_total",
            Kind::Counter,
            "Writes to disk of a class.",
            |c| c.write_ops as f64,
        ),
        (
            "class_write_bytes_total",
            Kind::Counter,
            "Bytes written to disk of a class.",
            |c| c.write_bytes as f64,
        ),
    ];
    for (name, kind, help, read) in numbers {
        let name = format!("forebay_{name}");
        page.metric(&name, kind, help);
        for report in reports {
            for class in &report.stats.classes {
                let labels = [
                    ("shard", report.shard.as_str()),
                    ("class", class_name(class.class)),
                ];
                page.sample(&name, &labels, read(class));
            }
        }
    }
    type KindNumber = (
        &'static str,
        Kind,
        &'static str,
        fn(&runtime::stats::KindStats) -> f64,
    );
    let numbers: [KindNumber; 4] = [
        (
            "task_cpu_seconds_total",
            Kind::Counter,
            "CPU time of a kind of tasks.",
            |k| k.cpu.as_secs_f64(),
        ),
        (
            "tasks_spawned_total",
            Kind::Counter,
            "Tasks started of a kind.",
            |k| k.spawned as f64,
        ),
        (
            "tasks_live",
            Kind::Gauge,
            "Tasks of a kind that have not ended.",
            |k| k.live as f64,
        ),
        (
            "task_stalls_total",
            Kind::Counter,
            "Times a kind of tasks held its shard too long.",
            |k| k.stalls as f64,
        ),
    ];
    for (name, kind, help, read) in numbers {
        let name = format!("forebay_{name}");
        page.metric(&name, kind, help);
        for report in reports {
            for task in &report.stats.kinds {
                let labels = [("shard", report.shard.as_str()), ("kind", task.kind)];
                page.sample(&name, &labels, read(task));
            }
        }
    }
    stalls(page, reports);
}

fn stalls(page: &mut Page, reports: &[ShardReport]) {
    type ShardNumber = (&'static str, Kind, &'static str, fn(&ShardStats) -> f64);
    let numbers: [ShardNumber; 6] = [
        (
            "shard_busy_seconds_total",
            Kind::Counter,
            "Time a shard spent in tasks.",
            |s| s.busy.as_secs_f64(),
        ),
        (
            "shard_polls_total",
            Kind::Counter,
            "Turns of tasks on a shard.",
            |s| s.polls as f64,
        ),
        (
            "shard_stalls_total",
            Kind::Counter,
            "Times a task held its shard too long.",
            |s| s.stalls as f64,
        ),
        (
            "shard_longest_stall_seconds",
            Kind::Gauge,
            "The longest of them.",
            |s| s.longest_stall.as_secs_f64(),
        ),
        (
            "mesh_messages_total",
            Kind::Counter,
            "Messages sent to other shards.",
            |s| s.mesh_sent as f64,
        ),
        (
            "mesh_wakes_total",
            Kind::Counter,
            "Times another shard had to be woken for them.",
            |s| s.mesh_wakes as f64,
        ),
    ];
    for (name, kind, help, read) in numbers {
        let name = format!("forebay_{name}");
        page.metric(&name, kind, help);
        for report in reports {
            page.sample(&name, &[("shard", &report.shard)], read(&report.stats));
        }
    }
    let name = "forebay_shard_last_stall";
    page.metric(
        name,
        Kind::Gauge,
        "1, with the last reported stall's stack.",
    );
    for report in reports {
        if let Some(stack) = &report.stats.last_stall {
            page.sample(name, &[("shard", &report.shard), ("stack", stack)], 1);
        }
    }
}

fn memory(page: &mut Page, reports: &[ShardReport]) {
    type PoolNumber = (&'static str, Kind, &'static str, fn(&PoolStats) -> u64);
    let numbers: [PoolNumber; 3] = [
        (
            "pool_reserved_bytes",
            Kind::Gauge,
            "Memory the buffer pool of a shard holds.",
            |p| p.reserved_bytes,
        ),
        (
            "pool_used_bytes",
            Kind::Gauge,
            "Memory of it that is in use.",
            |p| p.used_bytes,
        ),
        (
            "pool_foreign_frees_total",
            Kind::Counter,
            "Buffers given back by other shards.",
            |p| p.foreign_frees,
        ),
    ];
    for (name, kind, help, read) in numbers {
        let name = format!("forebay_{name}");
        page.metric(&name, kind, help);
        for report in reports {
            page.sample(&name, &[("shard", &report.shard)], read(&report.pool));
        }
    }
    type BudgetNumber = (&'static str, &'static str, fn(&BudgetReport) -> u64);
    let numbers: [BudgetNumber; 3] = [
        ("budget_bytes", "Size of a memory budget.", |b| {
            b.total_bytes
        }),
        (
            "budget_used_bytes",
            "Memory of a budget that is given out.",
            |b| b.used_bytes,
        ),
        (
            "budget_waiting",
            "Tasks that wait for memory of a budget.",
            |b| b.waiting as u64,
        ),
    ];
    for (name, help, read) in numbers {
        let name = format!("forebay_{name}");
        page.metric(&name, Kind::Gauge, help);
        for report in reports {
            for budget in &report.budgets {
                let labels = [("shard", report.shard.as_str()), ("budget", budget.name)];
                page.sample(&name, &labels, read(budget));
            }
        }
    }
}

/// Names every Prometheus client library uses.
fn process(page: &mut Page) {
    let usage = Usage::now();
    let name = "process_resident_memory_bytes";
    page.metric(name, Kind::Gauge, "Resident memory.");
    page.sample(name, &[], usage.resident_bytes);
    let name = "process_virtual_memory_bytes";
    page.metric(name, Kind::Gauge, "Virtual memory.");
    page.sample(name, &[], usage.virtual_bytes);
    let name = "process_cpu_seconds_total";
    page.metric(name, Kind::Counter, "CPU time, user and system.");
    page.sample(name, &[], usage.cpu.as_secs_f64());
    let name = "process_open_fds";
    page.metric(name, Kind::Gauge, "Open file descriptors.");
    page.sample(name, &[], usage.open_files);
    let name = "process_threads";
    page.metric(name, Kind::Gauge, "Threads.");
    page.sample(name, &[], usage.threads);
}

/// What /proc says of this process; zeroes where there is none.
#[derive(Default)]
struct Usage {
    resident_bytes: u64,
    virtual_bytes: u64,
    cpu: Duration,
    open_files: usize,
    threads: u64,
}

impl Usage {
    fn now() -> Self {
        // Linux' USER_HZ, which is 100 on every architecture Rust's std runs on.
        const TICK_MS: u64 = 10;
        let mut usage = Self::default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let number = line.and_then(|line| line.split_whitespace().next());
            number.and_then(|number| number.parse().ok()).unwrap_or(0)
        };
        usage.resident_bytes = field("VmRSS:") * 1024;
        usage.virtual_bytes = field("VmSize:") * 1024;
        usage.threads = field("Threads:");
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The fields behind the command, which may hold spaces: utime and stime are the 12th and 13th of them.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        let ticks = after.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|t| t.parse::<u64>().ok()).sum();
        usage.cpu = Duration::from_millis(ticks * TICK_MS);
        usage.open_files = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        usage
    }
}
