//! `SESSION` in FROM: each row once, with the session that it is in.

use std::{fmt, hash::Hash, time::Duration};

use datafusion_common::{DFSchemaRef, DataFusionError};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::windows::{WINDOW_END, WINDOW_START, windowed_schema};
use crate::error::{raise, sqlstate};

/// See the module head.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Sessioned {
    pub input: LogicalPlan,
    /// Columns of the input: rows that differ there are in different sessions.
    pub partition: Vec<Expr>,
    /// A column of the input.
    pub time: Expr,
    pub gap: Duration,
    pub schema: DFSchemaRef,
}

super::node::plan_node!(Sessioned, time);

impl Sessioned {
    pub fn new(
        input: LogicalPlan,
        partition: Vec<Expr>,
        time: Expr,
        gap: Duration,
    ) -> Result<Self, DataFusionError> {
        if !partition.iter().all(|key| matches!(key, Expr::Column(_))) {
            return Err(raise(
                sqlstate::INVALID_PARAMETER_VALUE,
                "sessions are partitioned by columns",
            ));
        }
        Ok(Self {
            schema: windowed_schema(&input, &time)?,
            input,
            partition,
            time,
            gap,
        })
    }
}

impl UserDefinedLogicalNodeCore for Sessioned {
    fn name(&self) -> &'static str {
        "Sessions"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let mut all = self.partition.clone();
        all.push(self.time.clone());
        all
    }

    /// Which rows there are decides what the others' sessions are; only what whole partitions share may go down.
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        let of_partition = |name: &String| {
            self.partition
                .iter()
                .any(|key| matches!(key, Expr::Column(column) if column.name == *name))
        };
        let fields = self.input.schema().fields().iter();
        let names = fields.map(|field| field.name().clone());
        let bounds = [WINDOW_START, WINDOW_END].map(str::to_owned);
        names
            .filter(|name| !of_partition(name))
            .chain(bounds)
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions: {:?} of {}", self.gap, self.time)
    }

    fn with_exprs_and_inputs(
        &self,
        mut expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let (Some(time), Some(input)) = (expressions.pop(), inputs.pop()) else {
            return Err(DataFusionError::Internal(
                "one input and its time".to_owned(),
            ));
        };
        Self::new(input, expressions, time, self.gap)
    }

    fn necessary_children_exprs(&self, columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let width = self.input.schema().fields().len();
        let mut needed: Vec<usize> = columns.iter().copied().filter(|at| *at < width).collect();
        for expression in self.partition.iter().chain([&self.time]) {
            if let Expr::Column(column) = expression {
                needed.push(self.input.schema().maybe_index_of_column(column)?);
            }
        }
        needed.sort_unstable();
        needed.dedup();
        Some(vec![needed])
    }
}
