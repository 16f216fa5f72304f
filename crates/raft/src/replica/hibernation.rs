//! Hibernation: a group that has nothing to do costs no ticks and no messages.
//!
//! A leader whose group is idle, and whose members that live hold everything, tells them so and stops; a follower that
//! holds everything, lastingly, stops with it. From then on the node's word replaces heartbeats: whoever hears that the
//! leader's node died wakes and stands for election, spread by its timeout. Everything else wakes as well: a proposal, a
//! read, a pre-vote, a member that comes back. A follower that missed the word times out, its pre-vote wakes the leader.
//!
//! # Instead of
//! Followers that answer the word before the leader stops (TiKV): two more messages per group, and the leader must still
//! cope with an answer that never comes. Stopping without a word when idle: followers could not tell it from a crash.

use crate::{Effects, LogPosition, Role, peer::Flow, replica::Replica};

impl Replica {
    /// Ends hibernation, if it hibernates.
    pub(super) fn wake(&mut self) {
        if self.is_awake {
            return;
        }
        self.is_awake = true;
        self.idle_ticks = 0;
        self.election_elapsed = 0;
        if self.role == Role::Leader {
            // What follows must not look like something sent before the sleep.
            self.round_due = true;
            for peer in &mut self.peers {
                peer.was_heard = false;
                peer.checkpoint = None;
            }
        } else {
            self.draw_timeout();
        }
    }

    pub(super) fn consider_hibernation(&mut self, out: &mut Effects) {
        let last = self.log.last();
        let is_idle = self.commit_index == last
            && self.durable == last
            && self.hard_durable == self.hard_state()
            && self.reads.is_empty()
            && self.transfer.is_none()
            && !self.configuration().is_joint();
        if !is_idle {
            self.idle_ticks = 0;
            return;
        }
        self.idle_ticks = self.idle_ticks.saturating_add(1);
        let after = self.settings.hibernate_ticks;
        if after == 0 || self.idle_ticks < after {
            return;
        }
        let early = self.settings.planted.hibernate_early;
        let all_hold_all = self.peers.iter().all(|peer| {
            !peer.is_alive || early || (peer.flow == Flow::Replicate && peer.matched == last)
        });
        if !all_hold_all || !self.has_quorum_with(|peer| peer.is_alive) {
            return;
        }
        self.round += 1;
        self.round_due = false;
        let at = self.log.last_position();
        for peer in 0..self.peers.len() {
            self.send_heartbeat(peer, Some(at), out);
        }
        self.tail = Default::default();
        for peer in &mut self.peers {
            peer.shrink();
        }
        self.is_awake = false;
    }

    /// The leader sleeps. So does this replica, if nothing is missing here.
    pub(super) fn hibernate_with_leader(&mut self, at: LogPosition) -> bool {
        let leader_lives = self
            .peers
            .iter()
            .any(|peer| Some(peer.id) == self.leader && peer.is_alive);
        let holds_all = self.log.last_position() == at
            && self.commit_index == at.index
            && self.durable == at.index
            && self.hard_durable == self.hard_state();
        let sleeps = leader_lives && (holds_all || self.settings.planted.hibernate_early);
        if sleeps {
            self.is_awake = false;
            self.ack_due = false;
            self.tail = Default::default();
        }
        sleeps
    }
}
