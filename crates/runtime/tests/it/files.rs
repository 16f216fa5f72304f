//! What files and directories promise, on every backend and in simulation.

use crate::world::{at, conformance};
use base::FilePos;
use iobuf::{AppendBuf, Buf, BufMut, IoBuf};
use runtime::{
    Class,
    fs::{self, Durability, File, Open},
};
use std::{io::ErrorKind, path::PathBuf, time::Duration};

conformance!(
    written_bytes_are_read,
    reads_end_with_the_file,
    direct_files_take_aligned_chains,
    long_chains_are_written_whole,
    files_grow_and_shrink,
    opening_says_what_is_there,
    directories_list_what_they_hold,
    replace_is_whole,
    locks_exclude,
    many_operations_at_once,
    dropped_futures_leave_buffers_alone;
    // The simulated disk panics instead: in tests nobody should get that far.
    only real: direct_files_refuse_unaligned_memory,
);

fn rw() -> Open {
    Open {
        read: true,
        write: true,
        create: true,
        ..Open::default()
    }
}

fn chain(parts: &[&[u8]]) -> IoBuf {
    parts.iter().map(|p| Buf::copy_from_slice(p)).collect()
}

async fn read_all(file: &File, bytes: usize) -> Vec<u8> {
    let (result, buf) = file
        .read_at(FilePos(0), BufMut::with_capacity(bytes.max(1)), bytes)
        .await;
    assert_eq!(result.expect("reads"), buf.len());
    buf.to_vec()
}

async fn written_bytes_are_read(dir: PathBuf) {
    let file = File::open(&at(&dir, "a"), rw()).await.expect("opens");
    let data = chain(&[b"hello ", b"wide ", b"world"]);
    file.write_at(FilePos(3), data, Durability::Data)
        .await
        .expect("writes");
    file.sync_data().await.expect("syncs");
    file.sync_all().await.expect("syncs");
    assert_eq!(read_all(&file, 100).await, b"\0\0\0hello wide world");
    assert_eq!(file.len().await.expect("has a length"), 19);
    file.write_at(FilePos(3), chain(&[b"HELLO"]), Durability::None)
        .await
        .expect("writes");
    file.write_at(FilePos(50), IoBuf::new(), Durability::None)
        .await
        .expect("nothing to write");
    let other = file.clone();
    drop(file);
    assert_eq!(read_all(&other, 19).await, b"\0\0\0HELLO wide world");
}

async fn reads_end_with_the_file(dir: PathBuf) {
    let file = File::open(&at(&dir, "a"), rw()).await.expect("opens");
    file.write_at(FilePos(0), chain(&[&[7; 1000]]), Durability::None)
        .await
        .expect("writes");
    for (pos, bytes, expected) in [
        (0, 1000, 1000),
        (0, 4000, 1000),
        (990, 100, 10),
        (1000, 5, 0),
        (9000, 5, 0),
    ] {
        let buf = BufMut::with_capacity(4000);
        let (result, buf) = file.read_at(FilePos(pos), buf, bytes).await;
        assert_eq!((result.expect("reads"), buf.len()), (expected, expected));
        assert!(buf.iter().all(|b| *b == 7));
    }
    let (result, buf) = file.read_at(FilePos(0), BufMut::with_capacity(10), 0).await;
    assert_eq!((result.expect("reads"), buf.len()), (0, 0));
}

async fn direct_files_take_aligned_chains(dir: PathBuf) {
    let open = Open {
        direct: true,
        ..rw()
    };
    let file = match File::open(&at(&dir, "a"), open).await {
        Ok(file) => file,
        // Some file systems (tmpfs before Linux 6.6) know no direct I/O.
        Err(error) if error.kind() == ErrorKind::InvalidInput => return,
        Err(error) => panic!("{error}"),
    };
    let mut data = IoBuf::new();
    let mut model = Vec::new();
    for i in 0..5u8 {
        let mut staging = AppendBuf::with_capacity(8192);
        staging.append(&[&[i; 3000], &[i + 100; 2000]]);
        staging.pad_to(4096);
        data.push(staging.view(0..8192));
        model.extend_from_slice(&staging.view(0..8192));
    }
    file.write_at(FilePos(4096), data, Durability::Data)
        .await
        .expect("writes");
    let buf = BufMut::with_capacity(64 * 1024);
    let (result, buf) = file.read_at(FilePos(4096), buf, 64 * 1024).await;
    assert_eq!(result.expect("reads"), model.len());
    assert_eq!(buf[..], model[..]);
}

async fn direct_files_refuse_unaligned_memory(dir: PathBuf) {
    let open = Open {
        direct: true,
        ..rw()
    };
    let file = match File::open(&at(&dir, "a"), open).await {
        Ok(file) => file,
        // As above.
        Err(error) if error.kind() == ErrorKind::InvalidInput => return,
        Err(error) => panic!("{error}"),
    };
    let unaligned = Buf::copy_from_slice(&[1; 4096]).slice(1..);
    let result = file
        .write_at(FilePos(0), unaligned.into(), Durability::None)
        .await;
    assert_eq!(
        result.expect_err("unaligned").kind(),
        ErrorKind::InvalidInput
    );
}

async fn long_chains_are_written_whole(dir: PathBuf) {
    let file = File::open(&at(&dir, "a"), rw()).await.expect("opens");
    // More chunks than one call takes.
    let data: IoBuf = (0..3000u32)
        .map(|i| Buf::copy_from_slice(&i.to_le_bytes()))
        .collect();
    let model = data.to_vec();
    file.write_at(FilePos(0), data, Durability::None)
        .await
        .expect("writes");
    assert_eq!(read_all(&file, 20_000).await, model);
}

async fn files_grow_and_shrink(dir: PathBuf) {
    let file = File::open(&at(&dir, "a"), rw()).await.expect("opens");
    file.allocate(FilePos(0), 8192).await.expect("allocates");
    assert_eq!(file.len().await.expect("has a length"), 8192);
    assert_eq!(read_all(&file, 9000).await, vec![0; 8192]);
    file.write_at(FilePos(100), chain(&[b"xyz"]), Durability::None)
        .await
        .expect("writes");
    file.allocate(FilePos(4096), 8192).await.expect("allocates");
    assert_eq!(file.len().await.expect("has a length"), 12288);
    file.truncate(102).await.expect("shrinks");
    file.truncate(104).await.expect("grows");
    let bytes = read_all(&file, 9000).await;
    assert_eq!(&bytes[99..], b"\0xy\0\0");
}

async fn opening_says_what_is_there(dir: PathBuf) {
    let path = at(&dir, "a");
    let read = Open {
        read: true,
        ..Open::default()
    };
    let missing = File::open(&path, read).await.err().expect("not there");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(!fs::exists(&path).await.expect("can tell"));
    let create_new = Open {
        create_new: true,
        ..rw()
    };
    let file = File::open(&path, create_new).await.expect("creates");
    file.write_at(FilePos(0), chain(&[b"abc"]), Durability::None)
        .await
        .expect("writes");
    let again = File::open(&path, create_new).await.err().expect("is there");
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    assert!(fs::exists(&path).await.expect("can tell"));
    let reader = File::open(&path, read).await.expect("opens");
    let refused = reader
        .write_at(FilePos(0), chain(&[b"x"]), Durability::None)
        .await;
    assert!(refused.is_err());
    let truncate = Open {
        truncate: true,
        ..rw()
    };
    let file = File::open(&path, truncate).await.expect("opens");
    assert_eq!(file.len().await.expect("has a length"), 0);
    fs::remove_file(&path).await.expect("removes");
    assert!(!fs::exists(&path).await.expect("can tell"));
    // What is open stays readable.
    assert_eq!(reader.len().await.expect("has a length"), 0);
}

async fn directories_list_what_they_hold(dir: PathBuf) {
    let deep = at(&dir, "x/y/z");
    fs::create_dir_all(&deep).await.expect("creates");
    fs::create_dir_all(&deep).await.expect("is there already");
    for name in ["b", "a", "c"] {
        File::open(&at(&dir, &format!("x/{name}")), rw())
            .await
            .expect("creates");
    }
    let list = |path: PathBuf| async move {
        let entries = fs::read_dir(&path).await.expect("lists");
        entries
            .into_iter()
            .map(|entry| format!("{}{}", entry.name, if entry.is_dir { "/" } else { "" }))
            .collect::<Vec<_>>()
    };
    assert_eq!(list(at(&dir, "x")).await, ["a", "b", "c", "y/"]);
    fs::rename(&at(&dir, "x/a"), &at(&dir, "x/c"))
        .await
        .expect("replaces");
    fs::rename(&at(&dir, "x/y"), &at(&dir, "x/w"))
        .await
        .expect("moves");
    fs::sync_dir(&at(&dir, "x")).await.expect("syncs");
    assert_eq!(list(at(&dir, "x")).await, ["b", "c", "w/"]);
    assert_eq!(list(at(&dir, "x/w")).await, ["z/"]);
    fs::remove_dir_all(&at(&dir, "x")).await.expect("removes");
    fs::remove_dir_all(&at(&dir, "x")).await.expect("is gone");
    assert!(list(dir.clone()).await.is_empty());
    let missing = fs::read_dir(&at(&dir, "x")).await.expect_err("is gone");
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    let space = fs::space(&dir).await.expect("can tell");
    assert!(space.available_bytes > 0 && space.available_bytes <= space.total_bytes);
}

async fn replace_is_whole(dir: PathBuf) {
    let path = at(&dir, "settings");
    for contents in [&b"first"[..], &[9; 10_000], b"", b"last"] {
        fs::replace(&path, contents).await.expect("replaces");
        assert_eq!(fs::read(&path).await.expect("reads"), contents);
    }
    assert_eq!(fs::read_dir(&dir).await.expect("lists").len(), 1);
}

async fn locks_exclude(dir: PathBuf) {
    let lock = fs::lock_dir(&dir).await.expect("locks");
    let taken = fs::lock_dir(&dir).await.err().expect("is taken");
    assert_eq!(taken.kind(), ErrorKind::WouldBlock);
    drop(lock);
    // Closing is an operation like others: it takes a moment.
    for _ in 0..100 {
        if fs::lock_dir(&dir).await.is_ok() {
            return;
        }
        runtime::sleep(Duration::from_millis(5)).await;
    }
    panic!("the lock was not given back");
}

async fn many_operations_at_once(dir: PathBuf) {
    let file = File::open(&at(&dir, "a"), rw()).await.expect("opens");
    let tasks: Vec<_> = (0..500u64)
        .map(|i| {
            let file = file.clone();
            runtime::spawn(Class::Background, "writer", async move {
                let data = chain(&[&[i as u8; 512]]);
                file.write_at(FilePos(i * 512), data, Durability::None)
                    .await
                    .expect("writes");
                let buf = BufMut::with_capacity(512);
                let (result, buf) = file.read_at(FilePos(i * 512), buf, 512).await;
                assert_eq!(result.expect("reads"), 512);
                assert!(buf.iter().all(|b| *b == i as u8));
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("not aborted");
    }
    assert_eq!(file.len().await.expect("has a length"), 500 * 512);
}

async fn dropped_futures_leave_buffers_alone(dir: PathBuf) {
    let file = File::open(&at(&dir, "a"), rw()).await.expect("opens");
    file.write_at(FilePos(0), chain(&[&[5; 65536]]), Durability::None)
        .await
        .expect("writes");
    for _ in 0..50 {
        let reads: Vec<_> = (0..16)
            .map(|_| {
                let file = file.clone();
                runtime::spawn(Class::Fetch, "reader", async move {
                    let buf = BufMut::with_capacity(65536);
                    let (result, _) = file.read_at(FilePos(0), buf, 65536).await;
                    result.expect("reads");
                })
            })
            .collect();
        runtime::yield_now().await;
        for read in &reads {
            read.abort();
        }
        // Memory of reads still running must not be handed out: nothing may change under us.
        let mut mine: Vec<BufMut> = (0..16).map(|_| BufMut::with_capacity(65536)).collect();
        for buf in &mut mine {
            buf.set_len(65536);
            buf.fill(1);
        }
        for read in reads {
            let _ = read.await;
        }
        runtime::sleep(Duration::from_millis(1)).await;
        assert!(mine.iter().all(|buf| buf.iter().all(|b| *b == 1)));
    }
}
