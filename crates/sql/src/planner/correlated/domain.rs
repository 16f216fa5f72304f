//! What a subquery asks its outer query for.

use datafusion_common::{
    Column, DFSchema, DataFusionError, TableReference,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    Expr, LogicalPlan, LogicalPlanBuilder, Subquery,
    expr::{Exists, InSubquery},
    expr_rewriter::NamePreserver,
    utils::merge_schema,
};

use crate::error::{raise, sqlstate};

/// The values that a subquery is asked with.
pub struct Domain {
    outer: LogicalPlan,
    pub asked: Vec<Column>,
}

impl Domain {
    pub fn new(outer: &LogicalPlan, asked: Vec<Column>) -> Self {
        Self {
            outer: outer.clone(),
            asked,
        }
    }

    pub fn outer_columns(&self) -> Vec<Expr> {
        self.asked.iter().cloned().map(Expr::Column).collect()
    }

    /// Its rows, each once.
    pub fn rows(&self, name: &TableReference) -> Result<LogicalPlan, DataFusionError> {
        let values = self.outer_columns().into_iter().enumerate();
        let values = values.map(|(at, column)| column.alias(name_of(at)));
        LogicalPlanBuilder::from(self.outer.clone())
            .project(values.collect::<Vec<_>>())?
            .distinct()?
            .alias(name.clone())?
            .build()
    }
}

/// Of a domain's column.
pub fn name_of(at: usize) -> String {
    format!("asked_{at}")
}

pub fn columns(name: &TableReference, count: usize) -> Vec<Expr> {
    (0..count)
        .map(|at| Expr::Column(Column::new(Some(name.clone()), name_of(at))))
        .collect()
}

/// What a subquery asks for of its outer query's columns. Fails when it asks for others.
pub fn asked_of(subquery: &Subquery, outer: &DFSchema) -> Result<Vec<Column>, DataFusionError> {
    let asked = free(&subquery.subquery);
    if asked.iter().all(|column| outer.has_column(column)) {
        return Ok(asked);
    }
    let message = "this subquery refers to its outer query in a way that is not supported";
    Err(raise(sqlstate::FEATURE_NOT_SUPPORTED, message))
}

/// Outer columns in a plan that none of its own nodes has.
pub fn free(plan: &LogicalPlan) -> Vec<Column> {
    let mut found = Vec::new();
    collect(plan, &mut found);
    found
}

fn collect(plan: &LogicalPlan, found: &mut Vec<Column>) {
    let mut add = |column: Column| {
        if !found.contains(&column) {
            found.push(column);
        }
    };
    let known = merge_schema(&plan.inputs());
    let walked = plan.apply_expressions(|expression| {
        expression.apply(|part| {
            if let Expr::OuterReferenceColumn(_, column) = part {
                add(column.clone());
            }
            if let Some(subquery) = subquery_in(part) {
                let asked = free(&subquery.subquery).into_iter();
                asked
                    .filter(|column| !known.has_column(column))
                    .for_each(&mut add);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    walked.expect("looking at a plan does not fail");
    match plan {
        LogicalPlan::Join(join) => {
            let lateral = free(&join.right).into_iter();
            let is_lateral = super::lateral_side(&join.right).is_some();
            lateral
                .filter(|column| !(is_lateral && join.left.schema().has_column(column)))
                .for_each(add);
            collect(&join.left, found);
        }
        other => {
            for input in other.inputs() {
                collect(input, found);
            }
        }
    }
}

fn subquery_in(expression: &Expr) -> Option<&Subquery> {
    match expression {
        Expr::ScalarSubquery(subquery)
        | Expr::Exists(Exists { subquery, .. })
        | Expr::InSubquery(InSubquery { subquery, .. }) => Some(subquery),
        _ => None,
    }
}

pub fn subqueries_of(expression: &Expr) -> Vec<Subquery> {
    let mut found = Vec::new();
    let walked = expression.apply(|part| {
        found.extend(subquery_in(part).cloned());
        Ok(TreeNodeRecursion::Continue)
    });
    walked.expect("looking at an expression does not fail");
    found
}

/// With the domain's columns in the place of the outer ones, also where subqueries within ask for them.
pub fn answered(
    expression: Expr,
    asked: &[Column],
    domain: &[Column],
) -> Result<Expr, DataFusionError> {
    let done = expression.transform_up(|part| match part {
        Expr::OuterReferenceColumn(field, column) => {
            Ok(match asked.iter().position(|known| *known == column) {
                Some(at) => Transformed::yes(Expr::Column(domain[at].clone())),
                None => Transformed::no(Expr::OuterReferenceColumn(field, column)),
            })
        }
        other => within(other, asked, domain),
    })?;
    Ok(done.data)
}

/// A subquery asks for the domain's columns, which are those of its outer query now.
fn within(
    expression: Expr,
    asked: &[Column],
    domain: &[Column],
) -> Result<Transformed<Expr>, DataFusionError> {
    let Some(subquery) = subquery_in(&expression) else {
        return Ok(Transformed::no(expression));
    };
    let plan = redirected(subquery.subquery.as_ref().clone(), asked, domain)?;
    let subquery = subquery.with_plan(plan.into());
    Ok(Transformed::yes(match expression {
        Expr::ScalarSubquery(_) => Expr::ScalarSubquery(subquery),
        Expr::Exists(exists) => Expr::Exists(Exists { subquery, ..exists }),
        Expr::InSubquery(inner) => Expr::InSubquery(InSubquery { subquery, ..inner }),
        other => other,
    }))
}

/// The same plan with other outer columns.
pub fn redirected(
    plan: LogicalPlan,
    asked: &[Column],
    domain: &[Column],
) -> Result<LogicalPlan, DataFusionError> {
    let done = plan.transform_up(|node| {
        let known = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let done = expression.transform_up(|part| match part {
                Expr::OuterReferenceColumn(field, column) => {
                    let at = asked.iter().position(|known| *known == column);
                    let column = at.map_or(column, |at| domain[at].clone());
                    Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
                }
                other => {
                    // Of the same name, and nearer.
                    let pairs = asked.iter().zip(domain);
                    let outer: (Vec<Column>, Vec<Column>) = pairs
                        .filter(|(column, _)| !known.has_column(column))
                        .map(|(column, domain)| (column.clone(), domain.clone()))
                        .unzip();
                    within(other, &outer.0, &outer.1)
                }
            })?;
            Ok(done.update_data(|done| name.restore(done)))
        })
    })?;
    Ok(done.data)
}

/// With other expressions in the place of columns.
pub fn substituted(
    expression: Expr,
    columns: &[Column],
    values: &[Expr],
) -> Result<Expr, DataFusionError> {
    let done = expression.transform_up(|part| match &part {
        Expr::Column(column) => Ok(match columns.iter().position(|known| known == column) {
            Some(at) => Transformed::yes(values[at].clone()),
            None => Transformed::no(part),
        }),
        _ => Ok(Transformed::no(part)),
    })?;
    Ok(done.data)
}
