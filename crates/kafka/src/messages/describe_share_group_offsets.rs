//! DescribeShareGroupOffsets (key 90): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeShareGroupOffsetsRequest<'a> {
    /// The groups to describe offsets for.
    pub groups: List<'a, DescribeShareGroupOffsetsRequestGroup<'a>>,
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            groups: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.groups.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The groups to describe offsets for.
#[derive(Clone, Debug)]
pub struct DescribeShareGroupOffsetsRequestGroup<'a> {
    /// The group identifier.
    pub group_id: Str<'a>,
    /// The topics to describe offsets for, or null for all topic-partitions.
    pub topics: Option<List<'a, DescribeShareGroupOffsetsRequestTopic<'a>>>,
}

impl Default for DescribeShareGroupOffsetsRequestGroup<'_> {
    fn default() -> Self {
        Self {
            group_id: Str::default(),
            topics: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsRequestGroup<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_id: reader.string()?,
            topics: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        writer.nullable_list(self.topics.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to describe offsets for, or null for all topic-partitions.
#[derive(Clone, Debug, Default)]
pub struct DescribeShareGroupOffsetsRequestTopic<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The partitions.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsRequestTopic<'a> {
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

impl<'a> Message<'a> for DescribeShareGroupOffsetsRequest<'a> {
    const API_KEY: i16 = 90;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeShareGroupOffsetsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The results for each group.
    pub groups: List<'a, DescribeShareGroupOffsetsResponseGroup<'a>>,
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            groups: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.groups.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each group.
#[derive(Clone, Debug, Default)]
pub struct DescribeShareGroupOffsetsResponseGroup<'a> {
    /// The group identifier.
    pub group_id: Str<'a>,
    /// The results for each topic.
    pub topics: List<'a, DescribeShareGroupOffsetsResponseTopic<'a>>,
    /// The group-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The group-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsResponseGroup<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_id: reader.string()?,
            topics: List::read(reader)?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        self.topics.write(writer)?;
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each topic.
#[derive(Clone, Debug, Default)]
pub struct DescribeShareGroupOffsetsResponseTopic<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    pub partitions: List<'a, DescribeShareGroupOffsetsResponsePartition<'a>>,
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsResponseTopic<'a> {
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

#[derive(Clone, Debug)]
pub struct DescribeShareGroupOffsetsResponsePartition<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The share-partition start offset.
    pub start_offset: i64,
    /// The leader epoch of the partition.
    pub leader_epoch: i32,
    /// The share-partition lag.
    pub lag: i64,
    /// The partition-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The partition-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for DescribeShareGroupOffsetsResponsePartition<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            start_offset: 0,
            leader_epoch: 0,
            lag: -1,
            error_code: 0,
            error_message: None,
        }
    }
}

impl<'a> Wire<'a> for DescribeShareGroupOffsetsResponsePartition<'a> {
    const BYTES_MIN: usize = 20;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            start_offset: reader.i64()?,
            leader_epoch: reader.i32()?,
            lag: if version >= 1 { reader.i64()? } else { -1 },
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i64(self.start_offset);
        writer.i32(self.leader_epoch);
        if version >= 1 {
            writer.i64(self.lag);
        }
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeShareGroupOffsetsResponse<'a> {
    const API_KEY: i16 = 90;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}
