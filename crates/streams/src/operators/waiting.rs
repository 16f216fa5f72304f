//! Slots of an operator's table by the time at which what is in them goes.

use std::collections::BTreeMap;

use crate::{delta::CHUNK_ROWS, state::Slot};

/// What is in a slot with this time never goes by itself.
pub(super) const NEVER: i64 = i64::MAX;

/// See the module head.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// By slot.
    at: Vec<i64>,
    slots: BTreeMap<i64, Vec<Slot>>,
    /// In all lists of `slots`: one whose time is another now stays in its list until that time has come.
    count: usize,
}

impl Waiting {
    #[inline]
    pub(super) fn put(&mut self, slot: Slot, end: i64) {
        if self.at.len() <= slot.index() {
            self.at.resize(slot.index() + 1, NEVER);
        }
        if self.at[slot.index()] != end {
            self.at[slot.index()] = end;
            if end != NEVER {
                self.slots.entry(end).or_default().push(slot);
                self.count += 1;
            }
        }
    }

    /// Some of those whose time has come, which wait no more; none: there are no more. What was in a slot among them may have
    /// left it.
    pub(super) fn due(&mut self, now: i64) -> Vec<Slot> {
        let mut due = Vec::new();
        while now != i64::MIN
            && due.len() < CHUNK_ROWS
            && let Some(mut first) = self.slots.first_entry()
            && *first.key() <= now
        {
            let end = *first.key();
            let slots = first.get_mut();
            let from = slots.len().saturating_sub(CHUNK_ROWS);
            self.count -= slots.len() - from;
            for slot in slots.drain(from..) {
                if self.at[slot.index()] == end {
                    self.at[slot.index()] = NEVER;
                    due.push(slot);
                }
            }
            if slots.is_empty() {
                first.remove();
            }
        }
        due
    }

    pub(super) fn bytes(&self) -> usize {
        // Lists have room for about half as many again.
        let slots = self.count * size_of::<Slot>() * 3 / 2;
        let lists = self.slots.len() * size_of::<(i64, Vec<Slot>)>() * 4 / 3;
        self.at.capacity() * size_of::<i64>() + slots + lists
    }
}

#[cfg(test)]
mod tests;
