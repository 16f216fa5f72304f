//! JoinGroup and the rebalance it leads to (Kafka's GroupMetadataManager, classic part).

use super::{
    Context, GROUP_RECORD_BYTES_MAX, NEW_MEMBER_JOIN_TIMEOUT_MS, Pending, StaticReplaced,
    classic::{Group, JoinTimer, State},
    member::Member,
    record,
    request::{Answer, GroupError, Join, JoinRefused, MemberId, Ticket},
};

impl Group {
    pub(super) fn join(&mut self, ticket: Ticket, join: &Join, cx: &mut Context<'_>) {
        if !self.accepts(join.member_id.as_ref(), cx) {
            if let Some(id) = &join.member_id {
                self.remove_member(id, GroupError::MaxSizeReached, cx);
                self.maybe_complete_join(cx);
            }
            refuse(ticket, None, GroupError::MaxSizeReached, cx);
            return;
        }
        let error = if self.state == State::Dead {
            Some(GroupError::NotAvailable)
        } else if !self.supports(&join.protocol_type, &join.protocols) {
            Some(GroupError::InconsistentProtocol)
        } else {
            None
        };
        match (error, &join.member_id) {
            (Some(error), id) => refuse(ticket, id.clone(), error, cx),
            (None, None) => self.join_new(ticket, join, cx),
            (None, Some(id)) => self.join_known(ticket, join, id, cx),
        }
    }

    /// `group.max.size`, counted as Kafka does: joins during a rebalance, members otherwise.
    fn accepts(&self, id: Option<&MemberId>, cx: &Context<'_>) -> bool {
        let max = cx.config.members_max;
        let member = id.and_then(|id| self.members.get(id));
        let is_pending = id.is_some_and(|id| self.pending_join.contains_key(id));
        match self.state {
            State::Empty | State::Dead => is_pending || self.pending_join.len() < max,
            State::PreparingRebalance => {
                member.is_some_and(|m| m.join.is_some()) || self.joining < max
            }
            State::CompletingRebalance | State::Stable => {
                member.is_some() || self.members.len() < max
            }
        }
    }

    fn join_new(&mut self, ticket: Ticket, join: &Join, cx: &mut Context<'_>) {
        let id = join.fresh_member_id.clone();
        if let Some(instance) = &join.instance {
            match self.static_members.get(instance).cloned() {
                Some(old_id) => self.join_replacing(ticket, join, &old_id, cx),
                None => self.add_then_rebalance(id, ticket, join, cx),
            }
        } else if join.known_member_id_required {
            let max = cx.config.members_max;
            if self.pending_join.len() >= max {
                refuse(ticket, None, GroupError::MaxSizeReached, cx);
                return;
            }
            let session_ms = u64::try_from(join.session_timeout_ms).unwrap_or(0);
            self.pending_join
                .insert(id.clone(), cx.now.at_ms.saturating_add(session_ms));
            refuse(ticket, Some(id), GroupError::MemberIdRequired, cx);
        } else {
            self.add_then_rebalance(id, ticket, join, cx);
        }
    }

    fn join_known(&mut self, ticket: Ticket, join: &Join, id: &MemberId, cx: &mut Context<'_>) {
        if self.pending_join.contains_key(id) {
            if join.instance.is_some() {
                // Pending ids are given to dynamic members only.
                refuse(ticket, Some(id.clone()), GroupError::UnknownMember, cx);
            } else {
                self.add_then_rebalance(id.clone(), ticket, join, cx);
            }
            return;
        }
        if let Err(error) = self.check_member(id, join.instance.as_ref()) {
            refuse(ticket, Some(id.clone()), error, cx);
            return;
        }
        let same = self.member_mut(id).matches(&join.protocols);
        // The leader's join forces a rebalance even so: what it assigns by (topic metadata) may have changed.
        let current_generation_will_do = match self.state {
            State::CompletingRebalance => same,
            State::Stable => same && !self.is_leader(id),
            State::Empty | State::PreparingRebalance | State::Dead => false,
        };
        if current_generation_will_do {
            let joined = self.joined(id, self.leader.clone());
            cx.answer(ticket, Answer::Join(Ok(joined)));
        } else {
            self.update_member(id, ticket, join, cx);
            self.rebalance_or_complete_join(cx);
        }
    }

    fn update_member(&mut self, id: &MemberId, ticket: Ticket, join: &Join, cx: &mut Context<'_>) {
        let old = std::mem::take(&mut self.member_mut(id).protocols);
        self.count_votes(&old, false);
        let member = self.member_mut(id);
        member.take_settings(join);
        let new = member.protocols.clone();
        self.count_votes(&new, true);
        self.park_join(id, ticket, cx);
    }

    fn add_then_rebalance(
        &mut self,
        id: MemberId,
        ticket: Ticket,
        join: &Join,
        cx: &mut Context<'_>,
    ) {
        let mut member = Member::new(id, join);
        member.join = Some(ticket);
        // A newcomer cannot heartbeat yet, and a client that gave up waiting comes back as another member: parked joins
        // of newcomers end after a while, or a long rebalance would fill up with defunct members.
        member.session_deadline_ms = Some(cx.now.at_ms + NEW_MEMBER_JOIN_TIMEOUT_MS);
        if self.state == State::PreparingRebalance && self.initial_rebalance {
            self.new_member_added = true;
        }
        self.add_member(member, &join.protocol_type);
        self.rebalance_or_complete_join(cx);
    }

    /// A static member comes back without its id. While its subscription leaves the group's protocol as it is, a stable
    /// group goes on without a rebalance (KIP-345).
    fn join_replacing(
        &mut self,
        ticket: Ticket,
        join: &Join,
        old_id: &MemberId,
        cx: &mut Context<'_>,
    ) {
        let id = join.fresh_member_id.clone();
        let leader_before = self.leader.clone();
        self.replace_static(old_id, id.clone(), cx);
        self.extend_session(&id, cx.now.at_ms);
        self.update_member(&id, ticket, join, cx);
        match self.state {
            State::Stable if self.select_protocol() == self.protocol => {
                let group_record = record::of_group(self, None);
                // It came back with more than before. A rebalance ends in a sync, which says so.
                if group_record.size_bytes() > GROUP_RECORD_BYTES_MAX {
                    self.prepare_rebalance(cx);
                    return;
                }
                let pending = Pending::StaticReplaced(StaticReplaced {
                    group: self.id.clone(),
                    member: id,
                    ticket,
                    generation: self.generation,
                    leader_before,
                    skips_assignment: join.skips_assignment,
                });
                cx.write(pending, vec![group_record]);
            }
            // Stable with another protocol now, or the leader may already be assigning to the old id.
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(cx),
            State::PreparingRebalance | State::Empty | State::Dead => self.maybe_complete_join(cx),
        }
    }

    pub(super) fn on_static_replaced(
        &mut self,
        done: &StaticReplaced,
        outcome: Result<(), GroupError>,
        cx: &mut Context<'_>,
    ) {
        let waits = self
            .members
            .get(&done.member)
            .is_some_and(|m| m.join == Some(done.ticket));
        // Otherwise a rebalance has begun meanwhile: it answers.
        if !waits || self.state != State::Stable || self.generation != done.generation {
            return;
        }
        let answer = match outcome {
            Err(error) => Err(JoinRefused {
                member_id: None,
                error,
            }),
            Ok(()) if done.skips_assignment => {
                let mut joined = self.joined(&done.member, self.leader.clone());
                joined.skip_assignment = self.is_leader(&done.member);
                Ok(joined)
            }
            // An older client must not take itself for the leader, or it would assign in a stable group.
            Ok(()) => {
                let mut joined = self.joined(&done.member, done.leader_before.clone());
                joined.members.clear();
                Ok(joined)
            }
        };
        self.answer_join(&done.member, answer, cx);
        self.extend_session(&done.member, cx.now.at_ms);
    }

    pub(super) fn rebalance_or_complete_join(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Empty | State::CompletingRebalance | State::Stable => self.prepare_rebalance(cx),
            State::PreparingRebalance | State::Dead => self.maybe_complete_join(cx),
        }
    }

    pub(super) fn prepare_rebalance(&mut self, cx: &mut Context<'_>) {
        if self.state == State::CompletingRebalance {
            self.reset_assignments(GroupError::RebalanceInProgress, cx);
        }
        self.pending_sync.clear();
        self.sync_deadline_ms = None;
        self.initial_rebalance = self.state == State::Empty;
        self.set_state(State::PreparingRebalance, cx.now.wall);
        if self.initial_rebalance {
            let delay_ms = cx.config.initial_rebalance_delay_ms;
            self.new_member_added = false;
            self.join_timer = Some(JoinTimer::Initial {
                at_ms: cx.now.at_ms + delay_ms,
                delay_ms,
                remaining_ms: self.rebalance_timeout_ms().saturating_sub(delay_ms),
            });
            if delay_ms == 0 {
                self.complete_join(cx);
            }
        } else if self.has_all_joined() {
            self.complete_join(cx);
        } else {
            self.start_join_timer(cx);
        }
    }

    fn start_join_timer(&mut self, cx: &Context<'_>) {
        self.join_timer = Some(JoinTimer::Rebalance {
            at_ms: cx.now.at_ms.saturating_add(self.rebalance_timeout_ms()),
        });
    }

    pub(super) fn maybe_complete_join(&mut self, cx: &mut Context<'_>) {
        let ready = self.state == State::PreparingRebalance
            && !self.initial_rebalance
            && self.has_all_joined();
        if ready {
            self.complete_join(cx);
        }
    }

    pub(super) fn on_join_timer(&mut self, timer: JoinTimer, cx: &mut Context<'_>) {
        if let JoinTimer::Initial {
            delay_ms,
            remaining_ms,
            ..
        } = timer
            && self.new_member_added
            && remaining_ms != 0
        {
            self.new_member_added = false;
            let next_ms = cx
                .config
                .initial_rebalance_delay_ms
                .min(remaining_ms)
                .max(1);
            self.join_timer = Some(JoinTimer::Initial {
                at_ms: cx.now.at_ms + next_ms,
                delay_ms: next_ms,
                remaining_ms: remaining_ms.saturating_sub(delay_ms),
            });
            return;
        }
        self.complete_join(cx);
    }

    /// Ends the join phase: who has not joined is out (static members stay), the rest learn the new generation.
    pub(super) fn complete_join(&mut self, cx: &mut Context<'_>) {
        self.join_timer = None;
        let absent: Vec<MemberId> = self
            .members
            .values()
            .filter(|m| m.join.is_none() && m.instance.is_none())
            .map(|m| m.id.clone())
            .collect();
        for id in &absent {
            self.remove_member(id, GroupError::UnknownMember, cx);
        }
        if !self.elect_joined_leader() && !self.members.is_empty() {
            // Only absent static members: wait until they join or their sessions end.
            self.start_join_timer(cx);
            return;
        }
        self.start_next_generation(cx.now.wall);
        if self.state == State::Empty {
            cx.write(Pending::Nothing, vec![record::of_group(self, None)]);
            return;
        }
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let joined = self.joined(&id, self.leader.clone());
            self.answer_join(&id, Ok(joined), cx);
            self.extend_session(&id, cx.now.at_ms);
            self.member_mut(&id).is_new = false;
            self.pending_sync.insert(id);
        }
        self.sync_deadline_ms = Some(cx.now.at_ms.saturating_add(self.rebalance_timeout_ms()));
    }
}

fn refuse(ticket: Ticket, member_id: Option<MemberId>, error: GroupError, cx: &mut Context<'_>) {
    cx.answer(ticket, Answer::Join(Err(JoinRefused { member_id, error })));
}
