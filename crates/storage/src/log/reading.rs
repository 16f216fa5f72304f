//! Reading batches: from the tail in memory, else from segments, verified.
//!
//! # Invariants
//! 1. What comes from disk is checked before it is given away: the frame's header, its place in the log's sequence of
//!    offsets, and Kafka's checksum of the batch. A mismatch quarantines the log.
//!
//! # Yields
//! Disk reads await; segments may be rolled, removed or truncated meanwhile. A mismatch counts as damage only if the
//! segment still is what it was when the read began.
use std::rc::Rc;

use base::{Offset, RaftIndex};
use iobuf::{Buf, BufMut, IoBuf};

use crate::{
    Corrupt, Log, LogId, ReadBatches, ReadError,
    blocks::BLOCK_BYTES,
    frame::{self, FRAME_HEADER_BYTES, FRAME_PREFIX_BYTES, FrameHeader, FrameKind, Step},
    index::{Index, IndexEntry},
    segment::SegmentName,
};

/// Batches below this size are copied together: a slice of its own would cost more than the copy.
const COPY_BELOW_BYTES: usize = 2048;
/// Size of the buffers they are copied into.
const COPY_BUFFER_BYTES: usize = 64 << 10;

/// Gathers batches: large ones as slices, small ones copied together.
#[derive(Default)]
struct Gather {
    chain: IoBuf,
    copied: Option<BufMut>,
    bytes: usize,
}

impl Gather {
    fn push(&mut self, batch: Buf) {
        self.bytes += batch.len();
        if batch.len() >= COPY_BELOW_BYTES {
            self.flush();
            self.chain.push(batch);
            return;
        }
        let full = self
            .copied
            .as_ref()
            .is_some_and(|buf| buf.len() + batch.len() > buf.capacity());
        if full {
            self.flush();
        }
        self.copied
            .get_or_insert_with(|| BufMut::with_capacity(COPY_BUFFER_BYTES))
            .extend_from_slice(&batch);
    }

    fn flush(&mut self) {
        if let Some(buf) = self.copied.take() {
            self.chain.push(buf.freeze());
        }
    }

    fn finish(mut self, next_offset: Offset) -> ReadBatches {
        self.flush();
        ReadBatches {
            batches: self.chain,
            next_offset,
        }
    }
}

/// What one read may take.
#[derive(Clone, Copy)]
struct Bounds {
    from: Offset,
    until: Offset,
    bytes_max: usize,
    at_least_one: bool,
}

impl Bounds {
    fn takes(&self, next_offset: Offset, batch_bytes: usize, gathered: usize) -> bool {
        let fits = gathered + batch_bytes <= self.bytes_max;
        next_offset <= self.until && (fits || gathered == 0 && self.at_least_one)
    }
}

impl Log {
    /// Whole batches as on the wire, from the batch that contains `from`, below `until`; at most `bytes_max` but at
    /// least one batch when `at_least_one`. `None` when it would need the disk.
    pub fn read_cached(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Option<Result<ReadBatches, ReadError>> {
        let bounds = Bounds {
            from,
            until,
            bytes_max,
            at_least_one,
        };
        let state = self.state.borrow();
        if let Err(error) = self.check_readable(&state) {
            return Some(Err(error));
        }
        if from < state.start.offset || from > state.next_offset {
            return Some(Err(ReadError::OutOfRange {
                wanted: from,
                start: state.start.offset,
                end: state.next_offset,
            }));
        }
        if from == state.next_offset || from >= until {
            return Some(Ok(Gather::default().finish(from)));
        }
        let at = state.entries_behind(from);
        let entry = state.entries.get(at)?;
        if entry.base_offset > from {
            return None;
        }
        let mut gather = Gather::default();
        let mut next_offset = from;
        for entry in state.entries.range(at..) {
            if entry.next_offset == entry.base_offset {
                continue;
            }
            let batch_bytes = entry.frame.len() - FRAME_HEADER_BYTES;
            if !bounds.takes(entry.next_offset, batch_bytes, gather.bytes) {
                break;
            }
            gather.push(entry.frame.slice(FRAME_HEADER_BYTES..));
            next_offset = entry.next_offset;
        }
        drop(state);
        self.home.stats.borrow_mut().cache_hits += 1;
        Some(Ok(gather.finish(next_offset)))
    }

    /// As `read_cached`, from disk when need be. Returns no more than one segment's batches at a time.
    pub async fn read(
        &self,
        from: Offset,
        until: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<ReadBatches, ReadError> {
        let bounds = Bounds {
            from,
            until,
            bytes_max,
            at_least_one,
        };
        loop {
            if let Some(result) = self.read_cached(from, until, bytes_max, at_least_one) {
                return result;
            }
            let Some(name) = self.segment_of(from) else {
                // The read below finds it in the tail: a segment was rolled or written meanwhile.
                if self
                    .read_cached(from, until, bytes_max, at_least_one)
                    .is_none()
                {
                    return Err(self.missing(format!("offset {from}")));
                }
                continue;
            };
            self.ensure_index(name).await?;
            match self.read_segment(name, bounds).await? {
                Some(batches) => return Ok(batches),
                None => runtime::yield_now().await,
            }
        }
    }

    /// The segment that should hold `offset`.
    fn segment_of(&self, offset: Offset) -> Option<SegmentName> {
        let state = self.state.borrow();
        let after = state.segments.partition_point(|s| s.base_offset <= offset);
        let segment = state.segments.get(after.checked_sub(1)?)?;
        (offset < segment.end.next_offset).then_some(segment.name)
    }

    /// No segment lists the place, nor does the tail hold it: the list of segments has a hole.
    pub(super) fn missing(&self, place: String) -> ReadError {
        let corrupt = Corrupt {
            file: self.home.segments_dir().display().to_string(),
            at: 0,
            expected: format!("a segment with {place} of {}", self.key()),
            found: "none".into(),
        };
        self.quarantine(corrupt.clone());
        ReadError::Quarantined(corrupt)
    }

    /// Reads batches of one segment. `None` when the segment changed underneath: look again.
    async fn read_segment(
        &self,
        name: SegmentName,
        bounds: Bounds,
    ) -> Result<Option<ReadBatches>, ReadError> {
        let Some((start, end)) = self.locate(name, |index| index.by_offset(bounds.from)) else {
            return Ok(None);
        };
        let mut cursor = Cursor::new(self, name, start, end);
        let mut gather = Gather::default();
        let mut next_offset = bounds.from;
        loop {
            let frame = match cursor.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(stopped) => return self.stopped(name, end, stopped),
            };
            let (header, batch) = frame;
            if header.next_offset() <= bounds.from || header.record_count == 0 {
                continue;
            }
            if !bounds.takes(header.next_offset(), batch.len(), gather.bytes) {
                return Ok(Some(gather.finish(next_offset)));
            }
            gather.push(batch);
            next_offset = header.next_offset();
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        if gather.bytes == 0 && !self.home.config.planted.trust_stale_index {
            // The segment ended before the offset it claims to hold.
            let damage = cursor.damage("more frames", "the segment's end".into());
            return self.stopped(name, end, damage);
        }
        Ok(Some(gather.finish(next_offset.max(bounds.from))))
    }

    /// Where to begin and where the segment ends now.
    pub(super) fn locate(
        &self,
        name: SegmentName,
        find: impl FnOnce(&Index) -> Option<IndexEntry>,
    ) -> Option<(IndexEntry, u64)> {
        let state = self.state.borrow();
        let segment = state.segments.iter().find(|s| s.name == name)?;
        let index = segment.index.as_ref()?;
        let start = find(index).unwrap_or(IndexEntry {
            offset: segment.base_offset,
            ..IndexEntry::front_of(name)
        });
        Some((start, index.claimed_end.unwrap_or(segment.end.position)))
    }

    /// A frame could not be read: damage if the segment is still what it was, otherwise a reason to look again.
    pub(super) fn stopped<T>(
        &self,
        name: SegmentName,
        end: u64,
        stopped: Stopped,
    ) -> Result<Option<T>, ReadError> {
        match stopped {
            Stopped::Io(error) => {
                if self.state.borrow().closed {
                    return Err(ReadError::Closed);
                }
                if self.with_segment(name, |_| ()).is_none() {
                    // Retention took the file away.
                    return Ok(None);
                }
                Err(ReadError::Io(error))
            }
            Stopped::Damage(corrupt) => {
                let same = self.with_segment(name, |segment| segment.end.position >= end);
                // The planted bug believes in an end that the segment never had: looking again would not help it.
                let believes = self.home.config.planted.trust_stale_index;
                if same != Some(true) && !believes {
                    return Ok(None);
                }
                self.quarantine(corrupt.clone());
                Err(ReadError::Quarantined(corrupt))
            }
        }
    }

    /// Makes sure that the segment's index is in memory: from its file if that is for exactly this segment, else by
    /// reading the segment through.
    pub(crate) async fn ensure_index(&self, name: SegmentName) -> Result<(), ReadError> {
        let present = self.with_segment(name, |segment| segment.index.is_some());
        if present != Some(false) {
            return Ok(());
        }
        let path = self.home.segments_dir().join(name.index_name());
        let bytes = runtime::fs::read(&path).await.unwrap_or_default();
        let file = Index::decode(&bytes, self.home.store_id(), name);
        let trust = self.home.config.planted.trust_stale_index;
        if let Some((mut index, end)) = file {
            let fits = self.with_segment(name, |segment| segment.end == end);
            if fits == Some(true) || trust {
                if trust {
                    index.claimed_end = Some(end.position);
                }
                self.with_segment(name, |segment| {
                    segment.index.get_or_insert(index).entries.len()
                });
                return Ok(());
            }
        }
        self.rebuild_index(name).await
    }

    async fn rebuild_index(&self, name: SegmentName) -> Result<(), ReadError> {
        loop {
            let interval = self.state.borrow().config.index_interval_bytes;
            let found = self.with_segment(name, |segment| {
                let start = IndexEntry {
                    offset: segment.base_offset,
                    ..IndexEntry::front_of(name)
                };
                (start, segment.end.position)
            });
            let Some((start, end)) = found else {
                return Ok(());
            };
            let mut index = Index::default();
            let mut max_timestamp = base::TimestampMs(-1);
            let mut cursor = Cursor::new(self, name, start, end);
            loop {
                let position = cursor.position;
                match cursor.next().await {
                    Ok(Some((header, batch))) => {
                        let entry = IndexEntry {
                            offset: header.base_offset,
                            raft_index: header.raft_index,
                            position: cursor.frame_at.max(position),
                            max_timestamp_before: max_timestamp,
                        };
                        index.note(entry, interval);
                        max_timestamp = max_timestamp.max(frame::max_timestamp(&batch));
                    }
                    Ok(None) => break,
                    Err(stopped) => match self.stopped::<()>(name, end, stopped)? {
                        Some(()) | None => return Ok(()),
                    },
                }
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
            let taken = self.with_segment(name, |segment| {
                let same = segment.end.position == end;
                if same {
                    segment.index = Some(index);
                }
                same && segment.sealed
            });
            match taken {
                Some(true) => {
                    self.write_index(name).await;
                    return Ok(());
                }
                _ if self.with_segment(name, |s| s.index.is_some()) != Some(false) => {
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    /// Reads on from one block to the next: a sequential reader, worth reading ahead for.
    fn is_sequential(&self, number: u64) -> bool {
        let last = self.last_block.replace(number);
        last.wrapping_add(1) == number || last == number
    }
}

/// Why a cursor could not go on.
pub(super) enum Stopped {
    Io(String),
    Damage(Corrupt),
}

/// Walks the frames of a segment, verified.
pub(super) struct Cursor<'a> {
    log: &'a Log,
    name: SegmentName,
    position: u64,
    end: u64,
    /// Where the frame given last begins.
    frame_at: u64,
    expects: (RaftIndex, Offset),
    block: Option<(u64, Buf)>,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(log: &'a Log, name: SegmentName, start: IndexEntry, end: u64) -> Self {
        Self {
            log,
            name,
            position: start.position,
            end,
            frame_at: start.position,
            expects: (start.raft_index, start.offset),
            block: None,
        }
    }

    pub(super) fn damage(&self, expected: &str, found: String) -> Stopped {
        Stopped::Damage(Corrupt {
            file: self
                .log
                .home
                .segments_dir()
                .join(self.name.file_name())
                .display()
                .to_string(),
            at: self.position,
            expected: expected.into(),
            found,
        })
    }

    /// The next frame's header and batch; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<(FrameHeader, Buf)>, Stopped> {
        while self.position < self.end {
            let front = self.bytes(FRAME_PREFIX_BYTES).await?;
            let header = match frame::decode(&front) {
                Ok(Step::Tail { skip_bytes }) => {
                    self.position += u64::from(skip_bytes);
                    if !self
                        .position
                        .is_multiple_of(crate::chunk::BLOCK_BYTES as u64)
                    {
                        return Err(self.damage("a chunk's end", "an odd position".into()));
                    }
                    continue;
                }
                Ok(Step::Frame(header)) => header,
                Err(error) => return Err(self.damage("a frame", format!("{error:?}"))),
            };
            let at = (header.raft_index, header.base_offset);
            let is_entry = matches!(header.kind, FrameKind::Entry(_));
            if header.log_id != self.name.log_id || at != self.expects || !is_entry {
                let place = |log_id: LogId, (index, offset): (RaftIndex, Offset)| {
                    format!("log {} index {index} offset {offset}", log_id.0)
                };
                let expected = place(self.name.log_id, self.expects);
                return Err(self.damage(&expected, place(header.log_id, at)));
            }
            if self.position + header.frame_bytes() as u64 > self.end {
                return Err(self.damage("a whole frame", "the segment's end".into()));
            }
            let frame = self.bytes(header.frame_bytes()).await?;
            let batch = frame.slice(FRAME_HEADER_BYTES..);
            let (stored, computed) = frame::body_checksums(&batch);
            if stored != computed {
                let found = format!("{computed:08x}");
                return Err(self.damage(&format!("batch checksum {stored:08x}"), found));
            }
            self.frame_at = self.position;
            self.position += header.frame_bytes() as u64;
            self.expects = (header.raft_index.next(), header.next_offset());
            return Ok(Some((header, batch)));
        }
        Ok(None)
    }

    /// `count` bytes at the position, or fewer at the end: a slice of one block, or a copy across several.
    async fn bytes(&mut self, count: usize) -> Result<Buf, Stopped> {
        let want_end = (self.position + count as u64).min(self.end);
        let first = self.position / BLOCK_BYTES;
        let block = self.block(first).await?;
        let at = usize::try_from(self.position % BLOCK_BYTES).expect("below a block");
        let want = usize::try_from(want_end - self.position).expect("at most a frame");
        if at + want <= block.len() {
            return Ok(block.slice(at..at + want));
        }
        let mut whole = BufMut::with_capacity(want);
        let mut number = first;
        let mut from = at;
        while whole.len() < want {
            let block = self.block(number).await?;
            let take = (want - whole.len()).min(block.len().saturating_sub(from));
            whole.extend_from_slice(&block[from.min(block.len())..][..take]);
            // A file that is shorter than the manifest says has no further block.
            let is_short = ((from + take) as u64) < BLOCK_BYTES;
            if whole.len() < want && is_short {
                return Err(self.damage("more bytes", "the end of the file".into()));
            }
            number += 1;
            from = 0;
        }
        Ok(whole.freeze())
    }

    async fn block(&mut self, number: u64) -> Result<Buf, Stopped> {
        if let Some((held, block)) = &self.block
            && *held == number
        {
            return Ok(block.clone());
        }
        let home: &Rc<_> = &self.log.home;
        let block = home
            .blocks
            .get(home, self.name, number, self.end)
            .await
            .map_err(Stopped::Io)?;
        if self.log.is_sequential(number) {
            home.blocks.read_ahead(home, self.name, number, self.end);
        }
        self.block = Some((number, block.clone()));
        Ok(block)
    }
}
