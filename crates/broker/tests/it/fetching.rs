//! Fetch: waiting, sessions, limits; offsets by time and position.

use std::time::Duration;

use kafka::{
    error::ErrorCode,
    messages::{
        delete_records::{
            DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
        },
        fetch::{FetchRequest, FetchResponse},
        list_offsets::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        },
    },
};

use crate::harness::{Caller, Fetched, World, batch, fetch_request};

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
    let code = |frame: crate::harness::Frame| frame.decode::<FetchResponse<'_>>().error_code;
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
