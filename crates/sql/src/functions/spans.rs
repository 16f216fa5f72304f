//! Intervals as Postgres computes with them: times numbers, where a part of a month goes on in days, thirty to a month, and a
//! part of a day in hours; made of numbers, and of two times; and their parts brought into each other's bounds.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, IntervalMonthDayNanoArray},
    compute::cast,
    datatypes::{
        DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
        TimestampMicrosecondType,
    },
};
use base::calendar::{civil_from_days, days_from_civil};
use datafusion_common::DataFusionError;
use datafusion_expr::{ScalarUDF, Signature, Volatility};

use super::{
    define::Function,
    times::{INTERVAL, timestamp},
};
use crate::{
    column_type::{DAY_US, MONTH_DAYS},
    error::{raise, sqlstate},
};

pub const LONGER: &str = "interval_times";
pub const SHORTER: &str = "interval_divided";

/// Of years, months, weeks, days, hours, minutes and seconds.
pub const MADE: &str = "make_interval";
pub const AGE: &str = "age";

const HOUR_US: i64 = 60 * 60 * 1_000_000;
const DAY_SECONDS: f64 = 86_400.0;

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let types = || vec![INTERVAL, DataType::Float64];
    let one = |name, body| Function::exact(name, vec![INTERVAL], |_| Ok(INTERVAL), body).build();
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
        one("justify_hours", |arrays, _| {
            justified(arrays, |span| span.hours_as_days().balanced_days())
        }),
        one("justify_days", |arrays, _| {
            justified(arrays, |span| span.days_as_months().balanced_months(0))
        }),
        one("justify_interval", |arrays, _| {
            justified(arrays, |span| {
                let span = span.hours_as_days().days_as_months();
                span.balanced_months(span.us).balanced_days()
            })
        }),
        Function::exact(
            MADE,
            [vec![DataType::Int64; 6], vec![DataType::Float64]].concat(),
            |_| Ok(INTERVAL),
            |arrays, _| made(arrays),
        )
        .build(),
        Function::new(
            AGE,
            Signature::coercible(vec![timestamp(), timestamp()], Volatility::Immutable),
            |_| Ok(INTERVAL),
            |arrays, _| ages(arrays),
        )
        .build(),
    ]
}

fn too_long() -> DataFusionError {
    raise(sqlstate::DATETIME_FIELD_OVERFLOW, "interval out of range")
}

/// Parts of an interval with room for each other's.
#[derive(Clone, Copy)]
struct Span {
    months: i64,
    days: i64,
    us: i64,
}

impl Span {
    fn new(interval: IntervalMonthDayNano) -> Self {
        Self {
            months: interval.months.into(),
            days: interval.days.into(),
            us: interval.nanoseconds / 1000,
        }
    }

    fn interval(self) -> Option<IntervalMonthDayNano> {
        let nanoseconds = self.us.checked_mul(1000)?;
        let (months, days) = (self.months.try_into().ok()?, self.days.try_into().ok()?);
        Some(IntervalMonthDayNano::new(months, days, nanoseconds))
    }

    fn hours_as_days(self) -> Self {
        Self {
            days: self.days + self.us / DAY_US,
            us: self.us % DAY_US,
            ..self
        }
    }

    fn days_as_months(self) -> Self {
        let month = i64::from(MONTH_DAYS);
        Self {
            months: self.months + self.days / month,
            days: self.days % month,
            ..self
        }
    }

    /// No time of the other sign than days.
    fn balanced_days(mut self) -> Self {
        if self.days > 0 && self.us < 0 {
            (self.days, self.us) = (self.days - 1, self.us + DAY_US);
        } else if self.days < 0 && self.us > 0 {
            (self.days, self.us) = (self.days + 1, self.us - DAY_US);
        }
        self
    }

    /// No days of the other sign than months, nor a time behind them.
    fn balanced_months(mut self, us: i64) -> Self {
        let month = i64::from(MONTH_DAYS);
        let rest = (self.days, us);
        if self.months > 0 && rest < (0, 0) {
            (self.months, self.days) = (self.months - 1, self.days + month);
        } else if self.months < 0 && rest > (0, 0) {
            (self.months, self.days) = (self.months + 1, self.days - month);
        }
        self
    }

    fn negated(self) -> Self {
        Self {
            months: -self.months,
            days: -self.days,
            us: -self.us,
        }
    }
}

fn justified(arrays: &[ArrayRef], of: fn(Span) -> Span) -> Result<ArrayRef, DataFusionError> {
    let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let rows = intervals.iter().map(|interval| {
        let found = interval.map(|interval| of(Span::new(interval)).interval());
        found.map(|found| found.ok_or_else(too_long)).transpose()
    });
    let rows = rows.collect::<Result<IntervalMonthDayNanoArray, _>>()?;
    Ok(Arc::new(rows))
}

fn made(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let whole = |at: usize, row| arrays[at].as_primitive::<Int64Type>().value(row);
    let rows = (0..arrays[0].len()).map(|row| {
        if arrays.iter().any(|array| array.is_null(row)) {
            return Ok(None);
        }
        let sum = |terms: &[(i64, i64)]| {
            terms.iter().try_fold(0_i64, |sum, (count, of)| {
                sum.checked_add(count.checked_mul(*of)?)
            })
        };
        let seconds = arrays[6].as_primitive::<Float64Type>().value(row) * 1e6;
        #[expect(clippy::cast_possible_truncation, reason = "its magnitude is bounded")]
        let seconds = (seconds.abs() < 9.2e18).then(|| seconds.round_ties_even() as i64);
        let found = || {
            let hours = (whole(4, row), HOUR_US);
            Span {
                months: sum(&[(whole(0, row), 12), (whole(1, row), 1)])?,
                days: sum(&[(whole(2, row), 7), (whole(3, row), 1)])?,
                us: sum(&[hours, (whole(5, row), HOUR_US / 60), (seconds?, 1)])?,
            }
            .interval()
        };
        found().map(Some).ok_or_else(too_long)
    });
    let rows = rows.collect::<Result<IntervalMonthDayNanoArray, _>>()?;
    Ok(Arc::new(rows))
}

/// From the second to the first, in years, months and days of the calendar.
fn ages(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let (until, from) = (cast(&arrays[0], &plain)?, cast(&arrays[1], &plain)?);
    let from = from.as_primitive::<TimestampMicrosecondType>();
    let pairs = until
        .as_primitive::<TimestampMicrosecondType>()
        .iter()
        .zip(from);
    let rows = pairs.map(|pair| {
        let (Some(until), Some(from)) = pair else {
            return Ok(None);
        };
        let span = match until < from {
            true => between(until, from).negated(),
            false => between(from, until),
        };
        span.interval().map(Some).ok_or_else(too_long)
    });
    let rows = rows.collect::<Result<IntervalMonthDayNanoArray, _>>()?;
    Ok(Arc::new(rows))
}

/// Days are borrowed of the earlier one's month.
fn between(earlier: i64, later: i64) -> Span {
    let date = |us: i64| civil_from_days(us.div_euclid(DAY_US));
    let (first, last) = (date(earlier), date(later));
    let mut span = Span {
        months: (last.0 - first.0) * 12 + last.1 - first.1,
        days: last.2 - first.2,
        us: later.rem_euclid(DAY_US) - earlier.rem_euclid(DAY_US),
    };
    if span.us < 0 {
        (span.us, span.days) = (span.us + DAY_US, span.days - 1);
    }
    if span.days < 0 {
        let (year, month, _) = first;
        let next = if month == 12 {
            (year + 1, 1)
        } else {
            (year, month + 1)
        };
        let days = days_from_civil(next.0, next.1, 1) - days_from_civil(year, month, 1);
        (span.days, span.months) = (span.days + days, span.months - 1);
    }
    span
}

fn each(arrays: &[ArrayRef], scale: impl Fn(f64, f64) -> f64) -> Result<ArrayRef, DataFusionError> {
    let intervals = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let factors = arrays[1].as_primitive::<Float64Type>();
    let rows = intervals.iter().zip(factors).map(|row| {
        let (Some(interval), Some(factor)) = row else {
            return Ok(None);
        };
        let scaled = scaled(interval, |part| scale(part, factor));
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
