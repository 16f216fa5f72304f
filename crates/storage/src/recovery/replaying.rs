//! Taking what the journal holds: entries into segments, states to their logs, and what damage there may have hidden.
//!
//! # Invariants
//! 1. Damage that may have hidden an entry of a log refuses it, unless a later frame continues the log; damage that may
//!    have hidden a state refuses it, unless a later state replaces that one, or the log's next frame says that there
//!    was none.
use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
};

use base::{Offset, RaftIndex};

use crate::{
    Corrupt, LogId, flusher,
    frame::{self, BATCH_HEADER_BYTES, FRAME_HEADER_BYTES, FrameHeader, FrameKind},
    home::Home,
    journal::replay::{Item, ReplayedChunk},
    log::{FrameMark, Log},
    manifest::edit::SavedState,
};

/// So much of the cache, one of so many parts, may be taken by what stays in the journal.
const STAYS_PART: u64 = 8;
/// Frames of one log written as one chunk.
const CHUNK_FRAMES_BYTES: usize = 1 << 20;

/// Frames of one log that only the journal has.
struct Held {
    next_offset: Offset,
    next_index: RaftIndex,
    /// A direct write before these frames did not last, so nothing behind it counts.
    cut: bool,
    bytes: Vec<u8>,
    marks: Vec<FrameMark>,
    /// Of the commit that each frame stands in.
    sequences: Vec<u64>,
}

/// Damage that may have hidden a state of a log.
struct Doubt {
    damage: Rc<Corrupt>,
    /// Were the log's next frame at this index, and said it that no state stands before it, then none was hidden.
    expects: Option<RaftIndex>,
}

pub(super) struct Replaying<'a> {
    home: &'a Rc<Home>,
    held: BTreeMap<LogId, Held>,
    pub held_bytes: usize,
    pub entries: u64,
    /// Damage that may have hidden entries of these logs; later frames of a log clear it.
    uncertain: Option<(Rc<Corrupt>, BTreeSet<LogId>)>,
    uncertain_states: BTreeMap<LogId, Doubt>,
    /// The index after the last frame seen of each log, superseded ones included.
    seen_next: BTreeMap<LogId, RaftIndex>,
    /// Something in the journal is damaged, or of a refused log: it is not to be read again.
    is_damaged: bool,
    has_written: bool,
    /// The journal holds something that neither a segment nor a record will have, because its log is refused.
    pub left_behind: bool,
}

impl<'a> Replaying<'a> {
    pub(super) fn new(home: &'a Rc<Home>) -> Self {
        Self {
            home,
            held: BTreeMap::new(),
            held_bytes: 0,
            entries: 0,
            uncertain: None,
            uncertain_states: BTreeMap::new(),
            seen_next: BTreeMap::new(),
            is_damaged: false,
            has_written: false,
            left_behind: false,
        }
    }

    /// Damage that may have held frames of any log, in commits up to that sequence.
    pub(super) fn doubt_all(&mut self, damage: &Corrupt, sequence_last: u64) {
        self.is_damaged = true;
        let damage = Rc::new(damage.clone());
        let log_ids = self.home.log_ids();
        for log_id in &log_ids {
            if self.is_state_in_record(*log_id, sequence_last) {
                continue;
            }
            let doubt = Doubt {
                damage: Rc::clone(&damage),
                expects: self.seen_next.get(log_id).copied(),
            };
            let before = self.uncertain_states.insert(*log_id, doubt);
            if let Some(before) = before {
                self.uncertain_states.insert(*log_id, before);
            }
        }
        self.uncertain = Some((damage, log_ids));
    }

    pub(super) fn take_chunk(&mut self, chunk: &ReplayedChunk) {
        for (at, item) in &chunk.items {
            let corrupt = |expected: String, found: &str| Corrupt {
                file: self.home.config.dir.join(&chunk.file).display().to_string(),
                at: *at,
                expected,
                found: found.into(),
            };
            match item {
                Item::Frame(header, frame) => {
                    let expected = format!("the entry before index {}", header.raft_index);
                    let gap = corrupt(expected, "a gap");
                    self.note_refused(header, chunk.sequence);
                    match header.kind {
                        FrameKind::Entry(_) => {
                            self.note_seen(header);
                            self.take_frame(header, frame, chunk.sequence, gap);
                        }
                        FrameKind::State => self.take_state(header, frame, chunk.sequence),
                    }
                }
                Item::Damaged(header) => {
                    self.is_damaged = true;
                    let damage = corrupt("a whole frame".into(), "a damaged one");
                    match header.kind {
                        FrameKind::Entry(_) => self.refuse_damaged(header, damage),
                        FrameKind::State => self.doubt_state(header, chunk.sequence, damage),
                    }
                }
                Item::Unknown => {
                    let damage = corrupt("a whole chunk".into(), "damage");
                    self.doubt_all(&damage, chunk.sequence_last);
                }
            }
        }
    }

    /// The log a frame counts for: it exists, is not refused, and no truncation superseded the frame.
    fn log_of(&self, header: &FrameHeader) -> Option<Rc<Log>> {
        let log = self.home.log(header.log_id)?;
        (log.quarantined().is_none() && log.is_current(header)).then_some(log)
    }

    fn held_of(&mut self, log: &Rc<Log>) -> &mut Held {
        self.held.entry(log.log_id()).or_insert_with(|| Held {
            next_offset: log.next_offset(),
            next_index: log.next_index(),
            cut: false,
            bytes: Vec::new(),
            marks: Vec::new(),
            sequences: Vec::new(),
        })
    }

    fn take_frame(&mut self, header: &FrameHeader, frame: &[u8], sequence: u64, gap: Corrupt) {
        let Some(log) = self.log_of(header) else {
            return;
        };
        let uncertain = self
            .uncertain
            .as_ref()
            .is_some_and(|(_, logs)| logs.contains(&log.log_id()));
        let planted = self.home.config.planted.place_by_offset;
        let held = self.held_of(&log);
        if held.cut {
            return;
        }
        let is_passed = planted && header.next_offset() <= held.next_offset;
        let fits = header.raft_index == held.next_index && !is_passed;
        if header.raft_index > held.next_index {
            if header.follows_direct && !uncertain {
                held.cut = true;
            } else {
                self.refuse(&log, gap);
            }
            return;
        }
        if fits && header.base_offset != held.next_offset {
            let found = format!("offset {}", header.base_offset);
            let expected = format!("offset {}", held.next_offset);
            self.refuse(
                &log,
                Corrupt {
                    expected,
                    found,
                    ..gap
                },
            );
            return;
        }
        if let Some((_, logs)) = &mut self.uncertain {
            logs.remove(&log.log_id());
        }
        if !fits {
            return;
        }
        let held = self.held_of(&log);
        held.next_offset = header.next_offset();
        held.next_index = header.raft_index.next();
        held.bytes.extend_from_slice(frame);
        held.sequences.push(sequence);
        held.marks.push(FrameMark {
            base_offset: header.base_offset,
            next_offset: header.next_offset(),
            index: header.raft_index,
            bytes: frame.len(),
            max_timestamp: frame::max_timestamp(&frame[FRAME_HEADER_BYTES..]),
        });
        self.held_bytes += frame.len();
        self.entries += 1;
        log.note_leader_epoch(header.leader_epoch, header.raft_index, header.base_offset);
    }

    /// Looks whether the frame tells that damage before it hid no state of its log.
    fn note_seen(&mut self, header: &FrameHeader) {
        self.seen_next
            .insert(header.log_id, header.raft_index.next());
        if let Some(doubt) = self.uncertain_states.get_mut(&header.log_id) {
            let expected = doubt.expects.take() == Some(header.raft_index);
            if expected && !header.follows_state {
                self.uncertain_states.remove(&header.log_id);
            }
        }
    }

    /// The manifest has a state that is at least as new as any in that commit.
    fn is_state_in_record(&self, log_id: LogId, sequence: u64) -> bool {
        let manifest = self.home.manifest.state.borrow();
        let record = manifest.logs.get(&log_id);
        let state = record.and_then(|record| record.state.as_ref());
        state.is_some_and(|state| state.sequence >= sequence)
    }

    fn take_state(&mut self, header: &FrameHeader, frame: &[u8], sequence: u64) {
        let Some(log) = self.home.log(header.log_id) else {
            return;
        };
        self.uncertain_states.remove(&header.log_id);
        // The record has the last one of its commit, and later ones.
        let is_known = self.is_state_in_record(header.log_id, sequence);
        if !is_known && log.quarantined().is_none() {
            let bytes = frame[FRAME_HEADER_BYTES + BATCH_HEADER_BYTES..].into();
            log.recovered_state(SavedState { sequence, bytes });
        }
    }

    /// A damaged state matters only if no later one is known.
    fn doubt_state(&mut self, header: &FrameHeader, sequence: u64, damage: Corrupt) {
        let is_listed = self.home.log(header.log_id).is_some();
        if is_listed && !self.is_state_in_record(header.log_id, sequence) {
            let doubt = Doubt {
                damage: Rc::new(damage),
                expects: None,
            };
            self.uncertain_states.insert(header.log_id, doubt);
        }
    }

    /// A damaged frame matters only if no segment holds the entry.
    fn refuse_damaged(&mut self, header: &FrameHeader, damage: Corrupt) {
        let Some(log) = self.log_of(header) else {
            return;
        };
        let held = self.held_of(&log);
        if !held.cut && header.raft_index >= held.next_index {
            self.refuse(&log, damage);
        }
    }

    /// Refuses a log for damage in the journal, which is about to be written over.
    fn refuse(&mut self, log: &Rc<Log>, damage: Corrupt) {
        log.quarantine(damage);
        log.refuse_for_good();
        self.left_behind = true;
    }

    /// A frame of a log that was refused before: the journal may hold its only copy.
    fn note_refused(&mut self, header: &FrameHeader, sequence: u64) {
        let Some(log) = self.home.log(header.log_id) else {
            return;
        };
        let counts = match header.kind {
            FrameKind::Entry(_) => log.is_current(header),
            FrameKind::State => !self.is_state_in_record(header.log_id, sequence),
        };
        if log.quarantined().is_some() && counts {
            log.refuse_for_good();
            self.left_behind = true;
        }
    }

    pub(super) fn refuse_uncertain(&mut self) {
        let mut doubts = std::mem::take(&mut self.uncertain_states)
            .into_iter()
            .map(|(log_id, doubt)| (log_id, doubt.damage))
            .collect::<BTreeMap<_, _>>();
        if let Some((damage, log_ids)) = self.uncertain.take() {
            doubts.extend(log_ids.into_iter().map(|id| (id, Rc::clone(&damage))));
        }
        for (log_id, damage) in doubts {
            if let Some(log) = self.home.log(log_id) {
                self.refuse(&log, (*damage).clone());
            }
        }
    }

    /// What is held may stay in the journal: it is little, so that the next replay is short, and memory not in want.
    pub(super) fn may_stay(&self) -> bool {
        let bytes_max = self.home.config.cache_bytes / STAYS_PART;
        let is_sound = !self.is_damaged && !self.left_behind;
        is_sound && !self.has_written && self.held_bytes as u64 <= bytes_max
    }

    /// Stages what is held as if it had just been committed.
    pub(super) async fn stage_held(&mut self) {
        for (log_id, held) in &mut self.held {
            if let Some(log) = self.home.log(*log_id) {
                stage_log(&log, &held.bytes, &held.marks, &held.sequences);
            }
            held.bytes = Vec::new();
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }

    /// Frames behind a cut may stay in the journal, which goes on at `sequence`: what is appended from now on must not
    /// be taken for their successors.
    pub(super) fn end_cuts(&self, sequence: u64) {
        for (log_id, held) in self.held.iter().filter(|(_, held)| held.cut) {
            if let Some(log) = self.home.log(*log_id) {
                log.recovered_cut(held.next_index, sequence);
            }
        }
    }

    /// Writes what is held into segments.
    pub(super) async fn write_held(&mut self) {
        self.held_bytes = 0;
        self.has_written = true;
        let mut work = BTreeMap::new();
        let mut logs = Vec::new();
        for (log_id, held) in &mut self.held {
            if held.marks.is_empty() {
                continue;
            }
            let bytes = std::mem::take(&mut held.bytes);
            let marks = std::mem::take(&mut held.marks);
            let sequences = std::mem::take(&mut held.sequences);
            logs.extend(self.home.log(*log_id));
            work.insert(*log_id, (bytes, marks, sequences));
        }
        let work = Rc::new(RefCell::new(work));
        flusher::for_all(logs, move |log| {
            let taken = work.borrow_mut().remove(&log.log_id());
            async move {
                if let Some((bytes, marks, sequences)) = taken {
                    write_log(&log, &bytes, &marks, &sequences).await;
                }
            }
        })
        .await;
    }
}

async fn write_log(log: &Rc<Log>, bytes: &[u8], marks: &[FrameMark], sequences: &[u64]) {
    let mut from = 0;
    let mut byte = 0;
    // Behind frames that found no space, nothing can be written.
    while from < marks.len() && log.dirty_bytes() == 0 {
        let mut to = from;
        let mut size = 0;
        while to < marks.len() && (size == 0 || size + marks[to].bytes <= CHUNK_FRAMES_BYTES) {
            size += marks[to].bytes;
            to += 1;
        }
        let written = log.write_replayed(&bytes[byte..byte + size], marks[from..to].to_vec());
        if !written.await {
            break;
        }
        byte += size;
        from = to;
    }
    if from == marks.len()
        && let Some(last) = marks.last()
    {
        log.recovered_to(last.next_offset, last.index.next());
    }
    stage_log(log, &bytes[byte..], &marks[from..], &sequences[from..]);
}

fn stage_log(log: &Rc<Log>, bytes: &[u8], marks: &[FrameMark], sequences: &[u64]) {
    log.stage_replayed(bytes, marks, sequences);
    if let Some(last) = marks.last() {
        log.recovered_to(last.next_offset, last.index.next());
    }
}
