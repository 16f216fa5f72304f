//! ListGroups (key 16): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct ListGroupsRequest<'a> {
    /// The states of the groups we want to list. If empty, all groups are returned with their state.
    pub states_filter: List<'a, Str<'a>>,
    /// The types of the groups we want to list. If empty, all groups are returned with their type.
    pub types_filter: List<'a, Str<'a>>,
}

impl<'a> Wire<'a> for ListGroupsRequest<'a> {
    const BYTES_MIN: usize = 1;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            states_filter: if version >= 4 {
                List::read(reader)?
            } else {
                List::default()
            },
            types_filter: if version >= 5 {
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
        if version >= 4 {
            self.states_filter.write(writer)?;
        } else {
            writer.absent(!self.states_filter.is_empty(), "StatesFilter")?;
        }
        if version >= 5 {
            self.types_filter.write(writer)?;
        } else {
            writer.absent(!self.types_filter.is_empty(), "TypesFilter")?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListGroupsRequest<'a> {
    const API_KEY: i16 = 16;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}

#[derive(Clone, Debug, Default)]
pub struct ListGroupsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// Each group in the response.
    pub groups: List<'a, ListedGroup<'a>>,
}

impl<'a> Wire<'a> for ListGroupsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
            error_code: reader.i16()?,
            groups: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 1 {
            writer.i32(self.throttle_time_ms);
        }
        writer.i16(self.error_code);
        self.groups.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each group in the response.
#[derive(Clone, Debug, Default)]
pub struct ListedGroup<'a> {
    /// The group ID.
    pub group_id: Str<'a>,
    /// The group protocol type.
    pub protocol_type: Str<'a>,
    /// The group state name.
    pub group_state: Str<'a>,
    /// The group type name.
    pub group_type: Str<'a>,
}

impl<'a> Wire<'a> for ListedGroup<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.string()?,
            protocol_type: reader.string()?,
            group_state: if version >= 4 {
                reader.string()?
            } else {
                Str::default()
            },
            group_type: if version >= 5 {
                reader.string()?
            } else {
                Str::default()
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.group_id)?;
        writer.string(&self.protocol_type)?;
        if version >= 4 {
            writer.string(&self.group_state)?;
        }
        if version >= 5 {
            writer.string(&self.group_type)?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ListGroupsResponse<'a> {
    const API_KEY: i16 = 16;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 3;
}
