//! `ASOF JOIN`: to each left row the right one whose time is nearest, and not behind it.
//!
//! The parser's part (`statement::rewrite`) leaves a plain join with a call of [`MARK`] in its condition.

use std::{fmt, hash::Hash, sync::Arc};

use datafusion_common::{
    DFSchema, DFSchemaRef, DataFusionError,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    BinaryExpr, Expr, Extension, Join, JoinType, LogicalPlan, Operator, UserDefinedLogicalNodeCore,
    logical_plan::builder::build_join_schema, utils::split_conjunction_owned,
};

use crate::{
    backend::SqlError,
    error::{raise, sqlstate},
};

/// Stands in the condition of a join that is one.
pub const MARK: &str = "forebay_as_of";

/// See the module head.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AsOf {
    pub left: LogicalPlan,
    pub right: LogicalPlan,
    /// Of the left and the right side: what must be equal.
    pub keys: Vec<(Expr, Expr)>,
    /// Of the left and the right side.
    pub times: (Expr, Expr),
    /// Left rows without a right one are there too.
    pub keeps_left: bool,
    pub schema: DFSchemaRef,
}

super::node::plan_node!(AsOf, times);

impl UserDefinedLogicalNodeCore for AsOf {
    fn name(&self) -> &'static str {
        "AsOf"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.left, &self.right]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        let pairs = self.keys.iter().chain([&self.times]);
        pairs
            .flat_map(|(left, right)| [left.clone(), right.clone()])
            .collect()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AsOf: {} >= {}", self.times.0, self.times.1)
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let malformed = || DataFusionError::Internal("two inputs, and pairs".to_owned());
        let mut expressions = expressions.into_iter();
        let mut keys = Vec::new();
        while let (Some(left), Some(right)) = (expressions.next(), expressions.next()) {
            keys.push((left, right));
        }
        let times = keys.pop().ok_or_else(malformed)?;
        let right = inputs.pop().ok_or_else(malformed)?;
        let left = inputs.pop().ok_or_else(malformed)?;
        Self::new(left, right, keys, times, self.keeps_left)
    }
}

impl AsOf {
    fn new(
        left: LogicalPlan,
        right: LogicalPlan,
        keys: Vec<(Expr, Expr)>,
        times: (Expr, Expr),
        keeps_left: bool,
    ) -> Result<Self, DataFusionError> {
        let schema = build_join_schema(left.schema(), right.schema(), &JoinType::Left)?;
        Ok(Self {
            schema: Arc::new(schema),
            left,
            right,
            keys,
            times,
            keeps_left,
        })
    }
}

/// Joins with the mark become what it says.
pub fn joins(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let LogicalPlan::Join(join) = &node else {
            return Ok(Transformed::no(node));
        };
        let conditions = join.filter.clone().map(split_conjunction_owned);
        let conditions = conditions.unwrap_or_default();
        if !conditions.iter().any(is_mark) {
            return Ok(Transformed::no(node));
        }
        let as_of = of_join(join, conditions)?;
        Ok(Transformed::yes(LogicalPlan::Extension(Extension {
            node: Arc::new(as_of),
        })))
    })?;
    refuse_marks(&done.data)?;
    Ok(done.data)
}

/// Where the mark is still there, its join's condition is no conjunction.
fn refuse_marks(logical: &LogicalPlan) -> Result<(), SqlError> {
    logical.apply_with_subqueries(|node| {
        node.apply_expressions(
            |expression| match expression.exists(|part| Ok(is_mark(part)))? {
                true => Err(misplaced()),
                false => Ok(TreeNodeRecursion::Continue),
            },
        )
    })?;
    Ok(())
}

fn is_mark(condition: &Expr) -> bool {
    matches!(condition, Expr::ScalarFunction(call) if call.name() == MARK)
}

fn usage(message: &str) -> DataFusionError {
    crate::error::carried(
        SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, message)
            .with_hint("… ASOF [LEFT] JOIN b ON a.key = b.key AND a.time >= b.time"),
    )
}

fn of_join(join: &Join, conditions: Vec<Expr>) -> Result<AsOf, DataFusionError> {
    let keeps_left = match join.join_type {
        JoinType::Inner => false,
        JoinType::Left => true,
        _ => return Err(usage("an as-of join is an inner or a left one")),
    };
    let (left, right) = (join.left.schema(), join.right.schema());
    let mut keys = join.on.clone();
    let mut times = None;
    for condition in conditions {
        if is_mark(&condition) {
            continue;
        }
        let Expr::BinaryExpr(BinaryExpr {
            left: one,
            op,
            right: other,
        }) = condition
        else {
            return Err(usage(
                "an as-of join has equalities and one comparison of times",
            ));
        };
        let (one, other, op) = if is_of(&one, left) && is_of(&other, right) {
            (*one, *other, op)
        } else if is_of(&one, right) && is_of(&other, left) {
            let Some(turned) = op.swap() else {
                return Err(usage("an as-of join compares times"));
            };
            (*other, *one, turned)
        } else {
            return Err(usage(
                "each condition of an as-of join compares one side with the other",
            ));
        };
        match op {
            Operator::Eq => keys.push((one, other)),
            Operator::GtEq if times.is_none() => times = Some((one, other)),
            _ => {
                return Err(usage(
                    "an as-of join looks back: left time >= right time, once",
                ));
            }
        }
    }
    let times = times.ok_or_else(|| usage("an as-of join needs left time >= right time"))?;
    AsOf::new(
        join.left.as_ref().clone(),
        join.right.as_ref().clone(),
        keys,
        times,
        keeps_left,
    )
}

/// Whether it is of this side's columns and of nothing else.
fn is_of(expression: &Expr, schema: &DFSchema) -> bool {
    let columns = expression.column_refs();
    !columns.is_empty() && columns.iter().all(|column| schema.has_column(column))
}

/// What the mark is wherever it was written by hand.
pub fn misplaced() -> DataFusionError {
    raise(
        sqlstate::FEATURE_NOT_SUPPORTED,
        "an as-of join's condition is one of AND",
    )
}
