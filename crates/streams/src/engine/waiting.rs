//! Futures of one task together, tasks one after the other, and what is tried until there is room.

use std::{
    cell::Cell,
    future::{Future, poll_fn},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use runtime::sync::Notify;

use crate::log::{LocalFuture, LogError};

/// Between two tries while the disk is full.
pub const FULL_WAIT: Duration = Duration::from_millis(100);

/// A seat for one task at a time.
#[derive(Default)]
pub struct Turn {
    taken: Cell<bool>,
    freed: Notify,
}

/// Gives the turn back when dropped.
pub struct Taken(Rc<Turn>);

impl Turn {
    pub async fn take(self: &Rc<Self>) -> Taken {
        while self.taken.replace(true) {
            self.freed.notified().await;
        }
        Taken(Rc::clone(self))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.taken.set(false);
        self.0.freed.notify_one();
    }
}

/// Asks the log again and again while the disk is full, until the node stops.
pub async fn while_full<T, F>(
    is_stopping: &Cell<bool>,
    mut ask: impl FnMut() -> F,
) -> Result<T, LogError>
where
    F: Future<Output = Result<T, LogError>>,
{
    loop {
        match ask().await {
            Err(LogError::Full) if !is_stopping.get() => runtime::sleep(FULL_WAIT).await,
            done => return done,
        }
    }
}

/// All of their answers, in order.
pub async fn all<T>(mut futures: Vec<LocalFuture<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_done = true;
        for (future, answer) in futures.iter_mut().zip(&mut answers) {
            if answer.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(ready) => *answer = Some(ready),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    let answers = answers.into_iter();
    answers
        .map(|answer| answer.expect("every future is done"))
        .collect()
}
