//! What a stopped and started node still knows.

use std::collections::BTreeMap;

use kafka::error::ErrorCode;
use runtime::sim::SimConfig;

use crate::harness::{World, batch};

#[test]
fn topics_records_and_configs_survive() {
    let world = World::new(1);
    let mut expected: BTreeMap<(String, i32), Vec<String>> = BTreeMap::new();
    for round in 0..3 {
        let mut client = world.client();
        for topic in 0..3 {
            let name = format!("t{topic}");
            if round == 0 {
                client.create_topic(&name, 3, &[]);
            }
            for partition in 0..3 {
                let values = expected.entry((name.clone(), partition)).or_default();
                assert_eq!(&client.values(&name, partition, 0), values);
                for n in 0..5 {
                    let value = format!("{round} {topic} {partition} {n}");
                    let produced = client.produce(&name, partition, &batch(&[&value]));
                    assert_eq!(produced.error, ErrorCode::None);
                    let base_offset = i64::try_from(values.len()).expect("small");
                    assert_eq!(produced.base_offset, base_offset);
                    values.push(value);
                }
            }
        }
        match round {
            0 => world.stop(),
            1 => world.kill(),
            _ => world.power_cut(),
        }
    }
    for ((name, partition), values) in expected {
        let found = world.client().values(&name, partition, 0);
        assert_eq!(found, values, "{name}-{partition}");
    }
}

#[test]
fn more_and_fewer_shards_find_every_partition() {
    let world = World::with(SimConfig::new(1), 1, |_| {});
    for shards in [1, 3, 2, 1] {
        world.stop_and_start_with(shards);
        let mut client = world.client();
        if shards == 1 {
            let _ = client.try_create_topic("t", 4, &[]);
        }
        if shards == 3 {
            client.create_topic("wide", 6, &[]);
        }
        for partition in 0..4 {
            let produced = client.produce("t", partition, &batch(&["x"]));
            assert_eq!(produced.error, ErrorCode::None);
        }
    }
    world.stop_and_start_with(2);
    let mut client = world.client();
    for partition in 0..4 {
        assert_eq!(client.values("t", partition, 0).len(), 4);
    }
    for partition in 0..6 {
        let produced = client.produce("wide", partition, &batch(&["x"]));
        assert_eq!(produced.base_offset, 0);
    }
}
