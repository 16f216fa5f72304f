//! The io_uring driver.
//!
//! # Place       one per shard, made and used on its thread only (the ring has a single issuer)
//! # Invariants  1. Memory the kernel was told of (buffers, paths, slices, addresses) stays in its `Entry` until the
//!                  completion came; when the driver is dropped before that, the entry is leaked rather than freed.
//!               2. An operation is in `entries` exactly while the kernel has it.
//! # Limits      the completion queue may overflow: the kernel then keeps completions (IORING_FEAT_NODROP, checked at
//!               start) and gives them at the next enter
//! # Instead of  registered buffers and files: not measured to pay here yet

use crate::{
    offload::{self, Lane},
    ops::{Completion, Errno, Fd, Op, OpKey, Outcome, Value, Wait},
    remote::Remote,
    socket::{self, RawAddr},
};
use io_uring::{IoUring, opcode, squeue, types};
use std::{
    ffi::CString,
    io,
    os::fd::AsRawFd,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
};

const SUBMISSIONS: u32 = 1024;
const COMPLETIONS: u32 = 8192;

/// User data of the driver's own operations, where the index of a slot would stand.
const INTERNAL: u32 = u32::MAX;
const EVENT: u64 = internal(1);
const CANCEL: u64 = internal(2);
const WAKE_SENT: u64 = internal(3);
const WAKE: u64 = internal(4);

const fn internal(what: u64) -> u64 {
    (what << 32) | INTERNAL as u64
}

fn user_data(key: OpKey) -> u64 {
    (u64::from(key.generation) << 32) | u64::from(key.index)
}

/// What the kernel has of one operation.
struct Entry {
    op: Option<Op>,
    generation: u32,
    slices: Vec<libc::iovec>,
    message: libc::msghdr,
    address: RawAddr,
    path: CString,
    /// The new socket of a connect.
    socket: Fd,
}

impl Entry {
    fn new() -> Box<Self> {
        Box::new(Self {
            op: None,
            generation: 0,
            slices: Vec::new(),
            // SAFETY: all-zero is a valid msghdr (of nothing).
            message: unsafe { std::mem::zeroed() },
            address: RawAddr::empty(),
            path: CString::default(),
            socket: Fd(-1),
        })
    }
}

/// Where the rings of all shards are, for waking them; -1 while there is none.
pub(crate) type RingFds = Arc<[AtomicI32]>;

pub(crate) struct Uring {
    ring: IoUring,
    /// By slot. Boxed: the kernel holds their addresses while the list grows.
    #[expect(clippy::vec_box, reason = "entries must not move")]
    entries: Vec<Box<Entry>>,
    /// Done without the kernel's queue; delivered at the next `enter`.
    ready: Vec<Completion>,
    remote: Arc<Remote>,
    ring_fds: RingFds,
}

fn build() -> io::Result<IoUring> {
    let ring: IoUring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_taskrun_flag()
        .setup_clamp()
        .setup_cqsize(COMPLETIONS)
        .build(SUBMISSIONS)?;
    Ok(ring)
}

/// Whether this kernel lets us use io_uring as we do; the reason when not.
pub(crate) fn probe() -> Result<(), String> {
    let ring = build().map_err(|error| format!("io_uring_setup: {error}"))?;
    let features = ring.params();
    if !features.is_feature_nodrop() || !features.is_feature_ext_arg() {
        return Err("the kernel lacks NODROP or EXT_ARG".to_owned());
    }
    let mut probe = io_uring::Probe::new();
    ring.submitter()
        .register_probe(&mut probe)
        .map_err(|error| format!("io_uring probe: {error}"))?;
    let needed = [
        ("openat", opcode::OpenAt::CODE),
        ("close", opcode::Close::CODE),
        ("read", opcode::Read::CODE),
        ("writev", opcode::Writev::CODE),
        ("fsync", opcode::Fsync::CODE),
        ("fallocate", opcode::Fallocate::CODE),
        ("accept", opcode::Accept::CODE),
        ("connect", opcode::Connect::CODE),
        ("recv", opcode::Recv::CODE),
        ("sendmsg", opcode::SendMsg::CODE),
        ("poll", opcode::PollAdd::CODE),
        ("cancel", opcode::AsyncCancel::CODE),
        ("msg_ring", opcode::MsgRingData::CODE),
    ];
    match needed.iter().find(|(_, code)| !probe.is_supported(*code)) {
        Some((name, _)) => Err(format!("the kernel's io_uring lacks {name}")),
        None => Ok(()),
    }
}

impl Uring {
    /// On the thread that will use it. `shard` is its index in `ring_fds`.
    pub(crate) fn new(remote: Arc<Remote>, ring_fds: RingFds, shard: usize) -> io::Result<Self> {
        let ring = build()?;
        ring_fds[shard].store(ring.as_raw_fd(), Ordering::Release);
        let mut driver = Self {
            ring,
            entries: Vec::new(),
            ready: Vec::new(),
            remote,
            ring_fds,
        };
        driver.watch_event();
        Ok(driver)
    }

    fn watch_event(&mut self) {
        let event = types::Fd(self.remote.event_fd());
        let poll = opcode::PollAdd::new(event, libc::POLLIN as u32).multi(true);
        self.push(poll.build().user_data(EVENT));
    }

    fn push(&mut self, entry: squeue::Entry) {
        loop {
            // SAFETY: what the entry points to is in `entries` until its completion came (invariant 1).
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: the kernel takes all of it. EBUSY (completions overflow) passes with a reap.
            if self.submit().is_err() {
                self.reap();
            }
        }
    }

    /// Gives the kernel what is queued, without waiting.
    fn submit(&mut self) -> io::Result<()> {
        match self.ring.submit() {
            Err(error) if error.raw_os_error() != Some(libc::EINTR) => Err(error),
            _ => Ok(()),
        }
    }

    /// As `submit`, when there is something; what the kernel does not take now it takes at the next `enter`.
    pub(crate) fn submit_queued(&mut self) {
        if !self.ring.submission().is_empty() {
            let _ = self.submit();
        }
    }

    pub(crate) fn start(&mut self, key: OpKey, op: Op) {
        let at_once = match &op {
            Op::Listen { addr } => Some(socket::listen(*addr, 0)),
            Op::Shutdown { fd } => Some(socket::shutdown(*fd)),
            Op::Truncate { .. }
            | Op::Length { .. }
            | Op::Rename { .. }
            | Op::RemoveFile { .. }
            | Op::RemoveDirAll { .. }
            | Op::CreateDirAll { .. }
            | Op::ReadDir { .. }
            | Op::Exists { .. }
            | Op::Space { .. }
            | Op::Lock { .. }
            | Op::Touch { .. } => {
                offload::submit(Lane::Metadata, key, op, &self.remote);
                return;
            }
            Op::LookUp { .. } => {
                offload::submit(Lane::Names, key, op, &self.remote);
                return;
            }
            Op::Call { .. } => {
                offload::submit(Lane::Work, key, op, &self.remote);
                return;
            }
            _ => None,
        };
        if let Some(outcome) = at_once {
            self.ready.push(Completion { key, op, outcome });
            return;
        }
        let index = key.index as usize;
        while self.entries.len() <= index {
            self.entries.push(Entry::new());
        }
        let entry = &mut self.entries[index];
        assert!(entry.op.is_none(), "a slot holds one operation");
        entry.op = Some(op);
        entry.generation = key.generation;
        match prepare(entry) {
            Ok(sqe) => self.push(sqe.user_data(user_data(key))),
            Err(errno) => {
                let op = self.entries[index].op.take().expect("put there just now");
                let outcome = Err(errno);
                self.ready.push(Completion { key, op, outcome });
            }
        }
    }

    pub(crate) fn cancel(&mut self, key: OpKey) {
        let entry = self.entries.get(key.index as usize);
        let is_held =
            entry.is_some_and(|entry| entry.op.is_some() && entry.generation == key.generation);
        if is_held {
            let cancel = opcode::AsyncCancel::new(user_data(key)).build();
            self.push(cancel.user_data(CANCEL));
        }
    }

    /// Wakes another shard. Goes out with the next `enter`.
    pub(crate) fn wake(&mut self, shard: usize, remote: &Remote) {
        let fd = self.ring_fds[shard].load(Ordering::Acquire);
        if fd < 0 {
            remote.signal();
            return;
        }
        let wake = opcode::MsgRingData::new(types::Fd(fd), 0, WAKE, None).build();
        let wake = wake.user_data(WAKE_SENT).flags(squeue::Flags::SKIP_SUCCESS);
        self.push(wake);
    }

    /// Submits what is queued, waits as told, and adds what has completed to `out`.
    pub(crate) fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) {
        let wait = if self.ready.is_empty() {
            wait
        } else {
            Wait::No
        };
        let result = match wait {
            Wait::No => {
                let submission = self.ring.submission();
                let has_work =
                    !submission.is_empty() || submission.taskrun() || submission.cq_overflow();
                drop(submission);
                if has_work { self.ring.submit() } else { Ok(0) }
            }
            Wait::For(duration) => {
                let timeout = types::Timespec::from(duration);
                let args = types::SubmitArgs::new().timespec(&timeout);
                self.ring.submitter().submit_with_args(1, &args)
            }
            Wait::Forever => self.ring.submit_and_wait(1),
        };
        if let Err(error) = result {
            let code = error.raw_os_error().unwrap_or(0);
            // Interrupted, timed out, or completions to be taken first: all pass by themselves.
            let passes = [libc::EINTR, libc::ETIME, libc::EBUSY, libc::EAGAIN].contains(&code);
            assert!(passes, "io_uring_enter: {error}");
        }
        self.reap();
        out.append(&mut self.ready);
    }

    /// Takes completions from the queue into `ready`.
    fn reap(&mut self) {
        let mut must_watch_event = false;
        loop {
            let mut overflowed = false;
            let mut completions = self.ring.completion();
            completions.sync();
            for cqe in completions {
                let data = cqe.user_data();
                if data as u32 == INTERNAL {
                    if data == EVENT {
                        self.remote.clear_event();
                        must_watch_event |= !io_uring::cqueue::more(cqe.flags());
                    }
                    continue;
                }
                let key = OpKey {
                    index: data as u32,
                    generation: (data >> 32) as u32,
                };
                let entry = &mut self.entries[key.index as usize];
                assert_eq!(entry.generation, key.generation, "a stale completion");
                let (op, outcome) = finish(entry, cqe.result());
                self.ready.push(Completion { key, op, outcome });
            }
            {
                let submission = self.ring.submission();
                overflowed |= submission.cq_overflow();
            }
            // What did not fit into the queue is in the kernel's keeping and comes with the next call.
            if !overflowed || self.ring.submit().is_err() {
                break;
            }
        }
        if must_watch_event {
            self.watch_event();
        }
    }
}

/// The kernel's form of the entry's operation.
fn prepare(entry: &mut Entry) -> Result<squeue::Entry, Errno> {
    let op = entry.op.as_mut().expect("called with an operation");
    Ok(match op {
        Op::Open { path, open } => {
            entry.path = offload::c_path(path)?;
            opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), entry.path.as_ptr())
                .flags(offload::open_flags(*open))
                .mode(offload::FILE_MODE)
                .build()
        }
        Op::OpenDir { path } => {
            entry.path = offload::c_path(path)?;
            opcode::OpenAt::new(types::Fd(libc::AT_FDCWD), entry.path.as_ptr())
                .flags(libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC)
                .build()
        }
        Op::Close { fd } => opcode::Close::new(types::Fd(fd.0)).build(),
        Op::Read {
            fd,
            pos,
            buf,
            from,
            bytes,
        } => {
            let len = buf.len();
            buf.set_len(*from + *bytes);
            let target = buf[*from..].as_mut_ptr();
            buf.set_len(len);
            opcode::Read::new(types::Fd(fd.0), target, to_u32(*bytes))
                .offset(*pos)
                .build()
        }
        Op::Write {
            fd,
            pos,
            data,
            is_durable,
        } => {
            offload::to_slices(data, &mut entry.slices);
            let len = entry.slices.len() as u32;
            opcode::Writev::new(types::Fd(fd.0), entry.slices.as_ptr(), len)
                .offset(*pos)
                .rw_flags(if *is_durable { libc::RWF_DSYNC } else { 0 })
                .build()
        }
        Op::Sync { fd, data_only } => {
            let flags = if *data_only {
                types::FsyncFlags::DATASYNC
            } else {
                types::FsyncFlags::empty()
            };
            opcode::Fsync::new(types::Fd(fd.0)).flags(flags).build()
        }
        Op::Allocate { fd, pos, bytes } => opcode::Fallocate::new(types::Fd(fd.0), *bytes)
            .offset(*pos)
            .build(),
        Op::Accept { fd } => {
            entry.address = RawAddr::empty();
            let len = ptr::from_mut(&mut entry.address.len);
            opcode::Accept::new(types::Fd(fd.0), entry.address.as_mut_ptr(), len)
                .flags(libc::SOCK_CLOEXEC)
                .build()
        }
        Op::Connect { addr } => {
            entry.socket = socket::open(*addr, 0)?;
            entry.address = RawAddr::from(*addr);
            let fd = types::Fd(entry.socket.0);
            opcode::Connect::new(fd, entry.address.as_ptr(), entry.address.len).build()
        }
        Op::Receive { fd, buf } => {
            let spare = buf.spare_mut();
            opcode::Recv::new(types::Fd(fd.0), spare.as_mut_ptr(), to_u32(spare.len())).build()
        }
        Op::Send { fd, data } => {
            offload::to_slices(data, &mut entry.slices);
            entry.message.msg_iov = entry.slices.as_mut_ptr();
            entry.message.msg_iovlen = entry.slices.len();
            // WAITALL: the kernel itself continues after a partial send.
            opcode::SendMsg::new(types::Fd(fd.0), &entry.message)
                .flags((libc::MSG_NOSIGNAL | libc::MSG_WAITALL) as u32)
                .build()
        }
        other => unreachable!("{other:?} is not for the kernel's queue"),
    })
}

/// Lengths above what one call transfers are cut; callers continue.
fn to_u32(bytes: usize) -> u32 {
    bytes.min(1 << 30) as u32
}

/// The operation and what the kernel's result means for it.
fn finish(entry: &mut Entry, result: i32) -> (Op, Outcome) {
    let mut op = entry.op.take().expect("the kernel had it");
    if result < 0 {
        if let Op::Connect { .. } = op {
            socket::close(entry.socket);
        }
        return (op, Err(Errno(-result)));
    }
    let count = result as usize;
    let outcome = match &mut op {
        Op::Open { .. } | Op::OpenDir { .. } => Ok(Value::Fd(Fd(result))),
        Op::Read { .. } | Op::Write { .. } | Op::Send { .. } => Ok(Value::Bytes(count)),
        Op::Receive { buf, .. } => {
            buf.set_len(buf.len() + count);
            Ok(Value::Bytes(count))
        }
        Op::Accept { .. } => {
            let fd = Fd(result);
            socket::set_no_delay(fd);
            let addr = entry.address.to_addr();
            if addr.is_err() {
                socket::close(fd);
            }
            addr.map(|addr| Value::Socket { fd, addr })
        }
        Op::Connect { addr } => {
            socket::set_no_delay(entry.socket);
            Ok(Value::Socket {
                fd: entry.socket,
                addr: *addr,
            })
        }
        _ => Ok(Value::Done),
    };
    (op, outcome)
}

impl Drop for Uring {
    fn drop(&mut self) {
        let fd = self.ring.as_raw_fd();
        for place in self.ring_fds.iter() {
            let _ = place.compare_exchange(fd, -1, Ordering::AcqRel, Ordering::Relaxed);
        }
        for entry in self.entries.drain(..) {
            if entry.op.is_some() {
                std::mem::forget(entry);
            }
        }
    }
}
