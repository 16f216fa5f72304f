//! One shard: its tasks, timers, operations and local state, stepped by a thread's loop or by the simulator.
//!
//! # Place       owned by its thread (real) or by the world (simulated: many shards of many hosts on one thread). The
//!               *current* shard is a thread-local that is swapped by `Shard::enter`; ambient functions act on it.
//! # Invariants  1. No `RefCell` of a shard is borrowed while a task is polled, a waker is woken or a future dropped.
//!               2. Given the same calls (`run_one`, `complete`, `fire_timers`, `deliver`) in the same order, a shard
//!                  does the same: nothing here depends on time, addresses or hashes.
//! # Yields      never; its caller decides when to step
//!
//! How the simulator steps a shard (in any order it likes):
//! - `complete(completion)` for each operation its driver was given (see `ops`), `deliver(envelope)` for mesh traffic;
//! - `fire_timers()` after it moved the clock to `next_deadline()`;
//! - `run_one(Pick::Nth(n))` with `n < ready_len()` while there is something ready;
//! - `teardown()` when the host goes down. Operations still in flight may be completed after it or dropped.

use crate::{
    Class, Instant,
    clock::{Clock, Entropy},
    mesh::{Envelope, Mesh},
    ops::{Completion, Delivered, Driver, Op, OpKey, Outcome, Slab, Value},
    ready::{Pick, ReadyQueue},
    remote::{ExecutorId, Remote},
    stats::Tally,
    task::{self, TaskAddress, TaskKey, Tasks},
    timer::Timers,
    watchdog::Beat,
};
use base::ShardId;
use std::{
    any::{Any, TypeId},
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

thread_local! {
    static CURRENT: RefCell<Option<Rc<Shard>>> = const { RefCell::new(None) };
    /// Shards made on this thread, so that wakers find them without crossing threads.
    static HERE: RefCell<BTreeMap<u16, Weak<Shard>>> = const { RefCell::new(BTreeMap::new()) };
}

/// How long a task may run before `should_yield` says so: a tenth of what counts as a stall.
const SLICE: Duration = Duration::from_micros(50);
/// Calls of `should_yield` per poll until it says so when time stands still (in simulation).
const VIRTUAL_SLICE_CALLS: u32 = 16;

/// What a shard is made of.
pub(crate) struct ShardSpec {
    pub(crate) id: ShardId,
    pub(crate) count: u16,
    pub(crate) driver: Driver,
    pub(crate) clock: Clock,
    pub(crate) entropy: Entropy,
    pub(crate) mesh: Mesh,
    /// How other threads reach the shard; `None` in simulation.
    pub(crate) remote: Option<Arc<Remote>>,
    pub(crate) beat: Arc<Beat>,
}

/// The task being polled.
#[derive(Clone, Copy)]
struct Running {
    class: Class,
    since: Instant,
    yield_calls: u32,
}

pub(crate) struct Shard {
    pub(crate) id: ShardId,
    pub(crate) count: u16,
    executor: ExecutorId,
    clock: Clock,
    entropy: RefCell<Entropy>,
    tasks: RefCell<Tasks>,
    ready: RefCell<ReadyQueue>,
    pub(crate) timers: RefCell<Timers>,
    slab: RefCell<Slab>,
    pub(crate) driver: RefCell<Driver>,
    pub(crate) mesh: Mesh,
    pub(crate) remote: Option<Arc<Remote>>,
    locals: RefCell<Vec<(TypeId, Rc<dyn Any>)>>,
    running: Cell<Option<Running>>,
    pub(crate) tally: RefCell<Tally>,
    pub(crate) beat: Arc<Beat>,
    is_down: Cell<bool>,
}

/// Restores the previous current shard, also when the inside panics.
struct Entered(Option<Rc<Shard>>);

impl Drop for Entered {
    fn drop(&mut self) {
        let left = CURRENT.with(|current| current.replace(self.0.take()));
        drop(left);
    }
}

impl Shard {
    /// A shard of the calling thread.
    pub(crate) fn new(spec: ShardSpec) -> Rc<Self> {
        let executor = ExecutorId::take(spec.remote.clone());
        let number = executor.0;
        let shard = Rc::new(Self {
            id: spec.id,
            count: spec.count,
            executor,
            clock: spec.clock,
            entropy: RefCell::new(spec.entropy),
            tasks: RefCell::default(),
            ready: RefCell::default(),
            timers: RefCell::default(),
            slab: RefCell::new(Slab::new()),
            driver: RefCell::new(spec.driver),
            mesh: spec.mesh,
            remote: spec.remote,
            locals: RefCell::default(),
            running: Cell::new(None),
            tally: RefCell::default(),
            beat: spec.beat,
            is_down: Cell::new(false),
        });
        HERE.with_borrow_mut(|here| here.insert(number, Rc::downgrade(&shard)));
        shard
    }

    /// The shard whose code runs now. Panics outside of one.
    pub(crate) fn current() -> Rc<Shard> {
        Self::try_current().expect("called on a shard")
    }

    pub(crate) fn try_current() -> Option<Rc<Shard>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs `f` with this shard current.
    pub(crate) fn enter<R>(self: &Rc<Self>, f: impl FnOnce() -> R) -> R {
        let _entered = Entered(CURRENT.replace(Some(self.clone())));
        f()
    }

    pub(crate) fn now(&self) -> Instant {
        self.clock.now()
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.entropy.borrow_mut().next_u64()
    }

    pub(crate) fn random_bytes(&self, out: &mut [u8]) {
        self.entropy.borrow_mut().fill(out);
    }

    // ---- local state ----

    pub(crate) fn set_local<T: 'static>(&self, value: Rc<T>) {
        let replaced = {
            let mut locals = self.locals.borrow_mut();
            match locals.iter_mut().find(|(id, _)| *id == TypeId::of::<T>()) {
                Some((_, slot)) => Some(std::mem::replace(slot, value)),
                None => {
                    locals.push((TypeId::of::<T>(), value));
                    None
                }
            }
        };
        drop(replaced);
    }

    pub(crate) fn local<T: 'static>(&self) -> Option<Rc<T>> {
        let value = {
            let locals = self.locals.borrow();
            let (_, value) = locals.iter().find(|(id, _)| *id == TypeId::of::<T>())?;
            value.clone()
        };
        value.downcast().ok()
    }

    pub(crate) fn clear_local<T: 'static>(&self) {
        let removed = {
            let mut locals = self.locals.borrow_mut();
            let at = locals.iter().position(|(id, _)| *id == TypeId::of::<T>());
            at.map(|at| locals.remove(at))
        };
        drop(removed);
    }

    // ---- tasks ----

    /// The class of the running task; `Admin` outside of tasks.
    pub(crate) fn current_class(&self) -> Class {
        self.running.get().map_or(Class::Admin, |r| r.class)
    }

    pub(crate) fn add_task(
        &self,
        class: Class,
        kind: &'static str,
        future: Pin<Box<dyn Future<Output = ()>>>,
    ) -> TaskKey {
        if self.is_down.get() {
            drop(future);
            return TaskKey::NONE;
        }
        let kind = self.tally.borrow_mut().on_spawn(kind, class);
        let key = self.tasks.borrow_mut().add(class, kind, future);
        self.ready.borrow_mut().push(class, key);
        key
    }

    fn wake_task(&self, key: TaskKey) {
        if let Some(class) = self.tasks.borrow_mut().make_ready(key) {
            self.ready.borrow_mut().push(class, key);
        }
    }

    /// Wakes a task of a shard of this thread; false when there is no such shard here.
    pub(crate) fn wake_on_this_thread(address: TaskAddress) -> bool {
        let found = CURRENT.try_with(|current| {
            let current = current.borrow();
            let current = current.as_ref()?;
            (current.executor.0 == address.executor).then(|| current.wake_task(address.task))
        });
        if matches!(found, Ok(Some(()))) {
            return true;
        }
        let shard = HERE
            .try_with(|here| here.borrow().get(&address.executor).and_then(Weak::upgrade))
            .ok()
            .flatten();
        if let Some(shard) = &shard {
            shard.wake_task(address.task);
        }
        shard.is_some()
    }

    pub(crate) fn abort(&self, key: TaskKey) {
        if let Some(class) = self.tasks.borrow_mut().abort(key) {
            self.ready.borrow_mut().push(class, key);
        }
    }

    pub(crate) fn ready_len(&self) -> usize {
        self.ready.borrow().len()
    }

    pub(crate) fn next_class(&self) -> Option<Class> {
        self.ready.borrow().next_class()
    }

    pub(crate) fn queued(&self, class: Class) -> usize {
        self.ready.borrow().queued(class)
    }

    /// Polls one ready task; false when none was ready. May be called without entering.
    pub(crate) fn run_one(self: &Rc<Self>, pick: Pick) -> bool {
        self.enter(|| self.run_one_entered(pick, self.now()))
            .is_some()
    }

    /// As `run_one`, for a caller that has entered the shard and knows that it is `start` now; gives the time after it.
    /// Not inlined: it is where stacks of stalls end.
    #[inline(never)]
    pub(crate) fn run_one_entered(&self, pick: Pick, start: Instant) -> Option<Instant> {
        let key = self.ready.borrow_mut().take(pick)?;
        let taken = self.tasks.borrow_mut().take(key);
        // A task that ended while it was in the queue leaves its entry behind.
        let Some(mut taken) = taken else {
            return Some(start);
        };
        self.running.set(Some(Running {
            class: taken.class,
            since: start,
            yield_calls: 0,
        }));
        self.beat.begin(start);
        let is_done = taken.is_aborted || {
            let waker = task::waker(TaskAddress {
                executor: self.executor.0,
                task: key,
            });
            let poll = taken.future.as_mut().poll(&mut Context::from_waker(&waker));
            poll.is_ready()
        };
        if is_done {
            drop(taken.future);
            self.tasks.borrow_mut().remove(key);
        } else {
            self.tasks.borrow_mut().put_back(key, taken.future);
        }
        self.beat.end();
        self.running.set(None);
        let end = self.now();
        let spent = end.since(start);
        self.ready
            .borrow_mut()
            .charge(taken.class, spent.as_nanos() as u64);
        let stall = self
            .tally
            .borrow_mut()
            .on_poll(taken.kind, end, spent, is_done);
        if let Some(stall) = stall {
            self.beat.report(usize::from(self.id.0), start, stall);
        }
        Some(end)
    }

    /// Whether the running task has used up its slice.
    pub(crate) fn should_yield(&self) -> bool {
        let Some(mut running) = self.running.get() else {
            return false;
        };
        if self.clock.is_virtual() {
            running.yield_calls += 1;
            self.running.set(Some(running));
            return running.yield_calls >= VIRTUAL_SLICE_CALLS;
        }
        self.now().since(running.since) >= SLICE
    }

    // ---- timers ----

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.borrow().next_deadline()
    }

    /// Wakes what is due by the clock.
    pub(crate) fn fire_timers(&self) {
        let now = self.now();
        loop {
            let due = self.timers.borrow_mut().take_due(now);
            let Some(waker) = due else { return };
            waker.wake();
        }
    }

    // ---- operations ----

    /// Hands `op` to the driver; gives it back, with `waker` in line, when no slot is free.
    pub(crate) fn try_submit(&self, op: Op, class: Class, waker: &Waker) -> Result<OpKey, Op> {
        let key = match self.slab.borrow_mut().take(&op, class, waker) {
            Some(key) => key,
            None => return Err(op),
        };
        self.driver.borrow_mut().submit(key, op);
        Ok(key)
    }

    /// Starts an operation nobody waits for (closing a descriptor).
    pub(crate) fn submit_detached(&self, op: Op) {
        let key = self.slab.borrow_mut().take_detached(&op);
        self.driver.borrow_mut().submit(key, op);
    }

    pub(crate) fn poll_completed(&self, key: OpKey, cx: &mut Context<'_>) -> Poll<(Op, Outcome)> {
        let mut freed = Vec::new();
        let poll = self.slab.borrow_mut().poll(key, cx.waker(), &mut freed);
        freed.into_iter().for_each(Waker::wake);
        poll
    }

    /// The future of an operation is gone.
    pub(crate) fn orphan(&self, key: OpKey) {
        let mut freed = Vec::new();
        let completed = self.slab.borrow_mut().orphan(key, &mut freed);
        freed.into_iter().for_each(Waker::wake);
        match completed {
            Some((op, outcome)) => self.clear_up(op, outcome),
            None => self.driver.borrow_mut().cancel(key),
        }
    }

    /// What the driver has done. Wakes whoever waits.
    pub(crate) fn complete(&self, completion: Completion) {
        let mut freed = Vec::new();
        let delivered = self.slab.borrow_mut().complete(completion, &mut freed);
        freed.into_iter().for_each(Waker::wake);
        match delivered {
            Delivered::ToTask(waker) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            Delivered::Orphan { op, outcome } => self.clear_up(op, outcome),
        }
    }

    /// Nobody wants the outcome: its descriptor would leak.
    fn clear_up(&self, op: Op, outcome: Outcome) {
        drop(op);
        if let Ok(Value::Fd(fd) | Value::Socket { fd, .. }) = outcome {
            self.submit_detached(Op::Close { fd });
        }
    }

    /// Books an operation's bytes.
    pub(crate) fn account(&self, class: Class, op: &Op, outcome: &Outcome) {
        self.tally.borrow_mut().on_operation(class, op, outcome);
    }

    pub(crate) fn operations_in_flight(&self) -> usize {
        self.slab.borrow().in_flight()
    }

    // ---- mesh ----

    /// Runs what another shard sent.
    pub(crate) fn deliver(self: &Rc<Self>, envelope: Envelope) {
        self.enter(|| envelope.open(self));
    }

    // ---- end ----

    /// Drops all tasks, local state and what they hold; their operations are cancelled thereby, and close follows.
    pub(crate) fn teardown(self: &Rc<Self>) {
        self.enter(|| {
            self.is_down.set(true);
            loop {
                let taken = self.tasks.borrow_mut().take_any();
                let Some((key, taken)) = taken else { break };
                drop(taken.future);
                self.tasks.borrow_mut().remove(key);
            }
            let locals = self.locals.take();
            drop(locals);
        });
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        let number = self.executor.0;
        // The thread may be ending, and its map with it.
        let _ = HERE.try_with(|here| here.borrow_mut().remove(&number));
    }
}
