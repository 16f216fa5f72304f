//! Relations of the metadata whose statements this release does not take.

use super::*;

fn kept(statements: &[(&str, &str)]) -> Vec<(u64, String, String)> {
    let numbered = (1..).zip(statements);
    numbered
        .map(|(id, (name, statement))| (id, (*name).to_owned(), (*statement).to_owned()))
        .collect()
}

#[test]
fn what_cannot_be_planned_stands_there_stopped() {
    let statements = [
        ("t", "CREATE TABLE t (n BIGINT PRIMARY KEY, m BIGINT)"),
        // Several rows may share the key: a release before took it.
        (
            "k",
            "CREATE SINK k INTO TOPIC k AS SELECT n, m FROM t FORMAT UPSERT KEY (m)",
        ),
        (
            "v",
            "CREATE MATERIALIZED VIEW v AS SELECT no_such_function(n) FROM t",
        ),
        ("w", "CREATE MATERIALIZED VIEW w AS SELECT * FROM v"),
        ("x", "CREATE MATERIALIZED VIEW x AS SELECT m FROM t"),
        ("y", "no statement at all"),
    ];
    let (catalog, relations) = planned(kept(&statements), Vec::new());
    let names: Vec<&str> = relations.iter().map(|one| one.name.as_str()).collect();
    assert_eq!(names, ["t", "x"]);
    let failed: Vec<(&str, &str)> = catalog
        .relations()
        .filter(|found| found.failure.is_some())
        .map(|found| (found.name.as_str(), found.kind.name()))
        .collect();
    let view = "materialized view";
    assert_eq!(
        failed,
        [("k", "sink"), ("v", view), ("w", view), ("y", view)]
    );
    let read = define(&catalog, "CREATE MATERIALIZED VIEW z AS SELECT * FROM v");
    let error = read.expect_err("its columns are not known");
    assert_eq!(error.sqlstate, *b"55000");
    assert_eq!(error.message, "relation \"v\" has stopped");
    let reports: Vec<_> = catalog.relations().filter_map(self::failed).collect();
    assert_eq!(reports.len(), 4);
    assert!(reports.iter().all(|report| report.failure.is_some()));
}
