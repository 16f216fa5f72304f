//! TCP listeners and streams, real or simulated inside.

use crate::{
    ops::{self, Fd, Op, Value},
    shard::Shard,
};
use iobuf::{BufMut, IoBuf};
use std::{
    cell::Cell,
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    rc::Rc,
};

/// A socket that closes when it is dropped, unless it was handed on.
struct Owned {
    fd: Fd,
    shard: Rc<Shard>,
    is_handed_on: Cell<bool>,
}

impl Owned {
    fn new(fd: Fd) -> Self {
        Self {
            fd,
            shard: Shard::current(),
            is_handed_on: Cell::new(false),
        }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if !self.is_handed_on.get() {
            self.shard.submit_detached(Op::Close { fd: self.fd });
        }
    }
}

/// Addresses of a host, IPv4 first: servers on the loopback rarely listen on `::1`. Names are looked up by the system's
/// resolver, on a thread of its own; `localhost` and addresses need none.
pub async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if host == "localhost" {
        return Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]);
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let op = Op::LookUp {
        host: host.to_owned(),
        port,
    };
    let (_, outcome) = ops::run(op).await;
    let found = match outcome? {
        Value::Addresses(found) => found,
        other => unreachable!("the driver answered with {other:?}"),
    };
    let unknown = |why: &str| {
        let error = format!("no address is known of the name '{host}'{why}");
        io::Error::new(io::ErrorKind::NotFound, error)
    };
    let mut found = found.map_err(|why| unknown(&format!(": {why}")))?;
    if found.is_empty() {
        return Err(unknown(""));
    }
    found.sort_by_key(SocketAddr::is_ipv6);
    Ok(found)
}

async fn run_socket(op: Op) -> io::Result<(Fd, SocketAddr)> {
    let (_, outcome) = ops::run(op).await;
    match outcome? {
        Value::Socket { fd, addr } => Ok((fd, addr)),
        other => unreachable!("the driver answered with {other:?}"),
    }
}

pub struct TcpListener {
    owned: Owned,
    addr: SocketAddr,
}

impl TcpListener {
    /// Port 0 takes a free one. The address may be taken again at once after its last owner is gone (SO_REUSEADDR).
    pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        let (fd, addr) = run_socket(Op::Listen { addr }).await?;
        Ok(Self {
            owned: Owned::new(fd),
            addr,
        })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// The next connection. Dropping the future loses none: a connection that came just then is closed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let fd = self.owned.fd;
        let (fd, addr) = run_socket(Op::Accept { fd }).await?;
        Ok((TcpStream::new(fd, addr), addr))
    }
}

/// Cheap to clone: reader and writer tasks share one. TCP_NODELAY is on.
#[derive(Clone)]
pub struct TcpStream {
    owned: Rc<Owned>,
    peer: SocketAddr,
}

impl TcpStream {
    fn new(fd: Fd, peer: SocketAddr) -> Self {
        Self {
            owned: Rc::new(Owned::new(fd)),
            peer,
        }
    }

    pub async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        let (fd, peer) = run_socket(Op::Connect { addr }).await?;
        Ok(Self::new(fd, peer))
    }

    /// Reads once into the spare capacity of `buf` (appending); 0 is end of stream (or a full buffer). When the
    /// future is dropped, what was received meanwhile is lost with the buffer.
    pub async fn read(&self, buf: BufMut) -> (io::Result<usize>, BufMut) {
        let fd = self.owned.fd;
        let (op, outcome) = ops::run(Op::Receive { fd, buf }).await;
        let Op::Receive { buf, .. } = op else {
            unreachable!("an operation comes back as it went")
        };
        let result = match outcome {
            Ok(Value::Bytes(count)) => Ok(count),
            Ok(other) => unreachable!("the driver answered with {other:?}"),
            Err(errno) => Err(errno.into()),
        };
        (result, buf)
    }

    /// Writes the whole chain, gathered. After an error or a dropped future an unknown part of it was sent.
    pub async fn write(&self, data: IoBuf) -> io::Result<()> {
        let fd = self.owned.fd;
        let mut data = data;
        while !data.is_empty() {
            let (op, outcome) = ops::run(Op::Send { fd, data }).await;
            let Op::Send { data: returned, .. } = op else {
                unreachable!("an operation comes back as it went")
            };
            data = returned;
            match outcome? {
                Value::Bytes(count) => data.advance(count),
                other => unreachable!("the driver answered with {other:?}"),
            }
        }
        Ok(())
    }

    /// Both directions; wakes a pending read.
    pub fn shutdown(&self) {
        let fd = self.owned.fd;
        self.owned.shard.submit_detached(Op::Shutdown { fd });
    }

    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// For handing an accepted connection to another shard (no operation may be pending). Panics when there are
    /// other clones.
    pub fn into_foreign(self) -> ForeignStream {
        assert_eq!(
            Rc::strong_count(&self.owned),
            1,
            "a stream is handed on by its only owner"
        );
        self.owned.is_handed_on.set(true);
        let shard = &self.owned.shard;
        shard.driver.borrow_mut().forget(self.owned.fd);
        ForeignStream {
            fd: Some(self.owned.fd),
            is_simulated: self.owned.shard.clock().is_virtual(),
            peer: self.peer,
        }
    }
}

/// A stream between shards. Closes when it is dropped unadopted.
pub struct ForeignStream {
    fd: Option<Fd>,
    is_simulated: bool,
    peer: SocketAddr,
}

impl ForeignStream {
    /// The stream as one of the current shard.
    pub fn adopt(mut self) -> TcpStream {
        let fd = self.fd.take().expect("adopted once");
        TcpStream::new(fd, self.peer)
    }
}

impl Drop for ForeignStream {
    fn drop(&mut self) {
        let Some(fd) = self.fd.take() else { return };
        match Shard::try_current() {
            Some(shard) => shard.submit_detached(Op::Close { fd }),
            None if self.is_simulated => {}
            // On a thread without a shard: closing a socket nobody writes to does not block.
            None => crate::socket::close(fd),
        }
    }
}
