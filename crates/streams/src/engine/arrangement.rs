//! The rows of a view as they are now: columns in chunks, found by key, readable by anybody at no cost to the stream.
//!
//! # Place
//! Changed on the engine's shard. Other threads look rows up (`shared`), as of the epoch before while one changes rows
//! (`before`); snapshots go to any thread.
//!
//! # Invariants
//! 1. A row's weight is how often it is there; it is never negative (asserted when a delta is applied). A place of weight
//!    zero is dead: its row has gone, or is staged and has not come yet. Nobody finds it.
//! 2. `places` has all living rows, each under the hash of its key columns, or of all columns where there is no key; and dead
//!    ones only between `stage` and the `tidy` behind it. With a key no two living rows share one. Keys are compared in full.
//! 3. Each index has an entry for each living row. Entries name rows by key, so that merges of chunks do not touch them.
//! 4. What a snapshot holds never changes: weights are copied before they are written while a snapshot has them.
//!
//! # Cost
//! A row that comes: its key is encoded and hashed with its chunk, one table entry. A row that goes: one search, its key put
//! together with those of its chunk's others to compare, and its weight. Readers wait while weights and entries of the table
//! (and of indexes) change, which is some at a time: rows that go are looked for before (`prepare`), those that come are put
//! into columns before (`stage`), and what chunks are merged into is written while they are read (`merging`). A snapshot
//! copies one reference for each chunk.
//!
//! # Instead of
//! Rows as bytes in a hash table: every question would decode all of them, on this shard. Undo lists of more than one epoch:
//! a reader that pins one for long would make each change longer.

mod before;
mod chunks;
mod index;
mod loading;
mod merging;
mod rows;

use std::{collections::BTreeMap, hash::BuildHasher, sync::Arc};

use arrow_array::{Array, ArrayRef, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::{interleave::interleave, take::take_record_batch};
use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::{
    Delta,
    delta::CHUNK_ROWS,
    row::{RowCodec, Rows as Encoded},
};
use before::Before;
use chunks::{Chunk, Chunks};
use index::Index;
pub use loading::{Loaded, Loader};
use merging::Merging;
pub use merging::{Merged, Tidy};
pub use rows::Rows;

/// Entries of the table, or weights, that are changed at a stretch: some ten microseconds.
const ENTRIES_AT_ONCE: usize = 128;

/// Frozen only for the life of a process: what is on disk has no hashes.
const HASHES: FixedState = FixedState::with_seed(0);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    hash: u64,
    chunk: u32,
    slot: u32,
}

/// A change, with most of the work done that it takes to apply it.
pub struct Prepared {
    delta: Delta,
    weights: Vec<i64>,
    keys: Encoded,
    hashes: Vec<u64>,
    /// Of rows that may be there, where that was. Whoever has gone meanwhile is looked for again.
    places: Vec<Option<Place>>,
    /// By the columns of an index, what it finds the rows by.
    indexed: Vec<(Vec<usize>, Encoded)>,
    /// Changes that had been applied by then.
    after: u64,
    /// Rows that come and were not there then, in order, and their chunk once they are staged.
    coming: Vec<u32>,
    chunk: Option<u32>,
    /// Of `coming`, those that have a place.
    staged: usize,
    applying: Option<Applying>,
}

/// A change that is partly applied.
struct Applying {
    /// No change has been applied since it was prepared.
    is_as_prepared: bool,
    /// Rows that go have gone as far as this,
    going: usize,
    /// and then those that come have come as far as this.
    row: usize,
    /// Of `coming`, those that have been passed.
    staged: usize,
    /// What they will weigh.
    come: Vec<i64>,
    /// Rows that come and have no place yet: their weights and hashes.
    others: Vec<(u32, i64, u64)>,
}

impl Prepared {
    /// What each of these indexes finds the rows by.
    fn indexed_for(&self, indexes: &[Index]) -> Vec<&Encoded> {
        let values_of = |index: &Index| {
            let mut known = self.indexed.iter();
            let known = known.find(|(columns, _)| *columns == index.columns);
            &known.expect("no index came meanwhile").1
        };
        indexes.iter().map(values_of).collect()
    }
}

/// An index that has not gone through all rows yet.
pub struct Building {
    index: Index,
    chunk: usize,
    row: usize,
}

impl Building {
    /// Memory so far.
    pub fn bytes(&self) -> usize {
        self.index.bytes()
    }
}

/// See the module head.
pub struct Arrangement {
    schema: SchemaRef,
    /// Columns that the places are found by.
    key: Vec<usize>,
    has_key: bool,
    codec: RowCodec,
    /// Of all columns.
    rows_codec: RowCodec,
    chunks: Chunks,
    /// Chunks that have become sparse.
    sparse: Vec<u32>,
    merging: Option<Merging>,
    places: HashTable<Place>,
    /// Dead ones in `places`.
    dead: Vec<Place>,
    before: Before,
    /// Applied so far.
    changes: u64,
    rows: u64,
    indexes: Vec<Index>,
}

/// A row that a delta takes away and that is not there, so a fault of this program: the state and its input disagree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a change takes away a row that is not there")]
pub struct NotThere;

impl Arrangement {
    /// Empty; `key`: columns that no two rows share.
    #[must_use]
    pub fn new(schema: SchemaRef, key: Option<&[usize]>) -> Self {
        let has_key = key.is_some();
        let key = key.map_or_else(|| (0..schema.fields().len()).collect(), <[usize]>::to_vec);
        let types = key.iter().map(|at| schema.field(*at).data_type());
        let all = schema.fields().iter().map(|field| field.data_type());
        let types_fit = "the planner keeps to types that rows can have";
        Self {
            codec: RowCodec::ascending(types).expect(types_fit),
            rows_codec: RowCodec::ascending(all).expect(types_fit),
            key,
            has_key,
            schema,
            chunks: Chunks::default(),
            sparse: Vec::new(),
            merging: None,
            places: HashTable::new(),
            dead: Vec::new(),
            before: Before::default(),
            changes: 0,
            rows: 0,
            indexes: Vec::new(),
        }
    }

    /// Another for rows of the same kind, without any and without indexes.
    #[must_use]
    pub fn emptied(&self) -> Self {
        Self::new(self.schema.clone(), self.key())
    }

    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows that are there, each as often as it is.
    #[must_use]
    pub fn row_count(&self) -> u64 {
        self.rows
    }

    /// Memory of the rows and their places.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let indexes: usize = self.indexes.iter().map(Index::bytes).sum();
        let places = self.places.capacity() + self.dead.capacity();
        self.chunks.bytes() + indexes + places * size_of::<Place>() + self.before.bytes()
    }

    /// Gets a change ready, whatever order its rows are in: what comes and goes within it is set off. No index may come
    /// until it is applied, and nothing may be left to `tidy` of the epochs before.
    #[must_use]
    pub fn prepare(&self, delta: &Delta) -> Prepared {
        assert!(self.merging.is_none(), "changes before it are tidied up");
        let keys = self.key_columns(delta.rows());
        let keys = self.codec.encode(&keys, delta.len());
        let hashes: Vec<u64> = keys.iter().map(|key| HASHES.hash_one(key)).collect();
        let weights = self.net_weights(delta, &keys, &hashes);
        let indexes = self.indexes.iter();
        let indexed = indexes.map(|index| (index.columns.clone(), index.values(delta.rows())));
        let places = self.places_of(&keys, &hashes, &weights);
        let rows = 0..weights.len();
        let coming = rows.filter(|row| weights[*row] > 0 && places[*row].is_none());
        Prepared {
            coming: coming.map(|row| row as u32).collect(),
            places,
            weights,
            hashes,
            indexed: indexed.collect(),
            keys,
            delta: delta.clone(),
            after: self.changes,
            chunk: None,
            staged: 0,
            applying: None,
        }
    }

    /// Enters some of the rows that come, so that nobody finds them yet; true while there is more. Whoever has begun must
    /// apply the change.
    pub fn stage(&mut self, change: &mut Prepared) -> bool {
        let Prepared { delta, coming, .. } = &*change;
        if coming.is_empty() {
            return false;
        }
        let number = change.chunk.unwrap_or_else(|| {
            let hashes = coming.iter().map(|row| change.hashes[*row as usize]);
            let rows = rows_at(delta, coming);
            self.chunks.push(Chunk::staged(rows, hashes.collect()))
        });
        let chunk = &self.chunks[number];
        let end = coming.len().min(change.staged + ENTRIES_AT_ONCE);
        for slot in change.staged..end {
            let place = Place {
                hash: chunk.hashes[slot],
                chunk: number,
                slot: slot as u32,
            };
            self.places
                .insert_unique(place.hash, place, |place| place.hash);
        }
        (change.chunk, change.staged) = (Some(number), end);
        end < change.coming.len()
    }

    /// Applies some of a change, which is part of this epoch: the newest, or the one behind it; true while there is more.
    /// Rows as of now are right again at its end. `tidy` is called behind it; until then a look-up finds rows as of the epoch
    /// before, too.
    pub fn apply_some(&mut self, change: &mut Prepared, epoch: u64) -> Result<bool, NotThere> {
        if self.stage(change) {
            return Ok(true);
        }
        self.before.begin(epoch);
        let mut applying = change.applying.take().unwrap_or_else(|| {
            self.changes += 1;
            Applying {
                is_as_prepared: change.after + 1 == self.changes,
                going: 0,
                row: 0,
                staged: 0,
                come: vec![0; change.coming.len()],
                others: Vec::new(),
            }
        });
        let rows = change.weights.len();
        if applying.going < rows {
            applying.going = self.take_away(change, applying.going)?;
        } else if applying.row < rows {
            let end = applying.row + ENTRIES_AT_ONCE;
            self.bring(change, &mut applying, end.min(rows));
        }
        if applying.row < rows {
            change.applying = Some(applying);
            return Ok(true);
        }
        let Applying { come, others, .. } = applying;
        if let Some(number) = change.chunk {
            self.rows = self.rows.wrapping_add_signed(come.iter().sum());
            let chunk = &mut self.chunks[number];
            chunk.living = come.iter().filter(|weight| **weight != 0).count();
            chunk.weights = Arc::new(come);
            chunk.since = epoch;
            if chunk.is_sparse() {
                self.sparse.push(number);
            }
        }
        self.put(&change.delta, &others, epoch);
        Ok(false)
    }

    /// Some of the rows of a change that go, from this one on; behind which.
    fn take_away(&mut self, change: &Prepared, from: usize) -> Result<usize, NotThere> {
        let indexed = change.indexed_for(&self.indexes);
        let mut gone = 0;
        for (row, weight) in change.weights.iter().enumerate().skip(from) {
            if *weight >= 0 {
                continue;
            }
            if gone == ENTRIES_AT_ONCE {
                return Ok(row);
            }
            gone += 1;
            let key = change.keys.row(row);
            let left = self.add_weight(change.places[row], key, *weight);
            if left.ok_or(NotThere)? == 0 {
                for (index, values) in self.indexes.iter_mut().zip(&indexed) {
                    index.remove(values.row(row), key);
                }
            }
        }
        Ok(change.weights.len())
    }

    /// Those rows of a change that come, up to this one.
    fn bring(&mut self, change: &Prepared, applying: &mut Applying, end: usize) {
        let indexed = change.indexed_for(&self.indexes);
        for row in applying.row..end {
            let weight = change.weights[row];
            if weight <= 0 {
                continue;
            }
            let is_staged = change.coming.get(applying.staged) == Some(&(row as u32));
            let slot = is_staged.then_some(applying.staged);
            applying.staged += usize::from(is_staged);
            let key = change.keys.row(row);
            // A change before this one may have brought it, or taken it away.
            let is_new = self.has_key || (applying.is_as_prepared && is_staged);
            if !is_new && self.add_weight(change.places[row], key, weight).is_some() {
                if let (Some(slot), Some(chunk)) = (slot, change.chunk) {
                    let (hash, slot) = (change.hashes[row], slot as u32);
                    self.dead.push(Place { hash, chunk, slot });
                }
                continue;
            }
            for (index, values) in self.indexes.iter_mut().zip(&indexed) {
                index.insert(values.row(row), key);
            }
            match slot {
                Some(slot) => applying.come[slot] = weight,
                None => applying
                    .others
                    .push((row as u32, weight, change.hashes[row])),
            }
        }
        applying.row = end;
    }

    /// Makes room for so many more rows.
    pub fn reserve(&mut self, rows: usize) {
        self.places.reserve(rows, |place| place.hash);
    }

    /// Takes in rows of which it has none, nor has an index.
    pub fn load(&mut self, loaded: Loaded) {
        let Loaded { rows, hashes } = loaded;
        debug_assert!(
            self.indexes.is_empty(),
            "indexes are made when all rows are there"
        );
        let coming: Vec<(u32, i64, u64)> = (0..rows.len())
            .map(|row| (row as u32, rows.weight(row), hashes[row]))
            .collect();
        self.put(&rows, &coming, 0);
        self.tidy_all();
    }

    /// How often each row comes or goes in all, told at the first place where it stands; zero elsewhere.
    fn net_weights(&self, delta: &Delta, keys: &Encoded, hashes: &[u64]) -> Vec<i64> {
        let mut weights: Vec<i64> = (0..delta.len()).map(|row| delta.weight(row)).collect();
        if !self.has_key {
            first_of_each(keys, hashes.iter().copied(), |first, again| {
                weights[first] += std::mem::take(&mut weights[again]);
            });
            return weights;
        }
        // Rows are the same only where their keys are.
        let mut shares_key = vec![false; delta.len()];
        first_of_each(keys, hashes.iter().copied(), |first, again| {
            (shares_key[first], shares_key[again]) = (true, true);
        });
        let sharing = (0..delta.len()).filter(|row| shares_key[*row]);
        let sharing: Vec<u32> = sharing.map(|row| row as u32).collect();
        if sharing.is_empty() {
            return weights;
        }
        let rows = rows_at(delta, &sharing);
        let rows = self.rows_codec.encode(rows.columns(), sharing.len());
        let hashes = rows.iter().map(|row| HASHES.hash_one(row));
        first_of_each(&rows, hashes, |first, again| {
            let again = std::mem::take(&mut weights[sharing[again] as usize]);
            weights[sharing[first] as usize] += again;
        });
        weights
    }

    fn key_columns(&self, rows: &RecordBatch) -> Vec<ArrayRef> {
        self.key.iter().map(|at| rows.column(*at).clone()).collect()
    }

    /// Where those rows are that a change takes away, or adds to; `None` where one is new, or need not be looked for.
    fn places_of(&self, keys: &Encoded, hashes: &[u64], weights: &[i64]) -> Vec<Option<Place>> {
        let is_wanted = |weight: i64| weight < 0 || (weight > 0 && !self.has_key);
        let rows = (0..weights.len()).filter(|row| is_wanted(weights[*row]));
        // By hash only: what is there is compared below, all at once.
        let guess = |row: usize| {
            let hash = hashes[row];
            let is_it = |place: &Place| place.hash == hash && self.weight_at(*place) != 0;
            Some((row, *self.places.find(hash, is_it)?))
        };
        let guesses: Vec<(usize, Place)> = rows.filter_map(guess).collect();
        let mut places = vec![None; weights.len()];
        let there = self.keys_at(guesses.iter().map(|(_, place)| *place));
        for (at, (row, place)) in guesses.into_iter().enumerate() {
            let is_there = there
                .as_ref()
                .is_some_and(|there| there.row(at) == keys.row(row));
            places[row] = match is_there {
                true => Some(place),
                false => self.place_of(keys.row(row)),
            };
        }
        places
    }

    /// The keys of rows that are there, encoded; `None` if they are more than a column has room for.
    fn keys_at(&self, places: impl ExactSizeIterator<Item = Place>) -> Option<Encoded> {
        let count = places.len();
        let mut numbers = BTreeMap::new();
        let mut chunks = Vec::new();
        let rows = places.map(|place| {
            let number = *numbers.entry(place.chunk).or_insert_with(|| {
                chunks.push(&self.chunks[place.chunk].rows);
                chunks.len() - 1
            });
            (number, place.slot as usize)
        });
        let rows: Vec<(usize, usize)> = rows.collect();
        let column = |at: &usize| {
            let of_chunks: Vec<&dyn Array> = chunks
                .iter()
                .map(|rows| rows.column(*at).as_ref())
                .collect();
            interleave(&of_chunks, &rows).ok()
        };
        if count == 0 {
            return None;
        }
        let columns: Option<Vec<ArrayRef>> = self.key.iter().map(column).collect();
        Some(self.codec.encode(&columns?, count))
    }

    /// Adds to the weight of a living row, and says what it is then; `None` where there is none, or none so often. `place` is
    /// where it was a moment ago.
    fn add_weight(&mut self, place: Option<Place>, key: &[u8], weight: i64) -> Option<i64> {
        let place = match place.filter(|place| self.weight_at(*place) != 0) {
            Some(place) => place,
            None => self.place_of(key)?,
        };
        let chunk = &mut self.chunks[place.chunk];
        let now = chunk.weights[place.slot as usize] + weight;
        if now < 0 {
            return None;
        }
        if self.has_key {
            self.before.note(place, chunk.weights[place.slot as usize]);
        }
        Arc::make_mut(&mut chunk.weights)[place.slot as usize] = now;
        self.rows = self.rows.wrapping_add_signed(weight);
        if now == 0 {
            chunk.living -= 1;
            // It becomes so once.
            if chunk.is_sparse() && chunk.living * 2 + 2 >= chunk.rows.num_rows() {
                self.sparse.push(place.chunk);
            }
            self.dead.push(place);
        }
        Some(now)
    }

    fn weight_at(&self, place: Place) -> i64 {
        self.chunks[place.chunk].weights[place.slot as usize]
    }

    /// As of an epoch that is no older than the one before the newest change.
    fn weight_as_of(&self, place: Place, epoch: u64) -> i64 {
        let changed = self.before.epoch;
        if epoch >= changed {
            return self.weight_at(place);
        }
        if self.chunks[place.chunk].since == changed {
            return 0;
        }
        let before = self.before.weight(place);
        before.unwrap_or_else(|| self.weight_at(place))
    }

    /// Puts new rows into a chunk of their own: place, weight and hash of each.
    fn put(&mut self, delta: &Delta, coming: &[(u32, i64, u64)], since: u64) {
        if coming.is_empty() {
            return;
        }
        let rows: Vec<u32> = coming.iter().map(|(row, ..)| *row).collect();
        let weights = coming.iter().map(|(_, weight, _)| *weight);
        let hashes = coming.iter().map(|(.., hash)| *hash);
        let chunk = Chunk::new(rows_at(delta, &rows), weights.collect(), hashes.collect());
        let number = self.chunks.push(Chunk { since, ..chunk });
        for (slot, (_, weight, hash)) in coming.iter().enumerate() {
            self.rows = self.rows.wrapping_add_signed(*weight);
            let place = Place {
                hash: *hash,
                chunk: number,
                slot: slot as u32,
            };
            self.places.insert_unique(*hash, place, |place| place.hash);
        }
    }

    /// The rows as of now.
    #[must_use]
    pub fn rows(&self) -> Rows {
        let chunks = self.chunks.iter();
        Rows {
            schema: self.schema.clone(),
            chunks: chunks
                .map(|chunk| (chunk.rows.clone(), chunk.weights.clone()))
                .collect(),
        }
    }

    /// An index of these columns that is to go through the rows; `None` where there is one already, which has a user more
    /// now. Until it has been handed to `end_index` the rows must not change.
    pub fn begin_index(&mut self, columns: &[usize]) -> Option<Building> {
        let mut known = self.indexes.iter_mut();
        if let Some(known) = known.find(|index| index.columns == columns) {
            known.users += 1;
            return None;
        }
        let types = columns.iter().map(|at| self.schema.field(*at).data_type());
        let codec = RowCodec::ascending(types).expect("the rows themselves are of these types");
        Some(Building {
            index: Index::new(columns, codec),
            chunk: 0,
            row: 0,
        })
    }

    /// Goes through some more rows; `false` when there are no more.
    pub fn index_some(&self, building: &mut Building) -> bool {
        let Building { index, chunk, row } = building;
        let Some(of) = self.chunks.iter().nth(*chunk) else {
            return false;
        };
        let count = CHUNK_ROWS.min(of.rows.num_rows() - *row);
        let rows = of.rows.slice(*row, count);
        let values = index.values(&rows);
        let keys = self.codec.encode(&self.key_columns(&rows), count);
        for (at, weight) in of.weights[*row..*row + count].iter().enumerate() {
            if *weight != 0 {
                index.insert(values.row(at), keys.row(at));
            }
        }
        *row += count;
        if *row == of.rows.num_rows() {
            (*chunk, *row) = (*chunk + 1, 0);
        }
        true
    }

    /// From here on the index is kept, and rows are found by it.
    pub fn end_index(&mut self, building: Building) {
        self.indexes.push(building.index);
    }

    pub fn remove_index(&mut self, columns: &[usize]) {
        let mut known = self.indexes.iter_mut();
        if let Some(known) = known.find(|index| index.columns == columns) {
            known.users -= 1;
        }
        self.indexes.retain(|index| index.users > 0);
    }

    /// Whether these may be values of these columns: who asks may know another view by this name.
    fn takes(&self, columns: &[usize], values: &[ArrayRef]) -> bool {
        let fields = self.schema.fields();
        let mut pairs = columns.iter().zip(values);
        let fits = |(at, values): (&usize, &ArrayRef)| {
            let field = fields.get(*at);
            field.is_some_and(|field| field.data_type() == values.data_type())
        };
        columns.len() == values.len() && pairs.all(fits)
    }

    /// Whether rows are found by these values in these columns, as they are by a key.
    #[must_use]
    pub fn is_found_by(&self, columns: &[usize], values: &[ArrayRef]) -> bool {
        self.key() == Some(columns) && self.takes(columns, values)
    }

    /// The rows with these values in these columns; all rows where neither the key nor an index finds them.
    #[must_use]
    pub fn lookup(&self, columns: &[usize], keys: &[ArrayRef]) -> Rows {
        self.lookup_as_of(columns, keys, u64::MAX)
    }

    /// The same as of an epoch that is no older than the one before the newest change: by the key only.
    #[must_use]
    pub fn lookup_as_of(&self, columns: &[usize], keys: &[ArrayRef], epoch: u64) -> Rows {
        let count = keys.first().map_or(0, |column| column.len());
        // By chunk, so that many rows are no more pieces than there are chunks; each once, however often it is asked for.
        let mut found: BTreeMap<u32, BTreeMap<u32, i64>> = BTreeMap::new();
        let mut note = |key: &[u8]| {
            if let Some(place) = self.place_as_of(key, epoch) {
                let weight = self.weight_as_of(place, epoch);
                let of_chunk = found.entry(place.chunk).or_default();
                of_chunk.insert(place.slot, weight);
            }
        };
        if self.is_found_by(columns, keys) {
            self.codec.encode(keys, count).iter().for_each(note);
        } else {
            let mut indexes = self.indexes.iter();
            let index = indexes.find(|index| index.columns == columns);
            let Some(index) = index.filter(|_| self.takes(columns, keys)) else {
                return self.rows();
            };
            let values = index.encode(keys, count);
            for values in values.iter() {
                index.find(values).for_each(&mut note);
            }
        }
        let chunks = found.into_iter().map(|(chunk, slots)| {
            let weights = slots.values().copied().collect();
            let slots: UInt32Array = slots.into_keys().collect();
            let rows = take_record_batch(&self.chunks[chunk].rows, &slots);
            (rows.expect("places lie in the chunk"), Arc::new(weights))
        });
        Rows {
            schema: self.schema.clone(),
            chunks: chunks.collect(),
        }
    }

    /// The row with this key, one row of values that [`Self::is_found_by`] takes, as of such an epoch: rows among which it lies, its
    /// place there, and its weight.
    #[must_use]
    pub fn find_as_of(&self, key: &[ArrayRef], epoch: u64) -> Option<(&RecordBatch, usize, i64)> {
        let key = self.codec.encode(key, 1);
        let place = self.place_as_of(key.row(0), epoch)?;
        let rows = &self.chunks[place.chunk].rows;
        Some((rows, place.slot as usize, self.weight_as_of(place, epoch)))
    }

    /// Where the row with this key is.
    fn place_of(&self, key: &[u8]) -> Option<Place> {
        self.place_as_of(key, u64::MAX)
    }

    fn place_as_of(&self, key: &[u8], epoch: u64) -> Option<Place> {
        let hash = HASHES.hash_one(key);
        let found = self.places.find(hash, |place| {
            place.hash == hash
                && self.weight_as_of(*place, epoch) != 0
                && key_at(&self.chunks, &self.codec, &self.key, *place).row(0) == key
        });
        found.copied()
    }

    /// Whether two rows would share a key after this change.
    #[must_use]
    pub fn violates_key(&self, delta: &Delta, key: &[usize]) -> bool {
        if !self.has_key || key != self.key {
            return false;
        }
        let keys = self
            .codec
            .encode(&self.key_columns(delta.rows()), delta.len());
        let mut sums: BTreeMap<&[u8], i64> = BTreeMap::new();
        for row in 0..delta.len() {
            let sum = sums.entry(keys.row(row)).or_insert_with(|| {
                let place = self.place_of(keys.row(row));
                place.map_or(0, |place| self.weight_at(place))
            });
            *sum += delta.weight(row);
        }
        sums.values().any(|sum| *sum > 1)
    }

    /// Whether a row would go more often than it is there; with a key, any row of its key counts as the one that is there.
    #[must_use]
    pub fn lacks(&self, delta: &Delta) -> bool {
        if (0..delta.len()).all(|row| delta.weight(row) >= 0) {
            return false;
        }
        let columns = delta.rows().columns();
        let rows = self.rows_codec.encode(columns, delta.len());
        let keys = self
            .codec
            .encode(&self.key_columns(delta.rows()), delta.len());
        let mut sums: BTreeMap<&[u8], (usize, i64)> = BTreeMap::new();
        for row in 0..delta.len() {
            sums.entry(rows.row(row)).or_insert((row, 0)).1 += delta.weight(row);
        }
        sums.values().any(|(row, sum)| {
            let place = self.place_of(keys.row(*row));
            *sum + place.map_or(0, |place| self.weight_at(place)) < 0
        })
    }

    /// The columns that `lookup` goes by; `None` where rows have no key.
    #[must_use]
    pub fn key(&self) -> Option<&[usize]> {
        self.has_key.then_some(&self.key)
    }
}

/// Of each row that has come before: where that was first, and where it is again.
fn first_of_each(
    rows: &Encoded,
    hashes: impl ExactSizeIterator<Item = u64>,
    mut seen: impl FnMut(usize, usize),
) {
    let mut firsts: HashTable<(u64, usize)> = HashTable::with_capacity(rows.len());
    for (row, hash) in hashes.enumerate() {
        let is_it = |(other, at): &(u64, usize)| *other == hash && rows.row(*at) == rows.row(row);
        match firsts.find(hash, is_it) {
            Some((_, first)) => seen(*first, row),
            None => {
                firsts.insert_unique(hash, (hash, row), |(hash, _)| *hash);
            }
        }
    }
}

/// Some rows of a change, in order.
fn rows_at(delta: &Delta, rows: &[u32]) -> RecordBatch {
    if rows.len() == delta.len() {
        return delta.rows().clone();
    }
    let places = UInt32Array::from_iter_values(rows.iter().copied());
    take_record_batch(delta.rows(), &places).expect("places lie in the chunk")
}

/// The key of a row that is there, encoded.
fn key_at(chunks: &Chunks, codec: &RowCodec, columns: &[usize], place: Place) -> Encoded {
    let rows = &chunks[place.chunk].rows;
    let columns = columns.iter();
    let columns = columns.map(|at| rows.column(*at).slice(place.slot as usize, 1));
    codec.encode(&columns.collect::<Vec<_>>(), 1)
}

#[cfg(test)]
pub(super) mod tests;
