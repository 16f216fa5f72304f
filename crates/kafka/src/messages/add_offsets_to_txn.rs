//! AddOffsetsToTxn (key 25): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct AddOffsetsToTxnRequest<'a> {
    /// The transactional id corresponding to the transaction.
    pub transactional_id: Str<'a>,
    /// Current producer id in use by the transactional id.
    pub producer_id: i64,
    /// Current epoch associated with the producer id.
    pub producer_epoch: i16,
    /// The unique group identifier.
    pub group_id: Str<'a>,
}

impl<'a> Wire<'a> for AddOffsetsToTxnRequest<'a> {
    const BYTES_MIN: usize = 13;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_id: reader.string()?,
            producer_id: reader.i64()?,
            producer_epoch: reader.i16()?,
            group_id: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.transactional_id)?;
        writer.i64(self.producer_id);
        writer.i16(self.producer_epoch);
        writer.string(&self.group_id)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AddOffsetsToTxnRequest<'a> {
    const API_KEY: i16 = 25;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug, Default)]
pub struct AddOffsetsToTxnResponse {
    /// Duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The response error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for AddOffsetsToTxnResponse {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AddOffsetsToTxnResponse {
    const API_KEY: i16 = 25;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 3;
}
