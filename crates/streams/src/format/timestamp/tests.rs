//! Edges of the calendar.

use super::*;

fn show(us: i64) -> String {
    let mut out = Vec::new();
    write_timestamp(us, &mut out);
    String::from_utf8(out).expect("ASCII")
}

#[test]
fn days_and_dates_are_the_same_count() {
    let mut date = Civil {
        year: -1,
        month: 1,
        day: 1,
    };
    let mut days = days_from_civil(date);
    while date.year < 2500 {
        assert_eq!(civil_from_days(days), date);
        assert_eq!(days_from_civil(date), days);
        days += 1;
        date.day += 1;
        if date.day > month_days(date.year, date.month) {
            date.day = 1;
            date.month += 1;
        }
        if date.month > 12 {
            date.month = 1;
            date.year += 1;
        }
    }
    assert_eq!(
        days_from_civil(Civil {
            year: 1970,
            month: 1,
            day: 1
        }),
        0
    );
    assert_eq!(
        days_from_civil(Civil {
            year: 1,
            month: 1,
            day: 1
        }),
        -719_162
    );
    assert_eq!(
        days_from_civil(Civil {
            year: 9999,
            month: 12,
            day: 31
        }),
        2_932_896
    );
}

#[test]
fn moments_are_read() {
    let cases = [
        ("1970-01-01", 0, None),
        ("1970-01-01T00:00:00Z", 0, Some(0)),
        ("1970-01-01 00:00:00.000001", 1, None),
        ("1969-12-31T23:59:59.999999", -1, None),
        ("1969-12-31T23:59:59.9999995z", 0, Some(0)),
        ("2015-07-15 00:00:03.123", 1_436_918_403_123_000, None),
        (
            "2015-07-15t00:00:03,5+05:30",
            1_436_918_403_500_000,
            Some(19_800),
        ),
        ("2015-07-15 00:00 -08", 1_436_918_400_000_000, Some(-28_800)),
        ("2015-07-15 00:00:00 UTC", 1_436_918_400_000_000, Some(0)),
        (
            "2015-07-15T00:00:00-0330",
            1_436_918_400_000_000,
            Some(-12_600),
        ),
        (
            "1883-11-18T12:00:00-04:56:02",
            -2_717_668_800_000_000,
            Some(-17_762),
        ),
        ("0001-01-01T00:00:00", -62_135_596_800_000_000, None),
        ("9999-12-31T23:59:59.999999", 253_402_300_799_999_999, None),
        ("2000-02-29", 951_782_400_000_000, None),
        ("+294247-01-10T04:00:54.775807", i64::MAX, None),
        ("-290308-12-21T19:59:05.224192", i64::MIN, None),
    ];
    for (text, local_us, offset_s) in cases {
        let written = parse_timestamp(text.as_bytes());
        assert_eq!(written, Ok(Written { local_us, offset_s }), "{text}");
    }
}

#[test]
fn what_is_no_moment_is_refused() {
    let cases = [
        "",
        "2015",
        "2015--15",
        "2015-7-",
        "2015-007-15",
        "2015071",
        "20150732",
        "15-07-15",
        "2015-07-15T",
        "2015-07-15 ",
        "2015-00-01",
        "2015-13-01",
        "2015-01-00",
        "2015-04-31",
        "2015-02-29",
        "1900-02-29",
        "2016-12-31T23:59:60Z",
        "2015-01-01T24:00:00",
        "2015-01-01T00:60:00",
        "2015-01-01T00",
        "2015-01-01T:00:00",
        "2015-01-01T000:00:00",
        "2015-01-01T00:00:00.",
        "2015-01-01T00:00:00ZZ",
        "2015-01-01T00:00:00+16",
        "2015-01-01T00:00:00+1",
        "2015-01-01T00:00:00+01:60",
        "2015-01-01T00:00:00+",
        "2015-01-01X00:00:00",
        "12345678-01-01",
        "2015-01-01T00:00:00 ",
        "2015-01-01\u{660}",
        "infinity",
        "12:00:00",
    ];
    for text in cases {
        let wanted = Err(Reason::NotA("timestamp"));
        assert_eq!(parse_timestamp(text.as_bytes()), wanted, "{text}");
        assert_eq!(
            parse_date(text.as_bytes()),
            Err(Reason::NotA("date")),
            "{text}"
        );
    }
    let far = parse_timestamp(b"+294247-01-10T04:00:54.775808");
    assert_eq!(far, Err(Reason::Range("timestamp")));
    assert_eq!(
        parse_timestamp(b"999999-01-01"),
        Err(Reason::Range("timestamp"))
    );
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let steps = (0..4000i64).map(|step| (step - 2000) * 4_611_686_018_427_387);
    let edges = [
        0,
        -1,
        1,
        i64::MIN,
        i64::MAX,
        253_402_300_799_999_999,
        -62_167_219_200_000_001,
    ];
    for us in steps.chain(edges) {
        let text = show(us);
        let read = parse_timestamp(text.as_bytes()).map(|written| written.local_us);
        assert_eq!(read, Ok(us), "{text}");
    }
    assert_eq!(show(0), "1970-01-01T00:00:00.000000");
    assert_eq!(show(-1), "1969-12-31T23:59:59.999999");
    assert_eq!(show(i64::MAX), "+294247-01-10T04:00:54.775807");
    assert_eq!(show(-62_167_219_200_000_001), "-0001-12-31T23:59:59.999999");
}

#[test]
fn times_of_day_and_dates_are_read() {
    assert_eq!(parse_time(b"23:59:59.999999"), Ok(MICROS_PER_DAY - 1));
    assert_eq!(parse_time(b"00:00"), Ok(0));
    assert_eq!(parse_time(b"24:00:00"), Err(Reason::NotA("time")));
    assert_eq!(parse_time(b"23:59:59.9999994"), Ok(MICROS_PER_DAY - 1));
    assert_eq!(parse_time(b"23:59:59.9999995"), Err(Reason::NotA("time")));
    assert_eq!(parse_time(b"10:00:00Z"), Err(Reason::NotA("time")));
    for text in [
        "2015-07-15 23:59:59",
        "2015-7-15",
        "20150715",
        "20150715T2:00",
    ] {
        assert_eq!(parse_date(text.as_bytes()), Ok(16_631), "{text}");
    }
    assert_eq!(parse_time(b"1:02"), parse_time(b"01:02:00"));
    assert_eq!(parse_date(b"+5881580-07-11"), Ok(i32::MAX));
    assert_eq!(parse_date(b"-5877641-06-23"), Ok(i32::MIN));
    assert_eq!(parse_date(b"+5881580-07-12"), Err(Reason::NotA("date")));
    assert_eq!(parse_date(b"999999-12-31"), Ok(364_522_971));
    let utc = |text: &str| parse_timestamp(text.as_bytes()).and_then(Written::utc_us);
    assert_eq!(utc("1970-01-01T01:00:00+01:00"), Ok(0));
    assert_eq!(
        utc("+294247-01-10T04:00:54.775807-01"),
        Err(Reason::Range("timestamp"))
    );
}
