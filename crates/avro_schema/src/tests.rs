//! Resolution, defaults and refusals of Avro schemas.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{Schema, Type, unreadable};

fn parse(json: &Value) -> Schema {
    Schema::parse(&json.to_string()).expect("a schema")
}

fn record(fields: Value) -> Value {
    json!({"type": "record", "name": "shop.Order", "fields": fields})
}

#[test]
fn what_a_reader_does_not_read_is_told() {
    let id = json!({"name": "id", "type": "long"});
    let cases = [
        // Fields.
        (record(json!([id])), record(json!([])), false),
        (record(json!([])), record(json!([id])), true),
        (
            record(json!([{"name": "id", "type": "long", "default": 0}])),
            record(json!([])),
            true,
        ),
        (
            record(json!([{"name": "number", "aliases": ["id"], "type": "long"}])),
            record(json!([id])),
            true,
        ),
        // Names.
        (
            json!({"type": "fixed", "name": "a.F", "size": 2}),
            json!({"type": "fixed", "name": "b.F", "size": 2}),
            true,
        ),
        (
            json!({"type": "fixed", "name": "G", "size": 2}),
            json!({"type": "fixed", "name": "F", "size": 2}),
            false,
        ),
        (
            json!({"type": "fixed", "name": "G", "aliases": ["F"], "size": 2}),
            json!({"type": "fixed", "name": "F", "size": 2}),
            true,
        ),
        (
            json!({"type": "fixed", "name": "F", "size": 3}),
            json!({"type": "fixed", "name": "F", "size": 2}),
            false,
        ),
        // Promotions.
        (json!("long"), json!("int"), true),
        (json!("int"), json!("long"), false),
        (
            json!("double"),
            json!({"type": "int", "logicalType": "date"}),
            true,
        ),
        (json!("string"), json!("bytes"), true),
        (
            json!({"type": "bytes", "logicalType": "decimal", "precision": 4}),
            json!("string"),
            true,
        ),
        (json!("boolean"), json!("int"), false),
        // Unions.
        (json!(["null", "string"]), json!("string"), true),
        (json!("string"), json!(["null", "string"]), false),
        (json!(["null", "double"]), json!(["int", "null"]), true),
        (json!("long"), json!(["int", "long"]), true),
        // Collections.
        (
            json!({"type": "array", "items": "long"}),
            json!({"type": "array", "items": "int"}),
            true,
        ),
        (
            json!({"type": "map", "values": "int"}),
            json!({"type": "map", "values": "string"}),
            false,
        ),
        // Enums.
        (
            json!({"type": "enum", "name": "E", "symbols": ["A"]}),
            json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
            false,
        ),
        (
            json!({"type": "enum", "name": "E", "symbols": ["A"], "default": "A"}),
            json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
            true,
        ),
    ];
    for (reader, writer, reads) in cases {
        let reasons = unreadable(&parse(&reader), &parse(&writer));
        assert_eq!(
            reasons.is_empty(),
            reads,
            "{reader} of {writer}: {reasons:?}"
        );
    }
    let reader = record(json!([
        {"name": "id", "type": "int"},
        {"name": "lines", "type": {"type": "array", "items": "string"}},
    ]));
    let writer = record(json!([{"name": "id", "type": ["null", "long"]}]));
    expect![[r#"
        TYPE_MISMATCH at /id: reader type: int not compatible with writer type: null
        TYPE_MISMATCH at /id: reader type: int not compatible with writer type: long
        READER_FIELD_MISSING_DEFAULT_VALUE at /lines: the writer has no field lines"#]]
    .assert_eq(&unreadable(&parse(&reader), &parse(&writer)).join("\n"));
}

#[test]
fn types_that_hold_themselves_are_compared_once() {
    let tree = |value: &str| {
        parse(&json!({"type": "record", "name": "Tree", "fields": [
            {"name": "value", "type": value},
            {"name": "children", "type": {"type": "array", "items": "Tree"}},
        ]}))
    };
    assert_eq!(
        unreadable(&tree("long"), &tree("int")),
        Vec::<String>::new()
    );
    assert!(!unreadable(&tree("int"), &tree("long")).is_empty());
}

#[test]
fn types_of_other_schemas_are_known() {
    let address = json!({"type": "record", "name": "shop.Address", "fields": [{"name": "city", "type": "string"}]});
    let order = record(json!([{"name": "to", "type": "Address"}]));
    let (address, order) = (address.to_string(), order.to_string());
    assert!(Schema::parse(&order).is_err());
    let schema = Schema::parse_with(&[&address], &order).expect("a schema");
    let fields = schema.fields(schema.root()).expect("a record");
    assert!(matches!(schema.get(fields[0].id), Type::Record(_)));
}

#[test]
fn defaults_lie_as_writers_write_them() {
    let cases = [
        (json!("int"), json!(-1), Some(&[1][..])),
        (json!("int"), json!(1_i64 << 40), None),
        (json!("string"), json!("ab"), Some(b"\x04ab")),
        (json!("bytes"), json!("\u{ff}"), Some(b"\x02\xff")),
        (json!(["null", "int"]), Value::Null, Some(&[0])),
        (json!(["null", "int"]), json!(3), Some(&[2, 6])),
        (
            json!({"type": "array", "items": "int"}),
            json!([1]),
            Some(&[2, 2, 0]),
        ),
        (
            json!({"type": "map", "values": "int"}),
            json!({}),
            Some(&[0]),
        ),
        (
            json!({"type": "enum", "name": "E", "symbols": ["A", "B"]}),
            json!("B"),
            Some(&[2]),
        ),
        (
            json!({"type": "fixed", "name": "F", "size": 2}),
            json!("a"),
            None,
        ),
        (
            record(
                json!([{"name": "a", "type": "int"}, {"name": "b", "type": "int", "default": 2}]),
            ),
            json!({"a": 1}),
            Some(&[2, 4]),
        ),
        // One that holds itself has no end.
        (
            record(json!([{"name": "a", "type": "shop.Order", "default": {}}])),
            json!({}),
            None,
        ),
    ];
    for (schema, value, expected) in cases {
        let schema = parse(&schema);
        let found = schema.encode_default(schema.root(), &value).ok();
        assert_eq!(found.as_deref(), expected, "{value}");
    }
    assert!(
        parse(&record(
            json!([{"name": "a", "type": "int", "default": "x"}])
        ))
        .check_defaults()
        .is_err()
    );
}

#[test]
fn what_is_no_schema_is_refused() {
    for text in [
        "",
        "{",
        "5",
        "\"nothing\"",
        "{\"type\": \"record\", \"name\": \"a-b\", \"fields\": []}",
        "{\"type\": \"record\", \"name\": \"a\", \"fields\": [{\"name\": \"1\", \"type\": \"int\"}]}",
        "{\"type\": \"enum\", \"name\": \"E\", \"symbols\": [\"A\", \"A\"]}",
        "[\"null\", [\"int\"]]",
    ] {
        assert!(Schema::parse(text).is_err(), "{text}");
    }
    assert!(Schema::parse(&"[".repeat(10_000)).is_err());
    assert!(Schema::parse("string").is_ok());
}
