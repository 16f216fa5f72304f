//! ListOffsets (key 2): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct ListOffsetsRequest<'a> {
    /// The broker ID of the requester, or -1 if this request is being made by a normal consumer.
    pub replica_id: i32,
    /// This setting controls the visibility of transactional records. Using READ_UNCOMMITTED (isolation_level = 0) makes all records visible. With READ_COMMITTED (isolation_level = 1), non-transactional and COMMITTED transactional records are visible. To be more concrete, READ_COMMITTED returns all data from offsets smaller than the current LSO (last stable offset), and enables the inclusion of the list of aborted transactions in the result, which allows consumers to discard ABORTED transactional records.
    pub isolation_level: i8,
    /// Each topic in the request.
    pub topics: List<'a, ListOffsetsTopic<'a>>,
    /// The timeout to await a response in milliseconds for requests that require reading from remote storage for topics enabled with tiered storage.
    pub timeout_ms: i32,
}

impl<'a> Wire<'a> for ListOffsetsRequest<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            replica_id: reader.i32()?,
            isolation_level: if version >= 2 { reader.i8()? } else { 0 },
            topics: List::read(reader)?,
            timeout_ms: if version >= 10 { reader.i32()? } else { 0 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.replica_id);
        if version >= 2 {
            writer.i8(self.isolation_level);
        } else {
            writer.absent(self.isolation_level != 0, "IsolationLevel")?;
        }
        self.topics.write(writer)?;
        if version >= 10 {
            writer.i32(self.timeout_ms);
        }
        writer.no_tags();
        Ok(())
    }
}

/// Each topic in the request.
#[derive(Clone, Debug, Default)]
pub struct ListOffsetsTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// Each partition in the request.
    pub partitions: List<'a, ListOffsetsPartition>,
}

impl<'a> Wire<'a> for ListOffsetsTopic<'a> {
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

/// Each partition in the request.
#[derive(Clone, Debug)]
pub struct ListOffsetsPartition {
    /// The partition index.
    pub partition_index: i32,
    /// The current leader epoch.
    pub current_leader_epoch: i32,
    /// The current timestamp.
    pub timestamp: i64,
}

impl Default for ListOffsetsPartition {
    fn default() -> Self {
        Self {
            partition_index: 0,
            current_leader_epoch: -1,
            timestamp: 0,
        }
    }
}

impl<'a> Wire<'a> for ListOffsetsPartition {
    const BYTES_MIN: usize = 12;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            current_leader_epoch: if version >= 4 { reader.i32()? } else { -1 },
            timestamp: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        if version >= 4 {
            writer.i32(self.current_leader_epoch);
        }
        writer.i64(self.timestamp);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListOffsetsRequest<'a> {
    const API_KEY: i16 = 2;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 11;
    const FLEXIBLE_VERSION: i16 = 6;
}

#[derive(Clone, Debug, Default)]
pub struct ListOffsetsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each topic in the response.
    pub topics: List<'a, ListOffsetsTopicResponse<'a>>,
}

impl<'a> Wire<'a> for ListOffsetsResponse<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 2 { reader.i32()? } else { 0 },
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 2 {
            writer.i32(self.throttle_time_ms);
        }
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic in the response.
#[derive(Clone, Debug, Default)]
pub struct ListOffsetsTopicResponse<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// Each partition in the response.
    pub partitions: List<'a, ListOffsetsPartitionResponse>,
}

impl<'a> Wire<'a> for ListOffsetsTopicResponse<'a> {
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

/// Each partition in the response.
#[derive(Clone, Debug)]
pub struct ListOffsetsPartitionResponse {
    /// The partition index.
    pub partition_index: i32,
    /// The partition error code, or 0 if there was no error.
    pub error_code: i16,
    /// The timestamp associated with the returned offset.
    pub timestamp: i64,
    /// The returned offset.
    pub offset: i64,
    /// The leader epoch associated with the returned offset.
    pub leader_epoch: i32,
}

impl Default for ListOffsetsPartitionResponse {
    fn default() -> Self {
        Self {
            partition_index: 0,
            error_code: 0,
            timestamp: -1,
            offset: -1,
            leader_epoch: -1,
        }
    }
}

impl<'a> Wire<'a> for ListOffsetsPartitionResponse {
    const BYTES_MIN: usize = 22;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
            timestamp: reader.i64()?,
            offset: reader.i64()?,
            leader_epoch: if version >= 4 { reader.i32()? } else { -1 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        writer.i64(self.timestamp);
        writer.i64(self.offset);
        if version >= 4 {
            writer.i32(self.leader_epoch);
        } else {
            writer.absent(self.leader_epoch != -1, "LeaderEpoch")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListOffsetsResponse<'a> {
    const API_KEY: i16 = 2;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 11;
    const FLEXIBLE_VERSION: i16 = 6;
}
