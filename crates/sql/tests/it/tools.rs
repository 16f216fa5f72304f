//! What PostgreSQL's tools ask for when they start and when they list what there is: each query has an answer.

use std::sync::Arc;

use crate::{memory::Memory, wire::rows};

/// `-- tool` and a query behind it, with an empty line between.
const QUERIES: &str = include_str!("tools.sql");

fn backend() -> Arc<Memory> {
    let backend = Arc::new(Memory::default());
    for statement in [
        "CREATE SOURCE flights FROM TOPIC flights (origin TEXT, delay INT, at TIMESTAMPTZ)",
        "CREATE TABLE accounts (id INT PRIMARY KEY, owner VARCHAR(20), balance NUMERIC(12, 2) NOT NULL)",
        "CREATE MATERIALIZED VIEW delays AS SELECT origin, count(*) AS flights FROM flights GROUP BY origin",
        "INSERT INTO accounts VALUES (1, 'ann', 12.5)",
    ] {
        rows(&backend, statement).expect("the statement is right");
    }
    backend
}

#[test]
fn every_query_has_an_answer() {
    let backend = backend();
    let oid = rows(&backend, "SELECT 'accounts'::regclass::oid").expect("the table is there");
    let oid = oid[0][0].clone().expect("it has a number");
    let mut failed = Vec::new();
    for part in QUERIES
        .split("\n-- ")
        .filter(|part| !part.trim().is_empty())
    {
        let (tool, query) = part
            .split_once('\n')
            .expect("a query stands below its tool");
        if let Err(error) = rows(&backend, &query.replace("@OID@", &oid)) {
            failed.push(format!("{tool}\n{}\n{error}\n", query.trim()));
        }
    }
    assert!(
        failed.is_empty(),
        "{} have none:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

fn texts(backend: &Arc<Memory>, query: &str) -> Vec<String> {
    let rows = rows(backend, query).unwrap_or_else(|error| panic!("{query}\n{error}"));
    rows.iter()
        .map(|row| {
            row.iter()
                .map(|value| value.as_deref().unwrap_or("-"))
                .collect::<Vec<_>>()
                .join("|")
        })
        .collect()
}

#[test]
fn relations_and_columns_are_listed() {
    let backend = backend();
    let listed = "SELECT c.relname, c.relkind FROM pg_catalog.pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                  WHERE n.nspname = 'public' AND pg_table_is_visible(c.oid) ORDER BY 1";
    assert_eq!(
        texts(&backend, listed),
        [
            "accounts|r",
            "accounts_pkey|i",
            "delays|m",
            "delays_key|i",
            "flights|f"
        ]
    );
    let columns = "SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute \
                   WHERE attrelid = 'accounts'::regclass AND attnum > 0 ORDER BY attnum";
    assert_eq!(
        texts(&backend, columns),
        [
            "id|integer|t",
            "owner|character varying(20)|f",
            "balance|numeric(12,2)|t"
        ]
    );
    let key =
        "SELECT column_name FROM information_schema.key_column_usage WHERE table_name = 'accounts'";
    assert_eq!(texts(&backend, key), ["id"]);
    assert_eq!(
        texts(
            &backend,
            "SELECT current_user, current_database(), 'delays'::regclass"
        ),
        ["ann|forebay|delays"]
    );
}

#[test]
fn indexes_are_listed() {
    let backend = backend();
    for statement in [
        "CREATE INDEX ON delays (flights)",
        "CREATE INDEX by_owner ON accounts (owner, balance)",
    ] {
        rows(&backend, statement).expect("the statement is right");
    }
    assert_eq!(
        texts(
            &backend,
            "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
        ),
        [
            "CREATE INDEX by_owner ON public.accounts USING btree (owner, balance)",
            "CREATE INDEX delays_flights_idx ON public.delays USING btree (flights)",
            "CREATE UNIQUE INDEX accounts_pkey ON public.accounts USING btree (id)",
            "CREATE UNIQUE INDEX delays_key ON public.delays USING btree (origin)",
        ]
    );
    let keys = "SELECT c.relname, i.indisunique, i.indisprimary, i.indkey, i.indkey[0], pg_get_indexdef(c.oid, 1, true) \
                FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid \
                WHERE i.indrelid = 'accounts'::regclass ORDER BY 1";
    assert_eq!(
        texts(&backend, keys),
        ["accounts_pkey|t|t|1|1|id", "by_owner|f|f|2 3|2|owner"]
    );
    rows(&backend, "DROP INDEX by_owner").expect("it is there");
    assert_eq!(texts(&backend, keys), ["accounts_pkey|t|t|1|1|id"]);
}

#[test]
fn types_are_named() {
    let backend = backend();
    let names = "SELECT 'int4'::regtype, '23'::regtype, 'timestamp(3)'::regtype, 'int[]'::regtype, to_regtype('nope'), \
                 pg_typeof(1::BIGINT) = 'bigint'::regtype, format_type(1700, 655366), format_type(1042, 7)";
    assert_eq!(
        texts(&backend, names),
        ["integer|integer|timestamp without time zone|integer[]|-|t|numeric(10,2)|character(3)"]
    );
    let unknown = rows(&backend, "SELECT 'nope'::regtype").expect_err("there is none");
    assert!(unknown.to_string().contains("type \"nope\" does not exist"));
}

#[test]
fn a_text_is_no_question_for_the_search_path() {
    let backend = backend();
    let asked = "SELECT g FROM generate_series(1, 2) AS g WHERE 'current_schemas(' <> ''";
    assert_eq!(texts(&backend, asked), ["1", "2"]);
    let asked = "SELECT s.r, (current_schemas(false))[s.r] AS nspname \
                 FROM generate_series(1, array_upper(current_schemas(false), 1)) AS s(r)";
    assert_eq!(texts(&backend, asked), ["1|public"]);
}
