//! Messages between the replicas of a group.

use base::RaftIndex;

use crate::{LogPosition, ReplicaId, Term};

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
    /// The log before `at` is gone; its state machine's state, small, goes beside.
    Snapshot {
        at: LogPosition,
        round: u64,
        /// The configuration as of `at`: one, in force.
        configurations: Span,
    },
    /// "Start an election now": leadership is handed over (thesis 3.10).
    TimeoutNow,
}
