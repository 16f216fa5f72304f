//! Fetch (key 1): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Records, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct FetchRequest<'a> {
    /// The clusterId if known. This is used to validate metadata fetches prior to broker registration.
    pub cluster_id: Option<Str<'a>>,
    /// The broker ID of the follower, of -1 if this request is from a consumer.
    pub replica_id: i32,
    /// The state of the replica in the follower.
    pub replica_state: ReplicaState,
    /// The maximum time in milliseconds to wait for the response.
    pub max_wait_ms: i32,
    /// The minimum bytes to accumulate in the response.
    pub min_bytes: i32,
    /// The maximum bytes to fetch. See KIP-74 for cases where this limit may not be honored.
    pub max_bytes: i32,
    /// This setting controls the visibility of transactional records. Using READ_UNCOMMITTED (isolation_level = 0) makes all records visible. With READ_COMMITTED (isolation_level = 1), non-transactional and COMMITTED transactional records are visible. To be more concrete, READ_COMMITTED returns all data from offsets smaller than the current LSO (last stable offset), and enables the inclusion of the list of aborted transactions in the result, which allows consumers to discard ABORTED transactional records.
    pub isolation_level: i8,
    /// The fetch session ID.
    pub session_id: i32,
    /// The fetch session epoch, which is used for ordering requests in a session.
    pub session_epoch: i32,
    /// The topics to fetch.
    pub topics: List<'a, FetchTopic<'a>>,
    /// In an incremental fetch request, the partitions to remove.
    pub forgotten_topics_data: List<'a, ForgottenTopic<'a>>,
    /// Rack ID of the consumer making this request.
    pub rack_id: Str<'a>,
}

impl Default for FetchRequest<'_> {
    fn default() -> Self {
        Self {
            cluster_id: None,
            replica_id: -1,
            replica_state: ReplicaState::default(),
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 2147483647,
            isolation_level: 0,
            session_id: 0,
            session_epoch: -1,
            topics: List::default(),
            forgotten_topics_data: List::default(),
            rack_id: Str::default(),
        }
    }
}

impl<'a> Wire<'a> for FetchRequest<'a> {
    const BYTES_MIN: usize = 21;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            cluster_id: None,
            replica_id: if version <= 14 { reader.i32()? } else { -1 },
            replica_state: ReplicaState::default(),
            max_wait_ms: reader.i32()?,
            min_bytes: reader.i32()?,
            max_bytes: reader.i32()?,
            isolation_level: reader.i8()?,
            session_id: if version >= 7 { reader.i32()? } else { 0 },
            session_epoch: if version >= 7 { reader.i32()? } else { -1 },
            topics: List::read(reader)?,
            forgotten_topics_data: if version >= 7 {
                List::read(reader)?
            } else {
                List::default()
            },
            rack_id: if version >= 11 {
                reader.string()?
            } else {
                Str::default()
            },
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 => item.cluster_id = field.nullable_string()?,
                1 if version >= 15 => item.replica_state = ReplicaState::read(&mut field)?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 14 {
            writer.i32(self.replica_id);
        } else {
            writer.absent(self.replica_id != -1, "ReplicaId")?;
        }
        writer.i32(self.max_wait_ms);
        writer.i32(self.min_bytes);
        writer.i32(self.max_bytes);
        writer.i8(self.isolation_level);
        if version >= 7 {
            writer.i32(self.session_id);
            writer.i32(self.session_epoch);
        }
        self.topics.write(writer)?;
        if version >= 7 {
            self.forgotten_topics_data.write(writer)?;
        } else {
            writer.absent(
                !self.forgotten_topics_data.is_empty(),
                "ForgottenTopicsData",
            )?;
        }
        if version >= 11 {
            writer.string(&self.rack_id)?;
        }
        if version >= 12 {
            let tags = writer.tags();
            if self.cluster_id.is_some() {
                writer.tag(tags, 0, |writer| {
                    writer.nullable_string(self.cluster_id.as_deref())
                })?;
            }
            if version >= 15 {
                if self.replica_state != ReplicaState::default() {
                    writer.tag(tags, 1, |writer| self.replica_state.write(writer))?;
                }
            } else {
                writer.absent(
                    self.replica_state != ReplicaState::default(),
                    "ReplicaState",
                )?;
            }
        } else {
            writer.absent(
                self.replica_state != ReplicaState::default(),
                "ReplicaState",
            )?;
        }
        Ok(())
    }
}

/// The state of the replica in the follower.
#[derive(Clone, Debug, PartialEq)]
pub struct ReplicaState {
    /// The replica ID of the follower, or -1 if this request is from a consumer.
    pub replica_id: i32,
    /// The epoch of this follower, or -1 if not available.
    pub replica_epoch: i64,
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self {
            replica_id: -1,
            replica_epoch: -1,
        }
    }
}

impl<'a> Wire<'a> for ReplicaState {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            replica_id: reader.i32()?,
            replica_epoch: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.replica_id);
        writer.i64(self.replica_epoch);
        writer.no_tags();
        Ok(())
    }
}

/// The topics to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchTopic<'a> {
    /// The name of the topic to fetch.
    pub topic: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The partitions to fetch.
    pub partitions: List<'a, FetchPartition>,
}

impl<'a> Wire<'a> for FetchTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            topic: if version <= 12 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 13 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 12 {
            writer.string(&self.topic)?;
        }
        if version >= 13 {
            writer.uuid(self.topic_id);
        }
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The partitions to fetch.
#[derive(Clone, Debug)]
pub struct FetchPartition {
    /// The partition index.
    pub partition: i32,
    /// The current leader epoch of the partition.
    pub current_leader_epoch: i32,
    /// The message offset.
    pub fetch_offset: i64,
    /// The epoch of the last fetched record or -1 if there is none.
    pub last_fetched_epoch: i32,
    /// The earliest available offset of the follower replica. The field is only used when the request is sent by the follower.
    pub log_start_offset: i64,
    /// The maximum bytes to fetch from this partition. See KIP-74 for cases where this limit may not be honored.
    pub partition_max_bytes: i32,
    /// The directory id of the follower fetching.
    pub replica_directory_id: TopicId,
    /// The high-watermark known by the replica. -1 if the high-watermark is not known and 9223372036854775807 if the feature is not supported.
    pub high_watermark: i64,
}

impl Default for FetchPartition {
    fn default() -> Self {
        Self {
            partition: 0,
            current_leader_epoch: -1,
            fetch_offset: 0,
            last_fetched_epoch: -1,
            log_start_offset: -1,
            partition_max_bytes: 0,
            replica_directory_id: TopicId::ZERO,
            high_watermark: 9223372036854775807,
        }
    }
}

impl<'a> Wire<'a> for FetchPartition {
    const BYTES_MIN: usize = 16;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            partition: reader.i32()?,
            current_leader_epoch: if version >= 9 { reader.i32()? } else { -1 },
            fetch_offset: reader.i64()?,
            last_fetched_epoch: if version >= 12 { reader.i32()? } else { -1 },
            log_start_offset: if version >= 5 { reader.i64()? } else { -1 },
            partition_max_bytes: reader.i32()?,
            replica_directory_id: TopicId::ZERO,
            high_watermark: 9223372036854775807,
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 if version >= 17 => item.replica_directory_id = field.uuid()?,
                1 if version >= 18 => item.high_watermark = field.i64()?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition);
        if version >= 9 {
            writer.i32(self.current_leader_epoch);
        }
        writer.i64(self.fetch_offset);
        if version >= 12 {
            writer.i32(self.last_fetched_epoch);
        } else {
            writer.absent(self.last_fetched_epoch != -1, "LastFetchedEpoch")?;
        }
        if version >= 5 {
            writer.i64(self.log_start_offset);
        }
        writer.i32(self.partition_max_bytes);
        if version >= 12 {
            let tags = writer.tags();
            if version >= 17 && self.replica_directory_id != TopicId::ZERO {
                writer.tag(tags, 0, |writer| {
                    writer.uuid(self.replica_directory_id);
                    Ok(())
                })?;
            }
            if version >= 18 && self.high_watermark != 9223372036854775807 {
                writer.tag(tags, 1, |writer| {
                    writer.i64(self.high_watermark);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// In an incremental fetch request, the partitions to remove.
#[derive(Clone, Debug, Default)]
pub struct ForgottenTopic<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The partitions indexes to forget.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for ForgottenTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            topic: if version <= 12 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 13 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 12 {
            writer.string(&self.topic)?;
        }
        if version >= 13 {
            writer.uuid(self.topic_id);
        }
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for FetchRequest<'a> {
    const API_KEY: i16 = 1;
    const MIN_VERSION: i16 = 4;
    const MAX_VERSION: i16 = 18;
    const FLEXIBLE_VERSION: i16 = 12;
}

#[derive(Clone, Debug, Default)]
pub struct FetchResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top level response error code.
    pub error_code: i16,
    /// The fetch session ID, or 0 if this is not part of a fetch session.
    pub session_id: i32,
    /// The response topics.
    pub responses: List<'a, FetchableTopicResponse<'a>>,
    /// Endpoints for all current-leaders enumerated in PartitionData, with errors NOT_LEADER_OR_FOLLOWER & FENCED_LEADER_EPOCH.
    pub node_endpoints: List<'a, NodeEndpoint<'a>>,
}

impl<'a> Wire<'a> for FetchResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: if version >= 7 { reader.i16()? } else { 0 },
            session_id: if version >= 7 { reader.i32()? } else { 0 },
            responses: List::read(reader)?,
            node_endpoints: List::default(),
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 if version >= 16 => item.node_endpoints = List::read(&mut field)?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        if version >= 7 {
            writer.i16(self.error_code);
            writer.i32(self.session_id);
        } else {
            writer.absent(self.session_id != 0, "SessionId")?;
        }
        self.responses.write(writer)?;
        if version >= 12 {
            let tags = writer.tags();
            if version >= 16 {
                if !self.node_endpoints.is_empty() {
                    writer.tag(tags, 0, |writer| self.node_endpoints.write(writer))?;
                }
            } else {
                writer.absent(!self.node_endpoints.is_empty(), "NodeEndpoints")?;
            }
        } else {
            writer.absent(!self.node_endpoints.is_empty(), "NodeEndpoints")?;
        }
        Ok(())
    }
}

/// The response topics.
#[derive(Clone, Debug, Default)]
pub struct FetchableTopicResponse<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The topic partitions.
    pub partitions: List<'a, PartitionData<'a>>,
}

impl<'a> Wire<'a> for FetchableTopicResponse<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            topic: if version <= 12 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 13 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 12 {
            writer.string(&self.topic)?;
        }
        if version >= 13 {
            writer.uuid(self.topic_id);
        }
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topic partitions.
#[derive(Clone, Debug)]
pub struct PartitionData<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no fetch error.
    pub error_code: i16,
    /// The current high water mark.
    pub high_watermark: i64,
    /// The last stable offset (or LSO) of the partition. This is the last offset such that the state of all transactional records prior to this offset have been decided (ABORTED or COMMITTED).
    pub last_stable_offset: i64,
    /// The current log start offset.
    pub log_start_offset: i64,
    /// In case divergence is detected based on the `LastFetchedEpoch` and `FetchOffset` in the request, this field indicates the largest epoch and its end offset such that subsequent records are known to diverge.
    pub diverging_epoch: EpochEndOffset,
    /// The current leader of the partition.
    pub current_leader: LeaderIdAndEpoch,
    /// In the case of fetching an offset less than the LogStartOffset, this is the end offset and epoch that should be used in the FetchSnapshot request.
    pub snapshot_id: SnapshotId,
    /// The aborted transactions.
    pub aborted_transactions: Option<List<'a, AbortedTransaction>>,
    /// The preferred read replica for the consumer to use on its next fetch request.
    pub preferred_read_replica: i32,
    /// The record data.
    pub records: Records<'a>,
}

impl Default for PartitionData<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            error_code: 0,
            high_watermark: 0,
            last_stable_offset: -1,
            log_start_offset: -1,
            diverging_epoch: EpochEndOffset::default(),
            current_leader: LeaderIdAndEpoch::default(),
            snapshot_id: SnapshotId::default(),
            aborted_transactions: Some(List::default()),
            preferred_read_replica: -1,
            records: Records::Null,
        }
    }
}

impl<'a> Wire<'a> for PartitionData<'a> {
    const BYTES_MIN: usize = 30;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
            high_watermark: reader.i64()?,
            last_stable_offset: reader.i64()?,
            log_start_offset: if version >= 5 { reader.i64()? } else { -1 },
            diverging_epoch: EpochEndOffset::default(),
            current_leader: LeaderIdAndEpoch::default(),
            snapshot_id: SnapshotId::default(),
            aborted_transactions: List::read_nullable(reader)?,
            preferred_read_replica: if version >= 11 { reader.i32()? } else { -1 },
            records: reader.records()?,
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 => item.diverging_epoch = EpochEndOffset::read(&mut field)?,
                1 => item.current_leader = LeaderIdAndEpoch::read(&mut field)?,
                2 => item.snapshot_id = SnapshotId::read(&mut field)?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        writer.i64(self.high_watermark);
        writer.i64(self.last_stable_offset);
        if version >= 5 {
            writer.i64(self.log_start_offset);
        }
        writer.nullable_list(self.aborted_transactions.as_ref())?;
        if version >= 11 {
            writer.i32(self.preferred_read_replica);
        } else {
            writer.absent(self.preferred_read_replica != -1, "PreferredReadReplica")?;
        }
        writer.records(&self.records)?;
        if version >= 12 {
            let tags = writer.tags();
            if self.diverging_epoch != EpochEndOffset::default() {
                writer.tag(tags, 0, |writer| self.diverging_epoch.write(writer))?;
            }
            if self.current_leader != LeaderIdAndEpoch::default() {
                writer.tag(tags, 1, |writer| self.current_leader.write(writer))?;
            }
            if self.snapshot_id != SnapshotId::default() {
                writer.tag(tags, 2, |writer| self.snapshot_id.write(writer))?;
            }
        } else {
            writer.absent(
                self.diverging_epoch != EpochEndOffset::default(),
                "DivergingEpoch",
            )?;
            writer.absent(
                self.current_leader != LeaderIdAndEpoch::default(),
                "CurrentLeader",
            )?;
            writer.absent(self.snapshot_id != SnapshotId::default(), "SnapshotId")?;
        }
        Ok(())
    }
}

/// In case divergence is detected based on the `LastFetchedEpoch` and `FetchOffset` in the request, this field indicates the largest epoch and its end offset such that subsequent records are known to diverge.
#[derive(Clone, Debug, PartialEq)]
pub struct EpochEndOffset {
    /// The largest epoch.
    pub epoch: i32,
    /// The end offset of the epoch.
    pub end_offset: i64,
}

impl Default for EpochEndOffset {
    fn default() -> Self {
        Self {
            epoch: -1,
            end_offset: -1,
        }
    }
}

impl<'a> Wire<'a> for EpochEndOffset {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            epoch: reader.i32()?,
            end_offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.epoch);
        writer.i64(self.end_offset);
        writer.no_tags();
        Ok(())
    }
}

/// The current leader of the partition.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The ID of the current leader or -1 if the leader is unknown.
    pub leader_id: i32,
    /// The latest known leader epoch.
    pub leader_epoch: i32,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> Self {
        Self {
            leader_id: -1,
            leader_epoch: -1,
        }
    }
}

impl<'a> Wire<'a> for LeaderIdAndEpoch {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            leader_id: reader.i32()?,
            leader_epoch: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.leader_id);
        writer.i32(self.leader_epoch);
        writer.no_tags();
        Ok(())
    }
}

/// In the case of fetching an offset less than the LogStartOffset, this is the end offset and epoch that should be used in the FetchSnapshot request.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotId {
    /// The end offset of the epoch.
    pub end_offset: i64,
    /// The largest epoch.
    pub epoch: i32,
}

impl Default for SnapshotId {
    fn default() -> Self {
        Self {
            end_offset: -1,
            epoch: -1,
        }
    }
}

impl<'a> Wire<'a> for SnapshotId {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            end_offset: reader.i64()?,
            epoch: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i64(self.end_offset);
        writer.i32(self.epoch);
        writer.no_tags();
        Ok(())
    }
}

/// The aborted transactions.
#[derive(Clone, Debug, Default)]
pub struct AbortedTransaction {
    /// The producer id associated with the aborted transaction.
    pub producer_id: i64,
    /// The first offset in the aborted transaction.
    pub first_offset: i64,
}

impl<'a> Wire<'a> for AbortedTransaction {
    const BYTES_MIN: usize = 16;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            producer_id: reader.i64()?,
            first_offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i64(self.producer_id);
        writer.i64(self.first_offset);
        writer.no_tags();
        Ok(())
    }
}

/// Endpoints for all current-leaders enumerated in PartitionData, with errors NOT_LEADER_OR_FOLLOWER & FENCED_LEADER_EPOCH.
#[derive(Clone, Debug, Default)]
pub struct NodeEndpoint<'a> {
    /// The ID of the associated node.
    pub node_id: i32,
    /// The node's hostname.
    pub host: Str<'a>,
    /// The node's port.
    pub port: i32,
    /// The rack of the node, or null if it has not been assigned to a rack.
    pub rack: Option<Str<'a>>,
}

impl<'a> Wire<'a> for NodeEndpoint<'a> {
    const BYTES_MIN: usize = 11;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            node_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            rack: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.node_id);
        writer.string(&self.host)?;
        writer.i32(self.port);
        writer.nullable_string(self.rack.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for FetchResponse<'a> {
    const API_KEY: i16 = 1;
    const MIN_VERSION: i16 = 4;
    const MAX_VERSION: i16 = 18;
    const FLEXIBLE_VERSION: i16 = 12;
}
