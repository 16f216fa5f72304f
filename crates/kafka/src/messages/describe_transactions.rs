//! DescribeTransactions (key 65): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeTransactionsRequest<'a> {
    /// Array of transactionalIds to include in describe results. If empty, then no results will be returned.
    pub transactional_ids: List<'a, Str<'a>>,
}

impl<'a> Wire<'a> for DescribeTransactionsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_ids: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.transactional_ids.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeTransactionsRequest<'a> {
    const API_KEY: i16 = 65;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeTransactionsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The current state of the transaction.
    pub transaction_states: List<'a, TransactionState<'a>>,
}

impl<'a> Wire<'a> for DescribeTransactionsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            transaction_states: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.transaction_states.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The current state of the transaction.
#[derive(Clone, Debug, Default)]
pub struct TransactionState<'a> {
    /// The error code.
    pub error_code: i16,
    /// The transactional id.
    pub transactional_id: Str<'a>,
    /// The current transaction state of the producer.
    pub transaction_state: Str<'a>,
    /// The timeout in milliseconds for the transaction.
    pub transaction_timeout_ms: i32,
    /// The start time of the transaction in milliseconds.
    pub transaction_start_time_ms: i64,
    /// The current producer id associated with the transaction.
    pub producer_id: i64,
    /// The current epoch associated with the producer id.
    pub producer_epoch: i16,
    /// The set of partitions included in the current transaction (if active). When a transaction is preparing to commit or abort, this will include only partitions which do not have markers.
    pub topics: List<'a, TopicData<'a>>,
}

impl<'a> Wire<'a> for TransactionState<'a> {
    const BYTES_MIN: usize = 28;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            transactional_id: reader.string()?,
            transaction_state: reader.string()?,
            transaction_timeout_ms: reader.i32()?,
            transaction_start_time_ms: reader.i64()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.string(&self.transactional_id)?;
        writer.string(&self.transaction_state)?;
        writer.i32(self.transaction_timeout_ms);
        writer.i64(self.transaction_start_time_ms);
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The set of partitions included in the current transaction (if active). When a transaction is preparing to commit or abort, this will include only partitions which do not have markers.
#[derive(Clone, Debug, Default)]
pub struct TopicData<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The partition ids included in the current transaction.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for TopicData<'a> {
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

impl<'a> Message<'a> for DescribeTransactionsResponse<'a> {
    const API_KEY: i16 = 65;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
