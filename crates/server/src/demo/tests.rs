//! Tests of the demo's data and of its report.

use base::TimestampMs;
use expect_test::{Expect, expect};

use super::{
    Style, expected,
    flights::Flights,
    report::{Report, Tally, TopicShape},
};

fn check(actual: &str, wanted: &Expect) {
    wanted.assert_eq(actual);
}

#[test]
fn the_flights_are_those_of_the_source() {
    let flights = Flights::built_in().expect("the file is in the binary");
    let mut lines = Vec::new();
    for at in [0, flights.flights.len() / 2, flights.flights.len() - 1] {
        let mut line = Vec::new();
        flights.write_json(&flights.flights[at], &mut line);
        lines.push(String::from_utf8(line).expect("JSON is text"));
    }
    check(
        &lines.join("\n"),
        &expect![[r#"
        {"at":"2001-01-01T00:01:00","origin":"ANC","destination":"LAX","delay":-13,"distance":2345}
        {"at":"2001-01-16T13:50:00","origin":"LGA","destination":"BUF","delay":-42,"distance":292}
        {"at":"2001-01-31T23:57:00","origin":"LAX","destination":"ORD","delay":4,"distance":1745}"#]],
    );
    // As the README beside the file tells.
    assert_eq!(flights.flights.len(), 508_239);
    assert!(flights.flights.is_sorted_by_key(|flight| flight.at));
}

#[test]
fn a_damaged_file_is_refused() {
    for bytes in [
        &b""[..],
        b"FLT2",
        b"FLT1\0\0\0\0\0\0\0\0\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
    ] {
        assert!(Flights::decode(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn the_report_is_computed_from_records() {
    let mut report = Report::default();
    let records = [
        (
            0,
            "ATL",
            r#"{"at":"x","origin":"ATL","destination":"JFK","delay":20,"distance":760}"#,
        ),
        (
            60_000,
            "JFK",
            r#"{"at":"x","origin":"JFK","destination":"ATL","delay":-10,"distance":760}"#,
        ),
        (
            120_000,
            "ATL",
            r#"{"at":"x","origin":"ATL","destination":"SEA","delay":2,"distance":2182}"#,
        ),
        (180_000, "ATL", "somebody else's"),
    ];
    for (at, key, value) in records {
        report.add(TimestampMs(at), key.as_bytes(), value.as_bytes());
    }
    assert_eq!(report.foreign, 1);
    let shape = TopicShape {
        partitions: 6,
        bytes_on_disk: Some(2048),
    };
    let text = format!(
        "the report:\n{}",
        report.text(&shape, &Style { is_on: false })
    );
    check(
        &text,
        &expect![[r#"
        the report:
          records    3 flights in 6 partitions by origin
          bytes      241 B of JSON and keys, 2.0 KiB in the log
          time       1970-01-01 00:00 to 1970-01-01 00:02, local
          delay      4.0 minutes on average; 33 % were 15 minutes late or more
          distance   1234 miles on average
          busiest    ATL       3  ████████████████████████████████
                     JFK       2  ██████████████████████
                     SEA       1  ███████████
                     departures and arrivals per airport
    "#]],
    );
}

#[test]
fn a_tally_sees_what_differs_and_not_the_order() {
    let records = [(1, "k", "v"), (2, "k", "w"), (3, "l", "v")];
    let tally = |order: &[(i64, &str, &str)]| {
        let mut tally = Tally::default();
        for (at, key, value) in order {
            tally.add(TimestampMs(*at), key.as_bytes(), value.as_bytes());
        }
        tally
    };
    let all = tally(&records);
    let [a, b, c] = records;
    assert_eq!(all, tally(&[c, a, b]));
    for other in [
        &[a, b][..],
        &[a, b, b],
        &[a, b, (4, "l", "v")],
        &[a, b, (3, "l", "x")],
    ] {
        assert_ne!(all, tally(other), "{other:?}");
    }
    let mut parts = tally(&[a]);
    parts.add_all(&tally(&[b, c]));
    assert_eq!(all, parts);
}

#[test]
fn what_is_expected_has_every_flight() {
    let flights = Flights::built_in().expect("the file is in the binary");
    assert_eq!(expected(&flights).records, flights.flights.len() as u64);
}
