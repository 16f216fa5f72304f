//! What seeds found, each as a scenario of its own.

use base::{LeaderEpoch, Offset, PartitionIndex, PartitionKey, TimestampMs, TopicId};
use kafka::batch::{BatchBuilder, Compression};
use runtime::sim::{HostId, Sim, SimConfig};
use std::{future::Future, rc::Rc, time::Duration};
use storage::{Appended, Entry, EntryKind, Log, LogConfig, Store, StoreConfig};

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

fn key() -> PartitionKey {
    PartitionKey {
        topic: TopicId::from_random([7; 16]),
        partition: PartitionIndex(0),
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
    let store = store().await;
    let made = store.create(key(), LogConfig::default()).await;
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
    log.append(entry).expect("there is room")
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
            log.truncate(kept.last_offset.plus(1))
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
            log.on_durable(Box::new(move |durable| {
                assert!(
                    durable.log_epoch == epoch || durable.next_offset <= Offset(3),
                    "{durable:?}"
                );
            }));
            let other = PartitionKey {
                partition: PartitionIndex(1),
                ..key()
            };
            let store = store().await;
            let other = store.create(other, LogConfig::default()).await;
            append(&other.expect("there is room"), &[1], 10);
            append(&log, &[9], 10);
            log.truncate(Offset(3)).await.expect("there is room");
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
