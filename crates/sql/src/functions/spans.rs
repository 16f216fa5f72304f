//! Intervals times numbers, as in Postgres: a part of a month goes on in days, thirty to a month, and a part of a day in
//! hours.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray},
    datatypes::{
        DataType, Float64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
    },
};
use datafusion_common::DataFusionError;
use datafusion_expr::ScalarUDF;

use super::define::Function;
use crate::{
    column_type::MONTH_DAYS,
    error::{raise, sqlstate},
};

pub const LONGER: &str = "interval_times";
pub const SHORTER: &str = "interval_divided";

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);
const DAY_SECONDS: f64 = 86_400.0;

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let types = || vec![INTERVAL, DataType::Float64];
    vec![
        Function::exact(
            LONGER,
            types(),
            |_| Ok(INTERVAL),
            |arrays, _| each(arrays, |part, factor| part * factor),
        )
        .build(),
        Function::exact(
            SHORTER,
            types(),
            |_| Ok(INTERVAL),
            |arrays, _| {
                let divisors = arrays[1].as_primitive::<Float64Type>();
                let is_zero = |row| divisors.is_valid(row) && divisors.value(row) == 0.0;
                if (0..divisors.len()).any(|row| is_zero(row) && arrays[0].is_valid(row)) {
                    return Err(raise(sqlstate::DIVISION_BY_ZERO, "division by zero"));
                }
                each(arrays, |part, divisor| part / divisor)
            },
        )
        .build(),
    ]
}

fn each(arrays: &[ArrayRef], scale: impl Fn(f64, f64) -> f64) -> Result<ArrayRef, DataFusionError> {
    let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let factors = arrays[1].as_primitive::<Float64Type>();
    let rows = intervals.iter().zip(factors).map(|row| {
        let (Some(interval), Some(factor)) = row else {
            return Ok(None);
        };
        let scaled = scaled(interval, |part| scale(part, factor));
        let too_long = || raise(sqlstate::DATETIME_FIELD_OVERFLOW, "interval out of range");
        scaled.map(Some).ok_or_else(too_long)
    });
    let rows = rows.collect::<Result<IntervalMonthDayNanoArray, _>>()?;
    Ok(Arc::new(rows))
}

fn scaled(
    interval: IntervalMonthDayNano,
    scale: impl Fn(f64) -> f64,
) -> Option<IntervalMonthDayNano> {
    let months = scale(interval.months.into());
    let days = scale(interval.days.into());
    // As far as microseconds go.
    let exact = |value: f64| (value * 1e6).round_ties_even() / 1e6;
    let days_of_months = exact(months.fract() * f64::from(MONTH_DAYS));
    let mut seconds = exact((days.fract() + days_of_months.fract()) * DAY_SECONDS);
    let mut whole_days = days.trunc() + days_of_months.trunc();
    if seconds.abs() >= DAY_SECONDS {
        whole_days += (seconds / DAY_SECONDS).trunc();
        seconds %= DAY_SECONDS;
    }
    #[expect(clippy::cast_precision_loss, reason = "as in Postgres")]
    let micros = (interval.nanoseconds / 1000) as f64;
    let micros = (scale(micros) + seconds * 1e6).round_ties_even();
    let fits = |value: f64, most: f64| value.abs() < most;
    let is_there =
        fits(months, 2_147_483_648.0) && fits(whole_days, 2_147_483_648.0) && fits(micros, 9.2e15);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "their magnitudes are bounded"
    )]
    is_there
        .then(|| IntervalMonthDayNano::new(months as i32, whole_days as i32, micros as i64 * 1000))
}
