//! Model check: every reachable state of the real core at tiny sizes, breadth first.
//!
//! A message that was sent stays: it may be delivered at any time, again, or never. Disks sync when they like; a crash
//! keeps what was synced and of the rest nothing or all. Timeouts strike at any time, so clocks, rounds and drawn timeouts
//! are left out of what tells states apart. Pre-votes are skipped: no safety may depend on them.

use std::{
    collections::{BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

use base::{LogEpoch, RaftIndex};

use crate::{
    Body, Configuration, Descriptor, Effect, Effects, HardState, LogPosition, Message, Payload,
    PlantedBugs, ReplicaId, Restored, Role, Settings, Term, peer::Flow, replica::Replica,
};

/// A message with what stands beside it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Letter {
    message: Message,
    entries: Vec<Descriptor>,
    configurations: Vec<(RaftIndex, Configuration)>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Member {
    replica: Replica,
    log: Vec<Descriptor>,
    configurations: Vec<(RaftIndex, Configuration)>,
    log_epoch: LogEpoch,
    /// How many of the log's entries last.
    durable: usize,
    hard: HardState,
    hard_staged: HardState,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    members: Vec<Member>,
    /// With the digest of each, ascending.
    letters: Vec<(u64, Letter)>,
    leaders: Vec<(Term, ReplicaId)>,
    committed: Vec<Term>,
    crashes: u8,
    proposals: u8,
    changes: u8,
}

/// The bounds of one search.
#[derive(Clone, Copy)]
struct Bounds {
    replicas: u32,
    voters: u32,
    term_max: i32,
    proposals: u8,
    crashes: u8,
    /// Changes from the first voters to all replicas but the first.
    changes: u8,
    states_max: usize,
}

const ELECTION_TICKS: u16 = 4;

fn start(bounds: Bounds, planted: PlantedBugs) -> State {
    let ids: Vec<ReplicaId> = (1..=bounds.voters).map(ReplicaId).collect();
    let first = Configuration::new(&ids, &[]).expect("tiny");
    let members = (1..=bounds.replicas).map(|id| {
        let member = Member {
            replica: restored(
                ReplicaId(id),
                HardState::default(),
                &[],
                &[],
                LogEpoch(0),
                planted,
            ),
            log: Vec::new(),
            configurations: Vec::new(),
            log_epoch: LogEpoch(0),
            durable: 0,
            hard: HardState::default(),
            hard_staged: HardState::default(),
        };
        if id > bounds.voters {
            return member;
        }
        let configurations = vec![(RaftIndex::ZERO, first)];
        Member {
            configurations,
            ..member
        }
        .restarted(true, planted)
    });
    let state = State {
        members: members.collect(),
        letters: Vec::new(),
        leaders: Vec::new(),
        committed: Vec::new(),
        crashes: 0,
        proposals: 0,
        changes: 0,
    };
    (0..bounds.replicas as usize).fold(state, State::started)
}

fn restored(
    id: ReplicaId,
    hard_state: HardState,
    log: &[Descriptor],
    configurations: &[(RaftIndex, Configuration)],
    log_epoch: LogEpoch,
    planted: PlantedBugs,
) -> Replica {
    let mut terms: Vec<(Term, RaftIndex)> = Vec::new();
    for (at, entry) in log.iter().enumerate() {
        if terms.last().is_none_or(|(term, _)| *term != entry.term) {
            terms.push((entry.term, RaftIndex(at as u64 + 1)));
        }
    }
    let settings = Settings {
        election_ticks: ELECTION_TICKS,
        hibernate_ticks: 0,
        append_entries_max: 2,
        in_flight_messages_max: 2,
        planted,
        ..Settings::default()
    };
    let found = Restored {
        hard_state,
        start: LogPosition::default(),
        configurations,
        terms: &terms,
        last: RaftIndex(log.len() as u64),
        log_epoch,
        commit_index: RaftIndex::ZERO,
    };
    Replica::new(id, 1, settings, &found)
}

impl Member {
    fn restarted(&self, keeps_all: bool, planted: PlantedBugs) -> Self {
        let kept = if keeps_all {
            self.log.len()
        } else {
            self.durable
        };
        let log = self.log[..kept].to_vec();
        let hard = if keeps_all {
            self.hard_staged
        } else {
            self.hard
        };
        let mut configurations = self.configurations.clone();
        configurations.retain(|(at, _)| at.0 <= kept as u64);
        let id = self.replica.id;
        let mut restarted = Self {
            replica: restored(id, hard, &log, &configurations, self.log_epoch, planted),
            durable: kept,
            log,
            configurations,
            log_epoch: self.log_epoch,
            hard,
            hard_staged: hard,
        };
        restarted.replica.forget_time();
        restarted
    }
}

impl Replica {
    /// Sets what only time tells apart to one value: any leader may be gone, any heartbeat may be due.
    fn forget_time(&mut self) {
        self.election_elapsed = ELECTION_TICKS;
        self.election_timeout = 0;
        self.heartbeat_elapsed = 0;
        self.idle_ticks = 0;
        self.drawn = 0;
        self.unled_timeouts = 0;
        self.round = 0;
        self.told.term = self.term;
        self.told.role = self.role;
        self.told.leader = self.leader;
        for peer in &mut self.peers {
            peer.was_heard = false;
            peer.round_heard = 0;
            peer.checkpoint = None;
            peer.waited = 0;
        }
    }
}

impl State {
    /// A member has just been made: its first turn.
    fn started(self, at: usize) -> Self {
        let next = self.with(at, |_, _| {}).expect("nothing is promised yet");
        next.unwrap_or(self)
    }

    /// One member handles an event and flushes; what it asks for is staged, what it sends joins the letters.
    fn with(
        &self,
        at: usize,
        handler: impl FnOnce(&mut Replica, &mut Effects),
    ) -> Result<Option<Self>, String> {
        let mut next = self.clone();
        let mut out = Effects::default();
        let replica = &mut next.members[at].replica;
        handler(replica, &mut out);
        replica.flush(&mut out);
        replica.forget_time();
        while !out.list.is_empty() {
            let mut later = Effects::default();
            for effect in std::mem::take(&mut out.list) {
                next.carry_out(at, effect, &out)?;
                next.answer_read(at, effect, &mut later);
            }
            out = later;
        }
        let replica = &next.members[at].replica;
        if replica.role == Role::Leader {
            let lead = (replica.term, replica.id);
            match next.leaders.iter().find(|known| known.0 == lead.0) {
                Some(known) if known.1 != lead.1 => {
                    return Err(format!("two leaders in term {}", lead.0));
                }
                Some(_) => {}
                None => {
                    next.leaders.push(lead);
                    next.leaders.sort();
                    next.is_complete(at)?;
                }
            }
        }
        Ok((next != *self).then_some(next))
    }

    fn carry_out(&mut self, at: usize, effect: Effect, out: &Effects) -> Result<(), String> {
        let member = &mut self.members[at];
        match effect {
            Effect::Send(message) => self.post(message, out),
            Effect::SaveHardState(hard) => member.hard_staged = hard,
            Effect::Append {
                entries,
                configurations,
                ..
            } => {
                member.log.extend(out.entries(entries));
                let carried = out.configurations(configurations);
                member.configurations.extend(carried);
            }
            Effect::Truncate { from, log_epoch } => {
                member.log.truncate(from.0 as usize - 1);
                member.durable = member.durable.min(member.log.len());
                member.configurations.retain(|(at, _)| *at < from);
                member.log_epoch = log_epoch;
            }
            Effect::Reset {
                at: start,
                log_epoch,
                configurations,
            } => {
                assert_eq!(start, LogPosition::default(), "nothing is trimmed");
                member.log.clear();
                member.durable = 0;
                member.configurations = out.configurations(configurations).to_vec();
                member.log_epoch = log_epoch;
            }
            Effect::Committed(index) => self.commit(at, index)?,
            Effect::Contradiction { index } => return Err(format!("contradiction at {index}")),
            _ => {}
        }
        Ok(())
    }

    /// Reads from disk take no time.
    fn answer_read(&mut self, at: usize, effect: Effect, out: &mut Effects) {
        let Effect::ReadEntries {
            to,
            term,
            from,
            entries_max,
            ..
        } = effect
        else {
            return;
        };
        let Member { replica, log, .. } = &mut self.members[at];
        let found = &log[from.0 as usize - 1..];
        let found = &found[..found.len().min(entries_max as usize)];
        replica.on_entries_read(to, term, from, found, out);
        replica.flush(out);
        replica.forget_time();
    }

    fn post(&mut self, mut message: Message, out: &Effects) {
        let (entries, configurations) = out.beside(&message);
        let (entries, configurations) = (entries.to_vec(), configurations.to_vec());
        match &mut message.body {
            // Where in a step's lists something stands, and which round it was, tells no messages apart.
            Body::Append {
                entries,
                configurations,
                round,
                ..
            } => {
                entries.at = 0;
                configurations.at = 0;
                *round = 0;
            }
            Body::Heartbeat { round, .. } | Body::Ack { round, .. } => *round = 0,
            _ => {}
        }
        let letter = Letter {
            message,
            entries,
            configurations,
        };
        let key = digest(&letter);
        if let Err(place) = self.letters.binary_search_by_key(&key, |(key, _)| *key) {
            self.letters.insert(place, (key, letter));
        }
    }

    fn commit(&mut self, at: usize, index: RaftIndex) -> Result<(), String> {
        let log = &self.members[at].log;
        for (place, entry) in log.iter().enumerate().take(index.0 as usize) {
            match self.committed.get(place) {
                None => self.committed.push(entry.term),
                Some(term) if *term == entry.term => {}
                Some(term) => {
                    let other = entry.term;
                    return Err(format!("{} commits in terms {term} and {other}", place + 1));
                }
            }
        }
        Ok(())
    }

    /// Leader completeness, for a member that has just taken the lead in the newest term.
    fn is_complete(&self, at: usize) -> Result<(), String> {
        let member = &self.members[at];
        let newest = self
            .leaders
            .last()
            .is_some_and(|(term, _)| *term == member.replica.term);
        let holds = |(place, term): (usize, &Term)| {
            member
                .log
                .get(place)
                .is_some_and(|entry| entry.term == *term)
        };
        if !newest || self.committed.iter().enumerate().all(holds) {
            return Ok(());
        }
        Err(format!(
            "{} leads without all that is committed",
            member.replica.id
        ))
    }

    fn successors(&self, bounds: Bounds, planted: PlantedBugs) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            let replica = &member.replica;
            let is_saved = replica.hard_durable == replica.hard_state();
            if replica.role == Role::Leader {
                self.lead(at, bounds, &mut found)?;
            } else if replica.term.0 < bounds.term_max && is_saved && replica.may_stand() {
                found.extend(self.with(at, |replica, _| replica.campaign(false))?);
            }
            if member.durable < member.log.len() {
                let mut synced = self.clone();
                synced.members[at].durable = member.log.len();
                let (epoch, index) = (member.log_epoch, RaftIndex(member.log.len() as u64));
                found.extend(synced.with(at, |replica, _| replica.on_durable(epoch, index))?);
            }
            if member.hard != member.hard_staged {
                let mut synced = self.clone();
                let hard = member.hard_staged;
                synced.members[at].hard = hard;
                found.extend(synced.with(at, |r, out| r.on_hard_state_durable(hard, out))?);
            }
            if self.crashes < bounds.crashes {
                for keeps_all in [false, true] {
                    let mut crashed = self.clone();
                    crashed.crashes += 1;
                    crashed.members[at] = member.restarted(keeps_all, planted);
                    found.push(crashed.started(at));
                }
            }
        }
        for (_, letter) in &self.letters {
            let to = letter.message.to.0 as usize - 1;
            found.extend(self.with(to, |replica, out| {
                let (entries, configurations) = (&letter.entries, &letter.configurations);
                replica.receive(&letter.message, entries, configurations, out);
            })?);
        }
        Ok(found)
    }

    /// What only a leader does: propose, change members, send again, give up.
    fn lead(&self, at: usize, bounds: Bounds, found: &mut Vec<Self>) -> Result<(), String> {
        if self.proposals < bounds.proposals {
            let next = self.with(at, |replica, out| {
                let (bytes, checksum) = (1, 0);
                let proposed = replica.propose(&[Payload { bytes, checksum }], out);
                assert!(proposed.is_ok(), "nothing is in the way");
            })?;
            found.extend(next.map(|mut next| {
                next.proposals += 1;
                next
            }));
        }
        if self.changes < bounds.changes {
            let ids: Vec<ReplicaId> = (2..=bounds.replicas).map(ReplicaId).collect();
            let target = Configuration::new(&ids, &[]).expect("tiny");
            let next = self.with(at, |replica, out| {
                // Refused until something of its term is committed.
                let _ = replica.reconfigure(&target, out);
            })?;
            found.extend(next.map(|mut next| {
                next.changes += 1;
                next
            }));
        }
        found.extend(self.with(at, |replica, out| {
            for peer in &mut replica.peers {
                if let Flow::Probe { awaits } = &mut peer.flow {
                    *awaits = false;
                }
            }
            replica.round_due = true;
            let _ = out;
        })?);
        let term = self.members[at].replica.term;
        found.extend(self.with(at, |replica, out| replica.become_follower(term, None, out))?);
        Ok(())
    }
}

fn digest(of: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Visits the states within the bounds: how many there are, and whether that is all of them.
fn explore(bounds: Bounds, planted: PlantedBugs) -> Result<(usize, bool), String> {
    let first = start(bounds, planted);
    let mut seen = BTreeSet::from([digest(&first)]);
    let mut queue = VecDeque::from([first]);
    while let Some(state) = queue.pop_front() {
        if seen.len() >= bounds.states_max {
            return Ok((seen.len(), false));
        }
        for next in state.successors(bounds, planted)? {
            if seen.insert(digest(&next)) {
                queue.push_back(next);
            }
        }
    }
    Ok((seen.len(), true))
}

const TWO: Bounds = Bounds {
    replicas: 2,
    voters: 2,
    term_max: 2,
    proposals: 1,
    crashes: 0,
    changes: 0,
    states_max: 15_000,
};

/// Searches within growing bounds; the first ends by itself.
fn search(states_max: usize) {
    let two = Bounds { states_max, ..TWO };
    let three = Bounds {
        replicas: 3,
        voters: 3,
        proposals: 0,
        ..two
    };
    let searches = [
        (
            "two voters, one term",
            Bounds {
                term_max: 1,
                states_max: states_max.max(40_000),
                ..two
            },
        ),
        ("two voters", two),
        (
            "two voters, a crash",
            Bounds {
                crashes: 1,
                proposals: 0,
                ..two
            },
        ),
        ("three voters", three),
        (
            "one voter for another",
            Bounds {
                voters: 1,
                changes: 1,
                proposals: 0,
                ..two
            },
        ),
        (
            "one of two for a third",
            Bounds {
                voters: 2,
                changes: 1,
                ..three
            },
        ),
    ];
    for (at, (name, bounds)) in searches.into_iter().enumerate() {
        let (states, all) =
            explore(bounds, PlantedBugs::default()).unwrap_or_else(|why| panic!("{name}: {why}"));
        assert!(all || at > 0, "{name}: more than {states} states");
        let ends = if all { "all" } else { "cut off" };
        eprintln!("{name}: {states} states, {ends}");
    }
}

#[test]
fn tiny_groups_are_safe() {
    search(15_000);
}

#[test]
#[ignore = "minutes and gigabytes"]
fn small_groups_are_safe() {
    search(1_000_000);
}

#[test]
fn searches_find_planted_bugs() {
    let votes = PlantedBugs {
        vote_before_durable: true,
        ..PlantedBugs::default()
    };
    let bounds = Bounds {
        replicas: 3,
        voters: 3,
        term_max: 1,
        proposals: 0,
        crashes: 1,
        changes: 0,
        states_max: 200_000,
    };
    let found = explore(bounds, votes);
    assert!(found.is_err(), "{found:?}");
}
