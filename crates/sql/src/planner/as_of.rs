//! `ASOF JOIN`: to each left row the right one whose time is nearest, and not behind it.
//!
//! The parser's part (`statement::rewrite`) leaves a plain join with a call of [`MARK`] in its condition.

use std::{fmt, hash::Hash, sync::Arc};

use datafusion_common::{
    DFSchema, DFSchemaRef, DataFusionError,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, Join, JoinType, LogicalPlan, Operator,
    UserDefinedLogicalNodeCore, logical_plan::builder::build_join_schema,
    utils::split_conjunction_owned,
};

use crate::{
    backend::SqlError,
    error::{raise, sqlstate},
};

/// Stands in the condition of a join that is one.
pub const MARK: &str = "forebay_as_of";

/// The same with a time of the left side: the right one's is its event time.
pub const SYSTEM_TIME_MARK: &str = "forebay_system_time";

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
    matches!(condition, Expr::ScalarFunction(call) if [MARK, SYSTEM_TIME_MARK].contains(&call.name()))
}

/// The time that a mark names of the left side, if it does.
fn time_of_mark(condition: &Expr) -> Option<&Expr> {
    match condition {
        Expr::ScalarFunction(call) if call.name() == SYSTEM_TIME_MARK => call.args.first(),
        _ => None,
    }
}

/// The event time of a relation whose rows are versions: they only come.
fn event_time(side: &LogicalPlan) -> Option<usize> {
    match side {
        LogicalPlan::SubqueryAlias(alias) => event_time(&alias.input),
        LogicalPlan::TableScan(scan) if scan.projection.is_none() => {
            let relation = super::context::relation_of(scan)?;
            relation.time.filter(|_| relation.is_append_only)
        }
        _ => None,
    }
}

/// `FOR SYSTEM_TIME AS OF left_time`: the right side's versions, by its event time.
fn version_times(join: &Join, left_time: &Expr) -> Result<(Expr, Expr), DataFusionError> {
    let right = join.right.schema();
    if !is_of(left_time, join.left.schema()) {
        return Err(usage("FOR SYSTEM_TIME AS OF wants a time of the left side"));
    }
    let Some(at) = event_time(&join.right) else {
        let message = "FOR SYSTEM_TIME AS OF wants a source, or a view whose rows only come, with a watermark";
        return Err(crate::error::carried(
            SqlError::new(sqlstate::FEATURE_NOT_SUPPORTED, message).with_hint(
                "A plain JOIN with a table or view is exact at every moment; ASOF JOIN goes by any times.",
            ),
        ));
    };
    let right_time = Expr::Column(right.qualified_field(at).into());
    let wanted = right_time.get_type(right)?;
    let left_time = left_time.clone().cast_to(&wanted, join.left.schema())?;
    Ok((left_time, right_time))
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
            if let Some(time) = time_of_mark(&condition) {
                times = Some(version_times(join, time)?);
            }
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
