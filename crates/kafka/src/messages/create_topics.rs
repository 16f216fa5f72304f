//! CreateTopics (key 19): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct CreateTopicsRequest<'a> {
    /// The topics to create.
    pub topics: List<'a, CreatableTopic<'a>>,
    /// How long to wait in milliseconds before timing out the request.
    pub timeout_ms: i32,
    /// If true, check that the topics can be created as specified, but don't create anything.
    pub validate_only: bool,
}

impl Default for CreateTopicsRequest<'_> {
    fn default() -> Self {
        Self {
            topics: List::default(),
            timeout_ms: 60000,
            validate_only: false,
        }
    }
}

impl<'a> Wire<'a> for CreateTopicsRequest<'a> {
    const BYTES_MIN: usize = 7;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topics: List::read(reader)?,
            timeout_ms: reader.i32()?,
            validate_only: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topics.write(writer)?;
        writer.i32(self.timeout_ms);
        writer.bool(self.validate_only);
        writer.no_tags();
        Ok(())
    }
}

/// The topics to create.
#[derive(Clone, Debug, Default)]
pub struct CreatableTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The number of partitions to create in the topic, or -1 if we are either specifying a manual partition assignment or using the default partitions.
    pub num_partitions: i32,
    /// The number of replicas to create for each partition in the topic, or -1 if we are either specifying a manual partition assignment or using the default replication factor.
    pub replication_factor: i16,
    /// The manual partition assignment, or the empty array if we are using automatic assignment.
    pub assignments: List<'a, CreatableReplicaAssignment<'a>>,
    /// The custom topic configurations to set.
    pub configs: List<'a, CreatableTopicConfig<'a>>,
}

impl<'a> Wire<'a> for CreatableTopic<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            num_partitions: reader.i32()?,
            replication_factor: reader.i16()?,
            assignments: List::read(reader)?,
            configs: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.i32(self.num_partitions);
        writer.i16(self.replication_factor);
        self.assignments.write(writer)?;
        self.configs.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The manual partition assignment, or the empty array if we are using automatic assignment.
#[derive(Clone, Debug, Default)]
pub struct CreatableReplicaAssignment<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The brokers to place the partition on.
    pub broker_ids: List<'a, i32>,
}

impl<'a> Wire<'a> for CreatableReplicaAssignment<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            broker_ids: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        self.broker_ids.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The custom topic configurations to set.
#[derive(Clone, Debug)]
pub struct CreatableTopicConfig<'a> {
    /// The configuration name.
    pub name: Str<'a>,
    /// The configuration value.
    pub value: Option<Str<'a>>,
}

impl Default for CreatableTopicConfig<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            value: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for CreatableTopicConfig<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            value: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.nullable_string(self.value.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreateTopicsRequest<'a> {
    const API_KEY: i16 = 19;
    const MIN_VERSION: i16 = 2;
    const MAX_VERSION: i16 = 7;
    const FLEXIBLE_VERSION: i16 = 5;
}

#[derive(Clone, Debug, Default)]
pub struct CreateTopicsResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Results for each topic we tried to create.
    pub topics: List<'a, CreatableTopicResult<'a>>,
}

impl<'a> Wire<'a> for CreateTopicsResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
        self.topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Results for each topic we tried to create.
#[derive(Clone, Debug)]
pub struct CreatableTopicResult<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The unique topic ID.
    pub topic_id: TopicId,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// Optional topic config error returned if configs are not returned in the response.
    pub topic_config_error_code: i16,
    /// Number of partitions of the topic.
    pub num_partitions: i32,
    /// Replication factor of the topic.
    pub replication_factor: i16,
    /// Configuration of the topic.
    pub configs: Option<List<'a, CreatableTopicConfigs<'a>>>,
}

impl Default for CreatableTopicResult<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            topic_id: TopicId::ZERO,
            error_code: 0,
            error_message: Some(Str::default()),
            topic_config_error_code: 0,
            num_partitions: -1,
            replication_factor: -1,
            configs: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for CreatableTopicResult<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            name: reader.string()?,
            topic_id: if version >= 7 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            topic_config_error_code: 0,
            num_partitions: if version >= 5 { reader.i32()? } else { -1 },
            replication_factor: if version >= 5 { reader.i16()? } else { -1 },
            configs: if version >= 5 {
                List::read_nullable(reader)?
            } else {
                Some(List::default())
            },
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 => item.topic_config_error_code = field.i16()?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.name)?;
        if version >= 7 {
            writer.uuid(self.topic_id);
        }
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        if version >= 5 {
            writer.i32(self.num_partitions);
            writer.i16(self.replication_factor);
            writer.nullable_list(self.configs.as_ref())?;
        }
        if version >= 5 {
            let tags = writer.tags();
            if self.topic_config_error_code != 0 {
                writer.tag(tags, 0, |writer| {
                    writer.i16(self.topic_config_error_code);
                    Ok(())
                })?;
            }
        }
        Ok(())
    }
}

/// Configuration of the topic.
#[derive(Clone, Debug)]
pub struct CreatableTopicConfigs<'a> {
    /// The configuration name.
    pub name: Str<'a>,
    /// The configuration value.
    pub value: Option<Str<'a>>,
    /// True if the configuration is read-only.
    pub read_only: bool,
    /// The configuration source.
    pub config_source: i8,
    /// True if this configuration is sensitive.
    pub is_sensitive: bool,
}

impl Default for CreatableTopicConfigs<'_> {
    fn default() -> Self {
        Self {
            name: Str::default(),
            value: Some(Str::default()),
            read_only: false,
            config_source: -1,
            is_sensitive: false,
        }
    }
}

impl<'a> Wire<'a> for CreatableTopicConfigs<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            value: reader.nullable_string()?,
            read_only: reader.bool()?,
            config_source: reader.i8()?,
            is_sensitive: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.nullable_string(self.value.as_deref())?;
        writer.bool(self.read_only);
        writer.i8(self.config_source);
        writer.bool(self.is_sensitive);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for CreateTopicsResponse<'a> {
    const API_KEY: i16 = 19;
    const MIN_VERSION: i16 = 2;
    const MAX_VERSION: i16 = 7;
    const FLEXIBLE_VERSION: i16 = 5;
}
