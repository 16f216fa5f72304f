//! Consumer groups: the coordinator's pure core.
//!
//! The semantics are those of Kafka 4's classic groups (ClassicGroup, GroupMetadataManager, OffsetMetadataManager):
//! KIP-345 static members, KIP-394 member ids, KIP-211 offset expiry, KIP-800 reasons, KIP-814 skipped assignments.
//!
//! # Limits
//! The constants below; each says what the client sees.

mod classic;
mod commit;
mod join;
mod member;
mod offsets;
pub mod record;
mod request;
mod snapshot;
mod subscription;
mod sync;
mod table;

#[cfg(test)]
mod checker;
#[cfg(test)]
mod tests;

pub use offsets::CommittedOffset;
pub use record::RecordError;
pub use request::{
    Answer, Blob, Commit, DescribedMember, Description, Effects, FetchedOffset, GroupError,
    GroupId, InstanceId, Join, JoinRefused, Joined, JoinedMember, KeyValue, Leaving, Listed,
    MemberId, MemberRef, Moment, Protocol, Sync, Synced, Ticket, Write, WriteToken,
};
pub use snapshot::SnapshotCursor;
pub use table::{GroupConfig, GroupTable};

use table::{Assigned, Context, Pending, StaticReplaced};

/// Kafka's `offset.metadata.max.bytes`, in UTF-16 units as Java counts; longer gets OFFSET_METADATA_TOO_LARGE.
pub const OFFSET_METADATA_CHARS_MAX: usize = 4_096;

/// Groups per partition of `__consumer_offsets`. More get COORDINATOR_NOT_AVAILABLE.
pub const GROUPS_MAX: usize = 100_000;

/// Offsets per group; a consumer of 100 topics of 1,000 partitions fits. More get INVALID_COMMIT_OFFSET_SIZE.
pub const OFFSETS_PER_GROUP_MAX: usize = 100_000;

/// Protocol metadata one member may send; Kafka's bound is that of a whole group, one message of 1 MiB. More gets
/// UNKNOWN_SERVER_ERROR, as there.
pub const MEMBER_METADATA_BYTES_MAX: usize = 1 << 20;

/// Protocols one member may offer; clients have one per assignor.
pub const PROTOCOLS_PER_MEMBER_MAX: usize = 64;

/// Largest group record: a fourth of the largest batch, so that its batch always fits. More gets UNKNOWN_SERVER_ERROR.
pub const GROUP_RECORD_BYTES_MAX: usize = base::limits::BATCH_BYTES_MAX / 4;

/// Memory of one partition's groups: members with what they sent, offsets, ids. Four records of the largest size, or as many
/// groups as above at rest. What would add to more gets COORDINATOR_NOT_AVAILABLE; what replaces as much goes on.
pub const GROUPS_BYTES_MAX: usize = 4 * GROUP_RECORD_BYTES_MAX;

/// How long a newcomer's join may be parked (Kafka's classicGroupNewMemberJoinTimeoutMs).
const NEW_MEMBER_JOIN_TIMEOUT_MS: u64 = 5 * 60 * 1_000;

/// The partition of `__consumer_offsets` that keeps a group: Java's `Utils.abs(groupId.hashCode()) % partitions`.
#[must_use]
pub fn partition_of(group: &str, partitions: i32) -> base::PartitionIndex {
    let hash = group.encode_utf16().fold(0i32, |hash, unit| {
        hash.wrapping_mul(31).wrapping_add(i32::from(unit))
    });
    // Utils.abs makes Integer.MIN_VALUE zero.
    let positive = if hash == i32::MIN { 0 } else { hash.abs() };
    base::PartitionIndex(positive % partitions.max(1))
}
