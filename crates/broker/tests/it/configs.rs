//! Topic configs at work: what they change, and what is refused.

use std::time::Duration;

use base::TimestampMs;
use kafka::{
    batch::{BatchBuilder, BatchHeader, Compression, TimestampType},
    error::ErrorCode,
    messages::{
        alter_configs::{
            AlterConfigsRequest, AlterConfigsResource, AlterConfigsResponse, AlterableConfig,
        },
        create_topics::CreateTopicsResponse,
        incremental_alter_configs::{
            self as incremental, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResponse,
        },
        produce::ProduceResponse,
    },
};
use runtime::sim::SimConfig;

use crate::harness::{Caller, NOW, World, batch, produce_request};

/// Sets one config of `t` while the node runs.
fn set(client: &mut Caller<'_>, resource_type: i8, name: &str, value: &str) -> (ErrorCode, String) {
    let config = incremental::AlterableConfig {
        name: name.into(),
        config_operation: 0,
        value: Some(value.into()),
    };
    let resource = incremental::AlterConfigsResource {
        resource_type,
        resource_name: if resource_type == 2 {
            "t".into()
        } else {
            "1".into()
        },
        configs: vec![config].into(),
    };
    let request = IncrementalAlterConfigsRequest {
        resources: vec![resource].into(),
        validate_only: false,
    };
    let frame = client.call(1, &request);
    let response: IncrementalAlterConfigsResponse<'_> = frame.decode();
    let result = response.responses.iter().next().expect("one resource");
    let message = result.error_message.map(|text| text.into_owned());
    let code = ErrorCode::from_i16(result.error_code).expect("a known code");
    (code, message.unwrap_or_default())
}

fn set_topic(client: &mut Caller<'_>, name: &str, value: &str) {
    let (code, message) = set(client, 2, name, value);
    assert_eq!(code, ErrorCode::None, "{name}={value}: {message}");
}

fn header(records: &[u8]) -> BatchHeader {
    BatchHeader::decode(records).expect("a batch")
}

#[test]
fn log_append_time_is_the_brokers() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[("message.timestamp.type", "LogAppendTime")]);
    world.sleep(Duration::from_secs(100));
    let append_time = |client: &mut Caller<'_>| {
        let bytes = batch(&["a", "b"]);
        let frame = client.call(9, &produce_request("t", 0, &bytes, -1));
        let response: ProduceResponse<'_> = frame.decode();
        let topic = response.responses.iter().next().expect("one topic");
        let partition = topic
            .partition_responses
            .iter()
            .next()
            .expect("one partition");
        assert_eq!(partition.error_code, 0);
        (partition.base_offset, partition.log_append_time_ms)
    };
    let (offset, stamped) = append_time(&mut client);
    assert!((95_000..110_000).contains(&(stamped - NOW.0)), "{stamped}");
    let found = header(&client.fetch("t", 0, offset, 0).records);
    assert_eq!(found.timestamp_type(), TimestampType::LogAppendTime);
    assert_eq!(found.max_timestamp, TimestampMs(stamped));
    set_topic(&mut client, "message.timestamp.type", "CreateTime");
    let (offset, stamped) = append_time(&mut client);
    assert_eq!(stamped, -1);
    let found = header(&client.fetch("t", 0, offset, 0).records);
    assert_eq!(
        (found.timestamp_type(), found.max_timestamp),
        (TimestampType::CreateTime, NOW)
    );
}

#[test]
fn timestamps_far_from_the_clock_are_refused() {
    let world = World::new(1);
    let mut client = world.client();
    let bounds = [
        ("message.timestamp.after.max.ms", "60000"),
        ("message.timestamp.before.max.ms", "60000"),
    ];
    client.create_topic("t", 1, &bounds);
    let at = |ms: i64| {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(TimestampMs(NOW.0 + ms), None, Some(b"x"), &[]);
        builder.finish()
    };
    for (ms, expected) in [
        (30_000, ErrorCode::None),
        (120_000, ErrorCode::InvalidTimestamp),
        (-30_000, ErrorCode::None),
        (-120_000, ErrorCode::InvalidTimestamp),
    ] {
        assert_eq!(
            client.produce("t", 0, &at(ms)).error,
            expected,
            "{ms} ms off"
        );
    }
}

#[test]
fn compression_is_the_producers_or_the_topics() {
    let world = World::new(1);
    let mut client = world.client();
    let all = [
        ("gzip", Compression::Gzip),
        ("snappy", Compression::Snappy),
        ("lz4", Compression::Lz4),
        ("zstd", Compression::Zstd),
        ("uncompressed", Compression::None),
    ];
    client.create_topic("t", 1, &[]);
    let text = "to be or not to be ".repeat(50);
    for (_, sent) in all {
        let bytes = {
            let mut builder = BatchBuilder::new(sent);
            builder.push(NOW, Some(b"key"), Some(text.as_bytes()), &[]);
            builder.finish()
        };
        let expected = [("producer", sent)].into_iter().chain(all);
        for (config, expected) in expected {
            set_topic(&mut client, "compression.type", config);
            let produced = client.produce("t", 0, &bytes);
            assert_eq!(
                produced.error,
                ErrorCode::None,
                "{sent:?} to {config}: {:?}",
                produced.message
            );
            let fetched = client.fetch("t", 0, produced.base_offset, 0);
            let found = header(&fetched.records);
            assert_eq!(found.compression(), Ok(expected), "{sent:?} to {config}");
            assert_eq!(fetched.values(), [text.as_str()]);
            if config == "producer" {
                assert_eq!(fetched.records[16..], bytes[16..], "byte for byte");
            }
        }
    }
}

#[test]
fn replicas_that_are_not_there_are_missed_only_with_acks_all() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[("min.insync.replicas", "2")]);
    let bytes = batch(&["x"]);
    for (acks, expected) in [
        (-1, ErrorCode::NotEnoughReplicas),
        (1, ErrorCode::None),
        (-1, ErrorCode::NotEnoughReplicas),
    ] {
        let frame = client.call(9, &produce_request("t", 0, &bytes, acks));
        assert_eq!(
            crate::harness::Produced::of(&frame).error,
            expected,
            "acks={acks}"
        );
    }
    set_topic(&mut client, "min.insync.replicas", "1");
    assert_eq!(client.produce("t", 0, &bytes).error, ErrorCode::None);
    assert_eq!(client.values("t", 0, 0).len(), 2);
}

/// The log start once retention has run.
fn log_start(world: &World, client: &mut Caller<'_>) -> i64 {
    world.sleep(Duration::from_secs(25));
    let end = client.fetch("t", 0, 0, 0).high_watermark;
    match end {
        // Out of range below the log's start: ask at a place that is there.
        -1 => client.fetch("t", 0, i64::from(u8::MAX), 0).log_start_offset,
        _ => 0,
    }
}

#[test]
fn retention_follows_configs_set_while_it_runs() {
    let world = World::with(SimConfig::new(1), 2, |settings| {
        settings.retention_interval = Duration::from_secs(10);
        settings.store.segment_bytes_forced = Some(64 << 10);
    });
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let large = batch(&["x".repeat(10_000).as_str()]);
    for _ in 0..255 {
        assert_eq!(client.produce("t", 0, &large).error, ErrorCode::None);
    }
    assert_eq!(log_start(&world, &mut client), 0, "kept for a week");
    set_topic(&mut client, "retention.bytes", "1000000");
    let by_size = log_start(&world, &mut client);
    assert!(
        (130..=160).contains(&by_size),
        "about 100 of 255 are left: {by_size}"
    );
    set_topic(&mut client, "retention.bytes", "-1");
    set_topic(&mut client, "retention.ms", "1000");
    let by_time = log_start(&world, &mut client);
    assert!(by_time > 240, "all but the active segment: {by_time}");
    // An old active segment is rolled by its age, and then removed.
    set_topic(&mut client, "segment.ms", "5000");
    world.sleep(Duration::from_secs(10));
    client.produce("t", 0, &batch(&["last"]));
    world.sleep(Duration::from_secs(25));
    let start = client.fetch("t", 0, 256, 0).log_start_offset;
    assert!(start >= 255, "{start}");
}

#[test]
fn what_is_not_supported_is_refused_and_says_why() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[]);
    let cases = [
        ("cleanup.policy", "compact", "compaction is not there yet"),
        (
            "cleanup.policy",
            "compact,delete",
            "compaction is not there yet",
        ),
        ("cleanup.policy", "shred", "must be one of"),
        ("flush.messages", "1", "synced before it is acknowledged"),
        ("remote.storage.enable", "true", "no tiered storage"),
        ("retention.ms", "soon", "Not a number"),
        ("retention.ms", "-2", "at least -1"),
        ("segment.bytes", "1024", "at least 1048576"),
        ("max.message.bytes", "2147483647", "no more than"),
        ("compression.type", "brotli", "must be one of"),
        ("message.timestamp.type", "Never", "must be one of"),
        ("min.insync.replicas", "0", "at least 1"),
        ("no.such.config", "1", "Unknown topic config name"),
    ];
    for (name, value, why) in cases {
        let (code, message) = set(&mut client, 2, name, value);
        assert_eq!(code, ErrorCode::InvalidConfig, "{name}={value}");
        assert!(
            message.contains(why) && message.contains(name),
            "{name}={value}: {message}"
        );
        // The same at creation, and through the older request.
        let frame = client.try_create_topic("new", 1, &[(name, value)]);
        let response: CreateTopicsResponse<'_> = frame.decode();
        let result = response.topics.iter().next().expect("one topic");
        assert_eq!(
            result.error_code,
            ErrorCode::InvalidConfig.code(),
            "{name}={value}"
        );
        let message = result
            .error_message
            .map(|text| text.into_owned())
            .unwrap_or_default();
        assert!(message.contains(why), "{name}={value}: {message}");
        assert_eq!(
            replace_all(&mut client, &[(name, value)]),
            ErrorCode::InvalidConfig
        );
    }
    let (code, message) = set(&mut client, 4, "log.retention.ms", "1");
    assert_eq!(code, ErrorCode::InvalidRequest);
    assert!(message.contains("configuration file"), "{message}");
}

/// AlterConfigs: what is not named goes back to its default.
fn replace_all(client: &mut Caller<'_>, configs: &[(&str, &str)]) -> ErrorCode {
    let configs = configs.iter().map(|(name, value)| AlterableConfig {
        name: (*name).into(),
        value: Some((*value).into()),
    });
    let resource = AlterConfigsResource {
        resource_type: 2,
        resource_name: "t".into(),
        configs: configs.collect(),
    };
    let request = AlterConfigsRequest {
        resources: vec![resource].into(),
        validate_only: false,
    };
    let frame = client.call(2, &request);
    let response: AlterConfigsResponse<'_> = frame.decode();
    let result = response.responses.iter().next().expect("one resource");
    ErrorCode::from_i16(result.error_code).expect("a known code")
}

#[test]
fn the_older_request_replaces_all_configs() {
    let world = World::new(1);
    let mut client = world.client();
    client.create_topic("t", 1, &[("max.message.bytes", "80")]);
    let large = batch(&["x".repeat(100).as_str()]);
    assert_eq!(
        client.produce("t", 0, &large).error,
        ErrorCode::MessageTooLarge
    );
    assert_eq!(
        replace_all(&mut client, &[("retention.ms", "5000")]),
        ErrorCode::None
    );
    assert_eq!(client.produce("t", 0, &large).error, ErrorCode::None);
}
