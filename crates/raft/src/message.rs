//! Messages between the replicas of a group.

use base::RaftIndex;

use crate::{Configuration, Descriptor, EntryKind, LogPosition, ReplicaId, Term};

/// Where every log has ended: no sum of an index and the entries of a message overflows.
const INDEX_MAX: RaftIndex = RaftIndex(1 << 62);

/// A stretch of one of the lists in `Effects`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    pub at: u32,
    pub count: u32,
}

/// One message. What it carries in descriptors and configurations stands beside it, payloads beside those.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Message {
    pub from: ReplicaId,
    pub to: ReplicaId,
    /// The sender's own term, always: a pre-vote names the term it asks for apart.
    pub term: Term,
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Body {
    /// "Would you vote for me in `next_term`?" Changes nothing at the receiver (thesis 9.6).
    PreVote {
        next_term: Term,
        last: LogPosition,
    },
    PreVoteReply {
        next_term: Term,
        granted: bool,
    },
    /// Sent only after the candidate's own vote lasts.
    Vote {
        last: LogPosition,
        /// The leader itself asked for this election: a live leader is no reason to refuse (thesis 3.10).
        is_transfer: bool,
    },
    /// Granted only after the vote lasts.
    VoteReply {
        granted: bool,
    },
    Append {
        prev: LogPosition,
        commit_index: RaftIndex,
        round: u64,
        /// The leader does not know yet where the receiver's log ends and sends no more before it hears.
        is_probe: bool,
        entries: Span,
        configurations: Span,
    },
    Heartbeat {
        commit_index: RaftIndex,
        round: u64,
        /// Everything is committed up to here and the leader goes to sleep.
        hibernate_at: Option<LogPosition>,
    },
    /// A follower's answer to `Append`, `Heartbeat` and `Snapshot`, and its word that more lasts.
    Ack {
        /// The receiver's log agrees with the sender's and lasts up to here. Zero while the term itself does not last.
        durable: RaftIndex,
        /// The same, but perhaps only staged: never counted, it only tells what need not be sent again.
        received: RaftIndex,
        /// The newest round heard of.
        round: u64,
    },
    /// The entry before an append's first is not in the log.
    Reject {
        prev: RaftIndex,
        hint: LogPosition,
    },
    /// "There is a higher term", which the message's own term says.
    StaleTerm,
    /// The log before `at` is gone; its state machine's state as of there, small, goes beside. Dropped by a sender whose
    /// log begins elsewhere by now.
    Snapshot {
        at: LogPosition,
        round: u64,
        /// The configuration as of `at`: one, in force.
        configurations: Span,
    },
    /// "Start an election now": leadership is handed over (thesis 3.10).
    TimeoutNow,
}

impl Message {
    /// Whether some replica, in some state, could have sent this with these beside it. A peer's bytes decode to whatever
    /// they say: what contradicts itself is dropped before it changes anything.
    #[must_use]
    pub fn is_well_formed(
        &self,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
    ) -> bool {
        let exists = |at: LogPosition| at.index <= INDEX_MAX && at.term >= Term(0);
        let can_be_in_log = |at: LogPosition| exists(at) && at.term <= self.term;
        self.term >= Term(0)
            && match self.body {
                Body::PreVote { next_term, last } => next_term > self.term && can_be_in_log(last),
                Body::Vote { last, .. } => can_be_in_log(last) && last.term < self.term,
                Body::Append {
                    prev, commit_index, ..
                } => {
                    can_be_in_log(prev)
                        && commit_index <= INDEX_MAX
                        && follow(prev, self.term, entries, configurations)
                }
                Body::Heartbeat {
                    commit_index,
                    hibernate_at,
                    ..
                } => commit_index <= INDEX_MAX && hibernate_at.is_none_or(can_be_in_log),
                Body::Ack {
                    durable, received, ..
                } => durable <= received && received <= INDEX_MAX,
                Body::Reject { prev, hint } => prev <= INDEX_MAX && can_be_in_log(hint),
                Body::Snapshot { at, .. } => {
                    can_be_in_log(at)
                        && matches!(configurations, [(_, one)] if !one.voters.is_empty())
                }
                Body::PreVoteReply { .. }
                | Body::VoteReply { .. }
                | Body::StaleTerm
                | Body::TimeoutNow => true,
            }
    }
}

/// Whether the entries may stand behind `prev` in the log of a leader of `term`, and exactly those configurations among
/// them.
fn follow(
    prev: LogPosition,
    term: Term,
    entries: &[Descriptor],
    configurations: &[(RaftIndex, Configuration)],
) -> bool {
    let mut before = prev;
    let mut carried = configurations.iter();
    let ascend = entries.iter().all(|entry| {
        let ascends = entry.term >= before.term && entry.term <= term;
        before = LogPosition {
            term: entry.term,
            index: before.index.next(),
        };
        let is_carried =
            |(at, one): &(RaftIndex, Configuration)| *at == before.index && !one.voters.is_empty();
        ascends
            && (entry.kind != EntryKind::Configuration || carried.next().is_some_and(is_carried))
    });
    ascend && before.index <= INDEX_MAX && carried.next().is_none()
}
