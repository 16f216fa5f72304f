//! Tests of the ready queue: shares between classes, order within one.

use super::*;
use crate::task::{TaskKey, Tasks};

const US: u64 = 1000;

/// Keys of as many tasks.
fn keys(count: usize) -> Vec<TaskKey> {
    let mut tasks = Tasks::default();
    let mut add = || tasks.add(Class::Produce, 0, Box::pin(async {}));
    (0..count).map(|_| add()).collect()
}

/// Runs tasks that are ready again at once for `turns`; each class's slices are as long as said. CPU time per class.
fn compete(queue: &mut ReadyQueue, slices: &[(Class, u64)], turns: usize) -> Vec<u64> {
    let keys = keys(slices.len());
    for ((class, _), key) in slices.iter().zip(&keys) {
        queue.push(*class, *key);
    }
    let mut used = vec![0; slices.len()];
    for _ in 0..turns {
        let key = queue.take(Pick::Fair).expect("all stay ready");
        let at = keys.iter().position(|k| *k == key).expect("one of ours");
        let (class, ns) = slices[at];
        queue.charge(class, ns);
        used[at] += ns;
        queue.push(class, key);
    }
    used
}

#[test]
fn busy_classes_share_the_cpu_by_their_shares_whatever_their_slices() {
    let slices = [
        (Class::Produce, 10 * US),
        (Class::Fetch, 50 * US),
        (Class::Background, 500 * US),
        (Class::Admin, US),
    ];
    let used = compete(&mut ReadyQueue::default(), &slices, 200_000);
    let shares: u64 = slices.iter().map(|(class, _)| class.shares()).sum();
    let total: u64 = used.iter().sum();
    for ((class, _), used) in slices.iter().zip(&used) {
        let fair = total as f64 * class.shares() as f64 / shares as f64;
        let ratio = *used as f64 / fair;
        assert!((0.98..1.02).contains(&ratio), "{class:?}: {ratio}");
    }
}

#[test]
fn nobody_starves_and_nobody_saves_up() {
    let mut queue = ReadyQueue::default();
    let slices = [(Class::Produce, 100 * US), (Class::Background, 100 * US)];
    let used = compete(&mut queue, &slices, 1000);
    assert!(used[1] > 0);
    // A class that was idle all the while gets its share from now on, not the CPU until it has caught up.
    let slices = [(Class::Produce, 100 * US), (Class::Query, 100 * US)];
    let mut queue = ReadyQueue::default();
    compete(&mut queue, &slices[..1], 10_000);
    let used = compete(&mut queue, &slices, 100);
    assert!(used[0] > used[1], "{used:?}");
}

#[test]
fn tasks_of_a_class_run_in_order() {
    let keys = keys(5);
    let mut queue = ReadyQueue::default();
    for key in &keys {
        queue.push(Class::Fetch, *key);
    }
    assert_eq!((queue.len(), queue.queued(Class::Fetch)), (5, 5));
    let taken: Vec<_> = std::iter::from_fn(|| queue.take(Pick::Fair)).collect();
    assert_eq!(taken, keys);
    assert_eq!((queue.len(), queue.next_class()), (0, None));
}

#[test]
fn the_simulator_picks_any() {
    let keys = keys(3);
    let mut queue = ReadyQueue::default();
    queue.push(Class::Produce, keys[0]);
    queue.push(Class::Admin, keys[1]);
    queue.push(Class::Admin, keys[2]);
    assert_eq!(queue.take(Pick::Nth(2)), Some(keys[2]));
    assert_eq!(queue.take(Pick::Nth(2)), None);
    assert_eq!(queue.take(Pick::Nth(1)), Some(keys[1]));
    assert_eq!(queue.take(Pick::Nth(0)), Some(keys[0]));
    assert_eq!(queue.len(), 0);
}
