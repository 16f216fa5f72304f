//! ConsumerGroupDescribe (key 69): messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use base::TopicId;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug, Default)]
pub struct ConsumerGroupDescribeRequest<'a> {
    /// The ids of the groups to describe.
    pub group_ids: List<'a, Str<'a>>,
    /// Whether to include authorized operations.
    pub include_authorized_operations: bool,
}

impl<'a> Wire<'a> for ConsumerGroupDescribeRequest<'a> {
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

impl<'a> Message<'a> for ConsumerGroupDescribeRequest<'a> {
    const API_KEY: i16 = 69;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}

#[derive(Clone, Debug, Default)]
pub struct ConsumerGroupDescribeResponse<'a> {
    /// The duration in milliseconds for which the request was throttled due to a quota violation, or zero if the request did not violate any quota.
    pub throttle_time_ms: i32,
    /// Each described group.
    pub groups: List<'a, DescribedGroup<'a>>,
}

impl<'a> Wire<'a> for ConsumerGroupDescribeResponse<'a> {
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
    /// The selected assignor.
    pub assignor_name: Str<'a>,
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
            assignor_name: Str::default(),
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
            assignor_name: reader.string()?,
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
        writer.string(&self.assignor_name)?;
        self.members.write(writer)?;
        writer.i32(self.authorized_operations);
        writer.no_tags();
        Ok(())
    }
}

/// The members.
#[derive(Clone, Debug)]
pub struct Member<'a> {
    /// The member ID.
    pub member_id: Str<'a>,
    /// The member instance ID.
    pub instance_id: Option<Str<'a>>,
    /// The member rack ID.
    pub rack_id: Option<Str<'a>>,
    /// The current member epoch.
    pub member_epoch: i32,
    /// The client ID.
    pub client_id: Str<'a>,
    /// The client host.
    pub client_host: Str<'a>,
    /// The subscribed topic names.
    pub subscribed_topic_names: List<'a, Str<'a>>,
    /// the subscribed topic regex otherwise or null of not provided.
    pub subscribed_topic_regex: Option<Str<'a>>,
    /// The current assignment.
    pub assignment: Assignment<'a>,
    /// The target assignment.
    pub target_assignment: Assignment<'a>,
    /// -1 for unknown. 0 for classic member. +1 for consumer member.
    pub member_type: i8,
}

impl Default for Member<'_> {
    fn default() -> Self {
        Self {
            member_id: Str::default(),
            instance_id: None,
            rack_id: None,
            member_epoch: 0,
            client_id: Str::default(),
            client_host: Str::default(),
            subscribed_topic_names: List::default(),
            subscribed_topic_regex: None,
            assignment: Assignment::default(),
            target_assignment: Assignment::default(),
            member_type: -1,
        }
    }
}

impl<'a> Wire<'a> for Member<'a> {
    const BYTES_MIN: usize = 16;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        let item = Self {
            member_id: reader.string()?,
            instance_id: reader.nullable_string()?,
            rack_id: reader.nullable_string()?,
            member_epoch: reader.i32()?,
            client_id: reader.string()?,
            client_host: reader.string()?,
            subscribed_topic_names: List::read(reader)?,
            subscribed_topic_regex: reader.nullable_string()?,
            assignment: Assignment::read(reader)?,
            target_assignment: Assignment::read(reader)?,
            member_type: if version >= 1 { reader.i8()? } else { -1 },
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        writer.string(&self.member_id)?;
        writer.nullable_string(self.instance_id.as_deref())?;
        writer.nullable_string(self.rack_id.as_deref())?;
        writer.i32(self.member_epoch);
        writer.string(&self.client_id)?;
        writer.string(&self.client_host)?;
        self.subscribed_topic_names.write(writer)?;
        writer.nullable_string(self.subscribed_topic_regex.as_deref())?;
        self.assignment.write(writer)?;
        self.target_assignment.write(writer)?;
        if version >= 1 {
            writer.i8(self.member_type);
        }
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct TopicPartitions<'a> {
    /// The topic ID.
    pub topic_id: TopicId,
    /// The topic name.
    pub topic_name: Str<'a>,
    /// The partitions.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for TopicPartitions<'a> {
    const BYTES_MIN: usize = 19;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_id: reader.uuid()?,
            topic_name: reader.string()?,
            partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.uuid(self.topic_id);
        writer.string(&self.topic_name)?;
        self.partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

#[derive(Clone, Debug, Default)]
pub struct Assignment<'a> {
    /// The assigned topic-partitions to the member.
    pub topic_partitions: List<'a, TopicPartitions<'a>>,
}

impl<'a> Wire<'a> for Assignment<'a> {
    const BYTES_MIN: usize = 2;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let item = Self {
            topic_partitions: List::read(reader)?,
        };
        reader.skip_tags()?;
        Ok(item)
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.topic_partitions.write(writer)?;
        writer.no_tags();
        Ok(())
    }
}

impl<'a> Message<'a> for ConsumerGroupDescribeResponse<'a> {
    const API_KEY: i16 = 69;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 1;
    const FLEXIBLE_VERSION: i16 = 0;
}
