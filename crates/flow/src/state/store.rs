//! Values by the bytes of their keys, as they are and as they were when the epoch began.

use std::{collections::BTreeMap, ops::Bound};

use proto_schema::put_varint;
use streams::{
    delta::CHUNK_ROWS,
    state::{Keys, Slot},
};

use super::WriteEntry;
use crate::event::{DecodeError, Event, counted};

/// See the module head.
pub(crate) struct Store<V> {
    keys: Keys,
    /// By slot.
    values: Vec<Option<V>>,
    /// Of touched entries, by their place on the list.
    old: Vec<Option<V>>,
    /// Where entries of one key are listed: those that are there.
    order: Option<BTreeMap<Vec<u8>, Slot>>,
    /// Of values as a checkpoint writes them.
    value_bytes: usize,
    /// While an epoch ends: how far that is, and whether everything is listed now.
    next: usize,
    is_listing: bool,
}

impl<V: Event> Store<V> {
    /// One value for each key.
    pub fn single() -> Self {
        Self {
            keys: Keys::default(),
            values: Vec::new(),
            old: Vec::new(),
            order: None,
            value_bytes: 0,
            next: 0,
            is_listing: false,
        }
    }

    /// Several, which are listed by their keys.
    pub fn listed() -> Self {
        Self {
            order: Some(BTreeMap::new()),
            ..Self::single()
        }
    }

    pub fn get(&self, key: &[u8]) -> Option<&V> {
        let slot = self.keys.find(key)?;
        self.values[slot.index()].as_ref()
    }

    fn slot(&mut self, key: &[u8]) -> Slot {
        let (slot, is_new) = self.keys.insert(key);
        if slot.index() == self.values.len() {
            self.values.push(None);
        } else if is_new {
            self.values[slot.index()] = None;
        }
        slot
    }

    fn touch(&mut self, slot: Slot) {
        if self.keys.touch(slot) {
            self.old.push(self.values[slot.index()].clone());
        }
    }

    pub fn insert(&mut self, key: &[u8], value: V) {
        let slot = self.slot(key);
        self.touch(slot);
        if let (Some(order), None) = (&mut self.order, &self.values[slot.index()]) {
            order.insert(key.to_vec(), slot);
        }
        self.values[slot.index()] = Some(value);
    }

    /// The value, to be changed; made when there is none.
    pub fn change(&mut self, key: &[u8], make: impl FnOnce() -> V) -> &mut V {
        let slot = self.slot(key);
        self.touch(slot);
        let value = &mut self.values[slot.index()];
        if let (Some(order), None) = (&mut self.order, &value) {
            order.insert(key.to_vec(), slot);
        }
        value.get_or_insert_with(make)
    }

    pub fn remove(&mut self, key: &[u8]) -> Option<V> {
        let slot = self.keys.find(key)?;
        self.values[slot.index()].as_ref()?;
        self.touch(slot);
        if let Some(order) = &mut self.order {
            order.remove(key);
        }
        self.values[slot.index()].take()
    }

    /// Entries whose keys lie there, in their order. Panics where nothing is listed.
    pub fn range<'s>(
        &'s self,
        from: Bound<&[u8]>,
        until: Bound<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = (&'s [u8], &'s V)> + use<'s, V> {
        let order = self.order.as_ref().expect("made to be listed");
        let entries = order.range::<[u8], _>((from, until));
        entries.map(|(key, slot)| {
            let value = self.values[slot.index()].as_ref();
            (&**key, value.expect("what is listed is there"))
        })
    }

    /// A piece of what an epoch's end has to do: gives what went and what came since it began, or, `everything`, what there
    /// is. True while there is more.
    pub fn end_epoch(&mut self, everything: bool, mut take: impl FnMut(&[u8], &[u8], i64)) -> bool {
        if !self.is_listing {
            if self.tell_touched(!everything, &mut take) {
                return true;
            }
            let values = &self.values;
            self.keys.end_epoch(|slot| values[slot.index()].is_some());
            self.old.clear();
            self.is_listing = everything;
            return everything;
        }
        let until = (self.next + CHUNK_ROWS).min(self.keys.slots());
        for slot in self.keys.live(self.next..until) {
            if let Some(value) = &self.values[slot.index()] {
                take(self.keys.key(slot), &value.to_bytes(), 1);
            }
        }
        self.next = until;
        if until < self.keys.slots() {
            return true;
        }
        (self.next, self.is_listing) = (0, false);
        false
    }

    fn tell_touched(&mut self, is_told: bool, take: &mut impl FnMut(&[u8], &[u8], i64)) -> bool {
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let touched = self.keys.touched();
        let until = (self.next + CHUNK_ROWS).min(touched.len());
        let piece = self.next..until;
        for (slot, old) in touched[piece.clone()].iter().zip(&self.old[piece]) {
            before.clear();
            after.clear();
            let new = &self.values[slot.index()];
            if let Some(old) = old {
                old.put(&mut before);
            }
            if let Some(new) = new {
                new.put(&mut after);
            }
            self.value_bytes = (self.value_bytes + after.len()).saturating_sub(before.len());
            if !is_told || (old.is_some() && new.is_some() && before == after) {
                continue;
            }
            let key = self.keys.key(*slot);
            if old.is_some() {
                take(key, &before, -1);
            }
            if new.is_some() {
                take(key, &after, 1);
            }
        }
        let has_more = until < touched.len();
        self.next = if has_more { until } else { 0 };
        has_more
    }

    pub fn checkpoint(&mut self, all: bool, write: &mut WriteEntry<'_>) -> bool {
        let values = &self.values;
        let put = |slot: Slot| {
            let value = values[slot.index()].as_ref();
            let value = value.expect("between two epochs every entry is there");
            value.to_bytes()
        };
        self.keys.checkpoint(all, |key, slot| {
            write(key, slot.map(put).as_deref());
        })
    }

    pub fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.value_bytes += value.len();
        let value = V::decode(value)?;
        let (slot, _) = self.keys.restore(key);
        if slot.index() == self.values.len() {
            self.values.push(Some(value));
        } else {
            self.values[slot.index()] = Some(value);
        }
        if let Some(order) = &mut self.order {
            order.insert(key.to_vec(), slot);
        }
        Ok(())
    }

    pub fn entries(&self) -> usize {
        self.keys.len()
    }

    /// Bytes of memory, about.
    pub fn bytes(&self) -> usize {
        let slots = (self.values.capacity() + self.old.capacity()) * size_of::<Option<V>>();
        let listed = self.order.as_ref().map_or(0, |order| order.len() * 64);
        self.keys.bytes() + slots + listed + self.value_bytes
    }
}

/// A key and what tells entries of it apart, such that entries of one key stand together.
pub(crate) fn compose(key: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(key.len() + 12);
    put_varint(key.len() as u64, &mut out);
    out.extend_from_slice(key);
    out
}

/// The two parts of what `compose` began; of other bytes, nothing.
pub(crate) fn split(composed: &[u8]) -> (&[u8], &[u8]) {
    counted(composed).unwrap_or_default()
}
