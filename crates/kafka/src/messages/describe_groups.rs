//! DescribeGroups (key 15): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DescribeGroupsRequest<'a> {
    /// The names of the groups to describe.
    pub groups: List<'a, Str<'a>>,
    /// Whether to include authorized operations.
    pub include_authorized_operations: bool,
}

impl<'a> Wire<'a> for DescribeGroupsRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            groups: List::read(reader)?,
            include_authorized_operations: if version >= 3 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        self.groups.write(writer)?;
        if version >= 3 {
            writer.bool(self.include_authorized_operations);
        } else {
            writer.absent(
                self.include_authorized_operations,
                "IncludeAuthorizedOperations",
            )?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeGroupsRequest<'a> {
    const API_KEY: i16 = 15;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 6;
    const FLEXIBLE_VERSION: i16 = 5;
}

#[derive(Clone, Debug, Default)]
pub struct DescribeGroupsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each described group.
    pub groups: List<'a, DescribedGroup<'a>>,
}

impl<'a> Wire<'a> for DescribeGroupsResponse<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
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
        self.groups.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each described group.
#[derive(Clone, Debug)]
pub struct DescribedGroup<'a> {
    /// The describe error, or 0 if there was no error.
    pub error_code: i16,
    /// The describe error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The group ID string.
    pub group_id: Str<'a>,
    /// The group state string, or the empty string.
    pub group_state: Str<'a>,
    /// The group protocol type, or the empty string.
    pub protocol_type: Str<'a>,
    /// The group protocol data, or the empty string.
    pub protocol_data: Str<'a>,
    /// The group members.
    pub members: List<'a, DescribedGroupMember<'a>>,
    /// 32-bit bitfield to represent authorized operations for this group.
    pub authorized_operations: i32,
}

impl Default for DescribedGroup<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            error_message: None,
            group_id: Str::default(),
            group_state: Str::default(),
            protocol_type: Str::default(),
            protocol_data: Str::default(),
            members: List::default(),
            authorized_operations: -2147483648,
        }
    }
}

impl<'a> Wire<'a> for DescribedGroup<'a> {
    const BYTES_MIN: usize = 12;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
            error_message: if version >= 6 {
                reader.nullable_string()?
            } else {
                None
            },
            group_id: reader.string()?,
            group_state: reader.string()?,
            protocol_type: reader.string()?,
            protocol_data: reader.string()?,
            members: List::read(reader)?,
            authorized_operations: if version >= 3 {
                reader.i32()?
            } else {
                -2147483648
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i16(self.error_code);
        if version >= 6 {
            writer.nullable_string(self.error_message.as_deref())?;
        } else {
            writer.absent(self.error_message.is_some(), "ErrorMessage")?;
        }
        writer.string(&self.group_id)?;
        writer.string(&self.group_state)?;
        writer.string(&self.protocol_type)?;
        writer.string(&self.protocol_data)?;
        self.members.write(writer)?;
        if version >= 3 {
            writer.i32(self.authorized_operations);
        } else {
            writer.absent(
                self.authorized_operations != -2147483648,
                "AuthorizedOperations",
            )?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The group members.
#[derive(Clone, Debug, Default)]
pub struct DescribedGroupMember<'a> {
    /// The member id.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
    /// The client ID used in the member's latest join group request.
    pub client_id: Str<'a>,
    /// The client host.
    pub client_host: Str<'a>,
    /// The metadata corresponding to the current group protocol in use.
    pub member_metadata: Cow<'a, [u8]>,
    /// The current assignment provided by the group leader.
    pub member_assignment: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for DescribedGroupMember<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            member_id: reader.string()?,
            group_instance_id: if version >= 4 {
                reader.nullable_string()?
            } else {
                None
            },
            client_id: reader.string()?,
            client_host: reader.string()?,
            member_metadata: reader.bytes()?,
            member_assignment: reader.bytes()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.member_id)?;
        if version >= 4 {
            writer.nullable_string(self.group_instance_id.as_deref())?;
        }
        writer.string(&self.client_id)?;
        writer.string(&self.client_host)?;
        writer.bytes(&self.member_metadata)?;
        writer.bytes(&self.member_assignment)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DescribeGroupsResponse<'a> {
    const API_KEY: i16 = 15;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 6;
    const FLEXIBLE_VERSION: i16 = 5;
}
