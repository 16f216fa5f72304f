//! ListConfigResources (key 74): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct ListConfigResourcesRequest<'a> {
    /// The list of resource type. If the list is empty, it uses default supported config resource types.
    pub resource_types: List<'a, i8>,
}

impl<'a> Wire<'a> for ListConfigResourcesRequest<'a> {
    const BYTES_MIN: usize = 1;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            resource_types: if version >= 1 {
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
            self.resource_types.write(writer)?;
        } else {
            writer.absent(!self.resource_types.is_empty(), "ResourceTypes")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListConfigResourcesRequest<'a> {
    const API_KEY: i16 = 74;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct ListConfigResourcesResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// Each config resource in the response.
    pub config_resources: List<'a, ConfigResource<'a>>,
}

impl<'a> Wire<'a> for ListConfigResourcesResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            config_resources: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        self.config_resources.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each config resource in the response.
#[derive(Clone, Debug)]
pub struct ConfigResource<'a> {
    /// The resource name.
    pub resource_name: Str<'a>,
    /// The resource type.
    pub resource_type: i8,
}

impl Default for ConfigResource<'_> {
    fn default() -> Self {
        Self {
            resource_name: Str::default(),
            resource_type: 16,
        }
    }
}

impl<'a> Wire<'a> for ConfigResource<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            resource_name: reader.string()?,
            resource_type: if version >= 1 { reader.i8()? } else { 16 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.resource_name)?;
        if version >= 1 {
            writer.i8(self.resource_type);
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListConfigResourcesResponse<'a> {
    const API_KEY: i16 = 74;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}
