//! A filter takes rows away wherever it is moved to.

use std::sync::Arc;

use crate::{database::with_stack, memory::Memory, wire::rows};

#[test]
fn a_row_that_is_there_without_input_is_filtered() {
    let backend = Arc::new(Memory::default());
    rows(&backend, "CREATE TABLE t (a INT)").expect("the statement is right");
    let counted = "SELECT 1 AS kind, count(*) AS n FROM t";
    let sets = "SELECT 1 AS kind, a, count(*) AS n FROM t GROUP BY GROUPING SETS ((a), ())";
    for (inner, filter, count) in [
        (counted, "kind = 2", 0),
        (counted, "kind + kind NOT IN (2)", 0),
        (counted, "kind = 2 AND n = 0", 0),
        (counted, "kind = 1 AND n = 0", 1),
        (sets, "kind + kind = 3", 0),
        (sets, "kind + kind = 3 AND a IS NULL", 0),
        (sets, "kind + kind = 2 AND a IS NULL", 1),
    ] {
        let question = format!("SELECT * FROM ({inner}) AS q WHERE {filter}");
        let found = with_stack(|| rows(&backend, &question));
        let found = found.unwrap_or_else(|error| panic!("{question}\n{error}"));
        assert_eq!(found.len(), count, "{question}");
    }
}

#[test]
fn what_can_fail_is_not_asked_of_rows_that_the_condition_before_it_leaves_out() {
    let backend = Arc::new(Memory::default());
    let made = [
        "CREATE TABLE t (a INT, at TIMESTAMP, few INT[])",
        "CREATE TABLE u (b INT, at TIMESTAMP)",
        "INSERT INTO t VALUES (-2147483648, TIMESTAMP '2020-01-01', '{1}'), (-2, TIMESTAMP '2020-01-02', '{2}')",
        "INSERT INTO u VALUES (1, TIMESTAMP '2019-01-01'), (2, TIMESTAMP '2020-01-02')",
    ];
    for statement in made {
        rows(&backend, statement).expect("the statement is right");
    }
    let day = "INTERVAL '1 day'";
    let late = "window_start >= TIMESTAMP '2020-01-02'";
    for (from, first) in [
        (format!("TUMBLE(t, at, {day})"), late),
        (format!("HOP(t, at, {day}, {day})"), late),
        (format!("CUMULATE(t, at, {day}, {day})"), late),
        ("SESSION(t, at, INTERVAL '1 hour')".into(), late),
        (
            "(SELECT a, unnest(few) AS one FROM t) AS q".into(),
            "one > 1",
        ),
        ("t ASOF JOIN u ON u.at <= t.at".into(), "b > 1"),
    ] {
        let question = format!("SELECT * FROM {from} WHERE {first} AND a * -1 > 0");
        let found = with_stack(|| rows(&backend, &question));
        let found = found.unwrap_or_else(|error| panic!("{question}\n{error}"));
        assert_eq!(found.len(), 1, "{question}");
    }
}
