//! SyncGroup, Heartbeat, LeaveGroup and the deadlines of members.

use std::collections::BTreeMap;

use super::{
    Assigned, Context, GROUP_RECORD_BYTES_MAX, Pending,
    classic::{Group, State},
    record,
    request::{Answer, Blob, GroupError, Leaving, MemberId, MemberRef, Sync, Ticket},
};

impl Group {
    pub(super) fn sync(&mut self, ticket: Ticket, sync: Sync, cx: &mut Context<'_>) {
        let id = sync.member.member_id.clone();
        match self.check_sync(&sync) {
            Err(error) => cx.answer(ticket, Answer::Sync(Err(error))),
            Ok(State::Stable) => {
                self.on_sync_seen(&id);
                let assignment = self.member_mut(&id).assignment.clone();
                let synced = self.synced(assignment);
                cx.answer(ticket, Answer::Sync(Ok(synced)));
            }
            Ok(_) => {
                self.park_sync(&id, ticket, cx);
                self.on_sync_seen(&id);
                // Once per generation: a leader that asks again waits for the outcome of its first request.
                if self.is_leader(&id) && self.assigning != Some(self.generation) {
                    self.write_assignments(sync.assignments, cx);
                }
            }
        }
    }

    /// The state to act on: completing or stable.
    fn check_sync(&self, sync: &Sync) -> Result<State, GroupError> {
        match self.state {
            State::Dead => return Err(GroupError::NotAvailable),
            State::Empty => return Err(GroupError::UnknownMember),
            State::PreparingRebalance | State::CompletingRebalance | State::Stable => {}
        }
        self.check_generation(&sync.member)?;
        let differs = |said: &Option<String>, is: &Option<std::sync::Arc<str>>| {
            said.is_some() && said.as_deref() != is.as_deref()
        };
        if differs(&sync.protocol_type, &self.protocol_type)
            || differs(&sync.protocol, &self.protocol)
        {
            return Err(GroupError::InconsistentProtocol);
        }
        if self.state == State::PreparingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        Ok(self.state)
    }

    fn on_sync_seen(&mut self, id: &MemberId) {
        self.pending_sync.remove(id);
        if self.pending_sync.is_empty() {
            self.sync_deadline_ms = None;
        }
    }

    /// The leader has assigned: nobody hears of it before it is durable.
    fn write_assignments(&mut self, assignments: Vec<(MemberId, Blob)>, cx: &mut Context<'_>) {
        let mut by_member: BTreeMap<MemberId, Blob> = assignments.into_iter().collect();
        by_member.retain(|id, _| self.members.contains_key(id));
        let group_record = record::of_group(self, Some(&by_member));
        self.assigning = Some(self.generation);
        self.assigning_bytes = by_member.values().map(|blob| blob.len()).sum();
        let assigned = Assigned {
            group: self.id.clone(),
            generation: self.generation,
            assignments: by_member,
        };
        if group_record.size_bytes() > GROUP_RECORD_BYTES_MAX {
            self.on_assigned(assigned, Err(GroupError::TooLarge), cx);
            return;
        }
        cx.write(Pending::Assigned(assigned), vec![group_record]);
    }

    pub(super) fn on_assigned(
        &mut self,
        mut done: Assigned,
        outcome: Result<(), GroupError>,
        cx: &mut Context<'_>,
    ) {
        if self.assigning == Some(done.generation) {
            self.assigning_bytes = 0;
        }
        if self.state != State::CompletingRebalance || self.generation != done.generation {
            return;
        }
        self.assigning = None;
        if let Err(error) = outcome {
            self.reset_assignments(error, cx);
            self.rebalance_or_complete_join(cx);
            return;
        }
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            let assignment = done
                .assignments
                .remove(&id)
                .unwrap_or_else(|| Blob::from([]));
            self.member_mut(&id).assignment = assignment.clone();
            let synced = self.synced(assignment);
            if self.answer_sync(&id, Ok(synced), cx) {
                self.extend_session(&id, cx.now.at_ms);
            }
        }
        self.set_state(State::Stable, cx.now.wall);
    }

    /// Ends the sync phase without assignments.
    pub(super) fn reset_assignments(&mut self, error: GroupError, cx: &mut Context<'_>) {
        let ids: Vec<MemberId> = self.members.keys().cloned().collect();
        for id in ids {
            self.member_mut(&id).assignment = Blob::from([]);
            if self.answer_sync(&id, Err(error), cx) {
                self.extend_session(&id, cx.now.at_ms);
            }
        }
    }

    pub(super) fn heartbeat(&mut self, member: &MemberRef, now_ms: u64) -> Result<(), GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::NotAvailable);
        }
        self.check_generation(member)?;
        self.extend_session(&member.member_id, now_ms);
        match self.state {
            State::Empty => Err(GroupError::UnknownMember),
            State::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            State::CompletingRebalance | State::Stable | State::Dead => Ok(()),
        }
    }

    /// One outcome per leaving member.
    pub(super) fn leave(
        &mut self,
        leaving: &[Leaving],
        cx: &mut Context<'_>,
    ) -> Result<Vec<Result<(), GroupError>>, GroupError> {
        if self.state == State::Dead {
            return Err(GroupError::NotAvailable);
        }
        let members_before = self.members.len();
        let outcomes: Vec<_> = leaving.iter().map(|who| self.leave_one(who, cx)).collect();
        if self.members.len() < members_before {
            self.on_members_gone(cx);
        } else {
            self.maybe_complete_join(cx);
        }
        Ok(outcomes)
    }

    fn leave_one(&mut self, who: &Leaving, cx: &mut Context<'_>) -> Result<(), GroupError> {
        let id = if who.member_id.as_str().is_empty() {
            let instance = who.instance.as_ref().ok_or(GroupError::UnknownMember)?;
            self.static_members
                .get(instance)
                .cloned()
                .ok_or(GroupError::UnknownMember)?
        } else {
            if self.pending_join.remove(&who.member_id).is_some() {
                return Ok(());
            }
            self.check_member(&who.member_id, who.instance.as_ref())?;
            who.member_id.clone()
        };
        self.remove_member(&id, GroupError::UnknownMember, cx);
        Ok(())
    }

    fn on_members_gone(&mut self, cx: &mut Context<'_>) {
        match self.state {
            State::Stable | State::CompletingRebalance => self.rebalance_or_complete_join(cx),
            State::PreparingRebalance => self.maybe_complete_join(cx),
            State::Empty | State::Dead => {}
        }
    }

    /// Acts on every deadline that has passed.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>) {
        let now_ms = cx.now.at_ms;
        self.pending_join.retain(|_, deadline| *deadline > now_ms);
        let mut gone = false;
        let due: Vec<MemberId> = self
            .members
            .values()
            .filter(|m| m.session_deadline_ms.is_some_and(|at| at <= now_ms))
            .map(|m| m.id.clone())
            .collect();
        for id in due {
            let member = self.member_mut(&id);
            if member.is_waiting() {
                member.session_deadline_ms = None;
            } else {
                self.remove_member(&id, GroupError::UnknownMember, cx);
                gone = true;
            }
        }
        if gone {
            self.on_members_gone(cx);
        } else {
            self.maybe_complete_join(cx);
        }
        if let Some(timer) = self.join_timer
            && timer.at_ms() <= now_ms
        {
            self.on_join_timer(timer, cx);
        }
        if self.sync_deadline_ms.is_some_and(|at| at <= now_ms) {
            self.on_sync_deadline(cx);
        }
    }

    /// Members that never asked for their assignment are out.
    fn on_sync_deadline(&mut self, cx: &mut Context<'_>) {
        self.sync_deadline_ms = None;
        let absent = std::mem::take(&mut self.pending_sync);
        if absent.is_empty() {
            return;
        }
        for id in &absent {
            self.remove_member(id, GroupError::UnknownMember, cx);
        }
        self.prepare_rebalance(cx);
    }
}
