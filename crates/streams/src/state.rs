//! Tables of an operator's state: values by key, what an epoch changed in them, and what a checkpoint still has to write.
//!
//! # Place       owned by one operator of one graph; in memory
//! # Invariants
//! 1. Keys are compared in full; a hash only says where to look. The hash has a fixed seed, and nothing is ever listed in
//!    the order of hashes, so that the same deltas give the same output, byte for byte.
//! 2. The first change of an entry in an epoch puts it, with the value that it had, on the epoch's list of touched
//!    entries. A slot belongs to one key until that list is cleared.
//! 3. An entry that has changed since it was last written is on the list of dirty ones, or its key on that of removed
//!    ones if it was ever written. A checkpoint drains both, removed keys first: one of them may have come again.
//! 4. Values are kept as they are computed with, and become bytes only when a checkpoint writes them.
//!
//! # Limits      2^32 - 1 entries in a table; bytes are estimated and counted, and the graph stops at its limit
//! # Instead of
//! A stamp of the last epoch in each entry, against which a change is compared: the place on the list of touched entries,
//! which finds the old value too, serves as one and never wraps.

mod key;
mod ordered;

use std::ops::Range;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

pub use key::Key;
pub use ordered::OrderedSlots;

use crate::row::Rows;

/// Which entry, of a table's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(u32);

impl Slot {
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

const UNTOUCHED: u32 = u32::MAX;

/// A checkpoint is given so many entries at a time, about: a few tenths of a millisecond.
const WRITTEN_AT_ONCE: usize = 1024;

/// Keys and their lists; values are kept beside it, by slot.
#[derive(Debug, Default)]
pub struct Keys {
    index: HashTable<Hashed>,
    entries: Vec<Entry>,
    free: Vec<Slot>,
    touched: Vec<Slot>,
    dirty: Vec<Slot>,
    removed: Vec<Key>,
    /// Slots that a checkpoint of everything has still to see.
    unwritten: Range<usize>,
    /// Entries that the index has not.
    appended: usize,
    /// Of keys that are not held inline.
    heap_bytes: usize,
}

/// In the index with its hash, so that most keys that differ are told apart and moved without being looked at.
#[derive(Clone, Copy, Debug)]
struct Hashed {
    hash: u32,
    slot: Slot,
}

#[derive(Debug)]
struct Entry {
    key: Key,
    /// Place on the list of touched entries.
    touched: u32,
    is_live: bool,
    is_dirty: bool,
    /// A checkpoint holds it.
    is_written: bool,
}

fn hash_of(key: &[u8]) -> u32 {
    use std::hash::{BuildHasher, Hasher};
    let mut hasher = FixedState::with_seed(0x666f_7265_6261_7921).build_hasher();
    hasher.write(key);
    let hash = hasher.finish();
    // Truncation: half of the bits decide where to look, all of the key decides what is found.
    (hash ^ (hash >> 32)) as u32
}

/// Spreads half a hash over the bits that the table looks at.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// A new entry.
fn add(entries: &mut Vec<Entry>, free: &mut Vec<Slot>, heap_bytes: &mut usize, key: &[u8]) -> Slot {
    let entry = Entry {
        key: Key::new(key),
        touched: UNTOUCHED,
        is_live: true,
        is_dirty: false,
        is_written: false,
    };
    *heap_bytes += entry.key.heap_bytes();
    if let Some(slot) = free.pop() {
        entries[slot.index()] = entry;
        return slot;
    }
    let slot = u32::try_from(entries.len()).expect("a state limit stops the graph long before");
    entries.push(entry);
    Slot(slot)
}

impl Keys {
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.len() + self.appended
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One more than the greatest slot that was ever given.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.entries.len()
    }

    #[must_use]
    pub fn key(&self, slot: Slot) -> &[u8] {
        self.entries[slot.index()].key.as_bytes()
    }

    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<Slot> {
        let hash = hash_of(key);
        let found = self.index.find(spread(hash), |entry| {
            entry.hash == hash && self.entries[entry.slot.index()].key.as_bytes() == key
        });
        found.map(|entry| entry.slot)
    }

    /// The key's slot, a new one if it has none. Panics at the limit of entries.
    pub fn insert(&mut self, key: &[u8]) -> (Slot, bool) {
        use hashbrown::hash_table::Entry as At;
        let hash = hash_of(key);
        let entries = &mut self.entries;
        let at = self.index.entry(
            spread(hash),
            |entry| entry.hash == hash && entries[entry.slot.index()].key.as_bytes() == key,
            |entry| spread(entry.hash),
        );
        let vacant = match at {
            At::Occupied(entry) => return (entry.get().slot, false),
            At::Vacant(vacant) => vacant,
        };
        let slot = add(entries, &mut self.free, &mut self.heap_bytes, key);
        vacant.insert(Hashed { hash, slot });
        (slot, true)
    }

    /// A slot for a key that no other has nor will have, and that is never looked for.
    pub fn append(&mut self, key: &[u8]) -> Slot {
        self.appended += 1;
        add(&mut self.entries, &mut self.free, &mut self.heap_bytes, key)
    }

    /// Makes room for so many more keys.
    pub fn reserve(&mut self, keys: usize) {
        self.index.reserve(keys, |entry| spread(entry.hash));
        self.entries.reserve(keys);
    }

    /// The slots of these keys, new ones for new keys.
    pub fn insert_all(&mut self, keys: &Rows, slots: &mut Vec<Slot>) {
        slots.clear();
        slots.extend(keys.iter().map(|key| self.insert(key).0));
    }

    /// Puts the entry on the list of what this epoch changed, unless it is there; says whether it was not.
    #[inline]
    pub fn touch(&mut self, slot: Slot) -> bool {
        let entry = &mut self.entries[slot.index()];
        if entry.touched != UNTOUCHED {
            return false;
        }
        entry.touched = u32::try_from(self.touched.len()).expect("no more than there are slots");
        self.touched.push(slot);
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty.push(slot);
        }
        true
    }

    /// What this epoch changed, in the order of the first change.
    #[must_use]
    pub fn touched(&self) -> &[Slot] {
        &self.touched
    }

    /// The entry's place on that list.
    #[must_use]
    pub fn place(&self, slot: Slot) -> Option<usize> {
        let place = self.entries[slot.index()].touched;
        (place != UNTOUCHED).then_some(place as usize)
    }

    /// Ends the epoch. Of the entries that it touched those stay that `stays`; slots of others may come again from now on.
    pub fn end_epoch(&mut self, mut stays: impl FnMut(Slot) -> bool) {
        for slot in std::mem::take(&mut self.touched) {
            self.entries[slot.index()].touched = UNTOUCHED;
            if !stays(slot) {
                self.remove(slot);
            }
        }
    }

    /// Removes an entry that is not touched.
    pub fn remove(&mut self, slot: Slot) {
        let entry = &mut self.entries[slot.index()];
        assert!(
            entry.is_live && entry.touched == UNTOUCHED,
            "only what is at rest goes"
        );
        let key = std::mem::take(&mut entry.key);
        entry.is_live = false;
        let hash = hash_of(key.as_bytes());
        let found = self
            .index
            .find_entry(spread(hash), |entry| entry.slot == slot);
        match found {
            Ok(entry) => drop(entry.remove()),
            Err(_) => self.appended -= 1,
        }
        self.heap_bytes -= key.heap_bytes();
        if entry.is_written {
            self.removed.push(key);
        }
        self.free.push(slot);
    }

    /// Whether the slot holds an entry.
    #[must_use]
    pub fn is_live(&self, slot: Slot) -> bool {
        self.entries[slot.index()].is_live
    }

    /// Those of a stretch of slots that hold an entry.
    pub fn live(&self, range: Range<usize>) -> impl Iterator<Item = Slot> {
        let entries = self.entries[range.clone()].iter().zip(range);
        entries
            .filter(|(entry, _)| entry.is_live)
            .map(|(_, slot)| Slot(slot as u32))
    }

    /// Gives a checkpoint some of what changed since the last one, or, begun with `all`, of everything; true while there is
    /// more, which then comes without `all`. `None`: it is gone, which is told in front of what is there.
    pub fn checkpoint(&mut self, all: bool, mut write: impl FnMut(&[u8], Option<Slot>)) -> bool {
        assert!(
            self.touched.is_empty(),
            "a checkpoint stands between two epochs"
        );
        if all {
            self.forget_dirty();
            self.unwritten = 0..self.entries.len();
        }
        let removed = self.removed.len().saturating_sub(WRITTEN_AT_ONCE);
        for key in self.removed.drain(removed..) {
            write(key.as_bytes(), None);
        }
        let dirty = self.dirty.len().saturating_sub(WRITTEN_AT_ONCE);
        let dirty = match removed {
            0 => self.dirty.drain(dirty..),
            _ => self.dirty.drain(..0),
        };
        let unwritten = self.unwritten.by_ref().take(WRITTEN_AT_ONCE);
        let unwritten = unwritten.map(|slot| (Slot(slot as u32), true));
        // A slot that was given anew stands on the list more than once.
        for (slot, all) in dirty.map(|slot| (slot, false)).chain(unwritten) {
            let entry = &mut self.entries[slot.index()];
            if entry.is_live && (entry.is_dirty || all) {
                entry.is_dirty = false;
                entry.is_written = true;
                write(entry.key.as_bytes(), Some(slot));
            }
        }
        let has_more =
            !(self.removed.is_empty() && self.dirty.is_empty() && self.unwritten.is_empty());
        if !has_more {
            // Their memory goes.
            self.forget_dirty();
        }
        has_more
    }

    /// No checkpoint is told of what changed so far.
    pub fn forget_dirty(&mut self) {
        self.removed = Vec::new();
        for slot in std::mem::take(&mut self.dirty) {
            self.entries[slot.index()].is_dirty = false;
        }
    }

    /// An entry out of a checkpoint; says whether it was not there.
    pub fn restore(&mut self, key: &[u8]) -> (Slot, bool) {
        let (slot, is_new) = self.insert(key);
        self.entries[slot.index()].is_written = true;
        (slot, is_new)
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let index = self.index.capacity() * (size_of::<Hashed>() + 1);
        let lists = (self.free.capacity() + self.touched.capacity() + self.dirty.capacity())
            * size_of::<Slot>();
        let removed = self.removed.capacity() * size_of::<Key>();
        index + lists + removed + self.entries.capacity() * size_of::<Entry>() + self.heap_bytes
    }
}

/// What a table has for a key. The default is empty.
pub trait Value: Copy + Default {
    /// The key need not be there.
    fn is_empty(self) -> bool;
}

impl Value for i64 {
    fn is_empty(self) -> bool {
        self == 0
    }
}

/// The weight of a row, and the group that it is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grouped {
    pub weight: i64,
    pub group: Slot,
}

impl Value for Grouped {
    fn is_empty(self) -> bool {
        self.weight == 0
    }
}

/// Values by key, each as it was before the epoch and as it is now.
#[derive(Debug)]
pub struct Table<V> {
    keys: Keys,
    values: Vec<V>,
    /// Of touched entries, what they were.
    old: Vec<V>,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            keys: Keys::default(),
            values: Vec::new(),
            old: Vec::new(),
        }
    }
}

impl<V: Value> Table<V> {
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The key's slot; of a new one the value is the default.
    pub fn insert(&mut self, key: &[u8]) -> (Slot, bool) {
        let (slot, is_new) = self.keys.insert(key);
        if slot.index() == self.values.len() {
            self.values.push(V::default());
        } else if is_new {
            self.values[slot.index()] = V::default();
        }
        (slot, is_new)
    }

    /// Makes room for so many more entries.
    pub fn reserve(&mut self, entries: usize) {
        self.keys.reserve(entries);
        self.values.reserve(entries);
    }

    /// A slot for a key that no other has nor will have, and that is never looked for.
    pub fn append(&mut self, key: &[u8]) -> Slot {
        let slot = self.keys.append(key);
        if slot.index() == self.values.len() {
            self.values.push(V::default());
        } else {
            self.values[slot.index()] = V::default();
        }
        slot
    }

    /// As `restore`, of an entry that was appended.
    pub fn restore_appended(&mut self, key: &[u8], value: V) -> Slot {
        let slot = self.append(key);
        self.keys.entries[slot.index()].is_written = true;
        self.values[slot.index()] = value;
        slot
    }

    #[must_use]
    pub fn find(&self, key: &[u8]) -> Option<Slot> {
        self.keys.find(key)
    }

    #[must_use]
    pub fn get(&self, slot: Slot) -> V {
        self.values[slot.index()]
    }

    /// What the entry was before this epoch; the default if it was not there.
    #[must_use]
    pub fn old(&self, slot: Slot) -> V {
        self.keys
            .place(slot)
            .map_or(self.values[slot.index()], |place| self.old[place])
    }

    /// The value, to be changed.
    #[inline]
    pub fn change(&mut self, slot: Slot) -> &mut V {
        if self.keys.touch(slot) {
            self.old.push(self.values[slot.index()]);
        }
        &mut self.values[slot.index()]
    }

    /// The value, to be changed as part of what it has been between two epochs.
    pub fn at_rest(&mut self, slot: Slot) -> &mut V {
        &mut self.values[slot.index()]
    }

    /// Entries that the epoch changed, in the order of the first change.
    #[must_use]
    pub fn touched(&self) -> &[Slot] {
        self.keys.touched()
    }

    /// Ends the epoch; entries with an empty value go, after `gone` has seen them.
    pub fn end_epoch(&mut self, mut gone: impl FnMut(&Keys, Slot, V)) {
        for slot in self.keys.touched() {
            let value = self.values[slot.index()];
            if value.is_empty() {
                gone(&self.keys, *slot, value);
            }
        }
        let values = &self.values;
        self.keys.end_epoch(|slot| !values[slot.index()].is_empty());
        self.old.clear();
    }

    /// Removes an entry that this epoch has not changed.
    pub fn remove(&mut self, slot: Slot) {
        self.keys.remove(slot);
        self.values[slot.index()] = V::default();
    }

    /// As `Keys::checkpoint`.
    pub fn checkpoint(&mut self, all: bool, mut write: impl FnMut(&[u8], Option<V>)) -> bool {
        let values = &self.values;
        let write =
            |key: &[u8], slot: Option<Slot>| write(key, slot.map(|slot| values[slot.index()]));
        self.keys.checkpoint(all, write)
    }

    /// An entry out of a checkpoint; says whether it was not there.
    pub fn restore(&mut self, key: &[u8], value: V) -> (Slot, bool) {
        let (slot, is_new) = self.keys.restore(key);
        if slot.index() == self.values.len() {
            self.values.push(value);
        } else {
            self.values[slot.index()] = value;
        }
        (slot, is_new)
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.keys.bytes() + (self.values.capacity() + self.old.capacity()) * size_of::<V>()
    }
}

#[cfg(test)]
mod tests;
