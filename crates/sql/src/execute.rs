//! A planned query run once, over rows of what it reads: the same operators that keep views, in a single epoch.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{
        SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take_record_batch,
    },
    datatypes::{DataType, Schema, SchemaRef},
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
    planner::{Bindings, Planned, floats},
};

/// Rows an answer holds at most before it is refused.
pub const ANSWER_ROWS_MAX: usize = 50_000_000;

/// Runs it. `rows` has those of every relation that it reads, in all of their columns.
///
/// Of `bytes_max`, half is for what the operators hold, and half for their rows; then half for those and their copy in one
/// piece, and half for the answer, in which a row stands as often as it is there.
pub fn execute(
    planned: &Planned,
    bindings: &Bindings,
    rows: &BTreeMap<String, Vec<Delta>>,
    bytes_max: usize,
) -> Result<Vec<RecordBatch>, SqlError> {
    let bound = planned.bind(bindings)?;
    let deltas = run(&bound.plan, bindings.now_us, rows, bytes_max)?;
    let all = Weighted::new(&bound.plan.result().schema, deltas)?;
    let part = Part {
        offset: bound.offset,
        limit: bound.limit,
        bytes_max: bytes_max / 2,
    };
    let all = all.answer(&bound.order, &part)?;
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
    rows: &BTreeMap<String, Vec<Delta>>,
    bytes_max: usize,
) -> Result<Vec<Delta>, SqlError> {
    let mut graph = Graph::new(plan).map_err(|error| plan_error(&error))?;
    graph.set_state_bytes_max(bytes_max / 2);
    let mut answer = Collected {
        deltas: Vec::new(),
        bytes_left: bytes_max / 2,
    };
    for (node, input) in plan.inputs() {
        let schema = plan.nodes[node.0].schema.clone();
        for delta in rows.get(&input.relation).into_iter().flatten() {
            graph.push(node, read(delta, input, &schema)?);
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
                self.bytes_left = left.ok_or_else(too_much)?;
                self.deltas.push(delta);
            }
            if !has_more {
                return Ok(());
            }
        }
    }
}

fn too_much() -> SqlError {
    let message = "the answer needs more memory than one question may use";
    SqlError::new(sqlstate::OUT_OF_MEMORY, message)
}

fn plan_error(error: &PlanError) -> SqlError {
    SqlError::unsupported(error.to_string())
}

/// The columns that an input reads, in canonical types.
fn read(delta: &Delta, input: &Input, schema: &SchemaRef) -> Result<Delta, SqlError> {
    let column = |at: &usize| -> Result<ArrayRef, SqlError> {
        let array = delta.rows().columns().get(*at).ok_or_else(|| {
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
    let columns = input.columns.iter().map(column);
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(delta.len()));
    let rows = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    let weights = delta.weights().map(<[i64]>::to_vec);
    Ok(match weights {
        Some(weights) => Delta::new(rows, weights),
        None => Delta::insert(rows),
    })
}

/// Which rows of an answer are wanted, and how large they may be.
struct Part {
    offset: u64,
    limit: Option<u64>,
    bytes_max: usize,
}

/// Rows in one piece, and how often each is there; `None`: once.
struct Weighted {
    rows: RecordBatch,
    counts: Option<Vec<i64>>,
}

impl Weighted {
    /// Lets the deltas go.
    fn new(schema: &SchemaRef, deltas: Vec<Delta>) -> Result<Self, SqlError> {
        let nullable = crate::column_type::canonical_schema(schema);
        let weights: Vec<i64> = deltas
            .iter()
            .flat_map(|delta| (0..delta.len()).map(|row| delta.weight(row)))
            .collect();
        let batches = deltas.into_iter().map(|delta| {
            let options = RecordBatchOptions::new().with_row_count(Some(delta.len()));
            let columns = delta.rows().columns().to_vec();
            RecordBatch::try_new_with_options(nullable.clone(), columns, &options)
        });
        let batches = batches.collect::<Result<Vec<_>, _>>()?;
        let rows = together(&nullable, &batches)?;
        drop(batches);
        let counts = if weights.iter().all(|weight| *weight == 1) {
            None
        } else if weights.iter().all(|weight| *weight > 0) {
            Some(weights)
        } else {
            Some(consolidated(&rows, &weights)?)
        };
        Ok(Self { rows, counts })
    }

    fn count(&self, row: usize) -> usize {
        let count = self.counts.as_ref().map_or(1, |counts| counts[row]);
        usize::try_from(count).unwrap_or(0)
    }

    /// In this order, copied once.
    fn answer(self, order: &[SortKey], part: &Part) -> Result<RecordBatch, SqlError> {
        let order = order_of(&self.rows, order)?;
        if order.is_none() && self.counts.is_none() {
            return Ok(sliced(self.rows, part.offset, part.limit));
        }
        let mut skipped = usize::try_from(part.offset).unwrap_or(usize::MAX);
        let limit = part.limit.and_then(|limit| usize::try_from(limit).ok());
        let limit = limit.unwrap_or(usize::MAX);
        let mut places: Vec<u32> = Vec::new();
        let mut bytes = 0_usize;
        for at in 0..self.rows.num_rows() {
            let place = match &order {
                Some(order) => order.value(at),
                None => u32::try_from(at).expect("an answer is bounded"),
            };
            let row = place as usize;
            let there = self.count(row);
            let gone = there.min(skipped);
            skipped -= gone;
            let count = (there - gone).min(limit - places.len());
            if places.len() + count > ANSWER_ROWS_MAX {
                return Err(SqlError::new(
                    sqlstate::STATEMENT_TOO_COMPLEX,
                    format!("the answer has more than {ANSWER_ROWS_MAX} rows"),
                ));
            }
            if places.len() == limit {
                break;
            }
            if count == 0 {
                continue;
            }
            bytes = bytes.saturating_add(row_bytes(&self.rows, row).saturating_mul(count));
            if bytes > part.bytes_max {
                return Err(too_much());
            }
            places.extend(std::iter::repeat_n(place, count));
        }
        taken(&self.rows, &UInt32Array::from(places))
    }
}

/// About what a row takes in its columns, and in the list of places.
fn row_bytes(rows: &RecordBatch, row: usize) -> usize {
    let columns = rows.columns().iter();
    size_of::<u32>()
        + columns
            .map(|column| value_bytes(column, row))
            .sum::<usize>()
}

fn value_bytes(column: &ArrayRef, row: usize) -> usize {
    match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(row).len() + size_of::<i32>(),
        DataType::Binary => column.as_binary::<i32>().value(row).len() + size_of::<i32>(),
        DataType::List(_) => column_bytes(&column.slice(row, 1)),
        other => other.primitive_width().unwrap_or(1),
    }
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

/// The places of the rows, the first first; `None`: as they are.
fn order_of(all: &RecordBatch, order: &[SortKey]) -> Result<Option<UInt32Array>, SqlError> {
    if order.is_empty() || all.num_rows() < 2 {
        return Ok(None);
    }
    let keys: Vec<SortColumn> = order
        .iter()
        .map(|key| SortColumn {
            values: floats::normalized(all.column(key.column)),
            options: Some(SortOptions {
                descending: key.descending,
                nulls_first: key.nulls_first,
            }),
        })
        .collect();
    Ok(Some(lexsort_to_indices(&keys, None)?))
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
