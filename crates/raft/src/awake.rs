//! The set of a shard's groups that need ticks.
//!
//! # Place
//! Beside a shard's slab of replicas. After handlers of a replica ran, the node puts its `is_awake` here; a round of ticks
//! visits the set and nothing else.
//!
//! # Cost
//! A bit per group: a round over ten thousand groups that all hibernate reads 1.3 KB.

/// See the module head.
#[derive(Clone, Debug, Default)]
pub struct AwakeSet {
    words: Vec<u64>,
}

impl AwakeSet {
    /// Notes whether the group in place `at` of the slab is awake.
    pub fn set(&mut self, at: usize, is_awake: bool) {
        let (word, bit) = (at / 64, 1u64 << (at % 64));
        if word >= self.words.len() {
            if !is_awake {
                return;
            }
            self.words.resize(word + 1, 0);
        }
        if is_awake {
            self.words[word] |= bit;
        } else {
            self.words[word] &= !bit;
        }
    }

    /// The first group at or after `at` that is awake. Groups may be put in and taken out between calls.
    #[must_use]
    pub fn next(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.words.get(word)? & (u64::MAX << (at % 64));
        while bits == 0 {
            word += 1;
            bits = *self.words.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// How many groups are awake.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }
}
