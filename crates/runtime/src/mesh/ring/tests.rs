//! Tests of the ring: order, fullness, ownership of what is left in it; every interleaving of a small model.

use super::*;
use std::{collections::BTreeSet, rc::Rc, thread};

#[test]
fn values_come_out_in_order_and_a_full_ring_refuses() {
    let (mut producer, mut consumer) = ring(4);
    assert!(consumer.is_empty() && consumer.pop().is_none());
    for round in 0..10 {
        for at in 0..4 {
            assert_eq!(producer.push(round * 4 + at), Ok(()));
        }
        assert_eq!(producer.push(99), Err(99));
        for at in 0..4 {
            assert_eq!(consumer.pop(), Some(round * 4 + at));
        }
        assert!(consumer.is_empty());
    }
}

#[test]
fn what_nobody_took_is_dropped_once() {
    let value = Rc::new(());
    let (mut producer, mut consumer) = ring(8);
    for _ in 0..6 {
        assert!(producer.push(value.clone()).is_ok());
    }
    drop((consumer.pop(), consumer.pop()));
    assert_eq!(Rc::strong_count(&value), 5);
    drop(consumer);
    drop(producer);
    assert_eq!(Rc::strong_count(&value), 1);
}

#[test]
fn two_threads_pass_values_on() {
    // Miri runs this too, a thousand times slower.
    let count: u64 = if cfg!(miri) { 200 } else { 200_000 };
    let (mut producer, mut consumer) = ring(16);
    let sender = thread::spawn(move || {
        for value in 0..count {
            let mut value = Box::new(value);
            while let Err(back) = producer.push(value) {
                value = back;
                thread::yield_now();
            }
        }
    });
    for expected in 0..count {
        let value = loop {
            match consumer.pop() {
                Some(value) => break value,
                None => thread::yield_now(),
            }
        };
        assert_eq!(*value, expected);
    }
    sender.join().expect("it does not panic");
}

/// One state of the model: what each side has done of its program, what memory holds, and what each has seen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Model {
    slots: [Option<u8>; 2],
    head: u8,
    tail: u8,
    /// Producer: next value, its step (0 look, 1 write, 2 publish), head as last seen.
    sent: u8,
    producer_step: u8,
    head_seen: u8,
    /// Consumer: values taken, its step (0 look, 1 take, 2 publish), tail as last seen.
    taken: u8,
    consumer_step: u8,
    tail_seen: u8,
}

const MODEL_VALUES: u8 = 6;

impl Model {
    fn produce(mut self) -> Option<Self> {
        if self.sent == MODEL_VALUES {
            return None;
        }
        match self.producer_step {
            0 => {
                if self.sent - self.head_seen == 2 {
                    self.head_seen = self.head;
                }
                self.producer_step = u8::from(self.sent - self.head_seen < 2);
            }
            1 => {
                let slot = &mut self.slots[usize::from(self.sent % 2)];
                assert_eq!(*slot, None, "a slot is written only when it is free");
                *slot = Some(self.sent);
                self.producer_step = 2;
            }
            _ => {
                self.sent += 1;
                self.tail = self.sent;
                self.producer_step = 0;
            }
        }
        Some(self)
    }

    fn consume(mut self) -> Option<Self> {
        if self.taken == MODEL_VALUES {
            return None;
        }
        match self.consumer_step {
            0 => {
                if self.tail_seen == self.taken {
                    self.tail_seen = self.tail;
                }
                self.consumer_step = u8::from(self.tail_seen != self.taken);
            }
            1 => {
                let value = self.slots[usize::from(self.taken % 2)].take();
                assert_eq!(
                    value,
                    Some(self.taken),
                    "values come out whole and in order"
                );
                self.consumer_step = 2;
            }
            _ => {
                self.taken += 1;
                self.head = self.taken;
                self.consumer_step = 0;
            }
        }
        Some(self)
    }
}

/// The ring's protocol with two slots, over every interleaving of its steps.
#[test]
fn no_interleaving_lets_both_sides_at_one_slot() {
    let start = Model {
        slots: [None; 2],
        head: 0,
        tail: 0,
        sent: 0,
        producer_step: 0,
        head_seen: 0,
        taken: 0,
        consumer_step: 0,
        tail_seen: 0,
    };
    let mut seen = BTreeSet::new();
    let mut open = vec![start];
    let mut ends = 0;
    while let Some(state) = open.pop() {
        if !seen.insert(state.clone()) {
            continue;
        }
        let next: Vec<Model> = [state.clone().produce(), state.clone().consume()]
            .into_iter()
            .flatten()
            // A look that finds the ring full, or empty, again.
            .filter(|next| *next != state)
            .collect();
        if next.is_empty() {
            assert_eq!((state.taken, state.slots), (MODEL_VALUES, [None; 2]));
            ends += 1;
        }
        open.extend(next);
    }
    assert!(ends > 0, "everything sent is taken");
    assert!(seen.len() > 100);
}
