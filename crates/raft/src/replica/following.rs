//! The follower's side: appends, snapshots and acknowledgements (thesis 3.5, 3.6, 5).

use base::RaftIndex;

use crate::{
    Body, Configuration, Descriptor, Effect, Effects, LogPosition, Message, ReplicaId, Role,
    replica::Replica,
};

impl Replica {
    /// A message of this term that only a leader sends.
    pub(super) fn on_leader_message(
        &mut self,
        message: &Message,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
        out: &mut Effects,
    ) {
        let round = match message.body {
            Body::Append { round, .. }
            | Body::Heartbeat { round, .. }
            | Body::Snapshot { round, .. } => round,
            _ => return,
        };
        if self.role == Role::Leader {
            // Two leaders of one term cannot be; should a peer claim it, our log does not change for it.
            return;
        }
        if !self.is_awake && self.leader == Some(message.from) && round <= self.round {
            // Sent before the leader went to sleep, and we did because nothing was missing.
            return;
        }
        if self.role != Role::Follower || self.leader != Some(message.from) {
            self.become_follower(message.term, Some(message.from), out);
        }
        self.wake();
        self.election_elapsed = 0;
        self.unled_timeouts = 0;
        self.round = self.round.max(round);
        match message.body {
            Body::Append {
                prev,
                commit_index,
                is_probe,
                ..
            } => {
                self.ack_due |= is_probe;
                self.on_append(message.from, prev, entries, configurations, out);
                self.learn_commit(commit_index, out);
            }
            Body::Heartbeat {
                commit_index,
                hibernate_at,
                ..
            } => {
                self.learn_commit(commit_index, out);
                if !hibernate_at.is_some_and(|at| self.hibernate_with_leader(at)) {
                    self.ack_due = true;
                }
            }
            Body::Snapshot { at, .. } => {
                self.ack_due = true;
                if let [(_, configuration)] = configurations {
                    self.on_snapshot(at, configuration, out);
                }
            }
            _ => {}
        }
    }

    fn learn_commit(&mut self, leaders: RaftIndex, out: &mut Effects) {
        let index = leaders.min(self.matched);
        if index > self.commit_index {
            self.commit_index = index;
            self.on_committed(out);
        }
    }

    fn on_append(
        &mut self,
        from: ReplicaId,
        prev: LogPosition,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
        out: &mut Effects,
    ) {
        if self.configurations.is_empty() {
            // It would hold entries and not know the configuration they stand behind: whose votes count if the first
            // change among them is truncated, and what to tell others when retention has dropped what lies before it.
            let (prev, hint) = (prev.index, self.log.start());
            self.send(from, Body::Reject { prev, hint }, out);
            return;
        }
        let rejected = prev.index;
        let Some((prev, entries)) = self.skip_committed(prev, entries, out) else {
            return;
        };
        if self.log.term(prev.index) != Some(prev.term) {
            let hint = self.log.last_up_to(prev.index, prev.term);
            let prev = rejected;
            self.send(from, Body::Reject { prev, hint }, out);
            return;
        }
        let known = if prev.index == self.log.last() {
            0
        } else {
            let at = |i: usize| RaftIndex(prev.index.0 + 1 + i as u64);
            let differs = |i: &usize| self.log.term(at(*i)) != Some(entries[*i].term);
            (0..entries.len()).find(differs).unwrap_or(entries.len())
        };
        let end = RaftIndex(prev.index.0 + entries.len() as u64);
        let first_new = RaftIndex(prev.index.0 + 1 + known as u64);
        if known < entries.len() {
            // Only where a term differs: what an append does not mention may be newer than it (Redpanda f0c5772188).
            if first_new <= self.log.last() {
                if self.is_worn_out(out) {
                    return;
                }
                self.drop_from(first_new, out);
            }
            self.store(&entries[known..], configurations, out);
        } else {
            // Nothing new: a repetition, whose answer may have been lost.
            self.ack_due = true;
        }
        if self.settings.planted.delayed_append_truncates
            && self.log.last() > end
            && end >= self.commit_index
        {
            self.drop_from(end.next(), out);
        }
        self.matched = self.matched.max(end);
    }

    /// Cuts off what is committed here, which agrees with any leader by leader completeness (thesis 3.6.3). `None` when
    /// nothing is left.
    fn skip_committed<'a>(
        &mut self,
        prev: LogPosition,
        entries: &'a [Descriptor],
        out: &mut Effects,
    ) -> Option<(LogPosition, &'a [Descriptor])> {
        let Some(skipped) = self.commit_index.0.checked_sub(prev.index.0) else {
            return Some((prev, entries));
        };
        if skipped == 0 {
            return Some((prev, entries));
        }
        let term = self.log.term(self.commit_index);
        let Some((last, rest)) = entries
            .split_at_checked(skipped as usize)
            .and_then(|(covered, rest)| Some((covered.last()?, rest)))
        else {
            self.matched = self.matched.max(self.commit_index);
            self.ack_due = true;
            return None;
        };
        if term != Some(last.term) {
            out.push(Effect::Contradiction {
                index: self.commit_index,
            });
            return None;
        }
        let prev = LogPosition {
            term: last.term,
            index: self.commit_index,
        };
        Some((prev, rest))
    }

    /// The log before `at` is gone at the leader. Whoever stands in the configuration takes it: a member that is being
    /// added does not, and that is exactly whom snapshots are for (raft-rs refuses it).
    fn on_snapshot(&mut self, at: LogPosition, configuration: &Configuration, out: &mut Effects) {
        let absent = !configuration.contains(self.id);
        if absent && self.settings.planted.refuse_snapshot_if_absent {
            return;
        }
        let is_told = !self.configurations.is_empty();
        if is_told && at.index <= self.commit_index {
            self.matched = self.matched.max(self.commit_index);
            return;
        }
        if is_told && self.log.term(at.index) == Some(at.term) {
            // Our log goes on behind it and agrees up to there: nothing is thrown away (thesis 5.1).
            self.matched = self.matched.max(at.index);
            self.learn_commit(at.index, out);
            return;
        }
        if self.log.term(self.commit_index) > Some(at.term) {
            out.push(Effect::Contradiction {
                index: self.commit_index,
            });
            return;
        }
        if self.is_worn_out(out) {
            return;
        }
        self.log.reset(at);
        self.log_epoch = self.log_epoch.next();
        self.durable = RaftIndex::ZERO;
        self.matched = at.index;
        self.acknowledged = RaftIndex::ZERO;
        self.commit_index = at.index;
        self.configurations.clear();
        self.configurations.push((at.index, *configuration));
        let configurations = out.add_configurations([(at.index, *configuration)]);
        out.push(Effect::Reset {
            at,
            log_epoch: self.log_epoch,
            configurations,
        });
        self.on_configuration_in_force(out);
        self.on_committed(out);
    }

    /// Whether log epochs are used up: only a peer that cuts off the same entries for days brings a replica there.
    fn is_worn_out(&self, out: &mut Effects) -> bool {
        let is_last = self.log_epoch == base::LogEpoch(u32::MAX);
        if is_last {
            out.push(Effect::Contradiction {
                index: self.commit_index,
            });
        }
        is_last
    }

    /// What this replica may say lasts and agrees with the leader's log.
    pub(super) fn claim(&self) -> RaftIndex {
        if self.hard_durable.term != self.term {
            return RaftIndex::ZERO;
        }
        if self.settings.planted.acknowledge_unverified {
            return self.durable;
        }
        if self.settings.planted.acknowledge_unsynced {
            return self.matched;
        }
        self.durable.min(self.matched)
    }

    /// One acknowledgement for all that happened in the turn. It never waits for the disk: what does not last yet is
    /// merely not claimed, so a slow disk is not taken for a dead node.
    pub(super) fn flush_ack(&mut self, out: &mut Effects) {
        let Some(leader) = self.leader.filter(|_| self.role == Role::Follower) else {
            return;
        };
        self.ack_due = false;
        let durable = self.claim();
        self.acknowledged = durable;
        let body = Body::Ack {
            durable,
            received: self.matched.max(durable),
            round: self.round,
        };
        self.send(leader, body, out);
    }
}
