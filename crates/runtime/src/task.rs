//! Tasks of a shard: their table, their wakers, and handles to await or abort them.
//!
//! # Place       one table per shard
//! # Invariants  1. A task is in the ready queue exactly when its state is `Ready`.
//!               2. A waker is the task's address (executor, generation, index), no pointer: it may outlive the task,
//!                  and waking a task that is gone does nothing.
//!               3. A task's future is dropped on its shard, with the shard current, and never while it is polled.
//! # Limits      2^24 tasks per shard (an assert: what spawns per request is bounded by permits and connections)
//! # Instead of  reference-counted wakers: two atomic operations per wake, and a pointer other threads may hold

use crate::{Aborted, Class, JoinHandle, remote, shard::Shard};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, RawWaker, RawWakerVTable, Waker},
};

const INDEX_BITS: u32 = 24;
const FIELD_MASK: u32 = (1 << INDEX_BITS) - 1;

/// Names a task on its shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskKey {
    index: u32,
    generation: u32,
}

impl TaskKey {
    /// No task ever.
    pub(crate) const NONE: Self = Self {
        index: FIELD_MASK,
        generation: 0,
    };
}

/// A task's name in the whole process: what a waker is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaskAddress {
    pub(crate) executor: u16,
    pub(crate) task: TaskKey,
}

impl TaskAddress {
    fn pack(self) -> usize {
        (usize::from(self.executor) << (2 * INDEX_BITS))
            | ((self.task.generation as usize) << INDEX_BITS)
            | self.task.index as usize
    }

    fn unpack(packed: usize) -> Self {
        Self {
            executor: (packed >> (2 * INDEX_BITS)) as u16,
            task: TaskKey {
                generation: (packed >> INDEX_BITS) as u32 & FIELD_MASK,
                index: packed as u32 & FIELD_MASK,
            },
        }
    }
}

const _: () = assert!(usize::BITS == 64, "task addresses take 64 bits");

static WAKER: RawWakerVTable = RawWakerVTable::new(
    |data| RawWaker::new(data, &WAKER),
    |data| wake(TaskAddress::unpack(data as usize)),
    |data| wake(TaskAddress::unpack(data as usize)),
    |_| {},
);

pub(crate) fn waker(address: TaskAddress) -> Waker {
    let raw = RawWaker::new(std::ptr::without_provenance(address.pack()), &WAKER);
    // SAFETY: the table's functions only read the number in the data pointer, so they are fine on any thread and for
    // any lifetime.
    unsafe { Waker::from_raw(raw) }
}

fn wake(address: TaskAddress) {
    if !Shard::wake_on_this_thread(address) {
        remote::wake(address);
    }
}

type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Vacant,
    Idle,
    Ready,
    Running,
}

struct Task {
    generation: u32,
    state: State,
    is_aborted: bool,
    class: Class,
    kind: u16,
    future: Option<TaskFuture>,
}

#[derive(Default)]
pub(crate) struct Tasks {
    slots: Vec<Task>,
    free: Vec<u32>,
}

/// A task taken out of the table to be polled.
pub(crate) struct Taken {
    pub(crate) future: TaskFuture,
    pub(crate) class: Class,
    pub(crate) kind: u16,
    pub(crate) is_aborted: bool,
}

impl Tasks {
    /// Adds a task, which the caller puts into the ready queue.
    pub(crate) fn add(&mut self, class: Class, kind: u16, future: TaskFuture) -> TaskKey {
        let index = self.free.pop().unwrap_or_else(|| {
            assert!(self.slots.len() < FIELD_MASK as usize, "too many tasks");
            self.slots.push(Task {
                generation: 0,
                state: State::Vacant,
                is_aborted: false,
                class,
                kind,
                future: None,
            });
            (self.slots.len() - 1) as u32
        });
        let task = &mut self.slots[index as usize];
        task.state = State::Ready;
        task.is_aborted = false;
        task.class = class;
        task.kind = kind;
        task.future = Some(future);
        TaskKey {
            index,
            generation: task.generation,
        }
    }

    fn get(&mut self, key: TaskKey) -> Option<&mut Task> {
        let task = self.slots.get_mut(key.index as usize)?;
        (task.generation == key.generation && task.state != State::Vacant).then_some(task)
    }

    /// Marks the task ready; gives its class when the caller has to put it into the ready queue.
    pub(crate) fn make_ready(&mut self, key: TaskKey) -> Option<Class> {
        let task = self.get(key)?;
        if task.state == State::Ready {
            return None;
        }
        // A task that wakes itself while it runs is ready again at once; `put_back` finds it so.
        task.state = State::Ready;
        Some(task.class)
    }

    /// Marks the task for dropping at its next turn; gives its class as `make_ready` does.
    pub(crate) fn abort(&mut self, key: TaskKey) -> Option<Class> {
        self.get(key)?.is_aborted = true;
        self.make_ready(key)
    }

    pub(crate) fn take(&mut self, key: TaskKey) -> Option<Taken> {
        let task = self.get(key)?;
        task.state = State::Running;
        Some(Taken {
            future: task.future.take()?,
            class: task.class,
            kind: task.kind,
            is_aborted: task.is_aborted,
        })
    }

    pub(crate) fn put_back(&mut self, key: TaskKey, future: TaskFuture) {
        let task = self.get(key).expect("a running task keeps its slot");
        task.future = Some(future);
        if task.state == State::Running {
            task.state = State::Idle;
        }
    }

    /// Frees the slot of a task whose future is gone.
    pub(crate) fn remove(&mut self, key: TaskKey) {
        let task = self.get(key).expect("a running task keeps its slot");
        task.state = State::Vacant;
        task.generation = (task.generation + 1) & FIELD_MASK;
        self.free.push(key.index);
    }

    /// Any task that still has its future, in order of the table, taken out.
    pub(crate) fn take_any(&mut self) -> Option<(TaskKey, Taken)> {
        let index = self.slots.iter().position(|task| task.future.is_some())?;
        let key = TaskKey {
            index: index as u32,
            generation: self.slots[index].generation,
        };
        self.take(key).map(|taken| (key, taken))
    }
}

/// Where a task leaves its output for its handle.
struct Joint<T> {
    output: Cell<Option<Result<T, Aborted>>>,
    is_finished: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl<T> Joint<T> {
    fn finish(&self, output: Result<T, Aborted>) {
        self.output.set(Some(output));
        self.is_finished.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// A task's future, which tells the handle also when it is dropped unfinished.
struct Joined<F: Future> {
    future: F,
    joint: Rc<Joint<F::Output>>,
}

impl<F: Future> Future for Joined<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: `future` is pinned with `self` and never moved out; `joint` is never treated as pinned.
        let this = unsafe { self.get_unchecked_mut() };
        // SAFETY: as above.
        let future = unsafe { Pin::new_unchecked(&mut this.future) };
        future.poll(cx).map(|output| this.joint.finish(Ok(output)))
    }
}

impl<F: Future> Drop for Joined<F> {
    fn drop(&mut self) {
        if !self.joint.is_finished.get() {
            self.joint.finish(Err(Aborted));
        }
    }
}

/// What a `JoinHandle` holds.
pub(crate) struct Handle<T> {
    joint: Rc<Joint<T>>,
    shard: Weak<Shard>,
    task: TaskKey,
}

pub(crate) fn spawn_on<F: Future + 'static>(
    shard: &Rc<Shard>,
    class: Class,
    kind: &'static str,
    future: F,
) -> JoinHandle<F::Output> {
    let joint = Rc::new(Joint {
        output: Cell::new(None),
        is_finished: Cell::new(false),
        waker: RefCell::new(None),
    });
    let joined = Joined {
        future,
        joint: joint.clone(),
    };
    let task = shard.add_task(class, kind, Box::pin(joined));
    JoinHandle(Handle {
        joint,
        shard: Rc::downgrade(shard),
        task,
    })
}

/// As `spawn_on`, for a task that nobody awaits or aborts.
pub(crate) fn spawn_detached(
    shard: &Shard,
    class: Class,
    kind: &'static str,
    future: impl Future<Output = ()> + 'static,
) {
    shard.add_task(class, kind, Box::pin(future));
}

impl<T> Handle<T> {
    pub(crate) fn abort(&self) {
        if !self.joint.is_finished.get()
            && let Some(shard) = self.shard.upgrade()
        {
            shard.abort(self.task);
        }
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.joint.is_finished.get()
    }

    pub(crate) fn poll_join(&self, cx: &mut Context<'_>) -> Poll<Result<T, Aborted>> {
        if let Some(output) = self.joint.output.take() {
            return Poll::Ready(output);
        }
        assert!(!self.joint.is_finished.get(), "a task is joined once");
        *self.joint.waker.borrow_mut() = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
