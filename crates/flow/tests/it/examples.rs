//! The examples, each with a little input.

use flow::{Event, Timestamp};

use crate::world::World;

#[expect(dead_code, reason = "`main` is for `cargo run`")]
#[path = "../../examples/counting.rs"]
pub mod counting;
#[expect(dead_code, reason = "`main` is for `cargo run`")]
#[path = "../../examples/fleet.rs"]
mod fleet;
#[expect(dead_code, reason = "`main` is for `cargo run`")]
#[path = "../../examples/join.rs"]
mod join;
#[expect(dead_code, reason = "`main` is for `cargo run`")]
#[path = "../../examples/sessions.rs"]
mod sessions;
#[expect(dead_code, reason = "`main` is for `cargo run`")]
#[path = "../../examples/unpaid.rs"]
mod unpaid;

fn bytes<T: Event>(events: &[T]) -> Vec<(i32, Vec<u8>)> {
    events.iter().map(|event| (0, event.to_bytes())).collect()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_secs(1_700_000_000 + seconds)
}

fn all<T: Event>(world: &World, topic: &str) -> Vec<T> {
    world.consume::<T>(topic).into_values().flatten().collect()
}

#[test]
fn counting_counts() {
    let world = World::new(1, &[("visits", 1), ("counts", 1)]);
    world.deploy(counting::app);
    world.wait_started().expect("it runs");
    let visit = |page: &str| counting::Visit {
        page: page.to_owned(),
    };
    world.produce("visits", bytes(&["a", "b", "a"].map(visit)));
    world.flush();
    let counts: Vec<(String, u64)> = all::<counting::Visits>(&world, "counts")
        .into_iter()
        .map(|visits| (visits.page, visits.count))
        .collect();
    let counts: Vec<(&str, u64)> = counts
        .iter()
        .map(|(page, count)| (&**page, *count))
        .collect();
    assert_eq!(counts, [("a", 1), ("b", 1), ("a", 2)]);
    assert_eq!(world.table("visits_by_page"), [["a", "2"], ["b", "1"]]);
}

#[test]
fn sessions_close_behind_the_gap() {
    let world = World::new(2, &[("clicks", 1), ("sessions", 1)]);
    world.deploy(sessions::app);
    world.wait_started().expect("it runs");
    let click = |(user, seconds)| sessions::Click {
        user,
        at: at(seconds),
    };
    // The third joins what the first two were apart; the last one closes all that is older.
    let clicks = [
        (7, 0),
        (7, 2400),
        (7, 1200),
        (8, 100),
        (7, 4300),
        (9, 20_000),
    ];
    world.produce("clicks", bytes(&clicks.map(click)));
    world.flush();
    let mut closed: Vec<(i64, i64, u64)> = all::<sessions::Session>(&world, "sessions")
        .into_iter()
        .map(|session| (session.user, session.seconds, session.clicks))
        .collect();
    closed.sort_unstable();
    assert_eq!(closed, [(7, 0, 1), (7, 2400, 3), (8, 0, 1)]);
    assert_eq!(world.table("open_sessions").len(), 1);
}

#[test]
fn unpaid_orders_are_told_after_an_hour() {
    let world = World::new(3, &[("orders", 1), ("payments", 1), ("unpaid", 1)]);
    world.deploy(unpaid::app);
    world.wait_started().expect("it runs");
    let order = |(id, seconds)| unpaid::Order {
        id,
        cents: 100,
        at: at(seconds),
    };
    let payment = |(order, seconds)| unpaid::Payment {
        order,
        at: at(seconds),
    };
    world.produce("orders", bytes(&[(1, 0), (2, 10), (3, 8000)].map(order)));
    world.produce("payments", bytes(&[(1, 900), (9, 8000)].map(payment)));
    world.flush();
    let ids: Vec<u64> = all::<unpaid::Order>(&world, "unpaid")
        .into_iter()
        .map(|o| o.id)
        .collect();
    assert_eq!(ids, [2]);
    let open = world.table("open_orders_order");
    assert_eq!(open.len(), 1);
    assert_eq!(open[0][..3], ["3", "3", "100"]);
}

#[test]
fn clicks_join_their_impressions() {
    let world = World::new(4, &[("impressions", 1), ("ad_clicks", 1), ("clicked", 1)]);
    world.deploy(join::app);
    world.wait_started().expect("it runs");
    let impression = |(id, seconds): (&str, i64)| join::Impression {
        id: id.to_owned(),
        campaign: format!("of {id}"),
        at: at(seconds),
    };
    let click = |(id, seconds): (&str, i64)| join::Click {
        impression: id.to_owned(),
        at: at(seconds),
    };
    world.produce("ad_clicks", bytes(&[("a", 30), ("b", 900)].map(click)));
    world.produce(
        "impressions",
        bytes(&[("a", 0), ("b", 0), ("c", 5)].map(impression)),
    );
    world.flush();
    let clicked = all::<join::Clicked>(&world, "clicked");
    assert_eq!(clicked.len(), 1);
    assert_eq!(
        (clicked[0].campaign.as_str(), clicked[0].after_ms),
        ("of a", 30_000)
    );
    // Both sides are past everything: what is kept is forgotten.
    world.produce("ad_clicks", bytes(&[("z", 90_000)].map(click)));
    world.produce("impressions", bytes(&[("z", 90_000)].map(impression)));
    world.flush();
    world.sim.run_for(std::time::Duration::from_secs(1));
    assert_eq!(world.table("near_left").len(), 1);
    assert_eq!(world.table("near_right").len(), 1);
}

#[test]
fn fleet_keeps_every_kind_of_state() {
    let world = World::new(5, &[("reports", 1), ("warnings", 1)]);
    world.deploy(fleet::app);
    world.wait_started().expect("it runs");
    let report = |(vehicle, seconds, temperature): (&str, i64, i32)| fleet::Report {
        vehicle: vehicle.to_owned(),
        kind: fleet::Kind::Van,
        position: Some(fleet::Position {
            latitude: 59.9,
            longitude: 10.7,
        }),
        temperature,
        alarms: vec![format!("alarm at {seconds}")],
        at: Some(at(seconds)),
        driver: None,
        sensors: [("oil".to_owned(), seconds), ("rpm".to_owned(), 1)].into(),
    };
    let reports = [
        ("v1", 0, -4),
        ("v2", 10, 20),
        ("v1", 300, 9),
        ("v3", 4000, 21),
    ];
    world.produce("reports", bytes(&reports.map(report)));
    world.flush();
    let warned: Vec<String> = all::<fleet::Warning>(&world, "warnings")
        .into_iter()
        .map(|w| w.vehicle)
        .collect();
    assert_eq!(warned, ["v2", "v1"]);
    // Through a restart, too.
    for _ in 0..2 {
        assert_eq!(
            world.table("fleet_sensors"),
            [
                ["v1", "oil", "300"],
                ["v1", "rpm", "1"],
                ["v2", "oil", "10"],
                ["v2", "rpm", "1"],
                ["v3", "oil", "4000"],
                ["v3", "rpm", "1"]
            ]
        );
        assert_eq!(
            world.table("fleet_warmest"),
            [["v1", "9"], ["v2", "20"], ["v3", "21"]]
        );
        let alarms = world.table("fleet_alarms");
        assert_eq!(alarms[1], ["v1", "1", "alarm at 300"]);
        let temperatures: Vec<String> = world
            .table("fleet_temperatures")
            .iter()
            .map(|row| format!("{} {}", row[0], row[2]))
            .collect();
        assert_eq!(temperatures, ["v1 -4", "v1 9", "v2 20", "v3 21"]);
        let last = world.table("fleet_last");
        assert_eq!(last.len(), 3);
        assert_eq!(last[0][..3], ["v1", "v1", "FLEET_V1_KIND_VAN"]);
        world.sim.run_for(std::time::Duration::from_secs(7));
        world.sim.kill(world.app);
        world.restart_app();
        world.wait_started().expect("it runs again");
        world.flush();
    }
}
