//! Rows of views where other threads find them: a look-up need not wait for the engine's shard to have time.
//!
//! # Place
//! One directory for an engine. Its shard changes rows, anybody looks them up.
//!
//! # Invariants
//! 1. A look-up sees one whole epoch, the newest that is whole: while one changes rows they are found as of the one before
//!    (`before`). Which one that is is asked under the rows' lock, which each change takes, and so does who forgets it.
//! 2. The shard does not wait for a reader's thread, which may be without a processor: where the lock is held it does other
//!    work and tries again. A reader does wait for the shard: what that does with the lock held is short.
//! 3. While the directory is closed, as it is when names change their views, who asks is sent to the shard, where questions
//!    wait.
//!
//! # Cost
//! Two locks for a look-up, instead of two threads woken. One for each change of rows, which is up to a thousand.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, TryLockError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use arrow_array::{ArrayRef, RecordBatch};

use super::{
    Engine,
    arrangement::{Arrangement, Tidy},
    questions::{QuestionError, RowsOf, Snapshot},
};

/// How often a shard does other work before it takes the lock that somebody waits for; some hundred microseconds.
const TURNS_LEFT: usize = 100;

/// Rows of one view or table.
pub struct SharedRows {
    rows: RwLock<Arrangement>,
    /// They are right no more, and gone.
    is_over: AtomicBool,
    /// Threads that have found the lock held.
    waiting: AtomicUsize,
}

impl SharedRows {
    pub(super) fn new(rows: Arrangement) -> Arc<Self> {
        Arc::new(Self {
            rows: RwLock::new(rows),
            is_over: AtomicBool::new(false),
            waiting: AtomicUsize::new(0),
        })
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Arrangement> {
        self.rows.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the engine's shard where it is rare: it may wait for a reader.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Arrangement> {
        self.rows.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// On a thread that is no shard: work on rows is short, and lets readers in between. Whoever has the lock may be without a
    /// processor, so that one is soon given up for it.
    fn wait_read(&self) -> RwLockReadGuard<'_, Arrangement> {
        if let Ok(rows) = self.rows.try_read() {
            return rows;
        }
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let rows = self.read();
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        rows
    }

    /// Changes rows once nobody reads them.
    pub(super) async fn change<R>(&self, mut work: impl FnMut(&mut Arrangement) -> R) -> R {
        // A thread takes longer to wake than the shard to come back for the lock.
        for _ in 0..TURNS_LEFT {
            if self.waiting.load(Ordering::SeqCst) == 0 {
                break;
            }
            runtime::yield_now().await;
        }
        loop {
            match self.rows.try_write() {
                Ok(mut rows) => return work(&mut rows),
                Err(TryLockError::Poisoned(rows)) => return work(&mut rows.into_inner()),
                Err(TryLockError::WouldBlock) => runtime::yield_now().await,
            }
        }
    }

    /// Some of what changes have left to be put in order ([`Arrangement::tidy`]); true while there is more.
    pub(super) async fn tidy_some(&self) -> bool {
        let chunks = match self.change(Arrangement::tidy).await {
            Tidy::Nothing => return false,
            Tidy::More => return true,
            Tidy::Merge(chunks) => chunks,
        };
        // Rows are copied while others look them up.
        let mut merged = Some(self.read().merged(&chunks));
        let begin = |rows: &mut Arrangement| merged.take().map(|merged| rows.begin_merge(merged));
        self.change(begin).await;
        true
    }

    /// Others in the place of all rows. Nobody waits until those are freed.
    pub(super) fn replace(&self, rows: Arrangement) {
        let gone = std::mem::replace(&mut *self.write(), rows);
        drop(gone);
    }

    /// Lets all rows go for good.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
        let emptied = self.read().emptied();
        self.replace(emptied);
    }
}

/// A row among others.
#[derive(Clone, Debug)]
pub struct Found {
    pub rows: RecordBatch,
    /// Its place among them.
    pub at: usize,
    /// How often it is there.
    pub weight: i64,
}

/// See the module head.
#[derive(Default)]
pub struct Views {
    is_open: AtomicBool,
    /// The newest that is whole.
    epoch: AtomicU64,
    all: RwLock<BTreeMap<String, Arc<SharedRows>>>,
}

impl Views {
    /// Rows of a view by its key, as [`Engine::lookup`] has them; from any thread that is no shard. `None`: ask the engine.
    /// What an index finds may be all rows there are, for which nobody else should wait.
    #[must_use]
    pub fn lookup(&self, name: &str, columns: &[usize], keys: &[ArrayRef]) -> Option<Snapshot> {
        let found = |rows: &Arrangement, epoch| Snapshot {
            epoch,
            rows: BTreeMap::from([(
                name.to_owned(),
                RowsOf::View(rows.lookup_as_of(columns, keys, epoch)),
            )]),
        };
        self.see(name, columns, keys, found)
    }

    /// The row of a view with this key, which is one row of `columns`; otherwise like [`Views::lookup`]. Nothing of it is copied:
    /// who has it keeps the rows that it lies among.
    #[must_use]
    pub fn find(&self, name: &str, columns: &[usize], key: &[ArrayRef]) -> Option<Option<Found>> {
        let found = |rows: &Arrangement, epoch| {
            let (rows, at, weight) = rows.find_as_of(key, epoch)?;
            Some(Found {
                rows: rows.clone(),
                at,
                weight,
            })
        };
        self.see(name, columns, key, found)
    }

    /// Looks at a view's rows, which are found by such values in these columns, as of the newest whole epoch.
    fn see<R>(
        &self,
        name: &str,
        columns: &[usize],
        keys: &[ArrayRef],
        look: impl FnOnce(&Arrangement, u64) -> R,
    ) -> Option<R> {
        if !self.is_open.load(Ordering::SeqCst) {
            return None;
        }
        let view = self.all.try_read().ok()?.get(name)?.clone();
        if view.is_over.load(Ordering::SeqCst) {
            return None;
        }
        let rows = view.wait_read();
        // Under the lock: what is seen of the epoch now is not forgotten before the end.
        if !self.is_open.load(Ordering::SeqCst) || view.is_over.load(Ordering::SeqCst) {
            return None;
        }
        if !rows.is_found_by(columns, keys) {
            return None;
        }
        Some(look(&rows, self.epoch.load(Ordering::SeqCst)))
    }

    pub(super) fn put(&self, name: &str, rows: &Arc<SharedRows>) {
        self.change(|all| drop(all.insert(name.to_owned(), rows.clone())));
    }

    pub(super) fn remove(&self, name: &str) {
        self.change(|all| drop(all.remove(name)));
    }

    fn change(&self, work: impl FnOnce(&mut BTreeMap<String, Arc<SharedRows>>)) {
        work(&mut self.all.write().unwrap_or_else(PoisonError::into_inner));
    }

    /// From here on rows are found as of this epoch.
    pub(super) fn show(&self, epoch: u64) {
        self.epoch.store(epoch, Ordering::SeqCst);
    }

    /// See the module head; rows are those of this epoch.
    pub(super) fn open(&self, epoch: u64) {
        self.show(epoch);
        self.is_open.store(true, Ordering::SeqCst);
    }

    pub(super) fn close(&self) {
        self.is_open.store(false, Ordering::SeqCst);
    }
}

impl Engine {
    /// Rows that other threads look up themselves.
    #[must_use]
    pub fn views(&self) -> Arc<Views> {
        self.views.clone()
    }

    /// Rows of a view by some of its columns; all of them where there is neither key nor index for these.
    pub async fn lookup(
        &self,
        name: &str,
        columns: &[usize],
        keys: &[ArrayRef],
    ) -> Result<Snapshot, QuestionError> {
        self.wait_until(|| self.is_ready.get()).await?;
        let relation = self.relation(name)?;
        self.check_running(&relation)?;
        let found = relation.with_arrangement(|arrangement| arrangement.lookup(columns, keys));
        let found = found.ok_or_else(|| QuestionError::NotRows(name.to_owned()))?;
        Ok(Snapshot {
            epoch: self.epoch.get(),
            rows: BTreeMap::from([(name.to_owned(), RowsOf::View(found))]),
        })
    }
}

#[cfg(test)]
mod tests;
