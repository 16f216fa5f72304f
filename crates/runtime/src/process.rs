//! Real shards: one pinned thread each, started and ended together.
//!
//! # Place       the process
//! # Invariants  1. A shard serves the mesh until the mains of all shards have returned; then all go down.
//!               2. A shard's thread ends only after the kernel gave every operation's memory back, or leaves that
//!                  memory allocated for ever.
//! # Limits      as many shards as `u16`; more shards than CPUs are not pinned

mod call;

use crate::{
    Class,
    clock::{Clock, Entropy},
    epoll::Epoll,
    mesh::{self, Mesh, Rings},
    ops::{Completion, Driver, Wait},
    ready::Pick,
    remote::{Message, Remote},
    shard::{Shard, ShardSpec},
    task,
    uring::{self, RingFds, Uring},
    watchdog::{Beat, Watchdog},
};
use base::ShardId;
use std::{
    future::Future,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// Which kernel interface does the I/O.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// io_uring when it is allowed, epoll otherwise.
    #[default]
    Auto,
    Uring,
    Epoll,
}

#[derive(Clone, Debug)]
pub struct Config {
    pub shards: u16,
    /// CPUs to pin to, one per shard in order. `None`: those the process may use, as long as there are enough. An empty
    /// list: the shards are not pinned.
    pub cpus: Option<Vec<usize>>,
    pub backend: Backend,
    /// A task that runs longer at a stretch is a stall: counted, and reported with its stack.
    pub stall: Duration,
    /// The stack of at most one stall per shard is reported in this time: looking up its names costs the CPU of a shard.
    pub stall_report_every: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            shards: 1,
            cpus: None,
            backend: Backend::Auto,
            stall: Duration::from_micros(500),
            stall_report_every: Duration::from_secs(10),
        }
    }
}

/// Tasks run this long before I/O is looked after again.
const TURN: Duration = Duration::from_micros(100);
/// A shard that talked to others within the last turn looks for their answers this long before it sleeps: a wake costs
/// tens of microseconds, and an idle shard does not come here.
const SPIN: Duration = Duration::from_micros(20);
/// Operations that do not come back within this time after cancellation leave their memory behind.
const REAP_WAIT: Duration = Duration::from_secs(5);

/// What all shards of a process share.
struct Node {
    remotes: Vec<Arc<Remote>>,
    mains_running: AtomicUsize,
    is_stopping: AtomicBool,
}

impl Node {
    fn on_main_end(&self) {
        if self.mains_running.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop();
        }
    }

    fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        for remote in &self.remotes {
            remote.push(Message::Run(Box::new(|_| {})));
        }
    }
}

/// From any thread to the shards (the HTTP front, signal handling).
#[derive(Clone)]
pub struct ShardsHandle {
    node: Arc<Node>,
}

pub struct Running {
    node: Arc<Node>,
    threads: Vec<thread::JoinHandle<()>>,
    backend: Backend,
    refused: Option<String>,
    watchdog: Watchdog,
}

/// Starts one pinned thread per shard; `main` runs on each of them. Returns at once. Fails when the backend asked for
/// is refused, or the system gives no threads or descriptors.
pub fn start<F, Fut>(config: Config, main: F) -> io::Result<Running>
where
    F: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = ()> + 'static,
{
    assert!(config.shards > 0, "at least one shard");
    let (backend, refused) = choose(config.backend)?;
    let count = usize::from(config.shards);
    let remotes = (0..count)
        .map(|_| Remote::new())
        .collect::<io::Result<Vec<_>>>()?;
    let node = Arc::new(Node {
        remotes: remotes.clone(),
        mains_running: AtomicUsize::new(count),
        is_stopping: AtomicBool::new(false),
    });
    let ring_fds: RingFds = (0..count).map(|_| AtomicI32::new(-1)).collect();
    let beats: Vec<Arc<Beat>> = (0..count).map(|_| Arc::default()).collect();
    let watchdog = Watchdog::start(&config, beats.clone(), remotes.clone())?;
    let cpus = cpus_for(&config)?;
    let main = Arc::new(main);
    let (started, is_started) = mpsc::channel();
    let mut threads = Vec::new();
    for (index, rings) in mesh::rings(&remotes).into_iter().enumerate() {
        let setup = Setup {
            index,
            node: node.clone(),
            rings,
            backend,
            ring_fds: ring_fds.clone(),
            cpu: cpus.get(index).copied(),
            stall: config.stall,
            beat: beats[index].clone(),
        };
        let (main, started) = (main.clone(), started.clone());
        let thread = thread::Builder::new().name(format!("shard-{index}"));
        threads.push(thread.spawn(move || run_thread(setup, &started, move || main()))?);
    }
    drop(started);
    for _ in 0..count {
        let result: io::Result<()> = is_started
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("a shard's thread ended at its start")));
        if let Err(error) = result {
            node.stop();
            return Err(error);
        }
    }
    Ok(Running {
        node,
        threads,
        backend,
        refused,
        watchdog,
    })
}

impl Running {
    pub fn handle(&self) -> ShardsHandle {
        ShardsHandle {
            node: self.node.clone(),
        }
    }

    /// Which I/O backend was chosen, and why not io_uring when it was refused.
    pub fn backend(&self) -> (Backend, Option<String>) {
        (self.backend, self.refused.clone())
    }

    /// Waits until every shard's main has returned and its tasks were dropped. A panic of a shard goes on here.
    pub fn join(self) -> io::Result<()> {
        let mut panic = None;
        for thread in self.threads {
            if let Err(payload) = thread.join() {
                panic.get_or_insert(payload);
            }
        }
        self.watchdog.stop();
        match panic {
            Some(payload) => std::panic::resume_unwind(payload),
            None => Ok(()),
        }
    }
}

fn choose(backend: Backend) -> io::Result<(Backend, Option<String>)> {
    if backend == Backend::Epoll {
        return Ok((Backend::Epoll, None));
    }
    match (uring::probe(), backend) {
        (Ok(()), _) => Ok((Backend::Uring, None)),
        (Err(reason), Backend::Auto) => Ok((Backend::Epoll, Some(reason))),
        (Err(reason), _) => Err(io::Error::new(io::ErrorKind::Unsupported, reason)),
    }
}

/// The CPU of each shard; empty when shards are not pinned.
fn cpus_for(config: &Config) -> io::Result<Vec<usize>> {
    let count = usize::from(config.shards);
    if let Some(cpus) = &config.cpus {
        if !cpus.is_empty() && cpus.len() < count {
            let reason = format!("{} CPUs given for {count} shards", cpus.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        return Ok(cpus.clone());
    }
    // SAFETY: all-zero is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is a valid place of this size.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let allowed: Vec<usize> = (0..libc::CPU_SETSIZE as usize)
        // SAFETY: the number is below CPU_SETSIZE.
        .filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) })
        .collect();
    Ok(if allowed.len() < count {
        Vec::new()
    } else {
        allowed
    })
}

fn pin_to(cpu: usize) -> io::Result<()> {
    if cpu >= libc::CPU_SETSIZE as usize {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: all-zero is a valid, empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the number is below CPU_SETSIZE.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: a valid set of this size.
    let result = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Lets the process open as many files as the system allows it at all; connections are files. The number allowed now.
pub fn raise_open_files_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid place.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if limit.rlim_cur < limit.rlim_max {
        limit.rlim_cur = limit.rlim_max;
        // SAFETY: a valid limit.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(limit.rlim_cur)
}

/// What a shard's thread is given.
struct Setup {
    index: usize,
    node: Arc<Node>,
    rings: Rings,
    backend: Backend,
    ring_fds: RingFds,
    cpu: Option<usize>,
    stall: Duration,
    beat: Arc<Beat>,
}

/// Stops the other shards when this one panics.
struct StopOnPanic(Arc<Node>);

impl Drop for StopOnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

fn run_thread<F, Fut>(setup: Setup, started: &mpsc::Sender<io::Result<()>>, main: F)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let _stop = StopOnPanic(setup.node.clone());
    let node = setup.node.clone();
    let shard = match make_shard(setup) {
        Ok(shard) => shard,
        Err(error) => {
            // The starter may have given up on another shard's error.
            let _ = started.send(Err(error));
            return;
        }
    };
    let _ = started.send(Ok(()));
    // After a panic nothing of the shard is dropped: its tasks are in the middle of something.
    let mut looping = std::mem::ManuallyDrop::new(Loop {
        shard,
        node: node.clone(),
        completions: Vec::new(),
        last_mesh: crate::Instant(0),
    });
    looping.shard.enter(|| {
        let future = main();
        let main = async move {
            future.await;
            node.on_main_end();
        };
        drop(task::spawn_on(
            &Shard::current(),
            Class::Admin,
            "main",
            main,
        ));
    });
    looping.run();
    looping.end();
    drop(std::mem::ManuallyDrop::into_inner(looping));
}

fn make_shard(setup: Setup) -> io::Result<Rc<Shard>> {
    if let Some(cpu) = setup.cpu {
        pin_to(cpu).map_err(|error| {
            let reason = format!("shard {} cannot run on CPU {cpu}: {error}", setup.index);
            io::Error::new(error.kind(), reason)
        })?;
    }
    let remote = setup.node.remotes[setup.index].clone();
    let driver = match setup.backend {
        Backend::Epoll => Driver::Epoll(Box::new(Epoll::new(remote.clone())?)),
        _ => Driver::Uring(Box::new(Uring::new(
            remote.clone(),
            setup.ring_fds,
            setup.index,
        )?)),
    };
    let count = setup.node.remotes.len() as u16;
    let shard = Shard::new(ShardSpec {
        id: ShardId(setup.index as u16),
        count,
        driver,
        clock: Clock::System,
        entropy: Entropy::system(),
        mesh: if count == 1 {
            Mesh::alone()
        } else {
            Mesh::real(setup.rings)
        },
        remote: Some(remote),
        beat: setup.beat,
    });
    shard.beat.attach();
    let now = shard.now();
    shard.tally.borrow_mut().watch_stalls(setup.stall, now);
    Ok(shard)
}

/// A shard's thread.
struct Loop {
    shard: Rc<Shard>,
    node: Arc<Node>,
    completions: Vec<Completion>,
    /// When a message last came in.
    last_mesh: crate::Instant,
}

impl Loop {
    fn run(&mut self) {
        let shard = self.shard.clone();
        shard.enter(|| {
            while !self.node.is_stopping.load(Ordering::Acquire) {
                self.run_tasks();
                self.flush_mesh();
                self.wait();
                self.take_in();
            }
        });
    }

    fn run_tasks(&self) {
        let shard = &self.shard;
        let mut now = shard.now();
        shard.tally.borrow_mut().on_turn(now);
        let end = now.plus(TURN);
        while let Some(class) = shard.next_class() {
            if class.is_batch() {
                shard.driver.borrow_mut().submit_queued();
            }
            match shard.run_one_entered(Pick::Fair, now) {
                Some(after) if after < end => now = after,
                _ => break,
            }
        }
    }

    fn flush_mesh(&self) {
        let shard = &self.shard;
        let wakes = shard.mesh.flush(|to, remote| {
            shard.driver.borrow_mut().wake(to, remote);
        });
        shard.tally.borrow_mut().mesh_wakes += wakes;
    }

    /// Whether something came in over the mesh shortly after it was last busy.
    fn spin(&self) -> bool {
        let start = self.shard.now();
        if start.since(self.last_mesh) > TURN {
            return false;
        }
        // What is queued for the kernel must not wait for this.
        self.shard.driver.borrow_mut().submit_queued();
        while self.shard.now().since(start) < SPIN {
            if self.shard.mesh.has_incoming() {
                return true;
            }
            std::hint::spin_loop();
        }
        false
    }

    fn wait(&mut self) {
        let shard = self.shard.clone();
        let remote = shard.remote.as_ref().expect("a real shard");
        let mut wait = Wait::No;
        if shard.ready_len() == 0 && !self.spin() {
            remote.announce_sleep();
            let is_stopping = self.node.is_stopping.load(Ordering::Acquire);
            if remote.is_empty() && !shard.mesh.has_incoming() && !is_stopping {
                wait = match shard.next_deadline() {
                    Some(at) => Wait::For(at.since(shard.now())),
                    None => Wait::Forever,
                };
            }
        }
        if wait == Wait::No || wait == Wait::For(Duration::ZERO) {
            shard
                .driver
                .borrow_mut()
                .enter(Wait::No, &mut self.completions);
        } else {
            let start = shard.now();
            shard.driver.borrow_mut().enter(wait, &mut self.completions);
            let slept = shard.now().since(start);
            shard.tally.borrow_mut().on_park(slept);
        }
        remote.announce_awake();
    }

    /// Takes in what completed, was sent or is due.
    fn take_in(&mut self) {
        let shard = self.shard.clone();
        for completion in self.completions.drain(..) {
            shard.complete(completion);
        }
        let remote = shard.remote.as_ref().expect("a real shard");
        for message in remote.take_all() {
            match message {
                Message::Run(run) => run(&shard),
                Message::Wake(address) => {
                    Shard::wake_on_this_thread(address);
                }
                Message::Completed(completion) => shard.complete(*completion),
            }
        }
        if shard.mesh.receive(&shard) > 0 {
            self.last_mesh = shard.now();
        }
        shard.fire_timers();
    }

    /// Drops the tasks and waits for the kernel to let go of their memory.
    fn end(&mut self) {
        let shard = self.shard.clone();
        shard.teardown();
        let deadline = shard.now().plus(REAP_WAIT);
        shard.enter(|| {
            while shard.operations_in_flight() > 0 && shard.now() < deadline {
                let wait = Wait::For(Duration::from_millis(10));
                shard.driver.borrow_mut().enter(wait, &mut self.completions);
                self.take_in();
            }
        });
        let left = shard.operations_in_flight();
        if left > 0 {
            tracing::warn!(left, "operations did not end; their memory stays");
        }
        shard.remote.as_ref().expect("a real shard").close();
        shard.beat.detach();
    }
}

#[cfg(test)]
mod tests;
