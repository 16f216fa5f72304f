//! Heartbeat (key 12): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct HeartbeatRequest<'a> {
    /// The group id.
    pub group_id: Str<'a>,
    /// The generation of the group.
    pub generation_id: i32,
    /// The member ID.
    pub member_id: Str<'a>,
    /// The unique identifier of the consumer instance provided by end user.
    pub group_instance_id: Option<Str<'a>>,
}

impl<'a> Wire<'a> for HeartbeatRequest<'a> {
    const BYTES_MIN: usize = 8;

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
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for HeartbeatRequest<'a> {
    const API_KEY: i16 = 12;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 4;
}

#[derive(Clone, Debug, Default)]
pub struct HeartbeatResponse {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for HeartbeatResponse {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 1 { reader.i32()? } else { 0 },
            error_code: reader.i16()?,
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
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for HeartbeatResponse {
    const API_KEY: i16 = 12;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 4;
    const FLEXIBLE_VERSION: i16 = 4;
}
