//! Records of sources: each format into rows, those into JSON, and back.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use streams::format::{Decoder, Encoder, Format, Framing, RecordView};

const PROTO: &str = r#"
    syntax = "proto3";
    enum State { NEW = 0; SENT = 7; }
    message Part { string name = 1; optional int32 count = 2; repeated Part parts = 3; }
    message Order {
        int64 id = 1;
        optional string note = 2;
        repeated sint32 numbers = 3;
        Part part = 4;
        repeated Part parts = 5;
        State state = 6;
        map<string, double> labels = 7;
        google.protobuf.Timestamp at = 8;
        bytes raw = 100;
    }
"#;

const AVRO: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "long"},
    {"name": "note", "type": ["null", "string"]},
    {"name": "numbers", "type": {"type": "array", "items": "int"}},
    {"name": "part", "type": ["null", {"type": "record", "name": "Part", "fields": [
        {"name": "name", "type": "string"}, {"name": "count", "type": ["null", "int"]}]}]},
    {"name": "parts", "type": {"type": "array", "items": "Part"}},
    {"name": "state", "type": {"type": "enum", "name": "State", "symbols": ["NEW", "SENT"]}},
    {"name": "labels", "type": {"type": "map", "values": "double"}},
    {"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}},
    {"name": "raw", "type": "bytes"},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 3}}
]}"#;

/// Schemas are parsed anew for each input; rows of small elements are larger than their records, and written as JSON
/// larger still.
pub fn rows_bytes_max(input_bytes: usize) -> usize {
    (1 << 20) + 256 * input_bytes
}

/// Types and names of a schema's text.
pub fn schema_bytes_max(input_bytes: usize) -> usize {
    (1 << 20) + 512 * input_bytes
}

fn list(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new_list_field(element, true)))
}

fn schema(columns: &[(&str, DataType)]) -> SchemaRef {
    let fields = columns.iter();
    let fields = fields.map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn structure(columns: &[(&str, DataType)]) -> DataType {
    DataType::Struct(schema(columns).fields().clone())
}

fn scalars() -> Vec<(&'static str, DataType)> {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("c", DataType::Float64),
        ("d", DataType::Decimal128(20, 3)),
        ("e", utc),
        ("f", DataType::Date32),
        ("g", DataType::Boolean),
        ("h", DataType::Binary),
        ("i", DataType::Int16),
        ("j", DataType::Time64(TimeUnit::Microsecond)),
        ("k", DataType::Float32),
    ]
}

/// The schemas' columns that are read of orders.
fn order(has_price: bool) -> SchemaRef {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let part = structure(&[("name", DataType::Utf8), ("count", DataType::Int32)]);
    let label = structure(&[("key", DataType::Utf8), ("value", DataType::Float64)]);
    let mut columns = vec![
        ("id", DataType::Int64),
        ("note", DataType::Utf8),
        ("numbers", list(DataType::Int32)),
        ("part", part.clone()),
        ("parts", list(part)),
        ("state", DataType::Utf8),
        ("labels", list(label)),
        ("at", utc),
        ("raw", DataType::Binary),
    ];
    if has_price {
        columns.push(("price", DataType::Decimal128(20, 3)));
    }
    schema(&columns)
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

fn json() -> Format {
    Format::Json { paths: Vec::new() }
}

/// What the row of a record looks like as JSON, twice in one chunk.
fn row(format: &Format, schema: &SchemaRef, input: &[u8]) -> Option<Vec<u8>> {
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let mut decoder = Decoder::new(format, schema, &all).expect("columns that the format has");
    let pushed = decoder.push(view(input));
    assert_eq!(
        decoder.push(view(input)),
        pushed,
        "records do not depend on those before"
    );
    let rows = decoder.finish();
    assert_eq!(rows.num_rows(), if pushed.is_ok() { 2 } else { 0 });
    pushed.ok()?;
    let encoder = Encoder::new(&json(), schema, &all).expect("columns of any type");
    let written = [0, 1].map(|row| {
        let mut out = Vec::new();
        encoder.encode(&rows, row, &mut out);
        out
    });
    assert_eq!(written[0], written[1]);
    let [written, _] = written;
    Some(written)
}

/// A record becomes a row or none; the row, written as JSON, becomes the same row.
fn round(format: &Format, schema: &SchemaRef, input: &[u8]) {
    if let Some(written) = row(format, schema, input) {
        let again = row(&json(), schema, &written);
        assert_eq!(
            again.as_ref(),
            Some(&written),
            "{}",
            String::from_utf8_lossy(&written)
        );
    }
}

pub fn json_seeds() -> Vec<Vec<u8>> {
    let seeds = [
        r#"{"a":1,"b":"x\u00e9\ud83d\ude00","c":1.5e-3,"d":"12.345","e":"2026-11-22T01:02:03.456+01:00"}"#,
        r#"{ "f" : "2026-11-22", "g":true, "h":"AQI=", "i":-7, "l":[1,null], "m":{"x":[{"y":"z"}]}, "o":{"p":[0,7]}}"#,
        r#"{"e":1436918400000,"f":16631,"h":"\\x0aff","c":"NaN","b":{"deep":[[[]]]},"a":"9223372036854775807"}"#,
        r#"{"a":1,"a":2,"o":{"p":[]},"o":null,"k":1e38,"j":"23:59:59.999999","q":[true,false,null,-0.0,"\n\t\/"]}"#,
    ];
    seeds.map(|seed| seed.as_bytes().to_vec()).to_vec()
}

pub fn json_records(input: &[u8]) {
    let mut columns = scalars();
    columns.push(("l", list(DataType::Int64)));
    let inner = structure(&[("y", DataType::Utf8)]);
    columns.push(("m", structure(&[("x", list(inner))])));
    round(&json(), &schema(&columns), input);
    // Another parser has the same opinion of what a record is, and of where things are; but no numbers beyond doubles.
    let metadata = [("postgres.type".to_owned(), "jsonb".to_owned())].into();
    let field = Field::new("v", DataType::Utf8, true).with_metadata(metadata);
    let columns = Arc::new(Schema::new(vec![field]));
    let path = ["o", "p", "1"].map(str::to_owned).to_vec();
    let format = Format::Json { paths: vec![path] };
    let read = row(&format, &columns, input);
    let expected = serde_json::from_slice::<serde_json::Value>(input);
    if expected
        .as_ref()
        .is_err_and(|error| error.to_string().starts_with("number out of range"))
    {
        return;
    }
    let expected = expected.ok().filter(serde_json::Value::is_object);
    assert_eq!(read.is_some(), expected.is_some());
    if let (Some(read), Some(expected)) = (read, expected) {
        let read: serde_json::Value = serde_json::from_slice(&read).expect("JSON");
        let found = match &expected["o"]["p"] {
            serde_json::Value::Array(elements) => elements.get(1),
            within => within.get("1"),
        };
        assert_eq!(&read["v"], found.unwrap_or(&serde_json::Value::Null));
    }
}

pub fn csv_seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "1,\"a \"\"b\"\"\n\",1.5,12.345,2026-11-22T01:02:03Z,2026-11-22,t,AQI=,-7,01:02:03,0.5\r\n",
        ",,,,,,,,,,",
        "1,\"\",NaN,-0.001,2026-11-22 01:02:03.456+05:30,+12345-01-01,off,\\x00,0,00:00,-Infinity",
    ];
    seeds.map(|seed| seed.as_bytes().to_vec()).to_vec()
}

pub fn csv_records(input: &[u8]) {
    let columns = schema(&scalars());
    round(&Format::Csv { delimiter: b',' }, &columns, input);
}

pub fn protobuf_seeds() -> Vec<Vec<u8>> {
    let part = [0x0a, 1, b'x', 0x10, 3, 0x1a, 2, 0x10, 1];
    let all = [
        &[
            0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1a, 3, 1, 2, 3, 0x18, 8,
        ][..],
        &[0x22, part.len() as u8],
        &part,
        &[0x2a, part.len() as u8],
        &part,
        &[
            0x30, 7, 0x3a, 12, 0x0a, 1, b'k', 0x11, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f,
        ],
        &[0x42, 4, 0x08, 5, 0x10, 9, 0xa2, 0x06, 2, 0xff, 0],
    ];
    vec![
        all.concat(),
        all[..3].concat(),
        vec![0xfb, 0x07, 0x08, 1, 0xfc, 0x07, 0x08, 2],
    ]
}

pub fn protobuf_records(input: &[u8]) {
    let format = Format::Protobuf {
        schema: PROTO.into(),
        message: "Order".to_owned(),
        paths: Vec::new(),
        framing: Framing::None,
    };
    round(&format, &order(false), input);
}

pub fn avro_seeds() -> Vec<Vec<u8>> {
    let all = [
        &[0xac, 0x02, 2, 4, b'h', b'i', 4, 1, 2, 0][..],
        &[2, 2, b'x', 2, 6, 2, 2, b'y', 0, 0],
        &[2, 2, 2, b'k', 0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0],
        &[0xd0, 0x0f, 4, 0xff, 0, 4, 0xff, 0x85],
    ];
    vec![
        all.concat(),
        vec![0; 12],
        vec![0, 0, 0, 0, 1, 6, 2, b'a', 0, 0, 0, 0, 0, 0, 0],
    ]
}

pub fn avro_records(input: &[u8]) {
    let format = Format::Avro {
        schema: AVRO.into(),
        paths: Vec::new(),
        framing: Framing::None,
    };
    round(&format, &order(true), input);
}

pub fn schema_seeds() -> Vec<Vec<u8>> {
    [PROTO, AVRO].map(|text| text.as_bytes().to_vec()).to_vec()
}

/// The same text as either kind of schema.
pub fn schemas(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    let formats = [
        Format::Protobuf {
            schema: text.into(),
            message: "Order".to_owned(),
            paths: Vec::new(),
            framing: Framing::None,
        },
        Format::Avro {
            schema: text.into(),
            paths: Vec::new(),
            framing: Framing::None,
        },
    ];
    for format in formats {
        if let Ok(Some(schema)) = format.implied_schema() {
            let all: Vec<usize> = (0..schema.fields().len()).collect();
            let mut decoder = Decoder::new(&format, &schema, &all).expect("its own columns");
            drop(decoder.push(view(input)));
        }
    }
}
