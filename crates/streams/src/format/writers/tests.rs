//! What is known of writers' schemas at one moment and later.

use super::*;

fn text(number: u32) -> Arc<SchemaText> {
    Arc::new(number.to_string().into())
}

#[test]
fn numbers_come_in_any_order_and_stay() {
    let schemas = WriterSchemas::default();
    // Each number below 4096 once, in no order.
    let numbers = (0..4096_u32).map(|at| at.wrapping_mul(2027) % 4096);
    for number in numbers {
        schemas.add(number, text(number));
        schemas.add(number, text(number + 1));
    }
    let known = schemas.known();
    assert!(known.numbers().eq(0..4096));
    for number in 0..4096 {
        assert_eq!(known.get(number), Some(&text(number)));
    }
    assert_eq!(known.get(4096), None);
    assert!(
        known
            .only(|number| number % 7 == 0)
            .numbers()
            .eq((0..4096).step_by(7))
    );
}

#[test]
fn who_adds_copies_a_part() {
    let schemas = WriterSchemas::default();
    for number in 0..100_000 {
        schemas.add(number, text(number));
    }
    let before = schemas.known();
    assert!(before.is_same(&schemas.known()));
    schemas.add(100_000, text(100_000));
    let after = schemas.known();
    assert!(!before.is_same(&after) && before.get(100_000).is_none());
    let copied = before
        .0
        .iter()
        .zip(&*after.0)
        .filter(|(one, other)| !Arc::ptr_eq(one, other));
    assert_eq!(copied.count(), 1);
    assert!(after.0.len() < 1000, "nor are the parts many");
}
