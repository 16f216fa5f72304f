//! Operators that look at one row at a time and keep nothing.

use arrow_array::{BooleanArray, RecordBatch, RecordBatchOptions, cast::AsArray};
use arrow_schema::{DataType, SchemaRef};

use super::{End, Output, Place, Running, VALUES_BYTES_MAX, Write, evaluate, evaluate_some};
use crate::{Delta, ExpressionRef, graph::PlanError, row::Corrupt};

/// Inputs and unions: rows as they are.
#[derive(Debug)]
struct Pass {
    schema: SchemaRef,
}

pub(super) fn pass(place: &Place) -> Result<Box<dyn Running>, PlanError> {
    for input in &place.inputs {
        place.expect_types(input.fields().iter().map(|field| field.data_type()))?;
    }
    Ok(Box::new(Pass {
        schema: place.schema.clone(),
    }))
}

impl Running for Pass {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        out.deltas
            .push(delta.with_columns(self.schema.clone(), delta.rows().columns().to_vec()));
    }
}

/// Rows of the plan itself, once.
#[derive(Debug)]
struct Constant {
    rows: RecordBatch,
    is_emitted: bool,
    is_dirty: bool,
}

pub(super) fn constant(place: &Place, rows: &RecordBatch) -> Result<Box<dyn Running>, PlanError> {
    place.expect_types(rows.schema().fields().iter().map(|field| field.data_type()))?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let rows =
        RecordBatch::try_new_with_options(place.schema.clone(), rows.columns().to_vec(), &options);
    Ok(Box::new(Constant {
        rows: rows.expect("the columns have these types"),
        is_emitted: false,
        is_dirty: false,
    }))
}

impl Running for Constant {
    fn take(&mut self, _port: usize, _delta: &Delta, _out: &mut Output) {
        unreachable!("it has no inputs");
    }

    fn finish(&mut self, _end: &End, out: &mut Output) -> bool {
        if !self.is_emitted {
            self.is_emitted = true;
            self.is_dirty = true;
            out.deltas.push(Delta::insert(self.rows.clone()));
        }
        false
    }

    fn checkpoint(&mut self, all: bool, write: &mut Write<'_>) -> bool {
        if self.is_emitted && (all || self.is_dirty) {
            self.is_dirty = false;
            write(0, &[], Some(&[]));
        }
        false
    }

    fn restore(&mut self, table: u8, key: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        if table != 0 || !key.is_empty() || !value.is_empty() {
            return Err(Corrupt);
        }
        self.is_emitted = true;
        Ok(())
    }
}

#[derive(Debug)]
struct Project {
    expressions: Vec<(ExpressionRef, DataType)>,
    schema: SchemaRef,
    /// What it puts out at once.
    bytes_max: usize,
}

pub(super) fn project(
    place: &Place,
    expressions: &[ExpressionRef],
) -> Result<Box<dyn Running>, PlanError> {
    if expressions.len() != place.schema.fields().len() {
        return Err(place.malformed("its schema has not a column for each expression"));
    }
    let types = place
        .schema
        .fields()
        .iter()
        .map(|field| field.data_type().clone());
    let expressions: Vec<(ExpressionRef, DataType)> =
        expressions.iter().cloned().zip(types).collect();
    Ok(Box::new(Project {
        expressions,
        schema: place.schema.clone(),
        bytes_max: VALUES_BYTES_MAX,
    }))
}

impl Running for Project {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let (count, columns) = evaluate_some(&self.expressions, delta.rows(), self.bytes_max, out);
        if count == delta.len() {
            let all = delta.with_columns(self.schema.clone(), columns);
            return out.deltas.push(all);
        }
        let first = delta.slice(0, count);
        out.deltas
            .push(first.with_columns(self.schema.clone(), columns));
        out.rest = Some(delta.slice(count, delta.len() - count));
    }
}

/// The names of its columns are its own: the last of a view's operators has the view's.
#[derive(Debug)]
struct Filter {
    condition: ExpressionRef,
    schema: SchemaRef,
}

pub(super) fn filter(
    place: &Place,
    condition: &ExpressionRef,
) -> Result<Box<dyn Running>, PlanError> {
    for input in &place.inputs {
        place.expect_types(input.fields().iter().map(|field| field.data_type()))?;
    }
    Ok(Box::new(Filter {
        condition: condition.clone(),
        schema: place.schema.clone(),
    }))
}

impl Running for Filter {
    fn take(&mut self, _port: usize, delta: &Delta, out: &mut Output) {
        let keep = evaluate(&self.condition, delta.rows(), &DataType::Boolean, out);
        let keep: &BooleanArray = keep.as_boolean();
        let kept = delta.filter(keep).expect("a truth value for each row");
        let columns = kept.rows().columns().to_vec();
        out.deltas
            .push(kept.with_columns(self.schema.clone(), columns));
    }
}

#[cfg(test)]
mod tests;
