//! Disk space: what a full disk refuses, and what retention, record deletion and deletion give back.

use std::{cell::Cell, path::Path, rc::Rc, time::Duration};

use base::{Offset, TimestampMs};
use kafka::batch::batches;
use runtime::sim::{DiskFaults, HostId, Sim, SimConfig};
use storage::{AppendError, Log, LogConfig, ReadError, Store, StoreConfig};

use crate::harness::{
    LIMIT, TempDir, append, batch, entry, key, machine, on_real_files, small, small_log,
};

fn faults(capacity_bytes: u64) -> DiskFaults {
    DiskFaults {
        capacity_bytes,
        ..DiskFaults::none()
    }
}

fn machine_with(capacity_bytes: u64, seed: u64) -> (Sim, HostId) {
    let mut config = SimConfig::new(seed);
    config.disk = faults(capacity_bytes);
    let sim = Sim::new(config);
    let host = sim.host("node", 1, || async {});
    (sim, host)
}

/// Values that name their offset, so that a reader knows what belongs where.
fn numbered(offset: i64, bytes: usize) -> Vec<u8> {
    let mut value = offset.to_le_bytes().to_vec();
    value.resize(bytes.max(8), offset as u8);
    batch(1, 1_000 + offset, &value)
}

/// Reads everything; gives the number of batches. Each stands where it belongs.
async fn check_all(log: &Log) -> i64 {
    let (mut at, end) = (log.log_start_offset(), log.durable().next_offset);
    let mut count = 0;
    while at < end {
        let read = log.read(at, end, 50_000, true).await.expect("reads");
        count += check_batches(&read.batches.to_vec());
        at = read.next_offset;
    }
    count
}

fn check_batches(bytes: &[u8]) -> i64 {
    let mut count = 0;
    for found in batches(bytes) {
        let (header, found) = found.expect("decodes");
        kafka::batch::for_each_record(found, 1 << 20, |record| {
            let value = record.value.as_ref().expect("a value");
            assert_eq!(value[..8], header.base_offset.0.to_le_bytes());
            true
        })
        .expect("decodes");
        count += 1;
    }
    count
}

/// Appends until the store refuses; gives the last offset that was acknowledged, plus one.
async fn append_until_full(log: &Rc<Log>, bytes: usize, pause: Duration) -> i64 {
    loop {
        runtime::sleep(pause).await;
        let next = log.next_offset().0;
        match log.append(entry(&numbered(next, bytes))) {
            Ok(appended) => {
                let wait = log.wait_durable(appended.log_epoch, appended.next_offset);
                // Without an answer it is not acknowledged; the client's time runs out.
                let _ = runtime::timeout(Duration::from_secs(2), wait).await;
            }
            Err(AppendError::Busy) => log.append_ready().await,
            Err(AppendError::Full { .. }) => return log.durable().next_offset.0,
            Err(error) => panic!("append: {error}"),
        }
    }
}

async fn append_again(log: &Log, bytes: usize, how: Freed) {
    let mut last = None;
    for _ in 0..200 {
        let next = log.next_offset().0;
        match log.append(entry(&numbered(next, bytes))) {
            Ok(appended) => {
                let durable = log.wait_durable(appended.log_epoch, appended.next_offset);
                assert!(durable.await);
                return;
            }
            Err(error @ (AppendError::Full { .. } | AppendError::Busy)) => {
                last = Some(error);
                runtime::sleep(Duration::from_millis(50)).await;
            }
            Err(error) => panic!("append: {error}"),
        }
    }
    panic!("{how:?}: ten seconds after space was freed still {last:?}");
}

fn config(free_bytes_min: u64) -> StoreConfig {
    StoreConfig {
        free_bytes_min,
        ..small(Path::new("/d"))
    }
}

#[derive(Clone, Copy, Debug)]
enum Freed {
    DeletedOther,
    DeletedSelf,
    Trimmed,
    Retained,
    LargerDisk,
}

/// Fills the disk through one log, frees space in some way, goes on, loses power, and compares.
fn fill_and_free(seed: u64, free_bytes_min: u64, bytes: usize, how: Freed) {
    let (sim, host) = machine_with(12 << 20, seed);
    let acknowledged = Rc::new(Cell::new(0));
    let seen = Rc::clone(&acknowledged);
    let filled = sim.run_on(host, LIMIT, async move {
        let (store, _) = Store::open(config(free_bytes_min)).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        let other = store.create(key(1), small_log()).await.expect("creates");
        for _ in 0..500 {
            let next = other.next_offset().0;
            append(&other, &numbered(next, 9000)).await;
        }
        // The free space is looked at every second: the reserve must outlast what comes in between.
        let pause = match free_bytes_min {
            0 => Duration::ZERO,
            _ => Duration::from_millis(50),
        };
        let end = append_until_full(&log, bytes, pause).await;
        seen.set(end);
        assert!(end > 0);
        assert_eq!(check_all(&log).await, end, "fetch goes on");
        assert_eq!(check_all(&other).await, 500);
        (store, log)
    });
    let (store, log) = filled.unwrap_or_else(|| panic!("{:?}", sim.fatal_reason(host)));
    if let Freed::LargerDisk = how {
        sim.set_disk_faults(host, faults(64 << 20));
    }
    let seen = Rc::clone(&acknowledged);
    let resumed = sim.run_on(host, LIMIT, async move {
        let mut log = log;
        match how {
            Freed::DeletedOther => store.delete(key(1)).await.expect("deletes"),
            Freed::DeletedSelf => {
                store.delete(key(0)).await.expect("deletes");
                log = store.create(key(0), small_log()).await.expect("creates");
            }
            Freed::Trimmed => {
                let half = Offset(log.durable().next_offset.0 / 2);
                log.set_committed(log.durable().next_index);
                assert_eq!(log.trim(half).await, Ok(half));
            }
            Freed::Retained => {
                log.set_config(LogConfig {
                    retention_bytes: 1 << 20,
                    ..small_log()
                });
                log.set_committed(log.durable().next_index);
                assert!(log.apply_retention(TimestampMs(0)).await.expect("retains") > 10);
            }
            Freed::LargerDisk => {}
        }
        for _ in 0..5 {
            append_again(&log, bytes, how).await;
        }
        seen.set(log.durable().next_offset.0);
        check_all(&log).await
    });
    let before = resumed.unwrap_or_else(|| panic!("{how:?}: {:?}", sim.fatal_reason(host)));
    sim.power_cut(host);
    // A start writes a new generation of the manifest, for which a disk filled to the brim has no room.
    sim.set_disk_faults(host, faults(64 << 20));
    sim.restart(host);
    let end = acknowledged.get();
    let after = sim.run_on(host, LIMIT, async move {
        let (store, report) = Store::open(config(free_bytes_min)).await.expect("opens");
        assert_eq!(report.quarantined, Vec::new());
        let log = store.get(key(0)).expect("durable");
        assert!(log.next_offset().0 >= end);
        let deleted = matches!(how, Freed::DeletedOther);
        assert_eq!(store.get(key(1)).is_none(), deleted);
        check_all(&log).await
    });
    assert!(after.expect("recovers") >= before, "{how:?}");
}

const WAYS: [Freed; 5] = [
    Freed::DeletedOther,
    Freed::DeletedSelf,
    Freed::Trimmed,
    Freed::Retained,
    Freed::LargerDisk,
];

#[test]
fn below_the_watermark_appends_are_refused_until_there_is_space() {
    for (seed, how) in WAYS.into_iter().enumerate() {
        fill_and_free(seed as u64, 512 << 10, 3000, how);
        fill_and_free(seed as u64, 512 << 10, 20_000, how);
    }
}

/// Without a watermark, writes themselves meet the full disk, also the roll of the very log that is deleted.
#[test]
fn a_disk_that_is_really_full_loses_nothing_and_resumes() {
    for (seed, how) in WAYS.into_iter().enumerate() {
        fill_and_free(seed as u64, 0, 3000, how);
        fill_and_free(seed as u64, 0, 20_000, how);
    }
}

/// Takes every page but those of the last `left` bytes.
async fn fill_but(left: u64) {
    let open = runtime::fs::Open {
        write: true,
        create: true,
        ..runtime::fs::Open::default()
    };
    let path = Path::new("/filler");
    if let Ok(file) = runtime::fs::File::open(path, open).await {
        let mut at = 0;
        while available().await > left && file.allocate(base::FilePos(at), 4096).await.is_ok() {
            at += 4096;
        }
    }
    assert_eq!(available().await, left);
}

async fn available() -> u64 {
    let space = runtime::fs::space(Path::new("/")).await;
    space.expect("a disk").available_bytes
}

/// A journal of one file cannot be written over: everything waited for a second one, for which the reserve was kept.
#[test]
fn a_home_with_little_room_gets_its_second_journal_file() {
    let (sim, host) = machine_with(8 << 20, 1);
    let done = sim.run_on(host, LIMIT, async {
        let config = config(64 << 10);
        let left = config.free_bytes_min + config.journal_file_bytes * 3 / 2;
        let rounds = 6 * config.journal_file_bytes / 4096;
        let (store, _) = Store::open(config).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        fill_but(left).await;
        for _ in 0..rounds {
            append_again(&log, 100, Freed::LargerDisk).await;
        }
        store.close().await;
        store.stats().journal_bytes
    });
    let bytes = done.unwrap_or_else(|| panic!("{:?}", sim.fatal_reason(host)));
    assert!(bytes > 3 * (256 << 10), "{bytes}");
}

#[test]
fn a_home_opens_on_a_disk_without_a_byte_left_and_deletion_frees_it() {
    for (seed, bytes) in [(1, 300), (2, 3000), (3, 20_000)] {
        let (sim, host) = machine_with(12 << 20, seed);
        let filled = sim.run_on(host, LIMIT, async move {
            let (store, _) = Store::open(config(0)).await.expect("opens");
            let log = store.create(key(0), small_log()).await.expect("creates");
            let other = store.create(key(1), small_log()).await.expect("creates");
            for _ in 0..300 {
                let next = other.next_offset().0;
                append(&other, &numbered(next, 9000)).await;
            }
            let end = append_until_full(&log, bytes, Duration::ZERO).await;
            fill_but(0).await;
            end
        });
        let end = filled.unwrap_or_else(|| panic!("{:?}", sim.fatal_reason(host)));
        // More than once: a start must not use up what the next one needs.
        for _ in 0..3 {
            sim.power_cut(host);
            sim.restart(host);
            let served = sim.run_on(host, LIMIT, async move {
                fill_but(0).await;
                let (store, report) = Store::open(config(0)).await.expect("opens");
                assert_eq!(report.quarantined, Vec::new());
                let log = store.get(key(0)).expect("durable");
                assert!(log.next_offset().0 >= end, "{}", log.next_offset());
                check_all(&log).await;
                assert_eq!(check_all(&store.get(key(1)).expect("durable")).await, 300);
                runtime::set_local(store);
            });
            served.unwrap_or_else(|| panic!("{bytes}: {:?}", sim.fatal_reason(host)));
        }
        let resumed = sim.run_on(host, LIMIT, async move {
            let store = runtime::local::<Store>().expect("open");
            store.delete(key(1)).await.expect("deletes");
            let log = store.get(key(0)).expect("durable");
            append_again(&log, bytes, Freed::DeletedOther).await;
            log.durable().next_offset.0
        });
        let end = resumed.unwrap_or_else(|| panic!("{bytes}: {:?}", sim.fatal_reason(host)));
        sim.power_cut(host);
        sim.restart(host);
        let next = sim.run_on(host, LIMIT, async {
            let (store, _) = Store::open(config(0)).await.expect("opens");
            assert!(store.get(key(1)).is_none());
            let log = store.get(key(0)).expect("durable");
            check_all(&log).await;
            log.next_offset().0
        });
        assert!(next.expect("recovers") >= end, "{bytes}");
    }
}

#[test]
fn a_home_on_a_full_disk_closes_and_keeps_what_its_journal_has() {
    for bytes in [300, 3000, 20_000] {
        let (sim, host) = machine_with(12 << 20, 5);
        let end = sim.run_on(host, LIMIT, async move {
            let (store, _) = Store::open(config(0)).await.expect("opens");
            let log = store.create(key(0), small_log()).await.expect("creates");
            let end = append_until_full(&log, bytes, Duration::ZERO).await;
            store.close().await;
            end
        });
        let end = end.unwrap_or_else(|| panic!("{:?}", sim.fatal_reason(host)));
        sim.power_cut(host);
        sim.set_disk_faults(host, faults(64 << 20));
        sim.restart(host);
        let found = sim.run_on(host, LIMIT, async {
            let (store, _) = Store::open(config(0)).await.expect("opens");
            check_all(&store.get(key(0)).expect("created")).await
        });
        assert!(found.expect("recovers") >= end, "{bytes}");
    }
}

/// A write that had given up for want of space was forgotten, and with it what was to make room in the ring.
#[test]
fn a_home_with_a_ring_full_of_states_closes_on_a_full_disk() {
    let tiny = || StoreConfig {
        journal_file_bytes: 64 << 10,
        journal_files_max: 2,
        ..config(0)
    };
    let (sim, host) = machine_with(4 << 20, 6);
    let state = |number: u32| number.to_be_bytes().repeat(1000);
    let done = sim.run_on(host, LIMIT, async move {
        let (store, _) = Store::open(tiny()).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        for _ in 0..6 {
            append_again(&log, 300, Freed::LargerDisk).await;
        }
        runtime::sleep(Duration::from_secs(1)).await;
        fill_but(0).await;
        let mut asked = Vec::new();
        for number in 0..40 {
            asked.push(log.save_state(&state(number)));
            runtime::sleep(Duration::from_millis(20)).await;
        }
        let closes = runtime::timeout(Duration::from_secs(20), store.close());
        assert!(closes.await.is_ok(), "closing does not end");
        let mut saved = 0;
        for saving in asked {
            match saving.await {
                Ok(()) => saved += 1,
                Err(error) => assert_eq!(error, AppendError::Closed),
            }
        }
        (saved, log.durable().next_offset)
    });
    let (saved, next) = done.unwrap_or_else(|| panic!("{:?}", sim.fatal_reason(host)));
    assert!((1..40).contains(&saved), "{saved}");
    sim.power_cut(host);
    sim.set_disk_faults(host, faults(64 << 20));
    sim.restart(host);
    let found = sim.run_on(host, LIMIT, async move {
        let (store, report) = Store::open(tiny()).await.expect("opens");
        assert_eq!(report.quarantined, Vec::new());
        let log = store.get(key(0)).expect("created");
        (log.next_offset(), log.state().map(|state| state.to_vec()))
    });
    let (found_next, found_state) = found.expect("recovers");
    assert_eq!(found_next, next);
    let least = (saved - 1..40)
        .map(state)
        .any(|state| Some(state) == found_state);
    assert!(least, "an old state");
}

/// Bytes in files under a home's `segments`.
fn segment_bytes(sim: &Sim, host: HostId) -> u64 {
    let files = sim.files(host);
    let segments = files.iter().filter(|(name, _)| name.contains("/segments/"));
    segments.map(|(_, bytes)| bytes).sum()
}

/// Readers go through a log from its start, again and again, while it is appended to and cut at its front.
async fn read_while_cut(log: Rc<Log>, by_time: bool) {
    let done = Rc::new(Cell::new(false));
    let mut readers = Vec::new();
    for reader in 0..3 {
        let (log, done) = (Rc::clone(&log), Rc::clone(&done));
        let task = runtime::spawn(runtime::Class::Fetch, "reader", async move {
            let (mut rounds, mut seen) = (0, 0);
            while !done.get() || rounds == 0 {
                let mut at = log.log_start_offset();
                loop {
                    let end = log.durable().next_offset;
                    if at >= end {
                        break;
                    }
                    match log.read(at, end, 700 * (reader + 1), true).await {
                        Ok(read) => {
                            seen += check_batches(&read.batches.to_vec());
                            at = read.next_offset;
                        }
                        Err(ReadError::OutOfRange { start, .. }) => {
                            assert!(start > at, "{at} was refused, the log starts at {start}");
                            at = start;
                        }
                        Err(error) => panic!("read at {at}: {error}"),
                    }
                }
                rounds += 1;
                runtime::yield_now().await;
            }
            seen
        });
        readers.push(task);
    }
    for round in 0..400 {
        let next = log.next_offset().0;
        append(&log, &numbered(next, 900 + 37 * (round % 100))).await;
        log.set_committed(log.durable().next_index);
        if round % 20 == 19 {
            let now = if by_time { 1_000 + next } else { 0 };
            log.apply_retention(TimestampMs(now))
                .await
                .expect("retains");
        }
        if round % 50 == 49 {
            let to = log.log_start_offset().plus(7);
            log.trim(to).await.expect("trims");
        }
    }
    done.set(true);
    for reader in readers {
        assert!(reader.await.expect("reads") > 0);
    }
}

#[test]
fn retention_by_size_bounds_the_disk_while_readers_read() {
    for seed in 0..4 {
        let (sim, host) = machine_with(64 << 20, seed);
        let done = sim.run_on(host, LIMIT, async {
            let (store, _) = Store::open(config(0)).await.expect("opens");
            let retained = LogConfig {
                retention_bytes: 200 << 10,
                ..small_log()
            };
            let log = store.create(key(0), retained).await.expect("creates");
            read_while_cut(Rc::clone(&log), false).await;
            let stats = log.stats();
            // What only the journal has counts, and cannot be removed yet.
            assert!(stats.bytes < 520 << 10, "{stats:?}");
            runtime::sleep(Duration::from_secs(1)).await;
            store
        });
        assert!(done.is_some(), "{:?}", sim.fatal_reason(host));
        let bytes = segment_bytes(&sim, host);
        assert!(bytes < 600 << 10, "{bytes} bytes of segments are left");
    }
}

#[test]
fn retention_by_time_removes_what_is_older_and_rolls_by_age() {
    for seed in 0..4 {
        let (sim, host) = machine_with(64 << 20, seed);
        let done = sim.run_on(host, LIMIT, async {
            let (store, _) = Store::open(config(0)).await.expect("opens");
            // A batch's timestamp is a thousand plus its offset.
            let retained = LogConfig {
                retention_ms: 100,
                segment_ms: 60_000,
                ..small_log()
            };
            let log = store.create(key(0), retained).await.expect("creates");
            read_while_cut(Rc::clone(&log), true).await;
            let (start, next) = (log.log_start_offset().0, log.next_offset().0);
            assert!((next - 200..next - 60).contains(&start), "{start}..{next}");
            // Everything has expired, the active segment's content, too.
            log.wait_durable(log.log_epoch(), log.next_offset()).await;
            log.set_committed(log.next_index());
            log.apply_retention(TimestampMs(10_000))
                .await
                .expect("retains");
            assert_eq!(log.log_start_offset(), log.next_offset());
            assert_eq!(check_all(&log).await, 0);
            // Age rolls a segment although nothing in it has expired.
            log.set_config(LogConfig {
                segment_ms: 60_000,
                ..small_log()
            });
            let next = log.next_offset().0;
            append(&log, &numbered(next, 20_000)).await;
            runtime::sleep(Duration::from_secs(1)).await;
            let now = runtime::wall();
            log.apply_retention(now).await.expect("retains");
            let before = log.segments_begun();
            runtime::sleep(Duration::from_secs(61)).await;
            log.apply_retention(runtime::wall()).await.expect("retains");
            assert!(log.segments_begun() > before, "not rolled by age");
            store
        });
        assert!(done.is_some(), "{:?}", sim.fatal_reason(host));
        let bytes = segment_bytes(&sim, host);
        assert!(bytes < 200 << 10, "{bytes} bytes of segments are left");
    }
}

#[test]
fn the_ring_is_used_again_and_deletion_gives_everything_back() {
    let (sim, host) = machine_with(64 << 20, 3);
    let done = sim.run_on(host, LIMIT, async {
        let (store, _) = Store::open(config(0)).await.expect("opens");
        let mut logs = Vec::new();
        for partition in 0..8 {
            logs.push(
                store
                    .create(key(partition), small_log())
                    .await
                    .expect("creates"),
            );
        }
        // Many times what the ring holds, in batches too small to go straight to a segment.
        for _ in 0..600 {
            for log in &logs {
                let next = log.next_offset().0;
                append(log, &numbered(next, 700)).await;
            }
        }
        assert!(store.stats().journal_bytes > 1 << 20, "{:?}", store.stats());
        for partition in 0..8 {
            store.delete(key(partition)).await.expect("deletes");
        }
        runtime::sleep(Duration::from_secs(1)).await;
        store
    });
    assert!(done.is_some(), "{:?}", sim.fatal_reason(host));
    assert_eq!(segment_bytes(&sim, host), 0);
    let journal = sim.files(host);
    let journal = journal
        .iter()
        .filter(|(name, _)| name.ends_with(".journal"));
    assert!(journal.count() <= 3);
}

/// The blocks a directory's files really take.
fn allocated(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(dir).expect("lists");
    let sizes =
        entries.map(|entry| entry.expect("lists").metadata().expect("exists").blocks() * 512);
    sizes.sum()
}

#[test]
fn real_files_give_their_blocks_back() {
    let dir = TempDir::new("space");
    let path = dir.path().to_path_buf();
    on_real_files(move || async move {
        let (store, _) = Store::open(small(&path)).await.expect("opens");
        let retained = LogConfig {
            retention_bytes: 200 << 10,
            ..small_log()
        };
        let log = store.create(key(0), retained).await.expect("creates");
        read_while_cut(Rc::clone(&log), false).await;
        let other = store.create(key(1), small_log()).await.expect("creates");
        for _ in 0..100 {
            let next = other.next_offset().0;
            append(&other, &numbered(next, 10_000)).await;
        }
        runtime::sleep(Duration::from_millis(200)).await;
        let before = allocated(&path.join("home-0/segments"));
        store.delete(key(1)).await.expect("deletes");
        runtime::sleep(Duration::from_millis(200)).await;
        let after = allocated(&path.join("home-0/segments"));
        assert!(
            before > after + (900 << 10),
            "{before} before, {after} after"
        );
        assert!(after < 700 << 10, "{after} bytes are left");
        store.close().await;
    });
}

#[test]
fn a_batch_above_the_limit_is_refused_and_the_log_goes_on() {
    let dir = TempDir::new("too-large");
    let path = dir.path().to_path_buf();
    on_real_files(move || async move {
        let (store, _) = Store::open(small(&path)).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        let value = vec![0; base::limits::BATCH_BYTES_MAX];
        let refused = log.append(entry(&batch(1, 1_000, &value)));
        assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
        append(&log, &numbered(0, 100)).await;
        store.close().await;
    });
}

/// Neither fills half of the cache, together they do not fit: the first must go to its segment for the second.
#[test]
fn a_large_entry_behind_one_that_waits_in_the_journal_finds_room() {
    let (sim, host) = machine(7);
    let both = sim.run_on(host, LIMIT, async {
        let config = StoreConfig {
            cache_bytes: 20 << 10,
            direct_bytes_min: 60 << 10,
            ..small(Path::new("/d"))
        };
        let (store, _) = Store::open(config).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        append(&log, &batch(1, 1, &[1; 9 << 10])).await;
        append(&log, &batch(1, 1, &[1; 15 << 10])).await;
    });
    assert!(both.is_some(), "the second entry waits for ever");
}
