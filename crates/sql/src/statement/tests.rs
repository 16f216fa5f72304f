//! Statements as they are read, and places of errors.

use super::{CopyFormat, CopyHeader, CopyKind, DropKind, FetchCount, StatementKind, parse};
use crate::backend::RegisteredSchema;

fn one(text: &str) -> StatementKind {
    let mut statements = parse(text).expect("a statement that parses");
    assert_eq!(statements.len(), 1, "{text}");
    statements.remove(0).kind
}

#[test]
fn a_source_with_paths_options_and_watermark() {
    let StatementKind::CreateSource(source) = one(
        "CREATE SOURCE IF NOT EXISTS flights FROM TOPIC my-flights.raw (
           origin TEXT PATH 'from.code.0', delay INT, at TIMESTAMPTZ,
           WATERMARK FOR at AS at - INTERVAL '5 minutes') FORMAT JSON WITH (on_malformed = 'stop')",
    ) else {
        panic!("a source was expected");
    };
    assert_eq!(source.name, "flights");
    assert!(source.if_not_exists);
    assert_eq!(source.topic, "my-flights.raw");
    assert_eq!(source.columns.len(), 3);
    let path = source.columns[0].path.as_deref();
    assert_eq!(
        path,
        Some(["from", "code", "0"].map(str::to_owned).as_slice())
    );
    assert_eq!(
        source.watermark.map(|watermark| watermark.column),
        Some("at".to_owned())
    );
    assert_eq!(
        source.options,
        [("on_malformed".to_owned(), "stop".to_owned())]
    );
}

#[test]
fn words_behind_a_query_are_no_alias_in_it() {
    let StatementKind::CreateView(view) =
        one("CREATE MATERIALIZED VIEW v AS SELECT a FROM t EMIT ON WINDOW CLOSE")
    else {
        panic!("a view was expected");
    };
    assert!(view.emit_on_window_close);
    assert_eq!(view.query.to_string(), "SELECT a FROM t");
    let StatementKind::CreateSink(sink) =
        one("CREATE SINK s INTO TOPIC out AS SELECT a, b FROM v FORMAT UPSERT KEY (a)")
    else {
        panic!("a sink was expected");
    };
    assert_eq!(sink.query.to_string(), "SELECT a, b FROM v");
    assert_eq!(
        (sink.envelope.as_str(), sink.key),
        ("UPSERT", vec!["a".to_owned()])
    );
}

#[test]
fn several_statements_keep_their_own_text() {
    let statements =
        parse("SELECT 1; ; SELECT ';' ;\nDROP VIEW IF EXISTS a, B CASCADE").expect("three");
    let texts: Vec<&str> = statements
        .iter()
        .map(|statement| statement.text.as_str())
        .collect();
    assert_eq!(
        texts,
        ["SELECT 1", "SELECT ';'", "DROP VIEW IF EXISTS a, B CASCADE"]
    );
    let StatementKind::Drop(drop) = &statements[2].kind else {
        panic!("a drop was expected");
    };
    assert_eq!(drop.kind, DropKind::View);
    assert_eq!(drop.names, ["a", "b"]);
    assert!(drop.if_exists && drop.cascade);
}

#[test]
fn small_statements() {
    assert!(matches!(one("SHOW tables"), StatementKind::Show(words) if words == ["tables"]));
    assert!(matches!(one("flush"), StatementKind::Flush));
    assert!(matches!(
        one("SUBSCRIBE TO v WITH SNAPSHOT"),
        StatementKind::Subscribe { relation, with_snapshot: true } if relation == "v"
    ));
    assert!(matches!(
        one("SET forebay.after = live"),
        StatementKind::Set { name, values, is_local: false } if name == "forebay.after" && values == ["live"]
    ));
    assert!(matches!(
        one("EXPLAIN (ANALYZE) SELECT 1"),
        StatementKind::Explain { analyze: true, .. }
    ));
    assert!(matches!(
        one("FETCH FORWARD ALL FROM c"),
        StatementKind::Fetch {
            count: FetchCount::All,
            ..
        }
    ));
    assert!(
        matches!(one("ROLLBACK TO SAVEPOINT p"), StatementKind::RollbackTo { name } if name == "p")
    );
    assert!(matches!(
        one("COPY (SUBSCRIBE TO v WITH SNAPSHOT) TO STDOUT"),
        StatementKind::Copy {
            of: super::Copied::Changes { relation, with_snapshot: true },
            format,
        } if relation == "v" && format.kind == CopyKind::Text
    ));
    assert!(matches!(
        one("COPY (SELECT 1) TO STDOUT WITH (FORMAT csv, HEADER)"),
        StatementKind::Copy { format, .. }
            if format.kind == CopyKind::Csv && format.header == CopyHeader::Present
    ));
}

#[test]
fn copies_are_written_in_two_ways() {
    let of = |text: &str| match one(text) {
        StatementKind::CopyFrom(from) => (from.table, from.columns, from.format),
        other => panic!("{other:?}"),
    };
    let (table, columns, format) = of(
        "COPY public.t (a, \"B\") FROM STDIN WITH (FORMAT csv, DELIMITER ';', NULL 'none', HEADER match, QUOTE '''', ESCAPE '~')",
    );
    assert_eq!(
        (table.as_str(), columns),
        ("t", vec!["a".to_owned(), "B".to_owned()])
    );
    let wanted = CopyFormat {
        kind: CopyKind::Csv,
        header: CopyHeader::Matches,
        delimiter: b';',
        null: "none".to_owned(),
        quote: b'\'',
        escape: b'~',
    };
    assert_eq!(format, wanted);
    let (_, columns, old) = of(
        "COPY t FROM STDIN WITH DELIMITER AS ';' NULL AS 'none' CSV HEADER QUOTE AS '''' ESCAPE AS '~'",
    );
    let header = CopyHeader::Present;
    assert_eq!(
        (columns, old),
        (Vec::new(), CopyFormat { header, ..wanted })
    );
    for refused in [
        "COPY t FROM STDIN (FORMAT xml)",
        "COPY t FROM STDIN (DELIMITER 'ab')",
        "COPY t FROM STDIN (DELIMITER 'x')",
        "COPY t FROM STDIN (QUOTE '\"')",
        "COPY t FROM STDIN (FORMAT binary, HEADER)",
        "COPY t FROM STDIN (FORMAT csv, NULL ',')",
        "COPY t FROM STDIN (what)",
        "COPY t FROM STDIN WHERE a > 1",
        "COPY t TO STDOUT (HEADER match)",
        "COPY t FROM '/etc/passwd'",
    ] {
        assert!(parse(refused).is_err(), "{refused}");
    }
}

/// What runs another statement, or changes relations, is never prepared: it could run itself.
#[test]
fn what_is_prepared_is_a_query_or_a_change() {
    for text in [
        "PREPARE q AS EXECUTE r",
        "PREPARE q AS CREATE TABLE t (a INT)",
        "PREPARE q AS EXPLAIN SELECT 1",
        "PREPARE q AS PREPARE r AS SELECT 1",
    ] {
        let error = parse(text).expect_err(text);
        assert_eq!(
            (error.sqlstate, error.position),
            (*b"42601", Some(14)),
            "{text}"
        );
    }
    for inner in ["SELECT 1 + 2", "(VALUES (1))", "INSERT INTO t VALUES ($1)"] {
        let text = format!("SELECT 'é'; PREPARE q (int) AS {inner} ; SELECT 3");
        let mut statements = parse(&text).expect(&text);
        let StatementKind::Prepare { statement, .. } = statements.remove(1).kind else {
            panic!("{text}");
        };
        assert_eq!(statement.text, inner);
    }
}

#[test]
fn errors_name_the_word_and_its_place() {
    let cases = [
        ("SELECT 1 FROM", "syntax error at end of input", 14),
        (
            "CREATE SOURCE s OF TOPIC t (a INT)",
            "syntax error at or near \"OF\"",
            17,
        ),
        (
            "SELECT 1;\nDROP NOTHING x",
            "syntax error at or near \"NOTHING\"",
            16,
        ),
        ("frobnicate", "syntax error at or near \"frobnicate\"", 1),
    ];
    for (text, message, position) in cases {
        let error = parse(text).expect_err(text);
        assert_eq!(
            (error.message.as_str(), error.position),
            (message, Some(position)),
            "{text}"
        );
    }
}

#[test]
fn a_registered_schema_is_written_into_the_statement() {
    let found = RegisteredSchema {
        format: "PROTOBUF",
        text: "// it's\nmessage Order {}".into(),
        others: vec![("m.proto".to_owned(), "message M {}".into())],
    };
    let text = "SELECT 'é'; CREATE SOURCE s FROM TOPIC t (a INT) FORMAT protobuf USING SCHEMA REGISTRY (MESSAGE 'Order') \
                WITH (on_malformed = 'stop'); SELECT 2";
    let statement = parse(text).expect(text).remove(1);
    assert_eq!(statement.subject().as_deref(), Some("t-value"));
    let resolved = statement
        .with_schema(&found)
        .expect("a schema of its format");
    assert_eq!(
        resolved.text,
        "CREATE SOURCE s FROM TOPIC t (a INT) FORMAT protobuf (SUBJECT 't-value', FRAMING REGISTRY, \
         SCHEMA '// it''s\nmessage Order {}', REFERENCES '[[\"m.proto\",\"message M {}\"]]', MESSAGE 'Order') \
         WITH (on_malformed = 'stop')"
    );
    assert_eq!(resolved.subject(), None);
    let named =
        "CREATE SOURCE s FROM TOPIC t FORMAT AVRO USING CONFLUENT SCHEMA REGISTRY (SUBJECT 'x')";
    let named = parse(named).expect(named).remove(0);
    assert_eq!(named.subject().as_deref(), Some("x"));
    let lost =
        "CREATE SOURCE s FROM TOPIC t FORMAT AVRO USING SCHEMA REGISTRY (ON_MALFORMED 'stop')";
    let lost = parse(lost).expect_err("the schema would take its place");
    assert_eq!(
        lost.message,
        "USING SCHEMA REGISTRY has no option \"on_malformed\""
    );
    let refused = named.with_schema(&found).expect_err("another format");
    assert_eq!(
        refused.message,
        "subject \"x\" has a schema of type PROTOBUF, not AVRO"
    );
}

#[test]
fn nesting_and_length_are_bounded() {
    let deep = format!("SELECT {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(parse(&deep).expect_err("too deep").sqlstate, *b"54001");
    let chain = format!("SELECT {}1", "1 + ".repeat(1_500));
    assert_eq!(
        parse(&chain).expect_err("too many operators").sqlstate,
        *b"54001"
    );
    let list = format!("INSERT INTO t VALUES (0){}", ", (-1::int)".repeat(1_500));
    parse(&list).expect("a list is not deep");
    // Deep in spite of commas, or by words.
    let relations: Vec<String> = (0..300).map(|number| format!("t t{number}")).collect();
    let tables: Vec<String> = (0..300).map(|n| format!("c{n} AS (SELECT 1)")).collect();
    for deep in [
        format!("SELECT 1{}", " NOTNULL".repeat(9_000)),
        format!("SELECT 1{}", " OVERLAPS 1".repeat(300)),
        format!("SELECT 1{}", " DIV 1".repeat(300)),
        format!("SELECT {}1", "1 + ARRAY[1, 1] + ".repeat(300)),
        format!("SELECT 1, 2{}", " UNION ALL SELECT 1, 2".repeat(300)),
        format!("SELECT 1 FROM {}", relations.join(", ")),
        format!("SELECT DISTINCT FROM t AS select, {}", relations.join(", ")),
        format!("WITH {} SELECT 1", tables.join(", ")),
        format!("SELECT 1 FROM t values, {}", relations.join(", ")),
        format!("SELECT x.is distinct FROM {}", relations.join(", ")),
        format!("SELECT {}'1' second", "INTERVAL ".repeat(9_000)),
    ] {
        let error = parse(&deep).expect_err(&deep[..60]);
        assert_eq!(error.sqlstate, *b"54001", "{}", &deep[..60]);
    }
    let columns = "a IS NOT DISTINCT FROM b, (ARRAY[1, 2])[1] + 1, ".repeat(300);
    for flat in [
        format!(
            "SELECT {columns}1 FROM t, u GROUP BY {}b",
            "a, ".repeat(300)
        ),
        format!(
            "SELECT a, b + 1 FROM t{}",
            " UNION ALL SELECT a, b + 1 FROM t".repeat(200)
        ),
        format!("SELECT 1 FROM t UNION VALUES {}(1)", "(1), ".repeat(300)),
        format!("DELETE FROM t RETURNING {}b", "a, ".repeat(300)),
    ] {
        parse(&flat).unwrap_or_else(|error| panic!("{}: {error}", &flat[..60]));
    }
    let long = format!("SELECT {}1", "1 + ".repeat(20_000));
    assert_eq!(parse(&long).expect_err("too long").sqlstate, *b"54001");
}

#[test]
fn a_join_by_time_takes_no_condition_of_another_join() {
    for (joins, wanted) in [
        (
            "a JOIN b FOR SYSTEM_TIME AS OF a.t AS b ON a.k = b.k JOIN c ON c.k = a.k",
            Some("a JOIN b AS b ON forebay_system_time(a.t) AND a.k = b.k JOIN c ON c.k = a.k"),
        ),
        (
            "c JOIN a USING (k) ASOF JOIN b MATCH_CONDITION (a.t >= b.t) ON a.k = b.k JOIN d ON true",
            Some(
                "c JOIN a USING(k) JOIN b ON forebay_as_of() AND (a.t >= b.t) AND a.k = b.k JOIN d ON true",
            ),
        ),
        (
            "a ASOF JOIN (b JOIN c ON b.k = c.k) ON a.k = b.k AND a.t >= b.t",
            Some("a JOIN (b JOIN c ON b.k = c.k) ON forebay_as_of() AND a.k = b.k AND a.t >= b.t"),
        ),
        (
            "a JOIN b FOR SYSTEM_TIME AS OF a.t AS b USING (k) JOIN c ON c.k = a.k",
            None,
        ),
        (
            "a JOIN b FOR SYSTEM_TIME AS OF a.t AS b JOIN c ON c.k = a.k",
            None,
        ),
        ("a ASOF JOIN b JOIN c ON c.k = a.k", None),
        ("a ASOF JOIN b USING (k) JOIN c ON c.k = a.k", None),
        ("a ASOF JOIN b, c JOIN d ON c.k = d.k", None),
        (
            "a ASOF JOIN b UNION SELECT DISTINCT ON (c.k) 1 FROM c",
            None,
        ),
    ] {
        let read = parse(&format!("SELECT 1 FROM {joins}"));
        let shown = read.ok().and_then(|mut read| match read.pop()?.kind {
            StatementKind::Query(query) => Some(query.to_string()),
            _ => None,
        });
        let wanted = wanted.map(|joins| format!("SELECT 1 FROM {joins}"));
        assert_eq!(shown, wanted, "{joins}");
    }
}
