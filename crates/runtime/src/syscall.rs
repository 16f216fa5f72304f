//! Plain system calls: file operations carried out on the calling thread, and what both socket drivers need.
//!
//! # Place       helper threads (`blocking`) and drivers; never a task
//! # Instead of  `std::fs` and `std::net` alone: they have no data-sync per write, no fallocate, no free space, and
//!               their sockets keep no errno when a flag is refused

use crate::{
    fs::{DirEntry, Open, Space},
    ops::{Errno, Fd, Op, Outcome, Value},
};
use iobuf::{Buf, BufMut, IoBuf};
use std::{
    ffi::{CString, c_int},
    io,
    mem::{self, MaybeUninit},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::unix::ffi::OsStrExt,
    path::Path,
    ptr,
};

/// Chunks of a chain handed to the kernel at once; the rest follows with the next attempt.
pub(crate) const IOVECS_MAX: usize = 64;
/// Connections the kernel keeps until they are accepted.
const BACKLOG: c_int = 1024;
/// File mode of what is created: the owner's own.
const MODE: libc::mode_t = 0o644;

/// Carries a file or directory operation out and waits for it. Sockets are the drivers' own business.
pub(crate) fn carry_out(op: &mut Op) -> Outcome {
    let outcome = match op {
        Op::Open { path, open } => open_file(path, *open).map(Value::Fd),
        Op::OpenDir { path } => open_dir(path).map(Value::Fd),
        Op::Close { fd } => {
            close(*fd);
            Ok(Value::Done)
        }
        Op::Read {
            fd,
            pos,
            buf,
            from,
            bytes,
        } => read(*fd, *pos, buf, *from, *bytes).map(Value::Bytes),
        Op::Write {
            fd,
            pos,
            data,
            is_durable,
        } => write(*fd, *pos, data, *is_durable).map(Value::Bytes),
        Op::Sync { fd, data_only } => sync(*fd, *data_only).map(|()| Value::Done),
        Op::Truncate { fd, len } => truncate(*fd, *len).map(|()| Value::Done),
        Op::Allocate { fd, pos, bytes } => allocate(*fd, *pos, *bytes).map(|()| Value::Done),
        Op::Length { fd } => length(*fd).map(Value::Length),
        Op::Rename { from, to } => std::fs::rename(from, to).map(|()| Value::Done),
        Op::RemoveFile { path } => std::fs::remove_file(path).map(|()| Value::Done),
        Op::RemoveDirAll { path } => remove_dir_all(path).map(|()| Value::Done),
        Op::CreateDirAll { path } => std::fs::create_dir_all(path).map(|()| Value::Done),
        Op::ReadDir { path } => read_dir(path).map(Value::Entries),
        Op::Exists { path } => std::fs::exists(path).map(Value::Exists),
        Op::Space { path } => space(path).map(Value::Space),
        Op::Lock { path } => lock(path).map(Value::Fd),
        Op::Listen { .. }
        | Op::Accept { .. }
        | Op::Connect { .. }
        | Op::Receive { .. }
        | Op::Send { .. }
        | Op::Shutdown { .. } => unreachable!("sockets do not block a helper thread"),
    };
    outcome.map_err(|error| Errno::from(&error))
}

/// Whether `carry_out` takes it.
pub(crate) fn is_file_op(op: &Op) -> bool {
    !matches!(
        op,
        Op::Listen { .. }
            | Op::Accept { .. }
            | Op::Connect { .. }
            | Op::Receive { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
    )
}

/// -1 becomes the error that the system call left behind.
fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn check_size(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

pub(crate) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

/// The kernel's flags for `open`.
pub(crate) fn open_flags(open: Open) -> c_int {
    let access = match (open.read, open.write) {
        (_, false) => libc::O_RDONLY,
        (false, true) => libc::O_WRONLY,
        (true, true) => libc::O_RDWR,
    };
    let mut flags = access | libc::O_CLOEXEC;
    for (is_set, flag) in [
        (open.create, libc::O_CREAT),
        (open.create_new, libc::O_CREAT | libc::O_EXCL),
        (open.truncate, libc::O_TRUNC),
        (open.direct, libc::O_DIRECT),
    ] {
        if is_set {
            flags |= flag;
        }
    }
    flags
}

pub(crate) const fn open_mode() -> libc::mode_t {
    MODE
}

fn open_file(path: &Path, open: Open) -> io::Result<Fd> {
    let path = c_path(path)?;
    // SAFETY: the path is a C string that outlives the call.
    let fd = check(unsafe { libc::open(path.as_ptr(), open_flags(open), MODE) })?;
    Ok(Fd(fd))
}

fn open_dir(path: &Path) -> io::Result<Fd> {
    let path = c_path(path)?;
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is a C string that outlives the call.
    Ok(Fd(check(unsafe { libc::open(path.as_ptr(), flags) })?))
}

/// Closes a descriptor. Its error means nothing here: what had to be durable was synced before.
pub(crate) fn close(fd: Fd) {
    // SAFETY: the slab closes each descriptor once, and nobody uses it afterwards.
    let _ = unsafe { libc::close(fd.0) };
}

fn position(pos: u64) -> io::Result<libc::off_t> {
    libc::off_t::try_from(pos).map_err(|_| io::Error::from_raw_os_error(libc::EFBIG))
}

fn read(fd: Fd, pos: u64, buf: &mut BufMut, from: usize, bytes: usize) -> io::Result<usize> {
    let filled = buf.len();
    buf.clear();
    let area = &mut buf.spare_mut()[from..from + bytes];
    let pos = position(pos)?;
    // SAFETY: `area` is writable for its length and nobody else holds it.
    let result = unsafe { libc::pread(fd.0, area.as_mut_ptr().cast(), area.len(), pos) };
    let result = check_size(result);
    buf.set_len(filled);
    result
}

/// The first chunks of a chain as the kernel takes them. The pointers are good for as long as the chain.
pub(crate) fn iovecs(data: &IoBuf) -> smallvec::SmallVec<[libc::iovec; IOVECS_MAX]> {
    data.chunks()
        .take(IOVECS_MAX)
        .map(|chunk: &Buf| libc::iovec {
            iov_base: chunk.as_ptr().cast_mut().cast(),
            iov_len: chunk.len(),
        })
        .collect()
}

fn write(fd: Fd, pos: u64, data: &IoBuf, is_durable: bool) -> io::Result<usize> {
    let vectors = iovecs(data);
    let flags = if is_durable { libc::RWF_DSYNC } else { 0 };
    // SAFETY: the vectors point into `data`, which lives through the call and is only read.
    check_size(unsafe {
        libc::pwritev2(
            fd.0,
            vectors.as_ptr(),
            vectors.len() as c_int,
            position(pos)?,
            flags,
        )
    })
}

fn sync(fd: Fd, data_only: bool) -> io::Result<()> {
    // SAFETY: no memory is involved.
    let result = unsafe {
        if data_only {
            libc::fdatasync(fd.0)
        } else {
            libc::fsync(fd.0)
        }
    };
    check(result).map(|_| ())
}

fn truncate(fd: Fd, len: u64) -> io::Result<()> {
    let len = position(len)?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::ftruncate(fd.0, len) }).map(|_| ())
}

fn allocate(fd: Fd, pos: u64, bytes: u64) -> io::Result<()> {
    let (pos, bytes) = (position(pos)?, position(bytes)?);
    // SAFETY: no memory is involved.
    check(unsafe { libc::fallocate(fd.0, 0, pos, bytes) }).map(|_| ())
}

fn length(fd: Fd) -> io::Result<u64> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: `stat` is writable and as large as the kernel fills it.
    check(unsafe { libc::fstat(fd.0, stat.as_mut_ptr()) })?;
    // SAFETY: all zeroes is a valid `stat`, and the call has filled it.
    let stat = unsafe { stat.assume_init() };
    Ok(u64::try_from(stat.st_size).unwrap_or(0))
}

fn remove_dir_all(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(path)? {
        let entry = entry?;
        // A name that is not UTF-8 is none of ours; it is listed as it can be shown.
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type()?.is_dir();
        entries.push(DirEntry { name, is_dir });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

fn space(path: &Path) -> io::Result<Space> {
    let path = c_path(path)?;
    let mut stat = MaybeUninit::<libc::statvfs>::zeroed();
    // SAFETY: the path is a C string, `stat` is writable and large enough.
    check(unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) })?;
    // SAFETY: all zeroes is a valid `statvfs`, and the call has filled it.
    let stat = unsafe { stat.assume_init() };
    let block = stat.f_frsize;
    Ok(Space {
        total_bytes: stat.f_blocks.saturating_mul(block),
        available_bytes: stat.f_bavail.saturating_mul(block),
    })
}

fn lock(path: &Path) -> io::Result<Fd> {
    let open = Open {
        read: true,
        write: true,
        create: true,
        ..Open::default()
    };
    let fd = open_file(path, open)?;
    // SAFETY: no memory is involved.
    let locked = check(unsafe { libc::flock(fd.0, libc::LOCK_EX | libc::LOCK_NB) });
    if let Err(error) = locked {
        close(fd);
        return Err(error);
    }
    Ok(fd)
}

/// A socket address as the kernel takes and gives it.
pub(crate) struct RawAddr {
    storage: libc::sockaddr_storage,
    pub(crate) len: libc::socklen_t,
}

impl RawAddr {
    /// Room for any address.
    pub(crate) fn empty() -> Self {
        Self {
            // SAFETY: all zeroes is a valid `sockaddr_storage`.
            storage: unsafe { mem::zeroed() },
            len: size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        ptr::from_ref(&self.storage).cast()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        ptr::from_mut(&mut self.storage).cast()
    }

    /// The address, unless its family is none of ours.
    pub(crate) fn to_addr(&self) -> io::Result<SocketAddr> {
        match c_int::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says so, and the storage is large and aligned enough for every family.
                let v4 = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Ok(SocketAddr::from((ip, u16::from_be(v4.sin_port))))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_in6>() };
                let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                Ok(SocketAddr::from((ip, u16::from_be(v6.sin6_port))))
            }
            _ => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        }
    }
}

impl From<SocketAddr> for RawAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match addr.ip() {
            IpAddr::V4(ip) => {
                // SAFETY: the storage is large and aligned enough for every family, and zeroed.
                let v4 = unsafe { &mut *raw.as_mut_ptr().cast::<libc::sockaddr_in>() };
                v4.sin_family = libc::AF_INET as libc::sa_family_t;
                v4.sin_port = addr.port().to_be();
                v4.sin_addr.s_addr = u32::from(ip).to_be();
                raw.len = size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            IpAddr::V6(ip) => {
                // SAFETY: as above.
                let v6 = unsafe { &mut *raw.as_mut_ptr().cast::<libc::sockaddr_in6>() };
                v6.sin6_family = libc::AF_INET6 as libc::sa_family_t;
                v6.sin6_port = addr.port().to_be();
                v6.sin6_addr.s6_addr = ip.octets();
                raw.len = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        raw
    }
}

/// A TCP socket of the address's family. Non-blocking for readiness (epoll); io_uring wants it blocking, or else it
/// answers EAGAIN instead of waiting.
pub(crate) fn socket(addr: SocketAddr, is_nonblocking: bool) -> io::Result<Fd> {
    let family = if addr.is_ipv4() {
        libc::AF_INET
    } else {
        libc::AF_INET6
    };
    let mut kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    if is_nonblocking {
        kind |= libc::SOCK_NONBLOCK;
    }
    // SAFETY: no memory is involved.
    Ok(Fd(check(unsafe { libc::socket(family, kind, 0) })?))
}

fn set_option(fd: Fd, level: c_int, option: c_int) -> io::Result<()> {
    let on: c_int = 1;
    // SAFETY: `on` lives through the call and its size is told.
    check(unsafe {
        libc::setsockopt(
            fd.0,
            level,
            option,
            ptr::from_ref(&on).cast(),
            size_of::<c_int>() as libc::socklen_t,
        )
    })
    .map(|_| ())
}

/// Small responses go out at once: the executor gathers what belongs together itself.
pub(crate) fn set_nodelay(fd: Fd) {
    // A peer that has gone already refuses this; the next operation says so.
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
}

/// Binds and listens; gives the bound address.
pub(crate) fn listen(addr: SocketAddr, is_nonblocking: bool) -> io::Result<(Fd, SocketAddr)> {
    let fd = socket(addr, is_nonblocking)?;
    let bound = listen_on(fd, addr);
    if bound.is_err() {
        close(fd);
    }
    bound.map(|addr| (fd, addr))
}

fn listen_on(fd: Fd, addr: SocketAddr) -> io::Result<SocketAddr> {
    // A restarted node takes its port back while old connections linger in TIME_WAIT.
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    let raw = RawAddr::from(addr);
    // SAFETY: `raw` holds an address of `raw.len` bytes.
    check(unsafe { libc::bind(fd.0, raw.as_ptr(), raw.len) })?;
    // SAFETY: no memory is involved.
    check(unsafe { libc::listen(fd.0, BACKLOG) })?;
    local_addr(fd)
}

pub(crate) fn local_addr(fd: Fd) -> io::Result<SocketAddr> {
    let mut raw = RawAddr::empty();
    let len = ptr::from_mut(&mut raw.len);
    // SAFETY: the storage has room for `len` bytes; both live through the call.
    check(unsafe { libc::getsockname(fd.0, raw.as_mut_ptr(), len) })?;
    raw.to_addr()
}

/// The error a connection attempt ended with, if any.
pub(crate) fn take_error(fd: Fd) -> io::Result<()> {
    let mut error: c_int = 0;
    let mut len = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: both places live through the call and the length is told.
    check(unsafe {
        libc::getsockopt(
            fd.0,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            ptr::from_mut(&mut error).cast(),
            &raw mut len,
        )
    })?;
    match error {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(code)),
    }
}

/// Starts connecting; true when it is done already.
pub(crate) fn connect(fd: Fd, addr: SocketAddr) -> io::Result<bool> {
    let raw = RawAddr::from(addr);
    // SAFETY: `raw` holds an address of `raw.len` bytes.
    match check(unsafe { libc::connect(fd.0, raw.as_ptr(), raw.len) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Accepts without waiting.
pub(crate) fn accept(fd: Fd) -> io::Result<(Fd, SocketAddr)> {
    let mut raw = RawAddr::empty();
    let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let len = ptr::from_mut(&mut raw.len);
    // SAFETY: the storage has room for `len` bytes; both live through the call.
    let accepted = check(unsafe { libc::accept4(fd.0, raw.as_mut_ptr(), len, flags) })?;
    let accepted = Fd(accepted);
    match raw.to_addr() {
        Ok(addr) => Ok((accepted, addr)),
        Err(error) => {
            close(accepted);
            Err(error)
        }
    }
}

/// Receives without waiting into the spare capacity of `buf`, and extends its length.
pub(crate) fn receive(fd: Fd, buf: &mut BufMut) -> io::Result<usize> {
    let filled = buf.len();
    let spare = buf.spare_mut();
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: `spare` is writable for its length and nobody else holds it.
    let result = unsafe { libc::recv(fd.0, spare.as_mut_ptr().cast(), spare.len(), flags) };
    let bytes = check_size(result)?;
    buf.set_len(filled + bytes);
    Ok(bytes)
}

/// Sends the first chunks without waiting.
pub(crate) fn send(fd: Fd, data: &IoBuf) -> io::Result<usize> {
    let mut vectors = iovecs(data);
    // SAFETY: all zeroes is a valid message header.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    message.msg_iov = vectors.as_mut_ptr();
    message.msg_iovlen = vectors.len() as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the vectors point into `data`, which lives through the call and is only read.
    check_size(unsafe { libc::sendmsg(fd.0, &raw const message, flags) })
}

/// Ends both directions; what waits on the socket is woken.
pub(crate) fn shutdown(fd: Fd) -> io::Result<()> {
    // SAFETY: no memory is involved.
    match check(unsafe { libc::shutdown(fd.0, libc::SHUT_RDWR) }) {
        // The peer was quicker.
        Err(error) if error.raw_os_error() == Some(libc::ENOTCONN) => Ok(()),
        result => result.map(|_| ()),
    }
}
