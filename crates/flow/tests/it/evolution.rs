//! State that changes its shape between two deployments.

use flow::{App, Context, Event, Process, State, ValueState};

use crate::world::World;

mod first {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Event)]
    pub struct Total {
        #[event(1)]
        pub sum: i32,
        #[event(2)]
        pub note: String,
    }
}

mod second {
    use super::*;

    /// One field is wider, one is gone, one is new.
    #[derive(Clone, Debug, PartialEq, Event)]
    pub struct Total {
        #[event(1)]
        pub sum: i64,
        #[event(3)]
        pub count: u64,
    }
}

mod third {
    use super::*;

    /// A number that was text once.
    #[derive(Clone, Debug, PartialEq, Event)]
    pub struct Total {
        #[event(1)]
        pub sum: i64,
        #[event(2)]
        pub note: u64,
    }
}

#[derive(Clone, Debug, PartialEq, Event)]
struct Move {
    #[event(1)]
    account: String,
    #[event(2)]
    cents: i32,
}

macro_rules! version {
    ($name:ident, $total:ty, |$value:ident, $event:ident| $change:expr) => {
        struct $name;

        impl Process for $name {
            type Key = String;
            type Input = Move;
            type Output = Move;
            type State = ByAccount<$total>;

            fn on_event(
                &self,
                state: &mut Self::State,
                $event: Move,
                context: &mut Context<'_, String, Move>,
            ) {
                let $value = state.total.change();
                $change;
                context.emit($event);
            }
        }
    };
}

#[derive(State)]
struct ByAccount<T: Event> {
    #[state(1)]
    total: ValueState<T>,
}

version!(First, first::Total, |total, event| {
    total.sum += event.cents;
    total.note = event.account.clone();
});
version!(Second, second::Total, |total, event| {
    total.sum += i64::from(event.cents);
    total.count += 1;
});
version!(Third, third::Total, |total, event| {
    total.sum += i64::from(event.cents);
});

fn app<P: Process<Key = String, Input = Move, Output = Move>>(process: P) -> App {
    let app = App::new("totals");
    app.topic::<Move>("moves")
        .key_by(|event| event.account.clone())
        .process("accounts", process)
        .to_topic("moved");
    app
}

fn moves(account: &str, cents: i32) -> Vec<(i32, Vec<u8>)> {
    let account = account.to_owned();
    vec![(0, Move { account, cents }.to_bytes())]
}

#[test]
fn fields_come_and_go_but_numbers_keep_their_types() {
    let world = World::new(11, &[("moves", 1), ("moved", 1)]);
    world.deploy(|| app(First));
    world.wait_started().expect("it runs");
    world.produce("moves", moves("a", 5));
    world.flush();
    assert_eq!(world.table("accounts_total"), [["a", "5", "a"]]);
    // A checkpoint is taken.
    world.sim.run_for(std::time::Duration::from_secs(7));

    world.deploy(|| app(Second));
    world.wait_started().expect("the change is allowed");
    world.flush();
    assert_eq!(world.table("accounts_total"), [["a", "5", "0"]]);
    world.produce("moves", moves("a", 7));
    world.produce("moves", moves("b", 1));
    world.flush();
    assert_eq!(
        world.table("accounts_total"),
        [["a", "12", "1"], ["b", "1", "1"]]
    );
    world.sim.run_for(std::time::Duration::from_secs(7));

    world.deploy(|| app(Third));
    let refused = world.wait_started().expect_err("the change is not allowed");
    assert_eq!(
        refused,
        "the state of totals:step:accounts cannot be restored: field 2 of Total, note, was string, it is uint64 now"
    );
    world.deploy(|| app(Second));
    world.wait_started().expect("the one before goes on");
    world.produce("moves", moves("a", 1));
    world.flush();
    assert_eq!(
        world.table("accounts_total"),
        [["a", "13", "2"], ["b", "1", "1"]]
    );
    let moved = world.consume::<Move>("moved");
    assert_eq!(
        moved[&0].len(),
        4,
        "each is written once through all deployments"
    );
}

mod before {
    use super::*;

    #[derive(Clone, Debug, PartialEq, Event)]
    pub enum Colour {
        Green,
        Red,
    }

    #[derive(Clone, Debug, PartialEq, Event)]
    pub struct Light {
        #[event(1)]
        pub colour: Colour,
    }
}

mod after {
    use super::*;

    /// A value has another name.
    #[derive(Clone, Debug, PartialEq, Event)]
    pub enum Colour {
        Green,
        Crimson,
    }

    #[derive(Clone, Debug, PartialEq, Event)]
    pub struct Light {
        #[event(1)]
        pub colour: Colour,
    }
}

version!(Before, before::Light, |light, event| {
    light.colour = match event.cents {
        0 => before::Colour::Green,
        _ => before::Colour::Red,
    };
});
version!(After, after::Light, |light, event| {
    light.colour = match event.cents {
        0 => after::Colour::Green,
        _ => after::Colour::Crimson,
    };
});

#[test]
fn values_of_enums_get_other_names_in_rows_that_are_there() {
    let world = World::new(12, &[("moves", 1), ("moved", 1)]);
    world.deploy(|| app(Before));
    world.wait_started().expect("it runs");
    world.produce("moves", [moves("a", 1), moves("b", 0)].concat());
    world.flush();
    assert_eq!(
        world.table("accounts_total"),
        [["a", "COLOUR_RED"], ["b", "COLOUR_GREEN"]]
    );
    world.sim.run_for(std::time::Duration::from_secs(7));
    world.deploy(|| app(After));
    world.wait_started().expect("the change is allowed");
    world.flush();
    assert_eq!(
        world.table("accounts_total"),
        [["a", "COLOUR_CRIMSON"], ["b", "COLOUR_GREEN"]]
    );
    world.produce("moves", [moves("a", 0), moves("b", 1)].concat());
    world.flush();
    assert_eq!(
        world.table("accounts_total"),
        [["a", "COLOUR_GREEN"], ["b", "COLOUR_CRIMSON"]]
    );
}
