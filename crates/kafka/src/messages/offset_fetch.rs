//! OffsetFetch (key 9): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct OffsetFetchRequest<'a> {
    /// The group to fetch offsets for.
    pub group_id: Str<'a>,
    /// Each topic we would like to fetch offsets for, or null to fetch offsets for all topics.
    pub topics: Option<List<'a, OffsetFetchRequestTopic<'a>>>,
    /// Each group we would like to fetch offsets for.
    pub groups: List<'a, OffsetFetchRequestGroup<'a>>,
    /// Whether broker should hold on returning unstable offsets but set a retriable error code for the partitions.
    pub require_stable: bool,
}

impl Default for OffsetFetchRequest<'_> {
    fn default() -> Self {
        Self {
            group_id: Str::default(),
            topics: Some(List::default()),
            groups: List::default(),
            require_stable: false,
        }
    }
}

impl<'a> Wire<'a> for OffsetFetchRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: if version <= 7 {
                reader.string()?
            } else {
                Str::default()
            },
            topics: if version <= 7 {
                if version >= 2 {
                    List::read_nullable(reader)?
                } else {
                    Some(List::read(reader)?)
                }
            } else {
                Some(List::default())
            },
            groups: if version >= 8 {
                List::read(reader)?
            } else {
                List::default()
            },
            require_stable: if version >= 7 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 7 {
            writer.string(&self.group_id)?;
            if version >= 2 {
                writer.nullable_list(self.topics.as_ref())?;
            } else {
                writer.required(self.topics.as_ref())?.write(writer)?;
            }
        } else {
            writer.absent(!self.group_id.is_empty(), "GroupId")?;
            writer.absent(
                self.topics.as_ref().is_none_or(|value| !value.is_empty()),
                "Topics",
            )?;
        }
        if version >= 8 {
            self.groups.write(writer)?;
        } else {
            writer.absent(!self.groups.is_empty(), "Groups")?;
        }
        if version >= 7 {
            writer.bool(self.require_stable);
        } else {
            writer.absent(self.require_stable, "RequireStable")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// Each topic we would like to fetch offsets for, or null to fetch offsets for all topics.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetchRequestTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The partition indexes we would like to fetch offsets for.
    pub partition_indexes: List<'a, i32>,
}

impl<'a> Wire<'a> for OffsetFetchRequestTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            partition_indexes: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partition_indexes.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each group we would like to fetch offsets for.
#[derive(Clone, Debug)]
pub struct OffsetFetchRequestGroup<'a> {
    /// The group ID.
    pub group_id: Str<'a>,
    /// The member id.
    pub member_id: Option<Str<'a>>,
    /// The member epoch if using the new consumer protocol (KIP-848).
    pub member_epoch: i32,
    /// Each topic we would like to fetch offsets for, or null to fetch offsets for all topics.
    pub topics: Option<List<'a, OffsetFetchRequestTopics<'a>>>,
}

impl Default for OffsetFetchRequestGroup<'_> {
    fn default() -> Self {
        Self {
            group_id: Str::default(),
            member_id: None,
            member_epoch: -1,
            topics: Some(List::default()),
        }
    }
}

impl<'a> Wire<'a> for OffsetFetchRequestGroup<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            group_id: reader.string()?,
            member_id: if version >= 9 {
                reader.nullable_string()?
            } else {
                None
            },
            member_epoch: if version >= 9 { reader.i32()? } else { -1 },
            topics: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.group_id)?;
        if version >= 9 {
            writer.nullable_string(self.member_id.as_deref())?;
            writer.i32(self.member_epoch);
        }
        writer.nullable_list(self.topics.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic we would like to fetch offsets for, or null to fetch offsets for all topics.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetchRequestTopics<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The topic ID.
    pub topic_id: TopicId,
    /// The partition indexes we would like to fetch offsets for.
    pub partition_indexes: List<'a, i32>,
}

impl<'a> Wire<'a> for OffsetFetchRequestTopics<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version <= 9 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 10 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partition_indexes: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 9 {
            writer.string(&self.name)?;
        }
        if version >= 10 {
            writer.uuid(self.topic_id);
        }
        self.partition_indexes.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetFetchRequest<'a> {
    const API_KEY: i16 = 9;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 10;
    const FLEXIBLE_VERSION: i16 = 6;
}

#[derive(Clone, Debug, Default)]
pub struct OffsetFetchResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// The responses per topic.
    pub topics: List<'a, OffsetFetchResponseTopic<'a>>,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
    /// The responses per group id.
    pub groups: List<'a, OffsetFetchResponseGroup<'a>>,
}

impl<'a> Wire<'a> for OffsetFetchResponse<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 3 { reader.i32()? } else { 0 },
            topics: if version <= 7 {
                List::read(reader)?
            } else {
                List::default()
            },
            error_code: if (2..=7).contains(&version) {
                reader.i16()?
            } else {
                0
            },
            groups: if version >= 8 {
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
        if version >= 3 {
            writer.i32(self.throttle_time_ms);
        }
        if version <= 7 {
            self.topics.write(writer)?;
        } else {
            writer.absent(!self.topics.is_empty(), "Topics")?;
        }
        if (2..=7).contains(&version) {
            writer.i16(self.error_code);
        }
        if version >= 8 {
            self.groups.write(writer)?;
        } else {
            writer.absent(!self.groups.is_empty(), "Groups")?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The responses per topic.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetchResponseTopic<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The responses per partition.
    pub partitions: List<'a, OffsetFetchResponsePartition<'a>>,
}

impl<'a> Wire<'a> for OffsetFetchResponseTopic<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses per partition.
#[derive(Clone, Debug)]
pub struct OffsetFetchResponsePartition<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The committed message offset.
    pub committed_offset: i64,
    /// The leader epoch.
    pub committed_leader_epoch: i32,
    /// The partition metadata.
    pub metadata: Option<Str<'a>>,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
}

impl Default for OffsetFetchResponsePartition<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            metadata: Some(Str::default()),
            error_code: 0,
        }
    }
}

impl<'a> Wire<'a> for OffsetFetchResponsePartition<'a> {
    const BYTES_MIN: usize = 16;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            partition_index: reader.i32()?,
            committed_offset: reader.i64()?,
            committed_leader_epoch: if version >= 5 { reader.i32()? } else { -1 },
            metadata: reader.nullable_string()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.partition_index);
        writer.i64(self.committed_offset);
        if version >= 5 {
            writer.i32(self.committed_leader_epoch);
        }
        writer.nullable_string(self.metadata.as_deref())?;
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

/// The responses per group id.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetchResponseGroup<'a> {
    /// The group ID.
    pub group_id: Str<'a>,
    /// The responses per topic.
    pub topics: List<'a, OffsetFetchResponseTopics<'a>>,
    /// The group-level error code, or 0 if there was no error.
    pub error_code: i16,
}

impl<'a> Wire<'a> for OffsetFetchResponseGroup<'a> {
    const BYTES_MIN: usize = 5;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_id: reader.string()?,
            topics: List::read(reader)?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.group_id)?;
        self.topics.write(writer)?;
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

/// The responses per topic.
#[derive(Clone, Debug, Default)]
pub struct OffsetFetchResponseTopics<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The topic ID.
    pub topic_id: TopicId,
    /// The responses per partition.
    pub partitions: List<'a, OffsetFetchResponsePartitions<'a>>,
}

impl<'a> Wire<'a> for OffsetFetchResponseTopics<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version <= 9 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 10 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 9 {
            writer.string(&self.name)?;
        }
        if version >= 10 {
            writer.uuid(self.topic_id);
        }
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The responses per partition.
#[derive(Clone, Debug)]
pub struct OffsetFetchResponsePartitions<'a> {
    /// The partition index.
    pub partition_index: i32,
    /// The committed message offset.
    pub committed_offset: i64,
    /// The leader epoch.
    pub committed_leader_epoch: i32,
    /// The partition metadata.
    pub metadata: Option<Str<'a>>,
    /// The partition-level error code, or 0 if there was no error.
    pub error_code: i16,
}

impl Default for OffsetFetchResponsePartitions<'_> {
    fn default() -> Self {
        Self {
            partition_index: 0,
            committed_offset: 0,
            committed_leader_epoch: -1,
            metadata: Some(Str::default()),
            error_code: 0,
        }
    }
}

impl<'a> Wire<'a> for OffsetFetchResponsePartitions<'a> {
    const BYTES_MIN: usize = 20;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            partition_index: reader.i32()?,
            committed_offset: reader.i64()?,
            committed_leader_epoch: reader.i32()?,
            metadata: reader.nullable_string()?,
            error_code: reader.i16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.partition_index);
        writer.i64(self.committed_offset);
        writer.i32(self.committed_leader_epoch);
        writer.nullable_string(self.metadata.as_deref())?;
        writer.i16(self.error_code);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for OffsetFetchResponse<'a> {
    const API_KEY: i16 = 9;
    const MIN_VERSION: i16 = 1;
    const MAX_VERSION: i16 = 10;
    const FLEXIBLE_VERSION: i16 = 6;
}
