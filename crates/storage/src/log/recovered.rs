//! What recovery asks of a log and tells it.
use std::rc::Rc;

use base::{LeaderEpoch, Offset, RaftIndex};
use iobuf::Buf;

use crate::{
    Log,
    frame::FrameHeader,
    home::Home,
    log::{FrameMark, Staged},
    manifest::edit::{SegmentEnd, Truncation},
    recovery::TailScan,
    segment::SegmentName,
};

impl Log {
    pub(crate) fn home(&self) -> &Rc<Home> {
        &self.home
    }

    /// The segment that may have grown since the manifest noted its end.
    pub(crate) fn active_segment(&self) -> Option<(SegmentName, SegmentEnd)> {
        let state = self.state.borrow();
        let last = state.segments.last().filter(|s| !s.sealed)?;
        Some((last.name, last.end))
    }

    pub(crate) fn index_interval_bytes(&self) -> u64 {
        self.state.borrow().config.index_interval_bytes
    }

    /// The active segment ends here.
    pub(crate) fn recovered_tail(&self, name: SegmentName, scan: TailScan) {
        self.with_segment(name, |segment| {
            segment.end = scan.end;
            segment.index = scan.index;
            segment.first_append = Some(runtime::wall());
        });
        for (leader_epoch, index, offset) in scan.leader_epochs {
            self.note_leader_epoch(leader_epoch, index, offset);
        }
        {
            let mut state = self.state.borrow_mut();
            state.record_stale = true;
            state.written_next = scan.end.next_index;
        }
        self.recovered_to(scan.end.next_offset, scan.end.next_index);
    }

    pub(crate) fn recovered_to(&self, next_offset: Offset, next_index: RaftIndex) {
        let mut state = self.state.borrow_mut();
        state.next_offset = next_offset;
        state.next_index = next_index;
        state.durable_next = next_index;
        state.durable_offset = next_offset;
        state.scheduled_next = state.written_next;
    }

    /// Takes frames that only the journal holds, and goes on holding, as if they had just been committed.
    pub(crate) fn stage_replayed(&self, frames: &[u8], marks: &[FrameMark], sequences: &[u64]) {
        let frames = Buf::copy_from_slice(frames);
        let mut at = 0;
        for (mark, sequence) in marks.iter().zip(sequences) {
            let mut state = self.state.borrow_mut();
            state.entries.push_back(Staged {
                frame: frames.slice(at..at + mark.bytes),
                base_offset: mark.base_offset,
                next_offset: mark.next_offset,
                max_timestamp: mark.max_timestamp,
                journal_sequence: *sequence,
            });
            state.dirty_bytes += mark.bytes as u64;
            drop(state);
            self.home.staged(self.log_id, mark.index, mark.bytes as u64);
            at += mark.bytes;
        }
    }

    pub(crate) fn note_leader_epoch(
        &self,
        leader_epoch: LeaderEpoch,
        index: RaftIndex,
        offset: Offset,
    ) {
        let mut state = self.state.borrow_mut();
        state.note_leader_epoch(leader_epoch, index, offset);
    }

    /// What the journal holds from `from` on, which may stay there, does not count: a log epoch ends here.
    pub(crate) fn recovered_cut(&self, from: RaftIndex, journal_sequence: u64) {
        let mut state = self.state.borrow_mut();
        let log_epoch = state.log_epoch.next();
        state.log_epoch = log_epoch;
        state.truncations.push(Truncation {
            log_epoch,
            next_index: from,
            journal_sequence,
        });
        state.record_stale = true;
    }

    /// No truncation superseded this frame.
    pub(crate) fn is_current(&self, header: &FrameHeader) -> bool {
        let state = self.state.borrow();
        state
            .truncations
            .iter()
            .filter(|t| t.log_epoch > header.log_epoch)
            .all(|t| header.raft_index < t.next_index)
    }

    /// Truncations whose superseded frames the journal no longer holds.
    pub(crate) fn forget_truncations(&self, journal_begins: u64) {
        let mut state = self.state.borrow_mut();
        let before = state.truncations.len();
        state
            .truncations
            .retain(|t| t.journal_sequence >= journal_begins);
        state.record_stale |= state.truncations.len() != before;
    }
}
