//! Schemas that records were written with, by their numbers in the schema registry.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

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

/// Those that were known at one moment.
pub type Known = Arc<BTreeMap<u32, Arc<SchemaText>>>;

impl WriterSchemas {
    pub fn add(&self, number: u32, schema: Arc<SchemaText>) {
        let mut known = self.0.borrow_mut();
        // Copied only while some decoder looks at it.
        Arc::make_mut(&mut known).entry(number).or_insert(schema);
    }

    /// As of now.
    #[must_use]
    pub fn known(&self) -> Known {
        self.0.borrow().clone()
    }
}
