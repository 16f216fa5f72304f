//! State taken up as a checkpoint names it.
//!
//! # Cost
//! A row: its bytes hashed and copied once, and decoded once into the arrangement, chunk by chunk. An entry of an operator: found
//! among what newer runs have said, if it is in runs, and put into its table.

use std::{hash::BuildHasher, rc::Rc};

use arrow_array::RecordBatch;
use foldhash::fast::FixedState;
use hashbrown::{HashTable, hash_table::Entry};

use super::{
    Engine, EngineError,
    arrangement::NotThere,
    checkpoint::{CheckpointError, PipelineState},
    pipeline::{Pipeline, PipelineError},
    relation::Relation,
    store::ROWS,
};
use crate::{Delta, delta::CHUNK_ROWS, graph::StateKey};

impl Engine {
    pub(super) async fn restored(
        self: &Rc<Self>,
        state: &PipelineState,
        mut pipeline: Pipeline,
    ) -> Result<Pipeline, EngineError> {
        let relation = pipeline.relation.clone();
        let mut rows = RowsRestorer::new(relation.clone());
        let mut version = state.version();
        if self.planted.skip_newest_run && version.runs.len() > 1 {
            version.runs = &version.runs[..version.runs.len() - 1];
        }
        let mut take = |key: StateKey<'_>, value: &[u8]| {
            let restored = match key.node == ROWS {
                true => rows.put(key.key, value),
                false => pipeline.restore(key, value).map_err(|error| match error {
                    PipelineError::Restore(why) => why,
                    other => other.to_string(),
                }),
            };
            restored.map_err(|found| CheckpointError::State {
                relation: relation.name.clone(),
                found,
            })
        };
        let store = self.store_with(state, &relation)?;
        store.read(version, &mut take).await?;
        rows.finish()
            .await
            .map_err(|found| CheckpointError::State {
                relation: relation.name.clone(),
                found,
            })?;
        pipeline.restore_positions(state, self.planted);
        Ok(pipeline)
    }
}

/// Bytes of rows in one piece of memory.
const PIECE_BYTES: usize = 1 << 20;

/// Adds up the rows that runs hold. Each row's bytes stand once, in large pieces: runs may hold millions.
struct RowsRestorer {
    relation: Rc<Relation>,
    pieces: Vec<Vec<u8>>,
    rows: Vec<Sum>,
    /// Rows by their bytes.
    index: HashTable<u32>,
}

/// How often a row is there, and where its bytes stand.
struct Sum {
    hash: u64,
    piece: u32,
    at: u32,
    length: u32,
    weight: i64,
}

impl Sum {
    fn row<'a>(&self, pieces: &'a [Vec<u8>]) -> &'a [u8] {
        let at = self.at as usize;
        &pieces[self.piece as usize][at..at + self.length as usize]
    }
}

impl RowsRestorer {
    fn new(relation: Rc<Relation>) -> Self {
        Self {
            relation,
            pieces: Vec::new(),
            rows: Vec::new(),
            index: HashTable::new(),
        }
    }

    fn put(&mut self, row: &[u8], weight: &[u8]) -> Result<(), String> {
        let weight = weight
            .try_into()
            .map_err(|_| "a weight of eight bytes is expected")?;
        let weight = i64::from_le_bytes(weight);
        let hash = FixedState::with_seed(0).hash_one(row);
        let (pieces, rows) = (&self.pieces, &self.rows);
        let at = self.index.entry(
            hash,
            |at| {
                let sum = &rows[*at as usize];
                sum.hash == hash && sum.row(pieces) == row
            },
            |at| rows[*at as usize].hash,
        );
        match at {
            Entry::Occupied(known) => {
                let sum = &mut self.rows[*known.get() as usize];
                let now = sum.weight.checked_add(weight);
                sum.weight = now.ok_or("weights that can be added are expected")?;
            }
            Entry::Vacant(vacant) => {
                let number = u32::try_from(self.rows.len());
                vacant.insert(number.map_err(|_| "fewer rows are expected")?);
                if pieces
                    .last()
                    .is_none_or(|piece| piece.len() + row.len() > PIECE_BYTES)
                {
                    let bytes = PIECE_BYTES.max(row.len());
                    self.pieces.push(Vec::with_capacity(bytes));
                }
                let piece = self.pieces.len() - 1;
                let bytes = &mut self.pieces[piece];
                self.rows.push(Sum {
                    hash,
                    piece: piece as u32,
                    at: bytes.len() as u32,
                    length: row.len() as u32,
                    weight,
                });
                bytes.extend_from_slice(row);
            }
        }
        Ok(())
    }

    /// Puts the rows into the relation, which has none.
    async fn finish(mut self) -> Result<(), String> {
        let Some(arrangement) = &self.relation.arrangement else {
            return Ok(());
        };
        self.index = HashTable::new();
        self.rows.retain(|sum| sum.weight != 0);
        if self.rows.iter().any(|sum| sum.weight < 0) {
            return Err(NotThere.to_string());
        }
        let schema = arrangement.borrow().schema().clone();
        arrangement.borrow_mut().reserve(self.rows.len());
        let codec = Relation::codec(&schema);
        for sums in self.rows.chunks(CHUNK_ROWS) {
            let columns = codec.decode(sums.iter().map(|sum| sum.row(&self.pieces)));
            let columns = columns.map_err(|error| error.to_string())?;
            let batch =
                RecordBatch::try_new(schema.clone(), columns).map_err(|error| error.to_string())?;
            let weights = sums.iter().map(|sum| sum.weight).collect();
            arrangement.borrow_mut().load(&Delta::new(batch, weights));
            if runtime::should_yield() {
                runtime::yield_now().await;
            }
        }
        Ok(())
    }
}
