//! Order behind changes: the dead leave the table, and the living of several chunks come into one.
//!
//! # Cost
//! As in a log-structured tree a row is copied a logarithmic number of times. Rows are copied while others read them; only
//! their places change while nobody does, some at a time.

use std::sync::Arc;

use arrow_array::BooleanArray;
use arrow_select::{concat::concat_batches, filter::filter_record_batch};

use super::{Arrangement, ENTRIES_AT_ONCE, chunks::Chunk};

/// Chunks are not merged beyond: a merge is work at a stretch.
const CHUNK_ROWS_MAX: usize = 4 << 10;
/// Neither beyond so much memory: a column of text has room for two gigabytes.
pub(super) const CHUNK_BYTES_MAX: usize = 16 << 20;

/// What there is to be done behind changes.
pub enum Tidy {
    /// This: to be written into one ([`Arrangement::merged`]), which is handed to [`Arrangement::begin_merge`].
    Merge(Vec<u32>),
    /// Something more.
    More,
    Nothing,
}

/// The living rows of some chunks, in one.
pub struct Merged {
    chunk: Chunk,
    /// The chunks and their weights, which have not changed.
    of: Vec<(u32, Arc<Vec<i64>>)>,
    /// Where each row is.
    from: Vec<(u32, u32)>,
}

/// Places on their way into a chunk; rows are found in either.
pub struct Merging {
    into: u32,
    of: Vec<u32>,
    from: Vec<(u32, u32)>,
    moved: usize,
}

impl Arrangement {
    /// Some of what changes have left to be put in order. It changes no row.
    pub fn tidy(&mut self) -> Tidy {
        self.before.clear();
        if !self.dead.is_empty() {
            self.remove_dead();
            return Tidy::More;
        }
        if self.merging.is_some() {
            self.move_places();
            return Tidy::More;
        }
        while let Some(number) = self.sparse.pop() {
            if self.chunks.get(number).is_some_and(Chunk::is_sparse) {
                return Tidy::Merge(vec![number]);
            }
        }
        self.newest_alike()
    }

    /// All of it.
    pub fn tidy_all(&mut self) {
        loop {
            match self.tidy() {
                Tidy::Merge(numbers) => {
                    let merged = self.merged(&numbers);
                    self.begin_merge(merged);
                }
                Tidy::More => {}
                Tidy::Nothing => return,
            }
        }
    }

    fn remove_dead(&mut self) {
        let from = self.dead.len().saturating_sub(ENTRIES_AT_ONCE);
        for dead in self.dead.drain(from..) {
            let found = self.places.find_entry(dead.hash, |other| {
                (other.chunk, other.slot) == (dead.chunk, dead.slot)
            });
            let found = found.expect("it died in its place");
            let _ = found.remove();
        }
        if self.dead.is_empty() {
            self.dead = Vec::new();
        }
    }

    /// The newest chunks, if they are of like size.
    fn newest_alike(&mut self) -> Tidy {
        while let Some(newest) = self.chunks.order().last().copied()
            && self.chunks[newest].living == 0
        {
            self.chunks.replace(&[newest], None);
        }
        let [.., older, newer] = *self.chunks.order() else {
            return Tidy::Nothing;
        };
        let numbers = vec![older, newer];
        let (older, newer) = (&self.chunks[older], &self.chunks[newer]);
        let is_large = older.bytes + newer.bytes > CHUNK_BYTES_MAX;
        let (older, newer) = (older.living, newer.living);
        match is_large || older + newer > CHUNK_ROWS_MAX || older > newer * 2 {
            true => Tidy::Nothing,
            false => Tidy::Merge(numbers),
        }
    }

    /// The living rows of neighbouring chunks; those that have gone meanwhile have none.
    #[must_use]
    pub fn merged(&self, numbers: &[u32]) -> Merged {
        let (mut parts, mut of) = (Vec::new(), Vec::new());
        let (mut weights, mut hashes, mut from) = (Vec::new(), Vec::new(), Vec::new());
        for number in numbers {
            let Some(chunk) = self.chunks.get(*number) else {
                continue;
            };
            let living: BooleanArray = chunk.weights.iter().map(|w| Some(*w != 0)).collect();
            for (slot, weight) in (0..).zip(chunk.weights.iter()) {
                if *weight != 0 {
                    weights.push(*weight);
                    hashes.push(chunk.hashes[slot as usize]);
                    from.push((*number, slot));
                }
            }
            parts.push(filter_record_batch(&chunk.rows, &living).expect("a flag for each row"));
            of.push((*number, chunk.weights.clone()));
        }
        let rows = concat_batches(&self.schema, &parts).expect("chunks have one schema");
        Merged {
            chunk: Chunk::new(rows, weights, hashes),
            of,
            from,
        }
    }

    /// From here on `tidy` puts the places there. Nothing happens if the rows are not those any more.
    pub fn begin_merge(&mut self, merged: Merged) {
        let Merged { chunk, of, from } = merged;
        let is_as_it_was = |(number, weights): &(u32, Arc<Vec<i64>>)| {
            let known = self.chunks.get(*number);
            known.is_some_and(|known| Arc::ptr_eq(&known.weights, weights))
        };
        if self.merging.is_some() || !of.iter().all(is_as_it_was) {
            return;
        }
        self.merging = Some(Merging {
            into: self.chunks.add(chunk),
            of: of.into_iter().map(|(number, _)| number).collect(),
            from,
            moved: 0,
        });
    }

    fn move_places(&mut self) {
        let Some(merging) = &mut self.merging else {
            return;
        };
        let end = merging.from.len().min(merging.moved + ENTRIES_AT_ONCE);
        for moved in merging.moved..end {
            let hash = self.chunks[merging.into].hashes[moved];
            let from = merging.from[moved];
            let place = self
                .places
                .find_mut(hash, |place| (place.chunk, place.slot) == from);
            let place = place.expect("every living row has its place");
            (place.chunk, place.slot) = (merging.into, moved as u32);
        }
        merging.moved = end;
        if end == merging.from.len()
            && let Some(Merging { into, of, from, .. }) = self.merging.take()
        {
            let by = (!from.is_empty()).then_some(into);
            self.chunks.replace(&of, by);
            if by.is_none() {
                self.chunks.forget(into);
            }
        }
    }
}
