//! The kinds of state.

use std::{
    marker::PhantomData,
    ops::{Bound, RangeBounds},
};

use super::{
    Keyed, OrderedKey, Shape, TakeRow, WriteEntry,
    store::{Store, compose, split},
};
use crate::{
    aggregate::Aggregate,
    event::{DecodeError, Event},
};
use streams::format::Reason;

/// Bytes that were made here, or looked at when they were restored.
const OWN: &str = "bytes of its own keys";

/// A value of the key, or none.
pub struct ValueState<V> {
    store: Store<V>,
    key: Vec<u8>,
}

impl<V: Event> ValueState<V> {
    #[must_use]
    pub fn get(&self) -> Option<&V> {
        self.store.get(&self.key)
    }

    pub fn set(&mut self, value: V) {
        self.store.insert(&self.key, value);
    }

    /// The value, to be changed; the empty one if there is none.
    pub fn change(&mut self) -> &mut V {
        self.store.change(&self.key, V::empty)
    }

    pub fn clear(&mut self) -> Option<V> {
        self.store.remove(&self.key)
    }
}

impl<V: Event> Keyed for ValueState<V> {
    fn new() -> Self {
        Self {
            store: Store::single(),
            key: Vec::new(),
        }
    }

    fn shape() -> Shape {
        Shape::new::<V>("value")
    }

    fn enter(&mut self, key: &[u8]) {
        self.key.clear();
        self.key.extend_from_slice(key);
    }

    fn end_epoch(&mut self, everything: bool, take: &mut TakeRow<'_>) -> bool {
        let row = |key: &[u8], value: &[u8], weight| take(key, None, value, weight);
        self.store.end_epoch(everything, row)
    }

    fn checkpoint(&mut self, all: bool, write: &mut WriteEntry<'_>) -> bool {
        self.store.checkpoint(all, write)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.store.restore(key, value)
    }

    fn entries(&self) -> usize {
        self.store.entries()
    }

    fn bytes(&self) -> usize {
        self.store.bytes()
    }
}

/// What an aggregate function has made of what was added under the key.
pub struct AggregateState<A: Aggregate> {
    value: ValueState<A::State>,
}

impl<A: Aggregate> AggregateState<A> {
    pub fn add(&mut self, input: A::Input) {
        A::add(self.value.change(), input);
    }

    /// Of nothing, if nothing was added.
    #[must_use]
    pub fn get(&self) -> A::Output {
        match self.value.get() {
            Some(state) => A::output(state),
            None => A::output(&A::State::empty()),
        }
    }

    pub fn clear(&mut self) {
        self.value.clear();
    }
}

impl<A: Aggregate> Keyed for AggregateState<A> {
    fn new() -> Self {
        Self {
            value: ValueState::new(),
        }
    }

    fn shape() -> Shape {
        Shape::new::<A::State>("aggregate")
    }

    fn enter(&mut self, key: &[u8]) {
        self.value.enter(key);
    }

    fn end_epoch(&mut self, everything: bool, take: &mut TakeRow<'_>) -> bool {
        self.value.end_epoch(everything, take)
    }

    fn checkpoint(&mut self, all: bool, write: &mut WriteEntry<'_>) -> bool {
        self.value.checkpoint(all, write)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
        self.value.restore(key, value)
    }

    fn entries(&self) -> usize {
        self.value.entries()
    }

    fn bytes(&self) -> usize {
        self.value.bytes()
    }
}

/// Several values of the key, told apart by the bytes behind it.
struct Entries<V> {
    store: Store<V>,
    /// The key as the beginning of its entries' keys.
    prefix: Vec<u8>,
}

impl<V: Event> Entries<V> {
    fn new() -> Self {
        Self {
            store: Store::listed(),
            prefix: Vec::new(),
        }
    }

    fn enter(&mut self, key: &[u8]) {
        self.prefix = compose(key);
    }

    fn at(&self, entry: &[u8]) -> Vec<u8> {
        [&self.prefix, entry].concat()
    }

    /// Entries between two, without the key in front.
    fn between(
        &self,
        from: Bound<Vec<u8>>,
        until: Bound<Vec<u8>>,
    ) -> impl DoubleEndedIterator<Item = (&[u8], &V)> {
        let from = match from {
            Bound::Included(entry) => Bound::Included(self.at(&entry)),
            Bound::Excluded(entry) => Bound::Excluded(self.at(&entry)),
            Bound::Unbounded => Bound::Included(self.prefix.clone()),
        };
        let until = match until {
            Bound::Included(entry) => Bound::Included(self.at(&entry)),
            Bound::Excluded(entry) => Bound::Excluded(self.at(&entry)),
            Bound::Unbounded => match behind(&self.prefix) {
                Some(end) => Bound::Excluded(end),
                None => Bound::Unbounded,
            },
        };
        let skip = self.prefix.len();
        let range =
            (!is_empty(&from, &until)).then(|| self.store.range(borrowed(&from), borrowed(&until)));
        let entries = range.into_iter().flatten();
        entries.map(move |(key, value)| (&key[skip..], value))
    }

    fn all(&self) -> impl DoubleEndedIterator<Item = (&[u8], &V)> {
        self.between(Bound::Unbounded, Bound::Unbounded)
    }

    fn clear(&mut self) {
        let keys: Vec<Vec<u8>> = self.all().map(|(entry, _)| self.at(entry)).collect();
        for key in keys {
            self.store.remove(&key);
        }
    }
}

fn borrowed(bound: &Bound<Vec<u8>>) -> Bound<&[u8]> {
    bound.as_ref().map(Vec::as_slice)
}

/// `BTreeMap` panics on such a range; here it is one without entries.
fn is_empty(from: &Bound<Vec<u8>>, until: &Bound<Vec<u8>>) -> bool {
    match (from, until) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(from), Bound::Included(until)) => from > until,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(until) | Bound::Excluded(until),
        ) => from >= until,
    }
}

/// The least bytes that no bytes with this beginning reach.
fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The part of [`Keyed`] that all states of several entries share.
macro_rules! keyed_entries {
    ($entry:expr) => {
        fn new() -> Self {
            Self {
                entries: Entries::new(),
                key: PhantomData,
            }
        }

        fn enter(&mut self, key: &[u8]) {
            self.entries.enter(key);
        }

        fn end_epoch(&mut self, everything: bool, take: &mut TakeRow<'_>) -> bool {
            self.entries
                .store
                .end_epoch(everything, |composed, value, weight| {
                    let (key, entry) = split(composed);
                    let entry: Result<Vec<u8>, DecodeError> = $entry(entry);
                    take(key, Some(&entry.expect(OWN)), value, weight);
                })
        }

        fn checkpoint(&mut self, all: bool, write: &mut WriteEntry<'_>) -> bool {
            self.entries.store.checkpoint(all, write)
        }

        fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError> {
            let (_, entry) = split(key);
            let _: Vec<u8> = $entry(entry)?;
            self.entries.store.restore(key, value)
        }

        fn entries(&self) -> usize {
            self.entries.store.entries()
        }

        fn bytes(&self) -> usize {
            self.entries.store.bytes()
        }
    };
}

/// Values by a second key, listed in the order of its bytes.
pub struct MapState<K, V> {
    entries: Entries<V>,
    key: PhantomData<fn() -> K>,
}

impl<K: Event, V: Event> MapState<K, V> {
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.store.get(&self.entries.at(&key.to_bytes()))
    }

    pub fn insert(&mut self, key: &K, value: V) {
        let at = self.entries.at(&key.to_bytes());
        self.entries.store.insert(&at, value);
    }

    /// The value, to be changed; the empty one if there is none.
    pub fn change(&mut self, key: &K) -> &mut V {
        let at = self.entries.at(&key.to_bytes());
        self.entries.store.change(&at, V::empty)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.entries.at(&key.to_bytes());
        self.entries.store.remove(&at)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> {
        let entries = self.entries.all();
        entries.map(|(key, value)| (K::decode(key).expect(OWN), value))
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.all().next().is_none()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl<K: Event, V: Event> Keyed for MapState<K, V> {
    fn shape() -> Shape {
        Shape::new::<V>("map").by::<K, V>("map_key")
    }

    keyed_entries!(|entry| K::decode(entry).map(|_| <[u8]>::to_vec(entry)));
}

/// Values by a second key, in its order.
pub struct OrderedMapState<K, V> {
    entries: Entries<V>,
    key: PhantomData<fn() -> K>,
}

fn ordered<K: OrderedKey>(key: &K) -> Vec<u8> {
    let mut out = Vec::new();
    key.put_ordered(&mut out);
    out
}

fn from_ordered<K: OrderedKey>(mut bytes: &[u8]) -> Result<K, DecodeError> {
    let key = K::take_ordered(&mut bytes)?;
    match bytes.is_empty() {
        true => Ok(key),
        false => Err(DecodeError {
            at: 0,
            reason: Reason::Trailing,
        }),
    }
}

impl<K: OrderedKey, V: Event> OrderedMapState<K, V> {
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.entries.store.get(&self.entries.at(&ordered(key)))
    }

    pub fn insert(&mut self, key: &K, value: V) {
        let at = self.entries.at(&ordered(key));
        self.entries.store.insert(&at, value);
    }

    /// The value, to be changed; the empty one if there is none.
    pub fn change(&mut self, key: &K) -> &mut V {
        let at = self.entries.at(&ordered(key));
        self.entries.store.change(&at, V::empty)
    }

    pub fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.entries.at(&ordered(key));
        self.entries.store.remove(&at)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (K, &V)> {
        self.range(..)
    }

    pub fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (K, &V)> {
        let from = keys.start_bound().map(ordered);
        let until = keys.end_bound().map(ordered);
        let entries = self.entries.between(from, until);
        entries.map(|(key, value)| (from_ordered(key).expect(OWN), value))
    }

    #[must_use]
    pub fn first(&self) -> Option<(K, &V)> {
        self.iter().next()
    }

    #[must_use]
    pub fn last(&self) -> Option<(K, &V)> {
        self.iter().next_back()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.all().next().is_none()
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl<K: OrderedKey, V: Event> Keyed for OrderedMapState<K, V> {
    fn shape() -> Shape {
        Shape::new::<V>("ordered map").by::<K, V>("map_key")
    }

    keyed_entries!(|entry| from_ordered::<K>(entry).map(|key| key.to_bytes()));
}

/// Values one behind the other.
pub struct ListState<V> {
    entries: Entries<V>,
    key: PhantomData<fn() -> u64>,
}

impl<V: Event> ListState<V> {
    pub fn push(&mut self, value: V) {
        let last = self.entries.all().next_back();
        let last = last.map(|(at, _)| from_ordered::<u64>(at).expect(OWN));
        let next = last.map_or(0, |last| last + 1);
        let at = self.entries.at(&ordered(&next));
        self.entries.store.insert(&at, value);
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.entries.all().map(|(_, value)| value)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.all().count()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.all().next().is_none()
    }

    /// Takes the first one away.
    pub fn pop_front(&mut self) -> Option<V> {
        let first = self.entries.all().next();
        let at = first.map(|(at, _)| self.entries.at(at))?;
        self.entries.store.remove(&at)
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

impl<V: Event> Keyed for ListState<V> {
    fn shape() -> Shape {
        Shape::new::<V>("list").by::<u64, V>("position")
    }

    keyed_entries!(|entry| from_ordered::<u64>(entry).map(|place| place.to_bytes()));
}
