//! What the runtime's primitives cost on this machine: yields, echo over loopback, mesh round trips, small writes.
//!
//! Run with `cargo run --release -p runtime --example micro [uring|epoll]`. CPU time is that of the whole process, both
//! ends of each exchange included.

use base::{FilePos, ShardId};
use iobuf::{AppendBuf, Buf, BufMut};
use runtime::{
    Backend, Class, Config,
    fs::{Durability, File, Open},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use std::{cell::Cell, future::Future, rc::Rc, time::Duration};

const CONNECTIONS: usize = 64;

fn process_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "the clock exists on every Linux");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs `work`, which does `count` of something, and prints what one costs.
async fn measure(name: &str, count: u64, work: impl Future<Output = ()>) {
    let (start, cpu) = (runtime::now(), process_cpu());
    work.await;
    let elapsed = runtime::now().since(start).as_nanos() as f64 / count as f64;
    let cpu = (process_cpu() - cpu).as_nanos() as f64 / count as f64;
    println!("{name:<34} {elapsed:>10.0} ns each {cpu:>10.0} ns CPU each");
}

async fn yields() {
    let count = 2_000_000;
    measure("yield, one task", count, async {
        for _ in 0..count {
            runtime::yield_now().await;
        }
    })
    .await;
    measure("yield, 1000 tasks", count, async {
        let tasks: Vec<_> = (0..1000)
            .map(|_| {
                runtime::spawn(Class::Produce, "yielder", async move {
                    for _ in 0..count / 1000 {
                        runtime::yield_now().await;
                    }
                })
            })
            .collect();
        for task in tasks {
            let _ = task.await;
        }
    })
    .await;
    measure("spawn and join", 500_000, async {
        for _ in 0..500_000 {
            let _ = runtime::spawn(Class::Produce, "nothing", async {}).await;
        }
    })
    .await;
}

async fn serve(stream: TcpStream) {
    loop {
        let (result, buf) = stream.read(BufMut::with_capacity(4096)).await;
        if !matches!(result, Ok(1..)) || stream.write(buf.freeze().into()).await.is_err() {
            return;
        }
    }
}

async fn echo(depth: usize) {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let listener = TcpListener::bind(addr).await.expect("binds");
    let addr = listener.local_addr();
    let accepting = runtime::spawn(Class::Admin, "listener", async move {
        for _ in 0..CONNECTIONS {
            let (stream, _) = listener.accept().await.expect("accepts");
            drop(runtime::spawn(Class::Produce, "connection", serve(stream)));
        }
    });
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        streams.push(TcpStream::connect(addr).await.expect("connects"));
    }
    accepting.await.expect("not aborted");
    let rounds = if depth == 1 { 2000 } else { 1000 };
    let name = format!("echo 128 B, {CONNECTIONS} connections, depth {depth}");
    let count = (rounds * CONNECTIONS * depth) as u64;
    measure(&name, count, async {
        let clients: Vec<_> = streams
            .into_iter()
            .map(|stream| {
                runtime::spawn(Class::Fetch, "client", async move {
                    let request = Buf::copy_from_slice(&vec![1; 128 * depth]);
                    for _ in 0..rounds {
                        stream.write(request.clone().into()).await.expect("writes");
                        let mut got = 0;
                        while got < request.len() {
                            let (result, _) = stream.read(BufMut::with_capacity(4096)).await;
                            got += result.expect("reads");
                        }
                    }
                })
            })
            .collect();
        for client in clients {
            client.await.expect("not aborted");
        }
    })
    .await;
}

async fn mesh(at_once: usize) {
    let name = format!("mesh round trip, {at_once} at once");
    let each = if at_once == 1 {
        20_000
    } else {
        400_000 / at_once
    };
    measure(&name, (each * at_once) as u64, async {
        let tasks: Vec<_> = (0..at_once)
            .map(|_| {
                runtime::spawn(Class::Produce, "caller", async move {
                    for i in 0..each {
                        let to = ShardId(1);
                        let got = runtime::invoke_on(
                            to,
                            Class::Produce,
                            "callee",
                            move || async move { i },
                        );
                        assert_eq!(got.await, i);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("not aborted");
        }
    })
    .await;
}

async fn writes(at_once: u64) {
    let path = std::env::current_dir()
        .expect("a directory")
        .join(format!("micro-{}", std::process::id()));
    let open = Open {
        read: true,
        write: true,
        create: true,
        direct: true,
        ..Open::default()
    };
    let file = File::open(&path, open).await.expect("opens");
    let mut page = AppendBuf::with_capacity(4096);
    page.pad_to(1);
    page.append(&[&[1; 4096]]);
    let page = page.view(0..4096);
    for i in 0..at_once {
        let pos = FilePos(i * 4096);
        let data = page.clone().into();
        file.write_at(pos, data, Durability::Data)
            .await
            .expect("writes");
    }
    let each = 1000;
    let name = format!("4 KiB durable write, {at_once} at once");
    let left = Rc::new(Cell::new(at_once));
    let done = Rc::new(Notify::new());
    measure(&name, each * at_once, async {
        for i in 0..at_once {
            let (file, page, left, done) = (file.clone(), page.clone(), left.clone(), done.clone());
            drop(runtime::spawn(Class::Produce, "writer", async move {
                for _ in 0..each {
                    let pos = FilePos(i * 4096);
                    let data = page.clone().into();
                    file.write_at(pos, data, Durability::Data)
                        .await
                        .expect("writes");
                }
                left.set(left.get() - 1);
                done.notify_all();
            }));
        }
        while left.get() > 0 {
            done.notified().await;
        }
    })
    .await;
    runtime::fs::remove_file(&path).await.expect("removes");
}

fn run<Fut: Future<Output = ()> + 'static>(
    shards: u16,
    backend: Backend,
    work: impl Fn() -> Fut + Send + Sync + 'static,
) {
    let config = Config {
        shards,
        backend,
        ..Config::default()
    };
    let running = runtime::start(config, work).expect("shards start");
    running.join().expect("shards end");
}

fn main() {
    let backend = match std::env::args().nth(1).as_deref() {
        Some("epoll") => Backend::Epoll,
        _ => Backend::Uring,
    };
    run(1, backend, || async {
        yields().await;
        echo(1).await;
        echo(16).await;
        writes(1).await;
        writes(16).await;
    });
    run(2, backend, || async {
        if runtime::shard() == ShardId(0) {
            for at_once in [1, 16, 256] {
                mesh(at_once).await;
            }
        }
    });
    idle(backend);
}

/// What a node costs that has nothing to do.
fn idle(backend: Backend) {
    run(2, backend, || async {
        let cpu = process_cpu();
        runtime::sleep(Duration::from_secs(2)).await;
        if runtime::shard() == ShardId(0) {
            let share = (process_cpu() - cpu).as_secs_f64() / 2.0;
            println!("idle, two shards: {:.3} % of a CPU", share * 100.0);
        }
    });
}
