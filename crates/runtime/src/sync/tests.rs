//! Tests of waiting between tasks.

use super::*;
use std::{
    future::{pending, ready},
    pin::pin,
};

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn notify_all_reaches_who_asked_before_and_nobody_later() {
    let notify = Notify::new();
    let mut polled = pin!(notify.notified());
    let mut unpolled = pin!(notify.notified());
    assert!(poll(polled.as_mut()).is_pending());
    notify.notify_all();
    let mut later = pin!(notify.notified());
    assert!(poll(polled.as_mut()).is_ready());
    assert!(
        poll(unpolled.as_mut()).is_ready(),
        "it was there, polled or not"
    );
    assert!(poll(later.as_mut()).is_pending());
}

#[test]
fn notify_one_wakes_in_order_and_leaves_a_permit() {
    let notify = Notify::new();
    let mut first = pin!(notify.notified());
    let mut second = pin!(notify.notified());
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    notify.notify_one();
    assert!(poll(second.as_mut()).is_pending());
    assert!(poll(first.as_mut()).is_ready());
    notify.notify_one();
    assert!(poll(second.as_mut()).is_ready());
    notify.notify_one();
    notify.notify_one();
    let mut third = pin!(notify.notified());
    assert!(poll(third.as_mut()).is_ready(), "one permit was left");
    let mut fourth = pin!(notify.notified());
    assert!(poll(fourth.as_mut()).is_pending(), "and only one");
}

#[test]
fn a_turn_that_nobody_takes_goes_to_the_next() {
    let notify = Notify::new();
    let mut first = Box::pin(notify.notified());
    let mut second = pin!(notify.notified());
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
    notify.notify_one();
    drop(first);
    assert!(poll(second.as_mut()).is_ready());
}

#[test]
fn shutdown_reaches_clones_and_late_comers() {
    let shutdown = Shutdown::new();
    let mut early = pin!(shutdown.clone().triggered());
    assert!(poll(early.as_mut()).is_pending() && !shutdown.is_triggered());
    shutdown.trigger();
    assert!(poll(early.as_mut()).is_ready());
    assert!(poll(pin!(shutdown.triggered())).is_ready());
}

#[test]
fn of_two_the_first_counts_and_of_equals_the_main_one() {
    let of = |main: Option<u8>, has_ended: bool| {
        let main = async move {
            match main {
                Some(value) => value,
                None => pending().await,
            }
        };
        let end = async move {
            if !has_ended {
                pending().await
            }
        };
        poll(pin!(first(main, end)))
    };
    assert_eq!(of(Some(1), false), Poll::Ready(Some(1)));
    assert_eq!(of(Some(1), true), Poll::Ready(Some(1)));
    assert_eq!(of(None, true), Poll::Ready(None));
    assert_eq!(of(None, false), Poll::Pending);
    assert_eq!(poll(pin!(now(pin!(ready(1))))), Poll::Ready(Some(1)));
    assert_eq!(poll(pin!(now(pin!(pending::<u8>())))), Poll::Ready(None));
}
