//! The broker's own configs under Kafka's names, for tools that ask for them. All are read-only: they come from the
//! configuration the node was started with.

use base::limits;
use cluster::{ConfigKind, TOPIC_CONFIGS};

use crate::{api::describe_configs::Source, broker::Broker};

/// One config of the broker.
pub struct BrokerRow {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
    pub kind: ConfigKind,
    pub doc: &'static str,
}

/// Every config of this broker, by name.
#[must_use]
pub fn rows(broker: &Broker) -> Vec<BrokerRow> {
    let settings = &broker.settings;
    let (host, port) = broker.advertised();
    let listener = format!("PLAINTEXT://{host}:{port}");
    let ms = |duration: std::time::Duration| duration.as_millis().to_string();
    let dir = settings.data_dir.display().to_string();
    let mut rows = vec![
        text(
            "advertised.listeners",
            listener.clone(),
            "Where clients are told to connect.",
        ),
        row(
            "auto.create.topics.enable",
            settings.auto_create_topics.to_string(),
            ConfigKind::Boolean,
            "Whether asking for a topic's metadata creates it.",
        ),
        row(
            "broker.id",
            settings.broker.to_string(),
            ConfigKind::Int,
            "This broker's number.",
        ),
        row(
            "node.id",
            settings.broker.to_string(),
            ConfigKind::Int,
            "This broker's number.",
        ),
        row(
            "connections.max.idle.ms",
            ms(settings.connection_idle),
            ConfigKind::Long,
            "Idle time after which a connection is closed.",
        ),
        row(
            "default.replication.factor",
            "1".to_owned(),
            ConfigKind::Int,
            "Replicas of a topic that is created without a count.",
        ),
        text("listeners", listener, "Where this broker listens."),
        text("log.dirs", dir, "The data directory."),
        row(
            "log.retention.check.interval.ms",
            ms(settings.retention_interval),
            ConfigKind::Long,
            "How often retention is applied.",
        ),
        row(
            "max.connections",
            settings.connections_max.to_string(),
            ConfigKind::Int,
            "Connections of the whole node.",
        ),
        row(
            "max.incremental.fetch.session.cache.slots",
            settings.fetch_sessions_max.to_string(),
            ConfigKind::Int,
            "Fetch sessions kept per shard.",
        ),
        row(
            "num.partitions",
            settings.partitions_default.to_string(),
            ConfigKind::Int,
            "Partitions of a topic that is created without a count.",
        ),
        row(
            "offsets.topic.num.partitions",
            settings.offsets_partitions.to_string(),
            ConfigKind::Int,
            "Partitions of the topic that keeps groups and their offsets.",
        ),
        row(
            "offsets.topic.replication.factor",
            "1".to_owned(),
            ConfigKind::Int,
            "Replicas of that topic.",
        ),
        row(
            "producer.id.expiration.ms",
            ms(settings.producer_expiry),
            ConfigKind::Int,
            "How long the window of a silent idempotent producer is kept.",
        ),
        row(
            "socket.request.max.bytes",
            limits::REQUEST_BYTES_MAX.to_string(),
            ConfigKind::Int,
            "Largest request.",
        ),
        row(
            "delete.topic.enable",
            "true".to_owned(),
            ConfigKind::Boolean,
            "Whether topics can be deleted.",
        ),
    ];
    let synonyms = TOPIC_CONFIGS.iter().filter(|key| !key.synonym.is_empty());
    rows.extend(synonyms.map(|key| {
        let set = settings.topic_defaults.override_of(key.name);
        BrokerRow {
            name: key.synonym,
            value: set.unwrap_or(key.default).to_owned(),
            source: set.map_or(Source::Default, |_| Source::StaticBroker),
            kind: key.kind,
            doc: key.doc,
        }
    }));
    rows.sort_by_key(|row| row.name);
    rows
}

fn text(name: &'static str, value: String, doc: &'static str) -> BrokerRow {
    row(name, value, ConfigKind::Text, doc)
}

fn row(name: &'static str, value: String, kind: ConfigKind, doc: &'static str) -> BrokerRow {
    let source = Source::StaticBroker;
    BrokerRow {
        name,
        value,
        source,
        kind,
        doc,
    }
}
