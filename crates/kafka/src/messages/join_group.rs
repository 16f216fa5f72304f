//! JoinGroup (key 11): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct JoinGroupRequest<'a> {
    /// The group identifier.
    pub group_id: Str<'a>,
    /// The coordinator considers the consumer dead if it receives no heartbeat after this timeout in milliseconds.
    pub session_timeout_ms: i32,
    /// The maximum time in milliseconds that the coordinator will wait for each member to rejoin when rebalancing the group.
    pub rebalance_timeout_ms: i32,
    /// The member id assigned by the group coordinator.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
    /// The unique name the for class of protocols implemented by the group we want to join.
    pub protocol_type: Str<'a>,
    /// The list of protocols that the member supports.
    pub protocols: List<'a, JoinGroupRequestProtocol<'a>>,
    /// The reason why the member (re-)joins the group.
    pub reason: Option<Str<'a>>,
}

impl Default for JoinGroupRequest<'_> {
    fn default() -> Self {
        Self {
            group_id: Str::default(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: -1,
            member_id: Str::default(),
            group_instance_id: None,
            protocol_type: Str::default(),
            protocols: List::default(),
            reason: None,
        }
    }
}

impl<'a> Wire<'a> for JoinGroupRequest<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.string()?,
            session_timeout_ms: reader.i32()?,
            rebalance_timeout_ms: if version >= 1 { reader.i32()? } else { -1 },
            member_id: reader.string()?,
            group_instance_id: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
            protocol_type: reader.string()?,
            protocols: List::read(reader)?,
            reason: if version >= 8 {
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
        writer.string(&self.group_id)?;
        writer.i32(self.session_timeout_ms);
        if version >= 1 {
            writer.i32(self.rebalance_timeout_ms);
        }
        writer.string(&self.member_id)?;
        if version >= 5 {
            writer.nullable_string(self.group_instance_id.as_deref())?;
        } else {
            writer.absent(self.group_instance_id.is_some(), "GroupInstanceId")?;
        }
        writer.string(&self.protocol_type)?;
        self.protocols.write(writer)?;
        if version >= 8 {
            writer.nullable_string(self.reason.as_deref())?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The list of protocols that the member supports.
#[derive(Clone, Debug, Default)]
pub struct JoinGroupRequestProtocol<'a> {
    /// The protocol name.
    pub name: Str<'a>,
    /// The protocol metadata.
    pub metadata: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for JoinGroupRequestProtocol<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            metadata: reader.bytes()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.bytes(&self.metadata)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for JoinGroupRequest<'a> {
    const API_KEY: i16 = 11;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 9;
    const FLEXIBLE_VERSION: i16 = 6;
}

#[derive(Clone, Debug)]
pub struct JoinGroupResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The generation ID of the group.
    pub generation_id: i32,
    /// The group protocol name.
    pub protocol_type: Option<Str<'a>>,
    /// The group protocol selected by the coordinator.
    pub protocol_name: Option<Str<'a>>,
    /// The leader of the group.
    pub leader: Str<'a>,
    /// True if the leader must skip running the assignment.
    pub skip_assignment: bool,
    /// The member ID assigned by the group coordinator.
    pub member_id: Str<'a>,
    /// The group members.
    pub members: List<'a, JoinGroupResponseMember<'a>>,
}

impl Default for JoinGroupResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            generation_id: -1,
            protocol_type: None,
            protocol_name: Some(Str::default()),
            leader: Str::default(),
            skip_assignment: false,
            member_id: Str::default(),
            members: List::default(),
        }
    }
}

impl<'a> Wire<'a> for JoinGroupResponse<'a> {
    const BYTES_MIN: usize = 15;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 2 { reader.i32()? } else { 0 },
            error_code: reader.i16()?,
            generation_id: reader.i32()?,
            protocol_type: if version >= 7 {
                reader.nullable_string()?
            } else {
                None
            },
            protocol_name: if version >= 7 {
                reader.nullable_string()?
            } else {
                Some(reader.string()?)
            },
            leader: reader.string()?,
            skip_assignment: if version >= 9 { reader.bool()? } else { false },
            member_id: reader.string()?,
            members: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 2 {
            writer.i32(self.throttle_time_ms);
        }
        writer.i16(self.error_code);
        writer.i32(self.generation_id);
        if version >= 7 {
            writer.nullable_string(self.protocol_type.as_deref())?;
        }
        if version >= 7 {
            writer.nullable_string(self.protocol_name.as_deref())?;
        } else {
            writer.string(writer.required(self.protocol_name.as_deref())?)?;
        }
        writer.string(&self.leader)?;
        if version >= 9 {
            writer.bool(self.skip_assignment);
        } else {
            writer.absent(self.skip_assignment, "SkipAssignment")?;
        }
        writer.string(&self.member_id)?;
        self.members.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The group members.
#[derive(Clone, Debug, Default)]
pub struct JoinGroupResponseMember<'a> {
    /// The group member ID.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
    /// The group member metadata.
    pub metadata: Cow<'a, [u8]>,
}

impl<'a> Wire<'a> for JoinGroupResponseMember<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            member_id: reader.string()?,
            group_instance_id: if version >= 5 {
                reader.nullable_string()?
            } else {
                None
            },
            metadata: reader.bytes()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.member_id)?;
        if version >= 5 {
            writer.nullable_string(self.group_instance_id.as_deref())?;
        }
        writer.bytes(&self.metadata)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for JoinGroupResponse<'a> {
    const API_KEY: i16 = 11;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 9;
    const FLEXIBLE_VERSION: i16 = 6;
}
