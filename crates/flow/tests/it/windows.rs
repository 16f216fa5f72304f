//! Windows of the event time, with crashes: each closes once, with everything that was in time.

use std::{collections::BTreeMap, time::Duration};

use flow::{App, Event, Timestamp, Window, aggregate::Sum};

use crate::world::World;

#[derive(Clone, Debug, PartialEq, Event)]
struct Reading {
    #[event(1)]
    sensor: u32,
    #[event(2)]
    value: i64,
    #[event(3)]
    at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Event)]
struct Summed {
    #[event(1)]
    sensor: u32,
    #[event(2)]
    end: Timestamp,
    #[event(3)]
    sum: i64,
}

const SIZE: Duration = Duration::from_secs(10);
const SLIDE: Duration = Duration::from_secs(5);
const WAIT: Duration = Duration::from_secs(3);

fn app() -> App {
    let app = App::new("windows");
    app.topic::<Reading>("readings")
        .event_time(WAIT, |reading| reading.at)
        .key_by(|reading| reading.sensor)
        .window(Window::Hopping {
            size: SIZE,
            slide: SLIDE,
        })
        .aggregate::<Sum, _>("sums", |reading| reading.value)
        .map(|closed| Summed {
            sensor: closed.key,
            end: closed.window.window_end,
            sum: closed.value,
        })
        .to_topic("summed");
    app
}

fn run(seed: u64) {
    let world = World::new(seed, &[("readings", 1), ("summed", 1)]);
    world.deploy(app);
    // Times go on with some disorder, less than is waited for: nothing is late.
    let mut model: BTreeMap<(i64, u32), i64> = BTreeMap::new();
    let mut clock = 1_000_000_000;
    for _ in 0..5 {
        let count = 1 + world.sim.draw(60);
        let mut values = Vec::new();
        for _ in 0..count {
            clock += world.sim.draw(1000) as i64 * 1000;
            let at = Timestamp(clock - world.sim.draw(2000) as i64 * 1000);
            let (sensor, value) = (world.sim.draw(3) as u32, world.sim.draw(100) as i64);
            let first = at.0.div_euclid(5_000_000) * 5_000_000;
            for end in [first + 5_000_000, first + 10_000_000] {
                *model.entry((end, sensor)).or_default() += value;
            }
            values.push((0, Reading { sensor, value, at }.to_bytes()));
        }
        world.produce("readings", values);
        world
            .sim
            .run_for(Duration::from_millis(world.sim.draw(9000)));
        match world.sim.draw(3) {
            0 => world.sim.kill(world.app),
            1 => world.sim.power_cut(world.app),
            _ => continue,
        }
        world.restart_app();
    }
    let end = Reading {
        sensor: 99,
        value: 0,
        at: Timestamp(clock + 60_000_000),
    };
    world.produce("readings", vec![(0, end.to_bytes())]);
    world.wait_started().expect("nothing is wrong with it");
    world.sim.run_for(Duration::from_secs(3));
    world.flush();
    let mut closed = BTreeMap::new();
    for summed in world.consume::<Summed>("summed").into_values().flatten() {
        let is_new = closed
            .insert((summed.end.0, summed.sensor), summed.sum)
            .is_none();
        assert!(is_new, "a window closed twice: {summed:?}");
    }
    assert_eq!(closed, model);
    assert_eq!(
        world.table("sums").len(),
        2,
        "of the last one, which is open"
    );
}

#[test]
fn every_window_closes_once() {
    for seed in 0..10 {
        let ran = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = ran {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

/// Readings by ten seconds, and those by minute.
fn by_minute() -> App {
    let app = App::new("minutes");
    let window = |seconds| Window::Tumbling(Duration::from_secs(seconds));
    app.topic::<Reading>("readings")
        .event_time(WAIT, |reading| reading.at)
        .key_by(|reading| reading.sensor)
        .window(window(10))
        .count("ten_seconds")
        .map(|closed| Summed {
            sensor: closed.key,
            end: closed.window.window_end,
            sum: closed.value as i64,
        })
        .key_by(|summed| summed.sensor)
        .window(window(60))
        .aggregate::<Sum, _>("minutes", |summed| summed.sum)
        .map(|closed| Summed {
            sensor: closed.key,
            end: closed.window.window_end,
            sum: closed.value,
        })
        .to_topic("summed");
    app
}

#[test]
fn a_window_counts_in_the_window_around_it() {
    let world = World::new(31, &[("readings", 1), ("summed", 1)]);
    world.deploy(by_minute);
    world.wait_started().expect("nothing is wrong with it");
    let reading = |second: i64| {
        let at = Timestamp::from_secs(1_700_000_040 + second);
        (
            0,
            Reading {
                sensor: 1,
                value: 1,
                at,
            }
            .to_bytes(),
        )
    };
    // 1,700,000,040 begins a minute; the last reading closes the third.
    let seconds: Vec<i64> = (0..180).chain([400]).collect();
    for seconds in seconds.chunks(7) {
        world.produce(
            "readings",
            seconds.iter().map(|second| reading(*second)).collect(),
        );
        world.flush();
    }
    world.sim.run_for(Duration::from_secs(1));
    let told = world.consume::<Summed>("summed");
    let sums: Vec<i64> = told.into_values().flatten().map(|told| told.sum).collect();
    assert_eq!(sums, [60, 60, 60]);
}
