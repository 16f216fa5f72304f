//! OffsetCommit (key 8): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct OffsetCommitRequest<'a> {
    /// The unique group identifier.
    pub group_id: Str<'a>,
    /// The generation of the group if using the classic group protocol or the member epoch if using the consumer protocol.
    pub generation_id_or_member_epoch: i32,
    /// The member ID assigned by the group coordinator.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
    /// The time period in ms to retain the offset.
    pub retention_time_ms: i64,
    /// The topics to commit offsets for.
    pub topics: List<'a, OffsetCommitRequestTopic<'a>>,
}

impl Default for OffsetCommitRequest<'_> {
    fn default() -> Self {
        Self {
            group_id: Str::default(),
            generation_id_or_member_epoch: -1,
            member_id: Str::default(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: List::default(),
        }
    }
}

impl<'a> Wire<'a> for OffsetCommitRequest<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.string()?,
            generation_id_or_member_epoch: reader.i32()?,
            member_id: reader.string()?,
            group_instance_id: if version >= 7 {
                reader.nullable_string()?
            } else {
                None
            },
            retention_time_ms: if version <= 4 { reader.i64()? } else { -1 },
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.group_id)?;
        writer.i32(self.generation_id_or_member_epoch);
        writer.string(&self.member_id)?;
        if version >= 7 {
            writer.nullable_string(self.group_instance_id.as_deref())?;
        } else {
            writer.absent(self.group_instance_id.is_some(), "GroupInstanceId")?;
        }
        if version <= 4 {
            writer.i64(self.retention_time_ms);
        }
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to commit offsets for.
#[derive(Clone, Debug, Default)]
pub struct OffsetCommitRequestTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The topic ID.
    pub topic_id: TopicId,
    /// Each partition to commit offsets for.
    pub partitions: List<'a, OffsetCommitRequestPartition<'a>>,
}

impl<'a> Wire<'a> for OffsetCommitRequestTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version <= 9 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 10 {
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
        if version <= 9 {
            writer.string(&self.name)?;
        }
        if version >= 10 {
            writer.uuid(self.topic_id);
        }
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each partition to commit offsets for.
#[derive(Clone, Debug)]
pub struct OffsetCommitRequestPartition<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The message offset to be committed.
    pub committed_offset: i64,
    /// The leader epoch of this partition.
    pub committed_leader_epoch: i32,
    /// Any associated metadata the client wants to keep.
    pub committed_metadata: Option<Str<'a>>,
}

impl Default for OffsetCommitRequestPartition<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            committed_metadata: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for OffsetCommitRequestPartition<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            committed_offset: reader.i64()?,
            committed_leader_epoch: if version >= 6 { reader.i32()? } else { -1 },
            committed_metadata: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i64(self.committed_offset);
        if version >= 6 {
            writer.i32(self.committed_leader_epoch);
        }
        writer.nullable_string(self.committed_metadata.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetCommitRequest<'a> {
    const API_KEY: i16 = 8;
    const MIN_VERSION: i16 = 2;
    const MAX_VERSION: i16 = 10;
    const FLEXIBLE_VERSION: i16 = 8;
}

#[derive(Clone, Debug, Default)]
pub struct OffsetCommitResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The responses for each topic.
    pub topics: List<'a, OffsetCommitResponseTopic<'a>>,
}

impl<'a> Wire<'a> for OffsetCommitResponse<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 3 { reader.i32()? } else { 0 },
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 3 {
            writer.i32(self.throttle_time_ms);
        }
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses for each topic.
#[derive(Clone, Debug, Default)]
pub struct OffsetCommitResponseTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The topic ID.
    pub topic_id: TopicId,
    /// The responses for each partition in the topic.
    pub partitions: List<'a, OffsetCommitResponsePartition>,
}

impl<'a> Wire<'a> for OffsetCommitResponseTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version <= 9 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 10 {
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
        if version <= 9 {
            writer.string(&self.name)?;
        }
        if version >= 10 {
            writer.uuid(self.topic_id);
        }
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses for each partition in the topic.
#[derive(Clone, Debug, Default)]
pub struct OffsetCommitResponsePartition {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for OffsetCommitResponsePartition {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetCommitResponse<'a> {
    const API_KEY: i16 = 8;
    const MIN_VERSION: i16 = 2;
    const MAX_VERSION: i16 = 10;
    const FLEXIBLE_VERSION: i16 = 8;
}
