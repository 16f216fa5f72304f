//! Tests of budgets: accounting, order of waiters, and running out in simulation.

use super::*;
use crate::sim::{Sim, SimConfig};
use std::{pin::pin, time::Duration};

/// Polls once.
fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn what_is_taken_comes_back() {
    let budget = Budget::new("test", 100);
    let mut permit = budget.try_acquire(60).expect("fits");
    assert!(budget.try_acquire(41).is_none());
    let split = permit.split(20);
    assert_eq!((permit.bytes(), split.bytes()), (40, 20));
    permit.merge(split);
    permit.shrink_to(10);
    permit.shrink_to(50);
    assert_eq!((permit.bytes(), budget.available_bytes()), (10, 90));
    Permit::forget(budget.try_acquire(90).expect("fits"));
    drop(permit);
    assert_eq!(budget.available_bytes(), 10);
    budget.give_back(90);
    assert_eq!(budget.available_bytes(), budget.total_bytes());
}

#[test]
#[should_panic(expected = "got more back than it gave")]
fn giving_back_too_much_is_a_bug() {
    Budget::new("test", 100).give_back(1);
}

#[test]
fn waiters_are_served_in_order_and_small_ones_do_not_overtake() {
    let budget = Budget::new("test", 100);
    let held = budget.try_acquire(100).expect("fits");
    let mut large = pin!(budget.acquire(80));
    let mut small = pin!(budget.acquire(10));
    assert!(poll(large.as_mut()).is_pending() && poll(small.as_mut()).is_pending());
    assert_eq!(budget.waiting(), 2);
    let mut held = held;
    held.shrink_to(50);
    assert!(poll(small.as_mut()).is_pending(), "the large one is first");
    assert!(budget.try_acquire(1).is_none(), "others wait");
    drop(held);
    let Poll::Ready(small) = poll(small.as_mut()) else {
        panic!("both fit");
    };
    let Poll::Ready(large) = poll(large.as_mut()) else {
        panic!("both fit");
    };
    assert_eq!(budget.available_bytes(), 10);
    drop((small, large));
    assert_eq!(budget.available_bytes(), 100);
}

#[test]
fn a_waiter_that_goes_lets_the_next_pass_and_leaves_nothing_behind() {
    let budget = Budget::new("test", 100);
    let held = budget.try_acquire(50).expect("fits");
    let mut small = Box::pin(budget.acquire(50));
    {
        let mut large = Box::pin(budget.acquire(80));
        assert!(poll(large.as_mut()).is_pending());
        assert!(poll(small.as_mut()).is_pending());
    }
    let Poll::Ready(small) = poll(small.as_mut()) else {
        panic!("nobody is before it");
    };
    let mut granted = Box::pin(budget.acquire(30));
    assert!(poll(granted.as_mut()).is_pending());
    drop(held);
    // Granted, and gone before it saw that.
    drop(granted);
    drop(small);
    assert_eq!((budget.available_bytes(), budget.waiting()), (100, 0));
}

#[test]
fn more_than_there_is_waits_for_all_of_it() {
    let budget = Budget::new("test", 100);
    let mut all = pin!(budget.acquire(1000));
    let Poll::Ready(permit) = poll(all.as_mut()) else {
        panic!("all of it is free");
    };
    assert_eq!(permit.bytes(), 100);
}

#[test]
fn permits_run_out_in_simulation_and_come_back() {
    let mut config = SimConfig::new(1);
    config.permit_shortage = 0.5;
    let sim = Sim::new(config);
    let host = sim.host("host", 1, || async {});
    let (refused, waited) = sim
        .run_on(host, Duration::from_secs(60), async {
            let budget = Budget::new("test", 100);
            let (mut refused, mut waited) = (0, 0);
            for _ in 0..200 {
                refused += u32::from(budget.try_acquire(1).is_none());
                let start = crate::now();
                let permit = budget.acquire(10).await;
                waited += u32::from(crate::now().since(start) > Duration::ZERO);
                drop(permit);
            }
            crate::sleep(Duration::from_secs(1)).await;
            assert_eq!(budget.available_bytes(), 100);
            (refused, waited)
        })
        .expect("nobody waits for ever");
    assert!((50..=200).contains(&refused), "{refused}");
    assert!((50..=200).contains(&waited), "{waited}");
}
