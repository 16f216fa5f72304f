//! A home as its owner sees it: opening, creating and deleting logs, closing.
use std::rc::Rc;

use base::PartitionKey;
use runtime::{Class, fs};

use crate::{
    AppendError, DiskState, Log, LogConfig, LogId, LogStart, OpenError, RecoveryReport,
    StoreConfig, StoreStats,
    chunk::BLOCK_BYTES,
    disk, flusher,
    home::Home,
    journal::{COMMIT_BYTES_MAX, Journal, ring},
    manifest::{
        Geometry, Manifest,
        edit::{Edit, JournalPoint, LogRecord},
    },
    recovery, snapshot, space,
};

/// One home. Dropping it without `close` is what a crash would do.
pub struct Store {
    home: Rc<Home>,
}

impl Store {
    /// Opens the home, recovering what it held; an empty directory becomes a new home.
    pub async fn open(config: StoreConfig) -> Result<(Rc<Store>, RecoveryReport), OpenError> {
        let dir = config.dir.clone();
        let subs = ["segments", "snapshots", "journal"].map(|sub| dir.join(sub));
        for path in [dir.clone()].into_iter().chain(subs) {
            let made = fs::create_dir_all_durable(&path).await;
            made.map_err(|e| disk::open_error(&path, &e))?;
        }
        let fresh = fresh_geometry(&config);
        let manifest = Manifest::open(&dir, fresh, config.planted.retry_failed_sync).await?;
        let geometry = manifest.geometry;
        let point = manifest.state.borrow().journal;
        let is_new = point.is_none();
        let ring = ring::open(&dir.join("journal"), &geometry, is_new).await?;
        let point = point.unwrap_or(JournalPoint {
            sequence: 1,
            slot: 0,
            position: BLOCK_BYTES as u64,
            previous_crc: 0,
            clean: true,
            next_log_id: LogId(0),
        });
        let journal = Journal::new(
            dir.join("journal"),
            &geometry,
            config.journal_files_max,
            &point,
            ring,
        );
        let records: Vec<LogRecord> = manifest.state.borrow().logs.values().cloned().collect();
        let home = Home::new(config, manifest, journal);
        runtime::spawn(Class::Admin, "manifest", Manifest::run(Rc::clone(&home)));
        for record in records {
            home.insert(Log::new(&home, record));
        }
        let store = Rc::new(Store { home });
        let home = &store.home;
        let report = recovery::recover(home, point).await?;
        home.recovering.set(false);
        space::look(home).await;
        runtime::spawn(Class::Produce, "journal", Journal::run(Rc::clone(home)));
        runtime::spawn(
            Class::Background,
            "journal files",
            ring::prepare(Rc::clone(home)),
        );
        runtime::spawn(Class::Background, "space", space::watch(Rc::clone(home)));
        flusher::start(home);
        Ok((store, report))
    }

    #[must_use]
    pub fn keys(&self) -> Vec<PartitionKey> {
        self.home.logs.borrow().keys().copied().collect()
    }

    /// Creates the partition durably before it returns; `Ok` with the existing log when there is one already.
    pub async fn create(
        &self,
        key: PartitionKey,
        config: LogConfig,
    ) -> Result<Rc<Log>, AppendError> {
        if self.home.closed.get() {
            return Err(AppendError::Closed);
        }
        if let Some(log) = self.get(key) {
            // Its creation may still be on the way: an edit behind it waits for both.
            self.home.manifest.commit(Vec::new()).await;
            return Ok(log);
        }
        let log_id = LogId(self.home.next_log_id.get());
        self.home.next_log_id.set(log_id.0 + 1);
        let record = LogRecord {
            log_id,
            key,
            config,
            start: LogStart::default(),
            log_epoch: base::LogEpoch(0),
            truncations: Vec::new(),
            segments: Vec::new(),
            leader_epochs: Vec::new(),
            state: None,
            refused: None,
        };
        let log = Log::new(&self.home, record.clone());
        self.home.insert(Rc::clone(&log));
        self.home.manifest.commit(vec![Edit::Put(record)]).await;
        Ok(log)
    }

    #[must_use]
    pub fn get(&self, key: PartitionKey) -> Option<Rc<Log>> {
        self.home.logs.borrow().get(&key).cloned()
    }

    /// Removes the log durably before it returns; its files go in the background.
    pub async fn delete(&self, key: PartitionKey) -> Result<(), AppendError> {
        if self.home.closed.get() {
            return Err(AppendError::Closed);
        }
        let Some(log) = self.home.logs.borrow_mut().remove(&key) else {
            return Ok(());
        };
        log.close();
        let names = log.end_segments().await;
        let log_id = log.log_id();
        self.home.manifest.commit(vec![Edit::Delete(log_id)]).await;
        self.home.ids.borrow_mut().remove(&log_id);
        log.remove_files(names);
        snapshot::remove(&self.home, &log).await;
        Ok(())
    }

    /// Flushes the journal into segments, writes a clean mark, closes. Does not wait for space on a full disk.
    pub async fn close(&self) {
        let home = &self.home;
        if home.closed.replace(true) {
            return;
        }
        home.flush.close();
        home.journal.nudge();
        home.journal.ring_wake.notify_all();
        flusher::drain(home).await;
        let logs: Vec<_> = home.ids.borrow().values().cloned().collect();
        flusher::for_all(logs.clone(), |log| async move {
            log.flush_all().await;
        })
        .await;
        let mut edits = Vec::new();
        for log in &logs {
            edits.extend(log.take_stale_record().map(Edit::Put));
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        // On a full disk some entries stay in the journal, and the next start replays it.
        if logs.iter().all(|log| log.dirty_bytes() == 0) {
            edits.push(Edit::Journal(JournalPoint {
                clean: true,
                ..home.journal.end()
            }));
        }
        home.manifest.commit(edits).await;
        home.manifest.close();
        for log in logs {
            log.close();
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        home.files.clear();
        home.room.notify_all();
    }

    #[must_use]
    pub fn stats(&self) -> StoreStats {
        let mut stats = self.home.stats.borrow().clone();
        stats.cache_bytes = self.home.cached_bytes();
        stats.dirty_bytes = self.home.dirty_bytes.get();
        stats
    }

    /// Free space after the last look, and whether produce is being rejected.
    #[must_use]
    pub fn disk_state(&self) -> DiskState {
        self.home.disk_state()
    }
}

impl Drop for Store {
    /// Ends the tasks; what they hold of the home goes with them.
    fn drop(&mut self) {
        self.home.closed.set(true);
        self.home.manifest.close();
        self.home.flush.close();
        self.home.journal.nudge();
        self.home.journal.ring_wake.notify_all();
        let logs = std::mem::take(&mut *self.home.logs.borrow_mut());
        let ids = std::mem::take(&mut *self.home.ids.borrow_mut());
        for log in logs.values() {
            log.close();
        }
        drop((logs, ids));
    }
}

/// Shape of a new home. Commits are bounded by a quarter of a ring file so that small test homes work, too.
fn fresh_geometry(config: &StoreConfig) -> Geometry {
    let block = BLOCK_BYTES as u64;
    let file_bytes = config.journal_file_bytes.max(16 * block) / block * block;
    let quarter = usize::try_from(file_bytes / 4).unwrap_or(COMMIT_BYTES_MAX);
    let chunk_bytes = quarter.min(COMMIT_BYTES_MAX) / BLOCK_BYTES * BLOCK_BYTES;
    Geometry {
        store_id: runtime::random_u64(),
        journal_file_bytes: file_bytes,
        journal_chunk_bytes: u32::try_from(chunk_bytes).expect("at most 1 MiB"),
    }
}
