//! Avro records and the rows they hold.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

use super::*;
use crate::format::{Decoder, Encoder, Format, RecordView, WriterSchemas};

const TEXT: &str = r#"{
  "type": "record", "name": "Order", "namespace": "shop.v1", "doc": "?",
  "fields": [
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"], "default": null},
    {"name": "lines", "type": {"type": "array", "items":
      {"type": "record", "name": "Line", "fields": [
        {"name": "name", "type": "string"}, {"name": "count", "type": ["int", "null"]},
        {"name": "parts", "type": {"type": "array", "items": "Line"}}]}}},
    {"name": "line", "type": ["null", "shop.v1.Line"]},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}},
    {"name": "labels", "type": {"type": "map", "values": "double"}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
    {"name": "hash", "type": {"type": "fixed", "name": "Hash", "size": 2}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    {"name": "time", "type": {"type": "int", "logicalType": "time-millis"}},
    {"name": "yes", "type": "boolean"}, {"name": "f", "type": "float"}, {"name": "state2", "type": "State"}
  ]
}"#;

fn text(text: &str) -> Vec<u8> {
    [&[text.len() as u8 * 2][..], text.as_bytes()].concat()
}

/// Each field's bytes.
fn order() -> Vec<Vec<u8>> {
    let line = |name: &str, rest: &[u8]| [&text(name)[..], rest].concat();
    vec![
        vec![0xac, 0x02],
        [&[2][..], &text("é")].concat(),
        // A block of one, with its size, and one more.
        [
            &[1, 10][..],
            &line("x", &[0, 6, 0]),
            &[2],
            &line("y", &[2, 0]),
            &[0],
        ]
        .concat(),
        [&[2][..], &line("z", &[2, 2]), &line("part", &[2, 0]), &[0]].concat(),
        vec![2],
        [&[2][..], &text("k"), &1.5f64.to_le_bytes(), &[0]].concat(),
        vec![4, 0xff, 0x85],
        vec![1, 2],
        vec![0xd0, 0x0f],
        vec![1],
        vec![4],
        vec![1],
        0.5f32.to_le_bytes().to_vec(),
        vec![0],
    ]
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

fn columns(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns
        .iter()
        .map(|(name, kind)| Field::new(*name, kind.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn line() -> DataType {
    let fields = [("name", DataType::Utf8), ("count", DataType::Int32)];
    DataType::Struct(columns(&fields).fields().clone())
}

fn format(schema: &str, paths: &[&[&str]], framing: Framing) -> Format {
    let path = |path: &&[&str]| path.iter().map(|name| (*name).to_owned()).collect();
    Format::Avro {
        schema: schema.into(),
        paths: paths.iter().map(path).collect(),
        framing,
    }
}

fn view(value: &[u8]) -> RecordView<'_> {
    RecordView {
        key: None,
        value: Some(value),
        timestamp_ms: 0,
        partition: 0,
        offset: 0,
    }
}

fn through(format: &Format, schema: &SchemaRef, value: &[u8]) -> String {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let mut decoder = Decoder::new(format, schema, &all).expect("a format for these");
    let pushed = decoder.push(view(value));
    let rows = decoder.finish();
    if let Err(malformed) = pushed {
        assert_eq!(rows.num_rows(), 0);
        return malformed.to_string();
    }
    let json = Format::Json { paths: Vec::new() };
    let encoder = Encoder::new(&json, schema, &all).expect("columns of any type");
    let mut line = Vec::new();
    encoder.encode(&rows, 0, &mut line);
    String::from_utf8(line).expect("UTF-8")
}

#[test]
fn fields_become_columns() {
    let entry = [("key", DataType::Utf8), ("value", DataType::Float64)];
    let entry = DataType::Struct(columns(&entry).fields().clone());
    let cases = [
        ("id", DataType::Int64, "150"),
        ("id", DataType::Int16, "150"),
        ("id", DataType::Decimal128(5, 1), "150.0"),
        ("note", DataType::Utf8, "\"é\""),
        (
            "lines",
            list(line()),
            "[{\"name\":\"x\",\"count\":3},{\"name\":\"y\",\"count\":null}]",
        ),
        ("line", line(), "{\"name\":\"z\",\"count\":null}"),
        ("state", DataType::Utf8, "\"SENT\""),
        ("labels", list(entry), "[{\"key\":\"k\",\"value\":1.5}]"),
        ("price", DataType::Decimal128(9, 2), "-1.23"),
        ("price", DataType::Decimal128(9, 1), "-1.2"),
        ("hash", DataType::Binary, "\"AQI=\""),
        (
            "at",
            DataType::Timestamp(TimeUnit::Microsecond, None),
            "\"1970-01-01T00:00:01.000000\"",
        ),
        ("day", DataType::Date32, "\"1969-12-31\""),
        (
            "time",
            DataType::Time64(TimeUnit::Microsecond),
            "\"00:00:00.002000\"",
        ),
        ("yes", DataType::Boolean, "true"),
        ("f", DataType::Float64, "0.5"),
        ("state2", DataType::Utf8, "\"NEW\""),
    ];
    let format = format(TEXT, &[], Framing::None);
    for (name, data_type, expected) in cases {
        let shown = through(&format, &columns(&[(name, data_type)]), &order().concat());
        assert_eq!(shown, format!("{{\"{name}\":{expected}}}"));
    }
}

#[test]
fn paths_lead_into_records() {
    let paths: [&[&str]; 4] = [&["line", "name"], &["line"], &["id"], &["line", "name"]];
    let schema = columns(&[
        ("a", DataType::Utf8),
        ("b", line()),
        ("c", DataType::Int64),
        ("d", DataType::Utf8),
    ]);
    let format = format(TEXT, &paths, Framing::None);
    let shown = through(&format, &schema, &order().concat());
    assert_eq!(
        shown,
        "{\"a\":\"z\",\"b\":{\"name\":\"z\",\"count\":null},\"c\":150,\"d\":\"z\"}"
    );
    let mut without = order();
    without[3] = vec![0];
    let shown = through(&format, &schema, &without.concat());
    assert_eq!(shown, "{\"a\":null,\"b\":null,\"c\":150,\"d\":null}");
}

#[test]
fn damage_is_noticed() {
    let format = format(TEXT, &[], Framing::None);
    let schema = columns(&[
        ("id", DataType::Int64),
        ("lines", list(line())),
        ("state2", DataType::Utf8),
    ]);
    let whole = order().concat();
    for end in 0..whole.len() {
        let shown = through(&format, &schema, &whole[..end]);
        assert!(shown.contains("at byte"), "{end}: {shown}");
    }
    let trailing = [&whole[..], &[0]].concat();
    assert!(through(&format, &schema, &trailing).ends_with("something follows the record"));
    // What is wrong, and how far behind the field's begin.
    let cases: [(usize, &[u8], usize, &str); 7] = [
        (13, &[4], 1, "no such branch or symbol"),
        (1, &[4], 1, "no such branch or symbol"),
        (11, &[2], 1, "not a value of type boolean"),
        (1, &[2, 1], 2, "the record ends within a value"),
        (5, &[2, 0x7f], 2, "the record ends within a value"),
        (0, &[0xff; 11], 0, "not a number of variable length"),
        (2, &[4, 2, 0xff, 0, 0, 0], 1, "not UTF-8"),
    ];
    for (field, bytes, behind, reason) in cases {
        let mut damaged = order();
        damaged[field] = bytes.to_vec();
        let at = damaged[..field].concat().len() + behind;
        let shown = through(&format, &schema, &damaged.concat());
        assert!(
            shown.ends_with(&format!("at byte {at}: {reason}")),
            "{shown}: {at}, {reason}"
        );
    }
    let mut late = order();
    late[10] = vec![0x80, 0xf0, 0xb2, 0x52];
    let shown = through(
        &format,
        &columns(&[("time", DataType::Time64(TimeUnit::Microsecond))]),
        &late.concat(),
    );
    assert!(shown.ends_with("out of the range of time"), "{shown}");
    let deep = [[2, 0, 2].repeat(200), vec![0; 200]].concat();
    let mut nested = order();
    nested[2] = deep;
    assert!(
        through(
            &format,
            &columns(&[("id", DataType::Int64)]),
            &nested.concat()
        )
        .ends_with("nested too deep")
    );
}

#[test]
fn elements_without_bytes_are_refused() {
    let text = r#"{"type": "record", "name": "R", "fields": [{"name": "n", "type": {"type": "array", "items": "null"}},
        {"name": "i", "type": "int"}]}"#;
    let record = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f, 0, 2];
    let shown = through(
        &format(text, &[], Framing::None),
        &columns(&[("i", DataType::Int32)]),
        &record,
    );
    assert_eq!(shown, "at byte 9: an element that takes no bytes");
    let shown = through(
        &format(text, &[], Framing::None),
        &columns(&[("i", DataType::Int32)]),
        &[0, 2],
    );
    assert_eq!(shown, "{\"i\":1}");
}

#[test]
fn frames_name_the_schema() {
    let own = r#"{"type": "record", "name": "R", "fields": [
        {"name": "a", "aliases": ["was_a"], "type": "int"},
        {"name": "b", "type": ["null", "int"]},
        {"name": "d", "type": "string", "default": "none"},
        {"name": "e", "type": {"type": "record", "name": "E", "fields": [
            {"name": "f", "type": "int", "default": 7},
            {"name": "g", "type": "int"}
        ]}, "default": {"g": 8}}
    ]}"#;
    let newer = r#"{"type": "record", "name": "R", "fields": [{"name": "c", "type": "string"}, {"name": "was_a", "type": "int"}]}"#;
    let other = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "boolean"}]}"#;
    let schema = columns(&[
        ("a", DataType::Int32),
        ("b", DataType::Int32),
        ("d", DataType::Utf8),
        ("f", DataType::Int32),
        ("g", DataType::Int32),
    ]);
    let paths = [&["a"][..], &["b"], &["d"], &["e", "f"], &["e", "g"]];
    let all: Vec<usize> = (0..paths.len()).collect();
    let confluent = format(own, &paths, Framing::Confluent);
    let mut decoder = Decoder::new(&confluent, &schema, &all).expect("a format for these");
    let whole = &[0, 0, 0, 0, 9, 2, 2, 4, 2, b'x', 2, 4];
    assert_eq!(decoder.push(view(whole)), Ok(()));
    let format = format(own, &paths, Framing::Registry);
    let mut decoder = Decoder::new(&format, &schema, &all).expect("a format for these");
    let writers = WriterSchemas::default();
    let push = |decoder: &mut Decoder, value: &[u8]| {
        decoder
            .push(view(value))
            .map_err(|malformed| malformed.to_string())
    };
    let unknown = Err("at byte 0: written with schema 7, which is not known".to_owned());
    assert_eq!(push(&mut decoder, &[0, 0, 0, 0, 7, 2, 4]), unknown);
    decoder.know_writers(writers.known());
    assert_eq!(push(&mut decoder, &[0, 0, 0, 0, 7, 2, 4]), unknown);
    writers.add(7, Arc::new(own.into()));
    decoder.know_writers(writers.known());
    let whole = &[0, 0, 0, 0, 7, 2, 2, 4, 2, b'x', 2, 4];
    assert_eq!(push(&mut decoder, whole), Ok(()));
    writers.add(8, Arc::new(newer.into()));
    decoder.know_writers(writers.known());
    assert_eq!(push(&mut decoder, &[0, 0, 0, 0, 8, 2, b'x', 6]), Ok(()));
    writers.add(9, Arc::new(other.into()));
    decoder.know_writers(writers.known());
    let other = Err("at byte 0: written with schema 9, which the columns do not fit".to_owned());
    assert_eq!(push(&mut decoder, &[0, 0, 0, 0, 9, 1]), other);
    assert_eq!(push(&mut decoder, whole), Ok(()));
    assert_eq!(
        push(&mut decoder, &[0, 0]),
        Err("at byte 0: not framed with a schema's number".to_owned())
    );
    let rows = decoder.finish();
    let shown: Vec<String> = rows
        .columns()
        .iter()
        .map(|column| format!("{column:?}").split_whitespace().collect())
        .collect();
    assert_eq!(
        shown,
        [
            "PrimitiveArray<Int32>[1,3,1,]",
            "PrimitiveArray<Int32>[2,null,2,]",
            "StringArray[\"x\",\"none\",\"x\",]",
            "PrimitiveArray<Int32>[1,7,1,]",
            "PrimitiveArray<Int32>[2,8,2,]",
        ]
    );
}

#[test]
fn schemas_that_cannot_be_used_are_refused() {
    let record = |kind: &str| {
        format!(
            "{{\"type\": \"record\", \"name\": \"R\", \"fields\": [{{\"name\": \"a\", \"type\": {kind}}}]}}"
        )
    };
    let error = |schema: &str, data_type: DataType| {
        let schema = Decoder::new(
            &format(schema, &[], Framing::None),
            &columns(&[("a", data_type)]),
            &[0],
        );
        schema.err().map(|error| error.to_string())
    };
    let no = Some("column a: the field cannot become Int32");
    let cases = [
        (record("\"int\""), None),
        (record("[\"null\", \"int\", \"long\"]"), None),
        (record("[\"int\", \"string\"]"), None),
        (record("[\"int\", \"boolean\"]"), no),
        (record("\"bytes\""), no),
        (
            record("\"B\""),
            Some("the schema: a type that is declared before is expected"),
        ),
        (
            record("[[\"int\"]]"),
            Some("the schema: no union right within a union is expected"),
        ),
        (
            "\"int\"".to_owned(),
            Some("column a: the schema has no such field"),
        ),
        (
            record("\"int\"}, {\"name\": \"a\", \"type\": \"int\""),
            Some("the schema: a name of its own for each field is expected"),
        ),
        ("{".to_owned(), Some("the schema: JSON is expected")),
        (
            format!("{}1{}", "[".repeat(100), "]".repeat(100)),
            Some("the schema: less nesting is expected"),
        ),
    ];
    for (schema, expected) in cases {
        assert_eq!(
            error(&schema, DataType::Int32).as_deref(),
            expected,
            "{schema}"
        );
    }
}

#[test]
fn columns_follow_from_the_schema() {
    let error = implied_schema(&TEXT.into()).map_err(|error| error.to_string());
    assert_eq!(
        error,
        Err("the record has no end or is too large: name the columns that are wanted".to_owned())
    );
    let flat = TEXT.replace("\"items\": \"Line\"", "\"items\": \"string\"");
    let schema = implied_schema(&flat.clone().into()).expect("a finite one");
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    assert!(Decoder::new(&format(&flat, &[], Framing::None), &schema, &all).is_ok());
    assert_eq!(
        *schema.field(6),
        Field::new("price", DataType::Decimal128(38, 2), true)
    );
}
