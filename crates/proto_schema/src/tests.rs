//! Imports and descriptors of Protobuf files.

use crate::{Kind, Scalar, Schema};

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
    let descriptor = schema.to_descriptor("order.proto");
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
    assert_eq!(again.to_descriptor("order.proto"), descriptor);
}

#[test]
fn what_is_no_descriptor_is_refused() {
    let schema = Schema::parse_with(&[MONEY], TEXT).expect("a schema");
    let descriptor = schema.to_descriptor("order.proto");
    for end in 0..descriptor.len() {
        // Cut between two fields it is one of fewer; no cut may be followed blindly.
        let _ = Schema::text_of_descriptor(&descriptor[..end]);
    }
    assert!(Schema::text_of_descriptor(&[10, 200, 1]).is_err());
    assert!(Schema::text_of_descriptor(&[34, 4, 10, 2, b'a', b'-']).is_err());
    let mut nested = Vec::new();
    for _ in 0..100 {
        let mut outer = vec![10, 1, b'M', 26];
        super::descriptor::put_varint(&mut outer, nested.len() as u64);
        outer.extend(nested);
        nested = outer;
    }
    let mut file = vec![34];
    super::descriptor::put_varint(&mut file, nested.len() as u64);
    file.extend(nested);
    assert!(Schema::text_of_descriptor(&file).is_err());
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
