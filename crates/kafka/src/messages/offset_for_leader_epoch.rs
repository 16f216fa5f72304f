//! OffsetForLeaderEpoch (key 23): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct OffsetForLeaderEpochRequest<'a> {
    /// The broker ID of the follower, of -1 if this request is from a consumer.
    pub replica_id: i32,
    /// Each topic to get offsets for.
    pub topics: List<'a, OffsetForLeaderTopic<'a>>,
}

impl Default for OffsetForLeaderEpochRequest<'_> {
    fn default() -> Self {
        Self {
            replica_id: -2,
            topics: List::default(),
        }
    }
}

impl<'a> Wire<'a> for OffsetForLeaderEpochRequest<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            replica_id: if version >= 3 { reader.i32()? } else { -2 },
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 3 {
            writer.i32(self.replica_id);
        }
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic to get offsets for.
#[derive(Clone, Debug, Default)]
pub struct OffsetForLeaderTopic<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// Each partition to get offsets for.
    pub partitions: List<'a, OffsetForLeaderPartition>,
}

impl<'a> Wire<'a> for OffsetForLeaderTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each partition to get offsets for.
#[derive(Clone, Debug)]
pub struct OffsetForLeaderPartition {
    /// The partition index.
    pub partition: i32,
    /// An epoch used to fence consumers/replicas with old metadata. If the epoch provided by the client is larger than the current epoch known to the broker, then the UNKNOWN_LEADER_EPOCH error code will be returned. If the provided epoch is smaller, then the FENCED_LEADER_EPOCH error code will be returned.
    pub current_leader_epoch: i32,
    /// The epoch to look up an offset for.
    pub leader_epoch: i32,
}

impl Default for OffsetForLeaderPartition {
    fn default() -> Self {
        Self {
            partition: 0,
            current_leader_epoch: -1,
            leader_epoch: 0,
        }
    }
}

impl<'a> Wire<'a> for OffsetForLeaderPartition {
    const BYTES_MIN: usize = 12;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition: reader.i32()?,
            current_leader_epoch: reader.i32()?,
            leader_epoch: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition);
        writer.i32(self.current_leader_epoch);
        writer.i32(self.leader_epoch);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetForLeaderEpochRequest<'a> {
    const API_KEY: i16 = 23;
    const MIN_VERSION: i16 = 2;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 4;
}

#[derive(Clone, Debug, Default)]
pub struct OffsetForLeaderEpochResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each topic we fetched offsets for.
    pub topics: List<'a, OffsetForLeaderTopicResult<'a>>,
}

impl<'a> Wire<'a> for OffsetForLeaderEpochResponse<'a> {
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

/// Each topic we fetched offsets for.
#[derive(Clone, Debug, Default)]
pub struct OffsetForLeaderTopicResult<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// Each partition in the topic we fetched offsets for.
    pub partitions: List<'a, EpochEndOffset>,
}

impl<'a> Wire<'a> for OffsetForLeaderTopicResult<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each partition in the topic we fetched offsets for.
#[derive(Clone, Debug)]
pub struct EpochEndOffset {
    /// The error code 0, or if there was no error.
    pub error_code: i16,
    /// The partition index.
    pub partition: i32,
    /// The leader epoch of the partition.
    pub leader_epoch: i32,
    /// The end offset of the epoch.
    pub end_offset: i64,
}

impl Default for EpochEndOffset {
    fn default() -> Self {
        Self {
            error_code: 0,
            partition: 0,
            leader_epoch: -1,
            end_offset: -1,
        }
    }
}

impl<'a> Wire<'a> for EpochEndOffset {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            partition: reader.i32()?,
            leader_epoch: reader.i32()?,
            end_offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.i32(self.partition);
        writer.i32(self.leader_epoch);
        writer.i64(self.end_offset);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetForLeaderEpochResponse<'a> {
    const API_KEY: i16 = 23;
    const MIN_VERSION: i16 = 2;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 4;
}
