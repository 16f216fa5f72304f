//! Dates and times of the proleptic Gregorian calendar: text to numbers and back, exact.
//!
//! Days count from 1970-01-01, microseconds from its midnight, UTC. Read is what RFC 3339, ISO 8601 and PostgreSQL write:
//! `2026-11-22`, `20261122`, `2026-11-22T01:02`, `2026-11-22 01:02:03.456789+05:30`, all but years of one digit or
//! two, years of four to seven, signed or not.
//! Fractions are rounded to the microsecond. There is no second 60 and no hour 24.

use base::calendar;

use super::Reason;

pub const MICROS_PER_SECOND: i64 = 1_000_000;
pub const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;

/// A day of the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Civil {
    pub year: i32,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
}

/// A moment as it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// What the clock on the wall shows, as if it hung in Greenwich.
    pub local_us: i64,
    /// East of Greenwich; `None`: no zone is written.
    pub offset_s: Option<i32>,
}

impl Written {
    /// Without a zone it is UTC.
    pub fn utc_us(self) -> Result<i64, Reason> {
        let offset_us = i64::from(self.offset_s.unwrap_or(0)) * MICROS_PER_SECOND;
        let utc = self.local_us.checked_sub(offset_us);
        utc.ok_or(Reason::Range("timestamp"))
    }
}

/// Days since 1970-01-01. The date must exist.
#[must_use]
pub fn days_from_civil(date: Civil) -> i64 {
    calendar::days_from_civil(date.year.into(), date.month.into(), date.day.into())
}

/// The reverse, for days within a million years.
#[must_use]
pub fn civil_from_days(days: i64) -> Civil {
    let (year, month, day) = calendar::civil_from_days(days);
    Civil {
        year: year as i32,
        month: month as u8,
        day: day as u8,
    }
}

#[must_use]
pub fn is_leap_year(year: i32) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn month_days(year: i32, month: u8) -> u8 {
    match month {
        2 if is_leap_year(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date; a time behind it is read and left out, as PostgreSQL does.
pub fn parse_date(text: &[u8]) -> Result<i32, Reason> {
    let days = match parse_timestamp(text) {
        // A date may lie where its microseconds do not fit.
        Err(Reason::Range(_)) | Ok(_) => Text { text, at: 0 }.date(),
        Err(_) => None,
    };
    days.and_then(|days| i32::try_from(days).ok())
        .ok_or(Reason::NotA("date"))
}

/// Microseconds since midnight.
pub fn parse_time(text: &[u8]) -> Result<i64, Reason> {
    let mut rest = Text { text, at: 0 };
    let time = rest.time().filter(|_| rest.at == text.len());
    // Rounding may reach midnight, which is no time of this day.
    let time = time.filter(|time| *time < MICROS_PER_DAY);
    time.ok_or(Reason::NotA("time"))
}

pub fn parse_timestamp(text: &[u8]) -> Result<Written, Reason> {
    let mut rest = Text { text, at: 0 };
    let written = rest.timestamp().filter(|_| rest.at == text.len());
    let (days, time_us, offset_s) = written.ok_or(Reason::NotA("timestamp"))?;
    // Midnight alone may lie outside where the moment does not.
    let local_us = i128::from(days) * i128::from(MICROS_PER_DAY) + i128::from(time_us);
    let local_us = i64::try_from(local_us).map_err(|_| Reason::Range("timestamp"))?;
    Ok(Written { local_us, offset_s })
}

/// What of a text is still to be read.
struct Text<'a> {
    text: &'a [u8],
    at: usize,
}

impl Text<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn accept(&mut self, byte: u8) -> bool {
        let is_there = self.peek() == Some(byte);
        self.at += usize::from(is_there);
        is_there
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.accept(byte).then_some(())
    }

    fn two_digits(&mut self) -> Option<u8> {
        let [tens, ones] = self.text.get(self.at..)?.first_chunk::<2>()?;
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        if tens > 9 || ones > 9 {
            return None;
        }
        self.at += 2;
        Some(tens * 10 + ones)
    }

    /// Of one digit or two.
    fn digits(&mut self) -> Option<u8> {
        let digit = |at: usize| {
            let digit = self.text.get(at)?.wrapping_sub(b'0');
            (digit <= 9).then_some(digit)
        };
        let (first, second) = (digit(self.at)?, digit(self.at + 1));
        self.at += 1 + usize::from(second.is_some());
        Some(second.map_or(first, |second| first * 10 + second))
    }

    fn year(&mut self) -> Option<i32> {
        let is_negative = self.accept(b'-');
        if !is_negative {
            self.accept(b'+');
        }
        let mut year = 0i32;
        let from = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if self.at - from == 7 {
                return None;
            }
            year = year * 10 + i32::from(digit - b'0');
            self.at += 1;
        }
        let year = if is_negative { -year } else { year };
        (self.at - from >= 4).then_some(year)
    }

    fn date(&mut self) -> Option<i64> {
        let (year, month, day) = match self.text[self.at..].first_chunk::<8>() {
            Some(all) if all.iter().all(u8::is_ascii_digit) => {
                let century = i32::from(self.two_digits()?);
                let year = century * 100 + i32::from(self.two_digits()?);
                (year, self.two_digits()?, self.two_digits()?)
            }
            _ => {
                let year = self.year()?;
                self.expect(b'-')?;
                let month = self.digits()?;
                self.expect(b'-')?;
                (year, month, self.digits()?)
            }
        };
        let exists = (1..=12).contains(&month) && (1..=month_days(year, month)).contains(&day);
        exists.then(|| days_from_civil(Civil { year, month, day }))
    }

    fn time(&mut self) -> Option<i64> {
        let hour = self.digits()?;
        self.expect(b':')?;
        let minute = self.digits()?;
        let mut second = 0;
        let mut fraction_us = 0;
        if self.accept(b':') {
            second = self.digits()?;
            if self.accept(b'.') || self.accept(b',') {
                fraction_us = self.fraction_us()?;
            }
        }
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = i64::from(hour) * 3600 + i64::from(minute) * 60 + i64::from(second);
        Some(seconds * MICROS_PER_SECOND + fraction_us)
    }

    fn fraction_us(&mut self) -> Option<i64> {
        let mut micros = 0;
        let mut digits = 0;
        let mut rounds_up = false;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            match digits {
                0..6 => micros = micros * 10 + i64::from(digit - b'0'),
                6 => rounds_up = digit >= b'5',
                _ => {}
            }
            digits += 1;
            self.at += 1;
        }
        let missing = 6usize.saturating_sub(digits) as u32;
        (digits > 0).then(|| micros * 10i64.pow(missing) + i64::from(rounds_up))
    }

    fn zone_s(&mut self) -> Option<i32> {
        if self.accept(b'Z') || self.accept(b'z') {
            return Some(0);
        }
        if self.text[self.at..].eq_ignore_ascii_case(b"utc") {
            self.at += 3;
            return Some(0);
        }
        let is_west = self.accept(b'-');
        if !is_west {
            self.expect(b'+')?;
        }
        let hours = self.two_digits()?;
        let mut seconds = i32::from(hours) * 3600;
        if self.peek().is_some() {
            let has_colon = self.accept(b':');
            let minutes = self.two_digits()?;
            seconds += i32::from(minutes) * 60;
            if has_colon && self.accept(b':') {
                let rest = self.two_digits()?;
                seconds += i32::from(rest);
                (rest < 60).then_some(())?;
            }
            (minutes < 60).then_some(())?;
        }
        // As far as PostgreSQL goes.
        (hours < 16).then_some(if is_west { -seconds } else { seconds })
    }

    /// Days, time of day and zone.
    fn timestamp(&mut self) -> Option<(i64, i64, Option<i32>)> {
        let days = self.date()?;
        if self.peek().is_none() {
            return Some((days, 0, None));
        }
        if !(self.accept(b'T') || self.accept(b' ')) {
            self.expect(b't')?;
        }
        let time = self.time()?;
        if self.peek().is_none() {
            return Some((days, time, None));
        }
        self.accept(b' ');
        let zone = self.zone_s()?;
        Some((days, time, Some(zone)))
    }
}

/// `2026-11-22`; years outside of 0 to 9999 with a sign.
pub fn write_date(days: i64, out: &mut Vec<u8>) {
    let Civil { year, month, day } = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    let year = year.unsigned_abs();
    if year > 9999 {
        out.extend_from_slice((year / 10_000).to_string().as_bytes());
    }
    write_digits(out, year % 10_000, 4);
    out.push(b'-');
    write_digits(out, month.into(), 2);
    out.push(b'-');
    write_digits(out, day.into(), 2);
}

/// `01:02:03.456789`.
pub fn write_time(us: i64, out: &mut Vec<u8>) {
    let seconds = (us / MICROS_PER_SECOND) as u32;
    write_digits(out, seconds / 3600, 2);
    out.push(b':');
    write_digits(out, seconds / 60 % 60, 2);
    out.push(b':');
    write_digits(out, seconds % 60, 2);
    out.push(b'.');
    write_digits(out, (us % MICROS_PER_SECOND) as u32, 6);
}

/// `2026-11-22T01:02:03.456789`.
pub fn write_timestamp(us: i64, out: &mut Vec<u8>) {
    write_date(us.div_euclid(MICROS_PER_DAY), out);
    out.push(b'T');
    write_time(us.rem_euclid(MICROS_PER_DAY), out);
}

fn write_digits(out: &mut Vec<u8>, mut value: u32, digits: usize) {
    let from = out.len();
    out.resize(from + digits, b'0');
    for place in out[from..].iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests;
