//! Errors of requests, and of deliveries.

use std::time::Duration;

use kafka::{
    error::ErrorCode,
    wire::{DecodeError, EncodeError},
};

/// Why a request brought no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {addr}: {error}")]
    Connect { addr: String, error: String },
    #[error("the connection to {addr} is closed: {reason}")]
    Closed { addr: String, reason: String },
    #[error("{what}: no answer within {after:?}")]
    Timeout { what: &'static str, after: Duration },
    #[error("the broker offers {offered:?} of {api}, this client {known:?}")]
    Version {
        api: &'static str,
        offered: Option<(i16, i16)>,
        known: (i16, i16),
    },
    #[error("cannot understand the answer to {api}: {error}")]
    Decode {
        api: &'static str,
        error: DecodeError,
    },
    #[error("cannot write the request {api}: {error}")]
    Encode {
        api: &'static str,
        error: EncodeError,
    },
    /// The broker's own error, with its message or the code's.
    #[error("{what}: {} ({})", message.as_deref().unwrap_or(code.message()), code.name())]
    Broker {
        what: String,
        code: ErrorCode,
        message: Option<String>,
    },
    #[error("the cluster has no topic '{0}'")]
    UnknownTopic(String),
    #[error("topic '{topic}' has no partition {partition}")]
    UnknownPartition { topic: String, partition: i32 },
    #[error("broker {0} is not in the cluster's metadata")]
    UnknownBroker(i32),
}

impl ClientError {
    /// The broker's error `code` about `what`; `Ok` for none.
    pub fn check(
        code: i16,
        what: impl FnOnce() -> String,
        message: Option<&str>,
    ) -> Result<(), Self> {
        let code = ErrorCode::from_i16(code).unwrap_or(ErrorCode::UnknownServerError);
        if code == ErrorCode::None {
            return Ok(());
        }
        Err(Self::Broker {
            what: what(),
            code,
            message: message.map(str::to_owned),
        })
    }

    /// The broker's error code when there is one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Broker { code, .. } => Some(*code),
            _ => None,
        }
    }

    /// Whether the same request may succeed later, perhaps at another broker.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Broker { code, .. } => code.is_retriable(),
            Self::Connect { .. } | Self::Closed { .. } | Self::Timeout { .. } => true,
            Self::UnknownTopic(_) | Self::UnknownPartition { .. } | Self::UnknownBroker(_) => true,
            Self::Version { .. } | Self::Decode { .. } | Self::Encode { .. } => false,
        }
    }
}

/// Why a record was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProduceError {
    #[error(transparent)]
    Request(#[from] ClientError),
    /// It may or may not be in the log.
    #[error("not acknowledged within {after:?}; last reason: {last}")]
    DeliveryTimeout { after: Duration, last: String },
    #[error("a record of {bytes} bytes exceeds request_bytes_max ({bytes_max})")]
    TooLarge { bytes: usize, bytes_max: usize },
    /// An earlier batch of the partition failed after it was sent, so this one's place is unknown: it may or may not
    /// be in the log.
    #[error("the sequence of the partition broke: {0}")]
    Sequence(String),
    #[error("the producer is closed")]
    Closed,
}
