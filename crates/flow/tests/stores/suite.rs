//! What every store must do, against a model: random changes, versions that come to nothing, kills and power cuts.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    time::Duration,
};

use runtime::sim::{HostId, Sim, SimConfig};
use streams::{
    NodeId,
    engine::store::{Changes, EntryName, ROWS, Run, Scan, StateStore, Version},
    graph::StateKey,
};

use crate::kept::{Kind, TempDir, on_shard};

const LIMIT: Duration = Duration::from_secs(600);
const ROW_NODE: u32 = ROWS.0 as u32;

type Model = BTreeMap<EntryName, Vec<u8>>;

/// What a checkpoint says of a relation, and what that stands for.
#[derive(Clone, Default)]
struct Named {
    runs: Vec<Run>,
    model: Model,
}

struct Test {
    kind: Kind,
    sim: Rc<Sim>,
    host: HostId,
    dir: TempDir,
    path: PathBuf,
    store: Rc<dyn StateStore>,
    /// Of two relations.
    named: [Named; 2],
    number: u64,
}

fn open(kind: Kind, sim: &Sim, host: HostId, path: &Path) -> Rc<dyn StateStore> {
    let store = sim.run_on(host, LIMIT, kind.open(path.to_owned()));
    store.expect("it opens in time")
}

fn state_key(name: &EntryName) -> StateKey<'_> {
    StateKey {
        node: NodeId(name.node as usize),
        table: name.table,
        key: &name.key,
    }
}

impl Test {
    fn new(kind: Kind, seed: u64) -> Self {
        let sim = Rc::new(Sim::new(SimConfig::new(seed)));
        let host = sim.host("app", 1, || async {});
        let dir = TempDir::new("suite");
        let path = dir.next();
        Self {
            kind,
            store: open(kind, &sim, host, &path),
            sim,
            host,
            dir,
            path,
            named: Default::default(),
            number: 0,
        }
    }

    fn draw(&self, below: u64) -> usize {
        self.sim.draw(below) as usize
    }

    fn draw_key(&self) -> Vec<u8> {
        let mut key: Vec<u8> = (0..self.draw(4))
            .map(|_| b'a' + self.draw(3) as u8)
            .collect();
        if self.draw(12) == 0 {
            // Longer than the names that fjall takes.
            let mut long = vec![b'b'; [59_985, 59_986, 59_987, 70_000][self.draw(4)]];
            long.append(&mut key);
            return long;
        }
        key
    }

    fn draw_name(&self) -> EntryName {
        let node = [0, 7, ROW_NODE][self.draw(3)];
        EntryName {
            node,
            table: if node == ROW_NODE {
                0
            } else {
                [0, 1, 255][self.draw(3)]
            },
            key: self.draw_key(),
        }
    }

    fn draw_value(&self) -> Vec<u8> {
        let bytes = match self.draw(12) {
            0 => 400_000,
            1 => 0,
            _ => self.draw(300),
        };
        vec![self.draw(256) as u8; bytes]
    }

    /// Random changes of a relation, and what it is then.
    fn draw_changes(&self, relation: usize, is_all: bool) -> (Changes, Model) {
        let mut model = self.named[relation].model.clone();
        let mut changes = Changes::new(is_all);
        let mut put = Vec::new();
        for _ in 0..self.draw(30) {
            let name = self.draw_name();
            if name.node == ROW_NODE {
                let by = self.draw(4) as i64 - 1;
                let before = model.get(&name).map_or([0; 8], |weight| {
                    weight.as_slice().try_into().expect("eight bytes")
                });
                let is = i64::from_le_bytes(before) + by;
                match is {
                    0 => model.remove(&name),
                    _ => model.insert(name.clone(), is.to_le_bytes().to_vec()),
                };
                put.push((name, Some(by.to_le_bytes().to_vec())));
                continue;
            }
            let is_there = model.contains_key(&name);
            let goes = is_there && self.draw(2) == 0;
            if goes {
                model.remove(&name);
                put.retain(|(known, _)| *known != name);
            }
            if goes && !is_all {
                changes.put(state_key(&name), None);
            }
            if !goes || self.draw(3) == 0 {
                let value = self.draw_value();
                model.insert(name.clone(), value.clone());
                put.push((name, Some(value)));
            }
        }
        if is_all {
            // In two parts, as rows may come.
            let one = 1_i64.to_le_bytes();
            put.clear();
            for (name, value) in &model {
                if name.node == ROW_NODE {
                    let weight = i64::from_le_bytes(value.as_slice().try_into().expect("eight"));
                    put.push((name.clone(), Some((weight - 1).to_le_bytes().to_vec())));
                    put.push((name.clone(), Some(one.to_vec())));
                } else {
                    put.push((name.clone(), Some(value.clone())));
                }
            }
        }
        for (name, value) in &put {
            changes.put(state_key(name), value.as_deref());
        }
        (changes, model)
    }

    /// Writes a version, which nothing names yet: its runs, unless the power went, or the process.
    fn write(&mut self, relation: usize, may_crash: bool) -> Option<Named> {
        let runs = self.named[relation].runs.clone();
        let version = Version {
            relation: relation as u64,
            runs: &runs,
        };
        let is_all = version.runs.is_empty() || self.draw(6) == 0;
        let (changes, model) = self.draw_changes(relation, is_all);
        let number = self.number;
        let store = self.store.clone();
        let written = Rc::new(RefCell::new(None));
        let slot = written.clone();
        self.sim.spawn_on(self.host, "write", async move {
            let base = Version {
                relation: relation as u64,
                runs: &runs,
            };
            let made = store.write(base, number, changes).await;
            store.sync().await.expect("it is synced");
            *slot.borrow_mut() = Some(made.expect("it is written"));
        });
        if may_crash {
            let after = Duration::from_nanos(self.sim.draw(2_000_000));
            self.sim.run_for(after);
            let runs = written.borrow_mut().take();
            self.crash();
            // It may be there already: the number is taken by another then.
            return runs
                .filter(|_| self.draw(2) == 0)
                .map(|runs| self.written(relation, runs, model));
        }
        assert!(self.sim.run_until(LIMIT, || written.borrow().is_some()));
        let runs = written.borrow_mut().take()?;
        Some(self.written(relation, runs, model))
    }

    fn written(&mut self, relation: usize, runs: Vec<Run>, model: Model) -> Named {
        let before = &self.named[relation];
        // Where nothing has changed nothing need be written.
        if runs == before.runs {
            assert!(model == before.model, "changes that were not written");
        } else {
            assert_eq!(runs.last().map(|run| run.number), Some(self.number));
        }
        self.number += 1;
        Named { runs, model }
    }

    fn crash(&mut self) {
        let is_kill = self.kind != Kind::Runs || self.draw(2) == 0;
        if self.kind != Kind::Runs {
            self.path = self.dir.image(&self.path);
        }
        match is_kill {
            true => self.sim.kill(self.host),
            false => self.sim.power_cut(self.host),
        }
        self.sim.restart(self.host);
        self.store = open(self.kind, &self.sim, self.host, &self.path);
    }

    fn sweep(&self) {
        let (store, named) = (self.store.clone(), self.named.clone());
        let swept = self.sim.run_on(self.host, LIMIT, async move {
            let named = named.iter().enumerate();
            let named = named.filter(|(_, named)| !named.runs.is_empty());
            let named = named.map(|(relation, named)| Version {
                relation: relation as u64,
                runs: &named.runs,
            });
            store.sweep(named.collect()).await
        });
        swept.expect("it ends").expect("it is swept");
    }

    /// Everything that is asked of a version.
    fn check(&self, relation: usize) {
        let Named { runs, model } = self.named[relation].clone();
        let names: Vec<EntryName> = (0..20).map(|_| self.draw_name()).collect();
        let (scan, entries_max) = (self.draw_name(), 1 + self.draw(6));
        let scan = Scan {
            node: scan.node,
            table: scan.table,
            prefix: scan.key[..scan.key.len().min(self.draw(3))].to_vec(),
            after: (self.draw(2) == 0).then(|| self.draw_key()),
            entries_max,
        };
        let (store, wanted, ranged) = (self.store.clone(), names.clone(), scan.clone());
        let read = self.sim.run_on(self.host, LIMIT, async move {
            let version = Version {
                relation: relation as u64,
                runs: &runs,
            };
            let mut all: Vec<(EntryName, Vec<u8>)> = Vec::new();
            let mut take = |key: StateKey<'_>, value: &[u8]| {
                let name = EntryName {
                    node: key.node.0 as u32,
                    table: key.table,
                    key: key.key.to_vec(),
                };
                all.push((name, value.to_vec()));
                Ok(())
            };
            let read = store.read(version, &mut take).await;
            read.expect("all of it can be read");
            let got = store.get(version, wanted).await.expect("some can");
            let scanned = store.scan(version, ranged).await.expect("a stretch can");
            (all, got, scanned)
        });
        let (all, got, scanned) = read.expect("reading ends");
        assert!(summed(all) == model, "it is another state");
        let expected: Vec<_> = names.iter().map(|name| model.get(name).cloned()).collect();
        assert_eq!(got, expected);
        let expected: Vec<_> = model
            .into_iter()
            .filter(|(name, _)| {
                (name.node, name.table) == (scan.node, scan.table)
                    && name.key.starts_with(&scan.prefix)
                    && scan.after.as_ref().is_none_or(|after| name.key > *after)
            })
            .map(|(name, value)| (name.key, value))
            .take(entries_max)
            .collect();
        assert_eq!(scanned, expected);
    }

    fn step(&mut self) {
        let relation = self.draw(2);
        let what = self.draw(8);
        match what {
            0 => self.crash(),
            1 => {
                // As if no checkpoint had come of it.
                drop(self.write(relation, false));
            }
            2 => {
                if let Some(named) = self.write(relation, true) {
                    self.named[relation] = named;
                }
            }
            3 => self.sweep(),
            4 if self.draw(4) == 0 => {
                self.named[relation] = Named::default();
                self.sweep();
            }
            _ => {
                let named = self.write(relation, false);
                self.named[relation] = named.expect("nothing stops it");
            }
        }
        let has_crashed = matches!(what, 0 | 2);
        if has_crashed && self.named.iter().any(|named| named.runs.is_empty()) {
            // As a start does before it writes: what was swept may be there again.
            self.sweep();
        }
        for relation in 0..2 {
            if !self.named[relation].runs.is_empty() {
                self.check(relation);
            }
        }
    }
}

/// Entries as a restart takes them: each once, rows added up, of a node table 255 in front.
fn summed(all: Vec<(EntryName, Vec<u8>)>) -> Model {
    let mut model = Model::new();
    let mut nodes_begun: BTreeMap<u32, bool> = BTreeMap::new();
    for (name, value) in all {
        if name.node == ROW_NODE {
            let weight = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            let sum = model.entry(name).or_insert_with(|| vec![0; 8]);
            *sum = (weight(sum) + weight(&value)).to_le_bytes().to_vec();
            continue;
        }
        let begun = nodes_begun.entry(name.node).or_default();
        assert!(name.table != 255 || !*begun);
        *begun |= name.table != 255;
        let known = model.insert(name, value);
        assert_eq!(known, None, "an entry comes once");
    }
    model.retain(|name, weight| name.node != ROW_NODE || **weight != [0; 8]);
    model
}

fn run(kind: Kind, seeds: u64) {
    for seed in 0..seeds {
        let ran = std::panic::catch_unwind(|| {
            let mut test = Test::new(kind, seed);
            for _ in 0..40 {
                test.step();
            }
        });
        if let Err(panic) = ran {
            eprintln!("{kind:?}, seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn runs_keep_versions() {
    run(Kind::Runs, 40);
}

#[test]
fn redb_keeps_versions() {
    run(Kind::Redb, 15);
}

#[test]
fn fjall_keeps_versions() {
    run(Kind::Fjall, 15);
}

/// A store that is of another checkpoint says so.
#[test]
fn versions_that_are_not_there_are_refused() {
    for kind in [Kind::Redb, Kind::Fjall] {
        let mut test = Test::new(kind, 1);
        for _ in 0..3 {
            let named = test.write(0, false);
            test.named[0] = named.expect("nothing stops it");
        }
        for (wanted, words) in [
            (vec![], "no version"),
            (vec![0], "version 0"),
            (vec![9], "version 9"),
        ] {
            let runs = wanted.into_iter().map(|number| Run {
                number,
                ..Run::default()
            });
            let (store, runs) = (test.store.clone(), runs.collect::<Vec<_>>());
            let read = test.sim.run_on(test.host, LIMIT, async move {
                let version = Version {
                    relation: 0,
                    runs: &runs,
                };
                store.read(version, &mut |_, _| Ok(())).await
            });
            let refused = read
                .expect("it ends")
                .expect_err("it is not there")
                .to_string();
            assert!(
                refused.contains("as of version 2") && refused.contains(words),
                "{refused}"
            );
        }
        test.check(0);
    }
}

/// A crash may bring back what was swept; a start sweeps again, and then its relation begins from nothing.
#[test]
fn what_a_start_sweeps_is_gone() {
    for kind in [Kind::Runs, Kind::Redb, Kind::Fjall] {
        let mut test = Test::new(kind, 1);
        // Of the second there is no way back to nothing.
        for _ in 0..2 {
            let named = test.write(0, false);
            test.named[0] = named.expect("nothing stops it");
        }
        test.named[0] = Named::default();
        test.sweep();
        test.crash();
        test.sweep();
        let named = test.write(0, false);
        test.named[0] = named.expect("nothing stops it");
        test.check(0);
    }
}

#[test]
fn directories_above_a_store_are_made() {
    for kind in [Kind::Redb, Kind::Fjall] {
        let dir = TempDir::new("above");
        let path = dir.next().join("of").join("its own");
        let at = path.clone();
        on_shard(move || {
            let path = at.clone();
            async move { drop(kind.open(path).await) }
        });
        assert!(path.exists(), "{kind:?}");
    }
}
