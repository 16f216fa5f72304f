//! Tests of what the command line takes, and of formats.

use std::borrow::Cow;

use base::{Offset, TimestampMs};
use clap::{CommandFactory, Parser};
use client::Start;
use expect_test::{Expect, expect};
use kafka::batch::Record;

use super::{
    Cli, Command, TopicCommand,
    consume::parse_start,
    format::{Format, bytes, grouped, json, table},
};

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn every_setting_is_a_flag() {
    let cli = parse(
        "forebay start --data-dir /tmp/x --allow-plaintext --auto-create-topics false --shards 2",
    )
    .expect("is valid");
    let Command::Start(args) = cli.command else {
        panic!("start");
    };
    let given: Vec<_> = args
        .flags
        .given
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    expect!["data_dir=/tmp/x allow_plaintext=true shards=2 auto_create_topics=false"]
        .assert_eq(&given.join(" "));
}

#[test]
fn topics_and_clusters() {
    let line = "forebay topic create a b -p 3 -c x=1 -c y=a=b -b h1:1,h2:2 --timeout 5s";
    let Command::Topic(args) = parse(line).expect("is valid").command else {
        panic!("topic");
    };
    assert_eq!(args.cluster.brokers, ["h1:1", "h2:2"]);
    assert_eq!(args.cluster.timeout.as_secs(), 5);
    let TopicCommand::Create {
        topics,
        partitions,
        configs,
    } = args.command
    else {
        panic!("create");
    };
    assert_eq!((topics.len(), partitions), (2, Some(3)));
    assert_eq!(configs[1], ("y".to_owned(), "a=b".to_owned()));
}

fn refused(line: &str, expected: Expect) {
    let error = parse(line).expect_err("must be refused").to_string();
    expected.assert_eq(error.lines().next().unwrap_or_default());
}

#[test]
fn refusals() {
    refused(
        "forebay topic create",
        expect!["error: the following required arguments were not provided:"],
    );
    refused(
        "forebay topic create a -p 0",
        expect!["error: invalid value '0' for '--partitions <N>': 0 is not in 1..=2147483647"],
    );
    refused(
        "forebay start --kafka-adr x",
        expect!["error: unexpected argument '--kafka-adr' found"],
    );
    refused(
        "forebay produce t -z brotli",
        expect!["error: invalid value 'brotli' for '--compression <COMPRESSION>'"],
    );
    refused(
        "forebay consume t -f x --json",
        expect!["error: the argument '--format <FORMAT>' cannot be used with '--json'"],
    );
    refused(
        "forebay produce t -H novalue",
        expect!["error: invalid value 'novalue' for '--header <NAME=VALUE>': not KEY=VALUE"],
    );
}

#[test]
fn starts() {
    for (text, start) in [
        ("beginning", Start::Beginning),
        ("end", Start::End),
        ("17", Start::At(Offset(17))),
        ("-5", Start::BeforeEnd(5)),
        (
            "@978307200000",
            Start::Timestamp(TimestampMs(978_307_200_000)),
        ),
        (
            "@2001-01-01",
            Start::Timestamp(TimestampMs(978_307_200_000)),
        ),
    ] {
        assert_eq!(parse_start(text).expect("is valid"), start, "{text}");
    }
    for text in ["", "begin", "@noon", "-x", "1.5"] {
        assert!(parse_start(text).is_err(), "{text}");
    }
}

fn record() -> Record<'static> {
    Record {
        offset: Offset(7),
        timestamp: TimestampMs(978_307_260_000),
        key: Some(Cow::Borrowed(b"ATL")),
        value: None,
        headers: vec![
            (Cow::Borrowed("a"), Some(Cow::Borrowed(&b"1"[..]))),
            (Cow::Borrowed("b"), None),
        ],
    }
}

#[test]
fn formats() {
    let show = |format: &str| {
        let mut out = Vec::new();
        let format = Format::parse(format).expect("is valid");
        let written = format.write(&mut out, ("t", 3), &record());
        written.expect("a vector takes everything");
        String::from_utf8(out).expect("is text")
    };
    assert_eq!(
        show(r"%t/%p@%o %k=%v %K %V %h %T %D %%\n"),
        "t/3@7 ATL= 3 -1 a=1,b= 978307260000 2001-01-01T00:01:00Z %\n"
    );
    for wrong in ["%", "%q", "\\", "\\x"] {
        assert!(Format::parse(wrong).is_err(), "{wrong}");
    }
    expect![[r#"{"headers":[{"name":"a","value":"1"},{"name":"b","value":null}],"key":"ATL","offset":7,"partition":3,"timestamp":978307260000,"topic":"t","value":null}"#]]
        .assert_eq(&json(("t", 3), &record()).to_string());
}

#[test]
fn tables_and_numbers() {
    let rows = [["a", "1"], ["longer", "12345"]].map(|row| row.map(String::from).to_vec());
    expect![[r#"
        NAME    COUNT
        a           1
        longer  12345
    "#]]
    .assert_eq(&table(&["NAME", "COUNT"], &rows));
    assert_eq!(grouped(1_234_567), "1,234,567");
    assert_eq!(grouped(12), "12");
    assert_eq!(bytes(512), "512 B");
    assert_eq!(bytes(43 << 20), "43.0 MiB");
}
