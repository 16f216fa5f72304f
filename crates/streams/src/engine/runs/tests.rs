//! Runs against a plain map of what they hold.

use std::{collections::BTreeMap, path::Path, time::Duration};

use runtime::sim::{Sim, SimConfig};

use super::*;
use crate::engine::{
    checkpoint::CheckpointDir,
    store::{Changes, RunStore, StateStore, Version},
};

type Entries = BTreeMap<(u32, u8, Vec<u8>), Vec<u8>>;
type Weights = BTreeMap<Vec<u8>, i64>;

fn random(seed: &mut u64, below: u64) -> u64 {
    *seed = seed
        .wrapping_mul(0x5851_F42D_4C95_7F2D)
        .wrapping_add(0x1405_7B7E_F767_814F);
    (*seed >> 33) % below
}

fn simulated<F: Future<Output = ()> + 'static>(test: F) {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 2, std::future::pending::<()>);
    sim.run_for(Duration::from_millis(1));
    let ended = sim.run_on(node, Duration::from_secs(600), test);
    assert!(ended.is_some(), "it takes too long");
}

/// These runs and one more.
async fn write(dir: &Path, runs: &[Run], number: u64, changes: Changes) -> Vec<Run> {
    let base = Version { relation: 1, runs };
    let written = RunStore::new(dir).write(base, number, changes).await;
    written.expect("the disk is well")
}

/// Changes of both models, also as a run tells them.
#[derive(Default)]
struct Model {
    entries: Entries,
    weights: Weights,
}

impl Model {
    /// So many changes, some of one key several times; `bytes`: of values at most.
    fn change(&mut self, seed: &mut u64, count: u64, bytes: u64) -> Changes {
        let mut run = Changes::new(false);
        for _ in 0..count {
            let number = random(seed, 400);
            // Keys that begin alike, and some that are the beginnings of others.
            let key = vec![b'k'; 1 + (number % 12) as usize];
            let key = [key, number.to_be_bytes()[6..].to_vec()].concat();
            if random(seed, 3) == 0 {
                let weight = random(seed, 5).cast_signed() - 2;
                *self.weights.entry(key.clone()).or_default() += weight;
                let key = StateKey {
                    node: ROWS,
                    table: 0,
                    key: &key,
                };
                run.put(key, Some(&weight.to_le_bytes()));
                continue;
            }
            let (node, table) = (
                random(seed, 3) as u32,
                [0, 1, 255][random(seed, 3) as usize],
            );
            let value = vec![random(seed, 256) as u8; random(seed, bytes) as usize];
            let value = (random(seed, 4) > 0).then_some(value);
            let state_key = StateKey {
                node: NodeId(node as usize),
                table,
                key: &key,
            };
            run.put(state_key, value.as_deref());
            match value {
                Some(value) => self.entries.insert((node, table, key), value),
                None => self.entries.remove(&(node, table, key)),
            };
        }
        run
    }

    async fn assert_is(&self, dir: &CheckpointDir, runs: &[Run]) {
        let path_of = |run: &Run| dir.run_path(1, run.number);
        let mut found = Entries::new();
        let mut places = Vec::new();
        let mut merge = Merge::open(path_of, runs, false)
            .await
            .expect("it was written");
        while let Some((key, value)) = merge.next().await.expect("nothing is damaged") {
            places.push((key.node, key.table.wrapping_add(1), key.key.to_vec()));
            if let Some(value) = value {
                let key = (key.node.0 as u32, key.table, key.key.to_vec());
                found.insert(key, value.to_vec());
            }
        }
        assert!(places.is_sorted_by(|a, b| a < b), "each once, in order");
        assert!(found == self.entries, "other entries");
        let mut found = Weights::new();
        let mut merge = Merge::open(path_of, runs, true)
            .await
            .expect("it was written");
        while let Some((key, value)) = merge.next().await.expect("nothing is damaged") {
            let before = found.insert(key.key.to_vec(), weight(value).expect("a weight"));
            assert_eq!(before, None, "each once");
        }
        let living = |weights: &Weights| {
            let mut weights = weights.clone();
            weights.retain(|_, weight| *weight != 0);
            weights
        };
        assert_eq!(living(&found), living(&self.weights));
    }
}

#[test]
fn what_runs_say_together_is_what_was_put() {
    simulated(async {
        for round in 0..12 {
            let dir = CheckpointDir::new(Path::new(&format!("data{round}")));
            let (mut seed, mut model, mut runs) = (round, Model::default(), Vec::new());
            // Small ones within a block, and such as fill several pieces.
            let bytes = if round % 4 == 3 { 40_000 } else { 60 };
            for number in 0..9 {
                let count = random(&mut seed, 600);
                let run = model.change(&mut seed, count, bytes);
                runs = write(Path::new(&format!("data{round}")), &runs, number, run).await;
                model.assert_is(&dir, &runs).await;
                if random(&mut seed, 3) == 0 {
                    let from = random(&mut seed, runs.len() as u64) as usize;
                    let end = from + 1 + random(&mut seed, (runs.len() - from) as u64) as usize;
                    let merged = Compaction::begin(
                        &dir,
                        1,
                        &runs,
                        from..end,
                        100 + number,
                        base::ShardId(1),
                    );
                    let merged = merged.end().await.expect("nothing is damaged");
                    merged.take_place(&mut runs);
                    model.assert_is(&dir, &runs).await;
                }
            }
        }
    });
}

#[test]
fn all_runs_merged_know_nothing_of_what_is_gone() {
    simulated(async {
        let dir = CheckpointDir::new(Path::new("data"));
        let key = StateKey {
            node: NodeId(0),
            table: 0,
            key: b"k",
        };
        let row = StateKey { node: ROWS, ..key };
        let mut runs = Vec::new();
        for (number, value) in [Some(&b"v"[..]), None].into_iter().enumerate() {
            let mut run = Changes::new(false);
            run.put(key, value);
            let weight = 1 - 2 * number as i64;
            run.put(row, Some(&weight.to_le_bytes()));
            runs = write(Path::new("data"), &runs, number as u64, run).await;
        }
        let empty = write(Path::new("data"), &[], 2, Changes::new(true)).await;
        let empty = empty[0].bytes;
        let merged = Compaction::begin(&dir, 1, &runs, 0..2, 3, base::ShardId(1));
        let merged = merged.end().await.expect("nothing is damaged");
        merged.take_place(&mut runs);
        assert_eq!(runs.len(), 1);
        assert_eq!(runs[0].bytes, empty);
    });
}

#[test]
fn runs_of_like_size_are_merged_and_large_ones_left() {
    let run = |bytes, pieces| Run {
        bytes,
        pieces: vec![
            Piece {
                has_rows: false,
                end: 0
            };
            pieces
        ],
        ..Run::default()
    };
    assert_eq!(Compaction::due(&[]), None);
    assert_eq!(
        Compaction::due(&[run(1000, 2), run(10, 2), run(10, 2)]),
        None
    );
    let little = [run(1000, 2), run(10, 2), run(10, 2), run(10, 2), run(10, 2)];
    assert_eq!(Compaction::due(&little), Some(1..5));
    let half = [run(80, 2), run(10, 2), run(10, 2), run(20, 2)];
    assert_eq!(Compaction::due(&half), Some(0..4));
    assert_eq!(Compaction::due(&[run(1000, 40)]), Some(0..1));
    assert_eq!(Compaction::due(&[run(1000, 2)]), None);
}

/// A byte that is another, or missing, is told of: nothing else is ever read.
#[test]
fn damage_is_found() {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 1, std::future::pending::<()>);
    sim.run_for(Duration::from_millis(1));
    let limit = Duration::from_secs(600);
    let run = sim.run_on(node, limit, async {
        let mut run = Changes::new(false);
        for number in 0_u64..3 {
            let key = StateKey {
                node: NodeId(0),
                table: 0,
                key: &number.to_be_bytes(),
            };
            run.put(key, Some(b"value"));
        }
        write(Path::new("data"), &[], 0, run).await.remove(0)
    });
    let run = run.expect("it ends");
    let (name, _) = sim
        .files(node)
        .into_iter()
        .find(|(name, _)| name.ends_with("0.run"))
        .expect("it was written");
    let blocks = run.pieces[0].end;
    for byte in 8..blocks {
        sim.flip_bit(node, &name, byte, 3);
        let runs = vec![run.clone()];
        let read = sim.run_on(node, limit, async move {
            let dir = CheckpointDir::new(Path::new("data"));
            let path_of = |run: &Run| dir.run_path(1, run.number);
            let mut merge = Merge::open(path_of, &runs, false).await?;
            while merge.next().await?.is_some() {}
            Ok::<(), CheckpointError>(())
        });
        let read = read.expect("it ends");
        assert!(
            matches!(read, Err(CheckpointError::Damaged { .. })),
            "byte {byte}: {read:?}"
        );
        sim.flip_bit(node, &name, byte, 3);
    }
}
