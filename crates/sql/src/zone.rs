//! Time zones: what their clocks show at a moment, and the moment at which they show it.

use arrow::array::timezone::Tz;
use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone};

/// By its name in the tz database, or an offset: `Europe/Zurich`, `+02:00`.
pub fn named(name: &str) -> Option<Tz> {
    match name.eq_ignore_ascii_case("utc") || name.eq_ignore_ascii_case("etc/utc") {
        true => "UTC".parse().ok(),
        false => name.parse().ok(),
    }
}

/// The same as the setting `TimeZone` has it, where offsets are POSIX's: `+02`, `GMT+2` and `<-02>+02:00` are west of
/// Greenwich. None that is set forward and back by rules of its own.
pub fn setting(text: &str) -> Option<Tz> {
    let (name, offset) = match text.strip_prefix('<') {
        Some(quoted) => quoted.split_once('>')?,
        None => text.split_at(
            text.find(|c: char| !c.is_ascii_alphabetic())
                .unwrap_or(text.len()),
        ),
    };
    if !offset.starts_with(['+', '-']) && !offset.starts_with(|c: char| c.is_ascii_digit()) {
        return named(text);
    }
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | ':');
    if !name.chars().all(is_name) {
        return None;
    }
    let (sign, clock) = match offset.split_at(1) {
        ("-", clock) => ('+', clock),
        ("+", clock) => ('-', clock),
        _ => ('-', offset),
    };
    let mut parts = clock.split(':').map(|part| {
        let is_number = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        is_number.then(|| part.parse::<u32>().ok()).flatten()
    });
    let hours = parts.next()??;
    let minutes = parts.next().unwrap_or(Some(0))?;
    // Seconds, which nobody shows, are none.
    let seconds = parts.next().unwrap_or(Some(0))?;
    let is_clock = hours < 24 && minutes < 60 && seconds == 0 && parts.next().is_none();
    is_clock
        .then(|| format!("{sign}{hours:02}:{minutes:02}").parse().ok())
        .flatten()
}

/// How [`setting`] writes so many seconds east of Greenwich: `<+02>-02`.
pub fn posix(east_s: i64) -> Option<String> {
    if east_s.unsigned_abs() >= 24 * 3600 || east_s % 60 != 0 {
        return None;
    }
    let clock = |sign: char| {
        let (hours, minutes) = (east_s.abs() / 3600, east_s.abs() / 60 % 60);
        match minutes {
            0 => format!("{sign}{hours:02}"),
            _ => format!("{sign}{hours:02}:{minutes:02}"),
        }
    };
    let (east, west) = if east_s < 0 { ('-', '+') } else { ('+', '-') };
    Some(format!("<{}>{}", clock(east), clock(west)))
}

/// Seconds east of Greenwich at a moment, in microseconds since 1970-01-01 UTC; none beyond the calendar.
pub fn offset_s(moment_us: i64, zone: Tz) -> Option<i64> {
    let offset = zone.offset_from_utc_datetime(&civil(moment_us)?);
    Some(offset.fix().local_minus_utc().into())
}

/// What the clocks show, in microseconds since they showed the beginning of 1970.
pub fn local_us(moment_us: i64, zone: Tz) -> Option<i64> {
    moment_us.checked_add(offset_s(moment_us, zone)? * 1_000_000)
}

/// The reverse. What they show twice is standard time, as they are set back; what they leave out goes on from before, as in
/// PostgreSQL.
pub fn moment_us(local_us: i64, zone: Tz) -> Option<i64> {
    let local = civil(local_us)?;
    let offset = match zone.offset_from_local_datetime(&local) {
        MappedLocalTime::Single(offset) | MappedLocalTime::Ambiguous(_, offset) => offset,
        MappedLocalTime::None => {
            let before = local.checked_sub_signed(TimeDelta::days(1))?;
            zone.offset_from_utc_datetime(&before)
        }
    };
    local_us.checked_sub(i64::from(offset.fix().local_minus_utc()) * 1_000_000)
}

fn civil(us: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp_micros(us)?.naive_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: i64 = 3_600_000_000;

    #[test]
    fn clocks_are_set_forward_and_back() {
        let zurich = named("Europe/Zurich").expect("a zone of the tz database");
        // 2026-03-29 01:00 and 2026-10-25 01:00, UTC.
        for (moment, before, after) in [(1_774_746_000, 1, 2), (1_792_890_000, 2, 1)] {
            let moment = moment * 1_000_000;
            assert_eq!(
                local_us(moment - 1, zurich),
                Some(moment - 1 + before * HOUR_US)
            );
            assert_eq!(local_us(moment, zurich), Some(moment + after * HOUR_US));
            // Half past two, which is not there or twice.
            let half_us = HOUR_US / 2;
            assert_eq!(
                moment_us(moment + HOUR_US + half_us, zurich),
                Some(moment + half_us)
            );
        }
        let west = named("-03:30").expect("an offset");
        assert_eq!(moment_us(0, west), Some(7 * HOUR_US / 2));
        assert_eq!(offset_s(i64::MAX, west), None);
        assert!(named("Europe/Nowhere").is_none());
    }
}
