//! Functions of real numbers that have no value everywhere: an error as in Postgres, where the engine's answer is not a number
//! or without end.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use datafusion_common::DataFusionError;
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature};

use super::{bounded::spread, define::as_inner};
use crate::error::{raise, sqlstate};

type Fault = ([u8; 5], &'static str);

const OUT_OF_RANGE: Fault = (
    sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
    "input is out of range",
);

const OVERFLOW: Fault = (
    sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
    "value out of range: overflow",
);

/// The same function, within its domain.
pub fn within(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match check_of(function.name()) {
        Some(_) => Arc::new(ScalarUDF::new_from_impl(Within { inner: function })),
        None => function,
    }
}

/// Of one argument, or two.
type Check = fn(f64, f64) -> Option<Fault>;

fn check_of(name: &str) -> Option<Check> {
    Some(match name {
        "ln" | "log" | "log2" | "log10" => |first, second| logarithm(first).or(logarithm(second)),
        "sqrt" => |of, _| {
            let what = "cannot take square root of a negative number";
            (of < 0.0).then_some((sqlstate::INVALID_ARGUMENT_FOR_POWER, what))
        },
        "power" => power,
        "asin" | "acos" | "atanh" => |of, _| (of.abs() > 1.0).then_some(OUT_OF_RANGE),
        "acosh" => |of, _| (of < 1.0).then_some(OUT_OF_RANGE),
        "exp" => |of, _| (of.is_finite() && of.exp().is_infinite()).then_some(OVERFLOW),
        _ => return None,
    })
}

fn logarithm(of: f64) -> Option<Fault> {
    let what = match of {
        0.0 => "cannot take logarithm of zero",
        _ if of < 0.0 => "cannot take logarithm of a negative number",
        _ => return None,
    };
    Some((sqlstate::INVALID_ARGUMENT_FOR_LOG, what))
}

fn power(base: f64, exponent: f64) -> Option<Fault> {
    let undefined = |what| Some((sqlstate::INVALID_ARGUMENT_FOR_POWER, what));
    if base == 0.0 && exponent < 0.0 {
        return undefined("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return undefined(
            "a negative number raised to a non-integer power yields a complex result",
        );
    }
    let is_finite = base.is_finite() && exponent.is_finite();
    (is_finite && base.powf(exponent).is_infinite()).then_some(OVERFLOW)
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Within {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for Within {
    as_inner!();

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.inner().return_type(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let Some(check) = check_of(self.name()) else {
            return self.inner.inner().invoke_with_args(args);
        };
        let arguments = args.args.iter().map(|value| {
            let rows = match value {
                ColumnarValue::Array(array) => array.len(),
                ColumnarValue::Scalar(_) => 1,
            };
            Ok(cast(&spread(value, rows)?, &DataType::Float64)?)
        });
        let arguments = arguments.collect::<Result<Vec<_>, DataFusionError>>()?;
        let rows = arguments.iter().map(|array| array.len()).max().unwrap_or(0);
        for row in 0..rows {
            let Some((first, second)) = numbers(&arguments, row) else {
                continue;
            };
            if let Some((sqlstate, message)) = check(first, second) {
                return Err(raise(sqlstate, message));
            }
        }
        self.inner.inner().invoke_with_args(args)
    }
}

/// Of a row whose arguments are all there; 1 for a second one that the function does not have.
fn numbers(arguments: &[ArrayRef], row: usize) -> Option<(f64, f64)> {
    let number = |at: usize| {
        let Some(array) = arguments.get(at) else {
            return Some(1.0);
        };
        // A constant is one row.
        let row = row.min(array.len().checked_sub(1)?);
        let array = array.as_primitive::<Float64Type>();
        array.is_valid(row).then(|| array.value(row))
    };
    Some((number(0)?, number(1)?))
}
