//! OffsetDelete (key 47): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct OffsetDeleteRequest<'a> {
    /// The unique group identifier.
    pub group_id: Str<'a>,
    /// The topics to delete offsets for.
    pub topics: List<'a, OffsetDeleteRequestTopic<'a>>,
}

impl<'a> Wire<'a> for OffsetDeleteRequest<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            group_id: reader.string()?,
            topics: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        self.topics.write(writer)?;
        Ok(())
    }
}

/// The topics to delete offsets for.
#[derive(Clone, Debug, Default)]
pub struct OffsetDeleteRequestTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// Each partition to delete offsets for.
    pub partitions: List<'a, OffsetDeleteRequestPartition>,
}

impl<'a> Wire<'a> for OffsetDeleteRequestTopic<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: reader.string()?,
            partitions: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partitions.write(writer)?;
        Ok(())
    }
}

/// Each partition to delete offsets for.
#[derive(Clone, Debug, Default)]
pub struct OffsetDeleteRequestPartition {
    /// The partition index.
    pub partition_index: i32,
}

impl<'a> Wire<'a> for OffsetDeleteRequestPartition {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            partition_index: reader.i32()?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetDeleteRequest<'a> {
    const API_KEY: i16 = 47;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = i16::MAX;
}

#[derive(Clone, Debug, Default)]
pub struct OffsetDeleteResponse<'a> {
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The responses for each topic.
    pub topics: List<'a, OffsetDeleteResponseTopic<'a>>,
}

impl<'a> Wire<'a> for OffsetDeleteResponse<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            error_code: reader.i16()?,
            throttle_time_ms: reader.i32()?,
            topics: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.i32(self.throttle_time_ms);
        self.topics.write(writer)?;
        Ok(())
    }
}

/// The responses for each topic.
#[derive(Clone, Debug, Default)]
pub struct OffsetDeleteResponseTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The responses for each partition in the topic.
    pub partitions: List<'a, OffsetDeleteResponsePartition>,
}

impl<'a> Wire<'a> for OffsetDeleteResponseTopic<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: reader.string()?,
            partitions: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partitions.write(writer)?;
        Ok(())
    }
}

/// The responses for each partition in the topic.
#[derive(Clone, Debug, Default)]
pub struct OffsetDeleteResponsePartition {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for OffsetDeleteResponsePartition {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetDeleteResponse<'a> {
    const API_KEY: i16 = 47;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = i16::MAX;
}
