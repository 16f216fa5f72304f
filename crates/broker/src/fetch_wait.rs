//! Waiting for high watermarks to move, on every shard that owns a watched partition.
//!
//! # Invariants
//! 1. No move is missed: a waiter is registered first and then compares what it saw with what is.
//! 2. A wait that is over on one shard is called off on the others, so that waits do not pile up there.
//!
//! # Instead of
//! Looking again every so often: that costs CPU while nothing happens and latency when something does.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    rc::Rc,
    task::Poll,
};

use base::{Offset, PartitionKey, ShardId};
use runtime::{
    Class, Instant,
    sync::{Notify, first},
};

use crate::broker::Broker;

/// A partition and the high watermark its reader saw.
#[derive(Clone, Copy)]
pub struct Watched {
    pub key: PartitionKey,
    pub seen: Offset,
}

/// Waits that other shards asked this one for, by who asked.
#[derive(Default)]
pub struct RemoteWaits {
    waits: RefCell<BTreeMap<(ShardId, u64), Rc<Notify>>>,
    next: Cell<u64>,
}

/// Returns when about `bytes` more are readable, at the deadline, or when the node stops. It may return early.
pub async fn wait(
    broker: &Rc<Broker>,
    watched: Vec<(ShardId, Watched)>,
    bytes: usize,
    deadline: Instant,
) {
    let mut by_owner: BTreeMap<ShardId, Vec<Watched>> = BTreeMap::new();
    for (owner, watched) in watched {
        by_owner.entry(owner).or_default().push(watched);
    }
    // Each owner sees only its own part of what arrives.
    let bytes = bytes.div_ceil(by_owner.len().max(1));
    let id = broker.remote_waits.next.get();
    broker.remote_waits.next.set(id.wrapping_add(1));
    let mut waits: Vec<Pin<Box<dyn Future<Output = ()>>>> = Vec::new();
    let mut called_off = CallOff {
        broker,
        id,
        shards: Vec::new(),
    };
    let asker = broker.shard;
    for (owner, watched) in by_owner {
        let broker = broker.clone();
        if owner == asker {
            waits.push(Box::pin(async move {
                let moved = wait_here(&broker, &watched, bytes);
                first(moved, runtime::sleep_until(deadline)).await;
            }));
        } else {
            called_off.shards.push(owner);
            let there = move |broker: Rc<Broker>| async move {
                broker.wait_for(asker, id, watched, bytes, deadline).await;
            };
            waits.push(Box::pin(async move {
                broker
                    .parked_on_shard(owner, Class::Fetch, "fetch wait", there)
                    .await;
            }));
        }
    }
    let any = poll_fn(|cx| {
        let mut is_ready = waits.is_empty();
        for wait in &mut waits {
            is_ready |= wait.as_mut().poll(cx).is_ready();
        }
        if is_ready {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    first(any, broker.shutdown.triggered()).await;
}

/// Calls off, when dropped, what other shards still wait for on our behalf.
struct CallOff<'a> {
    broker: &'a Rc<Broker>,
    id: u64,
    shards: Vec<ShardId>,
}

impl Drop for CallOff<'_> {
    fn drop(&mut self) {
        let (asker, id) = (self.broker.shard, self.id);
        for shard in self.shards.drain(..) {
            runtime::spawn(Class::Fetch, "fetch call-off", async move {
                runtime::post(shard, Class::Fetch, "fetch call-off", move || async move {
                    if let Some(broker) = runtime::local::<Broker>() {
                        let wait = broker.remote_waits.waits.borrow_mut().remove(&(asker, id));
                        if let Some(wait) = wait {
                            wait.notify_all();
                        }
                    }
                })
                .await;
            });
        }
    }
}

impl Broker {
    /// Another shard's wait for partitions of this one.
    async fn wait_for(
        self: Rc<Self>,
        asker: ShardId,
        id: u64,
        watched: Vec<Watched>,
        bytes: usize,
        deadline: Instant,
    ) {
        let called_off = Rc::new(Notify::new());
        let waits = &self.remote_waits.waits;
        waits.borrow_mut().insert((asker, id), called_off.clone());
        let moved = wait_here(&self, &watched, bytes);
        let end = async {
            let off = called_off.notified();
            first(off, runtime::sleep_until(deadline)).await;
        };
        let stopping = self.shutdown.triggered();
        first(first(moved, end), stopping).await;
        waits.borrow_mut().remove(&(asker, id));
    }
}

/// Returns when `bytes` more are readable in partitions of this shard, or when one of them is gone or had moved before.
async fn wait_here(broker: &Broker, watched: &[Watched], bytes: usize) {
    let find = |watched: &Watched| {
        let partition = broker.partition(watched.key)?;
        (partition.high_watermark() == watched.seen).then_some(partition)
    };
    let Some(partitions) = watched.iter().map(find).collect::<Option<Vec<_>>>() else {
        return;
    };
    let visible = || -> u64 { partitions.iter().map(|p| p.visible_bytes()).sum() };
    let before = visible();
    // A partition forgets a waker once it has woken it; only those that moved are registered again.
    let waker = Rc::new(Notify::new());
    let mut watermarks: Vec<Option<Offset>> = vec![None; partitions.len()];
    loop {
        let notified = waker.notified();
        for (partition, watermark) in partitions.iter().zip(&mut watermarks) {
            if partition.is_deleted() {
                return;
            }
            let now = partition.high_watermark();
            if *watermark != Some(now) {
                *watermark = Some(now);
                partition.wake_once(&waker);
            }
        }
        let has_moved = watermarks
            .iter()
            .zip(watched)
            .any(|(now, then)| *now != Some(then.seen));
        if has_moved && visible() - before >= bytes as u64 {
            return;
        }
        notified.await;
    }
}
