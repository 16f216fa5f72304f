//! Writing the log's segments: flushes of journaled frames, direct writes, rolling.
use std::rc::Rc;

use base::{FilePos, Offset, RaftIndex, TimestampMs};
use iobuf::AppendBuf;
use runtime::Class;

use crate::{
    Log,
    chunk::{self, BLOCK_BYTES, SectorTable, chunk_bytes_bound},
    index::IndexEntry,
    log::{DirectChunk, LogState, Staged},
    manifest::edit::Edit,
    retry::{self, Patience},
    segment::{self, FIRST_CHUNK_AT, Segment, SegmentName},
};

/// Frames per background write: larger writes delay foreground commits by milliseconds.
pub(crate) const FLUSH_BYTES: usize = 256 << 10;
/// Files below this size are not preallocated: most partitions are small and stay so.
const ALLOCATE_FROM_BYTES: u64 = 1 << 20;
const ALLOCATE_BYTES_MAX: u64 = 16 << 20;
/// Below this size an active segment is read through faster than its index file is written at every close.
const INDEX_FROM_BYTES: u64 = 1 << 20;

/// A frame's place in the log, kept beside its bytes while they are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameMark {
    pub base_offset: Offset,
    pub next_offset: Offset,
    pub index: RaftIndex,
    pub bytes: usize,
    pub max_timestamp: TimestampMs,
}

impl FrameMark {
    pub(crate) fn of(entry: &Staged, index: RaftIndex) -> Self {
        Self {
            base_offset: entry.base_offset,
            next_offset: entry.next_offset,
            index,
            bytes: entry.frame.len(),
            max_timestamp: entry.max_timestamp,
        }
    }
}

impl Log {
    /// Writes all frames that are durable in the journal into the segment; when the home is closed also those that were
    /// gathered for it, whose own task may have given up.
    pub(crate) async fn flush(self: &Rc<Self>) {
        let _turn = self.turn.take().await;
        if self.home.closed.get() && !self.write_gathered().await {
            return;
        }
        while let Some((buf, marks)) = self.next_flush() {
            // Copying the frames and checksumming them would be too long for one stretch.
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
            if !self.write_chunk(buf, marks).await {
                return;
            }
        }
    }

    /// As `flush`, to see afterwards whether this time it gave up.
    pub(crate) async fn flush_anew(self: &Rc<Self>) {
        self.gave_up.set(false);
        self.flush().await;
    }

    /// Writes everything into segments, direct writes under way included, as far as there is space; keeps the index of a
    /// large active one.
    pub(crate) async fn flush_all(self: &Rc<Self>) {
        loop {
            self.flush_anew().await;
            let full = self.home.waiting_for_space.get() > 0 || self.gave_up.get();
            let is_done = {
                let state = self.state.borrow();
                state.closed || state.dirty_bytes == 0
            };
            if is_done || full {
                break;
            }
            runtime::yield_now().await;
        }
        if let Some((name, end)) = self.active_segment()
            && end.position > INDEX_FROM_BYTES
        {
            self.write_index(name).await;
        }
    }

    /// The last write found the disk full and did not wait.
    pub(crate) fn has_given_up(&self) -> bool {
        self.gave_up.get()
    }

    /// Takes all segments off the log, once nobody writes them.
    pub(crate) async fn end_segments(&self) -> Vec<SegmentName> {
        let _turn = self.turn.take().await;
        let _front_turn = self.front_turn.take().await;
        let segments = std::mem::take(&mut self.state.borrow_mut().segments);
        segments.into_iter().map(|s| s.name).collect()
    }

    /// Copies the next piece of frames to flush.
    fn next_flush(&self) -> Option<(AppendBuf, Vec<FrameMark>)> {
        let mut state = self.state.borrow_mut();
        if state.closed || state.scheduled_next > state.written_next {
            // A direct write is under way that contains what stands before it.
            return None;
        }
        let first = state.scheduled_next;
        let from = state.entries_from(first);
        let mut bytes = 0;
        let mut count = 0;
        for (index, entry) in (first.0..).zip(state.entries.range(from..)) {
            let too_many = count > 0 && bytes + entry.frame.len() > FLUSH_BYTES;
            if too_many || index >= state.durable_next.0 {
                break;
            }
            bytes += entry.frame.len();
            count += 1;
        }
        if count == 0 {
            return None;
        }
        let mut buf = AppendBuf::with_capacity(chunk_bytes_bound(bytes));
        let mut marks = Vec::with_capacity(count);
        for (index, entry) in (first.0..).zip(state.entries.range(from..from + count)) {
            buf.append(&[&entry.frame]);
            marks.push(FrameMark::of(entry, RaftIndex(index)));
        }
        state.scheduled_next = RaftIndex(first.0 + count as u64);
        Some((buf, marks))
    }

    /// Writes the gathered chunks straight to the segment, until none is left.
    pub(crate) async fn run_direct(self: Rc<Self>) {
        loop {
            let place = self.home.direct_place().await;
            let turn = self.turn.take().await;
            let chunk = {
                let mut state = self.state.borrow_mut();
                let chunk = state.direct.pop_front();
                if chunk.is_none() {
                    state.direct_running = false;
                }
                chunk
            };
            let Some(chunk) = chunk else { return };
            if !self.write_chunk(chunk.buf, chunk.marks).await {
                return;
            }
            drop((turn, place));
        }
    }

    /// Writes the frames in `buf` as the next chunk. The caller holds the turn. False when it gave up on a full disk,
    /// because the log or the home is closed: the frames then are the first of those gathered for the segment.
    pub(crate) async fn write_chunk(&self, buf: AppendBuf, marks: Vec<FrameMark>) -> bool {
        let written = self.try_write_chunk(buf, &marks).await;
        if !written {
            self.gather_again(marks);
        }
        written
    }

    /// Takes back what found no space: what was scheduled behind it must not be written before it.
    fn gather_again(&self, marks: Vec<FrameMark>) {
        let mut state = self.state.borrow_mut();
        let first = marks.first().expect("a chunk has frames").index;
        if state.closed || first < state.front_index() || first >= state.next_index {
            // Nothing is written any more, or recovery is about to stage them.
            return;
        }
        let bytes = marks.iter().map(|mark| mark.bytes).sum();
        let mut buf = AppendBuf::with_capacity(chunk_bytes_bound(bytes));
        let from = state.entries_from(first);
        for entry in state.entries.range(from..from + marks.len()) {
            buf.append(&[&entry.frame]);
        }
        state.direct.push_front(DirectChunk { buf, marks });
    }

    async fn try_write_chunk(&self, mut buf: AppendBuf, marks: &[FrameMark]) -> bool {
        let first = marks.first().expect("a chunk has frames");
        let bound = chunk_bytes_bound(buf.len()) as u64;
        if self.wants_roll(bound)
            && !self
                .begin_segment(first.base_offset, first.index, true)
                .await
        {
            return false;
        }
        let (name, id, position) = {
            let state = self.state.borrow();
            let segment = state.segments.last().expect("just made sure of");
            let id = segment.next_chunk(self.home.store_id());
            (segment.name, id, segment.end.position)
        };
        let Some(file) = self.open_segment(name, false, true).await else {
            return false;
        };
        let sealed = chunk::seal(&mut buf, 0, &id, SectorTable::default());
        let chunk_end = position + sealed.chunk_bytes as u64;
        self.allocate_ahead(&file, chunk_end).await;
        let planted = self.home.config.planted.retry_failed_sync;
        let bytes = buf.view(0..sealed.chunk_bytes);
        if !self
            .write_segment(&file, position, bytes, true, planted)
            .await
        {
            return false;
        }
        {
            let mut stats = self.home.stats.borrow_mut();
            stats.segment_writes += 1;
            stats.segment_write_bytes += sealed.chunk_bytes as u64;
        }
        let cleaned = {
            let mut state = self.state.borrow_mut();
            note_written(&mut state, position, chunk_end, sealed.crc, marks)
        };
        self.home.cleaned(cleaned);
        let durable_sequence = self.home.journal.inner.borrow().durable_sequence;
        self.advance(durable_sequence);
        self.home.evict().await;
        true
    }

    /// Writes to a segment file. On a full disk it waits until there is space, the log or the home is closed, or not at
    /// all; false when nothing was written.
    pub(crate) async fn write_segment(
        &self,
        file: &runtime::fs::File,
        position: u64,
        bytes: iobuf::Buf,
        waits: bool,
        planted: bool,
    ) -> bool {
        let gives_up = || self.gives_up(waits);
        let patience = Patience {
            waiting: &self.home.waiting_for_space,
            gives_up: &gives_up,
            ballast_of: None,
        };
        let pos = FilePos(position);
        retry::write(&patience, file, pos, bytes.into(), "segment", planted).await
    }

    fn gives_up(&self, waits: bool) -> bool {
        let home = &self.home;
        let is_alone = home.closed.get() || home.recovering.get();
        let gives_up = !waits || is_alone || self.state.borrow().closed;
        self.gave_up.set(gives_up);
        gives_up
    }

    fn wants_roll(&self, chunk_bytes: u64) -> bool {
        let state = self.state.borrow();
        state.segments.last().is_none_or(|segment| {
            segment.sealed
                || segment.end.sequence > 0
                    && segment.end.position + chunk_bytes > state.config.segment_bytes
        })
    }

    /// Seals the active segment and begins the next: file, header and directory entry last before the one edit that
    /// lists both changes. False when there was no space for it and the caller does not wait, or the log was closed.
    pub(crate) async fn begin_segment(
        &self,
        base_offset: Offset,
        base_index: RaftIndex,
        waits: bool,
    ) -> bool {
        let name = SegmentName {
            log_id: self.log_id,
            base_index,
            created_epoch: self.log_epoch(),
        };
        if self.create_segment(name, waits).await.is_none() {
            return false;
        }
        let (record, sealed) = {
            let mut state = self.state.borrow_mut();
            let sealed = state.segments.last_mut().map(|segment| {
                segment.sealed = true;
                segment.name
            });
            state.segments.push(Segment::new(name, base_offset));
            state.segments_begun += 1;
            let mut record = self.record(&state);
            if self.home.config.planted.segment_roll_off_by_one && record.segments.len() > 1 {
                let segment = record.segments.last_mut().expect("just pushed");
                segment.base_offset = segment.base_offset.plus(1);
                let last = state.segments.last_mut().expect("just pushed");
                last.base_offset = last.base_offset.plus(1);
            }
            state.record_stale = false;
            (record, sealed)
        };
        self.home.manifest.commit(vec![Edit::Put(record)]).await;
        if let Some(sealed) = sealed {
            let log = self.rc();
            runtime::spawn(Class::Background, "seal", async move {
                log.finish_sealed(sealed).await;
            });
        }
        true
    }

    /// A segment's file with its header on media; its directory entry will be before the next edit is. `None` as in
    /// `open_segment`.
    pub(crate) async fn create_segment(
        &self,
        name: SegmentName,
        waits: bool,
    ) -> Option<runtime::fs::File> {
        let file = self.open_segment(name, true, waits).await?;
        let mut header = AppendBuf::with_capacity(BLOCK_BYTES);
        header.append(&[&segment::encode_header(
            self.home.store_id(),
            name,
            self.key,
        )]);
        header.pad_to(BLOCK_BYTES);
        let header = header.view(0..BLOCK_BYTES);
        if !self.write_segment(&file, 0, header, waits, false).await {
            return None;
        }
        self.home.manifest.segments_changed.set(true);
        Some(file)
    }

    /// Gives preallocated space back and writes the index. Both may be lost: neither holds anything of its own.
    async fn finish_sealed(&self, name: SegmentName) {
        let end = self.with_segment(name, |segment| segment.end.position);
        if let Some(end) = end
            && let Some(file) = self.open_segment(name, false, false).await
        {
            let _ = file.truncate(end).await;
        }
        self.write_index(name).await;
    }

    /// Writes the segment's index file, if the index is in memory.
    pub(crate) async fn write_index(&self, name: SegmentName) {
        let store_id = self.home.store_id();
        let bytes = self.with_segment(name, |segment| {
            let index = segment.index.as_ref()?;
            Some(index.encode(store_id, name, &segment.end))
        });
        if let Some(Some(bytes)) = bytes {
            let path = self.home.segments_dir().join(name.index_name());
            if let Err(error) = runtime::fs::replace(&path, &bytes).await {
                tracing::info!(%error, "index not written, a read will rebuild it");
            }
        }
    }

    pub(crate) fn with_segment<R>(
        &self,
        name: SegmentName,
        f: impl FnOnce(&mut Segment) -> R,
    ) -> Option<R> {
        let mut state = self.state.borrow_mut();
        let at = state.segments.iter().position(|s| s.name == name)?;
        Some(f(&mut state.segments[at]))
    }

    /// The segment's file for writing; `None` when it gave up for want of space. That it cannot be opened otherwise is
    /// fatal.
    pub(crate) async fn open_segment(
        &self,
        name: SegmentName,
        create: bool,
        waits: bool,
    ) -> Option<runtime::fs::File> {
        let dir = self.home.segments_dir();
        let gives_up = || self.gives_up(waits);
        let patience = Patience {
            waiting: &self.home.waiting_for_space,
            gives_up: &gives_up,
            ballast_of: None,
        };
        let attempt = || self.home.files.open(&dir, name, create);
        let opened = retry::until_space("segment", &patience, attempt).await;
        opened.unwrap_or_else(|error| {
            runtime::fatal(runtime::Fatal::Io {
                what: "segment",
                error: error.to_string(),
            })
        })
    }

    /// Takes space ahead of the write position once the file is large enough to be worth it.
    async fn allocate_ahead(&self, file: &runtime::fs::File, chunk_end: u64) {
        let step = {
            let mut state = self.state.borrow_mut();
            let segment_bytes = state.config.segment_bytes;
            let segment = state.segments.last_mut().expect("being written");
            if chunk_end <= segment.allocated || segment.end.position < ALLOCATE_FROM_BYTES {
                return;
            }
            let from = segment.allocated.max(segment.end.position);
            let ahead = segment.end.position.min(ALLOCATE_BYTES_MAX);
            let to = (chunk_end + ahead)
                .min(segment_bytes.max(chunk_end))
                .next_multiple_of(BLOCK_BYTES as u64);
            segment.allocated = to;
            (from, to - from)
        };
        // Only a help: when there is no room, the write itself says so.
        let _ = file.allocate(FilePos(step.0), step.1).await;
    }

    /// Begins recovery's writing of frames that only the journal held.
    ///
    /// False when there was no space for them.
    pub(crate) async fn write_replayed(&self, frames: &[u8], marks: Vec<FrameMark>) -> bool {
        let _turn = self.turn.take().await;
        let mut buf = AppendBuf::with_capacity(chunk_bytes_bound(frames.len()));
        buf.append(&[frames]);
        self.write_chunk(buf, marks).await
    }

    /// The names of all segment files, for deletion.
    pub(crate) fn segment_names(&self) -> Vec<SegmentName> {
        let state = self.state.borrow();
        state.segments.iter().map(|s| s.name).collect()
    }
}

/// A chunk lasts: the segment's end, its index and the log's written position move. Returns the bytes that are no
/// longer dirty.
fn note_written(
    state: &mut LogState,
    position: u64,
    chunk_end: u64,
    crc: u32,
    marks: &[FrameMark],
) -> u64 {
    let interval = state.config.index_interval_bytes;
    let segment = state.segments.last_mut().expect("being written");
    debug_assert_eq!(position, segment.end.position);
    let bytes = note_chunk(segment, interval, chunk_end, crc, marks);
    let end = segment.end;
    state.written_next = end.next_index;
    state.scheduled_next = state.scheduled_next.max(end.next_index);
    state.record_stale = true;
    // Frames of recovery were never counted as dirty.
    let cleaned = bytes.min(state.dirty_bytes);
    state.dirty_bytes -= cleaned;
    cleaned
}

/// A chunk of these frames lasts behind the segment's end. Returns the bytes of the frames.
pub(crate) fn note_chunk(
    segment: &mut Segment,
    index_interval_bytes: u64,
    chunk_end: u64,
    crc: u32,
    marks: &[FrameMark],
) -> u64 {
    debug_assert!(segment.end.position >= FIRST_CHUNK_AT);
    let last = marks.last().expect("a chunk has frames");
    let mut at = segment.end.position;
    let mut bytes = 0;
    for mark in marks {
        if let Some(index) = &mut segment.index {
            let entry = IndexEntry {
                offset: mark.base_offset,
                raft_index: mark.index,
                position: at,
                max_timestamp_before: segment.end.max_timestamp,
            };
            index.note(entry, index_interval_bytes);
        }
        segment.end.max_timestamp = segment.end.max_timestamp.max(mark.max_timestamp);
        at += mark.bytes as u64;
        bytes += mark.bytes as u64;
    }
    segment.end.position = chunk_end;
    segment.end.sequence += 1;
    segment.end.crc = crc;
    segment.end.next_offset = last.next_offset;
    segment.end.next_index = last.index.next();
    if segment.first_append.is_none() {
        segment.first_append = Some(runtime::wall());
    }
    bytes
}
