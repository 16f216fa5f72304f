//! AddPartitionsToTxn (key 24): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnRequest<'a> {
    /// List of transactions to add partitions to.
    pub transactions: List<'a, AddPartitionsToTxnTransaction<'a>>,
    /// The transactional id corresponding to the transaction.
    pub v3_and_below_transactional_id: Str<'a>,
    /// Current producer id in use by the transactional id.
    pub v3_and_below_producer_id: i64,
    /// Current epoch associated with the producer id.
    pub v3_and_below_producer_epoch: i16,
    /// The partitions to add to the transaction.
    pub v3_and_below_topics: List<'a, AddPartitionsToTxnTopic<'a>>,
}

impl<'a> Wire<'a> for AddPartitionsToTxnRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            transactions: if version >= 4 {
                List::read(reader)?
            } else {
                List::default()
            },
            v3_and_below_transactional_id: if version <= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            v3_and_below_producer_id: if version <= 3 { reader.i64()? } else { 0 },
            v3_and_below_producer_epoch: if version <= 3 { reader.i16()? } else { 0 },
            v3_and_below_topics: if version <= 3 {
                List::read(reader)?
            } else {
                List::default()
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 4 {
            self.transactions.write(writer)?;
        } else {
            writer.absent(!self.transactions.is_empty(), "Transactions")?;
        }
        if version <= 3 {
            writer.string(&self.v3_and_below_transactional_id)?;
            writer.i64(self.v3_and_below_producer_id);
            writer.i16(self.v3_and_below_producer_epoch);
            self.v3_and_below_topics.write(writer)?;
        } else {
            writer.absent(
                !self.v3_and_below_transactional_id.is_empty(),
                "V3AndBelowTransactionalId",
            )?;
            writer.absent(self.v3_and_below_producer_id != 0, "V3AndBelowProducerId")?;
            writer.absent(
                self.v3_and_below_producer_epoch != 0,
                "V3AndBelowProducerEpoch",
            )?;
            writer.absent(!self.v3_and_below_topics.is_empty(), "V3AndBelowTopics")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// List of transactions to add partitions to.
#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnTransaction<'a> {
    /// The transactional id corresponding to the transaction.
    pub transactional_id: Str<'a>,
    /// Current producer id in use by the transactional id.
    pub producer_id: i64,
    /// Current epoch associated with the producer id.
    pub producer_epoch: i16,
    /// Boolean to signify if we want to check if the partition is in the transaction rather than add it.
    pub verify_only: bool,
    /// The partitions to add to the transaction.
    pub topics: List<'a, AddPartitionsToTxnTopic<'a>>,
}

impl<'a> Wire<'a> for AddPartitionsToTxnTransaction<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_id: reader.string()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            verify_only: reader.bool()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.transactional_id)?;
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        writer.bool(self.verify_only);
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnTopic<'a> {
    /// The name of the topic.
    pub name: Str<'a>,
    /// The partition indexes to add to the transaction.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for AddPartitionsToTxnTopic<'a> {
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

impl<'a> Message<'a> for AddPartitionsToTxnRequest<'a> {
    const API_KEY: i16 = 24;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnResponse<'a> {
    /// Duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The response top level error code.
    pub error_code: i16,
    /// Results categorized by transactional ID.
    pub results_by_transaction: List<'a, AddPartitionsToTxnResult<'a>>,
    /// The results for each topic.
    pub results_by_topic_v3_and_below: List<'a, AddPartitionsToTxnTopicResult<'a>>,
}

impl<'a> Wire<'a> for AddPartitionsToTxnResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: if version >= 4 { reader.i16()? } else { 0 },
            results_by_transaction: if version >= 4 {
                List::read(reader)?
            } else {
                List::default()
            },
            results_by_topic_v3_and_below: if version <= 3 {
                List::read(reader)?
            } else {
                List::default()
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        if version >= 4 {
            writer.i16(self.error_code);
            self.results_by_transaction.write(writer)?;
        } else {
            writer.absent(
                !self.results_by_transaction.is_empty(),
                "ResultsByTransaction",
            )?;
        }
        if version <= 3 {
            self.results_by_topic_v3_and_below.write(writer)?;
        } else {
            writer.absent(
                !self.results_by_topic_v3_and_below.is_empty(),
                "ResultsByTopicV3AndBelow",
            )?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// Results categorized by transactional ID.
#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnResult<'a> {
    /// The transactional id corresponding to the transaction.
    pub transactional_id: Str<'a>,
    /// The results for each topic.
    pub topic_results: List<'a, AddPartitionsToTxnTopicResult<'a>>,
}

impl<'a> Wire<'a> for AddPartitionsToTxnResult<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_id: reader.string()?,
            topic_results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.transactional_id)?;
        self.topic_results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnTopicResult<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The results for each partition.
    pub results_by_partition: List<'a, AddPartitionsToTxnPartitionResult>,
}

impl<'a> Wire<'a> for AddPartitionsToTxnTopicResult<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            results_by_partition: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.results_by_partition.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct AddPartitionsToTxnPartitionResult {
    /// The partition indexes.
    pub partition_index: i32,
    /// The response error code.
    pub partition_error_code: i16,
}

impl<'a> Wire<'a> for AddPartitionsToTxnPartitionResult {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            partition_error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i16(self.partition_error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AddPartitionsToTxnResponse<'a> {
    const API_KEY: i16 = 24;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}
