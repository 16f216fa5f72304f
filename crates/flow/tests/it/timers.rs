//! Timers of the clock: each is due once, and not before its time, through crashes.

use std::{collections::BTreeMap, time::Duration};

use flow::{App, Context, Event, Process, State, Timer, Timestamp, ValueState};

use crate::world::World;

#[derive(Clone, Debug, PartialEq, Event)]
struct Reminder {
    #[event(1)]
    id: u64,
    #[event(2)]
    wait_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Event)]
struct Told {
    #[event(1)]
    id: u64,
    #[event(2)]
    wait_ms: i64,
    #[event(3)]
    waited_us: i64,
    #[event(4)]
    is_early: bool,
}

#[derive(State)]
struct Set {
    #[state(1)]
    at: ValueState<Timestamp>,
    #[state(2)]
    wait_ms: ValueState<u64>,
}

struct Remind;

impl Process for Remind {
    type Key = u64;
    type Input = Reminder;
    type Output = Told;
    type State = Set;

    fn on_event(&self, state: &mut Set, event: Reminder, context: &mut Context<'_, u64, Told>) {
        state.at.set(context.now());
        state.wait_ms.set(event.wait_ms);
        context.set_timer_in(Duration::from_millis(event.wait_ms));
    }

    fn on_timer(&self, state: &mut Set, timer: Timer, context: &mut Context<'_, u64, Told>) {
        let set = state.at.clear().expect("it was set once");
        let told = Told {
            id: *context.key(),
            wait_ms: state.wait_ms.clear().expect("it was set once") as i64,
            waited_us: timer.at.0 - set.0,
            is_early: context.now() < timer.at,
        };
        context.emit(told);
    }
}

fn app() -> App {
    let app = App::new("reminders");
    app.topic::<Reminder>("reminders")
        .key_by(|reminder| reminder.id)
        .process("remind", Remind)
        .to_topic("told");
    app
}

fn run(seed: u64) {
    let world = World::new(seed, &[("reminders", 2), ("told", 1)]);
    world.deploy(app);
    let mut expected = BTreeMap::new();
    for _ in 0..5 {
        let mut values = Vec::new();
        for _ in 0..1 + world.sim.draw(40) {
            let id = expected.len() as u64;
            let wait_ms = world.sim.draw(15_000);
            expected.insert(id, wait_ms as i64);
            let partition = world.sim.draw(2) as i32;
            values.push((partition, Reminder { id, wait_ms }.to_bytes()));
        }
        world.produce("reminders", values);
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
    world.wait_started().expect("nothing is wrong with it");
    world.flush();
    world.sim.run_for(Duration::from_secs(20));
    let mut told = BTreeMap::new();
    for one in world.consume::<Told>("told").into_values().flatten() {
        assert_eq!(one.waited_us, one.wait_ms * 1000);
        assert!(!one.is_early, "{one:?}");
        assert_eq!(told.insert(one.id, one.wait_ms), None, "told twice");
    }
    assert_eq!(told, expected);
    assert!(world.table("remind_at").is_empty(), "all are done with");
}

#[test]
fn every_timer_of_the_clock_is_due_once() {
    for seed in 0..8 {
        let ran = std::panic::catch_unwind(|| run(seed));
        if let Err(panic) = ran {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
