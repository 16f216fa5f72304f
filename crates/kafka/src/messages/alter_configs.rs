//! AlterConfigs (key 33): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct AlterConfigsRequest<'a> {
    /// The updates for each resource.
    pub resources: List<'a, AlterConfigsResource<'a>>,
    /// True if we should validate the request, but not change the configurations.
    pub validate_only: bool,
}

impl<'a> Wire<'a> for AlterConfigsRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            resources: List::read(reader)?,
            validate_only: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.resources.write(writer)?;
        writer.bool(self.validate_only);
        writer.no_tags();
        Ok(())
    }
}

/// The updates for each resource.
#[derive(Clone, Debug, Default)]
pub struct AlterConfigsResource<'a> {
    /// The resource type.
    pub resource_type: i8,
    /// The resource name.
    pub resource_name: Str<'a>,
    /// The configurations.
    pub configs: List<'a, AlterableConfig<'a>>,
}

impl<'a> Wire<'a> for AlterConfigsResource<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
            configs: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        self.configs.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The configurations.
#[derive(Clone, Debug)]
pub struct AlterableConfig<'a> {
    /// The configuration key name.
    pub name: Str<'a>,
    /// The value to set for the configuration key.
    pub value: Option<Str<'a>>,
}

impl Default for AlterableConfig<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            value: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for AlterableConfig<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            value: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.nullable_string(self.value.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AlterConfigsRequest<'a> {
    const API_KEY: i16 = 33;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct AlterConfigsResponse<'a> {
    /// Duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The responses for each resource.
    pub responses: List<'a, AlterConfigsResourceResponse<'a>>,
}

impl<'a> Wire<'a> for AlterConfigsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            responses: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.responses.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses for each resource.
#[derive(Clone, Debug)]
pub struct AlterConfigsResourceResponse<'a> {
    /// The resource error code.
    pub error_code: i16,
    /// The resource error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The resource type.
    pub resource_type: i8,
    /// The resource name.
    pub resource_name: Str<'a>,
}

impl Default for AlterConfigsResourceResponse<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            resource_type: 0,
            resource_name: Str::default(),
        }
    }
}

impl<'a> Wire<'a> for AlterConfigsResourceResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AlterConfigsResponse<'a> {
    const API_KEY: i16 = 33;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
