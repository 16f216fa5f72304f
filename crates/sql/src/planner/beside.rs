//! `FROM t, unnest(t.list) AS e(item)`: elements beside the row that their list stands in. The engine's planner makes a lateral
//! join of it, which it cannot take apart; here the left rows are what the list is unnested of.

use datafusion_common::{
    Column, DFSchema, DataFusionError,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{Expr, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Subquery};

use crate::backend::SqlError;

/// Rewrites what it knows and leaves the rest.
pub fn unnested(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else {
            return Ok(Transformed::no(node));
        };
        let lateral = match join.right.as_ref() {
            LogicalPlan::SubqueryAlias(named) => named.input.as_ref(),
            other => other,
        };
        let spread = match lateral {
            LogicalPlan::Subquery(lateral) if join.join_type == JoinType::Inner => {
                beside(join, lateral)?
            }
            _ => None,
        };
        Ok(match spread {
            Some(spread) => Transformed::yes(spread),
            None => Transformed::no(node),
        })
    })?;
    Ok(done.data)
}

fn beside(join: &Join, lateral: &Subquery) -> Result<Option<LogicalPlan>, DataFusionError> {
    let has_list = lateral
        .subquery
        .exists(|part| Ok(matches!(part, LogicalPlan::Unnest(_))))?;
    if !has_list {
        return Ok(None);
    }
    let known = join.left.schema();
    // Under names that no statement can have, so that they are no other columns'.
    let hidden = (0..known.fields().len()).map(|at| {
        let (qualifier, field) = known.qualified_field(at);
        Expr::Column(Column::from((qualifier, field))).alias(hidden_name(at))
    });
    let left = LogicalPlanBuilder::from(join.left.as_ref().clone())
        .project(hidden.collect::<Vec<_>>())?
        .build()?;
    let Some(spread) = over(&lateral.subquery, &left, known)? else {
        return Ok(None);
    };
    let columns = spread.schema().columns();
    let shown = join.left.schema().iter().chain(join.right.schema().iter());
    let shown = columns
        .into_iter()
        .zip(shown)
        .map(|(column, (qualifier, field))| {
            Expr::Column(column).alias_qualified(qualifier.cloned(), field.name())
        });
    let mut spread = LogicalPlanBuilder::from(spread).project(shown.collect::<Vec<_>>())?;
    for (left, right) in &join.on {
        spread = spread.filter(left.clone().eq(right.clone()))?;
    }
    if let Some(condition) = &join.filter {
        spread = spread.filter(condition.clone())?;
    }
    spread.build().map(Some)
}

fn hidden_name(at: usize) -> String {
    format!("\u{1}{at}")
}

/// The subquery with the left rows in the place of its one row, and their columns before its own.
fn over(
    plan: &LogicalPlan,
    left: &LogicalPlan,
    known: &DFSchema,
) -> Result<Option<LogicalPlan>, DataFusionError> {
    match plan {
        LogicalPlan::EmptyRelation(one) if one.produce_one_row => Ok(Some(left.clone())),
        LogicalPlan::Projection(projection) => {
            let Some(input) = over(&projection.input, left, known)? else {
                return Ok(None);
            };
            let mut columns: Vec<Expr> = left
                .schema()
                .columns()
                .into_iter()
                .map(Expr::Column)
                .collect();
            for expression in &projection.expr {
                let name = expression.schema_name().to_string();
                let inner = at_hand(expression.clone(), known)?;
                if inner.contains_outer() {
                    return Ok(None);
                }
                let is_same = inner.schema_name().to_string() == name;
                columns.push(match is_same {
                    true => inner,
                    false => inner.alias(name),
                });
            }
            LogicalPlanBuilder::from(input)
                .project(columns)?
                .build()
                .map(Some)
        }
        LogicalPlan::Unnest(unnest) => {
            let Some(input) = over(&unnest.input, left, known)? else {
                return Ok(None);
            };
            LogicalPlanBuilder::from(input)
                .unnest_columns_with_options(unnest.exec_columns.clone(), unnest.options.clone())?
                .build()
                .map(Some)
        }
        _ => Ok(None),
    }
}

/// Outer columns are columns of the input now.
fn at_hand(expression: Expr, known: &DFSchema) -> Result<Expr, DataFusionError> {
    let done = expression.transform_up(|part| match &part {
        Expr::OuterReferenceColumn(_, column) => Ok(match known.maybe_index_of_column(column) {
            Some(at) => {
                let hidden = Column::new_unqualified(hidden_name(at));
                Transformed::yes(Expr::Column(hidden))
            }
            None => Transformed::no(part),
        }),
        _ => Ok(Transformed::no(part)),
    })?;
    Ok(done.data)
}
