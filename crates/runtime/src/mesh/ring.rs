//! A bounded queue between one producing and one consuming thread.
//!
//! # Invariants  1. Slots `head..tail` hold values; the producer alone writes `tail`, the consumer alone `head`.
//!               2. A slot is written before `tail` passes it (release) and read after that was seen (acquire);
//!                  likewise it is emptied before `head` passes it. (Modelled in the tests.)

use std::{
    cell::{Cell, UnsafeCell},
    mem::MaybeUninit,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

/// On a cache line of its own (two, as the prefetcher fetches pairs).
#[repr(align(128))]
struct Padded<T>(T);

struct Ring<T> {
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    head: Padded<AtomicUsize>,
    tail: Padded<AtomicUsize>,
}

// SAFETY: values move from one thread to another; invariants 1 and 2 keep both off the same slot.
unsafe impl<T: Send> Send for Ring<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Ring<T> {}

pub(super) struct Producer<T> {
    ring: Arc<Ring<T>>,
    tail: usize,
    /// The head as last seen: the line is read again only when the ring looks full.
    head_seen: usize,
}

pub(super) struct Consumer<T> {
    ring: Arc<Ring<T>>,
    head: usize,
    tail_seen: Cell<usize>,
}

/// `slots` is a power of two.
pub(super) fn ring<T>(slots: usize) -> (Producer<T>, Consumer<T>) {
    assert!(slots.is_power_of_two(), "positions wrap around by a mask");
    let ring = Arc::new(Ring {
        slots: (0..slots)
            .map(|_| UnsafeCell::new(MaybeUninit::uninit()))
            .collect(),
        head: Padded(AtomicUsize::new(0)),
        tail: Padded(AtomicUsize::new(0)),
    });
    let producer = Producer {
        ring: ring.clone(),
        tail: 0,
        head_seen: 0,
    };
    let consumer = Consumer {
        ring,
        head: 0,
        tail_seen: Cell::new(0),
    };
    (producer, consumer)
}

impl<T> Ring<T> {
    fn slot(&self, position: usize) -> *mut MaybeUninit<T> {
        self.slots[position & (self.slots.len() - 1)].get()
    }
}

impl<T> Producer<T> {
    /// Gives the value back when the ring is full.
    pub(super) fn push(&mut self, value: T) -> Result<(), T> {
        let slots = self.ring.slots.len();
        if self.tail.wrapping_sub(self.head_seen) == slots {
            self.head_seen = self.ring.head.0.load(Ordering::Acquire);
            if self.tail.wrapping_sub(self.head_seen) == slots {
                return Err(value);
            }
        }
        // SAFETY: the slot is free (invariant 1), and the consumer does not look at it before `tail` passes.
        unsafe { (*self.ring.slot(self.tail)).write(value) };
        self.tail = self.tail.wrapping_add(1);
        self.ring.tail.0.store(self.tail, Ordering::Release);
        Ok(())
    }
}

impl<T> Consumer<T> {
    pub(super) fn is_empty(&self) -> bool {
        if self.tail_seen.get() == self.head {
            self.tail_seen.set(self.ring.tail.0.load(Ordering::Acquire));
        }
        self.tail_seen.get() == self.head
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: the slot holds a value (invariant 1), which nobody reads again since `head` passes it.
        let value = unsafe { (*self.ring.slot(self.head)).assume_init_read() };
        self.head = self.head.wrapping_add(1);
        self.ring.head.0.store(self.head, Ordering::Release);
        Some(value)
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        let (head, tail) = (*self.head.0.get_mut(), *self.tail.0.get_mut());
        let mut at = head;
        while at != tail {
            // SAFETY: both ends are gone, and slots `head..tail` hold values.
            unsafe { (*self.slot(at)).assume_init_drop() };
            at = at.wrapping_add(1);
        }
    }
}

#[cfg(test)]
mod tests;
