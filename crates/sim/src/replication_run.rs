//! A run of a raft group on real storage: members on simulated hosts with their own disks, a network that loses, delays
//! and repeats messages, crashes, changes of members, logs trimmed behind the others; then healing.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::{Rc, Weak},
    time::Duration,
};

use base::{Offset, PartitionIndex, PartitionKey, RaftIndex, TimestampMs, TopicId};
use broker::raft_log::{Batch, Founding, Incoming, RaftLog};
use kafka::batch::{BatchBuilder, Compression};
use raft::{Configuration, ReplicaId};
use runtime::{
    Class,
    sim::{HostId, Sim, SimConfig},
};
use storage::{Log, ReadError, Store};

use crate::{
    replication_checker::GroupChecker,
    replication_plan::{ReplicationBugs, ReplicationPlan},
    seeds::{Ran, Seed},
    trace_checker,
};

const KEY: PartitionKey = PartitionKey {
    topic: TopicId([7; 16]),
    partition: PartitionIndex(0),
};

/// Virtual time that a healed group has for anything: many elections.
const PATIENCE: Duration = Duration::from_secs(120);

/// One step of the run.
const STEP: Duration = Duration::from_millis(2);

/// A replica at work.
struct Member {
    _store: Rc<Store>,
    raft: Rc<RaftLog>,
    /// Entries up to here were compared with those of the others.
    checked: Cell<RaftIndex>,
}

/// What the hosts' programs and the run share; it outlives crashes.
struct Shared {
    plan: ReplicationPlan,
    first: Configuration,
    members: RefCell<Vec<Weak<Member>>>,
    checker: RefCell<GroupChecker>,
    sent: RefCell<Vec<Incoming>>,
    is_verbose: bool,
}

impl Shared {
    fn member(&self, at: usize) -> Option<Rc<Member>> {
        self.members.borrow()[at].upgrade()
    }

    fn note(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{}", what());
        }
    }
}

fn replica(at: usize) -> ReplicaId {
    ReplicaId(u32::try_from(at).expect("few members") + 1)
}

/// The program of a host.
async fn serve(shared: Rc<Shared>, at: usize) {
    let store = Store::open(shared.plan.store.clone()).await;
    let (store, report) = store.expect("nothing damages the disks");
    assert!(report.quarantined.is_empty(), "{:?}", report.quarantined);
    let log = store.create(KEY, shared.plan.log.clone()).await;
    let is_founder = shared.first.contains(replica(at));
    let founding = Founding {
        replica: replica(at),
        configuration: if is_founder {
            shared.first
        } else {
            Configuration::default()
        },
    };
    let log = log.expect("there is room");
    let raft = RaftLog::open(log, &founding, shared.plan.settings);
    let member = Rc::new(Member {
        _store: store,
        checked: Cell::new(raft.log().start().index),
        raft,
    });
    runtime::set_local(member.clone());
    shared.members.borrow_mut()[at] = Rc::downgrade(&member);
    let checking = shared.clone();
    runtime::spawn(Class::Background, "check commits", async move {
        loop {
            check_commits(&checking, &member).await;
            runtime::sleep(Duration::from_millis(5)).await;
        }
    });
    let tick = shared.plan.tick;
    loop {
        runtime::sleep(tick).await;
        if let Some(member) = shared.member(at) {
            member.raft.tick();
        }
    }
}

/// Compares what this member has committed with what the others have.
async fn check_commits(shared: &Shared, member: &Member) {
    loop {
        let log = member.raft.log();
        let from = member.checked.get().max(log.start().index).next();
        let committed = member.raft.committed();
        let next = log.next_index();
        if from > committed.index || from >= next {
            return;
        }
        let read = match log.read_entries(from, 64, 64 << 10).await {
            Ok(read) => read,
            // Trimmed, or replaced by a snapshot, meanwhile.
            Err(ReadError::IndexOutOfRange { .. } | ReadError::OutOfRange { .. }) => return,
            Err(error) => panic!("committed entries cannot be read: {error}"),
        };
        for entry in read.iter().filter(|entry| entry.index <= committed.index) {
            let end = entry.base_offset.plus(i64::from(entry.record_count));
            assert!(
                entry.index < committed.index
                    || committed.next_offset <= end.max(log.log_start_offset()),
                "the high watermark passes what is committed: {committed:?}, {end}"
            );
            let mut checker = shared.checker.borrow_mut();
            checker.on_committed(member.raft.id(), entry);
            member.checked.set(entry.index);
        }
    }
}

/// Messages wait here until their time has come.
#[derive(Default)]
struct Network {
    packets: BTreeMap<(Duration, u64), Incoming>,
    sent: u64,
    /// Pairs that do not hear each other.
    split: BTreeSet<(ReplicaId, ReplicaId)>,
}

struct Run {
    sim: Sim,
    shared: Rc<Shared>,
    hosts: Vec<HostId>,
    network: Network,
    restarts: Vec<(Duration, usize)>,
    proposed: u64,
    crashes: u64,
}

/// Runs one seed. Panics when something promised was not kept.
pub fn run(seed: Seed, bugs: &ReplicationBugs) -> Ran {
    trace_checker::listen(seed.trace_lines > 0);
    let plan = ReplicationPlan::draw(seed.seed, bugs);
    let mut config = SimConfig::new(seed.seed);
    config.disk = plan.disk.clone();
    config.trace_lines = seed.trace_lines;
    let voters: Vec<_> = (1..=plan.voters).map(ReplicaId).collect();
    let count = (plan.voters + plan.spares) as usize;
    let shared = Rc::new(Shared {
        first: Configuration::new(&voters, &[]).expect("a few"),
        members: RefCell::new((0..count).map(|_| Weak::new()).collect()),
        checker: RefCell::default(),
        sent: RefCell::default(),
        is_verbose: seed.trace_lines > 0,
        plan,
    });
    let sim = Sim::new(config);
    let hosts = (0..count)
        .map(|at| {
            let shared = shared.clone();
            sim.host(&format!("member {at}"), 1, move || {
                serve(shared.clone(), at)
            })
        })
        .collect();
    let mut run = Run {
        sim,
        shared,
        hosts,
        network: Network::default(),
        restarts: Vec::new(),
        proposed: 0,
        crashes: 0,
    };
    for _ in 0..run.shared.plan.steps {
        run.disturb();
        run.step(true);
    }
    run.heal();
    Ran {
        simulated: run.sim.elapsed(),
        crashes: run.crashes,
        acknowledged: run.shared.checker.borrow().acknowledged(),
        trace_hash: run.sim.trace_hash(),
    }
}

impl Run {
    fn chance(&self, per_mille: u64) -> bool {
        self.sim.draw(1000) < per_mille
    }

    fn any(&self) -> usize {
        self.sim.draw(self.hosts.len() as u64) as usize
    }

    fn step(&mut self, may_lose: bool) {
        let now = self.sim.elapsed();
        while let Some(entry) = self.network.packets.first_entry()
            && entry.key().0 <= now
        {
            let packet = entry.remove();
            self.deliver(packet);
        }
        self.sim.run_for(STEP);
        for at in 0..self.hosts.len() {
            self.collect(at);
        }
        self.check_hosts();
        self.route(may_lose);
        self.restart_due();
    }

    fn check_hosts(&self) {
        for (at, host) in self.hosts.iter().enumerate() {
            let reason = self.sim.fatal_reason(*host);
            assert_eq!(reason, None, "member {at} ended itself");
        }
        trace_checker::check(false);
    }

    fn deliver(&self, packet: Incoming) {
        let (from, to) = (packet.message.from, packet.message.to);
        if self.network.split.contains(&(from, to)) {
            return;
        }
        let at = to.0 as usize - 1;
        let Some(member) = self.shared.member(at) else {
            return;
        };
        self.sim.spawn_on(self.hosts[at], "deliver", async move {
            let received = member.raft.receive(&packet);
            received.expect("payloads are as they were sent");
        });
    }

    /// What a member wants sent, with the payloads from its log.
    fn collect(&self, at: usize) {
        let Some(member) = self.shared.member(at) else {
            return;
        };
        if member.raft.is_leader() {
            let mut checker = self.shared.checker.borrow_mut();
            checker.on_leader(member.raft.term(), member.raft.id());
        }
        let outbox = member.raft.take_outbox();
        if outbox.is_empty() {
            return;
        }
        let shared = self.shared.clone();
        self.sim.spawn_on(self.hosts[at], "send", async move {
            for outgoing in outbox {
                if let Some(packet) = member.raft.pack(outgoing).await {
                    shared.sent.borrow_mut().push(packet);
                }
            }
        });
    }

    /// Gives what was sent its time of arrival.
    fn route(&mut self, may_lose: bool) {
        let plan = &self.shared.plan;
        let (low, high) = plan.message_latency;
        for packet in self.shared.sent.take() {
            if may_lose && self.chance(plan.lost) {
                continue;
            }
            let copies = 1 + u64::from(may_lose && self.chance(plan.repeated));
            for _ in 0..copies {
                let spread = (high - low).as_micros() as u64;
                let late = low + Duration::from_micros(self.sim.draw(spread + 1));
                self.network.sent += 1;
                let key = (self.sim.elapsed() + late, self.network.sent);
                self.network.packets.insert(key, packet.clone());
            }
        }
    }

    fn disturb(&mut self) {
        let plan = self.shared.plan.clone();
        if self.chance(plan.propose) {
            self.propose(self.any());
        }
        if self.chance(plan.crash) {
            self.crash();
        }
        if self.chance(plan.split) {
            self.split();
        }
        if self.chance(plan.reconfigure) {
            self.reconfigure();
        }
        if self.chance(plan.trim) {
            self.trim(self.any());
        }
    }

    fn propose(&mut self, at: usize) {
        let Some(member) = self.shared.member(at).filter(|m| m.raft.is_leader()) else {
            return;
        };
        self.proposed += 1;
        let bytes = self.sim.draw(self.shared.plan.record_bytes_max) as usize;
        let mut builder = BatchBuilder::new(Compression::None);
        let value = format!("{} {}", self.proposed, "x".repeat(bytes));
        builder.push(TimestampMs(1), None, Some(value.as_bytes()), &[]);
        let batch = builder.finish();
        let shared = self.shared.clone();
        self.sim.spawn_on(self.hosts[at], "propose", async move {
            let checksum = storage::frame::body_checksums(&batch).1;
            let proposed = member.raft.append(Batch {
                bytes: &batch,
                record_count: 1,
                max_timestamp: TimestampMs(1),
            });
            let Ok(proposed) = proposed else { return };
            let (index, term) = (proposed.index, proposed.leader_epoch);
            if member.raft.wait_committed(term, index).await {
                let mut checker = shared.checker.borrow_mut();
                checker.on_acknowledged(index, term, checksum);
            }
        });
    }

    fn crash(&mut self) {
        let at = self.any();
        let host = self.hosts[at];
        if !self.sim.is_up(host) || self.restarts.iter().any(|(_, down)| *down == at) {
            return;
        }
        self.crashes += 1;
        let is_kill = self.sim.draw(3) == 0;
        let now = self.sim.elapsed();
        self.shared
            .note(|| format!("{now:?} member {at} crashes, kill: {is_kill}"));
        if is_kill {
            self.sim.kill(host);
        } else {
            self.sim.power_cut(host);
        }
        let pause = Duration::from_millis(self.sim.draw(400));
        self.restarts.push((now + pause, at));
    }

    fn restart_due(&mut self) {
        let now = self.sim.elapsed();
        let due = self.restarts.extract_if(.., |(when, _)| *when <= now);
        for (_, at) in due {
            self.sim.restart(self.hosts[at]);
        }
    }

    fn split(&mut self) {
        if self.sim.draw(2) == 0 {
            self.network.split.clear();
            return;
        }
        let cut = replica(self.any());
        for at in 0..self.hosts.len() {
            // One way only, now and then.
            self.network.split.insert((cut, replica(at)));
            if self.sim.draw(4) > 0 {
                self.network.split.insert((replica(at), cut));
            }
        }
    }

    fn reconfigure(&self) {
        let count = self.hosts.len() as u64;
        let mut ids: Vec<_> = (0..self.hosts.len()).map(replica).collect();
        for at in (1..ids.len()).rev() {
            ids.swap(at, self.sim.draw(at as u64 + 1) as usize);
        }
        let voters = 1 + self.sim.draw(count) as usize;
        let (voters, others) = ids.split_at(voters);
        let learners = &others[..others.len().min(self.sim.draw(2) as usize)];
        let target = Configuration::new(voters, learners).expect("a few");
        for at in 0..self.hosts.len() {
            let Some(member) = self.shared.member(at) else {
                continue;
            };
            let now = self.sim.elapsed();
            self.shared
                .note(|| format!("{now:?} member {at} may change to {target:?}"));
            self.sim.spawn_on(self.hosts[at], "change", async move {
                // Refused by all but a leader that has nothing under way.
                let _ = member.raft.reconfigure(&target);
            });
        }
    }

    fn trim(&self, at: usize) {
        let Some(member) = self.shared.member(at) else {
            return;
        };
        if member.checked.get() < member.raft.committed().index {
            // What is committed is compared with the others' before it goes.
            return;
        }
        let draw = self.sim.draw(1000);
        self.sim.spawn_on(self.hosts[at], "trim", async move {
            let log: &Rc<Log> = member.raft.log();
            let (start, end) = (
                log.log_start_offset().0,
                member.raft.committed().next_offset.0,
            );
            let to = start + (end - start).max(0) * i64::try_from(draw).expect("small") / 1000;
            // Refused where the host closes.
            let _ = member.raft.trim(Offset(to)).await;
        });
    }

    /// Everybody is up and hears everybody: there is a leader, all have what it has, and a proposal commits.
    fn heal(&mut self) {
        self.network.split.clear();
        for (_, at) in std::mem::take(&mut self.restarts) {
            self.sim.restart(self.hosts[at]);
        }
        self.until("a leader whom all follow", Self::has_converged);
        let acknowledged = self.shared.checker.borrow().acknowledged();
        self.until("a proposal that commits", |run| {
            if run.shared.checker.borrow().acknowledged() > acknowledged {
                return true;
            }
            for at in 0..run.hosts.len() {
                run.propose(at);
            }
            false
        });
        self.until("that all have it", Self::has_converged);
        self.shared.checker.borrow().check_healed();
    }

    fn until(&mut self, what: &str, done: impl Fn(&mut Self) -> bool) {
        let end = self.sim.elapsed() + PATIENCE;
        while !done(self) {
            assert!(self.sim.elapsed() < end, "no {what}: {:?}", self.describe());
            for _ in 0..20 {
                self.step(false);
            }
        }
    }

    fn describe(&self) -> Vec<String> {
        (0..self.hosts.len())
            .map(|at| match self.shared.member(at) {
                None => "down".to_owned(),
                Some(member) => member.raft.with_core(|core| {
                    format!(
                        "{:?} term {} last {:?} commit {} durable {} epoch {} ({:?}, next {}) {:?} closed {}",
                        core.role(),
                        core.term(),
                        core.last(),
                        core.commit_index(),
                        core.durable(),
                        core.log_epoch(),
                        member.raft.log().durable(),
                        member.raft.log().next_index(),
                        core.configuration(),
                        member.raft.is_closed(),
                    )
                }),
            })
            .collect()
    }

    /// One member leads, and all of its configuration have committed, staged and compared what it has.
    fn has_converged(&mut self) -> bool {
        let members: Vec<_> = (0..self.hosts.len())
            .filter_map(|at| self.shared.member(at))
            .collect();
        let term = members.iter().map(|member| member.raft.term()).max();
        let leads =
            |member: &&Rc<Member>| member.raft.is_leader() && Some(member.raft.term()) == term;
        let Some(leader) = members.iter().find(leads) else {
            return false;
        };
        let (configuration, last, is_settled) = leader.raft.with_core(|core| {
            let is_settled = core.configuration_index() <= core.commit_index();
            (*core.configuration(), core.last().index, is_settled)
        });
        is_settled
            && !configuration.is_joint()
            && configuration.members().all(|id| {
                let member = members.iter().find(|member| member.raft.id() == id);
                member.is_some_and(|member| {
                    member.raft.committed().index == last
                        && member.raft.committed().next_offset == member.raft.log().next_offset()
                        && member.raft.log().next_index() == last.next()
                        && member.checked.get() == last
                })
            })
    }
}

/// Tells the last events of a seed that is looked at.
impl Drop for Run {
    fn drop(&mut self) {
        for line in self.sim.trace_lines() {
            eprintln!("{line}");
        }
    }
}
