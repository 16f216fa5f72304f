//! DeleteAcls (key 31): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DeleteAclsRequest<'a> {
    /// The filters to use when deleting ACLs.
    pub filters: List<'a, DeleteAclsFilter<'a>>,
}

impl<'a> Wire<'a> for DeleteAclsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            filters: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.filters.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The filters to use when deleting ACLs.
#[derive(Clone, Debug)]
pub struct DeleteAclsFilter<'a> {
    /// The resource type.
    pub resource_type_filter: i8,
    /// The resource name, or null to match any resource name.
    pub resource_name_filter: Option<Str<'a>>,
    /// The pattern type.
    pub pattern_type_filter: i8,
    /// The principal filter, or null to accept all principals.
    pub principal_filter: Option<Str<'a>>,
    /// The host filter, or null to accept all hosts.
    pub host_filter: Option<Str<'a>>,
    /// The ACL operation.
    pub operation: i8,
    /// The permission type.
    pub permission_type: i8,
}

impl Default for DeleteAclsFilter<'_> {
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

impl<'a> Wire<'a> for DeleteAclsFilter<'a> {
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

impl<'a> Message<'a> for DeleteAclsRequest<'a> {
    const API_KEY: i16 = 31;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct DeleteAclsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The results for each filter.
    pub filter_results: List<'a, DeleteAclsFilterResult<'a>>,
}

impl<'a> Wire<'a> for DeleteAclsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            filter_results: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.filter_results.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each filter.
#[derive(Clone, Debug)]
pub struct DeleteAclsFilterResult<'a> {
    /// The error code, or 0 if the filter succeeded.
    pub error_code: i16,
    /// The error message, or null if the filter succeeded.
    pub error_message: Option<Str<'a>>,
    /// The ACLs which matched this filter.
    pub matching_acls: List<'a, DeleteAclsMatchingAcl<'a>>,
}

impl Default for DeleteAclsFilterResult<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            matching_acls: List::default(),
        }
    }
}

impl<'a> Wire<'a> for DeleteAclsFilterResult<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            matching_acls: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.matching_acls.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The ACLs which matched this filter.
#[derive(Clone, Debug)]
pub struct DeleteAclsMatchingAcl<'a> {
    /// The deletion error code, or 0 if the deletion succeeded.
    pub error_code: i16,
    /// The deletion error message, or null if the deletion succeeded.
    pub error_message: Option<Str<'a>>,
    /// The ACL resource type.
    pub resource_type: i8,
    /// The ACL resource name.
    pub resource_name: Str<'a>,
    /// The ACL resource pattern type.
    pub pattern_type: i8,
    /// The ACL principal.
    pub principal: Str<'a>,
    /// The ACL host.
    pub host: Str<'a>,
    /// The ACL operation.
    pub operation: i8,
    /// The ACL permission type.
    pub permission_type: i8,
}

impl Default for DeleteAclsMatchingAcl<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: Some(Str::default()),
            resource_type: 0,
            resource_name: Str::default(),
            pattern_type: 3,
            principal: Str::default(),
            host: Str::default(),
            operation: 0,
            permission_type: 0,
        }
    }
}

impl<'a> Wire<'a> for DeleteAclsMatchingAcl<'a> {
    const BYTES_MIN: usize = 11;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            resource_type: reader.i8()?,
            resource_name: reader.string()?,
            pattern_type: reader.i8()?,
            principal: reader.string()?,
            host: reader.string()?,
            operation: reader.i8()?,
            permission_type: reader.i8()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.i8(self.resource_type);
        writer.string(&self.resource_name)?;
        writer.i8(self.pattern_type);
        writer.string(&self.principal)?;
        writer.string(&self.host)?;
        writer.i8(self.operation);
        writer.i8(self.permission_type);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteAclsResponse<'a> {
    const API_KEY: i16 = 31;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = 2;
}
