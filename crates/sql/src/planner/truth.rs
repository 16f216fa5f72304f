//! Conditions that cannot be computed for every row: `b <> 0 AND a / b > 1`.
//!
//! In WHERE, ON and WHEN only counts whether a condition is true. There a row is out when one side of AND is not true, and in
//! when one side of OR is, though the other side fails for it: in whatever order they are written, for optimisation has an
//! order of its own. Postgres leaves that open, too.
//!
//! # Instead of
//! Sides that are computed only for some rows of a chunk: a chunk for which an expression fails is gone through row by row
//! anyhow (`streams::Expression`), so single rows are all that is looked at here, and nothing is slower while nothing fails.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::{Arc, LazyLock},
};

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, Schema},
};
use datafusion_common::{
    DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode, TreeNodeRecursion},
};
use datafusion_expr::{BinaryExpr, ColumnarValue, Expr, Operator, ScalarUDF, expr::ScalarFunction};
use datafusion_physical_expr::{
    PhysicalExpr, ScalarFunctionExpr,
    expressions::{BinaryExpr as PhysicalBinary, CaseExpr},
};

use super::semantics::is_comparison;
use crate::functions::define::Function;

type Physical = Arc<dyn PhysicalExpr>;

/// Those that conditions often call, of which no value is too much.
const TOTAL_FUNCTIONS: &[&str] = &[
    "btrim",
    "character_length",
    "coalesce",
    "date_part",
    "ends_with",
    "greatest",
    "least",
    "left",
    "lower",
    "ltrim",
    "nullif",
    "reverse",
    "right",
    "rtrim",
    "starts_with",
    "strpos",
    "upper",
];

/// Stands around a condition in plans, see [`may_hold`].
static MAY_HOLD: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    Function::exact(
        "may_hold",
        vec![DataType::Boolean],
        |_| Ok(DataType::Boolean),
        |arrays, _| Ok(arrays[0].clone()),
    )
    .build()
});

/// True also where the condition fails: which rows to keep until it is asked.
pub fn may_hold(condition: Expr) -> Expr {
    Expr::ScalarFunction(ScalarFunction::new_udf(MAY_HOLD.clone(), vec![condition]))
}

/// Whether it may for some row; `true` where that is not known.
pub fn can_fail(expression: &Expr) -> bool {
    let walked = expression.apply(|part| {
        Ok(match part {
            Expr::ScalarFunction(call) if call.name() == MAY_HOLD.name() => TreeNodeRecursion::Jump,
            part if is_total(part) => TreeNodeRecursion::Continue,
            _ => TreeNodeRecursion::Stop,
        })
    });
    walked.expect("looking at an expression does not fail") == TreeNodeRecursion::Stop
}

/// Whether it has a value where its parts have.
fn is_total(expression: &Expr) -> bool {
    match expression {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => {
            is_comparison(*op) || matches!(op, Operator::And | Operator::Or)
        }
        Expr::ScalarFunction(call) => TOTAL_FUNCTIONS.contains(&call.name()),
        other => is_total_form(other),
    }
}

fn is_total_form(expression: &Expr) -> bool {
    matches!(
        expression,
        Expr::Alias(_)
            | Expr::Column(_)
            | Expr::OuterReferenceColumn(..)
            | Expr::Literal(..)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsNotTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsNotFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotUnknown(_)
            | Expr::Between(_)
            | Expr::InList(_)
            | Expr::Like(_)
            | Expr::Case(_)
    )
}

/// The condition's value, or for a row for which that fails whether it is true.
pub fn evaluate(
    condition: &Physical,
    rows: &RecordBatch,
) -> Result<ColumnarValue, DataFusionError> {
    match condition.evaluate(rows) {
        Err(_) if rows.num_rows() == 1 => holds(condition, rows).map(truth),
        done => done,
    }
}

fn truth(value: bool) -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Boolean(Some(value)))
}

/// Of one row.
fn holds(condition: &Physical, row: &RecordBatch) -> Result<bool, DataFusionError> {
    let Some((left, right, decisive)) = sides(condition) else {
        let value = condition.evaluate(row)?.into_array(1)?;
        let value = ScalarValue::try_from_array(&value, 0)?;
        return Ok(value == ScalarValue::Boolean(Some(true)));
    };
    match (holds(left, row), holds(right, row)) {
        (Ok(one), _) | (_, Ok(one)) if one == decisive => Ok(decisive),
        (left, right) => {
            left?;
            right?;
            Ok(!decisive)
        }
    }
}

/// Of AND and OR, and the truth of one side that decides.
fn sides(condition: &Physical) -> Option<(&Physical, &Physical, bool)> {
    let binary = condition.downcast_ref::<PhysicalBinary>()?;
    let decisive = match binary.op() {
        Operator::And => false,
        Operator::Or => true,
        _ => return None,
    };
    Some((binary.left(), binary.right(), decisive))
}

/// The same with conditions of WHEN, and those that may hold, as the module head says.
pub fn placed(expression: Physical) -> Result<Physical, DataFusionError> {
    let done = expression.transform_up(|part| {
        if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>()
            && call.name() == MAY_HOLD.name()
            && let [condition] = call.args()
        {
            return Ok(Transformed::yes(asked(condition, true)));
        }
        let Some(case) = part.downcast_ref::<CaseExpr>() else {
            return Ok(Transformed::no(part));
        };
        let is_parted = |(when, _): &(Physical, Physical)| sides(when).is_some();
        if case.expr().is_some() || !case.when_then_expr().iter().any(is_parted) {
            return Ok(Transformed::no(part));
        }
        let branches = case.when_then_expr().iter();
        let branches = branches.map(|(when, then)| (asked(when, false), then.clone()));
        let case = CaseExpr::try_new(None, branches.collect(), case.else_expr().cloned())?;
        Ok(Transformed::yes(Arc::new(case)))
    })?;
    Ok(done.data)
}

fn asked(condition: &Physical, holds_if_failing: bool) -> Physical {
    Arc::new(Asked {
        condition: condition.clone(),
        holds_if_failing,
    })
}

/// A condition inside of an expression.
#[derive(Debug, Eq)]
struct Asked {
    condition: Physical,
    holds_if_failing: bool,
}

impl PartialEq for Asked {
    fn eq(&self, other: &Self) -> bool {
        *self.condition == *other.condition && self.holds_if_failing == other.holds_if_failing
    }
}

impl Hash for Asked {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.hash(state);
        self.holds_if_failing.hash(state);
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.holds_if_failing {
            true => write!(f, "may_hold({})", self.condition),
            false => write!(f, "{}", self.condition),
        }
    }
}

impl PhysicalExpr for Asked {
    fn data_type(&self, _schema: &Schema) -> Result<DataType, DataFusionError> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _schema: &Schema) -> Result<bool, DataFusionError> {
        Ok(true)
    }

    fn evaluate(&self, rows: &RecordBatch) -> Result<ColumnarValue, DataFusionError> {
        match evaluate(&self.condition, rows) {
            Err(_) if self.holds_if_failing && rows.num_rows() == 1 => Ok(truth(true)),
            done => done,
        }
    }

    fn children(&self) -> Vec<&Physical> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Physical>,
    ) -> Result<Physical, DataFusionError> {
        Ok(asked(&children[0], self.holds_if_failing))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
