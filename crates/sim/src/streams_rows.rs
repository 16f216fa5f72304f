//! What views show, as integers.

use arrow_array::{
    Array, RecordBatch,
    cast::AsArray,
    types::{Decimal128Type, Int32Type, Int64Type},
};
use streams::engine::{RowsOf, Snapshot};

/// Rows as integers, whatever integers they are; null for what is none.
#[must_use]
pub fn columns(snapshot: &Snapshot, name: &str) -> Vec<Vec<Option<i128>>> {
    let batches = match &snapshot.rows[name] {
        RowsOf::View(rows) => rows.batches(),
        RowsOf::Source(deltas) => deltas.iter().map(|delta| delta.rows().clone()).collect(),
    };
    batches.iter().flat_map(integers).collect()
}

/// Rows of one batch likewise.
#[must_use]
pub fn integers(batch: &RecordBatch) -> Vec<Vec<Option<i128>>> {
    let row = |row| {
        let columns = batch.columns().iter();
        columns
            .map(|column| integer(column.as_ref(), row))
            .collect()
    };
    (0..batch.num_rows()).map(row).collect()
}

fn integer(column: &dyn Array, row: usize) -> Option<i128> {
    if column.is_null(row) {
        return None;
    }
    if let Some(integers) = column.as_primitive_opt::<Int64Type>() {
        return Some(i128::from(integers.value(row)));
    }
    if let Some(integers) = column.as_primitive_opt::<Int32Type>() {
        return Some(i128::from(integers.value(row)));
    }
    let decimals = column.as_primitive_opt::<Decimal128Type>();
    decimals.map(|decimals| decimals.value(row))
}
