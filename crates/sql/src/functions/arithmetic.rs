//! Arithmetic that fails where Postgres's does: on overflow and on division by zero.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Datum, Decimal128Array},
    compute::{cast, kernels::numeric},
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Float32Type, Float64Type, i256},
    error::ArrowError,
};
use datafusion_common::{DataFusionError, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    type_coercion::binary::BinaryTypeCoercer,
};

use super::define::{Function, on_arrays};
use crate::{
    column_type::{NUMERIC_PRECISION, QUOTIENT_SCALE},
    error::{raise, sqlstate},
};

/// `+`, `-`, `*`, `/` or `%` of two numbers of coerced types.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Checked {
    operator: Operator,
    signature: Signature,
}

impl Checked {
    pub fn function(operator: Operator) -> Arc<ScalarUDF> {
        Arc::new(ScalarUDF::new_from_impl(Self {
            operator,
            signature: Signature::any(2, Volatility::Immutable),
        }))
    }

    fn out_of_range(data_type: &DataType) -> DataFusionError {
        let name = match data_type {
            DataType::Int16 => "smallint",
            DataType::Int32 => "integer",
            DataType::Int64 => "bigint",
            DataType::Decimal128(..) => "numeric",
            _ => "value",
        };
        raise(
            sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
            format!("{name} out of range"),
        )
    }
}

impl ScalarUDFImpl for Checked {
    fn name(&self) -> &str {
        match self.operator {
            Operator::Plus => "+",
            Operator::Minus => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            _ => "%",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        match (types, self.operator) {
            ([DataType::Decimal128(..), DataType::Decimal128(..)], Operator::Divide) => {
                Ok(quotient_type(&types[0], &types[1]))
            }
            ([left, right], Operator::Multiply) if is_long_product(left, right) => {
                Ok(quotient_type(left, right))
            }
            _ => BinaryTypeCoercer::new(&types[0], &self.operator, &types[1]).get_result_type(),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let [left, right] = args.args.as_slice() else {
            return Err(DataFusionError::Internal("two operands".to_owned()));
        };
        let is_division = matches!(self.operator, Operator::Divide | Operator::Modulo);
        if is_division {
            refuse_zero(left, right)?;
        }
        let kernel = match self.operator {
            Operator::Plus => numeric::add,
            Operator::Minus => numeric::sub,
            Operator::Multiply => numeric::mul,
            Operator::Divide => numeric::div,
            _ => numeric::rem,
        };
        let answer = args.return_field.data_type();
        if let (Operator::Divide, DataType::Decimal128(..)) = (self.operator, answer) {
            return on_arrays(&args, |arrays| quotients(&arrays[0], &arrays[1], answer));
        }
        if self.operator == Operator::Multiply
            && is_long_product(&left.data_type(), &right.data_type())
        {
            return on_arrays(&args, |arrays| products(&arrays[0], &arrays[1], answer));
        }
        let done = apply(left, right, kernel).map_err(|error| match error {
            ArrowError::ArithmeticOverflow(_) => Self::out_of_range(answer),
            other => other.into(),
        })?;
        if is_constant(left) && is_constant(right) {
            return Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(
                &done, 0,
            )?));
        }
        Ok(ColumnarValue::Array(done))
    }
}

/// No fewer places than the operands have.
pub fn quotient_type(left: &DataType, right: &DataType) -> DataType {
    let places = [left, right].into_iter().filter_map(places_of).max();
    let places = places.unwrap_or(0).max(QUOTIENT_SCALE);
    DataType::Decimal128(NUMERIC_PRECISION, places)
}

fn places_of(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Decimal128(_, scale) => Some(*scale),
        _ => None,
    }
}

/// Whether a product would have more places than a quotient: it is rounded to as many, or few digits were left before them.
pub fn is_long_product(left: &DataType, right: &DataType) -> bool {
    match (places_of(left), places_of(right)) {
        (Some(left), Some(right)) => i16::from(left) + i16::from(right) > QUOTIENT_SCALE.into(),
        _ => false,
    }
}

/// Of numerics with many places, the last digit rounded.
fn products(left: &ArrayRef, right: &ArrayRef, to: &DataType) -> Result<ArrayRef, DataFusionError> {
    each_pair(left, right, to, |[left_places, right_places, places]| {
        let unit = ten_to(left_places + right_places - places);
        move |left, right| {
            // No product of two numbers of 38 digits has more than 76.
            let whole = i256::from_i128(left).checked_mul(i256::from_i128(right))?;
            rounded(whole, unit?)
        }
    })
}

/// Of numerics, the last digit rounded.
fn quotients(
    left: &ArrayRef,
    right: &ArrayRef,
    to: &DataType,
) -> Result<ArrayRef, DataFusionError> {
    refuse_zeros(left, right)?;
    each_pair(left, right, to, |[left_places, right_places, places]| {
        let unit = ten_to(places - left_places + right_places);
        // Most fit into half of what the product may take.
        let narrow = unit.and_then(i256::to_i128);
        move |left, right| {
            if let Some(left) = narrow.and_then(|unit| left.checked_mul(unit)) {
                let rest = left % right;
                let is_up = rest.unsigned_abs() >= right.unsigned_abs() - rest.unsigned_abs();
                let step = left.signum() * right.signum() * i128::from(is_up);
                return (left / right).checked_add(step);
            }
            let left = i256::from_i128(left).checked_mul(unit?)?;
            rounded(left, i256::from_i128(right))
        }
    })
}

/// `div`: the whole part of a quotient.
pub fn whole_quotient() -> Arc<ScalarUDF> {
    Function::new(
        "div",
        Signature::any(2, Volatility::Immutable),
        |types| match types
            .iter()
            .all(|of| of.is_integer() || of.is_null() || places_of(of).is_some())
        {
            true => Ok(DataType::Decimal128(NUMERIC_PRECISION, 0)),
            false => plan_err!("div takes two numerics"),
        },
        |arrays, to| {
            let numerics = arrays
                .iter()
                .map(|array| match places_of(array.data_type()) {
                    Some(_) => Ok(array.clone()),
                    None => cast(array, &DataType::Decimal128(19, 0)),
                });
            let numerics = numerics.collect::<Result<Vec<_>, _>>()?;
            refuse_zeros(&numerics[0], &numerics[1])?;
            each_pair(&numerics[0], &numerics[1], to, |[left, right, _]| {
                let units = (ten_to((right - left).max(0)), ten_to((left - right).max(0)));
                move |left, right| {
                    let left = i256::from_i128(left).checked_mul(units.0?)?;
                    let right = i256::from_i128(right).checked_mul(units.1?)?;
                    left.checked_div(right)?.to_i128()
                }
            })
        },
    )
    .build()
}

/// Where there is something to divide.
fn refuse_zeros(left: &ArrayRef, right: &ArrayRef) -> Result<(), DataFusionError> {
    let divisors = right.as_primitive::<Decimal128Type>();
    let is_zero = |row| divisors.is_valid(row) && divisors.value(row) == 0;
    match (0..divisors.len()).any(|row| is_zero(row) && left.is_valid(row)) {
        true => Err(raise(sqlstate::DIVISION_BY_ZERO, "division by zero")),
        false => Ok(()),
    }
}

fn ten_to(places: i16) -> Option<i256> {
    i256::from_i128(10).checked_pow(u32::try_from(places).ok()?)
}

/// A half goes away from zero.
fn rounded(left: i256, right: i256) -> Option<i128> {
    let (whole, rest) = (left.checked_div(right)?, left.checked_rem(right)?);
    let is_up = rest.wrapping_abs() >= right.wrapping_abs() - rest.wrapping_abs();
    let step = left.signum().as_i128() * right.signum().as_i128() * i128::from(is_up);
    whole.checked_add(i256::from_i128(step))?.to_i128()
}

/// Numerics of two others each, by what `operation` makes of their places and those of the answer.
fn each_pair<F: Fn(i128, i128) -> Option<i128>>(
    left: &ArrayRef,
    right: &ArrayRef,
    to: &DataType,
    operation: impl FnOnce([i16; 3]) -> F,
) -> Result<ArrayRef, DataFusionError> {
    let places = [left.data_type(), right.data_type(), to].map(|of| places_of(of).map(i16::from));
    let [Some(left_places), Some(right_places), Some(places)] = places else {
        return Err(DataFusionError::Internal("these are numerics".to_owned()));
    };
    let operation = operation([left_places, right_places, places]);
    let room = 10_u128.pow(NUMERIC_PRECISION.into());
    let (left, right): (&Decimal128Array, &Decimal128Array) =
        (left.as_primitive(), right.as_primitive());
    let rows = left.iter().zip(right).map(|pair| {
        let (Some(left), Some(right)) = pair else {
            return Ok(None);
        };
        let found = operation(left, right).filter(|found| found.unsigned_abs() < room);
        found.map(Some).ok_or_else(|| Checked::out_of_range(to))
    });
    let rows = rows.collect::<Result<Decimal128Array, _>>()?;
    Ok(Arc::new(rows.with_data_type(to.clone())))
}

fn is_constant(value: &ColumnarValue) -> bool {
    matches!(value, ColumnarValue::Scalar(_))
}

fn apply(
    left: &ColumnarValue,
    right: &ColumnarValue,
    kernel: fn(&dyn Datum, &dyn Datum) -> Result<ArrayRef, ArrowError>,
) -> Result<ArrayRef, ArrowError> {
    let datum = |value: &ColumnarValue| -> Result<Box<dyn Datum>, ArrowError> {
        Ok(match value {
            ColumnarValue::Array(array) => Box::new(array.clone()),
            ColumnarValue::Scalar(value) => Box::new(value.to_scalar()?),
        })
    };
    kernel(datum(left)?.as_ref(), datum(right)?.as_ref())
}

/// Floats give an infinity by themselves.
fn refuse_zero(left: &ColumnarValue, right: &ColumnarValue) -> Result<(), DataFusionError> {
    let found = match right {
        ColumnarValue::Scalar(ScalarValue::Float64(Some(value))) => {
            *value == 0.0 && any_value(left)
        }
        ColumnarValue::Scalar(ScalarValue::Float32(Some(value))) => {
            *value == 0.0 && any_value(left)
        }
        ColumnarValue::Array(array) => match array.data_type() {
            DataType::Float64 => any_zero::<Float64Type>(array, left, |value| value == 0.0),
            DataType::Float32 => any_zero::<Float32Type>(array, left, |value| value == 0.0),
            _ => false,
        },
        ColumnarValue::Scalar(_) => false,
    };
    if found {
        return Err(raise(sqlstate::DIVISION_BY_ZERO, "division by zero"));
    }
    Ok(())
}

/// Null divided by zero is null.
fn any_value(left: &ColumnarValue) -> bool {
    match left {
        ColumnarValue::Scalar(value) => !value.is_null(),
        ColumnarValue::Array(array) => array.null_count() < array.len(),
    }
}

fn any_zero<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    left: &ColumnarValue,
    is_zero: fn(T::Native) -> bool,
) -> bool {
    let values = array.as_primitive::<T>();
    let left_is_valid = |row: usize| match left {
        ColumnarValue::Scalar(value) => !value.is_null(),
        ColumnarValue::Array(array) => array.is_valid(row),
    };
    (0..values.len())
        .any(|row| values.is_valid(row) && is_zero(values.value(row)) && left_is_valid(row))
}
