//! The running counters of one shard, and what it takes for a stall.

use super::{ClassStats, KindStats, ShardStats};
use crate::{
    Class, Instant,
    ops::{Op, Outcome, Value},
    ready::CLASSES,
};
use std::{collections::BTreeMap, time::Duration};

#[derive(Clone, Copy, Default)]
struct ClassTally {
    cpu: Duration,
    polls: u64,
    read_ops: u64,
    read_bytes: u64,
    write_ops: u64,
    write_bytes: u64,
}

struct KindTally {
    name: &'static str,
    class: Class,
    cpu: Duration,
    polls: u64,
    spawned: u64,
    live: u64,
    stalls: u64,
}

/// The thread's CPU use as the kernel counts it.
#[derive(Clone, Copy)]
struct Usage {
    at: Instant,
    cpu: Duration,
    /// Times the thread gave the CPU up, i.e. waited for something.
    waits: i64,
}

/// Tells stalls from preemption: CPU use at some point before the poll, and what was slept on purpose since.
struct StallMeter {
    limit: Duration,
    base: Usage,
    parks: i64,
    parked: Duration,
}

/// Sampling the CPU use is a system call, so it is done this often at most.
const SAMPLE_EVERY: Duration = Duration::from_millis(1);

/// Sampled now. The CPU time is not the one that getrusage gives: that lags by up to a tick of the kernel, which is
/// longer than a stall.
fn usage(now: Instant) -> Usage {
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for the result.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    assert_eq!(result, 0, "getrusage of the own thread");
    Usage {
        at: now,
        cpu: thread_cpu(),
        waits: usage.ru_nvcsw,
    }
}

pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "the clock exists on every Linux");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

impl StallMeter {
    fn sample(&mut self, now: Instant) {
        self.base = usage(now);
        self.parks = 0;
        self.parked = Duration::ZERO;
    }

    /// Whether a poll that ended now and took `spent` held the shard up by its own doing.
    fn is_stall(&mut self, now: Instant, spent: Duration) -> bool {
        let usage = usage(now);
        let has_blocked = usage.waits - self.base.waits > self.parks;
        let cpu = usage.cpu.saturating_sub(self.base.cpu);
        let preempted = now
            .since(self.base.at)
            .saturating_sub(cpu)
            .saturating_sub(self.parked);
        self.base = usage;
        self.parks = 0;
        self.parked = Duration::ZERO;
        has_blocked || spent.saturating_sub(preempted) >= self.limit
    }
}

/// A poll that took too long.
pub(crate) struct Stall {
    pub(crate) kind: &'static str,
    pub(crate) class: Class,
    pub(crate) duration: Duration,
}

#[derive(Default)]
pub(crate) struct Tally {
    classes: [ClassTally; CLASSES],
    kinds: Vec<KindTally>,
    kind_index: BTreeMap<(&'static str, Class), u16>,
    busy: Duration,
    polls: u64,
    pub(crate) mesh_sent: u64,
    pub(crate) mesh_wakes: u64,
    stalls: u64,
    longest_stall: Duration,
    pub(crate) last_stall: Option<String>,
    /// `None` in simulation, where time stands still while a task runs.
    meter: Option<StallMeter>,
}

impl Tally {
    /// Starts to look for polls longer than `limit`.
    pub(crate) fn watch_stalls(&mut self, limit: Duration, now: Instant) {
        self.meter = Some(StallMeter {
            limit,
            base: usage(now),
            parks: 0,
            parked: Duration::ZERO,
        });
    }

    /// Before a turn's tasks: refreshes the base line of the stall meter when it is old.
    pub(crate) fn on_turn(&mut self, now: Instant) {
        if let Some(meter) = &mut self.meter
            && now.since(meter.base.at) >= SAMPLE_EVERY
        {
            meter.sample(now);
        }
    }

    /// The shard slept on purpose.
    pub(crate) fn on_park(&mut self, slept: Duration) {
        if let Some(meter) = &mut self.meter {
            meter.parks += 1;
            meter.parked += slept;
        }
    }

    /// The number of the kind, for `on_poll`. Kinds are names in the code, so there are few.
    pub(crate) fn on_spawn(&mut self, name: &'static str, class: Class) -> u16 {
        let next = self.kinds.len() as u16;
        let index = *self.kind_index.entry((name, class)).or_insert(next);
        if index == next {
            self.kinds.push(KindTally {
                name,
                class,
                cpu: Duration::ZERO,
                polls: 0,
                spawned: 0,
                live: 0,
                stalls: 0,
            });
        }
        let kind = &mut self.kinds[usize::from(index)];
        kind.spawned += 1;
        kind.live += 1;
        index
    }

    /// Books a poll; gives the stall it was.
    pub(crate) fn on_poll(
        &mut self,
        kind: u16,
        end: Instant,
        spent: Duration,
        is_done: bool,
    ) -> Option<Stall> {
        let kind = &mut self.kinds[usize::from(kind)];
        let class = &mut self.classes[kind.class as usize];
        kind.cpu += spent;
        kind.polls += 1;
        kind.live -= u64::from(is_done);
        class.cpu += spent;
        class.polls += 1;
        self.busy += spent;
        self.polls += 1;
        let meter = self.meter.as_mut()?;
        if spent < meter.limit || !meter.is_stall(end, spent) {
            return None;
        }
        kind.stalls += 1;
        self.stalls += 1;
        self.longest_stall = self.longest_stall.max(spent);
        Some(Stall {
            kind: kind.name,
            class: kind.class,
            duration: spent,
        })
    }

    pub(crate) fn on_operation(&mut self, class: Class, op: &Op, outcome: &Outcome) {
        let Ok(Value::Bytes(bytes)) = outcome else {
            return;
        };
        let tally = &mut self.classes[class as usize];
        match op {
            Op::Read { .. } => {
                tally.read_ops += 1;
                tally.read_bytes += *bytes as u64;
            }
            Op::Write { .. } => {
                tally.write_ops += 1;
                tally.write_bytes += *bytes as u64;
            }
            _ => {}
        }
    }

    pub(crate) fn to_stats(&self) -> ShardStats {
        let classes = Class::ALL.into_iter().map(|class| {
            let tally = self.classes[class as usize];
            ClassStats {
                class,
                cpu: tally.cpu,
                polls: tally.polls,
                read_ops: tally.read_ops,
                read_bytes: tally.read_bytes,
                write_ops: tally.write_ops,
                write_bytes: tally.write_bytes,
                queued: 0,
            }
        });
        let kinds = self.kinds.iter().map(|kind| KindStats {
            kind: kind.name,
            class: kind.class,
            cpu: kind.cpu,
            polls: kind.polls,
            spawned: kind.spawned,
            live: kind.live,
            stalls: kind.stalls,
        });
        ShardStats {
            classes: classes.collect(),
            kinds: kinds.collect(),
            stalls: self.stalls,
            longest_stall: self.longest_stall,
            last_stall: self.last_stall.clone(),
            busy: self.busy,
            polls: self.polls,
            mesh_sent: self.mesh_sent,
            mesh_wakes: self.mesh_wakes,
        }
    }
}
