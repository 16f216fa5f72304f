//! Filters moved towards where rows come from, as DataFusion does it, but for one case.
//!
//! A predicate without columns must stay above an aggregate that has a row also where nothing comes in: below it, it would take
//! the rows away and leave that one. Its own rule takes every predicate whose columns are keys, so also one that has none.

use std::sync::Arc;

use datafusion_common::{Result, tree_node::Transformed};
use datafusion_expr::{
    Expr, LogicalPlan,
    logical_plan::{Aggregate, Filter},
    utils::{conjunction, split_conjunction_owned},
};
use datafusion_optimizer::{
    ApplyOrder, OptimizerConfig, OptimizerRule, push_down_filter::PushDownFilter,
};

/// See the module head.
#[derive(Debug)]
pub struct PushDown(PushDownFilter);

impl PushDown {
    pub fn new() -> Self {
        Self(PushDownFilter::new())
    }
}

/// Whether it has a row where nothing comes in.
fn is_never_empty(aggregate: &Aggregate) -> bool {
    let has_sets = |key: &Expr| matches!(key, Expr::GroupingSet(_));
    aggregate.group_expr.is_empty() || aggregate.group_expr.iter().any(has_sets)
}

fn filter(predicates: Vec<Expr>, input: LogicalPlan) -> Result<LogicalPlan> {
    match conjunction(predicates) {
        Some(predicate) => Ok(LogicalPlan::Filter(Filter::try_new(
            predicate,
            Arc::new(input),
        )?)),
        None => Ok(input),
    }
}

impl OptimizerRule for PushDown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        // Filters upon filters are one, so that none is pushed out of sight.
        let mut below = &plan;
        let mut predicates = Vec::new();
        while let LogicalPlan::Filter(filter) = below {
            predicates.push(&filter.predicate);
            below = &filter.input;
        }
        let LogicalPlan::Aggregate(aggregate) = below else {
            return self.0.rewrite(plan, config);
        };
        if predicates.is_empty() || !is_never_empty(aggregate) {
            return self.0.rewrite(plan, config);
        }
        let all = predicates.into_iter().cloned();
        let all = all.flat_map(split_conjunction_owned);
        let (free, others): (Vec<Expr>, Vec<Expr>) =
            all.partition(|predicate| predicate.column_refs().is_empty());
        if free.is_empty() {
            return self.0.rewrite(plan, config);
        }
        let rest = filter(others, below.clone())?;
        let pushed = self.0.rewrite(rest, config)?;
        pushed.map_data(|plan| filter(free, plan))
    }
}
