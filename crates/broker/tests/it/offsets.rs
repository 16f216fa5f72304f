//! Offsets by time, by position and by leader epoch, at every version.

use base::TimestampMs;
use kafka::{
    batch::{BatchBuilder, Compression},
    error::ErrorCode,
    messages::{
        list_offsets::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        },
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
        offset_for_leader_epoch::{
            OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
            OffsetForLeaderTopic,
        },
    },
};

use crate::harness::{Caller, NOW, World, batch};

/// Error, offset, and timestamp counted from `NOW`.
fn list(
    client: &mut Caller<'_>,
    version: i16,
    timestamp: i64,
    epoch: i32,
) -> (ErrorCode, i64, i64) {
    let partition = ListOffsetsPartition {
        partition_index: 0,
        current_leader_epoch: epoch,
        timestamp,
    };
    let topic = ListOffsetsTopic {
        name: "t".into(),
        partitions: vec![partition].into(),
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic].into(),
        ..ListOffsetsRequest::default()
    };
    let frame = client.call(version, &request);
    let response: ListOffsetsResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("one topic");
    let found = topic.partitions.iter().next().expect("one partition");
    let code = ErrorCode::from_i16(found.error_code).expect("a known code");
    let timestamp = match found.timestamp {
        -1 => -1,
        timestamp => timestamp - NOW.0,
    };
    (code, found.offset, timestamp)
}

fn at(times: &[i64]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(Compression::None);
    for ms in times {
        builder.push(TimestampMs(NOW.0 + ms), None, Some(b"x"), &[]);
    }
    builder.finish()
}

#[test]
fn times_find_the_first_record_at_or_after_them() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    for special in [-1, -2, -4] {
        assert_eq!(list(&mut client, 8, special, -1), (ErrorCode::None, 0, -1));
    }
    for none in [-3, 0, NOW.0] {
        assert_eq!(list(&mut client, 8, none, -1), (ErrorCode::None, -1, -1));
    }
    // Out of order on purpose: within a batch, and between batches.
    for times in [&[10, 20, 30][..], &[50, 40], &[25], &[60, 60]] {
        assert_eq!(client.produce("t", 0, &at(times)).error, ErrorCode::None);
    }
    let cases = [
        (0, 0, 10),
        (10, 0, 10),
        (11, 1, 20),
        (30, 2, 30),
        (31, 3, 50),
        (45, 3, 50),
        (51, 6, 60),
        (60, 6, 60),
        (61, -1, -1),
    ];
    for moment in 0..2 {
        let mut client = world.client();
        for version in 1..=11 {
            for (ms, offset, timestamp) in cases {
                let found = list(&mut client, version, NOW.0 + ms, -1);
                let expected = (ErrorCode::None, offset, timestamp);
                assert_eq!(
                    found, expected,
                    "{ms} ms at version {version}, {moment} restarts"
                );
            }
            assert_eq!(list(&mut client, version, -1, -1), (ErrorCode::None, 8, -1));
            assert_eq!(list(&mut client, version, -2, -1), (ErrorCode::None, 0, -1));
        }
        // The first of those with the largest time.
        assert_eq!(list(&mut client, 7, -3, -1), (ErrorCode::None, 6, 60));
        assert_eq!(list(&mut client, 9, -5, -1), (ErrorCode::None, -1, -1));
        world.kill();
    }
}

#[test]
fn special_times_begin_with_their_versions() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, &batch(&["a"]));
    for (special, since) in [(-1, 1), (-2, 1), (-3, 7), (-4, 8), (-5, 9), (-6, 11)] {
        for version in 1..=11 {
            let expected = match version >= since {
                true => ErrorCode::None,
                false => ErrorCode::UnsupportedVersion,
            };
            let (code, ..) = list(&mut client, version, special, -1);
            assert_eq!(code, expected, "{special} at version {version}");
        }
    }
}

#[test]
fn a_partition_is_searched_once_per_request() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 2, &[]);
    client.produce("t", 0, &batch(&["a"]));
    let topic = |indexes: &[i32]| ListOffsetsTopic {
        name: "t".into(),
        partitions: indexes
            .iter()
            .map(|index| ListOffsetsPartition {
                partition_index: *index,
                current_leader_epoch: -1,
                timestamp: 0,
            })
            .collect(),
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic(&[0, 1]), topic(&[0])].into(),
        ..ListOffsetsRequest::default()
    };
    let frame = client.call(9, &request);
    let response: ListOffsetsResponse<'_> = frame.decode();
    let codes: Vec<Vec<i16>> = response
        .topics
        .iter()
        .map(|topic| topic.partitions.iter().map(|p| p.error_code).collect())
        .collect();
    let twice = ErrorCode::InvalidRequest.code();
    assert_eq!(codes, [vec![twice, 0], vec![twice]]);
}

#[test]
fn beliefs_about_the_leader_are_checked() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    client.produce("t", 0, &batch(&["a", "b"]));
    assert_eq!(list(&mut client, 9, -1, 1), (ErrorCode::None, 2, -1));
    assert_eq!(list(&mut client, 9, -1, 0).0, ErrorCode::FencedLeaderEpoch);
    assert_eq!(list(&mut client, 9, -1, 7).0, ErrorCode::UnknownLeaderEpoch);
    assert_eq!(
        list(&mut client, 9, -9, -1).0,
        ErrorCode::UnsupportedVersion
    );
    let cases = [
        (0, -1, 1, (ErrorCode::None, 1, 2)),
        (0, 1, 1, (ErrorCode::None, 1, 2)),
        (0, -1, 3, (ErrorCode::None, -1, -1)),
        // Older than all that is known: where the first begins.
        (0, -1, 0, (ErrorCode::None, 0, 0)),
        (0, 0, 1, (ErrorCode::FencedLeaderEpoch, -1, -1)),
        (0, 9, 1, (ErrorCode::UnknownLeaderEpoch, -1, -1)),
        (5, -1, 0, (ErrorCode::UnknownTopicOrPartition, -1, -1)),
    ];
    for version in 2..=4 {
        for (partition, current_leader_epoch, leader_epoch, expected) in cases {
            let asked = OffsetForLeaderPartition {
                partition,
                current_leader_epoch,
                leader_epoch,
            };
            let topic = OffsetForLeaderTopic {
                topic: "t".into(),
                partitions: vec![asked].into(),
            };
            let found = end_of_epoch(&mut client, version, topic);
            assert_eq!(found, expected, "epoch {leader_epoch} at version {version}");
        }
    }
}

/// Error, epoch and end offset of the one partition asked for.
fn end_of_epoch(
    client: &mut Caller<'_>,
    version: i16,
    topic: OffsetForLeaderTopic<'_>,
) -> (ErrorCode, i32, i64) {
    let request = OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: vec![topic].into(),
    };
    let frame = client.call(version, &request);
    let response: OffsetForLeaderEpochResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("one topic");
    let found = topic.partitions.iter().next().expect("one partition");
    let code = ErrorCode::from_i16(found.error_code).expect("a known code");
    (code, found.leader_epoch, found.end_offset)
}

#[test]
fn each_start_is_a_leader_epoch_and_clients_see_where_it_ended() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    assert_eq!(leader_epoch(&mut client), 1);
    client.produce("t", 0, &batch(&["a", "b"]));
    drop(client);
    world.power_cut();
    // Nothing is written in epoch 2.
    drop(world.client());
    world.kill();
    let mut client = world.client();
    assert_eq!(leader_epoch(&mut client), 3);
    client.produce("t", 0, &batch(&["c"]));
    drop(client);
    world.stop();
    let mut client = world.client();
    assert_eq!(leader_epoch(&mut client), 4);
    let asked = |leader_epoch| OffsetForLeaderTopic {
        topic: "t".into(),
        partitions: vec![OffsetForLeaderPartition {
            partition: 0,
            current_leader_epoch: 4,
            leader_epoch,
        }]
        .into(),
    };
    for (leader_epoch, expected) in [
        (0, (0, 0)),
        (1, (1, 2)),
        (2, (1, 2)),
        (3, (3, 3)),
        (4, (4, 3)),
    ] {
        let found = end_of_epoch(&mut client, 4, asked(leader_epoch));
        let expected = (ErrorCode::None, expected.0, expected.1);
        assert_eq!(found, expected, "epoch {leader_epoch}");
    }
    // Each batch says in which epoch it was written.
    let fetched = client.fetch("t", 0, 0, 0);
    let batches = kafka::batch::batches(&fetched.records);
    let epochs: Vec<_> = batches
        .map(|batch| batch.expect("a whole batch").0.leader_epoch.0)
        .collect();
    assert_eq!(epochs, [1, 3]);
}

/// What metadata says of the topic's only partition.
fn leader_epoch(client: &mut Caller<'_>) -> i32 {
    let topic = MetadataRequestTopic {
        name: Some("t".into()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic].into()),
        ..MetadataRequest::default()
    };
    let frame = client.call(12, &request);
    let response: MetadataResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("one topic");
    let partition = topic.partitions.iter().next().expect("one partition");
    assert_eq!((partition.error_code, partition.leader_id), (0, 1));
    partition.leader_epoch
}
