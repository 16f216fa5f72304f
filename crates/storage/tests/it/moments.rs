//! What must hold where two things meet: a close and a commit, a power cut and an edit, a cut and an edge.

use std::{cell::Cell, path::Path, rc::Rc, time::Duration};

use base::{LeaderEpoch, LogEpoch, Offset, RaftIndex};
use storage::{Corrupt, LogConfig, LogStart, STATE_BYTES_MAX, Store, StoreConfig};

use crate::harness::{append, batch, crash, key, machine, run, small, small_log};

fn config() -> StoreConfig {
    small(Path::new("/d"))
}

/// Before the logs of a commit all knew that it lasts, a close wrote their records without the states in it, and a clean
/// mark behind them.
#[test]
fn a_close_keeps_the_states_of_the_commit_that_is_being_settled() {
    const LOGS: i32 = 400;
    let large = || StoreConfig {
        journal_file_bytes: 4 << 20,
        ..config()
    };
    for seed in 0..3 {
        let (sim, host) = machine(seed);
        run(&sim, host, async move {
            let (store, _) = Store::open(large()).await.expect("opens");
            let mut logs = Vec::new();
            for number in 0..LOGS {
                let log = store.create(key(number), small_log()).await;
                logs.push(log.expect("creates"));
            }
            let mut saves = logs.iter().map(|log| log.save_state(b"vote"));
            let first = saves.next().expect("some");
            let others: Vec<_> = saves.collect();
            assert_eq!(first.await, Ok(()));
            store.close().await;
            for save in others {
                assert_eq!(save.await, Ok(()), "all are in one commit");
            }
        });
        crash(&sim, host);
        run(&sim, host, async move {
            let (store, _) = Store::open(large()).await.expect("opens");
            for number in 0..LOGS {
                let log = store.get(key(number)).expect("created");
                assert_eq!(log.state().as_deref(), Some(&b"vote"[..]), "log {number}");
            }
        });
    }
}

/// Records of many logs are no atomic edit: one without its truncation lasted, and the journal still began before the
/// frames that had been cut off.
#[test]
fn a_truncation_is_known_as_long_as_the_journal_holds_what_it_cut_off() {
    const LOGS: i32 = 50;
    let large = || StoreConfig {
        journal_file_bytes: 4 << 20,
        ..config()
    };
    for cut_after in (0..40_000).step_by(250) {
        let (sim, host) = machine(cut_after);
        run(&sim, host, async move {
            let (store, _) = Store::open(large()).await.expect("opens");
            let mut logs = Vec::new();
            for number in 0..LOGS {
                let log = store.create(key(number), small_log()).await;
                logs.push(log.expect("creates"));
            }
            let log = &logs[0];
            for _ in 0..3 {
                append(log, &batch(1, 1, b"old")).await;
            }
            log.wait_durable(log.log_epoch(), Offset(3)).await;
            log.truncate(RaftIndex(2)).await.expect("truncates");
            append(log, &batch(1, 1, b"new")).await;
            log.wait_durable(log.log_epoch(), Offset(2)).await;
            // So that the records are large, and a ring file is nearly full.
            for _ in 0..2 {
                let saves = logs.iter().map(|log| log.save_state(&[1; STATE_BYTES_MAX]));
                for save in saves.collect::<Vec<_>>() {
                    assert_eq!(save.await, Ok(()));
                }
            }
            runtime::set_local(store);
        });
        sim.spawn_on(host, "wear out", async {
            let store = runtime::local::<Store>().expect("open");
            for number in 0..LOGS {
                let log = store.get(key(number)).expect("created");
                let _ = log.save_state(&[2; STATE_BYTES_MAX]).await;
            }
        });
        sim.run_for(Duration::from_micros(cut_after));
        crash(&sim, host);
        run(&sim, host, async move {
            let (store, _) = Store::open(large()).await.expect("opens");
            let log = store.get(key(0)).expect("created");
            assert_eq!(log.next_index(), RaftIndex(3), "cut after {cut_after} µs");
        });
    }
}

/// A snapshot from before the start leaves a gap behind it.
#[test]
fn a_snapshot_before_the_start_is_not_found() {
    let (sim, host) = machine(1);
    run(&sim, host, async {
        let (store, _) = Store::open(config()).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        append(&log, &batch(9, 1, b"a")).await;
        log.wait_durable(log.log_epoch(), Offset(9)).await;
        log.save_snapshot(Offset(9), vec![1]).await.expect("saves");
        let at = LogStart {
            leader_epoch: LeaderEpoch(3),
            index: RaftIndex(80),
            offset: Offset(100),
            next_offset: Offset(100),
        };
        log.reset(at).await.expect("resets");
        assert_eq!(log.load_snapshot().await.expect("loads"), None);
    });
    crash(&sim, host);
    run(&sim, host, async {
        let (store, _) = Store::open(config()).await.expect("opens");
        let log = store.get(key(0)).expect("created");
        assert_eq!(log.load_snapshot().await.expect("loads"), None);
        log.save_snapshot(Offset(100), vec![2])
            .await
            .expect("saves");
        let loaded = log.load_snapshot().await.expect("loads");
        assert_eq!(loaded, Some((Offset(100), vec![2])));
    });
}

#[test]
fn nothing_is_told_durable_once_a_log_is_refused() {
    let (sim, host) = machine(2);
    run(&sim, host, async {
        let (store, _) = Store::open(config()).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        let told = Rc::new(Cell::new(0));
        let listen = || {
            let told = Rc::clone(&told);
            log.on_durable(Rc::new(move |_| told.set(told.get() + 1)));
        };
        listen();
        append(&log, &batch(1, 1, b"a")).await;
        log.quarantine(Corrupt {
            file: "somewhere".into(),
            at: 0,
            expected: "order".into(),
            found: "none".into(),
        });
        listen();
        runtime::sleep(Duration::from_millis(50)).await;
        assert_eq!(told.get(), 0);
    });
}

/// What a trim left because it was not sealed yet stayed for as long as the log.
#[test]
fn segments_before_the_start_go_once_they_are_sealed() {
    for delete_old in [true, false] {
        let (sim, host) = machine(3);
        run(&sim, host, async move {
            let (store, _) = Store::open(config()).await.expect("opens");
            let kept = LogConfig {
                delete_old,
                segment_ms: 1_000,
                ..small_log()
            };
            let log = store.create(key(0), kept).await.expect("creates");
            append(&log, &batch(1, 1, &[1; 9_000])).await;
            log.wait_durable(log.log_epoch(), Offset(1)).await;
            log.set_committed(log.next_index());
            assert_eq!(log.trim(Offset(1)).await, Ok(Offset(1)));
            assert_eq!(log.start().index, RaftIndex(0), "it is not sealed yet");
            runtime::sleep(Duration::from_secs(2)).await;
            let removed = log.apply_retention(runtime::wall()).await;
            assert_eq!(removed, Ok(1));
            assert_eq!(log.start().index, RaftIndex(1));
        });
    }
}

/// The segment before the edge was read for nothing, chunk by chunk.
#[test]
fn a_cut_between_segments_reads_none() {
    let (sim, host) = machine(4);
    run(&sim, host, async {
        let (store, _) = Store::open(config()).await.expect("opens");
        let log = store.create(key(0), small_log()).await.expect("creates");
        for _ in 0..12 {
            append(&log, &batch(1, 1, &[1; 9_000])).await;
            log.wait_durable(log.log_epoch(), log.next_offset()).await;
        }
        runtime::set_local(store);
    });
    let files = sim.files(host).into_iter().map(|(file, _)| file);
    let segments: Vec<_> = files.filter(|file| file.ends_with(".segment")).collect();
    let [.., before, behind] = &segments[..] else {
        panic!("two segments at least: {segments:?}");
    };
    let edge = behind.split('-').rev().nth(1).expect("a base index");
    let edge = RaftIndex(edge.parse().expect("a number"));
    // Whoever reads the first one finds this.
    sim.flip_bit(host, before, 5_000, 3);
    run(&sim, host, async move {
        let store = runtime::local::<Store>().expect("open");
        let log = store.get(key(0)).expect("created");
        let cut = log.truncate(edge).await;
        assert!(cut.is_ok(), "{cut:?}");
        let next = Offset(edge.0.cast_signed() - 1);
        assert_eq!((log.next_index(), log.next_offset()), (edge, next));
        append(&log, &batch(1, 1, b"new")).await;
        assert!(log.wait_durable(log.log_epoch(), next.plus(1)).await);
    });
}

/// The frame behind a direct write that did not last stayed in the journal, and the next start took it for what had been
/// appended in its place.
#[test]
fn a_frame_behind_a_hole_does_not_replace_what_comes_instead() {
    let mut holes = 0;
    for cut_after in (0..1_000).step_by(20) {
        let (sim, host) = machine(cut_after);
        run(&sim, host, async {
            let (store, _) = Store::open(config()).await.expect("opens");
            let log = store.create(key(0), small_log()).await.expect("creates");
            append(&log, &batch(1, 1, b"old")).await;
            log.wait_durable(log.log_epoch(), Offset(1)).await;
            append(&log, &batch(1, 1, &[0; 60_000])).await;
            append(&log, &batch(1, 1, b"old")).await;
            runtime::set_local(store);
        });
        sim.run_for(Duration::from_micros(cut_after));
        crash(&sim, host);
        let (next, epoch) = run(&sim, host, async {
            let (store, _) = Store::open(config()).await.expect("opens");
            let log = store.get(key(0)).expect("created");
            let (next, epoch) = (log.next_offset(), log.log_epoch());
            for _ in 0..3 {
                append(&log, &batch(1, 1, b"new")).await;
            }
            assert!(log.wait_durable(epoch, next.plus(3)).await);
            (next, epoch)
        });
        holes += u32::from(epoch > LogEpoch(0));
        crash(&sim, host);
        run(&sim, host, async move {
            let (store, _) = Store::open(config()).await.expect("opens");
            let log = store.get(key(0)).expect("created");
            assert_eq!(log.next_offset(), next.plus(3), "cut after {cut_after} µs");
            let read = log.read(next, next.plus(3), 9_000, true).await;
            let read = read.expect("reads").batches.to_vec();
            let new = read.windows(3).filter(|bytes| bytes == b"new").count();
            assert_eq!(new, 3, "cut after {cut_after} µs");
        });
    }
    assert!(holes > 0, "no cut met a hole");
}
