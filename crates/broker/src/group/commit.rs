//! Offset commits, their deletion and expiry, and the deletion of groups.

use base::{PartitionIndex, TimestampMs, TopicName};

use super::{
    Context, OFFSETS_PER_GROUP_MAX, Pending, Ticket,
    classic::{Group, State},
    record,
    request::{Answer, Commit, GroupError, KeyValue, MemberRef},
};

/// A partition whose offset is to be forgotten.
pub(super) type OffsetKey = (TopicName, PartitionIndex);

impl Group {
    pub(super) fn commit(&mut self, ticket: Ticket, commit: Commit, cx: &mut Context<'_>) {
        let outcome = self
            .check_commit(&commit.member)
            .and_then(|()| self.check_room(&commit));
        if let Err(error) = outcome {
            cx.answer(ticket, Answer::Written(Err(error)));
            return;
        }
        if matches!(self.state, State::Stable | State::PreparingRebalance) {
            self.extend_session(&commit.member.member_id, cx.now.at_ms);
        }
        if commit.offsets.is_empty() {
            cx.answer(ticket, Answer::Written(Ok(())));
            return;
        }
        let records = commit
            .offsets
            .iter()
            .map(|(topic, partition, offset)| {
                record::of_offset(&self.id, topic, *partition, offset)
            })
            .collect();
        let pending = Pending::Committed {
            group: self.id.clone(),
            ticket,
            offsets: commit.offsets,
        };
        cx.write(pending, records);
    }

    fn check_commit(&self, member: &MemberRef) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::NotAvailable);
        }
        // Generation -1: an administrator, or a consumer that assigns its partitions itself.
        if member.generation < 0 && self.state == State::Empty {
            return Ok(());
        }
        let is_anonymous = member.generation < 0
            && member.member_id.as_str().is_empty()
            && member.instance.is_none();
        if is_anonymous {
            return Err(GroupError::UnknownMember);
        }
        self.check_generation(member)?;
        if self.state == State::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(())
    }

    fn check_room(&self, commit: &Commit) -> Result<(), GroupError> {
        let is_new = |(topic, partition, _): &&(TopicName, PartitionIndex, _)| {
            self.offsets.get(topic.as_str(), *partition).is_none()
        };
        let fits = self.offsets.count() + commit.offsets.len() <= OFFSETS_PER_GROUP_MAX
            || self.offsets.count() + commit.offsets.iter().filter(is_new).count()
                <= OFFSETS_PER_GROUP_MAX;
        if fits {
            Ok(())
        } else {
            Err(GroupError::InvalidCommitSize)
        }
    }

    /// Tombstones for `keys`; without any, the ticket is answered at once.
    pub(super) fn delete_offsets(
        &mut self,
        ticket: Option<Ticket>,
        keys: Vec<OffsetKey>,
        cx: &mut Context<'_>,
    ) {
        if keys.is_empty() {
            if let Some(ticket) = ticket {
                cx.answer(ticket, Answer::Written(Ok(())));
            }
            return;
        }
        let records = keys
            .iter()
            .map(|(topic, partition)| record::offset_tombstone(&self.id, topic, *partition))
            .collect();
        let pending = Pending::OffsetsDeleted {
            group: self.id.clone(),
            ticket,
            keys,
        };
        cx.write(pending, records);
    }

    pub(super) fn check_delete_offsets(&self) -> Result<(), GroupError> {
        match self.state {
            State::Dead => Err(GroupError::GroupIdNotFound),
            State::Empty => Ok(()),
            _ if self.uses_consumer_protocol() => Ok(()),
            _ => Err(GroupError::NonEmpty),
        }
    }

    pub(super) fn check_delete(&self) -> Result<(), GroupError> {
        match self.state {
            State::Dead => Err(GroupError::GroupIdNotFound),
            State::Empty => Ok(()),
            _ => Err(GroupError::NonEmpty),
        }
    }

    /// `keys`: every offset that the log holds for the group. It stays, dead, until the tombstones are durable.
    pub(super) fn delete(
        &mut self,
        ticket: Option<Ticket>,
        keys: &[OffsetKey],
        cx: &mut Context<'_>,
    ) {
        let mut records: Vec<KeyValue> = keys
            .iter()
            .map(|(topic, partition)| record::offset_tombstone(&self.id, topic, *partition))
            .collect();
        // Last: a crash between two batches leaves a group without offsets, not offsets without their group.
        records.push(record::group_tombstone(&self.id));
        self.pending_join.clear();
        self.set_state(State::Dead, cx.now.wall);
        let pending = Pending::GroupDeleted {
            group: self.id.clone(),
            ticket,
        };
        cx.write(pending, records);
    }

    /// Offsets that outlived `offsets.retention.minutes` (KIP-211): of an empty group since it became empty, of a simple
    /// one since their commit, of a stable one the same in topics it no longer subscribes to.
    pub(super) fn expired_offsets(&self, now: TimestampMs, retention_ms: i64) -> Vec<OffsetKey> {
        let is_simple = self.protocol_type.is_none();
        let counts_from_empty = !is_simple && self.state == State::Empty;
        let counts_from_commit = is_simple
            || (self.uses_consumer_protocol()
                && self.subscribed.is_some()
                && self.state == State::Stable);
        if !counts_from_empty && !counts_from_commit {
            return Vec::new();
        }
        self.offsets
            .iter()
            .filter(|(topic, _, committed)| {
                let since = if counts_from_empty {
                    self.state_since.max(committed.committed_at)
                } else {
                    committed.committed_at
                };
                !self.is_subscribed(topic.as_str())
                    && committed.is_expired(since, now, retention_ms)
            })
            .map(|(topic, partition, _)| (topic.clone(), partition))
            .collect()
    }
}
