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
