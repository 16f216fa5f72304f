//! Waiting between tasks of one shard: no atomics, no locks.
use std::rc::Rc;

/// Wakes waiters; `notified` resolves at the first `notify_*` after it was created.
#[derive(Default)]
pub struct Notify {
    _p: (),
}
impl Notify {
    pub fn new() -> Self {
        todo!()
    }
    pub fn notify_all(&self) {
        todo!()
    }
    /// Wakes one waiter, or leaves a permit for the next.
    pub fn notify_one(&self) {
        todo!()
    }
    pub fn notified(&self) -> impl Future<Output = ()> + '_ {
        async { todo!() }
    }
}
pub mod oneshot {
    pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
        todo!()
    }
    pub struct Sender<T>(std::rc::Rc<T>);
    impl<T> Sender<T> {
        pub fn send(self, value: T) {
            todo!()
        }
    }
    pub struct Receiver<T>(std::rc::Rc<T>);
    /// `None` when the sender was dropped.
    impl<T> Future for Receiver<T> {
        type Output = Option<T>;
        fn poll(
            self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<T>> {
            todo!()
        }
    }
}
/// Bounded queue, many senders, one receiver, one shard.
pub mod channel {
    pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
        todo!()
    }
    pub struct Sender<T>(std::rc::Rc<T>);
    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            todo!()
        }
    }
    impl<T> Sender<T> {
        /// `Err(value)` when the receiver is gone.
        pub async fn send(&self, value: T) -> Result<(), T> {
            todo!()
        }
        pub fn try_send(&self, value: T) -> Result<(), T> {
            todo!()
        }
    }
    pub struct Receiver<T>(std::rc::Rc<T>);
    impl<T> Receiver<T> {
        /// `None` when all senders are gone and the queue is empty.
        pub async fn recv(&mut self) -> Option<T> {
            todo!()
        }
        pub fn try_recv(&mut self) -> Option<T> {
            todo!()
        }
    }
}
/// Counts down to cancellation, shared by a tree of tasks.
#[derive(Clone, Default)]
pub struct Shutdown {
    _p: Rc<()>,
}
impl Shutdown {
    pub fn new() -> Self {
        todo!()
    }
    pub fn trigger(&self) {
        todo!()
    }
    pub fn is_triggered(&self) -> bool {
        todo!()
    }
    pub fn triggered(&self) -> impl Future<Output = ()> + 'static {
        async { todo!() }
    }
}
