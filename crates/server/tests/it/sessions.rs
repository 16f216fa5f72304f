//! Statements whose session ends before they do.

use std::{
    net::TcpListener,
    thread,
    time::{Duration, Instant},
};

use super::node::Node;

/// Begun or not when its session went, it is whole: what only a part of the node knows, nobody could read, drop or make again.
#[test]
fn what_a_session_leaves_behind_can_be_used() {
    let node = Node::start("gone-session", &[]);
    let create = "CREATE TABLE t (n INT PRIMARY KEY)";
    node.tell_sql_and_go(create);
    node.wait_until("the table", || {
        node.ask_sql(create);
        node.ask_sql("SELECT count(*) FROM t").contains("SELECT 1")
    });
    node.tell_sql_and_go("DROP TABLE t");
    node.wait_until("it is gone", || {
        node.ask_sql("DROP TABLE IF EXISTS t");
        node.ask_sql("SELECT count(*) FROM t").contains("42P01")
    });
    node.wait_until("it is made again", || {
        node.ask_sql(create).contains("CREATE TABLE")
    });
}

/// So many statements wait for another cluster that no further one of their kind begins; what ends such waiting still does.
#[test]
fn a_relation_is_dropped_while_others_are_being_made() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let brokers = silent.local_addr().expect("it is bound");
    let node = Node::start("drop-beside", &[]);
    let made = node.ask_sql("CREATE TABLE t (n INT PRIMARY KEY)");
    assert!(made.contains("CREATE TABLE"), "{made}");
    let create = |number| {
        let source = format!(
            "CREATE SOURCE s{number} FROM TOPIC t (n BIGINT) WITH (bootstrap_servers = '{brokers}')"
        );
        node.sql(&source, false)
    };
    let waiting: Vec<_> = (0..80).map(create).collect();
    thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    let dropped = node.ask_sql("DROP TABLE t");
    assert!(dropped.contains("DROP TABLE"), "{dropped}");
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    drop(waiting);
}
