//! SyncGroup (key 14): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct SyncGroupRequest<'a> {
    /// The unique group identifier.
    pub group_id: Str<'a>,
    /// The generation of the group.
    pub generation_id: i32,
    /// The member ID assigned by the group.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
    /// The group protocol type.
    pub protocol_type: Option<Str<'a>>,
    /// The group protocol name.
    pub protocol_name: Option<Str<'a>>,
    /// Each assignment.
    pub assignments: List<'a, SyncGroupRequestAssignment<'a>>,
}

impl<'a> Wire<'a> for SyncGroupRequest<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.string()?,
            generation_id: reader.i32()?,
            member_id: reader.string()?,
            group_instance_id: if version >= 3 {
                reader.nullable_string()?
            } else {
                None
            },
            protocol_type: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
            protocol_name: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
            assignments: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.group_id)?;
        writer.i32(self.generation_id);
        writer.string(&self.member_id)?;
        if version >= 3 {
            writer.nullable_string(self.group_instance_id.as_deref())?;
        } else {
            writer.absent(self.group_instance_id.is_some(), "GroupInstanceId")?;
        }
        if version >= 5 {
            writer.nullable_string(self.protocol_type.as_deref())?;
            writer.nullable_string(self.protocol_name.as_deref())?;
        }
        self.assignments.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each assignment.
#[derive(Clone, Debug, Default)]
pub struct SyncGroupRequestAssignment<'a> {
    /// The ID of the member to assign.
    pub member_id: Str<'a>,
    /// The member assignment.
    pub assignment: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for SyncGroupRequestAssignment<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            member_id: reader.string()?,
            assignment: reader.bytes()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.member_id)?;
        writer.bytes(&self.assignment)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for SyncGroupRequest<'a> {
    const API_KEY: i16 = 14;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 4;
}

#[derive(Clone, Debug, Default)]
pub struct SyncGroupResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The group protocol type.
    pub protocol_type: Option<Str<'a>>,
    /// The group protocol name.
    pub protocol_name: Option<Str<'a>>,
    /// The member assignment.
    pub assignment: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for SyncGroupResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
            error_code: reader.i16()?,
            protocol_type: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
            protocol_name: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
            assignment: reader.bytes()?,
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
        if version >= 5 {
            writer.nullable_string(self.protocol_type.as_deref())?;
            writer.nullable_string(self.protocol_name.as_deref())?;
        }
        writer.bytes(&self.assignment)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for SyncGroupResponse<'a> {
    const API_KEY: i16 = 14;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 4;
}
