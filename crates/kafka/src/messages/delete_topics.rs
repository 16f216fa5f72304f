//! DeleteTopics (key 20): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct DeleteTopicsRequest<'a> {
    /// The name or topic ID of the topic.
    pub topics: List<'a, DeleteTopicState<'a>>,
    /// The names of the topics to delete.
    pub topic_names: List<'a, Str<'a>>,
    /// The length of time in milliseconds to wait for the deletions to complete.
    pub timeout_ms: i32,
}

impl<'a> Wire<'a> for DeleteTopicsRequest<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            topics: if version >= 6 {
                List::read(reader)?
            } else {
                List::default()
            },
            topic_names: if version <= 5 {
                List::read(reader)?
            } else {
                List::default()
            },
            timeout_ms: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 6 {
            self.topics.write(writer)?;
        } else {
            writer.absent(!self.topics.is_empty(), "Topics")?;
        }
        if version <= 5 {
            self.topic_names.write(writer)?;
        }
        writer.i32(self.timeout_ms);
        writer.no_tags();
        Ok(())
    }
}

/// The name or topic ID of the topic.
#[derive(Clone, Debug, Default)]
pub struct DeleteTopicState<'a> {
    /// The topic name.
    pub name: Option<Str<'a>>,
    /// The unique topic ID.
    pub topic_id: TopicId,
}

impl<'a> Wire<'a> for DeleteTopicState<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.nullable_string()?,
            topic_id: reader.uuid()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.nullable_string(self.name.as_deref())?;
        writer.uuid(self.topic_id);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteTopicsRequest<'a> {
    const API_KEY: i16 = 20;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 6;
    const FLEXIBLE_VERSION: i16 = 4;
}

#[derive(Clone, Debug, Default)]
pub struct DeleteTopicsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The results for each topic we tried to delete.
    pub responses: List<'a, DeletableTopicResult<'a>>,
}

impl<'a> Wire<'a> for DeleteTopicsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            responses: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.responses.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The results for each topic we tried to delete.
#[derive(Clone, Debug)]
pub struct DeletableTopicResult<'a> {
    /// The topic name.
    pub name: Option<Str<'a>>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The deletion error, or 0 if the deletion succeeded.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
}

impl Default for DeletableTopicResult<'_> {
    fn default() -> Self {
        Self {
            name: Some(Str::default()),
            topic_id: TopicId::ZERO,
            error_code: 0,
            error_message: None,
        }
    }
}

impl<'a> Wire<'a> for DeletableTopicResult<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version >= 6 {
                reader.nullable_string()?
            } else {
                Some(reader.string()?)
            },
            topic_id: if version >= 6 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            error_code: reader.i16()?,
            error_message: if version >= 5 {
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
        if version >= 6 {
            writer.nullable_string(self.name.as_deref())?;
        } else {
            writer.string(writer.required(self.name.as_deref())?)?;
        }
        if version >= 6 {
            writer.uuid(self.topic_id);
        }
        writer.i16(self.error_code);
        if version >= 5 {
            writer.nullable_string(self.error_message.as_deref())?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for DeleteTopicsResponse<'a> {
    const API_KEY: i16 = 20;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 6;
    const FLEXIBLE_VERSION: i16 = 4;
}
