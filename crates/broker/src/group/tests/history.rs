//! Random histories of clients, time, lost writes and restarts, under the checker.

use std::collections::{BTreeMap, VecDeque};

use base::{Offset, PartitionIndex, TimestampMs, TopicName};

use super::super::{
    Answer, Commit, CommittedOffset, Effects, GroupConfig, GroupError, GroupId, GroupTable,
    InstanceId, Join, Leaving, MemberId, MemberRef, Moment, Protocol, SnapshotCursor, Sync, Ticket,
    Write, WriteToken,
    checker::{Asked, History, check_table},
    classic::State,
};

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }
}

/// A client as it sees itself.
#[derive(Debug)]
struct Client {
    group: GroupId,
    instance: Option<InstanceId>,
    version: i16,
    protocols: Vec<&'static str>,
    member_id: Option<MemberId>,
    generation: i32,
    /// The request it waits for.
    waits_for: Option<Ticket>,
    next_heartbeat_ms: u64,
    wants_join: bool,
    is_alive: bool,
}

impl Client {
    fn reference(&self) -> MemberRef {
        MemberRef {
            member_id: self.member_id.clone().unwrap_or_else(|| "".into()),
            instance: self.instance.clone(),
            generation: self.generation,
        }
    }
}

/// A write in the log's order; the log before `trim` can go once it is durable.
struct Entry {
    at: u64,
    write: Write,
    trim: u64,
}

struct World {
    table: GroupTable,
    dice: Dice,
    now: Moment,
    history: History,
    clients: Vec<Client>,
    under_way: VecDeque<Entry>,
    next_entry: u64,
    /// The log as compaction would leave it, with each record's entry: what a replay amounts to.
    log: BTreeMap<Vec<u8>, (u64, Vec<u8>)>,
    /// The first entry of a snapshot under way, and how far it has come.
    snapshot: Option<(u64, SnapshotCursor)>,
    waiting: BTreeMap<Ticket, usize>,
    next_id: u64,
    writes_fail: bool,
}

const GROUPS: [&str; 2] = ["g", "h"];

fn config() -> GroupConfig {
    GroupConfig {
        initial_rebalance_delay_ms: 500,
        members_max: 4,
        offsets_retention_ms: 60_000,
        ..GroupConfig::default()
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let clients = (0..6)
            .map(|at| Client {
                group: GROUPS[dice.roll(2) as usize].into(),
                instance: dice
                    .one_in(3)
                    .then(|| InstanceId::from(format!("i{}", at / 2).as_str())),
                version: [0, 3, 5, 9][dice.roll(4) as usize],
                protocols: vec!["range", "sticky"],
                member_id: None,
                generation: -1,
                waits_for: None,
                next_heartbeat_ms: 0,
                wants_join: true,
                is_alive: true,
            })
            .collect();
        Self {
            table: GroupTable::new(config()),
            dice,
            now: Moment {
                at_ms: 1_000,
                wall: TimestampMs(1_700_000_000_000),
            },
            history: History::default(),
            clients,
            under_way: VecDeque::new(),
            next_entry: 1,
            snapshot: None,
            log: BTreeMap::new(),
            waiting: BTreeMap::new(),
            next_id: 0,
            writes_fail: false,
        }
    }

    fn pass(&mut self, ms: u64) {
        self.now.at_ms += ms;
        self.now.wall.0 += ms as i64;
    }

    fn settle(&mut self, fx: Effects) {
        for (ticket, answer) in fx.answers {
            self.history.on_answer(ticket, &answer);
            if let Some(client) = self.waiting.remove(&ticket)
                && self.clients[client].waits_for == Some(ticket)
            {
                self.clients[client].waits_for = None;
                self.on_answer(client, answer);
            }
        }
        check_table(&self.table);
        for name in GROUPS {
            if !self.table.groups.contains_key(name) {
                self.history.forget(name);
            }
        }
        for write in fx.writes {
            // A write is refused before it has a place in the log (the disk is full), or it becomes durable.
            if self.writes_fail && self.dice.one_in(10) {
                self.written(write.token, Err(GroupError::NotAvailable));
            } else {
                self.sequence(write, 0);
            }
        }
    }

    fn written(&mut self, token: WriteToken, outcome: Result<(), GroupError>) {
        let mut fx = Effects::default();
        self.table.on_written(self.now, token, outcome, &mut fx);
        self.settle(fx);
    }

    /// What a well-behaved client does with an answer.
    fn on_answer(&mut self, at: usize, answer: Answer) {
        let client = &mut self.clients[at];
        match answer {
            Answer::Join(Ok(joined)) => {
                client.member_id = Some(joined.member_id.clone());
                client.generation = joined.generation;
                client.wants_join = false;
                let members: Vec<_> = joined.members.into_iter().map(|m| m.member_id).collect();
                let members = if joined.skip_assignment {
                    Vec::new()
                } else {
                    members
                };
                self.sync(at, members);
            }
            Answer::Join(Err(refused)) => match refused.error {
                GroupError::MemberIdRequired => client.member_id = refused.member_id,
                GroupError::UnknownMember | GroupError::FencedInstance => client.member_id = None,
                _ => {}
            },
            Answer::Sync(Ok(_)) => {}
            Answer::Sync(Err(error)) => self.on_error(at, error),
            Answer::Written(_) => {}
        }
    }

    fn on_error(&mut self, at: usize, error: GroupError) {
        let client = &mut self.clients[at];
        client.wants_join = true;
        if matches!(
            error,
            GroupError::UnknownMember | GroupError::IllegalGeneration | GroupError::FencedInstance
        ) {
            client.member_id = None;
            client.generation = -1;
        }
    }

    fn join(&mut self, at: usize) {
        self.next_id += 1;
        let client = &self.clients[at];
        let protocols = client.protocols.iter().map(|name| Protocol {
            name: (*name).into(),
            metadata: [0, 1, 0, 0, 0, 1, 0, 1, b't'][..].into(),
        });
        let join = Join {
            group: client.group.clone(),
            member_id: client.member_id.clone(),
            fresh_member_id: format!("m{}", self.next_id).as_str().into(),
            instance: client.instance.clone(),
            client_id: "c".into(),
            client_host: "/127.0.0.1".into(),
            protocol_type: "consumer".into(),
            protocols: protocols.collect(),
            session_timeout_ms: 6_000,
            rebalance_timeout_ms: 8_000,
            known_member_id_required: client.version >= 4,
            skips_assignment: client.version >= 9,
            reason: None,
        };
        let ticket = self.history.ask(Asked::Join {
            group: join.group.clone(),
            instance: join.instance.clone(),
        });
        self.wait(at, ticket);
        let mut fx = Effects::default();
        self.table.on_join(self.now, ticket, &join, &mut fx);
        self.settle(fx);
    }

    fn wait(&mut self, at: usize, ticket: Ticket) {
        self.waiting.insert(ticket, at);
        self.clients[at].waits_for = Some(ticket);
    }

    fn sync(&mut self, at: usize, members: Vec<MemberId>) {
        let client = &self.clients[at];
        let member = client.reference();
        let generation = member.generation;
        let sync = Sync {
            group: client.group.clone(),
            assignments: members
                .into_iter()
                .map(|id| {
                    let text = format!("{generation}:{id}");
                    (id, text.as_bytes().into())
                })
                .collect(),
            member,
            protocol_type: None,
            protocol: None,
        };
        let ticket = self.history.ask(Asked::Sync {
            group: sync.group.clone(),
            generation,
            member: sync.member.member_id.clone(),
        });
        self.wait(at, ticket);
        let mut fx = Effects::default();
        self.table.on_sync(self.now, ticket, sync, &mut fx);
        self.settle(fx);
    }

    fn heartbeat(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.next_heartbeat_ms = self.now.at_ms + 2_000;
        let (group, member) = (client.group.clone(), client.reference());
        let outcome = self.table.on_heartbeat(self.now, &group, &member);
        check_table(&self.table);
        if let Err(error) = outcome {
            self.on_error(at, error);
        }
    }

    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        let Some(member_id) = client.member_id.take() else {
            return;
        };
        client.waits_for = None;
        client.wants_join = true;
        client.generation = -1;
        let leaving = Leaving {
            member_id,
            instance: client.instance.clone(),
            reason: None,
        };
        let group = client.group.clone();
        let mut fx = Effects::default();
        let _ = self.table.on_leave(self.now, &group, &[leaving], &mut fx);
        self.settle(fx);
    }

    fn commit(&mut self, group: GroupId, member: MemberRef) {
        let offset = CommittedOffset {
            offset: Offset(self.dice.roll(1_000) as i64),
            leader_epoch: 3,
            metadata: "m".into(),
            committed_at: self.now.wall,
            expires_at: None,
        };
        let commit = Commit {
            group,
            member,
            offsets: vec![(topic(), PartitionIndex(self.dice.roll(3) as i32), offset)],
            not_found_known: true,
        };
        let ticket = self.history.ask(Asked::Write);
        let mut fx = Effects::default();
        self.table.on_commit(self.now, ticket, commit, &mut fx);
        self.settle(fx);
    }

    fn delete(&mut self, group: GroupId) {
        let mut fx = Effects::default();
        let ticket = self.history.ask(Asked::Write);
        if self.dice.one_in(2) {
            self.table
                .on_delete_group(self.now, ticket, &group, &mut fx);
        } else {
            let keys = [(topic(), PartitionIndex(0)), (topic(), PartitionIndex(1))];
            let outcome = self
                .table
                .on_delete_offsets(self.now, ticket, &group, &keys, &mut fx);
            if outcome.is_err() {
                // Refused as a whole: the ticket was not taken.
                fx.answers
                    .push((ticket, Answer::Written(Err(GroupError::NonEmpty))));
            }
        }
        self.settle(fx);
    }

    fn finish_write(&mut self) {
        let Some(entry) = self.under_way.pop_front() else {
            return;
        };
        let token = entry.write.token;
        self.append(entry);
        self.written(token, Ok(()));
    }

    fn append(&mut self, entry: Entry) {
        for record in entry.write.records {
            match record.value {
                Some(value) => self.log.insert(record.key, (entry.at, value)),
                None => self.log.remove(&record.key),
            };
        }
        self.log.retain(|_, (at, _)| *at >= entry.trim);
    }

    fn replayed(&self) -> GroupTable {
        let mut table = GroupTable::new(config());
        for (key, (_, value)) in &self.log {
            table
                .replay(key, Some(value))
                .expect("the log holds our records");
        }
        table
    }

    /// What is served is what a restart would find.
    fn check_durable(&self) {
        let replayed = self.replayed();
        for name in GROUPS {
            let id = GroupId::from(name);
            let serves = self.table.groups.get(&id);
            if serves.is_some_and(|g| g.state != State::Dead) {
                assert_eq!(self.table.fetch_all(&id), replayed.fetch_all(&id));
            }
            let Some(group) = serves.filter(|g| g.state == State::Stable) else {
                continue;
            };
            if self.table.pending.is_empty() && !self.writes_fail {
                let found = replayed.groups.get(&id).expect("a stable group is durable");
                assert_eq!(found.generation, group.generation);
                assert_eq!(found.described(), group.described());
            }
        }
    }

    fn restart(&mut self) {
        // Any prefix of what was under way may have reached the disk.
        let kept = self.dice.roll(self.under_way.len() as u64 + 1) as usize;
        let lost: Vec<Entry> = self.under_way.drain(..).collect();
        for entry in lost.into_iter().take(kept) {
            self.append(entry);
        }
        self.snapshot = None;
        self.history.restart();
        self.waiting.clear();
        for client in &mut self.clients {
            client.waits_for = None;
            client.next_heartbeat_ms = 0;
        }
        self.table = self.replayed();
        let mut fx = Effects::default();
        self.table.on_loaded(self.now, None, 100, &mut fx);
        self.settle(fx);
    }

    /// One small step of a snapshot; what comes between the steps is interleaved in the log.
    fn snapshot_step(&mut self) {
        let (start, cursor) = match self.snapshot.take() {
            None => (self.next_entry, None),
            Some((start, cursor)) => (start, Some(cursor)),
        };
        let (records, cursor) = self.table.snapshot(cursor, 2);
        let trim = if cursor.is_none() { start } else { 0 };
        self.snapshot = cursor.map(|cursor| (start, cursor));
        let write = Write {
            token: WriteToken(u64::MAX),
            records,
        };
        self.sequence(write, trim);
    }

    fn sequence(&mut self, write: Write, trim: u64) {
        self.under_way.push_back(Entry {
            at: self.next_entry,
            write,
            trim,
        });
        self.next_entry += 1;
    }

    fn tick(&mut self) {
        let mut fx = Effects::default();
        self.table.on_tick(self.now, 10, &mut fx);
        self.settle(fx);
    }

    /// One client does what it would do next.
    fn act(&mut self, at: usize) {
        let client = &self.clients[at];
        if !client.is_alive || client.waits_for.is_some() {
            return;
        }
        if client.wants_join {
            self.join(at);
        } else if client.next_heartbeat_ms <= self.now.at_ms {
            self.heartbeat(at);
        }
    }

    fn chaos(&mut self) {
        let at = self.dice.roll(self.clients.len() as u64) as usize;
        match self.dice.roll(40) {
            0 => self.leave(at),
            1 => self.clients[at].is_alive = false,
            2 => self.clients[at].is_alive = true,
            // Gives up on its request, perhaps comes back as somebody new.
            3 => {
                self.clients[at].waits_for = None;
                self.clients[at].wants_join = true;
            }
            4 => {
                self.clients[at].waits_for = None;
                self.clients[at].member_id = None;
                self.clients[at].wants_join = true;
            }
            5 => {
                let choices = [vec!["range", "sticky"], vec!["sticky"], vec!["range"]];
                self.clients[at].protocols = choices[self.dice.roll(3) as usize].clone();
                self.clients[at].wants_join = true;
            }
            6..=9 => {
                let (group, member) =
                    (self.clients[at].group.clone(), self.clients[at].reference());
                self.commit(group, member);
            }
            10 => {
                let anonymous = MemberRef {
                    member_id: "".into(),
                    instance: None,
                    generation: -1,
                };
                let group = GROUPS[self.dice.roll(2) as usize].into();
                self.commit(group, anonymous);
            }
            11 => self.delete(self.clients[at].group.clone()),
            12 => {
                self.clients[at].generation += self.dice.roll(3) as i32 - 1;
            }
            13 => self.sync(at, Vec::new()),
            14 if self.dice.one_in(4) => self.restart(),
            15..=16 => self.snapshot_step(),
            39 if self.dice.one_in(4) => {
                let mut fx = Effects::default();
                self.table.on_sweep(self.now, None, 10, &mut fx);
                self.settle(fx);
            }
            17..=20 => self.pass(self.dice.0 % 3_000),
            21 if self.dice.one_in(4) => self.pass(self.dice.0 % 60_000),
            22..=28 => self.finish_write(),
            _ => self.act(at),
        }
        self.pass(self.dice.0 % 50);
        self.tick();
    }

    /// Everybody behaves: groups must settle with all that live, and all requests be answered.
    fn calm(&mut self) {
        self.writes_fail = false;
        for client in &mut self.clients {
            client.protocols = vec!["range", "sticky"];
        }
        for _ in 0..3_000 {
            self.pass(100);
            self.tick();
            while !self.under_way.is_empty() {
                self.finish_write();
            }
            for at in 0..self.clients.len() {
                self.act(at);
            }
        }
        while !self.under_way.is_empty() {
            self.finish_write();
        }
        self.check_durable();
        self.check_settled();
        // With everybody gone, nothing may stay parked.
        for client in &mut self.clients {
            client.is_alive = false;
        }
        for _ in 0..200 {
            self.pass(5_000);
            self.tick();
            while !self.under_way.is_empty() {
                self.finish_write();
            }
        }
        self.history.check_all_answered();
        for group in self.table.groups.values() {
            assert_eq!(group.state, State::Empty, "{group:?}");
        }
    }

    fn check_settled(&self) {
        for name in GROUPS {
            let id = GroupId::from(name);
            // Two processes with one instance id fence each other for ever, so do more members than allowed.
            let living: Vec<&Client> = self
                .clients
                .iter()
                .filter(|c| c.is_alive && c.group == id)
                .collect();
            let distinct: std::collections::BTreeSet<_> =
                living.iter().filter_map(|c| c.instance.clone()).collect();
            let statics = living.iter().filter(|c| c.instance.is_some()).count();
            if living.is_empty() || distinct.len() < statics || living.len() > config().members_max
            {
                continue;
            }
            let group = self.table.groups.get(&id).expect("members keep a group");
            assert_eq!(group.state, State::Stable, "{group:?} {:?}", self.clients);
            for client in living {
                let member_id = client.member_id.as_ref().expect("it is a member");
                let member = group.members.get(member_id).expect("it is a member");
                assert_eq!(client.generation, group.generation);
                assert!(
                    !member.assignment.is_empty(),
                    "{member:?} has no assignment"
                );
            }
        }
    }
}

fn topic() -> TopicName {
    TopicName::new("t").expect("a legal name")
}

fn run(seed: u64, steps: usize) -> u64 {
    let mut world = World::new(seed);
    world.writes_fail = world.dice.one_in(2);
    for step in 0..steps {
        world.chaos();
        if step % 32 == 0 {
            world.check_durable();
        }
    }
    world.calm();
    world.history.answered
}

fn run_seeds(seeds: std::ops::Range<u64>) {
    let count = seeds.end - seeds.start;
    let mut answered = 0;
    for seed in seeds {
        let outcome = std::panic::catch_unwind(|| run(seed, 200));
        answered += outcome.unwrap_or_else(|panic| {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic)
        });
    }
    assert!(
        answered > count * 50,
        "the histories say something: {answered}"
    );
}

#[test]
fn random_histories_keep_the_invariants() {
    run_seeds(0..1_000);
}

#[test]
#[ignore = "minutes; for changes of the core"]
fn many_random_histories_keep_the_invariants() {
    run_seeds(1_000..50_000);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    assert_eq!(run(7, 500), run(7, 500));
}
