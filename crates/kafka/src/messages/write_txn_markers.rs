//! WriteTxnMarkers (key 27): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct WriteTxnMarkersRequest<'a> {
    /// The transaction markers to be written.
    pub markers: List<'a, WritableTxnMarker<'a>>,
}

impl<'a> Wire<'a> for WriteTxnMarkersRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            markers: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.markers.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The transaction markers to be written.
#[derive(Clone, Debug, Default)]
pub struct WritableTxnMarker<'a> {
    /// The current producer ID.
    pub producer_id: i64,
    /// The current epoch associated with the producer ID.
    pub producer_epoch: i16,
    /// The result of the transaction to write to the partitions (false = ABORT, true = COMMIT).
    pub transaction_result: bool,
    /// Each topic that we want to write transaction marker(s) for.
    pub topics: List<'a, WritableTxnMarkerTopic<'a>>,
    /// Epoch associated with the transaction state partition hosted by this transaction coordinator.
    pub coordinator_epoch: i32,
    /// Transaction version of the marker. Ex: 0/1 = legacy (TV0/TV1), 2 = TV2 etc.
    pub transaction_version: i8,
}

impl<'a> Wire<'a> for WritableTxnMarker<'a> {
    const BYTES_MIN: usize = 17;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            transaction_result: reader.bool()?,
            topics: List::read(reader)?,
            coordinator_epoch: reader.i32()?,
            transaction_version: if version >= 2 { reader.i8()? } else { 0 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        writer.bool(self.transaction_result);
        self.topics.write(writer)?;
        writer.i32(self.coordinator_epoch);
        if version >= 2 {
            writer.i8(self.transaction_version);
        }
        writer.no_tags();
        Ok(())
    }
}

/// Each topic that we want to write transaction marker(s) for.
#[derive(Clone, Debug, Default)]
pub struct WritableTxnMarkerTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The indexes of the partitions to write transaction markers for.
    pub partition_indexes: List<'a, i32>,
}

impl<'a> Wire<'a> for WritableTxnMarkerTopic<'a> {
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

impl<'a> Message<'a> for WriteTxnMarkersRequest<'a> {
    const API_KEY: i16 = 27;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 1;
}

#[derive(Clone, Debug, Default)]
pub struct WriteTxnMarkersResponse<'a> {
    /// The results for writing makers.
    pub markers: List<'a, WritableTxnMarkerResult<'a>>,
}

impl<'a> Wire<'a> for WriteTxnMarkersResponse<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            markers: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.markers.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for writing makers.
#[derive(Clone, Debug, Default)]
pub struct WritableTxnMarkerResult<'a> {
    /// The current producer ID in use by the transactional ID.
    pub producer_id: i64,
    /// The results by topic.
    pub topics: List<'a, WritableTxnMarkerTopicResult<'a>>,
}

impl<'a> Wire<'a> for WritableTxnMarkerResult<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            producer_id: reader.i64()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i64(self.producer_id);
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results by topic.
#[derive(Clone, Debug, Default)]
pub struct WritableTxnMarkerTopicResult<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The results by partition.
    pub partitions: List<'a, WritableTxnMarkerPartitionResult>,
}

impl<'a> Wire<'a> for WritableTxnMarkerTopicResult<'a> {
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

/// The results by partition.
#[derive(Clone, Debug, Default)]
pub struct WritableTxnMarkerPartitionResult {
    /// The partition index.
    pub partition_index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for WritableTxnMarkerPartitionResult {
    const BYTES_MIN: usize = 7;

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

impl<'a> Message<'a> for WriteTxnMarkersResponse<'a> {
    const API_KEY: i16 = 27;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 1;
}
