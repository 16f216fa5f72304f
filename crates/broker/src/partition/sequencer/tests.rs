//! Producers with batches on their way.

use base::{Offset, RaftIndex, TimestampMs};
use kafka::batch::BatchHeader;

use super::Sequencer;
use crate::partition::producers::{
    ProducerBatch, ProducerTable, SequenceError, Verdict, tests::batch,
};

/// A batch of one record.
fn header(producer: i64, producer_epoch: i16, sequence: i32) -> BatchHeader {
    batch(producer, producer_epoch, sequence, 1)
}

fn append(sequencer: &mut Sequencer, index: u64, header: &BatchHeader) {
    assert_eq!(sequencer.check(header), Ok(Verdict::Next), "entry {index}");
    let offset = Offset(index.cast_signed() - 1);
    let batch = ProducerBatch::new(header, offset, TimestampMs(1)).expect("a producer");
    sequencer.on_append(RaftIndex(index), batch);
}

#[test]
fn what_is_on_its_way_counts_for_sequences_and_not_for_snapshots() {
    let mut sequencer = Sequencer::default();
    for n in 0..3u32 {
        append(
            &mut sequencer,
            u64::from(n) + 1,
            &header(7, 0, n.cast_signed()),
        );
    }
    assert!(sequencer.committed().is_empty());
    assert!(matches!(
        sequencer.check(&header(7, 0, 1)),
        Ok(Verdict::Duplicate(sent)) if sent.base_offset == Offset(1)
    ));
    assert_eq!(sequencer.entry_at(Offset(1)), Some(RaftIndex(2)));
    sequencer.on_committed(RaftIndex(2));
    assert_eq!(sequencer.entry_at(Offset(1)), None);
    let saved = ProducerTable::decode(&sequencer.committed().encode()).expect("encoded");
    let restored = Sequencer::new(saved);
    assert_eq!(restored.check(&header(7, 0, 2)), Ok(Verdict::Next));
    assert!(matches!(
        sequencer.check(&header(7, 0, 2)),
        Ok(Verdict::Duplicate(_))
    ));
    sequencer.on_committed(RaftIndex(3));
    assert!(sequencer.ahead.is_empty() && sequencer.on_their_way.is_empty());
    assert_eq!(sequencer.check(&header(7, 0, 3)), Ok(Verdict::Next));
}

#[test]
fn a_new_producer_epoch_on_its_way_fences_the_old_one() {
    let mut sequencer = Sequencer::default();
    append(&mut sequencer, 1, &header(7, 0, 0));
    append(&mut sequencer, 2, &header(9, 0, 0));
    append(&mut sequencer, 3, &header(7, 1, 0));
    let old = sequencer.check(&header(7, 0, 1));
    assert!(
        matches!(old, Err(SequenceError::OldEpoch { .. })),
        "{old:?}"
    );
    sequencer.on_committed(RaftIndex(1));
    // By what is committed the old epoch could go on; what is on its way decides.
    let old = sequencer.check(&header(7, 0, 1));
    assert!(
        matches!(old, Err(SequenceError::OldEpoch { .. })),
        "{old:?}"
    );
    sequencer.on_committed(RaftIndex(3));
    assert_eq!(sequencer.check(&header(7, 1, 1)), Ok(Verdict::Next));
    assert_eq!(sequencer.check(&header(9, 0, 1)), Ok(Verdict::Next));
}
