//! Which changes of a schema are taken.

use super::*;

const BEFORE: &str = "key StringValue
state 1 value - Total total
state 2 map StringValue Total by_day
was state 3 list UInt64Value Int64Value old
field StringValue 1 - string value
field Total 1 - int32 sum
field Total 2 optional string note
was field Total 9 - bytes gone
";

fn changed(from: &str, to: &str) -> Result<StepSchema, String> {
    let before = StepSchema::from_text(BEFORE).expect("a schema");
    let mut after = StepSchema::from_text(&BEFORE.replace(from, to)).expect("a schema");
    after.gone_states.clear();
    after.gone_fields.clear();
    after.after(&before)
}

#[test]
fn what_is_written_is_read() {
    let schema = StepSchema::from_text(BEFORE).expect("a schema");
    assert_eq!(schema.to_text(), BEFORE);
    assert_eq!(StepSchema::from_text("state x value - T t\n"), None);
    assert_eq!(StepSchema::from_text("something else\n"), None);
}

#[test]
fn allowed() {
    let cases = [
        ("", ""),
        ("int32 sum", "int64 sum"),
        ("int32 sum", "int32 total"),
        ("optional string note", "- bytes note"),
        ("field Total 2 optional string note\n", ""),
        (
            "field Total 1 ",
            "field Total 9 - bytes back\nfield Total 1 ",
        ),
        (
            "field Total 1 ",
            "field Total 3 repeated Other more\nfield Total 1 ",
        ),
        ("state 2 map StringValue Total by_day\n", ""),
        ("state 1 ", "state 4 list UInt64Value Total four\nstate 1 "),
    ];
    for (from, to) in cases {
        let after = changed(from, to);
        let after = after.unwrap_or_else(|why| panic!("{from:?} to {to:?}: {why}"));
        // What is gone now or was gone before is remembered.
        let text = after.to_text();
        let read = StepSchema::from_text(&text);
        assert_eq!(read, Some(after));
        for number in [1, 2, 9] {
            assert!(text.contains(&format!("field Total {number} ")), "{text}");
        }
        for number in [1, 2, 3] {
            assert!(text.contains(&format!("state {number} ")), "{text}");
        }
    }
}

#[test]
fn refused() {
    let cases = [
        (
            "key StringValue",
            "key Total",
            "its key was StringValue, it is Total now",
        ),
        (
            "1 - int32 sum",
            "1 - string sum",
            "field 1 of Total, sum, was int32, it is string now",
        ),
        (
            "1 - int32 sum",
            "1 repeated int32 sum",
            "field 1 of Total, sum, was int32, it is repeated int32 now",
        ),
        (
            "Total 1 - int32 sum",
            "Total 4 - int32 sum",
            "field sum of Total had number 1, it has 4 now",
        ),
        (
            "field Total 1 ",
            "field Total 9 - string back\nfield Total 1 ",
            "field 9 of Total, gone, was bytes, it is string now",
        ),
        (
            "state 1 value - Total total",
            "state 1 list UInt64Value Total total",
            "state 1, total, was a value of Total, it is a list of Total by UInt64Value now",
        ),
        (
            "state 2 map StringValue Total by_day",
            "state 5 map StringValue Total by_day",
            "state by_day had number 2, it has 5 now",
        ),
        (
            "was state 3 list UInt64Value Int64Value old\n",
            "state 3 list UInt64Value Int64Value old\n",
            "number 3 was that of another state once: take one that was never used",
        ),
    ];
    for (from, to, why) in cases {
        assert_eq!(
            changed(from, to).map(|_| ()),
            Err(why.to_owned()),
            "{from:?} to {to:?}"
        );
    }
}
