//! Live groups as records: what a trimmed log starts with, and what a replay builds groups from.
//!
//! A snapshot is appended stepwise while the log goes on. Each step writes what the log holds at that moment, writes under
//! way included: replayed in order, whatever follows it corrects it. When the last step is durable, everything before the
//! first one can go.

use std::ops::Bound;

use super::{
    Context, GroupTable, Pending,
    classic::{Group, State},
    commit::OffsetKey,
    record::{self, GroupValue},
    request::{GroupId, KeyValue},
};

/// How far a snapshot has come: the last group, and in it the last offset; a finished group has no offset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotCursor {
    group: GroupId,
    offset: Option<OffsetKey>,
}

impl GroupTable {
    /// At least one and about `records_max` records after `cursor`; no cursor means the end.
    #[must_use]
    pub fn snapshot(
        &self,
        cursor: Option<SnapshotCursor>,
        records_max: usize,
    ) -> (Vec<KeyValue>, Option<SnapshotCursor>) {
        let mut records = Vec::new();
        let from = match &cursor {
            None => Bound::Unbounded,
            Some(cursor) if cursor.offset.is_some() => Bound::Included(&cursor.group),
            Some(cursor) => Bound::Excluded(&cursor.group),
        };
        for (id, group) in self.groups.range::<GroupId, _>((from, Bound::Unbounded)) {
            let inside = cursor.as_ref().filter(|c| c.group == *id);
            let after = inside.and_then(|c| c.offset.as_ref());
            if group.state == State::Dead {
                continue;
            }
            if after.is_none() && group.protocol_type.is_some() {
                records.push(self.latest_group(group));
            }
            let last = self.snapshot_offsets(group, after, records_max, &mut records);
            if records.len() >= records_max {
                let cursor = SnapshotCursor {
                    group: id.clone(),
                    offset: last,
                };
                return (records, Some(cursor));
            }
        }
        (records, None)
    }

    /// Gives the last key when it stopped for `records_max`.
    fn snapshot_offsets(
        &self,
        group: &Group,
        after: Option<&OffsetKey>,
        records_max: usize,
        records: &mut Vec<KeyValue>,
    ) -> Option<OffsetKey> {
        // Both in key order: a first commit under way may be durable, and before the cursor, at the next step.
        let latest = self.latest_offsets(&group.id);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut latest = latest.range((from, Bound::Unbounded)).peekable();
        let mut durable = group.offsets.iter_after(after).peekable();
        loop {
            let next_durable = durable.peek().map(|(topic, p, _)| (*topic, *p));
            let next_latest = latest.peek().map(|((topic, p), _)| (topic, *p));
            let is_under_way = match (next_durable, next_latest) {
                (None, None) => return None,
                (Some(a), Some(b)) => b <= a,
                (a, _) => a.is_none(),
            };
            let (topic, partition, newest) = if is_under_way {
                if next_durable == next_latest {
                    durable.next();
                }
                let ((topic, partition), newest) = latest.next()?;
                (topic, *partition, newest.as_ref())
            } else {
                let (topic, partition, offset) = durable.next()?;
                (topic, partition, Some(offset))
            };
            records.extend(newest.map(|o| record::of_offset(&group.id, topic, partition, o)));
            if records.len() >= records_max {
                return Some((topic.clone(), partition));
            }
        }
    }

    fn latest_group(&self, group: &Group) -> KeyValue {
        let assigned = self
            .pending
            .values()
            .rev()
            .find_map(|pending| match pending {
                Pending::Assigned(assigned)
                    if assigned.group == group.id
                        && assigned.generation == group.generation
                        && group.state == State::CompletingRebalance =>
                {
                    Some(&assigned.assignments)
                }
                _ => None,
            });
        record::of_group(group, assigned)
    }
}

impl Group {
    /// Becomes what the record says; offsets stay.
    pub(super) fn load(&mut self, value: GroupValue) {
        let (offsets, counted_bytes) = (std::mem::take(&mut self.offsets), self.counted_bytes);
        *self = Self::new(self.id.clone(), value.state_since);
        self.offsets = offsets;
        self.counted_bytes = counted_bytes;
        self.generation = value.generation;
        self.protocol_type = value.protocol_type;
        self.protocol = value.protocol;
        let kind = self.protocol_type.clone().unwrap_or_else(|| "".into());
        for member in value.members {
            let member = member.into_member(self.protocol.as_ref());
            if self.members.contains_key(&member.id) {
                continue;
            }
            self.add_member(member, &kind);
        }
        if !self.members.is_empty() {
            self.state = State::Stable;
            self.leader = value
                .leader
                .filter(|id| self.members.contains_key(id))
                .or_else(|| self.members.keys().next().cloned());
        }
    }

    /// Starts to serve after the replay.
    pub(super) fn resume(&mut self, cx: &mut Context<'_>) {
        self.refresh_subscription();
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in &ids {
            self.extend_session(id, cx.now.at_ms);
        }
        if ids.len() > cx.config.members_max {
            self.prepare_rebalance(cx);
        }
    }
}
