//! What a replica of a raft group keeps beside its entries: who it is, its term and vote, the group's configurations.
//!
//! # Layout
//! Little-endian, `docs/formats/raft-state.md`: `version u8 | replica u32 | term i32 | vote u32 (0: none) | count u16 |`
//! per configuration `index u64 | term i32 | voters | outgoing | learners`, each set `count u8 | id u32 ...`. Its checksum
//! is the frame's or the manifest's that carries it.
//!
//! # Crash
//! A configuration is saved before its entry is staged. What a crash left of one counts only if the log holds an entry of
//! its term at its index: another entry may stand there.
//!
//! # Limits
//! `CONFIGURATIONS_MAX`, four times what a leader lets stand in its log (`raft::CONFIGURATIONS_HELD_MAX`).

use base::{LeaderEpoch, RaftIndex};
use raft::{Configuration, HardState, LogPosition, MemberSet, ReplicaId, Term};

use super::Founding;

const VERSION: u8 = 1;

/// Configurations kept; each has at most 100 bytes, so that a state is smaller than `storage::STATE_BYTES_MAX`.
const CONFIGURATIONS_MAX: usize = 256;

/// A configuration with the entry it came with.
pub type Placed = (LogPosition, Configuration);

/// See the module head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    pub replica: ReplicaId,
    pub hard: HardState,
    /// Ascending.
    pub configurations: Vec<Placed>,
}

/// Why bytes are no state of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("the raft state ends early, or goes on behind its end")]
    Length,
    #[error("raft state version {0} is unknown")]
    Version(u8),
    #[error("the raft state holds a set of {0} members")]
    Members(u8),
    #[error("the raft state holds {0} configurations")]
    Configurations(u16),
    #[error("the raft state and the log's terms contradict each other")]
    Contradiction,
    #[error("the raft state is missing beside a log that holds entries")]
    Missing,
}

impl SavedState {
    /// The first state of a replica.
    pub fn founding(founding: &Founding) -> Self {
        let members = !founding.configuration.voters.is_empty();
        let first = members.then_some((LogPosition::default(), founding.configuration));
        Self {
            replica: founding.replica,
            hard: HardState::default(),
            configurations: first.into_iter().collect(),
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![VERSION];
        out.extend_from_slice(&self.replica.0.to_le_bytes());
        out.extend_from_slice(&self.hard.term.0.to_le_bytes());
        out.extend_from_slice(&self.hard.vote.map_or(0, |id| id.0).to_le_bytes());
        let all = &self.configurations[..];
        let newest = all.len().saturating_sub(CONFIGURATIONS_MAX - 1).max(1);
        let kept = all.iter().take(1).chain(all.iter().skip(newest));
        let count = u16::try_from(kept.clone().count()).expect("bounded by CONFIGURATIONS_MAX");
        out.extend_from_slice(&count.to_le_bytes());
        for (at, configuration) in kept {
            out.extend_from_slice(&at.index.0.to_le_bytes());
            out.extend_from_slice(&at.term.0.to_le_bytes());
            put_configuration(&mut out, configuration);
        }
        out
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, StateError> {
        let mut left = bytes;
        let [version] = take(&mut left)?;
        if version != VERSION {
            return Err(StateError::Version(version));
        }
        let replica = ReplicaId(u32::from_le_bytes(take(&mut left)?));
        let term = LeaderEpoch(i32::from_le_bytes(take(&mut left)?));
        let vote = u32::from_le_bytes(take(&mut left)?);
        let vote = (vote != 0).then_some(ReplicaId(vote));
        let count = u16::from_le_bytes(take(&mut left)?);
        if usize::from(count) > CONFIGURATIONS_MAX {
            return Err(StateError::Configurations(count));
        }
        let mut configurations = Vec::new();
        for _ in 0..count {
            let index = RaftIndex(u64::from_le_bytes(take(&mut left)?));
            let term = LeaderEpoch(i32::from_le_bytes(take(&mut left)?));
            let configuration = take_configuration(&mut left)?;
            configurations.push((LogPosition { term, index }, configuration));
        }
        match left.is_empty() {
            true => Ok(Self {
                replica,
                hard: HardState { term, vote },
                configurations,
            }),
            false => Err(StateError::Length),
        }
    }
}

/// What the entry of a configuration carries: the same bytes on every member.
pub(super) fn encode_configuration(configuration: &Configuration) -> Vec<u8> {
    let mut out = Vec::new();
    put_configuration(&mut out, configuration);
    out
}

fn put_configuration(out: &mut Vec<u8>, configuration: &Configuration) {
    let Configuration {
        voters,
        outgoing,
        learners,
    } = configuration;
    for set in [voters, outgoing, learners] {
        out.push(u8::try_from(set.len()).expect("bounded by MEMBERS_MAX"));
        for id in set.as_slice() {
            out.extend_from_slice(&id.0.to_le_bytes());
        }
    }
}

fn take_configuration(left: &mut &[u8]) -> Result<Configuration, StateError> {
    let mut sets = [MemberSet::EMPTY; 3];
    for set in &mut sets {
        let [count] = take(left)?;
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(ReplicaId(u32::from_le_bytes(take(left)?)));
        }
        *set = MemberSet::new(&ids).map_err(|_| StateError::Members(count))?;
    }
    let [voters, outgoing, learners] = sets;
    Ok(Configuration {
        voters,
        outgoing,
        learners,
    })
}

fn take<const N: usize>(left: &mut &[u8]) -> Result<[u8; N], StateError> {
    let (part, rest) = left.split_first_chunk::<N>().ok_or(StateError::Length)?;
    *left = rest;
    Ok(*part)
}

/// Of the saved configurations the one as of the log's start, and those that the log has, by the terms of its entries.
pub(super) fn in_log(
    saved: &[Placed],
    start: LogPosition,
    term_at: impl Fn(RaftIndex) -> Option<Term>,
) -> Vec<(RaftIndex, Configuration)> {
    let as_of_start = saved
        .iter()
        .filter(|(at, _)| at.index < start.index || *at == start)
        .max_by_key(|(at, _)| at.index);
    let held = saved
        .iter()
        .filter(|(at, _)| at.index > start.index && term_at(at.index) == Some(at.term));
    let mut found: Vec<_> = as_of_start
        .into_iter()
        .chain(held)
        .map(|(at, configuration)| (at.index, *configuration))
        .collect();
    found.sort_by_key(|(index, _)| *index);
    found.dedup_by_key(|(index, _)| *index);
    found
}

#[cfg(test)]
mod tests;
