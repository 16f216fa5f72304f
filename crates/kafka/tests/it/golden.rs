//! Frames that real clients and Apache Kafka exchanged: each is read, and written again to the same bytes.
//!
//! `cargo xtask capture` catches them anew, one file per client in `tests/golden`.

use std::{collections::BTreeSet, path::Path};

use kafka::{
    Message,
    messages::ApiKey,
    wire::{Reader, RequestHeader, decode_response_header, encode_request, encode_response},
};

/// One captured frame, without its size.
struct Frame {
    is_request: bool,
    key: i16,
    version: i16,
    bytes: Vec<u8>,
}

fn parse(line: &str) -> Frame {
    let words: Vec<&str> = line.split(' ').collect();
    let [direction, key, version, hex] = words[..] else {
        panic!("four words a line: {line}");
    };
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
    Frame {
        is_request: direction == "request",
        key: key.parse().expect("a number"),
        version: version.parse().expect("a number"),
        bytes: (0..hex.len()).step_by(2).map(byte).collect(),
    }
}

/// Files of the directory with their frames.
fn captured() -> Vec<(String, Vec<Frame>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the directory is there")
        .map(|entry| entry.expect("is readable").path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("is text");
            let name = path.file_stem().expect("has a name").to_string_lossy();
            (name.into_owned(), text.lines().map(parse).collect())
        })
        .collect()
}

fn request_again<'a, M: Message<'a>>(frame: &'a Frame) -> Vec<u8> {
    let mut reader = Reader::new(&frame.bytes);
    let header = RequestHeader::decode(&mut reader).expect("a header");
    assert_eq!(
        (header.api_key, header.api_version),
        (frame.key, frame.version)
    );
    let mut body = Reader::new(reader.rest());
    let message = M::decode(&mut body, frame.version).expect("a body");
    body.end().expect("nothing behind the body");
    encode_request(&header, &message)
        .expect("what was read is written")
        .to_vec()
}

fn response_again<'a, M: Message<'a>>(frame: &'a Frame) -> Vec<u8> {
    let (correlation_id, reader) =
        decode_response_header(&frame.bytes, frame.key, frame.version).expect("a header");
    let mut body = Reader::new(reader.rest());
    let message = M::decode(&mut body, frame.version).expect("a body");
    body.end().expect("nothing behind the body");
    encode_response(correlation_id, frame.version, &message)
        .expect("what was read is written")
        .to_vec()
}

/// A client newer than Kafka's descriptors asks for a version of ApiVersions they do not have, is answered in version 0,
/// and asks again (KIP-511).
fn is_too_new(frame: &Frame) -> bool {
    let key = ApiKey::from_i16(frame.key).expect("a known key");
    key == ApiKey::ApiVersions && !key.versions().contains(&frame.version)
}

macro_rules! again {
    ($($module:ident $request:ident $response:ident;)*) => {
        fn again(frame: &Frame) -> Vec<u8> {
            match (frame.is_request, frame.key) {
                $(
                    (true, kafka::messages::$module::$request::API_KEY) =>
                        request_again::<kafka::messages::$module::$request>(frame),
                    (false, kafka::messages::$module::$response::API_KEY) =>
                        response_again::<kafka::messages::$module::$response>(frame),
                )*
                _ => panic!("key {} is not known", frame.key),
            }
        }
    };
}

kafka::each_api!(again);

#[test]
fn frames_of_real_clients_are_read_and_written_to_the_same_bytes() {
    for (client, frames) in captured() {
        for frame in &frames {
            let (key, version) = (frame.key, frame.version);
            if is_too_new(frame) {
                continue;
            }
            let again = again(frame);
            assert_eq!(
                again[4..],
                frame.bytes[..],
                "{client}: key {key} v{version}"
            );
            assert_eq!(again[..4], (frame.bytes.len() as u32).to_be_bytes());
        }
    }
}

#[test]
fn every_client_shows_the_apis_that_carry_the_load() {
    let needed = [
        ApiKey::ApiVersions,
        ApiKey::Metadata,
        ApiKey::Produce,
        ApiKey::Fetch,
    ];
    let captured = captured();
    let names: Vec<&str> = captured.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["confluent", "franz-go", "java", "kafka-python", "kafkajs"]
    );
    for (client, frames) in &captured {
        for is_request in [true, false] {
            let of = frames.iter().filter(|frame| frame.is_request == is_request);
            let shown: BTreeSet<i16> = of.map(|frame| frame.key).collect();
            for key in needed {
                assert!(shown.contains(&(key as i16)), "{client}: {key:?}");
            }
        }
    }
}
