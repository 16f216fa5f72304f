//! Removing from the end, or everything (Raft): what stood behind a cut goes, and with it the log epoch.
//!
//! # Crash
//! What stays of the chunk that the cut goes through lasts in a segment of its own before the one edit that lists it,
//! with the cut and the new log epoch. Until that edit lasts, everything is as it was: a flush of the manifest for
//! other reasons never shows a cut half done, because the log's state changes in one stretch without a yield.
//!
//! # Yields
//! Appends are `Busy` while a cut is prepared and made durable: an offset given out meanwhile would be one that is about to
//! go, or one of a log epoch that is not durable yet. Not while it waits for its turn: what comes then goes with the rest.
use base::{LogEpoch, Offset, RaftIndex};
use iobuf::AppendBuf;

use crate::{
    AppendError, Corrupt, Log, LogStart,
    chunk::{self, SectorTable, chunk_bytes_bound},
    frame::{self, FRAME_HEADER_BYTES, FrameHeader},
    log::{FrameMark, LogState, writing::note_chunk},
    manifest::edit::{SegmentEnd, Truncation},
    segment::{FIRST_CHUNK_AT, Segment, SegmentName},
    window::WindowReader,
};

/// How a cut goes through a log's segments.
struct Cut {
    /// The segment that holds the cut, and where it ends: before the chunk that the cut goes through.
    name: SegmentName,
    end: SegmentEnd,
    /// The frames of that chunk which stay.
    kept: Vec<u8>,
    marks: Vec<FrameMark>,
}

impl Cut {
    /// The offset that the first entry behind the cut had.
    fn next_offset(&self) -> Offset {
        let last = self.marks.last();
        last.map_or(self.end.next_offset, |mark| mark.next_offset)
    }
}

impl Log {
    /// Removes the entries from `from` on (Raft); bumps the log epoch. Durable when it returns.
    ///
    /// Panics when it would remove entries that were said to be committed.
    pub async fn truncate(&self, from: RaftIndex) -> Result<LogEpoch, AppendError> {
        self.check_writable()?;
        let _turn = self.turn.take().await;
        self.check_writable()?;
        self.state.borrow_mut().is_truncating = true;
        let truncated = self.truncate_alone(from).await;
        self.state.borrow_mut().is_truncating = false;
        self.home.room.notify_all();
        truncated
    }

    /// Removes everything (Raft's installation of a snapshot): the log then begins behind `at`, in a new log epoch.
    /// Durable when it returns.
    pub async fn reset(&self, at: LogStart) -> Result<LogEpoch, AppendError> {
        assert!(
            at.next_offset <= at.offset,
            "a log does not start before its first entry"
        );
        self.check_writable()?;
        let _turn = self.turn.take().await;
        let _front_turn = self.front_turn.take().await;
        self.check_writable()?;
        let (log_epoch, removed) = self.drop_all(at);
        self.snapshot_at.set(None);
        // An append now would be in a log epoch that does not last yet.
        self.state.borrow_mut().is_truncating = true;
        self.commit_record().await;
        self.state.borrow_mut().is_truncating = false;
        self.home.room.notify_all();
        self.remove_files(removed);
        Ok(log_epoch)
    }

    /// Empties the log and begins the next log epoch behind `at`. Gives the names of its segments.
    fn drop_all(&self, at: LogStart) -> (LogEpoch, Vec<SegmentName>) {
        let journal_sequence = self.home.journal.inner.borrow().sequence;
        let (log_epoch, cleaned, uncached, removed) = {
            let mut state = self.state.borrow_mut();
            let log_epoch = state.log_epoch.next();
            let entries = std::mem::take(&mut state.entries);
            let uncached: usize = entries.iter().map(|entry| entry.frame.len()).sum();
            state.direct.clear();
            // It covers what the ones before it did.
            state.truncations.clear();
            state.truncations.push(Truncation {
                log_epoch,
                next_index: RaftIndex(0),
                journal_sequence,
            });
            let next_index = at.index.next();
            state.start = at;
            state.log_epoch = log_epoch;
            state.leader_epochs.clear();
            state.newest_epoch = None;
            (state.next_index, state.next_offset) = (next_index, at.next_offset);
            (state.durable_next, state.durable_offset) = (next_index, at.next_offset);
            (state.committed_next, state.committed_offset) = (next_index, at.next_offset);
            state.uncached.clear();
            state.written_next = next_index;
            state.scheduled_next = next_index;
            state.last_was_direct = false;
            state.follows_state = true;
            let removed: Vec<_> = state.segments.drain(..).map(|s| s.name).collect();
            let cleaned = std::mem::take(&mut state.dirty_bytes);
            (log_epoch, cleaned, uncached as u64, removed)
        };
        self.home.cleaned(cleaned);
        self.home.uncached(uncached);
        self.fail_waiters(Offset(i64::MIN));
        self.home.blocks.forget(self.log_id());
        (log_epoch, removed)
    }

    /// The caller holds the turn, and nothing is appended.
    async fn truncate_alone(&self, from: RaftIndex) -> Result<LogEpoch, AppendError> {
        if !self.write_gathered().await {
            return Err(AppendError::Closed);
        }
        let log_epoch = self.log_epoch().next();
        let cut = self.plan_cut(from).await?;
        let rest = match &cut {
            Some(cut) if !cut.marks.is_empty() => {
                let rest = self.write_rest(log_epoch, cut).await;
                Some(rest.ok_or(AppendError::Closed)?)
            }
            _ => None,
        };
        let _front_turn = self.front_turn.take().await;
        self.check_writable()?;
        self.drop_tail(from, cut.as_ref().map(Cut::next_offset), log_epoch);
        // One behind the cut is of no use any more (`load_snapshot`), so any that comes now is newer.
        self.snapshot_at.set(None);
        let removed = match cut {
            Some(cut) => self.apply_cut(from, &cut, rest),
            None => Vec::new(),
        };
        self.commit_record().await;
        self.remove_files(removed);
        Ok(log_epoch)
    }

    /// Writes the chunks gathered for the segment: what they hold below a cut stands nowhere else. False when there was
    /// no space and the log was closed meanwhile.
    pub(super) async fn write_gathered(&self) -> bool {
        loop {
            let chunk = self.state.borrow_mut().direct.pop_front();
            let Some(chunk) = chunk else { return true };
            if !self.write_chunk(chunk.buf, chunk.marks).await {
                return false;
            }
        }
    }

    /// Reads the segment that holds the cut, chunk by chunk up to the one that it goes through. `None` when segments
    /// hold nothing behind the cut.
    async fn plan_cut(&self, from: RaftIndex) -> Result<Option<Cut>, AppendError> {
        let found = {
            let state = self.state.borrow();
            let is_behind = state.written_next > from;
            let holder = segment_of_cut(&state.segments, from).filter(|_| is_behind);
            holder.map(|at| {
                let segment = &state.segments[at];
                (segment.name, segment.base_offset, segment.end)
            })
        };
        let Some((name, base_offset, old_end)) = found else {
            return Ok(None);
        };
        if old_end.next_index <= from {
            return Ok(Some(Cut {
                name,
                end: old_end,
                kept: Vec::new(),
                marks: Vec::new(),
            }));
        }
        let file = self.open_segment(name, false, true).await;
        let file = file.ok_or(AppendError::Closed)?;
        let mut reader = WindowReader::new(file, old_end.position);
        let mut cut = Cut {
            name,
            end: Segment::new(name, base_offset).end,
            kept: Vec::new(),
            marks: Vec::new(),
        };
        while cut.end.position < old_end.position && cut.end.next_index < from {
            let chunk = reader
                .frames_of_chunk(cut.end.position)
                .await
                .map_err(|damage| self.refuse(damage.in_file(&self.segment_path(name))))?;
            let Some(last) = chunk.frames.last().map(|(header, _)| *header) else {
                break;
            };
            if last.raft_index >= from {
                for (header, bytes) in &chunk.frames {
                    if header.raft_index < from {
                        cut.marks.push(mark_of(header, bytes));
                        cut.kept.extend_from_slice(bytes);
                    }
                }
                break;
            }
            for (_, bytes) in &chunk.frames {
                let at = frame::max_timestamp(&bytes[FRAME_HEADER_BYTES..]);
                cut.end.max_timestamp = cut.end.max_timestamp.max(at);
            }
            cut.end.position += chunk.chunk_bytes;
            cut.end.sequence += 1;
            cut.end.crc = chunk.crc;
            cut.end.next_offset = last.next_offset();
            cut.end.next_index = last.raft_index.next();
        }
        Ok(Some(cut))
    }

    /// A segment of the new log epoch with the frames that stay, on media but not listed yet. `None` when the log was
    /// closed before there was space.
    async fn write_rest(&self, log_epoch: LogEpoch, cut: &Cut) -> Option<Segment> {
        let first = cut.marks.first().expect("something stays");
        let name = SegmentName {
            log_id: self.log_id(),
            base_index: first.index,
            created_epoch: log_epoch,
        };
        let file = self.create_segment(name, true).await?;
        let mut segment = Segment::new(name, first.base_offset);
        let mut buf = AppendBuf::with_capacity(chunk_bytes_bound(cut.kept.len()));
        buf.append(&[&cut.kept]);
        let id = segment.next_chunk(self.home.store_id());
        let sealed = chunk::seal(&mut buf, 0, &id, SectorTable::default());
        let bytes = buf.view(0..sealed.chunk_bytes);
        let written = self
            .write_segment(&file, FIRST_CHUNK_AT, bytes, true, false)
            .await;
        if !written {
            return None;
        }
        let chunk_end = FIRST_CHUNK_AT + sealed.chunk_bytes as u64;
        let interval = self.index_interval_bytes();
        note_chunk(&mut segment, interval, chunk_end, sealed.crc, &cut.marks);
        Some(segment)
    }

    /// Drops staged entries from `from` on and begins the next log epoch. `cut_offset`: where segments are cut.
    fn drop_tail(&self, from: RaftIndex, cut_offset: Option<Offset>, log_epoch: LogEpoch) {
        let journal_sequence = self.home.journal.inner.borrow().sequence;
        let (cleaned, uncached, next_offset) = {
            let mut state = self.state.borrow_mut();
            assert!(
                from >= state.committed_next,
                "committed entries are never truncated"
            );
            let removes = from < state.next_index;
            let (mut cleaned, mut uncached) = (0, 0);
            while state.next_index > from
                && let Some(last) = state.entries.pop_back()
            {
                let bytes = last.frame.len() as u64;
                if state.next_index > state.written_next {
                    cleaned += bytes;
                }
                uncached += bytes;
                state.next_index.0 -= 1;
                state.next_offset = last.base_offset;
            }
            while state
                .uncached
                .pop_back_if(|end| end.next_index > from)
                .is_some()
            {}
            let next_offset = cut_offset.unwrap_or(state.next_offset);
            assert!(
                !removes || next_offset >= state.start.offset,
                "deleted records were committed"
            );
            state.next_offset = next_offset;
            state.dirty_bytes -= cleaned;
            state.log_epoch = log_epoch;
            state.truncations.push(Truncation {
                log_epoch,
                next_index: from,
                journal_sequence,
            });
            if state.durable_next > from {
                state.durable_next = from;
                state.durable_offset = next_offset;
            }
            state.scheduled_next = state.written_next;
            while state
                .leader_epochs
                .last()
                .is_some_and(|(_, index, _)| *index >= from)
            {
                state.leader_epochs.pop();
            }
            state.newest_epoch = None;
            // Whatever stands before the cut and went straight to the segment is in it.
            state.last_was_direct = false;
            // The entry that comes next does not follow the journal's last one.
            state.follows_state = true;
            (cleaned, uncached, next_offset)
        };
        self.home.cleaned(cleaned);
        self.home.uncached(uncached);
        self.fail_waiters(next_offset);
        self.home.blocks.forget(self.log_id());
    }

    /// Makes the list of segments what the cut leaves. Gives the names of those that are not needed any more.
    fn apply_cut(&self, from: RaftIndex, cut: &Cut, rest: Option<Segment>) -> Vec<SegmentName> {
        let mut state = self.state.borrow_mut();
        let state: &mut LogState = &mut state;
        let mut removed = Vec::new();
        if let Some(at) = segment_of_cut(&state.segments, from) {
            removed.extend(state.segments.drain(at + 1..).map(|s| s.name));
        }
        let holder = state.segments.last_mut().filter(|s| s.name == cut.name);
        let Some(segment) = holder else {
            // Retention took the segment away while the cut was being prepared: it ended where the cut is.
            let behind = state.segments.partition_point(|s| s.name.base_index < from);
            removed.extend(state.segments.drain(behind..).map(|s| s.name));
            removed.extend(rest.map(|s| s.name));
            state.next_index = from;
            state.written_next = from;
            state.scheduled_next = from;
            return removed;
        };
        segment.end = cut.end;
        segment.sealed = true;
        segment.index = None;
        state.segments.extend(rest);
        let end = state.segments.last().map_or(cut.end, |s| s.end);
        state.written_next = end.next_index;
        state.scheduled_next = end.next_index;
        state.next_index = end.next_index;
        removed
    }

    fn refuse(&self, corrupt: Corrupt) -> AppendError {
        self.quarantine(corrupt.clone());
        AppendError::Quarantined(corrupt)
    }
}

/// The last segment that begins before the cut, or the first one of all.
fn segment_of_cut(segments: &[Segment], from: RaftIndex) -> Option<usize> {
    let before = segments.partition_point(|s| s.name.base_index < from);
    (!segments.is_empty()).then(|| before.saturating_sub(1))
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
