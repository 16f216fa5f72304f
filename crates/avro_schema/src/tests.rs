//! Resolution, defaults and refusals of Avro schemas.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{Schema, Type, canonical};

/// With all the steps that there may be.
fn unreadable(reader: &Schema, writer: &Schema) -> Vec<String> {
    let mut steps = usize::MAX;
    crate::unreadable(reader, writer, &mut steps)
}

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
        let found = schema.defaults().encode(schema.root(), &value).ok();
        assert_eq!(found.as_deref(), expected, "{value}");
    }
    assert!(
        parse(&record(
            json!([{"name": "a", "type": "int", "default": "x"}])
        ))
        .check_new()
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

#[test]
fn a_default_of_many_records_is_refused_soon() {
    // Each record holds the one before it twice, and none puts out a byte.
    let records = (1..60).map(|at| {
        let field = |name| json!({"name": name, "type": format!("R{}", at - 1), "default": {}});
        json!({"type": "record", "name": format!("R{at}"), "fields": [field("a"), field("b")]})
    });
    let first = json!({"type": "record", "name": "R0", "fields": []});
    let schema = parse(&[first].into_iter().chain(records).collect());
    assert!(schema.check_new().is_err());
    // What is looked through for each value counts.
    let symbols: Vec<String> = (0..2000).map(|at| format!("S{at}")).collect();
    let last = vec!["S1999"; 2000];
    let of = json!({"type": "array", "items": {"type": "enum", "name": "E", "symbols": symbols}});
    let schema = parse(&record(json!([{"name": "a", "type": of, "default": last}])));
    assert!(schema.check_new().is_err());
}

#[test]
fn what_failed_within_a_union_fails_behind_it() {
    let named = |name: &str, kind: &str| json!({"type": "record", "name": name, "fields": [{"name": "x", "type": kind}]});
    let reader = parse(&record(json!([
        {"name": "a", "type": [named("p.N", "int"), named("q.N", "string")]},
        {"name": "b", "type": "p.N"},
    ])));
    let writer = parse(&record(json!([
        {"name": "a", "type": named("p.N", "string")},
        {"name": "b", "type": "p.N"},
    ])));
    expect!["TYPE_MISMATCH at /b: reader type: record not compatible with writer type: record"]
        .assert_eq(&unreadable(&reader, &writer).join("\n"));
}

#[test]
fn what_leans_on_a_pair_falls_with_it() {
    // A holds B, which holds A again: B of B is found to fit while A of A is open, which then does not fit.
    let outer = |name: &str, last: &str| {
        let inner = json!({"type": "record", "name": format!("{name}.B"), "fields": [
            {"name": "back", "type": ["null", format!("{name}.A")]}]});
        json!({"type": "record", "name": format!("{name}.A"), "fields": [
            {"name": "b", "type": inner}, {"name": "last", "type": last}]})
    };
    let reader = parse(&record(json!([
        {"name": "a", "type": ["null", outer("p", "int"), {"type": "record", "name": "q.A", "fields": []}]},
        {"name": "b", "type": "p.B"},
    ])));
    let writer = parse(&record(json!([
        {"name": "a", "type": outer("p", "string")},
        {"name": "b", "type": "p.B"},
    ])));
    assert!(!unreadable(&reader, &writer).is_empty());
}

#[test]
fn steps_are_taken_from_what_is_given() {
    let symbols: Vec<String> = (0..1000).map(|at| format!("S{at}")).collect();
    let schema = parse(&json!({"type": "enum", "name": "E", "symbols": symbols}));
    let mut steps = 3000;
    assert!(crate::unreadable(&schema, &schema, &mut steps).is_empty());
    assert!(steps < 1000, "each symbol is a step: {steps}");
    steps = 0;
    assert!(!crate::unreadable(&schema, &schema, &mut steps).is_empty());
}

#[test]
fn a_long_namespace_is_not_written_for_each_type() {
    let fields = |count: usize| {
        let fields = (0..count).map(|at| json!({"name": format!("f{at}"), "type": "R"}));
        fields.collect::<Vec<_>>()
    };
    let of = |space: &str, count: usize| json!({"type": "record", "name": "R", "namespace": space, "fields": fields(count)});
    let mut long = of(&"n".repeat(100_000), 1000);
    assert!(Schema::parse(&long.to_string()).is_err());
    let mut many = of(&"n".repeat(500), 100_000);
    assert!(Schema::parse(&many.to_string()).is_ok());
    for schema in [&mut long, &mut many] {
        let before = schema.to_string().len();
        canonical(schema);
        let grown = schema.to_string().len() - before;
        assert!(grown < 5 << 20, "by {grown} bytes");
    }
    let aliases: Vec<String> = (0..5000).map(|at| format!("A{at}")).collect();
    let with_aliases = json!({"type": "fixed", "name": "F", "size": 1, "aliases": aliases});
    assert!(Schema::parse(&with_aliases.to_string()).is_err());
}

#[test]
fn what_is_known_takes_steps_too() {
    let types: Vec<Value> = (0..30)
        .map(|at| json!({"type": "fixed", "name": format!("F{at}"), "size": 1}))
        .collect();
    let names: Vec<String> = (0..30).map(|at| format!("F{at}")).collect();
    let mut fields = vec![json!({"name": "first", "type": types})];
    fields.extend((0..50).map(|at| json!({"name": format!("f{at}"), "type": names})));
    let schema = parse(&record(json!(fields)));
    let (given, mut steps) = (1 << 20, 1 << 20);
    assert!(crate::unreadable(&schema, &schema, &mut steps).is_empty());
    assert!(
        given - steps > 20_000,
        "pairs of each field: {}",
        given - steps
    );
}

#[test]
fn what_is_no_new_schema_is_refused() {
    let named = |name: &str, size| json!({"type": "fixed", "name": name, "size": size});
    let cases = [
        (json!(["int", "int"]), false),
        (
            json!(["int", {"type": "int", "logicalType": "date"}]),
            false,
        ),
        (json!(["null", "int", "long"]), true),
        (json!([named("A", 1), "A"]), false),
        (json!([named("a.A", 1), named("b.A", 1)]), true),
        (json!({"type": "array", "items": ["int", "int"]}), false),
        (
            json!([{"type": "array", "items": "int"}, {"type": "array", "items": "long"}]),
            false,
        ),
        (
            json!({"type": "enum", "name": "E", "symbols": ["a-b"]}),
            false,
        ),
        (
            json!({"type": "enum", "name": "E", "symbols": ["a_b"]}),
            true,
        ),
    ];
    for (schema, is_new) in cases {
        assert_eq!(parse(&schema).check_new().is_ok(), is_new, "{schema}");
    }
}

#[test]
fn texts_of_one_schema_have_one_form() {
    let field = |of: Value| json!([{"name": "f", "type": of}]);
    let cases = [
        (json!({"type": "string"}), json!("string"), true),
        (json!({"type": {"type": "string"}}), json!("string"), true),
        (json!({"type": "string", "p": 1}), json!("string"), false),
        (
            json!({"type": "record", "name": "a.X", "fields": field(json!(["null", "X"]))}),
            json!({"type": "record", "namespace": "a", "name": "X", "fields": field(json!(["null", "a.X"]))}),
            true,
        ),
        (
            json!({"type": "record", "name": "a.X", "fields": []}),
            json!({"type": "record", "name": "b.X", "fields": []}),
            false,
        ),
        (
            json!({"type": "record", "name": "X", "doc": "d", "fields": []}),
            json!({"type": "record", "name": "X", "fields": []}),
            false,
        ),
        (
            json!({"type": "record", "name": "a.X", "fields": field(json!({"type": "enum", "name": "E", "symbols": []}))}),
            json!({"type": "record", "name": "a.X", "fields": [
                {"name": "f", "order": "ascending", "type": {"type": "enum", "name": "a.E", "symbols": []}}]}),
            true,
        ),
    ];
    for (mut one, mut other, is_same) in cases {
        canonical(&mut one);
        canonical(&mut other);
        assert_eq!(one == other, is_same, "{one} and {other}");
    }
}
