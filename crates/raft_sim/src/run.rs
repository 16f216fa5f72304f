//! One seed: a storm of faults, then healing, then everybody must agree, sleep and wake.

use std::panic::{AssertUnwindSafe, catch_unwind};

use raft::{PlantedBugs, Replica, Settings};

use crate::{checkers::liveness, faults::Storm, rng::Rng, world::World};

const STEPS_MIN: u64 = 1000;
const FAULTS_MIN: u64 = 10;
/// Virtual time a healed group has for anything: some fifty election timeouts.
const PATIENCE: u64 = 60_000;

/// What a run tells of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub steps: u64,
    pub faults: u64,
    pub kinds: u32,
    pub committed: u64,
    pub elections: u64,
    pub reads: u64,
    /// Proposals that the bound of bytes refused.
    pub full: u64,
    pub crashes: u64,
    /// Virtual time it took, in thousandths of a second when ticks are a tenth.
    pub now: u64,
    /// Digest of everything that was committed.
    pub state: u64,
}

/// Small bounds, so that every one is reached.
fn settings(rng: &mut Rng, planted: PlantedBugs) -> Settings {
    let bounds = [1, 2, 5, 20];
    let tails = [1, 4, 30, 200];
    Settings {
        election_ticks: 6 + rng.below(6) as u16,
        heartbeat_ticks: 1 + rng.below(3) as u16,
        hibernate_ticks: if rng.thousandth(100) {
            0
        } else {
            4 + rng.below(8) as u16
        },
        append_entries_max: *rng.pick(&bounds).expect("four"),
        append_bytes_max: 1 + rng.below(8000) as u32,
        in_flight_messages_max: *rng.pick(&bounds).expect("four") as u16,
        in_flight_entries_max: 1 + rng.below(40) as u32,
        in_flight_bytes_max: 1 + rng.below(20_000) as u32,
        uncommitted_bytes_max: *rng.pick(&[500, 3000, 1 << 20]).expect("three"),
        uncommitted_entries_max: 10 + rng.below(60) as u32,
        tail_entries_max: *rng.pick(&tails).expect("four"),
        reads_max: 4,
        planted,
    }
}

/// Runs one seed to its end.
pub fn run(seed: u64, planted: PlantedBugs, trace: bool) -> Result<Outcome, String> {
    let mut rng = Rng::new(!seed);
    let settings = settings(&mut rng, planted);
    let voters = [3, 3, 3, 5, 7, 4, 1, 2][rng.below(8) as usize];
    let spares = rng.below(3) as usize;
    let mut world = World::new(seed, settings, voters, spares, trace);
    world.weather.turn = [0, 0, 40, 150][world.rng.below(4) as usize];
    let mut storm = Storm::new(&mut world);
    while world.steps < STEPS_MIN || storm.faults < FAULTS_MIN {
        step(&mut world, &mut storm)?;
    }
    storm.heal(&mut world)?;
    until(&mut world, &mut storm, |world, storm| {
        let leader = liveness::converged(&replicas(world))?;
        match *leader.configuration() == storm.target {
            true => Ok(()),
            false => Err(format!(
                "liveness: {:?}, not {:?}",
                leader.configuration(),
                storm.target
            )),
        }
    })?;
    storm.dismiss(&mut world);
    let leader = world.leaders().pop();
    let before = world.checkers.machines.last();
    if let Some(leader) = leader {
        world.propose(leader, 1)?;
    }
    until(&mut world, &mut storm, |world, _| {
        liveness::converged(&replicas(world))?;
        match world.checkers.machines.last() > before {
            true => Ok(()),
            // The one who led may have been on the way out.
            false => Err("liveness: a proposal does not commit".into()),
        }
    })
    .or_else(|_| propose_again(&mut world, &mut storm))?;
    if settings.hibernate_ticks > 0 {
        sleep_and_wake(&mut world, &mut storm)?;
    }
    let last = world.checkers.machines.last();
    Ok(Outcome {
        crashes: world.crashes,
        now: world.now,
        state: world.checkers.machines.state_at(last).unwrap_or_default(),
        steps: world.steps,
        faults: storm.faults,
        kinds: storm.kinds,
        committed: last.0,
        elections: world.checkers.elections.elected() as u64,
        reads: world.checkers.reads.answered,
        full: world.checkers.proposals.full,
    })
}

fn propose_again(world: &mut World, storm: &mut Storm) -> Result<(), String> {
    let before = world.checkers.machines.last();
    for leader in world.leaders() {
        world.propose(leader, 1)?;
    }
    until(world, storm, |world, _| {
        liveness::converged(&replicas(world))?;
        match world.checkers.machines.last() > before {
            true => Ok(()),
            false => Err("liveness: a proposal does not commit".into()),
        }
    })
}

/// Everybody sleeps; then the leader dies, and the others must notice though nothing ticks.
fn sleep_and_wake(world: &mut World, storm: &mut Storm) -> Result<(), String> {
    until(world, storm, |world, _| {
        let replicas = replicas(world);
        let leader = liveness::converged(&replicas)?;
        match liveness::awake(leader, &replicas) {
            0 => Ok(()),
            count => Err(format!("liveness: {count} members do not sleep")),
        }
    })?;
    let leader = world.leaders().pop().ok_or("liveness: nobody leads")?;
    if storm.target.voters.len() < 3 {
        return Ok(());
    }
    world.crash(leader);
    until(world, storm, |world, _| {
        let leads = world.leaders().first().copied();
        let replica = leads.and_then(|at| world.nodes[at].replica.as_ref());
        match replica {
            Some(r) if r.commit_index() == r.last().index => Ok(()),
            _ => Err("liveness: nobody took over from a leader that died asleep".into()),
        }
    })
}

fn replicas(world: &World) -> Vec<&Replica> {
    world
        .nodes
        .iter()
        .filter_map(|n| n.replica.as_ref())
        .collect()
}

fn step(world: &mut World, storm: &mut Storm) -> Result<(), String> {
    match world.step()? {
        Some(event) => storm.handle(world, event),
        None => Ok(()),
    }
}

/// Goes on until `done`, or fails with what it lacks.
fn until(
    world: &mut World,
    storm: &mut Storm,
    done: impl Fn(&World, &Storm) -> Result<(), String>,
) -> Result<(), String> {
    let end = world.now + PATIENCE;
    loop {
        let lacks = done(world, storm);
        if lacks.is_ok() || world.now > end {
            return lacks;
        }
        for _ in 0..16 {
            step(world, storm)?;
        }
    }
}

/// [`run`], with a panic as a violation.
pub fn run_caught(seed: u64, planted: PlantedBugs) -> Result<Outcome, String> {
    catch_unwind(AssertUnwindSafe(|| run(seed, planted, false)))
        .unwrap_or_else(|_| Err("panic: an assertion of the core or of the simulated disk".into()))
}
