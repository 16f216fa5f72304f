//! A planned query run once, over rows of what it reads: the same operators that keep views, in a single epoch.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{
        SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take_record_batch,
    },
    datatypes::{Schema, SchemaRef},
    row::{RowConverter, SortField},
};
use streams::{
    Delta, Plan,
    delta::column_bytes,
    graph::{EpochEnd, Graph, PlanError},
    plan::{Input, SortKey},
};

use crate::{
    backend::SqlError,
    column_type::canonical,
    error::sqlstate,
    planner::{Bindings, Planned},
};

/// Rows an answer holds at most before it is refused.
pub const ANSWER_ROWS_MAX: usize = 50_000_000;

/// Runs it. `rows` has those of every relation that it reads, in all of their columns; `bytes_max` is for what the operators
/// hold, and for the answer, which is copied once.
pub fn execute(
    planned: &Planned,
    bindings: &Bindings,
    rows: &BTreeMap<String, Vec<RecordBatch>>,
    bytes_max: usize,
) -> Result<Vec<RecordBatch>, SqlError> {
    let bound = planned.bind(bindings)?;
    let deltas = run(&bound.plan, bindings.now_us, rows, bytes_max)?;
    let all = expanded(&bound.plan.result().schema, &deltas)?;
    let all = sliced(ordered(all, &bound.order)?, bound.offset, bound.limit);
    let shown: Vec<usize> = (0..bound.fields.len()).collect();
    let schema: SchemaRef = Arc::new(Schema::new(bound.fields.clone()));
    let columns = all.project(&shown)?.columns().to_vec();
    let options = RecordBatchOptions::new().with_row_count(Some(all.num_rows()));
    Ok(vec![RecordBatch::try_new_with_options(
        schema, columns, &options,
    )?])
}

/// The result's deltas after one epoch with these rows.
fn run(
    plan: &Plan,
    now_us: i64,
    rows: &BTreeMap<String, Vec<RecordBatch>>,
    bytes_max: usize,
) -> Result<Vec<Delta>, SqlError> {
    let mut graph = Graph::new(plan).map_err(|error| plan_error(&error))?;
    graph.set_state_bytes_max(bytes_max);
    let mut answer = Collected {
        deltas: Vec::new(),
        bytes_left: bytes_max / 2,
    };
    for (node, input) in plan.inputs() {
        let schema = plan.nodes[node.0].schema.clone();
        for batch in rows.get(&input.relation).into_iter().flatten() {
            graph.push(node, Delta::insert(read(batch, input, &schema)?));
            answer.take(&mut graph)?;
        }
    }
    graph.end_epoch(EpochEnd {
        epoch: 1,
        now: now_us,
        watermarks: BTreeMap::new(),
    });
    answer.take(&mut graph)?;
    if let Some(fault) = graph.failure() {
        return Err(fault.clone().into());
    }
    // In a view a row whose value cannot be computed is counted; whoever asks a question is told.
    if let Some(fault) = graph.stats().into_iter().find_map(|stats| stats.last_fault) {
        return Err(fault.into());
    }
    Ok(answer.deltas)
}

/// What the graph has put out, as long as there is memory for it.
struct Collected {
    deltas: Vec<Delta>,
    bytes_left: usize,
}

impl Collected {
    /// Lets it work until there is nothing to do.
    fn take(&mut self, graph: &mut Graph) -> Result<(), SqlError> {
        loop {
            let has_more = graph.work();
            for delta in graph.take_output() {
                let columns = delta.rows().columns().iter();
                let bytes = columns.map(column_bytes).fold(0, usize::saturating_add);
                let left = self.bytes_left.checked_sub(bytes);
                self.bytes_left = left.ok_or_else(|| {
                    let message = "the answer needs more memory than one question may use";
                    SqlError::new(sqlstate::OUT_OF_MEMORY, message)
                })?;
                self.deltas.push(delta);
            }
            if !has_more {
                return Ok(());
            }
        }
    }
}

fn plan_error(error: &PlanError) -> SqlError {
    SqlError::unsupported(error.to_string())
}

/// The columns that an input reads, in canonical types.
fn read(batch: &RecordBatch, input: &Input, schema: &SchemaRef) -> Result<RecordBatch, SqlError> {
    let column = |at: &usize| -> Result<ArrayRef, SqlError> {
        let array = batch.columns().get(*at).ok_or_else(|| {
            SqlError::new(
                sqlstate::INTERNAL_ERROR,
                format!("{} has fewer columns", input.relation),
            )
        })?;
        let wanted = canonical(array.data_type());
        if *array.data_type() == wanted {
            return Ok(array.clone());
        }
        Ok(cast(array, &wanted)?)
    };
    let columns = input
        .columns
        .iter()
        .map(column)
        .collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(
        schema.clone(),
        columns,
        &options,
    )?)
}

/// Each row as often as its weights say.
pub fn expanded(schema: &SchemaRef, deltas: &[Delta]) -> Result<RecordBatch, SqlError> {
    let nullable = crate::column_type::canonical_schema(schema);
    let batches = deltas
        .iter()
        .map(|delta| {
            let options = RecordBatchOptions::new().with_row_count(Some(delta.len()));
            let columns = delta.rows().columns().to_vec();
            RecordBatch::try_new_with_options(nullable.clone(), columns, &options)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let weights: Vec<i64> = deltas
        .iter()
        .flat_map(|delta| (0..delta.len()).map(|row| delta.weight(row)))
        .collect();
    let all = together(&nullable, &batches)?;
    if weights.iter().all(|weight| *weight == 1) {
        return Ok(all);
    }
    let counts = if weights.iter().all(|weight| *weight > 0) {
        weights
    } else {
        consolidated(&all, &weights)?
    };
    let total: i64 = counts.iter().sum();
    if usize::try_from(total).map_or(true, |total| total > ANSWER_ROWS_MAX) {
        return Err(SqlError::new(
            sqlstate::STATEMENT_TOO_COMPLEX,
            format!("the answer has more than {ANSWER_ROWS_MAX} rows"),
        ));
    }
    let places = counts.iter().enumerate().flat_map(|(row, count)| {
        let row = u32::try_from(row).expect("an answer is bounded");
        std::iter::repeat_n(row, usize::try_from(*count).unwrap_or(0))
    });
    taken(&all, &UInt32Array::from_iter_values(places))
}

/// Keeps the number of rows where there are no columns.
fn together(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, SqlError> {
    if schema.fields().is_empty() {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        return Ok(RecordBatch::try_new_with_options(
            schema.clone(),
            Vec::new(),
            &options,
        )?);
    }
    Ok(concat_batches(schema, batches)?)
}

fn taken(all: &RecordBatch, places: &UInt32Array) -> Result<RecordBatch, SqlError> {
    if all.num_columns() == 0 {
        let options = RecordBatchOptions::new().with_row_count(Some(places.len()));
        return Ok(RecordBatch::try_new_with_options(
            all.schema(),
            Vec::new(),
            &options,
        )?);
    }
    Ok(take_record_batch(all, places)?)
}

/// The sum of the weights of equal rows at the first of them, none at the others.
fn consolidated(all: &RecordBatch, weights: &[i64]) -> Result<Vec<i64>, SqlError> {
    let mut counts = vec![0; weights.len()];
    if all.num_columns() == 0 {
        if let Some(first) = counts.first_mut() {
            *first = weights.iter().sum();
        }
        return Ok(counts);
    }
    let types = all
        .columns()
        .iter()
        .map(|column| SortField::new(column.data_type().clone()));
    let rows = RowConverter::new(types.collect())?.convert_columns(all.columns())?;
    let mut first: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for (at, weight) in weights.iter().enumerate() {
        let place = *first.entry(rows.row(at).as_ref().to_vec()).or_insert(at);
        counts[place] += weight;
    }
    if counts.iter().any(|count| *count < 0) {
        return Err(SqlError::new(
            sqlstate::INTERNAL_ERROR,
            "more rows go than came",
        ));
    }
    Ok(counts)
}

fn ordered(all: RecordBatch, order: &[SortKey]) -> Result<RecordBatch, SqlError> {
    if order.is_empty() || all.num_rows() < 2 {
        return Ok(all);
    }
    let keys: Vec<SortColumn> = order
        .iter()
        .map(|key| SortColumn {
            values: all.column(key.column).clone(),
            options: Some(SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            }),
        })
        .collect();
    let places = lexsort_to_indices(&keys, None)?;
    taken(&all, &places)
}

fn sliced(all: RecordBatch, offset: u64, limit: Option<u64>) -> RecordBatch {
    let rows = all.num_rows();
    let from = usize::try_from(offset).unwrap_or(rows).min(rows);
    let left = rows - from;
    let count = limit.map_or(left, |limit| {
        usize::try_from(limit).unwrap_or(left).min(left)
    });
    all.slice(from, count)
}
