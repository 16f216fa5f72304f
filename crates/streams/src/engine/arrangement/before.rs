//! What those still see who read the epoch before, while an epoch changes rows.
//!
//! # Place
//! Beside an arrangement's weights, from an epoch's first change until it is tidied up behind it. Not for whoever pins an
//! epoch: snapshots are for that.
//!
//! # Cost
//! An entry of a hash table for each row that was there and changes, under the hash that its place has already; looked at
//! only by readers that come in between.

use hashbrown::HashTable;

use super::Place;

/// Entries for which there is room are kept for the next epoch, as long as they are no more.
const ENTRIES_KEPT: usize = 1 << 16;

/// See the module head.
#[derive(Default)]
pub struct Before {
    /// Which has changed rows last.
    pub epoch: u64,
    weights: HashTable<(Place, i64)>,
}

impl Before {
    /// From here on this epoch changes rows.
    pub fn begin(&mut self, epoch: u64) {
        if epoch != self.epoch {
            self.clear();
            self.epoch = epoch;
        }
    }

    /// What the weight was that is about to change.
    pub fn note(&mut self, place: Place, weight: i64) {
        if self.weight(place).is_none() {
            let entry = (place, weight);
            self.weights
                .insert_unique(place.hash, entry, |(place, _)| place.hash);
        }
    }

    /// `None`: it is as it was.
    pub fn weight(&self, place: Place) -> Option<i64> {
        let is_it = |(other, _): &(Place, i64)| *other == place;
        let found = self.weights.find(place.hash, is_it)?;
        Some(found.1)
    }

    pub fn clear(&mut self) {
        match self.weights.capacity() > ENTRIES_KEPT {
            true => self.weights = HashTable::new(),
            false => self.weights.clear(),
        }
    }

    pub fn bytes(&self) -> usize {
        self.weights.capacity() * size_of::<(Place, i64)>()
    }
}
