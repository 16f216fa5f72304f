//! Connections that are idle, slow, half-open or greedy: what they may hold, and for how long.

use std::time::Duration;

use kafka::{
    error::ErrorCode,
    messages::{
        describe_configs::{
            DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResponse,
        },
        metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse},
    },
};
use runtime::sim::SimConfig;

use crate::harness::{World, batch, fetch_request, produce_request};

fn named(topics: &[&'static str]) -> MetadataRequest<'static> {
    let topics = topics.iter().map(|name| MetadataRequestTopic {
        name: Some((*name).into()),
        ..MetadataRequestTopic::default()
    });
    MetadataRequest {
        topics: Some(topics.collect()),
        ..MetadataRequest::default()
    }
}

#[test]
fn idle_connections_are_reaped_and_working_ones_are_not() {
    let world = World::with(SimConfig::new(1), 2, |settings| {
        settings.connection_idle = Duration::from_secs(20);
    });
    let mut idle = world.client();
    let mut working = world.client();
    working.create_topic("t", 1, &[]);
    for _ in 0..4 {
        world.sleep(Duration::from_secs(10));
        assert_eq!(
            working.produce("t", 0, &batch(&["x"])).error,
            ErrorCode::None
        );
    }
    assert_eq!(world.metric(|m| m.connections), 1);
    assert!(idle.read_frame().is_none(), "it was closed");
}

#[test]
fn a_wait_for_records_ends_where_idleness_would() {
    let world = World::with(SimConfig::new(1), 2, |settings| {
        settings.connection_idle = Duration::from_secs(20);
    });
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let start = world.sim.elapsed();
    let fetched = client.fetch("t", 0, 0, i32::MAX);
    let waited = world.sim.elapsed() - start;
    assert_eq!(fetched.error, ErrorCode::None);
    assert!(
        waited > Duration::from_secs(19) && waited < Duration::from_secs(22),
        "{waited:?}"
    );
}

#[test]
fn frames_that_do_not_arrive_are_given_up() {
    let world = World::new(1);
    let mut good = world.client();
    good.create_topic("t", 1, &[]);
    let mut cases = Vec::new();
    // A size and nothing, a size and a byte now and then, half a size, a large frame that stops after its opening.
    for (size, sent) in [(1_000, 0), (1_000, 10), (50 << 20, 70_000)] {
        let mut client = world.client();
        client.write(&i32::to_be_bytes(size));
        client.write(&vec![0; sent]);
        cases.push(client);
    }
    for _ in 0..70 {
        world.sleep(Duration::from_secs(4));
        if world.metric(|m| m.connections) == 1 {
            break;
        }
        cases[1].write_or_closed(&[0]);
        assert_eq!(good.produce("t", 0, &batch(&["x"])).error, ErrorCode::None);
    }
    assert_eq!(
        world.metric(|m| m.connections),
        1,
        "only the good one is left"
    );
    assert_eq!(world.metric(|m| m.network_bytes_used), 0);
}

#[test]
fn who_does_not_read_holds_nothing_for_long() {
    let world = World::with(SimConfig::new(1), 1, |settings| {
        // Eight responses of the largest size.
        settings.fetch_bytes = 8 << 20;
    });
    let mut good = world.client();
    good.create_topic("t", 1, &[("max.message.bytes", "1000000")]);
    let large = batch(&["x".repeat(900_000).as_str()]);
    for _ in 0..8 {
        assert_eq!(good.produce("t", 0, &large).error, ErrorCode::None);
    }
    let mut greedy: Vec<_> = (0..16).map(|_| world.client()).collect();
    for client in &mut greedy {
        for _ in 0..4 {
            client.send(12, &fetch_request("t", &[(0, 0)], 0, 1));
        }
    }
    let start = world.sim.elapsed();
    assert_eq!(good.fetch("t", 0, 0, 0).values().len(), 1);
    let waited = world.sim.elapsed() - start;
    assert!(waited < Duration::from_secs(20), "{waited:?}");
    world.sleep(Duration::from_secs(120));
    assert_eq!(
        world.metric(|m| m.connections),
        1,
        "who never reads is closed"
    );
    assert_eq!(world.metric(|m| m.fetch_bytes_used), 0);
    assert_eq!(world.metric(|m| m.network_bytes_used), 0);
}

#[test]
fn unread_answers_stop_the_reading_of_requests() {
    let world = World::with(SimConfig::new(1), 1, |_| {});
    let mut good = world.client();
    good.create_topic("wide", 5_000, &[]);
    let one = good.call(12, &named(&["wide"])).bytes.len() as u64;
    assert!(one > 100_000, "{one}");
    let mut greedy = world.client();
    for _ in 0..60 {
        greedy.send(12, &named(&["wide"]));
    }
    world.sleep(Duration::from_secs(5));
    let unsent = world.metric(|m| m.response_bytes_unsent);
    assert!(unsent <= 3 * one + (512 << 10), "{unsent} of {one} each");
    // It is only slow: whoever reads at last gets them all.
    for _ in 0..60 {
        greedy.read_frame().expect("an answer");
    }
    assert_eq!(world.metric(|m| m.response_bytes_unsent), 0);
}

#[test]
fn asking_often_in_one_request_is_answered_once() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let frame = client.call(12, &named(&["t", "t", "u", "t", "u"]));
    let response: MetadataResponse<'_> = frame.decode();
    let names = response
        .topics
        .iter()
        .map(|t| t.name.expect("a name").into_owned());
    assert_eq!(names.collect::<Vec<_>>(), ["t", "u"]);
    let resource = || DescribeConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest {
        resources: (0..100).map(|_| resource()).collect(),
        ..DescribeConfigsRequest::default()
    };
    let frame = client.call(4, &request);
    let response: DescribeConfigsResponse<'_> = frame.decode();
    assert_eq!(response.results.len(), 1);
}

#[test]
fn a_client_that_leaves_with_requests_in_flight_leaves_nothing_behind() {
    for seed in 0..20 {
        let world = World::new(seed);
        let mut good = world.client();
        good.create_topic("t", 2, &[]);
        for _ in 0..10 {
            let mut leaving = world.client();
            let bytes = batch(&["x".repeat(20_000).as_str()]);
            for at in 0..5 {
                leaving.send(9, &produce_request("t", at % 2, &bytes, -1));
            }
            leaving.send(12, &fetch_request("t", &[(0, 0)], 5_000, i32::MAX));
            world.sleep(Duration::from_micros(world.sim.draw(3_000)));
        }
        world.sleep(Duration::from_secs(10));
        assert_eq!(world.metric(|m| m.connections), 1, "seed {seed}");
        let held = world.metric(|m| m.network_bytes_used + m.fetch_bytes_used);
        assert_eq!(held, 0, "seed {seed}");
    }
}
