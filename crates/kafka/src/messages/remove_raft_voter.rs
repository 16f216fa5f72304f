//! RemoveRaftVoter (key 81): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct RemoveRaftVoterRequest<'a> {
    /// The cluster id of the request.
    pub cluster_id: Option<Str<'a>>,
    /// The replica id of the voter getting removed from the topic partition.
    pub voter_id: i32,
    /// The directory id of the voter getting removed from the topic partition.
    pub voter_directory_id: TopicId,
}

impl Default for RemoveRaftVoterRequest<'_> {
    fn default() -> Self {
        Self {
            cluster_id: Some(Str::default()),
            voter_id: 0,
            voter_directory_id: TopicId::ZERO,
        }
    }
}

impl<'a> Wire<'a> for RemoveRaftVoterRequest<'a> {
    const BYTES_MIN: usize = 22;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            cluster_id: reader.nullable_string()?,
            voter_id: reader.i32()?,
            voter_directory_id: reader.uuid()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.nullable_string(self.cluster_id.as_deref())?;
        writer.i32(self.voter_id);
        writer.uuid(self.voter_directory_id);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for RemoveRaftVoterRequest<'a> {
    const API_KEY: i16 = 81;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct RemoveRaftVoterResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for RemoveRaftVoterResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for RemoveRaftVoterResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for RemoveRaftVoterResponse<'a> {
    const API_KEY: i16 = 81;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
