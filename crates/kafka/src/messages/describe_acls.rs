//! DescribeAcls (key 29): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct DescribeAclsRequest<'a> {
    /// The resource type.
    pub resource_type_filter: i8,
    /// The resource name, or null to match any resource name.
    pub resource_name_filter: Option<Str<'a>>,
    /// The resource pattern to match.
    pub pattern_type_filter: i8,
    /// The principal to match, or null to match any principal.
    pub principal_filter: Option<Str<'a>>,
    /// The host to match, or null to match any host.
    pub host_filter: Option<Str<'a>>,
    /// The operation to match.
    pub operation: i8,
    /// The permission type to match.
    pub permission_type: i8,
}

impl Default for DescribeAclsRequest<'_> {
    fn default() -> Self {
        Self {
            resource_type_filter: 0,
            resource_name_filter: Some(Str::default()),
            pattern_type_filter: 3,
            principal_filter: Some(Str::default()),
            host_filter: Some(Str::default()),
            operation: 0,
            permission_type: 0,
        }
    }
}

impl<'a> Wire<'a> for DescribeAclsRequest<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            resource_type_filter: reader.i8()?,
            resource_name_filter: reader.nullable_string()?,
            pattern_type_filter: reader.i8()?,
            principal_filter: reader.nullable_string()?,
            host_filter: reader.nullable_string()?,
            operation: reader.i8()?,
            permission_type: reader.i8()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i8(self.resource_type_filter);
        writer.nullable_string(self.resource_name_filter.as_deref())?;
        writer.i8(self.pattern_type_filter);
        writer.nullable_string(self.principal_filter.as_deref())?;
        writer.nullable_string(self.host_filter.as_deref())?;
        writer.i8(self.operation);
        writer.i8(self.permission_type);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeAclsRequest<'a> {
    const API_KEY: i16 = 29;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug)]
pub struct DescribeAclsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// Each Resource that is referenced in an ACL.
    pub resources: List<'a, DescribeAclsResource<'a>>,
}

impl Default for DescribeAclsResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
            resources: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeAclsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            resources: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.resources.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each Resource that is referenced in an ACL.
#[derive(Clone, Debug)]
pub struct DescribeAclsResource<'a> {
    /// The resource type.
    pub resource_type: i8,
    /// The resource name.
    pub resource_name: Str<'a>,
    /// The resource pattern type.
    pub pattern_type: i8,
    /// The ACLs.
    pub acls: List<'a, AclDescription<'a>>,
}

impl Default for DescribeAclsResource<'_> {
    fn default() -> Self {
        Self {
            resource_type: 0,
            resource_name: Str::default(),
            pattern_type: 3,
            acls: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DescribeAclsResource<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
            pattern_type: reader.i8()?,
            acls: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        writer.i8(self.pattern_type);
        self.acls.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The ACLs.
#[derive(Clone, Debug, Default)]
pub struct AclDescription<'a> {
    /// The ACL principal.
    pub principal: Str<'a>,
    /// The ACL host.
    pub host: Str<'a>,
    /// The ACL operation.
    pub operation: i8,
    /// The ACL permission type.
    pub permission_type: i8,
}

impl<'a> Wire<'a> for AclDescription<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            principal: reader.string()?,
            host: reader.string()?,
            operation: reader.i8()?,
            permission_type: reader.i8()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.principal)?;
        writer.string(&self.host)?;
        writer.i8(self.operation);
        writer.i8(self.permission_type);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeAclsResponse<'a> {
    const API_KEY: i16 = 29;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}
