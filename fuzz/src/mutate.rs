//! Mutations of inputs: what breaks decoders of lengths, counts and nested structures.

use crate::arbitrary::Random;

/// Numbers at the edges of lengths and counts.
const EDGES: &[i64] = &[
    -2,
    -1,
    0,
    1,
    2,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0x8000,
    0xffff,
    0x00ff_ffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    i64::MAX,
    i64::MIN,
];

/// Inputs longer than this teach nothing new.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// Draws inputs from seeds.
pub struct Mutator<'s> {
    random: Random,
    seeds: &'s [Vec<u8>],
}

impl<'s> Mutator<'s> {
    /// Panics without any seed.
    #[must_use]
    pub fn new(seeds: &'s [Vec<u8>], seed: u64) -> Self {
        assert!(!seeds.is_empty(), "a target has seeds");
        Self {
            random: Random(seed),
            seeds,
        }
    }

    fn seed(&mut self) -> &'s [u8] {
        &self.seeds[self.random.below(self.seeds.len() as u64) as usize]
    }

    /// Replaces `input` by a seed with one to four mutations.
    pub fn next_input(&mut self, input: &mut Vec<u8>) {
        input.clear();
        input.extend_from_slice(self.seed());
        for _ in 0..=self.random.below(4) {
            self.mutate(input);
        }
        input.truncate(INPUT_BYTES_MAX);
    }

    fn below(&mut self, end: usize) -> usize {
        self.random.below(end.max(1) as u64) as usize
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let length = input.len();
        let at = self.below(length);
        if input.is_empty() {
            input.push(self.random.draw() as u8);
            return;
        }
        match self.random.below(9) {
            0 => input[at] ^= 1 << self.below(8),
            1 => input[at] = self.random.draw() as u8,
            2 => {
                let bytes = [1, 2, 4, 8][self.below(4)].min(length - at);
                let edge = EDGES[self.below(EDGES.len())].to_be_bytes();
                input[at..at + bytes].copy_from_slice(&edge[8 - bytes..]);
            }
            3 => {
                let mut varint = Vec::new();
                put_varint(&mut varint, EDGES[self.below(EDGES.len())] as u64);
                let removed = self.below(3).min(length - at);
                input.splice(at..at + removed, varint);
            }
            4 => input.truncate(at),
            5 => {
                let end = at + self.below((length - at).min(32)) + 1;
                input.drain(at..end.min(length));
            }
            6 => {
                let end = at + self.below(length - at) + 1;
                let copy = input[at..end.min(length)].to_vec();
                let into = self.below(length);
                input.splice(into..into, copy);
            }
            7 => {
                let other = self.seed();
                let from = self.below(other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
            _ => {
                let bytes: Vec<u8> = (0..=self.below(8))
                    .map(|_| self.random.draw() as u8)
                    .collect();
                input.splice(at..at, bytes);
            }
        }
    }
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
