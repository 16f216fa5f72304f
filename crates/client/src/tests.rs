//! Tests of the client against brokers that misbehave, in simulation.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, time::Duration};

use iobuf::{BufMut, IoBuf};
use runtime::{
    Class,
    net::{TcpListener, TcpStream},
    sim::{Sim, SimConfig},
};

use crate::{Client, ClientConfig, client::split_host};

const PORT: u16 = 9092;

#[test]
fn hosts_have_ports() {
    for (text, host, port) in [
        ("localhost", "localhost", 9092),
        ("log.example:19092", "log.example", 19092),
        ("10.0.0.1:1", "10.0.0.1", 1),
        ("[::1]:19092", "::1", 19092),
        ("[::1]", "::1", 9092),
        ("::1", "::1", 9092),
        ("host:notaport", "host:notaport", 9092),
        ("", "", 9092),
    ] {
        assert_eq!(split_host(text), (host, port), "{text}");
    }
}

/// Answers every request with `answer`, in which `CCCC` stands for the request's correlation id.
async fn misbehave(stream: TcpStream, answer: Rc<[u8]>) {
    let mut buffer = BufMut::with_capacity(4096);
    loop {
        let (read, filled) = stream.read(buffer).await;
        if !matches!(read, Ok(1..)) {
            return;
        }
        let mut bytes = answer.to_vec();
        if let Some(at) = bytes.windows(4).position(|four| four == b"CCCC") {
            bytes[at..at + 4].copy_from_slice(&filled[8..12]);
        }
        if bytes.is_empty() {
            return stream.shutdown();
        }
        if stream.write(IoBuf::from(bytes)).await.is_err() {
            return;
        }
        buffer = BufMut::with_capacity(4096);
    }
}

/// What connecting to a broker that answers so ends in.
fn connect_to(answer: &[u8]) -> String {
    let sim = Sim::new(SimConfig::new(1));
    let answer: Rc<[u8]> = answer.into();
    let broker = sim.host("broker", 1, move || {
        let answer = answer.clone();
        async move {
            let addr = SocketAddr::from(([0, 0, 0, 0], PORT));
            let listener = TcpListener::bind(addr).await.expect("the port is free");
            while let Ok((stream, _)) = listener.accept().await {
                let misbehaving = misbehave(stream, answer.clone());
                drop(runtime::spawn(Class::Admin, "misbehave", misbehaving));
            }
        }
    });
    let client = sim.host("client", 1, std::future::pending);
    let at = format!("{}:{PORT}", sim.ip(broker));
    let error = Rc::new(RefCell::new(String::new()));
    let seen = error.clone();
    sim.run_on(client, Duration::from_secs(60), async move {
        let mut config = ClientConfig::new(vec![at]);
        config.request_timeout = Duration::from_secs(5);
        config.response_bytes_max = 1 << 20;
        *seen.borrow_mut() = match Client::connect(config).await {
            Ok(_) => "connected".into(),
            Err(error) => error.to_string(),
        };
    })
    .expect("the client gives up in time");
    error.take()
}

#[test]
fn a_broker_that_misbehaves_is_an_error() {
    let cases: [(&[u8], &str); 9] = [
        (b"", "closed by the broker"),
        (
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            "a frame of 1213486160 bytes",
        ),
        (b"\xFF\xFF\xFF\xFF", "a frame of -1 bytes"),
        (b"\0\0\0\x02ab", "without correlation id"),
        (
            b"\0\0\0\x04\0\0\x30\x39",
            "correlation id 12345 where 0 was due",
        ),
        // Half a frame, and then nothing.
        (b"\0\0\x03\xE8CCCC", "no answer within 5s"),
        // An ApiVersions answer that ends after its error code, and one with two thousand million entries.
        (
            b"\0\0\0\x06CCCC\0\0",
            "cannot understand the answer to ApiVersions",
        ),
        (
            b"\0\0\0\x0BCCCC\0\0\xFF\xFF\xFF\xFF\x07",
            "cannot understand the answer to ApiVersions",
        ),
        // It knows no request at all.
        (
            b"\0\0\0\x0CCCCC\0\0\x01\0\0\0\0\0",
            "the broker offers None of Metadata",
        ),
    ];
    for (answer, wanted) in cases {
        let error = connect_to(answer);
        assert!(error.contains(wanted), "{error:?} instead of {wanted:?}");
    }
}
