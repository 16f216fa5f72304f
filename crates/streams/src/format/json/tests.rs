//! Comparison with another parser: random records and random damage to them.

use arrow_array::cast::AsArray;
use serde_json::Value;

use crate::format::{Decoder, Format, Malformed, RecordView};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    fn of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const NAMES: &[&str] = &[
    "a",
    "b",
    "\\u0061",
    "long name of a member",
    "é",
    "",
    "\\\"",
    "0",
    "1",
];
const SPACES: &[&str] = &["", "", "", " ", "\n\t", "\r  "];
const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "12",
    "-1.5e3",
    "1E-2",
    "123456789012345678901234567890",
    "0.1",
    "1e22",
    "2.5e-310",
    "\"\"",
    "\"a\"",
    "\"\\n\\\\\\\"\\/\\u00e9\"",
    "\"\\ud83d\\ude00 and more behind it, longer than a block is\"",
    "\"é😀\"",
    "\"exactly8\"",
    "\"sixteen bytes ..\"",
    "\"a text that fills more than one block of thirty-two bytes and then some\"",
];
const DAMAGE: &[&str] = &[
    "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "\u{1}", "\u{7f}", "\\u",
    "\\ud800", "tru", "é", "\n", " ", "\\x",
];

fn value(random: &mut Random, depth: usize, out: &mut String) {
    let kind = if depth > 5 { 9 } else { random.below(10) };
    match kind {
        0 | 1 => object(random, depth, out),
        2 => {
            out.push('[');
            for at in 0..random.below(4) {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(random.of(SPACES));
                value(random, depth + 1, out);
                out.push_str(random.of(SPACES));
            }
            out.push(']');
        }
        _ => out.push_str(random.of(SCALARS)),
    }
}

fn object(random: &mut Random, depth: usize, out: &mut String) {
    out.push('{');
    for at in 0..random.below(5) {
        if at > 0 {
            out.push(',');
        }
        out.push_str(random.of(SPACES));
        out.push('"');
        out.push_str(random.of(NAMES));
        out.push('"');
        out.push_str(random.of(SPACES));
        out.push(':');
        out.push_str(random.of(SPACES));
        value(random, depth + 1, out);
        out.push_str(random.of(SPACES));
    }
    out.push_str(random.of(SPACES));
    out.push('}');
}

fn damage(random: &mut Random, text: &mut Vec<u8>) {
    for _ in 0..random.below(3) {
        let at = random.below(text.len() + 1);
        match random.below(4) {
            0 if at < text.len() => drop(text.remove(at)),
            1 if at < text.len() => text[at] ^= 1 << random.below(8),
            2 => text.truncate(at),
            _ => drop(text.splice(at..at, random.of(DAMAGE).bytes())),
        }
    }
}

fn paths() -> Vec<Vec<String>> {
    let paths: [&[&str]; 7] = [
        &["a"],
        &["b", "a"],
        &["b", "0"],
        &["é"],
        &["0", "1", "a"],
        &[],
        &["\""],
    ];
    let path = |path: &[&str]| path.iter().map(|name| (*name).to_owned()).collect();
    paths.map(path).to_vec()
}

fn decoder() -> Decoder {
    let field = |name: &str| {
        let metadata = [("postgres.type".to_owned(), "jsonb".to_owned())];
        let field = arrow_schema::Field::new(name, arrow_schema::DataType::Utf8, true);
        field.with_metadata(metadata.into())
    };
    let fields = (0..paths().len()).map(|at| field(&at.to_string()));
    let schema = std::sync::Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()));
    let columns: Vec<usize> = (0..paths().len()).collect();
    let format = Format::Json { paths: paths() };
    Decoder::new(&format, &schema, &columns).expect("columns of JSON")
}

/// What another parser finds at a path.
fn find<'a>(record: &'a Value, path: &[String]) -> Option<&'a Value> {
    let found = path.iter().try_fold(record, |value, name| match value {
        Value::Object(members) => members.get(name),
        Value::Array(elements) => elements.get(name.parse::<usize>().ok()?),
        _ => None,
    });
    found.filter(|value| !value.is_null())
}

/// Numbers beyond what a double holds are JSON all the same, but not to the other parser.
fn is_too_large_for_others(text: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(text).err();
    error.is_some_and(|error| error.to_string().starts_with("number out of range"))
}

fn push(decoder: &mut Decoder, text: &[u8]) -> Result<(), Malformed> {
    decoder.push(RecordView {
        key: None,
        value: Some(text),
        timestamp_ms: 0,
        partition: 0,
        offset: 0,
    })
}

fn compare(decoder: &mut Decoder, text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    let expected = serde_json::from_slice::<Value>(text).ok();
    let expected = expected.filter(Value::is_object);
    let pushed = push(decoder, text);
    if is_too_large_for_others(text) {
        decoder.finish();
        return;
    }
    assert_eq!(pushed.is_ok(), expected.is_some(), "{pushed:?}: {shown:?}");
    let rows = decoder.finish();
    let Some(expected) = expected else {
        assert_eq!(rows.num_rows(), 0);
        return;
    };
    for (path, column) in paths().iter().zip(rows.columns()) {
        let read: Vec<_> = column.as_string::<i32>().iter().collect();
        let read = read[0].map(|text| serde_json::from_str::<Value>(text).expect("a value"));
        assert_eq!(
            read.as_ref(),
            find(&expected, path),
            "{path:?} of {shown:?}"
        );
    }
}

#[test]
fn the_same_is_read_as_by_another_parser() {
    let mut random = Random(11);
    // One for all: guesses from former records must not matter.
    let mut decoder = decoder();
    let mut accepted = 0;
    for round in 0..60_000 {
        let mut text = String::new();
        object(&mut random, 0, &mut text);
        let mut text = text.into_bytes();
        if round % 4 > 0 {
            damage(&mut random, &mut text);
        }
        accepted += usize::from(serde_json::from_slice::<Value>(&text).is_ok());
        compare(&mut decoder, &text);
    }
    assert!((20_000..50_000).contains(&accepted), "{accepted}");
}

#[test]
fn doubles_are_the_nearest() {
    let mut random = Random(5);
    for _ in 0..20_000 {
        let digits = 1 + random.below(25);
        let mut text: String = (0..digits)
            .map(|_| char::from(b'0' + random.below(10) as u8))
            .collect();
        text.insert(random.below(digits) + 1, '.');
        text.push_str(&format!("5e{}", random.below(640) as i32 - 330));
        let text = text.trim_start_matches('0');
        let text = if text.starts_with('.') {
            format!("0{text}")
        } else {
            text.to_owned()
        };
        let nearest: f64 = text.parse().expect("a number");
        let fields = vec![arrow_schema::Field::new(
            "v",
            arrow_schema::DataType::Float64,
            true,
        )];
        let schema = std::sync::Arc::new(arrow_schema::Schema::new(fields));
        let mut decoder =
            Decoder::new(&Format::Json { paths: Vec::new() }, &schema, &[0]).expect("a double");
        let pushed = push(&mut decoder, format!("{{\"v\":{text}}}").as_bytes());
        assert_eq!(pushed.is_ok(), nearest.is_finite(), "{text}");
        if pushed.is_ok() {
            let rows = decoder.finish();
            let read = rows
                .column(0)
                .as_primitive::<arrow_array::types::Float64Type>()
                .value(0);
            assert_eq!(read.to_bits(), nearest.to_bits(), "{text}");
        }
    }
}
