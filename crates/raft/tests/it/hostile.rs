//! Hostile peers: well-typed messages that say anything, thrown at a replica in any state, beside everything its own node
//! does. Nothing panics, and what a replica owes itself holds: what is committed stays, one vote a term and only when it
//! lasts, no claim of what does not, storage requests that fit each other.

use std::collections::BTreeMap;

use base::{LogEpoch, RaftIndex};
use raft::{
    Body, Configuration, Descriptor, Effect, Effects, EntryKind, HardState, LogPosition, MemberSet,
    Message, Payload, Replica, ReplicaId, Role, Settings, Span, Term,
};
use raft_sim::{disk::Disk, group::Group, rng::Rng};

const ME: ReplicaId = ReplicaId(1);

/// A replica with its disk, and what it was seen to promise.
struct Victim {
    rng: Rng,
    settings: Settings,
    replica: Replica,
    out: Effects,
    disk: Disk,
    log_completions: Vec<(LogEpoch, RaftIndex)>,
    hard_completions: Vec<HardState>,
    reads: Vec<(ReplicaId, Term, RaftIndex, u32)>,
    votes: BTreeMap<Term, ReplicaId>,
    term: Term,
    committed: RaftIndex,
    seen: Seen,
}

/// What happened, to prove that it does.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    leaders: u32,
    commits: u32,
    truncations: u32,
    resets: u32,
    joint: u32,
    last_terms: u32,
}

impl Victim {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let settings = Settings {
            election_ticks: 3,
            hibernate_ticks: 5,
            append_entries_max: 3,
            in_flight_messages_max: 3,
            uncommitted_entries_max: 20,
            uncommitted_bytes_max: 2000,
            tail_entries_max: 4,
            reads_max: 3,
            ..Settings::default()
        };
        let mut disk = Disk::default();
        if rng.thousandth(100) {
            disk.durable.log_epoch = LogEpoch(u32::MAX - 2);
            disk.staged = disk.durable.clone();
        }
        if !rng.thousandth(200) {
            let first = configuration(&mut rng, true);
            disk.durable.configurations = vec![(RaftIndex::ZERO, first)];
            disk.staged = disk.durable.clone();
        }
        let replica = disk.restored(|found| Replica::new(ME, seed, settings, found));
        Self {
            rng,
            settings,
            replica,
            out: Effects::default(),
            disk,
            log_completions: Vec::new(),
            hard_completions: Vec::new(),
            reads: Vec::new(),
            votes: BTreeMap::new(),
            term: Term(0),
            committed: RaftIndex::ZERO,
            seen: Seen::default(),
        }
    }

    fn step(&mut self) {
        match self.rng.below(30) {
            0..15 => self.hear(),
            15..20 => self.storage(),
            20 => self.replica.tick(&mut self.out),
            21 => self.replica.campaign_now(&mut self.out),
            22 => {
                let payload = Payload {
                    bytes: self.rng.below(1000) as u32,
                    checksum: self.rng.draw() as u32,
                };
                let some = vec![payload; 1 + self.rng.below(3) as usize];
                let announced = self.replica.may_propose();
                let said = self.replica.propose(&some, &mut self.out);
                assert_eq!(announced, said.map(|_| ()));
            }
            23 => {
                let target = configuration(&mut self.rng, true);
                // Refused or not.
                let _ = self.replica.reconfigure(&target, &mut self.out);
            }
            24 => {
                // Refused or not.
                let _ = self.replica.transfer(somebody(&mut self.rng));
            }
            25 => {
                // Refused or not.
                let _ = self.replica.read(7);
            }
            26 if self.out.is_empty() => {
                let wanted = self.index();
                let before = self.replica.start();
                let start = self.replica.trim(wanted);
                if start != before {
                    self.disk.stage_trim(start, 0);
                }
            }
            27 => {
                let lives = self.rng.thousandth(500);
                self.replica.on_liveness(somebody(&mut self.rng), lives);
            }
            28 if self.rng.thousandth(100) => self.restart(),
            _ => {
                if let Some((to, term, from, count)) = self.reads.pop() {
                    let at = from.0.checked_sub(self.disk.staged.start.index.0 + 1);
                    let found = at.and_then(|at| self.disk.staged.entries.get(at as usize..));
                    let found = found.unwrap_or_default();
                    let found = &found[..found.len().min(count as usize)];
                    let (replica, out) = (&mut self.replica, &mut self.out);
                    replica.on_entries_read(to, term, from, found, out);
                }
            }
        }
        self.holds();
        if self.rng.thousandth(600) {
            self.turn();
        }
    }

    /// What must hold after each handler.
    fn holds(&mut self) {
        let replica = &self.replica;
        let (start, commit, last) = (replica.start(), replica.commit_index(), replica.last());
        assert!(start.index <= commit && commit <= last.index);
        assert!(replica.durable() <= last.index && replica.configuration_index() <= last.index);
        assert!(replica.term() >= self.term && replica.term() >= last.term);
        assert!(commit >= self.committed, "a commit index never falls");
        assert!(replica.role() == Role::Leader || replica.uncommitted_bytes() == 0);
        let runs = replica.terms();
        assert!(runs.is_sorted_by(|a, b| a.0 < b.0 && a.1 < b.1));
        self.term = replica.term();
        self.seen.leaders += u32::from(replica.role() == Role::Leader);
        self.seen.joint += u32::from(replica.configuration().is_joint());
        self.seen.last_terms += u32::from(replica.term() == Term(i32::MAX));
    }

    fn turn(&mut self) {
        self.replica.flush(&mut self.out);
        self.holds();
        let out = std::mem::take(&mut self.out);
        for effect in &out.list {
            self.carry_out(effect, &out);
        }
        let image = &self.disk.staged;
        for (index, _) in image.configurations.iter() {
            let entry = image.get(*index);
            assert!(entry.is_none_or(|entry| entry.kind == EntryKind::Configuration));
        }
        let in_log = image.configurations.last().copied();
        let (index, configuration) = in_log.unwrap_or_default();
        assert_eq!(index, self.replica.configuration_index());
        assert_eq!(configuration, *self.replica.configuration());
        assert_eq!(self.disk.staged.last(), self.replica.last().index);
    }

    fn carry_out(&mut self, effect: &Effect, out: &Effects) {
        match *effect {
            Effect::Send(message) => self.sent(&message, out),
            Effect::SaveHardState(hard) => self.disk.stage_hard(hard),
            Effect::Append {
                first,
                log_epoch,
                entries,
                configurations,
            } => {
                assert!(first > self.committed && self.disk.staged.log_epoch == log_epoch);
                let configurations = out.configurations(configurations);
                let entries = out.entries(entries);
                self.disk.stage_append(first, entries, configurations);
            }
            Effect::Truncate { from, log_epoch } => {
                assert!(from > self.committed, "what is committed stays");
                self.seen.truncations += 1;
                self.disk.stage_truncate(from, log_epoch);
            }
            Effect::Reset {
                at,
                log_epoch,
                configurations,
            } => {
                let before = self.disk.staged.get(self.committed).map(|entry| entry.term);
                assert!(at.index >= self.committed && before <= Some(at.term));
                self.seen.resets += 1;
                let configuration = out.configurations(configurations)[0].1;
                self.disk.stage_reset(at, 0, log_epoch, configuration);
            }
            Effect::ReadEntries {
                to,
                term,
                from,
                entries_max,
                ..
            } => self.reads.push((to, term, from, entries_max)),
            Effect::Committed(index) => {
                assert!(index > self.committed && index <= self.disk.staged.last());
                self.committed = index;
                self.seen.commits += 1;
            }
            _ => {}
        }
    }

    fn sent(&mut self, message: &Message, out: &Effects) {
        assert_eq!(message.from, ME);
        let (entries, configurations) = out.beside(message);
        // A peer may have brought a log to where its own proposals end it.
        let ended = self.replica.last().index >= RaftIndex(1 << 62);
        assert!(
            ended || message.is_well_formed(entries, configurations),
            "{message:?}"
        );
        let vote = match message.body {
            Body::Vote { .. } => ME,
            Body::VoteReply { granted: true } => message.to,
            Body::Ack { durable, .. } => {
                assert!(
                    durable <= self.disk.durable.last(),
                    "{durable} does not last"
                );
                let lasts = self.disk.hard.term.max(self.disk.durable.last_term());
                assert!(durable == RaftIndex::ZERO || message.term <= lasts);
                return;
            }
            _ => return,
        };
        assert_eq!(*self.votes.entry(message.term).or_insert(vote), vote);
        let hard = HardState {
            term: message.term,
            vote: Some(vote),
        };
        assert!(self.disk.hard >= hard, "a vote is sent before it lasts");
    }

    /// The disk goes on, and completions come when they like.
    fn storage(&mut self) {
        if self.rng.thousandth(500) {
            let count = self.rng.below(4) as usize;
            self.log_completions.push(self.disk.sync_log(count));
            self.hard_completions.push(self.disk.sync_hard());
        }
        if let Some(&(log_epoch, index)) = self.rng.pick(&self.log_completions) {
            self.replica.on_durable(log_epoch, index);
        }
        if let Some(&hard) = self.rng.pick(&self.hard_completions) {
            self.replica.on_hard_state_durable(hard, &mut self.out);
        }
    }

    fn restart(&mut self) {
        self.disk.commit_index = self.replica.lasting_commit_index();
        self.disk.crash(&mut self.rng);
        self.out.clear();
        self.log_completions.clear();
        self.hard_completions.clear();
        self.reads.clear();
        let settings = self.settings;
        let restored = self
            .disk
            .restored(|found| Replica::new(ME, 1, settings, found));
        self.replica = restored;
        self.term = self.replica.term();
        self.committed = self.disk.durable.start.index;
    }

    fn hear(&mut self) {
        let prev = self.position();
        let count = self.rng.below(5);
        let mut term = prev.term;
        let mut entries = Vec::new();
        let mut configurations = Vec::new();
        for at in 0..count {
            if self.rng.thousandth(200) {
                term = self.term();
            }
            let kinds = [
                EntryKind::Records,
                EntryKind::TermStart,
                EntryKind::Configuration,
            ];
            let kind = *self.rng.pick(&kinds).expect("three");
            let sizes = [0, 1, 500, u32::MAX];
            entries.push(Descriptor {
                term,
                bytes: *self.rng.pick(&sizes).expect("four"),
                checksum: self.rng.draw() as u32,
                kind,
            });
            let belongs = kind == EntryKind::Configuration;
            if belongs != self.rng.thousandth(30) {
                let sane = !self.rng.thousandth(30);
                let at = RaftIndex(prev.index.0.saturating_add(1 + at));
                configurations.push((at, configuration(&mut self.rng, sane)));
            }
        }
        let body = self.body(prev);
        if let Body::Snapshot { .. } = body {
            let sane = !self.rng.thousandth(30);
            configurations.truncate(usize::from(self.rng.thousandth(30)));
            configurations.push((prev.index, configuration(&mut self.rng, sane)));
        }
        let message = Message {
            from: somebody(&mut self.rng),
            to: if self.rng.thousandth(10) {
                somebody(&mut self.rng)
            } else {
                ME
            },
            term: self.term(),
            body,
        };
        let (replica, out) = (&mut self.replica, &mut self.out);
        replica.receive(&message, &entries, &configurations, out);
    }

    fn body(&mut self, prev: LogPosition) -> Body {
        let (index, other, last) = (self.index(), self.index(), self.position());
        let rounds = [0, 1, 2, 3, 10, u64::MAX];
        let round = *self.rng.pick(&rounds).expect("six");
        let yes = self.rng.thousandth(700);
        let configurations = Span::default();
        let next_term = if yes {
            Term(self.term.0.saturating_add(1))
        } else {
            self.term()
        };
        match self.rng.below(16) {
            0..5 => Body::Append {
                prev,
                commit_index: index,
                round,
                is_probe: yes,
                entries: Span::default(),
                configurations,
            },
            5 => Body::Snapshot {
                at: prev,
                round,
                configurations,
            },
            6 => Body::Heartbeat {
                commit_index: index,
                round,
                hibernate_at: yes.then_some(last),
            },
            7 => Body::Reject {
                prev: index,
                hint: last,
            },
            8 => Body::PreVote { next_term, last },
            9 => Body::PreVoteReply {
                next_term,
                granted: yes,
            },
            10 => Body::Vote {
                last,
                is_transfer: yes,
            },
            11 | 12 => Body::VoteReply { granted: yes },
            13 => Body::StaleTerm,
            14 => Body::TimeoutNow,
            _ => Body::Ack {
                durable: if yes { index.min(other) } else { index },
                received: other.max(if yes { index } else { other }),
                round,
            },
        }
    }

    fn term(&mut self) -> Term {
        let now = self.term.0;
        let near = [now, now, now, now, now.saturating_add(1), now - 1, 0, 1];
        let far = [-1, i32::MIN, i32::MAX, i32::MAX - 1];
        match self.rng.thousandth(1) {
            true => Term(*self.rng.pick(&far).expect("four")),
            false => Term(*self.rng.pick(&near).expect("eight")),
        }
    }

    fn index(&mut self) -> RaftIndex {
        let replica = &self.replica;
        let last = replica.last().index.0;
        let near = [
            0,
            1,
            replica.start().index.0,
            replica.commit_index().0,
            replica.durable().0,
            last,
            last.saturating_sub(1),
            last + 1,
            last.saturating_sub(self.rng.below(5)),
        ];
        let far = [u64::MAX, u64::MAX - 1, 1 << 62, (1 << 62) + 1, 1 << 40];
        match self.rng.thousandth(10) {
            true => RaftIndex(*self.rng.pick(&far).expect("five")),
            false => RaftIndex(*self.rng.pick(&near).expect("nine")),
        }
    }

    /// Mostly one that is in the log.
    fn position(&mut self) -> LogPosition {
        let index = self.index();
        let known = self.replica.term_at(index);
        let term = match known.filter(|_| !self.rng.thousandth(100)) {
            Some(term) => term,
            None => self.term(),
        };
        LogPosition { term, index }
    }
}

fn somebody(rng: &mut Rng) -> ReplicaId {
    match rng.thousandth(20) {
        true => ReplicaId(u32::MAX),
        false => ReplicaId(rng.below(6) as u32),
    }
}

fn configuration(rng: &mut Rng, is_sane: bool) -> Configuration {
    let mut some = |most: u64| {
        let ids: Vec<ReplicaId> = (0..rng.below(most + 1))
            .map(|_| ReplicaId(rng.below(6) as u32))
            .collect();
        MemberSet::new(&ids).expect("at most six")
    };
    let (mut voters, learners, outgoing) = (some(4), some(2), some(3));
    if is_sane && !voters.contains(ME) {
        voters = MemberSet::new(&[&[ME], voters.as_slice()].concat()).expect("at most five");
    }
    let is_joint = rng.thousandth(100);
    Configuration {
        voters,
        outgoing: if is_joint { outgoing } else { MemberSet::EMPTY },
        learners,
    }
}

/// A group of three that 1 leads, and a message of its term.
fn led() -> (Group, impl Fn(u32, u32, Body) -> Message) {
    let mut group = Group::new(3, 1, Settings::default());
    group.elect();
    let term = group.replicas[0].term();
    (group, move |from, to, body| Message {
        from: ReplicaId(from),
        to: ReplicaId(to),
        term,
        body,
    })
}

#[test]
fn an_answer_to_a_round_that_was_not_begun_confirms_no_read() {
    let (mut group, message) = led();
    let leader = &mut group.replicas[0];
    leader.read(7).expect("it leads");
    let mut out = Effects::default();
    let answer = Body::Ack {
        durable: RaftIndex::ZERO,
        received: RaftIndex::ZERO,
        round: u64::MAX,
    };
    leader.receive(&message(2, 1, answer), &[], &[], &mut out);
    leader.flush(&mut out);
    let is_read = |effect: &Effect| matches!(effect, Effect::ReadReady { .. });
    assert!(!out.list.iter().any(is_read), "{:?}", out.list);
}

#[test]
fn only_the_leader_hands_over() {
    let (mut group, message) = led();
    let mut out = Effects::default();
    let follower = &mut group.replicas[1];
    follower.receive(&message(3, 2, Body::TimeoutNow), &[], &[], &mut out);
    assert_eq!(follower.role(), Role::Follower);
    follower.receive(&message(1, 2, Body::TimeoutNow), &[], &[], &mut out);
    assert_eq!(follower.role(), Role::Candidate);
}

#[test]
fn nothing_a_peer_says_breaks_a_replica() {
    let mut seen = Seen::default();
    let seeds = std::env::var("FOREBAY_HOSTILE").ok();
    let seeds = seeds.and_then(|text| text.parse().ok()).unwrap_or(3000);
    for seed in 0..seeds {
        let mut victim = Victim::new(seed);
        for _ in 0..400 {
            victim.step();
        }
        let one = victim.seen;
        seen.leaders += one.leaders;
        seen.commits += one.commits;
        seen.truncations += one.truncations;
        seen.resets += one.resets;
        seen.joint += one.joint;
        seen.last_terms += one.last_terms;
    }
    eprintln!("{seen:?}");
    let all = [
        seen.leaders,
        seen.commits,
        seen.truncations,
        seen.resets,
        seen.joint,
        seen.last_terms,
    ];
    assert!(all.iter().all(|count| *count > 100), "{seen:?}");
}
