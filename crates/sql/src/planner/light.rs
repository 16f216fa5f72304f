//! Questions that are no work: rows are picked, and columns of them.
//!
//! # Place
//! Whoever asks one is answered on the spot, where another thread would have to be woken for it, and one that is prepared is
//! optimized before its parameters are known.

use datafusion_common::{
    metadata::ScalarAndMetadata,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    BinaryExpr, Cast, Expr, LogicalPlan, expr::Placeholder, expr_rewriter::NamePreserver,
};

use super::semantics::is_comparison;
use crate::backend::SqlError;

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

/// What was optimized while it had parameters, with values in their place. They are of the parameters' types, so no schema
/// becomes another; of what could be simplified now only casts are, which hide a key's values. The engine's own passes over it
/// were a fifth of what a look-up cost the front's thread.
pub fn with_values(
    optimized: &LogicalPlan,
    values: &[ScalarAndMetadata],
) -> Result<LogicalPlan, SqlError> {
    let set = |part: Expr| match part {
        Expr::Placeholder(placeholder) => {
            let value = parameter_place(&placeholder).and_then(|at| values.get(at));
            Ok(match value {
                Some(value) => Transformed::yes(Expr::Literal(value.value.clone(), None)),
                None => Transformed::no(Expr::Placeholder(placeholder)),
            })
        }
        Expr::Cast(Cast { expr, field }) => {
            let folded = match expr.as_ref() {
                Expr::Literal(value, _) => value.cast_to(field.data_type()).ok(),
                _ => None,
            };
            Ok(match folded {
                Some(value) => Transformed::yes(Expr::Literal(value, None)),
                None => Transformed::no(Expr::Cast(Cast { expr, field })),
            })
        }
        other => Ok(Transformed::no(other)),
    };
    let done = optimized.clone().transform_up(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expression| {
            let name = names.save(&expression);
            let set = expression.transform_up(set)?;
            Ok(set.update_data(|inner| name.restore(inner)))
        })
    })?;
    Ok(done.data)
}

/// Of `$1` and so on, from zero.
pub fn parameter_place(placeholder: &Placeholder) -> Option<usize> {
    let number = placeholder.id.trim_start_matches('$').parse::<usize>();
    number.ok()?.checked_sub(1)
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
