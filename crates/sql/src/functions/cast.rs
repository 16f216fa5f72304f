//! Casts as Postgres makes them: numbers round instead of being cut, values become the text that they are printed as, and text
//! is read by each type's own rules.

use std::{hash::Hash, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, PrimitiveArray, StringBuilder},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{
        ArrowPrimitiveType, DataType, Decimal128Type, Field, Float32Type, Float64Type, Int16Type,
        Int32Type, Int64Type,
    },
    util::display::FormatOptions,
};
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    Cast, ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TryCast,
    Volatility, expr::ScalarFunction,
};

use super::define::on_arrays;
use crate::{
    error::{carried, raise, sqlstate},
    text::{self, Style},
};

/// `CAST(expression AS to)`. A constant text that is no value of the type is refused at once.
pub fn explicit(expression: Expr, from: &DataType, to: &DataType) -> Result<Expr, DataFusionError> {
    if from.is_string() && text::is_read(to) {
        return Ok(match expression {
            Expr::Literal(value, _) => Expr::Literal(literal(&value, to)?, None),
            other => called(other, to, false),
        });
    }
    let rounds =
        to.is_integer() && (from.is_floating() || matches!(from, DataType::Decimal128(..)));
    let prints = *to == DataType::Utf8
        && !from.is_integer()
        && !from.is_string()
        && !matches!(
            from,
            DataType::Boolean | DataType::Null | DataType::Decimal128(..)
        );
    if !rounds && !prints && !narrows(from, to) {
        return Ok(Expr::Cast(Cast::new(Box::new(expression), to.clone())));
    }
    Ok(called(expression, to, false))
}

/// `TRY_CAST(expression AS to)`.
pub fn lenient(expression: Expr, from: &DataType, to: &DataType) -> Expr {
    match from.is_string() && text::is_read(to) {
        true => called(expression, to, true),
        false => Expr::TryCast(TryCast::new(Box::new(expression), to.clone())),
    }
}

fn literal(value: &ScalarValue, to: &DataType) -> Result<ScalarValue, DataFusionError> {
    let texts = value.cast_to(&DataType::Utf8)?.to_array()?;
    let read = text::column(texts.as_string(), to, false).map_err(carried)?;
    ScalarValue::try_from_array(&read, 0)
}

fn called(expression: Expr, to: &DataType, is_lenient: bool) -> Expr {
    let function = ScalarUDF::new_from_impl(PostgresCast {
        to: to.clone(),
        is_lenient,
        signature: Signature::any(1, Volatility::Immutable),
    });
    Expr::ScalarFunction(ScalarFunction::new_udf(
        Arc::new(function),
        vec![expression],
    ))
}

/// Whether a number may not fit. Of the engine's own casts it refuses constants that do not when it plans, though no row may
/// ever ask for them.
fn narrows(from: &DataType, to: &DataType) -> bool {
    let digits = |of: &DataType| match of {
        DataType::Int16 => Some((5, 0)),
        DataType::Int32 => Some((10, 0)),
        DataType::Int64 => Some((19, 0)),
        DataType::Decimal128(precision, scale) => {
            Some((i16::from(*precision) - i16::from(*scale), *scale))
        }
        _ => None,
    };
    match (digits(from), digits(to)) {
        // Rounding may add a digit.
        (Some((whole, part)), Some((room, kept))) => {
            whole > room || (whole == room && part > kept && from != to)
        }
        (None, Some(_)) => from.is_floating(),
        _ => false,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PostgresCast {
    to: DataType,
    /// Of text that is no value of the type: null, not an error.
    is_lenient: bool,
    signature: Signature,
}

impl ScalarUDFImpl for PostgresCast {
    fn name(&self) -> &'static str {
        "postgres_cast"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.to.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let field = args.arg_fields[0].clone();
        on_arrays(&args, |arrays| self.converted(&field, &arrays[0]))
    }
}

impl PostgresCast {
    fn converted(&self, field: &Field, array: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
        let to = &self.to;
        match (array.data_type(), to) {
            (_, DataType::Utf8) => printed(field, array),
            (from, _) if from.is_string() => {
                let texts = cast(array, &DataType::Utf8)?;
                text::column(texts.as_string(), to, self.is_lenient).map_err(carried)
            }
            (DataType::Float64, _) if to.is_integer() => {
                let values = array.as_primitive::<Float64Type>();
                rounded(values, to, whole)
            }
            (DataType::Float32, _) if to.is_integer() => {
                let values = array.as_primitive::<Float32Type>();
                rounded(values, to, |value| whole(f64::from(value)))
            }
            (DataType::Decimal128(_, scale), _) if to.is_integer() => {
                let values = array.as_primitive::<Decimal128Type>();
                let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
                rounded(values, to, |value| {
                    let half = if value < 0 { -(unit / 2) } else { unit / 2 };
                    value.checked_add(half).map(|value| value / unit)
                })
            }
            _ => {
                let options = CastOptions {
                    safe: false,
                    format_options: FormatOptions::default(),
                };
                Ok(cast_with_options(array, to, &options)?)
            }
        }
    }
}

/// To the nearest whole number, an even one of two.
fn whole(value: f64) -> Option<i128> {
    let rounded = value.round_ties_even();
    // Far beyond what any integer type takes, and exact up to there.
    #[expect(clippy::cast_possible_truncation, reason = "its magnitude is bounded")]
    (rounded.abs() < 1e30).then_some(rounded as i128)
}

fn rounded<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    to: &DataType,
    round: impl Fn(T::Native) -> Option<i128>,
) -> Result<ArrayRef, DataFusionError> {
    match to {
        DataType::Int16 => narrowed::<T, Int16Type>(values, round, "smallint"),
        DataType::Int32 => narrowed::<T, Int32Type>(values, round, "integer"),
        _ => narrowed::<T, Int64Type>(values, round, "bigint"),
    }
}

fn narrowed<T: ArrowPrimitiveType, To: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    round: impl Fn(T::Native) -> Option<i128>,
    name: &str,
) -> Result<ArrayRef, DataFusionError>
where
    To::Native: TryFrom<i128>,
{
    let narrow = |value| {
        let whole = round(value).and_then(|value| To::Native::try_from(value).ok());
        whole.ok_or_else(|| {
            raise(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                format!("{name} out of range"),
            )
        })
    };
    let narrowed: PrimitiveArray<To> = values.try_unary(narrow)?;
    Ok(Arc::new(narrowed))
}

fn printed(field: &Field, array: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
    let mut builder = StringBuilder::new();
    let mut out = Vec::new();
    for row in 0..array.len() {
        if array.is_null(row) {
            builder.append_null();
            continue;
        }
        out.clear();
        text::write(field, array.as_ref(), row, &Style::default(), &mut out).map_err(carried)?;
        builder.append_value(String::from_utf8_lossy(&out));
    }
    Ok(Arc::new(builder.finish()))
}
