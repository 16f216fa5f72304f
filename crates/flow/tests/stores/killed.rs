//! Processes that are killed: one that writes versions without end, and an app.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use flow::{Cluster, store::Redb};
use streams::{
    NodeId,
    engine::store::{Changes, Piece, ROWS, Run, StateStore, Version},
    graph::StateKey,
};

use crate::{
    counting_example::app,
    kept::{Kind, TempDir},
    node::Node,
};

/// What a child of this process is to do.
const JOB: &str = "FLOW_STORES_JOB";
const LIMIT: Duration = Duration::from_secs(60);
const READY: &str = "it is as it was";

const KINDS: [(&str, Kind); 3] = [
    ("runs", Kind::Runs),
    ("redb", Kind::Redb),
    ("fjall", Kind::Fjall),
];

/// Not a test where nobody gave it a job.
#[test]
fn child() {
    let Ok(job) = std::env::var(JOB) else { return };
    let job: Vec<String> = job.split('|').map(str::to_owned).collect();
    match job.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["app", addr, dir] => {
            let dir = Path::new(dir);
            let cluster = Cluster::new(addr, dir).state(Redb::at(dir.join("state.redb")));
            let ended = app().run(cluster).map_err(|error| error.to_string());
            panic!("the app has ended: {ended:?}");
        }
        ["versions", kind, dir, goes_on] => {
            let kind = KINDS.iter().find(|(name, _)| *name == kind);
            let (kind, goes_on) = (kind.expect("a kind").1, goes_on == "on");
            let dir = PathBuf::from(dir);
            let config = runtime::Config {
                shards: 1,
                cpus: Some(Vec::new()),
                ..runtime::Config::default()
            };
            let running = runtime::start(config, move || versions(kind, dir.clone(), goes_on));
            running.expect("a shard starts").join().expect("it ends");
        }
        _ => panic!("there is no such job"),
    }
}

/// Ends when dropped.
struct Process {
    child: Child,
    /// Held open: the harness fails where it cannot say that the test has passed.
    out: BufReader<ChildStdout>,
}

impl Process {
    fn start(job: &str) -> Self {
        let program = std::env::current_exe().expect("it runs");
        let mut command = Command::new(program);
        command
            .args(["--exact", "killed::child", "--nocapture"])
            .env(JOB, job)
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let out = child.stdout.take().expect("it was asked for");
        let out = BufReader::new(out);
        Self { child, out }
    }

    fn wait_ready(&mut self) {
        let mut lines = self.out.by_ref().lines();
        let is_ready = lines.any(|line| line.expect("text").contains(READY));
        assert!(is_ready, "it has failed");
    }

    fn kill(mut self) {
        let ended = self.child.try_wait().expect("it can be asked");
        assert!(ended.is_none(), "it has ended by itself: {ended:?}");
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Numbers without order, the same each time.
struct Draws(u64);

impl Draws {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
        (self.0 >> 33) % limit
    }
}

type Model = BTreeMap<(u32, Vec<u8>), Vec<u8>>;

fn put(changes: &mut Changes, node: u32, key: &[u8], value: Option<&[u8]>) {
    let node = NodeId(node as usize);
    changes.put(
        StateKey {
            node,
            table: 1,
            key,
        },
        value,
    );
}

/// What version `number` changes: more than a store writes in one piece.
fn change(model: &mut Model, number: u64) -> Changes {
    let mut changes = Changes::new(false);
    let mut draws = Draws(number);
    for _ in 0..40 {
        let key = format!("key-{}", draws.below(600)).into_bytes();
        if model.remove(&(0, key.clone())).is_some() {
            put(&mut changes, 0, &key, None);
        }
    }
    for _ in 0..300 {
        let key = format!("key-{}", draws.below(600)).into_bytes();
        let value = vec![draws.below(256) as u8; 1 + draws.below(9_000) as usize];
        put(&mut changes, 0, &key, Some(&value));
        model.insert((0, key), value);
    }
    let row = (ROWS.0 as u32, number.to_le_bytes().to_vec());
    put(&mut changes, row.0, &row.1, Some(&1_i64.to_le_bytes()));
    model.insert(row, 1_i64.to_le_bytes().to_vec());
    changes
}

fn everything(model: &Model) -> Changes {
    let mut changes = Changes::new(true);
    for ((node, key), value) in model {
        put(&mut changes, *node, key, Some(value));
    }
    changes
}

/// A run as a checkpoint has to tell it: its number, its bytes, and of each piece whether it has rows, and its end.
fn text_of(run: &Run) -> String {
    let mut text = format!("{} {}", run.number, run.bytes);
    for piece in &run.pieces {
        text += &format!(" {} {}", u8::from(piece.has_rows), piece.end);
    }
    text
}

fn run_of(text: &str) -> Run {
    let numbers = text
        .split(' ')
        .map(|number| number.parse().expect("a number"));
    let numbers: Vec<u64> = numbers.collect();
    let pieces = numbers[2..].chunks(2).map(|piece| Piece {
        has_rows: piece[0] != 0,
        end: piece[1],
    });
    Run {
        number: numbers[0],
        bytes: numbers[1],
        pieces: pieces.collect(),
        ..Run::default()
    }
}

/// Finds what was named last, and goes on: write, sync, name.
async fn versions(kind: Kind, dir: PathBuf, goes_on: bool) {
    let store = kind.open(dir.join("store")).await;
    let named = dir.join("named");
    let text = std::fs::read_to_string(&named).unwrap_or_default();
    let mut runs: Vec<Run> = text.lines().map(run_of).collect();
    let mut model = Model::new();
    let mut number = runs.last().map_or(0, |run| run.number + 1);
    for number in 0..number {
        drop(change(&mut model, number));
    }
    assert!(read(&*store, &runs).await == model, "it is another state");
    println!("{READY}");
    if !goes_on {
        return;
    }
    // Until it is killed.
    loop {
        let base = Version {
            relation: 1,
            runs: &runs,
        };
        let changed = change(&mut model, number);
        let changes = match runs.is_empty() {
            true => everything(&model),
            false => changed,
        };
        let written = store.write(base, number, changes).await;
        store.sync().await.expect("it is synced");
        runs = written.expect("it is written");
        let text: Vec<String> = runs.iter().map(text_of).collect();
        let beside = dir.join("named.new");
        std::fs::write(&beside, text.join("\n")).expect("it can be named");
        std::fs::rename(&beside, &named).expect("it can be named");
        let version = Version {
            relation: 1,
            runs: &runs,
        };
        store.sweep(vec![version]).await.expect("it is swept");
        number += 1;
    }
}

async fn read(store: &dyn StateStore, runs: &[Run]) -> Model {
    let mut model = Model::new();
    let mut take = |key: StateKey<'_>, value: &[u8]| {
        model.insert((key.node.0 as u32, key.key.to_vec()), value.to_vec());
        Ok(())
    };
    let version = Version { relation: 1, runs };
    let read = store.read(version, &mut take).await;
    read.expect("what was named is there");
    model
}

fn survives_kills(name: &str) {
    let dir = TempDir::new("versions");
    let job = |goes_on| format!("versions|{name}|{}|{goes_on}", dir.path().display());
    let mut draws = Draws(7);
    for _ in 0..12 {
        let mut process = Process::start(&job("on"));
        process.wait_ready();
        thread::sleep(Duration::from_micros(draws.below(150_000)));
        process.kill();
    }
    let mut process = Process::start(&job("only to check"));
    process.wait_ready();
    let ended = process.child.wait().expect("it ends");
    assert!(ended.success());
    let named = std::fs::read_to_string(dir.path().join("named"));
    assert!(
        named.is_ok_and(|named| !named.is_empty()),
        "it never got to name one"
    );
}

#[test]
fn runs_survive_kills() {
    survives_kills("runs");
}

#[test]
fn redb_survives_kills() {
    survives_kills("redb");
}

#[test]
fn fjall_survives_kills() {
    survives_kills("fjall");
}

fn changed(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok()?.modified().ok()
}

/// Kills come when the store's file begins to change: within a checkpoint, or right behind it.
#[test]
fn an_app_with_redb_counts_exactly_through_kills() {
    let node = Node::start("kills");
    let dir = TempDir::new("kills");
    let file = dir.path().join("state.redb");
    let job = format!("app|{}|{}", node.addr, dir.path().display());
    let mut draws = Draws(11);
    let mut visits: BTreeMap<String, u64> = BTreeMap::new();
    let mut produce = |node: &Node, draws: &mut Draws| {
        let pages = (0..200).map(|_| {
            let page = format!("page-{}", draws.below(50));
            *visits.entry(page.clone()).or_default() += 1;
            page
        });
        node.produce(pages.collect());
        visits.clone()
    };
    for _ in 0..4 {
        let process = Process::start(&job);
        produce(&node, &mut draws);
        // Behind what opening it writes.
        thread::sleep(Duration::from_secs(2));
        produce(&node, &mut draws);
        let (since, before) = (Instant::now(), changed(&file));
        while changed(&file) == before {
            assert!(since.elapsed() < LIMIT, "no checkpoint is taken");
            thread::sleep(Duration::from_micros(200));
        }
        thread::sleep(Duration::from_micros(draws.below(6_000)));
        process.kill();
    }
    let cluster = Cluster::new(&node.addr.to_string(), dir.path()).state(Redb::at(&file));
    let running = app().start(cluster).expect("it goes on");
    let visits = produce(&node, &mut draws);
    running.flush().expect("it is up to date");
    let table = running.table("visits_by_page").expect("it is there");
    let rows: usize = table.iter().map(|rows| rows.num_rows()).sum();
    assert_eq!(rows, visits.len());
    for (page, count) in &visits {
        let told = node.counts(page, *count as usize);
        assert!(
            told.into_iter().eq(1..=*count),
            "{page} is told once each time"
        );
    }
}
