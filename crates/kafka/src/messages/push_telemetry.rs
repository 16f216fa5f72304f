//! PushTelemetry (key 72): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct PushTelemetryRequest<'a> {
    /// Unique id for this client instance.
    pub client_instance_id: TopicId,
    /// Unique identifier for the current subscription.
    pub subscription_id: i32,
    /// Client is terminating the connection.
    pub terminating: bool,
    /// Compression codec used to compress the metrics.
    pub compression_type: i8,
    /// Metrics encoded in OpenTelemetry MetricsData v1 protobuf format.
    pub metrics: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for PushTelemetryRequest<'a> {
    const BYTES_MIN: usize = 24;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            client_instance_id: reader.uuid()?,
            subscription_id: reader.i32()?,
            terminating: reader.bool()?,
            compression_type: reader.i8()?,
            metrics: reader.bytes()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.uuid(self.client_instance_id);
        writer.i32(self.subscription_id);
        writer.bool(self.terminating);
        writer.i8(self.compression_type);
        writer.bytes(&self.metrics)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for PushTelemetryRequest<'a> {
    const API_KEY: i16 = 72;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct PushTelemetryResponse {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for PushTelemetryResponse {
    const BYTES_MIN: usize = 7;

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

impl<'a> Message<'a> for PushTelemetryResponse {
    const API_KEY: i16 = 72;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
