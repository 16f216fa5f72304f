//! DescribeProducers (key 61): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeProducersRequest<'a> {
    /// The topics to list producers for.
    pub topics: List<'a, TopicRequest<'a>>,
}

impl<'a> Wire<'a> for DescribeProducersRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to list producers for.
#[derive(Clone, Debug, Default)]
pub struct TopicRequest<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The indexes of the partitions to list producers for.
    pub partition_indexes: List<'a, i32>,
}

impl<'a> Wire<'a> for TopicRequest<'a> {
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

impl<'a> Message<'a> for DescribeProducersRequest<'a> {
    const API_KEY: i16 = 61;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeProducersResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each topic in the response.
    pub topics: List<'a, TopicResponse<'a>>,
}

impl<'a> Wire<'a> for DescribeProducersResponse<'a> {
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

/// Each topic in the response.
#[derive(Clone, Debug, Default)]
pub struct TopicResponse<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// Each partition in the response.
    pub partitions: List<'a, PartitionResponse<'a>>,
}

impl<'a> Wire<'a> for TopicResponse<'a> {
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
#[derive(Clone, Debug, Default)]
pub struct PartitionResponse<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The partition error code, or 0 if there was no error.
    pub error_code: i16,
    /// The partition error message, which may be null if no additional details are available.
    pub error_message: Option<Str<'a>>,
    /// The active producers for the partition.
    pub active_producers: List<'a, ProducerState>,
}

impl<'a> Wire<'a> for PartitionResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            active_producers: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.active_producers.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The active producers for the partition.
#[derive(Clone, Debug)]
pub struct ProducerState {
    /// The producer id.
    pub producer_id: i64,
    /// The producer epoch.
    pub producer_epoch: i32,
    /// The last sequence number sent by the producer.
    pub last_sequence: i32,
    /// The last timestamp sent by the producer.
    pub last_timestamp: i64,
    /// The current epoch of the producer group.
    pub coordinator_epoch: i32,
    /// The current transaction start offset of the producer.
    pub current_txn_start_offset: i64,
}

impl Default for ProducerState {
    fn default() -> Self {
        Self {
            producer_id: 0,
            producer_epoch: 0,
            last_sequence: -1,
            last_timestamp: -1,
            coordinator_epoch: 0,
            current_txn_start_offset: -1,
        }
    }
}

impl<'a> Wire<'a> for ProducerState {
    const BYTES_MIN: usize = 37;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            producer_id: reader.i64()?,
            producer_epoch: reader.i32()?,
            last_sequence: reader.i32()?,
            last_timestamp: reader.i64()?,
            coordinator_epoch: reader.i32()?,
            current_txn_start_offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i64(self.producer_id);
        writer.i32(self.producer_epoch);
        writer.i32(self.last_sequence);
        writer.i64(self.last_timestamp);
        writer.i32(self.coordinator_epoch);
        writer.i64(self.current_txn_start_offset);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeProducersResponse<'a> {
    const API_KEY: i16 = 61;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
