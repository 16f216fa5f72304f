//! Sequence rules as Kafka has them, and windows that survive their encoding.

use base::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, TimestampMs};
use kafka::batch::BatchHeader;

use super::{PRODUCERS_MAX, ProducerBatch, ProducerTable, SequenceError, Verdict};

/// The header of a batch of `count` records.
fn batch(producer: i64, epoch: i16, sequence: i32, count: i32) -> BatchHeader {
    BatchHeader {
        base_offset: Offset(0),
        batch_length: 0,
        leader_epoch: LeaderEpoch(0),
        crc: 0,
        attributes: 0,
        last_offset_delta: count - 1,
        base_timestamp: TimestampMs(0),
        max_timestamp: TimestampMs(0),
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        record_count: count,
    }
}

fn on_append(table: &mut ProducerTable, header: &BatchHeader, at: Offset, now: TimestampMs) {
    table.apply(&ProducerBatch::new(header, at, now).expect("a producer"));
}

/// What a check says, in one word.
fn word(table: &ProducerTable, header: &BatchHeader) -> String {
    match table.check(header) {
        Ok(Verdict::Next) => "next".to_owned(),
        Ok(Verdict::Duplicate(sent)) => format!("duplicate at {}", sent.base_offset),
        Err(SequenceError::OutOfOrder { .. }) => "out of order".to_owned(),
        Err(SequenceError::NewEpoch { .. }) => "new epoch".to_owned(),
        Err(SequenceError::OldEpoch { .. }) => "old epoch".to_owned(),
        Err(SequenceError::NoSequence(_)) => "no sequence".to_owned(),
    }
}

#[test]
fn sequences() {
    let mut table = ProducerTable::default();
    // Producer 7, epoch 1: batches of 10 records at offsets 100, 110, ...
    for n in 0..7 {
        let header = batch(7, 1, n * 10, 10);
        assert_eq!(word(&table, &header), "next");
        on_append(
            &mut table,
            &header,
            Offset(100 + i64::from(n) * 10),
            TimestampMs(5),
        );
    }
    let cases = [
        ("the next one", batch(7, 1, 70, 3), "next"),
        ("the last again", batch(7, 1, 60, 10), "duplicate at 160"),
        (
            "the fifth last again",
            batch(7, 1, 20, 10),
            "duplicate at 120",
        ),
        ("the sixth last again", batch(7, 1, 10, 10), "out of order"),
        (
            "the last with another count",
            batch(7, 1, 60, 9),
            "out of order",
        ),
        ("a gap", batch(7, 1, 71, 1), "out of order"),
        ("a new epoch from 0", batch(7, 2, 0, 1), "next"),
        (
            "a new epoch from elsewhere",
            batch(7, 2, 70, 1),
            "new epoch",
        ),
        ("an old epoch", batch(7, 0, 70, 1), "old epoch"),
        (
            "an unknown producer from anywhere",
            batch(8, 0, 33, 1),
            "next",
        ),
        ("no producer", batch(-1, -1, -1, 1), "next"),
        (
            "a producer without a sequence",
            batch(7, 1, -1, 1),
            "no sequence",
        ),
    ];
    for (what, header, expected) in cases {
        assert_eq!(word(&table, &header), expected, "{what}");
    }
    on_append(&mut table, &batch(7, 2, 0, 1), Offset(500), TimestampMs(6));
    assert_eq!(word(&table, &batch(7, 2, 0, 1)), "duplicate at 500");
    assert_eq!(word(&table, &batch(7, 1, 60, 10)), "old epoch");
}

#[test]
fn sequences_wrap_to_zero() {
    let mut table = ProducerTable::default();
    let last = batch(1, 0, i32::MAX - 1, 4);
    on_append(&mut table, &last, Offset(0), TimestampMs(0));
    assert_eq!(word(&table, &last), "duplicate at 0");
    assert_eq!(word(&table, &batch(1, 0, 2, 1)), "next");
    assert_eq!(word(&table, &batch(1, 0, i32::MAX, 1)), "out of order");
    let Ok(Verdict::Duplicate(sent)) = table.check(&last) else {
        panic!("it was sent");
    };
    assert_eq!((sent.first_sequence, sent.last_sequence), (i32::MAX - 1, 1));
}

#[test]
fn windows_survive_their_encoding() {
    let mut table = ProducerTable::default();
    for producer in 0..50 {
        for n in 0..(producer % 8) {
            let sequence = i32::try_from(n).expect("small");
            let header = batch(producer, 3, sequence, 1);
            on_append(
                &mut table,
                &header,
                Offset(producer * 100 + n),
                TimestampMs(producer),
            );
        }
    }
    let bytes = table.encode();
    assert_eq!(ProducerTable::decode(&bytes), Ok(table));
    for end in 0..bytes.len() {
        assert!(
            ProducerTable::decode(&bytes[..end]).is_err(),
            "cut at {end}"
        );
    }
}

#[test]
fn silent_producers_expire_and_a_flood_pushes_out_the_longest_unused() {
    let mut table = ProducerTable::default();
    on_append(&mut table, &batch(1, 0, 0, 1), Offset(0), TimestampMs(10));
    on_append(&mut table, &batch(2, 0, 0, 1), Offset(1), TimestampMs(20));
    table.expire(TimestampMs(20));
    assert_eq!(word(&table, &batch(1, 0, 9, 1)), "next");
    assert_eq!(word(&table, &batch(2, 0, 9, 1)), "out of order");
    for n in 0..=PRODUCERS_MAX {
        let n = i64::try_from(n).expect("small");
        on_append(
            &mut table,
            &batch(100 + n, 0, 0, 1),
            Offset(n),
            TimestampMs(30 + n),
        );
    }
    assert!(table.len() <= PRODUCERS_MAX);
    assert_eq!(word(&table, &batch(2, 0, 9, 1)), "next", "pushed out");
}
