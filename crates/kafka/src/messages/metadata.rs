//! Metadata (key 3): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct MetadataRequest<'a> {
    /// The topics to fetch metadata for.
    pub topics: Option<List<'a, MetadataRequestTopic<'a>>>,
    /// If this is true, the broker may auto-create topics that we requested which do not already exist, if it is configured to do so.
    pub allow_auto_topic_creation: bool,
    /// Whether to include cluster authorized operations.
    pub include_cluster_authorized_operations: bool,
    /// Whether to include topic authorized operations.
    pub include_topic_authorized_operations: bool,
}

impl Default for MetadataRequest<'_> {
    fn default() -> Self {
        Self {
            topics: Some(List::default()),
            allow_auto_topic_creation: true,
            include_cluster_authorized_operations: false,
            include_topic_authorized_operations: false,
        }
    }
}

impl<'a> Wire<'a> for MetadataRequest<'a> {
    const BYTES_MIN: usize = 4;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            topics: if version >= 1 {
                List::read_nullable(reader)?
            } else {
                Some(List::read(reader)?)
            },
            allow_auto_topic_creation: if version >= 4 { reader.bool()? } else { true },
            include_cluster_authorized_operations: if (8..=10).contains(&version) {
                reader.bool()?
            } else {
                false
            },
            include_topic_authorized_operations: if version >= 8 { reader.bool()? } else { false },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 1 {
            writer.nullable_list(self.topics.as_ref())?;
        } else {
            writer.required(self.topics.as_ref())?.write(writer)?;
        }
        if version >= 4 {
            writer.bool(self.allow_auto_topic_creation);
        } else {
            writer.absent(!self.allow_auto_topic_creation, "AllowAutoTopicCreation")?;
        }
        if (8..=10).contains(&version) {
            writer.bool(self.include_cluster_authorized_operations);
        } else {
            writer.absent(
                self.include_cluster_authorized_operations,
                "IncludeClusterAuthorizedOperations",
            )?;
        }
        if version >= 8 {
            writer.bool(self.include_topic_authorized_operations);
        } else {
            writer.absent(
                self.include_topic_authorized_operations,
                "IncludeTopicAuthorizedOperations",
            )?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// The topics to fetch metadata for.
#[derive(Clone, Debug)]
pub struct MetadataRequestTopic<'a> {
    /// The topic id.
    pub topic_id: TopicId,
    /// The topic name.
    pub name: Option<Str<'a>>,
}

impl Default for MetadataRequestTopic<'_> {
    fn default() -> Self {
        Self {
            topic_id: TopicId::ZERO,
            name: Some(Str::default()),
        }
    }
}

impl<'a> Wire<'a> for MetadataRequestTopic<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            topic_id: if version >= 10 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            name: if version >= 10 {
                reader.nullable_string()?
            } else {
                Some(reader.string()?)
            },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 10 {
            writer.uuid(self.topic_id);
        }
        if version >= 10 {
            writer.nullable_string(self.name.as_deref())?;
        } else {
            writer.string(writer.required(self.name.as_deref())?)?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for MetadataRequest<'a> {
    const API_KEY: i16 = 3;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 13;
    const FLEXIBLE_VERSION: i16 = 9;
}

#[derive(Clone, Debug)]
pub struct MetadataResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// A list of brokers present in the cluster.
    pub brokers: List<'a, MetadataResponseBroker<'a>>,
    /// The cluster ID that responding broker belongs to.
    pub cluster_id: Option<Str<'a>>,
    /// The ID of the controller broker.
    pub controller_id: i32,
    /// Each topic in the response.
    pub topics: List<'a, MetadataResponseTopic<'a>>,
    /// 32-bit bitfield to represent authorized operations for this cluster.
    pub cluster_authorized_operations: i32,
    /// The top-level error code, or 0 if there was no error.
    pub error_code: i16,
}

impl Default for MetadataResponse<'_> {
    fn default() -> Self {
        Self {
            throttle_time_ms: 0,
            brokers: List::default(),
            cluster_id: None,
            controller_id: -1,
            topics: List::default(),
            cluster_authorized_operations: -2147483648,
            error_code: 0,
        }
    }
}

impl<'a> Wire<'a> for MetadataResponse<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            throttle_time_ms: if version >= 3 { reader.i32()? } else { 0 },
            brokers: List::read(reader)?,
            cluster_id: if version >= 2 {
                reader.nullable_string()?
            } else {
                None
            },
            controller_id: if version >= 1 { reader.i32()? } else { -1 },
            topics: List::read(reader)?,
            cluster_authorized_operations: if (8..=10).contains(&version) {
                reader.i32()?
            } else {
                -2147483648
            },
            error_code: if version >= 13 { reader.i16()? } else { 0 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version >= 3 {
            writer.i32(self.throttle_time_ms);
        }
        self.brokers.write(writer)?;
        if version >= 2 {
            writer.nullable_string(self.cluster_id.as_deref())?;
        }
        if version >= 1 {
            writer.i32(self.controller_id);
        }
        self.topics.write(writer)?;
        if (8..=10).contains(&version) {
            writer.i32(self.cluster_authorized_operations);
        } else {
            writer.absent(
                self.cluster_authorized_operations != -2147483648,
                "ClusterAuthorizedOperations",
            )?;
        }
        if version >= 13 {
            writer.i16(self.error_code);
        }
        writer.no_tags();
        Ok(())
    }
}

/// A list of brokers present in the cluster.
#[derive(Clone, Debug, Default)]
pub struct MetadataResponseBroker<'a> {
    /// The broker ID.
    pub node_id: i32,
    /// The broker hostname.
    pub host: Str<'a>,
    /// The broker port.
    pub port: i32,
    /// The rack of the broker, or null if it has not been assigned to a rack.
    pub rack: Option<Str<'a>>,
}

impl<'a> Wire<'a> for MetadataResponseBroker<'a> {
    const BYTES_MIN: usize = 10;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            node_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            rack: if version >= 1 {
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
        writer.i32(self.node_id);
        writer.string(&self.host)?;
        writer.i32(self.port);
        if version >= 1 {
            writer.nullable_string(self.rack.as_deref())?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// Each topic in the response.
#[derive(Clone, Debug)]
pub struct MetadataResponseTopic<'a> {
    /// The topic error, or 0 if there was no error.
    pub error_code: i16,
    /// The topic name. Null for non-existing topics queried by ID. This is never null when ErrorCode is zero. One of Name and TopicId is always populated.
    pub name: Option<Str<'a>>,
    /// The topic id. Zero for non-existing topics queried by name. This is never zero when ErrorCode is zero. One of Name and TopicId is always populated.
    pub topic_id: TopicId,
    /// True if the topic is internal.
    pub is_internal: bool,
    /// Each partition in the topic.
    pub partitions: List<'a, MetadataResponsePartition<'a>>,
    /// 32-bit bitfield to represent authorized operations for this topic.
    pub topic_authorized_operations: i32,
}

impl Default for MetadataResponseTopic<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            name: Some(Str::default()),
            topic_id: TopicId::ZERO,
            is_internal: false,
            partitions: List::default(),
            topic_authorized_operations: -2147483648,
        }
    }
}

impl<'a> Wire<'a> for MetadataResponseTopic<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
            name: if version >= 12 {
                reader.nullable_string()?
            } else {
                Some(reader.string()?)
            },
            topic_id: if version >= 10 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            is_internal: if version >= 1 { reader.bool()? } else { false },
            partitions: List::read(reader)?,
            topic_authorized_operations: if version >= 8 {
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
        if version >= 12 {
            writer.nullable_string(self.name.as_deref())?;
        } else {
            writer.string(writer.required(self.name.as_deref())?)?;
        }
        if version >= 10 {
            writer.uuid(self.topic_id);
        }
        if version >= 1 {
            writer.bool(self.is_internal);
        }
        self.partitions.write(writer)?;
        if version >= 8 {
            writer.i32(self.topic_authorized_operations);
        } else {
            writer.absent(
                self.topic_authorized_operations != -2147483648,
                "TopicAuthorizedOperations",
            )?;
        }
        writer.no_tags();
        Ok(())
    }
}

/// Each partition in the topic.
#[derive(Clone, Debug)]
pub struct MetadataResponsePartition<'a> {
    /// The partition error, or 0 if there was no error.
    pub error_code: i16,
    /// The partition index.
    pub partition_index: i32,
    /// The ID of the leader broker.
    pub leader_id: i32,
    /// The leader epoch of this partition.
    pub leader_epoch: i32,
    /// The set of all nodes that host this partition.
    pub replica_nodes: List<'a, i32>,
    /// The set of nodes that are in sync with the leader for this partition.
    pub isr_nodes: List<'a, i32>,
    /// The set of offline replicas of this partition.
    pub offline_replicas: List<'a, i32>,
}

impl Default for MetadataResponsePartition<'_> {
    fn default() -> Self {
        Self {
            error_code: 0,
            partition_index: 0,
            leader_id: 0,
            leader_epoch: -1,
            replica_nodes: List::default(),
            isr_nodes: List::default(),
            offline_replicas: List::default(),
        }
    }
}

impl<'a> Wire<'a> for MetadataResponsePartition<'a> {
    const BYTES_MIN: usize = 18;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            error_code: reader.i16()?,
            partition_index: reader.i32()?,
            leader_id: reader.i32()?,
            leader_epoch: if version >= 7 { reader.i32()? } else { -1 },
            replica_nodes: List::read(reader)?,
            isr_nodes: List::read(reader)?,
            offline_replicas: if version >= 5 {
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
        writer.i16(self.error_code);
        writer.i32(self.partition_index);
        writer.i32(self.leader_id);
        if version >= 7 {
            writer.i32(self.leader_epoch);
        }
        self.replica_nodes.write(writer)?;
        self.isr_nodes.write(writer)?;
        if version >= 5 {
            self.offline_replicas.write(writer)?;
        }
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for MetadataResponse<'a> {
    const API_KEY: i16 = 3;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 13;
    const FLEXIBLE_VERSION: i16 = 9;
}
