//! DescribeConfigs (key 32): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeConfigsRequest<'a> {
    /// The resources whose configurations we want to describe.
    pub resources: List<'a, DescribeConfigsResource<'a>>,
    /// True if we should include all synonyms.
    pub include_synonyms: bool,
    /// True if we should include configuration documentation.
    pub include_documentation: bool,
}

impl<'a> Wire<'a> for DescribeConfigsRequest<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            resources: List::read(reader)?,
            include_synonyms: reader.bool()?,
            include_documentation: if version >= 3 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        self.resources.write(writer)?;
        writer.bool(self.include_synonyms);
        if version >= 3 {
            writer.bool(self.include_documentation);
        } else {
            writer.absent(self.include_documentation, "IncludeDocumentation")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The resources whose configurations we want to describe.
#[derive(Clone, Debug)]
pub struct DescribeConfigsResource<'a> {
    /// The resource type.
    pub resource_type: i8,
    /// The resource name.
    pub resource_name: Str<'a>,
    /// The configuration keys to list, or null to list all configuration keys.
    pub configuration_keys: Option<List<'a, Str<'a>>>,
}

impl Default for DescribeConfigsResource<'_> {
    fn default() -> Self {
        Self {
            resource_type: 0,
            resource_name: Str::default(),
            configuration_keys: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeConfigsResource<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
            configuration_keys: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        writer.nullable_list(self.configuration_keys.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeConfigsRequest<'a> {
    const API_KEY: i16 = 32;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 4;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeConfigsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The results for each resource.
    pub results: List<'a, DescribeConfigsResult<'a>>,
}

impl<'a> Wire<'a> for DescribeConfigsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each resource.
#[derive(Clone, Debug)]
pub struct DescribeConfigsResult<'a> {
    /// The error code, or 0 if we were able to successfully describe the configurations.
    pub error_code: i16,
    /// The error message, or null if we were able to successfully describe the configurations.
    pub error_message: Option<Str<'a>>,
    /// The resource type.
    pub resource_type: i8,
    /// The resource name.
    pub resource_name: Str<'a>,
    /// Each listed configuration.
    pub configs: List<'a, DescribeConfigsResourceResult<'a>>,
}

impl Default for DescribeConfigsResult<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            resource_type: 0,
            resource_name: Str::default(),
            configs: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeConfigsResult<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
            configs: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        self.configs.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each listed configuration.
#[derive(Clone, Debug)]
pub struct DescribeConfigsResourceResult<'a> {
    /// The configuration name.
    pub name: Str<'a>,
    /// The configuration value.
    pub value: Option<Str<'a>>,
    /// True if the configuration is read-only.
    pub read_only: bool,
    /// The configuration source.
    pub config_source: i8,
    /// True if this configuration is sensitive.
    pub is_sensitive: bool,
    /// The synonyms for this configuration key.
    pub synonyms: List<'a, DescribeConfigsSynonym<'a>>,
    /// The configuration data type. Type can be one of the following values - BOOLEAN, STRING, INT, SHORT, LONG, DOUBLE, LIST, CLASS, PASSWORD.
    pub config_type: i8,
    /// The configuration documentation.
    pub documentation: Option<Str<'a>>,
}

impl Default for DescribeConfigsResourceResult<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            value: Some(Str::default()),
            read_only: false,
            config_source: -1,
            is_sensitive: false,
            synonyms: List::default(),
            config_type: 0,
            documentation: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeConfigsResourceResult<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: reader.string()?,
            value: reader.nullable_string()?,
            read_only: reader.bool()?,
            config_source: reader.i8()?,
            is_sensitive: reader.bool()?,
            synonyms: List::read(reader)?,
            config_type: if version >= 3 { reader.i8()? } else { 0 },
            documentation: if version >= 3 {
                reader.nullable_string()?
            } else {
                Some(Str::default())
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.name)?;
        writer.nullable_string(self.value.as_deref())?;
        writer.bool(self.read_only);
        writer.i8(self.config_source);
        writer.bool(self.is_sensitive);
        self.synonyms.write(writer)?;
        if version >= 3 {
            writer.i8(self.config_type);
            writer.nullable_string(self.documentation.as_deref())?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The synonyms for this configuration key.
#[derive(Clone, Debug)]
pub struct DescribeConfigsSynonym<'a> {
    /// The synonym name.
    pub name: Str<'a>,
    /// The synonym value.
    pub value: Option<Str<'a>>,
    /// The synonym source.
    pub source: i8,
}

impl Default for DescribeConfigsSynonym<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            value: Some(Str::default()),
            source: 0,
        }
    }
}

impl<'a> Wire<'a> for DescribeConfigsSynonym<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            value: reader.nullable_string()?,
            source: reader.i8()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.nullable_string(self.value.as_deref())?;
        writer.i8(self.source);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeConfigsResponse<'a> {
    const API_KEY: i16 = 32;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 4;
}
