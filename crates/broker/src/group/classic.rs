//! A classic consumer group: its members, its state, and the rules of changing either.
//!
//! # Invariants
//! 1. Parked requests: a member has at most one join and one sync parked; whoever removes or replaces them answers them
//!    first (`group/checker.rs`: answered exactly once).
//! 2. `pending_sync` and `static_members` name members only; `votes` counts each member's protocols once.
//! 3. A member that is not waiting has a session deadline; joins wait under `join_timer`, syncs under `sync_deadline_ms`
//!    or a write of the leader's assignment.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base::TimestampMs;

use super::{
    Context,
    member::Member,
    offsets::OffsetTable,
    request::{
        Answer, Blob, Description, GroupError, GroupId, InstanceId, Join, JoinRefused, Joined,
        Listed, MemberId, MemberRef, Protocol, Synced, Ticket,
    },
    subscription,
};

/// Kafka's ClassicGroupState.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
    /// Being deleted: tombstones are on their way to the disk.
    Dead,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance => "PreparingRebalance",
            Self::CompletingRebalance => "CompletingRebalance",
            Self::Stable => "Stable",
            Self::Dead => "Dead",
        }
    }
}

/// Memory of an id's place in a map or set.
const MAP_ENTRY_BYTES: usize = 48;

/// When the join phase ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum JoinTimer {
    /// The first rebalance of an empty group is delayed, again for each newcomer while `remaining_ms` lasts.
    Initial {
        at_ms: u64,
        delay_ms: u64,
        remaining_ms: u64,
    },
    Rebalance {
        at_ms: u64,
    },
}

impl JoinTimer {
    pub fn at_ms(self) -> u64 {
        match self {
            Self::Initial { at_ms, .. } | Self::Rebalance { at_ms } => at_ms,
        }
    }
}

#[derive(Debug)]
pub(super) struct Group {
    pub id: GroupId,
    pub state: State,
    /// The rebalance under way started from an empty group.
    pub initial_rebalance: bool,
    /// Since when it is in `state`.
    pub state_since: TimestampMs,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<MemberId>,
    pub members: BTreeMap<MemberId, Member>,
    pub static_members: BTreeMap<InstanceId, MemberId>,
    /// Told to join again with this id (KIP-394), until the deadline.
    pub pending_join: BTreeMap<MemberId, u64>,
    /// Told their generation, have not asked for their assignment.
    pub pending_sync: BTreeSet<MemberId>,
    /// The generation whose assignments are being written.
    pub assigning: Option<i32>,
    /// Of those assignments.
    pub assigning_bytes: usize,
    pub new_member_added: bool,
    pub join_timer: Option<JoinTimer>,
    pub sync_deadline_ms: Option<u64>,
    /// Members that support each protocol.
    pub votes: BTreeMap<Arc<str>, usize>,
    /// Members with a parked join.
    pub joining: usize,
    /// Topics of all members' subscriptions; none when they cannot be known.
    pub subscribed: Option<BTreeSet<String>>,
    /// Memory of `subscribed`.
    pub subscribed_bytes: usize,
    pub offsets: OffsetTable,
    /// What the table counts it as: all but its offsets, and all.
    pub own_bytes: usize,
    pub counted_bytes: usize,
    /// Its entry among the table's wakes.
    pub wake_ms: Option<u64>,
}

impl Group {
    pub fn new(id: GroupId, now: TimestampMs) -> Self {
        Self {
            id,
            state: State::Empty,
            initial_rebalance: false,
            state_since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_join: BTreeMap::new(),
            pending_sync: BTreeSet::new(),
            assigning: None,
            assigning_bytes: 0,
            new_member_added: false,
            join_timer: None,
            sync_deadline_ms: None,
            votes: BTreeMap::new(),
            joining: 0,
            subscribed: None,
            subscribed_bytes: 0,
            offsets: OffsetTable::default(),
            own_bytes: 0,
            counted_bytes: 0,
            wake_ms: None,
        }
    }

    /// Memory of all but its offsets, about.
    pub fn size_bytes(&self) -> usize {
        let ids = |id: &MemberId| id.as_str().len() + MAP_ENTRY_BYTES;
        let members = self.members.values().map(Member::size_bytes).sum::<usize>();
        let pending = self.pending_join.keys().map(ids).sum::<usize>();
        let fixed = size_of::<Self>() + self.id.as_str().len();
        fixed + members + pending + self.assigning_bytes + self.subscribed_bytes
    }

    pub fn set_state(&mut self, state: State, now: TimestampMs) {
        self.state = state;
        self.state_since = now;
    }

    /// What a member that joins again, with its id or its instance's, takes already.
    pub fn bytes_of(&self, join: &Join) -> usize {
        let named = join.instance.as_ref();
        let named = named.and_then(|instance| self.static_members.get(instance));
        let id = join.member_id.as_ref().or(named);
        let member = id.and_then(|id| self.members.get(id));
        member.map_or(0, Member::size_bytes)
    }

    pub fn assigned_bytes(&self) -> usize {
        let assignments = self.members.values().map(|member| member.assignment.len());
        assignments.sum()
    }

    /// Nobody has joined or committed, ever.
    pub fn is_unused(&self) -> bool {
        self.state == State::Empty
            && self.generation == 0
            && self.members.is_empty()
            && self.pending_join.is_empty()
            && self.offsets.count() == 0
    }

    pub fn is_leader(&self, member: &MemberId) -> bool {
        self.leader.as_ref() == Some(member)
    }

    /// The longest of its members'; at least 1 ms, so that a timer always lies ahead.
    pub fn rebalance_timeout_ms(&self) -> u64 {
        self.members
            .values()
            .map(|m| m.rebalance_timeout_ms)
            .max()
            .unwrap_or(0)
            .max(1)
    }

    pub fn has_all_joined(&self) -> bool {
        self.joining == self.members.len() && self.pending_join.is_empty()
    }

    /// When it wants `on_tick` next.
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let sessions = self.members.values().filter_map(|m| m.session_deadline_ms);
        sessions
            .chain(self.pending_join.values().copied())
            .chain(self.join_timer.map(JoinTimer::at_ms))
            .chain(self.sync_deadline_ms)
            .min()
    }

    /// Whether a member with these protocols could be part of the group.
    pub fn supports(&self, protocol_type: &str, protocols: &[Protocol]) -> bool {
        if self.state == State::Empty {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        self.protocol_type.as_deref() == Some(protocol_type)
            && protocols
                .iter()
                .any(|p| self.votes.get(&p.name).copied().unwrap_or(0) == self.members.len())
    }

    /// Fencing and existence (KIP-345).
    pub fn check_member(
        &self,
        id: &MemberId,
        instance: Option<&InstanceId>,
    ) -> Result<(), GroupError> {
        if let Some(instance) = instance {
            match self.static_members.get(instance) {
                None => return Err(GroupError::UnknownMember),
                Some(current) if current != id => return Err(GroupError::FencedInstance),
                Some(_) => {}
            }
        }
        if self.members.contains_key(id) {
            Ok(())
        } else {
            Err(GroupError::UnknownMember)
        }
    }

    pub fn check_generation(&self, member: &MemberRef) -> Result<(), GroupError> {
        self.check_member(&member.member_id, member.instance.as_ref())?;
        if member.generation == self.generation {
            Ok(())
        } else {
            Err(GroupError::IllegalGeneration)
        }
    }

    pub fn add_member(&mut self, member: Member, protocol_type: &Arc<str>) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.clone());
        }
        if let Some(instance) = &member.instance {
            self.static_members
                .insert(instance.clone(), member.id.clone());
        }
        if self.leader.is_none() {
            self.leader = Some(member.id.clone());
        }
        self.pending_join.remove(&member.id);
        self.count_votes(&member.protocols, true);
        self.joining += usize::from(member.join.is_some());
        let replaced = self.members.insert(member.id.clone(), member);
        assert!(replaced.is_none(), "a member is added once");
    }

    pub fn count_votes(&mut self, protocols: &[Protocol], add: bool) {
        for protocol in protocols {
            let count = self.votes.entry(protocol.name.clone()).or_insert(0);
            if add {
                *count += 1;
            } else {
                *count -= 1;
                if *count == 0 {
                    self.votes.remove(&protocol.name);
                }
            }
        }
    }

    /// Takes the member out and answers what it has parked; `error` tells it why.
    pub fn remove_member(&mut self, id: &MemberId, error: GroupError, cx: &mut Context<'_>) {
        self.pending_join.remove(id);
        self.pending_sync.remove(id);
        self.answer_join_refused(id, None, error, cx);
        self.answer_sync(id, Err(error), cx);
        let Some(member) = self.members.remove(id) else {
            return;
        };
        self.count_votes(&member.protocols, false);
        if let Some(instance) = &member.instance {
            self.static_members.remove(instance);
        }
        if self.is_leader(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// Puts `new_id` in the place of a static member; the old one is fenced at once (KIP-345).
    pub fn replace_static(&mut self, old_id: &MemberId, new_id: MemberId, cx: &mut Context<'_>) {
        self.answer_join_refused(old_id, Some(old_id.clone()), GroupError::FencedInstance, cx);
        self.answer_sync(old_id, Err(GroupError::FencedInstance), cx);
        let old = self
            .members
            .remove(old_id)
            .expect("static_members names members only");
        if let Some(instance) = &old.instance {
            self.static_members.insert(instance.clone(), new_id.clone());
        }
        if self.is_leader(old_id) {
            self.leader = Some(new_id.clone());
        }
        if self.pending_sync.remove(old_id) {
            self.pending_sync.insert(new_id.clone());
        }
        self.members
            .insert(new_id.clone(), old.succeeded_by(new_id));
    }

    pub fn park_join(&mut self, id: &MemberId, ticket: Ticket, cx: &mut Context<'_>) {
        // A second request of one member: the client gave up on the first, whose connection is told to try again.
        self.answer_join_refused(id, Some(id.clone()), GroupError::RebalanceInProgress, cx);
        self.member_mut(id).join = Some(ticket);
        self.joining += 1;
    }

    pub fn park_sync(&mut self, id: &MemberId, ticket: Ticket, cx: &mut Context<'_>) {
        self.answer_sync(id, Err(GroupError::RebalanceInProgress), cx);
        self.member_mut(id).sync = Some(ticket);
    }

    /// Answers the member's parked join, if any.
    pub fn answer_join(
        &mut self,
        id: &MemberId,
        answer: Result<Joined, JoinRefused>,
        cx: &mut Context<'_>,
    ) {
        let parked = self.members.get_mut(id).and_then(|m| m.join.take());
        if let Some(ticket) = parked {
            self.joining -= 1;
            cx.answer(ticket, Answer::Join(answer));
        }
    }

    fn answer_join_refused(
        &mut self,
        id: &MemberId,
        member_id: Option<MemberId>,
        error: GroupError,
        cx: &mut Context<'_>,
    ) {
        self.answer_join(id, Err(JoinRefused { member_id, error }), cx);
    }

    /// Answers the member's parked sync, if any; says whether there was one.
    pub fn answer_sync(
        &mut self,
        id: &MemberId,
        answer: Result<Synced, GroupError>,
        cx: &mut Context<'_>,
    ) -> bool {
        let parked = self.members.get_mut(id).and_then(|m| m.sync.take());
        if let Some(ticket) = parked {
            cx.answer(ticket, Answer::Sync(answer));
        }
        parked.is_some()
    }

    pub fn extend_session(&mut self, id: &MemberId, now_ms: u64) {
        if let Some(member) = self.members.get_mut(id) {
            member.session_deadline_ms = Some(now_ms.saturating_add(member.session_timeout_ms));
        }
    }

    pub fn member_mut(&mut self, id: &MemberId) -> &mut Member {
        self.members
            .get_mut(id)
            .expect("the caller checked that it is a member")
    }

    /// The answer to a join that is told the current generation.
    pub fn joined(&self, id: &MemberId, leader: Option<MemberId>) -> Joined {
        let members = if self.is_leader(id) {
            let protocol = self.protocol.as_deref();
            self.members.values().map(|m| m.listed(protocol)).collect()
        } else {
            Vec::new()
        };
        Joined {
            member_id: id.clone(),
            generation: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            leader,
            skip_assignment: false,
            members,
        }
    }

    pub fn synced(&self, assignment: Blob) -> Synced {
        Synced {
            protocol_type: self.protocol_type.clone(),
            protocol: self.protocol.clone(),
            assignment,
        }
    }

    /// The protocol that all support and most prefer; the first by name among equals.
    pub fn select_protocol(&self) -> Option<Arc<str>> {
        let candidates: BTreeSet<&str> = self
            .votes
            .iter()
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| &**name)
            .collect();
        let mut ballots: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            if let Some(vote) = member.vote(&candidates) {
                *ballots.entry(vote).or_insert(0) += 1;
            }
        }
        let most = ballots.values().copied().max()?;
        let elected = ballots.iter().find(|(_, count)| **count == most)?;
        Some(Arc::from(*elected.0))
    }

    /// The leader if it joined, else the first member that did; none when nobody joined.
    pub fn elect_joined_leader(&mut self) -> bool {
        let Some(leader) = &self.leader else {
            return false;
        };
        if self.members.get(leader).is_some_and(|m| m.join.is_some()) {
            return true;
        }
        let joined = self.members.values().find(|m| m.join.is_some());
        match joined {
            Some(member) => {
                self.leader = Some(member.id.clone());
                true
            }
            None => false,
        }
    }

    pub fn start_next_generation(&mut self, now: TimestampMs) {
        self.generation = self.generation.checked_add(1).unwrap_or(0);
        self.pending_sync.clear();
        self.initial_rebalance = false;
        if self.members.is_empty() {
            self.protocol = None;
            self.set_state(State::Empty, now);
        } else {
            self.protocol = self.select_protocol();
            self.set_state(State::CompletingRebalance, now);
        }
        self.refresh_subscription();
    }

    /// Reads the topics out of the members' subscriptions, where the protocol is the consumers'.
    pub fn refresh_subscription(&mut self) {
        self.subscribed = match (&self.protocol_type, &self.protocol) {
            (Some(kind), _) if !subscription::is_consumer(kind) => None,
            (Some(_), _) if self.members.is_empty() => Some(BTreeSet::new()),
            (Some(_), Some(protocol)) => self
                .members
                .values()
                .map(|m| subscription::topics(&m.metadata(Some(protocol))))
                .try_fold(BTreeSet::new(), |mut all, topics| {
                    all.extend(topics?);
                    Some(all)
                }),
            _ => None,
        };
        let topics = self.subscribed.iter().flatten();
        self.subscribed_bytes = topics.map(|topic| topic.len() + MAP_ENTRY_BYTES).sum();
    }

    /// Unknown subscriptions of consumers count as subscribed: keeping an offset is the safe side.
    pub fn is_subscribed(&self, topic: &str) -> bool {
        match &self.subscribed {
            Some(topics) => topics.contains(topic),
            None => self.uses_consumer_protocol(),
        }
    }

    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type
            .as_deref()
            .is_some_and(subscription::is_consumer)
    }

    pub fn described(&self) -> Description {
        let stable = self.state == State::Stable;
        let protocol = self.protocol.clone().filter(|_| stable);
        Description {
            state: self.state.name(),
            protocol_type: self.protocol_type.clone(),
            members: self
                .members
                .values()
                .map(|m| m.described(protocol.as_deref()))
                .collect(),
            protocol,
        }
    }

    pub fn listed(&self) -> Listed {
        Listed {
            group: self.id.clone(),
            protocol_type: self.protocol_type.clone(),
            state: self.state.name(),
        }
    }
}
