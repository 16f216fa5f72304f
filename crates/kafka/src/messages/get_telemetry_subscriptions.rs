//! GetTelemetrySubscriptions (key 71): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct GetTelemetrySubscriptionsRequest {
    /// Unique id for this client instance, must be set to 0 on the first request.
    pub client_instance_id: TopicId,
}

impl<'a> Wire<'a> for GetTelemetrySubscriptionsRequest {
    const BYTES_MIN: usize = 17;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            client_instance_id: reader.uuid()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.uuid(self.client_instance_id);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for GetTelemetrySubscriptionsRequest {
    const API_KEY: i16 = 71;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct GetTelemetrySubscriptionsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// Assigned client instance id if ClientInstanceId was 0 in the request, else 0.
    pub client_instance_id: TopicId,
    /// Unique identifier for the current subscription set for this client instance.
    pub subscription_id: i32,
    /// Compression types that broker accepts for the PushTelemetryRequest.
    pub accepted_compression_types: List<'a, i8>,
    /// Configured push interval, which is the lowest configured interval in the current subscription set.
    pub push_interval_ms: i32,
    /// The maximum bytes of binary data the broker accepts in PushTelemetryRequest.
    pub telemetry_max_bytes: i32,
    /// Flag to indicate monotonic/counter metrics are to be emitted as deltas or cumulative values.
    pub delta_temporality: bool,
    /// Requested metrics prefix string match. Empty array: No metrics subscribed, Array\[0\] empty string: All metrics subscribed.
    pub requested_metrics: List<'a, Str<'a>>,
}

impl<'a> Wire<'a> for GetTelemetrySubscriptionsResponse<'a> {
    const BYTES_MIN: usize = 38;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            client_instance_id: reader.uuid()?,
            subscription_id: reader.i32()?,
            accepted_compression_types: List::read(reader)?,
            push_interval_ms: reader.i32()?,
            telemetry_max_bytes: reader.i32()?,
            delta_temporality: reader.bool()?,
            requested_metrics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.uuid(self.client_instance_id);
        writer.i32(self.subscription_id);
        self.accepted_compression_types.write(writer)?;
        writer.i32(self.push_interval_ms);
        writer.i32(self.telemetry_max_bytes);
        writer.bool(self.delta_temporality);
        self.requested_metrics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for GetTelemetrySubscriptionsResponse<'a> {
    const API_KEY: i16 = 71;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
