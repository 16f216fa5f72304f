//! Shards, their executor and its I/O, the mesh between them, and the simulated twins of it all.
//!
//! A *shard* is one pinned thread with an executor of `!Send` tasks. All functions here act on the current shard, real
//! or simulated: nothing above this crate knows which.

pub mod budget;
pub mod class;
pub mod fs;
pub mod host;
pub mod net;
pub mod process;
pub mod signal;
pub mod sim;
pub mod stats;
pub mod sync;

mod clock;
mod epoll;
mod fatal;
mod mesh;
mod offload;
mod ops;
mod ready;
mod remote;
mod shard;
mod socket;
mod task;
mod timer;
mod uring;
mod watchdog;

pub use class::Class;
pub use fatal::{Fatal, fatal};
pub use process::{Backend, Config, Running, ShardsHandle, raise_open_files_limit, start};

use base::{ShardId, TimestampMs};
use iobuf::AppendBuf;
use shard::Shard;
use std::{
    cell::Cell,
    future::Future,
    panic::{self, AssertUnwindSafe},
    pin::Pin,
    rc::Rc,
    sync::mpsc,
    task::{Context, Poll},
    time::Duration,
};

/// Monotonic time in ns since an arbitrary start (virtual in simulation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(pub u64);

// ---- the current shard ----

/// The shard this runs on. Panics outside of shards, as do all functions here that need one.
pub fn shard() -> ShardId {
    Shard::current().id
}

/// Shards of this node.
pub fn shard_count() -> u16 {
    Shard::current().count
}

pub fn now() -> Instant {
    Shard::current().now()
}

/// The wall clock; may jump.
pub fn wall() -> TimestampMs {
    Shard::current().clock().wall()
}

pub fn random_u64() -> u64 {
    Shard::current().random_u64()
}

pub fn random_bytes(out: &mut [u8]) {
    Shard::current().random_bytes(out);
}

/// Puts `value` into the current shard's slot for its type: what code sent by `invoke_on` finds its shard's state with.
/// One slot per shard (in simulation: per shard of each host, emptied when the host goes down).
pub fn set_local<T: 'static>(value: Rc<T>) {
    Shard::current().set_local(value);
}

/// What `set_local` put here last.
pub fn local<T: 'static>() -> Option<Rc<T>> {
    Shard::current().local()
}

pub fn clear_local<T: 'static>() {
    Shard::current().clear_local::<T>();
}

// ---- tasks ----

/// Starts a task on the current shard. `kind` names it in statistics and stall reports: "connection", "journal", ...
/// A task that panics ends the process.
pub fn spawn<F: Future + 'static>(
    class: Class,
    kind: &'static str,
    future: F,
) -> JoinHandle<F::Output> {
    task::spawn_on(&Shard::current(), class, kind, future)
}

/// Dropping detaches.
pub struct JoinHandle<T>(task::Handle<T>);

impl<T> JoinHandle<T> {
    /// The task is dropped at its next turn, at the await it stands at.
    pub fn abort(&self) {
        self.0.abort();
    }

    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// `Err(Aborted)` when the task was aborted.
impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Aborted>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.poll_join(cx)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task was aborted")]
pub struct Aborted;

/// Lets all tasks that are ready run first.
pub async fn yield_now() {
    let has_yielded = Cell::new(false);
    std::future::poll_fn(|cx| {
        if has_yielded.replace(true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// True when the running task has used up its slice: long loops check it and call `yield_now`.
pub fn should_yield() -> bool {
    Shard::try_current().is_some_and(|shard| shard.should_yield())
}

pub async fn sleep(duration: Duration) {
    timer::Sleep::until(now().plus(duration)).await;
}

pub async fn sleep_until(at: Instant) {
    timer::Sleep::until(at).await;
}

/// The future's output, unless it takes longer than `duration`; it is dropped then.
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    timer::timeout_at(now().plus(duration), future).await
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

// ---- memory ----

/// Gives the buffer back when the kernel has given it its memory: all of it for one of `iobuf::HUGE_BYTES`. Clearing
/// that much takes a helper thread as long as a stall.
pub async fn touched(buf: AppendBuf) -> AppendBuf {
    // A simulated kernel has nothing to give.
    if Shard::current().clock().is_virtual() {
        return buf;
    }
    match ops::run(ops::Op::Touch { buf }).await {
        (ops::Op::Touch { buf }, _) => buf,
        _ => unreachable!("an operation comes back as it went"),
    }
}

// ---- work that blocks ----

/// What `work` gives, which is done on a helper thread, one after the other in the order of asking. Dropping the future does
/// not end it. For libraries that know blocking calls only; in simulation, the thread that simulates.
pub async fn blocking<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    let (give, take) = mpsc::channel();
    let work = ops::Work::new(move || {
        // The helper thread lives on; who asked does not.
        let done = panic::catch_unwind(AssertUnwindSafe(work));
        drop(give.send(done));
    });
    drop(ops::run(ops::Op::Call { work }).await);
    match take.try_recv().expect("what is complete was done") {
        Ok(given) => given,
        Err(why) => panic::resume_unwind(why),
    }
}

// ---- mesh ----

/// Runs `f` on another shard (inline when it is this one) and returns what its future gives. Waits for credit of
/// `class` towards `to`. Never resolves when the other shard goes down meanwhile, which the whole node then does.
pub async fn invoke_on<F, Fut, R>(to: ShardId, class: Class, kind: &'static str, f: F) -> R
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    mesh::invoke_on(to, class, kind, f).await
}

/// [`invoke_on`] for a call that may wait for long (a poll, a join): it holds no place among the calls under way while it
/// does, so such calls never hold up others of their class. Costs two messages more. The caller bounds how many wait.
pub async fn invoke_parked<F, Fut, R>(to: ShardId, class: Class, kind: &'static str, f: F) -> R
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    mesh::invoke_parked(to, class, kind, f).await
}

/// As `invoke_on`, for work in two parts: returns what the first part gives, and a future of what the second does. The
/// second runs on without being asked for, so its end is known one trip earlier than by two calls; on the own shard it
/// runs as the future is polled. The call's credit comes back at the end of the second part.
pub async fn invoke_in_two<F, Fut, A, Second, B>(
    to: ShardId,
    class: Class,
    kind: &'static str,
    f: F,
) -> (A, Pin<Box<dyn Future<Output = B>>>)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = (A, Second)> + 'static,
    A: Send + 'static,
    Second: Future<Output = B> + 'static,
    B: Send + 'static,
{
    mesh::invoke_in_two(to, class, kind, f).await
}

/// Fire and forget; waits only for credit of `class` towards `to`, which comes back when the future has ended.
pub async fn post<F, Fut>(to: ShardId, class: Class, kind: &'static str, f: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    mesh::post(to, class, kind, f).await;
}
