//! TCP listeners and streams, real or simulated inside.
use iobuf::{BufMut, IoBuf};
use std::{io, net::SocketAddr};

pub struct TcpListener {
    _p: (),
}
impl TcpListener {
    pub async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
        todo!()
    }
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        todo!()
    }
}
/// Cheap to clone: reader and writer tasks share one. TCP_NODELAY is on.
#[derive(Clone)]
pub struct TcpStream {
    _p: std::rc::Rc<()>,
}
impl TcpStream {
    pub async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
        todo!()
    }
    /// Reads once into the spare capacity of `buf` (appending); 0 is end of stream.
    pub async fn read(&self, buf: BufMut) -> (io::Result<usize>, BufMut) {
        todo!()
    }
    /// Writes the whole chain, gathered.
    pub async fn write(&self, data: IoBuf) -> io::Result<()> {
        todo!()
    }
    /// Both directions; wakes a pending read.
    pub fn shutdown(&self) {
        todo!()
    }
    pub fn peer_addr(&self) -> SocketAddr {
        todo!()
    }
    /// For handing an accepted connection to another shard (no operation may be pending).
    pub fn into_foreign(self) -> ForeignStream {
        todo!()
    }
}
/// A stream between shards.
pub struct ForeignStream {
    _p: (),
}
impl ForeignStream {
    pub fn adopt(self) -> TcpStream {
        todo!()
    }
}
