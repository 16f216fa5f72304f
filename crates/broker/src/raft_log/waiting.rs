//! Who waits for an entry to be committed.

use std::{cell::RefCell, collections::VecDeque};

use base::RaftIndex;
use runtime::sync::oneshot;

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
