//! Questions for some rows look those up, by key or by index.

use std::sync::Arc;

use crate::{database::with_stack, memory::Memory, wire::rows};

fn backend() -> Arc<Memory> {
    let backend = Arc::new(Memory::default());
    for statement in [
        "CREATE TABLE accounts (id INT PRIMARY KEY, owner TEXT, balance DOUBLE PRECISION)",
        "CREATE INDEX ON accounts (owner)",
        "INSERT INTO accounts VALUES (1, 'ann', 12.5), (2, 'bob', 1), (3, 'ann', 2)",
    ] {
        rows(&backend, statement).expect("the statement is right");
    }
    backend.take_lookups();
    backend.take_computed();
    backend
}

#[test]
fn rows_are_looked_up_where_equality_finds_them() {
    let backend = backend();
    let key = |count| vec![("accounts".to_owned(), vec![0], count)];
    let index = |count| vec![("accounts".to_owned(), vec![1], count)];
    let one_of = |count: i32| {
        let values: Vec<String> = (0..count).map(|value| value.to_string()).collect();
        format!(
            "SELECT id FROM accounts WHERE id IN ({})",
            values.join(", ")
        )
    };
    let many = one_of(1000);
    // All of their keys together are too many.
    let places = vec![one_of(32); 40].join(" UNION ALL ");
    let narrow = format!("{} AND id = 2", one_of(1500));
    let other = format!("{} AND owner = 'ann'", one_of(1500));
    let cases = [
        ("SELECT owner FROM accounts WHERE id = 1", 1, key(1)),
        (
            "SELECT owner FROM accounts WHERE id = 1 AND balance > 20",
            0,
            key(1),
        ),
        (
            "SELECT owner FROM accounts WHERE id IN (1, 3, 9)",
            2,
            key(3),
        ),
        (
            "SELECT owner FROM accounts WHERE id = 1 OR id = 2",
            2,
            key(2),
        ),
        (
            "SELECT count(*) FROM accounts WHERE 'ann' = owner",
            1,
            index(1),
        ),
        (
            "SELECT id FROM accounts WHERE owner = 'ann' AND id = 3",
            1,
            key(1),
        ),
        (
            "PREPARE q AS SELECT owner FROM accounts WHERE id = $1; EXECUTE q(2)",
            1,
            key(1),
        ),
        (
            "SELECT owner FROM accounts WHERE id IN (1, 1, 2, 3)",
            3,
            key(3),
        ),
        (
            "SELECT id FROM accounts WHERE id IN (1, 2) AND owner <> 'bob' \
             UNION ALL SELECT id FROM accounts WHERE id IN (2, 1)",
            3,
            key(2),
        ),
        (many.as_str(), 3, key(1000)),
        (places.as_str(), 120, vec![]),
        (narrow.as_str(), 1, key(1)),
        (other.as_str(), 2, index(1)),
        ("SELECT id FROM accounts WHERE balance = 2", 1, vec![]),
        (
            "SELECT id FROM accounts WHERE id = 1 OR owner = 'bob'",
            2,
            vec![],
        ),
        ("SELECT id FROM accounts WHERE id > 1", 2, vec![]),
        (
            "SELECT id FROM accounts WHERE id = 1 UNION ALL SELECT id FROM accounts",
            4,
            vec![],
        ),
        ("BEGIN; SELECT id FROM accounts WHERE id = 1", 1, vec![]),
    ];
    for (query, count, lookups) in cases {
        let found = rows(&backend, query).unwrap_or_else(|error| panic!("{query}\n{error}"));
        assert_eq!(found.len(), count, "{query}");
        assert_eq!(backend.take_lookups(), lookups, "{query}");
    }
}

#[test]
fn a_row_goes_once_however_often_it_is_named() {
    let backend = backend();
    let gone = "DELETE FROM accounts WHERE id IN (1, 1, 2, 3) RETURNING id";
    assert_eq!(rows(&backend, gone).map(|rows| rows.len()), Ok(3));
    let left = rows(&backend, "SELECT id FROM accounts").expect("the table is there");
    assert!(left.is_empty(), "{left:?}");
}

/// The statements of one message are one transaction, whose writes nobody else sees yet.
#[test]
fn what_was_written_in_the_same_message_is_found() {
    for (message, found) in [
        (
            "INSERT INTO accounts VALUES (7, 'zoe', 0); SELECT owner FROM accounts WHERE id = 7",
            Some("zoe"),
        ),
        (
            "INSERT INTO accounts VALUES (7, 'zoe', 0); SELECT id FROM accounts WHERE owner = 'zoe'",
            Some("7"),
        ),
        (
            "INSERT INTO accounts VALUES (7, 'zoe', 0); UPDATE accounts SET balance = 5 WHERE id = 7; \
             SELECT balance FROM accounts WHERE id = 7",
            Some("5"),
        ),
        (
            "UPDATE accounts SET balance = balance + 1 WHERE id = 2; \
             UPDATE accounts SET balance = balance + 1 WHERE id = 2; SELECT balance FROM accounts WHERE id = 2",
            Some("3"),
        ),
        (
            "DELETE FROM accounts WHERE id = 2; DELETE FROM accounts WHERE id = 2 RETURNING id",
            None,
        ),
        (
            "PREPARE q AS SELECT owner FROM accounts WHERE id = $1; DELETE FROM accounts WHERE id = 2; EXECUTE q(2)",
            None,
        ),
    ] {
        let backend = backend();
        let answer = rows(&backend, message);
        let answer = answer.unwrap_or_else(|error| panic!("{message}\n{error}"));
        let wanted: Vec<_> = found
            .iter()
            .map(|value| vec![Some((*value).to_owned())])
            .collect();
        assert_eq!(answer, wanted, "{message}");
    }
}

#[test]
fn an_index_is_listed_and_goes_with_its_relation() {
    let backend = backend();
    let listed = rows(&backend, "SHOW INDEXES").expect("there is one");
    assert_eq!(listed[0][0].as_deref(), Some("accounts_owner_idx"));
    let read = rows(&backend, "SELECT * FROM accounts_owner_idx");
    assert!(read.is_err(), "an index has no rows");
    rows(&backend, "DROP TABLE accounts").expect("an index keeps nothing from going");
    let listed = rows(&backend, "SHOW INDEXES").expect("there is none");
    assert!(listed.is_empty());
}

/// A prepared question for a row is answered on the spot, whatever its parameter turns out to be; anything more is not.
#[test]
fn a_row_is_found_without_waking_another_thread() {
    let backend = backend();
    let run = |prepared: &str, values: &str| {
        let statement = format!("PREPARE q AS {prepared}; EXECUTE q({values})");
        let found = rows(&backend, &statement);
        let found = found.unwrap_or_else(|error| panic!("{statement}\n{error}"));
        // What is planned are two: the question, and what it is executed with.
        (found, backend.take_computed() - 2)
    };
    let all = |rows: &[&str]| {
        let row = |value: &&str| vec![Some((*value).to_owned())];
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let by_key = "SELECT owner FROM accounts WHERE id = $1";
    let light = [
        (by_key, "2", all(&["bob"])),
        (by_key, "9", all(&[])),
        (by_key, "NULL", all(&[])),
        (
            "SELECT owner FROM accounts WHERE id = $1 LIMIT 0",
            "2",
            all(&[]),
        ),
        (
            "SELECT owner FROM (SELECT * FROM accounts ORDER BY balance LIMIT 1) AS a WHERE id = $1",
            "1",
            all(&[]),
        ),
        (
            "SELECT a.owner AS o FROM accounts AS a WHERE $1 = a.id ORDER BY o",
            "3::bigint",
            all(&["ann"]),
        ),
        (
            "SELECT id FROM accounts WHERE owner = $1 AND balance > $2",
            "'ann', 3",
            all(&["1"]),
        ),
        (
            "SELECT id FROM accounts WHERE id IN ($1, $2) ORDER BY id DESC",
            "1, 2",
            all(&["2", "1"]),
        ),
        (
            "SELECT id FROM accounts WHERE id BETWEEN $1 AND $2 LIMIT $3",
            "2, 9, 1",
            all(&["2"]),
        ),
        (
            "SELECT id FROM accounts WHERE NOT (id = $1 OR id = $2)",
            "1, 2",
            all(&["3"]),
        ),
        (
            "SELECT id FROM accounts WHERE $1 IS NULL AND id = 1",
            "NULL::int",
            all(&["1"]),
        ),
        (
            "SELECT $1::text FROM accounts WHERE id = 1",
            "'x'",
            all(&["x"]),
        ),
    ];
    for (prepared, values, expected) in light {
        assert_eq!(
            run(prepared, values),
            (expected, 0),
            "{prepared} ({values})"
        );
    }
    let heavy = [
        (
            "SELECT count(*) FROM accounts WHERE id = $1",
            "1",
            all(&["1"]),
        ),
        (
            "SELECT repeat(owner, $2) FROM accounts WHERE id = $1",
            "1, 2",
            all(&["annann"]),
        ),
        (
            "SELECT id FROM accounts WHERE id = $1 AND id IN (SELECT id FROM accounts)",
            "1",
            all(&["1"]),
        ),
    ];
    for (prepared, values, expected) in heavy {
        let (found, computed) = run(prepared, values);
        assert_eq!(found, expected, "{prepared}");
        assert!(computed > 0, "{prepared}");
    }
    let long =
        "SELECT id FROM accounts WHERE id = 1 ".to_owned() + &"AND balance <> 7 ".repeat(120);
    let found = with_stack(|| rows(&backend, &long));
    assert!(found.is_ok());
    assert!(backend.take_computed() > 1, "much to go through");
}

#[test]
fn the_only_row_of_a_view_has_no_key_to_be_looked_up_by() {
    let backend = backend();
    let view = "CREATE MATERIALIZED VIEW total AS SELECT count(*) AS accounts FROM accounts";
    rows(&backend, view).expect("the statement is right");
    for query in ["SELECT accounts FROM total", "SELECT * FROM total LIMIT 1"] {
        assert!(rows(&backend, query).is_ok(), "{query}");
        assert_eq!(backend.take_lookups(), vec![], "{query}");
    }
}
