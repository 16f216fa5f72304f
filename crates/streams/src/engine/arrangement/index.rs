//! Rows of a view by some of its columns: an ordered set of their values, each followed by the key that finds its row.

use std::{collections::BTreeSet, ops::Bound};

use arrow_array::{ArrayRef, RecordBatch};

use crate::row::RowCodec;

/// See the module head.
pub struct Index {
    pub columns: Vec<usize>,
    /// Several indexes of the same columns are one.
    pub users: usize,
    codec: RowCodec,
    entries: BTreeSet<Box<[u8]>>,
    bytes: usize,
}

impl Index {
    pub fn new(columns: &[usize], codec: RowCodec) -> Self {
        Self {
            columns: columns.to_vec(),
            users: 1,
            codec,
            entries: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// The values of rows, as they begin entries.
    pub fn values(&self, rows: &RecordBatch) -> crate::row::Rows {
        let columns = self.columns.iter().map(|at| rows.column(*at).clone());
        let columns: Vec<ArrayRef> = columns.collect();
        self.codec.encode(&columns, rows.num_rows())
    }

    pub fn encode(&self, keys: &[ArrayRef], count: usize) -> crate::row::Rows {
        self.codec.encode(keys, count)
    }

    pub fn insert(&mut self, values: &[u8], key: &[u8]) {
        let entry: Box<[u8]> = [values, key].concat().into();
        let bytes = entry.len();
        if self.entries.insert(entry) {
            self.bytes += bytes;
        }
    }

    pub fn remove(&mut self, values: &[u8], key: &[u8]) {
        let entry = [values, key].concat();
        if self.entries.remove(&entry[..]) {
            self.bytes -= entry.len();
        }
    }

    /// Keys of the rows with these values.
    pub fn find<'a>(&'a self, values: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let from = (Bound::Included(values), Bound::Unbounded);
        let entries = self.entries.range::<[u8], _>(from);
        entries.map_while(|entry| entry.strip_prefix(values))
    }

    /// Memory, about: an entry's bytes, and its place in the tree.
    pub fn bytes(&self) -> usize {
        self.bytes + self.entries.len() * 2 * size_of::<Box<[u8]>>()
    }
}
