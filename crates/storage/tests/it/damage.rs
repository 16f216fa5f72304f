//! One flipped bit in any byte of any file of two homes that are not running.
//!
//! Each trial puts the disk back, flips one bit, opens both homes and reads everything. A log either serves all that was
//! acknowledged, byte for byte, or is refused and names the file; no other log suffers. Then the homes are opened once
//! more: a refusal lasts as long as what it stands for is missing.
//!
//! By default a sample of positions; `STORAGE_FLIP_STRIDE=1` tries every byte that was ever written (and some of the
//! space behind), `STORAGE_FLIP_BITS=8` every bit of each.

use std::{cell::RefCell, collections::BTreeMap, path::PathBuf, rc::Rc};

use base::{LeaderEpoch, Offset, TimestampMs};
use runtime::sim::{DiskImage, HostId, Sim};
use storage::{
    Corrupt, Entry, EntryKind, Log, LogConfig, OpenError, ReadError, Store, StoreConfig,
    empty_batch,
};

use crate::harness::{LIMIT, append, batch, key, machine};

/// What one log must give, or be refused.
#[derive(Clone, PartialEq, Eq)]
struct Truth {
    start: i64,
    next: i64,
    bytes: Vec<u8>,
    snapshot: Option<Vec<u8>>,
    /// The owner's, and all entries by index, those without offsets included.
    state: Option<Vec<u8>>,
    entries: Vec<u8>,
}

type Truths = BTreeMap<(usize, i32), Truth>;

const HOMES: usize = 2;
const PARTITIONS: i32 = 4;

fn config(home: usize) -> StoreConfig {
    StoreConfig {
        dir: PathBuf::from(format!("/d/home-{home}")),
        journal_file_bytes: 64 << 10,
        journal_files_max: 2,
        direct_bytes_min: 3 << 10,
        cache_bytes: 128 << 10,
        free_bytes_min: 0,
        free_bytes_warn: 0,
        ..StoreConfig::default()
    }
}

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 20 << 10,
        retention_ms: -1,
        index_interval_bytes: 512,
        ..LogConfig::default()
    }
}

fn term_start(batch: &[u8]) -> Entry<'_> {
    Entry {
        kind: EntryKind::TermStart,
        leader_epoch: LeaderEpoch(0),
        batch,
        record_count: 0,
        max_timestamp: TimestampMs(-1),
    }
}

/// Rolled segments, direct batches, a trimmed front, a snapshot, states; last some batches that only the journal has.
async fn fill(home: usize) -> Rc<Store> {
    let (store, _) = Store::open(config(home)).await.expect("opens");
    for partition in 0..PARTITIONS {
        store
            .create(key(partition), log_config())
            .await
            .expect("creates");
    }
    let log = |partition| store.get(key(partition)).expect("created");
    for round in 0..60u32 {
        let value = vec![round as u8 ^ 0xa5; 150 + 13 * round as usize];
        append(&log(0), &batch(2, i64::from(round) * 10, &value)).await;
        if round % 4 == 0 {
            append(&log(1), &batch(1, i64::from(round), &[7; 5000])).await;
            append(&log(1), &batch(3, i64::from(round), b"small")).await;
        }
    }
    // One that only the manifest has in the end, and one that a later one replaces.
    for partition in 0..2 {
        let saved = log(partition).save_state(&[partition as u8; 40]).await;
        saved.expect("saves");
    }
    settle(&store).await;
    let durable = log(0).durable();
    log(0).set_committed(durable.next_index);
    log(0).trim(Offset(31)).await.expect("trims");
    let at = log(1).next_offset();
    let state = vec![3; 700];
    log(1).save_snapshot(at, state).await.expect("saves");
    for round in 0..12u32 {
        append(&log(2), &batch(1, 5, &[round as u8; 90])).await;
        append(&log(0), &batch(1, 5, &[round as u8; 40])).await;
        if round % 5 == 0 {
            append(&log(1), &batch(1, 5, &[9; 4000])).await;
            log(2)
                .append(term_start(&empty_batch(&[8; 30])))
                .expect("there is room");
        }
    }
    settle(&store).await;
    // Partition 3 has an entry in the last commit only.
    append(&log(3), &batch(1, 5, b"last")).await;
    let saved = log(1).save_state(&[77; 50]);
    settle(&store).await;
    saved.await.expect("saves");
    store
}

/// Waits until everything is acknowledged.
async fn settle(store: &Store) {
    for key in store.keys() {
        let log = store.get(key).expect("listed");
        assert!(log.wait_durable(log.log_epoch(), log.next_offset()).await);
    }
}

async fn read_all(log: &Log) -> Result<Vec<u8>, ReadError> {
    let (mut at, end) = (log.log_start_offset(), log.next_offset());
    let mut bytes = Vec::new();
    while at < end {
        let read = log.read(at, end, 3000, true).await?;
        assert!(read.next_offset > at, "no progress at {at}");
        bytes.extend(read.batches.to_vec());
        at = read.next_offset;
    }
    Ok(bytes)
}

async fn read_entries(log: &Log) -> Result<Vec<u8>, ReadError> {
    let mut at = log.start().index.next();
    let mut bytes = Vec::new();
    while at < log.next_index() {
        for entry in log.read_entries(at, 10, 3000).await? {
            assert_eq!(entry.index, at);
            bytes.extend_from_slice(&entry.batch);
            at = at.next();
        }
    }
    Ok(bytes)
}

async fn truth_of(log: &Log) -> Result<Truth, ReadError> {
    let bytes = read_all(log).await?;
    // Times go through the index, and through a rebuilt one where its file is damaged.
    log.offset_for_timestamp(TimestampMs(300), log.next_offset())
        .await?;
    Ok(Truth {
        start: log.log_start_offset().0,
        next: log.next_offset().0,
        bytes,
        snapshot: log.load_snapshot().await?.map(|(_, state)| state),
        state: log.state().map(|state| state.to_vec()),
        entries: read_entries(log).await?,
    })
}

/// How one flip showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Harmless,
    /// A log was refused.
    Refused,
    /// A producer snapshot was left out; it is built from the log.
    SnapshotLost,
    /// The home did not open.
    NotOpened,
}

struct Flip {
    file: String,
    at: u64,
    bit: u8,
}

impl Flip {
    fn name(&self) -> String {
        format!("{} byte {} bit {}", self.file, self.at, self.bit)
    }

    /// The report names the file and a position in it that is not behind the damage by more than a chunk.
    fn check_named(&self, corrupt: &Corrupt) {
        let name = self.file.rsplit('/').next().expect("a path");
        assert!(
            corrupt.file.ends_with(name),
            "{}: blamed {corrupt}",
            self.name()
        );
        assert!(
            corrupt.at <= self.at && self.at < corrupt.at + (64 << 10),
            "{}: blamed {corrupt}",
            self.name()
        );
    }
}

/// Opens both homes and compares; gives how the damage showed, and the logs that were refused.
async fn examine(truths: Rc<Truths>, flip: Rc<Flip>) -> (Shown, Vec<(usize, i32)>) {
    let mut shown = Shown::Harmless;
    let mut refused = Vec::new();
    for home in 0..HOMES {
        let hit = flip.file.contains(&format!("home-{home}"));
        let store = match Store::open(config(home)).await {
            Ok((store, _)) => store,
            Err(OpenError::Corrupt(corrupt)) if hit => {
                flip.check_named(&corrupt);
                shown = Shown::NotOpened;
                continue;
            }
            Err(error) => panic!("{}: {error}", flip.name()),
        };
        for partition in 0..PARTITIONS {
            let truth = &truths[&(home, partition)];
            let log = store.get(key(partition)).expect("no flip deletes a log");
            match truth_of(&log).await {
                Ok(found) if found == *truth => {}
                Ok(found) if hit && found.snapshot.is_none() => {
                    let without = Truth {
                        snapshot: None,
                        ..truth.clone()
                    };
                    assert!(found == without, "{}: wrong content", flip.name());
                    assert!(flip.file.ends_with("snapshot"), "{}", flip.name());
                    shown = Shown::SnapshotLost;
                }
                Ok(found) => panic!(
                    "{}: log {partition} of home {home} is {}..{} and not {}..{}, or differs",
                    flip.name(),
                    found.start,
                    found.next,
                    truth.start,
                    truth.next
                ),
                Err(ReadError::Quarantined(corrupt)) if hit => {
                    flip.check_named(&corrupt);
                    assert_eq!(log.quarantined(), Some(corrupt));
                    shown = Shown::Refused;
                    refused.push((home, partition));
                }
                Err(error) => panic!("{}: {error}", flip.name()),
            }
        }
        // The process dies: nothing is tidied up.
        drop(store);
    }
    (shown, refused)
}

/// A stopped machine's disk and what it holds.
struct Stopped {
    sim: Sim,
    host: HostId,
    image: DiskImage,
    truths: Rc<Truths>,
}

fn stopped(clean: bool, power_cut: bool) -> Stopped {
    let (sim, host) = machine(number("STORAGE_SEED", 7));
    let truths = sim.run_on(host, LIMIT, async move {
        let mut truths = Truths::new();
        for home in 0..HOMES {
            let store = fill(home).await;
            for partition in 0..PARTITIONS {
                let log = store.get(key(partition)).expect("created");
                let truth = truth_of(&log).await.expect("reads");
                truths.insert((home, partition), truth);
            }
            if clean {
                store.close().await;
            }
        }
        truths
    });
    let truths = Rc::new(truths.expect("fills"));
    if power_cut {
        sim.power_cut(host);
    } else {
        sim.kill(host);
    }
    let image = sim.disk_image(host);
    Stopped {
        sim,
        host,
        image,
        truths,
    }
}

impl Stopped {
    fn examine(&self, flip: &Rc<Flip>) -> (Shown, Vec<(usize, i32)>) {
        self.sim.restart(self.host);
        let work = examine(Rc::clone(&self.truths), Rc::clone(flip));
        let found = self.sim.run_on(self.host, LIMIT, work);
        let Some(found) = found else {
            let reason = self.sim.fatal_reason(self.host);
            panic!("{}: ended by {reason:?}", flip.name());
        };
        self.sim.kill(self.host);
        found
    }

    fn trial(&self, flip: Flip) -> Shown {
        let flip = Rc::new(flip);
        self.sim.set_disk_image(self.host, &self.image);
        self.sim.flip_bit(self.host, &flip.file, flip.at, flip.bit);
        let (shown, refused) = self.examine(&flip);
        assert!(refused.len() <= 1, "{}: refused {refused:?}", flip.name());
        let (_, still) = self.examine(&flip);
        assert_eq!(refused, still, "{}: after one more start", flip.name());
        shown
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.and_then(|s| s.parse().ok()).unwrap_or(default)
}

fn flip_everywhere(name: &str, stopped: &Stopped) -> BTreeMap<(String, Shown), u64> {
    let stride = number("STORAGE_FLIP_STRIDE", 1499);
    let bits = number("STORAGE_FLIP_BITS", 1).min(8);
    let seen = RefCell::new(BTreeMap::new());
    for (file, bytes) in stopped.sim.files(stopped.host) {
        let kind = file.rsplit(['.', '/']).next().expect("a name").to_owned();
        let kind = kind.split('-').next().expect("a name").to_owned();
        stopped.sim.set_disk_image(stopped.host, &stopped.image);
        let contents = stopped.sim.contents(stopped.host, &file).expect("listed");
        let written = contents.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
        // Small files and the front of each are what a sample misses most; space that was only taken ahead, least.
        let (dense, ahead) = (stride.min(97), 100 * stride);
        let mut at = 0;
        while at < bytes {
            for bit in 0..bits {
                let flip = Flip {
                    file: file.clone(),
                    at,
                    bit: ((at + bit) % 8) as u8,
                };
                let shown = stopped.trial(flip);
                *seen.borrow_mut().entry((kind.clone(), shown)).or_default() += 1;
            }
            at += match at {
                0..700 => dense.min(bytes / 8 + 1),
                _ if at > written => ahead,
                _ => stride,
            };
        }
    }
    let seen = seen.into_inner();
    println!("{name}: {seen:?}");
    seen
}

/// The sample must have met both outcomes in the files that hold entries.
fn check_met(seen: &BTreeMap<(String, Shown), u64>, kind: &str) {
    for shown in [Shown::Harmless, Shown::Refused] {
        assert!(
            seen.contains_key(&(kind.to_owned(), shown)),
            "no {shown:?} flip in a {kind}: {seen:?}"
        );
    }
}

#[test]
fn a_closed_home_serves_or_refuses_what_a_flipped_bit_touches() {
    let seen = flip_everywhere("closed", &stopped(true, false));
    check_met(&seen, "segment");
    assert!(!seen.contains_key(&("journal".to_owned(), Shown::Refused)));
}

#[test]
fn a_killed_home_serves_or_refuses_what_a_flipped_bit_touches() {
    let seen = flip_everywhere("killed", &stopped(false, false));
    check_met(&seen, "segment");
    check_met(&seen, "journal");
}

#[test]
fn a_home_after_a_power_cut_serves_or_refuses_what_a_flipped_bit_touches() {
    let seen = flip_everywhere("power cut", &stopped(false, true));
    check_met(&seen, "journal");
}

/// One commit each: log 0's first entry, log 1's entry, log 0's state, then log 0's two further entries.
async fn commit_one_by_one(notes_state: bool) {
    let (store, _) = Store::open(config(0)).await.expect("opens");
    let mut logs = Vec::new();
    for partition in 0..2 {
        let log = store.create(key(partition), log_config()).await;
        logs.push(log.expect("creates"));
    }
    for step in 0..5 {
        match step {
            1 => drop(append(&logs[1], &batch(1, 5, b"one")).await),
            2 => {
                logs[0].save_state(b"vote").await.expect("saves");
                if notes_state {
                    // The log's record is written anew.
                    let log = store.get(key(0)).expect("created");
                    log.set_committed(log.next_index());
                    log.trim(Offset(1)).await.expect("trims");
                }
            }
            _ => drop(append(&logs[0], &batch(1, 5, b"zero")).await),
        }
        settle(&store).await;
    }
}

/// Damage that leaves nothing of a commit hides whose frames it held. A log is served if what it has behind the damage
/// tells that it lost neither an entry nor a state.
#[test]
fn a_hidden_commit_refuses_the_logs_that_may_have_lost_something() {
    let cases = [
        // Log 0's next entry tells that the one before it was the last thing of the log.
        (1, false, [false, true]),
        // It tells that there was a state.
        (2, false, [true, true]),
        // That state is in the log's record, too.
        (2, true, [false, true]),
        // The entry is missing.
        (3, false, [true, true]),
    ];
    for (hidden, notes_state, refused) in cases {
        let (sim, host) = machine(3);
        let filled = sim.run_on(host, LIMIT, commit_one_by_one(notes_state));
        assert!(filled.is_some());
        sim.kill(host);
        let at = 4096 * (1 + hidden);
        for byte in (at..at + 4096).step_by(8) {
            for bit in [0, 3, 4] {
                sim.flip_bit(host, "/d/home-0/journal/000.journal", byte, bit);
            }
        }
        for _ in 0..2 {
            sim.restart(host);
            let found = sim.run_on(host, LIMIT, async {
                let (store, _) = Store::open(config(0)).await.expect("opens");
                let is_refused = |partition| {
                    let log = store.get(key(partition)).expect("created");
                    log.quarantined().is_some()
                };
                [is_refused(0), is_refused(1)]
            });
            assert_eq!(found, Some(refused), "commit {hidden} is hidden");
            sim.kill(host);
        }
    }
}

/// The record has the last state of a commit; the one before it in the same commit is whole in the journal, the last one
/// is not.
#[test]
fn an_older_state_of_a_commit_does_not_replace_the_last_one() {
    let (sim, host) = machine(4);
    let filled = sim.run_on(host, LIMIT, async {
        let (store, _) = Store::open(config(0)).await.expect("opens");
        let log = store.create(key(0), log_config()).await.expect("creates");
        let older = log.save_state(&[0x5a; 64]);
        let last = log.save_state(&[0xa5; 64]);
        older.await.expect("saves");
        last.await.expect("saves");
        // Writes the record anew.
        append(&log, &batch(1, 5, b"one")).await;
        settle(&store).await;
        log.set_committed(log.next_index());
        log.trim(Offset(1)).await.expect("trims");
    });
    assert!(filled.is_some());
    sim.kill(host);
    let journal = "/d/home-0/journal/000.journal";
    let bytes = sim.contents(host, journal).expect("there");
    let at = bytes.windows(64).position(|bytes| bytes == [0xa5; 64]);
    sim.flip_bit(host, journal, at.expect("staged") as u64, 3);
    sim.restart(host);
    let found = sim.run_on(host, LIMIT, async {
        let (store, _) = Store::open(config(0)).await.expect("opens");
        let log = store.get(key(0)).expect("created");
        assert_eq!(log.quarantined(), None);
        log.state().map(|state| state.to_vec())
    });
    assert_eq!(found, Some(Some(vec![0xa5; 64])));
}
