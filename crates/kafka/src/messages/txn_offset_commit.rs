//! TxnOffsetCommit (key 28): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct TxnOffsetCommitRequest<'a> {
    /// The ID of the transaction.
    pub transactional_id: Str<'a>,
    /// The ID of the group.
    pub group_id: Str<'a>,
    /// The current producer ID in use by the transactional ID.
    pub producer_id: i64,
    /// The current epoch associated with the producer ID.
    pub producer_epoch: i16,
    /// The generation of the group if using the classic group protocol or the member epoch if using the consumer protocol.
    pub generation_id_or_member_epoch: i32,
    /// The member ID assigned by the group coordinator.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
    /// Each topic that we want to commit offsets for.
    pub topics: List<'a, TxnOffsetCommitRequestTopic<'a>>,
}

impl Default for TxnOffsetCommitRequest<'_> {
    fn default() -> Self {
        Self {
            transactional_id: Str::default(),
            group_id: Str::default(),
            producer_id: 0,
            producer_epoch: 0,
            generation_id_or_member_epoch: -1,
            member_id: Str::default(),
            group_instance_id: None,
            topics: List::default(),
        }
    }
}

impl<'a> Wire<'a> for TxnOffsetCommitRequest<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            transactional_id: reader.string()?,
            group_id: reader.string()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            generation_id_or_member_epoch: if version >= 3 { reader.i32()? } else { -1 },
            member_id: if version >= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            group_instance_id: if version >= 3 {
                reader.nullable_string()?
            } else {
                None
            },
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.transactional_id)?;
        writer.string(&self.group_id)?;
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        if version >= 3 {
            writer.i32(self.generation_id_or_member_epoch);
            writer.string(&self.member_id)?;
            writer.nullable_string(self.group_instance_id.as_deref())?;
        } else {
            writer.absent(
                self.generation_id_or_member_epoch != -1,
                "GenerationIdOrMemberEpoch",
            )?;
            writer.absent(!self.member_id.is_empty(), "MemberId")?;
            writer.absent(self.group_instance_id.is_some(), "GroupInstanceId")?;
        }
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic that we want to commit offsets for.
#[derive(Clone, Debug, Default)]
pub struct TxnOffsetCommitRequestTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The partitions inside the topic that we want to commit offsets for.
    pub partitions: List<'a, TxnOffsetCommitRequestPartition<'a>>,
}

impl<'a> Wire<'a> for TxnOffsetCommitRequestTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The partitions inside the topic that we want to commit offsets for.
#[derive(Clone, Debug)]
pub struct TxnOffsetCommitRequestPartition<'a> {
    /// The index of the partition within the topic.
    pub partition_index: i32,
    /// The message offset to be committed.
    pub committed_offset: i64,
    /// The leader epoch of the last consumed record.
    pub committed_leader_epoch: i32,
    /// Any associated metadata the client wants to keep.
    pub committed_metadata: Option<Str<'a>>,
}

impl Default for TxnOffsetCommitRequestPartition<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            committed_metadata: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for TxnOffsetCommitRequestPartition<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            committed_offset: reader.i64()?,
            committed_leader_epoch: if version >= 2 { reader.i32()? } else { -1 },
            committed_metadata: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i64(self.committed_offset);
        if version >= 2 {
            writer.i32(self.committed_leader_epoch);
        }
        writer.nullable_string(self.committed_metadata.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for TxnOffsetCommitRequest<'a> {
    const API_KEY: i16 = 28;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug, Default)]
pub struct TxnOffsetCommitResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The responses for each topic.
    pub topics: List<'a, TxnOffsetCommitResponseTopic<'a>>,
}

impl<'a> Wire<'a> for TxnOffsetCommitResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses for each topic.
#[derive(Clone, Debug, Default)]
pub struct TxnOffsetCommitResponseTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The responses for each partition in the topic.
    pub partitions: List<'a, TxnOffsetCommitResponsePartition>,
}

impl<'a> Wire<'a> for TxnOffsetCommitResponseTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses for each partition in the topic.
#[derive(Clone, Debug, Default)]
pub struct TxnOffsetCommitResponsePartition {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for TxnOffsetCommitResponsePartition {
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

impl<'a> Message<'a> for TxnOffsetCommitResponse<'a> {
    const API_KEY: i16 = 28;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}
