//! Memory budgets and their permits: what a request may make the shard hold, accounted before it is allocated.
//!
//! # Place       one shard; clones share the budget
//! # Invariants  1. `available + held by permits == total`.
//!               2. Waiters are served in order: a small request never overtakes a large one that waits.
//! # Limits      one waiter per pending future; what waits is bounded by connections and tasks

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

struct Waiter {
    ticket: u64,
    bytes: u64,
    /// Set once the bytes were taken out for this waiter.
    is_granted: bool,
    waker: Waker,
}

struct State {
    name: &'static str,
    total: u64,
    available: Cell<u64>,
    waiters: RefCell<VecDeque<Waiter>>,
    next_ticket: Cell<u64>,
}

impl State {
    fn take(&self, bytes: u64) -> bool {
        let fits = bytes <= self.available.get();
        if fits {
            self.available.set(self.available.get() - bytes);
        }
        fits
    }

    fn give_back(&self, bytes: u64) {
        self.available.set(self.available.get() + bytes);
        assert!(
            self.available.get() <= self.total,
            "budget {} got more back than it gave",
            self.name
        );
        self.grant();
    }

    /// Serves waiters from the front while it lasts.
    fn grant(&self) {
        loop {
            let waker = {
                let mut waiters = self.waiters.borrow_mut();
                let Some(next) = waiters.iter_mut().find(|waiter| !waiter.is_granted) else {
                    return;
                };
                if !self.take(next.bytes) {
                    return;
                }
                next.is_granted = true;
                next.waker.clone()
            };
            waker.wake();
        }
    }
}

/// A named budget of one shard; FIFO waiters. Cheap to clone.
#[derive(Clone)]
pub struct Budget {
    state: Rc<State>,
}

impl Budget {
    pub fn new(name: &'static str, bytes: u64) -> Self {
        Self {
            state: Rc::new(State {
                name,
                total: bytes,
                available: Cell::new(bytes),
                waiters: RefCell::default(),
                next_ticket: Cell::new(0),
            }),
        }
    }

    /// Waits in line; a request above the whole budget waits for all of it (never for ever).
    pub async fn acquire(&self, bytes: u64) -> Permit {
        self.run_out_in_simulation();
        let bytes = bytes.min(self.state.total);
        Acquire {
            state: &self.state,
            bytes,
            ticket: None,
        }
        .await;
        self.permit(bytes)
    }

    /// `None` when it does not fit now, or others wait.
    pub fn try_acquire(&self, bytes: u64) -> Option<Permit> {
        self.run_out_in_simulation();
        (self.waiting() == 0 && self.state.take(bytes)).then(|| self.permit(bytes))
    }

    /// Takes what is left, as others would, and gives it back later; the line's order stays.
    fn run_out_in_simulation(&self) {
        let Some(time) = crate::sim::permit_shortage() else {
            return;
        };
        let bytes = self.state.available.get();
        if self.state.take(bytes) {
            let held = self.permit(bytes);
            let holder = crate::spawn(crate::Class::Admin, "permit shortage", async move {
                crate::sleep(time).await;
                drop(held);
            });
            drop(holder);
        }
    }

    fn permit(&self, bytes: u64) -> Permit {
        Permit {
            state: self.state.clone(),
            bytes,
        }
    }

    pub fn name(&self) -> &'static str {
        self.state.name
    }

    pub fn total_bytes(&self) -> u64 {
        self.state.total
    }

    pub fn available_bytes(&self) -> u64 {
        self.state.available.get()
    }

    pub fn waiting(&self) -> usize {
        let waiters = self.state.waiters.borrow();
        waiters.iter().filter(|waiter| !waiter.is_granted).count()
    }

    /// Gives back what a forgotten permit held.
    pub(crate) fn give_back(&self, bytes: u64) {
        self.state.give_back(bytes);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State {
            name,
            total,
            available,
            ..
        } = &*self.state;
        write!(
            f,
            "Budget({name}: {} of {total} available)",
            available.get()
        )
    }
}

struct Acquire<'a> {
    state: &'a State,
    bytes: u64,
    ticket: Option<u64>,
}

impl Future for Acquire<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let state = self.state;
        let mut waiters = state.waiters.borrow_mut();
        let Some(ticket) = self.ticket else {
            let is_first = waiters.iter().all(|waiter| waiter.is_granted);
            if is_first && state.take(self.bytes) {
                return Poll::Ready(());
            }
            let ticket = state.next_ticket.get();
            state.next_ticket.set(ticket + 1);
            waiters.push_back(Waiter {
                ticket,
                bytes: self.bytes,
                is_granted: false,
                waker: cx.waker().clone(),
            });
            self.ticket = Some(ticket);
            return Poll::Pending;
        };
        let at = waiters
            .iter()
            .position(|waiter| waiter.ticket == ticket)
            .expect("a waiter stays in line until it is served or gone");
        if waiters[at].is_granted {
            waiters.remove(at);
            self.ticket = None;
            return Poll::Ready(());
        }
        waiters[at].waker.clone_from(cx.waker());
        Poll::Pending
    }
}

impl Drop for Acquire<'_> {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket else { return };
        let gone = {
            let mut waiters = self.state.waiters.borrow_mut();
            let at = waiters.iter().position(|waiter| waiter.ticket == ticket);
            at.and_then(|at| waiters.remove(at))
        };
        match gone {
            Some(waiter) if waiter.is_granted => self.state.give_back(waiter.bytes),
            // Whoever stood behind may fit now.
            _ => self.state.grant(),
        }
    }
}

/// Gives back on drop. May wander inside its shard.
pub struct Permit {
    state: Rc<State>,
    bytes: u64,
}

impl Permit {
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all above `bytes`; no effect when it holds less.
    pub fn shrink_to(&mut self, bytes: u64) {
        if bytes < self.bytes {
            let surplus = self.bytes - bytes;
            self.bytes = bytes;
            self.state.give_back(surplus);
        }
    }

    /// A permit of its own for `bytes` of this one. Panics when it holds less.
    #[must_use]
    pub fn split(&mut self, bytes: u64) -> Permit {
        assert!(bytes <= self.bytes, "split of more than the permit holds");
        self.bytes -= bytes;
        Permit {
            state: self.state.clone(),
            bytes,
        }
    }

    /// Takes another permit of the same budget in.
    pub fn merge(&mut self, mut other: Permit) {
        assert!(
            Rc::ptr_eq(&self.state, &other.state),
            "permits of one budget"
        );
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// The bytes stay taken until `Budget::give_back`.
    pub(crate) fn forget(mut permit: Permit) {
        permit.bytes = 0;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.state.give_back(self.bytes);
        }
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Permit({} of {})", self.bytes, self.state.name)
    }
}

#[cfg(test)]
mod tests;
