//! System calls on sockets that never wait, and addresses as the kernel wants them.

use crate::ops::{Errno, Fd, Outcome, Value};
use std::{
    mem,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    ptr,
};

/// A socket address in kernel form.
pub(crate) struct RawAddr {
    pub(crate) storage: libc::sockaddr_storage,
    pub(crate) len: libc::socklen_t,
}

impl RawAddr {
    /// Room for any address.
    pub(crate) fn empty() -> Self {
        Self {
            // SAFETY: all-zero is a valid sockaddr_storage (of no family).
            storage: unsafe { mem::zeroed() },
            len: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    pub(crate) fn as_ptr(&self) -> *const libc::sockaddr {
        ptr::from_ref(&self.storage).cast()
    }

    pub(crate) fn as_mut_ptr(&mut self) -> *mut libc::sockaddr {
        ptr::from_mut(&mut self.storage).cast()
    }

    pub(crate) fn to_addr(&self) -> Result<SocketAddr, Errno> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says that a sockaddr_in is stored, and the storage is large and aligned enough.
                let raw = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_in>() };
                Ok(SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from(u32::from_be(raw.sin_addr.s_addr)),
                    u16::from_be(raw.sin_port),
                )))
            }
            libc::AF_INET6 => {
                // SAFETY: as above, for sockaddr_in6.
                let raw = unsafe { &*ptr::from_ref(&self.storage).cast::<libc::sockaddr_in6>() };
                Ok(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(raw.sin6_addr.s6_addr),
                    u16::from_be(raw.sin6_port),
                    raw.sin6_flowinfo,
                    raw.sin6_scope_id,
                )))
            }
            _ => Err(Errno(libc::EAFNOSUPPORT)),
        }
    }
}

impl From<SocketAddr> for RawAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut raw = Self::empty();
        match addr {
            SocketAddr::V4(addr) => {
                let v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr {
                        s_addr: u32::from(*addr.ip()).to_be(),
                    },
                    sin_zero: [0; 8],
                };
                // SAFETY: the storage is large and aligned enough for every address.
                unsafe {
                    ptr::from_mut(&mut raw.storage)
                        .cast::<libc::sockaddr_in>()
                        .write(v4)
                };
                raw.len = mem::size_of::<libc::sockaddr_in>() as libc::socklen_t;
            }
            SocketAddr::V6(addr) => {
                let v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: addr.flowinfo(),
                    sin6_addr: libc::in6_addr {
                        s6_addr: addr.ip().octets(),
                    },
                    sin6_scope_id: addr.scope_id(),
                };
                // SAFETY: as above.
                unsafe {
                    ptr::from_mut(&mut raw.storage)
                        .cast::<libc::sockaddr_in6>()
                        .write(v6)
                };
                raw.len = mem::size_of::<libc::sockaddr_in6>() as libc::socklen_t;
            }
        }
        raw
    }
}

pub(crate) fn last_errno() -> Errno {
    Errno::from(&std::io::Error::last_os_error())
}

fn check(result: libc::c_int) -> Result<libc::c_int, Errno> {
    if result < 0 {
        return Err(last_errno());
    }
    Ok(result)
}

/// A descriptor that is closed unless it gets where it should.
struct Guard(Fd);

impl Guard {
    fn keep(self) -> Fd {
        let fd = self.0;
        mem::forget(self);
        fd
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        close(self.0);
    }
}

/// Closes at once. Errors say nothing about sockets that matters any more.
pub(crate) fn close(fd: Fd) {
    // SAFETY: the caller owns the descriptor.
    unsafe { libc::close(fd.0) };
}

fn set_flag(fd: Fd, level: libc::c_int, name: libc::c_int) -> Result<(), Errno> {
    let on: libc::c_int = 1;
    let len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: `on` is readable memory of this length.
    let result = unsafe { libc::setsockopt(fd.0, level, name, ptr::from_ref(&on).cast(), len) };
    check(result).map(drop)
}

/// Nagle's algorithm off: requests and responses are written whole.
pub(crate) fn set_no_delay(fd: Fd) {
    // It fails on a connection that is gone already, which the next operation says better.
    let _ = set_flag(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY);
}

/// A TCP socket for the address's family.
pub(crate) fn open(addr: SocketAddr, extra_flags: libc::c_int) -> Result<Fd, Errno> {
    let family = match addr {
        SocketAddr::V4(_) => libc::AF_INET,
        SocketAddr::V6(_) => libc::AF_INET6,
    };
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | extra_flags;
    // SAFETY: creates a descriptor, touches no memory.
    check(unsafe { libc::socket(family, kind, 0) }).map(Fd)
}

fn option(fd: Fd, name: libc::c_int) -> Result<libc::c_int, Errno> {
    let mut value: libc::c_int = 0;
    let mut len = mem::size_of::<libc::c_int>() as libc::socklen_t;
    let at = ptr::from_mut(&mut value).cast();
    // SAFETY: `value` is a valid place of length `len`.
    check(unsafe { libc::getsockopt(fd.0, libc::SOL_SOCKET, name, at, &mut len) })?;
    Ok(value)
}

pub(crate) fn is_socket(fd: Fd) -> bool {
    option(fd, libc::SO_TYPE).is_ok()
}

/// How a connect that was started ended; `None` while it goes on.
pub(crate) fn is_connected(fd: Fd) -> Option<Result<(), Errno>> {
    match option(fd, libc::SO_ERROR) {
        Err(errno) => return Some(Err(errno)),
        Ok(0) => {}
        Ok(code) => return Some(Err(Errno(code))),
    }
    let mut raw = RawAddr::empty();
    let len = ptr::from_mut(&mut raw.len);
    // SAFETY: room for any address, with its length.
    match check(unsafe { libc::getpeername(fd.0, raw.as_mut_ptr(), len) }) {
        Ok(_) => Some(Ok(())),
        Err(Errno(libc::ENOTCONN)) => None,
        Err(errno) => Some(Err(errno)),
    }
}

/// Connections that wait to be accepted at most; the kernel caps it at net.core.somaxconn.
const BACKLOG: libc::c_int = 4096;

pub(crate) fn listen(addr: SocketAddr, extra_flags: libc::c_int) -> Outcome {
    let guard = Guard(open(addr, extra_flags)?);
    let fd = guard.0;
    set_flag(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    let raw = RawAddr::from(addr);
    // SAFETY: a valid address of this length.
    check(unsafe { libc::bind(fd.0, raw.as_ptr(), raw.len) })?;
    // SAFETY: touches no memory.
    check(unsafe { libc::listen(fd.0, BACKLOG) })?;
    let mut bound = RawAddr::empty();
    let len = ptr::from_mut(&mut bound.len);
    // SAFETY: room for any address, with its length.
    check(unsafe { libc::getsockname(fd.0, bound.as_mut_ptr(), len) })?;
    Ok(Value::Socket {
        addr: bound.to_addr()?,
        fd: guard.keep(),
    })
}

/// Both directions. A socket that is not connected any more is shut already.
pub(crate) fn shutdown(fd: Fd) -> Outcome {
    // SAFETY: touches no memory.
    unsafe { libc::shutdown(fd.0, libc::SHUT_RDWR) };
    Ok(Value::Done)
}
