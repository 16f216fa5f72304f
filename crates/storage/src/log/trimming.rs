//! Removing from the front: retention and record deletion; and rolling by age.
use std::{rc::Rc, time::Duration};

use base::{Offset, RaftIndex, TimestampMs};
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
    /// DeleteRecords: moves the log start offset, durably, before it returns. Never past what is durable and committed.
    pub async fn trim(&self, log_start_offset: Offset) -> Result<Offset, AppendError> {
        self.check_writable()?;
        let _turn = self.front_turn.take().await;
        self.check_writable()?;
        let (start, removed) = {
            let mut state = self.state.borrow_mut();
            let lasting = state.durable_offset.min(state.committed_offset);
            let start = log_start_offset.min(lasting);
            if start <= state.start.offset {
                return Ok(state.start.offset);
            }
            state.start.offset = start;
            (start, remove_before(&mut state, start))
        };
        self.commit_record().await;
        self.remove_files(removed);
        Ok(start)
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
            // One without a chunk would have its successor's name.
            let rolls = |s: &&Segment| whole && !s.sealed && s.end.sequence > 0;
            let last = state.segments.last().filter(rolls);
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
            let start = state.start.offset.max(start);
            state.start.offset = start;
            remove_before(&mut state, start)
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
        // Entries without offsets have no time, and are not worth a segment of their own.
        let active = active.filter(|active| active.end.next_offset > active.base_offset);
        let from = state.entries_from(state.written_next);
        let staged = state.entries.range(from..);
        let mut staged = staged
            .filter(|e| e.next_offset > e.base_offset)
            .map(|e| e.max_timestamp)
            .chain(active.map(|active| active.end.max_timestamp))
            .peekable();
        staged.peek().is_some() && staged.all(|at| is_expired(&state, at, now))
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

/// Takes sealed segments that lie wholly below `start`, and are committed, off the list; the log then begins with the
/// next one.
fn remove_before(state: &mut LogState, start: Offset) -> Vec<SegmentName> {
    let committed = state.committed_next;
    let count = state
        .segments
        .iter()
        .take_while(|s| s.sealed && s.end.next_offset <= start && s.end.next_index <= committed)
        .count();
    let removed: Vec<_> = state.segments.drain(..count).collect();
    if let Some(last) = removed.last() {
        let first = last.end.next_index;
        let behind = state
            .leader_epochs
            .partition_point(|(_, index, _)| *index < first);
        let epoch = behind.checked_sub(1).map(|at| state.leader_epochs[at].0);
        state.start.leader_epoch = epoch.unwrap_or(state.start.leader_epoch);
        state.start.index = RaftIndex(first.0 - 1);
        state.start.next_offset = last.end.next_offset;
        keep_epochs_from(state);
    }
    removed.into_iter().map(|s| s.name).collect()
}

/// Forgets the runs of epochs before the first entry that is held; the one it stands in begins with it. Without an entry
/// there is no run: the start itself knows the epoch.
fn keep_epochs_from(state: &mut LogState) {
    let (first, offset) = (state.start.index.next(), state.start.next_offset);
    let begun = state
        .leader_epochs
        .partition_point(|(_, index, _)| *index <= first);
    let is_empty = state.next_index == first;
    let gone = if is_empty {
        begun
    } else {
        begun.saturating_sub(1)
    };
    state.leader_epochs.drain(..gone);
    state.newest_epoch = None;
    if let Some(run) = state.leader_epochs.first_mut()
        && run.1 < first
    {
        (run.1, run.2) = (first, offset);
    }
}

fn is_expired(state: &LogState, max_timestamp: TimestampMs, now: TimestampMs) -> bool {
    state.config.delete_old
        && state.config.retention_ms >= 0
        && now.0 - max_timestamp.0 > state.config.retention_ms
}

/// Sealed segments at the front that retention removes (Kafka's `deleteOldSegments`); those before the log's start, too,
/// which a trim left because they were not sealed or committed yet.
fn expired(state: &LogState, now: TimestampMs) -> usize {
    let sealed = state.segments.iter().take_while(|s| s.sealed).count();
    let mut total: u64 = state.segments.iter().map(Segment::bytes).sum::<u64>() + state.dirty_bytes;
    let mut count = 0;
    for segment in &state.segments[..sealed] {
        if segment.end.next_index > state.committed_next {
            break;
        }
        let is_before = segment.end.next_offset <= state.start.offset;
        let bound = u64::try_from(state.config.retention_bytes);
        let is_over = bound.is_ok_and(|bound| total - segment.bytes() >= bound);
        let is_over = is_over && state.config.delete_old;
        if !is_before && !is_over && !is_expired(state, segment.end.max_timestamp, now) {
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
