//! Requests that are small, or large, out of all proportion: what they get, and that the node goes on.

use std::time::Duration;

use kafka::{
    error::ErrorCode,
    messages::{
        create_topics::CreateTopicsResponse,
        describe_groups::{DescribeGroupsRequest, DescribeGroupsResponse},
        describe_log_dirs::{
            DescribableLogDirTopic, DescribeLogDirsRequest, DescribeLogDirsResponse,
        },
        describe_producers::{DescribeProducersRequest, DescribeProducersResponse, TopicRequest},
        fetch::{FetchPartition, FetchRequest, FetchTopic},
        find_coordinator::{FindCoordinatorRequest, FindCoordinatorResponse},
        join_group::{JoinGroupRequest, JoinGroupRequestProtocol},
        metadata::MetadataRequest,
        offset_commit::{
            OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
        },
        offset_fetch::{
            OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopic,
            OffsetFetchRequestTopics, OffsetFetchResponse,
        },
    },
};
use runtime::sim::SimConfig;

use crate::harness::{Caller, World, batch};

/// A frame of a request, its body given in bytes.
fn frame(key: i16, version: i16, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&key.to_be_bytes());
    bytes.extend_from_slice(&version.to_be_bytes());
    // Correlation id, no client id, no tags.
    bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 0]);
    bytes.extend_from_slice(body);
    let size = i32::try_from(bytes.len()).expect("small").to_be_bytes();
    [&size[..], &bytes].concat()
}

fn compact(text: &str) -> Vec<u8> {
    let mut length = text.len() + 1;
    let mut bytes = Vec::new();
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// CreateTopics version 7 of one topic with one config.
fn create(name: &str, config: &str, value: &str) -> Vec<u8> {
    let mut body = vec![2];
    body.extend(compact(name));
    // One partition, the default of replicas, no assignments, one config.
    body.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff, 1, 2]);
    body.extend(compact(config));
    body.extend(compact(value));
    // Tags of config and topic, the time-out, a flag, tags.
    body.extend_from_slice(&[0, 0, 0, 0, 4, 0, 0, 0]);
    frame(19, 7, &body)
}

#[test]
fn a_value_longer_than_any_string_is_not_kept() {
    let world = World::new(1);
    let mut good = world.client();
    for spaces in [32_768, 1 << 20] {
        let mut bad = world.client();
        let value = " ".repeat(spaces) + "1000";
        bad.write(&create("t", "retention.ms", &value));
        assert!(bad.read_frame().is_none(), "{spaces} spaces were taken");
    }
    good.create_topic("t", 1, &[]);
    assert_eq!(good.produce("t", 0, &batch(&["x"])).error, ErrorCode::None);
}

#[test]
fn an_error_that_repeats_a_long_value_fits_its_string() {
    let world = World::new(1);
    let mut client = world.client();
    let long = "x".repeat(32_767);
    let frame = client.try_create_topic("t", 1, &[("retention.ms", &long)]);
    let response: CreateTopicsResponse<'_> = frame.decode();
    let result = response.topics.iter().next().expect("one topic");
    assert_eq!(result.error_code, ErrorCode::InvalidConfig.code());
    assert!(result.error_message.expect("a message").contains("xxx"));
    find(&mut client, &["g"]);
    let request = DescribeGroupsRequest {
        groups: [long.as_str().into()].into_iter().collect(),
        include_authorized_operations: false,
    };
    let frame = client.call(6, &request);
    let response: DescribeGroupsResponse<'_> = frame.decode();
    let group = response.groups.iter().next().expect("one group");
    assert_eq!(group.error_code, ErrorCode::GroupIdNotFound.code());
}

/// Keys of the answer, in order.
fn find(client: &mut Caller<'_>, keys: &[&str]) -> Vec<String> {
    let request = FindCoordinatorRequest {
        coordinator_keys: keys.iter().map(|key| (*key).into()).collect(),
        ..FindCoordinatorRequest::default()
    };
    let frame = client.call(6, &request);
    let response: FindCoordinatorResponse<'_> = frame.decode();
    let found = response.coordinators.iter();
    found
        .map(|coordinator| {
            assert_eq!(coordinator.error_code, 0);
            coordinator.key.into_owned()
        })
        .collect()
}

#[test]
fn what_is_asked_twice_is_answered_once() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 3, &[]);
    assert_eq!(find(&mut client, &["g", "", "g", ""]), ["g", ""]);

    let partition = |index| OffsetCommitRequestPartition {
        partition_index: index,
        committed_offset: 5,
        committed_metadata: Some("m".repeat(4_000).into()),
        ..OffsetCommitRequestPartition::default()
    };
    let topic = OffsetCommitRequestTopic {
        name: "t".into(),
        partitions: vec![partition(0), partition(1)].into(),
        ..OffsetCommitRequestTopic::default()
    };
    let commit = OffsetCommitRequest {
        group_id: "g".into(),
        topics: vec![topic].into(),
        generation_id_or_member_epoch: -1,
        ..OffsetCommitRequest::default()
    };
    client.call(8, &commit);
    for version in 1..=9 {
        let frame = client.call(version, &repeated(version));
        let size = frame.bytes.len();
        assert!(size < 10_000, "{size} bytes at version {version}");
        let response: OffsetFetchResponse<'_> = frame.decode();
        let single = response.topics.iter().flat_map(|topic| {
            let partitions = topic.partitions.iter();
            partitions.map(|p| p.partition_index).collect::<Vec<_>>()
        });
        let groups = response.groups.iter().flat_map(|group| {
            let topics = group.topics.iter();
            let indexes = topics.flat_map(|topic| {
                let partitions = topic.partitions.iter();
                partitions.map(|p| p.partition_index).collect::<Vec<_>>()
            });
            indexes.collect::<Vec<_>>()
        });
        let found: Vec<i32> = single.chain(groups).collect();
        assert_eq!(found, [1, 0], "at version {version}");
    }
}

/// Two partitions a hundred times, in two topics and two groups where the version has groups.
fn repeated(version: i16) -> OffsetFetchRequest<'static> {
    let indexes: Vec<i32> = [1, 0].repeat(100);
    if version < 8 {
        let topic = OffsetFetchRequestTopic {
            name: "t".into(),
            partition_indexes: indexes.into(),
        };
        return OffsetFetchRequest {
            group_id: "g".into(),
            topics: Some(vec![topic.clone(), topic].into()),
            ..OffsetFetchRequest::default()
        };
    }
    let topic = OffsetFetchRequestTopics {
        name: "t".into(),
        partition_indexes: indexes.into(),
        ..OffsetFetchRequestTopics::default()
    };
    let group = OffsetFetchRequestGroup {
        group_id: "g".into(),
        topics: Some(vec![topic.clone(), topic].into()),
        ..OffsetFetchRequestGroup::default()
    };
    OffsetFetchRequest {
        groups: vec![group.clone(), group].into(),
        ..OffsetFetchRequest::default()
    }
}

#[test]
fn partitions_are_described_once_each() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 3, &[]);
    client.create_topic("u", 1, &[]);
    let asked: Vec<i32> = [2, 0, 2, 7].repeat(100);
    let topic = |name: &'static str| TopicRequest {
        name: name.into(),
        partition_indexes: asked.clone().into(),
    };
    let request = DescribeProducersRequest {
        topics: vec![topic("t"), topic("u"), topic("t")].into(),
    };
    let frame = client.call(0, &request);
    let response: DescribeProducersResponse<'_> = frame.decode();
    let found: Vec<(String, Vec<(i32, i16)>)> = response
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|p| (p.partition_index, p.error_code));
            (topic.name.to_string(), partitions.collect())
        })
        .collect();
    let gone = ErrorCode::UnknownTopicOrPartition.code();
    let expected = [
        ("t".to_owned(), vec![(2, 0), (0, 0), (7, gone)]),
        ("u".to_owned(), vec![(2, gone), (0, 0), (7, gone)]),
        ("t".to_owned(), vec![]),
    ];
    assert_eq!(found, expected);

    let topic = |name: &'static str| DescribableLogDirTopic {
        topic: name.into(),
        partitions: asked.clone().into(),
    };
    let request = DescribeLogDirsRequest {
        topics: Some(vec![topic("t"), topic("u"), topic("t")].into()),
    };
    let frame = client.call(4, &request);
    let response: DescribeLogDirsResponse<'_> = frame.decode();
    let result = response.results.iter().next().expect("one directory");
    let found: Vec<(String, Vec<i32>)> = result
        .topics
        .iter()
        .map(|topic| {
            let partitions = topic.partitions.iter().map(|p| p.partition_index);
            (topic.name.to_string(), partitions.collect())
        })
        .collect();
    assert_eq!(
        found,
        [("t".to_owned(), vec![2, 0]), ("u".to_owned(), vec![0])]
    );
}

#[test]
fn large_requests_that_carry_no_records_are_refused_by_their_size() {
    let world = World::new(1);
    let mut good = world.client();
    good.create_topic("t", 1, &[]);
    // Metadata, of which the first bytes are sent.
    let mut bad = world.client();
    bad.write(&(18_i32 << 20).to_be_bytes());
    bad.write(&frame(3, 9, &vec![0; 64 << 10])[4..]);
    assert!(
        bad.read_frame().is_none(),
        "a request of 18 MiB was granted"
    );
    // A produce request of the same size is waited for.
    let mut large = world.client();
    large.write(&(18_i32 << 20).to_be_bytes());
    large.write(&frame(0, 9, &vec![0; 64 << 10])[4..]);
    assert_eq!(good.produce("t", 0, &batch(&["x"])).error, ErrorCode::None);
    assert!(world.metric(|m| m.network_bytes_used) >= 18 << 20);
}

#[test]
fn a_fetch_of_more_partitions_than_any_node_has_is_refused() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let fetch = |count: usize| {
        let partition = FetchPartition {
            current_leader_epoch: -1,
            ..FetchPartition::default()
        };
        let topic = FetchTopic {
            topic: "t".into(),
            partitions: vec![partition; count].into(),
            ..FetchTopic::default()
        };
        FetchRequest {
            max_bytes: 1,
            topics: vec![topic].into(),
            ..FetchRequest::default()
        }
    };
    client.call(12, &fetch(1_000));
    client.send(12, &fetch(100_001));
    assert!(client.read_frame().is_none());
}

#[test]
fn parked_requests_hold_no_memory() {
    let world = World::with(SimConfig::new(1), 1, |_| {});
    let mut good = world.client();
    good.create_topic("t", 1, &[]);
    find(&mut good, &["g"]);
    // Sixteen of these would take all memory for requests several times over.
    let mut waiting = Vec::new();
    for n in 0..16 {
        let mut client = world.client();
        let topic = FetchTopic {
            topic: "t".into(),
            partitions: vec![FetchPartition {
                current_leader_epoch: -1,
                partition_max_bytes: 1,
                ..FetchPartition::default()
            }]
            .into(),
            ..FetchTopic::default()
        };
        let request = FetchRequest {
            max_wait_ms: 600_000,
            min_bytes: 1,
            max_bytes: 1,
            topics: vec![topic].into(),
            rack_id: "r".repeat(32_000).into(),
            ..FetchRequest::default()
        };
        client.send(12, &request);
        let protocol = JoinGroupRequestProtocol {
            name: "range".into(),
            metadata: vec![0; 1 << 19].into(),
        };
        let join = JoinGroupRequest {
            group_id: format!("g{n}").into(),
            session_timeout_ms: 60_000,
            rebalance_timeout_ms: 60_000,
            group_instance_id: Some("i".into()),
            protocol_type: "consumer".into(),
            protocols: vec![protocol].into(),
            ..JoinGroupRequest::default()
        };
        let mut joining = world.client();
        joining.send(7, &join);
        waiting.push((client, joining));
    }
    world.sleep(Duration::from_secs(1));
    assert_eq!(world.metric(|m| m.network_bytes_used), 0);
    assert_eq!(good.produce("t", 0, &batch(&["x"])).error, ErrorCode::None);
    for (client, _) in &mut waiting {
        client.read_frame().expect("an answer");
    }
}

#[test]
fn answers_that_nobody_reads_are_bounded_over_all_connections() {
    let world = World::with(SimConfig::new(1), 1, |settings| {
        // Half of it is for answers.
        settings.network_bytes = 4 << 20;
    });
    let mut good = world.client();
    good.create_topic("wide", 5_000, &[]);
    let all = || MetadataRequest {
        topics: None,
        ..MetadataRequest::default()
    };
    let one = good.call(12, &all()).bytes.len() as u64;
    assert!(one > 100_000, "{one}");
    let mut greedy: Vec<_> = (0..20).map(|_| world.client()).collect();
    for client in &mut greedy {
        for _ in 0..5 {
            client.send(12, &all());
        }
    }
    world.sleep(Duration::from_secs(2));
    // What sockets hold is theirs.
    let unsent = world.metric(|m| m.response_bytes_unsent);
    assert!(unsent <= (2 << 20) + 4 * one, "{unsent} of {one} each");
    let start = world.sim.elapsed();
    good.call(12, &all());
    let waited = world.sim.elapsed() - start;
    assert!(waited < Duration::from_secs(24), "{waited:?}");
}
