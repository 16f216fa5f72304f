//! Files of sqllogictest: each query as it stands, and as a view made before the rows came.
//!
//! `skipif view` before a record leaves it out of the second pass, for queries whose order or clock a view has not.
//! `arrive SOURCE PARTITIONS` stands before VALUES of which the first is the partition, `clock` before a query for the time.

use std::{fmt::Write as _, fs, path::Path};

use arrow::{
    array::{Array, RecordBatch},
    datatypes::DataType,
};
use sql::{
    backend::SqlError,
    text::{self, Style},
};

use crate::database::{Answer, Database, one};

#[derive(Debug)]
enum Expected {
    Ok,
    /// The SQLSTATE, or any.
    Error(Option<String>),
    /// Rows come to a source with so many partitions.
    Arrive {
        source: String,
        partitions: usize,
    },
    Clock,
    Rows {
        sorted: bool,
        lines: Vec<String>,
    },
}

#[derive(Debug)]
struct Record {
    line: usize,
    sql: String,
    expected: Expected,
    in_view: bool,
}

fn records(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    let mut in_view = true;
    while let Some((at, line)) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = match words.as_slice() {
            [] => continue,
            [word, ..] if word.starts_with('#') => continue,
            ["skipif", "view"] => {
                in_view = false;
                continue;
            }
            ["statement", "ok"] => Expected::Ok,
            ["clock"] => Expected::Clock,
            ["arrive", source, partitions] => Expected::Arrive {
                source: (*source).to_owned(),
                partitions: partitions.parse().expect("a number of partitions"),
            },
            ["statement" | "query", "error", rest @ ..] => {
                Expected::Error(rest.first().map(|code| (*code).to_owned()))
            }
            ["query", rest @ ..] => Expected::Rows {
                sorted: !rest.contains(&"nosort"),
                lines: Vec::new(),
            },
            _ => panic!("line {}: {line}", at + 1),
        };
        let mut sql = String::new();
        let mut has_rows = false;
        for (_, line) in lines.by_ref() {
            if line == "----" {
                has_rows = true;
                break;
            }
            if line.trim().is_empty() {
                break;
            }
            sql.push_str(line);
            sql.push('\n');
        }
        let mut record = Record {
            line: at + 1,
            sql,
            expected,
            in_view,
        };
        in_view = true;
        if let Expected::Rows { lines: rows, .. } = &mut record.expected
            && has_rows
        {
            for (_, line) in lines.by_ref() {
                if line.is_empty() {
                    break;
                }
                rows.push(line.to_owned());
            }
        }
        records.push(record);
    }
    records
}

/// Rows as lines, values apart by a blank; nulls as NULL, empty text as (empty).
pub fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let batch = one(batches);
    let schema = batch.schema();
    let mut lines = Vec::new();
    for row in 0..batch.num_rows() {
        let mut values = Vec::new();
        for (field, column) in schema.fields().iter().zip(batch.columns()) {
            if column.is_null(row) || *column.data_type() == DataType::Null {
                values.push("NULL".to_owned());
                continue;
            }
            let mut out = Vec::new();
            text::write(field, column.as_ref(), row, &Style::default(), &mut out).expect("a value");
            let value = String::from_utf8_lossy(&out).into_owned();
            values.push(if value.is_empty() {
                "(empty)".to_owned()
            } else {
                value
            });
        }
        lines.push(values.join(" "));
    }
    lines
}

fn code(error: &SqlError) -> String {
    String::from_utf8_lossy(&error.sqlstate).into_owned()
}

fn compare(failures: &mut String, what: &str, record: &Record, got: Result<Vec<String>, SqlError>) {
    match (&record.expected, got) {
        (Expected::Ok | Expected::Arrive { .. } | Expected::Clock, Ok(_)) => {}
        (Expected::Error(wanted), Err(error)) => {
            if let Some(wanted) = wanted
                && code(&error) != *wanted
            {
                writeln!(
                    failures,
                    "{what}:{} {}: {} instead of {wanted}: {error}",
                    record.line,
                    record.sql,
                    code(&error)
                )
                .expect("text");
            }
        }
        (Expected::Rows { sorted, lines }, Ok(mut got)) => {
            let mut wanted = lines.clone();
            if *sorted || what.starts_with("view") {
                got.sort();
                wanted.sort();
            }
            if got != wanted {
                let shown = lines.join("\n  ");
                writeln!(
                    failures,
                    "{what}:{} {} gave\n  {}\ninstead of\n  {shown}",
                    record.line,
                    record.sql,
                    got.join("\n  ")
                )
                .expect("text");
            }
        }
        (_, Err(error)) => {
            writeln!(
                failures,
                "{what}:{} {}: {} {error}",
                record.line,
                record.sql,
                code(&error)
            )
            .expect("text");
        }
        (_, Ok(_)) => {
            writeln!(failures, "{what}:{} {}: no error", record.line, record.sql).expect("text");
        }
    }
}

fn ask(database: &mut Database, record: &Record) -> Result<Vec<String>, SqlError> {
    let sql = &record.sql;
    match &record.expected {
        Expected::Arrive { source, partitions } => {
            database.arrive(source, *partitions, sql)?;
            return Ok(Vec::new());
        }
        Expected::Clock => {
            database.set_clock(sql)?;
            return Ok(Vec::new());
        }
        _ => {}
    }
    let mut answers = database.run(sql)?;
    match answers.pop() {
        Some(Answer::Rows(batches)) => Ok(lines(&batches)),
        _ => Ok(Vec::new()),
    }
}

fn ad_hoc(records: &[Record], failures: &mut String) {
    let mut database = Database::default();
    for record in records {
        let got = ask(&mut database, record);
        compare(failures, "query", record, got);
    }
}

/// Views come behind the statements that create, before those that change.
fn as_views(records: &[Record], failures: &mut String) {
    let mut database = Database::default();
    let mut views: Vec<Option<Result<String, SqlError>>> = records.iter().map(|_| None).collect();
    let is_definition = |record: &Record| record.sql.to_lowercase().starts_with("create");
    let last = records
        .iter()
        .rposition(is_definition)
        .map_or(0, |at| at + 1);
    for record in records[..last]
        .iter()
        .filter(|record| is_definition(record))
    {
        compare(failures, "view", record, ask(&mut database, record));
    }
    for (at, record) in records.iter().enumerate() {
        if matches!(record.expected, Expected::Rows { .. }) && record.in_view {
            let name = format!("view_{at}");
            let columns = database.column_count(&record.sql);
            let names = columns.map(|count| {
                (0..count)
                    .map(|n| format!("c{n}"))
                    .collect::<Vec<_>>()
                    .join(", ")
            });
            let made = names.and_then(|names| {
                let sql = format!(
                    "CREATE MATERIALIZED VIEW {name} ({names}) AS {}",
                    record.sql
                );
                database.run(&sql).map(|_| name)
            });
            views[at] = Some(made);
        }
    }
    for (at, record) in records.iter().enumerate() {
        match views[at].take() {
            Some(Ok(name)) => {
                let got = database.contents(&name).map(|batch| lines(&[batch]));
                compare(failures, "view", record, got);
            }
            Some(Err(error)) => compare(failures, "view", record, Err(error)),
            None if is_definition(record) => {}
            None if matches!(record.expected, Expected::Rows { .. } | Expected::Error(_)) => {}
            None => compare(failures, "view", record, ask(&mut database, record)),
        }
    }
}

/// What `reset` stands between, each with the number of lines before it.
pub fn parts(text: &str) -> Vec<(usize, &str)> {
    let mut line = 0;
    let part = |part: &'_ str| {
        let before = line;
        line += part.lines().count() + 1;
        before
    };
    let befores: Vec<usize> = text.split("\nreset\n").map(part).collect();
    befores.into_iter().zip(text.split("\nreset\n")).collect()
}

/// Asks everything in one part, and again as views; what is wrong, as text.
pub fn differences(before: usize, part: &str) -> String {
    let mut failures = String::new();
    let mut records = records(part);
    records.iter_mut().for_each(|record| record.line += before);
    ad_hoc(&records, &mut failures);
    as_views(&records, &mut failures);
    failures
}

/// `reset` begins a new database.
fn run(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("a file that is there");
    let parts = parts(&text).into_iter();
    parts
        .map(|(before, part)| differences(before, part))
        .collect()
}

#[test]
fn files() {
    let folder = std::env::var("SLT_DIR").map_or_else(
        |_| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt"),
        std::path::PathBuf::from,
    );
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("the folder of tests")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    let only = std::env::var("SLT").unwrap_or_default();
    let mut all = String::new();
    for file in files
        .iter()
        .filter(|file| file.to_string_lossy().contains(&only))
    {
        let failures = run(file);
        if !failures.is_empty() {
            writeln!(all, "== {}\n{failures}", file.display()).expect("text");
        }
    }
    assert!(all.is_empty(), "{all}");
}
