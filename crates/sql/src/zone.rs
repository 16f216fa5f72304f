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
