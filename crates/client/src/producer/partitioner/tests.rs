//! Tests of the choice of partitions.

use base::PartitionIndex;

use super::{Sticky, murmur2, partition_for_key};

#[test]
fn murmur2_is_that_of_the_java_client() {
    // Kafka's UtilsTest.testMurmur2.
    for (text, hash) in [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        (
            "lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8",
            -58_897_971,
        ),
        ("abc", 479_470_107),
    ] {
        assert_eq!(murmur2(text.as_bytes()).cast_signed(), hash, "{text}");
    }
}

#[test]
fn a_key_has_a_partition() {
    for count in [1, 2, 3, 1000] {
        for key in ["", "a", "21", "foobar", "\u{1F30A}"] {
            let partition = partition_for_key(key.as_bytes(), count);
            assert!(
                (0..count.cast_signed()).contains(&partition.0),
                "{key} of {count}"
            );
        }
    }
    // -973932308 & 0x7fffffff = 1173551340.
    assert_eq!(partition_for_key(b"21", 1000), PartitionIndex(340));
    // While a topic's partitions are not known yet there is nothing to divide by.
    assert_eq!(partition_for_key(b"21", 0), PartitionIndex(0));
}

#[test]
fn records_without_a_key_stay_until_the_batch_is_full() {
    let mut sticky = Sticky::default();
    let first = sticky.partition(4, || 6);
    assert_eq!(first, PartitionIndex(2));
    assert_eq!(sticky.partition(4, || 3), first, "it stays");
    sticky.batch_full(PartitionIndex(1), 4, || 0);
    assert_eq!(sticky.partition(4, || 3), first, "another batch was full");
    for draw in 0..9 {
        let before = sticky.partition(4, || 0);
        sticky.batch_full(before, 4, || draw);
        let after = sticky.partition(4, || 0);
        assert!(
            after != before && (0..4).contains(&after.0),
            "{before} {after}"
        );
    }
    sticky.batch_full(PartitionIndex(0), 1, || 5);
    assert_eq!(sticky.partition(1, || 5), PartitionIndex(0), "the only one");
}
