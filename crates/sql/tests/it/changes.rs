//! Changes that look at other rows: ON CONFLICT, UPDATE … FROM, DELETE … USING; DEFAULT; and what ALTER and EXPLAIN of a view say.

use std::sync::Arc;

use crate::{memory::Memory, wire::rows};

fn shown(backend: &Arc<Memory>, statement: &str) -> String {
    let found = match rows(backend, statement) {
        Ok(found) => found,
        Err(error) => {
            let field = |letter: char| error.lines().find_map(|line| line.strip_prefix(letter));
            let (code, message) = (field('C'), field('M'));
            return format!(
                "{} {}",
                code.unwrap_or_default(),
                message.unwrap_or_default()
            );
        }
    };
    let found = found.iter().map(|row| {
        let row = row.iter().map(|value| value.as_deref().unwrap_or("-"));
        row.collect::<Vec<_>>().join("|")
    });
    let mut found: Vec<String> = found.collect();
    found.sort();
    found.join(" ")
}

fn check(backend: &Arc<Memory>, cases: &[(&str, &str)]) {
    for (statement, wanted) in cases {
        assert_eq!(shown(backend, statement), *wanted, "{statement}");
    }
}

#[test]
fn rows_in_conflict_are_left_or_changed() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            (
                "CREATE TABLE t (id INT PRIMARY KEY, n BIGINT, name TEXT)",
                "",
            ),
            ("INSERT INTO t VALUES (1, 10, 'a'), (2, 20, 'b')", ""),
            (
                "INSERT INTO t VALUES (2, 0, 'x'), (3, 30, 'c'), (3, 31, 'd') ON CONFLICT DO NOTHING RETURNING *",
                "3|30|c",
            ),
            ("SELECT * FROM t", "1|10|a 2|20|b 3|30|c"),
            (
                "INSERT INTO t AS old (id, n) VALUES (2, 5), (4, 7) ON CONFLICT (id) DO UPDATE \
                 SET n = old.n + excluded.n RETURNING id, n",
                "2|25 4|7",
            ),
            ("SELECT * FROM t", "1|10|a 2|25|b 3|30|c 4|7|-"),
            (
                "INSERT INTO t SELECT id, n + 1, 'new' FROM t ON CONFLICT ON CONSTRAINT t_pkey DO UPDATE \
                 SET name = excluded.name, n = 0 WHERE t.id > 2 RETURNING id",
                "3 4",
            ),
            ("SELECT * FROM t", "1|10|a 2|25|b 3|0|new 4|0|new"),
            (
                "INSERT INTO t VALUES (5, 1, 'p'), (5, 2, 'q') ON CONFLICT (id) DO UPDATE SET n = 1",
                "21000 ON CONFLICT DO UPDATE command cannot affect row a second time",
            ),
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT (n) DO NOTHING",
                "42P10 there is no unique or exclusion constraint matching the ON CONFLICT specification",
            ),
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT DO UPDATE SET n = 1",
                "42601 ON CONFLICT DO UPDATE requires inference specification or constraint name",
            ),
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT (id) DO UPDATE SET nope = 1",
                "42703 column \"nope\" of relation \"t\" does not exist",
            ),
            // Only the rows of its keys are there for it.
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT (id) DO UPDATE SET n = (SELECT max(n) FROM t)",
                "0A000 ON CONFLICT DO UPDATE with subqueries is not supported",
            ),
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT (id) DO UPDATE SET n = 0 \
                 WHERE t.id NOT IN (SELECT id FROM t WHERE id = 2)",
                "0A000 ON CONFLICT DO UPDATE with subqueries is not supported",
            ),
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT (id) DO UPDATE SET n = count(*) OVER ()",
                "42P20 window functions are not allowed in ON CONFLICT DO UPDATE",
            ),
            (
                "INSERT INTO t AS \"excluded\" VALUES (1, 1, 'p') ON CONFLICT DO NOTHING",
                "42P09 table reference \"excluded\" is ambiguous",
            ),
            (
                "INSERT INTO t VALUES (1, 1, 'p') ON CONFLICT (id) DO UPDATE SET id = NULL",
                "23502 null value in column \"id\" of relation \"t\" violates not-null constraint",
            ),
            ("SELECT count(*), sum(n) FROM t", "4|35"),
            // Nothing but its own change is seen in between.
            (
                "BEGIN; INSERT INTO t VALUES (9, 1, 'z'); INSERT INTO t VALUES (9, 4, 'y') \
                 ON CONFLICT (id) DO UPDATE SET n = t.n + excluded.n; COMMIT",
                "",
            ),
            ("SELECT n, name FROM t WHERE id = 9", "5|z"),
            ("CREATE TABLE excluded (id INT PRIMARY KEY)", ""),
            ("INSERT INTO excluded VALUES (1)", ""),
            (
                "INSERT INTO excluded AS t VALUES (1), (2) ON CONFLICT DO NOTHING",
                "42P09 table reference \"excluded\" is ambiguous",
            ),
            ("SELECT * FROM excluded", "1"),
        ],
    );
}

#[test]
fn rows_change_by_those_of_other_tables() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            ("CREATE TABLE t (id INT PRIMARY KEY, n INT)", ""),
            ("CREATE TABLE u (id INT, n INT)", ""),
            ("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30)", ""),
            ("INSERT INTO u VALUES (1, 5), (2, 7), (2, 6), (9, 1)", ""),
            (
                "UPDATE t SET n = t.n + u.n FROM u WHERE t.id = u.id RETURNING id, n",
                "1|15 2|26",
            ),
            ("SELECT * FROM t", "1|15 2|26 3|30"),
            (
                "UPDATE t AS x SET n = v.most FROM (SELECT id, max(n) AS most FROM u GROUP BY id) AS v WHERE x.id = v.id AND x.id = 2 \
                 RETURNING x.n + 1",
                "8",
            ),
            ("SELECT * FROM t", "1|15 2|7 3|30"),
            (
                "DELETE FROM t USING u WHERE t.id = u.id RETURNING t.id",
                "1 2",
            ),
            ("SELECT * FROM t", "3|30"),
            (
                "DELETE FROM u AS x USING u AS y WHERE x.id = y.id AND x.n < y.n",
                "",
            ),
            ("SELECT * FROM u", "1|5 2|7 9|1"),
            (
                "UPDATE u SET n = 0 FROM t WHERE t.id = u.id",
                "0A000 UPDATE … FROM needs a table with a PRIMARY KEY",
            ),
            (
                "UPDATE t SET n = 1, n = 2 FROM u",
                "42601 multiple assignments to same column \"n\"",
            ),
            // Nothing goes by a name that both have.
            (
                "DELETE FROM t USING u WHERE id = 9",
                "42702 column reference \"id\" is ambiguous",
            ),
            (
                "UPDATE t SET n = 1 FROM u WHERE id = 9",
                "42702 column reference \"id\" is ambiguous",
            ),
            (
                "DELETE FROM t USING t WHERE id = 3",
                "42701 column \"id\" specified more than once",
            ),
            ("SELECT * FROM t", "3|30"),
            (
                "DELETE FROM t USING nowhere WHERE true",
                "42P01 relation \"nowhere\" does not exist",
            ),
        ],
    );
}

#[test]
fn what_goes_and_what_comes_is_found_in_rows_that_are_read_once() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            ("CREATE TABLE t (id INT PRIMARY KEY, n INT)", ""),
            ("CREATE TABLE u (id INT, n INT)", ""),
            ("INSERT INTO t VALUES (1, 10), (2, 20)", ""),
            ("INSERT INTO u VALUES (1, 5)", ""),
        ],
    );
    let upsert = |rows: usize| {
        format!(
            "INSERT INTO t SELECT g, 0 FROM generate_series(1, {rows}) AS g ON CONFLICT DO NOTHING"
        )
    };
    let t = || "t".to_owned();
    for (statement, snapshots, lookups) in [
        (
            "UPDATE t SET n = u.n FROM u WHERE t.id = u.id".to_owned(),
            vec![vec![t(), "u".to_owned()]],
            vec![],
        ),
        (
            "UPDATE t SET n = 7 WHERE id IN (1, 2)".to_owned(),
            vec![],
            vec![(t(), vec![0], 2)],
        ),
        ("UPDATE t SET n = 7".to_owned(), vec![vec![t()]], vec![]),
        (upsert(1024), vec![], vec![(t(), vec![0], 1024)]),
        (upsert(1025), vec![vec![t()]], vec![]),
    ] {
        assert_eq!(shown(&backend, &statement), "", "{statement}");
        assert_eq!(backend.take_snapshots(), snapshots, "{statement}");
        assert_eq!(backend.take_lookups(), lookups, "{statement}");
    }
    check(
        &backend,
        &[("SELECT count(*), max(id), sum(n) FROM t", "1025|1025|14")],
    );
}

#[test]
fn a_view_that_was_replaced_is_not_read_from_what_a_transaction_keeps() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            ("CREATE TABLE v (a INT)", ""),
            ("INSERT INTO v VALUES (1)", ""),
        ],
    );
    backend.make_view("v");
    check(
        &backend,
        &[(
            "BEGIN; SELECT a FROM v; CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT 'x' AS a; SELECT a FROM v",
            "0A000 \"v\" was replaced while the query was planned",
        )],
    );
}

#[test]
fn a_source_is_altered_where_nothing_else_would_be() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            (
                "CREATE SOURCE s FROM TOPIC \"a.b\" (k TEXT PATH 'x.\"y.z\"[0]', at TIMESTAMPTZ, p INT METADATA FROM 'partition', \
                 WATERMARK FOR at AS at - INTERVAL '5 minutes') FORMAT JSON WITH (max_future = '1 hour')",
                "",
            ),
            ("CREATE MATERIALIZED VIEW v AS SELECT k FROM s", ""),
            (
                "ALTER SOURCE s ADD COLUMN n BIGINT, ADD b TEXT PATH 'it''s'",
                "",
            ),
            (
                "SHOW CREATE SOURCE s",
                "s|CREATE SOURCE \"s\" FROM TOPIC 'a.b' (\"k\" TEXT PATH '\"x\".\"y.z\".\"0\"', \"at\" TIMESTAMPTZ, \
                 \"p\" INT METADATA FROM 'partition', \"n\" BIGINT, \"b\" TEXT PATH '\"it''s\"', \
                 WATERMARK FOR \"at\" AS \"at\" - INTERVAL '5 minutes') FORMAT JSON WITH (max_future = '1 hour')",
            ),
            (
                "ALTER SOURCE s ADD COLUMN n INT",
                "42701 column \"n\" of relation \"s\" already exists",
            ),
            ("ALTER SOURCE s ADD COLUMN IF NOT EXISTS n INT", ""),
            ("CREATE MATERIALIZED VIEW w AS SELECT * FROM s", ""),
            (
                "ALTER SOURCE s ADD COLUMN more INT",
                "2BP01 cannot alter s because w reads it",
            ),
            (
                "ALTER SOURCE s SET (max_future = '2 hours', on_malformed = 'stop')",
                "",
            ),
            (
                "ALTER SOURCE s SET (delimiter = ';')",
                "0A000 option \"delimiter\" of a source cannot be changed",
            ),
            (
                "ALTER SOURCE s SET (on_malformed = 'panic')",
                "22023 invalid value for option \"on_malformed\": \"panic\"",
            ),
            (
                "ALTER SOURCE s RENAME TO r",
                "2BP01 cannot alter s because v reads it",
            ),
            ("DROP MATERIALIZED VIEW v, w", ""),
            ("ALTER SOURCE s RENAME TO r", ""),
            ("SHOW SOURCES", "r|source"),
            (
                "ALTER SOURCE s RENAME TO r",
                "42P01 source \"s\" does not exist",
            ),
            (
                "ALTER MATERIALIZED VIEW r AS SELECT 1",
                "42809 \"r\" is not a materialized view",
            ),
            (
                "ALTER MATERIALIZED VIEW v AS SELECT 1",
                "42P01 materialized view \"v\" does not exist",
            ),
            (
                "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT k FROM r",
                "",
            ),
            ("ALTER MATERIALIZED VIEW v AS SELECT n FROM r", ""),
            (
                "SHOW CREATE MATERIALIZED VIEW v",
                "v|CREATE MATERIALIZED VIEW v AS SELECT n FROM r",
            ),
            ("/* */ alter/**/MATERIALIZED VIEW v AS SELECT n FROM r", ""),
            (
                "SHOW CREATE MATERIALIZED VIEW v",
                "v|CREATE/**/MATERIALIZED VIEW v AS SELECT n FROM r",
            ),
            (
                "CREATE OR REPLACE MATERIALIZED VIEW v AS SELECT n FROM v",
                "42P17 view \"v\" cannot read itself",
            ),
            ("EXPLAIN v", "Read r  (node 0, state: none, append-only)"),
            ("EXPLAIN SELEC", "42P01 relation \"selec\" does not exist"),
            (
                "EXPLAIN ANALYZE r",
                "42809 \"r\" has no operators of its own",
            ),
        ],
    );
}

#[test]
fn columns_that_are_left_out_have_their_default() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            (
                "CREATE TABLE d (id INT DEFAULT 7 NOT NULL PRIMARY KEY, name TEXT DEFAULT 'a''b', n NUMERIC(6,2) \
                 DEFAULT 1 + 0.5, at TIMESTAMPTZ DEFAULT now(), plain TEXT, nothing INT DEFAULT NULL)",
                "",
            ),
            (
                "INSERT INTO d DEFAULT VALUES RETURNING id, name, n, plain, nothing, at = now()",
                "7|a'b|1.50|-|-|t",
            ),
            (
                "INSERT INTO d VALUES (1), (2) RETURNING id, name, n",
                "1|a'b|1.50 2|a'b|1.50",
            ),
            (
                "INSERT INTO d (name, id, plain) VALUES (DEFAULT, 3, DEFAULT), ('c', 4, 'p') RETURNING id, name, n, plain",
                "3|a'b|1.50|- 4|c|1.50|p",
            ),
            (
                "INSERT INTO d (id) SELECT id + 10 FROM d WHERE id < 3 RETURNING id, name",
                "11|a'b 12|a'b",
            ),
            (
                "UPDATE d SET name = DEFAULT, plain = DEFAULT WHERE id = 4 RETURNING id, name, plain",
                "4|a'b|-",
            ),
            (
                "INSERT INTO d AS old (id, n) VALUES (4, 9) ON CONFLICT (id) DO UPDATE SET n = DEFAULT, name = 'x' RETURNING id, n, name",
                "4|1.50|x",
            ),
            (
                "SELECT column_name, column_default FROM information_schema.columns WHERE table_name = 'd'",
                "at|now() id|7 name|'a''b'::text nothing|- n|1 + 0.5 plain|-",
            ),
            (
                "SELECT a.attname, pg_get_expr(d.adbin, d.adrelid) FROM pg_attribute a JOIN pg_attrdef d \
                 ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) WHERE a.attrelid = 'd'::regclass AND a.atthasdef",
                "at|now() id|7 name|'a''b'::text n|1 + 0.5",
            ),
            (
                "CREATE TABLE e (a INT DEFAULT 'x')",
                "22P02 invalid input syntax for type integer: \"x\"",
            ),
            (
                "CREATE TABLE e (a INT DEFAULT b, b INT)",
                "42703 column \"b\" does not exist",
            ),
            (
                "CREATE TABLE e (a INT DEFAULT (SELECT 1))",
                "0A000 DEFAULT expressions with subqueries is not supported",
            ),
            (
                "CREATE TABLE e (a INT DEFAULT count(*))",
                "42803 aggregate functions are not allowed in DEFAULT expressions",
            ),
            (
                "CREATE TABLE e (a INT DEFAULT $1)",
                "42P02 there is no parameter $1 in what stays",
            ),
        ],
    );
}

#[test]
fn parameters_have_the_types_of_what_they_stand_beside() {
    let backend = Arc::new(Memory::default());
    check(
        &backend,
        &[
            (
                "CREATE TABLE p (id INT PRIMARY KEY, b BOOLEAN, at DATE)",
                "",
            ),
            (
                "PREPARE a AS SELECT left('abc', $1), repeat('x', $2), round(2.345, $3) = 2.3; EXECUTE a(2, '3', 1)",
                "ab|xxx|t",
            ),
            (
                "PREPARE b AS SELECT CASE WHEN $1 THEN $2 ELSE 1 END, CASE 1 WHEN 1 THEN DATE '2026-01-01' ELSE $3 END; \
                 EXECUTE b(true, 5, NULL)",
                "5|2026-01-01",
            ),
            (
                "PREPARE c AS SELECT CASE WHEN $1 THEN 1 END; EXECUTE c(true)",
                "1",
            ),
            (
                "PREPARE e AS INSERT INTO p (at, id) SELECT $1, $2 RETURNING id, at; EXECUTE e('2026-02-03', 7)",
                "7|2026-02-03",
            ),
            ("DELETE FROM p AS x WHERE x.id = 7 RETURNING id", "7"),
            ("SELECT * FROM current_schema()", "public"),
            ("SELECT s FROM current_schema() AS s", "public"),
            ("SELECT policyname FROM pg_policies", ""),
            (
                "SELECT current_setting('default_table_access_method')",
                "heap",
            ),
        ],
    );
}
