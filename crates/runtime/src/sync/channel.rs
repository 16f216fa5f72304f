//! A bounded queue, many senders, one receiver, one shard.

use super::Notify;
use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::Rc,
};

struct State<T> {
    queue: RefCell<VecDeque<T>>,
    capacity: usize,
    senders: Cell<usize>,
    has_receiver: Cell<bool>,
    /// Something came, or the last sender went.
    filled: Notify,
    /// A place is free, or the receiver went.
    drained: Notify,
}

/// Panics when `capacity` is 0.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    assert!(capacity > 0, "a queue without places");
    let state = Rc::new(State {
        queue: RefCell::default(),
        capacity,
        senders: Cell::new(1),
        has_receiver: Cell::new(true),
        filled: Notify::new(),
        drained: Notify::new(),
    });
    (Sender(state.clone()), Receiver(state))
}

pub struct Sender<T>(Rc<State<T>>);

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.senders.set(self.0.senders.get() + 1);
        Self(self.0.clone())
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.senders.set(self.0.senders.get() - 1);
        if self.0.senders.get() == 0 {
            self.0.filled.notify_one();
        }
    }
}

impl<T> Sender<T> {
    /// Waits for a place. `Err(value)` when the receiver is gone.
    pub async fn send(&self, value: T) -> Result<(), T> {
        let mut value = value;
        loop {
            value = match self.try_send(value) {
                Ok(()) => return Ok(()),
                Err(value) => value,
            };
            if !self.0.has_receiver.get() {
                return Err(value);
            }
            self.0.drained.notified().await;
        }
    }

    /// `Err(value)` when the queue is full or the receiver is gone.
    pub fn try_send(&self, value: T) -> Result<(), T> {
        {
            let mut queue = self.0.queue.borrow_mut();
            if !self.0.has_receiver.get() || queue.len() >= self.0.capacity {
                return Err(value);
            }
            queue.push_back(value);
        }
        self.0.filled.notify_one();
        Ok(())
    }
}

pub struct Receiver<T>(Rc<State<T>>);

impl<T> Receiver<T> {
    /// `None` when all senders are gone and the queue is empty.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            if let Some(value) = self.try_recv() {
                return Some(value);
            }
            if self.0.senders.get() == 0 {
                return None;
            }
            self.0.filled.notified().await;
        }
    }

    pub fn try_recv(&mut self) -> Option<T> {
        let value = self.0.queue.borrow_mut().pop_front();
        if value.is_some() {
            self.0.drained.notify_one();
        }
        value
    }

    /// Values that wait.
    pub fn len(&self) -> usize {
        self.0.queue.borrow().len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.0.has_receiver.set(false);
        let left = self.0.queue.take();
        drop(left);
        self.0.drained.notify_all();
    }
}
