//! What goes in and out of the group core: ids, requests, answers, errors.

use std::{fmt, sync::Arc};

use base::{Offset, TimestampMs, TopicName};

use super::offsets::CommittedOffset;

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }
    };
}

text_id! {
    /// Name of a consumer group, as the client chose it.
    GroupId
}
text_id! {
    /// Id of one member, given out by the coordinator; empty on the wire means none yet.
    MemberId
}
text_id! {
    /// `group.instance.id` of a static member (KIP-345).
    InstanceId
}

/// One instant, on both clocks: time-outs count on the monotonic one, stored times on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Milliseconds on the monotonic clock.
    pub at_ms: u64,
    pub wall: TimestampMs,
}

/// Names a request that waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a write that the core asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteToken(pub u64);

/// Embedded bytes of a client protocol (subscription, assignment), opaque here.
pub type Blob = Arc<[u8]>;

/// A protocol that a member can take part in, best first in its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protocol {
    pub name: Arc<str>,
    pub metadata: Blob,
}

impl Protocol {
    pub(super) fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.metadata.len()
    }
}

/// JoinGroup. `fresh_member_id` is used when `member_id` is none; the caller draws it (`<client or instance>-<uuid>`).
#[derive(Clone, Debug)]
pub struct Join {
    pub group: GroupId,
    pub member_id: Option<MemberId>,
    pub fresh_member_id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub protocol_type: Arc<str>,
    pub protocols: Vec<Protocol>,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    /// The client understands MEMBER_ID_REQUIRED (KIP-394, version 4).
    pub known_member_id_required: bool,
    /// The client understands SkipAssignment (KIP-814, version 9).
    pub skips_assignment: bool,
    /// Why it joins (KIP-800).
    pub reason: Option<String>,
}

impl Join {
    /// Memory of a member made of it, about.
    pub(super) fn size_bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |id| id.as_str().len());
        let texts = self.client_id.len() + self.client_host.len();
        let id = self.member_id.as_ref().unwrap_or(&self.fresh_member_id);
        let protocols = self
            .protocols
            .iter()
            .map(Protocol::size_bytes)
            .sum::<usize>();
        size_of::<super::member::Member>() + id.as_str().len() + texts + instance + protocols
    }
}

/// SyncGroup; `assignments` only from the leader.
#[derive(Clone, Debug)]
pub struct Sync {
    pub group: GroupId,
    pub member: MemberRef,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub assignments: Vec<(MemberId, Blob)>,
}

/// Who speaks, and of which generation.
#[derive(Clone, Debug)]
pub struct MemberRef {
    pub member_id: MemberId,
    pub instance: Option<InstanceId>,
    pub generation: i32,
}

/// One leaving member; an empty id with an instance is an administrator's removal of a static member.
#[derive(Clone, Debug)]
pub struct Leaving {
    pub member_id: MemberId,
    pub instance: Option<InstanceId>,
    pub reason: Option<String>,
}

/// OffsetCommit, offsets already checked against the topics and [`super::OFFSET_METADATA_CHARS_MAX`].
#[derive(Clone, Debug)]
pub struct Commit {
    pub group: GroupId,
    pub member: MemberRef,
    pub offsets: Vec<(TopicName, base::PartitionIndex, CommittedOffset)>,
    /// The client understands GROUP_ID_NOT_FOUND (version 9).
    pub not_found_known: bool,
}

/// The answer to a request that named a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Join(Result<Joined, JoinRefused>),
    Sync(Result<Synced, GroupError>),
    /// Offset commit or deletion, group deletion: durable, or not.
    Written(Result<(), GroupError>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    pub member_id: MemberId,
    pub generation: i32,
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub leader: Option<MemberId>,
    pub skip_assignment: bool,
    /// Everyone, for the leader only.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedMember {
    pub member_id: MemberId,
    pub instance: Option<InstanceId>,
    pub metadata: Blob,
}

/// `member_id` is what the client is told to use next, if anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinRefused {
    pub member_id: Option<MemberId>,
    pub error: GroupError,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Synced {
    pub protocol_type: Option<Arc<str>>,
    pub protocol: Option<Arc<str>>,
    pub assignment: Blob,
}

/// Every way a group request can fail; mapped to Kafka's codes in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("the group id is invalid")]
    InvalidGroupId,
    #[error("the session timeout is outside the range this broker allows")]
    InvalidSessionTimeout,
    #[error("the coordinator is not aware of this member")]
    UnknownMember,
    #[error("the member must join again with the id it was given")]
    MemberIdRequired,
    #[error("another member took over this group.instance.id")]
    FencedInstance,
    #[error("the generation is not the group's current one")]
    IllegalGeneration,
    #[error("the member's protocols do not fit the group's")]
    InconsistentProtocol,
    #[error("the group is rebalancing")]
    RebalanceInProgress,
    #[error("the group has as many members as allowed")]
    MaxSizeReached,
    #[error("the coordinator cannot serve the group right now")]
    NotAvailable,
    #[error("the coordinator is still loading its groups")]
    LoadInProgress,
    #[error("this broker does not coordinate the group")]
    NotCoordinator,
    #[error("the group does not exist")]
    GroupIdNotFound,
    #[error("the group is not empty")]
    NonEmpty,
    #[error("the group is subscribed to the topic")]
    SubscribedToTopic,
    #[error("the group's metadata does not fit one record batch")]
    TooLarge,
    #[error("the group would keep more offsets than allowed")]
    InvalidCommitSize,
}

/// A record of `__consumer_offsets`; no value is a tombstone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyValue {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

impl KeyValue {
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        self.key.len() + self.value.as_ref().map_or(0, Vec::len)
    }
}

/// Records to append in this order, after all earlier writes; the outcome comes back as `on_written`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub token: WriteToken,
    pub records: Vec<KeyValue>,
}

/// What an event brings about.
#[derive(Debug, Default)]
pub struct Effects {
    pub answers: Vec<(Ticket, Answer)>,
    pub writes: Vec<Write>,
}

/// DescribeGroups' view of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    pub state: &'static str,
    pub protocol_type: Option<Arc<str>>,
    /// Only while stable.
    pub protocol: Option<Arc<str>>,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedMember {
    pub member_id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    /// Empty unless stable, as is `assignment`.
    pub metadata: Blob,
    pub assignment: Blob,
}

/// ListGroups' view of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub group: GroupId,
    pub protocol_type: Option<Arc<str>>,
    pub state: &'static str,
}

/// What a consumer committed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedOffset {
    pub offset: Offset,
    pub leader_epoch: i32,
    pub metadata: Arc<str>,
}
