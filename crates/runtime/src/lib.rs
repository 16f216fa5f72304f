//! Shards, their executor and its I/O, the mesh between them, and the simulated twins of it all.
#![allow(clippy::todo, unused_variables, missing_docs, dead_code)]

pub mod budget;
pub mod fs;
pub mod net;
pub mod sim;
pub mod stats;
pub mod sync;

use base::{ShardId, TimestampMs};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

/// Scheduling class of a task: shares of CPU slices and of the in-flight I/O budget (DESIGN: Redpanda's groups).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    Produce,
    Fetch,
    Streams,
    Query,
    Background,
    Admin,
}

/// Monotonic time in ns since an arbitrary start (virtual in simulation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Instant(pub u64);
impl Instant {
    pub fn since(self, earlier: Instant) -> Duration {
        todo!()
    }
    #[must_use]
    pub fn plus(self, by: Duration) -> Instant {
        todo!()
    }
}

/// What ends the process with an exit code of its own; in simulation it ends the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fatal {
    Io { what: &'static str, error: String },
    Corrupt(String),
    OutOfMemory(String),
}
impl Fatal {
    pub fn exit_code(&self) -> i32 {
        todo!()
    }
}
pub fn fatal(reason: Fatal) -> ! {
    todo!()
}

// ---- the current shard ----
pub fn shard() -> ShardId {
    todo!()
}
pub fn shard_count() -> u16 {
    todo!()
}
pub fn now() -> Instant {
    todo!()
}
pub fn wall() -> TimestampMs {
    todo!()
}
pub fn random_u64() -> u64 {
    todo!()
}
pub fn random_bytes(out: &mut [u8]) {
    todo!()
}
/// Puts `value` into the current shard's slot for its type: what code sent by `invoke_on` finds its shard's state with.
/// One slot per shard (in simulation: per shard of each host, emptied when the host goes down).
pub fn set_local<T: 'static>(value: std::rc::Rc<T>) {
    todo!()
}
/// What `set_local` put here last.
pub fn local<T: 'static>() -> Option<std::rc::Rc<T>> {
    todo!()
}
pub fn clear_local<T: 'static>() {
    todo!()
}

// ---- tasks ----
/// `kind` names the task in statistics and stall reports: "connection", "journal", ...
pub fn spawn<F: Future + 'static>(
    class: Class,
    kind: &'static str,
    future: F,
) -> JoinHandle<F::Output> {
    todo!()
}
/// Dropping detaches.
pub struct JoinHandle<T> {
    _p: std::marker::PhantomData<T>,
}
impl<T> JoinHandle<T> {
    pub fn abort(&self) {
        todo!()
    }
    pub fn is_finished(&self) -> bool {
        todo!()
    }
}
/// `Err(Aborted)` when the task was aborted.
impl<T> Future for JoinHandle<T> {
    type Output = Result<T, Aborted>;
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        todo!()
    }
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the task was aborted")]
pub struct Aborted;
pub async fn yield_now() {
    todo!()
}
/// True when the running task has used up its slice: long loops check it and call `yield_now`.
pub fn should_yield() -> bool {
    todo!()
}
pub async fn sleep(duration: Duration) {
    todo!()
}
pub async fn sleep_until(at: Instant) {
    todo!()
}
pub async fn timeout<F: Future>(duration: Duration, future: F) -> Result<F::Output, Elapsed> {
    todo!()
}
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline has elapsed")]
pub struct Elapsed;

// ---- mesh ----
/// Runs `f` on another shard (inline when it is this one) and returns what its future gives.
pub async fn invoke_on<F, Fut, R>(to: ShardId, class: Class, kind: &'static str, f: F) -> R
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    todo!()
}
/// Fire and forget; waits only for credit of `class` towards `to`.
pub async fn post<F, Fut>(to: ShardId, class: Class, kind: &'static str, f: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    todo!()
}

// ---- process ----
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    #[default]
    Auto,
    Uring,
    Epoll,
}
#[derive(Clone, Debug)]
pub struct Config {
    pub shards: u16,
    pub cpus: Option<Vec<usize>>,
    pub backend: Backend,
    pub stall: Duration,
}
/// Starts one pinned thread per shard; `main` runs on each of them. Returns at once.
pub fn start<F, Fut>(config: Config, main: F) -> io::Result<Running>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    todo!()
}
pub struct Running {
    _p: (),
}
impl Running {
    pub fn handle(&self) -> ShardsHandle {
        todo!()
    }
    /// Which I/O backend was chosen, and why not io_uring when it was refused.
    pub fn backend(&self) -> (Backend, Option<String>) {
        todo!()
    }
    /// Waits until every shard's main has returned and its tasks were dropped.
    pub fn join(self) -> io::Result<()> {
        todo!()
    }
}
/// From any thread to the shards (the HTTP front, signal handling).
#[derive(Clone)]
pub struct ShardsHandle {
    _p: (),
}
impl ShardsHandle {
    pub fn shard_count(&self) -> u16 {
        todo!()
    }
    /// The future is `Send` and runs on any executor.
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
        async { todo!() }
    }
    pub fn call_blocking<F, Fut, R>(&self, to: ShardId, class: Class, kind: &'static str, f: F) -> R
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = R> + 'static,
        R: Send + 'static,
    {
        todo!()
    }
}
/// Blocks the calling (non-shard) thread until SIGTERM or SIGINT. Call `block_termination` first, before any thread starts.
pub mod signal {
    pub fn block_termination() {
        todo!()
    }
    pub fn wait_for_termination() -> &'static str {
        todo!()
    }
}
