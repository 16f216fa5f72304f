//! Every request at every version: answered, and decodable as that version. Those of groups have their own test.

use std::collections::BTreeSet;

use base::TopicId;
use kafka::{
    error::ErrorCode,
    messages::{
        alter_configs::{self as alter, AlterConfigsRequest, AlterConfigsResponse},
        api_versions::{ApiVersionsRequest, ApiVersionsResponse},
        create_partitions::{
            CreatePartitionsRequest, CreatePartitionsResponse, CreatePartitionsTopic,
        },
        create_topics::{CreatableTopic, CreateTopicsRequest, CreateTopicsResponse},
        delete_records::{
            DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsResponse, DeleteRecordsTopic,
        },
        delete_topics::{DeleteTopicState, DeleteTopicsRequest, DeleteTopicsResponse},
        describe_cluster::{DescribeClusterRequest, DescribeClusterResponse},
        describe_configs::{
            DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
        },
        describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResponse},
        describe_producers::{DescribeProducersRequest, DescribeProducersResponse, TopicRequest},
        describe_topic_partitions::{
            DescribeTopicPartitionsRequest, DescribeTopicPartitionsResponse,
        },
        fetch::{FetchPartition, FetchRequest, FetchTopic},
        incremental_alter_configs::{
            self as incremental, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        },
        init_producer_id::{InitProducerIdRequest, InitProducerIdResponse},
        list_config_resources::{ListConfigResourcesRequest, ListConfigResourcesResponse},
        list_offsets::{
            ListOffsetsPartition, ListOffsetsRequest, ListOffsetsResponse, ListOffsetsTopic,
        },
        metadata::{MetadataRequest, MetadataResponse},
        offset_for_leader_epoch::{
            OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
            OffsetForLeaderTopic,
        },
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
};

use crate::harness::{Caller, Fetched, Produced, World, batch, idempotent};

/// Asks at one version and gives the number of things that were answered.
type Ask = fn(&mut Caller<'_>, i16, TopicId) -> usize;

const ASKS: [(i16, Ask); 21] = [
    (0, produce),
    (1, fetch),
    (2, list_offsets),
    (3, metadata),
    (18, api_versions),
    (19, create_topics),
    (20, delete_topics),
    (21, delete_records),
    (22, init_producer_id),
    (23, offset_for_leader_epoch),
    (32, describe_configs),
    (33, alter_configs),
    (35, describe_log_dirs),
    (37, create_partitions),
    (44, incremental_alter_configs),
    (60, describe_cluster),
    (61, describe_producers),
    (74, list_config_resources),
    (75, describe_topic_partitions),
    // Two more looks at what is there after the changes.
    (3, metadata),
    (1, fetch),
];

/// See `groups::every_version_is_answered`.
const OF_GROUPS: [i16; 11] = [8, 9, 10, 11, 12, 13, 14, 15, 16, 42, 47];

#[test]
fn every_request_is_answered_at_every_version() {
    let world = World::new(1);
    let mut client = world.client();
    let id = client.create_topic("t", 2, &[("retention.ms", "1000000")]);
    let producer = base::ProducerId(3);
    client.produce("t", 0, &idempotent(producer, 0, 0, &["a"]));
    let versions = client.call(3, &software());
    let versions: ApiVersionsResponse<'_> = versions.decode();
    let mut unasked: BTreeSet<i16> = versions.api_keys.iter().map(|api| api.api_key).collect();
    for (key, ask) in ASKS {
        let api = versions.api_keys.iter().find(|api| api.api_key == key);
        let api = api.expect("it is advertised");
        unasked.remove(&key);
        // Produce below 3 is advertised for old feature detection and refused.
        let first = if key == 0 { 3 } else { api.min_version };
        for version in first..=api.max_version {
            let answered = ask(&mut client, version, id);
            assert!(answered > 0, "key {key} version {version}");
        }
    }
    assert!(unasked.into_iter().eq(OF_GROUPS));
}

fn software() -> ApiVersionsRequest<'static> {
    ApiVersionsRequest {
        client_software_name: "it".into(),
        client_software_version: "1.0".into(),
    }
}

fn api_versions(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let frame = client.call(version, &software());
    let response: ApiVersionsResponse<'_> = frame.decode();
    assert_eq!(response.error_code, 0);
    response.api_keys.len()
}

fn produce(client: &mut Caller<'_>, version: i16, id: TopicId) -> usize {
    let bytes = batch(&["x"]);
    let data = PartitionProduceData {
        index: 1,
        records: bytes.as_slice().into(),
    };
    let by_id = version >= 13;
    let topic = TopicProduceData {
        name: if by_id { "".into() } else { "t".into() },
        topic_id: if by_id { id } else { TopicId::ZERO },
        partition_data: vec![data].into(),
    };
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 1000,
        topic_data: vec![topic].into(),
        ..ProduceRequest::default()
    };
    let produced = Produced::of(&client.call(version, &request));
    assert_eq!(produced.error, ErrorCode::None, "version {version}");
    1
}

fn fetch(client: &mut Caller<'_>, version: i16, id: TopicId) -> usize {
    let partition = FetchPartition {
        partition: 1,
        current_leader_epoch: -1,
        partition_max_bytes: 1 << 20,
        ..FetchPartition::default()
    };
    let by_id = version >= 13;
    let topic = FetchTopic {
        topic: if by_id { "".into() } else { "t".into() },
        topic_id: if by_id { id } else { TopicId::ZERO },
        partitions: vec![partition].into(),
    };
    let request = FetchRequest {
        max_bytes: 1 << 20,
        session_epoch: -1,
        isolation_level: i8::from(version % 2 == 0),
        topics: vec![topic].into(),
        ..FetchRequest::default()
    };
    let fetched = Fetched::all(&client.call(version, &request));
    assert_eq!(fetched[0].error, ErrorCode::None, "version {version}");
    fetched[0].values().len()
}

fn list_offsets(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let partition = ListOffsetsPartition {
        timestamp: -1,
        ..ListOffsetsPartition::default()
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
    response.topics.len()
}

fn metadata(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    // Null for all; in version 0 it is the empty list.
    let request = MetadataRequest {
        topics: (version == 0).then(|| Vec::new().into()),
        include_topic_authorized_operations: version >= 8,
        ..MetadataRequest::default()
    };
    let frame = client.call(version, &request);
    let response: MetadataResponse<'_> = frame.decode();
    assert!(response.topics.iter().all(|topic| topic.error_code == 0));
    response.topics.len()
}

fn create_topics(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let topics = [format!("new-{version}"), "t".to_owned()];
    let topics = topics.map(|name| CreatableTopic {
        name: name.into(),
        num_partitions: 1,
        replication_factor: 1,
        ..CreatableTopic::default()
    });
    let request = CreateTopicsRequest {
        topics: topics.to_vec().into(),
        timeout_ms: 1000,
        validate_only: false,
    };
    let frame = client.call(version, &request);
    let response: CreateTopicsResponse<'_> = frame.decode();
    let codes: Vec<_> = response.topics.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::TopicAlreadyExists.code()]);
    codes.len()
}

fn delete_topics(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let names = [format!("new-{}", version + 1), "nothing".to_owned()];
    let states = names.clone().map(|name| DeleteTopicState {
        name: Some(name.into()),
        topic_id: TopicId::ZERO,
    });
    let request = match version {
        6.. => DeleteTopicsRequest {
            topics: states.to_vec().into(),
            timeout_ms: 1000,
            ..DeleteTopicsRequest::default()
        },
        _ => DeleteTopicsRequest {
            topic_names: names.into_iter().map(Into::into).collect(),
            timeout_ms: 1000,
            ..DeleteTopicsRequest::default()
        },
    };
    let frame = client.call(version, &request);
    let response: DeleteTopicsResponse<'_> = frame.decode();
    let codes: Vec<_> = response.responses.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
    codes.len()
}

fn delete_records(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let partitions = [0, 9].map(|partition_index| DeleteRecordsPartition {
        partition_index,
        offset: 0,
    });
    let topic = DeleteRecordsTopic {
        name: "t".into(),
        partitions: partitions.to_vec().into(),
    };
    let request = DeleteRecordsRequest {
        topics: vec![topic].into(),
        timeout_ms: 1000,
    };
    let frame = client.call(version, &request);
    let response: DeleteRecordsResponse<'_> = frame.decode();
    response.topics.len()
}

fn init_producer_id(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let request = InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: 1000,
        producer_id: -1,
        producer_epoch: -1,
    };
    let frame = client.call(version, &request);
    let response: InitProducerIdResponse = frame.decode();
    assert_eq!(response.error_code, 0);
    usize::from(response.producer_id >= 0)
}

fn offset_for_leader_epoch(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let partition = OffsetForLeaderPartition {
        current_leader_epoch: -1,
        ..OffsetForLeaderPartition::default()
    };
    let topic = OffsetForLeaderTopic {
        topic: "t".into(),
        partitions: vec![partition].into(),
    };
    let request = OffsetForLeaderEpochRequest {
        topics: vec![topic].into(),
        ..OffsetForLeaderEpochRequest::default()
    };
    let frame = client.call(version, &request);
    let response: OffsetForLeaderEpochResponse<'_> = frame.decode();
    response.topics.len()
}

fn describe_configs(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let resources =
        [(2, "t"), (4, "1"), (2, "nothing")].map(|(resource_type, name)| DescribeConfigsResource {
            resource_type,
            resource_name: name.into(),
            configuration_keys: None,
        });
    let request = DescribeConfigsRequest {
        resources: resources.to_vec().into(),
        include_synonyms: true,
        include_documentation: version >= 3,
    };
    let frame = client.call(version, &request);
    let response: DescribeConfigsResponse<'_> = frame.decode();
    let configs: Vec<_> = response.results.iter().map(|r| r.configs.len()).collect();
    assert!(
        configs[0] > 10 && configs[1] > 10 && configs[2] == 0,
        "{configs:?}"
    );
    configs.len()
}

fn alter_configs(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let resource = alter::AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: Vec::new().into(),
    };
    let request = AlterConfigsRequest {
        resources: vec![resource].into(),
        validate_only: false,
    };
    let frame = client.call(version, &request);
    let response: AlterConfigsResponse<'_> = frame.decode();
    assert!(
        response
            .responses
            .iter()
            .all(|result| result.error_code == 0)
    );
    response.responses.len()
}

fn incremental_alter_configs(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let config = incremental::AlterableConfig {
        name: "retention.ms".into(),
        config_operation: 0,
        value: Some("1000000".into()),
    };
    let resource = incremental::AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: vec![config].into(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource].into(),
        validate_only: true,
    };
    let frame = client.call(version, &request);
    let response: IncrementalAlterConfigsResponse<'_> = frame.decode();
    assert!(
        response
            .responses
            .iter()
            .all(|result| result.error_code == 0)
    );
    response.responses.len()
}

fn describe_log_dirs(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let request = DescribeLogDirsRequest { topics: None };
    let frame = client.call(version, &request);
    let response: DescribeLogDirsResponse<'_> = frame.decode();
    assert_eq!(response.error_code, 0);
    response.results.iter().map(|dir| dir.topics.len()).sum()
}

fn create_partitions(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let topics = [("t", i32::from(version) + 3), ("nothing", 2)];
    let topics = topics.map(|(name, count)| CreatePartitionsTopic {
        name: name.into(),
        count,
        assignments: None,
    });
    let request = CreatePartitionsRequest {
        topics: topics.to_vec().into(),
        timeout_ms: 1000,
        validate_only: false,
    };
    let frame = client.call(version, &request);
    let response: CreatePartitionsResponse<'_> = frame.decode();
    let codes: Vec<_> = response.results.iter().map(|t| t.error_code).collect();
    assert_eq!(codes, [0, ErrorCode::UnknownTopicOrPartition.code()]);
    codes.len()
}

fn describe_cluster(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let request = DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        endpoint_type: 1,
        include_fenced_brokers: version >= 2,
    };
    let frame = client.call(version, &request);
    let response: DescribeClusterResponse<'_> = frame.decode();
    assert_eq!(response.error_code, 0);
    response.brokers.len()
}

fn describe_producers(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let topic = TopicRequest {
        name: "t".into(),
        partition_indexes: vec![0].into(),
    };
    let request = DescribeProducersRequest {
        topics: vec![topic].into(),
    };
    let frame = client.call(version, &request);
    let response: DescribeProducersResponse<'_> = frame.decode();
    let topic = response.topics.iter().next().expect("one topic");
    let partition = topic.partitions.iter().next().expect("one partition");
    assert_eq!(partition.error_code, 0);
    partition.active_producers.len()
}

fn list_config_resources(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let request = ListConfigResourcesRequest {
        resource_types: if version >= 1 {
            vec![2].into()
        } else {
            Vec::new().into()
        },
    };
    let frame = client.call(version, &request);
    let response: ListConfigResourcesResponse<'_> = frame.decode();
    assert_eq!(response.error_code, 0);
    // Version 0 asks for client metrics, of which there are none.
    response.config_resources.len() + usize::from(version == 0)
}

fn describe_topic_partitions(client: &mut Caller<'_>, version: i16, _: TopicId) -> usize {
    let request = DescribeTopicPartitionsRequest {
        response_partition_limit: 100,
        ..DescribeTopicPartitionsRequest::default()
    };
    let frame = client.call(version, &request);
    let response: DescribeTopicPartitionsResponse<'_> = frame.decode();
    response.topics.len()
}
