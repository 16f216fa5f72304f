//! The entries of many pieces as one stretch, each key once.
//!
//! # Cost
//! A comparison for each halving of the number of pieces, mostly of two numbers; the entry is copied once.

use std::{cmp::Ordering, path::Path, rc::Rc};

use runtime::fs::{File, Open};

use super::{
    BLOCK_BYTES, Cursor, HEAD_BYTES, MAGIC, READ_BYTES, REMOVED, ROWS, Run, Span, compare, weight,
};
use crate::{engine::checkpoint::CheckpointError, graph::StateKey};

/// More at once is no faster.
const STRETCH_BYTES_MAX: usize = 1 << 20;

/// See the module head.
pub struct Merge {
    /// From the oldest to the newest.
    cursors: Vec<Cursor>,
    /// Of those with an entry, the least on top: each stands before the two at twice its place and behind.
    heap: Vec<u32>,
    /// The entry that `next` found, as it stands in a run.
    found: Vec<u8>,
}

impl Merge {
    /// Of the rows of runs, or of everything else in them; the oldest run first.
    pub async fn open(
        path_of: impl Fn(&Run) -> std::path::PathBuf,
        runs: &[Run],
        has_rows: bool,
    ) -> Result<Self, CheckpointError> {
        let pieces = runs.iter().flat_map(|run| &run.pieces);
        let count = pieces.filter(|piece| piece.has_rows == has_rows).count();
        let stretch = (READ_BYTES / count.max(1)).clamp(BLOCK_BYTES, STRETCH_BYTES_MAX);
        let mut merge = Self {
            cursors: Vec::new(),
            heap: Vec::new(),
            found: Vec::new(),
        };
        for run in runs {
            merge.add(&path_of(run), run, has_rows, stretch).await?;
        }
        for at in (0..merge.heap.len() / 2).rev() {
            merge.sink(at);
        }
        Ok(merge)
    }

    async fn add(
        &mut self,
        path: &Path,
        run: &Run,
        has_rows: bool,
        stretch: usize,
    ) -> Result<(), CheckpointError> {
        let name: Rc<str> = path.display().to_string().into();
        let open = Open {
            read: true,
            ..Open::default()
        };
        let file = File::open(path, open).await;
        let file = Rc::new(file.map_err(|error| CheckpointError::io(&name, &error))?);
        let length = file.len().await;
        let length = length.map_err(|error| CheckpointError::io(&name, &error))?;
        let mut from = MAGIC.len() as u64;
        if length != run.bytes {
            return Err(CheckpointError::Damaged {
                path: name.to_string(),
                at: length as usize,
                expected: "the end",
            });
        }
        for piece in &run.pieces {
            if piece.end < from || piece.end > length {
                return Err(CheckpointError::Damaged {
                    path: name.to_string(),
                    at: from as usize,
                    expected: "a piece",
                });
            }
            if piece.has_rows == has_rows {
                let mut cursor = Cursor::new(file.clone(), name.clone(), from, piece.end, stretch);
                if cursor.advance().await? {
                    self.heap.push(self.cursors.len() as u32);
                    self.cursors.push(cursor);
                }
            }
            from = piece.end;
        }
        Ok(())
    }

    /// The next key, with what counts of it: `None` where it is removed. Rows have the sum of their weights, also zero.
    pub async fn next(&mut self) -> Result<Option<(StateKey<'_>, Option<&[u8]>)>, CheckpointError> {
        let Some(&newest) = self.heap.first() else {
            return Ok(None);
        };
        let cursor = &self.cursors[newest as usize];
        let entry = cursor.entry;
        self.found.clear();
        self.found
            .extend_from_slice(&cursor.buf[entry.at..entry.end()]);
        let found = Span { at: 0, ..entry };
        let is_row = found.place >> 8 == ROWS.0 as u64;
        let mut sum = match is_row {
            true => self.weight(newest)?,
            false => 0,
        };
        self.pass().await?;
        while let Some(&other) = self.heap.first() {
            let cursor = &self.cursors[other as usize];
            if compare((&found, &self.found[..]), (&cursor.entry, &cursor.buf[..])).is_ne() {
                break;
            }
            if is_row {
                let more = self.weight(other)?;
                sum = sum.checked_add(more).ok_or_else(|| {
                    self.cursors[other as usize].damaged(0, "weights that can be added")
                })?;
            }
            self.pass().await?;
        }
        if is_row {
            self.found.truncate(HEAD_BYTES + found.key_bytes);
            self.found.extend(sum.to_le_bytes());
        }
        Ok(Some((
            found.state_key(&self.found),
            found.value(&self.found),
        )))
    }

    /// What `next` found, as it stands in a run.
    pub fn found(&self) -> &[u8] {
        &self.found
    }

    fn weight(&self, of: u32) -> Result<i64, CheckpointError> {
        let cursor = &self.cursors[of as usize];
        weight(cursor.entry.value(&cursor.buf))
            .ok_or_else(|| cursor.damaged(cursor.entry.at, "a weight of eight bytes"))
    }

    /// Goes behind the least entry.
    async fn pass(&mut self) -> Result<(), CheckpointError> {
        let top = self.heap[0] as usize;
        if !self.cursors[top].advance().await? {
            let last = self.heap.pop().expect("there is the top");
            if self.heap.is_empty() {
                return Ok(());
            }
            self.heap[0] = last;
        }
        self.sink(0);
        Ok(())
    }

    /// Which of two comes first: of one key the newer entry.
    fn order(&self, a: u32, b: u32) -> Ordering {
        let (one, other) = (&self.cursors[a as usize], &self.cursors[b as usize]);
        compare((&one.entry, &one.buf[..]), (&other.entry, &other.buf[..])).then(b.cmp(&a))
    }

    /// Moves what stands there down to where it belongs.
    fn sink(&mut self, at: usize) {
        let mut at = at;
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            if left >= self.heap.len() {
                return;
            }
            let least = if right < self.heap.len()
                && self.order(self.heap[right], self.heap[left]).is_lt()
            {
                right
            } else {
                left
            };
            if self.order(self.heap[at], self.heap[least]).is_le() {
                return;
            }
            self.heap.swap(at, least);
            at = least;
        }
    }
}

/// Whether an entry of a run says that its key is gone.
pub fn is_removed(entry: &[u8]) -> bool {
    entry[9..HEAD_BYTES] == REMOVED.to_le_bytes()
}
