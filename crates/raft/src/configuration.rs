//! Configurations of a group: voters, learners, and what counts as a majority of them.
//!
//! # Instead of
//! Changing one server at a time (thesis 4.1): replacing a member would take two changes with a group of even size in
//! between, and the published form was unsafe until a leader had to commit an entry of its own term first. Joint
//! consensus (thesis 4.3) takes any change in two entries.

use std::fmt;

use base::RaftIndex;

/// Most members in one set of a configuration. Kafka's replication factors are 1 to 5; larger majorities only cost.
pub const MEMBERS_MAX: usize = 7;

/// One replica of a group on one disk. A replica that lost its disk comes back under a new id, so that nobody takes it
/// for one that remembers its vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaId(pub u32);

impl fmt::Display for ReplicaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// At most `MEMBERS_MAX` replicas, ascending.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct MemberSet {
    ids: [ReplicaId; MEMBERS_MAX],
    count: u8,
}

/// A configuration has more members than `MEMBERS_MAX`, or none that votes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} members, at least 1 and at most {MEMBERS_MAX} are possible")]
pub struct MemberCount(pub usize);

impl MemberSet {
    pub const EMPTY: Self = Self {
        ids: [ReplicaId(0); MEMBERS_MAX],
        count: 0,
    };

    /// The set of `ids`, duplicates dropped.
    pub fn new(ids: &[ReplicaId]) -> Result<Self, MemberCount> {
        let mut set = Self::EMPTY;
        for &id in ids {
            let at = set.as_slice().partition_point(|known| *known < id);
            if set.as_slice().get(at) == Some(&id) {
                continue;
            }
            let count = usize::from(set.count);
            if count == MEMBERS_MAX {
                return Err(MemberCount(ids.len()));
            }
            set.ids.copy_within(at..count, at + 1);
            set.ids[at] = id;
            set.count += 1;
        }
        Ok(set)
    }

    #[must_use]
    pub fn as_slice(&self) -> &[ReplicaId] {
        &self.ids[..usize::from(self.count)]
    }

    #[must_use]
    pub fn contains(&self, id: ReplicaId) -> bool {
        self.as_slice().contains(&id)
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.count)
    }

    /// Whether those for which `has` holds are a majority; an empty set has none.
    fn has_majority(&self, has: &impl Fn(ReplicaId) -> bool) -> bool {
        let yes = self.as_slice().iter().filter(|id| has(**id)).count();
        yes > self.len() / 2
    }

    /// The highest index that a majority has reached.
    fn reached(&self, by: &impl Fn(ReplicaId) -> RaftIndex) -> RaftIndex {
        let mut indexes = [RaftIndex::ZERO; MEMBERS_MAX];
        let members = self.as_slice();
        for (index, id) in indexes.iter_mut().zip(members) {
            *index = by(*id);
        }
        let indexes = &mut indexes[..members.len()];
        indexes.sort_unstable();
        let at = members.len().div_ceil(2);
        at.checked_sub(1).map_or(RaftIndex::ZERO, |at| indexes[at])
    }
}

impl fmt::Debug for MemberSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(self.as_slice().iter().map(|id| id.0))
            .finish()
    }
}

/// Who belongs to a group. While `outgoing` is not empty it is joint: both sets of voters must agree (thesis 4.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Configuration {
    pub voters: MemberSet,
    /// The voters before the change that is under way.
    pub outgoing: MemberSet,
    /// They hold the log and do not vote (thesis 4.2.1).
    pub learners: MemberSet,
}

impl Configuration {
    /// Counted against the bounds of messages: three sets of ids.
    pub const BYTES: u32 = 3 * (MEMBERS_MAX as u32 * 4 + 1);

    /// A configuration that is not joint.
    pub fn new(voters: &[ReplicaId], learners: &[ReplicaId]) -> Result<Self, MemberCount> {
        let voters = MemberSet::new(voters)?;
        if voters.is_empty() {
            return Err(MemberCount(0));
        }
        Ok(Self {
            voters,
            outgoing: MemberSet::EMPTY,
            learners: MemberSet::new(learners)?,
        })
    }

    #[must_use]
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    #[must_use]
    pub fn is_voter(&self, id: ReplicaId) -> bool {
        self.voters.contains(id) || self.outgoing.contains(id)
    }

    #[must_use]
    pub fn contains(&self, id: ReplicaId) -> bool {
        self.is_voter(id) || self.learners.contains(id)
    }

    /// Whether `id` alone decides.
    #[must_use]
    pub fn is_only_voter(&self, id: ReplicaId) -> bool {
        self.voters.as_slice() == [id] && self.outgoing.is_empty()
    }

    /// All members, each once, in a fixed order.
    pub fn members(&self) -> impl Iterator<Item = ReplicaId> + '_ {
        let voters = self.voters.as_slice().iter();
        let outgoing = self.outgoing.as_slice().iter();
        let learners = self.learners.as_slice().iter();
        voters
            .chain(outgoing.filter(|id| !self.voters.contains(**id)))
            .chain(learners.filter(|id| !self.is_voter(**id)))
            .copied()
    }

    /// Whether those for which `has` holds are a quorum.
    pub fn has_quorum(&self, has: impl Fn(ReplicaId) -> bool) -> bool {
        self.voters.has_majority(&has) && (!self.is_joint() || self.outgoing.has_majority(&has))
    }

    /// The highest index that a quorum has reached.
    pub fn reached(&self, by: impl Fn(ReplicaId) -> RaftIndex) -> RaftIndex {
        let voters = self.voters.reached(&by);
        if self.is_joint() {
            voters.min(self.outgoing.reached(&by))
        } else {
            voters
        }
    }

    /// What follows a joint configuration.
    #[must_use]
    pub fn left(&self) -> Self {
        Self {
            outgoing: MemberSet::EMPTY,
            ..*self
        }
    }
}
