//! DescribeQuorum (key 55): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeQuorumRequest<'a> {
    /// The topics to describe.
    pub topics: List<'a, TopicData<'a>>,
}

impl<'a> Wire<'a> for DescribeQuorumRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to describe.
#[derive(Clone, Debug, Default)]
pub struct TopicData<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The partitions to describe.
    pub partitions: List<'a, PartitionData>,
}

impl<'a> Wire<'a> for TopicData<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The partitions to describe.
#[derive(Clone, Debug, Default)]
pub struct PartitionData {
    /// The partition index.
    pub partition_index: i32,
}

impl<'a> Wire<'a> for PartitionData {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeQuorumRequest<'a> {
    const API_KEY: i16 = 55;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct DescribeQuorumResponse<'a> {
    /// The top level error code.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The response from the describe quorum API.
    pub topics: List<'a, ResponseTopicData<'a>>,
    /// The nodes in the quorum.
    pub nodes: List<'a, Node<'a>>,
}

impl Default for DescribeQuorumResponse<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            topics: List::default(),
            nodes: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeQuorumResponse<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
            error_message: if version >= 2 {
                reader.nullable_string()?
            } else {
                Some(Str::default())
            },
            topics: List::read(reader)?,
            nodes: if version >= 2 {
                List::read(reader)?
            } else {
                List::default()
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i16(self.error_code);
        if version >= 2 {
            writer.nullable_string(self.error_message.as_deref())?;
        }
        self.topics.write(writer)?;
        if version >= 2 {
            self.nodes.write(writer)?;
        } else {
            writer.absent(!self.nodes.is_empty(), "Nodes")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The response from the describe quorum API.
#[derive(Clone, Debug, Default)]
pub struct ResponseTopicData<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The partition data.
    pub partitions: List<'a, ResponsePartitionData<'a>>,
}

impl<'a> Wire<'a> for ResponseTopicData<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The partition data.
#[derive(Clone, Debug)]
pub struct ResponsePartitionData<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The partition error code.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The ID of the current leader or -1 if the leader is unknown.
    pub leader_id: i32,
    /// The latest known leader epoch.
    pub leader_epoch: i32,
    /// The high water mark.
    pub high_watermark: i64,
    /// The current voters of the partition.
    pub current_voters: List<'a, ReplicaState>,
    /// The observers of the partition.
    pub observers: List<'a, ReplicaState>,
}

impl Default for ResponsePartitionData<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            leader_id: 0,
            leader_epoch: 0,
            high_watermark: 0,
            current_voters: List::default(),
            observers: List::default(),
        }
    }
}

impl<'a> Wire<'a> for ResponsePartitionData<'a> {
    const BYTES_MIN: usize = 25;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
            error_message: if version >= 2 {
                reader.nullable_string()?
            } else {
                Some(Str::default())
            },
            leader_id: reader.i32()?,
            leader_epoch: reader.i32()?,
            high_watermark: reader.i64()?,
            current_voters: List::read(reader)?,
            observers: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        if version >= 2 {
            writer.nullable_string(self.error_message.as_deref())?;
        }
        writer.i32(self.leader_id);
        writer.i32(self.leader_epoch);
        writer.i64(self.high_watermark);
        self.current_voters.write(writer)?;
        self.observers.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The nodes in the quorum.
#[derive(Clone, Debug, Default)]
pub struct Node<'a> {
    /// The ID of the associated node.
    pub node_id: i32,
    /// The listeners of this controller.
    pub listeners: List<'a, Listener<'a>>,
}

impl<'a> Wire<'a> for Node<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            node_id: reader.i32()?,
            listeners: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.node_id);
        self.listeners.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The listeners of this controller.
#[derive(Clone, Debug, Default)]
pub struct Listener<'a> {
    /// The name of the endpoint.
    pub name: Str<'a>,
    /// The hostname.
    pub host: Str<'a>,
    /// The port.
    pub port: u16,
}

impl<'a> Wire<'a> for Listener<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            host: reader.string()?,
            port: reader.u16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.string(&self.host)?;
        writer.u16(self.port);
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug)]
pub struct ReplicaState {
    /// The ID of the replica.
    pub replica_id: i32,
    /// The replica directory ID of the replica.
    pub replica_directory_id: TopicId,
    /// The last known log end offset of the follower or -1 if it is unknown.
    pub log_end_offset: i64,
    /// The last known leader wall clock time time when a follower fetched from the leader. This is reported as -1 both for the current leader or if it is unknown for a voter.
    pub last_fetch_timestamp: i64,
    /// The leader wall clock append time of the offset for which the follower made the most recent fetch request. This is reported as the current time for the leader and -1 if unknown for a voter.
    pub last_caught_up_timestamp: i64,
}

impl Default for ReplicaState {
    fn default() -> Self {
        Self {
            replica_id: 0,
            replica_directory_id: TopicId::ZERO,
            log_end_offset: 0,
            last_fetch_timestamp: -1,
            last_caught_up_timestamp: -1,
        }
    }
}

impl<'a> Wire<'a> for ReplicaState {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            replica_id: reader.i32()?,
            replica_directory_id: if version >= 2 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            log_end_offset: reader.i64()?,
            last_fetch_timestamp: if version >= 1 { reader.i64()? } else { -1 },
            last_caught_up_timestamp: if version >= 1 { reader.i64()? } else { -1 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.replica_id);
        if version >= 2 {
            writer.uuid(self.replica_directory_id);
        } else {
            writer.absent(
                self.replica_directory_id != TopicId::ZERO,
                "ReplicaDirectoryId",
            )?;
        }
        writer.i64(self.log_end_offset);
        if version >= 1 {
            writer.i64(self.last_fetch_timestamp);
            writer.i64(self.last_caught_up_timestamp);
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeQuorumResponse<'a> {
    const API_KEY: i16 = 55;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}
