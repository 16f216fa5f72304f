//! Who sees what of transactions.

use base::{LeaderEpoch, ProducerEpoch, ProducerId, TimestampMs};

use super::*;
use crate::batch::{self, BatchBuilder, Compression};

fn batch(base: i64, producer: i64, is_control: bool) -> Vec<u8> {
    let builder = BatchBuilder::new(Compression::None);
    let mut builder = builder
        .producer(ProducerId(producer), ProducerEpoch(0), 0)
        .transactional();
    if is_control {
        builder = builder.control();
    }
    builder.push(TimestampMs(0), None, Some(b"x"), &[]);
    let mut batch = builder.finish();
    batch::assign(&mut batch, Offset(base), LeaderEpoch(0));
    batch
}

#[test]
fn nobody_looks_into_aborted_transactions() {
    // Producer 1 aborts, then commits; producer 2 commits.
    let all = [
        batch(0, 1, false),
        batch(1, 2, false),
        batch(2, 1, false),
        batch(3, 1, true),
        batch(4, 1, false),
        batch(5, 1, true),
    ]
    .concat();
    let kept = without_aborted(&all, vec![(Offset(0), 1)]);
    let seen: Vec<i64> = batches(&kept)
        .map(|item| item.expect("whole batches").0)
        .filter(|header| !header.is_control())
        .map(|header| header.base_offset.0)
        .collect();
    assert_eq!(seen, [1, 4]);
    assert_eq!(kept.len(), all.len());
}

#[test]
fn what_cannot_be_read_is_kept_for_whoever_decodes_it() {
    let mut old = batch(0, 1, false);
    old[16] = 1;
    for aborted in [vec![], vec![(Offset(0), 9)]] {
        let alone = without_aborted(&old, aborted.clone());
        assert_eq!(alone, old, "it is not for nothing that it was fetched");
        let both = [batch(0, 1, false), old.clone()].concat();
        assert_eq!(without_aborted(&both, aborted), both);
    }
}
