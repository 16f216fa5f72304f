//! Lookups, thinning, and refusal of any damaged or foreign file.
use super::*;
use crate::LogId;
use base::{LogEpoch, RaftIndex};

fn name() -> SegmentName {
    SegmentName {
        log_id: LogId(3),
        base_index: RaftIndex(30),
        created_epoch: LogEpoch(0),
    }
}

fn end() -> SegmentEnd {
    SegmentEnd {
        position: 99,
        sequence: 2,
        crc: 7,
        next_offset: Offset(99),
        next_index: RaftIndex(50),
        max_timestamp: TimestampMs(5),
    }
}

fn filled(count: u64) -> Index {
    let mut index = Index::default();
    for at in 0..count {
        let entry = IndexEntry {
            offset: Offset(40 + at as i64 * 10),
            raft_index: RaftIndex(30 + at * 3),
            position: 4096 + at * 100,
            max_timestamp_before: TimestampMs(at as i64 * 2 - 1),
        };
        index.note(entry, 100);
    }
    index
}

#[test]
fn lookups() {
    let index = filled(5);
    let offsets = [
        (39, None),
        (40, Some(0)),
        (49, Some(0)),
        (50, Some(1)),
        (1000, Some(4)),
    ];
    for (offset, want) in offsets {
        assert_eq!(
            index.by_offset(Offset(offset)),
            want.map(|i: usize| index.entries[i])
        );
    }
    for (at, want) in [
        (-1, None),
        (0, Some(0)),
        (1, Some(0)),
        (2, Some(1)),
        (99, Some(4)),
    ] {
        let want = want.map(|i: usize| index.entries[i]);
        assert_eq!(index.by_timestamp(TimestampMs(at)), want);
    }
}

#[test]
fn never_more_than_the_bound() {
    let index = filled(20_000);
    assert!(index.entries.len() <= ENTRIES_MAX && index.entries.len() > ENTRIES_MAX / 4);
    assert_eq!(index.entries[0].offset, Offset(40));
}

#[test]
fn files_round_trip_and_refuse_each_flipped_bit() {
    let index = filled(3);
    let mut bytes = index.encode(9, name(), &end());
    assert_eq!(Index::decode(&bytes, 9, name()), Some((index, end())));
    assert_eq!(Index::decode(&bytes, 8, name()), None);
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Index::decode(&bytes, 9, name()), None);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(Index::decode(&[], 9, name()), None);
}
