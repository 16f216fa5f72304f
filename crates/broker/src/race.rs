//! Waiting for the first of two futures.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::Poll,
};

/// What `main` gives, or `None` when `end` comes first. `main` is asked first.
pub async fn first<T>(main: impl Future<Output = T>, end: impl Future<Output = ()>) -> Option<T> {
    let mut main = pin!(main);
    let mut end = pin!(end);
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
