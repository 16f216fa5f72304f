//! EndTxn (key 26): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct EndTxnRequest<'a> {
    /// The ID of the transaction to end.
    pub transactional_id: Str<'a>,
    /// The producer ID.
    pub producer_id: i64,
    /// The current epoch associated with the producer.
    pub producer_epoch: i16,
    /// True if the transaction was committed, false if it was aborted.
    pub committed: bool,
}

impl<'a> Wire<'a> for EndTxnRequest<'a> {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_id: reader.string()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            committed: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.transactional_id)?;
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        writer.bool(self.committed);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for EndTxnRequest<'a> {
    const API_KEY: i16 = 26;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug)]
pub struct EndTxnResponse {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The producer ID.
    pub producer_id: i64,
    /// The current epoch associated with the producer.
    pub producer_epoch: i16,
}

impl Default for EndTxnResponse {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            producer_id: -1,
            producer_epoch: -1,
        }
    }
}

impl<'a> Wire<'a> for EndTxnResponse {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            producer_id: if version >= 5 { reader.i64()? } else { -1 },
            producer_epoch: if version >= 5 { reader.i16()? } else { -1 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        if version >= 5 {
            writer.i64(self.producer_id);
            writer.i16(self.producer_epoch);
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for EndTxnResponse {
    const API_KEY: i16 = 26;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}
