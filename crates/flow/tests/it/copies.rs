//! Several copies of one app: the newest goes on, an older one stops, and everything is told once.

use std::{collections::BTreeMap, time::Duration};

use base::{PartitionIndex, PartitionKey, TimestampMs};
use flow::cluster::{ClusterLog, PlantedBugs};
use kafka::batch::{BatchBuilder, Compression};
use streams::log::{LogError, TopicLog};

use crate::{
    counting::{add, check, visits},
    examples::counting::app,
    world::{World, connect},
};

const TAKEN_OVER: &str = "another copy of this app has taken over";

/// A checkpoint is taken, and the outbox trimmed.
const QUIET: Duration = Duration::from_secs(7);

fn produce(world: &World, expected: &mut BTreeMap<String, u64>, count: usize) {
    let values = visits(world, count);
    add(expected, &values);
    world.produce("visits", values);
}

/// A world with an app that has counted something, and what that is.
fn counted(seed: u64) -> (World, BTreeMap<String, u64>) {
    let world = World::new(seed, &[("visits", 3), ("counts", 2)]);
    world.deploy(app);
    world.wait_started().expect("nothing is wrong with it");
    let mut expected = BTreeMap::new();
    produce(&world, &mut expected, 100);
    world.flush();
    world.sim.run_for(QUIET);
    (world, expected)
}

fn run_both(seed: u64) {
    let (world, mut expected) = counted(seed);
    world.sim.kill(world.app);
    let image = world.sim.disk_image(world.app);
    let second = world.second();
    second.take_state(&image);
    // What the first one decides before the second begins is gone through by both.
    world.restart_app();
    let is_at_once = world.sim.draw(2) == 0;
    if !is_at_once {
        world.wait_started().expect("nothing is wrong with it");
        produce(&world, &mut expected, 50);
        world
            .sim
            .run_for(Duration::from_millis(world.sim.draw(300)));
    }
    second.deploy(app);
    world.wait_started().expect("both start");
    second.wait_started().expect("both start");
    for _ in 0..3 {
        produce(&world, &mut expected, 50);
        world
            .sim
            .run_for(Duration::from_millis(world.sim.draw(9000)));
    }
    world.sim.run_for(Duration::from_secs(3));
    let (newest, older) = match world.failure() {
        Some(_) => (&second, &world),
        None => (&world, &second),
    };
    assert!(
        is_at_once || newest.app == second.app,
        "the newer one goes on"
    );
    let why = older.failure().expect("one of them has stopped");
    assert!(why.contains(TAKEN_OVER), "{why}");
    newest.flush();
    check(newest, &expected);
    // A restart takes nothing of the older one.
    newest.sim.kill(newest.app);
    newest.restart_app();
    newest.wait_started().expect("it goes on");
    newest.flush();
    check(newest, &expected);
}

#[test]
fn of_two_copies_the_newer_goes_on_and_everything_is_told_once() {
    for seed in 0..6 {
        let ran = std::panic::catch_unwind(|| run_both(seed));
        if let Err(panic) = ran {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// The outbox has nothing left of the copy that freezes.
#[test]
fn a_copy_that_was_frozen_finds_a_newer_one_behind_a_trimmed_outbox() {
    let (world, mut expected) = counted(21);
    world.sim.split(world.app, world.node);
    let shared = world.shared.clone();
    let trimmed = world
        .sim
        .run_on(world.clients, Duration::from_secs(60), async move {
            let admin = connect(&shared).await.admin();
            let outbox = "__visits_outbox";
            admin.delete_records(outbox, PartitionIndex(0), None).await
        });
    trimmed.expect("it ends").expect("the outbox is there");
    let image = world.sim.disk_image(world.app);
    let second = world.second();
    second.take_state(&image);
    second.deploy(app);
    second.wait_started().expect("it goes on with that state");
    produce(&world, &mut expected, 50);
    second.flush();
    world.sim.heal();
    produce(&world, &mut expected, 50);
    world.sim.run_for(Duration::from_secs(20));
    let why = world.failure().expect("the older one has stopped");
    assert!(why.contains(TAKEN_OVER), "{why}");
    second.flush();
    check(&second, &expected);
}

/// An older copy's record stands first behind the checkpoint of the newer one. Whether everything is told once.
#[test]
fn what_an_older_copy_appends_behind_a_checkpoint_does_not_count() {
    let (world, mut expected) = counted(22);
    world.sim.split(world.app, world.node);
    let image = world.sim.disk_image(world.app);
    let second = world.second();
    second.take_state(&image);
    second.deploy(app);
    second.wait_started().expect("it goes on with that state");
    produce(&world, &mut expected, 50);
    second.flush();
    second.sim.run_for(QUIET);
    // Only the older one hears of what comes now.
    second.sim.heal();
    second.sim.split(second.app, second.node);
    produce(&world, &mut expected, 50);
    world.sim.run_for(QUIET);
    let why = world.failure().expect("the older one has stopped");
    assert!(why.contains(TAKEN_OVER), "{why}");
    second.sim.kill(second.app);
    second.sim.heal();
    second.restart_app();
    second.wait_started().expect("it goes on");
    second.flush();
    check(&second, &expected);
}

#[test]
fn a_start_without_the_state_leaves_the_copy_that_runs_alone() {
    let (world, mut expected) = counted(23);
    let old = world.sim.disk_image(world.app);
    let second = world.second();
    second.deploy(app);
    let refused = second.wait_started().expect_err("there is no state");
    assert!(refused.contains("holds no state"), "{refused}");
    produce(&world, &mut expected, 50);
    world.flush();
    world.sim.run_for(QUIET);
    // What was decided behind the older state is no longer in the outbox.
    let third = world.second();
    third.take_state(&old);
    third.deploy(app);
    let refused = third.wait_started().expect_err("the state is too old");
    assert!(
        refused.contains("holds state of an older copy"),
        "{refused}"
    );
    produce(&world, &mut expected, 50);
    world.flush();
    assert_eq!(world.failure(), None);
    check(&world, &expected);
}

#[test]
fn a_start_behind_the_end_of_the_outbox_is_refused() {
    let (world, _) = counted(25);
    world.sim.kill(world.app);
    let shared = world.shared.clone();
    let deleted = world
        .sim
        .run_on(world.clients, Duration::from_secs(60), async move {
            let admin = connect(&shared).await.admin();
            admin.delete_topic("__visits_outbox").await
        });
    deleted.expect("it ends").expect("the outbox is there");
    world.restart_app();
    let refused = world.wait_started().expect_err("the outbox is lost");
    assert!(refused.contains("which ends at 0"), "{refused}");
}

#[test]
fn nothing_but_the_outbox_is_appended_to() {
    let world = World::new(24, &[("visits", 1)]);
    let shared = world.shared.clone();
    let appended = world
        .sim
        .run_on(world.clients, Duration::from_secs(60), async move {
            let log = ClusterLog::new(&connect(&shared).await, "app", PlantedBugs::default());
            let visits = log.learn("visits", None).await.expect("the topic is there");
            log.open_outbox().await.expect("it can be made");
            let key = PartitionKey {
                topic: visits.id,
                partition: PartitionIndex(0),
            };
            let mut batch = BatchBuilder::new(Compression::None);
            batch.push(TimestampMs(0), None, Some(b"x"), &[]);
            log.append(key, batch.finish()).await
        });
    let refused = LogError::Refused("it is not the open outbox".to_owned());
    assert_eq!(appended, Some(Err(refused)));
}
