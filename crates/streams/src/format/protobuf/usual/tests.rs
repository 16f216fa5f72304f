//! Usual records beside the same ones read the long way.

use arrow_schema::{DataType, TimeUnit};

use crate::format::{
    Decoder, RecordView, Records,
    protobuf::tests::{counted, message_of, number},
};

/// Whatever the records are, they are read as without the short way.
#[test]
fn usual_records_are_read_like_any() {
    let text = "syntax = \"proto3\"; message A { int64 a = 1; optional string b = 2; int64 c = 3; string d = 4; \
                int64 unread = 5; string unread2 = 6; int64 far = 70; }";
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let fields = [
        ("a", DataType::Int64),
        ("b", DataType::Utf8),
        ("c", utc),
        ("d", DataType::Utf8),
    ];
    let (format, schema) = message_of(text, fields);
    let decoder = || Decoder::new(&format, &schema, &[0, 1, 2, 3]).expect("a format for these");
    let (mut short, mut long) = (decoder(), decoder());
    let Records::Protobuf(messages) = &mut long.records else {
        panic!("other records");
    };
    assert!(messages.is_usual);
    messages.is_usual = false;
    let mut seed = 1_u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) % below
    };
    let texts: [&[u8]; 6] = [
        b"",
        b"short",
        &[b'x'; 200],
        "\u{e9}".as_bytes(),
        b"\0",
        b"\xff",
    ];
    let (mut sound, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut record = Vec::new();
        for _ in 0..random(8) {
            let field = [1, 2, 3, 4, 5, 6, 70][random(7) as usize];
            // What is refused is not to be what mostly happens.
            let is_odd = random(8) == 0;
            let part = match field {
                2 | 4 | 6 => counted(field, texts[random(if is_odd { 6 } else { 4 }) as usize]),
                _ => number(
                    field,
                    random(1 << 30) << random(if is_odd { 35 } else { 20 }),
                ),
            };
            record.extend(part);
        }
        if random(16) == 0 {
            record.truncate(random(record.len() as u64 + 1) as usize);
        }
        let view = RecordView {
            key: None,
            value: Some(&record),
            timestamp_ms: 0,
            partition: 0,
            offset: 0,
        };
        let pushed = short.push(view);
        assert_eq!(pushed, long.push(view), "{record:?}");
        match pushed {
            Ok(()) => sound += 1,
            Err(_) => refused += 1,
        }
        if random(50) == 0 {
            assert_eq!(short.finish(), long.finish());
        }
    }
    assert_eq!(short.finish(), long.finish());
    assert!(sound > 10_000 && refused > 1_000, "{sound} and {refused}");
}
