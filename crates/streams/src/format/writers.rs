//! Schemas that records were written with, by their numbers in the schema registry.

use std::{cell::RefCell, sync::Arc};

/// A schema, and those that it names types of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaText {
    pub text: Arc<str>,
    /// What each is called and its text; each behind what it names itself.
    pub others: Vec<(String, Arc<str>)>,
}

impl SchemaText {
    pub(super) fn texts_of_others(&self) -> Vec<&str> {
        self.others.iter().map(|(_, text)| &**text).collect()
    }

    pub(super) fn bytes(&self) -> usize {
        let others = self.others.iter().map(|(_, text)| text.len());
        self.text.len() + others.sum::<usize>()
    }
}

impl<S: Into<Arc<str>>> From<S> for SchemaText {
    fn from(text: S) -> Self {
        Self {
            text: text.into(),
            others: Vec::new(),
        }
    }
}

/// See the module head. One on each shard, in its slot (`runtime::local`).
///
/// A number means the same schema for ever, so it is only added to. A record that holds no row because its writer's schema is
/// not known may hold one later; so all of an epoch is decoded by what is known when it begins, and where that decides what
/// sinks put out, the epoch's record says what that was (`engine::outbox`).
#[derive(Default)]
pub struct WriterSchemas(RefCell<Known>);

impl WriterSchemas {
    pub fn add(&self, number: u32, schema: Arc<SchemaText>) {
        self.0.borrow_mut().add(number, schema);
    }

    /// As of now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.0.borrow().clone()
    }
}

/// Those that were known at one moment. Who adds to them while decoders hold what was before copies a part and the list of
/// parts, not all.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Vec<Part>>);

/// In the order of their numbers, at least one; all of them before those of the next part.
type Part = Arc<Vec<(u32, Arc<SchemaText>)>>;

const PART_MAX: usize = 512;

impl Known {
    fn add(&mut self, number: u32, schema: Arc<SchemaText>) {
        let at = self.part_of(number).unwrap_or(0);
        let parts = Arc::make_mut(&mut self.0);
        let Some(part) = parts.get_mut(at).map(Arc::make_mut) else {
            parts.push(Arc::new(vec![(number, schema)]));
            return;
        };
        // What is there stays what it is.
        let Err(place) = part.binary_search_by_key(&number, |(known, _)| *known) else {
            return;
        };
        part.insert(place, (number, schema));
        if part.len() > PART_MAX {
            let behind = part.split_off(PART_MAX / 2);
            parts.insert(at + 1, Arc::new(behind));
        }
    }

    /// The last part that begins there or before.
    fn part_of(&self, number: u32) -> Option<usize> {
        let begins = |part: &Part| part.first().is_some_and(|(first, _)| *first <= number);
        self.0.partition_point(begins).checked_sub(1)
    }

    pub(super) fn get(&self, number: u32) -> Option<&Arc<SchemaText>> {
        let part = &self.0[self.part_of(number)?];
        let place = part.binary_search_by_key(&number, |(known, _)| *known);
        Some(&part[place.ok()?].1)
    }

    /// In order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0
            .iter()
            .flat_map(|part| part.iter())
            .map(|(number, _)| *number)
    }

    /// Those of them whose number is one of these.
    pub(crate) fn only(&self, is_one: impl Fn(u32) -> bool) -> Self {
        let mut only = Self::default();
        for (number, schema) in self.0.iter().flat_map(|part| part.iter()) {
            if is_one(*number) {
                only.add(*number, schema.clone());
            }
        }
        only
    }

    /// Whether nothing was added between them.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
mod tests;
