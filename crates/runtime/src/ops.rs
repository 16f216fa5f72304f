//! Operations on files and sockets, the slots they occupy, and the seam to the driver that carries them out.
//!
//! The seam, the only one between product code and real or simulated devices: `Driver::submit(key, op)` hands an
//! operation over, and with it everything it holds (buffers, paths). The driver later gives exactly one
//! `Completion { key, op, outcome }` back, through `Shard::complete`, with the operation (and its buffers) inside.
//! It never completes from inside `submit` or `cancel`. `Driver::cancel(key)` is a hint: the operation completes sooner
//! if it can (ECANCELED, or its result when that came first).
//!
//! # Place       one slab per shard, for the shard's life
//! # Invariants  1. A slot is freed only after its completion arrived: memory under a running operation stays owned.
//!               2. A future that is dropped leaves its slot orphaned; a descriptor that arrives in an orphaned slot
//!                  is closed.
//!               3. Free slots are handed out last-freed first: allocation is a function of the completions' order.
//! # Limits      `SLOTS_MAX` operations in flight; the last `SLOTS_RESERVED` are kept from operations that may wait
//!               for ever (accept, receive), so that idle connections never starve files. Beyond, callers wait in
//!               line.

use crate::{
    Class,
    fs::{DirEntry, Open, Space},
    ready::CLASSES,
    remote::Remote,
    shard::Shard,
};
use iobuf::{AppendBuf, BufMut, IoBuf};
use std::{
    fmt,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

/// Operations of one shard that are in flight at most: connections (two each), files and accepts together.
pub(crate) const SLOTS_MAX: usize = 32 * 1024;
const SLOTS_RESERVED: usize = 2 * 1024;

/// A descriptor as the driver numbers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Fd(pub(crate) i32);

/// What a driver is asked to do. One kernel-level attempt each: short reads, writes and sends are continued above.
#[derive(Debug)]
pub(crate) enum Op {
    /// Gives `Value::Fd`.
    Open {
        path: PathBuf,
        open: Open,
    },
    /// Opens a directory for `Sync`. Gives `Value::Fd`.
    OpenDir {
        path: PathBuf,
    },
    /// Gives `Value::Done`; also closes sockets.
    Close {
        fd: Fd,
    },
    /// Reads at most `bytes` at `pos` into the buffer's memory from index `from` on, without touching its length. Gives
    /// `Value::Bytes`; 0 at end of file.
    Read {
        fd: Fd,
        pos: u64,
        buf: BufMut,
        from: usize,
        bytes: usize,
    },
    /// Gives `Value::Bytes`, which may be fewer than `data` has. `is_durable`: on media when complete (RWF_DSYNC).
    Write {
        fd: Fd,
        pos: u64,
        data: IoBuf,
        is_durable: bool,
    },
    /// fsync, or fdatasync when `data_only`.
    Sync {
        fd: Fd,
        data_only: bool,
    },
    Truncate {
        fd: Fd,
        len: u64,
    },
    /// fallocate without changing what is there; the length grows to cover the range.
    Allocate {
        fd: Fd,
        pos: u64,
        bytes: u64,
    },
    /// Gives `Value::Length`.
    Length {
        fd: Fd,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    RemoveFile {
        path: PathBuf,
    },
    /// Removes the directory and all below; fine when it does not exist.
    RemoveDirAll {
        path: PathBuf,
    },
    CreateDirAll {
        path: PathBuf,
    },
    /// Gives `Value::Entries`, sorted by name.
    ReadDir {
        path: PathBuf,
    },
    /// Gives `Value::Exists`.
    Exists {
        path: PathBuf,
    },
    /// Gives `Value::Space`.
    Space {
        path: PathBuf,
    },
    /// Asks the system's resolver. Gives `Value::Addresses`, or why there are none.
    LookUp {
        host: String,
        port: u16,
    },
    /// Does some work of the program's that blocks. Gives `Value::Done`.
    Call {
        work: Work,
    },
    /// Has the kernel give a buffer its memory. Gives `Value::Done`.
    Touch {
        buf: AppendBuf,
    },
    /// Opens or creates the file and takes an exclusive flock without waiting (EWOULDBLOCK when it is taken). Gives
    /// `Value::Fd`; closing it unlocks.
    Lock {
        path: PathBuf,
    },
    /// Binds and listens. Gives `Value::Socket` with the bound address.
    Listen {
        addr: SocketAddr,
    },
    /// Gives `Value::Socket` with the peer's address.
    Accept {
        fd: Fd,
    },
    /// Gives `Value::Socket` with the peer's address.
    Connect {
        addr: SocketAddr,
    },
    /// Receives once into the spare capacity of `buf` and extends its length. Gives `Value::Bytes`; 0 at end of stream.
    Receive {
        fd: Fd,
        buf: BufMut,
    },
    /// Gives `Value::Bytes`, which may be fewer than `data` has.
    Send {
        fd: Fd,
        data: IoBuf,
    },
    /// Both directions; pending receives end.
    Shutdown {
        fd: Fd,
    },
}

/// Work of the program's, until it is done.
pub(crate) struct Work(Option<Box<dyn FnOnce() + Send>>);

impl Work {
    pub(crate) fn new(work: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(work)))
    }

    pub(crate) fn perform(&mut self) {
        if let Some(work) = self.0.take() {
            work();
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Work").finish_non_exhaustive()
    }
}

/// How long a driver waits for something to complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    No,
    For(Duration),
    Forever,
}

/// What an operation gives.
#[derive(Debug)]
pub(crate) enum Value {
    Done,
    Bytes(usize),
    Fd(Fd),
    Socket { fd: Fd, addr: SocketAddr },
    Length(u64),
    Exists(bool),
    Entries(Vec<DirEntry>),
    Space(Space),
    Addresses(Result<Vec<SocketAddr>, String>),
}

/// A system error number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        io::Error::from_raw_os_error(errno.0)
    }
}

impl From<&io::Error> for Errno {
    fn from(error: &io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

pub(crate) type Outcome = Result<Value, Errno>;

/// Names a slot for as long as one operation occupies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct OpKey {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
pub(crate) struct Completion {
    pub(crate) key: OpKey,
    pub(crate) op: Op,
    pub(crate) outcome: Outcome,
}

/// Who carries operations out. One per shard.
pub(crate) enum Driver {
    Uring(Box<crate::uring::Uring>),
    Epoll(Box<crate::epoll::Epoll>),
    Sim(Box<crate::sim::SimDriver>),
}

impl Driver {
    pub(crate) fn submit(&mut self, key: OpKey, op: Op) {
        match self {
            Driver::Uring(driver) => driver.start(key, op),
            Driver::Epoll(driver) => driver.start(key, op),
            Driver::Sim(driver) => driver.submit(key, op),
        }
    }

    pub(crate) fn cancel(&mut self, key: OpKey) {
        match self {
            Driver::Uring(driver) => driver.cancel(key),
            Driver::Epoll(driver) => driver.cancel(key),
            Driver::Sim(driver) => driver.cancel(key),
        }
    }

    /// A socket goes to another shard; none of its operations is in flight.
    pub(crate) fn forget(&mut self, fd: Fd) {
        if let Driver::Epoll(driver) = self {
            driver.forget(fd);
        }
    }

    /// By a shard's thread: submits what is queued, waits as told, and adds what has completed to `out`.
    pub(crate) fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) {
        match self {
            Driver::Uring(driver) => driver.enter(wait, out),
            Driver::Epoll(driver) => driver.enter(wait, out),
            Driver::Sim(_) => unreachable!("the world completes simulated operations"),
        }
    }

    /// Gives the kernel what is queued, so that it works while tasks run.
    pub(crate) fn submit_queued(&mut self) {
        if let Driver::Uring(driver) = self {
            driver.submit_queued();
        }
    }

    /// Wakes another shard's thread, at the latest with the next `enter`.
    pub(crate) fn wake(&mut self, shard: usize, remote: &Remote) {
        match self {
            Driver::Uring(driver) => driver.wake(shard, remote),
            Driver::Epoll(_) => remote.signal(),
            Driver::Sim(_) => unreachable!("simulated shards do not sleep"),
        }
    }
}

impl Op {
    /// Whether it waits for a peer, i.e. possibly for ever.
    fn may_wait_for_ever(&self) -> bool {
        matches!(self, Op::Accept { .. } | Op::Receive { .. })
    }

    /// Whether it counts against its class's budget of file operations in flight.
    fn is_file_io(&self) -> bool {
        matches!(self, Op::Read { .. } | Op::Write { .. } | Op::Sync { .. })
    }
}

enum State {
    Free,
    InFlight { waker: Option<Waker> },
    Orphaned,
    Completed { op: Op, outcome: Outcome },
}

struct Slot {
    generation: u32,
    class: Class,
    is_file_io: bool,
    state: State,
}

/// The operations of one shard.
pub(crate) struct Slab {
    slots: Vec<Slot>,
    free: Vec<u32>,
    in_flight: usize,
    /// Reads, writes and syncs in flight, by class.
    file_io: [usize; CLASSES],
    /// Callers that found no slot, or no budget of their class. All are woken when something is freed: that is rare,
    /// and one that has given up meanwhile cannot swallow the wake of another.
    waiting: Vec<Waker>,
    limit: usize,
}

/// What became of a completion.
pub(crate) enum Delivered {
    ToTask(Option<Waker>),
    /// Nobody waits any more; the operation and its outcome go back to the caller for clearing up.
    Orphan {
        op: Op,
        outcome: Outcome,
    },
}

impl Slab {
    pub(crate) fn new() -> Self {
        Self::with_limit(SLOTS_MAX)
    }

    fn with_limit(limit: usize) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            in_flight: 0,
            file_io: [0; CLASSES],
            waiting: Vec::new(),
            limit,
        }
    }

    /// Operations a driver holds.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// A slot for `op`, or else `waker` waits for one.
    pub(crate) fn take(&mut self, op: &Op, class: Class, waker: &Waker) -> Option<OpKey> {
        let taken = self.slots.len() - self.free.len();
        let reserved = if op.may_wait_for_ever() {
            SLOTS_RESERVED.min(self.limit / 4)
        } else {
            0
        };
        let is_over_budget = op.is_file_io() && self.file_io[class as usize] >= class.file_io_max();
        if taken + reserved >= self.limit || is_over_budget {
            self.waiting.push(waker.clone());
            return None;
        }
        Some(self.occupy(
            op,
            class,
            State::InFlight {
                waker: Some(waker.clone()),
            },
        ))
    }

    /// A slot for an operation nobody waits for. Never refused: closing must not fail, and there are not more of
    /// them than descriptors.
    pub(crate) fn take_detached(&mut self, op: &Op) -> OpKey {
        self.occupy(op, Class::Admin, State::Orphaned)
    }

    fn occupy(&mut self, op: &Op, class: Class, state: State) -> OpKey {
        let is_file_io = op.is_file_io();
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                class,
                is_file_io,
                state: State::Free,
            });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.class = class;
        slot.is_file_io = is_file_io;
        slot.state = state;
        self.in_flight += 1;
        self.file_io[class as usize] += usize::from(is_file_io);
        OpKey {
            index,
            generation: slot.generation,
        }
    }

    fn slot(&mut self, key: OpKey) -> &mut Slot {
        let slot = &mut self.slots[key.index as usize];
        assert_eq!(slot.generation, key.generation, "a stale operation key");
        slot
    }

    fn release(&mut self, key: OpKey, freed: &mut Vec<Waker>) {
        let slot = self.slot(key);
        slot.state = State::Free;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(key.index);
        freed.append(&mut self.waiting);
    }

    /// Books a completion; who waits for slots and may try again is added to `freed`.
    pub(crate) fn complete(&mut self, completion: Completion, freed: &mut Vec<Waker>) -> Delivered {
        let Completion { key, op, outcome } = completion;
        self.in_flight -= 1;
        let slot = self.slot(key);
        let (class, is_file_io) = (slot.class, slot.is_file_io);
        let delivered = match &mut slot.state {
            State::InFlight { waker } => {
                let waker = waker.take();
                slot.state = State::Completed { op, outcome };
                Delivered::ToTask(waker)
            }
            State::Orphaned => {
                self.release(key, freed);
                Delivered::Orphan { op, outcome }
            }
            State::Free | State::Completed { .. } => {
                unreachable!("an operation completes once")
            }
        };
        if is_file_io {
            self.file_io[class as usize] -= 1;
            freed.append(&mut self.waiting);
        }
        delivered
    }

    /// The outcome, and the slot is free again; or else `waker` waits for it.
    pub(crate) fn poll(
        &mut self,
        key: OpKey,
        waker: &Waker,
        freed: &mut Vec<Waker>,
    ) -> Poll<(Op, Outcome)> {
        let slot = self.slot(key);
        match std::mem::replace(&mut slot.state, State::Free) {
            State::Completed { op, outcome } => {
                self.release(key, freed);
                Poll::Ready((op, outcome))
            }
            State::InFlight { .. } => {
                slot.state = State::InFlight {
                    waker: Some(waker.clone()),
                };
                Poll::Pending
            }
            State::Free | State::Orphaned => unreachable!("its future holds the slot"),
        }
    }

    /// The future is gone: gives the outcome when it had come already, or else leaves the slot to the driver.
    pub(crate) fn orphan(&mut self, key: OpKey, freed: &mut Vec<Waker>) -> Option<(Op, Outcome)> {
        let slot = self.slot(key);
        match std::mem::replace(&mut slot.state, State::Orphaned) {
            State::Completed { op, outcome } => {
                self.release(key, freed);
                Some((op, outcome))
            }
            State::InFlight { .. } => None,
            State::Free | State::Orphaned => unreachable!("its future holds the slot"),
        }
    }
}

/// An operation's future. Holds only its slot once it is submitted; dropping it orphans the slot and cancels.
pub(crate) struct OpFuture {
    shard: Rc<Shard>,
    class: Class,
    state: FutureState,
}

enum FutureState {
    Unsubmitted(Op),
    Submitted(OpKey),
    Finished,
}

/// Starts `op` on the current shard when first polled.
pub(crate) fn run(op: Op) -> OpFuture {
    let shard = Shard::current();
    OpFuture {
        class: shard.current_class(),
        shard,
        state: FutureState::Unsubmitted(op),
    }
}

impl Future for OpFuture {
    type Output = (Op, Outcome);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        match std::mem::replace(&mut this.state, FutureState::Finished) {
            FutureState::Unsubmitted(op) => {
                this.state = match this.shard.try_submit(op, this.class, cx.waker()) {
                    Ok(key) => FutureState::Submitted(key),
                    Err(op) => FutureState::Unsubmitted(op),
                };
                Poll::Pending
            }
            FutureState::Submitted(key) => match this.shard.poll_completed(key, cx) {
                Poll::Ready((op, outcome)) => {
                    this.shard.account(this.class, &op, &outcome);
                    Poll::Ready((op, outcome))
                }
                Poll::Pending => {
                    this.state = FutureState::Submitted(key);
                    Poll::Pending
                }
            },
            FutureState::Finished => unreachable!("polled after completion"),
        }
    }
}

impl Drop for OpFuture {
    fn drop(&mut self) {
        if let FutureState::Submitted(key) = self.state {
            self.shard.orphan(key);
        }
    }
}
