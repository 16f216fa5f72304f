//! `to_timestamp` and `to_date` of texts, by the same patterns.
//!
//! Blanks and signs of the pattern stand for any number of them in the text, letters for any letter. Numbers may have fewer
//! digits than their pattern; what no pattern says is of the first moment of year 1.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, AsArray, Date32Array, StringArray, TimestampMicrosecondArray},
    compute::cast,
    datatypes::DataType,
};
use base::calendar::days_from_civil;
use datafusion_common::DataFusionError;
use datafusion_expr::{ScalarUDF, Signature, TypeSignature, Volatility};

use super::{DAYS, Function, MICROS, MONTHS, Piece, Template, template_of};
use crate::{
    column_type::{DAY_US, timestamptz},
    error::{carried, raise, sqlstate},
    text,
};

/// Microseconds since 1970, as a `timestamptz`.
pub fn moments(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let moments = read(arrays, |days, time_us| {
        days.checked_mul(DAY_US)?.checked_add(time_us)
    })?;
    let moments = moments.into_iter().collect::<TimestampMicrosecondArray>();
    Ok(Arc::new(moments.with_data_type(timestamptz())))
}

pub fn to_date() -> Arc<ScalarUDF> {
    let text = || DataType::Utf8;
    let signature = Signature::one_of(
        vec![
            TypeSignature::Exact(vec![text()]),
            TypeSignature::Exact(vec![text(), text()]),
        ],
        Volatility::Immutable,
    );
    let answer = |_: &[DataType]| Ok(DataType::Date32);
    Function::new("to_date", signature, answer, |arrays, to| match arrays {
        [texts] => text::column(texts.as_string(), to, false).map_err(carried),
        _ => dates(arrays),
    })
    .build()
}

fn dates(arrays: &[ArrayRef]) -> Result<ArrayRef, DataFusionError> {
    let days = read(arrays, |days, _| i32::try_from(days).ok())?;
    Ok(Arc::new(days.into_iter().collect::<Date32Array>()))
}

/// What is made of days since 1970 and microseconds since midnight, for each text and its pattern.
fn read<T>(
    arrays: &[ArrayRef],
    made: impl Fn(i64, i64) -> Option<T>,
) -> Result<Vec<Option<T>>, DataFusionError> {
    let [texts, patterns] = arrays else {
        return Err(raise(
            sqlstate::UNDEFINED_FUNCTION,
            "a text is read by one pattern",
        ));
    };
    let (texts, patterns) = (
        cast(texts, &DataType::Utf8)?,
        cast(patterns, &DataType::Utf8)?,
    );
    let (texts, patterns): (&StringArray, &StringArray) = (texts.as_string(), patterns.as_string());
    let mut template = Template::new("");
    let rows = texts.iter().zip(patterns).map(|(text, pattern)| {
        let (Some(text), Some(pattern)) = (text, pattern) else {
            return Ok(None);
        };
        template_of(pattern, &mut template)?;
        let mut rest = Rest { text };
        let mut found = Found::default();
        let mut pieces = template.pieces.iter().peekable();
        // What the text ends before is as it begins.
        let mut is_begun = false;
        while let Some(piece) = pieces.next()
            && !(is_begun && rest.text.is_empty())
        {
            is_begun = true;
            match piece {
                Piece::Text(between) => rest.skip(between),
                Piece::Part { name, .. } => {
                    let is_open = !matches!(pieces.peek(), Some(Piece::Part { .. }));
                    found.part(name, is_open, &mut rest)?;
                }
            }
        }
        let made = found
            .moment()
            .and_then(|(days, time_us)| made(days, time_us));
        let message = || format!("date/time field value out of range: \"{text}\"");
        made.map(Some)
            .ok_or_else(|| raise(sqlstate::DATETIME_FIELD_OVERFLOW, message()))
    });
    rows.collect()
}

/// What of a text is still to be read.
struct Rest<'a> {
    text: &'a str,
}

impl<'a> Rest<'a> {
    fn skip(&mut self, between: &str) {
        for character in between.chars() {
            if character.is_alphanumeric() {
                let mut characters = self.text.chars();
                characters.next();
                self.text = characters.as_str();
            } else {
                let is_sign = |c: char| !c.is_alphanumeric();
                self.text = self.text.trim_start_matches(is_sign);
            }
        }
    }

    /// At most so many of them.
    fn digits(&mut self, count: usize, name: &str) -> Result<&'a str, DataFusionError> {
        let text = self.text.trim_start();
        let digits = text.bytes().take(count).take_while(u8::is_ascii_digit);
        let (digits, rest) = text.split_at(digits.count());
        if digits.is_empty() {
            return Err(self.wrong(name));
        }
        self.text = rest;
        Ok(digits)
    }

    fn number(&mut self, count: usize, name: &str) -> Result<i64, DataFusionError> {
        let digits = self.digits(count, name)?;
        digits.parse().map_err(|_| self.wrong(name))
    }

    /// Of a second, in microseconds.
    fn fraction(&mut self, count: usize, name: &str) -> Result<i64, DataFusionError> {
        let digits = self.digits(count, name)?;
        format!("{digits:0<6}")
            .parse()
            .map_err(|_| self.wrong(name))
    }

    /// Which name it is, in whatever case; whole, or its first three letters.
    fn name(&mut self, names: &[&str], is_whole: bool, of: &str) -> Result<i64, DataFusionError> {
        let text = self.text.trim_start();
        let found = (0i64..).zip(names).find_map(|(at, name)| {
            let length = if is_whole { name.len() } else { 3 };
            let (head, rest) = text.split_at_checked(length)?;
            head.eq_ignore_ascii_case(&name[..length])
                .then_some((at, rest))
        });
        let (at, rest) = found.ok_or_else(|| self.wrong(of))?;
        self.text = rest;
        Ok(at)
    }

    fn wrong(&self, name: &str) -> DataFusionError {
        let word = self.text.split_whitespace().next().unwrap_or_default();
        let message = format!("invalid value \"{word}\" for \"{name}\"");
        raise(sqlstate::INVALID_DATETIME_FORMAT, message)
    }
}

#[derive(Default)]
struct Found {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    minute: i64,
    second: i64,
    us: i64,
    /// Of the clock with twelve hours.
    is_twelve: bool,
    is_afternoon: bool,
}

impl Found {
    /// `is_open`: no other number follows at once, so that a year may be longer.
    fn part(
        &mut self,
        name: &'static str,
        is_open: bool,
        rest: &mut Rest<'_>,
    ) -> Result<(), DataFusionError> {
        match name {
            "YYYY" => self.year = Some(rest.number(if is_open { 6 } else { 4 }, name)?),
            "YY" => {
                let year = rest.number(2, name)?;
                self.year = Some(year + if year < 70 { 2000 } else { 1900 });
            }
            "MM" => self.month = Some(rest.number(2, name)?),
            "MONTH" | "Month" | "month" => {
                self.month = Some(rest.name(&MONTHS, true, name)? + 1);
            }
            "MON" | "Mon" | "mon" => self.month = Some(rest.name(&MONTHS, false, name)? + 1),
            "DD" => self.day = Some(rest.number(2, name)?),
            "DDD" => self.day_of_year = Some(rest.number(3, name)?),
            // A day of the week says nothing that the date does not.
            "DAY" | "Day" | "day" => drop(rest.name(&DAYS, true, name)?),
            "DY" | "Dy" | "dy" => drop(rest.name(&DAYS, false, name)?),
            "HH24" => self.hour = rest.number(2, name)?,
            "HH12" | "HH" => (self.hour, self.is_twelve) = (rest.number(2, name)?, true),
            "MI" => self.minute = rest.number(2, name)?,
            "SS" => self.second = rest.number(2, name)?,
            "SSSS" => {
                let second = rest.number(5, name)?;
                (self.hour, self.minute, self.second) =
                    (second / 3600, second / 60 % 60, second % 60);
            }
            "MS" => self.us = rest.fraction(3, name)?,
            "US" => self.us = rest.fraction(6, name)?,
            "AM" | "PM" | "am" | "pm" => {
                self.is_afternoon = rest.name(&["AM", "PM"], true, name)? == 1;
            }
            _ => {
                let message = format!("\"{name}\" is not read from text");
                return Err(raise(sqlstate::FEATURE_NOT_SUPPORTED, message));
            }
        }
        Ok(())
    }

    /// Days since 1970 and microseconds since midnight.
    fn moment(&self) -> Option<(i64, i64)> {
        let hour = match self.is_twelve {
            true if !(1..=12).contains(&self.hour) => return None,
            true => self.hour % 12 + if self.is_afternoon { 12 } else { 0 },
            false => self.hour,
        };
        let year = self.year.unwrap_or(1);
        let days = match self.day_of_year {
            Some(day) => {
                let first = days_from_civil(year, 1, 1);
                let is_there = first + day <= days_from_civil(year + 1, 1, 1);
                (day > 0 && is_there).then_some(first + day - 1)?
            }
            None => {
                let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
                let next = match month {
                    1..=11 => days_from_civil(year, month + 1, 1),
                    12 => days_from_civil(year + 1, 1, 1),
                    _ => return None,
                };
                let days = days_from_civil(year, month, 1) + day - 1;
                (day > 0 && days < next).then_some(days)?
            }
        };
        let is_time = hour < 24 && self.minute < 60 && self.second < 60;
        let second = (hour * 60 + self.minute) * 60 + self.second;
        is_time.then_some((days, second * MICROS + self.us))
    }
}
