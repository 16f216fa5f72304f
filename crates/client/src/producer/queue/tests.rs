//! Tests of what waits for a partition, and of the bytes that leave.

use base::{Offset, ProducerEpoch, ProducerId, TimestampMs};
use kafka::batch::{Compression, DoorRules, TimestampType, batches, validate_batch};
use runtime::{Instant, budget::Budget};

use super::{Batch, PartitionQueue, Stamp};

/// A broker's rules that let everything sound in.
const DOOR: DoorRules = DoorRules {
    batch_bytes_max: 1 << 20,
    timestamp_type: TimestampType::CreateTime,
    now: TimestampMs(5),
    timestamp_before_ms_max: i64::MAX,
    timestamp_after_ms_max: i64::MAX,
    compression: None,
};

fn batch(number: u64, records: u32) -> Batch {
    let memory = Budget::new("test", 1).try_acquire(1).expect("one is free");
    let mut batch = Batch::new(number, Compression::None, Instant(0), memory);
    for index in 0..records {
        let pushed = batch.push(TimestampMs(5), Some(b"key"), Some(b"value"), &[]);
        assert_eq!(pushed, Some(index));
    }
    batch
}

fn stamp(id: i64, sequence: i32) -> Option<Stamp> {
    Some(Stamp {
        id: ProducerId(id),
        epoch: ProducerEpoch(3),
        sequence,
    })
}

#[test]
fn a_batch_is_sound_however_often_it_is_stamped() {
    let mut batch = batch(0, 3);
    let mut before = None;
    for stamp in [
        stamp(7, 0),
        stamp(7, 0),
        stamp(7, 3),
        stamp(i64::MAX, i32::MAX),
        None,
    ] {
        let bytes = batch.encode(stamp);
        validate_batch(&bytes, &DOOR).expect("a sound batch");
        let (header, _) = batches(&bytes).next().expect("one").expect("sound");
        let written = stamp.unwrap_or(Stamp {
            id: ProducerId(-1),
            epoch: ProducerEpoch(-1),
            sequence: -1,
        });
        assert_eq!(
            (
                header.producer_id,
                header.producer_epoch,
                header.base_sequence
            ),
            (written.id, written.epoch, written.sequence)
        );
        assert_eq!(header.last_offset(), Offset(2));
        if before == Some(stamp) {
            assert_eq!(batch.encode(stamp), bytes, "a repetition is the same bytes");
        }
        before = Some(stamp);
    }
    assert_eq!(
        batch.push(TimestampMs(5), None, None, &[]),
        None,
        "it is sealed"
    );
}

#[test]
fn failed_batches_go_back_in_order_and_hold_up_the_rest() {
    let mut queue = PartitionQueue {
        in_flight: vec![1, 2, 3],
        ..PartitionQueue::default()
    };
    queue.put_back(batch(3, 1));
    queue.answered(3);
    queue.put_back(batch(1, 1));
    queue.answered(1);
    assert!(queue.muted, "2 is still on its way");
    assert!(queue.unresolved_before(2), "1 has failed");
    assert!(!queue.unresolved_before(1));
    queue.answered(2);
    assert!(!queue.muted);
    let order: Vec<_> = queue.failed.iter().map(|batch| batch.number).collect();
    assert_eq!(order, [1, 3]);
    assert!(!queue.is_idle());
    queue.failed.clear();
    assert!(queue.is_idle());
}

#[test]
fn sequences_wrap_to_zero() {
    // KIP-98: after i32::MAX comes 0, and a batch may span that.
    for (next, records, first, then) in [
        (0, 5, 0, 5),
        (i32::MAX, 1, i32::MAX, 0),
        (i32::MAX - 1, 5, i32::MAX - 1, 3),
    ] {
        let mut queue = PartitionQueue {
            next_sequence: next,
            ..PartitionQueue::default()
        };
        assert_eq!(queue.take_sequence(records), first);
        assert_eq!(queue.next_sequence, then);
    }
}
