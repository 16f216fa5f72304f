//! What the stores cost, on the machine at hand.

use std::{path::Path, time::Instant};

use streams::{
    NodeId,
    engine::store::{Changes, Version},
    graph::StateKey,
};

use crate::kept::{Kind, TempDir, on_shard};

const WRITES: u32 = 10;
/// Of all entries, in a write behind the first.
const CHANGED_PART: u64 = 100;

fn put(changes: &mut Changes, at: u64, value: u64) {
    let key = at.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes();
    let value = [value.to_be_bytes(); 12].concat();
    let node = NodeId(0);
    let key = StateKey {
        node,
        table: 1,
        key: &key,
    };
    changes.put(key, Some(&value));
}

fn bytes(path: &Path) -> u64 {
    if !path.is_dir() {
        return std::fs::metadata(path).map_or(0, |file| file.len());
    }
    let entries = std::fs::read_dir(path).expect("a directory");
    entries
        .map(|entry| bytes(&entry.expect("an entry").path()))
        .sum()
}

async fn measure(kind: Kind, entries: u64) {
    let changed = entries / CHANGED_PART;
    let dir = TempDir::new("figures");
    let path = dir.next();
    let store = kind.open(path.clone()).await;
    let mut runs = Vec::new();
    let (mut all, mut some) = (0.0, 0.0);
    for write in 0..=WRITES {
        let base = Version {
            relation: 1,
            runs: &runs,
        };
        let is_first = write == 0;
        let is_all = is_first;
        let mut changes = Changes::new(is_all);
        let count = if is_all { entries } else { changed };
        for at in 0..count {
            let at = if is_all {
                at
            } else {
                at * 97 + u64::from(write)
            };
            put(&mut changes, at % entries, u64::from(write));
        }
        let since = Instant::now();
        runs = store
            .write(base, u64::from(write), changes)
            .await
            .expect("it is written");
        store.sync().await.expect("it is synced");
        let took = since.elapsed().as_secs_f64();
        *(if is_first { &mut all } else { &mut some }) += took;
    }
    let version = Version {
        relation: 1,
        runs: &runs,
    };
    let (since, mut count) = (Instant::now(), 0);
    let mut take = |_: StateKey<'_>, _: &[u8]| {
        count += 1;
        Ok(())
    };
    store.read(version, &mut take).await.expect("it is read");
    assert_eq!(count, entries);
    println!(
        "{kind:?}: {entries} entries in {all:.2} s; {WRITES} times {changed} of them in {some:.2} s; read in {:.2} s; {} MiB",
        since.elapsed().as_secs_f64(),
        bytes(&path) >> 20,
    );
}

fn measure_all(entries: u64) {
    for kind in [Kind::Runs, Kind::Redb, Kind::Fjall] {
        on_shard(move || measure(kind, entries));
    }
}

#[test]
fn stores_can_be_measured() {
    measure_all(1000);
}

#[test]
#[ignore = "a measurement"]
fn what_stores_cost() {
    measure_all(1_000_000);
}
