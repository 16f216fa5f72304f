//! What the core asks of storage, carried out in its order.
//!
//! Entries are staged at once while nothing waits before them. What cannot be done at once, a truncation, a configuration
//! that must last first, a journal without room, waits in a queue that one task empties.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    time::Duration,
};

use base::{Offset, RaftIndex, TimestampMs};
use iobuf::Buf;
use kafka::batch::BatchHeader;
use raft::{Configuration, Descriptor, HardState, LogPosition, ReplicaId, Term};
use runtime::Class;
use storage::{AppendError, Entry, EntryKind, Log, LogStart};

use super::{
    RaftLog,
    messages::Payloads,
    state::{Placed, SavedState, encode_configuration},
};

/// Before a read that failed is tried again.
const READ_PAUSE: Duration = Duration::from_millis(100);

/// One thing to do before what stands behind it.
pub(super) enum Request {
    Append(Stored),
    Truncate(RaftIndex),
    Reset(LogStart),
    /// These configurations last, before an entry of one is staged.
    Save(Vec<Placed>),
}

/// An entry of another leader, or of the core's own making.
pub(super) struct Stored {
    index: RaftIndex,
    /// Where the leader's batch stands; `None` for entries without offsets.
    base_offset: Option<Offset>,
    kind: EntryKind,
    term: Term,
    bytes: Buf,
    record_count: u32,
    max_timestamp: TimestampMs,
}

#[derive(Default)]
pub(super) struct Requests {
    queue: RefCell<VecDeque<Request>>,
    is_running: Cell<bool>,
    /// Of the request under way: from here on the log is about to change.
    changes_from: Cell<Option<RaftIndex>>,
}

impl Request {
    /// From where on the log is not what the core takes it for, before this is done. What it only lacks shows in its end.
    fn changes_from(&self) -> Option<RaftIndex> {
        match self {
            Self::Truncate(from) => Some(*from),
            Self::Reset(_) => Some(RaftIndex::ZERO),
            Self::Append(_) | Self::Save(_) => None,
        }
    }
}

impl Requests {
    pub fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty() && !self.is_running.get()
    }

    /// Up to here the log holds what the core takes it to hold.
    pub fn held(&self, log: &Log) -> RaftIndex {
        let last = RaftIndex(log.next_index().0 - 1);
        if self.is_empty() {
            return last;
        }
        let queue = self.queue.borrow();
        let waiting = queue.iter().filter_map(Request::changes_from);
        let from = waiting.chain(self.changes_from.get()).min();
        from.map_or(last, |from| last.min(RaftIndex(from.0.saturating_sub(1))))
    }
}

impl RaftLog {
    /// The hard state must last, with the configurations that may be on disk.
    pub(super) fn save(&self, hard: HardState) {
        let state = self.state_with(hard, self.configurations.borrow().clone());
        let saving = self.log.save_state(&state.encode());
        let this = self.this.clone();
        runtime::spawn(Class::Produce, "raft state", async move {
            let saved = saving.await;
            let Some(raft_log) = this.upgrade() else {
                return;
            };
            match saved {
                Ok(()) => {
                    raft_log.step(|core, out| core.on_hard_state_durable(hard, out));
                }
                Err(error) => raft_log.give_up("its state cannot be saved", &error),
            }
        });
    }

    fn state_with(&self, hard: HardState, configurations: Vec<Placed>) -> SavedState {
        SavedState {
            replica: self.id(),
            hard,
            configurations,
        }
    }

    /// Entries that the core wants stored; with them come the configurations among them.
    pub(super) fn store(
        &self,
        first: RaftIndex,
        entries: &[Descriptor],
        configurations: &[(RaftIndex, Configuration)],
        payloads: Payloads<'_>,
    ) {
        if !configurations.is_empty() {
            let placed = configurations.iter().map(|(index, configuration)| {
                let term = entries[(index.0 - first.0) as usize].term;
                let at = LogPosition {
                    term,
                    index: *index,
                };
                (at, *configuration)
            });
            self.place(placed);
        }
        let indexes = (first.0..).map(RaftIndex);
        for (descriptor, index) in entries.iter().zip(indexes) {
            let at = configurations.iter().find(|(at, _)| *at == index);
            let stored = match descriptor.kind {
                raft::EntryKind::Records => {
                    let at = (index.0 - payloads.first.0) as usize;
                    Stored::records(index, descriptor.term, payloads.batches[at].clone())
                }
                raft::EntryKind::TermStart => {
                    Stored::own(index, EntryKind::TermStart, descriptor.term, &[])
                }
                raft::EntryKind::Configuration => {
                    let configuration = at.map(|(_, configuration)| configuration);
                    let bytes = configuration.map(encode_configuration).unwrap_or_default();
                    Stored::own(index, EntryKind::Configuration, descriptor.term, &bytes)
                }
            };
            self.request(Request::Append(stored));
        }
    }

    /// The log ends before `from`.
    pub(super) fn truncate(&self, from: RaftIndex) {
        self.waiters.fail();
        self.request(Request::Truncate(from));
    }

    /// These configurations are to last. Those that a truncation takes away stay beside them: without their entries they
    /// do not count.
    fn place(&self, more: impl Iterator<Item = Placed>) {
        let mut placed = self.configurations.borrow_mut();
        for one in more {
            if !placed.contains(&one) {
                placed.push(one);
            }
        }
        placed.sort_by_key(|(at, _)| at.index);
        let all = placed.clone();
        drop(placed);
        self.request(Request::Save(all));
    }

    /// While nothing waits, what counts of the configurations is what the core goes by.
    fn forget_stale_configurations(&self) {
        if !self.requests.is_empty() {
            return;
        }
        let core = self.core.borrow();
        let start = core.start();
        let mut placed = self.configurations.borrow_mut();
        let counts = |at: &LogPosition| {
            at.index < start.index || *at == start || core.term_at(at.index) == Some(at.term)
        };
        placed.retain(|(at, _)| counts(at));
        let behind = placed.partition_point(|(at, _)| at.index <= start.index);
        placed.drain(..behind.saturating_sub(1));
    }

    /// The log begins anew after `at`.
    pub(super) fn reset(&self, at: LogPosition, configurations: &[(RaftIndex, Configuration)]) {
        self.waiters.fail();
        self.place(configurations.iter().map(|(_, c)| (at, *c)));
        self.request(Request::Reset(LogStart {
            leader_epoch: at.term,
            index: at.index,
            ..self.snapshot_start.get()
        }));
    }

    fn request(&self, request: Request) {
        if self.requests.is_empty()
            && let Request::Append(stored) = &request
        {
            match self.stage(stored) {
                Ok(()) => return,
                Err(AppendError::Busy | AppendError::Full { .. }) => {}
                Err(error) => return self.give_up("an entry cannot be stored", &error),
            }
        }
        self.requests.queue.borrow_mut().push_back(request);
        if self.requests.is_running.replace(true) {
            return;
        }
        let this = self.this.clone();
        runtime::spawn(Class::Produce, "raft storage", async move {
            // Held until the queue is empty: what was asked for is done, or the log refuses.
            if let Some(raft_log) = this.upgrade() {
                raft_log.run_requests().await;
            }
        });
    }

    async fn run_requests(&self) {
        loop {
            let next = self.requests.queue.borrow_mut().pop_front();
            let Some(request) = next else { break };
            self.requests.changes_from.set(request.changes_from());
            if let Err(error) = self.run(request).await {
                self.give_up("a request of the core failed", &error);
            }
            self.requests.changes_from.set(None);
            if self.is_closed() {
                self.requests.queue.borrow_mut().clear();
            }
        }
        self.requests.is_running.set(false);
        self.settle();
        self.forget_stale_configurations();
    }

    async fn run(&self, request: Request) -> Result<(), AppendError> {
        match request {
            Request::Append(stored) => loop {
                match self.stage(&stored) {
                    Err(AppendError::Busy | AppendError::Full { .. }) if !self.is_closed() => {
                        self.log.append_ready().await;
                    }
                    outcome => return outcome,
                }
            },
            Request::Save(configurations) => {
                let hard = self.with_core(raft::Replica::hard_state);
                let state = self.state_with(hard, configurations);
                self.log.save_state(&state.encode()).await
            }
            Request::Truncate(from) => {
                self.log.truncate(from).await?;
                self.report(self.log.durable());
                Ok(())
            }
            Request::Reset(start) => {
                self.log.reset(start).await?;
                self.restart_at(start);
                self.report(self.log.durable());
                Ok(())
            }
        }
    }

    fn stage(&self, stored: &Stored) -> Result<(), AppendError> {
        let next_offset = self.log.next_offset();
        if stored.base_offset.is_some_and(|at| at != next_offset) {
            tracing::error!(partition = %self.log.key(), index = stored.index.0, %next_offset, "the leader's entry stands at another offset: this replica is fenced");
            self.close();
            return Err(AppendError::Closed);
        }
        let entry = Entry {
            kind: stored.kind,
            leader_epoch: stored.term,
            batch: &stored.bytes,
            record_count: stored.record_count,
            max_timestamp: stored.max_timestamp,
        };
        // A few bytes of the core's own must not wait for space: without them nobody leads.
        let appended = match stored.kind {
            EntryKind::TermStart | EntryKind::Configuration => self.log.append_from_reserve(entry),
            EntryKind::Records | EntryKind::Control => self.log.append(entry),
        }?;
        assert_eq!(appended.index, stored.index, "log and core agree on places");
        Ok(())
    }

    fn give_up(&self, what: &str, error: &AppendError) {
        if !self.is_closed() {
            tracing::warn!(partition = %self.log.key(), %error, "this replica takes no further part, {what}");
            self.close();
        }
    }

    /// Reads what a member lacks that is not in memory any more.
    pub(super) fn read_for(
        &self,
        to: ReplicaId,
        term: Term,
        from: RaftIndex,
        entries_max: u32,
        bytes_max: u32,
    ) {
        let this = self.this.clone();
        runtime::spawn(Class::Background, "raft catch-up", async move {
            let Some(raft_log) = this.upgrade() else {
                return;
            };
            let (entries_max, bytes_max) = (entries_max as usize, bytes_max as usize);
            let read = raft_log
                .log
                .read_entries(from, entries_max, bytes_max)
                .await;
            // What is gone is made up for by a snapshot, once the core knows where the log begins; what cannot be read is
            // asked for again by and by.
            raft_log.note_start();
            if read.is_err() {
                runtime::sleep(READ_PAUSE).await;
            }
            let entries = read.unwrap_or_default();
            let descriptors: Vec<_> = entries.iter().map(descriptor_of).collect();
            raft_log.step(|core, out| core.on_entries_read(to, term, from, &descriptors, out));
        });
    }
}

impl Stored {
    fn records(index: RaftIndex, term: Term, bytes: Buf) -> Self {
        let header = BatchHeader::decode(&bytes).expect("compared with its descriptor");
        Self {
            index,
            base_offset: Some(header.base_offset),
            kind: EntryKind::Records,
            term,
            record_count: header.record_count.unsigned_abs(),
            max_timestamp: header.max_timestamp,
            bytes,
        }
    }

    fn own(index: RaftIndex, kind: EntryKind, term: Term, payload: &[u8]) -> Self {
        Self {
            index,
            base_offset: None,
            kind,
            term,
            bytes: Buf::copy_from_slice(&storage::empty_batch(payload)),
            record_count: 0,
            max_timestamp: TimestampMs(-1),
        }
    }
}

/// What the core knows of an entry that was read back.
pub(super) fn descriptor_of(entry: &storage::ReadEntry) -> Descriptor {
    let (kind, bytes, checksum) = match entry.kind {
        EntryKind::Records | EntryKind::Control => {
            let bytes = u32::try_from(entry.batch.len()).expect("batches are bounded");
            // Reading has compared it.
            let header = BatchHeader::decode(&entry.batch).expect("a frame that was checked");
            (raft::EntryKind::Records, bytes, header.crc)
        }
        EntryKind::TermStart => (raft::EntryKind::TermStart, 0, 0),
        EntryKind::Configuration => (raft::EntryKind::Configuration, Configuration::BYTES, 0),
    };
    Descriptor {
        term: entry.leader_epoch,
        bytes,
        checksum,
        kind,
    }
}
