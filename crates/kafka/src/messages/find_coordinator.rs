//! FindCoordinator (key 10): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct FindCoordinatorRequest<'a> {
    /// The coordinator key.
    pub key: Str<'a>,
    /// The coordinator key type. (group, transaction, share).
    pub key_type: i8,
    /// The coordinator keys.
    pub coordinator_keys: List<'a, Str<'a>>,
}

impl<'a> Wire<'a> for FindCoordinatorRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            key: if version <= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            key_type: if version >= 1 { reader.i8()? } else { 0 },
            coordinator_keys: if version >= 4 {
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
        if version <= 3 {
            writer.string(&self.key)?;
        } else {
            writer.absent(!self.key.is_empty(), "Key")?;
        }
        if version >= 1 {
            writer.i8(self.key_type);
        } else {
            writer.absent(self.key_type != 0, "KeyType")?;
        }
        if version >= 4 {
            self.coordinator_keys.write(writer)?;
        } else {
            writer.absent(!self.coordinator_keys.is_empty(), "CoordinatorKeys")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for FindCoordinatorRequest<'a> {
    const API_KEY: i16 = 10;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 6;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug)]
pub struct FindCoordinatorResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The node id.
    pub node_id: i32,
    /// The host name.
    pub host: Str<'a>,
    /// The port.
    pub port: i32,
    /// Each coordinator result in the response.
    pub coordinators: List<'a, Coordinator<'a>>,
}

impl Default for FindCoordinatorResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            node_id: 0,
            host: Str::default(),
            port: 0,
            coordinators: List::default(),
        }
    }
}

impl<'a> Wire<'a> for FindCoordinatorResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
            error_code: if version <= 3 { reader.i16()? } else { 0 },
            error_message: if (1..=3).contains(&version) {
                reader.nullable_string()?
            } else {
                Some(Str::default())
            },
            node_id: if version <= 3 { reader.i32()? } else { 0 },
            host: if version <= 3 {
                reader.string()?
            } else {
                Str::default()
            },
            port: if version <= 3 { reader.i32()? } else { 0 },
            coordinators: if version >= 4 {
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
        if version >= 1 {
            writer.i32(self.throttle_time_ms);
        }
        if version <= 3 {
            writer.i16(self.error_code);
        } else {
            writer.absent(self.error_code != 0, "ErrorCode")?;
        }
        if (1..=3).contains(&version) {
            writer.nullable_string(self.error_message.as_deref())?;
        }
        if version <= 3 {
            writer.i32(self.node_id);
            writer.string(&self.host)?;
            writer.i32(self.port);
        } else {
            writer.absent(self.node_id != 0, "NodeId")?;
            writer.absent(!self.host.is_empty(), "Host")?;
            writer.absent(self.port != 0, "Port")?;
        }
        if version >= 4 {
            self.coordinators.write(writer)?;
        } else {
            writer.absent(!self.coordinators.is_empty(), "Coordinators")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// Each coordinator result in the response.
#[derive(Clone, Debug)]
pub struct Coordinator<'a> {
    /// The coordinator key.
    pub key: Str<'a>,
    /// The node id.
    pub node_id: i32,
    /// The host name.
    pub host: Str<'a>,
    /// The port.
    pub port: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for Coordinator<'_> {
    fn default() -> Self {
        Self {
            key: Str::default(),
            node_id: 0,
            host: Str::default(),
            port: 0,
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for Coordinator<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            key: reader.string()?,
            node_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.key)?;
        writer.i32(self.node_id);
        writer.string(&self.host)?;
        writer.i32(self.port);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for FindCoordinatorResponse<'a> {
    const API_KEY: i16 = 10;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 6;
    const FLEXIBLE_VERSION: i16 = 3;
}
