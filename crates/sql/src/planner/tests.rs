//! Dataflows of statements, as EXPLAIN shows them.

use expect_test::{Expect, expect};

use super::{define, explain, plan_query};
use crate::{
    catalog::Catalog,
    statement::{StatementKind, parse},
};

fn catalog(statements: &str) -> Catalog {
    let mut catalog = Catalog::default();
    for statement in parse(statements).expect("statements that parse") {
        let (relation, _) = define(&catalog, &statement).expect("definitions that hold");
        catalog.insert(relation);
    }
    catalog
}

fn shown(query: &str) -> String {
    let catalog = catalog(
        "CREATE TABLE t (a INT, b BIGINT, c TEXT, d DOUBLE PRECISION, at TIMESTAMPTZ);
         CREATE TABLE u (a INT PRIMARY KEY, x NUMERIC(10, 2));
         CREATE SOURCE s FROM TOPIC s (k TEXT, v INT, at TIMESTAMPTZ, WATERMARK FOR at AS at - INTERVAL '5 s')",
    );
    let mut statements = match parse(query) {
        Ok(statements) => statements,
        Err(error) => return format!("{error:?}"),
    };
    let statement = statements.pop().expect("one statement");
    match &statement.kind {
        StatementKind::Query(query) => match plan_query(&catalog, query, &[]) {
            Ok(planned) => {
                let fields: Vec<String> = planned
                    .fields
                    .iter()
                    .map(|field| format!("{} {}", field.name(), field.data_type()))
                    .collect();
                format!(
                    "{}\n{}\norder {:?} offset {} limit {:?}\n",
                    fields.join(", "),
                    explain(&planned.plan, &catalog).join("\n"),
                    planned.order,
                    planned.offset,
                    planned.limit
                )
            }
            Err(error) => format!("{error:?}"),
        },
        _ => match define(&catalog, &statement) {
            Ok((relation, definition)) => format!("{relation:?}\n{definition:#?}"),
            Err(error) => format!("{error:?}"),
        },
    }
}

fn check(query: &str, expected: Expect) {
    expected.assert_eq(&shown(query));
}

#[test]
fn scratch() {
    for query in std::fs::read_to_string("/tmp/q.sql")
        .unwrap_or_default()
        .split(";\n")
    {
        if query.trim().is_empty() {
            continue;
        }
        println!("== {query}\n{}", shown(query));
    }
    let _ = (check, expect![[""]]);
}
