//! The schema registry's listener, and what is left when its topic cannot be read.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use super::node::Node;

/// More than may be worked on at once.
const SLOW: usize = 40;

#[test]
fn clients_that_send_slowly_keep_nobody_waiting() {
    let node = Node::start("slow-registry", &[]);
    let body = "{\"schema\": \"\\\"int\\\"\"}";
    let path = "/subjects/a/versions";
    let slow: Vec<_> = (0..SLOW).map(|_| node.registry(path, body, 3)).collect();
    let begun = Instant::now();
    let answer = node.ask_registry(path, body);
    assert!(answer.contains("{\"id\":1}"), "{answer}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    drop(slow);
}

const ORDER: &str = r#"{"schema": "{\"type\": \"record\", \"name\": \"Order\", \"fields\": [{\"name\": \"ident\", \"type\": \"long\"}]}"}"#;

/// Flips a bit of what the registry wrote; in how many places.
fn damage(dir: &Path) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found += damage(&path);
            continue;
        }
        let mut bytes = fs::read(&path).expect("a file");
        let word = b"\"keytype\"";
        let places: Vec<usize> = (0..bytes.len().saturating_sub(word.len()))
            .filter(|at| bytes[*at..].starts_with(word))
            .collect();
        for at in &places {
            bytes[at + 2] ^= 1;
        }
        if !places.is_empty() {
            fs::write(&path, bytes).expect("the file is ours");
        }
        found += places.len();
    }
    found
}

#[test]
fn a_source_goes_when_its_schemas_cannot_be_read() {
    let node = Node::start("unread-registry", &[]);
    node.make_topic("orders");
    let answer = node.ask_registry("/subjects/orders-value/versions", ORDER);
    assert!(answer.contains("{\"id\":1}"), "{answer}");
    for statement in [
        "CREATE SOURCE orders FROM TOPIC orders FORMAT AVRO USING SCHEMA REGISTRY",
        "CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS n FROM orders",
    ] {
        let made = node.ask_sql(statement);
        assert!(made.contains("CREATE "), "{made}");
    }
    let node = node.restart_after(|dir| assert!(damage(&dir.join("data")) > 0));
    let answer = node.ask_sql("SELECT * FROM counted");
    for part in ["the stream engine did not start", "_schemas"] {
        assert!(answer.contains(part), "{answer}");
    }
    let refused = node.ask_sql("DROP SOURCE orders");
    assert!(refused.contains("counted depends on orders"), "{refused}");
    let dropped = node.ask_sql("DROP SOURCE orders CASCADE");
    assert!(dropped.contains("DROP SOURCE"), "{dropped}");
    // Nothing hinders the engine any more.
    let node = node.restart_after(|_| {});
    let made = node.ask_sql("CREATE TABLE orders (n INT PRIMARY KEY)");
    assert!(made.contains("CREATE TABLE"), "{made}");
}
