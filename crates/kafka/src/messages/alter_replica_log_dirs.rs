//! AlterReplicaLogDirs (key 34): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct AlterReplicaLogDirsRequest<'a> {
    /// The alterations to make for each directory.
    pub dirs: List<'a, AlterReplicaLogDir<'a>>,
}

impl<'a> Wire<'a> for AlterReplicaLogDirsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            dirs: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.dirs.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The alterations to make for each directory.
#[derive(Clone, Debug, Default)]
pub struct AlterReplicaLogDir<'a> {
    /// The absolute directory path.
    pub path: Str<'a>,
    /// The topics to add to the directory.
    pub topics: List<'a, AlterReplicaLogDirTopic<'a>>,
}

impl<'a> Wire<'a> for AlterReplicaLogDir<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            path: reader.string()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.path)?;
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to add to the directory.
#[derive(Clone, Debug, Default)]
pub struct AlterReplicaLogDirTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The partition indexes.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for AlterReplicaLogDirTopic<'a> {
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

impl<'a> Message<'a> for AlterReplicaLogDirsRequest<'a> {
    const API_KEY: i16 = 34;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct AlterReplicaLogDirsResponse<'a> {
    /// Duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The results for each topic.
    pub results: List<'a, AlterReplicaLogDirTopicResult<'a>>,
}

impl<'a> Wire<'a> for AlterReplicaLogDirsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each topic.
#[derive(Clone, Debug, Default)]
pub struct AlterReplicaLogDirTopicResult<'a> {
    /// The name of the topic.
    pub topic_name: Str<'a>,
    /// The results for each partition.
    pub partitions: List<'a, AlterReplicaLogDirPartitionResult>,
}

impl<'a> Wire<'a> for AlterReplicaLogDirTopicResult<'a> {
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

/// The results for each partition.
#[derive(Clone, Debug, Default)]
pub struct AlterReplicaLogDirPartitionResult {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for AlterReplicaLogDirPartitionResult {
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

impl<'a> Message<'a> for AlterReplicaLogDirsResponse<'a> {
    const API_KEY: i16 = 34;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
