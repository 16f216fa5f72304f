//! `to_char` by Postgres's patterns: of times here.

mod numbers;
mod read;

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray, StringArray, StringBuilder},
    compute::cast,
    datatypes::{
        DataType, IntervalMonthDayNano, IntervalMonthDayNanoType, TimeUnit,
        TimestampMicrosecondType,
    },
};
use base::calendar::{civil_from_days, days_from_civil};
use datafusion_common::{DataFusionError, types::logical_string};
use datafusion_expr::{
    Coercion, ScalarUDF, Signature, TypeSignature, TypeSignatureClass, Volatility,
};

use super::{bounded::column_holds, define::Function};
pub use read::moments;

use crate::{
    column_type::{DAY_US, MONTH_DAYS, timestamptz},
    error::{raise, sqlstate},
};

/// It is taken apart letter by letter.
const PATTERN_BYTES_MAX: usize = 64 << 10;

const MICROS: i64 = 1_000_000;

pub fn all() -> Vec<Arc<ScalarUDF>> {
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let text = || Coercion::new_exact(TypeSignatureClass::Native(logical_string()));
    let of = |class| TypeSignature::Coercible(vec![Coercion::new_exact(class), text()]);
    let signature = Signature::one_of(
        vec![
            of(TypeSignatureClass::Numeric),
            of(TypeSignatureClass::Interval),
            TypeSignature::Exact(vec![plain, DataType::Utf8]),
            TypeSignature::Exact(vec![timestamptz(), DataType::Utf8]),
        ],
        Volatility::Immutable,
    );
    let to_char = Function::new(
        "to_char",
        signature,
        |_| Ok(DataType::Utf8),
        |arrays, _| match arrays[0].data_type() {
            DataType::Interval(_) => spans(arrays),
            DataType::Timestamp(..) => formatted(arrays),
            _ => numbers::formatted(arrays),
        },
    );
    vec![to_char.build(), read::to_date()]
}

fn formatted(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let plain = DataType::Timestamp(TimeUnit::Microsecond, None);
    let times = cast(&arrays[0], &plain)?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let patterns: &StringArray = arrays[1].as_string();
    let mut builder = StringBuilder::new();
    let mut template = Template::new("");
    // What was written last, and for which stretch of time it is right.
    let mut last: Option<i64> = None;
    let mut text = String::new();
    for row in 0..times.len() {
        if times.is_null(row) || patterns.is_null(row) {
            builder.append_null();
            continue;
        }
        let pattern = patterns.value(row);
        if template_of(pattern, &mut template)? {
            last = None;
        }
        let at = times.value(row);
        let stretch = at.div_euclid(template.unit);
        if last != Some(stretch) {
            text.clear();
            template.write(&Moment::new(at), &mut text);
            last = Some(stretch);
        }
        column_holds(builder.values_slice().len() + text.len())?;
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

fn spans(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let spans = arrays[0].as_primitive::<IntervalMonthDayNanoType>();
    let patterns: &StringArray = arrays[1].as_string();
    let mut builder = StringBuilder::new();
    let mut template = Template::new("");
    let mut text = String::new();
    for (span, pattern) in spans.iter().zip(patterns) {
        let (Some(span), Some(pattern)) = (span, pattern) else {
            builder.append_null();
            continue;
        };
        if template_of(pattern, &mut template)? && !template.is_of_spans() {
            return Err(raise(
                sqlstate::INVALID_DATETIME_FORMAT,
                "invalid format specification for an interval value",
            ));
        }
        text.clear();
        template.write(&Moment::of_span(span), &mut text);
        column_holds(builder.values_slice().len() + text.len())?;
        builder.append_value(&text);
    }
    Ok(Arc::new(builder.finish()))
}

/// Whether it is another pattern than the last one.
fn template_of(pattern: &str, last: &mut Template) -> Result<bool, DataFusionError> {
    if last.pattern == pattern {
        return Ok(false);
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        let message = format!("a pattern of times has at most {PATTERN_BYTES_MAX} bytes");
        return Err(raise(sqlstate::PROGRAM_LIMIT_EXCEEDED, message));
    }
    *last = Template::new(pattern);
    Ok(true)
}

struct Moment {
    year: i64,
    month: i64,
    day: i64,
    /// From 1.
    day_of_year: i64,
    /// From Sunday, 0.
    weekday: i64,
    iso_year: i64,
    /// From 1.
    iso_week: i64,
    second_of_day: i64,
    micros: i64,
}

impl Moment {
    fn new(us: i64) -> Self {
        let days = us.div_euclid(DAY_US);
        let within = us.rem_euclid(DAY_US);
        let (year, month, day) = civil_from_days(days);
        let weekday = (days + 4).rem_euclid(7);
        // A week belongs to the year that its Thursday is in.
        let thursday = days - (weekday + 6) % 7 + 3;
        let iso_year = civil_from_days(thursday).0;
        Self {
            year,
            month,
            day,
            day_of_year: days - days_from_civil(year, 1, 1) + 1,
            weekday,
            iso_year,
            iso_week: (thursday - days_from_civil(iso_year, 1, 1)) / 7 + 1,
            second_of_day: within / MICROS,
            micros: within % MICROS,
        }
    }

    /// As long after the start of all times.
    fn of_span(span: IntervalMonthDayNano) -> Self {
        let us = span.nanoseconds / 1000;
        let (months, days) = (i64::from(span.months), i64::from(span.days));
        Self {
            year: months / 12,
            month: months % 12,
            day: days,
            day_of_year: months * i64::from(MONTH_DAYS) + days,
            weekday: 0,
            iso_year: 0,
            iso_week: 0,
            second_of_day: us / MICROS,
            micros: us % MICROS,
        }
    }
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

/// Longer patterns before their beginnings.
const PATTERNS: &[&str] = &[
    "HH24", "HH12", "YYYY", "IYYY", "MONTH", "Month", "month", "SSSS", "DDD", "DAY", "Day", "day",
    "MON", "Mon", "mon", "YYY", "DD", "DY", "Dy", "dy", "HH", "MI", "MM", "MS", "SS", "US", "YY",
    "AM", "PM", "am", "pm", "TZ", "tz", "OF", "WW", "IW", "ID", "CC", "D", "Q", "Y",
];

/// What has a meaning of lengths of time, too.
const PATTERNS_OF_SPANS: &[&str] = &[
    "HH24", "HH12", "HH", "MI", "SS", "SSSS", "MS", "US", "AM", "PM", "am", "pm", "YYYY", "YYY",
    "YY", "Y", "MM", "DD", "DDD",
];

/// A pattern, taken apart once for all rows that have it.
struct Template {
    pattern: String,
    pieces: Vec<Piece>,
    /// Microseconds of the smallest unit that it shows.
    unit: i64,
}

enum Piece {
    Text(String),
    Part { name: &'static str, fill: bool },
}

impl Template {
    fn new(pattern: &str) -> Self {
        let mut template = Self {
            pattern: pattern.to_owned(),
            pieces: Vec::new(),
            unit: DAY_US,
        };
        let mut rest = pattern;
        let mut fill = true;
        while let Some(first) = rest.chars().next() {
            if let Some(quoted) = rest.strip_prefix('"') {
                let (text, behind) = quoted.split_once('"').unwrap_or((quoted, ""));
                template.pieces.push(Piece::Text(text.to_owned()));
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix("FM") {
                fill = false;
                rest = behind;
            } else if let Some(name) = name_at(rest) {
                template.unit = template.unit.min(unit_of(name));
                template.pieces.push(Piece::Part { name, fill });
                fill = true;
                rest = &rest[name.len()..];
            } else {
                template.pieces.push(Piece::Text(first.to_string()));
                rest = &rest[first.len_utf8()..];
            }
        }
        template
    }

    fn is_of_spans(&self) -> bool {
        self.pieces.iter().all(|piece| match piece {
            Piece::Text(_) => true,
            Piece::Part { name, .. } => PATTERNS_OF_SPANS.contains(name),
        })
    }

    fn write(&self, at: &Moment, out: &mut String) {
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Part { name, fill } => part(at, name, *fill, out),
            }
        }
    }
}

/// The pattern that a text begins with: as it is written, or else in whatever case.
fn name_at(text: &str) -> Option<&'static str> {
    let in_upper_case = |name: &&&str| {
        let found = text.get(..name.len());
        found.is_some_and(|found| found.eq_ignore_ascii_case(name))
            && name.chars().all(|c| !c.is_lowercase())
    };
    let written = PATTERNS.iter().find(|name| text.starts_with(**name));
    written
        .or_else(|| PATTERNS.iter().find(in_upper_case))
        .copied()
}

fn unit_of(name: &str) -> i64 {
    match name {
        "US" => 1,
        "MS" => 1_000,
        "SS" | "SSSS" => MICROS,
        "MI" => 60 * MICROS,
        "HH24" | "HH12" | "HH" | "AM" | "PM" | "am" | "pm" => 3_600 * MICROS,
        _ => DAY_US,
    }
}

fn part(at: &Moment, name: &str, fill: bool, out: &mut String) {
    let hour = at.second_of_day / 3600;
    let twelve = if hour % 12 == 0 { 12 } else { hour % 12 };
    let half = |am: &str, pm: &str| {
        if hour % 24 < 12 {
            am.to_owned()
        } else {
            pm.to_owned()
        }
    };
    let month = MONTHS[usize::try_from(at.month - 1).unwrap_or(0)];
    let day = DAYS[usize::try_from(at.weekday).unwrap_or(0)];
    let long = |name: &str| {
        if fill {
            format!("{name:<9}")
        } else {
            name.to_owned()
        }
    };
    let number = |value: i64, width: usize| {
        if fill {
            let width = width + usize::from(value < 0);
            format!("{value:0width$}")
        } else {
            value.to_string()
        }
    };
    let text = match name {
        "HH24" => number(hour, 2),
        "HH12" | "HH" => number(twelve, 2),
        "MI" => number(at.second_of_day / 60 % 60, 2),
        "SS" => number(at.second_of_day % 60, 2),
        "SSSS" => at.second_of_day.to_string(),
        "MS" => number(at.micros / 1000, 3),
        "US" => number(at.micros, 6),
        "YYYY" => number(at.year, 4),
        "YYY" => number(at.year % 1000, 3),
        "YY" => number(at.year % 100, 2),
        "Y" => (at.year % 10).to_string(),
        "CC" => number((at.year - 1).div_euclid(100) + 1, 2),
        "IYYY" => number(at.iso_year, 4),
        "IW" => number(at.iso_week, 2),
        "ID" => ((at.weekday + 6) % 7 + 1).to_string(),
        "MM" => number(at.month, 2),
        "DD" if fill => format!("{:02}", at.day),
        "DD" => at.day.to_string(),
        "DDD" if fill => format!("{:03}", at.day_of_year),
        "DDD" => at.day_of_year.to_string(),
        "D" => (at.weekday + 1).to_string(),
        "Q" => ((at.month - 1) / 3 + 1).to_string(),
        "WW" => number((at.day_of_year - 1) / 7 + 1, 2),
        "MONTH" => long(&month.to_uppercase()),
        "Month" => long(month),
        "month" => long(&month.to_lowercase()),
        "MON" => month[..3].to_uppercase(),
        "Mon" => month[..3].to_owned(),
        "mon" => month[..3].to_lowercase(),
        "DAY" => long(&day.to_uppercase()),
        "Day" => long(day),
        "day" => long(&day.to_lowercase()),
        "DY" => day[..3].to_uppercase(),
        "Dy" => day[..3].to_owned(),
        "dy" => day[..3].to_lowercase(),
        "AM" | "PM" => half("AM", "PM"),
        "am" | "pm" => half("am", "pm"),
        "TZ" => "UTC".to_owned(),
        "tz" => "utc".to_owned(),
        "OF" => "+00".to_owned(),
        other => other.to_owned(),
    };
    out.push_str(&text);
}
