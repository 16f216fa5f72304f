//! Epochs in the outbox and out of it again.

use std::time::Duration;

use runtime::sim::{Sim, SimConfig};

use super::*;

fn key(partition: i32) -> PartitionKey {
    PartitionKey {
        topic: TopicId([7; 16]),
        partition: PartitionIndex(partition),
    }
}

fn outgoing(relation: u64, bytes: usize) -> Outgoing {
    Outgoing {
        relation,
        producer: 3,
        partition: key(1),
        first_sequence: 5,
        batch: vec![relation as u8; bytes],
    }
}

fn decided() -> Decided {
    Decided {
        epoch: 9,
        now: 1_000_000,
        cuts: BTreeMap::from([(key(0), Offset(4))]),
        watermarks: BTreeMap::from([((2, 0), -1)]),
        relations: BTreeSet::from([2, 3]),
        writers: WritersKnown::of([1, 2, 3, 7].into_iter()),
        batches: vec![
            outgoing(2, PART_BYTES),
            outgoing(3, 10),
            outgoing(2, PART_BYTES),
            outgoing(3, 20),
        ],
    }
}

/// Its parts; batches carry the time of a shard.
fn parts(decided: &Decided) -> Vec<Vec<u8>> {
    let sim = Sim::new(SimConfig::new(1));
    let node = sim.host("node", 1, std::future::pending::<()>);
    let second = Duration::from_secs(1);
    sim.run_for(second);
    let decided = decided.clone();
    let parts = sim.run_on(node, second, async move { decided.encode() });
    parts.expect("it does not wait")
}

/// The outbox with this in it.
fn written(decided: &Decided) -> Vec<u8> {
    let mut all = Vec::new();
    for (at, mut part) in (0_i64..).zip(parts(decided)) {
        part[..8].copy_from_slice(&at.to_be_bytes());
        all.extend(part);
    }
    all
}

fn read(mut assembly: Assembly, bytes: &[u8]) -> Vec<Decided> {
    let read = assembly.read(bytes, Offset::ZERO);
    read.expect("what was written");
    assert!(assembly.is_whole());
    assembly.epochs
}

#[test]
fn an_epoch_in_parts_is_put_together() {
    let decided = decided();
    assert_eq!(parts(&decided).len(), 3);
    let found = read(Assembly::default(), &written(&decided));
    assert_eq!(found, [decided]);
}

#[test]
fn only_wanted_batches_are_kept() {
    let all = decided();
    let found = read(Assembly::of(BTreeSet::from([3])), &written(&all));
    let wanted = Decided {
        batches: vec![outgoing(3, 10), outgoing(3, 20)],
        ..all
    };
    assert_eq!(found, [wanted]);
}

/// Version 2 did not say which schemas were known.
#[test]
fn the_version_before_is_read() {
    let decided = Decided {
        writers: WritersKnown::default(),
        batches: Vec::new(),
        ..decided()
    };
    let part = parts(&decided).remove(0);
    let mut value = Vec::new();
    batch::for_each_record(&part, OUTPUT_BYTES_MAX, |record| {
        value = record.value.as_deref().expect("a value").to_vec();
        true
    })
    .expect("one record");
    // In front of the count of batches stands that of stretches of schemas.
    value.truncate(value.len() - 4);
    value[0] = VERSION_BEFORE;
    let mut assembly = Assembly::default();
    assembly.take(&value).expect("the version before");
    let wanted = Decided {
        writers: WritersKnown::all(),
        ..decided
    };
    assert_eq!(assembly.epochs, [wanted]);
}

#[test]
fn known_schemas_are_stretches_of_numbers() {
    let numbers = [0, 1, 2, 5, 8, 9, u32::MAX];
    let known = WritersKnown::of(numbers.into_iter());
    assert_eq!(known.0, [(0, 2), (5, 5), (8, 9), (u32::MAX, u32::MAX)]);
    for number in (0..12).chain([u32::MAX - 1, u32::MAX]) {
        assert_eq!(known.has(number), numbers.contains(&number), "{number}");
        assert!(WritersKnown::all().has(number));
        assert!(!WritersKnown::default().has(number));
    }
}
