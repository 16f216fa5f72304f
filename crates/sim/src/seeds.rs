//! Many seeds of one run: how many, which, how fast, and how to repeat the one that failed.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    time::{Duration, Instant},
};

/// Seeds on demand: `FOREBAY_SEEDS=50000` runs that many instead of the default number.
const COUNT_VARIABLE: &str = "FOREBAY_SEEDS";
/// One seed alone, with its last events in words: `FOREBAY_SEED=17`.
const SEED_VARIABLE: &str = "FOREBAY_SEED";
/// Simulated time over real time: what every suite must reach over all its seeds.
const RATIO_MIN: f64 = 50.0;

/// A suite: every test run covers its first seeds, and more on demand.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Name of the test function, for the line that says how to repeat a seed.
    pub name: &'static str,
    /// Seeds of an ordinary test run.
    pub count: u64,
    /// This suite takes every `parts`-th seed from `part` on, so that the test harness runs the parts side by side.
    pub part: u64,
    pub parts: u64,
}

/// What a run tells of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    pub simulated: Duration,
    /// Crashes of any kind that the run recovered from.
    pub crashes: u64,
    /// Acknowledged entries or records that were checked.
    pub acknowledged: u64,
}

/// How a seed is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Seed {
    pub seed: u64,
    /// Lines of trace to keep, for a seed that is looked at.
    pub trace_lines: usize,
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

impl Suite {
    /// Runs the suite's seeds; the first that fails ends it with its number.
    pub fn run(&self, one: impl Fn(Seed) -> Ran) {
        if let Some(seed) = variable(SEED_VARIABLE) {
            let ran = one(Seed {
                seed,
                trace_lines: 200,
            });
            println!("seed={seed}: {ran:?}");
            return;
        }
        let count = variable(COUNT_VARIABLE).unwrap_or(self.count);
        let start = Instant::now();
        let mut total = Ran::default();
        let mut seeds = 0;
        for seed in (self.part..count).step_by(self.parts as usize) {
            let ran = self.guarded(seed, &one);
            total.simulated += ran.simulated;
            total.crashes += ran.crashes;
            total.acknowledged += ran.acknowledged;
            seeds += 1;
        }
        let real = start.elapsed();
        let ratio = total.simulated.as_secs_f64() / real.as_secs_f64();
        println!(
            "{}: {seeds} seeds in {:.1} s, {:.0} s simulated ({ratio:.0} x), {} crashes, {} acknowledged",
            self.name,
            real.as_secs_f64(),
            total.simulated.as_secs_f64(),
            total.crashes,
            total.acknowledged,
        );
        assert!(
            ratio >= RATIO_MIN,
            "simulated time is only {ratio:.0} times real time"
        );
    }

    fn guarded(&self, seed: u64, one: &impl Fn(Seed) -> Ran) -> Ran {
        let run = || {
            one(Seed {
                seed,
                trace_lines: 0,
            })
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(ran) => ran,
            Err(payload) => {
                eprintln!(
                    "seed={seed} failed; to repeat it: {SEED_VARIABLE}={seed} cargo test -p sim --test it {}",
                    self.name
                );
                resume_unwind(payload)
            }
        }
    }
}

/// The first of `count` seeds for which `one` panics, with what it said: how planted bugs are looked for.
pub fn first_failure(count: u64, one: impl Fn(Seed) -> Ran) -> Option<(u64, String)> {
    let quiet = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let found = (0..count).find_map(|seed| {
        let run = || {
            one(Seed {
                seed,
                trace_lines: 0,
            })
        };
        let payload = catch_unwind(AssertUnwindSafe(run)).err()?;
        let said = payload
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| payload.downcast_ref::<&str>().map(ToString::to_string))
            .unwrap_or_else(|| "a panic without words".to_owned());
        Some((seed, said))
    });
    std::panic::set_hook(quiet);
    found
}
