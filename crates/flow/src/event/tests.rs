//! Bytes of messages, and what schemas say of them.

use std::collections::BTreeMap;

use expect_test::expect;

use super::*;

#[derive(Clone, Debug, PartialEq, crate::Event)]
enum Colour {
    None,
    Red = 3,
    DarkBlue = -1,
}

#[derive(Clone, Debug, PartialEq, crate::Event)]
#[event(name = "shapes.Point")]
struct Point {
    #[event(1)]
    x: i32,
    #[event(2, sint)]
    y: i32,
}

#[derive(Clone, Debug, PartialEq, crate::Event)]
struct All {
    #[event(16)]
    text: String,
    #[event(2)]
    numbers: Vec<i32>,
    #[event(3)]
    points: Vec<Point>,
    #[event(4)]
    point: Option<Box<Point>>,
    #[event(5)]
    colour: Colour,
    #[event(6, fixed)]
    fixed: u64,
    #[event(7)]
    maybe: Option<bool>,
    #[event(8)]
    bytes: Vec<u8>,
    #[event(9)]
    map: BTreeMap<String, Point>,
    #[event(10)]
    at: Timestamp,
    #[event(11)]
    r#type: f64,
}

fn all() -> All {
    All {
        text: "ø".repeat(100),
        numbers: vec![1, -1, 300],
        points: vec![Point { x: 150, y: -3 }, Point { x: 0, y: 0 }],
        point: Some(Box::new(Point { x: -1, y: i32::MIN })),
        colour: Colour::DarkBlue,
        fixed: u64::MAX,
        maybe: Some(false),
        bytes: vec![0, 255],
        map: [("a".to_owned(), Point { x: 1, y: 2 })].into(),
        at: Timestamp(-1_500_001),
        r#type: -0.0,
    }
}

/// From Protobuf's description of the encoding.
#[test]
fn known_bytes() {
    assert_eq!(Point { x: 150, y: 0 }.to_bytes(), [0x08, 0x96, 0x01]);
    assert_eq!(Point { x: 0, y: -2 }.to_bytes(), [0x10, 0x03]);
    assert_eq!("testing".to_owned().to_bytes(), b"\x0a\x07testing");
    assert_eq!(
        Timestamp(1_000_001).to_bytes(),
        [10, 5, 8, 1, 16, 0xE8, 0x07]
    );
    let negative = Point { x: -2, y: 0 }.to_bytes();
    assert_eq!(
        negative.len(),
        11,
        "32 bits are as long as 64: {negative:?}"
    );
}

#[test]
fn what_is_written_is_read() {
    let bytes = all().to_bytes();
    let read = All::decode(&bytes).expect("its own bytes");
    assert_eq!(read, all());
    assert_eq!(read.to_bytes(), bytes);
    assert_eq!(All::decode(&[]), Ok(All::empty()));
    assert!(All::empty().to_bytes().len() < 5, "defaults are left out");
}

#[test]
fn unknown_fields_are_passed_over_and_the_last_value_counts() {
    let mut bytes = Point { x: 1, y: 1 }.to_bytes();
    // A varint, eight bytes, a text, a group with a field in it, four bytes: numbers 20 to 24.
    bytes.extend([
        0xA0, 1, 5, 0xA9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0xB2, 1, 1, b'x',
    ]);
    bytes.extend([0xBB, 1, 8, 1, 0xBC, 1, 0xC5, 1, 0, 0, 0, 0]);
    bytes.extend(Point { x: 9, y: 0 }.to_bytes());
    assert_eq!(Point::decode(&bytes), Ok(Point { x: 9, y: 1 }));
}

#[test]
fn no_bytes_make_it_panic_and_every_beginning_is_refused_or_read() {
    let bytes = all().to_bytes();
    for end in 0..bytes.len() {
        let _ = All::decode(&bytes[..end]);
        let mut damaged = bytes.clone();
        for flip in [0x01, 0x80, 0xFF] {
            damaged[end] ^= flip;
            let _ = All::decode(&damaged);
        }
    }
    let deep = [0x1B].repeat(100_000);
    assert!(Point::decode(&deep).is_err());
}

#[test]
fn a_message_that_stands_twice_is_merged() {
    // Seconds 5 and nanoseconds 7000, and behind them seconds 9 only.
    let twice = [
        [0x0A_u8, 5, 8, 5, 16, 0xD8, 0x36].as_slice(),
        &[0x0A, 2, 8, 9],
    ]
    .concat();
    assert_eq!(Timestamp::decode(&twice), Ok(Timestamp(9_000_007)));
}

#[test]
fn a_short_message_does_not_take_much_memory() {
    #[derive(Clone, Debug, PartialEq, crate::Event)]
    struct Lists {
        #[event(1)]
        large: Vec<All>,
        #[event(2)]
        map: BTreeMap<i32, All>,
        #[event(3)]
        inner: Option<Box<Lists>>,
    }
    for element in [[0x0A, 0], [0x12, 0]] {
        let few = element.repeat(100);
        let list = Lists::decode(&few).expect("some may be empty");
        assert_eq!(
            list.large.len() + list.map.len(),
            if element[0] == 0x0A { 100 } else { 1 }
        );
        let many = element.repeat(100_000);
        let refused = Lists::decode(&many).expect_err("that is not all that it takes");
        assert_eq!(refused.reason, streams::format::Reason::TooLarge);
        // Nor within another one.
        let mut within = Vec::new();
        crate::event::put_counted(3, &many, &mut within);
        assert!(Lists::decode(&within).is_err());
    }
}

#[test]
fn a_schema_is_a_proto_file() {
    let schema = Schema::of::<All>();
    assert!(schema.clashes().is_empty());
    expect![[r#"
        syntax = "proto3";

        enum Colour {
          COLOUR_NONE = 0;
          COLOUR_RED = 3;
          COLOUR_DARK_BLUE = -1;
        }

        message All {
          repeated int32 numbers = 2;
          repeated shapes_Point points = 3;
          optional shapes_Point point = 4;
          Colour colour = 5;
          fixed64 fixed = 6;
          optional bool maybe = 7;
          bytes bytes = 8;
          map<string, shapes_Point> map = 9;
          .google.protobuf.Timestamp at = 10;
          double type = 11;
          string text = 16;
        }

        message shapes_Point {
          int32 x = 1;
          sint32 y = 2;
        }
    "#]]
    .assert_eq(&schema.to_proto());
}
