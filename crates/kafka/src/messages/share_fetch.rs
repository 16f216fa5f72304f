//! ShareFetch (key 78): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Records, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct ShareFetchRequest<'a> {
    /// The group identifier.
    pub group_id: Option<Str<'a>>,
    /// The member ID.
    pub member_id: Option<Str<'a>>,
    /// The current share session epoch: 0 to open a share session; -1 to close it; otherwise increments for consecutive requests.
    pub share_session_epoch: i32,
    /// The maximum time in milliseconds to wait for the response.
    pub max_wait_ms: i32,
    /// The minimum bytes to accumulate in the response.
    pub min_bytes: i32,
    /// The maximum bytes to fetch. See KIP-74 for cases where this limit may not be honored.
    pub max_bytes: i32,
    /// The maximum number of records to fetch. This limit can be exceeded for alignment of batch boundaries.
    pub max_records: i32,
    /// The optimal number of records for batches of acquired records and acknowledgements.
    pub batch_size: i32,
    /// The acquire mode to control the fetch behavior - 0:batch-optimized,1:record-limit.
    pub share_acquire_mode: i8,
    /// Whether Renew type acknowledgements present in AcknowledgementBatches.
    pub is_renew_ack: bool,
    /// The topics to fetch.
    pub topics: List<'a, FetchTopic<'a>>,
    /// The partitions to remove from this share session.
    pub forgotten_topics_data: List<'a, ForgottenTopic<'a>>,
}

impl Default for ShareFetchRequest<'_> {
    fn default() -> Self {
        Self {
            group_id: None,
            member_id: Some(Str::default()),
            share_session_epoch: 0,
            max_wait_ms: 0,
            min_bytes: 0,
            max_bytes: 2147483647,
            max_records: 0,
            batch_size: 0,
            share_acquire_mode: 0,
            is_renew_ack: false,
            topics: List::default(),
            forgotten_topics_data: List::default(),
        }
    }
}

impl<'a> Wire<'a> for ShareFetchRequest<'a> {
    const BYTES_MIN: usize = 29;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.nullable_string()?,
            member_id: reader.nullable_string()?,
            share_session_epoch: reader.i32()?,
            max_wait_ms: reader.i32()?,
            min_bytes: reader.i32()?,
            max_bytes: reader.i32()?,
            max_records: reader.i32()?,
            batch_size: reader.i32()?,
            share_acquire_mode: if version >= 2 { reader.i8()? } else { 0 },
            is_renew_ack: if version >= 2 { reader.bool()? } else { false },
            topics: List::read(reader)?,
            forgotten_topics_data: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.nullable_string(self.group_id.as_deref())?;
        writer.nullable_string(self.member_id.as_deref())?;
        writer.i32(self.share_session_epoch);
        writer.i32(self.max_wait_ms);
        writer.i32(self.min_bytes);
        writer.i32(self.max_bytes);
        writer.i32(self.max_records);
        writer.i32(self.batch_size);
        if version >= 2 {
            writer.i8(self.share_acquire_mode);
            writer.bool(self.is_renew_ack);
        } else {
            writer.absent(self.is_renew_ack, "IsRenewAck")?;
        }
        self.topics.write(writer)?;
        self.forgotten_topics_data.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchTopic<'a> {
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The partitions to fetch.
    pub partitions: List<'a, FetchPartition<'a>>,
}

impl<'a> Wire<'a> for FetchTopic<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_id: reader.uuid()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.uuid(self.topic_id);
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The partitions to fetch.
#[derive(Clone, Debug, Default)]
pub struct FetchPartition<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// Record batches to acknowledge.
    pub acknowledgement_batches: List<'a, AcknowledgementBatch<'a>>,
}

impl<'a> Wire<'a> for FetchPartition<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            acknowledgement_batches: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        self.acknowledgement_batches.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Record batches to acknowledge.
#[derive(Clone, Debug, Default)]
pub struct AcknowledgementBatch<'a> {
    /// First offset of batch of records to acknowledge.
    pub first_offset: i64,
    /// Last offset (inclusive) of batch of records to acknowledge.
    pub last_offset: i64,
    /// Array of acknowledge types - 0:Gap,1:Accept,2:Release,3:Reject,4:Renew.
    pub acknowledge_types: List<'a, i8>,
}

impl<'a> Wire<'a> for AcknowledgementBatch<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            first_offset: reader.i64()?,
            last_offset: reader.i64()?,
            acknowledge_types: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i64(self.first_offset);
        writer.i64(self.last_offset);
        self.acknowledge_types.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The partitions to remove from this share session.
#[derive(Clone, Debug, Default)]
pub struct ForgottenTopic<'a> {
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The partitions indexes to forget.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for ForgottenTopic<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_id: reader.uuid()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.uuid(self.topic_id);
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ShareFetchRequest<'a> {
    const API_KEY: i16 = 78;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct ShareFetchResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top-level response error code.
    pub error_code: i16,
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The time in milliseconds for which the acquired records are locked.
    pub acquisition_lock_timeout_ms: i32,
    /// The response topics.
    pub responses: List<'a, ShareFetchableTopicResponse<'a>>,
    /// Endpoints for all current leaders enumerated in PartitionData with error NOT_LEADER_OR_FOLLOWER.
    pub node_endpoints: List<'a, NodeEndpoint<'a>>,
}

impl<'a> Wire<'a> for ShareFetchResponse<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            acquisition_lock_timeout_ms: reader.i32()?,
            responses: List::read(reader)?,
            node_endpoints: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.i32(self.acquisition_lock_timeout_ms);
        self.responses.write(writer)?;
        self.node_endpoints.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The response topics.
#[derive(Clone, Debug, Default)]
pub struct ShareFetchableTopicResponse<'a> {
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The topic partitions.
    pub partitions: List<'a, PartitionData<'a>>,
}

impl<'a> Wire<'a> for ShareFetchableTopicResponse<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_id: reader.uuid()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.uuid(self.topic_id);
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topic partitions.
#[derive(Clone, Debug, Default)]
pub struct PartitionData<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The fetch error code, or 0 if there was no fetch error.
    pub error_code: i16,
    /// The fetch error message, or null if there was no fetch error.
    pub error_message: Option<Str<'a>>,
    /// The acknowledge error code, or 0 if there was no acknowledge error.
    pub acknowledge_error_code: i16,
    /// The acknowledge error message, or null if there was no acknowledge error.
    pub acknowledge_error_message: Option<Str<'a>>,
    /// The current leader of the partition.
    pub current_leader: LeaderIdAndEpoch,
    /// The record data.
    pub records: Records<'a>,
    /// The acquired records.
    pub acquired_records: List<'a, AcquiredRecords>,
}

impl<'a> Wire<'a> for PartitionData<'a> {
    const BYTES_MIN: usize = 22;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            acknowledge_error_code: reader.i16()?,
            acknowledge_error_message: reader.nullable_string()?,
            current_leader: LeaderIdAndEpoch::read(reader)?,
            records: reader.records()?,
            acquired_records: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.i16(self.acknowledge_error_code);
        writer.nullable_string(self.acknowledge_error_message.as_deref())?;
        self.current_leader.write(writer)?;
        writer.records(&self.records)?;
        self.acquired_records.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The current leader of the partition.
#[derive(Clone, Debug, Default)]
pub struct LeaderIdAndEpoch {
    /// The ID of the current leader or -1 if the leader is unknown.
    pub leader_id: i32,
    /// The latest known leader epoch.
    pub leader_epoch: i32,
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

/// The acquired records.
#[derive(Clone, Debug, Default)]
pub struct AcquiredRecords {
    /// The earliest offset in this batch of acquired records.
    pub first_offset: i64,
    /// The last offset of this batch of acquired records.
    pub last_offset: i64,
    /// The delivery count of this batch of acquired records.
    pub delivery_count: i16,
}

impl<'a> Wire<'a> for AcquiredRecords {
    const BYTES_MIN: usize = 19;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            first_offset: reader.i64()?,
            last_offset: reader.i64()?,
            delivery_count: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i64(self.first_offset);
        writer.i64(self.last_offset);
        writer.i16(self.delivery_count);
        writer.no_tags();
        Ok(())
    }
}

/// Endpoints for all current leaders enumerated in PartitionData with error NOT_LEADER_OR_FOLLOWER.
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

impl<'a> Message<'a> for ShareFetchResponse<'a> {
    const API_KEY: i16 = 78;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}
