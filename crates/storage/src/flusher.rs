//! Moving frames from the journal into segments, and freeing journal files.
//!
//! # Place       a few Background tasks per home, and one that frees files
//! # Invariants
//! 1. A journal file is freed only when no log has a frame in it that its segment lacks, and the manifest says so
//!    first, together with the segments' ends and the owners' states as of then.
//!
//! # Limits
//! `WORKERS` tasks, of which all but `WORKERS_CALM` rest unless space is getting short. One write of 256 KiB each.
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
    time::Duration,
};

use runtime::{Class, sync::Notify};

use crate::{
    home::Home,
    journal::ring::{RING_FILES_MIN, UsedFile},
    log::Log,
    manifest::edit::Edit,
};

const WORKERS: usize = 8;
const WORKERS_CALM: usize = 2;
/// A log with this much to flush gets its turn at once: one full background write.
pub(crate) const EAGER_BYTES: u64 = 256 << 10;
/// Between two looks of a closing home at a ring without room: less than one write takes.
const DRAIN_RETRY: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(crate) struct FlushQueue {
    queue: RefCell<VecDeque<Rc<Log>>>,
    wake: Notify,
    /// Journal sequence that the files already planned for reach to.
    planned: Cell<u64>,
    /// A round over all logs is under way because memory is short.
    sweeping: Cell<bool>,
    freeing: Cell<bool>,
}

impl FlushQueue {
    pub(crate) fn push(&self, log: Rc<Log>) {
        if !log.flush_queued.replace(true) {
            self.queue.borrow_mut().push_back(log);
            self.wake.notify_all();
        }
    }

    /// Looks whether journal files or memory run short, and queues the logs that hold them. Cheap when not.
    pub(crate) fn consider(&self, home: &Rc<Home>) {
        let due: Vec<_> = {
            let inner = home.journal.inner.borrow();
            let behind = inner.used.len().saturating_sub(1);
            inner
                .used
                .iter()
                .take(behind)
                .filter(|file| {
                    file.sequence_last > self.planned.get()
                        && file.sequence_last <= inner.settled_sequence
                })
                .map(|file| (file.sequence_last, file.logs.clone()))
                .collect()
        };
        for (sequence_last, logs) in due {
            self.planned.set(sequence_last);
            logs.into_iter()
                .filter_map(|log_id| home.log(log_id))
                .for_each(|log| self.push(log));
            self.free_later(home);
        }
        if home.dirty_pressure() && !self.sweeping.get() {
            home.lacks_room.set(false);
            let mut logs: Vec<_> = home.ids.borrow().values().cloned().collect();
            logs.retain(|log| log.dirty_bytes() > 0);
            // The round ends when a worker finds nothing left; without a log nobody would wake one.
            self.sweeping.set(!logs.is_empty());
            logs.into_iter().for_each(|log| self.push(log));
        }
    }

    fn pop(&self) -> Option<Rc<Log>> {
        let log = self.queue.borrow_mut().pop_front();
        match &log {
            Some(log) => log.flush_queued.set(false),
            None => self.sweeping.set(false),
        }
        log
    }

    /// Space is short enough that foreground latency comes second.
    fn is_pressing(home: &Home) -> bool {
        let inner = home.journal.inner.borrow();
        inner.used.len() + 1 >= home.journal.files_max || home.dirty_pressure()
    }

    pub(crate) fn close(&self) {
        self.queue.borrow_mut().clear();
        self.wake.notify_all();
    }

    /// One of the worker tasks.
    async fn work(home: Rc<Home>, number: usize) {
        let this = &home.flush;
        while !home.closed.get() {
            let rests = number >= WORKERS_CALM && !Self::is_pressing(&home);
            let Some(log) = (if rests { None } else { this.pop() }) else {
                this.wake.notified().await;
                continue;
            };
            log.flush().await;
            this.free(&home).await;
        }
    }

    fn free_later(&self, home: &Rc<Home>) {
        let home = Rc::clone(home);
        runtime::spawn(Class::Background, "journal free", async move {
            home.flush.free(&home).await;
        });
    }

    /// Frees journal files from the oldest on, as far as their content is in segments.
    pub(crate) async fn free(&self, home: &Rc<Home>) {
        if self.freeing.replace(true) {
            return;
        }
        while oldest_is_clean(home) {
            let (begins, point) = {
                let inner = home.journal.inner.borrow();
                let front = inner.used.front().map(|file| file.sequence_first);
                (front, inner.used.get(1).map(UsedFile::point))
            };
            let (Some(begins), Some(point)) = (begins, point) else {
                break;
            };
            let logs: Vec<_> = home.ids.borrow().values().cloned().collect();
            let mut edits = Vec::new();
            for log in logs {
                // Not those behind `begins`: many records are not one atomic edit, and a crash may leave the manifest
                // with this record and the journal's old beginning, where superseded frames stand.
                log.forget_truncations(begins);
                edits.extend(log.take_stale_record().map(Edit::Put));
                if runtime::should_yield() {
                    // Given away first: a newer record of one of these logs may come meanwhile.
                    drop(home.manifest.begin_commit(std::mem::take(&mut edits)));
                    runtime::yield_now().await;
                }
            }
            edits.push(Edit::Journal(point));
            home.manifest.commit(edits).await;
            home.journal.inner.borrow_mut().used.pop_front();
            home.journal.nudge();
            home.room.notify_all();
        }
        self.freeing.set(false);
    }
}

/// Whether the oldest journal file may be freed: it is complete, and every log with frames in it has written them.
fn oldest_is_clean(home: &Rc<Home>) -> bool {
    loop {
        let (sequence_last, log_id) = {
            let mut inner = home.journal.inner.borrow_mut();
            if inner.used.len() < 2 {
                return false;
            }
            // Not the durable one: of the logs in the last commit some may not be noted yet.
            let settled_sequence = inner.settled_sequence;
            let file = inner.used.front_mut().expect("two of them");
            if file.sequence_last > settled_sequence {
                return false;
            }
            match file.logs.last() {
                None => return true,
                Some(log_id) => (file.sequence_last, *log_id),
            }
        };
        if let Some(log) = home.log(log_id)
            && log
                .oldest_dirty_sequence()
                .is_some_and(|oldest| oldest <= sequence_last)
        {
            return false;
        }
        let mut inner = home.journal.inner.borrow_mut();
        inner.used.front_mut().expect("two of them").logs.pop();
    }
}

/// Starts the worker tasks.
pub(crate) fn start(home: &Rc<Home>) {
    for number in 0..WORKERS {
        runtime::spawn(
            Class::Background,
            "flusher",
            FlushQueue::work(Rc::clone(home), number),
        );
    }
}

/// Waits until the journal has written all that is staged, for a home that closes: its flushers have ended, so where
/// the ring has no room left, it is made here. Gives up on a full disk; what is staged then was never acknowledged.
pub(crate) async fn drain(home: &Rc<Home>) {
    while !home.journal.is_drained() {
        if !home.journal.lacks_room() {
            home.journal.completed.notified().await;
            continue;
        }
        let logs: Vec<_> = home.ids.borrow().values().cloned().collect();
        for_all(logs.clone(), |log| async move { log.flush_anew().await }).await;
        home.flush.free(home).await;
        if !home.journal.lacks_room() {
            continue;
        }
        let is_full = home.waiting_for_space.get() > 0 || logs.iter().any(|log| log.has_given_up());
        if is_full || home.journal.inner.borrow().ring.len() < RING_FILES_MIN {
            return;
        }
        // A direct write holds the oldest file, or another task is about to free it.
        runtime::sleep(DRAIN_RETRY).await;
    }
}

/// Runs `work` over all logs, a few at a time.
pub(crate) async fn for_all<F, Fut>(logs: Vec<Rc<Log>>, work: F)
where
    F: Fn(Rc<Log>) -> Fut + 'static,
    Fut: Future<Output = ()> + 'static,
{
    const AT_ONCE: usize = 16;
    let queue = Rc::new(RefCell::new(VecDeque::from(logs)));
    let work = Rc::new(work);
    let mut tasks = Vec::new();
    for _ in 0..AT_ONCE.min(queue.borrow().len()) {
        let (queue, work) = (Rc::clone(&queue), Rc::clone(&work));
        tasks.push(runtime::spawn(Class::Background, "all logs", async move {
            loop {
                let log = queue.borrow_mut().pop_front();
                let Some(log) = log else { return };
                work(log).await;
            }
        }));
    }
    for task in tasks {
        let _ = task.await;
    }
}
