//! From the files of a home to its logs: tail scan of active segments, journal replay, quarantine of what is damaged.
//!
//! # Invariants
//! 1. Work is proportional to the journal and to what active segments grew since the manifest last noted their ends.
//! 2. A chain of chunks ends at a tear only if nothing of the chain stands behind it and no single flipped bit explains
//!    the difference; everything else is damage, and the logs it may have touched are refused.
//! 3. What only the journal held is in segments and records afterwards, and the manifest says that the journal is empty. Or,
//!    when it is little, nothing is damaged, or the disk is full, it stays there, staged as if it had just been
//!    committed, and the journal begins where it began before. So ten thousand logs with an entry each do not wait for
//!    as many files. What the journal held of refused logs is kept aside, and the manifest keeps them refused.
//!
//! # Crash
//! Recovery may be interrupted anywhere and started again: frames that segments already have are skipped, and the
//! journal's beginning moves last.
mod replaying;

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    rc::Rc,
};

use base::{FilePos, LeaderEpoch, Offset, RaftIndex};
use runtime::fs::{self, Durability, File, Open};

use crate::{
    Corrupt, OpenError, RecoveryReport,
    chunk::{BLOCK_BYTES, chunk_bytes_bound},
    disk, flusher,
    frame::{self, FRAME_HEADER_BYTES, FrameKind},
    home::Home,
    index::{Index, IndexEntry},
    journal::{
        replay::Replay,
        ring::{RingFile, UsedFile},
    },
    log::{Log, frames_in},
    manifest::edit::{Edit, JournalPoint, SegmentEnd},
    recovery::replaying::Replaying,
    retry,
    segment::{self, SegmentName, chunk_id},
    snapshot,
    window::{Step, WindowReader},
};

/// Replayed frames held before they are written out.
const HELD_BYTES_MAX: usize = 32 << 20;

/// Where copies of the journal go whose entries could not all be carried over.
const KEPT_DIR: &str = "kept";
/// Copied at once.
const KEEP_BYTES: usize = 1 << 20;

/// What a log's active segment turned out to hold.
pub(crate) struct TailScan {
    pub end: SegmentEnd,
    pub index: Option<Index>,
    pub leader_epochs: Vec<(LeaderEpoch, RaftIndex, Offset)>,
}

/// Brings all logs of the home to the state they had durably. Begins with the logs as the manifest lists them.
pub(crate) async fn recover(
    home: &Rc<Home>,
    point: JournalPoint,
) -> Result<RecoveryReport, OpenError> {
    let mut report = RecoveryReport::default();
    sweep_files(home).await?;
    let snapshots = home.config.dir.join("snapshots");
    let swept = snapshot::sweep(home).await;
    swept.map_err(|e| disk::open_error(&snapshots, &e))?;
    // A killed process may have renamed a snapshot into place without a sync; whoever loads it may build on it.
    disk::sync_dir(&snapshots).await;
    let logs: Vec<_> = home.ids.borrow().values().cloned().collect();
    report.partitions = logs.len();
    let (end, used) = if point.clean {
        make_ring(home, &point).await?;
        (point, VecDeque::new())
    } else {
        let torn = Rc::new(std::cell::Cell::new(0));
        let sum = Rc::clone(&torn);
        flusher::for_all(logs.clone(), move |log| {
            let sum = Rc::clone(&sum);
            async move {
                let torn = scan_tail(&log).await;
                sum.set(sum.get() + torn);
            }
        })
        .await;
        report.torn_tail_bytes = torn.get();
        replay(home, point, &mut report).await?
    };
    let begins_here = used.is_empty();
    home.journal.restart(&end, used);
    let mut edits: Vec<_> = logs
        .iter()
        .filter_map(|log| log.take_stale_record().map(Edit::Put))
        .collect();
    if begins_here {
        edits.push(Edit::Journal(JournalPoint {
            clean: false,
            ..end
        }));
    }
    home.manifest.commit(edits).await;
    for log in logs {
        if let Some(corrupt) = log.quarantined() {
            report.quarantined.push((log.key(), corrupt));
        }
    }
    Ok(report)
}

/// Removes files that no log lists, and refuses logs whose files are missing.
async fn sweep_files(home: &Rc<Home>) -> Result<(), OpenError> {
    let dir = home.segments_dir();
    let entries = fs::read_dir(&dir)
        .await
        .map_err(|e| disk::open_error(&dir, &e))?;
    let mut listed = BTreeSet::new();
    let logs: Vec<_> = home.ids.borrow().values().cloned().collect();
    for log in &logs {
        listed.extend(log.segment_names());
    }
    let mut present = BTreeSet::new();
    for entry in entries {
        match SegmentName::parse(&entry.name) {
            Some(name) if listed.contains(&name) => {
                if entry.name == name.file_name() {
                    present.insert(name);
                }
            }
            _ => {
                let _ = fs::remove_file(&dir.join(&entry.name)).await;
            }
        }
    }
    for log in logs {
        let missing = log
            .segment_names()
            .into_iter()
            .find(|n| !present.contains(n));
        if let Some(name) = missing {
            log.quarantine(Corrupt {
                file: log.segment_path(name),
                at: 0,
                expected: "a segment file".into(),
                found: "none".into(),
            });
        }
    }
    Ok(())
}

/// Follows the active segment's chunks from the end the manifest knows. Returns torn bytes that were cut off.
async fn scan_tail(log: &Rc<Log>) -> u64 {
    if log.quarantined().is_some() {
        return 0;
    }
    let Some((name, known)) = log.active_segment() else {
        return 0;
    };
    match follow_tail(log, name, known).await {
        Ok((scan, torn)) => {
            log.recovered_tail(name, scan);
            torn
        }
        Err(corrupt) => {
            log.quarantine(corrupt);
            0
        }
    }
}

async fn follow_tail(
    log: &Rc<Log>,
    name: SegmentName,
    known: SegmentEnd,
) -> Result<(TailScan, u64), Corrupt> {
    let home = log.home();
    let path = log.segment_path(name);
    let damage = |at: u64, expected: &str, found: String| Corrupt {
        file: path.clone(),
        at,
        expected: expected.into(),
        found,
    };
    let unreadable = |at: u64, e: io::Error| damage(at, "readable bytes", e.to_string());
    let file = log.open_segment(name, false, false).await;
    let Some(file) = file else {
        return Err(unreadable(0, io::ErrorKind::StorageFull.into()));
    };
    let file_end = file.len().await.map_err(|e| unreadable(0, e))?;
    if file_end < known.position {
        let expected = format!("{} bytes", known.position);
        return Err(damage(file_end, &expected, "the end of the file".into()));
    }
    let front = retry::read_at(&file, FilePos(0), BLOCK_BYTES).await;
    let front = front.map_err(|e| unreadable(0, e))?;
    if let Some(version) = segment::header_version(&front)
        && version != segment::VERSION
    {
        let expected = format!("format version {}", segment::VERSION);
        return Err(damage(4, &expected, version.to_string()));
    }
    let unchecked = home.config.planted.skip_checksums_in_recovery;
    let chunk_bytes_max = chunk_bytes_bound(base::limits::BATCH_BYTES_MAX + (1 << 20));
    let mut reader = WindowReader::new(file.clone(), file_end);
    let mut scan = TailScan {
        end: known,
        index: (known.sequence == 0).then(Index::default),
        leader_epochs: Vec::new(),
    };
    loop {
        let id = chunk_id(home.store_id(), name, &scan.end);
        let step = if unchecked {
            reader.step_unchecked(&id, chunk_bytes_max).await
        } else {
            reader.step(&id, chunk_bytes_max).await
        };
        match step.map_err(|e| unreadable(id.position, e))? {
            Step::Chunk {
                bytes,
                crc,
                payload_bytes,
            } => {
                note_chunk(log, &mut scan, &bytes, payload_bytes, crc)
                    .map_err(|(at, found)| damage(at, "a whole frame of this log", found.into()))?;
            }
            Step::Damaged { later } => {
                let found = format!("damage before a chunk at {}", later.position);
                return Err(damage(id.position, "a whole chunk", found));
            }
            Step::End { torn } => {
                if !torn && scan.end.sequence > known.sequence {
                    // A write in flight when the process died may be whole, yet not on media.
                    disk::sync_all(&file).await;
                }
                let cut = if torn {
                    file.truncate(scan.end.position)
                        .await
                        .map_err(|e| unreadable(id.position, e))?;
                    disk::sync_all(&file).await;
                    file_end - scan.end.position
                } else {
                    0
                };
                return Ok((scan, cut));
            }
        }
    }
}

/// Takes a whole chunk into the scan; `Err` with the position of a frame that does not belong there.
fn note_chunk(
    log: &Rc<Log>,
    scan: &mut TailScan,
    bytes: &[u8],
    payload_bytes: usize,
    crc: u32,
) -> Result<(), (u64, &'static str)> {
    let position = scan.end.position;
    let unchecked = log.home().config.planted.skip_checksums_in_recovery;
    let frames = match frames_in(&bytes[..payload_bytes], !unchecked) {
        Some(frames) => frames,
        None => {
            let at = first_damaged(&bytes[..payload_bytes]);
            if at >= payload_bytes.saturating_sub(frame::TAIL_BYTES) {
                // Only the tail mark is damaged; readers of the stream would stumble over it all the same.
                return Err((position + at as u64, "a damaged tail mark"));
            }
            return Err((position + at as u64, "a damaged frame"));
        }
    };
    let interval = log.index_interval_bytes();
    let mut at = position;
    for (header, bytes) in &frames {
        let is_ours = header.log_id == log.log_id() && matches!(header.kind, FrameKind::Entry(_));
        let follows =
            header.raft_index == scan.end.next_index && header.base_offset == scan.end.next_offset;
        if !is_ours || !follows {
            return Err((at, "a frame of another place"));
        }
        if let Some(index) = &mut scan.index {
            index.note(
                IndexEntry {
                    offset: header.base_offset,
                    raft_index: header.raft_index,
                    position: at,
                    max_timestamp_before: scan.end.max_timestamp,
                },
                interval,
            );
        }
        if scan
            .leader_epochs
            .last()
            .is_none_or(|(e, _, _)| *e < header.leader_epoch)
        {
            scan.leader_epochs
                .push((header.leader_epoch, header.raft_index, header.base_offset));
        }
        let timestamp = frame::max_timestamp(&bytes[FRAME_HEADER_BYTES..]);
        scan.end.max_timestamp = scan.end.max_timestamp.max(timestamp);
        scan.end.next_offset = header.next_offset();
        scan.end.next_index = header.raft_index.next();
        at += bytes.len() as u64;
    }
    scan.end.position = position + bytes.len() as u64;
    scan.end.sequence += 1;
    scan.end.crc = crc;
    Ok(())
}

/// Where the first frame that does not verify begins.
fn first_damaged(payload: &[u8]) -> usize {
    let mut at = 0;
    while let Ok(frame::Step::Frame(header)) = frame::decode(&payload[at..]) {
        let end = at + header.frame_bytes();
        let Some(bytes) = payload.get(at + FRAME_HEADER_BYTES..end) else {
            return at;
        };
        let (stored, computed) = frame::body_checksums(bytes);
        if stored != computed {
            return at;
        }
        at = end;
    }
    at
}

/// The journal file that the manifest says the journal begins in is gone.
fn missing_file(home: &Home, point: &JournalPoint) -> Corrupt {
    let name = crate::journal::ring::file_name(point.slot as usize);
    Corrupt {
        file: home.journal.dir.join(name).display().to_string(),
        at: 0,
        expected: "a journal file".into(),
        found: "none".into(),
    }
}

/// The file the journal goes on in must be there, even when nothing in it is needed any more.
async fn make_ring(home: &Rc<Home>, point: &JournalPoint) -> Result<bool, OpenError> {
    let mut ring = std::mem::take(&mut home.journal.inner.borrow_mut().ring);
    let slot = point.slot as usize;
    let is_missing = ring.len() <= slot;
    let (dir, geometry) = (&home.journal.dir, &home.manifest.geometry);
    crate::journal::ring::make_up_to(dir, geometry, &mut ring, slot).await?;
    home.journal.inner.borrow_mut().ring = ring;
    Ok(is_missing)
}

async fn replay(
    home: &Rc<Home>,
    point: JournalPoint,
    report: &mut RecoveryReport,
) -> Result<(JournalPoint, VecDeque<UsedFile>), OpenError> {
    let is_missing = make_ring(home, &point).await?;
    let ring = std::mem::take(&mut home.journal.inner.borrow_mut().ring);
    let unchecked = home.config.planted.skip_checksums_in_recovery;
    let mut replay = Replay::new(home.manifest.geometry, &ring, point, unchecked);
    let mut state = Replaying::new(home);
    if is_missing {
        state.doubt_all(&missing_file(home, &point), u64::MAX);
    }
    loop {
        let chunk = replay
            .next()
            .await
            .map_err(|e| disk::open_error(&home.journal.dir, &e))?;
        let Some(chunk) = chunk else { break };
        state.take_chunk(&chunk);
        if state.held_bytes > HELD_BYTES_MAX {
            state.write_held().await;
        }
    }
    // A ring that is half full should not begin its next life so.
    let is_short = 2 * replay.used.len() <= home.journal.files_max;
    if is_short && state.may_stay() {
        state.stage_held().await;
    } else {
        state.write_held().await;
    }
    state.end_cuts(replay.point.sequence);
    state.refuse_uncertain();
    report.journal_entries = state.entries;
    if state.left_behind {
        keep_journal(home, point.sequence, &ring).await?;
    }
    let (end, torn) = (replay.point, replay.torn);
    if torn {
        // Remains of a torn commit must not be mistaken for parts of the one that will take its place.
        let left = home.journal.file_bytes - end.position;
        let bytes = left.min(home.journal.chunk_bytes as u64);
        report.torn_tail_bytes += bytes;
        let file = &ring[end.slot as usize].file;
        let zeroes = crate::journal::ring::zeroes(bytes);
        file.write_at(FilePos(end.position), zeroes.into(), Durability::Data)
            .await
            .map_err(|e| disk::open_error(&home.journal.dir, &e))?;
    }
    let used = still_used(home, replay.used);
    home.journal.inner.borrow_mut().ring = ring;
    Ok((end, used))
}

/// The files gone through, if any of the logs has frames that found no space in its segment. Every such log counts for
/// every file: the first look of the flusher at each drops those that have nothing there.
fn still_used(home: &Rc<Home>, mut used: VecDeque<UsedFile>) -> VecDeque<UsedFile> {
    let logs: Vec<_> = home.ids.borrow().values().cloned().collect();
    let staged = logs.into_iter().filter(|log| log.dirty_bytes() > 0);
    let staged: Vec<_> = staged.map(|log| log.log_id()).collect();
    if staged.is_empty() {
        return VecDeque::new();
    }
    for file in &mut used {
        file.logs.clone_from(&staged);
    }
    used
}

/// Copies the journal's files aside, for whoever repairs the refused logs: the ring itself will be written over.
async fn keep_journal(home: &Rc<Home>, sequence: u64, ring: &[RingFile]) -> Result<(), OpenError> {
    let dir = home.config.dir.join(KEPT_DIR);
    let failed = |e: io::Error| disk::open_error(&dir, &e);
    fs::create_dir_all(&dir).await.map_err(failed)?;
    disk::sync_dir(&home.config.dir).await;
    for (slot, from) in ring.iter().enumerate() {
        let name = format!("{sequence}-{}", crate::journal::ring::file_name(slot));
        let open = Open {
            write: true,
            create: true,
            truncate: true,
            direct: true,
            ..Open::default()
        };
        let to = File::open(&dir.join(&name), open).await.map_err(failed)?;
        let mut at = 0;
        while at < home.journal.file_bytes {
            let bytes = (home.journal.file_bytes - at).min(KEEP_BYTES as u64);
            let bytes = usize::try_from(bytes).expect("bounded");
            let read = retry::read_at(&from.file, FilePos(at), bytes).await;
            let read = read.map_err(failed)?;
            to.write_at(FilePos(at), read.into(), Durability::None)
                .await
                .map_err(failed)?;
            at += bytes as u64;
        }
        to.sync_all().await.map_err(failed)?;
    }
    disk::sync_dir(&dir).await;
    tracing::error!(dir = %dir.display(), "the journal is kept aside: it holds entries of refused partitions");
    Ok(())
}
