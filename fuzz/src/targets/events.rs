//! Events of typed programs: bytes into structs, and back.

use std::collections::BTreeMap;

use flow::{Event, Timestamp};

#[derive(Clone, Debug, PartialEq, Event)]
enum State {
    New,
    Sent = 7,
}

#[derive(Clone, Debug, PartialEq, Event)]
struct Order {
    #[event(1)]
    id: i64,
    #[event(2)]
    note: Option<String>,
    #[event(3, sint)]
    numbers: Vec<i32>,
    #[event(4)]
    part: Option<Box<Order>>,
    #[event(5)]
    parts: Vec<Order>,
    #[event(6)]
    state: State,
    #[event(7)]
    labels: BTreeMap<String, u64>,
    #[event(8)]
    at: Timestamp,
    #[event(100)]
    raw: Vec<u8>,
}

/// Elements are larger than the two bytes that may say that there is one, up to a bound (`flow::event::Allowance`); lists
/// double when they grow, and what was read is written.
pub fn bytes_max(input_bytes: usize) -> usize {
    (512 << 10) + 256 * input_bytes
}

fn order() -> Order {
    Order {
        id: -5,
        note: Some("ø".to_owned()),
        numbers: vec![1, -1, i32::MIN],
        part: None,
        parts: Vec::new(),
        state: State::Sent,
        labels: [("a".to_owned(), 1), ("b".to_owned(), 2)].into(),
        at: Timestamp(-1_500_001),
        raw: vec![0, 255],
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut large = order();
    large.part = Some(Box::new(order()));
    large.parts = vec![order(), Order::empty()];
    vec![order().to_bytes(), large.to_bytes(), [0x2A, 0].repeat(200)]
}

pub fn decode(input: &[u8]) {
    let Ok(order) = Order::decode(input) else {
        return;
    };
    let bytes = order.to_bytes();
    let again = Order::decode(&bytes).expect("its own bytes");
    assert_eq!(again, order);
    assert_eq!(again.to_bytes(), bytes);
}
