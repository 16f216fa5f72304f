//! Where a conformance case runs: real shards over either backend, or a simulated host.

use runtime::{
    Backend, Config,
    sim::{Sim, SimConfig},
};
use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// A directory of one case, gone at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("runtime-it-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary directory");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn on_real<F, Fut>(backend: Backend, case: F)
where
    F: Fn(PathBuf) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let scratch = Scratch::new();
    let path = scratch.0.clone();
    let config = Config {
        backend,
        ..Config::default()
    };
    let main = move || {
        let case = case(path.clone());
        async move {
            runtime::timeout(Duration::from_secs(60), case)
                .await
                .expect("a case takes seconds");
        }
    };
    let running = match runtime::start(config, main) {
        Ok(running) => running,
        // A machine that refuses io_uring still runs the other two.
        Err(error) if error.kind() == std::io::ErrorKind::Unsupported => {
            eprintln!("skipped: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    running.join().expect("the shard ends");
}

pub fn on_uring<F, Fut>(case: F)
where
    F: Fn(PathBuf) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    on_real(Backend::Uring, case);
}

pub fn on_epoll<F, Fut>(case: F)
where
    F: Fn(PathBuf) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    on_real(Backend::Epoll, case);
}

/// Under several seeds: each is another order of completions and of ready tasks.
pub fn on_sim<F, Fut>(case: F)
where
    F: Fn(PathBuf) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    for seed in 0..10 {
        let sim = Sim::new(SimConfig::new(seed));
        let host = sim.host("host", 1, || async {});
        let dir = PathBuf::from("/case");
        let running = case(dir.clone());
        let case = async move {
            runtime::fs::create_dir_all(&dir).await.expect("creates");
            running.await;
        };
        sim.run_on(host, Duration::from_secs(600), case)
            .unwrap_or_else(|| panic!("seed {seed}: it ends in time"));
    }
}

/// A path below the case's directory.
pub fn at(dir: &Path, name: &str) -> PathBuf {
    dir.join(name)
}

/// One test per world for each case.
macro_rules! conformance {
    ($($case:ident),* $(,)?; only real: $($real:ident),* $(,)?) => {
        mod sim {
            $(#[test] fn $case() { crate::world::on_sim(super::$case); })*
        }
        mod uring {
            $(#[test] fn $case() { crate::world::on_uring(super::$case); })*
            $(#[test] fn $real() { crate::world::on_uring(super::$real); })*
        }
        mod epoll {
            $(#[test] fn $case() { crate::world::on_epoll(super::$case); })*
            $(#[test] fn $real() { crate::world::on_epoll(super::$real); })*
        }
    };
}
pub(crate) use conformance;
