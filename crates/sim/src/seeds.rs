//! Many seeds of one run: how many, which, how fast, and how to repeat the one that failed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Once,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use runtime::stats::thread_cpu;

/// Seeds on demand: `FOREBAY_SEEDS=50000` runs that many instead of the default number; a suite with a share takes its
/// share of them.
const COUNT_VARIABLE: &str = "FOREBAY_SEEDS";
/// The first seed, 0 unless told otherwise.
const BASE_VARIABLE: &str = "FOREBAY_SEED_BASE";
/// One seed alone, with its last events in words: `FOREBAY_SEED=17`.
const SEED_VARIABLE: &str = "FOREBAY_SEED";
/// Seeds of an ordinary test run.
const COUNT: u64 = 2000;
/// Simulated time over the CPU time of the threads that simulate (their real time, on a machine that does nothing else):
/// what every suite must reach over all its seeds.
const RATIO_MIN: f64 = 50.0;
/// A suite gives up after so many failing seeds: enough to see whether they have one cause.
const FAILURES_MAX: usize = 12;

/// A test over many seeds.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Name of the test function, for the line that says how to repeat a seed.
    pub name: &'static str,
    /// One of so many seeds is for this suite: runs of whole nodes take longer than runs of one store.
    pub share: u64,
}

/// What a run tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    pub simulated: Duration,
    /// Crashes of any kind that the run recovered from.
    pub crashes: u64,
    /// Acknowledged entries or records that were checked.
    pub acknowledged: u64,
    /// Hash over everything that happened.
    pub trace_hash: u64,
}

/// How a seed is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    pub seed: u64,
    /// Lines of trace to keep, for a seed that is looked at.
    pub trace_lines: usize,
}

impl Seed {
    /// A seed among many: nothing is kept but the hash.
    pub fn quiet(seed: u64) -> Self {
        Self {
            seed,
            trace_lines: 0,
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Totals of the runs of one suite.
#[derive(Default)]
struct Total {
    seeds: u64,
    simulated: Duration,
    /// CPU time of the threads, added up.
    cpu: Duration,
    crashes: u64,
    acknowledged: u64,
}

impl Total {
    fn add(&mut self, ran: Ran, cpu: Duration) {
        self.seeds += 1;
        self.simulated += ran.simulated;
        self.cpu += cpu;
        self.crashes += ran.crashes;
        self.acknowledged += ran.acknowledged;
    }

    fn merge(&mut self, other: &Total) {
        self.seeds += other.seeds;
        self.simulated += other.simulated;
        self.cpu += other.cpu;
        self.crashes += other.crashes;
        self.acknowledged += other.acknowledged;
    }
}

impl Suite {
    /// Runs the suite's seeds on all cores. Panics when one fails, with its number and what it said.
    pub fn run(&self, one: impl Fn(Seed) -> Ran + Sync) {
        if let Some(seed) = variable(SEED_VARIABLE) {
            let ran = one(Seed {
                seed,
                trace_lines: 200,
            });
            println!("seed={seed}: {ran:?}");
            return;
        }
        let count = variable(COUNT_VARIABLE).unwrap_or(COUNT) / self.share;
        let base = variable(BASE_VARIABLE).unwrap_or(0);
        let began = Instant::now();
        let failures = AtomicU64::new(0);
        let parts = on_all_cores(count, |number, (total, failed): &mut (Total, Failed)| {
            let began = thread_cpu();
            match guarded(base + number, &one) {
                Ok(ran) => total.add(ran, thread_cpu() - began),
                Err(said) => {
                    failures.fetch_add(1, Ordering::Relaxed);
                    failed.insert(base + number, said);
                }
            }
            failures.load(Ordering::Relaxed) < FAILURES_MAX as u64
        });
        let mut total = Total::default();
        let mut failed = Failed::new();
        for (part, part_failed) in parts {
            total.merge(&part);
            failed.extend(part_failed);
        }
        self.report(&total, base, began.elapsed());
        self.judge(&total, &failed);
    }

    fn report(&self, total: &Total, base: u64, wall: Duration) {
        println!(
            "{}: {} seeds from {base} on in {:.1} s ({:.0} per CPU second), {:.0} s simulated ({:.0} x), {} crashes, {} \
             acknowledged",
            self.name,
            total.seeds,
            wall.as_secs_f64(),
            total.seeds as f64 / total.cpu.as_secs_f64(),
            total.simulated.as_secs_f64(),
            total.simulated.as_secs_f64() / total.cpu.as_secs_f64(),
            total.crashes,
            total.acknowledged,
        );
    }

    fn judge(&self, total: &Total, failed: &Failed) {
        for (seed, said) in failed {
            eprintln!(
                "seed={seed}: {said}\n  to repeat it: {SEED_VARIABLE}={seed} cargo test -p sim --test it {}",
                self.name
            );
        }
        assert!(failed.is_empty(), "{} seeds failed", failed.len());
        assert!(total.crashes > 0, "nothing was crashed");
        let ratio = total.simulated.as_secs_f64() / total.cpu.as_secs_f64();
        assert!(
            ratio >= RATIO_MIN,
            "{}: simulated time is {ratio:.0} times real time, not {RATIO_MIN}",
            self.name,
        );
    }
}

/// Failing seeds with what they said.
type Failed = BTreeMap<u64, String>;

/// Calls `one` with every number below `count`, each thread with a state of its own, until it says false.
fn on_all_cores<S: Default + Send>(count: u64, one: impl Fn(u64, &mut S) -> bool + Sync) -> Vec<S> {
    let next = AtomicU64::new(0);
    let is_over = AtomicBool::new(false);
    let work = || {
        let mut state = S::default();
        while !is_over.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            if !one(number, &mut state) {
                is_over.store(true, Ordering::Relaxed);
            }
        }
        state
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("panics of a run are caught"))
            .collect()
    })
}

/// The lowest of `count` seeds for which `one` panics, with what it said: how planted bugs are looked for.
pub fn first_failure(count: u64, one: impl Fn(Seed) -> Ran + Sync) -> Option<(u64, String)> {
    let parts = on_all_cores(count, |seed, failed: &mut Failed| {
        if let Err(said) = guarded(seed, &one) {
            failed.insert(seed, said);
        }
        failed.is_empty()
    });
    let mut failed: Failed = parts.into_iter().flatten().collect();
    failed.pop_first()
}

thread_local! {
    /// A seed runs on this thread, and its panic is data.
    static IS_GUARDED: Cell<bool> = const { Cell::new(false) };
    static SAID: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs one seed; `Err` with the words of its panic and their place.
fn guarded(seed: u64, one: &impl Fn(Seed) -> Ran) -> Result<Ran, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let otherwise = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if IS_GUARDED.get() {
                SAID.replace(Some(panic.to_string()));
            } else {
                otherwise(panic);
            }
        }));
    });
    IS_GUARDED.set(true);
    let ran = catch_unwind(AssertUnwindSafe(|| one(Seed::quiet(seed))));
    IS_GUARDED.set(false);
    let said = SAID.take();
    ran.map_err(|_| said.unwrap_or_else(|| "a panic without words".to_owned()))
}
