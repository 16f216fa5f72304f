//! One replica of a raft group: its state, and the handlers of events.
//!
//! # Place
//! On the shard that owns the replica's log. Every handler takes the `Effects` it adds to; after the events of a loop
//! turn `flush` adds what was worth waiting for: acknowledgements, appends and commits of the whole turn at once.
//!
//! # Invariants
//! 1. Terms and, in one run, the commit index never fall.
//! 2. A vote is sent, and one's own counted, only after it lasts; a follower says "durable" only of entries it has
//!    compared with this term's leader, and only after they and the term last.
//! 3. Nothing at or below the commit index is truncated.
//! 4. `durable` speaks of the entries of the current log epoch: a truncation begins a new one, and what was asked for
//!    before it vouches for nothing.
//!
//! # Limits
//! `Settings` bounds messages, windows, the tail and waiting reads. The runs of terms and the configurations grow by one
//! per leader and per change that retention has kept.

mod election;
mod following;
mod hibernation;
mod leading;
mod membership;
#[cfg(test)]
mod model;

use std::collections::VecDeque;

use base::{LogEpoch, RaftIndex};

use crate::{
    Body, Configuration, Descriptor, Effect, Effects, EntryKind, HardState, LogPosition, Message,
    ReplicaId, Settings, Span, Term,
    peer::{Ballot, Peer},
    terms::TermTable,
};

pub use membership::{CONFIGURATIONS_HELD_MAX, ReconfigureError, TransferError};

/// What a replica is in its term (thesis figure 3.3, and 9.6 for the pre-candidate).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Also a learner, and a replica that is in no configuration.
    Follower,
    PreCandidate,
    Candidate,
    Leader,
}

/// What storage found: everything a replica resumes from. All of it lasts.
#[derive(Clone, Copy, Debug)]
pub struct Restored<'a> {
    pub hard_state: HardState,
    /// The entry before the log's first; index 0 and term 0 in a new group.
    pub start: LogPosition,
    /// Ascending: the configuration as of `start` with an index up to there, then those that stand in the log. Empty in
    /// a replica that waits to be told, by a snapshot; its log is empty, too.
    pub configurations: &'a [(RaftIndex, Configuration)],
    /// First index of each term's run of entries after `start`, ascending.
    pub terms: &'a [(Term, RaftIndex)],
    pub last: RaftIndex,
    pub log_epoch: LogEpoch,
    /// A `lasting_commit_index` that was once kept; `start.index` when none was.
    pub commit_index: RaftIndex,
}

impl Restored<'_> {
    /// Whether a replica can have left this behind. What stands in files is looked at before it is resumed from.
    #[must_use]
    pub fn is_well_formed(&self) -> bool {
        let ascend = self.configurations.is_sorted_by(|a, b| a.0 < b.0);
        let in_log = self.configurations.last().is_none_or(|c| c.0 <= self.last);
        self.hard_state.term >= Term(0)
            && ascend
            && in_log
            && TermTable::is_well_formed(self.start, self.terms, self.last)
    }
}

/// What is proposed of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload {
    pub bytes: u32,
    pub checksum: u32,
}

impl Payload {
    fn described(self, term: Term) -> Descriptor {
        Descriptor {
            term,
            bytes: self.bytes,
            checksum: self.checksum,
            kind: EntryKind::Records,
        }
    }
}

/// Why nothing was proposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<ReplicaId> },
    #[error("leadership is being handed over")]
    Transferring,
    #[error("too much is proposed and not committed")]
    Full,
}

/// Why a read was not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<ReplicaId> },
    #[error("too many reads wait")]
    Full,
}

/// See the module head. In the order of their use: what a leader without peers looks at per entry and commit stands first,
/// so that it takes few lines of memory; a node has thousands of groups, and mostly finds the cache without it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Replica {
    role: Role,
    is_awake: bool,
    commit_due: bool,
    round_due: bool,
    ack_due: bool,
    term: Term,
    vote: Option<ReplicaId>,
    leader: Option<ReplicaId>,
    log: TermTable,
    durable: RaftIndex,
    commit_index: RaftIndex,
    log_epoch: LogEpoch,
    hard_asked: HardState,
    told: Told,
    /// Index of the configuration in force, while this replica is the only voter by it and has no peers.
    alone_since: Option<RaftIndex>,
    peers: Vec<Peer>,
    reads: VecDeque<Read>,
    settings: Settings,

    id: ReplicaId,
    /// Differs between the groups of a node, so that their timeouts do.
    jitter: u64,
    hard_durable: HardState,
    /// The last is in force.
    configurations: Vec<(RaftIndex, Configuration)>,

    /// Follower: agrees with the leader of this term up to here.
    matched: RaftIndex,
    acknowledged: RaftIndex,
    /// A vote was given to another; the answer waits until it lasts.
    vote_reply_due: bool,
    /// Candidate: the leader asked it to stand.
    is_transfer_candidate: bool,

    /// Leader: what it sent last, oldest first, up to the log's end, and at least all of its own that is not committed.
    tail: VecDeque<Descriptor>,
    /// Payload bytes of the entries in `tail` that are not committed.
    uncommitted_bytes: u64,
    transfer: Option<Transfer>,
    /// Leader: number of the last heartbeat; follower: the newest one heard.
    round: u64,

    election_elapsed: u16,
    election_timeout: u16,
    heartbeat_elapsed: u16,
    idle_ticks: u16,
    /// Election timeouts since a leader was heard.
    unled_timeouts: u8,
    /// Timeouts drawn in this run.
    drawn: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Transfer {
    to: ReplicaId,
    ticks_left: u16,
    is_sent: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Read {
    ticket: u64,
    round: u64,
}

/// What the node has heard last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Told {
    role: Role,
    term: Term,
    leader: Option<ReplicaId>,
    commit_index: RaftIndex,
    configuration_committed: RaftIndex,
}

impl Replica {
    /// Resumes from what storage found. `jitter` spreads timeouts: the same for all replicas of a group, different from
    /// group to group. A single voter stands for election at once; its vote goes out with the next `flush`.
    #[must_use]
    pub fn new(id: ReplicaId, jitter: u64, settings: Settings, found: &Restored<'_>) -> Self {
        let log = TermTable::new(found.start, found.terms, found.last);
        // Entries of a term are proof enough of it, should they have lasted and its hard state not.
        let seen = HardState {
            term: log.last_term(),
            vote: None,
        };
        let hard = found.hard_state.max(seen);
        let commit_index = found.commit_index.clamp(found.start.index, found.last);
        let mut replica = Self {
            id,
            jitter,
            settings,
            role: Role::Follower,
            term: hard.term,
            vote: hard.vote,
            leader: None,
            hard_asked: found.hard_state,
            hard_durable: found.hard_state,
            log,
            log_epoch: found.log_epoch,
            durable: found.last,
            commit_index,
            configurations: found.configurations.to_vec(),
            peers: Vec::new(),
            alone_since: None,
            matched: commit_index,
            acknowledged: RaftIndex::ZERO,
            ack_due: false,
            vote_reply_due: false,
            is_transfer_candidate: false,
            tail: VecDeque::new(),
            uncommitted_bytes: 0,
            commit_due: false,
            transfer: None,
            reads: VecDeque::new(),
            round: 0,
            round_due: false,
            is_awake: true,
            election_elapsed: 0,
            election_timeout: 0,
            heartbeat_elapsed: 0,
            idle_ticks: 0,
            unled_timeouts: 0,
            drawn: 0,
            told: Told {
                role: Role::Follower,
                term: hard.term,
                leader: None,
                commit_index: found.start.index,
                configuration_committed: RaftIndex::ZERO,
            },
        };
        replica.update_peers();
        replica.draw_timeout();
        if replica.is_only_voter() {
            replica.campaign(false);
        }
        replica
    }

    #[must_use]
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    #[must_use]
    pub fn term(&self) -> Term {
        self.term
    }

    #[must_use]
    pub fn leader(&self) -> Option<ReplicaId> {
        self.leader
    }

    #[must_use]
    pub fn commit_index(&self) -> RaftIndex {
        self.commit_index
    }

    /// What may be kept for `Restored::commit_index`, at any time. Never the commit index itself: it may speak of entries
    /// that replace others here, when neither that truncation nor the entries last yet; a crash would bring the others
    /// back under it.
    #[must_use]
    pub fn lasting_commit_index(&self) -> RaftIndex {
        if self.settings.planted.keep_volatile_commit_index {
            return self.commit_index;
        }
        self.commit_index.min(self.durable)
    }

    /// Everything up to here lasts on this replica.
    #[must_use]
    pub fn durable(&self) -> RaftIndex {
        self.durable
    }

    #[must_use]
    pub fn log_epoch(&self) -> LogEpoch {
        self.log_epoch
    }

    /// The entry before the log's first.
    #[must_use]
    pub fn start(&self) -> LogPosition {
        self.log.start()
    }

    #[must_use]
    pub fn last(&self) -> LogPosition {
        self.log.last_position()
    }

    /// The log's terms as runs, which Kafka calls leader epochs: term and first index.
    #[must_use]
    pub fn terms(&self) -> &[(Term, RaftIndex)] {
        self.log.runs()
    }

    /// The term of an entry, while the log holds it.
    #[must_use]
    pub fn term_at(&self, index: RaftIndex) -> Option<Term> {
        self.log.term(index)
    }

    /// The term and vote this replica acts on; they may not last yet.
    #[must_use]
    pub fn hard_state(&self) -> HardState {
        HardState {
            term: self.term,
            vote: self.vote,
        }
    }

    /// Whether the group needs `tick`: the node keeps the others out of its rounds (`AwakeSet`).
    #[must_use]
    pub fn is_awake(&self) -> bool {
        self.is_awake
    }

    /// How far a member is by the leader's knowledge: what lasts there.
    #[must_use]
    pub fn matched(&self, id: ReplicaId) -> Option<RaftIndex> {
        let leads = self.role == Role::Leader;
        self.peers
            .iter()
            .find(|peer| leads && peer.id == id)
            .map(|peer| peer.matched)
    }

    /// Payload bytes that this leader has appended and that are not committed; 0 on others, and on a single voter without
    /// other members.
    #[must_use]
    pub fn uncommitted_bytes(&self) -> u64 {
        self.uncommitted_bytes
    }

    /// One tick of the node's clock.
    pub fn tick(&mut self, out: &mut Effects) {
        if !self.is_awake {
            return;
        }
        self.election_elapsed = self.election_elapsed.saturating_add(1);
        if self.role == Role::Leader {
            self.tick_leader(out);
        } else if self.election_elapsed >= self.election_timeout {
            self.on_election_timeout(out);
        }
    }

    /// A message from another replica, with what stands beside it. Payloads of entries were compared with their
    /// checksums; the node stages them when an `Effect::Append` asks for it.
    pub fn receive(
        &mut self,
        message: &Message,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
        out: &mut Effects,
    ) {
        let is_ours = message.to == self.id && message.from != self.id;
        if !is_ours || !message.is_well_formed(entries, configurations) {
            return;
        }
        match message.body {
            Body::PreVote { next_term, last } => {
                self.on_pre_vote(message.from, next_term, last, out);
                return;
            }
            Body::Vote { last, is_transfer } => {
                self.on_vote(message, last, is_transfer, out);
                return;
            }
            _ => {}
        }
        if message.term > self.term {
            self.become_follower(message.term, None, out);
        } else if message.term < self.term && !matches!(message.body, Body::PreVoteReply { .. }) {
            let from_leader = matches!(
                message.body,
                Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. }
            );
            if from_leader {
                self.send(message.from, Body::StaleTerm, out);
            }
            return;
        }
        match message.body {
            Body::PreVoteReply { next_term, granted } => {
                self.on_pre_vote_reply(message.from, next_term, granted);
            }
            Body::VoteReply { granted } => self.on_vote_reply(message.from, granted, out),
            Body::Ack {
                durable,
                received,
                round,
            } => self.on_ack(message.from, durable, received, round),
            Body::Reject { prev, hint } => self.on_reject(message.from, prev, hint, out),
            Body::TimeoutNow => self.on_timeout_now(message.from),
            Body::Append { .. } | Body::Heartbeat { .. } | Body::Snapshot { .. } => {
                self.on_leader_message(message, entries, configurations, out);
            }
            Body::PreVote { .. } | Body::Vote { .. } | Body::StaleTerm => {}
        }
    }

    /// Entries up to `index`, in that log epoch, last. May be late, repeated and out of order.
    pub fn on_durable(&mut self, log_epoch: LogEpoch, index: RaftIndex) {
        if log_epoch != self.log_epoch && !self.settings.planted.believe_stale_completion {
            return;
        }
        let index = index.min(self.log.last());
        if index <= self.durable {
            return;
        }
        self.durable = index;
        if self.role == Role::Leader {
            self.commit_due = true;
        } else {
            self.ack_due |= self.claim() > self.acknowledged;
        }
    }

    /// A saved hard state lasts. May be late and out of order.
    pub fn on_hard_state_durable(&mut self, saved: HardState, out: &mut Effects) {
        if saved <= self.hard_durable {
            return;
        }
        self.hard_durable = saved;
        if saved != self.hard_state() {
            return;
        }
        self.ack_due |= self.claim() > self.acknowledged;
        self.on_vote_durable(out);
    }

    /// The node's word whether another replica's node lives. A restart of that node is "dead", then "alive": a replica
    /// that hibernates relies on hearing of it. A member that a configuration brings counts as alive until the node says
    /// otherwise, which it does at `Effect::Configuration`.
    pub fn on_liveness(&mut self, id: ReplicaId, is_alive: bool) {
        let mut was_alive = true;
        if let Some(peer) = self.peers.iter_mut().find(|peer| peer.id == id) {
            was_alive = std::mem::replace(&mut peer.is_alive, is_alive);
        }
        if self.role == Role::Leader {
            if is_alive && !was_alive {
                self.wake();
                self.round_due = true;
            }
        } else if !is_alive && self.leader == Some(id) {
            self.wake();
            // Only the jitter is left to wait for.
            let all_but_one = self.settings.election_ticks.saturating_sub(1);
            self.election_elapsed = self.election_elapsed.max(all_but_one);
        }
    }

    /// Retention drops entries up to and with `index`: at most what was reported as committed and lasts here. The log then
    /// begins after the position returned; the node keeps it with `configuration_at` it, durably, before it deletes
    /// anything. A message that still waits to be carried out may speak of what is gone, a snapshot of another start or an
    /// append of payloads that cannot be read: the node drops it as if it were lost, and the core sends anew.
    pub fn trim(&mut self, index: RaftIndex) -> LogPosition {
        let index = index.min(self.told.commit_index).min(self.durable);
        if index > self.log.start().index {
            self.log.trim(index);
            let of_start = self
                .configurations
                .partition_point(|(at, _)| *at <= index)
                .saturating_sub(1);
            self.configurations.drain(..of_start);
        }
        self.log.start()
    }

    /// Adds the effects that are worth gathering over all events of a loop turn. Call it once per turn in which a
    /// handler of this replica ran.
    pub fn flush(&mut self, out: &mut Effects) {
        if self.role == Role::Leader {
            self.flush_leader(out);
        }
        if self.role != Role::Leader && self.ack_due {
            self.flush_ack(out);
        }
        let hard = self.hard_state();
        if hard != self.hard_asked {
            self.hard_asked = hard;
            out.push(Effect::SaveHardState(hard));
            if self.settings.planted.vote_before_durable {
                self.hard_durable = hard;
                self.on_vote_durable(out);
            }
        }
        if self.told.commit_index < self.commit_index {
            self.told.commit_index = self.commit_index;
            out.push(Effect::Committed(self.commit_index));
        }
        let told = (self.told.role, self.told.term, self.told.leader);
        if told != (self.role, self.term, self.leader) {
            self.told.role = self.role;
            self.told.term = self.term;
            self.told.leader = self.leader;
            out.push(Effect::Role {
                role: self.role,
                term: self.term,
                leader: self.leader,
            });
        }
    }

    fn send(&self, to: ReplicaId, body: Body, out: &mut Effects) {
        out.push(Effect::Send(Message {
            from: self.id,
            to,
            term: self.term,
            body,
        }));
    }

    fn peer_at(&self, id: ReplicaId) -> Option<usize> {
        self.peers.iter().position(|peer| peer.id == id)
    }

    /// Whether a quorum consists of this replica and the peers for which `has` holds.
    fn has_quorum_with(&self, has: impl Fn(&Peer) -> bool) -> bool {
        self.configuration().has_quorum(|id| {
            id == self.id || self.peers.iter().any(|peer| peer.id == id && has(peer))
        })
    }

    fn drop_from(&mut self, from: RaftIndex, out: &mut Effects) {
        self.log.truncate(from);
        self.log_epoch = self.log_epoch.next();
        let before = RaftIndex(from.0 - 1);
        self.durable = self.durable.min(before);
        self.matched = self.matched.min(before);
        out.push(Effect::Truncate {
            from,
            log_epoch: self.log_epoch,
        });
        let kept = self.configurations.partition_point(|(at, _)| *at < from);
        if kept < self.configurations.len() && !self.settings.planted.keep_truncated_configuration {
            self.configurations.truncate(kept);
            self.on_configuration_in_force(out);
        }
    }

    /// Stores entries at the log's end, with the configurations among them.
    fn store(
        &mut self,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
        out: &mut Effects,
    ) {
        let first = self.log.last().next();
        for entry in entries {
            self.log.append(entry.term, 1);
        }
        if entries.iter().all(|e| e.kind != EntryKind::Configuration) {
            out.append(first, self.log_epoch, entries.iter().copied());
            return;
        }
        let carried = configurations
            .iter()
            .filter(|(at, _)| *at >= first && *at <= self.log.last());
        self.configurations.extend(carried.clone());
        let entries = out.add_entries(entries.iter().copied());
        let configurations: Span = out.add_configurations(carried.copied());
        out.push(Effect::Append {
            first,
            log_epoch: self.log_epoch,
            entries,
            configurations,
        });
        self.on_configuration_in_force(out);
    }

    fn forget_tail(&mut self) {
        self.tail.clear();
        self.uncommitted_bytes = 0;
    }

    fn open_ballots(&mut self) {
        for peer in &mut self.peers {
            peer.ballot = Ballot::Open;
        }
    }
}
