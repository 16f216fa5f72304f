//! What a broken or hostile client gets, and that others do not notice.

use std::time::Duration;

use kafka::{
    error::ErrorCode,
    messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse},
};

use runtime::sim::SimConfig;

use crate::harness::{World, batch, decode_body};

#[test]
fn versions_are_told_also_to_clients_from_the_future() {
    let world = World::with(SimConfig::new(1), 1, |_| {});
    let mut client = world.client();
    let request = ApiVersionsRequest {
        client_software_name: "it".into(),
        client_software_version: "1.0".into(),
    };
    for version in 0..=4 {
        let frame = client.call(version, &request);
        let response: ApiVersionsResponse<'_> = frame.decode();
        assert_eq!(response.error_code, 0);
        let produce = response.api_keys.iter().next().expect("Produce");
        assert_eq!((produce.api_key, produce.min_version), (0, 0));
    }
    // Key 18, version 99, correlation id 5, no client id, no tags.
    let body = [0, 18, 0, 99, 0, 0, 0, 5, 0xff, 0xff, 0];
    client.write(&11_i32.to_be_bytes());
    client.write(&body);
    let bytes = client.read_frame().expect("an answer");
    let response: ApiVersionsResponse<'_> = decode_body(&bytes[4..], 0);
    assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
    assert!(
        response
            .api_keys
            .iter()
            .any(|api| api.api_key == 18 && api.max_version >= 3)
    );
}

#[test]
fn nonsense_closes_its_connection_and_no_other() {
    let world = World::new(1);
    let mut good = world.client();
    good.create_topic("t", 2, &[]);
    let header = |key: i16, version: i16| {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&key.to_be_bytes());
        bytes.extend_from_slice(&version.to_be_bytes());
        bytes.extend_from_slice(&[0, 0, 0, 1, 0xff, 0xff]);
        bytes
    };
    let frame = |body: &[u8]| {
        let mut bytes = i32::try_from(body.len())
            .expect("small")
            .to_be_bytes()
            .to_vec();
        bytes.extend_from_slice(body);
        bytes
    };
    let mut huge_count = header(3, 0);
    huge_count.extend_from_slice(&i32::MAX.to_be_bytes());
    let mut bad_text = header(3, 0);
    bad_text[8..10].copy_from_slice(&[0, 2]);
    bad_text.extend_from_slice(&[0xff, 0xfe]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a negative size", (-1_i32).to_be_bytes().to_vec()),
        ("a size above the limit", i32::MAX.to_be_bytes().to_vec()),
        ("an empty frame", frame(&[])),
        ("half a header", frame(&[0, 3, 0])),
        ("an unknown key", frame(&header(999, 0))),
        ("a key of brokers among themselves", frame(&header(4, 0))),
        ("an unknown version", frame(&header(3, 99))),
        ("a refused version", frame(&header(0, 2))),
        ("five bytes that ask for gigabytes", frame(&huge_count)),
        ("a client id that is no text", frame(&bad_text)),
        ("HTTP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec()),
    ];
    for (what, bytes) in cases {
        let mut bad = world.client();
        bad.write(&bytes);
        assert!(bad.read_frame().is_none(), "{what} was answered");
        for partition in 0..2 {
            assert_eq!(
                good.produce("t", partition, &batch(&["x"])).error,
                ErrorCode::None,
                "{what}"
            );
        }
    }
}

#[test]
fn half_open_and_dripping_connections_harm_nobody() {
    // So little that frames announced and not sent would use it up at once, were they granted what they announce.
    let world = World::with(SimConfig::new(1), 2, |settings| {
        settings.network_bytes = 8 << 20
    });
    let mut good = world.client();
    good.create_topic("t", 2, &[]);
    let idle: Vec<_> = (0..100).map(|_| world.client()).collect();
    let liars: Vec<_> = (0..50)
        .map(|_| {
            let mut liar = world.client();
            liar.write(&(50_i32 << 20).to_be_bytes());
            liar.write(&[0, 0, 0]);
            liar
        })
        .collect();
    world.sleep(Duration::from_millis(100));
    let value = "x".repeat(500_000);
    for partition in 0..2 {
        let produced = good.produce("t", partition, &batch(&[&value]));
        assert_eq!(produced.error, ErrorCode::None);
        assert_eq!(good.fetch("t", partition, 0, 0).values(), [value.as_str()]);
    }
    assert!(world.metric(|m| m.network_bytes_used) < 1 << 20);
    drop((idle, liars));
}

#[test]
fn connections_are_counted_and_bounded() {
    let world = World::with(SimConfig::new(1), 1, |settings| {
        settings.connections_max = 4
    });
    let mut open: Vec<_> = (0..4).map(|_| world.client()).collect();
    for (n, client) in open.iter_mut().enumerate() {
        client.create_topic(&format!("t{n}"), 1, &[]);
    }
    let mut fifth = world.client();
    assert!(fifth.read_frame().is_none(), "one too many");
    drop(open);
    let mut again = None;
    for _ in 0..100 {
        let mut client = world.client();
        client.write(&[0]);
        if world.metric(|m| m.connections) <= 2 {
            again = Some(client);
            break;
        }
        world.sleep(Duration::from_millis(20));
    }
    assert!(again.is_some(), "closed connections make room");
}
