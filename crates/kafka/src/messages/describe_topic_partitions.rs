//! DescribeTopicPartitions (key 75): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct DescribeTopicPartitionsRequest<'a> {
    /// The topics to fetch details for.
    pub topics: List<'a, TopicRequest<'a>>,
    /// The maximum number of partitions included in the response.
    pub response_partition_limit: i32,
    /// The first topic and partition index to fetch details for.
    pub cursor: Option<Cursor<'a>>,
}

impl Default for DescribeTopicPartitionsRequest<'_> {
    fn default() -> Self {
        Self {
            topics: List::default(),
            response_partition_limit: 2000,
            cursor: None,
        }
    }
}

impl<'a> Wire<'a> for DescribeTopicPartitionsRequest<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read(reader)?,
            response_partition_limit: reader.i32()?,
            cursor: reader.nullable()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topics.write(writer)?;
        writer.i32(self.response_partition_limit);
        writer.nullable(self.cursor.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to fetch details for.
#[derive(Clone, Debug, Default)]
pub struct TopicRequest<'a> {
    /// The topic name.
    pub name: Str<'a>,
}

impl<'a> Wire<'a> for TopicRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.no_tags();
        Ok(())
    }
}

/// The first topic and partition index to fetch details for.
#[derive(Clone, Debug, Default)]
pub struct Cursor<'a> {
    /// The name for the first topic to process.
    pub topic_name: Str<'a>,
    /// The partition index to start with.
    pub partition_index: i32,
}

impl<'a> Wire<'a> for Cursor<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
            partition_index: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        writer.i32(self.partition_index);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeTopicPartitionsRequest<'a> {
    const API_KEY: i16 = 75;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeTopicPartitionsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each topic in the response.
    pub topics: List<'a, DescribeTopicPartitionsResponseTopic<'a>>,
    /// The next topic and partition index to fetch details for.
    pub next_cursor: Option<ResponseCursor<'a>>,
}

impl<'a> Wire<'a> for DescribeTopicPartitionsResponse<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            topics: List::read(reader)?,
            next_cursor: reader.nullable()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.topics.write(writer)?;
        writer.nullable(self.next_cursor.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic in the response.
#[derive(Clone, Debug)]
pub struct DescribeTopicPartitionsResponseTopic<'a> {
    /// The topic error, or 0 if there was no error.
    pub error_code: i16,
    /// The topic name.
    pub name: Option<Str<'a>>,
    /// The topic id.
    pub topic_id: TopicId,
    /// True if the topic is internal.
    pub is_internal: bool,
    /// Each partition in the topic.
    pub partitions: List<'a, DescribeTopicPartitionsResponsePartition<'a>>,
    /// 32-bit bitfield to represent authorized operations for this topic.
    pub topic_authorized_operations: i32,
}

impl Default for DescribeTopicPartitionsResponseTopic<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            name: Some(Str::default()),
            topic_id: TopicId::ZERO,
            is_internal: false,
            partitions: List::default(),
            topic_authorized_operations: -2147483648,
        }
    }
}

impl<'a> Wire<'a> for DescribeTopicPartitionsResponseTopic<'a> {
    const BYTES_MIN: usize = 26;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            name: reader.nullable_string()?,
            topic_id: reader.uuid()?,
            is_internal: reader.bool()?,
            partitions: List::read(reader)?,
            topic_authorized_operations: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.name.as_deref())?;
        writer.uuid(self.topic_id);
        writer.bool(self.is_internal);
        self.partitions.write(writer)?;
        writer.i32(self.topic_authorized_operations);
        writer.no_tags();
        Ok(())
    }
}

/// Each partition in the topic.
#[derive(Clone, Debug)]
pub struct DescribeTopicPartitionsResponsePartition<'a> {
    /// The partition error, or 0 if there was no error.
    pub error_code: i16,
    /// The partition index.
    pub partition_index: i32,
    /// The ID of the leader broker.
    pub leader_id: i32,
    /// The leader epoch of this partition.
    pub leader_epoch: i32,
    /// The set of all nodes that host this partition.
    pub replica_nodes: List<'a, i32>,
    /// The set of nodes that are in sync with the leader for this partition.
    pub isr_nodes: List<'a, i32>,
    /// The new eligible leader replicas otherwise.
    pub eligible_leader_replicas: Option<List<'a, i32>>,
    /// The last known ELR.
    pub last_known_elr: Option<List<'a, i32>>,
    /// The set of offline replicas of this partition.
    pub offline_replicas: List<'a, i32>,
}

impl Default for DescribeTopicPartitionsResponsePartition<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            partition_index: 0,
            leader_id: 0,
            leader_epoch: -1,
            replica_nodes: List::default(),
            isr_nodes: List::default(),
            eligible_leader_replicas: None,
            last_known_elr: None,
            offline_replicas: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeTopicPartitionsResponsePartition<'a> {
    const BYTES_MIN: usize = 20;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            partition_index: reader.i32()?,
            leader_id: reader.i32()?,
            leader_epoch: reader.i32()?,
            replica_nodes: List::read(reader)?,
            isr_nodes: List::read(reader)?,
            eligible_leader_replicas: List::read_nullable(reader)?,
            last_known_elr: List::read_nullable(reader)?,
            offline_replicas: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.i32(self.partition_index);
        writer.i32(self.leader_id);
        writer.i32(self.leader_epoch);
        self.replica_nodes.write(writer)?;
        self.isr_nodes.write(writer)?;
        writer.nullable_list(self.eligible_leader_replicas.as_ref())?;
        writer.nullable_list(self.last_known_elr.as_ref())?;
        self.offline_replicas.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The next topic and partition index to fetch details for.
#[derive(Clone, Debug, Default)]
pub struct ResponseCursor<'a> {
    /// The name for the first topic to process.
    pub topic_name: Str<'a>,
    /// The partition index to start with.
    pub partition_index: i32,
}

impl<'a> Wire<'a> for ResponseCursor<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
            partition_index: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        writer.i32(self.partition_index);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeTopicPartitionsResponse<'a> {
    const API_KEY: i16 = 75;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
