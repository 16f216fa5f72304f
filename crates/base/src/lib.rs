//! The vocabulary of the workspace: newtypes for ids, offsets and epochs, and the limits.
//!
//! Raw integers end at the codec; from there on every id, offset and epoch has its own type.

pub mod calendar;
pub mod hash;
pub mod id;
pub mod limits;
pub mod offset;
pub mod topic;

pub use id::{BrokerId, ProducerEpoch, ProducerId, ShardId, TopicId};
pub use offset::{FilePos, LeaderEpoch, LogEpoch, Offset, RaftIndex, TimestampMs};
pub use topic::{PartitionIndex, PartitionKey, TopicName, TopicNameError};
