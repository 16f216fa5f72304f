//! Apps with their state in databases, beside a simulated cluster: killed at any await.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use flow::{Cluster, Event, store::OpenStore};

use crate::{
    counting_example::{Visit, Visits, app},
    kept::{Kind, TempDir},
    world::World,
};

const STEP: &str = "visits_by_page";

/// An app's stores: that of all but the step, and that of the step.
#[derive(Clone, Debug)]
struct Kept {
    all: Option<(Kind, PathBuf)>,
    step: Option<(Kind, PathBuf)>,
}

/// `Cluster` takes the store itself.
#[derive(Debug)]
struct Shared(Arc<dyn OpenStore>);

impl OpenStore for Shared {
    fn place(&self) -> (&'static str, &Path) {
        self.0.place()
    }

    fn open(&self) -> flow::store::Opening {
        self.0.open()
    }
}

impl Kept {
    fn draw(world: &World, dir: &TempDir) -> Self {
        let some = |kind| Some((kind, dir.next()));
        let (all, step) = match world.sim.draw(4) {
            0 => (some(Kind::Redb), None),
            1 => (some(Kind::Fjall), None),
            2 => (None, some(Kind::Redb)),
            _ => (some(Kind::Redb), some(Kind::Fjall)),
        };
        Self { all, step }
    }

    fn give(&self, world: &World) {
        let mut cluster = Cluster::new("", "");
        if let Some((kind, path)) = &self.all {
            cluster = cluster.state(Shared(kind.open_store(path)));
        }
        if let Some((kind, path)) = &self.step {
            cluster = cluster.state_of(STEP, Shared(kind.open_store(path)));
        }
        world.shared.stores.replace(cluster.stores);
    }

    /// What a kill leaves.
    fn image(&mut self, dir: &TempDir) {
        for (_, path) in self.all.iter_mut().chain(&mut self.step) {
            *path = dir.image(path);
        }
    }
}

fn visits(world: &World, expected: &mut BTreeMap<String, u64>) {
    let count = 1 + world.sim.draw(200);
    let visits = (0..count).map(|_| {
        let page = format!("page-{}", world.sim.draw(7));
        *expected.entry(page.clone()).or_default() += 1;
        (world.sim.draw(3) as i32, Visit { page }.to_bytes())
    });
    world.produce("visits", visits.collect());
}

/// Each page's counts are 1, 2, 3 and so on, and the table is the last of them.
fn check(world: &World, expected: &BTreeMap<String, u64>) {
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for told in world.consume::<Visits>("counts").into_values().flatten() {
        let known = last.entry(told.page.clone()).or_default();
        assert_eq!(told.count, *known + 1, "of {}", told.page);
        *known = told.count;
    }
    assert_eq!(last, *expected);
    let rows = world.table(STEP).into_iter();
    let table: BTreeMap<String, u64> = rows
        .map(|row| (row[0].clone(), row[1].parse().expect("a count")))
        .collect();
    assert_eq!(table, *expected);
}

/// The app ends, and begins again with what was left of its stores then.
fn kill(world: &World, dir: &TempDir, kept: &mut Kept) {
    kept.image(dir);
    world.sim.kill(world.app);
    kept.give(world);
    world.restart_app();
}

fn run(seed: u64) {
    let dir = TempDir::new("apps");
    let world = World::new(seed, &[("visits", 3), ("counts", 2)]);
    let mut kept = Kept::draw(&world, &dir);
    kept.give(&world);
    world.deploy(app);
    let mut expected = BTreeMap::new();
    for _ in 0..6 {
        visits(&world, &mut expected);
        // A checkpoint is taken every few seconds, and takes a few milliseconds.
        world.sim.run_for(Duration::from_millis(
            world.sim.draw([3, 300, 9000][world.sim.draw(3) as usize]),
        ));
        if world.sim.draw(3) == 0 && world.shared.is_running.get() {
            // To the moment at which one begins.
            world
                .sim
                .run_for(Duration::from_micros(5_000_000 + world.sim.draw(60_000)));
        }
        kill(&world, &dir, &mut kept);
    }
    world.wait_started().expect("nothing is wrong with it");
    world.sim.run_for(Duration::from_secs(5));
    world.flush();
    check(&world, &expected);
}

#[test]
fn every_event_is_counted_once_wherever_state_is_kept() {
    for seed in 0..16 {
        let ran = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = ran {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// What was in runs is in the store from then on, which cannot be left out again, nor be another.
#[test]
fn state_moves_from_runs_into_a_store_and_is_looked_for_there() {
    for kind in [Kind::Redb, Kind::Fjall] {
        let dir = TempDir::new("moves");
        let world = World::new(3, &[("visits", 3), ("counts", 2)]);
        let mut kept = Kept {
            all: Some((kind, dir.next())),
            step: None,
        };
        let mut expected = BTreeMap::new();
        world.deploy(app);
        world.wait_started().expect("it begins in runs");
        for _ in 0..3 {
            visits(&world, &mut expected);
            world.flush();
            world.sim.run_for(Duration::from_secs(7));
            check(&world, &expected);
            kill(&world, &dir, &mut kept);
            world.wait_started().expect("it goes on in the store");
        }
        check(&world, &expected);
        let store = kept.all.clone();
        for (all, words) in [
            (None, "which it was not given"),
            (Some((kind, dir.next())), "as of no version; as of version"),
        ] {
            kept.all = all;
            kept.give(&world);
            world.deploy(app);
            let refused = world.wait_started().expect_err("the state is elsewhere");
            assert!(refused.contains(words), "{refused}");
        }
        kept.all = store;
        kept.give(&world);
        world.deploy(app);
        world.wait_started().expect("it has its state again");
        visits(&world, &mut expected);
        world.flush();
        check(&world, &expected);
    }
}

#[test]
fn a_store_is_opened_once() {
    for kind in [Kind::Redb, Kind::Fjall] {
        let dir = TempDir::new("once");
        let world = World::new(5, &[("visits", 3), ("counts", 2)]);
        let place = Some((kind, dir.next()));
        let kept = Kept {
            all: place.clone(),
            step: place,
        };
        kept.give(&world);
        let mut expected = BTreeMap::new();
        world.deploy(app);
        world.wait_started().expect("both are one store");
        visits(&world, &mut expected);
        world.flush();
        check(&world, &expected);
    }
}

#[test]
fn a_step_that_is_none_has_no_store() {
    let dir = TempDir::new("none");
    let world = World::new(4, &[("visits", 1), ("counts", 1)]);
    let cluster = Cluster::new("", "").state_of("visists", flow::store::Redb::at(dir.next()));
    world.shared.stores.replace(cluster.stores);
    world.deploy(app);
    let refused = world.wait_started().expect_err("it has no such step");
    assert!(
        refused.contains("no step of the app is called visists"),
        "{refused}"
    );
}
