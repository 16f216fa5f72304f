//! Everything simulated that is not a task: virtual time, hosts' disks, the network, and operations under way.
//!
//! # Place       one per `Sim`, shared by the drivers of all its shards, on one thread
//! # Invariants
//! 1. An operation completes once, never from inside `submit` or `cancel`.
//! 2. Events of one instant happen in the order in which they were scheduled.
//! 3. What an operation of a stopped host had not done by then is done in part or not at all, as the seed says.
//! # Yields      never; no task runs while the world is borrowed

use super::{
    DiskFaults, HostId, SimConfig,
    disk::{Disk, DiskHandle},
    net::{EndId, ListenerId, Net, NetEvent, Ready, host_ip},
    rng::{Rng, Stream},
    trace::Trace,
};
use crate::ops::{Completion, Errno, Fd, Op, OpKey, Outcome, Value};
use std::{
    cell::Cell,
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
    io,
    rc::Rc,
    time::Duration,
};

/// Virtual wall clock at the start: 2026-01-01T00:00:00Z.
const WALL_START_MS: i64 = 1_767_225_600_000;
/// What a socket call costs at least.
const CALL: Duration = Duration::from_micros(1);

/// An operation under way, and which use of its number it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OpId {
    index: u32,
    generation: u32,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Due(OpId),
    Net(NetEvent),
}

struct Scheduled {
    at: u64,
    seq: u64,
    event: Event,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.seq).cmp(&(other.at, other.seq))
    }
}

struct Pending {
    host: HostId,
    shard: u16,
    key: OpKey,
    op: Op,
    /// The disk's effects when the operation was asked for.
    mark: u64,
    is_cancelled: bool,
    /// The end that a connect is opening.
    end: Option<EndId>,
}

struct Slot {
    generation: u32,
    pending: Option<Pending>,
}

#[derive(Clone, Copy)]
enum Resource {
    File(DiskHandle),
    Lock(u32),
    Listener(ListenerId),
    End(EndId),
}

/// One machine: what of it is not a task.
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) disk: Disk,
    resources: BTreeMap<Fd, Resource>,
    fd_next: i32,
    /// Completions for each shard, in order.
    pub(super) inboxes: Vec<VecDeque<Completion>>,
    /// Randomness that the product asks for.
    pub(super) product: Rng,
    wall_offset_ms: i64,
}

pub(super) struct World {
    /// Nanoseconds since the start, shared with the shards' clocks.
    pub(super) clock: Rc<Cell<u64>>,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(super) machines: Vec<Machine>,
    pub(super) net: Net,
    slots: Vec<Slot>,
    free: Vec<u32>,
    reading: BTreeMap<EndId, VecDeque<OpId>>,
    writing: BTreeMap<EndId, VecDeque<OpId>>,
    connecting: BTreeMap<EndId, OpId>,
    accepting: BTreeMap<ListenerId, VecDeque<OpId>>,
    pub(super) scheduling: Rng,
    pub(super) test: Rng,
    permits: Rng,
    permit_shortage: f64,
    crash: Rng,
    pub(super) trace: Trace,
    /// Completions in all inboxes.
    pub(super) completed: usize,
    seed: u64,
    disk_faults: DiskFaults,
}

impl World {
    pub(super) fn new(config: &SimConfig) -> Self {
        let seed = config.seed;
        Self {
            clock: Rc::new(Cell::new(0)),
            queue: BinaryHeap::new(),
            scheduled: 0,
            machines: Vec::new(),
            net: Net::new(config.net.clone(), Rng::stream(seed, Stream::Net, 0)),
            slots: Vec::new(),
            free: Vec::new(),
            reading: BTreeMap::new(),
            writing: BTreeMap::new(),
            connecting: BTreeMap::new(),
            accepting: BTreeMap::new(),
            scheduling: Rng::stream(seed, Stream::Scheduling, 0),
            test: Rng::stream(seed, Stream::Test, 0),
            permits: Rng::stream(seed, Stream::Permits, 0),
            permit_shortage: config.permit_shortage,
            crash: Rng::stream(seed, Stream::Crash, u64::MAX),
            trace: Trace::new(config.trace_lines),
            completed: 0,
            seed,
            disk_faults: config.disk.clone(),
        }
    }

    /// Draws nothing unless it is asked for, so that seeds mean the same with and without.
    pub(super) fn permit_shortage(&mut self) -> Option<Duration> {
        let runs_out = self.permit_shortage > 0.0 && self.permits.chance(self.permit_shortage);
        runs_out.then(|| Duration::from_micros(1 + self.permits.below(20_000)))
    }

    pub(super) fn add_machine(&mut self, name: &str, shards: u16) -> HostId {
        let number = self.machines.len() as u64;
        let mut product = Rng::stream(self.seed, Stream::Product, number);
        let wall_offset_ms = product.below(1000) as i64 - 500;
        self.machines.push(Machine {
            name: name.to_owned(),
            disk: Disk::new(
                self.disk_faults.clone(),
                Rng::stream(self.seed, Stream::Disk, number),
                Rng::stream(self.seed, Stream::Crash, number),
            ),
            resources: BTreeMap::new(),
            fd_next: 3,
            inboxes: (0..shards).map(|_| VecDeque::new()).collect(),
            product,
            wall_offset_ms,
        });
        HostId(number as u32)
    }

    pub(super) fn machine(&mut self, host: HostId) -> &mut Machine {
        &mut self.machines[host.0 as usize]
    }

    /// What the host's wall clock shows at the start of the run.
    /// For the host's next start.
    pub(super) fn set_shards(&mut self, host: HostId, shards: u16) {
        let inboxes = &mut self.machine(host).inboxes;
        inboxes.clear();
        inboxes.resize_with(usize::from(shards), VecDeque::new);
    }

    pub(super) fn wall_start_ms(&self, host: HostId) -> i64 {
        WALL_START_MS + self.machines[host.0 as usize].wall_offset_ms
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.get()
    }

    // ---- events ----

    fn schedule(&mut self, at: u64, event: Event) {
        let seq = self.scheduled;
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at, seq, event }));
    }

    fn schedule_after(&mut self, delay: Duration, event: Event) {
        self.schedule(self.now() + delay.as_nanos() as u64, event);
    }

    fn collect_net(&mut self) {
        let mut events = std::mem::take(&mut self.net.events);
        for (at, event) in events.drain(..) {
            self.schedule(at, Event::Net(event));
        }
        self.net.events = events;
        let mut all_ready = std::mem::take(&mut self.net.ready);
        for ready in all_ready.drain(..) {
            self.on_ready(ready);
        }
        self.net.ready = all_ready;
    }

    /// When something happens next.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.queue.peek().map(|Reverse(next)| next.at)
    }

    /// Lets happen what is due by now; completions land in the inboxes.
    pub(super) fn advance(&mut self, now: u64) {
        self.clock.set(self.now().max(now));
        while self.next_at().is_some_and(|at| at <= self.now()) {
            let Some(Reverse(next)) = self.queue.pop() else {
                return;
            };
            match next.event {
                Event::Due(id) => self.on_due(id),
                Event::Net(event) => {
                    self.trace.note("net", next.at, next.seq);
                    self.net.on_event(event, self.now());
                }
            }
            self.collect_net();
        }
    }

    // ---- operations ----

    pub(super) fn submit(&mut self, host: HostId, shard: u16, key: OpKey, op: Op) -> u32 {
        let disk = &mut self.machine(host).disk;
        let mark = disk.mark();
        let mut end = None;
        let delay = match &op {
            Op::Read { bytes, .. } => disk.latency(*bytes),
            Op::Write { data, .. } => disk.latency(data.len()),
            Op::Listen { .. }
            | Op::Accept { .. }
            | Op::Receive { .. }
            | Op::Send { .. }
            | Op::Shutdown { .. }
            | Op::Close { .. } => CALL,
            Op::Connect { addr } => {
                end = Some(self.net.connect(host, *addr, self.now()));
                CALL
            }
            _ => disk.latency(0),
        };
        let id = self.add_pending(Pending {
            host,
            shard,
            key,
            op,
            mark,
            is_cancelled: false,
            end,
        });
        match end {
            Some(end) => {
                self.connecting.insert(end, id);
            }
            None => self.schedule_after(delay, Event::Due(id)),
        }
        self.collect_net();
        id.index
    }

    fn add_pending(&mut self, pending: Pending) -> OpId {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                pending: None,
            });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        slot.generation = slot.generation.wrapping_add(1);
        slot.pending = Some(pending);
        OpId {
            index,
            generation: slot.generation,
        }
    }

    fn take_pending(&mut self, id: OpId) -> Option<Pending> {
        let slot = &mut self.slots[id.index as usize];
        if slot.generation != id.generation {
            return None;
        }
        slot.pending.take()
    }

    /// Ends what waits for a peer; operations on the disk run to their end.
    pub(super) fn cancel(&mut self, host: HostId, shard: u16, index: u32, key: OpKey) {
        let Some(slot) = self.slots.get_mut(index as usize) else {
            return;
        };
        let generation = slot.generation;
        let Some(pending) = &mut slot.pending else {
            return;
        };
        if (pending.host, pending.shard, pending.key) != (host, shard, key) || pending.is_cancelled
        {
            return;
        }
        if matches!(
            pending.op,
            Op::Accept { .. } | Op::Receive { .. } | Op::Send { .. } | Op::Connect { .. }
        ) {
            pending.is_cancelled = true;
            if let Some(end) = pending.end.take() {
                self.connecting.remove(&end);
                self.net.close(end, self.now());
            }
            self.schedule_after(CALL, Event::Due(OpId { index, generation }));
        }
    }

    fn on_ready(&mut self, ready: Ready) {
        let woken = match ready {
            Ready::Readable(end) => self.reading.remove(&end),
            Ready::Writable(end) => self.writing.remove(&end),
            Ready::Acceptable(listener) => self.accepting.remove(&listener),
            Ready::Connected(end) => self.connecting.remove(&end).map(|id| VecDeque::from([id])),
        };
        for id in woken.into_iter().flatten() {
            self.schedule(self.now(), Event::Due(id));
        }
    }

    fn on_due(&mut self, id: OpId) {
        let Some(mut pending) = self.take_pending(id) else {
            return;
        };
        let outcome = if pending.is_cancelled {
            Some(Err(Errno(libc::ECANCELED)))
        } else {
            self.attempt(&mut pending)
        };
        match outcome {
            Some(outcome) => {
                self.free.push(id.index);
                self.deliver(pending, outcome);
            }
            None => self.park(id, pending),
        }
    }

    fn deliver(&mut self, pending: Pending, outcome: Outcome) {
        let code = match &outcome {
            Ok(Value::Bytes(bytes)) => *bytes as u64,
            Ok(_) => 1 << 32,
            Err(errno) => (1 << 33) | errno.0 as u64,
        };
        let Pending {
            host,
            shard,
            key,
            op,
            ..
        } = pending;
        let from = (u64::from(host.0) << 48) | (u64::from(shard) << 32) | u64::from(key.index);
        self.trace.completion(self.now(), from, code, &op, &outcome);
        self.completed += 1;
        self.machine(host).inboxes[usize::from(shard)].push_back(Completion { key, op, outcome });
    }

    /// Puts an operation that has to wait for a peer back under the same number.
    fn park(&mut self, id: OpId, pending: Pending) {
        let fd = match &pending.op {
            Op::Accept { fd } | Op::Receive { fd, .. } | Op::Send { fd, .. } => *fd,
            _ => unreachable!("only operations on sockets wait"),
        };
        let waiting = match (self.resource(pending.host, fd), &pending.op) {
            (Some(Resource::Listener(listener)), _) => self.accepting.entry(listener).or_default(),
            (Some(Resource::End(end)), Op::Send { .. }) => self.writing.entry(end).or_default(),
            (Some(Resource::End(end)), _) => self.reading.entry(end).or_default(),
            _ => unreachable!("the attempt found the socket"),
        };
        waiting.push_back(id);
        self.slots[id.index as usize].pending = Some(pending);
    }

    fn resource(&self, host: HostId, fd: Fd) -> Option<Resource> {
        self.machines[host.0 as usize].resources.get(&fd).copied()
    }

    fn add_resource(&mut self, host: HostId, resource: Resource) -> Fd {
        let machine = self.machine(host);
        let fd = Fd(machine.fd_next);
        machine.fd_next += 1;
        machine.resources.insert(fd, resource);
        fd
    }

    fn file(&self, host: HostId, fd: Fd) -> Result<DiskHandle, Errno> {
        match self.resource(host, fd) {
            Some(Resource::File(handle)) => Ok(handle),
            _ => Err(Errno(libc::EBADF)),
        }
    }

    /// Carries an operation out, or says that it has to wait.
    fn attempt(&mut self, pending: &mut Pending) -> Option<Outcome> {
        let host = pending.host;
        match &mut pending.op {
            Op::Listen { addr } => Some(
                self.net
                    .listen(host, *addr)
                    .map_err(|e| Errno::from(&e))
                    .map(|(listener, addr)| {
                        let fd = self.add_resource(host, Resource::Listener(listener));
                        Value::Socket { fd, addr }
                    }),
            ),
            Op::Accept { fd } => {
                let Some(Resource::Listener(listener)) = self.resource(host, *fd) else {
                    return Some(Err(Errno(libc::EBADF)));
                };
                Some(
                    self.net
                        .accept(listener)?
                        .map_err(|e| Errno::from(&e))
                        .map(|(end, addr)| {
                            let fd = self.add_resource(host, Resource::End(end));
                            Value::Socket { fd, addr }
                        }),
                )
            }
            Op::Connect { addr } => {
                let end = pending.end.expect("set at submit");
                let addr = *addr;
                Some(
                    self.net
                        .connected(end)?
                        .map_err(|e| Errno::from(&e))
                        .map(|()| {
                            let fd = self.add_resource(host, Resource::End(end));
                            Value::Socket { fd, addr }
                        }),
                )
            }
            Op::Receive { fd, buf } => {
                let Some(Resource::End(end)) = self.resource(host, *fd) else {
                    return Some(Err(Errno(libc::EBADF)));
                };
                let received = self.net.recv(end, buf.spare_mut())?;
                if let Ok(bytes) = received {
                    buf.set_len(buf.len() + bytes);
                }
                Some(received.map(Value::Bytes).map_err(|e| Errno::from(&e)))
            }
            Op::Send { fd, data } => {
                let Some(Resource::End(end)) = self.resource(host, *fd) else {
                    return Some(Err(Errno(libc::EBADF)));
                };
                let parts: Vec<&[u8]> = data.chunks().map(|chunk| &**chunk).collect();
                let sent = self.net.send(end, &parts, self.now())?;
                Some(sent.map(Value::Bytes).map_err(|e| Errno::from(&e)))
            }
            Op::Shutdown { fd } => {
                if let Some(Resource::End(end)) = self.resource(host, *fd) {
                    self.net.shutdown(end, self.now());
                }
                Some(Ok(Value::Done))
            }
            Op::Close { fd } => {
                let fd = *fd;
                self.close(host, fd);
                Some(Ok(Value::Done))
            }
            _ => Some(self.attempt_disk(pending)),
        }
    }

    fn close(&mut self, host: HostId, fd: Fd) {
        let machine = &mut self.machines[host.0 as usize];
        match machine.resources.remove(&fd) {
            Some(Resource::File(handle)) => machine.disk.close(handle),
            Some(Resource::Lock(lock)) => machine.disk.unlock(lock),
            Some(Resource::Listener(listener)) => self.net.close_listener(listener, self.now()),
            Some(Resource::End(end)) => self.net.close(end, self.now()),
            None => {}
        }
    }

    fn attempt_disk(&mut self, pending: &mut Pending) -> Outcome {
        let (host, mark) = (pending.host, pending.mark);
        // What it costs was drawn when it was asked for.
        if let Op::Call { work } = &mut pending.op {
            work.perform();
            return Ok(Value::Done);
        }
        let handle = match &pending.op {
            Op::Read { fd, .. }
            | Op::Write { fd, .. }
            | Op::Sync { fd, .. }
            | Op::Truncate { fd, .. }
            | Op::Allocate { fd, .. }
            | Op::Length { fd } => self.file(host, *fd)?,
            _ => return self.attempt_name(host, &pending.op),
        };
        let disk = &mut self.machines[host.0 as usize].disk;
        let result = match &mut pending.op {
            Op::Read {
                pos,
                buf,
                from,
                bytes,
                ..
            } => {
                let (from, bytes) = (*from, *bytes);
                read_into(disk, handle, *pos, buf, from..from + bytes).map(Value::Bytes)
            }
            Op::Write {
                pos,
                data,
                is_durable,
                ..
            } => {
                let parts: Vec<&[u8]> = data.chunks().map(|chunk| &**chunk).collect();
                disk.write(handle, *pos, &parts, *is_durable)
                    .map(Value::Bytes)
            }
            Op::Sync { .. } => disk.sync(handle, mark).map(|()| Value::Done),
            Op::Truncate { len, .. } => disk.truncate(handle, *len).map(|()| Value::Done),
            Op::Allocate { pos, bytes, .. } => {
                disk.allocate(handle, *pos, *bytes).map(|()| Value::Done)
            }
            Op::Length { .. } => disk.len(handle).map(Value::Length),
            _ => unreachable!("matched above"),
        };
        result.map_err(|error| Errno::from(&error))
    }

    fn attempt_name(&mut self, host: HostId, op: &Op) -> Outcome {
        let disk = &mut self.machines[host.0 as usize].disk;
        let done = |result: io::Result<()>| result.map(|()| Value::Done);
        let result = match op {
            Op::Open { path, open } => {
                let opened = disk.open(path, *open);
                opened.map(|handle| Value::Fd(self.add_resource(host, Resource::File(handle))))
            }
            Op::OpenDir { path } => {
                let opened = disk.open_dir(path);
                opened.map(|handle| Value::Fd(self.add_resource(host, Resource::File(handle))))
            }
            Op::Lock { path } => {
                let locked = disk.lock(path);
                locked.map(|lock| Value::Fd(self.add_resource(host, Resource::Lock(lock))))
            }
            Op::Rename { from, to } => done(disk.rename(from, to)),
            Op::RemoveFile { path } => done(disk.remove_file(path)),
            Op::RemoveDirAll { path } => match disk.remove_dir_all(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Value::Done),
                other => done(other),
            },
            Op::CreateDirAll { path } => done(disk.create_dir_all(path)),
            Op::ReadDir { path } => disk.read_dir(path).map(Value::Entries),
            Op::Exists { path } => disk.exists(path).map(Value::Exists),
            Op::Space { .. } => Ok(Value::Space(disk.space())),
            // Simulated hosts have addresses, and no names.
            Op::LookUp { .. } => Ok(Value::Addresses(Ok(Vec::new()))),
            _ => unreachable!("operations on descriptors are carried out by the caller"),
        };
        result.map_err(|error| Errno::from(&error))
    }

    // ---- hosts ----

    /// What becomes of a host's operations, disk and connections when it stops.
    pub(super) fn stop(&mut self, host: HostId, power_cut: bool) {
        self.trace
            .note("stop", u64::from(host.0), u64::from(power_cut));
        for index in 0..self.slots.len() {
            let slot = &mut self.slots[index];
            if slot
                .pending
                .as_ref()
                .is_some_and(|pending| pending.host == host)
            {
                let mut pending = slot.pending.take().expect("just seen");
                slot.generation = slot.generation.wrapping_add(1);
                self.free.push(index as u32);
                self.interrupt(&mut pending);
            }
        }
        let machine = self.machine(host);
        machine.resources.clear();
        let dropped: usize = machine
            .inboxes
            .iter_mut()
            .map(|inbox| inbox.drain(..).count())
            .sum();
        if power_cut {
            machine.disk.cut();
        } else {
            machine.disk.kill();
        }
        self.completed -= dropped;
        self.net.host_down(host, power_cut, self.now());
        self.collect_net();
    }

    fn interrupt(&mut self, pending: &mut Pending) {
        match &pending.op {
            Op::Write { fd, pos, data, .. } => {
                let parts: Vec<&[u8]> = data.chunks().map(|chunk| &**chunk).collect();
                if let Ok(handle) = self.file(pending.host, *fd) {
                    self.machine(pending.host)
                        .disk
                        .write_interrupted(handle, *pos, &parts);
                }
            }
            Op::Sync { .. }
            | Op::Truncate { .. }
            | Op::Allocate { .. }
            | Op::Rename { .. }
            | Op::RemoveFile { .. }
            | Op::CreateDirAll { .. }
            | Op::Open { .. }
            | Op::Call { .. }
                if self.crash.chance(0.5) =>
            {
                // Done, but nobody was told.
                let _ = self.attempt_disk(pending);
            }
            _ => {}
        }
    }

    pub(super) fn start(&mut self, host: HostId) {
        self.trace.note("start", u64::from(host.0), 0);
        self.net.host_up(host);
    }

    pub(super) fn heal(&mut self) {
        let now = self.now();
        self.net.heal(now);
        self.collect_net();
    }

    pub(super) fn trace_hash(&self) -> u64 {
        let mut hash = self.trace.hash();
        hash.add(self.now());
        for mut rng in [
            self.scheduling.clone(),
            self.crash.clone(),
            self.net.rng.clone(),
        ] {
            hash.add(rng.next_u64());
        }
        for machine in &self.machines {
            hash.add(machine.product.clone().next_u64());
            hash.add(machine.disk.draws().next_u64());
        }
        hash.get()
    }

    pub(super) fn address(host: HostId) -> std::net::IpAddr {
        host_ip(host)
    }
}

fn read_into(
    disk: &mut Disk,
    handle: DiskHandle,
    pos: u64,
    buf: &mut iobuf::BufMut,
    range: std::ops::Range<usize>,
) -> io::Result<usize> {
    let before = buf.len();
    buf.set_len(range.end);
    let read = disk.read(handle, pos, &mut buf[range]);
    buf.set_len(before);
    read
}
