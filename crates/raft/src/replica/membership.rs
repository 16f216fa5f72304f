//! Changes of the configuration, and handing over the lead (thesis 4.2, 4.3, 3.10).

use base::RaftIndex;

use crate::{
    Body, Configuration, Effect, Effects, EntryKind, MemberSet, ReplicaId, Role,
    peer::Peer,
    replica::{Replica, Transfer},
};

/// Why no change of the configuration was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReconfigureError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<ReplicaId> },
    #[error("the last change is not finished")]
    Pending,
    #[error("the leader has not committed anything in its term yet")]
    NotReady,
    #[error("leadership is being handed over")]
    Transferring,
    #[error("nothing would change")]
    Unchanged,
    #[error("the log holds {CONFIGURATIONS_HELD_MAX} configurations")]
    Full,
}

/// Configurations that may stand in a leader's log at once: with them all a state stays small. Each change takes two
/// places, and retention gives them back.
pub const CONFIGURATIONS_HELD_MAX: usize = 64;

/// Why leadership is not handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    #[error("this replica does not lead its group")]
    NotLeader { leader: Option<ReplicaId> },
    #[error("only another voter can lead")]
    NotVoter,
    #[error("leadership is being handed over")]
    Transferring,
}

impl Replica {
    /// The configuration in force: the last in the log, committed or not.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        const NOBODY: &Configuration = &Configuration {
            voters: MemberSet::EMPTY,
            outgoing: MemberSet::EMPTY,
            learners: MemberSet::EMPTY,
        };
        self.configurations.last().map_or(NOBODY, |(_, last)| last)
    }

    /// Index of the configuration in force.
    #[must_use]
    pub fn configuration_index(&self) -> RaftIndex {
        self.configurations
            .last()
            .map_or(RaftIndex::ZERO, |(at, _)| *at)
    }

    /// The configuration as of an entry that is in the log, or of the log's start.
    #[must_use]
    pub fn configuration_at(&self, index: RaftIndex) -> Configuration {
        let after = self.configurations.partition_point(|(at, _)| *at <= index);
        let at = after.checked_sub(1);
        at.map_or(Configuration::default(), |at| self.configurations[at].1)
    }

    pub(super) fn is_only_voter(&self) -> bool {
        self.configuration().is_only_voter(self.id)
    }

    /// Changes the group's members to those of `target`. Voters change in two steps through a joint configuration; the
    /// second follows by itself when the first is committed.
    pub fn reconfigure(
        &mut self,
        target: &Configuration,
        out: &mut Effects,
    ) -> Result<RaftIndex, ReconfigureError> {
        if self.role != Role::Leader {
            let leader = self.leader;
            return Err(ReconfigureError::NotLeader { leader });
        }
        let now = *self.configuration();
        if now.is_joint() || self.configuration_index() > self.commit_index {
            return Err(ReconfigureError::Pending);
        }
        if self.transfer.is_some() {
            return Err(ReconfigureError::Transferring);
        }
        if !self.has_committed_in_term() {
            return Err(ReconfigureError::NotReady);
        }
        if self.configurations.len() + 2 > CONFIGURATIONS_HELD_MAX {
            return Err(ReconfigureError::Full);
        }
        let target = target.left();
        if target == now {
            return Err(ReconfigureError::Unchanged);
        }
        let outgoing = if target.voters == now.voters {
            MemberSet::EMPTY
        } else {
            now.voters
        };
        self.wake();
        self.append_own(
            EntryKind::Configuration,
            Some(Configuration { outgoing, ..target }),
            out,
        );
        Ok(self.log.last())
    }

    /// Another configuration is in force: others are sent to, and perhaps others vote.
    pub(super) fn on_configuration_in_force(&mut self, out: &mut Effects) {
        self.update_peers();
        self.commit_due = true;
        if self.peers.is_empty() {
            self.forget_tail();
        }
        let index = self.configuration_index();
        self.told.configuration_committed = self.told.configuration_committed.min(index);
        out.push(Effect::Configuration {
            index,
            is_committed: false,
        });
    }

    pub(super) fn update_peers(&mut self) {
        let configuration = *self.configuration();
        let id = self.id;
        self.peers
            .retain(|peer| peer.id != id && configuration.contains(peer.id));
        let next = self.log.last().next();
        for member in configuration.members().filter(|member| *member != id) {
            if self.peer_at(member).is_none() {
                let mut peer = Peer::new(member);
                peer.begin(next);
                self.peers.push(peer);
            }
        }
        self.peers.sort_unstable_by_key(|peer| peer.id);
        let is_alone = self.peers.is_empty() && configuration.is_only_voter(id);
        self.alone_since = is_alone.then(|| self.configuration_index());
        let transfers_to = self.transfer.map(|transfer| transfer.to);
        if transfers_to.is_some_and(|to| !configuration.is_voter(to)) {
            self.transfer = None;
        }
    }

    /// A leader with nobody to send to and no change of the configuration under way: what lasts is committed, and there
    /// is nothing else to look at.
    pub(super) fn is_alone(&self) -> bool {
        let known = self.told.configuration_committed;
        self.alone_since.is_some_and(|index| index <= known)
    }

    /// The commit index has moved.
    pub(super) fn on_committed(&mut self, out: &mut Effects) {
        let index = self.configuration_index();
        if index > self.commit_index || index <= self.told.configuration_committed {
            return;
        }
        self.told.configuration_committed = index;
        out.push(Effect::Configuration {
            index,
            is_committed: true,
        });
    }

    /// Goes on with a change whose last step is committed, also one that an earlier leader began.
    pub(super) fn finish_change(&mut self, out: &mut Effects) {
        if self.configuration_index() > self.commit_index {
            return;
        }
        let now = self.configuration();
        if now.is_joint() {
            let left = now.left();
            self.append_own(EntryKind::Configuration, Some(left), out);
        } else if !now.voters.contains(self.id)
            && self.has_committed_in_term()
            && !self.settings.planted.removed_leader_goes_on
        {
            self.leave(out);
        }
    }

    /// A leader that is no voter, any more or at all, has managed the group up to here (thesis 4.2.2). It tells the others that the
    /// change is committed and who should lead.
    fn leave(&mut self, out: &mut Effects) {
        self.round += 1;
        for at in 0..self.peers.len() {
            self.send_heartbeat(at, None, out);
        }
        let last = self.log.last();
        let voters = self.configuration().voters;
        let heir = self
            .peers
            .iter()
            .filter(|peer| voters.contains(peer.id) && peer.is_alive)
            .max_by_key(|peer| peer.matched)
            .filter(|peer| peer.matched == last);
        if let Some(heir) = heir {
            self.send(heir.id, Body::TimeoutNow, out);
        }
        let term = self.term;
        self.become_follower(term, None, out);
    }

    /// Hands leadership to another voter. Proposals are refused until it has taken over or an election timeout passed.
    pub fn transfer(&mut self, to: ReplicaId) -> Result<(), TransferError> {
        if self.role != Role::Leader {
            let leader = self.leader;
            return Err(TransferError::NotLeader { leader });
        }
        if self.transfer.is_some() {
            return Err(TransferError::Transferring);
        }
        if to == self.id || !self.configuration().voters.contains(to) {
            return Err(TransferError::NotVoter);
        }
        self.wake();
        self.idle_ticks = 0;
        self.transfer = Some(Transfer {
            to,
            ticks_left: self.settings.election_ticks,
            is_sent: false,
        });
        Ok(())
    }

    pub(super) fn send_timeout_now(&mut self, out: &mut Effects) {
        let Some(transfer) = self.transfer.filter(|transfer| !transfer.is_sent) else {
            return;
        };
        let last = self.log.last();
        let ready = |peer: &Peer| peer.id == transfer.to && peer.matched == last;
        if self.peers.iter().any(ready) {
            self.send(transfer.to, Body::TimeoutNow, out);
            self.transfer = Some(Transfer {
                is_sent: true,
                ..transfer
            });
        }
    }
}
