//! Pairs of schemas, and whether one reads what the other wrote.

use serde_json::{Value, json};

use super::unreadable;
use crate::schema::{Parsed, Schema, SchemaType};

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
        (
            "oneof o { int32 a = 1; int32 b = 2; }",
            "optional int32 a = 1;",
            false,
        ),
        ("oneof o { int32 a = 1; }", "optional int32 a = 1;", true),
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
        // References.
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
    let text = branches.to_string();
    let (reader, writer) = (
        parse(SchemaType::Json, &text),
        parse(SchemaType::Json, "{\"type\": \"integer\"}"),
    );
    assert!(!unreadable(&reader, &writer).is_empty());
    assert!(!unreadable(&writer, &parse(SchemaType::Avro, "\"int\"")).is_empty());
}
