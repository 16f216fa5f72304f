//! Tests of the simulated network.

use super::{HostId, ListenerId, Net, NetFaults, Ready, host_ip};
use crate::sim::rng::{Rng, Stream};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

const CLIENT: HostId = HostId(0);
const SERVER: HostId = HostId(1);

struct Wire {
    net: Net,
    now: u64,
    queue: BTreeMap<(u64, u64), super::NetEvent>,
    queued: u64,
}

impl Wire {
    fn new(seed: u64, split: f64) -> Self {
        let faults = NetFaults {
            latency: (Duration::from_micros(10), Duration::from_micros(200)),
            reset: 0.0,
            split,
            stall: 0.1,
        };
        Self {
            net: Net::new(faults, Rng::stream(seed, Stream::Net, 0)),
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
        }
    }

    fn collect(&mut self) {
        for (at, event) in std::mem::take(&mut self.net.events) {
            self.queue.insert((at, self.queued), event);
            self.queued += 1;
        }
    }

    fn step(&mut self) -> bool {
        self.collect();
        let Some(((at, _), event)) = self.queue.pop_first() else {
            return false;
        };
        self.now = at;
        self.net.on_event(event, at);
        true
    }

    fn settle(&mut self) {
        while self.step() {}
    }

    fn pair(&mut self) -> (super::EndId, super::EndId, ListenerId) {
        let (listener, addr) = self.listen();
        let client = self.net.connect(CLIENT, addr, self.now);
        self.settle();
        self.net
            .connected(client)
            .expect("answered")
            .expect("connected");
        let (server, _) = self
            .net
            .accept(listener)
            .expect("waiting")
            .expect("accepts");
        (client, server, listener)
    }

    fn listen(&mut self) -> (ListenerId, SocketAddr) {
        self.net
            .listen(SERVER, SocketAddr::new(host_ip(SERVER), 0))
            .expect("binds")
    }
}

#[test]
fn bytes_arrive_whole_and_in_order_whatever_the_pieces() {
    for seed in 0..50 {
        let mut wire = Wire::new(seed, 0.5);
        let (client, server, _) = wire.pair();
        let sent: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
        let mut received = Vec::new();
        let mut done = 0;
        let mut out = vec![0; 4000];
        while received.len() < sent.len() {
            if done < sent.len()
                && let Some(taken) = wire.net.send(client, &[&sent[done..]], wire.now)
            {
                done += taken.expect("sends");
            }
            let stepped = wire.step();
            match wire.net.recv(server, &mut out) {
                Some(bytes) => received.extend_from_slice(&out[..bytes.expect("receives")]),
                None => assert!(stepped || done < sent.len(), "stuck"),
            }
        }
        assert!(received == sent);
        wire.net.shutdown(client, wire.now);
        wire.settle();
        assert_eq!(
            wire.net
                .recv(server, &mut out)
                .expect("ends")
                .expect("cleanly"),
            0
        );
    }
}

#[test]
fn nobody_listening_is_refused() {
    let mut wire = Wire::new(1, 0.0);
    let client = wire
        .net
        .connect(CLIENT, SocketAddr::new(host_ip(SERVER), 9), 0);
    wire.settle();
    let error = wire
        .net
        .connected(client)
        .expect("answered")
        .expect_err("refused");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn window_is_bounded() {
    let mut wire = Wire::new(1, 0.0);
    let (client, server, _) = wire.pair();
    let chunk = vec![1; 100_000];
    let mut sent = 0;
    while let Some(taken) = wire.net.send(client, &[&chunk], wire.now) {
        sent += taken.expect("sends");
    }
    assert_eq!(sent, super::BUFFER_BYTES);
    wire.settle();
    let mut out = vec![0; 10];
    assert_eq!(
        wire.net
            .recv(server, &mut out)
            .expect("there")
            .expect("reads"),
        10
    );
    assert!(wire.net.ready.contains(&Ready::Writable(client)));
    assert_eq!(
        wire.net
            .send(client, &[&chunk], wire.now)
            .expect("room")
            .expect("sends"),
        10
    );
}

#[test]
fn dead_host_is_silent_until_it_is_back() {
    let mut wire = Wire::new(1, 0.0);
    let (client, _, _) = wire.pair();
    wire.net.host_down(SERVER, true, wire.now);
    wire.settle();
    let mut out = [0; 10];
    assert!(wire.net.recv(client, &mut out).is_none(), "half-open");
    wire.net.host_up(SERVER);
    wire.net
        .send(client, &[b"hello?"], wire.now)
        .expect("taken")
        .expect("sent");
    wire.settle();
    let error = wire
        .net
        .recv(client, &mut out)
        .expect("answered")
        .expect_err("reset");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNRESET));
}

#[test]
fn killed_process_is_said_goodbye_to() {
    let mut wire = Wire::new(1, 0.0);
    let (client, _, _) = wire.pair();
    wire.net.host_down(SERVER, false, wire.now);
    wire.settle();
    let mut out = [0; 10];
    assert_eq!(
        wire.net
            .recv(client, &mut out)
            .expect("ended")
            .expect("cleanly"),
        0
    );
    let again = wire
        .net
        .connect(CLIENT, SocketAddr::new(host_ip(SERVER), 32_768), wire.now);
    wire.settle();
    let error = wire
        .net
        .connected(again)
        .expect("answered")
        .expect_err("refused");
    assert_eq!(error.raw_os_error(), Some(libc::ECONNREFUSED));
}

#[test]
fn split_holds_bytes_back_until_healed() {
    let mut wire = Wire::new(1, 0.0);
    let (client, server, _) = wire.pair();
    wire.net.split(CLIENT, SERVER);
    wire.net
        .send(client, &[b"late"], wire.now)
        .expect("taken")
        .expect("sent");
    for _ in 0..1 {
        wire.step();
    }
    let mut out = [0; 10];
    assert!(wire.net.recv(server, &mut out).is_none());
    wire.net.heal(wire.now);
    wire.settle();
    assert_eq!(
        wire.net
            .recv(server, &mut out)
            .expect("there")
            .expect("reads"),
        4
    );
}

#[test]
fn long_split_ends_the_connection_and_connects_time_out() {
    let mut wire = Wire::new(1, 0.0);
    let (client, _, listener) = wire.pair();
    wire.net.split(CLIENT, SERVER);
    wire.net
        .send(client, &[b"never"], wire.now)
        .expect("taken")
        .expect("sent");
    let addr = wire.net.listeners[&listener].addr;
    let other = wire.net.connect(CLIENT, addr, wire.now);
    wire.settle();
    let mut out = [0; 10];
    let error = wire
        .net
        .recv(client, &mut out)
        .expect("over")
        .expect_err("timed out");
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
    let error = wire
        .net
        .connected(other)
        .expect("over")
        .expect_err("timed out");
    assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT));
}

#[test]
fn port_is_taken_once() {
    let mut wire = Wire::new(1, 0.0);
    let (_, addr) = wire.listen();
    let error = wire.net.listen(SERVER, addr).expect_err("taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    wire.net
        .listen(CLIENT, addr)
        .expect("another host has its own ports");
}
