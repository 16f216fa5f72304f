//! What asks for too much is refused, before anything is made of it.

use std::sync::Arc;

use sql::backend::PermitSize;

use crate::{
    database::with_stack,
    memory::Memory,
    wire::{failed, rows},
};

fn check(cases: &[(String, &str)]) {
    let backend = Arc::new(Memory::default());
    let mut wrong = String::new();
    for (query, wanted) in cases {
        let got = failed(&backend, query);
        if !got.starts_with(wanted) {
            let query = &query[..query.len().min(200)];
            wrong.push_str(&format!("{query}\n  {got}\ninstead of\n  {wanted}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_an_argument_sizes_is_bounded() {
    let texts = |count: usize| vec!["x"; count].join(", ");
    let one = "(SELECT repeat('x', 15000000 + g - g) AS x FROM generate_series(1, 1) g) t";
    let doubled = "WITH a AS (SELECT x || x AS x FROM (SELECT repeat('x', 15000000 + g - g) AS x \
                   FROM generate_series(1, 1) g) t), b AS (SELECT x || x AS x FROM a), \
                   c AS (SELECT x || x AS x FROM b), d AS (SELECT x || x AS x FROM c), \
                   e AS (SELECT x || x AS x FROM d) SELECT length(x || x) FROM e";
    let large: Vec<String> = (0..40)
        .map(|number| format!("length(repeat('x', {}))", 16_000_000 + number))
        .collect();
    let values = vec!["(repeat('x', 16000000))"; 600].join(", ");
    let cases: [(String, &str); 24] = [
        // Values that would stay in the plan, each, if they were computed there.
        (format!("SELECT {}", large.join(", ")), "no error"),
        (format!("VALUES {values}"), "54000"),
        (
            "SELECT array_replace_all(array_repeat('a', 100000), 'a', repeat('x', 1000000))".into(),
            "54000",
        ),
        (
            format!("SELECT ARRAY[{}]", vec!["repeat('x', 16000000)"; 60].join(", ")),
            "54000",
        ),
        // One row whose weight is large.
        (
            format!(
                "SELECT {} FROM generate_series(1, 3000) a CROSS JOIN generate_series(1, 3000) b",
                (0..300).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
            ),
            "53200",
        ),
        ("SELECT length(repeat('x', 16000000))".into(), "no error"),
        ("SELECT length('a' || repeat('b', 10))".into(), "no error"),
        // A constant that is fine by itself stands in every row; what becomes small again is made row by row.
        (
            "SELECT repeat('x', 16000000) FROM generate_series(1, 200)".into(),
            "53200",
        ),
        (
            "SELECT length(g || repeat('x', 16000000)) FROM generate_series(1, 40) g".into(),
            "no error",
        ),
        (
            format!("SELECT length(format('{}', {})) FROM {one}", "%s".repeat(60), texts(60)),
            "54000",
        ),
        (
            "SELECT to_char(timestamp '2020-01-01', repeat('x', 100000))".into(),
            "54000",
        ),
        (format!("SELECT length(concat({})) FROM {one}", texts(60)), "54000"),
        (format!("SELECT ARRAY[{}] FROM {one}", texts(60)), "54000"),
        (doubled.into(), "54000"),
        (
            "SELECT length(replace(repeat('x', 1000000), 'x', repeat('y', 1000000)))".into(),
            "54000",
        ),
        (
            "SELECT length(regexp_replace(repeat('x', 100000), 'x', repeat('y', 100000), 'g'))"
                .into(),
            "54000",
        ),
        (
            "SELECT array_to_string(array_agg(g), repeat('x', 1000000)) FROM generate_series(1, 100000) g".into(),
            "54000",
        ),
        (
            "SELECT array_repeat(array_agg(g), 2000000) FROM generate_series(1, 1000) g".into(),
            "54000",
        ),
        (
            "SELECT array_resize(ARRAY['a'], 1000000, repeat('x', 100000))".into(),
            "54000",
        ),
        (
            "SELECT generate_series(timestamp '2021-01-01', timestamp '2021-02-01', interval '1 month -31 days')"
                .into(),
            "22023",
        ),
        (
            "SELECT generate_series(timestamp '2021-01-01', timestamp '2021-02-01', interval '1 day -24 hours')"
                .into(),
            "22023",
        ),
        (
            "SELECT generate_series(date '1970-01-01', date '1970-01-01' + 100000000, interval '1 day')"
                .into(),
            "54000",
        ),
        // They step by whole microseconds.
        (
            "SELECT count(*) FROM generate_series(timestamp '2021-01-01', timestamp '2021-01-01 00:00:30', \
             interval '1999 nanoseconds')"
                .into(),
            "54000",
        ),
        ("SELECT _pg_expandarray()".into(), "42883"),
    ];
    check(&cases);
}

/// As deep as statements may be, in each way that they can be deep: a stack of that size holds what planning recurses.
#[test]
fn the_deepest_statements_are_planned() {
    let tables = |word: &str, count: usize| {
        let names = (0..count).map(|number| format!("(VALUES (1)) t{number}(a{number})"));
        names.collect::<Vec<_>>().join(word)
    };
    let common = (1..100).map(|number| {
        let before = number - 1;
        format!(", c{number} AS (SELECT a + 1 AS a FROM c{before})")
    });
    let cases = [
        (format!("SELECT {}1", "1 + ".repeat(245)), "no error"),
        (
            format!("SELECT {}true", "1 IS NULL OR NOT ".repeat(80)),
            "no error",
        ),
        (
            format!("SELECT 1, 2 {}", "UNION ALL SELECT 1, 2 ".repeat(200)),
            "no error",
        ),
        (format!("SELECT 1 FROM {}", tables(", ", 60)), "no error"),
        (
            format!(
                "WITH c0 AS (SELECT 1 AS a){} SELECT a FROM c99",
                common.collect::<String>()
            ),
            "no error",
        ),
    ];
    // The front thread, which reads statements and lets them go, has it too.
    with_stack(|| check(&cases));
}

/// Cursors of any number of sessions keep no more than what there is for answers.
#[test]
fn answers_that_wait_are_bounded() {
    let backend = Arc::new(Memory::default());
    let declare = |name: &str| {
        format!(
            "DECLARE {name} CURSOR FOR SELECT repeat('x', 1000) || g FROM generate_series(1, 10000) g; "
        )
    };
    let two = format!("BEGIN; {}{}", declare("a"), declare("b"));
    assert_eq!(failed(&backend, &two), "no error");
    let closed = format!("{two}CLOSE a; {}", declare("c"));
    assert_eq!(failed(&backend, &closed), "no error");
    let three = format!("{two}{}", declare("c"));
    assert_eq!(
        failed(&backend, &three),
        "53200 answers that clients have not taken yet fill the memory for them"
    );
    assert_eq!(failed(&backend, &two), "no error");
}

#[test]
fn a_question_that_needs_much_has_a_large_permit() {
    let backend = Arc::new(Memory::default());
    let groups = "SELECT count(*) FROM (SELECT g FROM generate_series(1, 50000) g GROUP BY g) t";
    let large = [PermitSize::Small, PermitSize::Large];
    let cases = [
        ("SELECT 1", &large[..1], "no error"),
        (groups, &large[..], "no error"),
        (
            "SELECT g FROM generate_series(1, 200000) g",
            &large[..],
            "no error",
        ),
        (
            "SELECT repeat('x', 16000) || g FROM generate_series(1, 4000) g",
            &large[..],
            "53200",
        ),
    ];
    for (query, permits, wanted) in cases {
        let got = failed(&backend, query);
        assert!(got.starts_with(wanted), "{query}: {got}");
        assert_eq!(backend.take_permits(), permits, "{query}");
    }
    assert_eq!(
        rows(&backend, groups).map(|rows| rows[0][0].clone()),
        Ok(Some("50000".into()))
    );
}
