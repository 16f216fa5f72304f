//! Questions that are no work: rows are picked, and columns of them.
//!
//! # Place
//! Whoever asks one is answered on the spot, where another thread would have to be woken for it, and one that is prepared is
//! optimized before its parameters are known.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// Parts of all expressions: to go through them takes some microseconds.
const PARTS_MAX: usize = 256;

/// Whether it has no functions, nothing that is nested, and little else.
pub fn is_light(logical: &LogicalPlan) -> bool {
    let mut parts = 0;
    let mut is_light = true;
    let walked = logical.apply(|node| {
        is_light &= matches!(
            node,
            LogicalPlan::EmptyRelation(_)
                | LogicalPlan::TableScan(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Projection(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Limit(_)
        );
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                parts += 1;
                is_light &= parts <= PARTS_MAX && is_light_part(part);
                Ok(match is_light {
                    true => TreeNodeRecursion::Continue,
                    false => TreeNodeRecursion::Stop,
                })
            })
        })
    });
    walked.is_ok() && is_light
}

fn is_light_part(part: &Expr) -> bool {
    match part {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => matches!(
            op,
            Operator::Eq
                | Operator::NotEq
                | Operator::Lt
                | Operator::LtEq
                | Operator::Gt
                | Operator::GtEq
                | Operator::IsDistinctFrom
                | Operator::IsNotDistinctFrom
                | Operator::And
                | Operator::Or
        ),
        Expr::Column(_)
        | Expr::Alias(_)
        | Expr::Literal(..)
        | Expr::Placeholder(_)
        | Expr::Cast(_)
        | Expr::Not(_)
        | Expr::Between(_)
        | Expr::InList(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_) => true,
        _ => false,
    }
}
