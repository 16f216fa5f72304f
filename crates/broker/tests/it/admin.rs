//! Topics and configs: creation, deletion, description, change.

use std::{collections::BTreeMap, time::Duration};

use base::TopicId;
use kafka::{
    error::ErrorCode,
    messages::{
        create_partitions::{
            CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
        },
        create_topics::CreateTopicsResponse,
        delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse},
        describe_cluster::{DescribeClusterRequest, DescribeClusterResponse},
        describe_configs::{
            DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
        },
        describe_topic_partitions::{
            Cursor, DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        },
        incremental_alter_configs::{
            AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
            IncrementalAlterConfigsResponse,
        },
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
};

use crate::harness::{Caller, Frame, Produced, World, batch};

fn metadata(client: &mut Caller<'_>, name: &str, may_create: bool) -> (i16, TopicId, usize) {
    let topic = MetadataRequestTopic {
        name: Some(name.into()),
        ..MetadataRequestTopic::default()
    };
    let request = MetadataRequest {
        topics: Some(vec![topic].into()),
        allow_auto_topic_creation: may_create,
        ..MetadataRequest::default()
    };
    let frame = client.call(12, &request);
    let response: MetadataResponse<'_> = frame.decode();
    assert_eq!(response.brokers.len(), 1);
    let topic = response.topics.iter().next().expect("one topic");
    (topic.error_code, topic.topic_id, topic.partitions.len())
}

#[test]
fn topics_come_and_go() {
    let world = World::new(1);
    let mut client = world.client();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(metadata(&mut client, "t", false).0, unknown);
    let (error, first_id, partitions) = metadata(&mut client, "t", true);
    assert_eq!((error, partitions), (0, 1), "created on demand");
    // Every shard knows it as soon as one answers.
    for _ in 0..4 {
        assert_eq!(metadata(&mut world.client(), "t", false).1, first_id);
    }
    client.produce("t", 0, &batch(&["old"]));
    let exists: i16 = {
        let frame = client.try_create_topic("t", 1, &[]);
        let response: CreateTopicsResponse<'_> = frame.decode();
        response.topics.iter().next().expect("one topic").error_code
    };
    assert_eq!(exists, ErrorCode::TopicAlreadyExists.code());
    assert_eq!(delete(&mut client, first_id), 0);
    assert_eq!(
        delete(&mut client, first_id),
        ErrorCode::UnknownTopicId.code()
    );
    assert_eq!(metadata(&mut client, "t", false).0, unknown);
    let second_id = client.create_topic("t", 2, &[]);
    assert_ne!(second_id, first_id);
    assert_eq!(client.fetch("t", 0, 0, 0).high_watermark, 0, "a new log");
    let by_id = |client: &mut Caller<'_>, id| {
        let bytes = batch(&["new"]);
        let data = PartitionProduceData {
            index: 1,
            records: bytes.as_slice().into(),
        };
        let topic = TopicProduceData {
            topic_id: id,
            partition_data: vec![data].into(),
            ..TopicProduceData::default()
        };
        let request = ProduceRequest {
            acks: -1,
            topic_data: vec![topic].into(),
            ..ProduceRequest::default()
        };
        Produced::of(&client.call(13, &request)).error
    };
    assert_eq!(by_id(&mut client, first_id), ErrorCode::UnknownTopicId);
    assert_eq!(by_id(&mut client, second_id), ErrorCode::None);
}

fn delete(client: &mut Caller<'_>, id: TopicId) -> i16 {
    let topic = DeleteTopicState {
        name: None,
        topic_id: id,
    };
    let request = DeleteTopicsRequest {
        topics: vec![topic].into(),
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    let frame = client.call(6, &request);
    let response: DeleteTopicsResponse<'_> = frame.decode();
    response
        .responses
        .iter()
        .next()
        .expect("one topic")
        .error_code
}

#[test]
fn creation_is_refused_with_kafkas_codes() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("a.b", 1, &[]);
    type Case<'a> = (&'a str, i32, &'a [(&'a str, &'a str)], ErrorCode);
    let cases: [Case; 8] = [
        ("a_b", 1, &[], ErrorCode::InvalidTopicException),
        ("no/slash", 1, &[], ErrorCode::InvalidTopicException),
        ("zero", 0, &[], ErrorCode::InvalidPartitions),
        ("many", 1_000_000, &[], ErrorCode::InvalidPartitions),
        (
            "compacted",
            1,
            &[("cleanup.policy", "compact")],
            ErrorCode::InvalidConfig,
        ),
        (
            "odd",
            1,
            &[("no.such.config", "1")],
            ErrorCode::InvalidConfig,
        ),
        (
            "flush",
            1,
            &[("flush.messages", "1")],
            ErrorCode::InvalidConfig,
        ),
        ("fine", -1, &[("retention.ms", "1000")], ErrorCode::None),
    ];
    for (name, partitions, configs, expected) in cases {
        let frame = client.try_create_topic(name, partitions, configs);
        let response: CreateTopicsResponse<'_> = frame.decode();
        let result = response.topics.iter().next().expect("one topic");
        assert_eq!(
            result.error_code,
            expected.code(),
            "{name}: {:?}",
            result.error_message
        );
    }
}

#[test]
fn partitions_are_added() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let mut add = |count| {
        let topic = CreatePartitionsTopic {
            name: "t".into(),
            count,
            assignments: None,
        };
        let request = CreatePartitionsRequest {
            topics: vec![topic].into(),
            timeout_ms: 1000,
            validate_only: false,
        };
        let frame = client.call(3, &request);
        let response: CreatePartitionsResponse<'_> = frame.decode();
        response
            .results
            .iter()
            .next()
            .expect("one topic")
            .error_code
    };
    assert_eq!(add(1), ErrorCode::InvalidPartitions.code());
    assert_eq!(add(5), 0);
    for partition in 0..5 {
        assert_eq!(
            client.produce("t", partition, &batch(&["x"])).error,
            ErrorCode::None
        );
    }
}

#[test]
fn partitions_added_twice_at_once_are_added_once() {
    let world = World::new(1);
    let mut clients = [world.client(), world.client(), world.client()];
    clients[0].create_topic("t", 3, &[]);
    let request = |name: &'static str| CreatePartitionsRequest {
        topics: vec![CreatePartitionsTopic {
            name: name.into(),
            count: 6,
            assignments: None,
        }]
        .into(),
        timeout_ms: 1000,
        validate_only: false,
    };
    let code = |frame: &Frame| {
        let response: CreatePartitionsResponse<'_> = frame.decode();
        response
            .results
            .iter()
            .next()
            .expect("one topic")
            .error_code
    };
    let sent = clients
        .each_mut()
        .map(|client| client.send(3, &request("t")));
    let mut codes: Vec<i16> = clients
        .iter_mut()
        .zip(sent)
        .map(|(client, id)| code(&client.receive(37, 3, id)))
        .collect();
    codes.sort_unstable();
    let refused = ErrorCode::InvalidPartitions.code();
    assert_eq!(codes, [0, refused, refused]);
    assert_eq!(metadata(&mut clients[1], "t", false).2, 6);
}

/// Whoever asks for it first: nothing in it may expire, and its partitions are what groups are found by.
#[test]
fn the_offsets_topic_keeps_its_shape_and_what_is_in_it() {
    let world = World::new(1);
    let mut client = world.client();
    metadata(&mut client, "__consumer_offsets", true);
    world.sleep(Duration::from_millis(200));
    let count = metadata(&mut client, "__consumer_offsets", false).2;
    assert!(count > 1);
    let configs = topic_configs(&mut client, "__consumer_offsets");
    assert_eq!(configs["retention.ms"].0, "-1");
    let topic = CreatePartitionsTopic {
        name: "__consumer_offsets".into(),
        count: i32::try_from(count).expect("small") + 10,
        assignments: None,
    };
    let request = CreatePartitionsRequest {
        topics: vec![topic].into(),
        ..CreatePartitionsRequest::default()
    };
    let frame = client.call(3, &request);
    let response: CreatePartitionsResponse<'_> = frame.decode();
    let result = response.results.iter().next().expect("one topic");
    assert_eq!(result.error_code, ErrorCode::InvalidRequest.code());
}

#[test]
fn a_topic_is_deleted_once() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let name = || DeleteTopicState {
        name: Some("t".into()),
        ..DeleteTopicState::default()
    };
    let request = DeleteTopicsRequest {
        topics: vec![name(), name()].into(),
        timeout_ms: 1000,
        ..DeleteTopicsRequest::default()
    };
    let frame = client.call(6, &request);
    let response: DeleteTopicsResponse<'_> = frame.decode();
    let codes: Vec<i16> = response
        .responses
        .iter()
        .map(|one| one.error_code)
        .collect();
    assert_eq!(codes, [0, ErrorCode::InvalidRequest.code()]);
}

fn topic_configs(client: &mut Caller<'_>, topic: &str) -> BTreeMap<String, (String, i8)> {
    let resource = DescribeConfigsResource {
        resource_type: 2,
        resource_name: topic.into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: vec![resource].into(),
        include_synonyms: true,
        include_documentation: true,
    };
    let frame = client.call(4, &request);
    let response: DescribeConfigsResponse<'_> = frame.decode();
    let result = response.results.iter().next().expect("one resource");
    assert_eq!(result.error_code, 0);
    let rows = result.configs.iter().map(|config| {
        let value = config.value.expect("nothing is secret").into_owned();
        (config.name.into_owned(), (value, config.config_source))
    });
    rows.collect()
}

#[test]
fn configs_are_described_changed_and_obeyed() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 2, &[("retention.ms", "1234")]);
    let configs = topic_configs(&mut client, "t");
    assert_eq!(configs["retention.ms"], ("1234".to_owned(), 1));
    assert_eq!(configs["cleanup.policy"], ("delete".to_owned(), 5));
    let mut alter = |name: &str, operation: i8, value: Option<&str>| {
        let config = AlterableConfig {
            name: name.to_owned().into(),
            config_operation: operation,
            value: value.map(|value| value.to_owned().into()),
        };
        let resource = AlterConfigsResource {
            resource_type: 2,
            resource_name: "t".into(),
            configs: vec![config].into(),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![resource].into(),
            validate_only: false,
        };
        let frame = client.call(1, &request);
        let response: IncrementalAlterConfigsResponse<'_> = frame.decode();
        response
            .responses
            .iter()
            .next()
            .expect("one resource")
            .error_code
    };
    let invalid = ErrorCode::InvalidConfig.code();
    assert_eq!(alter("max.message.bytes", 0, Some("80")), 0);
    assert_eq!(alter("retention.ms", 1, None), 0);
    assert_eq!(alter("retention.ms", 0, Some("soon")), invalid);
    assert_eq!(alter("cleanup.policy", 2, Some("compact")), invalid);
    assert_eq!(alter("max.message.bytes", 2, Some("1")), invalid);
    let configs = topic_configs(&mut client, "t");
    assert_eq!(configs["retention.ms"].1, 5);
    for partition in 0..2 {
        let large = client.produce("t", partition, &batch(&["x".repeat(50).as_str()]));
        assert_eq!(
            large.error,
            ErrorCode::MessageTooLarge,
            "all shards obey at once"
        );
    }
}

#[test]
fn the_cluster_and_its_topics_are_described() {
    let world = World::new(1);
    let mut client = world.client();
    for name in ["a", "b", "c"] {
        client.create_topic(name, 2, &[]);
    }
    let frame = client.call(
        2,
        &DescribeClusterRequest {
            endpoint_type: 1,
            ..Default::default()
        },
    );
    let response: DescribeClusterResponse<'_> = frame.decode();
    assert_eq!(response.cluster_id.len(), 22);
    let mut cursor: Option<(String, i32)> = None;
    let mut pages = Vec::new();
    loop {
        let request = DescribeTopicPartitionsRequest {
            response_partition_limit: 3,
            cursor: cursor.as_ref().map(|(topic, partition)| Cursor {
                topic_name: topic.as_str().into(),
                partition_index: *partition,
            }),
            ..DescribeTopicPartitionsRequest::default()
        };
        let frame = client.call(0, &request);
        let response: DescribeTopicPartitionsResponse<'_> = frame.decode();
        let page = response.topics.iter().map(|topic| {
            let name = topic.name.as_ref().expect("a name").to_string();
            (name, topic.partitions.len())
        });
        pages.push(page.collect::<Vec<_>>());
        let next = response.next_cursor.as_ref();
        cursor = next.map(|next| (next.topic_name.to_string(), next.partition_index));
        if cursor.is_none() {
            break;
        }
    }
    let named = |name: &str, count| (name.to_owned(), count);
    assert_eq!(
        pages,
        [
            vec![named("a", 2), named("b", 1)],
            vec![named("b", 1), named("c", 2)]
        ]
    );
}
