//! Queries run over rows that are all there.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use streams::Operator;

use crate::{backend::SqlError, planner::Planned};

pub fn run(
    planned: &Planned,
    _rows: BTreeMap<String, Vec<RecordBatch>>,
    _now_us: i64,
) -> Result<Vec<RecordBatch>, SqlError> {
    let mut done: Vec<RecordBatch> = Vec::new();
    for node in &planned.plan.nodes {
        done.push(match &node.operator {
            Operator::Constant(batch) => batch.clone(),
            Operator::Project(expressions) => {
                let rows = &done[node.inputs[0].0];
                let columns = expressions.iter().map(|e| e.evaluate(rows));
                let columns = columns.collect::<Result<Vec<_>, _>>()?;
                RecordBatch::try_new(node.schema.clone(), columns)?
            }
            _ => return Err(SqlError::unsupported("execution")),
        });
    }
    Ok(done.pop().into_iter().collect())
}
