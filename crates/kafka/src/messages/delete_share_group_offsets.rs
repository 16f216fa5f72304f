//! DeleteShareGroupOffsets (key 92): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DeleteShareGroupOffsetsRequest<'a> {
    /// The group identifier.
    pub group_id: Str<'a>,
    /// The topics to delete offsets for.
    pub topics: List<'a, DeleteShareGroupOffsetsRequestTopic<'a>>,
}

impl<'a> Wire<'a> for DeleteShareGroupOffsetsRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_id: reader.string()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The topics to delete offsets for.
#[derive(Clone, Debug, Default)]
pub struct DeleteShareGroupOffsetsRequestTopic<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
}

impl<'a> Wire<'a> for DeleteShareGroupOffsetsRequestTopic<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteShareGroupOffsetsRequest<'a> {
    const API_KEY: i16 = 92;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct DeleteShareGroupOffsetsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The results for each topic.
    pub responses: List<'a, DeleteShareGroupOffsetsResponseTopic<'a>>,
}

impl<'a> Wire<'a> for DeleteShareGroupOffsetsResponse<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            responses: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        self.responses.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each topic.
#[derive(Clone, Debug, Default)]
pub struct DeleteShareGroupOffsetsResponseTopic<'a> {
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The topic-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The topic-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl<'a> Wire<'a> for DeleteShareGroupOffsetsResponseTopic<'a> {
    const BYTES_MIN: usize = 21;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_name: reader.string()?,
            topic_id: reader.uuid()?,
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic_name)?;
        writer.uuid(self.topic_id);
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteShareGroupOffsetsResponse<'a> {
    const API_KEY: i16 = 92;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
