//! Consumer groups: sharing, rebalancing, committed offsets.

use std::{collections::BTreeMap, time::Duration};

use base::{Offset, PartitionIndex};
use client::{
    Client, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, admin::NewTopic,
    consumer::GroupConfig,
};

use crate::{fresh, rows, with_cluster};

fn member(client: &Client, group: &str, topic: &str) -> Consumer {
    let mut group = GroupConfig::new(group);
    group.heartbeat_interval = Duration::from_millis(200);
    group.session_timeout = Duration::from_secs(6);
    let config = ConsumerConfig {
        group: Some(group),
        fetch_wait: Duration::from_millis(100),
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::new(client, config);
    consumer.subscribe(&[topic.to_owned()]);
    consumer
}

async fn produce(client: &Client, topic: &str, count: u32) {
    let producer = Producer::new(client, ProducerConfig::default());
    for at in 0..count {
        let key = at.to_be_bytes();
        let record = ProducerRecord {
            topic,
            key: Some(&key),
            value: Some(&key),
            ..ProducerRecord::default()
        };
        drop(producer.send(record).await.expect("is taken"));
    }
    producer.close().await.expect("all are acknowledged");
}

#[test]
#[ignore = "needs a cluster"]
fn members_share_and_resume() {
    with_cluster(async |client| {
        let (topic, group) = (fresh("shared"), fresh("group"));
        let admin = client.admin();
        let created = admin.create_topic(&NewTopic::new(&topic, 6)).await;
        created.expect("is created");
        produce(&client, &topic, 600).await;

        let first = member(&client, &group, &topic);
        let mut seen = BTreeMap::new();
        let mut note = |fetched: &[client::Fetched]| {
            for row in rows(fetched) {
                *seen.entry((row.0, row.1)).or_insert(0) += 1;
            }
            seen.len()
        };
        while note(&first.poll(Duration::from_secs(2)).await.expect("reads")) < 600 {}
        assert_eq!(first.positions().len(), 6);

        // A second member takes half.
        let second = member(&client, &group, &topic);
        let join = runtime::spawn(runtime::Class::Fetch, "second", async move {
            let polled = second.poll(Duration::from_secs(8)).await;
            polled.expect("joins");
            second
        });
        while first.positions().len() != 3 || !join.is_finished() {
            note(&first.poll(Duration::from_millis(100)).await.expect("reads"));
        }
        let second = join.await.expect("the task ends");
        assert_eq!(second.positions().len(), 3);
        let described = admin.describe_group(&group).await.expect("is described");
        assert_eq!(described.state, "Stable");
        assert_eq!(described.members.len(), 2);
        assert!(
            described
                .members
                .iter()
                .all(|member| member.assigned[&topic].len() == 3)
        );

        // It leaves, and the first gets everything back, from where it was.
        second.close().await.expect("leaves");
        produce(&client, &topic, 60).await;
        while note(&first.poll(Duration::from_secs(2)).await.expect("reads")) < 660 {}
        assert_eq!(first.positions().len(), 6);
        first.close().await.expect("commits and leaves");
        assert!(seen.values().all(|times| *times == 1), "nothing twice");

        let committed = admin.committed(&group).await.expect("is committed");
        let total: i64 = committed.values().map(|entry| entry.offset.0).sum();
        assert_eq!(total, 660);
        let groups = admin.list_groups().await.expect("are listed");
        assert!(groups.iter().any(|listed| listed.group == group));

        // Rewound from outside, it reads again from there.
        let back: BTreeMap<_, _> = [((topic.clone(), PartitionIndex(0)), Offset(0))].into();
        admin.reset_offsets(&group, &back).await.expect("is reset");
        let again = member(&client, &group, &topic);
        let fetched = again.poll(Duration::from_secs(8)).await.expect("reads");
        assert!(rows(&fetched).iter().all(|row| row.0 == 0));
        assert!(!fetched.is_empty());
        again.close().await.expect("leaves");
        admin.delete_group(&group).await.expect("is deleted");
        admin.delete_topic(&topic).await.expect("is deleted");
    });
}
