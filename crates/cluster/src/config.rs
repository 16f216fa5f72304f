//! The table of topic configs: Kafka's names, defaults, bounds and documentation, and the typed settings they give.
//!
//! A config that has no effect here is accepted only with the one value that describes what happens anyway, so that no
//! setting is ever taken and ignored.

use std::collections::BTreeMap;

use base::limits;

/// Kafka's `ConfigDef.Type`, as DescribeConfigs reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigKind {
    Boolean,
    Text,
    Int,
    Long,
    Double,
    List,
}

/// What values a config takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// An integer in these bounds, both included.
    Number {
        min: i64,
        max: i64,
    },
    OneOf(&'static [&'static str]),
    /// `cleanup.policy`: a list of which only `delete` is there yet.
    Cleanup,
    /// No effect here: only this value describes what happens. The text says why.
    Only(&'static str),
}

/// One topic config.
#[derive(Debug, PartialEq, Eq)]
pub struct ConfigKey {
    pub name: &'static str,
    pub kind: ConfigKind,
    pub default: &'static str,
    pub rule: Rule,
    /// The broker config that sets the default for all topics, Kafka's synonym.
    pub synonym: &'static str,
    pub doc: &'static str,
}

/// Names of the configs with an effect, for code that asks for one by name.
pub mod names {
    pub const CLEANUP_POLICY: &str = "cleanup.policy";
    pub const COMPRESSION_TYPE: &str = "compression.type";
    pub const INDEX_INTERVAL_BYTES: &str = "index.interval.bytes";
    pub const MAX_MESSAGE_BYTES: &str = "max.message.bytes";
    pub const TIMESTAMP_AFTER_MAX_MS: &str = "message.timestamp.after.max.ms";
    pub const TIMESTAMP_BEFORE_MAX_MS: &str = "message.timestamp.before.max.ms";
    pub const TIMESTAMP_TYPE: &str = "message.timestamp.type";
    pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
    pub const RETENTION_BYTES: &str = "retention.bytes";
    pub const RETENTION_MS: &str = "retention.ms";
    pub const SEGMENT_BYTES: &str = "segment.bytes";
    pub const SEGMENT_MS: &str = "segment.ms";
}

/// Smallest segment: below it a directory of many files would cost more than the data in them (Kafka 4.2's bound).
pub const SEGMENT_BYTES_MIN: i64 = 1 << 20;

const NO_COMPACTION: &str = "there is no compaction yet";
const NO_TIERS: &str = "there is no tiered storage";
const NO_FLUSH: &str = "every batch is synced before it is acknowledged";
const NO_LEVEL: &str = "the level of compression by the broker is fixed";
const NO_REPLICAS: &str = "there is one replica of each partition";
const NO_CHOICE: &str = "the log's files are laid out without it";

const fn number(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    bounds: (i64, i64),
    synonym: &'static str,
    doc: &'static str,
) -> ConfigKey {
    let (min, max) = bounds;
    ConfigKey {
        name,
        kind,
        default,
        rule: Rule::Number { min, max },
        synonym,
        doc,
    }
}

const fn only(
    name: &'static str,
    kind: ConfigKind,
    default: &'static str,
    synonym: &'static str,
    why: &'static str,
) -> ConfigKey {
    ConfigKey {
        name,
        kind,
        default,
        rule: Rule::Only(why),
        synonym,
        doc: why,
    }
}

/// Every topic config of Kafka 4.x, sorted by name.
pub static TOPIC_CONFIGS: &[ConfigKey] = &[
    ConfigKey {
        name: names::CLEANUP_POLICY,
        kind: ConfigKind::List,
        default: "delete",
        rule: Rule::Cleanup,
        synonym: "log.cleanup.policy",
        doc: "What happens to old segments: `delete` removes them by retention time and size. `compact` is not there yet.",
    },
    only(
        "compression.gzip.level",
        ConfigKind::Int,
        "-1",
        "compression.gzip.level",
        NO_LEVEL,
    ),
    only(
        "compression.lz4.level",
        ConfigKind::Int,
        "9",
        "compression.lz4.level",
        NO_LEVEL,
    ),
    ConfigKey {
        name: names::COMPRESSION_TYPE,
        kind: ConfigKind::Text,
        default: "producer",
        rule: Rule::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
        synonym: "compression.type",
        doc: "Compression of stored batches. `producer` keeps them as they came, byte for byte; any other value makes the broker recompress those that differ.",
    },
    only(
        "compression.zstd.level",
        ConfigKind::Int,
        "3",
        "compression.zstd.level",
        NO_LEVEL,
    ),
    only(
        "delete.retention.ms",
        ConfigKind::Long,
        "86400000",
        "log.cleaner.delete.retention.ms",
        NO_COMPACTION,
    ),
    only(
        "file.delete.delay.ms",
        ConfigKind::Long,
        "60000",
        "log.segment.delete.delay.ms",
        NO_CHOICE,
    ),
    only(
        "flush.messages",
        ConfigKind::Long,
        "9223372036854775807",
        "log.flush.interval.messages",
        NO_FLUSH,
    ),
    only(
        "flush.ms",
        ConfigKind::Long,
        "9223372036854775807",
        "log.flush.interval.ms",
        NO_FLUSH,
    ),
    only(
        "follower.replication.throttled.replicas",
        ConfigKind::List,
        "",
        "",
        NO_REPLICAS,
    ),
    number(
        names::INDEX_INTERVAL_BYTES,
        ConfigKind::Int,
        "4096",
        (0, i32::MAX as i64),
        "log.index.interval.bytes",
        "Bytes of log between two entries of the offset index: smaller finds an offset with less reading, larger keeps the index small.",
    ),
    only(
        "leader.replication.throttled.replicas",
        ConfigKind::List,
        "",
        "",
        NO_REPLICAS,
    ),
    only(
        "local.retention.bytes",
        ConfigKind::Long,
        "-2",
        "log.local.retention.bytes",
        NO_TIERS,
    ),
    only(
        "local.retention.ms",
        ConfigKind::Long,
        "-2",
        "log.local.retention.ms",
        NO_TIERS,
    ),
    only(
        "max.compaction.lag.ms",
        ConfigKind::Long,
        "9223372036854775807",
        "log.cleaner.max.compaction.lag.ms",
        NO_COMPACTION,
    ),
    number(
        names::MAX_MESSAGE_BYTES,
        ConfigKind::Int,
        "1048588",
        (0, limits::BATCH_BYTES_MAX as i64),
        "message.max.bytes",
        "Largest record batch, in bytes as stored, compressed or not.",
    ),
    number(
        names::TIMESTAMP_AFTER_MAX_MS,
        ConfigKind::Long,
        "3600000",
        (0, i64::MAX),
        "log.message.timestamp.after.max.ms",
        "How far a record's timestamp may lie after the broker's clock, in ms. With CreateTime a batch beyond it is refused.",
    ),
    number(
        names::TIMESTAMP_BEFORE_MAX_MS,
        ConfigKind::Long,
        "9223372036854775807",
        (0, i64::MAX),
        "log.message.timestamp.before.max.ms",
        "How far a record's timestamp may lie before the broker's clock, in ms. With CreateTime a batch beyond it is refused.",
    ),
    ConfigKey {
        name: names::TIMESTAMP_TYPE,
        kind: ConfigKind::Text,
        default: "CreateTime",
        rule: Rule::OneOf(&["CreateTime", "LogAppendTime"]),
        synonym: "log.message.timestamp.type",
        doc: "Whether a record's timestamp is the producer's (CreateTime) or the broker's at append (LogAppendTime).",
    },
    only(
        "min.cleanable.dirty.ratio",
        ConfigKind::Double,
        "0.5",
        "log.cleaner.min.cleanable.ratio",
        NO_COMPACTION,
    ),
    only(
        "min.compaction.lag.ms",
        ConfigKind::Long,
        "0",
        "log.cleaner.min.compaction.lag.ms",
        NO_COMPACTION,
    ),
    number(
        names::MIN_INSYNC_REPLICAS,
        ConfigKind::Int,
        "1",
        (1, i32::MAX as i64),
        "min.insync.replicas",
        "With acks=all a produce is refused with NOT_ENOUGH_REPLICAS while fewer replicas than this are in sync.",
    ),
    only(
        "preallocate",
        ConfigKind::Boolean,
        "false",
        "log.preallocate",
        NO_CHOICE,
    ),
    only(
        "remote.log.copy.disable",
        ConfigKind::Boolean,
        "false",
        "",
        NO_TIERS,
    ),
    only(
        "remote.log.delete.on.disable",
        ConfigKind::Boolean,
        "false",
        "",
        NO_TIERS,
    ),
    only(
        "remote.storage.enable",
        ConfigKind::Boolean,
        "false",
        "",
        NO_TIERS,
    ),
    number(
        names::RETENTION_BYTES,
        ConfigKind::Long,
        "-1",
        (-1, i64::MAX),
        "log.retention.bytes",
        "Bytes a partition may hold before its oldest segments are removed; -1 for no bound.",
    ),
    number(
        names::RETENTION_MS,
        ConfigKind::Long,
        "604800000",
        (-1, i64::MAX),
        "log.retention.ms",
        "Age in ms at which a segment is removed, counted from its newest record; -1 for no bound.",
    ),
    number(
        names::SEGMENT_BYTES,
        ConfigKind::Int,
        "1073741824",
        (SEGMENT_BYTES_MIN, i32::MAX as i64),
        "log.segment.bytes",
        "Size in bytes at which a segment is rolled. Retention removes whole segments.",
    ),
    only(
        "segment.index.bytes",
        ConfigKind::Int,
        "10485760",
        "log.index.size.max.bytes",
        NO_CHOICE,
    ),
    only(
        "segment.jitter.ms",
        ConfigKind::Long,
        "0",
        "log.roll.jitter.ms",
        NO_CHOICE,
    ),
    number(
        names::SEGMENT_MS,
        ConfigKind::Long,
        "604800000",
        (1, i64::MAX),
        "log.roll.ms",
        "Age in ms at which a segment is rolled even when it is not full, so that retention can remove it.",
    ),
    only(
        "unclean.leader.election.enable",
        ConfigKind::Boolean,
        "false",
        "unclean.leader.election.enable",
        NO_REPLICAS,
    ),
];

/// Why a config is refused; the text is for the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("Unknown topic config name: {0}")]
    Unknown(String),
    #[error("Invalid value {value} for configuration {name}: {why}")]
    Value {
        name: String,
        value: String,
        why: String,
    },
}

/// The entry of `name`.
#[must_use]
pub fn config_key(name: &str) -> Option<&'static ConfigKey> {
    let at = TOPIC_CONFIGS.binary_search_by_key(&name, |key| key.name);
    Some(&TOPIC_CONFIGS[at.ok()?])
}

/// Checks one value by Kafka's rules and ours.
pub fn check_config(name: &str, value: &str) -> Result<(), ConfigError> {
    let key = config_key(name).ok_or_else(|| ConfigError::Unknown(name.to_owned()))?;
    let refuse = |why: String| {
        Err(ConfigError::Value {
            name: name.to_owned(),
            value: value.to_owned(),
            why,
        })
    };
    let value = value.trim();
    match key.rule {
        Rule::Number { min, max } => match value.parse::<i64>() {
            Err(_) => refuse("Not a number of type ".to_owned() + kind_name(key.kind)),
            Ok(number) if number < min => refuse(format!("Value must be at least {min}")),
            Ok(number) if number > max => refuse(format!("Value must be no more than {max}")),
            Ok(_) => Ok(()),
        },
        Rule::OneOf(values) if values.contains(&value) => Ok(()),
        Rule::OneOf(values) => refuse(format!("String must be one of: {}", values.join(", "))),
        Rule::Cleanup => check_cleanup(value).or_else(refuse),
        Rule::Only(_) if value.eq_ignore_ascii_case(key.default) => Ok(()),
        Rule::Only(why) => refuse(format!(
            "only '{}' is supported, because {why}",
            key.default
        )),
    }
}

fn check_cleanup(value: &str) -> Result<(), String> {
    let mut policies = value.split(',').map(str::trim);
    match policies.find(|policy| *policy != "delete") {
        None => Ok(()),
        Some("compact") => {
            Err("compaction is not there yet; only cleanup.policy=delete is supported".to_owned())
        }
        Some(_) => Err("String must be one of: compact, delete".to_owned()),
    }
}

fn kind_name(kind: ConfigKind) -> &'static str {
    match kind {
        ConfigKind::Boolean => "BOOLEAN",
        ConfigKind::Text => "STRING",
        ConfigKind::Int => "INT",
        ConfigKind::Long => "LONG",
        ConfigKind::Double => "DOUBLE",
        ConfigKind::List => "LIST",
    }
}

/// What topics get where they set nothing: the table's defaults under the broker's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TopicDefaults {
    /// By topic config name.
    overrides: BTreeMap<String, String>,
}

impl TopicDefaults {
    /// Checks the broker's defaults, keyed by topic config name.
    pub fn new(overrides: BTreeMap<String, String>) -> Result<Self, ConfigError> {
        for (name, value) in &overrides {
            check_config(name, value)?;
        }
        Ok(Self { overrides })
    }

    /// The broker's own default, where it has one.
    #[must_use]
    pub fn override_of(&self, name: &str) -> Option<&str> {
        self.overrides.get(name).map(String::as_str)
    }

    fn value<'a>(&'a self, key: &'a ConfigKey) -> &'a str {
        self.override_of(key.name).unwrap_or(key.default)
    }
}

/// What `compression.type` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressionChoice {
    /// As the producer sent it.
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// A topic's configs, typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    pub compression: CompressionChoice,
    pub index_interval_bytes: u64,
    /// -1 for none.
    pub retention_bytes: i64,
    /// -1 for none.
    pub retention_ms: i64,
    pub segment_bytes: u64,
    pub segment_ms: i64,
    pub message_bytes_max: usize,
    pub log_append_time: bool,
    pub timestamp_before_ms_max: i64,
    pub timestamp_after_ms_max: i64,
    pub replicas_in_sync_min: i32,
}

impl TopicSettings {
    /// Resolves a topic's own configs over the defaults. Both were checked before; a value that does not parse any more
    /// (an older program's) counts as unset.
    #[must_use]
    pub fn resolve(configs: &BTreeMap<String, String>, defaults: &TopicDefaults) -> Self {
        let text = |name: &str| {
            let key = config_key(name).expect("`names` lists keys of the table");
            let own = configs.get(name).map(String::as_str);
            own.filter(|value| check_config(name, value).is_ok())
                .unwrap_or_else(|| defaults.value(key))
                .trim()
                .to_owned()
        };
        let number = |name: &str| -> i64 {
            let value = text(name).parse();
            value.expect("checked values and the table's defaults are numbers")
        };
        let unsigned = |name: &str| number(name).max(0).unsigned_abs();
        Self {
            compression: match text(names::COMPRESSION_TYPE).as_str() {
                "uncompressed" => CompressionChoice::Uncompressed,
                "gzip" => CompressionChoice::Gzip,
                "snappy" => CompressionChoice::Snappy,
                "lz4" => CompressionChoice::Lz4,
                "zstd" => CompressionChoice::Zstd,
                _ => CompressionChoice::Producer,
            },
            index_interval_bytes: unsigned(names::INDEX_INTERVAL_BYTES),
            retention_bytes: number(names::RETENTION_BYTES),
            retention_ms: number(names::RETENTION_MS),
            segment_bytes: unsigned(names::SEGMENT_BYTES),
            segment_ms: number(names::SEGMENT_MS),
            message_bytes_max: usize::try_from(unsigned(names::MAX_MESSAGE_BYTES))
                .unwrap_or(limits::BATCH_BYTES_MAX),
            log_append_time: text(names::TIMESTAMP_TYPE) == "LogAppendTime",
            timestamp_before_ms_max: number(names::TIMESTAMP_BEFORE_MAX_MS),
            timestamp_after_ms_max: number(names::TIMESTAMP_AFTER_MAX_MS),
            replicas_in_sync_min: i32::try_from(number(names::MIN_INSYNC_REPLICAS))
                .unwrap_or(i32::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
