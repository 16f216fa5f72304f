//! CreatePartitions (key 37): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct CreatePartitionsRequest<'a> {
    /// Each topic that we want to create new partitions inside.
    pub topics: List<'a, CreatePartitionsTopic<'a>>,
    /// The time in ms to wait for the partitions to be created.
    pub timeout_ms: i32,
    /// If true, then validate the request, but don't actually increase the number of partitions.
    pub validate_only: bool,
}

impl<'a> Wire<'a> for CreatePartitionsRequest<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read(reader)?,
            timeout_ms: reader.i32()?,
            validate_only: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topics.write(writer)?;
        writer.i32(self.timeout_ms);
        writer.bool(self.validate_only);
        writer.no_tags();
        Ok(())
    }
}

/// Each topic that we want to create new partitions inside.
#[derive(Clone, Debug)]
pub struct CreatePartitionsTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The new partition count.
    pub count: i32,
    /// The new partition assignments.
    pub assignments: Option<List<'a, CreatePartitionsAssignment<'a>>>,
}

impl Default for CreatePartitionsTopic<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            count: 0,
            assignments: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for CreatePartitionsTopic<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            count: reader.i32()?,
            assignments: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.i32(self.count);
        writer.nullable_list(self.assignments.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The new partition assignments.
#[derive(Clone, Debug, Default)]
pub struct CreatePartitionsAssignment<'a> {
    /// The assigned broker IDs.
    pub broker_ids: List<'a, i32>,
}

impl<'a> Wire<'a> for CreatePartitionsAssignment<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            broker_ids: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.broker_ids.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreatePartitionsRequest<'a> {
    const API_KEY: i16 = 37;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct CreatePartitionsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The partition creation results for each topic.
    pub results: List<'a, CreatePartitionsTopicResult<'a>>,
}

impl<'a> Wire<'a> for CreatePartitionsResponse<'a> {
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

/// The partition creation results for each topic.
#[derive(Clone, Debug, Default)]
pub struct CreatePartitionsTopicResult<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The result error, or zero if there was no error.
    pub error_code: i16,
    /// The result message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl<'a> Wire<'a> for CreatePartitionsTopicResult<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreatePartitionsResponse<'a> {
    const API_KEY: i16 = 37;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}
