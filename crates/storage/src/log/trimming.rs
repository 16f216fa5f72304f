//! Removing from either end: retention, record deletion, truncation; and rolling by age.
use std::{rc::Rc, time::Duration};

use base::{LogEpoch, Offset, TimestampMs};
use iobuf::AppendBuf;
use runtime::{Class, sync::oneshot};

use crate::{
    AppendError, Log,
    chunk::chunk_bytes_bound,
    disk,
    frame::{self, FRAME_HEADER_BYTES, FrameHeader, Step},
    home::Home,
    log::{FrameMark, LogState},
    manifest::edit::Truncation,
    segment::{FIRST_CHUNK_AT, Segment, SegmentName},
    window::WindowReader,
};

/// So long retention waits for a roll before it goes on to the next log.
const ROLL_WAIT: Duration = Duration::from_secs(1);

/// Removals within this time share a sync of their directory.
const REMOVALS_WAIT: Duration = Duration::from_millis(50);

impl Log {
    /// DeleteRecords: moves the log start offset, durably, before it returns. Never past what is durable.
    pub async fn trim(&self, log_start_offset: Offset) -> Result<Offset, AppendError> {
        self.check_writable()?;
        let _turn = self.front_turn.take().await;
        self.check_writable()?;
        let (start, removed) = {
            let mut state = self.state.borrow_mut();
            let start = log_start_offset.min(state.durable_next);
            if start <= state.log_start_offset {
                return Ok(state.log_start_offset);
            }
            state.log_start_offset = start;
            (start, self.remove_before(&mut state, start))
        };
        self.commit_record().await;
        self.remove_files(removed);
        Ok(start)
    }

    /// Takes sealed segments that lie wholly below `start` off the list.
    fn remove_before(&self, state: &mut LogState, start: Offset) -> Vec<SegmentName> {
        let count = state
            .segments
            .iter()
            .take_while(|s| s.sealed && s.end.next_offset <= start)
            .count();
        let removed: Vec<_> = state.segments.drain(..count).map(|s| s.name).collect();
        let keep = state
            .leader_epochs
            .partition_point(|(_, began)| *began <= start);
        if keep > 1 {
            // The epoch in force at the start stays, as of the start.
            state.leader_epochs.drain(..keep - 1);
        }
        if let Some(first) = state.leader_epochs.first_mut() {
            first.1 = first.1.max(start);
        }
        removed
    }

    /// Removes the files of segments that are no longer listed.
    pub(crate) fn remove_files(&self, names: Vec<SegmentName>) {
        if names.is_empty() {
            return;
        }
        self.home.blocks.forget(self.log_id());
        let log = self.rc();
        runtime::spawn(Class::Background, "remove", async move {
            let dir = log.home.segments_dir();
            for name in names {
                log.home.files.forget(name);
                // A file that stays behind is an orphan, which the next start removes.
                let _ = runtime::fs::remove_file(&dir.join(name.file_name())).await;
                let _ = runtime::fs::remove_file(&dir.join(name.index_name())).await;
            }
            sync_removals(&log.home);
        });
    }

    /// Retention by size and time, and rolling by age; returns segments removed.
    pub async fn apply_retention(&self, now: TimestampMs) -> Result<usize, AppendError> {
        // First what needs no space, then what may have to wait for some, then what that made possible.
        let removed = self.remove_expired(now).await?;
        if !self.active_is_due(now) {
            return Ok(removed);
        }
        // In a task of its own: a roll that meets a full disk must not keep other logs' retention waiting.
        let (done, waits) = oneshot::channel();
        let log = self.rc();
        runtime::spawn(Class::Background, "roll by age", async move {
            log.roll_active().await;
            done.send(());
        });
        let _ = runtime::timeout(ROLL_WAIT, waits).await;
        Ok(removed + self.remove_expired(now).await?)
    }

    /// Seals the active segment at the end of all that is durable. Not when space is short: what waits for space holds
    /// the turn, and a new segment needs some.
    async fn roll_active(self: &Rc<Self>) {
        if self.home.waiting_for_space.get() > 0 {
            return;
        }
        self.flush().await;
        let _turn = self.turn.take().await;
        let at = {
            let state = self.state.borrow();
            let whole = state.scheduled_next == state.written_next && !state.closed;
            let last = state.segments.last().filter(|s| whole && !s.sealed);
            last.map(|s| (s.end.next_offset, s.end.next_index))
        };
        if let Some((base_offset, base_index)) = at {
            self.begin_segment(base_offset, base_index, false).await;
        }
    }

    async fn remove_expired(&self, now: TimestampMs) -> Result<usize, AppendError> {
        let _turn = self.front_turn.take().await;
        self.check_writable()?;
        let removed = {
            let mut state = self.state.borrow_mut();
            let count = expired(&state, now);
            if count == 0 {
                return Ok(0);
            }
            let start = state.segments[count - 1].end.next_offset;
            state.log_start_offset = state.log_start_offset.max(start);
            let start = state.log_start_offset;
            self.remove_before(&mut state, start)
        };
        let count = removed.len();
        self.commit_record().await;
        self.remove_files(removed);
        Ok(count)
    }

    /// The active segment is old enough to be rolled, or everything in it and behind it has expired.
    fn active_is_due(&self, now: TimestampMs) -> bool {
        let state = self.state.borrow();
        let active = state
            .segments
            .last()
            .filter(|s| !s.sealed && s.end.sequence > 0);
        let aged = active
            .and_then(|active| active.first_append)
            .is_some_and(|first| now.0 - first.0 >= state.config.segment_ms);
        if aged {
            return true;
        }
        let from = state.entries_behind(state.written_next);
        let written = active.is_none_or(|active| is_expired(&state, active.end.max_timestamp, now));
        let mut staged = state.entries.range(from..);
        let is_empty = active.is_none() && staged.len() == 0;
        written && !is_empty && staged.all(|e| is_expired(&state, e.max_timestamp, now))
    }

    /// Removes the suffix from `next_offset` on (Raft); bumps the log epoch. Durable when it returns.
    pub async fn truncate(&self, next_offset: Offset) -> Result<LogEpoch, AppendError> {
        self.check_writable()?;
        let _turn = self.turn.take().await;
        if !self.write_gathered().await {
            return Err(AppendError::Closed);
        }
        let _front_turn = self.front_turn.take().await;
        self.check_writable()?;
        let log_epoch = self.drop_tail(next_offset);
        let removed = self.cut_segments(next_offset).await?;
        self.commit_record().await;
        self.remove_files(removed);
        Ok(log_epoch)
    }

    /// Writes the chunks gathered for the segment: what they hold below a cut stands nowhere else. The caller holds the
    /// turn. False when there was no space and the log was closed meanwhile.
    async fn write_gathered(&self) -> bool {
        loop {
            let chunk = self.state.borrow_mut().direct.pop_front();
            let Some(chunk) = chunk else { return true };
            if !self.write_chunk(chunk.buf, chunk.marks).await {
                return false;
            }
        }
    }

    /// Drops staged entries from `next_offset` on and begins the next log epoch.
    fn drop_tail(&self, next_offset: Offset) -> LogEpoch {
        let journal_sequence = self.home.journal.inner.borrow().sequence;
        let (log_epoch, cleaned, uncached) = {
            let mut state = self.state.borrow_mut();
            let (mut cleaned, mut uncached) = (0, 0);
            while let Some(last) = state.entries.back()
                && last.next_offset > next_offset
            {
                let bytes = last.frame.len() as u64;
                if last.next_offset > state.written_next {
                    cleaned += bytes;
                }
                uncached += bytes;
                state.entries.pop_back();
                state.next_index.0 -= 1;
            }
            state.dirty_bytes -= cleaned;
            state.log_epoch = state.log_epoch.next();
            let log_epoch = state.log_epoch;
            state.truncations.push(Truncation {
                log_epoch,
                next_offset,
                journal_sequence,
            });
            state.next_offset = state.next_offset.min(next_offset);
            state.durable_next = state.durable_next.min(next_offset);
            state.scheduled_next = state.written_next.min(next_offset);
            while state
                .leader_epochs
                .last()
                .is_some_and(|(_, start)| *start >= next_offset)
            {
                state.leader_epochs.pop();
            }
            // Whatever stands before the cut and went straight to the segment is in it.
            state.last_was_direct = false;
            (log_epoch, cleaned, uncached)
        };
        self.home.cleaned(cleaned);
        self.home.uncached(uncached);
        self.fail_waiters(next_offset);
        self.home.blocks.forget(self.log_id());
        log_epoch
    }

    /// Cuts the segments at `next_offset`: later ones go, the one that holds it ends before the chunk it stands in,
    /// and the frames of that chunk which stay begin a new segment.
    async fn cut_segments(&self, next_offset: Offset) -> Result<Vec<SegmentName>, AppendError> {
        if self.state.borrow().written_next <= next_offset {
            return Ok(Vec::new());
        }
        let mut removed = Vec::new();
        let cut = {
            let mut state = self.state.borrow_mut();
            while state.segments.len() > 1
                && state
                    .segments
                    .last()
                    .is_some_and(|s| s.name.base_offset >= next_offset)
            {
                removed.extend(state.segments.pop().map(|s| s.name));
            }
            state.segments.last().map(|s| (s.name, s.end))
        };
        let Some((name, old_end)) = cut else {
            return Ok(removed);
        };
        let file = self.open_segment(name, false, true).await;
        let file = file.ok_or(AppendError::Closed)?;
        let mut reader = WindowReader::new(file, old_end.position);
        let mut end = Segment::new(name, self.base_index_of(name)).end;
        let mut kept = Vec::new();
        let mut marks: Vec<FrameMark> = Vec::new();
        let mut position = FIRST_CHUNK_AT;
        // Chunk by chunk up to the one that holds the cut.
        while position < old_end.position && end.next_offset < next_offset {
            let chunk = reader
                .frames_of_chunk(position)
                .await
                .map_err(|corrupt| self.refuse(corrupt.in_file(&self.segment_path(name))))?;
            let last = chunk.frames.last().map(|(header, _)| *header);
            let Some(last) = last else { break };
            if last.next_offset() > next_offset {
                for (header, bytes) in &chunk.frames {
                    if header.next_offset() <= next_offset {
                        marks.push(mark_of(header, bytes));
                        kept.extend_from_slice(bytes);
                    }
                }
                break;
            }
            for (_, bytes) in &chunk.frames {
                let at = frame::max_timestamp(&bytes[FRAME_HEADER_BYTES..]);
                end.max_timestamp = end.max_timestamp.max(at);
            }
            position += chunk.chunk_bytes;
            end.position = position;
            end.sequence += 1;
            end.crc = chunk.crc;
            end.next_offset = last.next_offset();
            end.next_index = last.raft_index.next();
        }
        {
            let mut state = self.state.borrow_mut();
            let segment = state.segments.last_mut().expect("being cut");
            segment.end = end;
            segment.sealed = true;
            segment.index = None;
            state.written_next = end.next_offset;
            state.scheduled_next = end.next_offset;
            let next_index = marks.last().map_or(end.next_index, |m| m.index.next());
            state.next_index = next_index;
        }
        if let Some(first) = marks.first().copied() {
            if !self
                .begin_segment(first.base_offset, first.index, true)
                .await
            {
                return Err(AppendError::Closed);
            }
            let mut buf = AppendBuf::with_capacity(chunk_bytes_bound(kept.len()));
            buf.append(&[&kept]);
            if !self.write_chunk(buf, marks).await {
                return Err(AppendError::Closed);
            }
        }
        Ok(removed)
    }

    fn base_index_of(&self, name: SegmentName) -> base::RaftIndex {
        self.with_segment(name, |s| s.base_index)
            .unwrap_or_default()
    }

    pub(crate) fn segment_path(&self, name: SegmentName) -> String {
        let path = self.home.segments_dir().join(name.file_name());
        path.display().to_string()
    }

    fn refuse(&self, corrupt: crate::Corrupt) -> AppendError {
        self.quarantine(corrupt.clone());
        AppendError::Quarantined(corrupt)
    }
}

/// A file system may keep a removed file's space until its directory is on media: that is asked for, once for all
/// removals of a moment.
fn sync_removals(home: &Rc<Home>) {
    if home.syncing_removals.replace(true) {
        return;
    }
    let home = Rc::clone(home);
    runtime::spawn(Class::Background, "remove", async move {
        runtime::sleep(REMOVALS_WAIT).await;
        home.syncing_removals.set(false);
        disk::sync_dir(&home.segments_dir()).await;
    });
}

fn mark_of(header: &FrameHeader, bytes: &[u8]) -> FrameMark {
    FrameMark {
        base_offset: header.base_offset,
        next_offset: header.next_offset(),
        index: header.raft_index,
        bytes: bytes.len(),
        max_timestamp: frame::max_timestamp(&bytes[FRAME_HEADER_BYTES..]),
    }
}

fn is_expired(state: &LogState, max_timestamp: TimestampMs, now: TimestampMs) -> bool {
    state.config.delete_old
        && state.config.retention_ms >= 0
        && now.0 - max_timestamp.0 > state.config.retention_ms
}

/// Sealed segments at the front that retention removes (Kafka's `deleteOldSegments`).
fn expired(state: &LogState, now: TimestampMs) -> usize {
    if !state.config.delete_old {
        return 0;
    }
    let sealed = state.segments.iter().take_while(|s| s.sealed).count();
    let mut total: u64 = state.segments.iter().map(Segment::bytes).sum::<u64>() + state.dirty_bytes;
    let mut count = 0;
    for segment in &state.segments[..sealed] {
        let over = u64::try_from(state.config.retention_bytes)
            .is_ok_and(|bound| total - segment.bytes() >= bound);
        if !over && !is_expired(state, segment.end.max_timestamp, now) {
            break;
        }
        total -= segment.bytes();
        count += 1;
    }
    count
}

/// Frames of one chunk with their bytes; for callers that hold it in memory.
pub(crate) fn frames_in(payload: &[u8]) -> Option<Vec<(FrameHeader, &[u8])>> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match frame::decode(payload.get(at..)?).ok()? {
            Step::Tail { .. } => return Some(out),
            Step::Frame(header) => {
                let bytes = payload.get(at..at + header.frame_bytes())?;
                let (stored, computed) = frame::body_checksums(&bytes[FRAME_HEADER_BYTES..]);
                if stored != computed {
                    return None;
                }
                out.push((header, bytes));
                at += header.frame_bytes();
            }
        }
    }
}
