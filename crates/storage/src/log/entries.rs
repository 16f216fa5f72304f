//! Reading entries of all kinds by raft index, for a follower that lags.
use base::RaftIndex;
use iobuf::Buf;

use crate::{
    Log, ReadEntry, ReadError,
    frame::{self, FRAME_HEADER_BYTES, FrameHeader, FrameKind, Step},
    log::{LogState, reading::Cursor},
    segment::SegmentName,
};

/// Gathers entries up to the bounds.
struct Gather {
    entries: Vec<ReadEntry>,
    entries_max: usize,
    bytes: usize,
    bytes_max: usize,
}

impl Gather {
    /// False when it is full. The first entry always fits.
    fn push(&mut self, header: &FrameHeader, batch: Buf) -> bool {
        let FrameKind::Entry(kind) = header.kind else {
            unreachable!("readers and recovery refuse states among entries")
        };
        let fits =
            self.entries.len() < self.entries_max && self.bytes + batch.len() <= self.bytes_max;
        if !fits && !self.entries.is_empty() {
            return false;
        }
        self.bytes += batch.len();
        self.entries.push(ReadEntry {
            index: header.raft_index,
            leader_epoch: header.leader_epoch,
            kind,
            record_count: header.record_count,
            base_offset: header.base_offset,
            batch,
        });
        true
    }
}

impl Log {
    /// Entries of all kinds, contiguous from `from` on: at most `entries_max` with `bytes_max` of batches, but at least
    /// one where there is one. No more than one segment's at a time; none at the log's end.
    pub async fn read_entries(
        &self,
        from: RaftIndex,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<ReadEntry>, ReadError> {
        loop {
            let mut gather = Gather {
                entries: Vec::new(),
                entries_max,
                bytes: 0,
                bytes_max,
            };
            let name = {
                let state = self.state.borrow();
                self.check_readable(&state)?;
                let first = state.start.index.next();
                if from < first || from > state.next_index {
                    return Err(ReadError::IndexOutOfRange {
                        wanted: from,
                        start: first,
                        end: state.next_index,
                    });
                }
                if from == state.next_index || gather_staged(&state, from, &mut gather) {
                    return Ok(gather.entries);
                }
                segment_with(&state, from)
            };
            let Some(name) = name else {
                return Err(self.missing(format!("index {from}")));
            };
            self.ensure_index(name).await?;
            if self.gather_segment(name, from, &mut gather).await? {
                return Ok(gather.entries);
            }
            runtime::yield_now().await;
        }
    }

    /// False when the segment changed underneath: look again.
    async fn gather_segment(
        &self,
        name: SegmentName,
        from: RaftIndex,
        gather: &mut Gather,
    ) -> Result<bool, ReadError> {
        let Some((start, end)) = self.locate(name, |index| index.by_raft_index(from)) else {
            return Ok(false);
        };
        let mut cursor = Cursor::new(self, name, start, end);
        loop {
            let stopped = match cursor.next().await {
                Ok(Some((header, _))) if header.raft_index < from => continue,
                Ok(Some((header, batch))) => {
                    if !gather.push(&header, batch) {
                        return Ok(true);
                    }
                    if runtime::should_yield() {
                        runtime::yield_now().await;
                    }
                    continue;
                }
                Ok(None) if !gather.entries.is_empty() => return Ok(true),
                // A cut took the entry away before the segment was looked into.
                Ok(None) if segment_with(&self.state.borrow(), from) != Some(name) => {
                    return Ok(false);
                }
                Ok(None) => cursor.damage("more frames", "the segment's end".into()),
                Err(stopped) => stopped,
            };
            return Ok(self.stopped::<()>(name, end, stopped)?.is_some());
        }
    }
}

/// True when entries in memory serve.
fn gather_staged(state: &LogState, from: RaftIndex, gather: &mut Gather) -> bool {
    if from < state.front_index() {
        return false;
    }
    for entry in state.entries.range(state.entries_from(from)..) {
        let Ok(Step::Frame(header)) = frame::decode(&entry.frame) else {
            unreachable!("staged frames were encoded here or checked by recovery")
        };
        if !gather.push(&header, entry.frame.slice(FRAME_HEADER_BYTES..)) {
            break;
        }
    }
    true
}

/// The segment that should hold the entry at `index`.
fn segment_with(state: &LogState, index: RaftIndex) -> Option<SegmentName> {
    let after = state
        .segments
        .partition_point(|s| s.name.base_index <= index);
    let segment = state.segments.get(after.checked_sub(1)?)?;
    (index < segment.end.next_index).then_some(segment.name)
}
