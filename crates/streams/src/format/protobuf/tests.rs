//! Messages and the rows they hold.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};

use super::*;
use crate::format::{Decoder, Encoder, Format, RecordView, framing::write_varint};

const TEXT: &str = r#"
// A comment; and /* another */
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
option java_package = "x;y{";
enum Color { option allow_alias = true; RED = 0; GREEN = 0x5; DARK = -1 [deprecated = true]; reserved 7; }
message Other {}
message Order {
  reserved 100 to max; reserved "gone";
  message Line {
    string name = 1;
    optional int32 count = 2;
    repeated Order.Line parts = 3;
  }
  enum State { NEW = 0; SENT = 1; }
  int64 id = 1;
  optional string note = 2 [json_name = "N\"ote", (x) = { a: [1] }];
  repeated sint32 numbers = 3;
  Line line = 4;
  repeated Line lines = 5;
  State state = 6;
  Color color = 7;
  map<string, .shop.v1.Order.Line> by_name = 8;
  google.protobuf.Timestamp at = 9;
  oneof choice { bool yes = 10; bytes raw = 11; }
  uint64 big = 12;
  double real = 13;
  fixed32 four = 70;
  google.protobuf.Int64Value wrapped = 016;
  int64 millis = 15;
};
service S { rpc Get (Order) returns (stream Other) { option x = 1; } }
"#;

fn format(paths: &[&[&str]]) -> Format {
    let path = |path: &&[&str]| path.iter().map(|name| (*name).to_owned()).collect();
    Format::Protobuf {
        schema: TEXT.into(),
        message: "Order".to_owned(),
        paths: paths.iter().map(path).collect(),
        framing: Framing::None,
    }
}

/// A field that counts its bytes.
pub(super) fn counted(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_varint(number << 3 | 2, &mut out);
    write_varint(bytes.len() as u64, &mut out);
    [out, bytes.to_vec()].concat()
}

pub(super) fn number(number: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    write_varint(number << 3, &mut out);
    write_varint(value, &mut out);
    out
}

/// Messages of the only type in `text`, and columns that may be NULL.
pub(super) fn message_of<const N: usize>(
    text: &str,
    columns: [(&str, DataType); N],
) -> (Format, SchemaRef) {
    let fields = columns.map(|(name, kind)| Field::new(name, kind, true));
    let format = Format::Protobuf {
        schema: text.into(),
        message: String::new(),
        paths: Vec::new(),
        framing: Framing::None,
    };
    (format, Arc::new(Schema::new(fields.to_vec())))
}

fn through(format: &Format, columns: &[(&str, DataType)], value: &[u8]) -> String {
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let all: Vec<usize> = (0..columns.len()).collect();
    let mut decoder = Decoder::new(format, &schema, &all).expect("a format for these");
    let record = RecordView {
        key: None,
        value: Some(value),
        timestamp_ms: 0,
        partition: 0,
        offset: 0,
    };
    // A row before and behind, so that a trace of a bad one would be seen.
    decoder
        .push(RecordView {
            value: Some(b""),
            ..record
        })
        .expect("nothing");
    let pushed = decoder.push(record);
    decoder
        .push(RecordView {
            value: Some(b""),
            ..record
        })
        .expect("nothing");
    let rows = decoder.finish();
    let json = Format::Json { paths: Vec::new() };
    let encoder = Encoder::new(&json, &schema, &all).expect("columns of any type");
    let show = |row| {
        let mut line = Vec::new();
        encoder.encode(&rows, row, &mut line);
        String::from_utf8(line).expect("UTF-8")
    };
    assert_eq!(show(0), show(rows.num_rows() - 1));
    match pushed {
        Ok(()) => show(1),
        Err(malformed) => {
            assert_eq!(rows.num_rows(), 2);
            malformed.to_string()
        }
    }
}

fn line() -> DataType {
    let fields = [("count", DataType::Int32), ("name", DataType::Utf8)];
    let fields = fields.map(|(name, kind)| Field::new(name, kind, true));
    DataType::Struct(fields.to_vec().into())
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

#[test]
fn fields_become_columns() {
    let utc = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    let a_line = [counted(1, b"x"), number(2, 3)].concat();
    let part = counted(3, &a_line);
    let zigzags: &[u8] = &[0, 1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f];
    let time = [number(1, 5), number(2, 1_999)].concat();
    let cases: Vec<(&str, DataType, Vec<u8>, &str)> = vec![
        ("id", DataType::Int64, vec![], "0"),
        ("id", DataType::Int64, number(1, 300), "300"),
        ("id", DataType::Int64, number(1, u64::MAX), "-1"),
        (
            "id",
            DataType::Int64,
            [number(1, 5), number(1, 6)].concat(),
            "6",
        ),
        (
            "id",
            DataType::Int16,
            number(1, 40_000),
            "column id, at byte 1: out of the range of smallint",
        ),
        ("id", DataType::Decimal128(10, 2), number(1, 7), "7.00"),
        (
            "id",
            DataType::Int64,
            counted(1, b""),
            "column id, at byte 1: a field of another type on the wire",
        ),
        (
            "id",
            DataType::Int64,
            vec![8, 0x80],
            "column id, at byte 1: not a number of variable length",
        ),
        (
            "id",
            DataType::Int64,
            [&[8][..], &[0xff; 10], &[1]].concat(),
            "column id, at byte 1: not a number of variable length",
        ),
        (
            "id",
            DataType::Int64,
            vec![0],
            "at byte 1: a field of another type on the wire",
        ),
        ("note", DataType::Utf8, vec![], "null"),
        ("note", DataType::Utf8, counted(2, "é".as_bytes()), "\"é\""),
        (
            "note",
            DataType::Utf8,
            counted(2, b"\xff"),
            "column note, at byte 1: not UTF-8",
        ),
        (
            "note",
            DataType::Utf8,
            counted(2, b"a\0"),
            "column note, at byte 1: text with the character U+0000",
        ),
        (
            "note",
            DataType::Utf8,
            vec![0x12, 5, b'a'],
            "column note, at byte 2: the record ends within a value",
        ),
        ("note", DataType::Int32, counted(2, b"12"), "12"),
        ("numbers", list(DataType::Int32), vec![], "[]"),
        (
            "numbers",
            list(DataType::Int64),
            [
                number(3, 1),
                counted(3, zigzags),
                number(1, 1),
                number(3, 4),
            ]
            .concat(),
            "[-1,0,-1,1,-2147483648,2]",
        ),
        ("line", line(), vec![], "null"),
        (
            "line",
            line(),
            counted(4, &a_line),
            "{\"count\":3,\"name\":\"x\"}",
        ),
        (
            "line",
            line(),
            counted(4, b""),
            "{\"count\":null,\"name\":\"\"}",
        ),
        (
            "line",
            line(),
            counted(4, &[a_line.clone(), part].concat()),
            "{\"count\":3,\"name\":\"x\"}",
        ),
        (
            "line",
            line(),
            counted(4, &[0x0a, 9]),
            "column line, at byte 4: the record ends within a value",
        ),
        (
            "lines",
            list(line()),
            [counted(5, &a_line), counted(5, b"")].concat(),
            "[{\"count\":3,\"name\":\"x\"},{\"count\":null,\"name\":\"\"}]",
        ),
        ("state", DataType::Utf8, vec![], "\"NEW\""),
        ("state", DataType::Utf8, number(6, 1), "\"SENT\""),
        ("state", DataType::Utf8, number(6, 9), "\"9\""),
        ("state", DataType::Int32, number(6, 9), "9"),
        ("color", DataType::Utf8, number(7, u64::MAX), "\"DARK\""),
        (
            "at",
            utc.clone(),
            counted(9, &time),
            "\"1970-01-01T00:00:05.000001Z\"",
        ),
        ("at", utc.clone(), vec![], "null"),
        ("yes", DataType::Boolean, number(10, 1), "true"),
        ("yes", DataType::Boolean, vec![], "null"),
        (
            "raw",
            DataType::Binary,
            counted(11, b"\x01\x02"),
            "\"AQI=\"",
        ),
        (
            "big",
            DataType::Int64,
            number(12, u64::MAX),
            "column big, at byte 1: out of the range of bigint",
        ),
        (
            "big",
            DataType::Decimal128(20, 0),
            number(12, u64::MAX),
            "18446744073709551615",
        ),
        (
            "real",
            DataType::Float64,
            [&[13 << 3 | 1][..], &1.5f64.to_le_bytes()].concat(),
            "1.5",
        ),
        (
            "four",
            DataType::Int64,
            [&[0xb5, 0x04][..], &[0xff; 4]].concat(),
            "4294967295",
        ),
        (
            "wrapped",
            DataType::Int64,
            number(14, 1),
            "column wrapped, at byte 1: a field of another type on the wire",
        ),
        ("wrapped", DataType::Int64, counted(14, b""), "0"),
        ("wrapped", DataType::Int64, counted(14, &number(1, 5)), "5"),
        (
            "millis",
            utc,
            number(15, 1500),
            "\"1970-01-01T00:00:01.500000Z\"",
        ),
    ];
    for (name, data_type, value, expected) in cases {
        let shown = through(&format(&[]), &[(name, data_type)], &value);
        let prefix = format!("{{\"{name}\":");
        let value = shown
            .strip_prefix(&prefix)
            .and_then(|rest| rest.strip_suffix('}'));
        assert_eq!(value.unwrap_or(&shown), expected, "{name}");
    }
}

#[test]
fn maps_are_lists_of_entries() {
    let entry = DataType::Struct(
        vec![
            Field::new("key", DataType::Utf8, true),
            Field::new("value", line(), true),
        ]
        .into(),
    );
    let value = counted(8, &[counted(1, b"k"), counted(2, &number(2, 1))].concat());
    let shown = through(&format(&[]), &[("by_name", list(entry))], &value);
    assert_eq!(
        shown,
        "{\"by_name\":[{\"key\":\"k\",\"value\":{\"count\":1,\"name\":\"\"}}]}"
    );
}

#[test]
fn paths_lead_into_messages() {
    let columns = [
        ("a", DataType::Int32),
        ("b", DataType::Utf8),
        ("c", list(line())),
        ("d", line()),
    ];
    let format = format(&[
        &["line", "count"],
        &["line", "name"],
        &["line", "parts"],
        &["line"],
    ]);
    let x = counted(1, b"x");
    let parts = counted(3, &x);
    let cases = [
        (vec![], "{\"a\":null,\"b\":null,\"c\":null,\"d\":null}"),
        (
            counted(4, b""),
            "{\"a\":null,\"b\":\"\",\"c\":[],\"d\":{\"count\":null,\"name\":\"\"}}",
        ),
        (
            // Merged along the paths: the second one says nothing of the name.
            [
                counted(4, &[x, parts.clone()].concat()),
                counted(4, &[number(2, 7), parts].concat()),
            ]
            .concat(),
            "{\"a\":7,\"b\":\"x\",\"c\":[{\"count\":null,\"name\":\"x\"},{\"count\":null,\"name\":\"x\"}],\
             \"d\":{\"count\":7,\"name\":\"\"}}",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(through(&format, &columns, &value), expected);
    }
}

#[test]
fn unknown_fields_are_passed_over() {
    let id = number(1, 9);
    let group = |inner: &[u8]| [&[0xf3, 0x07][..], inner, &[0xf4, 0x07]].concat();
    let cases = [
        (
            [counted(99, b"?"), id.clone(), number(98, 1)].concat(),
            "{\"id\":9}",
        ),
        (
            [group(&group(&counted(1, b"?"))), id.clone()].concat(),
            "{\"id\":9}",
        ),
        (
            vec![0xf3, 0x07],
            "at byte 2: not a number of variable length",
        ),
        (
            [[0xf3, 0x07].repeat(40), id].concat(),
            "at byte 66: nested too deep",
        ),
        (
            vec![0xf4, 0x07],
            "at byte 2: a field of another type on the wire",
        ),
        (
            vec![0x0f],
            "column id, at byte 1: a field of another type on the wire",
        ),
    ];
    for (value, expected) in cases {
        assert_eq!(
            through(&format(&[]), &[("id", DataType::Int64)], &value),
            expected
        );
    }
}

#[test]
fn frames_name_the_message() {
    let framed = |message: &str| Format::Protobuf {
        schema: TEXT.into(),
        message: message.to_owned(),
        paths: vec![vec!["count".to_owned()]],
        framing: Framing::Confluent,
    };
    let schema = Arc::new(Schema::new(vec![Field::new(
        "count",
        DataType::Int32,
        true,
    )]));
    let mut decoder = Decoder::new(&framed("shop.v1.Order.Line"), &schema, &[0]).expect("a format");
    let mut push = |value: &[u8]| {
        let pushed = decoder.push(RecordView {
            key: None,
            value: Some(value),
            timestamp_ms: 0,
            partition: 0,
            offset: 0,
        });
        pushed.map_err(|malformed| malformed.to_string())
    };
    // Message 1 of the file, and within that message 0.
    assert_eq!(push(&[0, 0, 0, 0, 7, 4, 2, 0, 0x10, 3]), Ok(()));
    let other = Err("at byte 8: a message of another type".to_owned());
    assert_eq!(push(&[0, 0, 0, 0, 7, 4, 2, 2, 0x10, 3]), other);
    let unframed = Err("at byte 0: not framed with a schema's number".to_owned());
    assert_eq!(push(&[0x10, 3]), unframed);
    assert_eq!(push(&[1, 0, 0, 0, 7, 0]), unframed);
    let other = Err("at byte 6: a message of another type".to_owned());
    assert_eq!(push(&[0, 0, 0, 0, 7, 0]), other);
}

#[test]
fn schemas_that_cannot_be_used_are_refused() {
    let make = |schema: &str, message: &str, name: &str, kind: DataType| {
        let format = Format::Protobuf {
            schema: schema.into(),
            message: message.to_owned(),
            paths: Vec::new(),
            framing: Framing::None,
        };
        let schema = Arc::new(Schema::new(vec![Field::new(name, kind, true)]));
        Decoder::new(&format, &schema, &[0])
            .err()
            .map(|error| error.to_string())
    };
    let cases = [
        (TEXT, "Order", "id", DataType::Int64, None),
        (
            TEXT,
            "Nothing",
            "id",
            DataType::Int64,
            Some("the schema has no message Nothing, or several"),
        ),
        (
            TEXT,
            "Order",
            "gone",
            DataType::Int64,
            Some("column gone: shop.v1.Order has no such field"),
        ),
        (
            TEXT,
            "Order",
            "id",
            DataType::Utf8,
            Some("column id: the field cannot become Utf8"),
        ),
        (
            TEXT,
            "Order",
            "numbers",
            DataType::Int32,
            Some("column numbers: the field cannot become Int32"),
        ),
        (
            "message A { B b = 1;\n}",
            "A",
            "b",
            DataType::Int32,
            Some("line 1 of the schema: there is no type B"),
        ),
        (
            "message A {\n int32 b = 0; }",
            "A",
            "b",
            DataType::Int32,
            Some("line 2 of the schema: a field's number is expected"),
        ),
        (
            "message A {",
            "A",
            "b",
            DataType::Int32,
            Some("line 1 of the schema: a field is expected"),
        ),
        (
            "\nmessage A { group B = 1 {} }",
            "A",
            "b",
            DataType::Int32,
            Some("line 2 of the schema: a field that is no group is expected"),
        ),
        (
            "/* ",
            "A",
            "b",
            DataType::Int32,
            Some("line 1 of the schema: the end of a comment is expected"),
        ),
        (
            "hello",
            "A",
            "b",
            DataType::Int32,
            Some("line 1 of the schema: a declaration is expected"),
        ),
    ];
    for (schema, message, name, kind, expected) in cases {
        assert_eq!(make(schema, message, name, kind).as_deref(), expected);
    }
    let twice = "message A { int32 a = 1; int32 a = 2; }";
    assert!(make(twice, "A", "a", DataType::Int32).is_some());
    let deep = "message A {".repeat(40);
    assert_eq!(
        make(&deep, "A", "a", DataType::Int32).as_deref(),
        Some("line 1 of the schema: less nesting is expected")
    );
}

#[test]
fn columns_follow_from_the_schema() {
    let recursive = implied_schema(&TEXT.into(), "Order").map_err(|error| error.to_string());
    assert_eq!(
        recursive,
        Err(
            "shop.v1.Order.Line has no end or is too large: name the columns that are wanted"
                .to_owned()
        )
    );
    let text = "syntax = \"proto3\"; message A { int32 a = 1; repeated B b = 2; message B { bytes c = 1; } }";
    let schema = implied_schema(&text.into(), "A").expect("a flat one");
    let inner = DataType::Struct(vec![Field::new("c", DataType::Binary, true)].into());
    assert_eq!(*schema.field(0), Field::new("a", DataType::Int32, true));
    assert_eq!(*schema.field(1), Field::new("b", list(inner), true));
}

/// What is written of rows is read as the same rows.
#[test]
fn what_is_written_is_read_again() {
    let text = "syntax = \"proto3\"; message A { optional int64 a = 1; optional string b = 2; repeated sint32 c = 3; B d = 4;
        optional double e = 5; optional bytes f = 6; google.protobuf.Timestamp g = 7; optional bool h = 8;
        optional sfixed32 i = 9; optional string j = 10; message B { optional int32 x = 1; repeated B y = 2; } }";
    let utc = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    let y = DataType::Struct(vec![Field::new("x", DataType::Int32, true)].into());
    let d = vec![
        Field::new("x", DataType::Int32, true),
        Field::new("y", list(y), true),
    ];
    let types = [
        DataType::Int64,
        DataType::Utf8,
        list(DataType::Int32),
        DataType::Struct(d.into()),
        DataType::Float64,
        DataType::Binary,
        utc,
        DataType::Boolean,
        DataType::Date32,
        DataType::Decimal128(10, 3),
    ];
    let fields = types
        .into_iter()
        .zip('a'..)
        .map(|(kind, name)| Field::new(name.to_string(), kind, true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let all: Vec<usize> = (0..10).collect();
    let rows = [
        "{\"a\":-5,\"b\":\"\",\"c\":[],\"d\":{\"x\":1,\"y\":[{\"x\":2},{\"x\":null}]},\"e\":-0.0,\"f\":\"AQ==\",\
          \"g\":\"1969-12-31T23:59:59.999999Z\",\"h\":false,\"i\":\"1969-12-31\",\"j\":-0.001}",
        "{\"a\":null,\"b\":null,\"c\":[-1,0,2147483647],\"d\":null,\"e\":null,\"f\":null,\"g\":null,\"h\":null,\
          \"i\":null,\"j\":null}",
    ];
    let json = Format::Json { paths: Vec::new() };
    let proto = Format::Protobuf {
        schema: text.into(),
        message: "A".to_owned(),
        paths: Vec::new(),
        framing: Framing::None,
    };
    for row in rows {
        let mut record = row.as_bytes().to_vec();
        for [from, to] in [[&json, &proto], [&proto, &json]] {
            let mut decoder = Decoder::new(from, &schema, &all).expect("a format for these");
            let encoder = Encoder::new(to, &schema, &all).expect("a format for these");
            let view = RecordView {
                key: None,
                value: Some(&record),
                timestamp_ms: 0,
                partition: 0,
                offset: 0,
            };
            assert_eq!(decoder.push(view), Ok(()));
            let rows = decoder.finish();
            record.clear();
            encoder.encode(&rows, 0, &mut record);
        }
        assert_eq!(String::from_utf8_lossy(&record), row);
    }
}

/// However many bytes stand behind them, and none of those is taken.
#[test]
fn numbers_of_any_length_are_read() {
    for bits in 0..64 {
        for value in [1 << bits, (1 << bits) - 1, u64::MAX >> bits] {
            let mut text = Vec::new();
            write_varint(value, &mut text);
            let count = text.len();
            assert_eq!(framing::varint(&text[..count - 1], &mut 0), None);
            for behind in 0..10 {
                text.resize(count + behind, 0xff);
                let mut at = 0;
                assert_eq!(framing::varint(&text, &mut at), Some(value));
                assert_eq!(at, count);
            }
        }
    }
    assert_eq!(framing::varint(&[0xff; 20], &mut 0), None);
}

/// Fields come in any order, more than once and with other wire types, whether they have a step of their own or not.
#[test]
fn the_last_of_several_counts() {
    let text =
        "syntax = \"proto3\"; message A { int64 a = 1; string b = 2; int64 c = 3; int64 d = 400; }";
    let utc = DataType::Timestamp(arrow_schema::TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("c", utc),
        ("d", DataType::Int64),
    ];
    let (format, schema) = message_of(text, fields);
    let mut decoder = Decoder::new(&format, &schema, &[0, 1, 2, 3]).expect("a format for these");
    let encoder = Encoder::new(&Format::Json { paths: Vec::new() }, &schema, &[0, 1, 2, 3]);
    let encoder = encoder.expect("a format for these");
    let number = |number: u64, value: i64| {
        let mut out = Vec::new();
        write_varint(number << 3, &mut out);
        write_varint(value.cast_unsigned(), &mut out);
        out
    };
    let mut push = |parts: &[Vec<u8>]| {
        let record = parts.concat();
        decoder.push(RecordView {
            key: None,
            value: Some(&record),
            timestamp_ms: 0,
            partition: 0,
            offset: 0,
        })
    };
    let sound = [
        vec![
            number(3, 7),
            counted(2, b"x"),
            number(1, -5),
            number(400, 9),
        ],
        vec![
            number(1, 1),
            number(400, 1),
            counted(2, b"first"),
            number(3, 1),
        ]
        .into_iter()
        .chain([
            counted(2, b"last"),
            number(1, 2),
            number(3, -1),
            number(400, 2),
            number(5, 6),
        ])
        .collect(),
        Vec::new(),
    ];
    for parts in &sound {
        assert_eq!(push(parts), Ok(()));
    }
    for wrong in [
        counted(1, b"1"),
        number(2, 1),
        counted(2, b"\0"),
        counted(2, b"\xff"),
        number(3, i64::MAX),
        number(0, 1),
        vec![1 << 3],
        vec![2 << 3 | 2, 5, b'x'],
    ] {
        assert!(push(&[number(1, 3), wrong.clone()]).is_err(), "{wrong:?}");
    }
    let rows = decoder.finish();
    let mut written = Vec::new();
    for row in 0..rows.num_rows() {
        encoder.encode(&rows, row, &mut written);
        written.push(b'\n');
    }
    let expected = "{\"a\":-5,\"b\":\"x\",\"c\":\"1970-01-01T00:00:00.007000Z\",\"d\":9}\n\
                    {\"a\":2,\"b\":\"last\",\"c\":\"1969-12-31T23:59:59.999000Z\",\"d\":2}\n\
                    {\"a\":0,\"b\":\"\",\"c\":\"1970-01-01T00:00:00.000000Z\",\"d\":0}\n";
    assert_eq!(String::from_utf8_lossy(&written), expected);
}
