//! A snapshot: a view's rows at one moment, for any thread.

use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::{filter::filter_record_batch, take::take_record_batch};

use crate::Delta;

/// A view's rows at one moment.
#[derive(Clone, Debug)]
pub struct Rows {
    pub(super) schema: SchemaRef,
    pub(super) chunks: Vec<(RecordBatch, Arc<Vec<i64>>)>,
}

impl Rows {
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Every row as often as it is there.
    #[must_use]
    pub fn batches(&self) -> Vec<RecordBatch> {
        let mut batches = Vec::new();
        for (rows, weights) in &self.chunks {
            if weights.iter().all(|weight| *weight == 1) {
                batches.push(rows.clone());
                continue;
            }
            let places: UInt32Array = weights
                .iter()
                .enumerate()
                .flat_map(|(row, weight)| {
                    let times = usize::try_from(*weight).unwrap_or(0);
                    std::iter::repeat_n(row as u32, times)
                })
                .collect();
            if !places.is_empty() {
                let taken = take_record_batch(rows, &places);
                batches.push(taken.expect("places lie in the chunk"));
            }
        }
        batches
    }

    /// The rows as a change of an empty table.
    pub fn into_deltas(self) -> impl Iterator<Item = Delta> + Send {
        self.chunks.into_iter().filter_map(|(rows, weights)| {
            let living: BooleanArray = weights.iter().map(|weight| Some(*weight != 0)).collect();
            let rows = filter_record_batch(&rows, &living).expect("a flag for each row");
            let weights: Vec<i64> = weights.iter().copied().filter(|w| *w != 0).collect();
            (!weights.is_empty()).then(|| Delta::new(rows, weights))
        })
    }

    /// The same at once.
    #[must_use]
    pub fn deltas(&self) -> Vec<Delta> {
        self.clone().into_deltas().collect()
    }
}
