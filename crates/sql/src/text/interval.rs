//! Intervals as PostgreSQL reads them: `1 year 2 mons -3 days 04:05:06.7`, `2h 30m ago`, `1-2`, `P1Y2M3DT4H`.

use arrow::datatypes::IntervalMonthDayNano;

use crate::column_type::{DAY_US, MONTH_DAYS};

const SECOND_US: i64 = 1_000_000;

/// What a number counts.
#[derive(Clone, Copy)]
enum Unit {
    Months(i64),
    Days(i64),
    Micros(i64),
}

/// Months, days and microseconds that are read already.
#[derive(Default)]
struct Sum {
    months: i64,
    days: i64,
    us: i64,
}

impl Sum {
    /// A number as it is written, without a sign; a part of a unit goes on in the next smaller one.
    fn add(&mut self, number: &str, is_negative: bool, unit: Unit) -> Option<()> {
        let (whole, part) = match number.split_once('.') {
            Some((whole, part)) => (whole, format!("0.{part}").parse::<f64>().ok()?),
            None => (number, 0.0),
        };
        let sign = if is_negative { -1 } else { 1 };
        let whole: i64 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        let whole = whole.checked_mul(sign)?;
        let part = part * sign as f64;
        match unit {
            Unit::Months(months) => {
                self.months = self.months.checked_add(whole.checked_mul(months)?)?;
                if months == 1 {
                    self.add_days(part * f64::from(MONTH_DAYS))?;
                } else {
                    self.months = self.months.checked_add(rounded(part * months as f64)?)?;
                }
            }
            Unit::Days(days) => {
                self.days = self.days.checked_add(whole.checked_mul(days)?)?;
                self.add_days(part * days as f64)?;
            }
            Unit::Micros(us) => {
                let us = whole
                    .checked_mul(us)?
                    .checked_add(rounded(part * us as f64)?)?;
                self.us = self.us.checked_add(us)?;
            }
        }
        Some(())
    }

    fn add_days(&mut self, days: f64) -> Option<()> {
        self.days = self.days.checked_add(rounded(days.trunc())?)?;
        self.us = self
            .us
            .checked_add(rounded(days.fract() * DAY_US as f64)?)?;
        Some(())
    }

    /// `4:05` and `4:05:06.7`, hours first.
    fn add_clock(&mut self, clock: &str, is_negative: bool) -> Option<()> {
        let mut parts = clock.split(':');
        let (hours, minutes) = (parts.next()?, parts.next()?);
        let seconds = parts.next().unwrap_or("0");
        let is_below = |text: &str| text.parse::<f64>().is_ok_and(|value| value < 60.0);
        if parts.next().is_some() || !is_below(minutes) || !is_below(seconds) {
            return None;
        }
        self.add(hours, is_negative, Unit::Micros(3600 * SECOND_US))?;
        self.add(minutes, is_negative, Unit::Micros(60 * SECOND_US))?;
        self.add(seconds, is_negative, Unit::Micros(SECOND_US))
    }

    fn interval(&self) -> Option<IntervalMonthDayNano> {
        let months = i32::try_from(self.months).ok()?;
        let days = i32::try_from(self.days).ok()?;
        Some(IntervalMonthDayNano::new(
            months,
            days,
            self.us.checked_mul(1000)?,
        ))
    }
}

fn rounded(value: f64) -> Option<i64> {
    let value = value.round_ties_even();
    #[expect(clippy::cast_possible_truncation, reason = "its magnitude is bounded")]
    (value.abs() < 9.2e18).then_some(value as i64)
}

/// `None`: it is no interval, or one too long.
pub fn interval(text: &str) -> Option<IntervalMonthDayNano> {
    let text = text.trim();
    let mut sum = Sum::default();
    if let Some(designated) = text.strip_prefix('P') {
        add_designated(designated, &mut sum)?;
        return sum.interval();
    }
    let mut rest = text.strip_prefix('@').unwrap_or(text).trim_start();
    let mut is_empty = true;
    while !rest.is_empty() {
        if rest.eq_ignore_ascii_case("ago") && !is_empty {
            let Sum { months, days, us } = sum;
            sum = Sum {
                months: months.checked_neg()?,
                days: days.checked_neg()?,
                us: us.checked_neg()?,
            };
            break;
        }
        is_empty = false;
        let is_negative = rest.starts_with('-');
        rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
        let (number, behind) = split(rest, |c| c.is_ascii_digit() || matches!(c, '.' | ':'));
        if !number.bytes().any(|byte| byte.is_ascii_digit()) {
            return None;
        }
        if let Some(behind) = behind.strip_prefix('-') {
            let (months, behind) = split(behind, |c| c.is_ascii_digit());
            sum.add(number, is_negative, Unit::Months(12))?;
            sum.add(months, is_negative, Unit::Months(1))?;
            rest = behind.trim_start();
            continue;
        }
        let behind = behind.trim_start();
        if number.contains(':') {
            sum.add_clock(number, is_negative)?;
            rest = behind;
            continue;
        }
        let (name, after) = split(behind, |c| c.is_ascii_alphabetic());
        let (unit, after) = match name {
            // Days stand before a clock, and a number alone is of seconds.
            "" if behind.is_empty() => (Unit::Micros(SECOND_US), behind),
            "" => (Unit::Days(1), behind),
            name => (unit_of(&name.to_ascii_lowercase())?, after),
        };
        sum.add(number, is_negative, unit)?;
        rest = after.trim_start();
    }
    (!is_empty).then(|| sum.interval())?
}

/// The format with designators of ISO 8601, behind its `P`.
fn add_designated(text: &str, sum: &mut Sum) -> Option<()> {
    let (date, time) = text.split_once('T').unwrap_or((text, ""));
    let mut is_empty = true;
    for (part, is_time) in [(date, false), (time, true)] {
        let mut rest = part;
        while !rest.is_empty() {
            let is_negative = rest.starts_with('-');
            rest = rest.strip_prefix(['-', '+']).unwrap_or(rest);
            let (number, behind) = split(rest, |c| c.is_ascii_digit() || c == '.');
            let unit = match (behind.chars().next()?, is_time) {
                ('Y', false) => Unit::Months(12),
                ('M', false) => Unit::Months(1),
                ('W', false) => Unit::Days(7),
                ('D', false) => Unit::Days(1),
                ('H', true) => Unit::Micros(3600 * SECOND_US),
                ('M', true) => Unit::Micros(60 * SECOND_US),
                ('S', true) => Unit::Micros(SECOND_US),
                _ => return None,
            };
            if !number.bytes().any(|byte| byte.is_ascii_digit()) {
                return None;
            }
            sum.add(number, is_negative, unit)?;
            rest = &behind[1..];
            is_empty = false;
        }
    }
    (!is_empty).then_some(())
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn unit_of(name: &str) -> Option<Unit> {
    Some(match name {
        "us" | "usec" | "usecs" | "microsecond" | "microseconds" => Unit::Micros(1),
        "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => Unit::Micros(1000),
        "s" | "sec" | "secs" | "second" | "seconds" => Unit::Micros(SECOND_US),
        "m" | "min" | "mins" | "minute" | "minutes" => Unit::Micros(60 * SECOND_US),
        "h" | "hr" | "hrs" | "hour" | "hours" => Unit::Micros(3600 * SECOND_US),
        "d" | "day" | "days" => Unit::Days(1),
        "w" | "week" | "weeks" => Unit::Days(7),
        "mon" | "mons" | "month" | "months" => Unit::Months(1),
        "y" | "yr" | "yrs" | "year" | "years" => Unit::Months(12),
        "dec" | "decs" | "decade" | "decades" => Unit::Months(120),
        "c" | "cent" | "century" | "centuries" => Unit::Months(1200),
        "mil" | "mils" | "millennium" | "millennia" => Unit::Months(12_000),
        _ => return None,
    })
}
