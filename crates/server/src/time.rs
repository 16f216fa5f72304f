//! Points in time as RFC 3339 text, for the command line and the demo.

use base::{
    TimestampMs,
    calendar::{civil_from_days, days_from_civil},
};

const DAY_MS: i64 = 86_400_000;

/// `2001-01-02T03:04:05.678Z`, without the milliseconds when they are zero.
#[must_use]
pub fn show(at: TimestampMs) -> String {
    let (year, month, day) = civil_from_days(at.0.div_euclid(DAY_MS));
    let ms = at.0.rem_euclid(DAY_MS);
    let (hour, minute, second, milli) =
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let fraction = if milli == 0 {
        String::new()
    } else {
        format!(".{milli:03}")
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// RFC 3339 (`2001-01-02T03:04:05Z`, an offset instead of Z, a fraction, or only the date), or milliseconds since 1970.
pub fn parse(text: &str) -> Result<TimestampMs, String> {
    let wrong = || {
        format!(
            "'{text}' is no time: write 2001-01-02T03:04:05Z, 2001-01-02, or milliseconds since 1970"
        )
    };
    if let Ok(ms) = text.parse::<i64>() {
        return Ok(TimestampMs(ms));
    }
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((date, clock)) => (date, clock),
        None => (text, "00:00:00Z"),
    };
    let days = parse_date(date).ok_or_else(wrong)?;
    let ms = parse_clock(clock).ok_or_else(wrong)?;
    Ok(TimestampMs(days * DAY_MS + ms))
}

/// A number of exactly `digits` digits in a range.
fn number(text: &str, digits: usize, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let plain = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    let value = text.parse().ok().filter(|_| plain)?;
    range.contains(&value).then_some(value)
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = number(parts.next()?, 4, 0..=9999)?;
    let month = number(parts.next()?, 2, 1..=12)?;
    let day = number(parts.next()?, 2, 1..=31)?;
    let days = days_from_civil(year, month, day);
    let exists = parts.next().is_none() && civil_from_days(days) == (year, month, day);
    exists.then_some(days)
}

/// Milliseconds since midnight UTC; may lie outside of the day by the offset.
fn parse_clock(text: &str) -> Option<i64> {
    let zone_at = text.find(['Z', 'z', '+', '-']).unwrap_or(text.len());
    let (clock, zone) = text.split_at(zone_at);
    let (whole, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = whole.split(':');
    let hour = number(parts.next()?, 2, 0..=23)?;
    let minute = number(parts.next()?, 2, 0..=59)?;
    let second = parts
        .next()
        .map_or(Some(0), |text| number(text, 2, 0..=60))?;
    if parts.next().is_some() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset_minutes = match zone {
        "" | "Z" | "z" => 0,
        zone => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let minutes = number(hours, 2, 0..=23)? * 60 + number(minutes, 2, 0..=59)?;
            if zone.starts_with('-') {
                -minutes
            } else {
                minutes
            }
        }
    };
    Some(((hour * 60 + minute - offset_minutes) * 60 + second) * 1000 + millis)
}

#[cfg(test)]
mod tests;
