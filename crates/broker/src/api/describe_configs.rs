//! DescribeConfigs (key 32): topics' configs with their sources and documentation, and the broker's, read-only.

use std::collections::{BTreeMap, BTreeSet};

use cluster::{ConfigKind, TOPIC_CONFIGS, config::ConfigKey};
use kafka::{
    error::ErrorCode,
    messages::describe_configs::{
        DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult,
        DescribeConfigsResponse, DescribeConfigsResult, DescribeConfigsSynonym,
    },
};

use crate::{
    broker::Broker,
    broker_configs::{self, BrokerRow},
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

/// Kafka's `ConfigResource.Type`.
pub mod resource {
    pub const TOPIC: i8 = 2;
    pub const BROKER: i8 = 4;
    pub const BROKER_LOGGER: i8 = 8;
    pub const CLIENT_METRICS: i8 = 16;
    pub const GROUP: i8 = 32;
}

/// Where a value comes from, Kafka's `ConfigSource` as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Topic = 1,
    StaticBroker = 4,
    Default = 5,
}

/// One config of a topic, resolved.
pub struct TopicRow {
    pub name: &'static str,
    pub value: String,
    pub source: Source,
    key: &'static ConfigKey,
    broker_value: Option<String>,
}

/// Every config of a topic with these own configs.
#[must_use]
pub fn topic_rows(broker: &Broker, own: &BTreeMap<String, String>) -> Vec<TopicRow> {
    let rows = TOPIC_CONFIGS.iter().map(|key| {
        let broker_value = broker
            .settings
            .topic_defaults
            .override_of(key.name)
            .map(str::to_owned);
        let (value, source) = match (own.get(key.name), &broker_value) {
            (Some(value), _) => (value.clone(), Source::Topic),
            (None, Some(value)) => (value.clone(), Source::StaticBroker),
            (None, None) => (key.default.to_owned(), Source::Default),
        };
        TopicRow {
            name: key.name,
            value,
            source,
            key,
            broker_value,
        }
    });
    rows.collect()
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: DescribeConfigsRequest<'_> = context.decode()?;
    // Once each, however often it stands there: a small request must not make a huge answer.
    let mut seen = BTreeSet::new();
    let resources = request.resources.iter().filter(|resource| {
        seen.insert((resource.resource_type, resource.resource_name.to_string()))
    });
    let results = resources.map(|resource| {
        let wanted = resource.configuration_keys.as_ref();
        let wanted: Option<BTreeSet<String>> =
            wanted.map(|keys| keys.iter().map(|key| key.into_owned()).collect());
        let is_wanted = |name: &str| wanted.as_ref().is_none_or(|wanted| wanted.contains(name));
        let outcome = describe(&broker, &resource, request.include_synonyms, is_wanted);
        let (failure, mut configs) = match outcome {
            Ok(configs) => (None, configs),
            Err(failure) => (Some(failure), Vec::new()),
        };
        for config in &mut configs {
            if !request.include_documentation {
                config.documentation = None;
            }
        }
        DescribeConfigsResult {
            error_code: failure.as_ref().map_or(0, |failure| failure.code.code()),
            error_message: failure.map(|failure| failure.text().into()),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: configs.into(),
        }
    });
    let results: Vec<_> = results.collect();
    context.reply(&DescribeConfigsResponse {
        results: results.into(),
        ..DescribeConfigsResponse::default()
    })
}

type Rows = Vec<DescribeConfigsResourceResult<'static>>;

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource<'_>,
    include_synonyms: bool,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<Rows, Failure> {
    let name = &*resource.resource_name;
    match resource.resource_type {
        resource::TOPIC => {
            base::TopicName::new(name).map_err(|error| {
                Failure::new(ErrorCode::InvalidTopicException, error.to_string())
            })?;
            let own = broker.with_metadata(|image| Some(image.topic_named(name)?.configs.clone()));
            let own = own.ok_or(ErrorCode::UnknownTopicOrPartition)?;
            let rows = topic_rows(broker, &own)
                .into_iter()
                .filter(|row| is_wanted(row.name));
            Ok(rows
                .map(|row| topic_result(row, include_synonyms))
                .collect())
        }
        resource::BROKER => {
            check_broker(broker, name)?;
            // The empty name asks for defaults set for the whole cluster while it runs: there are none.
            if name.is_empty() {
                return Ok(Rows::new());
            }
            let rows = broker_configs::rows(broker)
                .into_iter()
                .filter(|row| is_wanted(row.name));
            Ok(rows
                .map(|row| broker_result(row, include_synonyms))
                .collect())
        }
        // None can be set, so none differ from the defaults.
        resource::GROUP | resource::CLIENT_METRICS => Ok(Rows::new()),
        other => {
            let text = format!("configs of resource type {other} are not supported");
            Err(Failure::new(ErrorCode::InvalidRequest, text))
        }
    }
}

/// A broker resource must name this broker, or none for all.
pub fn check_broker(broker: &Broker, name: &str) -> Result<(), Failure> {
    let own = broker.settings.broker.0;
    if name.is_empty() || name.parse() == Ok(own) {
        return Ok(());
    }
    let text = format!("Unexpected broker id, expected {own} or empty string, but received {name}");
    Err(Failure::new(ErrorCode::InvalidRequest, text))
}

fn topic_result(row: TopicRow, include_synonyms: bool) -> DescribeConfigsResourceResult<'static> {
    let mut synonyms = Vec::new();
    if include_synonyms {
        if row.source == Source::Topic {
            synonyms.push(synonym(row.name, row.value.clone(), Source::Topic));
        }
        if !row.key.synonym.is_empty() {
            if let Some(value) = row.broker_value {
                synonyms.push(synonym(row.key.synonym, value, Source::StaticBroker));
            }
            synonyms.push(synonym(
                row.key.synonym,
                row.key.default.to_owned(),
                Source::Default,
            ));
        }
    }
    DescribeConfigsResourceResult {
        name: row.name.into(),
        value: Some(row.value.into()),
        read_only: false,
        config_source: row.source as i8,
        is_sensitive: false,
        synonyms: synonyms.into(),
        config_type: kind_code(row.key.kind),
        documentation: Some(row.key.doc.into()),
    }
}

fn broker_result(row: BrokerRow, include_synonyms: bool) -> DescribeConfigsResourceResult<'static> {
    let mut synonyms = Vec::new();
    if include_synonyms {
        synonyms.push(synonym(row.name, row.value.clone(), row.source));
    }
    DescribeConfigsResourceResult {
        name: row.name.into(),
        value: Some(row.value.into()),
        read_only: true,
        config_source: row.source as i8,
        is_sensitive: false,
        synonyms: synonyms.into(),
        config_type: kind_code(row.kind),
        documentation: Some(row.doc.into()),
    }
}

fn synonym(name: &'static str, value: String, source: Source) -> DescribeConfigsSynonym<'static> {
    DescribeConfigsSynonym {
        name: name.into(),
        value: Some(value.into()),
        source: source as i8,
    }
}

/// Kafka's `ConfigType` as it stands on the wire.
fn kind_code(kind: ConfigKind) -> i8 {
    match kind {
        ConfigKind::Boolean => 1,
        ConfigKind::Text => 2,
        ConfigKind::Int => 3,
        ConfigKind::Long => 5,
        ConfigKind::Double => 6,
        ConfigKind::List => 7,
    }
}
