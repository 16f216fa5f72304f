//! Tests of the simulated disk: what a power cut may and must not do.

use super::{Disk, DiskHandle};
use crate::{
    fs::Open,
    sim::{
        DiskFaults,
        rng::{Rng, Stream},
    },
};
use std::{collections::BTreeSet, path::Path, time::Duration};

const READ_WRITE: Open = Open {
    read: true,
    write: true,
    create: true,
    create_new: false,
    truncate: false,
    direct: false,
};

fn faults() -> DiskFaults {
    DiskFaults {
        latency: (Duration::ZERO, Duration::ZERO),
        read_error: 0.0,
        write_error: 0.0,
        sync_error: 0.0,
        short_io: 0.0,
        unsynced_survives: 0.5,
        sector_bytes: 512,
        capacity_bytes: 1 << 20,
    }
}

fn disk_with(seed: u64, faults: DiskFaults) -> Disk {
    Disk::new(
        faults,
        Rng::stream(seed, Stream::Disk, 0),
        Rng::stream(seed, Stream::Crash, 0),
    )
}

fn create(disk: &mut Disk, path: &str) -> DiskHandle {
    disk.open(Path::new(path), READ_WRITE).expect("opens")
}

fn write(disk: &mut Disk, handle: DiskHandle, pos: u64, data: &[u8], dsync: bool) {
    assert_eq!(
        disk.write(handle, pos, &[data], dsync).expect("writes"),
        data.len()
    );
}

fn sync_dir(disk: &mut Disk, path: &str) {
    let dir = disk.open_dir(Path::new(path)).expect("opens");
    let mark = disk.mark();
    disk.sync(dir, mark).expect("syncs");
    disk.close(dir);
}

fn contents(disk: &Disk, path: &str) -> Option<Vec<u8>> {
    disk.contents(Path::new(path)).ok()
}

/// Runs the same steps over many seeds and collects what a power cut left of `path`.
fn outcomes(path: &str, steps: impl Fn(&mut Disk)) -> BTreeSet<Option<Vec<u8>>> {
    (0..400)
        .map(|seed| {
            let mut disk = disk_with(seed, faults());
            steps(&mut disk);
            disk.cut();
            contents(&disk, path)
        })
        .collect()
}

#[test]
fn synced_bytes_and_names_survive() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        write(disk, file, 0, b"hello", false);
        let mark = disk.mark();
        disk.sync(file, mark).expect("syncs");
        sync_dir(disk, "/");
    });
    assert_eq!(left, BTreeSet::from([Some(b"hello".to_vec())]));
}

#[test]
fn data_sync_write_survives_with_its_length_and_alone() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        sync_dir(disk, "/");
        write(disk, file, 0, &[1; 512], false);
        write(disk, file, 1024, &[2; 512], true);
    });
    assert!(left.len() > 1, "the first write is at risk");
    for bytes in left {
        let bytes = bytes.expect("the name is durable");
        assert_eq!(bytes.len(), 1536);
        assert_eq!(bytes[1024..], [2; 512]);
        assert!(bytes[..512] == [1; 512] || bytes[..512] == [0; 512]);
    }
}

#[test]
fn data_sync_write_covers_an_earlier_write_of_the_same_sector() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        sync_dir(disk, "/");
        write(disk, file, 0, &[1; 1024], false);
        write(disk, file, 100, &[2; 8], true);
    });
    for bytes in &left {
        let bytes = bytes.as_ref().expect("the name is durable");
        assert_eq!(bytes[100..108], [2; 8]);
        assert_eq!(bytes[..100], [1; 100], "sectors are written whole");
    }
    assert!(
        left.len() > 1,
        "the second sector of the first write is at risk"
    );
}

#[test]
fn unsynced_write_survives_is_lost_or_torn() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        write(disk, file, 0, &[1; 2048], true);
        sync_dir(disk, "/");
        write(disk, file, 0, &[2; 2048], false);
    });
    let expected = |byte: u8| Some(vec![byte; 2048]);
    assert!(left.contains(&expected(1)), "lost");
    assert!(left.contains(&expected(2)), "survived");
    assert!(left.len() > 4, "torn in several ways: {}", left.len());
    for bytes in left {
        for sector in bytes.expect("the name is durable").chunks(512) {
            assert!(
                sector == [1; 512] || sector == [2; 512],
                "sectors are atomic"
            );
        }
    }
}

#[test]
fn unsynced_name_may_vanish_and_may_stay() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        write(disk, file, 0, b"x", true);
    });
    assert!(left.contains(&None));
    assert!(left.contains(&Some(b"x".to_vec())));
}

#[test]
fn rename_is_atomic() {
    let steps = |disk: &mut Disk| {
        let old = create(disk, "/a");
        write(disk, old, 0, b"old", true);
        let new = create(disk, "/a.tmp");
        write(disk, new, 0, b"new", true);
        sync_dir(disk, "/");
        disk.rename(Path::new("/a.tmp"), Path::new("/a"))
            .expect("renames");
    };
    let left = outcomes("/a", steps);
    let expected = BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]);
    assert_eq!(left, expected);
    let temporary = outcomes("/a.tmp", steps);
    assert_eq!(temporary, BTreeSet::from([None, Some(b"new".to_vec())]));
}

#[test]
fn renamed_without_sync_of_the_data_may_be_empty() {
    let left = outcomes("/a", |disk| {
        let new = create(disk, "/a.tmp");
        write(disk, new, 0, b"new", false);
        disk.rename(Path::new("/a.tmp"), Path::new("/a"))
            .expect("renames");
        sync_dir(disk, "/");
    });
    assert!(left.contains(&Some(Vec::new())), "{left:?}");
}

#[test]
fn syncing_a_directory_takes_along_what_the_names_build_on() {
    let left = outcomes("/y/b", |disk| {
        disk.create_dir_all(Path::new("/x")).expect("creates");
        disk.create_dir_all(Path::new("/y")).expect("creates");
        sync_dir(disk, "/");
        let file = create(disk, "/x/a");
        write(disk, file, 0, b"moved", true);
        disk.rename(Path::new("/x/a"), Path::new("/y/b"))
            .expect("renames");
        sync_dir(disk, "/y");
    });
    assert_eq!(left, BTreeSet::from([Some(b"moved".to_vec())]));
}

#[test]
fn truncated_and_written_again_never_shows_old_bytes_behind_the_new_end() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        write(disk, file, 0, &[1; 2048], true);
        sync_dir(disk, "/");
        disk.truncate(file, 512).expect("truncates");
        write(disk, file, 512, &[2; 512], true);
    });
    for bytes in left {
        let bytes = bytes.expect("the name is durable");
        assert_eq!(bytes.len(), 1024);
        assert_eq!(bytes[512..], [2; 512]);
    }
}

#[test]
fn failed_sync_forgets_and_the_next_one_says_ok() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut disk = disk_with(seed, faults());
        let file = create(&mut disk, "/a");
        sync_dir(&mut disk, "/");
        write(&mut disk, file, 0, &[1; 4096], false);
        disk.set_faults(DiskFaults {
            sync_error: 1.0,
            ..faults()
        });
        let mark = disk.mark();
        assert!(disk.sync(file, mark).is_err());
        disk.set_faults(faults());
        disk.sync(file, mark).expect("the trap: it says ok");
        assert_eq!(
            contents(&disk, "/a"),
            Some(vec![1; 4096]),
            "the page cache has it"
        );
        assert!(!disk.has_unsynced());
        disk.cut();
        lost += u32::from(contents(&disk, "/a") != Some(vec![1; 4096]));
    }
    assert!(lost > 40, "{lost}");
}

#[test]
fn sync_covers_only_what_was_written_before_it_was_asked_for() {
    let left = outcomes("/a", |disk| {
        let file = create(disk, "/a");
        sync_dir(disk, "/");
        write(disk, file, 0, &[1; 512], false);
        let mark = disk.mark();
        write(disk, file, 512, &[2; 512], false);
        disk.sync(file, mark).expect("syncs");
    });
    assert!(
        left.iter()
            .all(|bytes| bytes.as_ref().is_some_and(|bytes| bytes.len() >= 512))
    );
    assert!(
        left.contains(&Some(vec![1; 512])),
        "the later write is at risk"
    );
}

#[test]
fn full_disk_refuses_and_freeing_helps() {
    let mut disk = disk_with(
        1,
        DiskFaults {
            capacity_bytes: 8 * 4096,
            ..faults()
        },
    );
    let file = create(&mut disk, "/a");
    write(&mut disk, file, 0, &[1; 7 * 4096], false);
    let error = disk
        .write(file, 7 * 4096, &[&[1; 2 * 4096]], false)
        .expect_err("full");
    assert_eq!(error.raw_os_error(), Some(libc::ENOSPC));
    write(&mut disk, file, 0, &[2; 4096], false);
    assert_eq!(disk.space().available_bytes, 4096);
    disk.close(file);
    disk.remove_file(Path::new("/a")).expect("removes");
    let file = create(&mut disk, "/b");
    sync_dir(&mut disk, "/");
    write(&mut disk, file, 0, &[1; 8 * 4096], false);
    assert_eq!(disk.space().available_bytes, 0);
}

#[test]
fn kill_keeps_what_completed_and_releases_locks() {
    let mut disk = disk_with(1, faults());
    disk.create_dir_all(Path::new("/data")).expect("creates");
    let file = create(&mut disk, "/data/a");
    write(&mut disk, file, 0, b"kept", false);
    let lock = Path::new("/data/LOCK");
    disk.lock(lock).expect("free");
    let taken = disk.lock(lock).expect_err("taken");
    assert_eq!(taken.kind(), std::io::ErrorKind::WouldBlock);
    disk.kill();
    assert_eq!(contents(&disk, "/data/a"), Some(b"kept".to_vec()));
    disk.lock(lock).expect("the process that held it is gone");
    assert!(disk.has_unsynced(), "kept by the kernel, not by the media");
}

#[test]
#[should_panic(expected = "O_DIRECT")]
fn misaligned_direct_write_is_found() {
    let mut disk = disk_with(1, faults());
    let open = Open {
        direct: true,
        ..READ_WRITE
    };
    let file = disk.open(Path::new("/a"), open).expect("opens");
    let _ = disk.write(file, 0, &[&[0; 100]], false);
}

#[test]
fn short_reads_and_writes_happen_on_demand() {
    let mut disk = disk_with(
        3,
        DiskFaults {
            short_io: 1.0,
            ..faults()
        },
    );
    let file = create(&mut disk, "/a");
    let written = disk
        .write(file, 0, &[&[1; 600], &[2; 400]], false)
        .expect("writes");
    assert!((1..1000).contains(&written));
    let mut out = [0; 100];
    let read = disk.read(file, 0, &mut out).expect("reads");
    assert!(read < 100 && read > 0);
    assert_eq!(out[..read], vec![1; read]);
}

#[test]
fn flipped_bit_stays_flipped() {
    let mut disk = disk_with(3, faults());
    let file = create(&mut disk, "/a");
    write(&mut disk, file, 0, &[0; 10], true);
    sync_dir(&mut disk, "/");
    assert!(disk.flip_bit(Path::new("/a"), 9, 3));
    assert!(!disk.flip_bit(Path::new("/a"), 10, 3));
    disk.cut();
    assert_eq!(contents(&disk, "/a").expect("there")[9], 8);
}

#[test]
fn removed_directory_is_gone_or_partly_there() {
    let mut left = BTreeSet::new();
    for seed in 0..200 {
        let mut disk = disk_with(seed, faults());
        disk.create_dir_all(Path::new("/t")).expect("creates");
        create(&mut disk, "/t/a");
        create(&mut disk, "/t/b");
        sync_dir(&mut disk, "/");
        sync_dir(&mut disk, "/t");
        disk.remove_dir_all(Path::new("/t")).expect("removes");
        disk.cut();
        left.insert(disk.files());
    }
    assert!(left.contains(&Vec::new()));
    assert!(left.len() > 2, "{left:?}");
}
