//! What a raft group asks of its log: entries without offsets, cuts by index, and states that last.

use std::{path::Path, rc::Rc, time::Duration};

use base::{LeaderEpoch, LogEpoch, Offset, RaftIndex, TimestampMs};
use kafka::batch::batches;
use runtime::sim::{DiskFaults, Sim, SimConfig};
use storage::{
    AppendError, Appended, Entry, EntryKind, Log, LogConfig, LogStart, OpenError, ReadError,
    STATE_BYTES_MAX, Store, StoreConfig, empty_batch, payload_of,
};

use crate::harness::{LIMIT, append, batch, crash, entry, key, machine, run, small, small_log};

fn config() -> StoreConfig {
    small(Path::new("/d"))
}

async fn opened() -> Rc<Store> {
    let (store, report) = Store::open(config()).await.expect("opens");
    assert_eq!(report.quarantined, Vec::new());
    store
}

/// Appends an entry that takes no offset.
fn append_empty(log: &Log, kind: EntryKind, leader_epoch: i32, payload: &[u8]) -> Appended {
    let batch = empty_batch(payload);
    log.append(Entry {
        kind,
        leader_epoch: LeaderEpoch(leader_epoch),
        batch: &batch,
        record_count: 0,
        max_timestamp: TimestampMs(-1),
    })
    .expect("there is room")
}

fn append_in(log: &Log, leader_epoch: i32, bytes: &[u8]) -> Appended {
    let entry = Entry {
        leader_epoch: LeaderEpoch(leader_epoch),
        ..entry(bytes)
    };
    log.append(entry).expect("there is room")
}

async fn durable(log: &Log) {
    let lasts = log.wait_durable(log.log_epoch(), log.next_offset()).await;
    assert!(lasts, "nothing was truncated");
    while log.durable().next_index < log.next_index() {
        runtime::sleep(Duration::from_millis(1)).await;
    }
}

/// Until segments hold what the journal has, and its ring files were written over.
async fn wear_out_the_ring(store: &Store) {
    let other = store.create(key(99), small_log()).await.expect("creates");
    for _ in 0..400 {
        append(&other, &batch(1, 1, &[1; 3000])).await;
        let next = other.next_offset();
        other.wait_durable(other.log_epoch(), next).await;
    }
}

/// Base offsets of all that a client reads.
async fn served(log: &Log) -> Vec<i64> {
    let (mut at, end) = (log.log_start_offset(), log.next_offset());
    let mut found = Vec::new();
    while at < end {
        let read = log.read(at, end, 700, true).await.expect("reads");
        for found_batch in batches(&read.batches.to_vec()) {
            found.push(found_batch.expect("decodes").0.base_offset.0);
        }
        at = read.next_offset;
    }
    found
}

/// Index, base offset and records of every entry.
async fn entries(log: &Log, entries_max: usize) -> Vec<(u64, i64, u32)> {
    let mut at = log.start().index.next();
    let mut found = Vec::new();
    while at < log.next_index() {
        let read = log.read_entries(at, entries_max, 9000).await;
        let read = read.expect("reads");
        assert!(!read.is_empty() && read.len() <= entries_max);
        for entry in read {
            assert_eq!(entry.index, at, "contiguous");
            at = at.next();
            found.push((entry.index.0, entry.base_offset.0, entry.record_count));
        }
    }
    found
}

#[test]
fn entries_without_offsets_last_and_no_reader_sees_them() {
    let (sim, host) = machine(1);
    let expected = run(&sim, host, async {
        let store = opened().await;
        let log = store.create(key(0), small_log()).await.expect("creates");
        let mut expected = Vec::new();
        for round in 0..60 {
            let base = log.next_offset();
            // Large ones go straight to the segment, and some segments hold nothing else.
            let payload = vec![round as u8; if round % 3 == 0 { 20_000 } else { 10 }];
            let kinds = [EntryKind::TermStart, EntryKind::Configuration];
            for kind in &kinds[..round % 3] {
                let appended = append_empty(&log, *kind, round as i32, &payload);
                assert_eq!((appended.base_offset, appended.next_offset), (base, base));
                expected.push((appended.index.0, base.0, 0));
            }
            if round == 30 {
                for _ in 0..8 {
                    let appended = append_empty(&log, kinds[0], 30, &[0; 20_000]);
                    expected.push((appended.index.0, base.0, 0));
                    durable(&log).await;
                }
            }
            let appended = append_in(&log, round as i32, &batch(2, 1_000, &payload));
            assert_eq!(appended.next_offset, base.plus(2));
            expected.push((appended.index.0, base.0, 2));
            if round % 7 == 0 {
                durable(&log).await;
            }
        }
        durable(&log).await;
        assert_eq!(log.next_offset(), Offset(120));
        assert_eq!(expected[0].0, 1, "the first entry has index 1");
        expected
    });
    for wears_out in [false, true, false] {
        let expected = expected.clone();
        run(&sim, host, async move {
            let store = opened().await;
            let log = store.create(key(0), small_log()).await.expect("there");
            let bases: Vec<i64> = (0..60).map(|round| round * 2).collect();
            assert_eq!(served(&log).await, bases);
            assert_eq!(entries(&log, 100).await, expected);
            assert_eq!(entries(&log, 1).await, expected);
            let found = log.offset_for_timestamp(TimestampMs(1_001), log.next_offset());
            let found = found.await.expect("looks up");
            assert_eq!(found.map(|found| found.offset), Some(Offset(1)));
            let newest = log.max_timestamp(log.next_offset()).await.expect("reads");
            assert_eq!(
                newest.map(|found| found.timestamp),
                Some(TimestampMs(1_001))
            );
            let epochs = log.leader_epochs();
            assert_eq!(epochs.len(), 60);
            for (epoch, index, offset) in epochs {
                let first = expected.iter().find(|(i, ..)| *i == index.0);
                let first = first.expect("held");
                assert_eq!((first.1, i64::from(epoch.0) * 2), (offset.0, offset.0));
            }
            if wears_out {
                wear_out_the_ring(&store).await;
                store.close().await;
            }
        });
        crash(&sim, host);
    }
}

#[test]
fn epochs_mean_what_they_mean_to_kafka() {
    let (sim, host) = machine(2);
    run(&sim, host, async {
        let store = opened().await;
        let log = store.create(key(0), small_log()).await.expect("creates");
        append_in(&log, 1, &batch(5, 1, b"a"));
        // Epochs 3 and 4 take no offset.
        for epoch in [3, 4, 6] {
            append_empty(&log, EntryKind::TermStart, epoch, b"");
        }
        let answers = |log: &Log, epoch: i32| {
            let found = log.end_of_epoch(LeaderEpoch(epoch));
            found.map(|(epoch, offset)| (epoch.0, offset.0))
        };
        for (epoch, end) in [
            (0, None),
            (1, Some((1, 5))),
            (4, Some((1, 5))),
            (7, Some((6, 5))),
        ] {
            assert_eq!(answers(&log, epoch), end, "epoch {epoch}");
        }
        append_in(&log, 6, &batch(2, 1, b"b"));
        assert_eq!(answers(&log, 5), Some((1, 5)));
        assert_eq!(answers(&log, 6), Some((6, 7)));
        assert_eq!(log.epoch_at(Offset(4)), Some(LeaderEpoch(1)));
        assert_eq!(log.epoch_at(Offset(5)), Some(LeaderEpoch(6)));
    });
}

#[test]
fn cuts_go_between_entries_of_one_offset() {
    for flushed in [false, true] {
        for cut in 1..=7 {
            let (sim, host) = machine(cut);
            run(&sim, host, async move {
                let store = opened().await;
                let log = store.create(key(0), small_log()).await.expect("creates");
                append_in(&log, 1, &batch(3, 1, b"a"));
                for epoch in [2, 3, 4] {
                    append_empty(&log, EntryKind::TermStart, epoch, &[epoch as u8]);
                }
                append_in(&log, 4, &batch(3, 1, b"b"));
                append_empty(&log, EntryKind::Configuration, 4, b"");
                durable(&log).await;
                if flushed {
                    wear_out_the_ring(&store).await;
                }
                let now = log.truncate(RaftIndex(cut)).await.expect("truncates");
                assert_eq!(now, LogEpoch(1));
                assert_eq!(log.next_index(), RaftIndex(cut));
            });
            let offsets = [0, 3, 3, 3, 3, 6, 6];
            let next = Offset(offsets[cut as usize - 1]);
            for round in 0..2 {
                crash(&sim, host);
                run(&sim, host, async move {
                    let store = opened().await;
                    let log = store.get(key(0)).expect("created");
                    let index = RaftIndex(cut + round);
                    assert_eq!((log.next_offset(), log.next_index()), (next, index));
                    let epochs = log.leader_epochs();
                    assert!(epochs.iter().all(|(_, first, _)| *first < index));
                    let last = append_empty(&log, EntryKind::TermStart, 9, b"new");
                    assert_eq!(last.index, index);
                    durable(&log).await;
                });
            }
        }
    }
}

#[test]
fn the_start_knows_index_and_epoch() {
    let (sim, host) = machine(4);
    let start = run(&sim, host, async {
        let store = opened().await;
        let log = store.create(key(0), small_log()).await.expect("creates");
        assert_eq!(log.start(), LogStart::default());
        for round in 0..80 {
            append_empty(&log, EntryKind::TermStart, round / 8, b"");
            append_in(&log, round / 8, &batch(3, 1, &[7; 3000]));
            durable(&log).await;
        }
        let record_bytes = batch(3, 1, &[7; 3000]).len() as u64;
        wear_out_the_ring(&store).await;
        // Nothing is committed, so nothing goes.
        assert_eq!(log.trim(Offset(100)).await, Ok(Offset(0)));
        for (index, offset) in [(7, 9), (41, 60)] {
            // No matter whether it is still in memory.
            assert_eq!(log.set_committed(RaftIndex(index)), Offset(offset));
            assert_eq!(
                log.committed_bytes(),
                offset.cast_unsigned() / 3 * record_bytes
            );
            assert_eq!(log.trim(Offset(200)).await, Ok(Offset(offset)));
        }
        log.set_committed(log.next_index());
        assert_eq!(log.trim(Offset(100)).await, Ok(Offset(100)));
        log.start()
    });
    // The segments before the one that holds offset 100, which stands inside an entry.
    assert!(start.index > RaftIndex(40) && start.index < RaftIndex(68));
    assert!(start.next_offset > Offset(60) && start.next_offset < start.offset);
    for _ in 0..2 {
        crash(&sim, host);
        run(&sim, host, async move {
            let store = opened().await;
            let log = store.get(key(0)).expect("created");
            assert_eq!(log.start(), start);
            let first = log.read_entries(start.index.next(), 1, 1).await;
            let first = &first.expect("reads")[0];
            assert_eq!(first.base_offset, start.next_offset);
            let epoch = (start.index.0 as i32 - 1) / 16;
            assert_eq!(start.leader_epoch, LeaderEpoch(epoch));
            let (_, index, offset) = log.leader_epochs()[0];
            assert_eq!((index, offset), (start.index.next(), start.next_offset));
            let before = log.read_entries(start.index, 1, 1).await;
            assert!(matches!(before, Err(ReadError::IndexOutOfRange { .. })));
        });
    }
}

/// The epoch in force at the end of removed entries stayed as a run, and the next one began at the same index.
#[test]
fn the_epoch_of_removed_entries_is_no_run() {
    let (sim, host) = machine(5);
    run(&sim, host, async {
        let store = opened().await;
        let expiring = LogConfig {
            retention_ms: 1,
            ..small_log()
        };
        let log = store.create(key(0), expiring).await.expect("creates");
        append_in(&log, 4, &batch(3, 1, b"old"));
        durable(&log).await;
        log.set_committed(log.next_index());
        log.apply_retention(TimestampMs(1_000))
            .await
            .expect("retains");
        let start = log.start();
        assert_eq!(
            (start.index, start.leader_epoch),
            (RaftIndex(1), LeaderEpoch(4))
        );
        assert_eq!(log.leader_epochs(), []);
        assert_eq!(
            log.end_of_epoch(LeaderEpoch(9)),
            Some((LeaderEpoch(4), Offset(3)))
        );
        append_empty(&log, EntryKind::TermStart, 5, b"");
        let run = (LeaderEpoch(5), RaftIndex(2), Offset(3));
        assert_eq!(log.leader_epochs(), [run]);
    });
}

/// What went takes its epoch with it, and what comes after may be in the same one.
#[test]
fn an_epoch_that_went_comes_back() {
    let (sim, host) = machine(6);
    run(&sim, host, async {
        let store = opened().await;
        let expiring = LogConfig {
            retention_ms: 1,
            ..small_log()
        };
        let log = store.create(key(0), expiring).await.expect("creates");
        append_in(&log, 3, &batch(1, 1, b"a"));
        let run = (LeaderEpoch(4), RaftIndex(2), Offset(1));
        for _ in 0..2 {
            append_in(&log, 4, &batch(1, 1, b"b"));
            assert_eq!(log.leader_epochs()[1..], [run]);
            log.truncate(RaftIndex(2)).await.expect("truncates");
            assert_eq!(log.leader_epochs().len(), 1);
        }
        append_in(&log, 4, &batch(1, 1, b"b"));
        durable(&log).await;
        log.set_committed(log.next_index());
        let removed = log.apply_retention(TimestampMs(1_000)).await;
        removed.expect("retains");
        assert_eq!(log.leader_epochs(), []);
        append_in(&log, 4, &batch(1, 1, b"c"));
        let run = (LeaderEpoch(4), RaftIndex(3), Offset(2));
        assert_eq!(log.leader_epochs(), [run]);
        let start = LogStart {
            leader_epoch: LeaderEpoch(3),
            index: RaftIndex(7),
            ..LogStart::default()
        };
        log.reset(start).await.expect("resets");
        append_in(&log, 4, &batch(1, 1, b"d"));
        let run = (LeaderEpoch(4), RaftIndex(8), Offset(0));
        assert_eq!(log.leader_epochs(), [run]);
    });
}

#[test]
fn a_reset_log_begins_behind_the_snapshot() {
    let at = LogStart {
        leader_epoch: LeaderEpoch(7),
        index: RaftIndex(500),
        offset: Offset(905),
        next_offset: Offset(900),
    };
    for cut_after in (0..2500).step_by(100) {
        let (sim, host) = machine(cut_after);
        run(&sim, host, async {
            let store = opened().await;
            let log = store.create(key(0), small_log()).await.expect("creates");
            for round in 0..40 {
                append_in(&log, 2, &batch(1, 1, &[3; 4000]));
                append_in(
                    &log,
                    2,
                    &batch(1, 1, if round % 4 == 0 { &[4; 9000] } else { b"b" }),
                );
            }
            durable(&log).await;
            runtime::set_local(store);
        });
        sim.spawn_on(host, "reset", async move {
            let store = runtime::local::<Store>().expect("open");
            let log = store.get(key(0)).expect("created");
            let waits = log.wait_durable(log.log_epoch(), log.next_offset().plus(1));
            assert_eq!(log.reset(at).await, Ok(LogEpoch(1)));
            assert!(!waits.await, "it was cut off");
            assert_eq!((log.start(), log.next_index()), (at, RaftIndex(501)));
            assert_eq!(log.end_of_epoch(LeaderEpoch(6)), None);
            let end = (LeaderEpoch(7), Offset(900));
            assert_eq!(log.end_of_epoch(LeaderEpoch(8)), Some(end));
            let appended = append_in(&log, 7, &batch(9, 1, b"new"));
            assert_eq!(appended.base_offset, Offset(900));
            log.wait_durable(LogEpoch(1), appended.next_offset).await;
            runtime::set_local(Rc::new(()));
        });
        sim.run_for(Duration::from_micros(cut_after));
        let is_durable = sim.run_on(host, LIMIT, async { runtime::local::<()>().is_some() });
        crash(&sim, host);
        run(&sim, host, async move {
            let store = opened().await;
            let log = store.get(key(0)).expect("created");
            let ends = (log.start(), log.next_offset(), log.next_index());
            match log.log_epoch() {
                LogEpoch(0) => {
                    assert_ne!(is_durable, Some(true));
                    assert_eq!(ends, (LogStart::default(), Offset(80), RaftIndex(81)));
                }
                _ if log.next_index() == RaftIndex(501) => {
                    assert_ne!(is_durable, Some(true));
                    assert_eq!((ends.0, ends.1), (at, at.next_offset));
                }
                _ => {
                    assert_eq!(ends, (at, Offset(909), RaftIndex(502)));
                    assert_eq!(served(&log).await, [900]);
                }
            }
        });
    }
}

// ---- states ----

#[test]
fn the_last_state_that_was_saved_comes_back() {
    let (sim, host) = machine(6);
    run(&sim, host, async {
        let store = opened().await;
        let log = store.create(key(0), small_log()).await.expect("creates");
        assert_eq!(log.state(), None);
        let large = log.save_state(&[0; STATE_BYTES_MAX + 1]).await;
        assert!(matches!(large, Err(AppendError::TooLarge { .. })));
        let first = log.save_state(b"first");
        let second = log.save_state(b"second");
        assert_eq!(log.state(), None, "nothing lasts yet");
        assert_eq!(second.await, Ok(()));
        assert_eq!(first.await, Ok(()));
        assert_eq!(log.state().as_deref(), Some(&b"second"[..]));
    });
    for wears_out in [false, false, true, false] {
        crash(&sim, host);
        run(&sim, host, async move {
            let store = opened().await;
            let log = store.get(key(0)).expect("created");
            assert_eq!(log.state().as_deref(), Some(&b"second"[..]));
            assert_eq!(log.next_index(), RaftIndex(1), "no entry");
            if wears_out {
                // The only copy was in a ring file that is written over.
                wear_out_the_ring(&store).await;
            }
        });
    }
    run(&sim, host, async {
        let store = runtime::local::<Store>();
        assert!(store.is_none());
        let store = opened().await;
        let log = store.get(key(0)).expect("created");
        assert_eq!(log.save_state(b"third").await, Ok(()));
        store.close().await;
        assert_eq!(log.save_state(b"late").await, Err(AppendError::Closed));
    });
    crash(&sim, host);
    run(&sim, host, async {
        let store = opened().await;
        let log = store.get(key(0)).expect("created");
        assert_eq!(log.state().as_deref(), Some(&b"third"[..]));
        // A deleted log's state goes with it.
        let waits = log.save_state(b"fourth");
        store.delete(key(0)).await.expect("deletes");
        assert!(matches!(waits.await, Ok(()) | Err(AppendError::Closed)));
        let log = store.create(key(0), small_log()).await.expect("creates");
        assert_eq!(log.state(), None);
    });
}

#[test]
fn states_of_many_logs_share_a_commit() {
    const LOGS: i32 = 3_000;
    let (sim, host) = machine(7);
    let large = || StoreConfig {
        journal_file_bytes: 8 << 20,
        ..config()
    };
    let open = move || async move {
        let (store, report) = Store::open(large()).await.expect("opens");
        assert_eq!(report.quarantined, Vec::new());
        store
    };
    run(&sim, host, async move {
        let store = open().await;
        let mut logs = Vec::new();
        for number in 0..LOGS {
            logs.push(runtime::spawn(runtime::Class::Admin, "create", {
                let store = Rc::clone(&store);
                async move {
                    store
                        .create(key(number), small_log())
                        .await
                        .expect("creates")
                }
            }));
        }
        let mut waits = Vec::new();
        let before = store.stats().journal_writes;
        let mut made = Vec::new();
        for log in logs {
            made.push(log.await.expect("runs"));
        }
        for log in &made {
            waits.push(log.save_state(&[5; 60]));
        }
        for wait in waits {
            assert_eq!(wait.await, Ok(()));
        }
        let writes = store.stats().journal_writes - before;
        assert!(writes <= 2, "{writes} commits");
    });
    for closes in [false, true, false] {
        crash(&sim, host);
        run(&sim, host, async move {
            let store = open().await;
            for number in 0..LOGS {
                let log = store.get(key(number)).expect("created");
                assert_eq!(log.state().as_deref(), Some(&[5; 60][..]));
            }
            if closes {
                store.close().await;
            }
        });
    }
}

#[test]
fn states_are_saved_on_a_full_disk() {
    let mut config = SimConfig::new(8);
    config.disk = DiskFaults {
        capacity_bytes: 12 << 20,
        ..DiskFaults::none()
    };
    let sim = Sim::new(config);
    let host = sim.host("node", 1, || async {});
    let full = || StoreConfig {
        free_bytes_min: 2 << 20,
        ..small(Path::new("/d"))
    };
    run(&sim, host, async move {
        let (store, _) = Store::open(full()).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        let bytes = batch(1, 1, &[1; 3000]);
        loop {
            match log.append(entry(&bytes)) {
                Err(AppendError::Full { .. }) => break,
                Err(AppendError::Busy) => log.append_ready().await,
                Ok(_) => runtime::sleep(Duration::from_millis(2)).await,
                Err(error) => panic!("{error}"),
            }
        }
        // More of them than the ring holds.
        for number in 0..400_u32 {
            let state = number.to_be_bytes().repeat(1000);
            assert_eq!(log.save_state(&state).await, Ok(()));
            let refused = log.append(entry(&bytes));
            assert!(matches!(refused, Err(AppendError::Full { .. })));
        }
    });
    crash(&sim, host);
    run(&sim, host, async move {
        let (store, _) = Store::open(full()).await.expect("opens");
        let log = store.get(key(0)).expect("created");
        let state = 399_u32.to_be_bytes().repeat(1000);
        assert_eq!(log.state().as_deref(), Some(&state[..]));
    });
}

/// Asked for faster than the ring takes them, none waits for ever, and the last one comes back.
#[test]
fn states_wait_for_room_in_the_journal() {
    for seed in 0..5 {
        let (sim, host) = machine(seed);
        let tiny = || StoreConfig {
            journal_file_bytes: 64 << 10,
            journal_files_max: 2,
            ..small(Path::new("/d"))
        };
        run(&sim, host, async move {
            let (store, _) = Store::open(tiny()).await.expect("opens");
            let mut logs = Vec::new();
            for number in 0..5 {
                let log = store.create(key(number), LogConfig::default()).await;
                logs.push(log.expect("creates"));
            }
            let mut waits = Vec::new();
            for number in 0..40_u32 {
                for log in &logs {
                    waits.push(log.save_state(&number.to_be_bytes().repeat(900)));
                }
            }
            for wait in waits {
                assert_eq!(wait.await, Ok(()));
            }
        });
        crash(&sim, host);
        run(&sim, host, async move {
            let (store, _) = Store::open(tiny()).await.expect("opens");
            for number in 0..5 {
                let log = store.get(key(number)).expect("created");
                let last = 39_u32.to_be_bytes().repeat(900);
                assert_eq!(log.state().as_deref(), Some(&last[..]));
            }
        });
    }
}

#[test]
fn a_batch_without_records_carries_its_payload() {
    let made = empty_batch(b"members");
    assert_eq!(payload_of(&made), b"members");
    let (stored, computed) = storage::frame::body_checksums(&made);
    assert_eq!(stored, computed);
    assert_eq!(storage::frame::max_timestamp(&made), TimestampMs(-1));
    // Nobody takes it for records.
    assert!(kafka::batch::BatchHeader::decode(&made).is_err());
}

#[test]
fn another_format_version_is_refused_by_name() {
    let (sim, host) = machine(9);
    run(&sim, host, async {
        opened().await.close().await;
    });
    sim.kill(host);
    for copy in ["a", "b"] {
        let name = format!("/d/home-0/manifest-0000000001-{copy}");
        let mut bytes = sim.contents(host, &name).expect("there");
        bytes[4..8].copy_from_slice(&1_u32.to_le_bytes());
        let crc = iobuf::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        for at in (4..8).chain(60..64) {
            let before = sim.contents(host, &name).expect("there")[at];
            for bit in (0..8).filter(|bit| (before ^ bytes[at]) >> bit & 1 == 1) {
                sim.flip_bit(host, &name, at as u64, bit);
            }
        }
    }
    sim.restart(host);
    run(&sim, host, async {
        let Err(error) = Store::open(config()).await else {
            panic!("an old version was opened");
        };
        assert_eq!(error, OpenError::Version { found: 1, known: 2 });
        let message = error.to_string();
        assert!(message.contains("version 1") && message.contains("version 2"));
    });
}
