//! Arithmetic that fails where Postgres's does: on overflow and on division by zero.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Datum, PrimitiveArray},
    compute::kernels::numeric,
    datatypes::{ArrowPrimitiveType, DataType, FieldRef, Float32Type, Float64Type},
    error::ArrowError,
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, Operator, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature, Volatility, type_coercion::binary::BinaryTypeCoercer,
};

use super::define::{as_inner, on_arrays};
use crate::error::{raise, sqlstate};

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
        BinaryTypeCoercer::new(&types[0], &self.operator, &types[1]).get_result_type()
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

/// `round`, which takes the even one of two whole numbers that a floating point one is as near to, as Postgres does; a numeric
/// goes away from zero.
pub fn rounds_to_even(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "round" => Arc::new(ScalarUDF::new_from_impl(Round { inner: function })),
        _ => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Round {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Round {
    as_inner!();

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.inner().return_type(types)
    }

    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        self.inner.inner().return_field_from_args(arguments)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let types: Vec<DataType> = args.args.iter().map(ColumnarValue::data_type).collect();
        match types.as_slice() {
            [DataType::Float64] => on_arrays(&args, |arrays| {
                let values = arrays[0].as_primitive::<Float64Type>();
                let rounded: PrimitiveArray<Float64Type> = values.unary(f64::round_ties_even);
                Ok(Arc::new(rounded))
            }),
            [DataType::Float32] => on_arrays(&args, |arrays| {
                let values = arrays[0].as_primitive::<Float32Type>();
                let rounded: PrimitiveArray<Float32Type> = values.unary(f32::round_ties_even);
                Ok(Arc::new(rounded))
            }),
            _ => self.inner.inner().invoke_with_args(args),
        }
    }
}
