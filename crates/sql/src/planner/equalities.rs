//! Equalities of two sides as keys of their join, as DataFusion does it, but `IS NOT DISTINCT FROM` at the very end only.
//!
//! A join says once for all its keys whether nulls in them are equal. The engine's rules forget it: they put equalities that
//! come down to a join later beside such keys, and take several joins apart to put all their keys together anew.

use datafusion_common::{NullEquality, Result, tree_node::Transformed};
use datafusion_expr::LogicalPlan;
use datafusion_optimizer::{
    ApplyOrder, OptimizerConfig, OptimizerRule,
    extract_equijoin_predicate::ExtractEquijoinPredicate,
};

/// See the module head.
#[derive(Debug)]
pub struct Equalities(ExtractEquijoinPredicate);

impl Equalities {
    pub fn new() -> Self {
        Self(ExtractEquijoinPredicate::new())
    }
}

/// With keys for which nulls are equal, where a join has no others.
pub fn with_null_keys(plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<LogicalPlan> {
    let rule = ExtractEquijoinPredicate::new();
    let done = plan.transform_up_with_subqueries(|node| match takes_nulls(&node) {
        true => Ok(Transformed::no(node)),
        false => rule.rewrite(node, config),
    })?;
    Ok(done.data)
}

fn takes_nulls(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Join(join) = plan else {
        return false;
    };
    join.null_equality == NullEquality::NullEqualsNull
}

impl OptimizerRule for Equalities {
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
        let has_filter = matches!(&plan, LogicalPlan::Join(join) if join.filter.is_some());
        if !has_filter || takes_nulls(&plan) {
            return Ok(Transformed::no(plan));
        }
        let done = self.0.rewrite(plan.clone(), config)?;
        Ok(match takes_nulls(&done.data) {
            true => Transformed::no(plan),
            false => done,
        })
    }
}
