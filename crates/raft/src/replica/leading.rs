//! The leader's side: proposals, appends in flight, commits, rounds and reads (thesis 3.5, 6.4, 10.2.1).

use base::RaftIndex;

use crate::{
    Body, Configuration, Descriptor, Effect, Effects, EntryKind, LogPosition, Message, Payload,
    ProposeError, ReadError, ReplicaId, Role, Span, Term,
    peer::Flow,
    replica::{Read, Replica},
};

impl Replica {
    /// What `propose` would say now. After an `Ok`, and before any other handler of this replica, `propose` cannot fail:
    /// payloads may be staged in between.
    pub fn may_propose(&self) -> Result<(), ProposeError> {
        if self.role != Role::Leader {
            let leader = self.leader;
            return Err(ProposeError::NotLeader { leader });
        }
        if self.peers.is_empty() {
            // Nobody to hand over to, and the bound is the node's (`Settings::uncommitted_entries_max`).
            return Ok(());
        }
        if self.transfer.is_some() {
            return Err(ProposeError::Transferring);
        }
        let entries = self.log.last().0 - self.commit_index.0;
        if entries >= u64::from(self.settings.uncommitted_entries_max)
            || self.uncommitted_bytes >= self.settings.uncommitted_bytes_max
        {
            return Err(ProposeError::Full);
        }
        Ok(())
    }

    /// Proposes entries with these payloads, at least one, in this order; the position of the first. The same turn's
    /// effects ask for them to be stored.
    pub fn propose(
        &mut self,
        payloads: &[Payload],
        out: &mut Effects,
    ) -> Result<LogPosition, ProposeError> {
        assert!(!payloads.is_empty(), "a proposal has a first entry");
        self.may_propose()?;
        let first = LogPosition {
            term: self.term,
            index: self.log.last().next(),
        };
        let described = payloads.iter().map(|payload| payload.described(self.term));
        out.append(first.index, self.log_epoch, described);
        for payload in payloads {
            self.propose_staged(*payload);
        }
        Ok(first)
    }

    /// Proposes one entry whose payload stands behind the log's last entry already, right after `may_propose` said `Ok`;
    /// its position. No effect asks for it to be stored.
    ///
    /// Panics when it may not propose.
    pub fn propose_staged(&mut self, payload: Payload) -> LogPosition {
        assert!(self.role == Role::Leader, "only a leader proposes");
        let term = self.term;
        self.log.append(term, 1);
        if !self.peers.is_empty() {
            self.wake();
            self.idle_ticks = 0;
            self.keep(&[payload.described(term)]);
        }
        self.commit_due |= self.settings.planted.count_unsynced_own;
        self.log.last_position()
    }

    /// Whether there is anybody to send to.
    #[must_use]
    pub fn has_peers(&self) -> bool {
        !self.peers.is_empty()
    }

    /// Appends an entry of the core's own making.
    pub(super) fn append_own(
        &mut self,
        kind: EntryKind,
        configuration: Option<Configuration>,
        out: &mut Effects,
    ) {
        let descriptor = Descriptor {
            term: self.term,
            bytes: configuration.map_or(0, |_| Configuration::BYTES),
            checksum: 0,
            kind,
        };
        let index = self.log.last().next();
        match configuration {
            Some(configuration) => self.store(&[descriptor], &[(index, configuration)], out),
            None => self.store(&[descriptor], &[], out),
        }
        // After a configuration is in force: it may have brought the first whom it is to be sent to, or left nobody.
        self.keep(&[descriptor]);
        self.idle_ticks = 0;
    }

    /// Keeps descriptors for sending, if there is anybody to send to.
    fn keep(&mut self, entries: &[Descriptor]) {
        if self.peers.is_empty() {
            return;
        }
        for entry in entries {
            self.uncommitted_bytes += u64::from(entry.bytes);
            self.tail.push_back(*entry);
        }
    }

    /// The index of the first entry in `tail`.
    fn tail_first(&self) -> RaftIndex {
        RaftIndex(self.log.last().0 + 1 - self.tail.len() as u64)
    }

    /// Everything up to `index` is committed.
    fn commit_up_to(&mut self, index: RaftIndex, out: &mut Effects) {
        let kept_from = self.tail_first().0;
        let place = |index: RaftIndex| (index.0 + 1).saturating_sub(kept_from) as usize;
        let committed = self.tail.range(place(self.commit_index)..place(index));
        let bytes: u64 = committed.map(|entry| u64::from(entry.bytes)).sum();
        self.uncommitted_bytes -= bytes;
        self.commit_index = index;
        self.on_committed(out);
    }

    /// Asks whether this replica still leads; `Effect::ReadReady` says so, with the index a state machine must have
    /// applied before it answers (thesis 6.4). Nothing depends on clocks.
    pub fn read(&mut self, ticket: u64) -> Result<(), ReadError> {
        if self.role != Role::Leader {
            let leader = self.leader;
            return Err(ReadError::NotLeader { leader });
        }
        if self.reads.len() >= usize::from(self.settings.reads_max) {
            return Err(ReadError::Full);
        }
        if !self.peers.is_empty() {
            self.wake();
        }
        self.idle_ticks = 0;
        self.round_due = true;
        self.reads.push_back(Read {
            ticket,
            round: self.round + 1,
        });
        Ok(())
    }

    /// What `Effect::ReadEntries` asked for: the stored entries from `from` on, at least one, or none when retention has
    /// dropped them meanwhile.
    pub fn on_entries_read(
        &mut self,
        to: ReplicaId,
        term: Term,
        from: RaftIndex,
        entries: &[Descriptor],
        out: &mut Effects,
    ) {
        let Some(at) = self.peer_at(to) else { return };
        if self.role != Role::Leader || self.term != term || !self.peers[at].is_reading {
            return;
        }
        let peer = &mut self.peers[at];
        peer.is_reading = false;
        let goes_on = peer.next == from && !matches!(peer.flow, Flow::Snapshot { .. });
        let left = (self.log.last().0 + 1).saturating_sub(from.0);
        let entries = &entries[..entries.len().min(left as usize)];
        if !goes_on || entries.is_empty() || peer.room(&self.settings).is_none() {
            return;
        }
        let before = RaftIndex(from.0 - 1);
        let Some(prev_term) = self.log.term(before) else {
            return;
        };
        let prev = LogPosition {
            term: prev_term,
            index: before,
        };
        let bytes = entries
            .iter()
            .fold(0u32, |sum, e| sum.saturating_add(e.bytes));
        let span = out.add_entries(entries.iter().copied());
        self.send_append(at, prev, span, bytes, out);
    }

    pub(super) fn tick_leader(&mut self, out: &mut Effects) {
        self.heartbeat_elapsed += 1;
        if self.heartbeat_elapsed >= self.settings.heartbeat_ticks {
            self.round_due = true;
            for peer in &mut self.peers {
                peer.waited = peer.waited.saturating_add(1);
                match &mut peer.flow {
                    // The probe, or its answer, may be lost.
                    Flow::Probe { awaits } => *awaits = false,
                    Flow::Snapshot { at } if peer.waited >= self.settings.election_ticks => {
                        peer.next = (*at).max(RaftIndex(1));
                        peer.flow = Flow::Probe { awaits: false };
                        peer.waited = 0;
                    }
                    Flow::Snapshot { .. } | Flow::Replicate => {}
                }
            }
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.ticks_left = transfer.ticks_left.saturating_sub(1);
            if transfer.ticks_left == 0 {
                self.transfer = None;
            }
        }
        if self.election_elapsed >= self.settings.election_ticks {
            self.election_elapsed = 0;
            if !self.has_quorum_with(|peer| peer.was_heard) {
                let term = self.term;
                self.become_follower(term, None, out);
                return;
            }
            for peer in &mut self.peers {
                peer.was_heard = false;
            }
        }
        self.consider_hibernation(out);
    }

    pub(super) fn on_ack(
        &mut self,
        from: ReplicaId,
        durable: RaftIndex,
        received: RaftIndex,
        round: u64,
    ) {
        let Some(at) = self.peer_at(from) else { return };
        if self.role != Role::Leader || received > self.log.last() || round > self.round {
            return;
        }
        if !self.is_awake && round >= self.round {
            // It did not go to sleep with us, so something is missing there.
            self.is_awake = true;
            self.round_due = true;
            self.idle_ticks = 0;
        }
        let peer = &mut self.peers[at];
        peer.was_heard = true;
        peer.round_heard = peer.round_heard.max(round);
        if durable > peer.matched {
            peer.waited = 0;
            self.commit_due = true;
        }
        peer.on_durable(durable);
        // What was said to last does, even when a restarted follower has to compare it anew.
        let known = received.max(peer.matched);
        match peer.flow {
            Flow::Probe { .. } if received.next() >= peer.next => peer.replicate(known.next()),
            Flow::Snapshot { at } if received >= at => peer.replicate(known.next()),
            Flow::Replicate => {
                // All that was sent before the heartbeat before this one has had time enough to arrive.
                if let Some((asked, next)) = peer.checkpoint
                    && round > asked
                {
                    peer.checkpoint = None;
                    if received < peer.matched {
                        // It has restarted, or our appends of this term never reached it: it must compare again.
                        peer.probe(known.next());
                    } else if received.next() < next && !peer.is_reading {
                        peer.replicate(known.next());
                    }
                }
            }
            Flow::Probe { .. } | Flow::Snapshot { .. } => {}
        }
    }

    pub(super) fn on_reject(
        &mut self,
        from: ReplicaId,
        prev: RaftIndex,
        hint: LogPosition,
        out: &mut Effects,
    ) {
        let Some(at) = self.peer_at(from) else { return };
        if self.role != Role::Leader {
            return;
        }
        let agreed = self.log.last_up_to(hint.index, hint.term).index;
        let peer = &mut self.peers[at];
        peer.was_heard = true;
        let is_stale = match peer.flow {
            Flow::Probe { .. } => prev.next() != peer.next,
            Flow::Replicate => {
                // Nobody but who waits to be told lacks what stands before every log.
                let known = prev <= peer.matched && peer.matched > RaftIndex::ZERO;
                known || prev >= peer.next
            }
            Flow::Snapshot { .. } => true,
        };
        if is_stale {
            return;
        }
        self.is_awake = true;
        if prev <= self.log.start().index {
            // It agrees with that, or should: it waits to be told the configuration.
            self.send_snapshot(at, out);
            return;
        }
        let peer = &mut self.peers[at];
        let known = agreed.max(peer.matched).min(RaftIndex(prev.0 - 1));
        peer.probe(known.next());
    }

    pub(super) fn flush_leader(&mut self, out: &mut Effects) {
        self.advance_commit(out);
        if !self.is_alone() {
            self.finish_change(out);
            if self.role != Role::Leader {
                return;
            }
        }
        if self.round_due {
            self.round_due = false;
            self.heartbeat_elapsed = 0;
            self.round += 1;
            for at in 0..self.peers.len() {
                self.send_heartbeat(at, None, out);
            }
        }
        if self.is_awake && !self.peers.is_empty() {
            for at in 0..self.peers.len() {
                self.send_appends(at, out);
            }
            let uncommitted = (self.log.last().0 - self.commit_index.0) as usize;
            let kept = uncommitted.max(self.settings.tail_entries_max as usize);
            if self.tail.len() > kept {
                self.tail.drain(..self.tail.len() - kept);
            }
            self.send_timeout_now(out);
        }
        self.answer_reads(out);
    }

    fn answer_reads(&mut self, out: &mut Effects) {
        while let Some(read) = self.reads.front().copied() {
            let confirmed = self.has_quorum_with(|peer| peer.round_heard >= read.round);
            let may = confirmed && self.has_committed_in_term();
            if !may && !self.settings.planted.read_without_round {
                break;
            }
            self.reads.pop_front();
            out.push(Effect::ReadReady {
                ticket: read.ticket,
                index: self.commit_index,
            });
        }
    }

    /// Before, a leader does not know how far its predecessors committed (thesis 6.4).
    pub(super) fn has_committed_in_term(&self) -> bool {
        self.log.term(self.commit_index) == Some(self.term)
            || (self.is_only_voter() && self.commit_index >= self.durable)
    }

    fn advance_commit(&mut self, out: &mut Effects) {
        if !std::mem::take(&mut self.commit_due) {
            return;
        }
        let own = if self.settings.planted.count_unsynced_own {
            self.log.last()
        } else {
            self.durable
        };
        if self.is_alone() {
            if own > self.commit_index {
                self.commit_index = own;
            }
            return;
        }
        let mut configuration = *self.configuration();
        if self.settings.planted.joint_counts_new_half {
            configuration = configuration.left();
        }
        let reached = configuration.reached(|id| {
            if id == self.id {
                return own;
            }
            let peer = self.peers.iter().find(|peer| peer.id == id);
            peer.map_or(RaftIndex::ZERO, |peer| peer.matched)
        });
        let counts = self.log.term(reached) == Some(self.term)
            || self.is_only_voter()
            || self.settings.planted.commit_older_term;
        if reached > self.commit_index && counts {
            self.commit_up_to(reached, out);
        }
    }

    pub(super) fn send_heartbeat(
        &mut self,
        at: usize,
        hibernate_at: Option<LogPosition>,
        out: &mut Effects,
    ) {
        let round = self.round;
        let peer = &mut self.peers[at];
        peer.checkpoint.get_or_insert((round, peer.next));
        let commit_index = self.commit_index.min(peer.matched);
        let to = peer.id;
        let body = Body::Heartbeat {
            commit_index,
            round,
            hibernate_at,
        };
        self.send(to, body, out);
    }

    /// Sends what the peer lacks, as far as its window allows.
    fn send_appends(&mut self, at: usize, out: &mut Effects) {
        loop {
            let peer = &self.peers[at];
            let Some((entries_max, bytes_max)) = peer.room(&self.settings) else {
                return;
            };
            let (last, next) = (self.log.last(), peer.next);
            let before = RaftIndex(next.0 - 1);
            let Some(term) = self.log.term(before) else {
                self.send_snapshot(at, out);
                return;
            };
            let prev = LogPosition {
                term,
                index: before,
            };
            if next > last {
                let is_probe = peer.flow != Flow::Replicate;
                let all = self.commit_index == last && peer.commit_told < last;
                if is_probe || all {
                    self.send_append(at, prev, Span::default(), 0, out);
                }
                return;
            }
            let kept_from = self.tail_first().0;
            if next.0 < kept_from {
                let to = peer.id;
                self.peers[at].is_reading = true;
                out.push(Effect::ReadEntries {
                    to,
                    term: self.term,
                    from: next,
                    entries_max: entries_max.min((kept_from - next.0) as u32),
                    bytes_max,
                });
                return;
            }
            let from = (next.0 - kept_from) as usize;
            let mut bytes = 0u32;
            let mut count = 0;
            for entry in self.tail.range(from..).take(entries_max as usize) {
                let sum = bytes.saturating_add(entry.bytes);
                if count > 0 && sum > bytes_max {
                    break;
                }
                bytes = sum;
                count += 1;
            }
            let span = out.add_entries(self.tail.range(from..from + count).copied());
            self.send_append(at, prev, span, bytes, out);
            if self.peers[at].flow != Flow::Replicate {
                return;
            }
        }
    }

    fn send_append(
        &mut self,
        at: usize,
        prev: LogPosition,
        entries: Span,
        bytes: u32,
        out: &mut Effects,
    ) {
        let first = prev.index.next();
        let last = RaftIndex(prev.index.0 + u64::from(entries.count));
        let carries = self
            .configurations
            .last()
            .is_some_and(|(at, _)| *at >= first);
        let configurations = if carries && entries.count > 0 {
            let inside = |at: &RaftIndex| *at >= first && *at <= last;
            out.add_configurations(self.configurations.iter().filter(|c| inside(&c.0)).copied())
        } else {
            Span::default()
        };
        let peer = &mut self.peers[at];
        let is_probe = peer.flow != Flow::Replicate;
        if entries.count > 0 {
            peer.on_sent(last, bytes);
        } else if let Flow::Probe { awaits } = &mut peer.flow {
            *awaits = true;
        }
        peer.commit_told = self.commit_index.min(last);
        let to = peer.id;
        if self.settings.planted.merge_onto_empty_append && out.merge_onto_empty(to, entries) {
            return;
        }
        let body = Body::Append {
            prev,
            commit_index: self.commit_index,
            round: self.round,
            is_probe,
            entries,
            configurations,
        };
        self.send(to, body, out);
    }

    fn send_snapshot(&mut self, at: usize, out: &mut Effects) {
        let start = self.log.start();
        let configuration = self.configuration_at(start.index);
        let configurations = out.add_configurations([(start.index, configuration)]);
        self.peers[at].await_snapshot(start.index);
        let message = Message {
            from: self.id,
            to: self.peers[at].id,
            term: self.term,
            body: Body::Snapshot {
                at: start,
                round: self.round,
                configurations,
            },
        };
        out.push(Effect::Send(message));
    }
}
