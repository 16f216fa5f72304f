//! DeleteGroups (key 42): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DeleteGroupsRequest<'a> {
    /// The group names to delete.
    pub groups_names: List<'a, Str<'a>>,
}

impl<'a> Wire<'a> for DeleteGroupsRequest<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            groups_names: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.groups_names.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteGroupsRequest<'a> {
    const API_KEY: i16 = 42;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}

#[derive(Clone, Debug, Default)]
pub struct DeleteGroupsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The deletion results.
    pub results: List<'a, DeletableGroupResult<'a>>,
}

impl<'a> Wire<'a> for DeleteGroupsResponse<'a> {
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

/// The deletion results.
#[derive(Clone, Debug, Default)]
pub struct DeletableGroupResult<'a> {
    /// The group id.
    pub group_id: Str<'a>,
    /// The deletion error, or 0 if the deletion succeeded.
    pub error_code: i16,
}

impl<'a> Wire<'a> for DeletableGroupResult<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_id: reader.string()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteGroupsResponse<'a> {
    const API_KEY: i16 = 42;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 2;
    const FLEXIBLE_VERSION: i16 = 2;
}
