//! The simulated world: hosts with disks and a network under one seed, one thread, virtual time.
//!
//! # Place       owned by a test; everything of it lives on the test's thread
//! # Invariants
//! 1. The same program and seed give the same run: every choice is drawn from a stream of the seed, no choice depends
//!    on addresses, real time or hash order (the determinism test compares trace hashes).
//! 2. Product code runs as it ships: the executor, its tasks and operations are the real ones; only the driver, the
//!    clock and the randomness under them are simulated.
//! # Yields      between polls: one task of one shard is polled at a time, chosen by the seed among all that are ready
//! # Limits      virtual time moves by `POLL` with each poll, so that tasks that spin cannot stop it

mod disk;
mod driver;
mod net;
mod rng;
mod trace;
mod world;

pub(crate) use driver::SimDriver;
pub use rng::Rng;

use crate::{
    Fatal, Instant,
    clock::{Clock, Entropy, VirtualClock},
    mesh::{Envelope, LocalMesh, Mesh},
    ops::Driver,
    ready::Pick,
    shard::{Shard, ShardSpec},
    task,
};
use base::ShardId;
use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::IpAddr,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};
use world::World;

/// What a poll takes of virtual time.
const POLL: u64 = 200;

/// Probabilities are per operation. Everything is drawn from the seed.
#[derive(Clone, Debug)]
pub struct DiskFaults {
    /// Of each operation, on top of 1 ns per byte.
    pub latency: (Duration, Duration),
    pub read_error: f64,
    /// EIO, with a front part of the data written.
    pub write_error: f64,
    /// EIO; what was not synced is lost, and the next sync succeeds.
    pub sync_error: f64,
    /// Reads and writes that do only a part of what was asked for.
    pub short_io: f64,
    /// At power cut: chance that an un-synced sector survives; each un-synced write may also be torn at sector bounds.
    pub unsynced_survives: f64,
    /// What the device writes atomically, 512 to 4096.
    pub sector_bytes: usize,
    pub capacity_bytes: u64,
}

impl DiskFaults {
    /// A disk that only power cuts hurt.
    pub fn none() -> Self {
        Self {
            latency: (Duration::from_micros(20), Duration::from_micros(300)),
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            short_io: 0.0,
            unsynced_survives: 0.5,
            sector_bytes: 512,
            capacity_bytes: 1 << 30,
        }
    }
}

#[derive(Clone, Debug)]
pub struct NetFaults {
    pub latency: (Duration, Duration),
    /// Per write: both ends get ECONNRESET.
    pub reset: f64,
    /// Per read and write: the bytes are cut at any place.
    pub split: f64,
    /// Per write: the bytes, and all after them, are late by up to two seconds.
    pub stall: f64,
}

impl NetFaults {
    /// A network that delays and cuts byte streams into pieces, nothing worse.
    pub fn none() -> Self {
        Self {
            latency: (Duration::from_micros(30), Duration::from_micros(500)),
            reset: 0.0,
            split: 0.1,
            stall: 0.0,
        }
    }
}

#[derive(Clone, Debug)]
pub struct SimConfig {
    pub seed: u64,
    pub disk: DiskFaults,
    pub net: NetFaults,
    /// Per acquisition: others hold all that is left of the budget for up to 20 ms.
    pub permit_shortage: f64,
    /// How many of the last events `Sim::trace_lines` gives in words; 0 keeps only the hash and is much faster.
    pub trace_lines: usize,
}

impl SimConfig {
    /// No faults but what `power_cut` and the like ask for.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            disk: DiskFaults::none(),
            net: NetFaults::none(),
            permit_shortage: 0.0,
            trace_lines: 0,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostId(pub u32);

/// What a disk held at one moment, files that a power cut would have changed included.
pub struct DiskImage(disk::Disk);

type Main = Rc<dyn Fn() -> Pin<Box<dyn Future<Output = ()>>>>;

struct Host {
    shard_count: u16,
    main: Main,
    /// Empty when the host is down.
    shards: Vec<Rc<Shard>>,
    links: Rc<LocalMesh>,
    is_alive: Rc<Cell<bool>>,
    fatal: Option<Fatal>,
}

/// What `on_fatal` throws; caught where the task was polled.
struct HostEnds(Fatal);

/// Ends the host of the task that runs, with everything on it, and keeps the reason.
pub(crate) fn on_fatal(reason: Fatal) -> ! {
    if let Driver::Sim(driver) = &*Shard::current().driver.borrow() {
        driver.halt();
    }
    // Not `panic!`: this is an outcome of the run, and no hook should print it.
    resume_unwind(Box::new(HostEnds(reason)))
}

/// How long the budget that a permit is asked of has run out, if it has. Never outside simulated shards.
pub(crate) fn permit_shortage() -> Option<Duration> {
    let shard = Shard::try_current()?;
    match &*shard.driver.borrow() {
        Driver::Sim(driver) => driver.permit_shortage(),
        _ => None,
    }
}

/// One simulated world. Everything on this thread; ambient functions of the crate work inside hosts.
pub struct Sim {
    world: Rc<RefCell<World>>,
    hosts: RefCell<Vec<Host>>,
    clock: Rc<Cell<u64>>,
    polls: Cell<u64>,
}

/// One of the things that could happen next.
enum Choice {
    Poll {
        host: HostId,
        shard: Rc<Shard>,
        nth: usize,
    },
    Deliver {
        shard: Rc<Shard>,
        envelope: Envelope,
    },
}

impl Sim {
    pub fn new(config: SimConfig) -> Self {
        let world = World::new(&config);
        Self {
            clock: world.clock.clone(),
            world: Rc::new(RefCell::new(world)),
            hosts: RefCell::default(),
            polls: Cell::new(0),
        }
    }

    /// Adds a machine with an own disk and address, and starts it; `main` runs on each shard at every (re)start. The
    /// host stays up when `main` returns.
    pub fn host<F, Fut>(&self, name: &str, shards: u16, main: F) -> HostId
    where
        F: Fn() -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let id = self.world.borrow_mut().add_machine(name, shards);
        self.hosts.borrow_mut().push(Host {
            shard_count: shards,
            main: Rc::new(move || Box::pin(main())),
            shards: Vec::new(),
            links: Rc::default(),
            is_alive: Rc::default(),
            fatal: None,
        });
        self.start(id);
        id
    }

    fn start(&self, id: HostId) {
        self.world.borrow_mut().start(id);
        let is_alive = Rc::new(Cell::new(true));
        let (count, main) = {
            let hosts = self.hosts.borrow();
            let host = &hosts[id.0 as usize];
            (host.shard_count, host.main.clone())
        };
        let links = Rc::new(LocalMesh::default());
        let shards: Vec<Rc<Shard>> = (0..count)
            .map(|number| {
                self.shard(
                    id,
                    ShardId(number),
                    &is_alive,
                    Mesh::local(count, links.clone()),
                )
            })
            .collect();
        for shard in &shards {
            // Entered, so that what `main` does before its first await finds its shard.
            let future = shard.enter(|| main());
            let joined = shard.enter(|| task::spawn_on(shard, crate::Class::Admin, "main", future));
            drop(joined);
        }
        let mut hosts = self.hosts.borrow_mut();
        let host = &mut hosts[id.0 as usize];
        host.shards = shards;
        host.links = links;
        host.is_alive = is_alive;
        host.fatal = None;
    }

    fn shard(&self, host: HostId, id: ShardId, is_alive: &Rc<Cell<bool>>, mesh: Mesh) -> Rc<Shard> {
        let count = self.hosts.borrow()[host.0 as usize].shard_count;
        let driver = SimDriver::new(self.world.clone(), host, id.0, is_alive.clone());
        let world = self.world.clone();
        Shard::new(ShardSpec {
            id,
            count,
            driver: Driver::Sim(Box::new(driver)),
            clock: Clock::Virtual(VirtualClock {
                now_ns: self.clock.clone(),
                wall_start_ms: self.world.borrow().wall_start_ms(host),
            }),
            entropy: Entropy::Seeded(Box::new(move || {
                world.borrow_mut().machine(host).product.next_u64()
            })),
            mesh,
            remote: None,
            beat: Arc::default(),
        })
    }

    /// As given to `host`.
    pub fn name(&self, host: HostId) -> String {
        self.world.borrow_mut().machine(host).name.clone()
    }

    pub fn ip(&self, host: HostId) -> IpAddr {
        World::address(host)
    }

    /// A task on shard 0 of a host (e.g. a client host's workload). Dropped with the host; not started again.
    pub fn spawn_on<F: Future<Output = ()> + 'static>(
        &self,
        host: HostId,
        kind: &'static str,
        f: F,
    ) {
        let shard = self.hosts.borrow()[host.0 as usize].shards.first().cloned();
        if let Some(shard) = shard {
            drop(shard.enter(|| task::spawn_on(&shard, crate::Class::Admin, kind, f)));
        }
    }

    /// Runs `f` as a task on shard 0 of a host until it ends, and gives its result; `None` when the host stopped or
    /// `limit` of virtual time passed before.
    pub fn run_on<F>(&self, host: HostId, limit: Duration, f: F) -> Option<F::Output>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        let result = Rc::new(RefCell::new(None));
        let slot = result.clone();
        self.spawn_on(host, "run_on", async move {
            let output = f.await;
            *slot.borrow_mut() = Some(output);
        });
        self.run_until(limit, || result.borrow().is_some() || !self.is_up(host));
        result.borrow_mut().take()
    }

    /// Power cut: tasks dropped, connections silent, un-synced writes lost, torn, reordered by the seed.
    pub fn power_cut(&self, host: HostId) {
        self.stop(host, true);
    }

    /// kill -9: tasks dropped, but what reached the kernel stays, and it closes the connections.
    pub fn kill(&self, host: HostId) {
        self.stop(host, false);
    }

    fn stop(&self, id: HostId, power_cut: bool) {
        let shards = {
            let mut hosts = self.hosts.borrow_mut();
            let host = &mut hosts[id.0 as usize];
            host.is_alive.set(false);
            std::mem::take(&mut host.shards)
        };
        if !shards.is_empty() {
            self.world.borrow_mut().stop(id, power_cut);
        } else if power_cut {
            // Already ended, but its kernel was still up.
            self.world.borrow_mut().stop(id, true);
        }
        for shard in &shards {
            shard.teardown();
        }
    }

    pub fn restart(&self, host: HostId) {
        if self.is_up(host) {
            self.kill(host);
        }
        self.start(host);
    }

    /// Restarts a host with another number of shards.
    pub fn restart_with(&self, host: HostId, shards: u16) {
        if self.is_up(host) {
            self.kill(host);
        }
        self.world.borrow_mut().set_shards(host, shards);
        self.hosts.borrow_mut()[host.0 as usize].shard_count = shards;
        self.start(host);
    }

    pub fn is_up(&self, host: HostId) -> bool {
        !self.hosts.borrow()[host.0 as usize].shards.is_empty()
    }

    /// The reason given to `fatal` when the host ended itself.
    pub fn fatal_reason(&self, host: HostId) -> Option<String> {
        self.fatal(host).map(|fatal| format!("{fatal:?}"))
    }

    /// As `fatal_reason`, for deciding by kind.
    pub fn fatal(&self, host: HostId) -> Option<Fatal> {
        self.hosts.borrow()[host.0 as usize].fatal.clone()
    }

    pub fn set_disk_faults(&self, host: HostId, faults: DiskFaults) {
        self.world
            .borrow_mut()
            .machine(host)
            .disk
            .set_faults(faults);
    }

    pub fn set_net_faults(&self, faults: NetFaults) {
        self.world.borrow_mut().net.set_faults(faults);
    }

    /// Disconnects two hosts from each other until healed.
    pub fn split(&self, a: HostId, b: HostId) {
        self.world.borrow_mut().net.split(a, b);
    }

    pub fn heal(&self) {
        self.world.borrow_mut().heal();
    }

    /// Flips one bit of a file at rest. Panics when the file has no such byte.
    pub fn flip_bit(&self, host: HostId, path: &str, byte: u64, bit: u8) {
        let mut world = self.world.borrow_mut();
        let flipped = world
            .machine(host)
            .disk
            .flip_bit(Path::new(path), byte, bit);
        assert!(flipped, "{path} has no byte {byte}");
    }

    /// A copy of all that is on a host's disk; cheap, it shares unchanged pages.
    pub fn disk_image(&self, host: HostId) -> DiskImage {
        DiskImage(self.world.borrow_mut().machine(host).disk.clone())
    }

    /// Puts a disk back to an earlier copy, of this host or another. The host must be down.
    pub fn set_disk_image(&self, host: HostId, image: &DiskImage) {
        assert!(!self.is_up(host), "a running host has files open");
        self.world.borrow_mut().machine(host).disk = image.0.clone();
    }

    /// Paths and lengths of all files of a host, sorted.
    pub fn files(&self, host: HostId) -> Vec<(String, u64)> {
        self.world.borrow_mut().machine(host).disk.files()
    }

    /// A file's bytes as its host sees them.
    pub fn contents(&self, host: HostId, path: &str) -> Option<Vec<u8>> {
        let mut world = self.world.borrow_mut();
        world.machine(host).disk.contents(Path::new(path)).ok()
    }

    /// Whether a power cut now would put anything at risk.
    pub fn has_unsynced(&self, host: HostId) -> bool {
        self.world.borrow_mut().machine(host).disk.has_unsynced()
    }

    /// Runs until virtual time has advanced by `duration`.
    pub fn run_for(&self, duration: Duration) {
        self.run_until(duration, || false);
    }

    /// Runs until `done` (checked after each step) or the limit; false at the limit.
    pub fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let end = self.clock.get() + limit.as_nanos() as u64;
        loop {
            if done() {
                return true;
            }
            if self.clock.get() >= end {
                return false;
            }
            self.step(end);
        }
    }

    /// Does one thing: polls a task, delivers a message, or moves time to the next event, at most to `end`.
    fn step(&self, end: u64) {
        self.deliver_completions();
        let Some(choice) = self.choose() else {
            return self.advance_to_next(end);
        };
        self.clock.set(self.clock.get() + POLL);
        match choice {
            Choice::Deliver { shard, envelope } => shard.deliver(envelope),
            Choice::Poll { host, shard, nth } => self.poll(host, &shard, nth),
        }
        let now = self.clock.get();
        if self.world.borrow().next_at().is_some_and(|at| at <= now) {
            self.world.borrow_mut().advance(now);
        }
        self.fire_timers();
    }

    fn poll(&self, host: HostId, shard: &Rc<Shard>, nth: usize) {
        self.polls.set(self.polls.get() + 1);
        let polled = catch_unwind(AssertUnwindSafe(|| shard.run_one(Pick::Nth(nth))));
        if let Err(payload) = polled {
            match payload.downcast::<HostEnds>() {
                Ok(ends) => {
                    self.kill(host);
                    self.hosts.borrow_mut()[host.0 as usize].fatal = Some(ends.0);
                }
                Err(payload) => resume_unwind(payload),
            }
        }
    }

    fn deliver_completions(&self) {
        while self.world.borrow().completed > 0 {
            let hosts = self.hosts.borrow();
            for (number, host) in hosts.iter().enumerate() {
                for (at, shard) in host.shards.iter().enumerate() {
                    loop {
                        let mut world = self.world.borrow_mut();
                        let Some(completion) = world.machines[number].inboxes[at].pop_front()
                        else {
                            break;
                        };
                        world.completed -= 1;
                        drop(world);
                        shard.complete(completion);
                    }
                }
            }
        }
    }

    /// What happens next, by the seed, among all ready tasks and messages under way.
    fn choose(&self) -> Option<Choice> {
        let hosts = self.hosts.borrow();
        let ready_of =
            |host: &Host| -> usize { host.shards.iter().map(|shard| shard.ready_len()).sum() };
        let links_of = |host: &Host| {
            // What is under way to a host that is down goes with it.
            if host.shards.is_empty() || host.links.is_empty() {
                0
            } else {
                host.links.pending().len()
            }
        };
        let total: usize = hosts
            .iter()
            .map(|host| ready_of(host) + links_of(host))
            .sum();
        if total == 0 {
            return None;
        }
        let mut nth = {
            let mut world = self.world.borrow_mut();
            let nth = world.scheduling.below(total as u64);
            world.trace.choice(nth, total as u64);
            nth as usize
        };
        for (number, host) in hosts.iter().enumerate() {
            for shard in &host.shards {
                let ready = shard.ready_len();
                if nth < ready {
                    let (host, shard) = (HostId(number as u32), shard.clone());
                    return Some(Choice::Poll { host, shard, nth });
                }
                nth -= ready;
            }
            let links = links_of(host);
            if nth < links {
                let pair = host.links.pending()[nth];
                let shard = host.shards[usize::from(pair.1.0)].clone();
                let envelope = host.links.take(pair).expect("pending");
                return Some(Choice::Deliver { shard, envelope });
            }
            nth -= links;
        }
        unreachable!("the choice is below the total")
    }

    fn advance_to_next(&self, end: u64) {
        let next_event = self.world.borrow().next_at();
        let next_timer = {
            let hosts = self.hosts.borrow();
            let shards = hosts.iter().flat_map(|host| &host.shards);
            shards.filter_map(|shard| shard.next_deadline()).min()
        };
        let next = next_event
            .into_iter()
            .chain(next_timer.map(|at| at.0))
            .min();
        let now = next.unwrap_or(end).min(end).max(self.clock.get());
        self.clock.set(now);
        self.world.borrow_mut().advance(now);
        self.fire_timers();
    }

    fn fire_timers(&self) {
        let now = Instant(self.clock.get());
        let hosts = self.hosts.borrow();
        for shard in hosts.iter().flat_map(|host| &host.shards) {
            if shard.next_deadline().is_some_and(|at| at <= now) {
                shard.fire_timers();
            }
        }
    }

    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.clock.get())
    }

    /// Tasks polled so far.
    pub fn polls(&self) -> u64 {
        self.polls.get()
    }

    /// Draws from a stream of its own, for the test's decisions.
    pub fn draw(&self, below: u64) -> u64 {
        self.world.borrow_mut().test.below(below)
    }

    /// Hash over every scheduling decision, completion and random draw so far: the determinism meta-test compares it.
    pub fn trace_hash(&self) -> u64 {
        self.world.borrow().trace_hash()
    }

    /// Whether any task could run now, without time moving.
    pub fn is_idle(&self) -> bool {
        let hosts = self.hosts.borrow();
        hosts
            .iter()
            .flat_map(|host| &host.shards)
            .all(|shard| shard.ready_len() == 0)
    }

    /// The last events in words, when the configuration asked for them.
    pub fn trace_lines(&self) -> Vec<String> {
        self.world.borrow().trace.lines()
    }
}

impl Drop for Sim {
    /// Tasks hold their shards, and shards their tasks: hosts go down so that both are freed.
    fn drop(&mut self) {
        let count = self.hosts.borrow().len();
        for host in 0..count {
            self.kill(HostId(host as u32));
        }
    }
}

#[cfg(test)]
mod tests;
