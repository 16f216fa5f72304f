//! RenewDelegationToken (key 39): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct RenewDelegationTokenRequest<'a> {
    /// The HMAC of the delegation token to be renewed.
    pub hmac: Cow<'a, [u8]>,
    /// The renewal time period in milliseconds.
    pub renew_period_ms: i64,
}

impl<'a> Wire<'a> for RenewDelegationTokenRequest<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            hmac: reader.bytes()?,
            renew_period_ms: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.bytes(&self.hmac)?;
        writer.i64(self.renew_period_ms);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for RenewDelegationTokenRequest<'a> {
    const API_KEY: i16 = 39;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct RenewDelegationTokenResponse {
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The timestamp in milliseconds at which this token expires.
    pub expiry_timestamp_ms: i64,
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
}

impl<'a> Wire<'a> for RenewDelegationTokenResponse {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            expiry_timestamp_ms: reader.i64()?,
            throttle_time_ms: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.i64(self.expiry_timestamp_ms);
        writer.i32(self.throttle_time_ms);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for RenewDelegationTokenResponse {
    const API_KEY: i16 = 39;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
