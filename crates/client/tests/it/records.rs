//! Producing and reading back.

use std::time::Duration;

use base::{Offset, PartitionIndex, TimestampMs};
use client::{
    Acks, Consumer, ConsumerConfig, Producer, ProducerConfig, ProducerRecord, Start,
    admin::{NewTopic, OffsetSpec},
};
use kafka::batch::Compression;

use crate::{assert_dense, fresh, read_all, rows, with_cluster};

#[test]
#[ignore = "needs a cluster"]
fn every_compression_and_acknowledgement_reads_back() {
    with_cluster(async |client| {
        for compression in Compression::ALL {
            for (acks, idempotent) in [
                (Acks::All, true),
                (Acks::All, false),
                (Acks::Leader, false),
                (Acks::None, false),
            ] {
                let name = fresh("compression");
                let admin = client.admin();
                let topic = NewTopic::new(&name, 3);
                admin.create_topic(&topic).await.expect("is created");
                let config = ProducerConfig {
                    acks,
                    idempotent,
                    compression,
                    batch_bytes: 2000,
                    ..ProducerConfig::default()
                };
                let producer = Producer::new(&client, config);
                let mut deliveries = Vec::new();
                for at in 0..200_u32 {
                    let key = at.to_be_bytes();
                    let value = vec![at as u8; at as usize];
                    let record = ProducerRecord {
                        topic: &name,
                        key: (at % 3 != 0).then_some(&key[..]),
                        value: (at % 5 != 0).then_some(&value[..]),
                        headers: &[("h", Some(b"v")), ("null", None)],
                        ..ProducerRecord::default()
                    };
                    deliveries.push(producer.send(record).await.expect("is taken"));
                }
                producer.flush().await.expect("all are acknowledged");
                assert_eq!(producer.stats().records_acknowledged, 200);
                for delivery in &deliveries {
                    let ack = delivery.ack().await.expect("is acknowledged");
                    assert_eq!(ack.offset.is_none(), acks == Acks::None);
                }
                producer.close().await.expect("closes");
                let read = read_all(&client, &name, 200).await;
                assert_eq!(read.len(), 200, "{compression:?} {acks:?} {idempotent}");
                assert_dense(&read);
                let expected = vec![
                    ("h".to_owned(), Some(b"v".to_vec())),
                    ("null".to_owned(), None),
                ];
                assert!(read.iter().all(|row| row.4 == expected));
                let nulls = read.iter().filter(|row| row.3.is_none()).count();
                assert_eq!(nulls, 40);
                admin.delete_topic(&name).await.expect("is deleted");
            }
        }
    });
}

#[test]
#[ignore = "needs a cluster"]
fn large_loads_keep_order() {
    with_cluster(async |client| {
        let name = fresh("load");
        let admin = client.admin();
        let created = admin.create_topic(&NewTopic::new(&name, 4)).await;
        created.expect("is created");
        let producer = Producer::new(&client, ProducerConfig::default());
        const COUNT: u64 = 100_000;
        let begun = runtime::now();
        for at in 0..COUNT {
            let value = at.to_be_bytes();
            let record = ProducerRecord {
                topic: &name,
                partition: Some(PartitionIndex((at % 4) as i32)),
                value: Some(&value),
                ..ProducerRecord::default()
            };
            drop(producer.send(record).await.expect("is taken"));
        }
        producer.flush().await.expect("all are acknowledged");
        println!("produced {COUNT} in {:?}", runtime::now().since(begun));
        let read = read_all(&client, &name, COUNT as usize).await;
        assert_dense(&read);
        for (_, offset, _, value, _) in read.iter().filter(|row| row.0 == 2) {
            let value = value.as_deref().expect("a value");
            let value = u64::from_be_bytes(value.try_into().expect("8 bytes"));
            assert_eq!(value, *offset as u64 * 4 + 2);
        }
        admin.delete_topic(&name).await.expect("is deleted");
    });
}

#[test]
#[ignore = "needs a cluster"]
fn starts_by_place_and_time() {
    with_cluster(async |client| {
        let name = fresh("starts");
        let admin = client.admin();
        let created = admin.create_topic(&NewTopic::new(&name, 1)).await;
        created.expect("is created");
        let producer = Producer::new(&client, ProducerConfig::default());
        for at in 0..10_i64 {
            let record = ProducerRecord {
                topic: &name,
                value: Some(b"x"),
                timestamp: Some(TimestampMs(1_700_000_000_000 + at * 1000)),
                ..ProducerRecord::default()
            };
            drop(producer.send(record).await.expect("is taken"));
        }
        producer.close().await.expect("all are acknowledged");
        let partition = PartitionIndex(0);
        let found = admin
            .list_offset(&name, partition, OffsetSpec::MaxTimestamp)
            .await
            .expect("is listed");
        assert_eq!(found.timestamp, Some(TimestampMs(1_700_000_009_000)));
        let consumer = Consumer::new(&client, ConsumerConfig::default());
        for (start, first) in [
            (Start::Beginning, 0),
            (Start::At(Offset(4)), 4),
            (Start::BeforeEnd(3), 7),
            (Start::BeforeEnd(30), 0),
            (Start::Timestamp(TimestampMs(1_700_000_004_500)), 5),
        ] {
            let assigned = consumer.assign_topics(&[&name], start).await;
            assigned.expect("is assigned");
            let fetched = consumer.poll(Duration::from_secs(5)).await.expect("reads");
            assert_eq!(
                rows(&fetched).first().map(|row| row.1),
                Some(first),
                "{start:?}"
            );
        }
        for start in [Start::End, Start::Timestamp(TimestampMs(i64::MAX / 2))] {
            let assigned = consumer.assign_topics(&[&name], start).await;
            assigned.expect("is assigned");
            let fetched = consumer.poll(Duration::from_millis(300)).await;
            assert!(fetched.expect("reads").is_empty(), "{start:?}");
        }
        let kept = admin
            .delete_records(&name, partition, Some(Offset(6)))
            .await;
        assert_eq!(kept.expect("deletes"), Offset(6));
        // The position is gone now: the consumer goes on at the earliest.
        let assigned = consumer.assign_topics(&[&name], Start::At(Offset(2))).await;
        assigned.expect("is assigned");
        let fetched = consumer.poll(Duration::from_secs(5)).await.expect("reads");
        assert_eq!(rows(&fetched).first().map(|row| row.1), Some(6));
        admin.delete_topic(&name).await.expect("is deleted");
    });
}
