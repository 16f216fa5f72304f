//! Slots in the order of their keys.

use std::cmp::Ordering;

use super::{Keys, Slot};

/// A run this long is halved: short enough to be moved by one place in well under a microsecond.
const RUN_SLOTS_MAX: usize = 512;

/// See the module head. It does not hold the keys: each call gets the table whose slots these are.
#[derive(Clone, Debug, Default)]
pub struct OrderedSlots {
    /// None is empty.
    runs: Vec<Vec<Slot>>,
}

impl OrderedSlots {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds a slot that is not among them.
    pub fn insert(&mut self, keys: &Keys, slot: Slot) {
        let key = keys.key(slot);
        let at = self.run_of(keys, key);
        let Some(run) = self.runs.get_mut(at) else {
            self.runs.push(vec![slot]);
            return;
        };
        let place = run.partition_point(|other| keys.key(*other) < key);
        run.insert(place, slot);
        if run.len() > RUN_SLOTS_MAX {
            let upper = run.split_off(RUN_SLOTS_MAX / 2);
            self.runs.insert(at + 1, upper);
        }
    }

    /// Removes a slot if it is among them.
    pub fn remove(&mut self, keys: &Keys, slot: Slot) {
        let key = keys.key(slot);
        let at = self.run_of(keys, key);
        let Some(run) = self.runs.get_mut(at) else {
            return;
        };
        let place = run.partition_point(|other| keys.key(*other) < key);
        if run.get(place) == Some(&slot) {
            run.remove(place);
            if run.is_empty() {
                self.runs.remove(at);
            }
        }
    }

    /// From the least key on.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Slot> {
        self.runs.iter().flatten().copied()
    }

    /// From the least key on that is not below this one.
    pub fn from(&self, keys: &Keys, key: &[u8]) -> impl Iterator<Item = Slot> {
        let at = self.run_of(keys, key);
        let run = self.runs.get(at).map_or(&[][..], Vec::as_slice);
        let place = run.partition_point(|other| keys.key(*other) < key);
        let behind = self.runs.get(at + 1..).unwrap_or_default();
        run[place..].iter().chain(behind.iter().flatten()).copied()
    }

    /// From the greatest key down that is below this one.
    pub fn below(&self, keys: &Keys, key: &[u8]) -> impl Iterator<Item = Slot> {
        let at = self.run_of(keys, key);
        let run = self.runs.get(at).map_or(&[][..], Vec::as_slice);
        let place = run.partition_point(|other| keys.key(*other) < key);
        let before = &self.runs[..at.min(self.runs.len())];
        run[..place]
            .iter()
            .rev()
            .chain(before.iter().rev().flat_map(|run| run.iter().rev()))
            .copied()
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let slots: usize = self.runs.iter().map(Vec::capacity).sum();
        self.runs.capacity() * size_of::<Vec<Slot>>() + slots * size_of::<Slot>()
    }

    /// The run that this key belongs in: the last one that does not begin above it, or the first.
    fn run_of(&self, keys: &Keys, key: &[u8]) -> usize {
        let above = self
            .runs
            .partition_point(|run| keys.key(run[0]).cmp(key) != Ordering::Greater);
        above.saturating_sub(1)
    }
}
