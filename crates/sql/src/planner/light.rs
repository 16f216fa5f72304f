//! Questions that are no work: rows are picked, and columns of them.
//!
//! # Place
//! Whoever asks one is answered on the spot, where another thread would have to be woken for it, and one that is prepared is
//! optimized before its parameters are known.

use datafusion_common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion_expr::{BinaryExpr, Expr, LogicalPlan};

use super::semantics::is_comparison;

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
        Expr::BinaryExpr(BinaryExpr { op, .. }) => is_comparison(*op) || op.is_logic_operator(),
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
