//! Consumer protocol: messages, @generated from Kafka's descriptors by `cargo xtask codegen`.

use std::borrow::Cow;

use crate::{
    Message,
    wire::{DecodeError, EncodeError, List, Reader, Str, Wire, Writer},
};

#[derive(Clone, Debug)]
pub struct ConsumerProtocolSubscription<'a> {
    /// The topics that the member wants to consume.
    pub topics: List<'a, Str<'a>>,
    /// User data that will be passed back to the consumer.
    pub user_data: Option<Cow<'a, [u8]>>,
    /// The partitions that the member owns.
    pub owned_partitions: List<'a, TopicPartition<'a>>,
    /// The generation id of the member.
    pub generation_id: i32,
    /// The rack id of the member.
    pub rack_id: Option<Str<'a>>,
}

impl Default for ConsumerProtocolSubscription<'_> {
    fn default() -> Self {
        Self {
            topics: List::default(),
            user_data: None,
            owned_partitions: List::default(),
            generation_id: -1,
            rack_id: None,
        }
    }
}

impl<'a> Wire<'a> for ConsumerProtocolSubscription<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let version = reader.version();
        Ok(Self {
            topics: List::read(reader)?,
            user_data: reader.nullable_bytes()?,
            owned_partitions: if version >= 1 {
                List::read(reader)?
            } else {
                List::default()
            },
            generation_id: if version >= 2 { reader.i32()? } else { -1 },
            rack_id: if version >= 3 {
                reader.nullable_string()?
            } else {
                None
            },
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        let version = writer.version();
        self.topics.write(writer)?;
        writer.nullable_bytes(self.user_data.as_deref())?;
        if version >= 1 {
            self.owned_partitions.write(writer)?;
        }
        if version >= 2 {
            writer.i32(self.generation_id);
        }
        if version >= 3 {
            writer.nullable_string(self.rack_id.as_deref())?;
        }
        Ok(())
    }
}

/// The partitions that the member owns.
#[derive(Clone, Debug, Default)]
pub struct TopicPartition<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The partition ids.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for TopicPartition<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            topic: reader.string()?,
            partitions: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic)?;
        self.partitions.write(writer)?;
        Ok(())
    }
}

impl<'a> Message<'a> for ConsumerProtocolSubscription<'a> {
    const API_KEY: i16 = -1;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = i16::MAX;
}

#[derive(Clone, Debug, Default)]
pub struct ConsumerProtocolAssignment<'a> {
    /// The list of topics and partitions assigned to this consumer.
    pub assigned_partitions: List<'a, AssignmentTopicPartition<'a>>,
    /// User data.
    pub user_data: Option<Cow<'a, [u8]>>,
}

impl<'a> Wire<'a> for ConsumerProtocolAssignment<'a> {
    const BYTES_MIN: usize = 8;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            assigned_partitions: List::read(reader)?,
            user_data: reader.nullable_bytes()?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        self.assigned_partitions.write(writer)?;
        writer.nullable_bytes(self.user_data.as_deref())?;
        Ok(())
    }
}

/// The list of topics and partitions assigned to this consumer.
#[derive(Clone, Debug, Default)]
pub struct AssignmentTopicPartition<'a> {
    /// The topic name.
    pub topic: Str<'a>,
    /// The list of partitions assigned to this consumer.
    pub partitions: List<'a, i32>,
}

impl<'a> Wire<'a> for AssignmentTopicPartition<'a> {
    const BYTES_MIN: usize = 6;

    fn read(reader: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            topic: reader.string()?,
            partitions: List::read(reader)?,
        })
    }

    fn write(&self, writer: &mut Writer) -> Result<(), EncodeError> {
        writer.string(&self.topic)?;
        self.partitions.write(writer)?;
        Ok(())
    }
}

impl<'a> Message<'a> for ConsumerProtocolAssignment<'a> {
    const API_KEY: i16 = -1;
    const MIN_VERSION: i16 = 0;
    const MAX_VERSION: i16 = 3;
    const FLEXIBLE_VERSION: i16 = i16::MAX;
}
