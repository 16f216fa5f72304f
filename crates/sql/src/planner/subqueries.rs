//! Subqueries where the engine's answer is not SQL's: IN beside other conditions, and values of several rows.

use std::sync::Arc;

use datafusion_common::{
    Column, DFSchema, DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Subquery,
    expr::{Exists, InSubquery, SetComparison, SetQuantifier},
    expr_rewriter::NamePreserver,
    lit,
    utils::{conjunction, merge_schema, split_conjunction_owned},
    when,
};

use super::correlated::free;
use crate::{
    backend::SqlError,
    error::{raise, sqlstate},
    functions,
};

/// As a condition of its own, IN is a semi or anti join that knows of nulls, but for NOT IN that asks for outer columns: its
/// nulls are those of some rows only. Anywhere else the engine makes a mark of it that is never null. There, and for EXISTS and
/// comparisons with ANY and ALL, rows are counted.
pub fn with_three_values(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        if let LogicalPlan::Filter(mut filter) = node {
            let conditions = split_conjunction_owned(filter.predicate);
            let conditions = conditions
                .into_iter()
                .map(|condition| match as_membership(condition) {
                    Expr::InSubquery(inner)
                        if inner.negated && !free(&inner.subquery.subquery).is_empty() =>
                    {
                        counted(Expr::InSubquery(inner), &schema)
                    }
                    condition @ (Expr::InSubquery(_) | Expr::Exists(_)) => Ok(condition),
                    other => counted(other, &schema),
                })
                .collect::<Result<Vec<_>, DataFusionError>>()?;
            filter.predicate = conjunction(conditions).unwrap_or_else(|| lit(true));
            return Ok(Transformed::yes(LogicalPlan::Filter(filter)));
        }
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            Ok(Transformed::yes(
                name.restore(counted(expression, &schema)?),
            ))
        })
    })?;
    Ok(done.data)
}

/// `= ANY` as IN, `<> ALL` as NOT IN, and NOT of all these in them.
fn as_membership(condition: Expr) -> Expr {
    match condition {
        Expr::SetComparison(comparison) => {
            let negated = match (comparison.op, &comparison.quantifier) {
                (Operator::Eq, SetQuantifier::Any) => false,
                (Operator::NotEq, SetQuantifier::All) => true,
                _ => return Expr::SetComparison(comparison),
            };
            let SetComparison { expr, subquery, .. } = comparison;
            Expr::InSubquery(InSubquery::new(expr, subquery, negated))
        }
        Expr::Not(inner) => match as_membership(*inner) {
            Expr::InSubquery(inner) => Expr::InSubquery(InSubquery {
                negated: !inner.negated,
                ..inner
            }),
            Expr::Exists(inner) => Expr::Exists(Exists {
                negated: !inner.negated,
                ..inner
            }),
            other => Expr::Not(Box::new(other)),
        },
        other => other,
    }
}

fn counted(expression: Expr, schema: &DFSchema) -> Result<Expr, DataFusionError> {
    let done = expression.transform_up(|inner| match as_membership(inner) {
        Expr::InSubquery(subquery) => {
            let found = comparison(&subquery.expr, Operator::Eq, &subquery.subquery, schema)?;
            Ok(Transformed::yes(match subquery.negated {
                true => Expr::Not(Box::new(found)),
                false => found,
            }))
        }
        Expr::SetComparison(compared) => {
            let SetComparison { expr, subquery, .. } = &compared;
            let found = match &compared.quantifier {
                SetQuantifier::Any => comparison(expr, compared.op, subquery, schema)?,
                // No row for which the opposite is true.
                SetQuantifier::All => {
                    let opposite = compared.op.negate();
                    let opposite = opposite.ok_or_else(|| {
                        let message = format!("{} ALL is not supported", compared.op);
                        raise(sqlstate::FEATURE_NOT_SUPPORTED, message)
                    })?;
                    Expr::Not(Box::new(comparison(expr, opposite, subquery, schema)?))
                }
            };
            Ok(Transformed::yes(found))
        }
        Expr::Exists(exists) => {
            let rows = rows_where(&exists.subquery, None, Vec::new())?;
            let is_there = if exists.negated {
                rows.eq(lit(0_i64))
            } else {
                rows.gt(lit(0_i64))
            };
            Ok(Transformed::yes(is_there))
        }
        other => Ok(Transformed::no(other)),
    })?;
    Ok(done.data)
}

/// True when there is a value that the left side compares so with; unknown when there is none but a null on either side; else
/// false.
fn comparison(
    left: &Expr,
    op: Operator,
    inner: &Subquery,
    schema: &DFSchema,
) -> Result<Expr, DataFusionError> {
    let value = || {
        let field = inner.subquery.schema().qualified_field(0);
        Expr::Column(Column::from(field))
    };
    let mut outer = Vec::new();
    let asked = left.clone().transform_up(|part| match part {
        Expr::Column(column) => {
            let (_, field) = schema.qualified_field_from_column(&column)?;
            let reference = Expr::OuterReferenceColumn(field.clone(), column);
            outer.push(reference.clone());
            Ok(Transformed::yes(reference))
        }
        other => Ok(Transformed::no(other)),
    })?;
    let holds = BinaryExpr::new(Box::new(asked.data), op, Box::new(value()));
    let holds = rows_where(inner, Some(Expr::BinaryExpr(holds)), outer)?;
    let nulls = rows_where(inner, Some(value().is_null()), Vec::new())?;
    let all = rows_where(inner, None, Vec::new())?;
    let is_null = left.clone().is_null();
    let unknown = nulls.gt(lit(0_i64)).or(is_null.and(all.gt(lit(0_i64))));
    when(holds.gt(lit(0_i64)), lit(true))
        .when(unknown, lit(ScalarValue::Boolean(None)))
        .otherwise(lit(false))
}

/// How many rows of a subquery satisfy a condition.
fn rows_where(
    subquery: &Subquery,
    condition: Option<Expr>,
    outer: Vec<Expr>,
) -> Result<Expr, DataFusionError> {
    let missing = || DataFusionError::Internal("count is a function".to_owned());
    let count = functions::aggregate("count").ok_or_else(missing)?;
    let mut builder = LogicalPlanBuilder::from(subquery.subquery.as_ref().clone());
    if let Some(condition) = condition {
        builder = builder.filter(condition)?;
    }
    let rows = count.call(vec![lit(1_i64)]).alias("rows");
    let counted = builder.aggregate(Vec::<Expr>::new(), vec![rows])?.build()?;
    let mut counted = subquery.with_plan(Arc::new(counted));
    counted.outer_ref_columns.extend(outer);
    Ok(Expr::ScalarSubquery(counted))
}

/// A subquery for a value fails when it has several rows.
pub fn single_values(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let wrapped = expression.transform_up(|inner| {
                let Expr::ScalarSubquery(subquery) = &inner else {
                    return Ok(Transformed::no(inner));
                };
                if has_one_row(&subquery.subquery) {
                    return Ok(Transformed::no(inner));
                }
                let one = single_value(subquery.subquery.as_ref().clone())?;
                let subquery = subquery.with_plan(Arc::new(one));
                Ok(Transformed::yes(Expr::ScalarSubquery(subquery)))
            })?;
            Ok(wrapped.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}

fn has_one_row(logical: &LogicalPlan) -> bool {
    match logical {
        LogicalPlan::Projection(projection) => has_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Sort(sort) => has_one_row(&sort.input),
        LogicalPlan::Filter(filter) => has_one_row(&filter.input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        LogicalPlan::EmptyRelation(_) => true,
        LogicalPlan::Values(values) => values.values.len() == 1,
        LogicalPlan::Limit(limit) => matches!(
            limit.get_fetch_type(),
            Ok(datafusion_expr::FetchType::Literal(Some(0 | 1)))
        ),
        _ => false,
    }
}

/// `SELECT single_value(count(*), first_value(x))` of it.
fn single_value(logical: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    let column = Expr::Column(Column::from(logical.schema().qualified_field(0)));
    let name = logical.schema().field(0).name().clone();
    let missing = || DataFusionError::Internal("count and first_value are functions".to_owned());
    let count = functions::aggregate("count").ok_or_else(missing)?;
    let first = functions::aggregate("first_value").ok_or_else(missing)?;
    let single = functions::scalar("single_value").ok_or_else(missing)?;
    let rows = count.call(vec![Expr::Literal(ScalarValue::Int64(Some(1)), None)]);
    let aggregates = vec![rows.alias("rows"), first.call(vec![column]).alias("value")];
    let one = single.call(vec![
        datafusion_expr::col("rows"),
        datafusion_expr::col("value"),
    ]);
    LogicalPlanBuilder::from(logical)
        .aggregate(Vec::<Expr>::new(), aggregates)?
        .project(vec![one.alias(name)])?
        .build()
}
