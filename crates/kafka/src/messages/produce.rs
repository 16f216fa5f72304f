//! Produce (key 0): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Records, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct ProduceRequest<'a> {
    /// The transactional ID, or null if the producer is not transactional.
    pub transactional_id: Option<Str<'a>>,
    /// The number of acknowledgments the producer requires the leader to have received before considering a request complete. Allowed values: 0 for no acknowledgments, 1 for only the leader and -1 for the full ISR.
    pub acks: i16,
    /// The timeout to await a response in milliseconds.
    pub timeout_ms: i32,
    /// Each topic to produce to.
    pub topic_data: List<'a, TopicProduceData<'a>>,
}

impl<'a> Wire<'a> for ProduceRequest<'a> {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            transactional_id: reader.nullable_string()?,
            acks: reader.i16()?,
            timeout_ms: reader.i32()?,
            topic_data: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.nullable_string(self.transactional_id.as_deref())?;
        writer.i16(self.acks);
        writer.i32(self.timeout_ms);
        self.topic_data.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each topic to produce to.
#[derive(Clone, Debug, Default)]
pub struct TopicProduceData<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The unique topic ID
    pub topic_id: TopicId,
    /// Each partition to produce to.
    pub partition_data: List<'a, PartitionProduceData<'a>>,
}

impl<'a> Wire<'a> for TopicProduceData<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version <= 12 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 13 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partition_data: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 12 {
            writer.string(&self.name)?;
        }
        if version >= 13 {
            writer.uuid(self.topic_id);
        }
        self.partition_data.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each partition to produce to.
#[derive(Clone, Debug, Default)]
pub struct PartitionProduceData<'a> {
    /// The partition index.
    pub index: i32,
    /// The record data to be produced.
    pub records: Records<'a>,
}

impl<'a> Wire<'a> for PartitionProduceData<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            index: reader.i32()?,
            records: reader.records()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.index);
        writer.records(&self.records)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ProduceRequest<'a> {
    const API_KEY: i16 = 0;
    const MIN_VERSION: i16 = 3;
    const MAX_VERSION: i16 = 13;
    const FLEXIBLE_VERSION: i16 = 9;
}

#[derive(Clone, Debug, Default)]
pub struct ProduceResponse<'a> {
    /// Each produce response.
    pub responses: List<'a, TopicProduceResponse<'a>>,
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Endpoints for all current-leaders enumerated in PartitionProduceResponses, with errors NOT_LEADER_OR_FOLLOWER.
    pub node_endpoints: List<'a, NodeEndpoint<'a>>,
}

impl<'a> Wire<'a> for ProduceResponse<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            responses: List::read(reader)?,
            throttle_time_ms: reader.i32()?,
            node_endpoints: List::default(),
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 if version >= 10 => item.node_endpoints = List::read(&mut field)?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        self.responses.write(writer)?;
        writer.i32(self.throttle_time_ms);
        if version >= 9 {
            let tags = writer.tags();
            if version >= 10 {
                if !self.node_endpoints.is_empty() {
                    writer.tag(tags, 0, |writer| self.node_endpoints.write(writer))?;
                }
            } else {
                writer.absent(!self.node_endpoints.is_empty(), "NodeEndpoints")?;
            }
        } else {
            writer.absent(!self.node_endpoints.is_empty(), "NodeEndpoints")?;
        }
        Ok(())
    }
}

/// Each produce response.
#[derive(Clone, Debug, Default)]
pub struct TopicProduceResponse<'a> {
    /// The topic name.
    pub name: Str<'a>,
    /// The unique topic ID
    pub topic_id: TopicId,
    /// Each partition that we produced to within the topic.
    pub partition_responses: List<'a, PartitionProduceResponse<'a>>,
}

impl<'a> Wire<'a> for TopicProduceResponse<'a> {
    const BYTES_MIN: usize = 3;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            name: if version <= 12 {
                reader.string()?
            } else {
                Str::default()
            },
            topic_id: if version >= 13 {
                reader.uuid()?
            } else {
                TopicId::ZERO
            },
            partition_responses: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        if version <= 12 {
            writer.string(&self.name)?;
        }
        if version >= 13 {
            writer.uuid(self.topic_id);
        }
        self.partition_responses.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

/// Each partition that we produced to within the topic.
#[derive(Clone, Debug)]
pub struct PartitionProduceResponse<'a> {
    /// The partition index.
    pub index: i32,
    /// The error code, or 0 if there was no error.
    pub error_code: i16,
    /// The base offset.
    pub base_offset: i64,
    /// The timestamp returned by broker after appending the messages. If CreateTime is used for the topic, the timestamp will be -1. If LogAppendTime is used for the topic, the timestamp will be the broker local time when the messages are appended.
    pub log_append_time_ms: i64,
    /// The log start offset.
    pub log_start_offset: i64,
    /// The batch indices of records that caused the batch to be dropped.
    pub record_errors: List<'a, BatchIndexAndErrorMessage<'a>>,
    /// The global error message summarizing the common root cause of the records that caused the batch to be dropped.
    pub error_message: Option<Str<'a>>,
    /// The leader broker that the producer should use for future requests.
    pub current_leader: LeaderIdAndEpoch,
}

impl Default for PartitionProduceResponse<'_> {
    fn default() -> Self {
        Self {
            index: 0,
            error_code: 0,
            base_offset: 0,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: List::default(),
            error_message: None,
            current_leader: LeaderIdAndEpoch::default(),
        }
    }
}

impl<'a> Wire<'a> for PartitionProduceResponse<'a> {
    const BYTES_MIN: usize = 22;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let mut item = Self {
            index: reader.i32()?,
            error_code: reader.i16()?,
            base_offset: reader.i64()?,
            log_append_time_ms: reader.i64()?,
            log_start_offset: if version >= 5 { reader.i64()? } else { -1 },
            record_errors: if version >= 8 {
                List::read(reader)?
            } else {
                List::default()
            },
            error_message: if version >= 8 {
                reader.nullable_string()?
            } else {
                None
            },
            current_leader: LeaderIdAndEpoch::default(),
        };
        for _ in 0..reader.tag_count()? {
            let (tag, mut field) = reader.tag()?;
            match tag {
                0 if version >= 10 => item.current_leader = LeaderIdAndEpoch::read(&mut field)?,
                _ => continue,
            }
            field.tag_end(tag)?;
        }
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.i32(self.index);
        writer.i16(self.error_code);
        writer.i64(self.base_offset);
        writer.i64(self.log_append_time_ms);
        if version >= 5 {
            writer.i64(self.log_start_offset);
        }
        if version >= 8 {
            self.record_errors.write(writer)?;
            writer.nullable_string(self.error_message.as_deref())?;
        }
        if version >= 9 {
            let tags = writer.tags();
            if version >= 10 {
                if self.current_leader != LeaderIdAndEpoch::default() {
                    writer.tag(tags, 0, |writer| self.current_leader.write(writer))?;
                }
            } else {
                writer.absent(
                    self.current_leader != LeaderIdAndEpoch::default(),
                    "CurrentLeader",
                )?;
            }
        } else {
            writer.absent(
                self.current_leader != LeaderIdAndEpoch::default(),
                "CurrentLeader",
            )?;
        }
        Ok(())
    }
}

/// The batch indices of records that caused the batch to be dropped.
#[derive(Clone, Debug, Default)]
pub struct BatchIndexAndErrorMessage<'a> {
    /// The batch index of the record that caused the batch to be dropped.
    pub batch_index: i32,
    /// The error message of the record that caused the batch to be dropped.
    pub batch_index_error_message: Option<Str<'a>>,
}

impl<'a> Wire<'a> for BatchIndexAndErrorMessage<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            batch_index: reader.i32()?,
            batch_index_error_message: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.batch_index);
        writer.nullable_string(self.batch_index_error_message.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

/// The leader broker that the producer should use for future requests.
#[derive(Clone, Debug, PartialEq)]
pub struct LeaderIdAndEpoch {
    /// The ID of the current leader or -1 if the leader is unknown.
    pub leader_id: i32,
    /// The latest known leader epoch.
    pub leader_epoch: i32,
}

impl Default for LeaderIdAndEpoch {
    fn default() -> Self {
        Self {
            leader_id: -1,
            leader_epoch: -1,
        }
    }
}

impl<'a> Wire<'a> for LeaderIdAndEpoch {
    const BYTES_MIN: usize = 9;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            leader_id: reader.i32()?,
            leader_epoch: reader.i32()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.leader_id);
        writer.i32(self.leader_epoch);
        writer.no_tags();
        Ok(())
    }
}

/// Endpoints for all current-leaders enumerated in PartitionProduceResponses, with errors NOT_LEADER_OR_FOLLOWER.
#[derive(Clone, Debug, Default)]
pub struct NodeEndpoint<'a> {
    /// The ID of the associated node.
    pub node_id: i32,
    /// The node's hostname.
    pub host: Str<'a>,
    /// The node's port.
    pub port: i32,
    /// The rack of the node, or null if it has not been assigned to a rack.
    pub rack: Option<Str<'a>>,
}

impl<'a> Wire<'a> for NodeEndpoint<'a> {
    const BYTES_MIN: usize = 11;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            node_id: reader.i32()?,
            host: reader.string()?,
            port: reader.i32()?,
            rack: reader.nullable_string()?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.i32(self.node_id);
        writer.string(&self.host)?;
        writer.i32(self.port);
        writer.nullable_string(self.rack.as_deref())?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ProduceResponse<'a> {
    const API_KEY: i16 = 0;
    const MIN_VERSION: i16 = 3;
    const MAX_VERSION: i16 = 13;
    const FLEXIBLE_VERSION: i16 = 9;
}
