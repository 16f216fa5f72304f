//! Subqueries for a value that compare with their outer query by more than `=`.
//!
//! The engine makes a join of a correlated aggregate when the outer columns stand in equations: the aggregate then has the
//! inner sides as its groups. `(SELECT count(*) FROM u WHERE u.a > t.a)` has no such groups. So the values that the outer
//! query asks for are joined in: `… FROM u JOIN (SELECT DISTINCT a FROM t) d ON u.a > d.a WHERE d.a = t.a` (Neumann and
//! Kemper, "Unnesting Arbitrary Queries", the dependent join's domain).

use std::sync::Arc;

use datafusion_common::{
    Column, DataFusionError, TableReference,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    expr_rewriter::NamePreserver,
    utils::{conjunction, split_conjunction_owned},
};

use crate::backend::SqlError;

/// Rewrites what it knows and leaves the rest.
pub fn with_domains(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let mut count = 0;
    let done = logical.transform_up_with_subqueries(|node| {
        let is_known = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::Filter(_));
        let outer = match node.inputs().as_slice() {
            [input] if is_known => (*input).clone(),
            _ => return Ok(Transformed::no(node)),
        };
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let rewritten = expression.transform_up(|inner| match inner {
                Expr::ScalarSubquery(subquery) => {
                    count += 1;
                    match joined(&subquery, &outer, count)? {
                        Some(plan) => {
                            let subquery = subquery.with_plan(Arc::new(plan));
                            Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
                        }
                        None => Ok(Transformed::no(Expr::ScalarSubquery(subquery))),
                    }
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(rewritten.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}

/// The subquery over the domain; `None`: it is not one of those.
fn joined(
    subquery: &Subquery,
    outer: &LogicalPlan,
    number: usize,
) -> Result<Option<LogicalPlan>, DataFusionError> {
    if !outer.all_out_ref_exprs().is_empty() {
        return Ok(None);
    }
    let mut is_changed = false;
    let plan = subquery.subquery.as_ref().clone();
    let done = below_aggregate(plan, &mut |filter| {
        let new = over_domain(&filter, outer, number)?;
        is_changed |= new.is_some();
        Ok(new.unwrap_or(LogicalPlan::Filter(filter)))
    })?;
    Ok(is_changed.then_some(done))
}

/// Changes the filter right below the one aggregate that gives the value.
fn below_aggregate(
    plan: LogicalPlan,
    change: &mut dyn FnMut(Filter) -> Result<LogicalPlan, DataFusionError>,
) -> Result<LogicalPlan, DataFusionError> {
    let with_input = |plan: &LogicalPlan, change: &mut dyn FnMut(Filter) -> _| {
        let input = plan.inputs()[0].clone();
        let input = below_aggregate(input, change)?;
        plan.with_new_exprs(plan.expressions(), vec![input])
    };
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => with_input(&plan, change),
        LogicalPlan::Aggregate(ref aggregate) if aggregate.group_expr.is_empty() => {
            let LogicalPlan::Filter(filter) = aggregate.input.as_ref() else {
                return Ok(plan);
            };
            let input = change(filter.clone())?;
            plan.with_new_exprs(plan.expressions(), vec![input])
        }
        other => Ok(other),
    }
}

fn over_domain(
    filter: &Filter,
    outer: &LogicalPlan,
    number: usize,
) -> Result<Option<LogicalPlan>, DataFusionError> {
    let conditions = split_conjunction_owned(filter.predicate.clone());
    let (correlated, plain): (Vec<Expr>, Vec<Expr>) =
        conditions.into_iter().partition(Expr::contains_outer);
    let is_strict = correlated.iter().all(is_comparison);
    if correlated.is_empty() || !is_strict || correlated.iter().all(is_equation) {
        return Ok(None);
    }
    if !filter.input.all_out_ref_exprs().is_empty() {
        return Ok(None);
    }
    let mut asked: Vec<(Column, Expr)> = Vec::new();
    for condition in &correlated {
        condition.apply(|part| {
            if let Expr::OuterReferenceColumn(_, column) = part
                && !asked.iter().any(|(known, _)| known == column)
            {
                asked.push((column.clone(), part.clone()));
            }
            Ok(datafusion_common::tree_node::TreeNodeRecursion::Continue)
        })?;
    }
    if !asked
        .iter()
        .all(|(column, _)| outer.schema().has_column(column))
    {
        return Ok(None);
    }
    let domain = TableReference::bare(format!("__domain_{number}"));
    let place = |at: usize| Column::new(Some(domain.clone()), format!("asked_{at}"));
    let values = asked
        .iter()
        .enumerate()
        .map(|(at, (column, _))| Expr::Column(column.clone()).alias(format!("asked_{at}")));
    let values = LogicalPlanBuilder::from(outer.clone())
        .project(values.collect::<Vec<_>>())?
        .distinct()?
        .alias(domain.clone())?
        .build()?;
    let on = correlated.into_iter().map(|condition| {
        let done = condition.transform_up(|part| match &part {
            Expr::OuterReferenceColumn(_, column) => {
                let at = asked.iter().position(|(known, _)| known == column);
                Ok(at.map_or(Transformed::no(part), |at| {
                    Transformed::yes(Expr::Column(place(at)))
                }))
            }
            _ => Ok(Transformed::no(part)),
        })?;
        Ok(done.data)
    });
    let on = on.collect::<Result<Vec<_>, DataFusionError>>()?;
    let mut inner = LogicalPlanBuilder::from(filter.input.as_ref().clone());
    if let Some(plain) = conjunction(plain) {
        inner = inner.filter(plain)?;
    }
    let equal = asked
        .iter()
        .enumerate()
        .map(|(at, (_, outer))| Expr::Column(place(at)).eq(outer.clone()));
    let mut joined = inner.join_on(values, JoinType::Inner, on)?;
    if let Some(equal) = conjunction(equal) {
        joined = joined.filter(equal)?;
    }
    joined.build().map(Some)
}

/// Never true of a null: the domain's nulls then find nothing, as `=` finds none of them.
fn is_comparison(condition: &Expr) -> bool {
    matches!(
        condition,
        Expr::BinaryExpr(BinaryExpr { left, op, right })
            if is_strict_operator(*op)
                && [left, right].iter().all(|side| {
                    matches!(side.as_ref(), Expr::OuterReferenceColumn(..)) || !side.contains_outer()
                })
    )
}

fn is_strict_operator(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
    )
}

fn is_equation(condition: &Expr) -> bool {
    matches!(
        condition,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Eq,
            ..
        })
    )
}
