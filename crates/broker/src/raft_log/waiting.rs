//! Who waits for an entry to be committed, or for the high watermark to move.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

use base::RaftIndex;
use runtime::sync::{Notify, oneshot};

/// Watchers kept before the dead ones among them are looked for.
const WATCHERS_SWEEP_MIN: usize = 16;

struct Waiter {
    index: RaftIndex,
    done: oneshot::Sender<bool>,
}

/// Waiters in the order of their entries.
#[derive(Default)]
pub(super) struct Waiters(RefCell<VecDeque<Waiter>>);

impl Waiters {
    /// `true` when `index` is committed, `false` when that may never be.
    pub fn wait(&self, index: RaftIndex) -> oneshot::Receiver<bool> {
        let (done, waits) = oneshot::channel();
        let mut waiters = self.0.borrow_mut();
        let at = waiters.partition_point(|waiter| waiter.index <= index);
        waiters.insert(at, Waiter { index, done });
        waits
    }

    /// Everything up to `index` is committed.
    pub fn reached(&self, index: RaftIndex) {
        loop {
            let mut waiters = self.0.borrow_mut();
            if waiters.front().is_none_or(|waiter| waiter.index > index) {
                return;
            }
            let waiter = waiters.pop_front();
            drop(waiters);
            if let Some(waiter) = waiter {
                waiter.done.send(true);
            }
        }
    }

    /// What is still waited for may be lost.
    pub fn fail(&self) {
        for waiter in self.0.take() {
            waiter.done.send(false);
        }
    }
}

/// Tasks to wake once.
#[derive(Default)]
pub(super) struct Watchers {
    watching: RefCell<Vec<Weak<Notify>>>,
    sweep: Cell<usize>,
}

impl Watchers {
    pub fn add(&self, watcher: &Rc<Notify>) {
        let mut watching = self.watching.borrow_mut();
        if watching.len() >= self.sweep.get().max(WATCHERS_SWEEP_MIN) {
            watching.retain(|watcher| watcher.strong_count() > 0);
            self.sweep.set(watching.len() * 2);
        }
        watching.push(Rc::downgrade(watcher));
    }

    pub fn wake(&self) {
        if self.watching.borrow().is_empty() {
            return;
        }
        for watcher in self.watching.take() {
            if let Some(watcher) = watcher.upgrade() {
                watcher.notify_all();
            }
        }
    }
}
