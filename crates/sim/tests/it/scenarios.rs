//! What seeds found, each as a scenario of its own.

use base::{LeaderEpoch, Offset, PartitionIndex, PartitionKey, RaftIndex, TimestampMs, TopicId};
use kafka::batch::{BatchBuilder, Compression};
use runtime::sim::{DiskFaults, HostId, Sim, SimConfig};
use std::{cell::Cell, future::Future, rc::Rc, time::Duration};
use storage::{AppendError, Appended, Entry, EntryKind, Log, LogConfig, Store, StoreConfig};

const LIMIT: Duration = Duration::from_secs(10);
const DIRECT_BYTES: usize = 4 << 10;

fn config() -> StoreConfig {
    StoreConfig {
        dir: "/data".into(),
        journal_file_bytes: 64 << 10,
        journal_files_max: 3,
        direct_bytes_min: DIRECT_BYTES,
        cache_bytes: 1 << 20,
        free_bytes_min: 64 << 10,
        free_bytes_warn: 128 << 10,
        ..StoreConfig::default()
    }
}

/// A machine that opens a store at each start and keeps it where `log` finds it.
fn machine(seed: u64) -> (Sim, HostId) {
    let sim = Sim::new(SimConfig::new(seed));
    let host = sim.host("store", 1, || async {
        let opened = Store::open(config()).await;
        let (store, report) = opened.expect("a sound disk");
        assert!(report.quarantined.is_empty(), "{report:?}");
        runtime::set_local(store);
    });
    (sim, host)
}

async fn store() -> Rc<Store> {
    loop {
        match runtime::local::<Store>() {
            Some(store) => return store,
            None => runtime::sleep(Duration::from_micros(100)).await,
        }
    }
}

async fn log() -> Rc<Log> {
    partition(&store().await, 0).await
}

async fn partition(store: &Rc<Store>, number: i32) -> Rc<Log> {
    let key = PartitionKey {
        topic: TopicId::from_random([7; 16]),
        partition: PartitionIndex(number),
    };
    let made = store.create(key, LogConfig::default()).await;
    made.expect("there is room")
}

fn run<F: Future + 'static>(sim: &Sim, host: HostId, script: F) -> F::Output
where
    F::Output: 'static,
{
    let output = sim.run_on(host, LIMIT, script);
    output.unwrap_or_else(|| panic!("the script ends: {:?}", sim.fatal_reason(host)))
}

/// One batch with a record of `bytes` for each timestamp.
fn append(log: &Log, timestamps: &[i64], bytes: usize) -> Appended {
    try_append(log, timestamps, bytes).expect("there is room")
}

fn try_append(log: &Log, timestamps: &[i64], bytes: usize) -> Result<Appended, AppendError> {
    let mut builder = BatchBuilder::new(Compression::None);
    let value = vec![1_u8; bytes];
    for timestamp in timestamps {
        builder.push(TimestampMs(*timestamp), None, Some(&value), &[]);
    }
    let batch = builder.finish();
    let entry = Entry {
        kind: EntryKind::Records,
        leader_epoch: LeaderEpoch(0),
        batch: &batch,
        record_count: timestamps.len() as u32,
        max_timestamp: TimestampMs(timestamps.iter().copied().max().unwrap_or(-1)),
    };
    log.append(entry)
}

async fn durable(log: &Log) {
    let lasts = log.wait_durable(log.log_epoch(), log.next_offset()).await;
    assert!(lasts, "nothing was truncated");
}

/// The directories of a first start that was killed were there at the second one, but their names were not durable.
#[test]
fn a_first_start_that_is_killed_leaves_nothing_to_chance() {
    for killed_after in (0..6000).step_by(100) {
        let (sim, host) = machine(killed_after);
        sim.run_for(Duration::from_micros(killed_after));
        sim.kill(host);
        sim.restart(host);
        run(&sim, host, async {
            let log = log().await;
            append(&log, &[1], 10);
            durable(&log).await;
        });
        sim.power_cut(host);
        sim.restart(host);
        let next = run(&sim, host, async { log().await.next_offset() });
        assert_eq!(next, Offset(1), "killed after {killed_after} µs");
    }
}

/// The write that was to bring a large batch into its segment was dropped with what the truncation cut off.
#[test]
fn truncation_keeps_what_is_on_its_way_to_a_segment() {
    for seed in 0..20 {
        let (sim, host) = machine(seed);
        run(&sim, host, async {
            let log = log().await;
            append(&log, &[1], 10);
            append(&log, &[2], 2 * DIRECT_BYTES);
            let kept = append(&log, &[3], 2 * DIRECT_BYTES);
            append(&log, &[4], 10);
            append(&log, &[5], 2 * DIRECT_BYTES);
            log.truncate(kept.index.next())
                .await
                .expect("there is room");
            append(&log, &[6], 10);
            durable(&log).await;
        });
        sim.power_cut(host);
        sim.restart(host);
        let next = run(&sim, host, async { log().await.next_offset() });
        assert_eq!(next, Offset(4), "seed {seed}");
    }
}

/// While segments were still to be cut, a commit moved the durable position of the new log epoch over the cut.
#[test]
fn durable_stays_below_a_truncation_under_way() {
    for seed in 0..20 {
        let (sim, host) = machine(seed);
        run(&sim, host, async {
            let log = log().await;
            for at in 0..8 {
                append(&log, &[at], DIRECT_BYTES);
            }
            durable(&log).await;
            let epoch = log.log_epoch();
            log.on_durable(Rc::new(move |durable| {
                assert!(
                    durable.log_epoch == epoch || durable.next_offset <= Offset(3),
                    "{durable:?}"
                );
            }));
            let other = partition(&store().await, 1).await;
            append(&other, &[1], 10);
            append(&log, &[9], 10);
            log.truncate(RaftIndex(4)).await.expect("there is room");
        });
    }
}

/// The largest timestamp was looked for among deleted records, and then not found among the others.
#[test]
fn the_largest_timestamp_is_one_that_is_not_deleted() {
    let (sim, host) = machine(1);
    let found = run(&sim, host, async {
        let log = log().await;
        append(&log, &[50, 90, 70], 10);
        durable(&log).await;
        log.set_committed(log.next_index());
        log.trim(Offset(2)).await.expect("there is room");
        log.max_timestamp(Offset(3)).await.expect("it is readable")
    });
    let found = found.map(|found| (found.offset, found.timestamp));
    assert_eq!(found, Some((Offset(2), TimestampMs(70))));
}

/// A snapshot that a killed process had put in place was loaded and built on, and a power cut took it away.
#[test]
fn a_snapshot_that_was_loaded_stays() {
    for killed_after in (0..3000).step_by(50) {
        let (sim, host) = machine(killed_after);
        run(&sim, host, async {
            let log = log().await;
            append(&log, &[1], 10);
            durable(&log).await;
        });
        sim.spawn_on(host, "save", async {
            let saved = log().await.save_snapshot(Offset(1), vec![1, 2, 3]).await;
            saved.expect("there is room");
        });
        sim.run_for(Duration::from_micros(killed_after));
        sim.kill(host);
        sim.restart(host);
        let load = || async { log().await.load_snapshot().await.expect("it is readable") };
        let before = run(&sim, host, load());
        sim.power_cut(host);
        sim.restart(host);
        let after = run(&sim, host, load());
        assert!(
            before.is_none() || after == before,
            "killed after {killed_after} µs: {before:?} became {after:?}"
        );
    }
}

/// What stays of the chunk that a truncation goes through was listed by the manifest before it was written.
#[test]
fn a_truncation_that_is_cut_off_loses_nothing_before_it() {
    for cut_after in (0..3000).step_by(25) {
        let (sim, host) = machine(cut_after);
        run(&sim, host, async {
            let log = log().await;
            for at in 0..8 {
                append(&log, &[at], 10);
            }
            // One chunk of the segment holds all of them.
            append(&log, &[8], DIRECT_BYTES);
            append(&log, &[9], 10);
            durable(&log).await;
            // Until the journal has forgotten them.
            let other = partition(&store().await, 1).await;
            for at in 0..60 {
                append(&other, &[at], 10);
                durable(&other).await;
            }
        });
        sim.spawn_on(host, "truncate", async {
            log()
                .await
                .truncate(RaftIndex(6))
                .await
                .expect("there is room");
        });
        sim.run_for(Duration::from_micros(cut_after));
        sim.power_cut(host);
        sim.restart(host);
        let next = run(&sim, host, async { log().await.next_offset() });
        assert!(next >= Offset(5), "cut after {cut_after} µs: {next}");
    }
}

/// An append that came while a log was being truncated got an offset of a log epoch that was not durable yet.
#[test]
fn appends_wait_for_a_truncation() {
    for cut_after in (0..3000).step_by(50) {
        let (sim, host) = machine(cut_after);
        run(&sim, host, async {
            let log = log().await;
            for at in 0..8 {
                append(&log, &[at], DIRECT_BYTES);
            }
            durable(&log).await;
        });
        let acknowledged = Rc::new(Cell::new(Offset(0)));
        let seen = acknowledged.clone();
        sim.spawn_on(host, "truncate", async {
            log()
                .await
                .truncate(RaftIndex(6))
                .await
                .expect("there is room");
        });
        sim.spawn_on(host, "append", async move {
            let log = log().await;
            while log.log_epoch().0 == 0 {
                runtime::yield_now().await;
            }
            while let Err(error) = try_append(&log, &[9], 10) {
                assert_eq!(error, AppendError::Busy);
                log.append_ready().await;
            }
            durable(&log).await;
            seen.set(log.durable().next_offset);
        });
        sim.run_for(Duration::from_micros(cut_after));
        sim.power_cut(host);
        sim.restart(host);
        let next = run(&sim, host, async { log().await.next_offset() });
        let least = acknowledged.get();
        assert!(next >= least, "cut after {cut_after} µs: {next} of {least}");
    }
}

/// The home waited for its journal to be written while the ring was full, and those that empty it had ended.
#[test]
fn closing_ends_with_a_full_ring() {
    for seed in 0..60 {
        let (sim, host) = machine(seed);
        run(&sim, host, async move {
            let store = store().await;
            let mut logs = Vec::new();
            for number in 0..24 {
                logs.push(partition(&store, number).await);
            }
            // So many logs that the few tasks that empty the ring have a queue when the home closes.
            for at in 0..20 + seed {
                for log in &logs {
                    let _ = try_append(log, &[at as i64], 300);
                }
                runtime::sleep(Duration::from_micros(100)).await;
            }
            store.close().await;
        });
    }
}

/// A read that failed once during recovery refused its partition, and if the journal held more of it, for good.
#[test]
fn a_read_that_fails_once_is_no_damage() {
    let (sim, host) = machine(3);
    run(&sim, host, async {
        let log = log().await;
        for at in 0..20 {
            append(&log, &[at], if at % 2 == 0 { 10 } else { DIRECT_BYTES });
        }
        durable(&log).await;
    });
    sim.set_disk_faults(
        host,
        DiskFaults {
            read_error: 0.1,
            ..SimConfig::new(3).disk
        },
    );
    for _ in 0..20 {
        sim.power_cut(host);
        sim.restart(host);
        let next = run(&sim, host, async {
            let log = log().await;
            let read = log.read(Offset(0), log.next_offset(), 1 << 20, true).await;
            read.expect("it is readable").next_offset
        });
        assert!(next > Offset(0));
    }
}

/// Two saves of one log renamed each other's temporary file away, and an older one came to lie over a newer one.
#[test]
fn snapshots_are_saved_one_after_the_other() {
    for seed in 0..20 {
        let (sim, host) = machine(seed);
        run(&sim, host, async {
            let log = log().await;
            append(&log, &[1, 2, 3], 10);
            durable(&log).await;
        });
        for at in [2, 3, 1] {
            sim.spawn_on(host, "save", async move {
                let saved = log().await.save_snapshot(Offset(at), vec![at as u8]).await;
                saved.expect("there is room");
            });
        }
        sim.run_for(Duration::from_millis(50));
        let load = || async { log().await.load_snapshot().await.expect("it is readable") };
        assert_eq!(
            run(&sim, host, load()),
            Some((Offset(3), vec![3])),
            "seed {seed}: {:?}",
            sim.fatal_reason(host)
        );
    }
}
