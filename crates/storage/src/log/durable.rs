//! The durable position: who waits for it, and how it advances.
use std::{future::Future, rc::Rc};

use base::{LogEpoch, Offset};
use runtime::sync::oneshot;

use crate::{Durable, Log, flusher::EAGER_BYTES, journal::Touched};

pub(crate) struct Waiter {
    log_epoch: LogEpoch,
    next_offset: Offset,
    done: oneshot::Sender<bool>,
}

impl Log {
    #[must_use]
    pub fn durable(&self) -> Durable {
        let state = self.state.borrow();
        Durable {
            log_epoch: state.log_epoch,
            next_index: state.durable_next,
            next_offset: state.durable_offset,
        }
    }

    /// Called (on this shard, synchronously) after each advance of `durable`: the log's raft group counts it.
    /// Not any more once the log is closed or refused. One listener.
    pub fn on_durable(&self, callback: Rc<dyn Fn(Durable)>) {
        if !self.is_over() {
            self.on_durable.replace(Some(callback));
        }
    }

    /// Resolves `true` when everything below `next_offset` is durable in that log epoch; `false` when it was truncated
    /// or the log closed.
    pub fn wait_durable(
        &self,
        log_epoch: LogEpoch,
        next_offset: Offset,
    ) -> impl Future<Output = bool> + 'static {
        let decided = {
            let state = self.state.borrow();
            if state.closed || state.quarantined.is_some() || state.log_epoch != log_epoch {
                Some(false)
            } else {
                (state.durable_offset >= next_offset).then_some(true)
            }
        };
        let waits = decided.is_none().then(|| {
            let (done, waits) = oneshot::channel();
            let mut waiters = self.waiters.borrow_mut();
            let at = waiters.partition_point(|w| w.next_offset <= next_offset);
            let waiter = Waiter {
                log_epoch,
                next_offset,
                done,
            };
            waiters.insert(at, waiter);
            waits
        });
        async move {
            match (decided, waits) {
                (Some(decided), _) => decided,
                (None, Some(waits)) => waits.await.unwrap_or(false),
                (None, None) => false,
            }
        }
    }

    /// A journal commit lasts that carries frames or states of this log.
    pub(crate) fn on_commit(&self, sequence: u64, touched: &Touched) {
        self.advance(sequence);
        self.settle_states(sequence);
        if self.home.config.planted.durable_without_log_epoch {
            let mut state = self.state.borrow_mut();
            let vouched = touched.next_index.min(state.next_index);
            if vouched > state.durable_next {
                let last = state.entries_from(vouched).checked_sub(1);
                let offset = last.map(|at| state.entries[at].next_offset);
                state.durable_offset = offset.unwrap_or(state.durable_offset);
                state.durable_next = vouched;
            }
            drop(state);
            self.report();
        }
        if self.dirty_bytes() >= EAGER_BYTES {
            self.home.flush.push(self.rc());
        }
        debug_assert!(touched.log_epoch <= self.log_epoch());
    }

    /// Moves the durable position to the end of the longest prefix that lasts, given the newest commit that does.
    pub(crate) fn advance(&self, durable_sequence: u64) {
        {
            let mut state = self.state.borrow_mut();
            let mut next = state.durable_next;
            let mut offset = state.durable_offset;
            if state.written_next > next {
                (next, offset) = (state.written_next, state.written_offset());
            }
            let from = state.entries_from(next);
            for entry in state.entries.range(from..) {
                if entry.journal_sequence > durable_sequence {
                    break;
                }
                next = next.next();
                offset = entry.next_offset;
            }
            if next == state.durable_next {
                return;
            }
            state.durable_next = next;
            state.durable_offset = offset;
        }
        self.report();
    }

    /// Wakes whoever waits for the durable position as it is now.
    fn report(&self) {
        let durable = self.durable();
        loop {
            let mut waiters = self.waiters.borrow_mut();
            let reached = waiters
                .front()
                .is_some_and(|w| w.next_offset <= durable.next_offset);
            if !reached {
                break;
            }
            let waiter = if self.home.config.planted.wake_wrong_waiter {
                waiters.pop_back()
            } else {
                waiters.pop_front()
            };
            drop(waiters);
            if let Some(waiter) = waiter {
                waiter.done.send(waiter.log_epoch == durable.log_epoch);
            }
        }
        let callback = self.on_durable.borrow().clone();
        if let Some(callback) = callback {
            callback(durable);
        }
    }

    /// Tells those who wait for offsets behind `next_offset` that it will not happen.
    pub(crate) fn fail_waiters(&self, next_offset: Offset) {
        let failed = {
            let mut waiters = self.waiters.borrow_mut();
            let at = waiters.partition_point(|w| w.next_offset <= next_offset);
            waiters.split_off(at)
        };
        for waiter in failed {
            waiter.done.send(false);
        }
    }
}
