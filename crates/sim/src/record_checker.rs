//! What clients were told about records and committed offsets, checked for contradictions. It panics on a violation.
//!
//! # Invariants
//! 1. A place holds one record for ever, and a record has one place: nothing is duplicated, no offset changes.
//! 2. A place that anyone was told of is there at the end: nothing acknowledged or read is lost.
//! 3. The records of one producer stand in the order in which it sent them.
//! 4. A group's committed offset never goes back.

use base::{Offset, PartitionIndex};
use std::collections::BTreeMap;

/// One record, told apart by who sent it: no producer uses a sequence twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordId {
    pub producer: u64,
    pub sequence: u64,
}

impl RecordId {
    /// The front of the record's value.
    pub fn encode(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.producer.to_be_bytes());
        bytes[8..].copy_from_slice(&self.sequence.to_be_bytes());
        bytes
    }

    fn decode(value: &[u8]) -> Option<Self> {
        let (producer, rest) = value.split_first_chunk::<8>()?;
        let sequence = rest.first_chunk::<8>()?;
        Some(Self {
            producer: u64::from_be_bytes(*producer),
            sequence: u64::from_be_bytes(*sequence),
        })
    }
}

/// A record's place in the topic.
pub type Place = (PartitionIndex, Offset);

#[derive(Debug, Default)]
pub struct History {
    records: BTreeMap<Place, RecordId>,
    places: BTreeMap<RecordId, Place>,
    /// Acknowledged without a place: the broker had forgotten it.
    placeless: Vec<RecordId>,
    /// By group and partition.
    committed: BTreeMap<(&'static str, PartitionIndex), Offset>,
    acknowledged: u64,
}

impl History {
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub fn on_acknowledged(
        &mut self,
        id: RecordId,
        partition: PartitionIndex,
        offset: Option<Offset>,
    ) {
        self.acknowledged += 1;
        match offset {
            Some(offset) => self.note((partition, offset), id, "acknowledged"),
            None => self.placeless.push(id),
        }
    }

    /// A consumer was given this value.
    pub fn on_read(&mut self, place: Place, value: Option<&[u8]>) {
        let id = value.and_then(RecordId::decode);
        let id =
            id.unwrap_or_else(|| panic!("{place:?} holds a value that nobody sent: {value:?}"));
        self.note(place, id, "read");
    }

    fn note(&mut self, place: Place, id: RecordId, how: &str) {
        let known = *self.records.entry(place).or_insert(id);
        assert_eq!(known, id, "{how}: {place:?} held another record before");
        let known = *self.places.entry(id).or_insert(place);
        assert_eq!(known, place, "{how}: {id:?} is in the log twice");
    }

    /// The whole of a partition was read: `ids` from offset 0 on.
    pub fn on_whole(&self, partition: PartitionIndex, ids: &[RecordId]) {
        let known = self
            .records
            .range((partition, Offset::ZERO)..=(partition, Offset(i64::MAX)));
        if let Some(((_, last), id)) = known.last() {
            assert!(
                last.0 < ids.len() as i64,
                "{partition:?} ends at {}, but {id:?} was acknowledged or read at {last}",
                ids.len()
            );
        }
        let mut last_of = BTreeMap::new();
        for id in ids {
            let before = last_of.insert(id.producer, id.sequence);
            assert!(
                before.is_none_or(|before| before < id.sequence),
                "{partition:?}: {id:?} stands behind {before:?} of its producer"
            );
        }
    }

    /// After every partition was read: what was acknowledged without a place has one.
    pub fn on_all_read(&self) {
        for id in &self.placeless {
            assert!(self.places.contains_key(id), "{id:?} is lost");
        }
    }

    /// The committed offset was promised, or read: later ones are not below it.
    pub fn on_committed(&mut self, group: &'static str, partition: PartitionIndex, offset: Offset) {
        let known = self.committed.entry((group, partition)).or_insert(offset);
        *known = (*known).max(offset);
    }

    /// What was promised so far; to be compared with what a request that begins now finds.
    pub fn committed(&self, group: &'static str) -> BTreeMap<PartitionIndex, Offset> {
        let of_group = self.committed.iter().filter(|((of, _), _)| *of == group);
        of_group
            .map(|((_, partition), offset)| (*partition, *offset))
            .collect()
    }

    /// The committed offsets that a request found which began when `before` was promised.
    pub fn on_committed_read(
        &mut self,
        group: &'static str,
        before: &BTreeMap<PartitionIndex, Offset>,
        found: &BTreeMap<PartitionIndex, Offset>,
    ) {
        for (partition, promised) in before {
            let found = found.get(partition);
            assert!(
                found.is_some_and(|found| found >= promised),
                "group {group}, {partition:?}: {promised} was committed, now it is {found:?}"
            );
        }
        for (partition, offset) in found {
            self.on_committed(group, *partition, *offset);
        }
    }

    /// The record at a place, if anyone was told of it.
    pub fn record(&self, place: Place) -> Option<RecordId> {
        self.records.get(&place).copied()
    }
}
