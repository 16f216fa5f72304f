//! Tests of times as text.

use super::*;

#[test]
fn shows_and_parses() {
    for (text, ms) in [
        ("1970-01-01T00:00:00Z", 0),
        ("2001-01-01T00:01:00Z", 978_307_260_000),
        ("2000-02-29T23:59:59.999Z", 951_868_799_999),
        ("1969-12-31T23:59:59Z", -1_000),
        ("2100-03-01T00:00:00Z", 4_107_542_400_000),
    ] {
        assert_eq!(parse(text), Ok(TimestampMs(ms)), "{text}");
        assert_eq!(show(TimestampMs(ms)), text);
    }
    for (text, ms) in [
        ("2001-01-01", 978_307_200_000),
        ("2001-01-01T02:00+02:00", 978_307_200_000),
        ("2000-12-31 19:00:00-05:00", 978_307_200_000),
        ("978307200000", 978_307_200_000),
        ("2001-01-01T00:00:00.5Z", 978_307_200_500),
    ] {
        assert_eq!(parse(text), Ok(TimestampMs(ms)), "{text}");
    }
    for text in [
        "",
        "soon",
        "2001-02-29",
        "2001-1-1",
        "2001-01-01T25:00",
        "2001-01-01T00:00:00+2",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn every_day_of_four_centuries_round_trips() {
    for day in -200_000..200_000 {
        let (year, month, date) = civil_from_days(day);
        assert_eq!(days_from_civil(year, month, date), day);
    }
}
