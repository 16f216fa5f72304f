//! The one mapping of group errors to Kafka's codes.

use kafka::error::ErrorCode;
use storage::AppendError;

use crate::raft_log::RaftAppendError;

use crate::group::GroupError;

impl From<GroupError> for ErrorCode {
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::InvalidGroupId => Self::InvalidGroupId,
            GroupError::InvalidSessionTimeout => Self::InvalidSessionTimeout,
            GroupError::UnknownMember => Self::UnknownMemberId,
            GroupError::MemberIdRequired => Self::MemberIdRequired,
            GroupError::FencedInstance => Self::FencedInstanceId,
            GroupError::IllegalGeneration => Self::IllegalGeneration,
            GroupError::InconsistentProtocol => Self::InconsistentGroupProtocol,
            GroupError::RebalanceInProgress => Self::RebalanceInProgress,
            GroupError::MaxSizeReached => Self::GroupMaxSizeReached,
            GroupError::NotAvailable => Self::CoordinatorNotAvailable,
            GroupError::LoadInProgress => Self::CoordinatorLoadInProgress,
            GroupError::NotCoordinator => Self::NotCoordinator,
            GroupError::GroupIdNotFound => Self::GroupIdNotFound,
            GroupError::NonEmpty => Self::NonEmptyGroup,
            GroupError::SubscribedToTopic => Self::GroupSubscribedToTopic,
            GroupError::TooLarge => Self::UnknownServerError,
            GroupError::InvalidCommitSize => Self::InvalidCommitOffsetSize,
        }
    }
}

/// The wire code of an outcome.
pub(crate) fn code(outcome: Result<(), GroupError>) -> i16 {
    outcome
        .map_or_else(ErrorCode::from, |()| ErrorCode::None)
        .code()
}

impl From<RaftAppendError> for GroupError {
    fn from(error: RaftAppendError) -> Self {
        match error {
            RaftAppendError::NotLeader => Self::NotCoordinator,
            RaftAppendError::Log(error) => error.into(),
        }
    }
}

impl From<AppendError> for GroupError {
    /// A disk that is full or a damaged partition may come back; a closed log has gone elsewhere.
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { .. } | AppendError::Quarantined(_) | AppendError::Busy => {
                Self::NotAvailable
            }
            AppendError::Closed => Self::NotCoordinator,
            AppendError::TooLarge { .. } => Self::TooLarge,
        }
    }
}
