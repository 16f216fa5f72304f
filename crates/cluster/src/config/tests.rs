//! The table is in order and consistent, and values are judged as Kafka judges them.

use std::collections::BTreeMap;

use super::{
    CompressionChoice, TOPIC_CONFIGS, TopicDefaults, TopicSettings, check_config, config_key,
};

#[test]
fn table_is_sorted_and_its_defaults_are_legal() {
    assert!(TOPIC_CONFIGS.is_sorted_by_key(|key| key.name));
    for key in TOPIC_CONFIGS {
        assert_eq!(check_config(key.name, key.default), Ok(()), "{}", key.name);
        assert!(config_key(key.name).is_some());
    }
}

#[test]
fn values() {
    let cases = [
        ("retention.ms", "-1", ""),
        ("retention.ms", " 5 ", ""),
        ("retention.ms", "-2", "at least -1"),
        ("retention.ms", "1d", "Not a number of type LONG"),
        ("max.message.bytes", "99999999999", "no more than"),
        ("segment.bytes", "1", "at least"),
        ("compression.type", "zstd", ""),
        ("compression.type", "brotli", "String must be one of"),
        ("cleanup.policy", "delete", ""),
        ("cleanup.policy", "compact", "compaction is not there yet"),
        (
            "cleanup.policy",
            "compact,delete",
            "compaction is not there yet",
        ),
        ("cleanup.policy", "shred", "String must be one of"),
        ("flush.messages", "1", "every batch is synced"),
        ("preallocate", "FALSE", ""),
        ("remote.storage.enable", "true", "no tiered storage"),
        ("min.insync.replicas", "0", "at least 1"),
        ("nonsense", "1", "Unknown topic config name: nonsense"),
    ];
    for (name, value, error) in cases {
        match check_config(name, value) {
            Ok(()) => assert_eq!(error, "", "{name}={value} was accepted"),
            Err(found) => {
                let found = found.to_string();
                assert!(
                    !error.is_empty() && found.contains(error),
                    "{name}={value}: {found}"
                );
            }
        }
    }
}

#[test]
fn settings_come_from_the_topic_then_the_broker_then_the_table() {
    let own = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    };
    let defaults = TopicDefaults::new(own(&[
        ("retention.ms", "60000"),
        ("compression.type", "lz4"),
    ]));
    let defaults = defaults.expect("legal");
    let settings = TopicSettings::resolve(&own(&[("retention.ms", "5")]), &defaults);
    assert_eq!(settings.retention_ms, 5);
    assert_eq!(settings.compression, CompressionChoice::Lz4);
    assert_eq!(settings.message_bytes_max, 1_048_588);
    assert_eq!(settings.timestamp_before_ms_max, i64::MAX);
    let damaged = TopicSettings::resolve(&own(&[("retention.ms", "old nonsense")]), &defaults);
    assert_eq!(damaged.retention_ms, 60_000);
    assert!(TopicDefaults::new(own(&[("retention.ms", "x")])).is_err());
}
