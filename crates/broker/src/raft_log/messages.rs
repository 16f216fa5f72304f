//! Messages between the members of a group: what stands beside them, and the payloads of their entries.
//!
//! # Limits
//! A message is as large as raft's `Settings` let it be, and one entry at least.

use base::{Offset, RaftIndex};
use iobuf::Buf;
use kafka::batch::BatchHeader;
use raft::{Body, Configuration, Descriptor, Effects, Message};
use storage::{LogStart, ReadError};

use super::{RaftLog, requests::descriptor_of};

/// A message on its way to another member of the group, with what stands beside it. `RaftLog::pack` adds the payloads.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub message: Message,
    pub entries: Vec<Descriptor>,
    pub configurations: Vec<(RaftIndex, Configuration)>,
    /// Of a snapshot: where the log begins.
    pub start: LogStart,
}

/// What came from another member: a message, what stands beside it, and the payloads of its entries.
#[derive(Clone, Debug)]
pub struct Incoming {
    pub message: Message,
    pub entries: Vec<Descriptor>,
    pub configurations: Vec<(RaftIndex, Configuration)>,
    /// One for each entry, empty for those that carry no records.
    pub payloads: Vec<Buf>,
    /// Of a snapshot: where the log begins.
    pub start: LogStart,
}

/// Why a message is not listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IncomingError {
    #[error("the message has {payloads} payloads for {entries} entries")]
    Count { entries: usize, payloads: usize },
    #[error("the payload of entry {0} is not the batch that its descriptor tells of")]
    Payload(RaftIndex),
    #[error("the snapshot does not say where the log begins")]
    Start,
}

/// The payloads of the message in hand; the first is of the entry `first`.
#[derive(Clone, Copy)]
pub(super) struct Payloads<'a> {
    pub first: RaftIndex,
    pub batches: &'a [Buf],
}

impl Payloads<'_> {
    pub const NONE: Payloads<'static> = Payloads {
        first: RaftIndex::ZERO,
        batches: &[],
    };
}

impl RaftLog {
    /// A message from another member of the group. Payloads are compared with their checksums before anything happens.
    pub fn receive(&self, incoming: &Incoming) -> Result<(), IncomingError> {
        let Incoming {
            message,
            entries,
            configurations,
            payloads,
            start,
        } = incoming;
        let first = match message.body {
            Body::Append { prev, .. } => RaftIndex(prev.index.0.saturating_add(1)),
            _ => RaftIndex::ZERO,
        };
        if entries.len() != payloads.len() {
            return Err(IncomingError::Count {
                entries: entries.len(),
                payloads: payloads.len(),
            });
        }
        let indexes = (first.0..).map(RaftIndex);
        for ((descriptor, payload), index) in entries.iter().zip(payloads).zip(indexes) {
            if !is_payload(descriptor, payload) {
                return Err(IncomingError::Payload(index));
            }
        }
        if let Body::Snapshot { at, .. } = message.body {
            let is_sound = at.index == start.index
                && at.term == start.leader_epoch
                && Offset::ZERO <= start.next_offset
                && start.next_offset <= start.offset;
            if !is_sound {
                return Err(IncomingError::Start);
            }
            self.snapshot_start.set(*start);
        }
        let payloads = Payloads {
            first,
            batches: payloads,
        };
        self.step_with(
            |core, out| core.receive(message, entries, configurations, out),
            payloads,
        );
        Ok(())
    }

    /// Messages for others since the last call.
    #[must_use]
    pub fn take_outbox(&self) -> Vec<Outgoing> {
        self.outbox.take()
    }

    /// Adds the payloads of the entries; `None` when the log does not hold them any more, and the message is not sent.
    pub async fn pack(&self, outgoing: Outgoing) -> Option<Incoming> {
        let payloads = self.payloads(&outgoing).await.ok().flatten()?;
        let Outgoing {
            message,
            entries,
            configurations,
            start,
        } = outgoing;
        Some(Incoming {
            message,
            entries,
            configurations,
            payloads,
            start,
        })
    }

    async fn payloads(&self, outgoing: &Outgoing) -> Result<Option<Vec<Buf>>, ReadError> {
        let Body::Append { prev, .. } = outgoing.message.body else {
            return Ok(Some(Vec::new()));
        };
        let mut payloads = Vec::with_capacity(outgoing.entries.len());
        let mut from = prev.index.next();
        while payloads.len() < outgoing.entries.len() {
            let wanted = &outgoing.entries[payloads.len()..];
            let bytes = wanted.iter().map(|entry| entry.bytes as usize).sum();
            let read = self.log.read_entries(from, wanted.len(), bytes).await?;
            if read.is_empty() {
                return Ok(None);
            }
            for (entry, descriptor) in read.into_iter().zip(wanted) {
                if descriptor_of(&entry) != *descriptor {
                    return Ok(None);
                }
                payloads.push(match descriptor.kind {
                    raft::EntryKind::Records => entry.batch,
                    raft::EntryKind::TermStart | raft::EntryKind::Configuration => Buf::new(),
                });
                from = from.next();
            }
        }
        Ok(Some(payloads))
    }

    pub(super) fn send(&self, message: Message, effects: &Effects) {
        let (entries, configurations) = effects.beside(&message);
        let start = self.log.start();
        if let Body::Snapshot { at, .. } = message.body
            && at.index != start.index
        {
            // The log was just trimmed and the core did not know: it sends again.
            self.note_start();
            return;
        }
        self.outbox.borrow_mut().push(Outgoing {
            message,
            entries: entries.to_vec(),
            configurations: configurations.to_vec(),
            start,
        });
    }
}

/// Whether the payload is the batch that the descriptor tells of, byte by byte.
fn is_payload(descriptor: &Descriptor, payload: &Buf) -> bool {
    if descriptor.kind != raft::EntryKind::Records {
        return payload.is_empty();
    }
    payload.len() == descriptor.bytes as usize
        && BatchHeader::decode(payload).is_ok_and(|header| {
            header.record_count > 0
                && header.last_offset_delta == header.record_count - 1
                && header.size_bytes() == payload.len()
                && header.leader_epoch == descriptor.term
        })
        && storage::frame::body_checksums(payload) == (descriptor.checksum, descriptor.checksum)
}
