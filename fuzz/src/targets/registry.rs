//! Requests to the schema registry.

use ::registry::{Method, Record, Registry, Request};

/// Requests of an input, at most: each looks at all that those before it have left.
const REQUESTS_MAX: usize = 16;

pub fn seeds() -> Vec<Vec<u8>> {
    let avro = r#"{"schema": "{\"type\": \"record\", \"name\": \"R\", \"fields\": [{\"name\": \"a\", \"type\": [\"null\", \"R\"], \"default\": null}]}"}"#;
    let wider = r#"{"schema": "{\"type\": \"record\", \"name\": \"R\", \"fields\": [{\"name\": \"b\", \"aliases\": [\"a\"], \"type\": \"long\", \"default\": 1}]}"}"#;
    let proto = r#"{"schemaType": "PROTOBUF", "schema": "message M { map<string, E> a = 1; oneof o { M b = 2; } enum E { A = 0; } }"}"#;
    let compiled =
        r#"{"schemaType": "PROTOBUF", "schema": "CgdkZWZhdWx0Eg0KAU0SCAoBYRgBIAEoBQ=="}"#;
    let json = r##"{"schemaType": "JSON", "schema": "{\"type\": \"object\", \"properties\": {\"a\": {\"$ref\": \"#\"}}, \"anyOf\": [true, {\"enum\": [1]}]}"}"##;
    let other = r#"{"schemaType": "JSON", "schema": "{\"type\": [\"object\", \"null\"], \"required\": [\"a\"]}"}"#;
    let conversations = [
        format!(
            "P/subjects/a/versions\n{avro}\0P/compatibility/subjects/a/versions/1?verbose\n{wider}"
        ),
        format!(
            "P/subjects/a/versions\n{proto}\0P/subjects/a/versions\n{compiled}\0G/schemas/ids/1?format=serialized\n"
        ),
        format!(
            "P/subjects/a/versions\n{json}\0U/config/a\n{{\"compatibility\": \"FULL\"}}\0P/subjects/a/versions\n{other}"
        ),
        format!(
            "P/subjects/a%2f/versions\n{avro}\0D/subjects/a%2f\n\0D/subjects/a%2f?permanent=true\n\0G/subjects?deleted=true\n"
        ),
    ];
    conversations.map(String::into_bytes).to_vec()
}

/// What is answered changes the registry only by its records, which add up to it.
pub fn requests(input: &[u8]) {
    let mut served = Registry::default();
    let mut log: Vec<Record> = Vec::new();
    let apply = |registry: &mut Registry, record: &Record| {
        let value = record.value.as_ref().map(String::as_bytes);
        registry.apply(record.key.as_bytes(), value);
    };
    for request in input.split(|byte| *byte == 0).take(REQUESTS_MAX) {
        let (head, body) = match request.iter().position(|byte| *byte == b'\n') {
            Some(at) => (&request[..at], &request[at + 1..]),
            None => (request, &[][..]),
        };
        let Ok(head) = std::str::from_utf8(head) else {
            continue;
        };
        let method = match head.bytes().next() {
            Some(b'P') => Method::Post,
            Some(b'U') => Method::Put,
            Some(b'D') => Method::Delete,
            _ => Method::Get,
        };
        let (path, query) = head.split_once('?').unwrap_or((head, ""));
        let path = path.get(1..).unwrap_or_default();
        let request = Request {
            method,
            path,
            query,
            body,
        };
        let answered = served.answer(request);
        for record in answered.map(|answer| answer.records).unwrap_or_default() {
            apply(&mut served, &record);
            log.push(record);
        }
    }
    let mut again = Registry::default();
    for record in &log {
        apply(&mut again, record);
    }
    assert_eq!(format!("{served:?}"), format!("{again:?}"));
    // What is no record of ours is passed over.
    served.apply(input, Some(input));
}

/// Trees of JSON and tables of types are many times their text, and every request may hold both sides of a comparison.
pub fn bytes_max(input_bytes: usize) -> usize {
    512 * input_bytes + (1 << 20)
}
