//! The simulated world of one group: replicas, their disks, the network between them, and virtual time.
//!
//! One step is one event at one replica. A replica handles a few events before it flushes, as a shard's loop turn does.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
};

use base::RaftIndex;
use raft::{
    Body, Configuration, Descriptor, Effect, Effects, HardState, LogPosition, Message, Payload,
    Replica, ReplicaId, Role, Settings, Term,
};

use crate::{
    checkers::{self, Checkers, Verdict},
    disk::{Disk, Image},
    rng::{Rng, mix},
};

/// Virtual time between two ticks.
pub const TICK: u64 = 100;

pub struct Packet {
    pub message: Message,
    pub entries: Vec<Descriptor>,
    pub configurations: Vec<(RaftIndex, Configuration)>,
    /// Beside a snapshot: the state machine as of there.
    pub state: u64,
}

pub enum Event {
    TickAll,
    Deliver(Box<Packet>),
    SyncLog(usize, u32),
    SyncHard(usize, u32),
    LogDurable(usize, u32, base::LogEpoch, RaftIndex),
    HardDurable(usize, u32, HardState),
    Read(usize, u32, ReplicaId, Term, RaftIndex, u32),
    Liveness(usize, usize, bool),
    Turn(usize, u32),
    Restart(usize),
    Client,
    Controller,
    Fault,
    /// A fault ends; the number says which.
    Mend(u32),
    StallLog(usize),
    Crash(usize),
}

/// How the network and the disks behave for now; out of a thousand, or in virtual time.
#[derive(Clone, Copy)]
pub struct Weather {
    pub lost: u64,
    pub repeated: u64,
    pub late: u64,
    pub latency: u64,
    pub late_by: u64,
    pub sync: u64,
    pub completion_late: u64,
    pub turn: u64,
    pub client_every: u64,
}

pub const CALM: Weather = Weather {
    lost: 0,
    repeated: 0,
    late: 0,
    latency: 10,
    late_by: 1,
    sync: 12,
    completion_late: 0,
    turn: 0,
    client_every: 150,
};

pub struct Node {
    pub id: ReplicaId,
    pub replica: Option<Replica>,
    pub effects: Effects,
    pub disk: Disk,
    /// Counts restarts: what was on its way to the process before is void.
    pub run: u32,
    pub applied: (RaftIndex, u64),
    /// Disk is stalled until then.
    pub stalled_until: u64,
    /// What goes to the log is, while hard states still last: large entries go another way.
    pub log_stalled_until: u64,
    /// Its disk was wiped, or it was removed for good.
    pub is_gone: bool,
    was_leader_of: Term,
    /// The commit index it had when it last did not lead, or the newest one checked since.
    commit_checked: RaftIndex,
    has_turn: bool,
    syncs_log: bool,
    syncs_hard: bool,
}

pub struct World {
    pub rng: Rng,
    pub now: u64,
    pub steps: u64,
    pub nodes: Vec<Node>,
    pub weather: Weather,
    /// By sender and receiver.
    pub cut: Vec<u32>,
    /// Who holds whom for alive, as last scheduled, and when that arrives.
    liveness: BTreeMap<(usize, usize), (bool, u64)>,
    heard: BTreeMap<(usize, usize), bool>,
    pub checkers: Checkers,
    pub settings: Settings,
    pub initial: Configuration,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    order: u64,
    pub proposed: u32,
    pub crashes: u64,
    pub trace: bool,
}

impl World {
    pub fn new(seed: u64, settings: Settings, voters: usize, spares: usize, trace: bool) -> Self {
        let ids: Vec<ReplicaId> = (1..=voters as u32).map(ReplicaId).collect();
        let initial = Configuration::new(&ids, &[]).expect("3 to 7 voters");
        let mut world = Self {
            rng: Rng::new(seed),
            now: 0,
            steps: 0,
            nodes: Vec::new(),
            weather: CALM,
            cut: Vec::new(),
            liveness: BTreeMap::new(),
            heard: BTreeMap::new(),
            checkers: Checkers::default(),
            settings,
            initial,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            order: 0,
            proposed: 0,
            crashes: 0,
            trace,
        };
        for at in 0..voters + spares {
            world.add_node(at < voters);
        }
        world.at(TICK, Event::TickAll);
        world
    }

    /// A replica on an empty disk; members of the first configuration know it.
    pub fn add_node(&mut self, is_initial: bool) -> usize {
        let at = self.nodes.len();
        let id = ReplicaId(at as u32 + 1);
        let mut disk = Disk::default();
        if is_initial {
            let known = vec![(RaftIndex::ZERO, self.initial)];
            disk.durable.configurations = known.clone();
            disk.staged.configurations = known;
        }
        self.cut.push(0);
        self.nodes.push(Node {
            id,
            replica: None,
            effects: Effects::default(),
            disk,
            run: 0,
            applied: (RaftIndex::ZERO, 0),
            stalled_until: 0,
            log_stalled_until: 0,
            is_gone: false,
            was_leader_of: Term(0),
            commit_checked: RaftIndex::ZERO,
            has_turn: false,
            syncs_log: false,
            syncs_hard: false,
        });
        self.start(at).expect("nothing was promised yet");
        at
    }

    pub fn at(&mut self, after: u64, event: Event) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.order += 1;
        // Events of one time come in any order: the low bits are drawn, then the place.
        let drawn = self.rng.draw() << 44;
        let key = drawn >> 4 | place as u64;
        self.queue.push(Reverse((self.now + after, key)));
    }

    /// Handles the next event; the one that the caller must handle, if it is one of the scenario's.
    pub fn step(&mut self) -> Result<Option<Event>, String> {
        let Some(Reverse((time, key))) = self.queue.pop() else {
            return Err("the world stands still".into());
        };
        self.now = time;
        let place = (key & ((1 << 40) - 1)) as usize;
        let event = self.events[place].take().expect("an event is queued once");
        self.free.push(place);
        self.handle(event)
    }

    fn handle(&mut self, event: Event) -> Result<Option<Event>, String> {
        match event {
            Event::TickAll => {
                for node in 0..self.nodes.len() {
                    // Clocks drift.
                    if !self.rng.thousandth(30) {
                        self.with(node, |replica, out| replica.tick(out))?;
                    }
                }
                let after = TICK + self.rng.below(5);
                self.at(after, Event::TickAll);
            }
            Event::Deliver(packet) => self.deliver(&packet)?,
            Event::SyncLog(node, run) => self.sync_log(node, run),
            Event::SyncHard(node, run) => self.sync_hard(node, run),
            Event::LogDurable(node, run, epoch, index) if self.nodes[node].run == run => {
                self.with(node, |replica, _| replica.on_durable(epoch, index))?;
            }
            Event::HardDurable(node, run, hard) if self.nodes[node].run == run => {
                self.with(node, |replica, out| {
                    replica.on_hard_state_durable(hard, out)
                })?;
            }
            Event::Read(node, run, to, term, from, count) if self.nodes[node].run == run => {
                let image: &Image = &self.nodes[node].disk.staged;
                let at = from.0.checked_sub(image.start.index.0 + 1);
                let found = at.and_then(|at| image.entries.get(at as usize..));
                let found = found.unwrap_or_default();
                let read: Vec<Descriptor> = found[..found.len().min(count as usize)].to_vec();
                self.with(node, |replica, out| {
                    replica.on_entries_read(to, term, from, &read, out);
                })?;
            }
            Event::Liveness(node, peer, is_alive) => {
                self.heard.insert((node, peer), is_alive);
                let id = self.nodes[peer].id;
                self.with(node, |replica, _| replica.on_liveness(id, is_alive))?;
            }
            Event::Turn(node, run) if self.nodes[node].run == run => {
                self.nodes[node].has_turn = false;
                self.turn(node)?;
            }
            Event::Restart(node) => self.restart(node)?,
            Event::LogDurable(..) | Event::HardDurable(..) | Event::Read(..) | Event::Turn(..) => {}
            other => return Ok(Some(other)),
        }
        Ok(None)
    }

    /// Runs a handler of a replica that lives, then its checkers; soon after, or at once, its turn ends.
    pub fn with(
        &mut self,
        node: usize,
        handler: impl FnOnce(&mut Replica, &mut Effects),
    ) -> Verdict {
        let at = &mut self.nodes[node];
        let Some(replica) = &mut at.replica else {
            return Ok(());
        };
        self.steps += 1;
        handler(replica, &mut at.effects);
        if replica.role() != Role::Leader {
            at.commit_checked = replica.commit_index();
        }
        self.checkers.monotonic.on_step(replica)?;
        self.checkers.proposals.on_step(replica);
        if at.has_turn {
            // A turn may flush more than once before what it asks for is carried out.
            return match self.rng.thousandth(300) {
                true => self.flush(node),
                false => Ok(()),
            };
        }
        if self.weather.turn > 0 && self.rng.thousandth(300) {
            at.has_turn = true;
            let (run, after) = (at.run, 1 + self.rng.below(self.weather.turn));
            self.at(after, Event::Turn(node, run));
            return Ok(());
        }
        self.turn(node)
    }

    fn flush(&mut self, node: usize) -> Verdict {
        let at = &mut self.nodes[node];
        let Some(replica) = &mut at.replica else {
            return Ok(());
        };
        let counted_by = *replica.configuration();
        let led = replica.role() == Role::Leader;
        replica.flush(&mut at.effects);
        self.checkers.elections.on_step(replica)?;
        self.checkers.monotonic.on_step(replica)?;
        self.checkers.proposals.on_step(replica);
        checkers::membership::on_flushed(replica)?;
        if replica.role() == Role::Leader && at.was_leader_of != replica.term() {
            at.was_leader_of = replica.term();
            checkers::leader_completeness::on_elected(replica, &self.checkers.machines)?;
        }
        if led && replica.commit_index() > at.commit_checked {
            at.commit_checked = replica.commit_index();
            let replica = self.nodes[node].replica.as_ref().expect("it lives");
            let disk_of = |id: ReplicaId| self.nodes.get(id.0 as usize - 1).map(|n| &n.disk);
            checkers::durability::on_committed(replica, &counted_by, disk_of)?;
        }
        Ok(())
    }

    /// Ends a loop turn: flush, then everything it asks for.
    fn turn(&mut self, node: usize) -> Verdict {
        self.flush(node)?;
        let mut effects = std::mem::take(&mut self.nodes[node].effects);
        let list = std::mem::take(&mut effects.list);
        let mut verdict = Ok(());
        for effect in &list {
            if self.trace {
                eprintln!("{:>7} {:>2} {effect:?}", self.now, node + 1);
            }
            verdict = self.carry_out(node, effect, &effects);
            if verdict.is_err() {
                break;
            }
        }
        effects.list = list;
        effects.clear();
        self.nodes[node].effects = effects;
        verdict?;
        let keeps = self.rng.thousandth(300);
        let node = &mut self.nodes[node];
        if let Some(replica) = node.replica.as_ref().filter(|_| keeps) {
            node.disk.commit_index = replica.lasting_commit_index();
        }
        match &node.replica {
            Some(replica) => {
                let proposals = &self.checkers.proposals;
                proposals.on_staged(replica, &node.disk, &self.settings)?;
                checkers::membership::on_staged(replica, &node.disk)
            }
            None => Ok(()),
        }
    }

    fn carry_out(&mut self, node: usize, effect: &Effect, effects: &Effects) -> Verdict {
        match *effect {
            Effect::Send(message) => self.send(node, message, effects)?,
            Effect::SaveHardState(hard) => {
                self.nodes[node].disk.stage_hard(hard);
                self.wake_disk(node);
            }
            Effect::Append {
                first,
                log_epoch,
                entries,
                configurations,
            } => {
                let entries = effects.entries(entries);
                let disk = &mut self.nodes[node].disk;
                assert_eq!(disk.staged.log_epoch, log_epoch, "one epoch per truncation");
                let before = disk.staged.get(RaftIndex(first.0 - 1));
                let before = before.map_or(disk.staged.start.term, |entry| entry.term);
                disk.stage_append(first, entries, effects.configurations(configurations));
                self.checkers.logs.on_staged(first, before, entries)?;
                self.wake_disk(node);
            }
            Effect::Truncate { from, log_epoch } => {
                self.nodes[node].disk.stage_truncate(from, log_epoch);
                self.wake_disk(node);
                if from <= self.nodes[node].applied.0 {
                    return Err(format!(
                        "state machines: {from} is truncated after it was applied"
                    ));
                }
            }
            Effect::Reset {
                at,
                log_epoch,
                configurations,
            } => self.reset(
                node,
                at,
                log_epoch,
                effects.configurations(configurations)[0].1,
            )?,
            Effect::ReadEntries {
                to,
                term,
                from,
                entries_max,
                ..
            } => {
                let (run, after) = (self.nodes[node].run, 5 + self.rng.below(60));
                let count = 1 + self.rng.below(u64::from(entries_max)) as u32;
                self.at(after, Event::Read(node, run, to, term, from, count));
            }
            Effect::Committed(index) => self.apply(node, index)?,
            Effect::ReadReady { ticket, index } => self.checkers.reads.on_ready(ticket, index)?,
            Effect::ReadFailed { ticket } => self.checkers.reads.on_failed(ticket),
            Effect::Configuration { .. } => self.tell_liveness(node)?,
            Effect::Contradiction { index } => {
                return Err(format!(
                    "state machines: {} is told another entry {index}",
                    node + 1
                ));
            }
            Effect::Role { .. } => {}
        }
        Ok(())
    }

    fn reset(
        &mut self,
        node: usize,
        at: LogPosition,
        log_epoch: base::LogEpoch,
        configuration: Configuration,
    ) -> Verdict {
        // What came beside the snapshot; a node keeps it until the effect asks for it.
        let state = self.checkers.machines.state_at(at.index);
        let state = state.ok_or("state machines: a snapshot of what is not committed")?;
        self.nodes[node].applied = (at.index, state);
        let disk = &mut self.nodes[node].disk;
        disk.stage_reset(at, state, log_epoch, configuration);
        self.wake_disk(node);
        Ok(())
    }

    fn apply(&mut self, node: usize, index: RaftIndex) -> Verdict {
        let node = &mut self.nodes[node];
        let (mut applied, mut state) = node.applied;
        let term = node.replica.as_ref().map_or(Term(0), |r| r.term());
        while applied < index {
            applied = applied.next();
            let Some(entry) = node.disk.staged.get(applied) else {
                return Err(format!(
                    "state machines: {applied} is committed and not there"
                ));
            };
            state = self
                .checkers
                .machines
                .on_applied(applied, entry, state, term)?;
        }
        node.applied = (applied, state);
        Ok(())
    }

    /// What the node knows of its peers' nodes, again: new peers begin as alive.
    fn tell_liveness(&mut self, node: usize) -> Verdict {
        let dead: Vec<ReplicaId> = self
            .heard
            .range((node, 0)..(node + 1, 0))
            .filter(|(_, is_alive)| !**is_alive)
            .map(|((_, peer), _)| self.nodes[*peer].id)
            .collect();
        if let Some(replica) = &mut self.nodes[node].replica {
            for id in dead {
                replica.on_liveness(id, false);
            }
        }
        Ok(())
    }

    fn send(&mut self, node: usize, message: Message, effects: &Effects) -> Verdict {
        self.checkers.elections.on_sent(&message)?;
        self.checkers.monotonic.on_sent(&message);
        let to = message.to.0 as usize - 1;
        let leads = |n: &&Node| {
            let replica = n.replica.as_ref();
            replica.is_some_and(|r| r.role() == Role::Leader && r.term() == message.term)
        };
        let leader = self.nodes.get(to).filter(leads).map(|n| &n.disk);
        checkers::acknowledgement::on_sent(&message, &self.nodes[node].disk, leader)?;
        let start = self.nodes[node].disk.staged.start;
        if matches!(message.body, Body::Snapshot { at, .. } if at != start) {
            // Retention came first; the core sends the new start when nobody answers.
            return Ok(());
        }
        if to >= self.nodes.len() || self.cut[node] & (1 << to) != 0 {
            return Ok(());
        }
        if self.rng.thousandth(self.weather.lost) {
            return Ok(());
        }
        let times = 1 + u64::from(self.rng.thousandth(self.weather.repeated));
        for _ in 0..times {
            let (entries, configurations) = effects.beside(&message);
            let packet = Packet {
                message,
                entries: entries.to_vec(),
                configurations: configurations.to_vec(),
                state: self.nodes[node].disk.staged.start_state,
            };
            let mut after = 1 + self.rng.below(self.weather.latency);
            if self.rng.thousandth(self.weather.late) {
                after += self.rng.below(self.weather.late_by);
            }
            self.at(after, Event::Deliver(Box::new(packet)));
        }
        Ok(())
    }

    fn deliver(&mut self, packet: &Packet) -> Verdict {
        let to = packet.message.to.0 as usize - 1;
        if self.trace && self.nodes[to].replica.is_some() {
            eprintln!("{:>7} {:>2} <- {:?}", self.now, to + 1, packet.message);
        }
        if let Body::Snapshot { at, .. } = packet.message.body {
            self.checkers.machines.on_snapshot(at.index, packet.state)?;
        }
        self.with(to, |replica, out| {
            replica.receive(
                &packet.message,
                &packet.entries,
                &packet.configurations,
                out,
            );
        })
    }

    fn wake_disk(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let stalled = node.stalled_until.saturating_sub(self.now);
        let log_stalled = node.log_stalled_until.saturating_sub(self.now).max(stalled);
        let run = node.run;
        if node.disk.has_log_work() && !std::mem::replace(&mut node.syncs_log, true) {
            let after = log_stalled + 1 + self.rng.below(self.weather.sync);
            self.at(after, Event::SyncLog(at, run));
        }
        let node = &mut self.nodes[at];
        if node.disk.has_hard_work() && !std::mem::replace(&mut node.syncs_hard, true) {
            let after = stalled + 1 + self.rng.below(self.weather.sync);
            self.at(after, Event::SyncHard(at, run));
        }
    }

    fn completion_after(&mut self) -> u64 {
        let late = self.rng.thousandth(self.weather.completion_late);
        1 + if late { self.rng.below(300) } else { 0 }
    }

    fn sync_log(&mut self, at: usize, run: u32) {
        if self.nodes[at].run != run || self.nodes[at].replica.is_none() {
            return;
        }
        self.nodes[at].syncs_log = false;
        let node = &self.nodes[at];
        if node.stalled_until.max(node.log_stalled_until) <= self.now {
            let count = 1 + self.rng.below(6) as usize;
            let (epoch, index) = self.nodes[at].disk.sync_log(count);
            let after = self.completion_after();
            self.at(after, Event::LogDurable(at, run, epoch, index));
        }
        self.wake_disk(at);
    }

    fn sync_hard(&mut self, at: usize, run: u32) {
        if self.nodes[at].run != run || self.nodes[at].replica.is_none() {
            return;
        }
        self.nodes[at].syncs_hard = false;
        if self.nodes[at].stalled_until <= self.now {
            let hard = self.nodes[at].disk.sync_hard();
            let after = self.completion_after();
            self.at(after, Event::HardDurable(at, run, hard));
        }
        self.wake_disk(at);
    }

    /// Starts a replica on what its disk holds.
    fn start(&mut self, at: usize) -> Verdict {
        let (settings, node) = (self.settings, &mut self.nodes[at]);
        let replica = node
            .disk
            .restored(|found| Replica::new(node.id, 7, settings, found));
        node.applied = (node.disk.durable.start.index, node.disk.durable.start_state);
        self.checkers.monotonic.on_restart(&replica)?;
        node.commit_checked = replica.commit_index();
        node.replica = Some(replica);
        self.tell_liveness(at)?;
        self.turn(at)
    }

    pub fn restart(&mut self, at: usize) -> Verdict {
        if self.nodes[at].is_gone || self.nodes[at].replica.is_some() {
            return Ok(());
        }
        self.start(at)?;
        self.announce(at, true);
        Ok(())
    }

    /// Ends the process: what was not synced is lost or not, as the disk decides.
    pub fn crash(&mut self, at: usize) {
        if self.nodes[at].replica.take().is_none() {
            return;
        }
        self.crashes += 1;
        let node = &mut self.nodes[at];
        node.run += 1;
        node.effects.clear();
        node.has_turn = false;
        node.syncs_log = false;
        node.syncs_hard = false;
        node.disk.crash(&mut self.rng);
        self.announce(at, false);
    }

    /// All others hear, each in its time, that a node died or lives.
    pub fn announce(&mut self, peer: usize, is_alive: bool) {
        for node in 0..self.nodes.len() {
            if node != peer {
                self.tell(node, peer, is_alive);
            }
        }
    }

    /// One node comes to believe something of another; in the order it was told.
    pub fn tell(&mut self, node: usize, peer: usize, is_alive: bool) {
        let after = 50 + self.rng.below(500);
        let known = self.liveness.entry((node, peer)).or_insert((true, 0));
        let when = (self.now + after).max(known.1 + 1);
        *known = (is_alive, when);
        let after = when - self.now;
        self.at(after, Event::Liveness(node, peer, is_alive));
    }

    /// What somebody was told last of a peer.
    pub fn believes(&self, node: usize, peer: usize) -> bool {
        self.liveness
            .get(&(node, peer))
            .is_none_or(|(alive, _)| *alive)
    }

    /// The configurations that are on their way to some log, in the network or at the end of a turn.
    pub fn on_their_way(&self) -> Vec<(RaftIndex, Configuration)> {
        let mut found = Vec::new();
        for event in self.events.iter().flatten() {
            if let Event::Deliver(packet) = event {
                found.extend_from_slice(&packet.configurations);
            }
        }
        for node in self.nodes.iter().filter(|n| n.replica.is_some()) {
            for effect in &node.effects.list {
                let (Effect::Append { configurations, .. } | Effect::Reset { configurations, .. }) =
                    *effect
                else {
                    continue;
                };
                found.extend_from_slice(node.effects.configurations(configurations));
            }
        }
        found
    }

    pub fn leaders(&self) -> Vec<usize> {
        let leads = |n: &Node| n.replica.as_ref().is_some_and(|r| r.role() == Role::Leader);
        (0..self.nodes.len())
            .filter(|at| leads(&self.nodes[*at]))
            .collect()
    }

    pub fn living(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|at| self.nodes[*at].replica.is_some())
            .collect()
    }

    /// Proposes `count` entries wherever somebody believes to lead, and asks a read now and then.
    pub fn propose(&mut self, at: usize, count: u64) -> Verdict {
        let mut payloads = Vec::with_capacity(count as usize);
        for _ in 0..count {
            self.proposed += 1;
            let size = if self.rng.thousandth(50) { 5000 } else { 200 };
            payloads.push(Payload {
                bytes: 1 + self.rng.below(size) as u32,
                checksum: mix(u64::from(self.proposed)) as u32,
            });
        }
        let reads = self.rng.thousandth(300);
        let ticket = reads.then(|| self.checkers.reads.on_asked(self.checkers.machines.last()));
        let mut refused = None;
        self.checkers.proposals.on_asked(&payloads);
        let entries_max = u64::from(self.settings.uncommitted_entries_max);
        let (mut announced, mut said, mut by_bytes) = (Ok(()), Ok(()), false);
        self.with(at, |replica, out| {
            announced = replica.may_propose();
            by_bytes = replica.last().index.0 - replica.commit_index().0 < entries_max;
            // Refusals are the client's to repeat; a run that only refuses fails the liveness check.
            said = replica.propose(&payloads, out).map(|_| ());
            refused = ticket.filter(|ticket| replica.read(*ticket).is_err());
        })?;
        let proposals = &mut self.checkers.proposals;
        proposals.on_answered(announced, said, by_bytes)?;
        if let Some(ticket) = refused {
            self.checkers.reads.on_failed(ticket);
        }
        Ok(())
    }
}
