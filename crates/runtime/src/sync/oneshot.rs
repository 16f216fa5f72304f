//! A channel for one value.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

struct State<T> {
    value: Cell<Option<T>>,
    is_closed: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let state = Rc::new(State {
        value: Cell::new(None),
        is_closed: Cell::new(false),
        waker: RefCell::new(None),
    });
    (Sender(state.clone()), Receiver(state))
}

pub struct Sender<T>(Rc<State<T>>);

impl<T> Sender<T> {
    /// The value is dropped when the receiver is gone.
    pub fn send(self, value: T) {
        self.0.value.set(Some(value));
    }

    /// Whether nobody waits for the value any more.
    pub fn is_closed(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.is_closed.set(true);
        let waker = self.0.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// `None` when the sender was dropped.
pub struct Receiver<T>(Rc<State<T>>);

impl<T> Future for Receiver<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        if self.0.is_closed.get() {
            return Poll::Ready(self.0.value.take());
        }
        *self.0.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}
