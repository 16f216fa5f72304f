//! Keyed counting from topic to topic: every event is counted once and told once, whatever ends when.

use std::collections::BTreeMap;
use std::time::Duration;

use flow::{Event, cluster::PlantedBugs};

use crate::{
    examples::counting::{Visit, Visits, app},
    world::{World, connect},
};

pub fn visits(world: &World, count: usize) -> Vec<(i32, Vec<u8>)> {
    let visit = |_| {
        let page = format!("page-{}", world.sim.draw(7));
        (world.sim.draw(3) as i32, Visit { page }.to_bytes())
    };
    (0..count).map(visit).collect()
}

/// Each page's counts are 1, 2, 3 and so on: one that is missing, twice there or out of its order shows.
pub fn check(world: &World, expected: &BTreeMap<String, u64>) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for told in world.consume::<Visits>("counts").into_values().flatten() {
        let known = last.entry(told.page.clone()).or_default();
        assert_eq!(told.count, *known + 1, "of {}", told.page);
        *known = told.count;
    }
    assert_eq!(last, *expected);
    let table: BTreeMap<String, u64> = world
        .table("visits_by_page")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].parse().expect("a count")))
        .collect();
    assert_eq!(table, *expected);
}

pub fn add(expected: &mut BTreeMap<String, u64>, values: &[(i32, Vec<u8>)]) {
    for (_, value) in values {
        let visit = Visit::decode(value).expect("a message");
        *expected.entry(visit.page).or_default() += 1;
    }
}

/// The only broker is away for longer than a partition may be that will not come back.
#[test]
fn an_outage_is_waited_out() {
    let world = World::new(1, &[("visits", 3), ("counts", 2)]);
    world.deploy(app);
    world.wait_started().expect("nothing is wrong with it");
    let mut expected = BTreeMap::new();
    for _ in 0..2 {
        let values = visits(&world, 50);
        add(&mut expected, &values);
        world.produce("visits", values);
        world.flush();
        check(&world, &expected);
        world.sim.kill(world.node);
        world.sim.run_for(Duration::from_secs(40));
        world.sim.restart(world.node);
    }
}

#[test]
fn events_are_counted_from_topic_to_topic() {
    let world = World::new(1, &[("visits", 3), ("counts", 2)]);
    world.deploy(app);
    world.wait_started().expect("nothing is wrong with it");
    let mut expected = BTreeMap::new();
    for _ in 0..3 {
        let values = visits(&world, 100);
        add(&mut expected, &values);
        world.produce("visits", values);
        world.flush();
        check(&world, &expected);
    }
}

#[test]
fn partitions_that_come_later_are_read_too() {
    let world = World::new(2, &[("visits", 1), ("counts", 2)]);
    world.deploy(app);
    world.wait_started().expect("nothing is wrong with it");
    let shared = world.shared.clone();
    let made = world
        .sim
        .run_on(world.clients, Duration::from_secs(60), async move {
            let admin = connect(&shared).await.admin();
            admin.create_partitions("visits", 3).await
        });
    made.expect("it ends").expect("the partitions are made");
    let mut expected = BTreeMap::new();
    let values = visits(&world, 100);
    add(&mut expected, &values);
    world.produce("visits", values);
    world.sim.run_for(Duration::from_secs(12));
    world.flush();
    check(&world, &expected);
}

/// Seeds in which the app, or the node, ends at any moment: killed or without power.
fn run(seed: u64, planted: PlantedBugs) {
    let world = World::new(seed, &[("visits", 3), ("counts", 2)]);
    world.shared.planted.set(planted);
    world.deploy(app);
    let mut expected = BTreeMap::new();
    for _ in 0..6 {
        let count = 1 + world.sim.draw(200) as usize;
        let values = visits(&world, count);
        add(&mut expected, &values);
        world.produce("visits", values);
        // A checkpoint is taken every few seconds.
        let scale = [3, 300, 9000][world.sim.draw(3) as usize];
        world
            .sim
            .run_for(Duration::from_millis(world.sim.draw(scale)));
        match world.sim.draw(5) {
            0 | 1 => world.sim.kill(world.app),
            2 => world.sim.power_cut(world.app),
            3 => {
                world.sim.kill(world.node);
                world.sim.restart(world.node);
                continue;
            }
            _ => {
                world.sim.power_cut(world.node);
                world.sim.kill(world.app);
                world.sim.restart(world.node);
            }
        }
        world.restart_app();
    }
    world.wait_started().expect("nothing is wrong with it");
    world.sim.run_for(Duration::from_secs(5));
    world.flush();
    check(&world, &expected);
}

#[test]
fn every_event_is_counted_once_and_told_once() {
    let seeds = match std::env::var("FOREBAY_SEEDS").map(|seeds| seeds.parse()) {
        Ok(Ok(seeds)) => seeds,
        _ => 20,
    };
    for seed in 0..seeds {
        let ran = std::panic::catch_unwind(|| run(seed, PlantedBugs::default()));
        if let Err(panic) = ran {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The test of the test.
#[test]
fn a_restart_that_forgets_what_was_decided_is_found() {
    let planted = PlantedBugs {
        forget_decided: true,
    };
    let found = (0..10).any(|seed| std::panic::catch_unwind(|| run(seed, planted)).is_err());
    assert!(found, "no seed shows it");
}
