//! Sequencing: an entry gets its offset and index, and its bytes are staged.
use iobuf::AppendBuf;
use runtime::Class;

use crate::{
    AppendError, Appended, DiskState, Entry, Log,
    chunk::chunk_bytes_bound,
    frame::{self, BATCH_HEADER_BYTES, BATCH_PREFIX_BYTES, FrameHeader, FrameKind},
    journal::Touched,
    log::{DIRECT, DirectChunk, FrameMark, LogState, Staged},
};

/// Buffer for a write straight to the segment: while one is in flight, the next gathers more.
const DIRECT_BUFFER_BYTES: usize = 64 << 10;
const DIRECT_BUFFER_BUSY_BYTES: usize = 512 << 10;

impl Log {
    /// Sequences the entry: decides its offset and index and stages its bytes (one copy). Durable later.
    pub fn append(&self, entry: Entry<'_>) -> Result<Appended, AppendError> {
        if let DiskState::Full { available_bytes } = self.home.disk_state() {
            return Err(AppendError::Full { available_bytes });
        }
        self.append_from_reserve(entry)
    }

    /// As `append`, also while the disk is nearly full: for what frees space, such as the deletion of a topic.
    pub fn append_from_reserve(&self, entry: Entry<'_>) -> Result<Appended, AppendError> {
        self.check_writable()?;
        assert!(
            entry.batch.len() >= BATCH_HEADER_BYTES
                && (entry.record_count == 0) == entry.kind.is_empty(),
            "batches are validated at the door"
        );
        // An outcome, not a bug of the node: what goes into internal logs adds up from many requests.
        let (bytes, bytes_max) = (entry.batch.len(), base::limits::BATCH_BYTES_MAX);
        if bytes > bytes_max {
            return Err(AppendError::TooLarge { bytes, bytes_max });
        }
        let mut state = self.state.borrow_mut();
        if state.is_truncating {
            return Err(AppendError::Busy);
        }
        let header = FrameHeader {
            kind: FrameKind::Entry(entry.kind),
            follows_direct: state.last_was_direct,
            follows_state: state.follows_state,
            log_id: self.log_id,
            log_epoch: state.log_epoch,
            record_count: entry.record_count,
            raft_index: state.next_index,
            body_bytes: u32::try_from(entry.batch.len()).expect("bounded above"),
            base_offset: state.next_offset,
            leader_epoch: entry.leader_epoch,
        };
        let frame_bytes = header.frame_bytes();
        // One entry is let in even when it alone exceeds the budget, or a large batch could never be appended.
        if self.home.dirty_bytes.get() > 0 && !self.home.has_room_for(frame_bytes as u64) {
            drop(state);
            self.home.lacks_room.set(true);
            self.home.flush.consider(&self.home);
            return Err(AppendError::Busy);
        }
        let front = header.encode(entry.batch);
        let parts = [&front[..], &entry.batch[BATCH_PREFIX_BYTES..]];
        let direct_min = self.direct_bytes_min();
        let queued = self.home.journal.round_bytes(&state.member);
        let direct = frame_bytes >= direct_min || queued + frame_bytes > direct_min;
        let next_offset = header.next_offset();
        let mark = FrameMark {
            base_offset: header.base_offset,
            next_offset,
            index: header.raft_index,
            bytes: frame_bytes,
            max_timestamp: entry.max_timestamp,
        };
        let (frame, journal_sequence) = if direct {
            (self.stage_direct(&mut state, parts, mark), DIRECT)
        } else {
            let touched = Touched {
                log: self.this.clone(),
                log_epoch: state.log_epoch,
                next_index: header.raft_index.next(),
            };
            let staged = self.home.journal.stage(parts, &mut state.member, touched);
            let staged = staged.ok_or(AppendError::Busy)?;
            state.follows_state = false;
            staged
        };
        state.last_was_direct = direct;
        state.entries.push_back(Staged {
            frame,
            base_offset: header.base_offset,
            next_offset,
            max_timestamp: entry.max_timestamp,
            journal_sequence,
        });
        state.note_leader_epoch(entry.leader_epoch, header.raft_index, header.base_offset);
        state.next_offset = next_offset;
        state.next_index = header.raft_index.next();
        state.dirty_bytes += frame_bytes as u64;
        state.appended_batches += 1;
        state.appended_bytes += entry.batch.len() as u64;
        let start_direct = direct && !std::mem::replace(&mut state.direct_running, true);
        let log_epoch = state.log_epoch;
        drop(state);
        if direct {
            self.home.stats.borrow_mut().direct_entries += 1;
        }
        self.home
            .staged(self.log_id, header.raft_index, frame_bytes as u64);
        if start_direct {
            runtime::spawn(Class::Produce, "direct", self.rc().run_direct());
        }
        Ok(Appended {
            base_offset: header.base_offset,
            next_offset,
            index: header.raft_index,
            log_epoch,
            checksum: frame::stored_checksum(entry.batch),
        })
    }

    /// Resolves when staging may have room again.
    pub async fn append_ready(&self) {
        let home = &self.home;
        home.flush.consider(home);
        let notified = home.room.notified();
        // Room may be freed by time alone (a segment written by a task that notified before we asked).
        let _ = runtime::timeout(std::time::Duration::from_millis(10), notified).await;
    }

    /// Frames of this size skip the journal; one commit always holds several smaller ones.
    fn direct_bytes_min(&self) -> usize {
        let largest = self.home.journal.chunk_bytes / 4;
        self.home.config.direct_bytes_min.min(largest)
    }

    /// Adds the frame to the chunk being gathered for the segment, after those before it that no write covers yet.
    fn stage_direct(&self, state: &mut LogState, parts: [&[u8]; 2], mark: FrameMark) -> iobuf::Buf {
        let from = state.entries_from(state.scheduled_next);
        let before: usize = state.entries.range(from..).map(|e| e.frame.len()).sum();
        let needed = before + mark.bytes;
        let fits = state.direct.back().is_some_and(|chunk| {
            chunk_bytes_bound(chunk.buf.len() + needed) <= chunk.buf.capacity()
        });
        if !fits {
            let usual = if state.direct_running {
                DIRECT_BUFFER_BUSY_BYTES
            } else {
                DIRECT_BUFFER_BYTES
            };
            let capacity = chunk_bytes_bound(needed).max(usual).next_power_of_two();
            state.direct.push_back(DirectChunk {
                buf: AppendBuf::with_capacity(capacity),
                marks: Vec::new(),
            });
        }
        let first = mark.index.0 - (state.entries.len() - from) as u64;
        let mut chunk = state.direct.pop_back().expect("just made sure of");
        for (index, entry) in (first..).zip(state.entries.range(from..)) {
            chunk.buf.append(&[&entry.frame]);
            let mark = FrameMark::of(entry, base::RaftIndex(index));
            chunk.marks.push(mark);
        }
        state.scheduled_next = mark.index.next();
        chunk.marks.push(mark);
        let frame = chunk.buf.append(&parts);
        state.direct.push_back(chunk);
        frame
    }
}
