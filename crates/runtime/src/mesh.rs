//! Messages between the shards of a node.
//!
//! # Place       each shard holds its ends of one ring per other shard and direction
//! # Invariants  1. A message and its answer travel over the ring of their ordered pair, first in, first out.
//!               2. A credit is taken before a message is sent and comes back with the last answer, even when the caller
//!                  has gone: what is under way is bounded, and rings never overflow (asserted).
//!               3. Wakes are sent once per turn and only to shards that sleep.
//! # Limits      `CREDITS` messages of a class under way between two shards; callers then wait in line. Classes do
//!               not share credits, so a flood of one cannot hold up another. A call that itself calls back in the
//!               same class is fine; a circle of three calls of one class could wait for its own credit. A parked call
//!               holds none while it waits: whoever makes such calls bounds their number.
//! # Instead of  a shared queue per shard: producers would contend, and order per sender would be lost

mod ring;

use crate::{
    Class,
    budget::{Budget, Permit},
    ready::CLASSES,
    remote::{Remote, ShardCall},
    shard::Shard,
    task,
};
use base::ShardId;
use std::{
    cell::{Cell, RefCell, UnsafeCell},
    collections::{BTreeMap, VecDeque},
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

/// Messages of one class under way from one shard to another. Enough that a slow disk's whole round trip is filled
/// with the calls that the next group commit will take.
const CREDITS: u64 = 256;
/// Each class's messages, and two answers to each of the other side's (`invoke_in_two`).
const RING_SLOTS: usize = (3 * CLASSES * CREDITS as usize).next_power_of_two();

/// Something to be run on the shard it is sent to.
pub(crate) struct Envelope(ShardCall);

impl Envelope {
    fn new(content: impl FnOnce(&Rc<Shard>) + Send + 'static) -> Self {
        Self(Box::new(content))
    }

    /// Runs it; the shard is current.
    pub(crate) fn open(self, shard: &Rc<Shard>) {
        (self.0)(shard);
    }
}

/// A shard's ends of the mesh.
pub(crate) struct Mesh {
    /// By target, then class.
    credits: Vec<[Budget; CLASSES]>,
    links: Links,
}

enum Links {
    /// The only shard.
    Alone,
    Rings(Rings),
    /// All shards of a simulated host, on one thread.
    Local(Rc<LocalMesh>),
}

/// Real ends, indexed by the other shard; `None` at the own index.
pub(crate) struct Rings {
    outgoing: Vec<Option<RefCell<ring::Producer<Envelope>>>>,
    incoming: Vec<Option<RefCell<ring::Consumer<Envelope>>>>,
    remotes: Vec<Arc<Remote>>,
    /// Shards that were sent something since the last flush.
    unflushed: Vec<Cell<bool>>,
}

/// Messages under way between the shards of one simulated host. The world decides when each arrives.
#[derive(Default)]
pub(crate) struct LocalMesh {
    under_way: RefCell<BTreeMap<(ShardId, ShardId), VecDeque<Envelope>>>,
}

impl LocalMesh {
    /// Pairs (from, to) with a message under way, in order.
    pub(crate) fn pending(&self) -> Vec<(ShardId, ShardId)> {
        self.under_way.borrow().keys().copied().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.under_way.borrow().is_empty()
    }

    /// The oldest message of a pair, for `Shard::deliver` on the second of it.
    pub(crate) fn take(&self, pair: (ShardId, ShardId)) -> Option<Envelope> {
        let mut under_way = self.under_way.borrow_mut();
        let queue = under_way.get_mut(&pair)?;
        let envelope = queue.pop_front();
        if queue.is_empty() {
            under_way.remove(&pair);
        }
        envelope
    }
}

fn credits(count: u16) -> Vec<[Budget; CLASSES]> {
    (0..count)
        .map(|_| std::array::from_fn(|_| Budget::new("mesh", CREDITS)))
        .collect()
}

impl Mesh {
    pub(crate) fn alone() -> Self {
        Self {
            credits: Vec::new(),
            links: Links::Alone,
        }
    }

    pub(crate) fn local(count: u16, links: Rc<LocalMesh>) -> Self {
        Self {
            credits: credits(count),
            links: Links::Local(links),
        }
    }

    pub(crate) fn real(rings: Rings) -> Self {
        Self {
            credits: credits(rings.remotes.len() as u16),
            links: Links::Rings(rings),
        }
    }

    fn send(&self, from: &Shard, to: ShardId, envelope: Envelope) {
        from.tally.borrow_mut().mesh_sent += 1;
        match &self.links {
            Links::Alone => unreachable!("one shard sends to itself inline"),
            Links::Rings(rings) => {
                let to = usize::from(to.0);
                let ring = rings.outgoing[to].as_ref().expect("another shard");
                let sent = ring.borrow_mut().push(envelope);
                assert!(sent.is_ok(), "credits bound what is in a ring");
                rings.unflushed[to].set(true);
            }
            Links::Local(local) => local
                .under_way
                .borrow_mut()
                .entry((from.id, to))
                .or_default()
                .push_back(envelope),
        }
    }

    /// Wakes the sleeping ones of the shards that were sent something. Gives the number of wakes; `wake` does one.
    pub(crate) fn flush(&self, mut wake: impl FnMut(usize, &Remote)) -> u64 {
        let Links::Rings(rings) = &self.links else {
            return 0;
        };
        let mut wakes = 0;
        for (to, unflushed) in rings.unflushed.iter().enumerate() {
            if unflushed.take() && rings.remotes[to].take_sleeper() {
                wake(to, &rings.remotes[to]);
                wakes += 1;
            }
        }
        wakes
    }

    /// Whether anything has come in. Cheap: one load per other shard.
    pub(crate) fn has_incoming(&self) -> bool {
        let Links::Rings(rings) = &self.links else {
            return false;
        };
        rings
            .incoming
            .iter()
            .flatten()
            .any(|ring| !ring.borrow().is_empty())
    }

    /// Runs what has come in; gives how much it was.
    pub(crate) fn receive(&self, shard: &Rc<Shard>) -> usize {
        let Links::Rings(rings) = &self.links else {
            return 0;
        };
        let mut received = 0;
        for ring in rings.incoming.iter().flatten() {
            loop {
                let envelope = ring.borrow_mut().pop();
                let Some(envelope) = envelope else { break };
                envelope.open(shard);
                received += 1;
            }
        }
        received
    }
}

/// The ends of a mesh of `remotes.len()` shards, one set per shard.
pub(crate) fn rings(remotes: &[Arc<Remote>]) -> Vec<Rings> {
    let count = remotes.len();
    let mut ends: Vec<Rings> = (0..count)
        .map(|_| Rings {
            outgoing: Vec::new(),
            incoming: (0..count).map(|_| None).collect(),
            remotes: remotes.to_vec(),
            unflushed: vec![Cell::new(false); count],
        })
        .collect();
    for from in 0..count {
        for to in 0..count {
            if from == to {
                ends[from].outgoing.push(None);
                continue;
            }
            let (producer, consumer) = ring::ring(RING_SLOTS);
            ends[from].outgoing.push(Some(RefCell::new(producer)));
            ends[to].incoming[from] = Some(RefCell::new(consumer));
        }
    }
    ends
}

/// Where an answer arrives. The callee writes the value; only the calling shard touches the waker.
struct Answer<R> {
    value: UnsafeCell<Option<R>>,
    is_there: AtomicBool,
    waker: UnsafeCell<Option<Waker>>,
}

// SAFETY: `value` is written before `is_there` is set (release) and read after it was seen (acquire); `waker` is used
// by the calling shard's thread only.
unsafe impl<R: Send> Send for Answer<R> {}
// SAFETY: as above.
unsafe impl<R: Send> Sync for Answer<R> {}

impl<R> Answer<R> {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            value: UnsafeCell::new(None),
            is_there: AtomicBool::new(false),
            waker: UnsafeCell::new(None),
        })
    }

    /// By the callee, once.
    fn put(&self, value: R) {
        // SAFETY: `is_there` is not set yet, so nobody reads; there is one callee.
        unsafe { *self.value.get() = Some(value) };
        self.is_there.store(true, Ordering::Release);
    }

    /// By the calling shard.
    fn wake(&self) {
        // SAFETY: only the calling shard's thread comes here.
        if let Some(waker) = unsafe { (*self.waker.get()).take() } {
            waker.wake();
        }
    }
}

struct Waiting<R>(Arc<Answer<R>>);

impl<R> Future for Waiting<R> {
    type Output = R;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<R> {
        if self.0.is_there.load(Ordering::Acquire) {
            // SAFETY: the callee wrote before it set `is_there` and does not come back.
            let value = unsafe { (*self.0.value.get()).take() };
            return Poll::Ready(value.expect("polled once after completion"));
        }
        // SAFETY: only the calling shard's thread touches the waker.
        unsafe { *self.0.waker.get() = Some(cx.waker().clone()) };
        Poll::Pending
    }
}

/// Sends the answer's envelope when the callee is through, or gone.
struct Returning<W: FnOnce() + Send + 'static> {
    to: ShardId,
    from: ShardId,
    class: Class,
    wake: Option<W>,
}

impl<W: FnOnce() + Send + 'static> Drop for Returning<W> {
    fn drop(&mut self) {
        let Some(wake) = self.wake.take() else { return };
        let (from, class) = (self.from, self.class);
        // A call that was still under way when its host went down: nobody is left to be told.
        let Some(here) = Shard::try_current() else {
            return;
        };
        let envelope = Envelope::new(move |origin| {
            origin.mesh.credits[usize::from(from.0)][class as usize].give_back(1);
            wake();
        });
        here.mesh.send(&here, self.to, envelope);
    }
}

/// Takes a credit and sends a call whose future's output goes to `put`; `wake` runs here once that is done.
async fn send_call<F, Fut, R>(
    to: ShardId,
    class: Class,
    kind: &'static str,
    f: F,
    put: impl FnOnce(R) + Send + 'static,
    wake: impl FnOnce() + Send + 'static,
) where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
{
    let shard = Shard::current();
    let credit = shard.mesh.credits[usize::from(to.0)][class as usize].clone();
    Permit::forget(credit.acquire(1).await);
    let from = shard.id;
    let envelope = Envelope::new(move |target| {
        // Made here: an envelope that nobody opens, because the mesh goes down, has nothing to return.
        let returning = Returning {
            to: from,
            from: to,
            class,
            wake: Some(wake),
        };
        let task = async move {
            let returning = returning;
            put(f().await);
            drop(returning);
        };
        task::spawn_detached(target, class, kind, task);
    });
    shard.mesh.send(&shard, to, envelope);
}

pub(crate) async fn invoke_on<F, Fut, R>(to: ShardId, class: Class, kind: &'static str, f: F) -> R
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    if to == Shard::current().id {
        return f().await;
    }
    let answer = Answer::new();
    let (callee, caller) = (answer.clone(), answer.clone());
    send_call(
        to,
        class,
        kind,
        f,
        move |value| callee.put(value),
        move || caller.wake(),
    )
    .await;
    Waiting(answer).await
}

pub(crate) async fn invoke_parked<F, Fut, R>(
    to: ShardId,
    class: Class,
    kind: &'static str,
    f: F,
) -> R
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = R> + 'static,
    R: Send + 'static,
{
    let from = Shard::current().id;
    if to == from {
        return f().await;
    }
    let answer = Answer::new();
    let (callee, caller) = (answer.clone(), answer.clone());
    let there = move || async move {
        // A task of its own, so that the call ends, and its credit goes home, at once.
        let task = async move {
            callee.put(f().await);
            post(from, class, kind, move || async move { caller.wake() }).await;
        };
        task::spawn_detached(&Shard::current(), class, kind, task);
    };
    post(to, class, kind, there).await;
    Waiting(answer).await
}

/// What the second part of a call gives, later.
pub(crate) type Later<R> = Pin<Box<dyn Future<Output = R>>>;

pub(crate) async fn invoke_in_two<F, Fut, A, Second, B>(
    to: ShardId,
    class: Class,
    kind: &'static str,
    f: F,
) -> (A, Later<B>)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = (A, Second)> + 'static,
    A: Send + 'static,
    Second: Future<Output = B> + 'static,
    B: Send + 'static,
{
    let origin = Shard::current().id;
    if to == origin {
        let (first, second) = f().await;
        return (first, Box::pin(second));
    }
    let (first, second) = (Answer::new(), Answer::new());
    let (first_put, first_wake) = (first.clone(), first.clone());
    let (second_put, second_wake) = (second.clone(), second.clone());
    let both = move || async move {
        let (value, second) = f().await;
        first_put.put(value);
        let here = Shard::current();
        let envelope = Envelope::new(move |_| first_wake.wake());
        here.mesh.send(&here, origin, envelope);
        second.await
    };
    send_call(
        to,
        class,
        kind,
        both,
        move |value| second_put.put(value),
        move || second_wake.wake(),
    )
    .await;
    let value = Waiting(first).await;
    (value, Box::pin(Waiting(second)))
}

pub(crate) async fn post<F, Fut>(to: ShardId, class: Class, kind: &'static str, f: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    let shard = Shard::current();
    if to == shard.id {
        task::spawn_detached(&shard, class, kind, f());
        return;
    }
    send_call(to, class, kind, f, |()| {}, || {}).await;
}

#[cfg(test)]
mod tests;
