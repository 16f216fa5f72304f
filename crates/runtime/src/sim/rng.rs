//! Seeded randomness of the simulator: streams that stay the same whatever the dependencies do.

use std::time::Duration;

/// xoshiro256** (Blackman and Vigna, 2018), seeded through splitmix64.
///
/// It is our own so that a failing seed still fails after a dependency was updated, and split in
/// streams so that one more draw for the network does not shift what the disk does.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

/// What a stream of draws is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Scheduling = 1,
    Disk = 2,
    Net = 3,
    Crash = 4,
    Test = 5,
    Product = 6,
    Permits = 7,
}

fn splitmix64(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut mixer = seed;
        Self {
            state: std::array::from_fn(|_| splitmix64(&mut mixer)),
        }
    }

    /// The stream for one purpose; `salt` tells hosts and shards apart.
    pub(crate) fn stream(seed: u64, stream: Stream, salt: u64) -> Self {
        let mut mixer = seed ^ (stream as u64).rotate_left(56);
        let mixed = splitmix64(&mut mixer) ^ salt.wrapping_mul(0xd6e8_feb8_6659_fd93);
        Self::new(mixed)
    }

    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = b.wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Uniform in `0..below`; 0 when `below` is 0. Multiply-shift, whose bias of 2^-64 * below no test can see.
    pub fn below(&mut self, below: u64) -> u64 {
        ((u128::from(self.next_u64()) * u128::from(below)) >> 64) as u64
    }

    /// Uniform in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below((high - low).saturating_add(1))
    }

    /// True with this probability. Draws even when the answer is certain, so that turning one fault off
    /// leaves every other decision of the seed as it was.
    pub fn chance(&mut self, probability: f64) -> bool {
        let drawn = (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < probability
    }

    pub fn duration(&mut self, range: (Duration, Duration)) -> Duration {
        let (low, high) = (range.0.as_nanos() as u64, range.1.as_nanos() as u64);
        Duration::from_nanos(self.between(low, high.max(low)))
    }
}

#[cfg(test)]
mod tests;
