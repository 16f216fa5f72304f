//! The stores, each in a directory of a test's own.

use std::{
    future::Future,
    path::{Path, PathBuf},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flow::store::{Fjall, OpenStore, Redb};
use streams::engine::store::{RunStore, StateStore};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Runs,
    Redb,
    Fjall,
}

impl Kind {
    pub fn open_store(self, path: &Path) -> Arc<dyn OpenStore> {
        match self {
            Self::Runs => unreachable!("runs are not chosen"),
            Self::Redb => Arc::new(Redb::at(path)),
            Self::Fjall => Arc::new(Fjall::at(path)),
        }
    }

    /// On a shard.
    pub async fn open(self, path: PathBuf) -> Rc<dyn StateStore> {
        match self {
            Self::Runs => Rc::new(RunStore::new(&path)),
            _ => self.open_store(&path).open().await.expect("it opens"),
        }
    }
}

/// Runs it on a shard of this machine, with its files.
pub fn on_shard<F: Future<Output = ()> + 'static>(work: impl Fn() -> F + Send + Sync + 'static) {
    let config = runtime::Config {
        shards: 1,
        cpus: Some(Vec::new()),
        ..runtime::Config::default()
    };
    let running = runtime::start(config, work).expect("a shard starts");
    running.join().expect("it ends");
}

/// Removed with all in it when dropped.
pub struct TempDir {
    path: PathBuf,
    next: AtomicU64,
}

impl TempDir {
    pub fn new(name: &str) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("flow-{}-{name}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).expect("a directory can be made");
        Self {
            path,
            next: AtomicU64::new(0),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path at which nothing is.
    pub fn next(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("store-{number}"))
    }

    /// What a kill of the process leaves of an open store: its files as they are, elsewhere.
    pub fn image(&self, of: &Path) -> PathBuf {
        let to = self.next();
        copy(of, &to);
        to
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.path));
    }
}

fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        if from.exists() {
            std::fs::copy(from, to).expect("a file can be copied");
        }
        return;
    }
    std::fs::create_dir_all(to).expect("a directory can be made");
    for entry in std::fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        copy(&entry.path(), &to.join(entry.file_name()));
    }
}
