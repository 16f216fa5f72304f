//! One home: what its logs share, and the accounting between them.
//!
//! # Place       one per directory, on one shard, from open to close
//! # Invariants
//! 1. `dirty_bytes` is the sum over logs of frames that no segment holds; it never exceeds the cache budget by more
//!    than one entry, because appends are refused above it.
//! 2. The cache evicts in the order of appends, and only frames that a segment holds.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, VecDeque},
    path::PathBuf,
    rc::{Rc, Weak},
};

use base::{PartitionKey, RaftIndex};
use runtime::sync::Notify;

use crate::{
    DiskState, LogId, StoreConfig, StoreStats, blocks::Blocks, files::FileTable,
    flusher::FlushQueue, journal::Journal, log::Log, manifest::Manifest,
};

/// Direct segment writes in flight at once; more would only queue in the device.
const DIRECT_WRITES_MAX: usize = 16;

pub(crate) struct Home {
    pub config: StoreConfig,
    pub manifest: Manifest,
    pub journal: Journal,
    pub logs: RefCell<BTreeMap<PartitionKey, Rc<Log>>>,
    pub ids: RefCell<BTreeMap<LogId, Rc<Log>>>,
    pub next_log_id: Cell<u32>,
    pub files: FileTable,
    pub blocks: Blocks,
    pub flush: FlushQueue,
    pub stats: RefCell<StoreStats>,
    disk: Cell<DiskState>,
    /// Writes that found the disk full and wait.
    pub waiting_for_space: Cell<u32>,
    /// A sync of the directory of removed files is about to come.
    pub syncing_removals: Cell<bool>,
    pub closed: Cell<bool>,
    /// Not open yet: nothing waits for space, for whoever could free some is not there before.
    pub recovering: Cell<bool>,
    /// Logs with a state of their owner that found no room in the journal.
    pub waiting_states: RefCell<VecDeque<Weak<Log>>>,
    pub staging_states: Cell<bool>,
    /// Appends that were refused as `Busy` wait here.
    pub room: Notify,
    pub direct_writes: Cell<usize>,
    pub direct_freed: Notify,
    pub dirty_bytes: Cell<u64>,
    /// An entry found no room, although less than half of it is taken.
    pub lacks_room: Cell<bool>,
    cached_bytes: Cell<u64>,
    cached: RefCell<VecDeque<(LogId, RaftIndex)>>,
}

impl Home {
    pub(crate) fn new(config: StoreConfig, manifest: Manifest, journal: Journal) -> Rc<Self> {
        let next_log_id = manifest.state.borrow().next_log_id;
        Rc::new(Self {
            blocks: Blocks::default(),
            flush: FlushQueue::default(),
            config,
            manifest,
            journal,
            logs: RefCell::default(),
            ids: RefCell::default(),
            next_log_id: Cell::new(next_log_id),
            files: FileTable::default(),
            stats: RefCell::default(),
            disk: Cell::new(DiskState::Ok),
            waiting_for_space: Cell::new(0),
            syncing_removals: Cell::new(false),
            closed: Cell::new(false),
            recovering: Cell::new(true),
            waiting_states: RefCell::default(),
            staging_states: Cell::new(false),
            room: Notify::new(),
            direct_writes: Cell::new(0),
            direct_freed: Notify::new(),
            dirty_bytes: Cell::new(0),
            lacks_room: Cell::new(false),
            cached_bytes: Cell::new(0),
            cached: RefCell::default(),
        })
    }

    pub(crate) fn segments_dir(&self) -> PathBuf {
        self.config.dir.join("segments")
    }

    pub(crate) fn store_id(&self) -> u64 {
        self.manifest.geometry.store_id
    }

    pub(crate) fn log(&self, log_id: LogId) -> Option<Rc<Log>> {
        self.ids.borrow().get(&log_id).cloned()
    }

    pub(crate) fn log_ids(&self) -> std::collections::BTreeSet<LogId> {
        self.ids.borrow().keys().copied().collect()
    }

    pub(crate) fn insert(&self, log: Rc<Log>) {
        self.ids.borrow_mut().insert(log.log_id(), Rc::clone(&log));
        self.logs.borrow_mut().insert(log.key(), log);
    }

    /// What the last look at the free space gave; full as long as a write waits for space, whatever was seen.
    pub(crate) fn disk_state(&self) -> DiskState {
        let waiting = self.waiting_for_space.get() + self.manifest.waiting_for_space.get();
        if waiting > 0 {
            return DiskState::Full { available_bytes: 0 };
        }
        self.disk.get()
    }

    /// Takes note of a look at the free space; gives what was known before.
    pub(crate) fn set_disk_state(&self, state: DiskState) -> DiskState {
        self.disk.replace(state)
    }

    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.dirty_bytes.get() + bytes <= self.config.cache_bytes
    }

    /// Half of what may be pinned is: time to write segments.
    pub(crate) fn dirty_pressure(&self) -> bool {
        self.dirty_bytes.get() > self.config.cache_bytes / 2 || self.lacks_room.get()
    }

    /// A frame was staged.
    pub(crate) fn staged(&self, log_id: LogId, index: RaftIndex, bytes: u64) {
        self.dirty_bytes.set(self.dirty_bytes.get() + bytes);
        self.cached_bytes.set(self.cached_bytes.get() + bytes);
        self.cached.borrow_mut().push_back((log_id, index));
    }

    /// Frames of `bytes` are in a segment now, or gone.
    pub(crate) fn cleaned(&self, bytes: u64) {
        self.dirty_bytes.set(self.dirty_bytes.get() - bytes);
        self.room.notify_all();
    }

    pub(crate) fn uncached(&self, bytes: u64) {
        self.cached_bytes.set(self.cached_bytes.get() - bytes);
    }

    pub(crate) fn cached_bytes(&self) -> u64 {
        self.cached_bytes.get()
    }

    /// Evicts the oldest clean frames until the budget holds. Where the oldest was pinned for long, many go at once, so
    /// it yields; others may evict meanwhile.
    pub(crate) async fn evict(&self) {
        while self.cached_bytes.get() > self.config.cache_bytes {
            if runtime::should_yield() {
                runtime::yield_now().await;
                continue;
            }
            let Some(&(log_id, index)) = self.cached.borrow().front() else {
                return;
            };
            let evictable = match self.log(log_id) {
                None => true,
                Some(log) => log.evict_front(index),
            };
            if !evictable {
                return;
            }
            self.cached.borrow_mut().pop_front();
        }
    }

    /// Waits for one of the few places for direct segment writes.
    pub(crate) async fn direct_place(self: &Rc<Self>) -> DirectPlace {
        while self.direct_writes.get() >= DIRECT_WRITES_MAX {
            self.direct_freed.notified().await;
        }
        self.direct_writes.set(self.direct_writes.get() + 1);
        DirectPlace(Rc::clone(self))
    }
}

/// A place among the direct writes; free again when dropped.
pub(crate) struct DirectPlace(Rc<Home>);

impl Drop for DirectPlace {
    fn drop(&mut self) {
        self.0.direct_writes.set(self.0.direct_writes.get() - 1);
        self.0.direct_freed.notify_all();
    }
}
