//! Time and randomness of a shard: the machine's, or the simulator's.

use crate::Instant;
use base::TimestampMs;
use std::{cell::Cell, rc::Rc, time::Duration};

impl Instant {
    /// Time that passed from `earlier`; zero when it is later.
    pub fn since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    #[must_use]
    pub fn plus(self, by: Duration) -> Instant {
        let ns = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(ns))
    }
}

/// Time as the simulator moves it. `now_ns` is shared by all shards of a world.
#[derive(Clone)]
pub(crate) struct VirtualClock {
    pub(crate) now_ns: Rc<Cell<u64>>,
    /// What the wall clock shows at `now_ns == 0`.
    pub(crate) wall_start_ms: i64,
}

#[derive(Clone)]
pub(crate) enum Clock {
    System,
    Virtual(VirtualClock),
}

fn system_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result.
    let result = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(result, 0, "the clocks used here exist on every Linux");
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

pub(crate) fn monotonic_ns() -> u64 {
    system_ns(libc::CLOCK_MONOTONIC)
}

impl Clock {
    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self, Clock::Virtual(_))
    }

    pub(crate) fn now(&self) -> Instant {
        match self {
            Clock::System => Instant(monotonic_ns()),
            Clock::Virtual(clock) => Instant(clock.now_ns.get()),
        }
    }

    pub(crate) fn wall(&self) -> TimestampMs {
        match self {
            Clock::System => TimestampMs((system_ns(libc::CLOCK_REALTIME) / 1_000_000) as i64),
            Clock::Virtual(clock) => {
                TimestampMs(clock.wall_start_ms + (clock.now_ns.get() / 1_000_000) as i64)
            }
        }
    }
}

/// Where random bytes come from.
pub(crate) enum Entropy {
    /// The kernel's, fetched in pages.
    System { pool: Box<[u8; 256]>, used: usize },
    /// The simulator's stream for this shard.
    Seeded(Box<dyn FnMut() -> u64>),
}

impl Entropy {
    pub(crate) fn system() -> Self {
        Entropy::System {
            pool: Box::new([0; 256]),
            used: 256,
        }
    }

    pub(crate) fn next_u64(&mut self) -> u64 {
        match self {
            Entropy::Seeded(next) => next(),
            Entropy::System { pool, used } => {
                if *used + 8 > pool.len() {
                    fill_from_kernel(&mut pool[..]);
                    *used = 0;
                }
                let bytes = &mut pool[*used..*used + 8];
                let value = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                bytes.fill(0);
                *used += 8;
                value
            }
        }
    }

    pub(crate) fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            let value = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&value[..chunk.len()]);
        }
    }
}

fn fill_from_kernel(out: &mut [u8]) {
    let mut filled = 0;
    while filled < out.len() {
        let rest = &mut out[filled..];
        // SAFETY: `rest` is writable memory of this length.
        let count = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        let interrupted = std::io::Error::last_os_error().raw_os_error() == Some(libc::EINTR);
        assert!(count > 0 || interrupted, "getrandom fails on no Linux");
        filled += count.max(0) as usize;
    }
}
