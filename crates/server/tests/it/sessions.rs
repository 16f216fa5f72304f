//! Statements whose session ends before they do.

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
