//! Imports and descriptors of Protobuf files.

use crate::{
    DescriptorError, Kind, Scalar, Schema,
    descriptor::{put_bytes, put_varint},
};

const TEXT: &str = r#"
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
import "common/money.proto";
message Order {
  int64 id = 1;
  optional string note = 2;
  repeated Line lines = 3;
  map<string, int32> stock_by_place = 4;
  oneof paid {
    common.Money cash = 5;
    string card = 6;
  }
  google.protobuf.Timestamp at = 7;
  State state = 8;
  message Line {
    sint32 count = 1;
  }
  enum State {
    NEW = 0;
    GONE = -1;
  }
}
message Other {
}
"#;

const MONEY: &str = "syntax = \"proto3\"; package common; message Money { int64 units = 1; }";

#[test]
fn types_of_imported_files_are_known() {
    assert!(Schema::parse(TEXT).is_err());
    let schema = Schema::parse_with(&[MONEY], TEXT).expect("a schema");
    assert_eq!(schema.package, "shop");
    assert_eq!(
        schema.imports,
        ["google/protobuf/timestamp.proto", "common/money.proto"]
    );
    let own: Vec<&str> = schema
        .own_messages()
        .map(|message| &*message.name)
        .collect();
    assert_eq!(own, ["shop.Order.Line", "shop.Order", "shop.Other"]);
    let order = schema.message("shop.Order").expect("a message");
    let cash = &order.fields[4];
    assert_eq!(cash.one_of.as_deref(), Some("paid"));
    assert!(matches!(cash.kind, Kind::Message(at) if schema.messages[at].name == "common.Money"));
}

#[test]
fn a_descriptor_says_what_the_text_says() {
    let schema = Schema::parse_with(&[MONEY], TEXT).expect("a schema");
    let descriptor = schema.to_descriptor("order.proto").expect("it is short");
    let text = Schema::text_of_descriptor(&descriptor).expect("a descriptor");
    let again = Schema::parse_with(&[MONEY], &text).expect("a schema");
    let shown = |schema: &Schema| {
        let messages = schema.own_messages();
        let mut messages: Vec<String> = messages
            .map(|message| {
                let fields = message.fields.iter().map(|field| {
                    let kind = match &field.kind {
                        Kind::Message(at) if schema.messages[*at].place.is_empty() => {
                            format!("{:?}", schema.messages[*at].fields[1].kind)
                        }
                        Kind::Message(at) => schema.messages[*at].name.clone(),
                        Kind::Enum(at) => format!("{:?}", schema.enums[*at].values),
                        other => format!("{other:?}"),
                    };
                    let (name, number) = (&field.name, field.number);
                    let (of, many, some) = (&field.one_of, field.is_repeated, field.has_presence);
                    format!("{name} {number} {kind} {of:?} {many} {some}")
                });
                let fields: Vec<String> = fields.collect();
                format!("{} {:?} {fields:?}", message.name, message.place)
            })
            .collect();
        messages.sort();
        messages
    };
    assert_eq!(shown(&schema), shown(&again));
    assert_eq!(again.to_descriptor("order.proto"), Ok(descriptor));
}

#[test]
fn what_is_no_descriptor_is_refused() {
    let schema = Schema::parse_with(&[MONEY], TEXT).expect("a schema");
    let descriptor = schema.to_descriptor("order.proto").expect("it is short");
    for end in 0..descriptor.len() {
        // Cut between two fields it is one of fewer; no cut may be followed blindly.
        let _ = Schema::text_of_descriptor(&descriptor[..end]);
    }
    assert!(Schema::text_of_descriptor(&[10, 200, 1]).is_err());
    assert!(Schema::text_of_descriptor(&[34, 4, 10, 2, b'a', b'-']).is_err());
    let mut nested = Vec::new();
    for _ in 0..100 {
        let mut outer = vec![10, 1, b'M'];
        put_bytes(&mut outer, 3, &nested);
        nested = outer;
    }
    assert_eq!(text_of(&nested), Err(DescriptorError::Depth));
}

/// Of a file in package `p` with one message.
fn text_of(message: &[u8]) -> Result<String, DescriptorError> {
    let mut file = Vec::new();
    put_bytes(&mut file, 2, b"p");
    put_bytes(&mut file, 4, message);
    Schema::text_of_descriptor(&file)
}

/// A field with a type by its number, and perhaps its name.
fn field(name: &str, (kind, named): (u64, &str)) -> Vec<u8> {
    let mut out = Vec::new();
    put_bytes(&mut out, 1, name.as_bytes());
    let number = if name == "value" { 2 } else { 1 };
    for (field, value) in [(3, number), (4, 3), (5, kind)] {
        put_varint(field << 3, &mut out);
        put_varint(value, &mut out);
    }
    if !named.is_empty() {
        put_bytes(&mut out, 6, named.as_bytes());
    }
    out
}

const TEXT_TYPE: (u64, &str) = (9, "");

/// A message with maps from texts to what has this name, and one more field of a type.
fn with_maps(value: &str, maps: usize, other: &str) -> Vec<u8> {
    let mut entry = Vec::new();
    put_bytes(&mut entry, 1, b"AEntry");
    put_bytes(&mut entry, 2, &field("key", TEXT_TYPE));
    put_bytes(&mut entry, 2, &field("value", (11, value)));
    // Its options: it is a map's.
    put_bytes(&mut entry, 7, &[7 << 3, 1]);
    let mut message = Vec::new();
    put_bytes(&mut message, 1, b"M");
    for map in 0..maps {
        put_bytes(
            &mut message,
            2,
            &field(&format!("a{map}"), (11, ".p.M.AEntry")),
        );
    }
    put_bytes(&mut message, 2, &field("other", (11, other)));
    put_bytes(&mut message, 3, &entry);
    message
}

#[test]
fn a_short_descriptor_makes_no_long_text() {
    assert!(text_of(&with_maps(".q.V", 1000, ".q.V")).is_ok());
    let long = "v".repeat(100_000);
    assert_eq!(
        text_of(&with_maps(&long, 1, ".q.V")),
        Err(DescriptorError::Name)
    );
    let long = "v".repeat(500);
    assert_eq!(
        text_of(&with_maps(&long, 5000, ".q.V")),
        Err(DescriptorError::Length)
    );
}

#[test]
fn a_map_is_told_by_the_full_name_of_its_entries() {
    let text = text_of(&with_maps(".q.V", 1, ".q.AEntry")).expect("a descriptor");
    assert!(text.contains("map<string, .q.V> a0 = 1;"), "{text}");
    assert!(text.contains("repeated .q.AEntry other = 1;"), "{text}");
}

#[test]
fn a_short_text_makes_no_long_descriptor() {
    let text = |fields: usize| {
        let name = "a".repeat(400);
        let fields = (1..=fields).map(|number| format!("A f{number} = {number};"));
        let fields: String = fields.collect();
        let text = format!("package {name}; message A {{}} message B {{ {fields} }}");
        Schema::parse(&text).expect("a schema").to_descriptor("a")
    };
    assert!(text(1000).is_ok());
    assert_eq!(text(20_000), Err(DescriptorError::Length));
}

#[test]
fn names_are_bounded() {
    let long = format!("message {} {{}}", "a".repeat(600));
    assert!(Schema::parse(&long).is_err());
    let schema = Schema::parse("message A { required bool b = 1; }").expect("a schema");
    let field = &schema.messages[0].fields[0];
    assert!(field.is_required && field.kind == Kind::Scalar(Scalar::Bool));
}

#[test]
fn maps_and_scopes_are_bounded() {
    let maps = |count: usize| {
        let maps = (1..=count).map(|number| format!("map<int32, int32> f{number} = {number};"));
        Schema::parse(&format!("message M {{ {} }}", maps.collect::<String>()))
    };
    assert!(maps(1000).is_ok());
    assert!(maps(5000).is_err(), "each is a type");
    let fields = |scopes: usize, count: usize| {
        let package = vec!["a"; scopes].join(".");
        let fields = (1..=count).map(|number| format!("Any f{number} = {number};"));
        let fields: String = fields.collect();
        let any = "message Any {}";
        let text = format!("package {package}; message M {{ {fields} }}");
        Schema::parse_with(&[any], &text)
    };
    assert!(fields(4, 20_000).is_ok());
    assert!(fields(200, 1000).is_ok());
    assert!(fields(200, 20_000).is_err(), "each scope is looked in");
}

#[test]
fn a_new_file_declares_each_type_once() {
    let cases = [
        ("message A {} message B {}", true),
        ("message A {} message A {}", false),
        ("message A {} enum A { Z = 0; }", false),
        (
            "message A { message B {} } message B { message B {} }",
            true,
        ),
        ("message A { message B {} enum B { Z = 0; } }", false),
    ];
    for (text, is_new) in cases {
        let schema = Schema::parse(text).expect("it can be read");
        assert_eq!(schema.check_new().is_ok(), is_new, "{text}");
    }
}
