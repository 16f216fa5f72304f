//! Filters moved towards where rows come from, as DataFusion does it, but for three cases.
//!
//! A predicate without columns must stay above an aggregate that has a row also where nothing comes in: below it, it would take
//! the rows away and leave that one. Its own rule takes every predicate whose columns are keys, so also one that has none.
//!
//! A predicate that can fail is not made for one side of a join because it follows from what is asked of the other, or of both
//! together; nor is it asked of a row before the clock has come to it.

use std::sync::Arc;

use datafusion_common::{Result, tree_node::Transformed};
use datafusion_expr::{
    Expr, LogicalPlan,
    logical_plan::{Aggregate, Filter},
    utils::{conjunction, split_conjunction},
};
use datafusion_optimizer::{
    ApplyOrder, OptimizerConfig, OptimizerRule, push_down_filter::PushDownFilter,
};

use super::{temporal::Valid, truth};

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
            predicates.extend(split_conjunction(&filter.predicate));
            below = &filter.input;
        }
        let stays: fn(&Expr) -> bool = match below {
            LogicalPlan::Join(join) => {
                let sides = [&join.left, &join.right].into_iter();
                let sides = sides.filter_map(|side| match side.as_ref() {
                    LogicalPlan::Filter(filter) => Some(&filter.predicate),
                    _ => None,
                });
                let asked = sides.chain(&join.filter).flat_map(split_conjunction);
                let asked: Vec<Expr> = asked.chain(predicates).cloned().collect();
                let pushed = self.0.rewrite(plan, config)?;
                return Ok(pushed.update_data(|plan| without_new(plan, &asked)));
            }
            LogicalPlan::Aggregate(aggregate) if is_never_empty(aggregate) => {
                |predicate| predicate.column_refs().is_empty()
            }
            LogicalPlan::Extension(extension) if extension.node.as_any().is::<Valid>() => {
                truth::can_fail
            }
            _ => return self.0.rewrite(plan, config),
        };
        let all = predicates.into_iter().cloned();
        let (staying, others): (Vec<Expr>, Vec<Expr>) = all.partition(stays);
        if staying.is_empty() {
            return self.0.rewrite(plan, config);
        }
        let rest = filter(others, below.clone())?;
        let pushed = self.0.rewrite(rest, config)?;
        pushed.map_data(|plan| filter(staying, plan))
    }
}

/// A join that predicates were pushed to, without those that can fail and were not asked for: they follow from the others, and
/// would be asked of rows that those are not asked of.
fn without_new(plan: LogicalPlan, asked: &[Expr]) -> LogicalPlan {
    let is_kept = |predicate: &Expr| !truth::can_fail(predicate) || asked.contains(predicate);
    let kept = |predicate: &Expr| {
        let parts = split_conjunction(predicate).into_iter();
        conjunction(parts.filter(|part| is_kept(part)).cloned())
    };
    let side = |side: Arc<LogicalPlan>| match side.as_ref() {
        LogicalPlan::Filter(filter) => match kept(&filter.predicate) {
            Some(predicate) => Arc::new(LogicalPlan::Filter(Filter::new(
                predicate,
                filter.input.clone(),
            ))),
            None => filter.input.clone(),
        },
        _ => side,
    };
    match plan {
        LogicalPlan::Join(mut join) => {
            join.filter = join.filter.as_ref().and_then(kept);
            (join.left, join.right) = (side(join.left), side(join.right));
            LogicalPlan::Join(join)
        }
        LogicalPlan::Filter(mut filter) => {
            filter.input = Arc::new(without_new(Arc::unwrap_or_clone(filter.input), asked));
            LogicalPlan::Filter(filter)
        }
        other => other,
    }
}
