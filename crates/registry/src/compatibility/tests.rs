//! Pairs of schemas, and whether one reads what the other wrote.

use serde_json::{Value, json};

use std::sync::Arc;

use crate::schema::{Parsed, Schema, SchemaType};

/// With all the steps that there may be.
fn unreadable(reader: &Parsed, writer: &Parsed) -> Vec<String> {
    let mut steps = usize::MAX;
    super::unreadable(reader, writer, &mut steps)
}

fn parse(kind: SchemaType, text: &str) -> Parsed {
    let schema = Schema::new(kind, text, Vec::new()).expect("a schema");
    schema.parse(&[]).expect("a schema")
}

#[test]
fn protobuf_goes_by_numbers_and_forms() {
    let cases = [
        ("int32 a = 1;", "int64 a = 1;", true),
        ("int32 a = 1;", "bool other = 1;", true),
        ("sint32 a = 1;", "int32 a = 1;", false),
        ("fixed32 a = 1;", "int32 a = 1;", false),
        ("string a = 1;", "bytes a = 1;", true),
        ("E a = 1;", "int32 a = 1;", true),
        ("E a = 1;", "sint32 a = 1;", false),
        ("M a = 1;", "bytes a = 1;", false),
        ("M a = 1;", "N a = 1;", false),
        ("", "int32 a = 1;", true),
        ("int32 a = 1;", "", true),
        ("repeated int32 a = 1;", "int32 a = 1;", false),
        ("repeated string a = 1;", "string a = 1;", true),
        ("required int32 a = 1;", "", false),
        ("", "required int32 a = 1;", false),
        ("required int32 a = 1;", "required int32 a = 1;", true),
        // What could be set together may not come into one oneof; a new member was never set.
        (
            "oneof o { int32 a = 1; int32 b = 2; }",
            "optional int32 a = 1;",
            true,
        ),
        (
            "oneof o { int32 a = 1; int32 b = 2; }",
            "int32 a = 1; oneof o { int32 b = 2; }",
            false,
        ),
        (
            "oneof o { int32 a = 1; int32 b = 2; }",
            "int32 a = 1; int32 b = 2;",
            false,
        ),
        (
            "oneof p { int32 a = 1; int32 b = 2; }",
            "oneof o { int32 a = 1; int32 b = 2; }",
            true,
        ),
        ("oneof o { int32 a = 1; }", "optional int32 a = 1;", true),
        // A member leaves a oneof with all of it, or to stand beside it.
        (
            "oneof o { int32 a = 1; }",
            "oneof o { int32 a = 1; int32 b = 2; }",
            false,
        ),
        (
            "int32 a = 1;",
            "oneof o { int32 a = 1; int32 b = 2; }",
            false,
        ),
        ("", "oneof o { int32 a = 1; int32 b = 2; }", true),
        (
            "int32 b = 2; oneof o { int32 a = 1; }",
            "oneof o { int32 a = 1; int32 b = 2; }",
            true,
        ),
        (
            "map<string, int32> a = 1;",
            "map<string, int64> a = 1;",
            true,
        ),
        (
            "map<string, int32> a = 1;",
            "map<string, string> a = 1;",
            false,
        ),
    ];
    let file = |fields: &str| {
        let text =
            format!("message R {{ {fields} }} enum E {{ Z = 0; }} message M {{}} message N {{}}");
        parse(SchemaType::Protobuf, &text)
    };
    for (reader, writer, reads) in cases {
        let reasons = unreadable(&file(reader), &file(writer));
        assert_eq!(
            reasons.is_empty(),
            reads,
            "{reader} of {writer}: {reasons:?}"
        );
    }
    let lacks = unreadable(&parse(SchemaType::Protobuf, "message A {}"), &file(""));
    assert_eq!(lacks[0], "MESSAGE_REMOVED: R");
    let moved = parse(SchemaType::Protobuf, "package p; message A {}");
    assert!(!unreadable(&moved, &parse(SchemaType::Protobuf, "message A {}")).is_empty());
}

#[test]
fn what_a_protobuf_file_imports_is_compared() {
    let order = "import \"money.proto\"; message Order { repeated shop.Price prices = 1; }";
    let with = |money: &str| {
        let schema = Schema::new(SchemaType::Protobuf, order, Vec::new()).expect("a schema");
        let money = format!(
            "package shop; message Price {{ Money of = 1; }} message Money {{ {money} = 1; }} message Other {{ {money} = 2; }}"
        );
        let others = [("money.proto".to_owned(), Arc::from(money))];
        schema.parse(&others).expect("a schema")
    };
    let reasons = unreadable(&with("string units"), &with("int64 units"));
    assert_eq!(
        reasons,
        ["FIELD_SCALAR_KIND_CHANGED of shop.Money, field 1, units"]
    );
    assert_eq!(
        unreadable(&with("int32 units"), &with("int64 units")),
        [""; 0]
    );
}

#[test]
fn comparing_protobuf_takes_steps() {
    let fields = (1..=1000).map(|number| format!("int32 f{number} = {number};"));
    let text = format!("message A {{ {} }}", fields.collect::<String>());
    let schema = parse(SchemaType::Protobuf, &text);
    let (given, mut steps) = (10_000, 10_000);
    assert!(super::unreadable(&schema, &schema, &mut steps).is_empty());
    assert!(given - steps >= 3000, "each field is a step: {steps}");
    for mut few in [500, 2500] {
        assert!(!super::unreadable(&schema, &schema, &mut few).is_empty());
        assert_eq!(few, 0);
    }
}

#[test]
fn json_reads_what_it_can_be_shown_to_allow() {
    let int = json!({"type": "integer"});
    let object = |rest: Value| {
        let mut object = json!({"type": "object"});
        for (name, value) in rest.as_object().expect("members") {
            object[name] = value.clone();
        }
        object
    };
    let a = json!({"a": {"type": "integer"}});
    let tree = |value: &str| {
        json!({"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "properties": {
            "value": {"type": value}, "next": {"$ref": "#/$defs/tree"}}}}})
    };
    // What has an id is what references within it begin at.
    let within = json!({"$defs": {"x": true}, "properties": {"a": {
        "$id": "http://of/a", "items": {"$ref": "#/$defs/x"}, "$defs": {"x": int}}}});
    let cases = [
        (json!(true), int.clone(), true),
        (json!({"description": "?"}), json!(true), true),
        (int.clone(), json!(true), false),
        (json!({"type": "number"}), int.clone(), true),
        (int.clone(), json!({"type": "number"}), false),
        (json!({"type": ["integer", "null"]}), int.clone(), true),
        (int.clone(), json!({"enum": [1, 2]}), true),
        (int.clone(), json!({"enum": [1.5]}), false),
        (json!({"enum": [1, 2, 3]}), json!({"enum": [1, 2]}), true),
        (json!({"enum": [1]}), json!({"enum": [1, 2]}), false),
        (
            json!({"enum": [1], "type": "string"}),
            json!({"enum": [1]}),
            false,
        ),
        (json!({"minimum": 1}), json!({"minimum": 2}), true),
        (json!({"minimum": 1}), int.clone(), false),
        (json!({"minimum": 1}), json!({"type": "string"}), true),
        (json!({"exclusiveMaximum": 3}), json!({"maximum": 3}), false),
        (json!({"exclusiveMaximum": 3}), json!({"maximum": 2}), true),
        (json!({"multipleOf": 2}), json!({"multipleOf": 6}), true),
        (json!({"multipleOf": 6}), json!({"multipleOf": 2}), false),
        (
            json!({"maxLength": 3}),
            json!({"type": "string", "maxLength": 2}),
            true,
        ),
        (json!({"maxLength": 3}), json!({"type": "string"}), false),
        (
            json!({"pattern": "a"}),
            json!({"type": "string", "pattern": "a"}),
            true,
        ),
        (json!({"pattern": "a"}), json!({"type": "string"}), false),
        // Properties: open readers ask of new ones that they take anything.
        (object(json!({"properties": a})), object(json!({})), false),
        (
            object(json!({"properties": {"a": true}})),
            object(json!({})),
            true,
        ),
        (
            object(json!({"properties": a})),
            object(json!({"additionalProperties": false})),
            true,
        ),
        (object(json!({})), object(json!({"properties": a})), true),
        (
            object(json!({"additionalProperties": false})),
            object(json!({"properties": a})),
            false,
        ),
        (
            object(json!({"additionalProperties": {"type": "number"}})),
            object(json!({"properties": a, "additionalProperties": {"type": "integer"}})),
            true,
        ),
        (
            object(json!({"required": ["a"]})),
            object(json!({"required": ["a", "b"]})),
            true,
        ),
        (
            object(json!({"required": ["a", "b"]})),
            object(json!({"required": ["a"]})),
            false,
        ),
        (
            object(json!({"properties": a})),
            object(json!({"properties": a, "patternProperties": {"^a": true}})),
            true,
        ),
        (
            object(json!({"properties": {"b": int}})),
            object(json!({"additionalProperties": false, "patternProperties": {"^b": true}})),
            false,
        ),
        // Items.
        (
            json!({"type": "array", "items": {"type": "number"}}),
            json!({"type": "array", "items": int}),
            true,
        ),
        (
            json!({"type": "array", "items": int}),
            json!({"type": "array"}),
            false,
        ),
        (
            json!({"type": "array", "items": int}),
            json!({"type": "array", "items": int, "prefixItems": [true]}),
            false,
        ),
        // Branches.
        (
            json!({"anyOf": [{"type": "string"}, int]}),
            int.clone(),
            true,
        ),
        (
            int.clone(),
            json!({"anyOf": [{"type": "string"}, int]}),
            false,
        ),
        (
            json!({"type": ["string", "integer"]}),
            json!({"oneOf": [{"type": "string"}, int]}),
            true,
        ),
        (
            json!({"oneOf": [{"type": "string"}, int]}),
            int.clone(),
            true,
        ),
        (
            json!({"oneOf": [{"type": "number"}, int]}),
            int.clone(),
            false,
        ),
        (
            json!({"allOf": [int, {"minimum": 0}]}),
            json!({"type": "integer", "minimum": 1}),
            true,
        ),
        (int.clone(), json!({"allOf": [int, {"minimum": 0}]}), true),
        // What is not understood must stay.
        (
            json!({"not": {"type": "null"}}),
            json!({"not": {"type": "null"}, "type": "string"}),
            true,
        ),
        (
            json!({"not": {"type": "null"}}),
            json!({"type": "string"}),
            false,
        ),
        (
            json!({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": true}}),
            json!({"not": {"$ref": "#/$defs/a"}, "$defs": {"a": false}}),
            false,
        ),
        // What stands beside a keyword counts with it.
        (
            object(json!({"properties": a, "unevaluatedProperties": false})),
            object(json!({"properties": {"a": int, "b": int}, "unevaluatedProperties": false})),
            false,
        ),
        (
            object(json!({"properties": a, "unevaluatedProperties": false})),
            object(json!({"properties": a, "unevaluatedProperties": false, "title": "?"})),
            true,
        ),
        (
            json!({"type": "array", "contains": int}),
            json!({"type": "array", "contains": int, "minContains": 0}),
            false,
        ),
        (
            json!({"contains": int, "minContains": 2}),
            json!({"type": "array", "contains": int, "minContains": 2}),
            true,
        ),
        (json!({"multipleOf": 3}), json!({"multipleOf": 1e17}), false),
        (
            json!({"multipleOf": 3}),
            json!({"multipleOf": 300_000_000_000_000_003_u64}),
            true,
        ),
        (
            json!({"multipleOf": 0.25}),
            json!({"multipleOf": 1.5}),
            true,
        ),
        // No double has all of these digits.
        (
            json!({"minimum": 9_007_199_254_740_993_i64}),
            json!({"type": "integer", "minimum": 9_007_199_254_740_992_i64}),
            false,
        ),
        (
            json!({"maximum": u64::MAX - 1}),
            json!({"type": "integer", "maximum": u64::MAX}),
            false,
        ),
        (
            json!({"exclusiveMaximum": 9_007_199_254_740_993_i64}),
            json!({"type": "integer", "maximum": 9_007_199_254_740_992_i64}),
            true,
        ),
        (
            json!({"minimum": -1.5}),
            json!({"type": "number", "minimum": -1}),
            true,
        ),
        (
            json!({"minimum": -1.5}),
            json!({"type": "number", "minimum": -2}),
            false,
        ),
        (
            json!({"maxLength": 9_007_199_254_740_992_i64}),
            json!({"type": "string", "maxLength": 9_007_199_254_740_993_i64}),
            false,
        ),
        // References.
        (
            within.clone(),
            json!({"properties": {"a": {"type": "array", "items": int}}}),
            true,
        ),
        (
            within,
            json!({"properties": {"a": {"type": "array", "items": {"type": "string"}}}}),
            false,
        ),
        (tree("number"), tree("integer"), true),
        (tree("integer"), tree("number"), false),
        (json!({"$ref": "#/nothing"}), int.clone(), false),
        (
            json!({"$ref": "#/$defs/a", "minimum": 1, "$defs": {"a": true}}),
            int,
            false,
        ),
    ];
    for (reader, writer, reads) in cases {
        let reasons = unreadable(
            &parse(SchemaType::Json, &reader.to_string()),
            &parse(SchemaType::Json, &writer.to_string()),
        );
        assert_eq!(
            reasons.is_empty(),
            reads,
            "{reader} of {writer}: {reasons:?}"
        );
    }
}

#[test]
fn a_comparison_ends() {
    let mut branches = json!({"type": "integer", "minimum": 0});
    for _ in 0..12 {
        branches = json!({"anyOf": [branches, branches], "type": "integer"});
    }
    let numbers: Vec<Value> = (0..200_000).map(|number| json!(number)).collect();
    let many = |first: i32| {
        let mut numbers = numbers.clone();
        numbers[0] = json!(first);
        parse(SchemaType::Json, &json!({ "enum": numbers }).to_string())
    };
    // Each is looked up in the others, not compared with them.
    assert!(!unreadable(&many(-1), &many(-2)).is_empty());
    let mut steps = 300_000;
    let reasons = super::unreadable(&many(-1), &many(-2), &mut steps);
    assert!(!reasons.is_empty() && steps == 0, "each value is a step");
    let text = branches.to_string();
    let (reader, writer) = (
        parse(SchemaType::Json, &text),
        parse(SchemaType::Json, "{\"type\": \"integer\"}"),
    );
    assert!(!unreadable(&reader, &writer).is_empty());
    assert!(!unreadable(&writer, &parse(SchemaType::Avro, "\"int\"")).is_empty());
}
