//! Filters moved towards where rows come from, as DataFusion does it, but for four cases.
//!
//! A predicate without columns must stay above an aggregate that has a row also where nothing comes in: below it, it would take
//! the rows away and leave that one. Its own rule takes every predicate whose columns are keys, so also one that has none.
//!
//! A predicate that can fail (`truth`) stays above joins, groups, lists, windows and the clock: they keep rows from it, or columns
//! that what is asked before it reads. Below, rows are only asked whether it may hold. Nor is it made for one side of a join
//! because it follows from what is asked of both.
//!
//! Of what is asked of one column its rule keeps the strictest, where it takes `1 = a` for something else than `a = 1`, and 0.0 for
//! more than -0.0: predicates are spelled alike before ([`spelled_alike`]).

use std::sync::Arc;

use datafusion_common::{
    Result, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlan,
    logical_plan::{Aggregate, Filter, Join},
    utils::{conjunction, split_conjunction, split_conjunction_owned},
};
use datafusion_optimizer::{
    ApplyOrder, OptimizerConfig, OptimizerRule, push_down_filter::PushDownFilter,
};

use super::{semantics::is_comparison, truth};

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
            predicates.splice(0..0, split_conjunction(&filter.predicate));
            below = &filter.input;
        }
        let predicates = spelled_alike(predicates.into_iter())?;
        match below {
            LogicalPlan::Join(join) => self.at_join(join, predicates, config),
            LogicalPlan::Aggregate(aggregate) if is_never_empty(aggregate) => {
                let (free, others): (Vec<Expr>, Vec<Expr>) = predicates
                    .into_iter()
                    .partition(|predicate| predicate.column_refs().is_empty());
                let pushed = self.above(below, others, config)?;
                pushed.map_data(|plan| filter(free, plan))
            }
            LogicalPlan::Aggregate(_)
            | LogicalPlan::Window(_)
            | LogicalPlan::Unnest(_)
            | LogicalPlan::Extension(_) => self.above(below, predicates, config),
            _ => self.0.rewrite(filter(predicates, below.clone())?, config),
        }
    }
}

/// Each once, comparisons with the literal on the right, and one spelling of each float.
fn spelled_alike<'a>(predicates: impl Iterator<Item = &'a Expr>) -> Result<Vec<Expr>> {
    let mut all = Vec::new();
    for predicate in predicates {
        let predicate = respelled(predicate.clone())?;
        if !all.contains(&predicate) || predicate.is_volatile() {
            all.push(predicate);
        }
    }
    Ok(all)
}

fn respelled(predicate: Expr) -> Result<Expr> {
    let spelled = predicate.transform_up(|part| {
        let Expr::BinaryExpr(mut binary) = part else {
            return Ok(Transformed::no(part));
        };
        if !is_comparison(binary.op) {
            return Ok(Transformed::no(Expr::BinaryExpr(binary)));
        }
        for side in [&mut binary.left, &mut binary.right] {
            if let Expr::Literal(value, _) = side.as_mut() {
                one_float(value);
            }
        }
        let is_literal = |side: &Expr| matches!(side, Expr::Literal(..));
        let binary = match binary.op.swap() {
            Some(op) if is_literal(&binary.left) && !is_literal(&binary.right) => {
                BinaryExpr::new(binary.right, op, binary.left)
            }
            _ => binary,
        };
        Ok(Transformed::yes(Expr::BinaryExpr(binary)))
    })?;
    Ok(spelled.data)
}

/// Zero has one sign and NaN one pattern where floats are compared (`floats`).
fn one_float(value: &mut ScalarValue) {
    match value {
        ScalarValue::Float64(Some(value)) if *value == 0.0 => *value = 0.0,
        ScalarValue::Float64(Some(value)) if value.is_nan() => *value = f64::NAN,
        ScalarValue::Float32(Some(value)) if *value == 0.0 => *value = 0.0,
        ScalarValue::Float32(Some(value)) if value.is_nan() => *value = f32::NAN,
        _ => {}
    }
}

impl PushDown {
    /// What can fail stays.
    fn above(
        &self,
        below: &LogicalPlan,
        predicates: Vec<Expr>,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let (held, pushed) = parted(predicates, truth::can_fail);
        let plan = self.0.rewrite(filter(pushed, below.clone())?, config)?;
        plan.map_data(|plan| restored(plan, held))
    }

    /// The same of a join, to which its own condition belongs, too.
    fn at_join(
        &self,
        join: &Join,
        predicates: Vec<Expr>,
        config: &dyn OptimizerConfig,
    ) -> Result<Transformed<LogicalPlan>> {
        let is_held =
            |predicate: &Expr| truth::can_fail(predicate) && is_of_one_side(predicate, join);
        let (held, pushed) = parted(predicates, is_held);
        let on = spelled_alike(join.filter.iter().flat_map(split_conjunction))?;
        let (held_on, on) = parted(on, |predicate| is_held(predicate) && !join.null_aware);
        let sides = [&join.left, &join.right].into_iter();
        let sides = sides.filter_map(|side| match side.as_ref() {
            LogicalPlan::Filter(filter) => Some(&filter.predicate),
            _ => None,
        });
        let asked = sides.flat_map(split_conjunction).chain(&pushed).chain(&on);
        let asked: Vec<Expr> = asked.cloned().collect();
        let mut join = join.clone();
        join.filter = conjunction(on);
        let plan = self
            .0
            .rewrite(filter(pushed, LogicalPlan::Join(join))?, config)?;
        plan.map_data(|plan| restored(without_new(plan, &asked, held_on), held))
    }
}

fn is_of_one_side(predicate: &Expr, join: &Join) -> bool {
    let columns = predicate.column_refs();
    let is_of = |side: &LogicalPlan| {
        columns
            .iter()
            .all(|column| side.schema().has_column(column))
    };
    !columns.is_empty() && (is_of(&join.left) || is_of(&join.right))
}

/// Those that are held, and all, of which those may hold.
fn parted(predicates: Vec<Expr>, is_held: impl Fn(&Expr) -> bool) -> (Vec<Expr>, Vec<Expr>) {
    let mut held = Vec::new();
    let pushed = predicates.into_iter().map(|predicate| {
        if !is_held(&predicate) {
            return predicate;
        }
        held.push(predicate.clone());
        truth::may_hold(predicate)
    });
    let pushed = pushed.collect();
    (held, pushed)
}

/// With what was held, in the place of what of it was not pushed any further.
fn restored(plan: LogicalPlan, held: Vec<Expr>) -> Result<LogicalPlan> {
    let LogicalPlan::Filter(top) = plan else {
        return filter(held, plan);
    };
    let all = put_back(split_conjunction_owned(top.predicate), held);
    filter(all, Arc::unwrap_or_clone(top.input))
}

fn put_back(mut predicates: Vec<Expr>, held: Vec<Expr>) -> Vec<Expr> {
    let weaker: Vec<Expr> = held.iter().cloned().map(truth::may_hold).collect();
    predicates.retain(|predicate| !weaker.contains(predicate));
    predicates.extend(held);
    predicates
}

/// A join that predicates were pushed to, without those that can fail and were not asked for: they follow from the others, and
/// would be asked of rows that those are not asked of. With what its condition had that was held.
fn without_new(plan: LogicalPlan, asked: &[Expr], held: Vec<Expr>) -> LogicalPlan {
    let kept = |predicate: &Expr| {
        let mut parts = split_conjunction_owned(predicate.clone());
        parts.retain(|part| !truth::can_fail(part) || asked.contains(part));
        parts
    };
    let side = |side: Arc<LogicalPlan>| match side.as_ref() {
        LogicalPlan::Filter(filter) => match conjunction(kept(&filter.predicate)) {
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
            let on = join.filter.as_ref().map(kept).unwrap_or_default();
            join.filter = conjunction(put_back(on, held));
            (join.left, join.right) = (side(join.left), side(join.right));
            LogicalPlan::Join(join)
        }
        LogicalPlan::Filter(mut filter) => {
            let input = Arc::unwrap_or_clone(filter.input);
            filter.input = Arc::new(without_new(input, asked, held));
            LogicalPlan::Filter(filter)
        }
        other => other,
    }
}
