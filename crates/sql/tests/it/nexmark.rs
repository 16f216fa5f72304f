//! Nexmark's queries over a few events: ad hoc, and as views made before the rows came.
//!
//! The answers in `tests/nexmark` are DuckDB's (`oracle/nexmark.py`). Those that RisingWave publishes in its repository are
//! compared by `cargo xtask exactness --nexmark FOLDER`, which names its `e2e_test`.

use std::{fs, path::Path};

use crate::{
    database::{Answer, Database},
    slt::lines,
};

/// A query's number and its columns that are compared, and what must come out.
struct Expected {
    number: u32,
    columns: String,
    rows: Vec<String>,
    /// Words of the query that read otherwise there.
    instead: &'static [(&'static str, &'static str)],
}

fn query_of(expected: &Expected) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../bench/nexmark/queries");
    let path = folder.join(format!("q{}.sql", expected.number));
    let mut query = fs::read_to_string(path).expect("a query");
    for (words, others) in expected.instead {
        assert!(query.contains(words), "{words} in {query}");
        query = query.replace(words, others);
    }
    format!("SELECT {} FROM ({query}) AS q", expected.columns)
}

/// Whole numbers and fractions look the same whatever their scale is.
fn plain(line: &str) -> String {
    let words = line.split_whitespace().map(|word| {
        let is_fraction = word.contains('.') && word.parse::<f64>().is_ok();
        match is_fraction {
            true => word.trim_end_matches('0').trim_end_matches('.'),
            false => word,
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn sorted(rows: &[String]) -> Vec<String> {
    let mut rows: Vec<String> = rows.iter().map(|row| plain(row)).collect();
    rows.sort();
    rows
}

fn compare(definitions: &[String], changes: &[String], all: &[Expected]) {
    let mut database = Database::default();
    for sql in definitions {
        database.run(sql).expect(sql);
    }
    for expected in all {
        let query = query_of(expected);
        let count = database.column_count(&query).expect(&query);
        let names: Vec<String> = (0..count).map(|at| format!("c{at}")).collect();
        let name = format!("q{}", expected.number);
        let view = format!(
            "CREATE MATERIALIZED VIEW {name} ({}) AS {query}",
            names.join(", ")
        );
        database.run(&view).expect(&view);
    }
    for sql in changes {
        database.run(sql).expect(sql);
    }
    for expected in all {
        let wanted = sorted(&expected.rows);
        let number = expected.number;
        let view = database.contents(&format!("q{number}")).expect("a view");
        assert_eq!(sorted(&lines(&[view])), wanted, "q{number} as a view");
        let query = query_of(expected);
        let Some(Answer::Rows(batches)) = database.run(&query).expect(&query).pop() else {
            panic!("q{number} has no rows");
        };
        assert_eq!(sorted(&lines(&batches)), wanted, "q{number} ad hoc");
    }
}

#[test]
fn answers_are_those_of_another_engine() {
    let text = include_str!("../nexmark/answers.txt");
    let mut statements = Vec::new();
    let mut all = Vec::new();
    for part in text.split("\n\n") {
        let (head, body) = part.split_once('\n').expect("a head and what it is");
        match head
            .strip_prefix("answer ")
            .and_then(|of| of.split_once(' '))
        {
            Some((number, columns)) => all.push(Expected {
                number: number.parse().expect("a number"),
                columns: columns.to_owned(),
                rows: body.lines().map(str::to_owned).collect(),
                instead: &[],
            }),
            None => statements.push(body.trim_end().to_owned()),
        }
    }
    let is_definition = |sql: &String| sql.starts_with("CREATE");
    let (definitions, changes): (Vec<_>, Vec<_>) = statements.into_iter().partition(is_definition);
    assert_eq!(all.len(), 23, "all queries have an answer");
    compare(&definitions, &changes, &all);
}

/// The tables there, and ours over them.
const PUBLISHED: &[&str] = &[
    "CREATE TABLE person_ (id BIGINT, name TEXT, email_address TEXT, credit_card TEXT, city TEXT, state TEXT,
     date_time TIMESTAMP, extra TEXT)",
    "CREATE TABLE auction_ (id BIGINT, item_name TEXT, description TEXT, initial_bid BIGINT, reserve BIGINT,
     date_time TIMESTAMP, expires TIMESTAMP, seller BIGINT, category BIGINT, extra TEXT)",
    "CREATE TABLE bid_ (auction BIGINT, bidder BIGINT, price BIGINT, channel TEXT, url TEXT, date_time TIMESTAMP,
     extra TEXT)",
    "CREATE MATERIALIZED VIEW person AS SELECT id, name, city, state, date_time AS \"dateTime\", date_time AS rowtime,
     extra FROM person_",
    "CREATE MATERIALIZED VIEW auction AS SELECT id, item_name AS \"itemName\", description, initial_bid AS \"initialBid\",
     reserve, date_time AS \"dateTime\", date_time AS rowtime, expires, seller, category, extra FROM auction_",
    "CREATE MATERIALIZED VIEW bid AS SELECT auction, bidder, price, channel, url, date_time AS \"dateTime\",
     date_time AS rowtime, extra FROM bid_",
];

/// Columns in the order there, and conditions that are others there.
type Other = (u32, &'static str, &'static [(&'static str, &'static str)]);
const OTHERS: &[Other] = &[
    (0, "auction, bidder, price, rowtime", &[]),
    (1, "auction, bidder, price, rowtime", &[]),
    (
        2,
        "*",
        &[(
            "MOD(auction, 123) = 0",
            "auction IN (1007, 1020, 2001, 2019, 2087)",
        )],
    ),
    (
        3,
        "*",
        &[("'OR'", "'or'"), ("'ID'", "'id'"), ("'CA'", "'ca'")],
    ),
    (4, "*", &[]),
    (5, "*", &[]),
    (7, "auction, price, bidder, rowtime", &[]),
    (8, "*", &[]),
    (
        9,
        "id, \"itemName\", description, \"initialBid\", reserve, rowtime, expires, seller, category, auction, bidder, price,
         bid_time",
        &[],
    ),
    (
        10,
        "auction, bidder, price, rowtime, day, minute",
        &[("HH24:MI", "HH12:MI")],
    ),
    (
        14,
        "auction, bidder, price, bid_time_type, rowtime, c_counts",
        &[],
    ),
    (15, "*", &[]),
    (16, "*", &[("HH24:MI", "HH12:MM")]),
    (17, "*", &[]),
    (18, "*", &[]),
    (
        19,
        "auction, bidder, price, channel, url, rowtime, extra, rank_number",
        &[],
    ),
    (20, "*", &[]),
    (21, "*", &[]),
    (22, "*", &[]),
];

#[test]
fn published_answers() {
    let Some(folder) = std::env::var_os("NEXMARK_PUBLISHED") else {
        return;
    };
    let folder = Path::new(&folder);
    let read = |path: String| fs::read_to_string(folder.join(&path)).expect(&path);
    let mut changes = Vec::new();
    for table in ["person", "auction", "bid"] {
        let text = read(format!("nexmark/insert_{table}.slt.part"));
        let sql = text.trim_start().trim_start_matches("statement ok");
        let into = format!("INSERT INTO {table}");
        changes.push(sql.trim().replacen(&into, &format!("{into}_"), 1));
    }
    let mut all = Vec::new();
    for (number, columns, instead) in OTHERS {
        let text = read(format!("streaming/nexmark/q{number}.slt.part"));
        let (_, rows) = text.split_once("----\n").expect("an answer");
        let rows = rows.lines().take_while(|row| !row.is_empty());
        all.push(Expected {
            number: *number,
            columns: (*columns).to_owned(),
            rows: rows.map(str::to_owned).collect(),
            instead,
        });
    }
    let definitions: Vec<String> = PUBLISHED.iter().map(|sql| (*sql).to_owned()).collect();
    compare(&definitions, &changes, &all);
}
