//! One member of a classic group.

use std::{collections::BTreeSet, sync::Arc};

use super::request::{
    Blob, DescribedMember, InstanceId, Join, JoinedMember, MemberId, Protocol, Ticket,
};

#[derive(Debug)]
pub(super) struct Member {
    pub id: MemberId,
    pub instance: Option<InstanceId>,
    pub client_id: Arc<str>,
    pub client_host: Arc<str>,
    pub session_timeout_ms: u64,
    pub rebalance_timeout_ms: u64,
    pub protocols: Vec<Protocol>,
    /// Memory of `protocols`: they are many, and asked for at every step of the group.
    pub protocols_bytes: usize,
    pub assignment: Blob,
    /// JoinGroup waiting for the generation.
    pub join: Option<Ticket>,
    /// SyncGroup waiting for the assignment.
    pub sync: Option<Ticket>,
    /// Has never been told its generation: its parked join does not keep its session alive.
    pub is_new: bool,
    /// On the monotonic clock; none only while a parked request keeps the session alive.
    pub session_deadline_ms: Option<u64>,
}

impl Member {
    pub fn new(id: MemberId, join: &Join) -> Self {
        let mut member = Self {
            id,
            instance: join.instance.clone(),
            client_id: join.client_id.clone(),
            client_host: join.client_host.clone(),
            session_timeout_ms: 0,
            rebalance_timeout_ms: 0,
            protocols: Vec::new(),
            protocols_bytes: 0,
            assignment: Blob::from([]),
            join: None,
            sync: None,
            is_new: true,
            session_deadline_ms: None,
        };
        member.take_settings(join);
        member
    }

    /// What a later JoinGroup may change.
    pub fn take_settings(&mut self, join: &Join) {
        let (session, rebalance) = timeouts_ms(join);
        self.session_timeout_ms = session;
        self.rebalance_timeout_ms = rebalance;
        self.protocols = distinct(&join.protocols);
        self.protocols_bytes = self.protocols.iter().map(Protocol::size_bytes).sum();
    }

    /// The new member under an old one's `group.instance.id`, which keeps its place and its assignment.
    pub fn succeeded_by(self, id: MemberId) -> Self {
        Self {
            id,
            join: None,
            sync: None,
            is_new: false,
            session_deadline_ms: None,
            ..self
        }
    }

    /// Memory it takes, about.
    pub fn size_bytes(&self) -> usize {
        let instance = self.instance.as_ref().map_or(0, |id| id.as_str().len());
        let texts = self.id.as_str().len() + self.client_id.len() + self.client_host.len();
        size_of::<Self>() + texts + instance + self.protocols_bytes + self.assignment.len()
    }

    pub fn matches(&self, protocols: &[Protocol]) -> bool {
        self.protocols == distinct(protocols)
    }

    pub fn metadata(&self, protocol: Option<&str>) -> Blob {
        self.protocols
            .iter()
            .find(|p| Some(&*p.name) == protocol)
            .map_or_else(|| Blob::from([]), |p| p.metadata.clone())
    }

    /// Its favourite among `candidates`.
    pub fn vote<'a>(&self, candidates: &BTreeSet<&'a str>) -> Option<&'a str> {
        self.protocols
            .iter()
            .find_map(|p| candidates.get(&*p.name).copied())
    }

    pub fn listed(&self, protocol: Option<&str>) -> JoinedMember {
        JoinedMember {
            member_id: self.id.clone(),
            instance: self.instance.clone(),
            metadata: self.metadata(protocol),
        }
    }

    /// `protocol` is none unless the group is stable; then what depends on it stays empty.
    pub fn described(&self, protocol: Option<&str>) -> DescribedMember {
        DescribedMember {
            member_id: self.id.clone(),
            instance: self.instance.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            metadata: self.metadata(protocol),
            assignment: match protocol {
                Some(_) => self.assignment.clone(),
                None => Blob::from([]),
            },
        }
    }

    /// A session that a parked request keeps alive.
    pub fn is_waiting(&self) -> bool {
        !self.is_new && (self.join.is_some() || self.sync.is_some())
    }
}

/// Session and rebalance time-out; a negative rebalance time-out is version 0's "as the session".
fn timeouts_ms(join: &Join) -> (u64, u64) {
    let session = u64::try_from(join.session_timeout_ms).unwrap_or(0);
    let rebalance = u64::try_from(join.rebalance_timeout_ms).unwrap_or(session);
    (session, rebalance)
}

/// The first of each name: a name twice would count two votes.
fn distinct(protocols: &[Protocol]) -> Vec<Protocol> {
    let mut seen = BTreeSet::new();
    protocols
        .iter()
        .filter(|p| seen.insert(p.name.clone()))
        .cloned()
        .collect()
}
