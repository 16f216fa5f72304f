//! Which changes of a schema are taken.

use super::*;

const BEFORE: &str = "key Account
state 1 value - Total total
state 2 map Day Total by_day
state 6 ordered-map Hour Total by_hour
was state 3 list UInt64Value Int64Value old
field Account 1 - Branch branch
field Account 2 - int32 number
field Branch 1 - int32 number
field Branch 2 optional int32 part
field Day 1 - map<string,Branch> by_name
field Hour 1 - int32 number
field Total 1 - int32 sum
field Total 2 optional string note
was field Total 9 - bytes gone
enum Colour -1 RED
enum Colour 0 NONE
was enum Size 3 LARGE
";

fn changed(from: &str, to: &str) -> Result<StepSchema, String> {
    let before = StepSchema::from_text(BEFORE).expect("a schema");
    let mut after = StepSchema::from_text(&BEFORE.replace(from, to)).expect("a schema");
    after.gone_states.clear();
    after.gone_fields.clear();
    after.gone_enums.clear();
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
fn damaged_text_is_refused_or_read() {
    let letters = ["", " ", "\n", "-", "was ", "9", "4294967296", "ø"];
    for at in (0..BEFORE.len()).filter(|at| BEFORE.is_char_boundary(*at)) {
        for letter in letters {
            for skip in [0, 1] {
                let text = format!("{}{letter}{}", &BEFORE[..at], &BEFORE[at + skip..]);
                let Some(schema) = StepSchema::from_text(&text) else {
                    continue;
                };
                // What is told twice is there once; from then on nothing changes any more.
                let told = schema.to_text();
                assert_eq!(StepSchema::from_text(&told), Some(schema), "{text}");
            }
        }
    }
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
        ("state 2 map Day Total by_day\n", ""),
        ("RED", "CRIMSON"),
        ("enum Colour 0", "enum Colour 7 BLUE\nenum Colour 0"),
        ("enum Colour -1 RED\nenum Colour 0 NONE\n", ""),
        ("was enum", "enum"),
        ("Account 2 - int32 number", "Account 2 - int64 id"),
        (
            "field Branch 2",
            "field Branch 4 - string more\nfield Branch 2",
        ),
        ("Hour 1 - int32 number", "Hour 1 - int32 hour"),
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
        for value in ["Colour -1", "Colour 0", "Size 3"] {
            assert!(text.contains(&format!("enum {value} ")), "{text}");
        }
    }
}

#[test]
fn refused() {
    let cases = [
        (
            "key Account",
            "key Total",
            "its key was Account, it is Total now",
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
            "state 2 map Day Total by_day",
            "state 5 map Day Total by_day",
            "state by_day had number 2, it has 5 now",
        ),
        (
            "was state 3 list UInt64Value Int64Value old\n",
            "state 3 list UInt64Value Int64Value old\n",
            "number 3 was that of another state once: take one that was never used",
        ),
        (
            "field Account 2 - int32 number\n",
            "",
            "field 2 of Account, number, is part of a key: it cannot go",
        ),
        (
            "Branch 1 - int32 number",
            "Branch 1 optional int32 number",
            "field 1 of Branch, number, was int32, it is optional int32 now: the bytes of keys with it would be others",
        ),
        (
            "Branch 2 optional int32 part",
            "Branch 2 - int32 part",
            "field 2 of Branch, part, was optional int32, it is int32 now: the bytes of keys with it would be others",
        ),
        (
            "Hour 1 - int32 number",
            "Hour 1 - int64 number",
            "field 1 of Hour, number, was int32, it is int64 now: the bytes of keys with it would be others",
        ),
        (
            "field Hour 1 ",
            "field Hour 2 - int32 more\nfield Hour 1 ",
            "field 2 of Hour, more, is new, and that is a key of an ordered map",
        ),
        (
            "enum Colour -1 RED\n",
            "",
            "Colour had the value RED, -1: it may have another name, but it cannot go",
        ),
        (
            "was enum Size 3 LARGE",
            "enum Size 4 LARGE",
            "Size had the value LARGE, 3: it may have another name, but it cannot go",
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
