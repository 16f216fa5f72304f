//! Rows in columns, some thousand together, under numbers that stay theirs.

use std::{
    ops::{Index, IndexMut},
    sync::Arc,
};

use arrow_array::RecordBatch;

/// Chunks of more rows are written anew once most of them are dead.
const SPARSE_ROWS_MIN: usize = 64;

pub struct Chunk {
    pub rows: RecordBatch,
    pub weights: Arc<Vec<i64>>,
    /// Under which each row has its place.
    pub hashes: Vec<u64>,
    pub living: usize,
    /// The epoch that has brought its rows; zero where it may be several.
    pub since: u64,
    /// Memory of all that.
    pub bytes: usize,
}

impl Chunk {
    pub fn new(rows: RecordBatch, weights: Vec<i64>, hashes: Vec<u64>) -> Self {
        let bytes = weights.len() * (size_of::<i64>() + size_of::<u64>());
        Self {
            bytes: rows.get_array_memory_size() + bytes,
            rows,
            living: weights.len(),
            since: 0,
            weights: Arc::new(weights),
            hashes,
        }
    }

    /// Of rows that nobody finds yet.
    pub fn staged(rows: RecordBatch, hashes: Vec<u64>) -> Self {
        let weights = vec![0; hashes.len()];
        Self {
            living: 0,
            ..Self::new(rows, weights, hashes)
        }
    }

    pub fn is_sparse(&self) -> bool {
        self.rows.num_rows() > SPARSE_ROWS_MIN && self.living * 2 < self.rows.num_rows()
    }
}

/// See the module head. A number is used again once its chunk has gone.
#[derive(Default)]
pub struct Chunks {
    all: Vec<Option<Chunk>>,
    free: Vec<u32>,
    /// Those that count, the oldest first.
    order: Vec<u32>,
    /// Of those.
    bytes: usize,
}

impl Chunks {
    /// Takes in the newest.
    pub fn push(&mut self, chunk: Chunk) -> u32 {
        self.bytes += chunk.bytes;
        let number = self.add(chunk);
        self.order.push(number);
        number
    }

    /// Takes in one that does not count before it is put in the place of others.
    pub fn add(&mut self, chunk: Chunk) -> u32 {
        let number = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            let last = self.all.len() - 1;
            u32::try_from(last).expect("chunks hold thousands of rows each")
        });
        self.all[number as usize] = Some(chunk);
        number
    }

    /// Puts one in the place of others, which go; or none.
    pub fn replace(&mut self, gone: &[u32], by: Option<u32>) {
        let at = self.order.iter().position(|number| gone.contains(number));
        if let (Some(at), Some(by)) = (at, by) {
            self.order.insert(at, by);
            self.bytes += self[by].bytes;
        }
        self.order.retain(|number| !gone.contains(number));
        for number in gone {
            self.bytes -= self[*number].bytes;
            self.forget(*number);
        }
    }

    /// Lets one go that does not count.
    pub fn forget(&mut self, number: u32) {
        self.all[number as usize] = None;
        self.free.push(number);
    }

    pub fn get(&self, number: u32) -> Option<&Chunk> {
        self.all.get(number as usize)?.as_ref()
    }

    /// Those that count, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Chunk> {
        self.order.iter().map(|number| &self[*number])
    }

    /// Their numbers.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// Memory of those that count.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Index<u32> for Chunks {
    type Output = Chunk;

    fn index(&self, number: u32) -> &Chunk {
        self.get(number).expect("places lie in chunks")
    }
}

impl IndexMut<u32> for Chunks {
    fn index_mut(&mut self, number: u32) -> &mut Chunk {
        let chunk = self.all[number as usize].as_mut();
        chunk.expect("places lie in chunks")
    }
}
