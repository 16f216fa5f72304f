//! ElectLeaders (key 43): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct ElectLeadersRequest<'a> {
    /// Type of elections to conduct for the partition. A value of '0' elects the preferred replica. A value of '1' elects the first live replica if there are no in-sync replica.
    pub election_type: i8,
    /// The topic partitions to elect leaders.
    pub topic_partitions: Option<List<'a, TopicPartitions<'a>>>,
    /// The time in ms to wait for the election to complete.
    pub timeout_ms: i32,
}

impl Default for ElectLeadersRequest<'_> {
    fn default() -> Self {
        Self {
            election_type: 0,
            topic_partitions: Some(List::default()),
            timeout_ms: 60000,
        }
    }
}

impl<'a> Wire<'a> for ElectLeadersRequest<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            election_type: if version >= 1 { reader.i8()? } else { 0 },
            topic_partitions: List::read_nullable(reader)?,
            timeout_ms: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 1 {
            writer.i8(self.election_type);
        } else {
            writer.absent(self.election_type != 0, "ElectionType")?;
        }
        writer.nullable_list(self.topic_partitions.as_ref())?;
        writer.i32(self.timeout_ms);
        writer.no_tags();
        Ok(())
    }
}

/// The topic partitions to elect leaders.
#[derive(Clone, Debug, Default)]
pub struct TopicPartitions<'a> {
    /// The name of a topic.
    pub topic: Str<'a>,
    /// The partitions of this topic whose leader should be elected.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for TopicPartitions<'a> {
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

impl<'a> Message<'a> for ElectLeadersRequest<'a> {
    const API_KEY: i16 = 43;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct ElectLeadersResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top level response error code.
    pub error_code: i16,
    /// The election results, or an empty array if the requester did not have permission and the request asks for all partitions.
    pub replica_election_results: List<'a, ReplicaElectionResult<'a>>,
}

impl<'a> Wire<'a> for ElectLeadersResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: if version >= 1 { reader.i16()? } else { 0 },
            replica_election_results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        if version >= 1 {
            writer.i16(self.error_code);
        } else {
            writer.absent(self.error_code != 0, "ErrorCode")?;
        }
        self.replica_election_results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The election results, or an empty array if the requester did not have permission and the request asks for all partitions.
#[derive(Clone, Debug, Default)]
pub struct ReplicaElectionResult<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The results for each partition.
    pub partition_result: List<'a, PartitionResult<'a>>,
}

impl<'a> Wire<'a> for ReplicaElectionResult<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic: reader.string()?,
            partition_result: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic)?;
        self.partition_result.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each partition.
#[derive(Clone, Debug)]
pub struct PartitionResult<'a> {
    /// The partition id.
    pub partition_id: i32,
    /// The result error, or zero if there was no error.
    pub error_code: i16,
    /// The result message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for PartitionResult<'_> {
    fn default() -> Self {
        Self {
            partition_id: 0,
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for PartitionResult<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_id: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_id);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ElectLeadersResponse<'a> {
    const API_KEY: i16 = 43;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
