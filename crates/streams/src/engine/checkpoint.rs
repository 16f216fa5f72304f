//! Checkpoints: the state of all pipelines as of one epoch, on disk.
//!
//! # Layout
//! `<data-dir>/streams/checkpoint` names everything else and is replaced whole; see docs/formats/checkpoint.md.
//! `<data-dir>/streams/<relation>/<number>.run`: see `runs`.
//!
//! # Crash
//! Runs, and what goes to other stores, are written and synced before the file that names them is replaced, so a checkpoint is
//! there as a whole or not at all. Runs that nothing names are removed at the next start.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use base::{Offset, PartitionIndex, PartitionKey, TopicId};
use iobuf::crc32c;
use runtime::fs;

use super::{
    runs::{Held, Piece, Run, RunFile},
    store::Version,
};

const VERSION: u8 = 3;

/// What a restart begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    pub epoch: u64,
    /// The epoch's clock, in microseconds.
    pub now: i64,
    /// Where the records of later epochs begin in the outbox.
    pub outbox: Offset,
    pub pipelines: Vec<PipelineState>,
}

/// One pipeline of a checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PipelineState {
    pub id: u64,
    /// Of its plan: another plan cannot use the state.
    pub fingerprint: u64,
    pub watermark: Option<i64>,
    /// Of each input with a time, by its node.
    pub watermarks: Vec<(u32, i64)>,
    /// Node, partition, next offset, greatest event time.
    pub positions: Vec<(u32, PartitionKey, Offset, Option<i64>)>,
    /// Of the store that has the state. Runs have no name.
    pub store: String,
    pub runs: Vec<Run>,
    /// Of a sink: its producer, and the next sequence of each partition.
    pub producer: Option<i64>,
    pub sequences: Vec<i32>,
    /// It does not go on, and why was told.
    pub has_stopped: bool,
    /// It has stopped, and what it had put out for another cluster before is written all the same.
    pub delivers: bool,
}

impl PipelineState {
    pub fn version(&self) -> Version<'_> {
        Version {
            relation: self.id,
            runs: &self.runs,
        }
    }
}

/// Why what is on disk is no checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    #[error("{path}: {error}")]
    Io { path: String, error: String },
    #[error("{path}, at byte {at}: {expected} expected")]
    Damaged {
        path: String,
        at: usize,
        expected: &'static str,
    },
    #[error("{path} was written by another version ({found})")]
    Version { path: String, found: u8 },
    #[error("the state of {relation} cannot be restored: {found}")]
    State { relation: String, found: String },
    /// As `State`, where the relation is not known.
    #[error("state cannot be restored: {found}")]
    Row { found: String },
    #[error("{path}: the disk is full")]
    Full { path: String },
    #[error(
        "{path} holds the state of relation {relation} as of {found}; as of {wanted} is expected"
    )]
    Other {
        path: String,
        relation: u64,
        found: Numbered,
        wanted: Numbered,
    },
}

/// A version by its number; none of nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered(pub Option<u64>);

impl fmt::Display for Numbered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(number) => write!(f, "version {number}"),
            None => f.write_str("no version"),
        }
    }
}

impl CheckpointError {
    #[must_use]
    pub fn io(path: &str, error: &io::Error) -> Self {
        let path = path.to_owned();
        if error.kind() == io::ErrorKind::StorageFull {
            return Self::Full { path };
        }
        Self::Io {
            path,
            error: error.to_string(),
        }
    }
}

/// The directory of all checkpoints of a node.
#[derive(Clone, Debug)]
pub struct CheckpointDir(PathBuf);

impl CheckpointDir {
    #[must_use]
    pub fn new(data_dir: &Path) -> Self {
        Self(data_dir.join("streams"))
    }

    fn path(&self) -> PathBuf {
        self.0.join("checkpoint")
    }

    pub(super) fn run_path(&self, id: u64, number: u64) -> PathBuf {
        self.0.join(id.to_string()).join(format!("{number}.run"))
    }

    /// Begins a run. When it is finished, `sync` makes it last.
    pub(super) async fn create_run(&self, id: u64, number: u64) -> io::Result<RunFile> {
        fs::create_dir_all_durable(&self.0.join(id.to_string())).await?;
        RunFile::create(&self.run_path(id, number), number).await
    }

    pub(super) async fn sync(&self, id: u64) -> io::Result<()> {
        fs::sync_dir(&self.0.join(id.to_string())).await
    }

    /// Makes a checkpoint the one to restart from.
    pub async fn save(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let path = self.path();
        let error = |error| CheckpointError::io(&path.display().to_string(), &error);
        fs::create_dir_all_durable(&self.0).await.map_err(error)?;
        let replaced = fs::replace(&path, &checkpoint.encode()).await;
        replaced.map_err(error)
    }

    /// `None` where none was ever taken.
    pub async fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let path = self.path();
        let name = path.display().to_string();
        let error = |error: io::Error| CheckpointError::Io {
            path: name.clone(),
            error: error.to_string(),
        };
        if !fs::exists(&path).await.map_err(error)? {
            return Ok(None);
        }
        let bytes = fs::read(&path).await.map_err(error)?;
        Checkpoint::decode(&bytes, &name).map(Some)
    }

    /// Removes runs that are not named, but the one that is being made, of a relation.
    pub async fn sweep(&self, named: &[Version<'_>], made: Option<(u64, u64)>) -> io::Result<()> {
        if !fs::exists(&self.0).await? {
            return Ok(());
        }
        for dir in fs::read_dir(&self.0).await? {
            let Ok(id) = dir.name.parse::<u64>() else {
                continue;
            };
            let path = self.0.join(&dir.name);
            let Some(version) = named.iter().find(|version| version.relation == id) else {
                fs::remove_dir_all(&path).await?;
                continue;
            };
            for file in fs::read_dir(&path).await? {
                let number = file.name.strip_suffix(".run");
                let number: Option<u64> = number.and_then(|number| number.parse().ok());
                let is_named = number
                    .is_some_and(|number| version.runs.iter().any(|run| run.number == number));
                let is_made = number.is_some() && made == number.map(|number| (id, number));
                if !is_named && !is_made {
                    fs::remove_file(&path.join(&file.name)).await?;
                }
            }
        }
        Ok(())
    }
}

impl Checkpoint {
    /// `version u8 | CRC32C of the rest u32 | the fields in their order`, counts and integers little-endian.
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION, 0, 0, 0, 0];
        out.extend(self.epoch.to_le_bytes());
        out.extend(self.now.to_le_bytes());
        out.extend(self.outbox.0.to_le_bytes());
        out.extend((self.pipelines.len() as u32).to_le_bytes());
        for pipeline in &self.pipelines {
            out.extend(pipeline.id.to_le_bytes());
            out.extend(pipeline.fingerprint.to_le_bytes());
            out.extend(pipeline.watermark.unwrap_or(i64::MIN).to_le_bytes());
            out.extend((pipeline.watermarks.len() as u32).to_le_bytes());
            for (node, watermark) in &pipeline.watermarks {
                out.extend(node.to_le_bytes());
                out.extend(watermark.to_le_bytes());
            }
            out.extend((pipeline.positions.len() as u32).to_le_bytes());
            for (node, key, next_offset, time_max) in &pipeline.positions {
                out.extend(node.to_le_bytes());
                out.extend(key.topic.0);
                out.extend(key.partition.0.to_le_bytes());
                out.extend(next_offset.0.to_le_bytes());
                out.extend(time_max.unwrap_or(i64::MIN).to_le_bytes());
            }
            out.push(u8::try_from(pipeline.store.len()).expect("names of stores are short"));
            out.extend(pipeline.store.as_bytes());
            out.extend((pipeline.runs.len() as u32).to_le_bytes());
            for run in &pipeline.runs {
                out.extend(run.number.to_le_bytes());
                out.extend(run.bytes.to_le_bytes());
                out.extend((run.pieces.len() as u32).to_le_bytes());
                for piece in &run.pieces {
                    out.push(u8::from(piece.has_rows));
                    out.extend(piece.end.to_le_bytes());
                }
                out.extend((run.tables.len() as u32).to_le_bytes());
                for held in &run.tables {
                    out.extend(held.node.to_le_bytes());
                    out.push(held.table);
                    out.extend(held.entries.to_le_bytes());
                }
            }
            out.extend(pipeline.producer.unwrap_or(i64::MIN).to_le_bytes());
            out.extend((pipeline.sequences.len() as u32).to_le_bytes());
            for sequence in &pipeline.sequences {
                out.extend(sequence.to_le_bytes());
            }
            out.push(u8::from(pipeline.has_stopped) | (u8::from(pipeline.delivers) << 1));
        }
        let checksum = crc32c(&out[5..]);
        out[1..5].copy_from_slice(&checksum.to_le_bytes());
        out
    }

    fn decode(bytes: &[u8], path: &str) -> Result<Self, CheckpointError> {
        let mut from = Reader::new(bytes, path);
        let version = from.u8()?;
        if version != VERSION {
            return Err(CheckpointError::Version {
                path: path.to_owned(),
                found: version,
            });
        }
        let checksum = from.u32()?;
        if crc32c(&bytes[5..]) != checksum {
            return Err(from.damaged("the checksum of a checkpoint"));
        }
        let (epoch, now, outbox) = (from.u64()?, from.i64()?, Offset(from.i64()?));
        let mut pipelines = Vec::new();
        for _ in 0..from.u32()? {
            pipelines.push(decode_pipeline(&mut from)?);
        }
        from.end()?;
        Ok(Self {
            epoch,
            now,
            outbox,
            pipelines,
        })
    }
}

fn decode_pipeline(from: &mut Reader<'_>) -> Result<PipelineState, CheckpointError> {
    let (id, fingerprint) = (from.u64()?, from.u64()?);
    let watermark = from.time()?;
    let mut watermarks = Vec::new();
    for _ in 0..from.u32()? {
        watermarks.push((from.u32()?, from.i64()?));
    }
    let mut positions = Vec::new();
    for _ in 0..from.u32()? {
        let node = from.u32()?;
        let topic = TopicId(from.take(16)?.try_into().expect("sixteen bytes"));
        let partition = PartitionIndex(from.u32()?.cast_signed());
        let key = PartitionKey { topic, partition };
        positions.push((node, key, Offset(from.i64()?), from.time()?));
    }
    let length = usize::from(from.u8()?);
    let store = std::str::from_utf8(from.take(length)?);
    let store = store.map_err(|_| from.damaged("a store's name"))?;
    let mut runs = Vec::new();
    for _ in 0..from.u32()? {
        let (number, bytes) = (from.u64()?, from.u64()?);
        let mut pieces = Vec::new();
        for _ in 0..from.u32()? {
            pieces.push(Piece {
                has_rows: from.u8()? != 0,
                end: from.u64()?,
            });
        }
        let mut tables = Vec::new();
        for _ in 0..from.u32()? {
            tables.push(Held {
                node: from.u32()?,
                table: from.u8()?,
                entries: from.u64()?,
            });
        }
        runs.push(Run {
            number,
            bytes,
            pieces,
            tables,
        });
    }
    let producer = from.time()?;
    let mut sequences = Vec::new();
    for _ in 0..from.u32()? {
        sequences.push(from.u32()?.cast_signed());
    }
    let flags = from.u8()?;
    Ok(PipelineState {
        id,
        fingerprint,
        watermark,
        watermarks,
        positions,
        store: store.to_owned(),
        runs,
        producer,
        sequences,
        has_stopped: flags & 1 != 0,
        delivers: flags & 2 != 0,
    })
}

/// Bytes from the front.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    path: &'a str,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], path: &'a str) -> Self {
        Self { bytes, at: 0, path }
    }

    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn damaged(&self, expected: &'static str) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.path.to_owned(),
            at: self.at,
            expected,
        }
    }

    pub(super) fn end(&self) -> Result<(), CheckpointError> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(self.damaged("the end")),
        }
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], CheckpointError> {
        let taken = self.bytes[self.at..].get(..count);
        let taken = taken.ok_or_else(|| self.damaged("more bytes"))?;
        self.at += count;
        Ok(taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, CheckpointError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u32(&mut self) -> Result<u32, CheckpointError> {
        let bytes = self.take(4)?.try_into().expect("four bytes");
        Ok(u32::from_le_bytes(bytes))
    }

    pub(super) fn u64(&mut self) -> Result<u64, CheckpointError> {
        let bytes = self.take(8)?.try_into().expect("eight bytes");
        Ok(u64::from_le_bytes(bytes))
    }

    pub(super) fn i64(&mut self) -> Result<i64, CheckpointError> {
        self.u64().map(u64::cast_signed)
    }

    /// A time or an id that may be absent.
    fn time(&mut self) -> Result<Option<i64>, CheckpointError> {
        Ok(Some(self.i64()?).filter(|time| *time != i64::MIN))
    }
}
