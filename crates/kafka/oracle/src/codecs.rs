//! The codecs under comparison: every message by name, through ours, `kafka-protocol` and `kacrab-protocol`.

use bytes::{Bytes, BytesMut};
use kafka::{
    Message,
    wire::{Reader, Writer},
};
use kafka_protocol::protocol::{Decodable, Encodable, Message as _};

/// Encoded bytes, or why there are none.
pub type Encoded = Result<Vec<u8>, String>;

/// One message type in three codecs. Every function reads `bytes` at `from` and writes it again at `to`; the `default`
/// ones write the default value.
pub struct Codecs {
    pub name: &'static str,
    pub ours: fn(bytes: &[u8], from: i16, to: i16) -> Encoded,
    pub our_default: fn(i16) -> Encoded,
    pub kacrab: fn(bytes: &[u8], from: i16, to: i16) -> Encoded,
    pub kacrab_default: fn(i16) -> Encoded,
    /// With the newest version it knows.
    pub kafka_protocol: Option<(i16, Recode, fn(i16) -> Encoded)>,
}

pub type Recode = fn(bytes: &[u8], from: i16, to: i16) -> Encoded;

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

macro_rules! codecs {
    ($($module:ident $name:ident $kacrab:ident $theirs:tt;)*) => {
        /// All messages.
        pub static CODECS: &[Codecs] = &[$(Codecs {
            name: stringify!($name),
            ours: |bytes, from, to| {
                let message = kafka::messages::$module::$name::decode(&mut Reader::new(bytes), from).map_err(text)?;
                ours(&message, to)
            },
            our_default: |to| ours(&kafka::messages::$module::$name::default(), to),
            kacrab: |bytes, from, to| {
                let mut bytes = Bytes::copy_from_slice(bytes);
                let message = kacrab_protocol::generated::$kacrab::read(&mut bytes, from).map_err(text)?;
                if !bytes.is_empty() {
                    return Err(format!("{} bytes are left", bytes.len()));
                }
                let mut out = BytesMut::new();
                message.write(&mut out, to).map_err(text)?;
                Ok(out.to_vec())
            },
            kacrab_default: |to| {
                let mut out = BytesMut::new();
                kacrab_protocol::generated::$kacrab::default().write(&mut out, to).map_err(text)?;
                Ok(out.to_vec())
            },
            kafka_protocol: theirs!($theirs $name),
        }),*];
    };
}

macro_rules! theirs {
    (no $name:ident) => {
        None
    };
    (yes $name:ident) => {
        Some((
            kafka_protocol::messages::$name::VERSIONS.max,
            |bytes, from, to| {
                let mut bytes = Bytes::copy_from_slice(bytes);
                let message =
                    kafka_protocol::messages::$name::decode(&mut bytes, from).map_err(text)?;
                if !bytes.is_empty() {
                    return Err(format!("{} bytes are left", bytes.len()));
                }
                let mut out = BytesMut::new();
                message.encode(&mut out, to).map_err(text)?;
                Ok(out.to_vec())
            },
            |to| {
                let mut out = BytesMut::new();
                kafka_protocol::messages::$name::default()
                    .encode(&mut out, to)
                    .map_err(text)?;
                Ok(out.to_vec())
            },
        ))
    };
}

/// Encodes with ours, holding `encoded_len` to the bytes.
fn ours<'a, M: Message<'a>>(message: &M, to: i16) -> Encoded {
    let mut writer = Writer::new();
    let encoded = message.encode(&mut writer, to);
    let length = message.encoded_len(to);
    let bytes = writer.finish().to_vec();
    assert_eq!(length, encoded.map(|()| bytes.len()));
    length.map(|_| bytes).map_err(text)
}

codecs! {
    produce ProduceRequest ProduceRequestData yes;
    produce ProduceResponse ProduceResponseData yes;
    fetch FetchRequest FetchRequestData yes;
    fetch FetchResponse FetchResponseData yes;
    list_offsets ListOffsetsRequest ListOffsetsRequestData yes;
    list_offsets ListOffsetsResponse ListOffsetsResponseData yes;
    metadata MetadataRequest MetadataRequestData yes;
    metadata MetadataResponse MetadataResponseData yes;
    offset_commit OffsetCommitRequest OffsetCommitRequestData yes;
    offset_commit OffsetCommitResponse OffsetCommitResponseData yes;
    offset_fetch OffsetFetchRequest OffsetFetchRequestData yes;
    offset_fetch OffsetFetchResponse OffsetFetchResponseData yes;
    find_coordinator FindCoordinatorRequest FindCoordinatorRequestData yes;
    find_coordinator FindCoordinatorResponse FindCoordinatorResponseData yes;
    join_group JoinGroupRequest JoinGroupRequestData yes;
    join_group JoinGroupResponse JoinGroupResponseData yes;
    heartbeat HeartbeatRequest HeartbeatRequestData yes;
    heartbeat HeartbeatResponse HeartbeatResponseData yes;
    leave_group LeaveGroupRequest LeaveGroupRequestData yes;
    leave_group LeaveGroupResponse LeaveGroupResponseData yes;
    sync_group SyncGroupRequest SyncGroupRequestData yes;
    sync_group SyncGroupResponse SyncGroupResponseData yes;
    describe_groups DescribeGroupsRequest DescribeGroupsRequestData yes;
    describe_groups DescribeGroupsResponse DescribeGroupsResponseData yes;
    list_groups ListGroupsRequest ListGroupsRequestData yes;
    list_groups ListGroupsResponse ListGroupsResponseData yes;
    sasl_handshake SaslHandshakeRequest SaslHandshakeRequestData yes;
    sasl_handshake SaslHandshakeResponse SaslHandshakeResponseData yes;
    api_versions ApiVersionsRequest ApiVersionsRequestData yes;
    api_versions ApiVersionsResponse ApiVersionsResponseData yes;
    create_topics CreateTopicsRequest CreateTopicsRequestData yes;
    create_topics CreateTopicsResponse CreateTopicsResponseData yes;
    delete_topics DeleteTopicsRequest DeleteTopicsRequestData yes;
    delete_topics DeleteTopicsResponse DeleteTopicsResponseData yes;
    delete_records DeleteRecordsRequest DeleteRecordsRequestData yes;
    delete_records DeleteRecordsResponse DeleteRecordsResponseData yes;
    init_producer_id InitProducerIdRequest InitProducerIdRequestData yes;
    init_producer_id InitProducerIdResponse InitProducerIdResponseData yes;
    offset_for_leader_epoch OffsetForLeaderEpochRequest OffsetForLeaderEpochRequestData yes;
    offset_for_leader_epoch OffsetForLeaderEpochResponse OffsetForLeaderEpochResponseData yes;
    add_partitions_to_txn AddPartitionsToTxnRequest AddPartitionsToTxnRequestData yes;
    add_partitions_to_txn AddPartitionsToTxnResponse AddPartitionsToTxnResponseData yes;
    add_offsets_to_txn AddOffsetsToTxnRequest AddOffsetsToTxnRequestData yes;
    add_offsets_to_txn AddOffsetsToTxnResponse AddOffsetsToTxnResponseData yes;
    end_txn EndTxnRequest EndTxnRequestData yes;
    end_txn EndTxnResponse EndTxnResponseData yes;
    write_txn_markers WriteTxnMarkersRequest WriteTxnMarkersRequestData yes;
    write_txn_markers WriteTxnMarkersResponse WriteTxnMarkersResponseData yes;
    txn_offset_commit TxnOffsetCommitRequest TxnOffsetCommitRequestData yes;
    txn_offset_commit TxnOffsetCommitResponse TxnOffsetCommitResponseData yes;
    describe_acls DescribeAclsRequest DescribeAclsRequestData yes;
    describe_acls DescribeAclsResponse DescribeAclsResponseData yes;
    create_acls CreateAclsRequest CreateAclsRequestData yes;
    create_acls CreateAclsResponse CreateAclsResponseData yes;
    delete_acls DeleteAclsRequest DeleteAclsRequestData yes;
    delete_acls DeleteAclsResponse DeleteAclsResponseData yes;
    describe_configs DescribeConfigsRequest DescribeConfigsRequestData yes;
    describe_configs DescribeConfigsResponse DescribeConfigsResponseData yes;
    alter_configs AlterConfigsRequest AlterConfigsRequestData yes;
    alter_configs AlterConfigsResponse AlterConfigsResponseData yes;
    alter_replica_log_dirs AlterReplicaLogDirsRequest AlterReplicaLogDirsRequestData yes;
    alter_replica_log_dirs AlterReplicaLogDirsResponse AlterReplicaLogDirsResponseData yes;
    describe_log_dirs DescribeLogDirsRequest DescribeLogDirsRequestData yes;
    describe_log_dirs DescribeLogDirsResponse DescribeLogDirsResponseData yes;
    sasl_authenticate SaslAuthenticateRequest SaslAuthenticateRequestData yes;
    sasl_authenticate SaslAuthenticateResponse SaslAuthenticateResponseData yes;
    create_partitions CreatePartitionsRequest CreatePartitionsRequestData yes;
    create_partitions CreatePartitionsResponse CreatePartitionsResponseData yes;
    create_delegation_token CreateDelegationTokenRequest CreateDelegationTokenRequestData yes;
    create_delegation_token CreateDelegationTokenResponse CreateDelegationTokenResponseData yes;
    renew_delegation_token RenewDelegationTokenRequest RenewDelegationTokenRequestData yes;
    renew_delegation_token RenewDelegationTokenResponse RenewDelegationTokenResponseData yes;
    expire_delegation_token ExpireDelegationTokenRequest ExpireDelegationTokenRequestData yes;
    expire_delegation_token ExpireDelegationTokenResponse ExpireDelegationTokenResponseData yes;
    describe_delegation_token DescribeDelegationTokenRequest DescribeDelegationTokenRequestData yes;
    describe_delegation_token DescribeDelegationTokenResponse DescribeDelegationTokenResponseData yes;
    delete_groups DeleteGroupsRequest DeleteGroupsRequestData yes;
    delete_groups DeleteGroupsResponse DeleteGroupsResponseData yes;
    elect_leaders ElectLeadersRequest ElectLeadersRequestData yes;
    elect_leaders ElectLeadersResponse ElectLeadersResponseData yes;
    incremental_alter_configs IncrementalAlterConfigsRequest IncrementalAlterConfigsRequestData yes;
    incremental_alter_configs IncrementalAlterConfigsResponse IncrementalAlterConfigsResponseData yes;
    alter_partition_reassignments AlterPartitionReassignmentsRequest AlterPartitionReassignmentsRequestData yes;
    alter_partition_reassignments AlterPartitionReassignmentsResponse AlterPartitionReassignmentsResponseData yes;
    list_partition_reassignments ListPartitionReassignmentsRequest ListPartitionReassignmentsRequestData yes;
    list_partition_reassignments ListPartitionReassignmentsResponse ListPartitionReassignmentsResponseData yes;
    offset_delete OffsetDeleteRequest OffsetDeleteRequestData yes;
    offset_delete OffsetDeleteResponse OffsetDeleteResponseData yes;
    describe_client_quotas DescribeClientQuotasRequest DescribeClientQuotasRequestData yes;
    describe_client_quotas DescribeClientQuotasResponse DescribeClientQuotasResponseData yes;
    alter_client_quotas AlterClientQuotasRequest AlterClientQuotasRequestData yes;
    alter_client_quotas AlterClientQuotasResponse AlterClientQuotasResponseData yes;
    describe_user_scram_credentials DescribeUserScramCredentialsRequest DescribeUserScramCredentialsRequestData yes;
    describe_user_scram_credentials DescribeUserScramCredentialsResponse DescribeUserScramCredentialsResponseData yes;
    alter_user_scram_credentials AlterUserScramCredentialsRequest AlterUserScramCredentialsRequestData yes;
    alter_user_scram_credentials AlterUserScramCredentialsResponse AlterUserScramCredentialsResponseData yes;
    describe_quorum DescribeQuorumRequest DescribeQuorumRequestData yes;
    describe_quorum DescribeQuorumResponse DescribeQuorumResponseData yes;
    update_features UpdateFeaturesRequest UpdateFeaturesRequestData yes;
    update_features UpdateFeaturesResponse UpdateFeaturesResponseData yes;
    describe_cluster DescribeClusterRequest DescribeClusterRequestData yes;
    describe_cluster DescribeClusterResponse DescribeClusterResponseData yes;
    describe_producers DescribeProducersRequest DescribeProducersRequestData yes;
    describe_producers DescribeProducersResponse DescribeProducersResponseData yes;
    unregister_broker UnregisterBrokerRequest UnregisterBrokerRequestData yes;
    unregister_broker UnregisterBrokerResponse UnregisterBrokerResponseData yes;
    describe_transactions DescribeTransactionsRequest DescribeTransactionsRequestData yes;
    describe_transactions DescribeTransactionsResponse DescribeTransactionsResponseData yes;
    list_transactions ListTransactionsRequest ListTransactionsRequestData yes;
    list_transactions ListTransactionsResponse ListTransactionsResponseData yes;
    consumer_group_heartbeat ConsumerGroupHeartbeatRequest ConsumerGroupHeartbeatRequestData yes;
    consumer_group_heartbeat ConsumerGroupHeartbeatResponse ConsumerGroupHeartbeatResponseData yes;
    consumer_group_describe ConsumerGroupDescribeRequest ConsumerGroupDescribeRequestData yes;
    consumer_group_describe ConsumerGroupDescribeResponse ConsumerGroupDescribeResponseData yes;
    get_telemetry_subscriptions GetTelemetrySubscriptionsRequest GetTelemetrySubscriptionsRequestData yes;
    get_telemetry_subscriptions GetTelemetrySubscriptionsResponse GetTelemetrySubscriptionsResponseData yes;
    push_telemetry PushTelemetryRequest PushTelemetryRequestData yes;
    push_telemetry PushTelemetryResponse PushTelemetryResponseData yes;
    list_config_resources ListConfigResourcesRequest ListConfigResourcesRequestData yes;
    list_config_resources ListConfigResourcesResponse ListConfigResourcesResponseData yes;
    describe_topic_partitions DescribeTopicPartitionsRequest DescribeTopicPartitionsRequestData yes;
    describe_topic_partitions DescribeTopicPartitionsResponse DescribeTopicPartitionsResponseData yes;
    share_group_heartbeat ShareGroupHeartbeatRequest ShareGroupHeartbeatRequestData yes;
    share_group_heartbeat ShareGroupHeartbeatResponse ShareGroupHeartbeatResponseData yes;
    share_group_describe ShareGroupDescribeRequest ShareGroupDescribeRequestData yes;
    share_group_describe ShareGroupDescribeResponse ShareGroupDescribeResponseData yes;
    share_fetch ShareFetchRequest ShareFetchRequestData yes;
    share_fetch ShareFetchResponse ShareFetchResponseData yes;
    share_acknowledge ShareAcknowledgeRequest ShareAcknowledgeRequestData yes;
    share_acknowledge ShareAcknowledgeResponse ShareAcknowledgeResponseData yes;
    add_raft_voter AddRaftVoterRequest AddRaftVoterRequestData yes;
    add_raft_voter AddRaftVoterResponse AddRaftVoterResponseData yes;
    remove_raft_voter RemoveRaftVoterRequest RemoveRaftVoterRequestData yes;
    remove_raft_voter RemoveRaftVoterResponse RemoveRaftVoterResponseData yes;
    streams_group_heartbeat StreamsGroupHeartbeatRequest StreamsGroupHeartbeatRequestData no;
    streams_group_heartbeat StreamsGroupHeartbeatResponse StreamsGroupHeartbeatResponseData no;
    streams_group_describe StreamsGroupDescribeRequest StreamsGroupDescribeRequestData no;
    streams_group_describe StreamsGroupDescribeResponse StreamsGroupDescribeResponseData no;
    describe_share_group_offsets DescribeShareGroupOffsetsRequest DescribeShareGroupOffsetsRequestData yes;
    describe_share_group_offsets DescribeShareGroupOffsetsResponse DescribeShareGroupOffsetsResponseData yes;
    alter_share_group_offsets AlterShareGroupOffsetsRequest AlterShareGroupOffsetsRequestData yes;
    alter_share_group_offsets AlterShareGroupOffsetsResponse AlterShareGroupOffsetsResponseData yes;
    delete_share_group_offsets DeleteShareGroupOffsetsRequest DeleteShareGroupOffsetsRequestData yes;
    delete_share_group_offsets DeleteShareGroupOffsetsResponse DeleteShareGroupOffsetsResponseData yes;
    consumer_protocol ConsumerProtocolSubscription ConsumerProtocolSubscriptionData yes;
    consumer_protocol ConsumerProtocolAssignment ConsumerProtocolAssignmentData yes;
}
