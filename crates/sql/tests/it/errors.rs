//! Errors as Postgres gives them: class, sentence, place and hint.

use std::sync::Arc;

use crate::{
    memory::Memory,
    wire::{failed, rows},
};

/// A statement, and what it is told: `code message`, then `@place` and `hint` where there are some.
const ERRORS: &[(&str, &str)] = &[
    ("SELEC 1", "42601 syntax error at or near \"SELEC\" @1"),
    (
        "SELECT id FROM t WHERE",
        "42601 syntax error at end of input @23 hint Expected an expression.",
    ),
    (
        "SELECT 1; SELECT nope FROM t",
        "42703 column \"nope\" does not exist @18 hint Perhaps you meant to reference the column \"t.name\".",
    ),
    (
        "SELECT nam FROM t",
        "42703 column \"nam\" does not exist @8 hint Perhaps you meant to reference the column \"t.name\".",
    ),
    (
        "SELECT t.zzz\nFROM t",
        "42703 column t.zzz does not exist @8",
    ),
    (
        "SELECT x.id FROM t",
        "42P01 missing FROM-clause entry for table \"x\" @8",
    ),
    (
        "SELECT id FROM t a, t b",
        "42702 column reference \"id\" is ambiguous @8",
    ),
    (
        "SELECT * FROM nowhere",
        "42P01 relation \"nowhere\" does not exist @15",
    ),
    (
        "SELECT lenght(name) FROM t",
        "42883 function lenght does not exist @8 hint Perhaps you meant the function length.",
    ),
    (
        "SELECT id + true FROM t",
        "42883 operator does not exist: integer + boolean @11 hint No operator matches the given name and argument types. \
         You might need to add explicit type casts.",
    ),
    (
        "SELECT id FROM t WHERE name = 5",
        "42883 operator does not exist: text = integer @29 hint No operator matches the given name and argument types. You \
         might need to add explicit type casts.",
    ),
    (
        "SELECT sum(name) FROM t",
        "42883 function sum(text) does not exist @8 hint No function matches the given name and argument types. You might \
         need to add explicit type casts.",
    ),
    (
        "SELECT 1 FROM t WHERE id",
        "42804 argument of WHERE must be type boolean, not type integer @23",
    ),
    (
        "SELECT id FROM t ORDER BY 5",
        "42P10 ORDER BY position 5 is not in select list",
    ),
    (
        "SELECT name, count(*) FROM t GROUP BY id",
        "42803 column \"t.name\" must appear in the GROUP BY clause or be used in an aggregate function @8",
    ),
    (
        "SELECT 'x'::int",
        "22P02 invalid input syntax for type integer: \"x\" @8",
    ),
    (
        "SELECT id::foo FROM t",
        "42704 type \"foo\" does not exist @12",
    ),
    ("SELECT 1 / (id - id) FROM t", "22012 division by zero"),
    (
        "SELECT abs((id - 32769)::smallint) FROM t",
        "22003 smallint out of range",
    ),
    (
        "SELECT '{1,}'::INT[]",
        "22P02 malformed array literal: \"{1,}\" @8",
    ),
    (
        "SELECT '99999999999'::INT",
        "22003 value \"99999999999\" is out of range for type integer @8",
    ),
    (
        "SELECT id FROM t WHERE now() > 'soon'",
        "22007 invalid input syntax for type timestamp with time zone: \"soon\" @32",
    ),
    (
        "SELECT now() AT TIME ZONE 'Mars'",
        "22023 time zone \"Mars\" not recognized",
    ),
    (
        "SELECT to_date('2026-13', 'YYYY-MM')",
        "22008 date/time field value out of range: \"2026-13\" @16",
    ),
    (
        "SELECT to_timestamp('x', 'YYYY')",
        "22007 invalid value \"x\" for \"YYYY\"",
    ),
    (
        "SELECT to_timestamp('5', 'WW')",
        "0A000 \"WW\" is not read from text",
    ),
    (
        "SELECT '{a\"b\"}'::TEXT[]",
        "22P02 malformed array literal: \"{a\"b\"}\" @8",
    ),
    (
        "SELECT '{\"1e35\"}'::NUMERIC[]",
        "22003 numeric field overflow",
    ),
    (
        "SELECT '{}'::INT[][]",
        "0A000 text cannot be cast to a list of lists",
    ),
    (
        "SELECT 2147483647 + id FROM t",
        "22003 integer out of range",
    ),
    (
        "INSERT INTO t (id, nope) VALUES (5, 'x')",
        "42703 column \"nope\" of relation \"t\" does not exist @20",
    ),
    (
        "UPDATE t SET nope = 1",
        "42703 column \"nope\" of relation \"t\" does not exist @14",
    ),
    (
        "INSERT INTO t VALUES (5, 'a', 'b')",
        "42601 INSERT has more expressions than target columns",
    ),
    (
        "INSERT INTO t (id, name) VALUES (5)",
        "42601 INSERT has more target columns than expressions",
    ),
    // The first x is one.
    (
        "SELECT id, (SELECT x FROM (SELECT id AS x FROM t) AS q LIMIT 1)\nFROM t\nWHERE x = 1",
        "42703 column \"x\" does not exist @78",
    ),
    (
        "SELECT 1; SELECT 'nope', id AS nope\n FROM t WHERE id = 1 AND nope = 2",
        "42703 column \"nope\" does not exist @62 hint Perhaps you meant to reference the column \"t.name\".",
    ),
    (
        "SELECT t.id FROM t, (SELECT 1 AS nowhere) AS q WHERE EXISTS (SELECT 1 FROM nowhere)",
        "42P01 relation \"nowhere\" does not exist @76",
    ),
    (
        "EXPLAIN SELECT id FROM t WHERE zzz = 1",
        "42703 column \"zzz\" does not exist @32",
    ),
    ("DROP TABLE nope", "42P01 table \"nope\" does not exist @12"),
    (
        "PREPARE q AS SELECT nope FROM t",
        "42703 column \"nope\" does not exist @21 hint Perhaps you meant to reference the column \"t.name\".",
    ),
    (
        "SELECT 1; EXPLAIN SELECT nope FROM t",
        "42703 column \"nope\" does not exist @26 hint Perhaps you meant to reference the column \"t.name\".",
    ),
    (
        "EXPLAIN EXPLAIN SELECT 1",
        "42601 syntax error at or near \"EXPLAIN\" @9",
    ),
    (
        "CREATE SOURCE s FROM TOPIC s (a INT) FORMAT AVRO WITH (framing = 'x')",
        "22023 invalid value for option \"framing\": \"x\" hint It is none, confluent or registry.",
    ),
    (
        "INSERT INTO t VALUES (2) RETURNING (SELECT count(*) FROM t)",
        "0A000 RETURNING with subqueries is not supported",
    ),
    (
        "INSERT INTO t VALUES (2) RETURNING id IN (SELECT id FROM t)",
        "0A000 RETURNING with subqueries is not supported",
    ),
    (
        "INSERT INTO t VALUES (2) RETURNING 1 + max(id)",
        "42803 aggregate functions are not allowed in RETURNING",
    ),
    (
        "DELETE FROM t RETURNING row_number() OVER ()",
        "42P20 window functions are not allowed in RETURNING",
    ),
    (
        "SELECT * FROM t a ASOF JOIN t b ON a.name = b.name OR a.id >= b.id",
        "0A000 an as-of join's condition is one of AND",
    ),
    (
        "SELECT * FROM now() WITH ORDINALITY",
        "0A000 WITH ORDINALITY is not supported",
    ),
    (
        "SELECT * FROM t FOR SYSTEM_TIME AS OF now()",
        "0A000 FOR SYSTEM_TIME AS OF wants a column of the other side, and a join with ON @17 \
         hint … a JOIN b FOR SYSTEM_TIME AS OF a.time AS b ON a.key = b.key",
    ),
];

#[test]
fn errors_are_those_of_postgres() {
    let backend = Arc::new(Memory::default());
    for statement in [
        "CREATE TABLE t (id INT, name TEXT)",
        "INSERT INTO t VALUES (1, 'a')",
    ] {
        rows(&backend, statement).expect("the statement is right");
    }
    let mut wrong = String::new();
    for (statement, wanted) in ERRORS {
        let got = failed(&backend, statement);
        if got != *wanted {
            wrong.push_str(&format!("{statement}\n  {got}\ninstead of\n  {wanted}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn nothing_is_answered_but_what_was_asked() {
    let backend = Arc::new(Memory::default());
    for statement in [
        "CREATE TABLE generate_series_log (name TEXT)",
        "INSERT INTO generate_series_log VALUES ('search_path')",
        "CREATE SOURCE s FROM TOPIC s (system_time TIMESTAMPTZ, \
         WATERMARK FOR system_time AS system_time - INTERVAL '5 s')",
    ] {
        rows(&backend, statement).expect("the statement is right");
    }
    for (query, wanted) in [
        ("SELECT 5 IN (SELECT 5)", "t"),
        ("SELECT 5 IN (SELECT 5 LIMIT 0)", "f"),
        ("SELECT 5 IN (SELECT 5 FETCH FIRST 0 ROWS ONLY)", "f"),
        (
            "SELECT name FROM generate_series_log WHERE name = 'search_path'",
            "search_path",
        ),
        ("SELECT quote_ident('select')", "\"select\""),
        ("SELECT quote_ident('name')", "name"),
        ("SELECT quote_literal('a\\b''c')", "E'a\\\\b''c'"),
        ("SELECT format('%I %L', 'order', 'x')", "\"order\" 'x'"),
    ] {
        let found = rows(&backend, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(found, [[Some(wanted.to_owned())]], "{query}");
    }
    rows(&backend, "SELECT 5 IN (SELECT 5 HAVING false)").expect_err("it is refused");
}

#[test]
fn rows_that_change_are_returned() {
    let backend = Arc::new(Memory::default());
    rows(&backend, "CREATE TABLE t (id INT, name TEXT)").expect("the statement is right");
    for (statement, wanted) in [
        (
            "INSERT INTO t VALUES (1), (2) RETURNING id, name, id * 2",
            "1|-|2 2|-|4",
        ),
        ("UPDATE t SET name = 'b' WHERE id = 2 RETURNING *", "2|b"),
        ("DELETE FROM t AS x WHERE id = 1 RETURNING x.id", "1"),
        ("SELECT id, name FROM t", "2|b"),
        (
            "BEGIN; INSERT INTO t VALUES (7, 'x'), (8, 'y'), (8, 'y'); UPDATE t SET name = 'z' WHERE id = 7; \
             SELECT id, name FROM t ORDER BY id; DELETE FROM t WHERE id = 8; SELECT count(*), max(name) FROM t; ROLLBACK",
            "2|b 2|z 7|z 8|y 8|y",
        ),
    ] {
        let found =
            rows(&backend, statement).unwrap_or_else(|error| panic!("{statement}: {error}"));
        let found = found.iter().map(|row| {
            let row = row.iter().map(|value| value.as_deref().unwrap_or("-"));
            row.collect::<Vec<_>>().join("|")
        });
        let mut found: Vec<String> = found.collect();
        found.sort();
        assert_eq!(found.join(" "), wanted, "{statement}");
    }
}

#[test]
fn series_have_rows() {
    let backend = Arc::new(Memory::default());
    for (query, wanted) in [
        ("SELECT generate_series(1, 3)", 3),
        (
            "SELECT g.n FROM generate_series(1, 5) AS g(n) WHERE n > 2",
            3,
        ),
        ("SELECT g FROM generate_series(2, 10, 4) g", 3),
        (
            "SELECT * FROM generate_series(1, 2) a, generate_series(1, 2) b",
            4,
        ),
    ] {
        let found = rows(&backend, query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(found.len(), wanted, "{query}");
    }
    assert_eq!(
        rows(
            &backend,
            "SELECT (ARRAY[1, 2])[2], (ARRAY[1, 2])[0], (ARRAY[1, 2])[-1], 1.50::numeric"
        ),
        Ok(vec![vec![Some("2".into()), None, None, Some("1.5".into())]])
    );
}
