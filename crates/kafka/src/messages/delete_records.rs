//! DeleteRecords (key 21): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DeleteRecordsRequest<'a> {
    /// Each topic that we want to delete records from.
    pub topics: List<'a, DeleteRecordsTopic<'a>>,
    /// How long to wait for the deletion to complete, in milliseconds.
    pub timeout_ms: i32,
}

impl<'a> Wire<'a> for DeleteRecordsRequest<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read(reader)?,
            timeout_ms: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topics.write(writer)?;
        writer.i32(self.timeout_ms);
        writer.no_tags();
        Ok(())
    }
}

/// Each topic that we want to delete records from.
#[derive(Clone, Debug, Default)]
pub struct DeleteRecordsTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// Each partition that we want to delete records from.
    pub partitions: List<'a, DeleteRecordsPartition>,
}

impl<'a> Wire<'a> for DeleteRecordsTopic<'a> {
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

/// Each partition that we want to delete records from.
#[derive(Clone, Debug, Default)]
pub struct DeleteRecordsPartition {
    /// The partition index.
    pub partition_index: i32,
    /// The deletion offset. -1 means that records should be truncated to the high watermark.
    pub offset: i64,
}

impl<'a> Wire<'a> for DeleteRecordsPartition {
    const BYTES_MIN: usize = 12;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i64(self.offset);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteRecordsRequest<'a> {
    const API_KEY: i16 = 21;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct DeleteRecordsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each topic that we wanted to delete records from.
    pub topics: List<'a, DeleteRecordsTopicResult<'a>>,
}

impl<'a> Wire<'a> for DeleteRecordsResponse<'a> {
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

/// Each topic that we wanted to delete records from.
#[derive(Clone, Debug, Default)]
pub struct DeleteRecordsTopicResult<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// Each partition that we wanted to delete records from.
    pub partitions: List<'a, DeleteRecordsPartitionResult>,
}

impl<'a> Wire<'a> for DeleteRecordsTopicResult<'a> {
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

/// Each partition that we wanted to delete records from.
#[derive(Clone, Debug, Default)]
pub struct DeleteRecordsPartitionResult {
    /// The partition index.
    pub partition_index: i32,
    /// The partition low water mark.
    pub low_watermark: i64,
    /// The deletion error code, or 0 if the deletion succeeded.
    pub error_code: i16,
}

impl<'a> Wire<'a> for DeleteRecordsPartitionResult {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            low_watermark: reader.i64()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i64(self.low_watermark);
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteRecordsResponse<'a> {
    const API_KEY: i16 = 21;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
