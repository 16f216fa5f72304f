//! The thread that looks for shards stuck in one task, and reports their stacks.
//!
//! Every stall is counted, by the shard itself at the end of the poll (`stats`). This thread adds the stack: it looks
//! at each shard's `Beat` every so often, and sends a signal to one that has been in the same poll for too long; the
//! handler, on the shard's own thread, notes the return addresses. Names are looked up here, off the shard (`names`).
//!
//! # Place       one thread per process; one `Beat` per shard, written by the shard, its signal handler and this thread
//! # Invariants  1. The handler allocates nothing and takes no lock of ours. (The unwinder reads tables through
//!                  `_dl_find_object`, which is lock-free; on C libraries without it a lock of the loader.)
//!               2. Frames are those of the poll they are reported for: they carry its start.
//! # Limits      looks come every `Config::stall` while a shard works, so a stall gets its stack for sure from twice
//!               that on; naps grow to `NAP_MAX` while all shards are idle. One report with a stack and one without
//!               per shard and `Config::stall_report_every`, 64 stalls waiting to be reported; what is left out is
//!               counted in the next report.

mod names;

use crate::{
    Config, Instant,
    clock::monotonic_ns,
    remote::{Message, Remote},
    stats::Stall,
};
use names::Names;
use std::{
    cell::Cell,
    ffi::{c_int, c_void},
    io,
    mem::MaybeUninit,
    ptr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

const FRAMES_MAX: usize = 48;
const NAP_MAX: Duration = Duration::from_millis(50);
const REPORTS_WAITING_MAX: usize = 64;

/// Since when a shard runs its current task, for other threads to see.
#[derive(Default)]
pub(crate) struct Beat {
    /// In ns; 0 between tasks.
    since: AtomicU64,
    /// Kernel's number of the shard's thread; 0 before it runs.
    thread: AtomicI32,
    /// The poll (by its start) that the watchdog last asked the stack of.
    asked: AtomicU64,
    /// The poll that `frames` are of.
    captured: AtomicU64,
    frames: Frames,
    reports: OnceLock<mpsc::SyncSender<Report>>,
    /// Stalls that found no place in line since the last that did.
    unreported: AtomicU64,
}

struct Frames {
    addresses: [AtomicUsize; FRAMES_MAX],
    count: AtomicUsize,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            addresses: [const { AtomicUsize::new(0) }; FRAMES_MAX],
            count: AtomicUsize::new(0),
        }
    }
}

/// The C++ ABI's unwinder, which the standard library links for panics.
mod unwinder {
    use std::ffi::{c_int, c_void};

    pub(super) type Visit = extern "C" fn(*mut c_void, *mut c_void) -> c_int;
    pub(super) const GO_ON: c_int = 0;
    pub(super) const STOP: c_int = 5;

    unsafe extern "C" {
        #[link_name = "_Unwind_Backtrace"]
        pub(super) fn backtrace(visit: Visit, argument: *mut c_void) -> c_int;
        #[link_name = "_Unwind_GetIP"]
        pub(super) fn address(context: *mut c_void) -> usize;
    }
}

extern "C" fn on_frame(context: *mut c_void, frames: *mut c_void) -> c_int {
    // SAFETY: `unwind` passes its reference, which outlives the walk.
    let frames = unsafe { &*frames.cast::<Frames>() };
    let count = frames.count.load(Ordering::Relaxed);
    if count == FRAMES_MAX {
        return unwinder::STOP;
    }
    // SAFETY: the context is the unwinder's own, for the time of this call.
    let address = unsafe { unwinder::address(context) };
    frames.addresses[count].store(address, Ordering::Relaxed);
    frames.count.store(count + 1, Ordering::Relaxed);
    unwinder::GO_ON
}

/// Adds the return addresses of the calling thread's stack, innermost first.
fn unwind(frames: &Frames) {
    let argument = ptr::from_ref(frames).cast_mut().cast();
    // SAFETY: the walk hands `argument` to `on_frame` and reads the stack and the program's unwind tables.
    unsafe { unwinder::backtrace(on_frame, argument) };
}

struct Report {
    shard: usize,
    stall: Stall,
    frames: Vec<usize>,
    unreported: u64,
}

thread_local! {
    /// The beat of this thread's shard, for the signal handler.
    static BEAT: Cell<*const Beat> = const { Cell::new(ptr::null()) };
}

impl Beat {
    pub(crate) fn begin(&self, at: Instant) {
        self.since.store(at.0, Ordering::Relaxed);
    }

    pub(crate) fn end(&self) {
        self.since.store(0, Ordering::Relaxed);
    }

    /// By the shard's thread: lets the watchdog's signals find the beat. The thread must `detach` before it lets go.
    pub(crate) fn attach(self: &Arc<Self>) {
        BEAT.set(Arc::as_ptr(self));
        // SAFETY: touches no memory.
        self.thread
            .store(unsafe { libc::gettid() }, Ordering::Release);
    }

    /// By the shard's thread, at its end.
    pub(crate) fn detach(&self) {
        self.thread.store(0, Ordering::Release);
        BEAT.set(ptr::null());
    }

    /// By the signal handler, on the shard's thread.
    fn capture(&self) {
        let since = self.since.load(Ordering::Relaxed);
        if since == 0 || since != self.asked.load(Ordering::Relaxed) {
            return;
        }
        self.frames.count.store(0, Ordering::Relaxed);
        unwind(&self.frames);
        self.captured.store(since, Ordering::Relaxed);
    }

    /// By the shard: hands a stall that began at `start` on to be reported.
    pub(crate) fn report(&self, shard: usize, start: Instant, stall: Stall) {
        let Some(reports) = self.reports.get() else {
            return;
        };
        let is_captured = self.captured.load(Ordering::Relaxed) == start.0;
        let count = if is_captured {
            self.frames.count.load(Ordering::Relaxed)
        } else {
            0
        };
        let addresses = &self.frames.addresses[..count];
        let report = Report {
            shard,
            stall,
            frames: addresses
                .iter()
                .map(|address| address.load(Ordering::Relaxed))
                .collect(),
            unreported: self.unreported.swap(0, Ordering::Relaxed),
        };
        if let Err(mpsc::TrySendError::Full(report) | mpsc::TrySendError::Disconnected(report)) =
            reports.try_send(report)
        {
            self.unreported
                .fetch_add(report.unreported + 1, Ordering::Relaxed);
        }
    }
}

extern "C" fn on_signal(_signal: c_int) {
    let Ok(beat) = BEAT.try_with(Cell::get) else {
        return;
    };
    if beat.is_null() {
        return;
    }
    // SAFETY: the interrupted code may look at errno next.
    let errno = unsafe { *libc::__errno_location() };
    // SAFETY: the beat is attached, so the thread (which is this one) still holds it.
    unsafe { &*beat }.capture();
    // SAFETY: as above.
    unsafe { *libc::__errno_location() = errno };
}

fn signal() -> c_int {
    libc::SIGRTMIN() + 3
}

fn install_handler() -> io::Result<()> {
    let handler: extern "C" fn(c_int) = on_signal;
    // SAFETY: all-zero is a valid sigaction; it is filled below.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = handler as usize;
    action.sa_flags = libc::SA_RESTART;
    // SAFETY: a valid action whose handler only does what is allowed in handlers (invariant 1).
    let result = unsafe { libc::sigaction(signal(), &action, ptr::null_mut()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // The unwinder is loaded now, not in the handler.
    unwind(&Frames::default());
    Ok(())
}

/// The thread, and how to end it.
pub(crate) struct Watchdog {
    is_stopping: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Watchdog {
    pub(crate) fn start(
        config: &Config,
        beats: Vec<Arc<Beat>>,
        remotes: Vec<Arc<Remote>>,
    ) -> io::Result<Self> {
        install_handler()?;
        let (sender, reports) = mpsc::sync_channel(REPORTS_WAITING_MAX);
        for beat in &beats {
            let set = beat.reports.set(sender.clone());
            assert!(set.is_ok(), "a beat has one watchdog");
        }
        let is_stopping = Arc::new(AtomicBool::new(false));
        let mut watch = Watch {
            limit: config.stall,
            report_every: config.stall_report_every,
            next_report: vec![[0; 2]; beats.len()],
            suppressed: vec![0; beats.len()],
            names: Names::default(),
            last_seen: vec![0; beats.len()],
            beats,
            remotes,
            reports,
            is_stopping: is_stopping.clone(),
        };
        let thread = thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || watch.run())?;
        Ok(Self {
            is_stopping,
            thread,
        })
    }

    pub(crate) fn stop(self) {
        self.is_stopping.store(true, Ordering::Release);
        self.thread.thread().unpark();
        // It panicked only if a report could not be written, which is no reason to fail the process's end.
        let _ = self.thread.join();
    }
}

struct Watch {
    limit: Duration,
    report_every: Duration,
    beats: Vec<Arc<Beat>>,
    remotes: Vec<Arc<Remote>>,
    reports: mpsc::Receiver<Report>,
    is_stopping: Arc<AtomicBool>,
    /// By shard: the start of the poll seen at the last look.
    last_seen: Vec<u64>,
    /// By shard: when it may be reported again, in ns, without and with a stack.
    next_report: Vec<[u64; 2]>,
    suppressed: Vec<u64>,
    names: Names,
}

impl Watch {
    fn run(&mut self) {
        let mut nap = self.limit;
        while !self.is_stopping.load(Ordering::Acquire) {
            thread::park_timeout(nap);
            nap = if self.look() {
                self.limit
            } else {
                (nap * 2).min(NAP_MAX)
            };
            while let Ok(report) = self.reports.try_recv() {
                self.on_report(report);
            }
        }
    }

    /// Asks shards in one poll for too long for their stacks; whether any shard works.
    fn look(&mut self) -> bool {
        let now = monotonic_ns();
        let mut is_working = false;
        for (beat, last_seen) in self.beats.iter().zip(&mut self.last_seen) {
            let since = beat.since.load(Ordering::Relaxed);
            is_working |= since != 0 && since != *last_seen;
            *last_seen = since;
            let is_late = since != 0 && now.saturating_sub(since) >= self.limit.as_nanos() as u64;
            let thread = beat.thread.load(Ordering::Acquire);
            if is_late && thread != 0 && beat.asked.swap(since, Ordering::Relaxed) != since {
                // SAFETY: sends a signal whose handler is installed, to a thread of this process (or to none).
                unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, signal()) };
            }
        }
        is_working
    }

    fn on_report(&mut self, report: Report) {
        let now = monotonic_ns();
        let shard = report.shard;
        self.suppressed[shard] += report.unreported;
        // A stack says more than another stall without one, so the first of each kind of report passes.
        let has_stack = usize::from(!report.frames.is_empty());
        let next = &mut self.next_report[shard][has_stack];
        if now < *next {
            self.suppressed[shard] += 1;
            return;
        }
        *next = now + self.report_every.as_nanos() as u64;
        let suppressed = std::mem::take(&mut self.suppressed[shard]);
        let stack = self.names.stack_text(&report.frames);
        let Stall {
            kind,
            class,
            duration,
        } = report.stall;
        let class = class.name();
        tracing::warn!(shard, kind, class, ?duration, suppressed, %stack, "a task stalled its shard");
        let text = format!("{kind} ({class}) ran for {duration:?} at a stretch\n{stack}");
        self.remotes[shard].push(Message::Run(Box::new(move |shard| {
            shard.tally.borrow_mut().last_stall = Some(text);
        })));
    }
}

/// Where in memory the program's own headers are.
fn program_headers_at() -> u64 {
    // SAFETY: reads a number that the kernel left there when the program began.
    unsafe { libc::getauxval(libc::AT_PHDR) }
}
