//! DescribeCluster (key 60): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct DescribeClusterRequest {
    /// Whether to include cluster authorized operations.
    pub include_cluster_authorized_operations: bool,
    /// The endpoint type to describe. 1=brokers, 2=controllers.
    pub endpoint_type: i8,
    /// Whether to include fenced brokers when listing brokers.
    pub include_fenced_brokers: bool,
}

impl Default for DescribeClusterRequest {
    fn default() -> Self {
        Self {
            include_cluster_authorized_operations: false,
            endpoint_type: 1,
            include_fenced_brokers: false,
        }
    }
}

impl<'a> Wire<'a> for DescribeClusterRequest {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            include_cluster_authorized_operations: reader.bool()?,
            endpoint_type: if version >= 1 { reader.i8()? } else { 1 },
            include_fenced_brokers: if version >= 2 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.bool(self.include_cluster_authorized_operations);
        if version >= 1 {
            writer.i8(self.endpoint_type);
        } else {
            writer.absent(self.endpoint_type != 1, "EndpointType")?;
        }
        if version >= 2 {
            writer.bool(self.include_fenced_brokers);
        } else {
            writer.absent(self.include_fenced_brokers, "IncludeFencedBrokers")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeClusterRequest {
    const API_KEY: i16 = 60;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct DescribeClusterResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The endpoint type that was described. 1=brokers, 2=controllers.
    pub endpoint_type: i8,
    /// The cluster ID that responding broker belongs to.
    pub cluster_id: Str<'a>,
    /// The ID of the controller. When handled by a controller, returns the current voter leader ID. When handled by a broker, returns a random alive broker ID as a fallback.
    pub controller_id: i32,
    /// Each broker in the response.
    pub brokers: List<'a, DescribeClusterBroker<'a>>,
    /// 32-bit bitfield to represent authorized operations for this cluster.
    pub cluster_authorized_operations: i32,
}

impl Default for DescribeClusterResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: None,
            endpoint_type: 1,
            cluster_id: Str::default(),
            controller_id: -1,
            brokers: List::default(),
            cluster_authorized_operations: -2147483648,
        }
    }
}

impl<'a> Wire<'a> for DescribeClusterResponse<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            endpoint_type: if version >= 1 { reader.i8()? } else { 1 },
            cluster_id: reader.string()?,
            controller_id: reader.i32()?,
            brokers: List::read(reader)?,
            cluster_authorized_operations: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        if version >= 1 {
            writer.i8(self.endpoint_type);
        } else {
            writer.absent(self.endpoint_type != 1, "EndpointType")?;
        }
        writer.string(&self.cluster_id)?;
        writer.i32(self.controller_id);
        self.brokers.write(writer)?;
        writer.i32(self.cluster_authorized_operations);
        writer.no_tags();
        Ok(())
    }
}

/// Each broker in the response.
#[derive(Clone, Debug, Default)]
pub struct DescribeClusterBroker<'a> {
    /// The broker ID.
    pub broker_id: i32,
    /// The broker hostname.
    pub host: Str<'a>,
    /// The broker port.
    pub port: i32,
    /// The rack of the broker, or null if it has not been assigned to a rack.
    pub rack: Option<Str<'a>>,
    /// Whether the broker is fenced
    pub is_fenced: bool,
}

impl<'a> Wire<'a> for DescribeClusterBroker<'a> {
    const BYTES_MIN: usize = 11;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            broker_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            rack: reader.nullable_string()?,
            is_fenced: if version >= 2 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.broker_id);
        writer.string(&self.host)?;
        writer.i32(self.port);
        writer.nullable_string(self.rack.as_deref())?;
        if version >= 2 {
            writer.bool(self.is_fenced);
        } else {
            writer.absent(self.is_fenced, "IsFenced")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeClusterResponse<'a> {
    const API_KEY: i16 = 60;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 0;
}
