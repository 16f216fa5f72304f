//! A change of a table: rows, and how often each comes or goes.
//!
//! # Invariants
//! 1. There is a weight for each row; none is zero. Without a list, each is +1: the form of whatever only grows.
//! 2. The sum of the weights of equal rows over all deltas of a table up to an epoch's end is never negative.
//!
//! # Instead of
//! Pairs of old and new row (update in place): they need a key, and joins and unions of views have none. The algebra is
//! that of Z-sets (Budiu et al., DBSP, VLDB 2023): linear operators apply to rows and keep the weights.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, cast::AsArray};
use arrow_schema::{ArrowError, SchemaRef};
use arrow_select::{filter, take};

/// Rows an operator handles or emits at once, about: some tens of microseconds of work.
pub const CHUNK_ROWS: usize = 1024;

/// See the module head.
#[derive(Clone, Debug)]
pub struct Delta {
    rows: RecordBatch,
    weights: Option<Arc<[i64]>>,
}

impl Delta {
    /// Each row comes once.
    #[must_use]
    pub fn insert(rows: RecordBatch) -> Self {
        Self {
            rows,
            weights: None,
        }
    }

    /// Panics unless there is one weight, not zero, for each row.
    #[must_use]
    pub fn new(rows: RecordBatch, weights: Vec<i64>) -> Self {
        assert_eq!(rows.num_rows(), weights.len(), "a weight for each row");
        assert!(
            !weights.contains(&0),
            "what neither comes nor goes is left out"
        );
        let all_once = weights.iter().all(|weight| *weight == 1);
        Self {
            rows,
            weights: (!all_once).then(|| weights.into()),
        }
    }

    #[must_use]
    pub fn empty(schema: SchemaRef) -> Self {
        Self::insert(RecordBatch::new_empty(schema))
    }

    #[must_use]
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    #[must_use]
    pub fn column(&self, at: usize) -> &ArrayRef {
        self.rows.column(at)
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.num_rows()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[must_use]
    pub fn weight(&self, row: usize) -> i64 {
        self.weights.as_ref().map_or(1, |weights| weights[row])
    }

    /// `None`: each is +1.
    #[must_use]
    pub fn weights(&self) -> Option<&[i64]> {
        self.weights.as_deref()
    }

    /// The same weights for other columns of the same rows. Panics when the counts differ.
    #[must_use]
    pub fn with_columns(&self, schema: SchemaRef, columns: Vec<ArrayRef>) -> Self {
        let options = RecordBatchOptions::new().with_row_count(Some(self.len()));
        let rows = RecordBatch::try_new_with_options(schema, columns, &options)
            .expect("columns have the types of their schema and a value for each row");
        Self {
            rows,
            weights: self.weights.clone(),
        }
    }

    /// The rows for which `keep` is true; null is not.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        if keep.null_count() == 0 && keep.true_count() == self.len() {
            return Ok(self.clone());
        }
        let rows = filter::filter_record_batch(&self.rows, keep)?;
        let weights = self.weights.as_ref().map(|weights| {
            let kept = weights.iter().enumerate();
            let kept = kept.filter(|(row, _)| keep.is_valid(*row) && keep.value(*row));
            kept.map(|(_, weight)| *weight).collect()
        });
        Ok(Self { rows, weights })
    }

    /// The rows at these places, in this order, any of them several times.
    #[must_use]
    pub fn take(&self, places: &arrow_array::UInt32Array) -> Self {
        let rows = take::take_record_batch(&self.rows, places).expect("places lie in the chunk");
        let weights = self.weights.as_ref().map(|weights| {
            places
                .values()
                .iter()
                .map(|at| weights[*at as usize])
                .collect()
        });
        Self { rows, weights }
    }

    /// A stretch of the rows, sharing memory.
    #[must_use]
    pub fn slice(&self, from: usize, count: usize) -> Self {
        Self {
            rows: self.rows.slice(from, count),
            weights: self
                .weights
                .as_ref()
                .map(|weights| weights[from..from + count].into()),
        }
    }

    /// Some of the columns, in this order.
    #[must_use]
    pub fn project(&self, columns: &[usize]) -> Self {
        let rows = self.rows.project(columns);
        Self {
            rows: rows.expect("the planner names columns that are there"),
            weights: self.weights.clone(),
        }
    }

    /// What comes goes, and the other way round.
    #[must_use]
    pub fn negated(&self) -> Self {
        let weights = (0..self.len()).map(|row| -self.weight(row)).collect();
        Self::new(self.rows.clone(), weights)
    }

    /// Bytes of memory that the columns hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.rows.get_array_memory_size() + self.weights.as_ref().map_or(0, |w| w.len() * 8)
    }
}

/// Bytes that a column's own rows would take by themselves, whatever it shares memory with.
#[must_use]
pub fn column_bytes(column: &ArrayRef) -> usize {
    let data = match column.as_list_opt::<i32>() {
        Some(lists) => {
            let offsets = lists.value_offsets();
            let from = usize::try_from(offsets[0]).expect("offsets begin at zero or behind it");
            let until = usize::try_from(offsets[lists.len()]).expect("offsets only grow");
            lists.values().slice(from, until - from).to_data()
        }
        None => column.to_data(),
    };
    data.get_slice_memory_size().unwrap_or(usize::MAX)
}
