//! `now()` in what stays: rows that come and go as time goes on.
//!
//! A condition of WHERE or HAVING may compare what is had from a row with `now()`, or with it and an interval: the row is there
//! from one moment on, or until another. What is done is bounded by the rows whose moment has come, not by those there are.

use std::{fmt, hash::Hash, sync::Arc};

use arrow::datatypes::{DataType, IntervalMonthDayNano};
use datafusion_common::{
    DFSchemaRef, DataFusionError, ScalarValue,
    tree_node::{Transformed, TreeNode},
};
use datafusion_expr::{
    BinaryExpr, Expr, ExprSchemable, Extension, Filter, LogicalPlan, Operator,
    UserDefinedLogicalNodeCore,
    utils::{conjunction, split_conjunction_owned},
};

use super::{semantics::is_clock, truth, windows::microseconds};
use crate::{backend::SqlError, column_type::DAY_US, functions::clock::is_instant};

/// Rows of the input while the clock is from one of its values on, or until another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Valid {
    pub input: LogicalPlan,
    pub from: Option<Expr>,
    pub until: Option<Expr>,
}

super::node::plan_node!(Valid, from);

impl UserDefinedLogicalNodeCore for Valid {
    fn name(&self) -> &'static str {
        "Valid"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        self.from.iter().chain(&self.until).cloned().collect()
    }

    /// It looks at one row at a time.
    fn prevent_predicate_push_down_columns(&self) -> std::collections::HashSet<String> {
        std::collections::HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Valid: {:?} {:?}", self.from, self.until)
    }

    fn with_exprs_and_inputs(
        &self,
        expressions: Vec<Expr>,
        mut inputs: Vec<LogicalPlan>,
    ) -> Result<Self, DataFusionError> {
        let mut expressions = expressions.into_iter();
        let from = self.from.as_ref().and_then(|_| expressions.next());
        let until = self.until.as_ref().and_then(|_| expressions.next());
        let input = inputs.pop();
        Ok(Self {
            input: input.ok_or_else(|| DataFusionError::Internal("one input".to_owned()))?,
            from,
            until,
        })
    }
}

/// With operators in the place of conditions that name the clock. Where it stands otherwise it is left.
pub fn filters(logical: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let done = logical.transform_up_with_subqueries(|node| {
        let LogicalPlan::Filter(filter) = &node else {
            return Ok(Transformed::no(node));
        };
        let conditions = split_conjunction_owned(filter.predicate.clone());
        let mut plain = Vec::new();
        let mut bounds = Vec::new();
        for condition in conditions {
            if !has_clock(&condition)? {
                plain.push(condition);
            } else if let Some(found) = bounds_of(&condition, filter)? {
                bounds.extend(found);
            } else {
                return Ok(Transformed::no(node));
            }
        }
        if bounds.is_empty() {
            return Ok(Transformed::no(node));
        }
        // What fails for a row does so only while the row is there.
        let (failing, plain): (Vec<Expr>, Vec<Expr>) = plain.into_iter().partition(truth::can_fail);
        let filtered = |predicate, input| match predicate {
            Some(predicate) => Filter::try_new(predicate, Arc::new(input)).map(LogicalPlan::Filter),
            None => Ok(input),
        };
        let mut input = filtered(conjunction(plain), filter.input.as_ref().clone())?;
        for (from, until) in bounds {
            let valid = Valid { input, from, until };
            input = LogicalPlan::Extension(Extension {
                node: Arc::new(valid),
            });
        }
        Ok(Transformed::yes(filtered(conjunction(failing), input)?))
    })?;
    Ok(done.data)
}

fn has_clock(expression: &Expr) -> Result<bool, DataFusionError> {
    expression.exists(|inner| Ok(is_clock(inner)))
}

type Bounds = (Option<Expr>, Option<Expr>);

/// From when and until when a condition holds; `None` for one that is of another form.
fn bounds_of(condition: &Expr, filter: &Filter) -> Result<Option<Vec<Bounds>>, DataFusionError> {
    let compared = |one: &Expr, op: Operator, other: &Expr| {
        let expression = BinaryExpr::new(Box::new(one.clone()), op, Box::new(other.clone()));
        bounds_of(&Expr::BinaryExpr(expression), filter)
    };
    if let Expr::Between(between) = condition
        && !between.negated
    {
        let mut all = Vec::new();
        for (op, bound) in [
            (Operator::GtEq, &between.low),
            (Operator::LtEq, &between.high),
        ] {
            if !has_clock(bound)? && !has_clock(&between.expr)? {
                // A plain half of it: true of the row or not, whatever the time.
                return Ok(None);
            }
            match compared(&between.expr, op, bound)? {
                Some(bounds) => all.extend(bounds),
                None => return Ok(None),
            }
        }
        return Ok(Some(all));
    }
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else {
        return Ok(None);
    };
    let (value, op, clock) = match (has_clock(left)?, has_clock(right)?, op.swap()) {
        (false, true, _) => (left, *op, right),
        (true, false, Some(turned)) => (right, turned, left),
        _ => return Ok(None),
    };
    let Some(offset_us) = clock_offset(clock)? else {
        return Ok(None);
    };
    let is_time = matches!(
        value.get_type(filter.input.schema())?,
        DataType::Timestamp(..)
    );
    // The value, shifted, against the bare clock; one microsecond lies between above and not below.
    let at =
        |further_us: i64| Ok::<_, DataFusionError>(Some(shifted(value, -offset_us + further_us)));
    Ok(match op {
        _ if !is_time => None,
        Operator::Gt => Some(vec![(None, at(0)?)]),
        Operator::GtEq => Some(vec![(None, at(1)?)]),
        Operator::Lt => Some(vec![(at(1)?, None)]),
        Operator::LtEq => Some(vec![(at(0)?, None)]),
        _ => None,
    })
}

/// How far ahead of the clock it is; `None` for what is no such time.
fn clock_offset(expression: &Expr) -> Result<Option<i64>, DataFusionError> {
    match expression {
        Expr::ScalarFunction(call) if is_instant(call.name()) => Ok(Some(0)),
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Timestamp(..)) => {
            clock_offset(&cast.expr)
        }
        Expr::Alias(alias) => clock_offset(&alias.expr),
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (clock, interval) = if has_clock(left)? {
                (left, right)
            } else {
                (right, left)
            };
            let Some(offset_us) = clock_offset(clock)? else {
                return Ok(None);
            };
            let us = microseconds(interval)?;
            Ok(match op {
                Operator::Plus => offset_us.checked_add(us),
                Operator::Minus if std::ptr::eq(clock, left) => offset_us.checked_sub(us),
                _ => None,
            })
        }
        _ => Ok(None),
    }
}

fn shifted(value: &Expr, us: i64) -> Expr {
    if us == 0 {
        return value.clone();
    }
    let interval = IntervalMonthDayNano {
        months: 0,
        days: i32::try_from(us / DAY_US).expect("no i64 of microseconds has so many days"),
        nanoseconds: us % DAY_US * 1000,
    };
    let interval = ScalarValue::IntervalMonthDayNano(Some(interval));
    Expr::BinaryExpr(BinaryExpr::new(
        Box::new(value.clone()),
        Operator::Plus,
        Box::new(Expr::Literal(interval, None)),
    ))
}

/// What to say where the clock stands in another place.
pub fn refused() -> SqlError {
    SqlError::unsupported("now() stands in a view only in WHERE, compared with a time")
        .with_hint("WHERE at > now() - INTERVAL '1 hour': rows go as time goes on. Elsewhere, use now() when you read the view.")
}
