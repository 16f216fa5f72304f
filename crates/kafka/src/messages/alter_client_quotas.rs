//! AlterClientQuotas (key 49): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct AlterClientQuotasRequest<'a> {
    /// The quota configuration entries to alter.
    pub entries: List<'a, EntryData<'a>>,
    /// Whether the alteration should be validated, but not performed.
    pub validate_only: bool,
}

impl<'a> Wire<'a> for AlterClientQuotasRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            entries: List::read(reader)?,
            validate_only: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.entries.write(writer)?;
        writer.bool(self.validate_only);
        writer.no_tags();
        Ok(())
    }
}

/// The quota configuration entries to alter.
#[derive(Clone, Debug, Default)]
pub struct EntryData<'a> {
    /// The quota entity to alter.
    pub entity: List<'a, EntityData<'a>>,
    /// An individual quota configuration entry to alter.
    pub ops: List<'a, OpData<'a>>,
}

impl<'a> Wire<'a> for EntryData<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            entity: List::read(reader)?,
            ops: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.entity.write(writer)?;
        self.ops.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The quota entity to alter.
#[derive(Clone, Debug)]
pub struct EntityData<'a> {
    /// The entity type.
    pub entity_type: Str<'a>,
    /// The name of the entity, or null if the default.
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

/// An individual quota configuration entry to alter.
#[derive(Clone, Debug, Default)]
pub struct OpData<'a> {
    /// The quota configuration key.
    pub key: Str<'a>,
    /// The value to set, otherwise ignored if the value is to be removed.
    pub value: f64,
    /// Whether the quota configuration value should be removed, otherwise set.
    pub remove: bool,
}

impl<'a> Wire<'a> for OpData<'a> {
    const BYTES_MIN: usize = 11;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            key: reader.string()?,
            value: reader.f64()?,
            remove: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.key)?;
        writer.f64(self.value);
        writer.bool(self.remove);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AlterClientQuotasRequest<'a> {
    const API_KEY: i16 = 49;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 1;
}

#[derive(Clone, Debug, Default)]
pub struct AlterClientQuotasResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The quota configuration entries to alter.
    pub entries: List<'a, ResponseEntryData<'a>>,
}

impl<'a> Wire<'a> for AlterClientQuotasResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            entries: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.entries.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The quota configuration entries to alter.
#[derive(Clone, Debug)]
pub struct ResponseEntryData<'a> {
    /// The error code, or `0` if the quota alteration succeeded.
    pub error_code: i16,
    /// The error message, or `null` if the quota alteration succeeded.
    pub error_message: Option<Str<'a>>,
    /// The quota entity to alter.
    pub entity: List<'a, ResponseEntityData<'a>>,
}

impl Default for ResponseEntryData<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            entity: List::default(),
        }
    }
}

impl<'a> Wire<'a> for ResponseEntryData<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            entity: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.entity.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The quota entity to alter.
#[derive(Clone, Debug)]
pub struct ResponseEntityData<'a> {
    /// The entity type.
    pub entity_type: Str<'a>,
    /// The name of the entity, or null if the default.
    pub entity_name: Option<Str<'a>>,
}

impl Default for ResponseEntityData<'_> {
    fn default() -> Self {
        Self {
            entity_type: Str::default(),
            entity_name: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for ResponseEntityData<'a> {
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

impl<'a> Message<'a> for AlterClientQuotasResponse<'a> {
    const API_KEY: i16 = 49;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 1;
}
