//! Tables of records and the rows they hold.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::*;

fn record(value: &[u8]) -> RecordView<'_> {
    RecordView {
        key: None,
        value: Some(value),
        timestamp_ms: 0,
        partition: 0,
        offset: 0,
    }
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn jsonb(name: &str) -> Field {
    let metadata = [("postgres.type".to_owned(), "jsonb".to_owned())].into();
    Field::new(name, DataType::Utf8, true).with_metadata(metadata)
}

fn flat() -> Format {
    Format::Json { paths: Vec::new() }
}

fn nested(paths: &[&[&str]]) -> Format {
    let path = |path: &&[&str]| path.iter().map(|name| (*name).to_owned()).collect();
    Format::Json {
        paths: paths.iter().map(path).collect(),
    }
}

fn all(schema: &SchemaRef) -> Vec<usize> {
    (0..schema.fields().len()).collect()
}

/// The row of a record, written as JSON again, or what is wrong with it.
fn through(format: &Format, schema: &SchemaRef, value: &[u8]) -> String {
    let mut decoder = Decoder::new(format, schema, &all(schema)).expect("a format for these");
    match decoder.push(record(value)) {
        Ok(()) => show(&decoder.finish()).concat(),
        Err(malformed) => {
            assert_eq!(decoder.len(), 0);
            assert_eq!(decoder.finish().num_rows(), 0);
            malformed.to_string()
        }
    }
}

fn show(rows: &RecordBatch) -> Vec<String> {
    let schema = rows.schema();
    let encoder = Encoder::new(&flat(), &schema, &all(&schema)).expect("columns of any type");
    let mut lines = Vec::new();
    for row in 0..rows.num_rows() {
        let mut line = Vec::new();
        encoder.encode(rows, row, &mut line);
        lines.push(String::from_utf8(line).expect("UTF-8"));
    }
    lines
}

/// A value alone, in a column of this type.
fn value(field: Field, json: &str) -> String {
    let schema = Arc::new(Schema::new(vec![field.with_name("v")]));
    let shown = through(&flat(), &schema, format!("{{\"v\":{json}}}").as_bytes());
    match shown
        .strip_prefix("{\"v\":")
        .and_then(|rest| rest.strip_suffix('}'))
    {
        Some(value) => value.to_owned(),
        None => shown.trim_start_matches("column v, at byte 5: ").to_owned(),
    }
}

fn utc() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn local() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

#[test]
fn json_values_become_what_their_column_is() {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Int32, true)));
    let point = DataType::Struct(
        vec![
            Field::new("x", DataType::Float64, true),
            Field::new("y", DataType::Utf8, true),
        ]
        .into(),
    );
    let cases: &[(DataType, &[(&str, &str)])] = &[
        (
            DataType::Int16,
            &[
                ("32767", "32767"),
                ("-32768", "-32768"),
                ("32768", "out of the range of smallint"),
                ("\"12\"", "12"),
                ("1.5", "a fraction where an integer is expected"),
                ("1.0", "1"),
                ("2e3", "2000"),
                ("1e400", "out of the range of smallint"),
                ("null", "null"),
                ("true", "not a value of type smallint"),
                ("[1]", "not a value of type smallint"),
                ("{}", "not a value of type smallint"),
                ("\"\"", "not a value of type smallint"),
                ("\" 1\"", "not a value of type smallint"),
            ],
        ),
        (
            DataType::Int32,
            &[
                ("2147483647", "2147483647"),
                ("-2147483649", "out of the range of integer"),
                ("-0", "0"),
            ],
        ),
        (
            DataType::Int64,
            &[
                ("9223372036854775807", "9223372036854775807"),
                ("-9223372036854775808", "-9223372036854775808"),
                ("9223372036854775808", "out of the range of bigint"),
                ("999999999999999999", "999999999999999999"),
                ("\"-9223372036854775808\"", "-9223372036854775808"),
                ("\"+7\"", "7"),
                ("\"\\u0031\"", "1"),
                ("100000000000000000000e-2", "1000000000000000000"),
                ("0e999999999999999999999", "0"),
                ("\"0x10\"", "not a value of type bigint"),
            ],
        ),
        (
            DataType::Float64,
            &[
                ("1", "1.0"),
                ("-0", "-0.0"),
                ("0.1", "0.1"),
                ("1e308", "1e308"),
                ("9007199254740993", "9007199254740992.0"),
                ("1e400", "out of the range of double precision"),
                ("1e-400", "0.0"),
                ("\"NaN\"", "\"NaN\""),
                ("\"-Infinity\"", "\"-Infinity\""),
                ("\"1e3\"", "1000.0"),
                ("\"x\"", "not a value of type double precision"),
                ("2.2250738585072011e-308", "2.225073858507201e-308"),
            ],
        ),
        (
            DataType::Float32,
            &[
                ("0.1", "0.1"),
                ("1e39", "out of the range of real"),
                ("16777217", "16777216.0"),
            ],
        ),
        (
            DataType::Decimal128(6, 2),
            &[
                ("1.005", "1.01"),
                ("-1.005", "-1.01"),
                ("9999.99", "9999.99"),
                ("9999.995", "out of the range of numeric"),
                ("1e3", "1000.00"),
                ("\"12.5\"", "12.50"),
                ("1e-9", "0.00"),
                ("0.01", "0.01"),
                ("-0.004", "0.00"),
                ("1e400", "out of the range of numeric"),
                ("\"1.\"", "1.00"),
                ("\".\"", "not a value of type numeric"),
            ],
        ),
        (
            DataType::Decimal128(38, 0),
            &[
                (
                    "99999999999999999999999999999999999999",
                    "99999999999999999999999999999999999999",
                ),
                (
                    "100000000000000000000000000000000000000",
                    "out of the range of numeric",
                ),
                (
                    "999999999999999999999999999999999999999999999999",
                    "out of the range of numeric",
                ),
            ],
        ),
        (
            DataType::Boolean,
            &[
                ("true", "true"),
                ("false", "false"),
                ("\"Yes\"", "true"),
                ("\"off\"", "false"),
                ("1", "true"),
                ("0", "false"),
                ("2", "not a value of type boolean"),
                ("\"falsehood\"", "not a value of type boolean"),
            ],
        ),
        (
            DataType::Utf8,
            &[
                ("\"\"", "\"\""),
                (
                    "\"a\\\"b\\\\\\/\\b\\f\\n\\r\\t\"",
                    "\"a\\\"b\\\\/\\u0008\\u000c\\n\\r\\t\"",
                ),
                ("\"\\u00e9\\ud83d\\ude00\"", "\"é😀\""),
                ("\"é😀\"", "\"é😀\""),
                ("12.50", "\"12.50\""),
                ("true", "\"true\""),
                ("{\"a\": 1}", "\"{\\\"a\\\": 1}\""),
                ("\"\\u0000\"", "text with the character U+0000"),
                ("\"\\ud83d\"", "half of a surrogate pair"),
            ],
        ),
        (
            DataType::Binary,
            &[
                ("\"AAECAw==\"", "\"AAECAw==\""),
                ("\"AAECAw\"", "\"AAECAw==\""),
                ("\"\\\\x00fF\"", "\"AP8=\""),
                ("\"\"", "\"\""),
                ("\"A\"", "not a value of type bytea"),
                ("\"AAF=\"", "not a value of type bytea"),
                ("\"\\\\x0\"", "not a value of type bytea"),
                ("\"AA=A\"", "not a value of type bytea"),
            ],
        ),
        (
            DataType::Date32,
            &[
                ("\"2015-07-15\"", "\"2015-07-15\""),
                ("\"2015-07-15T12:00:00Z\"", "\"2015-07-15\""),
                ("16631", "\"2015-07-15\""),
                ("\"2015-07-32\"", "not a value of type date"),
            ],
        ),
        (
            DataType::Time64(TimeUnit::Microsecond),
            &[("\"01:02:03.5\"", "\"01:02:03.500000\"")],
        ),
        (
            utc(),
            &[
                (
                    "\"2015-07-15T02:00:00+02:00\"",
                    "\"2015-07-15T00:00:00.000000Z\"",
                ),
                (
                    "\"2015-07-15 00:00:03.123\"",
                    "\"2015-07-15T00:00:03.123000Z\"",
                ),
                ("1436918403123", "\"2015-07-15T00:00:03.123000Z\""),
                ("1436918403123.4567", "\"2015-07-15T00:00:03.123457Z\""),
                ("-1", "\"1969-12-31T23:59:59.999000Z\""),
                ("1e300", "out of the range of timestamp"),
                ("9223372036854775807", "out of the range of timestamp"),
                ("\"now\"", "not a value of type timestamp"),
            ],
        ),
        (
            local(),
            &[(
                "\"2015-07-15T02:00:00+02:00\"",
                "\"2015-07-15T02:00:00.000000\"",
            )],
        ),
        (
            list,
            &[
                ("[]", "[]"),
                ("[1, null,\"3\" ]", "[1,null,3]"),
                ("[1,[2]]", "at byte 8: not a value of type integer"),
                ("7", "not a value of type list"),
                ("null", "null"),
            ],
        ),
        (
            point,
            &[
                ("{}", "{\"x\":null,\"y\":null}"),
                (
                    "{\"y\":\"a\",\"x\":1,\"z\":[{}],\"y\":null}",
                    "{\"x\":1.0,\"y\":null}",
                ),
                (
                    "{\"x\":\"\"}",
                    "at byte 10: not a value of type double precision",
                ),
                ("[]", "not a value of type struct"),
            ],
        ),
    ];
    for (data_type, values) in cases {
        for (json, expected) in *values {
            let shown = value(Field::new("v", data_type.clone(), true), json);
            let shown = shown.trim_start_matches("column v, ");
            let reason = shown
                .split_once("at byte 6: ")
                .map_or(shown, |(_, reason)| reason);
            assert_eq!(reason, *expected, "{data_type}: {json}");
        }
    }
    for json in ["1e400", "{\"b\": [1, 2 ] }", "\"\\u0000\"", "true"] {
        assert_eq!(value(jsonb("v"), json), json);
    }
}

#[test]
fn records_that_are_no_object_are_malformed() {
    let schema = schema(&[("a", DataType::Int64)]);
    let deep = |levels: usize| format!("{{\"x\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    let cases: &[(&[u8], &str)] = &[
        (b"", "at byte 0: the record ends within a value"),
        (b"  ", "at byte 2: the record ends within a value"),
        (b"[1]", "at byte 0: not an object"),
        (b"{", "at byte 1: the record ends within a value"),
        (b"{} x", "at byte 3: something follows the record"),
        (b"{}\n ", "{\"a\":null}"),
        (b"{\"a\"}", "at byte 4: a colon is expected"),
        (b"{\"a\":}", "column a, at byte 5: a value is expected"),
        (b"{\"b\":}", "at byte 5: a value is expected"),
        (b"{\"a\":1,}", "at byte 7: a member's name is expected"),
        (b"{,}", "at byte 1: a member's name is expected"),
        (
            b"{\"a\":1 \"b\":2}",
            "at byte 7: a comma or the end is expected",
        ),
        (b"{\"b\":[1,]}", "at byte 8: a value is expected"),
        (b"{\"b\":[1}}", "at byte 7: a comma or the end is expected"),
        (b"{\"b\":01}", "at byte 7: not a number"),
        (b"{\"b\":-}", "at byte 6: not a number"),
        (b"{\"b\":1.}", "at byte 7: not a number"),
        (b"{\"b\":1e}", "at byte 7: not a number"),
        (b"{\"b\":.5}", "at byte 5: a value is expected"),
        (b"{\"b\":+1}", "at byte 5: a value is expected"),
        (b"{\"b\":nul}", "at byte 5: a value is expected"),
        (b"{\"b\":\"\\x\"}", "at byte 6: no such escape"),
        (b"{\"b\":\"\\u12g4\"}", "at byte 6: no such escape"),
        (
            b"{\"b\":\"\\udc00\\ud800\"}",
            "at byte 6: half of a surrogate pair",
        ),
        (
            b"{\"b\":\"\\udc00\\udc00\"}",
            "at byte 6: half of a surrogate pair",
        ),
        (
            b"{\"b\":\"\\ud800\\u0041\"}",
            "at byte 6: half of a surrogate pair",
        ),
        (
            b"{\"b\":\"a\nb\"}",
            "at byte 7: a control character within a string",
        ),
        (b"{\"b\":\"\xff\"}", "at byte 6: not UTF-8"),
        (b"{\"b\":\"abc", "at byte 9: the record ends within a value"),
        (b"{\"b\":\"\\", "at byte 7: the record ends within a value"),
        (b"{\"b\":1e400,\"a\":3,\"c\":\"\\u0000\"}", "{\"a\":3}"),
        (b"\t{ \"a\" : 1 , \"a\" :\r\n2 } ", "{\"a\":2}"),
        (b"{\"a\":1,\"\\u0061\":null}", "{\"a\":null}"),
    ];
    for (value, expected) in cases {
        let shown = through(&flat(), &schema, value);
        assert_eq!(shown, *expected, "{}", String::from_utf8_lossy(value));
    }
    assert_eq!(
        through(&flat(), &schema, deep(DEPTH_MAX - 1).as_bytes()),
        "{\"a\":null}"
    );
    let too_deep = through(&flat(), &schema, deep(DEPTH_MAX).as_bytes());
    assert_eq!(too_deep, "at byte 131: nested too deep");
}

#[test]
fn paths_lead_into_objects_and_arrays() {
    let fields = schema(&[
        ("a", DataType::Int32),
        ("b", DataType::Utf8),
        ("c", DataType::Utf8),
        ("d", DataType::Int32),
    ]);
    let format = nested(&[&["o", "x"], &["o"], &["l", "1", "n"], &["o", "x"]]);
    let cases = [
        (
            "{\"o\":{\"x\":1},\"l\":[0,{\"n\":true}]}",
            "{\"a\":1,\"b\":\"{\\\"x\\\":1}\",\"c\":\"true\",\"d\":1}",
        ),
        (
            "{\"o\":{\"x\":1},\"o\":{}}",
            "{\"a\":null,\"b\":\"{}\",\"c\":null,\"d\":null}",
        ),
        (
            "{\"o\":{\"x\":1},\"o\":null}",
            "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}",
        ),
        (
            "{\"o\":[7],\"l\":{\"1\":{\"n\":2},\"01\":3}}",
            "{\"a\":null,\"b\":\"[7]\",\"c\":\"2\",\"d\":null}",
        ),
        (
            "{\"l\":[{\"n\":1},[]]}",
            "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}",
        ),
        (
            "{\"o\":{\"x\":\"?\"}}",
            "column a, at byte 10: not a value of type integer",
        ),
    ];
    for (json, expected) in cases {
        assert_eq!(
            through(&format, &fields, json.as_bytes()),
            expected,
            "{json}"
        );
    }
    let whole = Arc::new(Schema::new(vec![
        jsonb("all"),
        Field::new("a", DataType::Int32, true),
    ]));
    let shown = through(&nested(&[&[], &["a"]]), &whole, b" {\"a\": 1} ");
    assert_eq!(shown, "{\"all\":{\"a\": 1},\"a\":1}");
}

#[test]
fn malformed_records_leave_no_trace() {
    let list = DataType::List(Arc::new(Field::new_list_field(DataType::Utf8, true)));
    let schema = schema(&[
        ("t", DataType::Utf8),
        ("l", list),
        ("n", DataType::Int32),
        ("b", DataType::Boolean),
    ]);
    let mut decoder = Decoder::new(&flat(), &schema, &[1, 0, 2, 3]).expect("a format for these");
    let good = b"{\"t\":\"a\",\"l\":[\"x\",\"y\"],\"n\":1,\"b\":true}";
    for bad in [
        "{\"t\":\"b\",\"l\":[\"z\",\"w\"],\"n\":1",
        "{\"l\":[\"z\",\"\\u0000\"]}",
        "{\"b\":false,\"n\":\"?\"}",
    ] {
        assert_eq!(decoder.push(record(good)), Ok(()));
        assert!(decoder.push(record(bad.as_bytes())).is_err());
    }
    let nothing = RecordView {
        value: None,
        ..record(b"")
    };
    assert_eq!(decoder.push(nothing), Err(Malformed::Tombstone));
    assert_eq!(decoder.push(record(b"{}")), Ok(()));
    let row = "{\"l\":[\"x\",\"y\"],\"t\":\"a\",\"n\":1,\"b\":true}";
    let nulls = "{\"l\":null,\"t\":null,\"n\":null,\"b\":null}";
    assert_eq!(show(&decoder.finish()), [row, row, row, nulls]);
    assert!(decoder.is_empty());
}

#[test]
fn members_may_come_in_any_order() {
    let schema = schema(&[
        ("a", DataType::Int32),
        ("b", DataType::Int32),
        ("c", DataType::Int32),
    ]);
    let mut decoder = Decoder::new(&flat(), &schema, &[0, 2]).expect("a format for these");
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let mut expected = Vec::new();
    for round in 0..400usize {
        // A stride through the names, none of them twice, some left out.
        let members: Vec<usize> = (0..names.len())
            .map(|at| (at * (round % 6 + 1) + round) % 7)
            .collect();
        let kept: Vec<usize> = members
            .into_iter()
            .filter(|at| (round >> at) & 1 == 0)
            .collect();
        let text = kept
            .iter()
            .map(|at| format!("\"{}\":{}", names[*at], round + at));
        let text = format!("{{{}}}", text.collect::<Vec<_>>().join(","));
        assert_eq!(decoder.push(record(text.as_bytes())), Ok(()), "{text}");
        let shown = |at: usize| {
            if kept.contains(&at) {
                (round + at).to_string()
            } else {
                "null".to_owned()
            }
        };
        expected.push(format!("{{\"a\":{},\"c\":{}}}", shown(0), shown(2)));
    }
    assert_eq!(show(&decoder.finish()), expected);
}

#[test]
fn columns_that_are_not_null_refuse_null() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int32, false)]));
    assert_eq!(
        through(&flat(), &schema, b"{}"),
        "column a, at byte 0: null where the column is NOT NULL"
    );
    assert_eq!(through(&flat(), &schema, b"{\"a\":1}"), "{\"a\":1}");
    let element = Field::new_list_field(DataType::Int32, false);
    let inner = Arc::new(Schema::new(vec![Field::new(
        "a",
        DataType::List(Arc::new(element)),
        true,
    )]));
    assert!(matches!(
        Decoder::new(&flat(), &inner, &[0]),
        Err(FormatError::Required { .. })
    ));
}

#[test]
fn raw_records_are_their_column() {
    let text = schema(&[("v", DataType::Utf8)]);
    assert_eq!(
        through(&Format::Raw, &text, "é".as_bytes()),
        "{\"v\":\"é\"}"
    );
    assert_eq!(
        through(&Format::Raw, &text, b"a\xff"),
        "column v, at byte 1: not UTF-8"
    );
    assert_eq!(
        through(&Format::Raw, &text, b"\0"),
        "column v, at byte 0: text with the character U+0000"
    );
    let bytes = schema(&[("v", DataType::Binary)]);
    assert_eq!(through(&Format::Raw, &bytes, b"a\xff"), "{\"v\":\"Yf8=\"}");
}

#[test]
fn lines_of_fields_become_rows() {
    let fields = Arc::new(Schema::new(vec![
        Field::new("t", DataType::Utf8, true),
        Field::new("n", DataType::Int32, true),
        jsonb("j"),
    ]));
    let csv = Format::Csv { delimiter: b',' };
    let cases = [
        ("a,1,2", "{\"t\":\"a\",\"n\":1,\"j\":2}"),
        (",,", "{\"t\":null,\"n\":null,\"j\":null}"),
        (
            "\"\",\"7\",\"{\"\"a\"\": 1}\"\r\n",
            "{\"t\":\"\",\"n\":7,\"j\":{\"a\": 1}}",
        ),
        (
            "\"a,\"\"\n\",1,",
            "{\"t\":\"a,\\\"\\n\",\"n\":1,\"j\":null}",
        ),
        (
            "a,1",
            "at byte 3: not as many fields as the source has columns",
        ),
        (
            "a,1,2,",
            "at byte 5: not as many fields as the source has columns",
        ),
        (
            "\"a\"b,1,2",
            "at byte 3: not as many fields as the source has columns",
        ),
        (
            "",
            "at byte 0: not as many fields as the source has columns",
        ),
        (
            "a\"b,1,2",
            "at byte 1: a quote or a line break in a field without quotes",
        ),
        ("\"a,1,2", "at byte 6: the record ends within a value"),
        ("a,x,2", "column n, at byte 2: not a value of type integer"),
        ("a,1,{", "column j, at byte 4: not a value of type jsonb"),
        (
            "a\0,1,2",
            "column t, at byte 0: text with the character U+0000",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(through(&csv, &fields, line.as_bytes()), expected, "{line}");
    }
}

/// Rows of every type; what each format writes of them it reads as the same.
#[test]
fn what_is_written_is_read_again() {
    let scalars = [
        DataType::Boolean,
        DataType::Int16,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Decimal128(20, 3),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        local(),
        utc(),
    ];
    let rows = [
        "[true,-1,1,0.5,-0.0,1.5,\"a\\\"b,\\n\",\"AQI=\",\"2026-11-22\",\"01:02:03.000004\",\"2026-11-22T00:00:00\",0]",
        "[false,0,-9223372036854775808,3e38,\"NaN\",-0.001,\"\",\"\",\"-0001-01-01\",\"00:00:00\",-1,\"+12345-01-01\"]",
        "[null,null,null,\"-Infinity\",5e-324,null,null,null,null,null,null,null]",
    ];
    let paths: Vec<Vec<String>> = (0..scalars.len())
        .map(|at| vec!["r".into(), at.to_string()])
        .collect();
    let fields = scalars
        .iter()
        .map(|kind| Field::new("c", kind.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = all(&schema);
    let mut decoder = Decoder::new(&Format::Json { paths }, &schema, &columns).expect("all types");
    for row in rows {
        assert_eq!(
            decoder.push(record(format!("{{\"r\":{row}}}").as_bytes())),
            Ok(()),
            "{row}"
        );
    }
    let rows = decoder.finish();
    let names = (0..columns.len())
        .map(|at| vec![format!("c{at}")])
        .collect();
    for format in [
        Format::Json { paths: names },
        Format::Csv { delimiter: b';' },
        Format::Csv { delimiter: b'-' },
    ] {
        let encoder = Encoder::new(&format, &schema, &columns).expect("all types");
        let mut decoder = Decoder::new(&format, &schema, &columns).expect("all types");
        for row in 0..rows.num_rows() {
            let mut written = Vec::new();
            encoder.encode(&rows, row, &mut written);
            assert_eq!(
                decoder.push(record(&written)),
                Ok(()),
                "{}",
                String::from_utf8_lossy(&written)
            );
        }
        let (left, right) = (rows.columns(), decoder.finish());
        for (left, right) in left.iter().zip(right.columns()) {
            assert_eq!(format!("{left:?}"), format!("{right:?}"));
        }
    }
}

/// Wherever among how many others a byte stands that no text has, or that more must be looked at for.
#[test]
fn text_is_told_from_other_bytes() {
    for count in 0..40 {
        for at in 0..count {
            for odd in [0, 1, 0x7f, 0x80, 0xc3, 0xff] {
                let mut bytes = vec![b'x'; count];
                bytes[at] = odd;
                let is_text = odd != 0 && std::str::from_utf8(&bytes).is_ok();
                assert_eq!(text::check(&bytes).is_ok(), is_text, "{bytes:?}");
            }
        }
    }
    assert_eq!(text::check("ein Stück, länger als acht".as_bytes()), Ok(()));
}
