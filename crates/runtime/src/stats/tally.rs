//! The running counters of one shard, and what it takes for a stall.

use super::{ClassStats, KindStats, ShardStats};
use crate::{
    Class, Instant,
    ops::{Op, Outcome, Value},
    ready::CLASSES,
};
use std::{collections::BTreeMap, os::unix::fs::FileExt, time::Duration};

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

/// What the thread has waited for the CPU, and for other things.
#[derive(Clone, Copy)]
struct Usage {
    at: Instant,
    cpu: Duration,
    /// Time on the kernel's run queue: ready, but not running. `None` where the kernel does not tell.
    queued: Option<Duration>,
    /// Times the thread gave the CPU up, i.e. waited for something.
    waits: i64,
}

/// Tells stalls from preemption: what the thread had used and waited for at some point before the poll, and what was
/// slept on purpose since.
struct StallMeter {
    limit: Duration,
    /// The thread's own `/proc/thread-self/schedstat`: time on the CPU, time on the run queue, slices.
    schedstat: Option<std::fs::File>,
    base: Usage,
    parks: i64,
    parked: Duration,
}

/// Sampling is a few system calls, so it is done this often at most.
const SAMPLE_EVERY: Duration = Duration::from_millis(1);

/// What the calling thread has used of a CPU.
///
/// Not the time that getrusage gives: that lags by up to a tick of the kernel, which is longer than a stall.
pub fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the result.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "the clock exists on every Linux");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn thread_waits() -> i64 {
    // SAFETY: all-zero is a valid rusage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is a valid place for the result.
    let result = unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) };
    assert_eq!(result, 0, "getrusage of the own thread");
    usage.ru_nvcsw
}

/// The second number of a schedstat file.
fn queued(schedstat: &std::fs::File) -> Option<Duration> {
    let mut text = [0; 96];
    let bytes = schedstat.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(&text[..bytes]).ok()?;
    let nanos = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

impl StallMeter {
    fn new(limit: Duration, now: Instant) -> Self {
        let mut meter = Self {
            limit,
            schedstat: std::fs::File::open("/proc/thread-self/schedstat").ok(),
            base: Usage {
                at: now,
                cpu: Duration::ZERO,
                queued: None,
                waits: 0,
            },
            parks: 0,
            parked: Duration::ZERO,
        };
        meter.sample(now);
        meter
    }

    fn usage(&self, at: Instant) -> Usage {
        Usage {
            at,
            cpu: thread_cpu(),
            queued: self.schedstat.as_ref().and_then(queued),
            waits: thread_waits(),
        }
    }

    fn sample(&mut self, now: Instant) {
        self.base = self.usage(now);
        self.parks = 0;
        self.parked = Duration::ZERO;
    }

    /// How long a poll that ended now and took `spent` held the shard up by its own doing: on the CPU, or waiting for
    /// something else than the CPU. Queueing between the sample and the poll's start counts as the poll's, so on a busy
    /// machine the answer is rather too short than too long.
    fn held_up(&mut self, now: Instant, spent: Duration) -> Duration {
        let (base, parks, parked) = (self.base, self.parks, self.parked);
        self.sample(now);
        let usage = self.base;
        let has_waited = usage.waits - base.waits > parks;
        if let (Some(before), Some(after)) = (base.queued, usage.queued) {
            let here = spent.saturating_sub(after.saturating_sub(before));
            // A thread that waited for nothing was on the CPU, or the machine's host had the CPU, which is nobody's
            // stall.
            let cpu = usage.cpu.saturating_sub(base.cpu);
            return if has_waited { here } else { here.min(cpu) };
        }
        if has_waited {
            return spent;
        }
        let preempted = now
            .since(base.at)
            .saturating_sub(usage.cpu.saturating_sub(base.cpu))
            .saturating_sub(parked);
        spent.saturating_sub(preempted)
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
        self.meter = Some(StallMeter::new(limit, now));
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
        if spent < meter.limit {
            return None;
        }
        let duration = meter.held_up(end, spent);
        if duration < meter.limit {
            return None;
        }
        kind.stalls += 1;
        self.stalls += 1;
        self.longest_stall = self.longest_stall.max(duration);
        Some(Stall {
            kind: kind.name,
            class: kind.class,
            duration,
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
