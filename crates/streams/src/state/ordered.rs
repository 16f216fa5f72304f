//! Slots in the order of their keys.

use std::cmp::Ordering;

use super::{Keys, Slot};

/// A run this long is halved: short enough to be moved by one place in well under a microsecond.
const RUN_SLOTS_MAX: usize = 512;

/// See the module head. It does not hold the keys: each call gets the table whose slots these are.
#[derive(Clone, Debug, Default)]
pub enum OrderedSlots {
    #[default]
    Empty,
    /// Most groups have a single row, and need no memory of their own.
    One(Slot),
    /// Runs, none of which is empty.
    Many(Box<Vec<Vec<Slot>>>),
}

impl OrderedSlots {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        matches!(self, Self::Empty)
    }

    /// Adds a slot that is not among them.
    pub fn insert(&mut self, keys: &Keys, slot: Slot) {
        let key = keys.key(slot);
        let runs = match self {
            Self::Empty => {
                *self = Self::One(slot);
                return;
            }
            Self::One(one) => {
                let run = if keys.key(*one) < key {
                    vec![*one, slot]
                } else {
                    vec![slot, *one]
                };
                *self = Self::Many(Box::new(vec![run]));
                return;
            }
            Self::Many(runs) => runs,
        };
        let at = run_of(runs, keys, key);
        let run = &mut runs[at];
        let place = run.partition_point(|other| keys.key(*other) < key);
        run.insert(place, slot);
        if run.len() > RUN_SLOTS_MAX {
            let upper = run.split_off(RUN_SLOTS_MAX / 2);
            runs.insert(at + 1, upper);
        }
    }

    /// Removes a slot if it is among them.
    pub fn remove(&mut self, keys: &Keys, slot: Slot) {
        let runs = match self {
            Self::Empty => return,
            Self::One(one) => {
                if *one == slot {
                    *self = Self::Empty;
                }
                return;
            }
            Self::Many(runs) => runs,
        };
        let key = keys.key(slot);
        let at = run_of(runs, keys, key);
        let run = &mut runs[at];
        let place = run.partition_point(|other| keys.key(*other) < key);
        if run.get(place) != Some(&slot) {
            return;
        }
        run.remove(place);
        if run.is_empty() {
            runs.remove(at);
        }
        match runs.as_slice() {
            [] => *self = Self::Empty,
            [run] if run.len() == 1 => *self = Self::One(run[0]),
            _ => {}
        }
    }

    /// Those with lesser keys than a slot among them, the greatest first.
    pub fn before<'a>(&'a self, keys: &Keys, slot: Slot) -> impl Iterator<Item = Slot> + 'a {
        let (run, place) = self.find(keys, slot);
        let (nearest, rest): (&[Slot], &[Vec<Slot>]) = match self {
            Self::Many(runs) => (&runs[run][..place], &runs[..run]),
            Self::Empty | Self::One(_) => (&[], &[]),
        };
        let rest = rest.iter().rev().flat_map(|run| run.iter().rev());
        nearest.iter().rev().chain(rest).copied()
    }

    /// Those with greater keys than a slot among them, the least first.
    pub fn behind<'a>(&'a self, keys: &Keys, slot: Slot) -> impl Iterator<Item = Slot> + 'a {
        let (run, place) = self.find(keys, slot);
        let (nearest, rest): (&[Slot], &[Vec<Slot>]) = match self {
            Self::Many(runs) => (&runs[run][place + 1..], &runs[run + 1..]),
            Self::Empty | Self::One(_) => (&[], &[]),
        };
        nearest.iter().chain(rest.iter().flatten()).copied()
    }

    /// The run of a slot, and its place there.
    fn find(&self, keys: &Keys, slot: Slot) -> (usize, usize) {
        let Self::Many(runs) = self else {
            return (0, 0);
        };
        let key = keys.key(slot);
        let run = run_of(runs, keys, key);
        let place = runs[run].partition_point(|other| keys.key(*other) < key);
        assert_eq!(runs[run].get(place), Some(&slot), "the slot is among them");
        (run, place)
    }

    /// From the least key on.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> {
        let (one, runs) = match self {
            Self::Empty => (None, &[][..]),
            Self::One(one) => (Some(*one), &[][..]),
            Self::Many(runs) => (None, runs.as_slice()),
        };
        one.into_iter().chain(runs.iter().flatten().copied())
    }
}

/// The run that this key belongs in: the last one that does not begin above it, or the first.
fn run_of(runs: &[Vec<Slot>], keys: &Keys, key: &[u8]) -> usize {
    let above = runs.partition_point(|run| keys.key(run[0]).cmp(key) != Ordering::Greater);
    above.saturating_sub(1)
}
