//! `extract` and `date_part`: the engine's, but for parts of a second, which it leaves out, and long stretches of years, which
//! it does not know.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, Float64Array},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Field, FieldRef, Int64Type, IntervalMonthDayNanoType, TimeUnit,
    },
};
use base::calendar::civil_from_days;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};

use super::define::{as_inner, on_arrays};
use crate::column_type::DAY_US;

const MINUTE_US: i64 = 60_000_000;

/// The same function with parts of a second and long stretches of years.
pub fn with_more_parts(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "date_part" => Arc::new(ScalarUDF::new_from_impl(DatePart { inner: function })),
        _ => function,
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct DatePart {
    inner: Arc<ScalarUDF>,
}

#[derive(Clone, Copy)]
enum Part {
    /// Of a minute, in microseconds.
    Seconds { unit_us: f64 },
    /// Whole ones, which begin with year 1 where they have an ordinal.
    Years { count: i64, is_ordinal: bool },
}

impl Part {
    fn named(name: Option<&ScalarValue>) -> Option<Self> {
        let name = name?.try_as_str()??.to_ascii_lowercase();
        Some(match name.as_str() {
            "s" | "sec" | "secs" | "second" | "seconds" => Self::Seconds { unit_us: 1e6 },
            "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => {
                Self::Seconds { unit_us: 1e3 }
            }
            "decade" | "decades" => Self::Years {
                count: 10,
                is_ordinal: false,
            },
            "century" | "centuries" => Self::Years {
                count: 100,
                is_ordinal: true,
            },
            "millennium" | "millennia" => Self::Years {
                count: 1000,
                is_ordinal: true,
            },
            _ => return None,
        })
    }

    fn of_days_and_time(self, days: i64, us: i64) -> f64 {
        match self {
            Self::Seconds { unit_us } => us.rem_euclid(MINUTE_US) as f64 / unit_us,
            Self::Years { count, is_ordinal } => {
                let year = civil_from_days(days).0;
                let found = match is_ordinal {
                    false => year.div_euclid(count),
                    true if year > 0 => (year - 1) / count + 1,
                    // There is no year 0, and no century of that number.
                    true => (year - count) / count,
                };
                found as f64
            }
        }
    }

    fn of_interval(self, months: i32, us: i64) -> f64 {
        match self {
            Self::Seconds { unit_us } => (us % MINUTE_US) as f64 / unit_us,
            Self::Years { count, .. } => (i64::from(months) / 12 / count) as f64,
        }
    }

    fn of(self, times: &ArrayRef) -> Result<ArrayRef, DataFusionError> {
        let found: Float64Array = match times.data_type() {
            DataType::Interval(_) => times
                .as_primitive::<IntervalMonthDayNanoType>()
                .unary(|interval| self.of_interval(interval.months, interval.nanoseconds / 1000)),
            DataType::Date32 => times
                .as_primitive::<Date32Type>()
                .unary(|days| self.of_days_and_time(days.into(), 0)),
            DataType::Null => Float64Array::new_null(times.len()),
            _ => {
                let us = cast(times, &DataType::Int64)?;
                us.as_primitive::<Int64Type>()
                    .unary(|us| self.of_days_and_time(us.div_euclid(DAY_US), us))
            }
        };
        Ok(Arc::new(found))
    }
}

impl ScalarUDFImpl for DatePart {
    as_inner!();

    fn return_type(&self, types: &[DataType]) -> Result<DataType, DataFusionError> {
        self.inner.inner().return_type(types)
    }

    fn return_field_from_args(
        &self,
        arguments: ReturnFieldArgs<'_>,
    ) -> Result<FieldRef, DataFusionError> {
        let part = arguments.scalar_arguments.first().copied().flatten();
        match Part::named(part) {
            Some(_) => Ok(Arc::new(Field::new(self.name(), DataType::Float64, true))),
            None => self.inner.inner().return_field_from_args(arguments),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue, DataFusionError> {
        let part = match args.args.first() {
            Some(ColumnarValue::Scalar(part)) => Part::named(Some(part)),
            _ => None,
        };
        let Some(part) = part else {
            return self.inner.inner().invoke_with_args(args);
        };
        on_arrays(&args, |arrays| {
            let micros = match arrays[1].data_type() {
                DataType::Timestamp(_, zone) => cast(
                    &arrays[1],
                    &DataType::Timestamp(TimeUnit::Microsecond, zone.clone()),
                )?,
                _ => arrays[1].clone(),
            };
            part.of(&micros)
        })
    }
}
