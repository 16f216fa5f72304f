//! AlterPartitionReassignments (key 45): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct AlterPartitionReassignmentsRequest<'a> {
    /// The time in ms to wait for the request to complete.
    pub timeout_ms: i32,
    /// The option indicating whether changing the replication factor of any given partition as part of this request is a valid move.
    pub allow_replication_factor_change: bool,
    /// The topics to reassign.
    pub topics: List<'a, ReassignableTopic<'a>>,
}

impl Default for AlterPartitionReassignmentsRequest<'_> {
    fn default() -> Self {
        Self {
            timeout_ms: 60000,
            allow_replication_factor_change: true,
            topics: List::default(),
        }
    }
}

impl<'a> Wire<'a> for AlterPartitionReassignmentsRequest<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            timeout_ms: reader.i32()?,
            allow_replication_factor_change: if version >= 1 { reader.bool()? } else { true },
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.timeout_ms);
        if version >= 1 {
            writer.bool(self.allow_replication_factor_change);
        } else {
            writer.absent(
                !self.allow_replication_factor_change,
                "AllowReplicationFactorChange",
            )?;
        }
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to reassign.
#[derive(Clone, Debug, Default)]
pub struct ReassignableTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The partitions to reassign.
    pub partitions: List<'a, ReassignablePartition<'a>>,
}

impl<'a> Wire<'a> for ReassignableTopic<'a> {
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

/// The partitions to reassign.
#[derive(Clone, Debug, Default)]
pub struct ReassignablePartition<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The replicas to place the partitions on, or null to cancel a pending reassignment for this partition.
    pub replicas: Option<List<'a, i32>>,
}

impl<'a> Wire<'a> for ReassignablePartition<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            replicas: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.nullable_list(self.replicas.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AlterPartitionReassignmentsRequest<'a> {
    const API_KEY: i16 = 45;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct AlterPartitionReassignmentsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The option indicating whether changing the replication factor of any given partition as part of the request was allowed.
    pub allow_replication_factor_change: bool,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The responses to topics to reassign.
    pub responses: List<'a, ReassignableTopicResponse<'a>>,
}

impl Default for AlterPartitionReassignmentsResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            allow_replication_factor_change: true,
            error_code: 0,
            error_message: Some(Str::default()),
            responses: List::default(),
        }
    }
}

impl<'a> Wire<'a> for AlterPartitionReassignmentsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            allow_replication_factor_change: if version >= 1 { reader.bool()? } else { true },
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            responses: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        if version >= 1 {
            writer.bool(self.allow_replication_factor_change);
        }
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.responses.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses to topics to reassign.
#[derive(Clone, Debug, Default)]
pub struct ReassignableTopicResponse<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The responses to partitions to reassign.
    pub partitions: List<'a, ReassignablePartitionResponse<'a>>,
}

impl<'a> Wire<'a> for ReassignableTopicResponse<'a> {
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

/// The responses to partitions to reassign.
#[derive(Clone, Debug)]
pub struct ReassignablePartitionResponse<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The error code for this partition, or 0 if there was no error.
    pub error_code: i16,
    /// The error message for this partition, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for ReassignablePartitionResponse<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for ReassignablePartitionResponse<'a> {
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

impl<'a> Message<'a> for AlterPartitionReassignmentsResponse<'a> {
    const API_KEY: i16 = 45;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}
