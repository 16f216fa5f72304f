//! A home as each format version wrote it, which today's code must read.
//!
//! `tests/golden/v<version>.hex` lists a home's files: a line `= <name> <length>` each, then `<position> <hex bytes>` for
//! what is not zero. It is the disk of a process that was killed, so that the journal is live. A new version gets a file
//! of its own (`STORAGE_GOLDEN_WRITE=v2 cargo test -p storage golden`), the old ones stay as they are.

use std::{fmt::Write as _, path::Path};

use base::{LeaderEpoch, Offset, RaftIndex, TimestampMs};
use storage::{Entry, EntryKind, LogConfig, Store, StoreConfig};

use crate::harness::{LIMIT, TempDir, append, batch, key, machine, on_real_files};

const LINE_BYTES: usize = 32;

fn config(dir: &Path) -> StoreConfig {
    StoreConfig {
        dir: dir.to_path_buf(),
        journal_file_bytes: 64 << 10,
        journal_files_max: 2,
        direct_bytes_min: 3 << 10,
        cache_bytes: 128 << 10,
        free_bytes_min: 0,
        // No ballast: it says nothing.
        free_bytes_warn: 1 << 60,
        ..StoreConfig::default()
    }
}

fn log_config() -> LogConfig {
    LogConfig {
        segment_bytes: 12 << 10,
        segment_ms: 1_111,
        retention_bytes: 2_222_222,
        retention_ms: -1,
        index_interval_bytes: 1024,
        delete_old: true,
    }
}

/// What partition 0 holds: direct batches over three segments, then small ones in the journal.
fn batches() -> Vec<Vec<u8>> {
    let large = (0..6).map(|n| batch(2, 1_000 + n, &[b'a' + n as u8; 3000]));
    let small = (0..4).map(|n| batch(3, 2_000 + n, &[b'0' + n as u8; 20]));
    large.chain(small).collect()
}

fn term_start(batch: &[u8]) -> Entry<'_> {
    Entry {
        kind: EntryKind::TermStart,
        leader_epoch: LeaderEpoch(3),
        batch,
        record_count: 0,
        max_timestamp: TimestampMs(-1),
    }
}

async fn fill(dir: &Path) {
    let (store, _) = Store::open(config(dir)).await.expect("opens");
    let log = store.create(key(0), log_config()).await.expect("creates");
    let other = store.create(key(1), log_config()).await.expect("creates");
    for bytes in &batches()[..6] {
        let appended = append(&log, bytes).await;
        log.wait_durable(appended.log_epoch, appended.next_offset)
            .await;
    }
    log.set_committed(log.durable().next_index);
    log.trim(Offset(5)).await.expect("trims");
    log.save_snapshot(Offset(12), b"windows".to_vec())
        .await
        .expect("saves");
    // The journal gets another log's frame, states, an entry without offsets, and some commits.
    append(&other, &batch(1, 7, b"other")).await;
    other.save_state(b"old").await.expect("saves");
    log.save_state(b"vote").await.expect("saves");
    for bytes in &batches()[6..] {
        let appended = append(&log, bytes).await;
        log.wait_durable(appended.log_epoch, appended.next_offset)
            .await;
    }
    other.save_state(b"new").await.expect("saves");
    log.append(term_start(&storage::empty_batch(b"term")))
        .expect("there is room");
    other
        .truncate(other.next_index())
        .await
        .expect("bumps the log epoch");
    runtime::sleep(std::time::Duration::from_secs(1)).await;
}

fn dump(files: &[(String, Vec<u8>)]) -> String {
    let mut out = String::new();
    for (name, bytes) in files {
        writeln!(out, "= {name} {}", bytes.len()).expect("a string");
        for (at, line) in bytes.chunks(LINE_BYTES).enumerate() {
            if line.iter().all(|byte| *byte == 0) {
                continue;
            }
            let hex: String = line.iter().map(|byte| format!("{byte:02x}")).collect();
            writeln!(out, "{:x} {hex}", at * LINE_BYTES).expect("a string");
        }
    }
    out
}

/// Writes the listed files under `dir`.
fn restore(text: &str, dir: &Path) {
    let mut files: Vec<(String, Vec<u8>)> = Vec::new();
    for line in text.lines() {
        if let Some(head) = line.strip_prefix("= ") {
            let (name, length) = head.split_once(' ').expect("name and length");
            let bytes = vec![0; length.parse().expect("a number")];
            files.push((name.to_owned(), bytes));
            continue;
        }
        let (at, hex) = line.split_once(' ').expect("position and bytes");
        let at = usize::from_str_radix(at, 16).expect("a position");
        let (_, bytes) = files.last_mut().expect("a name comes first");
        for (n, digits) in hex.as_bytes().chunks(2).enumerate() {
            let digits = std::str::from_utf8(digits).expect("ASCII");
            bytes[at + n] = u8::from_str_radix(digits, 16).expect("a byte");
        }
    }
    for (name, bytes) in files {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().expect("a directory")).expect("creates");
        std::fs::write(path, bytes).expect("writes");
    }
}

fn write_golden(version: &str) {
    let (sim, host) = machine(1);
    let filled = sim.run_on(host, LIMIT, fill(Path::new("/home")));
    assert!(filled.is_some(), "{:?}", sim.fatal_reason(host));
    sim.kill(host);
    let files: Vec<_> = sim
        .files(host)
        .into_iter()
        .map(|(name, _)| {
            let bytes = sim.contents(host, &name).expect("listed");
            (
                name.rsplit("home/").next().unwrap_or(&name).to_owned(),
                bytes,
            )
        })
        .collect();
    let path = format!("{}/tests/golden/{version}.hex", env!("CARGO_MANIFEST_DIR"));
    std::fs::write(path, dump(&files)).expect("writes");
}

fn check(text: &str) {
    let dir = TempDir::new("golden");
    let path = dir.path().join("home-0");
    restore(text, &path);
    on_real_files(move || async move {
        for _ in 0..2 {
            let (store, report) = Store::open(config(&path)).await.expect("opens");
            assert_eq!(report.quarantined, Vec::new());
            assert_eq!(report.partitions, 2);
            let log = store.get(key(0)).expect("listed");
            assert_eq!(
                (log.log_start_offset(), log.next_offset()),
                (Offset(5), Offset(24))
            );
            let read = log.read(Offset(5), Offset(24), 1 << 20, true).await;
            let mut at = 4;
            let mut found = Vec::new();
            let mut bytes = read.expect("reads");
            loop {
                found.extend(bytes.batches.to_vec());
                if bytes.next_offset == Offset(24) {
                    break;
                }
                let next = log.read(bytes.next_offset, Offset(24), 1 << 20, true).await;
                bytes = next.expect("reads");
            }
            let mut rest = &found[..];
            for mut want in batches().into_iter().skip(2) {
                let count = i64::from(u32::from_be_bytes(want[57..61].try_into().expect("four")));
                kafka::batch::assign(&mut want[..16], Offset(at), base::LeaderEpoch(0));
                assert_eq!(rest[..want.len()], want, "at {at}");
                rest = &rest[want.len()..];
                at += count;
            }
            assert!(rest.is_empty());
            assert_eq!(log.state().as_deref(), Some(&b"vote"[..]));
            let entries = log.read_entries(RaftIndex(11), 9, 1 << 20).await;
            let last = entries.expect("reads").pop().expect("the last entry");
            assert_eq!((last.kind, last.record_count), (EntryKind::TermStart, 0));
            assert_eq!((last.index, last.base_offset), (RaftIndex(11), Offset(24)));
            assert_eq!(storage::payload_of(&last.batch), b"term");
            let snapshot = log.load_snapshot().await.expect("loads");
            assert_eq!(snapshot, Some((Offset(12), b"windows".to_vec())));
            let other = store.get(key(1)).expect("listed");
            assert_eq!(other.next_offset(), Offset(1));
            assert_eq!(other.log_epoch(), base::LogEpoch(1));
            assert_eq!(other.state().as_deref(), Some(&b"new"[..]));
            // The second start reads what this one wrote, of the same home.
            store.close().await;
        }
    });
}

#[test]
fn todays_code_reads_each_format_version() {
    if let Ok(version) = std::env::var("STORAGE_GOLDEN_WRITE") {
        write_golden(&version);
        return;
    }
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut count = 0;
    for entry in std::fs::read_dir(dir).expect("lists") {
        let path = entry.expect("lists").path();
        check(&std::fs::read_to_string(&path).expect("reads"));
        count += 1;
    }
    assert!(count > 0, "no golden image");
}
