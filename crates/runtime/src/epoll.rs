//! The epoll driver, where io_uring is refused: sockets by readiness, files on helper threads.
//!
//! # Place       one per shard, used on its thread only
//! # Invariants  1. A socket operation is tried at once; only when it would wait is it kept, in `kept` and in its
//!                  socket's line for its direction.
//!               2. Every socket with a line is registered, edge-triggered for both directions: after a call that
//!                  would have waited, the next change is an event.
//!               3. A socket is forgotten before its descriptor is closed: the number may come back as another's.
//! # Limits      kept operations are operations in flight, which the slab bounds
//! # Instead of  blocking sockets on helper threads: a thread per connection

use crate::{
    offload::{self, Lane},
    ops::{Completion, Errno, Fd, Op, OpKey, Outcome, Value, Wait},
    remote::Remote,
    socket::{self, RawAddr, last_errno},
};
use std::{
    collections::{BTreeMap, VecDeque},
    io,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
    sync::Arc,
    time::Duration,
};

const EVENTS: usize = 256;
/// The event of the shard's `Remote` where a descriptor would stand.
const REMOTE: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    In,
    Out,
}

/// Operations that wait for a socket, in order.
#[derive(Default)]
struct Lines {
    inward: VecDeque<OpKey>,
    outward: VecDeque<OpKey>,
}

impl Lines {
    fn line(&mut self, direction: Direction) -> &mut VecDeque<OpKey> {
        match direction {
            Direction::In => &mut self.inward,
            Direction::Out => &mut self.outward,
        }
    }
}

struct Kept {
    key: OpKey,
    op: Op,
    fd: Fd,
    direction: Direction,
}

pub(crate) struct Epoll {
    epoll: OwnedFd,
    remote: Arc<Remote>,
    /// Registered sockets.
    sockets: BTreeMap<Fd, Lines>,
    /// By slot.
    kept: Vec<Option<Kept>>,
    /// Delivered at the next `enter`.
    ready: Vec<Completion>,
    has_precise_wait: bool,
}

impl Epoll {
    pub(crate) fn new(remote: Arc<Remote>) -> io::Result<Self> {
        // SAFETY: creates a descriptor, touches no memory.
        let fd = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        let driver = Self {
            // SAFETY: the descriptor was made just now and belongs to nobody else.
            epoll: unsafe { OwnedFd::from_raw_fd(fd) },
            remote,
            sockets: BTreeMap::new(),
            kept: Vec::new(),
            ready: Vec::new(),
            has_precise_wait: true,
        };
        let event = Fd(driver.remote.event_fd());
        driver
            .control(libc::EPOLL_CTL_ADD, event, libc::EPOLLIN as u32, REMOTE)
            .map_err(io::Error::from)?;
        Ok(driver)
    }

    fn control(&self, operation: libc::c_int, fd: Fd, events: u32, data: u64) -> Result<(), Errno> {
        let mut event = libc::epoll_event { events, u64: data };
        // SAFETY: `event` is a valid description that the kernel copies.
        let result =
            unsafe { libc::epoll_ctl(self.epoll.as_raw_fd(), operation, fd.0, &mut event) };
        if result < 0 {
            return Err(last_errno());
        }
        Ok(())
    }

    pub(crate) fn start(&mut self, key: OpKey, op: Op) {
        match &op {
            Op::Listen { addr } => {
                let outcome = socket::listen(*addr, libc::SOCK_NONBLOCK);
                self.finish(key, op, outcome);
            }
            Op::Shutdown { fd } => {
                let outcome = socket::shutdown(*fd);
                self.finish(key, op, outcome);
            }
            Op::Accept { fd } | Op::Receive { fd, .. } => {
                let fd = *fd;
                self.attempt(key, op, fd, Direction::In);
            }
            Op::Send { fd, .. } => {
                let fd = *fd;
                self.attempt(key, op, fd, Direction::Out);
            }
            Op::Connect { addr } => match start_connect(*addr) {
                Ok((fd, true)) => {
                    let addr = *addr;
                    self.finish(key, op, Ok(Value::Socket { fd, addr }));
                }
                Ok((fd, false)) => self.keep(key, op, fd, Direction::Out),
                Err(errno) => self.finish(key, op, Err(errno)),
            },
            Op::Close { fd } if socket::is_socket(*fd) => {
                let fd = *fd;
                self.forget(fd);
                socket::close(fd);
                self.finish(key, op, Ok(Value::Done));
            }
            Op::Open { .. }
            | Op::OpenDir { .. }
            | Op::Close { .. }
            | Op::Read { .. }
            | Op::Write { .. }
            | Op::Sync { .. }
            | Op::Allocate { .. } => offload::submit(Lane::Data, key, op, &self.remote),
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
            | Op::Touch { .. } => offload::submit(Lane::Metadata, key, op, &self.remote),
            Op::LookUp { .. } => offload::submit(Lane::Names, key, op, &self.remote),
            Op::Call { .. } => offload::submit(Lane::Work, key, op, &self.remote),
        }
    }

    fn finish(&mut self, key: OpKey, op: Op, outcome: Outcome) {
        self.ready.push(Completion { key, op, outcome });
    }

    /// Tries the operation; keeps it when it would wait.
    fn attempt(&mut self, key: OpKey, mut op: Op, fd: Fd, direction: Direction) {
        // Those that wait already go first.
        let has_line = self
            .sockets
            .get_mut(&fd)
            .is_some_and(|lines| !lines.line(direction).is_empty());
        if !has_line && let Some(outcome) = try_now(&mut op, fd) {
            self.finish(key, op, outcome);
            return;
        }
        self.keep(key, op, fd, direction);
    }

    fn keep(&mut self, key: OpKey, op: Op, fd: Fd, direction: Direction) {
        if !self.sockets.contains_key(&fd) {
            let events = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
            let registered = self.control(libc::EPOLL_CTL_ADD, fd, events as u32, fd.0 as u64);
            if let Err(errno) = registered {
                if let Op::Connect { .. } = op {
                    socket::close(fd);
                }
                self.finish(key, op, Err(errno));
                return;
            }
        }
        let lines = self.sockets.entry(fd).or_default();
        lines.line(direction).push_back(key);
        let index = key.index as usize;
        while self.kept.len() <= index {
            self.kept.push(None);
        }
        self.kept[index] = Some(Kept {
            key,
            op,
            fd,
            direction,
        });
    }

    pub(crate) fn cancel(&mut self, key: OpKey) {
        let Some(place) = self.kept.get_mut(key.index as usize) else {
            return;
        };
        let Some(kept) = place.take_if(|kept| kept.key == key) else {
            return;
        };
        if let Some(lines) = self.sockets.get_mut(&kept.fd) {
            lines.line(kept.direction).retain(|other| *other != key);
        }
        self.abandon(kept);
    }

    /// Ends a kept operation without a result.
    fn abandon(&mut self, kept: Kept) {
        if let Op::Connect { .. } = kept.op {
            let _ = self.control(libc::EPOLL_CTL_DEL, kept.fd, 0, 0);
            self.sockets.remove(&kept.fd);
            socket::close(kept.fd);
        }
        self.finish(kept.key, kept.op, Err(Errno(libc::ECANCELED)));
    }

    /// The socket is closed or handed to another shard now.
    pub(crate) fn forget(&mut self, fd: Fd) {
        let Some(lines) = self.sockets.remove(&fd) else {
            return;
        };
        let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
        for key in lines.inward.into_iter().chain(lines.outward) {
            if let Some(kept) = self.kept[key.index as usize].take() {
                self.finish(kept.key, kept.op, Err(Errno(libc::ECANCELED)));
            }
        }
    }

    /// Waits as told, and adds what has completed to `out`.
    pub(crate) fn enter(&mut self, wait: Wait, out: &mut Vec<Completion>) {
        let wait = if self.ready.is_empty() {
            wait
        } else {
            Wait::No
        };
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
        let count = self.wait(wait, &mut events);
        for event in &events[..count] {
            let (data, events) = (event.u64, event.events);
            if data == REMOTE {
                self.remote.clear_event();
                continue;
            }
            let fd = Fd(data as i32);
            let ended = (libc::EPOLLERR | libc::EPOLLHUP) as u32;
            let inward = (libc::EPOLLIN | libc::EPOLLRDHUP) as u32 | ended;
            if events & inward != 0 {
                self.advance(fd, Direction::In);
            }
            if events & (libc::EPOLLOUT as u32 | ended) != 0 {
                self.advance(fd, Direction::Out);
            }
        }
        out.append(&mut self.ready);
    }

    /// Tries a socket's operations of one direction in order until one would wait.
    fn advance(&mut self, fd: Fd, direction: Direction) {
        loop {
            // An event may be of a socket that was forgotten meanwhile.
            let Some(lines) = self.sockets.get_mut(&fd) else {
                return;
            };
            let Some(key) = lines.line(direction).front().copied() else {
                return;
            };
            let place = &mut self.kept[key.index as usize];
            let kept = place.as_mut().expect("what stands in a line is kept");
            let Some(outcome) = try_now(&mut kept.op, fd) else {
                return;
            };
            let kept = place.take().expect("checked just now");
            lines.line(direction).pop_front();
            if let (Op::Connect { .. }, Err(_)) = (&kept.op, &outcome) {
                self.sockets.remove(&fd);
                let _ = self.control(libc::EPOLL_CTL_DEL, fd, 0, 0);
                socket::close(fd);
            }
            self.finish(key, kept.op, outcome);
        }
    }

    fn wait(&mut self, wait: Wait, events: &mut [libc::epoll_event]) -> usize {
        let room = events.len() as libc::c_int;
        let epoll = self.epoll.as_raw_fd();
        let result = if let (Wait::For(duration), true) = (wait, self.has_precise_wait) {
            let timeout = libc::timespec {
                tv_sec: duration.as_secs() as libc::time_t,
                tv_nsec: duration.subsec_nanos().into(),
            };
            // SAFETY: `events` is room for that many events, `timeout` is valid, and no signal mask is given.
            unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    epoll,
                    events.as_mut_ptr(),
                    room,
                    &timeout,
                    ptr::null::<libc::sigset_t>(),
                    0usize,
                ) as libc::c_int
            }
        } else {
            let millis = match wait {
                Wait::No => 0,
                Wait::Forever => -1,
                // Rounded up: a timer never fires early.
                Wait::For(duration) => (duration + Duration::from_micros(999))
                    .as_millis()
                    .min(60_000) as libc::c_int,
            };
            // SAFETY: `events` is room for that many events.
            unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), room, millis) }
        };
        if result >= 0 {
            return result as usize;
        }
        let errno = last_errno();
        if errno.0 == libc::ENOSYS {
            self.has_precise_wait = false;
            return 0;
        }
        assert_eq!(errno.0, libc::EINTR, "epoll_wait of an own descriptor");
        0
    }
}

/// Starts connecting; true when it is done already.
fn start_connect(addr: std::net::SocketAddr) -> Result<(Fd, bool), Errno> {
    let fd = socket::open(addr, libc::SOCK_NONBLOCK)?;
    socket::set_no_delay(fd);
    let raw = RawAddr::from(addr);
    // SAFETY: a valid address of this length.
    let result = unsafe { libc::connect(fd.0, raw.as_ptr(), raw.len) };
    if result == 0 {
        return Ok((fd, true));
    }
    let errno = last_errno();
    if errno.0 == libc::EINPROGRESS {
        return Ok((fd, false));
    }
    socket::close(fd);
    Err(errno)
}

/// `None` when it would wait.
fn try_now(op: &mut Op, fd: Fd) -> Option<Outcome> {
    loop {
        let outcome = match op {
            Op::Accept { .. } => accept(fd),
            Op::Receive { buf, .. } => receive(fd, buf),
            Op::Send { data, .. } => send(fd, data),
            Op::Connect { addr } => match socket::is_connected(fd)? {
                Ok(()) => Ok(Value::Socket { fd, addr: *addr }),
                Err(errno) => Err(errno),
            },
            other => unreachable!("{other:?} does not wait for readiness"),
        };
        match outcome {
            Err(Errno(libc::EAGAIN)) => return None,
            Err(Errno(libc::EINTR)) => {}
            outcome => return Some(outcome),
        }
    }
}

fn count(result: isize) -> Result<usize, Errno> {
    usize::try_from(result).map_err(|_| last_errno())
}

fn accept(fd: Fd) -> Outcome {
    let mut raw = RawAddr::empty();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let len = ptr::from_mut(&mut raw.len);
    // SAFETY: room for any address, with its length.
    let accepted = unsafe { libc::accept4(fd.0, raw.as_mut_ptr(), len, flags) };
    let accepted = Fd(count(accepted as isize)? as i32);
    socket::set_no_delay(accepted);
    match raw.to_addr() {
        Ok(addr) => Ok(Value::Socket { fd: accepted, addr }),
        Err(errno) => {
            socket::close(accepted);
            Err(errno)
        }
    }
}

fn receive(fd: Fd, buf: &mut iobuf::BufMut) -> Outcome {
    let len = buf.len();
    let spare = buf.spare_mut();
    let (at, room) = (spare.as_mut_ptr().cast(), spare.len());
    // SAFETY: `spare` is writable memory of this length.
    let received = count(unsafe { libc::recv(fd.0, at, room, libc::MSG_DONTWAIT) })?;
    buf.set_len(len + received);
    Ok(Value::Bytes(received))
}

fn send(fd: Fd, data: &iobuf::IoBuf) -> Outcome {
    let mut slices = Vec::new();
    offload::to_slices(data, &mut slices);
    // SAFETY: all-zero is a valid msghdr (of nothing).
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = slices.as_mut_ptr();
    message.msg_iovlen = slices.len();
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: every slice is readable memory that `data` keeps alive.
    count(unsafe { libc::sendmsg(fd.0, &message, flags) }).map(Value::Bytes)
}

impl Drop for Epoll {
    fn drop(&mut self) {
        // Sockets of connects that never ended have no other owner.
        for kept in self.kept.drain(..).flatten() {
            if let Op::Connect { .. } = kept.op {
                socket::close(kept.fd);
            }
        }
    }
}
