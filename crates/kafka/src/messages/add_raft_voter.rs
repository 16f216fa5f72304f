//! AddRaftVoter (key 80): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct AddRaftVoterRequest<'a> {
    /// The cluster id.
    pub cluster_id: Option<Str<'a>>,
    /// The maximum time to wait for the request to complete before returning.
    pub timeout_ms: i32,
    /// The replica id of the voter getting added to the topic partition.
    pub voter_id: i32,
    /// The directory id of the voter getting added to the topic partition.
    pub voter_directory_id: TopicId,
    /// The endpoints that can be used to communicate with the voter.
    pub listeners: List<'a, Listener<'a>>,
    /// When true, return a response after the new voter set is committed. Otherwise, return after the leader writes the changes locally.
    pub ack_when_committed: bool,
}

impl Default for AddRaftVoterRequest<'_> {
    fn default() -> Self {
        Self {
            cluster_id: Some(Str::default()),
            timeout_ms: 0,
            voter_id: 0,
            voter_directory_id: TopicId::ZERO,
            listeners: List::default(),
            ack_when_committed: true,
        }
    }
}

impl<'a> Wire<'a> for AddRaftVoterRequest<'a> {
    const BYTES_MIN: usize = 27;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            cluster_id: reader.nullable_string()?,
            timeout_ms: reader.i32()?,
            voter_id: reader.i32()?,
            voter_directory_id: reader.uuid()?,
            listeners: List::read(reader)?,
            ack_when_committed: if version >= 1 { reader.bool()? } else { true },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.nullable_string(self.cluster_id.as_deref())?;
        writer.i32(self.timeout_ms);
        writer.i32(self.voter_id);
        writer.uuid(self.voter_directory_id);
        self.listeners.write(writer)?;
        if version >= 1 {
            writer.bool(self.ack_when_committed);
        } else {
            writer.absent(!self.ack_when_committed, "AckWhenCommitted")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The endpoints that can be used to communicate with the voter.
#[derive(Clone, Debug, Default)]
pub struct Listener<'a> {
    /// The name of the endpoint.
    pub name: Str<'a>,
    /// The hostname.
    pub host: Str<'a>,
    /// The port.
    pub port: u16,
}

impl<'a> Wire<'a> for Listener<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            host: reader.string()?,
            port: reader.u16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.string(&self.host)?;
        writer.u16(self.port);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for AddRaftVoterRequest<'a> {
    const API_KEY: i16 = 80;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug)]
pub struct AddRaftVoterResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for AddRaftVoterResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            error_code: 0,
            error_message: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for AddRaftVoterResponse<'a> {
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

impl<'a> Message<'a> for AddRaftVoterResponse<'a> {
    const API_KEY: i16 = 80;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}
