//! CreateAcls (key 30): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct CreateAclsRequest<'a> {
    /// The ACLs that we want to create.
    pub creations: List<'a, AclCreation<'a>>,
}

impl<'a> Wire<'a> for CreateAclsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            creations: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.creations.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The ACLs that we want to create.
#[derive(Clone, Debug)]
pub struct AclCreation<'a> {
    /// The type of the resource.
    pub resource_type: i8,
    /// The resource name for the ACL.
    pub resource_name: Str<'a>,
    /// The pattern type for the ACL.
    pub resource_pattern_type: i8,
    /// The principal for the ACL.
    pub principal: Str<'a>,
    /// The host for the ACL.
    pub host: Str<'a>,
    /// The operation type for the ACL (read, write, etc.).
    pub operation: i8,
    /// The permission type for the ACL (allow, deny, etc.).
    pub permission_type: i8,
}

impl Default for AclCreation<'_> {
    fn default() -> Self {
        Self {
            resource_type: 0,
            resource_name: Str::default(),
            resource_pattern_type: 3,
            principal: Str::default(),
            host: Str::default(),
            operation: 0,
            permission_type: 0,
        }
    }
}

impl<'a> Wire<'a> for AclCreation<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
            resource_pattern_type: reader.i8()?,
            principal: reader.string()?,
            host: reader.string()?,
            operation: reader.i8()?,
            permission_type: reader.i8()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        writer.i8(self.resource_pattern_type);
        writer.string(&self.principal)?;
        writer.string(&self.host)?;
        writer.i8(self.operation);
        writer.i8(self.permission_type);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreateAclsRequest<'a> {
    const API_KEY: i16 = 30;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct CreateAclsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The results for each ACL creation.
    pub results: List<'a, AclCreationResult<'a>>,
}

impl<'a> Wire<'a> for CreateAclsResponse<'a> {
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

/// The results for each ACL creation.
#[derive(Clone, Debug)]
pub struct AclCreationResult<'a> {
    /// The result error, or zero if there was no error.
    pub error_code: i16,
    /// The result message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for AclCreationResult<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for AclCreationResult<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreateAclsResponse<'a> {
    const API_KEY: i16 = 30;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}
