//! Conversations over the Postgres protocol, byte by byte, without sockets.

use std::sync::Arc;

use expect_test::{Expect, expect};

use crate::memory::{Memory, conversation};

fn startup(minor: u16, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = vec![0, 3];
    body.extend(minor.to_be_bytes());
    for (name, value) in parameters {
        body.extend(name.bytes().chain([0]).chain(value.bytes()).chain([0]));
    }
    body.push(0);
    let mut frame = (body.len() as u32 + 4).to_be_bytes().to_vec();
    frame.extend(body);
    frame
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend((body.len() as u32 + 4).to_be_bytes());
    frame.extend(body);
    frame
}

fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), b"\0"].concat())
}

fn parse(name: &str, text: &str, types: &[u32]) -> Vec<u8> {
    let mut body = [name.as_bytes(), b"\0", text.as_bytes(), b"\0"].concat();
    body.extend((types.len() as u16).to_be_bytes());
    types.iter().for_each(|oid| body.extend(oid.to_be_bytes()));
    message(b'P', &body)
}

/// Values in text unless `format` is 1; results in `results`.
fn bind(statement: &str, format: u16, values: &[Option<&[u8]>], results: u16) -> Vec<u8> {
    let mut body = [b"\0", statement.as_bytes(), b"\0"].concat();
    body.extend(1_u16.to_be_bytes());
    body.extend(format.to_be_bytes());
    body.extend((values.len() as u16).to_be_bytes());
    for value in values {
        match value {
            Some(bytes) => {
                body.extend((bytes.len() as u32).to_be_bytes());
                body.extend(*bytes);
            }
            None => body.extend(u32::MAX.to_be_bytes()),
        }
    }
    body.extend(1_u16.to_be_bytes());
    body.extend(results.to_be_bytes());
    message(b'B', &body)
}

fn execute(rows_max: u32) -> Vec<u8> {
    message(b'E', &[b"\0", &rows_max.to_be_bytes()[..]].concat())
}

/// What was heard, a line for each message, from the first ReadyForQuery on.
fn told(backend: &Arc<Memory>, says: &[Vec<u8>]) -> String {
    let mut all = startup(0, &[("user", "ann"), ("database", "forebay")]);
    all.extend(says.concat());
    all.extend(message(b'X', b""));
    let heard = conversation(backend, &all);
    let shown = lines(&heard);
    let begins = shown.find("Z I\n").expect("the client may begin") + 4;
    shown[begins..].to_owned()
}

fn lines(mut heard: &[u8]) -> String {
    let mut out = String::new();
    while let Some((kind, rest)) = heard.split_first() {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        let body: String = rest[4..length]
            .iter()
            .map(|byte| match byte {
                0 => '·',
                byte if byte.is_ascii_graphic() || *byte == b' ' => char::from(*byte),
                _ => '?',
            })
            .collect();
        out.push_str(format!("{} {body}", char::from(*kind)).trim_end());
        out.push('\n');
        heard = &rest[length..];
    }
    out
}

fn check(says: &[Vec<u8>], expected: Expect) {
    expected.assert_eq(&told(&Arc::new(Memory::default()), says));
}

/// Values of the rows that a query gives, or what it fails with.
pub fn rows(backend: &Arc<Memory>, text: &str) -> Result<Vec<Vec<Option<String>>>, String> {
    let mut all = startup(0, &[("user", "ann"), ("database", "forebay")]);
    all.extend(query(text));
    all.extend(message(b'X', b""));
    let heard = conversation(backend, &all);
    let mut heard = &heard[..];
    let mut rows = Vec::new();
    while let Some((kind, rest)) = heard.split_first() {
        let length = u32::from_be_bytes(rest[..4].try_into().expect("four bytes")) as usize;
        let body = &rest[4..length];
        match kind {
            b'D' => rows.push(values(body)),
            b'E' => return Err(String::from_utf8_lossy(body).replace('\0', "\n")),
            _ => {}
        }
        heard = &rest[length..];
    }
    Ok(rows)
}

/// What a statement is told: `code message`, then `@place` and `hint` where there are some.
pub fn failed(backend: &Arc<Memory>, text: &str) -> String {
    let Err(error) = rows(backend, text) else {
        return "no error".to_owned();
    };
    // Its fields are lines that begin with a letter.
    let field = |letter: char| error.lines().find_map(|line| line.strip_prefix(letter));
    let mut shown = format!(
        "{} {}",
        field('C').unwrap_or_default(),
        field('M').unwrap_or_default()
    );
    if let Some(place) = field('P') {
        shown.push_str(&format!(" @{place}"));
    }
    if let Some(hint) = field('H') {
        shown.push_str(&format!(" hint {hint}"));
    }
    shown
}

fn values(row: &[u8]) -> Vec<Option<String>> {
    let (count, mut row) = row.split_at(2);
    let count = u16::from_be_bytes(count.try_into().expect("two bytes"));
    let values = (0..count).map(|_| {
        let (length, rest) = row.split_at(4);
        let length = i32::from_be_bytes(length.try_into().expect("four bytes"));
        let Ok(length) = usize::try_from(length) else {
            row = rest;
            return None;
        };
        let (value, rest) = rest.split_at(length);
        row = rest;
        Some(String::from_utf8_lossy(value).into_owned())
    });
    values.collect()
}

#[test]
fn a_client_begins() {
    let mut says = vec![0, 0, 0, 8, 4, 210, 22, 47];
    says.extend(startup(
        2,
        &[
            ("user", "ann"),
            ("_pq_.unknown", "1"),
            ("application_name", "test"),
        ],
    ));
    let heard = conversation(&Arc::new(Memory::default()), &says);
    assert_eq!(heard[0], b'N', "encryption is refused");
    let shown = lines(&heard[1..]);
    assert!(shown.contains("S application_name·test·"), "{shown}");
    assert!(shown.contains("v ·?·?···?_pq_.unknown·"), "{shown}");
    assert!(shown.ends_with("Z I\n"), "{shown}");
}

#[test]
fn who_cannot_begin_is_told_why() {
    let cases: [(Vec<u8>, &str); 4] = [
        (startup(0, &[("database", "forebay")]), "C28000"),
        (
            startup(0, &[("user", "ann"), ("database", "sales")]),
            "C3D000",
        ),
        (startup(0, &[("user", "ann"), ("no_such", "1")]), "C42704"),
        (vec![0, 0, 0, 8, 0, 2, 0, 0], "C0A000"),
    ];
    for (says, expected) in cases {
        let shown = lines(&conversation(&Arc::new(Memory::default()), &says));
        assert!(
            shown.contains("SFATAL·") && shown.contains(expected),
            "{shown}"
        );
    }
}

#[test]
fn simple_queries() {
    check(
        &[
            query("SELECT 1 AS one, 'a' AS b; SELECT NULL::int; ; SHOW server_encoding"),
            query(" ;"),
            query("SELEC 1"),
        ],
        expect![[r#"
            T ·?one··········?·?????··b··········???????··
            D ·?···?1···?a
            C SELECT 1·
            T ·?int4··········?·?????··
            D ·?????
            C SELECT 1·
            T ·?server_encoding··········???????··
            D ·?···?UTF8
            C SHOW·
            Z I
            I
            Z I
            E SERROR·VERROR·C42601·Msyntax error at or near "SELEC"·P1··
            Z I
        "#]],
    );
}

#[test]
fn a_statement_is_prepared_bound_and_run() {
    check(
        &[
            parse(
                "s",
                "SELECT $1::int + 1 AS next, $2::text AS word",
                &[23, 25],
            ),
            message(b'D', b"Ss\0"),
            bind("s", 0, &[Some(b"41"), None], 0),
            execute(0),
            bind("s", 1, &[Some(&[0, 0, 0, 1]), Some(b"x")], 1),
            message(b'D', b"P\0"),
            execute(0),
            message(b'S', b""),
        ],
        expect![[r#"
            1
            t ·?···?···?
            T ·?next··········?·?????··word··········???????··
            2
            D ·?···?42????
            C SELECT 1·
            2
            T ·?next··········?·?????·?word··········???????·?
            D ·?···?···?···?x
            C SELECT 1·
            Z I
        "#]],
    );
}

#[test]
fn types_of_parameters_are_found() {
    check(
        &[
            parse("s", "SELECT $1::int + 1 AS next, $2::text AS word", &[]),
            message(b'D', b"Ss\0"),
            bind("s", 0, &[Some(b"41"), None], 0),
            execute(0),
            message(b'S', b""),
        ],
        expect![[r#"
            1
            t ·?···?···?
            T ·?next··········?·?????··word··········???????··
            2
            D ·?···?42????
            C SELECT 1·
            Z I
        "#]],
    );
}

#[test]
fn rows_come_in_parts() {
    check(
        &[
            parse("", "VALUES (1), (2), (3)", &[]),
            bind("", 0, &[], 0),
            execute(2),
            execute(2),
            execute(2),
            message(b'S', b""),
        ],
        expect![[r#"
            1
            2
            D ·?···?1
            D ·?···?2
            s
            D ·?···?3
            C SELECT 3·
            C SELECT 0·
            Z I
        "#]],
    );
}

#[test]
fn after_an_error_nothing_is_done_before_a_sync() {
    check(
        &[
            parse("", "SELECT * FROM nowhere", &[]),
            bind("", 0, &[], 0),
            execute(0),
            message(b'S', b""),
            parse("", "SELECT 1", &[]),
            bind("", 0, &[Some(b"1")], 0),
            message(b'S', b""),
            query("SELECT 2"),
        ],
        expect![[r#"
            E SERROR·VERROR·C42P01·Mrelation "nowhere" does not exist·P15··
            Z I
            1
            E SERROR·VERROR·C08P01·Mbind message supplies 1 parameters, but prepared statement "" requires 0··
            Z I
            T ·??column?··········?·?????··
            D ·?···?2
            C SELECT 1·
            Z I
        "#]],
    );
}

#[test]
fn transactions_fail_until_they_are_rolled_back() {
    check(
        &[
            query("BEGIN"),
            query("SELECT 1/0"),
            query("SELECT 1"),
            query("COMMIT"),
            query("ROLLBACK"),
        ],
        expect![[r#"
            C BEGIN·
            Z T
            E SERROR·VERROR·C22012·Mdivision by zero··
            Z E
            E SERROR·VERROR·C25P02·Mcurrent transaction is aborted, commands ignored until end of transaction block··
            Z E
            C ROLLBACK·
            Z I
            N SWARNING·VWARNING·C25P01·Mthere is no transaction in progress··
            C ROLLBACK·
            Z I
        "#]],
    );
}

#[test]
fn tables_change_when_transactions_commit() {
    let backend = Arc::new(Memory::default());
    let first = [
        query("CREATE TABLE t (id INT PRIMARY KEY, name TEXT)"),
        query("INSERT INTO t VALUES (1, 'one'), (2, NULL)"),
        query("BEGIN"),
        query("DELETE FROM t WHERE id = 1"),
        query("INSERT INTO t VALUES (3, 'three')"),
        query("SELECT * FROM t ORDER BY id"),
        query("ROLLBACK"),
        query("SELECT * FROM t ORDER BY id"),
        query("COPY (SELECT id, name FROM t ORDER BY id) TO STDOUT"),
        query("COPY (SELECT id, name FROM t ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER)"),
        query("SUBSCRIBE TO t WITH SNAPSHOT"),
        query("COPY (SUBSCRIBE t WITH SNAPSHOT) TO STDOUT"),
    ];
    expect![[r#"
        C CREATE TABLE·
        Z I
        C INSERT 0 2·
        Z I
        C BEGIN·
        Z T
        C DELETE 1·
        Z T
        C INSERT 0 1·
        Z T
        T ·?id··········?·?????··name··········???????··
        D ·?···?2????
        D ·?···?3···?three
        C SELECT 2·
        Z T
        C ROLLBACK·
        Z I
        T ·?id··········?·?????··name··········???????··
        D ·?···?1···?one
        D ·?···?2????
        C SELECT 2·
        Z I
        H ··?····
        d 1?one?
        d 2?\N?
        c
        C COPY 2·
        Z I
        H ··?····
        d id,name?
        d 1,one?
        d 2,?
        c
        C COPY 2·
        Z I
        T ·?epoch··········?·?????··weight··········?·?????··id··········?·?????··name··········???????··
        D ·?···?1···?1···?1···?one
        D ·?···?1···?1···?2????
        C SUBSCRIBE 2·
        Z I
        H ··?········
        d 1?1?1?one?
        d 1?1?2?\N?
        c
        C COPY 2·
        Z I
    "#]].assert_eq(&told(&backend, &first));
}

#[test]
fn cursors() {
    check(
        &[
            query("BEGIN; DECLARE c CURSOR FOR VALUES (1), (2), (3)"),
            query("FETCH 2 FROM c"),
            query("FETCH ALL FROM c"),
            query("CLOSE c; COMMIT"),
            query("FETCH c"),
        ],
        expect![[r#"
            C BEGIN·
            C DECLARE CURSOR·
            Z T
            T ·?column1··········?·?????··
            D ·?···?1
            D ·?···?2
            C FETCH 2·
            Z T
            T ·?column1··········?·?????··
            D ·?···?3
            C FETCH 1·
            Z T
            C CLOSE CURSOR·
            C COMMIT·
            Z I
            E SERROR·VERROR·C34000·Mcursor "c" does not exist··
            Z I
        "#]],
    );
}

/// In either protocol; what comes behind an error is left out until the client knows.
#[test]
fn rows_are_copied_in() {
    let data = |text: &str| message(b'd', text.as_bytes());
    let done = message(b'c', b"");
    let prepared = |text: &str| [parse("", text, &[]), bind("", 0, &[], 0), execute(0)].concat();
    let sync = message(b'S', b"");
    check(
        &[
            query(
                "CREATE TABLE c (id INT PRIMARY KEY, name TEXT DEFAULT 'none', n BIGINT NOT NULL DEFAULT 0)",
            ),
            query("COPY c (id, name) FROM STDIN"),
            data("1\ta\n2"),
            data("\tb\n"),
            done.clone(),
            query("COPY c FROM STDIN CSV"),
            data("3,c,x\n"),
            data("4,d,1\n"),
            done.clone(),
            query("COPY c (id) FROM STDIN"),
            data("5\n"),
            message(b'f', b"no more\0"),
            prepared("COPY c FROM STDIN (FORMAT csv, NULL '-')"),
            sync.clone(),
            data("6,-,7\n"),
            done.clone(),
            sync.clone(),
            prepared("COPY c FROM STDIN"),
            data("8\te\t\\N\n"),
            done.clone(),
            sync,
            query("COPY c (nam) FROM STDIN"),
            query("BEGIN"),
            query("COPY c (id) FROM STDIN"),
            data("9\n"),
            done,
            query("ROLLBACK"),
            query("COPY (SELECT * FROM c ORDER BY id) TO STDOUT (DELIMITER '|', NULL 'null')"),
        ],
        expect![[r#"
            C CREATE TABLE·
            Z I
            G ··?····
            C COPY 2·
            Z I
            G ··?······
            E SERROR·VERROR·C22P02·Minvalid input syntax for type bigint: "x"·WCOPY c, line 1, column n: "x"··
            Z I
            G ··?··
            E SERROR·VERROR·C57014·MCOPY from stdin failed: no more·WCOPY c, line 1··
            Z I
            1
            2
            G ··?······
            C COPY 1·
            Z I
            1
            2
            G ··?······
            E SERROR·VERROR·C23502·Mnull value in column "n" of relation "c" violates not-null constraint·WCOPY c, line 1, column n: null input··
            Z I
            E SERROR·VERROR·C42703·Mcolumn "nam" of relation "c" does not exist·P9··
            Z I
            C BEGIN·
            Z T
            G ··?··
            C COPY 1·
            Z T
            C ROLLBACK·
            Z I
            H ··?······
            d 1|a|0?
            d 2|b|0?
            d 6|null|7?
            c
            C COPY 3·
            Z I
        "#]],
    );
}
