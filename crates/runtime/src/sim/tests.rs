//! Tests of the simulator as a whole: the determinism meta-test first, then what crashes do to tasks.

use super::{DiskFaults, HostId, NetFaults, Sim, SimConfig};
use crate::{
    Class, Fatal,
    fs::{self, Durability, File, Open},
    net::{TcpListener, TcpStream},
    sleep, timeout,
};
use base::{FilePos, ShardId};
use iobuf::{BufMut, IoBuf};
use std::{
    cell::RefCell, collections::BTreeSet, net::SocketAddr, path::Path, rc::Rc, time::Duration,
};

const PORT: u16 = 7000;
const SECOND: Duration = Duration::from_secs(1);

const READ_WRITE: Open = Open {
    read: true,
    write: true,
    create: true,
    create_new: false,
    truncate: false,
    direct: false,
};

fn filled(byte: u8, bytes: usize) -> IoBuf {
    IoBuf::from(vec![byte; bytes])
}

/// Writes what it gets to a file, with one sync each, on the shard the first byte names, and echoes it.
async fn serve() {
    if crate::shard() != ShardId(0) {
        return;
    }
    let addr = SocketAddr::from(([0, 0, 0, 0], PORT));
    let listener = TcpListener::bind(addr).await.expect("binds");
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        drop(crate::spawn(Class::Produce, "connection", async move {
            // A connection ends with an error when its peer crashes; that is what the test does to it.
            let _ = connection(stream).await;
        }));
    }
}

async fn connection(stream: TcpStream) -> std::io::Result<()> {
    let mut pos = 0;
    loop {
        let (read, buf) = stream.read(BufMut::with_capacity(64)).await;
        if read? == 0 {
            return Ok(());
        }
        let data = buf.freeze();
        let to = ShardId(u16::from(data[0]) % crate::shard_count());
        let copy = data.to_vec();
        let written = crate::invoke_on(to, Class::Produce, "write", move || async move {
            let path = format!("/log{}", crate::shard());
            let file = File::open(Path::new(&path), READ_WRITE).await?;
            fs::sync_dir(Path::new("/")).await?;
            file.write_at(FilePos(pos), IoBuf::from(copy), Durability::Data)
                .await
        });
        written.await?;
        pos += data.len() as u64;
        stream.write(IoBuf::from(data)).await?;
    }
}

async fn talk(server: SocketAddr, heard: Rc<RefCell<Vec<u8>>>) {
    loop {
        sleep(Duration::from_millis(1 + crate::random_u64() % 20)).await;
        let Ok(stream) = TcpStream::connect(server).await else {
            continue;
        };
        loop {
            let byte = crate::random_u64() as u8;
            if stream.write(filled(byte, 40)).await.is_err() {
                break;
            }
            let answer = stream.read(BufMut::with_capacity(64));
            match timeout(SECOND, answer).await {
                Ok((Ok(bytes), buf)) if bytes > 0 => heard.borrow_mut().push(buf[0]),
                _ => break,
            }
        }
    }
}

/// Two hosts, two shards, faults, a power cut, a kill and a split; gives the trace and what the client saw.
fn run(seed: u64) -> (u64, Vec<u8>) {
    let mut config = SimConfig::new(seed);
    config.net.reset = 0.01;
    config.net.stall = 0.005;
    config.disk.short_io = 0.1;
    let sim = Sim::new(config);
    let server = sim.host("server", 2, serve);
    let heard = Rc::new(RefCell::new(Vec::new()));
    let (addr, slot) = (SocketAddr::new(sim.ip(server), PORT), heard.clone());
    let client = sim.host("client", 1, move || talk(addr, slot.clone()));
    for round in 0..3 {
        sim.run_for(Duration::from_millis(200 + sim.draw(800)));
        match round {
            0 => sim.power_cut(server),
            1 => sim.kill(server),
            _ => sim.split(server, client),
        }
        sim.run_for(Duration::from_millis(sim.draw(200)));
        sim.heal();
        if !sim.is_up(server) {
            sim.restart(server);
        }
    }
    sim.run_for(SECOND);
    let heard = heard.borrow().clone();
    (sim.trace_hash(), heard)
}

#[test]
fn same_seed_gives_the_same_run_and_others_do_not() {
    let mut hashes = BTreeSet::new();
    for seed in 0..20 {
        let first = run(seed);
        assert!(
            first.1.len() > 20,
            "seed={seed}: the client heard {} answers",
            first.1.len()
        );
        assert_eq!(first, run(seed), "seed={seed}");
        hashes.insert(first.0);
    }
    assert_eq!(hashes.len(), 20);
}

fn one_host(seed: u64) -> (Sim, HostId) {
    let sim = Sim::new(SimConfig::new(seed));
    let host = sim.host("host", 1, || async {});
    (sim, host)
}

#[test]
fn acknowledged_write_survives_every_power_cut_and_unsynced_does_not_always() {
    let mut unsynced = BTreeSet::new();
    for seed in 0..100 {
        let (sim, host) = one_host(seed);
        sim.run_on(host, SECOND, async {
            let file = File::open(Path::new("/a"), READ_WRITE)
                .await
                .expect("opens");
            fs::sync_dir(Path::new("/")).await.expect("syncs");
            let write = file.write_at(FilePos(0), filled(1, 4096), Durability::Data);
            write.await.expect("writes");
            let write = file.write_at(FilePos(4096), filled(2, 4096), Durability::None);
            write.await.expect("writes");
        })
        .expect("done");
        sim.power_cut(host);
        let bytes = sim.contents(host, "/a").expect("there");
        assert_eq!(bytes[..4096], [1; 4096], "seed={seed}");
        unsynced.insert(bytes[4096..].to_vec());
    }
    assert!(unsynced.len() > 4);
}

#[test]
fn replace_is_atomic_over_power_cuts_at_any_moment() {
    for seed in 0..300 {
        let (sim, host) = one_host(seed);
        let replace = |contents: &'static [u8]| async move {
            fs::replace(Path::new("/a"), contents)
                .await
                .expect("replaces");
        };
        sim.run_on(host, SECOND, replace(b"old")).expect("done");
        sim.spawn_on(host, "replace", replace(b"new"));
        sim.run_for(Duration::from_micros(sim.draw(2000)));
        sim.power_cut(host);
        sim.restart(host);
        let read = fs::read(Path::new("/a"));
        let bytes = sim
            .run_on(host, SECOND, read)
            .expect("done")
            .expect("reads");
        assert!(bytes == b"old" || bytes == b"new", "seed={seed}: {bytes:?}");
    }
}

#[test]
fn fatal_ends_the_host_alone_and_keeps_the_reason() {
    let (sim, host) = one_host(1);
    let other = sim.host("other", 1, || async {
        loop {
            sleep(Duration::from_millis(1)).await;
        }
    });
    sim.spawn_on(host, "doomed", async {
        sleep(Duration::from_millis(5)).await;
        crate::fatal(Fatal::Corrupt("told so".into()));
    });
    sim.run_for(SECOND);
    assert!(!sim.is_up(host) && sim.is_up(other));
    assert_eq!(sim.fatal(host), Some(Fatal::Corrupt("told so".into())));
    sim.restart(host);
    assert!(sim.is_up(host) && sim.fatal(host).is_none());
}

#[test]
fn restarted_main_runs_again_on_every_shard() {
    let sim = Sim::new(SimConfig::new(3));
    let started = Rc::new(RefCell::new(Vec::new()));
    let slot = started.clone();
    let host = sim.host("host", 3, move || {
        let slot = slot.clone();
        async move { slot.borrow_mut().push(crate::shard().0) }
    });
    sim.run_for(SECOND);
    sim.power_cut(host);
    sim.restart(host);
    sim.run_for(SECOND);
    let mut all = started.borrow().clone();
    all.sort_unstable();
    assert_eq!(all, [0, 0, 1, 1, 2, 2]);
}

#[test]
fn errors_and_full_disks_reach_the_caller() {
    let (sim, host) = one_host(1);
    let write = || async {
        let file = File::open(Path::new("/a"), READ_WRITE).await?;
        let write = file.write_at(FilePos(0), filled(1, 64 << 10), Durability::Data);
        write.await
    };
    let with = |faults| {
        sim.set_disk_faults(host, faults);
        let result = sim.run_on(host, SECOND, write()).expect("done");
        result.err().and_then(|error| error.raw_os_error())
    };
    let none = DiskFaults::none();
    assert_eq!(
        with(DiskFaults {
            write_error: 1.0,
            ..none.clone()
        }),
        Some(libc::EIO)
    );
    assert_eq!(
        with(DiskFaults {
            capacity_bytes: 4096,
            ..none.clone()
        }),
        Some(libc::ENOSPC)
    );
    assert_eq!(
        with(DiskFaults {
            short_io: 1.0,
            ..none.clone()
        }),
        None
    );
    assert_eq!(with(none), None);
}

#[test]
fn dropped_and_timed_out_operations_leave_the_rest_alone() {
    let sim = Sim::new(SimConfig {
        net: NetFaults::none(),
        ..SimConfig::new(5)
    });
    let server = sim.host("server", 1, || async {
        let addr = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = TcpListener::bind(addr).await.expect("binds");
        for _ in 0..3 {
            let waited = timeout(Duration::from_millis(1), listener.accept()).await;
            assert!(waited.is_err(), "nobody comes this early");
        }
        let (stream, _) = listener.accept().await.expect("accepts");
        let waited = timeout(
            Duration::from_millis(1),
            stream.read(BufMut::with_capacity(10)),
        );
        assert!(waited.await.is_err(), "nothing was sent yet");
        let (read, buf) = stream.read(BufMut::with_capacity(10)).await;
        assert_eq!((read.expect("reads"), &buf[..]), (2, &b"hi"[..]));
        stream
            .write(IoBuf::from(b"ho".to_vec()))
            .await
            .expect("writes");
    });
    let addr = SocketAddr::new(sim.ip(server), PORT);
    let client = sim.host("client", 1, || async {});
    let answer = sim.run_on(client, SECOND, async move {
        sleep(Duration::from_millis(50)).await;
        let stream = TcpStream::connect(addr).await.expect("connects");
        sleep(Duration::from_millis(50)).await;
        stream
            .write(IoBuf::from(b"hi".to_vec()))
            .await
            .expect("writes");
        let (read, buf) = stream.read(BufMut::with_capacity(10)).await;
        read.expect("reads");
        buf.to_vec()
    });
    assert!(answer.is_some_and(|answer| b"ho".starts_with(&answer)));
}
