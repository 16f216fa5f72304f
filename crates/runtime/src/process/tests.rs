//! Tests of real shards: start and end, calls from outside, mesh, panics.

use super::*;
use crate::stats::thread_cpu;
use crate::{Instant, invoke_on, net, now, post, shard, sleep, spawn, yield_now};
use iobuf::{Buf, BufMut};
use std::sync::atomic::AtomicU64;

fn config(shards: u16, backend: Backend) -> Config {
    Config {
        shards,
        backend,
        stall_report_every: Duration::from_millis(200),
        ..Config::default()
    }
}

fn run<Fut: Future<Output = ()> + 'static>(
    shards: u16,
    backend: Backend,
    main: impl Fn() -> Fut + Send + Sync + 'static,
) {
    let running = start(config(shards, backend), main).expect("shards start");
    running.join().expect("shards end");
}

#[test]
fn mains_run_on_all_shards_and_talk() {
    static SUM: AtomicU64 = AtomicU64::new(0);
    run(3, Backend::Auto, || async {
        let me = shard();
        for to in 0..3 {
            for i in 0..1000u64 {
                let got = invoke_on(ShardId(to), Class::Produce, "add", move || async move {
                    yield_now().await;
                    (shard(), i + 1)
                })
                .await;
                assert_eq!(got, (ShardId(to), i + 1));
            }
            post(ShardId(to), Class::Fetch, "note", move || async move {
                SUM.fetch_add(u64::from(me.0) + 1, Ordering::Relaxed);
            })
            .await;
        }
        sleep(Duration::from_millis(20)).await;
    });
    assert_eq!(SUM.load(Ordering::Relaxed), 18);
}

#[test]
fn echo_over_loopback() {
    run(1, Backend::Auto, || async {
        let addr = "127.0.0.1:0".parse().expect("an address");
        let listener = net::TcpListener::bind(addr).await.expect("binds");
        let addr = listener.local_addr();
        let server = spawn(Class::Produce, "server", async move {
            let (stream, _) = listener.accept().await.expect("accepts");
            loop {
                let (result, buf) = stream.read(BufMut::with_capacity(4096)).await;
                if result.expect("reads") == 0 {
                    return;
                }
                stream.write(buf.freeze().into()).await.expect("writes");
            }
        });
        let client = net::TcpStream::connect(addr).await.expect("connects");
        for i in 0..100u8 {
            client
                .write(Buf::copy_from_slice(&[i; 100]).into())
                .await
                .expect("writes");
            let mut got = BufMut::with_capacity(4096);
            while got.len() < 100 {
                let (result, buf) = client.read(got).await;
                assert!(result.expect("reads") > 0);
                got = buf;
            }
            assert_eq!(got[..], [i; 100]);
        }
        client.shutdown();
        server.await.expect("not aborted");
    });
}

#[test]
fn calls_come_from_other_threads() {
    let running = start(config(2, Backend::Auto), || {
        sleep(Duration::from_millis(200))
    })
    .expect("shards start");
    let handle = running.handle();
    for to in [0, 1] {
        let got = handle.call_blocking(ShardId(to), Class::Admin, "question", || async {
            sleep(Duration::from_millis(1)).await;
            shard()
        });
        assert_eq!(got, ShardId(to));
    }
    running.join().expect("shards end");
}

#[test]
#[should_panic(expected = "of the task's making")]
fn a_panic_is_not_swallowed() {
    run(2, Backend::Auto, || async {
        if shard() == ShardId(1) {
            panic!("of the task's making");
        }
        sleep(Duration::from_secs(100)).await;
    });
}

#[test]
fn timers_fire_in_order_and_on_time() {
    run(1, Backend::Auto, || async {
        let start = now();
        let handles: Vec<_> = [30, 10, 20]
            .map(|ms| {
                spawn(Class::Produce, "timer", async move {
                    sleep(Duration::from_millis(ms)).await;
                    now()
                })
            })
            .into_iter()
            .collect();
        let mut ends: Vec<Instant> = Vec::new();
        for handle in handles {
            ends.push(handle.await.expect("not aborted"));
        }
        assert!(ends[1] < ends[2] && ends[2] < ends[0]);
        assert!(ends[0].since(start) >= Duration::from_millis(30));
    });
}

/// Of the thread's CPU time, so that it means the same on a busy machine.
#[inline(never)]
fn spin_in_this_function(duration: Duration) {
    let start = thread_cpu();
    while thread_cpu() - start < duration {
        std::hint::spin_loop();
    }
}

fn stalls_of(kind: &str) -> u64 {
    let stats = crate::stats::shard_stats();
    let kind = stats.kinds.iter().find(|k| k.kind == kind);
    kind.expect("was spawned").stalls
}

async fn run_long() {
    spawn(Class::Query, "long", async {
        spin_in_this_function(Duration::from_millis(20));
    })
    .await
    .expect("not aborted");
}

#[test]
fn stalls_are_counted_and_their_stack_told() {
    for backend in [Backend::Uring, Backend::Epoll] {
        run(1, backend, || async {
            for _ in 0..100 {
                spawn(Class::Query, "short", async {
                    spin_in_this_function(Duration::from_micros(20));
                })
                .await
                .expect("not aborted");
            }
            spawn(Class::Admin, "blocking", async {
                thread::sleep(Duration::from_millis(2));
            })
            .await
            .expect("not aborted");
            run_long().await;
            assert_eq!((stalls_of("long"), stalls_of("blocking")), (1, 1));
            // A page fault may make one of them wait for the disk.
            assert!(stalls_of("short") < 5, "{}", stalls_of("short"));
            let stats = crate::stats::shard_stats();
            assert!(stats.stalls >= 2 && stats.longest_stall >= Duration::from_millis(10));
            // The watchdog needs a share of the CPU to take a stack, and leaves out what follows too soon.
            let is_told = async || {
                sleep(Duration::from_millis(300)).await;
                run_long().await;
                sleep(Duration::from_millis(200)).await;
                let text = crate::stats::shard_stats().last_stall.unwrap_or_default();
                text.starts_with("long (query)") && text.contains("spin_in_this_function")
            };
            for attempt in 0.. {
                assert!(
                    attempt < 200,
                    "{:?}",
                    crate::stats::shard_stats().last_stall
                );
                if is_told().await {
                    break;
                }
            }
        });
    }
}

#[test]
fn work_that_blocks_is_done_elsewhere_in_its_order() {
    for backend in [Backend::Auto, Backend::Epoll] {
        run(1, backend, || async {
            let here = thread::current().id();
            let began = Arc::new(AtomicU64::new(0));
            let slow = began.clone();
            let first = spawn(
                Class::Admin,
                "first",
                crate::blocking(move || {
                    thread::sleep(Duration::from_millis(20));
                    slow.fetch_add(1, Ordering::Relaxed);
                    thread::current().id()
                }),
            );
            yield_now().await;
            let second = crate::blocking(move || began.load(Ordering::Relaxed)).await;
            assert_eq!(second, 1, "the first was done before");
            assert_ne!(first.await.expect("not aborted"), here);
        });
    }
}

#[test]
#[should_panic(expected = "of the work's making")]
fn work_that_panics_panics_where_it_was_asked_for() {
    run(1, Backend::Auto, || async {
        crate::blocking(|| panic!("of the work's making")).await;
    });
}
