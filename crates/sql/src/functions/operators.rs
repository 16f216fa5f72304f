//! Operators that the engine lacks or takes for another: days of dates, quotients, longer intervals, elements and lengths of
//! lists, a subquery's single value.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, Int32Array},
    compute::{
        cast,
        kernels::{concat_elements::concat_elements_dyn, numeric},
        nullif,
    },
    datatypes::{DataType, Int64Type, TimeUnit},
};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, GetFieldAccess, Operator, ScalarFunctionArgs,
    ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
    expr::ScalarFunction,
    lit,
    planner::{ExprPlanner, PlannerResult, RawBinaryExpr, RawFieldAccessExpr},
};
use datafusion_sql::sqlparser::ast::BinaryOperator;

use super::{
    arithmetic::{Checked, is_long_product},
    bounded::{column_holds, spread},
    define::{Function, as_inner},
    spans::{LONGER, SHORTER},
    times::BETWEEN,
};
use crate::error::{raise, sqlstate};

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let date_and_days = || vec![DataType::Date32, DataType::Int32];
    let dates = vec![DataType::Date32, DataType::Date32];
    let any = Signature::any(2, Volatility::Immutable);
    vec![
        Function::exact(
            "date_plus_days",
            date_and_days(),
            |_| Ok(DataType::Date32),
            |arrays, _| shifted(&arrays[0], &arrays[1], numeric::add),
        )
        .build(),
        Function::exact(
            "date_minus_days",
            date_and_days(),
            |_| Ok(DataType::Date32),
            |arrays, _| shifted(&arrays[0], &arrays[1], numeric::sub),
        )
        .build(),
        Function::exact(
            "days_between",
            dates,
            |_| Ok(DataType::Int32),
            |arrays, _| {
                let days = |array: &ArrayRef| cast(array, &DataType::Int32);
                Ok(numeric::sub(&days(&arrays[0])?, &days(&arrays[1])?)?)
            },
        )
        .build(),
        Function::exact(
            "date_plus_time",
            vec![DataType::Date32, DataType::Time64(TimeUnit::Microsecond)],
            |_| Ok(DataType::Timestamp(TimeUnit::Microsecond, None)),
            |arrays, _| {
                let midnights = cast(
                    &arrays[0],
                    &DataType::Timestamp(TimeUnit::Microsecond, None),
                )?;
                if midnights.null_count() > arrays[0].null_count() {
                    let message = "date out of range for timestamp";
                    return Err(raise(sqlstate::DATETIME_FIELD_OVERFLOW, message));
                }
                let times = cast(&arrays[1], &DataType::Int64)?;
                let times = cast(&times, &DataType::Duration(TimeUnit::Microsecond))?;
                Ok(numeric::add(&midnights, &times)?)
            },
        )
        .build(),
        Function::new(
            "textcat",
            Signature::one_of(
                [DataType::Utf8, DataType::Binary]
                    .map(|side| TypeSignature::Exact(vec![side; 2]))
                    .to_vec(),
                Volatility::Immutable,
            ),
            |types| Ok(types[0].clone()),
            |arrays, _| joined(arrays),
        )
        .build(),
        Function::new(
            "length",
            Signature::one_of(
                [DataType::Utf8, DataType::Binary]
                    .map(|of| TypeSignature::Exact(vec![of]))
                    .to_vec(),
                Volatility::Immutable,
            ),
            |_| Ok(DataType::Int32),
            |arrays, _| Ok(lengths(&arrays[0])),
        )
        .build(),
        Function::new(
            "single_value",
            any,
            |types| Ok(types[1].clone()),
            |arrays, _| single(arrays),
        )
        .build(),
    ]
}

type Kernel = fn(
    &dyn arrow::array::Datum,
    &dyn arrow::array::Datum,
) -> Result<ArrayRef, arrow::error::ArrowError>;

fn shifted(dates: &ArrayRef, days: &ArrayRef, kernel: Kernel) -> Result<ArrayRef, DataFusionError> {
    let whole = cast(dates, &DataType::Int32)?;
    Ok(cast(&kernel(&whole, days)?, &DataType::Date32)?)
}

/// Numerics are divided here, before anything asks for the type of the quotient, and so are long products made; an interval is made longer or shorter.
fn scaled(
    binary: RawBinaryExpr,
    left: &DataType,
    right: &DataType,
    schema: &DFSchema,
) -> Result<PlannerResult<RawBinaryExpr>, DataFusionError> {
    let is_division = binary.op == BinaryOperator::Divide;
    if let (DataType::Interval(_), of) | (of, DataType::Interval(_)) = (left, right)
        && of.is_numeric()
    {
        let (interval, factor) = match left {
            DataType::Interval(_) => (binary.left, binary.right),
            _ if is_division => return Ok(PlannerResult::Original(binary)),
            _ => (binary.right, binary.left),
        };
        let name = if is_division { SHORTER } else { LONGER };
        let factor = factor.cast_to(&DataType::Float64, schema)?;
        return Ok(PlannerResult::Planned(call(name, vec![interval, factor])?));
    }
    let numeric = |of: &DataType| match of {
        DataType::Decimal128(..) => Some(of.clone()),
        DataType::Int16 => Some(DataType::Decimal128(5, 0)),
        DataType::Int32 => Some(DataType::Decimal128(10, 0)),
        DataType::Int64 => Some(DataType::Decimal128(19, 0)),
        _ => None,
    };
    let is_numeric = [left, right]
        .iter()
        .any(|of| matches!(of, DataType::Decimal128(..)));
    let (Some(left), Some(right), true) = (numeric(left), numeric(right), is_numeric) else {
        return Ok(PlannerResult::Original(binary));
    };
    if !is_division && !is_long_product(&left, &right) {
        return Ok(PlannerResult::Original(binary));
    }
    let sides = vec![
        binary.left.cast_to(&left, schema)?,
        binary.right.cast_to(&right, schema)?,
    ];
    let operator = match is_division {
        true => Operator::Divide,
        false => Operator::Multiply,
    };
    let function = Checked::function(operator);
    Ok(PlannerResult::Planned(Expr::ScalarFunction(
        ScalarFunction::new_udf(function, sides),
    )))
}

/// `a || b`, whose kernel takes for granted that there is room.
fn joined(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let bytes = arrays.iter().map(|side| match side.data_type() {
        DataType::Utf8 => side.as_string::<i32>().value_offsets(),
        _ => side.as_binary::<i32>().value_offsets(),
    });
    let bytes = bytes.map(|offsets| offsets[offsets.len() - 1] - offsets[0]);
    let bytes: i64 = bytes.map(i64::from).sum();
    column_holds(usize::try_from(bytes).unwrap_or(usize::MAX))?;
    Ok(concat_elements_dyn(&arrays[0], &arrays[1])?)
}

/// `array_length` and `array_ndims`, which are null of a list without elements.
pub fn null_if_zero(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "array_length" | "array_ndims" => {
            Arc::new(ScalarUDF::new_from_impl(NullIfZero { inner: function }))
        }
        _ => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct NullIfZero {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for NullIfZero {
    as_inner!();

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.inner().return_type(types)
    }

    fn invoke_with_args(
        &self,
        mut args: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        let rows = args.number_rows;
        for value in &mut args.args {
            *value = ColumnarValue::Array(spread(value, rows)?);
        }
        let lists = args.args[0].to_array(rows)?;
        let found = self.inner.inner().invoke_with_args(args)?;
        let found = found.into_array(rows)?;
        let is_empty = |row: usize| match lists.data_type() {
            DataType::List(_) => {
                lists.is_valid(row) && lists.as_list::<i32>().value_length(row) == 0
            }
            _ => false,
        };
        let is_empty: BooleanArray = (0..rows).map(|row| Some(is_empty(row))).collect();
        Ok(ColumnarValue::Array(nullif(&found, &is_empty)?))
    }
}

/// Characters of texts, bytes of others.
fn lengths(array: &ArrayRef) -> ArrayRef {
    let count = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    let counts: Int32Array = match array.data_type() {
        DataType::Utf8 => {
            let texts = array.as_string::<i32>().iter();
            let counted = texts.map(|text| text.map(|text| count(text.chars().count())));
            counted.collect()
        }
        _ => {
            let values = array.as_binary::<i32>().iter();
            values
                .map(|value| value.map(|bytes| count(bytes.len())))
                .collect()
        }
    };
    Arc::new(counts)
}

/// Of how many rows the value is one.
fn single(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let counts = arrays[0].as_primitive::<Int64Type>();
    if counts.iter().flatten().any(|count| count > 1) {
        return Err(raise(
            sqlstate::CARDINALITY_VIOLATION,
            "more than one row returned by a subquery used as an expression",
        ));
    }
    if arrays[1].len() != counts.len() {
        return Ok(Arc::new(Int32Array::new_null(counts.len())));
    }
    Ok(arrays[1].clone())
}

/// `date + 1`, `date - date`, `timestamp - timestamp`, and `date + interval`, which is a timestamp: the interval may end within a day.
#[derive(Debug)]
pub struct DateOperators;

impl ExprPlanner for DateOperators {
    fn plan_binary_op(
        &self,
        binary: RawBinaryExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawBinaryExpr>, DataFusionError> {
        if !matches!(
            binary.op,
            BinaryOperator::Plus
                | BinaryOperator::Minus
                | BinaryOperator::Multiply
                | BinaryOperator::Divide
        ) {
            return Ok(PlannerResult::Original(binary));
        }
        let left = binary.left.get_type(schema)?;
        let right = binary.right.get_type(schema)?;
        if matches!(binary.op, BinaryOperator::Multiply | BinaryOperator::Divide) {
            return scaled(binary, &left, &right, schema);
        }
        let is_plus = binary.op == BinaryOperator::Plus;
        if !is_plus && let (DataType::Timestamp(..), DataType::Timestamp(..)) = (&left, &right) {
            let span = call(BETWEEN, vec![binary.left, binary.right])?;
            return Ok(PlannerResult::Planned(span));
        }
        let shifted = match (&left, &right) {
            (DataType::Date32, DataType::Interval(_)) => Some((binary.left.clone(), &binary.right)),
            (DataType::Interval(_), DataType::Date32) if is_plus => {
                Some((binary.right.clone(), &binary.left))
            }
            _ => None,
        };
        if let Some((date, interval)) = shifted {
            let midnight = DataType::Timestamp(TimeUnit::Microsecond, None);
            let midnight = Box::new(date.cast_to(&midnight, schema)?);
            let operator = if is_plus {
                Operator::Plus
            } else {
                Operator::Minus
            };
            let sum = BinaryExpr::new(midnight, operator, Box::new(interval.clone()));
            return Ok(PlannerResult::Planned(Expr::BinaryExpr(sum)));
        }
        let (name, first, second) = match (&left, &right) {
            (DataType::Date32, DataType::Date32) if !is_plus => {
                ("days_between", binary.left, binary.right)
            }
            (DataType::Date32, days) if days.is_integer() && is_plus => {
                ("date_plus_days", binary.left, binary.right)
            }
            (DataType::Date32, days) if days.is_integer() => {
                ("date_minus_days", binary.left, binary.right)
            }
            (DataType::Date32, DataType::Time64(_)) if is_plus => {
                ("date_plus_time", binary.left, binary.right)
            }
            (DataType::Time64(_), DataType::Date32) if is_plus => {
                ("date_plus_time", binary.right, binary.left)
            }
            (days, DataType::Date32) if days.is_integer() && is_plus => {
                ("date_plus_days", binary.right, binary.left)
            }
            _ => return Ok(PlannerResult::Original(binary)),
        };
        let second = match name {
            "days_between" | "date_plus_time" => second,
            _ => second.cast_to(&DataType::Int32, schema)?,
        };
        Ok(PlannerResult::Planned(call(name, vec![first, second])?))
    }
}

fn call(name: &str, arguments: Vec<Expr>) -> Result<Expr, DataFusionError> {
    let function = super::scalar(name)
        .ok_or_else(|| DataFusionError::Internal(format!("{name} is a function")))?;
    let call = ScalarFunction::new_udf(function, arguments);
    Ok(Expr::ScalarFunction(call))
}

/// `list[2]`. The engine counts negative places from the end, where Postgres has none, and takes an element of a list that
/// an aggregate makes for another aggregate.
#[derive(Debug)]
pub struct ListElements;

impl ExprPlanner for ListElements {
    fn plan_field_access(
        &self,
        access: RawFieldAccessExpr,
        schema: &DFSchema,
    ) -> Result<PlannerResult<RawFieldAccessExpr>, DataFusionError> {
        let GetFieldAccess::ListIndex { key } = &access.field_access else {
            return Ok(PlannerResult::Original(access));
        };
        if !matches!(access.expr.get_type(schema)?, DataType::List(_)) {
            return Ok(PlannerResult::Original(access));
        }
        let place = key.as_ref().clone().cast_to(&DataType::Int64, schema)?;
        // Place 0 holds nothing.
        let place = call("greatest", vec![place, lit(0_i64)])?;
        let element = call("array_element", vec![access.expr, place])?;
        Ok(PlannerResult::Planned(element))
    }
}
