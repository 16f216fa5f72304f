//! Requests and responses of every key at every version.

use std::fmt::{self, Write as _};

use kafka::{
    Message,
    messages::{ApiKey, is_flexible},
    wire::{Reader, RequestHeader, Writer},
};

use crate::{
    arbitrary::{Random, Schema},
    memory,
};

/// Arbitrary messages per version among the seeds.
const SEEDS_PER_VERSION: usize = 3;

/// Request header and body.
pub fn request_seeds() -> Vec<Vec<u8>> {
    seeds("Request", |key, version| {
        let mut head = Vec::new();
        head.extend_from_slice(&(key as i16).to_be_bytes());
        head.extend_from_slice(&version.to_be_bytes());
        head.extend_from_slice(&[0, 0, 0, 1, 0, 1, b'c']);
        if is_flexible(key as i16, version) {
            head.push(0);
        }
        head
    })
}

/// Key, version, response body.
pub fn response_seeds() -> Vec<Vec<u8>> {
    seeds("Response", |key, version| {
        let mut head = (key as i16).to_be_bytes().to_vec();
        head.extend_from_slice(&version.to_be_bytes());
        head
    })
}

fn seeds(kind: &str, head: fn(ApiKey, i16) -> Vec<u8>) -> Vec<Vec<u8>> {
    let mut random = Random(1);
    let mut seeds = Vec::new();
    for key in ApiKey::all() {
        let schema = Schema::load(&format!("{}{kind}", key.name()));
        for version in key.versions() {
            for _ in 0..SEEDS_PER_VERSION {
                let mut seed = head(key, version);
                seed.extend_from_slice(&schema.message(version, &mut random));
                seeds.push(seed);
            }
        }
    }
    seeds
}

pub fn request(input: &[u8]) {
    let mut reader = Reader::new(input);
    let Ok(header) = RequestHeader::decode(&mut reader) else {
        return;
    };
    body(Kind::Request, header.api_key, header.api_version, reader);
}

pub fn response(input: &[u8]) {
    let mut reader = Reader::new(input);
    let (Ok(key), Ok(version)) = (reader.i16(), reader.i16()) else {
        return;
    };
    body(Kind::Response, key, version, Reader::new(reader.rest()));
}

#[derive(Clone, Copy)]
enum Kind {
    Request,
    Response,
}

macro_rules! bodies {
    ($($module:ident $request:ident $response:ident;)*) => {
        fn body(kind: Kind, key: i16, version: i16, reader: Reader<'_>) {
            let bytes = reader.rest();
            match kind {
                $(
                    Kind::Request if key == kafka::messages::$module::$request::API_KEY => {
                        check!(kafka::messages::$module::$request, bytes, version);
                    }
                    Kind::Response if key == kafka::messages::$module::$response::API_KEY => {
                        check!(kafka::messages::$module::$response, bytes, version);
                    }
                )*
                _ => {}
            }
        }
    };
}

/// What is read allocates nothing, can be walked in full, and once written again reads back the same.
macro_rules! check {
    ($message:path, $bytes:ident, $version:ident) => {{
        let (message, allocated) = memory::peak_bytes(|| {
            let message = <$message>::decode(&mut Reader::new($bytes), $version).ok();
            message.inspect(|message| walk(message))
        });
        assert_eq!(allocated, 0, "decoding allocates nothing");
        if let Some(message) = message {
            let first = encode(&message, $version);
            let again = <$message>::decode(&mut Reader::new(&first), $version);
            let again = again.expect("what was written is read");
            assert_eq!(encode(&again, $version), first);
        }
    }};
}

kafka::each_api!(bodies);

fn encode<'a, M: Message<'a>>(message: &M, version: i16) -> Vec<u8> {
    let mut writer = Writer::new();
    let encoded = message.encode(&mut writer, version);
    encoded.expect("what was read at a version is written at it");
    let bytes = writer.finish().to_vec();
    assert_eq!(message.encoded_len(version), Ok(bytes.len()));
    bytes
}

/// Visits every field of every item.
fn walk(message: &impl fmt::Debug) {
    struct Sink;
    impl fmt::Write for Sink {
        fn write_str(&mut self, _: &str) -> fmt::Result {
            Ok(())
        }
    }
    // A sink takes everything.
    let _ = write!(Sink, "{message:?}");
}
