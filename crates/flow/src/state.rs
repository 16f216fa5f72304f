//! Keyed state: values, maps, ordered maps, lists and aggregates, each entry under the key of the moment.
//!
//! # Place
//! Owned by a step at work. A state struct stands once for all keys: before each call the step lets it enter a key.
//!
//! # Invariants
//! 1. What a state was when the epoch began is kept until it ends: rows that go out are the difference, and bytes are made of
//!    an entry only there and at a checkpoint.
//! 2. Whatever is listed is listed by the bytes of keys, so the same input gives the same order.

mod kinds;
mod ordered_key;
mod store;

pub use kinds::{AggregateState, ListState, MapState, OrderedMapState, ValueState};
pub use ordered_key::OrderedKey;

pub(crate) use store::Store;

use crate::event::{DecodeError, Event, Schema};

/// A struct of states. `#[derive(State)]` implements it.
pub trait State: Send + 'static {
    fn new() -> Self;

    fn fields() -> Vec<StateField>;

    fn each(&mut self, visit: &mut dyn FnMut(u8, &mut dyn Keyed));
}

/// A step without state.
impl State for () {
    fn new() -> Self {}

    fn fields() -> Vec<StateField> {
        Vec::new()
    }

    fn each(&mut self, _visit: &mut dyn FnMut(u8, &mut dyn Keyed)) {}
}

/// One state of a struct.
#[derive(Clone, Debug)]
pub struct StateField {
    pub number: u8,
    pub name: &'static str,
    pub shape: Shape,
}

/// What a state holds under each key.
#[derive(Clone, Debug)]
pub struct Shape {
    /// `value`, `map`, `ordered map`, `list`, `aggregate`.
    pub kind: &'static str,
    /// Message of what tells entries of one key apart, if there are several, and what its column is called if it has no
    /// name of its own.
    pub entry: Option<(String, &'static str)>,
    /// Message of the value.
    pub value: String,
    /// Adds all types of it.
    pub describe: fn(&mut Schema),
}

impl Shape {
    pub(crate) fn new<V: Event>(kind: &'static str) -> Self {
        Self {
            kind,
            entry: None,
            value: V::name(),
            describe: V::describe,
        }
    }

    /// Of values `V` by `K`.
    pub(crate) fn by<K: Event, V: Event>(mut self, column: &'static str) -> Self {
        self.entry = Some((K::name(), column));
        self.describe = |schema| {
            K::describe(schema);
            V::describe(schema);
        };
        self
    }
}

/// What `derive(State)` calls.
#[must_use]
pub fn describe<S: Keyed>(number: u8, name: &'static str) -> StateField {
    StateField {
        number,
        name,
        shape: S::shape(),
    }
}

/// Takes a row of a state: key, what tells it apart, value, and weight.
pub type TakeRow<'a> = dyn FnMut(&[u8], Option<&[u8]>, &[u8], i64) + 'a;

/// Takes an entry for a checkpoint: its key, and its value unless it is gone.
pub type WriteEntry<'a> = dyn FnMut(&[u8], Option<&[u8]>) + 'a;

/// A state of any kind, as the step sees it.
pub trait Keyed: Send {
    fn new() -> Self
    where
        Self: Sized;

    fn shape() -> Shape
    where
        Self: Sized;

    /// From here on it is about this key.
    fn enter(&mut self, key: &[u8]);

    /// Gives some of what went and what came since the epoch began; or, `everything`, of what there is. True while there is
    /// more.
    fn end_epoch(&mut self, everything: bool, take: &mut TakeRow<'_>) -> bool;

    fn checkpoint(&mut self, all: bool, write: &mut WriteEntry<'_>) -> bool;

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), DecodeError>;

    fn entries(&self) -> usize;

    fn bytes(&self) -> usize;
}

#[cfg(test)]
mod tests;
