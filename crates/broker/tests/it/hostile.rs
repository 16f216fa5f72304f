//! What a broken or hostile client gets, and that others do not notice.

use std::{io::Write, time::Duration};

use kafka::{
    error::ErrorCode,
    messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse},
};

use crate::harness::{Node, TestDir, batch, decode_body, settings};

#[test]
fn versions_are_told_also_to_clients_from_the_future() {
    let dir = TestDir::new();
    let node = Node::start(settings(&dir), 1);
    let mut client = node.client();
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
    client
        .stream
        .write_all(&11_i32.to_be_bytes())
        .expect("open");
    client.stream.write_all(&body).expect("open");
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
    let dir = TestDir::new();
    let node = Node::start(settings(&dir), 2);
    let mut good = node.client();
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
        let mut bad = node.client();
        bad.stream.write_all(&bytes).expect("open");
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
    let dir = TestDir::new();
    let mut small = settings(&dir);
    // So little that frames announced and not sent would use it up at once, were they granted what they announce.
    small.network_bytes = 8 << 20;
    let node = Node::start(small, 2);
    let mut good = node.client();
    good.create_topic("t", 2, &[]);
    let idle: Vec<_> = (0..100).map(|_| node.client()).collect();
    let liars: Vec<_> = (0..50)
        .map(|_| {
            let mut liar = node.client();
            liar.stream
                .write_all(&(50_i32 << 20).to_be_bytes())
                .expect("open");
            liar.stream.write_all(&[0, 0, 0]).expect("open");
            liar
        })
        .collect();
    std::thread::sleep(Duration::from_millis(100));
    let value = "x".repeat(500_000);
    for partition in 0..2 {
        let produced = good.produce("t", partition, &batch(&[&value]));
        assert_eq!(produced.error, ErrorCode::None);
        assert_eq!(good.fetch("t", partition, 0, 0).values(), [value.as_str()]);
    }
    assert!(node.metric(|m| m.network_bytes_used) < 1 << 20);
    drop((idle, liars));
}

#[test]
fn connections_are_counted_and_bounded() {
    let dir = TestDir::new();
    let mut few = settings(&dir);
    few.connections_max = 4;
    let node = Node::start(few, 1);
    let mut open: Vec<_> = (0..4).map(|_| node.client()).collect();
    for client in &mut open {
        client.create_topic(
            &format!("t{}", client.stream.local_addr().expect("bound").port()),
            1,
            &[],
        );
    }
    let mut fifth = node.client();
    assert!(fifth.read_frame().is_none(), "one too many");
    drop(open);
    let mut again = None;
    for _ in 0..100 {
        let mut client = node.client();
        if client.stream.write_all(&[0]).is_ok() && node.metric(|m| m.connections) <= 2 {
            again = Some(client);
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(again.is_some(), "closed connections make room");
}
