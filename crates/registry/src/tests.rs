//! Conversations with a registry, and what its records add up to.

use expect_test::expect;
use serde_json::{Value, json};

use crate::{Method, Record, Registry, Request};

/// A registry with its topic.
#[derive(Default)]
struct Served {
    registry: Registry,
    log: Vec<Record>,
}

impl Served {
    /// Status and body, in one line.
    fn ask(&mut self, method: Method, path: &str, body: &Value) -> String {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = Request {
            method,
            path,
            query,
            body: body.as_bytes(),
        };
        match self.registry.answer(request) {
            Ok(answer) => {
                for record in answer.records {
                    let value = record.value.as_ref().map(String::as_bytes);
                    self.registry.apply(record.key.as_bytes(), value);
                    self.log.push(record);
                }
                format!("200 {}", answer.body)
            }
            Err(refusal) => format!("{} {}", refusal.code().0, refusal.body()),
        }
    }

    fn get(&mut self, path: &str) -> String {
        self.ask(Method::Get, path, &Value::Null)
    }

    fn post(&mut self, path: &str, body: Value) -> String {
        self.ask(Method::Post, path, &body)
    }

    fn put(&mut self, path: &str, body: Value) -> String {
        self.ask(Method::Put, path, &body)
    }

    fn delete(&mut self, path: &str) -> String {
        self.ask(Method::Delete, path, &Value::Null)
    }

    fn import(&mut self, subject: &str, schema: &str, id: u32) -> String {
        self.post(
            &format!("/subjects/{subject}/versions"),
            json!({ "schema": schema, "id": id }),
        )
    }

    fn register(&mut self, subject: &str, schema: &str) -> String {
        self.post(
            &format!("/subjects/{subject}/versions"),
            json!({ "schema": schema }),
        )
    }

    /// The same from its records alone.
    fn again(&self) -> Registry {
        let mut registry = Registry::default();
        for record in &self.log {
            registry.apply(
                record.key.as_bytes(),
                record.value.as_ref().map(String::as_bytes),
            );
        }
        registry
    }
}

fn order(fields: &str) -> String {
    format!("{{\"type\": \"record\", \"name\": \"Order\", \"fields\": [{fields}]}}")
}

const ID: &str = r#"{"name": "id", "type": "long"}"#;
const NOTE: &str = r#"{"name": "note", "type": "string"}"#;
const NOTE_OR_NONE: &str = r#"{"name": "note", "type": "string", "default": ""}"#;

#[test]
fn versions_of_a_subject() {
    let mut served = Served::default();
    let first = order(ID);
    let second = order(&format!("{ID}, {NOTE_OR_NONE}"));
    let mut said = vec![
        served.get("/subjects"),
        served.get("/subjects/orders-value/versions"),
        served.register("orders-value", &first),
        // Space does not count, nor who else has it.
        served.register("orders-value", &first.replace(' ', "\n")),
        served.register("others%2Fvalue", &first),
        served.register("orders-value", &order(&format!("{ID}, {NOTE}"))),
        served.register("orders-value", &second),
        served.get("/subjects"),
        served.get("/subjects/orders-value/versions"),
        served.get("/subjects/orders-value/versions/1"),
        served.get("/subjects/orders-value/versions/latest"),
        served.get("/subjects/orders-value/versions/latest/schema"),
        served.get("/subjects/orders-value/versions/3"),
        served.get("/subjects/orders-value/versions/none"),
        served.get("/schemas/ids/1"),
        served.get("/schemas/ids/1/subjects"),
        served.get("/schemas/ids/2/versions"),
        served.get("/schemas/ids/3"),
        served.get("/schemas/types"),
        served.post("/subjects/orders-value", json!({ "schema": first })),
        served.post("/subjects/orders-value", json!({ "schema": "\"string\"" })),
        served.post("/subjects/none", json!({ "schema": first })),
        served.register("orders-value", "{"),
        served.register("orders-value", ""),
        served.post("/subjects/orders-value/versions", json!([])),
        served.get("/nothing"),
        served.delete("/subjects"),
        served.get("/subjects/a%zz/versions"),
    ];
    expect![[r#"
        200 []
        404 {"error_code":40401,"message":"Subject 'orders-value' not found."}
        200 {"id":1}
        200 {"id":1}
        200 {"id":1}
        409 {"error_code":409,"message":"Schema being registered is incompatible with an earlier schema for subject \"orders-value\", details: [new schema does not read version 1: READER_FIELD_MISSING_DEFAULT_VALUE at /note: the writer has no field note, compatibility: BACKWARD]"}
        200 {"id":2}
        200 ["orders-value","others/value"]
        200 [1,2]
        200 {"id":1,"schema":"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}]}","subject":"orders-value","version":1}
        200 {"id":2,"schema":"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"},{\"name\":\"note\",\"type\":\"string\",\"default\":\"\"}]}","subject":"orders-value","version":2}
        200 {"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"note","type":"string","default":""}]}
        404 {"error_code":40402,"message":"Version 3 not found."}
        422 {"error_code":42202,"message":"The specified version 'none' is not a valid version id. Allowed values are between [1, 2^31-1] and the string \"latest\""}
        200 {"schema":"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}]}"}
        200 ["orders-value","others/value"]
        200 [{"subject":"orders-value","version":2}]
        404 {"error_code":40403,"message":"Schema 3 not found"}
        200 ["JSON","PROTOBUF","AVRO"]
        200 {"id":1,"schema":"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}]}","subject":"orders-value","version":1}
        404 {"error_code":40403,"message":"Schema not found"}
        404 {"error_code":40401,"message":"Subject 'none' not found."}
        422 {"error_code":42201,"message":"Invalid schema: JSON is expected: EOF while parsing an object at line 1 column 1"}
        422 {"error_code":42201,"message":"Invalid schema: Empty schema"}
        400 {"error_code":400,"message":"an object is expected"}
        404 {"error_code":404,"message":"HTTP 404 Not Found"}
        405 {"error_code":405,"message":"HTTP 405 Method Not Allowed"}
        400 {"error_code":400,"message":"a path that cannot be read"}"#]]
    .assert_eq(&said.join("\n"));
    said.clear();
    expect![[r#"
        {"keytype":"SCHEMA","subject":"orders-value","version":1,"magic":1}
        {"deleted":false,"id":1,"schema":"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"id\",\"type\":\"long\"}]}","subject":"orders-value","version":1}"#]]
    .assert_eq(&format!(
        "{}\n{}",
        served.log[0].key,
        served.log[0].value.as_deref().unwrap_or_default()
    ));
}

#[test]
fn deletion_is_soft_and_then_for_good() {
    let mut served = Served::default();
    served.register("a", &order(ID));
    served.register("a", &order(&format!("{ID}, {NOTE_OR_NONE}")));
    served.register("b", "\"int\"");
    served.put("/config/a", json!({ "compatibility": "full" }));
    let said = [
        served.delete("/subjects/a/versions/2?permanent=true"),
        served.delete("/subjects/a/versions/2"),
        served.delete("/subjects/a/versions/2"),
        served.get("/subjects/a/versions"),
        served.get("/subjects/a/versions?deleted=true"),
        served.get("/subjects/a/versions/2"),
        // What was written with it is read.
        served.get("/schemas/ids/2/schema"),
        served.delete("/subjects/a/versions/2?permanent=true"),
        served.get("/schemas/ids/2"),
        served.delete("/subjects/a/versions/2"),
        served.delete("/subjects/a?permanent=true"),
        served.delete("/subjects/a"),
        served.delete("/subjects/a"),
        served.get("/subjects"),
        served.get("/subjects?deleted=true"),
        served.get("/config/a"),
        served.delete("/subjects/a?permanent=true"),
        served.get("/config/a"),
        served.get("/subjects?deleted=true"),
        served.delete("/subjects/a"),
        // Neither id comes again for another schema; the same schema keeps its own.
        served.register("c", "\"long\""),
        served.register("c2", &order(ID)),
    ];
    expect![[r#"
        404 {"error_code":40407,"message":"Subject 'a' Version 2 was not deleted first before being permanently deleted"}
        200 2
        404 {"error_code":40406,"message":"Subject 'a' Version 2 was soft deleted. Set permanent=true to delete permanently"}
        200 [1]
        200 [1,2]
        404 {"error_code":40402,"message":"Version 2 not found."}
        200 {"type":"record","name":"Order","fields":[{"name":"id","type":"long"},{"name":"note","type":"string","default":""}]}
        200 2
        404 {"error_code":40403,"message":"Schema 2 not found"}
        404 {"error_code":40402,"message":"Version 2 not found."}
        404 {"error_code":40405,"message":"Subject 'a' was not deleted first before being permanently deleted"}
        200 [1]
        404 {"error_code":40404,"message":"Subject 'a' was soft deleted. Set permanent=true to delete permanently"}
        200 ["b"]
        200 ["a","b"]
        200 {"compatibilityLevel":"FULL"}
        200 [1]
        404 {"error_code":40408,"message":"Subject 'a' does not have subject-level compatibility configured"}
        200 ["b"]
        404 {"error_code":40401,"message":"Subject 'a' not found."}
        200 {"id":4}
        200 {"id":1}"#]]
    .assert_eq(&said.join("\n"));
    let resolved = served
        .again()
        .resolved(2)
        .expect("ids stay for what was written");
    assert!(resolved.text.contains("note"));
}

#[test]
fn levels_and_modes() {
    let mut served = Served::default();
    served.register("a", &order(&format!("{ID}, {NOTE}")));
    let without_note = json!({ "schema": order(ID) });
    let said = [
        served.get("/config"),
        served.get("/config/a"),
        served.get("/config/a?defaultToGlobal=true"),
        served.put("/config", json!({ "compatibility": "FORWARD" })),
        served.put("/config", json!({ "compatibility": "SIDEWAYS" })),
        served.put(
            "/config",
            json!({ "compatibility": "NONE", "normalize": true }),
        ),
        served.get("/config"),
        served.post(
            "/compatibility/subjects/a/versions/latest?verbose=true",
            without_note.clone(),
        ),
        served.put(
            "/config/a",
            json!({ "compatibility": "BACKWARD_TRANSITIVE" }),
        ),
        served.post(
            "/compatibility/subjects/a/versions/latest",
            without_note.clone(),
        ),
        served.post("/compatibility/subjects/a/versions", without_note.clone()),
        served.post("/compatibility/subjects/a/versions/2", without_note.clone()),
        served.post(
            "/compatibility/subjects/none/versions/latest",
            without_note.clone(),
        ),
        served.post("/compatibility/subjects/none/versions/1", without_note),
        served.delete("/config/a"),
        served.delete("/config"),
        served.get("/config"),
        served.get("/mode"),
        served.put("/mode/a", json!({ "mode": "READONLY" })),
        served.register("a", "\"int\""),
        served.delete("/subjects/a"),
        served.delete("/mode/a"),
        served.put("/mode", json!({ "mode": "IMPORT" })),
        served.put("/mode/b", json!({ "mode": "IMPORT" })),
        served.register("b", "\"int\""),
        served.post(
            "/subjects/b/versions",
            json!({ "schema": "\"int\"", "id": 70, "version": 3 }),
        ),
        served.post(
            "/subjects/b/versions",
            json!({ "schema": "\"long\"", "id": 70 }),
        ),
        served.get("/subjects/b/versions/latest"),
        served.post(
            "/subjects/a/versions",
            json!({ "schema": "\"long\"", "id": 71 }),
        ),
    ];
    expect![[r#"
        200 {"compatibilityLevel":"BACKWARD"}
        404 {"error_code":40408,"message":"Subject 'a' does not have subject-level compatibility configured"}
        200 {"compatibilityLevel":"BACKWARD"}
        200 {"compatibility":"FORWARD"}
        422 {"error_code":42203,"message":"Invalid compatibility level. Valid values are none, backward, forward, full, backward_transitive, forward_transitive, and full_transitive"}
        501 {"error_code":501,"message":"The registry does not do this: configuration beyond the compatibility level"}
        200 {"compatibilityLevel":"FORWARD"}
        200 {"is_compatible":false,"messages":["version 1 does not read new schema: READER_FIELD_MISSING_DEFAULT_VALUE at /note: the writer has no field note","compatibility: FORWARD"]}
        200 {"compatibility":"BACKWARD_TRANSITIVE"}
        200 {"is_compatible":true}
        200 {"is_compatible":true}
        404 {"error_code":40402,"message":"Version 2 not found."}
        200 {"is_compatible":true}
        404 {"error_code":40401,"message":"Subject 'none' not found."}
        200 {"compatibilityLevel":"BACKWARD_TRANSITIVE"}
        200 {"compatibilityLevel":"FORWARD"}
        200 {"compatibilityLevel":"BACKWARD"}
        200 {"mode":"READWRITE"}
        200 {"mode":"READONLY"}
        422 {"error_code":42205,"message":"Subject a is in read-only mode"}
        422 {"error_code":42205,"message":"Subject a is in read-only mode"}
        200 {"mode":"READONLY"}
        422 {"error_code":42205,"message":"Cannot import since found existing subjects"}
        200 {"mode":"IMPORT"}
        422 {"error_code":42205,"message":"Subject b is in import mode, where schemas have their ids"}
        200 {"id":70}
        422 {"error_code":42205,"message":"Overwrite new schema with id 70 is not permitted."}
        200 {"id":70,"schema":"\"int\"","subject":"b","version":3}
        422 {"error_code":42205,"message":"Subject a is not in import mode"}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn schemas_name_others() {
    let mut served = Served::default();
    let money = "syntax = \"proto3\"; package shop; message Money { int64 units = 1; }";
    let order =
        "syntax = \"proto3\"; import \"money.proto\"; message Order { shop.Money price = 1; }";
    let reference = json!([{ "name": "money.proto", "subject": "money", "version": 1 }]);
    let body = |schema: &str, references: &Value| json!({ "schema": schema, "schemaType": "PROTOBUF", "references": references });
    let said = [
        served.post("/subjects/orders/versions", body(order, &reference)),
        served.post("/subjects/money/versions", body(money, &json!([]))),
        served.post("/subjects/orders/versions", body(order, &json!([]))),
        served.post("/subjects/orders/versions", body(order, &reference)),
        served.get("/subjects/orders/versions/latest"),
        served.get("/subjects/money/versions/1/referencedby"),
        served.delete("/subjects/money"),
        served.delete("/subjects/money/versions/1"),
    ];
    expect![[r#"
        422 {"error_code":42201,"message":"Invalid schema: No schema reference found for subject \"money\" and version 1"}
        200 {"id":1}
        422 {"error_code":42201,"message":"Invalid schema: line 1 of the schema: there is no type shop.Money"}
        200 {"id":2}
        200 {"id":2,"references":[{"name":"money.proto","subject":"money","version":1}],"schema":"syntax = \"proto3\"; import \"money.proto\"; message Order { shop.Money price = 1; }","schemaType":"PROTOBUF","subject":"orders","version":1}
        200 [2]
        422 {"error_code":42206,"message":"One or more references exist to the schema of subject 'money', version 1"}
        422 {"error_code":42206,"message":"One or more references exist to the schema of subject 'money', version 1"}"#]]
    .assert_eq(&said.join("\n"));
    let resolved = served.registry.latest("orders").expect("a schema");
    assert_eq!(resolved.others, [("money.proto".to_owned(), money.into())]);
    // A compiled file is the same schema as its text, as long as the text says no more.
    let described = served.get("/schemas/ids/1?format=serialized");
    let described: Value = serde_json::from_str(&described[4..]).expect("JSON");
    let compiled = described["schema"].as_str().expect("a text").to_owned();
    assert!(!compiled.contains(' '));
    let again = served.post("/subjects/compiled/versions", body(&compiled, &json!([])));
    assert_eq!(again, "200 {\"id\":1}");
}

#[test]
fn what_a_schema_names_stays_what_it_was() {
    let mut served = Served::default();
    let money = |fields: &str| {
        let schema =
            format!("{{\"type\": \"record\", \"name\": \"Money\", \"fields\": [{fields}]}}");
        json!({ "schema": schema })
    };
    let order = order("{\"name\": \"price\", \"type\": \"Money\"}");
    let reference = json!([{ "name": "Money", "subject": "money", "version": 1 }]);
    let order = json!({ "schema": order, "references": reference });
    let mut said = vec![
        served.post("/subjects/money/versions", money(ID)),
        served.post("/subjects/orders/versions", order.clone()),
    ];
    for subject in ["orders", "money"] {
        served.delete(&format!("/subjects/{subject}"));
        said.push(served.delete(&format!("/subjects/{subject}?permanent=true")));
    }
    // What was written with the first is still to be read, and is not what is written with the second.
    let others = |registry: &Registry, id: u32| {
        let resolved = registry.resolved(id).expect("an id stays");
        resolved.others[0].1.contains("note")
    };
    assert!(!others(&served.registry, 2));
    said.push(served.post("/subjects/money/versions", money(NOTE)));
    said.push(served.post("/subjects/orders/versions", order.clone()));
    said.push(served.post("/subjects/orders", order));
    for registry in [&served.registry, &served.again()] {
        assert!(!others(registry, 2));
        assert!(others(registry, 4));
    }
    expect![[r#"
        200 {"id":1}
        200 {"id":2}
        200 [1]
        200 [1]
        200 {"id":3}
        200 {"id":4}
        200 {"id":4,"references":[{"name":"Money","subject":"money","version":1}],"schema":"{\"type\":\"record\",\"name\":\"Order\",\"fields\":[{\"name\":\"price\",\"type\":\"Money\"}]}","subject":"orders","version":1}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn a_registry_is_the_sum_of_its_records() {
    let mut served = Served::default();
    for step in 0..40 {
        let subject = format!("s{}", step % 3);
        match step % 8 {
            0..=3 => {
                let fields = (0..=step)
                    .map(|n| format!("{{\"name\": \"f{n}\", \"type\": \"int\", \"default\": 0}}"));
                let fields: Vec<String> = fields.collect();
                served.register(&subject, &order(&fields.join(",")));
            }
            4 => drop(served.delete(&format!("/subjects/{subject}/versions/latest"))),
            5 => drop(served.delete(&format!("/subjects/{subject}"))),
            6 => drop(served.put(
                &format!("/config/{subject}"),
                json!({ "compatibility": "FULL" }),
            )),
            _ => drop(served.delete(&format!("/subjects/{subject}?permanent=true"))),
        }
        assert_eq!(
            format!("{:?}", served.again()),
            format!("{:?}", served.registry),
            "{step}"
        );
    }
    assert!(served.log.len() > 20);
}

#[test]
fn records_of_others_mean_nothing() {
    let mut registry = Registry::default();
    for (key, value) in [
        ("", None),
        ("{}", None),
        ("{\"keytype\":\"NOOP\",\"magic\":0}", None),
        (
            "{\"keytype\":\"SCHEMA\",\"subject\":\"a\",\"version\":1,\"magic\":1}",
            Some("?"),
        ),
        ("{\"keytype\":\"CONFIG\",\"magic\":0}", Some("{}")),
        ("{\"keytype\":\"CONTEXT\",\"magic\":0}", Some("{}")),
    ] {
        registry.apply(key.as_bytes(), value.map(str::as_bytes));
        assert_eq!(registry.ids().next(), None);
    }
    // As Confluent's own registry writes them, with more than is read here.
    let key = "{\"keytype\":\"SCHEMA\",\"subject\":\"a\",\"version\":1,\"magic\":1}";
    let value = "{\"subject\":\"a\",\"version\":1,\"id\":9,\"md5\":\"x\",\"schema\":\"\\\"int\\\"\",\"deleted\":false,\"ts\":1}";
    registry.apply(key.as_bytes(), Some(value.as_bytes()));
    assert_eq!(registry.latest("a").map(|schema| schema.id), Some(9));
}

#[test]
fn the_last_version_takes_the_settings_with_it() {
    let mut served = Served::default();
    served.register("a", "\"int\"");
    served.put("/config/a", json!({ "compatibility": "FULL" }));
    served.put("/mode/a", json!({ "mode": "IMPORT" }));
    let said = [
        served.delete("/subjects/a/versions/1"),
        served.get("/config/a"),
        served.delete("/subjects/a/versions/1?permanent=true"),
        served.get("/config/a"),
        served.get("/mode/a"),
    ];
    expect![[r#"
        200 1
        200 {"compatibilityLevel":"FULL"}
        200 1
        404 {"error_code":40408,"message":"Subject 'a' does not have subject-level compatibility configured"}
        404 {"error_code":40409,"message":"Subject 'a' does not have subject-level mode configured"}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn who_deletes_and_registers_again_needs_no_more_room() {
    let mut served = Served::default();
    for _ in 0..3 {
        assert_eq!(served.register("a", "\"int\""), "200 {\"id\":1}");
        served.delete("/subjects/a");
    }
    served.register("a", "\"int\"");
    assert_eq!(served.get("/subjects/a/versions?deleted=true"), "200 [4]");
    assert_eq!(
        format!("{:?}", served.again()),
        format!("{:?}", served.registry)
    );
}

#[test]
fn what_is_there_is_found_in_any_mode() {
    let mut served = Served::default();
    served.register("a", "\"int\"");
    let mut said = Vec::new();
    for mode in ["READONLY", "IMPORT", "READWRITE"] {
        let path = "/mode/a?force=true";
        served.put(path, json!({ "mode": mode }));
        said.push(served.register("a", "\"int\""));
        said.push(served.import("a", "{\"type\": \"int\"}", 1));
        said.push(served.import("a", "\"int\"", 2));
    }
    expect![[r#"
        200 {"id":1}
        200 {"id":1}
        422 {"error_code":42205,"message":"Subject a is in read-only mode"}
        200 {"id":1}
        200 {"id":1}
        200 {"id":2}
        200 {"id":2}
        200 {"id":1}
        200 {"id":2}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn a_schema_of_several_ids_is_found_in_each_subject() {
    let mut served = Served::default();
    for (subject, id) in [("a", 7), ("b", 3)] {
        served.put(&format!("/mode/{subject}"), json!({ "mode": "IMPORT" }));
        served.import(subject, "\"int\"", id);
        served.delete(&format!("/mode/{subject}"));
    }
    let said = [
        served.post("/subjects/a", json!({ "schema": "\"int\"" })),
        served.register("a", "\"int\""),
        served.register("b", "\"int\""),
        served.register("c", "\"int\""),
        served.get("/subjects/a/versions"),
    ];
    expect![[r#"
        200 {"id":7,"schema":"\"int\"","subject":"a","version":1}
        200 {"id":7}
        200 {"id":3}
        200 {"id":3}
        200 [1]"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn modes_hold_for_settings_too() {
    let mut served = Served::default();
    served.register("a", "\"int\"");
    let read_only = json!({ "mode": "READONLY" });
    let import = json!({ "mode": "IMPORT" });
    let none = json!({ "compatibility": "NONE" });
    let said = [
        served.put("/config/a", none.clone()),
        served.put("/mode/a", read_only.clone()),
        served.put("/config/a", none.clone()),
        served.delete("/config/a"),
        served.delete("/mode/a"),
        served.put("/mode", read_only),
        served.put("/config", none),
        served.delete("/config"),
        served.put("/mode", json!({ "mode": "READWRITE" })),
        // Whoever imports already may say so again; what is deleted hinders nobody.
        served.put("/mode/a", import.clone()),
        served.put("/mode/a?force=true", import.clone()),
        served.put("/mode/a", import.clone()),
        served.delete("/mode/a"),
        served.put("/mode", import.clone()),
        served.delete("/subjects/a"),
        served.put("/mode", import),
    ];
    expect![[r#"
        200 {"compatibility":"NONE"}
        200 {"mode":"READONLY"}
        422 {"error_code":42205,"message":"Subject a is in read-only mode"}
        422 {"error_code":42205,"message":"Subject a is in read-only mode"}
        200 {"mode":"READONLY"}
        200 {"mode":"READONLY"}
        422 {"error_code":42205,"message":"The registry is in read-only mode"}
        422 {"error_code":42205,"message":"The registry is in read-only mode"}
        200 {"mode":"READWRITE"}
        422 {"error_code":42205,"message":"Cannot import since found existing subjects"}
        200 {"mode":"IMPORT"}
        200 {"mode":"IMPORT"}
        200 {"mode":"IMPORT"}
        422 {"error_code":42205,"message":"Cannot import since found existing subjects"}
        200 [1]
        200 {"mode":"IMPORT"}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn references_are_bounded_and_counted() {
    let mut served = Served::default();
    served.register("r", "\"int\"");
    let mut ask = |reference: Value, count: usize| {
        let references = vec![reference; count];
        let body = json!({ "schema": "\"string\"", "references": references });
        served.post("/subjects/a/versions", body)
    };
    let named = |name: String| json!({ "name": name, "subject": "r", "version": 1 });
    let refused = "422 {\"error_code\":42201,\"message\":\"Invalid schema: too many references, or too long ones\"}";
    assert_eq!(ask(named("n".repeat(1 << 19)), 1), refused);
    assert_eq!(ask(named("n".to_owned()), 65), refused);
    assert_eq!(ask(named("n".repeat(1000)), 1), "200 {\"id\":2}");
    let bytes = served.registry.counts().schema_bytes;
    assert!(bytes > 1000, "names of references are counted: {bytes}");
}

#[test]
fn versions_of_one_subject_may_name_each_other() {
    let mut served = Served::default();
    served.put("/config", json!({ "compatibility": "NONE" }));
    let reference = json!([{ "name": "r", "subject": "a", "version": 1 }]);
    let body = json!({ "schema": "\"long\"", "references": reference });
    served.register("a", "\"int\"");
    let said = [
        served.post("/subjects/a/versions", body.clone()),
        served.delete("/subjects/a/versions/1"),
        served.delete("/subjects/a/versions/2"),
        served.delete("/subjects/a/versions/1"),
        // What is deleted softly still names it.
        served.delete("/subjects/a/versions/1?permanent=true"),
        served.delete("/subjects/a?permanent=true"),
    ];
    expect![[r#"
        200 {"id":2}
        422 {"error_code":42206,"message":"One or more references exist to the schema of subject 'a', version 1"}
        200 2
        200 1
        422 {"error_code":42206,"message":"One or more references exist to the schema of subject 'a', version 1"}
        200 [1,2]"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn a_document_may_have_two_names() {
    let mut served = Served::default();
    let body = |schema: &Value, references: Value| json!({ "schema": schema.to_string(), "schemaType": "JSON", "references": references });
    let to = |name: &str, subject: &str| json!({ "name": name, "subject": subject, "version": 1 });
    served.post(
        "/subjects/n/versions",
        body(&json!({"type": "integer"}), json!([])),
    );
    let inner = json!({"$ref": "one.json"});
    served.post(
        "/subjects/i/versions",
        body(&inner, json!([to("one.json", "n")])),
    );
    let outer = |what: &str| {
        let schema = json!({"properties": {"a": {"$ref": "inner.json"}, "b": {"$ref": "two.json"}}, "title": what});
        body(&schema, json!([to("inner.json", "i"), to("two.json", "n")]))
    };
    let said = [
        served.post("/subjects/o/versions", outer("1")),
        served.post("/subjects/o/versions", outer("2")),
    ];
    assert_eq!(said, ["200 {\"id\":3}", "200 {\"id\":4}"]);
}

#[test]
fn one_schema_is_written_in_several_ways() {
    let mut served = Served::default();
    let of = |name: &str| format!("{{\"type\": \"enum\", {name}, \"symbols\": [\"A\"]}}");
    let said = [
        served.register("a", "\"string\""),
        served.register("a", "{\"type\": \"string\"}"),
        served.register("b", &of("\"name\": \"a.X\"")),
        served.register("b", &of("\"namespace\": \"a\", \"name\": \"X\"")),
        served.register("c", "{\"type\": \"int\", \"n\": 1 2}"),
        served.register("c", "[\"int\", \"int\"]"),
        served.register("c", &of("\"name\": \"a-b\"")),
    ];
    expect![[r#"
        200 {"id":1}
        200 {"id":1}
        200 {"id":2}
        200 {"id":2}
        422 {"error_code":42201,"message":"Invalid schema: JSON is expected: expected `,` or `}` at line 1 column 24"}
        422 {"error_code":42201,"message":"Invalid schema: a type of its own for each branch of a union is expected"}
        422 {"error_code":42201,"message":"Invalid schema: a name of letters, digits and underscores is expected"}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn an_answer_is_bounded_by_its_bytes() {
    let mut served = Served::default();
    let large = format!(
        "{{\"type\": \"string\", \"doc\": \"{}\"}}",
        "d".repeat(1_000_000)
    );
    for subject in 0..20 {
        served.register(&format!("s{subject:02}"), &large);
    }
    let counted = |said: String| {
        let said: Value = serde_json::from_str(&said[4..]).expect("JSON");
        said.as_array().map(Vec::len)
    };
    assert_eq!(counted(served.get("/schemas")), Some(5));
    assert_eq!(counted(served.get("/schemas?offset=5&limit=2")), Some(2));
    assert_eq!(counted(served.get("/subjects")), Some(20));
}

#[test]
fn what_is_compiled_is_counted_as_it_is() {
    let mut served = Served::default();
    let name = "a".repeat(400);
    let fields = (1..=4000).map(|number| format!("A f{number} = {number};"));
    let fields: String = fields.collect();
    let text = format!("package {name}; message A {{}} message B {{ {fields} }}");
    for subject in 0..5 {
        let body = json!({ "schema": text, "schemaType": "PROTOBUF" });
        served.post(&format!("/subjects/s{subject}/versions"), body);
    }
    let mut counted = |path: &str| {
        let said: Value = serde_json::from_str(&served.get(path)[4..]).expect("JSON");
        said.as_array().map(Vec::len)
    };
    assert_eq!(counted("/schemas"), Some(5));
    assert_eq!(counted("/schemas?format=serialized"), Some(2));
    assert_eq!(counted("/schemas?format=serialized&offset=2"), Some(2));
}

#[test]
fn the_last_number_of_a_version_is_the_last() {
    let mut served = Served::default();
    served.put("/mode/a", json!({ "mode": "IMPORT" }));
    let last = json!({ "schema": "\"int\"", "id": 1, "version": i32::MAX });
    let said = [
        served.post("/subjects/a/versions", last),
        served.import("a", "\"long\"", 2),
        served.delete("/mode/a"),
        served.register("a", "\"long\""),
        served.get("/subjects/a/versions/latest"),
    ];
    expect![[r#"
        200 {"id":1}
        507 {"error_code":50007,"message":"The registry holds no more: versions"}
        200 {"mode":"IMPORT"}
        507 {"error_code":50007,"message":"The registry holds no more: versions"}
        200 {"id":1,"schema":"\"int\"","subject":"a","version":2147483647}"#]]
    .assert_eq(&said.join("\n"));
}

#[test]
fn reading_a_schema_takes_steps() {
    let mut served = Served::default();
    let large = format!(
        "{{\"type\": \"string\", \"doc\": \"{}\"}}",
        "d".repeat(16_000)
    );
    served.register("a", &large);
    let mut steps = 1500;
    let mut read = || served.registry.parse_within(1, &mut steps);
    assert!(read().is_ok_and(|parsed| parsed.is_some()));
    assert!(
        read().is_ok_and(|parsed| parsed.is_none()),
        "steps are gone"
    );
}

#[test]
fn what_is_new_is_known_before_it_is_applied() {
    let mut served = Served::default();
    served.register("a", "\"int\"");
    let ask = |schema: &str| {
        let body = json!({ "schema": schema }).to_string();
        let request = Request {
            method: Method::Post,
            path: "/subjects/b/versions",
            query: "",
            body: body.as_bytes(),
        };
        let answer = served.registry.answer(request).expect("it is taken");
        let new = served.registry.new_schemas(&answer.records);
        let new = new.into_iter().map(|new| (new.id, new.text.to_string()));
        new.collect::<Vec<_>>()
    };
    assert_eq!(ask("\"long\""), [(2, "\"long\"".to_owned())]);
    assert_eq!(ask("\"int\""), []);
}
