//! Dataflows of statements, as EXPLAIN shows them.

use expect_test::{Expect, expect};

use super::{define, explain, plan_query};
use crate::{
    backend::SqlError,
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
fn group_of_a_filter() {
    check(
        "SELECT a, count(*) FROM t WHERE b > 1 GROUP BY a",
        expect![[r#"
            a Int32, count Int64
            Aggregate by [a]: Count()  (node 3, state: by keys)
              -> Project [Column(0)]  (node 2, state: none)
                -> Filter b@1 > 1  (node 1, state: none)
                  -> Read t  (node 0, state: none)
            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn order_and_limit_stand_beside_the_plan() {
    check(
        "SELECT a, sum(b) AS s FROM t GROUP BY a HAVING sum(b) > 3 ORDER BY s DESC LIMIT 3",
        expect![[r#"
            a Int32, s Int64
            Filter sum(t.b)@1 > 3  (node 2, state: none)
              -> Aggregate by [a]: Sum(b)  (node 1, state: by keys)
                -> Read t  (node 0, state: none)
            order [SortKey { column: 1, descending: true, nulls_first: true }] offset 0 limit Some(3)
        "#]],
    );
}

#[test]
fn join_with_a_condition_pushed_down() {
    check(
        "SELECT t.c, u.x FROM t JOIN u ON t.a = u.a WHERE t.b + 1 > 2",
        expect![[r#"
            c Utf8, x Decimal128(10, 2)
            Project [Column(1), Column(2)]  (node 6, state: none)
              -> Filter +(b@0, 1) > 2  (node 5, state: none)
                -> Project [Column(1), Column(2), Column(4)]  (node 4, state: none)
                  -> Inner join on [#0 = #0]  (node 3, state: by rows)
                    -> Filter may_hold(+(b@1, 1) > 2)  (node 1, state: none)
                      -> Read t  (node 0, state: none)
                    -> Read u  (node 2, state: none)
            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn subqueries_become_joins() {
    check(
        "SELECT c, (SELECT max(x) FROM u WHERE u.a = t.a) FROM t WHERE a NOT IN (SELECT a FROM u)",
        expect![[r#"
            c Utf8, max Decimal128(10, 2)
            Project [Column(1), Column(2)]  (node 8, state: none)
              -> Left join on [#0 = #1]  (node 7, state: by rows)
                -> LeftAntiNullAware join on [#0 = #0]  (node 3, state: by rows)
                  -> Read t  (node 0, state: none)
                  -> Project [Column(0)]  (node 2, state: none)
                    -> Read u  (node 1, state: none)
                -> Project [Column(1), Column(0)]  (node 6, state: none)
                  -> Aggregate by [asked_0]: Max(x)  (node 5, state: by keys)
                    -> Project [Column(1), Column(0)]  (node 4, state: none)
                      -> Read u  (node 1, state: none)
            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn a_bound_on_row_number_is_a_top() {
    check(
        "SELECT a, b FROM (SELECT a, b, row_number() OVER (PARTITION BY a ORDER BY b DESC) AS rn FROM t) q WHERE rn <= 3",
        expect![[r#"
            a Int32, b Int64
            Project [Column(0), Column(1)]  (node 2, state: none)
              -> Top 3 from 0 by row_number in [a] order [b]  (node 1, state: by rows)
                -> Read t  (node 0, state: none)
            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn windows_over_a_source() {
    check(
        "SELECT window_start, k, count(*) FROM TUMBLE(s, at, INTERVAL '1 hour') GROUP BY window_start, k",
        expect![[r#"
            window_start Timestamp(µs, "UTC"), k Utf8, count Int64
            Aggregate by [window_start, k]: Count()  (node 4, state: by keys)
              -> Project [Column(0), Column(2)]  (node 3, state: none, append-only)
                -> Tumble by at  (node 2, state: none, append-only)
                  -> Filter at@1 IS NOT NULL  (node 1, state: none, append-only)
                    -> Read s  (node 0, state: none, append-only)
            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn counts_of_rows_in_except_all() {
    check(
        "SELECT a FROM t EXCEPT ALL SELECT a FROM u",
        expect![[r#"
            a Int32
            Except all  (node 2, state: by rows)
              -> Read t  (node 0, state: none)
              -> Read u  (node 1, state: none)
            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn parameters_wait_for_values() {
    check(
        "SELECT $1::int + a FROM t WHERE c = $2",
        expect![[r#"
            ?column? Int32

            order [] offset 0 limit None
        "#]],
    );
}

#[test]
fn a_column_that_is_not_there() {
    check(
        "SELECT x FROM t",
        expect![[
            r#"SqlError { sqlstate: [52, 50, 55, 48, 51], message: "column \"x\" does not exist", detail: None, hint: None, context: None, position: None, location: Some((1, 8)) }"#
        ]],
    );
}

#[test]
fn a_relation_that_is_not_there() {
    check(
        "SELECT * FROM nope",
        expect![[
            r#"SqlError { sqlstate: [52, 50, 80, 48, 49], message: "relation \"nope\" does not exist", detail: None, hint: None, context: None, position: None, location: Some((1, 15)) }"#
        ]],
    );
}

#[test]
fn a_word_out_of_place() {
    check(
        "SELECT FROM WHERE",
        expect![[
            r#"SqlError { sqlstate: [52, 50, 80, 48, 49], message: "relation \"where\" does not exist", detail: None, hint: None, context: None, position: None, location: Some((1, 13)) }"#
        ]],
    );
}

#[test]
fn an_append_sink_of_changing_rows() {
    check(
        "CREATE SINK k INTO TOPIC k AS SELECT a, count(*) FROM t GROUP BY a FORMAT APPEND",
        expect![[
            r#"SqlError { sqlstate: [52, 50, 80, 49, 55], message: "rows of this query change, and an append sink cannot take them back", detail: None, hint: Some("Use FORMAT UPSERT KEY (…) or FORMAT DEBEZIUM."), context: None, position: None, location: None }"#
        ]],
    );
}

/// One row that goes would take the others of its key with it.
#[test]
fn a_sink_whose_key_several_rows_may_share() {
    let told = |query: &str| {
        let text = format!("CREATE SINK k INTO TOPIC k AS {query}");
        let mut statements = parse(&text).expect("a statement");
        let catalog = catalog(
            "CREATE TABLE t (a INT PRIMARY KEY, b INT); CREATE SOURCE s FROM TOPIC s (a BIGINT, b BIGINT)",
        );
        match define(&catalog, &statements.pop().expect("one")) {
            Ok(_) => "made".to_owned(),
            Err(error) => format!("{}; {}", error.message, error.hint.unwrap_or_default()),
        }
    };
    let found = [
        "SELECT a, b FROM t FORMAT UPSERT KEY (a)",
        "SELECT a, b FROM t FORMAT UPSERT KEY (a, b)",
        "SELECT a, b FROM t FORMAT UPSERT KEY (b)",
        "SELECT a, b FROM t FORMAT DEBEZIUM",
        "SELECT b FROM t FORMAT DEBEZIUM",
        "SELECT b FROM t FORMAT UPSERT KEY (b)",
        "SELECT a, b, count(*) FROM s GROUP BY a, b FORMAT DEBEZIUM KEY (a)",
        "SELECT a, b FROM s FORMAT UPSERT KEY (b)",
        "SELECT a, b FROM s FORMAT DEBEZIUM",
        "SELECT b FROM t FORMAT UPSERT KEY (b) NOT ENFORCED",
    ]
    .map(told);
    expect![[r#"
        [
            "made",
            "made",
            "several rows of this query may have the same (b); What its rows differ in is KEY (a).",
            "made",
            "this sink needs KEY (…): the query has no key of its own; ",
            "several rows of this query may have the same (b); Group by the columns of KEY, or say KEY (…) NOT ENFORCED where you know better.",
            "several rows of this query may have the same (a); What its rows differ in is KEY (a, b).",
            "made",
            "made",
            "made",
        ]
    "#]].assert_debug_eq(&found);
}

#[test]
fn topics_of_external_clusters_are_told_from_own_ones() {
    let topic = |text: &str| {
        let mut statements = parse(text).expect("a statement");
        let catalog = catalog("CREATE TABLE t (a INT PRIMARY KEY)");
        match define(&catalog, &statements.pop().expect("one")) {
            Ok((_, streams::Definition::Source(source))) => source.topic,
            Ok((_, streams::Definition::Sink(sink))) => sink.topic.unwrap_or_default(),
            Ok(_) => "neither".to_owned(),
            Err(error) => error.message,
        }
    };
    let found = [
        "CREATE SOURCE s FROM TOPIC x (a BIGINT) WITH (bootstrap_servers = 'one:9092, 10.0.0.2')",
        "CREATE SINK k INTO TOPIC x WITH (bootstrap_servers = 'one:9092') AS SELECT a FROM t FORMAT UPSERT KEY (a)",
        "CREATE SINK k INTO TOPIC x AS SELECT a FROM t FORMAT UPSERT KEY (a) WITH (bootstrap_servers = '[::1]:9092')",
        "CREATE SINK k INTO TOPIC x AS SELECT a FROM t FORMAT UPSERT KEY (a)",
        "CREATE SINK k INTO TOPIC x WITH (bootstrap_servers = 'one/two') AS SELECT a FROM t",
        "CREATE SINK k INTO BLACKHOLE WITH (bootstrap_servers = 'one:9092') AS SELECT a FROM t",
        "CREATE SOURCE s FROM TOPIC 'kafka://x y/t' (a BIGINT)",
        "CREATE SINK k INTO TOPIC 'kafka://x/t' AS SELECT a FROM t FORMAT UPSERT KEY (a)",
        "CREATE SOURCE s FROM TOPIC s (a BIGINT) WITH (on_malformed = 'dead_letter', dead_letter_topic = 's')",
        "CREATE SOURCE s FROM TOPIC s (a BIGINT) WITH (bootstrap_servers = 'one', on_malformed = 'dead_letter', dead_letter_topic = 's')",
    ]
    .map(topic);
    expect![[r#"
        [
            "kafka://one:9092,10.0.0.2/x",
            "kafka://one:9092/x",
            "kafka://[::1]:9092/x",
            "x",
            "bootstrap_servers is not \"one/two\"",
            "unrecognized option \"bootstrap_servers\" or value of it",
            "\"kafka://x y/t\" is no topic of this node",
            "\"kafka://x/t\" is no topic of this node",
            "dead letters of topic \"s\" cannot go there again",
            "kafka://one/s",
        ]
    "#]]
    .assert_debug_eq(&found);
}

/// A plan has no large values that the optimiser has computed: those are made within the memory of a question.
#[test]
fn large_constants_are_not_kept() {
    for made in [
        "repeat('x', 100000)",
        "ARRAY[repeat('x', 100000)]",
        "repeat('x', 60000) || repeat('y', 60000)",
    ] {
        let query = format!("SELECT {made} FROM t");
        let catalog = catalog("CREATE TABLE t (a INT)");
        let statement = parse(&query).expect(&query).pop().expect("one");
        let StatementKind::Query(query) = &statement.kind else {
            panic!("a query was expected");
        };
        let planned = plan_query(&catalog, query, &[]).expect(made);
        let plan = format!("{:?}", planned.plan);
        assert!(plan.len() < 10_000, "{made}: {} letters", plan.len());
    }
}

#[test]
fn sources_have_the_format_they_name() {
    let proto =
        "syntax = \"proto3\"; message M { int64 a = 1; N b = 2; message N { string c = 1; } }";
    let avro = r#"{"type": "record", "name": "M", "fields": [{"name": "a", "type": "long"}]}"#;
    let define = |columns: &str, rest: &str| {
        let text = format!("CREATE SOURCE s FROM TOPIC s ({columns}) FORMAT {rest}");
        let mut statements = match parse(&text) {
            Ok(statements) => statements,
            Err(error) => return Some(error.message),
        };
        let statement = statements.pop().expect("one");
        let defined = define(&Catalog::default(), &statement);
        defined.err().map(|error| error.message)
    };
    let cases = [
        (
            "a BIGINT, c TEXT PATH 'b.c'",
            format!("PROTOBUF WITH (schema = '{proto}', message = 'M')"),
            None,
        ),
        (
            "a BIGINT",
            format!("PROTOBUF WITH (schema = '{proto}', message = 'M', framing = 'confluent')"),
            None,
        ),
        (
            "a TEXT",
            format!("PROTOBUF WITH (schema = '{proto}', message = 'M')"),
            Some("column a: the field cannot become Utf8"),
        ),
        (
            "a BIGINT",
            "PROTOBUF WITH (message = 'M')".to_owned(),
            Some("FORMAT PROTOBUF needs its schema"),
        ),
        ("a BIGINT", format!("AVRO WITH (schema = '{avro}')"), None),
        (
            "z BIGINT",
            format!("AVRO WITH (schema = '{avro}')"),
            Some("column z: the schema has no such field"),
        ),
        (
            "a BIGINT, c TEXT PATH '$.b.c'",
            format!("PROTOBUF (SCHEMA '{proto}', MESSAGE 'M', FRAMING confluent)"),
            None,
        ),
        (
            "a BIGINT",
            format!("AVRO (SCHEMA '{avro}', FRAMING 'confluent') WITH (on_malformed = 'stop')"),
            None,
        ),
        (
            "a BIGINT PATH 'p[0].\"q.r\"', b TEXT[] PATH 'tags'",
            "JSON WITH (on_malformed = 'dead_letter', dead_letter_topic = 'bad', max_future = '2 hours')"
                .to_owned(),
            None,
        ),
        (
            "a BIGINT PATH 'p..q'",
            "JSON".to_owned(),
            Some("\"p..q\" is no path"),
        ),
        (
            "a BIGINT",
            "JSON WITH (on_malformed = 'ignore')".to_owned(),
            Some("invalid value for option \"on_malformed\": \"ignore\""),
        ),
        (
            "a TEXT, written TIMESTAMPTZ METADATA FROM 'timestamp', \"offset\" BIGINT METADATA",
            "RAW".to_owned(),
            None,
        ),
        (
            "a TEXT, written TEXT METADATA FROM 'timestamp'",
            "RAW".to_owned(),
            Some("column written: the field cannot become Utf8"),
        ),
        (
            "a BIGINT, b TEXT",
            "CSV WITH (delimiter = ';')".to_owned(),
            None,
        ),
        (
            "a BIGINT, b TEXT",
            "RAW".to_owned(),
            Some("raw records hold one column, not 2"),
        ),
        (
            "a INTERVAL",
            "JSON".to_owned(),
            Some("column a: this format holds no Interval(MonthDayNano)"),
        ),
        (
            "a BIGINT",
            "JSON WITH (on_malformed = 'dead_letter', dead_letter_topic = 's')".to_owned(),
            Some("dead letters of topic \"s\" cannot go there again"),
        ),
        (
            "a BIGINT",
            "JSON WITH (framing = 'confluent')".to_owned(),
            Some("FORMAT JSON has no option \"framing\""),
        ),
        (
            "a BIGINT",
            format!("AVRO WITH (schema = '{avro}', framing = 'x')"),
            Some("invalid value for option \"framing\": \"x\""),
        ),
        (
            "a BIGINT, b TEXT",
            "CSV WITH (delimiter = '||')".to_owned(),
            Some("invalid value for option \"delimiter\": \"||\""),
        ),
        (
            "a BIGINT",
            "XML".to_owned(),
            Some("format XML is not supported"),
        ),
    ];
    for (columns, rest, expected) in cases {
        assert_eq!(define(columns, &rest).as_deref(), expected, "{rest}");
    }
}

#[test]
fn state_of_closed_windows_goes_where_late_rows_are_dropped() {
    let state = |rest: &str| {
        let text = format!("CREATE MATERIALIZED VIEW v {rest}");
        let statement = parse(&text).expect("a statement").pop().expect("one");
        let catalog = catalog(
            "CREATE SOURCE s FROM TOPIC s (k TEXT, v INT, at TIMESTAMPTZ, WATERMARK FOR at AS at - INTERVAL '5 s');
             CREATE SOURCE plain FROM TOPIC s (k TEXT, at TIMESTAMPTZ)",
        );
        let (_, definition) = match define(&catalog, &statement) {
            Ok(defined) => defined,
            Err(error) => return vec![error.message],
        };
        let streams::Definition::View(view) = definition else {
            panic!("a view was made");
        };
        let lines = explain(&view.plan, &catalog).into_iter();
        lines
            .filter(|line| line.contains("bounded"))
            .map(|line| line.trim().to_owned())
            .collect()
    };
    let counts =
        "SELECT window_end, k, count(*) FROM TUMBLE(s, at, INTERVAL '1 minute') GROUP BY 1, 2";
    let cases = [
        (format!("AS {counts}"), expect![[""]]),
        (format!("WITH (late_rows = 'drop') AS {counts}"), expect![[r#"
            Aggregate by [window_end, k]: Count()  (node 4, state: bounded by watermark)"#]]),
        (format!("AS {counts} EMIT ON WINDOW CLOSE"), expect![[r#"
            Emit when window_end closes  (node 5, state: bounded by watermark, append-only)
            -> Aggregate by [window_end, k]: Count()  (node 4, state: bounded by watermark)"#]]),
        (
            "WITH (late_rows = 'drop') AS SELECT k, window_end, count(*) FROM SESSION(s, at, INTERVAL '1 minute', PARTITION BY k) GROUP BY k, window_end".to_owned(),
            expect![[r#"
                Aggregate by [k, window_end]: Count()  (node 4, state: bounded by watermark)
                -> Sessions of [k] by at  (node 2, state: bounded by watermark)"#]],
        ),
        // Rows come and go by the clock when their windows are long closed.
        (
            "WITH (late_rows = 'drop') AS SELECT window_end, count(*) FROM TUMBLE(s, at, INTERVAL '1 minute') \
             WHERE at < now() - INTERVAL '1 hour' GROUP BY 1"
                .to_owned(),
            expect![[""]],
        ),
        (
            "AS SELECT window_end, k FROM TUMBLE(s, at, INTERVAL '1 minute') \
             WHERE at < now() - INTERVAL '1 hour' EMIT ON WINDOW CLOSE"
                .to_owned(),
            expect![[
                "EMIT ON WINDOW CLOSE with now() is not supported: rows come and go after their windows are closed"
            ]],
        ),
        (
            "WITH (late_rows = 'drop') AS SELECT at, count(*) FROM s WHERE at NOT IN (SELECT at FROM s WHERE v > 1) \
             GROUP BY at"
                .to_owned(),
            expect![[""]],
        ),
        (
            "WITH (late_rows = 'drop') AS SELECT a.k, a.v + b.v AS v FROM s AS a JOIN s AS b ON a.k = b.k \
             AND b.at BETWEEN a.at - INTERVAL '1 hour' AND a.at + INTERVAL '1 minute'".to_owned(),
            expect!["-> Inner join on [#0 = #0] if at@5 >= at@2 - IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 3600000000000 } AND at@5 <= at@2 + IntervalMonthDayNano { months: 0, days: 0, nanoseconds: 60000000000 }  (node 1, state: bounded by watermark, append-only)"],
        ),
        (
            "WITH (late_rows = 'drop') AS SELECT a.k FROM s AS a LEFT JOIN s AS b ON a.k = b.k \
             AND a.at > b.at AND a.at < b.at + INTERVAL '1 day'".to_owned(),
            expect!["-> Left join on [#0 = #0] if at@1 > at@3 AND at@1 < at@3 + IntervalMonthDayNano { months: 0, days: 1, nanoseconds: 0 }  (node 1, state: bounded by watermark)"],
        ),
        // Its left rows would be looked for for ever.
        (
            "WITH (late_rows = 'drop') AS SELECT a.k FROM s AS a JOIN s AS b ON a.k = b.k AND a.at > b.at".to_owned(),
            expect![[""]],
        ),
        (
            "AS SELECT a.k FROM s AS a JOIN s AS b ON a.k = b.k AND a.at = b.at + INTERVAL '1 hour'".to_owned(),
            expect![[""]],
        ),
        (
            "WITH (late_rows = 'drop') AS SELECT window_start, k FROM TUMBLE(plain, at, INTERVAL '1 minute')".to_owned(),
            expect!["no window ever closes: nothing that the query reads has a watermark"],
        ),
    ];
    for (rest, expected) in cases {
        expected.assert_eq(&state(&rest).join("\n"));
    }
}

#[test]
fn a_join_with_versions_is_an_as_of_join_by_event_time() {
    let catalog = catalog(
        "CREATE SOURCE orders FROM TOPIC o (cur TEXT, price INT, at TIMESTAMPTZ);
         CREATE SOURCE rates FROM TOPIC r (cur TEXT, rate INT, since TIMESTAMPTZ, WATERMARK FOR since AS since);
         CREATE TABLE plain (cur TEXT, rate INT, since TIMESTAMPTZ)",
    );
    let plan = |join: &str| -> Result<String, SqlError> {
        let text = format!(
            "CREATE MATERIALIZED VIEW v AS SELECT price * rate AS paid FROM orders AS o {join}"
        );
        let statement = parse(&text)?.pop().expect("one");
        match define(&catalog, &statement)?.1 {
            streams::Definition::View(view) => Ok(format!("{:?}", view.plan)),
            _ => panic!("a view was made"),
        }
    };
    let as_of = |kind: &str| {
        plan(&format!(
            "ASOF {kind} JOIN rates AS r ON o.cur = r.cur AND o.at >= r.since"
        ))
    };
    for kind in ["", "LEFT"] {
        for aliased in ["AS r", "r"] {
            let versions =
                format!("{kind} JOIN rates FOR SYSTEM_TIME AS OF o.at {aliased} ON o.cur = r.cur");
            assert_eq!(plan(&versions), as_of(kind), "{versions}");
        }
    }
    for (join, wanted) in [
        (
            "JOIN plain FOR SYSTEM_TIME AS OF o.at AS r ON o.cur = r.cur",
            "FOR SYSTEM_TIME AS OF wants a source, or a view whose rows only come, with a watermark",
        ),
        (
            "JOIN rates FOR SYSTEM_TIME AS OF r.since AS r ON o.cur = r.cur",
            "FOR SYSTEM_TIME AS OF wants a time of the left side",
        ),
        (
            "JOIN rates FOR SYSTEM_TIME AS OF now() AS r ON o.cur = r.cur",
            "FOR SYSTEM_TIME AS OF wants a column of the other side, and a join with ON",
        ),
        (
            "JOIN rates FOR SYSTEM_TIME AS OF o.at AS r USING (cur)",
            "FOR SYSTEM_TIME AS OF wants a column of the other side, and a join with ON",
        ),
    ] {
        let refused: SqlError = plan(join).expect_err(join);
        assert_eq!(refused.message, wanted, "{join}");
    }
}
