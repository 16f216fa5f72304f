//! Committed offsets of one group.

use std::{collections::BTreeMap, ops::Bound, sync::Arc};

use base::{Offset, PartitionIndex, TimestampMs, TopicName};

/// What OffsetCommit stores for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub offset: Offset,
    /// Leader epoch of the last consumed record, -1 when unknown (KIP-320).
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
    pub committed_at: TimestampMs,
    /// Set by OffsetCommit up to version 4 with a retention time of its own.
    pub expires_at: Option<TimestampMs>,
}

impl CommittedOffset {
    fn size_bytes(&self) -> usize {
        size_of::<Self>() + ENTRY_BYTES + self.metadata.len()
    }

    /// Whether it outlived `retention_ms`, counted from `since`, unless it carries its own end.
    pub(super) fn is_expired(
        &self,
        since: TimestampMs,
        now: TimestampMs,
        retention_ms: i64,
    ) -> bool {
        match self.expires_at {
            Some(end) => now >= end,
            None => now.0.saturating_sub(since.0) >= retention_ms,
        }
    }
}

/// By topic and partition, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffsetTable {
    topics: BTreeMap<TopicName, BTreeMap<PartitionIndex, CommittedOffset>>,
    count: usize,
    bytes: usize,
}

/// Memory of a map's entry beside its key and value.
const ENTRY_BYTES: usize = 32;

fn topic_bytes(topic: &TopicName) -> usize {
    topic.as_str().len() + size_of::<BTreeMap<PartitionIndex, CommittedOffset>>() + 2 * ENTRY_BYTES
}

impl OffsetTable {
    pub fn insert(
        &mut self,
        topic: &TopicName,
        partition: PartitionIndex,
        offset: CommittedOffset,
    ) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.clone(), BTreeMap::new());
            self.bytes += topic_bytes(topic);
        }
        let partitions = self
            .topics
            .get_mut(topic)
            .expect("the topic was just inserted");
        self.bytes += offset.size_bytes();
        match partitions.insert(partition, offset) {
            Some(before) => self.bytes -= before.size_bytes(),
            None => self.count += 1,
        }
    }

    pub fn remove(&mut self, topic: &TopicName, partition: PartitionIndex) {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        if let Some(before) = partitions.remove(&partition) {
            self.bytes -= before.size_bytes();
            self.count -= 1;
        }
        if partitions.is_empty() {
            self.topics.remove(topic);
            self.bytes -= topic_bytes(topic);
        }
    }

    #[must_use]
    pub fn get(&self, topic: &str, partition: PartitionIndex) -> Option<&CommittedOffset> {
        self.topics.get(topic)?.get(&partition)
    }

    /// Offsets of all topics.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Memory it takes, about.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.bytes
    }

    /// What setting these offsets adds to it.
    #[must_use]
    pub fn added_bytes(&self, offsets: &[(TopicName, PartitionIndex, CommittedOffset)]) -> usize {
        let added = offsets.iter().map(|(topic, partition, offset)| {
            let topic_added = match self.topics.contains_key(topic) {
                true => 0,
                false => topic_bytes(topic),
            };
            let before = self.get(topic.as_str(), *partition);
            let before = before.map_or(0, CommittedOffset::size_bytes);
            topic_added + offset.size_bytes().saturating_sub(before)
        });
        added.sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&TopicName, PartitionIndex, &CommittedOffset)> {
        self.topics.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, offset)| (topic, *partition, offset))
        })
    }

    /// What follows `after` in order; all without it.
    pub(super) fn iter_after(
        &self,
        after: Option<&(TopicName, PartitionIndex)>,
    ) -> impl Iterator<Item = (&TopicName, PartitionIndex, &CommittedOffset)> {
        let from = after.map_or(Bound::Unbounded, |(topic, _)| Bound::Included(topic));
        self.topics
            .range::<TopicName, _>((from, Bound::Unbounded))
            .flat_map(move |(topic, partitions)| {
                let last = after.filter(|(t, _)| t == topic).map(|(_, p)| *p);
                let from = last.map_or(Bound::Unbounded, Bound::Excluded);
                partitions
                    .range((from, Bound::Unbounded))
                    .map(move |(partition, offset)| (topic, *partition, offset))
            })
    }

    /// Partitions of one topic.
    pub fn of_topic(
        &self,
        topic: &str,
    ) -> impl Iterator<Item = (PartitionIndex, &CommittedOffset)> {
        self.topics
            .get(topic)
            .into_iter()
            .flatten()
            .map(|(partition, offset)| (*partition, offset))
    }
}
