//! Process functions: what a program does with each event of a key, and when its timers are due.

use std::time::Duration;

use crate::{
    event::{Event, Timestamp},
    rows::Origin,
    state::State,
    step::Timers,
};

/// A function over the events of each key, with state and timers.
///
/// It is called for the events of a partition in their order, for those of several partition by partition within an epoch.
/// Its answers may depend on what it is given and on nothing else: time and randomness come from the context.
pub trait Process: Send + Sync + 'static {
    type Key: Event;
    type Input: 'static;
    type Output: Clone + Send + 'static;
    type State: State;

    fn on_event(
        &self,
        state: &mut Self::State,
        event: Self::Input,
        context: &mut Context<'_, Self::Key, Self::Output>,
    );

    /// A timer of the key is due.
    fn on_timer(
        &self,
        _state: &mut Self::State,
        _timer: Timer,
        _context: &mut Context<'_, Self::Key, Self::Output>,
    ) {
    }
}

/// What a timer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Clock {
    /// No event is to come that is older: the watermark.
    Event,
    /// The clock of the epochs.
    Processing,
}

/// A timer of a key. There is at most one for each clock and time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timer {
    pub clock: Clock,
    pub at: Timestamp,
}

/// What a process function knows and may do beside its state.
pub struct Context<'a, K, O> {
    pub(crate) key: &'a K,
    pub(crate) key_bytes: &'a [u8],
    pub(crate) origin: Origin,
    pub(crate) now: i64,
    pub(crate) watermark: Option<i64>,
    pub(crate) out: &'a mut Vec<(O, i64)>,
    pub(crate) timers: &'a mut Timers,
    pub(crate) has_time: bool,
    pub(crate) output: &'a mut streams::Output,
    /// Of the step and this call.
    pub(crate) seed: u64,
    pub(crate) draws: u64,
}

impl<K, O> Context<'_, K, O> {
    #[must_use]
    pub fn key(&self) -> &K {
        self.key
    }

    /// Of the event, or of the timer.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        Timestamp(self.origin.time)
    }

    /// The clock of the epoch: the same whenever the epoch is gone through.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        Timestamp(self.now)
    }

    /// Up to where events are complete, when the epoch ends.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp> {
        self.watermark.map(Timestamp)
    }

    /// Puts something out, with the time of what it answers.
    pub fn emit(&mut self, output: O) {
        self.out.push((output, self.origin.time));
    }

    pub fn emit_at(&mut self, output: O, time: Timestamp) {
        self.out.push((output, time.0));
    }

    /// A timer of the event time is none, and a fault, where a topic that leads here has no `event_time`: it would never be
    /// due.
    pub fn set_timer(&mut self, clock: Clock, at: Timestamp) {
        if clock == Clock::Event && !self.has_time {
            return self.output.fault(streams::Fault {
                sqlstate: *b"55000",
                message: "a timer of the event time was set where no time was declared".to_owned(),
            });
        }
        self.timers.set(clock, at.0, self.key_bytes);
    }

    /// So long after `now`.
    pub fn set_timer_in(&mut self, wait: Duration) {
        self.set_timer(Clock::Processing, self.now().plus(wait));
    }

    pub fn clear_timer(&mut self, clock: Clock, at: Timestamp) {
        self.timers.clear(clock, at.0, self.key_bytes);
    }

    /// Counts the event as late: it came when it could change nothing any more.
    pub fn count_late(&mut self) {
        self.output.late_rows += 1;
    }

    /// Numbers of this call alone, the same whenever the epoch is gone through.
    pub fn random_u64(&mut self) -> u64 {
        self.draws += 1;
        let mut seed = mix(self.seed);
        seed = mix(seed ^ self.now.cast_unsigned());
        seed = mix(seed ^ self.origin.offset.cast_unsigned());
        seed = mix(seed
            ^ self.origin.time.cast_unsigned()
            ^ u64::from(self.origin.partition.cast_unsigned()) << 48);
        for byte in self.key_bytes {
            seed = mix(seed ^ u64::from(*byte));
        }
        mix(seed ^ self.draws)
    }
}

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// What a step of two streams is given.
#[derive(Clone, Debug, PartialEq)]
pub enum Either<L, R> {
    Left(L),
    Right(R),
}
