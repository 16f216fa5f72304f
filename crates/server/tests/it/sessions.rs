//! Statements whose session ends before they do.

use super::node::Node;

/// It was known to a part of the node only: nobody could read it, drop it, or make it again.
#[test]
fn what_is_made_when_its_session_goes_is_made() {
    let node = Node::start("gone-session", &[]);
    let create = "CREATE TABLE t (n INT PRIMARY KEY)";
    node.tell_sql_and_go(create);
    node.wait_until("the table", || {
        node.ask_sql("SELECT count(*) FROM t").contains("SELECT 1")
    });
    node.tell_sql_and_go("DROP TABLE t");
    node.wait_until("it is gone", || {
        node.ask_sql("SELECT count(*) FROM t").contains("42P01")
    });
    let made = node.ask_sql(create);
    assert!(made.contains("CREATE TABLE"), "{made:?}");
}
