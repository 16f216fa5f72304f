//! All groups of one partition of `__consumer_offsets`: events in, effects out.
//!
//! # Place
//! One per partition, on the shard that owns it. No I/O, no clock, no randomness: time and fresh member ids are handed in.
//!
//! # Invariants
//! 1. Every ticket handed in is answered exactly once (`group/checker.rs`).
//! 2. What others may see of a group (assignments, offsets) is durable first: an answer waits for `on_written`.
//! 3. Writes take effect in the order of the log, so state equals what a replay would give, plus writes under way.
//! 4. A group's entry in `wakes` is never later than its earliest deadline.
//!
//! # Limits
//! [`super::GROUPS_MAX`] groups (joins and first commits beyond are refused), [`super::OFFSETS_PER_GROUP_MAX`] offsets in
//! each, `group.max.size` members, [`super::GROUPS_BYTES_MAX`] in all (what would add to more is refused); a walk over all groups proceeds in steps that the caller sizes.

use std::collections::{BTreeMap, BTreeSet};

use base::{PartitionIndex, TopicName};

use super::{
    GROUPS_BYTES_MAX, GROUPS_MAX, MEMBER_METADATA_BYTES_MAX, PROTOCOLS_PER_MEMBER_MAX,
    classic::{Group, State},
    commit::OffsetKey,
    offsets::{CommittedOffset, OffsetTable},
    record::{self, Key, RecordError},
    request::{
        Answer, Blob, Commit, Description, Effects, FetchedOffset, GroupError, GroupId, Join,
        JoinRefused, KeyValue, Leaving, Listed, MemberId, MemberRef, Moment, Sync, Ticket, Write,
        WriteToken,
    },
};

/// Kafka's `group.*` and `offsets.retention.minutes` settings.
#[derive(Clone, Debug)]
pub struct GroupConfig {
    /// `group.initial.rebalance.delay.ms`
    pub initial_rebalance_delay_ms: u64,
    /// `group.min.session.timeout.ms`
    pub session_timeout_ms_min: i32,
    /// `group.max.session.timeout.ms`
    pub session_timeout_ms_max: i32,
    /// `group.max.size`
    pub members_max: usize,
    /// `offsets.retention.minutes`, in milliseconds.
    pub offsets_retention_ms: i64,
}

impl Default for GroupConfig {
    /// Kafka's defaults; `group.max.size`, unbounded there, is what a group record has room for.
    fn default() -> Self {
        Self {
            initial_rebalance_delay_ms: 3_000,
            session_timeout_ms_min: 6_000,
            session_timeout_ms_max: 1_800_000,
            members_max: 10_000,
            offsets_retention_ms: 7 * 24 * 3_600_000,
        }
    }
}

/// What happens when a write is durable.
#[derive(Debug)]
pub(super) enum Pending {
    Nothing,
    Assigned(Assigned),
    StaticReplaced(StaticReplaced),
    Committed {
        group: GroupId,
        ticket: Ticket,
        offsets: Vec<(TopicName, PartitionIndex, CommittedOffset)>,
    },
    OffsetsDeleted {
        group: GroupId,
        ticket: Option<Ticket>,
        keys: Vec<OffsetKey>,
    },
    GroupDeleted {
        group: GroupId,
        ticket: Option<Ticket>,
    },
}

impl Pending {
    fn group(&self) -> Option<&GroupId> {
        match self {
            Self::Nothing => None,
            Self::Assigned(Assigned { group, .. })
            | Self::StaticReplaced(StaticReplaced { group, .. })
            | Self::Committed { group, .. }
            | Self::OffsetsDeleted { group, .. }
            | Self::GroupDeleted { group, .. } => Some(group),
        }
    }
}

#[derive(Debug)]
pub(super) struct Assigned {
    pub group: GroupId,
    pub generation: i32,
    pub assignments: BTreeMap<MemberId, Blob>,
}

#[derive(Debug)]
pub(super) struct StaticReplaced {
    pub group: GroupId,
    pub member: MemberId,
    pub ticket: Ticket,
    pub generation: i32,
    pub leader_before: Option<MemberId>,
    pub skips_assignment: bool,
}

/// What a group may touch while it handles an event.
pub(super) struct Context<'a> {
    pub now: Moment,
    pub config: &'a GroupConfig,
    effects: &'a mut Effects,
    pending: &'a mut BTreeMap<WriteToken, Pending>,
    next_token: &'a mut u64,
}

impl Context<'_> {
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) {
        self.effects.answers.push((ticket, answer));
    }

    pub fn write(&mut self, pending: Pending, records: Vec<KeyValue>) {
        let token = WriteToken(*self.next_token);
        *self.next_token += 1;
        self.pending.insert(token, pending);
        self.effects.writes.push(Write { token, records });
    }
}

/// See the head of the file.
#[derive(Debug)]
pub struct GroupTable {
    config: GroupConfig,
    pub(super) groups: BTreeMap<GroupId, Group>,
    wakes: BTreeSet<(u64, GroupId)>,
    /// Sum of the groups' `counted_bytes`.
    bytes: usize,
    pub(super) pending: BTreeMap<WriteToken, Pending>,
    next_token: u64,
}

impl GroupTable {
    #[must_use]
    pub fn new(config: GroupConfig) -> Self {
        Self {
            config,
            groups: BTreeMap::new(),
            wakes: BTreeSet::new(),
            bytes: 0,
            pending: BTreeMap::new(),
            next_token: 0,
        }
    }

    #[must_use]
    pub fn group_count(&self) -> usize {
        self.groups.len()
    }

    pub fn on_join(&mut self, now: Moment, ticket: Ticket, join: &Join, fx: &mut Effects) {
        if let Err(error) = self.admit(now, join) {
            let member_id = join.member_id.clone();
            let answer = Answer::Join(Err(JoinRefused { member_id, error }));
            fx.answers.push((ticket, answer));
            return;
        }
        self.step(&join.group, now, fx, |group, cx| {
            group.join(ticket, join, cx);
        });
        self.forget_unused(&join.group);
    }

    /// What can be said before the group is looked at; creates it for a newcomer.
    fn admit(&mut self, now: Moment, join: &Join) -> Result<(), GroupError> {
        let session = self.config.session_timeout_ms_min..=self.config.session_timeout_ms_max;
        if !session.contains(&join.session_timeout_ms) {
            return Err(GroupError::InvalidSessionTimeout);
        }
        let metadata_bytes: usize = join.protocols.iter().map(|p| p.metadata.len()).sum();
        if metadata_bytes > MEMBER_METADATA_BYTES_MAX
            || join.protocols.len() > PROTOCOLS_PER_MEMBER_MAX
        {
            return Err(GroupError::TooLarge);
        }
        let group = self.groups.get(&join.group);
        if group.is_none() && join.member_id.is_some() {
            return Err(GroupError::UnknownMember);
        }
        let before = group.map_or(0, |group| group.bytes_of(join));
        if !self.has_room(join.size_bytes().saturating_sub(before)) {
            return Err(GroupError::NotAvailable);
        }
        if group.is_some() {
            return Ok(());
        }
        self.create(&join.group, now)
    }

    fn has_room(&self, added_bytes: usize) -> bool {
        added_bytes == 0 || self.bytes + added_bytes <= GROUPS_BYTES_MAX
    }

    /// A group that was only asked for leaves nothing behind; the log says nothing of it.
    fn forget_unused(&mut self, id: &GroupId) {
        let is_unused = self.groups.get(id).is_some_and(Group::is_unused);
        // What was asked for last is found first.
        if is_unused && !self.pending.values().rev().any(|p| p.group() == Some(id)) {
            self.forget(id);
        }
    }

    fn create(&mut self, id: &GroupId, now: Moment) -> Result<(), GroupError> {
        if self.groups.len() >= GROUPS_MAX {
            return Err(GroupError::NotAvailable);
        }
        let mut group = Group::new(id.clone(), now.wall);
        group.own_bytes = group.size_bytes();
        count(&mut self.bytes, &mut group);
        self.groups.insert(id.clone(), group);
        Ok(())
    }

    pub fn on_sync(&mut self, now: Moment, ticket: Ticket, sync: Sync, fx: &mut Effects) {
        let id = sync.group.clone();
        let added = sync
            .assignments
            .iter()
            .map(|(_, blob)| blob.len())
            .sum::<usize>();
        let before = self.groups.get(&id).map_or(0, Group::assigned_bytes);
        if !self.has_room(added.saturating_sub(before)) {
            let answer = Answer::Sync(Err(GroupError::NotAvailable));
            fx.answers.push((ticket, answer));
            return;
        }
        let known = self.step(&id, now, fx, |group, cx| group.sync(ticket, sync, cx));
        if known.is_none() {
            fx.answers
                .push((ticket, Answer::Sync(Err(GroupError::UnknownMember))));
        }
    }

    pub fn on_heartbeat(
        &mut self,
        now: Moment,
        id: &GroupId,
        member: &MemberRef,
    ) -> Result<(), GroupError> {
        let group = self.groups.get_mut(id).ok_or(GroupError::UnknownMember)?;
        let outcome = group.heartbeat(member, now.at_ms);
        self.wake_not_later(id, &member.member_id);
        outcome
    }

    /// One outcome per leaving member, or one for all.
    pub fn on_leave(
        &mut self,
        now: Moment,
        id: &GroupId,
        leaving: &[Leaving],
        fx: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        self.step(id, now, fx, |group, cx| group.leave(leaving, cx))
            .unwrap_or(Err(GroupError::UnknownMember))
    }

    pub fn on_commit(&mut self, now: Moment, ticket: Ticket, commit: Commit, fx: &mut Effects) {
        let id = commit.group.clone();
        if let Err(error) = self.admit_commit(now, &commit) {
            fx.answers.push((ticket, Answer::Written(Err(error))));
            return;
        }
        let member = commit.member.member_id.clone();
        let Some(group) = self.groups.get_mut(&id) else {
            return;
        };
        let mut cx = Context {
            now,
            config: &self.config,
            effects: fx,
            pending: &mut self.pending,
            next_token: &mut self.next_token,
        };
        group.commit(ticket, commit, &mut cx);
        self.wake_not_later(&id, &member);
        self.forget_unused(&id);
    }

    fn admit_commit(&mut self, now: Moment, commit: &Commit) -> Result<(), GroupError> {
        let group = self.groups.get(&commit.group);
        let added = match group {
            Some(group) => group.offsets.added_bytes(&commit.offsets),
            None => OffsetTable::default().added_bytes(&commit.offsets),
        };
        if !self.has_room(added) {
            Err(GroupError::NotAvailable)
        } else if group.is_some() {
            Ok(())
        } else if commit.member.generation < 0 {
            self.create(&commit.group, now)
        } else if commit.not_found_known {
            Err(GroupError::GroupIdNotFound)
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    /// Answers per key (subscribed topics are refused), or one for all; what was accepted is answered through `ticket`.
    pub fn on_delete_offsets(
        &mut self,
        now: Moment,
        ticket: Ticket,
        id: &GroupId,
        keys: &[(TopicName, PartitionIndex)],
        fx: &mut Effects,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        let latest = self.latest_offsets(id);
        let group = self.groups.get(id).ok_or(GroupError::GroupIdNotFound)?;
        group.check_delete_offsets()?;
        let mut outcomes = Vec::with_capacity(keys.len());
        let mut gone = Vec::new();
        for key in keys {
            if group.is_subscribed(key.0.as_str()) {
                outcomes.push(Err(GroupError::SubscribedToTopic));
                continue;
            }
            outcomes.push(Ok(()));
            if group.offsets.get(key.0.as_str(), key.1).is_some() || latest.contains_key(key) {
                gone.push(key.clone());
            }
        }
        self.step(id, now, fx, |group, cx| {
            group.delete_offsets(Some(ticket), gone, cx);
        });
        Ok(outcomes)
    }

    pub fn on_delete_group(&mut self, now: Moment, ticket: Ticket, id: &GroupId, fx: &mut Effects) {
        let check = self
            .groups
            .get(id)
            .map_or(Err(GroupError::GroupIdNotFound), Group::check_delete);
        match check {
            Err(error) => fx.answers.push((ticket, Answer::Written(Err(error)))),
            Ok(()) => self.delete_group(now, Some(ticket), id, fx),
        }
    }

    fn delete_group(
        &mut self,
        now: Moment,
        ticket: Option<Ticket>,
        id: &GroupId,
        fx: &mut Effects,
    ) {
        let mut keys: BTreeSet<OffsetKey> = self
            .latest_offsets(id)
            .into_iter()
            .filter(|(_, latest)| latest.is_some())
            .map(|(key, _)| key)
            .collect();
        if let Some(group) = self.groups.get(id) {
            keys.extend(group.offsets.iter().map(|(t, p, _)| (t.clone(), p)));
        }
        let keys: Vec<OffsetKey> = keys.into_iter().collect();
        self.step(id, now, fx, |group, cx| group.delete(ticket, &keys, cx));
    }

    /// The outcome of a write; writes come back in the order they were asked for.
    pub fn on_written(
        &mut self,
        now: Moment,
        token: WriteToken,
        outcome: Result<(), GroupError>,
        fx: &mut Effects,
    ) {
        let pending = self.pending.remove(&token).unwrap_or(Pending::Nothing);
        match pending {
            Pending::Nothing => {}
            Pending::Assigned(done) => {
                let id = done.group.clone();
                self.step(&id, now, fx, |group, cx| {
                    group.on_assigned(done, outcome, cx);
                });
            }
            Pending::StaticReplaced(done) => {
                self.step(&done.group.clone(), now, fx, |group, cx| {
                    group.on_static_replaced(&done, outcome, cx);
                });
            }
            Pending::Committed {
                group,
                ticket,
                offsets,
            } => {
                if let (Ok(()), Some(group)) = (outcome, self.groups.get_mut(&group)) {
                    for (topic, partition, offset) in offsets {
                        group.offsets.insert(&topic, partition, offset);
                    }
                    count(&mut self.bytes, group);
                }
                fx.answers.push((ticket, Answer::Written(outcome)));
            }
            Pending::OffsetsDeleted {
                group,
                ticket,
                keys,
            } => {
                if let (Ok(()), Some(group)) = (outcome, self.groups.get_mut(&group)) {
                    for (topic, partition) in keys {
                        group.offsets.remove(&topic, partition);
                    }
                    count(&mut self.bytes, group);
                }
                let ticket = ticket.into_iter();
                fx.answers
                    .extend(ticket.map(|ticket| (ticket, Answer::Written(outcome))));
            }
            Pending::GroupDeleted { group, ticket } => {
                self.on_group_deleted(now, &group, outcome);
                let ticket = ticket.into_iter();
                fx.answers
                    .extend(ticket.map(|ticket| (ticket, Answer::Written(outcome))));
            }
        }
    }

    fn on_group_deleted(&mut self, now: Moment, id: &GroupId, outcome: Result<(), GroupError>) {
        if outcome.is_ok() {
            self.forget(id);
        } else if let Some(group) = self.groups.get_mut(id) {
            group.set_state(State::Empty, now.wall);
        }
    }

    fn forget(&mut self, id: &GroupId) {
        let Some(group) = self.groups.remove(id) else {
            return;
        };
        self.bytes -= group.counted_bytes;
        if let Some(at) = group.wake_ms {
            self.wakes.remove(&(at, id.clone()));
        }
    }

    /// When `on_tick` has work next, on the monotonic clock.
    #[must_use]
    pub fn next_wake_ms(&self) -> Option<u64> {
        self.wakes.first().map(|(at, _)| *at)
    }

    /// Acts on the deadlines of at most `groups_max` groups; when more are due, `next_wake_ms` stays in the past.
    pub fn on_tick(&mut self, now: Moment, groups_max: usize, fx: &mut Effects) {
        let due: Vec<GroupId> = self
            .wakes
            .iter()
            .take_while(|(at, _)| *at <= now.at_ms)
            .take(groups_max)
            .map(|(_, id)| id.clone())
            .collect();
        for id in due {
            self.step(&id, now, fx, Group::expire);
            self.forget_unused(&id);
        }
    }

    /// Expires offsets and removes groups that nothing is left of, among the `groups_max` groups after `after`; gives
    /// the last one seen, none at the end.
    pub fn on_sweep(
        &mut self,
        now: Moment,
        after: Option<&GroupId>,
        groups_max: usize,
        fx: &mut Effects,
    ) -> Option<GroupId> {
        let ids = self.ids_after(after, groups_max);
        for id in &ids {
            // A tombstone decided on older state would bury a commit that is on its way.
            if self.pending.values().any(|p| p.group() == Some(id)) {
                continue;
            }
            let Some(group) = self.groups.get(id) else {
                continue;
            };
            let expired = group.expired_offsets(now.wall, self.config.offsets_retention_ms);
            let is_gone = group.state == State::Empty
                && group.pending_join.is_empty()
                && expired.len() == group.offsets.count();
            if is_gone {
                self.delete_group(now, None, id, fx);
            } else {
                self.step(id, now, fx, |group, cx| {
                    group.delete_offsets(None, expired, cx);
                });
            }
        }
        if ids.len() < groups_max {
            None
        } else {
            ids.last().cloned()
        }
    }

    /// Forgets the offsets of a deleted topic, stepwise as `on_sweep`.
    pub fn on_topic_deleted(
        &mut self,
        now: Moment,
        topic: &TopicName,
        after: Option<&GroupId>,
        groups_max: usize,
        fx: &mut Effects,
    ) -> Option<GroupId> {
        let ids = self.ids_after(after, groups_max);
        for id in &ids {
            let Some(group) = self.groups.get(id) else {
                continue;
            };
            let mut keys: BTreeSet<OffsetKey> = group
                .offsets
                .of_topic(topic.as_str())
                .map(|(partition, _)| (topic.clone(), partition))
                .collect();
            let latest = self.latest_offsets(id).into_iter();
            keys.extend(
                latest
                    .filter(|(key, _)| key.0 == *topic)
                    .map(|(key, _)| key),
            );
            if keys.is_empty() {
                continue;
            }
            self.step(id, now, fx, |group, cx| {
                group.delete_offsets(None, keys.into_iter().collect(), cx);
            });
        }
        if ids.len() < groups_max {
            None
        } else {
            ids.last().cloned()
        }
    }

    pub(super) fn ids_after(&self, after: Option<&GroupId>, groups_max: usize) -> Vec<GroupId> {
        use std::ops::Bound;
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = self.groups.range::<GroupId, _>((from, Bound::Unbounded));
        range.take(groups_max).map(|(id, _)| id.clone()).collect()
    }

    /// Offsets of a group that writes under way will set (or delete, none), as the log has them.
    pub(super) fn latest_offsets(
        &self,
        id: &GroupId,
    ) -> BTreeMap<OffsetKey, Option<CommittedOffset>> {
        let mut latest = BTreeMap::new();
        for pending in self.pending.values() {
            match pending {
                Pending::Committed { group, offsets, .. } if group == id => {
                    for (topic, partition, offset) in offsets {
                        latest.insert((topic.clone(), *partition), Some(offset.clone()));
                    }
                }
                Pending::OffsetsDeleted { group, keys, .. } if group == id => {
                    latest.extend(keys.iter().map(|key| (key.clone(), None)));
                }
                _ => {}
            }
        }
        latest
    }

    /// Durable offsets of `partitions`, none where nothing was committed.
    #[must_use]
    pub fn fetch(
        &self,
        id: &GroupId,
        topic: &str,
        partition: PartitionIndex,
    ) -> Option<FetchedOffset> {
        let group = self.groups.get(id).filter(|g| g.state != State::Dead)?;
        group.offsets.get(topic, partition).map(fetched)
    }

    /// All durable offsets of a group, by topic.
    #[must_use]
    pub fn fetch_all(&self, id: &GroupId) -> Vec<(TopicName, PartitionIndex, FetchedOffset)> {
        let group = self.groups.get(id).filter(|g| g.state != State::Dead);
        group.map_or_else(Vec::new, |group| {
            let offsets = group.offsets.iter();
            offsets
                .map(|(topic, partition, offset)| (topic.clone(), partition, fetched(offset)))
                .collect()
        })
    }

    #[must_use]
    pub fn describe(&self, id: &GroupId) -> Option<Description> {
        self.groups
            .get(id)
            .filter(|g| g.state != State::Dead)
            .map(Group::described)
    }

    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        self.groups.values().map(Group::listed).collect()
    }

    /// Applies one record of the log, in order, before anything else happens.
    pub fn replay(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), RecordError> {
        match (record::decode_key(key)?, value) {
            (Key::Other(_), _) => {}
            (Key::Group(id), None) => self.forget(&id),
            (Key::Group(id), Some(value)) => {
                let value = record::decode_group(value)?;
                self.replayed(&id, |group| {
                    group.load(value);
                    group.own_bytes = group.size_bytes();
                });
            }
            (
                Key::Offset {
                    group,
                    topic,
                    partition,
                },
                None,
            ) => {
                if let Some(group) = self.groups.get_mut(&group) {
                    group.offsets.remove(&topic, partition);
                    count(&mut self.bytes, group);
                }
            }
            (
                Key::Offset {
                    group,
                    topic,
                    partition,
                },
                Some(value),
            ) => {
                let offset = record::decode_offset(value)?;
                self.replayed(&group, |group| {
                    group.offsets.insert(&topic, partition, offset);
                });
            }
        }
        Ok(())
    }

    fn replayed(&mut self, id: &GroupId, act: impl FnOnce(&mut Group)) {
        let new = || {
            let mut group = Group::new(id.clone(), base::TimestampMs(-1));
            group.own_bytes = group.size_bytes();
            group
        };
        let group = self.groups.entry(id.clone()).or_insert_with(new);
        act(group);
        count(&mut self.bytes, group);
    }

    /// After the replay: members' sessions begin anew. Stepwise as `on_sweep`.
    pub fn on_loaded(
        &mut self,
        now: Moment,
        after: Option<&GroupId>,
        groups_max: usize,
        fx: &mut Effects,
    ) -> Option<GroupId> {
        let ids = self.ids_after(after, groups_max);
        for id in &ids {
            self.step(id, now, fx, Group::resume);
        }
        if ids.len() < groups_max {
            None
        } else {
            ids.last().cloned()
        }
    }

    fn step<R>(
        &mut self,
        id: &GroupId,
        now: Moment,
        fx: &mut Effects,
        act: impl FnOnce(&mut Group, &mut Context<'_>) -> R,
    ) -> Option<R> {
        let group = self.groups.get_mut(id)?;
        let mut cx = Context {
            now,
            config: &self.config,
            effects: fx,
            pending: &mut self.pending,
            next_token: &mut self.next_token,
        };
        let result = act(group, &mut cx);
        group.own_bytes = group.size_bytes();
        count(&mut self.bytes, group);
        let deadline = group.next_deadline_ms();
        self.set_wake(id, deadline);
        Some(result)
    }

    fn set_wake(&mut self, id: &GroupId, at: Option<u64>) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.wake_ms == at {
            return;
        }
        if let Some(old) = group.wake_ms {
            self.wakes.remove(&(old, id.clone()));
        }
        group.wake_ms = at;
        if let Some(at) = at {
            self.wakes.insert((at, id.clone()));
        }
    }

    /// A heartbeat mostly moves a deadline further away, and a wake that comes too early finds out: no search for the
    /// earliest deadline of all members on this path.
    fn wake_not_later(&mut self, id: &GroupId, member: &MemberId) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let deadline = group
            .members
            .get(member)
            .and_then(|m| m.session_deadline_ms);
        if let Some(deadline) = deadline
            && group.wake_ms.is_none_or(|wake| wake > deadline)
        {
            self.set_wake(id, Some(deadline));
        }
    }
}

/// Brings the sum up to date with a group.
fn count(bytes: &mut usize, group: &mut Group) {
    *bytes -= group.counted_bytes;
    group.counted_bytes = group.own_bytes + group.offsets.size_bytes();
    *bytes += group.counted_bytes;
}

fn fetched(committed: &CommittedOffset) -> FetchedOffset {
    FetchedOffset {
        offset: committed.offset,
        leader_epoch: committed.leader_epoch,
        metadata: committed.metadata.clone(),
    }
}

#[cfg(test)]
impl GroupTable {
    /// What the groups are counted as, and what counting them anew gives.
    pub(super) fn bytes_counted(&self) -> (usize, usize) {
        let anew = |group: &Group| group.size_bytes() + group.offsets.size_bytes();
        (self.bytes, self.groups.values().map(anew).sum())
    }

    /// The wakes that stand for a group, for the checker.
    pub(super) fn wake_entries(&self, id: &GroupId) -> Vec<u64> {
        let entries = self.wakes.iter().filter(|(_, of)| of == id);
        entries.map(|(at, _)| *at).collect()
    }
}
