//! DescribeLogDirs (key 35): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct DescribeLogDirsRequest<'a> {
    /// Each topic that we want to describe log directories for, or null for all topics.
    pub topics: Option<List<'a, DescribableLogDirTopic<'a>>>,
}

impl Default for DescribeLogDirsRequest<'_> {
    fn default() -> Self {
        Self {
            topics: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeLogDirsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.nullable_list(self.topics.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic that we want to describe log directories for, or null for all topics.
#[derive(Clone, Debug, Default)]
pub struct DescribableLogDirTopic<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The partition indexes.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for DescribableLogDirTopic<'a> {
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

impl<'a> Message<'a> for DescribeLogDirsRequest<'a> {
    const API_KEY: i16 = 35;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeLogDirsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The log directories.
    pub results: List<'a, DescribeLogDirsResult<'a>>,
}

impl<'a> Wire<'a> for DescribeLogDirsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: if version >= 3 { reader.i16()? } else { 0 },
            results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        if version >= 3 {
            writer.i16(self.error_code);
        }
        self.results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The log directories.
#[derive(Clone, Debug)]
pub struct DescribeLogDirsResult<'a> {
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The absolute log directory path.
    pub log_dir: Str<'a>,
    /// The topics.
    pub topics: List<'a, DescribeLogDirsTopic<'a>>,
    /// The total size in bytes of the volume the log directory is in. This value does not include the size of data stored in remote storage.
    pub total_bytes: i64,
    /// The usable size in bytes of the volume the log directory is in. This value does not include the size of data stored in remote storage.
    pub usable_bytes: i64,
    /// True if this log directory is cordoned.
    pub is_cordoned: bool,
}

impl Default for DescribeLogDirsResult<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            log_dir: Str::default(),
            topics: List::default(),
            total_bytes: -1,
            usable_bytes: -1,
            is_cordoned: false,
        }
    }
}

impl<'a> Wire<'a> for DescribeLogDirsResult<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
            log_dir: reader.string()?,
            topics: List::read(reader)?,
            total_bytes: if version >= 4 { reader.i64()? } else { -1 },
            usable_bytes: if version >= 4 { reader.i64()? } else { -1 },
            is_cordoned: if version >= 5 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i16(self.error_code);
        writer.string(&self.log_dir)?;
        self.topics.write(writer)?;
        if version >= 4 {
            writer.i64(self.total_bytes);
            writer.i64(self.usable_bytes);
        }
        if version >= 5 {
            writer.bool(self.is_cordoned);
        }
        writer.no_tags();
        Ok(())
    }
}

/// The topics.
#[derive(Clone, Debug, Default)]
pub struct DescribeLogDirsTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The partitions.
    pub partitions: List<'a, DescribeLogDirsPartition>,
}

impl<'a> Wire<'a> for DescribeLogDirsTopic<'a> {
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

/// The partitions.
#[derive(Clone, Debug, Default)]
pub struct DescribeLogDirsPartition {
    /// The partition index.
    pub partition_index: i32,
    /// The size of the log segments in this partition in bytes.
    pub partition_size: i64,
    /// The lag of the log's LEO w.r.t. partition's HW (if it is the current log for the partition) or current replica's LEO (if it is the future log for the partition).
    pub offset_lag: i64,
    /// True if this log is created by AlterReplicaLogDirsRequest and will replace the current log of the replica in the future.
    pub is_future_key: bool,
}

impl<'a> Wire<'a> for DescribeLogDirsPartition {
    const BYTES_MIN: usize = 21;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            partition_size: reader.i64()?,
            offset_lag: reader.i64()?,
            is_future_key: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i64(self.partition_size);
        writer.i64(self.offset_lag);
        writer.bool(self.is_future_key);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeLogDirsResponse<'a> {
    const API_KEY: i16 = 35;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 2;
}
