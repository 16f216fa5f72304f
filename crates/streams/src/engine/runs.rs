//! Runs: what of a pipeline's state changed between two checkpoints, as files of sorted pieces.
//!
//! # Layout
//! See docs/formats/checkpoint.md. A piece holds each entry once, in the order of node, table and key; of two pieces the later
//! one has the word, and weights of rows are added up. Rows stand in pieces of their own.
//!
//! # Cost
//! An entry is copied as it comes, sorted among the some ten thousand of its piece, copied into a block, and written. Whoever
//! collects entries only copies them, and hands rows on as they are; pieces are sorted on another shard, each as soon as it is
//! full and no more than a millisecond's work at a stretch, and their memory is used again.
//!
//! # Limits
//! A block's length is refused before anything is allocated for it. Reading many pieces at once takes twice `READ_BYTES` of
//! memory in all, and two blocks of each.

mod compaction;
mod merge;
mod pieces;
mod sorted;

use std::{io, path::Path, rc::Rc};

use base::FilePos;
use iobuf::{Buf, BufMut, IoBuf, crc32c};
use runtime::fs::{self, Durability, File, Open};

pub(super) use compaction::{Compaction, Merged};
pub(super) use merge::Merge;
pub(super) use pieces::{Blocks, Buffers, Pieces, Unsorted};

use super::checkpoint::CheckpointError;
use crate::{NodeId, graph::StateKey};

const MAGIC: [u8; 8] = *b"FBRUN\0\0\x02";
/// Blocks are closed when they have grown to this. Of each piece that is read one is in memory.
const BLOCK_BYTES: usize = 64 << 10;
/// Written at a time.
const WRITE_BYTES: usize = 1 << 20;
/// What pieces that are read together have in memory of what follows.
const READ_BYTES: usize = 32 << 20;
/// One entry may be as large as a batch of records allows, and some.
const BLOCK_BYTES_MAX: usize = 256 << 20;
/// Entries are sorted so many bytes at a time.
const PIECE_BYTES: usize = 1 << 20;
const REMOVED: u32 = u32::MAX;
/// Node, table, and two lengths.
const HEAD_BYTES: usize = 13;
pub(super) const ENTRY_BYTES_MIN: u64 = HEAD_BYTES as u64;

/// The node number of the view's own rows.
pub const ROWS: NodeId = NodeId(u32::MAX as usize);

/// One file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    pub number: u64,
    pub bytes: u64,
    /// In the order in which they were written; one behind the other.
    pub pieces: Vec<Piece>,
    pub tables: Vec<Held>,
}

/// How many entries of a table a run has: a restart makes room for them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub node: u32,
    pub table: u8,
    pub entries: u64,
}

/// A stretch of blocks whose entries are in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub has_rows: bool,
    /// Where it ends.
    pub end: u64,
}

impl Held {
    pub fn add_to(self, all: &mut Vec<Self>) {
        let is_same = |held: &&mut Self| (held.node, held.table) == (self.node, self.table);
        // Entries come table by table.
        match all.iter_mut().rev().find(is_same) {
            Some(held) => held.entries += self.entries,
            None => all.push(self),
        }
    }
}

/// Where an entry is, in a buffer of entries.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    at: usize,
    key_bytes: usize,
    /// `None`: removed.
    value_bytes: Option<usize>,
    /// Entries are sorted by this first, then by their keys. Of a table it is the number after it, so that 255 comes first.
    place: u64,
    /// The key's first bytes: with a tag and a number in front they tell most keys apart.
    prefix: u128,
}

impl Span {
    /// The entry that begins there; `None` where it does not end within the bytes.
    fn at(bytes: &[u8], at: usize) -> Option<Self> {
        let head: &[u8; HEAD_BYTES] = bytes.get(at..)?.first_chunk()?;
        let number = |from: usize| {
            let four = head[from..from + 4].try_into().expect("four bytes");
            u32::from_le_bytes(four)
        };
        let (node, table) = (number(0), head[4]);
        let key_bytes = number(5) as usize;
        let value_bytes = Some(number(9)).filter(|length| *length != REMOVED);
        let mut span = Self {
            at,
            key_bytes,
            value_bytes: value_bytes.map(|length| length as usize),
            place: (u64::from(node) << 8) | u64::from(table.wrapping_add(1)),
            prefix: 0,
        };
        if span.end() > bytes.len() {
            return None;
        }
        let key = span.key(bytes);
        let mut prefix = [0; 16];
        let count = key.len().min(16);
        prefix[..count].copy_from_slice(&key[..count]);
        span.prefix = u128::from_be_bytes(prefix);
        Some(span)
    }

    fn end(&self) -> usize {
        self.at + HEAD_BYTES + self.key_bytes + self.value_bytes.unwrap_or(0)
    }

    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.at + HEAD_BYTES;
        &bytes[from..from + self.key_bytes]
    }

    fn value<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let from = self.at + HEAD_BYTES + self.key_bytes;
        self.value_bytes.map(|count| &bytes[from..from + count])
    }

    fn state_key<'a>(&self, bytes: &'a [u8]) -> StateKey<'a> {
        StateKey {
            node: NodeId((self.place >> 8) as usize),
            table: (self.place as u8).wrapping_sub(1),
            key: self.key(bytes),
        }
    }
}

/// Entries one behind the other, as `Merge::found` gives them.
pub(super) fn entries(bytes: &[u8]) -> impl Iterator<Item = (StateKey<'_>, Option<&[u8]>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let span = Span::at(bytes, at)?;
        at = span.end();
        Some((span.state_key(bytes), span.value(bytes)))
    })
}

/// The order of entries.
fn compare(a: (&Span, &[u8]), b: (&Span, &[u8])) -> std::cmp::Ordering {
    let first = (a.0.place, a.0.prefix).cmp(&(b.0.place, b.0.prefix));
    first.then_with(|| a.0.key(a.1).cmp(b.0.key(b.1)))
}

/// How often a row is added; `None` where that is not told.
pub(super) fn weight(value: Option<&[u8]>) -> Option<i64> {
    Some(i64::from_le_bytes(value?.try_into().ok()?))
}

/// A file in the making, piece by piece.
pub(super) struct RunFile {
    file: File,
    /// Written so far.
    at: u64,
    number: u64,
    pieces: Vec<Piece>,
    tables: Vec<Held>,
}

impl RunFile {
    pub async fn create(path: &Path, number: u64) -> io::Result<Self> {
        let open = Open {
            write: true,
            create: true,
            truncate: true,
            ..Open::default()
        };
        let mut made = Self {
            file: File::open(path, open).await?,
            at: 0,
            number,
            pieces: Vec::new(),
            tables: Vec::new(),
        };
        made.write(&MAGIC).await?;
        Ok(made)
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(WRITE_BYTES) {
            let data = IoBuf::from(Buf::copy_from_slice(part));
            self.file
                .write_at(FilePos(self.at), data, Durability::None)
                .await?;
            self.at += part.len() as u64;
        }
        Ok(())
    }

    /// Writes what is in these blocks, which are empty then.
    pub async fn take(&mut self, blocks: &mut Blocks) -> io::Result<()> {
        blocks.close();
        self.write(&blocks.bytes).await?;
        blocks.bytes.clear();
        for held in blocks.tables.drain(..) {
            held.add_to(&mut self.tables);
        }
        Ok(())
    }

    pub fn end_piece(&mut self, has_rows: bool) {
        self.pieces.push(Piece {
            has_rows,
            end: self.at,
        });
    }

    /// The length 0 behind the last block, and all of it on the disk.
    pub async fn finish(mut self) -> io::Result<Run> {
        self.write(&[0; 8]).await?;
        self.file.sync_all().await?;
        Ok(Run {
            number: self.number,
            bytes: self.at,
            pieces: self.pieces,
            tables: self.tables,
        })
    }
}

/// The entries of one piece, one after the other.
struct Cursor {
    file: Rc<File>,
    path: Rc<str>,
    /// Of the piece in the file, what is not in memory yet.
    from: u64,
    end: u64,
    /// Blocks, the first of them begun.
    buf: BufMut,
    /// For what is read next.
    spare: BufMut,
    /// How much more is read at a time.
    stretch: usize,
    /// Where the present block's payload ends.
    block_end: usize,
    entry: Span,
}

/// What a cursor stands before.
enum Next {
    Entry,
    /// So many bytes must be read first.
    Bytes(usize),
    End,
}

impl Cursor {
    fn new(file: Rc<File>, path: Rc<str>, from: u64, end: u64, stretch: usize) -> Self {
        Self {
            file,
            path,
            from,
            end,
            buf: BufMut::with_capacity(0),
            spare: BufMut::with_capacity(0),
            stretch,
            block_end: 0,
            entry: Span::default(),
        }
    }

    fn damaged(&self, at: usize, expected: &'static str) -> CheckpointError {
        CheckpointError::Damaged {
            path: self.path.to_string(),
            at: (self.from as usize + at).saturating_sub(self.buf.len()),
            expected,
        }
    }

    /// Goes to the entry behind the present one, if it is in memory.
    fn step(&mut self) -> Result<Next, CheckpointError> {
        let mut at = match self.block_end {
            0 => 0,
            _ => self.entry.end(),
        };
        if at == self.block_end {
            let Some(head) = self.buf.get(at..at + 8) else {
                let rest = self.buf.len() - at;
                return match rest == 0 && self.from == self.end {
                    true => Ok(Next::End),
                    false => Ok(Next::Bytes(8)),
                };
            };
            let number = |from: usize| {
                let four = head[from..from + 4].try_into().expect("four bytes");
                u32::from_le_bytes(four)
            };
            let (length, checksum) = (number(0) as usize, number(4));
            if length == 0 || length > BLOCK_BYTES_MAX {
                return Err(self.damaged(at, "a block's length"));
            }
            let Some(payload) = self.buf.get(at + 8..at + 8 + length) else {
                return Ok(Next::Bytes(8 + length));
            };
            if crc32c(payload) != checksum {
                return Err(self.damaged(at, "a block with its checksum"));
            }
            at += 8;
            self.block_end = at + length;
        }
        match Span::at(&self.buf[..self.block_end], at) {
            Some(entry) => {
                self.entry = entry;
                Ok(Next::Entry)
            }
            None => Err(self.damaged(at, "an entry")),
        }
    }

    /// Goes to the entry behind the present one; whether there is one.
    async fn advance(&mut self) -> Result<bool, CheckpointError> {
        loop {
            match self.step()? {
                Next::Entry => return Ok(true),
                Next::End => return Ok(false),
                Next::Bytes(count) => self.read(count).await?,
            }
        }
    }

    /// Lets the blocks go that are passed, and reads on: the next block has so many bytes at least.
    async fn read(&mut self, count: usize) -> Result<(), CheckpointError> {
        let left = &self.buf[self.block_end..];
        let missing = count.saturating_sub(left.len()).max(self.stretch) as u64;
        let more = missing.min(self.end - self.from) as usize;
        let wanted = left.len() + more;
        if wanted < count {
            return Err(self.damaged(self.block_end, "more bytes"));
        }
        // Memory that has been used before need not be cleared again.
        let mut next = std::mem::replace(&mut self.spare, BufMut::with_capacity(0));
        next.clear();
        if next.capacity() < wanted {
            next = BufMut::with_capacity(wanted);
        }
        next.extend_from_slice(left);
        let (outcome, next) = self.file.read_behind(FilePos(self.from), next, more).await;
        outcome.map_err(|error| CheckpointError::io(&self.path, &error))?;
        if next.len() < wanted {
            return Err(self.damaged(0, "more bytes"));
        }
        self.from += more as u64;
        self.spare = std::mem::replace(&mut self.buf, next);
        self.entry = Span::default();
        self.block_end = 0;
        Ok(())
    }
}

/// Removes what a write left that did not end.
pub async fn discard(path: &Path) {
    if let Ok(true) = fs::exists(path).await {
        drop(fs::remove_file(path).await);
    }
}

#[cfg(test)]
mod tests;
