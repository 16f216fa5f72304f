//! ListTransactions (key 66): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct ListTransactionsRequest<'a> {
    /// The transaction states to filter by: if empty, all transactions are returned; if non-empty, then only transactions matching one of the filtered states will be returned.
    pub state_filters: List<'a, Str<'a>>,
    /// The producerIds to filter by: if empty, all transactions will be returned; if non-empty, only transactions which match one of the filtered producerIds will be returned.
    pub producer_id_filters: List<'a, i64>,
    /// Duration (in millis) to filter by: if \< 0, all transactions will be returned; otherwise, only transactions running longer than this duration will be returned.
    pub duration_filter: i64,
    /// The transactional ID regular expression pattern to filter by: if it is empty or null, all transactions are returned; Otherwise then only the transactions matching the given regular expression will be returned.
    pub transactional_id_pattern: Option<Str<'a>>,
}

impl Default for ListTransactionsRequest<'_> {
    fn default() -> Self {
        Self {
            state_filters: List::default(),
            producer_id_filters: List::default(),
            duration_filter: -1,
            transactional_id_pattern: None,
        }
    }
}

impl<'a> Wire<'a> for ListTransactionsRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            state_filters: List::read(reader)?,
            producer_id_filters: List::read(reader)?,
            duration_filter: if version >= 1 { reader.i64()? } else { -1 },
            transactional_id_pattern: if version >= 2 {
                reader.nullable_string()?
            } else {
                None
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        self.state_filters.write(writer)?;
        self.producer_id_filters.write(writer)?;
        if version >= 1 {
            writer.i64(self.duration_filter);
        } else {
            writer.absent(self.duration_filter != -1, "DurationFilter")?;
        }
        if version >= 2 {
            writer.nullable_string(self.transactional_id_pattern.as_deref())?;
        } else {
            writer.absent(
                self.transactional_id_pattern.is_some(),
                "TransactionalIdPattern",
            )?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListTransactionsRequest<'a> {
    const API_KEY: i16 = 66;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct ListTransactionsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// Set of state filters provided in the request which were unknown to the transaction coordinator.
    pub unknown_state_filters: List<'a, Str<'a>>,
    /// The current state of the transaction for the transactional id.
    pub transaction_states: List<'a, TransactionState<'a>>,
}

impl<'a> Wire<'a> for ListTransactionsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            unknown_state_filters: List::read(reader)?,
            transaction_states: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        self.unknown_state_filters.write(writer)?;
        self.transaction_states.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The current state of the transaction for the transactional id.
#[derive(Clone, Debug, Default)]
pub struct TransactionState<'a> {
    /// The transactional id.
    pub transactional_id: Str<'a>,
    /// The producer id.
    pub producer_id: i64,
    /// The current transaction state of the producer.
    pub transaction_state: Str<'a>,
}

impl<'a> Wire<'a> for TransactionState<'a> {
    const BYTES_MIN: usize = 11;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_id: reader.string()?,
            producer_id: reader.i64()?,
            transaction_state: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.transactional_id)?;
        writer.i64(self.producer_id);
        writer.string(&self.transaction_state)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListTransactionsResponse<'a> {
    const API_KEY: i16 = 66;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}
