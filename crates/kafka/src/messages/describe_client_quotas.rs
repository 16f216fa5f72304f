//! DescribeClientQuotas (key 48): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeClientQuotasRequest<'a> {
    /// Filter components to apply to quota entities.
    pub components: List<'a, ComponentData<'a>>,
    /// Whether the match is strict, i.e. should exclude entities with unspecified entity types.
    pub strict: bool,
}

impl<'a> Wire<'a> for DescribeClientQuotasRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            components: List::read(reader)?,
            strict: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.components.write(writer)?;
        writer.bool(self.strict);
        writer.no_tags();
        Ok(())
    }
}

/// Filter components to apply to quota entities.
#[derive(Clone, Debug)]
pub struct ComponentData<'a> {
    /// The entity type that the filter component applies to.
    pub entity_type: Str<'a>,
    /// How to match the entity {0 = exact name, 1 = default name, 2 = any specified name}.
    pub match_type: i8,
    /// The string to match against, or null if unused for the match type.
    pub r#match: Option<Str<'a>>,
}

impl Default for ComponentData<'_> {
    fn default() -> Self {
        Self {
            entity_type: Str::default(),
            match_type: 0,
            r#match: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for ComponentData<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            entity_type: reader.string()?,
            match_type: reader.i8()?,
            r#match: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.entity_type)?;
        writer.i8(self.match_type);
        writer.nullable_string(self.r#match.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeClientQuotasRequest<'a> {
    const API_KEY: i16 = 48;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 1;
}

#[derive(Clone, Debug)]
pub struct DescribeClientQuotasResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or `0` if the quota description succeeded.
    pub error_code: i16,
    /// The error message, or `null` if the quota description succeeded.
    pub error_message: Option<Str<'a>>,
    /// A result entry.
    pub entries: Option<List<'a, EntryData<'a>>>,
}

impl Default for DescribeClientQuotasResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            entries: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for DescribeClientQuotasResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            entries: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.nullable_list(self.entries.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// A result entry.
#[derive(Clone, Debug, Default)]
pub struct EntryData<'a> {
    /// The quota entity description.
    pub entity: List<'a, EntityData<'a>>,
    /// The quota values for the entity.
    pub values: List<'a, ValueData<'a>>,
}

impl<'a> Wire<'a> for EntryData<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            entity: List::read(reader)?,
            values: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.entity.write(writer)?;
        self.values.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The quota entity description.
#[derive(Clone, Debug)]
pub struct EntityData<'a> {
    /// The entity type.
    pub entity_type: Str<'a>,
    /// The entity name, or null if the default.
    pub entity_name: Option<Str<'a>>,
}

impl Default for EntityData<'_> {
    fn default() -> Self {
        Self {
            entity_type: Str::default(),
            entity_name: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for EntityData<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            entity_type: reader.string()?,
            entity_name: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.entity_type)?;
        writer.nullable_string(self.entity_name.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The quota values for the entity.
#[derive(Clone, Debug, Default)]
pub struct ValueData<'a> {
    /// The quota configuration key.
    pub key: Str<'a>,
    /// The quota configuration value.
    pub value: f64,
}

impl<'a> Wire<'a> for ValueData<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            key: reader.string()?,
            value: reader.f64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.key)?;
        writer.f64(self.value);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeClientQuotasResponse<'a> {
    const API_KEY: i16 = 48;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 1;
}
