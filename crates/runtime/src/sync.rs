//! Waiting between tasks of one shard: no atomics, no locks.
//!
//! # Invariants  1. Nobody is woken, and no value dropped, while a cell here is borrowed.
//!               2. Waiters are served in order of arrival; one that is dropped gives its turn to the next.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
};

pub mod channel;
pub mod oneshot;

struct Waiter {
    ticket: u64,
    waker: Waker,
    is_notified: bool,
}

/// Wakes waiters; `notified` resolves at the first `notify_*` after it was created.
#[derive(Default)]
pub struct Notify {
    waiters: RefCell<VecDeque<Waiter>>,
    next_ticket: Cell<u64>,
    /// Tickets below were all notified.
    notified_end: Cell<u64>,
    has_permit: Cell<bool>,
}

impl Notify {
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes all who wait now.
    pub fn notify_all(&self) {
        self.notified_end.set(self.next_ticket.get());
        let waiters = self.waiters.take();
        for waiter in waiters {
            waiter.waker.wake();
        }
    }

    /// Wakes one waiter, or leaves a permit for the next.
    pub fn notify_one(&self) {
        let waker = {
            let mut waiters = self.waiters.borrow_mut();
            let waiter = waiters.iter_mut().find(|waiter| !waiter.is_notified);
            waiter.map(|waiter| {
                waiter.is_notified = true;
                waiter.waker.clone()
            })
        };
        match waker {
            Some(waker) => waker.wake(),
            None => self.has_permit.set(true),
        }
    }

    pub fn notified(&self) -> impl Future<Output = ()> + '_ {
        let ticket = self.next_ticket.get();
        self.next_ticket.set(ticket + 1);
        Notified {
            notify: self,
            ticket,
            is_waiting: false,
        }
    }
}

struct Notified<'a> {
    notify: &'a Notify,
    ticket: u64,
    is_waiting: bool,
}

impl Future for Notified<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let notify = self.notify;
        if self.ticket < notify.notified_end.get() {
            self.is_waiting = false;
            return Poll::Ready(());
        }
        let mut waiters = notify.waiters.borrow_mut();
        if self.is_waiting {
            let at = waiters
                .iter()
                .position(|waiter| waiter.ticket == self.ticket)
                .expect("a waiter stays in line until it is notified or gone");
            if waiters[at].is_notified {
                waiters.remove(at);
                self.is_waiting = false;
                return Poll::Ready(());
            }
            waiters[at].waker.clone_from(cx.waker());
            return Poll::Pending;
        }
        if notify.has_permit.take() {
            return Poll::Ready(());
        }
        waiters.push_back(Waiter {
            ticket: self.ticket,
            waker: cx.waker().clone(),
            is_notified: false,
        });
        self.is_waiting = true;
        Poll::Pending
    }
}

impl Drop for Notified<'_> {
    fn drop(&mut self) {
        if !self.is_waiting {
            return;
        }
        let was_notified = {
            let mut waiters = self.notify.waiters.borrow_mut();
            let at = waiters.iter().position(|w| w.ticket == self.ticket);
            at.and_then(|at| waiters.remove(at))
                .is_some_and(|waiter| waiter.is_notified)
        };
        if was_notified {
            self.notify.notify_one();
        }
    }
}

/// Counts down to cancellation, shared by a tree of tasks.
#[derive(Clone, Default)]
pub struct Shutdown {
    state: Rc<ShutdownState>,
}

#[derive(Default)]
struct ShutdownState {
    is_triggered: Cell<bool>,
    notify: Notify,
}

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn trigger(&self) {
        self.state.is_triggered.set(true);
        self.state.notify.notify_all();
    }

    pub fn is_triggered(&self) -> bool {
        self.state.is_triggered.get()
    }

    /// Resolves when triggered, at once when it was before.
    pub fn triggered(&self) -> impl Future<Output = ()> + 'static {
        let state = self.state.clone();
        async move {
            while !state.is_triggered.get() {
                state.notify.notified().await;
            }
        }
    }
}

/// What `main` gives, or `None` when `end` comes first. `main` is asked first; whichever has not come is dropped.
pub async fn first<T>(main: impl Future<Output = T>, end: impl Future<Output = ()>) -> Option<T> {
    let (mut main, mut end) = (pin!(main), pin!(end));
    poll_fn(|cx| {
        if let Poll::Ready(value) = main.as_mut().poll(cx) {
            return Poll::Ready(Some(value));
        }
        end.as_mut().poll(cx).map(|()| None)
    })
    .await
}

/// What `future` gives when it is ready now.
pub async fn now<T>(mut future: Pin<&mut (impl Future<Output = T> + ?Sized)>) -> Option<T> {
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests;
