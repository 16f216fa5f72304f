//! The home's journal: small batches of all its logs, and states of their owners, made durable by one write at a time.
//!
//! # Place       one per home, owned by its shard; appends stage synchronously, one writer task commits
//! # Invariants
//! 1. One commit is in flight; while it is, the next is being staged: group commit without timers.
//! 2. A commit's sequence is the last one's plus one, its place follows from its predecessor's: after the chunk, or at
//!    the start of the next ring file when less than the largest chunk is left.
//! 3. A ring file is written again only after the manifest says that the journal begins behind it.
//!
//! # Layout
//! `journal/<slot>.journal`, each a header block and chunks of frames (`docs/formats/journal.md`).
//!
//! # Crash
//! The chain of chunks ends at the first that is not whole; recovery tells a tear from damage (`chunk::inspect`).
//!
//! # Yields
//! Staging never awaits. The writer awaits the write; appends go on meanwhile.
//!
//! # Limits
//! `SEALED_MAX` finished commits wait for the writer, and the ring has so many files; beyond either, appends are `Busy`.

pub(crate) mod replay;
pub(crate) mod ring;

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    path::PathBuf,
    rc::{Rc, Weak},
};

use base::{FilePos, LogEpoch, RaftIndex};
use iobuf::{AppendBuf, Buf, HUGE_BYTES};
use runtime::sync::Notify;

use crate::{
    LogId,
    chunk::{self, BLOCK_BYTES, ChunkId, Role, SectorTable},
    home::Home,
    journal::ring::{RingFile, UsedFile},
    log::Log,
    manifest::{Geometry, edit::JournalPoint},
    retry::{self, Patience},
};

/// Largest commit: more only delays the ones behind it (1 MiB takes three times as long as 4 KiB on the reference disk).
pub(crate) const COMMIT_BYTES_MAX: usize = 1 << 20;
/// Finished commits that may wait behind the one in flight.
const SEALED_MAX: usize = 4;
/// A staging buffer with less room than this is replaced between commits.
const STAGING_ROOM_MIN: usize = 128 << 10;

/// A log's part in the commit being staged; lies in the log's state so that staging finds it without a lookup.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Membership {
    round: u64,
    touched_at: usize,
    bytes: usize,
}

/// What a commit vouches for in one log.
pub(crate) struct Touched {
    pub log: Weak<Log>,
    pub log_epoch: LogEpoch,
    pub next_index: RaftIndex,
}

/// A finished commit on its way to disk.
struct Commit {
    slot: usize,
    position: u64,
    sequence: u64,
    entries: u64,
    bytes: Buf,
    touched: Vec<Touched>,
}

pub(crate) struct Journal {
    pub(crate) dir: PathBuf,
    pub(crate) file_bytes: u64,
    pub(crate) chunk_bytes: usize,
    pub(crate) files_max: usize,
    store_id: u64,
    pub(crate) inner: RefCell<Inner>,
    /// Wakes the writer.
    wake: Notify,
    /// Wakes the task that prepares ring files.
    pub(crate) ring_wake: Notify,
    /// A piece of the ring was zeroed.
    pub(crate) zeroed: Notify,
    /// A commit was completed, for those that wait for the journal to drain.
    pub(crate) completed: Notify,
    idle: Cell<bool>,
}

pub(crate) struct Inner {
    pub ring: Vec<RingFile>,
    /// Place, sequence and predecessor of the commit being staged.
    pub slot: usize,
    pub position: u64,
    pub sequence: u64,
    pub previous_crc: u32,
    staging: Option<AppendBuf>,
    /// What staging goes on in when its buffer is full.
    spare: Option<AppendBuf>,
    start: usize,
    /// Of the commit being staged.
    table: SectorTable,
    touched: Vec<Touched>,
    entries: u64,
    round: u64,
    sealed: VecDeque<Commit>,
    /// A commit was taken for writing, and not every log in it knows yet that it lasts.
    in_flight: bool,
    pub durable_sequence: u64,
    /// Commits up to here last, and every log in them knows.
    pub settled_sequence: u64,
    pub used: VecDeque<UsedFile>,
    /// Bytes of a ring file that are being zeroed right now: no commit may be written there meanwhile.
    pub zeroing: Option<(usize, std::ops::Range<u64>)>,
    pub wants_file: bool,
}

impl Journal {
    pub(crate) fn new(
        dir: PathBuf,
        geometry: &Geometry,
        files_max: usize,
        point: &JournalPoint,
        ring: Vec<RingFile>,
    ) -> Self {
        let slot = point.slot as usize;
        let mut used = VecDeque::new();
        used.push_back(UsedFile::new(slot, point));
        Self {
            dir,
            file_bytes: geometry.journal_file_bytes,
            chunk_bytes: geometry.journal_chunk_bytes as usize,
            files_max: files_max.max(2),
            store_id: geometry.store_id,
            inner: RefCell::new(Inner {
                ring,
                slot,
                position: point.position,
                sequence: point.sequence,
                previous_crc: point.previous_crc,
                staging: None,
                spare: None,
                start: 0,
                table: SectorTable::default(),
                touched: Vec::new(),
                entries: 0,
                round: 1,
                sealed: VecDeque::new(),
                in_flight: false,
                durable_sequence: point.sequence - 1,
                settled_sequence: point.sequence - 1,
                used,
                zeroing: None,
                wants_file: false,
            }),
            wake: Notify::new(),
            ring_wake: Notify::new(),
            zeroed: Notify::new(),
            completed: Notify::new(),
            idle: Cell::new(false),
        }
    }

    /// Bytes this log has staged in the present commit.
    pub(crate) fn round_bytes(&self, member: &Membership) -> usize {
        if member.round == self.inner.borrow().round {
            member.bytes
        } else {
            0
        }
    }

    /// Stages a frame given in two parts. `None` when the journal has no room; otherwise the view of the staged
    /// frame and the sequence of the commit that will carry it.
    pub(crate) fn stage(
        &self,
        parts: [&[u8]; 2],
        member: &mut Membership,
        touched: Touched,
    ) -> Option<(Buf, u64)> {
        let frame_bytes = parts[0].len() + parts[1].len();
        let mut inner = self.inner.borrow_mut();
        if !inner.fits(frame_bytes, self.chunk_bytes) {
            if inner.sealed.len() >= SEALED_MAX || !self.seal(&mut inner) {
                self.wake.notify_one();
                return None;
            }
            // Whatever the buffer still holds room for was too little: sealing has emptied the commit.
            if !inner.fits(frame_bytes, self.chunk_bytes) {
                inner.staging = None;
            }
        }
        if inner.staging.is_none() {
            let spare = inner.spare.take();
            inner.staging =
                Some(spare.unwrap_or_else(|| AppendBuf::with_capacity(self.staging_bytes())));
            if self.staging_bytes() == HUGE_BYTES {
                self.ring_wake.notify_one();
            }
            inner.start = 0;
        }
        let Inner {
            staging: Some(staging),
            start,
            table,
            ..
        } = &mut *inner
        else {
            unreachable!("just made sure of a staging buffer")
        };
        let frame = staging.append(&parts);
        table.extend(staging, *start);
        inner.entries += 1;
        if member.round == inner.round {
            let at = member.touched_at;
            inner.touched[at] = touched;
            member.bytes += frame_bytes;
        } else {
            *member = Membership {
                round: inner.round,
                touched_at: inner.touched.len(),
                bytes: frame_bytes,
            };
            inner.touched.push(touched);
        }
        let sequence = inner.sequence;
        drop(inner);
        if self.idle.get() {
            self.idle.set(false);
            self.wake.notify_one();
        }
        Some((frame, sequence))
    }

    /// Size of the buffers that commits are staged in: at full size one huge page with two of the largest commits.
    fn staging_bytes(&self) -> usize {
        if self.chunk_bytes == COMMIT_BYTES_MAX {
            HUGE_BYTES
        } else {
            self.chunk_bytes
        }
    }

    /// Keeps a huge buffer with its memory ready for staging.
    async fn make_spare(&self) {
        let is_wanted = {
            let inner = self.inner.borrow();
            inner.staging.is_some() && inner.spare.is_none() && self.staging_bytes() == HUGE_BYTES
        };
        if is_wanted {
            let spare = AppendBuf::with_capacity(self.staging_bytes());
            let spare = runtime::touched(spare).await;
            self.inner.borrow_mut().spare = Some(spare);
        }
    }

    /// Ends the staged commit: decides its place and writes its footer. False when the ring has no room.
    fn seal(&self, inner: &mut Inner) -> bool {
        if inner.entries == 0 {
            return true;
        }
        if self.file_bytes - inner.position < self.chunk_bytes as u64 && !self.next_file(inner) {
            return false;
        }
        let id = ChunkId {
            role: Role::Journal,
            store_id: self.store_id,
            file: inner.slot as u64,
            owner: 0,
            owner_epoch: 0,
            sequence: inner.sequence,
            position: inner.position,
            previous_crc: inner.previous_crc,
        };
        let start = inner.start;
        let table = std::mem::take(&mut inner.table);
        let staging = inner.staging.as_mut().expect("entries are staged in it");
        let sealed = chunk::seal(staging, start, &id, table);
        let bytes = staging.view(start..start + sealed.chunk_bytes);
        let full = staging.remaining() < STAGING_ROOM_MIN.min(self.chunk_bytes / 2);
        let commit = Commit {
            slot: inner.slot,
            position: inner.position,
            sequence: inner.sequence,
            entries: inner.entries,
            bytes,
            touched: std::mem::take(&mut inner.touched),
        };
        inner.start += sealed.chunk_bytes;
        if full {
            inner.staging = None;
        }
        inner.sealed.push_back(commit);
        inner.entries = 0;
        inner.round += 1;
        inner.position += sealed.chunk_bytes as u64;
        inner.previous_crc = sealed.crc;
        let last = inner.sequence;
        inner.sequence += 1;
        if let Some(file) = inner.used.back_mut() {
            file.sequence_last = last;
        }
        if inner.position > self.file_bytes / 4 {
            self.ring_wake.notify_one();
        }
        true
    }

    /// Moves on to the next ring file, if it is free.
    fn next_file(&self, inner: &mut Inner) -> bool {
        let next = inner.next_slot();
        if !inner.is_free(next) {
            inner.wants_file = inner.slot + 1 == inner.ring.len();
            self.ring_wake.notify_one();
            return false;
        }
        inner.wants_file = false;
        // What was not zeroed yet stays so: the file holds commits now.
        let left = inner.slot;
        inner.ring[left].written_to = self.file_bytes;
        inner.slot = next;
        inner.position = BLOCK_BYTES as u64;
        let point = JournalPoint {
            sequence: inner.sequence,
            slot: u32::try_from(next).expect("a ring has few files"),
            position: inner.position,
            previous_crc: inner.previous_crc,
            clean: false,
            next_log_id: LogId(0),
        };
        inner.used.push_back(UsedFile::new(next, &point));
        true
    }

    /// Goes on at `point`, after recovery. `used` are the files whose content is still needed, the last of them the one
    /// that `point` is in; without any, nothing before `point` is.
    pub(crate) fn restart(&self, point: &JournalPoint, used: VecDeque<UsedFile>) {
        let mut inner = self.inner.borrow_mut();
        inner.slot = point.slot as usize;
        inner.position = point.position;
        inner.sequence = point.sequence;
        inner.previous_crc = point.previous_crc;
        inner.durable_sequence = point.sequence - 1;
        inner.settled_sequence = point.sequence - 1;
        inner.used = used;
        if inner.used.is_empty() {
            let file = UsedFile::new(point.slot as usize, point);
            inner.used.push_back(file);
        }
    }

    /// Where the next commit would begin.
    pub(crate) fn end(&self) -> JournalPoint {
        let inner = self.inner.borrow();
        JournalPoint {
            sequence: inner.sequence,
            slot: u32::try_from(inner.slot).expect("a ring has few files"),
            position: inner.position,
            previous_crc: inner.previous_crc,
            clean: false,
            next_log_id: LogId(0),
        }
    }

    /// A ring file became free, or the home is closing.
    pub(crate) fn nudge(&self) {
        self.wake.notify_one();
        self.completed.notify_all();
    }

    /// Nothing staged, nothing in flight: what lasts is known to the logs, so their records may be final.
    pub(crate) fn is_drained(&self) -> bool {
        let inner = self.inner.borrow();
        inner.entries == 0 && inner.sealed.is_empty() && !inner.in_flight
    }

    /// Something is staged, and the ring has no place for it until the oldest file is free.
    pub(crate) fn lacks_room(&self) -> bool {
        let inner = self.inner.borrow();
        let waits = inner.entries > 0 && inner.sealed.is_empty() && !inner.in_flight;
        let is_full = self.file_bytes - inner.position < self.chunk_bytes as u64;
        waits && is_full && !inner.is_free(inner.next_slot())
    }

    fn next_commit(&self) -> Option<Commit> {
        let mut inner = self.inner.borrow_mut();
        if inner.sealed.is_empty() {
            self.seal(&mut inner);
        }
        let commit = inner.sealed.pop_front();
        inner.in_flight = commit.is_some();
        commit
    }

    fn is_being_zeroed(&self, commit: &Commit) -> bool {
        let end = commit.position + commit.bytes.len() as u64;
        self.inner
            .borrow()
            .zeroing
            .as_ref()
            .is_some_and(|(slot, range)| {
                *slot == commit.slot && commit.position < range.end && range.start < end
            })
    }

    /// The writer task: one commit after the other until the home closes.
    pub(crate) async fn run(home: Rc<Home>) {
        let this = &home.journal;
        loop {
            let Some(commit) = this.next_commit() else {
                if home.closed.get() && this.is_drained() {
                    return;
                }
                if this.lacks_room() {
                    // Right after a start no commit has asked for the oldest file to be freed yet.
                    home.flush.consider(&home);
                }
                this.idle.set(true);
                this.wake.notified().await;
                this.idle.set(false);
                continue;
            };
            while this.is_being_zeroed(&commit) {
                this.zeroed.notified().await;
            }
            let file = this.inner.borrow().ring[commit.slot].file.clone();
            let planted = &home.config.planted;
            if planted.ack_before_sync {
                this.complete(&home, &commit).await;
            }
            let began = runtime::now();
            let patience = Patience {
                waiting: &home.waiting_for_space,
                gives_up: &|| false,
                ballast_of: None,
            };
            retry::write(
                &patience,
                &file,
                FilePos(commit.position),
                commit.bytes.clone().into(),
                "journal",
                planted.retry_failed_sync,
            )
            .await;
            {
                let mut stats = home.stats.borrow_mut();
                stats.journal_writes += 1;
                stats.journal_bytes += commit.bytes.len() as u64;
                stats.journal_entries += commit.entries;
                stats
                    .journal_write_latency
                    .record(runtime::now().since(began));
            }
            this.complete(&home, &commit).await;
        }
    }

    /// The commit lasts: durable positions advance, waiters wake, the flusher hears of it.
    async fn complete(&self, home: &Rc<Home>, commit: &Commit) {
        self.inner.borrow_mut().durable_sequence = commit.sequence;
        for touched in &commit.touched {
            let Some(log) = touched.log.upgrade() else {
                continue;
            };
            self.note_used(commit, &log);
            log.on_commit(commit.sequence, touched);
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        {
            let mut inner = self.inner.borrow_mut();
            inner.settled_sequence = commit.sequence;
            inner.in_flight = false;
        }
        home.flush.consider(home);
        home.room.notify_all();
        self.completed.notify_all();
        home.evict().await;
    }

    /// Remembers that the commit's ring file holds frames of this log.
    fn note_used(&self, commit: &Commit, log: &Rc<Log>) {
        let mut inner = self.inner.borrow_mut();
        let file = inner
            .used
            .iter_mut()
            .rev()
            .find(|file| file.sequence_first <= commit.sequence);
        if let Some(file) = file
            && log.first_in_file(file.sequence_first)
        {
            file.logs.push(log.log_id());
        }
    }
}

impl Inner {
    /// The ring file behind the present one.
    fn next_slot(&self) -> usize {
        let next = self.slot + 1;
        if next < self.ring.len() { next } else { 0 }
    }

    fn is_free(&self, slot: usize) -> bool {
        !self.used.iter().any(|file| file.slot == slot)
    }

    /// Whether a frame fits into the commit being staged.
    fn fits(&self, frame_bytes: usize, chunk_bytes: usize) -> bool {
        let Some(staging) = &self.staging else {
            return true;
        };
        let payload_bytes = staging.len() - self.start;
        let room = chunk_bytes.min(staging.capacity() - self.start);
        chunk::chunk_bytes_bound(payload_bytes + frame_bytes) <= room
    }
}
