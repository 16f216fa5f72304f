//! What sockets promise, on every backend and in simulation.

use crate::world::conformance;
use iobuf::{Buf, BufMut, IoBuf};
use runtime::{
    Class,
    net::{TcpListener, TcpStream, look_up},
};
use std::{io::ErrorKind, path::PathBuf, rc::Rc, time::Duration};

conformance!(
    bytes_arrive_in_order,
    large_chains_arrive_whole,
    both_ends_see_the_end,
    shutdown_wakes_a_reader,
    connecting_to_nobody_is_refused,
    hosts_have_addresses_or_are_unknown,
    a_dropped_accept_takes_no_connection,
    a_dropped_read_ends,
    many_connections_at_once;
    only real:
);

async fn pair() -> (TcpStream, TcpStream) {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let listener = TcpListener::bind(addr).await.expect("binds");
    let addr = listener.local_addr();
    let accepting = runtime::spawn(Class::Admin, "accept", async move {
        listener.accept().await.expect("accepts").0
    });
    let client = TcpStream::connect(addr).await.expect("connects");
    assert_eq!(client.peer_addr(), addr);
    let server = accepting.await.expect("not aborted");
    (client, server)
}

async fn read_exactly(stream: &TcpStream, bytes: usize) -> Vec<u8> {
    let mut got = Vec::new();
    while got.len() < bytes {
        let (result, buf) = stream.read(BufMut::with_capacity(4096)).await;
        assert!(result.expect("reads") > 0, "ended after {}", got.len());
        got.extend_from_slice(&buf);
    }
    assert_eq!(got.len(), bytes);
    got
}

async fn bytes_arrive_in_order(_: PathBuf) {
    let (client, server) = pair().await;
    let writer = runtime::spawn(Class::Produce, "writer", async move {
        for i in 0..1000u32 {
            let data: IoBuf = [i.to_le_bytes(), (!i).to_le_bytes()]
                .iter()
                .map(|part| Buf::copy_from_slice(part))
                .collect();
            client.write(data).await.expect("writes");
        }
        client
    });
    let got = read_exactly(&server, 8000).await;
    for (i, part) in got.chunks(8).enumerate() {
        assert_eq!(part[..4], (i as u32).to_le_bytes());
        assert_eq!(part[4..], (!(i as u32)).to_le_bytes());
    }
    drop(writer.await);
    // Reading appends to what the buffer holds.
    let mut buf = BufMut::with_capacity(100);
    buf.extend_from_slice(b"kept");
    let (result, buf) = server.read(buf).await;
    assert_eq!((result.expect("reads"), &buf[..]), (0, &b"kept"[..]));
}

async fn large_chains_arrive_whole(_: PathBuf) {
    let (client, server) = pair().await;
    let chunks = 3000u32;
    let writer = runtime::spawn(Class::Fetch, "writer", async move {
        // More bytes than socket buffers hold, more chunks than one call takes.
        let data: IoBuf = (0..chunks)
            .map(|i| Buf::copy_from_slice(&[i as u8; 3000]))
            .collect();
        client.write(data).await.expect("writes");
        client
    });
    let got = read_exactly(&server, chunks as usize * 3000).await;
    for (i, part) in got.chunks(3000).enumerate() {
        assert!(part.iter().all(|b| *b == i as u8), "chunk {i}");
    }
    drop(writer.await);
}

async fn both_ends_see_the_end(_: PathBuf) {
    let (client, server) = pair().await;
    client
        .write(Buf::copy_from_slice(b"bye").into())
        .await
        .expect("writes");
    drop(client);
    assert_eq!(read_exactly(&server, 3).await, b"bye");
    let (result, buf) = server.read(BufMut::with_capacity(10)).await;
    assert_eq!((result.expect("reads"), buf.len()), (0, 0));
    // Writing to a peer that is gone fails sooner or later, and never ends the process.
    let mut failed = false;
    for _ in 0..100 {
        let data = Buf::copy_from_slice(&[0; 10_000]).into();
        failed |= server.write(data).await.is_err();
        runtime::sleep(Duration::from_millis(1)).await;
    }
    assert!(failed);
}

async fn shutdown_wakes_a_reader(_: PathBuf) {
    let (client, server) = pair().await;
    let reader = {
        let client = client.clone();
        runtime::spawn(Class::Admin, "reader", async move {
            client.read(BufMut::with_capacity(10)).await.0
        })
    };
    runtime::sleep(Duration::from_millis(10)).await;
    assert!(!reader.is_finished());
    client.shutdown();
    let result = reader.await.expect("not aborted");
    assert!(matches!(result, Ok(0) | Err(_)));
    let (result, _) = server.read(BufMut::with_capacity(10)).await;
    assert!(matches!(result, Ok(0) | Err(_)));
}

async fn connecting_to_nobody_is_refused(_: PathBuf) {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let listener = TcpListener::bind(addr).await.expect("binds");
    let addr = listener.local_addr();
    let taken = TcpListener::bind(addr).await.err().expect("is taken");
    assert_eq!(taken.kind(), ErrorKind::AddrInUse);
    drop(listener);
    runtime::sleep(Duration::from_millis(50)).await;
    let refused = TcpStream::connect(addr).await.err().expect("nobody there");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

async fn hosts_have_addresses_or_are_unknown(_: PathBuf) {
    for (host, address) in [
        ("localhost", "127.0.0.1:7"),
        ("10.1.2.3", "10.1.2.3:7"),
        ("::1", "[::1]:7"),
    ] {
        let found = look_up(host, 7).await.expect("no name to look up");
        assert_eq!(found, [address.parse().expect("an address")]);
    }
    let unknown = look_up("no name", 7)
        .await
        .expect_err("nobody is called so");
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

async fn a_dropped_accept_takes_no_connection(_: PathBuf) {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let listener = Rc::new(TcpListener::bind(addr).await.expect("binds"));
    let addr = listener.local_addr();
    for _ in 0..20 {
        let timed = runtime::timeout(Duration::from_millis(1), listener.accept()).await;
        assert!(timed.is_err());
    }
    // Cancellation has come through: the next connection is not taken by a ghost.
    runtime::sleep(Duration::from_millis(10)).await;
    let accepting = {
        let listener = listener.clone();
        runtime::spawn(Class::Admin, "accept", async move {
            listener.accept().await.expect("accepts").0
        })
    };
    let client = TcpStream::connect(addr).await.expect("connects");
    let server = accepting.await.expect("not aborted");
    client
        .write(Buf::copy_from_slice(b"hi").into())
        .await
        .expect("writes");
    assert_eq!(read_exactly(&server, 2).await, b"hi");
}

async fn a_dropped_read_ends(_: PathBuf) {
    let (client, server) = pair().await;
    for _ in 0..100 {
        let read = server.read(BufMut::with_capacity(4096));
        assert!(
            runtime::timeout(Duration::from_micros(100), read)
                .await
                .is_err()
        );
    }
    runtime::sleep(Duration::from_millis(10)).await;
    client
        .write(Buf::copy_from_slice(b"still here").into())
        .await
        .expect("writes");
    assert_eq!(read_exactly(&server, 10).await, b"still here");
}

async fn many_connections_at_once(_: PathBuf) {
    let addr = "127.0.0.1:0".parse().expect("an address");
    let listener = TcpListener::bind(addr).await.expect("binds");
    let addr = listener.local_addr();
    let server = runtime::spawn(Class::Admin, "listener", async move {
        loop {
            let (stream, _) = listener.accept().await.expect("accepts");
            drop(runtime::spawn(Class::Produce, "connection", async move {
                loop {
                    let (result, buf) = stream.read(BufMut::with_capacity(4096)).await;
                    if result.expect("reads") == 0 {
                        return;
                    }
                    stream.write(buf.freeze().into()).await.expect("writes");
                }
            }));
        }
    });
    let clients: Vec<_> = (0..200u32)
        .map(|i| {
            runtime::spawn(Class::Fetch, "client", async move {
                let stream = TcpStream::connect(addr).await.expect("connects");
                for round in 0..20u32 {
                    let message = (i * 1000 + round).to_le_bytes();
                    let data = Buf::copy_from_slice(&message).into();
                    stream.write(data).await.expect("writes");
                    assert_eq!(read_exactly(&stream, 4).await, message);
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("not aborted");
    }
    server.abort();
    assert!(server.await.is_err());
}
