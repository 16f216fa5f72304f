//! What a replica knows of another member: how far it is, what is on its way, whether it lives.

use std::collections::VecDeque;

use base::RaftIndex;

use crate::{ReplicaId, Settings};

/// How a leader sends to a member (thesis 10.2.1, etcd's progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flow {
    /// One message at a time until it is known where the logs agree.
    Probe { awaits: bool },
    /// Pipelined.
    Replicate,
    /// Sent what lies before the log's start.
    Snapshot { at: RaftIndex },
}

/// A member's word in the election that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ballot {
    Open,
    Granted,
    Refused,
}

/// See the module head.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer {
    pub(crate) id: ReplicaId,
    pub(crate) flow: Flow,
    pub(crate) ballot: Ballot,
    /// What the node says of the peer's node.
    pub(crate) is_alive: bool,
    /// Since the last look at the quorum.
    pub(crate) was_heard: bool,
    /// A read from disk for it is under way.
    pub(crate) is_reading: bool,
    /// Lasts there and agrees with our log.
    pub(crate) matched: RaftIndex,
    /// The next entry to send.
    pub(crate) next: RaftIndex,
    /// The newest commit index it was told.
    pub(crate) commit_told: RaftIndex,
    /// The newest round it answered.
    pub(crate) round_heard: u64,
    /// Round and `next` at some heartbeat: an answer to a later one tells whether all of that arrived.
    pub(crate) checkpoint: Option<(u64, RaftIndex)>,
    /// Heartbeats since anything moved, while probing or waiting for a snapshot.
    pub(crate) waited: u16,
    /// Last entry and bytes of each append that is not acknowledged.
    in_flight: VecDeque<(RaftIndex, u32)>,
    in_flight_bytes: u64,
}

impl Peer {
    pub(crate) fn new(id: ReplicaId) -> Self {
        Self {
            id,
            flow: Flow::Probe { awaits: false },
            ballot: Ballot::Open,
            is_alive: true,
            was_heard: false,
            is_reading: false,
            matched: RaftIndex::ZERO,
            next: RaftIndex(1),
            commit_told: RaftIndex::ZERO,
            round_heard: 0,
            checkpoint: None,
            waited: 0,
            in_flight: VecDeque::new(),
            in_flight_bytes: 0,
        }
    }

    /// Forgets what an earlier leadership knew; `next` is where to begin.
    pub(crate) fn begin(&mut self, next: RaftIndex) {
        let memory = std::mem::take(&mut self.in_flight);
        *self = Self {
            ballot: self.ballot,
            is_alive: self.is_alive,
            next,
            in_flight: memory,
            ..Self::new(self.id)
        };
        self.forget_in_flight();
    }

    pub(crate) fn probe(&mut self, next: RaftIndex) {
        self.flow = Flow::Probe { awaits: false };
        self.next = next;
        self.waited = 0;
        self.checkpoint = None;
        self.forget_in_flight();
    }

    pub(crate) fn replicate(&mut self, next: RaftIndex) {
        self.flow = Flow::Replicate;
        self.next = next;
        self.waited = 0;
        self.checkpoint = None;
        self.forget_in_flight();
    }

    pub(crate) fn await_snapshot(&mut self, at: RaftIndex) {
        self.flow = Flow::Snapshot { at };
        self.waited = 0;
        self.checkpoint = None;
        self.forget_in_flight();
    }

    /// Entries and bytes that may still be sent; `None` while it has to wait.
    pub(crate) fn room(&self, settings: &Settings) -> Option<(u32, u32)> {
        let busy = self.is_reading
            || !matches!(self.flow, Flow::Probe { awaits: false } | Flow::Replicate);
        if busy || self.in_flight.len() >= usize::from(settings.in_flight_messages_max) {
            return None;
        }
        let sent = self.next.0.saturating_sub(self.matched.0 + 1);
        let sent = if self.in_flight.is_empty() { 0 } else { sent };
        let entries = u64::from(settings.in_flight_entries_max).saturating_sub(sent);
        let bytes = u64::from(settings.in_flight_bytes_max).saturating_sub(self.in_flight_bytes);
        let entries = entries.min(u64::from(settings.append_entries_max)) as u32;
        let bytes = bytes.min(u64::from(settings.append_bytes_max)) as u32;
        (entries > 0 && bytes > 0).then_some((entries, bytes))
    }

    pub(crate) fn on_sent(&mut self, last: RaftIndex, bytes: u32) {
        if let Flow::Probe { awaits } = &mut self.flow {
            // It is sent again from the same entry on until an answer comes.
            *awaits = true;
            return;
        }
        self.next = last.next();
        self.in_flight.push_back((last, bytes));
        self.in_flight_bytes += u64::from(bytes);
    }

    pub(crate) fn on_durable(&mut self, index: RaftIndex) {
        self.matched = self.matched.max(index);
        while let Some((last, bytes)) = self.in_flight.front().copied()
            && last <= self.matched
        {
            self.in_flight_bytes -= u64::from(bytes);
            self.in_flight.pop_front();
        }
    }

    pub(crate) fn forget_in_flight(&mut self) {
        self.in_flight.clear();
        self.in_flight_bytes = 0;
    }

    /// Gives the window's memory back.
    pub(crate) fn shrink(&mut self) {
        self.forget_in_flight();
        self.in_flight = VecDeque::new();
    }
}
