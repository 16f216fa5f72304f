//! Metadata (key 3): brokers, topics, leaders; topics come to be when a client asks for them, if the node is set so.

use std::{collections::BTreeSet, rc::Rc};

use base::TopicId;
use cluster::Topic;
use kafka::{
    error::ErrorCode,
    messages::metadata::{
        MetadataRequest, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
        MetadataResponseTopic,
    },
    wire::List,
};

use crate::{
    broker::Broker,
    errors::Failure,
    request::{Reply, RequestContext, RequestError},
};

/// Operations on a topic that everyone may do, as bits (KIP-430): READ, WRITE, CREATE, DELETE, ALTER, DESCRIBE,
/// DESCRIBE_CONFIGS, ALTER_CONFIGS.
pub const TOPIC_OPERATIONS: i32 = 0b1101_1111_1000;

/// Operations on the cluster: CREATE, ALTER, DESCRIBE, CLUSTER_ACTION, DESCRIBE_CONFIGS, ALTER_CONFIGS, IDEMPOTENT_WRITE.
pub const CLUSTER_OPERATIONS: i32 = 0b1_1111_1010_0000;

/// First version in which null means all topics; before, an empty list did.
const VERSION_NULL_IS_ALL: i16 = 1;

/// First version in which a topic's name may be null in the response.
const VERSION_NULL_NAME: i16 = 12;

enum Asked {
    All,
    Some(Vec<AskedTopic>),
}

struct AskedTopic {
    id: TopicId,
    name: Option<String>,
}

/// What to tell of one topic.
enum Found {
    Topic(TopicId),
    Failed {
        id: TopicId,
        name: Option<String>,
        code: ErrorCode,
    },
}

pub async fn handle(context: RequestContext) -> Result<Reply, RequestError> {
    let broker = context.broker.clone();
    let request: MetadataRequest<'_> = context.decode()?;
    let asked = match &request.topics {
        None => Asked::All,
        Some(topics) if topics.is_empty() && context.version < VERSION_NULL_IS_ALL => Asked::All,
        Some(topics) => {
            let topics = topics.iter().map(|topic| AskedTopic {
                id: topic.topic_id,
                name: topic.name.map(|name| name.into_owned()),
            });
            // Once each, however often it stands there: a small request must not make a huge answer.
            let mut seen = BTreeSet::new();
            let mut topics: Vec<AskedTopic> = topics.collect();
            topics.retain(|topic| seen.insert((topic.id, topic.name.clone())));
            Asked::Some(topics)
        }
    };
    let may_create = broker.settings.auto_create_topics && request.allow_auto_topic_creation;
    let found = match asked {
        Asked::All => {
            broker.with_metadata(|image| image.topics().map(|t| Found::Topic(t.id)).collect())
        }
        Asked::Some(topics) => find(&broker, topics, may_create).await,
    };
    let operations = request
        .include_topic_authorized_operations
        .then_some(TOPIC_OPERATIONS);
    let topics = found
        .into_iter()
        .map(|found| describe(&context, found, operations));
    let topics: Vec<_> = topics.collect();
    let (host, port) = broker.advertised();
    let brokers = vec![MetadataResponseBroker {
        node_id: broker.settings.broker.0,
        host: host.into(),
        port: i32::from(port),
        ..MetadataResponseBroker::default()
    }];
    let mut response = MetadataResponse {
        brokers: brokers.into(),
        cluster_id: Some(
            broker
                .with_metadata(|image| image.cluster_id().to_owned())
                .into(),
        ),
        controller_id: broker.settings.broker.0,
        topics: topics.into(),
        ..MetadataResponse::default()
    };
    if request.include_cluster_authorized_operations {
        response.cluster_authorized_operations = CLUSTER_OPERATIONS;
    }
    context.reply(&response)
}

async fn find(broker: &Rc<Broker>, topics: Vec<AskedTopic>, may_create: bool) -> Vec<Found> {
    let mut found = Vec::with_capacity(topics.len());
    for AskedTopic { id, name } in topics {
        found.push(match name {
            // By id: only when there is no name (KIP-516).
            None => match broker.with_metadata(|image| image.topic(id).is_some()) {
                true => Found::Topic(id),
                false => failed(id, None, ErrorCode::UnknownTopicId),
            },
            Some(name) => find_named(broker, name, may_create).await,
        });
    }
    found
}

fn failed(id: TopicId, name: Option<String>, code: ErrorCode) -> Found {
    Found::Failed { id, name, code }
}

async fn find_named(broker: &Rc<Broker>, name: String, may_create: bool) -> Found {
    if let Some((id, _)) = broker.topic_shape(&name) {
        return Found::Topic(id);
    }
    if base::TopicName::new(&name).is_err() {
        return failed(TopicId::ZERO, Some(name), ErrorCode::InvalidTopicException);
    }
    if !may_create {
        return failed(
            TopicId::ZERO,
            Some(name),
            ErrorCode::UnknownTopicOrPartition,
        );
    }
    match broker
        .ensure_topic(&name, broker.auto_partitions(&name))
        .await
    {
        Ok(id) => Found::Topic(id),
        Err(Failure { code, message }) => {
            let why = message.unwrap_or_default();
            tracing::debug!(topic = name, %why, "a topic was not created on demand");
            failed(TopicId::ZERO, Some(name), code)
        }
    }
}

fn describe(
    context: &RequestContext,
    found: Found,
    operations: Option<i32>,
) -> MetadataResponseTopic<'static> {
    let (id, name, code) = match found {
        Found::Failed { id, name, code } => (id, name, code),
        Found::Topic(id) => {
            let described = context.broker.with_metadata(|image| {
                let topic = image.topic(id)?;
                Some(describe_topic(&context.broker, topic, operations))
            });
            match described {
                Some(described) => return described,
                // Deleted since it was found.
                None => (id, None, ErrorCode::UnknownTopicId),
            }
        }
    };
    let name = match name {
        None if context.version < VERSION_NULL_NAME => Some(String::new()),
        name => name,
    };
    MetadataResponseTopic {
        error_code: code.code(),
        name: name.map(Into::into),
        topic_id: id,
        ..MetadataResponseTopic::default()
    }
}

fn describe_topic(
    broker: &Broker,
    topic: &Topic,
    operations: Option<i32>,
) -> MetadataResponseTopic<'static> {
    let node = broker.settings.broker;
    let partitions = topic.keys(0).map(|(key, _)| {
        let leader = broker.leaders.leader(key, node);
        MetadataResponsePartition {
            error_code: leader.code.code(),
            partition_index: key.partition.0,
            leader_id: leader.id,
            leader_epoch: leader.leader_epoch,
            replica_nodes: List::from(vec![node.0]),
            isr_nodes: List::from(vec![node.0]),
            ..MetadataResponsePartition::default()
        }
    });
    let unset = MetadataResponseTopic::default();
    MetadataResponseTopic {
        name: Some(topic.name.as_str().to_owned().into()),
        topic_id: topic.id,
        is_internal: topic.internal,
        partitions: partitions.collect(),
        topic_authorized_operations: operations.unwrap_or(unset.topic_authorized_operations),
        ..unset
    }
}
