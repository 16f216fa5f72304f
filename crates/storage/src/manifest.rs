//! The home's list of logs and their segments: an append-only edit log in two copies.
//!
//! # Place       one per home, owned by its shard; edits of many tasks go out together
//! # Invariants
//! 1. Each edit is on both copies, synced, before `commit` returns (group commit: edits that come while a write is
//!    in flight share the next one). Held by the restart tests.
//! 2. One copy with any damage loses nothing: chunks of the same sequence are equal in both, so either serves.
//! 3. Directory entries of segment files created before an edit are durable before the edit is.
//!
//! # Layout
//! `manifest-<generation>-a` and `-b`: a header block of 4 KiB, then chunks of edits; `docs/formats/manifest.md`.
//! A generation begins with one edit for each log, so replaying one file is enough.
//!
//! # Crash
//! A torn chunk was not acknowledged, unless one copy has it whole: then it counts. A new generation is written and
//! synced under temporary names, renamed, the directory synced, and only then the old generation removed.
//!
//! # Yields
//! `commit` awaits the writer task; other tasks may change logs meanwhile, edits carry whole records.
//!
//! # Instead of
//! A transaction per file (many syncs per roll); a key-value store (a dependency for a list of a few kilobytes).

pub mod edit;

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    rc::Rc,
};

use base::FilePos;
use iobuf::{AppendBuf, IoBuf};
use runtime::{
    Class,
    fs::{self, Durability, File, Open},
    sync::{Notify, oneshot},
};

use crate::{
    Corrupt, LogId, OpenError, chunk,
    chunk::{BLOCK_BYTES, ChunkId, Found, Role, SectorTable},
    disk,
    manifest::edit::{Edit, JournalPoint, LogRecord, decode_edits},
    retry::{self, Patience},
};

const MAGIC: &[u8; 4] = b"FBMF";
/// Of the format.
pub const VERSION: u32 = 2;
/// Largest payload of one chunk; more edits take further chunks.
const CHUNK_PAYLOAD_BYTES: usize = 1 << 20;
/// Largest chunk a reader must expect: one record of the most segments imaginable.
const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Space is taken ahead in these steps, so that an edit seldom needs the disk to have room.
const ALLOCATE_BYTES: u64 = 256 << 10;
/// So much stays taken ahead: room for deleting topics when nothing else has any.
const RESERVE_BYTES: u64 = 64 << 10;
/// A generation is rewritten when it has grown by this much and to twice its compact size.
const REWRITE_BYTES: u64 = 1 << 20;

/// What never changes in a home's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub store_id: u64,
    pub journal_file_bytes: u64,
    pub journal_chunk_bytes: u32,
}

/// What the edits add up to.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub logs: BTreeMap<LogId, LogRecord>,
    pub journal: Option<JournalPoint>,
    pub next_log_id: u32,
}

impl State {
    fn apply(&mut self, edit: Edit) {
        match edit {
            Edit::Put(record) => {
                self.next_log_id = self.next_log_id.max(record.log_id.0 + 1);
                self.logs.insert(record.log_id, record);
            }
            Edit::Delete(log_id) => {
                self.next_log_id = self.next_log_id.max(log_id.0 + 1);
                self.logs.remove(&log_id);
            }
            Edit::Journal(point) => {
                self.next_log_id = self.next_log_id.max(point.next_log_id.0);
                self.journal = Some(point);
            }
        }
    }

    fn journal_edit(&self) -> Option<Edit> {
        self.journal.map(|point| {
            Edit::Journal(JournalPoint {
                next_log_id: LogId(self.next_log_id),
                ..point
            })
        })
    }
}

struct Pending {
    edits: Vec<Edit>,
    done: oneshot::Sender<()>,
}

/// The two files being appended to, and where.
struct Copies {
    files: [File; 2],
    generation: u64,
    position: u64,
    sequence: u64,
    previous_crc: u32,
    allocated: u64,
    base_bytes: u64,
}

pub(crate) struct Manifest {
    dir: PathBuf,
    segments_dir: PathBuf,
    pub(crate) geometry: Geometry,
    pub(crate) state: RefCell<State>,
    pending: RefCell<Vec<Pending>>,
    copies: RefCell<Option<Copies>>,
    wake: Notify,
    closing: Cell<bool>,
    /// A segment file was created or removed since the segments' directory was last synced.
    pub(crate) segments_changed: Cell<bool>,
    planted_retry: bool,
    /// Writes that found the disk full, in spite of the space taken ahead and of the ballast.
    pub(crate) waiting_for_space: Rc<Cell<u32>>,
}

fn path(dir: &Path, generation: u64, copy: usize) -> PathBuf {
    dir.join(format!("manifest-{generation:010}-{}", ["a", "b"][copy]))
}

impl Manifest {
    /// Reads the newest generation, or begins the first one with `fresh` when there is none.
    pub(crate) async fn open(
        dir: &Path,
        fresh: Geometry,
        planted_retry: bool,
    ) -> Result<Manifest, OpenError> {
        let generations = generations(dir).await?;
        let (geometry, state, generation) = match generations.last() {
            None => (fresh, State::default(), 0),
            Some(&generation) => {
                let (geometry, state) = load(dir, generation).await?;
                (geometry, state, generation)
            }
        };
        let manifest = Manifest {
            dir: dir.to_path_buf(),
            segments_dir: dir.join("segments"),
            geometry,
            state: RefCell::new(state),
            pending: RefCell::default(),
            copies: RefCell::new(None),
            wake: Notify::new(),
            closing: Cell::new(false),
            segments_changed: Cell::new(false),
            planted_retry,
            waiting_for_space: Rc::default(),
        };
        // Every start begins a new generation: whatever was torn or damaged in the old one is left behind.
        manifest.begin_generation(generation + 1).await?;
        Ok(manifest)
    }

    /// Makes `edits` durable, in order, each atomic.
    pub(crate) async fn commit(&self, edits: Vec<Edit>) {
        let waits = self.begin_commit(edits);
        // The writer only ends with the home; what was not written then is not acknowledged either.
        if waits.await.is_none() {
            std::future::pending::<()>().await;
        }
    }

    /// As `commit`, without waiting: what is committed from now on lasts only with these.
    pub(crate) fn begin_commit(&self, edits: Vec<Edit>) -> oneshot::Receiver<()> {
        let (done, waits) = oneshot::channel();
        self.pending.borrow_mut().push(Pending { edits, done });
        self.wake.notify_one();
        waits
    }

    pub(crate) fn close(&self) {
        self.closing.set(true);
        self.wake.notify_one();
    }

    /// The writer task.
    pub(crate) async fn run(home: Rc<crate::home::Home>) {
        let this = &home.manifest;
        loop {
            if this.pending.borrow().is_empty() {
                if this.closing.get() {
                    return;
                }
                this.wake.notified().await;
                continue;
            }
            this.write_pending().await;
        }
    }

    /// Writes all that is pending as one group.
    async fn write_pending(&self) {
        let group = std::mem::take(&mut *self.pending.borrow_mut());
        if self.segments_changed.replace(false) {
            disk::sync_dir(&self.segments_dir).await;
        }
        let mut payload = Vec::new();
        let mut waiters = Vec::with_capacity(group.len());
        for pending in group {
            for edit in pending.edits {
                payload.push(edit.encode());
                self.state.borrow_mut().apply(edit);
                if runtime::should_yield() {
                    runtime::yield_now().await;
                }
            }
            waiters.push(pending.done);
        }
        self.append(&payload).await;
        for done in waiters {
            done.send(());
        }
        let due = self.copies.borrow().as_ref().and_then(|copies| {
            let grown = copies.position - copies.base_bytes;
            // Without room to grow, a compact generation is the way to some, while the ballast still is there for it.
            let is_short = copies.position + RESERVE_BYTES > copies.allocated;
            let is_due = grown > REWRITE_BYTES.max(copies.base_bytes)
                || is_short && grown > copies.base_bytes;
            is_due.then_some(copies.generation + 1)
        });
        if let Some(generation) = due {
            // A full disk leaves the old generation in use; the next edit tries again.
            let _ = self.begin_generation(generation).await;
        }
    }

    /// One edit for each log, and the journal's. Only the writer task changes the state, so it is whole.
    async fn encode_state(&self) -> Vec<Vec<u8>> {
        let log_ids: Vec<_> = self.state.borrow().logs.keys().copied().collect();
        let mut edits = Vec::with_capacity(log_ids.len() + 1);
        for log_id in log_ids {
            let record = self.state.borrow().logs.get(&log_id).cloned();
            edits.extend(record.map(|record| Edit::Put(record).encode()));
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        let journal = self.state.borrow().journal_edit();
        edits.extend(journal.map(|edit| edit.encode()));
        edits
    }

    /// Appends encoded edits as chunks to both copies.
    async fn append(&self, edits: &[Vec<u8>]) {
        let mut copies = self
            .copies
            .borrow_mut()
            .take()
            .expect("only the writer task takes the files, and gives them back");
        let mut at = 0;
        while at < edits.len() {
            let mut bytes = 0;
            let first = at;
            while at < edits.len() && (bytes == 0 || bytes + edits[at].len() <= CHUNK_PAYLOAD_BYTES)
            {
                bytes += edits[at].len();
                at += 1;
            }
            self.append_chunk(&mut copies, &edits[first..at], bytes)
                .await;
        }
        *self.copies.borrow_mut() = Some(copies);
    }

    async fn append_chunk(&self, copies: &mut Copies, edits: &[Vec<u8>], bytes: usize) {
        let mut buf = AppendBuf::with_capacity(chunk::chunk_bytes_bound(bytes));
        for edit in edits {
            buf.append(&[edit]);
        }
        let id = chunk_id(
            &self.geometry,
            copies.generation,
            copies.sequence,
            copies.position,
            copies.previous_crc,
        );
        let sealed = chunk::seal(&mut buf, 0, &id, SectorTable::default());
        let end = copies.position + sealed.chunk_bytes as u64;
        if end + RESERVE_BYTES > copies.allocated {
            let to = (end + RESERVE_BYTES).next_multiple_of(ALLOCATE_BYTES);
            let from = copies.allocated;
            // Not fatal: the write itself finds out whether there is room.
            if allocate(&copies.files, from, to - from).await.is_ok() {
                copies.allocated = to;
            }
        }
        let view = buf.view(0..sealed.chunk_bytes);
        let pos = FilePos(copies.position);
        let (second, bytes) = (copies.files[1].clone(), IoBuf::from(view.clone()));
        let (planted, dir) = (self.planted_retry, self.dir.clone());
        let waiting = Rc::clone(&self.waiting_for_space);
        let other = runtime::spawn(Class::Admin, "manifest", async move {
            write(&waiting, &dir, &second, pos, bytes, planted).await;
        });
        let first = &copies.files[0];
        let waiting = &self.waiting_for_space;
        write(waiting, &self.dir, first, pos, view.into(), planted).await;
        let _ = other.await;
        copies.position = end;
        copies.sequence += 1;
        copies.previous_crc = sealed.crc;
    }

    /// The files of a new generation under temporary names, with their headers and space for `bytes` each.
    async fn make_copies(&self, generation: u64, bytes: u64) -> Result<[File; 2], OpenError> {
        let mut files = Vec::new();
        for copy in 0..2 {
            let temporary = path(&self.dir, generation, copy).with_extension("tmp");
            let failed = |e: io::Error| disk::open_error(&temporary, &e);
            let open = Open {
                read: true,
                write: true,
                create: true,
                truncate: true,
                direct: true,
                ..Open::default()
            };
            let file = File::open(&temporary, open).await.map_err(failed)?;
            file.allocate(FilePos(0), bytes).await.map_err(failed)?;
            let mut header = AppendBuf::with_capacity(BLOCK_BYTES);
            header.append(&[&encode_header(&self.geometry, generation)]);
            header.pad_to(BLOCK_BYTES);
            let header = header.view(0..BLOCK_BYTES).into();
            file.write_at(FilePos(0), header, Durability::Data)
                .await
                .map_err(failed)?;
            files.push(file);
        }
        Ok(files.try_into().ok().expect("two copies"))
    }

    /// Writes the state compactly as a new generation and removes older ones. Nothing has changed when it fails.
    async fn begin_generation(&self, generation: u64) -> Result<(), OpenError> {
        let edits = self.encode_state().await;
        let payload_bytes: usize = edits.iter().map(Vec::len).sum();
        // Each chunk holds a mebibyte or one edit, and rounds up: twice the payload is ample.
        let bytes =
            (2 * chunk::chunk_bytes_bound(payload_bytes) as u64).next_multiple_of(ALLOCATE_BYTES);
        let mut files = self.make_copies(generation, bytes).await;
        if files.is_err() && retry::give_up_ballast(&self.dir).await {
            files = self.make_copies(generation, bytes).await;
        }
        if files.is_err() {
            for copy in 0..2 {
                let temporary = path(&self.dir, generation, copy).with_extension("tmp");
                let _ = fs::remove_file(&temporary).await;
            }
        }
        let mut copies = Copies {
            files: files?,
            generation,
            position: BLOCK_BYTES as u64,
            sequence: 1,
            previous_crc: 0,
            allocated: bytes,
            base_bytes: 0,
        };
        let old = self.copies.borrow_mut().replace(copies);
        self.append(&edits).await;
        drop(old);
        copies = self.copies.borrow_mut().take().expect("just appended to");
        copies.base_bytes = copies.position;
        for copy in 0..2 {
            disk::sync_all(&copies.files[copy]).await;
            let to = path(&self.dir, generation, copy);
            disk::rename(&to.with_extension("tmp"), &to).await;
        }
        *self.copies.borrow_mut() = Some(copies);
        disk::sync_dir(&self.dir).await;
        for old in generations(&self.dir).await? {
            for copy in 0..2 {
                if old < generation {
                    let _ = fs::remove_file(&path(&self.dir, old, copy)).await;
                }
            }
        }
        // What the old generation took is room for the next one: also a start on a full disk writes one.
        disk::sync_dir(&self.dir).await;
        retry::make_ballast(&self.dir, 2 * bytes).await;
        Ok(())
    }
}

async fn allocate(files: &[File; 2], from: u64, bytes: u64) -> io::Result<()> {
    for file in files {
        file.allocate(FilePos(from), bytes).await?;
    }
    Ok(())
}

async fn write(
    waiting: &Cell<u32>,
    home: &Path,
    file: &File,
    pos: FilePos,
    bytes: IoBuf,
    planted: bool,
) {
    let patience = Patience {
        waiting,
        gives_up: &|| false,
        ballast_of: Some(home),
    };
    retry::write(&patience, file, pos, bytes, "manifest", planted).await;
}

fn chunk_id(
    geometry: &Geometry,
    generation: u64,
    sequence: u64,
    position: u64,
    previous_crc: u32,
) -> ChunkId {
    ChunkId {
        role: Role::Manifest,
        store_id: geometry.store_id,
        file: generation,
        owner: 0,
        owner_epoch: 0,
        sequence,
        position,
        previous_crc,
    }
}

/// Header, 64 bytes: magic, version, store id, generation, journal geometry, checksum of the first 60 bytes.
fn encode_header(geometry: &Geometry, generation: u64) -> [u8; 64] {
    let mut out = [0; 64];
    out[0..4].copy_from_slice(MAGIC);
    out[4..8].copy_from_slice(&VERSION.to_le_bytes());
    out[8..16].copy_from_slice(&geometry.store_id.to_le_bytes());
    out[16..24].copy_from_slice(&generation.to_le_bytes());
    out[24..32].copy_from_slice(&geometry.journal_file_bytes.to_le_bytes());
    out[32..36].copy_from_slice(&geometry.journal_chunk_bytes.to_le_bytes());
    let crc = iobuf::crc32c(&out[..60]);
    out[60..64].copy_from_slice(&crc.to_le_bytes());
    out
}

/// `Err(version)` for another format.
fn decode_header(bytes: &[u8], generation: u64) -> Result<Option<Geometry>, u32> {
    use crate::codec::{u32_at, u64_at};
    if bytes.len() < 64 || iobuf::crc32c(&bytes[..60]) != u32_at(bytes, 60) || &bytes[..4] != MAGIC
    {
        return Ok(None);
    }
    let version = u32_at(bytes, 4);
    if version != VERSION {
        return Err(version);
    }
    Ok((u64_at(bytes, 16) == generation).then(|| Geometry {
        store_id: u64_at(bytes, 8),
        journal_file_bytes: u64_at(bytes, 24),
        journal_chunk_bytes: u32_at(bytes, 32),
    }))
}

/// Generations that have at least one copy under its final name, ascending.
async fn generations(dir: &Path) -> Result<Vec<u64>, OpenError> {
    let entries = fs::read_dir(dir)
        .await
        .map_err(|e| disk::open_error(dir, &e))?;
    let mut found: Vec<u64> = entries
        .iter()
        .filter_map(|entry| {
            let (number, copy) = entry.name.strip_prefix("manifest-")?.split_once('-')?;
            matches!(copy, "a" | "b").then(|| number.parse().ok())?
        })
        .collect();
    found.dedup();
    Ok(found)
}

/// Reads both copies of a generation and merges them.
async fn load(dir: &Path, generation: u64) -> Result<(Geometry, State), OpenError> {
    let mut copies = Vec::new();
    for copy in 0..2 {
        let path = path(dir, generation, copy);
        let exists = fs::exists(&path)
            .await
            .map_err(|e| disk::open_error(&path, &e))?;
        copies.push(if exists {
            retry::read(|| fs::read(&path))
                .await
                .map_err(|e| disk::open_error(&path, &e))?
        } else {
            Vec::new()
        });
    }
    merge(&copies[0], &copies[1], generation).map_err(|error| match error {
        MergeError::Version(found) => OpenError::Version {
            found,
            known: VERSION,
        },
        MergeError::Damaged { at, found } => OpenError::Corrupt(Corrupt {
            file: path(dir, generation, 0).display().to_string(),
            at,
            expected: "a whole chunk in this copy or the other".into(),
            found: found.into(),
        }),
    })
}

/// Why two copies give no state.
#[derive(Debug, PartialEq, Eq)]
pub enum MergeError {
    Version(u32),
    Damaged { at: u64, found: &'static str },
}

/// Pure decoding of a manifest's two copies, for fuzzing: true when they give a state.
#[must_use]
pub fn readable(a: &[u8], b: &[u8], generation: u64) -> bool {
    merge(a, b, generation).is_ok()
}

fn merge(a: &[u8], b: &[u8], generation: u64) -> Result<(Geometry, State), MergeError> {
    let decode = |bytes| decode_header(bytes, generation);
    let geometry = match (decode(a), decode(b)) {
        (Ok(Some(geometry)), _) | (_, Ok(Some(geometry))) => geometry,
        (Err(found), _) | (_, Err(found)) => return Err(MergeError::Version(found)),
        (Ok(None), Ok(None)) => {
            return Err(MergeError::Damaged {
                at: 0,
                found: "two damaged headers",
            });
        }
    };
    let mut state = State::default();
    let (mut at, mut sequence, mut previous_crc) = (BLOCK_BYTES, 1, 0);
    loop {
        let id = chunk_id(&geometry, generation, sequence, at as u64, previous_crc);
        let mut next = None;
        let mut present = false;
        for copy in [a, b] {
            let window = copy.get(at..).unwrap_or(&[]);
            let window = &window[..window.len().min(CHUNK_BYTES_MAX)];
            if let Found::Whole {
                chunk_bytes,
                payload_bytes,
                crc,
                ..
            } = chunk::inspect(window, &id)
            {
                present = true;
                if let Ok(edits) = decode_edits(&window[..payload_bytes]) {
                    next = Some((chunk_bytes, crc, edits));
                    break;
                }
            } else {
                present |= chunk::later_chunk(window, at as u64, &id).is_some();
            }
        }
        let Some((chunk_bytes, crc, edits)) = next else {
            if present {
                return Err(MergeError::Damaged {
                    at: at as u64,
                    found: "a chunk that is damaged in both",
                });
            }
            let within = BLOCK_BYTES as u64..=geometry.journal_file_bytes;
            if (state.journal.as_ref()).is_some_and(|point| !within.contains(&point.position)) {
                return Err(MergeError::Damaged {
                    at: 0,
                    found: "a journal that begins outside its files",
                });
            }
            return Ok((geometry, state));
        };
        for edit in edits {
            state.apply(edit);
        }
        at += chunk_bytes;
        sequence += 1;
        previous_crc = crc;
    }
}
