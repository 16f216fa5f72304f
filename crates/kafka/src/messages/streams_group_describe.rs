//! StreamsGroupDescribe (key 89): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct StreamsGroupDescribeRequest<'a> {
    /// The ids of the groups to describe
    pub group_ids: List<'a, Str<'a>>,
    /// Whether to include authorized operations.
    pub include_authorized_operations: bool,
}

impl<'a> Wire<'a> for StreamsGroupDescribeRequest<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            group_ids: List::read(reader)?,
            include_authorized_operations: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.group_ids.write(writer)?;
        writer.bool(self.include_authorized_operations);
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for StreamsGroupDescribeRequest<'a> {
    const API_KEY: i16 = 89;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct StreamsGroupDescribeResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each described group.
    pub groups: List<'a, DescribedGroup<'a>>,
}

impl<'a> Wire<'a> for StreamsGroupDescribeResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            throttle_time_ms: reader.i32()?,
            groups: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.throttle_time_ms);
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
    /// The top-level error message, or null if there was no error.
    pub error_message: Option<Str<'a>>,
    /// The group ID string.
    pub group_id: Str<'a>,
    /// The group state string, or the empty string.
    pub group_state: Str<'a>,
    /// The group epoch.
    pub group_epoch: i32,
    /// The assignment epoch.
    pub assignment_epoch: i32,
    /// The topology metadata currently initialized for the streams application. Can be null in case of a describe error.
    pub topology: Option<Topology<'a>>,
    /// The members.
    pub members: List<'a, Member<'a>>,
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
            group_epoch: 0,
            assignment_epoch: 0,
            topology: None,
            members: List::default(),
            authorized_operations: -2147483648,
        }
    }
}

impl<'a> Wire<'a> for DescribedGroup<'a> {
    const BYTES_MIN: usize = 20;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            error_code: reader.i16()?,
            error_message: reader.nullable_string()?,
            group_id: reader.string()?,
            group_state: reader.string()?,
            group_epoch: reader.i32()?,
            assignment_epoch: reader.i32()?,
            topology: reader.nullable()?,
            members: List::read(reader)?,
            authorized_operations: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i16(self.error_code);
        writer.nullable_string(self.error_message.as_deref())?;
        writer.string(&self.group_id)?;
        writer.string(&self.group_state)?;
        writer.i32(self.group_epoch);
        writer.i32(self.assignment_epoch);
        writer.nullable(self.topology.as_ref())?;
        self.members.write(writer)?;
        writer.i32(self.authorized_operations);
        writer.no_tags();
        Ok(())
    }
}

/// The topology metadata currently initialized for the streams application. Can be null in case of a describe error.
#[derive(Clone, Debug, Default)]
pub struct Topology<'a> {
    /// The epoch of the currently initialized topology for this group.
    pub epoch: i32,
    /// The subtopologies of the streams application. This contains the configured subtopologies, where the number of partitions are set and any regular expressions are resolved to actual topics. Null if the group is uninitialized, source topics are missing or incorrectly partitioned.
    pub subtopologies: Option<List<'a, Subtopology<'a>>>,
}

impl<'a> Wire<'a> for Topology<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            epoch: reader.i32()?,
            subtopologies: List::read_nullable(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.epoch);
        writer.nullable_list(self.subtopologies.as_ref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The subtopologies of the streams application. This contains the configured subtopologies, where the number of partitions are set and any regular expressions are resolved to actual topics. Null if the group is uninitialized, source topics are missing or incorrectly partitioned.
#[derive(Clone, Debug, Default)]
pub struct Subtopology<'a> {
    /// String to uniquely identify the subtopology.
    pub subtopology_id: Str<'a>,
    /// The topics the subtopology reads from.
    pub source_topics: List<'a, Str<'a>>,
    /// The repartition topics the subtopology writes to.
    pub repartition_sink_topics: List<'a, Str<'a>>,
    /// The set of state changelog topics associated with this subtopology. Created automatically.
    pub state_changelog_topics: List<'a, TopicInfo<'a>>,
    /// The set of source topics that are internally created repartition topics. Created automatically.
    pub repartition_source_topics: List<'a, TopicInfo<'a>>,
}

impl<'a> Wire<'a> for Subtopology<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            subtopology_id: reader.string()?,
            source_topics: List::read(reader)?,
            repartition_sink_topics: List::read(reader)?,
            state_changelog_topics: List::read(reader)?,
            repartition_source_topics: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.subtopology_id)?;
        self.source_topics.write(writer)?;
        self.repartition_sink_topics.write(writer)?;
        self.state_changelog_topics.write(writer)?;
        self.repartition_source_topics.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// The members.
#[derive(Clone, Debug, Default)]
pub struct Member<'a> {
    /// The member ID.
    pub member_id: Str<'a>,
    /// The member epoch.
    pub member_epoch: i32,
    /// The member instance ID for static membership.
    pub instance_id: Option<Str<'a>>,
    /// The rack ID.
    pub rack_id: Option<Str<'a>>,
    /// The client ID.
    pub client_id: Str<'a>,
    /// The client host.
    pub client_host: Str<'a>,
    /// The epoch of the topology on the client.
    pub topology_epoch: i32,
    /// Identity of the streams instance that may have multiple clients.
    pub process_id: Str<'a>,
    /// User-defined endpoint for Interactive Queries. Null if not defined for this client.
    pub user_endpoint: Option<Endpoint<'a>>,
    /// Used for rack-aware assignment algorithm.
    pub client_tags: List<'a, KeyValue<'a>>,
    /// Cumulative changelog offsets for tasks.
    pub task_offsets: List<'a, TaskOffset<'a>>,
    /// Cumulative changelog end offsets for tasks.
    pub task_end_offsets: List<'a, TaskOffset<'a>>,
    /// The current assignment.
    pub assignment: Assignment<'a>,
    /// The target assignment.
    pub target_assignment: Assignment<'a>,
    /// True for classic members that have not been upgraded yet.
    pub is_classic: bool,
}

impl<'a> Wire<'a> for Member<'a> {
    const BYTES_MIN: usize = 28;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            member_id: reader.string()?,
            member_epoch: reader.i32()?,
            instance_id: reader.nullable_string()?,
            rack_id: reader.nullable_string()?,
            client_id: reader.string()?,
            client_host: reader.string()?,
            topology_epoch: reader.i32()?,
            process_id: reader.string()?,
            user_endpoint: reader.nullable()?,
            client_tags: List::read(reader)?,
            task_offsets: List::read(reader)?,
            task_end_offsets: List::read(reader)?,
            assignment: Assignment::read(reader)?,
            target_assignment: Assignment::read(reader)?,
            is_classic: reader.bool()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.member_id)?;
        writer.i32(self.member_epoch);
        writer.nullable_string(self.instance_id.as_deref())?;
        writer.nullable_string(self.rack_id.as_deref())?;
        writer.string(&self.client_id)?;
        writer.string(&self.client_host)?;
        writer.i32(self.topology_epoch);
        writer.string(&self.process_id)?;
        writer.nullable(self.user_endpoint.as_ref())?;
        self.client_tags.write(writer)?;
        self.task_offsets.write(writer)?;
        self.task_end_offsets.write(writer)?;
        self.assignment.write(writer)?;
        self.target_assignment.write(writer)?;
        writer.bool(self.is_classic);
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Endpoint<'a> {
    /// host of the endpoint
    pub host: Str<'a>,
    /// port of the endpoint
    pub port: u16,
}

impl<'a> Wire<'a> for Endpoint<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            host: reader.string()?,
            port: reader.u16()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.host)?;
        writer.u16(self.port);
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct TaskOffset<'a> {
    /// The subtopology identifier.
    pub subtopology_id: Str<'a>,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
}

impl<'a> Wire<'a> for TaskOffset<'a> {
    const BYTES_MIN: usize = 14;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            subtopology_id: reader.string()?,
            partition: reader.i32()?,
            offset: reader.i64()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.subtopology_id)?;
        writer.i32(self.partition);
        writer.i64(self.offset);
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Assignment<'a> {
    /// Active tasks for this client.
    pub active_tasks: List<'a, TaskIds<'a>>,
    /// Standby tasks for this client.
    pub standby_tasks: List<'a, TaskIds<'a>>,
    /// Warm-up tasks for this client.
    pub warmup_tasks: List<'a, TaskIds<'a>>,
}

impl<'a> Wire<'a> for Assignment<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            active_tasks: List::read(reader)?,
            standby_tasks: List::read(reader)?,
            warmup_tasks: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.active_tasks.write(writer)?;
        self.standby_tasks.write(writer)?;
        self.warmup_tasks.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct TaskIds<'a> {
    /// The subtopology identifier.
    pub subtopology_id: Str<'a>,
    /// The partitions of the input topics processed by this member.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for TaskIds<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            subtopology_id: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.subtopology_id)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct KeyValue<'a> {
    /// key of the config
    pub key: Str<'a>,
    /// value of the config
    pub value: Str<'a>,
}

impl<'a> Wire<'a> for KeyValue<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            key: reader.string()?,
            value: reader.string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.key)?;
        writer.string(&self.value)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct TopicInfo<'a> {
    /// The name of the topic.
    pub name: Str<'a>,
    /// The number of partitions in the topic. Can be 0 if no specific number of partitions is enforced. Always 0 for changelog topics.
    pub partitions: i32,
    /// The replication factor of the topic. Can be 0 if the default replication factor should be used.
    pub replication_factor: i16,
    /// Topic-level configurations as key-value pairs.
    pub topic_configs: List<'a, KeyValue<'a>>,
}

impl<'a> Wire<'a> for TopicInfo<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            name: reader.string()?,
            partitions: reader.i32()?,
            replication_factor: reader.i16()?,
            topic_configs: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.name)?;
        writer.i32(self.partitions);
        writer.i16(self.replication_factor);
        self.topic_configs.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for StreamsGroupDescribeResponse<'a> {
    const API_KEY: i16 = 89;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 0;
    const FLEXIBLE_VERSION: i16 = 0;
}
