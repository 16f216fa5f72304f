//! Elections: timeouts, pre-votes, votes, and taking or losing the lead (thesis 3.4, 3.6, 9.6, 3.10).

use crate::{
    Body, Effect, Effects, EntryKind, HardState, LogPosition, Message, ReplicaId, Role, Term,
    peer::Ballot, replica::Replica,
};

/// Elections that time out before a learner stands: voters are to win first, since a leader that does not vote hands over.
const LEARNER_WAITS: u8 = 3;

impl Replica {
    /// Asks for an election now: the node knows that the leader is gone. Nothing happens on a replica that does not
    /// vote, leads, or whose last vote is still on its way to the disk.
    pub fn campaign_now(&mut self, out: &mut Effects) {
        if self.role != Role::Leader {
            self.wake();
            self.on_election_timeout(out);
        }
    }

    pub(super) fn draw_timeout(&mut self) {
        // A function of what differs between groups, replicas, terms and attempts: no source of chance is needed for
        // two candidates to part.
        self.drawn = self.drawn.wrapping_add(1);
        let mixed = mix(self.jitter ^ mix(u64::from(self.id.0)))
            ^ mix((u64::from(self.term.0.unsigned_abs()) << 32) | u64::from(self.drawn));
        let spread = u64::from(self.settings.election_ticks.max(1));
        self.election_timeout = self.settings.election_ticks + (mix(mixed) % spread) as u16;
    }

    pub(super) fn on_election_timeout(&mut self, out: &mut Effects) {
        self.election_elapsed = 0;
        self.draw_timeout();
        self.leader = None;
        self.unled_timeouts = self.unled_timeouts.saturating_add(1);
        let saving = self.hard_durable != self.hard_state();
        let Some(next_term) = self.next_term() else {
            return;
        };
        let body = Body::PreVote {
            next_term,
            last: self.log.last_position(),
        };
        if !self.may_stand() || saving {
            // A disk that cannot even save a vote makes a bad leader; and so at most one vote is ever on its way. Who
            // may not stand asks all the same, and forgets the answers: the leader may sleep and not know that it is
            // missed.
            self.ask_voters(body, out);
            return;
        }
        self.open_ballots();
        if self.is_only_voter() {
            self.campaign(false);
            return;
        }
        self.role = Role::PreCandidate;
        self.ask_voters(body, out);
    }

    /// There is none after the last: a peer may claim that one, and a log must be made anew then.
    fn next_term(&self) -> Option<Term> {
        self.term.0.checked_add(1).map(Term)
    }

    /// Votes, as far as it knows, or did before a change that is not committed: without a leader that has left itself
    /// out its successors could lack the entry that says so (thesis 4.2.2). A learner stands when nobody else has taken
    /// the lead for long: a leader whose disk is lost may have sent entries to it alone, and a voter with another change
    /// in its log needs the vote of this replica, which its log refuses. Whoever stands is elected by the configuration
    /// in force.
    pub(super) fn may_stand(&self) -> bool {
        if self.unled_timeouts > LEARNER_WAITS && self.configuration().contains(self.id) {
            return true;
        }
        let committed = self
            .configurations
            .partition_point(|(at, _)| *at <= self.commit_index);
        self.configurations[committed.saturating_sub(1)..]
            .iter()
            .any(|(_, configuration)| configuration.is_voter(self.id))
    }

    fn ask_voters(&self, body: Body, out: &mut Effects) {
        for peer in &self.peers {
            if self.configuration().is_voter(peer.id) {
                self.send(peer.id, body, out);
            }
        }
    }

    /// Votes for itself in the next term. Others are asked when that lasts.
    pub(super) fn campaign(&mut self, is_transfer: bool) {
        let Some(next_term) = self.next_term() else {
            return;
        };
        self.term = next_term;
        self.vote = Some(self.id);
        self.leader = None;
        self.role = Role::Candidate;
        self.is_transfer_candidate = is_transfer;
        self.matched = self.commit_index;
        self.election_elapsed = 0;
        self.vote_reply_due = false;
        self.ack_due = false;
        self.draw_timeout();
        self.open_ballots();
    }

    pub(super) fn on_pre_vote(
        &mut self,
        from: ReplicaId,
        next_term: Term,
        last: LogPosition,
        out: &mut Effects,
    ) {
        // Somebody misses the leader. If it sleeps, it must show itself; if we do, we must look whether it still leads.
        self.wake();
        if self.role == Role::Leader {
            self.round_due = true;
        }
        let granted = next_term > self.term && !self.has_live_leader() && self.is_up_to_date(last);
        self.send(from, Body::PreVoteReply { next_term, granted }, out);
    }

    pub(super) fn on_pre_vote_reply(&mut self, from: ReplicaId, next_term: Term, granted: bool) {
        if self.role != Role::PreCandidate || Some(next_term) != self.next_term() {
            return;
        }
        self.count(from, granted);
        if self.has_quorum_with(|peer| peer.ballot == Ballot::Granted) {
            if self.hard_durable == self.hard_state() {
                self.campaign(false);
            }
        } else if !self.has_quorum_with(|peer| peer.ballot != Ballot::Refused) {
            self.role = Role::Follower;
        }
    }

    fn count(&mut self, from: ReplicaId, granted: bool) {
        if let Some(at) = self.peer_at(from) {
            self.peers[at].ballot = if granted {
                Ballot::Granted
            } else {
                Ballot::Refused
            };
        }
    }

    /// A leader that hears from its quorum, or a follower that hears from its leader and was not told of its death:
    /// candidates are refused, so that one that was cut off does not unseat a leader that works (thesis 4.2.3).
    fn has_live_leader(&self) -> bool {
        let is_alive = |id| self.peers.iter().any(|peer| peer.id == id && peer.is_alive);
        self.role == Role::Leader
            || (self.leader.is_some_and(is_alive)
                && self.election_elapsed < self.settings.election_ticks)
    }

    fn is_up_to_date(&self, last: LogPosition) -> bool {
        last >= self.log.last_position() || self.settings.planted.vote_for_shorter_log
    }

    pub(super) fn on_vote(
        &mut self,
        message: &Message,
        last: LogPosition,
        is_transfer: bool,
        out: &mut Effects,
    ) {
        self.wake();
        let refused = Body::VoteReply { granted: false };
        if message.term < self.term {
            self.send(message.from, refused, out);
            return;
        }
        if message.term > self.term {
            if !is_transfer && self.has_live_leader() {
                if self.role == Role::Leader {
                    self.round_due = true;
                }
                return;
            }
            self.become_follower(message.term, None, out);
        }
        let free =
            self.vote == Some(message.from) || (self.vote.is_none() && self.leader.is_none());
        if !free || !self.is_up_to_date(last) {
            self.send(message.from, refused, out);
            return;
        }
        self.vote = Some(message.from);
        self.role = Role::Follower;
        self.election_elapsed = 0;
        self.vote_reply_due = true;
        if self.hard_durable == self.hard_state() {
            self.on_vote_durable(out);
        }
    }

    /// The vote of the current term lasts: it may be sent, or counted when it is our own.
    pub(super) fn on_vote_durable(&mut self, out: &mut Effects) {
        match self.vote {
            Some(id) if id == self.id && self.role == Role::Candidate => {
                let body = Body::Vote {
                    last: self.log.last_position(),
                    is_transfer: self.is_transfer_candidate,
                };
                self.ask_voters(body, out);
                self.decide_election(out);
            }
            Some(id) if id != self.id && self.vote_reply_due => {
                self.vote_reply_due = false;
                self.send(id, Body::VoteReply { granted: true }, out);
            }
            _ => {}
        }
    }

    pub(super) fn on_vote_reply(&mut self, from: ReplicaId, granted: bool, out: &mut Effects) {
        if self.role == Role::Candidate {
            self.count(from, granted);
            self.decide_election(out);
        }
    }

    fn decide_election(&mut self, out: &mut Effects) {
        let own = HardState {
            term: self.term,
            vote: Some(self.id),
        };
        if self.hard_durable != own {
            return;
        }
        if self.has_quorum_with(|peer| peer.ballot == Ballot::Granted) {
            self.become_leader(out);
        } else if !self.has_quorum_with(|peer| peer.ballot != Ballot::Refused) {
            self.role = Role::Follower;
        }
    }

    fn become_leader(&mut self, out: &mut Effects) {
        self.role = Role::Leader;
        self.leader = Some(self.id);
        self.election_elapsed = 0;
        self.heartbeat_elapsed = 0;
        self.idle_ticks = 0;
        self.round = 0;
        self.round_due = false;
        self.unled_timeouts = 0;
        self.transfer = None;
        self.forget_tail();
        self.ack_due = false;
        self.commit_due = true;
        let next = self.log.last().next();
        for peer in &mut self.peers {
            peer.begin(next);
        }
        if self.is_only_voter() && self.settings.planted.lone_voter_leads_early {
            self.commit_index = self.log.last();
        }
        // Nobody can lead without the vote of an only voter, so nothing that lasts there can be replaced, whatever its
        // term. Without other members nobody has a tail either that an entry of this term must cut off.
        if !(self.is_only_voter() && self.peers.is_empty()) {
            self.append_own(EntryKind::TermStart, None, out);
        }
        self.is_awake = !self.peers.is_empty();
    }

    /// Steps back: a higher term exists, another leads this one, or the lead is given up.
    pub(super) fn become_follower(
        &mut self,
        term: Term,
        leader: Option<ReplicaId>,
        out: &mut Effects,
    ) {
        if term > self.term {
            self.term = term;
            self.vote = None;
            self.vote_reply_due = false;
        }
        if self.role == Role::Leader {
            for read in self.reads.drain(..) {
                out.push(Effect::ReadFailed {
                    ticket: read.ticket,
                });
            }
            self.transfer = None;
            self.forget_tail();
            for peer in &mut self.peers {
                peer.forget_in_flight();
            }
        }
        self.role = Role::Follower;
        self.leader = leader;
        if !self.settings.planted.keep_matched_across_terms {
            self.matched = self.commit_index;
        }
        self.acknowledged = base::RaftIndex::ZERO;
        self.ack_due = false;
        self.round = 0;
        self.round_due = false;
        self.election_elapsed = 0;
        self.draw_timeout();
        self.is_awake = true;
    }

    /// The leader hands over: no pre-vote, and a live leader is no reason to refuse.
    pub(super) fn on_timeout_now(&mut self, from: ReplicaId) {
        let can = self.role == Role::Follower
            && self.leader == Some(from)
            && self.configuration().is_voter(self.id)
            && self.hard_durable == self.hard_state();
        if can {
            self.is_awake = true;
            self.campaign(true);
        }
    }
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
