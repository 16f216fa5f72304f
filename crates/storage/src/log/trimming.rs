//! Removing from the front: retention and record deletion; and rolling by age.
use std::{rc::Rc, time::Duration};

use base::{Offset, TimestampMs};
use runtime::{Class, sync::oneshot};

use crate::{
    AppendError, Log, disk,
    frame::{self, FRAME_HEADER_BYTES, FrameHeader, Step},
    home::Home,
    log::LogState,
    segment::{Segment, SegmentName},
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

    pub(crate) fn segment_path(&self, name: SegmentName) -> String {
        let path = self.home.segments_dir().join(name.file_name());
        path.display().to_string()
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

/// Frames of one chunk with their bytes, for callers that hold it in memory. `is_checked`: not with a body that its
/// checksum does not fit.
pub(crate) fn frames_in(payload: &[u8], is_checked: bool) -> Option<Vec<(FrameHeader, &[u8])>> {
    let mut out = Vec::new();
    let mut at = 0;
    loop {
        match frame::decode(payload.get(at..)?).ok()? {
            Step::Tail { .. } => return Some(out),
            Step::Frame(header) => {
                let bytes = payload.get(at..at + header.frame_bytes())?;
                let (stored, computed) = frame::body_checksums(&bytes[FRAME_HEADER_BYTES..]);
                if stored != computed && is_checked {
                    return None;
                }
                out.push((header, bytes));
                at += header.frame_bytes();
            }
        }
    }
}
