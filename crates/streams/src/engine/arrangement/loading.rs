//! Rows of a checkpoint on their way into an arrangement: made ready on one shard, taken in on another.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::SchemaRef;
use std::hash::BuildHasher;

use super::{Arrangement, HASHES};
use crate::{Delta, row::RowCodec};

/// Makes columns of rows that are bytes, on any shard.
#[derive(Clone)]
pub struct Loader {
    schema: SchemaRef,
    key: Vec<usize>,
    codec: RowCodec,
    rows_codec: RowCodec,
}

/// A chunk of rows, each with the hash that finds it.
pub struct Loaded {
    pub(super) rows: Delta,
    pub(super) hashes: Vec<u64>,
}

impl Loaded {
    /// Rows in it.
    pub fn count(&self) -> usize {
        self.hashes.len()
    }
}

impl Loader {
    /// Rows as a checkpoint holds them; no two of them are alike.
    pub fn load<'a>(
        &self,
        rows: impl IntoIterator<Item = &'a [u8]>,
        weights: Vec<i64>,
    ) -> Result<Loaded, String> {
        let columns = self.rows_codec.decode(rows);
        let columns = columns.map_err(|error| error.to_string())?;
        let batch = RecordBatch::try_new(self.schema.clone(), columns);
        let batch = batch.map_err(|error| error.to_string())?;
        let key: Vec<ArrayRef> = self
            .key
            .iter()
            .map(|at| batch.column(*at).clone())
            .collect();
        let keys = self.codec.encode(&key, batch.num_rows());
        Ok(Loaded {
            hashes: keys.iter().map(|key| HASHES.hash_one(key)).collect(),
            rows: Delta::new(batch, weights),
        })
    }
}

impl Arrangement {
    /// What makes rows ready to be taken in.
    #[must_use]
    pub fn loader(&self) -> Loader {
        Loader {
            schema: self.schema.clone(),
            key: self.key.clone(),
            codec: self.codec.clone(),
            rows_codec: self.rows_codec.clone(),
        }
    }
}
