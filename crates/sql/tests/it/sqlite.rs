//! SQLite's sqllogictest files: queries as they stand, and as views made before the rows came.
//!
//! A sample runs with every test; `cargo xtask exactness --sqlite` runs all `.test` files of a file or folder that
//! `SLT_SQLITE` names (those of the Maven artifact `net.hydromatic:sql-logic-test`), tells why how many records were refused,
//! and fails when an answer is wrong.

use std::{
    collections::BTreeMap,
    fs,
    num::NonZero,
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use arrow::{
    array::{Array, AsArray, RecordBatch},
    compute::cast,
    datatypes::{DataType, Float64Type},
};
use sql::text::{self, Style};

use crate::database::{Answer, Database, one};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    None,
    Rows,
    Values,
}

struct Record {
    line: usize,
    sql: String,
    /// `None`: a statement.
    query: Option<Query>,
    fails: bool,
}

struct Query {
    types: Vec<char>,
    sort: Sort,
    expected: Vec<String>,
}

/// What files came to.
#[derive(Default)]
pub struct Outcome {
    pub right: usize,
    /// By reason: how often, and one of the places.
    pub refused: BTreeMap<String, (usize, String)>,
    pub wrong: Vec<String>,
}

impl Outcome {
    fn refuse(&mut self, reason: &str, place: String) {
        // Names and numbers make no other reason.
        let is_name =
            |part: &str| part.starts_with('\"') || part.contains(|c: char| c.is_ascii_digit());
        let words = reason
            .split(' ')
            .map(|word| if is_name(word) { "_" } else { word });
        let reason = words.collect::<Vec<_>>().join(" ");
        self.refused.entry(reason).or_insert((0, place)).0 += 1;
    }

    fn refused_count(&self) -> usize {
        self.refused.values().map(|(count, _)| count).sum()
    }

    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
        for (reason, (count, place)) in other.refused {
            self.refused.entry(reason).or_insert((0, place)).0 += count;
        }
    }
}

fn records(text: &str) -> Vec<Record> {
    let mut found = Vec::new();
    let mut lines = text.lines().enumerate();
    let mut skip = false;
    while let Some((at, line)) = lines.next() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (is_query, fails) = match words.as_slice() {
            ["skipif", "postgresql", ..] => {
                skip = true;
                continue;
            }
            ["onlyif", engine, ..] => {
                skip |= *engine != "postgresql";
                continue;
            }
            ["statement", outcome, ..] => (false, *outcome == "error"),
            ["query", ..] => (true, false),
            ["halt", ..] if !skip => break,
            _ => continue,
        };
        let mut sql = String::new();
        let mut expected = Vec::new();
        let mut in_rows = false;
        for (_, line) in lines.by_ref() {
            if line.trim().is_empty() {
                break;
            }
            if line == "----" {
                in_rows = true;
            } else if in_rows {
                expected.push(line.to_owned());
            } else {
                sql.push_str(line);
                sql.push('\n');
            }
        }
        if std::mem::take(&mut skip) {
            continue;
        }
        let query = is_query.then(|| Query {
            types: words.get(1).unwrap_or(&"").chars().collect(),
            sort: match words.get(2) {
                Some(&"rowsort") => Sort::Rows,
                Some(&"valuesort") => Sort::Values,
                _ => Sort::None,
            },
            expected,
        });
        found.push(Record {
            line: at + 1,
            sql,
            query,
            fails,
        });
    }
    found
}

/// Values one by one, in the form that the file's types ask for.
fn values(batches: &[RecordBatch], types: &[char]) -> Vec<Vec<String>> {
    let batch = one(batches);
    let schema = batch.schema();
    let mut rows = Vec::new();
    for row in 0..batch.num_rows() {
        let mut values = Vec::new();
        for (at, (field, column)) in schema.fields().iter().zip(batch.columns()).enumerate() {
            let kind = types.get(at).copied().unwrap_or('T');
            values.push(if column.is_null(row) {
                "NULL".to_owned()
            } else if kind == 'I' && *field.data_type() == DataType::Boolean {
                // SQLite has no truth values.
                u8::from(column.as_boolean().value(row)).to_string()
            } else if kind == 'R' || kind == 'I' && field.data_type().is_floating() {
                let number = cast(&column.slice(row, 1), &DataType::Float64).expect("a number");
                let number = number.as_primitive::<Float64Type>().value(0);
                if kind == 'R' {
                    format!("{number:.3}")
                } else {
                    format!("{:.0}", number.trunc())
                }
            } else {
                let mut out = Vec::new();
                text::write(field, column.as_ref(), row, &Style::default(), &mut out)
                    .expect("a value");
                let value = String::from_utf8_lossy(&out).into_owned();
                if value.is_empty() {
                    "(empty)".to_owned()
                } else {
                    value
                }
            });
        }
        rows.push(values);
    }
    rows
}

fn sorted(mut rows: Vec<Vec<String>>, sort: Sort) -> Vec<String> {
    if sort == Sort::Rows {
        rows.sort();
    }
    let mut all: Vec<String> = rows.into_iter().flatten().collect();
    if sort == Sort::Values {
        all.sort();
    }
    all
}

/// Long answers stand in the files as the MD5 of their lines.
fn is_right(all: &[String], expected: &[String]) -> bool {
    if let [line] = expected
        && let Some((count, hash)) = line.split_once(" values hashing to ")
    {
        let text: String = all.iter().flat_map(|value| [value, "\n"]).collect();
        let sql = format!("SELECT md5('{}')", text.replace('\'', "''"));
        let mut answers = Database::default().run(&sql).expect("a hash");
        let Some(Answer::Rows(batches)) = answers.pop() else {
            return false;
        };
        let found = values(&batches, &['T']);
        return count == all.len().to_string() && found == [[hash.to_owned()]];
    }
    all == expected
}

fn answer(database: &mut Database, sql: &str) -> Result<Vec<RecordBatch>, String> {
    let mut answers = database.run(sql).map_err(|error| error.to_string())?;
    match answers.pop() {
        Some(Answer::Rows(batches)) => Ok(batches),
        _ => Ok(Vec::new()),
    }
}

fn judge(
    outcome: &mut Outcome,
    what: &str,
    record: &Record,
    got: Result<Vec<RecordBatch>, String>,
) {
    let place = || format!("{what}:{} {}", record.line, record.sql.trim());
    match (got, &record.query) {
        (Ok(batches), Some(query)) => {
            // A view has no order of its own.
            let sort = if what == "view" && query.sort == Sort::None {
                Sort::Rows
            } else {
                query.sort
            };
            let rows = values(&batches, &query.types);
            let all = sorted(rows, sort);
            let mut expected = query.expected.clone();
            if sort != query.sort {
                let width = query.types.len().max(1);
                if expected.len() == 1 && expected[0].contains(" values hashing to ") {
                    return;
                }
                expected = sorted(
                    expected.chunks(width).map(<[String]>::to_vec).collect(),
                    sort,
                );
            }
            if is_right(&all, &expected) {
                outcome.right += 1;
            } else {
                outcome
                    .wrong
                    .push(format!("{}\n  gave {all:?}\n  not {expected:?}", place()));
            }
        }
        (Ok(_), None) if record.fails => outcome.refuse("no error where one was expected", place()),
        (Ok(_), None) => {}
        (Err(_), None) if record.fails => {}
        (Err(error), _) => outcome.refuse(&error, place()),
    }
}

pub fn run(text: &str, outcome: &mut Outcome) {
    let records = records(text);
    let mut database = Database::default();
    for record in &records {
        let got = answer(&mut database, &record.sql);
        judge(outcome, "query", record, got);
    }
    let mut database = Database::default();
    let changes = |record: &Record| record.query.is_none();
    let creates = |record: &Record| {
        record
            .sql
            .trim_start()
            .to_lowercase()
            .starts_with("create table")
    };
    for record in records.iter().filter(|record| creates(record)) {
        judge(outcome, "view", record, answer(&mut database, &record.sql));
    }
    let mut views = Vec::new();
    for (at, record) in records.iter().enumerate() {
        if record.query.is_none() {
            continue;
        }
        let made = database.column_count(&record.sql).and_then(|count| {
            let names: Vec<String> = (0..count).map(|at| format!("c{at}")).collect();
            let sql = format!(
                "CREATE MATERIALIZED VIEW v{at} ({}) AS {}",
                names.join(", "),
                record.sql
            );
            database.run(&sql)
        });
        views.push((at, made.map_err(|error| error.to_string())));
    }
    let mut views = views.into_iter().peekable();
    for (at, record) in records.iter().enumerate() {
        if changes(record) {
            if !creates(record) {
                judge(outcome, "view", record, answer(&mut database, &record.sql));
            }
        } else if let Some((_, made)) = views.next_if(|(place, _)| *place == at) {
            let got = made.and_then(|_| {
                let rows = database
                    .contents(&format!("v{at}"))
                    .map_err(|error| error.to_string());
                rows.map(|rows| vec![rows])
            });
            judge(outcome, "view", record, got);
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    if folder.is_file() {
        return found.push(folder.to_owned());
    }
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "test")
        {
            found.push(path);
        }
    }
}

#[test]
fn sqlite() {
    let asked = std::env::var("SLT_SQLITE").ok();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sqlite");
    let folder = asked.as_ref().map_or(sample, PathBuf::from);
    let mut found = Vec::new();
    files(&folder, &mut found);
    found.sort();
    let next = AtomicUsize::new(0);
    let all = Mutex::new(Outcome::default());
    let worker = || {
        while let Some(file) = found.get(next.fetch_add(1, Ordering::Relaxed)) {
            let text = fs::read_to_string(file).expect("a file of text");
            let mut outcome = Outcome::default();
            run(&text, &mut outcome);
            println!(
                "{}: {} right, {} refused, {} wrong",
                file.display(),
                outcome.right,
                outcome.refused_count(),
                outcome.wrong.len()
            );
            outcome.wrong.truncate(10);
            all.lock().expect("no file panics").add(outcome);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(worker))));
    let all = all.into_inner().expect("no file panics");
    for (reason, (count, place)) in &all.refused {
        println!("{count} times {reason}\n  {}", place.replace('\n', " "));
    }
    println!("{} right, {} refused", all.right, all.refused_count());
    let shown: Vec<String> = all.wrong.into_iter().take(20).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    assert!(all.right > 0, "nothing was asked");
}
