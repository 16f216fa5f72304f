//! What is damaged of the stream engine's files keeps nobody from the log.

use std::fs;

use super::node::Node;

#[test]
fn a_damaged_checkpoint_stops_the_stream_engine_and_not_the_node() {
    let node = Node::start("damaged-checkpoint", &[]);
    let made = node.ask_sql("CREATE TABLE t (n INT PRIMARY KEY)");
    assert!(made.contains("CREATE TABLE"), "{made:?}");
    let node = node.restart_after(|dir| {
        let streams = dir.join("data/streams");
        fs::create_dir_all(&streams).expect("a directory for state");
        fs::write(streams.join("checkpoint"), [3; 40]).expect("a checkpoint");
    });
    // It is ready, and Kafka's clients are served.
    node.connect("kafka_addr");
    let answer = node.ask_sql("SELECT * FROM t");
    for part in [
        "the stream engine did not start",
        "the checksum of a checkpoint expected",
    ] {
        assert!(answer.contains(part), "{answer:?}");
    }
    let trace = node.trace();
    assert!(
        trace.contains("the stream engine does not start"),
        "{trace}"
    );
}
