//! Creating and deleting topics, for requests and for the node itself.

use std::{collections::BTreeMap, rc::Rc};

use base::{TopicId, TopicName};
use cluster::{Command, NewTopic};
use kafka::error::ErrorCode;

use crate::{broker::Broker, coordinator::OFFSETS_TOPIC, errors::Failure};

/// Where the schema registry keeps what it has; the name is Confluent's.
pub const SCHEMAS_TOPIC: &str = "_schemas";

/// Internal topics a client must not write: Kafka's names, whether they exist here yet or not, and the registry's.
const INTERNAL_TOPICS: [&str; 4] = [
    OFFSETS_TOPIC,
    SCHEMAS_TOPIC,
    "__transaction_state",
    "__share_group_state",
];

/// The stream engine's own topics begin like this.
pub const ENGINE_TOPICS: &str = "__forebay_";

/// Names no topic may have: Kafka keeps them for its own logs.
const RESERVED_TOPICS: [&str; 1] = ["__cluster_metadata"];

/// A topic somebody wants.
#[derive(Clone, Debug)]
pub struct WantedTopic {
    pub name: TopicName,
    pub partitions: i32,
    pub configs: BTreeMap<String, String>,
}

/// Whether clients may not write this topic.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    INTERNAL_TOPICS.contains(&name) || name.starts_with(ENGINE_TOPICS)
}

impl Broker {
    /// The command that creates a topic, checked against this shard's image.
    pub fn plan_topic(&self, wanted: &WantedTopic) -> Result<NewTopic, Failure> {
        if RESERVED_TOPICS.contains(&wanted.name.as_str()) {
            let text = format!("Creation of internal topic {} is prohibited.", wanted.name);
            return Err(Failure::new(ErrorCode::InvalidTopicException, text));
        }
        if wanted.partitions <= 0 || wanted.partitions > base::limits::TOPIC_PARTITIONS_MAX {
            let text = match wanted.partitions {
                ..=0 => "Number of partitions must be larger than 0.".to_owned(),
                _ => format!(
                    "A topic may have at most {} partitions.",
                    base::limits::TOPIC_PARTITIONS_MAX
                ),
            };
            return Err(Failure::new(ErrorCode::InvalidPartitions, text));
        }
        if wanted.name.as_str() == SCHEMAS_TOPIC && wanted.partitions != 1 {
            let text = "What the schema registry keeps stands in one partition.";
            return Err(Failure::new(ErrorCode::InvalidPartitions, text));
        }
        let mut id = [0; 16];
        runtime::random_bytes(&mut id);
        let metadata = self.metadata.borrow();
        let topic = NewTopic {
            id: TopicId::from_random(id),
            name: wanted.name.clone(),
            internal: is_internal(wanted.name.as_str()),
            homes: metadata.place(&wanted.name, wanted.partitions),
            configs: wanted.configs.clone(),
        };
        metadata.check(&Command::CreateTopic(topic.clone()))?;
        Ok(topic)
    }

    /// Creates topics; when it returns every shard has them.
    pub async fn create_topics(&self, topics: Vec<NewTopic>) -> Vec<Result<TopicId, Failure>> {
        let ids: Vec<_> = topics.iter().map(|topic| topic.id).collect();
        let commands = topics.into_iter().map(Command::CreateTopic).collect();
        match self.commit(commands).await {
            Err(error) => vec![Err(error.into()); ids.len()],
            Ok(outcomes) => {
                let outcomes = outcomes.into_iter().zip(ids);
                outcomes
                    .map(|(outcome, id)| Ok(outcome.map(|_| id)?))
                    .collect()
            }
        }
    }

    /// An internal topic's id; the topic is created when it is not there.
    pub async fn ensure_internal_topic(
        &self,
        name: &str,
        partitions: i32,
    ) -> Result<TopicId, Failure> {
        self.ensure_topic(name, partitions).await
    }

    /// A topic's id; the topic is created when it is not there. Many may ask for the same at once.
    pub async fn ensure_topic(&self, name: &str, partitions: i32) -> Result<TopicId, Failure> {
        if let Some((id, _)) = self.topic_shape(name) {
            return Ok(id);
        }
        if name == OFFSETS_TOPIC {
            // Whoever asks for it first, it gets the configs that keep what is in it.
            let ensured = self.ensure_offsets_topic().await;
            ensured.map_err(|_| ErrorCode::CoordinatorNotAvailable)?;
            let found = self.topic_shape(name);
            return Ok(found.ok_or(ErrorCode::UnknownTopicOrPartition)?.0);
        }
        let name = TopicName::new(name)
            .map_err(|error| Failure::new(ErrorCode::InvalidTopicException, error.to_string()))?;
        let configs = BTreeMap::new();
        self.ensure_wanted(WantedTopic {
            name,
            partitions,
            configs,
        })
        .await
    }

    /// As `ensure_topic`, of a topic that is made with configs.
    pub async fn ensure_wanted(&self, wanted: WantedTopic) -> Result<TopicId, Failure> {
        if let Some((id, _)) = self.topic_shape(wanted.name.as_str()) {
            return Ok(id);
        }
        let planned = self.plan_topic(&wanted)?;
        let created = self.create_topics(vec![planned]).await.pop();
        match created.expect("one outcome per topic") {
            // Somebody else was quicker.
            Err(Failure {
                code: ErrorCode::TopicAlreadyExists,
                ..
            }) => {
                let found = self.topic_shape(wanted.name.as_str());
                Ok(found.ok_or(ErrorCode::UnknownTopicOrPartition)?.0)
            }
            outcome => outcome,
        }
    }

    /// Partitions of a topic that a client creates by asking for its metadata.
    #[must_use]
    pub fn auto_partitions(&self, name: &str) -> i32 {
        match name {
            OFFSETS_TOPIC => self.settings.offsets_partitions,
            // What it says is said in one order.
            SCHEMAS_TOPIC => 1,
            _ => self.settings.partitions_default,
        }
    }

    /// Deletes topics by id; when it returns no shard has them.
    pub async fn delete_topics(self: &Rc<Self>, ids: Vec<TopicId>) -> Vec<Result<(), Failure>> {
        let count = ids.len();
        let commands = ids
            .into_iter()
            .map(|id| Command::DeleteTopic { id })
            .collect();
        match self.commit(commands).await {
            Err(error) => vec![Err(error.into()); count],
            Ok(outcomes) => outcomes
                .into_iter()
                .map(|outcome| Ok(outcome.map(|_| ())?))
                .collect(),
        }
    }
}
