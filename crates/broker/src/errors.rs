//! The one place where outcomes become Kafka's error codes.
//!
//! # Limits      a full disk
//! Kafka's brokers die of a full disk, so no code of theirs means it. KAFKA_STORAGE_ERROR makes clients look for another
//! leader, and some of them give up; NOT_ENOUGH_REPLICAS is what every client takes for "nothing was written, try again
//! later" (Java, librdkafka, franz-go, kafkajs and sarama retry it within their delivery timeout, without asking for
//! metadata). Where the response has room for it, the message says that the disk is full.

use cluster::Refusal;
use kafka::error::ErrorCode;
use storage::{AppendError, ReadError};

use crate::{
    metadata_log::CommitError,
    partition::{ProduceError, producers::SequenceError},
    raft_log::RaftAppendError,
};

/// What a response tells of an error at most: a text that repeats a name or value of the request must still fit a string.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// The text as far as it may go into a response.
#[must_use]
pub fn told(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MESSAGE_BYTES_MAX));
    text
}

/// An error code and what the client's user may read about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub code: ErrorCode,
    /// `None`: the code says it all.
    pub message: Option<String>,
}

impl Failure {
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: Some(told(message.into())),
        }
    }

    /// The message, or the code's own.
    #[must_use]
    pub fn text(&self) -> String {
        match &self.message {
            Some(message) => message.clone(),
            None => self.code.message().to_owned(),
        }
    }
}

impl From<ErrorCode> for Failure {
    fn from(code: ErrorCode) -> Self {
        Self {
            code,
            message: None,
        }
    }
}

impl From<AppendError> for Failure {
    fn from(error: AppendError) -> Self {
        let code = match &error {
            AppendError::Full { .. } => ErrorCode::NotEnoughReplicas,
            AppendError::Quarantined(_) => ErrorCode::KafkaStorageError,
            AppendError::Closed => ErrorCode::NotLeaderOrFollower,
            AppendError::Busy => ErrorCode::NotEnoughReplicas,
            AppendError::TooLarge { .. } => ErrorCode::MessageTooLarge,
        };
        Self::new(code, error.to_string())
    }
}

impl From<RaftAppendError> for Failure {
    fn from(error: RaftAppendError) -> Self {
        match error {
            RaftAppendError::NotLeader => {
                Self::new(ErrorCode::NotLeaderOrFollower, error.to_string())
            }
            RaftAppendError::Log(error) => error.into(),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let code = match &error {
            ReadError::OutOfRange { .. } | ReadError::IndexOutOfRange { .. } => {
                ErrorCode::OffsetOutOfRange
            }
            ReadError::Quarantined(_) => ErrorCode::KafkaStorageError,
            ReadError::Closed => ErrorCode::NotLeaderOrFollower,
            ReadError::Io(_) => ErrorCode::KafkaStorageError,
        };
        Self::new(code, error.to_string())
    }
}

impl From<ProduceError> for Failure {
    fn from(error: ProduceError) -> Self {
        let code = match &error {
            ProduceError::Batch(error) => error.error_code(),
            // What a client of a broker without transactions sees: fatal, and not retried.
            ProduceError::Transactional => ErrorCode::InvalidTxnState,
            ProduceError::Sequence(error) => match error {
                SequenceError::OutOfOrder { .. } | SequenceError::NewEpoch { .. } => {
                    ErrorCode::OutOfOrderSequenceNumber
                }
                SequenceError::OldEpoch { .. } => ErrorCode::InvalidProducerEpoch,
                SequenceError::NoSequence(_) => ErrorCode::InvalidRecord,
            },
            ProduceError::Append(error) => return error.clone().into(),
            ProduceError::Load(error) => return error.clone().into(),
            ProduceError::Deleted => ErrorCode::UnknownTopicOrPartition,
            ProduceError::Replicas { .. } => ErrorCode::NotEnoughReplicas,
        };
        Self::new(code, error.to_string())
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::TopicExists(_) => ErrorCode::TopicAlreadyExists,
            Refusal::TopicCollides { .. } => ErrorCode::InvalidTopicException,
            Refusal::TopicUnknown(_) => ErrorCode::UnknownTopicId,
            Refusal::Partitions(_) => ErrorCode::InvalidPartitions,
            Refusal::Config(_) => ErrorCode::InvalidConfig,
            Refusal::HomeUnknown(_) | Refusal::Founded | Refusal::FewerHomes { .. } => {
                ErrorCode::UnknownServerError
            }
            // No request of Kafka's makes relations.
            Refusal::ProducerIds
            | Refusal::RelationExists(_)
            | Refusal::RelationUnknown(_)
            | Refusal::Relations => ErrorCode::UnknownServerError,
        };
        Self::new(code, refusal.to_string())
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::Append(error) => error.into(),
            CommitError::Stopping => {
                Self::new(ErrorCode::BrokerNotAvailable, "the node is stopping")
            }
        }
    }
}
