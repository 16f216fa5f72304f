//! Timers of a shard, and the futures that wait for them.

use crate::{Elapsed, Instant, shard::Shard};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

/// Deadline, then order of registration: timers of one deadline fire in the order they were made.
pub(crate) type TimerKey = (u64, u64);

/// One entry per waiting future, so bounded by the tasks.
#[derive(Default)]
pub(crate) struct Timers {
    waiting: BTreeMap<TimerKey, Waker>,
    next_sequence: u64,
}

impl Timers {
    fn add(&mut self, at: Instant, waker: Waker) -> TimerKey {
        let key = (at.0, self.next_sequence);
        self.next_sequence += 1;
        self.waiting.insert(key, waker);
        key
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.keys().next().map(|key| Instant(key.0))
    }

    /// The first timer that is due, removed.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Waker> {
        let first = self.waiting.first_entry()?;
        (first.key().0 <= now.0).then(|| first.remove())
    }
}

/// Resolves at a point in time.
pub(crate) struct Sleep {
    shard: Rc<Shard>,
    at: Instant,
    registered: Option<TimerKey>,
}

impl Sleep {
    pub(crate) fn until(at: Instant) -> Self {
        Self {
            shard: Shard::current(),
            at,
            registered: None,
        }
    }

    fn deregister(&mut self) {
        if let Some(key) = self.registered.take() {
            self.shard.timers.borrow_mut().waiting.remove(&key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.shard.now() >= self.at {
            self.deregister();
            return Poll::Ready(());
        }
        let this = &mut *self;
        let mut timers = this.shard.timers.borrow_mut();
        match this.registered {
            Some(key) => match timers.waiting.get_mut(&key) {
                Some(waker) => waker.clone_from(cx.waker()),
                // It fired, but somebody polled before its time by the clock: wait for the rest.
                None => this.registered = Some(timers.add(this.at, cx.waker().clone())),
            },
            None => this.registered = Some(timers.add(this.at, cx.waker().clone())),
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.deregister();
    }
}

/// `future`, unless `at` comes first.
pub(crate) async fn timeout_at<F: Future>(at: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = std::pin::pin!(future);
    let mut sleep = std::pin::pin!(Sleep::until(at));
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
