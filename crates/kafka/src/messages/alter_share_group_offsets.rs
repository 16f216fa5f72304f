//! AlterShareGroupOffsets (key 91): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct AlterShareGroupOffsetsRequest<'a> {
    /// The group identifier.
    pub group_id: Str<'a>,
    /// The topics to alter offsets for.
    pub topics: List<'a, AlterShareGroupOffsetsRequestTopic<'a>>,
}

impl<'a> Wire<'a> for AlterShareGroupOffsetsRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_id: reader.string()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to alter offsets for.
#[derive(Clone, Debug, Default)]
pub struct AlterShareGroupOffsetsRequestTopic<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// Each partition to alter offsets for.
    pub partitions: List<'a, AlterShareGroupOffsetsRequestPartition>,
}

impl<'a> Wire<'a> for AlterShareGroupOffsetsRequestTopic<'a> {
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

/// Each partition to alter offsets for.
#[derive(Clone, Debug, Default)]
pub struct AlterShareGroupOffsetsRequestPartition {
    /// The partition index.
    pub partition_index: i32,
    /// The share-partition start offset.
    pub start_offset: i64,
}

impl<'a> Wire<'a> for AlterShareGroupOffsetsRequestPartition {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            start_offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i64(self.start_offset);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AlterShareGroupOffsetsRequest<'a> {
    const API_KEY: i16 = 91;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct AlterShareGroupOffsetsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The results for each topic.
    pub responses: List<'a, AlterShareGroupOffsetsResponseTopic<'a>>,
}

impl<'a> Wire<'a> for AlterShareGroupOffsetsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            responses: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.responses.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each topic.
#[derive(Clone, Debug, Default)]
pub struct AlterShareGroupOffsetsResponseTopic<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    pub partitions: List<'a, AlterShareGroupOffsetsResponsePartition<'a>>,
}

impl<'a> Wire<'a> for AlterShareGroupOffsetsResponseTopic<'a> {
    const BYTES_MIN: usize = 19;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
            topic_id: reader.uuid()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        writer.uuid(self.topic_id);
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct AlterShareGroupOffsetsResponsePartition<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl<'a> Wire<'a> for AlterShareGroupOffsetsResponsePartition<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AlterShareGroupOffsetsResponse<'a> {
    const API_KEY: i16 = 91;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
