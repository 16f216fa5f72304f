//! Tests of what is a point query.

use datafusion_sql::sqlparser::ast;

use super::*;
use crate::{
    catalog::Catalog,
    planner::{Planned, define, plan_query},
    statement::{StatementKind, parse},
};

fn planned(query: &str) -> Planned {
    let mut catalog = Catalog::default();
    let tables = "CREATE TABLE t (a INT, b BIGINT, c TEXT, PRIMARY KEY (a, b)); \
                  CREATE TABLE u (d DOUBLE PRECISION PRIMARY KEY, c TEXT)";
    for statement in parse(tables).expect("statements that parse") {
        let (relation, _) = define(&catalog, &statement).expect("definitions that hold");
        catalog.insert(relation);
    }
    let mut statements = parse(query).expect("a statement");
    let statement = statements.pop().expect("one of them");
    let StatementKind::Query(query): &StatementKind = &statement.kind else {
        panic!("no query");
    };
    let query: &ast::Query = query;
    plan_query(&catalog, query, &[]).expect("a plan")
}

/// Columns that are shown, and the key's values.
fn found(query: &str, key: &[usize], values: &[i64]) -> Option<(Vec<usize>, Vec<ScalarValue>)> {
    let planned = planned(query);
    let values: Vec<_> = values
        .iter()
        .map(|value| ScalarValue::from(*value))
        .collect();
    let values = planned.key(key, &values).expect("values that fit")?;
    Some((planned.point()?.columns.clone(), values))
}

#[test]
fn a_row_of_a_key_is_looked_up() {
    let both = vec![ScalarValue::from(1_i32), ScalarValue::from(2_i64)];
    for (query, columns) in [
        ("SELECT * FROM t WHERE a = $1 AND b = $2", vec![0, 1, 2]),
        (
            "SELECT c, a AS x, c AS y FROM t WHERE $2 = b AND a = $1",
            vec![2, 0, 2],
        ),
        (
            "SELECT y FROM (SELECT b, c, a FROM t) AS t (x, y, z) WHERE z = $1 AND x = $2",
            vec![2],
        ),
        ("SELECT c FROM t WHERE a = 1 AND b = 2", vec![2]),
        (
            "SELECT c FROM t WHERE a = $1 AND b = 2::bigint ORDER BY c LIMIT 1",
            vec![2],
        ),
    ] {
        let given: &[i64] = match query.matches('$').count() {
            0 => &[],
            1 => &[1],
            _ => &[1, 2],
        };
        assert_eq!(
            found(query, &[0, 1], given),
            Some((columns, both.clone())),
            "{query}"
        );
    }
}

#[test]
fn what_asks_for_more_is_no_look_up() {
    for query in [
        "SELECT c FROM t WHERE a = 1",
        "SELECT c FROM t WHERE a = 1 AND b = 2 AND c = 'x'",
        "SELECT c FROM t WHERE a = 1 AND b = 2 AND a = 3",
        "SELECT c FROM t WHERE a = 1 AND b > 2",
        "SELECT c FROM t WHERE a = 1 AND b = 2 LIMIT 0",
        "SELECT c FROM t WHERE a = 1 AND b = 2 OFFSET 1",
        "SELECT c FROM (SELECT * FROM t ORDER BY c LIMIT 1) AS x WHERE a = 1 AND b = 2",
        "SELECT c FROM (SELECT * FROM t WHERE a = 1 LIMIT 1) AS x WHERE b = 2",
        "SELECT c FROM t WHERE a = 1 AND b = 2 ORDER BY 1 / b",
        "SELECT c || 'x' FROM t WHERE a = 1 AND b = 2",
        "SELECT c, 7 FROM t WHERE a = 1 AND b = 2",
        "SELECT count(*) FROM t WHERE a = 1 AND b = 2",
        "SELECT DISTINCT c FROM t WHERE a = 1 AND b = 2",
        "SELECT c FROM t WHERE a = 1 AND b = NULL",
    ] {
        assert_eq!(found(query, &[0, 1], &[]), None, "{query}");
    }
    // Zero is equal to minus zero.
    assert_eq!(found("SELECT c FROM u WHERE d = 1", &[0], &[]), None);
}
