//! The faults of a simulated run, and the controller that moves the group from configuration to configuration.

use std::collections::BTreeSet;

use base::RaftIndex;
use raft::{Configuration, ReplicaId};

use crate::{
    checkers::Verdict,
    world::{CALM, Event, World},
};

/// Most replicas in one run, those included whose disks were wiped.
const NODES_MAX: usize = 24;

/// What the controller and the faults remember.
pub struct Storm {
    /// The configuration the controller works towards.
    pub target: Configuration,
    pub faults: u64,
    /// Kinds that happened, as bits.
    pub kinds: u32,
    pub is_over: bool,
    pub quiet: bool,
    wiped: BTreeSet<ReplicaId>,
}

impl Storm {
    pub fn new(world: &mut World) -> Self {
        let after = world.rng.between(300, 1500);
        world.at(after, Event::Fault);
        world.at(100, Event::Client);
        world.at(500, Event::Controller);
        Self {
            target: world.initial,
            faults: 0,
            kinds: 0,
            is_over: false,
            quiet: false,
            wiped: BTreeSet::new(),
        }
    }

    /// Handles the events of the world that are the scenario's.
    pub fn handle(&mut self, world: &mut World, event: Event) -> Verdict {
        match event {
            Event::Client => {
                let after = 1 + world.rng.below(2 * world.weather.client_every);
                world.at(after, Event::Client);
                if !self.quiet {
                    let leaders = world.leaders();
                    if let Some(&leader) = world.rng.pick(&leaders) {
                        let count = 1 + world.rng.below(4);
                        world.propose(leader, count)?;
                    }
                }
            }
            Event::Controller => {
                let after = world.rng.between(100, 500);
                world.at(after, Event::Controller);
                self.control(world)?;
            }
            Event::Fault if !self.is_over => {
                let after = world.rng.between(20, 700);
                world.at(after, Event::Fault);
                self.strike(world)?;
            }
            Event::Mend(kind) if !self.is_over => mend(world, kind),
            Event::StallLog(at) if !self.is_over => {
                world.nodes[at].log_stalled_until = world.now + 3000;
            }
            Event::Crash(at) if !self.is_over => crash_for_a_while(world, at),
            _ => {}
        }
        Ok(())
    }

    fn strike(&mut self, world: &mut World) -> Verdict {
        let kind = world.rng.below(19) as u32;
        let living = world.living();
        let Some(&one) = world.rng.pick(&living) else {
            return Ok(());
        };
        let lasts = world.rng.between(100, 4000);
        let mut happened = true;
        match kind {
            0 => crash_for_a_while(world, one),
            1 => {
                let some = living.len() as u64;
                for _ in 0..1 + world.rng.below(some) {
                    let one = *world.rng.pick(&living).expect("somebody lives");
                    crash_for_a_while(world, one);
                }
            }
            2 => cut(world, lasts, |from, to| (from == one) != (to == one)),
            3 => {
                let side = world.rng.draw();
                let of = |at: usize| side & (1 << at) != 0;
                cut(world, lasts, |from, to| of(from) != of(to));
            }
            4 => {
                let other = *world.rng.pick(&living).expect("somebody lives");
                cut(world, lasts, |from, to| from == one && to == other);
            }
            5 => {
                world.weather.lost = world.rng.below(400);
                world.weather.repeated = world.rng.below(300);
                world.at(lasts, Event::Mend(1));
            }
            6 => {
                world.weather.late = world.rng.below(400);
                world.weather.late_by = world.rng.between(100, 3000);
                world.at(lasts, Event::Mend(2));
            }
            7 => {
                world.weather.sync = world.rng.between(50, 800);
                world.weather.completion_late = world.rng.below(600);
                world.at(lasts, Event::Mend(3));
            }
            8 if world.rng.thousandth(500) => world.nodes[one].stalled_until = world.now + lasts,
            8 => world.nodes[one].log_stalled_until = world.now + lasts,
            9 => happened = self.wipe(world, one),
            10 | 11 => self.retarget(world),
            12 => {
                let to = ReplicaId(1 + world.rng.below(world.nodes.len() as u64) as u32);
                if let Some(&leader) = world.leaders().first() {
                    world.with(leader, |replica, _| {
                        // A transfer that is not possible just is none.
                        let _ = replica.transfer(to);
                    })?;
                }
            }
            13 | 14 => {
                for at in living {
                    trim(world, at);
                }
            }
            15 => {
                let other = *world.rng.pick(&living).expect("somebody lives");
                world.tell(one, other, false);
                world.tell(one, other, true);
            }
            16 => {
                self.quiet = !self.quiet;
                world.weather.turn = world.rng.below(60);
            }
            17 => happened = strand(world, lasts),
            _ => {
                if let Some(&leader) = world.leaders().first() {
                    let count = 5 + world.rng.below(40);
                    world.propose(leader, count)?;
                }
                world.with(one, |replica, out| replica.campaign_now(out))?;
            }
        }
        if happened {
            self.faults += 1;
            self.kinds |= 1 << kind;
            if world.trace {
                eprintln!("{:>7}    fault {kind} at {}", world.now, one + 1);
            }
        }
        Ok(())
    }

    /// A disk is lost for good, and a new replica on an empty one is to take its place; never so many that a majority
    /// of some set of voters that may still count is gone.
    fn wipe(&mut self, world: &mut World, one: usize) -> bool {
        let id = world.nodes[one].id;
        if world.nodes.len() >= NODES_MAX || !self.may_wipe(world, id) {
            return false;
        }
        world.crash(one);
        world.nodes[one].is_gone = true;
        self.wiped.insert(id);
        let new = world.add_node(false);
        let new = world.nodes[new].id;
        let replace = |ids: &[ReplicaId]| -> Vec<ReplicaId> {
            ids.iter()
                .map(|known| if *known == id { new } else { *known })
                .collect()
        };
        let voters = replace(self.target.voters.as_slice());
        let learners = replace(self.target.learners.as_slice());
        self.target = Configuration::new(&voters, &learners).expect("as many as before");
        true
    }

    fn may_wipe(&self, world: &World, id: ReplicaId) -> bool {
        let gone = |known: &ReplicaId| *known == id || self.wiped.contains(known);
        still_counting(world).iter().all(|configuration| {
            [configuration.voters, configuration.outgoing]
                .iter()
                .all(|half| {
                    let lost = half.as_slice().iter().filter(|known| gone(known)).count();
                    lost == 0 || 2 * lost < half.len()
                })
        })
    }

    /// Another set of members is wanted.
    fn retarget(&mut self, world: &mut World) {
        let mut pool: Vec<ReplicaId> = world
            .nodes
            .iter()
            .filter(|n| !n.is_gone)
            .map(|n| n.id)
            .collect();
        let mut voters = Vec::new();
        let count = [1, 1, 1, 2, 3, 4, 5][world.rng.below(7) as usize];
        for _ in 0..count {
            if !pool.is_empty() {
                voters.push(pool.swap_remove(world.rng.below(pool.len() as u64) as usize));
            }
        }
        let learners: Vec<ReplicaId> = pool.into_iter().take(world.rng.below(3) as usize).collect();
        if let Ok(target) = Configuration::new(&voters, &learners) {
            self.target = target;
        }
        if let [only] = voters[..] {
            // It is to decide alone, and just then its log's disk stalls and whoever leads dies.
            let only = only.0 as usize - 1;
            let after = world.rng.between(50, 1000);
            world.at(after, Event::StallLog(only));
            for leader in world.leaders() {
                if leader != only {
                    let after = after + world.rng.below(100);
                    world.at(after, Event::Crash(leader));
                }
            }
        }
    }

    /// Whoever leads is asked for the configuration that is wanted.
    fn control(&mut self, world: &mut World) -> Verdict {
        for leader in world.leaders() {
            let Some(now) = world.nodes[leader]
                .replica
                .as_ref()
                .map(|r| *r.configuration())
            else {
                continue;
            };
            if now == self.target {
                continue;
            }
            // New members learn first, mostly; to make them voters at once is slower and must be as safe.
            let new = self.target.members().filter(|id| !now.contains(*id));
            let learners: Vec<ReplicaId> =
                now.learners.as_slice().iter().copied().chain(new).collect();
            let first = Configuration::new(now.voters.as_slice(), &learners);
            let wanted = match first {
                Ok(first) if learners.len() > now.learners.len() && world.rng.thousandth(600) => {
                    first
                }
                _ => self.target,
            };
            world.with(leader, |replica, out| {
                // Refused while the last change goes on; the controller comes again.
                let _ = replica.reconfigure(&wanted, out);
            })?;
        }
        Ok(())
    }

    /// Everything heals: all that lives runs, the network carries everything, disks are quick.
    pub fn heal(&mut self, world: &mut World) -> Verdict {
        self.is_over = true;
        self.quiet = true;
        world.weather = CALM;
        for cut in &mut world.cut {
            *cut = 0;
        }
        let gone: Vec<ReplicaId> = world
            .nodes
            .iter()
            .filter(|n| n.is_gone)
            .map(|n| n.id)
            .collect();
        let kept = |ids: &[ReplicaId]| -> Vec<ReplicaId> {
            ids.iter()
                .copied()
                .filter(|id| !gone.contains(id))
                .collect()
        };
        let voters = kept(self.target.voters.as_slice());
        let learners = kept(self.target.learners.as_slice());
        if let Ok(target) = Configuration::new(&voters, &learners) {
            self.target = target;
        }
        for at in 0..world.nodes.len() {
            world.nodes[at].stalled_until = 0;
            world.nodes[at].log_stalled_until = 0;
            world.restart(at)?;
        }
        for node in 0..world.nodes.len() {
            for peer in 0..world.nodes.len() {
                let lives = world.nodes[peer].replica.is_some();
                if node != peer && world.believes(node, peer) != lives {
                    world.tell(node, peer, lives);
                }
            }
        }
        Ok(())
    }

    /// The controller ends replicas that no configuration names any more.
    pub fn dismiss(&mut self, world: &mut World) {
        for at in 0..world.nodes.len() {
            if !self.target.contains(world.nodes[at].id) && world.nodes[at].replica.is_some() {
                world.crash(at);
                world.nodes[at].is_gone = true;
            }
        }
    }
}

fn crash_for_a_while(world: &mut World, at: usize) {
    world.crash(at);
    let after = if world.rng.thousandth(500) {
        world.rng.between(1, 200)
    } else {
        world.rng.between(200, 4000)
    };
    world.at(after, Event::Restart(at));
}

/// A leader is cut off and goes on; when it is heard again, its log's disk stalls, and then it crashes: what it has to
/// give up lasts, what replaces that does not.
fn strand(world: &mut World, lasts: u64) -> bool {
    let Some(&one) = world.leaders().first() else {
        return false;
    };
    cut(world, lasts, |from, to| (from == one) != (to == one));
    world.at(lasts, Event::StallLog(one));
    let after = lasts + world.rng.between(50, 1500);
    world.at(after, Event::Crash(one));
    true
}

/// Cuts links for a while; nodes mostly notice.
fn cut(world: &mut World, lasts: u64, between: impl Fn(usize, usize) -> bool) {
    let notices = world.rng.thousandth(700);
    for from in 0..world.nodes.len() {
        for to in 0..world.nodes.len() {
            if between(from, to) {
                world.cut[from] |= 1 << to;
                if notices && world.believes(to, from) {
                    world.tell(to, from, false);
                }
            }
        }
    }
    world.at(lasts, Event::Mend(0));
}

fn mend(world: &mut World, kind: u32) {
    match kind {
        0 => {
            for from in 0..world.nodes.len() {
                world.cut[from] = 0;
                for to in 0..world.nodes.len() {
                    let lives = world.nodes[from].replica.is_some();
                    if from != to && lives && !world.believes(to, from) {
                        world.tell(to, from, true);
                    }
                }
            }
        }
        1 => {
            world.weather.lost = 0;
            world.weather.repeated = 0;
        }
        2 => world.weather.late = 0,
        _ => {
            world.weather.sync = CALM.sync;
            world.weather.completion_late = 0;
        }
    }
}

/// Retention drops some prefix of what a replica has applied.
pub fn trim(world: &mut World, at: usize) {
    let applied = world.nodes[at].applied.0;
    let wanted = RaftIndex(world.rng.below(applied.0 + 1));
    let node = &mut world.nodes[at];
    let Some(replica) = &mut node.replica else {
        return;
    };
    let before = replica.start();
    let start = replica.trim(wanted);
    let state = world.checkers.machines.state_at(start.index);
    if let Some(state) = state.filter(|_| start != before) {
        node.disk.stage_trim(start, state);
    }
}

/// The configurations that may still decide anything: the newest that is committed, and all after it in any log or on
/// their way to one.
fn still_counting(world: &World) -> Vec<Configuration> {
    let on_their_way = world.on_their_way().into_iter();
    let mut known: Vec<(RaftIndex, bool, Configuration)> = on_their_way
        .map(|(index, configuration)| (index, false, configuration))
        .collect();
    for node in world.nodes.iter().filter(|n| !n.is_gone) {
        for image in [&node.disk.staged, &node.disk.durable] {
            for (index, configuration) in &image.configurations {
                let committed = *index <= image.start.index
                    || image.get(*index).is_some_and(|entry| {
                        let decided = world.checkers.machines.committed.get(index.0 as usize - 1);
                        decided.is_some_and(|c| c.term == entry.term)
                    });
                known.push((*index, committed, *configuration));
            }
        }
        if let Some(replica) = &node.replica {
            // A leader's newest may be on its way to the disk.
            let index = replica.configuration_index();
            let committed = index <= replica.commit_index();
            known.push((index, committed, *replica.configuration()));
        }
    }
    let newest = known
        .iter()
        .filter(|k| k.1)
        .map(|k| k.0)
        .max()
        .unwrap_or_default();
    known
        .into_iter()
        .filter(|k| k.0 >= newest)
        .map(|k| k.2)
        .collect()
}
