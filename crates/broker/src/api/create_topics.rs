//! CreateTopics (key 19).

use std::collections::{BTreeMap, BTreeSet};

use base::{TopicId, TopicName};
use cluster::NewTopic;
use kafka::{
    error::ErrorCode,
    messages::create_topics::{
        CreatableTopic, CreatableTopicConfigs, CreatableTopicResult, CreateTopicsRequest,
        CreateTopicsResponse,
    },
};

use crate::{
    api::describe_configs::topic_rows,
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
    topics::WantedTopic,
};

/// "As many as the broker's default."
const DEFAULT: i32 = -1;

/// From this version on the response says what the topic became.
const VERSION_CONFIGS: i16 = 5;

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: CreateTopicsRequest<'_> = context.decode()?;
    let mut names = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for topic in &request.topics {
        if !names.insert(topic.name.to_string()) {
            twice.insert(topic.name.to_string());
        }
    }
    let mut planned: BTreeMap<String, NewTopic> = BTreeMap::new();
    let mut outcomes: Vec<(String, Result<NewTopic, Failure>)> = Vec::new();
    for topic in &request.topics {
        let name = topic.name.to_string();
        let outcome = match twice.contains(&name) {
            true => Err(Failure::new(
                ErrorCode::InvalidRequest,
                "Duplicate topic name.",
            )),
            false => want(&broker, &topic).and_then(|wanted| broker.plan_topic(&wanted)),
        };
        if let Ok(topic) = &outcome {
            planned.insert(name.clone(), topic.clone());
        }
        outcomes.push((name, outcome));
    }
    if !request.validate_only && !planned.is_empty() {
        let names: Vec<_> = planned.keys().cloned().collect();
        let created = broker.create_topics(planned.into_values().collect()).await;
        let mut created: BTreeMap<_, _> = names.into_iter().zip(created).collect();
        for (name, outcome) in &mut outcomes {
            if let Some(Err(failure)) = created.remove(name) {
                *outcome = Err(failure);
            }
        }
    }
    let answer = |(name, outcome)| answer(&context, name, outcome, request.validate_only);
    let topics: Vec<_> = outcomes.into_iter().map(answer).collect();
    context.reply(&CreateTopicsResponse {
        topics: topics.into(),
        ..CreateTopicsResponse::default()
    })
}

/// What the request asks for, by Kafka's rules for its fields.
fn want(broker: &Broker, topic: &CreatableTopic<'_>) -> Result<WantedTopic, Failure> {
    let name = TopicName::new(&topic.name)
        .map_err(|error| Failure::new(ErrorCode::InvalidTopicException, error.to_string()))?;
    let partitions = match topic.assignments.is_empty() {
        false => assigned_partitions(broker, topic)?,
        true => {
            check_replication(topic.replication_factor)?;
            match topic.num_partitions {
                DEFAULT => broker.auto_partitions(&topic.name),
                count => count,
            }
        }
    };
    let mut configs = BTreeMap::new();
    for config in &topic.configs {
        let name = config.name.to_string();
        let Some(value) = config.value else {
            let text = format!("Null value not supported for topic configs: {name}");
            return Err(Failure::new(ErrorCode::InvalidConfig, text));
        };
        configs.insert(name, value.into_owned());
    }
    Ok(WantedTopic {
        name,
        partitions,
        configs,
    })
}

fn check_replication(factor: i16) -> Result<(), Failure> {
    let text = match factor {
        -1 | 1 => return Ok(()),
        ..=0 => {
            "Replication factor must be larger than 0, or -1 to use the default value.".to_owned()
        }
        _ => format!(
            "Unable to replicate the partition {factor} time(s): The target replication factor of {factor} cannot be \
             reached because only 1 broker(s) are registered."
        ),
    };
    Err(Failure::new(ErrorCode::InvalidReplicationFactor, text))
}

/// Partitions of an explicit assignment: each must be on this broker alone.
fn assigned_partitions(broker: &Broker, topic: &CreatableTopic<'_>) -> Result<i32, Failure> {
    if topic.num_partitions != DEFAULT || i32::from(topic.replication_factor) != DEFAULT {
        let text = "Both partition count or replication factor and assignments were set.";
        return Err(Failure::new(ErrorCode::InvalidRequest, text));
    }
    let refuse = |text: String| Err(Failure::new(ErrorCode::InvalidReplicaAssignment, text));
    let mut indexes = BTreeSet::new();
    for assignment in &topic.assignments {
        if !indexes.insert(assignment.partition_index) {
            return refuse(format!(
                "partition {} is assigned twice",
                assignment.partition_index
            ));
        }
        check_assignment(broker, assignment.broker_ids.iter())?;
    }
    if !indexes.iter().copied().eq((0..).take(indexes.len())) {
        return refuse("partitions must be numbered from 0 without a gap".to_owned());
    }
    i32::try_from(indexes.len()).map_err(|_| ErrorCode::InvalidPartitions.into())
}

/// One replica, on this broker: there is no other.
pub fn check_assignment(
    broker: &Broker,
    brokers: impl Iterator<Item = i32>,
) -> Result<(), Failure> {
    let brokers: Vec<_> = brokers.collect();
    if brokers == [broker.settings.broker.0] {
        return Ok(());
    }
    let text = format!(
        "replicas {brokers:?} cannot be placed: this cluster has one broker, {}",
        broker.settings.broker
    );
    Err(Failure::new(ErrorCode::InvalidReplicaAssignment, text))
}

fn answer(
    context: &RequestContext,
    name: String,
    outcome: Result<NewTopic, Failure>,
    validate_only: bool,
) -> CreatableTopicResult<'static> {
    let unset = CreatableTopicResult {
        name: name.into(),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopicResult::default()
    };
    let topic = match outcome {
        Err(failure) => {
            return CreatableTopicResult {
                error_code: failure.code.code(),
                error_message: Some(failure.text().into()),
                ..unset
            };
        }
        Ok(topic) if context.version < VERSION_CONFIGS => {
            return CreatableTopicResult {
                topic_id: topic.id,
                ..unset
            };
        }
        Ok(topic) => topic,
    };
    let rows = topic_rows(&context.broker, &topic.configs);
    let configs = rows.into_iter().map(|row| CreatableTopicConfigs {
        name: row.name.into(),
        value: Some(row.value.into()),
        read_only: false,
        config_source: row.source as i8,
        is_sensitive: false,
    });
    CreatableTopicResult {
        // What was only checked has no id.
        topic_id: if validate_only {
            TopicId::ZERO
        } else {
            topic.id
        },
        num_partitions: i32::try_from(topic.homes.len()).unwrap_or(i32::MAX),
        replication_factor: 1,
        configs: Some(configs.collect::<Vec<_>>().into()),
        ..unset
    }
}
