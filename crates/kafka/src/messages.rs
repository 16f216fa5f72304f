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
    Some(Api {
        key: ApiKey::Produce,
        name: "Produce",
        version_min: 3,
        version_max: 13,
        flexible_version: 9,
    }),
    Some(Api {
        key: ApiKey::Fetch,
        name: "Fetch",
        version_min: 4,
        version_max: 18,
        flexible_version: 12,
    }),
    Some(Api {
        key: ApiKey::ListOffsets,
        name: "ListOffsets",
        version_min: 1,
        version_max: 11,
        flexible_version: 6,
    }),
    Some(Api {
        key: ApiKey::Metadata,
        name: "Metadata",
        version_min: 0,
        version_max: 13,
        flexible_version: 9,
    }),
    None,
    None,
    None,
    None,
    Some(Api {
        key: ApiKey::OffsetCommit,
        name: "OffsetCommit",
        version_min: 2,
        version_max: 10,
        flexible_version: 8,
    }),
    Some(Api {
        key: ApiKey::OffsetFetch,
        name: "OffsetFetch",
        version_min: 1,
        version_max: 10,
        flexible_version: 6,
    }),
    Some(Api {
        key: ApiKey::FindCoordinator,
        name: "FindCoordinator",
        version_min: 0,
        version_max: 6,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::JoinGroup,
        name: "JoinGroup",
        version_min: 0,
        version_max: 9,
        flexible_version: 6,
    }),
    Some(Api {
        key: ApiKey::Heartbeat,
        name: "Heartbeat",
        version_min: 0,
        version_max: 4,
        flexible_version: 4,
    }),
    Some(Api {
        key: ApiKey::LeaveGroup,
        name: "LeaveGroup",
        version_min: 0,
        version_max: 5,
        flexible_version: 4,
    }),
    Some(Api {
        key: ApiKey::SyncGroup,
        name: "SyncGroup",
        version_min: 0,
        version_max: 5,
        flexible_version: 4,
    }),
    Some(Api {
        key: ApiKey::DescribeGroups,
        name: "DescribeGroups",
        version_min: 0,
        version_max: 6,
        flexible_version: 5,
    }),
    Some(Api {
        key: ApiKey::ListGroups,
        name: "ListGroups",
        version_min: 0,
        version_max: 5,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::SaslHandshake,
        name: "SaslHandshake",
        version_min: 0,
        version_max: 1,
        flexible_version: i16::MAX,
    }),
    Some(Api {
        key: ApiKey::ApiVersions,
        name: "ApiVersions",
        version_min: 0,
        version_max: 4,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::CreateTopics,
        name: "CreateTopics",
        version_min: 2,
        version_max: 7,
        flexible_version: 5,
    }),
    Some(Api {
        key: ApiKey::DeleteTopics,
        name: "DeleteTopics",
        version_min: 1,
        version_max: 6,
        flexible_version: 4,
    }),
    Some(Api {
        key: ApiKey::DeleteRecords,
        name: "DeleteRecords",
        version_min: 0,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::InitProducerId,
        name: "InitProducerId",
        version_min: 0,
        version_max: 5,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::OffsetForLeaderEpoch,
        name: "OffsetForLeaderEpoch",
        version_min: 2,
        version_max: 4,
        flexible_version: 4,
    }),
    Some(Api {
        key: ApiKey::AddPartitionsToTxn,
        name: "AddPartitionsToTxn",
        version_min: 0,
        version_max: 5,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::AddOffsetsToTxn,
        name: "AddOffsetsToTxn",
        version_min: 0,
        version_max: 4,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::EndTxn,
        name: "EndTxn",
        version_min: 0,
        version_max: 5,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::WriteTxnMarkers,
        name: "WriteTxnMarkers",
        version_min: 1,
        version_max: 2,
        flexible_version: 1,
    }),
    Some(Api {
        key: ApiKey::TxnOffsetCommit,
        name: "TxnOffsetCommit",
        version_min: 0,
        version_max: 5,
        flexible_version: 3,
    }),
    Some(Api {
        key: ApiKey::DescribeAcls,
        name: "DescribeAcls",
        version_min: 1,
        version_max: 3,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::CreateAcls,
        name: "CreateAcls",
        version_min: 1,
        version_max: 3,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::DeleteAcls,
        name: "DeleteAcls",
        version_min: 1,
        version_max: 3,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::DescribeConfigs,
        name: "DescribeConfigs",
        version_min: 1,
        version_max: 4,
        flexible_version: 4,
    }),
    Some(Api {
        key: ApiKey::AlterConfigs,
        name: "AlterConfigs",
        version_min: 0,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::AlterReplicaLogDirs,
        name: "AlterReplicaLogDirs",
        version_min: 1,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::DescribeLogDirs,
        name: "DescribeLogDirs",
        version_min: 1,
        version_max: 5,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::SaslAuthenticate,
        name: "SaslAuthenticate",
        version_min: 0,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::CreatePartitions,
        name: "CreatePartitions",
        version_min: 0,
        version_max: 3,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::CreateDelegationToken,
        name: "CreateDelegationToken",
        version_min: 1,
        version_max: 3,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::RenewDelegationToken,
        name: "RenewDelegationToken",
        version_min: 1,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::ExpireDelegationToken,
        name: "ExpireDelegationToken",
        version_min: 1,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::DescribeDelegationToken,
        name: "DescribeDelegationToken",
        version_min: 1,
        version_max: 3,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::DeleteGroups,
        name: "DeleteGroups",
        version_min: 0,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::ElectLeaders,
        name: "ElectLeaders",
        version_min: 0,
        version_max: 2,
        flexible_version: 2,
    }),
    Some(Api {
        key: ApiKey::IncrementalAlterConfigs,
        name: "IncrementalAlterConfigs",
        version_min: 0,
        version_max: 1,
        flexible_version: 1,
    }),
    Some(Api {
        key: ApiKey::AlterPartitionReassignments,
        name: "AlterPartitionReassignments",
        version_min: 0,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ListPartitionReassignments,
        name: "ListPartitionReassignments",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::OffsetDelete,
        name: "OffsetDelete",
        version_min: 0,
        version_max: 0,
        flexible_version: i16::MAX,
    }),
    Some(Api {
        key: ApiKey::DescribeClientQuotas,
        name: "DescribeClientQuotas",
        version_min: 0,
        version_max: 1,
        flexible_version: 1,
    }),
    Some(Api {
        key: ApiKey::AlterClientQuotas,
        name: "AlterClientQuotas",
        version_min: 0,
        version_max: 1,
        flexible_version: 1,
    }),
    Some(Api {
        key: ApiKey::DescribeUserScramCredentials,
        name: "DescribeUserScramCredentials",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::AlterUserScramCredentials,
        name: "AlterUserScramCredentials",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    None,
    None,
    None,
    Some(Api {
        key: ApiKey::DescribeQuorum,
        name: "DescribeQuorum",
        version_min: 0,
        version_max: 2,
        flexible_version: 0,
    }),
    None,
    Some(Api {
        key: ApiKey::UpdateFeatures,
        name: "UpdateFeatures",
        version_min: 0,
        version_max: 2,
        flexible_version: 0,
    }),
    None,
    None,
    Some(Api {
        key: ApiKey::DescribeCluster,
        name: "DescribeCluster",
        version_min: 0,
        version_max: 2,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::DescribeProducers,
        name: "DescribeProducers",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    None,
    None,
    Some(Api {
        key: ApiKey::UnregisterBroker,
        name: "UnregisterBroker",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::DescribeTransactions,
        name: "DescribeTransactions",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ListTransactions,
        name: "ListTransactions",
        version_min: 0,
        version_max: 2,
        flexible_version: 0,
    }),
    None,
    Some(Api {
        key: ApiKey::ConsumerGroupHeartbeat,
        name: "ConsumerGroupHeartbeat",
        version_min: 0,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ConsumerGroupDescribe,
        name: "ConsumerGroupDescribe",
        version_min: 0,
        version_max: 1,
        flexible_version: 0,
    }),
    None,
    Some(Api {
        key: ApiKey::GetTelemetrySubscriptions,
        name: "GetTelemetrySubscriptions",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::PushTelemetry,
        name: "PushTelemetry",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    None,
    Some(Api {
        key: ApiKey::ListConfigResources,
        name: "ListConfigResources",
        version_min: 0,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::DescribeTopicPartitions,
        name: "DescribeTopicPartitions",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ShareGroupHeartbeat,
        name: "ShareGroupHeartbeat",
        version_min: 1,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ShareGroupDescribe,
        name: "ShareGroupDescribe",
        version_min: 1,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ShareFetch,
        name: "ShareFetch",
        version_min: 1,
        version_max: 2,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::ShareAcknowledge,
        name: "ShareAcknowledge",
        version_min: 1,
        version_max: 2,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::AddRaftVoter,
        name: "AddRaftVoter",
        version_min: 0,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::RemoveRaftVoter,
        name: "RemoveRaftVoter",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    None,
    None,
    None,
    None,
    None,
    None,
    Some(Api {
        key: ApiKey::StreamsGroupHeartbeat,
        name: "StreamsGroupHeartbeat",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::StreamsGroupDescribe,
        name: "StreamsGroupDescribe",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::DescribeShareGroupOffsets,
        name: "DescribeShareGroupOffsets",
        version_min: 0,
        version_max: 1,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::AlterShareGroupOffsets,
        name: "AlterShareGroupOffsets",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
    Some(Api {
        key: ApiKey::DeleteShareGroupOffsets,
        name: "DeleteShareGroupOffsets",
        version_min: 0,
        version_max: 0,
        flexible_version: 0,
    }),
];

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
