//! LeaveGroup (key 13): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct LeaveGroupRequest<'a> {
    /// The ID of the group to leave.
    pub group_id: Str<'a>,
    /// The member ID to remove from the group.
    pub member_id: Str<'a>,
    /// List of leaving member identities.
    pub members: List<'a, MemberIdentity<'a>>,
}

impl<'a> Wire<'a> for LeaveGroupRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.string()?,
            member_id: if version <= 2 {
                reader.string()?
            } else {
                Str::default()
            },
            members: if version >= 3 {
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
        writer.string(&self.group_id)?;
        if version <= 2 {
            writer.string(&self.member_id)?;
        } else {
            writer.absent(!self.member_id.is_empty(), "MemberId")?;
        }
        if version >= 3 {
            self.members.write(writer)?;
        } else {
            writer.absent(!self.members.is_empty(), "Members")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// List of leaving member identities.
#[derive(Clone, Debug, Default)]
pub struct MemberIdentity<'a> {
    /// The member ID to remove from the group.
    pub member_id: Str<'a>,
    /// The group instance ID to remove from the group.
    pub group_instance_id: Option<Str<'a>>,
    /// The reason why the member left the group.
    pub reason: Option<Str<'a>>,
}

impl<'a> Wire<'a> for MemberIdentity<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            member_id: reader.string()?,
            group_instance_id: reader.nullable_string()?,
            reason: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.member_id)?;
        writer.nullable_string(self.group_instance_id.as_deref())?;
        if version >= 5 {
            writer.nullable_string(self.reason.as_deref())?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for LeaveGroupRequest<'a> {
    const API_KEY: i16 = 13;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 4;
}

#[derive(Clone, Debug, Default)]
pub struct LeaveGroupResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// List of leaving member responses.
    pub members: List<'a, MemberResponse<'a>>,
}

impl<'a> Wire<'a> for LeaveGroupResponse<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
            error_code: reader.i16()?,
            members: if version >= 3 {
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
        if version >= 1 {
            writer.i32(self.throttle_time_ms);
        }
        writer.i16(self.error_code);
        if version >= 3 {
            self.members.write(writer)?;
        } else {
            writer.absent(!self.members.is_empty(), "Members")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// List of leaving member responses.
#[derive(Clone, Debug)]
pub struct MemberResponse<'a> {
    /// The member ID to remove from the group.
    pub member_id: Str<'a>,
    /// The group instance ID to remove from the group.
    pub group_instance_id: Option<Str<'a>>,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl Default for MemberResponse<'_> {
    fn default() -> Self {
        Self {
            member_id: Str::default(),
            group_instance_id: Some(Str::default()),
            error_code: 0,
        }
    }
}

impl<'a> Wire<'a> for MemberResponse<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            member_id: reader.string()?,
            group_instance_id: reader.nullable_string()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.member_id)?;
        writer.nullable_string(self.group_instance_id.as_deref())?;
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for LeaveGroupResponse<'a> {
    const API_KEY: i16 = 13;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 5;
    const FLEXIBLE_VERSION: i16 = 4;
}
