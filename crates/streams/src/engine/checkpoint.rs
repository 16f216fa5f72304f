//! Checkpoints: the state of all pipelines as of one epoch, on disk.
//!
//! # Layout
//! `<data-dir>/streams/checkpoint` names everything else and is replaced whole; see docs/formats/checkpoint.md.
//! `<data-dir>/streams/<relation>/<number>.run` holds the entries that changed since the run before:
//! ```text
//! magic "FBRUN\0\0\1"   block*   end = a block of length 0
//! block = length u32, CRC32C of the payload u32, payload = entry*
//! entry = node u32, table u8, key length u32, value length u32 (u32::MAX: removed), key, value     little-endian
//! ```
//! Node `u32::MAX` is the view itself: the key is a row, the value how much was added to its weight (i64).
//!
//! # Crash
//! Runs are written and synced before the file that names them is replaced, so a checkpoint is there as a whole or not at
//! all. Runs that nothing names are removed at the next start.
//!
//! # Limits
//! A block is at most `BLOCK_BYTES_MAX`; longer lengths are refused before anything is allocated.

use std::{
    io,
    path::{Path, PathBuf},
};

use base::{FilePos, Offset, PartitionIndex, PartitionKey, TopicId};
use iobuf::{Buf, BufMut, IoBuf, crc32c};
use runtime::fs::{self, Durability, File, Open};

use crate::{NodeId, graph::StateKey};

const MAGIC: [u8; 8] = *b"FBRUN\0\0\x01";
const VERSION: u8 = 2;
/// Blocks are closed when they have grown to this.
const BLOCK_BYTES: usize = 1 << 20;
/// Runs are read so much at a time.
const STRETCH_BYTES: usize = 4 << 20;
/// One entry may be as large as a batch of records allows, and some.
const BLOCK_BYTES_MAX: usize = 256 << 20;
const REMOVED: u32 = u32::MAX;

/// The node number of the view's own rows.
pub const ROWS: NodeId = NodeId(u32::MAX as usize);

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
    pub runs: Vec<Run>,
    /// Of a sink: its producer, and the next sequence of each partition.
    pub producer: Option<i64>,
    pub sequences: Vec<i32>,
    /// It does not go on, and why was told.
    pub has_stopped: bool,
    /// It has stopped, and what it had put out for another cluster before is written all the same.
    pub delivers: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub number: u64,
    pub bytes: u64,
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
}

impl CheckpointError {
    fn io(path: &str, error: &io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            error: error.to_string(),
        }
    }
}

/// Entries on their way into a run.
pub struct RunWriter {
    bytes: Vec<u8>,
    /// Where the present block's payload begins.
    block_at: usize,
    entries: u64,
}

impl Default for RunWriter {
    fn default() -> Self {
        let mut bytes = MAGIC.to_vec();
        bytes.extend([0; 8]);
        Self {
            block_at: bytes.len(),
            bytes,
            entries: 0,
        }
    }
}

impl RunWriter {
    pub fn put(&mut self, key: StateKey<'_>, value: Option<&[u8]>) {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("entries fit into blocks");
        self.bytes.extend((key.node.0 as u32).to_le_bytes());
        self.bytes.push(key.table);
        self.bytes.extend(length(key.key).to_le_bytes());
        self.bytes
            .extend(value.map_or(REMOVED, length).to_le_bytes());
        self.bytes.extend_from_slice(key.key);
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.entries += 1;
        if self.bytes.len() - self.block_at >= BLOCK_BYTES {
            self.close_block();
        }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn close_block(&mut self) {
        let payload = &self.bytes[self.block_at..];
        let (length, checksum) = (payload.len() as u32, crc32c(payload));
        self.bytes[self.block_at - 8..self.block_at - 4].copy_from_slice(&length.to_le_bytes());
        self.bytes[self.block_at - 4..self.block_at].copy_from_slice(&checksum.to_le_bytes());
        self.bytes.extend([0; 8]);
        self.block_at = self.bytes.len();
    }

    fn finish(mut self) -> Vec<u8> {
        if self.bytes.len() > self.block_at {
            self.close_block();
        }
        self.bytes
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

    fn run_path(&self, id: u64, number: u64) -> PathBuf {
        self.0.join(id.to_string()).join(format!("{number}.run"))
    }

    /// Writes a run and makes it last.
    pub async fn write_run(&self, id: u64, number: u64, run: RunWriter) -> io::Result<Run> {
        fs::create_dir_all_durable(&self.0.join(id.to_string())).await?;
        let path = self.run_path(id, number);
        let open = Open {
            write: true,
            create: true,
            truncate: true,
            ..Open::default()
        };
        let file = File::open(&path, open).await?;
        let bytes = run.finish();
        let mut at = 0;
        for part in bytes.chunks(BLOCK_BYTES) {
            let data = IoBuf::from(Buf::copy_from_slice(part));
            file.write_at(FilePos(at), data, Durability::None).await?;
            at += part.len() as u64;
        }
        file.sync_all().await?;
        fs::sync_dir(&self.0.join(id.to_string())).await?;
        Ok(Run {
            number,
            bytes: bytes.len() as u64,
        })
    }

    /// Hands every entry of a run to `each`.
    pub async fn read_run(
        &self,
        id: u64,
        run: Run,
        mut each: impl FnMut(StateKey<'_>, Option<&[u8]>) -> Result<(), CheckpointError>,
    ) -> Result<(), CheckpointError> {
        let path = self.run_path(id, run.number);
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
            let mut entries = Reader::new(payload, &name);
            while !entries.is_empty() {
                let node = NodeId(entries.u32()? as usize);
                let table = entries.u8()?;
                let (key, value) = (entries.u32()?, entries.u32()?);
                let key = entries.take(key as usize)?;
                let value = match value {
                    REMOVED => None,
                    length => Some(entries.take(length as usize)?),
                };
                each(StateKey { node, table, key }, value)?;
            }
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
    }

    /// Makes a checkpoint the one to restart from.
    pub async fn save(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        fs::create_dir_all_durable(&self.0).await?;
        fs::replace(&self.path(), &checkpoint.encode()).await
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

    /// Removes runs that the checkpoint does not name.
    pub async fn sweep(&self, checkpoint: &Checkpoint) -> io::Result<()> {
        if !fs::exists(&self.0).await? {
            return Ok(());
        }
        for dir in fs::read_dir(&self.0).await? {
            let Ok(id) = dir.name.parse::<u64>() else {
                continue;
            };
            let path = self.0.join(&dir.name);
            let Some(state) = checkpoint.pipelines.iter().find(|state| state.id == id) else {
                fs::remove_dir_all(&path).await?;
                continue;
            };
            for file in fs::read_dir(&path).await? {
                let number = file.name.strip_suffix(".run");
                let number: Option<u64> = number.and_then(|number| number.parse().ok());
                let is_named =
                    number.is_some_and(|number| state.runs.iter().any(|run| run.number == number));
                if !is_named {
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
            out.extend((pipeline.runs.len() as u32).to_le_bytes());
            for run in &pipeline.runs {
                out.extend(run.number.to_le_bytes());
                out.extend(run.bytes.to_le_bytes());
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
    let mut runs = Vec::new();
    for _ in 0..from.u32()? {
        runs.push(Run {
            number: from.u64()?,
            bytes: from.u64()?,
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
        runs,
        producer,
        sequences,
        has_stopped: flags & 1 != 0,
        delivers: flags & 2 != 0,
    })
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
