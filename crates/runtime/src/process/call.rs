//! Calls from any thread to a shard.

use super::ShardsHandle;
use crate::{Class, remote::Message, task};
use base::ShardId;
use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

enum State<R> {
    Waiting(Option<Waker>),
    Answered(R),
    /// The shard ended before it could answer.
    Gone,
}

/// Where the answer arrives. The lock is held for a move of the value only.
struct Answer<R> {
    state: Mutex<State<R>>,
    changed: Condvar,
}

impl<R> Answer<R> {
    fn lock(&self) -> MutexGuard<'_, State<R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, state: State<R>) {
        let before = std::mem::replace(&mut *self.lock(), state);
        self.changed.notify_all();
        if let State::Waiting(Some(waker)) = before {
            waker.wake();
        }
    }
}

/// Says so when the call is dropped unanswered.
struct Answering<R> {
    answer: Option<Arc<Answer<R>>>,
}

impl<R> Drop for Answering<R> {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            answer.set(State::Gone);
        }
    }
}

struct Calling<R>(Arc<Answer<R>>);

impl<R> Future for Calling<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        let mut state = self.0.lock();
        match std::mem::replace(&mut *state, State::Waiting(Some(cx.waker().clone()))) {
            State::Answered(value) => Poll::Ready(value),
            State::Waiting(_) => Poll::Pending,
            State::Gone => {
                *state = State::Gone;
                Poll::Pending
            }
        }
    }
}

impl ShardsHandle {
    pub fn shard_count(&self) -> u16 {
        self.node.remotes.len() as u16
    }

    fn start<F, Fut, R>(
        &self,
        to: ShardId,
        class: Class,
        kind: &'static str,
        f: F,
    ) -> Arc<Answer<R>>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let answer = Arc::new(Answer {
            state: Mutex::new(State::Waiting(None)),
            changed: Condvar::new(),
        });
        let mut answering = Answering {
            answer: Some(answer.clone()),
        };
        let run = Message::Run(Box::new(move |shard| {
            let task = async move {
                let value = f().await;
                let answer = answering.answer.take().expect("answered once");
                answer.set(State::Answered(value));
            };
            task::spawn_detached(shard, class, kind, task);
        }));
        self.node.remotes[usize::from(to.0)].push(run);
        answer
    }

    /// The future is `Send` and runs on any executor. It never resolves when the shards end meanwhile.
    pub fn call<F, Fut, R>(
        &self,
        to: ShardId,
        class: Class,
        kind: &'static str,
        f: F,
    ) -> impl Future<Output = R> + Send + use<F, Fut, R>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        Calling(self.start(to, class, kind, f))
    }

    /// As `call`, on a thread that may block (no shard's). Panics when the shards end meanwhile.
    pub fn call_blocking<F, Fut, R>(&self, to: ShardId, class: Class, kind: &'static str, f: F) -> R
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        let answer = self.start(to, class, kind, f);
        let mut state = answer.lock();
        loop {
            match std::mem::replace(&mut *state, State::Waiting(None)) {
                State::Answered(value) => return value,
                State::Gone => panic!("the shards ended before they answered"),
                State::Waiting(_) => {}
            }
            state = answer
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
