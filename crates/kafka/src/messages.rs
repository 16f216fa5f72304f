//! Kafka's messages, @generated from its descriptors by `cargo xtask codegen`.

pub mod add_offsets_to_txn;
pub mod add_partitions_to_txn;
pub mod add_raft_voter;
pub mod alter_client_quotas;
pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod alter_replica_log_dirs;
pub mod alter_share_group_offsets;
pub mod alter_user_scram_credentials;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod consumer_protocol;
pub mod create_acls;
pub mod create_delegation_token;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_share_group_offsets;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_client_quotas;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_delegation_token;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_quorum;
pub mod describe_share_group_offsets;
pub mod describe_topic_partitions;
pub mod describe_transactions;
pub mod describe_user_scram_credentials;
pub mod elect_leaders;
pub mod end_txn;
pub mod expire_delegation_token;
pub mod fetch;
pub mod find_coordinator;
pub mod get_telemetry_subscriptions;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod list_transactions;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod push_telemetry;
pub mod remove_raft_voter;
pub mod renew_delegation_token;
pub mod sasl_authenticate;
pub mod sasl_handshake;
pub mod share_acknowledge;
pub mod share_fetch;
pub mod share_group_describe;
pub mod share_group_heartbeat;
pub mod streams_group_describe;
pub mod streams_group_heartbeat;
pub mod sync_group;
pub mod txn_offset_commit;
pub mod unregister_broker;
pub mod update_features;
pub mod write_txn_markers;

/// Keys of the APIs that clients and tools send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum ApiKey {
    Produce = 0,
    Fetch = 1,
    ListOffsets = 2,
    Metadata = 3,
    OffsetCommit = 8,
    OffsetFetch = 9,
    FindCoordinator = 10,
    JoinGroup = 11,
    Heartbeat = 12,
    LeaveGroup = 13,
    SyncGroup = 14,
    DescribeGroups = 15,
    ListGroups = 16,
    SaslHandshake = 17,
    ApiVersions = 18,
    CreateTopics = 19,
    DeleteTopics = 20,
    DeleteRecords = 21,
    InitProducerId = 22,
    OffsetForLeaderEpoch = 23,
    AddPartitionsToTxn = 24,
    AddOffsetsToTxn = 25,
    EndTxn = 26,
    WriteTxnMarkers = 27,
    TxnOffsetCommit = 28,
    DescribeAcls = 29,
    CreateAcls = 30,
    DeleteAcls = 31,
    DescribeConfigs = 32,
    AlterConfigs = 33,
    AlterReplicaLogDirs = 34,
    DescribeLogDirs = 35,
    SaslAuthenticate = 36,
    CreatePartitions = 37,
    CreateDelegationToken = 38,
    RenewDelegationToken = 39,
    ExpireDelegationToken = 40,
    DescribeDelegationToken = 41,
    DeleteGroups = 42,
    ElectLeaders = 43,
    IncrementalAlterConfigs = 44,
    AlterPartitionReassignments = 45,
    ListPartitionReassignments = 46,
    OffsetDelete = 47,
    DescribeClientQuotas = 48,
    AlterClientQuotas = 49,
    DescribeUserScramCredentials = 50,
    AlterUserScramCredentials = 51,
    DescribeQuorum = 55,
    UpdateFeatures = 57,
    DescribeCluster = 60,
    DescribeProducers = 61,
    UnregisterBroker = 64,
    DescribeTransactions = 65,
    ListTransactions = 66,
    ConsumerGroupHeartbeat = 68,
    ConsumerGroupDescribe = 69,
    GetTelemetrySubscriptions = 71,
    PushTelemetry = 72,
    ListConfigResources = 74,
    DescribeTopicPartitions = 75,
    ShareGroupHeartbeat = 76,
    ShareGroupDescribe = 77,
    ShareFetch = 78,
    ShareAcknowledge = 79,
    AddRaftVoter = 80,
    RemoveRaftVoter = 81,
    StreamsGroupHeartbeat = 88,
    StreamsGroupDescribe = 89,
    DescribeShareGroupOffsets = 90,
    AlterShareGroupOffsets = 91,
    DeleteShareGroupOffsets = 92,
}

/// One API: its versions here are those of the newest stable release of Kafka, unstable ones left out.
struct Api {
    key: ApiKey,
    name: &'static str,
    version_min: i16,
    version_max: i16,
    flexible_version: i16,
}

/// Indexed by key.
static APIS: [Option<Api>; 93] = [
    Some(row(ApiKey::Produce, "Produce", 3, 13, 9)),
    Some(row(ApiKey::Fetch, "Fetch", 4, 18, 12)),
    Some(row(ApiKey::ListOffsets, "ListOffsets", 1, 11, 6)),
    Some(row(ApiKey::Metadata, "Metadata", 0, 13, 9)),
    None,
    None,
    None,
    None,
    Some(row(ApiKey::OffsetCommit, "OffsetCommit", 2, 10, 8)),
    Some(row(ApiKey::OffsetFetch, "OffsetFetch", 1, 10, 6)),
    Some(row(ApiKey::FindCoordinator, "FindCoordinator", 0, 6, 3)),
    Some(row(ApiKey::JoinGroup, "JoinGroup", 0, 9, 6)),
    Some(row(ApiKey::Heartbeat, "Heartbeat", 0, 4, 4)),
    Some(row(ApiKey::LeaveGroup, "LeaveGroup", 0, 5, 4)),
    Some(row(ApiKey::SyncGroup, "SyncGroup", 0, 5, 4)),
    Some(row(ApiKey::DescribeGroups, "DescribeGroups", 0, 6, 5)),
    Some(row(ApiKey::ListGroups, "ListGroups", 0, 5, 3)),
    Some(row(ApiKey::SaslHandshake, "SaslHandshake", 0, 1, i16::MAX)),
    Some(row(ApiKey::ApiVersions, "ApiVersions", 0, 4, 3)),
    Some(row(ApiKey::CreateTopics, "CreateTopics", 2, 7, 5)),
    Some(row(ApiKey::DeleteTopics, "DeleteTopics", 1, 6, 4)),
    Some(row(ApiKey::DeleteRecords, "DeleteRecords", 0, 2, 2)),
    Some(row(ApiKey::InitProducerId, "InitProducerId", 0, 5, 2)),
    Some(row(
        ApiKey::OffsetForLeaderEpoch,
        "OffsetForLeaderEpoch",
        2,
        4,
        4,
    )),
    Some(row(
        ApiKey::AddPartitionsToTxn,
        "AddPartitionsToTxn",
        0,
        5,
        3,
    )),
    Some(row(ApiKey::AddOffsetsToTxn, "AddOffsetsToTxn", 0, 4, 3)),
    Some(row(ApiKey::EndTxn, "EndTxn", 0, 5, 3)),
    Some(row(ApiKey::WriteTxnMarkers, "WriteTxnMarkers", 1, 2, 1)),
    Some(row(ApiKey::TxnOffsetCommit, "TxnOffsetCommit", 0, 5, 3)),
    Some(row(ApiKey::DescribeAcls, "DescribeAcls", 1, 3, 2)),
    Some(row(ApiKey::CreateAcls, "CreateAcls", 1, 3, 2)),
    Some(row(ApiKey::DeleteAcls, "DeleteAcls", 1, 3, 2)),
    Some(row(ApiKey::DescribeConfigs, "DescribeConfigs", 1, 4, 4)),
    Some(row(ApiKey::AlterConfigs, "AlterConfigs", 0, 2, 2)),
    Some(row(
        ApiKey::AlterReplicaLogDirs,
        "AlterReplicaLogDirs",
        1,
        2,
        2,
    )),
    Some(row(ApiKey::DescribeLogDirs, "DescribeLogDirs", 1, 5, 2)),
    Some(row(ApiKey::SaslAuthenticate, "SaslAuthenticate", 0, 2, 2)),
    Some(row(ApiKey::CreatePartitions, "CreatePartitions", 0, 3, 2)),
    Some(row(
        ApiKey::CreateDelegationToken,
        "CreateDelegationToken",
        1,
        3,
        2,
    )),
    Some(row(
        ApiKey::RenewDelegationToken,
        "RenewDelegationToken",
        1,
        2,
        2,
    )),
    Some(row(
        ApiKey::ExpireDelegationToken,
        "ExpireDelegationToken",
        1,
        2,
        2,
    )),
    Some(row(
        ApiKey::DescribeDelegationToken,
        "DescribeDelegationToken",
        1,
        3,
        2,
    )),
    Some(row(ApiKey::DeleteGroups, "DeleteGroups", 0, 2, 2)),
    Some(row(ApiKey::ElectLeaders, "ElectLeaders", 0, 2, 2)),
    Some(row(
        ApiKey::IncrementalAlterConfigs,
        "IncrementalAlterConfigs",
        0,
        1,
        1,
    )),
    Some(row(
        ApiKey::AlterPartitionReassignments,
        "AlterPartitionReassignments",
        0,
        1,
        0,
    )),
    Some(row(
        ApiKey::ListPartitionReassignments,
        "ListPartitionReassignments",
        0,
        0,
        0,
    )),
    Some(row(ApiKey::OffsetDelete, "OffsetDelete", 0, 0, i16::MAX)),
    Some(row(
        ApiKey::DescribeClientQuotas,
        "DescribeClientQuotas",
        0,
        1,
        1,
    )),
    Some(row(ApiKey::AlterClientQuotas, "AlterClientQuotas", 0, 1, 1)),
    Some(row(
        ApiKey::DescribeUserScramCredentials,
        "DescribeUserScramCredentials",
        0,
        0,
        0,
    )),
    Some(row(
        ApiKey::AlterUserScramCredentials,
        "AlterUserScramCredentials",
        0,
        0,
        0,
    )),
    None,
    None,
    None,
    Some(row(ApiKey::DescribeQuorum, "DescribeQuorum", 0, 2, 0)),
    None,
    Some(row(ApiKey::UpdateFeatures, "UpdateFeatures", 0, 2, 0)),
    None,
    None,
    Some(row(ApiKey::DescribeCluster, "DescribeCluster", 0, 2, 0)),
    Some(row(ApiKey::DescribeProducers, "DescribeProducers", 0, 0, 0)),
    None,
    None,
    Some(row(ApiKey::UnregisterBroker, "UnregisterBroker", 0, 0, 0)),
    Some(row(
        ApiKey::DescribeTransactions,
        "DescribeTransactions",
        0,
        0,
        0,
    )),
    Some(row(ApiKey::ListTransactions, "ListTransactions", 0, 2, 0)),
    None,
    Some(row(
        ApiKey::ConsumerGroupHeartbeat,
        "ConsumerGroupHeartbeat",
        0,
        1,
        0,
    )),
    Some(row(
        ApiKey::ConsumerGroupDescribe,
        "ConsumerGroupDescribe",
        0,
        1,
        0,
    )),
    None,
    Some(row(
        ApiKey::GetTelemetrySubscriptions,
        "GetTelemetrySubscriptions",
        0,
        0,
        0,
    )),
    Some(row(ApiKey::PushTelemetry, "PushTelemetry", 0, 0, 0)),
    None,
    Some(row(
        ApiKey::ListConfigResources,
        "ListConfigResources",
        0,
        1,
        0,
    )),
    Some(row(
        ApiKey::DescribeTopicPartitions,
        "DescribeTopicPartitions",
        0,
        0,
        0,
    )),
    Some(row(
        ApiKey::ShareGroupHeartbeat,
        "ShareGroupHeartbeat",
        1,
        1,
        0,
    )),
    Some(row(
        ApiKey::ShareGroupDescribe,
        "ShareGroupDescribe",
        1,
        1,
        0,
    )),
    Some(row(ApiKey::ShareFetch, "ShareFetch", 1, 2, 0)),
    Some(row(ApiKey::ShareAcknowledge, "ShareAcknowledge", 1, 2, 0)),
    Some(row(ApiKey::AddRaftVoter, "AddRaftVoter", 0, 1, 0)),
    Some(row(ApiKey::RemoveRaftVoter, "RemoveRaftVoter", 0, 0, 0)),
    None,
    None,
    None,
    None,
    None,
    None,
    Some(row(
        ApiKey::StreamsGroupHeartbeat,
        "StreamsGroupHeartbeat",
        0,
        0,
        0,
    )),
    Some(row(
        ApiKey::StreamsGroupDescribe,
        "StreamsGroupDescribe",
        0,
        0,
        0,
    )),
    Some(row(
        ApiKey::DescribeShareGroupOffsets,
        "DescribeShareGroupOffsets",
        0,
        1,
        0,
    )),
    Some(row(
        ApiKey::AlterShareGroupOffsets,
        "AlterShareGroupOffsets",
        0,
        0,
        0,
    )),
    Some(row(
        ApiKey::DeleteShareGroupOffsets,
        "DeleteShareGroupOffsets",
        0,
        0,
        0,
    )),
];

const fn row(
    key: ApiKey,
    name: &'static str,
    version_min: i16,
    version_max: i16,
    flexible_version: i16,
) -> Api {
    Api {
        key,
        name,
        version_min,
        version_max,
        flexible_version,
    }
}

fn api(api_key: i16) -> Option<&'static Api> {
    APIS.get(usize::try_from(api_key).ok()?)?.as_ref()
}

/// Whether the version is in the compact encoding with tagged fields (KIP-482); for unknown keys no.
#[must_use]
pub fn is_flexible(api_key: i16, version: i16) -> bool {
    api(api_key).is_some_and(|api| version >= api.flexible_version)
}

impl ApiKey {
    /// All keys, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        APIS.iter().flatten().map(|api| api.key)
    }

    #[must_use]
    pub fn from_i16(api_key: i16) -> Option<Self> {
        api(api_key).map(|api| api.key)
    }

    /// Kafka's name of the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.api().name
    }

    /// Versions of the newest stable release of Kafka.
    #[must_use]
    pub fn versions(self) -> std::ops::RangeInclusive<i16> {
        self.api().version_min..=self.api().version_max
    }

    fn api(self) -> &'static Api {
        api(self as i16).expect("every key has a row")
    }
}

/// Hands every API to the macro `$then`, as `module Request Response;` each: for tests over all messages.
#[macro_export]
macro_rules! each_api {
    ($then:ident) => {
        $then! {
            produce ProduceRequest ProduceResponse;
            fetch FetchRequest FetchResponse;
            list_offsets ListOffsetsRequest ListOffsetsResponse;
            metadata MetadataRequest MetadataResponse;
            offset_commit OffsetCommitRequest OffsetCommitResponse;
            offset_fetch OffsetFetchRequest OffsetFetchResponse;
            find_coordinator FindCoordinatorRequest FindCoordinatorResponse;
            join_group JoinGroupRequest JoinGroupResponse;
            heartbeat HeartbeatRequest HeartbeatResponse;
            leave_group LeaveGroupRequest LeaveGroupResponse;
            sync_group SyncGroupRequest SyncGroupResponse;
            describe_groups DescribeGroupsRequest DescribeGroupsResponse;
            list_groups ListGroupsRequest ListGroupsResponse;
            sasl_handshake SaslHandshakeRequest SaslHandshakeResponse;
            api_versions ApiVersionsRequest ApiVersionsResponse;
            create_topics CreateTopicsRequest CreateTopicsResponse;
            delete_topics DeleteTopicsRequest DeleteTopicsResponse;
            delete_records DeleteRecordsRequest DeleteRecordsResponse;
            init_producer_id InitProducerIdRequest InitProducerIdResponse;
            offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochResponse;
            add_partitions_to_txn AddPartitionsToTxnRequest AddPartitionsToTxnResponse;
            add_offsets_to_txn AddOffsetsToTxnRequest AddOffsetsToTxnResponse;
            end_txn EndTxnRequest EndTxnResponse;
            write_txn_markers WriteTxnMarkersRequest WriteTxnMarkersResponse;
            txn_offset_commit TxnOffsetCommitRequest TxnOffsetCommitResponse;
            describe_acls DescribeAclsRequest DescribeAclsResponse;
            create_acls CreateAclsRequest CreateAclsResponse;
            delete_acls DeleteAclsRequest DeleteAclsResponse;
            describe_configs DescribeConfigsRequest DescribeConfigsResponse;
            alter_configs AlterConfigsRequest AlterConfigsResponse;
            alter_replica_log_dirs AlterReplicaLogDirsRequest AlterReplicaLogDirsResponse;
            describe_log_dirs DescribeLogDirsRequest DescribeLogDirsResponse;
            sasl_authenticate SaslAuthenticateRequest SaslAuthenticateResponse;
            create_partitions CreatePartitionsRequest CreatePartitionsResponse;
            create_delegation_token CreateDelegationTokenRequest CreateDelegationTokenResponse;
            renew_delegation_token RenewDelegationTokenRequest RenewDelegationTokenResponse;
            expire_delegation_token ExpireDelegationTokenRequest ExpireDelegationTokenResponse;
            describe_delegation_token DescribeDelegationTokenRequest DescribeDelegationTokenResponse;
            delete_groups DeleteGroupsRequest DeleteGroupsResponse;
            elect_leaders ElectLeadersRequest ElectLeadersResponse;
            incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsResponse;
            alter_partition_reassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsResponse;
            list_partition_reassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsResponse;
            offset_delete OffsetDeleteRequest OffsetDeleteResponse;
            describe_client_quotas DescribeClientQuotasRequest DescribeClientQuotasResponse;
            alter_client_quotas AlterClientQuotasRequest AlterClientQuotasResponse;
            describe_user_scram_credentials DescribeUserScramCredentialsRequest DescribeUserScramCredentialsResponse;
            alter_user_scram_credentials AlterUserScramCredentialsRequest AlterUserScramCredentialsResponse;
            describe_quorum DescribeQuorumRequest DescribeQuorumResponse;
            update_features UpdateFeaturesRequest UpdateFeaturesResponse;
            describe_cluster DescribeClusterRequest DescribeClusterResponse;
            describe_producers DescribeProducersRequest DescribeProducersResponse;
            unregister_broker UnregisterBrokerRequest UnregisterBrokerResponse;
            describe_transactions DescribeTransactionsRequest DescribeTransactionsResponse;
            list_transactions ListTransactionsRequest ListTransactionsResponse;
            consumer_group_heartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatResponse;
            consumer_group_describe ConsumerGroupDescribeRequest ConsumerGroupDescribeResponse;
            get_telemetry_subscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsResponse;
            push_telemetry PushTelemetryRequest PushTelemetryResponse;
            list_config_resources ListConfigResourcesRequest ListConfigResourcesResponse;
            describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsResponse;
            share_group_heartbeat ShareGroupHeartbeatRequest ShareGroupHeartbeatResponse;
            share_group_describe ShareGroupDescribeRequest ShareGroupDescribeResponse;
            share_fetch ShareFetchRequest ShareFetchResponse;
            share_acknowledge ShareAcknowledgeRequest ShareAcknowledgeResponse;
            add_raft_voter AddRaftVoterRequest AddRaftVoterResponse;
            remove_raft_voter RemoveRaftVoterRequest RemoveRaftVoterResponse;
            streams_group_heartbeat StreamsGroupHeartbeatRequest StreamsGroupHeartbeatResponse;
            streams_group_describe StreamsGroupDescribeRequest StreamsGroupDescribeResponse;
            describe_share_group_offsets DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsResponse;
            alter_share_group_offsets AlterShareGroupOffsetsRequest AlterShareGroupOffsetsResponse;
            delete_share_group_offsets DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsResponse;
        }
    };
}
