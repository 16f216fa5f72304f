//! Fetch: waiting, sessions, limits; offsets by time and position.

use std::time::Duration;

use kafka::{
    error::ErrorCode,
    messages::{
        delete_records::{
            DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
        },
        fetch::{FetchPartition, FetchRequest, FetchResponse, FetchTopic, ForgottenTopic},
        list_offsets::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        },
    },
};

use runtime::sim::SimConfig;

use crate::harness::{Caller, Fetched, Frame, World, batch, fetch_request};

#[test]
fn a_waiting_fetch_ends_when_records_come() {
    let world = World::new(1);
    let mut writer = world.client();
    writer.create_topic("t", 4, &[]);
    for partition in 0..4 {
        // Clients go to shards in turn, so both kinds of reader occur: beside its partition and away from it.
        let mut reader = world.client();
        let all = [(0, 0), (1, 0), (2, 0), (3, 0)];
        let id = reader.send(12, &fetch_request("t", &all, 15_000, 1));
        world.sleep(Duration::from_millis(50));
        let start = world.sim.elapsed();
        writer.produce("t", partition, &batch(&["news"]));
        let frame = reader.receive(1, 12, id);
        assert!(
            (world.sim.elapsed() - start) < Duration::from_secs(5),
            "it did not wait for its deadline"
        );
        let fetched = Fetched::all(&frame);
        assert!(fetched[usize::try_from(partition).expect("small")].values() == ["news"]);
        // So that the next reader waits as well.
        trim(&mut writer, "t", partition, -1);
        let start = world.sim.elapsed();
        let idle = reader.fetch("t", partition, 1, 300);
        assert!(idle.records.is_empty());
        assert!(
            (world.sim.elapsed() - start) >= Duration::from_millis(290),
            "it waited"
        );
        let offset = i64::from(1);
        assert_eq!(idle.log_start_offset, offset);
        recreate(&mut writer);
    }
}

fn recreate(client: &mut Caller<'_>) {
    let name = Some("t".into());
    let topic = kafka::messages::delete_topics::DeleteTopicState {
        name,
        ..Default::default()
    };
    let request = kafka::messages::delete_topics::DeleteTopicsRequest {
        topics: vec![topic].into(),
        timeout_ms: 1000,
        ..Default::default()
    };
    client.call(6, &request);
    client.create_topic("t", 4, &[]);
}

#[test]
fn a_fetch_waits_for_as_many_bytes_as_it_wants() {
    let world = World::new(1);
    let mut writer = world.client();
    writer.create_topic("t", 2, &[]);
    let mut reader = world.client();
    let one = batch(&["0123456789"]);
    let bytes_min = i32::try_from(one.len() * 3).expect("small");
    let id = reader.send(12, &fetch_request("t", &[(0, 0)], 15_000, bytes_min));
    let start = world.sim.elapsed();
    for _ in 0..3 {
        world.sleep(Duration::from_millis(100));
        writer.produce("t", 0, &one);
    }
    let fetched = Fetched::all(&reader.receive(1, 12, id));
    assert_eq!(fetched[0].values().len(), 3);
    assert!((world.sim.elapsed() - start) >= Duration::from_millis(290));
    assert!((world.sim.elapsed() - start) < Duration::from_secs(5));
}

#[test]
fn a_fetch_that_could_have_more_than_it_wants_does_not_wait() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let one = batch(&["0123456789"]);
    for _ in 0..5 {
        client.produce("t", 0, &one);
    }
    // Whole batches within the partition's limit stay below what is wanted, as they do with any client's defaults.
    let limit = one.len() * 2 + one.len() / 2;
    let mut request = fetch_request("t", &[], 15_000, i32::try_from(limit).expect("small"));
    let partition = FetchPartition {
        current_leader_epoch: -1,
        partition_max_bytes: i32::try_from(limit).expect("small"),
        ..FetchPartition::default()
    };
    let topic = FetchTopic {
        topic: "t".into(),
        partitions: vec![partition].into(),
        ..FetchTopic::default()
    };
    request.topics = vec![topic].into();
    let start = world.sim.elapsed();
    let fetched = Fetched::all(&client.call(12, &request));
    assert_eq!(fetched[0].values().len(), 2);
    assert!((world.sim.elapsed() - start) < Duration::from_secs(1));
}

#[test]
fn a_partition_nobody_knows_does_not_end_a_wait() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let start = world.sim.elapsed();
    let request = fetch_request("t", &[(0, 0), (9, 0)], 300, 1);
    let fetched = Fetched::all(&client.call(12, &request));
    assert!((world.sim.elapsed() - start) >= Duration::from_millis(290));
    assert_eq!(
        fetched.iter().map(|one| one.error).collect::<Vec<_>>(),
        [ErrorCode::None, ErrorCode::UnknownTopicOrPartition]
    );
    // With nothing else to wait for, the answer comes at once.
    let start = world.sim.elapsed();
    client.call(12, &fetch_request("t", &[(9, 0)], 300, 1));
    assert!((world.sim.elapsed() - start) < Duration::from_millis(100));
}

/// More consumers than the shards have credits for each other wait; fetches between the shards go on.
#[test]
fn many_waiting_fetches_hold_up_nobody() {
    let world = World::new(1);
    let mut writer = world.client();
    writer.create_topic("t", 4, &[]);
    let all = [(0, 0), (1, 0), (2, 0), (3, 0)];
    let mut waiting: Vec<_> = (0..600).map(|_| world.client()).collect();
    for client in &mut waiting {
        client.send(12, &fetch_request("t", &all, 60_000, 1 << 20));
    }
    world.sleep(Duration::from_millis(100));
    let start = world.sim.elapsed();
    for partition in 0..4 {
        writer.produce("t", partition, &batch(&["x"]));
        assert_eq!(writer.fetch("t", partition, 0, 0).values(), ["x"]);
    }
    assert!((world.sim.elapsed() - start) < Duration::from_secs(5));
}

fn trim(client: &mut Caller<'_>, topic: &str, partition: i32, offset: i64) -> (i16, i64) {
    let partition = DeleteRecordsPartition {
        partition_index: partition,
        offset,
    };
    let topic = DeleteRecordsTopic {
        name: topic.into(),
        partitions: vec![partition].into(),
    };
    let request = DeleteRecordsRequest {
        topics: vec![topic].into(),
        timeout_ms: 1000,
    };
    let frame = client.call(2, &request);
    let response: DeleteRecordsResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("one topic");
    let partition = topic.partitions.iter().next().expect("one partition");
    (partition.error_code, partition.low_watermark)
}

fn offset_at(client: &mut Caller<'_>, topic: &str, partition: i32, timestamp: i64) -> (i16, i64) {
    let partition = ListOffsetsPartition {
        partition_index: partition,
        current_leader_epoch: -1,
        timestamp,
    };
    let topic = ListOffsetsTopic {
        name: topic.into(),
        partitions: vec![partition].into(),
    };
    let request = ListOffsetsRequest {
        replica_id: -1,
        topics: vec![topic].into(),
        ..ListOffsetsRequest::default()
    };
    let frame = client.call(9, &request);
    let response: ListOffsetsResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("one topic");
    let partition = topic.partitions.iter().next().expect("one partition");
    (partition.error_code, partition.offset)
}

#[test]
fn positions_times_and_deletion() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 2, &[]);
    for partition in 0..2 {
        for n in 0..10 {
            client.produce("t", partition, &batch(&[&n.to_string()]));
        }
        let out_of_range = ErrorCode::OffsetOutOfRange.code();
        let cases = [(-1, 10), (-2, 0), (-4, 0), (-5, -1), (0, 0), (i64::MAX, -1)];
        for (timestamp, expected) in cases {
            assert_eq!(
                offset_at(&mut client, "t", partition, timestamp),
                (0, expected),
                "{timestamp}"
            );
        }
        assert_eq!(trim(&mut client, "t", partition, 4), (0, 4));
        assert_eq!(trim(&mut client, "t", partition, 2), (0, 4), "never back");
        assert_eq!(trim(&mut client, "t", partition, 11), (out_of_range, -1));
        assert_eq!(offset_at(&mut client, "t", partition, -2), (0, 4));
        for (offset, error) in [(3, true), (4, false), (10, false), (11, true), (-1, true)] {
            let fetched = client.fetch("t", partition, offset, 0);
            let expected = if error {
                ErrorCode::OffsetOutOfRange
            } else {
                ErrorCode::None
            };
            assert_eq!(fetched.error, expected, "offset {offset}");
        }
        assert_eq!(client.fetch("t", partition, 4, 0).values().len(), 6);
        assert_eq!(trim(&mut client, "t", partition, -1), (0, 10));
    }
    assert_eq!(
        offset_at(&mut client, "t", 2, -1).0,
        ErrorCode::UnknownTopicOrPartition.code()
    );
}

#[test]
fn sessions_send_only_what_changed() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 3, &[]);
    client.produce("t", 1, &batch(&["one"]));
    let full = FetchRequest {
        session_epoch: 0,
        ..fetch_request("t", &[(0, 0), (1, 0), (2, 0)], 0, 1)
    };
    let frame = client.call(12, &full);
    let session_id = frame.decode::<FetchResponse<'_>>().session_id;
    assert_ne!(session_id, 0);
    assert_eq!(Fetched::all(&frame).len(), 3, "the first response is full");
    let next = |epoch: i32, partitions: &[(i32, i64)], wait_ms| FetchRequest {
        session_id,
        session_epoch: epoch,
        ..fetch_request("t", partitions, wait_ms, 1)
    };
    let frame = client.call(12, &next(1, &[(1, 1)], 0));
    assert_eq!(Fetched::all(&frame), [], "nothing is new");
    client.produce("t", 2, &batch(&["two"]));
    let frame = client.call(12, &next(2, &[], 1000));
    let fetched = Fetched::all(&frame);
    assert_eq!((fetched.len(), fetched[0].partition), (1, 2));
    assert_eq!(fetched[0].values(), ["two"]);
    let code = |frame: Frame| frame.decode::<FetchResponse<'_>>().error_code;
    let wrong = client.call(12, &next(2, &[], 0));
    assert_eq!(code(wrong), ErrorCode::InvalidFetchSessionEpoch.code());
    let closing = client.call(12, &next(-1, &[], 0));
    assert_eq!(code(closing), 0);
    let gone = client.call(12, &next(3, &[], 0));
    assert_eq!(code(gone), ErrorCode::FetchSessionIdNotFound.code());
}

#[test]
fn limits_hold_and_the_first_batch_always_comes() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 4, &[]);
    let large = batch(&["x".repeat(10_000).as_str()]);
    for partition in 0..4 {
        for _ in 0..4 {
            client.produce("t", partition, &large);
        }
    }
    let all = [(0, 0), (1, 0), (2, 0), (3, 0)];
    for (bytes_max, expected) in [(0, 1), (1, 1), (25_000, 2), (1 << 20, 16)] {
        let request = FetchRequest {
            max_bytes: bytes_max,
            ..fetch_request("t", &all, 0, 1)
        };
        let fetched = Fetched::all(&client.call(12, &request));
        let batches: usize = fetched.iter().map(|fetched| fetched.values().len()).sum();
        assert_eq!(batches, expected, "at most {bytes_max} bytes");
    }
}

#[test]
fn a_waiting_fetch_hears_of_its_topics_deletion() {
    for partition in 0..2 {
        // Beside the connection's shard, and away from it.
        let world = World::new(1);
        let mut admin = world.client();
        admin.create_topic("t", 2, &[]);
        let mut reader = world.client();
        let id = reader.send(12, &fetch_request("t", &[(partition, 0)], 20_000, 1));
        world.sleep(Duration::from_millis(50));
        let start = world.sim.elapsed();
        let topic = kafka::messages::delete_topics::DeleteTopicState {
            name: Some("t".into()),
            ..Default::default()
        };
        let request = kafka::messages::delete_topics::DeleteTopicsRequest {
            topics: vec![topic].into(),
            ..Default::default()
        };
        admin.call(6, &request);
        let fetched = Fetched::all(&reader.receive(1, 12, id));
        assert!((world.sim.elapsed() - start) < Duration::from_secs(1));
        let expected = [
            ErrorCode::UnknownTopicOrPartition,
            ErrorCode::NotLeaderOrFollower,
        ];
        assert!(
            expected.contains(&fetched[0].error),
            "{:?}",
            fetched[0].error
        );
        let gone = reader.fetch("t", partition, 0, 20_000);
        assert_eq!(gone.error, ErrorCode::UnknownTopicOrPartition, "at once");
    }
}

/// Top-level error, session id and number of partitions.
fn session_of(frame: &Frame) -> (ErrorCode, i32, usize) {
    let response: FetchResponse<'_> = frame.decode();
    let partitions = response.responses.iter().map(|t| t.partitions.len()).sum();
    let code = ErrorCode::from_i16(response.error_code).expect("a known code");
    (code, response.session_id, partitions)
}

#[test]
fn sessions_make_room_only_when_they_are_old() {
    let world = World::with(SimConfig::new(1), 1, |settings| {
        settings.fetch_sessions_max = 1
    });
    let mut client = world.client();
    client.create_topic("t", 2, &[]);
    let open = || FetchRequest {
        session_epoch: 0,
        ..fetch_request("t", &[(0, 0), (1, 0)], 0, 1)
    };
    let next = |session_id, session_epoch, partitions: &[(i32, i64)]| FetchRequest {
        session_id,
        session_epoch,
        ..fetch_request("t", partitions, 0, 1)
    };
    let (_, first, _) = session_of(&client.call(12, &open()));
    assert_ne!(first, 0);
    let refused = session_of(&client.call(12, &open()));
    assert_eq!(refused, (ErrorCode::None, 0, 2), "served without a session");
    assert_eq!(
        session_of(&client.call(12, &next(first, 1, &[]))),
        (ErrorCode::None, first, 0)
    );
    world.sleep(Duration::from_secs(130));
    let (_, second, _) = session_of(&client.call(12, &open()));
    assert!(second != 0 && second != first);
    let evicted = session_of(&client.call(12, &next(first, 2, &[])));
    assert_eq!(evicted, (ErrorCode::FetchSessionIdNotFound, 0, 0));
    assert_eq!(world.metric(|m| m.fetch_sessions_evicted), 1);
    // Forgotten partitions are not served any more.
    client.produce("t", 0, &batch(&["x"]));
    client.produce("t", 1, &batch(&["y"]));
    let forgotten = ForgottenTopic {
        topic: "t".into(),
        partitions: vec![0].into(),
        ..ForgottenTopic::default()
    };
    let request = FetchRequest {
        forgotten_topics_data: vec![forgotten].into(),
        ..next(second, 1, &[])
    };
    let fetched = Fetched::all(&client.call(12, &request));
    assert_eq!(fetched.iter().map(|f| f.partition).collect::<Vec<_>>(), [1]);
    // A session begun with names does not go on with ids.
    let frame = client.call(13, &next(second, 2, &[]));
    assert_eq!(session_of(&frame).0, ErrorCode::FetchSessionTopicIdError);
    // An epoch from the past or the future changes nothing.
    for wrong in [1, 3, 9] {
        let frame = client.call(12, &next(second, wrong, &[]));
        assert_eq!(session_of(&frame).0, ErrorCode::InvalidFetchSessionEpoch);
    }
    let frame = client.call(12, &next(second, 2, &[(1, 1)]));
    assert_eq!(session_of(&frame), (ErrorCode::None, second, 0));
}

#[test]
fn beliefs_and_bounds_are_answered_by_partition() {
    let world = World::new(1);
    let mut client = world.client();
    let id = client.create_topic("t", 1, &[]);
    client.produce("t", 0, &batch(&["x"]));
    let partition = |epoch| kafka::messages::fetch::FetchPartition {
        current_leader_epoch: epoch,
        partition_max_bytes: 1 << 20,
        ..Default::default()
    };
    for (epoch, expected) in [
        (-1, ErrorCode::None),
        (0, ErrorCode::FencedLeaderEpoch),
        (1, ErrorCode::None),
        (3, ErrorCode::UnknownLeaderEpoch),
    ] {
        let topic = kafka::messages::fetch::FetchTopic {
            topic_id: id,
            partitions: vec![partition(epoch)].into(),
            ..Default::default()
        };
        for version in 13..=18 {
            let request = FetchRequest {
                topics: vec![topic.clone()].into(),
                max_bytes: 1 << 20,
                session_epoch: -1,
                ..FetchRequest::default()
            };
            let frame = client.call(version, &request);
            assert_eq!(Fetched::all(&frame)[0].error, expected, "epoch {epoch}");
        }
    }
    let unknown = kafka::messages::fetch::FetchTopic {
        topic_id: base::TopicId::from_random([7; 16]),
        partitions: vec![partition(-1)].into(),
        ..Default::default()
    };
    let request = FetchRequest {
        topics: vec![unknown].into(),
        max_wait_ms: 20_000,
        min_bytes: 1,
        session_epoch: -1,
        ..FetchRequest::default()
    };
    let start = world.sim.elapsed();
    let frame = client.call(13, &request);
    assert_eq!(Fetched::all(&frame)[0].error, ErrorCode::UnknownTopicId);
    assert!(
        world.sim.elapsed() - start < Duration::from_secs(1),
        "errors do not wait"
    );
}
