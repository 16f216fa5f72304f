//! Functions of times by the microsecond: the query engine's go by the nanosecond, and end in 2262.

use std::{hash::Hash, sync::Arc};

use arrow::{
    array::{
        Array, ArrayRef, AsArray, Decimal128Array, Int64Array, IntervalMonthDayNanoArray,
        ListArray, new_null_array,
    },
    buffer::{NullBuffer, OffsetBuffer},
    compute::{CastOptions, cast, cast_with_options},
    datatypes::{
        DataType, Decimal128Type, FieldRef, Float64Type, Int64Type, IntervalMonthDayNano,
        IntervalMonthDayNanoType, IntervalUnit, TimeUnit,
    },
};
use base::calendar::{civil_from_days, days_from_civil};
use datafusion_common::{
    DataFusionError,
    types::{NativeType, logical_date, logical_string},
};
use datafusion_expr::{
    Coercion, ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TypeSignature, TypeSignatureClass, Volatility,
};

use super::{
    define::{Function, as_inner, on_arrays},
    format,
};
use crate::{
    column_type::{DAY_US, MONTH_DAYS, NUMERIC_PRECISION, canonical, timestamptz},
    error::{carried, raise, sqlstate},
    text,
};

const MICROS: i64 = 1_000_000;
const MINUTE: i64 = 60 * MICROS;

/// Days and time between two timestamps, as Postgres subtracts them.
pub const BETWEEN: &str = "interval_between";

/// How long an interval is, as Postgres compares them: a month has thirty days, and a day twenty-four hours.
pub const SPAN: &str = "interval_span";

pub(super) const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

fn plain() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let second = |types: &[DataType]| Ok(time_type(&types[1]));
    let any = |count| Signature::any(count, Volatility::Immutable);
    vec![
        Function::new("date_trunc", floors(text()), second, truncated)
            .alias("datetrunc")
            .build(),
        Function::new("date_bin", bins(), second, binned).build(),
        Function::new(
            BETWEEN,
            any(2),
            |_| Ok(INTERVAL),
            |arrays, _| between(arrays),
        )
        .build(),
        Function::new(SPAN, any(1), |_| Ok(span_type()), |arrays, _| spans(arrays)).build(),
    ]
}

/// The same function, by the microsecond where it speaks of times.
pub fn by_microseconds(function: Arc<ScalarUDF>) -> Arc<ScalarUDF> {
    match function.name() {
        "generate_series" | "range" => {
            let includes_end = function.name() == "generate_series";
            Arc::new(ScalarUDF::new_from_impl(Series {
                inner: function,
                includes_end,
            }))
        }
        "to_timestamp" => Arc::new(ScalarUDF::new_from_impl(ToTimestamp { inner: function })),
        _ => function,
    }
}

fn text() -> Coercion {
    Coercion::new_exact(TypeSignatureClass::Native(logical_string()))
}

/// A timestamp, or what is read as one.
pub(super) fn timestamp() -> Coercion {
    let others = [logical_string(), logical_date()].map(TypeSignatureClass::Native);
    let to = NativeType::Timestamp(TimeUnit::Microsecond, None);
    Coercion::new_implicit(TypeSignatureClass::Timestamp, others.to_vec(), to)
}

fn floors(by: Coercion) -> Signature {
    let time = Coercion::new_exact(TypeSignatureClass::Time);
    let kinds = vec![
        TypeSignature::Coercible(vec![by.clone(), timestamp()]),
        TypeSignature::Coercible(vec![by, time]),
    ];
    Signature::one_of(kinds, Volatility::Immutable)
}

fn bins() -> Signature {
    let interval = Coercion::new_implicit(
        TypeSignatureClass::Interval,
        vec![TypeSignatureClass::Native(logical_string())],
        NativeType::Interval(IntervalUnit::MonthDayNano),
    );
    let time = Coercion::new_exact(TypeSignatureClass::Time);
    let kinds = [timestamp(), time].into_iter().flat_map(|of| {
        let with_origin = vec![interval.clone(), of.clone(), of.clone()];
        let without = vec![interval.clone(), of];
        [with_origin, without].map(TypeSignature::Coercible)
    });
    Signature::one_of(kinds.collect(), Volatility::Immutable)
}

/// Of what is made of a time: as exact as any column of times.
fn time_type(of: &DataType) -> DataType {
    match of {
        DataType::Null => plain(),
        of => canonical(of),
    }
}

fn span_type() -> DataType {
    DataType::Decimal128(NUMERIC_PRECISION, 0)
}

pub fn out_of_range() -> DataFusionError {
    raise(sqlstate::DATETIME_FIELD_OVERFLOW, "timestamp out of range")
}

fn invalid(message: impl Into<String>) -> DataFusionError {
    raise(sqlstate::INVALID_PARAMETER_VALUE, message)
}

/// Microseconds of times of this type.
fn micros(array: &ArrayRef, data_type: &DataType) -> Result<Int64Array, DataFusionError> {
    if array.data_type().is_null() {
        return Ok(Int64Array::new_null(array.len()));
    }
    let times = exactly(array, data_type)?;
    Ok(cast(&times, &DataType::Int64)?.as_primitive().clone())
}

/// A cast that fails where it cannot be made.
fn exactly(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, DataFusionError> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, to, &options)?)
}

/// What an interval adds to a time: months, and the microseconds of its days and hours; `None`: too many.
pub fn months_and_us(interval: IntervalMonthDayNano) -> Option<(i64, i64)> {
    let days = i64::from(interval.days).checked_mul(DAY_US)?;
    let us = days.checked_add(interval.nanoseconds / 1_000)?;
    Some((interval.months.into(), us))
}

/// What `date_trunc` cuts to.
#[derive(Clone, Copy)]
enum Unit {
    Micros(i64),
    Week,
    Months(i64),
    /// So many, of which the first of all is year 0, or 1.
    Years(i64, i64),
}

impl Unit {
    fn named(name: &str, of: &DataType) -> Result<Self, DataFusionError> {
        let lower = name.to_ascii_lowercase();
        let unit = match lower.strip_suffix('s').unwrap_or(&lower) {
            "microsecond" => Self::Micros(1),
            "millisecond" => Self::Micros(1_000),
            "second" => Self::Micros(MICROS),
            "minute" => Self::Micros(MINUTE),
            "hour" => Self::Micros(60 * MINUTE),
            "day" => Self::Micros(DAY_US),
            "week" => Self::Week,
            "month" => Self::Months(1),
            "quarter" => Self::Months(3),
            "year" => Self::Years(1, 0),
            "decade" => Self::Years(10, 0),
            "century" | "centurie" => Self::Years(100, 1),
            "millennium" | "millennia" => Self::Years(1_000, 1),
            _ => return Err(invalid(format!("unit \"{name}\" not recognized"))),
        };
        let is_of_day = matches!(unit, Self::Micros(step) if step < DAY_US);
        if matches!(of, DataType::Time64(_)) && !is_of_day {
            return Err(invalid(format!("a time of day has no unit \"{name}\"")));
        }
        Ok(unit)
    }

    fn floor(self, at: i64) -> Option<i64> {
        let days = at.div_euclid(DAY_US);
        let first = match self {
            Self::Micros(step) => return at.checked_sub(at.rem_euclid(step)),
            // 1970-01-01 was a Thursday, and weeks begin on Monday.
            Self::Week => days - (days + 3).rem_euclid(7),
            Self::Months(count) => {
                let (year, month, _) = civil_from_days(days);
                days_from_civil(year, month - (month - 1) % count, 1)
            }
            Self::Years(count, first) => {
                let (year, ..) = civil_from_days(days);
                days_from_civil(year - (year - first).rem_euclid(count), 1, 1)
            }
        };
        first.checked_mul(DAY_US)
    }
}

fn truncated(arrays: &[ArrayRef], answer: &DataType) -> Result<ArrayRef, DataFusionError> {
    let names = cast(&arrays[0], &DataType::Utf8)?;
    let names = names.as_string::<i32>();
    let times = micros(&arrays[1], answer)?;
    // It is the same one for all rows, as a rule.
    let mut known: Option<(&str, Unit)> = None;
    let cut = names.iter().zip(&times).map(|both| {
        let (Some(name), Some(at)) = both else {
            return Ok(None);
        };
        let unit = match known {
            Some((before, unit)) if before == name => unit,
            _ => Unit::named(name, answer)?,
        };
        known = Some((name, unit));
        unit.floor(at).map(Some).ok_or_else(out_of_range)
    });
    let cut = cut.collect::<Result<Int64Array, DataFusionError>>()?;
    Ok(cast(&cut, answer)?)
}

/// What `date_bin` steps by: never nothing.
enum Step {
    Micros(i64),
    Months(i64),
}

impl Step {
    fn new(interval: IntervalMonthDayNano) -> Result<Self, DataFusionError> {
        let (months, micros) = months_and_us(interval).ok_or_else(out_of_range)?;
        match months {
            0 if micros > 0 => Ok(Self::Micros(micros)),
            months if months > 0 && micros == 0 => Ok(Self::Months(months)),
            0 => Err(invalid("stride must be greater than zero")),
            _ => Err(invalid(
                "a stride is some months, or some days and hours, not both",
            )),
        }
    }

    fn floor(&self, at: i64, origin: i64) -> Option<i64> {
        match *self {
            Self::Micros(step) => {
                let past = at.checked_sub(origin)?.rem_euclid(step);
                at.checked_sub(past)
            }
            Self::Months(step) => {
                let between = month_of(at) - month_of(origin);
                let months = between - between.rem_euclid(step);
                let found = months_later(origin, months)?;
                match found > at {
                    true => months_later(origin, months - step),
                    false => Some(found),
                }
            }
        }
    }
}

/// Months since year 0.
fn month_of(at: i64) -> i64 {
    let (year, month, _) = civil_from_days(at.div_euclid(DAY_US));
    year * 12 + month - 1
}

/// On the same day of another month, or its last where it has none such.
fn months_later(at: i64, months: i64) -> Option<i64> {
    let (_, _, day) = civil_from_days(at.div_euclid(DAY_US));
    let to = month_of(at).checked_add(months)?;
    let first = |month: i64| days_from_civil(month.div_euclid(12), month.rem_euclid(12) + 1, 1);
    let days = (first(to) + day - 1).min(first(to + 1) - 1);
    days.checked_mul(DAY_US)?.checked_add(at.rem_euclid(DAY_US))
}

fn binned(arrays: &[ArrayRef], answer: &DataType) -> Result<ArrayRef, DataFusionError> {
    let steps = cast(&arrays[0], &INTERVAL)?;
    let steps = steps.as_primitive::<IntervalMonthDayNanoType>();
    let times = micros(&arrays[1], answer)?;
    let origins = match arrays.get(2) {
        Some(origins) => micros(origins, answer)?,
        None => vec![0; times.len()].into(),
    };
    let is_of_day = matches!(answer, DataType::Time64(_));
    let rows = steps.iter().zip(&times).zip(&origins);
    let cut = rows.map(|row| {
        let ((Some(step), Some(at)), Some(origin)) = row else {
            return Ok(None);
        };
        let found = Step::new(step)?.floor(at, origin);
        let found = found.ok_or_else(out_of_range)?;
        // Before midnight is the evening.
        Ok(Some(if is_of_day {
            found.rem_euclid(DAY_US)
        } else {
            found
        }))
    });
    let cut = cut.collect::<Result<Int64Array, DataFusionError>>()?;
    Ok(cast(&cut, answer)?)
}

fn between(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let [later, earlier] = [0, 1].map(|at| micros(&arrays[at], &time_type(arrays[at].data_type())));
    let (later, earlier) = (later?, earlier?);
    let spans = later.iter().zip(&earlier).map(|both| {
        let (Some(later), Some(earlier)) = both else {
            return Ok(None);
        };
        let span = later.checked_sub(earlier).ok_or_else(out_of_range)?;
        let days = i32::try_from(span / DAY_US).map_err(|_| out_of_range())?;
        Ok(Some(IntervalMonthDayNano::new(
            0,
            days,
            span % DAY_US * 1_000,
        )))
    });
    let spans = spans.collect::<Result<Vec<_>, DataFusionError>>()?;
    Ok(Arc::new(IntervalMonthDayNanoArray::from(spans)))
}

fn spans(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let intervals = cast(&arrays[0], &INTERVAL)?;
    let intervals = intervals.as_primitive::<IntervalMonthDayNanoType>();
    let nanoseconds = intervals.iter().map(|interval| {
        interval.map(|of| {
            let days = i128::from(of.months) * i128::from(MONTH_DAYS) + i128::from(of.days);
            days * i128::from(DAY_US) * 1_000 + i128::from(of.nanoseconds)
        })
    });
    let spans: Decimal128Array = nanoseconds.collect();
    Ok(Arc::new(spans.with_data_type(span_type())))
}

/// `generate_series` and `range`, of times by ourselves.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Series {
    inner: Arc<ScalarUDF>,
    includes_end: bool,
}

impl ScalarUDFImpl for Series {
    as_inner!();

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        let inner = self.inner.inner().return_type(arguments)?;
        Ok(match arguments.first() {
            Some(DataType::Timestamp(..)) => canonical(&inner),
            _ => inner,
        })
    }

    fn invoke_with_args(
        &self,
        arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        if let DataType::List(element) = arguments.return_field.data_type()
            && matches!(element.data_type(), DataType::Timestamp(..))
            && arguments.args.len() == 3
        {
            return on_arrays(&arguments, |arrays| {
                series(arrays, element, self.includes_end)
            });
        }
        self.inner.inner().invoke_with_args(arguments)
    }
}

/// Whoever calls it has measured how many there are.
fn series(
    arrays: &[ArrayRef],
    element: &FieldRef,
    includes_end: bool,
) -> Result<ArrayRef, DataFusionError> {
    let of = element.data_type();
    let (starts, ends) = (micros(&arrays[0], of)?, micros(&arrays[1], of)?);
    let steps = cast(&arrays[2], &INTERVAL)?;
    let steps = steps.as_primitive::<IntervalMonthDayNanoType>();
    let mut times = Vec::new();
    let mut lengths = Vec::with_capacity(starts.len());
    let mut are_there = Vec::with_capacity(starts.len());
    for ((start, end), step) in starts.iter().zip(&ends).zip(steps) {
        let before = times.len();
        are_there.push(start.is_some() && end.is_some() && step.is_some());
        if let (Some(start), Some(end), Some(step)) = (start, end, step) {
            add_series(&mut times, start, end, step, includes_end)?;
        }
        lengths.push(times.len() - before);
    }
    let times = cast(&Int64Array::from(times), of)?;
    Ok(Arc::new(ListArray::try_new(
        element.clone(),
        OffsetBuffer::from_lengths(lengths),
        times,
        Some(NullBuffer::from(are_there)),
    )?))
}

fn add_series(
    times: &mut Vec<i64>,
    start: i64,
    end: i64,
    step: IntervalMonthDayNano,
    includes_end: bool,
) -> Result<(), DataFusionError> {
    let (months, micros) = months_and_us(step).ok_or_else(out_of_range)?;
    let next = |at| months_later(at, months)?.checked_add(micros);
    let goes_back = match next(start) {
        Some(second) if second == start => return Err(invalid("step size cannot equal zero")),
        Some(second) => second < start,
        None => return Err(out_of_range()),
    };
    let mut at = Some(start);
    while let Some(time) = at {
        let is_past = if goes_back { time < end } else { time > end };
        if is_past || (time == end && !includes_end) {
            break;
        }
        times.push(time);
        at = next(time);
    }
    Ok(())
}

/// `to_timestamp` of seconds, of a text, or of a text by a pattern.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ToTimestamp {
    inner: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ToTimestamp {
    as_inner!();

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(match arguments {
            [seconds] if seconds.is_numeric() => timestamptz(),
            [DataType::Timestamp(_, Some(_))] => timestamptz(),
            [_] => plain(),
            _ => timestamptz(),
        })
    }

    fn invoke_with_args(
        &self,
        arguments: ScalarFunctionArgs,
    ) -> Result<ColumnarValue, DataFusionError> {
        let answer = arguments.return_field.data_type();
        on_arrays(&arguments, |arrays| match arrays {
            [of] => moments(of, answer),
            _ => format::moments(arrays),
        })
    }
}

/// Seconds since 1970, or what is a time already.
fn moments(array: &ArrayRef, answer: &DataType) -> Result<ArrayRef, DataFusionError> {
    let found: Int64Array = match array.data_type() {
        DataType::Null => return Ok(new_null_array(answer, array.len())),
        DataType::Decimal128(_, scale) => {
            let unit = 10_i128.pow(u32::from(scale.unsigned_abs()));
            let values = array.as_primitive::<Decimal128Type>();
            values.try_unary(|value| {
                let micros = value.checked_mul(i128::from(MICROS));
                let micros = micros.map(|micros| micros.div_euclid(unit));
                let micros = micros.and_then(|micros| i64::try_from(micros).ok());
                micros.ok_or_else(out_of_range)
            })?
        }
        of if of.is_floating() => {
            let values = exactly(array, &DataType::Float64)?;
            values.as_primitive::<Float64Type>().try_unary(|value| {
                let micros = (value * 1e6).round();
                // Within what a column of times holds.
                #[expect(clippy::cast_possible_truncation, reason = "its magnitude is bounded")]
                let found = (micros.abs() < 9.2e18).then_some(micros as i64);
                found.ok_or_else(out_of_range)
            })?
        }
        of if of.is_integer() => {
            let values = exactly(array, &DataType::Int64)?;
            let values = values.as_primitive::<Int64Type>();
            values.try_unary(|value| value.checked_mul(MICROS).ok_or_else(out_of_range))?
        }
        of if of.is_string() => {
            let texts = cast(array, &DataType::Utf8)?;
            return text::column(texts.as_string(), answer, false).map_err(carried);
        }
        _ => return exactly(array, answer),
    };
    Ok(cast(&found, answer)?)
}
