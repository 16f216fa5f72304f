//! One partition's log: sequencing, the tail in memory, durability, and its segments.
//!
//! # Place       owned by its home's shard; everything but reads from disk and waiting is synchronous
//! # Invariants
//! 1. Places inside the log are raft indexes: entries may take no offset. `written_next <= scheduled_next` and
//!    `durable_next <= next_index`; `durable_next` is the end of the longest contiguous prefix that lasts, in segments
//!    or in the journal.
//! 2. Frames from `written_next` on are in `entries`, contiguous by index up to `next_index`, never evicted.
//! 3. Durability is reported for the present log epoch only: truncation removes the entries a late completion
//!    could vouch for.
//! 4. The offset behind each entry that is not committed is known: from `entries`, or from `uncached` when it left them.
//!    Only of those that a start found in segments it is the last one's alone.
//!
//! # Yields
//! Segment writes, rolls and truncation take the log's `turn`, one task at a time; trims, truncation and deletion take
//! `front_turn` (after `turn` where both), so that a write that waits for space does not keep retention from making
//! some. Appends go on, except while the log is truncated.

mod append;
mod durable;
mod entries;
mod owner_state;
mod reading;
mod recovered;
mod times;
mod trimming;
mod truncating;
mod writing;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    rc::{Rc, Weak},
};

use base::{LeaderEpoch, LogEpoch, Offset, PartitionKey, RaftIndex, TimestampMs};
use iobuf::{AppendBuf, Buf};

use crate::{
    AppendError, Corrupt, Durable, LogConfig, LogId, LogStart, LogStats, ReadError,
    frame::FRAME_HEADER_BYTES,
    home::Home,
    journal::Membership,
    manifest::edit::{Edit, LogRecord, Truncation},
    segment::Segment,
    turn::Turn,
};

use owner_state::OwnerState;
pub use owner_state::STATE_BYTES_MAX;
pub(crate) use trimming::frames_in;
pub(crate) use writing::FrameMark;

/// A staged frame: in memory, perhaps durable, perhaps in a segment.
pub(crate) struct Staged {
    pub frame: Buf,
    pub base_offset: Offset,
    pub next_offset: Offset,
    pub max_timestamp: TimestampMs,
    /// The commit that carries it; `DIRECT` when it goes straight to the segment.
    pub journal_sequence: u64,
}

pub(crate) const DIRECT: u64 = u64::MAX;

/// Frames that are being gathered for a write straight to the segment.
pub(crate) struct DirectChunk {
    pub buf: AppendBuf,
    pub marks: Vec<FrameMark>,
}

/// In the order of their use, so that an append and a commit touch few lines of memory: with a thousand partitions each
/// batch goes to another one, and finds the cache without it.
#[repr(C)]
pub(crate) struct LogState {
    pub closed: bool,
    /// Nothing is appended meanwhile.
    pub is_truncating: bool,
    pub last_was_direct: bool,
    pub direct_running: bool,
    /// The journal may hold a state of the log behind its last entry.
    pub follows_state: bool,
    /// A state of the owner is in a commit that does not last yet.
    pub has_staged_states: bool,
    pub log_epoch: LogEpoch,
    /// The epoch of the last append, while `leader_epochs` knows it.
    newest_epoch: Option<LeaderEpoch>,
    pub next_index: RaftIndex,
    pub next_offset: Offset,
    pub entries: VecDeque<Staged>,
    pub member: Membership,
    pub dirty_bytes: u64,
    pub durable_next: RaftIndex,
    /// Offset of `durable_next`.
    pub durable_offset: Offset,
    pub written_next: RaftIndex,
    /// Entries from here on may still be truncated, so nothing that removes from the front passes it.
    pub committed_next: RaftIndex,
    /// Offset of `committed_next`, or of an entry before it while the own one is not known.
    pub committed_offset: Offset,
    committed_bytes: u64,
    appended_batches: u64,
    appended_bytes: u64,
    segments_begun: u64,
    pub start: LogStart,
    pub quarantined: Option<Corrupt>,
    pub config: LogConfig,
    pub truncations: Vec<Truncation>,
    pub leader_epochs: Vec<(LeaderEpoch, RaftIndex, Offset)>,
    pub segments: Vec<Segment>,
    pub scheduled_next: RaftIndex,
    pub direct: VecDeque<DirectChunk>,
    pub owner: OwnerState,
    /// Recovery left entries behind, so the refusal must outlast the damage that was the reason.
    pub refused_for_good: bool,
    /// The manifest's record is behind.
    pub record_stale: bool,
    /// Where entries end that left the cache before they were committed: mostly none.
    uncached: VecDeque<EntryEnd>,
}

/// What is to be known of an entry when it is committed.
struct EntryEnd {
    next_index: RaftIndex,
    next_offset: Offset,
    record_bytes: u64,
}

impl Staged {
    /// Bytes of its batch, if it has records.
    fn record_bytes(&self) -> u64 {
        let is_empty = self.next_offset == self.base_offset;
        let bytes = if is_empty {
            0
        } else {
            self.frame.len() - FRAME_HEADER_BYTES
        };
        bytes as u64
    }
}

impl LogState {
    /// Moves the committed position on, to where there are entries.
    fn commit_to(&mut self, next_index: RaftIndex) {
        let front = self.front_index();
        if self.committed_next < front {
            while let Some(end) = self
                .uncached
                .pop_front_if(|end| end.next_index <= next_index)
            {
                self.committed_offset = end.next_offset;
                self.committed_bytes += end.record_bytes;
            }
            if self.uncached.is_empty() {
                self.uncached = VecDeque::new();
            }
            if next_index == front {
                let first = self.entries.front();
                self.committed_offset = first.map_or(self.next_offset, |entry| entry.base_offset);
            }
        }
        let (from, end) = (
            self.entries_from(self.committed_next),
            self.entries_from(next_index),
        );
        for entry in self.entries.range(from..end) {
            self.committed_offset = entry.next_offset;
            self.committed_bytes += entry.record_bytes();
        }
        self.committed_next = next_index;
    }

    /// An entry of `leader_epoch` stands at `index`.
    fn note_leader_epoch(&mut self, leader_epoch: LeaderEpoch, index: RaftIndex, offset: Offset) {
        if self.newest_epoch == Some(leader_epoch) {
            return;
        }
        let last = self.leader_epochs.last();
        if last.is_none_or(|(known, _, _)| *known < leader_epoch) {
            self.leader_epochs.push((leader_epoch, index, offset));
        }
        self.newest_epoch = Some(leader_epoch);
    }

    /// Drops the oldest entry from the cache; its end is kept while it is not committed, unless a start found it.
    fn forget_front(&mut self, is_found: bool) {
        let index = self.front_index();
        let Some(entry) = self.entries.pop_front() else {
            return;
        };
        if index >= self.committed_next && !is_found {
            self.uncached.push_back(EntryEnd {
                next_index: index.next(),
                next_offset: entry.next_offset,
                record_bytes: entry.record_bytes(),
            });
        }
    }

    /// Index of the first staged entry; `next_index` when there is none.
    fn front_index(&self) -> RaftIndex {
        RaftIndex(self.next_index.0 - self.entries.len() as u64)
    }

    /// Where the staged entries from `index` on begin.
    pub(crate) fn entries_from(&self, index: RaftIndex) -> usize {
        let at = index.0.saturating_sub(self.front_index().0);
        usize::try_from(at).map_or(self.entries.len(), |at| at.min(self.entries.len()))
    }

    /// The offset behind all that segments hold.
    pub(crate) fn written_offset(&self) -> Offset {
        let last = self.segments.last();
        last.map_or(self.start.next_offset, |segment| segment.end.next_offset)
    }

    /// Where the entries behind `offset` begin. Looked for from the newest back: what is asked for is mostly near the
    /// end, and the old entries of a large cache are cold memory.
    pub(crate) fn entries_behind(&self, offset: Offset) -> usize {
        let (mut step, mut low, mut high) = (1, 0, self.entries.len());
        while high > 0 {
            let at = high.saturating_sub(step);
            if self.entries[at].next_offset <= offset {
                low = at + 1;
                break;
            }
            (high, step) = (at, step * 2);
        }
        while low < high {
            let middle = low.midpoint(high);
            if self.entries[middle].next_offset <= offset {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// Called each time more of a log is durable.
type OnDurable = Rc<dyn Fn(Durable)>;

/// Called once a log is closed or refused.
type OnRefused = Box<dyn Fn()>;

/// One partition's log. Single owner shard; everything but reads from disk and waiting is synchronous. In the order of
/// use, as `LogState`.
#[repr(C)]
pub struct Log {
    home: Rc<Home>,
    this: Weak<Log>,
    log_id: LogId,
    pub(crate) flush_queued: Cell<bool>,
    /// First sequence of the newest ring file known to hold frames of this log.
    ring_file: Cell<u64>,
    on_durable: RefCell<Option<OnDurable>>,
    waiters: RefCell<VecDeque<durable::Waiter>>,
    state: RefCell<LogState>,
    key: PartitionKey,
    on_refused: RefCell<Option<OnRefused>>,
    turn: Rc<Turn>,
    /// Held by what changes the list of segments at its front; the turn may be held by a write that waits for space.
    front_turn: Rc<Turn>,
    /// Held by a save of the snapshot.
    pub(crate) snapshot_turn: Rc<Turn>,
    /// Where the snapshot stands that was saved last, since the log was opened or truncated.
    pub(crate) snapshot_at: Cell<Option<Offset>>,
    /// The last write gave up on a full disk.
    gave_up: Cell<bool>,
    /// Number of the block read last, for recognising sequential readers.
    last_block: Cell<u64>,
}

impl Log {
    pub(crate) fn new(home: &Rc<Home>, record: LogRecord) -> Rc<Self> {
        let segments: Vec<Segment> = record
            .segments
            .iter()
            .map(|segment| Segment::from_record(record.log_id, segment))
            .collect();
        let (next_offset, next_index) = match segments.last() {
            Some(segment) => (segment.end.next_offset, segment.end.next_index),
            None => (record.start.next_offset, record.start.index.next()),
        };
        let start = record.start;
        if let Some(corrupt) = &record.refused {
            tracing::error!(partition = %record.key, file = %corrupt.file, at = corrupt.at, "partition still refused, an earlier start found damage: {corrupt}");
        }
        Rc::new_cyclic(|this| Self {
            home: Rc::clone(home),
            this: this.clone(),
            log_id: record.log_id,
            key: record.key,
            state: RefCell::new(LogState {
                config: record.config,
                start,
                log_epoch: record.log_epoch,
                newest_epoch: None,
                truncations: record.truncations,
                leader_epochs: record.leader_epochs,
                segments,
                next_offset,
                next_index,
                entries: VecDeque::new(),
                durable_next: next_index,
                durable_offset: next_offset,
                written_next: next_index,
                scheduled_next: next_index,
                committed_next: start.index.next(),
                committed_offset: start.next_offset,
                committed_bytes: 0,
                direct: VecDeque::new(),
                direct_running: false,
                last_was_direct: false,
                follows_state: true,
                has_staged_states: false,
                owner: OwnerState::new(record.state),
                member: Membership::default(),
                dirty_bytes: 0,
                refused_for_good: record.refused.is_some(),
                quarantined: record.refused,
                closed: false,
                is_truncating: false,
                record_stale: false,
                appended_batches: 0,
                appended_bytes: 0,
                segments_begun: 0,
                uncached: VecDeque::new(),
            }),
            waiters: RefCell::default(),
            on_durable: RefCell::default(),
            on_refused: RefCell::default(),
            turn: Rc::default(),
            front_turn: Rc::default(),
            snapshot_turn: Rc::default(),
            snapshot_at: Cell::new(None),
            gave_up: Cell::new(false),
            ring_file: Cell::new(0),
            flush_queued: Cell::new(false),
            last_block: Cell::new(u64::MAX),
        })
    }

    #[must_use]
    pub fn key(&self) -> PartitionKey {
        self.key
    }

    pub(crate) fn log_id(&self) -> LogId {
        self.log_id
    }

    pub(crate) fn rc(&self) -> Rc<Log> {
        self.this.upgrade().expect("borrowed from its Rc")
    }

    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.state.borrow().start.offset
    }

    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.state.borrow().next_offset
    }

    #[must_use]
    pub fn next_index(&self) -> RaftIndex {
        self.state.borrow().next_index
    }

    #[must_use]
    pub fn log_epoch(&self) -> LogEpoch {
        self.state.borrow().log_epoch
    }

    /// Bytes in segments and staged bytes that no segment holds yet.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        let state = self.state.borrow();
        state.segments.iter().map(Segment::bytes).sum::<u64>() + state.dirty_bytes
    }

    /// Told once no more is durable or appended here: the log was closed, or refused for damage. One listener.
    pub fn on_refused(&self, callback: Box<dyn Fn()>) {
        self.on_refused.replace(Some(callback));
        if self.is_over() {
            self.tell_refused();
        }
    }

    fn is_over(&self) -> bool {
        let state = self.state.borrow();
        state.closed || state.quarantined.is_some()
    }

    fn tell_refused(&self) {
        let callback = self.on_refused.take();
        if let Some(callback) = callback {
            callback();
        }
    }

    #[must_use]
    pub fn quarantined(&self) -> Option<Corrupt> {
        self.state.borrow().quarantined.clone()
    }

    /// Segments begun in this run: after each is a good time for a snapshot.
    #[must_use]
    pub fn segments_begun(&self) -> u64 {
        self.state.borrow().segments_begun
    }

    #[must_use]
    pub fn stats(&self) -> LogStats {
        let state = self.state.borrow();
        LogStats {
            segments: state.segments.len(),
            bytes: state.segments.iter().map(Segment::bytes).sum::<u64>() + state.dirty_bytes,
            appended_batches: state.appended_batches,
            appended_bytes: state.appended_bytes,
        }
    }

    /// New settings, from the next roll, retention or append on; durable soon after.
    pub fn set_config(&self, config: LogConfig) {
        {
            let mut state = self.state.borrow_mut();
            if state.config == config {
                return;
            }
            state.config = config;
        }
        let log = self.rc();
        runtime::spawn(runtime::Class::Admin, "log config", async move {
            log.commit_record().await;
        });
    }

    /// Makes the log's record durable as it is now; nothing for a log that was closed meanwhile, whose deletion may
    /// already stand in the manifest.
    pub(crate) async fn commit_record(&self) {
        let record = {
            let mut state = self.state.borrow_mut();
            if state.closed {
                return;
            }
            state.record_stale = false;
            self.record(&state)
        };
        self.home.manifest.commit(vec![Edit::Put(record)]).await;
    }

    /// The position before the first entry that is held, with the log start offset.
    #[must_use]
    pub fn start(&self) -> LogStart {
        self.state.borrow().start
    }

    /// The runs of leader epochs among the entries that are held: each with its first index and first offset.
    #[must_use]
    pub fn leader_epochs(&self) -> Vec<(LeaderEpoch, RaftIndex, Offset)> {
        self.state.borrow().leader_epochs.clone()
    }

    /// KIP-101, KIP-320: the largest leader epoch <= `epoch` known, and its end offset. As in Kafka, where such entries
    /// do not exist, an epoch that took no offset counts only while it is the last.
    #[must_use]
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        let state = self.state.borrow();
        let runs = served_epochs(&state);
        if runs.is_empty() {
            let known = epoch_of_empty(&state).filter(|known| *known <= epoch)?;
            return Some((known, state.next_offset));
        }
        let end_of = |at: usize| {
            let next = runs.get(at + 1);
            next.map_or(state.next_offset, |(_, _, offset)| *offset)
        };
        let after = runs.partition_point(|(e, _, _)| *e <= epoch);
        let found = (0..after)
            .rev()
            .find(|at| at + 1 == runs.len() || end_of(*at) > runs[*at].2)?;
        Some((runs[found].0, end_of(found)))
    }

    /// The leader epoch of the entry that holds `offset`; of the one before the start, in a log that holds none.
    #[must_use]
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let state = self.state.borrow();
        let runs = served_epochs(&state);
        let after = runs.partition_point(|(_, _, start)| *start <= offset);
        if runs.is_empty() {
            return epoch_of_empty(&state);
        }
        Some(runs.get(after.checked_sub(1)?)?.0)
    }

    /// Entries below `next_index` are committed: never truncated, so trims and retention may remove them. Never moves
    /// back; after a start nothing is known to be committed. Gives the offset behind what is committed; of entries that a
    /// start found in segments it is known only once all of them are.
    pub fn set_committed(&self, next_index: RaftIndex) -> Offset {
        let mut state = self.state.borrow_mut();
        let next_index = next_index.min(state.next_index);
        if next_index > state.committed_next {
            state.commit_to(next_index);
        }
        state.committed_offset
    }

    /// Bytes of the batches with records that became committed in this run, for waiters to count by.
    #[must_use]
    pub fn committed_bytes(&self) -> u64 {
        self.state.borrow().committed_bytes
    }

    /// Bytes of the batches appended in this run.
    #[must_use]
    pub fn appended_bytes(&self) -> u64 {
        self.state.borrow().appended_bytes
    }

    /// What the manifest is to know of the log now. Active segments' ends are as of the last chunk that lasts.
    pub(crate) fn record(&self, state: &LogState) -> LogRecord {
        LogRecord {
            log_id: self.log_id,
            key: self.key,
            config: state.config.clone(),
            start: state.start,
            log_epoch: state.log_epoch,
            truncations: state.truncations.clone(),
            segments: state.segments.iter().map(Segment::record).collect(),
            leader_epochs: state
                .leader_epochs
                .iter()
                .filter(|(_, index, _)| *index < state.written_next)
                .copied()
                .collect(),
            state: state.owner.lasting(),
            refused: state.quarantined.clone().filter(|_| state.refused_for_good),
        }
    }

    /// The record if the manifest's is behind, which it then no longer is.
    pub(crate) fn take_stale_record(&self) -> Option<LogRecord> {
        let mut state = self.state.borrow_mut();
        let stale = std::mem::replace(&mut state.record_stale, false) && !state.closed;
        stale.then(|| self.record(&state))
    }

    /// Nothing is appended or read any more: damage was found, here or by the log's owner in its state.
    pub fn quarantine(&self, corrupt: Corrupt) {
        {
            let mut state = self.state.borrow_mut();
            if state.quarantined.is_some() {
                return;
            }
            tracing::error!(partition = %self.key, file = %corrupt.file, at = corrupt.at, "partition quarantined: {corrupt}");
            state.quarantined = Some(corrupt);
        }
        self.fail_waiters(Offset(i64::MIN));
        self.fail_states();
        // A commit in flight may still last, but nothing more is durable here.
        drop(self.on_durable.take());
        self.tell_refused();
    }

    /// Makes the refusal last over restarts: entries that only the journal held are not carried over.
    pub(crate) fn refuse_for_good(&self) {
        let mut state = self.state.borrow_mut();
        if state.quarantined.is_some() && !state.refused_for_good {
            state.refused_for_good = true;
            state.record_stale = true;
        }
    }

    pub(crate) fn check_writable(&self) -> Result<(), AppendError> {
        let state = self.state.borrow();
        if state.closed || self.home.closed.get() {
            return Err(AppendError::Closed);
        }
        match &state.quarantined {
            Some(corrupt) => Err(AppendError::Quarantined(corrupt.clone())),
            None => Ok(()),
        }
    }

    fn check_readable(&self, state: &LogState) -> Result<(), ReadError> {
        if state.closed {
            return Err(ReadError::Closed);
        }
        match &state.quarantined {
            Some(corrupt) => Err(ReadError::Quarantined(corrupt.clone())),
            None => Ok(()),
        }
    }

    /// The first time this ring file is seen to hold frames of the log.
    pub(crate) fn first_in_file(&self, sequence_first: u64) -> bool {
        self.ring_file.replace(sequence_first) != sequence_first
    }

    /// The commit sequence of the oldest frame that no segment holds.
    pub(crate) fn oldest_dirty_sequence(&self) -> Option<u64> {
        let state = self.state.borrow();
        let at = state.entries_from(state.written_next);
        state
            .entries
            .range(at..)
            .map(|e| e.journal_sequence)
            .find(|sequence| *sequence != DIRECT)
    }

    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.state.borrow().dirty_bytes
    }

    /// Drops the oldest cached frame if it is the one at `index` and a segment holds it. False when it is still needed.
    pub(crate) fn evict_front(&self, index: RaftIndex) -> bool {
        let mut state = self.state.borrow_mut();
        let Some(front) = state.entries.front() else {
            return true;
        };
        let bytes = front.frame.len() as u64;
        if state.front_index() != index {
            return true;
        }
        if index >= state.written_next {
            return false;
        }
        // Of what a start finds in segments only the end is known (invariant 4), and there may be much of it.
        let is_found = self.home.recovering.get();
        state.forget_front(is_found);
        drop(state);
        self.home.uncached(bytes);
        true
    }

    /// Forgets the log: waiters fail, reads and appends are refused.
    pub(crate) fn close(&self) {
        let (dirty, cached) = {
            let mut state = self.state.borrow_mut();
            state.closed = true;
            let cached: u64 = state.entries.iter().map(|e| e.frame.len() as u64).sum();
            state.entries.clear();
            state.direct.clear();
            (std::mem::take(&mut state.dirty_bytes), cached)
        };
        self.home.uncached(cached);
        self.home.cleaned(dirty);
        self.fail_waiters(Offset(i64::MIN));
        self.fail_states();
        drop(self.on_durable.take());
        self.tell_refused();
    }
}

/// The epoch of the entry before the start, in a log that holds none.
fn epoch_of_empty(state: &LogState) -> Option<LeaderEpoch> {
    (state.start.index > RaftIndex(0)).then_some(state.start.leader_epoch)
}

/// The runs that matter to readers: from the one in force at the log start offset on.
fn served_epochs(state: &LogState) -> &[(LeaderEpoch, RaftIndex, Offset)] {
    let began = |(_, _, offset): &(LeaderEpoch, RaftIndex, Offset)| *offset <= state.start.offset;
    let first = state.leader_epochs.partition_point(began).saturating_sub(1);
    &state.leader_epochs[first..]
}
