//! What other threads reach of a shard: a lock-free stack of messages and a way to wake it.
//!
//! # Place       one per real shard, shared with the mesh, helper threads and `ShardsHandle`s
//! # Invariants  1. A message is pushed before `is_asleep` is looked at, and a shard looks for messages after it set
//!                  `is_asleep`, both sequentially consistent: no message is left while its shard sleeps.
//! # Limits      bounded by its users: helper threads answer operations in flight, handles wait for their calls
//! # Instead of  a channel with a lock: a shard never waits for another thread

use crate::{ops::Completion, shard::Shard, task::TaskAddress};
use std::{
    collections::BTreeMap,
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
    rc::Rc,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicPtr, Ordering, fence},
    },
};

/// Code to be run on a shard, with the shard current.
pub(crate) type ShardCall = Box<dyn FnOnce(&Rc<Shard>) + Send>;

/// What another thread has for a shard.
pub(crate) enum Message {
    Run(ShardCall),
    Wake(TaskAddress),
    Completed(Box<Completion>),
}

struct Node {
    message: Message,
    next: *mut Node,
}

pub(crate) struct Remote {
    top: AtomicPtr<Node>,
    is_asleep: AtomicBool,
    /// Set once the shard has let go of its queue: messages are then dropped.
    is_closed: AtomicBool,
    event: OwnedFd,
}

impl Remote {
    pub(crate) fn new() -> io::Result<Arc<Self>> {
        // SAFETY: creates a descriptor, touches no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Arc::new(Self {
            top: AtomicPtr::new(ptr::null_mut()),
            is_asleep: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            // SAFETY: the descriptor was made just now and belongs to nobody else.
            event: unsafe { OwnedFd::from_raw_fd(fd) },
        }))
    }

    /// Becomes readable when the shard is woken.
    pub(crate) fn event_fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Makes the event unreadable again.
    pub(crate) fn clear_event(&self) {
        let mut value = 0u64;
        // SAFETY: `value` is eight writable bytes.
        let _ = unsafe { libc::read(self.event_fd(), ptr::from_mut(&mut value).cast(), 8) };
    }

    pub(crate) fn push(&self, message: Message) {
        if self.is_closed.load(Ordering::Acquire) {
            return;
        }
        let node = Box::into_raw(Box::new(Node {
            message,
            next: ptr::null_mut(),
        }));
        let mut top = self.top.load(Ordering::Relaxed);
        loop {
            // SAFETY: until the exchange succeeds the node is this thread's alone.
            unsafe { (*node).next = top };
            match self
                .top
                .compare_exchange_weak(top, node, Ordering::Release, Ordering::Relaxed)
            {
                Ok(_) => break,
                Err(now) => top = now,
            }
        }
        self.wake_if_asleep();
    }

    fn wake_if_asleep(&self) {
        if self.take_sleeper() {
            self.signal();
        }
    }

    /// Wakes the shard by its event.
    pub(crate) fn signal(&self) {
        let one = 1u64;
        // SAFETY: `one` is eight readable bytes. (A full counter still wakes.)
        let _ = unsafe { libc::write(self.event_fd(), ptr::from_ref(&one).cast(), 8) };
    }

    /// True when the shard sleeps and nobody has set out to wake it: the caller must. What the caller published
    /// before is seen by the shard when it looks before it sleeps.
    pub(crate) fn take_sleeper(&self) -> bool {
        fence(Ordering::SeqCst);
        self.is_asleep.load(Ordering::Relaxed) && self.is_asleep.swap(false, Ordering::SeqCst)
    }

    /// By the shard: says that it is about to sleep. It must look for messages once more afterwards.
    pub(crate) fn announce_sleep(&self) {
        self.is_asleep.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
    }

    pub(crate) fn announce_awake(&self) {
        self.is_asleep.store(false, Ordering::Relaxed);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.top.load(Ordering::Acquire).is_null()
    }

    /// By the shard: all messages, oldest first.
    pub(crate) fn take_all(&self) -> Vec<Message> {
        if self.top.load(Ordering::Relaxed).is_null() {
            return Vec::new();
        }
        let mut at = self.top.swap(ptr::null_mut(), Ordering::Acquire);
        let mut messages = Vec::new();
        while !at.is_null() {
            // SAFETY: nodes come from `Box::into_raw`, and the swap made the whole list ours.
            let node = unsafe { Box::from_raw(at) };
            at = node.next;
            messages.push(node.message);
        }
        messages.reverse();
        messages
    }

    /// By the shard, at its end.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        drop(self.take_all());
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// Executors of the process by number: only wakes that cross threads look here.
struct Executors {
    remotes: BTreeMap<u16, Option<Arc<Remote>>>,
}

static EXECUTORS: Mutex<Executors> = Mutex::new(Executors {
    remotes: BTreeMap::new(),
});

fn executors() -> MutexGuard<'static, Executors> {
    EXECUTORS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The number of an executor, which is part of its wakers; free for others when dropped.
pub(crate) struct ExecutorId(pub(crate) u16);

impl ExecutorId {
    pub(crate) fn take(remote: Option<Arc<Remote>>) -> Self {
        let mut executors = executors();
        let number = (0..u16::MAX)
            .find(|number| !executors.remotes.contains_key(number))
            .expect("fewer than 65,535 executors live at once");
        executors.remotes.insert(number, remote);
        Self(number)
    }
}

impl Drop for ExecutorId {
    fn drop(&mut self) {
        let removed = executors().remotes.remove(&self.0);
        drop(removed);
    }
}

/// Wakes a task of another thread's shard.
pub(crate) fn wake(address: TaskAddress) {
    let remote = executors()
        .remotes
        .get(&address.executor)
        .and_then(Clone::clone);
    if let Some(remote) = remote {
        remote.push(Message::Wake(address));
    }
}
