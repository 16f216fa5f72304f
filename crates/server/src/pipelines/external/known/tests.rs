//! The file's bytes, there and back, and with any of them damaged.

use super::*;

#[test]
fn what_is_saved_is_loaded_and_damage_shows() {
    let topics = BTreeMap::from([
        (
            "kafka://localhost:9092/a".to_owned(),
            TopicShape {
                id: TopicId([7; 16]),
                partitions: 4,
            },
        ),
        (
            "kafka://10.0.0.1/b".to_owned(),
            TopicShape {
                id: TopicId([9; 16]),
                partitions: 1,
            },
        ),
    ]);
    let bytes = encode(&topics);
    assert_eq!(decode(&bytes), Some(topics));
    assert_eq!(decode(&encode(&BTreeMap::new())), Some(BTreeMap::new()));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(decode(&damaged), None, "byte {at}");
        assert_eq!(decode(&bytes[..at]), None, "{at} bytes");
    }
}
