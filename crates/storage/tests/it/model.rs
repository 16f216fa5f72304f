//! Random operations and restarts, compared with lists in memory.
use std::{
    cell::RefCell,
    collections::{BTreeMap, btree_map::Entry},
    path::PathBuf,
    rc::Rc,
};

use base::{Offset, RaftIndex, TimestampMs};
use kafka::batch::batches;
use storage::{Log, ReadError, Store};

use crate::harness::{
    LIMIT, TempDir, append, batch, key, machine, on_real_files, small, small_log,
};

#[derive(Clone)]
struct Expected {
    index: RaftIndex,
    base: i64,
    next: i64,
    bytes: Vec<u8>,
    timestamp: i64,
}

#[derive(Clone, Default)]
struct Partition {
    start: i64,
    entries: Vec<Expected>,
    /// Everything below was acknowledged.
    acked: i64,
    /// Never truncated.
    committed: i64,
}

#[derive(Clone, Default)]
struct Model {
    partitions: BTreeMap<i32, Partition>,
    seed: u64,
}

impl Model {
    fn draw(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }
}

fn without_patches(bytes: &[u8]) -> Vec<u8> {
    let mut copy = bytes.to_vec();
    copy[..8].fill(0);
    copy[12..16].fill(0);
    copy
}

/// Reads everything from `from` and compares it with the model.
async fn check_reads(log: &Log, expected: &Partition, from: i64, bytes_max: usize) {
    let end = log.next_offset().0;
    let mut at = from;
    while at < end {
        let read = log
            .read(Offset(at), Offset(end), bytes_max, true)
            .await
            .unwrap_or_else(|e| panic!("read at {at} of {}..{end}: {e}", expected.start));
        assert!(read.next_offset.0 > at, "no progress at {at} of {end}");
        let bytes = read.batches.to_vec();
        for found in batches(&bytes) {
            let (header, found) = found.expect("decodes");
            let want = expected
                .entries
                .iter()
                .find(|e| e.base == header.base_offset.0)
                .unwrap_or_else(|| panic!("unexpected batch at {}", header.base_offset));
            assert_eq!(without_patches(found), without_patches(&want.bytes));
            assert!(want.next > at);
            at = want.next;
        }
        assert_eq!(at, read.next_offset.0);
    }
}

async fn check_times(log: &Log, expected: &Partition, at: i64) {
    let end = log.next_offset();
    let start = log.log_start_offset().0;
    let want = expected
        .entries
        .iter()
        .filter(|e| e.next <= end.0)
        .find_map(|e| {
            (e.base..e.next)
                .map(|offset| (offset, e.timestamp + offset - e.base))
                .find(|(offset, timestamp)| *offset >= start && *timestamp >= at)
        });
    let found = log
        .offset_for_timestamp(TimestampMs(at), end)
        .await
        .expect("looks up");
    assert_eq!(
        found.map(|f| (f.offset.0, f.timestamp.0)),
        want,
        "time {at}"
    );
}

/// After a start: what was acknowledged is there, what is there was appended.
async fn check_recovered(store: &Store, model: &mut Model) {
    for (number, partition) in &mut model.partitions {
        let log = store.get(key(*number)).expect("created durably");
        assert_eq!(log.quarantined(), None);
        let end = log.next_offset().0;
        let appended = partition.entries.last().map_or(partition.start, |e| e.next);
        assert!(
            end >= partition.acked && end <= appended,
            "partition {number}: recovered {end}, acknowledged {}, appended {appended}",
            partition.acked
        );
        partition.entries.retain(|e| e.next <= end);
        partition.acked = end;
        assert!(log.log_start_offset().0 >= partition.start);
        partition.start = log.log_start_offset().0;
        check_reads(&log, partition, partition.start, 4000).await;
        check_reads(&log, partition, partition.start, 1 << 20).await;
    }
}

/// One life of a store: recover, check, work, end cleanly or not.
async fn life(dir: PathBuf, model: Rc<RefCell<Model>>, steps: usize, clean: bool) {
    let (store, _) = Store::open(small(&dir)).await.expect("opens");
    let mut m = model.borrow().clone();
    check_recovered(&store, &mut m).await;
    for _ in 0..steps {
        step(&store, &mut m).await;
        // The model outlives a power cut at any await.
        *model.borrow_mut() = m.clone();
    }
    if clean {
        store.close().await;
    }
}

async fn step(store: &Store, m: &mut Model) {
    let number = m.draw(4) as i32;
    if let Entry::Vacant(place) = m.partitions.entry(number) {
        store
            .create(key(number), small_log())
            .await
            .expect("creates");
        place.insert(Partition::default());
    }
    let log = store.get(key(number)).expect("just created");
    let action = m.draw(100);
    let (size, count) = (
        match m.draw(10) {
            0 => 9000,
            1 => 30_000,
            _ => 20 + m.draw(500),
        } as usize,
        1 + m.draw(4) as u32,
    );
    let (timestamp, many) = (m.draw(10_000) as i64, m.draw(20));
    let (fill, probe) = (m.draw(256) as u8, m.draw(10_000) as i64);
    let pick = m.draw(1 << 32);
    let p = m.partitions.get_mut(&number).expect("inserted");
    match action {
        0..60 => {
            let mut last = None;
            for _ in 0..many {
                let bytes = batch(count, timestamp, &vec![fill; size]);
                let appended = append(&log, &bytes).await;
                p.entries.push(Expected {
                    index: appended.index,
                    base: appended.base_offset.0,
                    next: appended.next_offset.0,
                    bytes,
                    timestamp,
                });
                last = Some(appended);
            }
            if let Some(last) = last.filter(|_| fill % 4 != 0) {
                let next = last.next_offset;
                assert!(log.wait_durable(last.log_epoch, next).await);
                p.acked = next.0;
            }
        }
        60..80 => {
            let end = log.next_offset().0;
            let from = p.start + (pick as i64) % (end - p.start + 1);
            let base = p
                .entries
                .iter()
                .find(|e| e.next > from)
                .map_or(end, |e| e.base);
            check_reads(&log, p, base.max(p.start), 1 + size * 3).await;
        }
        80..85 => check_times(&log, p, probe).await,
        85..88 => {
            let durable = log.durable();
            log.set_committed(durable.next_index);
            let durable = durable.next_offset.0;
            p.committed = p.committed.max(durable);
            let to = p.start + (pick as i64) % (durable - p.start + 1);
            let start = log.trim(Offset(to)).await.expect("trims");
            assert_eq!(start.0, to.max(p.start));
            p.start = start.0;
            if to > 0 {
                let outside = log
                    .read(Offset(start.0 - 1), Offset(start.0), 100, true)
                    .await;
                assert!(matches!(outside, Err(ReadError::OutOfRange { .. })));
            }
        }
        88..91 => {
            let state = vec![fill; size];
            let at = Offset(p.acked.max(p.start));
            log.save_snapshot(at, state.clone()).await.expect("saves");
            let loaded = log.load_snapshot().await.expect("loads");
            assert_eq!(loaded, Some((at, state)));
        }
        91..94 => {
            let end = log.next_offset().0;
            let cut = p.committed + (pick as i64) % (end - p.committed + 1);
            let first = p.entries.iter().find(|e| e.base >= cut);
            let (from, cut) = first.map_or((log.next_index(), end), |e| (e.index, e.base));
            let before = log.log_epoch();
            let now = log.truncate(from).await.expect("truncates");
            assert_eq!(log.next_index(), from);
            assert_eq!(now, before.next());
            p.entries.retain(|e| e.next <= cut);
            p.acked = p.acked.min(cut);
            assert_eq!(log.next_offset().0, cut);
            assert!(log.wait_durable(now, Offset(cut)).await);
            p.acked = cut;
        }
        94..97 => {
            store.delete(key(number)).await.expect("deletes");
            assert!(store.get(key(number)).is_none());
            m.partitions.remove(&number);
        }
        _ => {
            log.apply_retention(TimestampMs(0))
                .await
                .expect("retention");
        }
    }
}

#[test]
fn real_files_match_the_model_across_restarts() {
    let dir = TempDir::new("model");
    let mut model = Model {
        seed: 42,
        ..Model::default()
    };
    for round in 0..12 {
        let path = dir.path().to_path_buf();
        model = on_real_files(move || async move {
            let shared = Rc::new(RefCell::new(model));
            life(path, Rc::clone(&shared), 150, round % 2 == 0).await;
            shared.borrow().clone()
        });
    }
}

#[test]
fn simulated_power_cuts_lose_nothing_acknowledged() {
    let seeds = std::env::var("STORAGE_SEEDS")
        .ok()
        .and_then(|s| s.parse().ok());
    let only = std::env::var("STORAGE_SEED")
        .ok()
        .and_then(|s| s.parse().ok());
    let range = only.map_or(0..seeds.unwrap_or(30), |seed: u64| seed..seed + 1);
    for seed in range {
        let (sim, host) = machine(seed);
        let model = Rc::new(RefCell::new(Model {
            seed,
            ..Model::default()
        }));
        for round in 0..6 {
            let clean = sim.draw(4) == 0;
            let steps = 5 + sim.draw(80) as usize;
            let done = sim.run_on(
                host,
                LIMIT,
                life(PathBuf::from("/d"), Rc::clone(&model), steps, clean),
            );
            assert!(
                done.is_some(),
                "seed {seed} round {round}: {:?}",
                sim.fatal_reason(host)
            );
            if sim.draw(2) == 0 {
                sim.power_cut(host);
            } else {
                sim.kill(host);
            }
            sim.restart(host);
        }
    }
}
