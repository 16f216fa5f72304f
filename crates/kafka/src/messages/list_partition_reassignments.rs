//! ListPartitionReassignments (key 46): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct ListPartitionReassignmentsRequest<'a> {
    /// The time in ms to wait for the request to complete.
    pub timeout_ms: i32,
    /// The topics to list partition reassignments for, or null to list everything.
    pub topics: Option<List<'a, ListPartitionReassignmentsTopics<'a>>>,
}

impl Default for ListPartitionReassignmentsRequest<'_> {
    fn default() -> Self {
        Self {
            timeout_ms: 60000,
            topics: None,
        }
    }
}

impl<'a> Wire<'a> for ListPartitionReassignmentsRequest<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            timeout_ms: reader.i32()?,
            topics: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.timeout_ms);
        writer.nullable_list(self.topics.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to list partition reassignments for, or null to list everything.
#[derive(Clone, Debug, Default)]
pub struct ListPartitionReassignmentsTopics<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The partitions to list partition reassignments for.
    pub partition_indexes: List<'a, i32>,
}

impl<'a> Wire<'a> for ListPartitionReassignmentsTopics<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            partition_indexes: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partition_indexes.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListPartitionReassignmentsRequest<'a> {
    const API_KEY: i16 = 46;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct ListPartitionReassignmentsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The ongoing reassignments for each topic.
    pub topics: List<'a, OngoingTopicReassignment<'a>>,
}

impl Default for ListPartitionReassignmentsResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            topics: List::default(),
        }
    }
}

impl<'a> Wire<'a> for ListPartitionReassignmentsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The ongoing reassignments for each topic.
#[derive(Clone, Debug, Default)]
pub struct OngoingTopicReassignment<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The ongoing reassignments for each partition.
    pub partitions: List<'a, OngoingPartitionReassignment<'a>>,
}

impl<'a> Wire<'a> for OngoingTopicReassignment<'a> {
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

/// The ongoing reassignments for each partition.
#[derive(Clone, Debug, Default)]
pub struct OngoingPartitionReassignment<'a> {
    /// The index of the partition.
    pub partition_index: i32,
    /// The current replica set.
    pub replicas: List<'a, i32>,
    /// The set of replicas we are currently adding.
    pub adding_replicas: List<'a, i32>,
    /// The set of replicas we are currently removing.
    pub removing_replicas: List<'a, i32>,
}

impl<'a> Wire<'a> for OngoingPartitionReassignment<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            replicas: List::read(reader)?,
            adding_replicas: List::read(reader)?,
            removing_replicas: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        self.replicas.write(writer)?;
        self.adding_replicas.write(writer)?;
        self.removing_replicas.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListPartitionReassignmentsResponse<'a> {
    const API_KEY: i16 = 46;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
