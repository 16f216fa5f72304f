//! What the core wants done: messages, storage requests, and news for the node.
//!
//! # Place
//! One per shard, used for all its groups in turn: a step fills it, the node carries it out in order and clears it.
//!
//! # Invariants
//! 1. Storage requests of one group are carried out in the order they stand in. Their completions may come in any.
//! 2. Nothing that is sent depends on a storage request that stands beside it: what must last first is sent after the
//!    completion, so messages need not wait for the disk.

use base::{LogEpoch, RaftIndex};

use crate::{Body, Configuration, Descriptor, LogPosition, Message, ReplicaId, Role, Span, Term};

/// What a replica must remember across a crash beside its log (thesis figure 3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<ReplicaId>,
}

/// One thing to do, or to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    Send(Message),
    /// Make it last, then `on_hard_state_durable`. A later one replaces an earlier one.
    SaveHardState(HardState),
    /// Stage these entries; `on_durable` when they last. On a leader they are what it proposed, on a follower what the
    /// message brought whose handling this is.
    Append {
        first: RaftIndex,
        log_epoch: LogEpoch,
        entries: Span,
        configurations: Span,
    },
    /// Drop the entries from `from` on. When that lasts, `on_durable` tells anew, under the new log epoch, how much does.
    Truncate {
        from: RaftIndex,
        log_epoch: LogEpoch,
    },
    /// Drop the whole log; it begins after `at`, with the state that came beside the snapshot and this configuration.
    /// `on_durable` when that lasts.
    Reset {
        at: LogPosition,
        log_epoch: LogEpoch,
        configurations: Span,
    },
    /// Read entries for a member that lags behind what is in memory, then `on_entries_read`.
    ReadEntries {
        to: ReplicaId,
        term: Term,
        from: RaftIndex,
        /// Neither bound keeps the first entry out.
        entries_max: u32,
        bytes_max: u32,
    },
    /// Everything up to here is committed.
    Committed(RaftIndex),
    /// A replica knows no leader while `leader` is `None`.
    Role {
        role: Role,
        term: Term,
        leader: Option<ReplicaId>,
    },
    /// Another configuration is in force, or the one in force has become committed.
    Configuration {
        index: RaftIndex,
        is_committed: bool,
    },
    /// The state machine, once it has applied up to here, may answer the read.
    ReadReady {
        ticket: u64,
        index: RaftIndex,
    },
    /// Leadership was lost first: ask again elsewhere.
    ReadFailed {
        ticket: u64,
    },
    /// The leader's log contradicts what is committed here, so one of the two disks lied, or log epochs are used up: fence
    /// this replica.
    Contradiction {
        index: RaftIndex,
    },
}

/// See the module head.
#[derive(Clone, Debug, Default)]
pub struct Effects {
    pub list: Vec<Effect>,
    descriptors: Vec<Descriptor>,
    configurations: Vec<(RaftIndex, Configuration)>,
}

impl Effects {
    /// Forgets everything and keeps the memory.
    pub fn clear(&mut self) {
        self.list.clear();
        self.descriptors.clear();
        self.configurations.clear();
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The descriptors of a message or a storage request.
    #[must_use]
    pub fn entries(&self, span: Span) -> &[Descriptor] {
        &self.descriptors[span.at as usize..][..span.count as usize]
    }

    /// The configurations of a message or a storage request, with their indexes.
    #[must_use]
    pub fn configurations(&self, span: Span) -> &[(RaftIndex, Configuration)] {
        &self.configurations[span.at as usize..][..span.count as usize]
    }

    /// What goes beside a message.
    #[must_use]
    pub fn beside(&self, message: &Message) -> (&[Descriptor], &[(RaftIndex, Configuration)]) {
        match message.body {
            Body::Append {
                entries,
                configurations,
                ..
            } => (self.entries(entries), self.configurations(configurations)),
            Body::Snapshot { configurations, .. } => (&[], self.configurations(configurations)),
            _ => (&[], &[]),
        }
    }

    pub(crate) fn push(&mut self, effect: Effect) {
        self.list.push(effect);
    }

    pub(crate) fn add_entries(&mut self, entries: impl IntoIterator<Item = Descriptor>) -> Span {
        let at = self.descriptors.len();
        self.descriptors.extend(entries);
        span(at, self.descriptors.len())
    }

    pub(crate) fn add_configurations(
        &mut self,
        configurations: impl IntoIterator<Item = (RaftIndex, Configuration)>,
    ) -> Span {
        let at = self.configurations.len();
        self.configurations.extend(configurations);
        span(at, self.configurations.len())
    }

    /// The planted bug of that name: whether the entries joined an empty append to `to` in the queue.
    pub(crate) fn merge_onto_empty(&mut self, to: ReplicaId, added: Span) -> bool {
        for effect in self.list.iter_mut().rev() {
            if let Effect::Send(message) = effect
                && message.to == to
                && let Body::Append { entries, .. } = &mut message.body
                && entries.count == 0
            {
                *entries = added;
                return true;
            }
        }
        false
    }

    /// Requests that entries be stored; goes on with the request before when nothing came between.
    pub(crate) fn append(
        &mut self,
        first: RaftIndex,
        log_epoch: LogEpoch,
        added: impl IntoIterator<Item = Descriptor>,
    ) {
        let added = self.add_entries(added);
        if let Some(Effect::Append {
            first: before,
            log_epoch: known,
            entries,
            ..
        }) = self.list.last_mut()
            && *known == log_epoch
            && before.0 + u64::from(entries.count) == first.0
            && entries.at + entries.count == added.at
        {
            entries.count += added.count;
            return;
        }
        self.push(Effect::Append {
            first,
            log_epoch,
            entries: added,
            configurations: Span::default(),
        });
    }
}

fn span(at: usize, end: usize) -> Span {
    Span {
        at: u32::try_from(at).expect("a step's descriptors are bounded by its messages"),
        count: u32::try_from(end - at).expect("a step's descriptors are bounded by its messages"),
    }
}
