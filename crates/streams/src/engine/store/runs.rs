//! State in runs on the node's storage: what changed, one file behind the other.
//!
//! # Layout
//! `<data-dir>/streams/<relation>/<number>.run` holds the entries that changed since the run before:
//! ```text
//! magic "FBRUN\0\0\1"   block*   end = a block of length 0
//! block = length u32, CRC32C of the payload u32, payload = entry*
//! entry = node u32, table u8, key length u32, value length u32 (u32::MAX: removed), key, value     little-endian
//! ```
//! A version is a list of runs: the first has everything, the newest that names an entry has the word on it. Of rows all
//! runs together have it: their weights are added up.
//!
//! # Crash
//! A run is synced before it is named. What no checkpoint names is removed at the next start.
//!
//! # Limits
//! A block is at most `BLOCK_BYTES_MAX`; longer lengths are refused before anything is allocated. Everything is written
//! anew behind `RUNS_MAX` runs.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use base::FilePos;
use iobuf::{Buf, BufMut, IoBuf, crc32c};
use runtime::fs::{self, Durability, File, Open};

use super::{
    BLOCK_BYTES, BLOCK_BYTES_MAX, Changes, Doing, EntryName, MAGIC, ROWS, Run, Scan, StateStore,
    TakeEntry, Version, each_entry,
};
use crate::{
    engine::checkpoint::{CheckpointError, Reader},
    graph::StateKey,
    state::Keys,
};

/// Runs are read so much at a time.
const STRETCH_BYTES: usize = 4 << 20;

/// Runs of one relation before all of its state is written anew.
const RUNS_MAX: usize = 8;

/// See the module head.
#[derive(Clone, Debug)]
pub struct RunStore {
    dir: PathBuf,
    /// A bug for tests of the tests: what a run says of an entry first, that it is gone, stands against what it says later.
    believes_removals: bool,
}

impl RunStore {
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self {
            dir: data_dir.join("streams"),
            believes_removals: false,
        }
    }

    pub(in crate::engine) fn with_planted(mut self, believes_removals: bool) -> Self {
        self.believes_removals = believes_removals;
        self
    }

    fn relation_dir(&self, relation: u64) -> PathBuf {
        self.dir.join(relation.to_string())
    }

    fn path(&self, relation: u64, number: u64) -> PathBuf {
        self.relation_dir(relation).join(format!("{number}.run"))
    }

    async fn write_run(&self, relation: u64, number: u64, changes: Changes) -> io::Result<Run> {
        let dir = self.relation_dir(relation);
        fs::create_dir_all_durable(&dir).await?;
        let open = Open {
            write: true,
            create: true,
            truncate: true,
            ..Open::default()
        };
        let file = File::open(&self.path(relation, number), open).await?;
        let bytes = changes.finish();
        let mut at = 0;
        for part in bytes.chunks(BLOCK_BYTES) {
            let data = IoBuf::from(Buf::copy_from_slice(part));
            file.write_at(FilePos(at), data, Durability::None).await?;
            at += part.len() as u64;
        }
        file.sync_all().await?;
        fs::sync_dir(&dir).await?;
        Ok(Run {
            number,
            bytes: bytes.len() as u64,
        })
    }

    /// Hands every entry of a run to `each`, as it was put.
    async fn read_run(
        &self,
        relation: u64,
        run: Run,
        each: &mut dyn FnMut(StateKey<'_>, Option<&[u8]>) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let path = self.path(relation, run.number);
        let name = path.display().to_string();
        let open = Open {
            read: true,
            ..Open::default()
        };
        let file = File::open(&path, open).await;
        let mut bytes = Stretches {
            file: file.map_err(|error| CheckpointError::io(&name, &error))?,
            name: &name,
            buf: BufMut::with_capacity(STRETCH_BYTES),
            at: 0,
            from: 0,
        };
        if bytes.take(MAGIC.len()).await? != MAGIC {
            return Err(bytes.damaged("the magic number of a run"));
        }
        loop {
            let mut head = Reader::new(bytes.take(8).await?, &name);
            let (length, checksum) = (head.u32()? as usize, head.u32()?);
            if length == 0 {
                return match bytes.is_at_end().await? {
                    true => Ok(()),
                    false => Err(bytes.damaged("the end")),
                };
            }
            if length > BLOCK_BYTES_MAX {
                return Err(bytes.damaged("a block's length"));
            }
            let payload = bytes.take(length).await?;
            if crc32c(payload) != checksum {
                return Err(bytes.damaged("a block with its checksum"));
            }
            each_entry(payload, &name, each)?;
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }

    async fn read_all(
        &self,
        version: Version<'_>,
        take: &mut TakeEntry<'_>,
    ) -> Result<(), CheckpointError> {
        // The newest run has the word on each entry; the oldest has all there were.
        let mut known = Keys::default();
        let mut name = Vec::new();
        for (age, run) in version.runs.iter().rev().enumerate() {
            let is_oldest = age + 1 == version.runs.len();
            // A run names what is gone first: what went and came again stands in it twice, and the second time counts.
            let mut gone = Keys::default();
            let mut each = |key: StateKey<'_>, value: Option<&[u8]>| {
                if key.node == ROWS {
                    return take(key, value.unwrap_or_default());
                }
                name.clear();
                name.extend((key.node.0 as u32).to_le_bytes());
                name.push(key.table);
                name.extend_from_slice(key.key);
                match value {
                    _ if known.find(&name).is_some() => Ok(()),
                    None if self.believes_removals => {
                        known.insert(&name);
                        Ok(())
                    }
                    None => {
                        gone.insert(&name);
                        Ok(())
                    }
                    Some(value) => {
                        if !is_oldest {
                            known.insert(&name);
                        }
                        take(key, value)
                    }
                }
            };
            self.read_run(version.relation, *run, &mut each).await?;
            for slot in gone.live(0..gone.slots()) {
                known.insert(gone.key(slot));
            }
        }
        Ok(())
    }

    /// Those entries that are wanted, and weights of rows added up. Reads all there is.
    async fn pick(
        &self,
        version: Version<'_>,
        mut is_wanted: impl FnMut(&StateKey<'_>) -> bool,
        entries_max: usize,
    ) -> Result<BTreeMap<EntryName, Vec<u8>>, CheckpointError> {
        let mut found = BTreeMap::new();
        let mut take = |key: StateKey<'_>, value: &[u8]| {
            if !is_wanted(&key) {
                return Ok(());
            }
            let name = EntryName {
                node: key.node.0 as u32,
                table: key.table,
                key: key.key.to_vec(),
            };
            if key.node == ROWS {
                let sum = found.entry(name).or_insert_with(|| vec![0; 8]);
                *sum = added(sum, value)?.to_vec();
                return Ok(());
            }
            found.insert(name, value.to_vec());
            if found.len() > entries_max {
                found.pop_last();
            }
            Ok(())
        };
        self.read_all(version, &mut take).await?;
        found.retain(|name, weight| name.node != ROWS.0 as u32 || **weight != [0; 8]);
        while found.len() > entries_max {
            found.pop_last();
        }
        Ok(found)
    }

    async fn sweep_all(&self, named: &[Version<'_>]) -> io::Result<()> {
        if !fs::exists(&self.dir).await? {
            return Ok(());
        }
        for dir in fs::read_dir(&self.dir).await? {
            let Ok(id) = dir.name.parse::<u64>() else {
                continue;
            };
            let path = self.dir.join(&dir.name);
            let Some(version) = named.iter().find(|version| version.relation == id) else {
                fs::remove_dir_all(&path).await?;
                continue;
            };
            for file in fs::read_dir(&path).await? {
                let number = file.name.strip_suffix(".run");
                let number: Option<u64> = number.and_then(|number| number.parse().ok());
                let is_named = number
                    .is_some_and(|number| version.runs.iter().any(|run| run.number == number));
                if !is_named {
                    fs::remove_file(&path.join(&file.name)).await?;
                }
            }
        }
        Ok(())
    }
}

/// The sum of two weights.
pub fn added(weight: &[u8], more: &[u8]) -> Result<[u8; 8], CheckpointError> {
    let weight_of = |bytes: &[u8]| Some(i64::from_le_bytes(bytes.try_into().ok()?));
    let sum = weight_of(weight)
        .zip(weight_of(more))
        .and_then(|(weight, more)| weight.checked_add(more));
    sum.map(i64::to_le_bytes).ok_or(CheckpointError::Damaged {
        path: "a row's weight".to_owned(),
        at: 0,
        expected: "eight bytes that can be added",
    })
}

impl StateStore for RunStore {
    fn name(&self) -> &'static str {
        ""
    }

    fn wants_all(&self, version: Version<'_>) -> bool {
        version.runs.is_empty() || version.runs.len() >= RUNS_MAX
    }

    fn write<'a>(
        &'a self,
        base: Version<'a>,
        number: u64,
        changes: Changes,
    ) -> Doing<'a, Vec<Run>> {
        Box::pin(async move {
            let mut runs = match changes.is_all() {
                true => Vec::new(),
                false => base.runs.to_vec(),
            };
            let written = self.write_run(base.relation, number, changes).await;
            let written = written.map_err(|error| {
                let path = self.path(base.relation, number).display().to_string();
                CheckpointError::io(&path, &error)
            });
            runs.push(written?);
            Ok(runs)
        })
    }

    /// Each run is synced as it is written.
    fn sync(&self) -> Doing<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    fn read<'a>(&'a self, version: Version<'a>, take: &'a mut TakeEntry<'a>) -> Doing<'a, ()> {
        Box::pin(self.read_all(version, take))
    }

    fn get<'a>(
        &'a self,
        version: Version<'a>,
        names: Vec<EntryName>,
    ) -> Doing<'a, Vec<Option<Vec<u8>>>> {
        Box::pin(async move {
            let mut sorted: Vec<&EntryName> = names.iter().collect();
            sorted.sort();
            let is_wanted = |key: &StateKey<'_>| {
                let wanted = (key.node.0 as u32, key.table, key.key);
                let found = sorted.binary_search_by(|name| {
                    (name.node, name.table, name.key.as_slice()).cmp(&wanted)
                });
                found.is_ok()
            };
            let found = self.pick(version, is_wanted, usize::MAX).await?;
            Ok(names.iter().map(|name| found.get(name).cloned()).collect())
        })
    }

    fn scan<'a>(&'a self, version: Version<'a>, scan: Scan) -> Doing<'a, Vec<(Vec<u8>, Vec<u8>)>> {
        Box::pin(async move {
            let is_wanted = |key: &StateKey<'_>| {
                (key.node.0 as u32, key.table) == (scan.node, scan.table)
                    && key.key.starts_with(&scan.prefix)
                    && scan.after.as_ref().is_none_or(|after| key.key > &**after)
            };
            let found = self.pick(version, is_wanted, scan.entries_max).await?;
            let entries = found.into_iter();
            Ok(entries.map(|(name, value)| (name.key, value)).collect())
        })
    }

    fn sweep<'a>(&'a self, named: Vec<Version<'a>>) -> Doing<'a, ()> {
        Box::pin(async move {
            let swept = self.sweep_all(&named).await;
            swept.map_err(|error| CheckpointError::io(&self.dir.display().to_string(), &error))
        })
    }
}

/// A file from its front, a stretch of it in memory at a time.
struct Stretches<'a> {
    file: File,
    name: &'a str,
    buf: BufMut,
    /// What of the stretch is taken.
    at: usize,
    /// Where in the file the stretch begins.
    from: u64,
}

impl Stretches<'_> {
    fn damaged(&self, expected: &'static str) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.name.to_owned(),
            at: self.from as usize + self.at,
            expected,
        }
    }

    /// The next bytes; what was taken before is let go.
    async fn take(&mut self, count: usize) -> Result<&[u8], CheckpointError> {
        if self.buf.len() - self.at < count {
            self.read(count).await?;
        }
        if self.buf.len() - self.at < count {
            return Err(self.damaged("more bytes"));
        }
        self.at += count;
        Ok(&self.buf[self.at - count..self.at])
    }

    async fn is_at_end(&mut self) -> Result<bool, CheckpointError> {
        if self.at == self.buf.len() {
            self.read(1).await?;
        }
        Ok(self.at == self.buf.len())
    }

    /// Reads on from what was taken, so much and more where the file has it.
    async fn read(&mut self, count: usize) -> Result<(), CheckpointError> {
        self.from += self.at as u64;
        self.at = 0;
        let length = self.file.len().await;
        let length = length.map_err(|error| CheckpointError::io(self.name, &error))?;
        let left = usize::try_from(length.saturating_sub(self.from)).unwrap_or(usize::MAX);
        let bytes = count.max(STRETCH_BYTES).min(left);
        let mut buf = std::mem::replace(&mut self.buf, BufMut::with_capacity(0));
        if buf.capacity() < bytes {
            buf = BufMut::with_capacity(bytes);
        }
        let (read, buf) = self.file.read_at(FilePos(self.from), buf, bytes).await;
        self.buf = buf;
        read.map(drop)
            .map_err(|error| CheckpointError::io(self.name, &error))
    }
}
