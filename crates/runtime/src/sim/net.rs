//! The simulated network: TCP as hosts see it, with latency, splits, stalls, resets and dead peers.
//!
//! # Place       one per simulated world; hosts refer to their ends of connections by number
//! # Invariants
//! 1. Each direction of a connection is one byte string: what is read is a prefix of what was written, in order.
//! 2. A connection whose host lost power says nothing to its peer (half-open); one whose process was killed is
//!    closed by its kernel.
//! # Limits      bytes under way and unread in one direction: `BUFFER_BYTES`; connections waiting for accept:
//!   `BACKLOG`
//! # Instead of  packets: loss and reordering below TCP show above it only as delay, and that is what is modelled

use super::{HostId, NetFaults, rng::Rng};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

/// One end of a simulated connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EndId(pub(crate) u32);

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerId(pub(crate) u32);

/// What happens on the wire at a point in time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NetEvent {
    /// The next `bytes` written towards `to` become readable there.
    Arrive {
        to: EndId,
        from: EndId,
        bytes: usize,
    },
    Fin {
        to: EndId,
        from: EndId,
    },
    Reset {
        to: EndId,
        code: i32,
    },
    Syn {
        from: EndId,
        tries: u32,
    },
    SynAck {
        to: EndId,
        peer: EndId,
    },
    /// The sender gives up when its bytes still were not taken.
    GiveUp {
        from: EndId,
        acked: u64,
    },
}

/// Who may get on with what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ready {
    Readable(EndId),
    Writable(EndId),
    Connected(EndId),
    Acceptable(ListenerId),
}

/// Linux' default receive window is of this order.
const BUFFER_BYTES: usize = 256 << 10;
const BACKLOG: usize = 128;
const SYN_TRIES: u32 = 5;
const SYN_RETRY: Duration = Duration::from_secs(1);
/// Kernels retransmit for minutes; a quarter of one keeps simulated runs short and is as good for the code above.
const GIVE_UP: Duration = Duration::from_secs(15);
const PORT_FIRST: u16 = 32_768;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Connecting,
    Open,
    Failed(i32),
}

struct End {
    host: HostId,
    peer: Option<EndId>,
    local: SocketAddr,
    remote: SocketAddr,
    remote_host: Option<HostId>,
    state: State,
    /// Bytes on their way to this end, and unread ones.
    incoming: VecDeque<u8>,
    /// How many of `incoming` have arrived.
    arrived: usize,
    /// Of the bytes this end wrote: how many, and how many arrived.
    sent: u64,
    acked: u64,
    fin_arrived: bool,
    fin_sent: bool,
    /// Nothing written later arrives before this.
    last_arrival: u64,
    /// Events that wait for the split between the hosts to heal.
    held: Vec<NetEvent>,
}

struct Listener {
    host: HostId,
    addr: SocketAddr,
    backlog: VecDeque<EndId>,
}

pub(crate) struct Net {
    faults: NetFaults,
    pub(crate) rng: Rng,
    ends: BTreeMap<EndId, End>,
    end_next: u32,
    listeners: BTreeMap<ListenerId, Listener>,
    listener_next: u32,
    ports: BTreeMap<HostId, u16>,
    splits: BTreeSet<(HostId, HostId)>,
    down: BTreeSet<HostId>,
    pub(crate) events: Vec<(u64, NetEvent)>,
    pub(crate) ready: Vec<Ready>,
}

fn errno(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Address of a host: 10.0.0.0/8 by number, from 1.
pub(crate) fn host_ip(host: HostId) -> IpAddr {
    let [_, b, c, d] = (host.0 + 1).to_be_bytes();
    IpAddr::V4(Ipv4Addr::new(10, b, c, d))
}

fn host_of(ip: IpAddr) -> Option<HostId> {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            (a == 10)
                .then(|| u32::from_be_bytes([0, b, c, d]).checked_sub(1).map(HostId))
                .flatten()
        }
        IpAddr::V6(_) => None,
    }
}

impl Net {
    pub(crate) fn new(faults: NetFaults, rng: Rng) -> Self {
        Self {
            faults,
            rng,
            ends: BTreeMap::new(),
            end_next: 1,
            listeners: BTreeMap::new(),
            listener_next: 1,
            ports: BTreeMap::new(),
            splits: BTreeSet::new(),
            down: BTreeSet::new(),
            events: Vec::new(),
            ready: Vec::new(),
        }
    }

    pub(crate) fn set_faults(&mut self, faults: NetFaults) {
        self.faults = faults;
    }

    // ---- sockets ----

    pub(crate) fn listen(
        &mut self,
        host: HostId,
        addr: SocketAddr,
    ) -> io::Result<(ListenerId, SocketAddr)> {
        let mut addr = addr;
        if addr.port() == 0 {
            addr.set_port(self.free_port(host));
        }
        let taken =
            |listener: &Listener| listener.host == host && listener.addr.port() == addr.port();
        if self.listeners.values().any(taken) {
            return Err(errno(libc::EADDRINUSE));
        }
        let id = ListenerId(self.listener_next);
        self.listener_next += 1;
        let backlog = VecDeque::new();
        self.listeners.insert(
            id,
            Listener {
                host,
                addr,
                backlog,
            },
        );
        Ok((id, addr))
    }

    fn free_port(&mut self, host: HostId) -> u16 {
        let next = self.ports.entry(host).or_insert(PORT_FIRST);
        let port = *next;
        *next = next.checked_add(1).unwrap_or(PORT_FIRST);
        port
    }

    pub(crate) fn close_listener(&mut self, id: ListenerId, now: u64) {
        if let Some(listener) = self.listeners.remove(&id) {
            for end in listener.backlog {
                self.close(end, now);
            }
        }
    }

    /// Takes an established connection off the backlog.
    pub(crate) fn accept(&mut self, id: ListenerId) -> Option<io::Result<(EndId, SocketAddr)>> {
        let Some(listener) = self.listeners.get_mut(&id) else {
            return Some(Err(errno(libc::EBADF)));
        };
        let end = listener.backlog.pop_front()?;
        let remote = self.ends.get(&end).map(|end| end.remote);
        remote.map(|remote| Ok((end, remote)))
    }

    /// Starts a connection; `Ready::Connected` comes when `connected` has an answer.
    pub(crate) fn connect(&mut self, host: HostId, remote: SocketAddr, now: u64) -> EndId {
        let remote_host = if remote.ip().is_loopback() {
            Some(host)
        } else {
            host_of(remote.ip())
        };
        let local = SocketAddr::new(host_ip(host), self.free_port(host));
        let id = self.add_end(End::new(host, local, remote, remote_host));
        let at = now + self.delay(Some(host) == remote_host);
        self.events.push((at, NetEvent::Syn { from: id, tries: 0 }));
        id
    }

    fn add_end(&mut self, end: End) -> EndId {
        let id = EndId(self.end_next);
        self.end_next += 1;
        self.ends.insert(id, end);
        id
    }

    /// How the connection attempt went, once it is over.
    pub(crate) fn connected(&self, id: EndId) -> Option<io::Result<()>> {
        match self.ends.get(&id).map(|end| end.state) {
            None => Some(Err(errno(libc::EBADF))),
            Some(State::Connecting) => None,
            Some(State::Open) => Some(Ok(())),
            Some(State::Failed(code)) => Some(Err(errno(code))),
        }
    }

    /// Reads what has arrived: `None` when there is nothing yet, 0 at the end of the stream.
    pub(crate) fn recv(&mut self, id: EndId, out: &mut [u8]) -> Option<io::Result<usize>> {
        let Some(end) = self.ends.get_mut(&id) else {
            return Some(Err(errno(libc::ENOTCONN)));
        };
        if end.arrived == 0 {
            return match end.state {
                State::Failed(code) => Some(Err(errno(code))),
                _ if end.fin_arrived => Some(Ok(0)),
                _ => None,
            };
        }
        let mut bytes = end.arrived.min(out.len());
        if self.rng.chance(self.faults.split) && bytes > 1 {
            bytes = self.rng.between(1, bytes as u64 - 1) as usize;
        }
        take_front(&mut end.incoming, &mut out[..bytes]);
        end.arrived -= bytes;
        if let Some(peer) = end.peer {
            self.ready.push(Ready::Writable(peer));
        }
        Some(Ok(bytes))
    }

    /// Writes as much as the window takes: `None` when it takes nothing yet.
    pub(crate) fn send(
        &mut self,
        id: EndId,
        data: &[&[u8]],
        now: u64,
    ) -> Option<io::Result<usize>> {
        let Some(end) = self.ends.get(&id) else {
            return Some(Err(errno(libc::EPIPE)));
        };
        if let State::Failed(code) = end.state {
            return Some(Err(errno(code)));
        }
        if end.fin_sent {
            return Some(Err(errno(libc::EPIPE)));
        }
        let (host, peer) = (end.host, end.peer);
        let local = end.remote_host == Some(host);
        if !local && self.rng.chance(self.faults.reset) {
            self.reset_both(id, now);
            return Some(Err(errno(libc::ECONNRESET)));
        }
        let wanted: usize = data.iter().map(|part| part.len()).sum();
        let Some(peer) = peer.filter(|peer| self.ends.contains_key(peer)) else {
            // The peer's host is gone: bytes go nowhere until somebody says so.
            return Some(Ok(self.send_into_void(id, wanted, now)));
        };
        let room = BUFFER_BYTES - self.ends[&peer].incoming.len().min(BUFFER_BYTES);
        let bytes = wanted.min(room);
        if bytes == 0 && wanted > 0 {
            return None;
        }
        let mut left = bytes;
        let incoming = &mut self.ends.get_mut(&peer).expect("checked above").incoming;
        for part in data {
            let taken = part.len().min(left);
            incoming.extend(&part[..taken]);
            left -= taken;
        }
        self.schedule_arrivals(id, peer, bytes, local, now);
        Some(Ok(bytes))
    }

    fn send_into_void(&mut self, id: EndId, bytes: usize, now: u64) -> usize {
        let at = now + self.delay(false);
        let end = self.ends.get_mut(&id).expect("the caller has it");
        end.sent += bytes as u64;
        let restarted = end
            .remote_host
            .is_some_and(|host| !self.down.contains(&host));
        let event = if restarted {
            // The restarted kernel does not know the connection.
            NetEvent::Reset {
                to: id,
                code: libc::ECONNRESET,
            }
        } else {
            let acked = end.acked;
            NetEvent::GiveUp { from: id, acked }
        };
        let wait = if restarted {
            0
        } else {
            GIVE_UP.as_nanos() as u64
        };
        self.events.push((at + wait, event));
        bytes
    }

    fn schedule_arrivals(&mut self, from: EndId, to: EndId, bytes: usize, local: bool, now: u64) {
        let mut left = bytes;
        while left > 0 {
            let mut part = left;
            if self.rng.chance(self.faults.split) && left > 1 {
                part = self.rng.between(1, left as u64 - 1) as usize;
            }
            left -= part;
            let at = self.arrival(from, local, now);
            self.events.push((
                at,
                NetEvent::Arrive {
                    to,
                    from,
                    bytes: part,
                },
            ));
        }
        let end = self.ends.get_mut(&from).expect("the caller has it");
        end.sent += bytes as u64;
    }

    /// When what is written now arrives: after everything written before.
    fn arrival(&mut self, from: EndId, local: bool, now: u64) -> u64 {
        let mut at = now + self.delay(local);
        if !local && self.rng.chance(self.faults.stall) {
            at += self.rng.between(10_000_000, 2_000_000_000);
        }
        let end = self.ends.get_mut(&from).expect("the caller has it");
        at = at.max(end.last_arrival);
        end.last_arrival = at;
        at
    }

    fn delay(&mut self, local: bool) -> u64 {
        let drawn = self.rng.duration(self.faults.latency).as_nanos() as u64;
        if local { drawn.min(20_000) } else { drawn }
    }

    /// No more bytes from this end; reading ends, too.
    pub(crate) fn shutdown(&mut self, id: EndId, now: u64) {
        self.finish(id, now);
        if let Some(end) = self.ends.get_mut(&id) {
            end.fin_arrived = true;
            end.incoming.clear();
            end.arrived = 0;
            self.ready.push(Ready::Readable(id));
            self.ready.push(Ready::Writable(id));
        }
    }

    fn finish(&mut self, id: EndId, now: u64) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        if end.fin_sent || end.state != State::Open {
            return;
        }
        let local = end.remote_host == Some(end.host);
        let peer = end.peer;
        let at = self.arrival(id, local, now);
        self.ends.get_mut(&id).expect("found above").fin_sent = true;
        if let Some(to) = peer {
            self.events.push((at, NetEvent::Fin { to, from: id }));
        }
    }

    /// The descriptor is gone. Unread bytes turn the farewell into a reset, as Linux does.
    pub(crate) fn close(&mut self, id: EndId, now: u64) {
        let Some(end) = self.ends.get(&id) else {
            return;
        };
        if end.arrived > 0 {
            if let Some(to) = end.peer {
                let at = now + self.delay(false);
                let code = libc::ECONNRESET;
                self.events.push((at, NetEvent::Reset { to, code }));
            }
        } else {
            self.finish(id, now);
        }
        self.forget(id);
    }

    fn forget(&mut self, id: EndId) {
        if let Some(end) = self.ends.remove(&id)
            && let Some(peer) = end.peer.and_then(|peer| self.ends.get_mut(&peer))
        {
            peer.peer = None;
        }
    }

    fn reset_both(&mut self, id: EndId, now: u64) {
        if let Some(to) = self.ends.get(&id).and_then(|end| end.peer) {
            let at = now + self.delay(false);
            let code = libc::ECONNRESET;
            self.events.push((at, NetEvent::Reset { to, code }));
        }
        self.fail(id, libc::ECONNRESET);
    }

    fn fail(&mut self, id: EndId, code: i32) {
        if let Some(end) = self.ends.get_mut(&id) {
            let connecting = end.state == State::Connecting;
            end.state = State::Failed(code);
            if self.rng.chance(0.5) {
                // Whether what arrived before a reset can still be read is a race in the kernel, too.
                end.incoming.clear();
                end.arrived = 0;
            }
            self.ready.push(if connecting {
                Ready::Connected(id)
            } else {
                Ready::Readable(id)
            });
            self.ready.push(Ready::Writable(id));
        }
    }

    // ---- what the wire does ----

    pub(crate) fn on_event(&mut self, event: NetEvent, now: u64) {
        match event {
            NetEvent::Arrive { to, from, bytes } => {
                if self.hold(from, to, event, now) {
                    return;
                }
                if let Some(end) = self.ends.get_mut(&from) {
                    end.acked += bytes as u64;
                }
                if let Some(end) = self.ends.get_mut(&to)
                    && end.state == State::Open
                {
                    end.arrived = (end.arrived + bytes).min(end.incoming.len());
                    self.ready.push(Ready::Readable(to));
                } else {
                    self.reset_unknown(from, now);
                }
            }
            NetEvent::Fin { to, from } => {
                if self.hold(from, to, event, now) {
                    return;
                }
                if let Some(end) = self.ends.get_mut(&to) {
                    end.fin_arrived = true;
                    self.ready.push(Ready::Readable(to));
                }
            }
            NetEvent::Reset { to, code } => self.fail(to, code),
            NetEvent::Syn { from, tries } => self.on_syn(from, tries, now),
            NetEvent::SynAck { to, peer } => {
                let peer_alive = self.ends.contains_key(&peer);
                if let Some(end) = self.ends.get_mut(&to)
                    && end.state == State::Connecting
                {
                    end.state = State::Open;
                    end.peer = peer_alive.then_some(peer);
                    self.ready.push(Ready::Connected(to));
                }
            }
            NetEvent::GiveUp { from, acked } => {
                if self
                    .ends
                    .get(&from)
                    .is_some_and(|end| end.acked == acked && end.sent > acked)
                {
                    self.fail(from, libc::ETIMEDOUT);
                }
            }
        }
    }

    /// Keeps an event back while its hosts are split. The sender gives up if that lasts.
    fn hold(&mut self, from: EndId, to: EndId, event: NetEvent, now: u64) -> bool {
        let Some(receiver) = self.ends.get(&to) else {
            return false;
        };
        let sender_host = receiver.remote_host;
        if !sender_host.is_some_and(|host| self.is_split(host, receiver.host)) {
            return false;
        }
        self.ends
            .get_mut(&to)
            .expect("found above")
            .held
            .push(event);
        if let Some(sender) = self.ends.get(&from) {
            let acked = sender.acked;
            let at = now + GIVE_UP.as_nanos() as u64;
            self.events.push((at, NetEvent::GiveUp { from, acked }));
        }
        true
    }

    fn reset_unknown(&mut self, to: EndId, now: u64) {
        if self.ends.contains_key(&to) {
            let at = now + self.delay(false);
            let code = libc::ECONNRESET;
            self.events.push((at, NetEvent::Reset { to, code }));
        }
    }

    fn on_syn(&mut self, from: EndId, tries: u32, now: u64) {
        let Some(end) = self.ends.get(&from) else {
            return;
        };
        let (host, local, remote) = (end.host, end.local, end.remote);
        let remote_host = end.remote_host;
        let Some(to_host) =
            remote_host.filter(|to| !self.down.contains(to) && !self.is_split(host, *to))
        else {
            return self.retry_syn(from, tries, now);
        };
        let found = self.listeners.iter_mut().find(|(_, listener)| {
            listener.host == to_host && listener.addr.port() == remote.port()
        });
        let Some((&listener_id, listener)) = found else {
            let at = now + self.delay(host == to_host);
            let code = libc::ECONNREFUSED;
            self.events.push((at, NetEvent::Reset { to: from, code }));
            return;
        };
        if listener.backlog.len() >= BACKLOG {
            return self.retry_syn(from, tries, now);
        }
        let mut accepted = End::new(to_host, remote, local, Some(host));
        accepted.peer = Some(from);
        accepted.state = State::Open;
        let accepted = self.add_end(accepted);
        let listener = self.listeners.get_mut(&listener_id).expect("found above");
        listener.backlog.push_back(accepted);
        self.ready.push(Ready::Acceptable(listener_id));
        let at = now + self.delay(host == to_host);
        // The first bytes back may not overtake the acknowledgement.
        self.ends
            .get_mut(&accepted)
            .expect("just added")
            .last_arrival = at;
        self.events.push((
            at,
            NetEvent::SynAck {
                to: from,
                peer: accepted,
            },
        ));
    }

    fn retry_syn(&mut self, from: EndId, tries: u32, now: u64) {
        if tries + 1 >= SYN_TRIES {
            return self.fail(from, libc::ETIMEDOUT);
        }
        let at = now + (SYN_RETRY * 2_u32.pow(tries)).as_nanos() as u64;
        let tries = tries + 1;
        self.events.push((at, NetEvent::Syn { from, tries }));
    }

    // ---- hosts and splits ----

    fn is_split(&self, a: HostId, b: HostId) -> bool {
        self.splits.contains(&(a.min(b), a.max(b)))
    }

    pub(crate) fn split(&mut self, a: HostId, b: HostId) {
        self.splits.insert((a.min(b), a.max(b)));
    }

    /// Ends all splits; what was held arrives after one more latency.
    pub(crate) fn heal(&mut self, now: u64) {
        self.splits.clear();
        let ids: Vec<EndId> = self.ends.keys().copied().collect();
        for id in ids {
            let held = std::mem::take(&mut self.ends.get_mut(&id).expect("listed above").held);
            if held.is_empty() {
                continue;
            }
            let at = now + self.delay(false);
            self.events
                .extend(held.into_iter().map(|event| (at, event)));
        }
    }

    /// The host is up again, with no memory of its connections.
    pub(crate) fn host_up(&mut self, host: HostId) {
        self.down.remove(&host);
    }

    /// The host stopped: silently (power), or with its kernel closing what the process had open.
    pub(crate) fn host_down(&mut self, host: HostId, silently: bool, now: u64) {
        let listeners: Vec<ListenerId> = self
            .listeners
            .iter()
            .filter(|(_, listener)| listener.host == host)
            .map(|(id, _)| *id)
            .collect();
        for id in listeners {
            if silently {
                self.listeners.remove(&id);
            } else {
                self.close_listener(id, now);
            }
        }
        let ends: Vec<EndId> = self
            .ends
            .iter()
            .filter(|(_, end)| end.host == host)
            .map(|(id, _)| *id)
            .collect();
        for id in ends {
            if silently {
                self.forget(id);
            } else {
                self.close(id, now);
            }
        }
        if silently {
            self.down.insert(host);
        }
    }
}

impl End {
    fn new(
        host: HostId,
        local: SocketAddr,
        remote: SocketAddr,
        remote_host: Option<HostId>,
    ) -> Self {
        Self {
            host,
            peer: None,
            local,
            remote,
            remote_host,
            state: State::Connecting,
            incoming: VecDeque::new(),
            arrived: 0,
            sent: 0,
            acked: 0,
            fin_arrived: false,
            fin_sent: false,
            last_arrival: 0,
            held: Vec::new(),
        }
    }
}

/// Moves the front of `from` into `out`.
fn take_front(from: &mut VecDeque<u8>, out: &mut [u8]) {
    let (first, second) = from.as_slices();
    let split = first.len().min(out.len());
    out[..split].copy_from_slice(&first[..split]);
    let rest = out.len() - split;
    out[split..].copy_from_slice(&second[..rest]);
    from.drain(..out.len());
}

#[cfg(test)]
mod tests;
