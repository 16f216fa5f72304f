//! Time per operation of what every produce and fetch pays.
//!
//! `cargo test --release -p kafka --test it -- --ignored --nocapture` prints the figures.

use std::hint::black_box;

use base::TimestampMs;
use iobuf::{Buf, IoBuf};
use kafka::{
    Message,
    batch::{BatchBuilder, Compression, DoorRules, TimestampType, validate_batch},
    messages::{
        fetch::{FetchResponse, FetchableTopicResponse, PartitionData},
        produce::{PartitionProduceData, ProduceRequest, TopicProduceData},
    },
    wire::{List, Reader, Records, Writer, encode_response},
};

const NOW: TimestampMs = TimestampMs(1_700_000_000_000);

/// Sizes of one run.
#[derive(Clone, Copy)]
struct Size {
    rounds: u32,
    record_bytes: usize,
}

fn produce_request(partitions: i32, record_bytes: usize) -> Vec<u8> {
    let records = vec![1; record_bytes];
    let request = ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: List::from(vec![TopicProduceData {
            name: "topic".into(),
            partition_data: (0..partitions)
                .map(|index| PartitionProduceData {
                    index,
                    records: Records::Wire(&records),
                })
                .collect(),
            ..TopicProduceData::default()
        }]),
        ..ProduceRequest::default()
    };
    let mut writer = Writer::new();
    request.encode(&mut writer, 11).expect("encodes");
    writer.finish().to_vec()
}

/// Decodes a request and walks its partitions as the broker does; bytes of records seen.
fn decode_produce(bytes: &[u8]) -> usize {
    let request = ProduceRequest::decode(&mut Reader::new(bytes), 11).expect("decodes");
    let mut seen = 0;
    for topic in &request.topic_data {
        for partition in &topic.partition_data {
            seen += partition.records.len();
        }
    }
    seen
}

fn encode_fetch(records: &Buf, partitions: i32) -> IoBuf {
    let response = FetchResponse {
        responses: List::from(vec![FetchableTopicResponse {
            topic: "topic".into(),
            partitions: (0..partitions)
                .map(|partition_index| PartitionData {
                    partition_index,
                    high_watermark: 1000,
                    records: IoBuf::from(records.clone()).into(),
                    ..PartitionData::default()
                })
                .collect(),
            ..FetchableTopicResponse::default()
        }]),
        ..FetchResponse::default()
    };
    encode_response(7, 12, &response).expect("encodes")
}

fn batch(compression: Compression, records: usize, value_bytes: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    let value: Vec<u8> = (0..value_bytes).map(|at| (at % 61) as u8 + b' ').collect();
    for at in 0..records {
        builder.push(TimestampMs(NOW.0 + at as i64), None, Some(&value), &[]);
    }
    builder.finish()
}

fn validate(batch: &[u8]) -> i32 {
    let rules = DoorRules {
        batch_bytes_max: 2 << 20,
        timestamp_type: TimestampType::CreateTime,
        now: NOW,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: 3_600_000,
        compression: None,
    };
    let valid = validate_batch(batch, &rules).expect("valid");
    valid.header.record_count
}

/// Hands every operation, with its name and rounds, to `time`.
fn costs(size: Size, mut time: impl FnMut(&str, u32, &mut dyn FnMut())) {
    let megabyte = produce_request(1, size.record_bytes);
    time("decode produce, 1 partition", size.rounds, &mut || {
        assert_eq!(decode_produce(black_box(&megabyte)), size.record_bytes);
    });
    let many = produce_request(100, 1024);
    time("decode produce, 100 partitions", size.rounds, &mut || {
        assert_eq!(decode_produce(black_box(&many)), 100 * 1024);
    });
    let records = Buf::from(vec![1; size.record_bytes]);
    time("encode fetch, 1 partition", size.rounds, &mut || {
        assert!(encode_fetch(black_box(&records), 1).len() > size.record_bytes);
    });
    time("encode fetch, 100 partitions", size.rounds, &mut || {
        assert!(encode_fetch(black_box(&records), 100).len() > 100 * size.record_bytes);
    });
    for (name, records, value_bytes) in [
        ("16 x 1 KB", 16, 1024),
        ("1000 x 100 B", 1000, 100),
        ("10000 x 1 B", 10_000, 1),
    ] {
        for compression in Compression::ALL {
            let batch = batch(compression, records, value_bytes);
            let name = format!("validate {name}, {}", compression.name());
            time(&name, size.rounds, &mut || {
                assert_eq!(validate(black_box(&batch)), records as i32);
            });
        }
    }
    let megabyte = vec![7; size.record_bytes];
    time("crc32c", size.rounds, &mut || {
        black_box(iobuf::crc32c(black_box(&megabyte)));
    });
}

#[test]
fn every_operation_does_its_work() {
    let size = Size {
        rounds: 2,
        record_bytes: 4096,
    };
    costs(size, |_, rounds, operation| {
        (0..rounds).for_each(|_| operation());
    });
}

#[test]
#[ignore = "measures"]
fn figures() {
    let size = Size {
        rounds: 200,
        record_bytes: 1 << 20,
    };
    costs(size, |name, rounds, operation| {
        // The fastest of several turns: the others waited for something else.
        let turn = |operation: &mut dyn FnMut()| {
            let begun = std::time::Instant::now();
            (0..rounds).for_each(|_| operation());
            begun.elapsed().as_nanos() / u128::from(rounds)
        };
        let best = (0..15).map(|_| turn(operation)).min().unwrap_or_default();
        println!("{name:<40} {best:>9} ns");
    });
}
