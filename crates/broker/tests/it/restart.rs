//! What a stopped and started node still knows.

use std::collections::BTreeMap;

use kafka::error::ErrorCode;

use crate::harness::{Node, TestDir, batch, settings};

#[test]
fn topics_records_and_configs_survive() {
    let dir = TestDir::new();
    let mut expected: BTreeMap<(String, i32), Vec<String>> = BTreeMap::new();
    let mut ids = BTreeMap::new();
    for round in 0..3 {
        let node = Node::start(settings(&dir), 2);
        let mut client = node.client();
        for topic in 0..3 {
            let name = format!("t{topic}");
            if round == 0 {
                ids.insert(name.clone(), client.create_topic(&name, 3, &[]));
            }
            for partition in 0..3 {
                let values = expected.entry((name.clone(), partition)).or_default();
                assert_eq!(&client.fetch(&name, partition, 0, 0).values(), values);
                for n in 0..5 {
                    let value = format!("{round} {topic} {partition} {n}");
                    let produced = client.produce(&name, partition, &batch(&[&value]));
                    assert_eq!(produced.error, ErrorCode::None);
                    assert_eq!(
                        produced.base_offset,
                        i64::try_from(values.len()).expect("small")
                    );
                    values.push(value);
                }
            }
        }
        node.stop();
    }
    assert_eq!(ids.len(), 3);
}

#[test]
fn more_and_fewer_shards_find_every_partition() {
    let dir = TestDir::new();
    for shards in [1, 3, 2, 1] {
        let node = Node::start(settings(&dir), shards);
        let mut client = node.client();
        if shards == 1 {
            let _ = client.try_create_topic("t", 4, &[]);
        }
        if shards == 3 {
            client.create_topic("wide", 6, &[]);
        }
        for partition in 0..4 {
            assert_eq!(
                client.produce("t", partition, &batch(&["x"])).error,
                ErrorCode::None
            );
        }
        node.stop();
    }
    let node = Node::start(settings(&dir), 2);
    let mut client = node.client();
    for partition in 0..4 {
        assert_eq!(client.fetch("t", partition, 0, 0).values().len(), 4);
    }
    for partition in 0..6 {
        assert_eq!(
            client
                .produce("wide", partition, &batch(&["x"]))
                .base_offset,
            0
        );
    }
}
