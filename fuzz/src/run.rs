//! The loop that tries inputs on a target.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use crate::{Mutator, Target, memory};

/// Longer than any input takes, however busy the machine: a decoder that needs it loops.
const INPUT_TIME_MAX: Duration = Duration::from_secs(10);

const TRIES_OF_SLOW: usize = 3;

/// How long to try.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    Rounds(u64),
    Time(Duration),
}

/// An input that a target does not survive.
#[derive(Clone, Debug)]
pub struct Finding {
    pub input: Vec<u8>,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    Panic(String),
    Allocated { bytes: usize, bytes_max: usize },
    Slow(Duration),
}

#[derive(Clone, Debug)]
pub struct Outcome {
    pub rounds: u64,
    pub finding: Option<Finding>,
}

/// Tries the seeds as they are, then mutations of them, until the limit or the first finding.
#[must_use]
pub fn fuzz(target: &Target, seed: u64, limit: Limit) -> Outcome {
    let seeds = (target.seeds)();
    let mut mutator = Mutator::new(&seeds, seed);
    let mut input = Vec::new();
    let begun = Instant::now();
    let mut rounds = 0;
    loop {
        match seeds.get(rounds as usize) {
            Some(seed) => input.clone_from(seed),
            None => mutator.next_input(&mut input),
        }
        rounds += 1;
        if let Some(fault) = fault_of(target, &input) {
            let finding = Some(Finding { input, fault });
            return Outcome { rounds, finding };
        }
        let ended = match limit {
            Limit::Rounds(rounds_max) => rounds >= rounds_max,
            // Asking for the time costs as much as a short input.
            Limit::Time(time) => rounds % 64 == 0 && begun.elapsed() >= time,
        };
        if ended {
            return Outcome {
                rounds,
                finding: None,
            };
        }
    }
}

/// What the input does to the target. Slowness only counts when it shows again: a thread that waits for a busy machine is
/// slow once, a decoder that loops always.
fn fault_of(target: &Target, input: &[u8]) -> Option<Fault> {
    let slow = |fault: &Fault| matches!(fault, Fault::Slow(_));
    let mut fault = try_input(target, input);
    for _ in 0..TRIES_OF_SLOW {
        if fault.as_ref().is_some_and(slow) {
            fault = try_input(target, input);
        }
    }
    fault
}

fn try_input(target: &Target, input: &[u8]) -> Option<Fault> {
    let begun = Instant::now();
    let (result, bytes) =
        memory::peak_bytes(|| catch_unwind(AssertUnwindSafe(|| (target.run)(input))));
    if let Err(payload) = result {
        let text = payload.downcast_ref::<String>().cloned().or_else(|| {
            payload
                .downcast_ref::<&str>()
                .map(|text| (*text).to_owned())
        });
        return Some(Fault::Panic(text.unwrap_or_default()));
    }
    let bytes_max = (target.allocated_bytes_max)(input.len());
    if bytes > bytes_max {
        return Some(Fault::Allocated { bytes, bytes_max });
    }
    let time = begun.elapsed();
    (time > INPUT_TIME_MAX).then_some(Fault::Slow(time))
}
