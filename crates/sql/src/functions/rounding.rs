//! `round`, `trunc`, `ceil` and `floor`. A numeric has the digits behind the point that were asked for, as in Postgres; a
//! floating point number is rounded to the even one of two that it is as near to.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int64Array},
    datatypes::{DataType, Decimal128Type, Field, FieldRef, Int64Type},
};
use datafusion_common::{DataFusionError, ScalarValue, plan_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};

use super::define::on_arrays;
use crate::{
    column_type::NUMERIC_PRECISION,
    error::{carried, raise, sqlstate},
    text,
};

/// Whole digits of any bigint.
const BIGINT_DIGITS: u8 = 19;
/// Behind or before the point; no number has as many.
const PLACES_MAX: i64 = 400;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Mode {
    Round,
    Trunc,
    Ceil,
    Floor,
}

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let functions = [
        ("round", Mode::Round),
        ("trunc", Mode::Trunc),
        ("ceil", Mode::Ceil),
        ("ceiling", Mode::Ceil),
        ("floor", Mode::Floor),
    ];
    let made = functions.map(|(name, mode)| {
        Arc::new(ScalarUDF::new_from_impl(Rounding {
            name,
            mode,
            signature: Signature::user_defined(Volatility::Immutable),
        }))
    });
    made.into()
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Rounding {
    name: &'static str,
    mode: Mode,
    signature: Signature,
}

impl ScalarUDFImpl for Rounding {
    fn name(&self) -> &'static str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>, DataFusionError> {
        let has_places = matches!(self.mode, Mode::Round | Mode::Trunc);
        let (of, places) = match types {
            [of] => (of, None),
            [of, places] if has_places && (places.is_integer() || places.is_null()) => {
                (of, Some(DataType::Int64))
            }
            [of, places] if has_places && places.is_string() => (of, Some(DataType::Utf8)),
            _ => return plan_err!("{} takes other arguments", self.name),
        };
        let of = match of {
            DataType::Decimal128(..) => of.clone(),
            of if of.is_integer() && places.is_some() => DataType::Decimal128(BIGINT_DIGITS, 0),
            of if of.is_numeric() || of.is_null() || of.is_string() => DataType::Float64,
            _ => return plan_err!("{} takes a number", self.name),
        };
        Ok([of].into_iter().chain(places).collect())
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Err(DataFusionError::Internal(
            "digits that are kept are not in types".to_owned(),
        ))
    }

    /// Digits that are written as a number, which the planner is told as text, are those of the type; any others leave as many as
    /// there are.
    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        let of = arguments.arg_fields[0].data_type();
        let places = match arguments.scalar_arguments {
            [_] => Some(0),
            [_, Some(ScalarValue::Utf8(Some(places)))] => places.parse().ok(),
            _ => None,
        };
        let data_type = match of {
            DataType::Decimal128(precision, scale) => {
                let whole = i64::from(*precision) - i64::from(*scale) + 1;
                let most = i64::from(NUMERIC_PRECISION);
                let places = places.unwrap_or_else(|| i64::from(*scale));
                let places = places.clamp(0, (most - whole).max(i64::from(*scale)));
                let precision = (whole + places).min(most);
                DataType::Decimal128(precision as u8, places as i8)
            }
            of => of.clone(),
        };
        Ok(Arc::new(Field::new(self.name, data_type, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let to = args.return_field.data_type();
        on_arrays(&args, |arrays| {
            let places = arrays.get(1).map(|places| match places.data_type() {
                DataType::Utf8 => text::column(places.as_string(), &DataType::Int64, false),
                _ => Ok(places.clone()),
            });
            let places = places.transpose().map_err(carried)?;
            let places = places
                .as_ref()
                .map(|places| places.as_primitive::<Int64Type>());
            match arrays[0].data_type() {
                DataType::Decimal128(_, scale) => self.numerics(&arrays[0], *scale, places, to),
                _ => Ok(self.floats(arrays[0].as_primitive(), places)),
            }
        })
    }
}

impl Rounding {
    fn numerics(
        &self,
        array: &ArrayRef,
        scale: i8,
        places: Option<&Int64Array>,
        to: &DataType,
    ) -> Result<ArrayRef, DataFusionError> {
        let DataType::Decimal128(precision, kept) = to else {
            return Err(DataFusionError::Internal(
                "a numeric becomes one".to_owned(),
            ));
        };
        let values = array.as_primitive::<Decimal128Type>();
        let too_large = || {
            raise(
                sqlstate::NUMERIC_VALUE_OUT_OF_RANGE,
                "numeric field overflow",
            )
        };
        let room = 10_i128.pow(u32::from(*precision)).unsigned_abs();
        let rows = values.iter().enumerate().map(|(row, value)| {
            let places = match places {
                Some(places) if places.is_null(row) => None,
                Some(places) => Some(places.value(row)),
                None => Some(0),
            };
            let (Some(value), Some(places)) = (value, places) else {
                return Ok(None);
            };
            let rounded = self.numeric(value, scale.into(), places, (*kept).into());
            let rounded = rounded.filter(|value| value.unsigned_abs() < room);
            rounded.map(Some).ok_or_else(too_large)
        });
        let rows = rows.collect::<Result<Decimal128Array, _>>()?;
        Ok(Arc::new(rows.with_data_type(to.clone())))
    }

    /// `value / 10^scale` rounded to so many places, as a multiple of `10^-kept`; none if it is too large.
    fn numeric(&self, value: i128, scale: i64, places: i64, kept: i64) -> Option<i128> {
        let power = |exponent: i64| 10_i128.checked_pow(u32::try_from(exponent).ok()?);
        // Never more places than are kept or were there, nor so few that not even their number says anything.
        let places = places.clamp(-PLACES_MAX, kept.max(scale));
        let dropped = scale - places;
        let (rounded, now) = match dropped {
            ..=0 => (value, scale),
            _ => match power(dropped) {
                Some(unit) => {
                    let (whole, rest) = (value / unit, value % unit);
                    let step = match self.mode {
                        Mode::Round if rest.unsigned_abs() * 2 >= unit.unsigned_abs() => {
                            value.signum()
                        }
                        Mode::Ceil if rest > 0 => 1,
                        Mode::Floor if rest < 0 => -1,
                        _ => 0,
                    };
                    (whole + step, places)
                }
                // No digit of it is left.
                None => (0, kept),
            },
        };
        match kept - now {
            more @ 0.. => rounded.checked_mul(power(more)?),
            fewer => Some(rounded / power(-fewer)?),
        }
    }

    fn floats(&self, values: &Float64Array, places: Option<&Int64Array>) -> ArrayRef {
        let Some(places) = places else {
            let rounded: Float64Array = values.unary(|value| self.whole(value));
            return Arc::new(rounded);
        };
        let rows = values.iter().zip(places).map(|(value, places)| {
            let (value, places) = (value?, places?.clamp(-PLACES_MAX, PLACES_MAX));
            let factor = 10_f64.powi(places as i32);
            let scaled = value * factor;
            // Half of a place goes away from zero.
            let whole = match self.mode {
                Mode::Round => scaled.round(),
                _ => scaled.trunc(),
            };
            match scaled.is_finite() && factor > 0.0 {
                true => Some(whole / factor),
                // So many places change nothing, so few leave nothing.
                false if places > 0 || !value.is_finite() => Some(value),
                false => Some(0.0),
            }
        });
        Arc::new(rows.collect::<Float64Array>())
    }

    fn whole(&self, value: f64) -> f64 {
        match self.mode {
            Mode::Round => value.round_ties_even(),
            Mode::Trunc => value.trunc(),
            Mode::Ceil => value.ceil(),
            Mode::Floor => value.floor(),
        }
    }
}
