//! Joins of rows with times near each other: `a.at BETWEEN b.at - INTERVAL '1 hour' AND b.at`. How long a row can find others.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion_common::ScalarValue;
use datafusion_expr::Operator;
use datafusion_physical_expr::{
    PhysicalExpr,
    expressions::{BinaryExpr, CastExpr, Column, Literal},
};
use streams::plan::{Ages, Closes, Join, JoinKind};

use super::expression::engine_expression;
use crate::functions::times::months_and_us;

/// What the difference of a left time and a right one may be, in microseconds.
#[derive(Clone, Copy, Debug)]
struct Difference {
    left: usize,
    right: usize,
    least: Option<i64>,
    most: Option<i64>,
}

/// When the rows of a join's sides go, of which these columns say until when they come; `None` where the condition holds
/// for rows however far from each other.
pub fn ages(
    join: &Join,
    left: &[Closes],
    right: &[Closes],
    left_width: usize,
) -> Option<[Ages; 2]> {
    let is_plain = !matches!(
        join.kind,
        JoinKind::AsOf { .. } | JoinKind::LeftAntiNullAware
    );
    let condition = join.condition.as_ref().filter(|_| is_plain)?;
    let physical = engine_expression(condition)?;
    let mut found = Vec::new();
    differences(physical, left_width, &mut found);
    for one in &found {
        let times = |of: &[Closes], column: usize| {
            let known = of.iter().find(|known| known.column == column);
            known.map(|known| known.after_us)
        };
        let of_pair = found
            .iter()
            .filter(|other| (other.left, other.right) == (one.left, one.right));
        let least = of_pair.clone().filter_map(|other| other.least).max();
        let most = of_pair.filter_map(|other| other.most).min();
        let late = (times(left, one.left), times(right, one.right));
        let (Some(least), Some(most), (Some(left_us), Some(right_us))) = (least, most, late) else {
            continue;
        };
        // A left row of time t is joined with right ones from t - most to t - least; whichever of the two comes later.
        let ages = |column, late_us: i64, other_us: i64, behind_us: i64| Ages {
            column,
            late_us,
            kept_us: late_us.max(other_us.saturating_add(behind_us)),
        };
        return Some([
            ages(one.left, left_us, right_us, least.saturating_neg()),
            ages(one.right, right_us, left_us, most),
        ]);
    }
    None
}

/// Those that all of a condition's parts name, over the left columns and then the right ones.
fn differences(condition: &Arc<dyn PhysicalExpr>, left_width: usize, found: &mut Vec<Difference>) {
    let Some(binary) = condition.downcast_ref::<BinaryExpr>() else {
        return;
    };
    if *binary.op() == Operator::And {
        differences(binary.left(), left_width, found);
        differences(binary.right(), left_width, found);
        return;
    }
    let (Some(one), Some(other)) = (shifted(binary.left()), shifted(binary.right())) else {
        return;
    };
    let (one, op, other) = match (one.0 < left_width, other.0 < left_width) {
        (true, false) => (one, Some(*binary.op()), other),
        (false, true) => (other, binary.op().swap(), one),
        _ => return,
    };
    // left + one <= right + other
    let Some(apart) = other.1.checked_sub(one.1) else {
        return;
    };
    let (least, most) = match op {
        Some(Operator::Lt) => (None, Some(apart.saturating_sub(1))),
        Some(Operator::LtEq) => (None, Some(apart)),
        Some(Operator::Gt) => (Some(apart.saturating_add(1)), None),
        Some(Operator::GtEq) => (Some(apart), None),
        Some(Operator::Eq) => (Some(apart), Some(apart)),
        _ => return,
    };
    found.push(Difference {
        left: one.0,
        right: other.0 - left_width,
        least,
        most,
    });
}

/// A column and how much is added to it.
fn shifted(expression: &Arc<dyn PhysicalExpr>) -> Option<(usize, i64)> {
    if let Some(column) = expression.downcast_ref::<Column>() {
        return Some((column.index(), 0));
    }
    if let Some(cast) = expression.downcast_ref::<CastExpr>() {
        return match cast.cast_type() {
            DataType::Timestamp(..) => shifted(cast.expr()),
            _ => None,
        };
    }
    let binary = expression.downcast_ref::<BinaryExpr>()?;
    let (column, sign, interval) = match (binary.op(), interval_us(binary.left())) {
        (Operator::Plus, Some(us)) => (binary.right(), 1, us),
        (Operator::Plus, None) => (binary.left(), 1, interval_us(binary.right())?),
        (Operator::Minus, None) => (binary.left(), -1, interval_us(binary.right())?),
        _ => return None,
    };
    let (column, before) = shifted(column)?;
    let shift = interval.checked_mul(sign)?;
    Some((column, before.checked_add(shift)?))
}

/// Of days and less.
fn interval_us(expression: &Arc<dyn PhysicalExpr>) -> Option<i64> {
    match expression.downcast_ref::<Literal>()?.value() {
        // Less than a microsecond would be one bound for some times and another one for others.
        ScalarValue::IntervalMonthDayNano(Some(interval)) if interval.nanoseconds % 1000 == 0 => {
            let (months, us) = months_and_us(*interval)?;
            (months == 0).then_some(us)
        }
        _ => None,
    }
}
